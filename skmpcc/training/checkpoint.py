"""A file that a training is kept in."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch


@dataclass
class Checkpoint:
    """A file that a training is kept in, and goes on from where it exists.

    A training that goes on equals the unbroken one, bit for bit where operations are deterministic, as
    on a CPU.

    Attributes
    ----------
    path : Path
    seconds : float
        Least time between two writings, which come at entries of the history, and at the end.
    arguments : mapping of str to str, int, float, bool or None
        What the training is made by. A file of other arguments is an error.
    """

    path: Path
    seconds: float = 60.0
    arguments: Mapping[str, Any] = field(default_factory=dict)
    _written: float = field(default_factory=time.monotonic, init=False)

    @property
    def is_due(self) -> bool:
        """Whether the last writing was long enough ago."""
        return time.monotonic() - self._written > self.seconds

    def read(self) -> dict[str, Any] | None:
        """Return what the file holds, with tensors on the CPU; None without a file.

        Raises
        ------
        ValueError
            The file is of a training by other arguments; the message says by which.
        """
        self._written = time.monotonic()
        if not self.path.exists():
            return None
        saved = torch.load(self.path, map_location="cpu", weights_only=True)
        before, now = saved.pop("arguments"), dict(self.arguments)
        differ = [
            f"{name} was {before.get(name)!r} and is {now.get(name)!r}"
            for name in sorted(before | now)
            if before.get(name) != now.get(name)
        ]
        if differ:
            raise ValueError(f"{self.path} holds another training: {', '.join(differ)}.")
        return saved

    def write(self, content: dict[str, Any]) -> None:
        """Write tensors, numbers, text and lists or dicts of them.

        If it is interrupted, the last file stays.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.path.with_suffix(".part")
        torch.save({"arguments": dict(self.arguments)} | content, unfinished)
        unfinished.replace(self.path)
        self._written = time.monotonic()
