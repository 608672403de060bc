"""Values of arguments that are more than a number."""

import argparse

AUTO = "auto"
_MOST_OUTLIERS = 0.5


def n_clusters_of(text: str) -> int | str:
    """Read the number of clusters, or "auto"."""
    if text == AUTO:
        return text
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a whole number nor {AUTO}") from None


def outlier_fraction_of(text: str) -> float | str:
    """Read a share of rows that belong nowhere, or "auto"."""
    if text == AUTO:
        return text
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    # NaN is not within either.
    if not 0 < value <= _MOST_OUTLIERS:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither {AUTO} nor a number above 0 and at most {_MOST_OUTLIERS}"
        )
    return value
