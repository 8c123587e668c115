"""The worked examples of CONTRIBUTING.md, run as a contributor would: one after the other."""

import re
from pathlib import Path

import pytest

from reidlab.data.cards import CARDS
from reidlab.data.catalogue import READERS
from reidlab.losses import LOSSES
from reidlab.models import list_models, unregister
from reidlab.record import RunRecord
from reidlab.synth import World, write_dataset
from reidlab.training import Recipe

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```", TEXT, re.M | re.S)


@pytest.fixture
def session(tmp_path, monkeypatch):
    """Where the examples are run: a folder with a small world; what they register is removed."""
    monkeypatch.chdir(tmp_path)
    world = World(seed=3, identities=12, cameras=3, images_per_camera=2, resolution=(32, 16))
    write_dataset("market1501", tmp_path / "people", world)
    before = [dict(table) for table in (LOSSES, CARDS, READERS)]
    yield {}
    unregister("mean_patch")
    for table, kept in zip((LOSSES, CARDS, READERS), before, strict=True):
        table.clear()
        table.update(kept)


@pytest.mark.filterwarnings("ignore::reidlab.data.DatasetWarning")
def test_the_examples_run_in_their_order(session, capsys):
    assert len(EXAMPLES) == 5
    for number, example in enumerate(EXAMPLES, start=1):
        exec(compile(example, f"CONTRIBUTING.md, example {number}", "exec"), session)
    assert "mean_patch" in list_models()
    records = session["records"]
    assert [run["levels"]["length"] for run in records] == ["free", "free", "short", "short"]
    assert [set(run["history"][0]["losses"]) for run in records] == [
        {"identity"}, {"identity"}, {"identity", "length"}, {"identity", "length"},
    ]  # fmt: skip
    for run in records:
        assert Recipe.from_record(run["experiment"]).model == "mean_patch"
    folders = [path.parent for path in Path("runs").rglob("record.json")]
    assert len(folders) == 4, "one folder for each run, by what went in"
    assert RunRecord.load(folders[0] / "record.json").metrics["num_valid"] > 0
    printed = capsys.readouterr().out
    assert "free" in printed
    assert "points" in printed
    assert "ReIDDataset('toy'" in printed


def test_what_was_registered_is_gone():
    assert "mean_patch" not in list_models()
    assert "length" not in LOSSES
    assert "toy" not in READERS
