"""Tables of text in any style, and images of any kind: what is read is what was written."""

import io
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from PIL import Image

from skmpcc.command.reading import read
from skmpcc.data.frames import numbers_rows

N_EXAMPLES = 2000
# Another number draws other examples.
SEED = int(os.environ.get("SKMPCC_FUZZ_SEED", "0"))
QUIET = {"deadline": None, "suppress_health_check": list(HealthCheck)}
SIZES = pytest.mark.parametrize(
    "n_examples",
    [pytest.param(60, id="some"), pytest.param(N_EXAMPLES, id="many", marks=pytest.mark.slow)],
)
NAMES = [
    "height",
    "größe",
    "a b",
    "x",
    "y1",
    "T (°C)",
    'say "so"',
    "semi;colon",
    "com,ma",
    "wei|ght",
    "n",
]
UNITS = ["mm", "kg", "[°C]", "(s)", "m/s", "%", "years", "µg/L", "mmHg", "counts"]
TITLES = ["Measurements", "Export of 2024-03-01", "Größen in mm", "Station No. 7"]
# Texts that have numbers in them, or what separates columns.
BESIDE = ["", "", "of a, b; c|d", "18#75 €", "3#5%", "2#5 kg", "1#5-2#5", "45.123, 8.2", "1#5; 2#5"]
YEARS = ["2019", "2020", "2021", "2022", "2023", "2024"]
GROUPS = {"none": "", ",": ",", ".": ".", " ": " ", "narrow": "\u202f", "'": "'"}


def run_examples(test, n_examples):
    settings(max_examples=n_examples, derandomize=n_examples < N_EXAMPLES, database=None, **QUIET)(
        test if n_examples < N_EXAMPLES else seed(SEED)(test)
    )()


@st.composite
def frames(draw):
    """Columns of numbers that no rule leaves out, with or without values that are missing."""
    n_rows = draw(st.one_of(st.integers(3, 30), st.integers(95, 130)))
    n_columns = draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    names = draw(st.permutations(NAMES))[:n_columns]
    frame = pd.DataFrame(index=range(n_rows))
    for name in names:
        scale = 10.0 ** draw(st.integers(-3, 7))
        digits = draw(st.integers(0, 4))
        values = np.round(rng.normal(size=n_rows) * scale, digits)
        values[0] = values[-1]  # no two rows differ in all, so that no column numbers them
        frame[name] = values + 0.0
    if draw(st.booleans()):
        missing = rng.random(frame.shape) < 0.2
        missing[0], missing[-1] = False, False
        frame = frame.mask(missing)
    return frame


@st.composite
def styles(draw):
    decimal = draw(st.sampled_from([".", ","]))
    separator = draw(st.sampled_from([";", "\t", "|", ","]))
    return {
        "separator": separator,
        "decimal": decimal,
        "group": draw(st.sampled_from([each for each in GROUPS if each != decimal])),
        "trailing": draw(st.integers(0, 2)),
        "header_trails": draw(st.booleans()),
        "row_names": draw(
            st.sampled_from(["none", "none", "index", "R", "R text", "id", "twice", "levels"])
        ),
        "beside": draw(st.sampled_from(BESIDE)),
        "groups": draw(st.sampled_from(["", "", "text", "truth"])),
        "of_groups": draw(st.integers(0, 2**32 - 1)),
        "years": draw(st.booleans()),
        "blanks": draw(st.booleans()),
        "titles": draw(st.lists(st.sampled_from([*TITLES, ""]), max_size=3)),
        "padded": draw(st.booleans()),
        "units": draw(st.booleans()),
        "header": draw(st.sampled_from([True, True, True, False])),
        "sep_line": draw(st.booleans()),
        "encoding": draw(st.sampled_from(["utf-8", "utf-8-sig", "cp1252", "utf-16"])),
        "na": draw(st.sampled_from(["", "", "NA", "NaN", "n.d.", ".", "-", "#DIV/0!"])),
        "line_end": draw(st.sampled_from(["\n", "\r\n", "\r"])),
        "quote_all": draw(st.booleans()),
        "tsv": draw(st.booleans()),
        "say_separator": draw(st.booleans()),
        "say_thousands": draw(st.booleans()),
    }


def number(value, style):
    if np.isnan(value):
        return f" {style['na']} " if style["blanks"] else style["na"]
    text = f"{value:,.4f}".rstrip("0").rstrip(".")
    whole, _, part = text.partition(".")
    whole = whole.replace(",", GROUPS[style["group"]])
    return whole + (style["decimal"] + part if part else "")


GROUP_TEXTS = {"text": ["red", "dark blue", "größe"], "truth": ["True", "FALSE", "true"]}


def groups_of(n_rows, style):
    """Column of categories or truth values as text, None where they are missing."""
    rng = np.random.default_rng(style["of_groups"])
    texts = [*GROUP_TEXTS[style["groups"]], None]
    values = [texts[i] for i in rng.integers(0, 4, n_rows)]
    return [texts[0], *values[1:-1], texts[0]]


def taken_groups(values, style):
    """What is read of them: nothing if they tell nothing."""
    if style["groups"] == "truth":
        return [None if value is None else value.lower() == "true" for value in values]
    return values if len({*values} - {None}) > 1 else None


def written(frame, style):
    """Text of a table, and arguments with which it is read."""
    n_rows = len(frame)
    header = YEARS[: frame.shape[1]] if style["years"] else list(frame.columns)
    rows = [[number(value, style) for value in row] for row in frame.to_numpy()]
    units = [UNITS[i % len(UNITS)] for i in range(len(header))]
    numbers = np.random.default_rng(0).permutation(3 * n_rows)[:n_rows]
    first = {
        "none": None,
        "index": ("", numbers),
        "id": ("id", numbers),
        "R": (None, numbers),
        "R text": (None, [f"r{i}" for i in numbers]),
        "twice": ("Unnamed: 0.1", numbers),
        "levels": ("", np.arange(n_rows) // 3),
    }[style["row_names"]]
    if first is not None:
        name, values = first
        header = header if name is None else [name, *header]
        rows = [[str(value), *row] for value, row in zip(values, rows, strict=True)]
        units = ["", *units]
    if style["row_names"] == "levels":
        header = ["", *header]
        rows = [[row[0], str(i % 3), *row[1:]] for i, row in enumerate(rows)]
        units = ["", *units]
    if style["beside"]:
        header = [*header, "kind"]
        rows = [[*row, style["beside"].replace("#", style["decimal"])] for row in rows]
        units = [*units, ""]
    if style["groups"]:
        header = [*header, "group"]
        groups = [number(np.nan, style) if each is None else each for each in groups_of(n_rows, style)]
        rows = [[*row, each] for row, each in zip(rows, groups, strict=True)]
        units = [*units, ""]
    blanks = [""] * style["trailing"]
    lines = [[*header, *(blanks if style["header_trails"] else [])]] if style["header"] else []
    if style["units"]:
        lines.append([*units, *blanks])
    lines += [[*row, *blanks] for row in rows]
    width = len(lines[-1])
    titles = [[title, *[""] * ((width - 1) * style["padded"])] for title in style["titles"]]

    def joined(record, quote_all=style["quote_all"]):
        special = style["separator"] + '"\r\n'
        return style["separator"].join(
            '"' + text.replace('"', '""') + '"'
            if (quote_all and text) or any(mark in text for mark in special)
            else text
            for text in record
        )

    text = "".join(joined(record) + style["line_end"] for record in [*titles, *lines])
    if style["sep_line"]:
        text = f"sep={style['separator']}{style['line_end']}" + text
    arguments = {"decimal": None if style["decimal"] == "." else ",", "header": style["header"]}
    if not style["encoding"].startswith("utf-8"):
        arguments["encoding"] = style["encoding"]
    if style["na"] in ("n.d.", ".", "-", "#DIV/0!"):
        arguments["na_values"] = [style["na"]]
    if style["say_separator"]:
        arguments["separator"] = {"\t": "tab"}.get(style["separator"], style["separator"])
    if style["say_thousands"] and style["group"] != "none":
        arguments["thousands"] = {"narrow": " "}.get(style["group"], style["group"])
    return text, arguments


def _listed(named):
    return [None if pd.isna(value) else value for value in named[1]]


def unambiguous(frame, style):
    """Leave out what may mean several things."""
    style = dict(style)
    if "cp1252" in style["encoding"] and style["group"] == "narrow":
        style["group"] = " "
    if style["tsv"] and style["separator"] != "\t" and not style["sep_line"]:
        style["say_separator"] = True
    if not style["header"]:
        style |= {"row_names": "none", "units": False, "padded": False, "years": False}
    like_years = ((frame > 1000) & (frame < 3000)).any(axis=None)
    if not style["titles"] or not any(style["titles"]) or frame.shape[1] == 1 or like_years:
        style["years"] = False
    if style["years"] and style["row_names"].startswith("R"):
        style["row_names"] = "none"
    if style["na"] == "" and not style["quote_all"] and style["separator"] == "\t":
        style["blanks"] = False
    if frame.shape[1] == 1 and style["na"] == "":
        style["na"] = "NA"  # a blank line is none
    if frame.shape[1] == 1 and not style["trailing"] and style["row_names"] == "none":
        style["say_separator"] = True
    if frame.shape[1] == 1 and style["row_names"] == "none" and not style["beside"]:
        style["titles"] = []  # none has fewer fields than the table
    if frame.shape[1] == 1 and style["separator"] == "," and style["row_names"] == "R":
        style["say_separator"] = True  # as decimal commas of a single column
    if ";" in style["beside"] and "semi;colon" in frame.columns:
        style["say_separator"] = True  # as many semicolons in each line as a table has
    if style["row_names"].startswith("R"):
        style["units"] = False
    if style["separator"] == "," and style["decimal"] == ",":
        style["quote_all"] = True
    return style


@SIZES
def test_tables_are_read_as_they_were_written(n_examples):
    @given(frame=frames(), style=styles())
    def test(frame, style):
        style = unambiguous(frame, style)
        text, arguments = written(frame, style)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / ("data.tsv" if style["tsv"] else "data.csv")
            path.write_bytes(text.encode(style["encoding"]))
            with warnings.catch_warnings(record=True):
                warnings.simplefilter("always")
                samples = read(path, **arguments)
        if not style["header"]:
            frame = frame.set_axis([str(i) for i in range(frame.shape[1])], axis=1)
        if style["years"]:
            frame = frame.set_axis(YEARS[: frame.shape[1]], axis=1)
        kept = [name for name in frame.columns if not numbers_rows(name, frame[name].to_numpy())]
        groups = taken_groups(groups_of(len(frame), style), style) if style["groups"] else None
        assert samples.names[: len(kept)] == kept
        np.testing.assert_allclose(samples.X[kept], frame[kept].round(4), rtol=1e-12)
        # Without a header its name is a number.
        assert [*map(_listed, samples.X.iloc[:, len(kept) :].items())] == ([groups] if groups else [])

    run_examples(test, n_examples)


# ---- Images


def drawn(kind, inside, ground, shape, rng):
    """An image of the kind with a shape in it."""
    mask = np.zeros((12, 10), dtype=bool)
    top, left, height, width = shape
    mask[top : top + height, left : left + width] = True
    grey = np.where(mask, inside, ground).astype(np.uint8)
    if kind == "1":
        return mask, Image.fromarray(mask)
    if kind == "I;16":
        return mask, Image.fromarray(grey.astype(np.uint16) * 200)
    if kind in ("L", "JPEG"):
        return mask, Image.fromarray(grey)
    if kind == "RGB":
        return mask, Image.fromarray(np.stack([grey, grey, grey // 2], axis=-1))
    if kind == "P":
        image = Image.fromarray(mask.astype(np.uint8), "P")
        image.putpalette([ground] * 3 + [inside] * 3)
        return mask, image
    # The shape is in the alpha channel alone.
    alpha = Image.fromarray(np.where(mask, 255, 0).astype(np.uint8))
    if kind == "RGBA":
        image = Image.new("RGB", alpha.size, (inside, inside, inside // 2))
        image.putalpha(alpha)
        return mask, image
    if kind == "LA":
        image = Image.new("L", alpha.size, inside)
        image.putalpha(alpha)
        return mask, image
    if kind == "P transparent":
        image = Image.fromarray(mask.astype(np.uint8), "P")
        image.putpalette([inside] * 6)
        image.info["transparency"] = 0
        return mask, image
    raise ValueError(kind)


KINDS = ["1", "L", "LA", "P", "P transparent", "RGB", "RGBA", "I;16", "JPEG"]


@SIZES
def test_shapes_in_images_stay_visible(n_examples):
    rectangles = st.tuples(*(st.integers(1, 4) for _ in range(4)))

    @given(
        kind=st.sampled_from(KINDS),
        inside=st.integers(0, 255),
        rectangles=st.lists(rectangles, min_size=1, max_size=4),
    )
    def test(kind, inside, rectangles):
        ground = (inside + 128) % 256
        with tempfile.TemporaryDirectory() as folder:
            masks = []
            for i, shape in enumerate(rectangles):
                mask, image = drawn(kind, inside, ground, shape, None)
                masks.append(mask)
                name = f"{i}.jpg" if kind == "JPEG" else f"{i}.png"
                buffer = io.BytesIO()
                options = {"quality": 100} if kind == "JPEG" else {}
                if "transparency" in image.info:
                    options["transparency"] = image.info["transparency"]
                image.save(buffer, "JPEG" if kind == "JPEG" else "PNG", **options)
                (Path(folder) / name).write_bytes(buffer.getvalue())
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                samples = read(Path(folder))
        assert samples.X.shape[:3] == (len(masks), 12, 10)
        values = samples.X.astype(float)
        values = values.mean(axis=-1) if values.ndim == 4 else values
        full = 200 * 255 if kind == "I;16" else 255
        for mask, image in zip(masks, values, strict=True):
            assert abs(image[mask].mean() - image[~mask].mean()) > 0.25 * full
            assert image[mask].std() < 0.1 * full
        transparent = kind in ("LA", "RGBA", "P transparent")
        assert (samples.background is not None) == transparent
        assert any("transparent" in str(each.message) for each in caught) == transparent

    run_examples(test, n_examples)
