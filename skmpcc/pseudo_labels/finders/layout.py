"""Clusters in layouts of the neighbours' graph in a few dimensions, where kinds that touch lie apart."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import minimum_spanning_tree
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from skmpcc.pseudo_labels.finders.eigenvectors import affinity
from skmpcc.pseudo_labels.problem import Candidate, Problem, label_by_nearest
from skmpcc.system.devices import at_most_threads

# What tells these candidates from others that graphs of neighbours give.
DETAIL = "layout"
# Rows from which layouts are ahead of other candidates, and above which one layout is like another.
MIN_ROWS, MANY_ROWS = 1_000, 20_000
# Layouts of fewer rows, from different starts, of whose clusterings the middle one is taken.
N_LAYOUTS = 3
# In two dimensions parts of a cluster get stuck behind others; in twenty the clusters are less dense.
N_DIMENSIONS = 10
# Fewer steps leave clusters in pieces, more make gaps within them.
N_STEPS = 100
MOMENTUM = 0.8
# Samples that each is pushed away from at a step, and how strongly, relative to its edges.
N_NEGATIVE, REPULSION = 10, 2.5
# Standard deviation of the first layout's coordinates, and of what is added to tell equal rows apart.
SPREAD, JITTER = 10.0 / 3.0, 1e-2
# Farthest that a sample moves at a step before momentum, in units of a distance between neighbours.
MAX_MOVE = 2.0
# Square distances below which samples push each other away no harder.
SOFTENING = 1e-2
# Neighbours in the layout, and those of them up to which a sample's surroundings count as dense.
N_NEIGHBORS = 15
CORES = (10, 15)
# Gini index of the sizes of clusters above which the smallest is merged next.
MAX_GINI = 0.2
BISECTIONS = 32
TINY = 1e-6


def find(problem: Problem) -> Iterator[Candidate]:
    """Find clusters in layouts of the neighbours of wide rows; none in other tables.

    Edges of the graph pull, samples drawn at random push, as in L. McInnes, J. Healy and J. Melville,
    "UMAP", 2018, and J. Tang et al., "Visualizing Large-scale and High-dimensional Data", WWW 2016.
    Clusters that touch move apart, and a spanning tree of the layout finds them. Their kind is
    "spectral", as that of all clusters in maps of the neighbours' graph.
    """
    graph, n_rows = problem.graph, len(problem.graph.rows)
    if graph.components is None or n_rows < MIN_ROWS:
        return
    weights = edge_weights(graph.nearest.cpu().numpy(), graph.distances.cpu().numpy())
    found = []
    with at_most_threads(1):
        for number in range(1 if n_rows > MANY_ROWS else N_LAYOUTS):
            places = lay_out(weights, problem.points, np.random.default_rng([problem.seed, number]))
            found += tree_clusters(places, problem.n_clusters)
    labels = medoid(found)
    yield Candidate("spectral", labels, label_by_nearest(problem.data, graph, labels), DETAIL)


def medoid(found: list[NDArray]) -> NDArray:
    """Return the clustering with which the others agree most, by adjusted Rand index."""
    agreement = [sum(adjusted_rand_score(one, other) for other in found) for one in found]
    return found[int(np.argmax(agreement))]


def edge_weights(nearest: NDArray, distances: NDArray) -> csr_matrix:
    """Weigh edges by how far they reach beyond a sample's nearest neighbour, as UMAP does.

    exp(-(d - d_1) / s) with d_1 the distance to the nearest, and s such that the weights of k neighbours
    have the sum log2 k; w + w' - w w' of the edges in both directions.

    Parameters
    ----------
    nearest : ndarray of int of shape (n, k)
    distances : ndarray of shape (n, k)

    Returns
    -------
    weights : csr_matrix of shape (n, n)
        Symmetric.
    """
    n, k = nearest.shape
    beyond = np.maximum(distances - distances[:, :1], 0.0).astype(np.float32)
    low, high = np.zeros((n, 1), np.float32), np.full((n, 1), np.inf, np.float32)
    scale = np.maximum(beyond.mean(axis=1, keepdims=True), TINY)
    for _ in range(BISECTIONS):
        too_large = np.exp(-beyond / scale).sum(axis=1, keepdims=True) > np.log2(k)
        high, low = np.where(too_large, scale, high), np.where(too_large, low, scale)
        scale = np.maximum(np.where(np.isinf(high), 2.0 * scale, (low + high) / 2.0), TINY)
    one_way = csr_matrix(
        (np.exp(-beyond / scale).ravel(), (np.repeat(np.arange(n), k), nearest.ravel())), shape=(n, n)
    )
    other_way = one_way.T.tocsr()
    return (one_way + other_way - one_way.multiply(other_way)).tocsr()


def lay_out(weights: csr_matrix, points: NDArray, rng: np.random.Generator) -> NDArray:
    """Lay out a graph in a few dimensions, from its points' principal components.

    All samples move at once. Each step goes along the gradient, divided by the sum of the coefficients
    of a sample's differences from others: with edges alone, to the weighted mean of its neighbours.

    Parameters
    ----------
    weights : csr_matrix of shape (n, n)
        Symmetric.
    points : ndarray of shape (n, d)
        Principal components, the largest first.
    rng : Generator
        Draws the samples that push.

    Returns
    -------
    places : ndarray of float32 of shape (n, N_DIMENSIONS)
    """
    places = points[:, :N_DIMENSIONS] - points[:, :N_DIMENSIONS].mean(axis=0)
    places = places * (SPREAD / max(float(places.std()), TINY))
    places = (places + rng.normal(scale=JITTER, size=places.shape)).astype(np.float32)
    edges = weights.astype(np.float32)
    edges.sort_indices()
    total = np.asarray(edges.sum(axis=1), dtype=np.float32).ravel()
    starts, ends = np.repeat(np.arange(len(places)), np.diff(edges.indptr)), edges.indices
    # Each edge is looked at once; in the order of its ends, edges are those the other way round.
    once = np.flatnonzero(starts < ends)
    back = np.argsort(ends, kind="stable")[once]
    starts, ends, strength = starts[once], ends[once], 2.0 * edges.data[once]
    velocity = np.zeros_like(places)
    for step in range(N_STEPS):
        between = places[starts] - places[ends]
        coefficient = strength / (1.0 + np.einsum("ij,ij->i", between, between))
        edges.data[once] = edges.data[back] = coefficient
        pull = np.add.reduceat(edges.data, edges.indptr[:-1])
        push, coefficients = _repulsion(places, total * (REPULSION / N_NEGATIVE), rng)
        move = (edges @ places - pull[:, None] * places + push) / (pull + coefficients + TINY)[:, None]
        lengths = np.linalg.norm(move, axis=1, keepdims=True)
        move *= np.minimum(1.0, MAX_MOVE / np.maximum(lengths, TINY)) * (1.0 - step / N_STEPS)
        velocity = np.float32(MOMENTUM) * velocity + move.astype(np.float32)
        places = places + velocity
    return places


def _repulsion(places: NDArray, factor: NDArray, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """Forces from samples drawn at random, and the sums of their coefficients."""
    n = len(places)
    order = rng.permutation(n)
    # Others in a random order, from a random place in it on: each as likely as any, and read in a row.
    shuffled = places[order]
    twice = np.concatenate([shuffled, shuffled])
    force, coefficients = np.zeros_like(shuffled), np.zeros(n, np.float32)
    for shift in rng.integers(1, n, size=N_NEGATIVE):
        between = shuffled - twice[shift : shift + n]
        square = np.einsum("ij,ij->i", between, between)
        coefficient = 2.0 / ((SOFTENING + square) * (1.0 + square))
        force += coefficient[:, None] * between
        coefficients += coefficient
    back = np.empty(n, dtype=np.int64)
    back[order] = np.arange(n)
    return factor[:, None] * force[back], factor * coefficients[back]


def tree_clusters(places: NDArray, n_clusters: int) -> list[NDArray]:
    """Clusters of the minimum spanning trees of mutual reachability, one for each of `CORES`.

    Distances are at least those to the given neighbour of both ends (R. Campello, D. Moulavi and
    J. Sander, "Density-Based Clustering Based on Hierarchical Density Estimates", PAKDD 2013), so that
    single samples between two clusters do not connect them. Leaves of the tree get the cluster of the
    nearest sample that is none.
    """
    n = len(places)
    finder = NearestNeighbors(n_neighbors=min(N_NEIGHBORS, n - 1)).fit(places)
    distances, nearest = finder.kneighbors()
    edges = affinity(places, nearest, distances).tocoo()
    lengths = np.linalg.norm(places[edges.row] - places[edges.col], axis=1).astype(np.float64)
    found = []
    for core in CORES:
        reach = distances[:, min(core, distances.shape[1]) - 1]
        # An edge of no length is none to SciPy.
        mutual = np.maximum(lengths, np.maximum(reach[edges.row], reach[edges.col])) + TINY**2
        tree = minimum_spanning_tree(csr_matrix((mutual, (edges.row, edges.col)), shape=(n, n))).tocoo()
        ends = np.stack([tree.row, tree.col], axis=1)[np.argsort(tree.data, kind="stable")]
        inner = np.bincount(ends.ravel(), minlength=n) > 1
        if inner.sum() < 2 * n_clusters:
            inner[:] = True
        number = np.cumsum(inner) - 1
        labels = np.empty(n, dtype=np.int64)
        labels[inner] = genie(number[ends[inner[ends].all(axis=1)]], n_clusters)
        if not inner.all():
            nearest_inner = KNeighborsClassifier(1).fit(places[inner], labels[inner])
            labels[~inner] = nearest_inner.predict(places[~inner])
        found.append(labels)
    return found


def genie(ends: NDArray, n_clusters: int) -> NDArray:
    """Single linkage along a spanning tree; the smallest cluster goes first while sizes are unequal.

    M. Gagolewski, M. Bartoszuk and A. Cena, "Genie: A new, fast, and outlier-resistant hierarchical
    clustering algorithm", Information Sciences 363, 2016.

    Parameters
    ----------
    ends : ndarray of int of shape (n - 1, 2)
        Edges of the tree, the shortest first.
    n_clusters : int

    Returns
    -------
    labels : ndarray of int of shape (n,)
    """
    n = len(ends) + 1
    edges = ends.tolist()
    parent, size, sizes = list(range(n)), [1] * n, {1: n}
    # For each edge the first at or behind it that has not been taken.
    following = list(range(n))
    smallest, scanned = 0, 0
    for n_left in range(n, n_clusters, -1):
        edge = _root(following, 0)
        if gini(sizes, n_left, n) > MAX_GINI:
            if min(sizes) != smallest:
                smallest, scanned = min(sizes), 0
            # Edges between larger clusters stay such as long as none is as small again.
            edge = _root(following, max(edge, scanned))
            while all(size[_root(parent, end)] != smallest for end in edges[edge]):
                edge = _root(following, edge + 1)
            scanned = edge
        following[edge] = edge + 1
        a, b = (_root(parent, end) for end in edges[edge])
        for merged in (size[a], size[b]):
            sizes[merged] -= 1
            if not sizes[merged]:
                del sizes[merged]
        parent[a], size[b] = b, size[a] + size[b]
        sizes[size[b]] = sizes.get(size[b], 0) + 1
    return np.unique([_root(parent, i) for i in range(n)], return_inverse=True)[1].astype(np.int64)


def _root(parent: list[int], i: int) -> int:
    """The last of a chain, which gets shorter."""
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


def gini(sizes: dict[int, int], n_parts: int, total: int) -> float:
    """Gini index of clusters' sizes, 0 if all are equal; `sizes` has the number of clusters of each."""
    if n_parts == 1:
        return 0.0
    smaller, spread = 0, 0
    for value, count in sorted(sizes.items()):
        spread += value * count * (2 * smaller + count - n_parts)
        smaller += count
    return spread / ((n_parts - 1) * total)
