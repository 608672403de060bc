"""Fit a small table and a few images with the package that is installed, and look at what comes out."""

import pickle
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from skmpcc import MPCCClusterer
from skmpcc.metrics import clustering_accuracy

print(*(f"{name} {version(name)}" for name in ("torch", "scikit-learn", "numpy", "scipy", "joblib")))
X, y = load_digits(n_class=3, return_X_y=True)
for data in (X, X.reshape(-1, 8, 8)):
    clusterer = MPCCClusterer(3, max_iter=100, tol=0.0, random_state=0).fit(data)
    restored = pickle.loads(pickle.dumps(clusterer))
    assert np.array_equal(restored.predict(data), clusterer.labels_)
    assert restored.sample(5)[0].shape == (5, *data.shape[1:])
    with tempfile.TemporaryDirectory() as folder:
        clusterer.save(Path(folder) / "model.safetensors")
        loaded = MPCCClusterer.load(Path(folder) / "model.safetensors")
    assert np.array_equal(loaded.predict_proba(data), clusterer.predict_proba(data))
    assert np.isfinite(restored.reconstruct(data)).all()
    accuracy = clustering_accuracy(y, clusterer.labels_)
    print(f"{clusterer.preset_}: accuracy {accuracy:.3f}")
    assert accuracy > 0.9
