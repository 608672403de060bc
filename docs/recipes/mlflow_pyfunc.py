"""Keep a fitted clusterer as an MLflow model, which MLflow's tools load and serve as any other."""

import mlflow.pyfunc
import numpy as np
import pandas as pd
from sklearn.datasets import load_wine

from skmpcc import MPCCClusterer


class Clusters(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        self.clusterer = MPCCClusterer.load(context.artifacts["clusterer"])

    def predict(self, context, model_input: pd.DataFrame, params=None):
        return self.clusterer.predict(model_input)


wines = load_wine(as_frame=True).data
clusterer = MPCCClusterer(n_clusters=3, labels_only=True, random_state=0).fit(wines)
clusterer.save("clusterer.safetensors")

# log_model does the same within a run of a tracking server.
mlflow.pyfunc.save_model(
    "model",
    python_model=Clusters(),
    artifacts={"clusterer": "clusterer.safetensors"},
    input_example=wines[:5],
    pip_requirements=["skmpcc"],
)
labels = mlflow.pyfunc.load_model("model").predict(wines)
print(np.bincount(labels))
assert np.array_equal(labels, clusterer.labels_)
