"""Progress of a fit: lines on the screen, and scikit-learn's callbacks."""

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from numpy.typing import NDArray
from sklearn.callback import CallbackContext, CallbackSupportMixin

from skmpcc._sklearn import callback_context
from skmpcc.data.sliced import Rows

History = dict[str, NDArray]
Attributes = Callable[[History], dict[str, Any]]


class FitMonitor:
    """Prints the history of a fit as it grows, and hands it to scikit-learn's callbacks.

    Parameters
    ----------
    estimator : estimator with callbacks and `verbose`
    X, y
        Data and labels that `fit` was called with.
    max_iter, interval : int
        Maximum number of iterations, and iterations between two entries of the history.
    n_init : int
        Number of initializations. The iterations of a single one stand right below the fit in the
        tree of tasks; each of several has a task of its own between.
    """

    def __init__(
        self,
        estimator: CallbackSupportMixin,
        X: Rows,
        y: Any,
        max_iter: int,
        interval: int,
        n_init: int = 1,
    ) -> None:
        self.estimator = estimator
        self.data = {"X": X, "y": y}
        self.max_iter = max_iter
        self.n_init = n_init
        self.n_intervals = math.ceil(max_iter / interval)
        n_tasks = self.n_intervals if n_init == 1 else n_init
        self.fit_task = callback_context(estimator, n_tasks)
        self._begin(self.fit_task)

    def initialization(self, index: int) -> "InitializationMonitor":
        """Start monitoring the index-th initialization."""
        return InitializationMonitor(self, index)

    def end(self, attributes: dict[str, Any]) -> None:
        """Report the end of the fit, after which the estimator will have these attributes."""
        self._end(self.fit_task, attributes)

    def _begin(self, task: CallbackContext) -> None:
        task.call_on_fit_task_begin(estimator=self.estimator, **self.data)

    def _end(self, task: CallbackContext, attributes: Any) -> bool:
        return task.call_on_fit_task_end(
            estimator=self.estimator, **self.data, reconstruction_attributes=attributes
        )


class InitializationMonitor:
    """Prints and reports the history of one initialization; see `FitMonitor.initialization`."""

    def __init__(self, fit: FitMonitor, index: int) -> None:
        self.fit = fit
        self.index = index
        self.attributes_now: Attributes | None = None
        self.started = time.perf_counter()
        if fit.n_init == 1:
            self.task = fit.fit_task
        else:
            self.task = fit.fit_task.subcontext(task_name="initialization", max_subtasks=fit.n_intervals)
            fit._begin(self.task)
        self.iterations: CallbackContext | None = None
        if fit.estimator.verbose:
            print(f"Initialization {index}")

    def begin(self, attributes_now: Attributes) -> "InitializationMonitor":
        """Report iterations, too, and not the initialization as a whole alone.

        Parameters
        ----------
        attributes_now : callable
            Makes, from the history so far, the attributes that the estimator would have if the
            training stopped now.

        Returns
        -------
        self : InitializationMonitor
            To call with the history at each of its entries.
        """
        self.attributes_now = attributes_now
        self._begin_interval()
        return self

    def _begin_interval(self) -> None:
        self.iterations = self.task.subcontext(task_name="iterations")
        self.fit._begin(self.iterations)

    def __call__(self, history: History, last: bool) -> bool:
        """Report an entry of the history; whether a callback asks to stop."""
        self._print({name: values[-1] for name, values in history.items()})
        assert self.iterations is not None
        assert self.attributes_now is not None
        stop = self.fit._end(self.iterations, partial(self.attributes_now, history))
        if not stop and not last:
            self._begin_interval()
        return stop

    def end(self, attributes: Callable[[], dict[str, Any]]) -> None:
        """Report the end of the initialization, after which the estimator would have `attributes()`."""
        if self.fit.n_init > 1:
            self.fit._end(self.task, attributes)
        if self.fit.estimator.verbose:
            print(f"Initialization {self.index} ended after {time.perf_counter() - self.started:.2f}s")

    def _print(self, entry: dict[str, float]) -> None:
        if self.fit.estimator.verbose == 1:
            print(f"  Iteration {entry['iteration']:.0f}")
        elif self.fit.estimator.verbose > 1:
            lapse = time.perf_counter() - self.started
            values = "\t ".join(f"{k} {v:.5f}" for k, v in entry.items() if k != "iteration")
            print(f"  Iteration {entry['iteration']:.0f}\t time lapse {lapse:.5f}s\t {values}")
