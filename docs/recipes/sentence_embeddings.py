"""Cluster texts by the embeddings that a language model made of them, and assign new texts."""

import numpy as np
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import normalize

from skmpcc import MPCCClusterer

# In the place of a model's vectors, such as SentenceTransformer(...).encode(texts): five topics.
rng = np.random.default_rng(0)
topic = np.repeat(np.arange(5), 80)
vectors = rng.normal(size=(5, 384))[topic] + rng.normal(size=(400, 384))
np.save("embeddings.npy", vectors.astype(np.float32))

# Angles between embeddings tell what is alike, so rows are brought to length 1, new ones as well.
embeddings = normalize(np.load("embeddings.npy"))
known, new = embeddings[::2], embeddings[1::2]
clusterer = MPCCClusterer(n_clusters=5, labels_only=True, random_state=0).fit(known)
labels = clusterer.predict(new)

print("texts in each cluster:", np.bincount(clusterer.labels_), "new ones:", np.bincount(labels))
assert labels.shape == (200,)
assert adjusted_rand_score(topic[1::2], labels) > 0.9
