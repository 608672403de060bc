import pytest
import torch
from torch import nn

from skmpcc.flat import FlatAdam, FlatParameters


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


@pytest.mark.parametrize("fused", [False, True])
def test_updates_are_adams(fused):
    """Also of a parameter that has no gradient for a while."""
    start = torch.randn(50, generator=torch.Generator().manual_seed(0))
    parameters = [[nn.Parameter(start.clone()), nn.Parameter(start.clone())] for _ in range(2)]
    plain = torch.optim.Adam(parameters[0], lr=1e-2, betas=(0.0, 0.999))
    flat = FlatAdam(parameters[1], lr=1e-2, betas=(0.0, 0.999), fused=fused)
    for step in range(6):
        for pair in parameters:
            pair[0].grad = torch.sin(start + step)
            pair[1].grad = None if step in (2, 3) else torch.cos(start + step)
        for optimizer in (plain, flat):
            optimizer.param_groups[0]["lr"] = 1e-2 / (1 + step)
        plain.step()
        flat.update()
    for expected, found in zip(*parameters, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
