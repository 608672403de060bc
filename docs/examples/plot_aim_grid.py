"""
A grid of 25 Gaussians, by AIM
==============================

``AIM`` generates without clusters. Generative adversarial networks may leave out a part of the
data; this grid shows at a glance whether one did. The encoder works against it, because what it
decodes has to be what was encoded.
"""

import numpy as np
from matplotlib import pyplot as plt

from skmpcc import AIM

rng = np.random.default_rng(0)
means = np.array([(i, j) for i in range(-4, 5, 2) for j in range(-4, 5, 2)])
X = means[rng.integers(25, size=20_000)] + rng.normal(scale=0.05, size=(20_000, 2))

# %%
# ``preset="grid"`` has networks for sharp structures in two dimensions. It trains for 8,000
# iterations, which take about a minute.
aim = AIM(preset="grid", random_state=0).fit(X)

# %%
# Codes are points of a plane, too, about as far apart as draws from a standard normal distribution.
# New samples are what the generator makes of such draws. Colours tell the nearest of the 25 means.
new = aim.sample(5000)
shown = X[:5000]
panels = {
    "data": (shown, shown),
    "codes": (aim.transform(shown), shown),
    "reconstructions": (aim.reconstruct(shown), shown),
    "new samples": (new, new),
}


def distances(points):
    """Distance of each point to each mean."""
    return np.linalg.norm(points[:, None] - means, axis=2)


figure, axes = plt.subplots(2, 2, figsize=(8, 8), layout="constrained")
for ax, (title, (points, coloured_by)) in zip(axes.flat, panels.items(), strict=True):
    nearest = distances(coloured_by).argmin(axis=1)
    ax.scatter(*points.T, c=nearest % 20, s=1, cmap="tab20")
    ax.set(title=title, aspect="equal")

# %%
# Two numbers tell what the picture shows: how many Gaussians have a new sample within three
# standard deviations of their mean, and what share of the new samples is as near to some mean. Of
# the data it is 0.99; the others lie on the way from one Gaussian to the next.
near = distances(new) <= 3 * 0.05
print("Gaussians with samples:", near.any(axis=0).sum(), "of 25")
print(f"new samples near a mean: {near.any(axis=1).mean():.2f}")

# %%
# **Read next:** :ref:`AIM in the reference <reference:Without clusters: VAE and AIM>`, and :ref:`how
# it compares <benchmarks:AIM>` with other networks on this grid.
