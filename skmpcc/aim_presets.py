"""Presets of AIM: general ones for tables and images, and the paper's."""

from dataclasses import dataclass, field, fields, replace
from numbers import Real
from typing import Any

from skmpcc._sklearn import Interval, StrOptions
from skmpcc.presets import NamedSettings, Preset
from skmpcc.settings import (
    AIMNetworkSettings,
    setting,
    settings_of,
)


def _as_in_mpcc(name: str, **default: Any) -> Any:
    """Declare a field as MPCC's of the same name, with another default or none."""
    return field(metadata=settings_of(Preset)[name].metadata, **default)


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
    networks: str = field(
        metadata=settings_of(AIMNetworkSettings)["networks"].metadata, default="general"
    )
    latent_dim: int = _as_in_mpcc("latent_dim")
    width: int = setting(
        "Hidden units of the networks for tables, channels of those for images; in the networks of the "
        "AIM paper, channels of the discriminator's first convolution, to which all others are in "
        "proportion.",
        *settings_of(Preset)["width"].metadata["constraints"],
    )
    n_layers: int = _as_in_mpcc("n_layers", default=3)
    generator_spectral_norm: bool = _as_in_mpcc("generator_spectral_norm", default=False)
    encoder_spectral_norm: bool = _as_in_mpcc("encoder_spectral_norm", default=False)
    patch_size: int = _as_in_mpcc("patch_size", default=1)
    resizing: str = _as_in_mpcc("resizing", default="interpolate")
    upsampling: str = _as_in_mpcc("upsampling", default="nearest")
    initial_bias: str = _as_in_mpcc("initial_bias", default="zero")
    averaged_encoder: bool = _as_in_mpcc("averaged_encoder", default=True)
    # ---- Training
    max_iter: int = setting(
        "Maximum number of iterations, each of `discriminator_steps` updates of the discriminator and "
        "one of generator and encoder.",
        *settings_of(Preset)["max_iter"].metadata["constraints"],
    )
    batch_size: int = _as_in_mpcc("batch_size", default=100)
    discriminator_steps: int = _as_in_mpcc("discriminator_steps", default=1)
    learning_rate: float = setting(
        "Adam learning rate of generator, discriminator and encoder.",
        *settings_of(Preset)["learning_rate"].metadata["constraints"],
        default=2e-4,
    )
    beta1: float = setting(
        "Decay of Adam's first moments.", Interval(Real, 0, 1, closed="left"), default=0.5
    )
    learning_rate_schedule: str = setting(
        'How learning rates fall. "linear": to zero, over the last `learning_rate_decay` of the '
        'training. "epochs": by the root of the number of the epoch, as in the paper.',
        StrOptions({"linear", "epochs"}),
        default="linear",
    )
    learning_rate_decay: float = _as_in_mpcc("learning_rate_decay", default=0.0)
    latent_weight: float | str = setting(
        'Weight of L_q (lambda), in the losses of generator and encoder. "dimension" is one over '
        "`latent_dim`, as in the paper.",
        *settings_of(Preset)["latent_weight"].metadata["constraints"],
        default="dimension",
    )
    input_noise: float = _as_in_mpcc("input_noise", default=0.0)
    input_noise_decay: float = setting(
        "Share of the training over which `input_noise` falls to 0; 0 keeps it.",
        Interval(Real, 0, 1, closed="both"),
        default=0.0,
    )
    gradient_penalty: float = setting(
        "Weight, in the beginning, of half the mean square norm of the discriminator's gradient at real "
        "and generated samples. It falls linearly to 0. 0 in the paper.",
        Interval(Real, 0, None, closed="left"),
        default=0.0,
    )
    generator_power: float = setting(
        "Power of each sample's part of the generator's adversarial loss, before their mean, once the "
        "instance noise has fallen to 0. Above 1 the generator learns more from the samples that the "
        "discriminator is surest of, such as those between two groups of the data. 1 in the paper.",
        Interval(Real, 1, None, closed="left"),
        default=1.0,
    )
    tol: float = setting(
        "Training stops when the error of reconstructions changes by less than this share of the data's "
        "variance: in the mean of `n_iter_no_change` entries of `history_`, from as many before. 0 "
        "trains for `max_iter` iterations.",
        *settings_of(Preset)["tol"].metadata["constraints"],
        default=0.0,
    )
    n_iter_no_change: int = setting(
        "Entries of `history_` in a row below `tol` that stop the training.",
        *settings_of(Preset)["n_iter_no_change"].metadata["constraints"],
        default=10,
    )
    ema_decay: float | str = _as_in_mpcc("ema_decay", default="auto")
    ema_start: int = _as_in_mpcc("ema_start", default=0)
    standing_passes: int = _as_in_mpcc("standing_passes", default=16)

    def as_mpcc(self) -> Preset:
        """Return the same as settings of MPCC with one component, N(0, I), that is not learned."""
        common = {name: getattr(self, name) for name in settings_of(Preset) if hasattr(self, name)}
        return Preset(
            name=self.name,
            kind=self.kind,
            **common
            | {
                "conditioning": "embedding",
                "sharing": "discriminator",
                "min_std": 0.0,
                "initial_log_variance": 0.0,
                "encoder_steps": 1,
                # Lambda is 1 / J in AIM, and one over the dimension of x in MPCC.
                "latent_weight": 1.0 / self.latent_dim
                if self.latent_weight == "dimension"
                else self.latent_weight,
                # Memberships of a single component never change.
                "generation_tol": self.tol,
            },
        )

    def network_settings(self, covariance: str) -> AIMNetworkSettings:
        """Return what shapes the networks."""
        names = {f.name for f in fields(AIMNetworkSettings)} - {"networks", "covariance"}
        mpcc = self.as_mpcc()
        return AIMNetworkSettings(
            networks=self.networks,
            covariance=covariance,
            **{name: getattr(mpcc, name) for name in names},
        )


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
# ---- The paper's. It does not tell the networks of its Gaussians on a grid: these are ours.
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
