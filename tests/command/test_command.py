"""python -m skmpcc with a file or folder of samples."""

import csv
import io
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from matplotlib.figure import Figure
from PIL import Image
from sklearn.datasets import make_blobs

from skmpcc import MPCCClusterer, VaDEClusterer
from skmpcc.__main__ import main
from skmpcc.command.reading import read
from skmpcc.metrics import clustering_accuracy
from skmpcc.report import html_report

RESULTS = ["clusters.png", "labels.csv", "model.safetensors", "report.html"]
BRIEF = ["--n-clusters", "3", "--max-iter", "3", "--labels-only"]


@pytest.fixture(autouse=True)
def few_pictures(request, monkeypatch):
    """Draw nothing unless the fixture `pictures` asks for it: drawing takes longer than these fits."""
    if "pictures" not in request.fixturenames:

        def savefig(self, file, **options):
            Image.new("L", (2, 2)).save(file, "png")

        monkeypatch.setattr("matplotlib.figure.Figure.savefig", savefig)
        of_report = ("report.clusters_figure", "report._map", "report._history")
        for drawing in ("plotting.clusters.clusters_figure", *of_report):
            monkeypatch.setattr(f"skmpcc.{drawing}", lambda *arguments, **options: Figure())


@pytest.fixture
def pictures():
    """Pictures are drawn in this test."""


@pytest.fixture
def table():
    X, y = make_blobs(60, 3, centers=3, cluster_std=0.5, random_state=0)
    table = pd.DataFrame(X, columns=["height", "<b>width", "age"])
    return table.assign(kind=np.array(["a", "b", "c"])[y], flag=y == 1)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def fails(capsys):
    """Run the command, which should fail in one sentence, and return that."""

    def run(*arguments):
        assert main([str(each) for each in arguments]) == 2
        captured = capsys.readouterr()
        *_, error = captured.err.splitlines()
        assert error.startswith("error: ")
        assert captured.err.count("error: ") == 1
        return error

    return run


def run(*arguments):
    assert main([str(each) for each in arguments]) == 0


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def predicted_as_fitted(data, results="results", *more):
    run("predict", f"{results}/model.safetensors", data, "--output", "again.csv", *more)
    return rows_of("again.csv") == rows_of(f"{results}/labels.csv")


def images(folder, shape=(30, 10, 12), suffix=".png"):
    values = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    for i, image in enumerate(values):
        path = folder / f"{i // 20}" / f"{i:02}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return values


def test_csv(here, table, capsys):
    table.to_csv("data.csv", index=False)
    run("data.csv", "--output", "out", *BRIEF)
    assert sorted(path.name for path in (here / "out").iterdir()) == RESULTS
    captured = capsys.readouterr()
    assert "60 samples of shape (5,), 3 clusters, categories: kind\n" in captured.out
    assert "left out" not in captured.err
    clusterer = MPCCClusterer.load("out/model.safetensors")
    assert list(clusterer.feature_names_in_) == ["height", "<b>width", "age", "kind", "flag"]
    rows = rows_of("out/labels.csv")
    assert [int(row["row"]) for row in rows] == list(range(60))
    np.testing.assert_array_equal([int(row["label"]) for row in rows], clusterer.labels_)
    memberships = clusterer.predict_proba(table).max(axis=1)
    np.testing.assert_allclose([float(row["membership"]) for row in rows], memberships, atol=1e-6)
    scores = clusterer.score_samples(table)
    np.testing.assert_allclose([float(row["score_samples"]) for row in rows], scores, rtol=1e-5)
    assert predicted_as_fitted("data.csv", "out")


@pytest.mark.usefixtures("pictures")
def test_report(here, table):
    table.to_csv("data.csv", index=False)
    run("data.csv", *BRIEF, "--label-column", "kind")
    page = (here / "results/report.html").read_text()
    clusterer = MPCCClusterer.load("results/model.safetensors")
    assert "&lt;b&gt;width" in page
    assert "<b>" not in page
    for section in ("Sizes", "Compared with", "sets each", "Map", "Course", "Warnings", "Settings"):
        assert re.search(f"<h2>.*{section}", page), section
    # The fit of three iterations cannot have converged, and says so.
    assert '<p class="warning">' in page
    counts = np.bincount(clusterer.labels_, minlength=3)
    for k in range(3):
        assert f"<tr><td>{k}</td><td>{counts[k]}</td><td>{counts[k] / 60:.1%}</td>" in page
    means = table["age"].groupby(clusterer.labels_).mean()
    rest = table["age"][clusterer.labels_ != 0].mean()
    assert f"<td>age</td><td>{means[0]:.4g}</td><td>{rest:.4g}</td>" in page
    # Self-contained: the pictures are inside, and nothing is fetched.
    assert page.count('src="data:image/png;base64,') == page.count("src=") == 2
    assert "http" not in page


@pytest.mark.parametrize("kind", ["tsv", "parquet"])
def test_other_tables(here, table, capsys, kind):
    table["age"] = table["age"].round().astype("Int64")
    table["since"] = pd.to_timedelta(table["age"], unit="s")
    if kind == "tsv":
        table.to_csv("data.tsv", sep="\t", index=False)
    else:
        table.to_parquet("data.parquet")
    run(f"data.{kind}", *BRIEF, "--output", "all")
    told = capsys.readouterr()
    assert "Columns of dates, times or durations are left out: since." in told.err
    assert "categories: kind\n" in told.out
    assert predicted_as_fitted(f"data.{kind}", "all")
    (here / "again.csv").unlink()
    run(f"data.{kind}", *BRIEF, "--columns", "age", "height")
    clusterer = MPCCClusterer.load("results/model.safetensors")
    assert list(clusterer.feature_names_in_) == ["age", "height"]
    assert predicted_as_fitted(f"data.{kind}")


def test_index_and_columns_without_values_are_left_out(here, table, capsys):
    table.assign(nothing=np.nan).to_csv("data.csv")
    run("data.csv", *BRIEF)
    told = capsys.readouterr().err
    assert "have no values are left out: nothing" in told
    assert "The column Unnamed: 0 numbers the rows, and is left out; to keep it" in told
    names = MPCCClusterer.load("results/model.safetensors").feature_names_in_
    assert list(names) == ["height", "<b>width", "age", "kind", "flag"]


def test_files_without_header(here, capsys):
    X = make_blobs(40, 2, random_state=0)[0]
    np.savetxt("data.csv", X, delimiter=",")
    run("data.csv", *BRIEF)
    assert "pass --no-header" in capsys.readouterr().err
    assert len(rows_of("results/labels.csv")) == 39
    run("data.csv", *BRIEF, "--no-header", "--force")
    assert len(rows_of("results/labels.csv")) == 40
    assert "no-header" not in capsys.readouterr().err
    assert predicted_as_fitted("data.csv", "results", "--no-header")


@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators_are_found(here, table, separator, decimal):
    table = table.assign(note='one, "two"; three|four')
    table.to_csv("data.csv", index=False, sep=separator, decimal=decimal)
    read_back = read(here / "data.csv", decimal=decimal)
    assert read_back.names == ["height", "<b>width", "age", "kind", "flag"]
    np.testing.assert_allclose(read_back.X[["height", "age"]], table[["height", "age"]])


def test_separator_of_numbers_alone(here):
    (here / "data.csv").write_text("1,5;2,5\n3,5;4\n")
    X = read(here / "data.csv", header=False, decimal=",").X
    np.testing.assert_array_equal(X, [[1.5, 2.5], [3.5, 4.0]])
    (here / "data.csv").write_text("a\n1\n2\n")
    assert read(here / "data.csv").X.shape == (2, 1)
    # As one column it is longer than a field of csv may be.
    np.savetxt("data.csv", np.random.default_rng(0).random((3, 6000)), delimiter=",")
    assert read(here / "data.csv", header=False).X.shape == (3, 6000)


def test_separator_that_is_given(here):
    (here / "data.csv").write_text("a;b,c\n1;2,3\n4;5,6\n")
    assert read(here / "data.csv", columns=["a"]).X.shape == (2, 1)
    assert read(here / "data.csv", separator=",").names == ["c"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_encodings(here, table, fails, encoding):
    table = table.rename(columns={"height": "Größe"})
    table.to_csv("data.csv", index=False, sep=";", encoding=encoding)
    if encoding.startswith("utf-8"):
        assert read(here / "data.csv").names[0] == "Größe"
    else:
        assert "as --encoding" in fails("data.csv", *BRIEF)
    assert read(here / "data.csv", encoding=encoding).names[0] == "Größe"


def test_table_of_a_spreadsheet(here, table, capsys):
    """Semicolons, decimal commas and cp1252, in a fit and afterwards."""
    table.rename(columns={"age": "Größe"}).to_csv(
        "data.csv", index=False, sep=";", decimal=",", encoding="cp1252"
    )
    of_text = ["--decimal", ",", "--encoding", "cp1252"]
    run("data.csv", *BRIEF, *of_text)
    assert "60 samples of shape (5,)" in capsys.readouterr().out
    assert predicted_as_fitted("data.csv", "results", *of_text)
    run("data.csv", *BRIEF, "--encoding", "cp1252", "--force", "--columns", "flag")
    capsys.readouterr()
    run("data.csv", *BRIEF, "--encoding", "cp1252", "--force")
    assert "height, <b>width, Größe. Where commas stand for decimal points, pass --decimal" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("shape", [(30, 5), (30, 8, 8), (30, 8, 8, 3), (30, 3, 8, 8)])
@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_arrays(here, capsys, shape, kind):
    X = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    if kind == "npy":
        np.save("data.npy", X)
    else:
        np.savez("data.npz", X=X, y=np.repeat([0.0, 1.0, np.nan], 10))
    run(f"data.{kind}", *BRIEF)
    out = capsys.readouterr().out
    accuracy = re.search(r"^MPCC +(\S+)", out, re.MULTILINE)[1]
    assert (accuracy == "-") == (kind == "npy")
    assert predicted_as_fitted(f"data.{kind}")
    assert ("Members and new samples" in (here / "results/report.html").read_text()) == (len(shape) > 2)


def test_rows_that_are_images(here):
    np.save("data.npy", np.random.default_rng(0).random((30, 80)))
    run("data.npy", *BRIEF, "--image-shape", 8, 10)
    assert MPCCClusterer.load("results/model.safetensors").preset_ == "grey_tiny"
    assert "Members and new samples" in (here / "results/report.html").read_text()


@pytest.mark.parametrize(("channels", "suffix"), [((), ".png"), ((3,), ".png"), ((3,), ".JPG")])
def test_folder_of_images(here, channels, suffix):
    values = images(here / "data", (30, 10, 12, *channels), suffix)
    run("data", *BRIEF)
    rows = rows_of("results/labels.csv")
    assert rows[0]["file"] == f"0/00{suffix}"
    assert rows[29]["file"] == f"1/29{suffix}"
    clusterer = MPCCClusterer.load("results/model.safetensors")
    assert clusterer.cluster_centers_.shape[1:] == (10, 12, *channels)
    if suffix == ".png":
        labels = [int(row["label"]) for row in rows]
        np.testing.assert_array_equal(labels, clusterer.predict(values))
    assert predicted_as_fitted("data")


def test_predicted_images_get_the_channels_of_the_fit(here):
    images(here / "colour", (30, 10, 12, 3))
    run("colour", *BRIEF)
    images(here / "grey", (5, 10, 12))
    run("predict", "results/model.safetensors", "grey")
    assert len(rows_of("labels.csv")) == 5


def test_images_of_16_bits_keep_them(here):
    values = np.random.default_rng(0).integers(0, 60000, (20, 9, 9)).astype(np.uint16)
    (here / "data").mkdir()
    for i, image in enumerate(values):
        Image.fromarray(image).save(f"data/{i:02}.png")
    run("data", *BRIEF)
    labels = MPCCClusterer.load("results/model.safetensors").predict(values)
    assert [int(row["label"]) for row in rows_of("results/labels.csv")] == labels.tolist()


def test_other_and_hidden_files_of_folders(here, capsys):
    images(here / "data", (20, 10, 12))
    (here / "data/notes.txt").write_text("of no image")
    (here / "data/.hidden").mkdir()
    Image.new("L", (9, 10)).save("data/.hidden/other.png")
    run("data", *BRIEF)
    assert "warning: Files that are not images are left out: notes.txt." in capsys.readouterr().err
    assert len(rows_of("results/labels.csv")) == 20


def test_bad_folders(here, fails):
    (here / "data").mkdir()
    assert "has no image" in fails("data", *BRIEF)
    images(here / "data", (2, 10, 12))
    Image.new("L", (9, 10)).save("data/other.png")
    error = fails("data", *BRIEF)
    assert "12 x 10" in error
    assert "other.png has 9 x 10" in error
    (here / "data/other.png").write_bytes(b"no image")
    assert "other.png cannot be read" in fails("data", *BRIEF)


def test_missing_values(here, table, capsys):
    """Gaps are taken as they are, of numbers, of categories and of truth values."""
    table = table.astype({"kind": object, "flag": "boolean"})
    table.loc[:2, "age"] = np.nan
    table.loc[5, "height"] = np.nan
    table.loc[6:9, ["kind", "flag"]] = None
    table.to_csv("data.csv", index=False)
    run("data.csv", *BRIEF)
    captured = capsys.readouterr()
    assert "medians" not in captured.err
    clusterer = MPCCClusterer.load("results/model.safetensors")
    np.testing.assert_array_equal(clusterer.predict(table), clusterer.labels_)
    drawn, _ = clusterer.sample(5)
    assert drawn.dtypes.astype(str).to_dict() == {
        "height": "float64",
        "<b>width": "float64",
        "age": "float64",
        "kind": "category",
        "flag": "boolean",
    }
    assert predicted_as_fitted("data.csv")
    # Whatever the next file has no gaps in, or nothing but gaps.
    table.iloc[10:].to_csv("whole.csv", index=False)
    run("predict", "results/model.safetensors", "whole.csv")
    assert [row["label"] for row in rows_of("labels.csv")] == [
        row["label"] for row in rows_of("results/labels.csv")[10:]
    ]
    table.assign(kind=np.nan, flag=None).to_csv("gaps.csv", index=False)
    run("predict", "results/model.safetensors", "gaps.csv", "--force")
    expected = clusterer.predict(table.assign(kind=None, flag=None))
    assert [int(row["label"]) for row in rows_of("labels.csv")] == expected.tolist()


def test_categories_of_later_files(here, table, capsys, fails):
    """They are what the fit saw, however the file has them; others count as missing."""
    table = table.assign(code=np.array(["1", "x", "y"])[np.arange(60) % 3])
    table.to_csv("data.csv", index=False)
    run("data.csv", *BRIEF)
    capsys.readouterr()
    clusterer = MPCCClusterer.load("results/model.safetensors")
    model = "results/model.safetensors"
    later = table.assign(code=np.array(["1", "2"])[np.arange(60) % 2], kind="new", flag=1)
    expected = clusterer.predict(later.assign(kind=None, flag=True))
    for kind in ("csv", "parquet"):
        of_kind = later if kind == "csv" else later.astype({"kind": "category", "code": int})
        getattr(of_kind, f"to_{kind}")(f"later.{kind}", index=False)
        run("predict", model, f"later.{kind}", "--output", f"{kind}.csv")
        told = (
            "Values that the fit did not see count as missing, in the columns kind ('new'), code ('2')."
        )
        assert told in capsys.readouterr().err
        assert [int(row["label"]) for row in rows_of(f"{kind}.csv")] == expected.tolist()
    table.assign(age="old").to_csv("text.csv", index=False)
    error = fails("predict", model, "text.csv")
    assert "Columns of text.csv that held numbers in the fit hold none: age." in error


def test_medians_beside_categories(here, table, capsys):
    table = table.astype({"kind": object, "flag": "boolean"})
    table.loc[:2, "age"] = np.nan
    table.loc[6:9, ["kind", "flag"]] = None
    table.to_csv("data.csv", index=False)
    run("data.csv", *BRIEF, "--impute", "median")
    assert "in the columns age (3) were replaced by medians" in capsys.readouterr().err
    filled = table.assign(age=table["age"].fillna(table["age"].median()))
    clusterer = MPCCClusterer.load("results/model.safetensors")
    np.testing.assert_array_equal(clusterer.predict(filled), clusterer.labels_)
    assert predicted_as_fitted("data.csv")


@pytest.mark.usefixtures("pictures")
def test_report_of_categories(here, table):
    table.loc[3, "age"] = np.nan
    table.to_csv("data.csv", index=False)
    run("data.csv", *BRIEF)
    assert "<td>kind = a</td>" in (here / "results/report.html").read_text()
    assert np.asarray(Image.open("results/clusters.png").convert("L")).std() > 5


def test_missing_values_replaced_by_medians(here, table, fails, capsys):
    table.loc[:2, "age"] = np.nan
    table.loc[5, "height"] = np.nan
    table.to_csv("data.csv", index=False)
    run("data.csv", *BRIEF, "--impute", "median")
    assert "height (1), age (3) were replaced by medians" in capsys.readouterr().err
    assert "replaced by medians" in (here / "results/report.html").read_text()
    imputed = table.fillna(table[["age", "height"]].median())
    clusterer = MPCCClusterer.load("results/model.safetensors")
    np.testing.assert_array_equal(clusterer.predict(imputed), clusterer.labels_)
    # The medians are those of the fit, not of the rows that are predicted.
    table.iloc[:1].to_csv("one.csv", index=False)
    run("predict", "results/model.safetensors", "one.csv")
    assert rows_of("labels.csv")[0] == rows_of("results/labels.csv")[0]
    np.save("narrow.npy", np.full((3, 2), np.nan))
    assert "X has 2 features" in fails("predict", "results/model.safetensors", "narrow.npy", "--force")


def test_missing_values_of_arrays(here, fails):
    X = np.random.default_rng(0).normal(size=(20, 4))
    X[3:5, 2] = np.nan
    np.save("data.npy", X)
    run("data.npy", *BRIEF)
    labels = MPCCClusterer.load("results/model.safetensors").predict(X)
    assert [int(row["label"]) for row in rows_of("results/labels.csv")] == labels.tolist()
    assert predicted_as_fitted("data.npy")
    run("data.npy", *BRIEF, "--impute", "median", "--output", "medians")
    filled = np.where(np.isnan(X), np.nanmedian(X, axis=0), X)
    labels = MPCCClusterer.load("medians/model.safetensors").predict(filled)
    assert [int(row["label"]) for row in rows_of("medians/labels.csv")] == labels.tolist()
    np.save("data.npy", np.where(np.isnan(X), -np.inf, X))
    for more in ([], ["--impute", "median"]):
        error = fails("data.npy", *BRIEF, "--force", *more)
        assert "2 infinite values in the columns 2 (2)" in error
    X[:, 2] = np.nan
    np.save("data.npy", X)
    impute = ["--force", "--impute", "median"]
    assert "they have no values: 2" in fails("data.npy", *BRIEF, *impute)
    np.save("data.npy", np.full((20, 8, 8), np.nan))
    assert "1280 missing values" in fails("data.npy", *BRIEF, "--force")
    assert "is for tables" in fails("data.npy", *BRIEF, *impute)


def test_labels_score_and_do_nothing_else(here, table, capsys):
    numeric = table.assign(kind=table["kind"].map({"a": 0, "b": 1, "c": None}))
    numeric.to_csv("data.csv", index=False)
    run("data.csv", *BRIEF, "--label-column", "kind", "--output", "labelled")
    out = capsys.readouterr().out
    numeric.drop(columns="kind").to_csv("data.csv", index=False)
    run("data.csv", *BRIEF)
    assert rows_of("labelled/labels.csv") == rows_of("results/labels.csv")
    labels = MPCCClusterer.load("results/model.safetensors").labels_
    known = table["kind"] != "c"
    accuracy = clustering_accuracy(table["kind"][known], labels[known])
    assert re.search(rf"^MPCC +{accuracy:.3f} ", out, re.MULTILINE)
    assert "Compared with the known classes" in (here / "labelled/report.html").read_text()
    assert "Compared with the known classes" not in (here / "results/report.html").read_text()


def test_nothing_is_written_over(here, table, fails):
    table.to_csv("data.csv", index=False)
    (here / "results").mkdir()
    (here / "results/labels.csv").write_text("mine")
    (here / "results/notes.txt").write_text("mine")
    assert "results/labels.csv would be overwritten" in fails("data.csv", *BRIEF)
    assert sorted(path.name for path in (here / "results").iterdir()) == ["labels.csv", "notes.txt"]
    run("data.csv", *BRIEF, "--force")
    assert len(rows_of("results/labels.csv")) == 60
    assert (here / "results/notes.txt").read_text() == "mine"
    (here / "labels.csv").write_text("mine")
    assert "labels.csv" in fails("predict", "results/model.safetensors", "data.csv")
    assert (here / "labels.csv").read_text() == "mine"
    run("predict", "results/model.safetensors", "data.csv", "--force")
    assert rows_of("labels.csv") == rows_of("results/labels.csv")
    (here / "clusters.png").write_text("mine")
    assert "clusters.png would be overwritten" in fails()


@pytest.mark.parametrize(
    ("module", "data"),
    [("pandas", "data.csv"), ("pyarrow", "data.parquet"), ("PIL.Image", "data"), ("rich", "data.csv")],
)
def test_missing_extras(here, table, fails, monkeypatch, module, data):
    table.to_csv("data.csv")
    table.to_parquet("data.parquet")
    images(here / "data", (2, 8, 8))
    monkeypatch.setitem(sys.modules, module, None)
    error = fails(data, *BRIEF)
    package = module.replace("PIL.Image", "pillow")
    assert f"needs {package}" in error
    assert 'pip install "skmpcc[command]"' in error


def test_bad_arguments(here, table, fails):
    table.to_csv("data.csv", index=False)
    (here / "data.txt").write_text("1 2")
    (here / "broken.parquet").write_bytes(b"no parquet")
    (here / "broken.npz").write_bytes(b"PK no archive")
    (here / "empty.csv").write_text("")
    pd.DataFrame({"kind": ["3,5 kg", "4,5 kg"]}).to_csv("text.csv", index=False, sep=";")
    np.savez("other.npz", Y=np.zeros(3))
    np.savez("short.npz", X=np.zeros((3, 2)), y=np.zeros(2))
    np.save("flat.npy", np.zeros(3))
    np.save("objects.npy", np.array([{}, {}]), allow_pickle=True)
    assert "no file or folder none.csv" in fails("none.csv", *BRIEF)
    assert "data.txt cannot be read: DATA must be" in fails("data.txt", *BRIEF)
    for name in ("broken.parquet", "broken.npz", "empty.csv", "objects.npy"):
        assert f"{name} cannot be read" in fails(name, *BRIEF)
    assert "no column of numbers or categories; its columns are kind" in fails("text.csv", *BRIEF)
    assert "no array X, only Y" in fails("other.npz", *BRIEF)
    assert "one label for each of 3 samples" in fails("short.npz", *BRIEF)
    assert "shape (3,)" in fails("flat.npy", *BRIEF)
    assert "no column depth" in fails("data.csv", *BRIEF, "--columns", "depth", "age")
    assert "neither numbers nor categories: kind" in fails("text.csv", *BRIEF, "--columns", "kind")
    assert "no column depth" in fails("data.csv", *BRIEF, "--label-column", "depth")
    both = ["--label-column", "age", "--columns", "age"]
    assert "age is the label column" in fails("data.csv", *BRIEF, *both)
    assert "--columns is for" in fails("flat.npy", *BRIEF, "--columns", "age")
    assert "--decimal is for .csv, .tsv" in fails("flat.npy", *BRIEF, "--decimal", ",")
    assert "--encoding abc is not an encoding" in fails("data.csv", *BRIEF, "--encoding", "abc")
    assert "--encoding base64 is not an encoding" in fails("data.csv", *BRIEF, "--encoding", "base64")
    assert "--impute is for DATA" in fails("--impute", "median")
    assert "--encoding is for DATA" in fails("--encoding", "cp1252")
    assert "n_samples=60" in fails("data.csv", "--n-clusters", "100")
    assert "n_clusters" in fails("data.csv", "--n-clusters", "0")
    with pytest.raises(FileNotFoundError) as missing:
        MPCCClusterer.load("nothing.safetensors")
    assert f"error: {missing.value}" == fails("predict", "nothing.safetensors", "data.csv")
    assert "no file or folder none.csv" in fails("predict", "data.csv", "none.csv")
    run("data.csv", *BRIEF, "--output", "out", "--columns", "age", "height")
    table.drop(columns="age").to_csv("other.csv", index=False)
    assert "no column age" in fails("predict", "out/model.safetensors", "other.csv")
    assert "cannot be loaded" in fails("predict", "data.csv", "data.csv")
    with pytest.raises(SystemExit) as stopped:
        main(["data.csv", "--n-clusters", "many"])
    assert stopped.value.code == 2


@pytest.mark.usefixtures("pictures")
def test_picture_alone(here, table):
    table.to_csv("data.csv", index=False)
    run("data.csv", *BRIEF, "--output", "new/picture.png")
    assert [path.name for path in (here / "new").iterdir()] == ["picture.png"]
    assert np.asarray(Image.open("new/picture.png").convert("L")).std() > 5


@pytest.mark.usefixtures("pictures")
def test_folder_of_the_digits(here):
    run("--output", "digits", "--max-iter", 3, "--labels-only")
    assert sorted(path.name for path in (here / "digits").iterdir()) == RESULTS
    page = (here / "digits/report.html").read_text()
    assert "Clusters of scikit-learn&#x27;s digits" in page
    assert "Members and new samples" in page


@pytest.mark.slow
def test_as_a_process(here, table):
    table.to_csv("data.csv", index=False)
    command = [sys.executable, "-m", "skmpcc", "data.csv", "--columns", "depth"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: data.csv has no column depth")


def test_report_of_one_cluster_in_one_dimension(table):
    X = table[["age", "height"]]
    clusterer = MPCCClusterer(1, latent_dim=1, width=8, max_iter=3, tol=0.0, random_state=0).fit(X)
    page = html_report(clusterer, X, title="A & B")
    assert "<h1>A &amp; B</h1>" in page
    assert "It has all samples." in page
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        html_report(clusterer, X[:5])


# ---- What files and folders of others have


def test_separators_at_the_end_of_rows(here, table):
    """The right columns, in a fit and afterwards."""
    numbers = table[["height", "age"]]
    numbers.to_csv("data.csv", index=False)
    run("data.csv", *BRIEF)
    header, *rows = (here / "data.csv").read_text().splitlines()
    (here / "ends.csv").write_text("\n".join([header, *(f"{row}," for row in rows)]))
    run("ends.csv", *BRIEF, "--output", "ends")
    assert rows_of("ends/labels.csv") == rows_of("results/labels.csv")
    assert predicted_as_fitted("ends.csv")


def test_options_of_texts(here, table, fails):
    """Thousands, values for missing ones and lines before the table, in a fit and afterwards."""
    table = table.assign(age=np.round(table["age"] * 10_000), height=table["height"] * 10_000)
    table = table[["height", "age"]]
    text = table.map("{:,.1f}".format)
    text.loc[3, "age"] = "-"
    text.to_csv("text.csv", index=False)
    (here / "data.csv").write_text("of,two fields\n" + (here / "text.csv").read_text())
    assert "pass --skip-rows" in fails("data.csv", *BRIEF)
    options = ["--thousands", ",", "--na-values", "?", " -", "--skip-rows", "1"]
    run("data.csv", *BRIEF, *options, "--impute", "median")
    clusterer = MPCCClusterer.load("results/model.safetensors")
    assert list(clusterer.feature_names_in_) == ["height", "age"]
    table.loc[3, "age"] = np.nan
    expected = clusterer.predict(table.round(1).fillna(table.round(1).median()))
    np.testing.assert_array_equal(expected, clusterer.labels_)
    assert predicted_as_fitted("data.csv", "results", *options)
    assert "--thousands is for DATA" in fails("--thousands", ",")


def test_row_numbers_beside_a_model_of_arrays(here, table):
    X = table[["height", "age"]]
    np.save("data.npy", X)
    run("data.npy", *BRIEF)
    # With them left out there are as many columns as in the fit.
    X.set_axis(range(5, 65)).to_csv("data.csv")
    run("predict", "results/model.safetensors", "data.csv")
    np.save("numbered.npy", X.assign(age=np.arange(60)))
    run("numbered.npy", *BRIEF, "--output", "numbered")
    X.assign(age=np.arange(60)).to_csv("numbered.csv", index=False)
    run("predict", "numbered/model.safetensors", "numbered.csv", "--force")
    labels = [row["label"] for row in rows_of("labels.csv")]
    assert labels == [row["label"] for row in rows_of("numbered/labels.csv")]


def test_files_without_header_that_number_rows(here):
    X = make_blobs(40, 2, random_state=0)[0]
    np.savetxt("data.csv", np.column_stack([np.arange(40), X]), delimiter=",")
    run("data.csv", *BRIEF, "--no-header")
    assert list(MPCCClusterer.load("results/model.safetensors").feature_names_in_) == ["1", "2"]
    assert predicted_as_fitted("data.csv", "results", "--no-header")


def test_transparent_images_get_the_background_of_the_fit(here, capsys):
    rng = np.random.default_rng(0)

    def draw(folder, level, n):
        (here / folder).mkdir()
        for i in range(n):
            values = np.full((10, 12, 2), level, dtype=np.uint8)
            values[..., 1] = 255 * (rng.random((10, 12)) < 0.5)
            Image.fromarray(values, "LA").save(f"{folder}/{i:02}.png")

    draw("dark", 30, 20)
    draw("bright", 220, 3)
    run("dark", *BRIEF)
    told = "transparent in places, and were put on white"
    assert told in capsys.readouterr().err
    assert told in (here / "results/report.html").read_text()
    assert predicted_as_fitted("dark")
    capsys.readouterr()
    run("predict", "results/model.safetensors", "bright")
    assert told in capsys.readouterr().err


# ---- What must not happen


def test_names_that_a_spreadsheet_would_run(here):
    images(here / "data", (20, 10, 12))
    names = ["=1+1.png", "+a.png", "-b.png", "@c.png", "\td.png", "\re.png", "f=g.png"]
    names += [" =h.png", "\u200b=i.png", "\uff1dj.png", "\uff0bk.png", "\uff0dl.png", "\uff20m.png"]
    for i, name in enumerate(names):
        (here / f"data/0/{i:02}.png").rename(here / "data" / name)
    run("data", *BRIEF)
    written = [row["file"] for row in rows_of("results/labels.csv")]
    harmless = [name if name == "f=g.png" else f"'{name}" for name in names]
    assert set(harmless) <= set(written)
    assert not any(name.startswith(tuple("=+-@\t\r")) for name in written)
    # Whatever ends a field for others is within quotes.
    lines = (here / "results/labels.csv").read_bytes().decode().rstrip("\n").split("\n")
    assert all(line.startswith('"') for line in lines)


def test_output_is_tried_before_the_fit(here, table, fails, monkeypatch):
    table.to_csv("data.csv", index=False)
    (here / "file").write_text("mine")
    (here / "picture.png").mkdir()
    (here / "results/labels.csv").mkdir(parents=True)
    run("data.csv", *BRIEF, "--output", "fitted")
    monkeypatch.setattr(MPCCClusterer, "fit", None)
    monkeypatch.setattr(MPCCClusterer, "predict", None)
    assert "data.csv is a file, but should be a folder" in fails(
        "data.csv", *BRIEF, "--output", "data.csv"
    )
    assert "file is a file" in fails("data.csv", *BRIEF, "--output", "file/below")
    assert "picture.png is a folder" in fails("data.csv", *BRIEF, "--output", "picture.png")
    assert "results/labels.csv is a folder" in fails("data.csv", *BRIEF, "--force")
    model = "fitted/model.safetensors"
    for output in ("data.csv", model):
        error = fails("predict", model, "data.csv", "--output", output, "--force")
        assert f"{output} is an input and would be overwritten" in error
    assert "file is a file" in fails("predict", model, "data.csv", "--output", "file/below.csv")

    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied", "name")

    monkeypatch.setattr("tempfile.NamedTemporaryFile", refuse)
    told = "nothing can be written to the folder new: Permission denied."
    assert told in fails("data.csv", *BRIEF, "--output", "new")
    assert "Permission denied" in fails("predict", model, "data.csv", "--output", "new/labels.csv")
    assert (here / "file").read_text() == "mine"


def test_output_is_tried_before_data_are_read(here, table, fails, monkeypatch):
    table.to_csv("data.csv", index=False)
    before = sorted(here.iterdir())
    assert "no column depth" in fails("data.csv", *BRIEF, "--columns", "depth", "--output", "new/deep")
    assert sorted(here.iterdir()) == before

    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied", "name")

    monkeypatch.setattr("skmpcc.command.run.read", None)
    monkeypatch.setattr("skmpcc.command.predicting.read", None)
    monkeypatch.setattr("os.mkdir", refuse)
    told = "error: --output: nothing can be written to the folder new/deep: Permission denied."
    assert fails("data.csv", *BRIEF, "--output", "new/deep") == told
    assert fails("predict", "data.csv", "data.csv", "--output", "new/deep/labels.csv") == told


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        ("--help", 0, "Cluster the samples of a file"),
        ("predict --help", 0, "Give the clusters of samples"),
        ("--unknown", 2, "unrecognized arguments: --unknown"),
        ("data.csv --n-clusters many", 2, "--n-clusters: 'many' is neither a whole number nor auto"),
        ("data.csv --outlier-fraction 0.7", 2, "'0.7' is neither auto nor a number above 0 and at most"),
        ("predict model.safetensors", 2, "the following arguments are required: DATA"),
        ("--impute median", 2, "--impute is for DATA"),
        ("none.csv --n-clusters 3", 2, "no file or folder none.csv"),
        ("none --n-clusters 3", 2, "no file or folder none"),
        ("empty --n-clusters 3", 2, "empty has no image"),
        ("notes.txt --n-clusters 3", 2, "notes.txt cannot be read: DATA must be"),
        ("data.npy --n-clusters 3 --columns a", 2, "--columns is for .csv"),
        ("data.csv --n-clusters 3 --thousands . --decimal .", 2, "cannot both be '.'"),
        ("data.csv --n-clusters 3 --skip-rows -1", 2, "should not be negative"),
        ("data.csv --n-clusters 3 --encoding abc", 2, "--encoding abc is not an encoding"),
        ("data.csv --n-clusters 3 --output notes.txt", 2, "notes.txt is a file, but should be a folder"),
        ("data.csv --n-clusters 3 --output empty.png --force", 2, "empty.png is a folder"),
        ("predict none.safetensors data.csv", 2, "No such file or directory: none.safetensors"),
        ("predict empty data.csv", 2, "empty is a folder, but MODEL must be a file"),
        ("predict notes.txt none.csv", 2, "no file or folder none.csv"),
        ("predict notes.txt data.csv --output data.csv", 2, "data.csv is an input"),
    ],
)
def test_wrong_arguments_are_told_before_imports_that_take_seconds(here, arguments, status, told):
    for name in ("data.csv", "data.npy", "notes.txt"):
        (here / name).write_text("a,b\n1,2\n")
    for name in ("empty", "empty.png"):
        (here / name).mkdir()
    code = """
import runpy, sys
try:
    runpy.run_module("skmpcc", run_name="__main__", alter_sys=True)
finally:
    print("imported:", *sorted({"torch", "sklearn"} & set(sys.modules)))
"""
    command = [sys.executable, "-c", code, *arguments.split()]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == status
    assert told in " ".join((done.stdout + done.stderr).split())
    assert done.stdout.splitlines()[-1] == "imported:"


@pytest.mark.parametrize(
    ("part", "lost"),
    [("plotting.clusters.clusters_figure", "clusters.png"), ("report.html_report", "report.html")],
)
def test_a_result_that_fails_loses_no_other(here, table, fails, monkeypatch, part, lost):
    table.to_csv("data.csv", index=False)

    def fail(*arguments, **options):
        raise RuntimeError("of no importance")

    monkeypatch.setattr(f"skmpcc.{part}", fail)
    error = fails("data.csv", *BRIEF)
    assert f"results/{lost} could not be written" in error
    assert sorted(path.name for path in (here / "results").iterdir()) == sorted({*RESULTS} - {lost})
    if lost == "clusters.png":
        assert "of no importance" in (here / "results/report.html").read_text()
    assert len(rows_of("results/labels.csv")) == 60


def test_names_that_are_not_utf8(here, capsys):
    images(here / "data", (20, 10, 12))
    odd = os.fsdecode(b"caf\xe9")
    (here / "data/0/00.png").rename(here / f"data/{odd}.png")
    (here / "data").rename(here / odd)
    run(odd, *BRIEF, "--output", f"{odd}s")
    assert len(rows_of(f"{odd}s/labels.csv")) == 20
    assert rows_of(f"{odd}s/labels.csv")[-1]["file"] == r"caf\udce9.png"
    assert r"Clusters of caf\udce9" in (here / f"{odd}s/report.html").read_text()
    assert r"caf\udce9s/report.html" in capsys.readouterr().out


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_terminals_that_cannot_print(here, table, monkeypatch, encoding):
    table.to_csv("größe_Ω.csv", index=False)
    terminal = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    monkeypatch.setattr(sys, "stdout", terminal)
    run("größe_Ω.csv", *BRIEF, "--output", "Ω")
    assert sorted(path.name for path in (here / "Ω").iterdir()) == RESULTS
    assert rb"\u03a9/report.html" in terminal.buffer.getvalue()
    assert terminal.errors == "strict"


def test_nobody_reads_the_output(here, table, monkeypatch):
    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    table.to_csv("data.csv", index=False)
    run("data.csv", *BRIEF, "--output", "first")
    monkeypatch.setattr(sys, "stdout", Closed())
    run("predict", "first/model.safetensors", "data.csv")
    assert rows_of("labels.csv") == rows_of("first/labels.csv")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError(), "There is not enough memory."),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "There is not enough memory. Def"),
        (RecursionError("too deep"), "nested too deeply: too deep"),
        (OverflowError("too large"), "too large"),
        (BrokenPipeError(), "The program that reads the output has ended."),
        (pd.errors.ParserError("of pandas"), "of pandas"),
        (
            pa.ArrowNotImplementedError("of pyarrow"),
            "ArrowNotImplementedError: of pyarrow; please report",
        ),
        (PermissionError(13, "Permission denied", "x"), "x: Permission denied."),
        (KeyError("x"), "an unexpected error of skmpcc: KeyError: 'x'; please report it."),
        (ValueError(), "an unexpected error of skmpcc: ValueError: ; please report it."),
    ],
)
@pytest.mark.parametrize("arguments", [["data.csv", *BRIEF], ["predict", "m", "data.csv"]])
def test_every_error_is_a_sentence(here, fails, monkeypatch, capsys, arguments, error, told):
    def fail(*arguments, **options):
        raise error

    (here / "data.csv").write_text("a,b\n1,2\n")
    monkeypatch.setattr("skmpcc.command.checking._check_output", fail)
    assert told in fails(*arguments)
    monkeypatch.setenv("SKMPCC_TRACEBACK", "1")
    assert main([str(each) for each in arguments]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_interrupted(here, table, monkeypatch, capsys):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    table.to_csv("data.csv", index=False)
    run("data.csv", *BRIEF)
    capsys.readouterr()
    monkeypatch.setattr(MPCCClusterer, "fit", interrupt)
    monkeypatch.setattr(MPCCClusterer, "predict_proba", interrupt)
    for arguments in (
        ["data.csv", *BRIEF, "--force"],
        ["predict", "results/model.safetensors", "data.csv"],
    ):
        assert main(arguments) == 130
        assert capsys.readouterr().err.splitlines()[-1] == "interrupted"


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [1.0, 1.5, 2.0])
def test_interrupted_imports(here, seconds):
    """After Python has begun with the module, which takes seconds until all is imported."""
    np.save("data.npy", np.zeros((20, 2)))
    # Told at once, so that the clock runs from there.
    code = "import runpy, sys; print(flush=True); runpy.run_module('skmpcc', run_name='__main__')"
    command = [sys.executable, "-c", code, "data.npy", "--n-clusters", "5"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    heeding = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    with subprocess.Popen(command, **pipes, **heeding) as process:
        process.stdout.readline()
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        assert process.communicate()[1].splitlines()[-1] == "interrupted"
    assert process.returncode == 130


@pytest.fixture
def heard():
    """Interruptions are heard, also where the tests run in the background and ignore them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
def test_an_interruption_may_end_in_another_error(here, monkeypatch, capsys):
    """As while numpy is imported."""

    def fail(*arguments, **options):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise ImportError("of numpy") from None

    monkeypatch.setattr("skmpcc.command.checking._check_output", fail)
    assert main(["data.csv", *BRIEF]) == 130
    assert capsys.readouterr().err == "interrupted\n"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="This system has no full disk.")
def test_output_to_a_full_disk(here):
    np.save("data.npy", np.random.default_rng(0).normal(size=(60, 3)))
    command = [sys.executable, "-m", "skmpcc", "data.npy", *BRIEF]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0
    assert all(line.startswith("warning: ") for line in done.stderr.splitlines())
    assert sorted(path.name for path in (here / "results").iterdir()) == RESULTS


def test_interrupted_process(here):
    np.save("data.npy", np.random.default_rng(0).normal(size=(2000, 8)))
    command = [sys.executable, "-m", "skmpcc", "data.npy", "--n-clusters", "5"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # Where the tests run in the background, children would ignore the signal.
    heeding = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    with subprocess.Popen(command, **pipes, **heeding) as process:
        process.stdout.readline()  # then the fit begins
        process.send_signal(signal.SIGINT)
        assert process.communicate()[1].splitlines()[-1] == "interrupted"
    assert process.returncode == 130


@pytest.mark.parametrize("save", [MPCCClusterer.save, MPCCClusterer.export_onnx])
def test_saving_where_it_cannot_be(here, table, monkeypatch, save):
    clusterer = MPCCClusterer(2, latent_dim=1, width=8, max_iter=3, random_state=0)
    clusterer.fit(table[["age", "height"]])
    (here / "file").write_text("mine")
    (here / "folder").mkdir()
    with pytest.raises(FileNotFoundError, match=f"There is no folder {here / 'none'}"):
        save(clusterer, "none/model")
    with pytest.raises(NotADirectoryError, match=f"{here / 'file'} is not a folder"):
        save(clusterer, "file/model")
    with pytest.raises(IsADirectoryError, match=f"{here / 'folder'} is a folder"):
        save(clusterer, "folder")

    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied", ".1234.part")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(PermissionError, match=f"Permission denied: '{here / 'model'}'"):
        save(clusterer, "model")
    assert not list(here.glob(".*.part"))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"a,b\n",
        b"\0\0",
        b"a,b\n1,2,3\n4,5\n",
        b"\xff\xfe",
        b"PK\x03\x04",
        b"\x93NUMPY\x07\0",
        bytes(range(256)),
    ],
)
@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet", "npy", "npz"])
def test_odd_files(here, fails, content, suffix):
    (here / f"odd.{suffix}").write_bytes(content)
    assert f"odd.{suffix}" in fails(f"odd.{suffix}", *BRIEF)
    (here / f"loop.{suffix}").symlink_to(f"loop.{suffix}")
    assert "no file or folder" in fails(f"loop.{suffix}", *BRIEF)
    assert "no file or folder" in fails(f"odd.{suffix}/data.{suffix}", *BRIEF)


def test_odd_models(here, table, fails):
    table.to_csv("data.csv", index=False)
    run("data.csv", *BRIEF)
    whole = (here / "results/model.safetensors").read_bytes()
    for content in (b"", whole[:-9], whole[:100], b"x" * 100):
        (here / "odd.safetensors").write_bytes(content)
        assert "odd.safetensors cannot be loaded" in fails("predict", "odd.safetensors", "data.csv")
    assert "results is a folder, but MODEL must be a file" in fails("predict", "results", "data.csv")


@pytest.mark.usefixtures("pictures")
def test_another_estimator(here, table, capsys):
    table.to_csv("data.csv", index=False)
    run("data.csv", *BRIEF, "--estimator", "vade")
    clusterer = VaDEClusterer.load("results/model.safetensors")
    assert clusterer.labels_.shape == (60,)
    assert "VaDE  " in capsys.readouterr().out
    assert "VaDEClusterer" in (here / "results/report.html").read_text()
    assert predicted_as_fitted("data.csv", "results")
    with pytest.raises(ValueError, match="of the class VaDEClusterer"):
        MPCCClusterer.load("results/model.safetensors")
