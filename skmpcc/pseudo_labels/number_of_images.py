"""The number of clusters of images: that on which classifiers of augmented views agree most."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skmpcc.pseudo_labels.agreement import rand_indices
from skmpcc.pseudo_labels.finders.images import labels_by_each, trained_classifiers
from skmpcc.pseudo_labels.number import THRESHOLD, NClustersSuggestion, needed_strengths

# Classifiers for each number, whose labels of some images are compared.
N_CLASSIFIERS = 3
MAX_COMPARED = 5000


def suggest_number_of_images(
    images: Tensor,
    candidates: NDArray[np.int64],
    rng: torch.Generator,
    threshold: float = THRESHOLD,
) -> NClustersSuggestion:
    """Suggest a number of clusters of images.

    Classifiers that start from other weights divide images alike where there are as many kinds, and
    each otherwise where kinds have to be cut or taken together. Every second number is tried, and then
    those beside the best.

    Parameters
    ----------
    images : Tensor of shape (n_samples, channels, height, width)
        As the networks see them, on any device.
    candidates : ndarray of int of shape (m,)
        In ascending order.
    rng : torch.Generator
        Classifiers are trained on its device.
    threshold : float
        Mean adjusted Rand index, as of `needed_strengths`, that is no guess.

    Returns
    -------
    suggestion : NClustersSuggestion
        Its candidates are those that were tried.
    """
    several = candidates[candidates > 1]
    if not len(several):
        return NClustersSuggestion(1, candidates, np.ones(1), np.zeros(1), threshold)
    found: dict[int, NDArray[np.float64]] = {}

    def try_numbers(places: list[int]) -> int:
        for place in places:
            if 0 <= place < len(several) and place not in found:
                found[place] = _agreements(images, int(several[place]), rng)
        return max(sorted(found), key=lambda place: found[place].mean())

    best = try_numbers([*range(0, len(several), 2)])
    best = try_numbers([best - 1, best + 1])
    places = sorted(found)
    scores = np.array([found[place].mean() for place in places])
    errors = np.array([found[place].std(ddof=1) for place in places]) / np.sqrt(N_CLASSIFIERS)
    tried = several[places]
    is_guess = bool(np.all(scores < needed_strengths(tried, threshold)))
    if is_guess and len(several) < len(candidates):
        return NClustersSuggestion(1, tried, scores, errors, threshold)
    return NClustersSuggestion(int(several[best]), tried, scores, errors, threshold, is_guess)


def _agreements(images: Tensor, n_clusters: int, rng: torch.Generator) -> NDArray[np.float64]:
    """Adjusted Rand indices of each two classifiers' labels of some images."""
    classifiers = trained_classifiers(images, n_clusters, rng, n_restarts=N_CLASSIFIERS)
    rows = torch.linspace(0, len(images) - 1, min(len(images), MAX_COMPARED)).round().long()
    labels = labels_by_each(classifiers, images[rows.to(images.device)])
    same = np.asarray(rand_indices([each.cpu().numpy() for each in labels]))
    return same[np.triu_indices(len(labels), 1)]
