"""Methods of an estimator that holds a latent variable model: encode, decode, sample."""

import copy
import functools
import inspect
import math
import os
from collections.abc import Callable, Mapping
from numbers import Integral
from typing import Any, ClassVar, ParamSpec, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.callback import CallbackSupportMixin
from sklearn.utils import Tags, check_array, check_consistent_length, check_scalar
from sklearn.utils.validation import (
    assert_all_finite,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from skmpcc._parameters import check_given_once, given_fields, layout_and_preset
from skmpcc._sklearn import StrOptions, fit_context, makes_arrays
from skmpcc.data.columns import Columns, later_numbers, needs_numbers, with_index_of
from skmpcc.data.conditions import conditions_of, draw_by_rejection
from skmpcc.data.frames import warn_of_row_numbers
from skmpcc.data.inputs import Layout, as_array, as_given, as_real, with_nan
from skmpcc.data.rows import fitted_rows
from skmpcc.data.sliced import Rows, SlicedArray, in_slices
from skmpcc.fitted import onnx as export
from skmpcc.fitted import saving
from skmpcc.fitted.model import SCORES, FittedModel, Samples
from skmpcc.fitted.saving import FIT_ATTRIBUTES
from skmpcc.presets import PresetFamily
from skmpcc.settings import NetworkSettings
from skmpcc.system.devices import inference_device, resolve_device
from skmpcc.system.processes import Processes
from skmpcc.system.random import random_state_of
from skmpcc.training.fit import Fit, Seeds, from_validation, run_fit
from skmpcc.training.fit_data import FitData
from skmpcc.training.fit_transformer import transformer_fit, transformer_format
from skmpcc.training.start import open_checkpoint

P = ParamSpec("P")


class _Untruncated(str):
    """Text that scikit-learn's tables do not shorten to a few letters."""


def tensor_for_tensor(method: Callable[P, Any]) -> Callable[P, Any]:
    """Make a method return a tensor where its first argument is one, on the same device."""
    _, first, *_ = inspect.signature(method).parameters

    @functools.wraps(method)
    def with_tensors(*args: P.args, **kwargs: P.kwargs) -> Any:
        given = args[1] if len(args) > 1 else kwargs.get(first)
        return as_given(method(*args, **kwargs), given)

    return with_tensors


class FittedLatentMixin(ClassNamePrefixFeaturesOutMixin, TransformerMixin):
    """Methods of an estimator whose `fit` sets `_fitted`, of any kind of X.

    It is a TransformerMixin itself, because scikit-learn's `set_output` wraps `transform` where it is
    defined.

    Attributes
    ----------
    device : str or torch.device
        Parameter of the estimator.
    random_state : int, RandomState instance or None
        Parameter of the estimator.
    """

    device: str | torch.device
    random_state: Any
    _fitted: FittedModel
    # What a file keeps beside parameters and model; see `saving.FIT_ATTRIBUTES`.
    _saved_attributes: ClassVar[dict[str, Any]]

    def _check_X(self, X: Any) -> Samples:
        """Return X as the fitted model takes it."""
        raise NotImplementedError

    def _check_codes(self, Z: Any) -> NDArray[np.float64]:
        """Return Z, of the latent space's dimensions, as an array."""
        codes = check_array(as_array(Z), dtype=np.float64, input_name="Z", estimator=self)
        if codes.shape[1] != self._n_features_out:
            raise ValueError(
                f"Z has {codes.shape[1]} columns, but the latent space has {self._n_features_out} "
                "dimensions."
            )
        return codes

    def _fitted_model(self) -> FittedModel:
        check_is_fitted(self)
        return self._fitted.on(inference_device(self.device))

    @tensor_for_tensor
    def score_samples(self, X: ArrayLike, by: str = "density") -> NDArray[np.float64]:
        """Score how much each sample is like the training data; low for those unlike it.

        Parameters
        ----------
        X : array-like
            Samples of the shape that `fit` saw.
        by : {"density", "information", "reconstruction", "both"}, default="density"
            "density" is the log-density of a sample with its code, log p(z) + log p(x | z): low where z
            is far from where the latent prior has its mass, or decodes to something else than x.
            "information" is the Information Anomaly Score [1]_, the negative divergence of q(z | x) from
            the components: - sum_k q(k | z) KL(q(z | x) || p(z | k)). It does not look at the
            reconstruction, for data with noise that differs between rows.
            "reconstruction" is log p(x | z) alone, divided by the number of inputs. "both" is the sum of
            the ranks of these two among the training data, from 0 to 2, and lower for samples with a
            lower score than all of it.

        Returns
        -------
        scores : ndarray or Tensor of shape (n_samples,)
            In nats but for "both", of the data as the networks see them, which are scaled:
            for comparisons of samples, not of models.

        Raises
        ------
        ValueError
            `by` is none of these, X does not have that shape, or `by` is "both" and the model comes from
            a file of an earlier version, which has no scores of training data.

        Notes
        -----
        z is the sample's code, and p(x | z) is Gaussian around what it decodes to, with the variances of
        the training data's reconstruction errors. p(x | z) sees outliers where they are; the encoder
        sees them clipped, so that "information" does not tell how far off they are.

        References
        ----------
        .. [1] N. Astorga, "Modelos generativos-inferenciales: teoría y aplicaciones", Universidad de
           Chile, 2021, section 9.4.3.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.datasets import load_iris
        >>> from skmpcc import AIM
        >>> X = load_iris().data
        >>> aim = AIM(latent_dim=2, max_iter=50, width=16, random_state=0).fit(X)
        >>> scores = aim.score_samples(np.vstack([X, [[6.0, 60.0, 4.0, 1.0]]]), by="both")
        >>> int(scores.argmin())
        150
        """
        fitted = self._fitted_model()
        if by not in SCORES:
            raise ValueError(f"by should be one of {SCORES}, got {by!r}.")
        return fitted.scores(self._check_X(X), by)

    def transform(self, X: ArrayLike) -> NDArray:
        """Encode X: the latent codes, means of q(z | x).

        Parameters
        ----------
        X : array-like
            Samples of the shape that `fit` saw.

        Returns
        -------
        codes : ndarray or Tensor of shape (n_samples, latent_dim)
            float32 if the fit saw float16 or float32, float64 otherwise.
        """
        codes = self._fitted_model().codes(self._check_X(X))
        # `set_output` makes other containers of arrays.
        return as_given(codes, X) if makes_arrays(self) else codes

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted estimator to a file of safetensors, from which `load` restores it.

        Unlike a pickle, the file holds nothing but numbers and text, and other versions of this package
        and of PyTorch read it.

        Parameters
        ----------
        path : str or path-like
            What is there is replaced once the file is complete.

        Raises
        ------
        NotFittedError
            The estimator is not fitted.
        TypeError
            A parameter cannot be written: a RandomState of another generator than MT19937, say.

        Notes
        -----
        Parameters, all fitted attributes and the networks are kept, those of the training too, so that
        `warm_start` works after. A `RandomState` is kept as it stands, a `torch.device` by its name, and
        other arrays among the parameters as numpy's. Callbacks, `set_output` and metadata requests are
        not kept.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> from sklearn.datasets import make_blobs
        >>> from skmpcc import MPCCClusterer
        >>> X, _ = make_blobs(100, centers=3, random_state=0)
        >>> clusterer = MPCCClusterer(3, max_iter=10, width=16, tol=0.0, random_state=0).fit(X)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     clusterer.save(Path(folder) / "model.safetensors")
        ...     restored = MPCCClusterer.load(Path(folder) / "model.safetensors")
        >>> bool((restored.predict_proba(X) == clusterer.predict_proba(X)).all())
        True
        """
        saving.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Restore an estimator from a file that `save` wrote. No code of the file is run.

        Parameters
        ----------
        path : str or path-like

        Returns
        -------
        estimator : Self
            Fitted. It predicts on its parameter `device`, or on the CPU where that is missing.

        Raises
        ------
        ValueError
            The file is cut off, damaged or foreign, holds another estimator, was written in a newer
            format, or has names, shapes or types that do not fit; the message says which.
        OSError
            There is no such file, or it cannot be read.

        Notes
        -----
        The file's checksum shows damage. It does not prove who wrote the file.
        """
        return saving.load(cls, path)

    def _get_fitted_attr_html(self, doc_link: str = "") -> Any:
        """Return scikit-learn's table of fitted attributes, begun by the settings that were chosen."""
        table = super()._get_fitted_attr_html(doc_link)
        rows = {}
        for name, value in getattr(self, "settings_", {}).items():
            given = getattr(self, name, "")  # by preset_params, if it is no parameter
            if given is None or (isinstance(given, str) and given == "auto"):
                rows[f"settings_[{name!r}]"] = {"type_name": type(value).__name__, "value": value}
        table.data = rows | table.data
        for row in table.data.values():
            if isinstance(row["value"], str):
                row["value"] = _Untruncated(row["value"])
        return table

    @property
    def _n_features_out(self) -> int:
        return self._fitted.model.settings.latent_dim

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_fitted")


class LatentVariableMixin(FittedLatentMixin):
    """Methods of an estimator that takes tables or images, in arrays or frames.

    Attributes
    ----------
    categorical_features, image_shape : object
        Parameters of the estimator.
    """

    categorical_features: Any
    image_shape: tuple[int, ...] | None
    # Of the data of a fit, on a copy of the estimator while it is under way.
    _columns: Columns | None = None

    def _check_for_fit(self, X: Any, y: Any = "no_validation") -> tuple[Rows, Any]:
        """Check what `fit` is given, by default without `y`, and set what it has to know of X.

        Of data that are read in slices, what is in them is checked when they are.
        """
        if getattr(self, "warm_start", False) and hasattr(self, "_fitted"):
            # Names of columns alone, as predict checks them: those of the fit that goes on.
            validate_data(self, X, reset=False, skip_check_array=True, ensure_2d=False)
            self._columns = columns = self._fitted.format.columns_given
            numbers = later_numbers(X, columns) if needs_numbers(X, columns) else None
        else:
            self._columns, numbers = Columns.learn(X, self.categorical_features)
        warn_of_row_numbers(X)
        if numbers is not None:
            # For what it sets: names and number of columns.
            validate_data(self, X, skip_check_array=True)
            X = check_array(
                numbers,
                ensure_all_finite="allow-nan",
                ensure_min_samples=2,
                input_name="X",
                estimator=self,
            )
            return X, self._checked_y(X, y)
        X = in_slices(X, of_tables=self.image_shape is None)
        if isinstance(X, SlicedArray):
            X.check_rows()
            self.n_features_in_ = math.prod(X.shape[1:])
            # Of a fit before, of a data frame.
            if hasattr(self, "feature_names_in_"):
                del self.feature_names_in_
            return X, self._checked_y(X, y)
        checked = validate_data(
            self,
            with_nan(as_array(X)),
            as_array(y),
            allow_nd=True,
            ensure_min_samples=2,
            ensure_all_finite="allow-nan",
        )
        X, y = checked if isinstance(checked, tuple) else (checked, None)
        self.n_features_in_ = math.prod(X.shape[1:])
        X = as_real(X)
        if X.ndim != 2 or self.image_shape is not None:
            assert_all_finite(X, estimator_name=type(self).__name__, input_name="X")
        return X, y

    def _checked_y(self, X: Rows, y: Any) -> Any:
        if isinstance(y, str):
            return y
        y = column_or_1d(as_array(y), warn=True)
        check_consistent_length(X, y)
        return y

    def _check_X(self, X: Any) -> Rows:
        """Return X, of the shape that `fit` saw, as an array of real numbers, or of slices of them."""
        layout, columns = self._fitted.format.layout, self._fitted.format.columns_given
        wanted = layout.shape
        finite = "allow-nan" if layout.image is None else True
        if len(wanted) == 1 and needs_numbers(X, columns):
            validate_data(self, X, reset=False, skip_check_array=True)
            numbers = later_numbers(X, columns)
            return check_array(numbers, ensure_all_finite=finite, input_name="X", estimator=self)
        X = in_slices(with_nan(as_array(X)), of_tables=layout.image is None)
        sliced = isinstance(X, SlicedArray)
        if len(wanted) == 1 and not sliced:
            X = validate_data(self, X, reset=False, ensure_all_finite=finite)
        else:
            if not sliced:
                X = check_array(X, allow_nd=True, estimator=self, input_name="X")
            if X.shape[1:] != wanted:
                raise ValueError(
                    f"X has samples of shape {X.shape[1:]}, but {type(self).__name__} was fitted on "
                    f"samples of shape {wanted}."
                )
        return X if sliced else as_real(X)

    @tensor_for_tensor
    def reconstruct(self, X: ArrayLike) -> NDArray:
        """Encode and decode X: G at each sample's code, in its most probable component.

        Parameters
        ----------
        X : array-like
            Samples of the shape that `fit` saw.

        Returns
        -------
        X : ndarray, Tensor or frame of shape (n_samples, ...)
            In the shape and units of the fitted data; without gaps, where values are missing in X.
        """
        fitted = self._fitted_model()
        return with_index_of(X, fitted.format.to_given(fitted.reconstruct(self._check_X(X))))

    def impute(self, X: ArrayLike, n_draws: int | None = None) -> Any:
        """Fill in missing values of a table; what is there stays as it is.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            A table with missing values: NaN, None or `pandas.NA`.
        n_draws : int, default=None
            None fills in the mean of a number, given the row's other values, and the most probable
            category. Otherwise so many tables are returned, in each of which missing values are drawn
            from their distribution, as for multiple imputation.

        Returns
        -------
        X : ndarray or frame of shape (n_samples, n_features), or list of these
            In the dtypes of the fitted data.

        Raises
        ------
        ValueError, TypeError
            The estimator was fitted on images, or `n_draws` is below 1 or not an integer.

        Notes
        -----
        Where values were missing in the fit, or there are categories, a mixture of Gaussians of all
        columns, fitted to what is there, gives the distributions. Otherwise the networks do: what is
        missing is rebuilt until it hardly changes, and drawn from q(z | x) and p(x | z). Categories
        that the fit did not see count as missing.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.datasets import load_iris
        >>> from skmpcc import AIM
        >>> X = load_iris().data.copy()
        >>> X[::10, 2] = np.nan
        >>> aim = AIM(latent_dim=2, max_iter=50, width=16, random_state=0).fit(X)
        >>> bool(np.isnan(aim.impute(X)).any())
        False
        >>> len(aim.impute(X, n_draws=5))
        5
        """
        fitted = self._fitted_model()
        if fitted.format.layout.image is not None or len(fitted.format.layout.shape) > 1:
            raise ValueError(
                f"impute is for tables, but {type(self).__name__} was fitted on images, which have no "
                "missing values."
            )
        if n_draws is not None:
            check_scalar(n_draws, "n_draws", Integral, min_val=1)
        rng = random_state_of(self.random_state)
        given = self._check_X(X)
        given = given[:] if isinstance(given, SlicedArray) else given
        filled, columns = fitted.imputed(given, n_draws, rng), fitted.format.columns_given
        if columns is not None:
            filled = [with_index_of(X, columns.to_given(each)) for each in filled]
        return filled[0] if n_draws is None else filled

    @tensor_for_tensor
    def sample_posterior(self, X: ArrayLike, n_samples: int = 1) -> NDArray:
        """Draw variants of each sample: decoded draws from q(z | x), as in AIM.

        Parameters
        ----------
        X : array-like
            Samples of the shape that `fit` saw.
        n_samples : int, default=1
            Draws for each sample; each is decoded in its own most probable component.

        Returns
        -------
        X : ndarray or Tensor of shape (n, n_samples, ...)
            In the shape and units of the fitted data; of frames their numbers, where categories are
            numbered from 0 in order.
        """
        fitted = self._fitted_model()
        rows = self._check_X(X)
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        return fitted.posterior_samples(rows, n_samples, random_state_of(self.random_state))

    def _drawn(
        self,
        draw: Callable[[int], tuple[NDArray, NDArray[np.int64]]],
        n_samples: int,
        conditions: Mapping[Any, Any] | None,
        rng: np.random.RandomState,
    ) -> tuple[Any, NDArray[np.int64]]:
        """Draw samples and their components, in a frame if the fit saw one, as conditions ask for."""
        data_format = self._fitted.format
        if conditions is None:
            X, y = draw(n_samples)
            return data_format.to_given(X), y
        if len(data_format.layout.shape) > 1:
            raise ValueError(f"conditions are for tables; {type(self).__name__} was fitted on images.")
        read = conditions_of(conditions, data_format.columns_given, data_format.layout.shape[0])

        def draw_rounded(n: int) -> tuple[NDArray, NDArray[np.int64]]:
            X, y = draw(n)
            columns = data_format.columns_given
            return X if columns is None else columns.rounded(X), y

        X, y = draw_by_rejection(draw_rounded, n_samples, read, rng)
        return data_format.to_given(X), y

    def export_onnx(self, path: str | os.PathLike[str]) -> None:
        """Write X to memberships and codes as an ONNX model, for onnxruntime and others. Needs onnx.

        Parameters
        ----------
        path : str or path-like
            What is there is replaced once the file is complete.

        Raises
        ------
        NotFittedError
            The estimator is not fitted.
        ImportError
            onnx is not installed: pip install "skmpcc[onnx]".

        Notes
        -----
        The input "X" is a batch of any length, unscaled and in the shape that `fit` saw, of float32 if
        the fit saw float16 or float32 and of float64 otherwise, also for images of uint8. The outputs
        are "memberships", as of `predict_proba` where the estimator has it, and "codes", as of
        `transform`. Outliers are not told: samples that `predict` gives -1 have the memberships of their
        codes. A classifier's `classes_` are in the metadata, as JSON. Opset 17, with operations in
        double precision.

        Examples
        --------
        >>> clusterer.export_onnx("model.onnx")  # doctest: +SKIP
        >>> session = onnxruntime.InferenceSession("model.onnx")  # doctest: +SKIP
        >>> memberships, codes = session.run(None, {"X": X})  # doctest: +SKIP
        """
        check_is_fitted(self)
        export.export_onnx(self, path)


# In docstrings of all estimators.
CATEGORICAL_DOC = """categorical_features : "from_dtype", array-like or None, default="from_dtype"
        Columns of a table that hold categories: "from_dtype", those of a data frame that hold text,
        booleans or dtypes of categories, but for ordered ones, which are numbers; their names; a mask;
        or their places. None: none does. They may have 50 values at most. Values that the fit did not
        see count as missing later."""
CATEGORICAL_CONSTRAINTS: list[Any] = ["array-like", StrOptions({"from_dtype"}), None]

# In docstrings of all transformers.
TRANSFORMER_PARAMETERS = """device : str or torch.device, default="auto"
        "auto" (CUDA if there is, otherwise the CPU), "cpu", "cuda" or "cuda:1". Where the device of the
        fit is missing later, after unpickling elsewhere, the CPU serves.
    random_state : int, RandomState instance or None, default=None
        Determines initial parameters, batches and draws. With an int, fits on the same CPU with the
        same number of threads are identical and every call of `sample` gives the same samples. None is
        a new seed each time; numpy's and torch's global states are neither used nor changed.
    verbose : int, default=0
        1 prints the iteration at every entry of `history_`, 2 its time and losses too.
    checkpoint : str or path-like, default=None
        File that `fit` keeps its state in while it runs, about every ten seconds. A `fit` with the same
        data and parameters that finds the file there goes on from it, as if it had not been interrupted;
        other data or parameters are an error. The file is removed at the end of the fit."""
TRANSFORMER_ATTRIBUTES = """n_iter_ : int
        Number of iterations.
    converged_ : bool
        Whether the training had settled when it stopped: reconstructions changed by less than `tol`.
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
        that `preset_params` may name."""


class GenerativeTransformer(LatentVariableMixin, CallbackSupportMixin, BaseEstimator):
    """Base of transformers whose latent prior is the standard normal: AIM and VAE.

    A subclass says which presets it has, and which of its parameters replace their fields.

    Attributes
    ----------
    preset, preset_params, image_shape, checkpoint : object
        Parameters of the estimator.
    """

    preset: Any
    preset_params: dict[str, Any] | None
    image_shape: tuple[int, ...] | None
    checkpoint: Any
    _family: ClassVar[PresetFamily]
    _preset_fields: ClassVar[tuple[str, ...]]
    _saved_attributes: ClassVar[dict[str, Any]] = FIT_ATTRIBUTES
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "preset_params": [dict, None],
        "image_shape": [tuple, list, None],
        "categorical_features": CATEGORICAL_CONSTRAINTS,
        "device": [str, torch.device],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
        "checkpoint": [str, os.PathLike, None],
    }

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Learn to encode and to generate X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or images
            Images are (n_samples, height, width), (n_samples, channels, height, width) or
            (n_samples, height, width, channels), or rows with `image_shape`. Any real dtype; also
            lists, data frames, torch tensors and memory maps. Values of tables may be missing (NaN,
            None or `pandas.NA`), and columns of data frames may hold categories.
        y : Ignored
            Not used by the training. Scoring callbacks are handed it.
        sample_weight : array-like of shape (n_samples,), default=None
            How much each row counts, 0 or more; None is 1 for each. Only ratios matter; see
            `MPCCClusterer.fit`.

        Returns
        -------
        self : object
            The fitted estimator.

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
        given, _ = validated._check_for_fit(X)
        checkpoint = open_checkpoint(validated, X=given, sample_weight=sample_weight)
        seen, rows = fitted_rows(given, sample_weight, validated.random_state)
        fit, data = validated._fit_of(seen)
        del seen  # it is encoded
        run_fit(self, fit, data.with_rows(given, rows), y, checkpoint)
        return self

    def _fit_of(self, X: NDArray) -> tuple[Fit, FitData]:
        """Settings, model and encoded data."""
        layout, preset = self._layout_and_preset(X)
        seeds = Seeds.draw(random_state_of(self.random_state), 1)
        data_format = transformer_format(X, layout, self._columns, preset)
        data = FitData.encode(X, data_format, from_validation(self))
        processes = Processes(device=resolve_device(self.device))
        return transformer_fit(data, preset, self._networks_of(preset), seeds, processes), data

    def _networks_of(self, preset: Any) -> NetworkSettings:
        return preset.network_settings()

    def _layout_and_preset(self, X: NDArray) -> tuple[Layout, Any]:
        """Find where height, width and channels stand in X, and all settings of a fit on it."""
        layout, preset = layout_and_preset(X, self.preset, self.image_shape, 1, self._family)
        params, given = self.preset_params or {}, given_fields(self, self._preset_fields)
        check_given_once(given, params)
        preset = preset.override(params, "preset_params").override(given, type(self).__name__)
        kind, (networks, kinds) = "image" if layout.image else "vector", self._networks_for(preset)
        if kind not in kinds or preset.kind != kind:
            raise ValueError(
                f"preset={preset.name!r}{networks} is not for "
                f"{'images' if kind == 'image' else 'tables, as which X is used'}. Set image_shape if "
                "rows are images, or another preset."
            )
        return layout, preset

    def _networks_for(self, preset: Any) -> tuple[str, tuple[str, ...]]:
        """Return what a message says of a preset's networks, and the kinds that they are for."""
        return "", (preset.kind,)

    @tensor_for_tensor
    def inverse_transform(self, Z: ArrayLike) -> NDArray:
        """Decode latent codes: G(z).

        Parameters
        ----------
        Z : array-like of shape (n_samples, latent_dim)

        Returns
        -------
        X : ndarray or Tensor of shape (n_samples, ...)
            In the shape and units of the fitted data.

        Raises
        ------
        ValueError
            Z has another number of columns than there are latent dimensions.
        """
        fitted = self._fitted_model()
        codes = self._check_codes(Z)
        return fitted.format.to_given(fitted.decode(codes, np.zeros(len(codes), dtype=np.int64)))

    def sample(self, n_samples: int = 1, conditions: Mapping[Any, Any] | None = None) -> Any:
        """Draw new samples: z from the standard normal distribution, x = G(z).

        Of a VAE, z is from the Gaussian that has the moments of its codes.

        Parameters
        ----------
        n_samples : int, default=1
        conditions : dict, default=None
            What columns of a table have to be, by name or place; see `MPCCClusterer.sample`.

        Returns
        -------
        X : ndarray or frame of shape (n_samples, ...)
            In the shape and units of the fitted data; a frame where the fit saw one.

        Raises
        ------
        ValueError, TypeError
            `n_samples` is below 1 or not an integer, or next to no draw fulfils `conditions`.
        """
        self._fitted_model()
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        rng = random_state_of(self.random_state)

        def draw(n: int) -> tuple[NDArray, NDArray[np.int64]]:
            one = np.zeros(n, dtype=np.int64)
            return self._fitted_model().decode(self._draw_codes(n, rng), one, rng), one

        return self._drawn(draw, n_samples, conditions, rng)[0]

    def _draw_codes(self, n_samples: int, rng: np.random.RandomState) -> NDArray[np.float64]:
        return rng.standard_normal((n_samples, self._n_features_out))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = tags.input_tags.allow_nan = tags.input_tags.categorical = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


class MixtureMixin(LatentVariableMixin):
    """Methods of estimators whose latent prior is a mixture, of which `fit` sets means and weights."""

    means_: NDArray
    covariances_: NDArray
    weights_: NDArray

    @tensor_for_tensor
    def inverse_transform(self, Z: ArrayLike, labels: ArrayLike | None = None) -> NDArray:
        """Decode latent codes: G(z, y).

        Parameters
        ----------
        Z : array-like of shape (n_samples, latent_dim)
        labels : array-like of shape (n_samples,), or a single one, default=None
            The clusters or classes to decode in. By default the most probable of each code.

        Returns
        -------
        X : ndarray or Tensor of shape (n_samples, ...)
            In the shape and units of the fitted data.

        Raises
        ------
        ValueError
            Z has another number of columns than there are latent dimensions, or a label is none that
            `fit` knows.
        """
        fitted = self._fitted_model()
        codes = self._check_codes(Z)
        if labels is None:
            y = fitted.labels_of_codes(codes)
        else:
            labels = as_array(labels)
            given = column_or_1d(np.full(len(codes), labels) if np.ndim(labels) == 0 else labels)
            if len(given) != len(codes):
                raise ValueError(f"labels has {len(given)} entries for {len(codes)} rows of Z.")
            y = self._components_of(given)
        return fitted.format.to_given(fitted.decode(codes, y))

    def _components_of(self, labels: NDArray) -> NDArray[np.int64]:
        """Return the components' numbers for labels; unknown labels are a ValueError."""
        raise NotImplementedError

    def _draw_components(
        self, n_samples: int, component: int | None, rng: np.random.RandomState
    ) -> NDArray[np.int64]:
        """Numbers of components in rising order, drawn by the weights, or all the same."""
        if component is not None:
            return np.full(n_samples, component, dtype=np.int64)
        counts = rng.multinomial(n_samples, self.weights_)
        return np.repeat(np.arange(len(counts)), counts)

    def _draw_from(self, y: NDArray[np.int64], rng: np.random.RandomState) -> NDArray:
        """Draw a sample of each component in `y`, in the shape and units of the fitted data."""
        noise = rng.standard_normal((len(y), self._n_features_out))
        codes = self.means_[y] + np.sqrt(self.covariances_[y]) * noise
        return self._fitted_model().decode(codes, y, rng)

    def _sampled(
        self, n_samples: int, component: int | None, conditions: Mapping[Any, Any] | None
    ) -> tuple[Any, NDArray[np.int64]]:
        """Draw samples and their components, in rising order of these."""
        rng = random_state_of(self.random_state)

        def draw(n: int) -> tuple[NDArray, NDArray[np.int64]]:
            y = self._draw_components(n, component, rng)
            return self._draw_from(y, rng), y

        return self._drawn(draw, n_samples, conditions, rng)
