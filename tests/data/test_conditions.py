"""Conditions on columns, and draws by rejection until they hold."""

import numpy as np
import pandas as pd
import pytest

from skmpcc.data import conditions as _conditions
from skmpcc.data.columns import Columns
from skmpcc.data.conditions import NEAR, Condition, conditions_of, draw_by_rejection

COLUMNS = Columns.learn(
    pd.DataFrame({"size": [1.0, 2.0], "town": ["b", "a"], "flag": [True, False], "n": [1, 5]}),
    "from_dtype",
)[0]


def read(conditions, columns=COLUMNS, n_columns=4):
    return conditions_of(conditions, columns, n_columns)


def rng():
    return np.random.RandomState(0)


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, []),
        ({"town": "b"}, [Condition(1, [1.0])]),
        ({"town": ["b", "a"]}, [Condition(1, [1.0, 0.0])]),
        ({"town": ("a",)}, [Condition(1, [0.0])]),
        ({"town": np.array(["a"])}, [Condition(1, [0.0])]),
        ({"flag": True}, [Condition(2, [1.0])]),
        ({"flag": np.False_}, [Condition(2, [0.0])]),
        ({"size": (1, 2)}, [Condition(0, ends=(1.0, 2.0))]),
        ({"size": [1, np.inf]}, [Condition(0, ends=(1.0, np.inf))]),
        ({"n": np.int64(3)}, [Condition(3, [3.0], is_near=True)]),
        ({"n": 3, "town": "a"}, [Condition(3, [3.0], is_near=True), Condition(1, [0.0])]),
    ],
)
def test_conditions_are_read(conditions, expected):
    assert read(conditions) == expected


def test_columns_of_arrays_are_named_by_place():
    assert read({2: (0, 1)}, None) == [Condition(2, ends=(0.0, 1.0))]
    of_categories = Columns.learn(np.array([[7.0, 1.0], [9.0, 2.0]]), [0])[0]
    assert read({0: 9}, of_categories, 2) == [Condition(0, [1.0])]
    with pytest.raises(ValueError, match=r"0 to be 8, but its values are 7.0, 9.0"):
        read({0: 8}, of_categories, 2)


@pytest.mark.parametrize("wanted", [None, "far", (1, 2, 3), (2, 1), (1, "b"), np.nan, {}, (np.nan, 1)])
def test_wrong_numbers_are_an_error(wanted):
    with pytest.raises(ValueError, match="it takes one, or the least and the largest"):
        read({"size": wanted})


@pytest.mark.parametrize("conditions", [None, "town", ["town"], 3])
def test_conditions_are_a_mapping(conditions):
    with pytest.raises(TypeError, match="conditions must be a dict"):
        read(conditions)


def test_which_rows_fulfil_a_condition():
    X = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0], [5.0, 1.0]])
    assert Condition(1, [1.0]).holds(X).tolist() == [True, False, False, True]
    assert Condition(1, [0.0, 2.0]).holds(X).tolist() == [False, True, True, False]
    assert Condition(0, ends=(1.0, 2.0)).holds(X).tolist() == [False, True, True, False]
    near = X[:, 0].std() * NEAR
    close = Condition(0, [2.0 + 0.9 * near], is_near=True)
    assert close.holds(X).tolist() == [False, False, True, False]
    assert not Condition(0, [2.0 + 1.1 * near], is_near=True).holds(X).any()


def drawing(seed=0):
    """Draws of three components in rising order, as a mixture's are."""
    random = np.random.default_rng(seed)

    def draw(n):
        y = np.sort(random.integers(0, 3, n))
        return np.stack([random.normal(size=n), random.integers(0, 4, n), np.arange(n)], axis=1), y

    return draw


def test_draws_are_of_all_components():
    """The first of draws in rising order were of the first component alone."""
    X, y = draw_by_rejection(drawing(), 300, [Condition(1, [2.0])], rng())
    assert X.shape == (300, 3)
    assert (X[:, 1] == 2.0).all()
    assert (np.diff(y) >= 0).all()
    assert np.bincount(y).min() > 70
    assert len(np.unique(X[:, 2])) == 300
    again = draw_by_rejection(drawing(), 300, [Condition(1, [2.0])], rng())
    np.testing.assert_array_equal(again[0], X)


def test_several_draws_are_put_together(monkeypatch):
    monkeypatch.setattr(_conditions, "AT_ONCE", 50)
    wanted = [Condition(1, [2.0]), Condition(0, ends=(0.0, 0.5))]
    X, y = draw_by_rejection(drawing(), 40, wanted, rng())
    assert len(X) == len(y) == 40
    assert ((X[:, 0] >= 0.0) & (X[:, 0] <= 0.5) & (X[:, 1] == 2.0)).all()
    assert set(y) == {0, 1, 2}


def test_a_single_number_is_that_of_all_rows():
    X, _ = draw_by_rejection(drawing(), 20, [Condition(0, [0.3], is_near=True)], rng())
    assert (X[:, 0] == 0.3).all()


def test_no_conditions_take_any_row():
    assert len(draw_by_rejection(drawing(), 20, [], rng())[0]) == 20


def test_too_few_rows_are_an_error(monkeypatch):
    monkeypatch.setattr(_conditions, "AT_ONCE", 50)
    monkeypatch.setattr(_conditions, "MAX_DRAWS", 100)
    with pytest.raises(ValueError, match="conditions hold for 0 of 100 draws, too few for n_samples=3"):
        draw_by_rejection(drawing(), 3, [Condition(1, [7.0])], rng())
