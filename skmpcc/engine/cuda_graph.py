"""Iterations recorded once and replayed: on CUDA a graph, launched as a whole.

A small network's kernels take less time than their launches, of which an iteration has over a
thousand. What changes from one iteration to the next, other than on the device, is not in the
recording: batches are copied to the same place before each replay, rates are tensors, and where an
iteration does something else than the last (it is no longer supervised, averages begin) it is
recorded anew.
"""

import warnings
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from skmpcc.engine.fast import FastAlgorithm1
from skmpcc.method.algorithm import Batch, DrawBatch
from skmpcc.method.model import MPCCModel
from skmpcc.settings import ResolvedSettings

Losses = dict[str, Tensor]
# Makes a recording of a function of an algorithm's state; it is replayed by a call.
Recorder = Callable[[Callable[[], Losses], "CapturedAlgorithm1"], Callable[[], Losses]]

# Iterations before a recording, in which libraries choose their algorithms.
WARM_UP = 3


def cuda_graph(function: Callable[[], Losses], algorithm: "CapturedAlgorithm1") -> Callable[[], Losses]:
    """Capture `function`, which draws from the algorithm's stream; the result replays it."""
    rng = algorithm.rng
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(rng)
    stream = torch.cuda.current_stream(rng.device)
    try:
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            out = function()
    finally:
        # A capture that fails at its end leaves its own stream current.
        torch.cuda.set_stream(stream)

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
    recorder : callable
        Makes a recording; `cuda_graph`, in tests one that works on a CPU.
    """

    recorder: ClassVar[Recorder] = staticmethod(cuda_graph)

    def __init__(self, model: MPCCModel, settings: ResolvedSettings, rng: torch.Generator) -> None:
        super().__init__(model, settings, rng)
        self._inputs: list[Tensor] | None = None
        self._phase: tuple[bool, bool, bool] | None = None
        self._n_warm = 0
        self._replay: Callable[[], Losses] | None = None
        self._can_record = True
        self._device = self.model.device
        self._side = torch.cuda.Stream(self._device) if self._device.type == "cuda" else None

    def _updates(self, draw_real: DrawBatch, draw_pairs: DrawBatch | None) -> Losses:
        reals = [draw_real() for _ in range(self.settings.discriminator_steps)]
        pair = draw_pairs() if draw_pairs is not None else ()
        inputs = self._copy_inputs([x for real in reals for x in real] + list(pair))
        n_parts, n_reals = len(reals[0]), len(reals) * len(reals[0])

        def updates() -> Losses:
            parts = iter(inputs[:n_reals])
            pairs: Batch = tuple(inputs[n_reals:])
            return super(CapturedAlgorithm1, self)._updates(
                lambda: tuple(next(parts) for _ in range(n_parts)), (lambda: pairs) if pairs else None
            )

        phase = (self.is_supervised, self.learning_weights, self.averaging)
        if phase != self._phase:
            self._phase, self._n_warm, self._replay = phase, 0, None
        if self._replay is None and self._can_record and self._n_warm >= WARM_UP:
            self._try_to_record(updates)
        if self._replay is not None:
            return self._replay()
        self._n_warm += 1
        return self._on_side_stream(updates)

    def _copy_inputs(self, inputs: list[Tensor]) -> list[Tensor]:
        """Copy this iteration's batches to where the recording reads them."""
        if self._inputs is None:
            self._inputs = [torch.empty_like(x, device=self._device) for x in inputs]
        for place, x in zip(self._inputs, inputs, strict=True):
            place.copy_(x, non_blocking=True)
        return self._inputs

    def _on_side_stream(self, function: Callable[[], Losses]) -> Losses:
        """Run on a stream of its own, as CUDA wants what comes before a capture."""
        if self._side is None:
            return function()
        current = torch.cuda.current_stream(self._device)
        self._side.wait_stream(current)
        with torch.cuda.stream(self._side):
            out = function()
        current.wait_stream(self._side)
        return out

    def _try_to_record(self, updates: Callable[[], Losses]) -> None:
        try:
            self._replay = type(self).recorder(updates, self)
        except RuntimeError as error:
            self._can_record = False
            # A generator may be left in the state of a capture; a new one is not.
            seed = self.rng.initial_seed() + self.n_iter + 1
            self.rng = torch.Generator(self._device).manual_seed(seed)
            warnings.warn(
                "An iteration could not be captured as a CUDA graph; the training goes on without, "
                f"more slowly. The reason: {error}",
                RuntimeWarning,
                stacklevel=2,
            )
