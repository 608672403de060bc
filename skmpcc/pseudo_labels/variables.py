"""Variables of a table: what its columns tell, where several of them may tell the same.

Copies of a column, also in another unit, the indicators of one variable and coarser categories of
another column are one variable.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

# A column is one of categories if it has so many values at most, each in so many rows on average.
MAX_VALUES, MIN_ROWS = 10, 5
# Rows by which columns are compared, and pairs of indicators that would be on in the same row if they
# had nothing to do with each other, from which on it is no chance that there are none.
MAX_COMPARED, NO_CHANCE = 5_000, 10.0


@dataclass(frozen=True)
class Variables:
    """The variables that a table tells of.

    Attributes
    ----------
    categories : list of ndarray of int of shape (n,)
        Numbers of the values of each variable of categories, -1 where they are missing.
    measured : list of ndarray of float64 of shape (n,)
        One column of each variable that was measured, NaN where values are missing.
    is_indicator : ndarray of bool of shape (d,)
        Columns that are indicators of a variable of several values.
    gaps : ndarray of bool of shape (n, d) or None
        Values of the table that are missing; None if none is.
    """

    categories: list[NDArray]
    measured: list[NDArray]
    is_indicator: NDArray[np.bool_]
    gaps: NDArray[np.bool_] | None = None

    @classmethod
    def from_rows(cls, rows: NDArray) -> "Variables":
        """Find the variables of a table, an ndarray of shape (n, d)."""
        n, d = rows.shape
        codes: dict[int, NDArray] = {}
        measured: dict[bytes, NDArray] = {}
        for index, column in enumerate(rows.T):
            values, code = np.unique(column, return_inverse=True)
            code = code.reshape(-1)
            if len(values) <= min(MAX_VALUES, n // MIN_ROWS):
                codes[index] = code
                continue
            # The same in another unit has the same order, or the opposite one.
            order = min(code.tobytes(), (code.max() - code).tobytes())
            measured.setdefault(order, column.astype(np.float64))
        merged, groups = _without_indicators(codes)
        is_indicator = np.zeros(d, dtype=bool)
        is_indicator[[index for group in groups for index in group]] = True
        return cls(_without_determined(merged), list(measured.values()), is_indicator)

    @classmethod
    def from_columns(
        cls,
        codes: Sequence[NDArray],
        measured: Sequence[NDArray],
        is_indicator: NDArray[np.bool_],
        gaps: NDArray[np.bool_] | None = None,
    ) -> "Variables":
        """Make the variables of a table whose categories are known, and of which values may be missing.

        Numbers of few values are categories, as in any other table.

        Parameters
        ----------
        codes : sequence of ndarray of int of shape (n,)
            Numbers of the values of each column of categories, -1 where they are missing.
        measured : sequence of ndarray of float of shape (n,)
            Columns of numbers, NaN where they are missing.
        is_indicator : ndarray of bool of shape (d,)
            Columns of the table, in another form, that are indicators.
        gaps : ndarray of bool of shape (n, d), optional
            Values in that form that are missing.
        """
        categories: list[NDArray] = []
        numbers: dict[bytes, NDArray] = {}
        for column, is_there in ((code, code >= 0) for code in codes):
            if is_there.any():
                categories.append(_numbered(column, is_there))
        for column, is_there in ((x, ~np.isnan(x)) for x in measured):
            code = _numbered(column, is_there)
            n_values, n_there = int(code.max(initial=-1)) + 1, int(is_there.sum())
            if 0 < n_values <= min(MAX_VALUES, n_there // MIN_ROWS):
                categories.append(code)
            elif n_values:
                opposite = np.where(is_there, code.max() - code, -1)
                numbers.setdefault(min(code.tobytes(), opposite.tobytes()), column.astype(np.float64))
        return cls(_without_determined(categories), list(numbers.values()), is_indicator, gaps)

    def take(self, rows: NDArray[np.int64]) -> "Variables":
        """Return these of some rows."""
        categories, measured = ([x[rows] for x in part] for part in (self.categories, self.measured))
        gaps = None if self.gaps is None else self.gaps[rows]
        return Variables(categories, measured, self.is_indicator, gaps)

    @property
    def n_categories(self) -> int:
        """Number of the variables of categories that tell anything: a value of a few rows does not."""
        counts = [np.bincount(code[code >= 0], minlength=1) for code in self.categories]
        return sum(int(count.sum() - count.max() >= MIN_ROWS) for count in counts)


def _numbered(column: NDArray, is_there: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Number the values of a column from 0 on, in order, with -1 where one is missing."""
    code = np.full(len(column), -1)
    code[is_there] = np.unique(column[is_there], return_inverse=True)[1].reshape(-1)
    return code


def _without_indicators(codes: dict[int, NDArray]) -> tuple[list[NDArray], list[list[int]]]:
    """Make one variable of the indicators of its values, of which two are never on in the same row.

    Those of a variable mostly stand beside each other. On is the larger value of all of them, or the
    smaller one. Rows in which none is on have the value that has no indicator, or a missing one.

    Parameters
    ----------
    codes : dict of ndarray of int
        Numbers of the values, by the place of the column.

    Returns
    -------
    variables : list of ndarray
    groups : list of list of int
        Places of the columns that were merged.
    """
    left = [index for index, code in codes.items() if code.max(initial=0) == 1]
    groups: list[list[int]] = []
    variables = dict(codes)
    for on in (1, 0):
        for find in (_beside_each_other, _anywhere):
            is_on = np.array([codes[index][:MAX_COMPARED] == on for index in left])
            found = find(is_on) if len(left) > 1 else []
            for places in found:
                group = [left[place] for place in places]
                which = np.array([codes[index] == on for index in group])
                value = np.where(which.any(axis=0), which.argmax(axis=0) + 1, 0)
                for index in group[1:]:
                    del variables[index]
                variables[group[0]] = np.unique(value, return_inverse=True)[1].reshape(-1)
                groups.append(group)
            taken = {place for places in found for place in places}
            left = [index for place, index in enumerate(left) if place not in taken]
    return list(variables.values()), groups


def _beside_each_other(is_on: NDArray[np.bool_]) -> list[list[int]]:
    """Find groups of adjacent columns that exclude each other, and not by chance."""
    groups, start = [], 0
    while start < len(is_on):
        end, any_on = start + 1, is_on[start].copy()
        while end < len(is_on) and not np.any(any_on & is_on[end]):
            any_on |= is_on[end]
            end += 1
        if _is_no_chance(is_on[start:end]):
            groups.append(list(range(start, end)))
        start = end
    return groups


def _anywhere(is_on: NDArray[np.bool_]) -> list[list[int]]:
    """Find groups of columns in any order, each of which excludes the others before it not by chance."""
    both = is_on.astype(np.float32) @ is_on.T.astype(np.float32)
    counts, n = both.diagonal(), is_on.shape[1]
    free, groups = np.ones(len(is_on), dtype=bool), []
    for first in range(len(is_on)):
        if not free[first]:
            continue
        group, total = [first], counts[first]
        for other in range(first + 1, len(is_on)):
            apart = free[other] and not np.any(both[other][group])
            if apart and counts[other] * total >= NO_CHANCE * n:
                group.append(other)
                total += counts[other]
        if len(group) > 1:
            free[group] = False
            groups.append(group)
    return groups


def _is_no_chance(is_on: NDArray[np.bool_]) -> bool:
    """Whether columns that exclude each other are two or more, and would not do so by chance."""
    counts, n = is_on.sum(axis=1), is_on.shape[1]
    expected = (counts.sum() ** 2 - (counts**2).sum()) / (2 * n)
    return len(is_on) > 1 and (expected >= NO_CHANCE or counts.sum() == n)


def _without_determined(codes: list[NDArray]) -> list[NDArray]:
    """Leave out variables whose value another one's tells: copies, and coarser categories."""
    if len(codes) < 2:
        return codes
    given = codes
    # What is missing is a value of its own, which hardly is in the same rows of two columns.
    codes = [code + 1 if code.min(initial=0) < 0 else code for code in codes]
    n_values = np.array([code.max() + 1 for code in codes])
    starts = np.cumsum([0, *n_values[:-1]])
    some = np.stack([code[:MAX_COMPARED] for code in codes], axis=1) + starts
    shape = (len(some), int(n_values.sum()))
    places = np.arange(0, some.size + 1, len(codes))
    table = csr_matrix((np.ones(some.size, dtype=np.float32), some.ravel(), places), shape=shape)
    # Number of values of each variable that appear beside each value.
    beside = np.add.reduceat((table.T @ table).toarray() > 0, starts, axis=1, dtype=np.int64)
    tells = np.maximum.reduceat(beside, starts, axis=0) <= 1
    kept: list[int] = []
    # The finest first, of equal ones the first.
    for index in np.argsort(-n_values, kind="stable"):
        if not tells[kept, index].any():
            kept.append(index)
    return [given[index] for index in sorted(kept)]
