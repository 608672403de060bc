"""First steps of a fit: find the processes that fit together, and open the checkpoint."""

from typing import Any

import numpy as np

from skmpcc.data.inputs import as_array
from skmpcc.data.sliced import SlicedArray
from skmpcc.system.devices import resolve_device
from skmpcc.system.processes import Processes
from skmpcc.training.checkpoint import Checkpoint, checksum

MAX_SEED = np.iinfo(np.int32).max
# Parameters that a fit may go on by other values of.
_IGNORED_PARAMETERS = ("checkpoint", "distributed", "n_jobs", "verbose")


def begin(estimator: Any, **data: Any) -> tuple[Processes, Checkpoint | None]:
    """Find the processes that fit together, and open the checkpoint of a fit of `estimator` on data.

    Of several processes the first one opens it. All are given its seed.

    Raises
    ------
    ValueError
        A file is there that this fit cannot go on from, or the processes cannot fit together.
    """
    together = Processes.join(estimator.distributed, resolve_device(estimator.device))
    if together.size == 1:
        return together, open_checkpoint(estimator, **data)
    opened: list[Checkpoint | None] = []

    def open_first() -> Any:
        opened.append(open_checkpoint(estimator, **data))
        seed = estimator.random_state
        return int(np.random.RandomState().randint(MAX_SEED)) if seed is None else seed

    estimator.random_state = together.run_on_first(open_first)
    return together, opened[0] if together.is_first else None


def open_checkpoint(estimator: Any, **data: Any) -> Checkpoint | None:
    """Open the checkpoint of a fit of `estimator` on data, if there is to be one.

    An estimator without a `random_state` is given the seed that the checkpoint was begun with.

    Raises
    ------
    ValueError
        A file is there that this fit cannot go on from.
    """
    if estimator.checkpoint is None:
        return None
    arguments = {"estimator": type(estimator).__name__} | estimator.get_params(deep=False)
    for name in _IGNORED_PARAMETERS:
        arguments.pop(name, None)
    arguments["device"] = resolve_device(estimator.device).type
    if isinstance(estimator.random_state, np.random.RandomState):
        arguments["random_state"] = estimator.random_state.get_state(legacy=False)
    if arguments.get("warm_start") and hasattr(estimator, "_fitted"):
        arguments["warm_start"] = estimator._fitted.model.own_state()
    for name, value in data.items():
        if isinstance(value, SlicedArray):
            data[name] = checksum(value)
        elif value is not None:
            data[name] = np.asarray(as_array(value))
    seed = int(np.random.RandomState().randint(MAX_SEED))
    checkpoint = Checkpoint(estimator.checkpoint, arguments | data, [seed])
    if estimator.random_state is None:
        (estimator.random_state,) = checkpoint.notes
    return checkpoint
