"""Presets: the paper's settings, general ones for tables and images, and the choice among them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from skmpcc._sklearn import StrOptions
from skmpcc.settings import (
    LoopSettings,
    NetworkSettings,
    TrainingSettings,
    Validated,
    check,
    select,
    settings_of,
)


@dataclass(frozen=True, kw_only=True)
class NamedSettings(Validated):
    """Settings of a fit that have a name, and can be replaced by an estimator's parameters.

    Attributes
    ----------
    name : str
    kind : {"image", "vector"}
        What they are meant for; "vector" is a row of a table.
    """

    name: str
    kind: str

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.name, str):
            raise ValueError(f"name must be a str, got {self.name!r}.")
        if self.kind not in ("image", "vector"):
            raise ValueError(f"kind must be 'image' or 'vector', got {self.kind!r}.")

    def network_settings(self) -> NetworkSettings:
        """Return what shapes the networks."""
        raise NotImplementedError

    def training_settings(self) -> LoopSettings:
        """Return what the training takes."""
        raise NotImplementedError

    def override(self, parameters: Mapping[str, Any], caller: str) -> Self:
        """Replace fields by the parameters of the same names.

        Parameters
        ----------
        parameters : mapping
            Values by field name.
        caller : str
            Argument that the values come from, for messages.

        Returns
        -------
        preset : object of the same class

        Raises
        ------
        ValueError
            A name is not a field, or a value breaks its field's constraint; the message says what fits.
        """
        known = settings_of(type(self))
        unknown = sorted(set(parameters) - set(known), key=str)
        if unknown:
            raise ValueError(
                f"{caller} has {', '.join(map(repr, unknown))}, but a preset's fields are "
                f"{', '.join(sorted(known))}."
            )
        check(type(self), parameters, caller)
        return replace(self, **parameters)


@dataclass(frozen=True)
class PresetFamily:
    """Presets of one kind of model, and the choice among them.

    Attributes
    ----------
    preset_class : type
    by_name : mapping
    choose : callable
        Returns the preset for (channels, height, width), or None for a table, a number of samples, of
        columns and of clusters.
    """

    preset_class: type[NamedSettings]
    by_name: Mapping[str, NamedSettings]
    choose: Callable[[tuple[int, int, int] | None, int, int, int], NamedSettings]

    @property
    def constraints(self) -> list[Any]:
        """scikit-learn's constraints of a parameter that names or is a preset."""
        return [StrOptions({"auto", *self.by_name}), self.preset_class]


@dataclass(frozen=True, kw_only=True)
class MixtureSettings(NamedSettings, NetworkSettings, LoopSettings):
    """Settings of a fit to clusters or classes, whose labels may be all that is wanted."""

    def network_settings(self) -> NetworkSettings:
        """Return what shapes the networks."""
        return select(self, NetworkSettings)

    def for_labels_only(self) -> Self:
        """Return the settings of a training that ends when the memberships have settled."""
        max_iter = self.labels_only_max_iter or self.max_iter
        tol = self.labels_only_tol
        return replace(
            self,
            labels_only=True,
            max_iter=max_iter,
            # Entries of the history, a hundred in a training, are so much nearer to each other.
            tol=self.tol * max_iter / self.max_iter if tol is None else tol,
        )


@dataclass(frozen=True, kw_only=True)
class Preset(MixtureSettings, TrainingSettings):
    """All settings of a fit: what shapes the networks and how they are trained.

    Attributes
    ----------
    name : str
        Name in `PRESETS`, and of the fitted attribute `preset_`.
    kind : {"image", "vector"}
        What the preset is meant for; "vector" is a row of a table.

    Notes
    -----
    All other fields are those of `skmpcc.settings.NetworkSettings` and
    `skmpcc.settings.TrainingSettings`. A value that breaks its field's constraint is a ValueError.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from skmpcc import MPCCClusterer
    >>> from skmpcc.presets import PRESETS
    >>> slow = replace(PRESETS["vectors"], name="slow", learning_rate=1e-4)
    >>> MPCCClusterer(n_clusters=3, preset=slow).preset.learning_rate
    0.0001
    """

    def training_settings(self) -> TrainingSettings:
        """Return what the training takes."""
        return select(self, TrainingSettings)

    def for_labels_only(self) -> "Preset":
        """Return the settings of a training that ends when the memberships have settled."""
        shorter = super().for_labels_only()
        if self.kind == "vector":
            return shorter
        return replace(
            shorter,
            discriminator_steps=min(2, self.discriminator_steps),
            reconstruction_weight=0.0,
            # Details are for samples.
            patch_size=4 if self.patch_size == 2 else self.patch_size,
            # With the norm a trunk that the encoder shares learns labels better in so few iterations.
            adversarial_loss="hinge",
            gradient_penalty=0.0,
            discriminator_spectral_norm=True,
        )


# ---- The paper's (supplement, appendix C). Width is its 4C. Unnamed fields have the paper's values.

_MNIST = Preset(
    name="mnist",
    kind="image",
    conditioning="embedding",
    width=4 * 12,
    latent_dim=24,
    max_iter=125_000,
    precision="tf32",
    # The authors' code, where it decides results: docs/method.md
    std_floor="code",
    upsampling="nearest",
    initial_bias="torch",
    averaged_encoder=False,
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
_CIFAR10 = replace(
    _MNIST,
    name="cifar10",
    conditioning="split",
    width=4 * 96,
    latent_dim=128,
    prior_learning_rate=6e-4,
    max_iter=75_000,
)
# The paper trains both data sets with the same settings.
_CIFAR20 = replace(_CIFAR10, name="cifar20")

# ---- General ones. Rates are up to 25 times the paper's and fall over the whole training, whose
# length is a budget: lab note of 2026-11-30 on fast fits.

_VECTORS = Preset(
    name="vectors",
    kind="vector",
    conditioning="embedding",
    width=384,
    # Shallow on purpose: a generator of three layers can put two kinds into one component.
    n_layers=2,
    latent_dim=24,
    generator_spectral_norm=False,
    # With the norm the encoder takes several times as long to learn the pseudo-labels.
    encoder_spectral_norm=False,
    ema_decay="auto",
    ema_start=0,
    precision="auto",
    max_iter=550,
    labels_only_max_iter=100,
    batch_size=128,
    # Pseudo-labels settle the clusters, so that fewer steps do. A discriminator that is not well trained
    # lets samples miss parts of the data.
    discriminator_steps=2,
    encoder_steps=1,
    learning_rate=2e-3,
    prior_learning_rate=2e-2,
    # Wide components take half of such a training to become as narrow as they have to be.
    initial_log_variance=-2.0,
    # One over the dimension moves sigma by hardly anything in so few iterations.
    latent_weight=0.3,
    reconstruction_weight=2.0,
    pseudo_labels="search",
    label_weight=1.0,
    weights="auto",
    tol=0.01,
    reseed=True,
    learning_rate_decay=1.0,
)
_VECTORS_NARROW = replace(
    _VECTORS,
    name="vectors_narrow",
    width=128,
    batch_size=64,
    # Products of such layers gain nothing from bfloat16.
    precision="float32",
    max_iter=900,
)
_VECTORS_SMALL = replace(
    _VECTORS_NARROW,
    name="vectors_small",
    reconstruction_weight=0.5,
    input_noise=0.5,
    max_iter=750,
)
# Thin shapes are found by larger steps, and by a discriminator that is nearer to its best.
_VECTORS_PLANE = replace(
    _VECTORS_SMALL,
    name="vectors_plane",
    learning_rate=5e-3,
    discriminator_steps=4,
    max_iter=1000,
)
_VECTORS_WIDE = replace(_VECTORS, name="vectors_wide", width=512)
_VECTORS_MANY = replace(
    _VECTORS,
    name="vectors_many",
    width=256,
    latent_dim=48,
    encoder_spectral_norm=True,
    discriminator_steps=1,
    # Some of many clusters are lost at higher rates.
    learning_rate=1e-3,
    prior_learning_rate=1e-2,
    latent_weight=0.1,
    consistency_weight=1.0,
    max_iter=1500,
    labels_only_max_iter=500,
)

_GREY_MANY = Preset(
    name="grey_many",
    kind="image",
    conditioning="embedding",
    width=64,
    latent_dim=24,
    precision="auto",
    patch_size=2,
    resizing="pad",
    # With the norm both learn too slowly at such rates, or not at all.
    generator_spectral_norm=False,
    encoder_spectral_norm=False,
    ema_decay="auto",
    ema_start=0,
    max_iter=3000,
    # The encoder goes on with the labels of views when the networks have found each other.
    labels_only_max_iter=150,
    labels_only_tol=0.02,
    batch_size=64,
    discriminator_steps=2,
    encoder_steps=1,
    learning_rate=1e-3,
    prior_learning_rate=1e-2,
    latent_weight=0.1,
    reconstruction_weight=10.0,
    # Codes of images are learned several times as soon by what they decode to.
    reconstruction_by_encoder=True,
    generated_cluster_weight=0.3,
    pseudo_labels="image_search",
    label_weight=1.0,
    consistency="augmentation",
    consistency_weight=1.0,
    weights="auto",
    tol=0.005,
    reseed=True,
    learning_rate_decay=0.3,
)
_GREY = replace(
    _GREY_MANY,
    name="grey",
    # Wider on larger patches is better, and as fast, as narrower on smaller ones.
    patch_size=4,
    # At twice the rates half of the iterations do.
    max_iter=1500,
    learning_rate=2e-3,
    prior_learning_rate=2e-2,
    # Better samples, reconstructions and codes in the same time than by the hinge, whose discriminator
    # needs the norm: lab note of 2026-11-30 on samples of images.
    adversarial_loss="relativistic",
    gradient_penalty=0.2,
    discriminator_spectral_norm=False,
    # Samples get better until the end.
    ema_decay="late",
    # Of 1,500 iterations, a thousand is too many to remember large gradients for.
    beta2=0.99,
    reconstruction_weight=12.0,
    # Samples of the mixture come in the proportions of those of the data.
    weights="shares",
)
_GREY_TINY = replace(
    _GREY_MANY,
    name="grey_tiny",
    width=32,
    patch_size=1,
    max_iter=620,
    labels_only_max_iter=60,
    learning_rate=_GREY.learning_rate,
    prior_learning_rate=_GREY.prior_learning_rate,
)
_COLOUR = replace(
    _GREY_MANY,
    name="colour",
    conditioning="split",
    width=32,
    latent_dim=64,
    precision="tf32",
    prior_learning_rate=4e-3,
)
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
        _VECTORS_SMALL,
        _VECTORS_PLANE,
        _VECTORS_WIDE,
        _VECTORS_MANY,
        _GREY,
        _GREY_TINY,
        _GREY_MANY,
        _COLOUR,
        _COLOUR_MANY,
    )
}

_PLANE = 3
_NARROW = 32
_WIDE = 512
_SMALL = 1000
_MANY_CLUSTERS = 30
# Shorter side of images from which on generators have more than one block, and patches may be seen.
_LARGE_SIDE = 12


def choose(
    image: tuple[int, int, int] | None, n_samples: int, n_features: int, n_clusters: int
) -> Preset:
    """Choose the preset for the input's size and the number of clusters.

    Parameters
    ----------
    image : tuple of int or None
        (channels, height, width), or None for a table.
    n_samples : int
    n_features : int
        Columns of a table.
    n_clusters : int
    """
    many = n_clusters > _MANY_CLUSTERS
    size = "_many" if many else ""
    if image is not None:
        is_tiny = not many and min(image[1:]) < _LARGE_SIDE
        return PRESETS["colour" + size if image[0] > 1 else "grey_tiny" if is_tiny else "grey" + size]
    if not many and n_features > _WIDE:
        size = "_wide"
    elif not many and n_features <= _PLANE:
        size = "_plane"
    elif not many and n_features <= _NARROW:
        size = "_small" if n_samples <= _SMALL else "_narrow"
    return PRESETS["vectors" + size]


MPCC_PRESETS = PresetFamily(Preset, PRESETS, choose)
