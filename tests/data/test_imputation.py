import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.impute import KNNImputer

from skmpcc.data import imputation as module
from skmpcc.data.imputation import Imputation


def clusters(n=500, d=6, seed=0):
    """Correlated columns of two clusters."""
    random = np.random.default_rng(seed)
    y = random.integers(2, size=n)
    mixing = random.normal(size=(2, 2, d))
    X = 3.0 * y[:, None] + np.einsum("nk,nkd->nd", random.normal(size=(n, 2)), mixing[y])
    return X + 0.3 * random.normal(size=(n, d)), y


def with_categories(n=500, seed=0):
    """Two numbers and the indicators of three categories, by which the numbers are shifted."""
    random = np.random.default_rng(seed)
    code = random.integers(3, size=n)
    shift = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    return np.hstack([shift[code] + random.normal(size=(n, 2)), 2.0 * np.eye(3)[code] - 0.7]), code


def without(X, share, seed=1):
    """Rows some of whose entries are hidden."""
    hidden = np.random.default_rng(seed).random(X.shape) < share
    return np.where(hidden, np.nan, X), hidden


def test_a_single_gaussian_is_conditioned_as_by_hand():
    """With what is there, and by the density of that alone."""
    X, _ = clusters(30, 4)
    mean, covariance = np.arange(4.0), np.cov(X.T) + np.eye(4)
    ends, groups = np.stack([X.min(0), X.max(0)]), np.empty((0, 2), dtype=np.int64)
    precision = np.linalg.inv(covariance)
    model = Imputation(np.ones(1), mean[None], precision[None], ends, groups, np.ones(4))
    known, hidden = without(X, 0.4)
    known[0] = np.nan
    hidden[0] = True
    filled, density = model.completed(known), model.log_density(known)
    for x, out, there, log_p in zip(X, filled, ~hidden, density, strict=True):
        np.testing.assert_array_equal(out[there], x[there])
        if not there.any():
            np.testing.assert_allclose(out, mean)
            assert log_p == pytest.approx(0.0)
            continue
        inner = covariance[np.ix_(there, there)]
        slope = covariance[np.ix_(~there, there)] @ np.linalg.inv(inner)
        np.testing.assert_allclose(out[~there], mean[~there] + slope @ (x - mean)[there])
        assert log_p == pytest.approx(multivariate_normal.logpdf(x[there], mean[there], inner))


def test_hidden_entries_are_nearer_than_those_of_neighbours():
    X, _ = clusters()
    known, hidden = without(X, 0.2)

    def error(filled):
        return np.sqrt(np.mean((filled - X)[hidden] ** 2))

    filled = Imputation.fit(known).completed(known)
    np.testing.assert_array_equal(filled[~hidden], X[~hidden])
    assert error(filled) < 0.9 * error(KNNImputer().fit_transform(known))


def test_iterations_raise_the_likelihood():
    known, _ = without(clusters()[0], 0.3)
    mean, variance = module._moments(known)
    ends, groups = np.zeros((2, 6)), np.empty((0, 2), dtype=np.int64)
    precision = np.diag(1.0 / variance)[None]
    model = Imputation(np.ones(1), mean[None], precision, ends, groups, np.ones(6))
    before = -np.inf
    for _ in range(4):
        model, likelihood = model._step(known, variance)
        assert likelihood > before
        before = likelihood


def test_draws_are_as_far_off_as_what_was_hidden():
    random = np.random.default_rng(0)
    X = np.cumsum(random.standard_t(3, size=(300, 5)), axis=1)
    known, hidden = without(X, 0.2)
    model = Imputation.fit(known)
    draws = model.draws(known, 60, np.random.default_rng(2))
    assert draws.shape == (60, 300, 5)
    np.testing.assert_array_equal(draws[:, ~hidden], [X[~hidden]] * 60)
    low, high = np.quantile(draws, [0.1, 0.9], axis=0)
    assert np.mean(((low <= X) & (high >= X))[hidden]) == pytest.approx(0.8, abs=0.06)
    again = model.draws(known, 60, np.random.default_rng(2))
    np.testing.assert_array_equal(draws, again)


def test_categories_are_told_from_numbers_and_numbers_from_categories():
    X, code = with_categories()
    known = X.copy()
    known[:150, 2:] = np.nan
    known[150:300, 0] = np.nan
    model = Imputation.fit(known, [(2, 5)])
    filled = model.completed(known)
    share = (filled[:150, 2:] + 0.7) / 2.0
    np.testing.assert_allclose(share.sum(axis=1), 1.0)
    assert share.min() >= 0.0
    assert np.mean(share.argmax(axis=1) == code[:150]) > 0.85
    error = np.sqrt(np.mean((filled - X)[150:300, 0] ** 2))
    assert error < 0.6 * X[:, 0].std()


def test_drawn_categories_are_whole_and_as_frequent_as_they_are():
    X, code = with_categories()
    known = X.copy()
    known[:, 2:][:200] = np.nan
    known[:100, :2] = np.nan
    draws = Imputation.fit(known, [(2, 5)]).draws(known, 20, np.random.default_rng(0))
    indicators = (draws[:, :200, 2:] + 0.7) / 2.0
    assert np.allclose(np.sort(indicators, axis=2), [0.0, 0.0, 1.0])
    # Of rows of which nothing is known they are as in the table, numbers beside them as in their kind.
    drawn = indicators.argmax(axis=2)[:, :100].ravel()
    np.testing.assert_allclose(np.bincount(drawn) / 2000, np.bincount(code[200:]) / 300, atol=0.08)
    numbers = draws[:, :100, :2].reshape(-1, 2)
    assert numbers[drawn == 1, 0].mean() - numbers[drawn == 2, 0].mean() > 3.0


def test_complete_rows_stay_as_they_are():
    X, _ = with_categories()
    model = Imputation.fit(X, [(2, 5)])
    np.testing.assert_array_equal(model.completed(X), X)
    np.testing.assert_array_equal(model.draws(X[:5], 2, np.random.default_rng(0)), [X[:5]] * 2)
    assert np.isfinite(model.log_density(X)).all()
    # New rows may lack what none did.
    rows = np.full((3, 5), np.nan)
    assert np.isfinite(model.completed(rows)).all()


def test_large_tables_are_fitted_by_some_rows(monkeypatch):
    monkeypatch.setattr(module, "MIN_FITTED", 100)
    monkeypatch.setattr(module, "MAX_PRODUCTS", 1e4)
    X, _ = clusters(3000)
    known, hidden = without(X, 0.2)
    assert module._affordable(known) == (100, [3, 8])
    filled = Imputation.fit(known).completed(known)
    assert np.sqrt(np.mean((filled - X)[hidden] ** 2)) < 0.6 * X.std()
    monkeypatch.setattr(module, "MAX_COLUMNS", 5)
    assert len(Imputation.fit(known).shares) == 1


@pytest.mark.parametrize("rows", [2, 5, 12])
def test_few_rows_are_enough(rows):
    known, _ = without(clusters(rows)[0], 0.3)
    known[0] = 1.0
    model = Imputation.fit(known)
    assert np.isfinite(model.completed(known)).all()
    assert np.isfinite(model.draws(known, 1, np.random.default_rng(0))).all()


def test_fewer_different_rows_than_clusters_leave_some_empty():
    values = np.repeat(np.random.default_rng(0).normal(size=(3, 2)), 8, axis=0)
    mixture = Imputation.of_clusters(values, 6, seed=0)
    assert np.isfinite(mixture.precisions).all()
    assert set(mixture.most_probable(values)) <= set(range(6))
