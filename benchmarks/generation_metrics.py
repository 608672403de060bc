"""Figures of samples, reconstructions, codes and outlier scores, and the network that judges images."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.utils import gen_batches
from torch import Tensor, nn
from torch.nn import functional

N_NEIGHBORS = 5
CHUNK = 1000


def fidelity(real: NDArray, new: NDArray) -> dict[str, float]:
    """Density, coverage, precision and recall of new samples, by balls of the nearest neighbours.

    Each sample has a ball that reaches to its fifth neighbour of its own kind. Density counts the real
    balls that a new sample lies in, over 5; precision asks for one. Coverage is the share of real balls
    that hold a new sample, recall that of real samples in a new sample's ball (Naeem et al., 2020;
    Kynkäänniemi et al., 2019).
    """
    radius, new_radius = _radii(real), _radii(new)
    hits = np.zeros(len(new), np.int64)
    covered, recalled = np.zeros(len(real), bool), np.zeros(len(real), bool)
    for rows in gen_batches(len(real), CHUNK):
        distances = cdist(real[rows], new)
        inside = distances < radius[rows, None]
        hits += inside.sum(0)
        covered[rows] = inside.any(1)
        recalled[rows] = (distances < new_radius).any(1)
    return {
        "density": float(hits.mean() / N_NEIGHBORS),
        "coverage": float(covered.mean()),
        "precision": float((hits > 0).mean()),
        "recall": float(recalled.mean()),
    }


def _radii(X: NDArray) -> NDArray:
    return NearestNeighbors(n_neighbors=N_NEIGHBORS).fit(X).kneighbors()[0][:, -1]


def two_sample_auc(real: NDArray, new: NDArray) -> float:
    """AUC of a forest that tells new samples from real ones it has not seen; 0.5 is none at all."""
    X = np.concatenate([real, new])
    y = np.repeat([0, 1], [len(real), len(new)])
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    forest = RandomForestClassifier(random_state=0)
    return float(cross_val_score(forest, X, y, scoring="roc_auc", cv=folds).mean())


def relative_error(X: NDArray, rebuilt: NDArray) -> float:
    """Mean square error over the variance: 0 is perfect, 1 is what the mean alone reaches."""
    X, rebuilt = X.reshape(len(X), -1).astype(float), rebuilt.reshape(len(X), -1)
    return float(np.square(rebuilt - X).sum() / np.square(X - X.mean(0)).sum())


def neighbor_accuracy(codes: NDArray, y: NDArray, held_codes: NDArray, y_held: NDArray) -> float:
    """Accuracy of the five nearest neighbours' vote."""
    return float(KNeighborsClassifier(N_NEIGHBORS).fit(codes, y).score(held_codes, y_held))


def outlier_auc(inliers: NDArray, outliers: NDArray) -> float:
    """AUC with which scores, higher for inliers, tell inliers from outliers."""
    y = np.repeat([1, 0], [len(inliers), len(outliers)])
    return float(roc_auc_score(y, np.concatenate([inliers, outliers])))


def frechet_distance(a: NDArray, b: NDArray) -> float:
    """Frechet distance between the normal distributions with the means and covariances of a and b."""
    a, b = a.astype(float), b.astype(float)
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    values, vectors = np.linalg.eigh(cov_a)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    # The root of cov_a @ cov_b has the trace of that of this symmetric matrix.
    cross = np.sqrt(np.linalg.eigvalsh(root @ cov_b @ root).clip(0)).sum()
    distance = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * cross
    return float(distance)


# ---- The network in whose features Frechet distances are taken


class JudgeNet(nn.Module):
    """A small convolutional classifier of grey images, whose last hidden layer judges samples."""

    N_IMAGES = 20_000
    N_EPOCHS = 5

    def __init__(self, side: int, n_classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for n_in, n_out in ((1, 16), (16, 32), (32, 64)):
            layers += [nn.Conv2d(n_in, n_out, 3, stride=2, padding=1), nn.ReLU()]
            side = (side + 1) // 2
        self.hidden = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * side**2, 64), nn.ReLU())
        self.classes = nn.Linear(64, n_classes)

    @torch.no_grad()
    def features(self, X: NDArray) -> NDArray:
        """Activations of the last hidden layer, shape (n, 64)."""
        x = _as_input(X)
        return torch.cat([self.hidden(batch) for batch in x.split(CHUNK)]).numpy()

    @torch.no_grad()
    def accuracy(self, X: NDArray, y: NDArray) -> float:
        """Share of images whose class is found."""
        found = self.classes(torch.from_numpy(self.features(X))).argmax(1).numpy()
        return float(np.mean(found == y))

    @classmethod
    def trained(cls, X: NDArray, y: NDArray, path: Path) -> "JudgeNet":
        """Train on images 0 to 255 and their labels with a fixed seed, or read what `path` keeps."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            net = cls(X.shape[1], int(y.max()) + 1)
            if path.exists():
                net.load_state_dict(torch.load(path, weights_only=True))
                return net
            x, labels = _as_input(X[: cls.N_IMAGES]), torch.from_numpy(y[: cls.N_IMAGES]).long()
            optimizer = torch.optim.Adam(net.parameters(), 1e-3)
            for _ in range(cls.N_EPOCHS):
                for rows in torch.randperm(len(x)).split(64):
                    loss = functional.cross_entropy(net.classes(net.hidden(x[rows])), labels[rows])
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
        torch.save(net.state_dict(), path)
        return net


def _as_input(X: NDArray) -> Tensor:
    return torch.from_numpy(X.astype(np.float32) / 255)[:, None]
