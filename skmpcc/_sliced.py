"""Data that are read slice by slice: files mapped into memory, arrays of HDF5, zarr or Dask."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils import check_array, gen_batches
from torch import Tensor

from skmpcc.inputs import as_real

# Bytes that the fitted rows of such data may take in memory, as they are and encoded; of more rows a
# random sample is fitted. An encoded value has four.
MAX_BYTES = 2**30
ENCODED = 4
# Bytes that are read at once.
_CHUNK = 2**25


class SlicedArray:
    """An array on disk, or anything else with a shape and a dtype that can be sliced.

    Whatever is read of it is checked as any X is.

    Attributes
    ----------
    shape : tuple of int
    dtype : dtype
    max_rows : int
        Number of rows that may be held in memory at a time.
    """

    def __init__(self, X: Any) -> None:
        self._X = X
        self.shape = tuple(int(side) for side in X.shape)
        self.dtype = np.dtype(X.dtype)
        self.max_rows = MAX_BYTES // _row_bytes(X)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> NDArray:
        part = check_array(np.asarray(self._X[rows]), allow_nd=True, input_name="X")
        return as_real(part)

    def take(self, rows: NDArray[np.int64]) -> NDArray:
        """Return rows, in rising order, by a pass over the whole, which is checked on the way."""
        parts = []
        for part in gen_batches(len(self), max(1, _CHUNK // _row_bytes(self))):
            values = self[part]
            first, last = np.searchsorted(rows, [part.start, part.stop])
            parts.append(values[rows[first:last] - part.start])
        return np.concatenate(parts)


Rows = NDArray | SlicedArray


def in_slices(X: Any) -> Any:
    """Return X to be read slice by slice if it lies on disk and is too large for memory.

    Parameters
    ----------
    X : object
        Whatever a user has passed.

    Returns
    -------
    X : SlicedArray, ndarray or object
        Array-likes that are not too large are read; everything else is left for others to validate.
    """
    mapped = isinstance(X, np.memmap)
    if not mapped and not _is_sliced(X):
        return X
    if len(X.shape) > 1 and X.shape[0] * _row_bytes(X) > MAX_BYTES:
        return SlicedArray(X)
    return X if mapped else np.asarray(X[:])


def _is_sliced(X: Any) -> bool:
    """Whether X is no array in memory, nor anything that numpy makes one of better than by slices."""
    if isinstance(X, np.ndarray | Tensor) or issparse(X):
        return False
    if not all(hasattr(X, name) for name in ("shape", "dtype", "__getitem__")):
        return False
    return hasattr(X, "chunks") or not hasattr(X, "__array__")


def _row_bytes(X: Any) -> int:
    return max(1, math.prod(X.shape[1:])) * (np.dtype(X.dtype).itemsize + ENCODED)
