"""Iterations recorded once and replayed: on CUDA a graph, launched as a whole.

A small network's kernels take less time than their launches, of which an iteration has over a
thousand. Whatever changes from one iteration to the next is in tensors that the recording reads:
batches are copied to the same place before each replay; rates, and whether labels teach, averages are
updated and weights are learned, are tensors anyway. So one recording serves the whole training, also
after a rollback, which writes to the same tensors.
"""

import warnings
from collections.abc import Callable
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from skmpcc.engine.fast import FastAlgorithm1
from skmpcc.method.algorithm import Algorithm1
from skmpcc.method.model import MPCCModel
from skmpcc.method.trainer import Batch, DrawBatch
from skmpcc.settings import ResolvedSettings

Losses = dict[str, Tensor]

# Iterations before a recording, in which libraries choose their algorithms.
WARM_UP = 3


class Recorder(Protocol):
    """Runs updates of an algorithm, and records them."""

    def __init__(self, algorithm: Algorithm1) -> None: ...

    def run(self, updates: Callable[[], Losses]) -> Losses:
        """Run them once, as it is wanted before a recording."""

    def record(self, updates: Callable[[], Losses]) -> Callable[[], Losses]:
        """Record them, which changes nothing else; a call of the result replays them."""


class CudaGraphRecorder:
    """`Recorder` by CUDA graphs, on a stream of its own for both warm-up and capture."""

    def __init__(self, algorithm: Algorithm1) -> None:
        self.algorithm = algorithm
        self.device = algorithm.model.device
        self.stream = torch.cuda.Stream(self.device)

    def run(self, updates: Callable[[], Losses]) -> Losses:
        """Run them once on the stream."""
        current = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            out = updates()
        current.wait_stream(self.stream)
        return out

    def record(self, updates: Callable[[], Losses]) -> Callable[[], Losses]:
        """Capture them on the stream."""
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self.algorithm.rng)
        # torch waits for, and frees memory of, the current device, which may be another one.
        with torch.cuda.device(self.device):
            current = torch.cuda.current_stream()
            try:
                with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
                    out = updates()
            finally:
                # A capture that fails at its end leaves its own stream current.
                torch.cuda.set_stream(current)

        def replay() -> Losses:
            graph.replay()
            return out

        return replay


class CapturedAlgorithm1(FastAlgorithm1):
    """`FastAlgorithm1` with whole iterations, updates included, recorded and replayed.

    Batches must come from another random stream than `rng`, which is the recording's. The losses that
    `iteration` returns are overwritten by the next one.

    Attributes
    ----------
    recorder : type
        `CudaGraphRecorder`, in tests one that works on a CPU.
    can_record : bool
        Whether no recording has failed in this process.
    """

    recorder: ClassVar[type[Recorder]] = CudaGraphRecorder
    can_record: ClassVar[bool] = True

    def __init__(self, model: MPCCModel, settings: ResolvedSettings, rng: torch.Generator) -> None:
        super().__init__(model, settings, rng)
        self._recorder = self.recorder(self)
        self._inputs: list[Tensor] | None = None
        self._n_warm = 0
        self._replay: Callable[[], Losses] | None = None

    def _updates(self, draw_real: DrawBatch, draw_pairs: DrawBatch | None) -> Losses:
        # A recording has them or not.
        self.wants_losses = True
        reals = [draw_real() for _ in range(self._n_reals)]
        pair = draw_pairs() if draw_pairs is not None and self._wants_pairs else ()
        inputs = self._copy_inputs([x for real in reals for x in real] + list(pair))
        n_parts, n_reals = len(reals[0]), len(reals) * len(reals[0])

        def updates() -> Losses:
            parts = iter(inputs[:n_reals])
            pairs: Batch = tuple(inputs[n_reals:])
            return super(CapturedAlgorithm1, self)._updates(
                lambda: tuple(next(parts) for _ in range(n_parts)), (lambda: pairs) if pairs else None
            )

        if self._replay is None and self._n_warm >= WARM_UP and CapturedAlgorithm1.can_record:
            self._try_to_record(updates)
        if self._replay is not None:
            return self._replay()
        self._n_warm += 1
        return self._recorder.run(updates)

    def _copy_inputs(self, inputs: list[Tensor]) -> list[Tensor]:
        """Copy this iteration's batches to where the recording reads them."""
        if self._inputs is None:
            self._inputs = [torch.empty_like(x, device=self.model.device) for x in inputs]
        for place, x in zip(self._inputs, inputs, strict=True):
            place.copy_(x, non_blocking=True)
        return self._inputs

    def _try_to_record(self, updates: Callable[[], Losses]) -> None:
        try:
            self._replay = self._recorder.record(updates)
        except RuntimeError as error:
            CapturedAlgorithm1.can_record = False
            # A generator may be left in the state of a capture; a new one is not.
            seed = self.rng.initial_seed() + self.n_iter + 1
            self.rng = torch.Generator(self.model.device).manual_seed(seed)
            warnings.warn(
                "An iteration could not be captured as a CUDA graph. This training and others in this "
                "process continue without CUDA graphs, more slowly. PyTorch's allocator may stay in "
                "capture mode until the process ends, and use more memory than it needs; a new process "
                'with preset_params={"cuda_graphs": False} avoids that. '
                f"The reason: {error}",
                RuntimeWarning,
                stacklevel=2,
            )
