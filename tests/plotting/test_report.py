import re
import warnings
from html import unescape

import numpy as np
import pytest
from support import BRIEF

from skmpcc import MPCCClusterer
from skmpcc.inspection.numbers import written as _written
from skmpcc.report import html_report

pd = pytest.importorskip("pandas")
pytest.importorskip("matplotlib")


def rows_of(page):
    """Cells of each row of the page's tables."""
    rows = re.findall("<tr>(.*?)</tr>", page, re.DOTALL)
    return [[unescape(cell) for cell in re.findall("<td>(.*?)</td>", row, re.DOTALL)] for row in rows]


def report_of(X, names=None, **kwargs):
    X = X if names is None else pd.DataFrame(X, columns=pd.Index(names, dtype=object))
    clusterer = MPCCClusterer(2, random_state=0, **BRIEF).fit(X)
    # Half of the samples in each cluster, whatever so brief a fit finds.
    clusterer.labels_ = np.arange(len(clusterer.labels_)) % 2
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        return html_report(clusterer, X, **kwargs)


def of_feature(page, name):
    """Its two means and its difference, in the first cluster."""
    return next(row[1:] for row in rows_of(page) if row and row[0] == str(name))


@pytest.mark.parametrize(
    ("values", "scale", "written"),
    [
        ((1.7e9 + 0.125, 1.7e9 + 3.4), 3.0, ["1700000000.12", "1700000003.40"]),
        ((1e-9, 1.0034e-9), 1e-12, ["1.00000e-09", "1.00340e-09"]),
        ((45.318, 38.2), 29.0, ["45.32", "38.2"]),
        ((123456.7, 1e6), 3e5, ["123457", "1000000"]),
        ((0.0, -0.0), 1.0, ["0", "0"]),
        ((0.0, 1e-12), 1e-12, ["0", "1e-12"]),
        ((-1e-5, 0.3), 0.2, ["0.000", "0.3"]),  # no -0
        ((2.83312, 2.83314), 1.0, ["2.83312", "2.83314"]),  # differ by little
        ((5.0, 5.0), 0.0, ["5", "5"]),
        ((-0.0, 1.7e9), 0.0, ["0", "1700000000"]),
        ((1e20, 3.0), 5e19, ["1e+20", "3"]),
        ((123456789012345.0, 2.0), 1e14, ["123456789012345", "2"]),
        ((1e300, -1e300), 1e300, ["1e+300", "-1e+300"]),
        ((np.nan, 1.0), 1.0, ["nan", "1"]),
        ((1.7e9, 1.7e9), 1e-9, ["1700000000.000000"] * 2),  # all digits of float64
    ],
)
def test_digits(values, scale, written):
    assert _written(values, scale) == written


def test_means_that_differ_are_told_apart():
    half = np.arange(40) % 2
    noise = np.random.default_rng(0).random((40, 5))
    X = (half[:, None] + noise) * [3, 2e-12, 30, 1e305, 1e-200] + [1.7e9, 1e-9, 20, 0, 0]
    page = report_of(X, list("abcde"))
    for j, name in enumerate("abcde"):
        mean, rest, difference = of_feature(page, name)
        std = X[:, j].std() if j < 3 else np.ptp(X[:, j]) / 4
        first, second = (X[half == k, j].astype(np.longdouble).mean() for k in (0, 1))
        assert abs(float(mean) - first) < std / 50
        assert abs(float(rest) - second) < std / 50
        assert float(rest) > float(mean)
        assert -2 < float(difference) < -1
        assert ("e" in mean) == (j in (1, 3, 4))


@pytest.mark.parametrize(
    ("value", "dtype", "written"),
    [
        (0.7, np.float64, "0.7"),
        (0.1, np.float32, "0.1"),
        (1.7e9, np.float64, "1700000000"),
        (0, np.float64, "0"),
        (3, np.int64, "3"),
        (True, object, "1"),
    ],
)
def test_a_constant_feature_does_not_differ(value, dtype, written):
    # Means of parts of 55 times 0.7 differ by rounding.
    X = np.random.default_rng(0).random((55, 2)).astype(dtype if dtype != np.int64 else float)
    X = pd.DataFrame({"constant": np.full(55, value, dtype=dtype), "other": X[:, 0]})
    assert of_feature(report_of(X), "constant") == [written, written, "+0.00"]


def test_a_difference_of_nothing_has_no_sign():
    X = np.repeat(np.random.default_rng(0).random((20, 2)), 2, axis=0)
    X[0, 0] -= 1e-6
    assert of_feature(report_of(X, ["a", "b"]), "a")[2] == "+0.00"


def test_how_sure_the_choice_of_clusters_was():
    X = np.random.default_rng(0).normal(size=(60, 3))
    clusterer = MPCCClusterer(2, random_state=0, **BRIEF).fit(X)
    assert clusterer.pseudo_label_choice_ is None
    assert "pseudo-labels, which" not in html_report(clusterer, X)
    clusterer.pseudo_label_choice_ = {"kind": "spectral", "margin": 0.123, "agreement": 0.456}
    page = unescape(html_report(clusterer, X))
    assert "of the kind 'spectral'. The others that were found agree with them by 0.46, a" in page
    assert "the best that differ are behind by 0.12." in page
    clusterer.pseudo_label_choice_ |= {"margin": None, "agreement": None}
    assert "agree with them" not in html_report(clusterer, X)


def test_scores():
    X = np.random.default_rng(0).random((40, 3))
    page = report_of(X, scores={"ari": -0.0001, "accuracy": 0.91, "other": np.nan})
    assert ["0.000", "0.910", "nan"] in rows_of(page)


def test_names_are_text():
    names = ["price $US", "<b>bold</b> & \n$\\frac", "_long " * 20, "half \udcff", "🦩"]
    X = np.random.default_rng(0).random((40, 5))
    page = report_of(X, names, title="$title \udcff <i>", warnings=["$content \ud800"])
    shown = [row[0] for row in rows_of(page) if len(row) == 4]
    assert set(shown) == {*names, "half ?"} - {"half \udcff"}
    assert page.encode()
    assert "<h1>$title ? &lt;i&gt;</h1>" in page
    assert "$content ?" in page
    assert "<b>" not in page


def test_names_need_not_be_strings():
    X = np.random.default_rng(0).random((40, 2))
    shown = [row[0] for row in rows_of(report_of(X, [7.5, ("a", "<b>")])) if len(row) == 4]
    assert set(shown) == {"7.5", "('a', '<b>')"}


@pytest.mark.parametrize(
    ("values", "scale", "written"),
    [([99.996, 100.004], 1.0, ["99.996", "100.004"]), ([9.9996, 10.0004], 0.1, ["9.9996", "10.0004"])],
)
def test_means_are_not_told_apart_by_zeros(values, scale, written):
    assert _written(values, scale) == written


def test_pictures_are_drawn_without_pyplot(monkeypatch):
    monkeypatch.setattr("matplotlib.pyplot.figure", None)
    X = np.random.default_rng(0).random((30, 64))
    page = report_of(X, image_shape=(8, 8))
    assert page.count("<img") == 3


def test_rules_and_typical_rows():
    random = np.random.default_rng(0)
    half = np.arange(40) % 2
    X = pd.DataFrame({"size": 10.0 * half + random.random(40), "other": random.random(40)})
    page = unescape(report_of(X))
    assert "Rule: <code>size <= 5</code>. Of the samples that fulfil it 100% are in the cluster" in page
    assert "of the cluster's samples 100% fulfil it." in page
    shown = [
        [int(row) for row in rows.split(", ")]
        for rows in re.findall(r"Typical rows: ([\d, ]+)\. Most in doubt: [\d, ]+\.", page)
    ]
    assert [len(rows) for rows in shown] == [3, 3]
    assert [half[rows].tolist() for rows in shown] == [[0, 0, 0], [1, 1, 1]]


def test_names_of_columns_and_categories_are_text():
    half = np.arange(40) % 2
    random = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "<script>alert(1)</script>": np.array(["<script>alert(2)</script>", "b & c"])[half],
            "<img src=x>": random.random(40),
        }
    )
    page = report_of(X)
    assert "<script" not in page
    assert "<img src=x" not in page
    shown = {row[0] for row in rows_of(page) if len(row) == 4}
    assert "<script>alert(1)</script> = <script>alert(2)</script>" in shown
    assert "Rule: <code>&lt;script&gt;alert(1)&lt;/script&gt; = &lt;script&gt;" in page
