"""Heat map of what sets each cluster apart."""

import numpy as np
import pandas as pd
import pytest
from support import BRIEF, images

from skmpcc import MPCCClusterer
from skmpcc.inspection import describe_clusters

plt = pytest.importorskip("matplotlib.pyplot")

from skmpcc.plotting import ClusterDescriptionDisplay  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def table():
    random = np.random.default_rng(0)
    kind = np.arange(90) % 3
    return pd.DataFrame(
        {
            "size": 9.0 * kind + random.random(90),
            "$price": random.random(90),
            "kind": np.array(["<b>", "b", "c"])[kind],
        }
    )


@pytest.fixture(scope="module")
def clusterer(table):
    return MPCCClusterer(3, **BRIEF | {"pseudo_labels": "kmeans", "random_state": 0}).fit(table)


def test_cells_are_the_effects(clusterer, table):
    display = ClusterDescriptionDisplay.from_estimator(clusterer, table)
    for k, effects in describe_clusters(clusterer, table)["effects"].items():
        for name, effect in effects.items():
            assert display.effects[display.names.index(name), k] == effect
    np.testing.assert_array_equal(display.image_.get_array(), display.effects)
    assert [text.get_text() for text in display.ax_.get_yticklabels()] == display.names
    assert len(display.ax_.texts) == np.sum(~np.isnan(display.effects))
    assert display.figure_ is display.ax_.figure
    display.figure_.canvas.draw()


def test_few_features_and_other_axes(clusterer, table):
    _, ax = plt.subplots()
    display = ClusterDescriptionDisplay.from_estimator(
        clusterer, table, n_features=1, ax=ax, cmap="gray"
    )
    assert display.ax_ is ax
    assert len(display.names) <= 3
    assert display.image_.get_cmap().name == "gray"
    assert display.plot().ax_ is not ax


def test_clusters_without_rows_are_blank(clusterer, table):
    first = table[clusterer.predict(table) == 0].index.union(table[clusterer.predict(table) == 1].index)
    display = ClusterDescriptionDisplay.from_estimator(clusterer, table.loc[first])
    assert np.isnan(display.effects[:, 2]).all()
    assert not np.isnan(display.effects[:, :2]).any()


def test_what_cannot_be_drawn_is_refused(clusterer, table):
    with pytest.raises(TypeError, match="ax must be matplotlib axes"):
        ClusterDescriptionDisplay.from_estimator(clusterer, table, ax="text")
    with pytest.raises(ValueError, match="n_features"):
        ClusterDescriptionDisplay.from_estimator(clusterer, table, n_features=0)
    with pytest.raises(TypeError, match="estimator should be"):
        ClusterDescriptionDisplay.from_estimator("text", table)
    of_images = MPCCClusterer(2, **BRIEF).fit(images((20, 8, 8)))
    with pytest.raises(ValueError, match="X holds images"):
        ClusterDescriptionDisplay.from_estimator(of_images, images((20, 8, 8)))
