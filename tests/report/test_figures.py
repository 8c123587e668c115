"""Figures hold what they were given; wrong input is refused in words."""

from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_hex
from PIL import Image

from reidlab.evaluation import proportion_interval
from reidlab.explain import Projection, RowVote
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


def test_heat_of_several_pictures_stands_in_rows(pictures):
    heats = np.zeros((2, 3, 4, 2))
    heats[1, 2] = 1
    figure = figures.heat_overlay(pictures[:2], heats, ["a", "b", "c"])
    panels = figure.axes[:8]
    assert [axes.get_title(loc="left") for axes in panels] == ["image", "a", "b", "c"] + [""] * 4
    for axes, picture in zip(panels[::4], pictures, strict=False):
        assert np.array_equal(axes.images[0].get_array(), picture)
    hot = [axes.images[1].get_alpha().max() > 0 for axes in (*panels[1:4], *panels[5:8])]
    assert hot == [False] * 5 + [True]
    with pytest.raises(ValueError, match=r"heats has shape \(2, 3, 4, 2\)"):
        figures.heat_overlay(pictures[:1], heats, ["a", "b", "c"])


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
    assert to_hex(painted[0, 0] / 255) == style.PART_COLOURS["torso"]
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


def band(collection):
    """Return places -> lowest and highest of a filled range."""
    (path,) = collection.get_paths()
    found = {}
    for x, y in path.vertices.tolist():
        found.setdefault(x, set()).add(round(y, 9))
    return {x: (min(ys), max(ys)) for x, ys in sorted(found.items())}


def test_two_curves_of_seeds_are_a_mean_in_its_range():
    seeds = [judged([6, 4, 2], [0.1, 0.2, 0.3]), judged([4, 2], [0.3, 0.4], (1, 2))]
    figure = figures.two_curves({"two": seeds, "one": judged([1, 1, 1], [1, 1, 1])})
    loss, accuracy = figure.axes
    assert [list(line.get_ydata()) for line in loss.lines] == [[5, 3], [1, 1, 1]]
    assert list(accuracy.lines[0].get_xdata()) == [1, 2]  # the mean ends with the shorter seed
    assert list(accuracy.lines[0].get_ydata()) == pytest.approx([0.2, 0.3])
    assert [band(each) for each in loss.collections] == [{1: (4, 6), 2: (2, 4)}]
    mean, other = loss.lines
    assert mean.get_color() != other.get_color()
    assert mean.get_linestyle() != other.get_linestyle()
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["two, 2 seeds", "one"]
    assert figure.legends[0].get_title().get_text() == "mean, and range of the seeds"


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


COMPARED = pd.DataFrame(
    [
        ("rows over one", 2.0, 0.5, 3.5, [1.0, 3.0], 4.2),
        ("block-wise", -0.5, -1.5, 0.5, [-1.0, 0.0], [0.8, 0.9]),
        ("triplet", 1.0, None, None, [1.0], None),
    ],
    columns=["name", "value", "low", "high", "runs", "paper"],
)


def marks(axes):
    return [container.lines[0] for container in axes.containers]


def test_forest_draws_value_interval_runs_and_paper():
    figure = figures.forest(COMPARED, label="mAP (points)", over="seeds and people")
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_yticklabels()] == list(COMPARED.name)
    found = [(mark.get_xdata()[0], mark.get_ydata()[0]) for mark in marks(axes)]
    assert found == [(2.0, 0), (-0.5, 1), (1.0, 2)]
    bars = [each.lines[2][0].get_segments()[0].tolist() for each in axes.containers[:2]]
    assert bars == [[[0.5, 0], [3.5, 0]], [[-1.5, 1], [0.5, 1]]]
    assert not axes.containers[2].lines[2]  # one run has no interval
    assert [text.get_text() for text in axes.texts] == ["+2.0", "−0.5", "+1.0"]
    diamonds = [list(line.get_xdata()) for line in axes.lines if line.get_marker() == "D"]
    assert diamonds == [[4.2], [0.8, 0.9], []]
    runs = [list(line.get_xdata()) for line in axes.lines if line.get_marker() == "|"]
    assert [1.0, 3.0] in runs
    assert any(list(line.get_xdata()) == [0, 0] for line in axes.lines)
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["single runs", "the paper"]
    assert figure.get_supxlabel() == (
        "bars: 95 % interval over seeds and people; hollow: it holds 0, or one run"
    )


def test_forest_fills_what_leaves_out_no_difference():
    def hollow(**changes):
        axes = figures.forest(COMPARED, label="x", **changes).axes[0]
        return [mark.get_markerfacecolor() == "none" for mark in marks(axes)]

    assert hollow() == [False, True, True]
    assert hollow(no_difference=1.0) == [True, False, True]
    assert hollow(no_difference=None) == [False, False, True]
    ratios = figures.forest(COMPARED, label="x", no_difference=1.0).axes[0]
    assert [text.get_text() for text in ratios.texts] == ["2.0", "−0.5", "1.0"]


def test_forest_shows_what_could_not_have_been_seen():
    table = pd.DataFrame({"value": [3.0, -1.0], "smallest": [2.0, 4.0]}, index=["a", "b"])
    with pytest.raises(ValueError, match="smallest"):
        figures.forest(table.drop(columns="smallest"), label="x", band=True)
    axes = figures.forest(table, label="x", band=True).axes[0]
    bands = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in axes.patches]
    assert bands == [(-2, 2), (-4, 4)]
    assert not figures.forest(table, label="x").axes[0].patches


def test_forest_gives_long_names_their_room():
    long = COMPARED.assign(name=[f"{name} " + "word " * 20 for name in COMPARED.name])
    figure = figures.forest(long, label="x")
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert all(upper.y0 > lower.y1 for upper, lower in pairwise(boxes))


def test_forest_takes_names_from_the_index_and_intervals_may_be_absent():
    table = pd.DataFrame({"value": [50.0]}, index=pd.MultiIndex.from_tuples([("LA", "at once")]))
    figure = figures.forest(table, label="mAP (%)", no_difference=None)
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["LA, at once"]
    assert [text.get_text() for text in figure.axes[0].texts] == ["50.0"]
    assert figure.get_supxlabel() == "hollow: one run"
    assert not figure.legends


def test_forest_shows_published_numbers_without_one_of_ours():
    table = pd.DataFrame(
        {"value": [1.0, np.nan], "low": [0.5, np.nan], "high": [1.5, np.nan], "paper": [2, [3, 4]]},
        index=["ours", "theirs"],
    )
    figure = figures.forest(table, label="x", no_difference=None)
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.texts] == ["1.0"]
    diamonds = [line.get_xdata().tolist() for line in axes.lines if line.get_marker() == "D"]
    assert diamonds == [[2], [3, 4]]
    assert figure.get_supxlabel() == "bars: 95 % interval over seeds"


def test_forest_has_panels_and_groups_in_the_order_of_the_table():
    table = pd.DataFrame(
        [(p, g, n, 1.0) for p in ("official", "standard") for g in "ba" for n in ("CE", "TL")],
        columns=["panel", "group", "name", "value"],
    )
    figure = figures.forest(table, label="%")
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["official", "standard"]
    left = figure.axes[0]
    assert [mark.get_ydata()[0] for mark in marks(left)] == [-0.25, 0.75, 0.25, 1.25]
    assert len({(mark.get_marker(), mark.get_color()) for mark in marks(left)}) == 2
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["b", "a"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (COMPARED[:0], "has 0 rows and lacks no column"),
        (COMPARED.drop(columns="value"), "lacks value: expected .* columns panel, name, group,"),
        (COMPARED.assign(name="x"), "name x, group  has two rows"),
        (COMPARED.assign(value=9.0), r"rows over one: 9.0 is not inside .* \[0.5, 3.5\]"),
        (pd.DataFrame({"value": range(6), "group": range(6)}), "6 groups: expected 1 to 5"),
    ],
)
def test_forest_refuses(table, message):
    with pytest.raises(ValueError, match=message):
        figures.forest(table, label="x")


GAINS = pd.DataFrame(
    [[-2.0, 1.0, 4.0], [-4.0, -0.01, np.nan]],
    index=pd.Index([5, 10], name="k1"),
    columns=pd.Index([2, 4, 8], name="m"),
)


def test_heat_table_prints_numbers_stars_and_a_border():
    figure = figures.heat_table(
        GAINS, label="gain (points)", stars=GAINS > 2, border=[[True, False, False], [True] * 3]
    )
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["−2.0", "+1.0", "+4.0*", "−4.0", "0.0"]
    assert [text.get_position() for text in axes.texts][2:4] == [(2, 0), (0, 1)]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("m", "k1")
    assert [text.get_text() for text in axes.get_xticklabels()] == ["2", "4", "8"]
    (image,) = axes.images
    assert image.get_clim() == (-4, 4)
    low, middle, high = (to_hex(image.cmap(image.norm(value))) for value in (-4, 0, 4))
    assert (low, high) == (style.WRONG, style.QUERY)
    assert middle in {"#ffffff", "#fefefe", "#fffefe", "#feffff"}
    edges = [tuple(map(tuple, e.get_segments()[0].tolist())) for e in axes.collections]
    assert edges == [((0.5, -0.5), (0.5, 0.5)), ((0.5, 0.5), (1.5, 0.5)), ((1.5, 0.5), (2.5, 0.5))]


@pytest.mark.parametrize(
    ("table", "extra", "message"),
    [
        (GAINS[:0], {}, r"shape \(0, 3\) and no number"),
        (GAINS * np.nan, {}, "no number"),
        (GAINS, {"stars": [[True]]}, r"stars has the shape \(1, 1\), the table \(2, 3\)"),
        (GAINS, {"border": [[True]]}, "border has the shape"),
    ],
)
def test_heat_table_refuses(table, extra, message):
    with pytest.raises(ValueError, match=message):
        figures.heat_table(table, label="x", **extra)


NETWORKS = pd.DataFrame({"standard": [50.0, 60.0, 70.0], "official": [92.0, 96.0, 97.0]})


def test_two_measures_share_one_scale_and_a_diagonal():
    figure = figures.two_measures(NETWORKS.assign(group=list("aab")), x="standard", y="official")
    (axes,) = figure.axes
    first, second, diagonal = axes.lines
    assert (list(first.get_xdata()), list(first.get_ydata())) == ([50, 60], [92, 96])
    assert first.get_marker() != second.get_marker()
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata())
    assert axes.get_xlim() == axes.get_ylim()
    assert axes.get_xlim()[0] < 50
    assert axes.get_ylim()[1] > 97
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("standard", "official")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b"]
    alone = figures.two_measures(NETWORKS, x="standard", y="official")
    assert alone.axes[0].get_legend() is None
    with pytest.raises(ValueError, match="lacks paper"):
        figures.two_measures(NETWORKS, x="standard", y="paper")
    many = pd.concat([NETWORKS, NETWORKS]).assign(group=range(6))
    with pytest.raises(ValueError, match="6 groups"):
        figures.two_measures(many, x="standard", y="official")


def test_row_accuracy_counts_images_and_stacks_parts():
    right = np.array([[True, False], [True, True], [False, False], [True, False]])
    votes = RowVote(torch.zeros(4, 2), torch.tensor(right), torch.tensor([True, True, True, False]))
    parts = torch.zeros(4, 2, 8)
    parts[:, 0, 1], parts[:2, 1, 4] = 0.5, 1.0  # the head; legs in half of the images
    figure = figures.row_accuracy(votes, parts)
    left, shown = figure.axes
    (container,) = left.containers
    assert list(container.lines[0].get_xdata()) == [75, 25]
    segments = container.lines[2][0].get_segments()
    for hits, segment in zip((3, 1), segments, strict=True):
        low, high = proportion_interval(hits, 4)
        assert segment[:, 0].tolist() == pytest.approx([100 * low, 100 * high])
    assert any(list(line.get_xdata()) == [75, 75] for line in left.lines)  # the vote
    head, legs = shown.containers
    assert [bar.get_width() for bar in head] == [50, 0]
    assert [(bar.get_x(), bar.get_width()) for bar in legs] == [(50, 0), (0, 50)]
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["vote of all rows", "head", "legs"]
    assert left.get_ylim() == (1.5, -0.5)  # the first row is above
    assert len(figures.row_accuracy(votes).axes) == 1
    with pytest.raises(ValueError, match=r"shape \(4, 2\), parts \(1, 2, 8\): expected"):
        figures.row_accuracy(votes, parts[:1])


def test_line_chart_draws_means_in_the_range_of_seeds():
    table = pd.DataFrame(
        [
            ("a", 0, 4, 1.0),
            ("a", 0, 8, 3.0),
            ("a", 1, 4, -2.0),
            ("a", 1, 8, 1.0),
            ("a", 1, 16, 9.0),  # the other seed lacks it
            ("b", 0, 4, 5.0),
        ],
        columns=["name", "seed", "k1", "value"],
    )
    figure = figures.line_chart(table, x="k1", label="gain", across=6)
    (axes,) = figure.axes
    mean, other, zero, across = axes.lines
    assert (list(mean.get_xdata()), list(mean.get_ydata())) == ([4, 8], [-0.5, 2])
    assert band(axes.collections[0]) == {4: (-2, 1), 8: (1, 3)}
    assert list(other.get_ydata()) == [5]
    assert list(zero.get_ydata()) == [0, 0]
    assert list(across.get_ydata()) == [6, 6]
    assert other.get_color() != mean.get_color()
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("k1", "gain")
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["a", "b"]
    (above,) = figures.line_chart(table[5:], x="k1", label="gain").axes
    assert all(list(line.get_ydata()) != [0, 0] for line in above.lines)  # nothing below zero
    many = pd.DataFrame({"name": range(6), "k1": 1, "value": 1.0})
    with pytest.raises(ValueError, match="there are 6 names: expected 1 to 5"):
        figures.line_chart(many, x="k1", label="gain")
    with pytest.raises(ValueError, match="seeds of 'a' have no value of 'k1' in common"):
        figures.line_chart(table[1:3], x="k1", label="gain")
    with pytest.raises(ValueError, match="has two rows"):
        figures.line_chart(table.drop(columns="seed"), x="k1", label="gain")


def test_every_figure_is_small_and_leaves_the_callers_style_alone(pictures):
    before = dict(mpl.rcParams)
    mask = np.ones((32, 16), np.uint8)
    made = [
        figures.contact_sheet([pictures]),
        figures.heat_overlay(pictures[0], np.ones((3, 4, 2)), ["10", "11", "12"]),
        figures.part_overlay(pictures, [mask] * 6),
        figures.training_curve([{"epoch": 1, "loss": 1.0, "accuracy": 0.1}]),
        figures.two_curves({"a": judged([3, 2, 1], [0.1, 0.2, 0.3])}),
        figures.forest(COMPARED, label="mAP (points)"),
        figures.heat_table(GAINS, label="gain"),
        figures.two_measures(NETWORKS, x="standard", y="official"),
        figures.line_chart(NETWORKS.assign(name="a", value=1.0), x="standard", label="mAP"),
        figures.networks.vit_baseline(),
    ]
    for figure in made:
        assert len(style.png(figure)) < style.PNG_LIMIT
        assert figure.get_figwidth() <= style.TEXT_WIDTH
    assert dict(mpl.rcParams) == before


def test_feature_planes_mark_groups_by_shape_and_join_people():
    def plane(points):
        one = {"silhouette": [0.25], "across": [0.5], "trustworthiness": [0.75]}
        own = {"silhouette": -0.5, "across": 0.125}
        return Projection(np.array([points], float), pd.DataFrame(one), own)

    pids, groups = [1, 1, 2], ["visible", "infrared", "infrared"]
    both = {"a": plane([[0, 0], [2, 0], [1, 1]]), "b": plane([[0, 0]] * 3)}
    panel = figures.feature_planes(both, pids, groups).axes[0]
    lines = [line.get_xydata().tolist() for line in panel.lines]
    assert lines[:3] == [[[1, 0], [0, 0]], [[1, 0], [2, 0]], [[1, 1], [1, 1]]]
    assert lines[3:] == [[[2, 0], [1, 1]], [[0, 0]]], "infrared, then visible"
    looks = [(line.get_marker(), line.get_markerfacecolor()) for line in panel.lines[3:]]
    assert looks[0] != looks[1]
    assert looks[1] == ("^", "none"), "hollow: seen without colour"
    told = panel.get_xlabel().splitlines()
    assert told[0] == "silhouette -0.50, t-SNE +0.25 to +0.25"
    assert told[2] == "trustworthiness 0.75 to 0.75"
    with pytest.raises(ValueError, match="expected one to three planes"):
        figures.feature_planes({"a": plane([[0, 0]] * 2)}, pids, groups)
