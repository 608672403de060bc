"""
New samples of a cluster
========================

A fitted ``MPCCClusterer`` is a generator, too. It draws new rows of the whole table, of one
cluster, or variants of given rows, in the units of the table.
"""

import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import make_moons

from skmpcc import MPCCClusterer

X, _ = make_moons(600, noise=0.1, random_state=0)
clusterer = MPCCClusterer(n_clusters=2, max_iter=800, tol=0, random_state=0).fit(X)

# %%
# ``sample`` returns rows and the cluster of each. With ``cluster`` all are of that one.
new, cluster = clusterer.sample(600)
of_one, _ = clusterer.sample(300, cluster=1)

# %%
# ``sample_posterior`` encodes given rows, moves their codes by as much as the encoder is unsure of
# them, and decodes: variants of a row.
rows = X[:4]
variants = clusterer.sample_posterior(rows, 60)
print(variants.shape)

figure, axes = plt.subplots(2, 2, figsize=(8, 6), sharex=True, sharey=True, layout="constrained")
style = {"s": 7, "cmap": "tab10", "vmin": 0, "vmax": 9}
axes[0, 0].scatter(*X.T, c=clusterer.labels_, **style)
axes[0, 0].set(title="rows of the table, and their clusters")
axes[0, 1].scatter(*new.T, c=cluster, **style)
axes[0, 1].set(title="new rows")
axes[1, 0].scatter(*of_one.T, c=np.ones(len(of_one)), **style)
axes[1, 0].set(title="new rows of cluster 1")
axes[1, 1].scatter(*X.T, c="lightgray", s=7)
for number, (row, cloud) in enumerate(zip(rows, variants, strict=True)):
    axes[1, 1].scatter(*cloud.T, color=f"C{number + 2}", s=7)
    axes[1, 1].scatter(*row, color=f"C{number + 2}", s=80, marker="*", edgecolors="black")
_ = axes[1, 1].set(title="variants of the rows at the stars")

# %%
# The new rows follow the moons, and vary less across them than the table's rows do. For a point of
# the plane the encoder leaves much open, so that variants spread along the moon of their row.
#
# Whether the generator has settled shows in the course of the training. Losses of a generative
# adversarial network do not fall to zero: two networks work against each other. What should fall, in
# the lowest picture, is the change of memberships and reconstructions from one check to the next.
# Single peaks on the way are common.
from skmpcc.plotting import HistoryDisplay

_ = HistoryDisplay.from_estimator(clusterer)

# %%
# **Read next:** :doc:`plot_classifier` draws samples of known classes. How good samples are on real
# tables and images is measured in the :ref:`benchmarks <benchmarks:The generative half>`.
