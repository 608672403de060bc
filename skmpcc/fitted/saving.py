"""Fitted estimators in files of safetensors, which are read without running code of theirs.

A file holds tensors, and in its metadata the header, a text of JSON with a SHA-256 of all. What JSON
lacks is an object of one entry there, whose key says what it is. An estimator that is to be kept lists
its fitted attributes in `_saved_attributes`, and the classes that it is made of are in `_CLASSES`.
"""

import hashlib
import json
import math
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from skmpcc._sklearn import validate_parameters
from skmpcc.aim_presets import AIMPreset
from skmpcc.data.columns import KINDS, Column, Columns
from skmpcc.data.imputation import Imputation
from skmpcc.data.inputs import InputFormat, Layout
from skmpcc.data.mixed import MixedFormat
from skmpcc.data.outliers import Outliers
from skmpcc.fitted.model import FittedModel
from skmpcc.method.aim import AIMModel
from skmpcc.method.latent_model import LatentModel
from skmpcc.method.light_curves import LightCurveModel
from skmpcc.method.model import MPCCModel
from skmpcc.method.networks.table import TableInputs
from skmpcc.method.variational import VaDEModel, VAEModel
from skmpcc.presets import Preset
from skmpcc.settings import AIMNetworkSettings, LightCurveNetworkSettings, NetworkSettings
from skmpcc.system.files import write_atomically
from skmpcc.system.versions import installed_versions
from skmpcc.variational_presets import VariationalPreset

# Raise it with a change that a reader of the format before would take wrongly. A new field or parameter
# whose default means what was before is not such a change.
FORMAT = 1

# What a file may ask for, by name.
_CLASSES: dict[str, type] = {
    cls.__name__: cls
    for cls in (
        FittedModel,
        InputFormat,
        Layout,
        MixedFormat,
        TableInputs,
        Column,
        Columns,
        Imputation,
        Outliers,
        MPCCModel,
        NetworkSettings,
        Preset,
        AIMModel,
        AIMNetworkSettings,
        AIMPreset,
        VAEModel,
        VaDEModel,
        VariationalPreset,
        LightCurveModel,
        LightCurveNetworkSettings,
    )
}


def known_to_files(cls: type) -> type:
    """Let files ask for a class, a `LatentModel` or a dataclass, by its name; a decorator of it."""
    _CLASSES[cls.__name__] = cls
    return cls


_NUMERIC = [np.dtype(kind) for kind in ("?", "u1", "i1", "i2", "i4", "i8", "f2", "f4", "f8")]
_SCALARS = bool | int | float | str
_WRONG = (
    *(LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError, MemoryError),
)
# Of text and other values that are not numbers of torch: kinds of dtypes, and characters up to which
# text may be wider than its longest value.
_KINDS, _WIDTH = "OUSbiuf", 64

# Fitted attributes: the type of a value, where dict stands for columns of numbers of one length; or
# dtype and sizes of an array; after None if it may be missing, a type is that of a single value or of
# single values by name, or such columns. "data" is the dtype of decoded samples, "any" that of labels,
# `CLUSTERS` that of numbers of clusters, and a size has one value wherever it is named. `renumbered`
# reads this, too.
CLUSTERS = "cluster"
FIT_ATTRIBUTES: dict[str, Any] = {
    "n_iter_": int,
    "converged_": bool,
    "preset_": str,
    "device_": (None, str),
    "settings_": (None, dict),
    "history_": dict,
    "n_features_in_": int,
    "feature_names_in_": (None, "object", "n_features"),
}
MIXTURE_ATTRIBUTES = FIT_ATTRIBUTES | {
    "means_": ("float64", "n_clusters", "latent_dim"),
    "covariances_": ("float64", "n_clusters", "latent_dim"),
    "weights_": ("float64", "n_clusters"),
}

# Libraries of frames, by whose names columns are made again.
_LIBRARIES = ("", "pandas", "polars", "pyarrow", "modin", "cudf")

# Attributes that are frames where X was one, of which files keep the numbers.
IN_UNITS = {"cluster_centers_", "class_centers_"}

_OF_IMPUTATIONS = {
    "shares": ("float64", "n_components"),
    "means": ("float64", "n_components", "n_free"),
    "precisions": ("float64", "n_components", "n_free", "n_free"),
    "ends": ("float64", "ends", "n_outputs"),
    "groups": ("int64", "n_groups", "ends"),
    "widths": ("float64", "n_outputs"),
}

_OF_CURVES = {
    "candidates": "int64",
    "scores": "float64",
    "standard_errors": "float64",
    "thresholds": "float64",
}

# Parameters that a file has no say in: the next fit writes, reads and deletes what is there.
_NOT_KEPT = ("checkpoint",)

# What older files call clusters that are not found any more, and what stands for them.
_PSEUDO_LABELS_TODAY = {"neighbors": "search"}

# Parameters of older files that are fields of the preset by now.
_NOW_OF_THE_PRESET = ("batch_size", "n_neighbors", "prior_learning_rate")

Estimator = TypeVar("Estimator")


def save(estimator: Any, path: str | os.PathLike[str], notes: Mapping[str, Any] | None = None) -> None:
    """Write a fitted estimator to a file, and notes of JSON; see `LatentVariableMixin.save`."""
    check_is_fitted(estimator)
    validate_parameters(estimator)
    writer = Writer()
    found = {
        name: value for name, value in vars(estimator).items() if name in estimator._saved_attributes
    }
    for name in IN_UNITS & found.keys():
        found[name] = estimator._fitted.format.to_numbers(found[name])
    header = {
        "estimator": type(estimator).__name__,
        "parameters": writer.entries(_kept_parameters(estimator), "parameters"),
        "attributes": writer.entries(found, "attributes"),
        "fitted": writer.value(estimator._fitted, "fitted"),
    }
    if notes is not None:
        header["notes"] = dict(notes)
    write_atomically(path, to_bytes(header, writer.tensors))


def _kept_parameters(estimator: Any) -> dict[str, Any]:
    parameters = estimator.get_params(deep=False)
    return {name: value for name, value in parameters.items() if name not in _NOT_KEPT}


def load(cls: type[Estimator], path: str | os.PathLike[str]) -> Estimator:
    """Read an estimator that `save` wrote; see `LatentVariableMixin.load`."""
    return load_with_notes(path, cls)[0]


def load_with_notes(
    path: str | os.PathLike[str], *classes: type[Estimator]
) -> tuple[Estimator, dict[str, Any]]:
    """Read an estimator of one of some classes, and the notes that `save` wrote with it, or none."""
    path = os.fspath(path)
    names = " or ".join(cls.__name__ for cls in classes)
    with as_value_error(f"{path} cannot be loaded by {names}"):
        header, tensors = read(path)
        found = [cls for cls in classes if cls.__name__ == header["estimator"]]
        if not found:
            raise ValueError(f"it holds an estimator of the class {header['estimator']}.")
        return _restored(found[0], header, tensors), dict(header.get("notes", {}))


@contextmanager
def as_value_error(what: str) -> Iterator[None]:
    """Context manager that turns errors in a file into a ValueError that begins with `what`."""
    from safetensors import SafetensorError

    try:
        yield
    except (*_WRONG, SafetensorError) as error:
        why = f"{error} is unknown or missing" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{what}: {why}") from error


def to_bytes(header: Mapping[str, Any], tensors: dict[str, Tensor]) -> bytes:
    """Make the content of a file, with format, versions and a checksum in its header."""
    from safetensors.torch import save  # here, so that fits go without

    header = {"format": FORMAT, "versions": installed_versions()} | dict(header)
    header["sha256"] = _digest(header, tensors)
    return save(tensors, {"skmpcc": json.dumps(header)})


def _digest(header: dict[str, Any], tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(json.dumps(header).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def read(path: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Header and tensors of an undamaged file of a format that is known."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        text = (file.metadata() or {}).get("skmpcc")
        if text is None:
            raise ValueError("it is a safetensors file, but skmpcc did not write it.")
        header = json.loads(text)
        # First, since all else may be otherwise then.
        if header["format"] > FORMAT:
            raise ValueError(
                f"it has format {header['format']}, but skmpcc {installed_versions()['skmpcc']} reads "
                f"formats up to {FORMAT}. It was written by {header['versions']}."
            )
        # Clones, since the file may change later.
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    if header.pop("sha256") != _digest(header, tensors):
        raise ValueError("it is damaged or was changed: its checksum does not match its content.")
    return header, tensors


def _restored(cls: type[Estimator], header: dict[str, Any], tensors: dict[str, Tensor]) -> Estimator:
    reader = Reader(tensors)
    parameters = _as_today(reader.entries(header["parameters"]))
    estimator: Any = cls(**{name: parameters[name] for name in parameters if name not in _NOT_KEPT})
    attributes = reader.entries(header["attributes"])
    fitted = reader.value(header["fitted"])
    if tensors:
        raise ValueError(f"the tensors {sorted(tensors)} belong to no part of the estimator.")
    validate_parameters(estimator)
    sizes = _checked_sizes(fitted)
    _check(attributes, estimator._saved_attributes, sizes, fitted.format.dtype)
    names = attributes.get("feature_names_in_")
    if not all(isinstance(name, str) for name in (() if names is None else names)):
        raise ValueError("feature_names_in_ has names that are not text.")
    if "n_features_in_" in attributes and (attributes["n_features_in_"],) != sizes["n_features"]:
        raise ValueError(f"n_features_in_ is not the number of features, {sizes['n_features'][0]}.")
    _check_number(attributes, fitted.model.n_clusters)
    for name in IN_UNITS & attributes.keys():
        attributes[name] = fitted.format.to_given(attributes[name])
    vars(estimator).update(attributes, _fitted=fitted)
    return estimator


def _as_today(parameters: dict[str, Any]) -> dict[str, Any]:
    """Bring parameters of older files to what they are today."""
    kind = parameters.get("pseudo_labels")
    if "n_clusters" in parameters and kind in _PSEUDO_LABELS_TODAY:
        parameters["pseudo_labels"] = _PSEUDO_LABELS_TODAY[kind]
    moved = {name: parameters.pop(name, None) for name in _NOW_OF_THE_PRESET}
    moved = {name: value for name, value in moved.items() if value is not None}
    if moved:
        parameters["preset_params"] = (parameters.get("preset_params") or {}) | moved
    return parameters


class Writer:
    """Turns values into what JSON knows, and arrays and tensors among them into `tensors`."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}

    def entries(self, values: Mapping[str, Any], name: str) -> dict[str, Any]:
        return {key: self.value(value, f"{name}.{key}") for key, value in values.items()}

    def value(self, value: Any, name: str) -> Any:
        cls = type(value)
        if isinstance(value, np.generic):
            value = value.item()
        if value is None or isinstance(value, _SCALARS):
            return value
        if isinstance(value, torch.device):
            return str(value)
        if isinstance(value, os.PathLike):
            return os.fspath(value)
        if isinstance(value, list | tuple):
            values = [self.value(each, f"{name}.{i}") for i, each in enumerate(value)]
            return values if isinstance(value, list) else {"tuple": values}
        if isinstance(value, dict) and all(isinstance(key, str) for key in value):
            return {"dict": self.entries(value, name)}
        if isinstance(value, np.dtype):
            return {"dtype": value.name}
        if isinstance(value, np.random.RandomState):
            stream = dict(value.get_state(legacy=False))
            if stream["bit_generator"] == "MT19937":  # the one that a new RandomState takes
                return {"RandomState": self.entries(stream, name)}
        if _CLASSES.get(cls.__name__) is cls and issubclass(cls, LatentModel):
            self.tensors |= {f"{name}.{key}": t.contiguous() for key, t in value.own_state().items()}
            made_by = (value.settings, value.sample_shape, value.n_clusters, value.table)
            return {cls.__name__: [name, *(self.value(each, name) for each in made_by)]}
        if _CLASSES.get(cls.__name__) is cls:
            kept = (f for f in fields(value) if f.init and f.metadata.get("in_files", True))
            of_init = {f.name: getattr(value, f.name) for f in kept}
            return {cls.__name__: self.entries(of_init, name)}
        if isinstance(value, Tensor):
            self.tensors[name] = value.detach().cpu().contiguous()
            return {"tensor": name}
        if hasattr(value, "__array__"):
            return self._array(np.asarray(value), name)
        raise TypeError(f"{name} cannot be saved: it is {value!r}, of type {cls.__name__}.")

    def _array(self, array: NDArray, name: str) -> Any:
        if array.dtype in _NUMERIC:
            self.tensors[name] = torch.from_numpy(array.copy())
            return {"array": name}
        # Text, and numbers that torch lacks: each value once.
        values, numbers = np.unique(array, return_inverse=True)
        self.tensors[name] = torch.from_numpy(numbers.astype(np.int64).reshape(array.shape))
        as_list = [each.item() if isinstance(each, np.generic) else each for each in values.tolist()]
        if not all(isinstance(each, _SCALARS) for each in as_list):
            raise TypeError(f"{name} cannot be saved: it has values other than numbers and text.")
        return {"values": [name, array.dtype.str, as_list]}


class Reader:
    """Turns what `Writer` made into values, and takes what they need out of `tensors`."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self.tensors = tensors

    def entries(self, content: Mapping[str, Any]) -> dict[str, Any]:
        return {key: self.value(value) for key, value in content.items()}

    def value(self, content: Any) -> Any:
        if content is None or isinstance(content, _SCALARS):
            return content
        if isinstance(content, list):
            return [self.value(each) for each in content]
        ((kind, of_kind),) = content.items()
        if kind == "dict":
            return self.entries(of_kind)
        if kind == "tuple":
            return tuple(self.value(of_kind))
        if kind == "dtype":
            return {"float32": np.dtype(np.float32), "float64": np.dtype(np.float64)}[of_kind]
        if kind == "RandomState":
            stream = np.random.RandomState()
            stream.set_state(self.entries(of_kind))
            return stream
        if kind == "tensor":
            return self.tensors.pop(of_kind)
        if kind == "array":
            return self.tensors.pop(of_kind).numpy()
        if kind == "values":
            return self._values(*of_kind)
        cls = _CLASSES[kind]
        if issubclass(cls, LatentModel):
            return self._model(cls, *self.value(of_kind))
        return cls(**self.entries(of_kind))

    def _values(self, name: str, dtype: str, values: list[Any]) -> NDArray:
        numbers = self.tensors.pop(name).numpy()
        if numbers.dtype != np.int64 or not np.all((numbers >= 0) & (numbers < len(values))):
            raise ValueError(f"the tensor {name} does not hold indices of {len(values)} values.")
        found = np.dtype(dtype)
        is_known = found.str == dtype and found.kind in _KINDS
        if not (is_known and all(isinstance(each, _SCALARS) for each in values)):
            raise ValueError(f"{name} is not an array of numbers or text.")
        # A few bytes of a file may ask for gigabytes.
        longest = max((len(each) for each in values if isinstance(each, str)), default=0)
        if found.itemsize > 4 * max(_WIDTH, longest):
            raise ValueError(
                f"{name} has the type {dtype}, but no value longer than {longest} characters."
            )
        return np.array(values, dtype=found)[numbers]

    def _model(
        self,
        cls: type[LatentModel],
        name: str,
        settings: NetworkSettings,
        sample_shape: tuple[int, ...],
        n_clusters: int,
        table: TableInputs | None = None,
    ) -> LatentModel:
        names = [key for key in self.tensors if key.startswith(f"{name}.")]
        state = {key.removeprefix(f"{name}."): self.tensors.pop(key) for key in names}
        # Before memory is taken for it: no layer has more values than the file.
        width, sides = settings.width, sample_shape[1:] or (1,)
        least = max(
            width * max(width, sample_shape[0], max(sides) // min(sides), settings.latent_dim // 2),
            n_clusters * settings.latent_dim,
        )
        if least > sum(map(Tensor.numel, state.values())) or settings.n_layers > len(state):
            raise ValueError(f"{settings} describe a larger model than the tensors {name}.")
        model = cls(settings, sample_shape, n_clusters, table=table)
        model.set_inference_dtype_and_memory_format()
        wanted, found = (
            {key: (t.dtype, tuple(t.shape)) for key, t in each.items()}
            for each in (model.own_state(), state)
        )
        for key in sorted(wanted.keys() | found.keys()):
            if wanted.get(key) != found.get(key):
                raise ValueError(
                    f"tensor {name}.{key} has {found.get(key, 'none')}, but the model has "
                    f"{wanted.get(key, 'none')}."
                )
        model.load_own_state(state)
        model.set_inference_dtype_and_memory_format()
        return model


def _checked_sizes(fitted: FittedModel) -> dict[str, tuple[int, ...]]:
    """Sizes that a fitted model gives to attributes, once its parts are what they have to be."""
    layout, model = fitted.format.layout, fitted.model
    numbers = [fitted.n_neighbors, *layout.shape, *(layout.image or ())]
    if not all(type(number) is int and number > 0 for number in numbers):
        raise ValueError(f"the sizes {numbers} are not all positive integers.")
    if fitted.format.tensor_shape != model.sample_shape or type(layout.channels_last) is not bool:
        raise ValueError(
            f"samples of shape {model.sample_shape}, as the networks see them, do not fit {layout}."
        )
    if math.prod(layout.image or layout.shape) != math.prod(layout.shape):
        raise ValueError(f"in {layout}, images have another size than samples.")
    sizes = {
        "n_errors": (model.n_errors,),
        "n_outputs": (model.n_outputs,),
        "n_inputs": (math.prod(model.sample_shape),),
        "moments": (3,),
        "ends": (2,),
        "sample": layout.shape,
        "n_features": (math.prod(layout.shape),),
        "n_clusters": (model.n_clusters,),
        "latent_dim": (model.settings.latent_dim,),
    }
    if isinstance(fitted.format, MixedFormat) != (fitted.imputation is not None):
        raise ValueError("what missing values are filled in by does not fit the columns.")
    if fitted.format.columns_given is not None:
        _check_columns(fitted.format.columns_given, layout)
    if isinstance(fitted.format, MixedFormat):
        _check_mixed_format(fitted.format, model.table)
    else:
        _check_input_format(fitted.format, math.prod(model.sample_shape))
    found = {}
    declared: dict[str, Any] = {
        "residual_variances": (None, "float64", "n_errors"),
        "training_scores": (None, "float64", "n_kept", "ends"),
        "code_means": (None, "float64", "n_clusters", "latent_dim"),
        "code_covariances": (None, "float64", "n_clusters", "latent_dim", "latent_dim"),
        "training_moments": (None, "float64", "moments", "n_inputs"),
    }
    for name in declared:
        known = getattr(fitted, name)
        found[name] = None if known is None else known.numpy()
    if fitted.imputation is not None:
        found |= vars(fitted.imputation)
        declared |= _OF_IMPUTATIONS
    if fitted.outliers is not None:
        _check_outliers(fitted.outliers, model.n_outputs)
    if type(fitted.temperature) is not float or not 1.0 <= fitted.temperature < math.inf:
        raise ValueError(f"temperature should be a number from 1 on, but is {fitted.temperature!r}.")
    _check(found, declared, sizes, fitted.format.dtype)
    groups = [] if model.table is None else [list(group) for group in model.table.groups]
    if fitted.imputation is not None and fitted.imputation.groups.tolist() != groups:
        raise ValueError("groups do not fit the columns.")
    if fitted.training_scores is not None and len(fitted.training_scores) == 0:
        raise ValueError("training_scores has no rows.")
    return sizes


def _check_number(attributes: Mapping[str, Any], n_clusters: int) -> None:
    """Check the number of clusters, and what tells how it was found."""
    if attributes.get("n_clusters_") not in (None, n_clusters):
        raise ValueError(f"n_clusters_ is {attributes['n_clusters_']}, but there are {n_clusters}.")
    curve = attributes.get("n_clusters_curve_")
    if curve is None:
        return
    dtypes = {name: getattr(value, "dtype", None) for name, value in curve.items()}
    finite = all(np.isfinite(value).all() and np.size(value) for value in curve.values())
    if dtypes != _OF_CURVES or not finite:
        raise ValueError(f"n_clusters_curve_ should have {_OF_CURVES}, but is {curve!r}.")


def _check_outliers(known: Outliers, n_values: int) -> None:
    """Check what tells rows that belong to no cluster."""
    wide = known.mean is not None
    sizes: dict[str, tuple[int, ...]] = {"values": (n_values,)}
    if not wide:
        sizes["coordinates"] = (n_values,)
    declared = {
        "points": ("float32", "points", "coordinates"),
        "mean": (None, "float32", "values"),
        "axes": (None, "float32", "coordinates", "values"),
    }
    given = {name: getattr(known, name) for name in declared}
    found = {name: None if value is None else value.numpy() for name, value in given.items()}
    _check(found, declared, sizes, np.dtype(np.float32))
    if wide != (known.axes is not None) or not known.points.numel():
        raise ValueError("the rows that outliers are compared with are not complete.")
    if not all(value is None or np.isfinite(value).all() for value in found.values()):
        raise ValueError("the rows that outliers are compared with are not finite.")
    if type(known.threshold) is not float or not known.threshold >= 0:
        raise ValueError(f"threshold should be a distance, but is {known.threshold!r}.")


def _check_columns(known: Columns, layout: Layout) -> None:
    """Check what the columns of a table were to the user, and that a row can be made of them."""
    if len(known.columns) != math.prod(layout.shape) or len(known.names) not in (0, len(known.columns)):
        raise ValueError(f"{len(known.columns)} columns do not fit {layout}.")
    # It is imported.
    if known.library not in _LIBRARIES or bool(known.library) != bool(known.names):
        raise ValueError(
            f"columns of frames of {known.library!r} with {len(known.names)} names are none."
        )
    for column in known.columns:
        has_values = isinstance(column.values, list)
        ends = type(column.least), type(column.largest)
        correct = (
            column.kind in KINDS
            and isinstance(column.dtype, str)
            and has_values == (column.kind not in ("number", "whole"))
            and (has_values or column.values is None)
            and (column.levels is None or isinstance(column.levels, list))
            and all(isinstance(v, _SCALARS) for v in [*(column.values or ()), *(column.levels or ())])
            and all(end in (int, float) for end in ends)
        )
        if not correct:
            raise ValueError(f"{column} is no column.")
    try:
        known.to_given(known.within_ranges(np.where(known.have_range, 0.0, np.nan)[None]))
    except ImportError:
        pass  # The library may be missing here, and arrays are taken all the same.
    except Exception as error:  # of any library
        raise ValueError(f"no row can be made of {known}: {error}") from error


def _check_input_format(known: InputFormat, n_inputs: int) -> None:
    """Check the parts of the form in which networks see numbers or images."""
    layout, columns = known.layout, known.columns
    if not isinstance(known.dtype, np.dtype):
        raise ValueError(f"{known.dtype!r} is no dtype.")
    if known.resizing not in ("interpolate", "pad"):
        raise ValueError(f"resizing should be 'interpolate' or 'pad', but is {known.resizing!r}.")
    n_columns = math.prod(layout.shape)
    if columns is not None:
        n_columns = len(columns)
        if columns.dtype.kind != "i" or not np.all(np.diff(columns, prepend=-1) > 0):
            raise ValueError("columns are not rising numbers.")
        if layout.image is not None or columns.max() >= math.prod(layout.shape):
            raise ValueError(f"columns has {columns.max()}, which {layout} lacks.")
    sizes = {
        "columns": (n_columns,),
        "scaled": layout.shape if layout.image is None else (),
        "n_inputs": (n_inputs,),
        "ends": (2,),
    }
    declared = {
        "centre": ("float64", "scaled"),
        "scale": ("float64", "scaled"),
        "limits": (None, "float64", "ends", "scaled"),
        "columns": (None, "int64", "columns"),
        "rotation": (None, "float64", "n_inputs", "columns"),
        "ends": (None, "float64", "ends", "scaled"),
    }
    _check({name: getattr(known, name) for name in declared}, declared, sizes, known.dtype)


def _check_mixed_format(known: MixedFormat, table: TableInputs | None) -> None:
    """Check the parts of the form in which networks see a table of categories or with gaps."""
    (n_columns,) = known.layout.shape
    if known.layout != Layout((n_columns,)):
        raise ValueError(f"{known.layout} is not that of a table.")
    if not isinstance(known.dtype, np.dtype):
        raise ValueError(f"{known.dtype!r} is no dtype.")
    counts = [*known.n_values, *known.inputs.n_values, *known.inputs.absent, known.inputs.n_numbers]
    if not all(type(count) is int and count >= 0 for count in counts):
        raise ValueError(f"the numbers {counts} are not all integers from 0 on.")
    declared = {"varies": ("bool", "columns"), "constants": ("float64", "columns")}
    found = {name: getattr(known, name) for name in declared}
    _check(found, declared, {"columns": (n_columns,)}, known.dtype)
    is_number = np.array(known.n_values) == 0
    n_values = tuple(n for n, varies in zip(known.n_values, known.varies, strict=True) if n and varies)
    n_numbers = int((is_number & known.varies).sum())
    if table != known.inputs or (known.inputs.n_numbers, known.inputs.n_values) != (n_numbers, n_values):
        raise ValueError("the networks' inputs do not fit the columns.")
    columns = known.columns_given
    of_columns = (0,) * n_columns if columns is None else columns.n_values
    if of_columns != known.n_values:
        raise ValueError(f"{known.n_values} values do not fit columns with {of_columns}.")
    n_visible = n_numbers + len(n_values)
    unit, absent = known.inputs.unit, known.inputs.absent
    if sorted({*absent}) != list(absent) or (absent and absent[-1] >= n_visible):
        raise ValueError(f"the columns {absent} are not among {n_visible}.")
    if not (type(unit) is float and 0.0 < unit < math.inf):
        raise ValueError(f"the unit of categories should be a positive number, but is {unit!r}.")
    if known.numbers is not None:
        _check_input_format(known.numbers, n_numbers)
        if known.numbers.layout != Layout((int(is_number.sum()),)):
            raise ValueError("the form of numbers does not fit the columns.")
    if (known.numbers is None) != (n_numbers == 0):
        raise ValueError("the columns of numbers have no form.")


def _check(
    found: Mapping[str, Any],
    declared: Mapping[str, Any],
    sizes: dict[str, tuple[int, ...]],
    data: np.dtype,
) -> None:
    """Check that values are what was declared, as `FIT_ATTRIBUTES` is."""
    for name in sorted(declared.keys() | found.keys()):
        wanted, value = declared[name], found.get(name)
        if wanted is dict and isinstance(value, dict):
            correct = _are_columns(value.values())
        elif isinstance(wanted, type):
            correct = type(value) is wanted
        elif value is None:
            correct = wanted[0] is None
        elif isinstance(wanted[1], type):
            values = list(value.values()) if isinstance(value, dict) else [value]
            single = all(each is None or isinstance(each, _SCALARS) for each in values)
            correct = type(value) is wanted[1] and (single or _are_columns(values))
        else:
            dtype, *names = wanted[wanted[0] is None :]
            shape = sum(
                (sizes.setdefault(size, value.shape[i : i + 1]) for i, size in enumerate(names)), ()
            )
            wanted = {"data": data, "any": value.dtype, CLUSTERS: "int64"}.get(dtype, dtype), shape
            correct = (value.dtype, value.shape) == wanted
        if not correct:
            raise ValueError(f"{name} should be {wanted}, but is {value!r}.")


def _are_columns(values: Collection[Any]) -> bool:
    """Whether values are columns of numbers of one length."""
    arrays = [each for each in values if isinstance(each, np.ndarray) and each.dtype.kind in "if"]
    shapes = {array.shape for array in arrays}
    return len(arrays) == len(values) and [len(shape) for shape in shapes] == [1]
