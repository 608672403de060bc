"""LightCurvesDisplay draws the points as they are folded, the bands as they are predicted."""

from functools import partial

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from skmpcc.light_curves import LightCurveGrid, LightCurveVaDE, make_light_curves
from skmpcc.plotting import LightCurvesDisplay

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

CLASSES = ["EA", "RRab"]


@pytest.fixture(autouse=True)
def no_figures_left():
    yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def data():
    return make_light_curves(40, classes=CLASSES, n_bands=2, random_state=0)


@pytest.fixture(scope="module")
def model(data):
    return LightCurveVaDE(max_iter=5, width=16, random_state=0).fit(*data)


def drawn(display):
    """The figure's canvas, once all of it is drawn."""
    display.figure_.canvas.draw()
    return np.asarray(display.figure_.canvas.buffer_rgba())


def points_of(ax):
    """Places, values and errors of the points of each band."""
    for container in ax.containers:
        line, _, (bars,) = container.lines
        ends = np.array(bars.get_segments())
        yield *line.get_data(), np.ptp(ends[:, :, 1], axis=1) / 2


def test_points_are_those_of_the_curves(data):
    """Each at a phase that its time has, and with its error; outliers alone are missing."""
    curves, y = data
    display = LightCurvesDisplay.from_curves(curves, y, n_samples=2)
    assert drawn(display).std() > 5
    assert display.axes_.shape == (2, 2)
    for name, row in zip(CLASSES, display.axes_, strict=True):
        assert row[0].get_ylabel() == name
        for ax, curve in zip(row, curves[y == name], strict=False):
            assert f"{curve.period[0]:.3g}" in ax.get_title("right")
            for band, (phases, values, errors) in enumerate(points_of(ax)):
                of_band = curve.bands == band
                found = np.abs(curve.values[of_band] - values[:, None]).argmin(axis=1)
                assert 0.9 * of_band.sum() < len(values) <= of_band.sum()
                np.testing.assert_allclose(values, curve.values[of_band][found])
                np.testing.assert_allclose(errors, curve.errors[of_band][found], rtol=1e-6)
                cycles = curve.times[of_band][found] / curve.period[0] - phases
                away = np.angle(np.exp(2j * np.pi * (cycles - cycles[0])))
                np.testing.assert_allclose(away, 0, atol=1e-5)


def test_the_band_is_that_of_predict_curve(data, model):
    """At the phase of each point: mean and two standard deviations."""
    curves, y = data
    display = LightCurvesDisplay.from_estimator(model, curves, y, n_samples=2)
    drawn(display)
    assert display.axes_.shape == (2, 4)
    for row, members, name in zip(display.axes_, display.members, CLASSES, strict=True):
        curve = curves[y == name][0]
        mean, std = model.predict_curve(curve, curve.times)
        points, (at, means, stds), _ = members[0]
        for band in range(2):
            values = points[1, points[3] == band]
            found = np.abs(curve.values - values[:, None]).argmin(axis=1)
            for smooth, expected in ((means, mean), (stds, std)):
                near = np.interp(points[0, points[3] == band], at[band], smooth[band])
                np.testing.assert_allclose(near, expected[0, band, found], atol=2e-3)
            shown = row[0].collections[2 * band].get_paths()[0].vertices[:, 1]
            ends = means[band] - 2 * stds[band], means[band] + 2 * stds[band]
            np.testing.assert_allclose([shown.min(), shown.max()], [ends[0].min(), ends[1].max()])


def test_new_curves_are_those_of_sample(data, model):
    display = LightCurvesDisplay.from_estimator(model, data[0], n_samples=2)
    drawn(display)
    assert [each.get_title("left").strip() for each in display.axes_[0, ::2]] == ["curves", "new curves"]
    for name, row in zip(model.classes_, display.axes_, strict=True):
        assert row[0].get_ylabel() == name
        new, _ = model.sample(2, name)
        for ax, curve in zip(row[2:], new, strict=True):
            assert not any(len(each.lines[0].get_xdata()) for each in ax.containers)
            lines = [line.get_data() for line in ax.lines if len(line.get_xdata())]
            assert len(lines) == 2
            for band, (phases, values) in enumerate(lines):
                of_band = curve.bands == band
                np.testing.assert_allclose(values, curve.values[of_band])
                np.testing.assert_allclose(phases * curve.period[0], curve.times[of_band])


def test_curves_come_in_their_order_under_any_names(data, model):
    curves, _ = data
    order = model.score_samples(curves).argsort()[:3]
    display = LightCurvesDisplay.from_estimator(model, curves[order], ["low"] * 3, n_samples=5)
    assert display.axes_.shape == (1, 3)
    assert display.names == ["low"]
    assert [period for *_, period in display.members[0]] == curves.period[order].tolist()
    assert display.samples == [[]]
    assert LightCurvesDisplay.from_curves(curves).axes_.shape == (1, 3)


def test_a_class_without_members_has_new_curves(data, model):
    curves, _ = data
    names = model.predict(curves)
    one = curves[names == names[0]]
    display = LightCurvesDisplay.from_estimator(model, one, n_samples=1)
    assert drawn(display).std() > 5
    assert sorted(map(len, display.members)) == [0, 1]
    assert list(map(len, display.samples)) == [1, 1]
    assert display.axes_[0, -1].get_legend() is not None


def test_magnitudes_are_upside_down_unless_told(data, model):
    curves, y = data
    assert LightCurvesDisplay.from_curves(curves, y).axes_[0, 0].yaxis_inverted()
    kept = LightCurvesDisplay.from_estimator(model, curves, invert_values=False)
    assert not any(ax.yaxis_inverted() for ax in kept.axes_.flat)
    kept.invert_values = True
    assert all(ax.yaxis_inverted() for ax in kept.plot().axes_.flat)


def test_curves_that_are_not_folded(data):
    curves = data[0][:20].with_period(None)
    grid = LightCurveGrid(fold=False)
    display = LightCurvesDisplay.from_curves(curves, grid=grid, n_samples=1)
    assert display.axes_[0, 0].get_xlabel() == "share of the time"
    first = curves[0]
    places = np.concatenate([places for places, *_ in points_of(display.axes_[0, 0])])
    expected = (first.times - first.times.min()) / np.ptp(first.times)
    assert np.isclose(places[:, None], expected, atol=1e-9).any(axis=1).all()
    assert places.max() > 0.9
    model = LightCurveVaDE(1, fold=False, max_iter=3, width=16, random_state=0).fit(curves)
    display = LightCurvesDisplay.from_estimator(model, curves, n_samples=1)
    ((_, new, period),) = display.samples[0]
    assert period is None
    np.testing.assert_allclose([new[0].min(), new[0].max()], [0, 1])


def test_periods_are_found_where_there_are_none():
    curves, _ = make_light_curves(2, classes=["RRab"], random_state=0)
    display = LightCurvesDisplay.from_curves(curves.with_period(None), n_samples=2)
    found = [period for *_, period in display.members[0]]
    np.testing.assert_allclose(found, curves.period, rtol=1e-3)


def test_axes_and_style_that_are_given(data, model):
    _, (left, right) = pyplot.subplots(1, 2)
    display = LightCurvesDisplay.from_estimator(model, data[0], n_samples=1, ax=right, color="red")
    assert display.bounding_ax_ is right
    assert display.figure_ is right.figure
    assert display.axes_[0, 0].containers[0].lines[0].get_color() == "red"
    assert display.plot(ax=left).bounding_ax_ is left
    assert drawn(display).std() > 1


def test_what_cannot_be_drawn(data, model):
    curves, y = data
    with pytest.raises(TypeError, match=r"fitted LightCurveVaDE.*got.*LightCurveGrid"):
        LightCurvesDisplay.from_estimator(LightCurveGrid().fit(curves), curves)
    with pytest.raises(NotFittedError, match="not fitted"):
        LightCurvesDisplay.from_estimator(LightCurveVaDE(), curves)
    of_model = partial(LightCurvesDisplay.from_estimator, model)
    for display in (LightCurvesDisplay.from_curves, of_model):
        with pytest.raises(ValueError, match="n_samples == 0"):
            display(curves, n_samples=0)
        with pytest.raises(ValueError, match="inconsistent numbers"):
            display(curves, y[1:])
        with pytest.raises(TypeError, match=r"ax must be matplotlib axes or None.*int"):
            display(curves, ax=1)
        with pytest.raises(ValueError, match="no curves"):
            display([])
    assert not pyplot.get_fignums()
