"""
Clusters of handwritten digits
==============================

Ten clusters are found in 1,797 small pictures of digits, without the digits' names. The names serve
at the end alone, to see how well clusters and digits agree.
"""

from sklearn.cluster import KMeans
from sklearn.datasets import load_digits

from skmpcc import MPCCClusterer
from skmpcc.metrics import clustering_accuracy

X, y = load_digits(return_X_y=True)
print(X.shape)

# %%
# ``MPCCClusterer`` is used like ``KMeans``. A default fit trains for up to 2,000 iterations; 600
# make this page quick, and ``tol=0`` says that all of them are wanted.
clusterer = MPCCClusterer(n_clusters=10, max_iter=600, tol=0, random_state=0).fit(X)
kmeans = KMeans(n_clusters=10, n_init=10, random_state=0).fit(X)

for name, labels in {"MPCC": clusterer.labels_, "KMeans": kmeans.labels_}.items():
    print(f"{name}: {clustering_accuracy(y, labels):.3f} of the digits are in the cluster of their name")

# %%
# Beside labels a fit gives *codes*, which are 24 numbers for each digit, and a generator that turns
# a code into a digit. Each row shows members of one cluster on the left. On the right are digits
# that are not in the data: the generator made them.
from skmpcc.plotting import ClustersDisplay

_ = ClustersDisplay.from_estimator(clusterer, X, image_shape=(8, 8))

# %%
# Clusters are Gaussians among the codes. The map shows the codes in their first two principal
# components, and each Gaussian as an ellipse. Ellipses that overlap here may be apart in the other
# dimensions.
from skmpcc.plotting import LatentMapDisplay

_ = LatentMapDisplay.from_estimator(clusterer, X)
# sphinx_gallery_thumbnail_number = 2

# %%
# **Read next:** :doc:`plot_images` passes the same digits as images, which says more about them
# than rows of numbers do. The :ref:`reference <reference:What comes back>` lists all that a
# fitted clusterer gives.
