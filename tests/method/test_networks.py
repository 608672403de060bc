import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrize

from skmpcc.method.model import MPCCModel
from skmpcc.method.networks import layers
from skmpcc.method.networks.image import DownBlock, FirstBlock, Grid
from skmpcc.method.networks.layers import Conditioning, batch_norms, standing_statistics
from skmpcc.presets import PRESETS
from skmpcc.settings import NetworkSettings, select


def n_parameters(module):
    return sum(p.numel() for p in module.parameters())


def linear(n_in, n_out):
    return n_in * n_out + n_out


def conv(n_in, n_out, kernel):
    return n_in * n_out * kernel**2 + n_out


def paper_model(name, channels=1, n_clusters=10):
    return MPCCModel(select(PRESETS[name], NetworkSettings), (channels, 32, 32), n_clusters)


@pytest.mark.parametrize(
    ("name", "c", "channels", "n_clusters"),
    [
        ("mnist", 12, 1, 10),
        ("omniglot", 16, 1, 100),
        ("fashion_mnist", 24, 1, 10),
        ("cifar10", 96, 3, 10),
        ("cifar20", 96, 3, 20),
    ],
)
def test_parameter_counts_of_the_papers_tables(name, c, channels, n_clusters):
    """Tables 1 to 3 of the supplement, counted by hand."""
    model = paper_model(name, channels, n_clusters)
    w, latent = 4 * c, PRESETS[name].latent_dim
    conditioning = PRESETS[name].conditioning

    if conditioning == "embedding":
        first, shared, per_norm = latent, 0, 2 * n_clusters * w
    elif conditioning == "shared":
        first, shared, per_norm = latent, n_clusters * latent, 2 * (2 * latent) * w
    else:
        chunk = latent // 4
        first, shared, per_norm = chunk, n_clusters * latent, 2 * (chunk + latent) * w
    block = 2 * conv(w, w, 3) + conv(w, w, 1) + 2 * per_norm
    generator = linear(first, 16 * w) + shared + 3 * block + 2 * w + conv(w, channels, 3)
    assert n_parameters(model.generator) == generator

    first_block = conv(channels, w, 3) + conv(w, w, 3) + conv(channels, w, 1)
    down, same = 2 * conv(w, w, 3) + conv(w, w, 1), 2 * conv(w, w, 3)
    trunk = first_block + down + same
    assert n_parameters(model.discriminator) == trunk + same + linear(w, 1)
    heads = 2 * (linear(4 * w, 2 * w) + linear(2 * w, latent))
    assert n_parameters(model.encoder) == trunk + same + 2 * down + heads


@pytest.mark.parametrize("conditioning", ["split", "shared", "embedding"])
@pytest.mark.parametrize(
    ("height", "width", "channels"),
    [(8, 8, 1), (12, 12, 3), (16, 24, 1), (28, 28, 1), (33, 48, 3), (64, 64, 3), (128, 128, 1)],
)
def test_image_shapes(height, width, channels, conditioning):
    grid = Grid.for_image(height, width)
    assert grid.size[0] >= height
    assert grid.size[1] >= width
    settings = NetworkSettings(latent_dim=7, conditioning=conditioning, width=4)
    model = MPCCModel(settings, (channels, *grid.size), n_clusters=3)
    y = torch.tensor([0, 2])
    x = model.generator(model.prior.sample(y), y)
    assert x.shape == (2, channels, *grid.size)
    assert x.abs().max() <= 1
    assert model.discriminator(x).shape == (2,)
    mean, log_variance = model.encoder(x)
    assert mean.shape == log_variance.shape == (2, 7)


@pytest.mark.parametrize(
    ("height", "width", "patch_size", "taken"),
    [(8, 8, 2, 1), (10, 40, 2, 1), (12, 12, 2, 2), (28, 28, 2, 2), (33, 48, 4, 4), (16, 24, 4, 2)],
)
def test_networks_on_patches(height, width, patch_size, taken):
    """They end on the same places as those on pixels; small images have smaller patches."""
    size = Grid.for_image(height, width).size
    settings = NetworkSettings(latent_dim=7, conditioning="split", width=4, patch_size=patch_size)
    model = MPCCModel(settings, (3, *size), n_clusters=3)
    y = torch.tensor([0, 2])
    x = model.generator(model.prior.sample(y), y)
    assert x.shape == (2, 3, *size)
    assert model.discriminator(x).shape == (2,)
    mean, log_variance = model.encoder(x)
    assert mean.shape == log_variance.shape == (2, 7)
    first, last = (
        next(m for m in modules if isinstance(m, torch.nn.Conv2d))
        for modules in (model.discriminator.modules(), reversed(list(model.generator.modules())))
    )
    assert first.in_channels == last.out_channels == 3 * taken**2


def test_patches_have_sides_of_one_two_or_four():
    with pytest.raises(ValueError, match="patch_size"):
        NetworkSettings(latent_dim=7, conditioning="split", width=4, patch_size=3)


def test_a_patch_is_read_as_it_is_made():
    """What the trunk takes apart is what the generator puts together, at places in their order."""
    settings = NetworkSettings(latent_dim=4, conditioning="embedding", width=4, patch_size=2)
    model = MPCCModel(settings, (2, 16, 16), n_clusters=2)
    made, read = [], []
    model.generator.output.register_forward_hook(lambda *args: made.append(args[2]))
    model.discriminator.trunk[1].register_forward_pre_hook(lambda *args: read.append(args[1][0]))
    y = torch.tensor([0, 1])
    model.discriminator(model.generator(model.prior.sample(y), y))
    assert made[0].shape == (2, 8, 8, 8)
    torch.testing.assert_close(read[0], torch.tanh(made[0]))


def test_grids_of_patches():
    """Patches fill the same size, and leave room for the networks of every image."""
    for height in range(8, 41):
        for width in range(8, 41):
            grid = Grid.for_image(height, width)
            for patch_size in (1, 2, 4):
                patches = grid.on_patches(patch_size)
                taken = grid.size[0] // patches.size[0]
                assert taken <= patch_size
                assert patches.size == (grid.size[0] / taken, grid.size[1] / taken)
                assert patches.n_blocks >= 1
                assert min(patches.encoder_end) >= 1
    assert Grid.for_image(28, 28).on_patches(2) == Grid((4, 4), 2)


def test_grid_of_the_paper():
    assert Grid.for_image(28, 28).size == Grid.for_image(32, 32).size == (32, 32)
    grid = Grid.for_image(32, 32)
    assert (grid.bottom, grid.n_blocks, grid.encoder_end) == ((4, 4), 3, (2, 2))
    assert [Grid.for_image(s, s).n_blocks for s in (8, 16, 32, 64, 128)] == [1, 2, 3, 4, 5]
    with pytest.raises(ValueError, match="too small"):
        Grid.for_image(7, 40)


def test_grids_of_all_sizes_are_their_own():
    """The size that a grid makes has that very grid, and is no smaller than what was asked for."""
    for height in range(8, 41):
        for width in range(8, 41):
            grid = Grid.for_image(height, width)
            assert Grid.for_image(*grid.size) == grid
            assert height <= grid.size[0] < 2 * height
            assert width <= grid.size[1] < 2 * width
            assert min(grid.encoder_end) >= 1


@pytest.mark.parametrize("conditioning", ["split", "shared", "embedding"])
def test_vector_shapes_and_counts(conditioning):
    d, w, latent, n_clusters = 5, 6, 8, 3
    settings = NetworkSettings(
        latent_dim=latent, conditioning=conditioning, width=w, generator_spectral_norm=False
    )
    model = MPCCModel(settings, (d,), n_clusters)
    y = torch.tensor([0, 2, 1])
    x = model.generator(model.prior.sample(y), y)
    assert x.shape == (3, d)
    assert model.discriminator(x).shape == (3,)
    assert [out.shape for out in model.encoder(x)] == [(3, latent)] * 2

    first = 2 if conditioning == "split" else latent
    condition = {"split": 2 + latent, "shared": 2 * latent, "embedding": n_clusters}[conditioning]
    shared = 0 if conditioning == "embedding" else n_clusters * latent
    generator = linear(first, w) + 2 * linear(w, w) + 3 * 2 * condition * w + shared + linear(w, d)
    assert n_parameters(model.generator) == generator
    trunk = linear(d, w) + linear(w, w)
    assert n_parameters(model.discriminator) == trunk + linear(w, w) + linear(w, 1)
    heads = 2 * (linear(w, w // 2) + linear(w // 2, latent))
    assert n_parameters(model.encoder) == trunk + linear(w, w) + heads


def test_split_gives_each_place_its_own_chunk():
    conditioning = Conditioning("split", 3, 11, 3, spectral=True)
    z, y = torch.arange(22.0).view(2, 11), torch.tensor([1, 2])
    first, conditions = conditioning(z, y)
    conditions = list(conditions)
    assert torch.equal(torch.cat([first, *[c[:, :2] for c in conditions]], 1), z)
    for condition in conditions:
        assert torch.equal(condition[:, 2:], conditioning.shared_embedding(y))


def test_split_needs_a_dimension_for_each_place():
    with pytest.raises(ValueError, match="latent_dim=3"):
        Conditioning("split", 3, 3, 3, spectral=True)


@pytest.mark.parametrize("conditioning", ["split", "shared", "embedding"])
@pytest.mark.parametrize("shape", [(5,), (1, 8, 8)])
def test_generator_depends_on_z_and_on_y(conditioning, shape):
    settings = NetworkSettings(latent_dim=8, conditioning=conditioning, width=8)
    model = MPCCModel(settings, shape, 3)
    z = torch.randn(4, 8)
    with standing_statistics(model.generator):
        model.generator(torch.randn(64, 8), torch.randint(3, (64,)))
    outs = [model.generator(z, torch.full((4,), k)) for k in range(3)]
    assert not torch.allclose(outs[0], outs[1])
    assert not torch.allclose(outs[0][0], outs[0][1])


@pytest.mark.parametrize("shape", [(6,), (1, 16, 16)])
def test_no_layer_of_a_plain_discriminator_has_a_spectral_norm(shape):
    plain, normalized = (
        MPCCModel(
            NetworkSettings(
                latent_dim=4, conditioning="embedding", width=4, discriminator_spectral_norm=spectral
            ),
            shape,
            2,
        ).discriminator
        for spectral in (False, True)
    )
    for discriminator, expected in ((plain, False), (normalized, True)):
        found = [m for m in discriminator.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
        assert {hasattr(layer, "parametrizations") for layer in found} == {expected}


@pytest.mark.parametrize("sharing", ["joint", "discriminator", "none"])
def test_sharing(sharing):
    settings = NetworkSettings(latent_dim=4, conditioning="embedding", width=8, sharing=sharing)
    model = MPCCModel(settings, (5,), 3)
    same = model.encoder.trunk is model.discriminator.trunk
    assert same == (sharing != "none")
    trunk = {id(p) for p in model.encoder.trunk.parameters()}
    updated = {id(p) for p in model.encoder_parameters()}
    assert (trunk <= updated) == (sharing != "discriminator")
    assert updated - trunk == {id(p) for p in model.encoder.parameters()} - trunk


def test_initial_weights():
    model = paper_model("mnist")
    weights = torch.cat(
        [
            module.parametrizations.weight.original.detach().flatten()
            for module in model.modules()
            if hasattr(module, "parametrizations")
        ]
    )
    assert abs(weights.std() - 0.02) < 1e-4
    assert abs(weights.mean()) < 1e-4


def test_standing_statistics_against_a_plain_loop():
    """Averages over the passes of each pass's batch mean and unbiased batch variance."""
    torch.manual_seed(0)
    norm = torch.nn.BatchNorm2d(3, affine=False)
    module = torch.nn.Sequential(norm)
    module(torch.randn(4, 3, 2, 2) + 50)  # what training left
    passes = [torch.randn(5, 3, 2, 2) * (i + 1) + i for i in range(7)]
    with standing_statistics(module):
        for x in passes:
            module(x)
    means = torch.stack([x.mean((0, 2, 3)) for x in passes])
    variances = torch.stack([x.transpose(0, 1).flatten(1).var(1) for x in passes])
    torch.testing.assert_close(norm.running_mean, means.mean(0))
    torch.testing.assert_close(norm.running_var, variances.mean(0))
    assert norm.momentum == 0.1
    assert not module.training
    # and in use they are what normalises
    x = torch.randn(2, 3, 2, 2)
    expected = (x - means.mean(0)[:, None, None]) / (variances.mean(0)[:, None, None] + norm.eps).sqrt()
    torch.testing.assert_close(module(x), expected)


def test_every_batch_norm_is_found():
    model = paper_model("mnist")
    assert len(batch_norms(model.generator)) == 3 * 2 + 1
    assert batch_norms(model.discriminator) == batch_norms(model.encoder) == []


def test_an_encoder_without_norms_starts_at_the_scale_of_its_input():
    """Its layers are neither normalised nor begin near zero; the trunk, the discriminator's, stays."""
    settings = NetworkSettings(
        latent_dim=8, conditioning="embedding", width=32, encoder_spectral_norm=False
    )
    encoder = MPCCModel(settings, (1, 32, 32), n_clusters=3).encoder
    normed = [n for n, m in encoder.named_modules() if parametrize.is_parametrized(m, "weight")]
    assert normed
    assert all(name.startswith("trunk.") for name in normed)
    h = torch.randn(64, 32, 8, 8, generator=torch.Generator().manual_seed(0))
    z = encoder.mean(encoder.body(h))
    assert 0.2 < float(z.std()) < 20.0


def test_a_pooled_convolution_is_the_mean_of_what_a_convolution_gives():
    torch.manual_seed(0)
    plain, pooled = layers.conv(3, 5, 3).double(), layers.conv(3, 5, 3, pooled=True).double()
    pooled.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 6, 8).double()
    torch.testing.assert_close(pooled(x), functional.avg_pool2d(plain(x), 2))


@pytest.mark.parametrize("block", [FirstBlock(3, 4), DownBlock(4), DownBlock(4, spectral=False)])
def test_pooling_blocks_are_those_of_the_paper(block):
    """Which pool at the end."""
    block.double().eval()
    x = torch.randn(2, block.conv1.in_channels, 8, 8).double()
    h = x if isinstance(block, FirstBlock) else functional.relu(x)
    h = functional.relu(block.conv1(h))
    h = functional.conv2d(h, block.conv2.weight, block.conv2.bias, padding=1)
    expected = functional.avg_pool2d(h + block.shortcut(x), 2)
    given = x.clone()
    torch.testing.assert_close(block(x), expected)
    assert torch.equal(x, given)
