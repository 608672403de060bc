"""The end of a training: the encoder or its average serves, and is finished where it lacks labels."""

import torch
from torch import Tensor, nn

from skmpcc.method import losses
from skmpcc.method.latent_model import LatentModel
from skmpcc.method.networks.layers import Encoder
from skmpcc.method.optimizers import Adam
from skmpcc.method.trainer import Batch, copied, descend
from skmpcc.pseudo_labels.augmentation import random_affine
from skmpcc.settings import LoopSettingsOnData
from skmpcc.system.devices import matmul_dtype

# Samples that are looked at, at most, and at a time.
MAX_LOOKED_AT, CHUNK = 20_000, 4096
# Steps that an encoder is finished by, at most, in all and for each iteration that was asked for, and
# between two looks at it.
MAX_STEPS, STEPS_PER_ITERATION, INTERVAL = 2000, 4, 50
# Samples that have to be decoded, too, if what is met on the way is to stay.
N_DECODED = 128
# Weight of the square distance, in standard deviations, of codes from where they were, if no larger a
# share of the labels lacks. Codes of an encoder that lacks more are not worth it.
STAY_WEIGHT, FEW = 0.1, 0.05
# Steps on views of images, at most for each iteration that was asked for, and in all; and how many where
# more than this share of the labels lacks.
VIEW_STEPS_PER_ITERATION, VIEW_STEPS = 6, 300
MANY_VIEW_STEPS, MANY = 900, 0.1
# An encoder is finished if this share of its labels, or less, is not those that it was taught.
MAX_DIFFERENT = 0.001


class Finishing:
    """Last steps of a model whose training is over, and that was taught labels to the end.

    Parameters
    ----------
    model : LatentModel
        Changed in place.
    settings : LoopSettingsOnData
    data : Tensor of shape (n_samples, ...)
        Data as the networks see them, on any device.
    labels : Tensor of shape (n_samples,)
        On any device.
    seed : int
    """

    def __init__(
        self, model: LatentModel, settings: LoopSettingsOnData, data: Tensor, labels: Tensor, seed: int
    ) -> None:
        self.model = model
        self.settings = settings
        step = -(-len(data) // MAX_LOOKED_AT)
        self._data, self._labels = data[::step], labels[::step]
        self._rng = torch.Generator().manual_seed(seed)

    @torch.no_grad()
    def _codes_by(self, encoder: Encoder) -> Tensor:
        """Codes of all samples that are looked at, some at a time."""
        model = self.model
        parts = (x.to(model.device) for x in self._data.split(CHUNK))
        return torch.cat([model.encode_by(encoder, x, 0)[0] for x in parts])

    @torch.no_grad()
    def _differ(self, codes: Tensor) -> Tensor:
        """Whether labels by codes are not those that were taught, sample by sample."""
        return self.model.prior.most_probable(codes) != self._labels.to(codes.device)

    def differing(self, encoder: Encoder) -> float:
        """Share of the samples whose labels by an encoder are not those that it was taught."""
        return float(self._differ(self._codes_by(encoder)).double().mean())

    def choose_encoder(self) -> None:
        """Let the encoder itself serve, in the place of its average, if it knows more of the labels."""
        model = self.model
        own, average = model.encoder, model.averaged_encoder
        serves = model.settings.averaged_encoder and model.has_averages
        if serves and self.differing(own) < self.differing(average):
            average.load_state_dict(own.state_dict())

    def finish_encoder(self) -> None:
        """Train the serving encoder's own layers on the labels until it knows them, at falling rates.

        A tenth of the time of an iteration, since nothing is generated: where the encoder cannot follow
        a shape in the iterations that there are, it can here. Codes stay where they are if they can,
        since the generator decodes no others well. The best of what is met on the way stays. Where few
        iterations were asked for, there are few steps.
        """
        encoder, some = self.model.serving_encoder, self._data[:N_DECODED].to(self.model.device)
        self._codes = self._codes_by(encoder)
        differ = self._differ(self._codes)
        best, best_state = float(differ.double().mean()), copied(encoder)
        if not self.model.is_ready_to_encode or best <= MAX_DIFFERENT:
            return
        self._stay_weight, self._are_right = STAY_WEIGHT if best <= FEW else 0.0, ~differ
        optimizer = Adam(self._own(encoder), self.settings.learning_rate)
        encoder.train()
        encoder.trunk.eval()
        n_steps = min(MAX_STEPS, STEPS_PER_ITERATION * self.settings.max_iter)
        for step in range(n_steps):
            optimizer.rate.fill_(optimizer.base_rate * (1.0 - step / n_steps))
            self._step(encoder, optimizer)
            if (step + 1) % INTERVAL == 0 or step + 1 == n_steps:
                different = self.differing(encoder)
                if different < best and self.model.is_usable(some):
                    best, best_state = different, copied(encoder)
                if best <= MAX_DIFFERENT:
                    break
        encoder.load_state_dict(best_state)

    def learn_views(self) -> None:
        """Train the average of an encoder on labels of augmented views of images.

        For fits that want labels alone, whose few iterations leave an encoder that does not know them
        well. Labels of some images are wrong, so that it is not trained until it has them all. An
        encoder that serves itself shares its trunk with the discriminator, and stays as it is.
        """
        model, settings = self.model, self.settings
        if not (model.settings.averaged_encoder and model.has_averages):
            return
        encoder, device = model.averaged_encoder, model.device
        before = copied(encoder)
        optimizer = Adam([*encoder.trunk.parameters(), *self._own(encoder)], settings.learning_rate)
        dtype = matmul_dtype(settings.precision, model.prior.means)
        views_rng = torch.Generator(device).manual_seed(self._rng.initial_seed())
        lacks_many = self.differing(encoder) > MANY
        most = MANY_VIEW_STEPS if lacks_many else VIEW_STEPS
        n_steps = min(most, VIEW_STEPS_PER_ITERATION * settings.max_iter)
        encoder.train()
        # Where views do not keep the labels, images are seen as they are as well.
        n_views = settings.batch_size if lacks_many else 2 * settings.batch_size
        is_view = (torch.arange(2 * settings.batch_size, device=device) < n_views).view(-1, 1, 1, 1)
        for step in range(n_steps):
            optimizer.rate.fill_(optimizer.base_rate * (1.0 - step / n_steps))
            x, y = self._draw()
            seen = torch.where(is_view, random_affine(x, views_rng), x)
            with torch.autocast(device.type, dtype, enabled=dtype is not None, cache_enabled=False):
                means = encoder.mean(encoder.body(encoder.trunk(seen)))
            log_q = model.prior.log_responsibilities(means.to(x.dtype))
            descend(losses.cluster_loss(log_q, y), optimizer)
        if not model.is_usable(self._data[:N_DECODED].to(device)):
            encoder.load_state_dict(before)

    @staticmethod
    def _own(encoder: Encoder) -> list[nn.Parameter]:
        """Parameters outside the trunk that codes depend on."""
        return [*encoder.body.parameters(), *encoder.mean.parameters()]

    def _draw(self, *more: Tensor) -> Batch:
        """Draw samples, their labels, and the same rows of what else there is."""
        n = 2 * self.settings.batch_size
        rows = torch.randint(len(self._data), (n,), generator=self._rng)
        sources = (self._data, self._labels, *more)
        return tuple(source[rows.to(source.device)].to(self.model.device) for source in sources)

    def _step(self, encoder: Encoder, optimizer: Adam) -> None:
        prior = self.model.prior
        x, y, codes, are_right = self._draw(self._codes, self._are_right)
        with torch.no_grad():
            h, precision = encoder.trunk(x), prior.variances[y].reciprocal()
        z = encoder.mean(encoder.body(h))
        # Codes of the right cluster are decoded well where they are.
        moved = (((z - codes).square() * precision).sum(1) * are_right).mean()
        loss = losses.cluster_loss(prior.log_responsibilities(z), y)
        descend(loss + self._stay_weight * moved, optimizer)
