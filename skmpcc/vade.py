"""VaDEClusterer: variational deep embedding behind scikit-learn's interface."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from skmpcc.clusterer import DOC, MPCCClusterer, documented
from skmpcc.data.inputs import Layout
from skmpcc.presets import MixtureSettings, PresetFamily
from skmpcc.variational_presets import VARIATIONAL_FAMILY, VariationalPreset


class VaDEClusterer(MPCCClusterer):
    """Clusterer by VaDE, variational deep embedding, on the networks and pseudo-labels of MPCC.

    VaDE is a variational autoencoder whose prior is a learnable mixture of Gaussians [1]_. The cluster
    of a sample is the most probable component at its code, and new samples of each cluster can be
    drawn. It is the sibling of MPCC that has no game to lose: it encodes real samples where MPCC
    encodes generated ones. It is faster and reconstructs better.

    {as_mpcc}
    code_means_ : ndarray of shape (n_clusters, latent_dim)
        Means of the codes of each cluster's training samples, draws from q(z | x).
    code_covariances_ : ndarray of shape (n_clusters, latent_dim, latent_dim)
        Their covariance matrices. `sample` draws by these moments instead of those of the mixture,
        which is diagonal and has to tell clusters apart as well.

    See Also
    --------
    MPCCClusterer : By an adversarial game: better samples, in more time.
    VAE : The same with one component, without clusters.
    sklearn.mixture.GaussianMixture : A mixture in the data's own space.

    Notes
    -----
    A method that is given a torch tensor returns tensors, on the device of that one. Fitted attributes
    and what `sample` draws are arrays.

    In the paper x is encoded by a pretrained autoencoder, on whose codes a GaussianMixture gives the
    first components. Here pseudo-labels teach the networks from the first iteration on. With
    `pseudo_labels=None` training starts at random.

    References
    ----------
    .. [1] Z. Jiang, Y. Zheng, H. Tan, B. Tang, H. Zhou, "Variational Deep Embedding: An Unsupervised
       and Generative Approach to Clustering", IJCAI 2017.
    .. [2] N. Astorga, "Modelos generativos-inferenciales: teoria y aplicaciones", thesis, Universidad
       de Chile, 2021, chapter 7.
    .. [3] C. Hennig, "Cluster-wise assessment of cluster stability", Computational Statistics & Data
       Analysis 52, 2007.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skmpcc import VaDEClusterer
    >>> X, y = make_blobs(200, centers=[[-5, 0], [5, 0], [0, 9]], random_state=0)
    >>> clusterer = VaDEClusterer(n_clusters=3, max_iter=50, width=32, random_state=0).fit(X)
    >>> clusterer.predict(X[:5]).shape
    (5,)
    >>> new, cluster = clusterer.sample(4, cluster=1)
    >>> new.shape
    (4, 2)
    """

    _family: ClassVar[PresetFamily] = VARIATIONAL_FAMILY
    _parameter_constraints: ClassVar[dict] = MPCCClusterer._parameter_constraints | {
        "preset": VARIATIONAL_FAMILY.constraints
    }
    _saved_attributes: ClassVar[dict] = MPCCClusterer._saved_attributes | {
        "code_means_": ("float64", "n_clusters", "latent_dim"),
        "code_covariances_": ("float64", "n_clusters", "latent_dim", "latent_dim"),
    }
    code_means_: NDArray[np.float64]
    code_covariances_: NDArray[np.float64]

    def _draw_from(self, y: NDArray[np.int64], rng: np.random.RandomState) -> NDArray:
        codes = np.empty((len(y), self._n_features_out))
        for k in np.unique(y):
            moments = self.code_means_[k], self.code_covariances_[k]
            codes[y == k] = rng.multivariate_normal(*moments, int(np.sum(y == k)), "ignore")
        return self._fitted_model().decode(codes, y, rng)

    def _layout_and_preset(self, X: NDArray) -> tuple[Layout, MixtureSettings]:
        layout, preset = super()._layout_and_preset(X)
        assert isinstance(preset, VariationalPreset)
        if preset.restriction != "posterior":
            raise ValueError(
                f"restriction={preset.restriction!r} compares codes with N(0, I), which is not the "
                "prior of VaDE; it is for VAE. Take 'posterior'."
            )
        return layout, preset


if VaDEClusterer.__doc__ is not None:  # it is None with python -OO
    _COMMON = DOC[DOC.index("Parameters\n") : DOC.index("    See Also")].rstrip()
    for _mpcc, _vade in {
        "skmpcc.presets.PRESETS": "skmpcc.variational_presets.VARIATIONAL_PRESETS",
        "skmpcc.presets.Preset`": "skmpcc.variational_presets.VariationalPreset`",
        "str or Preset": "str or VariationalPreset",
        "by the shape of the input and the number of clusters": "by the shape of X and its rows' number",
    }.items():
        _COMMON = _COMMON.replace(_mpcc, _vade)
    _LOSSES = """"reconstruction", the square error of what is decoded
        from draws, over the data's variance, and "divergence" of q(z | x) from the mixture"""
    VaDEClusterer.__doc__ = documented(
        VaDEClusterer.__doc__.replace("{as_mpcc}", _COMMON), VariationalPreset, _LOSSES, ""
    )
