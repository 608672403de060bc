"""Spectral clustering of neighbours' graphs, whose edges are scaled to the density around them."""

import warnings

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags_array, eye_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import ArpackNoConvergence, eigsh
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.neighbors import NearestNeighbors

# The graph's Laplacian is factored where that is cheap, which finds eigenvalues that hardly differ, as
# those of long shapes do. In many dimensions factors are dense, in more than three if there are many
# points, and eigenvalues mostly lie apart.
FEW_FEATURES, MANY_FEATURES = 3, 32
MANY_POINTS = 5000
# Where the Laplacian is factored: next to its smallest eigenvalue, 0, at which it is singular.
SHIFT = -1e-4
TOLERANCE = 1e-6
# Least weight of an edge between parts that no neighbours connect.
FAR = 1e-3
TINY = 1e-12


def affinity(points: NDArray, nearest: NDArray, distances: NDArray) -> csr_matrix:
    """Weigh the edges of a graph of neighbours by the density around both ends, and connect its parts.

    exp(-d^2 / (s_i s_j)) with s the distance to a sample's middle neighbour, of L. Zelnik-Manor and
    P. Perona, "Self-Tuning Spectral Clustering", NIPS 2004. Where no neighbours connect two parts, the
    nearest samples of both are connected, because the eigenvectors of several parts are arbitrary.

    Parameters
    ----------
    points : ndarray of shape (n, d)
    nearest : ndarray of int of shape (n, k)
        Neighbours of each point, the nearest first.
    distances : ndarray of shape (n, k)

    Returns
    -------
    affinity : csr_matrix of shape (n, n)
        Symmetric and connected.
    """
    n, k = nearest.shape
    distances = distances.astype(np.float64)
    scale = np.maximum(distances[:, (k - 1) // 2], TINY)
    weights = np.exp(-(distances**2) / (scale[:, None] * scale[nearest]))
    rows = np.repeat(np.arange(n), k)
    edges = csr_matrix((weights.ravel(), (rows, nearest.ravel())), shape=(n, n))
    edges = edges.maximum(edges.T)
    ends, lengths = bridges(points, edges)
    weights = np.exp(-(lengths**2) / (scale[ends[:, 0]] * scale[ends[:, 1]]))
    added = csr_matrix((np.maximum(weights, FAR), (ends[:, 0], ends[:, 1])), shape=(n, n))
    return edges.maximum(added).maximum(added.T)


def bridges(points: NDArray, edges: csr_matrix) -> tuple[NDArray, NDArray]:
    """Return edges that connect the parts of a graph, each the nearest pair of points in and out of one.

    Parameters
    ----------
    points : ndarray of shape (n, d)
    edges : csr_matrix of shape (n, n)
        Symmetric.

    Returns
    -------
    ends : ndarray of int of shape (m, 2)
    lengths : ndarray of shape (m,)
    """
    n = len(points)
    ends, lengths = np.empty((0, 2), dtype=np.int64), np.empty(0)
    while True:
        n_parts, part = connected_components(edges, directed=False)
        if n_parts == 1:
            return ends, lengths
        # The largest part is reached from the others.
        smaller = np.argsort(-np.bincount(part), kind="stable")[1:]
        finder = NearestNeighbors().fit(points)
        found = [_bridge(points, finder, part == index) for index in np.sort(smaller)]
        ends = np.concatenate([ends, [pair for pair, _ in found]])
        lengths = np.concatenate([lengths, [length for _, length in found]])
        edges = edges + csr_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(n, n))


def _bridge(points: NDArray, finder: NearestNeighbors, inside: NDArray) -> tuple[tuple[int, int], float]:
    """The nearest pair of points in and out of a part, and the distance between them.

    `finder` knows all points.
    """
    own = np.flatnonzero(inside)
    if len(own) ** 2 <= len(points):
        # One at least of as many neighbours as the part has points, and one more, is outside. Many parts
        # are small, and to index all points for each of them would take long.
        distances, nearest = finder.kneighbors(points[own], n_neighbors=len(own) + 1)
        distances[inside[nearest]] = np.inf
    else:
        others = np.flatnonzero(~inside)
        distances, nearest = NearestNeighbors().fit(points[others]).kneighbors(points[own], 1)
        nearest = others[nearest]
    first = distances.argmin(axis=1)
    distances = np.take_along_axis(distances, first[:, None], 1)[:, 0]
    index = distances.argmin()
    start, end = own[index], nearest[index, first[index]]
    return (start, end), float(distances[index])


def is_factored(points: NDArray) -> bool:
    """Whether the Laplacian of a graph of these points is factored at a small cost."""
    n, d = points.shape
    return d <= (FEW_FEATURES if n > MANY_POINTS else MANY_FEATURES)


def eigenvectors(
    affinity: csr_matrix, n_components: int, seed: int, *, factored: bool
) -> tuple[NDArray, NDArray]:
    """Return the largest eigenvalues of D^-1/2 W D^-1/2, in descending order, and their vectors.

    Parameters
    ----------
    affinity : csr_matrix of shape (n, n)
        W; D are the sums of its rows.
    n_components : int
    seed : int
    factored : bool
        Whether the Laplacian is factored at once, instead of only if nothing else converges.

    Returns
    -------
    values : ndarray of shape (n_components,)
    vectors : ndarray of shape (n, n_components)
    """
    n = affinity.shape[0]
    scaling = diags_array(1.0 / np.sqrt(np.asarray(affinity.sum(axis=1)).ravel()))
    normalized = scaling @ affinity @ scaling
    start = np.random.default_rng(seed).normal(size=n)
    if n_components >= n - 1:
        values, vectors = np.linalg.eigh(normalized.toarray())
    elif factored:
        values, vectors = _by_factors(normalized, n_components, start)
    else:
        try:
            values, vectors = eigsh(normalized, n_components, which="LA", v0=start, tol=TOLERANCE)
        except ArpackNoConvergence:
            values, vectors = _by_factors(normalized, n_components, start)
    order = np.argsort(-values)[:n_components]
    return values[order], vectors[:, order]


def _by_factors(normalized: csr_matrix, n_components: int, start: NDArray) -> tuple[NDArray, NDArray]:
    """Largest eigenvalues and their vectors by a factorization of the Laplacian."""
    laplacian = (eye_array(normalized.shape[0]) - normalized).tocsc()
    values, vectors = eigsh(laplacian, n_components, sigma=SHIFT, v0=start, tol=TOLERANCE)
    return 1.0 - values, vectors


def clusters_of_rows(vectors: NDArray, n_clusters: int, seed: int, *, n_init: int = 10) -> NDArray:
    """Clusters of KMeans of rows, each scaled to unit length."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    kmeans = KMeans(n_clusters, n_init=n_init, random_state=seed)
    with warnings.catch_warnings():
        # Equal samples have equal rows, of which there may be fewer than clusters.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return kmeans.fit_predict(vectors / np.maximum(lengths, TINY)).astype(np.int64)
