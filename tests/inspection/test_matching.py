"""Clusters of a new fit beside those of an earlier one."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.cluster import DBSCAN, KMeans
from sklearn.datasets import make_blobs
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from support import QUICK, images

from skmpcc import MPCCClassifier, MPCCClusterer, VaDEClusterer
from skmpcc.inspection import match_clusters, renumber_clusters
from skmpcc.method.latent_model import LatentModel

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = make_blobs(160, 4, centers=4, cluster_std=0.7, random_state=0)


def frame():
    kinds = np.array(["street", "road", "lane", "path"])
    table = pd.DataFrame({"speed": 10.0 * Y + X[:, 0], "kind": kinds[Y], "lanes": Y + 1})
    table.loc[::15, "speed"] = np.nan
    return table


DATA = {"array": X, "float32": X.astype(np.float32), "frame": frame()}


def brief_fit(cls=MPCCClusterer, given=X, n_clusters=4, **parameters):
    settings = {**QUICK, "max_iter": 40, "width": 16, "latent_dim": 6, "random_state": 0} | parameters
    return cls(n_clusters, **settings).fit(given)


# ---- Matching


def test_pairs_counts_and_shares():
    old = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, -1]
    new = [1, 1, 1, 3, 0, 0, 0, 0, 0, -1, 2]
    match = match_clusters(old, new)
    assert match.old_of_new.tolist() == [1, 0, -1, -1]
    assert match.counts.tolist() == [[0, 3, 0, 1], [4, 0, 0, 0], [1, 0, 0, 0]]
    assert match.kept_share == pytest.approx(7 / 9)
    np.testing.assert_allclose(match.jaccard, [4 / 5, 3 / 4, 0, 0])
    assert match.split == {0: {1: 0.75, 3: 0.25}}
    assert match.merged == {0: {1: 0.8, 2: 0.2}}
    assert match.new == (2, 3)
    assert match.gone == (2,)
    assert match.moved == {1: 0, 0: 1}


def test_the_matching_keeps_the_most_rows_and_not_the_largest_pair():
    # The largest pair, of 5 rows, would leave 0 rows for the others.
    old, new = np.repeat([0, 0, 1], [5, 4, 4]), np.repeat([0, 1, 0], [5, 4, 4])
    assert match_clusters(old, new).old_of_new.tolist() == [1, 0]


@pytest.mark.parametrize(("min_share", "split"), [(0.2, {0: {0: 0.8, 1: 0.2}}), (0.21, {})])
def test_how_many_rows_make_a_split(min_share, split):
    match = match_clusters([0] * 10 + [1] * 10, [0] * 8 + [1] * 12, min_share=min_share)
    assert match.split == split
    # Two of twelve rows are no fifth.
    assert match.merged == {}


def test_a_cluster_that_is_part_of_another_is_no_split_and_no_merger_of_its_own():
    match = match_clusters([0] * 10, [0] * 7 + [1] * 3)
    assert match.split == {0: {0: 0.7, 1: 0.3}}
    assert match.merged == {}
    assert match_clusters([0] * 7 + [1] * 3, [0] * 10).split == {}


def test_permutations_of_labels_are_undone():
    labels = np.random.default_rng(0).integers(0, 30, 2000)
    number = np.random.default_rng(1).permutation(30)
    match = match_clusters(labels, number[labels])
    assert (number[match.old_of_new[number]] == number).all()
    assert match.kept_share == 1.0
    assert (match.jaccard == 1.0).all()
    assert not match.split
    assert not match.merged


def test_estimators_pipelines_labels_and_tensors():
    clusterer = brief_fit()
    labels = clusterer.predict(X)
    pipeline = make_pipeline(StandardScaler(), KMeans(3, n_init=1, random_state=0)).fit(X)
    match = match_clusters(clusterer, pipeline, X)
    assert match.counts.shape == (4, 3)
    for old in (labels, labels.tolist(), torch.as_tensor(labels), pd.Series(labels)):
        found = match_clusters(old, pipeline.predict(X), X)
        np.testing.assert_array_equal(found.old_of_new, match.old_of_new)


def test_clusters_without_rows_are_counted():
    clusterer = brief_fit()
    match = match_clusters(clusterer, clusterer, X[clusterer.labels_ == 0])
    assert match.counts.shape == (4, 4)
    assert match.old_of_new.tolist() == [0, -1, -1, -1]


def test_it_tells_what_changed_in_sentences():
    text = str(match_clusters([0] * 6 + [1] * 4, [1] * 4 + [2] * 6))
    assert "2 of 3 new clusters match one of 2 old ones. 80.0% of 10 rows" in text
    assert "Other numbers: 0 is now 1, 1 is now 2." in text
    assert "New: 0." in text
    assert "The old cluster 0 is split: 67% 1, 33% 2." in text
    assert "The new cluster 2 has rows of several: 67% 1, 33% 0." in text


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ("text", [0], TypeError, "old should be"),
        (DBSCAN(), [0], TypeError, "give `labels_`"),
        ([0.0, 1.0], [0, 1], TypeError, "old should have labels that are numbers"),
        (["a", "b"], [0, 1], TypeError, "numpy.unique"),
        ([0, 1], [0, -2], ValueError, "new should have labels from -1"),
        ([0, 10**9], [0, 1], ValueError, "old should have labels from -1"),
        ([0, 1], [0, 1, 2], ValueError, "inconsistent numbers of samples"),
        ([-1, 0], [0, -1], ValueError, "nothing to match"),
    ],
)
def test_what_is_no_clustering_is_refused(old, new, error, message):
    with pytest.raises(error, match=message):
        match_clusters(old, new)


def test_rows_have_to_be_given_where_an_estimator_has_to_label_them():
    with pytest.raises(ValueError, match="X may be left out"):
        match_clusters(brief_fit(), [0, 1])
    with pytest.raises(ValueError, match="new has 2 labels, but X has 160 rows"):
        match_clusters(brief_fit(), [0, 1], X)
    with pytest.raises(ValueError, match="min_share"):
        match_clusters([0], [0], min_share=0.0)


# ---- Numbers that stay


@pytest.mark.parametrize("cls", [MPCCClusterer, VaDEClusterer])
@pytest.mark.parametrize("kind", DATA)
def test_all_that_has_numbers_follows(cls, kind, tmp_path):
    given = DATA[kind]
    clusterer = brief_fit(cls, given)
    before = copy.deepcopy(clusterer)
    order = np.array([2, 0, 3, 1])  # the k-th will be what the order[k]-th was
    number = np.argsort(order)
    # A fit does not see rows of weight 0.
    clusterer.pseudo_labels_ = np.where(np.arange(len(X)) < 5, -1, clusterer.pseudo_labels_)
    match = renumber_clusters(clusterer, number[clusterer.predict(given)], given)
    assert match.old_of_new.tolist() == [0, 1, 2, 3]
    assert match.kept_share == 1.0
    clusterer.save(tmp_path / "model.safetensors")
    for after in (clusterer, cls.load(tmp_path / "model.safetensors")):
        np.testing.assert_array_equal(after.predict(given), number[before.predict(given)])
        np.testing.assert_array_equal(after.labels_, number[before.labels_])
        np.testing.assert_array_equal(after.pseudo_labels_[5:], number[before.pseudo_labels_[5:]])
        assert (after.pseudo_labels_[:5] == -1).all()
        np.testing.assert_allclose(
            after.predict_proba(given), before.predict_proba(given)[:, order], rtol=1e-9, atol=1e-12
        )
        by_cluster = ["means_", "covariances_", "weights_"]
        by_cluster += ["code_means_", "code_covariances_"] if cls is VaDEClusterer else []
        for name in by_cluster:
            np.testing.assert_array_equal(getattr(after, name), getattr(before, name)[order])
        decoded = after.inverse_transform(after.means_)
        if kind == "frame":
            expected = before.cluster_centers_.iloc[order].reset_index(drop=True)
            pd.testing.assert_frame_equal(after.cluster_centers_, expected)
            pd.testing.assert_frame_equal(decoded, after.cluster_centers_)
        else:
            np.testing.assert_array_equal(after.cluster_centers_, before.cluster_centers_[order])
            np.testing.assert_allclose(decoded, after.cluster_centers_, rtol=1e-5, atol=1e-5)
        for k in range(4):
            (new, y), (old, _) = after.sample(5, cluster=k), before.sample(5, cluster=order[k])
            assert (y == k).all()
            assert np.array_equal(np.asarray(new, object), np.asarray(old, object))
        for by in ("density", "information"):
            scores = [each.score_samples(given, by=by) for each in (after, before)]
            np.testing.assert_allclose(*scores, rtol=1e-6, atol=1e-6)


def test_images():
    given = images((40, 8, 8))
    clusterer = brief_fit(given=given, n_clusters=3)
    before = copy.deepcopy(clusterer)
    number = np.array([1, 2, 0])
    renumber_clusters(clusterer, number[clusterer.labels_], given)
    np.testing.assert_array_equal(clusterer.predict(given), number[before.predict(given)])
    np.testing.assert_array_equal(clusterer.cluster_centers_[number], before.cluster_centers_)


def test_every_attribute_of_clusters_says_so():
    """Of those that a fit sets, so that a new one cannot be forgotten."""
    for cls in (MPCCClusterer, VaDEClusterer):
        clusterer = brief_fit(cls, given=X[:50, :3], latent_dim=5)
        for name, value in vars(clusterer).items():
            if name.endswith("_") and isinstance(value, np.ndarray) and value.ndim:
                declared = clusterer._saved_attributes[name]
                assert (len(value) == 4) == ("n_clusters" in declared), name
                assert (value.dtype.kind == "i") == ("cluster" in declared), name


def test_the_last_step_of_a_pipeline():
    pipeline = make_pipeline(StandardScaler(), brief_fit()).fit(X)
    labels = pipeline.predict(X)
    older = clone(pipeline).fit(X)
    renumber_clusters(older, np.array([3, 2, 1, 0])[labels], X)
    match = renumber_clusters(pipeline, older, X)
    np.testing.assert_array_equal(pipeline.predict(X), np.array([3, 2, 1, 0])[labels])
    assert match.kept_share == 1.0


def test_new_clusters_take_the_numbers_that_are_left():
    clusterer = brief_fit()
    labels = clusterer.labels_
    # Of the four only two match: 1 keeps its number, 0 was the old number 2.
    like = np.select([labels == 0, labels == 1], [2, 1], -1)
    match = renumber_clusters(clusterer, like, X)
    assert match.old_of_new.tolist() == [-1, 1, 2, -1]
    np.testing.assert_array_equal(clusterer.labels_, np.array([2, 1, 0, 3])[labels])


def test_numbers_beyond_the_last_cannot_be_kept():
    clusterer = brief_fit()
    labels = clusterer.labels_
    like = np.array([9, 0, 7, 1])[labels]
    match = renumber_clusters(clusterer, like, X)
    assert match.old_of_new.tolist() == [0, 1, 9, 7]
    assert match.moved == {9: 2, 7: 3}
    assert match.gone == (2, 3, 4, 5, 6, 8)
    np.testing.assert_array_equal(clusterer.predict(X), np.array([2, 0, 3, 1])[labels])


def test_equal_matches_stay_the_ones_that_were_taken():
    clusterer = brief_fit()
    labels = clusterer.labels_
    # Each old cluster has half of the rows of each new one.
    like = np.zeros_like(labels)
    for k in range(4):
        like[np.flatnonzero(labels == k)[::2]] = 1
    match = renumber_clusters(clusterer, like, X)
    assert {0, 1} <= set(match.old_of_new.tolist())
    assert match.moved == {}


def test_copies_on_other_devices_are_made_anew():
    clusterer = brief_fit()
    clusterer._fitted._copies[torch.device("meta")] = clusterer._fitted
    renumber_clusters(clusterer, np.array([3, 2, 1, 0])[clusterer.labels_], X)
    assert clusterer._fitted._copies == {}


def test_a_fit_goes_on_with_the_new_numbers():
    """As the one that was not renumbered: by the networks of the training, which follow, too."""
    slow = {
        "learning_rate": 1e-9,
        "preset_params": QUICK["preset_params"] | {"prior_learning_rate": 1e-9},
    }
    clusterer, number = brief_fit(warm_start=True), np.array([3, 2, 1, 0])
    other = copy.deepcopy(clusterer)
    renumber_clusters(clusterer, number[clusterer.labels_], X)
    labels = [each.set_params(**slow).fit_predict(X) for each in (clusterer, other)]
    assert np.mean(labels[0] == number[labels[1]]) > 0.98


@pytest.mark.parametrize("failing", ["permute_clusters", "to_given"])
def test_after_an_error_all_is_as_it_was(monkeypatch, failing):
    clusterer = brief_fit(given=DATA["frame"])
    before, kept = copy.deepcopy(clusterer), dict(vars(clusterer))

    def fail(*arguments):
        raise MemoryError("full")

    place = LatentModel if failing == "permute_clusters" else type(clusterer._fitted.format)
    monkeypatch.setattr(place, failing, fail)
    with pytest.raises(MemoryError, match="full"):
        renumber_clusters(clusterer, np.array([3, 2, 1, 0])[clusterer.labels_], DATA["frame"])
    monkeypatch.undo()
    assert vars(clusterer) == kept or all(vars(clusterer)[name] is kept[name] for name in kept)
    np.testing.assert_array_equal(
        clusterer.predict_proba(DATA["frame"]), before.predict_proba(DATA["frame"])
    )


def test_other_estimators_have_nothing_to_renumber():
    classifier = MPCCClassifier()
    for estimator in (classifier, KMeans(2), make_pipeline(StandardScaler(), KMeans(2)), "text"):
        with pytest.raises(TypeError, match="estimator should be a fitted MPCCClusterer or VaDE"):
            renumber_clusters(estimator, [0, 1], X[:2])
    with pytest.raises(NotFittedError):
        renumber_clusters(MPCCClusterer(), [0, 1], X[:2])


def test_two_fits_of_the_same_rows_have_the_same_numbers():
    first, second = (brief_fit(random_state=seed) for seed in (0, 1))
    match = renumber_clusters(second, first, X)
    assert match.kept_share > 0.95
    assert np.mean(first.predict(X) == second.predict(X)) == pytest.approx(match.kept_share)
