"""Adam as Algorithm 1 uses it, optimizers by name, and the schedule of their rates."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torch.optim.adam import adam

from skmpcc.settings import LoopSettingsOnData

BETA2 = 0.999
EPSILON = 1e-8


class Adam:
    """Adam with beta1 = 0, unless it is set, and beta2 = 0.999, by torch's fused step.

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
    """

    beta1 = 0.0

    def __init__(self, parameters: Iterable[Tensor], rate: float) -> None:
        self.parameters: list[Tensor] = []
        self._state: list[tuple[Tensor, Tensor, Tensor]] = []
        for parameter in parameters:
            self.add(parameter)
        self.base_rate = rate
        self.rate = torch.tensor(rate, dtype=torch.float32, device=self.parameters[0].device)

    def add(self, parameter: Tensor) -> None:
        """Update one more parameter from here on."""
        self.parameters.append(parameter)
        moments = torch.zeros_like(parameter.detach()), torch.zeros_like(parameter.detach())
        n_steps = torch.zeros((), dtype=torch.float32, device=parameter.device)
        self._state.append((*moments, n_steps))

    @torch.no_grad()
    def step(self) -> None:
        """Update the parameters that have a gradient."""
        pairs = zip(self.parameters, self._state, strict=True)
        updated = [(p, p.grad, *state) for p, state in pairs if p.grad is not None]
        if not updated:
            return
        parameters, gradients, first, second, n_steps = map(list, zip(*updated, strict=True))
        adam(
            parameters,
            gradients,
            first,
            second,
            [],
            n_steps,
            fused=True,
            amsgrad=False,
            beta1=self.beta1,
            beta2=BETA2,
            lr=self.rate,
            weight_decay=0.0,
            eps=EPSILON,
            maximize=False,
        )

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def state(self) -> list[Tensor]:
        """Moments and counts of steps, the tensors themselves."""
        return [tensor for state in self._state for tensor in state]


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

    def state(self) -> list[list[Tensor]]:
        """Moments and counts of steps of every optimizer, the tensors themselves."""
        return [optimizer.state() for optimizer in self.all]

    @torch.no_grad()
    def load(self, state: list[list[Tensor]]) -> None:
        """Copy what `state` gave into the optimizers' own tensors, which a CUDA graph holds on to."""
        for optimizer, values in zip(self.all, state, strict=True):
            for tensor, value in zip(optimizer.state(), values, strict=True):
                tensor.copy_(value)
