"""Tensors come back where tensors went in."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from support import BRIEF, images

from skmpcc import AIM, VAE, MPCCClassifier, MPCCClusterer, VaDEClusterer
from skmpcc.data.inputs import as_given
from skmpcc.plotting import (
    ClustersDisplay,
    LatentMapDisplay,
    MembershipsDisplay,
    ReconstructionsDisplay,
)
from skmpcc.report import html_report

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X = {shape: images(shape) for shape in [(30, 4), (24, 8, 8)]}
Y = np.arange(30) % 2
OF_ALL = ["transform", "reconstruct", "sample_posterior", "score_samples"]
OF_CLUSTERER = [*OF_ALL, "predict", "predict_proba"]
METHODS = {
    MPCCClusterer: OF_CLUSTERER,
    MPCCClassifier: [*OF_CLUSTERER, "predict_log_proba", "decision_function"],
    AIM: OF_ALL,
    VAE: OF_ALL,
    VaDEClusterer: OF_CLUSTERER,
}


def made(kind):
    if kind in (AIM, VAE):
        return kind(latent_dim=4, max_iter=3, width=8, random_state=0)
    parameters = {name: BRIEF[name] for name in BRIEF if name != "pseudo_labels"} | {"random_state": 0}
    return kind(**parameters | ({"n_clusters": 2} if issubclass(kind, MPCCClusterer) else {}))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", list(X))
@pytest.mark.parametrize("kind", list(METHODS))
def test_tensors_for_tensors(kind, shape, dtype):
    x = torch.as_tensor(X[shape], dtype=dtype).requires_grad_()
    array, y = x.detach().numpy(), Y[: len(x)]
    estimator = made(kind).fit(x, torch.as_tensor(y))
    for name in METHODS[kind]:
        found, expected = getattr(estimator, name)(x), getattr(estimator, name)(X=array)
        assert isinstance(expected, np.ndarray)
        assert isinstance(found, torch.Tensor)
        assert found.device == x.device
        assert torch.equal(found, torch.as_tensor(expected))  # dtypes, too
        assert found.dtype == torch.as_tensor(expected).dtype
    Z = estimator.transform(x)
    assert Z.dtype == dtype
    assert torch.equal(estimator.inverse_transform(Z=Z), estimator.inverse_transform(Z))
    np.testing.assert_array_equal(estimator.inverse_transform(Z), estimator.inverse_transform(Z.numpy()))
    if kind not in (AIM, VAE):
        labels = estimator.predict(x)
        by_labels = estimator.inverse_transform(Z, labels=labels)
        assert torch.equal(by_labels, estimator.inverse_transform(Z, labels.numpy()))
    new = estimator.sample(3)
    assert isinstance(new if kind in (AIM, VAE) else new[0], np.ndarray)
    assert all(not isinstance(value, torch.Tensor) for value in vars(estimator).values())


def test_tensors_go_to_the_device_of_the_input():
    elsewhere = torch.empty(1, device="meta")
    assert as_given(np.ones(3), elsewhere).device == elsewhere.device


def test_labels_of_fits():
    x = torch.as_tensor(X[30, 4])
    clusterer = made(MPCCClusterer)
    labels = clusterer.fit_predict(x)
    assert torch.equal(labels, torch.as_tensor(clusterer.labels_))
    assert isinstance(clusterer.fit_predict(X[30, 4]), np.ndarray)
    assert isinstance(clusterer.fit_transform(x), torch.Tensor)
    assert isinstance(clusterer.score(x), float)


def test_half_precision():
    x = torch.as_tensor(X[30, 4]).bfloat16()
    codes = made(MPCCClusterer).fit(x).transform(x)
    assert codes.dtype == torch.float32


def test_classes():
    x, y = torch.as_tensor(X[30, 4]), torch.as_tensor(Y)
    classifier = made(MPCCClassifier).fit(x, y)
    assert isinstance(classifier.sample_like(y[:3]), torch.Tensor)
    assert isinstance(classifier.sample_like([0, 1]), np.ndarray)
    assert classifier.score(x, y) == classifier.score(X[30, 4], Y)
    assert np.isfinite(cross_val_score(clone(classifier), x, Y, cv=2)).all()
    text = classifier.fit(x, np.array(["a", "b"])[Y]).predict(x)
    assert isinstance(text, np.ndarray)
    assert set(text) <= {"a", "b"}


def test_containers_that_were_asked_for():
    x = torch.as_tensor(X[30, 4])
    clusterer = made(MPCCClusterer).set_output(transform="pandas").fit(x)
    codes = clusterer.transform(x)
    assert isinstance(codes, pd.DataFrame)
    assert list(codes.columns) == list(clusterer.get_feature_names_out())
    assert isinstance(clusterer.predict(x), torch.Tensor)


def test_pictures_and_report():
    x = torch.as_tensor(X[30, 4])
    clusterer = made(MPCCClusterer).fit(x)
    for display in (ClustersDisplay, LatentMapDisplay, MembershipsDisplay, ReconstructionsDisplay):
        of_tensor, of_array = (display.from_estimator(clusterer, data) for data in (x, X[30, 4]))
        for name, value in vars(of_array).items():
            if isinstance(value, np.ndarray) and value.dtype.kind == "f":
                np.testing.assert_array_equal(vars(of_tensor)[name], value)
    assert "<html" in html_report(clusterer, x, title="Tensors")
