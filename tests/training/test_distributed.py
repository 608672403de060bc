"""Fits by several processes, which torchrun launches."""

import json

import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score
from support import BRIEF, QUICK
from together import fit, fork, launch, qualities, start

from skmpcc import MPCCClusterer
from skmpcc.system.processes import ALONE, Processes

CASES = ["default", "images"]
MORE_CASES = [
    "split",
    "noise",
    "learned weights",
    "reconstruction by the encoder",
    "images, split",
    "two trunks",
]
TABLE = QUICK | {"n_clusters": 3, "random_state": 0}


def test_shares_make_up_the_batch():
    for n, size in ((15, 2), (16, 4), (50, 7)):
        shares = [Processes(rank, size).share(n) for rank in range(size)]
        rows = torch.arange(3 * n).view(-1, 1)
        assert torch.equal(torch.cat([rows[:n][share.rows] for share in shares]), rows[:n])
        assert sum(share.weight for share in shares) == pytest.approx(1.0)
        assert max(shares[0].sizes) - min(shares[0].sizes) <= 1
        # Of several batches at once, the same part of each.
        own = torch.cat([batch[shares[1].rows] for batch in rows.split(n)])
        assert torch.equal(shares[1].take(rows), own)


def test_too_small_shares_are_an_error():
    with pytest.raises(ValueError, match=r"batch_size=7 .* >= 8, two samples for each of 4 processes"):
        Processes(0, 4).share(7)


def test_a_process_by_itself_is_alone(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    cpu = torch.device("cpu")
    assert Processes.join("auto", cpu) == ALONE
    monkeypatch.setenv("RANK", "0")
    assert Processes.join("auto", cpu) == ALONE
    for name, value in (("WORLD_SIZE", "1"), ("MASTER_ADDR", "localhost"), ("MASTER_PORT", "1")):
        monkeypatch.setenv(name, value)
    assert Processes.join("auto", cpu) == ALONE
    # Who is told of others, and asked not to care.
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert Processes.join(None, cpu) == ALONE


def test_other_values_are_an_error(blobs):
    with pytest.raises(ValueError, match="distributed"):
        MPCCClusterer(3, distributed="gloo", **BRIEF).fit(blobs[0])


def test_two_processes_make_the_updates_of_one(tmp_path):
    """With the whole batch, in double precision; and the same bits as each other."""
    found = fork(2, "iterations", tmp_path, *CASES)
    assert found == [{"cases": len(CASES), "rank": rank, "size": 2} for rank in range(2)]


def test_variational_iterations_together_are_those_of_one_process(tmp_path):
    found = fork(2, "variational_iterations", tmp_path)
    assert [each["rank"] for each in found] == [0, 1]


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 4])
def test_more_processes_and_cases_make_the_updates_of_one(n, tmp_path):
    cases = CASES + MORE_CASES
    found, _ = launch(n, "iterations", tmp_path, *cases)
    assert [each["cases"] for each in found] == [len(cases)] * n


def assert_same(found):
    assert all(each == found[0] for each in found)


def test_two_processes_have_the_same_fit(tmp_path):
    """Without a seed, which they have to share; two by themselves would differ."""
    brief = TABLE | {"max_iter": 40, "random_state": None}
    found = fork(2, "fit", tmp_path, "MPCCClusterer", json.dumps(brief))
    assert_same(found)
    _, y = make_blobs(200, 4, centers=3, random_state=0)
    assert adjusted_rand_score(found[0]["labels"], y) > 0.9


@pytest.mark.slow
def test_all_processes_have_the_same_fit(tmp_path):
    """The first one prints, as a single one would, and the clusters are the same."""
    parameters = json.dumps(TABLE | {"verbose": 1})
    found, printed = launch(2, "fit", tmp_path, "MPCCClusterer", parameters)
    assert_same(found)
    assert printed.count("Initialization 0\n") == 1
    assert printed.count("  Iteration 60\n") == 1
    _, y = make_blobs(200, 4, centers=3, random_state=0)
    alone = fit("MPCCClusterer", json.dumps(TABLE))
    assert adjusted_rand_score(found[0]["labels"], alone["labels"]) == 1.0
    assert adjusted_rand_score(found[0]["labels"], y) > 0.9
    assert found[0]["iterations"] == alone["iterations"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("MPCCClusterer", {"n_init": 2, "n_jobs": 2, "weights": "learned"}),
        ("VaDEClusterer", {"n_init": 2, "weights": "learned", "preset_params": {}}),
        ("MPCCClusterer", {"random_state": None, "preset_params": {"reseed": True}}),
        ("MPCCClassifier", {"preset_params": {"ema_decay": 0.9}}),
    ],
)
def test_four_processes_have_the_same_fit(name, changes, tmp_path):
    parameters = TABLE | changes
    if name == "MPCCClassifier":
        parameters = {k: v for k, v in parameters.items() if k not in ("n_clusters", "pseudo_labels")}
    found, _ = launch(4, "fit", tmp_path, name, json.dumps(parameters))
    assert_same(found)
    assert len(set(found[0]["labels"])) == 3


@pytest.mark.slow
def test_outliers_and_the_number_of_clusters_are_the_same(tmp_path):
    parameters = TABLE | {"n_clusters": "auto", "outlier_fraction": 0.1, "n_resamplings": 2}
    found, _ = launch(
        2, "fit", tmp_path, "MPCCClusterer", json.dumps(parameters | {"random_state": None})
    )
    assert_same(found)
    assert found[0]["labels"].count(-1) == 20
    alone = fit("MPCCClusterer", json.dumps(parameters))
    assert set(found[0]["labels"]) == set(alone["labels"])


@pytest.mark.slow
def test_images_have_the_same_fit(tmp_path):
    parameters = {"n_clusters": 3, "max_iter": 20, "pseudo_labels": "kmeans", "random_state": 0}
    found, _ = launch(2, "fit", tmp_path, "MPCCClusterer", json.dumps(parameters), "images")
    assert_same(found)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The training had not converged")
def test_fits_together_are_as_good(tmp_path):
    """By five seeds, whose means differ by no more than their spread allows."""
    (found, _), _ = launch(2, "qualities", tmp_path)
    alone = qualities()
    for name in ("agreement", "lost"):
        means = np.mean(found[name]), np.mean(alone[name])
        error = np.sqrt((np.var(found[name], ddof=1) + np.var(alone[name], ddof=1)) / 5)
        assert abs(means[0] - means[1]) <= 3 * error + 0.01, (name, found, alone)
    assert np.mean(found["agreement"]) > 0.7


@pytest.mark.slow
def test_what_cannot_be_fitted_together_is_an_error_in_all(tmp_path):
    found, _ = launch(2, "refusals", tmp_path)
    for each in found:
        differing, small, raised, own, unpicklable, warned = each["said"]
        assert "X, y or the parameters differ between the 2 processes" in differing
        assert "batch_size=3" in small
        assert raised == "KeyError: 'of the first process'"
        assert own.endswith("Own: no pickle")
        assert unpicklable.startswith(("ValueError: ", "RuntimeError: The first process failed with"))
        assert warned.startswith("ConvergenceWarning: The training had not converged")
    # Without a seed, too, and processes that fit by themselves as if they were alone.
    assert found[0]["means"] == found[1]["means"]
    X, _ = make_blobs(60, 4, centers=3, random_state=0)
    alone = MPCCClusterer(3, random_state=0, **BRIEF).fit(X)
    for each in found:
        np.testing.assert_allclose(each["alone"], alone.means_)


@pytest.mark.slow
def test_a_fit_together_goes_on_from_its_checkpoint(tmp_path):
    found, _ = launch(2, "resumed", tmp_path, tmp_path)
    assert [each["left"] for each in found] == [True, False]
    assert all(each["same"] and each["removed"] for each in found)


@pytest.mark.slow
def test_a_killed_process_ends_the_others_with_an_error(tmp_path):
    first, last = start(2, "killed", tmp_path)
    said = first.communicate()[1]
    last.communicate()
    assert last.returncode < 0
    assert first.returncode == 1
    assert "A process that trains together with this one has ended" in said
    assert not list(tmp_path.iterdir())
