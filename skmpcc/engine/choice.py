"""The choice among the forms of Algorithm 1."""

from functools import partial
from typing import Any

import torch

from skmpcc.engine.cuda_graph import CapturedAlgorithm1
from skmpcc.engine.distributed import DistributedAlgorithm1
from skmpcc.engine.fast import FastAlgorithm1
from skmpcc.settings import ResolvedSettings
from skmpcc.system.processes import Processes


def algorithm_of(device: torch.device, settings: ResolvedSettings, processes: Processes) -> Any:
    """Return the fastest form for a device, or that for several processes, to be called as a class."""
    if processes.size > 1:
        return partial(DistributedAlgorithm1, processes=processes)
    recorded = device.type == "cuda" and settings.cuda_graphs
    return CapturedAlgorithm1 if recorded else FastAlgorithm1
