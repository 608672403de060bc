"""Clusters told in words: rules, effects, typical and doubtful rows."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris, load_wine, make_blobs
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from support import BRIEF, images

from skmpcc import MPCCClusterer
from skmpcc.inspection import describe_clusters
from skmpcc.inspection.columns import TableColumn
from skmpcc.inspection.description import cluster_descriptions
from skmpcc.inspection.effects import effects_by_cluster
from skmpcc.inspection.rules import find_rule, number_between

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RANDOM = np.random.default_rng(0)
HALF = np.arange(60) % 2


class Labels:
    """A clusterer that knows the labels already."""

    def __init__(self, labels):
        self.labels = np.asarray(labels)

    def predict(self, X):
        return self.labels


def rule_of(X, labels, cluster=1, **parameters):
    return describe_clusters(Labels(labels), X, **parameters).loc[cluster]


# ---- Rules


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        (np.where(HALF, 1.04, 3.07) + 0.1 * RANDOM.random(60), "a <= 2"),
        (np.where(HALF, 7, 3), "a > 5"),
        (np.where(HALF, 4, 3), "a > 3"),  # and not 3.5, of whole numbers
        (np.where(HALF, 3.0, 4.0), "a <= 3"),
        (np.where(HALF, 1.7e9 + 2, 1.7e9), "a > 1700000000"),
        (np.where(HALF, 1.7e9 + 0.25, 1.7e9 + 0.125), "a > 1700000000.2"),
        (np.where(HALF, 1e305, -1e305), "a > 0"),
        (np.where(HALF, np.float32(0.1), np.float32(0.2)).astype(np.float32), "a <= 0.15"),
        (np.where(HALF, "b & c", "d"), "a = b & c"),
        (np.where(HALF, True, False), "a = True"),
        (np.where(HALF, np.nan, RANDOM.random(60)), "a is missing"),
        (np.where(HALF, RANDOM.random(60), np.nan), "a is not missing"),
        (np.array(["x", "y", "z"])[np.where(HALF, 1, 2 * (np.arange(60) % 4 // 2))], "a = y"),
        (np.array(["x", "y", "z"])[np.where(HALF, 2 * (np.arange(60) % 4 // 2), 1)], "a is not y"),
        (
            pd.Categorical.from_codes(np.where(HALF, 2, np.arange(60) % 4 // 2), ["l", "m", "h"], True),
            "a > m",
        ),
        (np.where(HALF, 5, 1 + 8 * (np.arange(60) % 4 // 2)), "3 < a <= 7"),
    ],
)
def test_rules_in_the_columns_own_values(values, rule):
    X = pd.DataFrame({"a": values, "other": RANDOM.random(60)})
    found = rule_of(X, HALF)
    assert found["rule"] == rule
    assert found["precision"] == found["recall"] == 1.0


def test_precision_and_recall_are_those_of_the_rule_as_it_is_written():
    X = pd.DataFrame(RANDOM.normal(size=(500, 4)).round(3), columns=list("abcd"))
    labels = KMeans(5, n_init=1, random_state=0).fit(X).labels_
    for k, found in describe_clusters(Labels(labels), X).iterrows():
        fulfil = X.query(found["rule"]).index
        assert found["precision"] == np.mean(labels[fulfil] == k)
        assert found["recall"] == np.isin(np.flatnonzero(labels == k), fulfil).mean()
        assert len(fulfil) > 0


@pytest.mark.parametrize("most", [1, 2, 3])
def test_rules_have_few_conditions_and_none_that_is_of_no_use(most):
    X, y = make_blobs(300, 5, centers=6, random_state=1)
    columns = [TableColumn(f"x{j}", part, "number") for j, part in enumerate(X.T)]
    for k in range(6):
        inside = y == k
        rule = find_rule(columns, inside, most, np.arange(300), 0)
        n_bounds = rule.text.count("<") + rule.text.count(">")
        assert 1 <= n_bounds <= most
    # One condition tells all, and no more are written.
    assert rule_of(np.stack([HALF, RANDOM.random(60)], axis=1), HALF)["rule"] == "x0 > 0"


@pytest.mark.full_pseudo_labels
@pytest.mark.parametrize("load", [load_iris, load_wine])
def test_rules_tell_the_clusters_of_real_tables(load):
    X = load(as_frame=True).data
    clusterer = MPCCClusterer(3, labels_only=True, max_iter=100, random_state=0).fit(X)
    found = describe_clusters(clusterer, X)
    assert found["precision"].mean() > 0.9
    assert found["recall"].mean() > 0.9


def test_thresholds_are_short_numbers_between_the_two():
    random = np.random.default_rng(0)
    for scale in (1e-300, 1e-3, 1.0, 1e7, 1e300):
        for low, high in np.sort(random.normal(size=(200, 2)) * scale, axis=1):
            number = number_between(low, high, whole=False)
            assert low <= number < high
            assert low + (high - low) / 5 < number < high - (high - low) / 5
    for low, high in np.sort(random.integers(-1000, 1000, size=(200, 2)), axis=1):
        if low < high:
            number = number_between(low, high, whole=True)
            assert number == int(number)
            assert low <= number < high
    assert number_between(0.6, 1.0, whole=False) == 0.8
    assert number_between(1.0, np.nextafter(1.0, 2.0), whole=False) == 1.0


def test_large_tables_are_looked_at_in_part_and_measured_in_whole(monkeypatch):
    monkeypatch.setattr("skmpcc.inspection.description.MAX_ROWS", 100)
    monkeypatch.setattr("skmpcc.inspection.description.MAX_COLUMNS", 3)
    X = np.random.default_rng(0).normal(size=(2000, 10))
    labels = (X[:, 7] > 0.51234).astype(int)
    found = rule_of(X, labels)
    assert found["rule"].startswith("x7 > ")
    chosen = X[:, 7] > float(found["rule"].removeprefix("x7 > "))
    assert found["precision"] == np.mean(labels[chosen])
    assert 0.9 < min(found["precision"], found["recall"]) < 1.0


# ---- Effects


def test_effects_are_differences_of_means_in_standard_deviations():
    X = pd.DataFrame(
        {
            "size": 3.0 * HALF + RANDOM.random(60),
            "noise": RANDOM.random(60),
            "kind": np.where(RANDOM.random(60) < 0.1 + 0.8 * HALF, "street", "road"),
            "constant": 1.0,
        }
    )
    X.loc[:3, "size"] = np.nan
    found = rule_of(X, HALF, n_features=3)
    effects = found["effects"]
    means = X["size"].groupby(HALF).mean()
    assert effects["size"] == pytest.approx((means[1] - means[0]) / X["size"].std(ddof=0))
    streets = (X["kind"] == "street").astype(float)
    shares = streets.groupby(HALF).mean()
    assert effects["kind = street"] == pytest.approx((shares[1] - shares[0]) / streets.std(ddof=0))
    assert list(effects) == sorted(effects, key=lambda name: -abs(effects[name]))
    assert len(effects) == 3
    assert f"kind = street {shares[1]:.0%} (rest {shares[0]:.0%})" in found["features"]
    assert f"size {means[1]:.2f}"[:8] in found["features"]


def test_the_most_telling_category_stands_for_its_column():
    kinds = np.array(["a", "b", "c"])[np.arange(90) % 3]
    X = pd.DataFrame({"kind": kinds, "n": RANDOM.random(90)})
    found = describe_clusters(Labels(np.arange(90) % 3), X)
    for k, name in enumerate("abc"):
        assert f"kind = {name}" in found.loc[k, "effects"]
        assert sum(each.startswith("kind") for each in found.loc[k, "effects"]) == 1


def test_missing_values_may_set_a_cluster_apart():
    X = pd.DataFrame({"a": np.where(HALF & (RANDOM.random(60) < 0.9), np.nan, RANDOM.random(60))})
    X["b"] = RANDOM.random(60)
    assert next(iter(rule_of(X, HALF)["effects"])) == "a is missing"


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e300])
def test_effects_do_not_depend_on_units(scale):
    X = RANDOM.random((60, 2)) + HALF[:, None]
    expected = rule_of(X, HALF)["effects"]
    assert rule_of(X * scale, HALF)["effects"] == pytest.approx(expected)


def test_rows_without_a_cluster_are_among_the_rest():
    column = TableColumn("a", np.array([0.0, 0.0, 3.0, 3.0]), "number")
    ((effect,),) = effects_by_cluster([column], np.array([0, 0, -1, -1]), 1)
    assert (effect.mean, effect.mean_of_rest, effect.effect) == (0.0, 3.0, -2.0)


# ---- Rows


def test_typical_and_doubtful_rows():
    X, _ = make_blobs(120, 2, centers=3, random_state=0)
    clusterer = MPCCClusterer(3, **BRIEF | {"pseudo_labels": "kmeans", "random_state": 0}).fit(X)
    found = describe_clusters(clusterer, X, n_rows=4)
    memberships, labels = clusterer.predict_proba(X), clusterer.predict(X)
    own = np.log(memberships[np.arange(120), labels]) + clusterer.score_samples(X)
    for k, row in found.iterrows():
        inside = np.flatnonzero(labels == k)
        assert row["typical"] == inside[np.argsort(-own[inside])[:4]].tolist()
        least = np.sort(memberships[inside, k])[:4]
        assert memberships[row["doubtful"], k].tolist() == least.tolist()
        assert row["size"] == len(inside)
        assert row["share"] == len(inside) / 120


def test_other_clusterers_have_what_they_can_have():
    X, _ = make_blobs(90, 2, centers=3, random_state=0)
    mixture = describe_clusters(GaussianMixture(3, random_state=0).fit(X), X)
    assert [len(rows) for rows in mixture["typical"]] == [3, 3, 3]
    centers = describe_clusters(KMeans(3, n_init=1, random_state=0).fit(X), X)
    assert centers["typical"].tolist() == centers["doubtful"].tolist() == [[], [], []]
    assert centers["rule"].notna().all()


def test_the_stability_is_told_where_a_fit_measured_it():
    X, _ = make_blobs(60, 2, centers=2, random_state=0)
    clusterer = MPCCClusterer(2, **BRIEF | {"random_state": 0}).fit(X)
    clusterer.__dict__.pop("cluster_stability_", None)
    assert describe_clusters(clusterer, X)["stability"].isna().all()
    clusterer.cluster_stability_ = np.array([0.5, 0.75])
    assert describe_clusters(clusterer, X)["stability"].tolist() == [0.5, 0.75]


# ---- What is described


def test_frames_arrays_and_tensors_say_the_same():
    X = load_iris(as_frame=True).data[::3]
    labels = np.repeat([0, 1, 2], [17, 17, 16])
    expected = describe_clusters(Labels(labels), X)
    for given in (pl.from_pandas(X), pl.from_pandas(X).to_arrow()):
        pd.testing.assert_frame_equal(describe_clusters(Labels(labels), given), expected)
    numbered = X.set_axis(["x0", "x1", "x2", "x3"], axis=1)
    expected = describe_clusters(Labels(labels), numbered)
    for given in (X.to_numpy(), torch.as_tensor(X.to_numpy()), X.to_numpy().tolist()):
        pd.testing.assert_frame_equal(describe_clusters(Labels(labels), given), expected)


def test_pipelines_are_described_in_the_columns_before_their_steps():
    X = load_iris(as_frame=True).data
    pipeline = make_pipeline(
        StandardScaler(), MPCCClusterer(3, **BRIEF | {"pseudo_labels": "kmeans", "random_state": 0})
    ).fit(X)
    found = describe_clusters(pipeline, X)
    means = X[pipeline.predict(X) == 0].mean()
    name = next(iter(found.loc[0, "effects"]))
    assert f"{name} {means[name]:.2f}"[:-1] in found.loc[0, "features"]
    assert len(found.loc[0, "typical"]) == 3


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_columns_that_a_pipeline_drops_need_not_be_readable(library):
    X = pd.DataFrame(
        {
            "since": pd.date_range("2020-01-01", periods=60),
            "size": 3.0 * HALF + RANDOM.random(60),
            "name": [f"row {i}" for i in range(60)],
        }
    )
    X = X if library == "pandas" else pl.from_pandas(X)
    found = rule_of(X, HALF)
    assert found["rule"] == "size > 2"
    assert list(found["effects"]) == ["size"]


def test_columns_may_have_the_same_name_or_none_that_is_text():
    X = pd.DataFrame(np.stack([HALF, RANDOM.random(60), RANDOM.random(60)], axis=1))
    assert rule_of(X.set_axis(["a", "a", ("b", 1)], axis=1), HALF)["rule"] == "a > 0"
    assert rule_of(X, HALF)["rule"] == "0 > 0"


def test_categories_of_arrays():
    X = np.stack([HALF, RANDOM.random(60)], axis=1)
    clusterer = MPCCClusterer(2, categorical_features=[0], **BRIEF | {"random_state": 0}).fit(X)
    clusterer.labels_ = HALF
    first, second = cluster_descriptions(clusterer, X, labels=HALF)
    assert [first.rule.text, second.rule.text] == ["x0 = 0.0", "x0 = 1.0"]


def test_images_have_sizes_and_rows_alone():
    X = images((30, 8, 8))
    for given, shape in ((X, None), (X.reshape(30, 64), (8, 8))):
        clusterer = MPCCClusterer(2, image_shape=shape, **BRIEF | {"random_state": 0}).fit(given)
        found = describe_clusters(clusterer, given)
        assert found["size"].sum() == 30
        assert found["rule"].isna().all()
        assert found["features"].isna().all()
        assert found["precision"].isna().all()
        assert sum(map(len, found["typical"])) > 0


def test_clusters_with_no_row_or_all_have_no_rule():
    X = RANDOM.random((20, 2))
    clusterer = MPCCClusterer(2, **BRIEF | {"random_state": 0}).fit(X)
    all_in_one = cluster_descriptions(clusterer, X, labels=np.zeros(20, np.int64))
    for described, size in zip(all_in_one, (20, 0), strict=True):
        assert described.size == size
        assert described.rule is None
        assert described.effects == []
    # Nothing tells rows that are equal.
    assert rule_of(np.ones((60, 2)), HALF)["rule"] is None


def test_pandas_is_needed_for_the_frame_alone(monkeypatch):
    def fail(name, *arguments):
        raise ImportError(f"No module named {name}")

    X = np.stack([HALF, HALF], axis=1)
    monkeypatch.setattr("skmpcc.inspection.description.importlib.import_module", fail)
    with pytest.raises(ImportError, match="pip install pandas"):
        describe_clusters(Labels(HALF), X)
    assert cluster_descriptions(Labels(HALF), X)[0].rule.text == "x0 <= 0"


@pytest.mark.parametrize("name", ["n_features", "max_conditions", "n_rows"])
def test_what_is_no_number_of_things_is_refused(name):
    X = np.stack([HALF, HALF], axis=1)
    with pytest.raises(ValueError, match=name):
        describe_clusters(Labels(HALF), X, **{name: -1})
    with pytest.raises(TypeError, match=name):
        describe_clusters(Labels(HALF), X, **{name: 1.5})
    with pytest.raises(TypeError, match="estimator should be a fitted clusterer"):
        describe_clusters("text", X)
