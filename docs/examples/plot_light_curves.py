"""
Light curves: clusters, a band of uncertainty, novelty
======================================================

A light curve tells how bright a star was on some nights, each time with an error. ``LightCurveVaDE``
takes such irregular, noisy series as they are: it finds clusters, says how a curve goes on where nobody
looked, draws new curves, and scores what is unlike all others.
"""

import numpy as np
from matplotlib import pyplot as plt
from sklearn.metrics import adjusted_rand_score, roc_auc_score

from skmpcc.light_curves import LightCurves, LightCurveVaDE, make_light_curves
from skmpcc.plotting import LightCurvesDisplay

curves, y = make_light_curves(300, random_state=0)
print(curves)

# %%
# Five years of a star look like noise. Divided by its period, so that all cycles lie on one another,
# they are a shape. That is called folding, and the estimator does it by itself. Magnitudes are large
# where a star is faint, so they are drawn upside down.
star = curves[2]
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 2.6), layout="constrained")
left.errorbar(star.times - 2_450_000, star.values, star.errors, fmt=".", markersize=3, elinewidth=0.6)
left.set(xlabel="days", ylabel="magnitude", title=f"a star of the class {y[2]}")
left.invert_yaxis()
_ = LightCurvesDisplay.from_curves(star, ["folded"], ax=right)

# %%
# Clusters are found without the classes, of which there are five. Three curves of each are drawn with
# the band of two standard deviations in which the model sees them, and beside them three new curves.
# The training is a brief one.
model = LightCurveVaDE(n_clusters=5, max_iter=300, random_state=0).fit(curves)
print(f"adjusted Rand index of clusters and classes: {adjusted_rand_score(y, model.labels_):.2f}")
_ = LightCurvesDisplay.from_estimator(model, curves)

# %%
# The band is of use where a curve is hardly known. Here the model is shown forty points of a star that
# it has not seen before, and the band tells where the others are.
new, kinds = make_light_curves(50, random_state=1)


def divided(curve, n_points):
    """Rows of some of a curve's points and of the others, and the curve of the former alone."""
    order = np.random.default_rng(0).permutation(len(curve.times))
    seen, hidden = np.sort(order[:n_points]), np.sort(order[n_points:])
    parts = ([each[seen]] for each in (curve.times, curve.values, curve.errors))
    return seen, hidden, LightCurves(*parts, period=curve.period)


star = new[np.flatnonzero(kinds == "RRab")[0]]
seen, hidden, known = divided(star, 40)
period, places = star.period[0], np.linspace(0, 1, 200)
mean, std = (each[0, 0] for each in model.predict_curve(known, places * period))

figure, ax = plt.subplots(figsize=(9, 3.2), layout="constrained")
ax.fill_between(places, mean - 2 * std, mean + 2 * std, alpha=0.3, label="two standard deviations")
ax.plot(places, mean)
for rows, style, label in ((hidden, "C7.", "not shown to the model"), (seen, "ko", "shown")):
    phases = star.times[rows] / period % 1
    ax.errorbar(phases, star.values[rows], star.errors[rows], fmt=style, markersize=4, label=label)
ax.set(xlabel="phase", ylabel="magnitude")
ax.invert_yaxis()
_ = ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))

# %%
# About 95 % of the other points should be within two standard deviations of band and error together. The
# band is made for curves of about as many points as the fit saw. Of far fewer it is too narrow, since
# these cannot say how the curve is aligned.
for n_points in (10, 20, 40, 80):
    within = []
    for star in new[new.n_points > 100]:
        _, hidden, known = divided(star, n_points)
        mean, std = (each[0, 0] for each in model.predict_curve(known, star.times[hidden]))
        away = np.abs(star.values[hidden] - mean) / np.hypot(std, star.errors[hidden])
        within.append(np.mean(away < 2))
    print(f"{n_points} points shown: {np.mean(within):.2f} of the others are within")

# %%
# Now stars of the five classes and of a sixth one, "outlier", the sum of two sines that have no period
# in common. Each score is low for what is unusual in its own way: "information" for codes unlike those
# of any cluster, "reconstruction" for points that are not where the model expects them, "both" for
# either.
classes = ["RRab", "RRc", "EW", "EA", "Cepheid", "outlier"]
mixed, kinds = make_light_curves(300, classes=classes, random_state=2)
is_new = kinds == "outlier"
scores = {by: model.score_samples(mixed, by) for by in ("information", "reconstruction", "both")}
for by, score in scores.items():
    print(f"{by}: ROC AUC {roc_auc_score(is_new, -score):.3f}")

figure, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
for rows, label in ((~is_new, "the five classes"), (is_new, "outlier")):
    ax.scatter(scores["information"][rows], scores["reconstruction"][rows], s=8, label=label)
ax.set(xlabel='score by "information"', ylabel='score by "reconstruction"')
_ = ax.legend()

# %%
# The four lowest by "both", with the band in which the model saw them.
lowest = scores["both"].argsort()[:4]
_ = LightCurvesDisplay.from_estimator(model, mixed[lowest], ["lowest"] * 4, n_samples=4)

# %%
# **Read next:** :ref:`the guide to light curves <light-curves:Light curves>`, with periods, several
# bands, any other estimator by way of a table, and which score to take when; and
# :ref:`how it works <method:Light curves: LC-VaDE>`.
