"""Chains of work side by side in threads: each in its order, and the one furthest behind first."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Self

from skmpcc.system.devices import at_most_threads

# Does a step of a chain, given the numbers of both.
DoStep = Callable[[int, int], None]


class Chains:
    """Context manager that runs chains of steps in threads, and has them end with it.

    Steps that let go of Python's lock, as torch's operations do, run at the same time. Each of them has
    one thread for its operations, so that what it does depends on nothing beside it.

    Parameters
    ----------
    n_workers : int
        Steps at a time, at most. A single one needs no thread.
    """

    def __init__(self, n_workers: int) -> None:
        self.n_workers = n_workers
        self._pool = ThreadPoolExecutor(n_workers) if n_workers > 1 else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def run(self, do_step: DoStep, n_chains: int, n_steps: int) -> None:
        """Do all steps of all chains; an error of one of them is raised when the others have ended.

        Parameters
        ----------
        do_step : callable
            Does the step of a chain, given the numbers of both.
        n_chains, n_steps : int
        """
        if self._pool is None or n_chains == 1:
            for step in range(n_steps):
                for chain in range(n_chains):
                    do_step(chain, step)
            return
        turns = _Turns(n_chains, n_steps)
        n_workers = min(self.n_workers, n_chains)
        workers = [self._pool.submit(turns.work, do_step) for _ in range(n_workers)]
        try:
            for worker in workers:
                worker.result()
        except BaseException:
            # Also where the user interrupts, who should not wait for more than the steps under way.
            turns.is_over = True
            raise


class _Turns:
    """Whose turn it is."""

    def __init__(self, n_chains: int, n_steps: int) -> None:
        self.n_steps = n_steps
        self.is_over = False
        self._n_done = [0] * n_chains
        self._waiting = set(range(n_chains))
        self._lock = threading.Lock()

    def _next(self) -> int | None:
        """Take the chain that is furthest behind of those that nobody works on."""
        with self._lock:
            unfinished = [chain for chain in self._waiting if self._n_done[chain] < self.n_steps]
            if self.is_over or not unfinished:
                # Other workers have what is left.
                return None
            chain = min(unfinished, key=lambda chain: (self._n_done[chain], chain))
            self._waiting.remove(chain)
            return chain

    def work(self, do_step: DoStep) -> None:
        """Do steps as long as there are any."""
        with at_most_threads(1):
            while (chain := self._next()) is not None:
                do_step(chain, self._n_done[chain])
                with self._lock:
                    self._n_done[chain] += 1
                    self._waiting.add(chain)
