"""One initialization of a fit: a start and the training from it, here or in another process."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from numpy.typing import NDArray
from torch import Tensor

from skmpcc.algorithm import Recipe
from skmpcc.devices import product_precision, resident
from skmpcc.model import MPCCModel
from skmpcc.monitoring import InitializationMonitor
from skmpcc.neighbors import NeighborGraph
from skmpcc.starts import are_unequal, kmeans_labels, neighbor_labels, view_labels
from skmpcc.training import DivergedError, Outcome, train

History = dict[str, NDArray]


@dataclass(frozen=True)
class Run:
    """What an initialization needs; models and data travel to other processes by way of the CPU."""

    model: MPCCModel
    recipe: Recipe
    data: Tensor
    device: torch.device
    training_seed: int
    start_seed: int
    guided: bool
    outcome: Outcome | DivergedError | None = None

    def finish(self, monitor: InitializationMonitor) -> Outcome:
        """Train the model, unless another process has; raises DivergedError."""
        if self.outcome is None:
            return self._train(monitor.begin())
        if isinstance(self.outcome, DivergedError):
            raise self.outcome
        return self.outcome

    def _train(self, on_interval: Callable[[History, bool], bool]) -> Outcome:
        model, data = self.model.to(self.device), resident(self.data, self.device)
        recipe = self.recipe
        # on CUDA, for the same convolutions each time
        with product_precision(self.device, tf32=recipe.precision != "float32"):
            labels, neighbors = self._start(data)
        if recipe.weights == "auto":
            unequal = labels is not None and are_unequal(labels, model.n_clusters)
            recipe = replace(recipe, weights="learned" if unequal else "uniform")
        if recipe.weights == "learned" and labels is not None:
            shares = torch.bincount(labels, minlength=model.n_clusters) / len(labels)
            model.prior.follow(shares, 1.0)
        return train(
            model,
            recipe,
            data,
            torch.Generator(self.device).manual_seed(self.training_seed),
            on_interval,
            initial_labels=labels,
            neighbors=neighbors,
        )

    def _start(self, data: Tensor) -> tuple[Tensor | None, NeighborGraph | None]:
        """Clusters to guide the first iterations by, and the neighbours; what the recipe asks for."""
        recipe, n_clusters = self.recipe, self.model.n_clusters
        random = torch.Generator(self.device).manual_seed(self.start_seed)
        guided = self.guided and recipe.init_params != "random" and recipe.init_iter > 0
        graph = labels = None
        of_neighbors = recipe.consistency == "neighbors" and (
            recipe.consistency_weight or recipe.weights != "uniform"
        )
        if of_neighbors or (guided and recipe.init_params == "neighbors"):
            graph = NeighborGraph.of(data, recipe.n_neighbors, n_clusters, random)
        if guided and recipe.init_params == "kmeans":
            labels = kmeans_labels(data, n_clusters, self.start_seed).to(random.device)
        elif guided and recipe.init_params == "views":
            labels = view_labels(data, n_clusters, random)
        elif guided:
            labels = neighbor_labels(data, graph, n_clusters, random)
        return labels, graph


def finished(run: Run) -> Run:
    """The same after its training, without the data; for another process to run."""
    try:
        outcome = run._train(lambda history, done: False)
    except DivergedError as error:
        outcome = error
    return replace(run, outcome=outcome, data=torch.empty(0), model=run.model.cpu())
