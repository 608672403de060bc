"""Clusters cut from a minimum spanning tree of neighbours, which may have any shape."""

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree

from skmpcc.pseudo_labels.bridges import Bridges
from skmpcc.pseudo_labels.problem import Candidate, Problem, label_by_nearest

# Gini indices of the clusters' sizes above which the smallest is merged next.
THRESHOLDS = (0.1, 0.3, 0.5)
# Neighbours that an end of an edge has within the edge's length, where clusters are cut apart.
N_CORE = 5
# Least size of what is cut off, relative to the mean size of a cluster; if too few are as large, less.
LEAST_SHARE, LESS = 0.25, 0.5
# Least distance: scipy takes an edge of length 0 for none.
TINY = 1e-12


def find(problem: Problem) -> Iterator[Candidate]:
    """Find clusters in a spanning tree, by merging with regard to sizes and by cutting long edges."""
    data, graph, n_clusters = problem.data, problem.graph, problem.n_clusters
    nearest, distances = graph.nearest.cpu().numpy(), graph.distances.cpu().numpy()

    def candidate(labels: NDArray) -> Candidate:
        return Candidate("spanning_tree", labels, label_by_nearest(data, graph, labels))

    points, bridges = problem.points, problem.bridges
    tree = SpanningTree.from_neighbors(points, nearest, distances, bridges=bridges)
    for threshold in THRESHOLDS:
        yield candidate(merged_by_size(tree, n_clusters, threshold))
    tree = SpanningTree.from_neighbors(points, nearest, distances, N_CORE, bridges)
    yield candidate(cut_apart(tree, n_clusters))


@dataclass(frozen=True)
class SpanningTree:
    """A minimum spanning tree of n points: pairs that are connected, the shortest edge first.

    Attributes
    ----------
    ends : ndarray of int of shape (n - 1, 2)
    lengths : ndarray of shape (n - 1,)
    """

    ends: NDArray
    lengths: NDArray

    def __len__(self) -> int:
        return len(self.ends) + 1

    @classmethod
    def from_neighbors(
        cls,
        points: NDArray,
        nearest: NDArray,
        distances: NDArray,
        n_core: int = 0,
        bridges: Bridges | None = None,
    ) -> "SpanningTree":
        """Return the tree of a graph of neighbours, whose parts are connected where they are nearest.

        Parameters
        ----------
        points : ndarray of shape (n, d)
        nearest, distances : ndarray of shape (n, k)
        n_core : int
            An edge is at least as long as the distances of its ends to so many neighbours: the mutual
            reachability of HDBSCAN, by which single points between clusters do not connect them.
        bridges : Bridges, optional
            Of these points, which know some bridges already.
        """
        n, k = nearest.shape
        first, second = np.repeat(np.arange(n), k), nearest.ravel()
        edges = csr_matrix((np.ones(n * k), (first, second)), shape=(n, n))
        ends, lengths = (bridges or Bridges(points)).of(edges.maximum(edges.T))
        first, second = np.append(first, ends[:, 0]), np.append(second, ends[:, 1])
        lengths = np.append(distances.ravel().astype(np.float64), lengths)
        if n_core:
            core = distances[:, min(n_core, k) - 1]
            lengths = np.maximum(lengths, np.maximum(core[first], core[second]))
        # Twice the same edge would be added up.
        low, high = np.minimum(first, second), np.maximum(first, second)
        once = np.unique(low * n + high, return_index=True)[1]
        once = once[low[once] < high[once]]
        lengths = np.maximum(lengths[once], TINY)
        graph = csr_matrix((lengths, (low[once], high[once])), shape=(n, n))
        tree = minimum_spanning_tree(graph).tocoo()
        order = np.argsort(tree.data, kind="stable")
        return cls(np.column_stack([tree.row, tree.col])[order].astype(np.int64), tree.data[order])

    def without_leaves(self, n_least: int) -> tuple["SpanningTree", NDArray, NDArray]:
        """Return the tree of all points but its leaves, these points, and each leaf's only neighbour.

        Leaves are mostly noise, and the border of clusters. If fewer than `n_least` points were left,
        all stay.

        Returns
        -------
        tree : SpanningTree
        kept : ndarray of bool of shape (n,)
        holder : ndarray of int of shape (n,)
            What a leaf hangs on; other points are their own.
        """
        n, ends = len(self), self.ends
        kept, holder = np.bincount(ends.ravel(), minlength=n) > 1, np.arange(n)
        if kept.sum() < n_least:
            return self, np.ones(n, dtype=bool), holder
        inner = kept[ends].all(axis=1)
        outer = ends[~inner]
        outer = np.where(kept[outer[:, :1]], outer, outer[:, ::-1])
        holder[outer[:, 1]] = outer[:, 0]
        place = np.cumsum(kept) - 1
        return SpanningTree(place[ends[inner]], self.lengths[inner]), kept, holder


def merged_by_size(
    tree: SpanningTree, n_clusters: int, threshold: float, *, leaves: bool = True
) -> NDArray:
    """Merge points along the tree's shortest edges, where clusters may not grow too unequal.

    The algorithm Genie of M. Gagolewski, M. Bartoszuk and A. Cena, "Genie: A new, fast, and
    outlier-resistant hierarchical clustering algorithm", Information Sciences 363, 2016: single linkage,
    but while the Gini index of the clusters' sizes is above a threshold the smallest cluster is merged
    next, with its nearest one.

    Parameters
    ----------
    tree : SpanningTree
    n_clusters : int
    threshold : float
    leaves : bool
        Whether the tree's leaves count; otherwise they get the label of the point that they hang on.

    Returns
    -------
    labels : ndarray of int of shape (n,)
    """
    if not leaves:
        inner, kept, holder = tree.without_leaves(2 * n_clusters)
        labels = np.zeros(len(tree), dtype=np.int64)
        labels[kept] = merged_by_size(inner, n_clusters, threshold)
        return labels[holder]
    merging = _Merging(tree.ends)
    sizes, n = merging.sizes, len(tree)
    for n_left in range(n, n_clusters, -1):
        # Sum of |c_i - c_j| over pairs, of which (m - 1) n is the most.
        unequal = sizes.differences > threshold * (n_left - 1) * n
        merging.merge(merging.shortest_of_smallest() if unequal else merging.shortest())
    return np.unique(merging.roots(), return_inverse=True)[1]


class _Sizes:
    """Sizes of clusters of n points, at first of single ones, and how unequal they are.

    Attributes
    ----------
    differences : int
        Sum over pairs of clusters of the difference of their sizes.
    different : list of int
        Sizes that there are, in ascending order.
    """

    def __init__(self, n: int) -> None:
        self.differences, self.different = 0, [1]
        self._n = self._n_clusters = n
        self._counts = [0] * (n + 1)
        self._counts[1] = n

    def merge(self, less: int, more: int) -> None:
        """Put a cluster of the sum of two sizes in place of both."""
        counts, different = self._counts, self.different
        both = less + more
        # With m clusters, the sum of |c - x| over them is n - m x and twice what smaller ones miss.
        change = self._missing(both) - self._missing(more) - less
        if less > different[0]:
            change -= self._missing(less)
        self.differences += 2 * change - self._n
        self._n_clusters -= 1
        for size in (less, more):
            counts[size] -= 1
            if not counts[size]:
                del different[bisect_left(different, size)]
        if not counts[both]:
            insort(different, both)
        counts[both] += 1

    def _missing(self, size: int) -> int:
        """Sum of what all smaller clusters have less than a size."""
        counts, different = self._counts, self.different
        place = bisect_left(different, size)
        # Of the sizes below and above, the fewer are looked at.
        if 2 * place <= len(different):
            total = 0
            for each in different[:place]:
                total += counts[each] * (size - each)
        else:
            total = self._n_clusters * size - self._n
            for each in different[place:]:
                total += counts[each] * (each - size)
        return total


class _Merging:
    """Clusters of the points of a tree, merged along its edges, which are known by their rank.

    Attributes
    ----------
    sizes : _Sizes
    """

    def __init__(self, ends: NDArray) -> None:
        n = self._n = len(ends) + 1
        self.sizes = _Sizes(n)
        self._first, self._second = ends[:, 0].tolist(), ends[:, 1].tolist()
        self._parent = list(range(n))
        # Of the clusters; 0 for those that were merged into others.
        self._size = [1] * n
        self._used = bytearray(n - 1)
        self._first_unused = 0
        # Edges of each cluster, the shortest first; some are within it by now.
        ranks = (np.argsort(ends.ravel(), kind="stable") // 2).tolist()
        last = np.cumsum(np.bincount(ends.ravel(), minlength=n)).tolist()
        self._edges = [ranks[start:end] for start, end in pairwise([0, *last])]
        # For each size, clusters that have or had it, by their shortest edge: its rank n + their number.
        self._by_size = {1: sorted([edges[0] * n + i for i, edges in enumerate(self._edges) if edges])}

    def shortest(self) -> int:
        self._first_unused = self._used.index(0, self._first_unused)
        return self._first_unused

    def shortest_of_smallest(self) -> int:
        """Return the shortest edge of any of the smallest clusters."""
        n, size, smallest = self._n, self._size, self.sizes.different[0]
        heap = self._by_size[smallest]
        while size[heap[0] % n] != smallest:
            heappop(heap)
        return heap[0] // n

    def merge(self, rank: int) -> None:
        """Merge the two clusters that an edge connects."""
        parent, used, size = self._parent, self._used, self._size
        used[rank] = 1
        a, b = self._first[rank], self._second[rank]
        while parent[a] != a:
            parent[a] = a = parent[parent[a]]
        while parent[b] != b:
            parent[b] = b = parent[parent[b]]
        edges, others = self._edges[a], self._edges[b]
        if len(edges) < len(others):
            a, b, edges, others = b, a, others, edges
        less, more = size[a], size[b]
        self.sizes.merge(*((less, more) if less <= more else (more, less)))
        parent[b] = a
        both = size[a] = less + more
        size[b] = 0
        for other in others:
            if not used[other]:
                heappush(edges, other)
        others.clear()
        while edges and used[edges[0]]:
            heappop(edges)
        if edges:
            key = edges[0] * self._n + a
            if both in self._by_size:
                heappush(self._by_size[both], key)
            else:
                self._by_size[both] = [key]

    def roots(self) -> NDArray:
        """Number of the cluster of each point."""
        roots = np.array(self._parent)
        while np.any(roots != roots[roots]):
            roots = roots[roots]
        return roots


def cut_apart(tree: SpanningTree, n_clusters: int) -> NDArray:
    """Cut the longest edges that leave no small cluster on either side.

    Noise is a leaf of the tree more often than not: leaves are left out, and get the label of the point
    that they hang on. That is how M. Gagolewski's lumbermark cuts, "Lumbermark: Resistant clustering via
    chopping up mutual reachability minimum spanning trees", 2025.

    Parameters
    ----------
    tree : SpanningTree
    n_clusters : int

    Returns
    -------
    labels : ndarray of int of shape (n,)
    """
    inner, kept, holder = tree.without_leaves(2 * n_clusters)
    labels = np.zeros(len(tree), dtype=np.int64)
    labels[kept] = _Cutting(inner).cut(n_clusters)
    return labels[holder]


class _Cutting:
    """A tree with a root, in which each point but the root is known with the edge above it."""

    def __init__(self, tree: SpanningTree) -> None:
        n, ends = len(tree), tree.ends
        edges = csr_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(n, n))
        order, parent = breadth_first_order(edges, 0, directed=False)
        self._order, self._parent = order.tolist(), parent.tolist()
        self._size = [1] * n
        for i in reversed(self._order[1:]):
            self._size[self._parent[i]] += self._size[i]
        self._is_root = [i == 0 for i in range(n)]
        below = np.where(parent[ends[:, 1]] == ends[:, 0], ends[:, 1], ends[:, 0])
        self._longest_first = below[::-1].tolist()

    def cut(self, n_clusters: int) -> NDArray:
        """Cut until there are so many clusters; return the labels of the points."""
        n, n_found = len(self._order), 1
        least = LEAST_SHARE * n / n_clusters
        while n_found < n_clusters:
            # What is too small now stays so: sizes fall.
            for point in self._longest_first:
                if n_found < n_clusters and self._cut_above(point, least):
                    n_found += 1
            least *= LESS
        labels = [0] * n
        n_found = 0
        for point in self._order:
            labels[point] = n_found if self._is_root[point] else labels[self._parent[point]]
            n_found += self._is_root[point]
        return np.array(labels)

    def _cut_above(self, point: int, least: float) -> bool:
        """Cut a point and all below it off, unless one side is too small; return whether it was."""
        if self._is_root[point] or self._size[point] < least:
            return False
        above = [self._parent[point]]
        while not self._is_root[above[-1]]:
            above.append(self._parent[above[-1]])
        if self._size[above[-1]] - self._size[point] < least:
            return False
        for other in above:
            self._size[other] -= self._size[point]
        self._is_root[point] = True
        return True
