"""A fit of AIM: its model, algorithm, fitted attributes and warnings."""

from typing import Any

from numpy.typing import NDArray

from skmpcc.aim_presets import AIMPreset
from skmpcc.data.inputs import InputFormat, Layout
from skmpcc.method.aim import AIMModel, AIMTraining
from skmpcc.method.networks.dcgan import TABLES
from skmpcc.system.processes import Processes
from skmpcc.training.convergence import warnings_of_reconstructions
from skmpcc.training.fit import Fit, FittedInitialization, Seeds, fit_summary_attributes
from skmpcc.training.fit_data import FitData

# Of a single component that never changes.
_NOT_IN_HISTORY = ("mean_std", "mean_norm", "change")


def aim_format(X: NDArray, layout: Layout, preset: AIMPreset) -> InputFormat:
    """Find the form that the networks see X in; those of the AIM paper take images of one size."""
    table = TABLES.get(preset.networks)
    size = None if table is None else (table.side, table.side)
    return InputFormat.from_data(X, layout, preset.resizing, size, preset.scaling)


def aim_fit(
    data: FitData, preset: AIMPreset, covariance: str, seeds: list[Seeds], processes: Processes
) -> Fit:
    """Build the model for some data."""
    settings = preset.network_settings(covariance)
    model = AIMModel(settings, data.format.tensor_shape, 1, seeds[0].model)
    return Fit(preset, model, seeds, _attributes, _warning_texts, AIMTraining, processes)


def _attributes(fit: Fit, data: FitData, found: FittedInitialization) -> dict[str, Any]:
    history = found.outcome.history
    kept = {name: history[name] for name in history if name not in _NOT_IN_HISTORY}
    return {"history_": kept, **fit_summary_attributes(fit, data, found)}


def _warning_texts(fit: Fit, data: FitData, found: FittedInitialization) -> list[str]:
    return list(warnings_of_reconstructions(found.outcome, fit.settings.tol))
