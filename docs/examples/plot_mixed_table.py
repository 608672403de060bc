"""
A table with categories and gaps
================================

A data frame goes in as it is: numbers, categories, booleans and missing values. What comes out has the
same columns and dtypes.
"""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from skmpcc import MPCCClusterer

# %%
# A table of flats in three parts of a town. A tenth of all values is missing.
rng = np.random.default_rng(0)
part = rng.choice(3, size=600)
flats = pd.DataFrame(
    {
        "rent": rng.normal(np.array([600, 1100, 1900])[part], 110),
        "area": rng.normal(np.array([40, 90, 70])[part], 7),
        "rooms": pd.array(1 + rng.binomial(5, np.array([0.1, 0.6, 0.3])[part]), dtype="Int64"),
        "heating": pd.Categorical(
            np.array(["coal", "gas", "heat pump"])[
                np.clip(part + rng.choice([0, 0, 0, 1, -1], 600), 0, 2)
            ]
        ),
        "lift": pd.array(rng.random(600) < np.array([0.1, 0.3, 0.9])[part], dtype="boolean"),
    }
)
gaps = rng.random(flats.shape) < 0.1
flats = flats.mask(gaps)
flats.head()

# %%
# Clusters
# --------
clusterer = MPCCClusterer(n_clusters=3, random_state=0).fit(flats)
pd.crosstab(part, clusterer.labels_, rownames=["part"], colnames=["cluster"])

# %%
# Their centres are rows of such a table: rooms are whole, and heating is one of the known.
clusterer.cluster_centers_

# %%
# What is missing
# ---------------
#
# ``impute`` fills it in: means of numbers, given what else is known of the row, and the most probable
# categories. With ``n_draws`` several tables come back, by which one sees how uncertain that is.
whole = clusterer.impute(flats)
draws = clusterer.impute(flats, n_draws=30)
row = int(np.flatnonzero(gaps[:, 0])[0])
print(flats.loc[row], whole.loc[row], sep="\n\n")

figure, ax = plt.subplots(layout="constrained")
ax.scatter(flats["area"], flats["rent"], c=clusterer.labels_, s=12, cmap="tab10", vmin=0, vmax=9)
ax.scatter(
    [draw.loc[row, "area"] for draw in draws],
    [draw.loc[row, "rent"] for draw in draws],
    marker="x",
    color="black",
    label="draws of a missing rent",
)
_ = ax.set(xlabel="area", ylabel="rent")
_ = ax.legend()

# %%
# New rows
# --------
#
# Samples have the dtypes of the table, and may be asked for by what they shall be.
new, _ = clusterer.sample(500, conditions={"heating": "heat pump", "area": (60, 80)})
new.head()

# %%
# **Read next:** :ref:`Missing values and categories <tables:Missing values and categories>` has the
# rules. :doc:`plot_pipeline` does the same by hand.
