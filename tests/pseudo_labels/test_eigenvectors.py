import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components
from sklearn.datasets import make_blobs, make_circles
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import NearestNeighbors

from skmpcc.pseudo_labels.finders import eigenvectors as spectral
from skmpcc.pseudo_labels.finders.eigenvectors import (
    FAR,
    affinity,
    clusters_of_rows,
    eigenvectors,
    is_factored,
)


def neighbors(points, k):
    distances, nearest = NearestNeighbors(n_neighbors=k).fit(points).kneighbors()
    return nearest, distances


def test_edges_weigh_as_zelnik_manor_and_perona_say():
    points = np.array([[0.0], [1.0], [3.0], [7.0]])
    nearest, distances = (
        np.array([[1, 2], [0, 2], [1, 0], [2, 1]]),
        np.array([[1, 3], [1, 2], [2, 3], [4, 6.0]]),
    )
    weights = affinity(points, nearest, distances).toarray()
    scale = [1, 1, 2, 4]  # distances of the first neighbour of two, the middle one
    for i in range(4):
        for j in range(i):
            edge = j in nearest[i] or i in nearest[j]
            d = points[i, 0] - points[j, 0]
            expected = np.exp(-(d**2) / (scale[i] * scale[j])) if edge else 0.0
            assert weights[i, j] == weights[j, i] == pytest.approx(expected)


def test_weights_do_not_depend_on_the_unit():
    points = np.random.default_rng(0).normal(size=(40, 2))
    first, second = (affinity(s * points, *neighbors(s * points, 5)).toarray() for s in (1.0, 100.0))
    np.testing.assert_allclose(first, second, rtol=1e-9)


def test_parts_that_no_neighbors_connect_are_connected_where_they_are_nearest():
    points = np.concatenate([np.arange(5.0), 50 + np.arange(5.0), 200 + np.arange(4.0)])[:, None]
    edges = affinity(points, *neighbors(points, 2))
    assert connected_components(edges)[0] == 1
    assert edges[4, 5] == edges[5, 4] == edges[9, 10] == FAR
    # Three parts need two bridges, each of which is an edge in both directions.
    without = edges.toarray()
    without[[4, 5, 9, 10], [5, 4, 10, 9]] = 0.0
    assert connected_components(csr_matrix(without))[0] == 3


@pytest.mark.parametrize("size", [3, 40])
def test_many_parts_are_connected_where_they_are_nearest(size):
    """Small parts by one index of all points, large ones by an index of the others: the same edges."""
    random = np.random.default_rng(0)
    centres = 100 * random.random((30, 2))
    points = (centres[:, None] + 0.1 * random.normal(size=(30, size, 2))).reshape(-1, 2)
    edges = affinity(points, *neighbors(points, 2))
    assert connected_components(edges)[0] == 1
    part = connected_components(affinity_without_bridges(points))[1]
    start, end = np.triu(edges.toarray()).nonzero()
    bridges = {(i, j) for i, j in zip(start, end, strict=True) if part[i] != part[j]}
    # Each part's nearest point of another is at the end of one.
    distances = np.linalg.norm(points[:, None] - points, axis=2)
    distances[part[:, None] == part] = np.inf
    for index in np.unique(part)[1:]:
        inside = np.flatnonzero(part == index)
        i, j = np.unravel_index(distances[inside].argmin(), (len(inside), len(points)))
        assert tuple(sorted((inside[i], j))) in bridges or index == np.bincount(part).argmax()


def affinity_without_bridges(points):
    nearest, _ = neighbors(points, 2)
    rows = np.repeat(np.arange(len(points)), 2)
    return csr_matrix((np.ones(rows.size), (rows, nearest.ravel())), shape=(len(points),) * 2)


def test_equal_points_have_an_affinity():
    points = np.zeros((6, 2))
    edges = affinity(points, *neighbors(points, 3))
    assert connected_components(edges)[0] == 1
    assert np.isfinite(edges.data).all()


@pytest.mark.parametrize("factored", [False, True])
def test_eigenvectors_are_those_of_the_normalized_affinity(factored):
    points = np.random.default_rng(0).normal(size=(60, 3))
    edges = affinity(points, *neighbors(points, 6))
    values, vectors = eigenvectors(edges, 4, 0, factored=factored)
    degrees = edges.toarray().sum(1)
    dense = edges.toarray() / np.sqrt(np.outer(degrees, degrees))
    expected, expected_vectors = np.linalg.eigh(dense)
    np.testing.assert_allclose(values, expected[::-1][:4], atol=1e-5)
    assert values[0] == pytest.approx(1.0)
    cosines = np.abs((vectors * expected_vectors[:, ::-1][:, :4]).sum(0))
    np.testing.assert_allclose(cosines, 1.0, atol=1e-4)


def test_eigenvalues_that_do_not_converge_are_found_by_factors(monkeypatch):
    """Those of a long chain hardly differ."""
    points = np.arange(400.0)[:, None]
    edges = affinity(points, *neighbors(points, 2))
    expected, _ = eigenvectors(edges, 3, 0, factored=True)
    plain = spectral.eigsh
    calls = []

    def few_steps(*arguments, **options):
        calls.append("sigma" in options)
        return plain(*arguments, **options, **({} if calls[-1] else {"maxiter": 2}))

    monkeypatch.setattr(spectral, "eigsh", few_steps)
    values, _ = eigenvectors(edges, 3, 0, factored=False)
    assert calls == [False, True]
    np.testing.assert_allclose(values, expected)


def test_graphs_of_many_points_are_factored_in_few_dimensions_only():
    assert is_factored(np.zeros((spectral.MANY_POINTS, 32)))
    assert not is_factored(np.zeros((spectral.MANY_POINTS, 33)))
    assert is_factored(np.zeros((spectral.MANY_POINTS + 1, 3)))
    assert not is_factored(np.zeros((spectral.MANY_POINTS + 1, 4)))


def test_nearly_all_eigenvectors_can_be_asked_for():
    points = np.random.default_rng(0).normal(size=(6, 2))
    edges = affinity(points, *neighbors(points, 3))
    values, vectors = eigenvectors(edges, 6, 0, factored=True)
    assert vectors.shape == (6, 6)
    assert (np.diff(values) <= 0).all()


@pytest.mark.parametrize("factored", [False, True])
def test_shapes_are_found_in_the_eigenvectors(factored):
    X, y = make_circles(300, noise=0.03, factor=0.5, random_state=0)
    vectors = eigenvectors(affinity(X, *neighbors(X, 8)), 2, 0, factored=factored)[1]
    assert adjusted_rand_score(y, clusters_of_rows(vectors, 2, 0)) == 1.0


def test_the_length_of_rows_does_not_count():
    X, y = make_blobs(60, 3, centers=np.eye(3) * 9, random_state=0)
    lengths = np.random.default_rng(0).uniform(0.1, 10.0, size=(60, 1))
    labels = clusters_of_rows(X * lengths, 3, 0)
    assert adjusted_rand_score(y, labels) == 1.0
    assert labels.dtype == np.int64
