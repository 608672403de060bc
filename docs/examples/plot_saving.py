"""
Saving and loading a model
==========================

``save`` writes a fitted estimator to one file, and ``load`` restores it in another process or on
another machine. The file holds numbers and text, and no code is run when it is read.
"""

import tempfile
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import make_blobs

from skmpcc import MPCCClusterer

X, _ = make_blobs(400, centers=[[-5, 0], [5, 0], [0, 8]], random_state=0)
clusterer = MPCCClusterer(n_clusters=3, labels_only=True, random_state=0).fit(X)

path = Path(tempfile.mkdtemp()) / "blobs.safetensors"
clusterer.save(path)
print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")

# %%
# What is loaded has all parameters and fitted attributes, and predicts the same.
restored = MPCCClusterer.load(path)
print(restored)
print(np.array_equal(restored.labels_, clusterer.labels_))

# %%
# It predicts the cluster of rows that the fit did not see.
new_rows = np.random.default_rng(1).uniform([-9, -4], [9, 12], (2000, 2))
figure, ax = plt.subplots(layout="constrained")
ax.scatter(*new_rows.T, c=restored.predict(new_rows), s=10, alpha=0.4, cmap="tab10", vmin=0, vmax=9)
ax.scatter(*X.T, c="black", s=4)
_ = ax.set(title="rows of the fit in black, new rows in the colour of their cluster")

# %%
# A file that is damaged, or is something else, is refused with a sentence that says so.
path.write_bytes(path.read_bytes()[:-100])
try:
    MPCCClusterer.load(path)
except ValueError as error:
    print(error)

# %%
# **Read next:** why not pickle, and how a model goes to other languages and programs: :ref:`keeping
# a model <reference:Keeping a model>`.
