"""Label-free score: quality of a table's clusters, or information between the clusters of views."""

from functools import partial

import torch
from numpy.typing import NDArray
from torch import Tensor

from skmpcc.fitted.model import FittedModel
from skmpcc.pseudo_labels.augmentation import random_affine, view_information
from skmpcc.pseudo_labels.graph import NeighborGraph, some_rows
from skmpcc.pseudo_labels.problem import gaussian_points
from skmpcc.pseudo_labels.quality import ClusterQuality


class Scorer:
    """Scores models on the same data, so that their scores compare.

    Parameters
    ----------
    data : Tensor of shape (n_samples, ...)
        At least two samples as the networks see them. Those of a table are judged as its pseudo-labels
        are, by `ClusterQuality`; images are compared with augmented views.
    n_neighbors, n_clusters : int
    graph : NeighborGraph, optional
        Neighbours of a table's rows, if they are known already.
    all_values : bool
        Whether neighbours are found in all values of wide rows; see `NeighborGraph.from_data`.
    """

    def __init__(
        self,
        data: Tensor,
        n_neighbors: int,
        n_clusters: int,
        graph: NeighborGraph | None = None,
        *,
        all_values: bool = False,
    ) -> None:
        # The same draws for the same data, because scores of several models are compared.
        self._rng = torch.Generator().manual_seed(0)
        self._data = data
        self._judge: ClusterQuality | None = None
        if data.ndim == 2:
            if graph is None:
                graph = NeighborGraph.from_data(
                    data, n_neighbors, n_clusters, self._rng, all_values=all_values
                )
            points, _ = gaussian_points(graph.points(data), seed=0)
            self._judge = ClusterQuality(points, graph, n_clusters, data.shape[1])
            self._rows = graph.rows.cpu()
        else:
            self._rows = some_rows(len(data), self._rng)

    def __call__(self, fitted: FittedModel, labels: NDArray) -> float:
        """Quality, or mutual information in nats; `labels` are the model's for all samples."""
        labels_of_rows = torch.as_tensor(labels)[self._rows]
        if self._judge is not None:
            return self._judge.quality(labels_of_rows.numpy())
        augment = partial(random_affine, rng=self._rng.manual_seed(0))
        views = fitted.labels(self._data[self._rows.to(self._data.device)].cpu(), augment)
        return sum(view_information(labels_of_rows, torch.as_tensor(views)))
