"""Versions of this package and of those that it uses."""

import platform
from importlib.metadata import PackageNotFoundError, version

import torch

_PACKAGES = (
    "skmpcc",
    "torch",
    "scikit-learn",
    "numpy",
    "scipy",
    "joblib",
    "threadpoolctl",
    "safetensors",
)
_EXTRAS = ("matplotlib", "rich", "pandas", "pyarrow", "pillow", "onnx", "onnxruntime", "umap-learn")


def installed_versions(extras: bool = False) -> dict[str, str | None]:
    """Versions of Python and of installed packages by name, None where one is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in _PACKAGES + (_EXTRAS if extras else ()):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def show_versions() -> None:
    """Print versions, the machine and its CUDA devices, for reports of problems.

    Examples
    --------
    >>> import skmpcc
    >>> skmpcc.show_versions()  # doctest: +ELLIPSIS
    python: ...
    CUDA: ...
    """
    lines: dict[str, object] = {**installed_versions(extras=True), "machine": platform.platform()}
    lines["threads"] = torch.get_num_threads()
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    lines["CUDA"] = f"{torch.version.cuda}, {', '.join(devices)}" if devices else "not available"
    for name, value in lines.items():
        print(f"{name}: {value or 'not installed'}")
