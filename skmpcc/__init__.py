"""Deep generative clustering, classification and inference behind scikit-learn's interface."""

from skmpcc.aim import AIM
from skmpcc.classifier import MPCCClassifier
from skmpcc.clusterer import MPCCClusterer
from skmpcc.system.versions import show_versions

__version__ = "0.1.0"
__all__ = ["AIM", "MPCCClassifier", "MPCCClusterer", "show_versions"]
