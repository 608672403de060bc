"""Differences of the columns of a table between a cluster and all other rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skmpcc.data.columns import CATEGORY
from skmpcc.inspection.columns import TableColumn
from skmpcc.inspection.numbers import written


@dataclass(frozen=True)
class Effect:
    """How a column, or a category of it, differs between a cluster and all other rows.

    Attributes
    ----------
    column : int
        Place of the column.
    name : str
        The column's name, with the category where it is one.
    mean, mean_of_rest : float
        Of numbers the means in the cluster and in the other rows, without missing values; of categories
        the shares.
    scale : float
        Standard deviation in all rows; 0 where all values are equal.
    effect : float
        Difference of the means in these.
    is_share : bool
        Whether the means are shares of a category.
    """

    column: int
    name: str
    mean: float
    mean_of_rest: float
    scale: float
    effect: float
    is_share: bool = False

    def __str__(self) -> str:
        if self.is_share:
            return f"{self.name} {self.mean:.0%} (rest {self.mean_of_rest:.0%})"
        mean, rest = self.written()
        return f"{self.name} {mean} (rest {rest})"

    def written(self) -> list[str]:
        """Both means, with digits down to a hundredth of the scale."""
        return written([self.mean, self.mean_of_rest], self.scale)


def effects_by_cluster(
    columns: Sequence[TableColumn],
    labels: NDArray[np.int64],
    n_clusters: int,
    *,
    every_category: bool = False,
) -> list[list[Effect]]:
    """Effects of all columns for each cluster, the largest first; none of clusters with no row or all.

    Of a column of categories it is that of the most telling one, unless all are asked for. Columns with
    missing values have another, of their share.
    """
    found: list[list[Effect]] = [[] for _ in range(n_clusters)]
    for place, column in enumerate(columns):
        missing = column.missing
        parts = []
        if not column.values or column.kind != CATEGORY:
            parts.append(_effects(place, column.name, column.numbers, labels, n_clusters))
        else:
            indicators = [
                _effects(
                    place,
                    f"{column.name} = {text}",
                    np.where(missing, np.nan, column.numbers == value),
                    labels,
                    n_clusters,
                    is_share=True,
                )
                for value, text in enumerate(column.values)
            ]
            # Of two values that differ as much, the one that is there more often.
            most = [
                max(each, key=lambda effect: (round(abs(effect.effect), 9), effect.effect))
                for each in zip(*indicators, strict=True)
            ]
            parts += indicators if every_category else [most]
        if missing.any() and not missing.all():
            name = f"{column.name} is missing"
            parts.append(
                _effects(place, name, missing.astype(np.float64), labels, n_clusters, is_share=True)
            )
        for effects in parts:
            for of_cluster, effect in zip(found, effects, strict=True):
                of_cluster.append(effect)
    sizes = np.bincount(labels[labels >= 0], minlength=n_clusters)
    return [
        sorted(effects, key=lambda each: -abs(each.effect)) if 0 < size < len(labels) else []
        for effects, size in zip(found, sizes, strict=True)
    ]


def _effects(
    place: int,
    name: str,
    numbers: NDArray,
    labels: NDArray[np.int64],
    n_clusters: int,
    *,
    is_share: bool = False,
) -> list[Effect]:
    """Effects of one column, NaN where it is missing, for each cluster."""
    there = ~np.isnan(numbers)
    given, of_given = numbers[there], labels[there]
    if not len(given) or given.min() == given.max():
        # As the shortest number of its own type: 0.1 of float32 is no 0.100000001490116.
        one = given[0] if len(given) else np.nan
        value = float(str(one)) if isinstance(one, np.floating) else float(one)
        return [Effect(place, name, value, value, 0.0, 0.0, is_share)] * n_clusters
    values = given.astype(np.float64)
    # To about 1 by a power of 2, which is exact: squares of large and of small numbers are no numbers.
    exponent = int(np.frexp(np.abs(values).max())[1])
    values = np.ldexp(values, -exponent)
    centre, std = values.mean(), values.std()
    values -= centre
    inside = of_given >= 0
    counts = np.bincount(of_given[inside], minlength=n_clusters)
    sums = np.bincount(of_given[inside], weights=values[inside], minlength=n_clusters)
    means = np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)
    n_rest = len(values) - counts
    rests = np.divide(values.sum() - sums, n_rest, out=np.zeros_like(sums), where=n_rest > 0)
    effects = np.where((counts > 0) & (n_rest > 0), (means - rests) / std, 0.0)
    means, rests = (np.ldexp(each + centre, exponent) for each in (means, rests))
    scale = float(np.ldexp(std, exponent))
    return [
        Effect(place, name, float(mean), float(rest), scale, float(effect), is_share)
        for mean, rest, effect in zip(means, rests, effects, strict=True)
    ]
