"""Pseudo-labels of images: clusters that small random affine maps do not change."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional
from torch.optim import Adam

from skmpcc.pseudo_labels.augmentation import random_affine, view_information
from skmpcc.pseudo_labels.finders.classifiers import LARGE_SIDE, ConvNet
from skmpcc.pseudo_labels.finders.objectives import (
    augmentation_loss,
    conditional_entropy,
    marginal_entropy,
)
from skmpcc.pseudo_labels.problem import Candidate, Problem
from skmpcc.system.chains import Chains
from skmpcc.system.devices import at_most_threads, available_threads, rows_of
from skmpcc.system.progress import Progress, State

# Augmentation leaves little to chance, so few restarts do. Which are good is known at the end alone.
N_IMAGE_RESTARTS = 3
# More of small images, of which classifiers are cheap and end in worse places more often.
MORE_RESTARTS = 2
IMAGE_MAX_ITER = 350
IMAGE_BATCH_SIZE = 256
IMAGE_LEARNING_RATE = 2e-3
# Images by whose views the best are found, and the share of the best one's information that is good.
N_JUDGED = 10_000
GOOD = 0.9
# Last share of the updates, in which the rate falls.
DECAY = 0.3
# Weight of the mutual information of samples and clusters, beside the agreement of views.
INFORMATION_WEIGHT = 0.1
# Weight of the clusters' entropy in it, as in IMSAT. With less, clusters merge.
IMAGE_BALANCE_WEIGHT = 4.0
CHUNK = 1024
# What the lost information of these clusters is multiplied by, in features that the classifiers do not
# see: neighbours there disagree somewhat more on them than on clusters of such neighbours.
LOST_FACTOR = 0.5
# Iterations whose batches are drawn together. Classifiers wait for each other at their end alone.
BLOCK = 4
# Of `Progress`.
STAGE = "classifiers of images"

# Images, a view of each, and views of images with their classes.
Batch = tuple[Tensor, Tensor, tuple[Tensor, Tensor] | None]


def find(problem: Problem) -> Iterator[Candidate]:
    """Find clusters that small affine maps do not change: by all good classifiers, and by each."""
    images, rng = problem.data, problem.rng
    classifiers = trained_classifiers(images, problem.n_clusters, rng, progress=problem.progress)
    rows = problem.graph.rows.cpu().numpy()
    with at_most_threads(1):
        good = matched_memberships(by_information(classifiers, images, rng), images)
        for some in [good] if len(good) == 1 else [good, *([each] for each in good)]:
            of_all = _by_all(some).cpu().numpy()
            yield Candidate("augmentation", of_all[rows], partial(_as_it_is, of_all), None, LOST_FACTOR)


def _as_it_is(labels: NDArray) -> NDArray:
    return labels


def augmentation_labels(
    images: Tensor,
    n_clusters: int,
    rng: torch.Generator,
    known: Tensor | None = None,
    progress: Progress | None = None,
) -> Tensor:
    """Label images by classifiers that say the same of an image and of random affine maps of it.

    They are those of `trained_classifiers`; without known classes the good ones of them.

    Parameters
    ----------
    images : Tensor of shape (n_samples, channels, height, width)
        Images as the networks see them, on any device.
    n_clusters : int
    rng : torch.Generator
        The classifiers are trained on its device.
    known : Tensor of int64 of shape (n_samples,), optional
        Classes of some images and -1 of the others, on the generator's device. The classifiers then
        learn them from views of these images as well, tend to the classes' shares where few are known,
        and to no sizes where many are, and label the images together.
    progress : Progress, optional
        Keeps the classifiers on their way.

    Returns
    -------
    labels : Tensor of int64 of shape (n_samples,)
    """
    classifiers = trained_classifiers(images, n_clusters, rng, known, progress)
    with at_most_threads(1):
        if known is None:
            classifiers = by_information(classifiers, images, rng)
            return _by_all(matched_memberships(classifiers, images))
        # Known classes have the same numbers in all classifiers.
        return _by_all([_log_memberships(each.eval(), images) for each in classifiers])


def trained_classifiers(
    images: Tensor,
    n_clusters: int,
    rng: torch.Generator,
    known: Tensor | None = None,
    progress: Progress | None = None,
    n_restarts: int | None = None,
) -> list[ConvNet]:
    """Train classifiers of images from several initial weights.

    They learn to say the same of an image and of its augmented view (`augmentation_loss`), in clusters
    that tell much of the samples. The parameters are those of `augmentation_labels`, and the number of
    initial weights.

    Returns
    -------
    classifiers : list of ConvNet
    """
    n_workers = available_threads() if rng.device.type == "cpu" else 1
    # As for tables: threads would wait for each other at every operation.
    with at_most_threads(1):
        shape = tuple(images.shape[1:])
        if n_restarts is None:
            n_restarts = N_IMAGE_RESTARTS + (MORE_RESTARTS if min(shape[1:]) < LARGE_SIDE else 0)
        classifiers = [ConvNet(shape, n_clusters, rng) for _ in range(n_restarts)]
        optimizers = [Adam(each.parameters(), lr=IMAGE_LEARNING_RATE) for each in classifiers]
        batches = _Batches(images, n_clusters, rng, known)
        saved = None if progress is None else progress.read(STAGE)
        first = 0 if saved is None else _load(saved, classifiers, optimizers, rng)
        with Chains(n_workers) as chains:
            for begin in range(first, IMAGE_MAX_ITER, BLOCK):
                end = min(begin + BLOCK, IMAGE_MAX_ITER)
                # All restarts learn from the same images and views, which need be made but once.
                block = [batches.draw() for _ in range(begin, end)]
                update = partial(_update, classifiers, optimizers, batches.sizes, begin, block)
                chains.run(update, len(classifiers), len(block))
                if progress is not None:
                    progress.keep(STAGE, partial(_state, end, classifiers, optimizers, rng))
    return classifiers


class _Batches:
    """Draws of images, a view of each, and views of known images where there are any."""

    def __init__(
        self, images: Tensor, n_clusters: int, rng: torch.Generator, known: Tensor | None
    ) -> None:
        self.images = images
        self.rng = rng
        self.known = known
        self.known_rows = None if known is None else torch.nonzero(known >= 0).flatten()
        self.sizes = Sizes() if known is None else Sizes.of_known(known, n_clusters)
        self.batch_size = min(len(images), max(IMAGE_BATCH_SIZE, 4 * n_clusters))

    def _draw_below(self, n: int) -> Tensor:
        return torch.randint(n, (self.batch_size,), generator=self.rng, device=self.rng.device)

    def draw(self) -> Batch:
        """Draw the next batch."""
        x = rows_of(self.images, self._draw_below(len(self.images)))
        view = random_affine(x, self.rng)
        if self.known is None or self.known_rows is None:
            return x, view, None
        rows = self.known_rows[self._draw_below(len(self.known_rows))]
        return x, view, (random_affine(rows_of(self.images, rows), self.rng), self.known[rows])


def _update(
    classifiers: list[ConvNet],
    optimizers: list[Adam],
    sizes: "Sizes",
    begin: int,
    block: list[Batch],
    number: int,
    step: int,
) -> None:
    """Update one of the classifiers by a batch of the block that begins with an iteration."""
    left = 1.0 - (begin + step) / IMAGE_MAX_ITER
    optimizer = optimizers[number]
    optimizer.param_groups[0]["lr"] = IMAGE_LEARNING_RATE * min(1.0, left / DECAY)
    x, view, labelled = block[step]
    _loss(classifiers[number], x, view, sizes, labelled).backward()
    optimizer.step()
    optimizer.zero_grad()


def _state(
    iteration: int, classifiers: list[ConvNet], optimizers: list[Adam], rng: torch.Generator
) -> State:
    """Return all that the classifiers are trained by from an iteration on."""
    moments = [
        [optimizer.state[parameter] for parameter in classifier.parameters()]
        for classifier, optimizer in zip(classifiers, optimizers, strict=True)
    ]
    networks = [dict(classifier.state_dict()) for classifier in classifiers]
    return {"iteration": iteration, "networks": networks, "moments": moments, "rng": rng.get_state()}


def _load(state: State, classifiers: list[ConvNet], optimizers: list[Adam], rng: torch.Generator) -> int:
    """Go on from what `_state` gave, and return the iteration."""
    parts = zip(classifiers, optimizers, state["networks"], state["moments"], strict=True)
    for classifier, optimizer, network, moments in parts:
        classifier.load_state_dict(network)
        for parameter, of_parameter in zip(classifier.parameters(), moments, strict=True):
            # Moments lie in memory as their parameter does; the count of steps is one number.
            optimizer.state[parameter] = {
                name: torch.empty_like(parameter).copy_(value) if value.ndim else value
                for name, value in of_parameter.items()
            }
    rng.set_state(state["rng"])
    return state["iteration"]


def by_information(classifiers: list[ConvNet], images: Tensor, rng: torch.Generator) -> list[ConvNet]:
    """Sort classifiers by how much their clusters of two views of images have in common, most first.

    Those that have much less in common than the best are left out.
    """
    rows = torch.randperm(len(images), generator=rng, device=rng.device)[:N_JUDGED]
    state = rng.get_state()

    def information(classifier: ConvNet) -> float:
        # The same views for all.
        rng.set_state(state)
        views = [_labels_of_views(classifier.eval(), images, rows, rng) for _ in range(2)]
        return sum(view_information(*views))

    found = [information(classifier) for classifier in classifiers]
    best_first = sorted(range(len(found)), key=found.__getitem__, reverse=True)
    # Rounding may leave next to nothing below zero.
    least = max(found) - (1.0 - GOOD) * abs(max(found))
    return [classifiers[i] for i in best_first if found[i] >= least]


def matched_memberships(classifiers: list[ConvNet], images: Tensor) -> list[Tensor]:
    """log q(y | x) of images by each classifier, with clusters numbered as those of the first.

    They are matched by what they have in common. Then labels can be by all classifiers together: where
    they disagree, two of three are mostly right.

    Returns
    -------
    log_memberships : list of Tensor of shape (n_samples, K)
    """
    first, *others = (_log_memberships(each, images) for each in classifiers)
    reference, matched = first[:N_JUDGED].exp(), [first]
    for other in others:
        common = (reference.T @ other[:N_JUDGED].exp()).cpu().numpy()
        order = linear_sum_assignment(common, maximize=True)[1]
        matched.append(other[:, torch.as_tensor(order, device=other.device)])
    return matched


@torch.no_grad()
def _log_memberships(classifier: ConvNet, images: Tensor) -> Tensor:
    rows = torch.arange(len(images), device=classifier.last.weight.device)
    parts = [classifier.log_memberships(rows_of(images, part)) for part in rows.split(CHUNK)]
    return torch.cat(parts)


def labels_by_each(classifiers: list[ConvNet], images: Tensor) -> list[Tensor]:
    """Most probable clusters of images by each classifier, each with numbers of its own."""
    with at_most_threads(1), torch.no_grad():
        return [_log_memberships(each.eval(), images).argmax(1) for each in classifiers]


def _by_all(log_memberships: list[Tensor]) -> Tensor:
    """Labels by the geometric mean of memberships."""
    return torch.stack(log_memberships).sum(0).argmax(1)


@dataclass(frozen=True)
class Sizes:
    """Sizes that clusters tend to: equal ones, or those of known classes.

    Attributes
    ----------
    weight : float
        Of the marginal entropy, beside the conditional one.
    log_shares : Tensor of shape (K,) or None
        Logarithms of the shares that are expected of clusters; None if these are equal.
    """

    weight: float = IMAGE_BALANCE_WEIGHT
    log_shares: Tensor | None = None

    @classmethod
    def of_known(cls, known: Tensor, n_clusters: int) -> "Sizes":
        """Few known images of each class, which may not keep clusters apart, need help by sizes.

        How many of each are known need not be how many there are, so that the weight falls quickly: by
        the square of the mean number.
        """
        counts = torch.bincount(known[known >= 0], minlength=n_clusters).double()
        log_shares = torch.log((counts + 1.0) / (counts + 1.0).sum()).float()
        return cls(IMAGE_BALANCE_WEIGHT / max(1.0, float(counts.mean())) ** 2, log_shares)


def _loss(
    classifier: ConvNet,
    x: Tensor,
    view: Tensor,
    sizes: Sizes,
    labelled: tuple[Tensor, Tensor] | None,
) -> Tensor:
    """Loss of images and their views; with a labelled batch also of views of other images."""
    log_q = classifier.log_memberships(x)
    information = sizes.weight * marginal_entropy(log_q, sizes.log_shares) - conditional_entropy(log_q)
    loss = augmentation_loss(log_q, classifier.log_memberships(view))
    if labelled is not None:
        loss = loss + functional.nll_loss(classifier.log_memberships(labelled[0]), labelled[1])
    return loss - INFORMATION_WEIGHT * information


@torch.no_grad()
def _labels_of_views(classifier: ConvNet, images: Tensor, rows: Tensor, rng: torch.Generator) -> Tensor:
    """Labels of an augmented view of each of some images."""
    parts = (random_affine(rows_of(images, part), rng) for part in rows.split(CHUNK))
    return torch.cat([classifier.log_memberships(x).argmax(1) for x in parts])
