"""The choice among the forms of an algorithm."""

from functools import partial
from typing import Any

import torch

from skmpcc.engine.cuda_graph import CapturedAlgorithm1
from skmpcc.engine.distributed import DistributedAlgorithm1, DistributedVariational
from skmpcc.engine.fast import FastAlgorithm1
from skmpcc.method.variational import VariationalTraining
from skmpcc.settings import LoopSettingsOnData, ResolvedSettings, VariationalSettingsOnData
from skmpcc.system.processes import Processes


def algorithm_of(device: torch.device, settings: LoopSettingsOnData, processes: Processes) -> Any:
    """Return the fastest form for a device, or that for several processes, to be called as a class.

    Raises
    ------
    TypeError
        The settings are of no algorithm that has several forms.
    """
    together = processes.size > 1
    if isinstance(settings, VariationalSettingsOnData):
        if together:
            return partial(DistributedVariational, processes=processes)
        return VariationalTraining
    if not isinstance(settings, ResolvedSettings):
        raise TypeError(f"An engine is missing: there is none by default for {type(settings).__name__}.")
    if together:
        return partial(DistributedAlgorithm1, processes=processes)
    recorded = device.type == "cuda" and settings.cuda_graphs
    return CapturedAlgorithm1 if recorded else FastAlgorithm1
