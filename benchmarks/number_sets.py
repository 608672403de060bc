"""Sets of known numbers of clusters that are drawn by formulas, for `n_clusters.py`.

python benchmarks/number_sets.py --output FILE.npz     # arrays NAME_X, NAME_y
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Part = NDArray[np.float64]
Draw = np.random.Generator


def disc(rng: Draw, n: int, centre: tuple[float, float], radius: float) -> Part:
    angle, far = rng.uniform(0, 2 * np.pi, n), radius * np.sqrt(rng.uniform(size=n))
    return np.column_stack([centre[0] + far * np.cos(angle), centre[1] + far * np.sin(angle)])


def arc(
    rng: Draw, n: int, centre: tuple[float, float], radius: float, ends: tuple[float, float], std: float
) -> Part:
    angle = np.pi * rng.uniform(*ends, n)
    points = np.column_stack([centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle)])
    return points + rng.normal(scale=std, size=(n, 2))


def square(rng: Draw, n: int, half: float, std: float) -> Part:
    """Outline of a square around the origin."""
    along, side = rng.uniform(-half, half, n), rng.integers(4, size=n)
    ends = np.where(side % 2 == 0, half, -half)
    points = np.where(
        (side < 2)[:, None], np.column_stack([along, ends]), np.column_stack([ends, along])
    )
    return points + rng.normal(scale=std, size=(n, 2))


def gaussians(rng: Draw, n: int, k: int, d: int, spread: float, least: float = 1.0) -> list[Part]:
    """Gaussians of standard deviations from `least` to 1 around normal means."""
    means = rng.normal(scale=spread, size=(k, d))
    return [mean + rng.normal(scale=rng.uniform(least, 1.0), size=(n, d)) for mean in means]


def torus_rings(rng: Draw) -> list[Part]:
    """Two rings in space, each through the other."""
    flat = [arc(rng, 300, (0, 0), 1.0, (0, 2), 0.0) for _ in range(2)]
    first = np.column_stack([flat[0], np.zeros(300)])
    second = np.column_stack([flat[1][:, 0] + 1.0, np.zeros(300), flat[1][:, 1]])
    return [part + rng.normal(scale=0.06, size=part.shape) for part in (first, second)]


def waves(rng: Draw) -> list[Part]:
    x = rng.uniform(0, 10, (3, 200))
    return [
        np.column_stack([x[i], np.sin(x[i]) + 1.6 * i]) + rng.normal(scale=0.12, size=(200, 2))
        for i in range(3)
    ]


def sheets(rng: Draw) -> list[Part]:
    """Parallel squares in space."""
    return [
        np.column_stack([rng.uniform(0, 4, (250, 2)), i + rng.normal(scale=0.1, size=250)])
        for i in range(3)
    ]


def spirals_and_disc(rng: Draw) -> list[Part]:
    far = np.sqrt(rng.uniform(0.15, 1, (2, 250)))
    turn = 2 * np.pi * 1.1 * far + np.pi * np.arange(2)[:, None]
    arms = np.stack([2 * far * np.cos(turn), 2 * far * np.sin(turn)], axis=2)
    return [*(arms + rng.normal(scale=0.03, size=arms.shape)), disc(rng, 150, (3.2, 0.0), 0.5)]


def corners(rng: Draw) -> list[Part]:
    places = np.stack(np.meshgrid(*[[-1.0, 1.0]] * 3), -1).reshape(-1, 3)
    return [place + rng.normal(scale=0.33, size=(80, 3)) for place in places]


def skewed(rng: Draw) -> list[Part]:
    return [
        centre + rng.exponential(0.6, size=(150, 2))
        for centre in np.array([[0, 0], [5, 0], [0, 5], [5, 5]])
    ]


def heavy_tails(rng: Draw) -> list[Part]:
    means = rng.normal(scale=6.0, size=(5, 3))
    return [mean + rng.standard_t(3, size=(140, 3)) for mean in means]


SETS: dict[str, Callable[[Draw], list[Part]]] = {
    "squares": lambda rng: [square(rng, 200, half, 0.06) for half in (0.5, 1.2)],
    "target": lambda rng: [
        disc(rng, 200, (0, 0), 0.4),
        *(arc(rng, 300, (0, 0), radius, (0, 2), 0.05) for radius in (1.0, 1.7)),
    ],
    "crescents": lambda rng: [
        arc(rng, 160, (1.2 * i, 0.5 * (i % 2)), 1, (i % 2, 1 + i % 2), 0.07) for i in range(3)
    ],
    "half_rings": lambda rng: [
        arc(rng, 150, (3.0 * i, 0), 1, (0.1, 0.9 + 0.6 * (i % 2)), 0.1) for i in range(4)
    ],
    "cross_in_ring": lambda rng: [
        arc(rng, 300, (0, 0), 2.0, (0, 2), 0.07),
        np.concatenate(
            [
                np.column_stack([rng.uniform(-1, 1, 120), rng.normal(scale=0.07, size=120)]),
                np.column_stack([rng.normal(scale=0.07, size=120), rng.uniform(-1, 1, 120)]),
            ]
        ),
    ],
    "rings_in_space": torus_rings,
    "waves": waves,
    "sheets": sheets,
    "spirals_and_disc": spirals_and_disc,
    "corners": corners,
    "skewed": skewed,
    "heavy_tails": heavy_tails,
    "ellipses_and_discs": lambda rng: [
        rng.normal(size=(200, 2)) * [3.0, 0.2],
        rng.normal(size=(200, 2)) * [3.0, 0.2] + [0, 1.5],
        disc(rng, 100, (-4, 5), 1.0),
        disc(rng, 100, (4, 5), 1.0),
    ],
    "three_sizes": lambda rng: [
        rng.normal(size=(900, 2)),
        rng.normal(size=(150, 2)) * 0.6 + [5, 0],
        rng.normal(size=(40, 2)) * 0.4 + [0, 5],
    ],
    "tiles": lambda rng: [
        rng.uniform(0, 0.8, (60, 2)) + np.array([i, j]) for i in range(3) for j in range(3)
    ],
    "gaussians_4_in_20": lambda rng: gaussians(rng, 120, 4, 20, 1.2),
    "gaussians_12_in_6": lambda rng: gaussians(rng, 70, 12, 6, 2.5, 0.6),
    "gaussians_10_in_2": lambda rng: gaussians(rng, 80, 10, 2, 6.0, 0.4),
    "gaussians_6_in_2": lambda rng: gaussians(rng, 120, 6, 2, 5.0, 0.2),
    "gaussians_7_in_50": lambda rng: gaussians(rng, 90, 7, 50, 0.8),
    "gaussians_16_in_3": lambda rng: gaussians(rng, 60, 16, 3, 5.0, 0.5),
    "gaussians_3_in_8": lambda rng: gaussians(rng, 100, 3, 8, 1.2),
}


def drawn(seed: int = 0) -> dict[str, NDArray]:
    """Arrays NAME_X and NAME_y of all sets."""
    arrays = {}
    for number, (name, make) in enumerate(SETS.items()):
        parts = make(np.random.default_rng([seed, number]))
        arrays[f"{name}_X"] = np.concatenate(parts)
        arrays[f"{name}_y"] = np.repeat(np.arange(1, len(parts) + 1), [len(part) for part in parts])
    return arrays


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    np.savez_compressed(options.output, **drawn(options.seed))


if __name__ == "__main__":
    main()
