"""Detection of outliers and of novel samples by the scores of a fitted model."""

import inspect
from collections.abc import Iterator
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MetaEstimatorMixin, OutlierMixin, clone, is_classifier
from sklearn.model_selection import check_cv
from sklearn.utils import Tags, get_tags, indexable
from sklearn.utils.validation import check_is_fitted

from skmpcc._sklearn import (
    HasMethods,
    Interval,
    StrOptions,
    fit_context,
    fold_of,
    parameters_of_fold,
)
from skmpcc.data.inputs import as_array
from skmpcc.fitted.light_curves import CURVE_SCORES


def _takes_by(estimator: Any) -> bool:
    return "by" in inspect.signature(estimator.score_samples).parameters


class NoveltyDetector(MetaEstimatorMixin, OutlierMixin, BaseEstimator):
    """Outlier detector by the scores of an estimator, whose `predict` says something else.

    `predict` of a clusterer gives clusters. This fits a copy of the estimator, and calls those samples
    outliers whose score is below that of most training samples.

    Parameters
    ----------
    estimator : estimator
        One with `score_samples`, such as `MPCCClusterer`, `VaDEClusterer` or `VAE`, or for
        `by="density"` any of scikit-learn's, such as `GaussianMixture`. `fit` fits a clone; a fitted one
        in a `sklearn.frozen.FrozenEstimator` stays as it is.
    by : {"density", "information", "reconstruction", "both", "class"}, default="density"
        The score, see `AIM.score_samples`; "class" of `LightCurveVaDE` alone.
    contamination : float, default=0.05
        Share of the training samples that `predict` calls outliers, above 0 and at most 0.5.
    cv : int, cross-validation generator, iterable or None, default=None
        None takes the scores of the training samples from the model that has seen them, which are too
        high where it is flexible. Otherwise a clone is fitted for each split, as
        `sklearn.model_selection.check_cv` reads it, and scores are of held-out samples.

    Attributes
    ----------
    estimator_ : estimator
        The fitted one, of all samples.
    offset_ : float
        The `contamination` quantile of the training samples' scores. Lower ones are outliers.
    n_features_in_ : int
        Number of values in each sample, where `estimator_` has it.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, where `estimator_` has them.

    See Also
    --------
    AIM.score_samples : What the scores are.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_blobs
    >>> from skmpcc import MPCCClusterer, NoveltyDetector
    >>> X, _ = make_blobs(200, centers=[[-5, 0], [5, 0]], random_state=0)
    >>> clusterer = MPCCClusterer(2, max_iter=50, width=16, random_state=0)
    >>> detector = NoveltyDetector(clusterer, by="reconstruction", contamination=0.01).fit(X)
    >>> detector.predict([[-5.0, 0.0], [0.0, 90.0]])
    array([ 1, -1])
    """

    _parameter_constraints: ClassVar[dict] = {
        "estimator": [HasMethods(["fit", "score_samples"])],
        "by": [StrOptions(set(CURVE_SCORES))],
        "contamination": [Interval(Real, 0, 0.5, closed="right")],
        "cv": ["cv_object"],
    }

    def __init__(
        self, estimator: Any, *, by: str = "density", contamination: float = 0.05, cv: Any = None
    ) -> None:
        self.estimator = estimator
        self.by = by
        self.contamination = contamination
        self.cv = cv

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: ArrayLike, y: Any = None, **fit_params: Any) -> Self:
        """Fit a clone of the estimator, and find the score that separates outliers.

        Parameters
        ----------
        X : array-like
            Training samples, of a shape that the estimator takes.
        y : array-like of shape (n_samples,), default=None
            Passed on to `fit` of the estimator.
        **fit_params : dict
            Passed on likewise, such as `sample_weight`; what has a value for each sample is split by
            `cv`.

        Returns
        -------
        self : NoveltyDetector

        Raises
        ------
        ValueError, TypeError
            A parameter is out of its range, or the estimator has no `score_samples`, or none by `by`;
            before any training.
        """
        if self.by != "density" and not _takes_by(self.estimator):
            raise ValueError(
                f"by={self.by!r} needs an estimator whose score_samples takes it. That of "
                f"{type(self.estimator).__name__} does not: only by='density' is possible."
            )
        X, y = as_array(X), as_array(y)
        held_out = [] if self.cv is None else list(self._scores_of_folds(X, y, fit_params))
        estimator = clone(self.estimator).fit(X, y, **fit_params)
        scores = np.concatenate(held_out or [self._score(estimator, X)])
        self.estimator_, self.offset_ = estimator, float(np.quantile(scores, self.contamination))
        return self

    def _scores_of_folds(self, X: Any, y: Any, fit_params: dict[str, Any]) -> Iterator[NDArray]:
        """Scores of each fold's samples, by a model that has not seen them."""
        X, y = indexable(X, y)
        splits = check_cv(self.cv, y, classifier=is_classifier(self.estimator)).split(X, y)
        for train, test in splits:
            estimator = clone(self.estimator)
            fold = fold_of(estimator, X, y, train)
            estimator.fit(*fold, **parameters_of_fold(X, fit_params, train))
            yield self._score(estimator, fold_of(estimator, X, None, test)[0])

    def _score(self, estimator: Any, X: Any) -> NDArray[np.float64]:
        # The density is not what all of them give by default.
        asked = {"by": self.by} if _takes_by(estimator) else {}
        return estimator.score_samples(X, **asked)

    @property
    def n_features_in_(self) -> int:
        """Number of values in each sample."""
        return self.estimator_.n_features_in_

    @property
    def feature_names_in_(self) -> NDArray:
        """Names of the columns."""
        return self.estimator_.feature_names_in_

    def score_samples(self, X: ArrayLike) -> NDArray[np.float64]:
        """Score samples by the fitted estimator; low for outliers.

        Parameters
        ----------
        X : array-like
            Samples of the shape that `fit` saw.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
        """
        check_is_fitted(self)
        return self._score(self.estimator_, as_array(X))

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return how far scores are above `offset_`; outliers are below 0.

        Parameters
        ----------
        X : array-like
            Samples of the shape that `fit` saw.

        Returns
        -------
        distance : ndarray of shape (n_samples,)
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """Tell outliers from inliers.

        Parameters
        ----------
        X : array-like
            Samples of the shape that `fit` saw.

        Returns
        -------
        kind : ndarray of shape (n_samples,)
            -1 for outliers and 1 for inliers.
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        of_estimator = get_tags(self.estimator)
        tags.input_tags = of_estimator.input_tags
        tags.target_tags.required = of_estimator.target_tags.required
        return tags
