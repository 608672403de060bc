"""Deep generative clustering, classification and inference behind scikit-learn's interface."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skmpcc.aim import AIM
    from skmpcc.classifier import MPCCClassifier
    from skmpcc.clusterer import MPCCClusterer
    from skmpcc.novelty import NoveltyDetector
    from skmpcc.system.versions import show_versions
    from skmpcc.vade import VaDEClusterer
    from skmpcc.vae import VAE

__version__ = "0.1.0"
__all__ = [
    "AIM",
    "VAE",
    "MPCCClassifier",
    "MPCCClusterer",
    "NoveltyDetector",
    "VaDEClusterer",
    "show_versions",
]

# Imported when they are asked for: what takes seconds is no part of the start of the command, which can
# be interrupted in a sentence only after it.
_MODULES = {
    "AIM": "aim",
    "MPCCClassifier": "classifier",
    "MPCCClusterer": "clusterer",
    "NoveltyDetector": "novelty",
    "VAE": "vae",
    "VaDEClusterer": "vade",
    "show_versions": "system.versions",
}


_SUBMODULES = (
    *("aim_presets", "inspection", "metrics", "model_selection", "plotting", "presets", "report"),
    "settings",
    "variational_presets",
)


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_SUBMODULES})
