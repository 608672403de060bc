"""The training loop: batches, history, interruption, and the state that it leaves."""

import copy
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skmpcc.algorithm import Algorithm1, Recipe
from skmpcc.capture import CapturedAlgorithm1
from skmpcc.devices import at_most_threads, product_precision
from skmpcc.engine import FastAlgorithm1
from skmpcc.model import MPCCModel
from skmpcc.neighbors import NeighborGraph
from skmpcc.views import deformed
from skmpcc.watch import Watch

N_INTERVALS = 100
_BATCHES = 0x5EED
MAX_ROLLBACKS = 3
# Work of one operation that is worth a thread: docs/performance.md.
FLOPS_PER_THREAD = 8_000_000


@dataclass(frozen=True)
class Checkpoint:
    """A file that a training is kept in, and goes on from where it exists.

    Of the batches only the order is not kept: a training that goes on begins a new epoch.

    Attributes
    ----------
    path : Path
    seconds : float
        At least these between two writings, which come at entries of the history, and at the end.
    """

    path: Path
    seconds: float = 60.0

    def load(self, algorithm: Algorithm1) -> dict[str, list[float]]:
        """Restore the algorithm, if there is something to; the history so far."""
        if not self.path.exists():
            return {}
        saved = torch.load(self.path, map_location="cpu", weights_only=True)
        algorithm.restore(saved["algorithm"])
        return saved["history"]

    def save(self, algorithm: Algorithm1, history: dict[str, list[float]]) -> None:
        """Write anew; an interruption meanwhile leaves the last one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.path.with_suffix(".part")
        torch.save({"algorithm": algorithm.state(), "history": dict(history)}, unfinished)
        unfinished.replace(self.path)


@dataclass(frozen=True)
class Outcome:
    """How a training went.

    Attributes
    ----------
    history : dict of ndarray
        "iteration", each loss (of the last step of its phase), "mean_std" and "mean_norm" of the
        prior, "change" of the memberships, every `interval_of(max_iter)` iterations.
    settled : bool
        Whether the memberships settled, at the latest by the last look. Also true where `tol` is 0, or
        `on_interval` ended the training.
    failure : str, optional
        What ended the training early, of which the last healthy state is left.
    """

    history: dict[str, NDArray]
    settled: bool
    failure: str | None = None


class DivergedError(FloatingPointError):
    """The losses or the parameters are no longer finite."""


def interval_of(max_iter: int) -> int:
    """Iterations between two entries of the history: a hundredth of the training."""
    return math.ceil(max_iter / N_INTERVALS)


def random_batches(n: int, batch_size: int, random: torch.Generator) -> Iterator[Tensor]:
    """Indices of batches without replacement, a new permutation each epoch, for ever.

    What is left of an epoch and too short for a batch is skipped. Indices are drawn on the
    generator's device.
    """
    while True:
        order = torch.randperm(n, generator=random, device=random.device)
        for start in range(0, n - batch_size + 1, batch_size):
            yield order[start : start + batch_size]


def train(
    model: MPCCModel,
    recipe: Recipe,
    data: Tensor,
    random: torch.Generator,
    on_interval: Callable[[dict[str, NDArray], bool], bool] = lambda history, done: False,
    *,
    initial_labels: Tensor | None = None,
    neighbors: NeighborGraph | None = None,
    engine: type[Algorithm1] | None = None,
    checkpoint: Checkpoint | None = None,
) -> Outcome:
    """Run Algorithm 1 on `data` for at most `recipe.max_iter` iterations.

    It ends before when the memberships have settled. A state that can't go on is rolled back to the
    last look's and all rates are halved, up to MAX_ROLLBACKS times (`Watch`).

    Parameters
    ----------
    model : MPCCModel
        Trained in place, on its device.
    recipe : Recipe
        Already `adapted_to` the data.
    data : Tensor of shape (n_samples, ...)
        As the networks see it, on any device.
    random : torch.Generator
        On the model's device. Batches are drawn from another, on the data's device.
    on_interval : callable
        Called with the history so far at each of its entries, and with whether it is the last; a true
        answer ends the training.
    initial_labels : Tensor of shape (n_samples,), optional
        Clusters that guide the first `recipe.init_iter` iterations.
    neighbors : NeighborGraph, optional
        Of the data: what consistency is asked of, unless the recipe asks it of views.
    engine : type, optional
        By default the fastest for the device; `Algorithm1` is the plain loop.
    checkpoint : Checkpoint, optional

    Returns
    -------
    outcome : Outcome

    Raises
    ------
    DivergedError
        Before there was anything to roll back to.
    """
    model.float()
    if engine is None:
        engine = CapturedAlgorithm1 if model.device.type == "cuda" else FastAlgorithm1
    algorithm = engine(model, recipe, random, guided=initial_labels is not None)
    interval = interval_of(recipe.max_iter)
    history: dict[str, list[float]] = defaultdict(list)
    model.restart_averages()
    if checkpoint is not None:
        history.update(checkpoint.load(algorithm))
        saved = time.monotonic()
    seed = random.initial_seed() + algorithm.n_iter
    draw_real, draw_pairs = sources(
        model.device,
        recipe.batch_size,
        data,
        initial_labels,
        neighbors,
        seed,
        views=recipe.consistency == "views",
    )
    watch = Watch(algorithm, data, torch.Generator(data.device).manual_seed(seed))
    # Real and fake samples are in one batch.
    n_threads = model.hidden_flops(2 * recipe.batch_size) // FLOPS_PER_THREAD
    tf32 = recipe.precision != "float32"
    healthy, n_rollbacks, failure, settled = copy.deepcopy(algorithm.state()), 0, None, False
    try:
        with at_most_threads(n_threads), product_precision(model.device, tf32=tf32):
            while algorithm.n_iter < recipe.max_iter and not settled:
                latest = algorithm.iteration(draw_real, draw_pairs)
                if algorithm.n_iter % interval and algorithm.n_iter != recipe.max_iter:
                    continue
                entry = _entry(algorithm, latest)
                trouble = watch.trouble(entry)
                if trouble is not None:
                    n_rollbacks += 1
                    if n_rollbacks > MAX_ROLLBACKS:
                        failure = trouble
                        break
                    algorithm.restore(healthy, random=False)
                    algorithm.slow_down(0.5)
                    continue
                entry["change"] = watch.change()
                settled = watch.settled(entry["change"])
                if recipe.reseed and watch.mend():
                    settled = False
                for name, value in entry.items():
                    history[name].append(value)
                healthy = copy.deepcopy(algorithm.state())
                done = settled or algorithm.n_iter == recipe.max_iter
                if on_interval(_as_arrays(history), done):
                    done = settled = True
                if checkpoint is not None and (done or time.monotonic() - saved > checkpoint.seconds):
                    checkpoint.save(algorithm, history)
                    saved = time.monotonic()
                if done:
                    break
        if failure is not None:
            if not history:
                raise DivergedError(
                    f"The training diverged before iteration {interval}: {failure}. Lower "
                    "learning_rate or prior_learning_rate."
                )
            algorithm.restore(healthy)
    finally:
        algorithm.release()
    settled = settled or history["change"][-1] < recipe.tol or not recipe.tol
    return Outcome(_as_arrays(history), settled, failure)


def sources(
    device: torch.device,
    batch_size: int,
    data: Tensor,
    labels: Tensor | None,
    neighbors: NeighborGraph | None,
    seed: int,
    *,
    views: bool = False,
) -> tuple[Callable[[], tuple[Tensor, ...]], Callable[[], tuple[Tensor, ...]] | None]:
    """What `Algorithm1.iteration` draws batches by, for `device`; indices are drawn beside the data."""
    # Another stream than the training's, which begins with the same seed.
    random = torch.Generator(data.device).manual_seed(seed ^ _BATCHES)
    batches = random_batches(len(data), batch_size, random)

    def at(source: Tensor, index: Tensor) -> Tensor:
        rows = source[index]
        if rows.device == device:
            return rows
        return rows.pin_memory().to(device, non_blocking=True)

    sources = [data] if labels is None else [data, labels.to(data.device)]

    def draw_real() -> tuple[Tensor, ...]:
        index = next(batches)
        return tuple(at(source, index) for source in sources)

    if views:
        of_views = torch.Generator(device).manual_seed(seed ^ _BATCHES)

        def draw_views() -> tuple[Tensor, ...]:
            index = torch.randint(len(data), (batch_size,), generator=random, device=data.device)
            x, *y = (at(source, index) for source in sources)
            return x, deformed(x, of_views), *y, *y

        return draw_real, draw_views
    if neighbors is None:
        return draw_real, None
    neighbors = neighbors.to(data.device)

    def draw_pairs() -> tuple[Tensor, ...]:
        pair = neighbors.draw(batch_size, random)
        return tuple(at(source, index) for source in sources for index in pair)

    return draw_real, draw_pairs


def _entry(algorithm: Algorithm1, losses: dict[str, Tensor]) -> dict[str, float]:
    """One of the history."""
    prior = algorithm.model.prior
    return {
        "iteration": algorithm.n_iter,
        **{name: float(value) for name, value in losses.items()},
        "mean_std": float(prior.stds.detach().mean()),
        "mean_norm": float(prior.means.detach().norm(dim=1).mean()),
    }


def _as_arrays(history: dict[str, list[float]]) -> dict[str, NDArray]:
    return {name: np.array(values) for name, values in history.items()}


def finish(model: MPCCModel, recipe: Recipe, random: torch.Generator) -> None:
    """Ready a model for use: averages where none began, standing statistics, precision.

    Vectors are inferred in double precision, so that a row's result does not depend on the rows
    beside it; for image networks that would cost too much.
    """
    if not model.has_averages:
        model.update_averages()
    model.collect_standing_statistics(recipe.standing_passes, recipe.batch_size, random)
    model.eval()
    if len(model.sample_shape) == 1:
        model.double()
    else:
        model.prior.double()
