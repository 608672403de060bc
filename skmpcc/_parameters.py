"""The settings of a fit from an estimator's parameters and the shape of X."""

import math
import warnings
from collections.abc import Iterable
from typing import Any, TypeVar

from numpy.typing import NDArray

from skmpcc.data.inputs import Layout
from skmpcc.data.scaling import n_inputs
from skmpcc.presets import MixtureSettings, NamedSettings, PresetFamily
from skmpcc.settings import IMAGE_PSEUDO_LABELS
from skmpcc.system.callers import stacklevel_of_user

# Parameters that override the preset's field of the same name; all other fields go by preset_params.
PRESET_FIELDS = (
    "weights",
    "latent_dim",
    "width",
    "max_iter",
    "tol",
    "learning_rate",
)
# Fields where classes are known: their shares are, and no component is lost that could stand elsewhere.
OF_CLASSES = {"weights": "shares", "reseed": False, "pseudo_label_share": 1.0}
Mixture = TypeVar("Mixture", bound=MixtureSettings)

# What stands for augmentation on tables.
_FOR_TABLES = {"pseudo_labels": "search", "consistency": "neighbors"}


def layout_and_preset(
    X: NDArray,
    preset: str | NamedSettings,
    image_shape: tuple[int, ...] | None,
    n_clusters: int,
    family: PresetFamily,
) -> tuple[Layout, Any]:
    """Find where height, width and channels stand in X, and the preset for it.

    Parameters
    ----------
    X : ndarray of shape (n_samples, ...)
    preset : str or NamedSettings
        Parameter of the estimator.
    image_shape : tuple of int or None
        Parameter of the estimator.
    n_clusters : int
    family : PresetFamily
    """
    layout = Layout.from_shape(X.shape[1:], image_shape)
    if isinstance(preset, NamedSettings):
        chosen = preset
    elif preset == "auto":
        n_features = n_inputs(X) if layout.image is None else math.prod(layout.shape)
        chosen = family.choose(layout.image, len(X), n_features, n_clusters)
    else:
        chosen = family.by_name[preset]
    return layout.flattened() if chosen.kind == "vector" else layout, chosen


def warn_of_table(layout: Layout, preset: NamedSettings) -> None:
    """Warn that a preset for images is used on a table."""
    if preset.kind == "image" and layout.image is None:
        warnings.warn(
            f"preset={preset.name!r} is meant for images, but X is a table: networks for tables "
            "with its settings are used. Set image_shape if the rows are images.",
            UserWarning,
            stacklevel=stacklevel_of_user(),
        )


def given_fields(estimator: Any, names: Iterable[str]) -> dict[str, Any]:
    """Parameters of an estimator that replace the preset's fields: those that are not None."""
    values = {name: getattr(estimator, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def check_given_once(given: Iterable[str], params: Iterable[str]) -> None:
    """Check that no field is named by a parameter of the estimator and by `preset_params`.

    Raises
    ------
    ValueError
        One is.
    """
    twice = sorted(set(given) & set(params))
    if twice:
        raise ValueError(
            f"preset_params has {', '.join(map(repr, twice))}, which the parameter of the same name "
            "gives as well; give it once."
        )


def with_parameters(
    preset: Mixture,
    layout: Layout,
    given: dict[str, Any],
    params: dict[str, Any] | None,
    caller: str,
    *,
    labels_only: bool,
) -> Mixture:
    """Replace a preset's fields by what an estimator was given.

    Parameters
    ----------
    preset : MixtureSettings
    layout : Layout
    given : dict
        Parameters of the estimator by their fields' names.
    params : dict or None
        Its parameter `preset_params`.
    caller : str
        The estimator, for messages.
    labels_only : bool

    Raises
    ------
    ValueError
        A field is given twice, unknown or out of range, or is augmentation on a table; or `params` say
        otherwise than `labels_only`.
    """
    params = params or {}
    check_given_once(given, params)
    if layout.image is None:
        preset = _without_augmentation(preset, given | params)
    if labels_only and not params.get("labels_only", True):
        raise ValueError("labels_only=True, but preset_params has 'labels_only' False; give it once.")
    if labels_only or params.get("labels_only", preset.labels_only):
        preset = preset.for_labels_only()
    return preset.override(params, "preset_params").override(given, caller)


def _without_augmentation(preset: Mixture, given: dict[str, Any]) -> Mixture:
    """Return a preset for images as it is used on tables, which have no augmented views.

    Raises
    ------
    ValueError
        Augmentation was asked for: by the parameters `given`, or by a preset that is for tables.
    """
    for name in _FOR_TABLES:
        of_preset = name not in given and preset.kind == "vector"
        asked_for = given.get(name, getattr(preset, name) if of_preset else None)
        if asked_for in IMAGE_PSEUDO_LABELS:
            raise ValueError(
                f"{name}={asked_for!r} needs images, but X is used as a table. Set image_shape if its "
                "rows are images."
            )
        if getattr(preset, name) in IMAGE_PSEUDO_LABELS:
            preset = preset.override({name: _FOR_TABLES[name]}, name)
    return preset
