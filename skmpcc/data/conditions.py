"""Conditions on columns of a table, which samples have to fulfil: drawn by rejection."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmpcc.data.columns import Columns
from skmpcc.data.frames import listed

# Draws at once, and in all, before there are too few that fit.
AT_ONCE, MAX_DRAWS = 2**13, 2**20
# A single number stands for what is nearer to it than this share of the draws' standard deviation.
NEAR = 0.1


@dataclass(frozen=True)
class Condition:
    """A condition on a column: what it has to be.

    Attributes
    ----------
    column : int
    values : list of float or None
        Numbers of categories, one of which it has to be; of numbers a single one that it is near.
    ends : tuple of float or None
        Least and largest number.
    is_near : bool
        Whether the single value is that of a column of numbers.
    """

    column: int
    values: list[float] | None = None
    ends: tuple[float, float] | None = None
    is_near: bool = False

    def holds(self, X: NDArray) -> NDArray[np.bool_]:
        """Whether rows fulfil it."""
        column = X[:, self.column]
        if self.ends is not None:
            return (column >= self.ends[0]) & (column <= self.ends[1])
        assert self.values is not None
        if self.is_near:
            return np.abs(column - self.values[0]) <= NEAR * column.std()
        return np.isin(column, self.values)


def conditions_of(
    conditions: Mapping[Any, Any], columns: Columns | None, n_columns: int
) -> list[Condition]:
    """Read the parameter `conditions` of `sample`.

    Raises
    ------
    TypeError
        They are no mapping.
    ValueError
        A column or a category is unknown, or a range is empty.
    """
    if not isinstance(conditions, Mapping):
        raise TypeError(
            "conditions must be a dict of columns and what they have to be, such as "
            f"{{'kind': 'street'}}; got {conditions!r}."
        )
    names = columns.names if columns is not None and columns.names else list(range(n_columns))
    found = []
    for name, wanted in conditions.items():
        if name not in names:
            raise ValueError(f"conditions has {name!r}, but the columns are {listed(map(repr, names))}.")
        place = names.index(name)
        known = None if columns is None else columns.columns[place].values
        found.append(
            _of_categories(place, name, wanted, known) if known else _of_numbers(place, name, wanted)
        )
    return found


def _of_categories(place: int, name: Any, wanted: Any, known: list[Any]) -> Condition:
    values = list(wanted) if isinstance(wanted, list | tuple | set | np.ndarray) else [wanted]
    unknown = [value for value in values if value not in known]
    if unknown or not values:
        raise ValueError(
            f"conditions asks for {name!r} to be {listed(map(repr, unknown)) or 'nothing'}, but its "
            f"values are {listed(map(repr, known))}."
        )
    return Condition(place, [float(known.index(value)) for value in values])


def _of_numbers(place: int, name: Any, wanted: Any) -> Condition:
    if isinstance(wanted, Real) and wanted == wanted:
        return Condition(place, [float(wanted)], is_near=True)
    if (
        isinstance(wanted, tuple | list)
        and len(wanted) == 2
        and all(isinstance(w, Real) for w in wanted)
    ):
        least, largest = map(float, wanted)
        if least <= largest:
            return Condition(place, ends=(least, largest))
    raise ValueError(
        f"conditions asks for {name!r} to be {wanted!r}; for a column of numbers it takes one, or the "
        "least and the largest of a range, such as (0, 10)."
    )


def draw_by_rejection(
    draw: Callable[[int], tuple[NDArray, NDArray]],
    n: int,
    conditions: list[Condition],
    rng: np.random.RandomState,
) -> tuple[NDArray, NDArray]:
    """Draw rows, and what else there is of each, until as many fulfil conditions.

    Parameters
    ----------
    draw : callable
        Draws so many rows.
    n : int
    conditions : list of Condition
    rng : RandomState
        Chooses among those that do, which may be sorted.

    Raises
    ------
    ValueError
        Too few of very many draws do.
    """
    rows, others, n_found, n_drawn = [], [], 0, 0
    while n_found < n and n_drawn < MAX_DRAWS:
        X, y = draw(AT_ONCE)
        fits = np.ones(len(X), dtype=bool)
        for condition in conditions:
            fits &= condition.holds(X)
        rows.append(X[fits])
        others.append(y[fits])
        n_found, n_drawn = n_found + int(fits.sum()), n_drawn + len(X)
    if n_found < n:
        raise ValueError(
            f"conditions hold for {n_found} of {n_drawn} draws, too few for n_samples={n}. Ask for "
            "fewer samples, or for less."
        )
    chosen = rng.permutation(n_found)[:n]
    X, y = np.concatenate(rows)[chosen], np.concatenate(others)[chosen]
    for condition in conditions:
        if condition.is_near and condition.values is not None:
            X[:, condition.column] = condition.values[0]
    order = np.argsort(y, kind="stable")
    return X[order], y[order]
