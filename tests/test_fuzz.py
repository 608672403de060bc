"""Any data and any parameters: a consistent fit, or an error that names the argument."""

import os
import pickle
import re
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, note, seed, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning
from support import BRIEF

from skmpcc import MPCCClusterer

N_EXAMPLES = 800
N_PARTS = 8
# Another number draws other examples.
SEED = int(os.environ.get("SKMPCC_FUZZ_SEED", "0"))
QUIET = {"deadline": None, "suppress_health_check": list(HealthCheck)}
NAMES = ("X", *MPCCClusterer().get_params(), "n_samples")

# ---- Data

DTYPES = [
    *(np.float16, np.float32, np.float64, np.longdouble, ">f4", ">f8", "<f2"),
    *(np.int8, np.uint8, np.int16, ">i4", np.int64, np.uint64, np.bool_),
]
ODD = [np.nan, np.inf, -np.inf, 1e300, -1e300, 1e38, 65504.0, 1e-310, 5e-324, -0.0, 0.0, 255.0, 1e6]


@st.composite
def shapes(draw):
    """Shape of X and image_shape, of rows, images and rows of images; some too small or ambiguous."""
    n, side, other = draw(st.integers(1, 40)), draw(st.integers(1, 12)), draw(st.integers(4, 12))
    channels = draw(st.integers(1, 4))
    return draw(
        st.sampled_from(
            [
                ((n, side), None),
                ((n, side), None),
                ((n, side), None),
                ((n, side, other), None),
                ((n, channels, side, other), None),
                ((n, side, other, channels), None),
                ((n, side * other), (side, other)),
                ((n, side * other * channels), (side, other, channels)),
                ((n, side, other), (other, side)),
                ((n,), None),
                ((n, 0), None),
            ]
        )
    )


@st.composite
def data(draw):
    """X and image_shape, of any kind, dtype, layout and values."""
    shape, image_shape = draw(shapes())
    random = np.random.default_rng(draw(st.integers(0, 9)))
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    kind = draw(st.sampled_from(["normal", "groups", "constant", "duplicates", "wide", "narrow"]))
    X = random.normal(size=shape)
    if kind == "groups":
        X += 20 * random.integers(3, size=shape[:1]).reshape(-1, *[1] * (len(shape) - 1))
    elif kind == "constant":
        X[..., draw(st.integers(0, 3)) :] = draw(st.sampled_from([0.0, 1 / 3, -1e5]))
    elif kind == "duplicates":
        X[:] = X[random.integers(max(1, len(X) // 4), size=len(X))]
    elif kind in ("wide", "narrow"):
        with np.errstate(over="ignore"):
            X *= 10.0 ** draw(st.integers(20, 306) if kind == "wide" else st.integers(-320, -20))
    for value in draw(st.lists(st.sampled_from(ODD), max_size=2)) if draw(st.booleans()) else ():
        if X.size:
            X.flat[draw(st.integers(0, X.size - 1))] = value
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        X = X.astype(dtype)
    layout = draw(st.sampled_from(["C", "C", "F", "strided", "reversed", "read-only", "list", "frame"]))
    if layout == "F":
        X = np.asfortranarray(X)
    elif layout == "strided":
        X = np.repeat(X, 2, axis=-1)[..., ::2]
    elif layout == "reversed":
        X = np.flip(X)
    elif layout == "read-only":
        X.flags.writeable = False
    elif layout == "list" and dtype.itemsize <= 8:
        return X.tolist(), image_shape
    elif layout == "frame" and X.ndim == 2 and dtype.isnative and dtype.itemsize <= 8:
        return pd.DataFrame(X), image_shape
    elif layout == "frame" and dtype in (np.float32, np.float64, np.int64):
        return torch.as_tensor(np.ascontiguousarray(X)), image_shape
    return X, image_shape


# ---- Parameters

PARAMETERS = {
    "n_clusters": st.integers(-1, 6) | st.just("auto"),
    "outlier_fraction": st.sampled_from(["auto", 0.01, 0.1, 0.3, 0.5, 0.6, 0, "many"]),
    "n_resamplings": st.integers(-1, 2),
    "latent_dim": st.integers(0, 5),
    "width": st.integers(1, 9),
    "max_iter": st.integers(0, 5),
    "pseudo_labels": st.sampled_from(
        [
            *(None, "auto", "search", "kmeans", "gaussian_mixture", "spectral", "neighbors"),
            *("latent_classes", "augmentation"),
        ]
    ),
    "weights": st.sampled_from(["uniform", "shares", "learned", "auto", "equal"]),
    "learning_rate": st.sampled_from([-1.0, 0.0, 1e-9, 1e-3, 10.0, 1e9, np.nan, np.inf]),
    "tol": st.sampled_from([0.0, 0.5, 1.0, np.nan, -1.0]),
    "labels_only": st.booleans(),
    "n_init": st.integers(0, 2),
    "preset": st.sampled_from(["auto", "mnist", "none"]),
    "preset_params": st.sampled_from(
        [
            None,
            {},
            {"min_std": 0.0},
            {"std_floor": "code"},
            {"std_floor": "threshold"},
            {"sharing": "none"},
            {"conditioning": "split"},
            {"conditioning": "shared", "n_layers": 1},
            {"no_such": 1},
            {"consistency": "augmentation"},
            {"precision": "float32"},
            {"ema_decay": 0.0},
            {"width": 8},
        ]
    ),
    "random_state": st.sampled_from([0, 1, None, -1, "seed"]),
    "device": st.sampled_from(["cpu", "auto", "no such", "cuda:9"]),
}
PLAIN = {"n_clusters": 2, "random_state": 0, **BRIEF, "pseudo_labels": "auto"}


def parameters():
    """A few parameters that are not plain."""
    several = st.lists(st.sampled_from(sorted(PARAMETERS)), max_size=3, unique=True)
    return several.flatmap(lambda names: st.fixed_dictionaries({n: PARAMETERS[n] for n in names}))


# ---- What has to hold


def names_an_argument(message):
    """In scikit-learn's words, X is "array" at times."""
    return any(re.search(rf"\b{name}\b", message) for name in (*NAMES, "array"))


def check_consistent(clusterer, X):
    """All that the fitted estimator gives is finite, agrees, and is kept by files and pickles."""
    n = len(X)
    labels = clusterer.labels_
    assert labels.shape == (n,)
    np.testing.assert_array_equal(clusterer.predict(X), labels)
    memberships = clusterer.predict_proba(X)
    assert memberships.shape == (n, clusterer.n_clusters_)
    inside = labels >= 0
    assert inside.all() or clusterer.outlier_fraction is not None
    np.testing.assert_allclose(memberships.sum(1), inside, rtol=1e-6)
    np.testing.assert_array_equal(memberships[inside].argmax(1), labels[inside])
    found = {
        "codes": clusterer.transform(X),
        "densities": clusterer.score_samples(X),
        "reconstructions": clusterer.reconstruct(X),
        "samples": clusterer.sample(5)[0],
        "posterior": clusterer.sample_posterior(X.iloc[:2] if isinstance(X, pd.DataFrame) else X[:2]),
        "centres": clusterer.cluster_centers_,
        "means": clusterer.means_,
        "covariances": clusterer.covariances_,
        "memberships": memberships,
        **{f"history {name}": values for name, values in clusterer.history_.items()},
    }
    for name, values in found.items():
        # Some are data frames where X is one.
        assert np.isfinite(np.asarray(values, dtype=np.float64)).all(), name
    copies = [pickle.loads(pickle.dumps(clusterer))]
    with tempfile.TemporaryDirectory() as folder:
        clusterer.save(Path(folder) / "model")
        copies.append(MPCCClusterer.load(Path(folder) / "model"))
    for copy in copies:
        np.testing.assert_array_equal(copy.predict_proba(X), memberships)
        np.testing.assert_array_equal(copy.transform(X), found["codes"])
        np.testing.assert_array_equal(copy.predict(X), labels)


def check_any_fit(X, image_shape, given):
    clusterer = MPCCClusterer(**PLAIN | {"image_shape": image_shape} | given)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", UserWarning)
        refusal = None
        try:
            clusterer.fit(X)
        except (ValueError, TypeError, FloatingPointError) as error:
            refusal = f"{type(error).__name__}: {error}"
        if refusal is None:
            check_consistent(clusterer, X)
            return
    note(refusal)
    assert names_an_argument(refusal)
    assert not hasattr(clusterer, "labels_")


@settings(max_examples=25, derandomize=True, **QUIET)
@given(data(), parameters())
def test_any_fit(X_and_shape, given):
    check_any_fit(*X_and_shape, given)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(N_PARTS))
def test_any_fit_many_times(part):
    @seed(SEED * N_PARTS + part)
    @settings(max_examples=N_EXAMPLES // N_PARTS, **QUIET)
    @given(data(), parameters())
    def one(X_and_shape, given):
        check_any_fit(*X_and_shape, given)

    one()
