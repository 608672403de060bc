"""One initialization of a fit: pseudo-labels and training, here or in another process."""

import warnings
from dataclasses import dataclass, replace
from typing import Any

import torch
from joblib import delayed
from numpy.typing import NDArray
from torch import Tensor

from skmpcc.method.latent_model import LatentModel
from skmpcc.pseudo_labels.graph import NeighborGraph
from skmpcc.pseudo_labels.known import complete_labels
from skmpcc.pseudo_labels.search import find_pseudo_labels
from skmpcc.pseudo_labels.variables import Variables
from skmpcc.settings import IMAGE_PSEUDO_LABELS, LoopSettings, LoopSettingsOnData
from skmpcc.system.devices import matmul_precision, to_device_if_fits
from skmpcc.system.processes import ALONE, Processes
from skmpcc.system.progress import Progress, State
from skmpcc.training.finishing import Finishing
from skmpcc.training.loop import (
    STAGE,
    DivergedError,
    Engine,
    OnInterval,
    Outcome,
    execution,
    train,
)
from skmpcc.training.resolution import resolve


@dataclass(frozen=True)
class TrainedModel:
    """Result of an initialization.

    Attributes
    ----------
    model : LatentModel
    outcome : Outcome
    pseudo_labels : Tensor of int64 of shape (n_samples,) or None
        Labels that the networks learned from: known ones, and those that were found.
    settings : LoopSettingsOnData or None
        What ran; its `pseudo_labels` are the kind that was chosen. None for a training that goes on.
    """

    model: LatentModel
    outcome: Outcome
    pseudo_labels: Tensor | None
    settings: LoopSettingsOnData | None = None


@dataclass(frozen=True)
class Initialization:
    """All that an initialization needs, so that another process can run it.

    Attributes
    ----------
    model : LatentModel
        Model to train in place.
    settings : LoopSettings
    data : Tensor of shape (n_samples, ...)
        Data as the networks see them, on any device.
    graph : NeighborGraph or None
        Neighbours in the data, where the settings need them.
    device : torch.device
    training_seed, pseudo_label_seed : int
    known : Tensor of int64 of shape (n_samples,) or None
        Known labels, -1 where they are not.
    engine : Engine or None
        What trains the model; None is MPCC's fastest for the device.
    processes : Processes
        Those that train it processes.
    table : Tensor of shape (n_samples, n_columns) or None
        The data in another form, in which pseudo-labels are found.
    variables : Variables or None
        Of a table that has categories or missing values, which `table` then is without gaps.
    """

    model: LatentModel
    settings: LoopSettings
    data: Tensor
    graph: NeighborGraph | None
    device: torch.device
    training_seed: int
    pseudo_label_seed: int
    known: Tensor | None = None
    engine: Engine | None = None
    processes: Processes = ALONE
    table: Tensor | None = None
    variables: Variables | None = None

    def run(
        self,
        on_interval: OnInterval = lambda history, last: False,
        progress: Progress | None = None,
    ) -> TrainedModel:
        """Find pseudo-labels, and train the model, from where `progress` was interrupted.

        Raises
        ------
        DivergedError
            The training diverged before there was anything to roll back to.
        """
        model, data = self.model.to(self.device), to_device_if_fits(self.data, self.device)
        processes = self.processes
        saved = processes.run_on_first(lambda: None if progress is None else progress.read(STAGE))
        if saved is not None:
            labels, choice = saved["pseudo_labels"], saved["choice"]
        else:
            labels, choice = processes.run_on_first(lambda: self._pseudo_labels(data, progress))
            if progress is not None and processes.is_first:
                progress.keep(STAGE, lambda: {"pseudo_labels": labels, "choice": choice}, at_once=True)
        if labels is not None:
            labels = labels.to(self.device)
        settings = resolve(self.settings, data, model.n_clusters, labels, self.graph, model.n_outputs)
        settings = replace(settings, **choice)
        if self.settings.weights == "uniform":
            # A model that goes on may have learned others.
            model.prior.reset_weights()
        elif labels is not None:
            shares = torch.bincount(labels, minlength=model.n_clusters) / len(labels)
            if settings.weights == "learned":
                model.prior.update_weights(shares, 1.0)
            elif settings.weights == "shares":
                model.prior.set_weights(shares)
        outcome = train(
            model,
            settings,
            data,
            torch.Generator(self.device).manual_seed(self.training_seed),
            on_interval,
            pseudo_labels=labels,
            neighbors=self.graph,
            engine=self.engine,
            progress=progress,
            processes=processes,
        )
        self._finish(model, settings, data, labels)
        return TrainedModel(model, outcome, labels, settings)

    def _finish(
        self, model: LatentModel, settings: LoopSettingsOnData, data: Tensor, labels: Tensor | None
    ) -> None:
        """See to it that what serves has the labels of a table that were taught to the end.

        Images are often told apart better than their pseudo-labels do, and known labels may be wrong.
        Where labels are all that is wanted of images, few iterations are followed by steps on views.
        What was found in another form of the data, the networks need not follow to the last.
        """
        if labels is None or settings.supervised_iter < settings.max_iter:
            return
        of_images = data.ndim > 2
        if of_images and not (settings.labels_only and self.known is None):
            return
        finishing = Finishing(model, settings, data, labels, self.training_seed)
        with execution(model, settings):
            if of_images:
                self.processes.run_on_first(finishing.learn_views)
                self.processes.broadcast_(list(model.state_dict().values()))
                return
            self.processes.run_on_first(finishing.choose_encoder)
            if self.known is None and (self.table is None or self.variables is not None):
                self.processes.run_on_first(finishing.finish_encoder)
        self.processes.broadcast_(list(model.state_dict().values()))

    def _pseudo_labels(self, data: Tensor, progress: Progress | None) -> tuple[Tensor | None, State]:
        """Find labels to learn from; return them, and settings on the data that say how they are."""
        settings = self.settings
        if settings.pseudo_labels is None or not settings.pseudo_label_share:
            return None, {"pseudo_labels": None}
        rng = torch.Generator(self.device).manual_seed(self.pseudo_label_seed)
        data = data if self.table is None else self.table.to(self.device)
        # On CUDA, for the same convolutions each time.
        with matmul_precision(self.device, tf32=settings.precision != "float32"):
            found = (settings.pseudo_labels, data, self.graph, self.model.n_clusters, rng)
            if self.known is not None:
                known = self.known.to(self.device)
                labels = complete_labels(*found, known, progress)
                return labels, {"pseudo_labels": settings.pseudo_labels}
            chosen = find_pseudo_labels(*found, progress, self.variables)
        return chosen.labels, {
            "pseudo_labels": chosen.kind,
            "pseudo_label_margin": chosen.margin,
            "pseudo_label_agreement": chosen.agreement,
            "pseudo_label_matching": chosen.matching,
        }


@dataclass(frozen=True)
class SharedArrays:
    """Data and neighbours that all initializations of a fit read, as arrays.

    joblib sends an array that is an argument of several calls to other processes once: by a memory map
    on this machine, by Dask once to a worker on others.

    Attributes
    ----------
    data : ndarray of shape (n_samples, ...)
    graph : tuple of ndarray
        Rows, neighbours and distances of the graph; none without one.
    """

    data: NDArray
    graph: tuple[NDArray, ...]

    @classmethod
    def from_tensors(cls, data: Tensor, graph: NeighborGraph | None) -> "SharedArrays":
        """Take the arrays of tensors, without copies of what is on the CPU."""
        tensors = () if graph is None else (graph.rows, graph.nearest, graph.distances)
        return cls(data.cpu().numpy(), tuple(tensor.cpu().numpy() for tensor in tensors))

    def call(self, initialization: Initialization) -> Any:
        """Run an initialization as a task of joblib's, which returns the `TrainedModel` or the error."""
        none = torch.empty(0)
        graph = initialization.graph
        if graph is not None:
            graph = replace(graph, rows=none, nearest=none, distances=none)
        rest = replace(initialization, data=none, graph=graph)
        return delayed(_train_in_worker)(rest, self.data, *self.graph)


def _train_in_worker(
    rest: Initialization, data: NDArray, *graph_arrays: NDArray
) -> TrainedModel | DivergedError:
    """Run an initialization in another process, whose results travel by way of the CPU."""
    with warnings.catch_warnings():
        # Memory maps cannot be written to, and nobody does.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        tensors = [torch.as_tensor(array) for array in (data, *graph_arrays)]
    graph = rest.graph
    if graph is not None:
        rows, nearest, distances = (tensor.to(rest.device) for tensor in tensors[1:])
        graph = replace(graph, rows=rows, nearest=nearest, distances=distances)
    try:
        trained = replace(rest, data=tensors[0], graph=graph).run()
    except DivergedError as error:
        return error
    labels = trained.pseudo_labels
    return replace(
        trained, model=trained.model.cpu(), pseudo_labels=None if labels is None else labels.cpu()
    )


def needs_graph(settings: LoopSettings) -> bool:
    """Whether a training by these settings looks at nearest neighbours."""
    by_consistency = settings.consistency == "neighbors" and (
        settings.consistency_weight > 0 or settings.weights in ("auto", "learned")
    )
    by_search = settings.pseudo_labels not in (None, "kmeans", *IMAGE_PSEUDO_LABELS)
    return by_consistency or (by_search and settings.pseudo_label_share > 0)
