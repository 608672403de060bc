"""The label-free score of a clustering: how much clusters tell of those of neighbours, or of views."""

from functools import partial

import torch
from numpy.typing import NDArray

from skmpcc.inference import FittedModel
from skmpcc.inputs import InputFormat
from skmpcc.neighbors import NeighborGraph, neighbor_information, some_rows
from skmpcc.views import deformed, view_information

N_NEIGHBORS = 15


class Scorer:
    """The score of models of the same shape on the same data.

    Parameters
    ----------
    X : ndarray of shape (n_samples, ...)
        At least two samples.
    data_format : InputFormat
        By whose shape it is decided between neighbours of rows and views of images.
    n_clusters : int
    """

    def __init__(self, X: NDArray, data_format: InputFormat, n_clusters: int) -> None:
        # The same for the same data: scores of several models are compared.
        self._random = torch.Generator().manual_seed(0)
        self._graph = None
        if len(data_format.tensor_shape) == 1:
            data = data_format.encode_all(X)
            self._graph = NeighborGraph.of(data, N_NEIGHBORS, n_clusters, self._random)
            self._rows = self._graph.rows
        else:
            self._rows = some_rows(len(X), self._random)
            self._X = X[self._rows.numpy()]

    def __call__(self, fitted: FittedModel, labels: NDArray) -> float:
        """Mutual information, in nats; `labels` are the model's of all samples."""
        of_rows = torch.as_tensor(labels)[self._rows]
        if self._graph is not None:
            return sum(neighbor_information(of_rows, self._graph))
        view = partial(deformed, random=self._random.manual_seed(0))
        return sum(view_information(of_rows, torch.as_tensor(fitted.labels(self._X, view))))
