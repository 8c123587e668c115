"""A reader's page beside the book's: intervals checked with a printed table of Student's t."""

import copy
import json
import types

import pytest
from typer.testing import CliRunner

from reidlab.cli import app
from reidlab.record import RecordError
from reidlab.report import page_start, read_page, reproduction

T_975_TWO = 4.303  # t of 0.975 with two degrees of freedom, from a printed table


def changed(record, seed=0, settings=None, **metrics):
    other = copy.deepcopy(record) | {"seed": seed}
    other["metrics"] |= metrics
    other["experiment"]["recipe"] |= settings or {}
    return other


def page(folder, *runs, name="03_x", profile="laptop", images="ab" * 32, values=None):
    ds = types.SimpleNamespace(name="market1501", fingerprint=lambda: images)
    started = page_start(name, profile=profile, dataset="market1501", out=folder)
    started.finish(records=runs, dataset=ds, values=values)
    return folder / f"{name}.json"


def compared(tmp_path, mine, book, *others):
    both = [page(tmp_path / who, run) for who, run in (("mine", mine), ("book", book))]
    return reproduction(*map(read_page, both), others)


def test_the_same_run_is_the_same(tmp_path, record):
    found = compared(tmp_path, record, record)
    assert found.obstacles == ()
    assert "mAP 25.0 %, the book 25.0 %: the same to the last digit" in str(found)
    assert "interval" not in str(found)


def test_without_published_seeds_a_difference_has_no_interval(tmp_path, record):
    record["metrics"]["num_valid"] = 8
    found = compared(tmp_path, changed(record, rank1=0.625, mAP=0.27), record)
    assert found.obstacles == ()
    assert "Rank-1 62.5 %, the book 50.0 %: +12.5 points, 1 of 8 queries" in str(found)
    assert "mAP 27.0 %, the book 25.0 %: +2.0 points" in str(found)
    assert str(found).count("no interval is known") == 1


@pytest.mark.parametrize(("mAP", "word"), [(0.7, "inside"), (0.73, "OUTSIDE"), (0.51, "OUTSIDE")])
def test_published_seeds_give_the_interval_of_one_more(tmp_path, record, mAP, word):
    seeds = [changed(record, seed, mAP=x) for seed, x in enumerate((0.60, 0.62, 0.64))]
    strangers = [changed(record, 3, {"lr": 1.0}, mAP=0.1), changed(record, 4, mAP=0.1)]
    strangers[1]["data"]["fingerprint"] = "cd" * 32
    again = [changed(record, 1, mAP=0.99)]  # a seed counts once
    found = compared(tmp_path, changed(record, 7, mAP=mAP), seeds[0], *seeds, *strangers, *again)
    half = T_975_TWO * 2 * (1 + 1 / 3) ** 0.5
    (line,) = [text for text in found.lines if "mAP" in text]
    assert f"the book 60.0 %: {word} {62 - half:.1f} to {62 + half:.1f}" in line
    assert "after 3 published ones" in line
    assert "another seed than the book's 0" in str(found)


def test_published_seeds_that_agree_give_no_interval_and_say_so(tmp_path, record):
    seeds = [changed(record, seed, mAP=0.6) for seed in range(3)]
    found = str(compared(tmp_path, changed(record, 7, mAP=0.7), seeds[0], *seeds))
    assert "+10.0 points; the 3 published seeds all gave this number" in found
    assert "there are no published runs" not in found


def test_other_settings_images_profiles_and_chapters_are_said(tmp_path, record):
    found = compared(tmp_path, changed(record, settings={"lr": 0.1}), record)
    assert found.obstacles == ("experiment.recipe.lr is 0.008 there and 0.1 now",)
    assert "Rank-1" not in str(found)
    book = read_page(page(tmp_path, record))
    for other in ({"images": "ef" * 32}, {"profile": "smoke"}, {"name": "04_x"}):
        mine = read_page(page(tmp_path / "mine", record, **other))
        assert "NOT COMPARABLE" in str(reproduction(mine, book))


def test_values_of_a_page_without_runs(tmp_path):
    tables = {"audit": [{"rule": "standard", "mAP": 0.5}, {"rule": "official", "mAP": 0.75}]}
    book = read_page(page(tmp_path / "book", values=tables))
    assert "2 of 2 numbers as in the book" in str(reproduction(book, book))
    for value, equal in ((float("nan"), 1), (0.75 * (1 + 1e-9), 2)):
        tables["audit"][1]["mAP"] = value
        found = reproduction(read_page(page(tmp_path / "mine", values=tables)), book)
        assert f"{equal} of 2 numbers as in the book" in str(found)
    tables["audit"][1]["mAP"] = 0.5
    found = reproduction(read_page(page(tmp_path / "mine", values=tables)), book)
    assert "1 of 2 numbers as in the book" in str(found)
    assert "audit.1.mAP: 0.5, the book 0.75" in str(found)


def test_nothing_to_compare_with_says_where_to_find_it(tmp_path, record):
    with pytest.raises(RecordError, match="last box of the chapter"):
        reproduction(read_page(page(tmp_path, record)), None)


def test_a_page_of_another_version_and_half_a_page(tmp_path, record):
    path = page(tmp_path, record)
    whole = json.loads(path.read_text())
    for change, message in (
        ({"schema": 1}, "page of schema 1; this version of reidlab reads 2"),
        ({"records": [{}]}, "records is not a run record: `schema` is missing"),
        ({"data": {}}, "no whole record of a page"),
        ({"environment": 3}, "no whole record of a page"),
    ):
        path.write_text(json.dumps(whole | change))
        with pytest.raises(RecordError, match=message):
            read_page(path)


def test_the_command(tmp_path, record, monkeypatch):
    (tmp_path / "_toc.yml").touch()
    monkeypatch.chdir(tmp_path)
    mine = str(page(tmp_path / "runs" / "pages", record))

    def run(*arguments):
        return CliRunner().invoke(app, ["compare", mine, *arguments])

    alone = run()
    assert alone.exit_code == 1
    assert "--with" in alone.stderr
    page(tmp_path / "runs" / "book" / "laptop" / "03_x", record)
    built = run()
    assert built.exit_code == 0, built.output
    assert "the same to the last digit" in built.output
    other = page(tmp_path / "other", changed(record, settings={"lr": 1.0}))
    assert run("--with", str(other)).exit_code == 3
    assert run(mine, "--with", str(other)).exit_code == 1
    gone = run("--with", "gone.json")
    assert gone.exit_code == 1
    assert "there is no run record at gone.json" in gone.stderr
