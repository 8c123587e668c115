"""Figures hold what they were given; wrong input is refused in words."""

import matplotlib as mpl
import numpy as np
import pandas as pd
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


def judged(losses, accuracies, epochs=(1, 2, 3)):
    return [
        {"epoch": e, "loss": 9.0, "validation": {"loss": loss, "accuracy": accuracy}}
        for e, loss, accuracy in zip(epochs, losses, accuracies, strict=True)
    ]


def test_two_curves_of_one_run_skip_epochs_without_validation():
    history = [{"epoch": 1, "loss": 9.0}, *judged([4.0, 2.0], [0.25, 0.5], (2, 4))]
    history.append({"epoch": 5, "validation": {"mAP": 0.5}})
    loss, accuracy = figures.two_curves({"block by block": history}).axes
    assert [list(axes.lines[0].get_xdata()) for axes in (loss, accuracy)] == [[2, 4], [2, 4]]
    assert list(loss.lines[0].get_ydata()) == [4.0, 2.0]
    assert list(accuracy.lines[0].get_ydata()) == [0.25, 0.5]
    assert accuracy.get_ylim() == (0, 1.02)


def test_two_curves_of_seeds_are_thin_with_a_thick_mean():
    seeds = [judged([6, 4, 2], [0.1, 0.2, 0.3]), judged([4, 2], [0.3, 0.4], (1, 2))]
    figure = figures.two_curves({"two": seeds, "one": judged([1, 1, 1], [1, 1, 1])})
    loss, accuracy = figure.axes
    assert [list(line.get_ydata()) for line in loss.lines] == [[6, 4, 2], [4, 2], [5, 3], [1, 1, 1]]
    assert list(accuracy.lines[2].get_xdata()) == [1, 2]  # the mean ends with the shorter seed
    assert list(accuracy.lines[2].get_ydata()) == pytest.approx([0.2, 0.3])
    thin, _, mean, other = loss.lines
    assert thin.get_linewidth() < mean.get_linewidth()
    assert thin.get_color() == mean.get_color() != other.get_color()
    assert mean.get_linestyle() != other.get_linestyle()
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["two, mean of 2 seeds", "one"]


@pytest.mark.parametrize(
    ("histories", "message"),
    [
        ({}, "there are 0 histories: expected 1 to 5"),
        ({str(i): judged([1] * 3, [1] * 3) for i in range(6)}, "there are 6 histories"),
        ({"a": []}, "a run of 'a' has no epoch with validation loss"),
        ({"a": [judged([1] * 3, [1] * 3), []]}, "a run of 'a' has no epoch"),
        ({"a": [{"epoch": 1, "validation": {"mAP": 0.1}}]}, r'row\["validation"\]\["loss"\]'),
        ({"a": [judged([1], [1], [1]), judged([1], [1], [2])]}, "2 seeds of 'a' have no epoch"),
    ],
)
def test_two_curves_refuse(histories, message):
    with pytest.raises(ValueError, match=message):
        figures.two_curves(histories)


def test_row_evidence_stands_beside_its_rows(pictures):
    figure = figures.row_evidence(
        pictures[0], pictures[1], [0.2, -0.1, 0.0], row_labels=["head", "torso", "feet"]
    )
    query, match, bars = figure.axes
    assert np.array_equal(query.images[0].get_array(), pictures[0])
    assert np.array_equal(match.images[0].get_array(), pictures[1])
    figure.draw_without_rendering()
    for row, bar in enumerate(bars.patches):  # the middle of a bar is that of its row, on paper
        middle = bars.transData.transform((0, bar.get_y() + bar.get_height() / 2))[1]
        box = query.get_window_extent()
        assert middle == pytest.approx(box.y1 - box.height * (row + 0.5) / 3)
    assert [bar.get_width() for bar in bars.patches] == [0.2, -0.1, 0.0]
    assert [to_hex(bar.get_facecolor()) for bar in bars.patches[:2]] == [style.MATCH, style.WRONG]
    assert [bool(bar.get_hatch()) for bar in bars.patches] == [False, True, False]
    assert [text.get_text() for text in bars.texts] == ["+0.200", "−0.100", "+0.000"]
    assert [text.get_text() for text in bars.get_yticklabels()] == ["head", "torso", "feet"]
    assert bars.get_title(loc="left") == "all rows: +0.100"


def test_row_evidence_keeps_the_shape_of_pictures_and_its_words_on_the_page(pictures):
    labels = ["background"] * 4
    figure = figures.row_evidence(
        *pictures[:2], -np.ones(4), stranger=pictures[2], row_labels=labels
    )
    assert [axes.get_title(loc="left") for axes in figure.axes[:3]] == [
        "query",
        "match",
        "stranger",
    ]
    figure.draw_without_rendering()
    for axes in figure.axes[:3]:
        box = axes.get_window_extent()
        assert box.height / box.width == pytest.approx(2)  # 32 x 16 pixels
    bars, page = figure.axes[3].get_tightbbox(), figure.bbox
    assert bars.x0 > figure.axes[2].get_window_extent().x1
    assert page.y0 <= bars.y0 < bars.x1 <= page.x1


@pytest.mark.parametrize(
    ("evidence", "labels", "message"),
    [
        ([], None, r"evidence has shape \(0,\): expected \(R,\)"),
        (np.ones((1, 3)), None, r"evidence has shape \(1, 3\)"),
        ([1.0, np.nan], None, "finite number"),
        ([1.0, 2.0], ["a"], "1 labels for 2 rows"),
    ],
)
def test_row_evidence_refuses(pictures, evidence, labels, message):
    with pytest.raises(ValueError, match=message):
        figures.row_evidence(pictures[0], pictures[1], evidence, row_labels=labels)


CELLS = pd.DataFrame(
    [
        ("ViT", 1, "global", "all at once", 50.0, 2.0, "record"),
        ("LA", 12, "local", "all at once", 60.0, None, "record"),
        ("LA", 12, "local", "block by block", 62.0, 1.5, "live"),
    ],
    columns=["model", "heads", "tokens", "unfreezing", "mean", "spread", "source"],
)


def test_ablation_grid_places_cells_and_marks_their_source():
    figure = figures.ablation_grid(CELLS)
    left, right = figure.axes
    assert [axes.get_title(loc="left") for axes in (left, right)] == [
        "all at once",
        "block by block",
    ]
    assert [text.get_text() for text in left.get_yticklabels()] == [
        "ViT, 1 head, global",
        "LA, 12 heads, local",
    ]
    assert [text.get_text() for text in left.texts] == ["50.0 ± 2.0", "60.0"]
    assert [text.get_text() for text in right.texts] == ["62.0 ± 1.5"]  # the other cell is empty
    (mark,) = [container.lines[0] for container in right.containers]
    assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (62.0, 1)
    bar = right.containers[0].lines[2][0].get_segments()[0]
    assert bar.tolist() == [[60.5, 1], [63.5, 1]]
    record = left.containers[0].lines[0]
    assert (mark.get_marker(), record.get_marker()) == ("o", "s")
    assert record.get_markerfacecolor() == "none"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "trained on this page",
        "from a committed record",
        "± standard deviation over seeds",
    ]


def test_ablation_grid_explains_only_what_is_there():
    figure = figures.ablation_grid(CELLS[1:2])
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["from a committed record"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (CELLS[:0], "has 0 rows and lacks no column"),
        (CELLS.drop(columns=["heads", "mean"]), "lacks heads, mean: expected .* columns model,"),
        (CELLS.assign(source="guess"), "source is 'guess': expected one of live, record"),
        (CELLS.assign(unfreezing="x"), "model LA, heads 12, .*unfreezing x has two rows"),
    ],
)
def test_ablation_grid_refuses(table, message):
    with pytest.raises(ValueError, match=message):
        figures.ablation_grid(table)


SETTINGS = pd.DataFrame(
    [
        ("palette", 16, 1.0, 0.5, 2.0),
        ("palette", 4, 0.0, -1.0, 1.5),
        ("detail", "shoes", -2.0, -3.0, -1.0),
        ("detail", "logo", 3.0, None, None),
    ],
    columns=["knob", "value", "difference", "low", "high"],
)


def test_knob_curves_have_a_panel_each_and_hollow_marks_around_zero():
    figure = figures.knob_curves(SETTINGS, over="people")
    palette, detail = figure.axes
    assert [axes.get_xlabel() for axes in (palette, detail)] == ["palette", "detail"]
    assert palette.get_xticks().tolist() == [4, 16]  # at scale and in order
    assert [text.get_text() for text in detail.get_xticklabels()] == ["shoes", "logo"]
    marks = [bar.lines[0] for axes in (palette, detail) for bar in axes.containers]
    assert [mark.get_ydata()[0] for mark in marks] == [0.0, 1.0, -2.0, 3.0]
    hollow = [mark.get_markerfacecolor() == "none" for mark in marks]
    assert hollow == [True, False, False, True]  # one run tells nothing either
    bars = palette.containers[0].lines[2][0].get_segments()[0]
    assert bars.tolist() == [[4, -1.0], [4, 1.5]]
    assert not detail.containers[1].lines[2]
    assert list(palette.lines[0].get_ydata()) == [0, 0]
    assert "interval over people" in figure.get_supxlabel()


def test_knob_curves_wrap_after_three():
    table = pd.concat([SETTINGS[:1].assign(knob=name) for name in "abcd"])
    axes = figures.knob_curves(table, over="seeds").axes
    assert [panel.get_xlabel() for panel in axes] == ["a", "b", "c", "d", "", ""]
    assert [panel.axison for panel in axes] == [True] * 4 + [False] * 2


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (SETTINGS[:0], "has 0 rows"),
        (SETTINGS.drop(columns="low"), "lacks low"),
        (SETTINGS.assign(value=1), "knob palette, value 1 has two rows"),
        (SETTINGS.assign(difference=5), r"palette = 16: 5.0 is not inside .* \[0.5, 2.0\]"),
    ],
)
def test_knob_curves_refuse(table, message):
    with pytest.raises(ValueError, match=message):
        figures.knob_curves(table, over="seeds")


def test_every_figure_is_small_and_leaves_the_callers_style_alone(pictures):
    before = dict(mpl.rcParams)
    mask = np.ones((32, 16), np.uint8)
    made = [
        figures.contact_sheet([pictures]),
        figures.ranked_list([pictures[0]], [pictures], [[True] * 6], row_labels=["0002 c1"]),
        figures.heat_overlay(pictures[0], np.ones((3, 4, 2)), ["10", "11", "12"]),
        figures.part_overlay(pictures, [mask] * 6),
        figures.training_curve([{"epoch": 1, "loss": 1.0, "accuracy": 0.1}]),
        figures.two_curves({"a": judged([3, 2, 1], [0.1, 0.2, 0.3])}),
        figures.row_evidence(pictures[0], pictures[1], np.ones(12)),
        figures.ablation_grid(CELLS),
        figures.knob_curves(SETTINGS, over="seeds"),
    ]
    for figure in made:
        assert len(style.png(figure)) < style.PNG_LIMIT
        assert figure.get_figwidth() <= style.TEXT_WIDTH
    assert dict(mpl.rcParams) == before
