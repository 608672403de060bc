"""The names of scikit-learn that it calls its own, and that estimators outside of it need all the same.

They may change with any of its versions: nothing else of this package imports a private name of it.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import _fit_context as fit_context
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    Options,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.metaestimators import _safe_split as fold_of
from sklearn.utils.validation import _check_method_params as parameters_of_fold
from sklearn.utils.validation import _check_sample_weight

__all__ = [
    "HasMethods",
    "Interval",
    "Options",
    "StrOptions",
    "callback_context",
    "check_sample_weight",
    "fit_context",
    "fold_of",
    "makes_arrays",
    "parameters_of_fold",
    "validate_parameter_constraints",
    "validate_parameters",
]


def check_sample_weight(sample_weight: Any, X: Any) -> NDArray[np.float64]:
    """Return weights of rows as an array of finite numbers that are not negative."""
    return _check_sample_weight(
        sample_weight, X, dtype=np.float64, ensure_non_negative=True, allow_all_zero_weights=True
    )


def makes_arrays(transformer: Any) -> bool:
    """Whether `transform` returns what it was given in kind, and `set_output` asks for no other."""
    return _get_output_config("transform", transformer)["dense"] == "default"


def validate_parameters(estimator: Any) -> None:
    """Check an estimator's parameters, as `fit` does."""
    estimator._validate_params()


def callback_context(estimator: Any, n_tasks: int) -> Any:
    """Start reporting a fit of so many tasks to an estimator's callbacks."""
    return estimator._init_callback_context(max_subtasks=n_tasks)
