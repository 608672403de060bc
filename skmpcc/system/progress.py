"""Progress of long work, kept so that the work can go on after an interruption."""

from collections.abc import Callable
from typing import Any, Protocol

# Tensors, numbers, text and None, and lists or dicts of them.
State = dict[str, Any]


class Progress(Protocol):
    """Keeps the state of work in stages, which goes on from it after an interruption."""

    def read(self, stage: str) -> State | None:
        """Return the state that a stage goes on from; None if it starts from the beginning."""

    def keep(self, stage: str, state: Callable[[], State], *, at_once: bool = False) -> None:
        """Keep what `state` makes, if the last time was long enough ago or it has to be now.

        Called where a stage can go on from, however often.
        """
