"""
A pipeline and a grid search
============================

``MPCCClusterer`` takes :doc:`missing values and categories <plot_mixed_table>` as they are. Where you
would rather deal with them yourself, a pipeline does so before it. A grid search compares settings by
``score``, which needs no labels.
"""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import make_moons
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skmpcc import MPCCClusterer

# %%
# A table of drives: speed and fuel are numbers, some of them missing, and the kind of road is text.
rng = np.random.default_rng(0)
road = np.repeat(["street", "road", "motorway"], 80)
mean_speed = pd.Series(road).map({"street": 30, "road": 80, "motorway": 125})
drives = pd.DataFrame(
    {
        "speed": rng.normal(mean_speed, 8),
        "fuel": rng.normal(9 - 0.03 * mean_speed, 0.6),
        "road": road,
    }
)
drives.loc[::15, "fuel"] = np.nan
drives.groupby("road", sort=False).first()

# %%
# The pipeline
# ------------
#
# There is no need for a scaler: the clusterer brings raw columns of different units to the same range.
columns = make_column_transformer(
    (SimpleImputer(), make_column_selector(dtype_include="number")),
    (OneHotEncoder(sparse_output=False), make_column_selector(dtype_exclude="number")),
)
pipeline = make_pipeline(columns, MPCCClusterer(n_clusters=3, labels_only=True, random_state=0))
labels = pipeline.fit_predict(drives)
pd.crosstab(drives["road"], labels, colnames=["cluster"])

# %%
# Drives in the colours of their clusters. Those without a figure for fuel have a cluster, too, and
# are left out of the picture.
figure, ax = plt.subplots(layout="constrained")
ax.scatter(drives["speed"], drives["fuel"], c=labels, s=12, cmap="tab10", vmin=0, vmax=9)
_ = ax.set(xlabel="speed", ylabel="fuel")

# %%
# The pipeline predicts the clusters of new drives.
new_drives = pd.DataFrame({"speed": [35.0, 120.0], "fuel": [8.0, 5.2], "road": ["street", "motorway"]})
print(pipeline.predict(new_drives))

# %%
# The grid search
# ---------------
#
# These drives are easy to cluster. On two moons it matters how the first clustering is found, which
# teaches the networks. ``score`` tells good clusters from worse ones without labels. It compares
# fits of the same number of clusters on the same rows, and cannot choose that number.
moons, _ = make_moons(300, noise=0.05, random_state=0)
search = GridSearchCV(
    MPCCClusterer(n_clusters=2, labels_only=True, random_state=0),
    {"pseudo_labels": ["kmeans", "gaussian_mixture", "spectral"]},
    cv=KFold(2, shuffle=True, random_state=0),
)
search.fit(moons)

results = pd.DataFrame(search.cv_results_)
results[["param_pseudo_labels", "mean_test_score", "std_test_score"]].round(2)

# %%
# The best setting was fitted again on all rows. In a pipeline the parameter's name would be
# ``mpccclusterer__pseudo_labels``: the step, two underscores, and the parameter.
figure, ax = plt.subplots(layout="constrained")
ax.scatter(*moons.T, c=search.best_estimator_.labels_, s=12, cmap="tab10", vmin=0, vmax=9)
_ = ax.set(title=f"best: {search.best_params_['pseudo_labels']}", aspect="equal")

# %%
# **Read next:** :doc:`plot_own_csv` goes from a file to clusters. :ref:`Presets and their settings
# <reference:Presets and their settings>` tells what else can be searched over.
