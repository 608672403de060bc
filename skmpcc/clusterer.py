"""MPCCClusterer: MPCC behind scikit-learn's interface."""

import copy
import math
import warnings
from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import torch
from joblib import Parallel, delayed, effective_n_jobs
from numpy.typing import ArrayLike, NDArray
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import Tags, check_array, check_random_state, check_scalar
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from skmpcc.algorithm import Recipe
from skmpcc.devices import inference_device, require_compiler, resolve_device
from skmpcc.inference import FittedModel
from skmpcc.inputs import InputFormat, Layout, as_array
from skmpcc.model import MPCCModel, NetworkSettings
from skmpcc.monitoring import FitMonitor
from skmpcc.networks.layers import CONDITIONINGS
from skmpcc.presets import OVERRIDABLE, PRESETS, Preset, choose
from skmpcc.runs import Run, finished
from skmpcc.scoring import Scorer
from skmpcc.training import DivergedError, Outcome, finish, interval_of

_COUNT = [Interval(Integral, 1, None, closed="left"), None]
_COUNT_OR_ZERO = [Interval(Integral, 0, None, closed="left"), None]
_POSITIVE = [Interval(Real, 0, None, closed="neither"), None]
_NOT_NEGATIVE = [Interval(Real, 0, None, closed="left"), None]
_MAX_SEED = np.iinfo(np.int32).max


class MPCCClusterer(
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    ClusterMixin,
    CallbackSupportMixin,
    BaseEstimator,
):
    """Deep generative clustering by MPCC, Matching Priors and Conditionals for Clustering.

    A generative adversarial network whose latent prior is a learnable mixture of Gaussians, one
    component for each cluster, with an encoder that shares the discriminator's first layers [1]_. The
    cluster of a sample is the mixture's most probable component at the sample's code.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters, K in the paper.
    preset : str, default="auto"
        A row of `skmpcc.presets.PRESETS`, which gives every parameter below that is None. "auto"
        chooses by the shape of the input and the number of clusters. "mnist", "omniglot",
        "fashion_mnist", "cifar10" and "cifar20" are the paper's settings. A preset for images on
        a table gives perceptrons of its sizes and rates, with a warning; one for vectors on images
        flattens them.
    image_shape : tuple of int, default=None
        (height, width), (height, width, channels) or (channels, height, width) of images that come
        as rows, or whose layout may be read in two ways.
    latent_dim : int, default=None
        Dimensions of the code z, J in the paper.
    conditioning : {"split", "shared", "embedding"}, default=None
        How the generator gets z and y. "embedding": z in the first layer, an embedding of y in each
        batch-norm. "shared": all of z and a shared embedding of y everywhere. "split": a chunk of z
        for each place, beside that embedding.
    width : int, default=None
        Hidden units of vector networks; channels of image networks, 4C in the paper.
    n_layers : int, default=None
        Hidden layers of vector networks.
    generator_spectral_norm, encoder_spectral_norm : bool, default=None
        Spectral normalisation of the generator, and of the encoder's own layers. The discriminator and
        the layers that it shares are always normalised.
    upsampling : {"bilinear", "nearest"}, default=None
        Of the image generator: bilinear in the paper, nearest in its authors' code.
    sharing : {"joint", "discriminator", "none"}, default=None
        Layers that encoder and discriminator share: updated by both, by the discriminator alone (as
        in AIM [2]_), or not shared.
    max_iter : int, default=None
        At most so many iterations, each of `discriminator_steps` + 1 + `encoder_steps` updates.
    batch_size : int, default=None
        At most; data of fewer samples make smaller batches.
    discriminator_steps, encoder_steps : int, default=None
        Updates in each iteration.
    learning_rate : float, default=None
        Of generator, discriminator and encoder (eta).
    prior_learning_rate : float, default=None
        Of the mixture (eta_p). It has to outrun the networks: clusters must part before the
        generator fits the data.
    generator_prior_rate : {"prior", "networks"}, default=None
        The mixture's rate in the generator's update: eta_p as in the authors' code, or eta as in the
        paper.
    prior_latent_gradient : bool, default=None
        Whether the first term of Loss II reaches the mixture through z, as in the authors' code. It
        is what brings the standard deviations down.
    latent_weight : float or "dimension", default=None
        Weight of that term; "dimension" is one over the number of inputs.
    prior_entropy_weight : float, default=None
        Weight of Loss III (lambda_p).
    min_std : float, default=None
        Floor of the components' standard deviations.
    std_floor : {"additive", "threshold"}, default=None
        Whether the floor is added to a free deviation or cuts it off.
    initial_log_variance : float, default=None
        Where the free part of the components' variances starts, in logarithm.
    input_noise : float, default=None
        Gaussian noise on what discriminator and encoder read in training, in units of Scott's
        bandwidth of the data, against memorising few samples.
    init_params : {"neighbors", "views", "kmeans", "random"}, default=None
        A first clustering that `fit` finds by itself, without labels, guides the first iterations, by
        the paper's variant for known labels; after them the training is free of it. "neighbors":
        clusters of any shape, in which nearest neighbours agree, found by small classifiers. "views",
        of images: clusters that do not change when an image is a little moved, turned, scaled and
        slanted. "kmeans": KMeans on the scaled data. "random": the paper's start, without a guide.
    init_iter : int, default=None
        Iterations that are guided.
    n_neighbors : int, default=None
        Nearest neighbours of each sample, by Euclidean distance of the scaled data, that
        `init_params="neighbors"` and `consistency_weight` look at; fewer for small clusters. Of
        more than 20,000 samples, as many drawn at random are looked at.
    consistency : {"neighbors", "views"}, default=None
        The pairs of real samples that are to share their cluster: a sample and one of its nearest
        neighbours, or an image and its deformed view, as in `init_params`.
    consistency_weight : float, default=None
        Weight of the loss by which they are, in the step that updates encoder and mixture. 0 in the
        paper.
    weights : {"auto", "uniform", "learned"}, default=None
        The mixture's weights. "uniform": all 1 / n_clusters, as in the paper. "learned": following the
        clusters' shares of the data, for clusters of unequal sizes. "auto": learned where those of the
        first clustering (`init_params`) are clearly unequal.
    tol : float, default=None
        The fit is over when the memberships have settled: when, by the averaged encoder, less than
        this share of them moves from one entry of `history_` to the next ("change"), in
        `n_iter_no_change` entries in a row. 0 goes on to `max_iter`.
    n_iter_no_change : int, default=None
        See `tol`.
    reseed : bool, default=None
        Whether components that are lost during the training, for want of members or because another
        one has the same, are moved to samples that the others explain worst.
    learning_rate_decay : float, default=None
        Share of the training, at its end, in which all rates fall linearly to zero.
    ema_decay : float, default=None
        Of the moving averages of generator and encoder that are used after training.
    ema_start : int, default=None
        Iteration at which the averages begin.
    precision : {"auto", "bfloat16", "tf32", "float32"}, default=None
        Of the products in the hidden layers during training. "auto": bfloat16 on a CPU or GPU that
        multiplies in it by itself, else float32. "tf32": CUDA's TF32, on a CPU float32. Parameters,
        updates and the fitted model are not concerned.
    compile : bool, default=None
        Whether networks go through `torch.compile`, which needs a compiler and up to a minute. No
        faster than without on the CPUs that were measured; False in all presets.
    standing_passes : int, default=None
        Batches from which the generator's batch-norm statistics are collected after training; 0
        keeps the training's moving averages.
    n_init : int, default=1
        Initializations; the one of the highest `score` on the training data is kept. Not with
        `warm_start`, once fitted.
    n_jobs : int, default=None
        Processes that run them side by side, with the cores' threads divided among them. None is 1
        unless in a `joblib.parallel_backend` context. Side by side, callbacks hear of whole
        initializations only.
    device : str or torch.device, default="auto"
        "auto" (CUDA if there is, else the CPU), "cpu", "cuda" or "cuda:1". Where the device of the
        fit is missing later, after unpickling elsewhere, the CPU serves.
    random_state : int, RandomState instance or None, default=None
        Initial parameters, batches and draws. With an int, fits on the same CPU are identical and
        every call of `sample` gives the same samples. None is a new seed each time; numpy's and
        torch's global states are neither used nor changed.
    verbose : int, default=0
        1 prints the iteration at every entry of `history_`, 2 its time and losses too.
    warm_start : bool, default=False
        Whether `fit` goes on with the networks and the mixture of the last fit. Optimizers start
        afresh, the scaling of the data stays.

    Attributes
    ----------
    labels_ : ndarray of shape (n_samples,)
        Cluster of each training sample, equal to `predict(X)`.
    means_ : ndarray of shape (n_clusters, latent_dim)
        Of the mixture's components. Those to which no training sample belongs come last.
    covariances_ : ndarray of shape (n_clusters, latent_dim)
        Diagonals of their covariance matrices.
    weights_ : ndarray of shape (n_clusters,)
        Of the components, all 1 / n_clusters unless learned.
    cluster_centers_ : ndarray of shape (n_clusters, ...)
        The decoded means, in the shape and units of the data.
    n_iter_ : int
        Iterations of the last fit.
    n_features_in_ : int
        Values in each sample: height x width x channels for images.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Defined if X has feature names that are all strings.
    preset_ : str
        Name of the preset that was used.
    history_ : dict of ndarray
        "iteration"; the losses "discriminator" and "generator" (Loss I), "latent" and "cluster" (Loss
        II), "prior_entropy" (Loss III) and, if weighted, "consistency", each of the last step of
        its phase; "mean_std" and "mean_norm", the averages of the components' standard deviations
        and of the norms of their means; "change", the share of memberships that moved since the
        entry before. An entry every hundredth of `max_iter`, rounded up to
        whole iterations.

    See Also
    --------
    sklearn.mixture.GaussianMixture : A mixture in the data's own space.
    sklearn.cluster.KMeans : Much faster; clusters are cells around centres.

    References
    ----------
    .. [1] N. Astorga, P. Huijse, P. Protopapas, P. Estevez, "MPCC: Matching Priors and Conditionals
       for Clustering", ECCV 2020.
    .. [2] H. Li, Y. Wang, C. Chen, J. Gao, "AIM: Adversarial Inference by Matching Priors and
       Conditionals", 2019.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skmpcc import MPCCClusterer
    >>> X, y = make_blobs(200, centers=[[-5, 0], [5, 0], [0, 9]], random_state=0)
    >>> clusterer = MPCCClusterer(n_clusters=3, max_iter=300, width=32, random_state=0).fit(X)
    >>> clusterer.predict(X[:5]).shape
    (5,)
    >>> clusterer.transform(X).shape
    (200, 24)
    >>> new, cluster = clusterer.sample(4, cluster=1)
    >>> new.shape
    (4, 2)
    """

    _parameter_constraints: ClassVar[dict] = {
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "preset": [StrOptions({"auto", *PRESETS})],
        "image_shape": [tuple, list, None],
        "latent_dim": _COUNT,
        "conditioning": [StrOptions(set(CONDITIONINGS)), None],
        "width": [Interval(Integral, 2, None, closed="left"), None],
        "n_layers": _COUNT,
        "generator_spectral_norm": ["boolean", None],
        "encoder_spectral_norm": ["boolean", None],
        "upsampling": [StrOptions({"bilinear", "nearest"}), None],
        "sharing": [StrOptions({"joint", "discriminator", "none"}), None],
        "max_iter": _COUNT,
        "batch_size": [Interval(Integral, 2, None, closed="left"), None],
        "discriminator_steps": _COUNT,
        "encoder_steps": _COUNT,
        "learning_rate": _POSITIVE,
        "prior_learning_rate": _POSITIVE,
        "generator_prior_rate": [StrOptions({"prior", "networks"}), None],
        "prior_latent_gradient": ["boolean", None],
        "latent_weight": [*_NOT_NEGATIVE, StrOptions({"dimension"})],
        "prior_entropy_weight": _NOT_NEGATIVE,
        "min_std": _NOT_NEGATIVE,
        "std_floor": [StrOptions({"additive", "threshold"}), None],
        "initial_log_variance": [Interval(Real, None, None, closed="neither"), None],
        "input_noise": _NOT_NEGATIVE,
        "init_params": [StrOptions({"neighbors", "views", "kmeans", "random"}), None],
        "init_iter": _COUNT_OR_ZERO,
        "n_neighbors": _COUNT,
        "consistency": [StrOptions({"neighbors", "views"}), None],
        "consistency_weight": _NOT_NEGATIVE,
        "weights": [StrOptions({"auto", "uniform", "learned"}), None],
        "tol": _NOT_NEGATIVE,
        "n_iter_no_change": _COUNT,
        "reseed": ["boolean", None],
        "learning_rate_decay": [Interval(Real, 0, 1, closed="both"), None],
        "ema_decay": [Interval(Real, 0, 1, closed="left"), None],
        "ema_start": _COUNT_OR_ZERO,
        "precision": [StrOptions({"auto", "bfloat16", "tf32", "float32"}), None],
        "compile": ["boolean", None],
        "standing_passes": _COUNT_OR_ZERO,
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [Integral, None],
        "device": [str, torch.device],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
    }

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        preset: str = "auto",
        image_shape: tuple[int, ...] | None = None,
        latent_dim: int | None = None,
        conditioning: str | None = None,
        width: int | None = None,
        n_layers: int | None = None,
        generator_spectral_norm: bool | None = None,
        encoder_spectral_norm: bool | None = None,
        upsampling: str | None = None,
        sharing: str | None = None,
        max_iter: int | None = None,
        batch_size: int | None = None,
        discriminator_steps: int | None = None,
        encoder_steps: int | None = None,
        learning_rate: float | None = None,
        prior_learning_rate: float | None = None,
        generator_prior_rate: str | None = None,
        prior_latent_gradient: bool | None = None,
        latent_weight: float | str | None = None,
        prior_entropy_weight: float | None = None,
        min_std: float | None = None,
        std_floor: str | None = None,
        initial_log_variance: float | None = None,
        input_noise: float | None = None,
        init_params: str | None = None,
        init_iter: int | None = None,
        n_neighbors: int | None = None,
        consistency: str | None = None,
        consistency_weight: float | None = None,
        weights: str | None = None,
        tol: float | None = None,
        n_iter_no_change: int | None = None,
        reseed: bool | None = None,
        learning_rate_decay: float | None = None,
        ema_decay: float | None = None,
        ema_start: int | None = None,
        precision: str | None = None,
        compile: bool | None = None,
        standing_passes: int | None = None,
        n_init: int = 1,
        n_jobs: int | None = None,
        device: str | torch.device = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
        warm_start: bool = False,
    ) -> None:
        self.n_clusters = n_clusters
        self.preset = preset
        self.image_shape = image_shape
        self.latent_dim = latent_dim
        self.conditioning = conditioning
        self.width = width
        self.n_layers = n_layers
        self.generator_spectral_norm = generator_spectral_norm
        self.encoder_spectral_norm = encoder_spectral_norm
        self.upsampling = upsampling
        self.sharing = sharing
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.discriminator_steps = discriminator_steps
        self.encoder_steps = encoder_steps
        self.learning_rate = learning_rate
        self.prior_learning_rate = prior_learning_rate
        self.generator_prior_rate = generator_prior_rate
        self.prior_latent_gradient = prior_latent_gradient
        self.latent_weight = latent_weight
        self.prior_entropy_weight = prior_entropy_weight
        self.min_std = min_std
        self.std_floor = std_floor
        self.initial_log_variance = initial_log_variance
        self.input_noise = input_noise
        self.init_params = init_params
        self.init_iter = init_iter
        self.n_neighbors = n_neighbors
        self.consistency = consistency
        self.consistency_weight = consistency_weight
        self.weights = weights
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.reseed = reseed
        self.learning_rate_decay = learning_rate_decay
        self.ema_decay = ema_decay
        self.ema_start = ema_start
        self.precision = precision
        self.compile = compile
        self.standing_passes = standing_passes
        self.n_init = n_init
        self.n_jobs = n_jobs
        self.device = device
        self.random_state = random_state
        self.verbose = verbose
        self.warm_start = warm_start

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Learn the clusters of X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or images
            Images are (n_samples, height, width), (n_samples, channels, height, width) or
            (n_samples, height, width, channels), or rows beside `image_shape`. Any real dtype; also
            lists, data frames, torch tensors and memory maps.
        y : Ignored
            Not used by the training. Scoring callbacks are handed it.

        Returns
        -------
        self : MPCCClusterer

        Raises
        ------
        ValueError, TypeError
            The parameters or the data cannot be used; before any training.
        FloatingPointError
            The training diverged from the beginning.
        RuntimeError
            `compile` is set and torch finds no compiler; before any training.

        Notes
        -----
        After an exception or an interruption the estimator is as it was before the call.
        """
        # Validation sets attributes: on this copy, so that self changes at the very end or not at all.
        shadow = copy.copy(self)
        X = shadow._check_X(X, reset=True)
        if len(X) < self.n_clusters:
            raise ValueError(
                f"n_samples={len(X)} should be >= n_clusters={self.n_clusters}: every cluster needs "
                "a sample."
            )
        device = resolve_device(self.device)
        # As in GaussianMixture, a fit that goes on has nothing to choose among.
        n_init = 1 if self._goes_on() else self.n_init
        seeds = _random_state(self.random_state).randint(_MAX_SEED, size=(n_init, 4)).tolist()
        preset, data_format, model = self._starting_point(X, seeds[0][0])
        if preset.compile:
            require_compiler(device)
        data = data_format.encode_all(X)
        recipe = preset.part(Recipe).adapted_to(data)

        def fitted_attributes(
            model: MPCCModel, history: dict[str, NDArray], seed: int
        ) -> dict[str, Any]:
            finish(model, recipe, _generator(seed, device))
            return {
                **_attributes_of(FittedModel(model, data_format), X),
                **{name: vars(shadow)[name] for name in _FROM_VALIDATION if name in vars(shadow)},
                "preset_": preset.name,
                "history_": history,
                "n_iter_": int(history["iteration"][-1]),
            }

        monitor = FitMonitor(self, X, y, recipe.max_iter, interval_of(recipe.max_iter), n_init)
        guided = not self._goes_on()
        scorer = Scorer(X, data_format, self.n_clusters) if n_init > 1 else None
        best: tuple[Outcome, dict[str, Any]] | None = None
        best_rank, error = (False, -math.inf), None
        for index, run in enumerate(self._runs(model, recipe, data, seeds, device, guided)):
            standing_seed = seeds[index][2]
            # Callbacks see copies: standing statistics and renumbering are not for a running training.
            watch = monitor.initialization(
                index,
                lambda history, run=run, seed=standing_seed: fitted_attributes(
                    copy.deepcopy(run.model).to(device), history, seed
                ),
            )
            try:
                outcome = run.finish(watch)
            except DivergedError as diverged:
                error = diverged
                continue
            fitted = fitted_attributes(run.model.to(device), outcome.history, standing_seed)
            watch.end(outcome.history)
            score = 0.0 if scorer is None else scorer(fitted["_fitted"], fitted["labels_"])
            if best is None or (outcome.failure is None, score) > best_rank:
                best, best_rank = (outcome, fitted), (outcome.failure is None, score)
        if best is None:
            raise error
        outcome, fitted = best
        for name in _FROM_VALIDATION:
            vars(self).pop(name, None)
        vars(self).update(fitted)
        self._warn(outcome)
        monitor.end()
        return self

    def _warn(self, outcome: Outcome) -> None:
        """Say what is not as it should be with the fit."""
        n_empty = self.n_clusters - len(np.unique(self.labels_))
        texts = []
        if outcome.failure is not None:
            texts.append(
                f"The training could not go on after iteration {self.n_iter_}: {outcome.failure}, "
                "also at lower rates. The state before is kept. Lower learning_rate or "
                "prior_learning_rate."
            )
        elif not outcome.settled:
            texts.append(
                f"Memberships had not settled after max_iter={self.n_iter_} iterations: in the last "
                f"entry of history_ a share of {outcome.history['change'][-1]:.2g} moved. Raise "
                "max_iter or tol."
            )
        if n_empty:
            texts.append(
                f"{n_empty} of n_clusters={self.n_clusters} clusters have no sample; they are "
                "numbered last. Ask for fewer clusters or more iterations."
            )
        for text in texts:
            # to the caller of `fit`, past scikit-learn's wrapper
            warnings.warn(text, ConvergenceWarning, stacklevel=4)

    def _runs(
        self,
        model: MPCCModel,
        recipe: Recipe,
        data: torch.Tensor,
        seeds: list[list[int]],
        device: torch.device,
        guided: bool,
    ) -> Iterator["Run"]:
        """The initializations, one after the other or by joblib; the first has `model`."""
        runs = (
            Run(
                model if index == 0 else model.like(seed=model_seed),
                recipe,
                data,
                device,
                training_seed,
                start_seed,
                guided,
            )
            for index, (model_seed, training_seed, _, start_seed) in enumerate(seeds)
        )
        if len(seeds) == 1 or effective_n_jobs(self.n_jobs) == 1:
            return runs
        # Processes of their own, that share the cores: joblib divides the threads among them.
        parallel = Parallel(n_jobs=self.n_jobs, return_as="generator")
        return parallel(delayed(finished)(run) for run in runs)

    def _starting_point(self, X: NDArray, seed: int) -> tuple[Preset, InputFormat, MPCCModel]:
        """Settings, data format and the model to train: a new one, or with warm_start the last."""
        layout = self._layout(X)
        if self.preset == "auto":
            preset = choose(layout.image, math.prod(layout.shape), self.n_clusters)
        else:
            preset = PRESETS[self.preset]
        if preset.kind == "vector":
            layout = layout.flattened()
        elif layout.image is None:
            warnings.warn(
                f"preset={preset.name!r} is meant for images, but X is a table: perceptrons with "
                "its settings are used. Set image_shape if the rows are images.",
                UserWarning,
                stacklevel=3,
            )
        preset = preset.overridden(**{name: getattr(self, name) for name in OVERRIDABLE})
        if layout.image is None:
            preset = self._without_views(preset)
        settings = preset.part(NetworkSettings)
        if not self._goes_on():
            data_format = InputFormat.from_data(X, layout)
            model = MPCCModel(settings, data_format.tensor_shape, int(self.n_clusters), seed)
            return preset, data_format, model
        last = self._fitted
        wanted = (layout, settings, self.n_clusters)
        found = (last.format.layout, last.model.settings, last.model.n_clusters)
        if wanted != found:
            raise ValueError(
                "warm_start=True goes on with the last fit's networks, which do not fit X's shape "
                f"or the parameters: {wanted} instead of {found}."
            )
        return preset, last.format, copy.deepcopy(last.model)

    def _without_views(self, preset: Preset) -> Preset:
        """The preset for vectors, of which there are no views; an error if these were asked for."""
        names = [name for name in ("init_params", "consistency") if getattr(preset, name) == "views"]
        for name in names:
            if getattr(self, name) is not None:
                raise ValueError(
                    f"{name}='views' needs images, but X is used as a table. Set image_shape if its "
                    "rows are images."
                )
        return preset.overridden(**dict.fromkeys(names, "neighbors"))

    def _goes_on(self) -> bool:
        return self.warm_start and hasattr(self, "_fitted")

    def _layout(self, X: NDArray) -> Layout:
        return Layout.of(X.shape[1:], self.image_shape)

    def _check_X(self, X: Any, *, reset: bool = False) -> NDArray:
        """X as an array; with reset, what `fit` has to know of it is set on self."""
        X = as_array(X)
        if reset:
            X = validate_data(self, X, allow_nd=True, ensure_min_samples=2)
            self.n_features_in_ = math.prod(X.shape[1:])
        elif len(self._fitted.format.layout.shape) == 1:
            X = validate_data(self, X, reset=False)
        else:
            X = check_array(X, allow_nd=True, estimator=self, input_name="X")
            wanted = self._fitted.format.layout.shape
            if X.shape[1:] != wanted:
                raise ValueError(
                    f"X has samples of shape {X.shape[1:]}, but {type(self).__name__} was fitted on "
                    f"samples of shape {wanted}."
                )
        if X.dtype.kind not in "buif":
            raise ValueError(f"X must hold real numbers, got an array of dtype {X.dtype}.")
        return X

    def _ready(self) -> FittedModel:
        check_is_fitted(self)
        return self._fitted.on(inference_device(self.device))

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """The most probable cluster of each sample: argmax_k q(y = k | z) at the encoder's mean z.

        Parameters
        ----------
        X : array-like
            Samples of the shape that `fit` saw.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
        """
        return self._ready().labels(self._check_X(X))

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Memberships q(y | z) at the encoder's mean z (equation 9 of the paper).

        Parameters
        ----------
        X : array-like
            Samples of the shape that `fit` saw.

        Returns
        -------
        memberships : ndarray of shape (n_samples, n_clusters)
            Rows sum to one.
        """
        return self._ready().memberships(self._check_X(X))

    def score_samples(self, X: ArrayLike) -> NDArray[np.float64]:
        """Log-density of each sample's code under the mixture prior, log p(z).

        Parameters
        ----------
        X : array-like
            Samples of the shape that `fit` saw.

        Returns
        -------
        log_density : ndarray of shape (n_samples,)
            In nats, in the latent space: not comparable between different `latent_dim`.
        """
        return self._ready().log_density(self._check_X(X))

    def score(self, X: ArrayLike, y: Any = None) -> float:
        """How much a sample's cluster tells of its neighbours', or an image's of its deformed views'.

        The mutual information of the clusters of pairs: of a row and each of its nearest neighbours; of
        an image and the same a little moved, turned, scaled and slanted. By it runs are told apart
        without labels: by `n_init`, and by a grid search over parameters (docs/quality.md). It cannot
        choose `n_clusters`, with which it tends to grow.

        Parameters
        ----------
        X : array-like
            Samples of the shape that `fit` saw, two at least; of more than 20,000, as many drawn at
            random are looked at. Neighbours are the 15 nearest among them, or fewer for small
            clusters, by Euclidean distance of the scaled data.
        y : Ignored

        Returns
        -------
        score : float
            In nats: the entropy of the clusters' sizes, at most log(n_clusters), less the uncertainty
            of the other's cluster when one's own is known. Not comparable between models of images
            and of rows.

        Raises
        ------
        ValueError
            There is one sample alone.
        """
        fitted = self._ready()
        X = self._check_X(X)
        if len(X) < 2:
            raise ValueError("score compares samples, but X has 1 sample; at least 2 are needed.")
        return Scorer(X, fitted.format, fitted.model.n_clusters)(fitted, fitted.labels(X))

    def transform(self, X: ArrayLike) -> NDArray:
        """The latent codes of X: the means of q(z | x).

        Parameters
        ----------
        X : array-like
            Samples of the shape that `fit` saw.

        Returns
        -------
        codes : ndarray of shape (n_samples, latent_dim)
            float32 if the fit saw float16 or float32, float64 otherwise.
        """
        return self._ready().codes(self._check_X(X))

    def inverse_transform(self, Z: ArrayLike, labels: ArrayLike | None = None) -> NDArray:
        """Decode latent codes: G(z, y).

        Parameters
        ----------
        Z : array-like of shape (n_samples, latent_dim)
        labels : array-like of int of shape (n_samples,), or int, default=None
            The clusters to decode in. By default the most probable of each code.

        Returns
        -------
        X : ndarray of shape (n_samples, ...)
            In the shape and units of the fitted data.

        Raises
        ------
        ValueError
            Z has another number of columns than there are latent dimensions, or a label is no cluster.
        """
        fitted = self._ready()
        Z = check_array(Z, dtype=np.float64, input_name="Z", estimator=self)
        if Z.shape[1] != self._n_features_out:
            raise ValueError(
                f"Z has {Z.shape[1]} columns, but the latent space has {self._n_features_out} "
                "dimensions."
            )
        if labels is None:
            labels = fitted.labels_of_codes(Z)
        else:
            if np.ndim(labels) == 0:
                labels = np.full(len(Z), labels)
            labels = column_or_1d(labels)
            if len(labels) != len(Z):
                raise ValueError(f"labels has {len(labels)} entries for {len(Z)} rows of Z.")
            if labels.dtype.kind not in "iu" or not np.all((labels >= 0) & (labels < len(self.means_))):
                raise ValueError(
                    f"labels must be integers from 0 to {len(self.means_) - 1}, got {labels!r}."
                )
        return fitted.decode(Z, labels)

    def reconstruct(self, X: ArrayLike) -> NDArray:
        """Encode and decode: G at each sample's code and most probable cluster.

        Parameters
        ----------
        X : array-like
            Samples of the shape that `fit` saw.

        Returns
        -------
        X : ndarray of shape (n_samples, ...)
            In the shape and units of the fitted data.
        """
        return self._ready().reconstructed(self._check_X(X))

    def sample(
        self, n_samples: int = 1, cluster: int | None = None
    ) -> tuple[NDArray, NDArray[np.int64]]:
        """New samples: y from the mixture's weights, z from its component, x = G(z, y).

        Parameters
        ----------
        n_samples : int, default=1
        cluster : int, default=None
            Draw from this cluster alone.

        Returns
        -------
        X : ndarray of shape (n_samples, ...)
            In the shape and units of the fitted data.
        y : ndarray of shape (n_samples,)
            The cluster of each sample, in rising order, as GaussianMixture gives them.

        Raises
        ------
        ValueError, TypeError
            `n_samples` is below 1, `cluster` is none of the clusters, or either is no integer.
        """
        fitted = self._ready()
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        random = _random_state(self.random_state)
        if cluster is None:
            counts = random.multinomial(n_samples, self.weights_)
            y = np.repeat(np.arange(len(counts)), counts)
        else:
            check_scalar(cluster, "cluster", Integral, min_val=0, max_val=len(self.means_) - 1)
            y = np.full(n_samples, cluster, dtype=np.int64)
        noise = random.standard_normal((n_samples, self._n_features_out))
        return fitted.decode(self.means_[y] + np.sqrt(self.covariances_[y]) * noise, y), y

    def sample_posterior(self, X: ArrayLike, n_samples: int = 1) -> NDArray:
        """Neighbours of each sample: decoded draws from q(z | x), as in AIM.

        Parameters
        ----------
        X : array-like
            Samples of the shape that `fit` saw.
        n_samples : int, default=1
            Draws for each sample; each is decoded in its own most probable cluster.

        Returns
        -------
        X : ndarray of shape (n, n_samples, ...)
            In the shape and units of the fitted data.
        """
        fitted = self._ready()
        X = self._check_X(X)
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        return fitted.drawn(X, n_samples, _random_state(self.random_state))

    @property
    def _n_features_out(self) -> int:
        return self.means_.shape[1]

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_fitted")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


_FROM_VALIDATION = ("n_features_in_", "feature_names_in_")


def _attributes_of(fitted: FittedModel, X: NDArray) -> dict[str, Any]:
    """Labels and the mixture; components without a sample are first renumbered to be the last."""
    n_clusters = fitted.model.n_clusters
    labels = fitted.labels(X)
    empty = np.bincount(labels, minlength=n_clusters) == 0
    if empty.any():
        order = np.argsort(empty, kind="stable")
        fitted.model.permute_clusters(torch.as_tensor(order, device=fitted.model.device))
        labels = np.argsort(order)[labels]
    prior = fitted.model.prior
    means = prior.means.detach().cpu().numpy().copy()
    return {
        "_fitted": fitted,
        "labels_": labels,
        "means_": means,
        "covariances_": prior.variances.detach().cpu().numpy().copy(),
        "weights_": prior.weights.cpu().numpy().copy(),
        "cluster_centers_": fitted.decode(means, np.arange(n_clusters)),
    }


def _generator(seed: int, device: torch.device) -> torch.Generator:
    return torch.Generator(device=device).manual_seed(seed)


def _random_state(random_state: Any) -> np.random.RandomState:
    """As check_random_state, but None draws fresh entropy and leaves numpy's global state alone."""
    return np.random.RandomState() if random_state is None else check_random_state(random_state)
