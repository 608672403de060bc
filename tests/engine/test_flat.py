import torch
from torch import nn

from skmpcc.engine.flat import FlatParameters


def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(12, 2)).double()


def test_parameters_are_views_of_one_tensor():
    module = network()
    before = [p.detach().clone() for p in module.parameters()]
    x = torch.ones(1, 2, 4, 4, dtype=torch.float64)
    expected = module(x)
    flat = FlatParameters(module.parameters())
    assert flat.values.numel() == sum(p.numel() for p in before)
    for p, value in zip(module.parameters(), before, strict=True):
        assert torch.equal(p, value)
    torch.testing.assert_close(module(x), expected)
    with torch.no_grad():
        flat.values.mul_(2.0)
    for p, value in zip(module.parameters(), before, strict=True):
        assert torch.equal(p, 2.0 * value)


def test_gradients_of_autograd_lie_end_to_end():
    module, twin = network(), network()
    flat = FlatParameters(module.parameters())
    x = torch.ones(1, 2, 4, 4, dtype=torch.float64)
    for _ in range(2):  # from zero each time
        flat.attach_gradients()
        module(x).square().sum().backward(inputs=flat.parameters)
    twin(x).square().sum().backward()
    for p, other in zip(module.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(flat.gradients[id(p)], other.grad)
    assert flat.values.grad.abs().sum() > 0
