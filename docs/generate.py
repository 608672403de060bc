"""Make docs/presets.md from the settings' declarations, and pictures from fits.

python docs/generate.py              # docs/presets.md
python docs/generate.py --picture    # clusters.png, classes.png and displays.png too, in three minutes
"""

import argparse
from collections.abc import Mapping
from dataclasses import Field, fields
from pathlib import Path

from sklearn.utils._param_validation import Interval

from skmpcc.aim_presets import AIM_PRESETS, AIMPreset
from skmpcc.presets import PRESETS, Preset
from skmpcc.settings import NetworkSettings, TrainingSettings, settings_of, type_of
from skmpcc.variational_presets import VARIATIONAL_PRESETS, VariationalPreset

DOCS = Path(__file__).parent

CHOSEN_FOR = {
    "vectors": "tables of 33 to 512 features",
    "vectors_plane": "tables of up to 3 features",
    "vectors_narrow": "tables of 4 to 32 features",
    "vectors_small": "tables of 4 to 32 features and up to 1,000 rows",
    "vectors_wide": "tables of more than 512 features",
    "vectors_many": "tables, more than 30 clusters",
    "grey": "images of one channel",
    "grey_tiny": "images of one channel, sides below 12",
    "grey_many": "images of one channel, more than 30 clusters",
    "colour": "images of several channels",
    "colour_many": "images of several channels, more than 30 clusters",
}
AIM_CHOSEN_FOR = {"vectors": "tables", "images": "images"}
AIM_COLUMNS = {
    "networks": "networks",
    "width": "width",
    "latent_dim": "latent_dim",
    "batch_size": "batch",
    "learning_rate": "rate",
    "max_iter": "max_iter",
}
VARIATIONAL_CHOSEN_FOR = {
    "vectors": "tables",
    "images": "images, up to 20,000 of them",
    "images_many": "images, more than 20,000 of them",
    "images_tiny": "images, sides below 12",
}
VARIATIONAL_COLUMNS = {
    "width": "width",
    "patch_size": "patches",
    "latent_dim": "latent_dim",
    "batch_size": "batch",
    "learning_rate": "rate",
    "max_iter": "max_iter",
    "prior_learning_rate": "prior's rate",
    "pseudo_labels": "pseudo_labels",
    "label_weight": "label_weight",
}
COLUMNS = {
    "conditioning": "conditioning",
    "width": "width",
    "patch_size": "patches",
    "latent_dim": "latent_dim",
    "batch_size": "batch",
    "learning_rate": "rate",
    "prior_learning_rate": "prior's rate",
    "max_iter": "max_iter",
    "pseudo_labels": "pseudo_labels",
}

HEAD = """# Presets

<!-- Made by docs/generate.py: edit that file, or the declarations in skmpcc/settings.py. -->

A preset is a frozen dataclass, `skmpcc.presets.Preset`, that holds all settings of a fit.
`preset="auto"` chooses one of `skmpcc.presets.PRESETS` by the shape of the input and `n_clusters`
alone, and the fitted attribute `preset_` tells which. The settings that are changed most are
parameters of `MPCCClusterer` and `MPCCClassifier`; every one can be replaced by `preset_params`, or
in a preset of your own, made by `dataclasses.replace` and passed as `preset`.
"""
ABOUT = """
Those named after data sets are the settings of the paper, or of its authors' code where the two differ
([method](method.md)): a random start, no early stopping, 75,000 or 125,000 iterations. They are meant
for a GPU. "cifar10" and "cifar20" are the same, as in the paper.
The general ones take rates several times as high, are taught by pseudo-labels and by reconstructions
([method](method.md)), so that some hundred iterations do, or with `labels_only` a hundred or two.

The presets for tables, `grey` and `grey_tiny` were measured ([benchmarks](benchmarks.md));
`grey_many`, `colour` and `colour_many` carry their settings over and were hardly measured
([lab notes](lab-notes/README.md)).
"""

AIM_ABOUT = """## Presets of AIM

`AIM` has presets of its own, `skmpcc.aim_presets.AIM_PRESETS`, which are frozen dataclasses, too
(`skmpcc.aim_presets.AIMPreset`). "mnist" and "cifar10" are the networks and settings of the AIM paper's
tables 3 and 4. "grid" is for its 25 Gaussians, of which the paper does not tell the networks. Their
settings are listed in the docstring of `AIM`; those that are MPCC's as well mean the same.
"""

VARIATIONAL_ABOUT = """## Presets of VAE and VaDE

`VAE` and `VaDEClusterer` share presets of their own, which are frozen dataclasses, too:
`skmpcc.variational_presets.VariationalPreset`, in the dictionary `VARIATIONAL_PRESETS` of that module.
"auto" chooses by the shape of the input and the number of images alone. The last three columns are of
clusters, which a `VAE` does not have. Settings are listed in the docstrings of the two estimators; those
that are MPCC's as well mean the same.
"""


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else f"{value}"


def _values_of(field: Field) -> str:
    """Values that a setting may have."""
    intervals = [str(each) for each in field.metadata["constraints"] if isinstance(each, Interval)]
    other = [word for word in type_of(field).split(" or ") if word not in ("int", "float")]
    return " or ".join(intervals + other)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def presets_page() -> str:
    """Text of docs/presets.md."""
    lines = [HEAD, "## The presets", "", *_table(PRESETS, COLUMNS, CHOSEN_FOR)]
    lines.append(ABOUT)
    for title, cls in (("networks", NetworkSettings), ("training", TrainingSettings)):
        lines += [
            f"## Settings of the {title}",
            "",
            _row(["setting", "values", "what it is", "presets"]),
        ]
        lines.append(_row(["---"] * 4))
        for name, field in settings_of(cls).items():
            described = field.metadata["description"].replace("|", "\\|")
            lines.append(_row([f"`{name}`", _values_of(field), described, _values(name)]))
        lines.append("")
    lines += [AIM_ABOUT, *_table(AIM_PRESETS, AIM_COLUMNS, AIM_CHOSEN_FOR), "", VARIATIONAL_ABOUT]
    lines += [*_table(VARIATIONAL_PRESETS, VARIATIONAL_COLUMNS, VARIATIONAL_CHOSEN_FOR), ""]
    return "\n".join(lines)


def _table(
    presets: Mapping[str, Preset | AIMPreset | VariationalPreset],
    columns: dict[str, str],
    chosen_for: dict[str, str],
) -> list[str]:
    """Rows of presets and their main values."""
    lines = [_row(["preset", "chosen for", *columns.values()]), _row(["---"] * (2 + len(columns)))]
    for name, preset in presets.items():
        values = [_shown(getattr(preset, field)) for field in columns]
        lines.append(_row([f"`{name}`", chosen_for.get(name, "by name"), *values]))
    return lines


def _values(name: str) -> str:
    """Values of a setting in the presets, those of most presets first."""
    groups: dict[str, list[str]] = {}
    for preset in PRESETS.values():
        groups.setdefault(_shown(getattr(preset, name)), []).append(preset.name)
    ordered = sorted(groups.items(), key=lambda group: -len(group[1]))
    shown = [f"`{ordered[0][0]}`"]
    shown += [f"`{value}` in {', '.join(names)}" for value, names in ordered[1:]]
    return "; ".join(shown)


def draw_picture(path: Path) -> None:
    """Members and new samples of each cluster of scikit-learn's digits, clustered as images."""
    from sklearn.datasets import load_digits

    from skmpcc import MPCCClusterer
    from skmpcc.plotting import ClustersDisplay

    X = load_digits().images
    clusterer = MPCCClusterer(n_clusters=10, random_state=0).fit(X)
    ClustersDisplay.from_estimator(clusterer, X).figure_.savefig(path, dpi=60)


def draw_classes(path: Path) -> None:
    """Held-out digits and new samples of each class; the fit is that of the reference."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    from skmpcc import MPCCClassifier
    from skmpcc.plotting import ClustersDisplay

    digits = load_digits()
    known, new, y_known, _ = train_test_split(
        digits.images, digits.target, random_state=0, stratify=digits.target
    )
    classifier = MPCCClassifier(random_state=0).fit(known, y_known)
    ClustersDisplay.from_estimator(classifier, new).figure_.savefig(path, dpi=60)


def draw_displays(path: Path) -> None:
    """Codes of wines and profiles of their clusters, as in the reference."""
    from matplotlib.figure import Figure
    from sklearn.datasets import load_wine

    from skmpcc import MPCCClusterer
    from skmpcc.plotting import ClustersDisplay, LatentMapDisplay

    wine = load_wine(as_frame=True).data
    clusterer = MPCCClusterer(n_clusters=3, random_state=0).fit(wine)
    figure = Figure(figsize=(14, 6), layout="constrained")
    left, right = figure.subplots(1, 2)
    LatentMapDisplay.from_estimator(clusterer, wine, ax=left)
    ClustersDisplay.from_estimator(clusterer, wine, ax=right)
    figure.savefig(path, dpi=60)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--picture", action="store_true", help="draw the pictures too")
    options = parser.parse_args()
    assert {field.name for field in fields(Preset)} >= set(COLUMNS)
    (DOCS / "presets.md").write_text(presets_page())
    if options.picture:
        draw_picture(DOCS / "clusters.png")
        draw_classes(DOCS / "classes.png")
        draw_displays(DOCS / "displays.png")


if __name__ == "__main__":
    main()
