"""Data on disk that are too large for memory: a sample is fitted, all are labelled slice by slice."""

from collections import Counter

import dask.array
import h5py
import numpy as np
import pytest
import zarr
from sklearn.callback import ScoringMonitor
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score
from support import BRIEF, QUICK, Interrupting, images

from skmpcc import AIM, VAE, MPCCClassifier, MPCCClusterer, VaDEClusterer
from skmpcc.data import sliced as _sliced
from skmpcc.training import checkpoint as _checkpoint

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

N, D = 1200, 3
CENTRES = [[-9, 0, 0], [9, 0, 0], [0, 9, 9]]
METHODS = ["predict", "predict_proba", "transform", "reconstruct", "score_samples"]


class Stored:
    """An array that can be sliced, and that no one may read as a whole."""

    def __init__(self, values, chunks=None):
        self._values = values
        self.shape, self.dtype, self.chunks = values.shape, values.dtype, chunks
        self.read = []

    def __getitem__(self, rows):
        self.read.append(rows)
        return self._values[rows]

    @property
    def longest(self):
        return max(rows.stop - rows.start for rows in self.read)


def blobs():
    X, y = make_blobs(N, centers=CENTRES, random_state=0)
    return X.astype(np.float32), y


def mapped(X, path):
    file = np.memmap(path, dtype=X.dtype, mode="w+", shape=X.shape)
    file[:] = X
    file.flush()
    return np.memmap(path, dtype=X.dtype, mode="r", shape=X.shape)


@pytest.fixture
def little_memory(monkeypatch):
    """Room for a quarter of the rows, of which a hundred are read at once."""
    row = D * (4 + _sliced.ENCODED)
    monkeypatch.setattr(_sliced, "MAX_BYTES", N // 4 * row)
    monkeypatch.setattr(_sliced, "_CHUNK", 100 * row)


@pytest.mark.usefixtures("little_memory")
def test_a_sample_is_fitted_and_all_rows_are_labelled(tmp_path):
    X, y = blobs()
    fits = [
        MPCCClusterer(3, random_state=0, **QUICK).fit(given)
        for given in (mapped(X, tmp_path / "x"), Stored(X))
    ]
    for clusterer in fits:
        assert adjusted_rand_score(y, clusterer.labels_) > 0.95
        assert np.sum(clusterer.pseudo_labels_ >= 0) == N // 4
        np.testing.assert_array_equal(clusterer.predict(X), clusterer.labels_)
        np.testing.assert_array_equal(clusterer.labels_, fits[0].labels_)


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("method", METHODS)
def test_methods_read_slices(method, monkeypatch):
    X, _ = blobs()
    clusterer = MPCCClusterer(3, random_state=0, **BRIEF).fit(X)
    given, function = Stored(X), getattr(clusterer, method)
    monkeypatch.setattr(type(clusterer._fitted), "batch_size", 200)
    found = function(given)
    assert given.longest <= 200
    np.testing.assert_array_equal(found, function(X))


def of_hdf5(X, path):
    return h5py.File(path, "w").create_dataset("X", data=X, chunks=(70, *X.shape[1:]), compression=1)


def of_hdf5_in_one_piece(X, path):
    return h5py.File(path, "w").create_dataset("X", data=X)


def of_zarr(X, path):
    return zarr.create_array(path, data=X, chunks=(70, *X.shape[1:]))


@pytest.mark.parametrize("little", [False, True])
@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((600, 5), np.float32), ((600, 5), np.float64), ((600, 5), ">i4"), ((150, 8, 8), np.uint8)],
)
def test_arrays_of_hdf5_and_zarr_are_as_numpys(shape, dtype, little, tmp_path, monkeypatch):
    X = images(shape, dtype)
    if little:
        row = X[0].size * (X.itemsize + _sliced.ENCODED)
        monkeypatch.setattr(_sliced, "MAX_BYTES", len(X) // 2 * row)
        monkeypatch.setattr(_sliced, "_CHUNK", len(X) // 4 * row)
    expected = MPCCClusterer(2, random_state=0, **BRIEF).fit(Stored(X) if little else X)
    for stored in (of_hdf5, of_hdf5_in_one_piece, of_zarr):
        given = stored(X, tmp_path / stored.__name__)
        found = MPCCClusterer(2, random_state=0, **BRIEF).fit(given)
        np.testing.assert_array_equal(found.labels_, expected.labels_)
        for method in METHODS:
            np.testing.assert_array_equal(getattr(found, method)(given), getattr(expected, method)(X))


@pytest.mark.usefixtures("little_memory")
def test_chunks_are_read_once(monkeypatch):
    X, _ = blobs()
    clusterer = MPCCClusterer(3, random_state=0, **BRIEF).fit(X)
    expected = clusterer.predict(X)
    monkeypatch.setattr(type(clusterer._fitted), "batch_size", 60)
    for chunk, wanted in [(45, 90), (130, 130), (N, N // 4), (None, 100)]:
        given = Stored(X, chunk and (chunk, D))
        np.testing.assert_array_equal(clusterer.predict(given), expected)
        assert [rows.start for rows in given.read] == list(range(0, N, wanted))


@pytest.mark.usefixtures("little_memory")
def test_blocks_of_dask_are_computed_once(monkeypatch):
    X, y = blobs()
    computed = Counter()

    def counted(block, block_info):
        computed.update([block_info[0]["chunk-location"][0]])
        return block

    given = dask.array.from_array(X, chunks=((40, 30, 250, 200, 130, 0, 50, 200, 300), D))
    given = given.map_blocks(counted, meta=X[:0])
    clusterer = MPCCClusterer(3, random_state=0, **BRIEF)
    with dask.config.set(scheduler="synchronous"):
        clusterer.set_callbacks(ScoringMonitor(scoring="adjusted_rand_score")).fit(given, y)
        of_fit = {computed.pop(block) for block in range(9) if block != 5}
        monkeypatch.setattr(type(clusterer._fitted), "batch_size", 60)
        labels = clusterer.predict(given)
    np.testing.assert_array_equal(labels, clusterer.predict(X))
    # Of a fit each block as often as all others: for the sample, for the labels, for scores.
    assert len(of_fit) == 1
    assert {computed[block] for block in range(9) if block != 5} == {1}


@pytest.mark.usefixtures("little_memory")
def test_rows_outside_of_the_sample_are_checked_before_the_training():
    X, _ = blobs()
    X[np.arange(0, N, 10), 1] = np.inf
    clusterer = MPCCClusterer(3, random_state=0, **BRIEF)
    with pytest.raises(ValueError, match="X contains infinity"):
        clusterer.fit(Stored(X))
    with pytest.raises(ValueError, match="Complex data"):
        clusterer.fit(Stored(X.astype(np.complex64)))
    assert not hasattr(clusterer, "labels_")
    clusterer.fit(blobs()[0])
    with pytest.raises(ValueError, match="was fitted on"):
        clusterer.predict(Stored(np.zeros((N, D + 1), np.float32)))


@pytest.mark.usefixtures("little_memory")
def test_weights_and_score():
    X, y = blobs()
    clusterer = MPCCClusterer(2, random_state=0, **QUICK)
    clusterer.fit(Stored(X), sample_weight=np.where(y == 2, 0.0, 1.5))
    taught = clusterer.pseudo_labels_ >= 0
    assert np.sum(taught) == N // 4
    assert not np.any(taught & (y == 2))
    assert np.isfinite(clusterer.score(Stored(X)))


@pytest.mark.usefixtures("little_memory")
def test_rows_of_known_class_are_in_the_sample():
    X, y = blobs()
    told = np.full(N, -1)
    told[::100] = y[::100]
    classifier = MPCCClassifier(
        random_state=0, max_iter=30, width=16, pseudo_labels="neighbors", tol=0.0
    ).fit(Stored(X), told)
    np.testing.assert_array_equal(classifier.transduction_[::100], y[::100])
    assert np.mean(classifier.transduction_ == y) > 0.9
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        classifier.fit(Stored(X), told[1:])


@pytest.mark.usefixtures("little_memory")
def test_a_checkpoint_knows_the_data(tmp_path, monkeypatch):
    monkeypatch.setattr(_checkpoint, "SECONDS", 0.0)
    X, _ = blobs()
    path = tmp_path / "fit"
    quick = QUICK | {"max_iter": 30, "random_state": 0, "checkpoint": path}
    expected = MPCCClusterer(3, **quick).fit(Stored(X))
    interrupting = Interrupting(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        MPCCClusterer(3, **quick).set_callbacks(interrupting).fit(Stored(X))
    with pytest.raises(ValueError, match="X"):
        MPCCClusterer(3, **quick).fit(Stored(X + 1))
    found = MPCCClusterer(3, **quick).fit(Stored(X))
    np.testing.assert_array_equal(found.means_, expected.means_)


@pytest.mark.usefixtures("little_memory")
def test_arrays_of_dask_are_read_in_slices_and_stay_lazy_where_blocks_are_mapped():
    X, _ = blobs()
    lazy = dask.array.from_array(X, chunks=(250, D))
    clusterer = MPCCClusterer(3, random_state=0, **BRIEF).fit(lazy)
    expected = MPCCClusterer(3, random_state=0, **BRIEF).fit(Stored(X))
    np.testing.assert_array_equal(clusterer.labels_, expected.labels_)
    np.testing.assert_array_equal(clusterer.predict(lazy), clusterer.labels_)
    labels = lazy.map_blocks(clusterer.predict, dtype=np.int64, drop_axis=1)
    codes = lazy.map_blocks(
        clusterer.transform, dtype=np.float32, chunks=(lazy.chunks[0], clusterer.means_.shape[1:])
    )
    assert codes.shape == (N, clusterer.means_.shape[1])
    np.testing.assert_array_equal(labels.compute(), clusterer.labels_)
    np.testing.assert_allclose(codes.compute(), clusterer.transform(X), atol=1e-5)


@pytest.mark.usefixtures("little_memory")
def test_aim_fits_a_sample():
    X, _ = blobs()
    aim = AIM(max_iter=3, width=8, random_state=0).fit(Stored(X))
    assert aim.transform(Stored(X)).shape == (N, aim.transform(X).shape[1])


def test_small_arrays_of_other_libraries_are_read(monkeypatch):
    X = images((20, 8, 8), np.float32)
    clusterer = MPCCClusterer(2, random_state=0, **BRIEF).fit(X)
    other = MPCCClusterer(2, random_state=0, **BRIEF).fit(Stored(X))
    np.testing.assert_array_equal(clusterer.labels_, other.labels_)
    np.testing.assert_array_equal(clusterer.transform(X), other.transform(Stored(X)))


KINDS = {
    MPCCClusterer: BRIEF | {"n_clusters": 2, "random_state": 0},
    MPCCClassifier: {"max_iter": 3, "width": 8, "random_state": 0},
    AIM: {"max_iter": 3, "width": 8, "random_state": 0},
    VAE: {"max_iter": 3, "width": 8, "random_state": 0},
    VaDEClusterer: BRIEF | {"n_clusters": 2, "random_state": 0},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("n", "side", "message"),
    [
        (1, 300, "X has 1 sample.* while a minimum of 2 is required"),
        (3, 300, "Each sample of X takes .* MiB, but of data on disk a fit holds at most"),
        (1, 10, "minimum of 2 is required"),
    ],
)
def test_too_few_samples_are_an_error(kind, n, side, message, tmp_path, monkeypatch):
    """One sample larger than all that memory is to hold was an index out of bounds."""
    monkeypatch.setattr(_sliced, "MAX_BYTES", 1000)
    X = mapped(np.ones((n, side), np.float32), tmp_path / "x")
    with pytest.raises(ValueError, match=message):
        kind(**KINDS[kind]).fit(X, np.arange(n))


@pytest.mark.usefixtures("little_memory")
def test_rows_on_disk_are_drawn_by_weight_in_any_order():
    X = blobs()[0]
    order, weights = np.random.default_rng(0).permutation(N), np.random.default_rng(1).uniform(1, 3, N)
    codes = [
        MPCCClusterer(**KINDS[MPCCClusterer])
        .fit(Stored(X[rows]), None, factor * weights[rows])
        .transform(X)
        for rows, factor in ((slice(None), 1.0), (order, 0.3))
    ]
    np.testing.assert_array_equal(*codes)


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("weighted", [False, True])
def test_no_class_on_disk_is_lost(weighted):
    X, y = blobs()
    y = np.where(np.arange(N) == 700, 17, y)
    weights = np.where(y == 17, 1e-5, np.random.default_rng(1).uniform(1, 3, N)) if weighted else None
    classifier = MPCCClassifier(**KINDS[MPCCClassifier]).fit(Stored(X), y, weights)
    assert classifier.classes_.tolist() == [0, 1, 2, 17]


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("weighted", [False, True])
def test_values_on_disk_may_be_missing(weighted, tmp_path):
    X, y = blobs()
    X[np.random.default_rng(0).random(X.shape) < 0.1] = np.nan
    weights = np.random.default_rng(1).uniform(1, 3, N) if weighted else None
    given = mapped(X, tmp_path / "x")
    clusterer = MPCCClusterer(3, random_state=0, **QUICK).fit(given, sample_weight=weights)
    assert adjusted_rand_score(y, clusterer.labels_) > 0.85
    for method in METHODS:
        found = getattr(clusterer, method)(given)
        np.testing.assert_array_equal(found, getattr(clusterer, method)(X))
        assert np.isfinite(found).all(), method
    np.testing.assert_array_equal(clusterer.predict(given), clusterer.labels_)
    filled = clusterer.impute(given)
    np.testing.assert_array_equal(filled[~np.isnan(X)], X[~np.isnan(X)])
    assert np.isfinite(filled).all()


@pytest.mark.usefixtures("little_memory")
def test_values_on_disk_may_be_missing_where_none_was_in_the_fit(tmp_path):
    X, _ = blobs()
    clusterer = MPCCClusterer(3, random_state=0, **QUICK).fit(X)
    expected = clusterer.labels_
    X[5::6, 0] = np.nan
    labels = clusterer.predict(mapped(X, tmp_path / "x"))
    np.testing.assert_array_equal(labels, clusterer.predict(X))
    assert np.mean(labels == expected) > 0.9


@pytest.mark.parametrize("shape", [(8, 8), (64,)])
def test_pixels_on_disk_may_not_be_missing(shape, tmp_path, monkeypatch):
    """Neither those that a fit sees nor others."""
    X = images((40, *shape), np.float32)
    monkeypatch.setattr(_sliced, "MAX_BYTES", X.nbytes // 2)
    parameters = BRIEF | {"random_state": 0, "image_shape": (8, 8)}
    clusterer = MPCCClusterer(2, **parameters).fit(mapped(X, tmp_path / "x"))
    X[37].flat[3] = np.nan
    given = mapped(X, tmp_path / "y")
    for method in (clusterer.predict, MPCCClusterer(2, **parameters).fit):
        with pytest.raises(ValueError, match="contains NaN"):
            method(given)
