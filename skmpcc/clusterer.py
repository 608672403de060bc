"""MPCCClusterer: MPCC behind scikit-learn's interface."""

import copy
import os
import warnings
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.callback import CallbackSupportMixin
from sklearn.utils import Tags, check_scalar

from skmpcc._base import CATEGORICAL_CONSTRAINTS, CATEGORICAL_DOC, MixtureMixin, tensor_for_tensor
from skmpcc._parameters import (
    PRESET_FIELDS,
    given_fields,
    layout_and_preset,
    warn_of_table,
    with_parameters,
)
from skmpcc._sklearn import Interval, StrOptions, fit_context
from skmpcc.data.inputs import Layout
from skmpcc.data.mixed import format_of
from skmpcc.data.outliers import MAX_SHARE, find_outliers, with_lost_columns
from skmpcc.data.rows import fitted_rows
from skmpcc.fitted.model import FittedModel
from skmpcc.fitted.saving import CLUSTERS, MIXTURE_ATTRIBUTES
from skmpcc.presets import MPCC_PRESETS, MixtureSettings, Preset, PresetFamily
from skmpcc.settings import (
    constraints_of,
    description,
    parameter_docs,
    settings_of,
)
from skmpcc.system.callers import stacklevel_of_user
from skmpcc.system.processes import Processes
from skmpcc.system.random import random_state_of
from skmpcc.training.fit import Fit, Seeds, from_validation, run_fit
from skmpcc.training.fit_data import FitData
from skmpcc.training.fit_mixture import mixture_fit
from skmpcc.training.number import suggested_number
from skmpcc.training.scoring import Scorer
from skmpcc.training.start import join_processes, open_checkpoint

# Clusters for which the preset is taken while their number is looked for.
_PROVISIONAL = 8


class MPCCClusterer(MixtureMixin, ClusterMixin, CallbackSupportMixin, BaseEstimator):
    """Deep generative clustering by MPCC, Matching Priors and Conditionals for Clustering.

    MPCC is a generative adversarial network whose latent prior is a learnable mixture of Gaussians,
    one component for each cluster, with an encoder that shares the discriminator's first layers [1]_.
    The cluster of a sample is the mixture's most probable component at the sample's code.

    Parameters
    ----------
    n_clusters : int or "auto", default=8
        Number of clusters, K in the paper. "auto" looks for it first, from 2 on: in tables by how well
        clusters of one half of the rows tell those of the other, in images by how much classifiers
        agree, which takes minutes; see `skmpcc.model_selection.suggest_n_clusters`.
    preset : str or Preset, default="auto"
        Settings of networks and training: a `skmpcc.presets.Preset`, or the name of one in
        `skmpcc.presets.PRESETS`. "auto" chooses by the shape of the input and the number of clusters.
        It gives the value of every parameter below that is None.{papers} A preset
        for images trains networks for tables of its sizes and rates on a table, with a warning; one for
        tables flattens images.
    preset_params : dict, default=None
        Values that replace the preset's, by the name of the field, such as `{"min_std": 0.3}`. The
        fields are listed under Other Parameters.
    image_shape : tuple of int, default=None
        (height, width), (height, width, channels) or (channels, height, width) of images that come as
        rows, or whose layout may be read in two ways.
    {categorical}
    scaling : {"auto", "columns", "none"}, default="auto"
        {scaling}
    pseudo_labels : {"auto", "search", "kmeans", "gaussian_mixture", "spanning_tree", "spectral", \
            "latent_classes", "augmentation", "scattering", "image_search"} or None, default="auto"
        {pseudo_labels}
    {settings}
    outlier_fraction : float or "auto", default=None
        Share of the rows that belong to no cluster, above 0 and at most 0.5: those that are farthest
        from their neighbours. They get the label -1, and the fit goes on without them. "auto" estimates
        the share, which may be 0, by how empty random places between the rows are. None gives every
        row a cluster.
    n_resamplings : int, default=0
        Random halves of the rows in which clusters are looked for again, by which `cluster_stability_`
        is measured. Each takes about as long as the search for pseudo-labels.
    labels_only : bool, default=False
        Whether labels and memberships alone are wanted. The training then ends as soon as they have
        settled, in a fraction of the time, before the generative half is trained: `sample`,
        `reconstruct` and `score_samples` are poor.
    n_init : int, default=1
        Number of initializations; the one with the highest `score` on the training data is kept. Only
        one is run when `warm_start` continues a fit.
    n_jobs : int, default=None
        Number of processes that run the initializations side by side, with the cores' threads divided
        among them. None is 1 unless in a `joblib.parallel_backend` context. Side by side, callbacks are
        called after whole initializations only.
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
    warm_start : bool, default=False
        Whether `fit` continues with the networks and the mixture of the last fit. Optimizers start
        afresh, the scaling of the data stays, and no pseudo-labels are used.
    checkpoint : str or path-like, default=None
        File that `fit` keeps its state in while it runs, about every ten seconds. A `fit` with the same
        data and parameters that finds the file there goes on from it, as if it had not been interrupted;
        other data or parameters are an error. The file is removed at the end of the fit.

    Other Parameters
    ----------------
    {preset_params}

    Attributes
    ----------
    labels_ : ndarray of shape (n_samples,)
        Cluster of each training sample, equal to `predict(X)`; -1 where it belongs to none, see
        `outlier_fraction`.
    pseudo_labels_ : ndarray of shape (n_samples,) or None
        Pseudo-labels that the networks learned from, numbered like `labels_`; None if there were none.
        -1 for rows that the fit did not see: those of weight 0, outliers, and of data larger than
        memory those that were not drawn.
    n_clusters_ : int
        Number of clusters.
    n_clusters_curve_ : dict of ndarray or None
        Where `n_clusters="auto"` looked for it, the numbers that were compared, "candidates"; how well
        each is found again, "scores", with "standard_errors"; and what each needs, "thresholds".
        `skmpcc.plotting.NClustersDisplay` draws it.
    cluster_stability_ : ndarray of shape (n_clusters,) or None
        With `n_resamplings`, the mean Jaccard index of each cluster with the most similar one of each
        half of the rows [3]_: 1 if all of them have it, and in doubt from about 0.6 downwards.
    means_ : ndarray of shape (n_clusters, latent_dim)
        Means of the mixture's components. Those to which no training sample belongs come last.
    covariances_ : ndarray of shape (n_clusters, latent_dim)
        Diagonals of the covariance matrices by which `sample` draws. With `std_floor="code"` memberships
        are taken with narrower ones.
    weights_ : ndarray of shape (n_clusters,)
        Weights of the components, all 1 / n_clusters unless learned.
    pseudo_label_choice_ : dict or None
        What found the pseudo-labels, "kind", and how sure the choice was: "margin", by how much their
        quality and the others' agreement with them are above those of the best other clusters that
        were found, and "agreement", their mean adjusted Rand index with all that were found. Both are
        None where there was nothing to choose. A margin below 0.1 and an agreement below 0.6 are next
        to a coin's toss, of which a fit warns.
    cluster_centers_ : ndarray of shape (n_clusters, ...)
        Decoded means, in the shape and units of the data.
    n_iter_ : int
        Number of iterations of the last fit.
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
        that `preset_params` may name. "pseudo_labels" is the candidate that was chosen, "weights" is
        "learned" or "uniform" where they were "auto", and "batch_size" at most the number of rows.
    history_ : dict of ndarray
        Course of the training, with an entry every hundredth of `max_iter`, but no more often than
        every 8 iterations where it is 100 or more: "iteration";
        {losses}; "mean_std" and
        "mean_norm", the averages of the components' standard deviations and of the norms of their means;
        "clipped_steps", the share of the networks' and the mixture's steps since the entry before that
        would have been longer than the learning rate and were shortened; a few in ten are usual;
        "change", the share of memberships that changed since the entry before; "generation_change", the
        change of "mean_std" or of the error of some reconstructions, see `generation_tol`.

    See Also
    --------
    sklearn.mixture.GaussianMixture : A mixture in the data's own space.
    sklearn.cluster.KMeans : Much faster; clusters are cells around centres.

    Notes
    -----
    A method that is given a torch tensor returns tensors, on the device of that one. Fitted attributes
    and what `sample` draws are arrays.

    References
    ----------
    .. [1] N. Astorga, P. Huijse, P. Protopapas, P. Estevez, "MPCC: Matching Priors and Conditionals
       for Clustering", ECCV 2020.
    .. [2] H. Li, Y. Wang, C. Chen, J. Gao, "AIM: Adversarial Inference by Matching Priors and
       Conditionals", 2019.
    .. [3] C. Hennig, "Cluster-wise assessment of cluster stability", Computational Statistics & Data
       Analysis 52, 2007.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skmpcc import MPCCClusterer
    >>> X, y = make_blobs(200, centers=[[-5, 0], [5, 0], [0, 9]], random_state=0)
    >>> clusterer = MPCCClusterer(n_clusters=3, max_iter=50, width=32, random_state=0).fit(X)
    >>> clusterer.predict(X[:5]).shape
    (5,)
    >>> clusterer.transform(X).shape
    (200, 24)
    >>> new, cluster = clusterer.sample(4, cluster=1)
    >>> new.shape
    (4, 2)
    """

    _family: ClassVar[PresetFamily] = MPCC_PRESETS
    _parameter_constraints: ClassVar[dict] = {
        "n_clusters": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "preset": MPCC_PRESETS.constraints,
        "preset_params": [dict, None],
        "image_shape": [tuple, list, None],
        "categorical_features": CATEGORICAL_CONSTRAINTS,
        "scaling": constraints_of(Preset)["scaling"],
        "pseudo_labels": [StrOptions({"auto"}), *constraints_of(Preset)["pseudo_labels"]],
        **{name: [*constraints_of(Preset)[name], None] for name in PRESET_FIELDS},
        "outlier_fraction": [Interval(Real, 0, MAX_SHARE, closed="right"), StrOptions({"auto"}), None],
        "n_resamplings": [Interval(Integral, 0, None, closed="left")],
        "labels_only": ["boolean"],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [Integral, None],
        "device": [str, torch.device],
        "distributed": [StrOptions({"auto"}), None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "checkpoint": [str, os.PathLike, None],
    }
    _saved_attributes: ClassVar[dict] = MIXTURE_ATTRIBUTES | {
        "pseudo_label_choice_": (None, dict),
        "n_clusters_": (None, int),
        "n_clusters_curve_": (None, dict),
        "cluster_stability_": (None, "float64", "n_clusters"),
        "labels_": (CLUSTERS, "n_samples"),
        "pseudo_labels_": (None, CLUSTERS, "n_samples"),
        "cluster_centers_": ("data", "n_clusters", "sample"),
    }

    def __init__(
        self,
        n_clusters: int | str = 8,
        *,
        preset: str | Preset = "auto",
        preset_params: dict[str, Any] | None = None,
        image_shape: tuple[int, ...] | None = None,
        categorical_features: Any = "from_dtype",
        scaling: str = "auto",
        pseudo_labels: str | None = "auto",
        weights: str | None = None,
        latent_dim: int | None = None,
        width: int | None = None,
        max_iter: int | None = None,
        tol: float | None = None,
        learning_rate: float | None = None,
        outlier_fraction: float | str | None = None,
        n_resamplings: int = 0,
        labels_only: bool = False,
        n_init: int = 1,
        n_jobs: int | None = None,
        device: str | torch.device = "auto",
        distributed: str | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
        warm_start: bool = False,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.preset = preset
        self.preset_params = preset_params
        self.image_shape = image_shape
        self.categorical_features = categorical_features
        self.scaling = scaling
        self.pseudo_labels = pseudo_labels
        self.weights = weights
        self.latent_dim = latent_dim
        self.width = width
        self.max_iter = max_iter
        self.tol = tol
        self.learning_rate = learning_rate
        self.outlier_fraction = outlier_fraction
        self.n_resamplings = n_resamplings
        self.labels_only = labels_only
        self.n_init = n_init
        self.n_jobs = n_jobs
        self.device = device
        self.distributed = distributed
        self.random_state = random_state
        self.verbose = verbose
        self.warm_start = warm_start
        self.checkpoint = checkpoint

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Learn the clusters of X.

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
            How much each row counts, 0 or more; None is 1 for each. Only ratios matter; see Notes.

        Returns
        -------
        self : MPCCClusterer

        Raises
        ------
        ValueError, TypeError
            The parameters or the data cannot be used, or the file at `checkpoint` is of another fit or
            damaged; before any training.
        FloatingPointError
            The training diverged from the beginning.

        Notes
        -----
        A row of weight 2 counts as two copies of it, one of weight 0 as if it were not there; the latter
        gets a label all the same. Only ratios matter. Ratios of small whole numbers are kept, others are
        rounded up or down at random; where that would make more than five copies of a row on average, as
        many rows are drawn as have a weight. Rows are copied in memory if there are weights.

        The order of rows plays no part: the fit sorts them by what they hold.

        After an exception or an interruption the estimator is as it was before the call, also where
        warnings are turned into errors. A file at `checkpoint` stays.
        """
        # Validation sets attributes: on this copy, so that self changes at the very end or not at all.
        validated = copy.copy(self)
        given, _ = validated._check_for_fit(X)
        processes = join_processes(validated)
        checkpoint = open_checkpoint(validated, processes, X=given, sample_weight=sample_weight)
        seen, rows = fitted_rows(given, sample_weight, validated.random_state)
        if self.n_clusters != "auto" and len(seen) < int(self.n_clusters):
            raise ValueError(
                f"n_samples={len(seen)} should be >= n_clusters={self.n_clusters}: every cluster needs "
                "a sample."
            )
        fit, data = validated._fit_of(seen, processes)
        del seen  # it is encoded
        run_fit(self, fit, data.with_rows(given, rows), y, checkpoint, self.n_jobs)
        return self

    @tensor_for_tensor
    def fit_predict(
        self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None
    ) -> NDArray[np.int64]:
        """Learn the clusters of X, and return them: `labels_` of `fit` with the same arguments.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or images
        y : Ignored
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        labels : ndarray or Tensor of shape (n_samples,)
        """
        # ClusterMixin's drops y, which callbacks are handed.
        return self.fit(X, y, sample_weight).labels_

    def _fit_of(self, X: NDArray, processes: Processes) -> tuple[Fit, FitData]:
        """Settings, model and encoded data: new ones, or with warm_start the last fit's."""
        last = self._fitted if self.warm_start and hasattr(self, "_fitted") else None
        # As in GaussianMixture, a fit that continues has nothing to choose among.
        n_init = 1 if last is not None else self.n_init
        seeds = Seeds.draw(random_state_of(self.random_state), n_init)
        attributes: dict[str, Any] = {"n_clusters_curve_": None}
        looked_at: tuple[FitData, Layout, MixtureSettings] | None = None
        if self.n_clusters == "auto":
            # self is the copy that `fit` works on.
            attributes, looked_at = self._choose_number(X, seeds[0].pseudo_labels, processes, last)
        layout, preset = self._layout_and_preset(X)
        if last is not None:
            self._check_same_networks(last, layout, preset)
            preset = preset.override({"pseudo_labels": None}, "warm_start")
        if looked_at is not None and _same_form(looked_at[1:], (layout, preset)):
            data = looked_at[0]
        else:
            data = self._data(X, layout, preset, seeds[0].pseudo_labels, last)
        n_clusters = int(self.n_clusters)
        if len(data.encoded) < n_clusters:
            raise ValueError(
                f"outlier_fraction={self.outlier_fraction} leaves {len(data.encoded)} samples, but "
                f"n_clusters={n_clusters} needs as many at least."
            )
        data.validated.update(attributes, n_clusters_=n_clusters)
        fit = mixture_fit(data, preset, n_clusters, seeds, processes, last)
        fit = fit.resampling(data, self.n_resamplings)
        return fit, fit.looking_at_neighbors(data)

    def _choose_number(
        self, X: NDArray, seed: int, processes: Processes, last: FittedModel | None
    ) -> tuple[dict[str, Any], tuple[FitData, Layout, MixtureSettings] | None]:
        """Set the number of clusters by X; return the attribute that tells how, and what was looked at.

        That is the data, their layout and the settings; None if the last fit's number is kept.
        """
        if last is not None:
            self.n_clusters = last.model.n_clusters
            return {"n_clusters_curve_": getattr(self, "n_clusters_curve_", None)}, None
        # The preset gives what the data look like, which no number changes.
        self.n_clusters = _PROVISIONAL
        with warnings.catch_warnings():
            # The fit warns of the same.
            warnings.simplefilter("ignore", UserWarning)
            layout, preset = self._layout_and_preset(X)
        data = self._data(X, layout, preset, seed, None)
        found = processes.run_on_first(
            lambda: suggested_number(data, preset.pseudo_labels, processes.device, seed, self.n_jobs)
        )
        self.n_clusters = found.n_clusters
        if found.is_guess:
            warnings.warn(
                f"n_clusters='auto' takes {found.n_clusters}, which is a guess: for no number are "
                "clusters found again well enough in other samples. See n_clusters_curve_.",
                UserWarning,
                stacklevel=stacklevel_of_user(),
            )
        names = ("candidates", "scores", "standard_errors", "thresholds")
        curve = {name: getattr(found, name) for name in names}
        return {"n_clusters_curve_": curve}, (data, layout, preset)

    def _data_alone(self, X: Any, seed: int) -> tuple[FitData, MixtureSettings]:
        """Return X as a fit would see it, and the settings that look at it; nothing is set."""
        validated = copy.copy(self)
        given, _ = validated._check_for_fit(X)
        seen, _ = fitted_rows(given, None, validated.random_state)
        layout, preset = validated._layout_and_preset(seen)
        return validated._data(seen, layout, preset, seed, None), preset

    def _data(
        self,
        X: NDArray,
        layout: Layout,
        preset: MixtureSettings,
        seed: int,
        last: FittedModel | None,
    ) -> FitData:
        """Encode X, without outliers if they are to be found; they do not scale it either."""

        def encoded(rows: NDArray) -> FitData:
            if last is not None:
                return FitData.encode(X, last.format, from_validation(self), last=last)
            scaled = format_of(rows, layout, self._columns, preset.scaling, resizing=preset.resizing)
            return FitData.encode(X, scaled, from_validation(self))

        data = encoded(X)
        if self.outlier_fraction is None:
            return data
        found = find_outliers(data.judged, self.outlier_fraction, seed)
        far = data.row_map.to_given(found.astype(np.int64)) == 1
        if not far.any():
            return data
        rows = with_lost_columns(X[~far], X[far]) if layout.image is None else X[~far]
        return encoded(rows).without_new_gaps().without_outliers(far, seed)

    def _check_same_networks(self, last: FittedModel, layout: Layout, preset: MixtureSettings) -> None:
        wanted = {"n_clusters": int(self.n_clusters), "layout": layout} | vars(preset.network_settings())
        found = {"n_clusters": last.model.n_clusters, "layout": last.format.layout}
        found |= vars(last.model.settings)
        differ = [
            f"{name}={wanted[name]} instead of {found[name]}"
            for name in wanted
            if wanted[name] != found[name]
        ]
        if differ:
            raise ValueError(
                "warm_start=True continues with the last fit's networks, which do not fit X's shape "
                f"or the parameters: {', '.join(differ)}."
            )

    def _layout_and_preset(self, X: NDArray) -> tuple[Layout, MixtureSettings]:
        """Find where height, width and channels stand in X, and all settings of a fit on it."""
        layout, preset = layout_and_preset(
            X, self.preset, self.image_shape, int(self.n_clusters), self._family
        )
        warn_of_table(layout, preset)
        given = given_fields(self, PRESET_FIELDS)
        for name in ("scaling", "pseudo_labels"):
            if getattr(self, name) != "auto":
                given[name] = getattr(self, name)
        preset = with_parameters(
            preset,
            layout,
            given,
            self.preset_params,
            type(self).__name__,
            labels_only=self.labels_only,
        )
        if preset.pseudo_labels == "neighbors":
            raise ValueError(
                "pseudo_labels='neighbors' spreads known classes, for MPCCClassifier; take 'search'."
            )
        return layout, preset

    @tensor_for_tensor
    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """Predict the most probable cluster of each sample: argmax_k q(y = k | z) at its code z.

        After a fit with `outlier_fraction`, samples that are farther from those of the fit than the
        outliers' threshold get -1.

        Parameters
        ----------
        X : array-like
            Samples of the shape that `fit` saw.

        Returns
        -------
        labels : ndarray or Tensor of shape (n_samples,)
        """
        fitted, rows = self._fitted_model(), self._check_X(X)
        return np.where(fitted.outlying(rows), -1, fitted.labels(rows))

    @tensor_for_tensor
    def predict_proba(self, X: ArrayLike, top: int | None = None) -> Any:
        """Predict memberships q(y | z) at the encoder's mean z (equation 9 of the paper).

        Memberships of a table are as sure as candidates for pseudo-labels agreed with those that were
        chosen: the logarithms are divided by one number, which changes no label.

        Parameters
        ----------
        X : array-like
            Samples of the shape that `fit` saw.
        top : int, default=None
            Return only so many clusters of each sample, those of the highest memberships; all of them
            where there are fewer. None returns the memberships of all clusters. With many clusters this
            saves memory: an array of all memberships is never made.

        Returns
        -------
        memberships : ndarray or Tensor of shape (n_samples, n_clusters), or tuple
            Rows sum to one; those of samples that `predict` gives -1 are zero. With `top` it is
            (clusters, memberships), both of shape (n_samples, min(top, n_clusters)): numbers of clusters
            in the order of their memberships, the highest first and the lower number first of equal
            ones, and these memberships.

        Raises
        ------
        ValueError, TypeError
            `top` is below 1 or not an integer, or X does not have the shape that `fit` saw.

        Examples
        --------
        >>> from sklearn.datasets import make_blobs
        >>> from skmpcc import MPCCClusterer
        >>> X, _ = make_blobs(100, centers=3, random_state=0)
        >>> clusterer = MPCCClusterer(3, max_iter=10, width=16, tol=0.0, random_state=0).fit(X)
        >>> clusters, memberships = clusterer.predict_proba(X, top=2)
        >>> clusters.shape
        (100, 2)
        """
        fitted, rows = self._fitted_model(), self._check_X(X)
        if top is not None:
            check_scalar(top, "top", Integral, min_val=1)
            clusters, memberships = fitted.top_memberships(rows, int(top))
        else:
            memberships = fitted.memberships(rows)
        memberships[fitted.outlying(rows)] = 0.0
        return memberships if top is None else (clusters, memberships)

    def sample(
        self,
        n_samples: int = 1,
        cluster: int | None = None,
        conditions: Mapping[Any, Any] | None = None,
    ) -> tuple[Any, NDArray[np.int64]]:
        """Draw new samples: y from the mixture's weights, z from its component, x = G(z, y).

        Parameters
        ----------
        n_samples : int, default=1
        cluster : int, default=None
            Draw from this cluster alone.
        conditions : dict, default=None
            What columns of a table have to be, by name or, of arrays, by place: of categories a value
            or a list of values, of numbers a pair of least and largest, or a single one, which stands
            for what is nearer to it than a tenth of the column's standard deviation. Samples are drawn
            until so many fulfil all of them.

        Returns
        -------
        X : ndarray or frame of shape (n_samples, ...)
            In the shape and units of the fitted data; a frame where the fit saw one, with its dtypes.
        y : ndarray of shape (n_samples,)
            The cluster of each sample, in rising order, as GaussianMixture gives them.

        Raises
        ------
        ValueError, TypeError
            `n_samples` is below 1, `cluster` is not one of the clusters, or either is not an integer;
            a column or category of `conditions` is unknown, or next to no draw fulfils them.
        """
        self._fitted_model()
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        if cluster is not None:
            check_scalar(cluster, "cluster", Integral, min_val=0, max_val=len(self.means_) - 1)
        return self._sampled(n_samples, cluster, conditions)

    def _components_of(self, labels: NDArray) -> NDArray[np.int64]:
        if labels.dtype.kind not in "iu" or not np.all((labels >= 0) & (labels < len(self.means_))):
            raise ValueError(
                f"labels must be integers from 0 to {len(self.means_) - 1}, got {labels!r}."
            )
        return labels

    def score(self, X: ArrayLike, y: Any = None) -> float:
        """Label-free score: how good clusters look, the larger the better.

        Of tables it is the quality by which `fit` chooses pseudo-labels, of images the mutual
        information between the clusters of an image and of an augmented view of it, a little moved,
        turned, scaled and slanted. The score distinguishes better runs from worse ones without
        labels, for `n_init` and for a grid search over parameters. It cannot choose `n_clusters`: see
        `skmpcc.model_selection`.

        Parameters
        ----------
        X : array-like
            At least two samples of the shape that `fit` saw; of more than 70,000, as many drawn at
            random are looked at, and those that `predict` gives -1 are left aside. Neighbours are the
            `n_neighbors` nearest among them, or fewer for small clusters, by Euclidean distance of the
            scaled data.
        y : Ignored

        Returns
        -------
        score : float
            Of tables the sum of three terms, in nats: how little of a neighbour's cluster remains
            untold by one's own, how equal the clusters' sizes are, and how likely the samples are if
            each cluster is a Gaussian; docs/method.md has the formula. Of images mutual information in
            nats, at most log(n_clusters). Scores compare on the same samples, scaled alike, with the
            same `n_clusters` and `n_neighbors`.

        Raises
        ------
        ValueError
            X has one sample alone, or fewer than two that belong to a cluster.
        """
        fitted = self._fitted_model()
        rows, _ = fitted_rows(self._check_X(X), None, random_state=0)
        data = fitted.filled(fitted.format.encode_all(rows))
        data = data[torch.from_numpy(~fitted.outlying(data))]
        if len(data) < 2:
            of_clusters = "" if len(data) == len(rows) else " that belongs to a cluster"
            raise ValueError(
                f"score compares samples, but X has {len(data) or 'no'} sample{of_clusters}; at least 2 "
                "are needed."
            )
        scorer = Scorer(
            fitted.completed(data),
            fitted.n_neighbors,
            fitted.model.n_clusters,
            all_values=fitted.format.one_length,
        )
        return scorer(fitted, fitted.labels(data))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = tags.input_tags.allow_nan = tags.input_tags.categorical = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _same_form(one: tuple[Layout, MixtureSettings], other: tuple[Layout, MixtureSettings]) -> bool:
    """Whether data are encoded alike by two layouts and settings."""
    (first, by_first), (second, by_second) = one, other
    same_settings = by_first.scaling == by_second.scaling and by_first.resizing == by_second.resizing
    return first == second and same_settings


_NAMED = (*PRESET_FIELDS, "scaling", "pseudo_labels")


def documented(doc: str, preset_class: type, losses: str, papers: str) -> str:
    """Fill in the descriptions that a clusterer's docstring leaves to the declarations of settings."""
    others = [name for name in settings_of(preset_class) if name not in _NAMED]
    more = '"auto" is the preset\'s choice. Of tables, `labels_` are in the main the pseudo-labels.'
    of_scaling = 'What ran is in `settings_["scaling"]`.'
    return (
        doc.replace("{categorical}", CATEGORICAL_DOC)
        .replace("{pseudo_labels}", description(preset_class, "pseudo_labels", more))
        .replace("{scaling}", description(preset_class, "scaling", of_scaling))
        .replace("{settings}", parameter_docs(preset_class, PRESET_FIELDS, ", default=None"))
        .replace("{preset_params}", parameter_docs(preset_class, others))
        .replace("{losses}", losses)
        .replace("{papers}", papers)
    )


# As it is written, for clusterers that have the same parameters and attributes.
DOC = MPCCClusterer.__doc__ or ""  # it is None with python -OO
if DOC:
    _LOSSES = """the losses "discriminator" and "generator" (Loss I), "latent" and
        "cluster" (Loss II), "prior_entropy" (Loss III) and, if weighted, "reconstruction",
        "generated_cluster" and "consistency", each of the last step of its phase"""
    _PAPERS = """ "mnist", "omniglot", "fashion_mnist",
        "cifar10" and "cifar20" are the paper's settings."""
    MPCCClusterer.__doc__ = documented(DOC, Preset, _LOSSES, _PAPERS)
