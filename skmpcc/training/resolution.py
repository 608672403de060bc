"""The one place where settings meet the data and their pseudo-labels, and become what runs."""

import math
from dataclasses import fields

import numpy as np
import torch
from scipy.stats import entropy
from torch import Tensor

from skmpcc.pseudo_labels.graph import NeighborGraph
from skmpcc.settings import AdversarialSettings, LoopSettings, LoopSettingsOnData

# Clusters are unequal if exp of the entropy of their sizes is below this share of K; equal ones have K.
UNEQUAL = 0.9
# Distances to the nearest neighbour that no bandwidth of noise is beyond.
REACH = 4.0


def resolve(
    settings: LoopSettings,
    data: Tensor,
    n_clusters: int,
    pseudo_labels: Tensor | None,
    graph: NeighborGraph | None = None,
    n_outputs: int | None = None,
) -> LoopSettingsOnData:
    """Turn a user's settings into what runs on given data.

    Parameters
    ----------
    settings : LoopSettings
    data : Tensor of shape (n_samples, ...)
        Data as the networks see them.
    n_clusters : int
    pseudo_labels : Tensor of shape (n_samples,) or None
    graph : NeighborGraph, optional
        Neighbours in the data, beyond which noise does not reach.
    n_outputs : int, optional
        Values of a sample that are decoded, which come first; by default all.

    Returns
    -------
    settings : LoopSettingsOnData
        Of the class `on_data` of the settings. Batches have no more than all samples; noise is a
        standard deviation; pseudo-labels serve for a number of iterations, which is 0 without any;
        weights are not "auto".
    """
    weights = settings.weights
    if weights == "auto":
        unequal = pseudo_labels is not None and are_unequal(pseudo_labels, n_clusters)
        weights = "learned" if unequal else "uniform"
    share = 0.0 if pseudo_labels is None else settings.pseudo_label_share
    resolved = {field.name: getattr(settings, field.name) for field in fields(settings)} | {
        "batch_size": min(settings.batch_size, len(data)),
        "weights": weights,
        "n_samples": len(data),
        # Of data that do not vary, nothing is to be reconstructed but a constant.
        "total_variance": float(data.flatten(1)[:, :n_outputs].var(0, correction=0).sum()) or 1.0,
        "supervised_iter": math.ceil(share * settings.max_iter),
        "noise_std": settings.input_noise and settings.input_noise * bandwidth(data, graph),
    }
    if isinstance(settings, AdversarialSettings):
        weight = settings.latent_weight
        # L_q over the dimension of x, as section 3.3 balances it with Loss I.
        resolved["latent_loss_weight"] = (
            1.0 / data[0].numel() if weight == "dimension" else float(weight)
        )
    return settings.on_data(**resolved)


def bandwidth(data: Tensor, graph: NeighborGraph | None) -> float:
    """Scott's bandwidth, or less where neighbours are nearer, so that thin shapes are not blurred.

    In as many dimensions noise of this deviation reaches at most `REACH` times as far as the middle
    sample's nearest neighbour.
    """
    scott = scott_bandwidth(data)
    if graph is None:
        return scott
    nearest = float(graph.distances[:, 0].median())
    return min(scott, REACH * nearest / math.sqrt(data[0].numel()))


def scott_bandwidth(data: Tensor) -> float:
    """sigma n ** (-1 / (d + 4)), by which a kernel density estimate would smooth the data.

    sigma is the root mean variance of the inputs.
    """
    n_samples, n_inputs = len(data), data[0].numel()
    sigma = data.flatten(1).var(0, correction=0).mean().sqrt()
    return float(sigma) * n_samples ** (-1.0 / (n_inputs + 4))


def are_unequal(labels: Tensor, n_clusters: int) -> bool:
    """Whether clusters differ clearly in size; of two, if sizes are about 3 to 1 or more."""
    shares = torch.bincount(labels, minlength=n_clusters).cpu().numpy() / len(labels)
    return bool(np.exp(entropy(shares)) < UNEQUAL * n_clusters)
