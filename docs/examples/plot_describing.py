"""
Which cluster is which
======================

A cluster is a number until someone says what it is. Here wines are clustered, the clusters are told in
words, a later fit takes over their numbers, and new wines are compared with those of the fit.
"""

import pandas as pd
from sklearn.datasets import load_wine

from skmpcc import MPCCClusterer
from skmpcc.inspection import compare, describe_clusters, match_clusters, renumber_clusters
from skmpcc.plotting import ClusterDescriptionDisplay

wines = load_wine(as_frame=True).data
wines = wines.rename(columns={"od280/od315_of_diluted_wines": "od280_od315"})
wines = wines.sample(frac=1.0, random_state=0, ignore_index=True)
first, later = wines[:120], wines[120:]
clusterer = MPCCClusterer(n_clusters=3, labels_only=True, random_state=0).fit(first)

# %%
# What each cluster is
# --------------------
#
# For each cluster there is a short rule. *Precision* is the share of the rows that fulfil it that are
# in the cluster, and *recall* the share of the cluster's rows that fulfil it.
described = describe_clusters(clusterer, first)
with pd.option_context("display.max_colwidth", None):
    print(described[["size", "rule", "precision", "recall"]].to_string())

# %%
# The columns that set a cluster apart, with their mean in the cluster and in all other rows:
for cluster, features in described["features"].items():
    print(f"{cluster}: {features}")

# %%
# The same for all clusters beside each other, as a picture:
_ = ClusterDescriptionDisplay.from_estimator(clusterer, first, n_features=4)

# %%
# Typical wines are nearest to the core of their cluster, doubtful ones have the lowest membership:
columns = ["alcohol", "flavanoids", "color_intensity", "proline"]
typical = described["typical"].explode()
first.loc[typical, columns].assign(cluster=typical.index)

# %%
# Numbers that stay
# -----------------
#
# A later fit of all wines finds nearly the same clusters, and may give them other numbers.
# ``match_clusters`` finds which is which.
again = MPCCClusterer(n_clusters=3, labels_only=True, random_state=1).fit(wines)
print(match_clusters(clusterer, again, wines))

# %%
# ``renumber_clusters`` gives the new clusters the old numbers, everywhere: labels, memberships, centres,
# samples, and files of ``save``.
match = renumber_clusters(again, clusterer, wines)
print(match)
print("same number:", f"{(again.predict(wines) == clusterer.predict(wines)).mean():.1%}")

# %%
# What changed since the fit
# --------------------------
#
# Later wines are like the first ones. Had only the stronger ones come in, that would be seen:
print(compare(clusterer, later))
print()
stronger = compare(clusterer, later[later["alcohol"] > 13])
print(stronger)

# %%
# The shares of the clusters, in the fit and now:
stronger.to_frame().round(3)

# %%
# **Read next:** the :ref:`page on tables <tables:Which is which>` says how these are found and how far
# to trust them. :doc:`plot_outliers` looks for single rows that belong nowhere, and :doc:`plot_saving`
# keeps the model.
