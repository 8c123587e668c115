"""From an archive to tables: each script on a synthetic set that was packed as the real one comes.

These need the writers and the readers of all layouts. The cards say what the scripts say.
"""

import importlib
import tarfile
import zipfile
from pathlib import Path

import pytest

from reidlab.data import open_dataset, read_image
from reidlab.data.prepare import run
from reidlab.synth import suggested_world, write_dataset

SCRIPTS = {
    "market1501": "market1501",
    "dukemtmc": "dukemtmc",
    "occluded-duke": "occluded_duke",
    "msmt17": "msmt17",
    "cuhk03-np": "cuhk03",
    "cuhk03-classic": "cuhk03",
    "veri776": "veri776",
    "randperson": "randperson",
    "sysu-mm01": "sysu_mm01",
    "regdb": "regdb",
    "pku-reid": "pku_reid",
}
OURS = ("world.json", "attributes.csv", "masks")  # no real set has them
pytestmark = pytest.mark.filterwarnings("ignore::reidlab.data.DatasetWarning")


def script(layout):
    return importlib.import_module(f"data_scripts.prepare_{SCRIPTS[layout]}")


def status(layout, *argv):
    """Exit status of the script's command line."""
    return run(script(layout).RECIPE, script(layout).__doc__, [*map(str, argv)])


def rows(ds, split):
    """A table by the names of its files; where they are is in column `at`."""
    frame = getattr(ds, split)
    names = [Path(path).name for path in frame["path"]]
    frame = frame.assign(at=frame["path"], path=names)
    return frame.sort_values(["path", "pid"]).reset_index(drop=True)


@pytest.mark.parametrize(
    ("layout", "kind"), [(layout, "zip") for layout in SCRIPTS] + [("randperson", "tar.gz")]
)
def test_packed_and_prepared_it_is_the_same_set(tmp_path, capsys, layout, kind):
    root = tmp_path / "written"
    people = 10 if "cuhk03" in layout else 6  # two for each pair of cameras
    write_dataset(layout, root, suggested_world(layout, identities=people, resolution=(32, 16)))
    files = [
        (path, f"somewhere/{path.relative_to(root).as_posix()}")
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.relative_to(root).parts[0] not in OURS
    ]
    source = tmp_path / f"set.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(source, "w") as archive:
            for path, name in files:
                archive.write(path, name)
    else:
        with tarfile.open(source, "w:gz") as archive:
            for path, name in files:
                archive.add(path, name)

    out = tmp_path / "out"
    assert status(layout, source, "--out", out) == 0
    said = capsys.readouterr()
    assert "files written to" in said.out
    assert f"open_dataset({layout!r}" in said.out
    assert said.err.count("published are") >= 1  # a tiny set is not the published one

    assert status(layout, source, "--out", out) == 0
    assert "nothing to do" in capsys.readouterr().out

    for mat in out.rglob("cuhk-03.mat"):
        mat.unlink()  # the images alone are read now
    before, after = open_dataset(layout, root), open_dataset(layout, out)
    for split in ("train", "query", "gallery"):
        ours, theirs = rows(before, split), rows(after, split)
        assert ours.drop(columns="at").equals(theirs.drop(columns="at"))
        for at, place in list(zip(ours["at"], theirs["at"], strict=True))[:3]:
            assert read_image(at).tobytes() == read_image(place).tobytes()


@pytest.mark.parametrize(
    ("layout", "options"),
    [
        ("market1501", {}), ("cuhk03-np", {"form": "images"}), ("cuhk03-np", {"form": "market"}),
        ("pku-reid", {}), ("pku-reid", {"form": "57-57"}),
    ],
)  # fmt: skip
def test_a_synthetic_set_stays_synthetic(tmp_path, capsys, layout, options):
    """Packed with all it has: masks, which are named as images are, do not come between them."""
    root, out = tmp_path / "written", tmp_path / "out"
    world = suggested_world(layout, identities=10, resolution=(16, 16))
    write_dataset(layout, root, world, **options)
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for path in sorted(root.rglob("*")):
            archive.write(path, f"set/{path.relative_to(root).as_posix()}")
    assert status(layout, tmp_path / "set.zip", "--out", out) == 0
    assert "published are" not in capsys.readouterr().err
    ds = open_dataset(layout, out)
    assert ds.published is None
    assert ds.warnings == ()
    for split in ("train", "query", "gallery"):
        before = rows(open_dataset(layout, root), split)
        assert before.drop(columns="at").equals(rows(ds, split).drop(columns="at"))


@pytest.mark.parametrize("layout", SCRIPTS)
def test_the_card_and_the_script_say_the_same(layout):
    from reidlab.data.cards import CARDS

    card, doc = CARDS[layout], " ".join(script(layout).__doc__.split())
    assert card.script == f"prepare_{SCRIPTS[layout]}.py"
    assert script(layout).RECIPE.title.split()[0] in card.title
    assert ("withdrawn" in card.status.lower()) == ("WITHDRAWN" in doc)
    for licence in ("CC BY-NC-SA 4.0", "Apache-2.0"):
        assert (licence in card.licence) == (licence in doc)
    for fact in card.ask.replace(",", " ").split():
        if "/" in fact:  # an address
            assert fact.rstrip(".;") in doc
