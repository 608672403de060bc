"""The training loop and the history that it keeps."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skmpcc.engine.choice import algorithm_of
from skmpcc.method.latent_model import LatentModel
from skmpcc.method.trainer import Trainer
from skmpcc.pseudo_labels.graph import NeighborGraph
from skmpcc.settings import LoopSettingsOnData
from skmpcc.system.devices import at_most_threads, matmul_precision, threads_for
from skmpcc.system.processes import ALONE, Processes
from skmpcc.system.progress import Progress, State
from skmpcc.training.batches import BatchSampler
from skmpcc.training.health import TrainingHealth, is_settled

N_INTERVALS = 100
# Iterations between two looks at a training of so many: a look takes as long as one of them.
LONG, LEAST = 100, 8
# Of `Progress`.
STAGE = "training"
# Settings that say what found the pseudo-labels, and how sure it was.
CHOICE = (
    *("pseudo_labels", "pseudo_label_margin", "pseudo_label_agreement"),
    "pseudo_label_matching",
)

History = dict[str, NDArray]
# Called with the history at each of its entries, and with whether it is the last; a true answer
# stops the training.
OnInterval = Callable[[History, bool], bool]
# Makes what trains a model: a class of trainers, or what is called as one.
Engine = Callable[[Any, Any, torch.Generator], Trainer]


@dataclass(frozen=True)
class Outcome:
    """How a training went.

    Attributes
    ----------
    history : dict of ndarray
        "iteration", each loss (of the last step of its phase), "mean_std" and "mean_norm" of the
        prior, "clipped_steps" (their share, of all optimizers' since the entry before), "change" of the
        memberships and "generation_change" of what is generated, every `interval_of(max_iter)`
        iterations.
    converged : bool
        Whether the training had settled, at the latest at the last entry; see `is_settled`.
    stopped : bool
        Whether `on_interval` stopped the training.
    failure : str, optional
        What stopped the training early; the model is then in its last healthy state.
    """

    history: History
    converged: bool
    stopped: bool = False
    failure: str | None = None


class DivergedError(FloatingPointError):
    """The losses or the parameters are no longer finite."""


def interval_of(max_iter: int) -> int:
    """Iterations between two entries of the history: a hundredth of the training, or a few at least."""
    return max(math.ceil(max_iter / N_INTERVALS), LEAST if max_iter >= LONG else 1)


@contextmanager
def execution(model: LatentModel, settings: LoopSettingsOnData) -> Iterator[None]:
    """Context manager that gives operations the threads and the precision of a training."""
    # Real and generated samples are in one batch.
    n_threads = threads_for(model.hidden_flops(2 * settings.batch_size))
    tf32 = settings.precision == "tf32"
    with at_most_threads(n_threads), matmul_precision(model.device, tf32=tf32):
        yield


def train(
    model: LatentModel,
    settings: LoopSettingsOnData,
    data: Tensor,
    rng: torch.Generator,
    on_interval: OnInterval = lambda history, last: False,
    *,
    pseudo_labels: Tensor | None = None,
    neighbors: NeighborGraph | None = None,
    engine: Engine | None = None,
    progress: Progress | None = None,
    processes: Processes = ALONE,
) -> Outcome:
    """Train a model on `data` for at most `settings.max_iter` iterations.

    Training stops earlier when memberships and generative half have settled. A state that cannot go on
    is rolled back by `TrainingHealth`.

    Parameters
    ----------
    model : LatentModel
        Trained in place, on its device.
    settings : LoopSettingsOnData
    data : Tensor of shape (n_samples, ...)
        Data as the networks see them, on any device.
    rng : torch.Generator
        On the model's device. Batches are drawn from another, on the data's device.
    on_interval : callable
        Called with the history so far at each of its entries, and with whether it is the last; a true
        answer stops the training.
    pseudo_labels : Tensor of shape (n_samples,), optional
        Clusters that teach the networks in the first `settings.supervised_iter` iterations.
    neighbors : NeighborGraph, optional
        Neighbours in the data, for consistency, unless the settings ask it of augmented views.
    engine : callable, optional
        By default the fastest for settings of MPCC or a VAE, the device and the processes; `Algorithm1`
        is the plain loop of MPCC.
    progress : Progress, optional
        Keeps the training after any iteration, and gives what it goes on from. On a CPU a training that
        goes on equals the unbroken one bit for bit.
    processes : Processes
        Those that train together; `on_interval` and `progress` are the first one's.

    Returns
    -------
    outcome : Outcome

    Raises
    ------
    DivergedError
        The training diverged before there was anything to roll back to.
    """
    model.float()
    rows = slice(None)
    if processes.size > 1:
        rows = processes.share(settings.batch_size).rows
    if engine is None:
        engine = algorithm_of(model.device, settings, processes)
    algorithm = engine(model, settings, rng)
    model.restart_averages()
    seed = rng.initial_seed()
    batches = BatchSampler(
        model.device,
        settings.batch_size,
        data,
        pseudo_labels,
        neighbors,
        seed,
        augmentation=settings.consistency == "augmentation",
        rows=rows,
    )
    health_rng = torch.Generator(data.device).manual_seed(seed)
    to_the_end = settings.supervised_iter >= settings.max_iter
    health = TrainingHealth(
        algorithm, data, health_rng, processes, pseudo_labels if to_the_end else None
    )
    loop = _Loop(algorithm, batches, health, on_interval, progress)
    found = {
        "pseudo_labels": pseudo_labels,
        "choice": {name: getattr(settings, name) for name in CHOICE},
    }
    try:
        with execution(model, algorithm.settings):
            loop.run(found, processes)
            health.end()
    finally:
        algorithm.release()
    return loop.outcome()


class _Loop:
    """Iterations, the history that they make, and what of them goes on after an interruption."""

    def __init__(
        self,
        algorithm: Trainer,
        batches: BatchSampler,
        health: TrainingHealth,
        on_interval: OnInterval,
        progress: Progress | None,
    ) -> None:
        self.algorithm = algorithm
        self.batches = batches
        self.health = health
        self.on_interval = on_interval
        self.progress = progress
        self.history: dict[str, list[float]] = defaultdict(list)
        self.interval = interval_of(algorithm.settings.max_iter)
        self.stopped = False

    @property
    def _parts(self) -> dict[str, Trainer | BatchSampler | TrainingHealth]:
        return {"algorithm": self.algorithm, "batches": self.batches, "health": self.health}

    def _state(self, found: State) -> State:
        states = {name: part.state() for name, part in self._parts.items()}
        return {"history": dict(self.history), **found, **states}

    def _restore(self, processes: Processes) -> None:
        """Go on from what the progress has kept, if anything."""
        progress = self.progress
        saved = processes.run_on_first(lambda: None if progress is None else progress.read(STAGE))
        if saved is not None and "history" in saved:
            self.history.update(saved["history"])
            for name, part in self._parts.items():
                part.load(saved[name])

    def run(self, found: State, processes: Processes) -> None:
        """Run iterations until the training is over, and keep them with what was `found` before.

        Raises
        ------
        DivergedError
            The training diverged before there was anything to roll back to.
        """
        algorithm, batches, health = self.algorithm, self.batches, self.health
        max_iter = algorithm.settings.max_iter
        self._restore(processes)

        def report() -> bool:
            return self.on_interval(_as_arrays(self.history), health.is_over)

        while not (health.is_over or self.stopped):
            n_iter = algorithm.n_iter + 1
            checked = n_iter % self.interval == 0 or n_iter == max_iter
            losses = algorithm.iteration(batches.draw_real, batches.draw_pairs, wants_losses=checked)
            if checked:
                entry = _entry(algorithm, losses)
                if health.check(entry):
                    for name, value in entry.items():
                        self.history[name].append(value)
                    self.stopped = processes.run_on_first(report)
            if self.progress is not None and processes.is_first:
                self.progress.keep(STAGE, partial(self._state, found))
        if health.failure is not None and not self.history:
            raise DivergedError(
                f"The training diverged before iteration {self.interval}: {health.failure}. Lower "
                "learning_rate, or prior_learning_rate in preset_params."
            )

    def outcome(self) -> Outcome:
        """How the training went."""
        last = {name: values[-1] for name, values in self.history.items()}
        failure = self.health.failure
        converged = failure is None and is_settled(last, self.algorithm.settings)
        return Outcome(_as_arrays(self.history), converged, self.stopped, failure)


def _entry(algorithm: Trainer, losses: dict[str, Tensor]) -> dict[str, float]:
    """One entry of the history."""
    prior = algorithm.model.prior
    return {
        "iteration": algorithm.n_iter,
        **algorithm.measured(losses),
        "mean_std": float(prior.stds.detach().mean()),
        "mean_norm": float(prior.means.detach().norm(dim=1).mean()),
        "clipped_steps": algorithm.optimizers.take_clipped_share(),
    }


def _as_arrays(history: dict[str, list[float]]) -> History:
    return {name: np.array(values) for name, values in history.items()}
