"""What serves after a training that was taught labels to its end."""

from dataclasses import replace

import pytest
import torch
from sklearn.datasets import make_moons
from support import QUICK, bars, normal, resolved

from skmpcc import MPCCClassifier, MPCCClusterer
from skmpcc.method.model import MPCCModel
from skmpcc.settings import NetworkSettings
from skmpcc.training import finishing as finishing_module
from skmpcc.training.finishing import Finishing

SETTINGS = NetworkSettings(latent_dim=4, conditioning="embedding", width=32, encoder_spectral_norm=False)


def build(labels_by=None, **training):
    """Finishing of a model of two clusters whose average is another encoder, and its labels."""
    model = MPCCModel(SETTINGS, (6,), 2, 0)
    model.update_averages(1.0)
    with torch.no_grad():
        for parameter in model.averaged_encoder.parameters():
            parameter.add_(normal(*parameter.shape, seed=3))
    x = normal(200, 6)
    y = (x[:, 0] > 0).long()
    if labels_by is not None:
        y = model.prior.most_probable(model.encode_by(getattr(model, labels_by), x)[0])
    settings = resolved((6,), max_iter=500, **{"batch_size": 32, "learning_rate": 2e-3} | training)
    return model, Finishing(model, settings, x, y, 0)


@pytest.mark.parametrize("better", ["encoder", "averaged_encoder"])
def test_the_encoder_serves_that_knows_more_labels(better):
    model, finishing = build(better)
    expected = {name: t.clone() for name, t in getattr(model, better).state_dict().items()}
    assert finishing.differing(getattr(model, better)) == 0.0
    finishing.choose_encoder()
    for name, value in model.averaged_encoder.state_dict().items():
        assert torch.equal(value, expected[name]), name
    finishing.finish_encoder()
    # There is nothing left to learn.
    for name, value in model.averaged_encoder.state_dict().items():
        assert torch.equal(value, expected[name]), name


def test_share_of_differing_labels(monkeypatch):
    """Also of more samples than are looked at in all and at a time."""
    model, finishing = build("encoder")
    finishing._labels[:20] = 1 - finishing._labels[:20]
    monkeypatch.setattr(finishing_module, "CHUNK", 64)
    assert finishing.differing(model.encoder) == pytest.approx(0.1)
    monkeypatch.setattr(finishing_module, "MAX_LOOKED_AT", 70)
    some = Finishing(model, finishing.settings, finishing._data, finishing._labels, 0)
    assert len(some._data) == 67
    assert some.differing(model.encoder) == pytest.approx(7 / 67)


def test_an_encoder_is_finished_by_its_own_layers():
    model, finishing = build()
    before = {name: t.clone() for name, t in model.state_dict().items()}
    assert finishing.differing(model.averaged_encoder) > 0.2
    finishing.finish_encoder()
    assert finishing.differing(model.averaged_encoder) <= 0.02
    for name, value in model.state_dict().items():
        own = name.startswith("averaged_encoder") and "trunk" not in name and "log_var" not in name
        assert own or torch.equal(value, before[name]), name


def test_the_best_on_the_way_stays(monkeypatch):
    """Rates that are far too large leave the encoder as it was, or better, and codes in reach."""
    monkeypatch.setattr(finishing_module, "MAX_STEPS", 200)
    model, finishing = build("averaged_encoder", learning_rate=1e3)
    finishing._labels[:30] = 1 - finishing._labels[:30]
    finishing.finish_encoder()
    assert finishing.differing(model.averaged_encoder) <= 0.15
    assert model.is_usable(finishing._data)


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_fits_keep_labels_that_teach_to_the_end(share, monkeypatch):
    """After next to no training. Labels are the encoder's own, and the same again."""
    monkeypatch.setattr(finishing_module, "STEPS_PER_ITERATION", 500)
    X, _ = make_moons(200, noise=0.05, random_state=0)
    parameters = QUICK | {
        "pseudo_labels": "spectral",
        "max_iter": 4,
        "preset_params": {"pseudo_label_share": share},
    }
    fits = [MPCCClusterer(2, random_state=0, **parameters).fit(X) for _ in range(2)]
    differ = (fits[0].labels_ != fits[0].pseudo_labels_).mean()
    assert (differ <= 0.03) == (share == 1.0)
    assert (fits[0].labels_ == fits[0].predict(X)).all()
    assert (fits[0].labels_ == fits[1].labels_).all()


def test_few_iterations_are_followed_by_few_steps(monkeypatch):
    steps = []
    monkeypatch.setattr(Finishing, "_step", lambda self, *given: steps.append(1))
    finishing = build()[1]
    finishing.settings = resolved((6,), max_iter=3, batch_size=32)
    finishing.finish_encoder()
    assert len(steps) == 3 * finishing_module.STEPS_PER_ITERATION


@pytest.mark.parametrize("case", ["images", "classes"])
def test_images_and_known_classes_are_not_finished(case, monkeypatch):
    def finish(self):
        raise AssertionError

    monkeypatch.setattr(Finishing, "finish_encoder", finish)
    parameters = {"max_iter": 3, "width": 8, "tol": 0.0, "random_state": 0}
    if case == "images":
        X, _ = bars()
        MPCCClusterer(2, pseudo_labels="kmeans", **parameters).fit(X.squeeze(1).numpy())
    else:
        X, y = make_moons(60, random_state=0)
        MPCCClassifier(**parameters).fit(X, y)


def image_fit(**parameters):
    given = {"pseudo_labels": "kmeans", "width": 8, "tol": 0.0, "random_state": 0} | parameters
    return MPCCClusterer(2, **given).fit(bars()[0].squeeze(1).numpy())


def test_encoders_of_images_learn_views_where_labels_alone_are_wanted(monkeypatch):
    """Averages do, the same again; after so few iterations they know nothing else."""
    monkeypatch.setattr(finishing_module, "VIEW_STEPS_PER_ITERATION", 60)
    before, learn = [], Finishing.learn_views

    def watched(self):
        before.append({name: t.clone() for name, t in self.model.state_dict().items()})
        before.append(self.differing(self.model.serving_encoder))
        learn(self)
        before.append(self.differing(self.model.serving_encoder))

    monkeypatch.setattr(Finishing, "learn_views", watched)
    fits = [image_fit(max_iter=3, labels_only=True) for _ in range(2)]
    state, untaught, taught = before[:3]
    assert taught < untaught - 0.05
    for name, value in fits[0]._fitted.model.state_dict().items():
        taught = name.startswith("averaged_encoder") and "log_var" not in name
        statistics = "num_batches" in name or "running" in name
        assert taught or statistics or torch.equal(value, state[name]), name
    assert (fits[0].labels_ == fits[1].labels_).all()
    image_fit(max_iter=3)
    assert len(before) == 6


def test_an_encoder_that_serves_itself_learns_no_views():
    """Its trunk is the discriminator's."""
    model = MPCCModel(replace(SETTINGS, averaged_encoder=False), (1, 8, 8), 2, 0)
    model.update_averages(1.0)
    x, y = bars()
    settings = resolved((1, 8, 8), max_iter=10, batch_size=32)
    expected = {name: t.clone() for name, t in model.state_dict().items()}
    Finishing(model, settings, x, torch.as_tensor(y), 0).learn_views()
    for name, value in model.state_dict().items():
        assert torch.equal(value, expected[name]), name


def test_steps_on_views_that_go_astray_are_undone():
    model = MPCCModel(SETTINGS, (1, 8, 8), 2, 0)
    model.update_averages(1.0)
    x, y = bars()
    settings = resolved((1, 8, 8), max_iter=10, batch_size=32, learning_rate=1e30)
    expected = {name: t.clone() for name, t in model.averaged_encoder.state_dict().items()}
    Finishing(model, settings, x, torch.as_tensor(y), 0).learn_views()
    for name, value in model.averaged_encoder.state_dict().items():
        assert torch.equal(value, expected[name]), name
