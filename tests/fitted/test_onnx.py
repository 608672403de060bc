"""ONNX models, run by onnxruntime beside the estimators that they are of."""

import json
import sys

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import NotFittedError
from support import BRIEF, images

from skmpcc import VAE, MPCCClassifier, MPCCClusterer, VaDEClusterer
from skmpcc.presets import PRESETS

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

IRIS = load_iris().data
DIGITS = load_digits().data[:300]
OUTLYING = np.vstack([IRIS * [1.0, 1e6, 1.0, 0.0] + 1e7, [[1e12, 1e7, -1e12, 1e7]]])


def outputs(path, X):
    return onnxruntime.InferenceSession(path).run(["memberships", "codes"], {"X": X})


def assert_exported(estimator, X, folder):
    """Batches of several lengths give what the estimator gives."""
    path = folder / "model.onnx"
    estimator.export_onnx(path)
    wanted = estimator.predict_proba(X), estimator.transform(X)
    X = np.asarray(X, dtype=wanted[1].dtype)
    for rows in (slice(None), slice(1), slice(1, 4)):
        memberships, codes = outputs(path, X[rows])
        np.testing.assert_allclose(memberships, wanted[0][rows], rtol=0, atol=1e-5)
        np.testing.assert_allclose(codes, wanted[1][rows], rtol=1e-4, atol=1e-5)
        assert (memberships.dtype, codes.dtype) == (np.float64, wanted[1].dtype)
    return path


CASES = {
    "digits": (DIGITS, {}),
    "float32": (IRIS.astype(np.float32), {}),
    "outliers, a constant, far from 0": (OUTLYING, {}),
    "other deviations": (IRIS, {"preset_params": {"std_floor": "code", "averaged_encoder": False}}),
    "one layer, no norm": (IRIS, {"preset_params": {"n_layers": 1, "encoder_spectral_norm": False}}),
    "images": (DIGITS.reshape(-1, 8, 8), {}),
    "uint8": (images((40, 8, 12), np.uint8), {}),
    "padded": (images((40, 3, 9, 14)), {}),
    "resized, channels last": (
        images((40, 14, 11, 3), np.float32),
        {"preset_params": {"resizing": "interpolate"}},
    ),
    "made smaller": (images((40, 21, 9)), {"preset_params": {"resizing": "interpolate"}}),
    "rows": (DIGITS, {"image_shape": (8, 8)}),
    "images as rows": (DIGITS.reshape(-1, 8, 8), {"preset": "vectors"}),
    "a hot pixel": (np.where(images((40, 8, 8)) > 199.9, 1e5, images((40, 8, 8))), {}),
    "wide": (images((30, 1200)), {}),
}


@pytest.mark.parametrize(("X", "parameters"), CASES.values(), ids=CASES)
def test_clusterer(X, parameters, tmp_path):
    estimator = MPCCClusterer(3, random_state=0, **BRIEF | parameters).fit(X)
    assert_exported(estimator, X, tmp_path)


@pytest.mark.parametrize("X", [IRIS, images((40, 9, 8))], ids=["table", "images"])
def test_variational_estimators(X, tmp_path):
    assert_exported(VaDEClusterer(3, random_state=0, **BRIEF).fit(X), X, tmp_path)
    vae = VAE(3, max_iter=3, width=8, random_state=0).fit(X)
    vae.export_onnx(tmp_path / "vae.onnx")
    (codes,) = onnxruntime.InferenceSession(tmp_path / "vae.onnx").run(["codes"], {"X": X})
    np.testing.assert_allclose(codes, vae.transform(X), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("preset", PRESETS)
def test_networks_of_all_presets(preset, tmp_path):
    X = IRIS if preset.startswith("vectors") else images((20, 3, 8, 8))
    narrow = BRIEF | {"latent_dim": 8}
    assert_exported(MPCCClusterer(3, preset=preset, random_state=0, **narrow).fit(X), X, tmp_path)


def test_clusters_that_are_apart(blobs, fitted, tmp_path):
    """Memberships of 0, of 1 and between, also far from all clusters."""
    X = np.vstack([blobs[0], 100.0 * blobs[0]])
    memberships = fitted.predict_proba(X)
    assert memberships.max() > 0.999
    assert_exported(fitted, X, tmp_path)


@pytest.mark.parametrize("kind", ["table", "images"])
def test_classifier(kind, tmp_path):
    X, y = load_digits(n_class=3, return_X_y=True)
    X = X if kind == "table" else X.reshape(-1, 8, 8)
    names = np.array(["none", "one", "two"])
    estimator = MPCCClassifier(random_state=0, max_iter=20, width=8).fit(X, names[y])
    path = assert_exported(estimator, X, tmp_path)
    metadata = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
    columns = np.array(json.loads(metadata["classes"]))
    np.testing.assert_array_equal(columns[outputs(path, X)[0].argmax(1)], estimator.predict(X))
    assert metadata["estimator"] == "MPCCClassifier"


def test_the_estimator_stays_as_it_was(blobs, tmp_path):
    estimator = MPCCClusterer(3, random_state=0, **BRIEF).fit(blobs[0])
    before, state = estimator.transform(blobs[0]), torch.get_rng_state()
    names = list(estimator._fitted.model.state_dict())
    estimator.export_onnx(tmp_path / "model.onnx")
    np.testing.assert_array_equal(estimator.transform(blobs[0]), before)
    assert list(estimator._fitted.model.state_dict()) == names
    assert torch.equal(torch.get_rng_state(), state)
    estimator.export_onnx(str(tmp_path / "model.onnx"))
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_without_a_fit_or_onnx(fitted, tmp_path, monkeypatch):
    with pytest.raises(NotFittedError):
        MPCCClusterer().export_onnx(tmp_path / "model.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r'pip install "skmpcc\[onnx\]"'):
        fitted.export_onnx(tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [-3.4e38, 1e308])
@pytest.mark.parametrize("shape", [(40, 4), (40, 8, 8)])
def test_values_far_outside_are_finite(value, shape, tmp_path):
    X = images(shape)
    estimator = MPCCClusterer(3, random_state=0, **BRIEF).fit(X)
    X[3].flat[2] = value
    memberships, codes = outputs(assert_exported(estimator, X, tmp_path), X)
    assert np.isfinite(memberships).all()
    assert np.isfinite(codes).all()
