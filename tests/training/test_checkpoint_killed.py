"""A fit that is killed again and again goes on each time, and ends as if it had not been."""

import multiprocessing
import os
import random
import signal
import time
from ctypes import c_int

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from support import assert_same_fit, bars

from skmpcc import MPCCClusterer
from skmpcc.method.algorithm import Algorithm1
from skmpcc.pseudo_labels.finders import images
from skmpcc.training import checkpoint as _checkpoint
from skmpcc.training import initialization

MAX_ITER = 200
BEFORE, SEARCH, TRAINING, WRITING = range(4)
FITS = {
    "table": (3, {"pseudo_labels": "search", "weights": "learned"}),
    "images": (2, {"preset_params": {"batch_size": 32}}),
}


def fit(kind, checkpoint, result, phase, n_iter):
    """Fit in a process of its own, that tells where it is."""
    # Write after every iteration, and slowly, so that some of the killing is done meanwhile.
    _checkpoint.SECONDS, _checkpoint.SHARE = 0.0, np.inf
    images.IMAGE_MAX_ITER, images.N_IMAGE_RESTARTS = 40, 2
    search, fsync, iteration = initialization.find_pseudo_labels, os.fsync, Algorithm1.iteration

    def told_search(*args):
        phase.value = SEARCH
        found = search(*args)
        # Longer than the longest wait for a kill, which so falls into the search, however fast that is.
        time.sleep(0.5)
        phase.value = TRAINING
        return found

    def told_fsync(file):
        before, phase.value = phase.value, WRITING
        time.sleep(0.005)
        fsync(file)
        phase.value = before

    def told_iteration(self, *draws, **options):
        n_iter.value = self.n_iter
        return iteration(self, *draws, **options)

    initialization.find_pseudo_labels = told_search
    os.fsync = told_fsync
    Algorithm1.iteration = told_iteration
    n_clusters, parameters = FITS[kind]
    X = make_blobs(200, 4, centers=3, random_state=0)[0] if kind == "table" else bars()[0].numpy()
    parameters = parameters | {"max_iter": MAX_ITER, "tol": 0.0, "width": 8, "random_state": 0}
    MPCCClusterer(n_clusters, checkpoint=checkpoint, **parameters).fit(X).save(result)


def moments():
    """Twenty of them: phase, iteration from which on, and seconds to wait then."""
    drawn = random.Random(0)
    yield from ((BEFORE, 0, drawn.uniform(0, 0.1)) for _ in range(2))
    yield from ((SEARCH, 0, drawn.uniform(0, 0.2)) for _ in range(5))
    at = sorted(drawn.sample(range(8 * MAX_ITER // 10), 13))
    yield from ((drawn.choice([TRAINING, WRITING]), n_iter, drawn.uniform(0, 0.01)) for n_iter in at)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FITS)
def test_a_fit_that_is_killed_twenty_times(kind, tmp_path):
    # Processes that start at once, from one that has imported all and computed nothing.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["skmpcc", __name__])

    def start(checkpoint, result):
        shared = context.Value(c_int, BEFORE, lock=False), context.Value(c_int, -1, lock=False)
        process = context.Process(target=fit, args=(kind, checkpoint, result, *shared))
        process.start()
        return process, *shared

    process, *_ = start(None, tmp_path / "unbroken")
    process.join()
    path, result = tmp_path / "fit.ckpt", tmp_path / "result"
    seen = []
    for wanted, from_iter, delay in moments():
        process, phase, n_iter = start(path, result)
        while process.is_alive() and not (
            phase.value == wanted if wanted < TRAINING else n_iter.value >= from_iter
        ):
            time.sleep(0.001)
        while process.is_alive() and wanted == WRITING and phase.value != WRITING:
            time.sleep(0.0005)
        time.sleep(delay)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        seen.append((phase.value, n_iter.value, (tmp_path / ".fit.ckpt.part").exists()))
    process, _, n_iter = start(path, result)
    process.join()
    assert process.exitcode == 0
    # Kills did fall into the search, into the training and into the writing, and each time it went on.
    assert {SEARCH, WRITING} <= {phase for phase, *_ in seen}, seen
    assert any(unfinished for *_, unfinished in seen), seen
    assert any(unfinished and n_iter > 0 for _, n_iter, unfinished in seen), seen
    assert seen[-1][1] > MAX_ITER / 2
    assert sorted(os.listdir(tmp_path)) == ["result", "unbroken"]
    assert_same_fit(*map(MPCCClusterer.load, (result, tmp_path / "unbroken")))
