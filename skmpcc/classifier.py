"""MPCCClassifier: MPCC with known classes behind scikit-learn's interface."""

import copy
import os
from collections.abc import Mapping
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.callback import CallbackSupportMixin
from sklearn.utils import Tags, check_scalar
from sklearn.utils.validation import column_or_1d

from skmpcc._base import CATEGORICAL_CONSTRAINTS, CATEGORICAL_DOC, MixtureMixin, tensor_for_tensor
from skmpcc._parameters import (
    OF_CLASSES,
    PRESET_FIELDS,
    given_fields,
    layout_and_preset,
    warn_of_table,
    with_parameters,
)
from skmpcc._sklearn import StrOptions, fit_context
from skmpcc.data.classes import KnownClasses, labels_of, warn_of_minus_one
from skmpcc.data.inputs import as_array
from skmpcc.data.mixed import format_of
from skmpcc.data.rows import fitted_rows
from skmpcc.fitted.saving import MIXTURE_ATTRIBUTES
from skmpcc.presets import MPCC_PRESETS, Preset
from skmpcc.settings import constraints_of, description, parameter_docs, settings_of
from skmpcc.system.processes import Processes
from skmpcc.system.random import random_state_of
from skmpcc.training.fit import Fit, Seeds, from_validation, run_fit
from skmpcc.training.fit_data import FitData
from skmpcc.training.fit_mixture import mixture_fit
from skmpcc.training.start import join_processes, open_checkpoint

# Those of the clusterer, but for the weights, which are the classes' shares.
_PRESET_FIELDS = tuple(name for name in PRESET_FIELDS if name != "weights")
# How much more classes weigh than pseudo-labels.
_CLASS_WEIGHT = 5.0
# Fields that would take the classes away.
_RESERVED = ("pseudo_labels", "pseudo_label_share")


class MPCCClassifier(MixtureMixin, ClassifierMixin, CallbackSupportMixin, BaseEstimator):
    """Generative classifier by MPCC, for data whose classes are known, all or some of them.

    MPCC is a generative adversarial network whose latent prior is a learnable mixture of Gaussians,
    with an encoder that shares the discriminator's first layers [1]_. Here each component stands for a
    class, as in the paper's conditional variant. The class of a sample is the most probable component
    at its code, and new samples of each class can be drawn.

    Parameters
    ----------
    preset : str or Preset, default="auto"
        Settings of networks and training: a `skmpcc.presets.Preset`, or the name of one in
        `skmpcc.presets.PRESETS`. "auto" chooses by the shape of the input and the number of classes.
        It gives the value of every parameter below that is None.
    preset_params : dict, default=None
        Values that replace the preset's, by the name of the field, such as `{"min_std": 0.3}`. The
        fields are listed under Other Parameters. Whatever the preset says, "weights" are "shares",
        "reseed" is False and "label_weight" is 5 unless they are given here.
    image_shape : tuple of int, default=None
        (height, width), (height, width, channels) or (channels, height, width) of images that come as
        rows, or whose layout may be read in two ways.
    {categorical}
    priors : array-like of shape (n_classes,), default=None
        Probabilities of the classes, in the order of `classes_`, by which memberships are taken and
        samples are drawn once the training is over. None is the classes' shares in the training data.
        As in LinearDiscriminantAnalysis they serve for data in which classes are rarer or more common
        than they were in the training.
    scaling : {"auto", "columns", "none"}, default="auto"
        {scaling}
    pseudo_labels : {"auto", "neighbors", "augmentation"}, default="auto"
        How samples of unknown class get the labels that teach the networks. "neighbors": known classes
        spread along a graph of the ten nearest neighbours, as in LabelSpreading, and a logistic
        regression learns them; of more than 70,000 samples, along one of 70,000, those of known class
        first. "augmentation", for images: small classifiers learn the known classes and to say the same
        of an image and of random affine maps of it. "auto" is "augmentation" for images and
        "neighbors" for tables.
    {settings}
    labels_only : bool, default=False
        Whether classes and memberships alone are wanted. The training then ends as soon as they have
        settled, in a fraction of the time, before the generative half is trained: `sample`,
        `reconstruct` and `score_samples` are poor.
    device : str or torch.device, default="auto"
        "auto" (CUDA if there is, otherwise the CPU), "cpu", "cuda" or "cuda:1". Where the device of the
        fit is missing later, after unpickling elsewhere, the CPU serves.
    distributed : {"auto"} or None, default=None
        "auto": where several processes were launched together, as by `torchrun`, or have initialized
        `torch.distributed`, they train one model, each with its share of every batch, and all end with
        the same estimator; a single process trains as usual. All of them have to call `fit`. None: each
        process trains by itself.
    random_state : int, RandomState instance or None, default=None
        Determines initial parameters, batches and draws. With an int, fits on the same CPU with the
        same number of threads are identical and every call of `sample` gives the same samples. None is
        a new seed each time; numpy's and torch's global states are neither used nor changed.
    verbose : int, default=0
        1 prints the iteration at every entry of `history_`, 2 its time and losses too.
    checkpoint : str or path-like, default=None
        File that `fit` keeps its state in while it runs, about every ten seconds. A `fit` with the same
        data and parameters that finds the file there goes on from it, as if it had not been interrupted;
        other data or parameters are an error. The file is removed at the end of the fit.

    Other Parameters
    ----------------
    {preset_params}

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels, in ascending order.
    transduction_ : ndarray of shape (n_samples,)
        Labels that the networks learned from: known ones as they were given, and those that were found
        for the samples of unknown class. For rows that the fit did not see, those of weight 0 or of data
        larger than memory, the predicted ones.
    means_ : ndarray of shape (n_classes, latent_dim)
        Means of the mixture's components, one for each class.
    covariances_ : ndarray of shape (n_classes, latent_dim)
        Diagonals of the covariance matrices by which `sample` draws.
    weights_ : ndarray of shape (n_classes,)
        `priors`, or by default the shares of the classes in `transduction_`.
    class_centers_ : ndarray of shape (n_classes, ...)
        Decoded means, in the shape and units of the data.
    n_iter_ : int
        Number of iterations.
    converged_ : bool
        Whether the training had settled when it stopped: the memberships, which changed by less than
        `tol`, and unless `labels_only` the generative half, which changed by less than
        `generation_tol`.
    n_features_in_ : int
        Number of values in each sample: height x width x channels for images.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, where X is a data frame whose column names are all strings.
    preset_ : str
        Name of the preset that was used.
    device_ : str
        Device that the fit ran on.
    settings_ : dict
        Settings that ran, by name: those of the parameters that leave the choice to the preset, and all
        that `preset_params` may name.
    history_ : dict of ndarray
        Course of the training, as in `MPCCClusterer`.

    See Also
    --------
    MPCCClusterer : Finds the classes, too, where none are known.
    sklearn.semi_supervised.LabelSpreading : Spreads known classes to unknown ones, without a model.
    sklearn.discriminant_analysis.QuadraticDiscriminantAnalysis : Gaussians in the data's own space.

    Notes
    -----
    A method that is given a torch tensor returns tensors, on the device of that one, but for classes
    whose labels are text. Fitted attributes and what `sample` draws are arrays.

    References
    ----------
    .. [1] N. Astorga, P. Huijse, P. Protopapas, P. Estevez, "MPCC: Matching Priors and Conditionals
       for Clustering", ECCV 2020.
    .. [2] T. Miyato, M. Koyama, "cGANs with Projection Discriminator", ICLR 2018.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skmpcc import MPCCClassifier
    >>> X, y = make_blobs(200, centers=[[-5, 0], [5, 0], [0, 9]], random_state=0)
    >>> y[20:] = -1  # unknown
    >>> classifier = MPCCClassifier(max_iter=50, width=32, random_state=0).fit(X, y)
    >>> classifier.predict([[-5, 0], [5, 1], [0, 8]])
    array([0, 1, 2])
    >>> classifier.sample_like([2, 0]).shape
    (2, 2)
    """

    _parameter_constraints: ClassVar[dict] = {
        "preset": MPCC_PRESETS.constraints,
        "preset_params": [dict, None],
        "image_shape": [tuple, list, None],
        "categorical_features": CATEGORICAL_CONSTRAINTS,
        "priors": ["array-like", None],
        "scaling": constraints_of(Preset)["scaling"],
        "pseudo_labels": [StrOptions({"auto", "neighbors", "augmentation"})],
        **{name: [*constraints_of(Preset)[name], None] for name in _PRESET_FIELDS},
        "labels_only": ["boolean"],
        "device": [str, torch.device],
        "distributed": [StrOptions({"auto"}), None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
        "checkpoint": [str, os.PathLike, None],
    }
    _saved_attributes: ClassVar[dict] = MIXTURE_ATTRIBUTES | {
        "classes_": ("any", "n_clusters"),
        "transduction_": ("any", "n_samples"),
        "class_centers_": ("data", "n_clusters", "sample"),
    }

    def __init__(
        self,
        *,
        preset: str | Preset = "auto",
        preset_params: dict[str, Any] | None = None,
        image_shape: tuple[int, ...] | None = None,
        categorical_features: Any = "from_dtype",
        priors: ArrayLike | None = None,
        scaling: str = "auto",
        pseudo_labels: str = "auto",
        latent_dim: int | None = None,
        width: int | None = None,
        max_iter: int | None = None,
        tol: float | None = None,
        learning_rate: float | None = None,
        labels_only: bool = False,
        device: str | torch.device = "auto",
        distributed: str | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> None:
        self.preset = preset
        self.preset_params = preset_params
        self.image_shape = image_shape
        self.categorical_features = categorical_features
        self.priors = priors
        self.scaling = scaling
        self.pseudo_labels = pseudo_labels
        self.latent_dim = latent_dim
        self.width = width
        self.max_iter = max_iter
        self.tol = tol
        self.learning_rate = learning_rate
        self.labels_only = labels_only
        self.device = device
        self.distributed = distributed
        self.random_state = random_state
        self.verbose = verbose
        self.checkpoint = checkpoint

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Learn the classes of X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or images
            Images are (n_samples, height, width), (n_samples, channels, height, width) or
            (n_samples, height, width, channels), or rows with `image_shape`. Any real dtype; also
            lists, data frames, torch tensors and memory maps. Values of tables may be missing (NaN,
            None or `pandas.NA`), and columns of data frames may hold categories.
        y : array-like of shape (n_samples,)
            Class of each sample, -1 where it is unknown. Beside text the -1 has to be a number, in an
            array of dtype object. Known samples have to show two classes or more. Labels that are -1 and
            1 alone name two classes, and none is unknown.
        sample_weight : array-like of shape (n_samples,), default=None
            How much each row counts, 0 or more; None is 1 for each. Only ratios matter; see
            `MPCCClusterer.fit`.

        Returns
        -------
        self : MPCCClassifier

        Raises
        ------
        ValueError, TypeError
            The parameters or the data cannot be used, or the file at `checkpoint` is of another fit or
            damaged; before any training.
        FloatingPointError
            The training diverged from the beginning.

        Notes
        -----
        After an exception or an interruption the estimator is as it was before the call, also where
        warnings are turned into errors. A file at `checkpoint` stays.
        """
        # Validation sets attributes: on this copy, so that self changes at the very end or not at all.
        validated = copy.copy(self)
        given, labels = validated._check_for_fit(X, labels_of(y))
        warn_of_minus_one(labels)
        processes = join_processes(validated)
        checkpoint = open_checkpoint(
            validated, processes, X=given, sample_weight=sample_weight, y=labels
        )
        known = KnownClasses.from_labels(labels)
        seen, rows = fitted_rows(given, sample_weight, validated.random_state, known.numbers.numpy())
        known = known.of_rows(rows).with_priors(self.priors)
        fit, data = validated._fit_of(seen, known, processes)
        del seen  # it is encoded
        run_fit(self, fit, data.with_rows(given, rows), y, checkpoint)
        return self

    def _fit_of(self, X: NDArray, known: KnownClasses, processes: Processes) -> tuple[Fit, FitData]:
        """Settings, model and encoded data."""
        seeds = Seeds.draw(random_state_of(self.random_state), 1)
        n_classes = len(known.classes)
        layout, preset = layout_and_preset(X, self.preset, self.image_shape, n_classes, MPCC_PRESETS)
        warn_of_table(layout, preset)
        for name in _RESERVED:
            if name in (self.preset_params or {}):
                raise ValueError(f"preset_params has {name!r}, which known classes leave no choice of.")
        kind = self.pseudo_labels
        if kind == "auto":
            kind = "neighbors" if layout.image is None else "augmentation"
        given = given_fields(self, _PRESET_FIELDS) | {"pseudo_labels": kind}
        if self.scaling != "auto":
            given["scaling"] = self.scaling
        preset = with_parameters(
            preset.override(
                OF_CLASSES | {"label_weight": _CLASS_WEIGHT * preset.label_weight}, type(self).__name__
            ),
            layout,
            given,
            self.preset_params,
            type(self).__name__,
            labels_only=self.labels_only,
        )
        data_format = format_of(X, layout, self._columns, preset.scaling, resizing=preset.resizing)
        data = FitData.encode(X, data_format, from_validation(self), known)
        fit = mixture_fit(data, preset, n_classes, seeds, processes)
        return fit, fit.looking_at_neighbors(data)

    @tensor_for_tensor
    def predict(self, X: ArrayLike) -> NDArray:
        """Predict the most probable class of each sample: argmax_k q(y = k | z) at its code z.

        Parameters
        ----------
        X : array-like
            Samples of the shape that `fit` saw.

        Returns
        -------
        labels : ndarray or Tensor of shape (n_samples,)
        """
        fitted = self._fitted_model()
        return self.classes_[fitted.labels(self._check_X(X))]

    @tensor_for_tensor
    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Predict probabilities q(y | z) at the encoder's mean z (equation 9 of the paper).

        Parameters
        ----------
        X : array-like
            Samples of the shape that `fit` saw.

        Returns
        -------
        probabilities : ndarray or Tensor of shape (n_samples, n_classes)
            In the order of `classes_`. Rows sum to one.
        """
        return self._fitted_model().memberships(self._check_X(X))

    @tensor_for_tensor
    def predict_log_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Predict log q(y | z), which differs between samples whose probabilities are next to 0 or 1.

        Parameters
        ----------
        X : array-like
            Samples of the shape that `fit` saw.

        Returns
        -------
        log_probabilities : ndarray or Tensor of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        return self._fitted_model().log_memberships(self._check_X(X))

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Compute log-probabilities of the classes, of two classes the log-odds of the second.

        Parameters
        ----------
        X : array-like
            Samples of the shape that `fit` saw.

        Returns
        -------
        scores : ndarray or Tensor of shape (n_samples, n_classes), or (n_samples,) for two classes
        """
        scores = self.predict_log_proba(X)
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Compute the accuracy of predictions, the share of samples whose class is found.

        Parameters
        ----------
        X : array-like
            Samples of the shape that `fit` saw.
        y : array-like of shape (n_samples,)
            Their classes.
        sample_weight : array-like of shape (n_samples,), default=None
            How much each sample counts.

        Returns
        -------
        score : float
        """
        return super().score(as_array(X), as_array(y), as_array(sample_weight))

    def sample(
        self,
        n_samples: int = 1,
        class_: Any = None,
        conditions: Mapping[Any, Any] | None = None,
    ) -> tuple[Any, NDArray]:
        """Draw new samples: y from the mixture's weights, z from its component, x = G(z, y).

        Parameters
        ----------
        n_samples : int, default=1
        class_ : label, default=None
            Draw from this class alone.
        conditions : dict, default=None
            What columns of a table have to be, by name or place; see `MPCCClusterer.sample`.

        Returns
        -------
        X : ndarray or frame of shape (n_samples, ...)
            In the shape and units of the fitted data; a frame where the fit saw one, with its dtypes.
        y : ndarray of shape (n_samples,)
            The class of each sample, in the order of `classes_`.

        Raises
        ------
        ValueError, TypeError
            `n_samples` is below 1 or not an integer, `class_` is not one of the classes, or next to no
            draw fulfils `conditions`.
        """
        self._fitted_model()
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        component = None
        if class_ is not None:
            component = int(self._components_of(np.array([class_], dtype=object), "class_")[0])
        X, y = self._sampled(n_samples, component, conditions)
        return X, self.classes_[y]

    @tensor_for_tensor
    def sample_like(self, y: ArrayLike) -> NDArray:
        """Draw a new sample of each class in `y`.

        Parameters
        ----------
        y : array-like of shape (n_samples,)
            Labels in `classes_`.

        Returns
        -------
        X : ndarray or Tensor of shape (n_samples, ...)
            In the shape and units of the fitted data.

        Raises
        ------
        ValueError
            `y` is empty, or one of its labels is not one of the classes.
        """
        self._fitted_model()
        labels = column_or_1d(as_array(y))
        if not len(labels):
            raise ValueError("y is empty; sample_like draws a sample of each of its labels.")
        drawn = self._draw_from(self._components_of(labels, "y"), random_state_of(self.random_state))
        return self._fitted.format.to_given(drawn)

    def _components_of(self, labels: NDArray, name: str = "labels") -> NDArray[np.int64]:
        numbers = {label: number for number, label in enumerate(self.classes_.tolist())}
        unknown = [label for label in labels.tolist() if label not in numbers]
        if unknown:
            raise ValueError(
                f"{name} has {unknown[0]!r}, but the classes are {self.classes_.tolist()!r}."
            )
        return np.array([numbers[label] for label in labels.tolist()], dtype=np.int64)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = tags.input_tags.allow_nan = tags.input_tags.categorical = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


_OTHER = [name for name in settings_of(Preset) if name not in (*_PRESET_FIELDS, "scaling", *_RESERVED)]
if MPCCClassifier.__doc__ is not None:  # it is None with python -OO
    _MORE = 'What ran is in `settings_["scaling"]`.'
    MPCCClassifier.__doc__ = (
        MPCCClassifier.__doc__.replace("{categorical}", CATEGORICAL_DOC)
        .replace("{scaling}", description(Preset, "scaling", _MORE))
        .replace("{settings}", parameter_docs(Preset, _PRESET_FIELDS, ", default=None"))
        .replace("{preset_params}", parameter_docs(Preset, _OTHER))
    )
