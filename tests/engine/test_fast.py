"""The fast engine against the plain loop, step by step in double precision."""

import copy
import gc
from dataclasses import replace

import pytest
import torch
from support import resolved, slow

from skmpcc.engine import dense
from skmpcc.engine import spectral_norms as spectral
from skmpcc.engine.fast import FastAlgorithm1
from skmpcc.method.algorithm import Algorithm1
from skmpcc.method.model import MPCCModel
from skmpcc.method.networks.table import TableInputs
from skmpcc.settings import NetworkSettings
from skmpcc.system import devices

BASE = {"latent_dim": 6, "conditioning": "embedding", "width": 8}
VECTOR, IMAGE = (5,), (1, 8, 8)

CASES = {
    "default": (VECTOR, {}, {}),
    "one layer": (VECTOR, {"n_layers": 1}, {}),
    "plain generator": (VECTOR, {"generator_spectral_norm": False}, {}),
    "plain encoder": (VECTOR, {"encoder_spectral_norm": False}, {}),
    "shared": (VECTOR, {"conditioning": "shared"}, {}),
    "split": (VECTOR, {"conditioning": "split"}, {}),
    "trunk of the discriminator": (VECTOR, {"sharing": "discriminator"}, {}),
    "two trunks": (VECTOR, {"sharing": "none"}, {}),
    "threshold": (VECTOR, {"std_floor": "threshold"}, {}),
    "three variances": (VECTOR, {"std_floor": "code"}, {}),
    "noise": (VECTOR, {}, {"noise_std": 0.3}),
    "learned weights": (VECTOR, {}, {"weights": "learned"}),
    "paper's gradients": (
        VECTOR,
        {},
        {"prior_latent_gradient": False, "generator_prior_rate": "networks"},
    ),
    "one step each": (VECTOR, {}, {"discriminator_steps": 1, "encoder_steps": 1}),
    "decay and late averages": (VECTOR, {}, {"learning_rate_decay": 0.5, "ema_start": 2}),
    "reconstruction": (VECTOR, {}, {"reconstruction_weight": 2.0}),
    "reconstruction by the encoder": (
        VECTOR,
        {"encoder_spectral_norm": False},
        {"reconstruction_weight": 2.0, "reconstruction_by_encoder": True, "total_variance": 3.0},
    ),
    "reconstruction by an encoder with noise and a trunk of its own": (
        VECTOR,
        {"sharing": "none", "conditioning": "shared"},
        {"reconstruction_weight": 2.0, "reconstruction_by_encoder": True, "noise_std": 0.3},
    ),
    "labels without pairs": (VECTOR, {}, {"consistency_weight": 0.0, "weights": "learned"}),
    "clusters of generated samples": (VECTOR, {}, {"generated_cluster_weight": 0.5}),
    "images": (IMAGE, {}, {}),
    "images, reconstruction": (IMAGE, {}, {"reconstruction_weight": 2.0}),
    "images, reconstruction by the encoder": (
        IMAGE,
        {"generator_spectral_norm": False},
        {"reconstruction_weight": 2.0, "reconstruction_by_encoder": True},
    ),
    "images, split": (IMAGE, {"conditioning": "split", "upsampling": "nearest"}, {}),
    "images, shared and noise": (IMAGE, {"conditioning": "shared"}, {"noise_std": 0.3}),
    "images, two trunks": (IMAGE, {"sharing": "none"}, {}),
    "images, patches": (
        (1, 16, 16),
        {"patch_size": 2},
        {"discriminator_steps": 2, "encoder_steps": 1},
    ),
    "relativistic": (VECTOR, {}, {"adversarial_loss": "relativistic", "noise_std": 0.3}),
    "penalty": (VECTOR, {}, {"gradient_penalty": 0.5, "discriminator_steps": 2}),
    "images, relativistic with a penalty": (
        IMAGE,
        {"discriminator_spectral_norm": False},
        {"adversarial_loss": "relativistic", "gradient_penalty": 0.5, "reconstruction_weight": 2.0},
    ),
    "images, plain encoder": (IMAGE, {"encoder_spectral_norm": False}, {}),
    "images, the authors' code": (
        IMAGE,
        {
            "std_floor": "code",
            "upsampling": "nearest",
            "initial_bias": "torch",
            "averaged_encoder": False,
        },
        {},
    ),
}


def pair(shape, network, training, supervised):
    """A plain and a fast training of equal models from equal seeds."""
    network = NetworkSettings(**BASE | network)
    # Several steps of each kind, as many as by default in the first case.
    several = {"discriminator_steps": 2, "encoder_steps": 2} if network or training else {}
    defaults = {"max_iter": 4, "batch_size": 12, "ema_start": 0, "learning_rate": 1e-2}
    settings = resolved(shape, supervised_iter=2 if supervised else 0, **defaults | several | training)
    for algorithm in (Algorithm1, FastAlgorithm1):
        model = MPCCModel(network, shape, 3, 0).double()
        yield algorithm(model, settings, torch.Generator().manual_seed(1))


def source(algorithm, supervised):
    """Real batches from the algorithm's own random stream, as `train` draws them."""

    def batch():
        shape = (algorithm.settings.batch_size, *algorithm.model.sample_shape)
        return torch.randn(shape, generator=algorithm.rng, dtype=torch.float64)

    def draw_real():
        x = batch()
        y = torch.randint(3, (len(x),), generator=algorithm.rng)
        return (x, y) if supervised else (x,)

    def draw_pairs():
        xs, ys = zip(*(draw_real() if supervised else (batch(), None) for _ in range(2)), strict=True)
        return (*xs, *ys) if supervised else xs

    return draw_real, draw_pairs


@pytest.mark.parametrize("supervised", [slow(False), True], ids=["free", "supervised"])
@pytest.mark.parametrize("case", CASES)
def test_engines_agree_step_by_step(case, supervised):
    """Parameters, buffers, averages, losses and the random stream after every iteration."""
    shape, network, training = CASES[case]
    paired = supervised and "consistency_weight" not in training
    training = training | ({"consistency_weight": 0.5} if paired else {})
    plain, fast = pair(shape, network, training, supervised)
    for _ in range(plain.settings.max_iter):
        expected = plain.iteration(*source(plain, supervised))
        found = fast.iteration(*source(fast, supervised))
        assert found.keys() == expected.keys()
        for name in expected:
            torch.testing.assert_close(found[name], expected[name], rtol=1e-7, atol=1e-9)
        state = fast.model.state_dict()
        expected = plain.model.state_dict()
        if plain.settings.adversarial_loss == "relativistic":
            # Differences of scores have no gradient by it, but rounding.
            del expected["discriminator.score.bias"]
        for name, value in expected.items():
            # Batch-norm leaves a generator's biases no gradient but rounding, which Adam blows up,
            # and its running means follow them.
            drifts = "generator" in name and name.endswith(("bias", "running_mean"))
            rounding = 1e-6 if drifts else 1e-9
            torch.testing.assert_close(state[name], value, rtol=1e-7, atol=rounding, msg=name)
        assert torch.equal(plain.rng.get_state(), fast.rng.get_state())


TABLE = TableInputs(n_numbers=3, n_values=(2, 3), absent=(0, 2, 4), unit=1.5)
TABLE_CASES = {
    "default": (TABLE, {}, {}),
    "reconstruction": (TABLE, {}, {"reconstruction_weight": 2.0, "noise_std": 0.3}),
    "reconstruction by the encoder": (
        TABLE,
        {"encoder_spectral_norm": False},
        {"reconstruction_weight": 2.0, "reconstruction_by_encoder": True},
    ),
    "shared": (TABLE, {"conditioning": "shared"}, {"reconstruction_weight": 2.0}),
    "two trunks": (TABLE, {"sharing": "none"}, {"reconstruction_weight": 2.0}),
    "categories without gaps": (replace(TABLE, absent=()), {}, {"reconstruction_weight": 2.0}),
    "gaps without categories": (TableInputs(3, (), (0, 2), 1.5), {}, {"reconstruction_weight": 2.0}),
    "relativistic": (TABLE, {}, {"adversarial_loss": "relativistic", "reconstruction_weight": 2.0}),
}


def rows_of(table, n, rng):
    """Rows of numbers and indicators, of which some are missing where they may."""
    numbers = torch.randn(n, table.n_numbers, generator=rng, dtype=torch.float64)
    on = [torch.randint(k, (n,), generator=rng) for k in table.n_values]
    groups = [
        table.unit * torch.nn.functional.one_hot(i, k) for i, k in zip(on, table.n_values, strict=True)
    ]
    outputs = torch.cat([numbers, *groups], dim=1)
    widths = torch.tensor([1] * table.n_numbers + list(table.n_values))
    missing = torch.rand(n, len(widths), generator=rng) < 0.3
    may = torch.tensor([i in table.absent for i in range(len(widths))])
    missing = torch.repeat_interleave(missing & may, widths, dim=1)
    return table.with_absences(torch.where(missing, torch.nan, outputs))


@pytest.mark.parametrize("case", TABLE_CASES)
def test_engines_agree_on_tables_with_categories_and_gaps(case):
    table, network, training = TABLE_CASES[case]
    shape = (table.n_inputs,)
    defaults = {"max_iter": 3, "batch_size": 12, "ema_start": 0, "learning_rate": 1e-2}
    several = {"discriminator_steps": 2, "encoder_steps": 2}
    settings = resolved(shape, supervised_iter=0, **defaults | several | training)
    data = rows_of(table, 40, torch.Generator().manual_seed(2))
    plain, fast = [], []
    for algorithm in (Algorithm1, FastAlgorithm1):
        model = MPCCModel(NetworkSettings(**BASE | network), shape, 3, 0, table).double()
        model.take_absences(data)
        rng = torch.Generator().manual_seed(1)
        engine = algorithm(model, settings, rng)
        kept = plain if algorithm is Algorithm1 else fast
        for _ in range(3):
            losses = engine.iteration(lambda: (rows_of(table, 12, rng),))  # noqa: B023
            kept.append((losses, copy.deepcopy(engine.model.state_dict()), rng.get_state()))
    for (losses, state, stream), (expected, wanted, other) in zip(fast, plain, strict=True):
        assert losses.keys() == expected.keys()
        assert ("reconstruction" in losses) == bool(settings.reconstruction_weight)
        for name in expected:
            torch.testing.assert_close(losses[name], expected[name], rtol=1e-7, atol=1e-9)
        for name, value in wanted.items():
            if settings.adversarial_loss == "relativistic" and name == "discriminator.score.bias":
                continue
            drifts = "generator" in name and name.endswith(("bias", "running_mean"))
            torch.testing.assert_close(
                state[name], value, rtol=1e-7, atol=1e-6 if drifts else 1e-9, msg=name
            )
        assert torch.equal(stream, other)


def test_released_parameters_are_their_own():
    _, fast = pair(VECTOR, {}, {}, False)
    fast.iteration(*source(fast, False))
    before = {name: value.clone() for name, value in fast.model.state_dict().items()}
    fast.release()
    storages = set()
    for name, value in fast.model.named_parameters():
        assert torch.equal(value, before[name])
        assert value.grad is None
        storages.add(value.untyped_storage().data_ptr())
    assert len(storages) == len(list(fast.model.parameters()))
    twin = copy.deepcopy(fast.model)
    assert torch.equal(twin.prior.means, fast.model.prior.means)


@pytest.mark.parametrize("shape", [VECTOR, IMAGE])
def test_lower_precision_is_of_products_alone(shape, monkeypatch):
    """bfloat16 moves the same parameters about as far; they, and all losses, stay in float32."""
    monkeypatch.setattr(dense, "MIN_WEIGHTS", 0)
    model = MPCCModel(NetworkSettings(**BASE), shape, 3, 0)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    moved, lost = {}, {}
    for precision in ("float32", "bfloat16"):
        twin = copy.deepcopy(model).train()
        settings = resolved(shape, max_iter=3, batch_size=12, ema_start=0, precision=precision)
        fast = FastAlgorithm1(twin, settings, torch.Generator().manual_seed(1))
        losses = fast.iteration(lambda: (torch.ones(12, *shape),))
        assert all(value.dtype is torch.float32 for value in losses.values())
        assert all(p.dtype is torch.float32 for p in twin.parameters())
        steps = {name: (p - before[name]).detach().flatten() for name, p in twin.named_parameters()}
        moved[precision], lost[precision] = steps, losses

    def cosine(part):
        steps = (torch.cat([s for n, s in moved[of].items() if n.startswith(part)]) for of in moved)
        return torch.cosine_similarity(*steps, dim=0)

    assert 0.95 < cosine("") < 1.0
    for part in ("generator", "discriminator", "encoder", "prior"):
        assert cosine(part) > 0.8, part
    for name, loss in lost["float32"].items():
        torch.testing.assert_close(lost["bfloat16"][name], loss, rtol=5e-3, atol=1e-3, msg=name)


@pytest.mark.parametrize("conditioning", ["embedding", "split"])
@pytest.mark.parametrize("shape", [VECTOR, IMAGE])
def test_last_layers_and_norms_are_outside_bfloat16(shape, conditioning, monkeypatch):
    """What leaves a network has more digits than bfloat16, and norms are estimated without autocast."""
    network = NetworkSettings(**BASE | {"conditioning": conditioning})
    model = MPCCModel(network, shape, 3, 0).train()
    settings = resolved(shape, max_iter=3, batch_size=12, precision="bfloat16")
    fast = FastAlgorithm1(model, settings, torch.Generator().manual_seed(1))
    cast = []

    def product(matrices, vectors):
        cast.append(torch.is_autocast_enabled("cpu") or matrices.dtype is not torch.float32)
        return real(matrices, vectors)

    real = spectral._product
    monkeypatch.setattr(spectral, "_product", product)
    y, noise = fast._draw_noise()
    x = fast._generator.forward(model.prior.reparameterize(y, noise).detach(), y)
    several = fast._generator.generate(torch.cat([noise, noise]), torch.cat([y, y]), 2)
    outputs = [x, several, *fast._encoder.forward(x), fast._discriminator.forward(x)[0]]
    for output in outputs:
        assert output.dtype is torch.float32
        assert (output != output.bfloat16().float()).float().mean() > 0.5
    # Networks for tables are passed by hand, but not where z goes to all layers.
    assert len(cast) > 0 or (shape == VECTOR and conditioning == "embedding")
    assert not any(cast)


@pytest.mark.parametrize("engine", [Algorithm1, FastAlgorithm1])
def test_what_a_backward_has_used_is_forgotten(engine):
    """Activations and graphs of autograd would stay in the memory of a captured graph for good."""
    shape = IMAGE
    model = MPCCModel(NetworkSettings(**BASE), shape, 3, 0)
    settings = resolved(
        shape, max_iter=3, batch_size=12, supervised_iter=2, discriminator_steps=2, encoder_steps=2
    )
    algorithm = engine(model, settings, torch.Generator().manual_seed(1))
    x, y = torch.ones(12, *shape), torch.arange(12) % 3
    before = _tensors_with_graphs()
    for _ in range(2):
        algorithm.iteration(lambda: (x, y))
        assert _tensors_with_graphs() == before


def _tensors_with_graphs():
    """Number of tensors alive that autograd has made."""
    gc.collect()
    return sum(1 for t in gc.get_objects() if type(t) is torch.Tensor and t.grad_fn is not None)


def test_choice_of_precision(monkeypatch):
    like = torch.zeros(1)
    assert devices.matmul_dtype("float32", like) is None
    assert devices.matmul_dtype("bfloat16", like) is torch.bfloat16
    assert devices.matmul_dtype("bfloat16", like.double()) is None
    for able, expected in ((True, torch.bfloat16), (False, None)):
        capabilities = {"avx512_bf16": able, "avx2": True}
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda c=capabilities: c, raising=False)
        assert devices.matmul_dtype("auto", like) is expected
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert devices.matmul_dtype("auto", like) is None
