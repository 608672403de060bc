"""Devices, and what torch does on them: threads, precision of matrix products, where data lie."""

import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache

import joblib
import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor

from skmpcc.system.callers import stacklevel_of_user

# Work of one operation that is worth a thread: docs/development/performance.md.
FLOPS_PER_THREAD = 1_000_000_000


def resolve_device(device: str | torch.device) -> torch.device:
    """Turn the estimator's `device` parameter into the device to train on.

    Parameters
    ----------
    device : str or torch.device
        "auto", "cpu", "cuda" or "cuda:N".

    Returns
    -------
    device : torch.device

    Raises
    ------
    ValueError
        `device` is not a device, is neither a CPU nor a CUDA device, or is a CUDA device that is
        not available.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"device={device!r} is not a device; use 'auto', 'cpu', 'cuda' or 'cuda:N'."
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
    """Like `resolve_device`, but if a CUDA device is missing, warn and fall back to the CPU."""
    try:
        return resolve_device(device)
    except ValueError:
        if str(device).split(":")[0] != "cuda":
            raise
        warnings.warn(
            f"device={str(device)!r} is not available here; the CPU is used instead.",
            UserWarning,
            stacklevel=stacklevel_of_user(),
        )
        return torch.device("cpu")


def available_threads() -> int:
    """Threads that this process may use: what affinity, a container's quota and the user leave."""
    return max(1, min(torch.get_num_threads(), joblib.cpu_count()))


def threads_for(flops: float) -> int:
    """Threads that an operation of so much work is worth, of those that are available.

    Threads wait for each other at the end of every operation. While another process is busy, one of
    them often waits for its turn on a core, for longer than a small operation takes.
    """
    return max(1, min(int(flops / FLOPS_PER_THREAD), available_threads()))


class _OwnLimits(threading.local):
    """Limits of one thread, the innermost last."""

    def __init__(self) -> None:
        self.stack: list[int] = []


class _ProcessLimits:
    """Number of limits in all threads, and the threads that the process had before the first."""

    lock = threading.Lock()
    n_active = 0
    before = 1


_own_limits = _OwnLimits()


@cache
def threadpools() -> ThreadpoolController:
    """To look for the libraries takes a millisecond; all are loaded by the first limit."""
    return ThreadpoolController()


@contextmanager
def at_most_threads(n: int) -> Iterator[None]:
    """Context manager that limits torch and scikit-learn on a CPU to `n` threads, or to those of before.

    Fits may run in threads: a thread that begins within another one's limit gets back what the
    process had before all limits. OpenMP's numbers, which scikit-learn goes by, are a thread's own.
    """
    stack = _own_limits.stack
    with _ProcessLimits.lock:
        if _ProcessLimits.n_active == 0:
            _ProcessLimits.before = torch.get_num_threads()
        _ProcessLimits.n_active += 1
        outside = stack[-1] if stack else _ProcessLimits.before
        stack.append(max(1, min(n, outside)))
        torch.set_num_threads(stack[-1])
    try:
        with threadpools().limit(limits=stack[-1], user_api="openmp"):
            yield
    finally:
        with _ProcessLimits.lock:
            _ProcessLimits.n_active -= 1
            stack.pop()
            torch.set_num_threads(outside)


def to_device_if_fits(data: Tensor, device: torch.device) -> Tensor:
    """Move data to the device if they take no more than half of what is free there."""
    if device.type == "cuda" and data.nbytes > torch.cuda.mem_get_info(device)[0] // 2:
        return data
    return data.to(device)


def rows_of(data: Tensor, rows: Tensor) -> Tensor:
    """Rows of data that may lie elsewhere, on the rows' device."""
    return data[rows.to(data.device)].to(rows.device)


def matmul_dtype(precision: str, like: Tensor) -> torch.dtype | None:
    """Type in which hidden layers multiply; None for the parameters' own.

    "auto" is bfloat16 where the device multiplies in it natively, which is several times faster.
    Parameters, their gradients and updates, norms, losses and the last layers keep their type.

    Parameters
    ----------
    precision : {"auto", "bfloat16", "tf32", "float32"}
    like : Tensor
        A parameter, for its device and type.

    Returns
    -------
    dtype : torch.dtype or None
    """
    if precision in ("float32", "tf32") or like.dtype != torch.float32:
        return None
    if precision == "bfloat16" or _multiplies_bfloat16(like.device):
        return torch.bfloat16
    return None


def _multiplies_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    # torch has this function since version 2.12.
    capabilities: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "sve_bf16"))


@contextmanager
def matmul_precision(device: torch.device, *, tf32: bool) -> Iterator[None]:
    """Context manager for float32 convolutions on CUDA, in TF32 or in full precision.

    Matrix products never run in TF32, because the mixture's log-densities are differences of large ones.
    cuDNN uses deterministic algorithms meanwhile. The process's own settings come back afterwards.
    """
    if device.type != "cuda":
        yield
        return
    # torch 2.9 brought `fp32_precision`. Where a process has used it, the old switch cannot be read.
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    if hasattr(cudnn, "conv"):
        wanted: list[tuple[object, str, object]] = [
            (matmul, "fp32_precision", "ieee"),
            (cudnn.conv, "fp32_precision", "tf32" if tf32 else "ieee"),
        ]
    else:
        wanted = [(matmul, "allow_tf32", False), (cudnn, "allow_tf32", tf32)]
    wanted.append((cudnn, "deterministic", True))
    before = [(switch, name, getattr(switch, name)) for switch, name, _ in wanted]
    try:
        for setting in wanted:
            setattr(*setting)
        yield
    finally:
        for setting in before:
            setattr(*setting)
