"""What a fit tells while it runs: lines on the screen, and scikit-learn's callbacks."""

import math
import time
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray
from sklearn.callback import CallbackSupportMixin

History = dict[str, NDArray]


class FitMonitor:
    """Prints the history of a fit as it grows, and hands it to scikit-learn's callbacks.

    Parameters
    ----------
    estimator : estimator with callbacks and `verbose`
    X, y
        What `fit` got.
    max_iter, interval : int
        Iterations, and iterations between two calls.
    attributes : callable
        From the history so far, the attributes that the estimator would have if it stopped now.
    """

    def __init__(
        self,
        estimator: CallbackSupportMixin,
        X: NDArray,
        y: Any,
        max_iter: int,
        interval: int,
        attributes: Callable[[History], dict[str, Any]],
    ) -> None:
        self.estimator = estimator
        self.data = {"X": X, "y": y}
        self.max_iter = max_iter
        self.attributes = attributes
        self.started = time.perf_counter()
        n_intervals = math.ceil(max_iter / interval)
        self.context = estimator._init_callback_context(max_subtasks=n_intervals)
        self.context.call_on_fit_task_begin(estimator=estimator, **self.data)
        self._begin()
        if estimator.verbose:
            print("Initialization 0")

    def _begin(self) -> None:
        self.task = self.context.subcontext(task_name="iterations")
        self.task.call_on_fit_task_begin(estimator=self.estimator, **self.data)

    def __call__(self, history: History) -> bool:
        """Whether a callback asks for an end."""
        self._print({name: values[-1] for name, values in history.items()})
        stop = self.task.call_on_fit_task_end(
            estimator=self.estimator,
            **self.data,
            reconstruction_attributes=lambda: self.attributes(history),
        )
        if not stop and history["iteration"][-1] < self.max_iter:
            self._begin()
        return stop

    def end(self) -> None:
        """The estimator is fitted."""
        self.context.call_on_fit_task_end(
            estimator=self.estimator, **self.data, reconstruction_attributes={}
        )
        if self.estimator.verbose:
            print(f"Initialization 0 ended after {time.perf_counter() - self.started:.2f}s")

    def _print(self, entry: dict[str, float]) -> None:
        if self.estimator.verbose == 1:
            print(f"  Iteration {entry['iteration']:.0f}")
        elif self.estimator.verbose > 1:
            lapse = time.perf_counter() - self.started
            values = "\t ".join(f"{k} {v:.5f}" for k, v in entry.items() if k != "iteration")
            print(f"  Iteration {entry['iteration']:.0f}\t time lapse {lapse:.5f}s\t {values}")
