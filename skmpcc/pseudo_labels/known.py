"""Labels of the samples whose class is unknown, from those whose class is known."""

import warnings

import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.semi_supervised import LabelSpreading
from torch import Tensor

from skmpcc.devices import at_most_threads
from skmpcc.pseudo_labels.candidates import NARROW, by_votes, graph_edges
from skmpcc.pseudo_labels.images import augmentation_labels
from skmpcc.pseudo_labels.neighbors import NeighborGraph

# Share of a label that comes from the neighbours, as in Zhou et al. (2004), and steps that it takes.
ALPHA = 0.99
MAX_ITER = 1000


def complete_labels(
    kind: str,
    data: Tensor,
    graph: NeighborGraph | None,
    n_classes: int,
    rng: torch.Generator,
    known: Tensor,
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

    Returns
    -------
    labels : Tensor of int64 of shape (n_samples,)
        Known classes are as they were.
    """
    if bool((known >= 0).all()):
        return known
    if kind == "augmentation":
        labels = augmentation_labels(data, n_classes, rng, known)
    else:
        assert graph is not None
        labels = spread_labels(data, graph, known)
    return torch.where(known >= 0, known, labels)


def spread_labels(data: Tensor, graph: NeighborGraph, known: Tensor) -> Tensor:
    """Spread known classes along the edges of a graph of neighbours.

    scikit-learn's LabelSpreading (D. Zhou et al., "Learning with Local and Global Consistency", NIPS
    2004) with edges that are scaled to the density around them; see `spectral.affinity`. Samples that
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
        spreading = LabelSpreading(kernel=lambda *_: edges, alpha=ALPHA, max_iter=MAX_ITER)
        spreading.fit(graph.points(data), known[graph.rows.to(known.device)].cpu().numpy())
        labels = by_votes(data, graph, spreading.transduction_)()
    return torch.as_tensor(labels, dtype=torch.int64, device=known.device)
