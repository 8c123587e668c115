"""Options become knobs; a folder is written once, again when asked otherwise, never if not ours."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from data_scripts import make_synthetic as ms
from reidlab.synth import World, layouts

ROOT = Path(__file__).resolve().parents[2]
TINY = ["--identities", "4", "--cameras", "2", "--knob", "resolution=(32, 16)"]


def files(root) -> dict:
    return {p.relative_to(root): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seed=3", ("seed", 3)),
        ("clutter=1", ("clutter", 1.0)),
        ("style=mall", ("style", "mall")),
        ("resolution=(64, 32)", ("resolution", (64, 32))),
        ("resolution=[64, 32]", ("resolution", (64, 32))),
    ],
)
def test_knob(text, expected):
    name, value = ms.knob(text)
    assert (name, value) == expected
    assert type(value) is type(expected[1])


@pytest.mark.parametrize("text", ["cluter=1", "clutter", "=1"])
def test_an_unknown_knob_lists_the_known(text):
    with pytest.raises(ms.OptionError, match=r"seed=0, identities=100, .*style='plaza'"):
        ms.knob(text)


def test_a_value_of_another_type():
    with pytest.raises(ms.OptionError, match=r"cameras: 'six' is not of type int \(default 6\)"):
        ms.knob("cameras=six")


def test_written_once_resumed_and_rewritten(tmp_path, capsys):
    out = tmp_path / "set"
    assert ms.main(["--out", str(out), *TINY]) == 0
    first = files(out)
    world = json.loads((out / "world.json").read_text())["world"]
    assert world["identities"] == 4

    assert ms.main(["--out", str(out), *TINY]) == 0
    assert "already complete" in capsys.readouterr().out

    (out / "world.json").unlink()  # what Snakemake does before it runs a rule again
    assert ms.main(["--out", str(out), *TINY]) == 0
    assert files(out) == first

    assert ms.main(["--out", str(out), *TINY, "--seed", "1"]) == 0
    assert "written anew" in capsys.readouterr().out
    assert files(out) != first


def test_older_code_is_replaced(tmp_path):
    out = tmp_path / "set"
    asked = ms.request("market1501", World(), {})
    (out / "query").mkdir(parents=True)
    (out / "world.json").write_text("{}")
    (tmp_path / ".set.generator.json").write_text(json.dumps(asked | {"code": "older"}))
    ms.prepare(out, asked)
    assert not list(out.iterdir())


@pytest.mark.parametrize("name", ["", "attributes.csv"])
def test_a_folder_of_somebody_else_is_left_alone(tmp_path, capsys, name):
    if name:
        (tmp_path / name).write_text("file,age\n")
    (tmp_path / "query").mkdir()
    (tmp_path / "query" / "0001_c1s1_000151_01.jpg").write_bytes(b"real")
    before = files(tmp_path)
    assert ms.main(["--out", str(tmp_path)]) == 2
    assert "nothing was touched" in capsys.readouterr().err
    assert files(tmp_path) == before


def test_a_layout_begins_with_its_own_knobs_and_takes_options(tmp_path):
    out = tmp_path / "set"
    command = ["--layout", "randperson", "--out", str(out), *TINY, "--option"]
    assert ms.main([*command, "order=camera-scene"]) == 0
    told = json.loads((out / "world.json").read_text())
    assert told["split"] == {"layout": "randperson", "order": "camera-scene"}
    assert (told["world"]["style"], told["world"]["cameras"]) == ("random", 2)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--layout", "imagenet"], "'imagenet' cannot be written"),
        (["--option", "version=V2"], "no option version"),
        (["--option", "junk"], "write name=value"),
        (["--option", "junk=much"], "junk='much'"),
        (["--images-per-camera", "1"], "images_per_camera=1"),
        (["--layout", "veri776", "--knob", "differ=bag"], "subject='vehicle'"),
    ],
)
def test_what_cannot_be_written_leaves_the_older_set(tmp_path, capsys, wrong, message):
    out = tmp_path / "set"
    assert ms.main(["--out", str(out), *TINY]) == 0
    before = files(tmp_path)
    assert ms.main(["--out", str(out), *TINY, *wrong]) == 2
    assert message in capsys.readouterr().err
    assert files(tmp_path) == before


def test_other_options_are_another_set(tmp_path, capsys):
    out = tmp_path / "set"
    for junk in ("0.5", "0.0"):
        assert ms.main(["--out", str(out), *TINY, "--option", f"junk={junk}"]) == 0
    assert "written anew" in capsys.readouterr().out
    assert not list((out / "bounding_box_test").glob("-1_*"))


def test_help_lists_layouts_and_knobs(capsys):
    with pytest.raises(SystemExit):
        ms.main(["--help"])
    text = capsys.readouterr().out
    for word in (*layouts(), "version='V1'", "occlusion=0.1", "resolution=(96, 128)"):
        assert word in text


KILLED = """
import os, shutil, sys
from data_scripts import make_synthetic as ms
left = int(sys.argv[1])
def rmtree(path, before=shutil.rmtree):
    global left
    left -= 1
    return before(path) if left else os.kill(os.getpid(), 9)
ms.shutil.rmtree = rmtree
ms.main(sys.argv[2:])
"""


@pytest.mark.parametrize("folder", [1, 2, 4])
def test_killed_while_the_older_set_is_deleted(tmp_path, folder):
    new = ["--out", str(tmp_path / "set"), *TINY, "--seed", "1"]
    assert ms.main(["--out", str(tmp_path / "whole"), *TINY, "--seed", "1"]) == 0
    assert ms.main(["--out", str(tmp_path / "set"), *TINY]) == 0
    killed = subprocess.run([sys.executable, "-c", KILLED, str(folder), *new], cwd=ROOT)
    assert killed.returncode == -9
    assert ms.main(new) == 0
    assert files(tmp_path / "set") == files(tmp_path / "whole")


def test_two_at_once(tmp_path):
    command = [sys.executable, ms.__file__, "--out", str(tmp_path / "set"), *TINY]
    processes = [subprocess.Popen(command, cwd=ROOT) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert ms.main(["--out", str(tmp_path / "whole"), *TINY]) == 0
    assert files(tmp_path / "set") == files(tmp_path / "whole")


def test_a_place_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "set"):
        assert ms.main(["--out", str(out), *TINY]) == 1
        assert "is a file, expected a folder" in capsys.readouterr().err
