import numpy as np
import torch
from support import generator, normal

from skmpcc.pseudo_labels import augmentation
from skmpcc.pseudo_labels.augmentation import random_affine


def test_views_are_a_little_deformed():
    # bright squares off the middle of 48x32
    images = torch.full((400, 2, 48, 32), -1.0)
    images[:, :, 30:36, 18:24] = 1.0
    before = torch.random.get_rng_state()
    views = random_affine(images, generator())
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(views, random_affine(images, generator()))
    assert views.shape == images.shape
    assert len(views.unique(dim=0)) == 400
    # both channels alike; values between those that there were
    assert torch.equal(views[:, 0], views[:, 1])
    assert views.min() >= -1.0
    assert views.max() <= 1.0 + 1e-6
    light = 0.5 * (views[:, 0] + 1.0).double()
    total = light.sum((1, 2))
    down = (light.sum(2) @ torch.arange(48.0, dtype=torch.float64)) / total
    across = (light.sum(1) @ torch.arange(32.0, dtype=torch.float64)) / total
    # at most a shift, and what turning, scaling and slanting by their parts do at this distance
    distance = np.hypot(33 - 23.5, 21 - 15.5)
    bound = 1.5 * (0.25 + 0.15 + 0.2) * distance
    for place, start, side in ((down, 32.5, 48), (across, 20.5, 32)):
        moved = (place - start).abs()
        assert moved.max() <= 0.09 * side + bound
        assert place.std() > 1.0
        assert abs(float(place.mean()) - start) < 0.5
    # areas by 1 / (1 +- 0.15) squared
    area = total / 36.0
    assert 0.7 < area.min() < 0.85
    assert 1.2 < area.max() < 1.45


def test_a_view_without_deformation_is_the_image(monkeypatch):
    for name in ("SHIFT", "ANGLE", "SCALE", "SHEAR"):
        monkeypatch.setattr(augmentation, name, 0.0)
    images = normal(5, 3, 9, 12)
    torch.testing.assert_close(random_affine(images, generator()), images, atol=1e-5, rtol=0)


def test_turning_keeps_lengths_where_sides_differ(monkeypatch):
    """A disc stays a disc in an image three times as wide as high."""
    for name in ("SHIFT", "SCALE", "SHEAR"):
        monkeypatch.setattr(augmentation, name, 0.0)
    monkeypatch.setattr(augmentation, "ANGLE", 1.5)
    down, across = torch.meshgrid(torch.arange(33.0) - 16, torch.arange(99.0) - 49, indexing="ij")
    disc = ((down**2 + across**2) < 100).float()[None, None]
    seen = random_affine(disc.expand(20, 1, 33, 99).contiguous(), generator())
    assert float((seen - disc).abs().mean()) < 0.01
