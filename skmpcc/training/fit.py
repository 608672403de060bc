"""The steps of `fit`: prepare, run the initializations, take the best, make attributes."""

import copy
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any, Self

import joblib
import numpy as np
import torch
from joblib import Parallel, effective_n_jobs
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from skmpcc.data.classes import KnownClasses
from skmpcc.data.inputs import InputFormat
from skmpcc.data.rows import sort_rows
from skmpcc.data.sliced import Rows
from skmpcc.fitted.model import FittedModel
from skmpcc.method.latent_model import LatentModel
from skmpcc.method.model import MPCCModel
from skmpcc.presets import Preset
from skmpcc.pseudo_labels.neighbors import NeighborGraph
from skmpcc.settings import NetworkSettings, ResolvedSettings, TrainingSettings, select, settings_of
from skmpcc.system.callers import stacklevel_of_user
from skmpcc.system.devices import at_most_threads, threads_for
from skmpcc.system.processes import ALONE, Processes
from skmpcc.system.progress import State
from skmpcc.training.checkpoint import Checkpoint
from skmpcc.training.convergence import warnings_of_labels, warnings_of_training
from skmpcc.training.health import NOT_USABLE
from skmpcc.training.initialization import (
    Initialization,
    SharedArrays,
    TrainedModel,
    needs_graph,
)
from skmpcc.training.loop import DivergedError, Engine, Outcome, interval_of
from skmpcc.training.monitoring import FitMonitor
from skmpcc.training.scoring import Scorer
from skmpcc.training.start import MAX_SEED

_FROM_VALIDATION = ("n_features_in_", "feature_names_in_")


@dataclass(frozen=True)
class Seeds:
    """Seeds of one initialization."""

    model: int
    training: int
    standing: int
    pseudo_labels: int

    @classmethod
    def draw(cls, random_state: np.random.RandomState, n_init: int) -> list["Seeds"]:
        """Draw the seeds of several initializations."""
        return [cls(*row) for row in random_state.randint(MAX_SEED, size=(n_init, 4)).tolist()]


@dataclass(frozen=True)
class Candidate:
    """One trained initialization, ready for use.

    Attributes
    ----------
    fitted : FittedModel
    labels : ndarray of shape (n_samples,)
        Of the rows of X.
    pseudo_labels : ndarray of shape (n_samples,) or None
        Of the rows of X, -1 for those that no network has seen.
    outcome : Outcome
    settings : dict
        Settings that ran, where they are known already.
    """

    fitted: FittedModel
    labels: NDArray[np.int64]
    pseudo_labels: NDArray[np.int64] | None
    outcome: Outcome
    settings: dict[str, Any]


@dataclass(frozen=True)
class PreparedFit:
    """Everything that the initializations of a fit share; X is encoded once, here.

    Attributes
    ----------
    preset : Preset
        Settings of the fit.
    format : InputFormat
    X : ndarray or SlicedArray of shape (n_samples, ...)
    data : Tensor of shape (n_rows, ...)
        X as the networks see it, in an order that does not depend on X's.
    order : ndarray of int64 of shape (n_rows,)
        Which row of X each row of the data is.
    graph : NeighborGraph or None
        Neighbours in the data, where training or score look at them.
    model : LatentModel
        Model of the first initialization; the others are like it.
    device : torch.device
    seeds : list of Seeds
        Seeds of each initialization.
    validated : dict
        Fitted attributes that scikit-learn's validation of X made.
    known : KnownClasses or None
        None if clusters are to be found.
    engine : Engine or None
        What trains the model; None is MPCC's fastest for the device.
    checkpoint : Checkpoint or None
        What the fit is kept in, and goes on from; of several processes the first has it.
    processes : Processes
        Those that fit together; the initializations are then one after the other.
    """

    preset: Preset
    format: InputFormat
    X: Rows
    data: Tensor
    order: NDArray[np.int64]
    graph: NeighborGraph | None
    model: LatentModel
    device: torch.device
    seeds: list[Seeds]
    validated: dict[str, Any]
    known: KnownClasses | None = None
    engine: Engine | None = None
    checkpoint: Checkpoint | None = None
    processes: Processes = ALONE

    @classmethod
    def prepare(
        cls,
        X: NDArray,
        preset: Preset,
        data_format: InputFormat,
        n_clusters: int,
        seeds: list[Seeds],
        device: torch.device,
        validated: dict[str, Any],
        last_model: LatentModel | None = None,
        known: KnownClasses | None = None,
        processes: Processes = ALONE,
    ) -> "PreparedFit":
        """Encode X, find neighbours where they are needed, and build the model.

        With `last_model`, the training goes on with a copy of it.

        Raises
        ------
        ValueError
            The data or the settings are not the same in all processes, or batches are too small for
            them.
        """
        settings = select(preset, NetworkSettings)
        data = data_format.encode_all(X)
        order = sort_rows(data, None if known is None else known.numbers.numpy())
        if known is not None:
            known = replace(known, numbers=known.numbers[order])
        if processes.size > 1:
            processes.share(min(preset.batch_size, len(data)))
            numbers = None if known is None else known.numbers.numpy()
            digest = joblib.hash((data.numpy(), numbers, repr(preset), n_clusters, len(seeds)))
            processes.check_equal_everywhere(digest, "X, y or the parameters")
        if last_model is None:
            shape = data_format.tensor_shape
            model: LatentModel = MPCCModel(settings, shape, n_clusters, seeds[0].model)
        else:
            model = copy.deepcopy(last_model)
        graph = None
        for_score = len(seeds) > 1 and data.ndim == 2
        if for_score or needs_graph(select(preset, TrainingSettings)):
            rng = torch.Generator(device).manual_seed(seeds[0].pseudo_labels)
            first = None if known is None else known.numbers.to(device) >= 0
            graph = processes.run_on_first(
                lambda: NeighborGraph.from_data(data, preset.n_neighbors, n_clusters, rng, first)
            )
        return cls(
            preset,
            data_format,
            X,
            data,
            order,
            graph,
            model,
            device,
            seeds,
            validated,
            known,
            processes=processes,
        )

    def of_rows(self, X: Rows, rows: NDArray[np.int64] | None) -> Self:
        """Return this fit of `X[rows]` as one of X, some of whose rows no network sees."""
        return self if rows is None else replace(self, X=X, order=rows[self.order])

    def initializations(self) -> Iterator[Initialization]:
        """Make the initializations that a checkpoint has not, with models and seeds of their own.

        Each is made when it is asked for.
        """
        for index in range(self.n_finished, len(self.seeds)):
            seeds = self.seeds[index]
            yield Initialization(
                self.model if index == 0 else self.model.reinitialized(seeds.model),
                select(self.preset, TrainingSettings),
                self.data,
                self.graph,
                self.device,
                seeds.training,
                seeds.pseudo_labels,
                None if self.known is None else self.known.numbers,
                self.engine,
                self.processes,
            )

    @property
    def n_finished(self) -> int:
        """Number of the initializations whose results the checkpoint has."""
        return len(self._kept())

    def _kept(self) -> list[State]:
        """Return what the checkpoint has of finished initializations."""
        return self.processes.run_on_first(
            lambda: [] if self.checkpoint is None else self.checkpoint.finished
        )

    def best(self, monitor: FitMonitor, n_jobs: int | None) -> Candidate:
        """Run the initializations, and return the one with the highest score.

        A training that ended in trouble comes after all others.

        Raises
        ------
        DivergedError
            All of them diverged from the beginning.
        """
        scorer = None
        if len(self.seeds) > 1:
            preset, n_clusters = self.preset, self.model.n_clusters
            scorer = Scorer(self.data, preset.n_neighbors, n_clusters, self.graph)
        best: Candidate | None = None
        best_rank, errors = (False, -math.inf), []
        for candidate in self.candidates(monitor, n_jobs):
            if isinstance(candidate, DivergedError):
                errors.append(candidate)
                continue
            score = 0.0 if scorer is None else scorer(candidate.fitted, candidate.labels[self.order])
            rank = (candidate.outcome.failure is None, score)
            if best is None or rank > best_rank:
                best, best_rank = candidate, rank
        if best is None:
            raise errors[-1]
        return best

    def candidates(self, monitor: FitMonitor, n_jobs: int | None) -> Iterator[Candidate | DivergedError]:
        """Run the initializations, one after the other or by joblib."""
        runs: Iterator[Initialization | TrainedModel | DivergedError] = self.initializations()
        alone = self.processes.size == 1
        if len(self.seeds) > 1 and alone and effective_n_jobs(n_jobs) > 1:
            # Processes of their own, that share the cores: joblib divides the threads among them.
            try:
                parallel = Parallel(n_jobs=n_jobs, return_as="generator")
            except ValueError:
                # Dask's returns all results at once.
                parallel = Parallel(n_jobs=n_jobs)
            shared = SharedArrays.from_tensors(self.data, self.graph)
            runs = iter(parallel(shared.call(each) for each in self.initializations()))
        n_finished = self.n_finished
        for index, (trained, seeds) in enumerate(
            zip(chain(self.finished(), runs), self.seeds, strict=True)
        ):
            reported = monitor.initialization(index)
            if isinstance(trained, Initialization):
                attributes_now = partial(self._attributes_now, trained.model, seeds)
                try:
                    trained = trained.run(reported.begin(attributes_now), self.checkpoint)
                except DivergedError as error:
                    trained = error
            if self.checkpoint is not None and index >= n_finished:
                self.checkpoint.finish(_result(trained))
            if isinstance(trained, DivergedError):
                yield trained
                continue
            candidate = self.candidate(trained, seeds)
            if not candidate.fitted.is_usable(self.data):
                yield DivergedError(
                    f"The training diverged: {NOT_USABLE}. Lower learning_rate or prior_learning_rate."
                )
                continue
            reported.end(partial(self.attributes, candidate))
            yield candidate

    def finished(self) -> list[TrainedModel | DivergedError]:
        """Return the results of initializations that the checkpoint has."""
        results = zip(self._kept(), self.seeds, strict=False)
        return [self._trained(result, seeds) for result, seeds in results]

    def _trained(self, result: State, seeds: Seeds) -> TrainedModel | DivergedError:
        if "diverged" in result:
            return DivergedError(result["diverged"])
        model = self.model.reinitialized(seeds.model)
        model.load_own_state(result["model"])
        settings = ResolvedSettings(**result["settings"]) if result["settings"] else None
        return TrainedModel(model, Outcome(**result["outcome"]), result["pseudo_labels"], settings)

    def _attributes_now(
        self, model: LatentModel, seeds: Seeds, history: dict[str, NDArray]
    ) -> dict[str, Any]:
        """Fitted attributes if the training of `model` stopped now, for callbacks.

        They are of a copy: standing statistics and renumbering are not for a model in training.
        """
        now = TrainedModel(copy.deepcopy(model), Outcome(history, converged=False), None)
        return self.attributes(self.candidate(now, seeds))

    def candidate(self, trained: TrainedModel, seeds: Seeds) -> Candidate:
        """Prepare a trained model for use, number its clusters, and label the data."""
        model = trained.model.to(self.device)
        rng = torch.Generator(self.device).manual_seed(seeds.standing)
        batch_size = min(self.preset.batch_size, len(self.data))
        with at_most_threads(threads_for(model.hidden_flops(batch_size))):
            model.prepare_for_inference(self.preset.standing_passes, batch_size, rng)
        if self.known is not None and self.known.priors is not None:
            # Bayes' rule for other priors than those of the data.
            model.prior.weights.copy_(torch.as_tensor(self.known.priors))
        fitted = FittedModel(model, self.format, self.preset.n_neighbors)
        # As predict finds them, in its batches.
        labels = fitted.labels(self.X)
        pseudo_labels = None
        if trained.pseudo_labels is not None:
            pseudo_labels = trained.pseudo_labels.cpu().numpy()
        # Components without a sample are numbered last. Those of classes have their numbers.
        empty = np.bincount(labels[self.order], minlength=model.n_clusters) == 0
        if empty.any() and self.known is None:
            order = np.argsort(empty, kind="stable")
            model.permute_clusters(torch.as_tensor(order, device=model.device))
            number = np.argsort(order)
            labels = number[labels]
            pseudo_labels = None if pseudo_labels is None else number[pseudo_labels]
        if pseudo_labels is not None:
            pseudo_labels = self.of_X(pseudo_labels)
        settings = {} if trained.settings is None else vars(trained.settings)
        return Candidate(
            fitted.with_residuals(self.data), labels, pseudo_labels, trained.outcome, settings
        )

    def of_X(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Bring labels of the data to the rows of X; -1 where these are not in the data."""
        out = np.full(len(self.X), -1)
        out[self.order] = labels
        return out

    def attributes(self, candidate: Candidate) -> dict[str, Any]:
        """Fitted attributes of the estimator."""
        prior = candidate.fitted.model.prior
        means = prior.means.detach().cpu().numpy().copy()
        centers = candidate.fitted.decode(means, np.arange(len(means)))
        history = candidate.outcome.history
        named: dict[str, Any]
        if self.known is None:
            named = {
                "labels_": candidate.labels,
                "pseudo_labels_": candidate.pseudo_labels,
                "cluster_centers_": centers,
            }
        else:
            taught = candidate.pseudo_labels
            assert taught is not None
            named = {
                "classes_": self.known.classes,
                "transduction_": self.known.classes[np.where(taught < 0, candidate.labels, taught)],
                "class_centers_": centers,
            }
        return {
            "_fitted": candidate.fitted,
            **named,
            "means_": means,
            "covariances_": prior.stds.square().detach().cpu().numpy().copy(),
            "weights_": prior.weights.cpu().numpy().copy(),
            "history_": history,
            **self.course(candidate),
        }

    def course(self, candidate: Candidate) -> dict[str, Any]:
        """Fitted attributes that tell what ran, and how far."""
        return {
            "n_iter_": int(candidate.outcome.history["iteration"][-1]),
            "converged_": candidate.outcome.converged,
            "preset_": self.preset.name,
            "device_": str(self.device),
            "settings_": {
                name: candidate.settings.get(name, value) for name, value in self.settings.items()
            },
            **self.validated,
        }

    @property
    def settings(self) -> dict[str, Any]:
        """All settings by name, as they were given or the preset has them."""
        return {name: getattr(self.preset, name) for name in settings_of(Preset)}

    def warning_texts(self, candidate: Candidate) -> list[str]:
        """Say what is not as it should be with a fit."""
        labels, pseudo_labels = candidate.labels[self.order], candidate.pseudo_labels
        if pseudo_labels is not None:
            pseudo_labels = pseudo_labels[self.order]
        return [
            *warnings_of_training(candidate.outcome, self.preset),
            *warnings_of_labels(labels, pseudo_labels, self.model.n_clusters, self.known is not None),
        ]

    def monitor(self, estimator: Any, X: Rows, y: Any) -> FitMonitor:
        """Start monitoring this fit of `estimator`; only the first of several processes reports."""
        if not self.processes.is_first:
            estimator = copy.copy(estimator).set_callbacks().set_params(verbose=0)
        max_iter = self.preset.max_iter
        return FitMonitor(estimator, X, y, max_iter, interval_of(max_iter), len(self.seeds))


def _result(trained: TrainedModel | DivergedError) -> State:
    """Return the result of an initialization as a checkpoint keeps it."""
    if isinstance(trained, DivergedError):
        return {"diverged": str(trained)}
    # Clones, since the model is changed when it is prepared for use.
    model = {name: tensor.clone() for name, tensor in trained.model.own_state().items()}
    return {
        "model": model,
        "outcome": dict(vars(trained.outcome)),
        "pseudo_labels": trained.pseudo_labels,
        "settings": dict(vars(trained.settings)) if trained.settings else None,
    }


def from_validation(estimator: Any) -> dict[str, Any]:
    """Fitted attributes that scikit-learn's validation of X made on an estimator."""
    return {name: value for name, value in vars(estimator).items() if name in _FROM_VALIDATION}


def run(
    estimator: Any,
    prepared: PreparedFit,
    X: Rows,
    y: Any,
    checkpoint: Checkpoint | None,
    n_jobs: int | None = None,
) -> None:
    """Train, warn of what is not as it should be, and set the fitted attributes at the very end.

    To be called by `fit` itself: warnings go to its caller, past scikit-learn's wrapper.
    """
    monitor = prepared.monitor(estimator, X, y)
    try:
        best = replace(prepared, checkpoint=checkpoint).best(monitor, n_jobs)
    except DivergedError:
        if checkpoint is not None:
            checkpoint.remove()
        raise
    # Of the first process, so that all have the same to the last bit.
    attributes = prepared.processes.run_on_first(partial(prepared.attributes, best))

    def finish() -> None:
        for text in prepared.warning_texts(best):
            warnings.warn(text, ConvergenceWarning, stacklevel=stacklevel_of_user())
        monitor.end(attributes)

    # What raises here, a warning or a callback, does so in all processes, and nothing is set.
    prepared.processes.run_on_first(finish)
    for name in _FROM_VALIDATION:
        estimator.__dict__.pop(name, None)
    estimator.__dict__.update(attributes)
    if checkpoint is not None:
        checkpoint.remove()
