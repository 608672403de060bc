"""Pseudo-labels: clusters of the data that are found without labels, and that teach the networks."""
