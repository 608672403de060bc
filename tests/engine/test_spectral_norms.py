import copy

import pytest
import torch
from support import normal
from torch import nn

from skmpcc.engine.spectral_norms import SpectralNorms
from skmpcc.method.networks.layers import conv, frozen_spectral_norms, linear


def network():
    """Three convolutions, two of them of one shape, that lie differently; a layer without a norm."""
    torch.manual_seed(0)
    net = nn.Sequential(
        conv(2, 4, 3),
        conv(4, 4, 3),
        conv(4, 4, 3),
        nn.Flatten(),
        linear(64, 8),
        linear(8, 8, spectral=False),
    )
    with torch.no_grad():
        weight = net[1].parametrizations.weight.original
        weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    return net.double()


@pytest.mark.parametrize("estimate", [True, False])
def test_norms_of_one_shape_together_are_those_of_each_by_itself(estimate):
    """Outputs, gradients and vectors, several times in a row."""
    one, together = network(), network()
    norms = SpectralNorms(together)
    assert sorted(len(group.layers) for group in norms.groups) == [1, 1, 2]
    for seed in range(3):
        x = normal(5, 2, 4, 4, seed=seed).double()
        if estimate:
            expected = one(x)
        else:
            with frozen_spectral_norms(one):
                expected = one(x)
        with norms.applied(estimate=estimate):
            found = together(x)
        torch.testing.assert_close(found, expected)
        for out in (expected, found):
            out.square().sum().backward()
        state = one.state_dict()
        assert any(name.endswith("_u") for name in state)
        for name, value in together.state_dict().items():
            torch.testing.assert_close(value, state[name])
        for a, b in zip(one.parameters(), together.parameters(), strict=True):
            torch.testing.assert_close(b.grad, a.grad)
            with torch.no_grad():
                a -= 0.1 * a.grad
                b -= 0.1 * b.grad
            a.grad = b.grad = None


def test_without_an_estimate_the_vectors_stay():
    net = network()
    before = copy.deepcopy(net.state_dict())
    with SpectralNorms(net).applied(estimate=False):
        net(normal(2, 2, 4, 4).double())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_afterwards_layers_are_as_any_others():
    net = network().eval()
    x = normal(2, 2, 4, 4).double()
    expected = net(x)
    with pytest.raises(KeyError), SpectralNorms(net).applied(estimate=False):
        raise KeyError
    assert all(getattr(layer, "normalized", None) is None for layer in net)
    assert torch.equal(net(x), expected)


def test_weights_have_the_type_that_they_multiply_in_but_for_last_layers():
    net = nn.Sequential(conv(2, 4, 3), conv(4, 4, 3), nn.Flatten(), linear(64, 8, last=True)).float()
    norms = SpectralNorms(net, torch.bfloat16)
    with norms.applied(estimate=True):
        first, second, last = net[0].normalized, net[1].normalized, net[3].normalized
        assert (first.dtype, second.dtype, last.dtype) == (torch.bfloat16, torch.bfloat16, torch.float32)
        (first.float().sum() + last.sum()).backward()
    for layer in (net[0], net[3]):
        assert layer.parametrizations.weight.original.grad.dtype == torch.float32
