"""
Rows that belong nowhere
========================

A clusterer gives every row a cluster, noise too. ``score_samples`` tells how much a row is like the
data, so that unusual rows can be looked at or left out.
"""

import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import make_blobs
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import roc_auc_score

from skmpcc import MPCCClusterer, NoveltyDetector

rng = np.random.default_rng(0)
blobs, _ = make_blobs(500, centers=[[-5, -3], [5, -3], [0, 5]], random_state=0)
noise = rng.uniform(-12, 12, (50, 2))
X = np.concatenate([blobs, noise])
is_noise = np.arange(len(X)) >= len(blobs)

clusterer = MPCCClusterer(n_clusters=3, max_iter=400, tol=0, random_state=0).fit(X)
scores = clusterer.score_samples(X)

# %%
# How many rows are unusual is yours to say, by what you know of the data or by a histogram of the
# scores. Here the lowest twelfth is marked by -1, as DBSCAN does.
limit = np.quantile(scores, 1 / 12)
labels = np.where(scores > limit, clusterer.labels_, -1)

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
left.hist([scores[~is_noise], scores[is_noise]], bins=40, stacked=True, label=["blobs", "noise"])
left.axvline(limit, color="black", linestyle=":", label="limit")
left.set(xlabel="score_samples", ylabel="rows", yscale="log")
left.legend()
kept = labels >= 0
right.scatter(*X[kept].T, c=labels[kept], s=8, cmap="tab10", vmin=0, vmax=9)
right.scatter(*X[~kept].T, c="black", marker="x", s=25, label="unusual")
right.set(title="clusters and unusual rows", aspect="equal")
_ = right.legend()

# %%
# The fit was not told which rows are noise. Noise that happens to lie in a blob cannot be told from
# it.
print(f"noise among the rows marked: {is_noise[~kept].mean():.2f}")
print(f"ROC AUC of the score for noise: {roc_auc_score(is_noise, -scores):.3f}")

# %%
# For new rows, ``NoveltyDetector`` turns scores into 1 and -1, as scikit-learn's outlier detectors do.
# The threshold is a quantile of the scores of the fit. ``by`` says what makes a row unusual: its code,
# how well the code decodes, or the ranks of ``"both"``. Frozen, the clusterer is not fitted again.
new_blobs, _ = make_blobs(300, centers=[[-5, -3], [5, -3], [0, 5]], random_state=1)
new = np.concatenate([new_blobs, rng.uniform(-12, 12, (60, 2))])
is_new_noise = np.arange(len(new)) >= len(new_blobs)

for by in ("density", "information", "reconstruction", "both"):
    detector = NoveltyDetector(FrozenEstimator(clusterer), by=by, contamination=1 / 12).fit(X)
    auc = roc_auc_score(is_new_noise, -detector.score_samples(new))
    marked = detector.predict(new) == -1
    print(f"{by}: ROC AUC {auc:.3f}, marked {marked[is_new_noise].mean():.2f} of the noise")
    print(f"    and {marked[~is_new_noise].mean():.2f} of the blobs")

# %%
# **Read next:** :ref:`how far to trust the score <tables:Rows that belong nowhere>`, and
# :doc:`plot_new_samples` for the half of the model that makes samples.
