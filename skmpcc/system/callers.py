"""The line of the user's that a warning is about."""

import sys


def stacklevel_of_user() -> int:
    """Return the `stacklevel` by which a warning of the function that asks goes to the user's line.

    That is the first frame outside of this package and of scikit-learn, whose wrappers differ.
    """
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and _is_ours(frame.f_globals.get("__name__", "")):
        frame, level = frame.f_back, level + 1
    return level


def _is_ours(module: str) -> bool:
    return module.split(".")[0] in ("skmpcc", "sklearn")
