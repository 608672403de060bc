"""Iterations recorded once and replayed: on CUDA a graph, launched as a whole.

A small network's kernels take less time than their launches, of which an iteration has over a
thousand. What changes from one iteration to the next, other than on the device, is not in the
recording: batches are copied to the same place before each replay, rates are tensors, and where an
iteration does something else than the last (it is no longer guided, averages begin) it is recorded anew.
"""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from skmpcc.algorithm import BETAS
from skmpcc.engine import FastAlgorithm1
from skmpcc.flat import FlatAdam

Losses = dict[str, Tensor]
Recorder = Callable[[Callable[[], Losses], torch.Generator], Callable[[], Losses]]

# Iterations before a recording, in which libraries choose algorithms and optimizers make their state.
WARM_UP = 3


def cuda_graph(function: Callable[[], Losses], random: torch.Generator) -> Callable[[], Losses]:
    """Capture `function`, which draws from `random`; what is returned runs it and gives its results."""
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(random)
    stream = torch.cuda.current_stream(random.device)
    try:
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            out = function()
    finally:
        # a capture that fails at its end leaves its own stream current
        torch.cuda.set_stream(stream)

    def replay() -> Losses:
        graph.replay()
        return out

    return replay


class CapturedAlgorithm1(FastAlgorithm1):
    """`FastAlgorithm1` with whole iterations, updates included, recorded and replayed.

    Batches must come from another random stream than `generator`, which is the recording's. The
    losses that `iteration` returns are overwritten by the next one.

    Attributes
    ----------
    record : callable
        Makes a recording; `cuda_graph`, in tests one that works on a CPU.
    """

    record: Recorder = staticmethod(cuda_graph)

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self._inputs: list[Tensor] | None = None
        self._phase: tuple[bool, bool, str] | None = None
        self._n_warm = 0
        self._replay: Callable[[], Losses] | None = None
        self._can_record = True
        self._device = self.model.device
        self._side = torch.cuda.Stream(self._device) if self._device.type == "cuda" else None

    def _adam(self, parameters: list[torch.nn.Parameter], learning_rate: float) -> FlatAdam:
        rate = torch.tensor(learning_rate, dtype=torch.float32, device=parameters[0].device)
        return FlatAdam(parameters, lr=rate, betas=BETAS, fused=True)

    def _set_rate(self, group: dict, rate: float) -> None:
        group["lr"].fill_(rate)

    def iteration(
        self,
        draw_real: Callable[[], tuple[Tensor, ...]],
        draw_pairs: Callable[[], tuple[Tensor, ...]] | None = None,
    ) -> Losses:
        if not self.model.training:
            self.model.train()
        self._schedule()
        reals = [draw_real() for _ in range(self.recipe.discriminator_steps)]
        pair = draw_pairs() if draw_pairs else ()
        self._place([x for real in reals for x in real] + list(pair))
        n_parts, n_reals = len(reals[0]), len(reals) * len(reals[0])

        def updates() -> Losses:
            parts = iter(self._inputs[:n_reals])
            first_and_second = tuple(self._inputs[n_reals:])
            return self._updates(
                lambda: tuple(next(parts) for _ in range(n_parts)),
                (lambda: first_and_second) if first_and_second else None,
            )

        phase = (self.guiding, self.following, self._averaging)
        if phase != self._phase:
            self._phase, self._n_warm, self._replay = phase, 0, None
        if self._replay is None and self._can_record and self._n_warm >= WARM_UP:
            self._try_to_record(updates)
        if self._replay is not None:
            out = self._replay()
        else:
            self._n_warm += 1
            out = self._aside(updates)
        self.n_iter += 1
        return out

    def _place(self, inputs: list[Tensor]) -> None:
        """Copy this iteration's batches to where the recording reads them."""
        if self._inputs is None:
            self._inputs = [torch.empty_like(x, device=self._device) for x in inputs]
        for place, x in zip(self._inputs, inputs, strict=True):
            place.copy_(x, non_blocking=True)

    def _aside(self, function: Callable[[], Losses]) -> Losses:
        """On a stream of its own, as CUDA wants what comes before a capture."""
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
            self._replay = self.record(updates, self.random)
        except RuntimeError as error:
            self._can_record = False
            # A generator may be left in the state of a capture; a new one is not.
            seed = self.random.initial_seed() + self.n_iter + 1
            self.random = torch.Generator(self._device).manual_seed(seed)
            warnings.warn(
                "An iteration could not be captured as a CUDA graph; the training goes on without, "
                f"more slowly. The reason: {error}",
                RuntimeWarning,
                stacklevel=2,
            )
