"""Labels of the samples whose class is unknown, from those whose class is known."""

import warnings

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.semi_supervised import LabelSpreading
from torch import Tensor

from skmpcc.pseudo_labels.finders.images import augmentation_labels
from skmpcc.pseudo_labels.finders.spectral import NARROW, graph_edges
from skmpcc.pseudo_labels.graph import NeighborGraph
from skmpcc.pseudo_labels.problem import label_by_nearest
from skmpcc.system.devices import at_most_threads
from skmpcc.system.progress import Progress

# Weight of known classes beside that of neighbours, mu in Zhou et al. (2004): at least the first, and
# the second times their share. Where many are known, none has to be carried far.
MIN_WEIGHT = 0.01
WEIGHT = 0.5
MAX_ITER = 1000


def complete_labels(
    kind: str,
    data: Tensor,
    graph: NeighborGraph | None,
    n_classes: int,
    rng: torch.Generator,
    known: Tensor,
    progress: Progress | None = None,
) -> Tensor:
    """Label the samples whose class is unknown.

    Parameters
    ----------
    kind : {"neighbors", "augmentation"}
        By `spread_labels`, or for images by `augmentation_labels` that learn the known classes.
    data : Tensor of shape (n_samples, ...)
        Data as the networks see them, on any device.
    graph : NeighborGraph or None
        Needed by "neighbors".
    n_classes : int
    rng : torch.Generator
        Classifiers are trained on its device.
    known : Tensor of int64 of shape (n_samples,)
        Classes, -1 where they are unknown. On the generator's device.
    progress : Progress, optional
        Keeps classifiers of images on their way.

    Returns
    -------
    labels : Tensor of int64 of shape (n_samples,)
        Known classes are as they were.
    """
    if bool((known >= 0).all()):
        return known
    if kind == "augmentation":
        labels = augmentation_labels(data, n_classes, rng, known, progress)
    else:
        assert graph is not None
        labels = spread_labels(data, graph, known)
    return torch.where(known >= 0, known, labels)


def spread_labels(data: Tensor, graph: NeighborGraph, known: Tensor) -> Tensor:
    """Spread known classes along the edges of a graph of neighbours.

    scikit-learn's LabelSpreading (D. Zhou et al., "Learning with Local and Global Consistency", NIPS
    2004) with edges that are scaled to the density around them; see `spectral.affinity`. Its alpha is
    1 / (1 + mu), where mu, the weight of known classes, grows with their share. Samples that
    are not in the graph get the class of the nearest ones that are.

    Parameters
    ----------
    data : Tensor of shape (n_samples, ...)
    graph : NeighborGraph
        Its rows have to show every class.
    known : Tensor of int64 of shape (n_samples,)

    Returns
    -------
    labels : Tensor of int64 of shape (n_samples,)
        On the device of `known`.
    """
    with at_most_threads(1), warnings.catch_warnings():
        # Which class is the largest is settled long before.
        warnings.simplefilter("ignore", ConvergenceWarning)
        edges = graph_edges(graph.points(data), graph, NARROW)
        given = known[graph.rows.to(known.device)].cpu().numpy()
        weight = max(MIN_WEIGHT, WEIGHT * float(np.mean(given >= 0)))
        spreading = LabelSpreading(
            kernel=lambda *_: edges, alpha=1.0 / (1.0 + weight), max_iter=MAX_ITER
        )
        spreading.fit(graph.points(data), given)
        labels = label_by_nearest(data, graph, spreading.transduction_)()
    return torch.as_tensor(labels, dtype=torch.int64, device=known.device)
