"""
Samples of each class
=====================

``MPCCClassifier`` is the same method for data whose classes are known. It predicts classes, and
draws new samples of a class that you name.
"""

from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skmpcc import MPCCClassifier

digits = load_digits()
X, X_new, y, y_new = train_test_split(digits.data, digits.target, random_state=0, stratify=digits.target)
classifier = MPCCClassifier(max_iter=800, tol=0, random_state=0).fit(X, y)
print(f"accuracy on digits that were held out: {classifier.score(X_new, y_new):.3f}")

# %%
# Held-out digits are on the left, in the row of the class that is predicted, and new samples of the
# class on the right.
from skmpcc.plotting import ClustersDisplay

_ = ClustersDisplay.from_estimator(classifier, X_new, image_shape=(8, 8))

# %%
# ``sample`` takes a class, and ``sample_like`` one class for each sample: five sevens, and a year.
sevens, _ = classifier.sample(5, class_=7)
year = classifier.sample_like([2, 0, 2, 6])

figure, axes = plt.subplots(1, 9, figsize=(9, 1.2), layout="constrained")
for ax, digit in zip(axes, [*sevens, *year], strict=True):
    ax.imshow(digit.reshape(8, 8), cmap="gray", vmin=0, vmax=16)
    ax.set_axis_off()

# %%
# Where are predictions in doubt? The display sorts the largest probability of each held-out digit
# within its predicted class, and marks those below the threshold in the colour of the second class.
from skmpcc.plotting import MembershipsDisplay

memberships = MembershipsDisplay.from_estimator(classifier, X_new, threshold=0.9)

# %%
# The eight digits of which the classifier is least sure, with the class in the data and the
# prediction.
least_sure = classifier.predict_proba(X_new).max(axis=1).argsort()[:8]
predicted = classifier.predict(X_new[least_sure])
figure, axes = plt.subplots(1, 8, figsize=(9, 1.5), layout="constrained")
for ax, row, name in zip(axes, least_sure, predicted, strict=True):
    ax.imshow(X_new[row].reshape(8, 8), cmap="gray")
    ax.set_title(f"{y_new[row]} as {name}", fontsize="medium")
    ax.set_axis_off()

# %%
# Each held-out digit can be encoded and decoded again. What differs between the rows gets lost on
# the way.
from skmpcc.plotting import ReconstructionsDisplay

_ = ReconstructionsDisplay.from_estimator(classifier, X_new, image_shape=(8, 8))

# %%
# **Read next:** some classes may be unknown, marked by -1: :ref:`known classes <reference:Known
# classes>`. :doc:`plot_aim_grid` is for data without any classes or clusters.
