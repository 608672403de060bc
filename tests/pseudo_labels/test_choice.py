import math

import numpy as np
import pytest
import scipy.stats
import torch
from scipy.stats import multivariate_normal
from sklearn.datasets import make_blobs, make_circles
from support import generator

from skmpcc.pseudo_labels.graph import (
    NeighborGraph,
    information_of_counts,
    mutual_pairs,
    pair_information,
)
from skmpcc.pseudo_labels.quality import BALANCED, N_MUTUAL, SURE, ClusterQuality


def judge_of(X, n_clusters, n_neighbors=10):
    data = torch.as_tensor(X, dtype=torch.float32)
    graph = NeighborGraph.from_data(data, n_neighbors, n_clusters, generator())
    return ClusterQuality(np.asarray(X), graph, n_clusters, data.shape[1])


def test_lost_information_is_what_ones_own_cluster_does_not_tell_of_a_neighbors():
    X, y = make_blobs(90, centers=[[0, 0], [20, 0], [0, 20]], random_state=0)
    judge = judge_of(X, 3)
    assert judge.lost_information(y) == pytest.approx([0.0] * 3, abs=1e-9)
    assert judge.lost_information(np.zeros(90, dtype=int)) == [1.0] * 3
    random = np.random.default_rng(0).integers(3, size=90)
    assert all(0.7 < lost <= 1.0 for lost in judge.lost_information(random))


def test_mutual_pairs_are_near_to_each_other_both():
    data = torch.tensor([[0.0], [1.0], [3.0], [7.0], [12.0]])
    graph = NeighborGraph.from_data(data, 2, 1, generator())

    def pairs(n_neighbors):
        return sorted(zip(*(each.tolist() for each in mutual_pairs(graph, n_neighbors)), strict=True))

    assert pairs(1) == [(0, 1), (1, 0)]
    assert pairs(2) == [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1), (3, 4), (4, 3)]


def test_lost_information_is_that_of_all_mutual_pairs_of_so_many_neighbors():
    X = np.random.default_rng(0).normal(size=(200, 2))
    judge, labels = judge_of(X, 3, 15), np.random.default_rng(1).integers(5, size=200)
    graph = NeighborGraph.from_data(torch.as_tensor(X, dtype=torch.float32), 15, 3, generator())
    for found, m in zip(judge.lost_information(labels), N_MUTUAL, strict=True):
        k = torch.as_tensor(labels)
        first, second = mutual_pairs(graph, m)
        entropy, agreement = pair_information(k[first], k[second])
        assert found == -agreement / entropy


def test_information_is_that_of_scipy():
    counts = np.random.default_rng(0).integers(9, size=(6, 6))
    found = information_of_counts(counts)
    assert found.entropy == scipy.stats.entropy(counts.sum(axis=1))
    assert found.entropy - found.agreement == scipy.stats.entropy(counts, axis=None)


def test_without_mutual_neighbors_nothing_is_told():
    data = torch.tensor([[0.0], [1.0], [3.0], [6.0], [10.0]])
    judge = judge_of(data.numpy(), 2)
    judge._pairs = [(np.zeros(0, dtype=np.int64),) * 2]
    assert judge.lost_information(np.array([0, 0, 1, 1, 1])) == [1.0]


def test_a_dense_cluster_beside_a_sparse_one_loses_nothing():
    """Neighbours of sparse samples are dense ones, which have nearer ones."""
    random = np.random.default_rng(0)
    dense, sparse = random.normal(size=(300, 2)) * 0.1, random.normal([2.0, 0.0], 1.0, size=(60, 2))
    X = np.concatenate([dense, sparse])
    y = np.repeat([0, 1], [300, 60])
    judge = judge_of(X, 2, 15)
    assert len(judge.lost_information(y)) == len(N_MUTUAL)
    assert judge.quality(y) > judge.quality((X[:, 0] > 2.0).astype(int))


def test_balance_is_one_for_equal_sizes_and_zero_for_one_cluster():
    judge = judge_of(np.random.default_rng(0).normal(size=(40, 2)), 4)
    assert judge.balance(np.arange(40) % 4) == pytest.approx(1.0)
    assert judge.balance(np.zeros(40, dtype=int)) == 0.0
    assert judge.balance(np.arange(40) % 2) == pytest.approx(0.5)


def test_likelihood_is_that_of_gaussians_with_the_clusters_moments():
    random = np.random.default_rng(0)
    X = np.concatenate(
        [random.normal(size=(600, 2)), [9, 0] + random.normal(size=(300, 2)) @ [[2, 1], [0, 0.5]]]
    )
    y = np.repeat([0, 1], [600, 300])
    expected = 0.0
    for k in (0, 1):
        part = X[y == k]
        density = multivariate_normal(part.mean(0), np.cov(part.T, bias=True))
        expected += (density.logpdf(part) + np.log(len(part) / 900)).sum() / 900
    assert judge_of(X, 2).likelihood(y) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("X", [np.zeros((12, 3)), np.eye(12)])
def test_likelihood_is_finite_where_clusters_have_no_variance(X):
    judge = judge_of(X, 4)
    assert math.isfinite(judge.likelihood(np.arange(12) % 4))
    assert math.isfinite(judge.quality(np.arange(12) % 4))


def test_a_single_cluster_is_the_worst():
    X, y = make_blobs(60, centers=3, random_state=0)
    judge, single = judge_of(X, 3), np.zeros(60, dtype=int)
    assert judge.lost_information(single) == [1.0] * 3
    at_random = np.random.default_rng(0).integers(3, size=60)
    assert -math.inf < judge.quality(single) < judge.quality(at_random) < judge.quality(y)


def test_a_single_cluster_that_is_wanted_has_a_quality():
    X, _ = make_blobs(60, random_state=0)
    assert math.isfinite(judge_of(X, 1).quality(np.zeros(60, dtype=int)))


def test_shapes_are_better_than_cells_of_kmeans():
    X, y = make_circles(400, noise=0.03, factor=0.5, random_state=0)
    judge = judge_of(X, 2)
    assert judge.quality(y) > judge.quality((X[:, 0] > 0).astype(int))


def test_halves_of_a_large_cluster_are_worse_than_small_clusters():
    X, y = make_blobs([400, 40, 60], centers=[[0, 0], [9, 0], [0, 9]], random_state=0)
    halves = np.where(y > 0, 2, X[:, 0] > 0)
    judge = judge_of(X, 3)
    assert judge.quality(y) > judge.quality(halves)


def test_quality_rewards_what_is_told_of_neighbors_equal_sizes_and_likelihood():
    X = np.random.default_rng(0).normal(size=(200, 2))
    y = (X[:, 0] > 0.7).astype(int)
    judge = judge_of(X, 2)
    lost, balance = np.array(judge.lost_information(y)), judge.balance(y)
    expected = -np.log(lost + 0.03).mean() + 1.8 * math.log(balance) + 0.3 * judge.likelihood(y)
    assert judge.quality(y) == pytest.approx(expected)


def is_unambiguous(judge, labels):
    return judge.judge(labels).is_unambiguous


def test_clusters_are_unambiguous_if_neighbors_agree_and_none_is_nearly_everything():
    X, y = make_blobs(300, centers=[[0, 0], [40, 0]], random_state=0)
    judge = judge_of(X, 2)
    assert is_unambiguous(judge, y)
    assert not is_unambiguous(judge, (X[:, 1] > 0).astype(int))
    far = np.repeat([0, 1], [292, 8])
    judge = judge_of(np.concatenate([X[:292], 99 + X[:8] / 10]), 2, 5)
    assert max(judge.lost_information(far)) <= SURE
    assert judge.balance(far) < BALANCED
    assert not is_unambiguous(judge, far)


def test_gaussians_that_touch_are_better_than_a_cut_where_few_samples_are():
    random = np.random.default_rng(0)
    wide, narrow = random.normal(size=(800, 2)) * 5.0, random.normal(size=(800, 2)) * 0.25
    X, y = np.concatenate([wide, narrow]), np.repeat([0, 1], 800)
    judge = judge_of(X, 2)
    assert judge.quality(y) > judge.quality((X[:, 0] > 0).astype(int))


def test_likelihood_counts_less_where_clusters_have_fewer_samples_than_gaussians_parameters():
    X = np.random.default_rng(0).normal(size=(40, 12))
    first, second = np.arange(40) % 2, (X[:, 0] > 0).astype(int)
    few = judge_of(X, 2, 5)
    many = judge_of(np.tile(X, (20, 1)), 2, 5)
    assert few._weight == pytest.approx(20 / 90)
    assert many._weight == 1.0
    assert few.quality(second) != few.quality(first)
