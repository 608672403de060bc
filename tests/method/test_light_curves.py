"""LC-VaDE's networks, likelihoods and training, against slow ways and closed forms."""

import copy
import math

import numpy as np
import pytest
import torch
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, ExpSineSquared
from support import generator, normal
from torch import distributions

from skmpcc.method.light_curves import _MAX_DEVIATION, LightCurveModel, LightCurveTraining
from skmpcc.method.networks import series as networks
from skmpcc.method.networks.series import (
    CircularInterpolation,
    circular,
    packed,
    posterior,
    unpacked,
)
from skmpcc.method.prior import divergences_from_gaussians
from skmpcc.settings import LightCurveNetworkSettings, LightCurveSettingsOnData

N_BANDS, N_FEATURES, N_CODES, N_INDUCING = 2, 3, 4, 6
NETWORKS = LightCurveNetworkSettings(
    latent_dim=N_CODES + N_FEATURES,
    conditioning="embedding",
    width=16,
    n_layers=2,
    generator_spectral_norm=False,
    encoder_spectral_norm=False,
    min_std=0.1,
    initial_log_variance=0.0,
    n_bands=N_BANDS,
    n_features=N_FEATURES,
    n_points=8,
    n_inducing=N_INDUCING,
)


def points(n=5, n_points=9, n_bands=N_BANDS, seed=0):
    """Series of phases, values and errors, of which some have fewer points."""
    rng = generator(seed)
    drawn = torch.rand(n, n_bands, 3, n_points, generator=rng, dtype=torch.float64)
    drawn[:, :, 1] = 2 * drawn[:, :, 1] - 1
    drawn[:, :, 2] = 0.05 + 0.3 * drawn[:, :, 2]
    for i in range(n):
        for band in range(n_bands):
            drawn[i, band, :, n_points - (i + band) % 4 :] = 0.0
    return drawn


def decoded(n=5, n_bands=N_BANDS, m=N_INDUCING, seed=1):
    """Means and log-variances at inducing phases, and logarithms of amplitude and length scale."""
    return normal(n, n_bands * (2 * m + 2), seed=seed).double()


def samples(n=5, seed=0):
    return packed(normal(n, N_FEATURES, seed=seed).double(), points(n, seed=seed))


def model(seed=0):
    made = LightCurveModel(NETWORKS, (N_FEATURES + 3 * N_BANDS,), 3, seed).double()
    made.eval()
    return made


# ---- Series


def test_unpacking_inverts_packing():
    features, series = normal(5, N_FEATURES), points().float()
    x = packed(features, series)
    assert x.shape == (5, N_FEATURES + N_BANDS * 3 * 9)
    again = unpacked(x, N_BANDS, N_FEATURES)
    assert torch.equal(again[0], features)
    assert torch.equal(again[1], series)
    assert torch.equal(packed(*again), x)


def test_circular_distances_are_those_of_a_loop():
    first, second = normal(2, 3).double(), normal(2, 4, seed=1).double()
    found = circular(first, second)
    for i in range(2):
        for j in range(3):
            for k in range(4):
                wanted = -2 * math.sin(math.pi * float(first[i, j] - second[i, k])) ** 2
                assert float(found[i, j, k]) == pytest.approx(wanted, abs=1e-12)


def test_interpolation_is_that_of_a_loop():
    layer = CircularInterpolation(N_BANDS, 8).double()
    with torch.no_grad():
        layer.log_length_scales.copy_(torch.tensor([[-1.0, 0.2], [-0.5, 0.6]]))
        layer.log_least_error.copy_(torch.tensor([[-1.5], [-2.5]]))
    series = points()
    found = layer(series).view(5, N_BANDS, 2, 2, 8).detach().numpy()
    scales, least = layer.log_length_scales.exp().tolist(), layer.log_least_error.exp().tolist()
    for i, band in np.ndindex(5, N_BANDS):
        for k in range(2):
            for place in range(8):
                sums, weights = 0.0, 1.0
                for phase, value, error in series[i, band].T.tolist():
                    if error > 0:
                        apart = 2 * math.sin(math.pi * (place / 8 - phase)) ** 2
                        w = math.exp(-apart / scales[band][k] ** 2)
                        w /= error**2 + least[band][0] ** 2
                        sums, weights = sums + w * value, weights + w
                wanted = sums / weights, 1 / math.sqrt(weights)
                assert found[i, band, k, :, place] == pytest.approx(wanted, rel=1e-9)
    assert layer.n_outputs == N_BANDS * 2 * 2 * 8


@pytest.mark.parametrize("seen_by", ["interpolation", "encoder"])
def test_order_and_padding_of_points_change_nothing(seen_by):
    series = points()
    features = normal(5, N_FEATURES).double()
    if seen_by == "interpolation":
        network = CircularInterpolation(N_BANDS, 8).double()
    else:
        whole = model().encoder

        def network(series):
            return torch.cat(whole(packed(features, series)), dim=1)

    wanted = network(series)
    order = torch.randperm(9, generator=generator())
    torch.testing.assert_close(network(series[..., order]), wanted, rtol=0, atol=1e-12)
    # Where the error is 0 there is no point, whatever else is there.
    padding = torch.cat([normal(5, N_BANDS, 2, 4).double(), torch.zeros(5, N_BANDS, 1, 4)], dim=2)
    torch.testing.assert_close(network(torch.cat([padding, series], dim=3)), wanted, rtol=0, atol=1e-12)
    whole_cycles = series.clone()
    whole_cycles[:, :, 0] += torch.tensor([2.0, -1.0])[:, None]
    torch.testing.assert_close(network(whole_cycles), wanted, rtol=0, atol=1e-9)
    # But the points themselves count.
    moved = series.clone()
    moved[:, :, 1, 0] += 0.5
    assert (network(moved) - wanted).abs().max() > 1e-4


def test_codes_of_features_are_the_features():
    x, encoder = samples(), model().encoder
    mean, log_variance = encoder(x)
    assert mean.shape == log_variance.shape == (5, N_CODES + N_FEATURES)
    assert torch.equal(mean[:, N_CODES:], x[:, :N_FEATURES])
    stds = torch.exp(0.5 * log_variance[:, N_CODES:])
    torch.testing.assert_close(stds, torch.full_like(stds, NETWORKS.feature_std))
    # They are no inputs of the other codes, which are of the series.
    other = x.clone()
    other[:, :N_FEATURES] += 1.0
    assert torch.equal(encoder(other)[0][:, :N_CODES], mean[:, :N_CODES])
    of_some = encoder(x, 2)
    torch.testing.assert_close(of_some[1], log_variance[:2])
    torch.testing.assert_close(of_some[0], mean)


# ---- The decoded process


def test_posterior_is_that_of_scikit_learn():
    m = N_INDUCING
    found_at = decoded()
    phases = torch.rand(5, N_BANDS, 4, generator=generator(), dtype=torch.float64) * 3 - 1
    mean, variance = posterior(found_at, phases)
    assert mean.shape == variance.shape == phases.shape
    per_band = found_at.view(5, N_BANDS, -1)
    for i, band in np.ndindex(5, N_BANDS):
        of = per_band[i, band].numpy()
        amplitude = math.exp(of[2 * m])
        scale = networks._SHORTEST * 2 * math.pi / m + math.log1p(math.exp(of[2 * m + 1]))
        noise = np.exp(of[m : 2 * m]) + networks._LEAST_NOISE * amplitude
        kernel = ConstantKernel(amplitude) * ExpSineSquared(scale, 1.0)
        process = GaussianProcessRegressor(kernel, alpha=noise, optimizer=None)
        process.fit(np.arange(m)[:, None] / m, of[:m])
        wanted, std = process.predict(phases[i, band].numpy()[:, None], return_std=True)
        np.testing.assert_allclose(mean[i, band], wanted, atol=1e-9)
        np.testing.assert_allclose(variance[i, band], std**2, atol=1e-9)


def test_posterior_is_on_the_circle():
    phases = torch.rand(5, N_BANDS, 4, generator=generator(), dtype=torch.float64)
    for one, other in zip(posterior(decoded(), phases), posterior(decoded(), phases + 2), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9)


@pytest.mark.parametrize("size", [0.0, 1.0, 30.0, -30.0, 1e4])
def test_posterior_and_gradients_are_finite_whatever_is_decoded(size):
    """In single precision, as in training."""
    values = (size * normal(6, N_BANDS * (2 * N_INDUCING + 2)).abs()).requires_grad_()
    phases = torch.rand(6, N_BANDS, 5, generator=generator())
    mean, variance = posterior(values, phases)
    (variance.log() + mean / (1 + abs(size))).sum().backward()
    assert mean.isfinite().all()
    assert (variance > 0).all()
    assert values.grad.isfinite().all()


def test_gradients_of_interpolation_and_posterior():
    layer = CircularInterpolation(N_BANDS, 4).double()
    series = points(3, 5)

    def interpolated(values, *parameters):
        given = torch.stack([series[:, :, 0], values, series[:, :, 2]], dim=2)
        names = [name for name, _ in layer.named_parameters()]
        return torch.func.functional_call(layer, dict(zip(names, parameters, strict=True)), given)

    parameters = [p.detach().clone().requires_grad_() for p in layer.parameters()]
    assert torch.autograd.gradcheck(
        interpolated, (series[:, :, 1].clone().requires_grad_(), *parameters)
    )
    phases = series[:, :, 0]
    assert torch.autograd.gradcheck(lambda d: posterior(d, phases), decoded(3).requires_grad_())


def test_the_decoder_reads_the_codes_of_series_alone():
    decoder = model().generator
    z = normal(5, N_CODES + N_FEATURES).double()
    y = torch.zeros(5, dtype=torch.int64)
    out = decoder(z, y)
    assert out.shape == (5, N_BANDS * (2 * N_INDUCING + 2))
    z[:, N_CODES:] += 1
    assert torch.equal(decoder(z, y + 1), out)
    z[:, 0] += 1
    assert not torch.equal(decoder(z, y), out)


# ---- Likelihoods


def by_hand(x, values):
    """Log-density and square deviation of each point that is there, sample by sample."""
    series = unpacked(x, N_BANDS, N_FEATURES)[1]
    mean, variance = posterior(values, series[:, :, 0])
    densities, squares = [], []
    for i in range(len(x)):
        there = series[i, :, 2] > 0
        std = torch.sqrt(variance[i] + series[i, :, 2] ** 2)
        of_points = distributions.Normal(mean[i], std)
        densities.append(of_points.log_prob(series[i, :, 1])[there])
        squares.append((((series[i, :, 1] - mean[i]) / std) ** 2)[there])
    return densities, squares


def test_likelihood_is_the_mean_over_points_of_their_exact_one():
    x, values, lc_vade = samples(), decoded(), model()
    unpacked(x, N_BANDS, N_FEATURES)[1][:3, 0, 1, 0] = 50.0  # far off
    densities, squares = by_hand(x, values)
    wanted = torch.stack([each.mean() for each in densities])
    torch.testing.assert_close(lc_vade.likelihood_of_points(x, values), wanted)
    wanted = torch.stack([each.clamp_max(_MAX_DEVIATION**2).mean() for each in squares])
    assert max(float(each.max()) for each in squares) > _MAX_DEVIATION**2
    error = lc_vade.error(x, values)
    torch.testing.assert_close(error, wanted[:, None])
    assert error.shape == (5, lc_vade.n_errors)
    of_score = lc_vade.log_likelihood(x, values, torch.ones(1, dtype=torch.float64))
    torch.testing.assert_close(of_score, -0.5 * wanted)


def test_padding_counts_for_nothing_in_likelihoods():
    x, values = samples(), decoded()
    features, series = unpacked(x, N_BANDS, N_FEATURES)
    longer = packed(features, torch.cat([series, torch.zeros(5, N_BANDS, 3, 6)], dim=3))
    lc_vade = model()
    for name in ("likelihood_of_points", "error"):
        one, other = (getattr(lc_vade, name)(each, values) for each in (x, longer))
        torch.testing.assert_close(one, other)


def test_a_series_without_points_has_a_finite_likelihood():
    x = samples()
    x[:, N_FEATURES:] = 0
    assert model().likelihood_of_points(x, decoded()).tolist() == [0.0] * 5


def test_divergences_from_full_gaussians_are_torchs():
    mean, log_variance, means = (
        normal(*s, seed=i).double() for i, s in enumerate([(6, 4)] * 2 + [(3, 4)])
    )
    roots = normal(3, 4, 4, seed=3).double()
    covariances = roots @ roots.mT + 0.1 * torch.eye(4)
    found = divergences_from_gaussians(mean, log_variance, means, covariances)
    assert found.shape == (6, 3)
    for i in range(6):
        code = distributions.MultivariateNormal(mean[i], torch.diag(log_variance[i].exp()))
        for k in range(3):
            component = distributions.MultivariateNormal(means[k], covariances[k])
            wanted = distributions.kl_divergence(code, component)
            torch.testing.assert_close(found[i, k], wanted)


# ---- Training


def training(lc_vade, **changes):
    settings = {
        "max_iter": 150,
        "learning_rate": 5e-3,
        "ema_decay": "auto",
        "ema_start": 0,
        "batch_size": 48,
    }
    return LightCurveTraining(lc_vade, LightCurveSettingsOnData(**settings | changes), generator())


def sines(n=120, n_points=20):
    """Two bands of a sine or of its square, as much of the points as there are, with their kind."""
    rng = np.random.default_rng(0)
    kind = rng.integers(2, size=n)
    phases, errors = rng.random((n, N_BANDS, n_points)), np.full((n, N_BANDS, n_points), 0.1)
    angles = 2 * np.pi * phases
    curve = np.where(kind[:, None, None], np.cos(angles), np.cos(2 * angles))
    values = curve + errors * rng.normal(size=errors.shape)
    errors[::2, :, n_points // 2 :] = 0
    series = torch.as_tensor(np.stack([phases, values, errors], axis=2)).float()
    features = torch.as_tensor(rng.normal(size=(n, N_FEATURES))).float()
    return packed(features, series), torch.as_tensor(kind)


def drawing(*data):
    rng = generator()

    def draw():
        rows = torch.randint(len(data[0]), (48,), generator=rng)
        return [each[rows] for each in data]

    return draw


def small(seed=0):
    return LightCurveModel(NETWORKS, (N_FEATURES + 3 * N_BANDS,), 2, seed)


def test_it_learns_curves_and_classes():
    x, kind = sines()
    run = training(small(), supervised_iter=150, label_weight=10.0)
    for _ in range(150):
        losses = run.iteration(drawing(x, kind))
    assert float(losses["reconstruction"]) < 3.0
    lc_vade = run.model
    lc_vade.prepare_for_inference(8, 48, generator(), x)
    codes = lc_vade.encode(x.double())[0]
    assert float((lc_vade.prior.most_probable(codes) == kind).float().mean()) > 0.95
    phases = torch.arange(16).double()[None, None] / 16
    mean, variance = posterior(lc_vade.decode(codes, kind), phases.expand(120, N_BANDS, -1))
    angles = 2 * math.pi * phases
    wanted = torch.where(kind[:, None, None].bool(), torch.cos(angles), torch.cos(2 * angles))
    assert float((mean - wanted).square().mean()) < 0.1
    assert variance.isfinite().all()


def test_variances_are_calibrated_on_points_that_the_encoder_does_not_see():
    x, kind = sines()
    run = training(small(), supervised_iter=60)
    for _ in range(60):
        run.iteration(drawing(x, kind))
    lc_vade = run.model
    assert float(lc_vade.variance) == 1.0
    lc_vade.prepare_for_inference(8, 48, generator(), x)
    factor = float(lc_vade.variance)
    assert factor != 1.0
    phases = torch.rand(120, N_BANDS, 4, generator=generator(), dtype=torch.float64)
    codes, y = lc_vade.encode(x.double())[0], torch.zeros(120, dtype=torch.int64)
    rebuilt = lc_vade.decode(codes, y)
    for calibrated, other, times in zip(
        lc_vade.curve(rebuilt, phases), posterior(rebuilt, phases), (1.0, factor), strict=True
    ):
        torch.testing.assert_close(calibrated, times * other)
    # Of other points of the same curves, deviations are about 1.
    features, series = unpacked(x.double(), N_BANDS, N_FEATURES)
    hidden = torch.rand(series[:, :, 2].shape, generator=generator(9)) < 0.2
    given = series.clone()
    given[:, :, 2][hidden] = 0
    rebuilt = lc_vade.decode(lc_vade.encode(packed(features, given))[0], y)
    squares, variance, there = lc_vade.deviations(packed(features, series), rebuilt)
    deviations = (squares / variance)[hidden & there.bool()]
    assert 0.7 < float(deviations[deviations < _MAX_DEVIATION**2].mean()) < 1.4
    # The next training begins as the first did.
    lc_vade.float().prepare_for_inference(0, 48, generator(), None)
    assert float(lc_vade.variance) == 1.0


def test_the_encoder_sees_some_of_the_points_and_the_likelihood_all_that_were_drawn():
    x, _ = sines(40)
    run = training(small(), points_at_once=8, left_out=0.9)
    given, compared = run._seen(x, [])
    features, series = unpacked(x, N_BANDS, N_FEATURES)
    seen, drawn = (unpacked(each, N_BANDS, N_FEATURES)[1] for each in (given, compared))
    assert torch.equal(given[:, :N_FEATURES], features)
    assert torch.equal(compared[:, :N_FEATURES], features)
    assert seen.shape == drawn.shape == (40, N_BANDS, 3, 8)
    # All are points of the series, none twice, and none that is not there.
    assert (drawn[:, :, 2] > 0).all()
    for i, band in np.ndindex(40, N_BANDS):
        own = {tuple(point) for point in series[i, band].T.tolist()}
        found = [tuple(point) for point in drawn[i, band].T.tolist()]
        assert len(set(found)) == 8
        assert set(found) <= own
    # What the encoder does not see differs in its error alone.
    assert torch.equal(seen[:, :, :2], drawn[:, :, :2])
    left_out = seen[:, :, 2] == 0
    assert torch.equal(seen[:, :, 2][~left_out], drawn[:, :, 2][~left_out])
    assert 0.3 < float(left_out.float().mean()) < 0.6
    # By different shares.
    assert float(left_out.float().mean((1, 2)).std()) > 0.1
    everything = training(small(), points_at_once=99, left_out=0.0)._seen(x, [])
    assert torch.equal(everything[0], everything[1])
    assert (unpacked(everything[0], N_BANDS, N_FEATURES)[1][:, :, 2] > 0).sum() == (
        series[:, :, 2] > 0
    ).sum()


def test_the_loss_is_the_likelihood_by_its_weight():
    x, values = samples(), decoded()
    run = training(model(), likelihood_weight=7.0)
    loss, error = run._reconstruction(x, values)
    densities, squares = by_hand(x, values)
    wanted = -7.0 * torch.stack([each.mean() for each in densities]).mean()
    torch.testing.assert_close(loss, wanted)
    wanted = torch.stack([each.clamp_max(_MAX_DEVIATION**2).mean() for each in squares]).mean()
    torch.testing.assert_close(error, wanted)


def test_all_gradients_are_finite_and_all_networks_learn():
    x, kind = sines()
    run = training(small(), supervised_iter=9, label_weight=10.0)
    before = copy.deepcopy(run.model.state_dict())
    run.iteration(drawing(x, kind))
    for name, parameter in run.model.named_parameters():
        assert parameter.isfinite().all(), name
        if parameter.requires_grad and not name.startswith("averaged"):
            assert not torch.equal(parameter, before[name]), name


def test_trainings_of_one_seed_are_the_same_and_leave_global_states_alone():
    x, kind = sines()
    numpy_state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    results = []
    for _ in range(2):
        run = training(small(), supervised_iter=5)
        draw = drawing(x, kind)
        for _ in range(5):
            run.iteration(draw)
        results.append(run.model.own_state())
    for name, tensor in results[0].items():
        assert torch.equal(tensor, results[1][name]), name
    other = training(small(1), supervised_iter=5)
    other.iteration(drawing(x, kind))
    state = other.model.own_state()
    assert any(not torch.equal(tensor, state[name]) for name, tensor in results[0].items())
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_state)


def test_state_goes_on_bit_for_bit():
    x, kind = sines()
    run = training(small(), supervised_iter=9)
    draw = drawing(x, kind)
    for _ in range(3):
        run.iteration(draw)
    state, batches = run.state(), [draw() for _ in range(3)]
    results = []
    for each in (run, training(small(5), supervised_iter=9)):
        each.load(state)
        stream = iter(batches)
        for _ in range(3):
            each.iteration(lambda stream=stream: next(stream))
        results.append(each.model.own_state())
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])
