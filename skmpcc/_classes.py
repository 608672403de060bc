"""Known classes as a classifier is given them, and as its fit is taught them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.multiclass import check_classification_targets
from torch import Tensor


@dataclass(frozen=True)
class KnownClasses:
    """Classes that a classifier is taught.

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
    priors: NDArray[np.float64] | None

    @classmethod
    def of(cls, y: NDArray, priors: Any) -> "KnownClasses":
        """Find the classes in labels.

        Parameters
        ----------
        y : ndarray of shape (n_samples,)
            Labels, -1 where they are unknown.
        priors : array-like of shape (n_classes,) or None

        Raises
        ------
        ValueError
            No label is known, all are the same, or they are not those of classes; or priors are no
            probabilities of the classes.
        """
        as_text = y.dtype.kind in "US"
        if as_text and np.any(y == np.array("-1").astype(y.dtype)):
            raise ValueError(
                'y has the label "-1" as text. Where it stands for unknown, pass an array of dtype '
                "object with the number -1; as a class give it another name."
            )
        known = np.ones(len(y), dtype=bool) if as_text else y != -1
        if not as_text and set(y.tolist()) == {-1, 1}:
            # A single known class would be an error, and these are the usual names of two.
            known[:] = True
        if not known.any():
            raise ValueError(
                "y has no known label: all are -1. MPCCClusterer finds clusters without any."
            )
        check_classification_targets(y[known])
        classes, found = np.unique(y[known], return_inverse=True)
        if len(classes) < 2:
            raise ValueError(
                f"y has 1 class, {classes.tolist()[0]!r}, but a classifier needs at least 2 classes."
            )
        numbers = torch.full((len(y),), -1)
        numbers[torch.as_tensor(known)] = torch.as_tensor(found)
        return cls(classes, numbers, None if priors is None else _checked(priors, len(classes)))


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
