"""
A pipeline and a grid search
============================

``MPCCClusterer`` knows real numbers only, so missing values and categories are dealt with before
it, in a pipeline. A grid search compares settings by ``score``, which needs no labels.
"""

import numpy as np
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
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
# There is no need for a scaler: the clusterer scales by itself.
columns = make_column_transformer(
    (SimpleImputer(), make_column_selector(dtype_include="number")),
    (OneHotEncoder(sparse_output=False), make_column_selector(dtype_exclude="number")),
)
pipeline = make_pipeline(columns, MPCCClusterer(n_clusters=3, labels_only=True, random_state=0))
labels = pipeline.fit_predict(drives)
pd.crosstab(drives["road"], labels, colnames=["cluster"])

# %%
# The grid search
# ---------------
#
# A name of two parts, joined by two underscores, leads to a parameter of a step. ``score`` compares
# fits of the same number of clusters on the same rows. It cannot choose that number. Rows are
# sorted by road, so the folds are shuffled.
search = GridSearchCV(
    pipeline,
    {"mpccclusterer__pseudo_labels": ["kmeans", "spectral"]},
    cv=KFold(2, shuffle=True, random_state=0),
)
search.fit(drives)

results = pd.DataFrame(search.cv_results_)
results[["param_mpccclusterer__pseudo_labels", "mean_test_score", "std_test_score"]]

# %%
# Scores that are this close say that the settings do about as well as each other here. The best
# pipeline was fitted again on all rows, and predicts the clusters of new ones.
new_drives = pd.DataFrame({"speed": [35.0, 120.0], "fuel": [8.0, 5.2], "road": ["street", "motorway"]})
print(search.predict(new_drives))

# %%
# **Read next:** :doc:`plot_own_csv` goes from a file to clusters. :ref:`Presets and their settings
# <user-guide:Presets and their settings>` tells what else can be searched over.
