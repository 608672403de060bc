import threading
import time

import pytest
import torch

from skmpcc.system.chains import Chains


@pytest.mark.parametrize("n_workers", [1, 2, 3, 5])
def test_every_chain_does_its_steps_in_their_order(n_workers):
    done = [[], [], []]
    with Chains(n_workers) as chains:
        chains.run(lambda chain, step: done[chain].append(step), 3, 7)
        chains.run(lambda chain, step: done[chain].append(7 + step), 3, 2)
    assert done == [list(range(9))] * 3


def test_chains_run_at_the_same_time_on_a_thread_each():
    both = threading.Barrier(2, timeout=30)
    n_threads = []

    def meet(chain, step):
        both.wait()
        n_threads.append(torch.get_num_threads())

    with Chains(2) as chains:
        chains.run(meet, 2, 3)
    assert n_threads == [1] * 6


def test_the_chain_that_is_furthest_behind_is_next():
    """While one worker is held up, the other takes turns with what is left."""
    others_are_done, done = threading.Event(), []

    def note(chain, step):
        if chain == 0 and step == 0:
            others_are_done.wait(timeout=30)
        done.append((chain, step))
        if done[-1] == (2, 3):
            others_are_done.set()

    with Chains(2) as chains:
        chains.run(note, 3, 4)
    assert done[:8] == [(chain, step) for step in range(4) for chain in (1, 2)]
    assert done[8:] == [(0, step) for step in range(4)]


@pytest.mark.parametrize("n_workers", [1, 2])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_errors_are_raised_and_end_the_others(n_workers, error):
    done = []

    def fail(chain, step):
        if chain == 1 and step == 2:
            raise error
        done.append(step)
        time.sleep(0.001)

    with Chains(n_workers) as chains, pytest.raises(error):
        chains.run(fail, 2, 1000)
    assert len(done) < 2000


def test_no_thread_stays():
    before = threading.active_count()
    with Chains(2) as chains:
        chains.run(lambda chain, step: None, 2, 2)
    assert threading.active_count() == before
