import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from skmpcc import MPCCClusterer
from skmpcc.__main__ import main
from skmpcc.plotting import plot_clusters

BRIEF = ["--max-iter", "3"]


def picture(path):
    return np.asarray(Image.open(path).convert("L"))


def test_digits(tmp_path, capsys):
    output = tmp_path / "digits.png"
    assert main([*BRIEF, "--output", str(output)]) == 0
    out = capsys.readouterr().out
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.strip()}
    assert len(rows["MPCC"]) == len(rows["KMeans"]) == len(rows["GaussianMixture"]) == 4
    assert float(rows["KMeans"][0]) == pytest.approx(0.79, abs=0.03)
    assert "100%" in out  # the progress bar
    assert "preset" in out
    assert picture(output).std() > 10


@pytest.mark.parametrize("shape", [(30, 5), (30, 8, 8), (30, 8, 8, 3), (30, 3, 8, 8)])
@pytest.mark.parametrize("labelled", [True, False])
def test_files(tmp_path, capsys, shape, labelled):
    random = np.random.default_rng(0)
    arrays = {"X": random.integers(0, 256, shape).astype(np.uint8)}
    if labelled:
        arrays["y"] = np.repeat([0, 1, 2], 10)
    np.savez(tmp_path / "data.npz", **arrays)
    output = tmp_path / "out.png"
    options = ["--data", str(tmp_path / "data.npz"), "--output", str(output), *BRIEF]
    assert main(options if labelled else [*options, "--n-clusters", "2"]) == 0
    assert f"{3 if labelled else 2} clusters" in capsys.readouterr().out
    assert picture(output).std() > 5


def test_bad_files(tmp_path, capsys):
    assert main(["--data", str(tmp_path / "none.npz")]) == 1
    np.savez(tmp_path / "data.npz", Y=np.zeros(3))
    assert main(["--data", str(tmp_path / "data.npz")]) == 1
    assert "no array X" in capsys.readouterr().err


def test_plot_has_members_left_and_samples_right(tmp_path):
    X = load_digits().data[:200]
    clusterer = MPCCClusterer(4, max_iter=3, width=16, random_state=0).fit(X)
    figure = plot_clusters(clusterer, X, image_shape=(8, 8), n_columns=5)
    assert len(figure.axes) == 8
    for k in range(4):
        left, right = figure.axes[2 * k : 2 * k + 2]
        strip = left.images[0].get_array()
        assert strip.shape == (8, 40)
        members = X[clusterer.labels_ == k].reshape(-1, 8, 8)
        for column in range(min(5, len(members))):
            shown = strip[:, 8 * column : 8 * column + 8]
            assert any(np.array_equal(shown, member) for member in members)
        samples = clusterer.sample(5, cluster=k)[0].reshape(5, 8, 8)
        np.testing.assert_allclose(right.images[0].get_array(), np.concatenate(list(samples), 1))
