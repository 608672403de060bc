"""
Clusters of unequal sizes
=========================

One group of 600 rows beside groups of 150 and 50. Where clusters are clearly unequal,
``MPCCClusterer`` learns a weight for each of them, as GaussianMixture does. KMeans has none and tends
to cut the large group.
"""

import numpy as np
from matplotlib import pyplot as plt
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.mixture import GaussianMixture

from skmpcc import MPCCClusterer

sizes = [600, 150, 50]
X, y = make_blobs(sizes, centers=[[0, 0], [7, 3], [6, -2]], cluster_std=[2.2, 0.7, 0.4], random_state=1)

# %%
# ``weights="auto"``, the default, learns weights here because the first clustering that the fit
# makes has unequal sizes; ``weights="learned"`` always does. The weights come out near the shares
# of the groups.
clusterer = MPCCClusterer(n_clusters=3, max_iter=400, tol=0, random_state=0).fit(X)
kmeans = KMeans(n_clusters=3, n_init=10, random_state=0).fit(X)
mixture = GaussianMixture(n_components=3, n_init=10, random_state=0).fit(X)

print("rows in the groups:     ", np.sort(np.bincount(y)))
print("rows by MPCCClusterer:  ", np.sort(np.bincount(clusterer.labels_)))
print("rows by GaussianMixture:", np.sort(np.bincount(mixture.predict(X))))
print("rows by KMeans:         ", np.sort(np.bincount(kmeans.labels_)))
print("shares of the groups:   ", np.sort(np.bincount(y) / len(y)).round(3))
print("weights:                ", np.sort(clusterer.weights_).round(3))

# %%
# New samples are drawn by these weights, so that small groups stay small.
new, cluster = clusterer.sample(len(X))
panels = {
    "groups": (X, y),
    "KMeans": (X, kmeans.labels_),
    "MPCCClusterer": (X, clusterer.labels_),
    "new samples": (new, cluster),
}
figure, axes = plt.subplots(2, 2, figsize=(8, 6.5), sharex=True, sharey=True, layout="constrained")
for ax, (title, (points, labels)) in zip(axes.flat, panels.items(), strict=True):
    ax.scatter(*points.T, c=labels, s=6, cmap="tab10", vmin=0, vmax=9)
    ax.set(title=title)

# %%
# **Read next:** :ref:`what is known about unequal sizes <tables:Clusters of unequal sizes>`,
# also among images, where the first clustering tends to equal sizes. :doc:`plot_outliers` finds
# rows that belong to no cluster.
