"""The search in tables of categories and numbers, of which some are missing."""

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from support import generator

from skmpcc.data.imputation import Imputation
from skmpcc.pseudo_labels.finders.latent_classes import LatentClasses, MixedTable, latent_classes
from skmpcc.pseudo_labels.finders.mixture import find_in_observed
from skmpcc.pseudo_labels.graph import NeighborGraph
from skmpcc.pseudo_labels.problem import Problem
from skmpcc.pseudo_labels.search import find_candidates, find_pseudo_labels
from skmpcc.pseudo_labels.variables import Variables


def mixed(n=400, n_categories=6, n_measured=2, distance=1.5, seed=0):
    """Codes and numbers of rows of three classes, and the classes."""
    random = np.random.default_rng(seed)
    y = random.integers(3, size=n)
    shares = random.dirichlet(np.full(3, 0.5), size=(3, n_categories))[y].cumsum(axis=2)
    codes = (random.random((n, n_categories, 1)) > shares[:, :, :-1]).sum(axis=2)
    places = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])[y]
    measured = distance * np.tile(places, (1, (n_measured + 1) // 2))[:, :n_measured]
    return codes.T, (measured + random.normal(size=(n, n_measured))).T, y


def without(codes, measured, share, seed=1):
    """Codes and numbers some of which are missing."""
    random = np.random.default_rng(seed)
    return (
        np.where(random.random(codes.shape) < share, -1, codes),
        np.where(random.random(measured.shape) < share, np.nan, measured),
    )


def table_of(codes, measured):
    """Numbers and indicators, with means in the place of what is missing; and which are indicators."""
    numbers = np.where(np.isnan(measured), np.nanmean(measured, axis=1, keepdims=True), measured)
    groups = [np.where(code[:, None] < 0, 1 / 3, np.eye(3)[code]) for code in codes]
    data = np.column_stack([numbers.T, *groups])
    is_indicator = np.arange(data.shape[1]) >= len(measured)
    return torch.as_tensor(data, dtype=torch.float32), is_indicator


def searched(codes, measured, kind="search"):
    data, is_indicator = table_of(codes, measured)
    variables = Variables.from_columns(list(codes), list(measured), is_indicator)
    graph = NeighborGraph.from_data(data, 15, 3, generator())
    return find_pseudo_labels(kind, data, graph, 3, generator(), variables=variables)


def test_known_columns_are_those_that_would_be_found():
    """Where nothing is missing, and with the same classes."""
    codes, measured, _ = mixed()
    known = Variables.from_columns(list(codes), list(measured), np.zeros(8, dtype=bool))
    found = Variables.from_rows(np.column_stack([*codes, *measured]))
    np.testing.assert_array_equal(known.categories, found.categories)
    np.testing.assert_array_equal(known.measured, found.measured)
    tables = [MixedTable.from_rows(known), MixedTable.from_rows(found)]
    assert tables[0].there is None
    labels = [latent_classes(table, 3, seed=0)[0] for table in tables]
    np.testing.assert_array_equal(*labels)


def test_known_columns_count_once_and_only_if_they_hold_something():
    codes, measured, _ = mixed(n_categories=2)
    codes, measured = without(codes, measured, 0.1)
    few = np.where(np.isnan(measured[0]), np.nan, np.arange(400.0) % 4)
    variables = Variables.from_columns(
        [codes[0], 2 - codes[0], codes[1], np.full(400, -1), np.where(codes[1] < 0, -1, 5 + codes[1])],
        [measured[0], 3.0 - 2.0 * measured[0], few, np.full(400, np.nan), measured[1]],
        np.zeros(10, dtype=bool),
    )
    assert len(variables.measured) == 2
    assert [code.max() for code in variables.categories] == [2, 2, 3]
    assert {code.min() for code in variables.categories} == {-1}
    some = variables.take(np.array([5, 7]))
    np.testing.assert_array_equal(some.categories[0], variables.categories[0][[5, 7]])
    np.testing.assert_array_equal(some.measured[1], measured[1][[5, 7]])


def test_a_value_of_nearly_all_rows_that_have_one_tells_nothing():
    code = np.where(np.arange(100) < 60, -1, np.arange(100) < 62)
    assert Variables([code], [], np.zeros(1, dtype=bool)).n_categories == 0
    assert Variables([np.where(np.arange(100) < 90, -1, np.arange(100) % 2)], [], code > 0).n_categories


def test_densities_are_those_of_what_is_there():
    codes, measured, _ = mixed(60, 3)
    codes, measured = without(codes, measured, 0.3)
    variables = Variables(list(codes), list(measured), np.zeros(5, dtype=bool))
    table = MixedTable.from_rows(variables)
    memberships = np.random.default_rng(1).dirichlet(np.ones(2), 60)
    classes = LatentClasses.from_memberships(table, memberships)
    joint = classes.joint_log_density(table)
    for k, weights in enumerate(memberships.T):
        expected = np.full(60, np.log(classes.shares[k]))
        for j, code in enumerate(codes):
            there = code >= 0
            counts = np.bincount(code[there], weights=weights[there], minlength=3)
            shares = np.bincount(code[there], minlength=3) / there.sum()
            p = (counts + shares) / (counts.sum() + 1.0)
            np.testing.assert_allclose(classes.of_values[k, 3 * j : 3 * j + 3], p)
            expected[there] += np.log(p[code[there]])
        for x, mean, variance in zip(measured, classes.means[k], classes.variances[k], strict=True):
            there = ~np.isnan(x)
            rows = np.append(x[there], x[there])
            counts = np.append(weights[there], np.full(there.sum(), 1 / there.sum()))
            assert mean == pytest.approx(np.average(rows, weights=counts))
            spread = np.average((rows - mean) ** 2, weights=counts)
            assert variance == pytest.approx(spread + 0.05 * x[there].var())
            expected[there] += norm.logpdf(x[there], mean, np.sqrt(variance))
        np.testing.assert_allclose(joint[:, k], expected)
    some = table.take(np.arange(10))
    np.testing.assert_allclose(classes.joint_log_density(some), joint[:10])
    assert len(table.starts) == len(some.starts) == 3


def test_latent_classes_are_found_among_missing_values():
    codes, measured, y = mixed(n_categories=12)
    found = searched(*without(codes, measured, 0.2))
    assert found.kind == "latent_classes"
    assert adjusted_rand_score(y, found.labels) > 0.75


def test_numbers_alone_are_searched_where_categories_are_few():
    """They are of something else here, which indicators would show."""
    _, measured, y = mixed(n_measured=6, distance=5.0)
    codes = np.random.default_rng(2).integers(3, size=(1, 400))
    found = searched(codes, measured)
    assert found.kind != "latent_classes"
    assert adjusted_rand_score(y, found.labels) > 0.95
    with pytest.raises(ValueError, match="pseudo_labels='latent_classes'"):
        searched(codes, measured, "latent_classes")


def test_rows_that_are_not_in_the_graph_are_labelled_too(monkeypatch):
    monkeypatch.setattr("skmpcc.pseudo_labels.graph.MAX_ROWS", 250)
    codes, measured, y = mixed(n_categories=12)
    found = searched(*without(codes, measured, 0.05))
    assert found.labels.shape == (400,)
    assert adjusted_rand_score(y, found.labels) > 0.7


# ---- Gaps


def with_gaps(n_columns, share, n=300, distance=6.0):
    """Rows of three Gaussians of unequal shapes, completed by means, which are gaps, and the classes."""
    random = np.random.default_rng(3)
    y = random.integers(3, size=n)
    means = distance * random.normal(size=(3, n_columns)) / np.sqrt(n_columns)
    X = means[y] + random.normal(size=(n, n_columns)) * np.array([0.4, 1.0, 1.6])[y][:, None]
    gaps = random.random(X.shape) < share
    data = np.where(gaps, np.nanmean(np.where(gaps, np.nan, X), axis=0), X)
    return torch.as_tensor(data, dtype=torch.float32), gaps, y


def search_with_gaps(data, gaps):
    measured = list(np.where(gaps, np.nan, data.numpy()).T)
    variables = Variables.from_columns([], measured, np.zeros(data.shape[1], dtype=bool), gaps)
    graph = NeighborGraph.from_data(data, 15, 3, generator())
    return find_pseudo_labels("search", data, graph, 3, generator(), variables=variables)


def test_a_mixture_of_what_is_there_finds_long_clusters():
    """Of which means in the gaps leave little."""
    random = np.random.default_rng(0)
    y = random.integers(2, size=400)
    along, across = np.full(4, 0.5), np.array([0.5, 0.5, -0.5, -0.5])
    X = np.outer(random.normal(0, 2, 400), along) + np.outer(3.0 * y, across)
    X += random.normal(0, 0.5, X.shape)
    gaps = random.random(X.shape) < 0.25
    values = np.where(gaps, np.nan, X)
    mixture = Imputation.of_clusters(values, 2, seed=0)
    found = adjusted_rand_score(y, mixture.most_probable(values))
    completed = np.where(gaps, np.nanmean(values, axis=0), X)
    blind = GaussianMixture(2, n_init=3, random_state=0).fit_predict(completed)
    assert found > 0.7 > adjusted_rand_score(y, blind) + 0.5


@pytest.mark.parametrize(
    ("n_columns", "share", "by_neighbors"), [(4, 0.3, False), (4, 0.05, True), (12, 0.2, True)]
)
def test_neighbours_of_rows_with_few_values_are_not_asked(n_columns, share, by_neighbors, monkeypatch):
    asked = []

    def find(kinds, problems):
        asked.extend(kinds)
        return find_candidates(["kmeans"], problems)

    monkeypatch.setattr("skmpcc.pseudo_labels.search.find_candidates", find)
    data, gaps, _ = with_gaps(n_columns, share)
    search_with_gaps(data, gaps)
    assert ("spectral" in asked) == by_neighbors
    assert {"kmeans", "gaussian_mixture"} <= set(asked)


def test_a_mixture_of_what_is_there_labels_rows_outside_the_graph(monkeypatch):
    monkeypatch.setattr("skmpcc.pseudo_labels.graph.MAX_ROWS", 200)
    data, gaps, y = with_gaps(4, 0.3)
    problem = Problem(
        data,
        NeighborGraph.from_data(data, 15, 3, generator()),
        3,
        generator(),
        gaps=torch.from_numpy(gaps),
    )
    (candidate,) = find_in_observed(problem)
    assert candidate.labels.shape == (200,)
    labels = candidate.of_all()
    np.testing.assert_array_equal(labels[problem.graph.rows], candidate.labels)
    assert adjusted_rand_score(y, labels) > 0.5
