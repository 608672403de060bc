"""Label a Spark table by a saved model, which each of Spark's Python workers loads once."""

import os
import sys
from pathlib import Path

import pandas as pd
from pyspark.ml.functions import predict_batch_udf
from pyspark.sql import SparkSession
from pyspark.sql.functions import array
from pyspark.sql.types import IntegerType
from sklearn.datasets import make_blobs

from skmpcc import MPCCClusterer

columns = list("abcde")
X, _ = make_blobs(2000, 5, centers=4, random_state=0)
MPCCClusterer(n_clusters=4, labels_only=True, random_state=0).fit(X[:500]).save("model.safetensors")
model = Path("model.safetensors").resolve()  # a path that every worker sees


def make_predict():
    clusterer = MPCCClusterer.load(model)
    return clusterer.predict  # batches come as arrays of shape (rows, columns)


label = predict_batch_udf(
    make_predict, return_type=IntegerType(), batch_size=500, input_tensor_shapes=[[len(columns)]]
)
# The workers' Python needs skmpcc as well; here it is this one.
os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
spark = SparkSession.builder.master("local[1]").getOrCreate()
rows = spark.createDataFrame(pd.DataFrame(X, columns=columns))
labelled = rows.withColumn("cluster", label(array(*columns))).cache()
counts = {row["cluster"]: row["count"] for row in labelled.groupBy("cluster").count().collect()}
spark.stop()
print(counts)
assert sum(counts.values()) == 2000
assert len(counts) == 4
