"""Files of fitted estimators: what is kept, and what is refused."""

import importlib.util
import json
import pickle
import stat
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from changed_files import changed, setting, tensor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from support import BRIEF, images

from skmpcc import MPCCClassifier, MPCCClusterer
from skmpcc.fitted import saving
from skmpcc.presets import PRESETS

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

IRIS = load_iris(as_frame=True)
OUTLYING = np.vstack([IRIS.data.to_numpy(), [[1e6, 3.0, 1.0, -1e6]]]).astype(np.float32)
NAMES = np.array(["setosa", "versicolor", "virginica"])
SHARED = {"max_iter": 3, "width": 8, "latent_dim": 4, "tol": 0.0}


def clusterer(X, **parameters):
    return MPCCClusterer(3, **{"random_state": 0, **BRIEF, **parameters}).fit(X)


def classifier(y, **parameters):
    return MPCCClassifier(random_state=0, **SHARED, **parameters).fit(IRIS.data, y)


@pytest.fixture(scope="module")
def small():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return clusterer(IRIS.data)


@pytest.fixture(scope="module")
def saved(small, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "model.safetensors"
    small.save(path)
    return path


def public(estimator):
    return {name: value for name, value in vars(estimator).items() if name.endswith("_")}


def assert_equal(found, wanted):
    """Equal in value, type and dtype."""
    assert type(found) is type(wanted)
    if isinstance(wanted, dict):
        assert list(found) == list(wanted)
        for name in wanted:
            assert_equal(found[name], wanted[name])
    elif isinstance(wanted, np.ndarray):
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)
    elif isinstance(wanted, pd.DataFrame):
        pd.testing.assert_frame_equal(found, wanted)
    elif isinstance(wanted, np.random.RandomState):
        assert_equal(found.get_state(legacy=False), wanted.get_state(legacy=False))
    else:
        assert found == wanted


def assert_same(loaded, estimator, X):
    """Equal attributes, and bit for bit equal results."""
    assert_equal(public(loaded), public(estimator))
    assert_equal(loaded.get_params(deep=False), estimator.get_params(deep=False))
    for method in ("predict", "predict_proba", "transform", "reconstruct", "score_samples"):
        assert_equal(getattr(loaded, method)(X), getattr(estimator, method)(X))
    for drawn, wanted in zip(loaded.sample(9), estimator.sample(9), strict=True):
        assert_equal(drawn, wanted)
    assert_equal(loaded.sample_posterior(X[:3]), estimator.sample_posterior(X[:3]))


def through_file(estimator, folder):
    estimator.save(folder / "model.safetensors")
    return type(estimator).load(folder / "model.safetensors")


# ---- Round trips


CASES = {
    "a data frame": (IRIS.data, {}),
    "outliers of float32": (OUTLYING, {}),
    "pseudo-labels": (IRIS.data.to_numpy(), {"pseudo_labels": "kmeans", "weights": "learned"}),
    "nothing shared": (
        IRIS.data.to_numpy(),
        {"preset_params": {"sharing": "none", "std_floor": "code"}},
    ),
    "a preset of one's own": (IRIS.data.to_numpy(), {"preset": PRESETS["vectors_wide"]}),
    "a stream": (IRIS.data.to_numpy(), {"random_state": np.random.RandomState(3)}),
    "images": (images((20, 8, 8), np.uint8), {}),
    "colours last, of another size": (
        images((20, 9, 14, 3), np.float32),
        {"preset_params": {"resizing": "interpolate"}},
    ),
    "rows of images": (images((20, 90)), {"image_shape": (9, 10)}),
    "images as rows": (images((20, 9, 10)), {"preset": "vectors"}),
    "the paper's": (images((20, 8, 8)), {"preset": "mnist"}),
}


@pytest.mark.parametrize(("X", "parameters"), CASES.values(), ids=CASES)
def test_round_trip(X, parameters, tmp_path):
    estimator = clusterer(X, **parameters)
    assert_same(through_file(estimator, tmp_path), estimator, X)


LABELS = {
    "text": NAMES[IRIS.target],
    "objects, some unknown": np.where(np.arange(150) % 3, NAMES[IRIS.target].astype(object), -1),
    "truth values": IRIS.target.to_numpy() > 0,
    "int64": IRIS.target.to_numpy(),
    "uint16": IRIS.target.to_numpy(np.uint16),
    "big-endian": IRIS.target.to_numpy(">i4"),
    "floats": IRIS.target.to_numpy(np.float32) - 7.0,
}


@pytest.mark.parametrize("y", LABELS.values(), ids=LABELS)
def test_round_trip_of_classes(y, tmp_path):
    estimator = classifier(y, priors=None if len(set(y.tolist())) < 3 else [0.2, 0.3, 0.5])
    loaded = through_file(estimator, tmp_path)
    assert_same(loaded, estimator, IRIS.data)
    assert_equal(loaded.sample_like(estimator.classes_), estimator.sample_like(estimator.classes_))


@pytest.mark.parametrize("priors", [np.full(3, 1 / 3), (0.5, 0.25, 0.25), torch.full((3,), 1 / 3)])
def test_arrays_among_the_parameters(priors, tmp_path):
    estimator = classifier(NAMES[IRIS.target], priors=priors)
    loaded = through_file(estimator, tmp_path)
    np.testing.assert_array_equal(loaded.priors, priors)
    assert isinstance(loaded.priors, tuple if isinstance(priors, tuple) else np.ndarray | torch.Tensor)
    assert_equal(loaded.weights_, estimator.weights_)


def test_everything_that_fit_found_is_declared(small):
    for estimator in (small, classifier(NAMES[IRIS.target])):
        declared = set(estimator._saved_attributes)
        assert set(public(estimator)) == declared
        assert set(vars(estimator)) - set(estimator.get_params()) - declared == {"_fitted"}


def test_a_device_is_kept_by_its_name(small, tmp_path):
    estimator = pickle.loads(pickle.dumps(small)).set_params(device=torch.device("cpu"))
    assert through_file(estimator, tmp_path).device == "cpu"


def test_loaded_estimators_go_on_as_others_do(small, saved, tmp_path):
    loaded = MPCCClusterer.load(str(saved))
    loaded.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == saved.read_bytes()
    assert_same(pickle.loads(pickle.dumps(loaded)), small, IRIS.data)
    assert not hasattr(clone(loaded), "labels_")
    warm = pickle.loads(pickle.dumps(small)).set_params(warm_start=True).fit(IRIS.data)
    assert_equal(loaded.set_params(warm_start=True).fit(IRIS.data).means_, warm.means_)


@pytest.mark.slow
def test_in_another_process(small, saved, tmp_path):
    np.save(tmp_path / "X.npy", IRIS.data.to_numpy())
    script = (
        "import sys, numpy as np; from skmpcc import MPCCClusterer; model, X, out = sys.argv[1:]; "
        "c = MPCCClusterer.load(model); X = np.load(X); "
        "np.savez(out, c.predict_proba(X), c.sample(5)[0])"
    )
    paths = (saved, tmp_path / "X.npy", tmp_path / "out.npz")
    subprocess.run([sys.executable, "-W", "ignore", "-c", script, *map(str, paths)], check=True)
    with np.load(paths[2]) as out:
        assert_equal(out["arr_0"], small.predict_proba(IRIS.data))
        assert_equal(out["arr_1"], small.sample(5)[0].to_numpy())


@pytest.mark.cuda
@pytest.mark.parametrize("X", [IRIS.data.to_numpy(), images((40, 8, 8))], ids=["table", "images"])
def test_from_cuda_to_cpu(X, tmp_path):
    estimator = clusterer(X, device="cuda")
    loaded = through_file(estimator, tmp_path).set_params(device="cpu")
    np.testing.assert_allclose(loaded.predict_proba(X), estimator.predict_proba(X), atol=1e-5)
    on_cpu = pickle.loads(pickle.dumps(estimator)).set_params(device="cpu")
    assert_same(loaded, on_cpu, X)


def test_a_model_of_an_absent_device_predicts_on_the_cpu(small, tmp_path):
    estimator = pickle.loads(pickle.dumps(small)).set_params(device="cuda:99")
    assert_equal(
        through_file(estimator, tmp_path).predict_proba(IRIS.data), small.predict_proba(IRIS.data)
    )


# ---- Writing


def test_an_estimator_that_is_not_fitted_makes_no_file(tmp_path):
    with pytest.raises(NotFittedError):
        MPCCClusterer().save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_files_are_replaced_when_complete_or_stay(small, tmp_path, monkeypatch):
    path = tmp_path / "model"
    path.write_text("before")

    def full(_):
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(OSError, match="no space"):
            small.save(path)
    assert path.read_text() == "before"
    path.chmod(0o644)
    small.save(path)
    MPCCClusterer.load(path)
    assert list(tmp_path.iterdir()) == [path]
    (tmp_path / "other").touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)


def test_links_stay_links(small, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "model")
    small.save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    MPCCClusterer.load(tmp_path / "model")


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        (
            {"random_state": np.random.RandomState(np.random.PCG64(0))},
            r"parameters\.random_state .*RandomState",
        ),
        ({"preset_params": {"min_std": object()}}, r"parameters\.preset_params\.min_std .*object"),
    ],
)
def test_parameters_that_cannot_be_written_are_named(small, parameters, named, tmp_path):
    estimator = MPCCClusterer().set_params(**parameters)
    vars(estimator).update(public(small), _fitted=small._fitted)
    with pytest.raises(TypeError, match=named):
        estimator.save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_wrong_parameters_are_an_error_before_a_file_is_written(small, tmp_path):
    estimator = pickle.loads(pickle.dumps(small)).set_params(n_clusters=-1)
    with pytest.raises(ValueError, match="n_clusters"):
        estimator.save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


# ---- Files that are not right


def refused(path, match=None, cls=MPCCClusterer):
    with pytest.raises(ValueError, match=match) as raised:
        cls.load(path)
    assert str(path) in str(raised.value)
    assert cls.__name__ in str(raised.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        MPCCClusterer.load(tmp_path / "none")


def test_files_that_are_cut_off(saved, tmp_path):
    content = saved.read_bytes()
    for n in {0, 1, 7, 8, 9, 100, *np.linspace(0, len(content) - 1, 40).astype(int)}:
        (tmp_path / "cut").write_bytes(content[:n])
        refused(tmp_path / "cut")
    (tmp_path / "cut").write_bytes(content + b"0")
    refused(tmp_path / "cut")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_files_with_changed_bytes(small, saved, tmp_path, data):
    """Half of the changes are in the header. A space of its padding may be another space."""
    content = bytearray(saved.read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    place = data.draw(st.integers(0, header - 1) | st.integers(header, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    (tmp_path / "changed").write_bytes(content)
    try:
        loaded = MPCCClusterer.load(tmp_path / "changed")
    except ValueError as error:
        assert "changed cannot be loaded by MPCCClusterer" in str(error)  # noqa: PT017
    else:
        assert_equal(loaded.predict_proba(IRIS.data), small.predict_proba(IRIS.data))


def test_foreign_files(tmp_path):
    path = tmp_path / "foreign"
    for content in (b"", b"no tensors", b"\0" * 64, pickle.dumps({"a": 1}), b"PK\3\4" + b"0" * 100):
        path.write_bytes(content)
        refused(path)
    save_file({"weight": torch.zeros(3)}, path)
    refused(path, "skmpcc did not write it")
    for text, match in (
        ("{}", "'format' is unknown or missing"),
        ("[]", None),
        ("{", None),
        ('{"format": 1}', "'sha256' is unknown or missing"),
        ('{"format": 1, "sha256": ""}', "checksum"),
    ):
        save_file({"weight": torch.zeros(3)}, path, {"format": "pt", "skmpcc": text})
        refused(path, match)


def test_no_code_of_a_file_runs(tmp_path):
    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "sprung",)

    for content in (pickle.dumps(Trap()), pickle.dumps(Trap(), protocol=0)):
        (tmp_path / "trap").write_bytes(content)
        refused(tmp_path / "trap")
    assert not (tmp_path / "sprung").exists()


def test_files_of_another_estimator(saved, tmp_path):
    refused(saved, "class MPCCClusterer", MPCCClassifier)
    classifier(NAMES[IRIS.target]).save(tmp_path / "model")
    refused(tmp_path / "model", "class MPCCClassifier")


def without_means(header, tensors):
    del header["attributes"]["means_"], tensors["attributes.means_"]


def added(name):
    return lambda header, tensors: tensors.update({name: torch.zeros(2)})


FITTED = ("fitted", "FittedModel")
FORMAT = (*FITTED, "format", "InputFormat")
MODEL = (*FITTED, "model", "MPCCModel")
WEIGHT = "fitted.model.generator.output.bias"
CHANGES = {
    "a newer format": (setting("format", saving.FORMAT + 1), "has format 2, but skmpcc .* up to 1"),
    "a format that is no number": (setting("format", "new"), None),
    "no format": (lambda header, _: header.pop("format"), "'format' is unknown or missing"),
    "no parameters": (lambda header, _: header.pop("parameters"), "'parameters' is unknown or missing"),
    "no model": (lambda header, _: header["fitted"]["FittedModel"].pop("model"), "model"),
    "another class": (setting("fitted", {"os.system": ["true"]}), "'os.system' is unknown"),
    "a class in the wrong place": (setting(*FITTED, "model", None), None),
    "a parameter that is unknown": (setting("parameters", "depth", 3), "depth"),
    "a parameter out of range": (setting("parameters", "n_clusters", 0), "n_clusters"),
    "a parameter of another type": (setting("parameters", "tol", "small"), "tol"),
    "an attribute that is unknown": (setting("attributes", "depth_", 3), "'depth_' is unknown"),
    "settings that are no single values": (
        setting("attributes", "settings_", {"dict": {"width": [1]}}),
        "settings_ should be",
    ),
    "a private attribute": (setting("attributes", "_fitted", 3), "'_fitted' is unknown"),
    "a method": (setting("attributes", "predict", 3), "'predict' is unknown"),
    "an attribute of another type": (setting("attributes", "n_iter_", "3"), "n_iter_ should be .*int"),
    "no means": (without_means, "means_ should be"),
    "an attribute twice": (
        setting("attributes", "weights_", {"array": "attributes.means_"}),
        r"'attributes\.(means|weights)_' is unknown or missing",
    ),
    "a tensor too many": (added("more"), r"\['more'\] belong to no part"),
    "a layer too many": (added("fitted.model.more"), r"fitted\.model\.more"),
    "no such tensor": (tensor(WEIGHT, lambda t: None), r"generator\.output\.bias has none"),
    "another name": (
        lambda _, tensors: tensors.update({f"{WEIGHT}2": tensors.pop(WEIGHT)}),
        r"generator\.output\.bias",
    ),
    "weights of another shape": (
        tensor(WEIGHT, lambda t: t[:-1]),
        r"generator\.output\.bias has .*3.*4",
    ),
    "weights of another type": (tensor(WEIGHT, lambda t: t.float()), r"output\.bias has .*float32"),
    "means of another shape": (tensor("attributes.means_", lambda t: t.T), "means_ should be"),
    "means of another type": (tensor("attributes.means_", lambda t: t.float()), "means_ should be"),
    "centers of another shape": (
        tensor("attributes.cluster_centers_", lambda t: t[:, :2]),
        "cluster_centers_ should be",
    ),
    "labels of two dimensions": (
        tensor("attributes.labels_", lambda t: t[:, None]),
        "labels_ should be",
    ),
    "fewer names of features": (
        tensor("attributes.feature_names_in_", lambda t: t[:3]),
        "feature_names_in_ should be",
    ),
    "names by other numbers": (
        tensor("attributes.feature_names_in_", lambda t: t + 1),
        "feature_names_in_ does not hold indices of 4 values",
    ),
    "names that are none": (
        setting("attributes", "feature_names_in_", "values", 2, [None] * 4),
        "feature_names_in_ is not an array",
    ),
    "names of a strange dtype": (
        setting("attributes", "feature_names_in_", "values", 1, "i4,i4"),
        "feature_names_in_ is not an array",
    ),
    "names of a huge dtype": (
        setting("attributes", "feature_names_in_", "values", 1, "<U400000000"),
        "feature_names_in_ has the type <U400000000, but no value longer than 17 characters",
    ),
    "names of a dtype of dates": (
        setting("attributes", "feature_names_in_", "values", 1, "<M8[ns]"),
        "feature_names_in_ is not an array",
    ),
    "columns that do not rise": (
        setting(*FORMAT, "columns", {"array": "attributes.labels_"}),
        "unknown or missing|columns",
    ),
    "names that are no text": (
        setting("attributes", "feature_names_in_", "values", 2, [1, 2, 3, 4]),
        "feature_names_in_ has names that are not text",
    ),
    "another number of features": (setting("attributes", "n_features_in_", 5), "number of features, 4"),
    "a history of unequal lengths": (
        tensor("attributes.history_.change", lambda t: t[:1]),
        "history_ should be",
    ),
    "a scale of another shape": (tensor("fitted.format.scale", lambda t: t[:2]), "scale should be"),
    "samples of another shape": (
        setting(*FORMAT, "layout", "Layout", "shape", {"tuple": [5]}),
        r"\(5,\)",
    ),
    "no resizing": (setting(*FORMAT, "resizing", "crop"), "but is 'crop'"),
    "a dtype that is none": (setting(*FORMAT, "dtype", {"dtype": "O"}), "'O' is unknown"),
    "neighbours that are none": (setting(*FITTED, "n_neighbors", 0), "positive"),
    "a huge width": (setting(*MODEL, 1, "NetworkSettings", "width", 10**9), "larger model"),
    "a huge depth": (setting(*MODEL, 1, "NetworkSettings", "n_layers", 10**9), "larger model"),
    "huge samples": (setting(*MODEL, 2, {"tuple": [10**9]}), "larger model"),
    "many clusters": (setting(*MODEL, 3, 10**9), "larger model"),
    "another width": (setting(*MODEL, 1, "NetworkSettings", "width", 4), "but the model has"),
    "a setting out of range": (
        setting(*MODEL, 1, "NetworkSettings", "conditioning", "none"),
        "conditioning",
    ),
    "a setting that is unknown": (setting(*MODEL, 1, "NetworkSettings", "depth", 2), "depth"),
}


@pytest.mark.parametrize(("change", "match"), CHANGES.values(), ids=CHANGES)
def test_content_that_is_not_right_is_named(saved, tmp_path, change, match):
    changed(saved, tmp_path / "changed", change)
    refused(tmp_path / "changed", match)


def places(content, path=()):
    """Every place in a tree of JSON."""
    yield path
    if isinstance(content, dict | list):
        for key, value in content.items() if isinstance(content, dict) else enumerate(content):
            yield from places(value, (*path, key))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "tuple", "3", "float64"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["array", "dict", "values", "RandomState", "tensor", "Layout", "MPCCModel", "Preset"]
            ),
            inner,
            max_size=2,
        )
    ),
    max_leaves=5,
)


def change_an_entry(content, data):
    """Put anything in the place of some entry, at any depth."""
    *keys, last = data.draw(st.sampled_from([path for path in places(content) if path]))
    for key in keys:
        content = content[key]
    content[last] = data.draw(JSON)


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@settings(max_examples=75, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_other_header_is_an_error_or_a_model(saved, tmp_path, data):
    """Anything, anywhere, with a checksum that is right."""
    changed(saved, tmp_path / "changed", lambda header, tensors: change_an_entry(header, data))
    try:
        loaded = MPCCClusterer.load(tmp_path / "changed")
    except ValueError as error:
        assert "changed cannot be loaded by MPCCClusterer" in str(error)  # noqa: PT017
    else:
        # Of parameters `fit` and `predict` judge themselves.
        assert loaded.set_params(device="cpu").predict_proba(IRIS.data.to_numpy()).shape == (150, 3)


# ---- Tables with categories and gaps

TABLE = pd.DataFrame(
    {
        "size": np.where(np.arange(60) % 7 == 0, np.nan, np.arange(60) ** 1.5),
        "n": pd.array([*range(1, 60), None], dtype="Int64"),
        "kind": ["a", "b", None] * 20,
        "flag": [True, False] * 30,
        "one": [1.5] * 60,
    }
)


@pytest.fixture(scope="module")
def mixed():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return clusterer(TABLE)


@pytest.fixture(scope="module")
def saved_mixed(mixed, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "model.safetensors"
    mixed.save(path)
    return path


MIXED = (*FITTED, "format", "MixedFormat")
INPUTS = (*MIXED, "inputs", "TableInputs")
COLUMNS = (*MIXED, "columns_given", "Columns")
KIND = (*COLUMNS, "columns", 2, "Column")
IMPUTATION = "fitted.imputation"


def without_imputation(header, tensors):
    header["fitted"]["FittedModel"]["imputation"] = None
    for name in [name for name in tensors if name.startswith(IMPUTATION)]:
        del tensors[name]


MIXED_CHANGES = {
    "no columns": (setting(*COLUMNS[:-2], "columns_given", None), "do not fit columns with"),
    "fewer columns": (setting(*COLUMNS, "columns", []), "0 columns do not fit"),
    "fewer names": (setting(*COLUMNS, "names", ["size"]), "5 columns do not fit"),
    "no names": (setting(*COLUMNS, "names", []), "'pandas' with 0 names"),
    "another module": (setting(*COLUMNS, "library", "antigravity"), "frames of 'antigravity'"),
    "a kind that is none": (setting(*KIND, "kind", "date"), "is no column"),
    "a category without values": (setting(*KIND, "values", None), "is no column"),
    "a category of lists": (setting(*KIND, "values", [[1], [2]]), "is no column"),
    "a category of other values": (setting(*KIND, "values", ["a", "b", "c"]), "do not fit columns"),
    "a range of text": (setting(*KIND, "least", "low"), "is no column"),
    "a dtype of nothing": (setting(*KIND, "dtype", "int8"), "no row can be made"),
    "other numbers of values": (
        setting(*MIXED, "n_values", {"tuple": [0, 0, 3, 2, 0]}),
        "inputs do not",
    ),
    "no numbers of values": (setting(*MIXED, "n_values", {"tuple": []}), None),
    "no form of numbers": (setting(*MIXED, "numbers", None), "have no form|belong to no part"),
    "columns that vary otherwise": (tensor("fitted.format.varies", lambda t: ~t), "inputs do not fit"),
    "other constants": (tensor("fitted.format.constants", lambda t: t[:3]), "constants should be"),
    "a unit that is negative": (setting(*INPUTS, "unit", -1.0), "inputs do not fit|unit"),
    "absences of other columns": (setting(*INPUTS, "absent", {"tuple": [0, 1, 9]}), None),
    "fewer absences": (setting(*INPUTS, "absent", {"tuple": []}), None),
    "other inputs of the networks": (setting(*MODEL, 4, None), None),
    "nothing to fill in by": (without_imputation, "filled in by does not fit"),
    "other groups": (tensor(f"{IMPUTATION}.groups", lambda t: t + 1), "groups do not fit"),
    "fewer groups": (tensor(f"{IMPUTATION}.groups", lambda t: t[:1]), "groups do not fit"),
    "means of another shape to fill in": (
        tensor(f"{IMPUTATION}.means", lambda t: t[:, :2]),
        "should be",
    ),
    "widths of another type": (tensor(f"{IMPUTATION}.widths", lambda t: t.float()), "widths should be"),
    "no precisions": (tensor(f"{IMPUTATION}.precisions", lambda t: None), "precisions"),
    "fewer residuals": (tensor("fitted.residual_variances", lambda t: t[:2]), "residual_variances"),
}


def test_mixed_tables_are_restored(mixed, saved_mixed, tmp_path):
    loaded = MPCCClusterer.load(saved_mixed)
    assert_same(loaded, mixed, TABLE)
    assert_equal(loaded.impute(TABLE), mixed.impute(TABLE))
    loaded.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == saved_mixed.read_bytes()


@pytest.mark.parametrize(("change", "match"), MIXED_CHANGES.values(), ids=MIXED_CHANGES)
def test_forms_of_tables_that_are_not_right_are_named(saved_mixed, tmp_path, change, match):
    changed(saved_mixed, tmp_path / "changed", change)
    refused(tmp_path / "changed", match)
    assert "antigravity" not in sys.modules


@settings(max_examples=75, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_other_form_of_tables_is_an_error_or_a_model(saved_mixed, tmp_path, data):
    def change(header, tensors):
        change_an_entry(header["fitted"]["FittedModel"]["format"], data)

    changed(saved_mixed, tmp_path / "changed", change)
    try:
        loaded = MPCCClusterer.load(tmp_path / "changed")
    except ValueError as error:
        assert "changed cannot be loaded by MPCCClusterer" in str(error)  # noqa: PT017
    else:
        loaded.predict_proba(TABLE.to_numpy())
        assert len(loaded.sample(30)[0]) == 30
        assert len(loaded.impute(TABLE.to_numpy())) == 60


# ---- Files of formats before


def format_script(number):
    path = Path(__file__).parent / f"format_{number}.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_parameters_that_are_fields_of_the_preset_by_now():
    given = {"n_clusters": 2, "batch_size": 7, "n_neighbors": None, "preset_params": {"min_std": 0.1}}
    now = saving._as_today(dict(given))
    assert now == {"n_clusters": 2, "preset_params": {"min_std": 0.1, "batch_size": 7}}
    assert saving._as_today({"width": 8}) == {"width": 8}


@pytest.mark.parametrize("name", ["clusterer-table", "clusterer-images", "classifier"])
def test_files_of_format_1_are_read(name):
    """Files that were written when format 1 was new; other processors round otherwise."""
    script = format_script(1)
    cls = MPCCClassifier if name == "classifier" else MPCCClusterer
    loaded = cls.load(script.FOLDER / f"{name}.safetensors")
    before = json.loads((script.FOLDER / f"{name}.json").read_text())
    now = script.described(loaded, name)
    moved = {name: before["parameters"].pop(name) for name in saving._NOW_OF_THE_PRESET}
    assert set(moved.values()) == {"None"}
    assert before["parameters"].items() <= now["parameters"].items()
    assert set(before["attributes"]) <= set(now["attributes"])
    for key in ("preset", "prediction"):
        assert now[key] == before[key]
    for key in ("memberships", "samples"):
        np.testing.assert_allclose(now[key], before[key], rtol=1e-3, atol=1e-4)


# ---- What a file has no say in, and how data are seen


def test_a_file_does_not_say_what_the_next_fit_writes_and_deletes(saved, tmp_path):
    loaded = MPCCClusterer.load(saved).set_params(checkpoint=tmp_path / "kept")
    loaded.save(tmp_path / "model")
    assert MPCCClusterer.load(tmp_path / "model").checkpoint is None
    # Nor does one of before, or one that was made up.
    precious = tmp_path / "precious"
    precious.write_text("precious")
    changed(saved, tmp_path / "changed", setting("parameters", "checkpoint", str(precious)))
    again = MPCCClusterer.load(tmp_path / "changed").fit(IRIS.data)
    assert again.checkpoint is None
    assert precious.read_text() == "precious"


@pytest.mark.parametrize("kind", ["constants", "wide", "counts", "outliers", "a hot pixel"])
def test_how_data_are_seen_is_kept(kind, tmp_path):
    random = np.random.default_rng(0)
    X = {
        "constants": np.column_stack([random.normal(size=(40, 2)), np.full(40, 3), np.zeros(40)]),
        "wide": random.normal(size=(30, 1100)),
        "counts": random.poisson(2, (40, 3)),
        "outliers": np.vstack([random.normal(size=(40, 3)), [[1e6, 0, 0]]]),
        "a hot pixel": np.where(random.random((40, 8, 8)) < 1e-3, 1e6, random.random((40, 8, 8))),
    }[kind]
    fitted = clusterer(X)
    fitted.save(tmp_path / "model")
    loaded = MPCCClusterer.load(tmp_path / "model")
    for name in ("predict_proba", "transform", "score_samples", "reconstruct"):
        np.testing.assert_array_equal(getattr(loaded, name)(X), getattr(fitted, name)(X))
    np.testing.assert_array_equal(loaded.sample(20)[0], fitted.sample(20)[0])


def test_wide_names_are_kept(tmp_path):
    names = np.array(["a", "bb"], dtype="<U60")[np.arange(150) % 2]
    fitted = classifier(names)
    fitted.save(tmp_path / "model")
    assert MPCCClassifier.load(tmp_path / "model").classes_.dtype == "<U60"
