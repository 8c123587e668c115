"""A drawing holds the numbers of its toy, computed here by hand."""

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from reidlab.report import style
from reidlab.report.figures import networks

PATCHES = [[[2.0, 0.0], [4.0, 0.0]], [[0.0, 3.0], [0.0, 5.0]]]
CLS = [1.0, -1.0]
LAYERS = [[[[2.0, 0.0], [4.0, 0.0]], [[0.0, 3.0], [0.0, 5.0]]], [[[7.0, 1.0]] * 2] * 2]
TOKENS = [[1.0, -1.0], [0.0, 9.0]]
DRAWINGS = (networks.la_transformer, networks.la_tf_pp)


def words(figure):
    return [text.get_text() for text in figure.axes[0].texts]


@pytest.mark.parametrize("draw", DRAWINGS)
def test_tokens_are_those_of_the_toy(draw):
    found = words(draw(torch.tensor(PATCHES), torch.tensor(CLS)))
    assert {"2, 0", "4, 0", "0, 3", "0, 5", "G = 1, −1", "transformer"} <= set(found)


def test_rows_are_averaged_and_mixed_with_the_class_token():
    found = words(networks.la_transformer(PATCHES, CLS))
    assert {"$R_1$ = 3, 0", "$R_2$ = 0, 4", "0.89 R + 0.11 G"} <= set(found)
    assert {"$L_1$ = 2.8, −0.1", "$L_2$ = 0.1, 3.4"} <= set(found)  # 25 / 9, -1 / 9, 1 / 9, 31 / 9
    assert found.count("classifier") == 2


def test_la_tf_pp_has_one_classifier_on_the_mean_of_the_mixed_rows():
    found = words(networks.la_tf_pp(PATCHES, CLS))
    assert "mean = 1.4, 1.7" in found  # of 25 / 9 and 1 / 9, and of -1 / 9 and 31 / 9
    assert found.count("one classifier") == 1
    assert "classifier" not in found


def test_gltrans_has_the_tokens_of_two_layers_and_two_bands():
    found = words(networks.gltrans(torch.tensor(LAYERS), torch.tensor(TOKENS)))
    assert {"2, 0", "4, 0", "0, 3", "0, 5", "$c_{11}$ = 1, −1", "$c_{12}$ = 0, 9"} <= set(found)
    assert found.count("7, 1") == 4
    assert {"GAE", "PTF", "GMA", "PTL 1", "PTL 2", "g", "F", "F′", "$f_1$", "$f_2$"} <= set(found)


def test_a_row_of_gltrans_has_the_colour_of_its_band():
    patches = np.ones((2, 3, 1, 2))  # three rows: two in the first band
    figure = networks.gltrans(patches, TOKENS)
    edges = [to_hex(box.get_edgecolor()) for box in figure.axes[0].patches[:3]]  # the picture
    assert edges == [style.QUERY, style.QUERY, style.WRONG]


@pytest.mark.parametrize(
    ("draw", "toy"),
    [
        (networks.vit_baseline, ()), (networks.la_transformer, (PATCHES, CLS)),
        (networks.la_tf_pp, (PATCHES, CLS)), (networks.gltrans, (LAYERS, TOKENS)),
        (networks.tvtr, ([[0, 3], [3, 6]],)),
    ],
)  # fmt: skip
def test_everything_is_on_the_sheet(draw, toy):
    figure = draw(*toy)
    figure.draw_without_rendering()
    page = figure.bbox
    for text in filter(lambda each: each.get_text(), figure.axes[0].texts):
        box = text.get_window_extent()
        assert page.x0 <= box.x0 < box.x1 <= page.x1, text.get_text()
        assert page.y0 <= box.y0 < box.y1 <= page.y1, text.get_text()
        assert text.get_fontsize() >= 9
    assert len(style.png(figure)) < style.PNG_LIMIT


@pytest.mark.parametrize("draw", DRAWINGS)
@pytest.mark.parametrize(
    ("patches", "cls"),
    [(PATCHES, None), (None, CLS), (PATCHES, [1.0]), (np.ones((5, 2, 2)), CLS), (CLS, CLS)],
)
def test_a_toy_that_does_not_go_together_is_refused(draw, patches, cls):
    with pytest.raises(ValueError, match="at most 4 rows"):
        draw(patches, cls)


@pytest.mark.parametrize(
    ("patches", "classes"),
    [
        (LAYERS, None), (None, TOKENS), (LAYERS[:1], TOKENS), (LAYERS, TOKENS[:1]),
        (LAYERS, [[1.0], [2.0]]), (np.ones((2, 5, 2, 2)), TOKENS), (np.ones((2, 1, 2, 2)), TOKENS),
        (PATCHES, CLS),
    ],
)  # fmt: skip
def test_layers_that_do_not_go_together_are_refused(patches, classes):
    with pytest.raises(ValueError, match="2 to 4 rows"):
        networks.gltrans(patches, classes)


def test_an_arrow_passes_its_points():
    sheet = networks.Drawing(height=2)
    box = sheet.box(networks.Box(1, 1, 2, 0.5), "a")
    assert (box.left, box.right, box.top, box.bottom) == (
        (1, 1.25), (3, 1.25), (2, 1), (2, 1.5),
    )  # fmt: skip
    sheet.arrow((0, 0), (0, 1.25), box.left)
    assert sheet.axes.lines[-1].get_xydata().tolist() == [[0, 0], [0, 1.25]]


def test_tvtr_counts_the_heads_and_names_what_they_chose():
    found = words(networks.tvtr(torch.tensor([[0, 3], [3, 6]])))
    assert sorted(n for n in found if n.isdigit()) == [*"00000112"]
    assert [n for n in found if n.startswith("$h")] == ["$h_1$", "$h_4$", "$h_4$", "$h_7$"]
    for wrong in ([[0, 8], [1, 2]], [[0], [1]]):
        with pytest.raises(ValueError, match="expected four to six patches from 0 to 7"):
            networks.tvtr(wrong)


def test_transmatcher_has_the_products_of_all_places():
    query = torch.tensor([[[2.0, 0.0], [0.0, 1.0]], [[1.0, 3.0], [1.0, 0.0]]])
    image = torch.tensor([[[0.0, 1.0], [2.0, 1.0]], [[0.0, 5.0], [1.0, 0.0]]])
    found = words(networks.transmatcher(query, image))
    for s in image.reshape(4, 2):
        for t in query.reshape(4, 2):
            assert f"{float(s @ t):g}" in found
    with pytest.raises(ValueError, match=r"\(2, 2, d\), both alike"):
        networks.transmatcher(query[:1], image)
