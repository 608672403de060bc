"""Known classes, as a classifier gets them and as its fit uses them."""

import warnings
from dataclasses import dataclass, replace
from numbers import Number
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.multiclass import check_classification_targets
from torch import Tensor

from skmpcc.data.frames import is_missing
from skmpcc.data.inputs import as_array
from skmpcc.system.callers import stacklevel_of_user


@dataclass(frozen=True)
class KnownClasses:
    """Classes that a classifier learns.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        In ascending order; a component of the mixture stands for each.
    numbers : Tensor of int64 of shape (n_samples,)
        Place of each sample's class in `classes`, -1 where it is unknown.
    priors : ndarray of shape (n_classes,) or None
        Weights of the mixture once it is trained, where they are not those of the training.
    """

    classes: NDArray
    numbers: Tensor
    priors: NDArray[np.float64] | None = None

    @classmethod
    def from_labels(cls, y: NDArray) -> "KnownClasses":
        """Find the classes in labels.

        Parameters
        ----------
        y : ndarray of shape (n_samples,)
            Labels, -1 where they are unknown.

        Raises
        ------
        ValueError
            No label is known, all known labels are the same, or they are not labels of classes.
        """
        as_text = y.dtype.kind in "US"
        if as_text and np.any(y == np.array("-1").astype(y.dtype)):
            raise ValueError(
                'y has the label "-1" as text. If it means an unknown class, pass an array of dtype '
                "object with the number -1; if it is a class, give it another name."
            )
        known = np.ones(len(y), dtype=bool) if as_text else y != -1
        if not as_text and set(y.tolist()) == {-1, 1}:
            # A single known class would be an error, and these are the usual names of two.
            known[:] = True
        if not known.any():
            raise ValueError(
                "y has no known label: all are -1. MPCCClusterer finds clusters without labels."
            )
        check_classification_targets(y[known])
        classes, found = np.unique(y[known], return_inverse=True)
        _check_several(classes)
        numbers = torch.full((len(y),), -1)
        numbers[torch.as_tensor(known)] = torch.as_tensor(found)
        return cls(classes, numbers)

    def of_rows(self, rows: NDArray[np.int64] | None) -> "KnownClasses":
        """Return the classes of some rows; None are all rows.

        Raises
        ------
        ValueError
            These rows have one class, or none.
        """
        if rows is None:
            return self
        numbers = self.numbers[torch.as_tensor(rows)]
        present = numbers[numbers >= 0].unique()
        _check_several(self.classes[present.numpy()], " among the rows that have a weight")
        renumbered = torch.full((len(self.classes) + 1,), -1)
        renumbered[present] = torch.arange(len(present))
        return replace(self, classes=self.classes[present.numpy()], numbers=renumbered[numbers])

    def with_priors(self, priors: Any) -> "KnownClasses":
        """Return these classes with weights for them, an array-like of shape (n_classes,) or None.

        Raises
        ------
        ValueError
            They are not one probability for each class, with sum 1.
        """
        return replace(self, priors=None if priors is None else _checked(priors, len(self.classes)))


def labels_of(y: Any) -> Any:
    """Return labels as an array, in which none is missing.

    Raises
    ------
    ValueError
        Some are: -1 stands for an unknown class, and nothing else does.
    """
    y = as_array(y)
    if y is None:  # which scikit-learn has words for
        return y
    # In lists with text, numpy turns what is missing into text.
    labels = np.asarray(y, dtype=object) if isinstance(y, list | tuple) else np.asarray(y)
    if labels.dtype.kind == "f":
        missing = np.isnan(labels)
    elif labels.dtype.kind in "mM":
        missing = np.isnat(labels)
    elif labels.dtype == object:
        missing = np.array([is_missing(label) for label in labels.ravel()], dtype=bool)
    else:
        return labels
    if missing.any():
        raise ValueError(
            f"y has {missing.sum()} missing labels (NaN, None or NA). Mark a sample whose class is "
            "unknown by the number -1; if other labels are text, in an array of dtype object."
        )
    if labels.dtype == object and all(isinstance(label, Number) for label in labels.ravel().tolist()):
        return np.array(labels.tolist())
    return np.asarray(y) if isinstance(y, list | tuple) else labels


def warn_of_minus_one(y: NDArray) -> None:
    """Warn of labels that are -1, 0 and 1, where -1 may be meant as a class."""
    if y.dtype.kind not in "US" and len(y) and set(y.ravel().tolist()) == {-1, 0, 1}:
        warnings.warn(
            "y has the labels -1, 0 and 1, of which -1 is taken for unknown: there are two classes. "
            "If -1 is a class, give it another name, such as 2 or text.",
            UserWarning,
            stacklevel=stacklevel_of_user(),
        )


def _check_several(classes: NDArray, where: str = "") -> None:
    if len(classes) < 2:
        names = f"1 class{where}, {classes.tolist()[0]!r}" if len(classes) else f"no class{where}"
        raise ValueError(f"y has {names}, but a classifier needs at least 2 classes.")


def _checked(priors: Any, n_classes: int) -> NDArray[np.float64]:
    try:
        checked = np.asarray(priors, dtype=np.float64)
    except (TypeError, ValueError):
        checked = np.full(n_classes, np.nan)
    if checked.shape != (n_classes,) or not np.all(checked >= 0) or not np.isclose(checked.sum(), 1.0):
        raise ValueError(
            f"priors must be {n_classes} probabilities that sum to 1, one for each class, got "
            f"{priors!r}."
        )
    return checked / checked.sum()
