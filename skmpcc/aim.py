"""AIM: adversarial inference without clusters, behind scikit-learn's interface."""

import os
from typing import Any, ClassVar

import numpy as np
import torch

from skmpcc._base import (
    CATEGORICAL_DOC,
    TRANSFORMER_ATTRIBUTES,
    TRANSFORMER_PARAMETERS,
    GenerativeTransformer,
)
from skmpcc.aim_presets import AIM_FAMILY, AIMPreset
from skmpcc.presets import PresetFamily
from skmpcc.settings import (
    AIMNetworkSettings,
    constraints_of,
    description,
    parameter_docs,
    settings_of,
)

# Parameters that override the preset's field of the same name, latent_dim first.
_PRESET_FIELDS = ("latent_dim", "width", "max_iter", "tol", "learning_rate")
# What the networks are for.
_NETWORKS = {
    "general": ("image", "vector"),
    "fourier": ("vector",),
    "table3": ("image",),
    "table4": ("image",),
}


class AIM(GenerativeTransformer):
    """Generative transformer by AIM, Adversarial Inference by Matching priors and conditionals.

    AIM is a generative adversarial network with an encoder, which reads the features of the
    discriminator and learns the codes z that samples are generated from [1]_. The generator learns,
    beside what the adversarial loss asks, to make samples whose codes can be told, so that what is
    decoded from a sample's code is that sample again, and no part of the data is left out. It is MPCC
    with the standard normal distribution as the latent prior, and so without clusters.

    Parameters
    ----------
    latent_dim : int, default=None
        {latent_dim}
    covariance : {"diagonal", "identity"}, default="diagonal"
        {covariance}
    preset : str or AIMPreset, default="auto"
        Settings of networks and training: a `skmpcc.aim_presets.AIMPreset`, or the name of one in
        `skmpcc.aim_presets.AIM_PRESETS`. "auto" is "vectors" for tables and "images" for images. It
        gives the value of every parameter below that is None. "mnist" and "cifar10" are the paper's
        networks and settings, "grid" is for its Gaussians on a grid. A preset for tables flattens
        images; one for images takes no tables.
    preset_params : dict, default=None
        Values that replace the preset's, by the name of the field, such as `{"discriminator_steps": 2}`.
        The fields are listed under Other Parameters.
    image_shape : tuple of int, default=None
        (height, width), (height, width, channels) or (channels, height, width) of images that come as
        rows, or whose layout may be read in two ways.
    {categorical}
    {settings}
    {shared_parameters}

    Other Parameters
    ----------------
    {preset_params}

    Attributes
    ----------
    {shared_attributes}
    history_ : dict of ndarray
        Course of the training, with an entry every hundredth of `max_iter`, but no more often than
        every 8 iterations where it is 100 or more: "iteration";
        the losses "discriminator" and "generator" of the adversarial game and
        "latent", which is L_q summed over the dimensions of z, each of the last step; "clipped_steps",
        the share of the networks' steps since the entry before that would have been longer than the
        learning rate and were shortened; and "generation_change", the change of the error of some
        reconstructions, see `tol`.

    See Also
    --------
    MPCCClusterer : The same with a mixture as the latent prior, whose components are clusters.
    sklearn.decomposition.PCA : Linear codes, in no time.

    Notes
    -----
    A method that is given a torch tensor returns tensors, on the device of that one. Fitted attributes
    and what `sample` draws are arrays.

    References
    ----------
    .. [1] H. Li, Y. Wang, C. Chen, J. Gao, "AIM: Adversarial Inference by Matching Priors and
       Conditionals", 2019.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skmpcc import AIM
    >>> X, _ = make_blobs(200, centers=[[-5, 0], [5, 0], [0, 9]], random_state=0)
    >>> aim = AIM(latent_dim=2, max_iter=50, width=32, random_state=0).fit(X)
    >>> aim.transform(X).shape
    (200, 2)
    >>> aim.reconstruct(X).shape
    (200, 2)
    >>> aim.sample(4).shape
    (4, 2)
    """

    _family: ClassVar[PresetFamily] = AIM_FAMILY
    _preset_fields: ClassVar[tuple[str, ...]] = _PRESET_FIELDS
    _parameter_constraints: ClassVar[dict] = {
        **{name: [*constraints_of(AIMPreset)[name], None] for name in _PRESET_FIELDS},
        "covariance": constraints_of(AIMNetworkSettings)["covariance"],
        "preset": AIM_FAMILY.constraints,
        **GenerativeTransformer._parameter_constraints,
    }

    def __init__(
        self,
        latent_dim: int | None = None,
        *,
        covariance: str = "diagonal",
        preset: str | AIMPreset = "auto",
        preset_params: dict[str, Any] | None = None,
        image_shape: tuple[int, ...] | None = None,
        categorical_features: Any = "from_dtype",
        width: int | None = None,
        max_iter: int | None = None,
        tol: float | None = None,
        learning_rate: float | None = None,
        device: str | torch.device = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> None:
        self.latent_dim = latent_dim
        self.covariance = covariance
        self.preset = preset
        self.preset_params = preset_params
        self.image_shape = image_shape
        self.categorical_features = categorical_features
        self.width = width
        self.max_iter = max_iter
        self.tol = tol
        self.learning_rate = learning_rate
        self.device = device
        self.random_state = random_state
        self.verbose = verbose
        self.checkpoint = checkpoint

    def _networks_of(self, preset: AIMPreset) -> AIMNetworkSettings:
        return preset.network_settings(self.covariance)

    def _networks_for(self, preset: AIMPreset) -> tuple[str, tuple[str, ...]]:
        return f" with networks={preset.networks!r}", _NETWORKS[preset.networks]


if AIM.__doc__ is not None:  # it is None with python -OO
    _OTHER = [name for name in settings_of(AIMPreset) if name not in _PRESET_FIELDS]
    AIM.__doc__ = (
        AIM.__doc__.replace("{categorical}", CATEGORICAL_DOC)
        .replace("{latent_dim}", description(AIMPreset, "latent_dim", ""))
        .replace("{covariance}", description(AIMNetworkSettings, "covariance", ""))
        .replace("{settings}", parameter_docs(AIMPreset, _PRESET_FIELDS[1:], ", default=None"))
        .replace("{shared_parameters}", TRANSFORMER_PARAMETERS)
        .replace("{shared_attributes}", TRANSFORMER_ATTRIBUTES)
        .replace("{preset_params}", parameter_docs(AIMPreset, _OTHER))
    )
