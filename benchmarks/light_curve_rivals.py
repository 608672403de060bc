"""What the benchmark of light curves compares with: scores by name, low for outliers; classifiers."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from light_curve_sets import Case
from numpy.typing import NDArray
from scipy.stats import multivariate_normal
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.neighbors import LocalOutlierFactor
from torch import Tensor, nn

from skmpcc.light_curves import LightCurveGrid
from skmpcc.light_curves.grid import FEATURES
from skmpcc.method.light_curves import LightCurveModel
from skmpcc.method.networks.series import ERROR, packed
from skmpcc.variational_presets import LIGHT_CURVES


def gaussians(case: Case, table: str, *, n_columns: int | None = None) -> dict[str, NDArray]:
    """Log-density under the likeliest class's Gaussian of full covariance."""
    train, test = (rows[:, :n_columns] for rows in case.scaled(table))
    densities = []
    for k in np.unique(case.told):
        rows = train[case.told == k]
        covariance = np.atleast_2d(np.cov(rows.T)) + 1e-3 * np.eye(rows.shape[1])
        densities.append(multivariate_normal(rows.mean(0), covariance).logpdf(test))
    return {"": np.max(densities, axis=0)}


def forest(seed: int) -> RandomForestClassifier:
    """Random forest."""
    return RandomForestClassifier(500, random_state=seed)


def qda(seed: int) -> QuadraticDiscriminantAnalysis:
    """Gaussians of full covariance."""
    return QuadraticDiscriminantAnalysis(reg_param=0.01)


def of_known(case: Case, table: str, model: Callable[[int], Any]) -> NDArray:
    """Predict by a classifier of a table, which learns from the known stars alone."""
    train, test = case.scaled(table)
    known = case.told >= 0
    return model(case.seed).fit(train[known], case.told[known]).predict(test)


def isolation(case: Case) -> dict[str, NDArray]:
    """IsolationForest on the extracted features."""
    train, test = case.scaled("extracted")
    return {"": IsolationForest(n_estimators=500, random_state=case.seed).fit(train).score_samples(test)}


def lof(case: Case) -> dict[str, NDArray]:
    """Local outlier factor on the extracted features."""
    train, test = case.scaled("extracted")
    return {"": LocalOutlierFactor(novelty=True).fit(train).score_samples(test)}


# Raw ones, of the first band, as the thesis has them.
RAW = {
    "period": lambda folded: folded.periods[:, None],
    "amplitude": lambda folded: folded.amplitudes[:, :1],
    "mean": lambda folded: folded.levels[:, :1],
}


def _thesis_likelihood(self: LightCurveModel, x: Tensor, rebuilt: Tensor) -> Tensor:
    """Mean over points of E log N(v'; m, s^2) for v' around v with the variance of its error."""
    squares, both, there = self.deviations(x, rebuilt)
    error = self.unpacked(x)[1][:, :, ERROR].square()
    variance = (both - error).clamp_min(1e-4)
    terms = torch.log(2 * torch.pi * variance) + (squares + error) / variance
    return -0.5 * (terms * there).flatten(1).sum(1) / there.flatten(1).sum(1).clamp_min(1.0)


def thesis_scores(case: Case) -> dict[str, NDArray]:
    """Near the thesis: raw features, no alignment, its likelihood and score; networks are ours."""
    train, test = case.curves
    with (
        patch.dict(FEATURES, RAW),
        patch.object(LightCurveModel, "likelihood_of_points", _thesis_likelihood),
    ):
        model = case.vade(features=tuple(RAW), align=None, preset_params={"left_out": 0.0})
        fitted = model.fit(train, case.told)
        mean, log_variance = fitted._fitted_model().distributions(fitted._check_X(test))
        memberships = fitted.predict_proba(test)
    # Of codes of shapes alone: features count in the memberships.
    mean, log_variance = (each[:, None, : -len(RAW)] for each in (mean, log_variance))
    m, v = (each[:, : -len(RAW)] for each in (fitted.means_, fitted.covariances_))
    terms = np.log(v) - log_variance + (np.exp(log_variance) + (mean - m) ** 2) / v - 1
    return {"": -0.5 * (memberships * terms.sum(2)).sum(1)}


def some_points(model: LightCurveModel, x: Tensor) -> Tensor:
    """Draw as many points of each series as an iteration of LightCurveVaDE looks at."""
    features, series = model.unpacked(x)
    error = series[:, :, ERROR]
    order = torch.rand(error.shape) + (error <= 0)
    index = order.topk(min(LIGHT_CURVES.points_at_once, error.shape[2]), largest=False).indices
    return packed(features, series.gather(3, index[:, :, None].expand(-1, -1, 3, -1)))


def dagmm_scores(case: Case, n_iter: int = 1000, batch: int = 128) -> dict[str, NDArray]:
    """DAGMM (Zong et al., 2018) on our encoder and decoder: the energy of codes and of the error."""
    torch.manual_seed(case.seed)
    k, grid = len(np.unique(case.told)), LightCurveGrid(features=case.stars.features)
    folded = [grid.fit_curves(each) for each in case.curves]
    features = [grid.features_of(each) for each in folded]
    low, middle, high = np.percentile(features[0], [16, 50, 84], axis=0)
    X = []
    for each, f in zip(folded, features, strict=True):
        f = (2 * (f - middle) / (high - low)).clip(-10, 10)
        X.append(torch.as_tensor(np.hstack([f, each.packed().reshape(len(f), -1)])).float())
    n = features[0].shape[1]
    sizes = {"n_bands": folded[0].n_bands, "n_features": n, "latent_dim": LIGHT_CURVES.latent_dim + n}
    settings = replace(LIGHT_CURVES, **sizes).network_settings()
    model = LightCurveModel(settings, X[0].shape[1:], k, case.seed)
    head = nn.Sequential(
        nn.Linear(settings.latent_dim + 1, 10), nn.Tanh(), nn.Dropout(), nn.Linear(10, k), nn.Softmax(1)
    )

    def coded(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        z = model.encoder(x)[0]
        rebuilt = model.generator(z, torch.zeros(len(x), dtype=torch.int64))
        code = torch.cat([z, model.error(x, rebuilt).log()], dim=1)
        return code, head(code), -model.likelihood_of_points(x, rebuilt)

    def moments(code: Tensor, gamma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        total = gamma.sum(0)
        mean = gamma.T @ code / total[:, None]
        away = code[:, None] - mean
        covariance = torch.einsum("nk,nki,nkj->kij", gamma, away, away) / total[:, None, None]
        return total / len(code), mean, covariance + 1e-4 * torch.eye(code.shape[1])

    def energy(code: Tensor, weights: Tensor, mean: Tensor, covariance: Tensor) -> Tensor:
        of = torch.distributions.MultivariateNormal(mean, covariance)
        return -torch.logsumexp(weights.log() + of.log_prob(code[:, None]), dim=1)

    networks = [*model.encoder.parameters(), *model.generator.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(networks, 1e-3)
    for _ in range(n_iter):
        code, gamma, cost = coded(some_points(model, X[0][torch.randint(len(X[0]), (batch,))]))
        of_batch = moments(code, gamma)
        penalty = (1 / torch.diagonal(of_batch[2], dim1=1, dim2=2)).sum()
        loss = cost.mean() + 0.1 * energy(code, *of_batch).mean() + 0.005 * penalty
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(networks, 5.0)
        optimizer.step()
    head.eval()
    model.eval()
    with torch.no_grad():
        code, gamma, _ = coded(X[0])
        found = energy(coded(X[1])[0], *moments(code, gamma))
    return {"": -found.double().numpy()}
