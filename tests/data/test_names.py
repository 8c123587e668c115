"""File names: any valid one reads as its numbers, any other is foreign."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reidlab.data import (
    cuhk03,
    cuhk03_store,
    dukemtmc,
    market1501,
    msmt17,
    randperson,
    regdb,
    veri776,
)

DIGITS = "0123456789"


def digits(low, high=None):
    return st.text(DIGITS, min_size=low, max_size=high or low)


def number(width, low, high):
    return st.integers(low, high).map(lambda value: f"{value:0{width}d}")


# layout -> (pattern, parts as strategies, how they make a name, which parts the groups are)
LAYOUTS = {
    "market1501": (
        market1501.NAME,
        (digits(4) | st.just("-1"), number(1, 1, 9), digits(1), digits(6), digits(2)),
        "{}_c{}s{}_{}_{}.jpg",
        (0, 1, 2, 3, 4),
    ),
    "dukemtmc": (
        dukemtmc.NAME,
        (digits(4), number(1, 1, 8), digits(7)),
        "{}_c{}_f{}.jpg",
        (0, 1, 2),
    ),
    "msmt17": (
        msmt17.NAME,
        (
            digits(4), digits(4), digits(3), number(2, 1, 15), digits(4),
            st.sampled_from(["morning", "noon", "afternoon"]), digits(4), digits(1, 2),
            st.sampled_from(["", "_ex"]),
        ),
        "{}/{}_{}_{}_{}{}_{}_{}{}.jpg",
        (0, 1, 3),
    ),
    "cuhk03": (
        cuhk03_store.NAME,
        (
            number(1, 1, 5), number(3, 1, 843),
            st.integers(1, 10).map(lambda slot: f"{1 if slot < 6 else 2}_{slot:02d}"),
        ),
        "{}_{}_{}.png",
        (0, 1),
    ),
    "cuhk03 as market": (
        cuhk03.MARKET_NAME,
        (digits(4), number(1, 1, 2), digits(1, 3), st.sampled_from(["png", "jpg"])),
        "{}_c{}_{}.{}",
        (0, 1, 2),
    ),
    "veri776": (
        veri776.NAME,
        (digits(4), number(3, 1, 20), digits(8), digits(1, 2)),
        "{}_c{}_{}_{}.jpg",
        (0, 1, 2, 3),
    ),
    "randperson": (
        randperson.NAME,
        (digits(6), number(2, 0, 10), number(2, 0, 3), digits(6)),
        "{}_s{}_c{}_f{}.jpg",
        (0, 1, 2, 3),
    ),
    "randperson, first release": (
        randperson.NAME,
        (digits(6), number(2, 0, 3), number(2, 0, 10), digits(6)),
        "{}_c{}_s{}_f{}.jpg",
        (0, 1, 2, 3),
    ),
    "regdb": (
        regdb.LISTED["Visible"],
        (
            st.integers(1, 999).map(str), st.sampled_from(["male", "female"]),
            st.sampled_from(["front", "back"]), digits(5),
        ),
        "Visible/{0}/{1}_{2}_v_{3}_{0}.bmp",
        (0, 3),
    ),
}  # fmt: skip


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_valid_name_reads_as_its_parts(layout, data):
    pattern, parts, form, told = LAYOUTS[layout]
    values = [data.draw(part) for part in parts]
    match = pattern.fullmatch(form.format(*values))
    assert match is not None
    groups = [group for group in match.groups() if group is not None]
    assert groups[: len(told)] == [values[place] for place in told]


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_mutated_name_is_foreign(layout, data):
    """One character more, somewhere, of a kind that no place takes; or one of another alphabet."""
    pattern, parts, form, _ = LAYOUTS[layout]
    name = form.format(*(data.draw(part) for part in parts))
    place = data.draw(st.integers(0, len(name)))
    stranger = data.draw(st.sampled_from(["x", "~", "\n", " ", "٣", "é", "__"]))
    assert pattern.fullmatch(name[:place] + stranger + name[place:]) is None
    assert pattern.fullmatch(name.upper()) is None
    assert pattern.fullmatch(name + (".jpg.jpg" if layout == "market1501" else ".jpg")) is None
    assert pattern.fullmatch("a/" + name) is None


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        (market1501.NAME, "0002_c0s1_000451_03.jpg"),
        (market1501.NAME, "-2_c1s1_000451_03.jpg"),
        (market1501.NAME, "002_c1s1_000451_03.jpg"),
        (dukemtmc.NAME, "-1_c1_f0000001.jpg"),
        (dukemtmc.NAME, "0001_c0_f0000001.jpg"),
        (msmt17.NAME, "0000/0000_000_00_0303morning_0015_0.jpg"),
        (msmt17.NAME, "0000/0000_000_01_0303evening_0015_0.jpg"),
        (msmt17.NAME, "0000_000_01_0303morning_0015_0.jpg"),
        (cuhk03_store.NAME, "1_001_2_01.png"),  # slot 1 is of the first view
        (cuhk03_store.NAME, "1_001_1_06.png"),
        (cuhk03_store.NAME, "6_001_1_01.png"),
        (cuhk03_store.NAME, "1_000_1_01.png"),
        (cuhk03_store.NAME, "1_001_2_11.png"),
        (veri776.NAME, "0002_c000_00030600_0.jpg"),
        (randperson.NAME, "000000_s00_s00_f000264.jpg"),
        (regdb.LISTED["Visible"], "visible/285/male_back_v_05528_285.bmp"),
        (regdb.LISTED["Visible"], "Visible/285/male_back_t_05528_285.bmp"),
        (regdb.LISTED["Visible"], "Visible/285/male_back_v_05528_286.bmp"),
        (regdb.LISTED["Thermal"], "Visible/285/male_back_v_05528_285.bmp"),
    ],
)
def test_numbers_that_no_image_has(pattern, name):
    assert pattern.fullmatch(name) is None
