import dataclasses
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from support import BRIEF, QUICK, Interrupting

from skmpcc import MPCCClusterer
from skmpcc.presets import PRESETS
from skmpcc.training.fit import Fit

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.full_history
def test_callbacks(blobs, capsys):
    X, y = blobs
    monitor = ScoringMonitor(scoring="adjusted_rand_score")
    clusterer = MPCCClusterer(3, random_state=0, **QUICK | {"max_iter": 30})
    clusterer.set_callbacks(ProgressBar(), monitor).fit(X, y)
    scores = [row["adjusted_rand_score"] for row in monitor.get_logs().data]
    assert len(scores) == 31  # every entry of the history, and the end
    assert scores[-1] == adjusted_rand_score(y, clusterer.labels_)
    assert "MPCCClusterer" in capsys.readouterr().out
    # looking on changes nothing, and neither does y
    alone = MPCCClusterer(3, random_state=0, **QUICK | {"max_iter": 30}).fit(X)
    np.testing.assert_array_equal(alone.transform(X), clusterer.transform(X))


class Stopping(Interrupting):
    def on_fit_task_end(self, estimator, context):
        return len(context.parent._children_map) == 4 if context.parent else None


@pytest.mark.full_history
def test_callback_may_stop_the_training(blobs):
    clusterer = MPCCClusterer(3, **BRIEF | {"max_iter": 20}).set_callbacks(Stopping(None))
    assert clusterer.fit(blobs[0]).n_iter_ == 4


def test_verbose(blobs, capsys):
    MPCCClusterer(3, verbose=1, **BRIEF).fit(blobs[0])
    out = capsys.readouterr().out
    assert "Initialization 0" in out
    assert "  Iteration 3\n" in out
    MPCCClusterer(3, verbose=2, **BRIEF).fit(blobs[0])
    assert "time lapse" in capsys.readouterr().out
    MPCCClusterer(3, **BRIEF).fit(blobs[0])
    assert capsys.readouterr().out == ""


def test_pipeline(blobs):
    X, y = blobs
    pipeline = make_pipeline(StandardScaler(), PCA(3), MPCCClusterer(3, random_state=0, **QUICK)).fit(X)
    assert adjusted_rand_score(y, pipeline.predict(X)) > 0.8
    assert pipeline.transform(X).shape[0] == 200
    assert np.isfinite(pipeline.score(X))


@pytest.mark.parametrize("scoring", ["adjusted_rand_score", None])
def test_grid_search(blobs, scoring):
    X, y = blobs
    quick = MPCCClusterer(random_state=0, **QUICK | {"max_iter": 20})
    monitor = ScoringMonitor(scoring="adjusted_rand_score")
    search = GridSearchCV(
        quick.set_callbacks(monitor), {"n_clusters": [2, 3]}, scoring=scoring, cv=2, n_jobs=2
    )
    search.set_callbacks(ProgressBar())
    search.fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert monitor.get_logs()
    if scoring:
        assert search.best_params_ == {"n_clusters": 3}
    assert search.predict(X).shape == (200,)


def test_grid_search_over_fields_of_the_preset(blobs):
    X = blobs[0]
    grid = {
        "preset_params": [{"min_std": 0.3, "ema_decay": 0.9}, {"ema_decay": 0.9}],
        "preset": ["vectors"],
    }
    quick = {name: value for name, value in QUICK.items() if name != "preset_params"}
    search = GridSearchCV(MPCCClusterer(3, random_state=0, **quick | {"max_iter": 20}), grid, cv=2)
    search.fit(X)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_params_["preset_params"] in grid["preset_params"]
    floor = search.best_params_["preset_params"].get("min_std", 0.5)
    assert search.best_estimator_._fitted.model.settings.min_std == floor


def test_a_preset_may_be_an_object(blobs):
    X = blobs[0]
    mine = dataclasses.replace(PRESETS["vectors"], name="mine", width=16, max_iter=3, pseudo_labels=None)
    clusterer = MPCCClusterer(3, preset=mine, random_state=0).fit(X)
    assert clusterer.preset_ == "mine"
    assert clone(clusterer).get_params()["preset"] == mine
    parameters = {"width": 16, "max_iter": 3, "pseudo_labels": None}
    same = MPCCClusterer(3, preset="vectors", random_state=0, **parameters).fit(X)
    np.testing.assert_array_equal(clusterer.means_, same.means_)
    by_field = MPCCClusterer(3, preset="vectors", random_state=0, preset_params=parameters).fit(X)
    np.testing.assert_array_equal(by_field.means_, same.means_)


def test_cross_validation(blobs):
    X, y = blobs
    scores = cross_validate(
        MPCCClusterer(3, random_state=0, **QUICK), X, y, scoring="normalized_mutual_info_score", cv=2
    )
    assert scores["test_score"].min() > 0.5


def test_fit_predict_and_fit_transform(blobs):
    X = blobs[0]
    fitted = MPCCClusterer(3, random_state=0, **BRIEF).fit(X)
    again = MPCCClusterer(3, random_state=0, **BRIEF)
    np.testing.assert_array_equal(again.fit_predict(X), fitted.labels_)
    np.testing.assert_array_equal(again.fit_transform(X), fitted.transform(X))


def test_no_warning_by_itself(blobs):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MPCCClusterer(2, random_state=0, **QUICK).fit(blobs[0]).predict(blobs[0])


def test_best_of_several_initializations_is_the_one_of_the_highest_score(blobs):
    X = blobs[0]
    parameters = BRIEF | {"max_iter": 20}
    best = MPCCClusterer(3, n_init=4, random_state=1, **parameters).fit(X)
    first = MPCCClusterer(3, random_state=1, **parameters).fit(X)
    again = MPCCClusterer(3, n_init=4, random_state=1, **parameters).fit(X)
    np.testing.assert_array_equal(best.means_, again.means_)
    assert best.score(X) >= first.score(X)
    # One stream of seeds, of which four fits take what one of four initializations takes.
    state = np.random.RandomState(1)
    single = [MPCCClusterer(3, random_state=state, **parameters).fit(X).score(X) for _ in range(4)]
    assert len(set(single)) == 4
    np.testing.assert_allclose(best.score(X), max(single))


def test_initializations_side_by_side_are_the_same(blobs):
    X = blobs[0]
    one = MPCCClusterer(3, n_init=3, random_state=0, **BRIEF).fit(X)
    two = MPCCClusterer(3, n_init=3, n_jobs=2, random_state=0, **BRIEF).fit(X)
    # processes with another number of threads round differently
    np.testing.assert_allclose(one.means_, two.means_, atol=1e-4)
    np.testing.assert_array_equal(two.labels_, two.predict(X))


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_diverging_initialization_leaves_the_others(blobs, monkeypatch, n_jobs):
    X = blobs[0]
    initializations = Fit.initializations

    def with_bad_ones(fit, data, begin):
        # Rates that no training survives, in all but the second.
        bad = {"learning_rate": 1e38, "max_iter": 1}
        return [
            each
            if index == 1
            else dataclasses.replace(each, settings=dataclasses.replace(each.settings, **bad))
            for index, each in enumerate(initializations(fit, data, begin))
        ]

    monkeypatch.setattr(Fit, "initializations", with_bad_ones)
    fitted = MPCCClusterer(3, n_init=3, n_jobs=n_jobs, random_state=0, **BRIEF).fit(X)
    assert fitted.labels_.shape == (len(X),)
    with pytest.raises(FloatingPointError, match="diverged"):
        MPCCClusterer(3, n_init=1, random_state=0, **BRIEF).fit(X)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_callbacks_hear_of_every_initialization(blobs, n_jobs, capsys):
    X, y = blobs
    scoring = ScoringMonitor(scoring="adjusted_rand_score")
    clusterer = MPCCClusterer(3, n_init=2, n_jobs=n_jobs, random_state=0, verbose=1, **BRIEF)
    clusterer.set_callbacks(scoring).fit(X, y)
    out = capsys.readouterr().out
    assert "Initialization 0 ended" in out
    assert "Initialization 1 ended" in out
    scores = [row["adjusted_rand_score"] for row in scoring.get_logs().data]
    # Once of the initialization that is the best, and once of the fit.
    assert scores.count(adjusted_rand_score(y, clusterer.labels_)) >= 2
    assert len(clusterer.history_["iteration"]) == 3


def test_a_fit_that_goes_on_has_one_initialization(blobs):
    X = blobs[0]
    warm = MPCCClusterer(3, n_init=3, random_state=0, warm_start=True, **BRIEF).fit(X)
    means = warm.means_
    warm.set_params(learning_rate=1e-9, preset_params={"prior_learning_rate": 1e-9}).fit(X)
    np.testing.assert_allclose(np.sort(warm.means_, 0), np.sort(means, 0), atol=1e-5)
