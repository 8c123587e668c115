"""Scores of a matcher on disk: what an interruption costs, and what is never gone on with."""

import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from reidlab.files import WriteError
from reidlab.judging import judge, matching, rescore
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


def test_between_blocks_the_caller_can_train(maps):
    rows = score_rows(Matcher(), *maps)
    next(rows)
    assert not torch.is_inference_mode_enabled()


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


@pytest.mark.parametrize("what", ["matcher", "maps", "fewer", "cut off"])
def test_another_file_is_not_gone_on_with(maps, tmp_path, what):
    kept, other = tmp_path / "scores.npy", Matcher()
    scores(Matcher(), maps, kept)
    if what == "matcher":
        other = Matcher(factor=2.0)
    elif what == "maps":
        maps[1][-1] += 1.0
    elif what == "fewer":
        maps[1] = maps[1][:7]
    else:
        kept.write_bytes(kept.read_bytes()[:150])
    found = scores(other, maps, kept)
    assert other.asked == BLOCKS
    assert torch.equal(found, scores(Matcher(factor=other.factor), maps))


def test_a_file_of_something_else_stays(maps, tmp_path):
    """A record beside the scores, too."""
    other, record = tmp_path / "embeddings.npy", tmp_path / "scores.json"
    for path in (other, record):
        path.write_text("mine")
    asked = Matcher()
    message = r"embeddings.npy exists and was not written by an evaluation .*; expected a new file"
    with pytest.raises(ValueError, match=message):
        scores(asked, maps, other)
    assert asked.asked == 0
    scores(asked, maps, tmp_path / "scores.npy")
    assert {path.read_text() for path in (other, record)} == {"mine"}


def nan_for(query, image):
    """A matcher of which one pair has no number."""

    def match(queries, images):
        found = Matcher()(queries, images)
        return found.where((queries != query).flatten(1).any(1)[:, None]
                           | (images != image).flatten(1).any(1), torch.nan)  # fmt: skip

    return match


def test_a_score_that_is_no_number_is_neither_kept_nor_ranked(maps, tmp_path):
    kept, bad = tmp_path / "scores.npy", nan_for(maps[0][4], maps[1][7])
    message = r"1 of 4 scores are no numbers, such as one of query 4; expected numbers. Look for"
    with pytest.raises(ValueError, match=message):
        scores(bad, maps, kept)
    with pytest.raises(ValueError, match=r"1 of 8 scores are no numbers, such as one of query 4"):
        rescore(bad, *maps, torch.rand(7, 8), 8)
    again = Matcher()
    assert torch.equal(scores(again, maps, kept), scores(Matcher(), maps))
    assert again.asked == BLOCKS - 8 + 1


@pytest.mark.parametrize("side", [0, 1])
def test_nobody_to_ask_for_and_nothing_to_search(maps, side):
    maps[side] = maps[side][:0]
    message = r"there are (0 queries and 8|7 queries and 0) gallery images; expected at least one"
    with pytest.raises(ValueError, match=message):
        scores(Matcher(), maps)
    with pytest.raises(ValueError, match=message):
        rescore(Matcher(), *maps, torch.rand(len(maps[0]), len(maps[1])), 3)


def test_a_gallery_of_one(maps):
    maps[1] = maps[1][:1]
    assert scores(Matcher(), maps).shape == (7, 1)
    assert rescore(Matcher(), *maps, torch.rand(7, 1), 100).shape == (7, 1)


@pytest.mark.parametrize("size", [1, 10**9])
def test_no_size_of_a_block_changes_a_score(maps, size, monkeypatch):
    expected = scores(Matcher(), maps)
    monkeypatch.setattr(matching, "QUERIES", size)
    monkeypatch.setattr(matching, "IMAGES", size)
    torch.testing.assert_close(scores(Matcher(), maps), expected)


def test_a_disk_without_room_is_told_before_anything_is_scored(maps, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    asked, kept = Matcher(), tmp_path / "scores.npy"
    with pytest.raises(WriteError, match=r"scores.npy cannot be written: it takes .* MiB"):
        scores(asked, maps, kept)
    assert asked.asked == 0
    assert not kept.exists()


def test_a_log_hears_of_pairs_a_second_and_of_the_time_left(maps, monkeypatch, capsys):
    monkeypatch.setenv("REIDLAB_PROGRESS", "plain")
    monkeypatch.setattr(matching, "EVERY", 0.0)
    scores(Matcher(), maps)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == BLOCKS
    assert lines[-1].startswith("matching: 56 of 56 pairs")
    assert all("pairs/s" in line and "minutes left" in line for line in lines)
    monkeypatch.setenv("REIDLAB_PROGRESS", "none")
    scores(Matcher(), maps)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("top", [1, 3, 8, 99])
def test_rescoring_orders_the_nearest_anew_and_nobody_else(maps, top):
    generator = torch.Generator().manual_seed(1)
    distances = torch.rand(7, 8, generator=generator)
    found = rescore(Matcher(), *maps, distances, top)
    score = scores(Matcher(), maps)
    for row in range(7):
        order = sorted(range(8), key=lambda i: distances[row, i])
        near = sorted(order[:top], key=lambda i: -score[row, i])
        wanted = near + order[top:]
        assert sorted(range(8), key=lambda i: found[row, i]) == wanted
        assert all(found[row, i] == distances[row, i] for i in order[top:])


def test_rescoring_does_not_keep_ties_of_the_embedding(maps):
    found = rescore(Matcher(), *maps, torch.zeros(7, 8), 8)
    assert torch.equal(found.argsort(1), scores(Matcher(), maps).argsort(1, descending=True))


def test_rescoring_wants_one_image_and_a_row_for_each_query(maps):
    with pytest.raises(ValueError, match=r"top is 0, expected at least 1 image for each query"):
        rescore(Matcher(), *maps, torch.rand(7, 8), 0)
    with pytest.raises(TypeError, match=r"top is 2.5, expected a whole number"):
        rescore(Matcher(), *maps, torch.rand(7, 8), 2.5)
    with pytest.raises(
        ValueError, match=r"shape \(8, 7\); expected \(7, 8\), a row for each query"
    ):
        rescore(Matcher(), *maps, torch.rand(8, 7), 2)


def test_rescoring_takes_distances_of_numpy_and_none_in_half_precision(maps):
    distances = torch.rand(7, 8)
    found = rescore(Matcher(), *maps, distances.numpy(), 3)
    assert torch.equal(found, rescore(Matcher(), *maps, distances, 3))
    with pytest.raises(TypeError, match="float16"):
        rescore(Matcher(), *maps, distances.half(), 3)


def small(people):
    """A set of these people, query and gallery alike, as `judge` takes it."""
    frame = pd.DataFrame({"pid": people, "camid": range(len(people)), "junk": False})
    return SimpleNamespace(name="small", protocol="standard", query=frame, gallery=frame)


def test_judging_a_matcher_with_the_options_of_embeddings(maps, tmp_path):
    """Distances are none of its business, but a name that nobody knows is told."""
    ds, emb = small([1, 2, 3, 1, 2, 3, 1]), maps[0]
    found = judge(ds, emb, emb, match=Matcher())
    same = judge(ds, emb, emb, match=Matcher(), metric="euclidean", block=2)
    assert np.array_equal(found.ap, same.ap)
    with pytest.raises(ValueError, match=r"unknown metric 'cosin': choose one of cosine, euclid"):
        judge(ds, emb, emb, match=Matcher(), metric="cosin")
    with pytest.raises(ValueError, match=r"scores.npy and the model embeds images; expected None"):
        judge(ds, emb.flatten(1), emb.flatten(1), scores=tmp_path / "scores.npy")
