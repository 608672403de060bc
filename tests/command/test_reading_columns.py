"""Columns of tables that are categories, truth values, dates, names of rows or free text."""

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from skmpcc.command.reading import read
from skmpcc.command.reading_dates import is_date


def csv_of(**columns):
    return pd.DataFrame(columns).to_csv(index=False)


def values_of(X, name):
    return [None if pd.isna(value) else value for value in X[name]]


@pytest.fixture
def frame_of(tmp_path):
    """Read a text and return the frame itself."""

    def frame(text, **options):
        (tmp_path / "frame.csv").write_text(text)
        return read(tmp_path / "frame.csv", **options).X

    return frame


# ---- Tables of numbers are given to the fit as they always were


def test_numbers_alone_are_float64_in_one_block(frame_of):
    rng = np.random.default_rng(0)
    values = np.column_stack([rng.normal(size=30), rng.integers(0, 9, 30)])
    values[3, 0] = np.nan
    X = frame_of(csv_of(a=values[:, 0], b=values[:, 1].astype(int)))
    assert X.dtypes.tolist() == [np.float64, np.float64]
    assert X.index.equals(pd.RangeIndex(30))
    np.testing.assert_array_equal(X.to_numpy(), values)


# ---- Text


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        ([f"text {i % 50}" for i in range(120)], None),
        ([f"text {i % 51}" for i in range(120)], "of text with more than 50 different values"),
        ([f"bottle {i}" for i in range(12)], "of text that name the rows"),
        ([f"bottle {i}" for i in range(11)] + [""], "of text that name the rows"),
        (["one"] * 12, "of text that have one value alone"),
        (["one", ""] * 6, "of text that have one value alone"),
        ([""] * 12, "that have no values"),
    ],
)
def test_text_of_few_values_is_categories(taken, texts, told):
    names, _, found = taken(csv_of(a=np.arange(len(texts)) % 5 / 2, text=texts))
    if told is None:
        assert (names, found) == (["a", "text"], [])
    else:
        assert (names, found) == (["a"], [f"Columns {told} are left out: text."])


def test_categories_and_gaps(frame_of):
    X = frame_of("a,kind\n1.5, red \n2,NA\n2.5,red\n3,dark blue\n3,\n")
    assert X["kind"].dtype == "category"
    assert values_of(X, "kind") == ["red", None, "red", "dark blue", None]
    assert X["a"].dtype == np.float64


def test_columns_that_are_named(frame_of, taken):
    n = 60
    text = csv_of(
        name=[f"n{i}" for i in range(n)],
        kind=["x", "y"] * 30,
        since=["2024-01-05", "2024-01-06"] * 30,
        one="z",
        a=np.arange(n) % 7,
    )
    assert taken(text)[0] == ["kind", "a"]
    X = frame_of(text, columns=["one", "a", "kind"])
    assert list(X.columns) == ["one", "a", "kind"]
    assert X.dtypes.astype(str).tolist() == ["category", "float64", "category"]
    with pytest.raises(ValueError, match=r"more than 50 different texts, .* name \(60\)"):
        frame_of(text, columns=["name", "a"])
    with pytest.raises(ValueError, match="hold neither numbers nor categories: since"):
        frame_of(text, columns=["since", "a"])
    assert list(frame_of(text, label_column="kind").columns) == ["a"]


def test_a_table_of_categories_alone(taken):
    assert taken("x,y\na,u\nb,u\na,v\n")[0] == ["x", "y"]
    # Beside them numbers of rows are none that have to be kept.
    assert taken("id,y\n4,u\n9,u\n7,v\n")[0] == ["y"]


def test_levels_of_a_saved_index(taken):
    names, _, told = taken(",,a,b\nx,0,1.5,2\nx,1,2.5,2\ny,0,3.5,1\ny,1,9.5,1\n")
    assert names == ["a", "b"]
    assert "Columns of text that name the rows are left out: Unnamed: 0." in told
    assert any("Unnamed: 1 numbers the rows together with Unnamed: 0" in each for each in told)


# ---- Numbers that cannot be read are no categories


@pytest.mark.parametrize(
    "cells",
    [
        ["3,5 kg", "2 kg"],
        ["12 %", "9 %"],
        ["$5", "€ 3"],
        ["5 years", "1 year"],
        ["10.5.1", "10.5.2"],
        ["45.1, 8.2", "46.1, 8.9"],
        ["3.5 kg", "unknown"],
    ],
)
def test_amounts(taken, cells):
    table = pd.DataFrame({"x": cells * 6, "b": np.arange(12) % 5})
    names, _, told = taken(table.to_csv(index=False))
    assert names == ["b"]
    assert told == ["Columns of numbers that have units or are in another style are left out: x."]


@pytest.mark.parametrize(
    "cells",
    [
        ["20-29", "30-39"],
        ["1st", "2nd"],
        ["<=50K", ">50K"],
        ["4wd", "2wd"],
        ["a1", "b2"],
        ["65+", "<65"],
    ],
)
def test_categories_with_digits(taken, cells):
    names, _, told = taken(csv_of(x=cells * 6, b=np.arange(12) % 5))
    assert (names, told) == (["x", "b"], [])


@pytest.mark.parametrize(
    "text",
    [
        *("2024-01-05", "2024/1/5", "05.01.2024", "1/5/24", "2024-01-05 12:30", "2024-01-05T12:30:00Z"),
        *(
            "2024-01-05 12:30:00.123+01:00",
            "12:30",
            "9:05:11 PM",
            "2024-01",
            "5 Jan 2024",
            "Jan 5, 2024",
        ),
        *("Mon, 5 January 2024", "Jan-24", "3 days 04:05:06", "-1 days +23:59:59"),
    ],
)
def test_dates(taken, text):
    assert is_date(text)
    names, _, told = taken(csv_of(x=[text, text, "", "unknown"] * 3, b=np.arange(12) % 5))
    assert (names, told) == (["b"], ["Columns of dates, times or durations are left out: x."])


@pytest.mark.parametrize(
    "text", ["May", "Monday", "2024", "20-29", "2018-19", "1-5", "1.5", "3 days", "12:3", "1st", ""]
)
def test_no_dates(text):
    assert not is_date(text)


# ---- Parquet


def test_types_of_parquet(tmp_path):
    n = 12
    places = np.arange(n)
    table = pd.DataFrame(
        {
            "number": places % 5,
            "digits": (places % 3).astype(str),
            "levels": pd.Categorical(["low", "high"] * 6, ["low", "mid", "high"], ordered=True),
            "coded": pd.Categorical([3, 7] * 6),
            "flag": pd.array([True, None, False] * 4, dtype="boolean"),
            "truth": places % 2 == 0,
            "day": [datetime.date(2024, 1, 1 + i % 3) for i in places],
            "when": pd.to_datetime(["2024-01-05", "2024-01-06"] * 6),
            "days": pd.Categorical(pd.to_datetime(["2024-01-05", "2024-01-06"] * 6)),
            "told": ["2024-01-05", "2024-01-06"] * 6,
            "lists": [[1], [2]] * 6,
            "bytes": [b"a", b"b"] * 6,
            "nothing": [None] * n,
            "exact": [Decimal("1.50"), Decimal("2.25")] * 6,
            "many": [f"text {i}" for i in places],
        },
        index=pd.Index([0, 0, *range(n - 2)], name="twice"),
    )
    table.to_parquet(tmp_path / "data.parquet")
    with pytest.warns(UserWarning, match="left out") as caught:
        X = read(tmp_path / "data.parquet").X
    kinds = {name: str(dtype) for name, dtype in X.dtypes.items()}
    assert kinds == {
        "number": "float64",
        "digits": "category",
        "levels": "category",
        "coded": "float64",
        "flag": "boolean",
        "truth": "bool",
        "exact": "float64",
    }
    assert X["levels"].cat.ordered
    assert values_of(X, "digits") == [str(i % 3) for i in range(n)]
    assert values_of(X, "flag") == [True, None, False] * 4
    told = {str(each.message) for each in caught}
    assert told == {
        "Columns of dates, times or durations are left out: day, when, days, told.",
        "Columns of text that name the rows are left out: many.",
        "Columns that hold neither numbers nor categories are left out: lists, bytes.",
        "Columns that have no values are left out: nothing.",
    }


# ---- As a fitted model has them


def test_columns_of_a_model(frame_of, tmp_path):
    text = "a,code,flag\n1,7,True\n2,7,False\n3,,True\n"
    assert frame_of(text).dtypes.astype(str).tolist() == ["float64", "float64", "bool"]
    X = frame_of(text, columns=["code", "flag", "a"], texts=["code"])
    assert values_of(X, "code") == ["7", "7", None]
    assert X["flag"].tolist() == [1.0, 0.0, 1.0]
    with pytest.raises(ValueError, match="that held numbers in the fit hold none: kind"):
        frame_of("a,kind\n1,x\n2,y\n3,x\n", columns=["a", "kind"], texts=[])
    # Categories of any number of values, as those that are unknown are missing.
    many = csv_of(a=np.arange(60) / 2, kind=[f"k{i}" for i in range(60)])
    assert len(frame_of(many, columns=["a", "kind"], texts=["kind"])["kind"].unique()) == 60
    table = pd.DataFrame(
        {"c": pd.Categorical([3, 7, 3]), "g": pd.Categorical([3, None, 7]), "t": [1, 2, 2]}
    )
    table.to_parquet(tmp_path / "data.parquet")
    X = read(tmp_path / "data.parquet", columns=["c", "g", "t"], texts=["t"]).X
    np.testing.assert_array_equal(X[["c", "g"]], [[3, 3], [7, np.nan], [3, 7]])
    assert values_of(X, "t") == ["1", "2", "2"]


def test_a_model_of_arrays_takes_numbers_alone(frame_of):
    with pytest.warns(UserWarning, match="Columns that hold no numbers are left out: kind"):
        X = frame_of("a,kind,b\n1.5,x,2\n2,y,4\n3,x,2\n", texts=[], n_columns=2)
    assert list(X.columns) == ["a", "b"]
