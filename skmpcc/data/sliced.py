"""Data that are read slice by slice: files mapped into memory, arrays of HDF5, zarr or Dask."""

import math
import mmap
from collections.abc import Iterable, Iterator
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils import check_array
from torch import Tensor

from skmpcc.data.inputs import as_real

# Bytes that the fitted rows of such data may take in memory, as they are and encoded; of more rows a
# random sample is fitted. An encoded value has four.
MAX_BYTES = 3 * 2**28
ENCODED = 4
# Bytes that are read at once, unless a chunk of the file or a block of Dask has more.
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
    may_miss : bool
        Whether values may be missing, as in tables.
    """

    def __init__(self, X: Any, *, may_miss: bool = False) -> None:
        self._X = X
        self.shape = tuple(int(side) for side in X.shape)
        self.dtype = np.dtype(X.dtype)
        self.max_rows = max(1, MAX_BYTES // _row_bytes(X))
        self.may_miss = may_miss
        self._mapping = _mapping_of(X)

    def __len__(self) -> int:
        return self.shape[0]

    def check_rows(self) -> None:
        """Check that a fit can see two rows of it.

        Raises
        ------
        ValueError
            There is one row alone, or two are larger than what memory is to hold.
        """
        if len(self) < 2:
            raise ValueError(
                f"X has {len(self)} sample(s) (shape={self.shape}) while a minimum of 2 is required."
            )
        if self.max_rows < 2:
            raise ValueError(
                f"Each sample of X takes {_row_bytes(self) / 2**20:.0f} MiB, but of data on disk a fit "
                f"holds at most {MAX_BYTES / 2**20:.0f} MiB in memory, which must be enough for two. "
                "Make the samples smaller, or pass an array in memory."
            )

    def __getitem__(self, rows: slice) -> NDArray:
        part = np.asarray(self._X[rows])
        if self._mapping is not None:
            # A copy, for pages that are given back are read again by whoever looks at them.
            part = part.copy()
            self._mapping.madvise(mmap.MADV_DONTNEED)
        finite = "allow-nan" if self.may_miss else True
        return as_real(check_array(part, allow_nd=True, ensure_all_finite=finite, input_name="X"))

    def parts(self) -> Iterator[tuple[slice, NDArray]]:
        """Yield all rows in order, in whole chunks, which are decompressed or computed as a whole.

        A chunk of more than `max_rows` is read in several parts.
        """
        step = max(1, _CHUNK // _row_bytes(self))
        chunks = getattr(self._X, "chunks", None)
        # Dask gives the length of each, others one for all, and None or nothing if there are none.
        lengths = chunks[0] if chunks else 1
        if isinstance(lengths, int):
            several = lengths * max(1, step // lengths)
            lengths = [several] * math.ceil(len(self) / several)
        start = 0
        for end, next_end in pairwise([*accumulate(lengths), math.inf]):
            if next_end - start <= step:
                continue
            for first in range(start, min(end, len(self)), self.max_rows):
                rows = slice(first, min(first + self.max_rows, end, len(self)))
                yield rows, self[rows]
            start = end

    def take(self, rows: NDArray[np.int64]) -> NDArray:
        """Return rows, in rising order, by a pass over the whole, which is checked on the way."""
        out: NDArray | None = None
        for part, values in self.parts():
            if out is None:
                out = np.empty((len(rows), *self.shape[1:]), values.dtype)
            first, last = np.searchsorted(rows, [part.start, part.stop])
            out[first:last] = values[rows[first:last] - part.start]
        assert out is not None
        return out


Rows = NDArray | SlicedArray


def in_batches(X: Rows, batches: Iterable[slice]) -> Iterator[NDArray]:
    """Yield rows of X, which is read once, for batches that follow each other without a gap."""
    if not isinstance(X, SlicedArray):
        yield from (X[rows] for rows in batches)
        return
    parts, part, values = X.parts(), slice(0, 0), np.empty(0)
    for rows in batches:
        pieces = [values[rows.start - part.start : rows.stop - part.start]]
        while part.stop < rows.stop:
            part, values = next(parts)
            pieces.append(values[: rows.stop - part.start])
        pieces = [piece for piece in pieces if len(piece)]
        yield pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def in_slices(X: Any, *, of_tables: bool = False) -> Any:
    """Return X to be read slice by slice if it lies on disk and is too large for memory.

    Parameters
    ----------
    X : object
        Whatever a user has passed.
    of_tables : bool
        Whether rows are of a table, in which values may be missing.

    Returns
    -------
    X : SlicedArray, ndarray or object
        Array-likes that are not too large are read; everything else is left for others to validate.
    """
    if isinstance(X, SlicedArray):
        return X
    mapped = isinstance(X, np.memmap)
    if not mapped and not _is_sliced(X):
        return X
    if len(X.shape) > 1 and X.shape[0] * _row_bytes(X) > MAX_BYTES:
        return SlicedArray(X, may_miss=of_tables and len(X.shape) == 2)
    return X if mapped else np.asarray(X[:])


def _is_sliced(X: Any) -> bool:
    """Whether X is not in memory, nor anything that numpy reads better as a whole than by slices."""
    if isinstance(X, np.ndarray | Tensor) or issparse(X):
        return False
    if not all(hasattr(X, name) for name in ("shape", "dtype", "__getitem__")):
        return False
    return hasattr(X, "chunks") or not hasattr(X, "__array__")


def _mapping_of(X: Any) -> mmap.mmap | None:
    """Mapping whose pages can be given back once they are read, so that a mapped file takes no room.

    Pages of copy-on-write maps cannot: they hold what was written to them.
    """
    if not isinstance(X, np.memmap) or X.mode == "c" or not hasattr(mmap, "MADV_DONTNEED"):
        return None
    base: Any = X
    while isinstance(base, np.ndarray):
        base = base.base
    return base if isinstance(base, mmap.mmap) else None


def _row_bytes(X: Any) -> int:
    return max(1, math.prod(X.shape[1:])) * (np.dtype(X.dtype).itemsize + ENCODED)
