"""A fit of AIM or a VAE, which have no clusters: model, fitted attributes and warnings."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmpcc.aim_presets import AIMPreset
from skmpcc.data.columns import Columns
from skmpcc.data.inputs import InputFormat, Layout
from skmpcc.data.mixed import MixedFormat, format_of
from skmpcc.method.aim import AIMModel, AIMTraining
from skmpcc.method.latent_model import LatentModel
from skmpcc.method.networks.dcgan import TABLES
from skmpcc.method.variational import VAEModel
from skmpcc.presets import NamedSettings
from skmpcc.settings import NetworkSettings, VariationalTrainingSettings
from skmpcc.system.processes import Processes
from skmpcc.training.convergence import warnings_of_codes, warnings_of_reconstructions
from skmpcc.training.fit import Fit, FittedInitialization, Seeds, fit_summary_attributes
from skmpcc.training.fit_data import FitData, table_inputs
from skmpcc.training.loop import Engine
from skmpcc.variational_presets import OF_CLUSTERS, VariationalPreset

# Of a single component that never changes.
_NOT_IN_HISTORY = ("mean_std", "mean_norm", "change")
# Models by the class of their settings, and what trains them if that is not found by these.
_MODELS: dict[type[NamedSettings], tuple[type[LatentModel], Engine | None]] = {
    AIMPreset: (AIMModel, AIMTraining),
    VariationalPreset: (VAEModel, None),
}


def transformer_format(
    X: NDArray, layout: Layout, columns: Columns | None, preset: AIMPreset | VariationalPreset
) -> InputFormat | MixedFormat:
    """Find the form that the networks see X in; those of the AIM paper take images of one size."""
    table = TABLES.get(preset.networks) if isinstance(preset, AIMPreset) else None
    size = None if table is None else (table.side, table.side)
    return format_of(X, layout, columns, preset.scaling, resizing=preset.resizing, size=size)


def transformer_fit(
    data: FitData,
    preset: NamedSettings,
    networks: NetworkSettings,
    seeds: list[Seeds],
    processes: Processes,
) -> Fit:
    """Build the model for some data."""
    model_class, engine = _MODELS[type(preset)]
    shape = data.format.tensor_shape
    model = model_class(networks, shape, 1, seeds[0].model, table_inputs(data))
    model.take_absences(data.encoded)
    return Fit(preset, model, seeds, _attributes, _warning_texts, engine, processes)


def _attributes(fit: Fit, data: FitData, found: FittedInitialization) -> dict[str, Any]:
    history = found.outcome.history
    kept = {name: history[name] for name in history if name not in _NOT_IN_HISTORY}
    attributes = {"history_": kept, **fit_summary_attributes(fit, data, found)}
    if isinstance(fit.model, VAEModel):
        one = np.zeros(len(data.encoded), np.int64)
        (mean,), (covariance,) = found.fitted.code_moments(data.encoded, one)
        attributes |= {"code_mean_": mean, "code_covariance_": covariance}
        for name in OF_CLUSTERS:
            del attributes["settings_"][name]
    return attributes


def _warning_texts(fit: Fit, data: FitData, found: FittedInitialization) -> list[str]:
    texts = list(warnings_of_reconstructions(found.outcome, fit.settings.generation_tol))
    settings = fit.settings
    if isinstance(settings, VariationalTrainingSettings) and settings.restriction == "posterior":
        texts += warnings_of_codes(found.outcome, fit.model.settings.latent_dim)
    return texts
