"""Deep generative clustering behind scikit-learn's interface."""

from skmpcc.clusterer import MPCCClusterer

__version__ = "0.1.0"
__all__ = ["MPCCClusterer"]
