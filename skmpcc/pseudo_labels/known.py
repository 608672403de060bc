"""Labels of the samples whose class is unknown, from those whose class is known."""

import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, StratifiedKFold, cross_val_predict
from sklearn.semi_supervised import LabelSpreading
from torch import Tensor

from skmpcc.pseudo_labels.finders.images import augmentation_labels
from skmpcc.pseudo_labels.finders.spectral import graph_edges
from skmpcc.pseudo_labels.graph import NeighborGraph
from skmpcc.pseudo_labels.problem import label_by_nearest
from skmpcc.system.devices import at_most_threads
from skmpcc.system.progress import Progress

# Neighbours along which known classes spread. An edge to a sample that has others for its own neighbours
# counts ONE_SIDED of its weight: most that join two classes are such.
N_NEIGHBORS = 10
ONE_SIDED = 0.1
# Least weight of known classes beside that of neighbours, mu in Zhou et al. (2004), which is their share
# where more are known: then none has to be carried far. Thin shapes of which few are known want less.
MIN_WEIGHT = 0.02
MAX_ITER = 200
# Parts of the known samples that are left out in turn, and known samples of a class that a classifier
# learns, by which it takes seconds at the most.
N_FOLDS = 5
# Memberships that spread at once, at most: parts are fewer on large graphs.
MAX_SPREAD = 2_000_000
MAX_OF_CLASS = 500
# Least membership and weight, so that nothing is excluded.
MIN_MEMBERSHIP, MIN_TRUST = 1e-3, 1e-2


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
    """Label samples by a graph of neighbours and a linear classifier, each as far as it can be trusted.

    Known classes spread along the graph (`_spread_memberships`), which follows any shape, and a
    logistic regression learns them, which needs few samples where classes lie apart. The logarithms of
    both memberships are added up, weighed by how often each is right about known samples that it was
    not told of; see `_trust`. Where fewer than two classes have two known samples, they only spread.
    Samples that are not in the graph get the class of the nearest ones that are.

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
    points = graph.points(data)
    given = known[graph.rows.to(known.device)].cpu().numpy()
    rows = np.flatnonzero(given >= 0)
    classes, numbers = np.unique(given[rows], return_inverse=True)
    with at_most_threads(1), warnings.catch_warnings():
        # Which class is the largest is settled long before convergence; classes of few known samples are
        # missing in some parts.
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        folds = _folds(numbers, len(points))
        memberships, of_others = _spread_memberships(points, graph, rows, numbers, folds)
        if folds.any():
            learned, of_learned = _learned_memberships(points, rows, numbers, folds)
            memberships = _trust(*of_others) * _log(memberships) + _trust(*of_learned) * _log(learned)
        labels = label_by_nearest(data, graph, classes[memberships.argmax(axis=1)])()
    return torch.as_tensor(labels, dtype=torch.int64, device=known.device)


def _folds(numbers: NDArray, n_points: int) -> NDArray[np.int64]:
    """Part of each known sample, such that two classes are left without any; all 0 if there are none."""
    folds = np.zeros(len(numbers), dtype=np.int64)
    affordable = MAX_SPREAD // (n_points * (numbers.max() + 1))
    n_folds = min(max(2, min(N_FOLDS, affordable)), np.sort(np.append(0, np.bincount(numbers)))[-2])
    if n_folds > 1:
        splits = StratifiedKFold(n_folds, shuffle=True, random_state=0).split(folds, numbers)
        for fold, (_, part) in enumerate(splits):
            folds[part] = fold
    return folds


def _spread_memberships(
    points: NDArray, graph: NeighborGraph, rows: NDArray, numbers: NDArray, folds: NDArray
) -> tuple[NDArray, tuple[NDArray, NDArray]]:
    """Spread known classes along the edges of a graph of neighbours.

    scikit-learn's LabelSpreading (D. Zhou et al., "Learning with Local and Global Consistency", NIPS
    2004) with edges that are scaled to the density around them (`spectral.affinity`). Its alpha is
    1 / (1 + mu), where mu, the weight of known classes, grows with their share. What spreads from
    several samples is the sum of what does from each, so that the parts spread at once, as classes of
    their own.

    Parameters
    ----------
    points : ndarray of shape (m, d)
    graph : NeighborGraph
    rows, numbers, folds : ndarray of int of shape (n_known,)
        Known samples, as places in `points`, their classes and parts.

    Returns
    -------
    memberships : ndarray of shape (m, n_classes)
    of_others : tuple of ndarray
        Memberships of the known samples as the other parts spread, and their classes.
    """
    n_classes = numbers.max() + 1
    sources, places = np.unique(folds * n_classes + numbers, return_inverse=True)
    given = np.full(len(points), -1)
    given[rows] = places
    edges = _mutual_edges(points, graph)
    weight = max(MIN_WEIGHT, len(rows) / len(points))
    spreading = LabelSpreading(kernel=lambda *_: edges, alpha=1.0 / (1.0 + weight), max_iter=MAX_ITER)
    shares = spreading.fit(points, given).label_distributions_
    of_class = csr_matrix((np.ones(len(sources)), (np.arange(len(sources)), sources % n_classes)))
    # What a sample was told itself is no evidence.
    others = np.where(sources // n_classes == folds[:, None], 0.0, shares[rows])
    return shares @ of_class, (others @ of_class, numbers)


def _mutual_edges(points: NDArray, graph: NeighborGraph) -> csr_matrix:
    """Edges of a graph, where those between samples that are not each other's neighbours count less."""
    edges = graph_edges(points, graph, N_NEIGHBORS)
    nearest = graph.nearest[:, :N_NEIGHBORS].cpu().numpy()
    start = np.repeat(np.arange(len(nearest)), nearest.shape[1])
    directed = csr_matrix((np.ones(nearest.size), (start, nearest.ravel())), shape=edges.shape)
    mutual = edges.multiply(directed.minimum(directed.T))
    return (ONE_SIDED * edges + (1.0 - ONE_SIDED) * mutual).tocsr()


def _learned_memberships(
    points: NDArray, rows: NDArray, numbers: NDArray, folds: NDArray
) -> tuple[NDArray, tuple[NDArray, NDArray]]:
    """Memberships by a logistic regression; parameters and results as of `_spread_memberships`."""
    rng = np.random.default_rng(0)
    chosen = np.concatenate(
        [rng.permutation(np.flatnonzero(numbers == k))[:MAX_OF_CLASS] for k in range(numbers.max() + 1)]
    )
    centred = points - points.mean(axis=0)
    # All columns by one number: their proportions are those that the graph sees.
    X, y = centred / max(float(centred.std()), MIN_MEMBERSHIP), numbers[chosen]
    known, regression = X[rows[chosen]], LogisticRegression()
    of_others = cross_val_predict(
        regression, known, y, cv=PredefinedSplit(folds[chosen]), method="predict_proba"
    )
    return regression.fit(known, y).predict_proba(X), (of_others, y)


def _trust(memberships: NDArray, numbers: NDArray) -> float:
    """Weight of a classifier by the share p of right answers: log(p / (1 - p)) + log(n_classes - 1).

    That of J. Zhu et al., "Multi-class AdaBoost", Statistics and Its Interface 2, 2009, which is 0 for
    guesses. One right and n_classes - 1 wrong answers more keep it finite.
    """
    n, n_classes = memberships.shape
    right = (np.sum(memberships.argmax(axis=1) == numbers) + 1.0) / (n + n_classes)
    return max(MIN_TRUST, float(np.log(right / (1.0 - right)) + np.log(n_classes - 1.0)))


def _log(memberships: NDArray) -> NDArray:
    """Logarithms of memberships, brought to a sum of one."""
    total = memberships.sum(axis=1, keepdims=True)
    return np.log(np.maximum(memberships / np.maximum(total, np.finfo(float).tiny), MIN_MEMBERSHIP))
