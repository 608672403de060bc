"""Milliseconds of an iteration, the plain loop and the fast engine in one run, and of inference.

python benchmarks/speed.py                                # every case on every device present
python benchmarks/speed.py --cases vectors mnist --threads 2 --output results/speed.jsonl
python benchmarks/speed.py --growth                       # by the number of samples and of clusters
python benchmarks/speed.py --load                         # whole fits, also beside a busy process

An iteration is what a fit runs, with a fit's threads and precision: with pseudo-labels (random ones) and
consistency where the preset has them. Both engines are timed in turns after a warm-up, and medians are
reported. Operations are counted (products and convolutions, forwards and backwards) and set against the
rate at which the same machine, with the same threads, multiplies square matrices.
"""

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import load
import numpy as np
import torch
from common import machine
from torch.utils.flop_counter import FlopCounterMode

from skmpcc import MPCCClusterer
from skmpcc.engine.cuda_graph import WARM_UP, CapturedAlgorithm1
from skmpcc.engine.fast import FastAlgorithm1
from skmpcc.method.algorithm import Algorithm1
from skmpcc.method.model import MPCCModel
from skmpcc.presets import PRESETS, Preset
from skmpcc.pseudo_labels.graph import NeighborGraph
from skmpcc.settings import NetworkSettings, TrainingSettings, select
from skmpcc.training.batches import BatchSampler
from skmpcc.training.loop import Engine, execution
from skmpcc.training.resolution import resolve

SQUARE = 1024
PRODUCTS = ("aten::mm", "aten::addmm", "aten::addmm_", "aten::bmm", "aten::mkldnn_convolution",
            "aten::convolution_backward")  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A preset at a size of data."""

    preset: str
    shape: tuple[int, ...]
    n_samples: int
    n_clusters: int = 10


CASES = {
    "vectors": Case("vectors", (64,), 1797),
    "vectors_small": Case("vectors_small", (13,), 178, 3),
    "8x8": Case("grey_tiny", (1, 8, 8), 1797),
    "mnist": Case("mnist", (1, 32, 32), 2000),
    "fashion_mnist": Case("fashion_mnist", (1, 32, 32), 2000),
    "cifar10": Case("cifar10", (3, 32, 32), 500),
}


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(function: Callable[[], Any], device: torch.device) -> float:
    _wait(device)
    start = time.perf_counter()
    function()
    _wait(device)
    return time.perf_counter() - start


def product_rate(device: torch.device) -> float:
    """FLOP/s of square matrix products in single precision."""
    a, b = torch.randn(2, SQUARE, SQUARE, device=device)
    out = torch.empty_like(a)
    times = [seconds(lambda: torch.mm(a, b, out=out), device) for _ in range(30)]
    return 2 * SQUARE**3 / statistics.median(times[10:])


def training(
    engine: Engine,
    preset: Preset,
    data: torch.Tensor,
    n_clusters: int,
    rows: slice = slice(None),
) -> Callable[[], Any]:
    """Make the iteration of a new training on the data, which lie on the device, with random labels.

    Of each batch it is given `rows`.
    """
    device = data.device
    rng = torch.Generator(device).manual_seed(0)
    labels = None
    if preset.pseudo_labels is not None:
        labels = torch.randint(n_clusters, (len(data),), generator=rng, device=device)
    settings = resolve(select(preset, TrainingSettings), data, n_clusters, labels)
    model = MPCCModel(select(preset, NetworkSettings), tuple(data.shape[1:]), n_clusters, 0).to(device)
    algorithm = engine(model, settings, rng)
    graph = None
    if settings.consistency_weight and settings.consistency == "neighbors":
        nearest = torch.randint(len(data), (len(data), 15), generator=rng, device=device)
        graph = NeighborGraph(
            torch.arange(len(data), device=device), nearest, torch.ones(nearest.shape, device=device)
        )
    batches = BatchSampler(
        device,
        settings.batch_size,
        data,
        labels,
        graph,
        seed=0,
        augmentation=bool(settings.consistency_weight) and settings.consistency == "augmentation",
        rows=rows,
    )

    def step() -> Any:
        with execution(model, algorithm.settings):
            # As in a fit but for the entries of its history.
            return algorithm.iteration(batches.draw_real, batches.draw_pairs, wants_losses=False)

    return step


def random_data(shape: tuple[int, ...], n_samples: int, device: torch.device) -> torch.Tensor:
    rng = torch.Generator(device).manual_seed(0)
    return torch.rand((n_samples, *shape), generator=rng, device=device) * 2 - 1


def iteration(engine: type[Algorithm1], case: Case, device: torch.device) -> Callable[[], Any]:
    """Make the iteration of a case."""
    data = random_data(case.shape, case.n_samples, device)
    return training(engine, PRESETS[case.preset], data, case.n_clusters)


def growth(device: torch.device, budget: float) -> dict[str, dict[int, float]]:
    """Median milliseconds of the fast engine by n_samples and by n_clusters, `vectors` preset."""
    engine = CapturedAlgorithm1 if device.type == "cuda" else FastAlgorithm1

    def milliseconds(n_samples: int, n_clusters: int) -> float:
        data = random_data((64,), n_samples, device)
        step = training(engine, PRESETS["vectors"], data, n_clusters)
        times: list[float] = []
        while len(times) < 10 or sum(times) < budget:
            times.append(seconds(step, device))
        return 1e3 * statistics.median(times[5:])

    return {
        "n_samples": {n: milliseconds(n, 10) for n in (1_000, 10_000, 100_000, 1_000_000)},
        "n_clusters": {k: milliseconds(10_000, k) for k in (10, 100, 1_000)},
    }


def flops(step: Callable[[], Any]) -> int:
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def profiled(step: Callable[[], Any], times: int = 20) -> dict[str, float]:
    """Operations of PyTorch in an iteration, nested ones too, and milliseconds of its products.

    The latter over those of the iteration are the share of the rate of products of its sizes that the
    iteration reaches. Of a CPU.
    """
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        for _ in range(times):
            step()
    events = [event for event in profile.key_averages() if event.key.startswith("aten::")]
    products = sum(event.self_cpu_time_total for event in events if event.key in PRODUCTS)
    return {
        "operations": sum(event.count for event in events) / times,
        "products ms": products / times / 1e3,
    }


def time_engines(case: Case, device: torch.device, budget: float) -> dict[str, float]:
    """Median milliseconds of both engines, in turns, for about `budget` seconds.

    On CUDA the fast one is that of captured graphs; its operations are counted without.
    """
    fastest = CapturedAlgorithm1 if device.type == "cuda" else FastAlgorithm1
    engines = {"plain": Algorithm1, "fast": fastest}
    steps = {name: iteration(engine, case, device) for name, engine in engines.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        for _ in range(WARM_UP + 1 if device.type == "cuda" else 1):
            seconds(step, device)
    slow = sum(seconds(step, device) for step in steps.values())
    for _ in range(max(2, min(200, int(budget / slow)))):
        for name, step in steps.items():
            times[name].append(seconds(step, device))
    row = {f"{name} ms": 1e3 * statistics.median(values) for name, values in times.items()}
    row["ratio"] = row["plain ms"] / row["fast ms"]
    row["GFLOP"] = flops(iteration(FastAlgorithm1, case, device)) / 1e9
    row["GFLOP/s"] = row["GFLOP"] / row["fast ms"] * 1e3
    if device.type == "cpu":
        row |= profiled(steps["fast"])
        row["of products' rate"] = row["products ms"] / row["fast ms"]
    return row


def time_inference(case: Case, device: torch.device, n_samples: int) -> dict[str, float]:
    """Samples per second of predict and transform, and peak memory before and after."""
    shape = case.shape if len(case.shape) == 1 else case.shape[1:] + case.shape[:1]
    X = np.random.default_rng(0).random((n_samples, *shape)).astype(np.float32)
    clusterer = MPCCClusterer(
        case.n_clusters,
        preset=case.preset,
        max_iter=1,
        pseudo_labels=None,
        preset_params={"consistency_weight": 0.0},
        device=device,
        random_state=0,
    )
    clusterer.fit(X[: min(500, n_samples)])
    row = {"peak MiB before": _peak()}
    for name in ("predict", "transform"):
        method = getattr(clusterer, name)
        method(X[:100])
        row[f"{name} /s"] = n_samples / seconds(lambda method=method: method(X), device)
    row["peak MiB after"] = _peak()
    if device.type == "cuda":
        row["peak CUDA MiB"] = torch.cuda.max_memory_allocated(device) / 2**20
    return row


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--devices", nargs="+", default=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, help="of torch")
    parser.add_argument("--budget", type=float, default=20.0, help="seconds for timing each case")
    parser.add_argument("--samples", type=int, default=5000, help="to predict")
    parser.add_argument("--no-inference", action="store_true")
    parser.add_argument("--growth", action="store_true", help="this table alone")
    parser.add_argument("--load", action="store_true", help="time whole fits, and nothing else")
    parser.add_argument("--fits", nargs="+", default=load.FITS, metavar="NAME or FILE.npz")
    parser.add_argument("--conditions", nargs="+", choices=load.CONDITIONS, default=load.CONDITIONS)
    parser.add_argument("--repeats", type=int, default=3, help="fits of each data set, by other seeds")
    parser.add_argument("--mnist", type=Path, help="an .npz file with X and y")
    parser.add_argument("--fashion", type=Path, help="likewise")
    parser.add_argument("--output", type=Path, help="a file of JSON lines, which is added to")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    described = machine()
    print(described)

    def keep(row: dict[str, Any]) -> None:
        if options.output:
            options.output.parent.mkdir(parents=True, exist_ok=True)
            with options.output.open("a") as file:
                file.write(json.dumps(row | {"machine": described}) + "\n")

    if options.load:
        files = {"mnist": options.mnist, "fashion": options.fashion}
        for row in load.measure(options.fits, options.conditions, options.repeats, files):
            keep(row)
            seconds_of_fits = ", ".join(f"{value:.2f}" for value in row["seconds"])
            found = f"ARI {row['ari'][0]:.3f}, {row['n_iter'][0]} iterations, {row['peak MiB']:.0f} MiB"
            print(f"{row['data']}, {row['condition']}: {seconds_of_fits} s; {found}", flush=True)
        return

    for name in options.devices:
        if name.startswith("cuda") and not torch.cuda.is_available():
            continue
        device = torch.device(name)
        rate = product_rate(device)
        print(f"\n{name}: {rate / 1e9:.0f} GFLOP/s in matrix products")
        if options.growth:
            for axis, column in growth(device, options.budget / 7).items():
                print(f"{axis}: " + ", ".join(f"{k}: {ms:.3g} ms" for k, ms in column.items()))
                for value, ms in column.items():
                    keep({"kind": "growth", "device": name, "axis": axis, "value": value, "ms": ms})
        for key in [] if options.growth else options.cases:
            row = time_engines(CASES[key], device, options.budget)
            row["share"] = row["GFLOP/s"] * 1e9 / rate
            if not options.no_inference:
                row |= time_inference(CASES[key], device, options.samples)
            keep({"kind": "speed", "device": name, "case": key, "product GFLOP/s": rate / 1e9} | row)
            print(f"{key}: " + ", ".join(f"{k} {v:.3g}" for k, v in row.items()), flush=True)


if __name__ == "__main__":
    main()
