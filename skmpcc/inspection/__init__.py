"""Clusters explained: numbers that stay, what changed since the fit, and what each cluster is."""

from skmpcc.inspection.description import describe_clusters
from skmpcc.inspection.matching import ClusterMatch, match_clusters, renumber_clusters

__all__ = [
    "ClusterMatch",
    "describe_clusters",
    "match_clusters",
    "renumber_clusters",
]
