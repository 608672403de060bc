"""Quality against seconds while a model trains, for settings side by side.

python benchmarks/curves.py --data digits --output results/curves.jsonl
python benchmarks/curves.py --data mnist_10k_images --mnist mnist.npz --name one \
    --set discriminator_steps=1 encoder_steps=1 --output results/curves.jsonl

Half of a table is fitted and the other half held out; of images, the last sixth. Pseudo-labels are
found once for a seed and kept in a file, so that all settings are taught by the same. At a few
iterations of a training of `--iterations` a row is written: seconds of the processor (of one thread,
what the measuring costs left out); of held-out samples the mean square error of reconstructions over the
variance, the share of reconstructions that keep their cluster, and the coverage and density of as many
new samples (Naeem et al., 2020; 5 neighbours, images in 32 principal components); agreement of the
labels with the pseudo-labels (one-to-one); and, with true labels, ARI of the fitted and of the held-out
samples. Labels enter these scores alone.
"""

import argparse
import copy
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import load, machine, setting, split
from generation_metrics import fidelity, relative_error
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score

from skmpcc.data.inputs import InputFormat, Layout
from skmpcc.fitted.model import FittedModel
from skmpcc.method.model import MPCCModel
from skmpcc.metrics import clustering_accuracy
from skmpcc.presets import PRESETS, Preset, choose
from skmpcc.pseudo_labels.graph import NeighborGraph
from skmpcc.pseudo_labels.search import find_pseudo_labels
from skmpcc.settings import NetworkSettings, TrainingSettings, select
from skmpcc.training.loop import train
from skmpcc.training.resolution import resolve

SHARES = (0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0)
N_COMPONENTS = 32


class Judge:
    """Scores a model on held-out samples."""

    def __init__(self, fitted: NDArray, held: NDArray, y: NDArray, y_held: NDArray, seed: int) -> None:
        self.fitted, self.held, self.y, self.y_held, self.seed = fitted, held, y, y_held, seed
        flat = held.reshape(len(held), -1).astype(float)
        self.components = PCA(N_COMPONENTS, random_state=0).fit(flat) if held.ndim > 2 else None

    def _space(self, X: NDArray) -> NDArray:
        X = X.reshape(len(X), -1).astype(float)
        return X if self.components is None else self.components.transform(X)

    def __call__(self, model: MPCCModel, data_format: InputFormat, preset: Preset) -> dict[str, float]:
        model = copy.deepcopy(model)
        rng = torch.Generator().manual_seed(self.seed)
        sigma = float(model.prior.stds.detach().mean())
        model.prepare_for_inference(preset.standing_passes, preset.batch_size, rng)
        fitted = FittedModel(model, data_format, preset.n_neighbors)
        labels, held_labels = fitted.labels(self.fitted), fitted.labels(self.held)
        rebuilt = fitted.reconstruct(self.held)
        y = model.prior.draw_labels(len(self.held), rng)
        new = fitted.decode(model.prior.sample(y, rng).detach().cpu().numpy(), y.cpu().numpy())
        quality = fidelity(self._space(self.held), self._space(new))
        return {
            "reconstruction": relative_error(self.held, rebuilt),
            "kept": float(np.mean(fitted.labels(rebuilt) == held_labels)),
            "density": quality["density"],
            "coverage": quality["coverage"],
            "ari": adjusted_rand_score(self.y, labels),
            "held_ari": adjusted_rand_score(self.y_held, held_labels),
            "sigma": sigma,
        } | {"labels": labels}


def curve(name: str, X: NDArray, y: NDArray, seed: int, options: argparse.Namespace) -> None:
    """Train once, and write a row at each of the SHARES of the training."""
    rows, held = split(X, seed)
    n_clusters = len(np.unique(y))
    data_format = InputFormat.from_data(X[rows], Layout.from_shape(X.shape[1:], None))
    data = data_format.encode_all(X[rows])
    image = data_format.tensor_shape if len(data_format.tensor_shape) == 3 else None
    preset = (
        PRESETS[options.preset] if options.preset else choose(image, len(rows), X[0].size, n_clusters)
    )
    preset = preset.override(
        {"tol": 0.0, "max_iter": options.iterations, **dict(map(setting, options.set))}, "--set"
    )
    graph = None
    if preset.consistency == "neighbors":
        rng = torch.Generator().manual_seed(seed)
        graph = NeighborGraph.from_data(
            data, preset.n_neighbors, n_clusters, rng, all_values=data_format.one_length
        )
    kept = options.output.parent / f"pseudo_labels_{name}_{seed}.npy"
    if kept.exists():
        labels = torch.as_tensor(np.load(kept))
    else:
        rng = torch.Generator().manual_seed(seed)
        assert preset.pseudo_labels is not None
        labels = find_pseudo_labels(preset.pseudo_labels, data, graph, n_clusters, rng).labels
        np.save(kept, labels.numpy())
    settings = resolve(select(preset, TrainingSettings), data, n_clusters, labels, graph)
    model = MPCCModel(select(preset, NetworkSettings), data_format.tensor_shape, n_clusters, seed)
    judge = Judge(X[rows], X[held], y[rows], y[held], seed)
    at = {round(share * options.iterations) for share in SHARES}
    spent, started = 0.0, time.process_time()

    def on_interval(history: dict[str, NDArray], last: bool) -> bool:
        nonlocal spent, started
        iteration = int(history["iteration"][-1])
        if iteration in at:
            spent += time.process_time() - started
            row: dict[str, Any] = {"data": name, "name": options.name, "seed": seed}
            row |= {"set": options.set, "iteration": iteration, "seconds": spent}
            row |= judge(model, data_format, preset)
            row["agreement"] = clustering_accuracy(labels.numpy(), row.pop("labels"))
            row["pseudo_ari"] = adjusted_rand_score(y[rows], labels.numpy())
            with options.output.open("a") as file:
                file.write(json.dumps(row | {"processor": machine()["processor"]}) + "\n")
            shown = (
                f"{k} {v:.3f}" if isinstance(v, float) else f"{v}" for k, v in row.items() if k != "set"
            )
            print(", ".join(shown), flush=True)
            started = time.process_time()
        return False

    rng = torch.Generator().manual_seed(seed)
    train(model, settings, data, rng, on_interval, pseudo_labels=labels, neighbors=graph)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", default=["digits"], metavar="NAME or FILE.npz")
    parser.add_argument("--name", default="defaults", help="of the settings, for the rows")
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="NAME=VALUE", help="fields of the preset"
    )
    parser.add_argument("--preset", choices=PRESETS)
    parser.add_argument("--iterations", type=int, default=1000, help="a multiple of 100")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--mnist", type=Path, help="an .npz file with X and y")
    parser.add_argument("--fashion", type=Path, help="likewise")
    parser.add_argument("--output", type=Path, required=True, help="a file of JSON lines")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    for name in options.data:
        X, y = load(name, {"mnist": options.mnist, "fashion": options.fashion})
        for seed in options.seeds:
            curve(name, X, y, seed, options)


if __name__ == "__main__":
    main()
