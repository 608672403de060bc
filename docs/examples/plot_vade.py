"""
Two clusterers that generate: VaDE and MPCC
===========================================

``VaDEClusterer`` has the parameters and methods of ``MPCCClusterer``, and begins with the same
clusters. Behind it is a variational autoencoder instead of an adversarial game: it takes less time
and reconstructs better, and its samples are smoother.
"""

import time

import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits

from skmpcc import MPCCClusterer, VaDEClusterer
from skmpcc.metrics import clustering_accuracy

X, y = load_digits(return_X_y=True)

# %%
# Both keep the clusters that were found by classical methods first (``pseudo_labels_``), so that
# their labels hardly differ. The error of reconstructions is over the variance of the data.
fits = {}
for estimator in (MPCCClusterer(10, random_state=0), VaDEClusterer(10, random_state=0)):
    begun = time.perf_counter()
    fitted = estimator.fit(X)
    seconds = time.perf_counter() - begun
    error = np.square(fitted.reconstruct(X) - X).sum() / np.square(X - X.mean(axis=0)).sum()
    name = type(fitted).__name__
    print(f"{name}: {seconds:.0f} seconds")
    print(f"    accuracy of the labels: {clustering_accuracy(y, fitted.labels_):.3f}")
    print(f"    as the first clusters: {np.mean(fitted.labels_ == fitted.pseudo_labels_):.3f}")
    print(f"    error of reconstructions: {error:.3f}")
    fits[name] = fitted

# %%
# New samples of each cluster, one row for a cluster. Both number the clusters alike here.
figure, panels = plt.subplots(1, 2, figsize=(9, 5), layout="constrained")
for ax, (name, fitted) in zip(panels, fits.items(), strict=True):
    rows = [fitted.sample(9, cluster=cluster)[0].reshape(9, 8, 8) for cluster in range(10)]
    ax.imshow(np.block([[np.pad(image, 1) for image in row] for row in rows]), cmap="gray_r")
    ax.set(title=name, xticks=[], yticks=[])

# %%
# Samples of VaDE are means of what a code may stand for, and so smoother. In the :ref:`benchmarks
# <benchmarks:The generative half>` samples of MPCC cover more of the data that were held out.
#
# **Read next:** :ref:`which estimator is for what <quick-start:Which estimator>`, and how the two
# :ref:`differ in their method <method:The reverse half: VAE and VaDE>`. :doc:`plot_vae` is the same
# without clusters.
