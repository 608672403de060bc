"""The order of the examples in the gallery."""

from pathlib import Path

ORDER = (
    "plot_digits.py",
    "plot_images.py",
    "plot_shapes.py",
    "plot_n_clusters.py",
    "plot_unequal_clusters.py",
    "plot_describing.py",
    "plot_outliers.py",
    "plot_new_samples.py",
    "plot_mixed_table.py",
    "plot_pipeline.py",
    "plot_own_csv.py",
    "plot_saving.py",
    "plot_vade.py",
    "plot_classifier.py",
    "plot_vae.py",
    "plot_aim_grid.py",
    "plot_light_curves.py",
)


def position(path: str) -> int:
    """Place of an example; one that is not listed is an error."""
    return ORDER.index(Path(path).name)
