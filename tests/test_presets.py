import inspect
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path

import numpy as np
import pytest

import skmpcc
from skmpcc import MPCCClusterer
from skmpcc.presets import PRESETS, Preset, choose
from skmpcc.settings import NetworkSettings, TrainingSettings, parameter_docs, select, settings_of

DOCS = Path(skmpcc.__file__).parent.parent / "docs"


@pytest.mark.parametrize(
    ("name", "conditioning", "c", "latent_dim", "prior_rate", "max_iter"),
    [
        ("mnist", "embedding", 12, 24, 1.6e-3, 125_000),
        ("omniglot", "embedding", 16, 24, 1.6e-3, 125_000),
        ("fashion_mnist", "shared", 24, 16, 1.6e-3, 75_000),
        ("cifar10", "split", 96, 128, 6e-4, 75_000),
        ("cifar20", "split", 96, 128, 6e-4, 75_000),
    ],
)
def test_the_papers_presets(name, conditioning, c, latent_dim, prior_rate, max_iter):
    preset = PRESETS[name]
    assert (preset.conditioning, preset.width, preset.latent_dim) == (conditioning, 4 * c, latent_dim)
    assert (preset.prior_learning_rate, preset.max_iter) == (prior_rate, max_iter)
    assert (preset.learning_rate, preset.batch_size) == (2e-4, 50)
    assert (preset.discriminator_steps, preset.encoder_steps) == (4, 4)
    assert (preset.prior_entropy_weight, preset.min_std) == (0.01, 0.5)
    assert (preset.ema_decay, preset.ema_start, preset.standing_passes) == (0.9999, 1000, 16)
    assert (preset.upsampling, preset.generator_spectral_norm) == ("nearest", True)
    assert (preset.std_floor, preset.initial_bias, preset.averaged_encoder) == ("code", "torch", False)
    assert preset.precision == "tf32"
    assert (preset.learning_rate_decay, preset.input_noise) == (0.0, 0.0)
    assert (preset.pseudo_labels, preset.consistency_weight) == (None, 0.0)


@pytest.mark.parametrize("image", [None, (1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 128, 128)])
@pytest.mark.parametrize("n_clusters", [2, 100])
@pytest.mark.parametrize("n_features", [2, 784])
@pytest.mark.parametrize("n_samples", [100, 10_000])
def test_choice(image, n_clusters, n_features, n_samples):
    preset = choose(image, n_samples, n_features, n_clusters)
    assert PRESETS[preset.name] is preset
    assert preset.kind == ("vector" if image is None else "image")


def test_choice_for_tables_goes_by_rows_columns_and_clusters():
    for sizes, name in {
        (5000, 3, 30): "vectors_plane",
        (1000, 32, 30): "vectors_small",
        (1001, 32, 30): "vectors_narrow",
        (1000, 33, 30): "vectors",
        (1000, 513, 30): "vectors_wide",
        (1000, 2, 31): "vectors_many",
    }.items():
        assert choose(None, *sizes).name == name


def test_choice_for_images_goes_by_channels_sides_and_clusters():
    for (*image, n_clusters), name in {
        (1, 28, 28, 30): "grey",
        (1, 12, 90, 30): "grey",
        (1, 90, 11, 30): "grey_tiny",
        (1, 8, 8, 31): "grey_many",
        (3, 8, 8, 30): "colour",
        (2, 28, 28, 31): "colour_many",
    }.items():
        assert choose(tuple(image), 1000, 64, n_clusters).name == name


def test_presets_of_images_have_a_dimension_for_every_place_of_split():
    for preset in PRESETS.values():
        assert preset.conditioning != "split" or preset.latent_dim >= 6


def test_only_general_presets_of_images_see_patches():
    seen = {name for name, preset in PRESETS.items() if preset.patch_size > 1}
    assert seen == {"grey", "grey_many", "colour", "colour_many"}


def test_no_two_presets_are_the_same():
    """But for the paper's own two names of one setting."""
    different = {replace(preset, name="") for name, preset in PRESETS.items() if name != "cifar20"}
    assert len(different) == len(PRESETS) - 1


def test_every_field_is_declared_with_constraint_and_description():
    assert {f.name for f in fields(Preset)} == {"name", "kind", *settings_of(Preset)}
    for field in settings_of(Preset).values():
        assert field.metadata["description"].endswith(".")
        assert field.metadata["constraints"]


def test_parts_make_up_a_preset():
    preset = PRESETS["cifar10"]
    both = vars(select(preset, NetworkSettings)) | vars(select(preset, TrainingSettings))
    assert both | {"name": "cifar10", "kind": "image"} == vars(preset)


def test_fields_are_parameters_or_go_by_preset_params():
    parameters = inspect.signature(MPCCClusterer).parameters
    assert len(parameters) <= 24
    for name in set(settings_of(Preset)) & set(parameters) | {"preset_params"}:
        own = {"scaling": "auto", "pseudo_labels": "auto", "labels_only": False}
        assert parameters[name].default == own.get(name)
    document = MPCCClusterer.__doc__
    own, other = document.split("Other Parameters\n    ----")
    for name in settings_of(Preset):
        assert f"    {name} : " in (own if name in parameters else other)
    assert "{settings}" not in document
    assert "{preset_params}" not in document
    assert parameter_docs(Preset, ["width"], ", default=None") in document


def test_labels_only_ends_with_the_memberships_and_has_less_to_do():
    preset = PRESETS["grey"]
    assert preset.reconstruction_weight > 0
    changed = preset.for_labels_only()
    assert (changed.labels_only, changed.reconstruction_weight) == (True, 0.0)
    assert changed.max_iter == preset.labels_only_max_iter < preset.max_iter
    assert changed.tol == preset.labels_only_tol
    # As much may change in as many iterations.
    table = PRESETS["vectors"]
    changed = table.for_labels_only()
    assert changed.tol / changed.max_iter == pytest.approx(table.tol / table.max_iter)
    assert [PRESETS[name].for_labels_only().patch_size for name in ("colour", "grey_tiny")] == [4, 1]
    by_hinge = PRESETS["grey"].for_labels_only()
    assert (by_hinge.adversarial_loss, by_hinge.gradient_penalty) == ("hinge", 0.0)
    assert by_hinge.discriminator_spectral_norm
    assert PRESETS["mnist"].for_labels_only().max_iter == PRESETS["mnist"].max_iter


def test_overriding():
    preset = PRESETS["mnist"]
    assert preset.override({}, "x") == preset
    assert preset.override({"width": 7, "pseudo_labels": "kmeans"}, "x").width == 7
    with pytest.raises(
        ValueError, match=r"x has 'name', 'size', but a preset's fields are adversarial_loss, "
    ):
        preset.override({"size": 7, "name": "mine"}, "x")
    with pytest.raises(
        ValueError, match=r"'width' parameter of x must be an int in the range \[2, inf\)"
    ):
        preset.override({"width": 1}, "x")


def test_numbers_of_numpy_become_pythons():
    """They overflow otherwise, and torch does not take them all."""
    numpys = {int: np.int16, float: np.float32, bool: np.bool_}
    preset = PRESETS["grey"]
    values = {n: v for n, v in vars(preset).items() if type(v) in numpys and n in settings_of(Preset)}
    values = {n: v for n, v in values.items() if not (isinstance(v, int) and v > 30_000)}
    found = preset.override({name: numpys[type(v)](v) for name, v in values.items()}, "x")
    for name, value in values.items():
        assert type(getattr(found, name)) is type(value)
        assert getattr(found, name) == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": 5}, "name"),
        ({"width": 1}, "width"),
        ({"upsampling": "cubic"}, "upsampling"),
        ({"kind": "text"}, "kind"),
    ],
)
def test_presets_are_checked(values, message):
    with pytest.raises(ValueError, match=message):
        replace(PRESETS["grey"], **values)
    with pytest.raises(FrozenInstanceError):
        PRESETS["grey"].width = 3
