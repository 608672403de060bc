"""A file that a training is kept in."""

import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

from skmpcc.method.algorithm import Algorithm1


@dataclass
class Checkpoint:
    """A file that a training is kept in, and goes on from where it exists.

    Not kept are the order of batches (a training that goes on begins a new epoch), rates that a
    rollback lowered, and the counts of `TrainingHealth`.

    Attributes
    ----------
    path : Path
    seconds : float
        Least time between two writings, which come at entries of the history, and at the end.
    """

    path: Path
    seconds: float = 60.0
    _saved: float = field(default_factory=time.monotonic, init=False)

    def load(self, algorithm: Algorithm1) -> dict[str, list[float]]:
        """Restore the algorithm if the file exists, and return the history so far."""
        self._saved = time.monotonic()
        if not self.path.exists():
            return {}
        saved = torch.load(self.path, map_location="cpu", weights_only=True)
        algorithm.load(saved["algorithm"])
        return saved["history"]

    def save(self, algorithm: Algorithm1, history: dict[str, list[float]], *, now: bool = True) -> None:
        """Write the file if `now` or if it is time; an interruption meanwhile leaves the last one."""
        if not now and time.monotonic() - self._saved <= self.seconds:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.path.with_suffix(".part")
        torch.save({"algorithm": algorithm.state(), "history": dict(history)}, unfinished)
        unfinished.replace(self.path)
        self._saved = time.monotonic()
