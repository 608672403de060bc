"""Settings as data: the paper's, general ones for images and tables, and the choice among them."""

from dataclasses import dataclass, fields, replace
from typing import Any

from skmpcc.algorithm import Recipe
from skmpcc.model import NetworkSettings


@dataclass(frozen=True, kw_only=True)
class Preset(NetworkSettings, Recipe):
    """One row of the table: what shapes the modules and how they are trained.

    Every field but `name` and `kind` may be overridden by the estimator's parameter of the same name.
    """

    name: str
    kind: str  # "image" or "vector"

    def overridden(self, **parameters: Any) -> "Preset":
        """The same with every parameter that is not None in place of its own."""
        return replace(self, **{k: v for k, v in parameters.items() if v is not None})

    def part(self, cls: type) -> Any:
        """The fields that make up `cls`, one of the two bases."""
        return cls(**{field.name: getattr(self, field.name) for field in fields(cls)})


# ---- The paper's (supplement, appendix C). Width is its 4C. Unnamed fields have the paper's values.

_MNIST = Preset(
    name="mnist",
    kind="image",
    conditioning="embedding",
    width=4 * 12,
    latent_dim=24,
    # of no effect on accuracy: docs/performance.md
    precision="auto",
    max_iter=125_000,
)
_OMNIGLOT = replace(_MNIST, name="omniglot", width=4 * 16)
_FASHION_MNIST = replace(
    _MNIST,
    name="fashion_mnist",
    conditioning="shared",
    width=4 * 24,
    latent_dim=16,
    max_iter=75_000,
)
_CIFAR10 = Preset(
    name="cifar10",
    kind="image",
    conditioning="split",
    width=4 * 96,
    latent_dim=128,
    prior_learning_rate=6e-4,
    precision="tf32",
    max_iter=75_000,
)
_CIFAR20 = replace(_CIFAR10, name="cifar20")

# ---- General ones. Rates several times the paper's, so that thousands of iterations do.

_VECTORS = Preset(
    name="vectors",
    kind="vector",
    conditioning="embedding",
    width=256,
    # Shallow on purpose: a generator of three layers can put two kinds into one component.
    n_layers=2,
    latent_dim=24,
    generator_spectral_norm=False,
    ema_decay=0.99,
    ema_start=0,
    precision="auto",
    max_iter=1000,
    batch_size=128,
    learning_rate=1e-3,
    prior_learning_rate=1e-2,
    init_params="neighbors",
    init_iter=1000,
    consistency_weight=1.0,
    weights="auto",
    tol=0.005,
    reseed=True,
    learning_rate_decay=0.3,
)
_VECTORS_NARROW = replace(
    _VECTORS,
    name="vectors_narrow",
    width=128,
    n_layers=3,
    max_iter=1000,
    batch_size=64,
    learning_rate=5e-4,
    input_noise=0.5,
)
_VECTORS_WIDE = replace(_VECTORS, name="vectors_wide", width=512)
_VECTORS_MANY = replace(_VECTORS, name="vectors_many", latent_dim=48)

_GREY = replace(
    _MNIST,
    name="grey",
    width=16,
    # which the norm lets learn too slowly, or not at all at such rates
    encoder_spectral_norm=False,
    ema_decay=0.99,
    ema_start=0,
    max_iter=1000,
    batch_size=64,
    learning_rate=5e-4,
    prior_learning_rate=1e-2,
    init_params="views",
    init_iter=1000,
    consistency="views",
    consistency_weight=1.0,
    weights="auto",
    tol=0.005,
    reseed=True,
    learning_rate_decay=0.3,
)
_GREY_SMALL = replace(_GREY, name="grey_small")
_GREY_MANY = replace(_GREY, name="grey_many", width=32)
_COLOUR = replace(
    _GREY,
    name="colour",
    conditioning="split",
    width=32,
    latent_dim=64,
    precision="tf32",
    prior_learning_rate=4e-3,
    max_iter=2000,
    init_iter=2000,
)
_COLOUR_SMALL = replace(_COLOUR, name="colour_small", width=32)
_COLOUR_MANY = replace(_COLOUR, name="colour_many", width=64, latent_dim=128)

PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        _MNIST,
        _OMNIGLOT,
        _FASHION_MNIST,
        _CIFAR10,
        _CIFAR20,
        _VECTORS,
        _VECTORS_NARROW,
        _VECTORS_WIDE,
        _VECTORS_MANY,
        _GREY,
        _GREY_SMALL,
        _GREY_MANY,
        _COLOUR,
        _COLOUR_SMALL,
        _COLOUR_MANY,
    )
}

# What an estimator's parameter of the same name may override.
OVERRIDABLE = tuple(field.name for field in fields(Preset) if field.name not in ("name", "kind"))

_NARROW = 32
_WIDE = 512
_SMALL_SIDE = 16
_MANY_CLUSTERS = 30


def choose(image: tuple[int, int, int] | None, n_features: int, n_clusters: int) -> Preset:
    """The preset for the input's shape and the number of clusters.

    Parameters
    ----------
    image : tuple of int or None
        (channels, height, width), or None for vectors.
    n_features : int
        Of a vector.
    n_clusters : int
    """
    many = n_clusters > _MANY_CLUSTERS
    if image is None:
        family = "vectors"
        size = "_wide" if n_features > _WIDE else "_narrow" if n_features <= _NARROW else ""
    else:
        channels, height, width = image
        family = "grey" if channels == 1 else "colour"
        size = "_small" if min(height, width) <= _SMALL_SIDE else ""
    return PRESETS[family + ("_many" if many else size)]
