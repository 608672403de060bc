"""The base of all models: generator, encoder and latent prior, as training, inference and files need."""

import copy
import math
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from skmpcc.method.networks.image import Grid
from skmpcc.method.networks.layers import Encoder, draw_biases, evaluating, standing_statistics
from skmpcc.method.networks.table import TableInputs, TableOutput, table_outputs
from skmpcc.method.prior import GaussianMixturePrior
from skmpcc.settings import NetworkSettings

# No code of a trained encoder is so many standard deviations from the mixture.
_FAR = 1e4

# torch.random.fork_rng swaps a process-wide state; fits may run in threads.
_BUILDING = threading.Lock()


def channels_last(x: Tensor) -> Tensor:
    """Lay out images or weights of convolutions with their channels last; others stay as they are."""
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x


@dataclass(frozen=True)
class AveragedTensors:
    """Tensors of the moving averages, and those of the networks that they follow, in the same order."""

    averages: list[Tensor]
    parameters: list[Tensor]
    averaged_buffers: list[Tensor]
    buffers: list[Tensor]


class LatentModel(nn.Module):
    """A generator, an encoder and the latent prior, and the moving averages that serve after training.

    A subclass makes its networks in `_build_networks`: `generator`, `encoder`, and whatever else trains
    them.

    Parameters
    ----------
    settings : NetworkSettings
    sample_shape : tuple of int
        (d,) for tables, (c, h, w) for images; the latter has to be a size of `Grid`.
    n_clusters : int
        Components of the prior.
    seed : int
        Seed of the initial parameters. torch's global random state is left as it was.
    table : TableInputs, optional
        What the inputs are, of a table that has categories or missing values.
    """

    # Whether components are told from one another by their codes' full covariances once it is trained.
    has_full_gaussians = False
    generator: nn.Module
    encoder: Encoder
    n_averages: Tensor

    def __init__(
        self,
        settings: NetworkSettings,
        sample_shape: tuple[int, ...],
        n_clusters: int,
        seed: int = 0,
        table: TableInputs | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.table = table
        self.sample_shape = tuple(sample_shape)
        self.n_clusters = n_clusters
        with _BUILDING, torch.random.fork_rng(devices=[]):
            # torch.manual_seed would seed all devices, too, which nothing puts back.
            torch.default_generator.manual_seed(seed)
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
        self._build_networks()
        if s.initial_bias == "torch":
            self.apply(draw_biases)
        self.averaged_generator = copy.deepcopy(self.generator)
        self.averaged_encoder = copy.deepcopy(self.encoder)
        self.register_buffer("n_averages", torch.zeros((), dtype=torch.int64))

    def _build_networks(self) -> None:
        """Make the networks, by torch's global random state."""
        raise NotImplementedError

    def reinitialized(self, seed: int) -> Self:
        """Build a model of the same shape with initial parameters of another seed."""
        made = type(self)(self.settings, self.sample_shape, self.n_clusters, seed, self.table)
        for mine, other in zip(self._outputs(), made._outputs(), strict=True):
            other.patterns.copy_(mine.patterns)
        return made

    def _last_step(self, *, hides: bool) -> TableOutput | None:
        """Make the last step of a generator, where a table needs one."""
        return None if self.table is None else TableOutput(self.table, hides=hides)

    def _outputs(self) -> list[TableOutput]:
        generators = (self.generator, self.averaged_generator)
        return [output for generator in generators for output in table_outputs(generator)]

    def take_absences(self, data: Tensor) -> None:
        """Let generated rows lack in training what rows of the data lack."""
        for output in self._outputs():
            n = len(output.patterns)
            if n:
                rows = torch.linspace(0, len(data) - 1, n, dtype=torch.float64).round().long()
                output.patterns.copy_(data[rows.to(data.device), output.inputs.n_outputs :])

    def hidden_flops(self, n: int) -> int:
        """Floating-point operations of the largest hidden layer for `n` samples."""
        taps = 9 if len(self.sample_shape) == 3 else 1
        return 2 * n * self.n_places * taps * self.settings.width**2

    @property
    def n_errors(self) -> int:
        """Errors of a sample's reconstruction that `error` tells apart."""
        return math.prod(self.sample_shape)

    @property
    def n_outputs(self) -> int:
        """Inputs that are decoded."""
        return math.prod(self.sample_shape) if self.table is None else self.table.n_outputs

    @property
    def n_places(self) -> int:
        """Places of the largest hidden layer: patches of an image, one for a row of a table."""
        if len(self.sample_shape) == 1:
            return 1
        grid = Grid.for_image(*self.sample_shape[1:])
        return math.prod(grid.on_patches(self.settings.patch_size).size)

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return self.prior.means.device

    # ---- Moving averages

    @torch.no_grad()
    def update_averages(self, weight: Tensor | float, tensors: AveragedTensors | None = None) -> None:
        """Move the averages towards the networks by `weight`; the first update copies.

        Parameters
        ----------
        weight : Tensor or float
            1 - decay. 0 leaves the averages as they are, without waiting for the device that knows.
        tensors : AveragedTensors, optional
            Tensors to use instead of the modules' own, which are views of them.
        """
        tensors = self.averaged_tensors() if tensors is None else tensors
        # On the device, so that CUDA need not be waited for.
        weight = torch.as_tensor(weight, dtype=self.prior.means.dtype, device=self.device)
        active = weight > 0
        weight = torch.where((self.n_averages == 0) & active, 1.0, weight)
        for average, parameter in zip(tensors.averages, tensors.parameters, strict=True):
            average.lerp_(parameter, weight)
        torch._foreach_copy_(tensors.averaged_buffers, tensors.buffers)
        self.n_averages += active

    def averaged_tensors(self) -> AveragedTensors:
        """List the averages' tensors, and those of the networks that they follow."""
        averages, networks = (
            nn.ModuleList(modules)
            for modules in (
                (self.averaged_generator, self.averaged_encoder),
                (self.generator, self.encoder),
            )
        )
        return AveragedTensors(
            list(averages.parameters()),
            list(networks.parameters()),
            list(averages.buffers()),
            list(networks.buffers()),
        )

    @property
    def has_averages(self) -> bool:
        """Whether averages have begun. On CUDA this waits for the device."""
        return int(self.n_averages) > 0

    def restart_averages(self) -> None:
        """Make the next update copy the current networks."""
        self.n_averages.zero_()

    # ---- Clusters

    def _by_cluster(self) -> Iterable[Tensor]:
        """All tensors with a row for each cluster: the prior's, and the generators' embeddings."""
        yield from (self.prior.means, self.prior.log_variances, self.prior.weights)
        yield from self._embeddings()

    def _embeddings(self) -> Iterable[Tensor]:
        for generator in (self.generator, self.averaged_generator):
            yield from (m.weight for m in generator.modules() if isinstance(m, nn.Embedding))

    @torch.no_grad()
    def permute_clusters(self, order: Tensor) -> None:
        """Renumber the clusters: the k-th will be what the order[k]-th was."""
        for rows in self._by_cluster():
            rows.copy_(rows[order])

    @torch.no_grad()
    def move_cluster(self, cluster: int, mean: Tensor, like: int) -> None:
        """Give a component another mean, and variances and embeddings of the component `like`."""
        self.prior.means[cluster] = mean
        for rows in (self.prior.log_variances, *self._embeddings()):
            rows[cluster] = rows[like]

    # ---- In use

    @torch.no_grad()
    def collect_standing_statistics(
        self, n_passes: int, batch_size: int, rng: torch.Generator, data: Tensor | None = None
    ) -> None:
        """Collect the averaged generator's batch-norm statistics from batches of the prior.

        Models whose generator decodes codes of `data` in training take those.
        """
        module = self.averaged_generator
        if n_passes == 0:
            module.eval()
            return
        with standing_statistics(module):
            for _ in range(n_passes):
                y = self.prior.draw_labels(batch_size, rng)
                module(self.prior.sample(y, rng), y)

    def prepare_for_inference(
        self, n_passes: int, batch_size: int, rng: torch.Generator, data: Tensor | None = None
    ) -> None:
        """Ready the model for use: averages where none began, standing statistics, precision.

        Tables are inferred in double precision, so that a row's result does not depend on the other rows
        of a batch; for image networks that would cost too much. Their convolutions lie with the channels
        last, which halves the time.
        """
        if not self.has_averages:
            self.update_averages(1.0)
        self.collect_standing_statistics(n_passes, batch_size, rng, data)
        self.eval()
        self.set_inference_dtype_and_memory_format()

    def set_inference_dtype_and_memory_format(self) -> None:
        """Give the tensors the precision and the order in memory that inference wants."""
        if len(self.sample_shape) == 1:
            self.double()
        else:
            self.prior.double()
            self.lay_channels_last()

    def lay_channels_last(self) -> None:
        """Lay out convolutions with their channels last in memory, by which they are faster."""
        for p in self.parameters():
            p.data = channels_last(p.data)

    @property
    def is_ready_to_encode(self) -> bool:
        """Whether the encoder that `encode` takes is there; its average begins late."""
        return not self.settings.averaged_encoder or self.has_averages

    @property
    def serving_encoder(self) -> Encoder:
        """The encoder that `encode` takes: the averaged one where the settings say so."""
        return self.averaged_encoder if self.settings.averaged_encoder else self.encoder

    @torch.no_grad()
    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z | x), by `serving_encoder`."""
        return self.encode_by(self.serving_encoder, x)

    @torch.no_grad()
    def encode_by(
        self, encoder: Encoder, x: Tensor, n_spread: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z | x) by an encoder, which stays as it is.

        The latter of the first `n_spread` samples alone, if given.
        """
        with evaluating(encoder):
            return encoder(x) if n_spread is None else encoder(x, n_spread)

    @torch.no_grad()
    def decode(self, z: Tensor, y: Tensor) -> Tensor:
        """G(z, y) by the averaged generator, with its standing statistics."""
        self.averaged_generator.eval()
        return self.averaged_generator(z, y)

    def error(self, x: Tensor, rebuilt: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """How far a reconstruction is from x: squared differences, of shape (n, n_inputs).

        They are squared in `dtype`, by default that of the difference.
        """
        errors = (x - rebuilt).flatten(1).to(dtype or x.dtype).square()
        observed = self.observed(x)
        return errors if observed is None else errors * observed

    def observed(self, x: Tensor, rebuilt: Tensor | None = None) -> Tensor | None:
        """Return 1 for inputs that are known, and not hidden in what is rebuilt; None if all are."""
        if self.table is None:
            return None
        observed = self.table.observed(x)
        return observed if rebuilt is None else observed * self.table.observed(rebuilt)

    def log_likelihood(self, x: Tensor, rebuilt: Tensor, variances: Tensor) -> Tensor:
        """log p(x | z): a Gaussian around the reconstruction, with a variance for each input; (n,).

        Of what is observed; categories count by Brier's score.
        """
        errors, observed = self.error(x, rebuilt, variances.dtype) / variances, self.observed(x)
        if observed is None:
            constant = 0.5 * float((2.0 * math.pi * variances).log().sum())
            return -0.5 * errors.sum(1) - constant
        return -0.5 * (errors + observed * (2.0 * math.pi * variances).log()).sum(1)

    @torch.no_grad()
    def is_usable(self, x: Tensor, encoder: Encoder | None = None) -> bool:
        """Whether codes of samples are in reach of the mixture, and their reconstructions finite.

        After steps far too large they need not be, though all parameters are finite. Codes are by
        `serving_encoder` if no encoder is given.
        """
        return self.are_usable(self.encode_by(encoder or self.serving_encoder, x)[0])

    @torch.no_grad()
    def are_usable(self, codes: Tensor) -> bool:
        """Whether codes are in reach of the mixture, and what they decode to is finite."""
        prior = self.prior
        reach = _FAR * float((prior.means.abs() + prior.stds).max())
        if not float(codes.abs().max()) < reach:
            return False
        return bool(self.decode(codes, prior.most_probable(codes)).isfinite().all())

    # ---- Kept

    def own_state(self) -> dict[str, Tensor]:
        """Return the state dict, on the CPU, each tensor by one name."""
        state = self.state_dict().items()
        return {key: value.detach().cpu() for key, value in state if not self._is_alias(key)}

    def load_own_state(self, state: dict[str, Tensor]) -> None:
        """Take what `own_state` of a model of the same shape returned, and its precision with it."""
        aliases = [key for key in self.state_dict() if self._is_alias(key)]
        state = state | {key: state[self._aliased(key)] for key in aliases}
        # By assignment, which keeps the state's precision; and clones, so that copies share nothing.
        self.load_state_dict({key: value.clone() for key, value in state.items()}, assign=True)
        self.eval()

    # torch refuses to pickle parametrized modules; settings and a state dict say the same.
    def __reduce__(self) -> tuple[Any, ...]:
        shape = self.settings, self.sample_shape, self.n_clusters
        return _restore, (type(self), *shape, self.own_state(), self.table)

    def _is_alias(self, key: str) -> bool:
        """Whether another name in the state dict has the same tensor."""
        return False

    def _aliased(self, key: str) -> str:
        """Return the other name of an alias."""
        raise NotImplementedError


def _restore(
    cls: type[LatentModel],
    settings: NetworkSettings,
    sample_shape: tuple[int, ...],
    n_clusters: int,
    state: dict[str, Tensor],
    table: TableInputs | None = None,
) -> LatentModel:
    model = cls(settings, sample_shape, n_clusters, table=table)
    model.load_own_state(state)
    return model
