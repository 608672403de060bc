"""Stars for the benchmark of light curves: their curves, classes and tables of features."""

import hashlib
import inspect
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import skew

from skmpcc.light_curves import LightCurveGrid, LightCurves, LightCurveVaDE, find_periods, periods
from skmpcc.light_curves import make_light_curves as make
from skmpcc.light_curves.grid import DEFAULT_FEATURES

RESULTS = Path(__file__).parent / "results"
EROS = ("binary", "Cepheid", "RR Lyrae", "Mira")
ASAS = ("Beta_Persei", "Classical_Cepheid", "RR_Lyrae_FM", "Semireg_PV", "W_Ursae_Maj")
LINEAR = ("Delta Scuti", "Algol", "RRc", "W UMa", "RRab")
SYNTHETIC = ("RRab", "RRc", "EW", "EA", "Cepheid", "outlier")
N_SYNTHETIC = 1200
CURVES = ("times", "values", "errors", "bands")
# Robust standard deviations at which features are clipped.
CLIP = 5.0


@dataclass
class Stars:
    """Curves with classes, and tables of them; without curves the table `given`, numbers first."""

    name: str
    curves: LightCurves | None
    y: NDArray[np.int64]
    classes: tuple[str, ...]
    given: NDArray | None = None

    @property
    def features(self) -> tuple[str, ...]:
        """Features of the curves: stars of one galaxy are equally far, so that brightness tells."""
        return ("level", *DEFAULT_FEATURES) if self.name == "eros" else DEFAULT_FEATURES

    @cached_property
    def _moments(self) -> NDArray:
        """Mean, log std and skew of clipped values, (3, n, n_bands)."""
        found = []
        for v in _series(self.curves, self.curves.values):
            middle = np.median(v)
            reach = CLIP * 1.4826 * np.median(np.abs(v - middle))
            v = v.clip(middle - reach, middle + reach)
            found.append((v.mean(), np.log(v.std()), skew(v)))
        return np.reshape(found, (len(self.y), -1, 3)).transpose(2, 0, 1)

    @cached_property
    def numbers(self) -> NDArray:
        """Log period, log amplitude and skew of the first band."""
        if self.given is not None:
            return self.given[:, :3]
        return np.stack([np.log(self.curves.period), *self._moments[1:, :, 0]], axis=1)

    @cached_property
    def colours(self) -> NDArray:
        """Three numbers, and amplitudes, levels and colours of all bands, if there are several."""
        if self.given is not None:
            return self.given
        level, log_std, _ = self._moments
        more = [log_std[:, 1:], level[:, -1:], np.diff(level, axis=1)] if level.shape[1] > 1 else []
        return np.concatenate([self.numbers, *more], axis=1)

    @cached_property
    def extracted(self) -> NDArray:
        """Features of the package light-curve in each band, and what `colours` has beside moments."""
        import light_curve as lc

        names = (
            *("Amplitude", "AndersonDarlingNormal", "BeyondNStd", "Cusum", "Eta", "EtaE"),
            *("ExcessVariance", "InterPercentileRange", "Kurtosis", "LinearTrend", "MaximumSlope"),
            *("MagnitudePercentageRatio", "MedianAbsoluteDeviation", "MedianBufferRangePercentage"),
            *("PercentAmplitude", "ReducedChi2", "Roms", "Skew", "StandardDeviation", "StetsonK"),
        )
        extractor = lc.Extractor(*(getattr(lc, name)() for name in names))
        columns = [self.curves.times, self.curves.values, self.curves.errors]
        rows = []
        for t, v, e in zip(*(_series(self.curves, each) for each in columns), strict=True):
            once = np.unique(t, return_index=True)[1]
            rows.append(extractor(t[once], v[once], e[once], sorted=True, fill_value=0.0))
        found = np.nan_to_num(np.reshape(rows, (len(self.y), -1)), posinf=0, neginf=0)
        return np.concatenate([found, self.colours[:, :1], self.colours[:, 4:]], axis=1)

    @cached_property
    def rows(self) -> NDArray:
        """Rows of the grid."""
        return LightCurveGrid(features=self.features).fit_transform(self.curves)


def _series(curves: LightCurves, points: NDArray) -> list[NDArray]:
    """Points of each curve and band."""
    of_curve = np.repeat(np.arange(len(curves)), curves.n_points)
    series = of_curve * len(curves.band_names) + curves.bands
    return np.split(points, np.flatnonzero(np.diff(series)) + 1)


def points_of(curves: LightCurves, kept: NDArray[np.bool_]) -> LightCurves:
    """Curves with some of their points."""
    cut = np.cumsum(np.add.reduceat(kept, curves.splits[:-1], dtype=int))[:-1]
    columns = [curves.times, curves.values, curves.errors, np.array(curves.band_names)[curves.bands]]
    return LightCurves(*(np.split(each[kept], cut) for each in columns), period=curves.period)


@cache
def load(name: str, data: Path | None, seed: int) -> Stars:
    """Load or make a set; the seed is that of synthetic curves."""
    if name.startswith("synthetic"):
        same = name.endswith("same_period")
        curves, y = make(N_SYNTHETIC, classes=SYNTHETIC, same_period=same, random_state=seed)
        return Stars(name, curves, np.array([SYNTHETIC.index(each) for each in y]), SYNTHETIC)
    return real(name, data)


@cache
def real(name: str, data: Path | None) -> Stars:
    """Load a set of the file."""
    if data is None:
        raise SystemExit(f"{name} needs --data, an .npz file of light curves.")
    with np.load(data) as file:
        if name == "linear":
            return Stars(name, None, file["linear_y"] - 1, LINEAR, file["linear_X"].astype(float))
        y, split = file[f"{name}_y"], file[f"{name}_splits"][1:-1]
        columns = [np.split(file[f"{name}_{each}"], split) for each in CURVES]
        curves = LightCurves(*columns, period=file["eros_period"] if name == "eros" else None)
    if name == "eros":
        return Stars(name, curves, y - 1, EROS)
    kept = np.flatnonzero(np.isin(y, ASAS))
    curves = curves[kept]
    # Found once for each state of the code that finds them; git ignores .npz files.
    code = hashlib.sha256(inspect.getsource(periods).encode()).hexdigest()[:8]
    path = RESULTS / f"asas_periods_{code}.npz"
    if not path.exists():
        np.savez(path, period=find_periods(curves))
    columns = [np.split(getattr(curves, each), curves.splits[1:-1]) for each in CURVES]
    curves = LightCurves(*columns, period=np.load(path)["period"])
    return Stars(name, curves, np.array([ASAS.index(each) for each in y[kept]]), ASAS)


@dataclass(frozen=True)
class Case:
    """Stars to learn and to judge, by their numbers, and the classes that methods are told, -1: none."""

    stars: Stars
    train: NDArray[np.int64]
    test: NDArray[np.int64]
    told: NDArray[np.int64]
    seed: int
    param: dict[str, Any] = field(default_factory=dict)

    def vade(self, **given: Any) -> LightCurveVaDE:
        """Make the estimator with parameters of the call."""
        given = {"features": self.stars.features, "random_state": self.seed} | given
        return LightCurveVaDE(**(given | self.param))

    @property
    def curves(self) -> tuple[LightCurves, LightCurves]:
        """Curves to learn and to judge."""
        return self.stars.curves[self.train], self.stars.curves[self.test]

    def scaled(self, table: str) -> tuple[NDArray, NDArray]:
        """Rows of a table to learn and to judge, by their median and spread, clipped."""
        rows = getattr(self.stars, table)
        low, middle, high = np.percentile(rows[self.train], [16, 50, 84], axis=0)
        rows = ((rows - middle) / np.where(high > low, (high - low) / 2, 1)).clip(-CLIP, CLIP)
        return rows[self.train], rows[self.test]


def inliers_of(stars: Stars) -> NDArray[np.int64]:
    """Stars of the classes that have a name."""
    return np.flatnonzero(stars.y < 5)
