"""Run the initialisations of a fit on Dask's workers, and label the parts of a large table there."""

import dask.dataframe as dd
import joblib
import pandas as pd
from distributed import Client, LocalCluster
from sklearn.datasets import make_blobs

from skmpcc import MPCCClusterer

if __name__ == "__main__":
    X, _ = make_blobs(4000, 5, centers=4, random_state=0)
    pd.DataFrame(X, columns=list("abcde")).to_parquet("rows.parquet")
    rows = dd.read_parquet("rows.parquet").repartition(npartitions=4)

    # Client("scheduler:8786") is of a cluster that runs already.
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster),
    ):
        first = rows.head(500)
        with joblib.parallel_config("dask"):
            clusterer = MPCCClusterer(n_clusters=4, n_init=2, labels_only=True, random_state=0).fit(
                first
            )
        labels = rows.map_partitions(
            lambda part: pd.Series(clusterer.predict(part), index=part.index), meta=("cluster", "int64")
        )
        rows.assign(cluster=labels).to_parquet("labelled")

    labelled = pd.read_parquet("labelled")
    print(labelled.groupby("cluster").size())
    assert len(labelled) == 4000
    assert labelled["cluster"].nunique() == 4
