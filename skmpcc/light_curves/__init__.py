"""Light curves, and any other irregular, noisy series, as samples for estimators."""

from skmpcc.light_curves.curves import LightCurves
from skmpcc.light_curves.synthetic import make_light_curves

__all__ = ["LightCurves", "make_light_curves"]
