"""Processes that train one model together, by torch.distributed."""

import atexit
import io
import multiprocessing
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

# What torchrun, and torch.distributed's own convention, describe a process by.
_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
# How long a process waits for the others, of which the first may be looking for pseudo-labels. One
# that has died is noticed at once.
TIMEOUT = timedelta(hours=1)

Value = TypeVar("Value")

_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Share:
    """The part of each batch that one of several processes trains on.

    Attributes
    ----------
    whole : int
        Samples in the whole batch.
    sizes : tuple of int
        Samples in each process's part.
    rank : int
        This process.
    """

    whole: int
    sizes: tuple[int, ...]
    rank: int

    @property
    def rows(self) -> slice:
        """Rows of the whole batch that are this process's."""
        start = sum(self.sizes[: self.rank])
        return slice(start, start + self.sizes[self.rank])

    @property
    def weights(self) -> tuple[float, ...]:
        """Weights of the means over each process's part in the mean over the whole batch."""
        return tuple(size / self.whole for size in self.sizes)

    @property
    def weight(self) -> float:
        """Part of the whole batch that is this process's."""
        return self.weights[self.rank]

    def take(self, rows: Tensor) -> Tensor:
        """Take this process's part of one or several whole batches, one after the other."""
        batches = rows.view(-1, self.whole, *rows.shape[1:])
        return batches[:, self.rows].flatten(0, 1)


@dataclass(frozen=True)
class Processes:
    """The processes that train together, as one of them sees them. By default it is alone.

    Methods that talk to the others have to be called by all of them, in the same order.

    Attributes
    ----------
    rank : int
    size : int
    device : torch.device
        Device of the tensors that are reduced.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = _CPU

    @classmethod
    def join(cls, distributed: str | None, device: torch.device) -> "Processes":
        """Find the processes that this one was launched with.

        Parameters
        ----------
        distributed : {"auto"} or None
            None: this process trains alone. "auto": with all processes of torch.distributed's default
            group, if there is one, or of the launch that the environment describes, such as torchrun's.
        device : torch.device
            Device of the training; CUDA without a number is that of the process's local rank.

        Returns
        -------
        processes : Processes

        Raises
        ------
        ValueError
            There are fewer CUDA devices than processes on this machine, or the process group has no
            backend for the device.
        """
        alone = cls(device=device)
        if distributed is None or not dist.is_available():
            return alone
        if not dist.is_initialized():
            # A worker of joblib inherits the variables, and is not who they are about.
            launched = multiprocessing.current_process().name == "MainProcess"
            if not launched or any(name not in os.environ for name in _VARIABLES):
                return alone
            if os.environ["WORLD_SIZE"] == "1":
                return alone
            _initialize()
        if dist.get_world_size() == 1:
            return alone
        if device.type == "cuda" and device.index is None:
            local, n_devices = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
            if local >= n_devices:
                raise ValueError(
                    f"distributed='auto' needs a CUDA device for each process, but this is process "
                    f"{local + 1} on a machine with {n_devices}. Launch fewer processes, "
                    "or set device='cpu'."
                )
            device = torch.device("cuda", local)
        if f"{device.type}:" not in dist.get_backend_config():
            raise ValueError(
                f"distributed='auto' found a process group with backends {dist.get_backend_config()!r}, "
                f"which do not support device={device.type!r}. Initialize it with 'cpu:gloo,cuda:nccl', "
                "or let fit initialize it."
            )
        return cls(dist.get_rank(), dist.get_world_size(), device)

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes and prints."""
        return self.rank == 0

    def share(self, n: int) -> Share:
        """Divide batches of `n` samples.

        Raises
        ------
        ValueError
            There are fewer than two samples for a process.
        """
        if n < 2 * self.size:
            raise ValueError(
                f"batch_size={n} (at most the number of samples) should be >= {2 * self.size}, two "
                f"samples for each of {self.size} processes."
            )
        bounds = [rank * n // self.size for rank in range(self.size + 1)]
        sizes = (end - start for start, end in pairwise(bounds))
        return Share(n, tuple(sizes), self.rank)

    # ---- What they send to each other

    def run_on_first(self, function: Callable[[], Value]) -> Value:
        """Call `function` in the first process; return, or raise, in all what it did there.

        Tensors come to each process's own device.
        """
        if self.size == 1:
            return function()
        answer: tuple[str, Any] = ("", None)
        message = b""
        if self.is_first:
            try:
                answer = ("returned", function())
                message = _as_bytes(answer)
            except Exception as error:
                # The others wait for an answer, whatever happens here.
                answer = ("raised", error)
                message = _as_bytes(("raised", _as_sent(error)))
        how, value = self._broadcast(answer, message)
        if how == "raised":
            raise value
        return value

    def _broadcast(self, answer: tuple[str, Any], message: bytes) -> tuple[str, Any]:
        """Send a message from the first process to all; the first has the answer already."""
        # Where NCCL is the only backend, it goes by way of the GPU.
        device = _CPU if "cpu:" in dist.get_backend_config() else self.device
        content = torch.empty(0, dtype=torch.uint8)
        if self.is_first:
            content = torch.frombuffer(bytearray(message), dtype=torch.uint8).to(device)
        length = torch.tensor([len(content)], device=device)
        with _noticing_losses():
            dist.broadcast(length, 0)
            if not self.is_first:
                content = torch.empty(int(length), dtype=torch.uint8, device=device)
            dist.broadcast(content, 0)
        if self.is_first:
            return answer
        # It is from this training's first process, whose code this one runs anyway.
        buffer = io.BytesIO(content.cpu().numpy().tobytes())
        return torch.load(buffer, map_location=self.device, weights_only=False)

    def check_equal_everywhere(self, digest: str, what: str) -> None:
        """Check that all processes have the same digest.

        Raises
        ------
        ValueError
            The digests differ.
        """
        if self.size == 1:
            return
        number = int(digest, 16) % 2**63
        numbers = self.gather(torch.tensor([number], device=self.device))
        if len(numbers.unique()) > 1:
            raise ValueError(
                f"{what} differ between the {self.size} processes that train together. Give all of them "
                "the same, or set distributed=None if each is to train by itself."
            )

    def broadcast_(self, tensors: list[Tensor]) -> None:
        """Copy the first process's values into the same tensors of all."""
        if self.size == 1:
            return
        with _noticing_losses():
            for tensor in tensors:
                dist.broadcast(tensor, 0)

    def all_reduce(self, *tensors: Tensor) -> None:
        """Sum over the processes, in place; the sums are the same to the last bit in all of them."""
        with _noticing_losses():
            # All are on their way before the first is waited for.
            for work in [dist.all_reduce(tensor, async_op=True) for tensor in tensors]:
                work.wait()

    def gather(self, tensor: Tensor) -> Tensor:
        """Tensors of all processes, of shape (size, ...)."""
        gathered = tensor.new_empty((self.size, *tensor.shape))
        with _noticing_losses():
            dist.all_gather(list(gathered.unbind(0)), tensor.contiguous())
        return gathered


ALONE = Processes()


def _as_bytes(message: tuple[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(message, buffer)
    return buffer.getvalue()


def _as_sent(error: Exception) -> Exception:
    """Return the error, or where other processes could not make it again, one that says what it was."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"The first process failed with {type(error).__name__}: {error}")
    return error


def _initialize() -> None:
    """Make the default group, by gloo on CPUs and NCCL on CUDA, that lasts until the process ends."""
    with_cuda = torch.cuda.is_available() and dist.is_nccl_available()
    dist.init_process_group("cpu:gloo,cuda:nccl" if with_cuda else "gloo", timeout=TIMEOUT)
    atexit.register(_end, with_cuda)


def _end(with_cuda: bool) -> None:
    """Leave the group in order. NCCL would wait for processes that an error has ended."""
    if dist.is_initialized() and not (with_cuda and hasattr(sys, "last_value")):
        dist.destroy_process_group()


@contextmanager
def _noticing_losses() -> Iterator[None]:
    """Context manager that explains the error that a lost process causes."""
    try:
        yield
    except RuntimeError as error:
        raise RuntimeError(
            "A process that trains together with this one has ended, or cannot be reached any more; its "
            f"own error says why. torch.distributed says: {error}"
        ) from error
