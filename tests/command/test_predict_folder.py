"""`predict` with a folder of tables or arrays, file by file."""

import csv
import io
import signal
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import make_blobs

from skmpcc import MPCCClusterer
from skmpcc.__main__ import main


@pytest.fixture(scope="module")
def table():
    X, y = make_blobs(60, 3, centers=3, cluster_std=0.5, random_state=0)
    return pd.DataFrame(X, columns=["height", "width", "age"]).assign(kind=np.array(["a", "b", "c"])[y])


@pytest.fixture(scope="module")
def model(table, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    clusterer = MPCCClusterer(3, width=8, max_iter=3, tol=0.0, labels_only=True, random_state=0)
    clusterer.fit(table).save(path)
    return str(path)


@pytest.fixture
def data(table, tmp_path, monkeypatch):
    """A folder of three files of data in two folders, and others."""
    monkeypatch.chdir(tmp_path)
    below = tmp_path / "data" / "below"
    below.mkdir(parents=True)
    table.iloc[:20].to_csv("data/a.csv", index=False)
    table.iloc[20:30].to_parquet("data/a.parquet")
    table.iloc[30:].to_csv("data/below/b.TSV", index=False, sep="\t")
    (tmp_path / "data/_SUCCESS").write_text("")
    (tmp_path / "data/.hidden.csv").write_text("a,b\n1,2\n")
    return tmp_path / "data"


LABELS = ["a.csv.labels.csv", "a.parquet.labels.csv", "below/b.TSV.labels.csv"]


def labels_of(path):
    with open(path, newline="") as file:
        return [int(row["label"]) for row in csv.DictReader(file)]


def labels_in(folder):
    return [label for name in LABELS for label in labels_of(folder / name)]


def written(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_files_of_a_folder(data, model, table, capsys):
    assert main(["predict", model, "data", "--output", "out"]) == 0
    assert written(data.parent / "out") == LABELS
    expected = MPCCClusterer.load(model).predict(table).tolist()
    assert labels_in(data.parent / "out") == expected
    captured = capsys.readouterr()
    assert captured.err == "warning: Files that are neither tables nor arrays are left out: _SUCCESS.\n"
    assert captured.out.splitlines()[0] == "20 samples; written: out/a.csv.labels.csv"
    # The text of one file is the one of a file alone.
    assert main(["predict", model, "data/a.csv"]) == 0
    assert (data.parent / "labels.csv").read_bytes() == (data.parent / "out" / LABELS[0]).read_bytes()


def test_arrays_of_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X = make_blobs(40, 3, centers=2, random_state=0)[0]
    clusterer = MPCCClusterer(2, width=8, max_iter=3, tol=0.0, labels_only=True, random_state=0).fit(X)
    clusterer.save("model.safetensors")
    (tmp_path / "data").mkdir()
    np.save("data/x.npy", X[:10])
    np.savez("data/x.npz", X=X[10:])
    assert main(["predict", "model.safetensors", "data"]) == 0
    labels = labels_of("labels/x.npy.labels.csv") + labels_of("labels/x.npz.labels.csv")
    assert labels == clusterer.predict(X).tolist()


def test_a_run_goes_on_where_it_was_killed(data, model, capsys):
    assert main(["predict", model, "data"]) == 0
    folder = data.parent / "labels"
    first = {name: (folder / name).read_bytes() for name in LABELS}
    (folder / LABELS[0]).write_text("mine")
    (folder / LABELS[1]).unlink()
    capsys.readouterr()
    assert main(["predict", model, "data"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith(
        "2 of 3 files have labels in labels already, and are left out; going on with 1"
    )
    assert told[1:] == [f"10 samples; written: labels/{LABELS[1]}"]
    assert (folder / LABELS[0]).read_text() == "mine"
    assert (folder / LABELS[1]).read_bytes() == first[LABELS[1]]
    assert main(["predict", model, "data", "--force"]) == 0
    assert {name: (folder / name).read_bytes() for name in LABELS} == first


def test_results_are_no_data(data, model):
    """Where they are among the files of data, or in a folder below."""
    for output in ("data", "data/labels"):
        for _ in range(2):
            assert main(["predict", model, "data", "--output", output, "--force"]) == 0
    assert [name for name in written(data) if name.endswith(".labels.csv.labels.csv")] == []
    assert len([name for name in written(data) if name.endswith(".labels.csv")]) == 6


def test_files_that_fail_are_named_and_the_others_done(data, model, capsys):
    (data / "a.csv").write_text("height,width\n1,2\n3,4\n")
    (data / "broken.npz").write_bytes(b"PK no archive")
    assert main(["predict", model, "data", "--output", "out"]) == 2
    assert written(data.parent / "out") == LABELS[1:]
    *warnings, error = capsys.readouterr().err.splitlines()
    assert any(
        "a.csv could not be predicted: data/a.csv has no column age, kind" in each for each in warnings
    )
    assert any(
        "broken.npz could not be predicted: data/broken.npz cannot be" in each for each in warnings
    )
    assert error == (
        "error: 2 of 4 files could not be predicted: a.csv, broken.npz; the warnings say why."
    )


def test_warnings_say_of_which_file_they_are(data, model, table, capsys):
    table.iloc[:5].assign(kind="new").to_csv("data/a.csv", index=False)
    assert main(["predict", model, "data"]) == 0
    assert "warning: a.csv: Values that the fit did not see count as missing" in capsys.readouterr().err


def test_options_of_text_are_for_all_files(data, model, table):
    for name, part in (("a.csv", table.iloc[:20]), ("below/b.TSV", table.iloc[30:])):
        part.to_csv(data / name, index=False, sep=";", decimal=",")
    options = ["--decimal", ",", "--separator", ";"]
    assert main(["predict", model, "data", *options]) == 0
    expected = MPCCClusterer.load(model).predict(table).tolist()
    assert labels_in(data.parent / "labels") == expected


def test_what_is_refused_before_any_work(data, model, capsys, monkeypatch):
    def error_of(*arguments):
        assert main([*map(str, arguments)]) == 2
        return capsys.readouterr().err.splitlines()[-1]

    monkeypatch.setattr("skmpcc.command.predicting.saving", None)
    assert "cannot both be ','" in error_of("predict", model, data, "--decimal", ",", "--thousands", ",")
    (data.parent / "file").write_text("mine")
    refused = error_of("predict", model, data, "--output", "file")
    assert refused == "error: --output: file is a file, but should be a folder."
    assert "No such file or directory: none" in error_of("predict", "none", data)
    Image.new("L", (9, 10)).save(data / "below" / "image.png")
    told = "data holds 1 images as well as 1 .csv files and 1 .tsv files and 1 .parquet files"
    assert told in error_of("predict", model, "data")
    (data.parent / "empty").mkdir()
    assert "empty has no file to predict" in error_of("predict", model, "empty")


def test_missing_packages_are_told_once(data, model, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert main(["predict", model, "data"]) == 2
    assert "error: Reading data/a.parquet needs pyarrow" in capsys.readouterr().err
    assert not (data.parent / "labels").exists()


def test_an_interruption_is_no_file_that_fails(data, model, capsys, monkeypatch):
    """Although it may end in another error."""

    def fail(*arguments, **options):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise ImportError("of pandas") from None

    monkeypatch.setattr("skmpcc.command.predicting.read", fail)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert main(["predict", model, "data"]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err.splitlines()[-1] == "interrupted"


def test_one_file_at_a_time(data, model, monkeypatch):
    """Labels of a file are written before the next one is read."""
    events = []
    predicting = sys.modules["skmpcc.command.predicting"]

    def noted(name):
        function = getattr(predicting, name)

        def note(path, *arguments, **options):
            events.append((name, path.name))
            return function(path, *arguments, **options)

        monkeypatch.setattr(predicting, name, note)

    noted("read")
    noted("write_atomically")
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert main(["predict", model, "data"]) == 0
    names = [name for name, _ in events]
    assert names == ["read", "write_atomically"] * 3
