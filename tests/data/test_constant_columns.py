"""Constant columns change nothing, whatever finds the pseudo-labels, in all estimators."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_iris, load_wine, make_moons
from sklearn.metrics import adjusted_rand_score
from support import BRIEF

from skmpcc import AIM, MPCCClassifier, MPCCClusterer

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

KINDS = ["search", "kmeans", "gaussian_mixture", "spectral", "spanning_tree"]
MOONS, MOON = make_moons(200, noise=0.05, random_state=0)
VALUES = st.sampled_from([0.0, 1.0, -7.5, 1e9, 1e-9, 255.0])


@st.composite
def with_constants(draw, X):
    """X, and X with constant columns anywhere among its own."""
    values = draw(st.lists(VALUES, min_size=1, max_size=5))
    places = draw(st.lists(st.integers(0, X.shape[1]), min_size=len(values), max_size=len(values)))
    return np.insert(X, sorted(places), values, axis=1)


def assert_same(parameters, X, more, y=None):
    """Of all finders the labels, and of all estimators the codes, are those without the columns."""
    # The other two know of no finder.
    others = (MPCCClassifier, AIM) if parameters["pseudo_labels"] == "search" else ()
    for kind in (MPCCClusterer, *others):
        given_to = {"random_state": 0, "max_iter": 3, "width": 8, "tol": 0.0}
        if kind is MPCCClusterer:
            given_to |= parameters
        one, other = (kind(**given_to).fit(data, y) for data in (X, more))
        np.testing.assert_array_equal(one.transform(X), other.transform(more))
        if kind is MPCCClusterer:
            np.testing.assert_array_equal(one.labels_, other.labels_)
            np.testing.assert_array_equal(one.pseudo_labels_, other.pseudo_labels_)
            assert one.settings_ == other.settings_
            assert one.score(X) == other.score(more)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=4, deadline=None, derandomize=True)
@given(data=st.data())
def test_constant_columns_change_nothing(kind, data):
    parameters = BRIEF | {"n_clusters": 2, "pseudo_labels": kind}
    assert_same(parameters, MOONS, data.draw(with_constants(MOONS)), MOON)


@pytest.mark.slow
@pytest.mark.full_pseudo_labels
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("table", ["moons", "iris", "categories"])
def test_constant_columns_change_nothing_at_full_search(table, kind):
    """Moons fell from 1.00 to 0.51 beside two, iris from 0.89 to 0.69 beside four."""
    X, y = {
        "moons": lambda: (MOONS, MOON),
        "iris": lambda: load_iris(return_X_y=True),
        "categories": lambda: (np.random.default_rng(0).integers(0, 3, (200, 6)) * 1.0, MOON),
    }[table]()

    @settings(max_examples=3, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(more=with_constants(X))
    def one(more):
        assert_same(BRIEF | {"n_clusters": len(np.unique(y)), "pseudo_labels": kind}, X, more, y)

    one()


@pytest.mark.slow
@pytest.mark.full_pseudo_labels
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("beside", ["copies", "indicators", "indicators but one", "constants"])
def test_moons_are_found_beside_columns_that_are_no_categories(beside, seed):
    random = np.random.default_rng(seed)
    code = random.integers(0, 4, 200)
    columns = {
        "copies": np.stack([code == 0] * 4, axis=1),
        "indicators": np.eye(4)[code],
        "indicators but one": np.eye(4)[code][:, 1:],
        "constants": np.tile([1.0, 0.0, 3.0], (200, 1)),
    }[beside]
    clusterer = MPCCClusterer(2, labels_only=True, max_iter=3, random_state=seed)
    clusterer.fit(np.column_stack([MOONS, columns]))
    assert clusterer.settings_["pseudo_labels"] != "latent_classes"
    if beside != "copies":  # a single column of two values parts the rows by itself
        assert adjusted_rand_score(MOON, clusterer.pseudo_labels_) > 0.95


@pytest.mark.slow
@pytest.mark.full_pseudo_labels
@pytest.mark.parametrize("n_values", [5, 12])
@pytest.mark.parametrize("name", ["iris", "wine"])
def test_indicators_that_tell_nothing_change_next_to_nothing(name, n_values):
    """Their rows are so far apart that neighbours saw nothing else."""
    X, y = {"iris": load_iris, "wine": load_wine}[name](return_X_y=True)
    indicators = np.eye(n_values)[np.random.default_rng(0).integers(0, n_values, len(X))]
    alone, beside = (
        MPCCClusterer(3, labels_only=True, max_iter=3, random_state=0).fit(data).pseudo_labels_
        for data in (X, np.column_stack([X, indicators]))
    )
    assert adjusted_rand_score(y, beside) > adjusted_rand_score(y, alone) - 0.03
