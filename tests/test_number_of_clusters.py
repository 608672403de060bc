"""Fits with `n_clusters="auto"`: the number that is taken, and what tells of the search for it."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits, make_blobs
from sklearn.model_selection import GridSearchCV
from support import BRIEF, Interrupting, assert_same_fit

from skmpcc import MPCCClusterer, VaDEClusterer
from skmpcc.plotting import NClustersDisplay
from skmpcc.pseudo_labels.number import NClustersSuggestion, needed_strengths
from skmpcc.training import checkpoint as _checkpoint
from skmpcc.training import number as _number

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

CENTRES = [[-9, 0], [9, 0], [0, 9], [0, -9]]
NAMES = ["candidates", "scores", "standard_errors", "thresholds"]


def blobs(n=160, centres=CENTRES):
    return make_blobs(n, centers=centres, random_state=0)[0]


X = blobs()


@pytest.fixture(autouse=True)
def few_numbers(request, monkeypatch):
    """Compare a few numbers in a few halves, since all of them take seconds."""
    if not request.node.get_closest_marker("full_pseudo_labels"):
        monkeypatch.setattr(_number, "MAX_CLUSTERS", 6)
        monkeypatch.setattr(_number, "N_RESAMPLINGS", 3)


def fitted(given=X, kind=MPCCClusterer, **parameters):
    return kind("auto", **BRIEF | {"random_state": 0} | parameters).fit(given)


@pytest.fixture(scope="module")
def estimator():
    with pytest.MonkeyPatch.context() as patched, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patched.setattr(_number, "MAX_CLUSTERS", 6)
        patched.setattr(_number, "N_RESAMPLINGS", 3)
        return fitted()


# ---- What is found


@pytest.mark.parametrize("kind", [MPCCClusterer, VaDEClusterer])
def test_the_number_of_clusters_that_are_apart(kind):
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "n_clusters='auto' takes", UserWarning)
        clusterer = fitted(kind=kind, pseudo_labels="kmeans")
    assert type(clusterer.n_clusters_) is int
    assert clusterer.n_clusters_ == len(clusterer.means_) == 4
    assert clusterer.predict_proba(X).shape == (len(X), 4)
    assert set(clusterer.pseudo_labels_) == {0, 1, 2, 3}
    # The parameter is as it was given.
    assert clusterer.n_clusters == clusterer.get_params()["n_clusters"] == "auto"
    assert clone(clusterer).n_clusters == "auto"


def test_the_curve(estimator):
    curve = estimator.n_clusters_curve_
    assert list(curve) == NAMES
    np.testing.assert_array_equal(curve["candidates"], range(2, 7))
    assert curve["scores"][2] == pytest.approx(1.0)
    assert curve["standard_errors"][2] == pytest.approx(0.0)
    assert (curve["scores"][3:] < curve["thresholds"][3:]).all()
    np.testing.assert_allclose(curve["thresholds"], needed_strengths(curve["candidates"], 0.9))


def test_the_fit_is_that_of_the_number(estimator):
    """The search takes no draws from the training."""
    given = MPCCClusterer(4, random_state=0, **BRIEF).fit(X)
    np.testing.assert_array_equal(estimator.means_, given.means_)
    np.testing.assert_array_equal(estimator.labels_, given.labels_)
    assert given.n_clusters_ == 4
    assert given.n_clusters_curve_ is None


def test_results_are_those_of_the_random_state(estimator, monkeypatch):
    again = fitted()
    monkeypatch.setattr(_number, "N_RESAMPLINGS", 3)
    assert_same_fit(again, estimator)
    order = np.random.default_rng(0).permutation(len(X))
    reordered = fitted(X[order])
    assert_same_fit(reordered, fitted(X[order]))
    np.testing.assert_array_equal(
        reordered.n_clusters_curve_["scores"], estimator.n_clusters_curve_["scores"]
    )


def test_the_order_of_columns_and_units_do_not_change_the_number():
    assert fitted(1e5 * X[:, ::-1] - 3e5).n_clusters_ == 4


@pytest.mark.slow
def test_fits_side_by_side_are_the_same():
    one, other = (fitted(n_init=2, n_jobs=n_jobs) for n_jobs in (1, 2))
    assert_same_fit(other, one)


def test_too_few_rows_are_an_error_before_any_training(monkeypatch):
    monkeypatch.setattr("skmpcc.training.initialization.Initialization.run", None)
    clusterer = MPCCClusterer("auto", random_state=0)
    before = dict(vars(clusterer))
    with pytest.raises(ValueError, match=r"n_clusters='auto' .* at least 8 samples are needed.* are 7"):
        clusterer.fit(X[:7])
    assert vars(clusterer) == before


def test_the_smallest_table():
    clusterer = fitted(blobs(8, CENTRES[:2]))
    assert clusterer.n_clusters_ == 2
    np.testing.assert_array_equal(clusterer.n_clusters_curve_["candidates"], [2])


@pytest.mark.parametrize("value", [0, -1, 2.5, "many", None, [3]])
def test_other_values_are_errors(value):
    with pytest.raises(ValueError, match="'n_clusters' parameter of MPCCClusterer"):
        MPCCClusterer(value).fit(X)


def test_a_guess_is_warned_of():
    given = np.random.default_rng(0).normal(size=(120, 4))
    message = r"n_clusters='auto' takes \d+, which is a guess"
    with pytest.warns(UserWarning, match=message) as caught:
        clusterer = fitted(given)
    (found,) = [each for each in caught if "which is a guess" in str(each.message)]
    assert found.filename == __file__
    assert f"takes {clusterer.n_clusters_}," in str(found.message)
    curve = clusterer.n_clusters_curve_
    assert (curve["scores"] < curve["thresholds"]).all()
    unfitted = MPCCClusterer("auto", random_state=0, **BRIEF)
    before = dict(vars(unfitted))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        with pytest.raises(UserWarning, match=message):
            unfitted.fit(given)
    assert vars(unfitted) == before


def test_what_the_search_and_the_fit_see_is_warned_of_once():
    with pytest.warns(UserWarning, match="is meant for images, but X is a table") as caught:
        fitted(preset="mnist")
    assert sum("is meant for images" in str(each.message) for each in caught) == 1


@pytest.mark.slow
@pytest.mark.full_pseudo_labels
def test_more_than_twenty_are_looked_for_where_twenty_are_best():
    grid = [[20.0 * i, 20.0 * j] for i in range(5) for j in range(5)]
    clusterer = fitted(blobs(1000, grid))
    assert clusterer.n_clusters_ == 25
    np.testing.assert_array_equal(clusterer.n_clusters_curve_["candidates"], range(2, 41))
    assert {len(values) for values in clusterer.n_clusters_curve_.values()} == {39}


def suggestion(number, candidates, is_guess=False):
    scores = np.linspace(0.5, 0.6, len(candidates))
    return NClustersSuggestion(number, np.array(candidates), scores, 0.1 * scores, 0.9, is_guess)


@pytest.mark.parametrize(
    ("first", "second", "n_clusters", "is_guess"),
    [
        (False, False, 5, False),
        (False, True, 4, False),
        (True, False, 5, False),
        (True, True, 5, True),
    ],
)
def test_a_guess_among_larger_numbers_is_not_taken(first, second, n_clusters, is_guess):
    some, more = suggestion(4, [2, 3, 4], first), suggestion(5, [4, 5, 6, 7], second)
    found = some.followed_by(more)
    assert (found.n_clusters, found.is_guess) == (n_clusters, is_guess)
    np.testing.assert_array_equal(found.candidates, range(2, 8))
    np.testing.assert_array_equal(found.scores, [*some.scores[:2], *more.scores])
    assert found.standard_errors.shape == found.thresholds.shape == (6,)


def test_the_search_ends_with_what_is_no_guess(monkeypatch):
    asked = []

    def last_of_all(data, candidates, *_, **__):
        asked.append((candidates[0], candidates[-1]))
        return suggestion(int(candidates[-1]), candidates, is_guess=len(asked) > 1)

    monkeypatch.setattr(_number, "suggestion_among", last_of_all)
    clusterer = fitted(X[:60])
    assert asked == [(2, 6), (6, 12)]
    assert clusterer.n_clusters_ == 6


def test_the_search_goes_on_as_long_as_there_are_rows(monkeypatch):
    asked = []

    def last_of_all(data, candidates, *_, **__):
        asked.append((candidates[0], candidates[-1]))
        return suggestion(int(candidates[-1]), candidates)

    monkeypatch.setattr(_number, "suggestion_among", last_of_all)
    assert fitted(X[:60]).n_clusters_ == 15
    assert asked == [(2, 6), (6, 12), (12, 15)]


# ---- Forms of the data


class TestImages:
    @pytest.fixture(autouse=True)
    def classifiers(self, agreeing_classifiers):
        self.known = agreeing_classifiers

    @pytest.mark.parametrize("kind", [MPCCClusterer, VaDEClusterer])
    def test_classifiers_tell_the_number(self, kind):
        given = load_digits().images[:60]
        clusterer = fitted(given, kind, pseudo_labels="image_search", max_iter=2)
        assert clusterer.n_clusters_ == len(clusterer.cluster_centers_) == 5
        np.testing.assert_array_equal(
            clusterer.n_clusters_curve_["candidates"], sorted(self.known.tried)
        )
        assert clusterer.predict_proba(given).shape == (60, 5)

    def test_more_are_tried_where_the_last_is_best(self):
        self.known.best = 9
        clusterer = fitted(load_digits().images[:60], pseudo_labels="image_search", max_iter=2)
        assert clusterer.n_clusters_ == 9
        candidates = clusterer.n_clusters_curve_["candidates"]
        assert candidates[0] == 2
        assert (np.diff(candidates) > 0).all()
        np.testing.assert_array_equal(np.unique(self.known.tried), candidates)

    @pytest.mark.parametrize("pseudo_labels", ["kmeans", None])
    def test_tables_of_pixels_tell_it_where_no_classifiers_are_asked(self, pseudo_labels):
        clusterer = fitted(load_digits().images[:60], pseudo_labels=pseudo_labels)
        assert not self.known.tried
        assert clusterer.n_clusters_ in clusterer.n_clusters_curve_["candidates"]


@pytest.mark.parametrize("kind", [MPCCClusterer, VaDEClusterer])
def test_mixed_frames(kind):
    code = np.arange(120) % 3
    given = pd.DataFrame(
        {
            "size": np.random.default_rng(0).normal(20.0 * code, 1.0),
            "town": np.array(["Ulm", "Bonn", "Kiel"])[code],
        }
    )
    given.loc[::9, "size"] = None
    clusterer = fitted(given, kind)
    assert clusterer.n_clusters_ == len(clusterer.cluster_centers_) == 3


# ---- What a fit may do


def test_fits_go_on_with_the_number_that_was_found(monkeypatch):
    clusterer = fitted(warm_start=True)
    curve = clusterer.n_clusters_curve_
    monkeypatch.setattr(_number, "suggestion_among", None)
    clusterer.fit(X[:100])
    assert clusterer.n_clusters_ == 4
    assert clusterer.n_clusters == "auto"
    assert clusterer.n_clusters_curve_ is curve
    # One that was given is kept as well, and nothing tells of a search.
    given = MPCCClusterer(3, warm_start=True, random_state=0, **BRIEF).fit(X)
    given.set_params(n_clusters="auto").fit(X)
    assert given.n_clusters_ == len(given.means_) == 3
    assert given.n_clusters_curve_ is None


def test_interrupted_fits_go_on(tmp_path, monkeypatch):
    monkeypatch.setattr(_checkpoint, "SECONDS", 0.0)
    given = {"checkpoint": tmp_path / "fit", "pseudo_labels": "kmeans", "max_iter": 8}
    expected = fitted(**given)
    unfinished = clone(expected).set_callbacks(Interrupting(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        unfinished.fit(X)
    assert unfinished.n_clusters == "auto"
    assert_same_fit(clone(expected).fit(X), expected)


def test_files_and_pickles(estimator, tmp_path):
    estimator.save(tmp_path / "model")
    restored = MPCCClusterer.load(tmp_path / "model")
    for other in (restored, pickle.loads(pickle.dumps(estimator))):
        assert other.n_clusters == "auto"
        assert type(other.n_clusters_) is int
        assert_same_fit(other, estimator)
        assert list(other.n_clusters_curve_) == NAMES
        np.testing.assert_array_equal(other.predict(X), estimator.labels_)


def test_searches_over_numbers():
    clusterer = MPCCClusterer(random_state=0, **BRIEF)
    search = GridSearchCV(clusterer, {"n_clusters": ["auto", 3]}, cv=2, error_score="raise").fit(X)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_the_curve_is_drawn(estimator):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    display = NClustersDisplay.from_estimator(estimator)
    curve = estimator.n_clusters_curve_
    line, _, _ = display.errorbar_
    np.testing.assert_array_equal(line.get_xdata(), curve["candidates"])
    np.testing.assert_array_equal(line.get_ydata(), curve["scores"])
    np.testing.assert_allclose(display.threshold_line_.get_ydata(), curve["thresholds"])
    assert set(display.suggestion_line_.get_xdata()) == {4}
    pyplot.close(display.figure_)
    given = MPCCClusterer(4, random_state=0, **BRIEF).fit(X)
    with pytest.raises(ValueError, match="the fit was given n_clusters=4"):
        NClustersDisplay.from_estimator(given)
