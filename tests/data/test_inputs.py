import decimal
import tracemalloc
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import ortho_group
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from skmpcc.data.inputs import InputFormat, Layout, as_array, with_nan
from skmpcc.data.scaling import CHUNK_VALUES, TOTAL_STD


def fitted(X, image_shape=None, scaling="auto"):
    return InputFormat.from_data(X, Layout.from_shape(X.shape[1:], image_shape), scaling=scaling)


@pytest.mark.parametrize(
    ("shape", "image_shape", "image", "channels_last"),
    [
        ((5,), None, None, False),
        ((784,), (28, 28), (1, 28, 28), False),
        ((300,), (10, 10, 3), (3, 10, 10), True),
        ((300,), [3, 10, 10], (3, 10, 10), False),
        ((28, 28), None, (1, 28, 28), False),
        ((28, 20), (28, 20), (1, 28, 20), False),
        ((28, 28), (28, 28, 1), (1, 28, 28), False),
        ((3, 32, 48), None, (3, 32, 48), False),
        ((32, 48, 3), None, (3, 32, 48), True),
        ((32, 32, 1), None, (1, 32, 32), True),
        ((9, 32, 32), (32, 32), (9, 32, 32), False),
        ((32, 32, 9), (32, 32), (9, 32, 32), True),
    ],
)
def test_layouts(shape, image_shape, image, channels_last):
    layout = Layout.from_shape(shape, image_shape)
    assert (layout.shape, layout.image, layout.channels_last) == (shape, image, channels_last)


@pytest.mark.parametrize(
    ("shape", "image_shape", "message"),
    [
        ((16, 16, 16), None, "image_shape"),
        ((9, 32, 32), None, "image_shape"),
        ((100,), (9, 9), "81 values, but X has 100"),
        ((28, 28), (14, 14), r"image_shape=\(14, 14\)"),
        ((3, 32, 32), (28, 28), r"image_shape=\(28, 28\)"),
        ((7, 28), None, "too small"),
        ((3, 4, 4), None, "too small"),
        ((4, 4, 3), None, "too small"),
        ((16,), (4, 4), "too small"),
        ((2, 2, 2, 2), None, "5 dimensions"),
        ((64,), (64,), "image_shape"),
        ((64,), (8.0, "x"), "image_shape"),
        ((64,), (-8, -8), "image_shape"),
    ],
)
def test_layout_errors(shape, image_shape, message):
    with pytest.raises(ValueError, match=message):
        Layout.from_shape(shape, image_shape)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.int16, bool, np.float16])
@pytest.mark.parametrize("shape", [(6, 5), (6, 8, 8), (6, 3, 8, 16), (6, 8, 16, 3), (6, 28, 28)])
def test_round_trip(shape, dtype):
    X = (np.random.default_rng(0).random(shape) * 200).astype(dtype)
    data_format = fitted(X)
    tensor = data_format.encode(X)
    assert tensor.shape == (6, *data_format.tensor_shape)
    assert tensor.dtype == torch.float32
    back = data_format.decode(tensor)
    assert back.shape == shape
    assert back.dtype == (np.float32 if dtype in (np.float16, np.float32) else np.float64)
    if shape != (6, 28, 28):  # resized, see below
        np.testing.assert_allclose(back, X, rtol=1e-4, atol=1e-3)


def test_resizing_keeps_smooth_images():
    grid = np.linspace(0, 1, 28)
    X = np.stack([grid[:, None] * a + grid * (1 - a) for a in (0.1, 0.5, 0.9)])
    data_format = fitted(X)
    assert data_format.tensor_shape == (1, 32, 32)
    np.testing.assert_allclose(data_format.decode(data_format.encode(X)), X, atol=0.03)


@pytest.mark.parametrize("shape", [(5, 28, 28), (5, 9, 13), (5, 3, 30, 17), (5, 8, 8)])
def test_padding_loses_nothing(shape):
    X = np.random.default_rng(0).normal(size=shape)
    data_format = InputFormat.from_data(X, Layout.from_shape(X.shape[1:], None), "pad")
    tensor = data_format.encode(X)
    assert tensor.shape[1:] == fitted(X).tensor_shape
    np.testing.assert_allclose(data_format.decode(tensor), X, atol=1e-6)
    # What is added is the border again.
    (top, bottom), (left, right) = (
        ((n - side) // 2, (n + side) // 2 - 1)
        for n, side in zip(tensor.shape[2:], shape[-2:], strict=True)
    )
    assert torch.equal(tensor[..., 0, 0], tensor[..., top, left])
    assert torch.equal(tensor[..., -1, -1], tensor[..., bottom, right])


def test_channels_stay_apart():
    X = np.zeros((2, 8, 16, 3))
    X[..., 1] = 1
    tensor = fitted(X).encode(X)
    assert torch.equal(tensor[:, 1], torch.ones(2, 8, 16))
    assert torch.equal(tensor[:, 0], -torch.ones(2, 8, 16))


@pytest.mark.parametrize(
    ("X", "low", "high"),
    [
        (np.array([3, 7], dtype=np.uint8), 3, 7),
        (np.array([0, 255], dtype=np.uint8), 0, 255),
        (np.array([0, 1], dtype=bool), 0, 1),
        (np.array([-2.0, 6.0]), -2, 6),
        (np.array([0, 65535], dtype=np.uint16), 0, 65535),
    ],
)
def test_images_are_scaled_by_range(X, low, high):
    X = np.tile(X[:, None, None], (1, 8, 8))
    tensor = fitted(X).encode(X)
    expected = 2 * (X.astype(float) - low) / (high - low) - 1
    np.testing.assert_allclose(tensor[:, 0], expected, atol=1e-6)


@pytest.mark.parametrize("n_features", [1, 4, 300])
def test_vectors_are_scaled_to_a_fixed_total_variance(n_features):
    random = np.random.default_rng(0)
    units = 10.0 ** random.integers(-6, 6, n_features)
    X = random.normal(size=(2000, n_features)) * units + random.normal(size=n_features)
    tensor = fitted(X).encode(X)
    np.testing.assert_allclose(tensor.mean(0), 0, atol=1e-4)
    stds = tensor.std(0) * n_features**0.5 / TOTAL_STD
    np.testing.assert_allclose(stds, 1, atol=0.35)
    np.testing.assert_allclose(tensor.var(0, correction=0).sum(), TOTAL_STD**2, rtol=1e-4)


def test_rare_values_are_not_blown_up():
    X = np.random.default_rng(0).normal(size=(5000, 4))
    X[:, 0] = 0
    X[0, 0] = 1
    tensor = fitted(X).encode(X)
    assert tensor[:, 0].abs().max() < 2 * tensor[:, 1].abs().max()
    assert tensor[:, 0].std() < 0.15 * tensor[:, 1].std()


def test_features_that_share_a_unit_keep_their_proportions():
    pixels = np.random.default_rng(0).integers(0, 17, size=(500, 6)).astype(float)
    pixels[:, 0] = np.minimum(pixels[:, 0], 2)
    tensor = fitted(pixels).encode(pixels)
    np.testing.assert_allclose(
        tensor.std(0) / tensor.std(0)[1], pixels.std(0) / pixels.std(0)[1], rtol=1e-4
    )
    # an amount and counts start at zero together, but have no unit in common
    table = np.stack([pixels[:, 1] * 1e5, pixels[:, 0], pixels[:, 2]], axis=1)
    stds = fitted(table).encode(table).std(0)
    assert stds.min() > 0.5 * stds.max()


def test_scaling_is_invariant_to_units():
    X = np.random.default_rng(0).gamma(2, size=(200, 5))
    Y = X * [1, 10, 0.1, 3, 1e4] + [5, -3, 0, 100, 2]
    one, other = fitted(X, scaling="columns"), fitted(Y)
    torch.testing.assert_close(one.encode(X), other.encode(Y), rtol=1e-4, atol=1e-5)


def components(n=300, n_features=20, first=40.0):
    """Rows of principal components of falling deviations, a part of what they were made from."""
    X = np.random.default_rng(0).normal(size=(2 * n, n_features)) * np.geomspace(first, 1.0, n_features)
    return PCA(random_state=0).fit_transform(X @ ortho_group.rvs(n_features, random_state=0))[:n]


def tables_of_one_scale():
    random = np.random.default_rng(0)
    far = random.gamma(2, size=(300, 4)) * [1, 100, 1e4, 0.01]
    rows = random.normal(size=(200, 64)) * np.geomspace(40, 1, 64)[::-1] + 3.0
    return {
        "standardised": StandardScaler().fit_transform(load_wine().data),
        "centred": far - far.mean(axis=0),
        "coordinates": random.uniform([0, 0], [790, 145], size=(200, 2)),
        "components": components(),
        "embeddings": rows / np.linalg.norm(rows, axis=1, keepdims=True),
        "centimetres": load_iris().data,
    }


@pytest.mark.parametrize(("name", "X"), tables_of_one_scale().items())
def test_a_scale_in_common_is_kept(name, X):
    data_format = fitted(X)
    assert data_format.is_of_one_scale
    assert data_format.one_length == (name == "embeddings")
    tensor = data_format.encode(X).numpy().astype(float)
    expected = X - X.mean(axis=0)
    expected *= TOTAL_STD / np.sqrt(expected.var(axis=0).sum())
    np.testing.assert_allclose(tensor, expected, atol=1e-4)
    np.testing.assert_allclose(data_format.decode(data_format.encode(X)), X, rtol=1e-4, atol=1e-3)


def test_columns_of_different_units_are_brought_to_one_range():
    X = load_wine().data
    for data_format in (
        fitted(X),
        fitted(X, scaling="columns"),
        fitted(load_iris().data, None, "columns"),
    ):
        assert not data_format.is_of_one_scale
    ranges = np.ptp(fitted(X).encode(X).numpy(), axis=0)
    np.testing.assert_allclose(ranges, ranges[0], rtol=1e-4)
    assert fitted(X, scaling="none").is_of_one_scale
    assert not fitted(components() + 50.0).is_of_one_scale
    assert not fitted(components()[:, ::-1] * [2.0] * 20).is_of_one_scale


def test_pixels_can_be_brought_to_one_range():
    pixels = np.random.default_rng(0).integers(0, 17, size=(100, 6)).astype(float)
    pixels[:, 0] = np.minimum(pixels[:, 0], 2)
    assert fitted(pixels).is_of_one_scale
    assert not fitted(pixels, scaling="columns").is_of_one_scale


def test_constant_features_come_back_exactly():
    X = np.random.default_rng(0).normal(size=(50, 3))
    X[:, 1] = 1 / 3
    data_format = fitted(X)
    assert data_format.tensor_shape == (2,)
    np.testing.assert_array_equal(data_format.decode(torch.randn(9, 2))[:, 1], 1 / 3)
    constant = np.full((5, 3), 7.0)
    np.testing.assert_array_equal(fitted(constant).decode(torch.randn(9, 3)), 7.0)


@settings(max_examples=100, deadline=None)
@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float64, np.int64, np.uint8]),
        st.tuples(st.integers(2, 30), st.integers(1, 5)),
        elements={"min_value": None, "max_value": None, "allow_nan": False, "allow_infinity": False},
    )
)
def test_any_finite_table_is_encoded_finite(X):
    with np.errstate(all="ignore"):
        assert torch.isfinite(fitted(X).encode(X)).all()


def test_features_that_are_clipped_alike_are_scaled_alike():
    X = np.zeros((21, 3))
    X[[0, 5, 15], [0, 0, 1]] = 3, 30002, 330023
    X[0, 1], X[20, 2] = 6.67551093e-304, 1
    data_format = fitted(X)
    assert torch.isfinite(data_format.encode(X)).all()
    assert np.ptp(data_format.scale) == 0


def test_values_whose_differences_overflow_are_encoded():
    X = np.array([[-1.79769313e308]] + [[4.49423284e307]] * 4)
    tensor = fitted(X).encode(X)
    assert torch.isfinite(tensor).all()
    assert tensor[0] < tensor[1]


WILD = {"one": {3: 1e6}, "sentinel": dict.fromkeys(range(5), -999.0), "huge": {0: -1e18, 1: 1e18}}


@pytest.mark.parametrize("wild", WILD.values(), ids=WILD)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_wild_values_do_not_set_the_scale(wild, dtype):
    values = list(wild.values())
    clean = (np.random.default_rng(0).normal(size=(1000, 3)) * 10).astype(dtype)
    X, rows = clean.copy(), list(wild)
    X[rows, 1] = values
    data_format, others = fitted(X), np.delete(np.arange(1000), rows)
    tensor, expected = data_format.encode(X), fitted(clean).encode(clean)
    np.testing.assert_allclose(tensor[others].std(0), expected[others].std(0), rtol=0.1)
    np.testing.assert_allclose(tensor.var(0, correction=0).sum(), TOTAL_STD**2, rtol=1e-4)
    # Those rows still stand out, all values come back but the wild ones, and new ones are clipped, too.
    assert tensor[rows, 1].abs().min() > 1.5 * tensor[others, 1].abs().max()
    back = data_format.decode(tensor)
    np.testing.assert_allclose(back[others], X[others], rtol=1e-4, atol=1e-3)
    reach = np.ptp(clean[:, 1])
    assert np.all(np.abs(back[rows, 1]) < 2 * reach)
    new = np.array([[0, 1e10 * np.sign(values[-1]), 0]]).astype(dtype)
    assert torch.equal(data_format.encode(new)[0, 1], tensor[rows[-1], 1])


def usual_tables():
    rng = np.random.default_rng(0)
    for load in (load_iris, load_wine, load_breast_cancer, load_digits):
        X = load().data
        yield load.__name__, X
        yield f"{load.__name__} standardised", StandardScaler().fit_transform(X)
    yield "exponential", rng.exponential(size=(3000, 20))
    yield "log-normal", rng.lognormal(size=(3000, 20))
    yield "Student's t", rng.standard_t(4, size=(3000, 20))
    yield "rare categories", (rng.random((3000, 20)) < np.geomspace(1e-3, 0.5, 20)).astype(float)
    yield "small", np.append(np.arange(18.0), 1e9)[:, None]


@pytest.mark.parametrize(
    ("name", "X"), list(usual_tables()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_usual_tables_have_no_outliers(name, X):
    assert fitted(X).limits is None


@pytest.mark.parametrize("huge", [1e300, 1.7e308])
def test_huge_values_are_clipped_without_overflow(huge):
    X = np.random.default_rng(0).normal(size=(100, 3))
    X[0, 0], X[1, 1], X[:, 2] = huge, -huge, huge * np.linspace(-1, 1, 100)
    with np.errstate(all="raise"):
        data_format = fitted(X)
        tensor = data_format.encode(X)
    assert torch.isfinite(tensor).all()
    np.testing.assert_allclose(tensor.std(0) / tensor.std(0)[0], 1, atol=0.5)
    assert np.all(np.abs(data_format.decode(tensor)[:2, :2]) < 20)


def test_sparse_features_have_no_outliers():
    X = np.random.default_rng(0).normal(size=(2000, 3))
    X[:, 0] = 0
    X[:30, 0] = np.geomspace(1e-3, 1, 30)
    assert fitted(X).limits is None


@pytest.mark.parametrize("place", [(2, 1), (0, 1), ...], ids=["one", "dark", "all"])
@pytest.mark.parametrize("value", [1e6, -999])
def test_pixels_with_a_wild_value_keep_their_proportions(place, value):
    pixels = np.random.default_rng(0).integers(0, 17, size=(500, 3, 2)).astype(float)
    pixels[:, 0, 0] = np.minimum(pixels[:, 0, 0], 2)
    pixels[20:, 0, 1] = 0
    X = pixels.copy()
    X[7][place] = value
    data_format = InputFormat.from_data(X, Layout(X.shape[1:]))
    others = np.arange(500) != 7
    stds = data_format.encode(X).numpy()[others].std(0) / pixels[others].std(0).ravel()
    np.testing.assert_allclose(stds, stds[1], rtol=1e-4)
    assert np.isfinite(data_format.limits).sum() == np.sum(pixels != X)


def test_a_row_of_sentinels_is_an_outlier_in_all_features():
    clean = np.random.default_rng(0).normal(size=(300, 3)) * [1, 5, 20]
    X = np.concatenate([clean, np.full((2, 3), -999.0)])
    stds, expected = fitted(X).encode(X)[:300].std(0), fitted(clean).encode(clean).std(0)
    np.testing.assert_allclose(stds, expected, rtol=0.2)
    np.testing.assert_allclose(stds / stds[0], expected / expected[0], rtol=1e-4)


def test_pixels_that_are_seldom_bright_have_no_outliers():
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, size=(3000, 6))
    # Faint in one image of ten, and hardly ever bright.
    pixels[:, 0] = random.integers(1, 4, size=3000) * (random.random(3000) < 0.1)
    pixels[:5, 0] = 255
    assert fitted(pixels).limits is None
    assert fitted(pixels[:, :1]).limits is not None


def test_outliers_are_found_in_chunks_of_features(monkeypatch):
    X = np.random.default_rng(0).normal(size=(100, 5))
    X[2, 4], X[3, 0] = 1e5, -1e5
    limits = fitted(X).limits
    np.testing.assert_array_equal(
        np.isfinite(limits), [[True, False, False, False, False], [False, False, False, False, True]]
    )
    monkeypatch.setattr("skmpcc.data.scaling.CHUNK_VALUES", 200)
    np.testing.assert_array_equal(fitted(X).limits, limits)


def test_encode_all_is_encode_in_chunks(monkeypatch):
    monkeypatch.setattr("skmpcc.data.scaling.CHUNK", 7)
    X = np.random.default_rng(0).normal(size=(30, 4))
    data_format = fitted(X)
    torch.testing.assert_close(data_format.encode_all(X), data_format.encode(X))
    monkeypatch.undo()
    np.testing.assert_allclose(data_format.scale, fitted(X).scale)


def test_tensors_become_arrays():
    tensor = torch.randn(3, 2, requires_grad=True)
    np.testing.assert_array_equal(as_array(tensor), tensor.detach().numpy())
    assert as_array(tensor.bfloat16()).dtype == np.float32
    frame = pd.DataFrame({"a": [1.0]})
    assert as_array(frame) is frame


# ---- Constant columns

CONSTANTS = [0.0, -1.0, 1e9, 1 / 3]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8])
@pytest.mark.parametrize("wild", [False, True])
def test_constant_columns_change_nothing(dtype, wild):
    X = (np.random.default_rng(0).random((300, 4)) * 20).astype(dtype)
    if wild:
        X[3, 1] = 120
    with np.errstate(invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        constants = np.tile(np.array(CONSTANTS).astype(dtype), (300, 1))
    more = np.column_stack([constants[:, :2], X[:, :3], constants[:, 2:], X[:, 3]])
    data_format, expected = fitted(more), fitted(X)
    assert data_format.tensor_shape == (4,)
    codes = expected.encode(X)
    assert torch.equal(data_format.encode(more), codes)
    back = data_format.decode(codes)
    np.testing.assert_array_equal(back[:, [2, 3, 4, 7]], expected.decode(codes))
    np.testing.assert_array_equal(back[:, [0, 1, 5, 6]], constants)
    # Other values there tell nothing, as before.
    more[:5, 0] += 1
    assert torch.equal(data_format.encode(more), codes)


@pytest.mark.parametrize("shape", [(30, 8, 8), (30, 64)])
def test_constant_pixels_of_images_stay(shape):
    X = np.random.default_rng(0).random(shape)
    X.reshape(30, 64)[:, 3] = 0
    data_format = InputFormat.from_data(X, Layout.from_shape(shape[1:], (8, 8)))
    assert data_format.tensor_shape == (1, 8, 8)
    as_rows = InputFormat.from_data(X, Layout(shape[1:]))
    assert as_rows.tensor_shape == (63,)
    np.testing.assert_allclose(as_rows.decode(as_rows.encode(X)), X, atol=1e-6)


def test_pixels_far_from_all_others_are_no_error():
    """A column of few values, all of them beyond the limits that are common to pixels."""
    X = np.random.default_rng(0).integers(0, 17, size=(500, 6)).astype(float)
    X[:, 0], X[:3, 0] = 1e6, 1e6 + 1
    assert torch.isfinite(fitted(X).encode(X)).all()


# ---- Wide tables


def test_wide_tables_are_rotated():
    X = np.random.default_rng(0).normal(size=(40, 1500)) * np.linspace(1, 5, 1500) + 3
    X[:, 7] = 2
    data_format = fitted(X)
    assert data_format.tensor_shape == (39,)
    tensor = data_format.encode_all(X)
    np.testing.assert_allclose(tensor.var(0, correction=0).sum(), TOTAL_STD**2, rtol=1e-4)
    np.testing.assert_allclose(data_format.decode(tensor), X, atol=1e-3)
    # Distances are as without.
    flat = replace(data_format, rotation=None).encode_all(X)
    np.testing.assert_allclose(torch.pdist(tensor), torch.pdist(flat), rtol=1e-4)
    order = np.random.default_rng(1).permutation(40)
    assert torch.equal(fitted(X[order]).encode_all(X), tensor)
    assert fitted(X[:, :1002]).rotation is not None
    assert fitted(X[:, :1000]).rotation is None
    assert fitted(np.repeat(X, 20, axis=0)).rotation is None


# ---- Hard ends


def columns_with_ends(random, n=1000):
    return {
        "counts": random.poisson(1.5, n),
        "ages": np.clip(random.normal(40, 20, n), 18, 90).round(),
        "shares": random.beta(0.8, 2, n),
        "amounts": random.lognormal(3, 1, n),
        "waits": random.exponential(size=n),
        "debts": -random.gamma(2, 100, n),
        "top-coded": np.minimum(random.normal(size=n), 1.0),
        "percent": 100 * random.random(n),
        "bool": random.random(n) < 0.2,
    }


@pytest.mark.parametrize("name", columns_with_ends(np.random.default_rng(0)))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_decoded_values_stay_within_hard_ends(name, dtype):
    values = columns_with_ends(np.random.default_rng(0))[name].astype(dtype)
    X = np.column_stack([values, np.random.default_rng(1).normal(size=len(values)).astype(dtype)])
    data_format = fitted(X)
    decoded = data_format.decode(50 * torch.randn(2000, 2))
    low, high = (end in decoded[:, 0] for end in (values.min(), values.max()))
    assert high if name in ("debts", "top-coded") else low
    assert (low and high) or name not in ("counts", "ages", "percent", "bool")
    assert decoded[:, 0].min() >= (values.min() if low else -np.inf)
    assert decoded[:, 0].max() <= (values.max() if high else np.inf)
    # A normal distribution ends nowhere.
    assert decoded[:, 1].min() < X[:, 1].min()
    assert decoded[:, 1].max() > X[:, 1].max()


def test_outliers_are_no_ends():
    X = np.random.default_rng(0).poisson(3, size=(500, 2)).astype(float)
    X[3, 0] = -999
    decoded = fitted(X).decode(100 * torch.randn(2000, 2))
    assert decoded[:, 0].min() < 0
    assert decoded[:, 1].min() == 0
    assert decoded[:, 0].max() == np.delete(X, 3, axis=0)[:, 0].max()


# ---- Values far outside of what was fitted


@pytest.mark.parametrize("value", [-3.4e38, 1e308, -1.7e308])
@pytest.mark.parametrize("shape", [(60, 3), (60, 8, 8), (60, 3, 8, 8), (30, 1200)])
def test_values_far_outside_are_encoded_finite(value, shape):
    X = np.random.default_rng(0).normal(size=shape)
    data_format = fitted(X)
    X[5].flat[1] = value
    with np.errstate(all="raise"):
        for limited in (True, False):
            tensor = data_format.encode(X, limited=limited)
            assert torch.isfinite(tensor.square()).all()
            assert tensor[5].abs().max() > 10 * np.delete(tensor, 5, axis=0).abs().max()


def test_outliers_are_clipped_or_as_far_as_they_are():
    X = np.random.default_rng(0).normal(size=(200, 3))
    X[0, 1] = 1e4
    data_format = fitted(X)
    within, given = (data_format.encode(X, limited=limited) for limited in (True, False))
    assert torch.equal(within[1:], given[1:])
    assert given[0, 1] > 100 * within[0, 1] > 0


# ---- Images of few levels, and with faulty pixels


@pytest.mark.parametrize(
    ("levels", "dtype"),
    [
        ([0, 1], np.uint8),
        ([0, 1], bool),
        (range(17), np.uint8),
        (range(40), np.uint8),
        ([7, 9, 30], np.uint8),
        ([250, 255], np.uint8),
        ([-1, 1], np.int8),
        (range(0, 5000, 7), np.uint16),
        ([0.0, 0.5], np.float32),
    ],
)
def test_images_are_scaled_by_the_levels_they_have(levels, dtype):
    X = np.random.default_rng(0).choice(np.array(list(levels)), (40, 8, 8)).astype(dtype)
    data_format = fitted(X)
    tensor = data_format.encode(X)
    assert (tensor.min(), tensor.max()) == (-1, 1)
    assert data_format.limits is None
    np.testing.assert_allclose(data_format.decode(tensor), X, atol=1e-3)


def spots(random, n=60, ground=0.0):
    """Bright spots on a dark ground, anywhere: no faults."""
    X = ground * random.random((n, 16, 16))
    for image in X:
        i, j = random.integers(2, 12, 2)
        image[i : i + 2, j : j + 2] = random.uniform(150, 200, (2, 2))
    return X


FAULTS = {
    "one": lambda X, value: X[3].flat.__setitem__(20, value),
    "stuck": lambda X, value: X.reshape(len(X), -1)[:, 20].fill(value),
    "a few": lambda X, value: X.reshape(len(X), -1)[::25, ::97].__setitem__(..., value),
    "an image": lambda X, value: X[3].fill(value),
    "rays": lambda X, value: X.reshape(-1)[::601].fill(value),
    "nodata": lambda X, value: X.reshape(-1)[::151].fill(value),
    "one in each": lambda X, value: [
        image.reshape(-1).__setitem__(7 * i % image.size, value) for i, image in enumerate(X)
    ],
    "border": lambda X, value: X[:, 0].fill(value),
    "images": lambda X, value: X[::13].fill(value),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("value", [4095, -9999, 1e30])
@pytest.mark.parametrize("kind", ["digits", "masks", "uint16", "colour", "noise"])
def test_faulty_pixels_do_not_set_the_scale(kind, value, fault):
    random = np.random.default_rng(0)
    clean = {
        "digits": load_digits().images[:80],
        "masks": (random.random((80, 8, 8)) < 0.1).astype(np.float32),
        "uint16": random.integers(0, 17, (80, 9, 9)).astype(np.uint16),
        "colour": random.random((80, 8, 8, 3)) * 3,
        "noise": random.normal(size=(80, 12, 12)),
    }[kind]
    if clean.dtype.kind == "u" and value != 4095:
        value = 65535
    X = clean.copy()
    FAULTS[fault](X, value)
    assert (value == X).any()
    data_format, expected = fitted(X), fitted(clean)
    tensor, others = data_format.encode(X), torch.as_tensor(np.asarray(clean == X, dtype=bool))
    others = others.movedim(-1, 1) if kind == "colour" else others[:, None]
    others = data_format.to_grid(others.float()) == 1
    inner = tensor[others]
    # As wide as without them, or nearly: the largest value may be the one that was replaced.
    assert inner.max() - inner.min() > 1.6
    assert tensor.abs().max() == 1
    assert expected.limits is None
    assert np.isfinite(data_format.limits).sum() == 1
    # Farther away where residuals are looked at.
    assert data_format.encode(X, limited=False).abs().max() > 10


@pytest.mark.parametrize("ground", [0.0, 1.0])
def test_bright_spots_are_no_faults(ground):
    X = spots(np.random.default_rng(0), ground=ground)
    assert fitted(X).limits is None
    X[4, 0, 0] = 1e6
    data_format = fitted(X)
    assert data_format.encode(X).max() == 1
    assert 190 < data_format.centre + data_format.scale <= 200


def test_limits_of_pixels_are_the_same_in_any_order(monkeypatch):
    monkeypatch.setattr("skmpcc.data.scaling.MAX_POOLED", 64 * 20)
    X = load_digits().images[:200].copy()
    X[5, 2, 2] = 4095
    expected = fitted(X)
    shuffled = fitted(X[np.random.default_rng(0).permutation(200)])
    assert expected.centre == shuffled.centre == 8
    np.testing.assert_array_equal(expected.limits, shuffled.limits)


def test_chunks_are_of_so_many_values():
    """1,500 images of 64 x 64 x 3 took 354 MiB beside a tensor of 70."""
    X = np.zeros((900, 64, 64, 3), dtype=np.uint8)
    X[0] = 1
    data_format = fitted(X)
    tracemalloc.start()
    data_format.encode_all(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * 8 * CHUNK_VALUES < X.size * 8 / 2


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT, decimal.Decimal("nan")], ids=repr)
def test_what_is_missing_in_lists_and_objects_is_nan(missing):
    X = [[1, missing], [2.5, 3]]
    for each in (X, tuple(map(tuple, X)), np.array(X, dtype=object)):
        found = np.asarray(with_nan(each), dtype=float)
        np.testing.assert_array_equal(found, [[1, np.nan], [2.5, 3]])


@pytest.mark.parametrize(
    "X",
    [[[1, 2], [3]], [[1.0, 2.0]], np.array([[1, 2]], dtype=object), np.ones((2, 2)), None, "text", [[]]],
    ids=repr,
)
def test_what_misses_nothing_is_left_as_it_is(X):
    assert with_nan(X) is X
