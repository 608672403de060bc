"""Presets of VAE and VaDE, for tables and for images, and the choice among them."""

from dataclasses import dataclass, replace

from skmpcc.presets import MixtureSettings, PresetFamily
from skmpcc.settings import (
    LightCurveNetworkSettings,
    LightCurveTrainingSettings,
    VariationalTrainingSettings,
    select,
)

# Fields that are of clusters alone.
OF_CLUSTERS = (
    *("pseudo_labels", "pseudo_label_share", "n_neighbors", "consistency", "consistency_weight"),
    *("weights", "labels_only", "labels_only_max_iter", "labels_only_tol", "reseed", "label_weight"),
    *("prior_learning_rate", "min_std", "std_floor", "initial_log_variance", "sharing"),
    *("discriminator_spectral_norm", "generation_tol"),
)


@dataclass(frozen=True, kw_only=True)
class VariationalPreset(VariationalTrainingSettings, MixtureSettings):
    """All settings of a fit of `skmpcc.VAE` or `skmpcc.VaDEClusterer`.

    Attributes
    ----------
    name : str
        Name in `VARIATIONAL_PRESETS`, and of the fitted attribute `preset_`.
    kind : {"image", "vector"}
        What the preset is meant for; "vector" is a row of a table.

    Notes
    -----
    All other fields are listed in the documentation of the estimators. A value that breaks its field's
    constraint is a ValueError.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from skmpcc import VAE
    >>> from skmpcc.variational_presets import VARIATIONAL_PRESETS
    >>> slow = replace(VARIATIONAL_PRESETS["vectors"], name="slow", learning_rate=1e-4)
    >>> VAE(preset=slow).preset.learning_rate
    0.0001
    """

    def training_settings(self) -> VariationalTrainingSettings:
        """Return what the training takes."""
        return select(self, VariationalTrainingSettings)

    def without_clusters(self) -> "VariationalPreset":
        """Return the settings of a VAE, whose prior has one component."""
        return replace(
            self,
            pseudo_labels=None,
            weights="uniform",
            consistency_weight=0.0,
            reseed=False,
            # A single component has settled when reconstructions have.
            generation_tol=self.tol,
        )


@dataclass(frozen=True, kw_only=True)
class LightCurvePreset(LightCurveTrainingSettings, MixtureSettings, LightCurveNetworkSettings):
    """All settings of a fit of `skmpcc.light_curves.LightCurveVaDE`."""

    def network_settings(self) -> LightCurveNetworkSettings:
        """Return what shapes the networks."""
        return select(self, LightCurveNetworkSettings)

    def training_settings(self) -> LightCurveTrainingSettings:
        """Return what the training takes."""
        return select(self, LightCurveTrainingSettings)


_VECTORS = VariationalPreset(
    name="vectors",
    kind="vector",
    conditioning="embedding",
    width=256,
    n_layers=2,
    latent_dim=24,
    generator_spectral_norm=False,
    encoder_spectral_norm=False,
    # Components that shrink onto single codes would have any density.
    min_std=0.1,
    initial_log_variance=0.0,
    ema_decay="auto",
    ema_start=0,
    precision="auto",
    max_iter=800,
    labels_only_max_iter=100,
    batch_size=128,
    learning_rate=5e-3,
    prior_learning_rate=2e-2,
    learning_rate_decay=1.0,
    pseudo_labels="search",
    # Beside a likelihood of so many inputs a label would be overheard.
    label_weight=10.0,
    weights="auto",
    tol=0.01,
    reseed=True,
)
_IMAGES = replace(
    _VECTORS,
    name="images",
    kind="image",
    width=48,
    patch_size=4,
    resizing="pad",
    upsampling="nearest",
    max_iter=4000,
    labels_only_max_iter=600,
    batch_size=64,
    learning_rate=2e-3,
    prior_learning_rate=1e-2,
    pseudo_labels="image_search",
    # Pairs weigh more than labels, some of which are wrong.
    label_weight=15.0,
    consistency="augmentation",
    consistency_weight=100.0,
    tol=0.005,
)
# Of so many images more can be learned.
_IMAGES_MANY = replace(_IMAGES, name="images_many", max_iter=15_000)
_IMAGES_TINY = replace(_IMAGES, name="images_tiny", width=32, patch_size=1, max_iter=1500)

VARIATIONAL_PRESETS: dict[str, VariationalPreset] = {
    preset.name: preset for preset in (_VECTORS, _IMAGES, _IMAGES_MANY, _IMAGES_TINY)
}

_MANY_IMAGES = 20_000
# Shorter side of images below which single pixels are seen.
_LARGE_SIDE = 12


def choose(
    image: tuple[int, int, int] | None, n_samples: int, n_features: int, n_clusters: int
) -> VariationalPreset:
    """Choose the preset by the shape of the input."""
    if image is None:
        name = "vectors"
    elif min(image[1:]) < _LARGE_SIDE:
        name = "images_tiny"
    else:
        name = "images" if n_samples <= _MANY_IMAGES else "images_many"
    return VARIATIONAL_PRESETS[name]


VARIATIONAL_FAMILY = PresetFamily(VariationalPreset, VARIATIONAL_PRESETS, choose)

LIGHT_CURVES = LightCurvePreset(
    name="light_curves",
    kind="vector",
    conditioning="embedding",
    width=128,
    n_layers=2,
    latent_dim=10,
    generator_spectral_norm=False,
    encoder_spectral_norm=False,
    scaling="none",
    min_std=0.1,
    initial_log_variance=0.0,
    ema_decay="auto",
    ema_start=0,
    max_iter=800,
    batch_size=128,
    learning_rate=2e-3,
    learning_rate_decay=1.0,
    prior_learning_rate=2e-2,
    pseudo_labels="search",
    label_weight=10.0,
    weights="auto",
)
