"""The modules that MPCC trains, built together from plain settings."""

import copy
import math
import threading
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from skmpcc.networks.image import (
    Grid,
    ImageDiscriminator,
    ImageEncoder,
    ImageGenerator,
    ImageTrunk,
)
from skmpcc.networks.layers import standing_statistics
from skmpcc.networks.vector import (
    VectorDiscriminator,
    VectorEncoder,
    VectorGenerator,
    VectorTrunk,
)
from skmpcc.prior import GaussianMixturePrior

# torch.random.fork_rng swaps a process-wide state; fits may run in threads.
_BUILDING = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """What shapes the modules. Fields are described at `skmpcc.MPCCClusterer`'s parameters."""

    latent_dim: int
    conditioning: str
    width: int
    n_layers: int = 3
    generator_spectral_norm: bool = True
    encoder_spectral_norm: bool = True
    upsampling: str = "bilinear"
    sharing: str = "joint"
    min_std: float = 0.5
    std_floor: str = "additive"
    initial_log_variance: float = 1.0
    ema_decay: float = 0.9999


class MPCCModel(nn.Module):
    """Prior, generator, discriminator and encoder, and the moving averages used after training.

    Parameters
    ----------
    settings : NetworkSettings
    sample_shape : tuple of int
        (d,) for vectors, (c, h, w) for images; the latter has to be a size of `Grid`.
    n_clusters : int
    seed : int
        Of the initial parameters. torch's global random state is left as it was.
    """

    def __init__(
        self,
        settings: NetworkSettings,
        sample_shape: tuple[int, ...],
        n_clusters: int,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.sample_shape = tuple(sample_shape)
        self.n_clusters = n_clusters
        with _BUILDING, torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._build()

    def _build(self) -> None:
        s = self.settings
        self.prior = GaussianMixturePrior(
            self.n_clusters,
            s.latent_dim,
            min_std=s.min_std,
            std_floor=s.std_floor,
            initial_log_variance=s.initial_log_variance,
        )
        if len(self.sample_shape) == 1:
            n_features = self.sample_shape[0]
            self.generator: nn.Module = VectorGenerator(
                n_features,
                self.n_clusters,
                s.latent_dim,
                width=s.width,
                n_layers=s.n_layers,
                conditioning=s.conditioning,
                spectral=s.generator_spectral_norm,
            )
            trunk: nn.Module = VectorTrunk(n_features, width=s.width, n_layers=s.n_layers)
            self.discriminator: nn.Module = VectorDiscriminator(trunk, width=s.width)
            self.encoder: nn.Module = VectorEncoder(
                self._encoder_trunk(trunk),
                s.latent_dim,
                width=s.width,
                spectral=s.encoder_spectral_norm,
            )
        else:
            channels, height, width = self.sample_shape
            grid = Grid.for_image(height, width)
            if grid.size != (height, width):
                raise ValueError(f"sample_shape {self.sample_shape} is none of {grid}'s.")
            self.generator = ImageGenerator(
                grid,
                channels,
                self.n_clusters,
                s.latent_dim,
                width=s.width,
                conditioning=s.conditioning,
                upsampling=s.upsampling,
                spectral=s.generator_spectral_norm,
            )
            trunk = ImageTrunk(grid, channels, width=s.width)
            self.discriminator = ImageDiscriminator(trunk, width=s.width)
            self.encoder = ImageEncoder(
                grid,
                self._encoder_trunk(trunk),
                s.latent_dim,
                width=s.width,
                spectral=s.encoder_spectral_norm,
            )
        average = get_ema_multi_avg_fn(s.ema_decay)
        self.averaged_generator = AveragedModel(self.generator, multi_avg_fn=average)
        self.averaged_encoder = AveragedModel(self.encoder, multi_avg_fn=average)

    def like(self, seed: int) -> "MPCCModel":
        """A new model of the same shape, with initial parameters of another seed."""
        return type(self)(self.settings, self.sample_shape, self.n_clusters, seed)

    def _encoder_trunk(self, trunk: nn.Module) -> nn.Module:
        """The discriminator's own trunk, or with sharing="none" (NS in the paper) a twin of it."""
        return copy.deepcopy(trunk) if self.settings.sharing == "none" else trunk

    @property
    def n_inputs(self) -> int:
        """d_x: channels x height x width, or the number of features."""
        return math.prod(self.sample_shape)

    def hidden_flops(self, n: int) -> int:
        """Floating-point operations of the largest hidden layer for `n` samples."""
        is_image = len(self.sample_shape) == 3
        places = math.prod(self.sample_shape[1:]) * 9 if is_image else 1
        return 2 * n * places * self.settings.width**2

    @property
    def device(self) -> torch.device:
        return self.prior.means.device

    def encoder_parameters(self) -> list[nn.Parameter]:
        """What the encoder's steps update: with sharing="discriminator" (AIM) not the trunk."""
        if self.settings.sharing != "discriminator":
            return list(self.encoder.parameters())
        shared = {id(p) for p in self.encoder.trunk.parameters()}
        return [p for p in self.encoder.parameters() if id(p) not in shared]

    def update_averages(self) -> None:
        """One step of the exponential moving averages; the first one copies."""
        self.averaged_generator.update_parameters(self.generator)
        self.averaged_encoder.update_parameters(self.encoder)

    @property
    def has_averages(self) -> bool:
        return int(self.averaged_generator.n_averaged) > 0

    def restart_averages(self) -> None:
        """Make the next update copy the current networks."""
        self.averaged_generator.n_averaged.zero_()
        self.averaged_encoder.n_averaged.zero_()

    @torch.no_grad()
    def collect_standing_statistics(
        self, n_passes: int, batch_size: int, generator: torch.Generator
    ) -> None:
        """Batch-norm statistics of the averaged generator from `n_passes` batches of the prior."""
        module = self.averaged_generator.module
        if n_passes == 0:
            module.eval()
            return
        with standing_statistics(module):
            for _ in range(n_passes):
                y = self.prior.draw_labels(batch_size, generator)
                module(self.prior.sample(y, generator), y)

    @torch.no_grad()
    def permute_clusters(self, order: Tensor) -> None:
        """Number the clusters anew: the k-th will be what the order[k]-th was."""
        self.prior.means.copy_(self.prior.means[order])
        self.prior.log_variances.copy_(self.prior.log_variances[order])
        self.prior.weights.copy_(self.prior.weights[order])
        for generator in (self.generator, self.averaged_generator):
            for module in generator.modules():
                if isinstance(module, nn.Embedding):
                    module.weight.copy_(module.weight[order])

    @torch.no_grad()
    def move_cluster(self, cluster: int, mean: Tensor, like: int) -> None:
        """Give a component another mean, and all else that another one has."""
        self.prior.means[cluster] = mean
        self.prior.log_variances[cluster] = self.prior.log_variances[like]
        for generator in (self.generator, self.averaged_generator):
            for module in generator.modules():
                if isinstance(module, nn.Embedding):
                    module.weight[cluster] = module.weight[like]

    @torch.no_grad()
    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z | x) by the averaged encoder."""
        module = self.averaged_encoder.module
        module.eval()
        return module(x)

    @torch.no_grad()
    def decode(self, z: Tensor, y: Tensor) -> Tensor:
        """G(z, y) by the averaged generator, with its standing statistics."""
        module = self.averaged_generator.module
        module.eval()
        return module(z, y)

    # torch refuses to pickle parametrized modules; settings and a state dict say the same.
    def __reduce__(self) -> tuple[Any, ...]:
        state = {
            key: value.detach().cpu()
            for key, value in self.state_dict().items()
            if not self._is_alias(key)
        }
        return _restore, (type(self), self.settings, self.sample_shape, self.n_clusters, state)

    def _is_alias(self, key: str) -> bool:
        """Whether the discriminator has the same tensor under its own name."""
        return key.startswith("encoder.trunk.") and self.settings.sharing != "none"


def _restore(
    cls: type[MPCCModel],
    settings: NetworkSettings,
    sample_shape: tuple[int, ...],
    n_clusters: int,
    state: dict[str, Tensor],
) -> MPCCModel:
    model = cls(settings, sample_shape, n_clusters)
    aliases = [key for key in model.state_dict() if model._is_alias(key)]
    state = state | {key: state[key.replace("encoder", "discriminator", 1)] for key in aliases}
    # By assignment, which keeps the state's precision; and clones, so that copies share nothing.
    model.load_state_dict({key: value.clone() for key, value in state.items()}, assign=True)
    return model.eval()
