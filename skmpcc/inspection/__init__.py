"""Clusters explained: numbers that stay, what changed since the fit, and what each cluster is."""

from skmpcc.inspection.description import describe_clusters
from skmpcc.inspection.drift import Drift, compare
from skmpcc.inspection.matching import ClusterMatch, match_clusters, renumber_clusters

__all__ = [
    "ClusterMatch",
    "Drift",
    "compare",
    "describe_clusters",
    "match_clusters",
    "renumber_clusters",
]
