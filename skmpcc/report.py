"""A page of HTML about a fitted clusterer. Needs matplotlib: pip install "skmpcc[plot]"."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from string import Template
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings, filterwarnings

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import resample
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from skmpcc.clusterer import MPCCClusterer
from skmpcc.data.inputs import as_array
from skmpcc.inspection.description import ClusterDescription, cluster_descriptions
from skmpcc.plotting import HistoryDisplay, LatentMapDisplay, NClustersDisplay
from skmpcc.plotting.clusters import clusters_figure
from skmpcc.system.versions import installed_versions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# What is told of each cluster.
MAX_FEATURES, MAX_CONDITIONS, N_ROWS = 8, 3, 3
MAX_POINTS = 5000

_PAGE = Template(
    """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>$title</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 0.5rem 0; }
th, td { padding: 0.15rem 0.8rem; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; }
img { max-width: 100%; }
.warning { border-left: 4px solid #d80; padding-left: 0.6rem; }
</style>
</head>
<body>
<h1>$title</h1>
$content
</body>
</html>
"""
)


def html_report(
    clusterer: MPCCClusterer,
    X: ArrayLike,
    *,
    title: str = "Clusters",
    image_shape: tuple[int, ...] | None = None,
    scores: Mapping[str, float] | None = None,
    warnings: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
) -> str:
    """Make an HTML page about the clusters that a fit found; the page needs no other file.

    The page shows the sizes of the clusters, how their number was found, members and new samples of
    each cluster (for images) or what sets it apart (for tables, as
    `skmpcc.inspection.describe_clusters` finds it), a map of the codes, the course of the training,
    warnings and settings.

    Parameters
    ----------
    clusterer : MPCCClusterer
        Fitted on X.
    X : array-like
        The samples of the fit. The columns' names are shown if it is a data frame.
    title : str, default="Clusters"
    image_shape : tuple of int, default=None
        (height, width) or (height, width, channels) of vectors that are images.
    scores : mapping of str to float, default=None
        Measures against known classes, such as those of `skmpcc.metrics.clustering_scores`.
    warnings : sequence of str, default=()
        Texts of the warnings of the fit.
    settings : mapping of str to object, default=None
        Settings to list before the clusterer's own parameters.

    Returns
    -------
    page : str

    Raises
    ------
    NotFittedError
        The clusterer is not fitted.
    ValueError
        X does not have as many samples as the fit saw.
    ImportError
        matplotlib is not installed.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skmpcc import MPCCClusterer
    >>> from skmpcc.report import html_report
    >>> X = load_iris().data
    >>> clusterer = MPCCClusterer(3, max_iter=20, width=16, tol=0.0, random_state=0).fit(X)
    >>> page = html_report(clusterer, X, title="Iris")
    >>> "<h1>Iris</h1>" in page
    True
    """
    check_is_fitted(clusterer)
    X = as_array(X)
    check_consistent_length(X, clusterer.labels_)
    values = np.asarray(clusterer._fitted.format.to_numbers(X))
    as_images = values.ndim > 2 or (image_shape or clusterer.image_shape) is not None
    n_clusters = len(clusterer.means_)
    content = [
        f"<p>{len(values)} samples of shape {values.shape[1:]} in {n_clusters} clusters.</p>",
        *_warnings(warnings),
        *_scores(scores or {}),
        "<h2>Sizes</h2>",
        _sizes(clusterer, X),
        *_choice(clusterer),
        *_number(clusterer),
    ]
    if as_images:
        content += ["<h2>Members and new samples</h2>"]
        if clusterer.labels_only:
            content.append("<p>The fit was for labels only, so the new samples are poor.</p>")
        content.append(_picture(clusters_figure(clusterer, X, image_shape), "clusters"))
    else:
        described = cluster_descriptions(
            clusterer, X, (MAX_FEATURES, MAX_CONDITIONS, N_ROWS), labels=clusterer.labels_
        )
        content += [
            "<h2>What sets each cluster apart</h2>",
            "<p>A rule that tells the cluster from all others, typical rows of the data, numbered from "
            "0, and those whose membership is lowest. Below are the features whose mean in the cluster "
            "differs most from their mean in all other clusters, in standard deviations of the feature; "
            "the mean of a category is its share.</p>",
            *_apart(described),
        ]
    if clusterer.means_.shape[1] > 1:
        content += [
            "<h2>Map of the codes</h2>",
            "<p>The first two principal components of the latent codes, and for each cluster an "
            "ellipse at two standard deviations from its mean.</p>",
            _picture(_map(clusterer, X), "map of the codes"),
        ]
    content += [
        "<h2>Course of the training</h2>",
        f"<p>{clusterer.n_iter_} iterations, after which the training "
        f"{'had' if clusterer.converged_ else 'had not'} converged.</p>",
        _picture(_history(clusterer), "course of the training"),
        "<h2>Settings</h2>",
        _settings(clusterer, settings or {}),
    ]
    page = _PAGE.substitute(title=escape(title), content="\n".join(content))
    # Halves of surrogate pairs, as names of files may have, cannot be written.
    return page.encode(errors="replace").decode()


def _rows(rows: Iterable[Sequence[object]], head: Sequence[str]) -> str:
    """A table of HTML; its cells are text."""
    lines = ["<table>", "<tr>" + "".join(f"<th>{escape(each)}</th>" for each in head) + "</tr>"]
    for row in rows:
        lines.append("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>")
    return "\n".join([*lines, "</table>"])


def _warnings(warnings: Sequence[str]) -> list[str]:
    if not warnings:
        return []
    return ["<h2>Warnings</h2>", *(f'<p class="warning">{escape(text)}</p>' for text in warnings)]


def _scores(scores: Mapping[str, float]) -> list[str]:
    if not scores:
        return []
    # Adding 0 makes a 0 of -0.
    table = _rows([[f"{round(value, 3) + 0.0:.3f}" for value in scores.values()]], list(scores))
    return [
        "<h2>Compared with the known classes</h2>",
        "<p>The fit did not see these classes.</p>",
        table,
    ]


def _sizes(clusterer: MPCCClusterer, X: ArrayLike) -> str:
    labels, memberships = clusterer.labels_, clusterer.predict_proba(X)
    rows: list[list[str]] = []
    for k in range(len(clusterer.means_)):
        of_cluster = memberships[labels == k, k]
        mean = f"{of_cluster.mean():.3f}" if len(of_cluster) else "-"
        share = f"{len(of_cluster) / len(labels):.1%}"
        rows.append([str(k), str(len(of_cluster)), share, f"{clusterer.weights_[k]:.1%}", mean])
    n_outside = int(np.sum(labels < 0))
    if n_outside:
        rows.append(["none", str(n_outside), f"{n_outside / len(labels):.1%}", "-", "-"])
    return _rows(rows, ["cluster", "samples", "share", "weight", "mean membership"])


def _choice(clusterer: MPCCClusterer) -> list[str]:
    """How sure the choice of the pseudo-labels was, if there was one."""
    # Files of older versions do not tell.
    choice = getattr(clusterer, "pseudo_label_choice_", None)
    if choice is None:
        return []
    text = f"The pseudo-labels, which taught the networks, are of the kind {choice['kind']!r}."
    if choice["agreement"] is not None:
        text += f" The others that were found agree with them by {choice['agreement']:.2f}"
        text += ", a mean adjusted Rand index"
        if choice["margin"] is not None:
            text += f", and the best that differ are behind by {choice['margin']:.2f}"
        text += ". The lower both are, the more the clusters are in doubt."
    return [f"<p>{escape(text)}</p>"]


def _number(clusterer: MPCCClusterer) -> list[str]:
    """How the fit found the number of clusters, if it was to look for it."""
    if getattr(clusterer, "n_clusters_curve_", None) is None:
        return []
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    NClustersDisplay.from_estimator(clusterer, ax=figure.subplots())
    return [
        "<h2>Number of clusters</h2>",
        "<p>How well clusters of one part of the samples are found again in another, by their number, "
        "and what a number needs to be taken.</p>",
        _picture(figure, "number of clusters"),
    ]


def _apart(described: Sequence[ClusterDescription]) -> Iterable[str]:
    """For each cluster its rule, typical rows, and the columns by which it differs most from others."""
    for cluster in described:
        yield f"<h3>Cluster {cluster.cluster}</h3>"
        if not cluster.effects:
            yield f"<p>It has {'all' if cluster.size else 'no'} samples.</p>"
            continue
        if cluster.rule is not None:
            yield (
                f"<p>Rule: <code>{escape(cluster.rule.text)}</code>. Of the samples that fulfil it "
                f"{cluster.rule.precision:.0%} are in the cluster, of the cluster's samples "
                f"{cluster.rule.recall:.0%} fulfil it.</p>"
            )
        doubtful = _listed(cluster.doubtful)
        yield f"<p>Typical rows: {_listed(cluster.typical)}. Most in doubt: {doubtful}.</p>"
        rows = [
            [each.name, *each.written(), f"{round(each.effect, 2) + 0.0:+.2f}"]
            for each in cluster.effects
        ]
        yield _rows(rows, ["feature", "mean", "mean of the rest", "difference"])


def _listed(rows: Sequence[int]) -> str:
    return ", ".join(map(str, rows)) or "none"


def _settings(clusterer: MPCCClusterer, settings: Mapping[str, Any]) -> str:
    shown = {**settings, "preset": clusterer.preset_}
    given = clusterer.get_params(deep=False).items()
    shown |= {name: value for name, value in given if value is not None and name != "preset"}
    shown |= {name: value for name, value in installed_versions().items() if value is not None}
    return _rows(shown.items(), ["setting", "value"])


def _picture(figure: "Figure", text: str) -> str:
    buffer = io.BytesIO()
    with catch_warnings():
        # Names may have signs that the font lacks: they are in the page's text, too.
        filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure.savefig(buffer, format="png", dpi=100)
    content = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{escape(text)}" src="data:image/png;base64,{content}">'


def _map(clusterer: MPCCClusterer, X: Any) -> "Figure":
    from matplotlib.figure import Figure

    if len(clusterer.labels_) > MAX_POINTS:
        X = resample(X, replace=False, n_samples=MAX_POINTS, random_state=0)
    figure = Figure(figsize=(7, 6), layout="tight")
    LatentMapDisplay.from_estimator(clusterer, X, ax=figure.subplots())
    return figure


def _history(clusterer: MPCCClusterer) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 8), layout="constrained")
    HistoryDisplay.from_estimator(clusterer, ax=figure.subplots())
    return figure
