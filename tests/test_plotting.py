import inspect
import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from support import BRIEF, QUICK, images

from skmpcc import AIM, MPCCClassifier, MPCCClusterer
from skmpcc.plotting import (
    ClustersDisplay,
    HistoryDisplay,
    LatentMapDisplay,
    MembershipsDisplay,
    ReconstructionsDisplay,
)

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402
from matplotlib.colors import to_rgba  # noqa: E402

NAMES = np.array(["ash", "beech", "cedar"])
OF_X = [ClustersDisplay, LatentMapDisplay, MembershipsDisplay, ReconstructionsDisplay]


@pytest.fixture(autouse=True)
def no_figures_left():
    yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def classifier(blobs):
    X, y = blobs
    params = {name: value for name, value in QUICK.items() if name != "pseudo_labels"}
    del params["preset_params"]
    return MPCCClassifier(random_state=0, **params).fit(X, NAMES[y])


@pytest.fixture(params=["fitted", "classifier"])
def estimator(request):
    return request.getfixturevalue(request.param)


def names_of(estimator):
    return list(getattr(estimator, "classes_", range(3)))


def drawn(display):
    """The figure's canvas, once all of it is drawn."""
    display.figure_.canvas.draw()
    return np.asarray(display.figure_.canvas.buffer_rgba())


def test_matplotlib_is_imported_on_use():
    code = "import sys, skmpcc.plotting; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_clusters_of_a_table(estimator, blobs):
    X, _ = blobs
    display = ClustersDisplay.from_estimator(estimator, X, n_samples=6, linewidth=2.0)
    assert drawn(display).std() > 5
    assert display.axes_.shape == (3, 2)
    low, span = X.min(0), np.ptp(X, 0)
    labels = estimator.predict(X)
    for name, row in zip(names_of(estimator), display.axes_, strict=True):
        assert row[0].get_ylabel() == str(name)
        members, samples = (np.array([line.get_ydata() for line in ax.lines]) for ax in row)
        of_cluster = (X[labels == name] - low) / span
        assert len(members) == len(samples) == 7  # six and their mean
        assert all(np.isclose(of_cluster, line).all(axis=1).any() for line in members[:6])
        np.testing.assert_allclose(members[6], members[:6].mean(axis=0))
        expected = (estimator.sample(6, name)[0] - low) / span
        np.testing.assert_allclose(samples[:6], expected, rtol=1e-5, atol=1e-6)
        assert row[0].lines[0].get_linewidth() == 2.0
    assert [tick.get_text() for tick in display.axes_[-1, 0].get_xticklabels()] == list("0123")


def test_clusters_with_few_members_and_named_features(blobs):
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame(blobs[0], columns=["a", "b", "c", "d"])
    clusterer = MPCCClusterer(3, random_state=0, **BRIEF).fit(X)
    clusterer.set_output(transform="pandas")
    one = X.iloc[:1]
    display = ClustersDisplay.from_estimator(clusterer, one)
    drawn(display)
    assert sorted(len(ax.lines) for ax in display.axes_[:, 0]) == [0, 0, 2]
    ticks = display.axes_[-1, 1].get_xticklabels()
    assert [tick.get_text() for tick in ticks] == ["a", "b", "c", "d"]
    assert drawn(LatentMapDisplay.from_estimator(clusterer, X)).std() > 5


@pytest.mark.parametrize("dtype", [bool, object, np.uint8])
def test_tables_of_other_types(dtype):
    X = (images((30, 4)) > 100).astype(dtype)
    clusterer = MPCCClusterer(2, random_state=0, **BRIEF).fit(X)
    for display_class in (ClustersDisplay, ReconstructionsDisplay):
        display = display_class.from_estimator(clusterer, X)
        drawn(display)
        assert set(display.axes_[0, 0].lines[0].get_ydata()) <= {0.0, 1.0}


@pytest.mark.parametrize(
    ("shape", "image_shape", "strip"),
    [
        ((8, 9), None, (8, 36)),
        ((3, 8, 9), None, (8, 36, 3)),
        ((8, 9, 3), None, (8, 36, 3)),
        ((72,), (8, 9), (8, 36)),
    ],
)
def test_images(shape, image_shape, strip):
    X = images((20, *shape))
    clusterer = MPCCClusterer(2, random_state=0, image_shape=image_shape, **BRIEF).fit(X)
    display = ClustersDisplay.from_estimator(clusterer, X, n_samples=4)
    drawn(display)
    shown = [ax.images[0].get_array() for ax in display.axes_.flat]
    assert [each.shape for each in shown] == [strip] * 4
    display = ReconstructionsDisplay.from_estimator(clusterer, X, n_samples=4)
    drawn(display)
    assert display.axes_.shape == (2, 1)
    originals, reconstructions = (ax.images[0].get_array() for ax in display.axes_[:, 0])
    scale = 255 if len(strip) == 3 else 1
    for items, row in [(X, originals), (clusterer.reconstruct(X), reconstructions)]:
        first = items[display.indices[0]].reshape(image_shape or shape)
        first = np.moveaxis(first, 0, 2) if shape[0] == 3 else first
        expected = np.clip(first / scale, 0, 1) if len(strip) == 3 else first
        np.testing.assert_allclose(row[:, :9], expected, rtol=1e-5)
    ticks = [int(tick.get_text()) for tick in display.axes_[1, 0].get_xticklabels()]
    np.testing.assert_array_equal(ticks, display.indices)


def test_rows_are_images_where_asked():
    X = load_digits().data[:60]
    clusterer = MPCCClusterer(2, random_state=0, **BRIEF).fit(X)
    as_rows = ClustersDisplay.from_estimator(clusterer, X)
    as_images = ClustersDisplay.from_estimator(clusterer, X, image_shape=(8, 8))
    assert drawn(as_rows).std() > 5
    drawn(as_images)
    assert not as_rows.axes_[0, 0].images
    assert as_images.axes_[0, 1].images[0].get_array().shape == (8, 80)


def test_reconstructions_of_a_table(estimator, blobs):
    X, _ = blobs
    display = ReconstructionsDisplay.from_estimator(estimator, X, n_samples=5, random_state=1)
    assert drawn(display).std() > 5
    assert len(set(display.indices)) == len(display.axes_) == 5
    decoded = estimator.reconstruct(X)
    for index, ax in zip(display.indices, display.axes_[:, 0], strict=True):
        assert ax.get_ylabel() == str(index)
        for line, items in zip(ax.lines, (X, decoded), strict=True):
            expected = (items[index] - X.min(0)) / np.ptp(X, 0)
            np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-6)
    assert len(ReconstructionsDisplay.from_estimator(estimator, X[:3]).axes_) == 3


def test_latent_map(estimator, blobs):
    X, _ = blobs
    display = LatentMapDisplay.from_estimator(estimator, X)
    assert drawn(display).std() > 5
    codes = estimator.transform(X).astype(np.float64)
    pca = PCA(2, svd_solver="full").fit(codes)
    np.testing.assert_allclose(display.scatter_.get_offsets(), pca.transform(codes), atol=1e-5)
    assert [text.get_text() for text in display.texts_] == [str(n) for n in names_of(estimator)]
    numbers = np.searchsorted(names_of(estimator), estimator.predict(X))
    colours = [ellipse.get_edgecolor() for ellipse in display.ellipses_]
    for number, shown in zip(numbers, display.scatter_.get_facecolors(), strict=True):
        assert tuple(shown[:3]) == to_rgba(colours[number])[:3]
    for k, ellipse in enumerate(display.ellipses_):
        covariance = pca.components_ @ np.diag(estimator.covariances_[k]) @ pca.components_.T
        # Points of the ellipse, at two deviations by the projected Gaussian's Mahalanobis distance.
        path = ellipse.get_path().vertices[[0, 6, 12, 18]]
        centre = pca.transform(estimator.means_[[k]].astype(np.float64))[0]
        away = ellipse.get_patch_transform().transform(path) - centre
        distance = np.sqrt(np.einsum("id,de,ie->i", away, np.linalg.inv(covariance), away))
        np.testing.assert_allclose(distance, 2.0, rtol=1e-4)


def test_ellipses_are_turned_as_the_covariances_are():
    covariance = np.array([[4.0, 1.5], [1.5, 1.0]])
    display = LatentMapDisplay(
        codes=np.zeros((1, 2)),
        labels=np.zeros(1, dtype=int),
        means=np.ones((1, 2)),
        covariances=covariance[None],
        names=["one"],
    ).plot()
    ellipse = display.ellipses_[0]
    away = ellipse.get_patch_transform().transform(ellipse.get_path().vertices[[0, 6, 12, 18]]) - 1
    distance = np.sqrt(np.einsum("id,de,ie->i", away, np.linalg.inv(covariance), away))
    np.testing.assert_allclose(distance, 2.0)
    # Both of its half axes, not a single point four times.
    assert np.linalg.matrix_rank(away, tol=0.1) == 2


def test_memberships(estimator, blobs):
    X, _ = blobs
    q = estimator.predict_proba(X)
    threshold = float(np.quantile(q.max(axis=1), 0.3))
    display = MembershipsDisplay.from_estimator(estimator, X, threshold=threshold)
    assert drawn(display).std() > 5
    assert sorted(display.order_) == list(range(len(X)))
    for k, block in enumerate(display.blocks_):
        values = block.get_data().values
        np.testing.assert_array_equal(values, np.sort(q.max(axis=1)[q.argmax(axis=1) == k])[::-1])
    below = np.flatnonzero(q.max(axis=1) < threshold)
    assert 0 < len(below) < len(X)
    assert set(display.doubtful_) == set(below)
    assert set(display.threshold_line_.get_ydata()) == {threshold}
    for sample, (place, height) in zip(display.doubtful_, display.scatter_.get_offsets(), strict=True):
        assert display.order_[int(place)] == sample
        assert height == q[sample].max()
    ticks = [tick.get_text() for tick in display.ax_.get_xticklabels()]
    assert ticks == [str(name) for name in names_of(estimator)]


def test_doubtful_samples_have_the_colour_of_the_second_cluster():
    q = np.array([[0.45, 0.4, 0.15], [0.9, 0.05, 0.05], [0.3, 0.26, 0.44]])
    display = MembershipsDisplay(memberships=q, names=["a", "b", "c"]).plot()
    drawn(display)
    np.testing.assert_array_equal(display.order_, [1, 0, 2])
    np.testing.assert_array_equal(display.doubtful_, [2, 0])
    colours = [block.get_facecolor()[:3] for block in display.blocks_]
    shown = [tuple(colour[:3]) for colour in display.scatter_.get_facecolors()]
    assert shown == [colours[0], colours[1]]
    # Nothing lies in cluster 1.
    assert [tick.get_text() for tick in display.ax_.get_xticklabels()] == ["a", "c"]


def test_history(estimator):
    display = HistoryDisplay.from_estimator(estimator, linewidth=3.0)
    assert drawn(display).std() > 5
    history = estimator.history_
    assert set(display.lines_) == set(history) - {"iteration"}
    for name, line in display.lines_.items():
        np.testing.assert_array_equal(line.get_xdata(), history["iteration"])
        np.testing.assert_array_equal(line.get_ydata(), history[name])
        assert line.get_linewidth() == 3.0
    losses, mixture, change = display.axes_[:, 0]
    assert display.lines_["generator"].axes is losses
    assert display.lines_["mean_std"].axes is mixture
    assert display.lines_["change"].axes is display.lines_["generation_change"].axes is change


def test_aim(blobs):
    X, _ = blobs
    aim = AIM(2, width=8, max_iter=4, random_state=0).fit(X)
    display = HistoryDisplay.from_estimator(aim)
    assert drawn(display).std() > 5
    assert set(display.lines_) == set(aim.history_) - {"iteration"}
    assert [ax.get_ylabel() for ax in display.axes_[:, 0]] == ["loss", "change"]
    display = ReconstructionsDisplay.from_estimator(aim, X, n_samples=3)
    drawn(display)
    np.testing.assert_array_equal(display.reconstructions, aim.reconstruct(X)[display.indices])
    with pytest.raises(TypeError, match=r"fitted MPCCClusterer or MPCCClassifier, got.*AIM"):
        MembershipsDisplay.from_estimator(aim, X)


@pytest.mark.parametrize("display_class", [*OF_X, HistoryDisplay])
def test_given_axes_and_drawing_again(display_class, fitted, blobs):
    figure, (left, right) = pyplot.subplots(1, 2)
    X = () if display_class is HistoryDisplay else (blobs[0],)
    display = display_class.from_estimator(fitted, *X, ax=left)
    if hasattr(display, "axes_"):
        assert display.bounding_ax_ is left
        assert {ax.figure for ax in display.axes_.flat} == {figure}
        place = left.get_subplotspec().get_position(figure)
        assert all(place.x0 <= ax.get_position().x0 < place.x1 for ax in display.axes_.flat)
    else:
        assert display.ax_ is left
    assert display.figure_ is figure
    drawn(display)
    assert not right.has_data()
    assert display.plot() is display
    assert display.figure_ is not figure
    # The constructor's parameters are attributes, and all that a drawing needs.
    names = inspect.signature(display_class).parameters
    again = display_class(**{name: getattr(display, name) for name in names}).plot()
    np.testing.assert_array_equal(drawn(again), drawn(display))


@pytest.mark.parametrize("display_class", OF_X)
def test_what_is_no_fitted_estimator(display_class, fitted, blobs):
    with pytest.raises(TypeError, match=r"estimator must be a fitted MPCCClusterer.*got.*KMeans"):
        display_class.from_estimator(KMeans(3), blobs[0])
    with pytest.raises(NotFittedError, match="not fitted"):
        display_class.from_estimator(clone(fitted), blobs[0])
    with pytest.raises(ValueError, match="3 features"):
        display_class.from_estimator(fitted, blobs[0][:, :3])
    with pytest.raises(TypeError, match=r"ax must be matplotlib axes or None.*int"):
        display_class.from_estimator(fitted, blobs[0], ax=1)


def test_history_of_what_is_no_fitted_estimator(fitted):
    with pytest.raises(TypeError, match="estimator must be"):
        HistoryDisplay.from_estimator({"iteration": [1]})
    with pytest.raises(NotFittedError):
        HistoryDisplay.from_estimator(clone(fitted))


@pytest.mark.parametrize(
    ("display_class", "arguments", "error", "message"),
    [
        (ClustersDisplay, {"n_samples": 0}, ValueError, "n_samples == 0"),
        (
            ClustersDisplay,
            {"image_shape": (3, 3)},
            ValueError,
            r"image_shape must.*of 4 values.*\(3, 3\)",
        ),
        (ReconstructionsDisplay, {"n_samples": 2.5}, TypeError, "n_samples"),
        (ReconstructionsDisplay, {"image_shape": (4,)}, ValueError, "image_shape"),
        (MembershipsDisplay, {"threshold": 1.5}, ValueError, "threshold == 1.5"),
        (MembershipsDisplay, {"threshold": "half"}, TypeError, "threshold"),
    ],
)
def test_bad_arguments(display_class, arguments, error, message, fitted, blobs):
    with pytest.raises(error, match=message):
        display_class.from_estimator(fitted, blobs[0], **arguments)
    assert not pyplot.get_fignums()


def test_axes_that_cannot_be_divided(fitted):
    ax = pyplot.figure().add_axes((0, 0, 1, 1))
    with pytest.raises(ValueError, match="ax must belong to a grid"):
        HistoryDisplay.from_estimator(fitted, ax=ax)


def test_maps_need_two_dimensions_and_two_samples(fitted, blobs):
    X, _ = blobs
    with pytest.raises(ValueError, match="X must have at least 2 samples"):
        LatentMapDisplay.from_estimator(fitted, X[:1])
    narrow = MPCCClusterer(2, random_state=0, **BRIEF | {"latent_dim": 1}).fit(X)
    with pytest.raises(ValueError, match="latent_dim=1"):
        LatentMapDisplay.from_estimator(narrow, X)
