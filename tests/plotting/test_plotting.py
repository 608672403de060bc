import inspect
import io
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from support import BRIEF, QUICK, images

from skmpcc import AIM, VAE, MPCCClassifier, MPCCClusterer, VaDEClusterer
from skmpcc.plotting import (
    ClustersDisplay,
    HistoryDisplay,
    LatentMapDisplay,
    MembershipsDisplay,
    ReconstructionsDisplay,
)
from skmpcc.plotting._drawing import drawn_limits_of

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
    losses, mixture, change, share = display.axes_[:, 0]
    assert display.lines_["generator"].axes is losses
    assert display.lines_["mean_std"].axes is mixture
    assert display.lines_["change"].axes is display.lines_["generation_change"].axes is change
    assert display.lines_["clipped_steps"].axes is share


@pytest.mark.parametrize("kind", [AIM, VAE])
def test_transformers(kind, blobs):
    X, _ = blobs
    aim = kind(2, width=8, max_iter=4, random_state=0).fit(X)
    display = HistoryDisplay.from_estimator(aim)
    assert drawn(display).std() > 5
    assert set(display.lines_) == set(aim.history_) - {"iteration"}
    assert [ax.get_ylabel() for ax in display.axes_[:, 0]] == ["loss", "change", "share"]
    display = ReconstructionsDisplay.from_estimator(aim, X, n_samples=3)
    drawn(display)
    np.testing.assert_array_equal(display.reconstructions, aim.reconstruct(X)[display.indices])
    with pytest.raises(TypeError, match=r"fitted MPCCClusterer or MPCCClassifier, got.*(AIM|VAE)"):
        MembershipsDisplay.from_estimator(aim, X)


def test_history_of_vade(blobs):
    clusterer = VaDEClusterer(3, **BRIEF).fit(blobs[0])
    display = HistoryDisplay.from_estimator(clusterer)
    assert set(display.lines_) == set(clusterer.history_) - {"iteration"}
    assert display.axes_[0, 0].get_ylabel() == "loss"


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


@pytest.fixture(scope="module")
def mixed():
    """A table of columns in different units, with names of all kinds."""
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    group = np.arange(90) % 3
    share = (group[:, None] + rng.random((90, 6))) / 3
    low = np.array([17, 1e4, 0, 1.7e9, 1e-9, -5])
    X = low + share * np.array([73, 1e6, 1, 3, 1e-12, 1])
    X[:, 5] = 0.1
    names = ["price $US", "cost $", "_\\frac{", "over\nline", "long " * 20, "\udcff^"]
    return pandas.DataFrame(X, columns=pandas.Index(names, dtype=object))


@pytest.fixture(scope="module")
def of_mixed(mixed):
    return MPCCClusterer(3, random_state=0, **BRIEF).fit(mixed)


def profiles(ax, n=None):
    return np.array([line.get_ydata() for line in ax.lines[:n]])


def test_pictures_of_clusters_scale_each_feature(of_mixed, mixed):
    display = ClustersDisplay.from_estimator(of_mixed, mixed, n_samples=7)
    X = mixed.to_numpy()
    scaled = (X - X.min(0)) / np.maximum(np.ptp(X, 0), 1e-300)
    seen = 0
    for ax in display.axes_[:, 0]:
        members = profiles(ax, -1)  # the last one is their mean
        assert all(np.isclose(scaled, member, atol=1e-3).all(axis=1).any() for member in members)
        seen += len(members)
    assert seen
    np.testing.assert_array_equal(display.limits[1], X.max(0))


def names_below(ax):
    return [tick.get_text() for tick in ax.get_xticklabels()]


def test_names_of_features_are_text(of_mixed, mixed):
    expected = ["price $US", "cost $", "_\\frac{", "over line", ("long " * 20)[:29] + "…", "?^"]
    for display_class in (ClustersDisplay, ReconstructionsDisplay):
        display = display_class.from_estimator(of_mixed, mixed)
        for form in ("png", "svg", "pdf"):
            display.figure_.savefig(io.BytesIO(), format=form)
        assert all(names_below(ax) == expected for ax in display.axes_[-1])


def test_long_names_leave_room_for_the_profiles(of_mixed, mixed):
    one = MPCCClusterer(1, random_state=0, **BRIEF).fit(mixed)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # of layouts that find no room
        display = ClustersDisplay.from_estimator(one, mixed)
        drawn(display)
        drawn(ReconstructionsDisplay.from_estimator(of_mixed, mixed, n_samples=1))
    assert display.axes_[0, 0].get_window_extent().height > 50


def test_pictures_number_features_without_names(fitted, blobs):
    ax = ClustersDisplay.from_estimator(fitted, blobs[0]).axes_[-1, -1]
    assert names_below(ax) == list("0123")
    assert ax.get_xlabel() == "feature"


@pytest.mark.parametrize("wild", [1e30, -1e30, 1e305])
def test_an_outlier_leaves_the_other_profiles_as_they_are(wild, mixed):
    X = mixed.to_numpy()
    with_outlier = X.copy()
    with_outlier[4, 2] = wild
    clusterer = MPCCClusterer(1, random_state=0, **BRIEF).fit(with_outlier)
    others = np.delete(X, 4, axis=0)
    expected = (others - others.min(0)) / np.maximum(np.ptp(others, 0), 1e-300)
    display = ClustersDisplay.from_estimator(clusterer, with_outlier, n_samples=90)
    *rows, mean = profiles(display.axes_[0, 0])
    np.testing.assert_allclose(np.delete(rows, 4, axis=0)[:, 2], expected[:, 2], atol=1e-12)
    assert rows[4][2] == (2 if wild > 0 else -1)
    assert abs(mean[2] - 0.5) < 0.2
    assert display.limits[wild > 0][2] == wild
    display = ReconstructionsDisplay.from_estimator(clusterer, with_outlier, n_samples=90)
    assert all(np.abs(ax.get_ylim()).max() < 3 for ax in display.axes_[:, 0])


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        ([0.0] * 90 + [1, 2, 3, 4, 5, 1e9], (0, 5)),  # counts
        ([0.0] * 97 + [1, 1, 1], (0, 1)),
        ([7.0] * 100, (7, 7)),
        (list(range(100)), (0, 99)),
        ([1, 2, 3, 1e9], (1, 1e9)),  # too few to say
        ([1.7e308, -1.7e308] * 20, (-1.7e308, 1.7e308)),
    ],
)
def test_limits_without_outliers(values, ends):
    X = np.array(values)
    np.testing.assert_array_equal(np.ravel(drawn_limits_of(X[:, None], as_images=False)), ends)
    np.testing.assert_array_equal(drawn_limits_of(X[:, None, None], as_images=True), ends)


def test_a_constant_feature_is_a_flat_line():
    X = images((30, 4))
    X[:, 1] = 1.7e9
    display = ClustersDisplay(members=[X], samples=[X + 100], names=[0], limits=(X.min(0), X.max(0)))
    for ax in display.plot().axes_[0]:
        np.testing.assert_allclose(profiles(ax)[:, 1], 0, atol=1e-6)


STRANGE = np.array(["$\\frac", "_one $x$", "a^b " * 20])


def test_names_of_classes_are_text(blobs):
    X, y = blobs
    params = {name: value for name, value in BRIEF.items() if name != "pseudo_labels"}
    classifier = MPCCClassifier(random_state=0, **params | {"max_iter": 30}).fit(X, STRANGE[y])
    expected = ["$\\frac", "_one $x$", ("a^b " * 20)[:29] + "…"]
    display = ClustersDisplay.from_estimator(classifier, X)
    drawn(display)
    assert [ax.get_ylabel() for ax in display.axes_[:, 0]] == expected
    display = LatentMapDisplay.from_estimator(classifier, X)
    drawn(display)
    assert [text.get_text() for text in display.texts_] == expected
    display = MembershipsDisplay.from_estimator(classifier, X)
    drawn(display)
    assert set(names_below(display.ax_)) <= set(expected)


def test_long_names_below_memberships_are_turned():
    q = np.eye(3)[np.arange(9) % 3]
    for names, rotation in [(["ash", "beech", "cedar"], 0), (["a rather long name"] * 3 + ["x"], 0)]:
        display = MembershipsDisplay(memberships=q, names=names).plot()
        assert {tick.get_rotation() for tick in display.ax_.get_xticklabels()} == {rotation}
    display = MembershipsDisplay(memberships=q, names=["a name that is much too long"] * 3).plot()
    assert {tick.get_rotation() for tick in display.ax_.get_xticklabels()} == {90}


def test_names_need_not_be_strings():
    X = images((6, 2))
    for names in ([0.5, None], [("a", 1), b"b"]):
        display = ClustersDisplay(
            members=[X, X], samples=[X, X], names=names, limits=(X.min(0), X.max(0)), feature_names=names
        ).plot()
        drawn(display)
        assert names_below(display.axes_[1, 0]) == [str(name) for name in names]


def test_digits_of_thresholds_and_shares():
    display = MembershipsDisplay(memberships=np.eye(3), names=[0, 1, 2], threshold=0.9999999).plot()
    assert display.threshold_line_.get_label() == "threshold (0.9999999)"
    display = LatentMapDisplay(
        codes=np.zeros((1, 2)),
        labels=np.zeros(1, dtype=int),
        means=np.zeros((1, 2)),
        covariances=np.eye(2)[None],
        names=[0],
        explained_variance_ratio=np.array([0.9996, 0.0004]),
    ).plot()
    assert display.ax_.get_xlabel() == "first principal component (99.96 %)"
    assert display.ax_.get_ylabel() == "second principal component (0.04 %)"


def coloured(dtype=np.float64):
    X = np.random.default_rng(0).random((30, 8, 8, 3))
    X[0, 0, 0], X[0, 0, 1] = 0, 1
    return X.astype(dtype)


def hot(X, value):
    X = X.copy()
    X[3, 2, 2, 1] = value
    return X


@pytest.mark.parametrize(
    ("X", "low", "high"),
    [
        (coloured(), 0, 1),
        (0.5 * coloured(), 0, 1),
        (255 * coloured(), 0, 255),
        ((200 * coloured()).astype(np.uint8), 0, 255),
        (1000 * coloured(), 0, 1000),
        ((65535 * coloured()).astype(np.uint16), 0, 65535),
        (2 * coloured() - 1, -1, 1),
        (1.5 * coloured(), 0, 1.5),
        ((16 * coloured()).astype(np.uint8), 0, 16),
        ((coloured() > 0.5).astype(np.uint8), 0, 1),
        (100 + 40 * coloured(), 100, 140),
        (0.1 * coloured(), 0, 0.1),
        (hot(1000 * coloured(), 1e30), 0, 1000),
        (hot(2 * coloured() - 1, -1e6), -1, 1),
        (hot((16 * coloured()).astype(np.uint8), 255), 0, 16),
    ],
)
def test_colours_are_scaled_by_their_limits(X, low, high):
    clusterer = MPCCClusterer(1, random_state=0, **BRIEF).fit(X)
    expected = np.concatenate(list(np.clip((X - float(low)) / (high - low), 0, 1)), axis=1)
    display = ClustersDisplay.from_estimator(clusterer, X, n_samples=30)
    assert drawn(display).std() > 5
    originals = ReconstructionsDisplay.from_estimator(clusterer, X, n_samples=30).axes_[0, 0]
    for ax in (display.axes_[0, 0], originals):
        np.testing.assert_allclose(ax.images[0].get_array(), expected, rtol=1e-6, atol=1e-9)
    assert display.limits == (X.min(), X.max())


def test_colours_of_one_value():
    for value, shown in [(255, 1.0), (0, 0.0), (1000, 0.0)]:
        X = np.full((2, 4, 4, 3), value)
        display = ClustersDisplay(members=[X], samples=[X], names=[0], limits=(X.min(), X.max())).plot()
        assert set(np.ravel(display.axes_[0, 0].images[0].get_array())) == {shown}


@pytest.mark.parametrize(("channels", "shape"), [(2, (8, 240)), (4, (8, 240, 4)), (5, (8, 240))])
def test_images_of_other_channels(channels, shape):
    X = np.random.default_rng(0).random((30, 8, 8, channels))
    clusterer = MPCCClusterer(1, random_state=0, **BRIEF).fit(X)
    ax = ClustersDisplay.from_estimator(clusterer, X, n_samples=30).axes_[0, 0]
    row = np.concatenate(list(X), axis=1)
    np.testing.assert_allclose(ax.images[0].get_array(), row if channels == 4 else row[..., 0])
    assert ax.images[0].get_array().shape == shape


def test_a_hot_pixel_leaves_grey_images_as_they_are():
    X = hot(1000 * coloured(), 1e30)[..., 1]
    clusterer = MPCCClusterer(1, random_state=0, **BRIEF).fit(X)
    image = ClustersDisplay.from_estimator(clusterer, X).axes_[0, 0].images[0]
    assert image.get_clim() == (np.delete(X, 3, 0).min(), np.partition(X.ravel(), -2)[-2])


@pytest.mark.parametrize("kind", ["list", "frame", "tensor"])
def test_other_kinds_of_X(kind, of_mixed, fitted, mixed, blobs):
    X = blobs[0]
    clusterer = of_mixed if kind == "frame" else fitted
    given = {"list": X.tolist(), "frame": mixed, "tensor": torch.as_tensor(X)}[kind]
    as_array = np.asarray(mixed) if kind == "frame" else X
    display = ClustersDisplay.from_estimator(clusterer, given)
    np.testing.assert_array_equal(display.limits, (as_array.min(0), as_array.max(0)))
    of_array = ClustersDisplay.from_estimator(clusterer, as_array)
    np.testing.assert_array_equal(profiles(display.axes_[0, 1]), profiles(of_array.axes_[0, 1]))
    drawn(ReconstructionsDisplay.from_estimator(clusterer, given))


def test_what_cannot_be_drawn(fitted, blobs):
    with pytest.raises(TypeError, match=r"fitted MPCCClusterer.*got.*KMeans"):
        ClustersDisplay.from_estimator(KMeans(3), blobs[0])
    with pytest.raises(ValueError, match="n_samples == 0"):
        ClustersDisplay.from_estimator(fitted, blobs[0], n_samples=0)


def test_a_single_feature_is_drawn():
    """A line of one point cannot be seen."""
    X = np.random.default_rng(0).normal(size=(40, 1)) + 5 * (np.arange(40) % 2)[:, None]
    clusterer = MPCCClusterer(2, random_state=0, **BRIEF).fit(X)
    displays = [ClustersDisplay, ReconstructionsDisplay]
    for axes in (display.from_estimator(clusterer, X).axes_ for display in displays):
        lines = [line for ax in axes.ravel() for line in ax.lines]
        assert lines
        assert all(line.get_marker() == "_" for line in lines)
    wide = ClustersDisplay.from_estimator(clusterer.fit(np.hstack([X, X])), np.hstack([X, X]))
    assert all(line.get_marker() == "None" for ax in wide.axes_.ravel() for line in ax.lines)
    pyplot.close("all")
