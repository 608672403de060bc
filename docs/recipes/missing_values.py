"""Cluster a pandas table with gaps and categories, fill in the gaps, and draw rows by conditions."""

import numpy as np
import pandas as pd

from skmpcc import MPCCClusterer

rng = np.random.default_rng(0)
kind = np.repeat(["street", "road", "motorway"], 100)
speed = pd.Series(kind).map({"street": 30, "road": 80, "motorway": 125})
drives = pd.DataFrame({"speed": rng.normal(speed, 8), "fuel": rng.normal(9 - 0.03 * speed, 0.5)})
drives["kind"] = pd.Categorical(kind)
drives["lanes"] = pd.array(1 + rng.binomial(3, speed / 200), dtype="Int64")
drives = drives.mask(rng.random(drives.shape) < 0.1)

# Whole fits alone give good samples: labels_only=True would not do.
clusterer = MPCCClusterer(n_clusters=3, random_state=0).fit(drives)
print(clusterer.cluster_centers_)

whole = clusterer.impute(drives)
wanted = {"kind": ["street", "road"], "speed": (25, 60)}
new, clusters = clusterer.sample(50, conditions=wanted)

clusterer.save("drives.safetensors")
again = MPCCClusterer.load("drives.safetensors")

print(drives.isna().sum().sum(), "gaps before,", whole.isna().sum().sum(), "after")
assert not whole.isna().any(axis=None)
assert new["speed"].between(25, 60).all()
assert set(new["kind"]) <= {"street", "road"}
assert np.array_equal(again.predict(drives), clusterer.labels_)
