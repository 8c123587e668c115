"""Figures of a ranking hold what the ranking says."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from reidlab.evaluation import rank, ranked_list
from reidlab.report import figures, style


def frame(pictures, folder, pids, camids):
    from PIL import Image

    paths = [str(folder / f"{number}.png") for number in range(len(pictures))]
    for path, picture in zip(paths, pictures, strict=True):
        Image.fromarray(picture).save(path)
    return pd.DataFrame({"path": paths, "pid": pids, "camid": camids})


def marks(figure):
    return [text.get_text() for text in figure.axes[0].texts if text.get_text()[0] in "✓✗–"]


def test_ranked_queries_marks_what_the_standard_rule_drops(pictures, tmp_path):
    table = frame(pictures[:5], tmp_path, [7, 7, 7, 3, -1], [0, 0, 1, 1, 1])
    query, gallery = table.iloc[:1], table.iloc[1:]
    q_emb, g_emb = np.zeros((1, 1)), np.array([[0.1], [0.2], [0.3], [0.4]])
    who = (query.pid, gallery.pid, query.camid, gallery.camid)
    options = {"k": 9, "metric": "euclidean"}
    everything = ranked_list(q_emb, g_emb, *who, protocol="la-official", **options)
    figure = figures.ranked_queries(query, gallery, everything, ["A"])
    assert marks(figure) == ["– 0.10", "✓ 0.20", "✗ 0.30", "– 0.40"]
    assert {text.get_color() for text in figure.axes[0].texts} == {style.INK}  # which reads best
    words = [text.get_text() for text in figure.axes[0].texts]
    assert words[4:] == ["A", "query", "1", "2", "3", "4"]
    frames = figure.axes[0].patches
    colours = [to_hex(frame.get_edgecolor()) for frame in frames]
    assert colours == [style.QUERY, style.JUNK, style.MATCH, style.WRONG, style.JUNK]
    assert [frame.get_linestyle() for frame in frames] == ["-", "--", "-", "-", "--"]
    assert len(style.png(figure)) < style.PNG_LIMIT
    standard = ranked_list(q_emb, g_emb, *who, **options)
    assert marks(figures.ranked_queries(query, gallery, standard)) == ["✓ 0.20", "✗ 0.30"]
    with pytest.raises(ValueError, match="2 queries and 1 ranked lists"):
        figures.ranked_queries(table.iloc[:2], gallery, standard)


def test_cmc_and_ap():
    distances = np.array([[0.1, 0.2, 0.3], [0.2, 0.1, 0.3]])
    result = rank(distances, [1, 1], [1, 2, 3], [0, 0], [1, 1, 1])
    curve, counts = figures.cmc_and_ap(result, ranks=2).axes
    assert np.allclose(curve.lines[0].get_xydata(), [[1, 50], [2, 100]])
    assert sum(bar.get_height() for bar in counts.patches) == 2
    assert counts.lines[0].get_xdata()[0] == pytest.approx(75)  # AP 1 and 1 / 2


def test_patch_grid_cuts_the_picture(pictures):
    figure = figures.patch_grid(pictures[0], 8)  # 32 x 16
    down, across = figure.axes[0].collections
    assert len(down.get_segments()) == 5
    assert len(across.get_segments()) == 3
    with pytest.raises(ValueError, match="patch is 0"):
        figures.patch_grid(pictures[0], 0)
