"""Settings as data: the paper's, general ones for images and vectors, and the choice among them."""

from dataclasses import dataclass, fields, replace
from typing import Any

from skmpcc.algorithm import Recipe
from skmpcc.model import NetworkSettings


@dataclass(frozen=True, kw_only=True)
class Preset(NetworkSettings, Recipe):
    """One row of the table: what shapes the modules and how they are trained.

    Every field but `name`, `kind` and `source` may be overridden by the estimator's parameter of the
    same name.
    """

    name: str
    kind: str  # "image" or "vector"
    source: str

    def overridden(self, **parameters: Any) -> "Preset":
        """The same with every parameter that is not None in place of its own."""
        return replace(self, **{k: v for k, v in parameters.items() if v is not None})

    def part(self, cls: type) -> Any:
        """The fields that make up `cls`, one of the two bases."""
        return cls(**{field.name: getattr(self, field.name) for field in fields(cls)})


def _paper(name: str, source: str = "the paper's", **settings: Any) -> Preset:
    settings = {"kind": "image", "max_iter": 75_000} | settings
    return Preset(name=name, source=source, **settings)


# Width is the paper's 4C, C of the supplement's appendix C.
_MNIST = _paper("mnist", conditioning="embedding", width=4 * 12, latent_dim=24, max_iter=125_000)
_OMNIGLOT = _paper("omniglot", conditioning="embedding", width=4 * 16, latent_dim=24, max_iter=125_000)
_FASHION = _paper("fashion_mnist", conditioning="shared", width=4 * 24, latent_dim=16)
_CIFAR10 = _paper(
    "cifar10", conditioning="split", width=4 * 96, latent_dim=128, prior_learning_rate=6e-4
)
_CIFAR20 = replace(_CIFAR10, name="cifar20")

_VECTORS = Preset(
    name="vectors",
    kind="vector",
    source="measured on tables",
    conditioning="embedding",
    width=256,
    latent_dim=24,
    generator_spectral_norm=False,
    ema_decay=0.99,
    ema_start=0,
    max_iter=4000,
    batch_size=128,
    learning_rate=5e-4,
    prior_learning_rate=1e-2,
)

PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        _MNIST,
        _OMNIGLOT,
        _FASHION,
        _CIFAR10,
        _CIFAR20,
        _VECTORS,
    )
}

# What an estimator's parameter of the same name may override.
OVERRIDABLE = tuple(
    field.name for field in fields(Preset) if field.name not in ("name", "kind", "source")
)


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
    if image is None:
        return PRESETS["vectors"]
    return PRESETS["mnist"]
