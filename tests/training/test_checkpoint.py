"""Fits that are interrupted, and go on from their checkpoint."""

import errno
import os
import pickle
import warnings
from contextlib import contextmanager

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.base import clone
from support import BRIEF, assert_same_fit, bars, slow

from skmpcc import AIM, VAE, MPCCClassifier, MPCCClusterer, VaDEClusterer
from skmpcc.method.trainer import Trainer
from skmpcc.pseudo_labels.augmentation import random_affine
from skmpcc.training import checkpoint as _checkpoint
from skmpcc.training.fit import Fit, Seeds
from skmpcc.training.initialization import Initialization
from skmpcc.training.loop import DivergedError

# Entries of the history at every third iteration, pseudo-labels from a search and consistency.
SHORT = {"max_iter": 12, "width": 8, "latent_dim": 4, "tol": 0.0, "random_state": 0}


@pytest.fixture(autouse=True)
def written_at_once(monkeypatch):
    """Write after every iteration."""
    monkeypatch.setattr(_checkpoint, "SECONDS", 0.0)
    monkeypatch.setattr(_checkpoint, "SHARE", np.inf)
    monkeypatch.setattr("skmpcc.training.loop.N_INTERVALS", 4)
    monkeypatch.setattr(os, "fsync", lambda file: None)  # but where it is what fails
    # Whether a training has converged is not what is looked at.
    warnings.simplefilter("ignore")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "fit.ckpt"


@contextmanager
def interrupted_before(monkeypatch, *stops, error=KeyboardInterrupt):
    """Within, trainings are interrupted before these iterations, in this order."""
    iteration, left = Trainer.iteration, list(stops)

    def interrupted(self, *draws, **options):
        if left[:1] == [self.n_iter]:
            left.pop(0)
            raise error
        return iteration(self, *draws, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "iteration", interrupted)
        yield
    assert not left


def fits(blobs):
    X, y = blobs
    some = np.where(np.arange(len(y)) < 20, y, -1)
    images = bars()[0].numpy()
    return {
        "table": (MPCCClusterer(3, **SHORT), X),
        "search": (MPCCClusterer(3, pseudo_labels="spectral", weights="learned", **SHORT), X),
        "images": (MPCCClusterer(2, **SHORT), images),
        "n_init": (MPCCClusterer(3, n_init=3, **SHORT), X),
        # The first is the best, and its empty clusters are numbered anew in place.
        "n_init of images": (MPCCClusterer(9, n_init=2, **SHORT | {"random_state": 1}), images),
        "classifier": (MPCCClassifier(**SHORT), X, some),
        "AIM": (AIM(**SHORT), X),
        "VAE": (VAE(**SHORT), X),
        "VaDE": (VaDEClusterer(3, pseudo_labels="spectral", weights="learned", **SHORT), X),
        "VaDE of images": (VaDEClusterer(2, **SHORT), images),
    }


KINDS = [
    "table",
    "search",
    "images",
    "n_init",
    slow("n_init of images"),
    "classifier",
    "AIM",
    "VAE",
    "VaDE",
    "VaDE of images",
]


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupted_fit_goes_on_as_if_it_had_not_been(kind, blobs, path, monkeypatch):
    estimator, *data = fits(blobs)[kind]
    expected = clone(estimator).fit(*data)
    estimator.set_params(checkpoint=path)
    before = dict(vars(estimator))
    stops = (2, 5, 5, 10)
    if "n_init" in kind:  # the last is in the second initialization
        stops = (5, 10, 4)
    with interrupted_before(monkeypatch, *stops):
        for n_iter in stops:
            with pytest.raises(KeyboardInterrupt):
                estimator.fit(*data)
            assert vars(estimator) == before
            assert path.exists(), n_iter
        estimator.fit(*data)
    assert_same_fit(estimator, expected)
    assert os.listdir(path.parent) == []


def test_pseudo_labels_are_not_found_again(blobs, path, monkeypatch):
    X = blobs[0]
    expected = MPCCClusterer(3, **SHORT).fit(X)
    clusterer = MPCCClusterer(3, checkpoint=path, **SHORT)
    with interrupted_before(monkeypatch, 0), pytest.raises(KeyboardInterrupt):
        clusterer.fit(X)
    monkeypatch.setattr("skmpcc.training.initialization.find_pseudo_labels", None)
    assert_same_fit(clusterer.fit(X), expected)


@pytest.mark.parametrize("taught", [False, True])
def test_classifiers_of_images_go_on(taught, path, monkeypatch):
    images, y = bars()
    monkeypatch.setattr("skmpcc.pseudo_labels.finders.images.IMAGE_MAX_ITER", 6)
    monkeypatch.setattr("skmpcc.pseudo_labels.finders.images.N_IMAGE_RESTARTS", 2)
    monkeypatch.setattr("skmpcc.pseudo_labels.finders.images.BLOCK", 2)
    estimator, data = MPCCClusterer(2, **BRIEF | {"pseudo_labels": "augmentation"}), (images.numpy(),)
    if taught:
        estimator = MPCCClassifier(**BRIEF | {"pseudo_labels": "augmentation"})
        data += (np.where(np.arange(len(y)) < 20, y, -1),)
    estimator.set_params(random_state=0)
    expected = clone(estimator).fit(*data)

    views, seen = "skmpcc.pseudo_labels.finders.images.random_affine", []

    def interrupted(*args):
        seen.append(args)
        if len(seen) in (5, 8):
            raise KeyboardInterrupt
        return random_affine(*args)

    monkeypatch.setattr(views, interrupted)
    estimator.set_params(checkpoint=path)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            estimator.fit(*data)
    monkeypatch.setattr(views, random_affine)
    assert_same_fit(estimator.fit(*data), expected)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_finished_initializations_are_not_run_again(n_jobs, blobs, path, monkeypatch):
    X = blobs[0]
    parameters = BRIEF | {"n_init": 3, "random_state": 0}
    expected = MPCCClusterer(3, **parameters).fit(X)
    clusterer = MPCCClusterer(3, n_jobs=n_jobs, checkpoint=path, **parameters)
    ready, run, n_runs = Fit.ready_for_use, Initialization.run, []

    def interrupted_at_last(self, data, trained, seeds):
        if seeds == self.seeds[2]:
            raise KeyboardInterrupt
        return ready(self, data, trained, seeds)

    monkeypatch.setattr(Initialization, "run", lambda *args: n_runs.append(1) or run(*args))
    with monkeypatch.context() as patched, parallel_config("threading"):
        patched.setattr(Fit, "ready_for_use", interrupted_at_last)
        with pytest.raises(KeyboardInterrupt):
            clusterer.fit(X)
    assert len(n_runs) == 3
    assert_same_fit(clusterer.fit(X), expected)
    assert len(n_runs) == 3


def test_a_fit_that_diverges_leaves_no_checkpoint(blobs, path):
    clusterer = MPCCClusterer(3, n_init=2, checkpoint=path, **BRIEF | {"learning_rate": 1e38})
    with pytest.raises(FloatingPointError, match="learning_rate"):
        clusterer.fit(blobs[0])
    assert not path.exists()


def test_diverged_initializations_are_not_run_again(blobs, path, monkeypatch):
    run, n_runs = Initialization.run, []

    def first_diverges(*args):
        n_runs.append(1)
        if len(n_runs) == 1:
            raise DivergedError
        return run(*args)

    monkeypatch.setattr(Initialization, "run", first_diverges)
    clusterer = MPCCClusterer(3, n_init=3, checkpoint=path, random_state=0, **BRIEF)
    with interrupted_before(monkeypatch, 1), pytest.raises(KeyboardInterrupt):
        clusterer.fit(blobs[0])
    assert clusterer.fit(blobs[0]).n_iter_ == 3
    # The diverged one, the second twice, the third.
    assert len(n_runs) == 4


def test_weights_are_rounded_as_before(blobs, path, monkeypatch):
    """Also without a `random_state`; other weights are an error."""
    X, weights = blobs[0], np.linspace(0.1, 2.0, len(blobs[0]))
    clusterer = MPCCClusterer(3, checkpoint=path, **SHORT | {"random_state": None})
    with interrupted_before(monkeypatch, 7), pytest.raises(KeyboardInterrupt):
        clusterer.fit(X, sample_weight=weights)
    with pytest.raises(ValueError, match="of another fit: sample_weight was 'float64 of shape"):
        clusterer.fit(X, sample_weight=weights[::-1])
    with pytest.raises(ValueError, match=r"of another fit: sample_weight was 'float64 .*is None"):
        clusterer.fit(X)
    assert clusterer.fit(X, sample_weight=list(weights)).random_state is None
    assert not path.exists()


def test_without_a_random_state_the_first_seeds_stay(blobs, path, monkeypatch):
    clusterer = MPCCClusterer(3, checkpoint=path, **SHORT | {"random_state": None})
    draw, seeds = Seeds.draw, []
    monkeypatch.setattr(Seeds, "draw", lambda *args: seeds.append(draw(*args)) or seeds[-1])
    with interrupted_before(monkeypatch, 7), pytest.raises(KeyboardInterrupt):
        clusterer.fit(blobs[0])
    clusterer.fit(blobs[0])
    assert seeds[0] == seeds[1]
    clusterer.fit(blobs[0])
    assert seeds[0] != seeds[2]


OTHERS = {
    "max_iter": ({"max_iter": 13}, "max_iter was 12 and is 13"),
    "n_clusters": ({"n_clusters": 4}, "n_clusters was 3 and is 4"),
    "preset_params": ({"preset_params": {"min_std": 0.2}}, "preset_params.min_std was not given and is"),
    "random_state": ({"random_state": 1}, "random_state was 0 and is 1"),
    "n_init": ({"n_init": 2}, "n_init was 1 and is 2"),
}


@pytest.fixture
def interrupted(blobs, path, monkeypatch):
    """A clusterer whose fit was interrupted."""
    clusterer = MPCCClusterer(3, checkpoint=path, **SHORT)
    with interrupted_before(monkeypatch, 7), pytest.raises(KeyboardInterrupt):
        clusterer.fit(blobs[0])
    return clusterer


@pytest.mark.parametrize("name", OTHERS)
def test_other_parameters_are_an_error(name, interrupted, blobs, path):
    changed, text = OTHERS[name]
    before = path.read_bytes()
    with pytest.raises(ValueError, match=text) as caught:
        clone(interrupted).set_params(**changed).fit(blobs[0])
    assert str(path) in str(caught.value)
    assert "delete the file" in str(caught.value)
    assert path.read_bytes() == before


def test_other_data_are_an_error(interrupted, blobs, path):
    X = blobs[0]
    other = X.copy()
    other[-1, -1] = np.nextafter(other[-1, -1], np.inf)
    for each in (other, X[:-1], X.astype(np.float32)):
        with pytest.raises(ValueError, match=r"of another fit: X was 'float64 of shape \(200, 4\) with"):
            interrupted.fit(each)
    # These are no other data.
    interrupted.set_params(verbose=0, checkpoint=str(path)).fit(X.tolist())


def test_other_labels_and_other_models_are_errors(blobs, path, monkeypatch):
    X, y = blobs
    classifier = MPCCClassifier(checkpoint=path, **SHORT)
    with interrupted_before(monkeypatch, 7), pytest.raises(KeyboardInterrupt):
        classifier.fit(X, y)
    with pytest.raises(ValueError, match="of another fit: y was 'int64 of shape"):
        classifier.fit(X, np.roll(y, 1))
    with pytest.raises(
        ValueError, match=r"of another fit: .*estimator was 'MPCCClassifier' and is 'AIM'"
    ):
        AIM(checkpoint=path, max_iter=12).fit(X)
    path.unlink()
    first, second = (
        MPCCClusterer(3, warm_start=True, **BRIEF, random_state=seed).fit(X).set_params(random_state=0)
        for seed in (0, 1)
    )
    expected = pickle.loads(pickle.dumps(first)).fit(X)
    first.set_params(checkpoint=path)
    with interrupted_before(monkeypatch, 2), pytest.raises(KeyboardInterrupt):
        first.fit(X)
    with pytest.raises(ValueError, match=r"of another fit: warm_start\.\S+ was 'float"):
        second.set_params(checkpoint=path).fit(X)
    assert_same_fit(first.fit(X), expected)


def test_other_versions_are_an_error(interrupted, blobs, monkeypatch):
    found = _checkpoint.installed_versions() | {"torch": "1.0"}
    monkeypatch.setattr(_checkpoint, "installed_versions", lambda: found)
    with pytest.raises(ValueError, match=r"of another fit: torch was '.*' and is '1\.0'"):
        interrupted.fit(blobs[0])


def test_files_that_are_no_checkpoint_are_errors_and_stay(interrupted, fitted, blobs, path):
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    fitted.save(path)
    for content, why in (
        (bytes(damaged), "checksum"),
        (bytes(damaged[:-100]), ""),
        (b"", ""),
        (b"a,b\n1,2\n", ""),
        (path.read_bytes(), "holds an estimator"),
        (pickle.dumps(3), ""),
    ):
        path.write_bytes(content)
        message = f"is damaged or is not a checkpoint.*delete the file.*{why}"
        with pytest.raises(ValueError, match=message):
            interrupted.fit(blobs[0])
        assert path.read_bytes() == content
    with pytest.raises(ValueError, match="is not a checkpoint"):
        interrupted.set_params(checkpoint=path.parent).fit(blobs[0])


def no_space(*args):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("where", ["full disk", "below a file", "unwritable folder", "no memory of it"])
def test_a_fit_ends_well_where_nothing_can_be_written(where, blobs, tmp_path, monkeypatch):
    X, path = blobs[0], tmp_path / "fit.ckpt"
    expected = MPCCClusterer(3, **SHORT).fit(X)
    if where == "full disk":
        monkeypatch.setattr(os, "fsync", no_space)
    elif where == "below a file":
        (tmp_path / "file").touch()
        path = tmp_path / "file" / "fit.ckpt"
    elif where == "unwritable folder":
        if os.geteuid() == 0:
            pytest.skip("root may write anywhere")
        tmp_path.chmod(0o500)
    else:
        path = "/proc/none/fit.ckpt"
    with pytest.warns(RuntimeWarning, match=r"checkpoint='.*' could not be written: .*The fit goes on"):
        found = MPCCClusterer(3, checkpoint=path, **SHORT).fit(X)
    assert_same_fit(found, expected)
    tmp_path.chmod(0o700)
    assert [each.name for each in tmp_path.iterdir() if each.is_file()] in ([], ["file"])


def test_one_warning_for_all_writings(blobs, path, monkeypatch):
    monkeypatch.setattr(os, "fsync", no_space)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        MPCCClusterer(3, checkpoint=path, **SHORT).fit(blobs[0])
    assert [each.category for each in caught].count(RuntimeWarning) == 1


def test_a_checkpoint_stays_while_a_disk_is_full(blobs, path, monkeypatch):
    """The last one that was written, from which a later fit goes on."""
    X = blobs[0]
    clusterer = MPCCClusterer(3, checkpoint=path, **SHORT)
    with interrupted_before(monkeypatch, 7), pytest.raises(KeyboardInterrupt):
        clusterer.fit(X)
    before = path.read_bytes()
    with interrupted_before(monkeypatch, 9), monkeypatch.context() as full:
        full.setattr(os, "fsync", no_space)
        with pytest.raises(KeyboardInterrupt):
            clusterer.fit(X)
    assert path.read_bytes() == before
    assert_same_fit(clusterer.fit(X), MPCCClusterer(3, **SHORT).fit(X))


def test_an_interruption_while_writing_leaves_the_last_file(interrupted, blobs, path, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    before = path.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            interrupted.fit(blobs[0])
    assert path.read_bytes() == before
    # A killed process cannot clean up.
    (path.parent / f".{path.name}.part").write_bytes(b"half of it")
    assert_same_fit(interrupted.fit(blobs[0]), MPCCClusterer(3, **SHORT).fit(blobs[0]))
    assert os.listdir(path.parent) == []


def test_folders_are_made_and_links_are_followed(blobs, tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(tmp_path / "below" / "fit.ckpt")
    clusterer = MPCCClusterer(3, checkpoint=tmp_path / "link", **SHORT)
    with interrupted_before(monkeypatch, 7), pytest.raises(KeyboardInterrupt):
        clusterer.fit(blobs[0])
    assert os.listdir(tmp_path / "below") == ["fit.ckpt"]
    clusterer.fit(blobs[0])
    assert os.listdir(tmp_path / "below") == []


def test_intervals(path, monkeypatch):
    """Writing takes a small share of the time at most."""
    now, costs, written = 0.0, iter((0.1, 1.0, 1.0, 0.0, 0.0)), []

    def write(*args):
        nonlocal now
        written.append(now)
        now += next(costs)

    monkeypatch.setattr(_checkpoint, "SECONDS", 10.0)
    monkeypatch.setattr(_checkpoint, "SHARE", 0.02)
    monkeypatch.setattr(_checkpoint.time, "monotonic", lambda: now)
    monkeypatch.setattr(_checkpoint, "write_atomically", write)
    checkpoint = _checkpoint.Checkpoint(path, {})
    while now < 140.0:
        checkpoint.keep("stage", dict)
        now += 0.5
    np.testing.assert_allclose(written, [10.0, 20.5, 71.5, 122.5, 132.5], atol=0.5)


def test_a_path_is_a_parameter_like_others(fitted, path, tmp_path):
    with pytest.raises(ValueError, match="'checkpoint' parameter of MPCCClusterer must be"):
        MPCCClusterer(3, checkpoint=3).fit([[0.0], [1.0], [2.0]])
    kept = pickle.loads(pickle.dumps(fitted)).set_params(checkpoint=path)
    kept.save(tmp_path / "model")
    # A file has no say in what the next fit writes and deletes.
    assert MPCCClusterer.load(tmp_path / "model").checkpoint is None
