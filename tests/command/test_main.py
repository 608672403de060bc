import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from skmpcc import MPCCClusterer
from skmpcc.__main__ import main
from skmpcc.plotting import ClustersDisplay

BRIEF = ["--max-iter", "3"]


def picture(path):
    return np.asarray(Image.open(path).convert("L"))


def test_digits(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("matplotlib.pyplot.figure", None)  # pyplot would keep figures open
    output = tmp_path / "digits.png"
    assert main([*BRIEF, "--output", str(output)]) == 0
    out = capsys.readouterr().out
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.strip()}
    assert len(rows["MPCC"]) == len(rows["KMeans"]) == len(rows["GaussianMixture"]) == 4
    assert float(rows["KMeans"][0]) == pytest.approx(0.79, abs=0.03)
    assert "100%" in out  # the progress bar
    assert "preset" in out
    assert picture(output).std() > 10


def test_plot_has_members_left_and_samples_right(tmp_path):
    X = load_digits().data[:200]
    clusterer = MPCCClusterer(4, max_iter=3, width=16, random_state=0).fit(X)
    display = ClustersDisplay.from_estimator(clusterer, X, image_shape=(8, 8), n_samples=5)
    assert display.axes_.shape == (4, 2)
    for k, (left, right) in enumerate(display.axes_):
        strip = left.images[0].get_array()
        assert strip.shape == (8, 40)
        members = X[clusterer.labels_ == k].reshape(-1, 8, 8)
        for column in range(min(5, len(members))):
            shown = strip[:, 8 * column : 8 * column + 8]
            assert any(np.array_equal(shown, member) for member in members)
        samples = clusterer.sample(5, cluster=k)[0].reshape(5, 8, 8)
        np.testing.assert_allclose(right.images[0].get_array(), np.concatenate(list(samples), 1))
