"""Pictures of a fitted estimator. Needs matplotlib: pip install "skmpcc[plot]".

The classes follow scikit-learn's displays: `from_estimator` computes what is drawn and draws it, the
parameters are kept as attributes, and `plot` draws them again, elsewhere or in another style.
"""

from skmpcc.plotting.clusters import ClustersDisplay
from skmpcc.plotting.descriptions import ClusterDescriptionDisplay
from skmpcc.plotting.history import HistoryDisplay
from skmpcc.plotting.latent_map import LatentMapDisplay
from skmpcc.plotting.light_curves import LightCurvesDisplay
from skmpcc.plotting.memberships import MembershipsDisplay
from skmpcc.plotting.n_clusters import NClustersDisplay
from skmpcc.plotting.reconstructions import ReconstructionsDisplay

__all__ = [
    "ClusterDescriptionDisplay",
    "ClustersDisplay",
    "HistoryDisplay",
    "LatentMapDisplay",
    "LightCurvesDisplay",
    "MembershipsDisplay",
    "NClustersDisplay",
    "ReconstructionsDisplay",
]
