import pickle
from dataclasses import replace

import pytest
import torch
from support import normal, resolved

from skmpcc.method.model import MPCCModel
from skmpcc.method.networks.layers import batch_norms
from skmpcc.settings import NetworkSettings
from skmpcc.training.loop import train

SETTINGS = NetworkSettings(latent_dim=4, conditioning="embedding", width=8)


def trained(**training):
    """A model after a few iterations, always the same."""
    model = MPCCModel(SETTINGS, (6,), 3, 0)
    settings = resolved(
        (6,), **{"max_iter": 3, "batch_size": 8, "ema_start": 0, "ema_decay": 0.5} | training
    )
    train(model, settings, normal(40, 6, seed=1), torch.Generator().manual_seed(0))
    return model


def test_inference_without_averages_takes_the_networks_as_they_are():
    model = trained(ema_start=1000)
    model.prepare_for_inference(0, 8, torch.Generator())
    x = torch.randn(5, 6).double()
    torch.testing.assert_close(model.encode(x), tuple(model.encoder.eval()(x)))


@pytest.mark.parametrize("averaged", [True, False])
def test_codes_come_from_the_encoder_that_the_settings_name(averaged):
    model = MPCCModel(replace(SETTINGS, averaged_encoder=averaged), (6,), 3, 0)
    assert model.is_ready_to_encode == (not averaged)
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.add_(normal(*parameter.shape, seed=7))
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = model.encode(x := normal(5, 6))
    # Looking at a model in training changes nothing about it, the estimates of norms included.
    assert all(module.training for module in model.modules())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    encoder = model.averaged_encoder if averaged else model.encoder
    torch.testing.assert_close(found, tuple(encoder.eval()(x)))
    other = model.encoder if averaged else model.averaged_encoder
    assert not torch.allclose(found[0], other.eval()(x)[0])


def test_initial_biases():
    """Zero, or in the range of torch's own layers; averages begin with the same."""
    for shape in ((6,), (1, 8, 8)):
        zero, drawn = (
            MPCCModel(replace(SETTINGS, initial_bias=bias), shape, 3, 0) for bias in ("zero", "torch")
        )
        for (name, layer), twin in zip(zero.named_modules(), drawn.modules(), strict=True):
            if not isinstance(layer, torch.nn.Linear | torch.nn.Conv2d) or layer.bias is None:
                continue
            assert not layer.bias.any()
            bound = layer.weight[0].numel() ** -0.5
            assert 0.0 < twin.bias.abs().max() <= bound, name
        trunk, averaged = drawn.encoder.trunk, drawn.averaged_encoder.trunk
        for own, average in zip(trunk.parameters(), averaged.parameters(), strict=True):
            assert torch.equal(own, average)


def test_standing_statistics_of_a_prepared_model_against_a_plain_loop():
    model, twin = trained(), trained()
    model.prepare_for_inference(16, 8, torch.Generator().manual_seed(5))

    generator = torch.Generator().manual_seed(5)
    network = twin.averaged_generator.train()
    first = batch_norms(network)[0]
    seen = []
    hook = first.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        for _ in range(16):
            y = twin.prior.draw_labels(8, generator)
            network(twin.prior.sample(y, generator), y)
    hook.remove()
    mean = torch.stack([x.mean(0) for x in seen]).mean(0)
    variance = torch.stack([x.var(0) for x in seen]).mean(0)
    norm = batch_norms(model.averaged_generator)[0]
    torch.testing.assert_close(norm.running_mean, mean.double(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(norm.running_var, variance.double(), rtol=1e-5, atol=1e-6)


def test_precision_of_a_prepared_model():
    model = trained()
    model.prepare_for_inference(16, 8, torch.Generator())
    assert {p.dtype for p in model.parameters()} == {torch.float64}
    images = MPCCModel(SETTINGS, (1, 8, 8), 3)
    images.prepare_for_inference(16, 8, torch.Generator())
    assert images.prior.means.dtype == torch.float64
    assert {p.dtype for p in images.encoder.parameters()} == {torch.float32}
    # and training may go on
    settings = resolved((1, 8, 8), max_iter=1, batch_size=8)
    train(images, settings, torch.randn(9, 1, 8, 8), torch.Generator())
    assert {p.dtype for p in images.parameters()} == {torch.float32}


@pytest.mark.parametrize("shape", [(6,), (1, 8, 8)])
def test_averages_move_by_their_decay(shape):
    """The first update copies; from then on decay * average + (1 - decay) * weights."""
    model = MPCCModel(SETTINGS, shape, 3, 0)
    expected = None
    for step in range(4):
        with torch.no_grad():
            for parameter in (*model.generator.parameters(), *model.encoder.parameters()):
                parameter.add_(normal(*parameter.shape, seed=step))
        assert model.has_averages == (step > 0)
        model.update_averages(0.25)
        now = [p.detach().clone() for p in (*model.generator.parameters(), *model.encoder.parameters())]
        if expected is None:
            expected = now
        else:
            expected = [0.75 * a + 0.25 * b for a, b in zip(expected, now, strict=True)]
        averages = (*model.averaged_generator.parameters(), *model.averaged_encoder.parameters())
        for found, value in zip(averages, expected, strict=True):
            torch.testing.assert_close(found.detach(), value)
    model.restart_averages()
    model.update_averages(0.25)
    assert torch.equal(next(model.averaged_generator.parameters()), next(model.generator.parameters()))


def test_inactive_averages_do_not_begin():
    model = MPCCModel(SETTINGS, (6,), 3, 0)
    averages = list(model.averaged_generator.parameters())
    before = [p.detach().clone() for p in averages]
    with torch.no_grad():
        for parameter in model.generator.parameters():
            parameter.add_(1.0)
    model.update_averages(torch.tensor(0.0))
    assert not model.has_averages
    assert all(torch.equal(a, b) for a, b in zip(averages, before, strict=True))
    model.update_averages(torch.tensor(0.25))
    assert model.has_averages
    assert all(torch.equal(a, b) for a, b in zip(averages, model.generator.parameters(), strict=True))


def test_clusters_move_with_their_variances_and_embeddings():
    model = MPCCModel(SETTINGS, (6,), 3, 0)
    with torch.no_grad():
        model.prior.log_variances.copy_(normal(3, 4))
    embeddings = [m for m in model.generator.modules() if isinstance(m, torch.nn.Embedding)]
    model.move_cluster(1, torch.ones(4), like=2)
    assert torch.equal(model.prior.means[1], torch.ones(4))
    assert torch.equal(model.prior.log_variances[1], model.prior.log_variances[2])
    assert embeddings
    assert all(torch.equal(e.weight[1], e.weight[2]) for e in embeddings)


@pytest.mark.parametrize("sharing", ["joint", "discriminator", "none"])
def test_pickles(sharing):
    settings = NetworkSettings(latent_dim=4, conditioning="shared", width=8, sharing=sharing)
    model = MPCCModel(settings, (6,), 3, 5)
    restored = pickle.loads(pickle.dumps(model))
    assert (restored.encoder.trunk is restored.discriminator.trunk) == (sharing != "none")
    for name, value in model.state_dict().items():
        assert torch.equal(restored.state_dict()[name], value), name


def test_prepared_convolutions_lie_channels_last_and_stay_so():
    model = MPCCModel(SETTINGS, (1, 16, 16), 3)
    x = torch.randn(5, 1, 16, 16, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    model.update_averages(1.0)
    before = model.encode(x)[0]
    model.prepare_for_inference(1, 8, torch.Generator())
    restored = pickle.loads(pickle.dumps(model))
    for each in (model, restored):
        assert each.averaged_encoder.trunk(x).is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(each.encode(x)[0], before, rtol=1e-4, atol=1e-6)


def test_work_of_the_largest_layer_goes_by_the_places_it_sees():
    def model(shape, patch_size):
        return MPCCModel(replace(SETTINGS, patch_size=patch_size), shape, 3)

    on_pixels, on_patches = (model((1, 32, 32), size) for size in (1, 2))
    assert (on_pixels.n_places, on_patches.n_places) == (32 * 32, 16 * 16)
    assert on_pixels.hidden_flops(10) == 4 * on_patches.hidden_flops(10)
    # too small for patches, and no image
    assert model((1, 8, 8), 2).n_places == 64
    assert model((20,), 2).n_places == 1


def test_building_a_model_seeds_no_device(monkeypatch):
    """What torch.manual_seed does to CUDA's generators nothing would put back."""
    for module in (torch.cuda, torch.mps, torch.xpu):
        monkeypatch.setattr(module, "manual_seed_all", pytest.fail, raising=False)
        monkeypatch.setattr(module, "manual_seed", pytest.fail, raising=False)
    monkeypatch.setattr(torch, "manual_seed", pytest.fail)
    before = torch.get_rng_state()
    built = [MPCCModel(SETTINGS, (4,), 3, seed) for seed in (0, 0, 1)]
    weights = [torch.cat([p.flatten() for p in each.generator.parameters()]) for each in built]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert torch.equal(torch.get_rng_state(), before)
