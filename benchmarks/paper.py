"""The paper's protocol: a preset of its own on its data set, and what comes out.

python benchmarks/paper.py --data mnist.npz --preset mnist --checkpoint results/mnist.ckpt
python benchmarks/paper.py --data mnist.npz --preset mnist --checkpoint results/mnist.ckpt --minutes 9
python benchmarks/paper.py --data mnist.npz --checkpoint results/small.ckpt --width 16 --max-iter 20000 \
    --curve 4000 --set ema_decay=0.999

The file has arrays X and y. A training takes many hours on a CPU, and minutes on a GPU. With --minutes
it stops after that time, and the same command goes on from the checkpoint as if it had not stopped; by
other data or settings it refuses to. At its end it writes, beside the checkpoint, scores on all samples
as JSON and a picture with a row of new samples from each cluster (with matplotlib): on the left by the
moving average of the generator, on the right by the generator itself. With --output each run adds a line
of JSON, with scores at the end. Everything goes through the estimator's own steps, pseudo-labels
included where the preset has them. Labels are used for the scores alone.

With --curve N every entry of the history, a hundredth of the training, adds a line to *.curve.jsonl
beside the checkpoint: losses, sigma, and the scores of N samples by the encoder itself and by its moving
average. Every tenth of them comes with a picture.
"""

import argparse
import copy
import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import commit, machine, setting
from numpy.typing import NDArray
from torch import Tensor

from skmpcc import MPCCClusterer
from skmpcc.data.inputs import InputFormat
from skmpcc.fitted.model import FittedModel
from skmpcc.method.model import MPCCModel
from skmpcc.method.networks.layers import Encoder, frozen_spectral_norms
from skmpcc.metrics import clustering_accuracy, clustering_scores, majority_accuracy
from skmpcc.presets import PRESETS
from skmpcc.system.devices import resolve_device
from skmpcc.system.processes import Processes
from skmpcc.training.checkpoint import Checkpoint
from skmpcc.training.loop import interval_of

N_COLUMNS = 10
N_PICTURES = 10
BATCH = 500


def picture(model: MPCCModel, data_format: InputFormat, path: Path) -> None:
    """Draw a row of new samples from each cluster: by the averaged generator, and by the live one."""
    try:
        from matplotlib.image import imsave
    except ImportError:
        print("no picture without matplotlib")
        return
    model = copy.deepcopy(model).cpu().float()
    live = copy.deepcopy(model)
    live.averaged_generator = live.generator
    rng = torch.Generator().manual_seed(0)
    y = torch.arange(model.n_clusters).repeat_interleave(N_COLUMNS)
    z = model.prior.sample(y, rng).detach().double()
    halves = []
    for each in (model, live):
        each.collect_standing_statistics(16, 50, rng)
        images = FittedModel(each, data_format, 1).decode(z.numpy(), y.numpy())
        rows = images.reshape(model.n_clusters, N_COLUMNS, *images.shape[1:])
        halves.append(np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0))
    gap = np.full((len(halves[0]), 8, *halves[0].shape[2:]), 255.0)
    sheet = np.concatenate([halves[0], gap, halves[1]], axis=1)
    imsave(path, np.clip(sheet, 0, 255).astype(np.uint8), cmap="gray")


@torch.no_grad()
def labels_by(encoder: Encoder, model: MPCCModel, data: Tensor) -> NDArray[np.int64]:
    """Most probable component of each sample's code by this encoder, of a model in training or after."""
    dtype = next(encoder.parameters()).dtype
    with frozen_spectral_norms(encoder):
        codes = [encoder(x.to(model.device, dtype))[0] for x in data.split(BATCH)]
    found = model.prior.joint_log_density(torch.cat(codes).to(model.prior.means.dtype)).argmax(1)
    return found.cpu().numpy()


def both_encoders(model: MPCCModel, data: Tensor, y: NDArray) -> dict[str, dict[str, float]]:
    """Accuracy by the encoder itself and, where it has begun, by its moving average."""
    encoders = {"live": model.encoder}
    if model.has_averages:
        encoders["averaged"] = model.averaged_encoder
    out = {}
    for name, encoder in encoders.items():
        found = labels_by(encoder, model, data)
        out[name] = {
            "accuracy": clustering_accuracy(y, found),
            "majority_accuracy": majority_accuracy(y, found),
            "clusters": len(np.unique(found)),
        }
    return out


def keep(row: dict[str, Any], path: Path | None) -> None:
    """Add a line of JSON to a file."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(json.dumps(row | {"commit": commit()}) + "\n")


def curve(
    model: MPCCModel,
    data_format: InputFormat,
    data: Tensor,
    y: NDArray,
    checkpoint: Path,
    max_iter: int,
) -> Callable[[dict[str, NDArray], float], str]:
    """Make the function that adds a line to the curve, and what it prints of it."""
    path = checkpoint.with_suffix(".curve.jsonl")
    pictured = N_PICTURES * interval_of(max_iter)

    def add(history: dict[str, NDArray], seconds: float) -> str:
        row: dict[str, Any] = {"kind": "paper curve", "run": checkpoint.stem}
        row |= {name: float(values[-1]) for name, values in history.items()}
        row["iteration"] = int(row["iteration"])
        row |= both_encoders(model, data, y) | {"seconds": seconds}
        keep(row, path)
        if row["iteration"] % pictured == 0:
            picture(model, data_format, checkpoint.with_suffix(f".{row['iteration']}.png"))
        shown = (
            f"{name} {row[name]['accuracy']:.3f} ({row[name]['majority_accuracy']:.3f})"
            for name in ("live", "averaged")
            if name in row
        )
        return "; ".join(shown)

    return add


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="an .npz file with X and y")
    parser.add_argument("--preset", choices=PRESETS, default="mnist")
    parser.add_argument("--checkpoint", type=Path, required=True, help="a file to go on from")
    parser.add_argument("--output", type=Path, help="a file of JSON lines, which is added to")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="of training in this run")
    parser.add_argument("--limit", type=int, help="use the first so many samples")
    parser.add_argument("--max-iter", type=int, help="instead of the preset's")
    parser.add_argument("--precision", help="instead of the preset's")
    parser.add_argument("--width", type=int, help="instead of the preset's")
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="NAME=VALUE", help="other fields of the preset"
    )
    parser.add_argument("--curve", type=int, default=0, metavar="N", help="samples to score on the way")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    with np.load(options.data) as file:
        X, y = file["X"][: options.limit], file["y"][: options.limit]
    changed = dict(map(setting, options.set))
    for name in ("precision", "width"):
        if vars(options)[name] is not None:
            changed[name] = vars(options)[name]
    clusterer = MPCCClusterer(
        len(np.unique(y)),
        preset=PRESETS[options.preset].override(changed, "--set"),
        max_iter=options.max_iter,
        device=options.device,
        random_state=options.seed,
    )
    clusterer.n_features_in_ = X[0].size
    processes = Processes(device=resolve_device(options.device))
    fit, data = clusterer._fit_of(X, processes)
    initialization, seeds = next(fit.initializations(data)), fit.seeds[0]
    max_iter = fit.settings.max_iter

    add = None
    if options.curve:
        looked_at = np.random.default_rng(0).permutation(len(X))[: options.curve]
        add = curve(
            initialization.model,
            data.format,
            data.encoded[torch.as_tensor(looked_at)],
            y[data.row_map.rows[looked_at]],
            options.checkpoint,
            max_iter,
        )

    started = time.monotonic()
    seen: list[tuple[float, float]] = []

    def on_interval(history: dict[str, NDArray], last: bool) -> bool:
        lapse = time.monotonic() - started
        seen.append((history["iteration"][-1], lapse))
        latest = ", ".join(f"{name} {values[-1]:.4g}" for name, values in history.items())
        scored = "" if add is None else f" | {add(history, lapse)}"
        print(f"{lapse:.0f} s: {latest}{scored}", flush=True)
        stop = lapse > 60 * options.minutes
        if stop or last:
            checkpoint.write_soon()
        return stop

    arguments = {
        "preset": options.preset,
        "precision": fit.settings.precision,
        "max_iter": max_iter,
        "seed": options.seed,
        "samples": len(X),
        "data": hashlib.sha256(np.ascontiguousarray(X)).hexdigest()[:16],
        **changed,
    }
    try:
        checkpoint = Checkpoint(options.checkpoint, arguments)
    except ValueError as error:
        raise SystemExit(str(error)) from error
    trained = initialization.run(on_interval, checkpoint)
    outcome = trained.outcome
    done = int(outcome.history["iteration"][-1])
    device = fit.device
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
    vars(clusterer).update(fit.attributes(fit, data, fit.ready_for_use(data, trained, seeds)))
    scores = clustering_scores(y, clusterer.labels_)
    report["scores"] = scores
    report["encoders"] = both_encoders(trained.model, data.encoded, y[data.row_map.rows])
    keep(report, options.output)
    print(", ".join(f"{name} {value:.4f}" for name, value in scores.items()))
    options.checkpoint.with_suffix(".json").write_text(json.dumps(report, indent=1))
    picture(trained.model, data.format, options.checkpoint.with_suffix(".png"))


if __name__ == "__main__":
    main()
