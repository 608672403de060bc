"""Clusters in the eigenvectors of graphs of neighbours."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from skmpcc.pseudo_labels.bridges import Bridges
from skmpcc.pseudo_labels.finders.eigenvectors import (
    TINY,
    affinity,
    eigenvectors,
    is_factored,
    kmeans_of_rows,
)
from skmpcc.pseudo_labels.finders.merging import merge_clusters
from skmpcc.pseudo_labels.graph import NeighborGraph
from skmpcc.pseudo_labels.problem import Candidate, Problem, label_by_nearest

# Clusters up to which more eigenvectors than clusters are looked at, which cost several times as much.
FEW_CLUSTERS = 40
# Neighbours in the graphs of spectral clustering. Thin shapes want few, noisy data want many.
WIDTHS = NARROW, BROAD = 8, 15
# Eigenvectors beyond twice the number of clusters.
MORE_EIGENVECTORS = 5
# Steps of the walk that weighs them: so many that the last of the first K, of eigenvalue 1 - g, counts
# about exp(-DIFFUSION) times as much as the first.
DIFFUSION = 0.25
MAX_STEPS = 500


def find(problem: Problem, widths: Sequence[int] = WIDTHS) -> Iterator[Candidate]:
    """Find clusters in the eigenvectors of graphs of fewer and more neighbours.

    As many eigenvectors as clusters find shapes that are well apart. Twice as many leave some to samples
    that are far from all others. Weighed by the steps of a diffusion (R. Coifman and S. Lafon,
    "Diffusion maps", 2006) even more of them tell kinds apart that have several forms, as digits have.
    Twice as many clusters, merged along the edges between them, find those of unequal sizes.
    """
    data, graph, n_clusters, seed = problem.data, problem.graph, problem.n_clusters, problem.seed
    nearest = graph.nearest.cpu().numpy()

    def candidate(labels: NDArray) -> Candidate:
        return Candidate("spectral", labels, label_by_nearest(data, graph, labels))

    for n_neighbors in widths:
        for vectors in _maps(problem, n_neighbors):
            yield candidate(kmeans_of_rows(vectors, n_clusters, seed))
            if n_neighbors == NARROW and vectors.shape[1] == 2 * n_clusters:
                finer = kmeans_of_rows(vectors, 2 * n_clusters, seed)
                yield candidate(merge_clusters(finer, nearest, n_clusters))


def _maps(problem: Problem, n_neighbors: int) -> list[NDArray]:
    """The maps of a graph's points in which clusters are looked for."""
    points, n_clusters, seed = problem.points, problem.n_clusters, problem.seed
    edges = graph_edges(points, problem.graph, n_neighbors, problem.bridges)
    few = n_clusters <= FEW_CLUSTERS
    wanted = 2 * n_clusters + MORE_EIGENVECTORS if few else n_clusters
    values, vectors = eigenvectors(edges, min(wanted, len(points)), seed, factored=is_factored(points))
    maps = [vectors[:, :n_clusters]]
    if few:
        maps.append(vectors[:, : 2 * n_clusters])
    if few and n_neighbors == NARROW:
        walk = vectors[:, 1:] / np.sqrt(np.asarray(edges.sum(axis=1)).reshape(-1, 1))
        steps = min(MAX_STEPS, DIFFUSION / max(1.0 - values[n_clusters - 1], TINY))
        maps.append(walk * values[1:].clip(0.0, 1.0) ** steps)
    return maps


def graph_edges(
    points: NDArray, graph: NeighborGraph, n_neighbors: int, bridges: Bridges | None = None
) -> csr_matrix:
    """Weigh the edges to the nearest of a graph's neighbours; see `spectral.affinity`."""
    nearest, distances = (
        tensor[:, :n_neighbors].cpu().numpy() for tensor in (graph.nearest, graph.distances)
    )
    return affinity(points, nearest, distances, bridges)
