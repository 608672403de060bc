"""Texts whose separators, titles, names, units and numbers may be taken for others."""

import os
import threading

import numpy as np
import pandas as pd
import pytest

from skmpcc.command.reading import read
from skmpcc.command.reading_units import is_unit

# ---- Whole columns


def test_columns_are_read_as_a_whole(taken):
    """And not in parts, of which pandas takes some for numbers."""
    n = 400_000
    text = "a;b\n" + "9,499;1\n" * n + '"1.234,5";2\n'
    for options in ({}, {"thousands": "."}):
        _, values, _ = taken(text, decimal=",", **options)
        assert {row[0] for row in values} == {9.499, 1234.5}


# ---- Names of rows


@pytest.mark.parametrize(
    ("rows", "fits"),
    [
        (["r1,2,7", "r2,4,9", "r3,6,8"], True),
        (["12,2,7", "5,4,9", "9,6,8"], True),
        (["r1,2,7", "r2,4,", "r3,6,8"], True),
        (["r1,2,7", "r1,4,9", "r3,6,8"], False),  # not distinct
        (["r1,2,7", ",4,9", "r3,6,8"], False),
        (["1.5,2,7", "2.5,4,9", "3.5,6,8"], False),  # no whole numbers
        (["1,2,7", "3,4,", "5,6,8"], True),
        (["1,2,", "3,4,", "5,6,x"], False),
        (["r1,2,", "r2,4,", "r3,6,8"], False),  # mostly blank
        (["r1,2,7", "r2,4", "r3,6,8"], False),  # not of one width
    ],
)
def test_names_of_rows(taken, rows, fits):
    text = "a,b\n" + "".join(f"{row}\n" for row in rows)
    if fits:
        assert taken(text)[0] == ["a", "b"]
        return
    with pytest.raises(ValueError, match="has 3 values, but there are only 2 names"):
        taken(text)


def test_names_of_rows_behind_the_first_lines(taken):
    rows = [f"{i},{i / 2},{i % 7}\n" for i in range(150)]
    assert taken("a,b\n" + "".join(rows))[0] == ["a", "b"]
    with pytest.raises(ValueError, match="only 2 names"):
        taken("a,b\n" + "".join([*rows, "3,1.5,2\n"]))
    with pytest.raises(ValueError, match="only 2 names"):
        taken("a,b\n" + "1,2,\n" * 120 + "3,4,5\n")


# ---- What separates the columns


@pytest.mark.parametrize(
    ("header", "rows", "names"),
    [
        ("Anteil;Quote", ["3,5%;2,1%", "4,7%;8,2%"], []),
        ("Preis;Fl", ["131.828,50 €;5,32", "220.100,10 €;7,1", "5,00 €;7"], ["Fl"]),
        ("Gewicht;Höhe", ["3,5 kg;2,1 m", "4,5 kg;2,2 m"], []),
        ("von;n", ["1,5-2,5;x1", "2,5-3,5;x2"], []),
        ("Preis\tn", ["18,75 €\t3", "9,75 €\t4"], ["n"]),
        ("Preis|n", ["18,75 €|3,5", "9,75 €|4,5"], ["n"]),
        ("Ort|n", ["45.123, 8.2|29,77", "46.123, 8.9|30,77"], ["n"]),
        ("Preis, netto|Fläche, qm", ["18,75 €|5,32", "9,75 €|6,32"], ["Fläche, qm"]),
    ],
)
@pytest.mark.parametrize("title", ["", "Bericht, Stand 2020\n"])
def test_separators_beside_decimal_commas(taken, header, rows, names, title):
    text = title + header + "\n" + "".join(f"{row}\n" for row in rows)
    separator = next(mark for mark in ";\t|" if mark in header)
    columns = header.split(separator)
    if names:
        assert taken(text, decimal=",")[0] == names
    for options in ({}, {"decimal": ","}):
        try:
            found = taken(text, **options)[0]
        except ValueError as error:
            assert f"its columns are {', '.join(columns)}." in str(error)  # noqa: PT017
        else:
            assert set(found) <= set(columns)


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["-9,967e-01", "3,433e+01"], [-0.9967, 34.33]),
        (["1.009,9", "3,4"], [1009.9, 3.4]),
        (["9,9", "NULL", "3,4"], [9.9, np.nan, 3.4]),
        (["-", "9,9", "3,4"], [np.nan, 9.9, 3.4]),
        (["9,9", "10", "11", "12"], [9.9, 10, 11, 12]),
        (["9,9 %", "3,4 %"], None),
    ],
)
@pytest.mark.parametrize("name", ["wert", "Wert 2"])
def test_a_single_column_of_decimal_commas(taken, cells, values, name):
    text = name + "\n" + "".join(f"{cell}\n" for cell in cells)
    if values is None:
        with pytest.raises(
            ValueError, match=f"no column of numbers or categories; its columns are {name}"
        ):
            taken(text, decimal=",")
        return
    names, found, _ = taken(text, decimal=",", na_values=["-"])
    assert names == [name]
    np.testing.assert_array_equal(np.ravel(found), values)
    with pytest.raises(ValueError, match=f"columns are {name}. Where commas .* --decimal ','"):
        taken(text, na_values=["-"])


def test_commas_of_a_name_and_of_decimals(taken):
    text = "Preis, netto\n1,5\n2,5\n"
    with pytest.raises(ValueError, match="--separator , for two columns, and --separator tab for one"):
        taken(text, decimal=",")
    assert taken(text, decimal=",", separator="tab")[1] == [[1.5], [2.5]]
    assert taken("a,b\n1.5,2\n3,4\n", decimal=",", separator=",")[0] == ["b"]
    assert taken("1,5\n2,5\n", decimal=",", header=False)[1] == [[1.5], [2.5]]


# ---- Titles and names


@pytest.mark.parametrize(
    ("titles", "header", "rows"),
    [
        ("Source, ONS\n", "Region,2019,2020", ["R0,5.1,4.2", "R1,5.3,4"]),
        ("Population by region\nSource: ONS, 2020\n\n", "Region,2019,2020", ["R0,5.1,4", "R1,5,4.5"]),
        ("Tabelle 1;Bevölkerung\n", "Jahr;2019;2020", ["0;5.1;4.2", "1;5.2;4.3"]),
        ("Table,,\n", ",2019,2020", ["n0,5.1,4.2", "n1,5.2,4.3"]),
        ("Emissions\n", "Country,1990,1995,2000", ["A,51,42,7", "B,910,820,73"]),
    ],
)
def test_names_that_are_years(taken, titles, header, rows):
    text = titles + header + "\n" + "".join(f"{row}\n" for row in rows)
    names, values, told = taken(text)
    years = [name for name in header.replace(";", ",").split(",") if name.isdigit()]
    assert names[-len(years) :] == years
    assert len(values) == len(rows)
    assert "were skipped" in told[0]


@pytest.mark.parametrize(
    "text",
    [
        "Population\nRegion,2019\nR0,5.1\nR1,4.2\n",
        "Population, total, all\nRegion,2019,2020\nR0,5.1,7\nR1,4.2,7\n",
        "Dose\nplant,10,20,30\np1,0.5,0.6,0.7\np2,0.5,0.8,0.7\n",
        "Doses,,\nplant,10,20\np1,0.5,0.6\np2,0.5,0.8\n",
        "Source, ONS\nRegion,2019,2020\nR0,1950,5020\nR1,4100,4200\n",
    ],
)
def test_lines_that_may_have_names(taken, text):
    with pytest.raises(ValueError, match=r"may have the names .* --skip-rows.* --no-header"):
        taken(text)
    assert len(taken(text, skip_rows=1)[1]) == 2


def test_names_of_the_first_columns_alone(taken):
    text = "gruppe,,\ng0,2.52,0.51\ng1,2.6,0.7\n"
    names, values, told = taken(text)
    assert (names, values) == (["Unnamed: 1", "Unnamed: 2"], [[2.52, 0.51], [2.6, 0.7]])
    assert "names 1 of its 3 columns: 'gruppe'" in told[0]
    names, values, _ = taken("group,x,\nA,,\nB,1.5,2\nC,2.5,3\n")
    assert names == ["x", "Unnamed: 2"]
    assert values[1:] == [[1.5, 2], [2.5, 3]]


def test_a_title_of_more_fields_than_the_table(taken):
    text = "Report, created, by, us, on Monday\na,b\n1.2,3.4\n"
    names, values, told = taken(text)
    assert (names, values) == (["a", "b"], [[1.2, 3.4]])
    assert "Report, created, by, us, on Monday" in told[0]
    assert taken("a,b,c\n1,2\n3,4\n")[0] == ["a", "b"]
    # Two tables below each other.
    with pytest.raises(ValueError, match="but there are only 1 names"):
        taken("Table A\na,b\n1,2\n3,4\nTable B\nc,d,e\n1,2,3\n4,5,6\n")


# ---- Units


@pytest.mark.parametrize(
    "units", ["kWh/m²,10^3/µL,μg m-3", "KG,MM,hPa", "€/t,[x],cells/mL", "Jahre,°,1/s", "s,m,m.s-1"]
)
def test_known_units(taken, units):
    names, values, told = taken(f"a,b,c\n{units}\n1,2.5,3\n3,4,5\n")
    assert (names, len(values)) == (["a", "b", "c"], 2)
    assert "read as a line of units" in told[0]


@pytest.mark.parametrize(
    "line", ["err,err,err", "high,low,mid", "TBD,TBD,TBD", "x,x,x", "mean,std,mean", "us,uk,fr"]
)
def test_texts_that_are_no_units(taken, line):
    with pytest.raises(ValueError, match=rf"{line.split(',')[2]}.* not a known unit.* --na-values"):
        taken(f"a,b,c\n{line}\n1,2.5,3\n3,4,5\n")


@pytest.mark.parametrize("text", ["<0.5", "12 %", "-", "n/d", "A/B", "T", "F", "am", "nd", "ok", ""])
def test_no_units(text):
    assert not is_unit(text)


# ---- Numbers


def test_points_beside_decimal_commas(taken):
    for proof in ("3,5", "3,5 %"):
        text = f"Stadt;Einwohner;km\nA;1.852;{proof}\nB;391;4,1{proof[3:]}\n"
        with pytest.raises(ValueError, match=r"points of the column Einwohner.* --decimal , .*\. if"):
            taken(text)
        names, values, _ = taken(text, decimal=",")
        assert names[0] == "Einwohner"
        assert [row[0] for row in values] == [1852, 391]
        assert [row[0] for row in taken(text, decimal=".")[1]] == [1.852, 391]
        # Decimal points for sure.
        assert taken(text.replace("391", "3.9"))[1] == [[1.852], [3.9]]


def test_numbers_in_another_style_are_not_called_missing(taken):
    _, _, told = taken("E;x\n391;3\n12;3\n3.555.750;4\n1.852;6\n")
    assert "1 of 4 values are not numbers: '3.555.750' (1) (for numbers in another style" in told[0]
    assert "--na-values" not in told[0]
    _, _, told = taken("E;x\n391;3\n12;3\n3.555.750;4\n?;6\n1;2\n")
    assert "--na-values '?'; for numbers in another style" in told[0]


@pytest.mark.parametrize(
    ("cells", "given"),
    [([" -", "- "], "-"), (["  .", "."], "."), ([": ", " :"], " :"), ([" - ", "-"], " - ")],
)
def test_missing_values_with_blanks(taken, cells, given):
    rows = "".join(f'{i}.2,"{cell}",3.{i}\n' for i, cell in enumerate([*cells, "5", " NA", " nan "]))
    names, values, told = taken(f"a,b,c\n{rows}", na_values=[given])
    assert (names, told) == (["a", "b", "c"], [])
    np.testing.assert_array_equal([row[1] for row in values], [np.nan, np.nan, 5, np.nan, np.nan])


def test_missing_values_that_are_numbers(taken):
    _, values, _ = taken("a;b\n-999,0;1\n3;-999\n2;4\n", decimal=",", na_values=["-999"])
    np.testing.assert_array_equal(values, [[np.nan, 1], [3, np.nan], [2, 4]])
    _, values, _ = taken("a;b\n-99,9;1\n3;2\n", decimal=",", na_values=["-99.9"])
    assert np.isnan(values[0][0])


def test_truth_that_is_missing(taken, tmp_path):
    names, values, _ = taken("a,b\nTrue,1.5\n,2.5\nfalse,3\n")
    assert names == ["a", "b"]
    assert [row[0] for row in values] == [True, pd.NA, False]
    assert taken("a,b\nTrue,1.5\nTRUE,2.5\nfalse,3\n")[1] == [[True, 1.5], [True, 2.5], [False, 3]]
    pd.DataFrame({"a": [True, None, False], "b": [1.5, 2, 3]}).to_parquet(tmp_path / "data.parquet")
    assert read(tmp_path / "data.parquet").X["a"].tolist() == [True, pd.NA, False]
    # Numbers to a model, which says what is text.
    X = read(tmp_path / "data.parquet", texts=()).X
    np.testing.assert_array_equal(X["a"], [1, np.nan, 0])


# ---- Columns that number the rows


@pytest.mark.parametrize("name", ["Unnamed: 0.1", "Unnamed: 0.1.1"])
def test_an_index_that_was_saved_twice(taken, name):
    names, _, told = taken(f"{name},a\n0,1.5\n3,2.5\n7,4.5\n")
    assert names == ["a"]
    assert f"The column {name} numbers the rows" in told[0]


def test_an_index_of_several_levels(taken):
    names, _, told = taken(",,a,b\n0,0,1.5,2\n0,1,2.5,2\n1,0,3.5,1\n1,1,9.5,1\n")
    assert names == ["a", "b"]
    assert "Unnamed: 0 numbers the rows together with Unnamed: 1" in told[0]
    # Not distinct.
    names = taken(",,a,b\n0,0,1.5,2\n0,0,2.5,2\n1,0,3.5,1\n1,1,9.5,1\n")[0]
    assert names == ["Unnamed: 0", "Unnamed: 1", "a", "b"]


def test_row_numbers_alone(taken):
    text = "id,a,b\n0,3.1%,4.2%\n1,3.2%,4.4%\n"
    with pytest.raises(
        ValueError, match=r"number or name its rows: id; .* cannot be taken: a, b\."
    ) as info:
        taken(text)
    assert "--columns" in str(info.value)
    assert taken(text, columns=["id"])[0] == ["id"]
    with pytest.raises(ValueError, match=r"Unnamed: 0; .*Where commas stand for decimal points"):
        taken(";a\n1;3,5\n2;2,5\n")
    names, _, told = taken("id\n7\n3\n")
    assert names == ["id"]
    assert "The column id seems to number the rows, but is kept" in told[0]


# ---- Pipes


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="This system has no pipes with names.")
def test_a_pipe(tmp_path):
    path = tmp_path / "data.csv"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_text, args=("a,b\n1,2.5\n3,4\n",))
    writer.start()
    samples = read(path)
    writer.join()
    assert samples.X.to_numpy().tolist() == [[1, 2.5], [3, 4]]
