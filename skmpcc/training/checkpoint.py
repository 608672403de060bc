"""The file that a fit is kept in while it runs, so that a later one goes on from it."""

import contextlib
import hashlib
import json
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import gen_batches

from skmpcc.data.sliced import Rows, in_batches
from skmpcc.fitted import saving
from skmpcc.system.files import write_atomically
from skmpcc.system.progress import State
from skmpcc.system.versions import installed_versions

# Least time between two writings, and the largest share of the time that they take.
SECONDS = 10.0
SHARE = 0.02
# Rows that are read at a time, and differences that an error names.
CHUNK = 8192
N_NAMED = 5


class Checkpoint:
    """A `Progress` in a file, written at intervals of time and read when it is made.

    The file holds results of what is finished, and the state of what was running. It is one of
    `saving`, with nothing in it that could be run.

    Parameters
    ----------
    path : str or path-like
    arguments : mapping
        What the work is made by: numbers, text, arrays, and dataclasses, lists or mappings of them. A
        file of other arguments, or by other versions of packages, is an error.
    notes : list, optional
        Numbers and text to keep as well.

    Attributes
    ----------
    notes : list
        Those of the file if there is one, otherwise as given.
    finished : list of dict
        What `finish` was called with, in this process and before.

    Raises
    ------
    ValueError
        The file is of other work, is damaged, or is not a checkpoint.
    """

    def __init__(
        self, path: str | os.PathLike[str], arguments: Mapping[str, Any], notes: list[Any] | None = None
    ) -> None:
        self.path = Path(os.path.realpath(path))
        # Always the same, so that what a killed process left of it is written over.
        self._unfinished = self.path.with_name(f".{self.path.name}.part")
        arguments = {**arguments, **installed_versions()}
        # As they are after a file: tuples are lists.
        self._arguments = json.loads(json.dumps(dict(_fingerprint(arguments))))
        self.notes = [] if notes is None else notes
        self.finished: list[State] = []
        self._running: State | None = None
        self._has_failed = False
        self._due = time.monotonic() + SECONDS
        if os.path.exists(self.path):
            self._read()

    def _read(self) -> None:
        again = "To start again, give another path or delete the file"
        with saving.as_value_error(
            f"checkpoint={str(self.path)!r} is damaged or is not a checkpoint. {again}"
        ):
            try:
                header, tensors = saving.read(str(self.path))
            except OSError as error:  # a folder, for one
                raise ValueError(str(error)) from error
            if "checkpoint" not in header:
                raise ValueError("it holds an estimator.")
            before, now = header["arguments"], self._arguments
            if before == now:
                content = saving.Reader(tensors).entries(header["checkpoint"])
                self.notes, self.finished = content["notes"], content["finished"]
                self._running = content["running"]
                return
        differ = [
            f"{name} was {_short(before, name)} and is {_short(now, name)}"
            for name in dict.fromkeys([*now, *before])
            if (name in before, before.get(name)) != (name in now, now.get(name))
        ]
        more = f" and {len(differ) - N_NAMED} more" if len(differ) > N_NAMED else ""
        raise ValueError(
            f"checkpoint={str(self.path)!r} is of another fit: {', '.join(differ[:N_NAMED])}{more}. A "
            f"fit goes on from it with the same data and parameters only. {again}."
        )

    # ---- Progress

    def read(self, stage: str) -> State | None:
        """Return the state that a stage goes on from; None if it begins."""
        running = self._running
        return running["state"] if running is not None and running["stage"] == stage else None

    def keep(self, stage: str, state: Callable[[], State], *, at_once: bool = False) -> None:
        """Write what `state` makes, if the last time was long enough ago or it has to be now."""
        if at_once or time.monotonic() >= self._due:
            self._write({"stage": stage, "state": state()})

    # ---- Between pieces of work, and at the end

    def finish(self, result: State) -> None:
        """Write the result of what was running."""
        self.finished.append(result)
        self._write(None)

    def write_soon(self) -> None:
        """Let the next `keep` write."""
        self._due = -np.inf

    def remove(self) -> None:
        """Remove the file, after which the work would start again."""
        with self._warning("removed"):
            self.path.unlink(missing_ok=True)
            self._unfinished.unlink(missing_ok=True)

    def _write(self, running: State | None) -> None:
        # What was read has served.
        self._running = None
        began = time.monotonic()
        writer = saving.Writer()
        content = {"notes": self.notes, "finished": self.finished, "running": running}
        header = {"arguments": self._arguments, "checkpoint": writer.entries(content, "checkpoint")}
        with self._warning("written"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path, saving.to_bytes(header, writer.tensors), self._unfinished)
        ended = time.monotonic()
        self._due = ended + max(SECONDS, (ended - began) / SHARE)

    @contextlib.contextmanager
    def _warning(self, done: str) -> Iterator[None]:
        """Context manager that makes an error of the file system a warning, once."""
        try:
            yield
        except OSError as error:
            if not self._has_failed:
                self._has_failed = True
                warnings.warn(
                    f"checkpoint={str(self.path)!r} could not be {done}: {error}. The fit goes on.",
                    RuntimeWarning,
                    stacklevel=2,
                )


def _fingerprint(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Tell values as JSON can: entries of mappings by names of their own, arrays by a checksum."""
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, np.generic):
            value = value.item()
        if is_dataclass(value):
            value = {field.name: getattr(value, field.name) for field in fields(value)}
        if isinstance(value, Mapping):
            yield from _fingerprint(value, f"{name}.")
        elif isinstance(value, list | tuple):
            yield name, [each for _, each in _fingerprint({str(i): v for i, v in enumerate(value)})]
        elif hasattr(value, "__array__"):
            yield name, checksum(np.atleast_1d(np.asarray(value)))
        else:
            plain = value is None or isinstance(value, bool | int | float | str)
            yield name, value if plain else str(value)


def checksum(array: Rows) -> str:
    """Tell an array from others, in words."""
    digest = hashlib.sha256()
    for rows in in_batches(array, gen_batches(len(array), CHUNK)):
        part = np.ascontiguousarray(rows)
        # An array of objects holds their places in memory.
        digest.update(repr(part.tolist()).encode() if part.dtype == object else part.tobytes())
    return f"{array.dtype} of shape {array.shape} with SHA-256 {digest.hexdigest()[:16]}"


def _short(values: Mapping[str, Any], name: str) -> str:
    text = repr(values[name]) if name in values else "not given"
    return text if len(text) <= 100 else f"{text[:97]}..."
