"""Warnings of a fit: of a training that has not settled, of labels that are not as they should be."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmpcc.presets import MixtureSettings
from skmpcc.training.loop import Outcome

# A choice of pseudo-labels is next to a coin's toss if it won by less than the first, and if candidates
# agree with it less than the second.
MIN_MARGIN, MIN_AGREEMENT = 0.1, 0.6
# Share of the samples whose labels are others than their pseudo-labels, above which a fit warns. Those
# of images may be better than their pseudo-labels.
MAX_DIFFERENT = {"vector": 0.02, "image": 0.1}
# Codes have collapsed onto the prior if they diverge less from it, in nats for each dimension.
LEAST_DIVERGENCE = 0.01


def _failed(outcome: Outcome, rates: str) -> str:
    n_iter = int(outcome.history["iteration"][-1])
    return (
        f"The training failed after iteration {n_iter}: {outcome.failure}. Lower rates did not help; "
        f"the last good state is kept. Lower {rates}."
    )


def warnings_of_training(outcome: Outcome, preset: MixtureSettings) -> Iterator[str]:
    """Say whether the training failed, or had not settled at its end."""
    n_iter = int(outcome.history["iteration"][-1])
    if outcome.failure is not None:
        yield _failed(outcome, "learning_rate, or prior_learning_rate in preset_params")
    elif not (outcome.converged or outcome.stopped or preset.tol == 0):
        last = {name: values[-1] for name, values in outcome.history.items()}
        unsettled = [f"memberships ({last['change']:.2g} of them, tol is {preset.tol:g})"]
        if not preset.labels_only:
            unsettled.append(
                f"the generative half ({last['generation_change']:.2g} in standard deviations or "
                f"reconstructions, generation_tol is {preset.generation_tol:g})"
            )
        yield (
            f"The training had not converged after max_iter={n_iter} iterations: in the last entry of "
            f"history_ what changed were {' and '.join(unsettled)}. Raise max_iter or the tolerances."
        )


def warnings_of_reconstructions(outcome: Outcome, tol: float) -> Iterator[str]:
    """Say the same of a training that settles when reconstructions do."""
    n_iter = int(outcome.history["iteration"][-1])
    if outcome.failure is not None:
        yield _failed(outcome, "learning_rate")
    elif not (outcome.converged or outcome.stopped or tol == 0):
        change = outcome.history["generation_change"][-1]
        yield (
            f"The training had not converged after max_iter={n_iter} iterations: in the last entry of "
            f"history_ the error of reconstructions changed by {change:.2g} of the data's variance, tol "
            f"is {tol:g}. Raise max_iter or tol."
        )


def warnings_of_codes(outcome: Outcome, latent_dim: int) -> Iterator[str]:
    """Say whether codes of a VAE by posteriors tell nothing of the data."""
    divergence = outcome.history["divergence"][-1]
    if divergence < LEAST_DIVERGENCE * latent_dim:
        yield (
            f"Codes tell nothing of the data: q(z | x) diverges from the prior by {divergence:.2g} nats "
            "alone (the posterior has collapsed). Lower restriction_weight, or check that X varies."
        )


def warnings_of_labels(
    labels: NDArray[np.int64],
    pseudo_labels: NDArray[np.int64] | None,
    n_clusters: int,
    are_classes: bool,
    kind: str,
) -> Iterator[str]:
    """Say whether clusters are empty, and labels are far from the labels that the networks learned.

    Parameters
    ----------
    labels : ndarray of shape (n,)
        Of the rows that the fit saw.
    pseudo_labels : ndarray of shape (n,) or None
    n_clusters : int
    are_classes : bool
        Whether clusters are known classes.
    kind : {"image", "vector"}
        What the samples are.
    """
    if not are_classes and pseudo_labels is not None:
        differ = float(np.mean(labels != pseudo_labels))
        if differ > MAX_DIFFERENT[kind]:
            yield (
                f"labels_ differ from the pseudo-labels in {differ:.0%} of the samples, far more than "
                "in other fits: the training has not learned, or has lost, what these had. Compare "
                "labels_ with pseudo_labels_, and try another random_state, more iterations or lower "
                "rates."
            )
    n_empty = n_clusters - len(np.unique(labels))
    if n_empty and are_classes:
        yield (
            f"{n_empty} of the {n_clusters} classes are predicted for no training sample. Raise "
            "max_iter, or set priors if they are rare."
        )
    elif n_empty:
        yield (
            f"{n_empty} of n_clusters={n_clusters} clusters have no sample; they are numbered last. Ask "
            "for fewer clusters or more iterations."
        )


def warnings_of_choice(choice: Mapping[str, Any] | None) -> Iterator[str]:
    """Say whether other clusters might as well have been chosen as pseudo-labels."""
    if choice is None or choice["margin"] is None:
        return
    margin, agreement = choice["margin"], choice["agreement"]
    if margin < MIN_MARGIN and agreement < MIN_AGREEMENT:
        yield (
            "The choice of pseudo-labels was next to a coin's toss: those of the kind "
            f"{choice['kind']!r} are ahead of the best other clusters by {margin:.2g}, and all that "
            f"were found agree with them by a mean adjusted Rand index of {agreement:.2g}. Another "
            "random_state may give others; see pseudo_label_choice_, and set pseudo_labels, scaling or "
            "n_clusters if you know more."
        )
