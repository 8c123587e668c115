"""The evidence of three queries, against loops over their galleries; and its figure."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

from reidlab.data import open_dataset
from reidlab.report import figures
from reidlab.report.evidence import typical_evidence
from reidlab.synth import World, write_dataset

ROWS = 4


@pytest.fixture(scope="module")
def ds(tmp_path_factory):
    world = World(seed=3, identities=8, cameras=3, images_per_camera=2, resolution=(32, 16))
    return open_dataset(
        "market1501", write_dataset("market1501", tmp_path_factory.mktemp("d"), world)
    )


@pytest.fixture(scope="module")
def embeddings(ds):
    generator = torch.Generator().manual_seed(0)
    sides = (torch.randn(len(f), ROWS * 5, generator=generator) for f in (ds.query, ds.gallery))
    return [torch.nn.functional.normalize(side) for side in sides]


def test_the_margin_is_that_of_match_and_five_strangers(ds, embeddings):
    q_emb, g_emb = embeddings
    found = typical_evidence(ds, q_emb, g_emb, ROWS)
    assert list(found) == ["best", "median", "worst"]
    assert found["best"].ap >= found["median"].ap >= found["worst"].ap
    for case in found.values():
        i = ds.query.path.tolist().index(case.query)
        asked = ds.query.iloc[i]
        near = []
        for j, row in enumerate(ds.gallery.itertuples()):
            seen = not row.junk and (row.pid != asked.pid or row.camid != asked.camid)
            if seen:
                near.append((-float(q_emb[i] @ g_emb[j]), row.path, row.pid == asked.pid))
        near.sort()
        right = [entry for entry in near if entry[2]]
        wrong = [entry for entry in near if not entry[2]]
        assert (case.match, case.stranger) == (right[0][1], wrong[0][1])
        margin = -right[0][0] - np.mean([-entry[0] for entry in wrong[:5]])
        assert float(case.rows.sum()) == pytest.approx(margin, abs=1e-5)
        assert case.rows.shape == (ROWS,)


def test_the_figure_has_a_line_for_each_query_on_one_scale(ds, embeddings):
    found = typical_evidence(ds, *embeddings, ROWS)
    figure = figures.row_evidences(found)
    assert len(figure.axes) == 3 * 4, "query, match, stranger, bars"
    bars = figure.axes[3::4]
    assert len({panel.get_xlim() for panel in bars}) == 1
    for panel, (name, case) in zip(bars, found.items(), strict=True):
        title = panel.get_title(loc="left")
        assert title.startswith(f"{name}, AP {100 * case.ap:.0f} %")
        assert [bar.get_width() for bar in panel.patches] == pytest.approx(case.rows.tolist())
        assert [bool(bar.get_hatch()) for bar in panel.patches] == (case.rows < 0).tolist()
        signs = ["−" if value < 0 else "+" for value in case.rows]
        assert [text.get_text()[0] for text in panel.texts] == signs
    assert figure._repr_png_().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="no cases"):
        figures.row_evidences({})


def test_wide_pictures_leave_room_for_the_bars(tmp_path, ds, embeddings):
    """Vehicles are wider than high."""
    Image.new("RGB", (400, 100)).save(tmp_path / "wide.png")
    wide = str(tmp_path / "wide.png")
    case = next(iter(typical_evidence(ds, *embeddings, ROWS).values()))
    case = dataclasses.replace(case, query=wide, match=wide, stranger=wide)
    figure = figures.row_evidences({"best": case})
    places = [panel.get_position() for panel in figure.axes]
    for left, right in pairwise(places):
        assert left.x1 < right.x0
    assert places[-1].width > 0.3
    width, height = figure.get_size_inches()
    assert places[0].width * width == pytest.approx(4 * places[0].height * height)
