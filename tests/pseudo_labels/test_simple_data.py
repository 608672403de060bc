"""Data on which anybody sees what is right, searched as users have it."""

import numpy as np
import pytest
import torch
from sklearn.datasets import make_moons
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import StandardScaler
from support import generator, slow

from skmpcc.data.inputs import InputFormat, Layout
from skmpcc.pseudo_labels.graph import NeighborGraph
from skmpcc.pseudo_labels.search import PseudoLabels, find_pseudo_labels

# Label of what is noise, and not scored.
NOISE = -1


def ring(n, radius, spread, random):
    angles = random.uniform(0.0, 2.0 * np.pi, n)
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1) + spread * random.normal(
        size=(n, 2)
    )


def labelled(*parts):
    return np.concatenate(parts), np.repeat(np.arange(len(parts)), [len(part) for part in parts])


def with_noise(X, y, n, random):
    low, high = X.min(axis=0), X.max(axis=0)
    margin = (high - low) / 10.0
    noise = random.uniform(low - margin, high + margin, (n, X.shape[1]))
    return np.concatenate([X, noise]), np.append(y, np.full(n, NOISE))


def spirals(random):
    """Three arms of 104 points."""
    turn = np.linspace(0.25, 1.25, 104)[:, None]
    arms = []
    for k in range(3):
        angles = 2.0 * np.pi * (turn + k / 3.0)
        arms.append(10.0 * turn * np.hstack([np.cos(angles), np.sin(angles)]))
    return labelled(*(arm + 0.1 * random.normal(size=arm.shape) for arm in arms))


def open_ring(random):
    """Around two groups that nearly touch."""
    angles = np.deg2rad(np.linspace(-57.5, 237.5, 110))
    radius = 14.5 + 0.6 * random.normal(size=110)
    around = (radius * np.stack([np.cos(angles), np.sin(angles)])).T
    left, right = (random.normal([x, 0.0], 2.1, size=(95, 2)) for x in (-5.75, 5.75))
    return labelled(around, left, right)


def crescents(random):
    return make_moons(300, noise=0.05, random_state=int(random.integers(2**31)))


def half_moons_of_unequal_density(random):
    return make_moons((800, 200), noise=0.08, random_state=int(random.integers(2**31)))


def bulls_eye_with_outliers(random):
    middle = 0.6 * random.normal(size=(200, 2))
    X, y = labelled(middle, ring(400, 4.0, 0.25, random), ring(600, 8.0, 0.25, random))
    return with_noise(X, y, 20, random)


def rings(random):
    return labelled(*(np.array([x, 0.0]) + ring(200, 1.0, 0.07, random) for x in (0.0, 2.6, 6.0)))


def diamonds(random):
    """Nine, whose corners nearly touch."""
    parts = []
    for row, column in np.ndindex(3, 3):
        u, v = random.uniform(-1.0, 1.0, size=(2, 120))
        parts.append(np.stack([u + v, u - v], axis=1) / 2.0 + 2.1 * np.array([row, column]))
    return labelled(*parts)


def coordinates_in_one_unit(random):
    """Six places on a map of 790 x 145 metres, in noise."""
    places = np.stack([np.linspace(60.0, 730.0, 6), random.uniform(40.0, 105.0, 6)], axis=1)
    X, y = labelled(*(random.normal(place, 16.0, size=(170, 2)) for place in places))
    return with_noise(X, y, 180, random)


def principal_components(random):
    """Four groups in the first ten of fifty components, whose deviations fall by far."""
    means = np.zeros((4, 50))
    means[:, :10] = 6.0 * random.normal(size=(4, 10))
    deviations = np.concatenate([np.full(10, 3.0), np.geomspace(2.0, 0.1, 40)])
    X, y = labelled(*(random.normal(mean, deviations, size=(150, 50)) for mean in means))
    return X - X.mean(axis=0), y


def embeddings(random):
    """Unit rows of 300 columns, most of which tell nothing of the group."""
    X, y = labelled(
        *(random.normal(mean, 1.0, size=(150, 300)) for mean in 0.35 * random.normal(size=(6, 300)))
    )
    X = X + random.normal(size=300)
    return X / np.linalg.norm(X, axis=1, keepdims=True), y


def columns_of_different_units(random):
    X, y = labelled(*(random.normal(mean, 1.0, size=(100, 4)) for mean in 6.0 * np.eye(4)[:3]))
    return X * [1.0, 1e-3, 1e4, 50.0] + [0.0, 2.0, 1e5, 7.0], y


def standardised(random):
    X, y = columns_of_different_units(random)
    return StandardScaler().fit_transform(X), y


# With the least adjusted Rand index.
DATA = {
    spirals: 0.95,
    open_ring: 0.8,
    crescents: 0.99,
    half_moons_of_unequal_density: 0.95,
    bulls_eye_with_outliers: 0.95,
    rings: 0.95,
    diamonds: 0.95,
    coordinates_in_one_unit: 0.95,
    principal_components: 0.95,
    embeddings: 0.95,
    columns_of_different_units: 0.95,
    standardised: 0.95,
}


def searched(X: np.ndarray, n_clusters: int, seed: int) -> PseudoLabels:
    data_format = InputFormat.from_data(X, Layout(X.shape[1:]))
    data, rng = data_format.encode_all(X), generator(seed)
    graph = NeighborGraph.from_data(data, 15, n_clusters, rng, all_values=data_format.one_length)
    return find_pseudo_labels("search", data, graph, n_clusters, rng)


@pytest.mark.full_pseudo_labels
@pytest.mark.parametrize("seed", [0, *(slow(seed) for seed in range(1, 5))])
@pytest.mark.parametrize(
    ("make", "least"), DATA.items(), ids=lambda value: getattr(value, "__name__", None)
)
def test_what_anybody_sees_is_found(make, least, seed):
    X, y = make(np.random.default_rng(seed))
    labels = searched(X, len(np.unique(y[y != NOISE])), seed).labels
    assert isinstance(labels, torch.Tensor)
    assert adjusted_rand_score(y[y != NOISE], labels.numpy()[y != NOISE]) >= least
