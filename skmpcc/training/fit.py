"""The steps of a fit: run the initializations, take the best, set the attributes of the estimator."""

import copy
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import Any

import joblib
import numpy as np
import torch
from joblib import Parallel, effective_n_jobs
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from skmpcc.fitted.model import FittedModel
from skmpcc.method.latent_model import LatentModel
from skmpcc.presets import NamedSettings
from skmpcc.settings import LoopSettings, settings_of
from skmpcc.system.callers import stacklevel_of_user
from skmpcc.system.devices import at_most_threads, threads_for
from skmpcc.system.processes import ALONE, Processes
from skmpcc.system.progress import State
from skmpcc.training.checkpoint import Checkpoint
from skmpcc.training.fit_data import FitData
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
from skmpcc.training.stability import Resampling, resample
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
class FittedInitialization:
    """One trained initialization, ready for use.

    Attributes
    ----------
    fitted : FittedModel
    labels : ndarray of shape (n_samples,)
        Most probable components of the rows of X.
    outlying : ndarray of bool of shape (n_samples,)
        Which rows of X belong to no cluster.
    pseudo_labels : ndarray of shape (n_samples,) or None
        Of the rows of X, -1 for those that no network has seen.
    outcome : Outcome
    settings : dict
        Settings that ran, where they are known already.
    """

    fitted: FittedModel
    labels: NDArray[np.int64]
    outlying: NDArray[np.bool_]
    pseudo_labels: NDArray[np.int64] | None
    outcome: Outcome
    settings: dict[str, Any]


@dataclass(frozen=True)
class Fit:
    """A fit but for its data: the recipe, the model that is trained, and what the result gives.

    Attributes
    ----------
    recipe : Preset or AIMPreset
        All settings.
    model : LatentModel
        Model of the first initialization; the others are like it.
    seeds : list of Seeds
        Seeds of each initialization.
    attributes : callable
        Makes, of this fit, its data and a fitted initialization, the fitted attributes.
    warning_texts : callable
        Says, of the same, what is not as it should be.
    engine : Engine or None
        What trains the model; None is MPCC's fastest for the device.
    processes : Processes
        Those that fit together, and their device; the initializations are then one after the other.
    resamplings : list of Resampling
        Pseudo-labels of halves of the data, by which the stability of clusters is judged.
    """

    recipe: NamedSettings
    model: LatentModel
    seeds: list[Seeds]
    attributes: Callable[["Fit", FitData, FittedInitialization], dict[str, Any]]
    warning_texts: Callable[["Fit", FitData, FittedInitialization], list[str]]
    engine: Engine | None = None
    processes: Processes = ALONE
    resamplings: list[Resampling] = field(default_factory=list)

    @property
    def device(self) -> torch.device:
        """Device of the training."""
        return self.processes.device

    @property
    def settings(self) -> LoopSettings:
        """Settings of the training."""
        return self.recipe.training_settings()

    def looking_at_neighbors(self, data: FitData) -> FitData:
        """Find neighbours in the data, where training or score look at them.

        Raises
        ------
        ValueError
            The data or the settings are not the same in all processes, or batches are too small for
            them.
        """
        processes, settings, n_clusters = self.processes, self.settings, self.model.n_clusters
        if processes.size > 1:
            processes.share(min(settings.batch_size, len(data.encoded)))
            numbers = None if data.known is None else data.known.numbers.numpy()
            content = (data.encoded.numpy(), numbers, repr(self.recipe), n_clusters, len(self.seeds))
            processes.check_equal_everywhere(joblib.hash(content), "X, y or the parameters")
        for_score = len(self.seeds) > 1 and data.encoded.ndim == 2
        if not (for_score or needs_graph(settings)):
            return data
        rng = torch.Generator(self.device).manual_seed(self.seeds[0].pseudo_labels)
        graph = processes.run_on_first(
            lambda: data.with_graph(settings.n_neighbors, n_clusters, rng).graph
        )
        return replace(data, graph=graph)

    def resampling(self, data: FitData, n_resamplings: int) -> "Fit":
        """Return this fit with pseudo-labels of random halves of the data."""
        if not n_resamplings:
            return self
        seed, n_clusters = self.seeds[0].pseudo_labels, self.model.n_clusters
        found = self.processes.run_on_first(
            lambda: resample(data, self.settings, n_clusters, n_resamplings, seed, self.device)
        )
        return replace(self, resamplings=found)

    def initializations(self, data: FitData, begin: int = 0) -> Iterator[Initialization]:
        """Make the initializations from the `begin`-th on, each when it is asked for."""
        for index in range(begin, len(self.seeds)):
            seeds = self.seeds[index]
            yield Initialization(
                self.model if index == 0 else self.model.reinitialized(seeds.model),
                self.settings,
                data.encoded,
                data.graph,
                self.device,
                seeds.training,
                seeds.pseudo_labels,
                None if data.known is None else data.known.numbers,
                self.engine,
                self.processes,
                data.table,
                data.variables,
            )

    def ready_for_use(self, data: FitData, trained: TrainedModel, seeds: Seeds) -> FittedInitialization:
        """Prepare a trained model for use, number its clusters, and label the data."""
        model = trained.model.to(self.device)
        rng = torch.Generator(self.device).manual_seed(seeds.standing)
        settings = self.settings
        batch_size = min(settings.batch_size, len(data.encoded))
        with at_most_threads(threads_for(model.hidden_flops(batch_size))):
            model.prepare_for_inference(settings.standing_passes, batch_size, rng, data.encoded)
        if data.known is not None and data.known.priors is not None:
            # Bayes' rule for other priors than those of the data.
            model.prior.weights.copy_(torch.as_tensor(data.known.priors))
        fitted = FittedModel(
            model,
            data.format,
            settings.n_neighbors,
            imputation=data.imputation,
            outliers=data.outliers,
        )
        # As predict finds them, in its batches.
        labels = fitted.labels(data.X)
        pseudo_labels = None
        if trained.pseudo_labels is not None:
            pseudo_labels = data.row_map.to_given(trained.pseudo_labels.cpu().numpy())
        if data.known is None:
            # Those of classes have their numbers.
            labels, pseudo_labels = _empty_last(model, data, labels, pseudo_labels)
        used = {} if trained.settings is None else vars(trained.settings)
        fitted = fitted.with_residuals(data.encoded)
        matching = used.get("pseudo_label_matching")
        # Light curves have a classifier of their own by their codes' Gaussians.
        if matching is not None and data.encoded.ndim == 2 and not model.has_full_gaussians:
            # Two clusterings that are right in a share p of the samples agree on p^2 of them.
            fitted = fitted.with_confidence(data.encoded, math.sqrt(matching))
        outlying = fitted.outlying(data.X)
        return FittedInitialization(fitted, labels, outlying, pseudo_labels, trained.outcome, used)


def _empty_last(
    model: LatentModel, data: FitData, labels: NDArray, pseudo_labels: NDArray | None
) -> tuple[NDArray, NDArray | None]:
    """Give the last numbers to components that no sample of the fit belongs to."""
    seen = data.row_map.to_fitted(labels)
    empty = np.bincount(seen, minlength=model.n_clusters) == 0
    if not empty.any():
        return labels, pseudo_labels
    order = np.argsort(empty, kind="stable")
    model.permute_clusters(torch.as_tensor(order, device=model.device))
    # The last is for rows that no network has seen, -1.
    number = np.append(np.argsort(order), -1)
    return number[labels], None if pseudo_labels is None else number[pseudo_labels]


def fit_summary_attributes(fit: Fit, data: FitData, initialization: FittedInitialization) -> dict:
    """Fitted attributes that say what ran, and how far."""
    outcome, used = initialization.outcome, initialization.settings
    of_recipe = {name: getattr(fit.recipe, name) for name in settings_of(type(fit.recipe))}
    return {
        "_fitted": initialization.fitted,
        "n_iter_": int(outcome.history["iteration"][-1]),
        "converged_": outcome.converged,
        "preset_": fit.recipe.name,
        "device_": str(fit.device),
        "settings_": {
            **{name: used.get(name, value) for name, value in of_recipe.items()},
            "scaling": "none" if data.format.is_of_one_scale else "columns",
        },
        **data.validated,
    }


class _Run:
    """One run of a fit on its data, with a checkpoint or without, reported to a monitor."""

    def __init__(
        self, fit: Fit, data: FitData, monitor: FitMonitor, checkpoint: Checkpoint | None
    ) -> None:
        self.fit = fit
        self.data = data
        self.monitor = monitor
        self.checkpoint = checkpoint

    def best(self, n_jobs: int | None) -> FittedInitialization:
        """Run the initializations, and return the one with the highest score.

        A training that failed comes after all others.

        Raises
        ------
        DivergedError
            All of them diverged from the beginning.
        """
        fit, data, scorer = self.fit, self.data, None
        if len(fit.seeds) > 1:
            n_neighbors, n_clusters = fit.settings.n_neighbors, fit.model.n_clusters
            scorer = Scorer(data.judged, n_neighbors, n_clusters, data.graph)
        best: FittedInitialization | None = None
        best_rank, errors = (False, -math.inf), []
        for found in self._fitted_initializations(n_jobs):
            if isinstance(found, DivergedError):
                errors.append(found)
                continue
            labels = data.row_map.to_fitted(found.labels)
            score = 0.0 if scorer is None else scorer(found.fitted, labels)
            rank = (found.outcome.failure is None, score)
            if best is None or rank > best_rank:
                best, best_rank = found, rank
        if best is None:
            raise errors[-1]
        return best

    def _fitted_initializations(
        self, n_jobs: int | None
    ) -> Iterator[FittedInitialization | DivergedError]:
        """Run the initializations, one after the other or by joblib."""
        fit, restored = self.fit, self._restored_results()
        runs = self._results(len(restored), n_jobs)
        for index, (trained, seeds) in enumerate(zip(chain(restored, runs), fit.seeds, strict=True)):
            reported = self.monitor.initialization(index)
            if isinstance(trained, Initialization):
                attributes_now = partial(self._attributes_now, trained.model, seeds)
                try:
                    trained = trained.run(reported.begin(attributes_now), self.checkpoint)
                except DivergedError as error:
                    trained = error
            if self.checkpoint is not None and index >= len(restored):
                self.checkpoint.finish(_to_checkpoint(trained))
            if isinstance(trained, DivergedError):
                yield trained
                continue
            found = fit.ready_for_use(self.data, trained, seeds)
            if not found.fitted.is_usable(self.data.encoded):
                yield DivergedError(
                    f"The training diverged: {NOT_USABLE}. Lower learning_rate, or prior_learning_rate "
                    "in preset_params."
                )
                continue
            reported.end(partial(fit.attributes, fit, self.data, found))
            yield found

    def _results(
        self, begin: int, n_jobs: int | None
    ) -> Iterator[Initialization | TrainedModel | DivergedError]:
        """Results of initializations by joblib, or the initializations themselves, to be run here."""
        fit, data = self.fit, self.data
        runs = fit.initializations(data, begin)
        if len(fit.seeds) == 1 or fit.processes.size > 1 or effective_n_jobs(n_jobs) == 1:
            return runs
        # Processes of their own, that share the cores: joblib divides the threads among them.
        try:
            parallel = Parallel(n_jobs=n_jobs, return_as="generator")
        except ValueError:
            # Dask's returns all results at once.
            parallel = Parallel(n_jobs=n_jobs)
        shared = SharedArrays.from_tensors(data.encoded, data.graph)
        return iter(parallel(shared.call(each) for each in runs))

    def _restored_results(self) -> list[TrainedModel | DivergedError]:
        """Return the results of initializations that the checkpoint has."""
        checkpoint = self.checkpoint
        kept = self.fit.processes.run_on_first(lambda: checkpoint.finished if checkpoint else [])
        return [
            _from_checkpoint(result, self.fit, seeds)
            for result, seeds in zip(kept, self.fit.seeds, strict=False)
        ]

    def _attributes_now(
        self, model: LatentModel, seeds: Seeds, history: dict[str, NDArray]
    ) -> dict[str, Any]:
        """Fitted attributes if the training of `model` stopped now, for callbacks.

        They are of a copy: standing statistics and renumbering are not for a model in training.
        """
        now = TrainedModel(copy.deepcopy(model), Outcome(history, converged=False), None)
        found = self.fit.ready_for_use(self.data, now, seeds)
        return self.fit.attributes(self.fit, self.data, found)


def _to_checkpoint(trained: TrainedModel | DivergedError) -> State:
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


def _from_checkpoint(result: State, fit: Fit, seeds: Seeds) -> TrainedModel | DivergedError:
    """Return what `_to_checkpoint` was given."""
    if "diverged" in result:
        return DivergedError(result["diverged"])
    model = fit.model.reinitialized(seeds.model)
    model.load_own_state(result["model"])
    settings = fit.settings.on_data(**result["settings"]) if result["settings"] else None
    return TrainedModel(model, Outcome(**result["outcome"]), result["pseudo_labels"], settings)


def from_validation(estimator: Any) -> dict[str, Any]:
    """Fitted attributes that scikit-learn's validation of X made on an estimator."""
    return {name: value for name, value in vars(estimator).items() if name in _FROM_VALIDATION}


def run_fit(
    estimator: Any,
    fit: Fit,
    data: FitData,
    y: Any,
    checkpoint: Checkpoint | None = None,
    n_jobs: int | None = None,
    *,
    given: Any = None,
) -> None:
    """Train, warn of what is not as it should be, and set the fitted attributes at the very end.

    To be called by `fit` itself: warnings go to its caller, past scikit-learn's wrapper. Callbacks are
    handed what was `given` as X, if that is not `data.X`.
    """
    monitor = _monitor(estimator, fit, data.X if given is None else given, y)
    try:
        best = _Run(fit, data, monitor, checkpoint).best(n_jobs)
    except DivergedError:
        if checkpoint is not None:
            checkpoint.remove()
        raise
    # Of the first process, so that all have the same to the last bit.
    attributes = fit.processes.run_on_first(partial(fit.attributes, fit, data, best))

    def finish() -> None:
        for text in fit.warning_texts(fit, data, best):
            warnings.warn(text, ConvergenceWarning, stacklevel=stacklevel_of_user())
        monitor.end(attributes)

    # What raises here, a warning or a callback, does so in all processes, and nothing is set.
    fit.processes.run_on_first(finish)
    for name in _FROM_VALIDATION:
        estimator.__dict__.pop(name, None)
    estimator.__dict__.update(attributes)
    if checkpoint is not None:
        checkpoint.remove()


def _monitor(estimator: Any, fit: Fit, X: Any, y: Any) -> FitMonitor:
    """Start monitoring a fit; only the first of several processes reports."""
    if not fit.processes.is_first:
        estimator = copy.copy(estimator).set_callbacks().set_params(verbose=0)
    max_iter = fit.settings.max_iter
    return FitMonitor(estimator, X, y, max_iter, interval_of(max_iter), len(fit.seeds))
