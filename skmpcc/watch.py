"""What a training is looked at for while it runs: settled memberships, lost components, divergence.

None of it is the paper's. All of it is judged by the data alone, on some of them.
"""

import math
from collections import Counter

import torch
from torch import Tensor

from skmpcc.algorithm import Algorithm1

# Samples that are looked at: for the memberships' change, and at least so many for each cluster.
N_SAMPLES = 512
N_PER_CLUSTER = 10
# A component is lost if this share of its weight, or less, is left of it, ...
LOST_SHARE = 0.1
# ... or if another one has this share, or more, of its memberships.
SHARED = 0.45
# Consecutive looks that agree before anything is done.
PATIENCE = 3
NEVER = 10**9
# Of the training: before, components that seem lost often come back by themselves; after, those that
# are moved would not find their place.
FIRST_MOVE, LAST_MOVE = 0.5, 0.75
# Of the training, and iterations, in which networks are not what they will be.
EARLY, MIN_ITER = 0.2, 200
# A generator whose samples vary less than this, relative to the data, makes always the same.
CONSTANT = 1e-3
# An encoder whose codes do, relative to the prior's components, is dead; those at the start are not.
DEAD = 1e-5
# A discriminator's hinge loss below this: it tells all real from all generated samples.
WON = 0.01


class Watch:
    """Looks at a training between its iterations.

    Parameters
    ----------
    algorithm : Algorithm1
    data : Tensor
        On any device.
    random : torch.Generator
        On the data's device; chooses the samples that are looked at.
    """

    def __init__(self, algorithm: Algorithm1, data: Tensor, random: torch.Generator) -> None:
        self.algorithm = algorithm
        self.model = algorithm.model
        self.recipe = algorithm.recipe
        n = min(len(data), max(N_SAMPLES, N_PER_CLUSTER * self.model.n_clusters))
        rows = torch.randperm(len(data), generator=random, device=data.device)[:n]
        self.x = data[rows].to(self.model.device)
        self.data_std = float(self.x.flatten(1).std(0, correction=0).mean())
        self._before: Tensor | None = None
        self.codes: Tensor | None = None
        self._n_settled = 0
        self._n_troubled: Counter[str] = Counter()
        self._n_lost = torch.zeros(self.model.n_clusters, dtype=torch.int64)

    @torch.no_grad()
    def change(self) -> float:
        """Mean share of a sample's memberships that has moved since the last look; 1 at the first.

        Half the sum of |q(y | x) - q'(y | x)|, by the averaged encoder.
        """
        if not self.model.has_averages:
            return 1.0
        self.codes = self.model.encode(self.x)[0]
        memberships = self.model.prior.log_responsibilities(self.codes).exp()
        before, self._before = self._before, memberships
        if before is None:
            return 1.0
        return float((memberships - before).abs().sum(1).mean()) / 2

    def settled(self, change: float) -> bool:
        """Whether the last `n_iter_no_change` looks, after the first, all saw less than `tol`."""
        still = change < self.recipe.tol and not self._early
        self._n_settled = self._n_settled + 1 if still else 0
        return self._n_settled >= self.recipe.n_iter_no_change

    @torch.no_grad()
    def trouble(self, losses: dict[str, float]) -> str | None:
        """What is wrong with a training that can't go on as it is, if anything."""
        norms = torch.stack(torch._foreach_norm(list(self.model.parameters())))
        finite = all(math.isfinite(value) for value in losses.values())
        # a NaN or an infinity survives the sum
        if not finite or not math.isfinite(float(norms.sum())):
            return "losses or parameters are not finite"
        signs = {
            "the discriminator tells all generated samples from real ones": losses["discriminator"]
            < WON,
            # which every generator does at first
            "the generator makes always the same sample": not self._early
            and self._generated_std() < CONSTANT * self.data_std,
            "the encoder gives all samples the same code": not self._early and self._blind(),
        }
        for sign, seen in signs.items():
            self._n_troubled[sign] = self._n_troubled[sign] + 1 if seen else 0
            if self._n_troubled[sign] >= PATIENCE:
                self._n_troubled[sign] = 0
                return sign
        return None

    @property
    def _early(self) -> bool:
        n_iter, max_iter = self.algorithm.n_iter, self.recipe.max_iter
        return n_iter < min(max(MIN_ITER, EARLY * max_iter), 0.5 * max_iter)

    def _generated_std(self) -> float:
        if not self.model.has_averages:
            return math.inf
        prior = self.model.prior
        y = torch.arange(max(64, self.model.n_clusters), device=self.model.device)
        y = y % self.model.n_clusters
        # of codes at fixed distances: no draw from the training's stream
        signs = torch.linspace(-1.0, 1.0, len(y), device=y.device).unsqueeze(1)
        x = self.model.decode(prior.means[y] + prior.stds[y] * signs, y)
        return float(x.flatten(1).std(0, correction=0).mean())

    def _blind(self) -> bool:
        """By the codes of the look before."""
        if self.codes is None or len(self.codes) == 1:
            return False
        spread = float(self.codes.std(0, correction=0).mean())
        return spread < DEAD * float(self.model.prior.stds.mean())

    @torch.no_grad()
    def mend(self) -> int:
        """Move components that are lost to data that the others explain worst; how many."""
        done = self.algorithm.n_iter / self.recipe.max_iter
        in_time = FIRST_MOVE <= done <= LAST_MOVE
        if self._before is None or not in_time or self.model.n_clusters == 1:
            return 0
        lost = self._lost(self._before)
        self._n_lost = torch.where(lost, self._n_lost + 1, self._n_lost.clamp_max(0))
        # one at a time: the next look knows better where the others belong
        chosen = torch.nonzero(self._n_lost >= PATIENCE).flatten().tolist()[:1]
        for cluster in chosen:
            self._move(cluster)
            self._n_lost[cluster] = -NEVER
            self._before = None
        return len(chosen)

    def _lost(self, memberships: Tensor) -> Tensor:
        """Components with hardly a member, and of two that share theirs the smaller one."""
        share = memberships.mean(0).cpu()
        lost = share < LOST_SHARE * self.model.prior.weights.cpu()
        common = (memberships.T @ memberships).cpu() / len(memberships)
        part = common / share.clamp_min(1e-12).unsqueeze(1)
        part.fill_diagonal_(0.0)
        other = part.argmax(1)
        index = torch.arange(len(share))
        smaller = (share < share[other]) | ((share == share[other]) & (index > other))
        return lost | ((part.amax(1) >= SHARED) & smaller)

    def _move(self, cluster: int) -> None:
        prior = self.model.prior
        log_density = prior.joint_log_density(self.codes)
        log_density[:, cluster] = -math.inf
        n_worst = max(2, len(self.codes) // 10)
        worst = torch.logsumexp(log_density, 1).argsort()[:n_worst]
        codes = self.codes[worst]
        # not an outlier, but the middle of those that have the most company
        distances = torch.cdist(codes, codes)
        near = max(2, n_worst // 3)
        middle = distances.sort(1).values[:, :near].sum(1).argmin()
        mean = codes[distances[middle].argsort()[:near]].mean(0)
        like = int(log_density[worst[middle]].argmax())
        self.model.move_cluster(cluster, mean, like)
