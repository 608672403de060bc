"""What several processes do in tests: `launch` starts them, and this file is what they run.

Each process writes what it found to a file of its own.
"""

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import warnings
from pathlib import Path

TESTS = Path(__file__).parent


def environment():
    paths = [TESTS.parent, TESTS, TESTS / "engine", os.environ.get("PYTHONPATH", "")]
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("TORCHELASTIC", "PYTEST"))}
    return inherited | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(map(str, paths))}


def launch(n, name, folder, *arguments):
    """Run the function `name` in `n` processes by torchrun; what each found."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n}"]
    command = [*torchrun, __file__, name, str(folder), *map(str, arguments)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = [json.loads((folder / f"{rank}.json").read_text()) for rank in range(n)]
    return found, done.stdout


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def start(n, name, folder):
    """Start `n` processes without torchrun, which would end all if one ends."""
    world = {"WORLD_SIZE": str(n), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    return [
        subprocess.Popen(
            [sys.executable, __file__, name, str(folder)],
            env=environment() | world | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(n)
    ]


def fork(n, name, folder, *arguments):
    """Run the function `name` in `n` children of this process, which import nothing; what each found."""
    context = multiprocessing.get_context("fork")
    world = {"WORLD_SIZE": str(n), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    ranks = [world | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(n)]
    # Others are taken for workers of joblib, which train alone.
    children = [
        context.Process(target=_in_a_child, args=(each, name, folder, *arguments), name="MainProcess")
        for each in ranks
    ]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0] * n
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(n)]


def _in_a_child(variables, *arguments):
    sys.path.append(str(TESTS / "engine"))
    os.environ.update(variables)
    write(*arguments)


# ---- In the processes


def iterations(*cases):
    """Iterations by one process in plain torch beside those by all, in double precision."""
    import torch
    from support import resolved
    from test_fast import BASE, CASES

    from skmpcc.engine.distributed import DistributedAlgorithm1
    from skmpcc.method.algorithm import Algorithm1
    from skmpcc.method.model import MPCCModel
    from skmpcc.settings import NetworkSettings
    from skmpcc.system.processes import Processes

    processes = Processes.join("auto", torch.device("cpu"))

    def run(shape, network, training, kind, *more):
        """Losses and state after some iterations that see labels, and some that do not."""
        settings = resolved(shape, supervised_iter=2, **training)
        model = MPCCModel(NetworkSettings(**BASE | network), shape, 3, 0).double()
        algorithm = kind(model, settings, torch.Generator().manual_seed(1), *more)
        rows = algorithm.share.rows if more else slice(None)
        rng = torch.Generator().manual_seed(2)

        def draw_real():
            x = torch.randn((settings.batch_size, *shape), generator=rng, dtype=torch.float64)
            y = torch.randint(3, (len(x),), generator=rng)
            return x[rows], y[rows]

        def draw_pairs():
            (x, y), (other, other_y) = draw_real(), draw_real()
            return x, other, y, other_y

        losses = []
        for _ in range(4):
            step = algorithm.iteration(draw_real, draw_pairs)
            losses.append(algorithm.measured(step))
        return losses, model.state_dict()

    for case in cases:
        shape, network, training = CASES[case]
        # No number of processes divides it, so that shares differ.
        wanted = {"max_iter": 4, "batch_size": 15, "ema_start": 0, "learning_rate": 1e-2}
        training = wanted | {"consistency_weight": 0.5} | training
        found = run(shape, network, training, DistributedAlgorithm1, processes)
        expected = run(shape, network, training, Algorithm1)
        # Adam blows rounding up where gradients are nothing else.
        for steps in zip(found[0], expected[0], strict=True):
            torch.testing.assert_close(*steps, rtol=1e-7, atol=1e-7)
        for key, value in expected[1].items():
            torch.testing.assert_close(found[1][key], value, rtol=1e-6, atol=1e-6, msg=f"{case}: {key}")
        state = torch.cat([value.double().flatten() for value in found[1].values()])
        everyone = processes.gather(state)
        assert (everyone == everyone[0]).all(), case
    return {"cases": len(cases), "rank": processes.rank, "size": processes.size}


def variational_iterations():
    """Iterations of VaDE by one process beside those by all, in double precision."""
    import torch

    from skmpcc.engine.distributed import DistributedVariational
    from skmpcc.method.variational import VaDEModel, VariationalTraining
    from skmpcc.settings import NetworkSettings, VariationalSettingsOnData
    from skmpcc.system.processes import Processes

    processes = Processes.join("auto", torch.device("cpu"))
    networks = NetworkSettings(
        latent_dim=3,
        conditioning="embedding",
        width=8,
        encoder_spectral_norm=False,
        generator_spectral_norm=False,
        min_std=0.1,
    )
    settings = VariationalSettingsOnData(
        max_iter=4,
        # No number of processes divides it, so that shares differ.
        batch_size=15,
        learning_rate=1e-2,
        ema_start=0,
        noise_std=0.1,
        consistency_weight=0.5,
        weights="learned",
        supervised_iter=2,
        total_variance=5.0,
    )

    def run(shape, kind, *more):
        model = VaDEModel(networks, shape, 3, 0).double()
        algorithm = kind(model, settings, torch.Generator().manual_seed(1), *more)
        rows = algorithm.share.rows if more else slice(None)
        rng = torch.Generator().manual_seed(2)

        def draw_pairs():
            x, other = torch.randn((2, 15, *shape), generator=rng, dtype=torch.float64)
            y = torch.randint(3, (15,), generator=rng)[rows]
            return x[rows], other[rows], y, y

        losses = [algorithm.measured(algorithm.iteration(None, draw_pairs)) for _ in range(4)]
        return losses, model.state_dict()

    for shape in ((5,), (1, 8, 8)):
        found = run(shape, DistributedVariational, processes)
        expected = run(shape, VariationalTraining)
        for steps in zip(found[0], expected[0], strict=True):
            torch.testing.assert_close(*steps, rtol=1e-7, atol=1e-7)
        for key, value in expected[1].items():
            torch.testing.assert_close(found[1][key], value, rtol=1e-6, atol=1e-6, msg=key)
    return {"rank": processes.rank}


def fit(name, parameters, digits=False):
    """A fit, and what tells whether it is the same in another process."""
    import joblib
    import numpy as np
    import torch
    from sklearn.datasets import load_digits, make_blobs

    import skmpcc

    if digits:
        X, y = load_digits(n_class=3, return_X_y=True)
        X, y = X[:120].reshape(-1, 8, 8), y[:120]
    else:
        X, y = make_blobs(200, 4, centers=3, random_state=0)
    estimator = getattr(skmpcc, name)(distributed="auto", **json.loads(parameters))
    before = torch.get_rng_state()
    if name == "MPCCClassifier":
        estimator.fit(X, np.where(np.arange(len(y)) % 4, -1, y))
    else:
        estimator.fit(X)
    assert torch.equal(torch.get_rng_state(), before)
    model = estimator._fitted.model
    kept = {k: v for k, v in vars(estimator).items() if k.endswith("_")}
    return {
        "labels": estimator.predict(X).tolist(),
        "digest": joblib.hash([kept, [v.numpy() for v in model.state_dict().values()]]),
        "iterations": estimator.n_iter_,
        "score": float(estimator.score(X)) if name == "MPCCClusterer" else None,
    }


def qualities():
    """Agreement of fits of five seeds with known classes, and what their codes lose of the data."""
    from sklearn.datasets import load_wine
    from sklearn.metrics import adjusted_rand_score
    from sklearn.preprocessing import scale
    from support import QUICK

    from skmpcc import MPCCClusterer

    X, y = load_wine(return_X_y=True)
    X = scale(X)
    agreement, lost = [], []
    for seed in range(5):
        changes = {"max_iter": 200, "pseudo_labels": "gaussian_mixture", "random_state": seed}
        fitted = MPCCClusterer(3, distributed="auto", **QUICK | changes).fit(X)
        agreement.append(adjusted_rand_score(y, fitted.labels_))
        lost.append(float(((fitted.reconstruct(X) - X) ** 2).mean()))
    return {"agreement": agreement, "lost": lost}


def refusals():
    """What cannot be fitted together is an error in all processes, and the next fit is not disturbed."""
    import numpy as np
    import torch.distributed as dist
    from sklearn.base import clone
    from sklearn.datasets import make_blobs
    from support import BRIEF

    from skmpcc import MPCCClusterer

    X, _ = make_blobs(60, 4, centers=3, random_state=0)
    clusterer = MPCCClusterer(3, distributed="auto", random_state=None, **BRIEF)
    assert not dist.is_initialized()
    by_itself = MPCCClusterer(3, random_state=0, **BRIEF).fit(X)
    assert not dist.is_initialized()
    said = []
    own = np.concatenate([X, X[: int(os.environ["RANK"])]])
    small = MPCCClusterer(3, distributed="auto", preset_params={"batch_size": 3}, **BRIEF)
    for wrong, data in ((clusterer, own), (small, X)):
        try:
            wrong.fit(data)
        except ValueError as error:
            said.append(str(error))

    class Own(Exception):
        def __init__(self, one, two):
            super().__init__(f"{one} {two}")

    class Stopping:
        def __init__(self, error):
            self.error = error

        def setup(self, estimator, context): ...
        def teardown(self, estimator, context): ...
        def on_fit_task_begin(self, estimator, context): ...
        def on_fit_task_end(self, estimator, context):
            raise self.error

    # One that a pickle makes again, one of a class that is known here alone, one that holds a file.
    with open(os.devnull) as file:
        for error in (KeyError("of the first process"), Own("no", "pickle"), ValueError(file)):
            stopped = clone(clusterer).set_callbacks(Stopping(error))
            try:
                stopped.fit(X)
            except Exception as raised:
                said.append(f"{type(raised).__name__}: {raised}")
            assert not hasattr(stopped, "labels_")
    # Warnings that are errors, of the fit's end, are errors in all, too.
    unsettled = clone(clusterer).set_params(tol=1e-9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            unsettled.fit(X)
        except UserWarning as raised:
            said.append(f"{type(raised).__name__}: {raised}")
    assert not hasattr(unsettled, "labels_")
    clusterer.fit(X)
    return {"said": said, "means": clusterer.means_.tolist(), "alone": by_itself.means_.tolist()}


def resumed(folder):
    """A fit that ends in an error and goes on from its checkpoint, which the first process alone has."""
    from sklearn.datasets import make_blobs
    from support import QUICK, Interrupting

    from skmpcc import MPCCClusterer
    from skmpcc.training import checkpoint as _checkpoint

    _checkpoint.SECONDS = _checkpoint.SHARE = 1e-9
    X, _ = make_blobs(60, 4, centers=3, random_state=0)
    clusterer = MPCCClusterer(
        3, distributed="auto", n_init=2, random_state=0, **QUICK | {"max_iter": 20}
    )
    unbroken = clusterer.fit(X).means_.tolist()
    kept = Path(folder) / f"kept-by-{os.environ['RANK']}"
    clusterer.set_params(checkpoint=kept)
    try:
        clusterer.set_callbacks(Interrupting(KeyError("here"))).fit(X)
    except KeyError:
        left = kept.exists()
    resumed = clusterer.set_callbacks().fit(X).means_.tolist()
    return {"left": left, "same": resumed == unbroken, "removed": not kept.exists()}


def killed():
    """A fit in which the last process is killed in the midst of an iteration."""
    from sklearn.datasets import make_blobs
    from support import BRIEF

    from skmpcc import MPCCClusterer
    from skmpcc.engine.distributed import DistributedAlgorithm1

    step = DistributedAlgorithm1._step
    n_steps = 0

    def kill(self, *optimizers):
        nonlocal n_steps
        n_steps += 1
        if n_steps == 20 and self.processes.rank == self.processes.size - 1:
            os.kill(os.getpid(), signal.SIGKILL)
        step(self, *optimizers)

    DistributedAlgorithm1._step = kill
    X, _ = make_blobs(60, 4, centers=3, random_state=0)
    MPCCClusterer(3, distributed="auto", **BRIEF | {"max_iter": 100}).fit(X)
    return {}


def write(name, folder, *arguments):
    """Write what the function found."""
    warnings.simplefilter("ignore")
    result = globals()[name](*arguments)
    (Path(folder) / f"{os.environ['RANK']}.json").write_text(json.dumps(result))


if __name__ == "__main__":
    write(*sys.argv[1:])
