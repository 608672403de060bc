"""
Images as images
================

An image that is a little moved or turned shows the same thing. ``MPCCClusterer`` makes use of that
if images come as images, of shape ``(n, height, width)``, and not as rows of numbers.
"""

from sklearn.datasets import load_digits

from skmpcc import MPCCClusterer
from skmpcc.metrics import clustering_accuracy

digits = load_digits()
images = digits.images
print(images.shape)

# %%
# Nothing else has to be said. Networks for images are then taken, and clusters are sought that
# small shifts, turns and changes of size leave alone. A default fit has up to 3,000 iterations; 500
# keep this page quick.
clusterer = MPCCClusterer(n_clusters=10, max_iter=500, tol=0, random_state=0).fit(images)
accuracy = clustering_accuracy(digits.target, clusterer.labels_)
print(f"{accuracy:.3f} of the digits are in the cluster of their name")

# %%
# Members of each cluster, and new images of it. After so few iterations most of the new ones can be
# read, and some cannot.
from skmpcc.plotting import ClustersDisplay

_ = ClustersDisplay.from_estimator(clusterer, images)

# %%
# The center of a cluster is an image, too: what the generator makes of the mean of its codes.
from matplotlib import pyplot as plt

figure, axes = plt.subplots(1, 10, figsize=(9, 1.3), layout="constrained")
for number, (ax, center) in enumerate(zip(axes, clusterer.cluster_centers_, strict=True)):
    ax.imshow(center, cmap="gray")
    ax.set_title(number)
    ax.set_axis_off()
# sphinx_gallery_thumbnail_number = 2

# %%
# Images that come as rows need no reshaping: say which shape they have. The fit is then the same.
rows = images.reshape(len(images), -1)
from_rows = MPCCClusterer(n_clusters=10, image_shape=(8, 8))
print(from_rows, "fits rows of shape", rows.shape)

# %%
# **Read next:** :ref:`the page on images <images:Images>` has the shapes and the limits,
# and :doc:`plot_shapes` compares methods on points in the plane.
