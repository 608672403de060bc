"""Edges that connect the parts of graphs of neighbours."""

from threading import Lock

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components
from sklearn.neighbors import NearestNeighbors


class Bridges:
    """Edges that connect the parts of graphs of the same points.

    Each is the nearest pair of points in and out of a part.

    Graphs of more and of fewer neighbours often have the same parts, whose bridges are looked for once,
    also where several threads want them.

    Parameters
    ----------
    points : ndarray of shape (n, d)
    """

    def __init__(self, points: NDArray) -> None:
        self._points = points
        self._finder: NearestNeighbors | None = None
        self._known: dict[bytes, list[tuple[tuple[int, int], float]]] = {}
        self._lock = Lock()

    def of(self, edges: csr_matrix) -> tuple[NDArray, NDArray]:
        """Return edges that connect the parts of a graph.

        Parameters
        ----------
        edges : csr_matrix of shape (n, n)
            Symmetric.

        Returns
        -------
        ends : ndarray of int of shape (m, 2)
        lengths : ndarray of shape (m,)
        """
        n = len(self._points)
        ends, lengths = np.empty((0, 2), dtype=np.int64), np.empty(0)
        while True:
            n_parts, part = connected_components(edges, directed=False)
            if n_parts == 1:
                return ends, lengths
            found = self._of_parts(part)
            ends = np.concatenate([ends, [pair for pair, _ in found]])
            lengths = np.concatenate([lengths, [length for _, length in found]])
            edges = edges + csr_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(n, n))

    def _of_parts(self, part: NDArray) -> list[tuple[tuple[int, int], float]]:
        """Bridges from all parts but the largest, which is reached from the others."""
        key = part.tobytes()
        with self._lock:
            if key not in self._known:
                smaller = np.argsort(-np.bincount(part), kind="stable")[1:]
                self._known[key] = [self._of_part(part == index) for index in np.sort(smaller)]
            return self._known[key]

    def _of_part(self, inside: NDArray) -> tuple[tuple[int, int], float]:
        """The nearest pair of points in and out of a part, and the distance between them."""
        points, own = self._points, np.flatnonzero(inside)
        if len(own) ** 2 <= len(points):
            # One at least of as many neighbours as the part has points, and one more, is outside. Many
            # parts are small, and to index all points for each of them would take long.
            if self._finder is None:
                self._finder = NearestNeighbors().fit(points)
            distances, nearest = self._finder.kneighbors(points[own], n_neighbors=len(own) + 1)
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
