import dataclasses

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from sklearn.metrics import adjusted_rand_score
from support import BRIEF, QUICK, images

from skmpcc import MPCCClusterer
from skmpcc.presets import PRESETS

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def as_memmap(X, path):
    file = np.memmap(path, dtype=X.dtype, mode="w+", shape=X.shape)
    file[:] = X
    file.flush()
    return np.memmap(path, dtype=X.dtype, mode="r", shape=X.shape)


def test_kinds_of_input_agree(blobs, tmp_path):
    X = blobs[0]
    expected = MPCCClusterer(3, random_state=0, **BRIEF).fit(X)
    for Y in (
        X.tolist(),
        pd.DataFrame(X),
        torch.as_tensor(X),
        as_memmap(X, tmp_path / "x"),
        np.asfortranarray(X),
        X.astype(object),
    ):
        clusterer = MPCCClusterer(3, random_state=0, **BRIEF).fit(Y)
        np.testing.assert_array_equal(clusterer.labels_, expected.labels_)
        # sums in another order round differently
        np.testing.assert_allclose(clusterer.transform(Y), expected.transform(X), atol=1e-9)


@pytest.mark.parametrize(
    "dtype",
    [np.int8, np.uint16, np.int64, np.float16, np.float32, np.bool_, np.longdouble, ">f4", ">f8", ">i2"],
)
def test_dtypes(dtype):
    X = images((30, 4), dtype)
    clusterer = MPCCClusterer(2, random_state=0, **BRIEF).fit(X)
    assert np.isfinite(clusterer.transform(X)).all()
    X = images((12, 8, 8), dtype)
    clusterer = MPCCClusterer(2, random_state=0, **BRIEF).fit(X)
    assert np.isfinite(clusterer.transform(X)).all()


def test_extended_precision_is_read_as_double(blobs):
    X = blobs[0]
    expected = MPCCClusterer(3, random_state=0, **BRIEF).fit(X)
    found = MPCCClusterer(3, random_state=0, **BRIEF).fit(X.astype(np.longdouble))
    np.testing.assert_array_equal(found.means_, expected.means_)
    np.testing.assert_array_equal(found.predict(X.astype(np.longdouble)), expected.labels_)


def test_constant_features_and_duplicates():
    X = np.zeros((40, 3))
    X[:20, 1] = 1
    X[:, 2] = 0.1
    clusterer = MPCCClusterer(2, random_state=0, **QUICK).fit(X)
    assert adjusted_rand_score(clusterer.labels_, X[:, 1]) == 1
    np.testing.assert_array_equal(clusterer.sample(9)[0][:, 2], 0.1)


def test_data_frames_and_set_output(blobs):
    X = pd.DataFrame(blobs[0], columns=list("abcd"))
    clusterer = MPCCClusterer(3, random_state=0, **BRIEF).set_output(transform="pandas").fit(X)
    np.testing.assert_array_equal(clusterer.feature_names_in_, list("abcd"))
    codes = clusterer.transform(X)
    assert list(codes.columns) == [f"mpccclusterer{j}" for j in range(4)]
    assert list(clusterer.get_feature_names_out()) == list(codes.columns)
    assert codes.index.equals(X.index)
    with pytest.raises(ValueError, match="feature names"):
        clusterer.predict(X[list("dcba")])
    clusterer.fit(X.to_numpy())
    assert not hasattr(clusterer, "feature_names_in_")


@pytest.mark.parametrize(
    ("X", "parameters", "message"),
    [
        (np.array([[1.0, np.nan]] * 9), {"image_shape": (1, 2)}, "NaN"),
        (np.array([[1.0, np.inf]] * 9), {}, "infinity"),
        (images((9, 8, 8)) * np.nan, {}, "NaN"),
        (images((2, 4)), {"n_clusters": 3}, r"n_samples=2 should be >= n_clusters=3"),
        (images((1, 4)), {"n_clusters": 1}, "minimum of 2"),
        (images((9, 4)), {"n_clusters": 0}, "n_clusters"),
        (images((9, 4)), {"preset": "imagenet"}, "preset"),
        (images((9, 4)), {"device": "abacus"}, "device='abacus'"),
        (images((9, 4)), {"device": "mps"}, "device='mps'"),
        (images((9, 4)), {"device": "cuda:99"}, "device='cuda:99'"),
        (
            images((9, 4)),
            {"preset_params": {"conditioning": "magic"}},
            "'conditioning' parameter of preset_par",
        ),
        (images((9, 4)), {"preset_params": {"min_sdt": 0.3}}, "preset_params has 'min_sdt'.* min_std, "),
        (images((9, 4)), {"preset_params": {"tol": 0.3}, "tol": 0.1}, "preset_params has 'tol'.*once"),
        (images((9, 4)), {"preset_params": [0.3]}, "preset_params"),
        (images((9, 4)), {"preset_params": {1: 2, "a": 3}}, "preset_params has 1, 'a', but"),
        (
            images((9, 4)),
            {"preset": dataclasses.replace(PRESETS["vectors"], pseudo_labels="augmentation")},
            "pseudo_labels='augmentation' needs images",
        ),
        (images((9, 4)), {"pseudo_labels": "magic"}, "pseudo_labels"),
        (np.full((9, 4), np.longdouble("1e4000")), {}, "longdouble|float128"),
        (images((9, 4)), {"learning_rate": -1.0}, "learning_rate"),
        (images((9, 4)), {"preset_params": {"batch_size": 1}}, "batch_size"),
        (images((9, 4)), {"pseudo_labels": "augmentation"}, "pseudo_labels='augmentation' needs images"),
        (
            images((9, 8, 8)),
            {"preset_params": {"consistency": "augmentation"}, "preset": "vectors"},
            "consistency='augmentation' needs",
        ),
        (images((9, 4)), {"image_shape": (2, 3)}, "image_shape"),
        (images((9, 4)), {"image_shape": "square"}, "image_shape"),
        (images((9, 4)), {"preset_params": {"conditioning": "split"}, "latent_dim": 2}, "latent_dim=2"),
        (images((9, 4, 4)), {}, "too small"),
        (images((9, 16, 16, 16)), {}, "image_shape"),
        (images(9), {}, "1D array"),
        (np.array([["a", "b"]] * 9), {}, "(?i)string"),
        (np.array(["2020-01-01"] * 18, dtype="datetime64[D]").reshape(9, 2), {}, "dtype"),
        (images((9, 4)) * 1j, {}, "Complex"),
        (scipy.sparse.eye_array(9).tocsr(), {}, "Sparse"),
    ],
)
def test_bad_input_is_named_before_any_training(X, parameters, message, monkeypatch):
    monkeypatch.setattr("skmpcc.training.initialization.train", lambda *_: pytest.fail("trained"))
    clusterer = MPCCClusterer(**{"n_clusters": 2} | parameters)
    before = dict(vars(clusterer))
    with pytest.raises((ValueError, TypeError), match=message):
        clusterer.fit(X)
    assert vars(clusterer) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is here")
def test_cuda_asked_for_and_absent():
    with pytest.raises(ValueError, match="device='cuda'"):
        MPCCClusterer(2, device="cuda").fit(images((9, 4)))


@pytest.mark.parametrize("X", [images((5, 3)), images((5, 4, 1)), images(4)])
def test_wrong_shape_at_predict(fitted, X):
    with pytest.raises(ValueError, match=r"features|dim|1D"):
        fitted.predict(X)


@pytest.mark.parametrize("shape", [(30, 4), (30, 8, 8)])
def test_parameters_may_be_numbers_of_numpy(shape):
    """As a grid search over an array passes them."""
    X = images(shape)
    parameters = BRIEF | {"preset_params": {"batch_size": 12}, "learning_rate": 0.001}
    expected = MPCCClusterer(2, random_state=0, **parameters).fit(X)
    parameters |= {
        "max_iter": np.int64(3),
        "width": np.int16(8),
        "latent_dim": np.int32(4),
        "preset_params": {"batch_size": np.int64(12)},
        "learning_rate": np.float64(0.001),
    }
    found = MPCCClusterer(np.int64(2), n_init=np.int64(1), random_state=np.int64(0), **parameters).fit(X)
    np.testing.assert_array_equal(found.means_, expected.means_)


def test_batch_larger_than_the_data(blobs):
    clusterer = MPCCClusterer(2, **BRIEF | {"preset_params": {"batch_size": 10_000}}).fit(blobs[0])
    assert clusterer.n_iter_ == 3


@pytest.mark.parametrize("size", [(14, 11), (17, 11), (13, 11), (11, 14), (8, 40), (23, 37)])
def test_images_of_odd_sizes(size):
    X = images((12, *size))
    clusterer = MPCCClusterer(2, random_state=0, **BRIEF).fit(X)
    assert clusterer.reconstruct(X).shape == X.shape


@pytest.mark.slow
@pytest.mark.parametrize("height", range(8, 41))
def test_images_of_all_sizes(height):
    for width in range(8, 41):
        X = images((4, height, width))
        clusterer = MPCCClusterer(2, random_state=0, **BRIEF | {"max_iter": 1, "width": 2}).fit(X)
        assert clusterer.sample(2)[0].shape == (2, height, width)
