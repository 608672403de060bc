"""A variational autoencoder with a Gaussian mixture on its codes, which MPCC is compared with."""

import time
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.mixture import GaussianMixture
from torch import Tensor, nn

N_HIDDEN = 256
BATCH_SIZE = 128
CHUNK = 1000


def mixture(X: NDArray, n_clusters: int, seed: int) -> GaussianMixture:
    """Fit a GaussianMixture that does not collapse where columns are constant or rows few.

    A thousandth of the columns' mean variance is added to it. Shares that held-back likelihood chose
    were larger, and samples worse.
    """
    reg_covar = 1e-3 * float(X.var(axis=0).mean())
    return GaussianMixture(n_clusters, reg_covar=reg_covar, random_state=seed).fit(X)


def _networks(shape: tuple[int, ...], latent_dim: int) -> tuple[nn.Module, nn.Module]:
    """Encoder to mean and log-variance, and decoder: for rows, or for images whose sides 4 divides."""
    if len(shape) == 1:
        encoder = nn.Sequential(
            nn.Linear(shape[0], N_HIDDEN), nn.ReLU(),
            nn.Linear(N_HIDDEN, N_HIDDEN), nn.ReLU(),
            nn.Linear(N_HIDDEN, 2 * latent_dim),
        )  # fmt: skip
        decoder = nn.Sequential(
            nn.Linear(latent_dim, N_HIDDEN), nn.ReLU(),
            nn.Linear(N_HIDDEN, N_HIDDEN), nn.ReLU(),
            nn.Linear(N_HIDDEN, shape[0]),
        )  # fmt: skip
        return encoder, decoder
    grid = (64, shape[0] // 4, shape[1] // 4)
    encoder = nn.Sequential(
        nn.Unflatten(1, (1, shape[0])),
        nn.Conv2d(1, 32, 4, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(32, 64, 4, stride=2, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(int(np.prod(grid)), 2 * latent_dim),
    )  # fmt: skip
    decoder = nn.Sequential(
        nn.Linear(latent_dim, int(np.prod(grid))), nn.ReLU(), nn.Unflatten(1, grid),
        nn.ConvTranspose2d(64, 32, 4, stride=2, padding=1), nn.ReLU(),
        nn.ConvTranspose2d(32, 1, 4, stride=2, padding=1), nn.Flatten(1, 2),
    )  # fmt: skip
    return encoder, decoder


class VAEMixture:
    """A VAE that is trained for given seconds, and a GaussianMixture on its codes.

    The likelihood is Gaussian with one variance for all values, which is the mean square error of the
    batch, its maximum likelihood estimate (Rybkin et al., 2021), so that nothing weighs reconstruction
    against the prior by hand. Samples are the decoder's means: with the likelihood's noise they were
    worse by most figures on wine, breast cancer, digits and MNIST. Stopping by rows that are held back,
    and decay of the weights, made it worse on the small tables, too.

    Parameters
    ----------
    latent_dim, n_clusters, seed : int
    seconds : float
        Of training.
    """

    def __init__(self, latent_dim: int, n_clusters: int, seconds: float, seed: int) -> None:
        self.latent_dim, self.n_clusters = latent_dim, n_clusters
        self.seconds, self.seed = seconds, seed

    def fit(self, X: NDArray) -> Self:
        """Train on rows, or on grey images of shape (n, height, width)."""
        self.centre = X.mean(axis=0, dtype=float)
        self.scale = float(np.sqrt(np.square(X - self.centre).mean()))
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            self.encoder, self.decoder = _networks(X.shape[1:], self.latent_dim)
            self.networks = nn.ModuleList([self.encoder, self.decoder]).to(self.device)
            self._train(self._scaled(X))
        codes = self.transform(X)
        self.variance_ = float(np.square((self.inverse_transform(codes) - X) / self.scale).mean())
        self.mixture_ = mixture(codes, self.n_clusters, self.seed)
        return self

    def _train(self, x: Tensor) -> None:
        optimizer = torch.optim.Adam(self.networks.parameters(), 1e-3, fused=True)
        end, self.n_iter_ = time.perf_counter() + self.seconds, 0
        while time.perf_counter() < end:
            for rows in torch.randperm(len(x)).to(x.device).split(BATCH_SIZE):
                optimizer.zero_grad()
                loss = self._loss(x[rows])
                loss.backward()
                optimizer.step()
                self.n_iter_ += 1
                if time.perf_counter() >= end:
                    break

    def _loss(self, x: Tensor) -> Tensor:
        """Mean of the negative evidence lower bound, up to a constant."""
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        variance = (self.decoder(z) - x).square().mean()
        divergence = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(1).mean()
        return 0.5 * x[0].numel() * variance.log() + divergence

    def _scaled(self, X: NDArray) -> Tensor:
        return torch.from_numpy((X - self.centre) / self.scale).float().to(self.device)

    @torch.no_grad()
    def _moments(self, X: NDArray) -> tuple[NDArray, NDArray]:
        """Mean and log-variance of q(z | x)."""
        batches = [self.encoder(x) for x in self._scaled(X).split(CHUNK)]
        mean, log_variance = torch.cat(batches).double().cpu().chunk(2, dim=1)
        return mean.numpy(), log_variance.numpy()

    def transform(self, X: NDArray) -> NDArray:
        """Codes: the means of q(z | x)."""
        return self._moments(X)[0]

    @torch.no_grad()
    def inverse_transform(self, Z: NDArray) -> NDArray:
        """Decoder's means at codes."""
        z = torch.from_numpy(Z).float().to(self.device)
        decoded = torch.cat([self.decoder(batch) for batch in z.split(CHUNK)]).double().cpu().numpy()
        return decoded * self.scale + self.centre

    def reconstruct(self, X: NDArray) -> NDArray:
        """Decoder's means at the codes of X."""
        return self.inverse_transform(self.transform(X))

    def predict(self, X: NDArray) -> NDArray:
        """Most probable component of the mixture at each code."""
        return self.mixture_.predict(self.transform(X))

    def sample(self, n_samples: int) -> tuple[NDArray, NDArray]:
        """Decoder's means at codes that the mixture draws, and their components."""
        Z, y = self.mixture_.sample(n_samples)
        return self.inverse_transform(Z), y

    def score_samples(self, X: NDArray) -> NDArray:
        """Evidence lower bound of each sample at its code, with the mixture as the prior."""
        mean, log_variance = self._moments(X)
        errors = (self.inverse_transform(mean) - X).reshape(len(X), -1) / self.scale
        likelihood = norm.logpdf(errors, scale=np.sqrt(self.variance_)).sum(1)
        return likelihood + self.mixture_.score_samples(mean) + 0.5 * log_variance.sum(1)
