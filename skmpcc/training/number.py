"""The number of clusters that a fit takes where none is given."""

import numpy as np
import torch
from numpy.typing import NDArray

from skmpcc.pseudo_labels.graph import NeighborGraph
from skmpcc.pseudo_labels.number import MIN_SAMPLES, THRESHOLD, NClustersSuggestion, suggest_number
from skmpcc.pseudo_labels.number_of_images import suggest_number_of_images
from skmpcc.settings import IMAGE_PSEUDO_LABELS
from skmpcc.system.devices import matmul_precision
from skmpcc.training.fit_data import FitData
from skmpcc.training.start import MAX_SEED

# Numbers up to which all are compared, more of them only if the last one is the best, and the most there
# may be; splits into halves.
MAX_CLUSTERS, MAX_EVER = 20, 100
N_RESAMPLINGS = 8


def suggested_number(
    data: FitData, pseudo_labels: str | None, device: torch.device, seed: int, n_jobs: int | None = None
) -> NClustersSuggestion:
    """Suggest the number of clusters for a fit, from 2 on.

    Raises
    ------
    ValueError
        There are too few rows.
    """
    most = min(MAX_EVER, len(data.encoded) // MIN_SAMPLES)
    if most < 2:
        raise ValueError(
            f"n_clusters='auto' compares halves of X, for which at least {2 * MIN_SAMPLES} samples are "
            f"needed; there are {len(data.encoded)}."
        )
    seeds = np.random.RandomState(seed).randint(MAX_SEED, size=N_RESAMPLINGS)
    first, last = 2, min(MAX_CLUSTERS, most)
    candidates = np.arange(first, last + 1)
    found = suggestion_among(data, candidates, pseudo_labels, device, seeds, n_jobs=n_jobs)
    while found.n_clusters == last < most:
        first, last = last, min(2 * last, most)
        candidates = np.arange(first, last + 1)
        more = suggestion_among(data, candidates, pseudo_labels, device, seeds, n_jobs=n_jobs)
        found = found.followed_by(more)
    return found


def suggestion_among(
    data: FitData,
    candidates: NDArray[np.int64],
    pseudo_labels: str | None,
    device: torch.device,
    seeds: NDArray[np.int64],
    *,
    threshold: float = THRESHOLD,
    n_jobs: int | None = None,
) -> NClustersSuggestion:
    """Suggest one of some numbers: of images by classifiers, if these are asked what they show.

    Parameters
    ----------
    data : FitData
    candidates : ndarray of int of shape (m,)
        In ascending order.
    pseudo_labels : str or None
        Those of the fit.
    device : torch.device
    seeds : ndarray of int of shape (n_resamplings,)
    threshold : float
        See `NClustersSuggestion.thresholds`.
    n_jobs : int, optional
    """
    if data.encoded.ndim > 2 and pseudo_labels in IMAGE_PSEUDO_LABELS:
        rng = torch.Generator(device).manual_seed(int(seeds[0]))
        # On CUDA, for the same convolutions each time.
        with matmul_precision(device, tf32=False):
            return suggest_number_of_images(data.encoded, candidates, rng, threshold)
    rows, rng = data.judged, torch.Generator().manual_seed(int(seeds[0]))
    # Coordinates alone, no neighbours.
    graph = NeighborGraph.from_data(rows, 1, len(rows), rng, all_values=data.format.one_length)
    points = graph.points(rows).astype(np.float64)
    return suggest_number(points, candidates, seeds, threshold, n_jobs)
