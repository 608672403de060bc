"""What a fit chose is seen in its attributes and in a notebook."""

import pickle
import re
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr
from support import BRIEF, images

from skmpcc import AIM, VAE, MPCCClassifier, MPCCClusterer, VaDEClusterer
from skmpcc.aim_presets import AIMPreset
from skmpcc.presets import PRESETS, Preset
from skmpcc.settings import settings_of
from skmpcc.training import convergence
from skmpcc.training.convergence import warnings_of_choice

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def rows_of(html):
    """Name, type and value of each row in the table of fitted attributes."""
    table = html.split("<summary>Fitted attributes</summary>")[1].split("</table>")[0]
    rows = (re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in table.split("<tr")[2:])
    texts = ([re.sub(r"<[^>]*>|\s+", " ", cell).strip() for cell in row] for row in rows)
    return {name.replace("&#x27;", "'"): (kind, value) for name, kind, value in texts}


def test_settings_of_a_fit():
    X = images((40, 3))
    clusterer = MPCCClusterer(3, max_iter=3, preset_params={"min_std": 0.3}, random_state=0).fit(X)
    found, preset = clusterer.settings_, PRESETS[clusterer.preset_]
    assert set(found) == set(settings_of(Preset))
    assert found["max_iter"] == 3
    assert found["min_std"] == 0.3
    assert found["batch_size"] == 40 < preset.batch_size
    assert found["weights"] in ("learned", "uniform")
    assert found["pseudo_labels"] in ("kmeans", "gaussian_mixture", "spectral", "spanning_tree")
    assert found["scaling"] == "none"
    changed = {"scaling", "max_iter", "min_std", "batch_size", "weights", "pseudo_labels"}
    assert all(found[name] == getattr(preset, name) for name in set(found) - changed)
    assert clusterer.device_ == "cpu"


@pytest.mark.parametrize(
    ("X", "kind", "expected"),
    [
        (images((40, 3)), "spectral", "spectral"),
        (images((40, 3)), None, None),
        (images((24, 8, 8)), "augmentation", "augmentation"),
        (images((24, 8, 8)), "scattering", "scattering"),
        (images((20, 3)), "spectral", "kmeans"),  # fewer than two samples for each cluster
    ],
)
def test_candidate_that_was_chosen(X, kind, expected):
    clusterer = MPCCClusterer(11, **BRIEF | {"pseudo_labels": kind}).fit(X)
    assert clusterer.settings_["pseudo_labels"] == expected


def test_settings_of_the_others():
    X = images((40, 3))
    classifier = MPCCClassifier(max_iter=3, random_state=0).fit(X, np.arange(40) % 3 - 1)
    assert classifier.settings_["pseudo_labels"] == "neighbors"
    assert classifier.settings_["label_weight"] == 5.0
    aim = AIM(max_iter=3, width=8, random_state=0).fit(X)
    assert aim.settings_["width"] == 8
    assert aim.settings_["batch_size"] == 40
    assert set(aim.settings_) <= set(settings_of(AIMPreset))
    assert aim.device_ == "cpu"


def test_table_of_a_notebook():
    X = images((40, 3))
    clusterer = MPCCClusterer(3, max_iter=3, random_state=0)
    assert "Fitted attributes" not in estimator_html_repr(clusterer)
    clusterer.fit(X)
    rows = rows_of(estimator_html_repr(clusterer))
    assert rows["preset_"] == ("str", repr(clusterer.preset_).replace("'", "&#x27;"))
    assert rows["device_"] == ("str", "&#x27;cpu&#x27;")
    assert rows["n_iter_"] == ("int", "3")
    assert rows["settings_['width']"] == ("int", str(clusterer.settings_["width"]))
    kind = clusterer.settings_["pseudo_labels"]
    assert rows["settings_['pseudo_labels']"] == ("str", f"&#x27;{kind}&#x27;")
    assert next(iter(rows)).startswith("settings_[")
    # Not what was asked for anyway, by a parameter or by the preset.
    assert "settings_['max_iter']" not in rows
    assert "settings_['min_std']" not in rows
    assert repr(clusterer) == repr(clone(clusterer))
    # The estimator is as it was.
    assert type(clusterer.preset_) is str
    pipeline = make_pipeline(StandardScaler(), clusterer)
    assert "settings_[&#x27;width&#x27;]" in estimator_html_repr(pipeline)


@pytest.mark.parametrize("kind", [MPCCClusterer, MPCCClassifier, AIM, VAE, VaDEClusterer])
def test_chosen_settings_are_kept(kind, tmp_path):
    X, y = images((40, 3)), np.arange(40) % 2
    parameters = {"priors": [0.5, 0.5]} if kind is MPCCClassifier else {}
    estimator = kind(max_iter=3, random_state=0, **parameters).fit(X, y)
    estimator.save(tmp_path / "model.safetensors")
    for again in (kind.load(tmp_path / "model.safetensors"), pickle.loads(pickle.dumps(estimator))):
        assert again.settings_ == estimator.settings_
        assert again.device_ == estimator.device_
        assert rows_of(estimator_html_repr(again)) == rows_of(estimator_html_repr(estimator))


@pytest.mark.parametrize(
    ("margin", "agreement", "warned"),
    [(0.05, 0.5, True), (0.2, 0.5, False), (0.05, 0.7, False), (None, None, False)],
)
def test_a_choice_by_little_that_few_agree_with_is_a_coins_toss(margin, agreement, warned):
    choice = {"kind": "spectral", "margin": margin, "agreement": agreement}
    assert len(list(warnings_of_choice(choice))) == warned
    assert list(warnings_of_choice(None)) == []


def test_a_fit_tells_how_sure_the_choice_of_clusters_was(tmp_path, monkeypatch):
    brief = BRIEF | {"pseudo_labels": "search"}
    X = np.random.default_rng(0).uniform(size=(300, 6))
    with monkeypatch.context() as patch:
        # Whatever wins where nothing is to be found.
        patch.setattr(convergence, "MIN_MARGIN", 9.0)
        with pytest.warns(
            ConvergenceWarning, match="next to a coin's toss: those of .* ahead of the best"
        ):
            doubtful = MPCCClusterer(5, random_state=0, **brief).fit(X)
    choice = doubtful.pseudo_label_choice_
    assert choice["kind"] == doubtful.settings_["pseudo_labels"]
    assert choice["margin"] >= 0.0
    assert choice["agreement"] < 0.6
    doubtful.save(tmp_path / "doubtful")
    assert MPCCClusterer.load(tmp_path / "doubtful").pseudo_label_choice_ == choice
    X, _ = make_blobs(150, centers=[[0, 0], [20, 0], [0, 20]], random_state=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sure = MPCCClusterer(3, random_state=0, **brief).fit(X)
    assert not any("coin's toss" in str(each.message) for each in caught)
    assert sure.pseudo_label_choice_["agreement"] > 0.9
    assert MPCCClusterer(2, random_state=0, **BRIEF).fit(X).pseudo_label_choice_ is None
