"""The five papers as one skeleton: their numbers by hand, and the drawing of what differs."""

from matplotlib.colors import to_hex

from reidlab.report import style
from reidlab.report.figures import networks
from reidlab.report.skeleton import skeleton


def test_each_model_has_the_classifiers_and_losses_of_its_paper():
    table = skeleton()
    classifiers = {"ViT baseline": 1, "LA-Transformer": 14, "LA-TF++": 1, "GLTrans": 5, "TVTR": 1}
    assert table["classifiers"].to_dict() == classifiers | {"TransMatcher": 0}
    assert table.losses["LA-Transformer"] == "identity"
    assert table.losses["LA-TF++"] == "smoothed identity, triplet of logits"
    assert table.losses["TVTR"] == "circle, circle of pairs"
    assert table.index[table.score == "learned"].tolist() == ["TransMatcher"]


def test_a_model_stands_below_what_it_changes_in_one_colour():
    figure = networks.skeleton({"kept": ["a", "b"], "score": ["b"]})
    words = [text.get_text() for text in figure.axes[0].texts]
    assert words == ["backbone", "kept", "a", "b", "score", "b"]
    boxes = [p for p in figure.axes[0].patches if hasattr(p, "get_boxstyle")]
    edges = [to_hex(box.get_edgecolor()) for box in boxes]
    assert edges[2:4] == [style.QUERY, style.MATCH]
    assert edges[-1] == style.MATCH
    figure.draw_without_rendering()
