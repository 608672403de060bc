"""Spectral clustering of neighbours' graphs, whose edges are scaled to the density around them."""

import warnings

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags_array, eye_array
from scipy.sparse.linalg import ArpackNoConvergence, eigsh
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from skmpcc.pseudo_labels.bridges import Bridges

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


def affinity(
    points: NDArray, nearest: NDArray, distances: NDArray, bridges: Bridges | None = None
) -> csr_matrix:
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
    bridges : Bridges, optional
        Of these points, which know some bridges already.

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
    ends, lengths = (bridges or Bridges(points)).of(edges)
    weights = np.exp(-(lengths**2) / (scale[ends[:, 0]] * scale[ends[:, 1]]))
    added = csr_matrix((np.maximum(weights, FAR), (ends[:, 0], ends[:, 1])), shape=(n, n))
    return edges.maximum(added).maximum(added.T)


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
    with warnings.catch_warnings():
        # Equal samples have equal rows, of which there may be fewer than clusters.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return kmeans_of_rows(vectors, n_clusters, seed, n_init=n_init)


def kmeans_of_rows(vectors: NDArray, n_clusters: int, seed: int, *, n_init: int = 10) -> NDArray:
    """Like `clusters_of_rows`, for threads: scikit-learn's warnings are left to who calls."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    kmeans = KMeans(n_clusters, n_init=n_init, random_state=seed)
    return kmeans.fit_predict(vectors / np.maximum(lengths, TINY)).astype(np.int64)
