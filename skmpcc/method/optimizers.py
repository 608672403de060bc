"""Adam as Algorithm 1 uses it, with steps that are clipped; optimizers by name, and their rates."""

from collections import Counter
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from skmpcc.settings import LoopSettingsOnData

EPSILON = 1e-8


class Adam:
    """Adam with beta1 = 0, unless it is set, and beta2 = 0.999, by torch's fused step.

    Not of the paper: steps are clipped as in StableAdamW (Wortsman et al., 2023). With such decays a
    gradient that is larger than those of the last thousand steps makes a step of several times the
    rate, and losses jump. So no step is longer than one of the rate in every parameter: the rate is
    divided by the root mean square, where that is above 1, of what Adam multiplies it by. That is over
    all parameters of the optimizer, however they are divided into tensors, but for `clip_apart`.

    Moments exist from the beginning, and the rate is a tensor on the device: a CUDA graph reads both
    where it found them first.

    Parameters
    ----------
    parameters : list of Tensor
        Parameters without a gradient are left alone.
    rate : float

    Attributes
    ----------
    beta1 : float
        Decay of the first moments: 0 in MPCC, 0.5 in AIM.
    beta2 : float
        Decay of the second moments.
    n_clipped : Tensor
        Steps of which a part was clipped, since `take_counts`.
    """

    beta1 = 0.0
    beta2 = 0.999

    def __init__(self, parameters: Iterable[Tensor], rate: float) -> None:
        self.parameters: list[Tensor] = []
        # Numbers of the parts that are clipped each by itself.
        self._parts: list[int] = []
        self._state: list[tuple[Tensor, Tensor, Tensor]] = []
        self._directions: list[Tensor] = []
        for parameter in parameters:
            self.add(parameter)
        self.base_rate = rate
        self.rate = torch.tensor(rate, dtype=torch.float32, device=self.parameters[0].device)
        self.n_clipped = torch.zeros_like(self.rate)
        self._n_counted = torch.zeros_like(self.rate)

    def add(self, parameter: Tensor) -> None:
        """Update one more parameter from here on."""
        self.parameters.append(parameter)
        self._parts.append(0)
        first, second, direction = (torch.zeros_like(parameter.detach()) for _ in range(3))
        n_steps = torch.zeros((), dtype=torch.float32, device=parameter.device)
        self._state.append((first, second, n_steps))
        self._directions.append(direction)

    def clip_apart(self, parameters: Iterable[Tensor]) -> None:
        """Clip the steps of some of the parameters by themselves: one's gradient may jump alone."""
        apart = {id(p) for p in parameters}
        number = max(self._parts) + 1
        for i, parameter in enumerate(self.parameters):
            if id(parameter) in apart:
                self._parts[i] = number

    @torch.no_grad()
    def step(self) -> None:
        """Update the parameters that have a gradient."""
        tensors = zip(self.parameters, self._parts, self._directions, self._state, strict=True)
        updated = [(p, p.grad, part, d, *state) for p, part, d, state in tensors if p.grad is not None]
        if not updated:
            return
        parameters, gradients, parts, directions, *state = map(list, zip(*updated, strict=True))
        first, second, n_steps = state
        # From 0 and at a rate of 1, since the step's own length decides on its rate.
        torch._foreach_zero_(directions)
        torch._foreach_add_(n_steps, 1.0)
        torch._fused_adam_(
            directions,
            gradients,
            first,
            second,
            [],
            n_steps,
            lr=1.0,
            beta1=self.beta1,
            beta2=self.beta2,
            weight_decay=0.0,
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
        )
        for parameter, direction, rate in zip(
            parameters, directions, self._clipped_rates(directions, parts), strict=True
        ):
            parameter.addcmul_(direction, rate)

    def _clipped_rates(self, directions: list[Tensor], parts: list[int]) -> list[Tensor]:
        """Divide the rate by the root mean square of a part's directions, where that is above 1."""
        # Those of convolutions may lie with their channels last, of which there is no flat view.
        flat = (direction.flatten() for direction in directions)
        squares: dict[int, Tensor] = {}
        n_values: Counter[int] = Counter()
        for direction, part in zip(flat, parts, strict=True):
            square = torch.dot(direction, direction)
            squares[part] = squares[part] + square if part in squares else square
            n_values[part] += direction.numel()
        # At least 1 each; a sum above their number means that one is.
        roots = [(squares[part] / n_values[part]).sqrt_().clamp_min_(1.0) for part in squares]
        self.n_clipped += sum(roots) > len(roots)
        rates = {part: self.rate / root for part, root in zip(squares, roots, strict=True)}
        return [rates[part] for part in parts]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def take_counts(self) -> Tensor:
        """Return how many steps were clipped since the last call, and how many there were."""
        n_steps = torch.stack([n for *_, n in self._state]).amax()
        counts = torch.stack([self.n_clipped, n_steps - self._n_counted])
        self.n_clipped.zero_()
        self._n_counted.copy_(n_steps)
        return counts

    def state(self) -> list[Tensor]:
        """Moments and counts of steps, the tensors themselves."""
        return [*(tensor for state in self._state for tensor in state), self.n_clipped, self._n_counted]


class Optimizers:
    """Optimizers by the names of their modules, and the rates' common schedule.

    Parameters
    ----------
    by_name : mapping
        One may have several names.
    settings : LoopSettingsOnData
    """

    def __init__(self, by_name: Mapping[str, Adam], settings: LoopSettingsOnData) -> None:
        self.settings = settings
        self._by_name = dict(by_name)
        self.all = list(dict.fromkeys(by_name.values()))

    def __getitem__(self, name: str) -> Adam:
        return self._by_name[name]

    def set_rates(self, n_iter: int) -> None:
        """Rates fall linearly to zero over the last `learning_rate_decay` of the training."""
        decay = self.settings.learning_rate_decay * self.settings.max_iter
        if not decay:
            return
        factor = min(1.0, (self.settings.max_iter - n_iter) / decay)
        for optimizer in self.all:
            optimizer.rate.fill_(optimizer.base_rate * factor)

    def slow_down(self, factor: float) -> None:
        """Multiply all rates from here on."""
        for optimizer in self.all:
            optimizer.base_rate *= factor
            optimizer.rate.mul_(factor)

    def take_clipped_share(self) -> float:
        """Share of the steps since the last call that were clipped. This waits for the device."""
        counts = torch.stack([optimizer.take_counts() for optimizer in self.all])
        n_clipped, n_steps = counts.sum(0).tolist()
        return n_clipped / max(n_steps, 1.0)

    def state(self) -> list[list[Tensor]]:
        """Moments and counts of steps of every optimizer, the tensors themselves."""
        return [optimizer.state() for optimizer in self.all]

    @torch.no_grad()
    def load(self, state: list[list[Tensor]]) -> None:
        """Copy what `state` gave into the optimizers' own tensors, which a CUDA graph holds on to."""
        for optimizer, values in zip(self.all, state, strict=True):
            for tensor, value in zip(optimizer.state(), values, strict=True):
                tensor.copy_(value)
