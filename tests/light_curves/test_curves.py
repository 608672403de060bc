"""LightCurves: what they are made of, what they refuse, and that scikit-learn takes them as X."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    cross_val_predict,
    cross_val_score,
    train_test_split,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import shuffle

from skmpcc.light_curves import LightCurves, make_light_curves

FIELDS = ("times", "values", "errors", "bands", "splits", "period", "band_names", "ids")
COUNTS = (5, 3, 8, 4)


def assert_same(a, b, but=()):
    for name in set(FIELDS) - {*but}:
        one, other = getattr(a, name), getattr(b, name)
        assert (one is None) == (other is None), name
        if one is not None:
            np.testing.assert_array_equal(one, other, err_msg=name)
            assert getattr(one, "dtype", tuple) == getattr(other, "dtype", tuple), name


@pytest.fixture
def tables():
    """Unsorted times near today's Julian dates, values, errors and two bands, of four curves."""
    random = np.random.default_rng(0)
    return [
        np.column_stack(
            [
                *(2_450_000 + random.uniform(0, 99, n), random.normal(15, 1, n)),
                *(random.uniform(0.1, 0.2, n), np.arange(n) % 2),
            ]
        )
        for n in COUNTS
    ]


@pytest.fixture
def columns(tables):
    return [[table[:, k] for table in tables] for k in range(4)]


@pytest.fixture
def curves(columns):
    return LightCurves(*columns, period=[1.0, 2.0, 0.3, 40.0])


# ---- What they hold


def test_points_lie_end_to_end_by_band_and_time(curves, tables):
    assert curves.splits.tolist() == [0, 5, 8, 16, 20]
    assert curves.n_points.tolist() == list(COUNTS)
    assert (len(curves), curves.shape, curves.band_names) == (4, (4,), (0, 1))
    for table, start, end in zip(tables, curves.splits, curves.splits[1:], strict=False):
        wanted = table[np.lexsort((table[:, 0], table[:, 3]))]
        for k, name in enumerate(["times", "values", "errors", "bands"]):
            np.testing.assert_array_equal(getattr(curves, name)[start:end], wanted[:, k])
    assert {curves.times.dtype, curves.values.dtype, curves.errors.dtype} == {np.dtype(np.float64)}
    assert curves.bands.dtype == curves.splits.dtype == np.int64


def test_the_order_of_points_is_of_no_matter(tables, curves):
    random = np.random.default_rng(1)
    also = np.array([0, 0.5, 0, 0])  # another value at the same time
    repeated = [np.concatenate([table, table[:2] + also, table[:2]]) for table in tables]
    shuffled = [random.permutation(table) for table in repeated]
    assert_same(LightCurves.of(repeated), LightCurves.of(shuffled))
    assert LightCurves.of(repeated).n_points.tolist() == [n + 4 for n in COUNTS]
    assert_same(LightCurves.of([random.permutation(x) for x in tables]), curves, but=["period"])


def test_points_without_a_value_are_left_out(columns, curves):
    times, values, errors, bands = [[np.append(x, x[:2]) for x in column] for column in columns]
    for value, error in zip(values, errors, strict=True):
        value[-2:], error[-2:] = np.nan, [np.nan, -1]
    assert_same(LightCurves(times, values, errors, bands), curves, but=["period"])
    masked = [np.ma.array(np.nan_to_num(x), mask=np.isnan(x)) for x in values]
    assert_same(LightCurves(times, masked, errors, bands), curves, but=["period"])


def test_errors_bands_and_period_may_be_unknown(columns):
    curves = LightCurves(*columns[:2])
    assert curves.errors is None
    assert curves.period is None
    assert curves.ids is None
    assert curves.band_names == (0,)
    assert not curves.bands.any()
    assert repr(curves) == "LightCurves(4 curves, 20 points, bands=(0,))"
    assert curves[[1, 2]].errors is None


def test_bands_may_be_text(columns, curves, tables):
    names = np.array(["b", "r"])
    of_text = LightCurves(*columns[:3], [names[band.astype(int)] for band in columns[3]])
    assert of_text.band_names == ("b", "r")
    np.testing.assert_array_equal(of_text.bands, curves.bands)
    lists = [[[*row[:3], names[int(row[3])]] for row in table.tolist()] for table in tables]
    assert_same(LightCurves.of(lists), of_text)


def test_arrays_are_copies_that_cannot_be_written(columns, curves):
    period = np.ones(4)
    of_arrays = LightCurves(*columns, period=period)
    period[0] = columns[0][0][0] = -1
    assert of_arrays.period[0] == 1
    assert of_arrays.times.min() > 0
    with_ids = curves._with(ids=np.arange(4))
    for made in (with_ids, with_ids[1:], pickle.loads(pickle.dumps(with_ids)), copy.deepcopy(with_ids)):
        for name in {*FIELDS} - {"band_names"}:
            with pytest.raises(ValueError, match="read-only"):
                getattr(made, name)[0] = 7


def test_periods_may_come_later(columns, curves):
    assert_same(LightCurves(*columns).with_period([1.0, 2.0, 0.3, 40.0]), curves)
    assert curves.with_period(None).period is None
    with pytest.raises(ValueError, match=r"Curve 2: period must be finite and above 0, got -1\.0"):
        curves.with_period([1, 1, -1, 1])


# ---- Forms that users have


def test_the_same_curves_come_from_every_form(tables, curves):
    in_objects = np.empty(4, dtype=object)
    in_objects[:] = tables
    padded = np.full((4, 9, 4), np.nan)
    for row, table in zip(padded, tables, strict=True):
        row[: len(table)] = table
    masked = np.ma.masked_invalid(padded)
    bands = {k: [table[table[:, 3] == k][:, :3] for table in tables] for k in (0, 1)}
    forms = [tables, tuple(tables), in_objects, [x.tolist() for x in tables], padded, masked, bands]
    for form in forms:
        assert_same(LightCurves.of(form), curves, but=["period"])
    assert LightCurves.of(curves) is curves
    assert_same(LightCurves.of(list(curves)), curves)


def test_columns_may_be_missing(tables):
    for width, errors in ((2, False), (3, True)):
        made = LightCurves.of([table[:, :width] for table in tables])
        assert (made.errors is not None) == errors
        assert made.band_names == (0,)


def test_bands_of_a_dict_keep_their_order_and_may_lack_curves(tables):
    red, blue = [table[:, :3] for table in tables], [tables[0][:2, :3], [], np.empty((0, 3)), []]
    curves = LightCurves.of({"red": red, "blue": blue})
    assert curves.band_names == ("red", "blue")
    assert curves.n_points.tolist() == [7, 3, 8, 4]
    assert (curves.bands == 1).sum() == 2
    np.testing.assert_array_equal(np.sort(curves.times[5:7]), np.sort(tables[0][:2, 0]))
    nothing = LightCurves.of({"red": red, "blue": [[]] * 4})
    assert nothing.band_names == ("red", "blue")
    assert nothing.errors is not None


def test_bands_follow_those_of_other_curves(curves, columns):
    names = np.array(["b", "r"])
    of_text = LightCurves(*columns[:3], [names[band.astype(int)] for band in columns[3]])
    other = of_text.with_bands(["r", "x", "b"])
    assert other.band_names == ("r", "x", "b")
    assert set(other.bands) == {0, 2}
    assert_same(other.with_bands(["b", "r"]), of_text)
    only_red = LightCurves(*columns[:3], [np.full(n, "r") for n in COUNTS])
    assert only_red.with_bands(("b", "r")).bands.tolist() == [1] * 20
    with pytest.raises(ValueError, match=r"Curve 0: band 'r' is unknown, wanted one of \('b', 'x'\)"):
        of_text.with_bands(["b", "x"])


# ---- Data frames


def frame_of(tables, names, random):
    pandas = pytest.importorskip("pandas")
    parts = [
        pandas.DataFrame(table, columns=["time", "value", "error", "band"]).assign(id=name, P=k + 1.0)
        for k, (name, table) in enumerate(zip(names, tables, strict=True))
    ]
    frame = pandas.concat(parts, ignore_index=True)
    return frame.iloc[random.permutation(len(frame))]


@pytest.mark.parametrize("kind", ["pandas", "nullable", "dict", "pyarrow"])
def test_curves_come_from_a_frame_with_rows_in_any_order(tables, curves, kind):
    names = np.array(["V9", "V1", "x", "V10"])
    frame = frame_of(tables, names, np.random.default_rng(0))
    first_seen = frame["id"].unique().tolist()
    if kind == "nullable":
        frame = frame.convert_dtypes()
    elif kind == "dict":
        frame = {name: frame[name].to_numpy() for name in frame}
    elif kind == "pyarrow":
        frame = pytest.importorskip("pyarrow").Table.from_pandas(frame)
    made = LightCurves.from_frame(frame, band="band", period="P")
    assert made.ids.tolist() == first_seen != sorted(first_seen)
    order = [first_seen.index(name) for name in names]
    assert_same(made[order], curves, but=["period", "ids"])
    assert made[order].period.tolist() == [1, 2, 3, 4]
    assert made[order].ids.tolist() == names.tolist()


def test_a_frame_may_lack_errors_bands_and_periods(tables):
    frame = frame_of(tables, [3, 1, 2, 0], np.random.default_rng(0))
    frame = frame.rename(columns={"id": "star", "time": "JD", "value": "mag"})
    made = LightCurves.from_frame(frame, id="star", time="JD", value="mag", error=None)
    assert made.errors is made.period is None
    assert made.ids.dtype == np.int64
    assert sorted(made.ids) == [0, 1, 2, 3]


def with_value(frame, row, column, value):
    frame = frame.astype({column: object})
    frame.loc[row, column] = value
    return frame


def test_what_a_frame_lacks_is_named(tables):
    frame = frame_of(tables, ["a", "b", "c", "d"], np.random.default_rng(0)).sort_index()
    read = LightCurves.from_frame
    for options, message in {
        ("error", "e"): r"error must be a column of the frame or None, \[.*'value'.*\], got 'e'",
        ("time", "t"): r"time must be a column of the frame, \[.*\], got 't'",
    }.items():
        with pytest.raises(ValueError, match=message):
            read(frame, **{options[0]: options[1]})
    with pytest.raises(ValueError, match=r"id='id' must name a curve in every row, got \[None\]"):
        read(with_value(frame, 6, "id", None))
    with pytest.raises(ValueError, match="must name a curve in every row, got no rows"):
        read(frame.iloc[:0])
    with pytest.raises(ValueError, match=r"Curve 1 \('b'\): period must be one .*, got 2\.0 and 9\.0"):
        read(with_value(frame, 6, "P", 9), period="P")
    with pytest.raises(
        ValueError, match=r"Curve 1 \('b'\): errors must be finite and above 0, got 0\.0"
    ):
        read(with_value(frame, 6, "error", 0))
    with pytest.raises(
        ValueError, match=r"Curve 1 \('b'\): bands must be whole numbers or text, got 0\.5"
    ):
        read(with_value(frame, 6, "band", 0.5), band="band")
    with pytest.raises(TypeError, match=r"value='value' must hold numbers, got text such as 'x'"):
        read(with_value(frame, 6, "value", "x"))
    with pytest.raises(TypeError, match=r"time='time' must hold numbers, got datetime64"):
        read(frame.assign(time=np.datetime64("2020-01-01")))
    with pytest.raises(ValueError, match=r"Column value must have shape \(20,\), got \(3,\)"):
        read({name: frame[name].to_numpy() for name in frame} | {"value": np.ones(3)})
    with pytest.raises(TypeError, match=r"X is a data frame: LightCurves\.from_frame"):
        LightCurves.of(frame)


# ---- Bad input


def changed(column, value, row=2, point=1):
    return [np.r_[x[:point], value, x[point + 1 :]] if i == row else x for i, x in enumerate(column)]


def replaced(column, curve, row=2):
    return [curve if i == row else x for i, x in enumerate(column)]


BAD_POINTS = {
    "nan time": (0, np.nan, r"times must be finite, got nan"),
    "infinite time": (0, np.inf, r"times must be finite, got inf"),
    "infinite value": (1, -np.inf, r"values must be finite, got -inf"),
    "error of 0": (2, 0.0, r"errors must be finite and above 0, got 0\.0"),
    "negative error": (2, -0.1, r"errors must be finite and above 0, got -0\.1"),
    "nan error": (2, np.nan, r"errors must be finite and above 0, got nan"),
    "infinite error": (2, np.inf, r"errors must be finite and above 0, got inf"),
    "nan band": (3, np.nan, r"bands must be whole numbers or text, got nan"),
    "band of a fraction": (3, 1.5, r"bands must be whole numbers or text, got 1\.5"),
}


@pytest.mark.parametrize("kind", BAD_POINTS)
def test_a_bad_point_is_refused_and_its_curve_named(columns, tables, kind):
    column, value, message = BAD_POINTS[kind]
    with pytest.raises(ValueError, match=rf"^Curve 2: {message}\.$"):
        LightCurves(*(changed(x, value) if k == column else x for k, x in enumerate(columns)))
    tables[2][1, column] = value
    with pytest.raises(ValueError, match=rf"^Curve 2: {message}\.$"):
        LightCurves.of(tables)


BAD_CURVES = {
    "two points": (lambda x: x[:2], "at least 3 points with a value are wanted, got 2"),
    "no points": (lambda x: x[:0], "at least 3 points with a value are wanted, got 0"),
    "two values": (
        lambda x: np.column_stack([x[:, 0], np.r_[x[:2, 1], [np.nan] * 6], x[:, 2:]]),
        "at least 3 points with a value are wanted, got 2",
    ),
    "one time": (lambda x: x * [0, 1, 1, 1] + [7, 0, 0, 0], r"all times are 7\.0"),
    "five columns": (lambda x: x[:, [0, 1, 2, 3, 3]], r"shape \(n_points, 4\) is wanted, got \(8, 5\)"),
    "three columns": (lambda x: x[:, :3], r"shape \(n_points, 4\) is wanted, got \(8, 3\)"),
    "one axis": (lambda x: x[:, 0], r"shape \(n_points, 4\) is wanted, got \(8,\)"),
    "none": (lambda x: None, r"shape \(n_points, 4\) is wanted, got \(\)"),
}


@pytest.mark.parametrize("kind", BAD_CURVES)
def test_a_bad_curve_is_refused_and_named(tables, kind):
    change, message = BAD_CURVES[kind]
    with pytest.raises(ValueError, match=rf"^Curve 2: .*{message}\.$"):
        LightCurves.of(replaced(tables, change(tables[2])))


@pytest.mark.parametrize("column", range(4))
def test_columns_have_the_same_curves_and_points(columns, column):
    name = ("times", "values", "errors", "bands")[column]
    of = "values" if column == 0 else name  # times are what others are compared with
    bad = [replaced(x, x[2][:-1]) if k == column else x for k, x in enumerate(columns)]
    with pytest.raises(ValueError, match=rf"^Curve 2: {of} must have \d points as times has, got \d\.$"):
        LightCurves(*bad)
    bad = [x[:-1] if k == column else x for k, x in enumerate(columns)]
    with pytest.raises(ValueError, match=rf"^{of} must have \d curves as times has, got \d\.$"):
        LightCurves(*bad)
    bad = [replaced(x, x[2][:, None]) if k == column else x for k, x in enumerate(columns)]
    with pytest.raises(ValueError, match=rf"^Curve 2: {name} must have one axis, got shape \(8, 1\)"):
        LightCurves(*bad)


@pytest.mark.parametrize("name", ["times", "values", "errors"])
@pytest.mark.parametrize("bad", ["text", "dates", "objects", "ragged", "complex"])
def test_what_is_no_number_is_refused(columns, name, bad):
    column = ["times", "values", "errors"].index(name)
    curve, got = {
        "text": (["1.5"] * 8, "text such as '1.5'"),
        "dates": (np.full(8, np.datetime64("2020-01-01")), "datetime64"),
        "objects": ([object()] * 8, "float()"),
        "ragged": ([[1], [1, 2]], ""),
        "complex": (np.ones(8) * 1j, "complex128"),
    }[bad]
    columns[column] = replaced(columns[column], curve)
    with pytest.raises(TypeError) as error:
        LightCurves(*columns)
    assert str(error.value).startswith(f"Curve 2: {name} must hold numbers, got {got}")


BAD_PERIODS = {
    "0": ([1, 0, 1, 1], r"^Curve 1: period must be finite and above 0, got 0\.0\.$"),
    "negative": ([1, 1, 1, -2], r"^Curve 3: period must be finite and above 0, got -2\.0\.$"),
    "nan": ([np.nan, 1, 1, 1], r"^Curve 0: period must be finite and above 0, got nan\.$"),
    "infinite": ([1, 1, np.inf, 1], r"^Curve 2: period must be finite and above 0, got inf\.$"),
    "too few": ([1, 1, 1], r"^period must have shape \(4,\), got \(3,\)\.$"),
    "one": (1.0, r"^period must have shape \(4,\), got \(\)\.$"),
}


@pytest.mark.parametrize("kind", BAD_PERIODS)
def test_bad_periods_are_refused(columns, kind):
    with pytest.raises(ValueError, match=BAD_PERIODS[kind][1]):
        LightCurves(*columns, period=BAD_PERIODS[kind][0])
    with pytest.raises(TypeError, match="period must hold numbers, got text such as 'long'"):
        LightCurves(*columns, period=["long"] * 4)


BAD_X = {
    "an empty list": ([], ValueError, "X has no curves"),
    "no dict": ({}, ValueError, "as many curves in each of its bands, got {}"),
    "an empty array": (np.empty((0, 5, 3)), ValueError, "X has no curves"),
    "one curve": (
        np.ones((9, 3)),
        ValueError,
        r"Curve 0: .* \(n_points, 2 to 4\) is wanted, got \(3,\)",
    ),
    "five columns": (np.ones((2, 9, 5)), ValueError, r"\(n_points, 2 to 4\) is wanted, got \(9, 5\)"),
    "one column": (np.ones((2, 9, 1)), ValueError, r"\(n_points, 2 to 4\) is wanted, got \(9, 1\)"),
    "four axes": (np.ones((2, 9, 3, 1)), ValueError, r"is wanted, got \(9, 3, 1\)"),
    "all padding": (np.full((2, 9, 3), np.nan), ValueError, "Curve 0: at least 3 points"),
    "no points": ([[], []], ValueError, "Curve 0: at least 3 points"),
    "text": ("curves.csv", TypeError, "X must be a sequence of curves, got str"),
    "texts": (["a.csv", "b.csv"], ValueError, r"Curve 0: .* is wanted, got \(\)"),
    "array of text": (np.full((2, 9, 3), "1"), TypeError, "Curve 0: times must hold numbers, got text"),
    "a number": (5, TypeError, "X must be a sequence of curves, got int"),
    "a generator": ((x for x in "ab"), TypeError, "X must be a sequence of curves, got generator"),
}


@pytest.mark.parametrize("kind", BAD_X)
def test_what_holds_no_curves_is_refused(kind):
    X, error, message = BAD_X[kind]
    with pytest.raises(error, match=message):
        LightCurves.of(X)


def test_bands_have_to_fit_together(tables):
    three = [table[:, :3] for table in tables]
    with pytest.raises(ValueError, match=r"in each of its bands, got \{'r': 4, 'b': 3\}"):
        LightCurves.of({"r": three, "b": three[:3]})
    with pytest.raises(ValueError, match="errors in all of its parts, or in none"):
        LightCurves.of({"r": three, "b": [x[:, :2] for x in three]})
    with pytest.raises(ValueError, match=r"Curve 0: .*\(n_points, 2 to 3\) is wanted, got \(5, 4\)"):
        LightCurves.of({"r": tables})
    with pytest.raises(ValueError, match="Curve 0: bands must be whole numbers or text, got None"):
        LightCurves.of({None: three})
    with pytest.raises(TypeError, match=r"all numbers or all text, got \[1, 'r'\]"):
        LightCurves.of({"r": three, 1: three})
    with pytest.raises(ValueError, match=r"X\['r'\] has no curves"):
        LightCurves.of({"r": []})


def test_they_are_no_table(curves):
    with pytest.raises(TypeError, match="LightCurves are no table of numbers"):
        StandardScaler().fit(curves)


# ---- Selecting and joining


@pytest.mark.parametrize(
    "key",
    [
        slice(1, 3),
        slice(None, None, -1),
        [3, 0],
        np.array([2, 2, -1]),
        np.array([True, False, True, False]),
        [False, True, True, True],
        (np.array([1, 2]), ...),
        [],
    ],
    ids=str,
)
def test_selecting_is_that_of_an_array(curves, tables, key):
    made, rows = curves[key], np.arange(4)[key]
    np.testing.assert_array_equal(made.period, curves.period[key])
    np.testing.assert_array_equal(made.n_points, curves.n_points[key])
    assert made.band_names == curves.band_names
    if len(rows):
        assert_same(made, LightCurves.of([tables[i] for i in rows]).with_period(curves.period[rows]))
    else:
        with pytest.raises(ValueError, match="X has no curves"):
            LightCurves.of(made)


def test_one_index_gives_one_curve(curves):
    assert [len(curve) for curve in curves] == [1, 1, 1, 1]
    assert_same(curves[-1], curves[3:])
    assert_same(curves[np.int64(1)], curves[[1]])
    assert curves[2].period.tolist() == [0.3]
    for key in (4, [0, 9], np.ones(3, dtype=bool), "a", None, np.ones((2, 2), dtype=int), 1.5):
        with pytest.raises(IndexError):
            curves[key]


def test_a_selection_keeps_names_of_bands_it_has_no_point_of(columns):
    only = LightCurves(*columns[:3], [np.full(n, i % 2) for i, n in enumerate(COUNTS)])
    assert only[::2].band_names == (0, 1)
    assert only[[1]].bands.tolist() == [1] * COUNTS[1]


def test_joined_curves_are_those_of_the_parts(curves):
    assert_same(LightCurves.of([curves[:1], curves[1:3], curves[3:]]), curves)
    twice = LightCurves.of((curves, curves))
    assert_same(twice[4:], curves)
    named = curves._with(ids=np.array(["a", "b", "c", "d"]))
    assert LightCurves.of([named[2:], named[:2]]).ids.tolist() == ["c", "d", "a", "b"]
    assert LightCurves.of([named, curves]).ids is None
    for name in ("period", "errors"):
        with pytest.raises(ValueError, match=f"X must have {name} in all of its parts"):
            LightCurves.of([curves, curves._with(**{name: None})])


def test_joined_curves_have_the_bands_of_all(columns):
    red, blue = [LightCurves(*columns[:3], [[name] * n for n in COUNTS]) for name in ("r", "b")]
    both = LightCurves.of([red, blue])
    assert both.band_names == ("r", "b")
    assert both.bands.tolist() == [0] * 20 + [1] * 20
    with pytest.raises(TypeError, match=r"all numbers or all text, got \[0, 'r'\]"):
        LightCurves.of([red, LightCurves(*columns[:3])])


def test_copies_and_pickles_are_the_same(curves):
    named = curves._with(ids=np.array(["a", "b", "c", "d"]))
    for made in (pickle.loads(pickle.dumps(named)), copy.copy(named), copy.deepcopy(named)):
        assert_same(made, named)


# ---- scikit-learn


class Moments(TransformerMixin, BaseEstimator):
    """Moments of each curve's values, and its period."""

    def __init__(self, n=2, period=True):
        self.n = n
        self.period = period

    def fit(self, X, y=None):
        self.band_names_ = LightCurves.of(X).band_names
        return self

    def transform(self, X):
        curves = LightCurves.of(X).with_bands(self.band_names_)
        away = [curve.values - curve.values.mean() for curve in curves]
        moments = [[np.mean(x ** (k + 2)) for k in range(self.n)] for x in away]
        return np.column_stack([moments, np.log(curves.period)] if self.period else [moments])


@pytest.fixture(scope="module")
def stars():
    return make_light_curves(90, classes=("RRc", "EA", "Cepheid"), random_state=0)


@pytest.fixture
def pipeline():
    return make_pipeline(Moments(), StandardScaler(), LogisticRegression())


def test_a_split_gives_the_same_rows_of_curves_and_labels(stars):
    curves, y = stars
    a, b, rows, others = train_test_split(curves, np.arange(90), stratify=y, random_state=0)
    assert (len(a), len(b)) == (67, 23)
    assert_same(a, curves[rows])
    assert_same(b, curves[others])
    shuffled, rows = shuffle(curves, np.arange(90), random_state=0)
    assert_same(shuffled, curves[rows])


def test_cross_validation_is_that_of_the_features(stars, pipeline):
    curves, y = stars
    features, classifier = Moments().fit_transform(curves), pipeline[1:]
    scores = cross_val_score(pipeline, curves, y, cv=3)
    np.testing.assert_array_equal(scores, cross_val_score(classifier, features, y, cv=3))
    assert scores.mean() > 0.8
    predicted = cross_val_predict(pipeline, curves, y, cv=GroupKFold(3), groups=np.arange(90) // 5)
    assert np.mean(predicted == y) > 0.8


def test_searches_and_metaestimators_fit_them(stars, pipeline):
    curves, y = stars
    search = GridSearchCV(pipeline, {"moments__period": [False, True]}, cv=3).fit(curves, y)
    assert search.best_params_ == {"moments__period": True}
    assert search.score(curves, y) == search.best_estimator_.score(curves, y)
    assert CalibratedClassifierCV(clone(pipeline), cv=2).fit(curves, y).predict_proba(curves).shape == (
        90,
        3,
    )
    parallel = GridSearchCV(pipeline, {"moments__n": [1, 2]}, cv=2, n_jobs=2).fit(curves, y)
    serial = GridSearchCV(pipeline, {"moments__n": [1, 2]}, cv=2).fit(curves, y)
    for name in ("split0_test_score", "split1_test_score"):
        np.testing.assert_array_equal(parallel.cv_results_[name], serial.cv_results_[name])
