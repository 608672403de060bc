"""VaDEClusterer: variational deep embedding behind scikit-learn's interface."""

from typing import ClassVar

from skmpcc.clusterer import MPCCClusterer
from skmpcc.presets import PresetFamily
from skmpcc.variational_presets import VARIATIONAL_FAMILY


class VaDEClusterer(MPCCClusterer):
    """Clusterer by VaDE, a variational autoencoder whose prior is a mixture of Gaussians."""

    _family: ClassVar[PresetFamily] = VARIATIONAL_FAMILY
    _parameter_constraints: ClassVar[dict] = MPCCClusterer._parameter_constraints | {
        "preset": VARIATIONAL_FAMILY.constraints
    }
