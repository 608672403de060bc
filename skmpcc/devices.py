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
    """As `resolve_device`, but the CPU where the CUDA device that fitted is not there."""
    try:
        return resolve_device(device)
    except ValueError:
        if str(device).split(":")[0] != "cuda":
            raise
        return torch.device("cpu")


@contextmanager
def at_most_threads(n: int) -> Iterator[None]:
    """Within, torch's operations on a CPU use no more than `n` threads, and no more than before."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, min(n, before)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def resident(data: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The data on the device, if they take no more than half of what is free there."""
    if device.type == "cuda" and data.nbytes > torch.cuda.mem_get_info(device)[0] // 2:
        return data
    return data.to(device)


def require_compiler(device: torch.device) -> None:
    """Compile something small, to know before any training whether torch.compile works.

    Raises
    ------
    RuntimeError
        It does not, for want of a compiler, say.
    """
    try:
        torch.compile(torch.sin)(torch.zeros(2, device=device))
    except Exception as error:  # torch has many kinds, and none in common
        needed = "Triton" if device.type == "cuda" else "a C++ compiler (g++ or clang, or set CXX)"
        raise RuntimeError(
            f"compile=True asks for torch.compile, which does not work here. It needs {needed}; "
            f"without, use compile=False. The reason: {error}"
        ) from error


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
