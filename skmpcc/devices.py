"""The estimator's `device` parameter as a torch device."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def resolve_device(device: str | torch.device) -> torch.device:
    """The device to train on.

    Raises
    ------
    ValueError
        `device` is no device, neither a CPU nor a CUDA one, or a CUDA one that is not there.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"device={device!r} is no device; use 'auto', 'cpu', 'cuda' or 'cuda:N'."
        ) from error
    if resolved.type not in ("cpu", "cuda"):
        raise ValueError(f"device={device!r} is not supported; use 'auto', 'cpu' or 'cuda'.")
    if resolved.type == "cuda":
        n_devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (resolved.index or 0) >= n_devices:
            raise ValueError(
                f"device={device!r} asks for CUDA, but {n_devices} CUDA devices are available; use "
                "'auto' or 'cpu'."
            )
    return resolved


def inference_device(device: str | torch.device) -> torch.device:
    """As `resolve_device`, but the CPU where the device that fitted is not there."""
    try:
        return resolve_device(device)
    except ValueError:
        return torch.device("cpu")


@contextmanager
def product_precision(device: torch.device, *, tf32: bool) -> Iterator[None]:
    """Within, products and convolutions of float32 on CUDA are in TF32 or in full precision.

    And by deterministic algorithms where cuDNN has them. The process's own settings come back after.
    """
    if device.type != "cuda":
        yield
        return
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32
    matmul.allow_tf32 = tf32
    try:
        with cudnn.flags(enabled=cudnn.enabled, deterministic=True, allow_tf32=tf32):
            yield
    finally:
        matmul.allow_tf32 = before
