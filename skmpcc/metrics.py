"""Measures of a clustering against known classes, beside `sklearn.metrics`, and of codes without any.

The paper's equation 11 reads as the best one-to-one map, which is `clustering_accuracy`; the authors'
code takes each cluster's most frequent class, which is `majority_accuracy` and never lower.
"""

from numbers import Integral
from typing import Any

from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix
from sklearn.utils import check_consistent_length, check_scalar, column_or_1d

from skmpcc.fitted.diagnostics import diagnostics
from skmpcc.pseudo_labels.agreement import matching_share
from skmpcc.system.random import random_state_of


def clustering_accuracy(labels_true: ArrayLike, labels_pred: ArrayLike) -> float:
    """Share of samples whose cluster maps to their class, under the best one-to-one map.

    Parameters
    ----------
    labels_true, labels_pred : array-like of shape (n_samples,)
        Of any discrete kind; only equality counts. With more clusters than classes, or fewer, the
        surplus maps to nothing.

    Returns
    -------
    accuracy : float
        Between 0 and 1.

    Examples
    --------
    >>> from skmpcc.metrics import clustering_accuracy
    >>> clustering_accuracy([0, 0, 1, 1], [1, 1, 0, 2])
    0.75
    """
    return matching_share(*_checked(labels_true, labels_pred))


def majority_accuracy(labels_true: ArrayLike, labels_pred: ArrayLike) -> float:
    """Share of samples in their cluster's most frequent class, also called purity.

    Several clusters may stand for one class, so more clusters give a higher figure.

    Parameters
    ----------
    labels_true, labels_pred : array-like of shape (n_samples,)

    Returns
    -------
    accuracy : float
        Between 0 and 1, never below `clustering_accuracy`.

    Examples
    --------
    >>> from skmpcc.metrics import majority_accuracy
    >>> majority_accuracy([0, 0, 1, 1], [1, 1, 0, 2])
    1.0
    """
    counts = contingency_matrix(*_checked(labels_true, labels_pred))
    return float(counts.max(axis=0).sum() / counts.sum())


def _checked(labels_true: Any, labels_pred: Any) -> tuple[NDArray, NDArray]:
    labels_true, labels_pred = column_or_1d(labels_true), column_or_1d(labels_pred)
    check_consistent_length(labels_true, labels_pred)
    if len(labels_true) == 0:
        raise ValueError("labels_true and labels_pred are empty; at least one sample is needed.")
    return labels_true, labels_pred


def clustering_scores(labels_true: ArrayLike, labels_pred: ArrayLike) -> dict[str, float]:
    """The measures that this project reports, by name.

    Parameters
    ----------
    labels_true, labels_pred : array-like of shape (n_samples,)

    Returns
    -------
    scores : dict
        "accuracy" (one-to-one), "majority", "nmi" and "ari".

    Examples
    --------
    >>> from skmpcc.metrics import clustering_scores
    >>> clustering_scores([0, 0, 1, 1], [1, 1, 0, 0])["ari"]
    1.0
    """
    return {
        "accuracy": clustering_accuracy(labels_true, labels_pred),
        "majority": majority_accuracy(labels_true, labels_pred),
        "nmi": float(normalized_mutual_info_score(labels_true, labels_pred)),
        "ari": float(adjusted_rand_score(labels_true, labels_pred)),
    }


def latent_diagnostics(
    estimator: Any, X: ArrayLike, *, n_draws: int = 1, random_state: Any = None
) -> dict[str, float]:
    """Compare fits without labels: what their codes tell of X, and how near they are to the prior.

    Parameters
    ----------
    estimator : MPCCClusterer, MPCCClassifier, VaDEClusterer, VAE or AIM
        A fitted one.
    X : array-like of shape (n_samples, ...)
        At least two samples of the shape that `fit` saw, better ones that it did not see.
    n_draws : int, default=1
        Codes that are drawn from q(z | x) for each sample.
    random_state : int, RandomState instance or None, default=None
        Draws the codes. None is a new seed each time.

    Returns
    -------
    diagnostics : dict of float
        In nats, with J the number of latent dimensions:

        - "information", an upper bound of the mutual information I(x, z) of samples and codes:
          1/2 log det S - 1/2 E sum_j log s_j(x)^2, where the encoder's variances are s(x)^2 and
          S = Cov(m(x)) + diag E s(x)^2, with its means m(x), is the covariance of all codes. It is 0 or
          more, and exact where codes are normal;
        - "information_low", a lower bound of it by at most 2048 rows, never above the logarithm of
          their number [1]_;
        - "posterior_divergence", E[log q(z | x) - log p(z)], in closed form of AIM and VAE;
        - "marginal_divergence", that less "information": a lower bound of KL(q(z) || p(z)), how far the
          codes as a whole are from the prior, which may fall below 0 where that is a mixture;
        - "encoder_entropy", the mean entropy of q(z | x).

        And without a unit:

        - "active_dims", the number of dimensions in which the variance of m(x) is above 0.01;
        - "reconstruction", the mean square error of reconstructions over the variance of X, as the
          networks see it: 1 is no better than the mean;
        - "code_error", the mean square of E(G(z)) - z for 2048 codes z that are drawn from the prior.

    Raises
    ------
    TypeError, ValueError
        `estimator` is none of these, X does not fit it or has less than two samples, or `n_draws` is not
        an integer of at least 1.
    NotFittedError
        `estimator` is not fitted.

    References
    ----------
    .. [1] B. Poole, S. Ozair, A. van den Oord, A. Alemi, G. Tucker, "On Variational Bounds of Mutual
       Information", International Conference on Machine Learning, 2019.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skmpcc import AIM
    >>> from skmpcc.metrics import latent_diagnostics
    >>> X = load_iris().data
    >>> aim = AIM(latent_dim=2, max_iter=50, width=16, random_state=0).fit(X)
    >>> found = latent_diagnostics(aim, X, random_state=0)
    >>> found["information_low"] <= found["information"]
    True
    """
    if not hasattr(estimator, "_fitted_model"):
        raise TypeError(f"estimator should be one of skmpcc with codes, got {estimator!r}.")
    fitted = estimator._fitted_model()
    check_scalar(n_draws, "n_draws", Integral, min_val=1)
    rows = estimator._check_X(X)
    if len(rows) < 2:
        raise ValueError(f"X should have at least 2 samples, got {len(rows)}.")
    return diagnostics(fitted, rows, n_draws, random_state_of(random_state))
