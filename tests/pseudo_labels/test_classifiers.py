import pytest
import torch
from support import generator, normal

from skmpcc.pseudo_labels.finders.classifiers import ConvNet


@pytest.mark.parametrize(
    ("shape", "n_convolutions"),
    [((1, 8, 8), 2), ((1, 16, 18), 3), ((3, 32, 32), 2), ((1, 28, 40), 2), ((2, 64, 64), 2)],
)
def test_convolutions_end_on_a_small_side(shape, n_convolutions):
    net = ConvNet(shape, 5, generator())
    assert sum(isinstance(layer, torch.nn.Conv2d) for layer in net.hidden) == n_convolutions
    log_q = net.log_memberships(normal(7, *shape))
    assert log_q.shape == (7, 5)
    torch.testing.assert_close(log_q.exp().sum(1), torch.ones(7))
