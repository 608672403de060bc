"""Tables and images as spreadsheets, statistics programs and drawing programs write them."""

import io
import os
import struct
import subprocess
import zipfile
import zlib
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import EpsImagePlugin, Image

from skmpcc.command.reading import read

# ---- Fields that are too many


@pytest.mark.parametrize("end", ["", ",", ",,"])
@pytest.mark.parametrize("of_header", ["", ","])
def test_separators_at_the_end_of_rows(taken, end, of_header):
    text = f"a,b{of_header}\n1.5,2{end}\n3,4.5{end}\n"
    assert taken(text) == (["a", "b"], [[1.5, 2], [3, 4.5]], [])
    tabs = text.replace(",", "\t")
    assert taken(tabs, "data.tsv", columns=["b"])[1] == [[2], [4.5]]


def test_separators_at_the_end_in_other_places(taken):
    values = [[1.5, 2.0], [3.0, 4.5]]
    assert taken("1.5,2,\n3,4.5,\n", header=False) == (["0", "1"], values, [])
    assert taken("a;b\n1,5;2;\n3;4,5;\n", decimal=",")[:2] == (["a", "b"], values)
    # Behind the first lines, and in some rows alone.
    assert len(taken("a,b\n" + "1,2\n" * 120 + "3,4,,\n")[1]) == 121
    assert taken("a,b,c\n1,2,,\n3,4,5\n")[1][1] == [3, 4, 5]
    # Columns without names hold something.
    assert taken("a,b,\n1,2,3.5\n3,4,3.5\n")[0] == ["a", "b", "Unnamed: 2"]


def test_fields_that_are_too_many(taken):
    for text in ("a,b\n1,2,3,4\n3,4,5,6\n", "a,b\n1,2\n3,4,5\n", "a,b\n1,2,,\n3,4,,5\n"):
        with pytest.raises(ValueError, match="values, but there are only 2 names"):
            taken(text)
    with pytest.raises(ValueError, match=r"row 121 .* has 3 values"):
        taken("a,b\n" + "1,2\n" * 120 + "3,4,5\n")
    with pytest.raises(ValueError, match="row 2 has 3 values, but the first one has 2"):
        taken("1,2\n3,4,5\n", header=False)


@pytest.mark.parametrize("first", ["r{}", "{}"])
@pytest.mark.parametrize("end", ["", "\t"])
def test_header_without_a_name_for_row_names(taken, first, end):
    rows = [f"{first.format(i * 7 % 6)}\t{i / 2}\tNA{end}\n" for i in range(6)]
    names, values, told = taken("height\twidth\n" + "".join(rows), "data.tsv")
    assert (names, values) == (["height"], [[i / 2] for i in range(6)])
    assert "Unnamed: 0" in told[0 if first != "{}" else -1]
    if first == "{}":
        assert "names of the rows" in told[-1]
        assert "--columns" in told[-1]
        assert taken("a\tb\n7\t1\t2\n5\t3\t4\n", "data.tsv", columns=["Unnamed: 0", "b"])[1] == [
            [7, 2],
            [5, 4],
        ]


# ---- Columns that number the rows


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "rownames", "id", "subject_id"])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_columns_that_number_rows_are_left_out(tmp_path, name, kind):
    if kind == "parquet" and not name:
        name = "__index_level_0__"
    numbers = [7, 3, 11, 5]
    table = pa.table({name: numbers, "a": [1.5, 2.5, 2.5, 1.0], "b": [4, 4, 2, 1]})
    path = tmp_path / f"data.{kind}"
    if kind == "csv":
        table.to_pandas().to_csv(path, index=False)
    else:
        pyarrow.parquet.write_table(table, path)
    shown = name or "Unnamed: 0"
    with pytest.warns(UserWarning, match=f"The column {shown} .* left out; .* --columns"):
        assert read(path).names == ["a", "b"]
    assert read(path, columns=[shown, "a"]).names == [shown, "a"]
    assert read(path, label_column=shown).names == ["a", "b"]
    assert read(path, n_columns=3).names == [shown, "a", "b"]


def test_columns_that_do_not_number_rows(taken):
    assert taken("id\n7\n3\n")[0] == ["id"]
    assert taken("id,a\n7,1.5\n7,2.5\n")[0] == ["id", "a"]
    assert taken("id,a\n7,1.5\n,2.5\n")[0] == ["id", "a"]
    counted = [f"{i},{i * 1.5}\n" for i in range(12)]
    assert taken("".join(counted), header=False)[0] == ["1"]
    assert taken("".join(counted[:5]), header=False)[0] == ["0", "1"]
    # As long as others are left.
    assert taken("id,x\n" + "".join(f"{i},{i + 3}\n" for i in range(12)))[0] == ["x"]


# ---- Numbers


@pytest.mark.parametrize(
    ("texts", "options", "values"),
    [
        (["12,300", "950", "1,234,567.8"], {}, [12300, 950, 1234567.8]),
        (
            ["12 300", "1\u202f950,5", "-1\u00a0234\u00a0567"],
            {"decimal": ","},
            [12300, 1950.5, -1234567],
        ),
        (["12'300", "1’950.5", "3"], {}, [12300, 1950.5, 3]),
        (["1.234,5", "12.300", "3,5"], {"decimal": ","}, [1234.5, 12300, 3.5]),
        (["1.234,5", "12.300", "3,5"], {"thousands": "."}, [1234.5, 12300, 3.5]),
        (["12,300", "950", "1,234"], {"thousands": ","}, [12300, 950, 1234]),
        (["12,300", "9,5", "0,123"], {"decimal": ","}, [12.3, 9.5, 0.123]),
    ],
)
def test_separators_of_thousands(taken, texts, options, values):
    text = "a;b\n" + "".join(f'"{each}";{i % 2}\n' for i, each in enumerate(texts))
    names, found, told = taken(text, **options)
    assert names == ["a", "b"]
    assert [row[0] for row in found] == values
    guessed = "thousands" not in options and any(mark in texts[0][:3] for mark in ", '.")
    guessed &= options.get("decimal") != "," or "," not in texts[0][:3]
    assert len(told) == guessed
    assert all("separators of thousands" in each and "--thousands" in each for each in told)


def test_commas_of_decimals_are_none_of_thousands(taken):
    for text in ('"1,5";"12,300";1\n"2,5";"13,400";2\n', '"0,123";"12,300";1\n"12,300";"13,400";2\n'):
        names, _, told = taken("a;b;c\n" + text)
        assert names == ["c"]
        assert "a, b. Where commas stand for decimal points, pass --decimal ','" in told[0]
    names, _, told = taken("a;b\n1.234.567;1\n1.300.000;2\n")
    assert names == ["b"]
    assert "pass --thousands '.'" in told[0]
    with pytest.raises(ValueError, match="cannot both be ','"):
        taken("a\n1\n", thousands=",", decimal=",")
    # A single column, which is not two of whole numbers.
    assert taken("a\n1,5\n2,5\n", decimal=",")[1] == [[1.5], [2.5]]


@pytest.mark.parametrize("cell", [".", "-", "--", "#DIV/0!", "<0.5", "\\N", "?", "n.d.", "12 %", "€ 3"])
def test_cells_that_are_no_numbers_are_named(taken, cell):
    text = f"x,y,kind\n1,2,u\n{cell},3,v\n4,5,w\n{cell},5,w\n4,5,w\n"
    names, _, told = taken(text)
    assert names == ["y", "kind"]
    assert f"The column x is left out: 2 of 5 values are not numbers: {cell!r} (2)" in told[0]
    assert "--na-values" in told[0]
    assert len(told) == 1
    with pytest.raises(
        ValueError, match=r"named in --columns hold neither .* categories: x, where 2 of 5 values"
    ):
        taken(text, columns=["x", "y"])
    names, values, _ = taken(text, na_values=[cell])
    assert names == ["x", "y", "kind"]
    assert np.isnan(values[1][0])


def test_blank_cells_and_large_numbers(taken):
    names, values, told = taken(f"x,y\n1, \n{10**30},2\n1,3\n")
    assert (names, told) == (["x", "y"], [])
    assert np.isnan(values[0][1])
    assert values[1][0] == 1e30


def test_exact_decimals_of_parquet(tmp_path):
    exact = [Decimal("1.50"), None, Decimal("2.25")]
    table = pa.table({"a": pa.array(exact, pa.decimal128(10, 2)), "b": [1.0, 2.0, 2.0]})
    pyarrow.parquet.write_table(table, tmp_path / "data.parquet")
    np.testing.assert_array_equal(read(tmp_path / "data.parquet").X, [[1.5, 1], [np.nan, 2], [2.25, 2]])
    frame = table.to_pandas(types_mapper=pd.ArrowDtype)
    frame.to_parquet(tmp_path / "data.parquet")
    assert read(tmp_path / "data.parquet").names == ["a", "b"]


# ---- Lines of spreadsheets


def test_line_that_says_what_separates(taken):
    for end in ("\n", "\r\n", "\r"):
        text = f"sep=;{end}a;b{end}1,5;2{end}3;4,5{end}"
        assert taken(text, decimal=",")[:2] == (["a", "b"], [[1.5, 2], [3, 4.5]])
        assert taken("\ufeff" + text, decimal=",")[0] == ["a", "b"]
    assert taken("sep=^\na^b\n1^2.5\n".encode("utf-16"), encoding="utf-16")[0] == ["a", "b"]
    assert taken("sep=;\nTitle\na,b\n1,2\n", separator=",", skip_rows=2)[0] == ["a", "b"]


@pytest.mark.parametrize(
    "titles",
    ["Plants, 2024\n", "Plants 2024\n\n", "Plants,,\n,,\n", "Kew\nDate,2024-01-01\nCount,12\n\n"],
)
def test_titles(taken, titles):
    names, values, told = taken(titles + "a,b,c\n1,2.5,3\n3,4,5\n")
    assert (names, values) == (["a", "b", "c"], [[1, 2.5, 3], [3, 4, 5]])
    assert all(repr(line.rstrip(",")) in told[0] for line in titles.splitlines() if line.strip(","))
    assert "--skip-rows" in told[0]
    n = titles.count("\n")
    assert taken(titles + "1,2.5,3\n3,4,5\n", header=False, skip_rows=n)[1] == [[1, 2.5, 3], [3, 4, 5]]


def test_what_is_no_title(taken):
    # Values are missing at the end of the first rows.
    names, values, told = taken("a,b,c\n1,2,\n3,4,\n5,6,7\n")
    assert (names, len(values), told) == (["a", "b", "c"], 3, [])
    assert taken("Title\n1,2,3\n4,5,6\n", header=False)[1] == [[1, 2, 3], [4, 5, 6]]
    with pytest.raises(ValueError, match=r"3 values, but there are only 1 names .*--skip-rows"):
        taken("Title\n1,2,3\n4,5,6\n", separator=",")


@pytest.mark.parametrize("units", ["mm;kg", "[°C];(s)", "years;", ";[s]", " mm ;%", "m/s;mmHg"])
def test_units(taken, units):
    names, values, told = taken(f"a;b;kind\n{units};\n1;2.5;u\n3;4;v\n")
    assert (names, values) == (["a", "b"], [[1, 2.5], [3, 4]])
    assert "read as a line of units" in told[0]
    assert repr(units.rstrip(";")) in told[0]


def test_what_is_no_line_of_units(taken):
    # A sample without values keeps its place.
    with pytest.raises(ValueError, match="no column of numbers"):
        taken("name;a;b\nAnna;k.A.;k.A.\nBob;1;2.5\nEve;3;4\n")
    text = "a;b\nn.d.;n.d.\n1;2.5\n3;4\n"
    assert len(taken(text, na_values=["n.d."])[1]) == 3
    # Names, below a title of as many fields.
    text = "Plants;2024;Kew\nheight;width;depth\n1;2.5;3\n3;4;5\n"
    with pytest.raises(ValueError, match=r"'height', 'width', 'depth'.* --skip-rows"):
        taken(text)
    assert taken(text, skip_rows=1)[0] == ["height", "width", "depth"]


def test_line_ends_quotes_and_long_names(taken):
    assert taken("a,b\r\n1,2.5\n3,4\r5,6\r\n")[1] == [[1, 2.5], [3, 4], [5, 6]]
    assert taken('"a ""x""","b,\nc"\n"1","2.5"\n')[0] == ['a "x"', "b,\nc"]
    assert taken("x" * 200_000 + ",b\n1,2\n3,5\n")[1] == [[1, 2], [3, 5]]
    with pytest.raises(ValueError, match="EOF inside string"):
        taken('a,b\n1,"2\n3,4\n')
    with pytest.raises(ValueError, match="utf-16"):
        taken("a,b\n1,2\n".encode("utf-16-le"))


# ---- Arrays


def header_of(shape):
    header = io.BytesIO()
    fields = {"descr": "<f8", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, fields)
    return header.getvalue()


@pytest.mark.parametrize("shape", [(2**40, 8), (2**63, 2**63), (3, 3)])
def test_arrays_that_claim_too_much(tmp_path, monkeypatch, shape):
    monkeypatch.setattr(np, "load", None)
    (tmp_path / "data.npy").write_bytes(header_of(shape) + bytes(64))
    with pytest.raises(ValueError, match=r"data\.npy cannot be read: an array of shape .* at most"):
        read(tmp_path / "data.npy")
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(tmp_path / "data.npz", "w", compression) as archive:
            archive.writestr("X.npy", header_of(shape) + bytes(64))
        with pytest.raises(ValueError, match=r"data\.npz cannot be read: an array of shape .* at most"):
            read(tmp_path / "data.npz")


def test_pickles_are_not_read(tmp_path):
    for content in (b"\x80\x04K\x01.", b"", b"PK"):
        (tmp_path / "data.npy").write_bytes(content)
        with pytest.raises(ValueError, match="not an array saved by NumPy"):
            read(tmp_path / "data.npy")


# ---- Images

MASK = np.zeros((9, 8), dtype=np.uint8)
MASK[2:6, 3:5] = 1


def in_alpha(kind, level):
    """A shape of one grey level in the alpha channel."""
    alpha = Image.fromarray(MASK * 255)
    if kind == "P":
        image = Image.fromarray(MASK, "P")
        image.putpalette([level] * 6)
        image.info["transparency"] = 0
        return image
    image = Image.new({"LA": "L", "RGBA": "RGB"}[kind], alpha.size, (level,) * len(kind[:-1]))
    image.putalpha(alpha)
    return image


@pytest.mark.parametrize("level", [0, 100, 200, 255])
@pytest.mark.parametrize("kind", ["LA", "RGBA", "P"])
def test_shapes_in_transparency(tmp_path, kind, level):
    for i in range(3):
        in_alpha(kind, level).save(tmp_path / f"{i}.png")
    Image.fromarray(MASK).save(tmp_path / "opaque.png")
    background = 255 if level < 128 else 0
    tone = "white" if level < 128 else "black"
    with pytest.warns(UserWarning, match=f"3 of 4 images are transparent in places, .* put on {tone}"):
        samples = read(tmp_path)
    assert samples.background == background
    assert samples.X.shape[1:] == ((9, 8) if kind == "LA" else (9, 8, 3))
    X = samples.X.reshape(4, 9, 8, -1)
    assert np.all(X[0][MASK == 1] == level)
    assert np.all(X[0][MASK == 0] == background)
    assert np.all(X[3][..., 0] == MASK)
    with pytest.warns(UserWarning, match="transparent"):
        assert read(tmp_path, background=255 - background).X[0].max() == max(level, 255 - background)


@pytest.mark.parametrize(("tones", "background"), [((0, 255), 127), ((0, 200), 100), ((40, 90), 255)])
@pytest.mark.parametrize("together", [True, False])
def test_transparent_images_of_two_tones(tmp_path, tones, background, together):
    """None of them vanishes, be they in one image or in several."""
    for i in range(4):
        image = in_alpha("LA", tones[i % 2])
        if together:
            levels = np.asarray(image).copy()
            levels[:4, :, 0], levels[4:, :, 0] = tones
            image = Image.fromarray(levels, "LA")
        image.save(tmp_path / f"{i}.png")
    with pytest.warns(UserWarning, match="transparent in places"):
        samples = read(tmp_path)
    assert abs(samples.background - background) <= 1
    with pytest.warns(UserWarning, match="can hardly be seen: 0.png"):
        read(tmp_path, background=tones[0] + 5)


def test_images_without_transparency(tmp_path):
    image = Image.fromarray(MASK, "P")
    image.putpalette([10, 20, 30, 200, 100, 0])
    image.save(tmp_path / "0.png")
    samples = read(tmp_path)
    assert samples.X[0, 0, 0].tolist() == [10, 20, 30]
    assert samples.X[0, 2, 3].tolist() == [200, 100, 0]
    Image.fromarray(MASK.astype(bool)).save(tmp_path / "0.png")
    assert np.array_equal(read(tmp_path).X[0], MASK * 255)
    Image.fromarray(MASK.astype(np.uint16) * 4095).save(tmp_path / "0.png")
    assert np.array_equal(read(tmp_path).X[0], MASK * np.uint16(4095))
    opaque = np.full((9, 8, 4), 255, dtype=np.uint8)
    Image.fromarray(opaque).save(tmp_path / "0.png")
    assert read(tmp_path).background is None


@pytest.mark.parametrize("name", ["shape.png", "shape.jpg"])
def test_other_kinds_of_images_are_not_opened(tmp_path, monkeypatch, name):
    def refuse(*arguments, **options):
        raise AssertionError("A program is run.")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(os, "system", refuse)
    gif = io.BytesIO()
    Image.fromarray(MASK).save(gif, "GIF")
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 8\n%%EndComments\nshowpage\n%%EOF\n"
    for content in (eps, gif.getvalue(), b"", b"text"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name} cannot be read: it is neither PNG nor JPEG"):
            read(tmp_path)


def png(width, height):
    def chunk(kind, content):
        return (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def test_broken_images(tmp_path):
    noise = io.BytesIO()
    values = np.random.default_rng(0).integers(0, 256, (60, 60)).astype(np.uint8)
    Image.fromarray(values).save(noise, "JPEG")
    whole = png(30, 30)
    for content in (whole[:8], whole[:40], whole, noise.getvalue()[:900], noise.getvalue()[:3]):
        (tmp_path / "x.png").write_bytes(content)
        with pytest.raises(ValueError, match=r"x\.png cannot be read as an image: "):
            read(tmp_path)
    for side in (10_000, 60_000):
        (tmp_path / "x.png").write_bytes(png(side, side))
        with pytest.raises(ValueError, match=r"x\.png cannot be read as an image: Image size .* bomb"):
            read(tmp_path)


@pytest.mark.parametrize("suffix", ["parquet", "CSV", "npy"])
def test_folder_of_tables(tmp_path, suffix):
    for i in range(3):
        (tmp_path / f"part-{i}.{suffix}").write_bytes(b"")
    (tmp_path / "_SUCCESS").write_bytes(b"")
    for options in ({}, {"columns": ["a"]}):
        with pytest.raises(
            ValueError, match=f"holds 3 .{suffix.lower()} files and no image. DATA should be"
        ):
            read(tmp_path, **options)
