"""The paper's protocol: a preset of its own on its data set, and what comes out.

python benchmarks/paper.py --data mnist.npz --preset mnist --checkpoint results/mnist.pt
python benchmarks/paper.py --data mnist.npz --preset mnist --checkpoint results/mnist.pt --minutes 9

The file has arrays X and y. A training takes many hours on a CPU, and minutes on a GPU. With --minutes
it stops after that time, and the same command goes on from the checkpoint as if it had not stopped; by
other data or settings it refuses to. At its end it writes, beside the checkpoint, scores on all samples
as JSON and a picture with a row of new samples from each cluster (with matplotlib). With --output each
run adds a line of JSON, with scores at the end. Everything goes through the estimator's own steps,
pseudo-labels included where the preset has them. Labels are used for the scores alone.
"""

import argparse
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import machine
from numpy.typing import NDArray

from skmpcc import MPCCClusterer
from skmpcc.metrics import clustering_scores
from skmpcc.presets import PRESETS
from skmpcc.training.checkpoint import Checkpoint

N_COLUMNS = 16


def picture(clusterer: MPCCClusterer, path: Path) -> None:
    """Draw a row of new samples from each cluster."""
    try:
        from matplotlib.image import imsave
    except ImportError:
        print("no picture without matplotlib")
        return
    rows = [clusterer.sample(N_COLUMNS, cluster=k)[0] for k in range(clusterer.n_clusters)]
    sheet = np.concatenate([np.concatenate(list(images), axis=1) for images in rows], axis=0)
    imsave(path, np.clip(sheet, 0, 255).astype(np.uint8), cmap="gray")


def keep(row: dict[str, Any], path: Path | None) -> None:
    """Add a line of JSON to a file."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(json.dumps(row) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="an .npz file with X and y")
    parser.add_argument("--preset", choices=PRESETS, default="mnist")
    parser.add_argument("--checkpoint", type=Path, required=True, help="a .pt file")
    parser.add_argument("--output", type=Path, help="a file of JSON lines, which is added to")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="of training in this run")
    parser.add_argument("--limit", type=int, help="use the first so many samples")
    parser.add_argument("--max-iter", type=int, help="instead of the preset's")
    parser.add_argument("--precision", help="instead of the preset's")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    with np.load(options.data) as file:
        X, y = file["X"][: options.limit], file["y"][: options.limit]
    clusterer = MPCCClusterer(
        len(np.unique(y)),
        preset=options.preset,
        preset_params={"precision": options.precision} if options.precision else None,
        max_iter=options.max_iter,
        device=options.device,
        random_state=options.seed,
    )
    prepared = clusterer._prepare(X, {"n_features_in_": X[0].size})
    initialization, seeds = next(prepared.initializations()), prepared.seeds[0]
    max_iter = prepared.preset.max_iter

    started = time.monotonic()
    seen: list[tuple[float, float]] = []

    def on_interval(history: dict[str, NDArray], last: bool) -> bool:
        lapse = time.monotonic() - started
        seen.append((history["iteration"][-1], lapse))
        latest = ", ".join(f"{name} {values[-1]:.4g}" for name, values in history.items())
        print(f"{lapse:.0f} s: {latest}", flush=True)
        return lapse > 60 * options.minutes

    arguments = {
        "preset": options.preset,
        "precision": prepared.preset.precision,
        "max_iter": max_iter,
        "seed": options.seed,
        "samples": len(X),
        "data": hashlib.sha256(np.ascontiguousarray(X)).hexdigest()[:16],
    }
    checkpoint = Checkpoint(options.checkpoint, arguments=arguments)
    try:
        checkpoint.read()
    except ValueError as error:
        raise SystemExit(str(error)) from error
    trained = initialization.run(on_interval, checkpoint)
    outcome = trained.outcome
    done = int(outcome.history["iteration"][-1])
    device = prepared.device
    report = {
        "kind": "paper",
        **arguments,
        "iterations": done,
        "failure": outcome.failure,
        "seconds": time.monotonic() - started,
        "ms": None,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "machine": machine(),
        "scores": None,
    }
    if len(seen) > 1:
        (first, began), (last, ended) = seen[0], seen[-1]
        report["ms"] = 1e3 * (ended - began) / (last - first)
        print(f"{report['ms']:.2f} ms an iteration")
    if outcome.failure:
        print(f"ended early: {outcome.failure}")
    elif outcome.stopped and done < max_iter:
        print(f"{done} of {max_iter} iterations; the same command goes on from here")
        keep(report, options.output)
        return
    vars(clusterer).update(prepared.attributes(prepared.candidate(trained, seeds)))
    scores = clustering_scores(y, clusterer.labels_)
    report["scores"] = scores
    keep(report, options.output)
    print(", ".join(f"{name} {value:.4f}" for name, value in scores.items()))
    options.checkpoint.with_suffix(".json").write_text(json.dumps(report, indent=1))
    picture(clusterer, options.checkpoint.with_suffix(".png"))


if __name__ == "__main__":
    main()
