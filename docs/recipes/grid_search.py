"""Choose settings of the last step of a pipeline without labels, by the clusterer's own ``score``.

The score compares fits of one number of clusters on the same prepared rows, so leave ``n_clusters`` and
the steps before the clusterer as they are.
"""

import pandas as pd
from sklearn.datasets import make_moons
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skmpcc import MPCCClusterer

X, moon = make_moons(300, noise=0.05, random_state=0)
clusterer = MPCCClusterer(n_clusters=2, labels_only=True, random_state=0)
search = GridSearchCV(
    Pipeline([("scale", StandardScaler()), ("mpcc", clusterer)]),
    {"mpcc__pseudo_labels": ["kmeans", "gaussian_mixture", "spectral"]},
    cv=KFold(2, shuffle=True, random_state=0),
).fit(X)

print(pd.DataFrame(search.cv_results_)[["param_mpcc__pseudo_labels", "mean_test_score"]])
print("best:", search.best_params_)
# The best setting was fitted again to all rows. The moons' names serve the last line alone.
labels = search.predict(X)
assert adjusted_rand_score(moon, labels) > 0.9
