"""Presets of VAE and VaDE, for tables and for images, and the choice among them."""

from dataclasses import dataclass, replace

from skmpcc.presets import MixtureSettings, PresetFamily
from skmpcc.settings import VariationalTrainingSettings, select


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


_VECTORS = VariationalPreset(
    name="vectors",
    kind="vector",
    conditioning="embedding",
    width=256,
    n_layers=2,
    latent_dim=24,
    generator_spectral_norm=False,
    encoder_spectral_norm=False,
    min_std=0.1,
    initial_log_variance=0.0,
    ema_decay="auto",
    ema_start=0,
    precision="auto",
    max_iter=1000,
    labels_only_max_iter=200,
    batch_size=128,
    learning_rate=2e-3,
    learning_rate_decay=1.0,
    pseudo_labels="search",
    label_weight=10.0,
    weights="auto",
    tol=0.01,
    reseed=True,
)
_VECTORS_SMALL = replace(_VECTORS, name="vectors_small", width=128, batch_size=64, precision="float32")
_IMAGES = replace(
    _VECTORS,
    name="images",
    kind="image",
    width=64,
    patch_size=4,
    resizing="pad",
    upsampling="nearest",
    max_iter=2000,
    labels_only_max_iter=300,
    pseudo_labels="augmentation",
    consistency="augmentation",
    consistency_weight=1.0,
    tol=0.005,
)

VARIATIONAL_PRESETS: dict[str, VariationalPreset] = {
    preset.name: preset for preset in (_VECTORS, _VECTORS_SMALL, _IMAGES)
}

_SMALL = 1000


def choose(
    image: tuple[int, int, int] | None, n_samples: int, n_features: int, n_clusters: int
) -> VariationalPreset:
    """Choose the preset by the shape of the input."""
    if image is not None:
        return VARIATIONAL_PRESETS["images"]
    return VARIATIONAL_PRESETS["vectors_small" if n_samples <= _SMALL else "vectors"]


VARIATIONAL_FAMILY = PresetFamily(VariationalPreset, VARIATIONAL_PRESETS, choose)
