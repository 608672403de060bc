"""The paper's protocol: a preset of its own on its data set, and what comes out.

python benchmarks/paper.py --data mnist.npz --preset mnist --checkpoint results/mnist.pt
python benchmarks/paper.py --data mnist.npz --preset mnist --checkpoint results/mnist.pt --minutes 9

The file has arrays X and y. A training of many hours on a CPU, and of minutes on a GPU. With --minutes
it stops after that time, and the same command goes on from the checkpoint. At its end, scores on all
samples, beside the checkpoint, as JSON, and a sheet with a row of new samples from each cluster (with
matplotlib). Labels are used for the scores alone.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from compare import machine

from skmpcc.algorithm import Recipe
from skmpcc.devices import resident, resolve_device
from skmpcc.inference import FittedModel
from skmpcc.inputs import InputFormat, Layout
from skmpcc.metrics import clustering_scores
from skmpcc.model import MPCCModel, NetworkSettings
from skmpcc.presets import PRESETS
from skmpcc.training import Checkpoint, finish, train

N_COLUMNS = 16


def sheet(fitted: FittedModel, path: Path) -> None:
    """A row of new samples from each cluster, as a picture."""
    try:
        from matplotlib.image import imsave
    except ImportError:
        print("no picture without matplotlib")
        return
    prior = fitted.model.prior
    y = np.repeat(np.arange(fitted.model.n_clusters), N_COLUMNS)
    noise = np.random.default_rng(0).standard_normal((len(y), prior.means.shape[1]))
    means, stds = (values.detach().cpu().numpy() for values in (prior.means, prior.stds))
    images = fitted.decode(means[y] + stds[y] * noise, y)
    rows = images.reshape(-1, N_COLUMNS, *images.shape[1:])
    picture = np.concatenate(np.concatenate(rows, axis=1), axis=1)
    imsave(path, np.clip(picture, 0, 255).astype(np.uint8), cmap="gray")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="an .npz file with X and y")
    parser.add_argument("--preset", choices=PRESETS, default="mnist")
    parser.add_argument("--checkpoint", type=Path, required=True, help="a .pt file")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="of training in this run")
    parser.add_argument("--limit", type=int, help="the first samples alone")
    parser.add_argument("--max-iter", type=int, help="instead of the preset's")
    parser.add_argument("--precision", help="instead of the preset's")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    device = resolve_device(options.device)
    with np.load(options.data) as file:
        X, y = file["X"][: options.limit], file["y"][: options.limit]
    preset = PRESETS[options.preset].overridden(max_iter=options.max_iter, precision=options.precision)
    n_clusters = len(np.unique(y))
    data_format = InputFormat.from_data(X, Layout.of(X.shape[1:], None))
    data = data_format.encode_all(X)
    recipe = preset.part(Recipe).adapted_to(data)
    settings = preset.part(NetworkSettings)
    model = MPCCModel(settings, data_format.tensor_shape, n_clusters, options.seed).to(device)

    started = time.monotonic()
    seen: list[tuple[float, float]] = []

    def on_interval(history: dict[str, np.ndarray], done: bool) -> bool:
        lapse = time.monotonic() - started
        seen.append((history["iteration"][-1], lapse))
        latest = ", ".join(f"{name} {values[-1]:.4g}" for name, values in history.items())
        print(f"{lapse:.0f} s: {latest}", flush=True)
        return lapse > 60 * options.minutes

    checkpoint = Checkpoint(options.checkpoint)
    random = torch.Generator(device).manual_seed(options.seed)
    outcome = train(model, recipe, resident(data, device), random, on_interval, checkpoint=checkpoint)
    done = int(outcome.history["iteration"][-1])
    if len(seen) > 1:
        (first, began), (last, ended) = seen[0], seen[-1]
        print(f"{1e3 * (ended - began) / (last - first):.2f} ms an iteration")
    if outcome.failure:
        print(f"ended early: {outcome.failure}")
    elif done < recipe.max_iter:
        print(f"{done} of {recipe.max_iter} iterations; the same command goes on from here")
        return
    finish(model, recipe, torch.Generator(device).manual_seed(options.seed))
    fitted = FittedModel(model, data_format)
    scores = clustering_scores(y, fitted.labels(X))
    report = {
        "preset": preset.name,
        "iterations": done,
        "samples": len(X),
        "seed": options.seed,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else machine(),
        "scores": scores,
    }
    print(", ".join(f"{name} {value:.4f}" for name, value in scores.items()))
    options.checkpoint.with_suffix(".json").write_text(json.dumps(report, indent=1))
    sheet(fitted, options.checkpoint.with_suffix(".png"))


if __name__ == "__main__":
    main()
