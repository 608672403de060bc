"""Cluster the cells of an AnnData object, and keep labels, codes and memberships beside them."""

import anndata
import numpy as np
import pandas as pd
from sklearn.decomposition import PCA

from skmpcc import MPCCClusterer

# In the place of anndata.read_h5ad("cells.h5ad"): 300 cells of three types, 50 genes.
rng = np.random.default_rng(0)
cell_type = np.repeat(["B", "T", "NK"], 100)
rates = pd.DataFrame(rng.gamma(1, 4, size=(3, 50)), index=["B", "T", "NK"])
adata = anndata.AnnData(np.log1p(rng.poisson(rates.loc[cell_type])))
adata.obsm["X_pca"] = PCA(10, random_state=0).fit_transform(adata.X)

# Principal components keep their proportions. Without them, pass adata.X.
components = adata.obsm["X_pca"]
clusterer = MPCCClusterer(n_clusters=3, labels_only=True, random_state=0).fit(components)
adata.obs["mpcc"] = pd.Categorical(clusterer.labels_.astype(str))
adata.obsm["X_mpcc"] = clusterer.transform(components)
adata.obsm["mpcc_memberships"] = clusterer.predict_proba(components)
adata.write_h5ad("clustered.h5ad")

found = anndata.read_h5ad("clustered.h5ad")
print(pd.crosstab(cell_type, found.obs["mpcc"].to_numpy()))
assert found.obs["mpcc"].nunique() == 3
assert found.obsm["mpcc_memberships"].shape == (300, 3)
