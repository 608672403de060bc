"""Forward and backward passes of the networks as the fast engine calls them.

A pass keeps what its backward needs, and the backward writes the gradients of parameters to where
they are wanted. `dense` has passes written out for tables, `autograd` has passes for any network.
"""

from typing import Protocol

from torch import Tensor


class DiscriminatorPass(Protocol):
    """Passes of a discriminator."""

    def forward(self, x: Tensor, *, wants_input: bool = False) -> tuple[Tensor, Tensor]:
        """Return scores and the features before them; `wants_input` for a backward to x."""

    def backward(self, scores: Tensor, features: Tensor | None) -> None:
        """Turn the gradients of both into those of the parameters."""

    def backward_to_input(self, scores: Tensor, features: Tensor | None) -> Tensor:
        """Turn the gradients of both into that of x, and into no parameter's."""


class EncoderPass(Protocol):
    """Passes of an encoder."""

    def forward(
        self, x: Tensor, n_spread: int | None = None, *, wants_backward: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Return means, and log-variances of the first `n_spread` samples, by default of all.

        Without `wants_backward` there will be none.
        """

    def backward(self, mean: Tensor, log_variance: Tensor) -> None:
        """Turn the gradients of both into those of the parameters."""


class GeneratorPass(Protocol):
    """Passes of a generator."""

    def generate(self, z: Tensor, y: Tensor, n_chunks: int) -> Tensor:
        """Return G(z, y) of several batches, for passes that do not update the generator."""

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """Return G(z, y) of one batch."""

    def backward(self, x: Tensor) -> Tensor:
        """Turn the gradient of G(z, y) into those of the parameters and that of z, which is returned."""
