"""Pictures, the report and inspection of fits in which rows belong to no cluster."""

import re
import warnings
from html import unescape

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from support import BRIEF, images

from skmpcc import MPCCClusterer, VaDEClusterer
from skmpcc.inspection import compare, describe_clusters, match_clusters, renumber_clusters
from skmpcc.plotting import (
    ClusterDescriptionDisplay,
    ClustersDisplay,
    HistoryDisplay,
    LatentMapDisplay,
    MembershipsDisplay,
    ReconstructionsDisplay,
)
from skmpcc.plotting._drawing import OF_NONE, colours
from skmpcc.report import html_report
from skmpcc.training import number as _number

pyplot = pytest.importorskip("matplotlib.pyplot")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

CENTRES = [[-9, 0], [9, 0], [0, 9]]
N, N_OUTSIDE = 150, 15


def rows(seed=0, n=N):
    """Three clusters, and places on one side of them."""
    random = np.random.default_rng(seed)
    X = make_blobs(n - n // 10, centers=CENTRES, random_state=seed)[0]
    return np.vstack([X, random.uniform([20, 20], [60, 60], (n // 10, 2))])


X = rows()
LEARNED = {"labels_only": True, "max_iter": 60, "random_state": 0, "outlier_fraction": 0.1}


def fitted(kind=MPCCClusterer, given=X, n_clusters=3, **parameters):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return kind(n_clusters, **LEARNED | parameters).fit(given)


@pytest.fixture(autouse=True)
def no_figures_left():
    yield
    pyplot.close("all")


@pytest.fixture(scope="module", params=[MPCCClusterer, VaDEClusterer], ids=lambda kind: kind.__name__)
def estimator(request):
    """Fitted with a number of clusters that was looked for."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(_number, "MAX_CLUSTERS", 5)
        patched.setattr(_number, "N_RESAMPLINGS", 3)
        clusterer = fitted(request.param, n_clusters="auto")
    assert clusterer.n_clusters_ == 3
    outside = np.arange(N) >= N - N_OUTSIDE
    np.testing.assert_array_equal(clusterer.labels_ < 0, outside)
    return clusterer


# ---- Pictures


def test_members_are_of_clusters(estimator):
    display = ClustersDisplay.from_estimator(estimator, X, n_samples=N)
    assert [len(each) for each in display.members] == np.bincount(
        estimator.labels_[:-N_OUTSIDE]
    ).tolist()
    assert max(each.max() for each in display.members) < 20


def test_rows_of_no_cluster_are_grey_on_maps(estimator):
    display = LatentMapDisplay.from_estimator(estimator, X, alpha=1.0)
    np.testing.assert_array_equal(display.labels, estimator.labels_)
    shown = display.scatter_.get_facecolors()
    expected = np.vstack([colours(3), OF_NONE])[estimator.labels_]
    np.testing.assert_allclose(shown, expected)
    assert not any(np.allclose(OF_NONE, each) for each in colours(20))
    assert len(display.ellipses_) == len(display.texts_) == 3


def test_rows_of_no_cluster_have_a_place_of_their_own_beside_memberships(estimator):
    display = MembershipsDisplay.from_estimator(estimator, X, threshold=1.0)
    sizes = np.bincount(estimator.labels_[:-N_OUTSIDE])
    assert [len(block.get_data().values) for block in display.blocks_] == sizes.tolist()
    assert sorted(display.order_) == list(range(N))
    assert set(display.order_[-N_OUTSIDE:]) == set(range(N - N_OUTSIDE, N))
    # They are in no doubt.
    assert not (estimator.labels_[display.doubtful_] < 0).any()
    ticks = [tick.get_text() for tick in display.ax_.get_xticklabels()]
    assert ticks == ["0", "1", "2", "none"]


def test_rows_of_clusters_alone_are_drawn_as_before(estimator):
    inside = X[:-N_OUTSIDE]
    ticks = MembershipsDisplay.from_estimator(estimator, inside).ax_.get_xticklabels()
    assert [tick.get_text() for tick in ticks] == ["0", "1", "2"]


def test_pictures_of_rows_of_no_cluster_alone(estimator):
    outside = X[-N_OUTSIDE:]
    display = MembershipsDisplay.from_estimator(estimator, outside)
    assert [tick.get_text() for tick in display.ax_.get_xticklabels()] == ["none"]
    assert len(display.doubtful_) == 0
    assert (LatentMapDisplay.from_estimator(estimator, outside).labels == -1).all()
    clusters = ClustersDisplay.from_estimator(estimator, outside)
    assert [len(each) for each in clusters.members] == [0, 0, 0]
    for each in (display, clusters):
        each.figure_.canvas.draw()


def test_other_pictures(estimator):
    display = ReconstructionsDisplay.from_estimator(estimator, X[-N_OUTSIDE:], n_samples=3)
    assert display.reconstructions.shape == (3, 2)
    descriptions = ClusterDescriptionDisplay.from_estimator(estimator, X)
    for each in (display, descriptions, HistoryDisplay.from_estimator(estimator)):
        each.figure_.canvas.draw()


# ---- The report


def rows_of(page):
    found = re.findall("<tr>(.*?)</tr>", page, re.DOTALL)
    return [[unescape(cell) for cell in re.findall("<td>(.*?)</td>", row, re.DOTALL)] for row in found]


def test_the_report_counts_rows_of_no_cluster(estimator):
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        page = html_report(estimator, X)
    sizes = {row[0]: row[1:] for row in rows_of(page) if row[:1] and row[0] in ("0", "1", "2", "none")}
    counts = np.bincount(estimator.labels_[:-N_OUTSIDE])
    assert [sizes[str(k)][0] for k in range(3)] == list(map(str, counts))
    assert sizes["none"] == [str(N_OUTSIDE), "10.0%", "-", "-"]
    assert page.count('alt="number of clusters"') == 1
    # Neither typical nor doubtful rows are among them.
    for text in re.findall("Typical rows: (.*?)</p>", page):
        assert max(map(int, re.findall(r"\d+", text))) < N - N_OUTSIDE


def test_the_report_has_neither_where_there_is_neither():
    page = html_report(fitted(outlier_fraction=None), X)
    assert "none" not in [row[0] for row in rows_of(page) if row]
    assert 'alt="number of clusters"' not in page


def test_the_report_of_images():
    given = images((60, 8, 8))
    given[:6] *= 20.0
    parameters = BRIEF | {"labels_only": False}
    clusterer = fitted(given=given, n_clusters=2, **parameters)
    page = html_report(clusterer, given)
    assert ["none", "6", "10.0%", "-", "-"] in rows_of(page)


# ---- Inspection


def test_descriptions_leave_rows_of_no_cluster_aside(estimator):
    described = describe_clusters(estimator, X)
    counts = np.bincount(estimator.labels_[:-N_OUTSIDE])
    assert described["size"].tolist() == counts.tolist()
    np.testing.assert_allclose(described["share"], counts / N)
    for name in ("typical", "doubtful"):
        assert max(map(max, described[name])) < N - N_OUTSIDE
    # Rules are told of all other rows, these included.
    assert (described["precision"] > 0.9).all()


def test_matches_leave_rows_of_no_cluster_aside(estimator):
    other = fitted(type(estimator), random_state=1)
    match = match_clusters(estimator, other, X)
    assert match.counts.sum() == N - N_OUTSIDE
    assert match.kept_share == 1.0
    assert sorted(match.old_of_new) == [0, 1, 2]


def test_other_numbers_leave_rows_of_no_cluster_without_one(estimator):
    other = fitted(type(estimator), random_state=1)
    wanted = np.where(estimator.labels_ < 0, -1, (estimator.labels_ + 1) % 3)
    renumber_clusters(other, wanted, X)
    np.testing.assert_array_equal(other.labels_, wanted)
    np.testing.assert_array_equal(other.predict(X), wanted)
    assert not other.predict_proba(X)[wanted < 0].any()
    np.testing.assert_array_equal(
        other.predict_proba(X)[wanted >= 0].argmax(axis=1), wanted[wanted >= 0]
    )


def test_new_rows_with_as_many_outliers_do_not_differ():
    """Columns and scores are those of rows in clusters, which the fit saw."""
    clusterer = fitted(given=rows(0, 600))
    drift = compare(clusterer, rows(1, 600))
    assert drift.clusters.tolist() == [-1, 0, 1, 2]
    np.testing.assert_allclose(drift.shares_of_fit[0], 0.1)
    assert not drift.columns_changed.any()
    assert not drift.clusters_changed.any()
    np.testing.assert_allclose(drift.means, drift.means_of_fit, atol=1.0)


def test_new_rows_with_more_or_nothing_but_outliers_differ():
    clusterer = fitted(given=rows(0, 600))
    inside, outside = rows(1, 600)[:540], rows(2, 600)[-60:]
    drift = compare(clusterer, np.vstack([inside, outside, outside + 3.0, outside - 3.0]))
    assert drift.clusters_changed[0]
    assert not drift.columns_changed.any()
    assert "Without a cluster" in str(drift)
    alone = compare(clusterer, outside)
    assert alone.drifted
    assert alone.shares[0] == 1.0
    assert np.isnan(alone.means).all()
    assert not alone.scores_changed


def test_pipelines():
    pipeline = make_pipeline(StandardScaler(), MPCCClusterer(3, **LEARNED)).fit(X)
    assert describe_clusters(pipeline, X)["size"].sum() == N - N_OUTSIDE
    assert compare(pipeline, rows(1)).clusters.tolist() == [-1, 0, 1, 2]
