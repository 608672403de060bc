"""AIM beside GAN, ALI, ALICE and VEEGAN: modes of Gaussians on a grid, and images rebuilt and new.

python benchmarks/aim.py grid --seeds 0-9 --out FILE.jsonl
python benchmarks/aim.py mnist --mnist MNIST.npz --judge JUDGE.pt --seeds 0 --out FILE.jsonl
python benchmarks/aim.py grid --methods AIM --figure codes.png    # codes, reconstructions and samples

All methods have the same networks, optimizers, schedule and number of iterations: those of AIM's presets
"grid" and, by --preset, "mnist" or "images", with what --set names. Rows that the file has already are
not computed again.

The grid is that of Srivastava et al. (2017): 25 Gaussians of deviation 0.05 at distances of 2. A
sample is good within three deviations of the nearest mean; a mode is found if a good sample is nearest
to it. Of a two-dimensional Gaussian, 98.9 % of the samples are good.

Images: mean square error of reconstructions of test images, of pixels in [0, 1] and in [-1, 1], because
the paper does not say which of them is its unit; and the inception score of 50,000 new images, by the
small convolutional network of generation_metrics.py, which --judge keeps. That of test images is beside
it.
"""

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from adversarial import ENGINES, made
from common import commit, machine, seeds_of, setting
from generation_metrics import JudgeNet
from numpy.typing import NDArray

from skmpcc import AIM

METHODS = ["GAN", "ALI", "ALICE", "VEEGAN", "AIM-", "AIM"]
# Without an encoder of their own.
ONE_WAY = ["GAN"]

STD = 0.05
CENTRES = np.array([(i, j) for i in range(-4, 5, 2) for j in range(-4, 5, 2)], dtype=float)
N_TRAINING, N_NEW, N_REBUILT = 100_000, 10_000, 10_000
N_TEST = 10_000


def grid(n: int, seed: int) -> NDArray:
    """Samples of 25 Gaussians on a grid."""
    rng = np.random.default_rng(seed)
    return CENTRES[rng.integers(len(CENTRES), size=n)] + STD * rng.normal(size=(n, 2))


def modes(X: NDArray) -> dict[str, float]:
    """Number of modes that good samples are nearest to, and share of good samples."""
    distances = np.linalg.norm(X[:, None] - CENTRES, axis=2)
    good = distances.min(axis=1) <= 3 * STD
    return {
        "modes": len(np.unique(distances.argmin(axis=1)[good])),
        "good": float(good.mean()),
    }


def inception_score(probabilities: NDArray, n_parts: int = 10) -> tuple[float, float]:
    """exp of the mean divergence of p(y | x) from p(y): mean and deviation over parts."""
    scores = []
    for part in np.array_split(probabilities, n_parts):
        logs = np.log(part) - np.log(part.mean(axis=0))
        scores.append(np.exp((part * logs).sum(axis=1).mean()))
    return float(np.mean(scores)), float(np.std(scores))


def judged(judge: JudgeNet, images: NDArray) -> NDArray:
    """The judge's probabilities of classes, kept above zero for their logarithms."""
    logits = judge.classes(torch.from_numpy(judge.features(images)))
    return logits.detach().double().softmax(dim=1).numpy().clip(1e-12)


def fitted(method: str, preset: str, X: NDArray, seed: int, values: dict[str, Any]) -> AIM:
    """Fit a method; warnings of no convergence are beside the point at a fixed budget."""
    aim = made(method, preset=preset, random_state=seed, preset_params=values)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return aim.fit(X)


def draw(aim: AIM, X: NDArray, path: Path) -> None:
    """Samples, their codes and reconstructions, and as many new samples, coloured by their Gaussians."""
    from matplotlib import pyplot as plt

    panels = {
        "data": X,
        "codes": aim.transform(X),
        "reconstructions": aim.reconstruct(X),
        "new samples": aim.sample(len(X)),
    }
    figure, axes = plt.subplots(1, len(panels), figsize=(12, 3.2), layout="constrained")
    for ax, (title, points) in zip(axes, panels.items(), strict=True):
        of = points if title == "new samples" else X
        nearest = np.linalg.norm(of[:, None] - CENTRES, axis=2).argmin(axis=1)
        ax.scatter(*points.T, c=nearest % 20, s=0.5, cmap="tab20")
        ax.set(title=title, aspect="equal")
    figure.savefig(path, dpi=80)
    plt.close(figure)


def grid_figures(
    method: str, seed: int, values: dict[str, Any], figure: Path | None = None
) -> dict[str, Any]:
    """Figures of one fit on the grid, of which training and test samples are the same in all."""
    X, held = grid(N_TRAINING, 0), grid(N_REBUILT, 1)
    aim = fitted(method, "grid", X, seed, values)
    if figure is not None:
        draw(aim, held, figure)
    row: dict[str, Any] = modes(aim.sample(N_NEW))
    if method not in ONE_WAY:
        rebuilt = aim.reconstruct(held)
        row["rebuilt_good"] = modes(rebuilt)["good"]
        row["error"] = float(np.square(rebuilt - held).mean())
    return row | {"n_iter": aim.n_iter_}


def image_figures(
    method: str, seed: int, values: dict[str, Any], options: argparse.Namespace
) -> dict[str, Any]:
    """Figures of one fit on images, whose last 10,000 are for the test."""
    with np.load(options.mnist) as file:
        X, y = file["X"], file["y"]
    X, held = X[:-N_TEST], X[-N_TEST:]
    judge = JudgeNet.trained(X, y[:-N_TEST], options.judge)
    aim = fitted(method, options.preset, X[: options.n_training], seed, values)
    row: dict[str, Any] = {"n_iter": aim.n_iter_}
    row["judge_accuracy"] = judge.accuracy(held, y[-N_TEST:])
    row["inception_score_test"], _ = inception_score(judged(judge, held))
    new = judged(judge, aim.sample(options.n_new))
    row["inception_score"], row["inception_score_std"] = inception_score(new)
    if method not in ONE_WAY:
        row["error"] = float(np.square((aim.reconstruct(held) - held.astype(float)) / 255).mean())
        row["error_of_tanh_unit"] = 4 * row["error"]
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", choices=["grid", "mnist"])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--seeds", type=seeds_of, default=range(1), help="FIRST-LAST")
    parser.add_argument("--set", nargs="*", type=setting, default=[], help="NAME=VALUE of the preset")
    parser.add_argument("--preset", choices=["mnist", "images"], default="mnist", help="of images")
    parser.add_argument("--n-training", type=int, help="first images to train on; by default all")
    parser.add_argument("--mnist", type=Path, help="an .npz file with X and y, its last 10,000 the test")
    parser.add_argument("--judge", type=Path, help="file that the judge of images is kept in")
    parser.add_argument("--n-new", type=int, default=50_000, help="new images for the inception score")
    parser.add_argument("--figure", type=Path, help="picture of the last fit on the grid")
    parser.add_argument("--out", type=Path, help="file of JSON lines that rows are added to")
    options = parser.parse_args()
    if options.data == "mnist" and not (options.mnist and options.judge):
        parser.error("mnist needs --mnist and --judge")
    assert set(ENGINES) < set(METHODS)
    values, keys = dict(options.set), ("data", "method", "seed", "settings", "preset", "n_training")
    known = set()
    if options.out is not None and options.out.exists():
        rows = map(json.loads, options.out.read_text().splitlines())
        known = {json.dumps([row.get(key) for key in keys]) for row in rows}
    for seed in options.seeds:
        for method in options.methods:
            row = {
                "kind": "aim",
                "data": options.data,
                "method": method,
                "seed": seed,
                "settings": values,
            }
            if options.data == "mnist":
                row |= {"preset": options.preset, "n_training": options.n_training}
            if json.dumps([row.get(key) for key in keys]) in known:
                continue
            started = time.perf_counter()
            if options.data == "grid":
                row |= grid_figures(method, seed, values, options.figure)
            else:
                row |= image_figures(method, seed, values, options)
            row |= {"seconds": round(time.perf_counter() - started, 1), **machine(), "commit": commit()}
            line = json.dumps(row)
            print(line, flush=True)
            if options.out is not None:
                with options.out.open("a") as file:
                    file.write(line + "\n")


if __name__ == "__main__":
    main()
