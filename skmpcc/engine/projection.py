"""Forward and backward passes of Embed(y) . h, written out: autograd costs more than they do."""

import torch
from torch import Tensor

from skmpcc.engine.spectral_norms import power_iteration
from skmpcc.method.networks.layers import ClassProjection


class ProjectionPass:
    """Passes of a `ClassProjection`, whose parameter keeps the place of its gradient.

    Parameters
    ----------
    module : ClassProjection
    """

    def __init__(self, module: ClassProjection) -> None:
        self.embedding, self.left, self.right = module.embedding.detach(), module.left, module.right
        self.embedding_t = self.embedding.T
        self.gradient = torch.zeros_like(self.embedding)
        module.embedding.grad = self.gradient
        self.all_classes = torch.arange(len(self.embedding), device=self.embedding.device)

    def forward(self, h: Tensor, y: Tensor) -> Tensor:
        """Embed(y) . h, after one power iteration for the embedding's norm."""
        self.norm = power_iteration(self.embedding, self.embedding_t, self.left, self.right)
        self.h, self.y = h, y
        self.rows = torch.index_select(self.embedding, 0, y).div_(self.norm)
        self.out = (h * self.rows).sum(1)
        return self.out

    def input_gradient(self, gradient: Tensor) -> Tensor:
        """The gradient by h."""
        return self.rows * gradient.unsqueeze(1)

    def backward(self, gradient: Tensor) -> None:
        """Set the gradient of the embedding."""
        classes = class_matrix(self.y, self.all_classes, self.h.dtype)
        sum_by_class(self.h * (gradient / self.norm).unsqueeze(1), classes, self.gradient)
        # The norm is u' E v with u and v held.
        along = torch.dot(gradient, self.out).div_(self.norm)
        self.gradient.addr_(self.left, self.right * along, alpha=-1.0)


def class_matrix(y: Tensor, all_classes: Tensor, dtype: torch.dtype) -> Tensor:
    """Ones where a column's label is the row's class, shape (K, n); of many classes `y` itself."""
    return (all_classes[:, None] == y).to(dtype) if len(all_classes) <= len(y) else y


def sum_by_class(rows: Tensor, classes: Tensor, out: Tensor) -> None:
    """Sums of rows for each class; `classes` is what `class_matrix` gives."""
    if classes.ndim == 2:
        torch.mm(classes, rows, out=out)
    else:
        out.copy_(torch.ops.aten.embedding_dense_backward(rows, classes, len(out), -1, False))
