"""Classifiers of tables that give pseudo-labels: many restarts, of which the best go on."""

import math
from collections.abc import Iterator, Sequence

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.optim import Adam

from skmpcc.method.losses import consistency_loss
from skmpcc.pseudo_labels.finders.classifiers import BatchedMLP
from skmpcc.pseudo_labels.finders.objectives import marginal_entropy
from skmpcc.pseudo_labels.graph import NeighborGraph, neighbor_information
from skmpcc.pseudo_labels.problem import Candidate, Problem
from skmpcc.system.devices import at_most_threads, rows_of

MAX_RESTARTS = 24
# Memberships that all restarts hold at once, which is what many clusters cost.
MAX_MEMBERSHIPS = 2_560_000
MAX_ITER = 500
# Share of the restarts that goes on after a share of the updates. Earlier, information tells little of
# what it will be.
KEPT = {0.25: 0.5, 0.5: 0.25}
# Share of the updates in which those that start from other clusters learn these. It ends before any
# goes.
START = 0.2
BATCH_SIZE = 128
LEARNING_RATE = 1e-2
# Last share of the updates, in which the rate falls.
DECAY = 0.3
# Clusters of equal size are insisted on at first; otherwise many a restart leaves some empty.
BALANCE_WEIGHT = 3.0
CHUNK = 8192


def find(problem: Problem) -> Iterator[Candidate]:
    """Find clusters in which neighbours agree, by classifiers that start from `starts`."""
    labels = classifier_labels(
        problem.data, problem.graph, problem.n_clusters, problem.rng, problem.starts
    )
    of_all = labels.cpu().numpy()
    yield Candidate("neighbors", of_all[problem.graph.rows.cpu().numpy()], lambda: of_all)


def classifier_labels(
    data: Tensor,
    graph: NeighborGraph,
    n_clusters: int,
    rng: torch.Generator,
    starts: Sequence[NDArray] = (),
) -> Tensor:
    """Find clusters in which nearest neighbours agree, by small classifiers q(y | x).

    Classifiers with different initial weights are trained side by side on `losses.consistency_loss` of
    samples and their neighbours. Twice only those go on whose neighbours' clusters have the most mutual
    information (successive halving); the best at the end labels all samples.

    Parameters
    ----------
    data : Tensor of shape (n_samples, ...)
        Data as the networks see them, on any device.
    graph : NeighborGraph
    n_clusters : int
    rng : torch.Generator
        The classifiers are trained on its device.
    starts : sequence of ndarray of int of shape (m,)
        Clusters of the graph's rows that as many classifiers learn at first.

    Returns
    -------
    labels : Tensor of int64 of shape (n_samples,)
    """
    # Operations are too small for threads, which would wait for each other all the time.
    with at_most_threads(1):
        data = torch.as_tensor(graph.coordinates(data), device=rng.device)
        classifiers = _trained(data, graph, n_clusters, rng, starts)
        with torch.no_grad():
            classifiers.keep_moments(rows_of(data, graph.rows[:CHUNK]))
            information = _information(classifiers, data, graph)
            classifiers.keep_only(_best(information, 1))
            return _labels(classifiers, data, torch.arange(len(data), device=rng.device))[0]


def _trained(
    data: Tensor,
    graph: NeighborGraph,
    n_clusters: int,
    rng: torch.Generator,
    starts: Sequence[NDArray],
) -> BatchedMLP:
    """Train restarts, of which fewer and fewer go on."""
    # A batch has to show several of every cluster.
    batch_size = min(len(graph.rows), max(BATCH_SIZE, 4 * n_clusters))
    # The more clusters, the more ways for two kinds to fall into one.
    affordable = max(1, MAX_MEMBERSHIPS // (2 * batch_size * n_clusters))
    n_restarts = min(MAX_RESTARTS, 8 + 3 * n_clusters, affordable)
    classifiers = BatchedMLP(n_restarts, data.shape[1], n_clusters, rng)
    optimizer = Adam(classifiers.parameters, lr=LEARNING_RATE, fused=True)
    n_starts = min(len(starts), n_restarts)
    start_labels = torch.zeros((n_starts, len(graph.rows)), dtype=torch.int64, device=rng.device)
    for labels, start in zip(start_labels, starts, strict=False):
        labels.copy_(torch.as_tensor(start))
    kept = {round(done * MAX_ITER): math.ceil(share * n_restarts) for done, share in KEPT.items()}
    for iteration in range(MAX_ITER):
        if kept.get(iteration, n_restarts) < len(classifiers):
            information = _information(classifiers, data, graph)
            _keep(classifiers, optimizer, _best(information, kept[iteration]))
        left = 1.0 - iteration / MAX_ITER
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * min(1.0, left / DECAY)
        drawn = torch.cat(graph.draw_places(batch_size, rng))
        log_q = classifiers.log_memberships(rows_of(data, graph.rows[drawn]))
        loss = consistency_loss(*log_q.split(batch_size, dim=1))
        balance = BALANCE_WEIGHT * max(0.0, 2.0 * left - 1.0)
        if balance:
            loss = loss - balance * marginal_entropy(log_q)
        if iteration < START * MAX_ITER:
            n = len(start_labels)
            learned = functional.nll_loss(
                log_q[:n].transpose(1, 2), start_labels[:, drawn], reduction="none"
            ).mean(1)
            loss = torch.cat([learned, loss[n:]])
        # No parameter is shared: the sum trains each classifier on its own loss.
        loss.sum().backward(inputs=classifiers.parameters)
        optimizer.step()
        optimizer.zero_grad()
    return classifiers


def _best(information: list[float], n: int) -> list[int]:
    """Indices of the `n` classifiers with the most information."""
    return sorted(sorted(range(len(information)), key=lambda k: -information[k])[:n])


def _keep(classifiers: BatchedMLP, optimizer: Adam, chosen: list[int]) -> None:
    """Go on with some of the classifiers, and with their moments."""
    before = [optimizer.state.pop(parameter, {}) for parameter in classifiers.parameters]
    classifiers.keep_only(chosen)
    optimizer.param_groups[0]["params"] = classifiers.parameters
    for parameter, state in zip(classifiers.parameters, before, strict=True):
        optimizer.state[parameter] = {
            name: value[chosen] if value.ndim else value for name, value in state.items()
        }


@torch.no_grad()
def _information(classifiers: BatchedMLP, data: Tensor, graph: NeighborGraph) -> list[float]:
    """Mutual information of each classifier's clusters between neighbours."""
    return [
        sum(neighbor_information(labels, graph)) for labels in _labels(classifiers, data, graph.rows)
    ]


def _labels(classifiers: BatchedMLP, data: Tensor, rows: Tensor) -> Tensor:
    """Labels of rows of the data by each classifier, shape (n_restarts, n)."""
    parts = [classifiers.log_memberships(rows_of(data, part)).argmax(2) for part in rows.split(CHUNK)]
    return torch.cat(parts, dim=1)
