"""Make the files of format 1, which later versions have to read, and what their models say.

python tests/fitted/format_1.py

Files of a format stay as they are once it is released. For a new one, make files beside them by a script
like this.
"""

import json
import warnings
from pathlib import Path

import numpy as np
from sklearn.datasets import load_iris

from skmpcc import MPCCClassifier, MPCCClusterer

FOLDER = Path(__file__).parent / "format-1"
SMALL = {"max_iter": 20, "width": 8, "latent_dim": 4, "tol": 0.0, "random_state": 0}


def data(name):
    """Samples, and labels for a classifier."""
    iris = load_iris(as_frame=True)
    if name == "clusterer-images":
        return np.linspace(0.0, 1.0, 40 * 81).reshape(40, 9, 9) ** 2 % 0.1, None
    kinds = np.array(["setosa", "versicolor", "virginica"])
    return iris.data, kinds[iris.target] if name == "classifier" else None


def fit(name):
    """A small estimator."""
    X, y = data(name)
    if name == "classifier":
        return MPCCClassifier(**SMALL).fit(X, y)
    kind = {"pseudo_labels": "kmeans"}
    if name == "clusterer-images":
        kind["preset_params"] = {"consistency": "neighbors"}
    return MPCCClusterer(3, **kind, **SMALL).fit(X)


def described(estimator, name):
    """What a loaded estimator should say of a few samples."""
    X, _ = data(name)
    return {
        "preset": estimator.preset_,
        "parameters": {key: str(value) for key, value in estimator.get_params().items()},
        "attributes": sorted(key for key in vars(estimator) if key.endswith("_")),
        "prediction": estimator.predict(X[::10]).tolist(),
        "memberships": estimator.predict_proba(X[::10]).tolist(),
        "samples": estimator.sample(2)[0].tolist(),
    }


NAMES = ["clusterer-table", "clusterer-images", "classifier"]

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    FOLDER.mkdir(exist_ok=True)
    for name in NAMES:
        estimator = fit(name)
        estimator.save(FOLDER / f"{name}.safetensors")
        text = json.dumps(described(estimator, name), indent=1)
        (FOLDER / f"{name}.json").write_text(text + "\n")
