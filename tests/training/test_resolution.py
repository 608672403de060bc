import math

import numpy as np
import pytest
import torch
from scipy import stats

from skmpcc.pseudo_labels.graph import NeighborGraph
from skmpcc.settings import ResolvedSettings, TrainingSettings
from skmpcc.training.resolution import are_unequal, bandwidth, resolve, scott_bandwidth

DATA = torch.randn(30, 6, generator=torch.Generator().manual_seed(0))
EQUAL = torch.arange(30) % 3


def resolved(labels=None, **values):
    return resolve(TrainingSettings(**{"max_iter": 10} | values), DATA, 3, labels)


def test_batches_are_no_larger_than_the_data():
    assert resolved(batch_size=50).batch_size == 30
    assert resolved(batch_size=20).batch_size == 20


def test_noise_becomes_a_deviation():
    """Scott's factor for the five features that vary is brought to d = 6."""
    data = np.random.default_rng(0).normal(size=(30, 6)) * [1, 2, 3, 0, 5, 6]
    scott = stats.gaussian_kde(data[:, [0, 1, 2, 4, 5]].T).scotts_factor() ** (9 / 10)
    expected = scott * np.sqrt(data.var(0).mean())
    assert scott_bandwidth(torch.as_tensor(data)) == pytest.approx(expected)
    assert resolved(input_noise=0.5).noise_std == pytest.approx(0.5 * scott_bandwidth(DATA))
    assert resolved().noise_std == 0.0


def test_noise_does_not_reach_beyond_neighbors():
    """A thin line in two dimensions, of which Scott's bandwidth knows the length alone."""
    along = torch.linspace(0.0, 20.0, 201)
    line = torch.stack([along, torch.zeros(201)], dim=1)
    graph = NeighborGraph.from_data(line, 5, 2, torch.Generator().manual_seed(0))
    assert scott_bandwidth(line) > 1.0
    assert bandwidth(line, graph) == pytest.approx(4 * 0.1 / math.sqrt(2), rel=1e-3)
    settings = resolve(TrainingSettings(max_iter=10, input_noise=0.5), line, 2, None, graph)
    assert settings.noise_std == pytest.approx(0.5 * bandwidth(line, graph))
    graph = NeighborGraph.from_data(DATA, 5, 2, torch.Generator().manual_seed(0))
    assert bandwidth(DATA, graph) == scott_bandwidth(DATA)


def test_latent_weight_becomes_a_number():
    assert resolved(latent_weight="dimension").latent_loss_weight == 1 / 6
    assert resolved(latent_weight=0.25).latent_loss_weight == 0.25


@pytest.mark.parametrize(("share", "n_iter"), [(0.0, 0), (0.25, 3), (1.0, 10)])
def test_pseudo_labels_serve_for_a_share_of_the_training(share, n_iter):
    assert resolved(EQUAL, pseudo_label_share=share).supervised_iter == n_iter
    assert resolved(EQUAL, pseudo_label_share=share, max_iter=1000).supervised_iter == math.ceil(
        1000 * share
    )
    assert resolved(None, pseudo_label_share=share).supervised_iter == 0


def test_weights_are_learned_where_pseudo_labels_are_unequal():
    unequal = (torch.arange(30) > 25).long()
    assert resolved(EQUAL, weights="auto").weights == "uniform"
    assert resolved(unequal, weights="auto").weights == "learned"
    assert resolved(None, weights="auto").weights == "uniform"
    for given in ("uniform", "learned", "shares"):
        assert resolved(unequal, weights=given).weights == given
    with pytest.raises(ValueError, match="resolved"):
        ResolvedSettings(max_iter=1, weights="auto", latent_loss_weight=1.0)


@pytest.mark.parametrize(
    ("sizes", "expected"), [([50, 50], False), ([60, 40], False), ([90, 10], True), ([100, 0], True)]
)
def test_unequal_clusters(sizes, expected):
    labels = torch.repeat_interleave(torch.arange(2), torch.tensor(sizes))
    assert are_unequal(labels, 2) is expected
