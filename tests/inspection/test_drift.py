"""New rows beside those of the fit."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.datasets import make_blobs
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from support import BRIEF, QUICK, images

from skmpcc import MPCCClassifier, MPCCClusterer, VaDEClusterer
from skmpcc.inspection import compare
from skmpcc.inspection.drift import _adjusted

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SETTINGS = QUICK | {"max_iter": 40, "width": 16, "random_state": 0}


def table(n, seed=0):
    """Three kinds of rows in columns of numbers and categories, with gaps."""
    random = np.random.default_rng(seed)
    kind = random.integers(0, 3, n)
    X = pd.DataFrame(
        {
            "speed": 30.0 * kind + random.normal(size=n) + 50.0,
            "weight": random.normal(70.0, 10.0, n),
            "road": np.array(["lane", "street", "motorway"])[kind],
        }
    )
    X.loc[random.random(n) < 0.1, "weight"] = np.nan
    return X, kind


X, KINDS = table(400)
NEW, NEW_KINDS = table(400, seed=1)


@pytest.fixture(scope="module", params=[MPCCClusterer, VaDEClusterer])
def clusterer(request):
    return request.param(3, **SETTINGS).fit(X)


def test_nothing_differs_in_rows_of_the_same_kind(clusterer):
    drift = compare(clusterer, NEW)
    assert not drift.drifted
    assert str(drift) == "The new rows do not differ from those of the fit (alpha=0.01)."
    assert drift.shares_pvalue > 0.01
    assert drift.columns == (
        *("speed", "weight", "road = lane", "road = motorway", "road = street"),
        "weight is missing",
    )


def test_false_alarms_are_rare():
    """At a level of 0.2, at which a few draws tell more than at 0.01."""
    draw = {"n_features": 3, "centers": [[-9, 0, 0], [0, 9, 0], [9, 0, 9]]}
    given, _ = make_blobs(20_000, random_state=0, **draw)
    clusterer = MPCCClusterer(3, **SETTINGS).fit(given)
    drifts = [compare(clusterer, make_blobs(150, random_state=seed, **draw)[0]) for seed in range(1, 81)]
    smallest = [min(d.shares_pvalues.min(), d.columns_pvalues.min()) for d in drifts]
    # Blobs have equal sizes, so that shares never differ: columns have a third of the level.
    assert np.mean(np.array(smallest) < 0.2) < 0.2
    assert sum(d.drifted for d in drifts) <= 4


def test_shares_of_clusters(clusterer):
    kept = NEW[(NEW_KINDS != 2) | (np.arange(400) % 3 == 0)]
    drift = compare(clusterer, kept)
    assert drift.drifted
    assert drift.clusters.tolist() == [0, 1, 2]
    fit, new = (np.bincount(each, minlength=3) for each in (clusterer.labels_, clusterer.predict(kept)))
    np.testing.assert_allclose(drift.shares_of_fit, fit / 400)
    np.testing.assert_allclose(drift.shares, new / len(kept))
    rare = clusterer.predict(NEW[NEW_KINDS == 2])[0]
    assert drift.clusters_changed[rare]
    assert drift.shares_z[rare] < -4
    assert drift.shares_pvalue == stats.chi2_contingency(np.stack([fit, new])).pvalue < 1e-4
    percent = f"{drift.shares_of_fit[rare]:.1%} of the rows in the fit, now {drift.shares[rare]:.1%}"
    assert f"Cluster {rare}: {percent}" in str(drift)


def test_columns_in_their_own_units(clusterer):
    moved = NEW.assign(weight=NEW["weight"] + 5.0)
    drift = compare(clusterer, moved)
    assert drift.drifted
    assert not drift.clusters_changed.any()
    assert np.array(drift.columns)[drift.columns_changed].tolist() == ["weight"]
    frame = drift.to_frame("columns")
    assert frame.loc["weight", "mean_of_fit"] == pytest.approx(X["weight"].mean(), rel=1e-3)
    assert frame.loc["weight", "mean"] == pytest.approx(moved["weight"].mean(), rel=1e-3)
    expected = (moved["weight"].mean() - X["weight"].mean()) / X["weight"].std()
    assert frame.loc["weight", "difference"] == pytest.approx(expected, rel=1e-2)
    assert frame.loc["road = street", "mean"] == pytest.approx(np.mean(NEW["road"] == "street"))
    assert frame.loc["weight is missing", "mean"] == pytest.approx(NEW["weight"].isna().mean())
    before, after = (column.dropna() for column in (X["weight"], moved["weight"]))
    welch = stats.ttest_ind(before, after, equal_var=False).pvalue
    # The smallest of six, times the number of them and of the families.
    assert frame.loc["weight", "pvalue"] == pytest.approx(18 * welch, rel=0.1)
    assert "weight: mean " in str(drift)


def test_categories_and_gaps_may_differ(clusterer):
    gaps = NEW.copy()
    gaps.loc[::2, "weight"] = np.nan
    drift = compare(clusterer, gaps)
    assert np.array(drift.columns)[drift.columns_changed].tolist() == ["weight is missing"]
    # What the fit did not see is missing, which is no road of any kind.
    unknown = compare(clusterer, NEW.assign(road="path"))
    assert not unknown.columns_changed[2:5].any()
    assert np.isnan(unknown.means[2:5]).all()


def test_scores_of_rows_unlike_any():
    given, _ = make_blobs(400, 4, centers=3, random_state=0)
    clusterer = MPCCClusterer(3, **SETTINGS).fit(given)
    noise = np.random.default_rng(0).normal(given.mean(0), 3.0 * given.std(0), size=(300, 4))
    drift = compare(clusterer, noise)
    assert drift.scores_changed["reconstruction"]
    assert "Scores by " in str(drift)
    same = compare(clusterer, given)
    for name in ("information", "reconstruction"):
        assert same.distances[name] < 0.02
        np.testing.assert_allclose(same.quantiles[name], [0.05, 0.25, 0.5, 0.75, 0.95], atol=0.01)
    assert drift.quantiles["reconstruction"][2] < 0.1
    frame = drift.to_frame("scores")
    assert frame.index.tolist() == ["information", "reconstruction"]
    assert frame.loc["information", "quantile 0.5"] == drift.quantiles["information"][2]


def test_small_changes_of_many_rows_are_no_drift():
    def draw(seed, counts):
        random = np.random.default_rng(seed)
        return random.normal(size=(30_000, 2)) + 9.0 * np.repeat([0, 1, 2], counts)[:, None]

    clusterer = MPCCClusterer(3, **SETTINGS).fit(draw(0, [10_000] * 3))
    drift = compare(clusterer, draw(1, [9_300, 10_000, 10_700]))
    assert drift.shares_pvalue < 1e-6
    assert drift.columns_pvalues.max() < 1e-6
    assert not drift.drifted


def test_pipelines_files_and_tables_without_moments(tmp_path):
    given, _ = make_blobs(200, 3, centers=3, random_state=0)
    pipeline = make_pipeline(StandardScaler(), MPCCClusterer(3, **SETTINGS)).fit(given)
    moved = given + np.array([0.0, 8.0, 0.0])
    drift = compare(pipeline, moved)
    assert drift.columns == ("x0", "x1", "x2")
    assert drift.columns_changed.tolist() == [False, True, False]
    clusterer, scaled = pipeline[-1], pipeline[0].transform(moved)
    clusterer.save(tmp_path / "model.safetensors")
    restored = compare(MPCCClusterer.load(tmp_path / "model.safetensors"), scaled)
    np.testing.assert_array_equal(restored.columns_pvalues, drift.columns_pvalues)
    np.testing.assert_array_equal(restored.shares, drift.shares)
    # As of a file of an earlier version.
    clusterer._fitted = replace(clusterer._fitted, training_moments=None, training_scores=None)
    older = compare(clusterer, scaled)
    assert older.columns == ()
    assert older.distances == {}
    np.testing.assert_array_equal(older.shares_pvalues, drift.shares_pvalues)


def test_moments_are_those_of_the_columns():
    given, _ = make_blobs(200, 3, centers=3, random_state=0)
    given[:, 1] = 5.0  # constant, which no network sees
    clusterer = MPCCClusterer(3, **BRIEF | {"random_state": 0}).fit(given)
    drift = compare(clusterer, given)
    assert drift.columns == ("x0", "x2")
    np.testing.assert_allclose(drift.means_of_fit, given.mean(0)[[0, 2]], rtol=1e-4)
    np.testing.assert_allclose(drift.differences, 0.0, atol=1e-6)
    variances = clusterer._fitted.training_moments.numpy()[1]
    scale = np.asarray(clusterer._fitted.format.scale)[[0, 2]]
    np.testing.assert_allclose(variances * scale**2, given.var(0)[[0, 2]], rtol=1e-4)


def test_images_have_clusters_and_scores():
    given = images((60, 8, 8))
    drift = compare(MPCCClusterer(2, **BRIEF | {"random_state": 0}).fit(given), given)
    assert drift.columns == ()
    assert not drift.columns_changed.any()
    assert set(drift.distances) == {"information", "reconstruction"}


def test_rows_without_a_cluster_have_a_share_of_their_own(monkeypatch):
    given, _ = make_blobs(200, 3, centers=3, random_state=0)
    clusterer = MPCCClusterer(3, **BRIEF | {"random_state": 0}).fit(given)
    monkeypatch.setattr(
        MPCCClusterer, "predict", lambda self, X: np.where(np.arange(200) < 50, -1, self.labels_)
    )
    drift = compare(clusterer, given)
    assert drift.clusters.tolist() == [-1, 0, 1, 2]
    assert drift.shares_of_fit[0] == 0.0
    assert drift.shares[0] == 0.25
    assert drift.clusters_changed[0]
    assert "Without a cluster: 0.0% of the rows in the fit, now 25.0%" in str(drift)


def test_pvalues_are_adjusted_by_holms_method():
    pvalues = np.array([0.01, 0.001, 0.3, 0.012])
    # Times 4, 3, 2 and 1 in order, rising, and times 3 for clusters, columns and scores.
    np.testing.assert_allclose(_adjusted(pvalues), [0.09, 0.012, 0.9, 0.09])
    np.testing.assert_allclose(_adjusted(np.array([0.5, 0.6])), [1.0, 1.0])
    assert len(_adjusted(np.array([]))) == 0


def test_frames_of_what_was_compared(clusterer):
    drift = compare(clusterer, NEW)
    frame = drift.to_frame()
    assert frame.index.name == "cluster"
    assert frame["share"].sum() == pytest.approx(1.0)
    np.testing.assert_allclose(frame["difference"], drift.shares - drift.shares_of_fit)
    with pytest.raises(ValueError, match="of should be one of"):
        drift.to_frame("rows")


def test_what_cannot_be_compared_is_refused(clusterer):
    with pytest.raises(ValueError, match="alpha"):
        compare(clusterer, NEW, alpha=0.0)
    with pytest.raises(TypeError, match="estimator should be a fitted MPCCClusterer or VaDEClusterer"):
        compare(MPCCClassifier(), NEW)
    with pytest.raises(NotFittedError):
        compare(MPCCClusterer(), NEW)
    with pytest.raises(ValueError, match="feature names"):
        compare(clusterer, NEW.iloc[:, :2])
