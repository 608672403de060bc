"""Light curves, and any other irregular, noisy series, as samples for estimators."""

from skmpcc.light_curves.curves import LightCurves
from skmpcc.light_curves.grid import LightCurveGrid
from skmpcc.light_curves.periods import find_periods
from skmpcc.light_curves.synthetic import make_light_curves
from skmpcc.light_curves.vade import LightCurveVaDE

__all__ = ["LightCurveGrid", "LightCurveVaDE", "LightCurves", "find_periods", "make_light_curves"]
