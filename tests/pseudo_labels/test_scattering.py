import math

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score
from support import generator

from skmpcc.pseudo_labels import scattering as module
from skmpcc.pseudo_labels.finders.kmeans import kmeans_labels
from skmpcc.pseudo_labels.scattering import (
    contour_features,
    main_colour,
    scattering,
    scattering_features,
)


def gratings(n=120, side=16, seed=0):
    """Waves in one of three directions, of any phase; and their directions."""
    rng = np.random.default_rng(seed)
    y = rng.integers(3, size=n)
    down, across = np.mgrid[:side, :side]
    angles, phases = y * math.pi / 3, rng.uniform(0, 2 * math.pi, n)
    places = np.cos(angles)[:, None, None] * across + np.sin(angles)[:, None, None] * down
    X = np.sin(1.2 * places + phases[:, None, None]) + rng.normal(scale=0.3, size=(n, side, side))
    return torch.as_tensor(X, dtype=torch.float32)[:, None], y


def test_maps_of_constant_images_are_averages_alone():
    images = torch.tensor([0.3, -1.0]).view(2, 1, 1, 1).expand(2, 1, 32, 32)
    maps = scattering(images)
    assert maps.shape == (2, 1 + 2 * 8 + 64, 8, 8)
    torch.testing.assert_close(maps[:, 0], images[:, 0, :8, :8])
    torch.testing.assert_close(maps[:, 1:], torch.zeros(2, 80, 8, 8), atol=1e-6, rtol=0)


def test_first_order_is_the_modulus_of_a_convolution_with_a_wavelet():
    """Against a sum over the pixels around one place in the middle of an image."""
    image = torch.rand(1, 1, 32, 32, generator=generator())
    width, frequency, direction = 1.6, 0.75 * math.pi / 2, 3
    angle = math.pi * direction / 8
    down, across = np.mgrid[-4:5, -4:5]
    along = math.cos(angle) * across + math.sin(angle) * down
    beside = math.cos(angle) * down - math.sin(angle) * across
    envelope = np.exp(-(along**2 + beside**2 / 4) / (2 * width**2))
    wave = envelope * np.exp(1j * frequency * along)
    wave -= envelope * wave.sum() / envelope.sum()
    wave /= 2 * math.pi * width**2 * 2
    expected = abs((wave * image[0, 0, 12:21, 12:21].numpy()).sum())
    moduli = module._moduli(image, 1)
    assert moduli.shape == (1, 8, 16, 16)
    assert float(moduli[0, direction, 8, 8]) == pytest.approx(expected, rel=1e-4)


def test_scattering_tells_directions_whatever_the_phase():
    images, y = gratings()
    by_pixels = kmeans_labels(images.flatten(1), 3, 0)
    by_features = kmeans_labels(scattering_features(images, generator()), 3, 0)
    assert adjusted_rand_score(y, by_pixels) < 0.5
    assert adjusted_rand_score(y, by_features) > 0.95


def test_features_are_centred_and_of_unit_scale_and_the_same_each_time():
    images, _ = gratings()
    features = scattering_features(images, generator(3))
    assert features.shape == (120, module.N_COMPONENTS)
    assert float(features.mean(0).abs().max()) < 1e-4
    assert float(features.square().mean()) == pytest.approx(1.0, rel=1e-4)
    assert torch.equal(features, scattering_features(images, generator(3)))


def test_features_do_not_depend_on_how_many_images_are_looked_at_at_a_time(monkeypatch):
    images, _ = gratings()
    whole = scattering_features(images, generator())
    monkeypatch.setattr(module, "IMAGE_VALUES", 7 * images[0].numel())
    monkeypatch.setattr(module, "available_threads", lambda: 2)
    torch.testing.assert_close(scattering_features(images, generator()), whole, atol=1e-3, rtol=1e-3)


def test_images_that_are_not_fitted_are_projected_as_well(monkeypatch):
    images, y = gratings(200)
    monkeypatch.setattr(module, "MAX_FITTED", 80)
    features = scattering_features(images, generator())
    assert features.shape == (200, module.N_COMPONENTS)
    assert adjusted_rand_score(y, kmeans_labels(features, 3, 0)) > 0.95


@pytest.mark.parametrize(("shape", "maps"), [((8, 8), (2, 2)), ((64, 64), (8, 8)), ((200, 120), (7, 4))])
def test_maps_of_images_of_any_size(shape, maps):
    images = torch.rand(2, 3, *shape, generator=generator())
    assert module._maps(images).shape == (2, 3 * 81, *maps)


def test_contours_are_the_same_whatever_the_colours():
    grey, _ = gratings(60)
    rng = np.random.default_rng(0)
    colours = torch.as_tensor(rng.normal(size=(2, 60, 3, 1, 1)), dtype=torch.float32)
    images = colours[0] + grey * colours[1]
    contours = main_colour(images)
    length = colours[1].norm(dim=1, keepdim=True)
    expected = (grey - grey.mean((2, 3), keepdim=True)) * length
    torch.testing.assert_close(contours.abs(), expected.abs(), atol=1e-4, rtol=1e-3)
    # The sign, which is arbitrary, changes no modulus.
    torch.testing.assert_close(
        scattering(contours)[:, 1:], scattering(-contours)[:, 1:], atol=1e-5, rtol=1e-4
    )
    assert contour_features(images, generator()).shape == (60, 60)
