"""Tables with categories or missing values as the networks see them, and back."""

import numpy as np
import pandas as pd
import pytest
import torch

from skmpcc.data.columns import Columns
from skmpcc.data.inputs import InputFormat, Layout
from skmpcc.data.mixed import MixedFormat, format_of, has_missing
from skmpcc.data.scaling import TOTAL_STD

N = 400


def table(n=N, seed=0):
    """Numbers with gaps and without, and categories with gaps and without."""
    random = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "kind": random.choice(["a", "b", "c"], n, p=[0.6, 0.3, 0.1]),
            "length": random.normal(50.0, 10.0, n),
            "count": pd.array(random.poisson(3.0, n), dtype="Int64"),
            "flag": pd.array(random.random(n) < 0.3, dtype="boolean"),
            "width": random.normal(size=n).astype(np.float32),
        }
    )
    for name, share in (("kind", 0.1), ("count", 0.2), ("width", 0.05)):
        X.loc[random.random(n) < share, name] = pd.NA
    return X


def format_and_numbers(X, categorical="from_dtype", scaling="auto"):
    columns, numbers = Columns.learn(X, categorical)
    numbers = np.asarray(X, dtype=np.float64) if numbers is None else numbers
    return format_of(numbers, Layout(numbers.shape[1:]), columns, scaling), numbers


def test_encoded_tables_are_decoded():
    X = table()
    known, numbers = format_and_numbers(X)
    assert isinstance(known, MixedFormat)
    encoded = known.encode_all(numbers)
    assert encoded.shape == (N, *known.tensor_shape) == (N, 3 + 3 + 2 + 3)
    assert encoded.isfinite().all()
    decoded = known.decode(encoded[:, : known.inputs.n_outputs])
    there = ~np.isnan(numbers)
    np.testing.assert_allclose(decoded[there], numbers[there], rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(
        decoded[:, [0, 3]][there[:, [0, 3]]], numbers[:, [0, 3]][there[:, [0, 3]]]
    )
    again = known.to_given(np.where(there, decoded, np.nan))
    assert list(again.dtypes) == list(X.dtypes)
    pd.testing.assert_frame_equal(again, X, rtol=1e-4)
    np.testing.assert_array_equal(known.to_numbers(again)[:, 3], numbers[:, 3])


def test_what_is_missing_is_zero_and_told():
    known, numbers = format_and_numbers(table())
    inputs, encoded, missing = known.inputs, known.encode(numbers), np.isnan(numbers)
    # Numbers first: length, count and width; then kind and flag.
    assert inputs.n_numbers == 3
    assert inputs.n_values == (3, 2)
    assert inputs.absent == (1, 2, 3)
    absences = encoded[:, inputs.n_outputs :].numpy()
    np.testing.assert_array_equal(absences > 0, missing[:, [2, 4, 0]])
    assert set(np.unique(absences)) == {0.0, np.float32(inputs.unit)}
    assert (encoded[missing[:, 2], 1] == 0).all()
    assert (encoded[missing[:, 4], 2] == 0).all()
    (start, stop), (other, _) = known.inputs.groups
    assert (encoded[missing[:, 0], start:stop] == 0).all()
    sums = encoded[:, start:stop].sum(1).numpy()
    np.testing.assert_allclose(sums, np.where(missing[:, 0], 0.0, inputs.unit), rtol=1e-6)
    assert (start, stop, other) == (3, 6, 6)
    np.testing.assert_array_equal(np.isnan(known.outputs(numbers)[:, 1].numpy()), missing[:, 2])


def test_gaps_where_none_was_in_the_fit_stay_gaps():
    """The networks have no input to tell of them, and whoever encodes fills them in."""
    known, numbers = format_and_numbers(table())
    numbers = numbers[:3].copy()
    numbers[0, 1] = numbers[1, 3] = np.nan
    encoded = known.encode(numbers)
    assert encoded[0].isnan().sum() == 1
    assert encoded[0, 0].isnan()
    assert encoded[1, 6:8].isnan().all()
    assert encoded[2].isfinite().all()


@pytest.mark.parametrize("share", [0.0, 0.2])
@pytest.mark.parametrize(("n_numbers", "n_categories"), [(8, 0), (6, 2), (1, 7), (0, 8), (30, 30)])
def test_all_columns_together_vary_as_those_of_any_table(n_numbers, n_categories, share):
    """In total by the square of `TOTAL_STD`, of which each column has the same share on average."""
    random = np.random.default_rng(0)
    values = [f"c{i}" for i in range(n_categories)]
    X = pd.DataFrame({f"n{i}": random.normal(size=2000) for i in range(n_numbers)})
    X[values] = random.choice(["a", "b", "c"], (2000, n_categories))
    X = X.mask(random.random(X.shape) < share)
    known, numbers = format_and_numbers(X)
    if n_categories == 0 and share == 0.0:
        assert isinstance(known, InputFormat)
        return
    outputs = known.outputs(numbers).double().numpy()
    variances = np.nanvar(outputs, axis=0)
    of_numbers, of_categories = variances[:n_numbers].sum(), variances[n_numbers:].sum()
    assert TOTAL_STD**2 == 64.0
    per_column = 64.0 / (n_numbers + n_categories)
    np.testing.assert_allclose(of_numbers, per_column * n_numbers, rtol=0.03)
    np.testing.assert_allclose(of_categories, per_column * n_categories, rtol=0.03)


def test_columns_that_do_not_vary_are_left_out_and_come_back():
    X = table().assign(
        one=7.25,
        only="x",
        nothing=np.nan,
        never=pd.Series([None] * N, dtype="string"),
        gaps=[2.5, None] * (N // 2),
    )
    known, numbers = format_and_numbers(X)
    assert known.tensor_shape == format_and_numbers(table())[0].tensor_shape
    np.testing.assert_array_equal(known.varies, [True] * 5 + [False] * 5)
    np.testing.assert_array_equal(known.constants[5:], [7.25, 0.0, np.nan, np.nan, 2.5])
    decoded = known.to_given(known.decode(known.encode(numbers)[:9]))
    assert list(decoded.dtypes) == list(X.dtypes)
    assert (decoded["one"] == 7.25).all()
    assert (decoded["only"] == "x").all()
    assert (decoded["gaps"] == 2.5).all()
    assert decoded[["nothing", "never"]].isna().all(axis=None)
    np.testing.assert_array_equal(
        known.encode(numbers), format_and_numbers(table())[0].encode(numbers[:, :5])
    )


def test_a_table_that_never_varies_is_an_error():
    for X in (
        pd.DataFrame({"a": ["x"] * 9, "b": [1.0] * 9}),
        pd.DataFrame(np.full((9, 2), np.nan)),
        pd.DataFrame({"a": [1.0, np.nan] * 5}),
    ):
        with pytest.raises(ValueError, match="no column in which two values differ"):
            format_and_numbers(X)


@pytest.mark.parametrize("kind", [np.asarray, pd.DataFrame])
def test_tables_of_numbers_alone_are_encoded_as_ever(kind):
    X = np.random.default_rng(0).normal(size=(N, 4)) * [1.0, 10.0, 100.0, 0.1]
    known, numbers = format_and_numbers(kind(X))
    assert isinstance(known, InputFormat)
    expected = InputFormat.from_data(X, Layout((4,)))
    assert torch.equal(known.encode_all(numbers), expected.encode_all(X))
    assert (known.columns_given is None) == (kind is np.asarray)


@pytest.mark.parametrize("dtype", ["float64", "Float64", "double[pyarrow]"])
def test_truth_values_are_numbers_beside_numbers_alone(dtype):
    """Beside categories or gaps they are two of these, whichever dtype has the gaps."""
    X = pd.DataFrame({"flag": [True, False] * 5, "size": np.arange(10.0) ** 2})
    X["size"] = X["size"].astype(dtype)
    assert isinstance(format_and_numbers(X)[0], InputFormat)
    X.loc[3, "size"] = None
    known, numbers = format_and_numbers(X)
    assert known.n_values == (2, 0)
    again = known.to_given(known.decode(known.encode(numbers)))
    assert list(again.dtypes) == list(X.dtypes)
    np.testing.assert_array_equal(again["flag"], X["flag"])


def test_the_scaling_that_is_asked_for_is_that_of_the_numbers():
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(N, 2)) * [1.0, 5.0], columns=["a", "b"])
    X["kind"] = ["u", "v"] * (N // 2)
    stds = {
        scaling: known.outputs(numbers)[:, :2].std(0)
        for scaling in ("columns", "none")
        for known, numbers in [format_and_numbers(X, scaling=scaling)]
    }
    assert 0.7 < stds["columns"][0] / stds["columns"][1] < 1.4
    assert 0.15 < stds["none"][0] / stds["none"][1] < 0.25


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrays_keep_their_floating_type(dtype):
    X = np.random.default_rng(0).normal(size=(N, 3)).astype(dtype)
    X[::7, 1] = np.nan
    known = format_of(X, Layout((3,)), None, "auto")
    assert known.decode(known.encode(X)).dtype == dtype
    assert known.decode(known.encode(X), np.random.RandomState(0)).dtype == dtype


def test_outliers_are_limited_as_in_any_table():
    X = np.random.default_rng(0).normal(size=(N, 2))
    X[3, 0], X[4, 1] = 1e9, np.nan
    known = format_of(X, Layout((2,)), None, "auto")
    assert known.encode(X)[3].abs().max() < 100.0
    assert known.encode(X, limited=False)[3].abs().max() > 1e5
    assert known.limits is not None


def test_drawn_categories_have_the_frequencies_of_their_probabilities():
    known, _ = format_and_numbers(table())
    shares = np.array([0.5, 0.2, 0.3])
    row = torch.zeros(1, known.inputs.n_outputs)
    row[0, 3:6] = torch.from_numpy(known.inputs.unit * shares)
    row[0, 6:8] = torch.tensor([0.0, known.inputs.unit])
    rows = row.expand(20_000, -1)
    assert set(known.decode(rows)[:, 0]) == {0.0}
    drawn = known.decode(rows, np.random.RandomState(0))
    found = np.bincount(drawn[:, 0].astype(int), minlength=3) / len(rows)
    np.testing.assert_allclose(found, shares, atol=0.015)
    assert set(drawn[:, 3]) == {1.0}
    again = known.decode(rows, np.random.RandomState(0))
    np.testing.assert_array_equal(drawn, again)
    assert not np.array_equal(drawn, known.decode(rows, np.random.RandomState(1)))


def test_images_have_neither_gaps_nor_categories():
    layout = Layout.from_shape((64,), (8, 8))
    X = np.random.default_rng(0).random((20, 64))
    X[0, 0] = np.nan
    with pytest.raises(
        ValueError, match=r"contains NaN\. Values may be missing in tables, but not in images"
    ):
        format_of(X, layout, None, "auto", resizing="pad")
    columns, numbers = Columns.learn(
        pd.DataFrame(np.nan_to_num(X)).assign(**{"0": ["a", "b"] * 10}), "from_dtype"
    )
    with pytest.raises(ValueError, match="rows are no images: leave out image_shape"):
        format_of(numbers, layout, columns, "auto", resizing="pad")


@pytest.mark.parametrize(
    ("X", "expected"),
    [
        (np.array([[1.0, np.nan]]), True),
        (np.array([[1.0, 2.0]]), False),
        (np.array([[1, 2]]), False),
        (np.array([[1e308, 1e308], [1e308, 2.0]]), False),
        (np.array([[-1e308, 1e308], [-1e308, 1e308]]).repeat(9, 0), False),
        (np.array([[1e308, 1e308], [1e308, np.nan]]), True),
    ],
)
def test_missing_values_are_found_among_large_ones(X, expected):
    assert has_missing(X) is expected
