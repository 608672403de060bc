import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.stats import entropy
from sklearn.datasets import load_digits, make_blobs, make_circles
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, mutual_info_score

from skmpcc import neighbors as neighbors_module
from skmpcc import starts, views
from skmpcc.classifiers import ConvNet
from skmpcc.neighbors import NeighborGraph, neighbor_information
from skmpcc.starts import are_unequal, kmeans_labels, neighbor_labels, spectral_labels, view_labels
from skmpcc.views import deformed


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=generator(seed))


def stripes(n=300):
    """Two parallel ones, longer than they are far from each other: KMeans cuts both in half."""
    y = np.arange(n) % 2
    random = np.random.default_rng(0)
    X = np.stack([random.uniform(-4, 4, n), random.normal(3 * y, 0.3)], axis=1)
    return torch.as_tensor(X, dtype=torch.float32), y


def test_nearest_neighbors_of_all_samples():
    data = normal(30, 2, 3)
    graph = NeighborGraph.of(data, 4, 3, generator())
    distances = cdist(data.flatten(1), data.flatten(1))
    np.fill_diagonal(distances, np.inf)
    expected = np.argsort(distances, axis=1)[:, :4]
    np.testing.assert_array_equal(graph.rows, np.arange(30))
    np.testing.assert_array_equal(np.sort(graph.nearest), np.sort(expected))


@pytest.mark.parametrize(
    ("n_samples", "n_clusters", "expected"), [(100, 2, 20), (100, 10, 5), (3, 3, 1), (2, 1, 1)]
)
def test_small_clusters_have_fewer_neighbors(n_samples, n_clusters, expected):
    graph = NeighborGraph.of(normal(n_samples, 2), 20, n_clusters, generator())
    assert graph.nearest.shape == (n_samples, expected)


def test_many_samples_are_represented_by_some(monkeypatch):
    monkeypatch.setattr(neighbors_module, "MAX_ROWS", 40)
    data = normal(100, 2)
    graph = NeighborGraph.of(data, 3, 2, generator())
    assert graph.rows.shape == (40,)
    assert len(graph.rows.unique()) == 40
    few = data[graph.rows]
    distances = torch.cdist(few, few).fill_diagonal_(torch.inf)
    np.testing.assert_array_equal(graph.nearest, distances.argsort(1)[:, :3])
    first, second = graph.draw(500, generator())
    assert set(first.tolist()) | set(second.tolist()) <= set(graph.rows.tolist())


def test_drawn_neighbors_are_neighbors():
    graph = NeighborGraph.of(normal(20, 2), 3, 2, generator())
    pairs = {(i, int(j)) for i in range(20) for j in graph.nearest[i]}
    first, second = graph.draw(2000, generator())
    assert set(zip(first.tolist(), second.tolist(), strict=True)) == pairs


def test_clusters_of_neighbors_may_have_any_shape():
    """Others than the cells around centres of KMeans."""
    data, y = stripes()
    graph = NeighborGraph.of(data, 10, 2, generator())
    labels = neighbor_labels(data, graph, 2, generator())
    assert labels.dtype is torch.int64
    assert adjusted_rand_score(y, labels) > 0.95
    assert adjusted_rand_score(y, kmeans_labels(data, 2, 0)) < 0.6


def test_clusters_of_neighbors_may_be_unequal():
    X, y = make_blobs([400, 40, 60], centers=[[0, 0], [9, 0], [0, 9]], random_state=0)
    data = torch.as_tensor(X, dtype=torch.float32)
    graph = NeighborGraph.of(data, 10, 3, generator())
    assert adjusted_rand_score(y, neighbor_labels(data, graph, 3, generator())) > 0.95


def test_clusters_of_neighbors_are_reproducible_and_leave_the_global_state():
    data, _ = stripes(60)
    graph = NeighborGraph.of(data, 5, 2, generator())
    state = torch.get_rng_state()
    first, second = (neighbor_labels(data, graph, 2, generator(1)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)


def test_clusters_of_neighbors_found_on_some_label_all(monkeypatch):
    monkeypatch.setattr(neighbors_module, "MAX_ROWS", 150)
    monkeypatch.setattr(starts, "CHUNK", 64)
    X, y = make_blobs(400, centers=[[0, 0], [9, 0], [0, 9]], random_state=0)
    data = torch.as_tensor(X, dtype=torch.float32)
    graph = NeighborGraph.of(data, 10, 3, generator())
    assert len(graph.rows) == 150
    assert adjusted_rand_score(y, neighbor_labels(data, graph, 3, generator())) > 0.95


@pytest.mark.parametrize("data", [torch.zeros(8, 3), normal(2, 1), normal(5, 4)])
def test_degenerate_data_get_labels_all_the_same(data):
    graph = NeighborGraph.of(data, 20, 2, generator())
    labels = neighbor_labels(data, graph, 2, generator())
    assert labels.shape == (len(data),)
    assert set(labels.tolist()) <= {0, 1}


def test_information_is_that_of_neighbors_labels():
    """Against scikit-learn's mutual information over all pairs: H(k' | k) = H(k') - I(k, k')."""
    data = normal(80, 2)
    graph = NeighborGraph.of(data, 5, 3, generator())
    labels = torch.randint(3, (80,), generator=generator(1))
    own, other = labels.repeat_interleave(5), labels[graph.nearest].flatten()
    found = neighbor_information(labels, graph)
    np.testing.assert_allclose(found.entropy, entropy(np.bincount(labels)))
    expected = mutual_info_score(own, other) - entropy(np.bincount(other))
    np.testing.assert_allclose(found.agreement, expected)


def test_best_classifier_is_the_one_whose_neighbors_agree():
    data, y = stripes()
    graph = NeighborGraph.of(data, 10, 2, generator())
    truth = torch.as_tensor(y)
    worse = truth.clone()
    worse[::7] = 1 - worse[::7]
    one = torch.zeros_like(truth)
    assert starts._most_informative(torch.stack([worse, one, truth, worse]), graph) == 2


def test_one_classifier_kept_is_the_one_it_was():
    data = normal(40, 3)
    classifiers = starts.Perceptrons(4, 3, 2, generator())
    classifiers.keep_moments(data)
    expected = classifiers.log_memberships(data)[2]
    classifiers.keep_only(2)
    found = classifiers.log_memberships(data)
    assert found.shape == (1, 40, 2)
    torch.testing.assert_close(found[0], expected)


def test_kmeans_is_taken_where_neighbors_agree_on_its_clusters(monkeypatch):
    """Halves of the large cluster and the small ones as one have more mutual information."""
    X, y = make_blobs([400, 40, 60], centers=[[0, 0], [9, 0], [0, 9]], random_state=0)
    data, truth = torch.as_tensor(X, dtype=torch.float32), torch.as_tensor(y)
    graph = NeighborGraph.of(data, 10, 3, generator())
    halves = torch.where(truth > 0, 2, (data[:, 0] > 0).long())
    assert sum(neighbor_information(halves, graph)) > sum(neighbor_information(truth, graph))
    monkeypatch.setattr(starts, "_classifier_labels", lambda *args: halves)
    assert adjusted_rand_score(y, neighbor_labels(data, graph, 3, generator())) == 1.0


def test_kmeans_of_mini_batches(monkeypatch):
    monkeypatch.setattr(starts, "MANY_SAMPLES", 100)
    monkeypatch.setattr(starts, "KMeans", None)
    X, y = make_blobs(200, 4, centers=3, random_state=0)
    labels = kmeans_labels(torch.as_tensor(X, dtype=torch.float32), 3, 0)
    assert adjusted_rand_score(y, labels) > 0.95


def test_classifiers_read_principal_components_of_wide_data(monkeypatch):
    monkeypatch.setattr(starts, "MAX_INPUTS", 8)
    monkeypatch.setattr(starts, "N_INPUTS", 2)
    X, y = make_blobs(150, 12, centers=3, random_state=0)
    data = torch.as_tensor(X, dtype=torch.float32).view(150, 1, 3, 4)
    graph = NeighborGraph.of(data, 10, 3, generator())
    reduced = starts._inputs(data, graph, 0)
    assert reduced.shape == (150, 2)
    expected = PCA(2).fit_transform(X)
    np.testing.assert_allclose(reduced.abs(), np.abs(expected), atol=1e-2)
    assert adjusted_rand_score(y, neighbor_labels(data, graph, 3, generator())) > 0.95
    assert starts._inputs(data[:, :, :2], graph, 0).shape == (150, 8)


def test_spectral_clusters_are_taken_where_neighbors_agree_on_them_alone(monkeypatch):
    X, y = make_circles(400, noise=0.03, factor=0.5, random_state=0)
    data = torch.as_tensor(X, dtype=torch.float32)
    graph = NeighborGraph.of(data, 10, 2, generator())
    assert adjusted_rand_score(y, spectral_labels(graph, 2, 0)) == 1.0
    assert adjusted_rand_score(y, kmeans_labels(data, 2, 0)) < 0.1
    monkeypatch.setattr(starts, "_classifier_labels", lambda *args: kmeans_labels(data, 2, 0))
    assert adjusted_rand_score(y, neighbor_labels(data, graph, 2, generator())) == 1.0


def test_classifiers_are_kept_where_others_agree_hardly_better(monkeypatch):
    X, _ = make_blobs(300, centers=3, cluster_std=3.0, random_state=0)
    data = torch.as_tensor(X, dtype=torch.float32)
    graph = NeighborGraph.of(data, 10, 3, generator())
    kept = kmeans_labels(data, 3, 1)
    kept[:3] = (kept[:3] + 1) % 3  # a little worse than KMeans's
    monkeypatch.setattr(starts, "_classifier_labels", lambda *args: kept)
    monkeypatch.setattr(starts, "MARGIN", 0.5)
    assert torch.equal(neighbor_labels(data, graph, 3, generator()), kept)


@pytest.mark.parametrize(
    ("sizes", "expected"), [([50, 50], False), ([60, 40], False), ([90, 10], True), ([100, 0], True)]
)
def test_unequal_clusters(sizes, expected):
    labels = torch.repeat_interleave(torch.arange(2), torch.tensor(sizes))
    assert are_unequal(labels, 2) is expected


def test_many_clusters_start_by_kmeans(monkeypatch):
    monkeypatch.setattr(starts, "MAX_CLUSTERS", 2)
    monkeypatch.setattr(starts, "_classifier_labels", None)
    data = normal(150, 2)
    graph = NeighborGraph.of(data, 10, 3, generator())
    assert torch.equal(neighbor_labels(data, graph, 3, generator(7)), kmeans_labels(data, 3, 7))


# ---- of images


def bars(n=120, side=8):
    """A row or a column that is bright, anywhere: pixels say nothing of which."""
    random = np.random.default_rng(0)
    y, place = random.integers(2, size=n), random.integers(1, side - 1, size=n)
    X = np.full((n, 1, side, side), -1.0, dtype=np.float32)
    for image, turned, i in zip(X, y, place, strict=True):
        image[0, i] = 1.0
        if turned:
            image[0] = image[0].T.copy()
    return torch.as_tensor(X + 0.05 * random.normal(size=X.shape).astype(np.float32)), y


def test_views_are_a_little_deformed():
    # bright squares off the middle of 48x32
    images = torch.full((400, 2, 48, 32), -1.0)
    images[:, :, 30:36, 18:24] = 1.0
    before = torch.random.get_rng_state()
    views = deformed(images, generator())
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(views, deformed(images, generator()))
    assert views.shape == images.shape
    assert len(views.unique(dim=0)) == 400
    # both channels alike; values between those that there were
    assert torch.equal(views[:, 0], views[:, 1])
    assert views.min() >= -1.0
    assert views.max() <= 1.0 + 1e-6
    light = 0.5 * (views[:, 0] + 1.0).double()
    total = light.sum((1, 2))
    down = (light.sum(2) @ torch.arange(48.0, dtype=torch.float64)) / total
    across = (light.sum(1) @ torch.arange(32.0, dtype=torch.float64)) / total
    # at most a shift, and what turning, scaling and slanting by their parts do at this distance
    distance = np.hypot(33 - 23.5, 21 - 15.5)
    bound = 1.5 * (0.25 + 0.15 + 0.2) * distance
    for place, start, side in ((down, 32.5, 48), (across, 20.5, 32)):
        moved = (place - start).abs()
        assert moved.max() <= 0.09 * side + bound
        assert place.std() > 1.0
        assert abs(float(place.mean()) - start) < 0.5
    # areas by 1 / (1 +- 0.15) squared
    area = total / 36.0
    assert 0.7 < area.min() < 0.85
    assert 1.2 < area.max() < 1.45


def test_a_view_without_deformation_is_the_image(monkeypatch):
    for name in ("SHIFT", "ANGLE", "SCALE", "SHEAR"):
        monkeypatch.setattr(views, name, 0.0)
    images = normal(5, 3, 9, 12)
    torch.testing.assert_close(deformed(images, generator()), images, atol=1e-5, rtol=0)


def test_turning_keeps_lengths_where_sides_differ(monkeypatch):
    """A disc stays a disc in an image three times as wide as high."""
    for name in ("SHIFT", "SCALE", "SHEAR"):
        monkeypatch.setattr(views, name, 0.0)
    monkeypatch.setattr(views, "ANGLE", 1.5)
    down, across = torch.meshgrid(torch.arange(33.0) - 16, torch.arange(99.0) - 49, indexing="ij")
    disc = ((down**2 + across**2) < 100).float()[None, None]
    seen = deformed(disc.expand(20, 1, 33, 99).contiguous(), generator())
    assert float((seen - disc).abs().mean()) < 0.01


def test_clusters_of_views_are_what_deformations_keep(monkeypatch):
    monkeypatch.setattr(starts, "N_VIEW_RESTARTS", 2)
    monkeypatch.setattr(starts, "VIEW_MAX_ITER", 250)
    X, y = load_digits(return_X_y=True)
    data = torch.as_tensor(X / 8.0 - 1.0, dtype=torch.float32).view(-1, 1, 8, 8)
    assert adjusted_rand_score(y, kmeans_labels(data, 10, 0)) < 0.7
    before = torch.random.get_rng_state()
    labels = view_labels(data, 10, generator())
    assert adjusted_rand_score(y, labels) > 0.85
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(labels, view_labels(data, 10, generator()))


def test_best_classifier_of_images_is_the_one_whose_views_agree(monkeypatch):
    data, y = bars()
    left = torch.linspace(0.0, 1.0, 8)

    class Rows(torch.nn.Module):
        """Bars that lie, by their mean over a row; what deformations rarely change."""

        def log_memberships(self, x):
            lies = x.mean(3).amax(2) > x.mean(2).amax(2)
            return torch.nn.functional.one_hot(lies[:, 0].long(), 2).float().log()

    class Places(torch.nn.Module):
        """Bright to the left or to the right of the middle, which a shift changes."""

        def log_memberships(self, x):
            place = ((x + 1).mean(2) @ left)[:, 0] / (x + 1).mean((1, 2, 3))
            return torch.nn.functional.one_hot((place > place.median()).long(), 2).float().log()

    for order in ([Rows, Places, Places], [Places, Rows, Places], [Places, Places, Rows]):
        left_over = [cls() for cls in order]
        monkeypatch.setattr(starts, "_view_classifier", lambda *args, rest=left_over: rest.pop(0))
        assert adjusted_rand_score(y, view_labels(data, 2, generator())) > 0.95


def test_many_clusters_of_images_are_those_of_kmeans(monkeypatch):
    monkeypatch.setattr(starts, "MAX_CLUSTERS", 3)
    monkeypatch.setattr(starts, "_view_classifier", None)
    data, _ = bars()
    labels = view_labels(data, 4, generator())
    assert torch.equal(labels, kmeans_labels(data, 4, generator().initial_seed()))


@pytest.mark.parametrize(
    ("shape", "n_convolutions"), [((1, 8, 8), 2), ((3, 32, 32), 3), ((1, 28, 40), 3), ((2, 64, 64), 4)]
)
def test_convolutions_end_on_a_small_side(shape, n_convolutions):
    net = ConvNet(shape, 5, generator())
    assert sum(isinstance(layer, torch.nn.Conv2d) for layer in net.layers) == n_convolutions
    log_q = net.log_memberships(normal(7, *shape))
    assert log_q.shape == (7, 5)
    torch.testing.assert_close(log_q.exp().sum(1), torch.ones(7))
