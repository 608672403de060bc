"""Damaged files of fits with outliers, a number that was looked for, stability and a temperature."""

import warnings

import numpy as np
import pytest
import torch
from changed_files import changed, setting, tensor
from sklearn.datasets import make_blobs
from support import BRIEF

from skmpcc import MPCCClusterer
from skmpcc.training import number as _number

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

TABLE = make_blobs(80, centers=[[-9, 0], [9, 0], [0, 9]], random_state=0)[0]
WIDE = make_blobs(80, 300, centers=2, random_state=0)[0]


def saved_of(X, folder, n_clusters):
    parameters = BRIEF | {"outlier_fraction": 0.05, "n_resamplings": 2, "random_state": 0}
    with pytest.MonkeyPatch.context() as patched, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patched.setattr(_number, "MAX_CLUSTERS", 4)
        patched.setattr(_number, "N_RESAMPLINGS", 2)
        clusterer = MPCCClusterer(n_clusters, **parameters).fit(X)
    clusterer.save(folder / "model")
    return folder / "model"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return saved_of(TABLE, tmp_path_factory.mktemp("table"), "auto")


@pytest.fixture(scope="module")
def saved_wide(tmp_path_factory):
    return saved_of(WIDE, tmp_path_factory.mktemp("wide"), 2)


def without(*keys, tensor=None):
    def take_out(header, tensors):
        *path, last = keys
        for key in path:
            header = header[key]
        del header[last]
        tensors.pop(tensor, None)

    return take_out


def with_one(number):
    """A change of a tensor: its last value is another."""

    def change(tensor):
        tensor = tensor.clone()
        tensor.view(-1)[-1] = number
        return tensor

    return change


FITTED = ("fitted", "FittedModel")
OUTLIERS = (*FITTED, "outliers", "Outliers")
POINTS = "fitted.outliers.points"
CURVE = ("attributes", "n_clusters_curve_", "dict")
SCORES = "attributes.n_clusters_curve_.scores"
CHANGES = {
    "points of another width": (tensor(POINTS, lambda t: t[:, :1]), "points should be"),
    "points of one dimension": (tensor(POINTS, lambda t: t[:, 0]), "points should be"),
    "points of another type": (tensor(POINTS, torch.Tensor.double), "points should be"),
    "points that are no numbers": (tensor(POINTS, with_one(np.nan)), "not finite"),
    "points that are infinite": (tensor(POINTS, with_one(-np.inf)), "not finite"),
    "no point": (tensor(POINTS, lambda t: t[:0]), "not complete"),
    "points that are missing": (without(*OUTLIERS, "points", tensor=POINTS), "points"),
    "points that are text": (
        lambda header, tensors: (
            setting(*OUTLIERS, "points", "none")(header, tensors),
            tensors.pop(POINTS),
        ),
        None,
    ),
    "a threshold that is no number": (
        setting(*OUTLIERS, "threshold", float("nan")),
        "threshold should be",
    ),
    "a negative threshold": (setting(*OUTLIERS, "threshold", -1.0), "threshold should be a distance"),
    "a threshold of text": (setting(*OUTLIERS, "threshold", "1"), "threshold should be a distance"),
    "a threshold that is a truth value": (setting(*OUTLIERS, "threshold", True), "threshold should be"),
    "no threshold": (setting(*OUTLIERS, "threshold", None), "threshold should be a distance"),
    "a mean without axes": (setting(*OUTLIERS, "mean", {"tensor": POINTS}), None),
    "outliers that are a number": (setting(*FITTED, "outliers", 3), None),
    "outliers of another class": (
        setting(*FITTED, "outliers", {"Layout": {"shape": {"tuple": [2]}}}),
        None,
    ),
    "a temperature below 1": (setting(*FITTED, "temperature", 0.5), "temperature should be"),
    "a temperature of 0": (setting(*FITTED, "temperature", 0.0), "temperature should be"),
    "a negative temperature": (setting(*FITTED, "temperature", -3.0), "temperature should be"),
    "an infinite temperature": (setting(*FITTED, "temperature", float("inf")), "temperature should be"),
    "a temperature that is no number": (
        setting(*FITTED, "temperature", float("nan")),
        "temperature should",
    ),
    "a temperature of text": (setting(*FITTED, "temperature", "1.0"), "temperature should be a number"),
    "no temperature": (setting(*FITTED, "temperature", None), "temperature should be a number"),
    "another number of clusters": (
        setting("attributes", "n_clusters_", 2),
        "n_clusters_ is 2, but there",
    ),
    "a number of clusters of text": (setting("attributes", "n_clusters_", "3"), "n_clusters_ should be"),
    "a curve that is a number": (setting("attributes", "n_clusters_curve_", 3), "n_clusters_curve_"),
    "an empty curve": (
        lambda header, tensors: (
            setting(*CURVE[:-1], {"dict": {}})(header, tensors),
            [tensors.pop(name) for name in [*tensors] if "curve_" in name],
        ),
        "n_clusters_curve_ should have",
    ),
    "a curve without scores": (
        without(*CURVE, "scores", tensor=SCORES),
        "n_clusters_curve_ should have",
    ),
    "a curve of single values": (setting(*CURVE[:-1], {"dict": {"scores": 1.0}}), None),
    "a curve of unequal lengths": (tensor(SCORES, lambda t: t[:1]), "n_clusters_curve_ should be"),
    "a curve of two dimensions": (tensor(SCORES, lambda t: t[None]), "n_clusters_curve_ should be"),
    "scores of another type": (tensor(SCORES, torch.Tensor.float), "n_clusters_curve_ should have"),
    "scores that are no numbers": (tensor(SCORES, with_one(np.nan)), "n_clusters_curve_ should have"),
    "stability of another length": (
        tensor("attributes.cluster_stability_", lambda t: t[:-1]),
        "cluster_stability_ should be",
    ),
    "stability of another type": (
        tensor("attributes.cluster_stability_", torch.Tensor.long),
        "cluster_stability_ should be",
    ),
    "a share that is out of range": (setting("parameters", "outlier_fraction", 0.7), "outlier_fraction"),
}
OF_WIDE = {
    "axes of another width": (tensor("fitted.outliers.axes", lambda t: t[:, :-1]), "axes should be"),
    "fewer axes": (tensor("fitted.outliers.axes", lambda t: t[:-1]), "points should be"),
    "axes that are no numbers": (tensor("fitted.outliers.axes", with_one(np.nan)), "not finite"),
    "a mean of another length": (
        tensor("fitted.outliers.mean", lambda t: t[:-1]),
        "axes should|mean should",
    ),
    "a mean that is infinite": (tensor("fitted.outliers.mean", with_one(np.inf)), "not finite"),
    "axes that are missing": (
        without(*OUTLIERS, "axes", tensor="fitted.outliers.axes"),
        "not complete",
    ),
    "a mean that is missing": (
        without(*OUTLIERS, "mean", tensor="fitted.outliers.mean"),
        "should be",
    ),
    "no coordinates": (
        lambda header, tensors: [
            tensor(POINTS, lambda t: t[:, :0])(header, tensors),
            tensor("fitted.outliers.axes", lambda t: t[:0])(header, tensors),
        ],
        "not complete",
    ),
}


def assert_refused(path, match):
    with pytest.raises(ValueError, match="changed cannot be loaded by MPCCClusterer") as error:
        MPCCClusterer.load(path)
    if match is not None:
        error.match(match)


@pytest.mark.parametrize(("change", "match"), CHANGES.values(), ids=CHANGES)
def test_damaged_files_are_refused(saved, tmp_path, change, match):
    assert_refused(changed(saved, tmp_path / "changed", change), match)


@pytest.mark.parametrize(("change", "match"), OF_WIDE.values(), ids=OF_WIDE)
def test_damaged_files_of_wide_rows_are_refused(saved_wide, tmp_path, change, match):
    assert_refused(changed(saved_wide, tmp_path / "changed", change), match)


def test_undamaged_files_are_read(saved, saved_wide, tmp_path):
    """Also with a threshold that nothing is above."""
    for path, X in ((saved, TABLE), (saved_wide, WIDE)):
        loaded = MPCCClusterer.load(changed(path, tmp_path / "changed", lambda *_: None))
        assert np.sum(loaded.predict(X) < 0) == 4
        far = changed(path, tmp_path / "changed", setting(*OUTLIERS, "threshold", float("inf")))
        assert (MPCCClusterer.load(far).predict(X) >= 0).all()


NEW = ["n_clusters_", "n_clusters_curve_", "cluster_stability_"]


def test_files_of_versions_without_any_of_it(tmp_path):
    """They are read as before: no row is without a cluster, and memberships are as they were."""
    clusterer = MPCCClusterer(3, random_state=0, **BRIEF).fit(TABLE)
    clusterer.save(tmp_path / "model")

    def older(header, _):
        for name in NEW:
            del header["attributes"][name]
        for name in ("outliers", "temperature"):
            del header["fitted"]["FittedModel"][name]
        for name in ("outlier_fraction", "n_resamplings"):
            del header["parameters"][name]

    loaded = MPCCClusterer.load(changed(tmp_path / "model", tmp_path / "older", older))
    np.testing.assert_array_equal(loaded.predict_proba(TABLE), clusterer.predict_proba(TABLE))
    assert loaded._fitted.temperature == 1.0
    assert loaded._fitted.outliers is None
    loaded.save(tmp_path / "again")
    loaded.set_params(warm_start=True, n_clusters="auto").fit(TABLE)
    assert loaded.n_clusters_ == 3
