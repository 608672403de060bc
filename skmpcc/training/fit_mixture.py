"""A fit of MPCC, VaDE or LC-VaDE, to clusters or to known classes: model, attributes and warnings."""

import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from skmpcc.fitted.light_curves import KERNEL_ATTRIBUTES, Kernels, log_probabilities
from skmpcc.fitted.model import FittedModel
from skmpcc.method.latent_model import LatentModel
from skmpcc.method.light_curves import LightCurveModel, LightCurveTraining
from skmpcc.method.model import MPCCModel
from skmpcc.method.variational import VaDEModel
from skmpcc.presets import MixtureSettings, Preset
from skmpcc.system.processes import Processes
from skmpcc.training.convergence import (
    warnings_of_choice,
    warnings_of_labels,
    warnings_of_training,
)
from skmpcc.training.fit import Fit, FittedInitialization, Seeds, fit_summary_attributes
from skmpcc.training.fit_data import FitData, table_inputs
from skmpcc.training.stability import stability
from skmpcc.variational_presets import LightCurvePreset, VariationalPreset

# Models by the class of their settings.
_MODELS: dict[type[MixtureSettings], type[LatentModel]] = {
    Preset: MPCCModel,
    VariationalPreset: VaDEModel,
    LightCurvePreset: LightCurveModel,
}


def mixture_fit(
    data: FitData,
    preset: MixtureSettings,
    n_clusters: int,
    seeds: list[Seeds],
    processes: Processes,
    last: FittedModel | None = None,
) -> Fit:
    """Build the model for some data; with `last`, the training goes on with a copy of that one."""
    if last is not None:
        model = copy.deepcopy(last.model)
    else:
        shape = data.format.tensor_shape
        made = _MODELS[type(preset)]
        table = table_inputs(data)
        model = made(preset.network_settings(), shape, n_clusters, seeds[0].model, table)
    model.take_absences(data.encoded)
    if isinstance(preset, LightCurvePreset):
        attributes, engine = _light_curve_attributes, LightCurveTraining
    else:
        attributes = _cluster_attributes if data.known is None else _class_attributes
        engine = None
    return Fit(preset, model, seeds, attributes, _warning_texts, engine, processes)


def _mixture_attributes(fit: Fit, data: FitData, found: FittedInitialization) -> dict[str, Any]:
    """Fitted attributes of clusters and of classes."""
    prior = found.fitted.model.prior
    return {
        "means_": prior.means.detach().cpu().numpy().copy(),
        "covariances_": prior.stds.square().detach().cpu().numpy().copy(),
        "weights_": prior.weights.cpu().numpy().copy(),
        "history_": found.outcome.history,
        **fit_summary_attributes(fit, data, found),
    }


def _cluster_attributes(fit: Fit, data: FitData, found: FittedInitialization) -> dict[str, Any]:
    attributes = _mixture_attributes(fit, data, found)
    means = attributes["means_"]
    if isinstance(fit.model, VaDEModel):
        attributes |= _code_attributes(data, found)
    labels = data.row_map.to_fitted(found.labels)
    stable = stability(labels, fit.model.n_clusters, fit.resamplings) if fit.resamplings else None
    return attributes | {
        "cluster_stability_": stable,
        "labels_": np.where(found.outlying, -1, found.labels),
        "pseudo_labels_": found.pseudo_labels,
        "pseudo_label_choice_": _choice(found),
        "cluster_centers_": _decoded(found.fitted, means),
    }


def _decoded(fitted: FittedModel, means: NDArray) -> Any:
    """Decoded means, in a frame where X was one."""
    return fitted.format.to_given(fitted.decode(means, np.arange(len(means))))


def _light_curve_attributes(fit: Fit, data: FitData, found: FittedInitialization) -> dict[str, Any]:
    classes = np.arange(fit.model.n_clusters) if data.known is None else data.known.classes
    given, choice = found.pseudo_labels, None if data.known is not None else _choice(found)
    means, covariances = found.fitted.code_means, found.fitted.code_covariances
    assert means is not None
    assert covariances is not None
    labels, attributes = found.labels, dict.fromkeys(KERNEL_ATTRIBUTES)
    taught = data.row_map.to_fitted(labels if given is None else given)
    if data.known is not None:
        # While it trains, callbacks see a model that says nothing of what it was taught.
        known = data.known.numbers.numpy()
        taught = np.where(known < 0, taught, known)
    if len(np.unique(taught)) == fit.model.n_clusters > 1:
        assert isinstance(fit.model, LightCurveModel)
        n_features = fit.model.settings.n_features
        kernels = Kernels.learned(found.fitted.codes(data.encoded), taught, n_features)
        attributes |= kernels.attributes()
        if data.known is not None:
            # As predict finds them.
            assert isinstance(data.X, Tensor)
            labels = log_probabilities(found.fitted, data.X, kernels).argmax(axis=1)
    return _mixture_attributes(fit, data, found) | {
        **attributes,
        "classes_": classes,
        "labels_": classes[labels],
        "pseudo_labels_": None if given is None else classes[given],
        "pseudo_label_choice_": choice,
        "code_means_": means.numpy().copy(),
        "code_covariances_": covariances.numpy().copy(),
    }


def _code_attributes(data: FitData, found: FittedInitialization) -> dict[str, Any]:
    """Fitted attributes of VaDE, which draws new samples by the codes of its clusters."""
    labels = data.row_map.to_fitted(found.labels)
    means, covariances = found.fitted.code_moments(data.encoded, labels)
    return {"code_means_": means, "code_covariances_": covariances}


def _choice(found: FittedInitialization) -> dict[str, Any] | None:
    """Tell what found the pseudo-labels, and how sure the choice of them was."""
    if found.pseudo_labels is None:
        return None
    return {
        "kind": found.settings["pseudo_labels"],
        "margin": found.settings["pseudo_label_margin"],
        "agreement": found.settings["pseudo_label_agreement"],
    }


def _class_attributes(fit: Fit, data: FitData, found: FittedInitialization) -> dict[str, Any]:
    attributes = _mixture_attributes(fit, data, found)
    means, given = attributes["means_"], found.pseudo_labels
    assert given is not None
    assert data.known is not None
    classes = data.known.classes
    return attributes | {
        "classes_": classes,
        "transduction_": classes[np.where(given < 0, found.labels, given)],
        "class_centers_": _decoded(found.fitted, means),
    }


def _warning_texts(fit: Fit, data: FitData, found: FittedInitialization) -> list[str]:
    assert isinstance(fit.recipe, MixtureSettings)
    labels, pseudo_labels = data.row_map.to_fitted(found.labels), found.pseudo_labels
    if pseudo_labels is not None:
        pseudo_labels = data.row_map.to_fitted(pseudo_labels)
    choice = None if data.known is not None else _choice(found)
    return [
        *warnings_of_choice(choice),
        *warnings_of_training(found.outcome, fit.recipe),
        *warnings_of_labels(
            labels, pseudo_labels, fit.model.n_clusters, data.known is not None, fit.recipe.kind
        ),
    ]
