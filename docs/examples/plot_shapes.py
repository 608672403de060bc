"""
Six classic shapes, by three methods
====================================

The shapes of scikit-learn's comparison of clusterings, clustered by KMeans, GaussianMixture and
``MPCCClusterer``. All three are told the number of clusters, and none is tuned to a shape.
"""

import numpy as np
from matplotlib import pyplot as plt
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs, make_circles, make_moons
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from skmpcc import MPCCClusterer

n = 500
rng = np.random.default_rng(30)
blobs = make_blobs(n, random_state=8)
tilted_blobs, tilted_names = make_blobs(n, random_state=170)
shapes = {
    "circles": (*make_circles(n, factor=0.5, noise=0.05, random_state=30), 2),
    "moons": (*make_moons(n, noise=0.05, random_state=30), 2),
    "unlike spreads": (*make_blobs(n, cluster_std=[1.0, 2.5, 0.5], random_state=170), 3),
    "stretched": (tilted_blobs @ [[0.6, -0.6], [-0.4, 0.8]], tilted_names, 3),
    "blobs": (*blobs, 3),
    "no clusters": (rng.random((n, 2)), None, 3),
}

# %%
# Labels are all that is wanted here, so ``labels_only=True`` ends each fit as soon as they have
# settled.
figure, axes = plt.subplots(
    len(shapes), 3, figsize=(8, 15), sharex="row", sharey="row", layout="constrained"
)
for row, (shape, (X, y, n_clusters)) in zip(axes, shapes.items(), strict=True):
    methods = {
        "KMeans": KMeans(n_clusters, n_init=10, random_state=0),
        "GaussianMixture": GaussianMixture(n_clusters, n_init=10, random_state=0),
        "MPCCClusterer": MPCCClusterer(n_clusters, labels_only=True, random_state=0),
    }
    row[0].set_ylabel(shape, size="large")
    for ax, (method, estimator) in zip(row, methods.items(), strict=True):
        labels = estimator.fit_predict(X)
        ax.scatter(*X.T, c=labels, s=6, cmap="tab10", vmin=0, vmax=9)
        ax.set(title=method, xticks=[], yticks=[])
        if y is not None:
            ax.set_xlabel(f"{adjusted_rand_score(y, labels):z.2f}")

# %%
# The number below a picture is the adjusted Rand index of clusters and the groups that the points
# were drawn from: 1 is perfect agreement, and 0 what chance gives. The last shape has no groups,
# and every method cuts it somewhere: a clustering by itself does not say that there are clusters.
#
# KMeans and GaussianMixture take milliseconds where ``MPCCClusterer`` takes seconds. For compact
# groups they are the better choice.
#
# **Read next:** :doc:`plot_n_clusters` looks for the number of clusters. When not to use
# ``MPCCClusterer`` is :ref:`told in the quick start <quick-start:When not to use it>`.
