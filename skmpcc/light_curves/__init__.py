"""Light curves, and any other irregular, noisy series, as samples for estimators."""

from skmpcc.light_curves.curves import LightCurves

__all__ = ["LightCurves"]
