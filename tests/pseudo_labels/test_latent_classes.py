import numpy as np
import pytest
import torch
from scipy.stats import multinomial, norm
from sklearn.metrics import adjusted_rand_score
from support import generator

from skmpcc import MPCCClusterer
from skmpcc.pseudo_labels.finders import latent_classes as module
from skmpcc.pseudo_labels.finders.latent_classes import LatentClasses, MixedTable, latent_classes
from skmpcc.pseudo_labels.graph import NeighborGraph
from skmpcc.pseudo_labels.search import find_pseudo_labels


def answers(n=400, n_questions=12, n_values=3, n_classes=3, seed=0):
    """Answers to questions by people of several classes."""
    random = np.random.default_rng(seed)
    y = random.integers(n_classes, size=n)
    shares = random.dirichlet(np.full(n_values, 0.5), size=(n_classes, n_questions))
    cumulative = shares[y].cumsum(axis=2)
    X = (random.random((n, n_questions, 1)) > cumulative[:, :, :-1]).sum(axis=2)
    return X.astype(np.float32), y


def test_indicators_of_every_value():
    rows = np.repeat([[0.5, -1.0, 7.0], [2.5, -1.0, 8.0], [0.5, 3.0, 8.0], [2.5, 3.0, 9.0]], 10, axis=0)
    measured = np.arange(40)[:, None]
    table = MixedTable.from_rows(np.column_stack([rows[:, :2], measured, rows[:, 2:]]))
    expected = [
        [1, 0, 1, 0, 1, 0, 0],
        [0, 1, 1, 0, 0, 1, 0],
        [1, 0, 0, 1, 0, 1, 0],
        [0, 1, 0, 1, 0, 0, 1],
    ]
    np.testing.assert_array_equal(table.indicators.toarray()[::10], expected)
    np.testing.assert_array_equal(table.measured, measured)
    some = table.take(np.array([3, 25]))
    np.testing.assert_array_equal(some.indicators.toarray(), np.array(expected)[[0, 2]])
    assert some.measured.tolist() == [[3], [25]]
    assert len(some) == 2


@pytest.mark.parametrize("what", ["measured", "few rows", "two columns"])
def test_other_tables_have_none(what):
    X, _ = answers()
    measured = np.random.default_rng(1).integers(0, 11, size=(400, 4))
    tables = {
        "measured": np.hstack([X[:, :3], measured]),
        "few rows": X[:14],
        "two columns": X[:, :2],
    }
    assert MixedTable.from_rows(tables[what]) is None
    assert MixedTable.from_rows(np.hstack([X[:, :3], measured[:, :3]])) is not None


def same_again(kind):
    """Columns of one variable, beside two that were measured and are clusters."""
    random = np.random.default_rng(0)
    code = random.integers(0, 4, 300)
    indicators = np.eye(4)[code]
    unequal = np.eye(12)[random.choice(12, 300, p=[0.45, 0.25, *[0.03] * 10])]
    return {
        "constant": np.tile([3.0, 0.0, -1.0, 1e9], (300, 1)),
        "copies": np.stack([code] * 4, axis=1),
        "units": np.stack([code, 5 * code + 2, -code, code / 3], axis=1),
        "indicators": indicators,
        "indicators but one": indicators[:, 1:],
        "indicators in any order": indicators[:, [2, 0, 3, 1]],
        "standardized indicators": (indicators - indicators.mean(0)) / indicators.std(0),
        "code and indicators": np.column_stack([code, indicators]),
        "coarser": np.stack([code, code // 2, code == 3], axis=1),
        "rare": np.eye(300)[:, :4],
        "indicators with missing ones": indicators * (random.random((300, 1)) < 0.9),
        "indicators of what is not": 1 - indicators,
        "indicators but one of unequal values": unequal[:, 1:],
        "indicators of rare values": unequal,
    }[kind]


@pytest.mark.parametrize(
    "kind",
    [
        *("constant", "copies", "units", "indicators", "indicators but one", "indicators in any order"),
        *("standardized indicators", "code and indicators", "coarser", "rare"),
        *("indicators with missing ones", "indicators of what is not"),
        "indicators but one of unequal values",
        "indicators of rare values",
    ],
)
def test_columns_that_tell_the_same_count_once(kind):
    measured = np.random.default_rng(1).normal(size=(300, 2))
    same = same_again(kind)
    assert MixedTable.from_rows(np.column_stack([measured, same])) is None
    assert MixedTable.from_rows(np.column_stack([same, measured])) is None
    # Beside categories of their own they are as before.
    others = np.random.default_rng(2).integers(0, 3, size=(300, 3))
    table = MixedTable.from_rows(np.column_stack([others, measured, same]))
    alone = MixedTable.from_rows(np.column_stack([others, measured]))
    if kind in ("constant", "rare"):
        assert table is not None
    else:  # one variable more, with at most a rare value each
        assert table.indicators.nnz - alone.indicators.nnz in (300, 600)


def test_independent_indicators_are_variables_of_their_own():
    X = (np.random.default_rng(0).random((400, 30)) < 0.3).astype(float)
    assert MixedTable.from_rows(X).indicators.shape == (400, 60)
    seldom = (np.random.default_rng(0).random((400, 30)) < 0.05).astype(float)
    assert MixedTable.from_rows(seldom).indicators.nnz >= 29 * 400


def test_latent_classes_of_other_tables_are_an_error():
    X = np.random.default_rng(0).normal(size=(60, 3))
    with pytest.raises(ValueError, match="pseudo_labels='latent_classes' is for tables of at least 3"):
        MPCCClusterer(n_clusters=2, pseudo_labels="latent_classes").fit(X)


def test_densities_are_those_of_independent_columns():
    X, _ = answers(60, 4)
    measured = np.random.default_rng(0).normal(size=(60, 2))
    table = MixedTable.from_rows(np.hstack([X, measured]))
    memberships = np.random.default_rng(1).dirichlet(np.ones(2), 60)
    classes = LatentClasses.from_memberships(table, memberships)
    np.testing.assert_allclose(classes.shares.sum(), 1.0)
    joint = classes.joint_log_density(table)
    for k, weights in enumerate(memberships.T):
        expected = np.log(classes.shares[k])
        for first in range(0, 12, 3):
            p = classes.of_values[k, first : first + 3]
            np.testing.assert_allclose(p.sum(), 1.0)
            expected = expected + multinomial.logpmf(
                table.indicators[:, first : first + 3].toarray(), 1, p
            )
        for x, mean, variance in zip(measured.T, classes.means[k], classes.variances[k], strict=True):
            # An average row more, and the part of the column's variance that is added.
            rows, counts = np.append(x, x), np.append(weights, np.full(60, 1 / 60))
            assert mean == pytest.approx(np.average(rows, weights=counts))
            spread = np.average((rows - mean) ** 2, weights=counts)
            assert variance == pytest.approx(spread + 0.05 * x.var())
            expected = expected + norm.logpdf(x, mean, np.sqrt(variance))
        np.testing.assert_allclose(joint[:, k], expected)


def test_iterations_raise_the_likelihood(monkeypatch):
    monkeypatch.setattr(module, "TOL", -1.0)
    X = np.hstack([answers(200, 6)[0], np.random.default_rng(1).normal(size=(200, 1))])
    table = MixedTable.from_rows(X)
    start = np.random.default_rng(0).dirichlet(np.ones(3), 200)
    found = [module._expectation_maximization(table, start, n)[1] for n in (1, 2, 5, 30)]
    assert found == sorted(found)
    assert found[-1] > found[0] + 0.1


@pytest.mark.parametrize("n_measured", [0, 6])
def test_classes_are_found_again(n_measured):
    X, y = answers(n_questions=12 if n_measured == 0 else 6)
    measured = np.random.default_rng(0).normal(1.5 * y[:, None], size=(400, n_measured))
    table = MixedTable.from_rows(np.hstack([X, measured]))
    labels, beats_one_class = latent_classes(table, 3, seed=0)
    assert beats_one_class
    assert adjusted_rand_score(y, labels) > 0.9
    np.testing.assert_array_equal(latent_classes(table, 3, seed=0)[0], labels)


def test_large_tables_are_fitted_by_some_rows(monkeypatch):
    X, y = answers(2000)
    monkeypatch.setattr(module, "MAX_FITTED", 300)
    monkeypatch.setattr(module, "MAX_PRODUCTS", 1.0)
    assert adjusted_rand_score(y, latent_classes(MixedTable.from_rows(X), 3, seed=0)[0]) > 0.85


def test_independent_columns_have_no_classes():
    X = np.stack(np.meshgrid(*[np.arange(5)] * 4), axis=-1).reshape(-1, 4).astype(np.float32)
    assert not latent_classes(MixedTable.from_rows(X), 3, seed=0)[1]
    data = torch.as_tensor(X)
    graph = NeighborGraph.from_data(data, 15, 3, generator())
    assert find_pseudo_labels("latent_classes", data, graph, 3, generator()).kind == "latent_classes"
    assert find_pseudo_labels("search", data, graph, 3, generator()).kind != "latent_classes"


def test_a_search_in_a_table_of_categories_is_for_latent_classes(monkeypatch):
    X, y = answers()
    data = torch.as_tensor(X)
    graph = NeighborGraph.from_data(data, 15, 3, generator())
    found = find_pseudo_labels("search", data, graph, 3, generator())
    labels, kind = found.labels, found.kind
    assert kind == "latent_classes"
    assert adjusted_rand_score(y, labels) > 0.9
    assert find_pseudo_labels("kmeans", data, graph, 3, generator()).kind == "kmeans"
    # Rows that are not in the graph have the class of their neighbours.
    monkeypatch.setattr("skmpcc.pseudo_labels.graph.MAX_ROWS", 200)
    few = NeighborGraph.from_data(data, 15, 3, generator())
    labels = find_pseudo_labels("search", data, few, 3, generator()).labels
    assert labels.shape == (400,)
    assert adjusted_rand_score(y, labels) > 0.7


def test_a_fit_says_that_it_found_latent_classes(tmp_path):
    X, y = answers()
    clusterer = MPCCClusterer(n_clusters=3, labels_only=True, width=64, random_state=0).fit(X)
    assert clusterer.settings_["pseudo_labels"] == "latent_classes"
    assert adjusted_rand_score(y, clusterer.labels_) > 0.9
    clusterer.save(tmp_path / "model")
    again = MPCCClusterer.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict(X), clusterer.labels_)
