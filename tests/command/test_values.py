"""Numbers of clusters and shares of outliers, and labels of rows that belong nowhere."""

import argparse
import csv

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_blobs

from skmpcc import MPCCClusterer
from skmpcc.__main__ import main
from skmpcc.command.labels import labels_text
from skmpcc.command.run import CLUSTERERS
from skmpcc.command.values import n_clusters_of, outlier_fraction_of


@pytest.mark.parametrize(("text", "value"), [("auto", "auto"), ("3", 3), ("-1", -1)])
def test_numbers_of_clusters(text, value):
    assert n_clusters_of(text) == value


@pytest.mark.parametrize("text", ["many", "", "2.5", "AUTO"])
def test_what_is_no_number_of_clusters(text):
    with pytest.raises(argparse.ArgumentTypeError, match="neither a whole number nor auto"):
        n_clusters_of(text)


@pytest.mark.parametrize(("text", "value"), [("auto", "auto"), ("0.5", 0.5), ("1e-3", 0.001)])
def test_shares_of_outliers(text, value):
    assert outlier_fraction_of(text) == value


@pytest.mark.parametrize("text", ["0", "-0.1", "0.51", "nan", "inf", "few", ""])
def test_what_is_no_share_of_outliers(text):
    with pytest.raises(argparse.ArgumentTypeError, match=r"neither auto nor .* at most 0\.5"):
        outlier_fraction_of(text)


@pytest.mark.parametrize(
    ("arguments", "n_clusters", "more"),
    [
        (["data.csv"], "auto", {}),
        (["data.csv", "--n-clusters", "auto"], "auto", {}),
        (["data.csv", "--n-clusters", "4"], 4, {}),
        (["data.csv", "--outlier-fraction", "auto"], "auto", {"outlier_fraction": "auto"}),
        (["data.csv", "--outlier-fraction", "0.1"], "auto", {"outlier_fraction": 0.1}),
        ([], 10, {}),
        (["--n-clusters", "auto"], "auto", {}),
    ],
)
def test_what_the_estimator_is_given(tmp_path, monkeypatch, arguments, n_clusters, more):
    """A share of outliers if it was given alone."""
    monkeypatch.chdir(tmp_path)
    pd.DataFrame({"a": [1.5, 2.5, 2.5], "b": [1, 2, 1]}).to_csv("data.csv", index=False)
    given = []

    def take(*positional, **named):
        given.append((positional, {key: named[key] for key in named if key == "outlier_fraction"}))
        raise ValueError("It is known by now.")

    monkeypatch.setitem(CLUSTERERS, "mpcc", take)
    assert main(arguments) == 2
    assert given == [((n_clusters,), more)]


class Found:
    """A clusterer that has found two clusters and an outlier, whatever the samples are."""

    means_ = np.zeros((2, 3))
    labels_ = np.array([1, -1, 0])
    memberships = np.array([[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]])

    def predict(self, X):
        return self.labels_

    def predict_proba(self, X):
        return self.memberships

    def score_samples(self, X):
        return np.array([-1.0, -99.0, -2.0])


def test_rows_that_belong_nowhere_have_no_membership():
    rows = list(csv.reader(labels_text(Found(), None, None).decode().splitlines()))
    assert rows[1:] == [
        ["0", "1", "0.750000", "-1"],
        ["1", "-1", "0.000000", "-99"],
        ["2", "0", "1.000000", "-2"],
    ]
    assert [
        row[0] for row in csv.reader(labels_text(Found(), None, ["a", "b", "=c"]).decode().splitlines())
    ] == [
        "file",
        "a",
        "b",
        "'=c",
    ]


def test_what_a_fit_has_found_is_told(tmp_path, monkeypatch, capsys):
    class Finding(MPCCClusterer):
        """As if it had found three clusters and an outlier."""

        def fit_predict(self, X, y=None):
            asked, self.n_clusters = self.n_clusters, 3
            self.fit(X)
            self.n_clusters = asked
            self.labels_[0] = -1
            return self.labels_

    monkeypatch.setitem(CLUSTERERS, "mpcc", Finding)
    monkeypatch.chdir(tmp_path)
    X, y = make_blobs(60, 3, centers=3, cluster_std=0.1, random_state=0)
    np.savez("data.npz", X=X, y=y)
    assert main(["data.npz", "--max-iter", "3", "--labels-only", "--output", "picture.png"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "60 samples of shape (3,), number of clusters to be found"
    assert told[-2] == "3 clusters, and 1 of 60 samples belong to none (label -1)"
    # A row that belongs nowhere is a cluster of its own.
    assert told[-3].split()[:2] == ["Finding", f"{59 / 60:.3f}"]
