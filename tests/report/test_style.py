"""The palette is measured, not believed: dichromat simulation, CIELAB distance, contrast."""

import base64
import io
import itertools
import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from PIL import Image

from reidlab.report import style
from reidlab.synth import PARTS

LIGHT_PAGE, DARK_PAGE = "#ffffff", "#14181e"  # of the book's theme
ROLES = {name: getattr(style, name) for name in ("QUERY", "MATCH", "WRONG", "ACCENT", "JUNK")}
# Machado, Oliveira, Fernandes 2009, severity 1.0, in linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
}
RGB_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)


def linear(colour):
    code = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    xyz = RGB_TO_XYZ @ np.clip(rgb, 0, 1) / np.array([0.95047, 1.0, 1.08883])
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast(a, b):
    dark, light = sorted((RGB_TO_XYZ @ linear(c))[1] for c in (a, b))
    return (light + 0.05) / (dark + 0.05)


def distance(a, b, vision):
    return np.linalg.norm(lab(VISION[vision] @ linear(a)) - lab(VISION[vision] @ linear(b)))


def test_the_measure_knows_black_white_and_the_classic_confusion():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert lab(linear("#ffffff")) == pytest.approx([100, 0, 0], abs=0.02)
    confused = distance("#2ca02c", "#d62728", "deuteranopia")  # a usual green and red
    assert confused < 0.5 * distance("#2ca02c", "#d62728", "normal")


@pytest.mark.parametrize("vision", VISION)
def test_roles_stay_apart_for_every_reader(vision):
    for (a, first), (b, second) in itertools.combinations(ROLES.items(), 2):
        assert distance(first, second, vision) >= 20, f"{a} and {b} under {vision}"


@pytest.mark.parametrize("vision", VISION)
def test_parts_stay_apart_for_every_reader(vision):
    for first, second in itertools.combinations(style.PART_COLOURS.values(), 2):
        assert distance(first, second, vision) >= 10, f"{first} and {second} under {vision}"


@pytest.mark.parametrize("page", [LIGHT_PAGE, DARK_PAGE, "#121212"])
def test_lines_and_text_show_on_both_pages(page):
    for role, colour in ROLES.items():
        assert contrast(colour, page) >= 3, f"{role} on {page}"


def test_letters_have_what_the_wcag_ask_of_them_on_both_pages():
    sheet = (Path(__file__).parents[2] / "book" / "_static" / "custom.css").read_text("utf-8")
    (brighter,) = re.findall(r"filter: brightness\(([\d.]+)\)", sheet)
    on_dark = "#" + 3 * f"{round(int(style.INK[1:3], 16) * float(brighter)):02x}"
    assert contrast(style.INK, LIGHT_PAGE) >= 4.5
    assert contrast(on_dark, DARK_PAGE) >= 4.5


def test_parts_are_those_of_the_world():
    assert ("background", *style.PART_COLOURS) == PARTS


def test_size_law():
    assert style.figure().get_size_inches() == pytest.approx([7.2, 7.2 / style.GOLDEN])
    assert style.figure(aspect=4).get_size_inches() == pytest.approx([7.2, 1.8])


def test_panels_fill_the_share_they_are_given():
    figure = style.figure(aspect=4, filled=0.5)
    panels = figure.subplots(1, 2)
    figure.draw_without_rendering()
    assert max(panel.get_position().x1 for panel in panels) <= 0.5


@pytest.mark.parametrize("wrong", [{"aspect": 0}, {"filled": 1.5}])
def test_size_law_refuses(wrong):
    with pytest.raises(ValueError, match="aspect must be positive"):
        style.figure(**wrong)


def test_style_is_restored_unless_it_is_asked_for():
    before = mpl.rcParams["text.color"]
    assert style.styled(lambda: mpl.rcParams["text.color"])() == style.INK
    assert mpl.rcParams["text.color"] == before
    with mpl.rc_context():
        style.use()
        assert mpl.rcParams["text.color"] == style.INK


def test_png_is_transparent():
    figure = style.figure()
    image = Image.open(io.BytesIO(style.png(figure))).convert("RGBA")
    assert image.getpixel((0, 0))[3] == 0
    assert image.width == pytest.approx(7.2 * style.DPI, abs=1)


def test_png_of_noise_is_bounded():
    figure = style.figure(aspect=4)
    noise = np.random.default_rng(0).integers(0, 256, (200, 800, 3), dtype=np.uint8)
    figure.subplots().imshow(noise)
    whole, data = style.png(figure), style.png(figure, limit=60_000)
    assert len(data) <= 60_000 < len(whole) <= style.PNG_LIMIT
    assert Image.open(io.BytesIO(data)).width >= 7.2 * 96 - 1  # never less than the page shows


def test_a_notebook_prefers_our_printer_to_the_inline_backend():
    from IPython.core.interactiveshell import InteractiveShell
    from matplotlib.figure import Figure

    shell = InteractiveShell.instance()
    try:
        formatter = shell.display_formatter.formatters["image/png"]
        formatter.for_type(Figure, lambda figure: b"the backend's")
        assert formatter(style.figure()).startswith(b"\x89PNG")
    finally:
        InteractiveShell.clear_instance()


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (-1.25, "{:+.1f}", "−1.2"),
        (-0.04, "{:.1f}", "0.0"),
        (-0.05, "{:.2f} %", "−0.05 %"),
        (-10.0, "{:.1f}", "−10.0"),
        (-1234, "{:,}", "−1,234"),
    ],
)
def test_numbers_have_a_true_minus_but_zero_has_none(value, form, text):
    assert style.number(value, form) == text


def rows_and_sides(printed):
    """Return the rows of a printed table as text, and the alignment of its columns."""
    html = BeautifulSoup(printed.to_html(), "html.parser")
    rows = [[cell.get_text(strip=True) for cell in row(["th", "td"])] for row in html("tr")]
    sides = re.findall(r"\.col(\d+) \{\s*text-align: (\w+)", html.style.get_text())
    return rows, [side for _, side in sorted(sides)]


def test_table_prints_numbers_words_and_gaps():
    index = pd.Index(["la-tf_ce", "la-tf-pp"], name="network")
    frame = pd.DataFrame(
        {
            "mAP": [58.46, None],
            "parameters": [1234567, 5],
            "ours": ["76.1 ± 0.0", "-0.3 to 2"],
            "holds": [True, np.False_],
            "by": ["la-tf_ce", "a record"],
            "gain": [-2.0, 1.5],
        },
        index=index,
    )
    printed = style.table(frame, formats={"gain": "{:+.2f}"}, words={"la-tf_ce": "LA-TF"})
    assert 'class="dataframe"' in printed.to_html()  # what the theme leaves on the dark page
    rows, sides = rows_and_sides(printed)
    assert rows == [
        ["network", *frame.columns],
        ["LA-TF", "58.5", "1,234,567", "76.1 ± 0.0", "yes", "LA-TF", "−2.00"],
        ["la-tf-pp", "", "5", "-0.3 to 2", "no", "a record", "+1.50"],
    ]
    assert sides == ["right", "right", "right", "left", "left", "right"]
    assert (frame.index.name, frame.columns.name) == ("network", None)  # the frame stays as it was


def test_table_has_no_row_of_names_and_hides_a_count():
    frame = pd.DataFrame({"a": [1, 2.5], "b": ["x", ["y"]]})
    assert rows_and_sides(style.table(frame))[0] == [["a", "b"], ["1.0", "x"], ["2.5", "['y']"]]
    named = frame.set_axis(pd.MultiIndex.from_tuples([("r", 1), ("s", 2)], names=["i", "j"]))
    named.columns = pd.MultiIndex.from_tuples([("p", "a"), ("p", "b")])
    rows = rows_and_sides(style.table(named, decimals=0))[0]
    assert rows == [
        ["", "", "p"],
        ["", "", "a", "b"],
        ["r", "1", "1", "x"],
        ["s", "2", "2", "['y']"],
    ]


def test_table_refuses_a_format_for_nothing():
    with pytest.raises(ValueError, match="formats has 'c': expected one of a, b"):
        style.table(pd.DataFrame({"a": [1], "b": [2]}), formats={"c": "{}"})


def test_a_picture_for_another_page_has_its_alternative_text():
    shown = style.Picture(style.figure(), 'left "query"')._repr_html_()
    image = BeautifulSoup(shown, "html.parser").img
    assert image["alt"] == 'left "query"'
    head, data = image["src"].split(",")
    assert head == "data:image/png;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).width > 600
