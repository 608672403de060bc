"""
How many clusters?
==================

``n_clusters="auto"`` looks for the number of clusters before the fit, and ``NClustersDisplay`` draws
what it saw. Look at the whole curve before you trust one number.
"""

from matplotlib import pyplot as plt
from sklearn.datasets import load_iris, make_blobs

from skmpcc import MPCCClusterer
from skmpcc.model_selection import suggest_n_clusters
from skmpcc.plotting import NClustersDisplay

# %%
# Five blobs that are apart
# -------------------------
#
# The rows are split into halves, and each half is clustered by itself. The *prediction strength*
# says how well the clusters of one half tell which rows of the other are together. Five clusters
# are found again in the other half. With more, blobs are cut, each half cuts them elsewhere, and
# the strength falls. With fewer, it depends on which blobs are taken together. The suggestion is
# the largest number above the threshold.
centers = [[-6, 0], [6, 0], [0, 6], [0, -6], [0, 0]]
blobs, _ = make_blobs(500, centers=centers, random_state=0)
clusterer = MPCCClusterer(n_clusters="auto", labels_only=True, random_state=0).fit(blobs)
print("clusters:", clusterer.n_clusters_)

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
left.scatter(*blobs.T, c=clusterer.labels_, s=6, cmap="tab10", vmin=0, vmax=9)
left.set(title="the rows and their clusters", aspect="equal")
_ = NClustersDisplay.from_estimator(clusterer, ax=right)

# %%
# Iris
# ----
#
# Two of the three kinds of iris touch in these measurements, and 2 is suggested. Where clusters
# touch, they are harder to find again in half of the rows, and the suggestion is a lower bound.
# ``suggest_n_clusters`` gives the curve without a fit.
suggestion = suggest_n_clusters(load_iris().data, range(2, 11), random_state=0)
print("suggested:", suggestion.n_clusters)
for number, strength in zip(suggestion.candidates, suggestion.scores, strict=True):
    print(f"{number:2} clusters: {strength:.2f}")
_ = NClustersDisplay.from_suggestion(suggestion)

# %%
# **Read next:** how often the suggestion is right, and what else you can do, stands in the
# :ref:`page on tables <tables:Choosing the number of clusters>`. :doc:`plot_unequal_clusters` fits
# clusters of unlike sizes.
