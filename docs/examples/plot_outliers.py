"""
Rows that belong nowhere
========================

With ``outlier_fraction`` a fit gives rows that are far from all others the label -1, as HDBSCAN does,
and finds clusters among the rest. ``score_samples`` tells how much a row is like the data.
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

clusterer = MPCCClusterer(
    n_clusters=3, outlier_fraction="auto", max_iter=400, tol=0, random_state=0
).fit(X)
labels = clusterer.labels_

# %%
# How many rows belong nowhere is yours to say, as ``outlier_fraction=0.1``, or is estimated: random
# places in the box around the rows are mostly between clusters, and rows with as little around them are
# taken out.
kept = labels >= 0
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
left.scatter(*X[kept].T, c=labels[kept], s=8, cmap="tab10", vmin=0, vmax=9)
left.scatter(*X[~kept].T, c="black", marker="x", s=25, label="-1")
left.set(title="clusters, and rows that belong nowhere", aspect="equal")
left.legend()
scores = clusterer.score_samples(X)
right.hist([scores[~is_noise], scores[is_noise]], bins=40, stacked=True, label=["blobs", "noise"])
right.set(xlabel="score_samples", ylabel="rows", yscale="log")
_ = right.legend()

# %%
# The fit was not told which rows are noise. Noise that happens to lie in a blob cannot be told from
# it. New rows are compared with those of the fit, too.
print(f"marked: {(~kept).mean():.1%}; noise among them: {is_noise[~kept].mean():.2f}")
print(f"noise that was marked: {(~kept)[is_noise].mean():.2f}")
print(f"ROC AUC of the score for noise: {roc_auc_score(is_noise, -scores):.3f}")
print("far away and in a blob:", clusterer.predict([[60.0, 60.0], [-5.0, -3.0]]))

# %%
# ``NoveltyDetector`` turns scores into 1 and -1, as scikit-learn's outlier detectors do. The threshold
# is a quantile of the scores of the fit. ``by`` says what makes a row unusual: its code, how well the
# code decodes, or the ranks of ``"both"``. Frozen, the clusterer is not fitted again.
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
