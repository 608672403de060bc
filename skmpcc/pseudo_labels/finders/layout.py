"""Clusters in layouts of the neighbours' graph in a few dimensions, where kinds that touch lie apart."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.neighbors import NearestNeighbors

from skmpcc.pseudo_labels.agreement import rand_indices
from skmpcc.pseudo_labels.finders.spanning_tree import SpanningTree, merged_by_size
from skmpcc.pseudo_labels.problem import Candidate, Problem, label_by_nearest

# What the lost information of these clusters is multiplied by. Where clusters touch, neighbours disagree
# somewhat more on theirs than on those of eigenvectors, and they are better all the same.
LOST_FACTOR = 0.8
# Rows from which layouts are ahead of other candidates, and above which one layout is like another.
MIN_ROWS, MANY_ROWS = 1_000, 20_000
# The same of images, in whose features kinds touch more often.
MIN_IMAGES = 100
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
    """Find clusters in layouts of the neighbours of wide rows or of images; none in other tables.

    Edges of the graph pull, samples drawn at random push, as in L. McInnes, J. Healy and J. Melville,
    "UMAP", 2018, and J. Tang et al., "Visualizing Large-scale and High-dimensional Data", WWW 2016.
    Clusters that touch move apart, and a spanning tree of the layout finds them.
    """
    graph, n_rows = problem.graph, len(problem.graph.rows)
    # Without components rows are not wide, or are embeddings, whose neighbours tell more than a layout.
    is_wide = graph.components is not None and n_rows >= MIN_ROWS
    if not is_wide and not (problem.of_images and n_rows >= MIN_IMAGES):
        return
    weights = edge_weights(graph.nearest.cpu().numpy(), graph.distances.cpu().numpy())
    found = []
    for number in range(1 if n_rows > MANY_ROWS else N_LAYOUTS):
        places = lay_out(weights, problem.points, np.random.default_rng([problem.seed, number]))
        found += tree_clusters(places, problem.n_clusters)
    labels = medoid(found)
    of_all = label_by_nearest(problem.data, graph, labels)
    yield Candidate("spanning_tree", labels, of_all, lost_factor=LOST_FACTOR)


def medoid(found: list[NDArray]) -> NDArray:
    """Return the clustering with which the others agree most, by adjusted Rand index."""
    return found[int(np.argmax([sum(row) for row in rand_indices(found).tolist()]))]


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

    Sizes are kept from growing too unequal; leaves of the tree, which are mostly noise, come last.
    """
    finder = NearestNeighbors(n_neighbors=min(N_NEIGHBORS, len(places) - 1)).fit(places)
    distances, nearest = finder.kneighbors()
    trees = (SpanningTree.from_neighbors(places, nearest, distances, n_core=core) for core in CORES)
    return [merged_by_size(tree, n_clusters, MAX_GINI, leaves=False) for tree in trees]
