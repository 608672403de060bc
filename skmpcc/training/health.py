"""Health of a training while it runs: convergence, lost components, divergence and rollback.

None of it is in the paper. All of it is judged by the data alone, on some of them.
"""

import math
from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from skmpcc.method.networks.layers import Encoder
from skmpcc.method.trainer import Trainer
from skmpcc.settings import LoopSettingsOnData
from skmpcc.system.processes import ALONE, Processes

# Samples that are looked at: at least so many in all, and so many for each cluster.
N_SAMPLES = 512
N_PER_CLUSTER = 10
# Samples whose memberships tell whether the training has converged.
MAX_COMPARED = 2048
# Samples whose reconstructions tell whether the generative half has.
MAX_REBUILT = 128
# A component is lost if this share of its weight, or less, is left of it, ...
LOST_SHARE = 0.1
# ... or if another one has this share, or more, of its memberships.
SHARED = 0.45
# Checks in a row that have to agree before anything is done.
PATIENCE = 3
NEVER = 10**9
# Shares of the training between which components move: earlier, components that seem lost often come
# back by themselves; later, those that move would not find their place.
FIRST_MOVE, LAST_MOVE = 0.5, 0.75
# Share of the training, and iterations, in which networks are not yet what they will be.
EARLY, MIN_ITER = 0.2, 100
# Share of rates that fall all the while, from which on a training that has settled ends.
RATE_LEFT = 0.15
# Iterations before which networks show the signs of failure in any training.
UNTRAINED = 30
# A generator is constant if its samples vary less than this, relative to the data.
GENERATOR_COLLAPSED = 1e-3
# An encoder is dead if its codes vary less than this, relative to the prior's components.
ENCODER_COLLAPSED = 1e-5
# What is wrong with a model that is not sound.
NOT_USABLE = "codes are far from the mixture, or reconstructions are not finite"
# Samples by which the encoder is compared with its average, ...
N_COMPARED = 256
# ... which restarts if it keeps so much smaller a share of their pseudo-labels, or if without any the
# log-density of its codes is so much lower, in nats for each dimension.
BROKEN_SHARE, BROKEN_DENSITY = 0.02, 1.0
# Share of a table's pseudo-labels that may be lost again, without which a state is not healthy.
FORGOTTEN = 0.1
# Failures after which the training is given up. Before, each one halves all rates.
MAX_ROLLBACKS = 3
SLOW_DOWN = 0.5


class TrainingHealth:
    """Checks a training at intervals, and repairs it where it can.

    Parameters
    ----------
    algorithm : Trainer
    data : Tensor
        On any device.
    rng : torch.Generator
        On the data's device; chooses the samples that are looked at.
    processes : Processes
        Those that train together, of which the first one looks and decides.
    labels : Tensor of shape (n_samples,), optional
        Those that teach the networks to the end of the training.

    Attributes
    ----------
    converged : bool
        Whether the training has settled, see `is_settled`, in `n_iter_no_change` checks in a row.
    failure : str or None
        Why the training was given up.
    codes : Tensor or None
        Codes of the samples at the last check.
    """

    def __init__(
        self,
        algorithm: Trainer,
        data: Tensor,
        rng: torch.Generator,
        processes: Processes = ALONE,
        labels: Tensor | None = None,
    ) -> None:
        self.algorithm = algorithm
        self._labels = labels
        self._processes = processes
        self.model = algorithm.model
        self.settings = algorithm.settings
        self._data = data
        n = min(len(data), max(N_SAMPLES, N_PER_CLUSTER * self.model.n_clusters))
        self._look_at(torch.randperm(len(data), generator=rng, device=data.device)[:n])
        self.converged = False
        self.failure: str | None = None
        self.codes: Tensor | None = None
        # During a check, in which networks do not change but for restarts.
        self._encoded: dict[Encoder, Tensor] | None = None
        self._memberships: Tensor | None = None
        self._generation: list[list[float]] = []
        self._healthy = algorithm.state()
        self._best_agreement = 0.0
        self._n_rollbacks = 0
        self._n_converged = 0
        self._n_failed: Counter[str] = Counter()
        self._n_lost = torch.zeros(self.model.n_clusters, dtype=torch.int64)

    def _look_at(self, rows: Tensor) -> None:
        self._rows = rows
        self.x = self._data[rows].to(self.model.device)
        self.y = None if self._labels is None else self._labels[rows.to(self._labels.device)]
        self.data_std = float(self.x.flatten(1).std(0, correction=0).mean())

    @property
    def is_over(self) -> bool:
        """Whether the training has converged, failed or reached its last iteration."""
        last = self.algorithm.n_iter >= self.settings.max_iter
        return last or self.converged or self.failure is not None

    def check(self, entry: dict[str, float]) -> bool:
        """Check the training, and repair or end it.

        Parameters
        ----------
        entry : dict
            Entry of the history, with the losses; "change" and "generation_change" are added.

        Returns
        -------
        healthy : bool
            False if the training had failed: it is then as it was at the last healthy check, at
            lower rates, or given up (`failure`).
        """
        self._encoded = {}
        try:
            return self._check(entry)
        finally:
            self._encoded = None

    def _check(self, entry: dict[str, float]) -> bool:
        if self._processes.run_on_first(self.is_average_broken):
            self.algorithm.restart_averages()
            self._encoded = {}
        failure = self._processes.run_on_first(partial(self.diagnose, entry))
        if failure is not None:
            self._roll_back(failure)
            return False
        entry |= self._processes.run_on_first(self._changes)
        self.converged = self._has_converged(entry)
        if self.settings.reseed and self._processes.run_on_first(self.reseed_lost_component):
            self.converged = False
            self._processes.broadcast_(list(self.model.state_dict().values()))
            self.algorithm.restart_averages()
        if not self._processes.run_on_first(self._has_forgotten):
            self._healthy = self.algorithm.state()
        return True

    def end(self) -> None:
        """Go back to the last healthy state, if the training has not ended in one."""
        if self._healthy["n_iter"] < self.algorithm.n_iter:
            self.algorithm.load(self._healthy)

    def _roll_back(self, failure: str) -> None:
        self._n_rollbacks += 1
        if self._n_rollbacks > MAX_ROLLBACKS:
            self.failure = failure
            self.algorithm.load(self._healthy)
        else:
            # By other draws, which may avoid what happened.
            self.algorithm.load(self._healthy, rng=False)
            self.algorithm.slow_down(SLOW_DOWN)

    # ---- Its state

    def state(self) -> dict[str, Any]:
        """Return what further checks depend on, in addition to the algorithm's state."""
        # Right after a check the healthy state is the algorithm's.
        passed = self._healthy["n_iter"] < self.algorithm.n_iter
        return {
            "healthy": self._healthy if passed else None,
            "rows": self._rows,
            "converged": self.converged,
            "codes": self.codes,
            "memberships": self._memberships,
            "generation": self._generation,
            "best_agreement": self._best_agreement,
            "n_rollbacks": self._n_rollbacks,
            "n_converged": self._n_converged,
            "n_failed": dict(self._n_failed),
            "n_lost": self._n_lost,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave, with a new algorithm that is as the one was then."""
        device = self.model.device
        self._look_at(state["rows"].to(self._data.device))
        self.converged = state["converged"]
        self.codes = _on(device, state["codes"])
        self._memberships = _on(device, state["memberships"])
        self._generation = state["generation"]
        self._best_agreement = state["best_agreement"]
        self._n_rollbacks = state["n_rollbacks"]
        self._n_converged = state["n_converged"]
        self._n_failed = Counter(state["n_failed"])
        self._n_lost = state["n_lost"]
        self._healthy = state["healthy"] or self.algorithm.state()
        self.algorithm.slow_down(SLOW_DOWN**self._n_rollbacks)

    # ---- The average of the encoder

    def _codes_by(self, encoder: Encoder) -> Tensor:
        """Codes of samples by an encoder, found once in a check; of more samples by what serves."""
        known = self._encoded or {}
        if encoder in known:
            return known[encoder]
        # Many clusters want many samples when components are looked after, and only then.
        n_looked_at = len(self.x) if self._may_move else MAX_COMPARED
        n = n_looked_at if encoder is self.model.serving_encoder else N_COMPARED
        codes = self.model.encode_by(encoder, self.x[:n], 0)[0]
        if self._encoded is not None:
            self._encoded[encoder] = codes
        return codes

    @torch.no_grad()
    def is_average_broken(self) -> bool:
        """Whether the encoder's average, which serves, is clearly worse than the encoder itself.

        After a jump of the encoder it mixes what was before and after, at which no network was trained.
        """
        model = self.model
        if not (model.settings.averaged_encoder and model.has_averages):
            return False
        prior = model.prior
        codes = [
            self._codes_by(encoder)[:N_COMPARED] for encoder in (model.averaged_encoder, model.encoder)
        ]
        if self.y is not None:
            y, bound = self.y[:N_COMPARED], BROKEN_SHARE
            average, own = (float((prior.most_probable(z) == y).float().mean()) for z in codes)
        else:
            bound = BROKEN_DENSITY * codes[0].shape[1]
            average, own = (float(prior.log_density(z).mean()) for z in codes)
        return own - average > bound

    def _has_forgotten(self) -> bool:
        """Whether labels of a table that the networks knew already are lost."""
        if self.y is None or self.codes is None or self.x.ndim > 2:
            return False
        found = self.model.prior.most_probable(self.codes)
        agreement = float((found == self.y[: len(found)]).float().mean())
        self._best_agreement = max(self._best_agreement, agreement)
        return agreement < self._best_agreement - FORGOTTEN

    # ---- Convergence

    def _changes(self) -> dict[str, float]:
        return {"change": self.membership_change(), "generation_change": self.generation_change()}

    @torch.no_grad()
    def membership_change(self) -> float:
        """Mean share of a sample's memberships that changed since the last check; 1 at the first.

        Half the sum of |q(y | x) - q'(y | x)|, by the encoder that labels are taken from.
        """
        if not self.model.is_ready_to_encode:
            return 1.0
        self.codes = self._codes_by(self.model.serving_encoder)
        memberships = self.model.prior.log_responsibilities(self.codes).exp()
        before, self._memberships = self._memberships, memberships
        if before is None:
            return 1.0
        n = min(len(before), len(memberships))
        return float((memberships[:n] - before[:n]).abs().sum(1).mean()) / 2

    @torch.no_grad()
    def generation_change(self) -> float:
        """Change of the generative half from some checks to as many after them; 1 at the first.

        That of the components' mean standard deviation, relative to itself, or of the error of the
        reconstructions of some samples, relative to the data's variance, whichever is larger.
        Reconstructions are by the averaged networks. Means over `n_iter_no_change` checks are compared,
        because batch-norms make a single one noisy.
        """
        if self.codes is None:
            return 1.0
        prior, codes = self.model.prior, self.codes[:MAX_REBUILT]
        rebuilt = self.model.decode(codes, prior.most_probable(codes))
        error = self.model.error(self.x[: len(codes)], rebuilt).sum() / len(codes)
        now = [float(prior.stds.mean()), float(error) / self.settings.total_variance]
        n_kept = 2 * self.settings.n_iter_no_change
        seen = self._generation = [*self._generation, now][-n_kept:]
        if len(seen) < 2:
            return 1.0
        (std_before, error_before), (std, error_now) = (
            torch.tensor(part, dtype=torch.float64).mean(0).tolist()
            for part in (seen[: len(seen) // 2], seen[len(seen) // 2 :])
        )
        return max(abs(std / std_before - 1.0), abs(error_now - error_before))

    def _has_converged(self, entry: dict[str, float]) -> bool:
        still = is_settled(entry, self.settings) and not (self._early or self._is_falling)
        self._n_converged = self._n_converged + 1 if still else 0
        return self._n_converged >= self.settings.n_iter_no_change

    @property
    def _is_falling(self) -> bool:
        """Whether rates fall from the first iteration on, and have a part of their way to go."""
        settings = self.settings
        left = 1.0 - self.algorithm.n_iter / settings.max_iter
        return settings.learning_rate_decay == 1.0 and left > RATE_LEFT

    @property
    def _early(self) -> bool:
        n_iter, max_iter = self.algorithm.n_iter, self.settings.max_iter
        return n_iter < min(max(MIN_ITER, EARLY * max_iter), 0.5 * max_iter)

    # ---- Divergence

    @torch.no_grad()
    def diagnose(self, losses: dict[str, float]) -> str | None:
        """Say what is wrong with a training that cannot go on as it is, if anything."""
        norms = torch.stack(torch._foreach_norm(list(self.model.parameters())))
        finite = all(math.isfinite(value) for value in losses.values())
        # A NaN or an infinity survives the sum.
        if not finite or not math.isfinite(float(norms.sum())):
            return "losses or parameters are not finite"
        model = self.model
        if model.is_ready_to_encode:
            encoders = model.serving_encoder, model.encoder
            if not all(model.are_usable(self._codes_by(each)[:MAX_REBUILT]) for each in encoders):
                return NOT_USABLE
        # Untrained networks show these signs, and so do any networks on data that do not vary.
        untrained = self._early or self.algorithm.n_iter < UNTRAINED
        telling = not untrained and self.data_std > 0.0
        signs = {
            **{sign: telling and seen for sign, seen in self.algorithm.signs_of_failure(losses).items()},
            "the generator makes the same sample every time": telling
            and self._generated_std() < GENERATOR_COLLAPSED * self.data_std,
            "the encoder gives all samples the same code": telling and self._is_encoder_collapsed(),
        }
        for sign, seen in signs.items():
            self._n_failed[sign] = self._n_failed[sign] + 1 if seen else 0
            if self._n_failed[sign] >= PATIENCE:
                self._n_failed[sign] = 0
                return sign
        return None

    def _generated_std(self) -> float:
        if not self.model.has_averages:
            return math.inf
        prior = self.model.prior
        y = torch.arange(max(64, self.model.n_clusters), device=self.model.device)
        y = y % self.model.n_clusters
        # Codes at fixed distances, so that nothing is drawn from the training's stream.
        signs = torch.linspace(-1.0, 1.0, len(y), device=y.device).unsqueeze(1)
        x = self.model.decode(prior.means[y] + prior.stds[y] * signs, y)
        return float(x.flatten(1).std(0, correction=0).mean())

    def _is_encoder_collapsed(self) -> bool:
        """Whether all codes of the last check are the same, nearly."""
        if self.codes is None or len(self.codes) == 1:
            return False
        spread = float(self.codes.std(0, correction=0).mean())
        return spread < ENCODER_COLLAPSED * float(self.model.prior.stds.mean())

    # ---- Lost components

    @torch.no_grad()
    def reseed_lost_component(self) -> bool:
        """Move a lost component to where the others explain the data worst; return whether one was."""
        if self._memberships is None or not self._may_move:
            return False
        lost = self._lost_components(self._memberships)
        if lost.any() and self.model.serving_encoder is not self.model.encoder:
            # Of an average that lags or is broken, more seem lost than are.
            codes = self.model.encode_by(self.model.encoder, self.x)[0]
            lost &= self._lost_components(self.model.prior.log_responsibilities(codes).exp())
        self._n_lost = torch.where(lost, self._n_lost + 1, self._n_lost.clamp_max(0))
        chosen = torch.nonzero(self._n_lost >= PATIENCE).flatten().tolist()
        if not chosen:
            return False
        # One at a time: the next check knows better where the others belong.
        self._move(chosen[0])
        self._n_lost[chosen[0]] = -NEVER
        self._memberships = None
        return True

    @property
    def _may_move(self) -> bool:
        done = self.algorithm.n_iter / self.settings.max_iter
        several = self.settings.reseed and self.model.n_clusters > 1
        return several and FIRST_MOVE <= done <= LAST_MOVE

    def _lost_components(self, memberships: Tensor) -> Tensor:
        """Components with hardly a member, and of two that share theirs the smaller one."""
        share = memberships.mean(0).cpu()
        lost = share < LOST_SHARE * self.model.prior.weights.cpu()
        common = (memberships.T @ memberships).cpu() / len(memberships)
        shared = common / share.clamp_min(1e-12).unsqueeze(1)
        shared.fill_diagonal_(0.0)
        other = shared.argmax(1)
        index = torch.arange(len(share))
        smaller = (share < share[other]) | ((share == share[other]) & (index > other))
        return lost | ((shared.amax(1) >= SHARED) & smaller)

    def _move(self, cluster: int) -> None:
        assert self.codes is not None
        prior = self.model.prior
        log_density = prior.joint_log_density(self.codes)
        log_density[:, cluster] = -math.inf
        n_worst = max(2, len(self.codes) // 10)
        worst = torch.logsumexp(log_density, 1).argsort()[:n_worst]
        codes = self.codes[worst]
        # Not an outlier, but the middle of those that have the most company.
        distances = torch.cdist(codes, codes)
        near = max(2, n_worst // 3)
        middle = distances.sort(1).values[:, :near].sum(1).argmin()
        mean = codes[distances[middle].argsort()[:near]].mean(0)
        like = int(log_density[worst[middle]].argmax())
        self.model.move_cluster(cluster, mean, like)


def is_settled(entry: Mapping[str, float], settings: LoopSettingsOnData) -> bool:
    """Whether, at an entry of the history, memberships and what is generated hardly change any more."""
    generation = settings.labels_only or entry["generation_change"] < settings.generation_tol
    return generation and entry["change"] < settings.tol


def _on(device: torch.device, tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.to(device)
