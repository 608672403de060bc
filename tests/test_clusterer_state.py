import copy
import gc
import mmap
import pickle
import warnings
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.callback import ScoringMonitor
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from support import BRIEF, QUICK, Interrupting, images
from threadpoolctl import threadpool_info

from skmpcc import AIM, VAE, MPCCClassifier, MPCCClusterer, VaDEClusterer
from skmpcc.method.model import MPCCModel
from skmpcc.metrics import clustering_accuracy
from skmpcc.presets import PRESETS
from skmpcc.training.fit import Fit

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def test_fits_in_threads_give_what_they_give_alone_and_leave_the_threads(blobs):
    """Each limits its threads, and scikit-learn's, for a time."""
    quick = QUICK | {"max_iter": 30}
    before = torch.get_num_threads()

    def fit(seed):
        return MPCCClusterer(3, random_state=seed, **quick).fit(blobs[0])

    def numbers():
        found = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "openmp"]
        return [torch.get_num_threads(), *found]

    torch.set_num_threads(2)
    try:
        alone = [fit(seed) for seed in range(3)]
        expected = numbers()
        beside = joblib.Parallel(3, require="sharedmem")(joblib.delayed(fit)(seed) for seed in range(3))
        assert numbers() == expected
    finally:
        torch.set_num_threads(before)
    for one, other in zip(alone, beside, strict=True):
        np.testing.assert_array_equal(one.means_, other.means_)


def test_same_seed_same_result(blobs):
    X = blobs[0]
    quick = QUICK | {"max_iter": 30}
    first, second = (MPCCClusterer(3, random_state=7, **quick).fit(X) for _ in range(2))
    np.testing.assert_array_equal(first.labels_, second.labels_)
    np.testing.assert_array_equal(first.transform(X), second.transform(X))
    np.testing.assert_array_equal(first.sample(9)[0], second.sample(9)[0])
    other = MPCCClusterer(3, random_state=8, **quick).fit(X)
    assert not np.array_equal(first.transform(X), other.transform(X))


@pytest.mark.parametrize("random_state", [0, None])
def test_global_random_states_are_untouched(blobs, random_state):
    numpy_before = np.random.get_state()  # noqa: NPY002
    torch_before = torch.get_rng_state()
    clusterer = MPCCClusterer(3, random_state=random_state, **BRIEF).fit(blobs[0])
    clusterer.sample(3)
    clusterer.sample_posterior(blobs[0][:2])
    pickle.loads(pickle.dumps(clusterer))
    assert torch.equal(torch.get_rng_state(), torch_before)
    after = np.random.get_state()  # noqa: NPY002
    assert all(np.array_equal(a, b) for a, b in zip(after, numpy_before, strict=True))


@pytest.mark.parametrize("random_state", [None, np.random.RandomState(0)])
def test_other_random_states_differ_from_call_to_call(blobs, random_state):
    clusterer = MPCCClusterer(3, random_state=random_state, **BRIEF).fit(blobs[0])
    assert not np.array_equal(clusterer.sample(5)[0], clusterer.sample(5)[0])


@pytest.mark.parametrize(
    "copied",
    [lambda e: pickle.loads(pickle.dumps(e)), copy.deepcopy, lambda e: e],
    ids=["pickle", "deepcopy", "itself"],
)
def test_pickle(blobs, fitted, copied):
    X = blobs[0]
    restored = copied(fitted)
    np.testing.assert_array_equal(restored.transform(X), fitted.transform(X))
    np.testing.assert_array_equal(restored.sample(5)[0], fitted.sample(5)[0])
    np.testing.assert_array_equal(restored.predict_proba(X), fitted.predict_proba(X))


def test_joblib(blobs, fitted, tmp_path):
    joblib.dump(fitted, tmp_path / "fitted")
    restored = joblib.load(tmp_path / "fitted")
    np.testing.assert_array_equal(restored.transform(blobs[0]), fitted.transform(blobs[0]))


def test_image_model_pickles():
    X = images((20, 8, 8))
    clusterer = MPCCClusterer(2, random_state=0, **BRIEF).fit(X)
    restored = pickle.loads(pickle.dumps(clusterer))
    np.testing.assert_array_equal(restored.transform(X), clusterer.transform(X))


def test_estimator_fitted_on_cuda_infers_where_there_is_none(blobs, fitted):
    restored = pickle.loads(pickle.dumps(fitted)).set_params(device="cuda:99")
    np.testing.assert_array_equal(restored.predict(blobs[0]), fitted.labels_)


def test_clone(fitted):
    cloned = clone(fitted)
    assert cloned.get_params() == fitted.get_params()
    assert not hasattr(cloned, "labels_")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("out of memory")])
@pytest.mark.parametrize("warm_start", [False, True])
def test_interruption_leaves_the_estimator_as_it_was(blobs, error, warm_start):
    X = blobs[0]
    unfitted = MPCCClusterer(3, random_state=0, warm_start=warm_start, **BRIEF)
    unfitted.set_callbacks(Interrupting(error))
    before = dict(vars(unfitted))
    with pytest.raises(type(error)):
        unfitted.fit(X)
    assert vars(unfitted) == before

    clusterer = MPCCClusterer(3, random_state=0, warm_start=warm_start, **BRIEF).fit(X)
    before, codes = dict(vars(clusterer)), clusterer.transform(X)
    clusterer.set_callbacks(Interrupting(error))
    with pytest.raises(type(error)):
        clusterer.fit(X if warm_start else X[:50, :2])
    clusterer.set_callbacks()
    assert vars(clusterer).keys() == before.keys()
    assert all(value is before[name] for name, value in vars(clusterer).items())
    np.testing.assert_array_equal(clusterer.transform(X), codes)


def test_divergence_is_an_error(blobs):
    clusterer = MPCCClusterer(3, random_state=0, **BRIEF | {"learning_rate": 1e38})
    with pytest.raises(FloatingPointError, match="learning_rate"):
        clusterer.fit(blobs[0])
    assert not hasattr(clusterer, "labels_")


def test_empty_clusters_are_the_last(blobs, monkeypatch):
    """Components that no sample is assigned to move behind the others, in every attribute."""
    X = blobs[0]
    clusterer = MPCCClusterer(6, random_state=0, **QUICK)
    prepare = MPCCModel.prepare_for_inference
    before, found, every = [], [], torch.arange(6)
    ready = Fit.ready_for_use

    def keep(fit, data, trained, seeds):
        found.append(data.row_map.to_given(trained.pseudo_labels.numpy()))
        return ready(fit, data, trained, seeds)

    monkeypatch.setattr(Fit, "ready_for_use", keep)

    def with_lost_components(model, *args):
        prepare(model, *args)
        with torch.no_grad():
            model.prior.means[[0, 3]] += 1000.0
        before.append((model.prior.means.detach().clone(), model.decode(model.prior.means, every)))

    monkeypatch.setattr(MPCCModel, "prepare_for_inference", with_lost_components)
    with pytest.warns(ConvergenceWarning, match="of n_clusters=6 clusters have no sample"):
        clusterer.fit(X)
    present = np.unique(clusterer.labels_)
    np.testing.assert_array_equal(present, np.arange(len(present)))
    assert len(present) <= 4
    np.testing.assert_array_equal(clusterer.predict(X), clusterer.labels_)
    far = np.abs(clusterer.means_).max(axis=1) > 500
    assert far.sum() == 2
    assert not far[: len(present)].any()
    # the generator's embeddings moved along: each component decodes as it did under its old number
    ((means, decoded),) = before
    model = clusterer._fitted.model
    order = [int((means == mean).all(dim=1).nonzero()) for mean in model.prior.means]
    assert sorted(order) == list(range(6))
    np.testing.assert_allclose(model.prior.means.detach(), clusterer.means_)
    # and so did the pseudo-labels
    number = np.argsort(order)
    np.testing.assert_array_equal(clusterer.pseudo_labels_, number[found[0]])
    np.testing.assert_allclose(
        clusterer.cluster_centers_, clusterer._fitted.format.decode(decoded[order]), rtol=1e-6
    )


def test_permuted_clusters_decode_as_before(fitted):
    model = copy.deepcopy(fitted._fitted.model)
    z = torch.randn(5, model.settings.latent_dim, dtype=torch.float64)
    order = torch.tensor([2, 0, 1])
    before = [model.decode(z, torch.full((5,), k)) for k in range(3)]
    means = model.prior.means.detach().clone()
    model.permute_clusters(order)
    for k in range(3):
        torch.testing.assert_close(model.decode(z, torch.full((5,), k)), before[order[k]])
    torch.testing.assert_close(model.prior.means.detach(), means[order])


@pytest.mark.parametrize("kind", ["spanning_tree", "kmeans"])
def test_pseudo_labels_are_found_without_labels_and_let_go(blobs, kind):
    X, y = blobs
    preset_params = QUICK["preset_params"] | {"consistency_weight": 0.0}
    parameters = QUICK | {"max_iter": 60, "pseudo_labels": kind, "preset_params": preset_params}
    supervised = MPCCClusterer(3, random_state=0, **parameters).fit(X)
    assert clustering_accuracy(y, supervised.labels_) > 0.95
    with_labels = MPCCClusterer(3, random_state=0, **parameters).fit(X, y)
    np.testing.assert_array_equal(with_labels.transform(X), supervised.transform(X))
    random = MPCCClusterer(3, random_state=0, **parameters | {"pseudo_labels": None}).fit(X)
    assert not np.array_equal(random.transform(X), supervised.transform(X))
    assert "consistency" not in supervised.history_
    assert clustering_accuracy(y, supervised.pseudo_labels_) > 0.95
    assert random.pseudo_labels_ is None


def test_consistency_is_in_the_history_where_it_is_asked_for(blobs):
    X = blobs[0]
    clusterer = MPCCClusterer(3, preset_params={"consistency_weight": 0.5}, **BRIEF).fit(X)
    assert clusterer.history_["consistency"].shape == (3,)
    clusterer.set_params(preset_params={"consistency_weight": 0.0}).fit(X)
    assert "consistency" not in clusterer.history_


def test_warm_start_goes_on(blobs):
    X = blobs[0]
    cold = MPCCClusterer(3, random_state=0, **BRIEF).fit(X)
    warm = MPCCClusterer(3, random_state=0, warm_start=True, **BRIEF).fit(X)
    np.testing.assert_array_equal(cold.means_, warm.means_)
    first = warm.means_
    warm.set_params(learning_rate=1e-9, preset_params={"prior_learning_rate": 1e-9}).fit(X)
    np.testing.assert_allclose(np.sort(warm.means_, 0), np.sort(first, 0), atol=1e-5)
    with pytest.raises(ValueError, match="warm_start"):
        warm.set_params(width=16).fit(X)
    with pytest.raises(ValueError, match="warm_start"):
        warm.set_params(width=8, n_clusters=2).fit(X)


def test_n_clusters_1(blobs):
    clusterer = MPCCClusterer(1, random_state=0, **BRIEF).fit(blobs[0])
    assert (clusterer.labels_ == 0).all()
    np.testing.assert_array_equal(clusterer.predict_proba(blobs[0]), 1)


def test_many_clusters():
    """A hundred clusters of images, as in Omniglot."""
    X = images((120, 32, 32), np.uint8)
    clusterer = MPCCClusterer(100, random_state=0, max_iter=2, width=8).fit(X)
    assert clusterer.predict_proba(X).shape == (120, 100)


def test_predicting_elsewhere_leaves_the_model_where_it_is(blobs, fitted, monkeypatch):
    """A copy goes to the other device, once, and into no pickle."""
    X = blobs[0]
    fitted = copy.deepcopy(fitted)
    model = fitted._fitted.model
    expected, before = fitted.predict(X), {k: v.clone() for k, v in model.state_dict().items()}
    moved = []
    monkeypatch.setattr(MPCCModel, "to", lambda self, device: moved.append((self, device)) or self)
    elsewhere = fitted._fitted.on(torch.device("cuda"))
    ((copied, device),) = moved
    assert device == torch.device("cuda")
    assert elsewhere.model is copied
    assert copied is not model
    assert fitted._fitted.on(torch.device("cuda")) is elsewhere
    assert len(moved) == 1
    for twin in (pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted)):
        assert twin._fitted._copies == {}
    np.testing.assert_array_equal(elsewhere.labels(X), expected)
    assert fitted._fitted.on(torch.device("cpu")) is fitted._fitted
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("fitted_before", [False, True])
def test_warnings_as_errors_leave_the_estimator_as_it_was(blobs, fitted_before):
    clusterer = MPCCClusterer(3, random_state=0, **BRIEF)
    if fitted_before:
        clusterer.fit(blobs[0])
    before = dict(vars(clusterer.set_params(tol=1e-9)))
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        with pytest.raises(ConvergenceWarning, match="had not converged"):
            clusterer.fit(blobs[0][:50, :2])
    assert vars(clusterer) == before


def test_warm_start_with_uniform_weights_forgets_learned_ones():
    X, _ = make_blobs([180, 20], 3, centers=[[-6, 0, 0], [6, 0, 0]], random_state=0)
    parameters = BRIEF | {"pseudo_labels": "kmeans", "preset": "vectors"}
    learned = MPCCClusterer(2, weights="learned", warm_start=True, random_state=0, **parameters).fit(X)
    np.testing.assert_allclose(np.sort(learned.weights_), [0.1, 0.9], atol=0.01)
    np.testing.assert_allclose(np.sort(learned.fit(X).weights_), [0.1, 0.9], atol=0.05)
    np.testing.assert_array_equal(learned.set_params(weights="uniform").fit(X).weights_, 0.5)


def test_weights_may_be_the_shares_of_pseudo_labels():
    X, _ = make_blobs([180, 20], 3, centers=[[-6, 0, 0], [6, 0, 0]], random_state=0)
    parameters = BRIEF | {"pseudo_labels": "kmeans", "weights": "shares", "max_iter": 20}
    clusterer = MPCCClusterer(2, preset="vectors", random_state=0, **parameters).fit(X)
    np.testing.assert_allclose(np.sort(clusterer.weights_), [0.1, 0.9], rtol=1e-5)


def test_warm_start_names_what_differs(blobs):
    clusterer = MPCCClusterer(3, random_state=0, warm_start=True, **BRIEF).fit(blobs[0])
    with pytest.raises(ValueError, match=r"parameters: width=16 instead of 8\.$"):
        clusterer.set_params(width=16).fit(blobs[0])


@pytest.mark.parametrize("shape", [(6, 4), (6, 8, 8)])
def test_every_sample_may_be_a_cluster(shape):
    X = np.random.default_rng(0).normal(size=shape)
    clusterer = MPCCClusterer(6, width=32, max_iter=100, random_state=0).fit(X)
    assert sorted(clusterer.labels_) == list(range(6))


def test_a_part_is_fitted_and_the_rest_predicted(blobs):
    """What the reference says to do in the place of partial_fit."""
    X, y = blobs
    assert not hasattr(MPCCClusterer, "partial_fit")
    clusterer = MPCCClusterer(3, random_state=0, warm_start=True, **QUICK).fit(X[:100])
    rest = [clusterer.predict(X[start : start + 30]) for start in range(100, 200, 30)]
    assert clustering_accuracy(y[100:], np.concatenate(rest)) > 0.9
    scale = clusterer._fitted.format.scale
    clusterer.set_params(max_iter=20).fit(X[100:])
    np.testing.assert_array_equal(clusterer._fitted.format.scale, scale)
    assert clustering_accuracy(y, clusterer.predict(X)) > 0.9


def test_variants_are_finite_after_a_training_at_rates_far_too_high():
    X = np.array([[0.1257], [-0.1321]], dtype=np.float16)
    brief = BRIEF | {"learning_rate": 10.0, "pseudo_labels": "auto"}
    clusterer = MPCCClusterer(2, random_state=0, **brief).fit(X)
    assert np.isfinite(clusterer.sample_posterior(X, 5)).all()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize("shape", [(200, 8), (60, 8, 8)], ids=["table", "images"])
def test_a_hundred_fits_take_no_more_memory_than_a_few(shape):
    X = images(shape, np.float32)

    def resident(n_fits):
        for seed in range(n_fits):
            clusterer = MPCCClusterer(3, random_state=seed, **BRIEF).fit(X)
            clusterer.predict(X)
            clusterer.sample(5)
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE / 2**20

    before = resident(20)
    assert resident(100) - before < 8


class EndingBadly(Interrupting):
    """A callback that raises when the whole fit ends."""

    def on_fit_task_end(self, estimator, context):
        if context.parent is None:
            raise self.error


@pytest.mark.parametrize("kind", [MPCCClusterer, MPCCClassifier, AIM, VAE, VaDEClusterer])
def test_an_error_of_a_callback_at_the_end_leaves_the_estimator_as_it_was(blobs, kind, tmp_path):
    X, y = blobs
    estimator = kind(max_iter=3, width=8, checkpoint=tmp_path / "kept")
    estimator.set_callbacks(EndingBadly(KeyError("at the end")))
    before = dict(vars(estimator))
    with pytest.raises(KeyError, match="at the end"):
        estimator.fit(X, y)
    assert vars(estimator) == before
    estimator.set_callbacks().fit(X, y)


def test_fit_predict_hands_callbacks_y(blobs):
    X, y = blobs
    monitor = ScoringMonitor(scoring="adjusted_rand_score")
    clusterer = MPCCClusterer(3, random_state=0, **BRIEF).set_callbacks(monitor)
    labels = clusterer.fit_predict(X, y)
    assert monitor.get_logs().data[-1]["adjusted_rand_score"] == adjusted_rand_score(y, labels)


@pytest.mark.parametrize(
    "preset_params", [{"labels_only": True}, {"labels_only": True, "tol": 0.5, "max_iter": 20}]
)
def test_labels_only_is_the_same_by_parameter_and_preset_params(blobs, preset_params):
    shared = {"n_clusters": 3, "random_state": 0, "width": 8, "pseudo_labels": "kmeans"}
    rest = {name: value for name, value in preset_params.items() if name != "labels_only"}
    one = MPCCClusterer(preset_params=preset_params, **shared).fit(blobs[0])
    other = MPCCClusterer(preset_params=rest, labels_only=True, **shared).fit(blobs[0])
    assert one.settings_ == other.settings_
    np.testing.assert_array_equal(one.means_, other.means_)


def test_labels_that_are_not_the_pseudo_labels_are_warned_of(blobs, monkeypatch):
    """Whatever the cause: here a training of next to nothing, whose labels do not teach to the end."""
    message = r"labels_ differ from the pseudo-labels in \d+% of the samples"
    clusterer = MPCCClusterer(3, random_state=0, **BRIEF | {"pseudo_labels": "kmeans"})
    clusterer.set_params(preset_params={"pseudo_label_share": 0.5})
    with pytest.warns(ConvergenceWarning, match=message) as caught:
        clusterer.fit(blobs[0])
    differ = np.mean(clusterer.labels_ != clusterer.pseudo_labels_)
    assert any(f" {differ:.0%} of the samples" in str(each.message) for each in caught)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clusterer.set_params(**QUICK, latent_dim=None).fit(blobs[0])


def test_labels_only_of_a_preset_is_the_same(blobs):
    shared = {"n_clusters": 3, "random_state": 0, "pseudo_labels": "kmeans", "max_iter": 20}
    preset = replace(PRESETS["vectors_small"], labels_only=True)
    one = MPCCClusterer(preset=preset, **shared).fit(blobs[0])
    other = MPCCClusterer(labels_only=True, **shared).fit(blobs[0])
    assert one.settings_ == other.settings_
    with pytest.raises(ValueError, match="labels_only=True, but preset_params has 'labels_only' False"):
        MPCCClusterer(labels_only=True, preset_params={"labels_only": False}, **shared).fit(blobs[0])
