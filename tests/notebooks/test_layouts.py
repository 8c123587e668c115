"""Every chapter on every layout: real sets, which have no truth, and what a set may lack.

All chapters run in one process, see `chapters`, so that data are written and worlds rendered once.
"""

import csv
import shutil
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reidlab.data import list_datasets
from reidlab.files import project_root
from reidlab.report.style import BookFigure
from reidlab.synth import World, suggested_world, write_dataset
from tests.notebooks.chapters import run_chapter

ROOT = project_root(Path(__file__))
CHAPTERS = {path.stem[:2]: path for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
del CHAPTERS["09"], CHAPTERS["13"]  # they read no data
TRUTH = ("masks", "attributes.csv", "world.json")  # what a synthetic set has and a real one has not

FORMS = {  # each set in the form its makers hand out: knobs of the world, options of the writer
    "market1501": ({"identities": 8, "cameras": 3}, {}),
    "dukemtmc": ({"identities": 8, "cameras": 3}, {}),
    "occluded-duke": ({"identities": 30, "cameras": 3}, {}),
    "msmt17": ({"identities": 12, "cameras": 3}, {}),
    "cuhk03-np": ({"identities": 16, "images_per_camera": 2}, {"form": "mat"}),
    "cuhk03-classic": ({"identities": 16, "images_per_camera": 2}, {"form": "mat"}),
    "veri776": ({"identities": 8, "cameras": 3, "resolution": (48, 64)}, {}),
    "randperson": ({"identities": 8, "cameras": 3}, {}),
    "sysu-mm01": ({"identities": 12, "images_per_camera": 2}, {}),
    "regdb": ({"identities": 8, "images_per_camera": 2}, {}),
    "pku-reid": ({"identities": 16}, {}),
    "folder": ({"identities": 8, "cameras": 3}, {}),
}
OTHERS = {  # further forms of a set, for the chapters that look at files
    "cuhk03-np, images": ("cuhk03-np", {"form": "images"}),
    "cuhk03-np, like Market": ("cuhk03-np", {"form": "market"}),
    "msmt17, V2": ("msmt17", {"version": "V2"}),
    "pku-reid, the release": ("pku-reid", {"form": "57-57"}),
}
MASKLESS = "no true masks"
# Every chapter runs on every kind of set; on the sets that differ in names alone,
# each chapter that trains runs on two of eight, and each that reads on four. Chapter 10 exports the
# network, which takes seconds whatever the data: it runs on its own layout, and without a test.
OF_A_KIND = (
    "market1501", "dukemtmc", "occluded-duke", "msmt17", "cuhk03-np", "cuhk03-classic", "veri776",
    "folder",
)  # fmt: skip
# Of the two sets of two lights one will do, but for chapter 07, which is about them.
OF_TWO_LIGHTS = {"sysu-mm01": ("05",), "regdb": ("04", "06", "08")}
RUNS = [
    (layout, chapter)
    for i, layout in enumerate(FORMS)
    for j, chapter in enumerate(CHAPTERS)
    if layout not in OF_A_KIND or (i + j) % (4 if "04" <= chapter <= "08" else 2) == 0
    if chapter not in OF_TWO_LIGHTS.get(layout, "")
    if chapter != "10" or layout == "randperson"
] + [("folder", "10")]

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module", autouse=True)
def rendered_once(project):
    """Chapters 01 and 11 show worlds, and 01 writes one, that do not depend on the data."""
    render, kept, mkdtemp = World.render, {}, tempfile.mkdtemp
    folder = mkdtemp(dir=project)

    def once(world, keys, **options):
        if options:  # of a set that is being written
            return render(world, keys, **options)
        key = world.fingerprint(), tuple(map(tuple, keys))
        if key not in kept:
            kept[key] = render(world, keys)
        return kept[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(World, "render", once)
        patch.setattr(BookFigure, "_repr_png_", lambda figure: b"")  # drawn in `test_notebooks`
        patch.setattr(tempfile, "mkdtemp", lambda **given: mkdtemp(**given) if given else folder)
        yield


@pytest.fixture
def run(inside, capsys):
    """`run("03", dataset, folder)`: all that the chapter prints and shows."""

    def run(chapter, dataset, folder, **parameters):
        parameters |= {"profile": "smoke", "dataset": dataset, "data_root": str(folder)}
        shown = run_chapter(CHAPTERS[chapter], **parameters)
        return capsys.readouterr().out + shown

    return run


@pytest.fixture(scope="module")
def stand_in(project):
    """`stand_in(layout)`: its folder as the makers hand it out, of synthetic people, no truth."""

    @cache
    def write(layout, **options):
        knobs, usual = FORMS[layout]
        world = suggested_world(layout, **{"seed": 5, "resolution": (64, 32), **knobs})
        options = {**usual, **options}
        root = project / "sets" / "-".join([layout, *map(str, options.values())])
        write_dataset(layout, root, world, **options)
        for name in TRUTH:
            path = root / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        return root

    return write


def test_every_layout_is_here():
    assert set(FORMS) == set(list_datasets())


@pytest.mark.parametrize(("layout", "chapter"), RUNS)
def test_a_chapter_runs_on_a_layout(layout, chapter, run, stand_in):
    said = run(chapter, layout, stand_in(layout))
    assert "Run record" in said
    assert ("so nothing can be judged on it" in said) == (layout == "randperson")
    assert "so nothing can be trained on it" not in said
    if layout != "randperson" and chapter in ("01", "03"):
        assert MASKLESS in said
        assert "than a uniform map: none" not in said, "nobody knows"


@pytest.mark.parametrize("form", OTHERS)
def test_another_form_of_a_set(form, run, stand_in):
    """Only the reader of the files differs, and chapter 01 shows what it read."""
    layout, options = OTHERS[form]
    assert "Run record" in run("01", layout, stand_in(layout, **options))


def own(root, people, cameras, shots, split=None):
    """A folder of one's own: <person>/<camera>/*.jpg, and a table if `split` says what is what."""
    rng = np.random.default_rng(0)
    rows = []
    for person in people:
        colour = rng.integers(0, 200, 3)
        for camera in cameras:
            for shot in range(shots):
                file = root / f"{person:04d}/{camera}/{shot}.jpg"
                file.parent.mkdir(parents=True, exist_ok=True)
                pixels = (colour + rng.integers(0, 56, (64, 32, 3))).astype(np.uint8)
                Image.fromarray(pixels).save(file)
                rows.append([file.relative_to(root), person, camera, split and split(person, shot)])
    if split:
        with open(root / "images.csv", "w", newline="") as table:
            csv.writer(table).writerows([["path", "pid", "camid", "split"], *rows])
    return root


EIGHT = range(1, 9)
LACKS = {  # what a folder of one's own may lack -> how it is made, what a chapter says
    "one camera": ((EIGHT, [0], 3), "does not show two people of its test in two cameras"),
    "one picture of each": ((EIGHT, [0], 1), "so nothing can be judged on it"),
    "two people": (([1, 2], [0, 1], 2), "has nobody to train on, so nothing can be trained on it"),
    "three people": (([1, 2, 3], [0, 1], 1), "has nobody to train on"),
    "few pictures": ((range(1, 5), [0, 1], 1), "Run record</p>"),
    "no test": ((EIGHT, [0, 1], 2, lambda pid, shot: "train"), "so nothing can be judged on it"),
    "one to train on": (
        (EIGHT, [0, 1], 2, lambda pid, shot: "train" if pid == 1 else "test"),
        "has one person to train on, so nothing can be trained on it",
    ),
    "no training": (
        (EIGHT, [0, 1], 2, lambda pid, shot: "gallery" if shot else "query"),
        "has nobody to train on, so nothing can be trained on it",
    ),
}


TURNS = (["00", "02", "04"], ["01", "11"], ["00", "02", "05"], ["01", "12"])


@pytest.mark.parametrize(
    ("lack", "chapter"),
    [
        (lack, chapter)
        for number, lack in enumerate(LACKS)
        for chapter in ["03", *TURNS[number % 4]]  # which all others go the way of
    ],
)
def test_what_a_set_lacks_is_said_in_a_sentence(lack, chapter, run, tmp_path):
    how, sentence = LACKS[lack]
    said = run(chapter, "folder", own(tmp_path / "mine", *how))
    assert said.count(sentence) == 1
    assert "Run record" in said


def test_a_folder_that_is_a_number(run, stand_in, project):
    shutil.copytree(stand_in("folder"), project / "notebooks" / "2024")
    for given in (2024, "2024", "notebooks/2024"):
        assert "Run record" in run("00", "folder", given)


def test_numbers_as_text_and_a_run_of_each_own_set(run, stand_in, project):
    """With two sets of one layout, the second is not taken for the first one's unfinished run."""
    other = own(project / "other", range(1, 9), [0, 1], 2)
    for folder in (stand_in("folder"), other, other):
        assert "Run record" in run("03", "folder", folder, seed="0", out=None)
    runs = (project / "runs" / "lab").glob("03_baseline-folder-smoke-seed0-*")
    assert len([*runs]) >= 2
