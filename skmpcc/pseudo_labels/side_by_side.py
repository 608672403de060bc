"""Tasks side by side, in threads of which each uses one core."""

import ctypes
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context
from typing import TypeVar

from sklearn import config_context, get_config

from skmpcc.system.devices import at_most_threads, threadpools

T = TypeVar("T")

# Seconds after which a thread that waits looks for Ctrl-C, which does not wake it on Windows.
TICK = 0.2


class _Stopped(BaseException):
    """Ends a task whose result nobody waits for any more; no task may catch it."""


@contextmanager
def one_core() -> Iterator[None]:
    """Context manager in which torch, scikit-learn and BLAS use one thread.

    Short operations gain nothing by more, and results do not depend on how many there are. BLAS has
    one number for the whole process, which scikit-learn sets and restores as well: with this limit
    around them, threads that do cannot restore what another one has set.
    """
    with threadpools().limit(limits=1, user_api="blas"), at_most_threads(1):
        yield


def run_side_by_side(tasks: Sequence[Callable[[], T]], n_threads: int) -> list[T]:
    """Run tasks, which start in their order, and return their results.

    Parameters
    ----------
    tasks : sequence of callable
        They share nothing that any of them changes. `warnings.catch_warnings` is not for threads: it
        belongs around all of them.
    n_threads : int
        One runs them here, one after the other.

    Returns
    -------
    results : list

    Raises
    ------
    BaseException
        What the first task in the order raises that fails, or Ctrl-C. Tasks that run then are stopped
        at their next step in Python.
    """
    if n_threads == 1:
        with one_core():
            return [task() for task in tasks]
    workers, config = _Workers(), get_config()

    def run(task: Callable[[], T]) -> T:
        # The configuration of scikit-learn and OpenMP's numbers are a thread's own. A task is not
        # stopped while these are restored.
        with at_most_threads(1), config_context(**config), workers.at_work():
            return task()

    with one_core(), ThreadPoolExecutor(n_threads) as pool:
        try:
            futures = [pool.submit(copy_context().run, run, task) for task in tasks]
            return [_result(future) for future in futures]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            workers.stop()
            raise


def _result(future: Future[T]) -> T:
    while not future.done():
        wait([future], timeout=TICK)
    return future.result()


class _Workers:
    """Threads that work on tasks, and can be stopped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at_work: set[int] = set()
        self._stopped = False

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Context manager for the work of this thread, which may be stopped."""
        me = threading.get_ident()
        with self._lock:
            if self._stopped:
                raise CancelledError
            self._at_work.add(me)
        try:
            yield
        finally:
            with self._lock:
                self._at_work.discard(me)

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            for ident in self._at_work:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(ident), ctypes.py_object(_Stopped)
                )
