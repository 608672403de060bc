"""Label data of any size by Ray Data, whose workers load the saved model once each."""

from pathlib import Path

import pandas as pd
import ray
from sklearn.datasets import make_blobs

from skmpcc import MPCCClusterer

X, _ = make_blobs(2000, 5, centers=4, random_state=0)
rows = pd.DataFrame(X, columns=list("abcde"))
clusterer = MPCCClusterer(n_clusters=4, labels_only=True, random_state=0).fit(rows[:500])
# A path that every worker sees: on several machines that of a shared disk.
model = Path("model.safetensors").resolve()
clusterer.save(model)


class Labels:
    def __init__(self, path: Path) -> None:
        self.clusterer = MPCCClusterer.load(path)

    def __call__(self, batch: pd.DataFrame) -> pd.DataFrame:
        return batch.assign(cluster=self.clusterer.predict(batch))


ray.init(num_cpus=2, include_dashboard=False)
labelled = ray.data.from_pandas(rows).map_batches(
    Labels,
    fn_constructor_args=[model],
    batch_format="pandas",
    batch_size=500,
    compute=ray.data.ActorPoolStrategy(size=1),
)
counts = labelled.to_pandas()["cluster"].value_counts()
print(counts)
assert counts.sum() == 2000
assert len(counts) == 4
