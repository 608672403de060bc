"""Cluster a Polars frame: frames go in, and new rows and centres are Polars frames as well."""

import numpy as np
import polars as pl

from skmpcc import MPCCClusterer

rng = np.random.default_rng(0)
size = np.repeat([0, 1, 2], 100)
flats = pl.DataFrame(
    {
        "rent": rng.normal(np.array([600, 1100, 1900])[size], 90),
        "area": rng.normal(np.array([35, 70, 120])[size], 6),
        "heating": np.array(["coal", "gas", "heat pump"])[size],
    }
).with_columns(pl.when(pl.int_range(pl.len()) % 20 > 0).then("rent").alias("rent"))  # gaps

clusterer = MPCCClusterer(n_clusters=3, max_iter=300, tol=0, random_state=0).fit(flats)
labelled = flats.with_columns(pl.Series("cluster", clusterer.labels_))
print(labelled.group_by("cluster").agg(pl.len(), pl.mean("rent"), pl.first("heating")))

centers = clusterer.cluster_centers_
new, clusters = clusterer.sample(20)
print(centers)
assert labelled["cluster"].n_unique() == 3
assert centers.schema == new.schema == flats.schema
assert clusterer.impute(flats)["rent"].null_count() == 0
