"""Columns of frames and arrays: to numbers and back, with the dtypes that they came in."""

import datetime as dt
import decimal
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal as assert_polars_equal

from skmpcc.data.columns import MAX_VALUES, Columns, later_numbers, needs_numbers
from skmpcc.data.frames import is_missing

QUIET = {"deadline": None, "suppress_health_check": list(HealthCheck), "derandomize": True}
EXACT = 2**53
TEXT = st.sampled_from(["", "a", "b", "B", "ä", "1", "nan", "None", "a b"])
FLAGS = st.booleans()
SINGLE = st.floats(-(2.0**99), 2.0**99, width=32)
DOUBLE = st.floats(-1e300, 1e300)
HUNDREDTHS = st.integers(-9999, 9999).map(lambda whole: decimal.Decimal(whole) / 100)


def whole(n_bits, signed=True):
    """Whole numbers of a type, its ends among them."""
    least, largest = (-(2 ** (n_bits - 1)), 2 ** (n_bits - 1) - 1) if signed else (0, 2**n_bits - 1)
    return st.integers(least, largest) | st.sampled_from([least, largest])


def gaps(values):
    return values | st.none()


def category(ordered):
    def make(values):
        levels = ["z", "b", "", "a", "ä", "B", "1", "nan", "None", "a b"]
        return pd.Categorical(values, categories=levels, ordered=ordered)

    return make


def pandas(dtype):
    return lambda values: pd.array(values, dtype=dtype)


def numpy(dtype):
    return lambda values: np.array([np.nan if v is None else v for v in values], dtype=dtype)


def objects(values):
    return np.array([*values, None], dtype=object)[:-1]


# Values of a column, and what makes a column of them.
PANDAS = {
    "float64": (gaps(DOUBLE), numpy("float64")),
    "float32": (gaps(SINGLE), numpy("float32")),
    "bool": (FLAGS, numpy("bool")),
    "Int64": (gaps(whole(64)), pandas("Int64")),
    "UInt8": (gaps(whole(8, False)), pandas("UInt8")),
    "Float64": (gaps(DOUBLE), pandas("Float64")),
    "boolean": (gaps(FLAGS), pandas("boolean")),
    "string": (gaps(TEXT), pandas("string")),
    "str": (gaps(TEXT), pandas("str")),
    "object of text": (gaps(TEXT), objects),
    "object of truth values": (gaps(FLAGS), objects),
    "category": (gaps(TEXT), category(False)),
    "ordered": (gaps(TEXT), category(True)),
    "category of numbers": (gaps(st.integers(0, 4)), lambda values: pd.Categorical(values, range(5))),
    "category of truth values": (
        gaps(FLAGS),
        lambda values: pd.Categorical(values, [False, True]),
    ),
    "double of Arrow": (gaps(DOUBLE), pandas("double[pyarrow]")),
    "int64 of Arrow": (gaps(whole(64)), pandas("int64[pyarrow]")),
    "uint64 of Arrow": (gaps(whole(64, False)), pandas("uint64[pyarrow]")),
    "bool of Arrow": (gaps(FLAGS), pandas("bool[pyarrow]")),
    "string of Arrow": (gaps(TEXT), pandas(pd.ArrowDtype(pa.string()))),
    "decimal of Arrow": (gaps(HUNDREDTHS), pandas(pd.ArrowDtype(pa.decimal128(6, 2)))),
    "dictionary of Arrow": (gaps(TEXT), pandas(pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string())))),
}
PANDAS |= {
    f"{sign}int{n}": (whole(n, not sign), numpy(f"{sign}int{n}"))
    for n in (8, 16, 32, 64)
    for sign in ("", "u")
}
WITHOUT_GAPS = {"bool", *(name for name in PANDAS if re.fullmatch(r"u?int\d+", name))}
LEVELS = ["z", "b", "", "a", "ä", "B", "1", "nan", "None", "a b"]
POLARS = {
    "Float64": (gaps(DOUBLE), pl.Float64),
    "Float32": (gaps(SINGLE), pl.Float32),
    "Int64": (gaps(whole(64)), pl.Int64),
    "Int8": (gaps(whole(8)), pl.Int8),
    "UInt8": (gaps(whole(8, False)), pl.UInt8),
    "UInt64": (gaps(whole(64, False)), pl.UInt64),
    "Boolean": (gaps(FLAGS), pl.Boolean),
    "String": (gaps(TEXT), pl.String),
    "Categorical": (gaps(TEXT), pl.Categorical),
    "Enum": (gaps(TEXT), pl.Enum(LEVELS)),
    "Decimal": (gaps(HUNDREDTHS), pl.Decimal(6, 2)),
}
# Of these the name of a dtype is not enough to make it again.
UNNAMED = {"decimal of Arrow", "dictionary of Arrow", "string of Arrow"}


@st.composite
def frames(draw, kinds=None):
    """A frame of pandas or polars, and the values of its columns."""
    library = draw(st.sampled_from(["pandas", "polars"]))
    source = PANDAS if library == "pandas" else POLARS
    names = draw(st.lists(st.sampled_from(sorted(source)), min_size=1, max_size=5, unique=True))
    n = draw(st.integers(1, 6))
    values = {name: draw(st.lists(source[name][0], min_size=n, max_size=n)) for name in names}
    if library == "pandas":
        return pd.DataFrame({name: PANDAS[name][1](each) for name, each in values.items()}), values
    made = {name: pl.Series(each, dtype=POLARS[name][1]) for name, each in values.items()}
    return pl.DataFrame(made), values


def assert_frames_equal(found, wanted):
    if isinstance(wanted, pd.DataFrame):
        pd.testing.assert_frame_equal(found, wanted, check_exact=True)
    else:
        assert_polars_equal(found, wanted, check_exact=True)


def of_file(columns):
    """Columns as a file has them, which keeps names of dtypes alone."""
    return replace(columns, columns=[replace(column, native=None) for column in columns.columns])


def float_or_whole(value):
    return float(value) if isinstance(value, decimal.Decimal) else value


def is_large(values):
    """Whether a column has whole numbers that double precision does not tell from others."""
    return any(isinstance(v, int) and abs(v) > EXACT for v in values)


@settings(max_examples=150, **QUIET)
@given(frames())
def test_frames_come_back_as_they_were(case):
    X, values = case
    columns, found = Columns.learn(X, "from_dtype")
    numbers = columns.to_numbers(X)
    if found is not None:
        np.testing.assert_array_equal(found, numbers)
    again = columns.to_given(columns.within_ranges(numbers))
    large = [name for name in values if is_large(values[name])]
    kept = [name for name in values if name not in large]
    assert type(again) is type(X)
    assert list(again.columns) == list(X.columns)
    assert list(again.dtypes) == list(X.dtypes)
    if kept:
        assert_frames_equal(again[kept], X[kept])
    for name in large:
        least = min(v for v in values[name] if v is not None)
        largest = max(v for v in values[name] if v is not None)
        series = again[name].dropna() if isinstance(X, pd.DataFrame) else again[name].drop_nulls()
        for value, wanted in zip(
            series.to_list(), [v for v in values[name] if v is not None], strict=True
        ):
            assert least <= value <= largest
            assert abs(value - wanted) <= 2**11
    named = [name for name in kept if name not in UNNAMED]
    if named:
        assert_frames_equal(of_file(columns).to_given(columns.within_ranges(numbers))[named], X[named])


@settings(max_examples=150, **QUIET)
@given(frames(), st.integers(0, 999))
def test_any_numbers_become_what_the_columns_hold(case, seed):
    """As networks give them, far off and between whole ones, but for missing values."""
    X, values = case
    columns, _ = Columns.learn(X, "from_dtype")
    random = np.random.default_rng(seed)
    numbers = random.normal(size=(9, len(values))) * 10.0 ** random.integers(-3, 25, (9, 1))
    missing = [all(v is None for v in of_column) for of_column in values.values()]
    numbers[:, missing] = np.nan
    for made in (columns, of_file(columns)):
        again = made.to_given(made.within_ranges(numbers))
        assert_frames_equal(made.to_given(made.rounded(numbers)), again)
        for name, column in zip(values, columns.columns, strict=True):
            if made is columns or name not in UNNAMED:
                assert again[name].dtype == X[name].dtype
            known = [v for v in values[name] if v is not None]
            found = again[name].to_list()
            assert [is_missing(v) for v in found] == [not known] * len(found)
            if not known:
                continue
            if column.kind in ("category", "boolean"):
                assert set(found) <= set(known)
            elif column.kind == "ordered":
                places = [LEVELS.index(v) for v in known]
                assert set(found) <= set(LEVELS[min(places) : max(places) + 1])
            else:
                known = [float_or_whole(v) for v in known]
                assert all(min(known) <= float_or_whole(v) <= max(known) for v in found)
            if column.kind == "whole":
                assert all(float(v).is_integer() for v in found)


@pytest.mark.parametrize("kind", sorted(PANDAS.keys() - WITHOUT_GAPS))
def test_columns_of_pandas_that_miss_all_values(kind):
    X = pd.DataFrame({"it": PANDAS[kind][1]([None] * 3), "other": [1.0, 2.0, 3.0]})
    columns, _ = Columns.learn(X, "from_dtype")
    numbers = columns.to_numbers(X)
    assert np.isnan(numbers[:, 0]).all()
    assert_frames_equal(columns.to_given(columns.within_ranges(numbers)), X)


@pytest.mark.parametrize("kind", POLARS)
def test_columns_of_polars_that_miss_all_values(kind):
    X = pl.DataFrame({"it": pl.Series([None] * 3, dtype=POLARS[kind][1]), "other": [1.0, 2.0, 3.0]})
    columns, numbers = Columns.learn(X, "from_dtype")
    assert np.isnan(numbers[:, 0]).all()
    assert_frames_equal(columns.to_given(columns.within_ranges(numbers)), X)


def test_tables_of_arrow_come_back():
    X = pa.table(
        {
            "number": pa.array([1.5, None, 2.0], pa.float32()),
            "whole": pa.array([7, 0, 255], pa.uint8()),
            "text": pa.array(["a", None, "b"], pa.string()),
            "flag": pa.array([True, False, None]),
        }
    )
    columns, numbers = Columns.learn(X, "from_dtype")
    assert columns.n_values == (0, 0, 2, 2)
    assert columns.to_given(numbers).equals(X)
    drawn = columns.to_given(columns.within_ranges(np.array([[0.0, 3.4, 1.0, 0.0], [9.0, 1e9, 0, 1]])))
    assert drawn.to_pydict() == {
        "number": [1.5, 2.0],
        "whole": [3, 255],
        "text": ["b", "a"],
        "flag": [False, True],
    }


def test_sparse_columns_come_back():
    X = pd.DataFrame({"it": pd.arrays.SparseArray([0.0, 2.5, 0.0]), "kind": ["a", "b", "a"]})
    columns, numbers = Columns.learn(X, "from_dtype")
    assert_frames_equal(columns.to_given(numbers), X)
    found = of_file(columns).to_given(numbers)
    pd.testing.assert_frame_equal(found.astype({"it": float}), X.astype({"it": float}))


# ---- Which columns are of categories

FRAME = pd.DataFrame(
    {
        "zip": [20095, 10115, 20095, 80331],
        "size": [1.0, 2.0, 3.0, 4.0],
        "kind": ["b", "a", None, "b"],
        "grade": pd.Categorical(["low", "high", "low", "high"], ["low", "mid", "high"], ordered=True),
    }
)


def kinds(X, categorical):
    return [column.kind for column in Columns.learn(X, categorical)[0].columns]


@pytest.mark.parametrize(
    ("categorical", "expected"),
    [
        ("from_dtype", ["whole", "number", "category", "ordered"]),
        (["zip", "kind", "grade"], ["category", "number", "category", "category"]),
        ([0, 2, -1], ["category", "number", "category", "category"]),
        ([True, False, True, True], ["category", "number", "category", "category"]),
        (np.array([True, False, True, True]), ["category", "number", "category", "category"]),
        (pd.Index(["kind", "grade"]), ["whole", "number", "category", "category"]),
        ((np.int64(2), "grade"), ["whole", "number", "category", "category"]),
    ],
)
def test_columns_are_named_in_any_way(categorical, expected):
    assert kinds(FRAME, categorical) == expected
    columns, numbers = Columns.learn(FRAME, categorical)
    assert_frames_equal(columns.to_given(columns.within_ranges(numbers)), FRAME)


def test_values_of_categories_are_in_order():
    columns, numbers = Columns.learn(FRAME, ["zip", "kind", "grade"])
    assert [column.values for column in columns.columns] == [
        [10115, 20095, 80331],
        None,
        ["a", "b"],
        ["low", "high"],
    ]
    np.testing.assert_array_equal(numbers[:, 0], [1, 0, 1, 2])
    np.testing.assert_array_equal(numbers[:, 2], [1, 0, np.nan, 1])


def test_no_column_is_of_categories_if_none_is_to_be():
    numbers = FRAME[["zip", "size"]]
    assert kinds(numbers, None) == ["whole", "number"]
    assert kinds(numbers, []) == ["whole", "number"]
    for categorical in (None, [], [False] * 4):
        with pytest.raises(ValueError, match=r"'kind' \(text such as 'b'\), 'grade' \(categories\)"):
            Columns.learn(FRAME, categorical)


@pytest.mark.parametrize("X", [FRAME[["zip", "size"]].to_numpy(), [[20095, 1.0], [10115, 2.0]]])
def test_columns_of_arrays_are_named_by_place(X):
    assert Columns.learn(X, "from_dtype") == (None, None)
    assert Columns.learn(X, None) == (None, None)
    assert Columns.learn(X, []) == (None, None)
    for categorical in ([0], [-2], [True, False]):
        columns, numbers = Columns.learn(X, categorical)
        assert columns.n_values[0] == len({row[0] for row in np.asarray(X).tolist()})
        found = columns.to_given(columns.within_ranges(numbers))
        assert found.dtype == np.float64
        np.testing.assert_array_equal(found, X)


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint8, object])
def test_arrays_with_categories_come_back(dtype):
    """Whole numbers of an array were an overflow."""
    X = np.array([[3, 7], [5, 9], [3, 8]], dtype=dtype)
    columns, numbers = Columns.learn(X, [0])
    numbers = numbers.astype(np.float32)
    found = columns.to_given(columns.within_ranges(numbers))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, X.astype(np.float32))


def test_text_in_an_array_comes_back():
    X = np.array([["b", 7.0], [None, 9.5], ["a", 8.0]], dtype=object)
    columns, numbers = Columns.learn(X, [0])
    np.testing.assert_array_equal(numbers, [[1, 7.0], [np.nan, 9.5], [0, 8.0]])
    assert columns.to_given(numbers).tolist() == X.tolist()


@pytest.mark.parametrize("categorical", [["zipcode"], [4], [-5], [1.5], [None], [["zip"]]])
def test_unknown_columns_are_named(categorical):
    with pytest.raises(ValueError, match=r"which is no column of X. Those are 'zip', 'size'") as info:
        Columns.learn(FRAME, categorical)
    assert repr(categorical[0]) in str(info.value)


def test_masks_have_to_fit():
    with pytest.raises(ValueError, match=r"a mask of shape \(3,\), but X has 4 columns"):
        Columns.learn(FRAME, [True, False, True])
    with pytest.raises(ValueError, match=r"must be 'from_dtype', None, a mask.* got 'kind'"):
        Columns.learn(FRAME, "kind")


def test_images_have_no_columns():
    with pytest.raises(ValueError, match=r"is for tables, but X has 3 dimensions. Leave it out"):
        Columns.learn(np.zeros((3, 8, 8)), [0])


def test_dates_are_named_with_what_to_do():
    X = FRAME.assign(day=[dt.date(2020, 1, 1)] * 4, at=pd.date_range("2020", periods=4))
    for categorical in ("from_dtype", ["day", "kind", "grade"]):
        with pytest.raises(
            ValueError, match=r"neither numbers nor categories: 'day' \(dates\), 'at' \(dates\)"
        ) as info:
            Columns.learn(X, categorical)
        assert "the days since the first" in str(info.value)
        assert "X.drop(columns=['day', 'at'])" in str(info.value)


def test_many_values_are_named_with_what_to_do():
    n = MAX_VALUES + 1
    X = pd.DataFrame({"name": [f"n{i}" for i in range(n)], "size": np.arange(n) / 7})
    with pytest.raises(ValueError, match=rf"more than {MAX_VALUES} values: 'name' \({n}\)") as info:
        Columns.learn(X, "from_dtype")
    assert "OneHotEncoder(max_categories=20)" in str(info.value)
    with pytest.raises(ValueError, match=rf"'name' \({n}\), 'size' \({n}\)"):
        Columns.learn(X, ["name", "size"])
    assert Columns.learn(X[1:], "from_dtype")[0].n_values == (MAX_VALUES, 0)


# ---- Later data


def test_unknown_categories_are_missing_later():
    columns, _ = Columns.learn(FRAME, ["zip", "kind", "grade"])
    later = pd.DataFrame(
        {"zip": [10115, 1], "size": [9, 8], "kind": ["c", "a"], "grade": ["mid", "high"]}
    )
    np.testing.assert_array_equal(columns.to_numbers(later), [[0, 9, np.nan, np.nan], [np.nan, 8, 0, 1]])


def test_later_data_may_be_of_other_dtypes():
    columns, numbers = Columns.learn(FRAME, "from_dtype")
    others = [
        FRAME.astype({"zip": "Float64", "kind": "category", "grade": object}),
        FRAME.astype(object),
        FRAME.to_numpy(),
        FRAME.to_numpy().tolist(),
        pl.from_pandas(FRAME.astype({"grade": str})),
    ]
    for later in others:
        assert needs_numbers(later, columns)
        np.testing.assert_array_equal(later_numbers(later, columns), numbers)


def test_numbers_that_are_none_later_are_named():
    columns, _ = Columns.learn(FRAME, "from_dtype")
    days = FRAME.assign(size=pd.date_range("2020", periods=4))
    with pytest.raises(ValueError, match=r"held numbers in the fit, and holds none: 'size' \(dates\)"):
        columns.to_numbers(days)
    with pytest.raises(ValueError, match=r"holds none: 'zip' \(text such as 'far'\)"):
        columns.to_numbers(FRAME.assign(zip="far"))
    with pytest.raises(ValueError, match="X has 3 features, but 4 were fitted"):
        columns.to_numbers(FRAME[["zip", "size", "kind"]])


def test_frames_of_numbers_alone_are_taken_as_any_array():
    X = pd.DataFrame({"a": [1.5, np.nan], "b": np.array([1, 2], np.int8), "c": [True, False]})
    for frame in (X[["a", "b"]], X.fillna(0.0), pl.from_pandas(X.fillna(0.0))):
        columns, numbers = Columns.learn(frame, "from_dtype")
        assert numbers is None
        assert columns.n_values == (0,) * len(frame.columns)
    nullable = X.assign(a=pd.array([1.5, 2.5], dtype="Float64"))
    assert Columns.learn(nullable, "from_dtype")[1] is None


# ---- Names


@pytest.mark.parametrize(
    "names",
    [
        ["a", "a", "b"],
        [0, 1, 2],
        [2, 0, 1],
        ["a", 1, None],
        [("a", 1), ("a", 2), ("b", 1)],
        [1.5, np.nan, True],
        ["\udcff", "b", "c"],
    ],
    ids=repr,
)
def test_names_of_any_kind_come_back(names):
    parts = [pd.Series([1.5, 2.5]), pd.Series(["x", None]), pd.Series([3, 4])]
    X = pd.concat(parts, axis=1)
    X.columns = pd.Index(names, dtype=object) if "\udcff" in names else names
    columns, numbers = Columns.learn(X, "from_dtype")
    assert columns.n_values == (0, 1, 0)
    assert_frames_equal(columns.to_given(columns.within_ranges(numbers)), X)


def test_columns_of_one_name_are_of_categories_together():
    X = pd.DataFrame([[1, 2, 3], [1, 3, 3]], columns=["a", "b", "a"])
    assert kinds(X, ["a"]) == ["category", "whole", "category"]


def test_places_of_columns_that_are_named_by_numbers():
    """Of names that are places both say the same, of others the name goes first."""
    X = pd.DataFrame([[1, 2, 3], [1, 3, 3]])
    assert kinds(X, [2]) == ["whole", "whole", "category"]
    assert kinds(X.set_axis([2, 1, 0], axis=1), [2]) == ["category", "whole", "whole"]
