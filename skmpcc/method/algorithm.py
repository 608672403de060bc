"""Algorithm 1 of MPCC, phase by phase: discriminator, generator and prior, encoder (and prior).

`Algorithm1` is the readable statement of the algorithm and the tests' oracle. What a fit runs is a
faster form of it from `skmpcc.engine`, which has its own version of the three phases and shares the
rest: the iteration, the encoder's loss, draws and state. Set your breakpoints there.

Spectral norms are estimated again, by one power iteration, in every forward pass whose weights have
been updated since. Passes of the generator for the other networks leave its estimates as they are.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from skmpcc.method import losses
from skmpcc.method.adversarial import AdversarialTrainer
from skmpcc.method.model import MPCCModel
from skmpcc.method.networks.layers import ClassProjection
from skmpcc.method.optimizers import Adam
from skmpcc.method.trainer import (
    WEIGHTS_FROM,
    WEIGHTS_RATE,
    Batch,
    DrawBatch,
    backward,
    copied,
    descend,
    step,
)
from skmpcc.settings import ResolvedSettings


class Algorithm1(AdversarialTrainer):
    """One training of a model by Algorithm 1: its optimizers, its random stream, its phases.

    With `settings.supervised_iter` above 0 the first iterations are the paper's variant for known
    labels: Embed(y) . h is added to the discriminator's score, and the encoder learns the labels of
    real samples.

    Parameters
    ----------
    model : MPCCModel
        Trained in place.
    settings : ResolvedSettings
    rng : torch.Generator
        Source of y and eps, on the model's device.
    """

    settings: ResolvedSettings

    def __init__(self, model: MPCCModel, settings: ResolvedSettings, rng: torch.Generator) -> None:
        super().__init__(model, settings, rng)
        for optimizer in self.optimizers.all:
            optimizer.beta2 = settings.beta2
        self.projection: ClassProjection | None = None
        if settings.supervised_iter:
            n_hidden = model.discriminator.score.in_features
            dtype = model.prior.means.dtype
            self.projection = ClassProjection(model.n_clusters, n_hidden, rng, dtype)
            self.optimizers["discriminator"].add(self.projection.embedding)
            self.optimizers["discriminator"].clip_apart([self.projection.embedding])
        self._cluster_proportions: Tensor | None = None
        # Of the real samples in the discriminator's last step, where the generator's loss looks at them.
        self._compared_scores: Tensor | None = None
        self.supervision, self.weights_rate = model.prior.means.new_zeros(2)

    def _parameters(self) -> dict[str, list[nn.Parameter]]:
        """Parameters that the optimizer of each module updates."""
        return super()._parameters() | {"prior": list(self.model.prior.parameters())}

    def _optimizers(self) -> dict[str, Adam]:
        """Make the optimizers; the prior's has a rate of its own.

        What two modules share belongs to both optimizers, each with moments of its own, as in the
        authors' code. Line 17 moves the prior at eta; the authors' code at eta_p, by the one optimizer
        of the prior.
        """
        settings, made = self.settings, super()._optimizers()
        at_eta = made["prior"]
        made["prior"] = Adam(at_eta.parameters, settings.prior_learning_rate)
        by_networks = settings.generator_prior_rate == "networks"
        made["generator_prior"] = at_eta if by_networks else made["prior"]
        return made

    def _set_schedule(self) -> None:
        super()._set_schedule()
        settings, n_iter = self.settings, self.n_iter
        # Weight of what (pseudo-)labels add to scores and to the encoder's loss.
        self.supervision.fill_(float(n_iter < settings.supervised_iter))
        # How fast learned weights follow the data.
        late = n_iter >= WEIGHTS_FROM * settings.max_iter
        self.weights_rate.fill_(WEIGHTS_RATE if late else 0.0)

    def _updates(self, draw_real: DrawBatch, draw_pairs: DrawBatch | None) -> dict[str, Tensor]:
        """Run the phases in their order."""
        out = {"discriminator": self.discriminator_phase(draw_real)}
        out |= self.generator_phase(draw_real)
        out |= self.encoder_phase(self._draw_of_encoder(draw_real, draw_pairs))
        self._update_averages()
        return out

    # ---- The phases

    def discriminator_phase(self, draw_real: DrawBatch) -> Tensor:
        """Lines 8 to 12: Loss I, ascended by the discriminator.

        Not of the paper: in the last step its gradients at samples may be penalized.
        """
        settings = self.settings
        for number in range(settings.discriminator_steps):
            real, *labels = draw_real()
            with torch.no_grad():
                y, z = self.draw()
                fake = self._generate(z, y)
            x, y = self._noisy(torch.cat([real, fake])), torch.cat([*labels, y])
            scores, penalty = self._scores_and_penalty(
                x, y if labels else None, penalizes=number in self._penalized_steps
            )
            of_real, of_fake = scores.split([len(real), len(fake)])
            loss = losses.discriminator_loss(of_real, of_fake, settings.adversarial_loss)
            descend(loss + penalty, self.optimizers["discriminator"])
        self._compared_scores = of_real.detach() if self._is_relativistic else None
        return loss.detach()

    def generator_phase(self, draw_real: DrawBatch) -> dict[str, Tensor]:
        """Lines 14 to 17: Loss I, descended by the generator and the prior.

        Not of the paper: with a reconstruction weight the generator decodes codes of real samples in
        the same batch, so that both are normalized alike, and learns what they are codes of.
        """
        y, z = self.draw()
        x, codes, clusters = self._to_reconstruct(draw_real)
        # The encoder is moved through its codes alone, and not as a part of the discriminator.
        leaf = codes.detach().requires_grad_()
        decoded = self.model.generator(torch.cat([z, leaf]), torch.cat([y, clusters]))
        fake, rebuilt = decoded.split([len(z), len(codes)])
        settings, optimizers = self.settings, self.optimizers
        loss = losses.generator_loss(self._scores(self._noisy(fake), y), self._compared_scores)
        out = {"generator": loss.detach()}
        updated = [optimizers["generator"], optimizers["generator_prior"]]
        if len(x):
            observed = self.model.observed(x, rebuilt)
            error = losses.reconstruction_loss(rebuilt, x, settings.total_variance, observed)
            out["reconstruction"] = error.detach()
            loss = loss + settings.reconstruction_weight * error
        backward(loss, *updated, leaf=leaf)
        if len(x) and settings.reconstruction_by_encoder:
            assert leaf.grad is not None
            backward((codes * leaf.grad).sum(), optimizers["encoder"])
            updated.append(optimizers["encoder"])
        step(*updated)
        return out

    def encoder_phase(self, draw_real: DrawBatch | None) -> dict[str, Tensor]:
        """Lines 19 to 27: L_q by the encoder; in the first step also L_c and Loss III by the prior."""
        out: dict[str, Tensor] = {}
        for number in range(self.settings.encoder_steps):
            first = number == 0
            out |= self.encoder_step(draw_real if first else None, with_prior=first)
        return out

    def encoder_step(self, draw_real: DrawBatch | None, *, with_prior: bool) -> dict[str, Tensor]:
        """One update of the encoder, or of encoder and prior.

        `draw_real` gives real samples that are told their cluster, or pairs that share theirs.
        """
        y, z = self.draw()
        x = [self._noisy(self._generate(z, y))]
        labels: Sequence[Tensor] = ()
        if draw_real is not None:
            real, labels = self._samples_and_labels(draw_real())
            x += real
        means, log_variances = self.model.encoder(torch.cat(x))
        loss, terms = self._encoder_loss(z, y, means, log_variances, labels, with_prior=with_prior)
        descend(loss, self.optimizers["encoder"], *([self.optimizers["prior"]] if with_prior else []))
        self._update_weights()
        return {name: term.detach() for name, term in terms.items()}

    # ---- Their parts

    def _scores(self, x: Tensor, y: Tensor | None) -> Tensor:
        """D(x), with (pseudo-)labels D(x, y)."""
        h = self.model.discriminator.features(x)
        scores = self.model.discriminator.score(h).squeeze(1)
        return scores if y is None or self.projection is None else scores + self._projected(h, y)

    def _scores_and_penalty(
        self, x: Tensor, y: Tensor | None, *, penalizes: bool
    ) -> tuple[Tensor, Tensor | float]:
        """Scores, and the weighted penalty on their gradients, by scores of samples beside these."""
        if not penalizes:
            return self._scores(x, y), 0.0
        beside = torch.add(x, self._draw_normal(x), alpha=losses.PENALTY_STD)
        both = self._scores(torch.cat([x, beside]), None if y is None else torch.cat([y, y]))
        scores, scores_beside = both.chunk(2)
        return scores, self._penalty_weight * losses.gradient_penalty(scores, scores_beside)

    def _to_reconstruct(self, draw_real: DrawBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Real samples to reconstruct, their codes, and clusters to decode them in; none by weight 0."""
        means = self.model.prior.means
        if not self.settings.reconstruction_weight:
            none = means.new_empty((0, *self.model.sample_shape))
            return none, means[:0].detach(), means.new_empty(0, dtype=torch.int64)
        x, *labels = draw_real()
        codes = self.model.encoder(x)[0]
        return x, codes, self._clusters_of(codes, labels)

    @torch.no_grad()
    def _clusters_of(self, codes: Tensor, labels: Sequence[Tensor]) -> Tensor:
        """Clusters to decode real samples in: their labels while these teach, else the most probable."""
        if labels and self.settings.supervised_iter >= self.settings.max_iter:
            return labels[0]
        clusters = self.model.prior.most_probable(codes)
        return torch.where(self.supervision > 0, labels[0], clusters) if labels else clusters

    def _projected(self, h: Tensor, y: Tensor) -> Tensor:
        """Embed(y) . h, or zeros once the labels have served."""
        assert self.projection is not None
        return self.supervision * self.projection(h, y)

    @property
    def _is_relativistic(self) -> bool:
        return self.settings.adversarial_loss == "relativistic"

    @property
    def _penalized_steps(self) -> tuple[int, ...]:
        """Numbers of the discriminator's steps with a penalty: the last, or none."""
        return (self.settings.discriminator_steps - 1,) if self.settings.gradient_penalty else ()

    @property
    def _penalty_weight(self) -> float:
        """Weight of the penalty in one step, which counts as those in all."""
        return self.settings.gradient_penalty * self.settings.discriminator_steps

    @property
    def _n_reals(self) -> int:
        """Batches of real samples that an iteration draws, not counting pairs."""
        settings = self.settings
        return settings.discriminator_steps + bool(settings.reconstruction_weight) + self._tells_labels

    @property
    def _tells_labels(self) -> bool:
        """Whether the encoder learns the labels of real samples that are not pairs."""
        settings = self.settings
        taught = self.projection is not None and bool(settings.label_weight)
        return taught and not settings.consistency_weight

    @property
    def _wants_pairs(self) -> bool:
        learned = self.settings.weights == "learned" and not self._tells_labels
        return bool(self.settings.consistency_weight) or learned

    def _draw_of_encoder(self, draw_real: DrawBatch, draw_pairs: DrawBatch | None) -> DrawBatch | None:
        """Return what draws the real samples of the encoder's first step, if it has any."""
        if self._tells_labels:
            return draw_real
        return draw_pairs if self._wants_pairs else None

    def _samples_and_labels(self, batch: Batch) -> tuple[list[Tensor], list[Tensor]]:
        """Divide a batch for the encoder into samples and, if there are any, their labels."""
        n_parts = 1 if self._tells_labels else 2
        return list(batch[:n_parts]), list(batch[n_parts:])

    def _encoder_loss(
        self,
        z: Tensor,
        y: Tensor,
        means: Tensor,
        log_variances: Tensor,
        labels: Sequence[Tensor] = (),
        *,
        with_prior: bool,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum of an encoder step's losses, and each of them.

        In the paper the prior's gradient is that of L_c + lambda_p L_p. In the authors' code z is not
        detached in L_q, which then pulls the prior as well: `prior_latent_gradient`.

        Consistency is not of the paper: pairs of real samples, whose means follow those of the
        generated samples if there are any, should share their component, by encoder and prior. Where it
        has no weight and there are labels, the means that follow are of samples that have these.
        """
        n, prior, settings = len(z), self.model.prior, self.settings
        code = z if with_prior and settings.prior_latent_gradient else z.detach()
        terms = {"latent": losses.latent_loss(code, means[:n], log_variances[:n])}
        loss = settings.latent_loss_weight * terms["latent"]
        if with_prior:
            terms["cluster"] = losses.cluster_loss(prior.log_responsibilities(z), y)
            terms["prior_entropy"] = losses.prior_entropy_loss(prior.weights, prior.entropy_variances)
            loss = loss + terms["cluster"] + settings.prior_entropy_weight * terms["prior_entropy"]
            if settings.generated_cluster_weight:
                of_generated = losses.cluster_loss(prior.log_responsibilities(means[:n]), y)
                terms["generated_cluster"] = of_generated
                loss = loss + settings.generated_cluster_weight * of_generated
        if len(means) > n:
            log_q = prior.log_responsibilities(means[n:])
            self._cluster_proportions = log_q.detach().exp().mean(0)
            if not self._tells_labels:
                first, second = log_q.chunk(2)
                terms["consistency"] = losses.consistency_loss(
                    first, second, losses.log_mean_membership(log_q)
                )
                loss = loss + settings.consistency_weight * terms["consistency"]
            if labels and self.projection is not None:
                weight = self.supervision * settings.label_weight
                loss = loss + weight * losses.cluster_loss(log_q, torch.cat(list(labels)))
        return loss, terms

    def _update_weights(self) -> None:
        """Let learned weights follow the memberships of the real samples in the step before."""
        if self._cluster_proportions is not None and self.settings.weights == "learned":
            self.model.prior.update_weights(self._cluster_proportions, self.weights_rate)
        self._cluster_proportions = None

    # ---- Its state

    def state(self) -> dict[str, Any]:
        """Copy all that a training goes on from, the projection of labels too."""
        projection = copied(self.projection) if self.projection else None
        return super().state() | {"projection": projection}

    def load(self, state: dict[str, Any], *, rng: bool = True) -> None:
        """Go on from what `state` gave; without `rng` by other draws."""
        super().load(state, rng=rng)
        if self.projection is not None:
            self.projection.load_state_dict(state["projection"])
