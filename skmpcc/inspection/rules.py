"""Short rules that tell the rows of a cluster from all others, in the columns' own units and names."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeClassifier

from skmpcc.inspection.columns import TableColumn

# How much a row of the cluster weighs beside one of the others, between as it is (0) and as much as all
# of them together (1).
_BALANCES = (0.0, 0.5, 1.0)
# Rows of the cluster and of the others that trees see, which take most of the time; what they find is
# improved and chosen by all.
_N_INSIDE, _N_OUTSIDE = 1000, 2000
# Paths of trees that are improved, and sweeps of this.
_N_IMPROVED, _MAX_SWEEPS = 4, 8
# F1 that one more condition has to bring.
_LEAST_GAIN = 0.005


@dataclass(frozen=True)
class Condition:
    """Demand on the values of a column.

    Attributes
    ----------
    column : int
        Place of the column.
    kind : {"at most", "above", "is", "is not", "missing", "there"}
    value : float
        The number to compare with, or the place of a category; of no meaning for the last two kinds.
    """

    column: int
    kind: str
    value: float = 0.0

    def holds(self, columns: Sequence[TableColumn]) -> NDArray[np.bool_]:
        """Tell for each row whether it holds; what is missing is neither at most nor above anything."""
        numbers = columns[self.column].numbers
        # A number of Python would be rounded to single precision, where a column has that.
        if self.kind == "at most":
            return numbers <= np.float64(self.value)
        if self.kind == "above":
            return numbers > np.float64(self.value)
        if self.kind == "is":
            return numbers == self.value
        if self.kind == "is not":
            return numbers != self.value
        missing = columns[self.column].missing
        return missing if self.kind == "missing" else ~missing


@dataclass(frozen=True)
class Rule:
    """Conditions that hold together, and how well they tell a cluster.

    Attributes
    ----------
    text : str
    precision : float
        Share of the rows that fulfil the rule that are in the cluster.
    recall : float
        Share of the cluster's rows that fulfil the rule.
    """

    text: str
    precision: float
    recall: float


def find_rule(
    columns: Sequence[TableColumn],
    inside: NDArray[np.bool_],
    max_conditions: int,
    sample: NDArray[np.int64],
    seed: int,
) -> Rule | None:
    """Find the conditions of the highest F1, by trees on a sample of rows; None if nothing tells.

    Parameters
    ----------
    columns : sequence of TableColumn
    inside : ndarray of bool of shape (n,)
        Rows of the cluster.
    max_conditions : int
    sample : ndarray of int of shape (n_sample,)
        Rows to look for the rule in; it is measured on all.
    seed : int
        Breaks ties between equal splits.
    """
    some = [TableColumn(c.name, c.numbers[sample], c.kind, c.values) for c in columns]
    target = inside[sample]
    if target.all() or not target.any():
        return None
    search = _Search(some, target, max_conditions)
    paths = sorted(search.paths(seed), key=lambda path: (-search.f1(path), len(path)))
    found = [search.improved(path) for path in [(), *paths[:_N_IMPROVED]]]
    best = max(found, key=lambda rule: (round(search.f1(rule), 9), -len(rule)))
    if not best:
        return None
    chosen = np.logical_and.reduce([condition.holds(columns) for condition in best])
    right = (chosen & inside).sum()
    return Rule(
        rule_text(best, columns),
        float(right / max(chosen.sum(), 1)),
        float(right / inside.sum()),
    )


Conditions = tuple[Condition, ...]


class _Search:
    """The search for a rule among conjunctions of conditions on some rows."""

    def __init__(
        self, columns: Sequence[TableColumn], target: NDArray[np.bool_], max_conditions: int
    ) -> None:
        self.columns, self.target, self.max_conditions = columns, target, max_conditions
        self.n_target = int(target.sum())
        # Of numbers: their order, and the numbers in this order, without the missing ones.
        self.sorted = {}
        for j, column in enumerate(columns):
            if not column.is_category:
                order = np.argsort(column.numbers, kind="stable")
                order = order[: len(order) - int(column.missing.sum())]
                self.sorted[j] = order, column.numbers[order]

    def holds(self, rule: Iterable[Condition]) -> NDArray[np.bool_]:
        held = np.ones(len(self.target), dtype=bool)
        for condition in rule:
            held &= condition.holds(self.columns)
        return held

    def f1(self, rule: Conditions) -> float:
        return self._f1_of(self.holds(rule))

    # ---- Trees

    def paths(self, seed: int) -> Iterator[Conditions]:
        """Conjunctions to the nodes of shallow trees, each with another weight of the cluster's rows."""
        inside, outside = (np.flatnonzero(each) for each in (self.target, ~self.target))
        rows = np.sort(np.concatenate([_some(inside, _N_INSIDE), _some(outside, _N_OUTSIDE)]))
        table, meanings = self._inputs(rows)
        if not meanings:
            return
        target = self.target[rows]
        ratio = (len(target) - target.sum()) / target.sum()
        for balance in _BALANCES:
            tree = DecisionTreeClassifier(
                max_depth=self.max_conditions,
                class_weight={False: 1.0, True: ratio**balance},
                random_state=seed,
            )
            yield from self._paths_of(tree.fit(table, target).tree_, meanings)

    def _inputs(self, rows: NDArray[np.int64]) -> tuple[NDArray, list[tuple[int, str, NDArray]]]:
        """Inputs of trees of some rows, and of each the column, what it is, and values.

        Of numbers they are ranks, which single precision has exactly, of categories indicators.
        """
        parts, meanings = [], []
        for j, column in enumerate(self.columns):
            numbers, missing = column.numbers[rows], column.missing[rows]
            if column.is_category:
                for value in np.unique(numbers[~missing]):
                    parts.append((numbers == value).astype(np.float32))
                    meanings.append((j, "is", np.array([value])))
            elif not missing.all():
                values, ranks = np.unique(numbers[~missing], return_inverse=True)
                part = np.full(len(missing), np.nan, dtype=np.float32)
                part[~missing] = ranks
                parts.append(part)
                meanings.append((j, "at most", values))
            if missing.any() and not missing.all():
                parts.append(missing.astype(np.float32))
                meanings.append((j, "missing", np.array([0.0])))
        table = np.stack(parts, axis=1) if parts else np.empty((len(rows), 0), np.float32)
        return table, meanings

    def _paths_of(self, tree: Any, meanings: list[tuple[int, str, NDArray]]) -> Iterator[Conditions]:
        left, right = tree.children_left, tree.children_right
        features, thresholds = tree.feature, tree.threshold
        waiting: list[tuple[int, Conditions]] = [(0, ())]
        while waiting:
            node, path = waiting.pop()
            if path:
                yield path
            if left[node] < 0:
                continue
            column, kind, values = meanings[features[node]]
            if kind == "at most" and np.isfinite(thresholds[node]):
                place = int(np.floor(thresholds[node]))
                value = self._between(column, values[place], values[place + 1])
                low, high = Condition(column, "at most", value), Condition(column, "above", value)
            else:
                # A threshold of infinity parts the missing values from all others.
                kind = "missing" if kind == "at most" else kind
                opposite = {"is": "is not", "missing": "there"}[kind]
                low, high = (Condition(column, each, values[0]) for each in (opposite, kind))
            waiting += [(left[node], (*path, low)), (right[node], (*path, high))]

    def _between(self, column: int, low: float, high: float) -> float:
        return number_between(float(low), float(high), whole=self.columns[column].kind != "number")

    # ---- Improvement

    def improved(self, rule: Conditions) -> Conditions:
        """Move thresholds, leave conditions out and add others while F1 rises."""
        rule = self._shortened(rule)
        for _ in range(_MAX_SWEEPS):
            before = self.f1(rule)
            for condition in rule:
                moved = self._with_best(_without(rule, condition), (condition.column,))
                if self.f1(moved) > self.f1(rule):
                    rule = moved
            rule = self._shortened(rule)
            if len(rule) < self.max_conditions:
                longer = self._with_best(rule, range(len(self.columns)))
                if self.f1(longer) >= self.f1(rule) + _LEAST_GAIN:
                    rule = longer
            if self.f1(rule) <= before:
                break
        # Those without which most is lost come first.
        return tuple(sorted(rule, key=lambda condition: self.f1(_without(rule, condition))))

    def _shortened(self, rule: Conditions) -> Conditions:
        """Leave out conditions as long as F1 does not fall."""
        while rule:
            best = max((_without(rule, condition) for condition in rule), key=self.f1)
            if self.f1(best) < self.f1(rule):
                break
            rule = best
        return rule

    def _with_best(self, rule: Conditions, columns: Iterable[int]) -> Conditions:
        """Add the condition on one of some columns that has the highest F1 together with the rest."""
        held = self.holds(rule)
        found = []
        for j in columns:
            found += self._best_number(j, held) if j in self.sorted else []
            found += [
                (self._f1_of(held & condition.holds(self.columns)), condition)
                for condition in self._of_values(j)
            ]
        return (*rule, max(found, key=lambda each: each[0])[1]) if found else rule

    def _f1_of(self, held: NDArray[np.bool_]) -> float:
        return float(2 * (held & self.target).sum() / (held.sum() + self.n_target))

    def _of_values(self, j: int) -> Iterator[Condition]:
        column = self.columns[j]
        if column.is_category:
            for place, kind in product(range(len(column.values)), ("is", "is not")):
                yield Condition(j, kind, float(place))
        if column.missing.any():
            yield Condition(j, "missing")
            yield Condition(j, "there")

    def _best_number(self, j: int, held: NDArray[np.bool_]) -> list[tuple[float, Condition]]:
        order, numbers = self.sorted[j]
        chosen = held[order]
        order, numbers = order[chosen], numbers[chosen]
        ends = np.flatnonzero(numbers[1:] > numbers[:-1])
        if not len(ends):
            return []
        right = np.cumsum(self.target[order])
        n_low, right_low = ends + 1, right[ends]
        low = 2 * right_low / (n_low + self.n_target)
        high = 2 * (right[-1] - right_low) / (len(order) - n_low + self.n_target)
        kind, f1 = ("at most", low) if low.max() >= high.max() else ("above", high)
        # Of equal ones the one with the widest gap around it.
        equal = np.flatnonzero(f1 >= f1.max())
        at = ends[equal[np.argmax(numbers[ends[equal] + 1] - numbers[ends[equal]])]]
        value = self._between(j, numbers[at], numbers[at + 1])
        return [(float(f1.max()), Condition(j, kind, value))]


def _some(rows: NDArray[np.int64], number: int) -> NDArray[np.int64]:
    """Return rows at even distances, or all."""
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), number)).round().astype(np.int64)]


def _without(rule: Conditions, condition: Condition) -> Conditions:
    return tuple(each for each in rule if each is not condition)


def number_between(low: float, high: float, *, whole: bool) -> float:
    """Find a short number that parts two: low <= number < high, and a whole one between whole ones.

    It is in the middle half of the gap between them, if a number there is short enough.
    """
    middle = low / 2 + high / 2
    quarter = high / 4 - low / 4
    for n_digits in range(1, 16):
        number = float(f"{middle:.{n_digits}g}")
        number = float(np.floor(number)) if whole else number
        if low + (0 if whole else quarter) <= number <= high - quarter and number < high:
            return number
    return low


# ---- In words


def rule_text(rule: Conditions, columns: Sequence[TableColumn]) -> str:
    """Write conditions in the columns' names, those of one column together."""
    places = list(dict.fromkeys(condition.column for condition in rule))
    return " and ".join(
        text for j in places for text in _texts([c for c in rule if c.column == j], columns[j])
    )


def _texts(conditions: list[Condition], column: TableColumn) -> list[str]:
    name, texts = column.name, []
    above = [c.value for c in conditions if c.kind == "above"]
    at_most = [c.value for c in conditions if c.kind == "at most"]
    if above and at_most and not column.values:
        texts.append(f"{_number(max(above))} < {name} <= {_number(min(at_most))}")
    else:
        texts += [f"{name} > {_value(max(above), column)}"] if above else []
        texts += [f"{name} <= {_value(min(at_most), column)}"] if at_most else []
    excluded = {int(c.value) for c in conditions if c.kind == "is not"}
    rest = [value for place, value in enumerate(column.values) if place not in excluded]
    if excluded and len(rest) == 1 and not column.missing.any():
        return [f"{name} = {rest[0]}"]
    for condition in conditions:
        if condition.kind in ("is", "is not"):
            sign = "=" if condition.kind == "is" else "is not"
            texts.append(f"{name} {sign} {column.values[int(condition.value)]}")
        elif condition.kind in ("missing", "there"):
            texts.append(f"{name} is {'' if condition.kind == 'missing' else 'not '}missing")
    return texts


def _value(value: float, column: TableColumn) -> str:
    return column.values[int(value)] if column.values else _number(value)


def _number(value: float) -> str:
    return f"{value + 0.0:.15g}"
