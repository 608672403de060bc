"""Settings of the networks and of the training.

Default, constraint and description of every field are declared here and nowhere else: the estimator
validates by them, and its docstring and `docs/presets.md` are made from them.
"""

import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass, field, fields
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np

from skmpcc._sklearn import Interval, Options, StrOptions, validate_parameter_constraints


def setting(description: str, *constraints: Any, **default: Any) -> Any:
    """Declare a dataclass field with its description and scikit-learn's constraints; one has to hold."""
    return field(metadata={"description": description, "constraints": list(constraints)}, **default)


def _again(cls: type, name: str, **default: Any) -> Any:
    """Declare a field as a base class does, with another default."""
    (declared,) = (f for f in fields(cls) if f.name == name)
    return field(metadata=declared.metadata, **default)


_COUNT = Interval(Integral, 1, None, closed="left")
_COUNT_OR_ZERO = Interval(Integral, 0, None, closed="left")
_AT_LEAST_2 = Interval(Integral, 2, None, closed="left")
_POSITIVE = Interval(Real, 0, None, closed="neither")
_NOT_NEGATIVE = Interval(Real, 0, None, closed="left")
_SHARE = Interval(Real, 0, 1, closed="both")
# Pseudo-labels that look at images, not at neighbours among their values.
IMAGE_PSEUDO_LABELS = ("augmentation", "scattering", "image_search")


class Validated:
    """A dataclass whose values are checked against their fields' constraints, and made Python's own."""

    def __post_init__(self) -> None:
        check(type(self), vars(self), type(self).__name__)
        for name in settings_of(type(self)):
            value = getattr(self, name)
            # numpy's numbers, of a grid search say, overflow, and torch does not take them all.
            if isinstance(value, np.generic):
                object.__setattr__(self, name, value.item())


@dataclass(frozen=True, kw_only=True)
class NetworkSettings(Validated):
    """Settings that shape the networks and the prior."""

    latent_dim: int = setting("Dimensions of the code z, J in the paper.", _COUNT)
    conditioning: str = setting(
        'How the generator receives z and y. "embedding": z enters the first layer, and every '
        'batch-norm has an embedding of y. "shared": every place receives all of z and one shared'
        ' embedding of y. "split": every place receives a chunk of z of its own and that '
        "embedding.",
        StrOptions({"split", "shared", "embedding"}),
    )
    width: int = setting(
        "Hidden units of the networks for tables, channels of those for images (4C in the paper).",
        _AT_LEAST_2,
    )
    n_layers: int = setting("Hidden layers of the networks for tables.", _COUNT, default=3)
    generator_spectral_norm: bool = setting(
        "Whether the generator's weights are spectrally normalized.", "boolean", default=True
    )
    encoder_spectral_norm: bool = setting(
        "Whether the weights of the encoder's own layers are spectrally normalized.",
        "boolean",
        default=True,
    )
    discriminator_spectral_norm: bool = setting(
        "Whether the weights of the discriminator, and so of the layers that the encoder shares with "
        "it, are spectrally normalized.",
        "boolean",
        default=True,
    )
    patch_size: int = setting(
        "Side of the square patches that the networks for images take as single places of more "
        "channels, so that convolutions run on sides so many times shorter. 1, single pixels, in the "
        "paper. Images too small for such patches have smaller ones.",
        Options(Integral, {1, 2, 4}),
        default=1,
    )
    resizing: str = setting(
        "How images come to the sides that the networks work at, 4 times a power of two or so: "
        '"pad" repeats their borders, which loses nothing; "interpolate", as in the paper, is bilinear.',
        StrOptions({"pad", "interpolate"}),
        default="interpolate",
    )
    scaling: str = setting(
        'What columns of a table are brought to before anything else. "columns": to the same range, '
        'each by itself. "none": they keep their proportions, and all together get one scale, as it is '
        'with KMeans. "auto": "none" where columns plausibly share a scale, because their standard '
        "deviations differ by a factor of 10 at most, they are centred on zero, or rows have one length "
        "(a table that was standardised, coordinates, principal components, embeddings, pixels); "
        '"columns" for raw columns of plainly different units. Images have one scale.',
        StrOptions({"auto", "columns", "none"}),
        default="auto",
    )
    upsampling: str = setting(
        "Interpolation by which the image generator doubles the sides: bilinear in the paper, "
        "nearest in its authors' code.",
        StrOptions({"bilinear", "nearest"}),
        default="bilinear",
    )
    sharing: str = setting(
        'What becomes of the layers that encoder and discriminator share. "joint": both update '
        'them. "discriminator": only the discriminator does, as in AIM. "none": nothing is '
        "shared.",
        StrOptions({"joint", "discriminator", "none"}),
        default="joint",
    )
    min_std: float = setting("Floor of the components' standard deviations.", _NOT_NEGATIVE, default=0.5)
    std_floor: str = setting(
        'How the floor acts on a free standard deviation s. "additive": s + floor, everywhere. '
        '"threshold": the larger of both, everywhere (the paper). "code": three variances, as in the '
        "authors' code, (s + floor)^2 of samples, s^2 + floor^2 in memberships and s^2 in Loss III.",
        StrOptions({"additive", "threshold", "code"}),
        default="additive",
    )
    initial_log_variance: float = setting(
        "Initial logarithm of the free part of the components' variances.",
        Interval(Real, None, None, closed="neither"),
        default=1.0,
    )
    initial_bias: str = setting(
        'Initial biases: "zero", or those that torch draws by default, as in the authors\' code.',
        StrOptions({"zero", "torch"}),
        default="zero",
    )
    averaged_encoder: bool = setting(
        "Whether labels and codes come from the moving average of the encoder or, as in the authors' "
        "code, from the encoder itself.",
        "boolean",
        default=True,
    )


@dataclass(frozen=True, kw_only=True)
class AIMNetworkSettings(NetworkSettings):
    """Settings that shape AIM's networks, which are MPCC's of one component, or the AIM paper's."""

    conditioning: str = _again(NetworkSettings, "conditioning", default="embedding")
    sharing: str = _again(NetworkSettings, "sharing", default="discriminator")
    # The component is the standard normal.
    min_std: float = _again(NetworkSettings, "min_std", default=0.0)
    initial_log_variance: float = _again(NetworkSettings, "initial_log_variance", default=0.0)
    networks: str = setting(
        'Architecture of the networks. "general": the perceptrons and residual networks of MPCC, whose '
        'discriminator is spectrally normalized. "fourier": perceptrons that are not, and that read '
        "random Fourier features of codes and of rows, for data of few features that lie in small "
        'places. "table3" and "table4": the AIM paper\'s networks for MNIST, at 28x28, and for CIFAR-10 '
        "and CelebA, at 64x64.",
        StrOptions({"general", "fourier", "table3", "table4"}),
        default="general",
    )
    covariance: str = setting(
        'Covariance matrices of q(z | x). "diagonal": learned. "identity": fixed, which the paper '
        "calls AIM-.",
        StrOptions({"diagonal", "identity"}),
        default="diagonal",
    )


@dataclass(frozen=True, kw_only=True)
class LightCurveNetworkSettings(NetworkSettings):
    """Settings that shape the networks of LC-VaDE."""

    n_bands: int = setting("Bands of a curve.", _COUNT, default=1)
    n_features: int = setting(
        "Features, which are the last of the `latent_dim` codes.", _COUNT_OR_ZERO, default=0
    )
    n_points: int = setting(
        "Phases, in each band, to which the encoder interpolates a curve.", _AT_LEAST_2, default=32
    )
    n_inducing: int = setting(
        "Phases at which the decoder says where its Gaussian process passes.", _AT_LEAST_2, default=24
    )
    feature_std: float = setting(
        "Standard deviation of the codes of features, which have one over all curves.",
        _POSITIVE,
        default=0.1,
    )


@dataclass(frozen=True, kw_only=True)
class LoopSettings(Validated):
    """Settings of the training loop, of pseudo-labels and of the checks that any model is trained with.

    A model of one's own adds what its losses need in a subclass. `skmpcc.training.resolution.resolve`
    turns settings into what runs on given data, of the class `on_data`.
    """

    on_data: ClassVar[type["LoopSettingsOnData"]]

    max_iter: int = setting(
        "Maximum number of iterations, each of `discriminator_steps` + 1 + `encoder_steps` updates.",
        _COUNT,
    )
    batch_size: int = setting(
        "Samples in a batch. Data of fewer samples make smaller batches.", _AT_LEAST_2, default=50
    )
    learning_rate: float = setting(
        "Adam learning rate of generator, discriminator and encoder (eta in the paper).",
        _POSITIVE,
        default=2e-4,
    )
    learning_rate_decay: float = setting(
        "Share of the training, at its end, in which all learning rates fall linearly to zero.",
        _SHARE,
        default=0.0,
    )
    pseudo_labels: str | None = setting(
        "Clusters that `fit` finds by itself, without labels, and trains the networks with by the"
        ' paper\'s variant for known labels. "search": the best of those that the next four find, by a '
        "criterion that needs no labels, and in tables of categories those of the fifth. "
        '"kmeans": KMeans on the scaled data. "gaussian_mixture": a '
        'GaussianMixture. "spanning_tree": clusters cut from a minimum spanning tree, by the algorithm '
        'Genie or at its longest edges. "spectral": spectral clustering of graphs of neighbours. '
        '"latent_classes": latent class analysis, for '
        "tables of three columns or more, at least half of which are categories: of ten values at most, "
        'each in five rows on average. "augmentation", for images: small classifiers '
        "that say the same of an image and of random affine maps of it. "
        '"scattering", for images: what the finders of "search" find in wavelet features. '
        '"image_search", for images: the better of these two, by the criterion of "search". '
        '"neighbors", for known classes alone: these, spread along a graph of neighbours. '
        "None: no pseudo-labels, the "
        "paper's training from a random start.",
        StrOptions(
            {
                "search",
                "kmeans",
                "gaussian_mixture",
                "spectral",
                "spanning_tree",
                "neighbors",
                "latent_classes",
                *IMAGE_PSEUDO_LABELS,
            }
        ),
        None,
        default=None,
    )
    pseudo_label_share: float = setting(
        "Share of the training, from its beginning, in which pseudo-labels teach the networks.",
        _SHARE,
        default=1.0,
    )
    n_neighbors: int = setting(
        "Nearest neighbours of each sample, by Euclidean distance of the scaled data, that "
        "pseudo-labels, consistency and `score` look at; fewer where clusters are small. Of more "
        "than 70,000 samples, 70,000 drawn at random are looked at.",
        _COUNT,
        default=15,
    )
    consistency: str = setting(
        'Pairs of real samples that should share a cluster: "neighbors", a sample and one of its '
        'nearest neighbours, or "augmentation", an image and a random affine map of it.',
        StrOptions({"neighbors", "augmentation"}),
        default="neighbors",
    )
    consistency_weight: float = setting(
        "Weight of the consistency loss of these pairs, in the step that updates encoder and "
        "mixture; 0 in the paper.",
        _NOT_NEGATIVE,
        default=0.0,
    )
    weights: str = setting(
        'Weights of the mixture. "uniform": all 1 / n_clusters, as in the paper. "learned": they '
        'follow the clusters\' proportions in the data, for clusters of unequal sizes. "auto": '
        'learned where the pseudo-labels\' clusters are clearly unequal. "shares": fixed at '
        "the shares of the labels that teach the networks.",
        StrOptions({"auto", "uniform", "learned", "shares"}),
        default="uniform",
    )
    tol: float = setting(
        "Training stops when less than this share of the memberships changes from one entry of "
        "`history_` to the next, in `n_iter_no_change` entries in a row, and the generative half has "
        "settled, too (`generation_tol`). 0 trains for `max_iter` iterations.",
        _NOT_NEGATIVE,
        default=0.0,
    )
    generation_tol: float = setting(
        "Besides, unless `labels_only`, the components' mean standard deviation has to change by less "
        "than this share of itself, and the error of reconstructions by less than this share of the "
        "data's variance: in the mean of `n_iter_no_change` entries, from as many before.",
        _NOT_NEGATIVE,
        default=0.05,
    )
    n_iter_no_change: int = setting(
        "Entries of `history_` in a row below `tol` and `generation_tol` that stop the training.",
        _COUNT,
        default=10,
    )
    labels_only: bool = setting(
        "Whether the training may stop when the memberships have settled, before the generative half "
        "has, in a fraction of the time. Labels of tables are about as good, those of images gain "
        "less on the pseudo-labels; reconstructions and samples are poor.",
        "boolean",
        default=False,
    )
    labels_only_max_iter: int | None = setting(
        "Maximum number of iterations if `labels_only`; None is `max_iter`.",
        _COUNT,
        None,
        default=None,
    )
    labels_only_tol: float | None = setting(
        "The tolerance `tol` if `labels_only`; None is `tol` for fewer iterations.",
        _NOT_NEGATIVE,
        None,
        default=None,
    )
    reseed: bool = setting(
        "Whether components that are lost in training, because they have no members or share them"
        " with a larger one, move to samples that the others explain worst.",
        "boolean",
        default=False,
    )
    ema_decay: float | str = setting(
        "Decay of the exponential moving averages of generator and encoder, which serve after "
        'training. "auto" reaches back over about a fifth of the iterations so far, "late" over a '
        "twentieth.",
        Interval(Real, 0, 1, closed="left"),
        StrOptions({"auto", "late"}),
        default=0.9999,
    )
    ema_start: int = setting("Iteration at which the averages begin.", _COUNT_OR_ZERO, default=1000)
    precision: str = setting(
        'Precision of matrix products and convolutions of the hidden layers in training. "auto": '
        'bfloat16 on a CPU or GPU that multiplies in it natively, otherwise float32. "tf32": '
        "convolutions in TF32 on CUDA, otherwise float32. Parameters, updates, spectral norms, the "
        "mixture and the fitted model are not affected, nor by bfloat16 the networks' last layers.",
        StrOptions({"auto", "bfloat16", "tf32", "float32"}),
        default="float32",
    )
    input_noise: float = setting(
        "Gaussian noise on the samples that networks read in training, in units of Scott's bandwidth of "
        "the data, or less where neighbours are nearer, against memorizing small data sets.",
        _NOT_NEGATIVE,
        default=0.0,
    )
    standing_passes: int = setting(
        "Batches from which the generator's batch-norm statistics are collected after training; 0"
        " keeps the moving averages of the training.",
        _COUNT_OR_ZERO,
        default=16,
    )


@dataclass(frozen=True, kw_only=True)
class AdversarialSettings(LoopSettings):
    """Settings that trainings of generator, discriminator and encoder share."""

    latent_weight: float | str = setting(
        'Weight of the first term of Loss II. "dimension" is one over the number of inputs.',
        _NOT_NEGATIVE,
        StrOptions({"dimension"}),
        default="dimension",
    )


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(AdversarialSettings):
    """Settings of a training of MPCC, as a user states them."""

    discriminator_steps: int = setting(
        "Updates of the discriminator in an iteration.", _COUNT, default=4
    )
    encoder_steps: int = setting("Updates of the encoder in an iteration.", _COUNT, default=4)
    adversarial_loss: str = setting(
        'Loss I. "hinge", as in the paper: real and generated samples are to have scores beyond 1 and '
        '-1. "relativistic", of R3GAN: a real sample is to have a higher score than a generated one.',
        StrOptions({"hinge", "relativistic"}),
        default="hinge",
    )
    gradient_penalty: float = setting(
        "Weight of half the mean square norm of the discriminator's gradient at real and generated "
        "samples, which differences of scores tell. 0 in the paper.",
        _NOT_NEGATIVE,
        default=0.0,
    )
    prior_learning_rate: float = setting(
        "Adam learning rate of the mixture (eta_p in the paper). It has to be several times "
        "`learning_rate`: clusters must part before the generator fits the data.",
        _POSITIVE,
        default=1.6e-3,
    )
    beta2: float = setting(
        "Decay of Adam's second moments.", Interval(Real, 0, 1, closed="left"), default=0.999
    )
    generator_prior_rate: str = setting(
        "Learning rate of the mixture in the generator's update: "
        '"prior" is eta_p, as in the authors\' code, "networks" is eta, as in the paper.',
        StrOptions({"prior", "networks"}),
        default="prior",
    )
    prior_latent_gradient: bool = setting(
        "Whether the first term of Loss II reaches the mixture through z, as in the authors' code. "
        "This is what brings the standard deviations down.",
        "boolean",
        default=True,
    )
    generated_cluster_weight: float = setting(
        "Weight of the cross-entropy between the clusters that samples are generated in and the "
        "memberships of their codes, in the step that updates encoder and mixture; 0 in the paper, "
        "whose L_c looks at the codes that they are generated from.",
        _NOT_NEGATIVE,
        default=0.0,
    )
    prior_entropy_weight: float = setting("Weight of Loss III (lambda_p).", _NOT_NEGATIVE, default=0.01)
    reconstruction_weight: float = setting(
        "Weight of the reconstruction loss in the generator's update: the mean square error of "
        "G(E(x), y) for real samples x, over the data's variance. 0 in the paper.",
        _NOT_NEGATIVE,
        default=0.0,
    )
    reconstruction_by_encoder: bool = setting(
        "Whether the reconstruction loss, where it has a weight, updates the encoder as well.",
        "boolean",
        default=False,
    )
    label_weight: float = setting(
        "Weight of the cross-entropy between (pseudo-)labels and the memberships of real samples, in "
        "the step that updates encoder and mixture; 0 in the paper.",
        _NOT_NEGATIVE,
        default=0.0,
    )
    cuda_graphs: bool = setting(
        "Whether iterations on CUDA are captured as CUDA graphs and replayed, which saves the time of "
        "launching their many small kernels.",
        "boolean",
        default=False,
    )


@dataclass(frozen=True, kw_only=True)
class AIMTrainingSettings(AdversarialSettings):
    """Settings of a training of AIM, as a user states them."""

    discriminator_steps: int = _again(TrainingSettings, "discriminator_steps", default=1)
    beta1: float = setting(
        "Decay of Adam's first moments.", Interval(Real, 0, 1, closed="left"), default=0.5
    )
    learning_rate_schedule: str = setting(
        'How learning rates fall. "linear": to zero, over the last `learning_rate_decay` of the '
        'training. "epochs": by the root of the number of the epoch, as in the paper.',
        StrOptions({"linear", "epochs"}),
        default="linear",
    )
    latent_weight: float | str = setting(
        'Weight of L_q (lambda), in the losses of generator and encoder. "dimension" is one over '
        "`latent_dim`, as in the paper.",
        _NOT_NEGATIVE,
        StrOptions({"dimension"}),
        default="dimension",
    )
    input_noise_decay: float = setting(
        "Share of the training over which `input_noise` falls to 0; 0 keeps it.",
        _SHARE,
        default=0.0,
    )
    gradient_penalty: float = setting(
        "Weight, in the beginning, of half the mean square norm of the discriminator's gradient at real "
        "and generated samples. It falls linearly to 0. 0 in the paper.",
        _NOT_NEGATIVE,
        default=0.0,
    )
    generator_power: float = setting(
        "Power of each sample's part of the generator's adversarial loss, before their mean, once the "
        "instance noise has fallen to 0. Above 1 the generator learns more from the samples that the "
        "discriminator is surest of, such as those between two groups of the data. 1 in the paper.",
        Interval(Real, 1, None, closed="left"),
        default=1.0,
    )


@dataclass(frozen=True, kw_only=True)
class VariationalTrainingSettings(LoopSettings):
    """Settings of a training of a VAE or of VaDE, as a user states them."""

    max_iter: int = setting("Maximum number of iterations, each of one update of all.", _COUNT)
    learning_rate: float = setting("Adam learning rate of encoder and decoder.", _POSITIVE, default=2e-3)
    restriction: str = setting(
        'What holds codes to the prior. "posterior": the divergence of q(z | x) from it, as in a VAE; '
        'samples are best. "wasserstein": the square 2-Wasserstein distance of N(0, I) from the '
        'Gaussian of a batch of codes, as in the thesis\' WVAE, and "mmd": their maximum mean '
        "discrepancy, as in Info-VAE; codes tell more of the data.",
        StrOptions({"posterior", "wasserstein", "mmd"}),
        default="posterior",
    )
    restriction_weight: float | None = setting(
        "Weight of the restriction (beta), beside a log-likelihood in nats. None is 1 for "
        '"posterior", by which the loss is minus the evidence lower bound, 50 for "wasserstein" and '
        '1000 for "mmd", by which codes end near the normal distribution.',
        _NOT_NEGATIVE,
        None,
        default=None,
    )
    likelihood_std: float | None = setting(
        "Standard deviation of p(x | z), of the data as the networks see them: the smaller, the less "
        "the restriction weighs. None: learned, as the batch's root mean square error. 0.7071, a "
        "variance of 1/2, leaves the sum of squares and beta times the restriction, as in the thesis; "
        "a learned variance s^2 is like a beta of 2 s^2 there.",
        _POSITIVE,
        None,
        default=None,
    )
    prior_learning_rate: float = _again(TrainingSettings, "prior_learning_rate", default=1e-2)
    label_weight: float = _again(TrainingSettings, "label_weight", default=1.0)
    beta1: float = _again(AIMTrainingSettings, "beta1", default=0.9)


@dataclass(frozen=True, kw_only=True)
class LightCurveTrainingSettings(VariationalTrainingSettings):
    """Settings of a training of LC-VaDE, as a user states them."""

    likelihood_weight: float = setting(
        "Points that each curve counts as, of whatever number it has: weight of the mean of their "
        "log-likelihoods.",
        _POSITIVE,
        default=40.0,
    )
    points_at_once: int = setting(
        "Points of each curve and band, at most, that an iteration looks at, at random.",
        _AT_LEAST_2,
        default=64,
    )
    left_out: float = setting(
        "Share of these, at most, that the encoder does not see; the decoder has to tell them.",
        _SHARE,
        default=0.6,
    )


# ---- After they met the data and the pseudo-labels


@dataclass(frozen=True, kw_only=True)
class LoopSettingsOnData(LoopSettings):
    """Settings of a training on given data.

    `batch_size` is at most the number of samples, and `weights` is not "auto".

    Attributes
    ----------
    n_samples : int
    total_variance : float
        Sum of the inputs' variances, which errors of reconstructions are relative to.
    supervised_iter : int
        Iterations, from the first, in which (pseudo-)labels teach the networks, from
        `pseudo_label_share`.
    pseudo_label_margin, pseudo_label_agreement, pseudo_label_matching : float or None
        How sure the choice of pseudo-labels was: by how much they were above the best other ones, their
        mean adjusted Rand index with all that were found, and the mean share of samples in clusters
        that match.
    noise_std : float
        Standard deviation of the noise on what networks read, from `input_noise`.
    """

    n_samples: int = 0
    total_variance: float = 1.0
    supervised_iter: int = 0
    pseudo_label_margin: float | None = None
    pseudo_label_agreement: float | None = None
    pseudo_label_matching: float | None = None
    noise_std: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weights == "auto":
            raise ValueError(
                'weights="auto" has to be resolved to "uniform" or "learned" before training.'
            )


@dataclass(frozen=True, kw_only=True)
class ResolvedSettings(LoopSettingsOnData, TrainingSettings):
    """Settings of a training of MPCC on given data.

    One more field stands for what depends on the data.

    Attributes
    ----------
    latent_loss_weight : float
        Weight of the first term of Loss II, from `latent_weight`.
    """

    latent_loss_weight: float


@dataclass(frozen=True, kw_only=True)
class AIMSettingsOnData(LoopSettingsOnData, AIMTrainingSettings):
    """Settings of a training of AIM on given data, with one more field.

    Attributes
    ----------
    latent_loss_weight : float
        Weight of L_q, lambda in the paper.
    """

    latent_loss_weight: float


@dataclass(frozen=True, kw_only=True)
class VariationalSettingsOnData(LoopSettingsOnData, VariationalTrainingSettings):
    """Settings of a training of a VAE or of VaDE on given data; `restriction_weight` is a number."""

    restriction_weight: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.restriction_weight is None:
            weight = {"posterior": 1.0, "wasserstein": 50.0, "mmd": 1000.0}[self.restriction]
            object.__setattr__(self, "restriction_weight", weight)


@dataclass(frozen=True, kw_only=True)
class LightCurveSettingsOnData(VariationalSettingsOnData, LightCurveTrainingSettings):
    """Settings of a training of LC-VaDE on given data; errors of curves are relative to their noise."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "total_variance", 1.0)


LoopSettings.on_data = LoopSettingsOnData
TrainingSettings.on_data = ResolvedSettings
AIMTrainingSettings.on_data = AIMSettingsOnData
VariationalTrainingSettings.on_data = VariationalSettingsOnData
LightCurveTrainingSettings.on_data = LightCurveSettingsOnData


# ---- What the declarations serve for


def settings_of(cls: type) -> dict[str, Field]:
    """Fields of a dataclass that were declared by `setting`, by name."""
    return {f.name: f for f in fields(cls) if "constraints" in f.metadata}


def constraints_of(cls: type) -> dict[str, list[Any]]:
    """scikit-learn's parameter constraints of a dataclass."""
    return {name: f.metadata["constraints"] for name, f in settings_of(cls).items()}


def check(cls: type, values: Mapping[str, Any], caller: str) -> None:
    """Check values by the constraints of the fields of the same names.

    Raises
    ------
    ValueError
        A value breaks its field's constraint; the message names field, value and what is wanted.
    """
    constraints = constraints_of(cls)
    validate_parameter_constraints(
        {name: constraints[name] for name in values if name in constraints},
        dict(values),
        caller_name=caller,
    )


def type_of(setting_field: Field) -> str:
    """Type of a field in numpydoc's words, from its constraints."""
    words = []
    for constraint in setting_field.metadata["constraints"]:
        if isinstance(constraint, StrOptions):
            words.append("{" + ", ".join(f'"{option}"' for option in sorted(constraint.options)) + "}")
        elif isinstance(constraint, Options):
            words.append("{" + ", ".join(map(str, sorted(constraint.options))) + "}")
        elif isinstance(constraint, Interval):
            words.append("int" if constraint.type is Integral else "float")
        else:
            words.append("bool" if constraint == "boolean" else "None")
    return " or ".join(words)


def description(cls: type, name: str, more: str) -> str:
    """Description of a field and what is to be added, for a docstring indented by eight spaces."""
    text = f"{settings_of(cls)[name].metadata['description']} {more}"
    return textwrap.indent(textwrap.fill(text, 92), "        ").lstrip()


def parameter_docs(cls: type, names: Iterable[str], default: str = "") -> str:
    """numpydoc's list of fields of `cls`, for a docstring that is indented by four spaces."""
    known, lines = settings_of(cls), []
    for name in names:
        described = textwrap.wrap(known[name].metadata["description"], 96)
        lines += [f"{name} : {type_of(known[name])}{default}", *(f"    {line}" for line in described)]
    return textwrap.indent("\n".join(lines), "    ").lstrip()


def select(settings: Any, cls: type) -> Any:
    """The fields of `settings` that make up one of its base classes `cls`."""
    return cls(**{f.name: getattr(settings, f.name) for f in fields(cls)})
