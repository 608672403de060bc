"""Other numbers for the clusters of a fitted estimator."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmpcc.fitted.saving import CLUSTERS, IN_UNITS


def renumbered_attributes(estimator: Any, order: NDArray[np.int64]) -> dict[str, Any]:
    """Fitted attributes of an estimator whose k-th cluster is the order[k]-th of `estimator`.

    `_saved_attributes` says of each attribute which of its axes are those of clusters, and whether it
    holds their numbers, so that no attribute has to be named here. The estimator stays as it is.
    """
    made: dict[str, Any] = {"_fitted": estimator._fitted.renumbered(order)}
    number = np.argsort(order)
    for name, declared in estimator._saved_attributes.items():
        value = getattr(estimator, name, None)
        if value is None or not isinstance(declared, tuple):
            continue
        dtype, *sizes = declared[declared[0] is None :]
        if not isinstance(dtype, str):
            continue
        if name in IN_UNITS:
            # By way of numbers: frames name their rows 0, 1, ..., too.
            data_format = estimator._fitted.format
            made[name] = data_format.to_given(data_format.to_numbers(value)[order])
            continue
        if dtype == CLUSTERS:
            # Rows that belong to no cluster have negative numbers.
            value = np.where(value < 0, value, number[value])
        for axis in (place for place, size in enumerate(sizes) if size == "n_clusters"):
            value = np.take(value, order, axis=axis)
        made[name] = value
    return made
