"""Rows of tables that have categories or missing values, as the networks read and write them.

A row is its numbers, then the indicators of each column of categories, then the absence of what may be
missing. Where a value is missing, its number or all its indicators are 0, and its absence is not.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

# Rows whose absences generated samples are given.
N_PATTERNS = 512
# By so much a code is multiplied for its lower digits to decide.
_DIGITS = 2.0**16


@dataclass(frozen=True)
class TableInputs:
    """Inputs of networks for such tables.

    Attributes
    ----------
    n_numbers : int
    n_values : tuple of int
        Values of each column of categories.
    absent : tuple of int
        Columns of which values may be missing: first those of numbers, then those of categories.
    unit : float
        Value of an indicator, or of an absence, that holds; others are 0.
    """

    n_numbers: int
    n_values: tuple[int, ...] = ()
    absent: tuple[int, ...] = ()
    unit: float = 1.0
    # By device and dtype: nothing is copied to a device more than once.
    _made: dict[tuple[torch.device, torch.dtype], Tensor] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def n_outputs(self) -> int:
        """Inputs that are decoded: all but the absences."""
        return self.n_numbers + sum(self.n_values)

    @property
    def n_inputs(self) -> int:
        return self.n_outputs + len(self.absent)

    @property
    def groups(self) -> list[tuple[int, int]]:
        """First of the indicators of each column of categories, and the one after the last."""
        ends = self.n_numbers + torch.tensor(self.n_values, dtype=torch.int64).cumsum(0)
        return [(end - n, end) for end, n in zip(ends.tolist(), self.n_values, strict=True)]

    def _hides(self, like: Tensor) -> Tensor:
        """Tell which outputs each absence is of, (n_absent, n_outputs)."""
        key = like.device, like.dtype
        if key not in self._made:
            widths = torch.tensor([1] * self.n_numbers + list(self.n_values), dtype=torch.int64)
            columns = torch.repeat_interleave(torch.arange(len(widths)), widths)
            absent = torch.tensor(self.absent, dtype=torch.int64)[:, None]
            self._made[key] = (columns == absent).to(like)
        return self._made[key]

    def observed(self, x: Tensor) -> Tensor:
        """Return 1 for each input in x that holds a value, 0 for others and for absences; as x."""
        of_outputs = self.observed_outputs(x[:, self.n_outputs :])
        return torch.cat([of_outputs, torch.zeros_like(x[:, self.n_outputs :])], dim=1)

    def observed_outputs(self, absences: Tensor) -> Tensor:
        """Return 1 for each output that is there where some are absent, 0 for others."""
        return 1.0 - (absences > 0).to(absences) @ self._hides(absences)

    def with_absences(self, outputs: Tensor) -> Tensor:
        """Make inputs of outputs, NaN where one is missing. What cannot be absent stays so."""
        if not self.absent:
            return outputs
        missing = outputs.isnan().to(outputs)
        hides = self._hides(outputs)
        absences = (missing @ hides.T > 0).to(outputs)
        outputs = torch.where(absences @ hides > 0, 0.0, outputs)
        return torch.cat([outputs, self.unit * absences], dim=1)

    def without_absences(self, x: Tensor) -> Tensor:
        """Invert `with_absences`."""
        observed = self.observed_outputs(x[:, self.n_outputs :])
        return torch.where(observed > 0, x[:, : self.n_outputs], torch.nan)


class TableOutput(nn.Module):
    """Last step of a generator of such rows: probabilities of categories, and what is absent.

    In training the rows of an adversarial generator lack what rows of the data lack, so that a
    discriminator compares like with like, as in MisGAN (Li, Jiang and Marlin, 2019). Which row of the
    data that is, is decided by lower digits of the code, and no random stream is needed.

    Parameters
    ----------
    inputs : TableInputs
    hides : bool
        Whether generated rows lack values in training.
    """

    patterns: Tensor

    def __init__(self, inputs: TableInputs, *, hides: bool) -> None:
        super().__init__()
        self.inputs = inputs
        n_patterns = N_PATTERNS if hides and inputs.absent else 0
        self.register_buffer("patterns", torch.zeros(n_patterns, len(inputs.absent)))

    def forward(self, outputs: Tensor, z: Tensor) -> Tensor:
        inputs = self.inputs
        numbers, rest = outputs[:, : inputs.n_numbers], outputs[:, inputs.n_numbers :]
        groups = rest.split(inputs.n_values, dim=1) if inputs.n_values else ()
        rows = torch.cat([numbers, *(inputs.unit * group.softmax(1) for group in groups)], dim=1)
        if not (self.training and len(self.patterns)):
            return torch.cat([rows, rows.new_zeros(len(rows), len(inputs.absent))], dim=1)
        absences = self.patterns[self._pattern_of(z)].to(rows)
        return torch.cat([rows * inputs.observed_outputs(absences), absences], dim=1)

    def _pattern_of(self, z: Tensor) -> Tensor:
        digits = z.detach()[:, 0].double().mul(_DIGITS).floor().long()
        return digits % len(self.patterns)


def table_outputs(generator: nn.Module) -> list[TableOutput]:
    """Those of a generator: one, or none."""
    return [module for module in generator.modules() if isinstance(module, TableOutput)]
