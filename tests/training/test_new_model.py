"""A model and a trainer of one's own: a Gaussian autoencoder, by the protocols and no other change."""

import numpy as np
import torch
from sklearn.datasets import load_wine
from support import generator

from skmpcc.data.inputs import InputFormat, Layout
from skmpcc.fitted import saving
from skmpcc.fitted.model import FittedModel
from skmpcc.method import losses
from skmpcc.method.latent_model import LatentModel
from skmpcc.method.networks.vector import VectorEncoder, VectorGenerator, VectorTrunk
from skmpcc.method.trainer import Trainer, descend
from skmpcc.settings import LoopSettingsOnData, NetworkSettings
from skmpcc.training.loop import train

SETTINGS = NetworkSettings(latent_dim=4, conditioning="embedding", width=32, initial_log_variance=0.0)
X = load_wine().data
FORMAT = InputFormat.from_data(X, Layout(X.shape[1:]))
DATA = FORMAT.encode_all(X)
RATES = {"learning_rate": 2e-3, "ema_start": 0, "ema_decay": 0.9}
STOPPING = {"max_iter": 400, "tol": 0.01, "n_iter_no_change": 1, "total_variance": 64.0}
TRAINING = LoopSettingsOnData(**RATES, **STOPPING)


@saving.known_to_files
class Autoencoder(LatentModel):
    def _build_networks(self):
        shape = {"width": self.settings.width, "n_layers": 2}
        (n,), n_codes = self.sample_shape, self.settings.latent_dim
        self.generator = VectorGenerator(
            n, self.n_clusters, n_codes, conditioning="embedding", spectral=False, **shape
        )
        trunk = VectorTrunk(n, **shape)
        self.encoder = VectorEncoder(trunk, n_codes, width=self.settings.width, spectral=False)


class Autoencoding(Trainer):
    broken_at = None

    def _parameters(self):
        return {name: list(getattr(self.model, name).parameters()) for name in ("encoder", "generator")}

    def _updates(self, draw_real, draw_pairs):
        x, prior = draw_real()[0], self.model.prior
        mean, log_variance = self.model.encoder(x)
        y = torch.zeros(len(x), dtype=torch.int64)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn(mean.shape, generator=self.rng)
        error = losses.reconstruction_loss(self.model.generator(z, y), x, 64.0)
        variance = log_variance.exp() + (mean - prior.means[0]) ** 2
        divergence = 0.5 * (variance / prior.stds[0] ** 2 - log_variance).sum(1).mean()
        descend(error + 1e-3 * divergence, self.optimizers["encoder"], self.optimizers["generator"])
        self._update_averages()
        if self.n_iter == self.broken_at:
            self.broken_at = None
            next(self.model.encoder.parameters()).data.fill_(torch.nan)
        return {"error": error.detach(), "divergence": divergence.detach()}


def test_it_trains_and_is_kept_in_a_file(tmp_path):
    model = Autoencoder(SETTINGS, FORMAT.tensor_shape, 1, 0)
    outcome = train(model, TRAINING, DATA, generator(), engine=Autoencoding)
    assert outcome.converged
    model.prepare_for_inference(4, 64, generator())
    fitted = FittedModel(model, FORMAT, 5).with_residuals(DATA)
    assert np.mean((fitted.reconstruct(X) - X) ** 2 / X.var(0)) < 0.7
    writer = saving.Writer()
    kept = saving.to_bytes({"fitted": writer.value(fitted, "fitted")}, writer.tensors)
    (tmp_path / "kept").write_bytes(kept)
    header, tensors = saving.read(str(tmp_path / "kept"))
    again = saving.Reader(tensors).value(header["fitted"])
    np.testing.assert_array_equal(again.scores(X, "both"), fitted.scores(X, "both"))


def test_it_rolls_back(monkeypatch):
    monkeypatch.setattr(Autoencoding, "broken_at", 150)
    outcome = train(Autoencoder(SETTINGS, (13,), 1), TRAINING, DATA, generator(), engine=Autoencoding)
    assert outcome.failure is None
    assert outcome.history["error"][-1] < outcome.history["error"][0]
