"""Figures hold what they were given; wrong input is refused in words."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from reidlab.report import figures, style


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_read_picture_takes_paths_bytes_and_floats(tmp_path, pictures):
    path = tmp_path / "one.png"
    Image.fromarray(pictures[0]).save(path)
    assert np.array_equal(figures.read_picture(path), pictures[0])
    assert np.array_equal(figures.read_picture(str(path)), pictures[0])
    assert np.array_equal(figures.read_picture(pictures[0] / 255), pictures[0])


def test_read_picture_explains_tensors():
    with pytest.raises(ValueError, match="permute"):
        figures.read_picture(np.zeros((3, 8, 4)))
    with pytest.raises(ValueError, match="undo the normalisation"):
        figures.read_picture(np.full((8, 4, 3), -1.0))


def test_contact_sheet_places_each_picture_whole(pictures):
    figure = figures.contact_sheet([pictures[:3], pictures[3:5]], ["A", "B"], ["1", "2", "3"])
    sheet = figure.axes[0].images[0].get_array()
    assert sheet.shape == (32 * 2 + 1, 16 * 3 + 2, 4)
    assert np.array_equal(sheet[33:65, 17:33, :3], pictures[4])
    assert (sheet[33:65, 34:, 3] == 0).all()  # the short row leaves the ground
    assert texts(figure) == ["A", "B", "1", "2", "3"]
    assert figure.get_figwidth() == pytest.approx(style.TEXT_WIDTH)


def test_contact_sheet_brings_pictures_to_one_size(pictures):
    figure = figures.contact_sheet([[pictures[0], np.zeros((64, 20, 3), np.uint8)]])
    assert figure.axes[0].images[0].get_array().shape[:2] == (32, 33)


def test_ranked_list_marks_by_sign_and_colour_and_dash(pictures):
    figure = figures.ranked_list(
        [pictures[0]], [pictures[1:4]], [[True, False, None]], scores=[[0.9, 0.5, 0.1]]
    )
    frames = figure.axes[0].patches
    colours = [to_hex(frame.get_edgecolor()) for frame in frames]
    assert colours == [style.QUERY, style.MATCH, style.WRONG, style.JUNK]
    assert [frame.get_linestyle() for frame in frames] == ["-", "-", "-", "--"]
    assert texts(figure)[:3] == ["✓ 0.90", "✗ 0.50", "– 0.10"]
    assert texts(figure)[3:] == ["query", "1", "2", "3"]


def test_ranked_list_accepts_numpy_flags(pictures):
    figure = figures.ranked_list([pictures[0]], [pictures[1:3]], [np.array([True, False])])
    assert texts(figure)[:2] == ["✓", "✗"]


def test_ranked_list_refuses_lists_that_do_not_go_together(pictures):
    with pytest.raises(ValueError, match=r"\[query\], \[list\], \[flags\]"):
        figures.ranked_list([pictures[0]], [], [])
    with pytest.raises(ValueError, match="row 0: 2 pictures, 1 flags"):
        figures.ranked_list([pictures[0]], [pictures[:2]], [[True]])


def test_heat_is_opaque_where_it_is_hot(pictures):
    heats = np.zeros((2, 4, 2))
    heats[0, 0, 0] = 1
    figure = figures.heat_overlay(pictures[0], heats, ["layer 11", "layer 12"])
    hot, cold = (axes.images[1].get_alpha() for axes in figure.axes[1:3])
    assert hot.shape == (32, 16)
    assert hot[0, 0] > 0.8
    assert hot[-1, -1] == 0
    assert (cold == 0).all()
    assert [axes.get_title(loc="left") for axes in figure.axes[:3]] == [
        "image",
        "layer 11",
        "layer 12",
    ]


@pytest.mark.parametrize(
    ("heats", "names", "message"),
    [
        (np.zeros((4, 2)), ["a"], r"expected \(L, h, w\)"),
        (np.zeros((2, 4, 2)), ["a"], "there are 1 names"),
        (np.full((1, 4, 2), 2.0), ["a"], "heat lies in 0..1"),
        (np.full((1, 4, 2), np.nan), ["a"], "heat lies in 0..1"),
    ],
)
def test_heat_overlay_refuses(pictures, heats, names, message):
    with pytest.raises(ValueError, match=message):
        figures.heat_overlay(pictures[0], heats, names)


def test_part_overlay_paints_the_mask_and_names_only_what_is_seen(pictures):
    mask = np.zeros((32, 16), np.uint8)
    mask[:10] = 2
    figure = figures.part_overlay([pictures[0]], [mask], opacity=1.0)
    sheet = figure.axes[0].images[0].get_array()
    painted = sheet[32 + 4 :, :, :3]
    assert to_hex(painted[0, 0] / 255) == style.PARTS[2][1]
    assert np.array_equal(painted[10:], pictures[0][10:])
    assert [t.get_text() for t in figure.axes[0].get_legend().get_texts()] == ["torso"]


def test_part_overlay_refuses_a_foreign_mask(pictures):
    with pytest.raises(ValueError, match="labels 0 to 7"):
        figures.part_overlay([pictures[0]], [np.full((32, 16), 9, np.uint8)])
    with pytest.raises(ValueError, match="same shape"):
        figures.part_overlay([pictures[0]], [np.zeros((16, 16), np.uint8)])


def test_training_curve_draws_sum_parts_and_accuracy():
    history = [
        {"epoch": e, "loss": 3.0 / e, "losses": {"identity": 2.0 / e, "triplet": 1.0 / e}}
        for e in (1, 2)
    ]
    assert len(figures.training_curve(history).axes) == 1
    history[1]["accuracy"] = 0.5
    loss, accuracy = figures.training_curve(history).axes
    assert [line.get_label() for line in loss.lines] == ["sum", "identity", "triplet"]
    assert list(loss.lines[2].get_ydata()) == [1.0, 0.5]
    assert np.isnan(accuracy.lines[0].get_ydata()[0])
    with pytest.raises(ValueError, match="history is empty"):
        figures.training_curve([])


def test_bars_say_what_the_interval_is_over():
    figure = figures.bars_with_intervals(["a", "b"], [1, 2], [(0, 2), (1, 3)], over="seeds")
    assert "interval over seeds" in figure.axes[0].get_xlabel()
    figure = figures.bars_with_intervals(["a"], [1], over="one run")
    assert figure.axes[0].get_xlabel().endswith("one run")
    with pytest.raises(ValueError, match="not inside its interval"):
        figures.bars_with_intervals(["a"], [5], [(0, 2)], over="seeds")
    with pytest.raises(ValueError, match="lengths"):
        figures.bars_with_intervals(["a"], [5, 6], over="seeds")


def test_histogram_shares_add_to_a_hundred():
    figure = figures.distance_histogram(np.array([0.1, 0.2]), np.array([[0.5], [0.9]]))
    for patch in figure.axes[0].patches:
        outline = patch.get_xy()
        width = np.diff(np.unique(outline[:, 0]))[0]
        area = 0.5 * abs(
            np.sum(outline[:-1, 0] * outline[1:, 1] - outline[1:, 0] * outline[:-1, 1])
        )
        assert area / width == pytest.approx(100)
    with pytest.raises(ValueError, match="both are needed"):
        figures.distance_histogram(np.array([]), np.array([1.0]))


def test_every_figure_is_small_and_leaves_the_callers_style_alone(pictures):
    before = dict(mpl.rcParams)
    mask = np.ones((32, 16), np.uint8)
    made = [
        figures.contact_sheet([pictures]),
        figures.ranked_list([pictures[0]], [pictures], [[True] * 6], row_labels=["0002 c1"]),
        figures.heat_overlay(pictures[0], np.ones((3, 4, 2)), ["10", "11", "12"]),
        figures.part_overlay(pictures, [mask] * 6),
        figures.training_curve([{"epoch": 1, "loss": 1.0, "accuracy": 0.1}]),
        figures.bars_with_intervals(["a"], [1], over="one run"),
        figures.distance_histogram(np.arange(9.0), np.arange(9.0) + 1),
    ]
    for figure in made:
        assert len(style.png(figure)) < style.PNG_LIMIT
        assert figure.get_figwidth() <= style.TEXT_WIDTH
    assert dict(mpl.rcParams) == before
