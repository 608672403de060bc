import numpy as np
import pytest
import torch
from scipy.stats import multinomial
from sklearn.metrics import adjusted_rand_score
from support import generator

from skmpcc import MPCCClusterer
from skmpcc.pseudo_labels import latent_classes as module
from skmpcc.pseudo_labels.latent_classes import indicators, latent_classes
from skmpcc.pseudo_labels.neighbors import NeighborGraph
from skmpcc.pseudo_labels.search import search_pseudo_labels


def answers(n=400, n_questions=12, n_values=3, n_classes=3, seed=0):
    """Answers to questions by people of several classes."""
    random = np.random.default_rng(seed)
    y = random.integers(n_classes, size=n)
    shares = random.dirichlet(np.full(n_values, 0.5), size=(n_classes, n_questions))
    cumulative = shares[y].cumsum(axis=2)
    X = (random.random((n, n_questions, 1)) > cumulative[:, :, :-1]).sum(axis=2)
    return X.astype(np.float32), y


def test_indicators_of_every_value():
    rows = np.repeat([[0.5, -1.0, 7.0], [2.5, -1.0, 8.0], [0.5, -1.0, 9.0]], 10, axis=0)
    table = indicators(rows)
    assert table.shape == (30, 6)
    expected = [[1, 0, 1, 1, 0, 0], [0, 1, 1, 0, 1, 0], [1, 0, 1, 0, 0, 1]]
    np.testing.assert_array_equal(table.toarray()[::10], expected)


@pytest.mark.parametrize("what", ["many values", "few rows", "two columns"])
def test_other_tables_have_none(what):
    X, _ = answers()
    tables = {
        "many values": np.column_stack([X, np.arange(400) % 11]),
        "few rows": X[:14],
        "two columns": X[:, :2],
    }
    assert indicators(tables[what]) is None


def test_latent_classes_of_other_tables_are_an_error():
    X = np.random.default_rng(0).normal(size=(60, 3))
    with pytest.raises(ValueError, match="pseudo_labels='latent_classes' is for tables of at least 3"):
        MPCCClusterer(n_clusters=2, pseudo_labels="latent_classes").fit(X)


def test_densities_are_those_of_independent_columns():
    X, _ = answers(60, 4)
    table = indicators(X)
    memberships = np.random.default_rng(0).dirichlet(np.ones(2), 60)
    shares, of_values = module._parameters(table, memberships)
    np.testing.assert_allclose(shares.sum(), 1.0)
    joint = module._joint_log_density(table, shares, of_values)
    for k in range(2):
        expected = np.log(shares[k])
        for first in range(0, table.shape[1], 3):
            part = slice(first, first + 3)
            p = of_values[k, part]
            np.testing.assert_allclose(p.sum(), 1.0)
            expected = expected + multinomial.logpmf(table[:, part].toarray(), 1, p)
        np.testing.assert_allclose(joint[:, k], expected)


def test_iterations_raise_the_likelihood(monkeypatch):
    monkeypatch.setattr(module, "TOL", -1.0)
    table = indicators(answers(200, 6)[0])
    start = np.random.default_rng(0).dirichlet(np.ones(3), 200)
    found = [module._expectation_maximization(table, start, n)[1] for n in (1, 2, 5, 30)]
    assert found == sorted(found)
    assert found[-1] > found[0] + 0.1


def test_classes_are_found_again():
    X, y = answers()
    labels = latent_classes(indicators(X), 3, seed=0)
    assert adjusted_rand_score(y, labels) > 0.9
    np.testing.assert_array_equal(latent_classes(indicators(X), 3, seed=0), labels)


def test_large_tables_are_fitted_by_some_rows(monkeypatch):
    X, y = answers(2000)
    monkeypatch.setattr(module, "MAX_FITTED", 300)
    assert adjusted_rand_score(y, latent_classes(indicators(X), 3, seed=0)) > 0.85


def test_rows_that_are_all_alike_are_one_class():
    assert len(np.unique(latent_classes(indicators(np.ones((20, 3))), 2, seed=0))) == 1


def test_a_search_in_a_table_of_categories_is_for_latent_classes(monkeypatch):
    X, y = answers()
    data = torch.as_tensor(X)
    graph = NeighborGraph.of(data, 15, 3, generator())
    labels, kind = search_pseudo_labels("search", data, graph, 3, generator())
    assert kind == "latent_classes"
    assert adjusted_rand_score(y, labels) > 0.9
    assert search_pseudo_labels("kmeans", data, graph, 3, generator())[1] == "kmeans"
    # Rows that are not in the graph have the class of their neighbours.
    monkeypatch.setattr("skmpcc.pseudo_labels.neighbors.MAX_ROWS", 200)
    few = NeighborGraph.of(data, 15, 3, generator())
    labels, _ = search_pseudo_labels("search", data, few, 3, generator())
    assert labels.shape == (400,)
    assert adjusted_rand_score(y, labels) > 0.7


def test_a_fit_says_that_it_found_latent_classes(tmp_path):
    X, y = answers()
    clusterer = MPCCClusterer(n_clusters=3, labels_only=True, random_state=0).fit(X)
    assert clusterer.settings_["pseudo_labels"] == "latent_classes"
    assert adjusted_rand_score(y, clusterer.labels_) > 0.9
    clusterer.save(tmp_path / "model")
    again = MPCCClusterer.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict(X), clusterer.labels_)
