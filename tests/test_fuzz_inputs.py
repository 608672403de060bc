"""Frames, images and weights of any kind: what users expect, or an error that names the column."""

import os
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from skmpcc import AIM, VAE, MPCCClassifier, MPCCClusterer, VaDEClusterer

N_EXAMPLES = 800
# Another number draws other examples.
SEED = int(os.environ.get("SKMPCC_FUZZ_SEED", "0"))
QUIET = {"deadline": None, "suppress_health_check": list(HealthCheck)}
BRIEF = {"max_iter": 3, "width": 8, "latent_dim": 4, "random_state": 0}
PARAMETERS = {
    MPCCClusterer: BRIEF | {"n_clusters": 2},
    MPCCClassifier: BRIEF,
    AIM: BRIEF,
    VAE: BRIEF,
    VaDEClusterer: BRIEF | {"n_clusters": 2},
}
ESTIMATORS = st.sampled_from(list(PARAMETERS))


def fitted(kind, X, y, sample_weight=None):
    """The estimator, and the texts of what its fit warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator = kind(**PARAMETERS[kind]).fit(X, y, sample_weight=sample_weight)
    return estimator, [str(each.message) for each in caught]


def assert_finite(estimator, X):
    for name in ("predict_proba", "score_samples", "transform", "reconstruct", "sample_posterior"):
        if hasattr(estimator, name):
            found = getattr(estimator, name)(X)
            if isinstance(found, pd.DataFrame):
                assert not found.isna().any(axis=None), name
                found = found.select_dtypes("number").to_numpy(dtype=np.float64)
            assert np.isfinite(found).all(), name


def samples_of(estimator):
    new = estimator.sample(200)
    return new[0] if isinstance(new, tuple) else new


# ---- Frames

MEASURED = {
    "normal": lambda random, n: random.normal(size=n),
    "large": lambda random, n: 1e9 + random.normal(size=n),
    "groups": lambda random, n: random.normal(size=n) + 20 * random.integers(3, size=n),
    "counts": lambda random, n: random.poisson(2, n),
    "ages": lambda random, n: random.integers(18, 91, n),
    "flag": lambda random, n: random.random(n) < 0.3,
    "nullable": lambda random, n: pd.array(random.integers(0, 5, n), dtype="Int64"),
    "single": lambda random, n: random.random(n).astype(np.float32),
}
CONSTANT = [0, 1.5, True, -1e12, 1e-300]
NUMBERING = {
    "id": lambda random, n: np.sort(random.permutation(10 * n)[:n]),
    "Unnamed: 0": lambda random, n: random.permutation(n),
    "step": lambda random, n: np.arange(n) + 3,
}
CATEGORIES = {
    "text": lambda random, n: random.choice(["a", "$b", ""], n),
    "category": lambda random, n: pd.Categorical(random.choice(["x", "y"], n)),
    "levels": lambda random, n: pd.Categorical(random.integers(0, 3, n)),
    "gaps": lambda random, n: random.choice(np.array(["u", "v", None], dtype=object), n),
}
NO_NUMBERS = {
    "date": lambda random, n: pd.date_range("2020-01-01", periods=n),
    "period": lambda random, n: pd.period_range("2020-01", periods=n, freq="M"),
    "duration": lambda random, n: pd.to_timedelta(random.integers(0, 99, n), unit="h"),
}


@st.composite
def frames(draw):
    """A frame, and the names of its columns by kind."""
    random, n = np.random.default_rng(draw(st.integers(0, 999))), draw(st.integers(12, 60))
    names = {
        "measured": draw(
            st.lists(st.sampled_from(sorted(MEASURED)), min_size=2, max_size=5, unique=True)
        )
    }
    columns = {name: MEASURED[name](random, n) for name in names["measured"]}
    kinds = (
        ("numbering", NUMBERING, 3),
        ("categories", CATEGORIES, 3),
        ("no numbers", NO_NUMBERS, 4),
    )
    for kind, source, share in kinds:
        some = draw(st.lists(st.sampled_from(sorted(source)), max_size=2, unique=True))
        names[kind] = some if draw(st.integers(1, share)) == 1 else []
        columns |= {name: source[name](random, n) for name in names[kind]}
    constants = draw(st.lists(st.sampled_from(CONSTANT), max_size=3))
    names["constant"] = [f"c{i}" for i in range(len(constants))]
    columns |= dict(zip(names["constant"], ([value] * n for value in constants), strict=True))
    frame = pd.DataFrame({name: columns[name] for name in draw(st.permutations(list(columns)))})
    return frame, names


def check_frame(frame, names, kind, far):
    y = np.arange(len(frame)) % 2
    if names["no numbers"]:
        with pytest.raises(ValueError, match="X has columns that hold neither numbers nor") as info:
            fitted(kind, frame, y)
        assert all(repr(name) in str(info.value) for name in names["no numbers"])
        return
    estimator, said = fitted(kind, frame, y)
    of_rows = [text for text in said if "number its rows" in text]
    assert len(of_rows) == bool(names["numbering"])
    assert all(repr(name) in of_rows[0] for name in names["numbering"])
    measured = frame.drop(columns=names["categories"])
    if names["constant"] and not names["categories"]:
        # As numbers of one type, whichever the constants have.
        one, other = frame.astype(float), frame.drop(columns=names["constant"]).astype(float)
        codes = [fitted(kind, X, y)[0].transform(X) for X in (one, other)]
        np.testing.assert_array_equal(*codes)
    new = samples_of(estimator)
    pd.testing.assert_series_equal(new.dtypes, frame.dtypes)
    for name in measured:
        low, high = frame[name].min(), frame[name].max()
        assert new[name].between(low, high).all(), name
    for name in names["categories"]:
        assert set(new[name]) <= set(frame[name].dropna()), name
    changed = frame.astype(dict.fromkeys(measured, float))
    # Booleans beside categories are two of these, of which an unknown one counts as missing.
    changed.loc[5, next(name for name in names["measured"] if name != "flag")] = far
    assert_finite(estimator, changed)
    scores = np.append(estimator.score_samples(frame), estimator.score_samples(changed)[5])
    assert scores.argmin() == len(frame)


# ---- Images


@st.composite
def images(draw):
    """Images of few or many levels, with channels or without, and the place of a hot pixel or none."""
    random, n = np.random.default_rng(draw(st.integers(0, 999))), draw(st.integers(20, 50))
    shape = draw(st.sampled_from([(8, 8), (9, 11), (3, 8, 8), (8, 10, 3)]))
    dtype = draw(st.sampled_from([np.uint8, np.int16, np.uint16, np.float32, np.float64, bool]))
    levels = draw(st.sampled_from([[0, 1], range(17), [3, 7], range(200), [-2, 0, 5]]))
    if dtype is bool:
        levels = [0, 1]
    levels = np.unique(np.array(list(levels)).clip(0 if np.dtype(dtype).kind == "u" else None))
    X = random.choice(levels.astype(dtype), (n, *shape))
    hot = draw(st.sampled_from([None, 4095, 30000])) if np.dtype(dtype).itemsize > 1 else None
    if hot is not None and levels.max() < 100:
        X[draw(st.integers(0, n - 1))].flat[draw(st.integers(0, 60))] = hot
        return X, levels, hot
    return X, levels, None


def check_images(X, levels, hot, kind, far):
    y = np.arange(len(X)) % 2
    estimator, _ = fitted(kind, X, y)
    tensor = estimator._fitted.format.encode(X)
    assert (tensor.min(), tensor.max()) == (-1, 1)
    usual = np.isin(X, levels)
    if hot is not None:
        scores = estimator.score_samples(X)
        assert scores.argmin() == np.flatnonzero(~usual.reshape(len(X), -1).all(axis=1))[0]
    new = samples_of(estimator)
    assert levels.min() - 1e-3 <= new.min() <= new.max() <= levels.max() + 1e-3
    changed = X.astype(np.float64)
    changed[2].flat[4] = far
    assert_finite(estimator, changed)
    scores = np.append(estimator.score_samples(X), estimator.score_samples(changed)[2])
    assert scores.argmin() == len(X)


# ---- Weights


@st.composite
def weights(draw):
    random, n = np.random.default_rng(draw(st.integers(0, 999))), draw(st.integers(20, 40))
    found = {
        "whole": lambda: random.integers(0, 4, n).astype(float),
        "halves": lambda: random.integers(1, 5, n) / 2,
        "any": lambda: random.uniform(0.5, 3, n),
        "wide": lambda: 10.0 ** random.uniform(-5, 5, n),
        "one light class": lambda: np.where(np.arange(n) % 3 == 0, 1e-6, 1.0),
    }[draw(st.sampled_from(["whole", "halves", "any", "wide", "one light class"]))]()
    found[:6] = np.maximum(found[:6], found[found > 0].min())
    return random.normal(size=(n, 3)), found, random.permutation(n)


def check_weights(X, w, order, kind, factor):
    y = np.arange(len(X)) % 3
    one, _ = fitted(kind, X, y, w)
    other, _ = fitted(kind, X[order], y[order], w[order] * factor)
    np.testing.assert_array_equal(one.transform(X), other.transform(X))
    if kind is MPCCClassifier:
        assert one.classes_.tolist() == [0, 1, 2]


# ---- All of them

FAR = st.sampled_from([-3.4e38, 1e308, -1e30, 1e15])


@st.composite
def cases(draw):
    """A check, and what it checks."""
    kind = draw(ESTIMATORS)
    which = draw(st.sampled_from(["frame", "images", "weights"]))
    if which == "frame":
        return check_frame, (*draw(frames()), kind, draw(FAR))
    if which == "images":
        return check_images, (*draw(images()), kind, draw(FAR))
    return check_weights, (*draw(weights()), kind, draw(st.sampled_from([0.5, 3.7, 1e-9, 2.0])))


@settings(max_examples=20, derandomize=True, **QUIET)
@given(cases())
def test_any_input(case):
    check, arguments = case
    check(*arguments)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_any_input_many_times(part):
    @seed(SEED * 8 + part)
    @settings(max_examples=N_EXAMPLES // 8, **QUIET)
    @given(cases())
    def one(case):
        check, arguments = case
        check(*arguments)

    one()
