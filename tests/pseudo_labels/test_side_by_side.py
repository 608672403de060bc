import _thread
import signal
import threading
import time
import warnings
from contextvars import ContextVar

import pytest
import torch
from sklearn import config_context, get_config
from threadpoolctl import threadpool_info, threadpool_limits

from skmpcc.pseudo_labels import side_by_side
from skmpcc.pseudo_labels.side_by_side import run_side_by_side

# Seconds after which a task ends that nobody stops.
LONG = 60.0


def blas_threads():
    return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}


class Endless:
    """A task that ends when it is stopped, and tells that it was."""

    def __init__(self):
        self.began, self.ended = threading.Event(), threading.Event()
        self.stopped = False

    def __call__(self):
        self.began.set()
        end = time.monotonic() + LONG
        try:
            while time.monotonic() < end:
                time.sleep(0.001)
        except BaseException:
            self.stopped = True
            raise
        finally:
            self.ended.set()


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_results_are_in_the_order_of_the_tasks(n_threads):
    def task(i):
        time.sleep(0.001 * (7 - i))
        return i

    assert run_side_by_side([lambda i=i: task(i) for i in range(7)], n_threads) == list(range(7))


def test_one_thread_is_that_of_the_caller(monkeypatch):
    monkeypatch.setattr(side_by_side, "ThreadPoolExecutor", None)
    assert run_side_by_side([threading.get_ident] * 3, 1) == [threading.get_ident()] * 3


def test_tasks_run_at_the_same_time():
    meeting = threading.Barrier(3)
    assert sorted(run_side_by_side([lambda: meeting.wait(LONG)] * 3, 3)) == [0, 1, 2]


@pytest.mark.parametrize("n_threads", [1, 2])
def test_each_task_has_one_core_and_all_numbers_come_back(n_threads):
    numbers = torch.get_num_threads()
    with threadpool_limits(2, user_api="blas"):
        assert blas_threads() == {2}
        for _ in range(3):
            # scikit-learn sets and restores the number of BLAS as well, in one thread after the other.
            def task():
                for _ in range(20):
                    with threadpool_limits(1, user_api="blas"):
                        time.sleep(0.0001)
                return blas_threads()

            assert run_side_by_side([task] * 6, n_threads) == [{1}] * 6
            assert blas_threads() == {2}
    assert torch.get_num_threads() == numbers


@pytest.mark.parametrize("n_threads", [1, 2])
def test_tasks_have_the_settings_of_the_caller(n_threads):
    variable = ContextVar("variable")
    variable.set("known")
    with config_context(working_memory=77):
        found = run_side_by_side(
            [lambda: (get_config()["working_memory"], variable.get())] * 3, n_threads
        )
    assert found == [(77, "known")] * 3


def test_the_first_error_in_the_order_surfaces_and_stops_the_others():
    others = [Endless() for _ in range(5)]

    def fail():
        assert others[0].began.wait(LONG)
        raise ArithmeticError("first")

    with pytest.raises(ArithmeticError, match="first"):
        run_side_by_side([fail, *others], 2)
    assert others[0].stopped
    # Nothing is begun any more but by the thread that failed, before anybody knows.
    assert sum(each.began.is_set() for each in others) <= 2
    assert all(each.stopped for each in others if each.began.is_set())


def test_ctrl_c_stops_all_tasks():
    """It arrives in the main thread, which waits; where tests run in the background it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    tasks = [Endless(), Endless()]

    def interrupt():
        assert all(task.began.wait(LONG) for task in tasks)
        _thread.interrupt_main()
        return Endless()()

    try:
        with pytest.raises(KeyboardInterrupt):
            run_side_by_side([*tasks, interrupt], 3)
    finally:
        signal.signal(signal.SIGINT, before)
    assert all(task.ended.is_set() and task.stopped for task in tasks)


def test_filters_of_warnings_come_back_after_threads_that_change_them():
    """As scikit-learn does whenever it checks an array."""

    def task():
        for _ in range(50):
            with warnings.catch_warnings():
                warnings.simplefilter("error", ResourceWarning)
                time.sleep(0.0001)

    filters, before = warnings.filters, list(warnings.filters)
    with warnings.catch_warnings():
        run_side_by_side([task] * 4, 4)
    assert warnings.filters is filters
    assert list(filters) == before
