"""Data frames: columns without numbers, or that number the rows, and names in fits that go on."""

import datetime as dt
import decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.datasets import load_iris
from support import BRIEF

from skmpcc import AIM, VAE, MPCCClassifier, MPCCClusterer
from skmpcc.data.frames import numbers_rows
from skmpcc.model_selection import suggest_n_clusters

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

N = 40
Y = np.arange(N) % 2
PARAMETERS = {
    MPCCClusterer: BRIEF | {"n_clusters": 2, "random_state": 0},
    MPCCClassifier: {"max_iter": 3, "width": 8, "random_state": 0},
    AIM: {"max_iter": 3, "width": 8, "random_state": 0},
    VAE: {"max_iter": 3, "width": 8, "random_state": 0},
}


def frame(**columns):
    X = np.random.default_rng(0).normal(size=(N, 2))
    return pd.DataFrame(X, columns=["height", "width"]).assign(**columns)


@pytest.fixture(params=PARAMETERS, ids=lambda kind: kind.__name__)
def estimator(request):
    return request.param(**PARAMETERS[request.param])


DAYS = pd.date_range("2020-01-01", periods=N)
NO_NUMBERS = {
    "dates": (DAYS, "dates"),
    "dates with a zone": (DAYS.tz_localize("UTC"), "dates"),
    "dates of Python": ([dt.date(2020, 1, 1)] * N, "dates"),
    "periods": (DAYS.to_period("D"), "objects of type Period"),
    "durations": (DAYS - DAYS[0], "durations"),
    "intervals": (pd.interval_range(0, N), "objects of type Interval"),
    "lists": ([[1, 2]] * N, "objects of type list"),
}


@pytest.mark.parametrize("kind", NO_NUMBERS)
def test_a_column_without_numbers_is_named(kind, estimator):
    values, what = NO_NUMBERS[kind]
    X = frame(other=values)
    with pytest.raises(
        ValueError, match=r"X has columns that hold neither numbers nor categories: 'other' \(" + what
    ) as info:
        estimator.fit(X, Y)
    assert "X.drop(columns=['other'])" in str(info.value)
    assert not hasattr(estimator, "feature_names_in_")
    numbers = frame(other=np.linspace(0.0, 1.0, N))
    estimator.fit(numbers, Y)
    with pytest.raises(ValueError, match="'other'"):
        estimator.transform(X)


def test_tables_of_arrow_are_taken():
    X = frame()
    expected = AIM(**PARAMETERS[AIM]).fit(X.to_numpy()).transform(X.to_numpy())
    table = pa.Table.from_pandas(X)
    np.testing.assert_array_equal(AIM(**PARAMETERS[AIM]).fit(table).transform(table), expected)
    aim = AIM(**PARAMETERS[AIM]).fit(pa.Table.from_pandas(frame(kind=["a", "b"] * (N // 2))))
    assert set(aim.sample(9).column("kind").to_pylist()) <= {"a", "b"}


@pytest.mark.parametrize(
    "values",
    [
        pd.array(
            [decimal.Decimal(i % 7) / 4 for i in range(N)], dtype=pd.ArrowDtype(pa.decimal128(5, 2))
        ),
        pd.array(np.arange(N) % 7, dtype=pd.ArrowDtype(pa.int8())),
        pd.array(np.arange(N) % 7, dtype="Int64"),
        pd.array(np.arange(N) % 2 == 0, dtype="boolean"),
        pd.array(np.arange(N) % 7 / 2, dtype="Float32"),
        pd.arrays.SparseArray(np.arange(N) % 7 / 2),
        np.arange(N) % 2 == 0,
        [decimal.Decimal(i % 7) / 4 for i in range(N)],
        np.array([i % 7 for i in range(N)], dtype=object),
    ],
    ids=[
        "decimal of Arrow",
        "int8 of Arrow",
        "Int64",
        "boolean",
        "Float32",
        "sparse",
        "bool",
        "Decimal",
        "object",
    ],
)
def test_columns_of_numbers_are_taken(values):
    X = frame(other=values)
    found = AIM(**PARAMETERS[AIM]).fit(X).transform(X)
    expected = AIM(**PARAMETERS[AIM]).fit(X.astype(float)).transform(X.astype(float))
    np.testing.assert_array_equal(found, expected)


def test_the_number_of_clusters_is_found_in_frames_of_categories_too():
    rng = np.random.default_rng(0)
    kind = np.repeat(["a", "b", "c"], 40)
    X = pd.DataFrame({"kind": kind, "x": np.repeat([0.0, 5.0, 10.0], 40) + rng.normal(size=120)})
    X.loc[::9, "x"] = np.nan
    assert suggest_n_clusters(X, range(2, 6), n_resamplings=2, random_state=0).n_clusters == 3


# ---- Columns that number the rows

SHUFFLED = np.random.default_rng(0).permutation(N)
SOME = np.sort(np.random.default_rng(0).permutation(10 * N)[:N])


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("", SOME),
        ("Unnamed: 0", SOME),
        ("Unnamed: 0", SHUFFLED),
        ("rownames", SOME),
        ("id", SOME * 1000.0),
        ("X", SOME),
        ("PassengerId", SOME),
        ("customer_id", SOME),
        ("ID", -SOME),
        ("index", SOME),
        ("level_0", SOME),
        ("No.", SOME),
        ("S.No", SOME),
        ("Sample Number", SOME),
        ("case_no", SOME),
        ("#", SOME),
        ("height", np.arange(N)),
        ("height", SHUFFLED + 17.0),
        (None, np.arange(N)),
        (3, SHUFFLED),
    ],
)
def test_columns_that_number_rows(name, values):
    assert numbers_rows(name, values)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("height", SOME),
        ("width", SOME),
        ("paid", SOME),
        ("x", np.arange(5)),
        ("id", np.arange(N) // 2),
        ("X", np.random.default_rng(1).permutation(10 * N)[:N]),
        ("id", np.arange(N) + 0.5),
        ("id", np.array([1.0, np.nan, 3.0])),
        ("id", np.array([1.0, np.inf, 3.0])),
        ("id", np.array(["a", "b"])),
        ("id", np.array([True, False])),
        ("id", np.array([1])),
        ("number of rooms", SOME),
        (None, SOME),
        ("x", np.arange(N) / 7),
        ("x", np.append(np.arange(N - 1), 5)),
    ],
)
def test_columns_that_measure(name, values):
    assert not numbers_rows(name, values)


@pytest.mark.parametrize("name", ["id", "Unnamed: 0", "step"])
def test_columns_that_number_rows_stay_with_a_warning(estimator, name):
    X = frame(**{name: np.arange(N), "flag": Y == 0})
    with pytest.warns(UserWarning, match=rf"number its rows, .*: '{name}'. .*drop\(columns=") as caught:
        estimator.fit(X, Y)
    assert [each.filename for each in caught if "number its rows" in str(each.message)] == [__file__]
    assert estimator.n_features_in_ == 4


def test_other_frames_do_not_warn(recwarn):
    AIM(**PARAMETERS[AIM]).fit(load_iris(as_frame=True).data)
    AIM(**PARAMETERS[AIM]).fit(pd.DataFrame({"id": np.arange(N), "no": SHUFFLED}))
    assert not [each for each in recwarn if "number its rows" in str(each.message)]


# ---- Names in fits that go on, and after others


@pytest.mark.parametrize("change", ["order", "names"])
def test_a_fit_that_goes_on_has_the_same_columns(change):
    X = frame(depth=np.linspace(0, 1, N) ** 2)
    clusterer = MPCCClusterer(**PARAMETERS[MPCCClusterer], warm_start=True).fit(X)
    before = dict(vars(clusterer))
    other = X[["width", "height", "depth"]] if change == "order" else X.rename(columns={"width": "w"})
    message = "should match those that were passed during fit"
    for method in (clusterer.predict, clusterer.fit):
        with pytest.raises(ValueError, match=message):
            method(other)
    assert dict(vars(clusterer)) == before
    clusterer.fit(X)
    assert clusterer.feature_names_in_.tolist() == ["height", "width", "depth"]
    clusterer.set_params(warm_start=False).fit(other)
    assert clusterer.feature_names_in_.tolist() == list(other.columns)


def test_names_of_a_frame_go_with_it(tmp_path, estimator, monkeypatch):
    """A memory map that is read in slices left those of the frame before, and the file was no use."""
    monkeypatch.setattr("skmpcc.data.sliced.MAX_BYTES", 8 * 5 * 12)
    X = np.random.default_rng(0).normal(size=(N, 5)).astype(np.float32)
    mapped = np.memmap(tmp_path / "x", dtype=np.float32, mode="w+", shape=X.shape)
    mapped[:] = X
    for other in (mapped, X, X.tolist()):
        estimator.fit(frame(depth=np.linspace(0, 1, N) ** 2), Y)
        assert estimator.feature_names_in_.tolist() == ["height", "width", "depth"]
        estimator.fit(other, Y)
        assert not hasattr(estimator, "feature_names_in_")
        assert estimator.n_features_in_ == 5
        estimator.save(tmp_path / "model")
        again = type(estimator).load(tmp_path / "model")
        np.testing.assert_array_equal(again.transform(X), estimator.transform(X))
