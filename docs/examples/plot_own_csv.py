"""
Your own CSV file
=================

From a file to clusters that can be told in words. The file here is made from scikit-learn's wines,
and a few values are taken out, as they are missing in most files.
"""

import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_wine

folder = Path(tempfile.mkdtemp())
wines = load_wine(as_frame=True).data.round(2)
wines = wines.rename(columns={"od280/od315_of_diluted_wines": "od280_od315"})
wines.iloc[::20, 1] = np.nan
wines.insert(0, "bottle", [f"B{number:03}" for number in range(len(wines))])
wines.to_csv(folder / "wines.csv", index=False)

# %%
# Read the file, and leave out what names its rows. Missing values may stay, and so may columns of
# categories.
import pandas as pd

table = pd.read_csv(folder / "wines.csv")
wines = table.drop(columns="bottle")
table.iloc[:3, :6]

# %%
# Look for clusters. Columns may have different units: the clusterer brings them to the same range.
from skmpcc import MPCCClusterer

clusterer = MPCCClusterer(n_clusters=3, max_iter=800, tol=0, random_state=0).fit(wines)
table["cluster"] = clusterer.labels_
table["membership"] = clusterer.predict_proba(wines).max(axis=1)
table.to_csv(folder / "wines-with-clusters.csv", index=False)
print(table["cluster"].value_counts().sort_index())

# %%
# What sets the clusters apart? Each row of the picture is a cluster. A line is one wine, each
# column runs from its smallest value to its largest, and the black line is the mean of those drawn.
# On the right are new samples.
from skmpcc.plotting import ClustersDisplay

_ = ClustersDisplay.from_estimator(clusterer, wines)

# %%
# The same in numbers: the means of some columns in each cluster.
columns = ["alcohol", "flavanoids", "color_intensity", "proline"]
table.groupby("cluster")[columns].mean().round(2)

# %%
# Without a line of Python, :ref:`the command <reference:The command>` does all this and writes a
# report::
#
#     skmpcc wines.csv --n-clusters 3 --output results/
#
# **Read next:** :doc:`plot_saving` keeps the model for new files.
