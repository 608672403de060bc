"""Finders of pseudo-labels: each has a function `find` of a problem, which yields candidates."""
