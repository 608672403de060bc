"""Estimators on tables with categories and missing values: typed rows in, typed rows out."""

import copy
import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal as assert_polars_equal
from sklearn.base import clone
from sklearn.datasets import load_iris, make_blobs
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags
from support import QUICK, Interrupting, assert_same_fit, images

from skmpcc import AIM, VAE, MPCCClassifier, MPCCClusterer, NoveltyDetector, VaDEClusterer
from skmpcc.report import html_report
from skmpcc.training import checkpoint as _checkpoint

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

BRIEF = {"max_iter": 3, "width": 8, "latent_dim": 4, "random_state": 0}
PARAMETERS = {
    MPCCClusterer: BRIEF | {"n_clusters": 3, "pseudo_labels": "kmeans", "tol": 0.0},
    MPCCClassifier: BRIEF,
    AIM: BRIEF,
    VAE: BRIEF,
    VaDEClusterer: BRIEF | {"n_clusters": 3},
}
N = 120
KINDS = np.arange(N) % 3


def people(library="pandas"):
    """Three kinds of people, in columns of all types, a tenth of the values of some missing."""
    random = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "age": pd.array(random.integers(20, 30, N) + 20 * KINDS, dtype="Int64"),
            "size": random.normal(150.0 + 15.0 * KINDS, 4.0).astype(np.float32),
            "town": np.array(["Ulm", "Bonn", "Kiel"])[KINDS],
            "member": random.random(N) < 0.5,
            "grade": pd.Categorical.from_codes(KINDS, ["low", "mid", "high"], ordered=True),
            "eyes": pd.Categorical(random.choice(["blue", "brown"], N), ["green", "brown", "blue"]),
            "visits": random.poisson(4.0, N),
        }
    )
    for name in ("age", "size", "town", "eyes"):
        X.loc[random.random(N) < 0.1, name] = None
    if library == "polars":
        X = pl.from_pandas(X.astype({"grade": str, "eyes": str}))
        return X.with_columns(pl.col("eyes").cast(pl.Enum(["green", "brown", "blue"])))
    return X


X = people()
# Columns of which nothing is missing.
WHOLE = ["member", "grade", "visits"]


def fitted(kind, given=X, **parameters):
    return kind(**PARAMETERS[kind] | parameters).fit(given, KINDS[: len(given)])


@pytest.fixture(scope="module", params=PARAMETERS, ids=lambda kind: kind.__name__)
def estimator(request):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fitted(request.param)


def sample(estimator, *arguments, **named):
    found = estimator.sample(*arguments, **named)
    return found[0] if isinstance(found, tuple) else found


def assert_of_people(found, given=X):
    """Rows as those of the fit are, without gaps."""
    assert type(found) is type(given)
    assert list(found.columns) == list(given.columns)
    assert list(found.dtypes) == list(given.dtypes)
    if isinstance(found, pl.DataFrame):
        found, given = (
            each.with_columns(pl.col("eyes").cast(pl.String)).to_pandas() for each in (found, given)
        )
    assert not found.isna().any(axis=None)
    for name in ("town", "eyes", "member"):
        assert set(found[name]) <= set(given[name].dropna())
    for name in ("age", "size", "visits"):
        assert found[name].between(given[name].min(), given[name].max()).all()


def filled(given):
    """The frame of people with any values in its gaps."""
    return given.fillna({"age": 30, "size": 160.0, "town": "Ulm", "eyes": "blue"})


# ---- Rows that come out


def test_samples_are_rows_of_the_table(estimator):
    found = sample(estimator, 50)
    assert len(found) == 50
    assert_of_people(found)
    pd.testing.assert_frame_equal(sample(estimator, 50), found)
    # Categories are drawn, and not those that are most probable.
    assert found["eyes"].nunique() == 2
    if hasattr(estimator, "sample_like"):
        assert_of_people(estimator.sample_like([0, 2, 2]))


def test_decoded_and_rebuilt_rows_are_rows_of_the_table(estimator):
    codes = estimator.transform(X)
    assert codes.dtype == np.float64
    assert np.isfinite(codes).all()
    assert_of_people(estimator.inverse_transform(codes))
    rebuilt = estimator.reconstruct(X)
    assert len(rebuilt) == N
    assert_of_people(rebuilt)


def test_centres_are_rows_of_the_table(estimator):
    name = "class_centers_" if isinstance(estimator, MPCCClassifier) else "cluster_centers_"
    if not isinstance(estimator, AIM | VAE):
        centres = getattr(estimator, name)
        assert len(centres) == 3
        assert_of_people(centres)


def test_draws_from_posteriors_are_numbers_of_the_table(estimator):
    found = estimator.sample_posterior(X[:5], 3)
    assert found.shape == (5, 3, 7)
    assert np.isfinite(found).all()
    assert set(found[:, :, 2].ravel()) <= {0.0, 1.0, 2.0}
    np.testing.assert_array_equal(estimator.sample_posterior(X[:5], 3), found)


def test_scores_and_memberships_are_finite(estimator):
    for by in ("density", "information", "reconstruction", "both"):
        scores = estimator.score_samples(X, by=by)
        assert scores.shape == (N,)
        assert np.isfinite(scores).all()
    if hasattr(estimator, "predict_proba"):
        np.testing.assert_allclose(estimator.predict_proba(X).sum(axis=1), 1.0)
        assert estimator.predict(X).shape == (N,)


def test_frames_of_polars_are_as_those_of_pandas():
    given = people("polars")
    assert_polars_equal(given, people("polars"))
    for kind in (MPCCClusterer, VAE):
        estimator = fitted(kind, given)
        assert_of_people(sample(estimator, 30), given)
        assert_of_people(estimator.reconstruct(given), given)
        assert_of_people(estimator.impute(given), given)
    numbers = X[["age", "size", "town", "member", "visits"]]
    expected = fitted(MPCCClusterer, numbers)
    found = fitted(MPCCClusterer, pl.from_pandas(numbers))
    np.testing.assert_array_equal(found.transform(pl.from_pandas(numbers)), expected.transform(numbers))
    assert found.cluster_centers_.to_dicts() == expected.cluster_centers_.to_dict("records")


# ---- Gaps


def test_imputed_tables_keep_what_is_there(estimator):
    found = estimator.impute(X)
    assert_of_people(found)
    for name in X:
        there = X[name].notna()
        pd.testing.assert_series_equal(found.loc[there, name], X.loc[there, name])
    pd.testing.assert_frame_equal(estimator.impute(filled(X)), filled(X))


def test_imputed_draws_differ_and_can_be_repeated(estimator):
    found = estimator.impute(X, n_draws=3)
    assert len(found) == 3
    for each in found:
        assert_of_people(each)
        for name in X:
            there = X[name].notna()
            pd.testing.assert_series_equal(each.loc[there, name], X.loc[there, name])
    for a, b in ((0, 1), (0, 2), (1, 2)):
        missing = X["size"].isna()
        assert (found[a].loc[missing, "size"] != found[b].loc[missing, "size"]).all()
    for again, each in zip(estimator.impute(X, n_draws=3), found, strict=True):
        pd.testing.assert_frame_equal(again, each)
    other = copy.copy(estimator).set_params(random_state=1).impute(X, n_draws=1)[0]
    assert not other.equals(found[0])
    # Of one's own stream, which goes on.
    stream = copy.copy(estimator).set_params(random_state=np.random.RandomState(0))
    assert not stream.impute(X, n_draws=1)[0].equals(stream.impute(X, n_draws=1)[0])


def test_what_is_imputed_is_like_what_was_there():
    """A third of the kinds' ages and towns is hidden, of which all other columns tell."""
    given, hidden = filled(X), np.arange(N) % 9 < 3
    given["age"] = people()["age"].fillna(25 + 20 * pd.Series(KINDS)).astype("Int64")
    given["town"] = np.array(["Ulm", "Bonn", "Kiel"])[KINDS]
    gaps = given.copy()
    gaps.loc[hidden, "age"] = pd.NA
    gaps.loc[~hidden & (np.arange(N) % 9 < 6), "town"] = None
    found = fitted(MPCCClusterer, gaps).impute(gaps)
    np.testing.assert_array_equal(found["town"], given["town"])
    assert (found["age"] - given["age"]).abs()[hidden].max() < 10


@pytest.mark.parametrize("n_draws", [0, -1, 1.5])
def test_numbers_of_draws_are_checked(estimator, n_draws):
    with pytest.raises((ValueError, TypeError), match="n_draws"):
        estimator.impute(X, n_draws=n_draws)


@pytest.mark.parametrize("kind", PARAMETERS, ids=lambda kind: kind.__name__)
def test_images_are_not_imputed(kind):
    estimator = kind(**PARAMETERS[kind]).fit(images((12, 8, 8)), KINDS[:12])
    with pytest.raises(ValueError, match="impute is for tables"):
        estimator.impute(images((12, 8, 8)))
    with pytest.raises(ValueError, match="conditions are for tables"):
        estimator.sample(3, conditions={0: 1.0})


def test_gaps_in_columns_that_had_none(estimator):
    given = X.assign(visits=X["visits"].astype("Int64"), member=X["member"].astype("boolean"))
    for name in WHOLE:
        given.loc[np.arange(N) % 5 == len(name) % 5, name] = None
    for method in ("transform", "score_samples", "predict_proba", "sample_posterior"):
        if hasattr(estimator, method):
            found = getattr(estimator, method)(given)
            assert np.isfinite(found).all(), method
    assert_of_people(estimator.reconstruct(given))
    found = estimator.impute(given)
    assert_of_people(found)
    there = given["visits"].notna()
    np.testing.assert_array_equal(found["visits"][there], X["visits"][there])
    pd.testing.assert_frame_equal(found[given.notna().all(axis=1)], X[given.notna().all(axis=1)])


def blobs():
    return make_blobs(240, 6, centers=3, cluster_std=1.0, center_box=(-8, 8), random_state=3)


@pytest.mark.parametrize("as_frame", [False, True])
def test_labels_of_rows_that_miss_a_value_stay(as_frame):
    """Nothing was missing in the fit; later one of six values is."""
    given, y = blobs()
    clusterer = MPCCClusterer(3, random_state=0, **QUICK).fit(pd.DataFrame(given) if as_frame else given)
    assert adjusted_rand_score(y, clusterer.labels_) > 0.95
    gaps = given.copy()
    gaps[np.arange(240), np.random.default_rng(0).integers(0, 6, 240)] = np.nan
    later = pd.DataFrame(gaps) if as_frame else gaps
    assert np.mean(clusterer.predict(later) == clusterer.labels_) > 0.9
    completed = np.asarray(clusterer.impute(later))
    np.testing.assert_array_equal(completed[~np.isnan(gaps)], given[~np.isnan(gaps)])
    wrong = np.abs(completed - given)[np.isnan(gaps)]
    assert np.median(wrong) < 0.6 * np.median(np.abs(given - given.mean(0))[np.isnan(gaps)])
    draws = clusterer.impute(later, n_draws=2)
    assert not np.asarray(draws[0] == draws[1])[np.isnan(gaps)].any()


@pytest.mark.parametrize("kind", PARAMETERS, ids=lambda kind: kind.__name__)
def test_arrays_may_miss_values_in_any_way(kind):
    given = np.random.default_rng(0).normal(size=(40, 4))
    given[np.random.default_rng(1).random(given.shape) < 0.1] = np.nan
    expected = kind(**PARAMETERS[kind]).fit(given, KINDS[:40])
    codes = expected.transform(given)
    assert np.isfinite(codes).all()
    for missing in (None, pd.NA, np.nan):
        objects = np.where(np.isnan(given), missing, given.astype(object))
        for other in (
            objects,
            objects.tolist(),
            pd.DataFrame(objects),
            pd.DataFrame(objects).convert_dtypes(),
        ):
            found = kind(**PARAMETERS[kind]).fit(other, KINDS[:40])
            np.testing.assert_array_equal(found.transform(other), codes)
            if not isinstance(other, pd.DataFrame):
                np.testing.assert_array_equal(expected.transform(other), codes)
    tensor = torch.from_numpy(given)
    assert torch.equal(
        kind(**PARAMETERS[kind]).fit(tensor, KINDS[:40]).transform(tensor), torch.from_numpy(codes)
    )
    filled_in = expected.impute(given)
    assert np.isfinite(filled_in).all()
    np.testing.assert_array_equal(filled_in[~np.isnan(given)], given[~np.isnan(given)])
    assert np.isfinite(sample(expected, 9)).all()


@pytest.mark.parametrize("kind", PARAMETERS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("shape", [(8, 8), (64,)])
def test_images_may_not_miss_pixels(kind, shape):
    whole = images((12, *shape))
    gaps = whole.copy()
    gaps[3].flat[5] = np.nan
    given = [(whole, gaps)]
    if shape == (64,):
        given += [tuple(pd.DataFrame(each) for each in (whole, gaps))]
        given += [(given[1][0], given[1][1].astype("Float64"))]
    for good, bad in given:
        estimator = kind(**PARAMETERS[kind], image_shape=(8, 8)).fit(good, KINDS[:12])
        for method in (estimator.transform, kind(**PARAMETERS[kind], image_shape=(8, 8)).fit):
            with pytest.raises(ValueError, match="contains NaN"):
                method(bad, KINDS[:12]) if "fit" in method.__name__ else method(bad)


def test_rows_of_images_have_no_categories():
    given = pd.DataFrame(images((12, 63))).add_prefix("p").assign(kind=["a", "b"] * 6)
    with pytest.raises(ValueError, match="rows are no images: leave out image_shape"):
        AIM(**BRIEF, image_shape=(8, 8)).fit(given)


def test_infinite_values_are_an_error(estimator):
    for given in (X.assign(visits=np.inf), X.assign(size=pd.array([np.inf] * N, dtype="Float64"))):
        with pytest.raises(ValueError, match="infinity"):
            clone(estimator).fit(given, KINDS)
        with pytest.raises(ValueError, match="infinity"):
            estimator.transform(given)


def test_unknown_categories_count_as_missing(estimator):
    unknown, gaps = X.copy(), X.copy()
    unknown.loc[5, "town"], gaps.loc[5, "town"] = "Jena", None
    np.testing.assert_array_equal(estimator.transform(unknown), estimator.transform(gaps))
    assert estimator.impute(unknown).loc[5, "town"] in {"Ulm", "Bonn", "Kiel"}


def test_dates_where_numbers_were_are_named(estimator):
    days = X.assign(visits=pd.date_range("2020", periods=N))
    with pytest.raises(ValueError, match=r"held numbers in the fit, and holds none: 'visits' \(dates\)"):
        estimator.transform(days)


# ---- Conditions


def test_conditions_hold(estimator):
    for conditions, holds in (
        ({"town": "Bonn"}, lambda rows: rows["town"] == "Bonn"),
        ({"town": ["Bonn", "Kiel"]}, lambda rows: rows["town"].isin(["Bonn", "Kiel"])),
        ({"member": True}, lambda rows: rows["member"]),
        ({"eyes": "blue", "member": False}, lambda rows: (rows["eyes"] == "blue") & ~rows["member"]),
        ({"visits": (2, 5)}, lambda rows: rows["visits"].between(2, 5)),
        ({"grade": ["low", "mid"]}, lambda rows: rows["grade"].isin(["low", "mid"])),
    ):
        found = sample(estimator, 20, conditions=conditions)
        assert len(found) == 20
        assert_of_people(found)
        assert holds(found).all(), conditions
        pd.testing.assert_frame_equal(sample(estimator, 20, conditions=conditions), found)


def test_a_single_number_is_what_samples_have(estimator):
    middle = int(np.median(sample(estimator, 200)["age"]))
    found = sample(estimator, 10, conditions={"age": middle})
    assert (found["age"] == middle).all()
    assert_of_people(found)
    assert found["size"].nunique() > 1


def test_conditions_of_clusters_and_classes():
    clusterer, classifier = fitted(MPCCClusterer), fitted(MPCCClassifier)
    _, y = clusterer.sample(9, cluster=1, conditions={"member": True})
    assert y.tolist() == [1] * 9
    _, y = classifier.sample(9, class_=2, conditions={"member": True})
    assert y.tolist() == [2] * 9
    rows, y = clusterer.sample(60, conditions={"member": True})
    assert (np.diff(y) >= 0).all()
    assert len(set(y)) > 1
    assert rows["member"].all()


def test_truth_values_beside_numbers_alone_fulfil_conditions():
    """These are numbers to the networks, which are rounded first."""
    given = pd.DataFrame({"member": KINDS == 1, "place": KINDS + np.random.default_rng(0).random(N) / 9})
    clusterer = MPCCClusterer(3, random_state=0, **QUICK).fit(given)
    found, _ = clusterer.sample(20, conditions={"member": True, "place": (0.9, 1.2)})
    assert found["member"].all()
    assert found["place"].between(0.9, 1.2).all()
    assert list(found.dtypes) == list(given.dtypes)


def test_no_conditions_are_fulfilled_by_any_row(estimator):
    assert len(sample(estimator, 20, conditions={})) == 20


def test_conditions_of_arrays_are_by_place():
    given, _ = blobs()
    vae = VAE(**BRIEF).fit(given)
    low, high = np.quantile(vae.sample(500)[:, 2], [0.3, 0.6])
    found = vae.sample(10, conditions={2: (low, high)})
    assert ((found[:, 2] >= low) & (found[:, 2] <= high)).all()
    with pytest.raises(ValueError, match="conditions has 6, but the columns are 0, 1, 2"):
        vae.sample(10, conditions={6: 1.0})


@pytest.mark.parametrize(
    ("conditions", "error", "message"),
    [
        ([("town", "Bonn")], TypeError, "conditions must be a dict of columns"),
        ({"city": "Bonn"}, ValueError, "conditions has 'city', but the columns are 'age', 'size'"),
        ({"town": "Jena"}, ValueError, "'town' to be 'Jena', but its values are 'Bonn', 'Kiel', 'Ulm'"),
        ({"town": []}, ValueError, "'town' to be nothing, but its values are"),
        ({"eyes": "green"}, ValueError, "'eyes' to be 'green'"),
        ({"visits": (5, 2)}, ValueError, r"'visits' to be \(5, 2\); for a column of numbers"),
        ({"visits": "many"}, ValueError, "'visits' to be 'many'"),
        ({"visits": float("nan")}, ValueError, "'visits' to be nan"),
        (
            {"visits": (500, 600)},
            ValueError,
            "conditions hold for 0 of .* draws, too few for n_samples=2",
        ),
    ],
)
def test_wrong_conditions_are_named(conditions, error, message, monkeypatch):
    monkeypatch.setattr("skmpcc.data.conditions.MAX_DRAWS", 2**13)
    with pytest.raises(error, match=message):
        fitted(VAE).sample(2, conditions=conditions)


# ---- Bit for bit


@pytest.mark.parametrize("kind", PARAMETERS, ids=lambda kind: kind.__name__)
def test_frames_of_numbers_are_as_arrays(kind):
    """Frames of floats, and of whole numbers, whose samples are rounded, and truth values: drawn."""
    iris = load_iris(as_frame=True).data
    random = np.random.default_rng(0)
    counts = pd.DataFrame(
        {"a": random.poisson(5, 150), "b": random.random(150) < 0.3, "c": random.integers(-9, 9, 150)}
    ).astype({"c": np.int8})
    for given in (iris, counts):
        expected = kind(**PARAMETERS[kind]).fit(given.to_numpy(dtype=np.float64), np.arange(150) % 3)
        found = kind(**PARAMETERS[kind]).fit(given, np.arange(150) % 3)
        assert_same_codes(found, expected, given)
        rows, wanted = sample(found, 40), sample(expected, 40)
        assert list(rows.dtypes) == list(given.dtypes)
        wanted = np.clip(wanted, given.min().to_numpy(float), given.max().to_numpy(float))
        rows = rows.to_numpy(dtype=float)
        if given is counts:
            in_doubt = (wanted[:, 1] > 0) & (wanted[:, 1] < 1)
            rows[in_doubt, 1] = wanted[in_doubt, 1] = 0
            wanted = np.rint(wanted)
        np.testing.assert_array_equal(rows, wanted)


def assert_same_codes(found, expected, given):
    values = given.to_numpy(dtype=np.float64)
    np.testing.assert_array_equal(found.transform(given), expected.transform(values))
    np.testing.assert_array_equal(found.score_samples(given), expected.score_samples(values))
    for name in ("labels_", "transduction_", "means_", "weights_"):
        if hasattr(expected, name):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("kind", PARAMETERS, ids=lambda kind: kind.__name__)
def test_nullable_numbers_without_gaps_are_as_others(kind):
    given = X[["visits"]].assign(size=np.linspace(0.0, 1.0, N) ** 2, flag=X["member"])
    nullable = given.astype({"visits": "Int64", "size": "Float64", "flag": "boolean"})
    codes = [fitted(kind, each).transform(each) for each in (given, nullable, pl.from_pandas(given))]
    np.testing.assert_array_equal(codes[0], codes[1])
    np.testing.assert_array_equal(codes[0], codes[2])


@pytest.mark.parametrize("kind", PARAMETERS, ids=lambda kind: kind.__name__)
def test_the_order_of_rows_does_not_matter(kind):
    order = np.random.default_rng(1).permutation(N)
    one = fitted(kind)
    other = kind(**PARAMETERS[kind]).fit(X.iloc[order], KINDS[order])
    np.testing.assert_array_equal(one.transform(X), other.transform(X))
    if hasattr(one, "labels_"):
        np.testing.assert_array_equal(one.labels_[order], other.labels_)


# ---- Files, copies, checkpoints


def through_file(estimator, folder):
    estimator.save(folder / "model.safetensors")
    return type(estimator).load(folder / "model.safetensors")


@pytest.mark.parametrize("given", [X, people("polars")], ids=["pandas", "polars"])
@pytest.mark.parametrize("kind", PARAMETERS, ids=lambda kind: kind.__name__)
def test_files_restore_everything(kind, given, tmp_path):
    estimator = fitted(kind, given)
    for again in (through_file(estimator, tmp_path), pickle.loads(pickle.dumps(estimator))):
        np.testing.assert_array_equal(again.transform(given), estimator.transform(given))
        np.testing.assert_array_equal(again.score_samples(given), estimator.score_samples(given))
        pairs = [
            (again.reconstruct(given), estimator.reconstruct(given)),
            (sample(again, 30), sample(estimator, 30)),
            (again.impute(given), estimator.impute(given)),
            (again.impute(given, 2)[1], estimator.impute(given, 2)[1]),
        ]
        for name in ("cluster_centers_", "class_centers_"):
            if hasattr(estimator, name):
                pairs.append((getattr(again, name), getattr(estimator, name)))
        for found, wanted in pairs:
            if isinstance(given, pl.DataFrame):
                assert_polars_equal(found, wanted, check_exact=True)
            else:
                pd.testing.assert_frame_equal(found, wanted, check_exact=True)


def test_files_of_arrays_with_categories(tmp_path):
    given = np.column_stack([KINDS, np.random.default_rng(0).normal(size=(N, 2))])
    given[::7, 1] = np.nan
    clusterer = fitted(MPCCClusterer, given, categorical_features=[0])
    again = through_file(clusterer, tmp_path)
    np.testing.assert_array_equal(again.cluster_centers_, clusterer.cluster_centers_)
    np.testing.assert_array_equal(again.impute(given), clusterer.impute(given))
    assert again.categorical_features == [0]
    again.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "model.safetensors").read_bytes()


def test_initializations_side_by_side_are_the_same():
    fits = [fitted(MPCCClusterer, n_init=2, n_jobs=n_jobs) for n_jobs in (1, 2)]
    for name in ("labels_", "means_", "weights_", "pseudo_labels_"):
        np.testing.assert_array_equal(getattr(fits[1], name), getattr(fits[0], name))
    pd.testing.assert_frame_equal(fits[1].cluster_centers_, fits[0].cluster_centers_)


@pytest.mark.parametrize("kind", PARAMETERS, ids=lambda kind: kind.__name__)
def test_interrupted_fits_go_on(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(_checkpoint, "SECONDS", 0.0)
    parameters = {"max_iter": 8, "tol": 0.0, "checkpoint": tmp_path / "fit"}
    expected = fitted(kind, **parameters)
    interrupted = kind(**PARAMETERS[kind] | parameters)
    with pytest.raises(KeyboardInterrupt):
        interrupted.set_callbacks(Interrupting(KeyboardInterrupt())).fit(X, KINDS)
    with pytest.raises(ValueError, match="X"):
        fitted(kind, X.assign(town="Ulm"), **parameters)
    found = fitted(kind, **parameters)
    assert_same_networks(found, expected)
    np.testing.assert_array_equal(found.transform(X), expected.transform(X))
    if kind is MPCCClusterer:
        assert_same_fit(found, expected)


def assert_same_networks(found, expected):
    states = [each._fitted.model.own_state() for each in (found, expected)]
    assert states[0].keys() == states[1].keys()
    for name, tensor in states[1].items():
        assert torch.equal(states[0][name], tensor), name


def test_fits_that_go_on_take_later_tables():
    clusterer = fitted(MPCCClusterer, warm_start=True)
    before = clusterer.means_.copy()
    later = X.iloc[::-1].reset_index(drop=True)
    later.loc[3, "visits"] = 2
    later = later.assign(visits=later["visits"].astype("Int64"))
    later.loc[7, "visits"] = pd.NA
    later.loc[9, "town"] = "Jena"
    clusterer.fit(later)
    assert not np.array_equal(clusterer.means_, before)
    assert_of_people(clusterer.sample(20)[0])
    assert_of_people(clusterer.cluster_centers_)
    assert clusterer.feature_names_in_.tolist() == list(X.columns)
    with pytest.raises(ValueError, match="holds none: 'visits'"):
        clusterer.fit(X.assign(visits=pd.date_range("2020", periods=N)))


# ---- Beside scikit-learn


def test_tags_say_what_is_taken():
    for kind in PARAMETERS:
        tags = get_tags(kind(**PARAMETERS[kind])).input_tags
        assert tags.allow_nan
        assert tags.categorical
    assert get_tags(NoveltyDetector(VAE())).input_tags.allow_nan


def test_clones_keep_the_parameter():
    for categorical in ("from_dtype", None, ["town"], [0, 2]):
        estimator = clone(VAE(categorical_features=categorical))
        assert estimator.get_params()["categorical_features"] == categorical
    with pytest.raises(ValueError, match="categorical_features"):
        VAE(categorical_features="dtype").fit(X)
    with pytest.raises(ValueError, match="categorical_features"):
        VAE(categorical_features=3).fit(X)


def test_columns_that_are_named_are_of_categories():
    given = X[["age", "size", "visits"]]
    codes = {}
    for categorical in ("from_dtype", ["visits"]):
        vae = VAE(**BRIEF, categorical_features=categorical).fit(given)
        codes[str(categorical)] = vae.transform(given)
        found = vae.sample(40)
        assert list(found.dtypes) == list(given.dtypes)
        assert set(found["visits"]) <= set(given["visits"])
    assert not np.array_equal(*codes.values())


def test_pipelines_and_searches():
    pipeline = make_pipeline(
        FunctionTransformer(lambda table: table.drop(columns="visits")), VAE(**BRIEF)
    )
    assert pipeline.fit(X).transform(X).shape == (N, 4)
    search = GridSearchCV(MPCCClassifier(**BRIEF), {"width": [8, 12]}, cv=2, error_score="raise")
    search.fit(X, KINDS)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.predict(X).shape == (N,)


def test_codes_come_in_frames_where_they_are_to():
    vae = VAE(**BRIEF).set_output(transform="pandas").fit(X.set_axis(np.arange(N) + 7))
    codes = vae.transform(X.set_axis(np.arange(N) + 7))
    assert list(codes.columns) == [f"vae{i}" for i in range(4)]
    assert codes.index.tolist() == list(range(7, N + 7))


@pytest.mark.parametrize("cv", [None, 3])
@pytest.mark.parametrize("given", [X, people("polars")], ids=["pandas", "polars"])
def test_novelties_in_tables(cv, given):
    detector = NoveltyDetector(VAE(**BRIEF), contamination=0.1, cv=cv).fit(given)
    assert np.sum(detector.predict(given) == -1) <= 0.3 * N
    far = X.copy()
    far["size"] = far["size"].astype(float)
    far.loc[4, "size"] = 1e6
    far = far if given is X else given.with_columns(pl.Series("size", far["size"].to_numpy()))
    assert detector.predict(far)[4] == -1


# ---- What looks at fits


def test_models_of_mixed_tables_are_not_exported(estimator, tmp_path):
    pytest.importorskip("onnx")
    with pytest.raises(ValueError, match="X had categories or missing values"):
        estimator.export_onnx(tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_reports_of_mixed_tables(library):
    pytest.importorskip("matplotlib")
    given = people(library)
    report = html_report(fitted(MPCCClusterer, given), given)
    assert "town" in report
    assert "What sets each cluster apart" in report


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_pictures_of_mixed_tables(library):
    plt = pytest.importorskip("matplotlib.pyplot")
    from skmpcc.plotting import ClustersDisplay, ReconstructionsDisplay

    given = people(library)
    clusterer = fitted(MPCCClusterer, given)
    assert ClustersDisplay.from_estimator(clusterer, given, n_samples=3).figure_ is not None
    assert ReconstructionsDisplay.from_estimator(clusterer, given, n_samples=3).figure_ is not None
    plt.close("all")


def test_rows_of_pandas_keep_their_index(estimator):
    rows = X.set_index(np.arange(len(X))[::-1] * 3)
    assert estimator.impute(rows).index.equals(rows.index)
    assert estimator.reconstruct(rows).index.equals(rows.index)
