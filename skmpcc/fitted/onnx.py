"""Fitted models as ONNX graphs. Needs onnx: pip install "skmpcc[onnx]"."""

import copy
import json
import math
import os
import tempfile
import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from skmpcc.data.inputs import InputFormat
from skmpcc.data.mixed import MixedFormat
from skmpcc.data.scaling import BOUND
from skmpcc.fitted.model import FittedModel
from skmpcc.system.files import write_atomically
from skmpcc.system.versions import installed_versions

_OPSET = 17
_NAME = "model.onnx"


class _InputLayers(nn.Module):
    """`InputFormat.encode` of a tensor, by operations that ONNX has."""

    def __init__(self, data_format: InputFormat) -> None:
        super().__init__()
        self.layout, self.tensor_shape = data_format.layout, data_format.tensor_shape
        self.half_centre, half_scale = map(
            torch.as_tensor, (data_format.centre / 2, data_format.scale / 2)
        )
        self.varies, self.half_scale = half_scale > 0, half_scale.where(half_scale > 0, 1.0)
        self.limits = None if data_format.limits is None else torch.as_tensor(data_format.limits / 2)
        self.columns, self.rotation = (
            None if each is None else torch.as_tensor(each)
            for each in (data_format.columns, data_format.rotation)
        )
        self.resizing: tuple[Tensor, Tensor] | None = None
        if self.layout.image is not None and self.layout.image[1:] != self.tensor_shape[1:]:
            # Both ways of resizing are linear in rows and in columns, and keep what is constant.
            height, width = self.layout.image[1:]
            rows = data_format.to_grid(torch.eye(height)[:, None, :, None])[:, 0, :, 0]
            columns = data_format.to_grid(torch.eye(width)[:, None, None, :])[:, 0, 0, :]
            self.resizing = rows.T, columns

    def forward(self, X: Tensor) -> Tensor:
        x = 0.5 * X.double()
        if self.limits is not None:
            x = torch.minimum(torch.maximum(x, self.limits[0]), self.limits[1])
        x = torch.where(self.varies, (x - self.half_centre) / self.half_scale, 0.0)
        x = x.clamp(-BOUND, BOUND)
        if self.layout.image is None:
            x = x.reshape(-1, math.prod(self.layout.shape))
            x = x if self.columns is None else x[:, self.columns]
            x = x if self.rotation is None else x @ self.rotation.T
            return x.float()
        channels, height, width = self.layout.image
        if self.layout.channels_last:
            x = x.reshape(-1, height, width, channels).permute(0, 3, 1, 2)
        x = x.reshape(-1, channels, height, width).float()
        return x if self.resizing is None else self.resizing[0] @ x @ self.resizing[1]


class _LeakyReLU(nn.Module):
    """A leaky ReLU; onnxruntime has none in double precision."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        return torch.maximum(x, self.slope * x)


class _Served(nn.Module):
    """X to memberships and codes, or to codes alone."""

    def __init__(self, fitted: FittedModel, with_memberships: bool) -> None:
        super().__init__()
        assert isinstance(fitted.format, InputFormat)
        self.inputs = _InputLayers(fitted.format)
        model = copy.deepcopy(fitted.on(torch.device("cpu")).model)
        self.encoder, self.prior = model.serving_encoder, model.prior
        self.dtype = fitted.dtype
        self.codes_dtype = torch.from_numpy(fitted.format.centre.astype(fitted.format.dtype)).dtype
        self.with_memberships, self.temperature = with_memberships, fitted.temperature
        for module in list(self.encoder.modules()):
            if parametrize.is_parametrized(module):
                parametrize.remove_parametrizations(module, "weight")
            for name, child in module.named_children():
                if isinstance(child, nn.LeakyReLU):
                    setattr(module, name, _LeakyReLU(child.negative_slope))

    def forward(self, X: Tensor) -> tuple[Tensor, ...]:
        mean = self.encoder(self.inputs(X).to(self.dtype))[0].double()
        codes = mean.to(self.codes_dtype)
        if not self.with_memberships:
            return (codes,)
        logs = self.prior.log_responsibilities(mean) / self.temperature
        return torch.softmax(logs, dim=1), codes


def export_onnx(estimator: Any, path: str | os.PathLike[str]) -> None:
    """Write a fitted estimator as an ONNX model; see `LatentVariableMixin.export_onnx`."""
    try:
        import onnx
    except ImportError as error:
        raise ImportError('export_onnx needs onnx: pip install "skmpcc[onnx]".') from error

    if isinstance(estimator._fitted.format, MixedFormat):
        raise ValueError(
            "export_onnx writes models of numbers alone, but X had categories or missing values."
        )
    with_memberships = hasattr(estimator, "predict_proba")
    served = _Served(estimator._fitted, with_memberships).eval()
    outputs = ["memberships", "codes"] if with_memberships else ["codes"]
    # Two rows, of which the tracer takes none for an axis to be broadcast.
    example = torch.zeros(2, *served.inputs.layout.shape, dtype=served.codes_dtype)
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        # The exporter that traces needs onnx alone, and is deprecated; the other needs onnxscript, too.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            served,
            (example,),
            os.path.join(folder, _NAME),
            dynamo=False,
            opset_version=_OPSET,
            input_names=["X"],
            output_names=outputs,
            dynamic_axes={name: {0: "n_samples"} for name in ["X", *outputs]},
        )
        model = onnx.load(os.path.join(folder, _NAME))
    about = {"estimator": type(estimator).__name__, "skmpcc": str(installed_versions()["skmpcc"])}
    if hasattr(estimator, "classes_"):
        about["classes"] = json.dumps(estimator.classes_.tolist(), default=str)
    onnx.helper.set_model_props(model, about)
    onnx.checker.check_model(model)
    write_atomically(path, model.SerializeToString())
