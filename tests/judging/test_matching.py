"""Scores of a matcher on disk: what an interruption costs, and what is never gone on with."""

import numpy as np
import pytest
import torch

from reidlab.judging import matching
from reidlab.judging.matching import score_rows

BLOCKS = 4 * 3  # of 7 x 8 pairs, 2 x 3 at once


class Killed(Exception):
    pass


class Matcher:
    """The best of all products of places; may be killed after some blocks."""

    def __init__(self, life=10**9, factor=1.0):
        self.asked, self.life, self.factor = 0, life, factor

    def __call__(self, queries, images):
        if self.asked == self.life:
            raise Killed
        self.asked += 1
        places = (part.flatten(1, 2) for part in (queries, images))
        return self.factor * torch.einsum("qpd,grd->qgpr", *places).amax((2, 3))


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(matching, "QUERIES", 2)
    monkeypatch.setattr(matching, "IMAGES", 3)


@pytest.fixture
def maps():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(n, 2, 3, 4, generator=generator) for n in (7, 8)]


def scores(match, maps, kept=None):
    return torch.cat(list(score_rows(match, *maps, kept)))


@pytest.mark.parametrize("life", [0, 1, 5, 11])
def test_an_interruption_costs_a_block(maps, tmp_path, life):
    """And the first, which is asked for again to be sure that it is the same matcher."""
    expected = scores(Matcher(), maps)
    kept = tmp_path / "deep" / "scores.npy"
    with pytest.raises(Killed):
        scores(Matcher(life), maps, kept)
    again = Matcher()
    assert torch.equal(scores(again, maps, kept), expected)
    assert again.asked == BLOCKS - life + (life > 0)
    last = Matcher()
    assert torch.equal(scores(last, maps, kept), expected)
    assert last.asked == 1
    np.testing.assert_array_equal(np.load(kept), expected.numpy())


def test_a_block_that_was_half_written_is_asked_for_again(maps, tmp_path):
    kept = tmp_path / "scores.npy"
    expected = scores(Matcher(), maps, kept)
    found = np.load(kept)
    found[6, 7] = np.nan
    np.save(kept, found)
    again = Matcher()
    assert torch.equal(scores(again, maps, kept), expected)
    assert again.asked == 2


@pytest.mark.parametrize("what", ["matcher", "maps", "fewer", "cut off", "no note"])
def test_another_file_is_not_gone_on_with(maps, tmp_path, what):
    kept, other = tmp_path / "scores.npy", Matcher()
    scores(Matcher(), maps, kept)
    if what == "matcher":
        other = Matcher(factor=2.0)
    elif what == "maps":
        maps[1][-1] += 1.0
    elif what == "fewer":
        maps[1] = maps[1][:7]
    elif what == "cut off":
        kept.write_bytes(kept.read_bytes()[:150])
    else:
        kept.with_suffix(".json").unlink()
    found = scores(other, maps, kept)
    assert other.asked == BLOCKS
    assert torch.equal(found, scores(Matcher(factor=other.factor), maps))
