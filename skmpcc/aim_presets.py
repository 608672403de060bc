"""Presets of AIM: general ones for tables and images, and the paper's."""

from dataclasses import dataclass, field, replace
from typing import Any

from skmpcc.presets import NamedSettings, PresetFamily
from skmpcc.settings import AIMNetworkSettings, AIMTrainingSettings, setting, settings_of

_DECLARED = settings_of(AIMNetworkSettings) | settings_of(AIMTrainingSettings)


def _declared(name: str, **default: Any) -> Any:
    """Declare a field as the settings of networks or training do, with another default or none."""
    return field(metadata=_DECLARED[name].metadata, **default)


@dataclass(frozen=True, kw_only=True)
class AIMPreset(NamedSettings):
    """All settings of a fit of `skmpcc.AIM`: what shapes the networks and how they are trained.

    Attributes
    ----------
    name : str
        Name in `AIM_PRESETS`, and of the fitted attribute `preset_`.
    kind : {"image", "vector"}
        What the preset is meant for; "vector" is a row of a table.

    Notes
    -----
    All other fields are listed in the documentation of `skmpcc.AIM`. A value that breaks its field's
    constraint is a ValueError.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from skmpcc import AIM
    >>> from skmpcc.aim_presets import AIM_PRESETS
    >>> slow = replace(AIM_PRESETS["vectors"], name="slow", learning_rate=1e-4)
    >>> AIM(preset=slow).preset.learning_rate
    0.0001
    """

    # ---- Networks
    networks: str = _declared("networks", default="general")
    latent_dim: int = _declared("latent_dim")
    width: int = setting(
        "Hidden units of the networks for tables, channels of those for images; in the networks of the "
        "AIM paper, channels of the discriminator's first convolution, to which all others are in "
        "proportion.",
        *_DECLARED["width"].metadata["constraints"],
    )
    n_layers: int = _declared("n_layers", default=3)
    generator_spectral_norm: bool = _declared("generator_spectral_norm", default=False)
    encoder_spectral_norm: bool = _declared("encoder_spectral_norm", default=False)
    patch_size: int = _declared("patch_size", default=1)
    resizing: str = _declared("resizing", default="interpolate")
    scaling: str = _declared("scaling", default="auto")
    upsampling: str = _declared("upsampling", default="nearest")
    initial_bias: str = _declared("initial_bias", default="zero")
    averaged_encoder: bool = _declared("averaged_encoder", default=True)
    # ---- Training
    max_iter: int = setting(
        "Maximum number of iterations, each of `discriminator_steps` updates of the discriminator and "
        "one of generator and encoder.",
        *_DECLARED["max_iter"].metadata["constraints"],
    )
    batch_size: int = _declared("batch_size", default=100)
    discriminator_steps: int = _declared("discriminator_steps", default=1)
    learning_rate: float = setting(
        "Adam learning rate of generator, discriminator and encoder.",
        *_DECLARED["learning_rate"].metadata["constraints"],
        default=2e-4,
    )
    beta1: float = _declared("beta1", default=0.5)
    learning_rate_schedule: str = _declared("learning_rate_schedule", default="linear")
    learning_rate_decay: float = _declared("learning_rate_decay", default=0.0)
    latent_weight: float | str = _declared("latent_weight", default="dimension")
    input_noise: float = _declared("input_noise", default=0.0)
    input_noise_decay: float = _declared("input_noise_decay", default=0.0)
    gradient_penalty: float = _declared("gradient_penalty", default=0.0)
    generator_power: float = _declared("generator_power", default=1.0)
    tol: float = setting(
        "Training stops when the error of reconstructions changes by less than this share of the data's "
        "variance: in the mean of `n_iter_no_change` entries of `history_`, from as many before. 0 "
        "trains for `max_iter` iterations.",
        *_DECLARED["tol"].metadata["constraints"],
        default=0.0,
    )
    n_iter_no_change: int = setting(
        "Entries of `history_` in a row below `tol` that stop the training.",
        *_DECLARED["n_iter_no_change"].metadata["constraints"],
        default=10,
    )
    ema_decay: float | str = _declared("ema_decay", default="auto")
    ema_start: int = _declared("ema_start", default=0)
    standing_passes: int = _declared("standing_passes", default=16)

    def network_settings(self, covariance: str = "diagonal") -> AIMNetworkSettings:
        """Return what shapes the networks."""
        return AIMNetworkSettings(covariance=covariance, **self._fields_of(AIMNetworkSettings))

    def training_settings(self) -> AIMTrainingSettings:
        """Return what the training takes; a single component has settled when reconstructions have."""
        found = self._fields_of(AIMTrainingSettings)
        if self.latent_weight == "dimension":
            found["latent_weight"] = 1.0 / self.latent_dim
        return AIMTrainingSettings(**found | {"generation_tol": self.tol})

    def _fields_of(self, cls: type) -> dict[str, Any]:
        return {name: getattr(self, name) for name in settings_of(cls) if hasattr(self, name)}


_VECTORS = AIMPreset(
    name="vectors",
    kind="vector",
    width=256,
    latent_dim=16,
    batch_size=128,
    max_iter=4000,
    learning_rate=1e-3,
    learning_rate_decay=0.3,
)
_IMAGES = AIMPreset(
    name="images",
    kind="image",
    width=32,
    latent_dim=32,
    patch_size=4,
    resizing="pad",
    batch_size=64,
    max_iter=4000,
    learning_rate=1e-3,
    learning_rate_decay=0.3,
    # At 1 / d the generator hardly looks at its code, ...
    latent_weight=0.1,
    # ... and without noise it writes the code into single pixels, which real images do not have.
    input_noise=0.6,
)
# ---- The paper's. It does not say which networks its Gaussians on a grid had: these are ours.
_GRID = AIMPreset(
    name="grid",
    kind="vector",
    networks="fourier",
    width=64,
    n_layers=4,
    latent_dim=2,
    batch_size=192,
    max_iter=8000,
    learning_rate=1e-3,
    learning_rate_decay=0.8,
    latent_weight=0.15,
    # Wide enough to see the neighbours at first, so that codes are laid out as the Gaussians are.
    input_noise=2.4,
    input_noise_decay=0.35,
    gradient_penalty=0.2,
    generator_power=2.0,
    # Samples get better to the very end, which longer averages would lag behind.
    ema_decay=0.99,
)
_MNIST = AIMPreset(
    name="mnist",
    kind="image",
    networks="table3",
    width=64,
    latent_dim=32,
    batch_size=100,
    # 400 epochs of 60,000 images
    max_iter=400 * 600,
    learning_rate_schedule="epochs",
)
_CIFAR10 = replace(
    _MNIST,
    name="cifar10",
    networks="table4",
    width=128,
    latent_dim=64,
    # 300 epochs of 50,000 images
    max_iter=300 * 500,
)

AIM_PRESETS: dict[str, AIMPreset] = {
    preset.name: preset for preset in (_VECTORS, _IMAGES, _GRID, _MNIST, _CIFAR10)
}


def choose(
    image: tuple[int, int, int] | None, n_samples: int, n_features: int, n_clusters: int
) -> AIMPreset:
    """Choose the preset by the kind of the input."""
    return AIM_PRESETS["vectors" if image is None else "images"]


AIM_FAMILY = PresetFamily(AIMPreset, AIM_PRESETS, choose)
