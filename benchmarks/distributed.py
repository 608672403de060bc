"""Two processes of one thread each beside one process of two: milliseconds of an iteration.

torchrun --nproc-per-node=2 benchmarks/distributed.py --output results/distributed.jsonl
torchrun --nproc-per-node=2 benchmarks/distributed.py --widths 384 1024 --batches 128 1024
python benchmarks/distributed.py --predict --cases vectors mnist cifar10 --batches 64 512 4096

Three ways to run iterations take turns: one process with the threads that a fit would take, of two; one
process with two threads in any case; and the processes together. Set OMP_NUM_THREADS=2, which torchrun
makes 1. With --predict messages, their bytes, operations and products are counted, and times of several
GPUs follow from them and from assumptions, see `predicted`.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from common import machine
from speed import CASES, Case, flops, random_data, training
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from skmpcc.engine.distributed import DistributedAlgorithm1
from skmpcc.engine.fast import FastAlgorithm1
from skmpcc.presets import PRESETS, Preset
from skmpcc.system.processes import Processes
from skmpcc.training import loop

# An H100, as it is assumed: FLOP/s of bfloat16 or TF32 in such layers; seconds that it takes to launch
# an operation, and to run a small one in a CUDA graph.
RATE, LAUNCH, REPLAY = 1e14, 6e-6, 2e-6
# Seconds of a message, and bytes per second of each: of eight with NVLink, and of more, in machines of
# eight with 400 Gbit/s for each.
LINKS = {8: (2e-5, 3e11), 64: (5e-5, 4e10)}


# Seconds of a turn.
TURN = 0.5


class Launches(TorchDispatchMode):
    """Counts the operations that a GPU would have to be told of."""

    def __init__(self) -> None:
        super().__init__()
        self.n = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.n += not function.is_view
        return function(*args, **(kwargs or {}))


@dataclass(frozen=True)
class Pretending(Processes):
    """Two processes, of which there is one, that count the bytes of their messages."""

    messages: list[int] = field(default_factory=list)

    def broadcast_(self, tensors: list[Tensor]) -> None: ...

    def all_reduce(self, *tensors: Tensor) -> None:
        self.messages.extend(tensor.nbytes for tensor in tensors)

    def gather(self, tensor: Tensor) -> Tensor:
        self.messages.append(tensor.nbytes)
        return torch.stack([tensor] * self.size)


def count(case: Case, preset: Preset) -> dict[str, float]:
    """Count messages and operations of an iteration of two processes, and products for a sample."""
    processes = Pretending(0, 2)
    # Messages and their bytes are those of any batch; products are in proportion to it.
    few = replace(preset, batch_size=4)
    engine = partial(DistributedAlgorithm1, processes=processes)
    data = random_data(case.shape, case.n_samples, processes.device)
    step = training(engine, few, data, case.n_clusters, processes.share(4).rows)
    step()
    processes.messages.clear()
    with Launches() as launches:
        step()
    row = {"messages": len(processes.messages), "MB": sum(processes.messages) / 1e6}
    return row | {"launches": launches.n, "GFLOP of a sample": flops(step) / 2e9}


def predicted(counted: dict[str, float], batch: int, n_gpus: int) -> float:
    """Milliseconds of an iteration: of one GPU by a CUDA graph, of several without.

    Launches and products run at the same time. A sum over W processes sends 2 (W - 1) / W of its bytes.
    """
    products = counted["GFLOP of a sample"] * 1e9 * batch / n_gpus / RATE
    seconds = products + counted["launches"] * REPLAY
    if n_gpus > 1:
        latency, bandwidth = LINKS[n_gpus]
        seconds = max(seconds, counted["launches"] * LAUNCH) + counted["messages"] * latency
        seconds += 2 * (n_gpus - 1) / n_gpus * counted["MB"] * 1e6 / bandwidth
    return 1e3 * seconds


def measure(case: Case, preset: Preset, processes: Processes, budget: float) -> dict[str, Any] | None:
    """Time the ways in turns; the row of the first process."""
    data = random_data(case.shape, case.n_samples, processes.device)
    share = processes.share(preset.batch_size)
    together = training(
        partial(DistributedAlgorithm1, processes=processes), preset, data, case.n_clusters, share.rows
    )
    alone = training(FastAlgorithm1, preset, data, case.n_clusters)

    def of_two() -> Any:
        before, loop.threads_for = loop.threads_for, lambda flops: 2
        try:
            return alone()
        finally:
            loop.threads_for = before

    # Threads, the iteration, and whether all processes take part.
    ways: dict[str, tuple[int, Callable[[], Any], bool]] = {
        "alone": (2, alone, False),
        "two threads": (2, of_two, False),
        "together": (1, together, True),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    used: dict[str, list[float]] = {name: [] for name in ways}

    def turn(name: str, n_threads: int, step: Callable[[], Any], n: int) -> None:
        torch.set_num_threads(n_threads)
        # Each begins with the other's data in the processor's caches.
        step()
        start, start_used = time.perf_counter(), time.process_time()
        for _ in range(n):
            step()
        times[name].append((time.perf_counter() - start) / n)
        used[name].append((time.process_time() - start_used) / n)

    end = time.perf_counter() + budget

    def length() -> int:
        """Iterations of the next turns; 0 after the last ones."""
        if len(times["together"]) > 5 and time.perf_counter() > end:
            return 0
        return max(1, round(TURN / times["together"][-1])) if times["together"] else 1

    while n := processes.run_on_first(length):
        for name, (n_threads, step, by_all) in ways.items():
            processes.run_on_first(lambda: None)
            if by_all or processes.is_first:
                turn(name, n_threads, step, n)
    if not processes.is_first:
        return None
    row: dict[str, Any] = {
        f"{name} ms": 1e3 * statistics.median(values[1:]) for name, values in times.items()
    }
    # Beside other busy processes, the time on a processor says more.
    row |= {f"{name} CPU ms": 1e3 * statistics.median(values[1:]) for name, values in used.items()}
    fastest = min(row["alone ms"], row["two threads ms"])
    row["ratio"] = fastest / row["together ms"]
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", nargs="+", choices=CASES, default=["vectors", "8x8"])
    parser.add_argument("--widths", nargs="+", type=int, help="instead of the preset's")
    parser.add_argument("--batches", nargs="+", type=int, help="instead of the preset's")
    parser.add_argument("--budget", type=float, default=20.0, help="seconds for timing each row")
    parser.add_argument("--predict", action="store_true", help="count, and predict times of GPUs")
    parser.add_argument("--output", type=Path, help="a file of JSON lines, which is added to")
    options = parser.parse_args()
    processes = Processes.join("auto", torch.device("cpu"))
    if (processes.size == 1) != options.predict:
        parser.error("launch it by torchrun --nproc-per-node=2, or with --predict by python")

    def keep(row: dict[str, Any]) -> None:
        print(", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))
        if options.output:
            options.output.parent.mkdir(parents=True, exist_ok=True)
            with options.output.open("a") as file:
                file.write(json.dumps(row | {"machine": machine()}) + "\n")

    for key in options.cases:
        case = CASES[key]
        of_case = PRESETS[case.preset]
        for width in options.widths or [of_case.width]:
            counted = count(case, replace(of_case, width=width)) if options.predict else {}
            for n in options.batches or [of_case.batch_size]:
                row: dict[str, Any] = {"case": key, "width": width, "batch": n}
                if options.predict:
                    times = {f"{w} GPUs ms": predicted(counted, n, w) for w in (1, *LINKS)}
                    keep({"kind": "predicted"} | row | counted | times)
                    continue
                preset = replace(of_case, width=width, batch_size=n)
                sized = replace(case, n_samples=max(case.n_samples, n))
                timed = measure(sized, preset, processes, options.budget)
                if timed is not None:
                    keep({"kind": "distributed"} | row | timed)


if __name__ == "__main__":
    main()
