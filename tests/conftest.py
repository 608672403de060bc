import os

# Before scipy is imported: lets scikit-learn's array API check run instead of being skipped.
os.environ.setdefault("SCIPY_ARRAY_API", "1")
