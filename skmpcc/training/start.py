"""First steps of a fit: find the processes that fit together, and open the checkpoint."""

from typing import Any

import numpy as np

from skmpcc.data.inputs import as_array
from skmpcc.data.sliced import SlicedArray
from skmpcc.system.devices import resolve_device
from skmpcc.system.processes import ALONE, Processes
from skmpcc.training.checkpoint import Checkpoint, checksum

MAX_SEED = np.iinfo(np.int32).max
# Parameters that a fit may go on by other values of.
_IGNORED_PARAMETERS = ("checkpoint", "distributed", "n_jobs", "verbose")


def join_processes(estimator: Any) -> Processes:
    """Find the processes that fit `estimator` together, and the device of each.

    Raises
    ------
    ValueError
        They cannot fit together.
    """
    return Processes.join(estimator.distributed, resolve_device(estimator.device))


def open_checkpoint(estimator: Any, processes: Processes = ALONE, **data: Any) -> Checkpoint | None:
    """Open the checkpoint of a fit of `estimator` on data, if there is to be one.

    Of several processes the first one opens it. An estimator without a `random_state` is given the seed
    that the checkpoint was started with, and all processes are given that of the first.

    Raises
    ------
    ValueError
        A file is there that this fit cannot go on from.
    """
    if processes.size == 1:
        return _open(estimator, data)
    opened: list[Checkpoint | None] = []

    def open_on_first() -> Any:
        opened.append(_open(estimator, data))
        seed = estimator.random_state
        return int(np.random.RandomState().randint(MAX_SEED)) if seed is None else seed

    estimator.random_state = processes.run_on_first(open_on_first)
    return opened[0] if processes.is_first else None


def _open(estimator: Any, data: dict[str, Any]) -> Checkpoint | None:
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
