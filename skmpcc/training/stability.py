"""How stable clusters are: whether halves of the data have them as well."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from skmpcc.pseudo_labels.graph import NeighborGraph
from skmpcc.pseudo_labels.search import find_pseudo_labels
from skmpcc.settings import IMAGE_PSEUDO_LABELS, LoopSettings
from skmpcc.system.devices import matmul_precision
from skmpcc.training.fit_data import FitData


@dataclass(frozen=True)
class Resampling:
    """Pseudo-labels of some rows, found among these alone.

    Attributes
    ----------
    rows : ndarray of int of shape (m,)
        Of a fit.
    labels : ndarray of int of shape (m,)
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]


def resample(
    data: FitData,
    settings: LoopSettings,
    n_clusters: int,
    n_resamplings: int,
    seed: int,
    device: torch.device,
) -> list[Resampling]:
    """Find pseudo-labels in random halves of the rows of a fit, as the fit finds them in all.

    Where the fit has none, they are those that it would have by default.
    """
    images = data.encoded.ndim > 2
    kind = settings.pseudo_labels or ("image_search" if images else "search")
    given = data.encoded if data.table is None else data.table
    drawn, found = np.random.default_rng(seed), []
    for _ in range(n_resamplings):
        n = max(len(given) // 2, min(len(given), 2 * n_clusters))
        rows = np.sort(drawn.permutation(len(given))[:n])
        some = given[torch.from_numpy(rows)]
        rng = torch.Generator(device).manual_seed(int(drawn.integers(np.iinfo(np.int32).max)))
        graph, variables = None, data.variables
        if kind not in ("kmeans", *IMAGE_PSEUDO_LABELS):
            graph = NeighborGraph.from_data(
                some, settings.n_neighbors, n_clusters, rng, all_values=data.format.one_length
            )
        if variables is not None:
            variables = variables.take(rows)
        # On CUDA, for the same convolutions each time.
        with matmul_precision(device, tf32=settings.precision != "float32"):
            labels = find_pseudo_labels(kind, some, graph, n_clusters, rng, None, variables).labels
        found.append(Resampling(rows, labels.cpu().numpy()))
    return found


def stability(
    labels: NDArray[np.int64], n_clusters: int, resamplings: list[Resampling]
) -> NDArray[np.float64]:
    """Mean Jaccard index of each cluster with the most similar one of each resampling.

    That of C. Hennig, "Cluster-wise assessment of cluster stability", Computational Statistics & Data
    Analysis 52, 2007, from halves.

    Parameters
    ----------
    labels : ndarray of int of shape (n_rows,)
        Of the rows of the fit.
    n_clusters : int
    resamplings : list of Resampling

    Returns
    -------
    indices : ndarray of shape (n_clusters,)
        NaN for clusters of which no resampling has a row.
    """
    indices = np.full((len(resamplings), n_clusters), np.nan)
    for out, each in zip(indices, resamplings, strict=True):
        both = np.zeros((n_clusters, int(each.labels.max()) + 1))
        np.add.at(both, (labels[each.rows], each.labels), 1.0)
        sizes = both.sum(axis=1)
        any_of = sizes[:, None] + both.sum(axis=0) - both
        out[sizes > 0] = (both / np.maximum(any_of, 1.0)).max(axis=1)[sizes > 0]
    there = np.isfinite(indices)
    total = np.where(there, indices, 0.0).sum(axis=0)
    return np.divide(total, there.sum(axis=0), out=np.full(n_clusters, np.nan), where=there.any(axis=0))
