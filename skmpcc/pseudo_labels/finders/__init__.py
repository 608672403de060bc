"""Finders of pseudo-labels: each has a function `find` of a problem, which yields candidates.

Those of tables of measurements run side by side in threads, each on one core, where warnings of
convergence are silenced by the search: `warnings.catch_warnings` is not for threads.
"""
