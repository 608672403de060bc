import pytest
import torch
from support import resolved
from torch import nn

from skmpcc.method.algorithm import Algorithm1
from skmpcc.method.model import MPCCModel
from skmpcc.method.optimizers import Adam, Optimizers
from skmpcc.settings import NetworkSettings


@pytest.mark.parametrize(
    ("dtype", "beta2"), [(torch.float32, 0.999), (torch.float64, 0.999), (torch.float64, 0.99)]
)
def test_steps_are_those_of_torchs_adam(dtype, beta2):
    """As long as none is clipped, also of a parameter that has no gradient for a while."""
    start = torch.randn(50, generator=torch.Generator().manual_seed(0), dtype=dtype)
    parameters = [[nn.Parameter(start.clone()), nn.Parameter(start.clone())] for _ in range(2)]
    # A rate that single precision holds exactly.
    plain = torch.optim.Adam(parameters[0], lr=2**-7, betas=(0.0, beta2))
    ours = Adam(parameters[1], 2**-7)
    ours.beta2 = beta2
    for step in range(6):
        for pair in parameters:
            pair[0].grad = torch.sin(start + step) / 3**step
            pair[1].grad = None if step in (2, 3) else torch.cos(start + step) / 3**step
        plain.param_groups[0]["lr"] = 2 ** -(7 + step)
        ours.rate.fill_(2 ** -(7 + step))
        plain.step()
        ours.step()
    assert not ours.n_clipped
    tolerance = 1e-6 if dtype is torch.float32 else 1e-12
    for expected, found in zip(*parameters, strict=True):
        torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


def test_a_gradient_far_above_those_before_makes_no_step_longer_than_the_rate():
    """As one step of all parameters, however they are divided, and with first moments, too."""
    start = torch.ones(60)
    whole = nn.Parameter(start.clone())
    parts = [nn.Parameter(part.clone()) for part in start.split([20, 40])]
    plain = nn.Parameter(start.clone())
    optimizers = Adam([whole], 0.25), Adam(parts, 0.25)
    unclipped = torch.optim.Adam([plain], lr=0.25, betas=(0.0, 0.999))
    # Alternating signs, of one size: v is g^2, and no step is to be clipped.
    for step in range(40):
        gradient = torch.full((60,), (-1.0) ** step * (1.0 if step < 39 else 30.0))
        before = whole.detach().clone()
        whole.grad, plain.grad = gradient, gradient
        for part, share in zip(parts, gradient.split([20, 40]), strict=True):
            part.grad = share
        unclipped.step()
        for optimizer in optimizers:
            optimizer.step()
        if step == 38:
            torch.testing.assert_close(whole, plain)
    moved = float((whole - before).square().mean().sqrt().detach())
    assert moved == pytest.approx(0.25, rel=1e-5)
    assert float((plain.detach() - before).abs().max()) > 2 * 0.25
    torch.testing.assert_close(torch.cat([p.detach() for p in parts]), whole.detach())


def test_parts_are_clipped_each_by_itself():
    """A jump of the second of them leaves the first one's step as it is."""
    parts = [nn.Parameter(torch.ones(n)) for n in (20, 40)]
    adam = Adam(parts, 0.25)
    adam.clip_apart(parts[1:])
    for step in range(40):
        for part, size in zip(parts, (1.0, 1.0 if step < 39 else 30.0), strict=True):
            part.grad = torch.full_like(part, size)
        before = [part.detach().clone() for part in parts]
        adam.step()
    for part, start in zip(parts, before, strict=True):
        torch.testing.assert_close(start - part.detach(), torch.full_like(start, 0.25))


def test_share_of_clipped_steps_is_of_all_optimizers_since_the_last_look():
    found = optimizers()
    for size in (1.0, 1.0, 9.0):
        for name in ("generator", "encoder"):
            for parameter in found[name].parameters:
                parameter.grad = torch.full_like(parameter, size if name == "encoder" else 1.0)
            found[name].step()
    assert found.take_clipped_share() == pytest.approx(1 / 6)
    assert found.take_clipped_share() == 0.0
    found["generator"].step()
    assert found.take_clipped_share() == 0.0


def test_without_gradients_there_is_no_step():
    parameter = nn.Parameter(torch.ones(3))
    adam = Adam([parameter], 0.5)
    adam.step()
    assert torch.equal(parameter.detach(), torch.ones(3))
    assert all(not tensor.any() for tensor in adam.state())


def optimizers(**values):
    settings = resolved((6,), max_iter=10, **values)
    names = ("discriminator", "generator", "encoder", "prior")
    made = {name: Adam([nn.Parameter(torch.ones(2))], settings.learning_rate) for name in names}
    return Optimizers(made | {"decoder": made["generator"]}, settings)


def test_one_optimizer_may_have_two_names():
    found = optimizers()
    assert found["decoder"] is found["generator"]
    assert len(found.all) == 4


def test_rates_of_each_module():
    rates = {
        "learning_rate": 2**-9,
        "prior_learning_rate": 2**-5,
        "max_iter": 2,
        "latent_loss_weight": 1,
    }

    def trained(rate):
        model = MPCCModel(network_settings(), (6,), 3)
        settings = resolved((6,), **rates | {"generator_prior_rate": rate})
        return Algorithm1(model, settings, torch.Generator()).optimizers

    found = trained("prior")
    assert [float(o.rate) for o in found.all] == [2**-9, 2**-9, 2**-9, 2**-5]
    assert found["generator_prior"] is found["prior"]
    found = trained("networks")
    assert [float(o.rate) for o in found.all] == [2**-9, 2**-9, 2**-9, 2**-5, 2**-9]
    assert found["generator_prior"] is not found["prior"]


def network_settings():
    return NetworkSettings(latent_dim=4, width=8, conditioning="embedding")


def test_rates_fall_and_are_slowed_down():
    found = optimizers(learning_rate=2**-9, learning_rate_decay=0.5)
    rates = []
    for n_iter in range(10):
        if n_iter == 8:
            found.slow_down(0.5)
        found.set_rates(n_iter)
        rates.append(float(found["generator"].rate) * 2**9)
    assert rates == pytest.approx([1, 1, 1, 1, 1, 1, 0.8, 0.6, 0.2, 0.1])


def test_state_is_loaded_into_the_tensors_that_are_there():
    """A CUDA graph holds on to them. A state from before the first step has no moments."""
    first, second = optimizers(), optimizers()
    before = [tensor.clone() for tensor in first["generator"].state()]
    tensors = first["generator"].state()
    for parameter in first["generator"].parameters:
        parameter.grad = torch.full_like(parameter, torch.nan)
    first["generator"].step()
    assert any(tensor.isnan().any() for tensor in first["generator"].state())
    first.load(second.state())
    assert all(a is b for a, b in zip(first["generator"].state(), tensors, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(tensors, before, strict=True))


def test_parameters_whose_channels_lie_last_are_updated_as_any():
    weight = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    gradient = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    found = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        parameter = weight.clone(memory_format=memory_format)
        parameter.grad = gradient.clone(memory_format=memory_format)
        Adam([parameter], 0.1).step()
        found.append(parameter)
    assert not torch.equal(found[0], weight)
    torch.testing.assert_close(found[1], found[0])
