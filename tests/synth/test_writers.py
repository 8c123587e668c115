"""A written set: the layout of the real one, whole or resumable, and byte for byte the world's."""

import io
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from reidlab.data import open_dataset
from reidlab.synth import World, layouts, write_dataset, writers
from reidlab.synth.layout import market1501

NAME = re.compile(r"^(-?\d+)_c(\d)s(\d)_(\d+)_(\d+)\.jpg$")
FOLDERS = ("bounding_box_train", "query", "bounding_box_test")
WORLD = World(seed=5, identities=10, cameras=3, infrared_cameras=1, resolution=(32, 16))


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    monkeypatch.setattr(writers, "_CHUNK", 7)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The set, written without interruption by one thread; nobody writes into it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    root = write_dataset("market1501", tmp_path_factory.mktemp("synth") / "whole", WORLD)
    torch.set_num_threads(before)
    return root


@pytest.fixture(scope="module")
def table(whole):
    return pd.read_csv(whole / "attributes.csv")


def contents(root):
    return {
        str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()
    }


def parsed(root, folder):
    """(pid, camera) of every file of a folder."""
    matches = [NAME.match(path.name) for path in sorted((root / folder).iterdir())]
    assert all(matches)
    return [(int(m[1]), int(m[2])) for m in matches]


# --- layout -------------------------------------------------------------------------------------


def test_the_layout_is_named():
    assert layouts()[0] == "market1501"


def test_folders_and_names(whole):
    expected = {*FOLDERS, "masks", "attributes.csv", "world.json"}
    assert {path.name for path in whole.iterdir()} == expected
    for folder in FOLDERS:
        assert len(parsed(whole, folder)) > 0


def test_each_image_has_a_mask_and_a_row(whole, table):
    images = {f"{folder}/{p.name}" for folder in FOLDERS for p in (whole / folder).iterdir()}
    masks = {str(p.relative_to(whole / "masks")) for p in (whole / "masks").rglob("*.png")}
    assert masks == {name.replace(".jpg", ".png") for name in images}
    assert set(table["file"]) == images
    assert len(table) == len(images)
    assert set(table["split"]) == {"train", "query", "gallery"}


def test_train_and_test_people_are_strangers(whole):
    train, query, gallery = ({pid for pid, _ in parsed(whole, f)} for f in FOLDERS)
    assert len(train) == 6  # 60 % of 10
    assert len(query) == 4
    assert not train & (query | gallery)
    assert gallery - query == {-1, 0}


def test_one_query_per_person_and_camera_with_a_match_elsewhere(whole):
    query, gallery = parsed(whole, "query"), parsed(whole, "bounding_box_test")
    assert len(query) == len(set(query))
    for pid, camera in query:
        assert any(p == pid and c != camera for p, c in gallery)
    assert {q for q in query} == {g for g in gallery if g[0] > 0}


def test_junk_and_distractors_are_the_shares_asked_for(whole, table):
    pids = np.array([pid for pid, _ in parsed(whole, "bounding_box_test")])
    real = (pids > 0).sum()
    assert (pids == -1).sum() == round(0.1 * real)
    assert (pids == 0).sum() == round(0.2 * real)
    people = table.set_index("file")["person"]
    strangers = people[table.set_index("file")["pid"] == 0]
    assert strangers.is_unique
    assert not set(strangers) & set(range(1, WORLD.identities + 1))


def test_the_table_tells_what_the_name_says(table):
    for _, row in table.iterrows():
        match = NAME.match(Path(row["file"]).name)
        assert (int(match[1]), int(match[2])) == (row["pid"], row["camid"] + 1)
        assert row["pid"] == row["person"] or row["pid"] < 1


def test_files_show_the_world(whole, table):
    rows = table[table["pid"] > 0].iloc[::9]
    names = [rows[column].tolist() for column in ("person", "camid", "index")]
    pictures = WORLD.render(list(zip(*names, strict=True)))
    quality = WORLD.all_cameras.quality[rows["camid"]]
    for name, image, mask, q in zip(rows["file"], *pictures[:2], quality, strict=True):
        again = io.BytesIO()
        Image.fromarray(image).save(again, "JPEG", quality=int(q))
        assert (whole / name).read_bytes() == again.getvalue()
        beside = (whole / "masks" / name).with_suffix(".png")
        np.testing.assert_array_equal(np.asarray(Image.open(beside)), mask)


def test_names_stay_unique_in_a_large_world():
    """Counted, not written: junk of one camera and label must not collide."""
    world = World(seed=1, identities=2500, cameras=9, images_per_camera=4)
    entries = market1501.entries(world, train_fraction=0.3, junk=0.5, distractors=0.5)
    files = [entry.file for entry in entries]
    assert len(set(files)) == len(files) > 100_000
    assert all(NAME.match(name.split("/")[1]) for name in files)


@settings(max_examples=4, deadline=None)
@given(
    identities=st.integers(3, 12), cameras=st.integers(1, 4), dark=st.integers(1, 3),
    images=st.integers(2, 4), fraction=st.floats(0.35, 0.65),
)  # fmt: skip
def test_a_written_set_reads_back(tmp_path_factory, identities, cameras, dark, images, fraction):
    world = World(
        seed=identities, identities=identities, cameras=cameras, infrared_cameras=dark,
        images_per_camera=images, resolution=(16, 16),
    )  # fmt: skip
    root = tmp_path_factory.mktemp("read")
    write_dataset("market1501", root, world, train_fraction=fraction)
    ds = open_dataset("market1501", root)
    truth = pd.read_csv(root / "attributes.csv")
    for split, frame in (("train", ds.train), ("query", ds.query), ("gallery", ds.gallery)):
        written = truth[truth["split"] == split].set_index("file").sort_index()
        read = frame.assign(file=[str(Path(p).relative_to(root)) for p in frame["path"]])
        read = read.set_index("file").sort_index()
        assert list(read.index) == list(written.index)
        for column in ("pid", "camid"):
            np.testing.assert_array_equal(read[column], written[column])
        np.testing.assert_array_equal(read["junk"], written["pid"] == -1)
        np.testing.assert_array_equal(read["distractor"], written["pid"] == 0)


# --- interruption and claims --------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2])
def test_an_interrupted_write_continues(whole, tmp_path, threads):
    torch.set_num_threads(threads)
    seen = []

    def interrupt(done, total):
        seen.append((done, total))
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dataset("market1501", tmp_path / "set", WORLD, progress=interrupt)
    assert not (tmp_path / "set" / "world.json").exists()
    assert [done for done, _ in seen] == [7, 14, 21]

    again = []
    write_dataset("market1501", tmp_path / "set", WORLD, progress=lambda *a: again.append(a))
    assert again[0][0] >= 28, "chunks that were whole are not written again"
    total = seen[0][1]
    assert again[-1] == (total, total)
    assert contents(tmp_path / "set") == contents(whole)


KILLED = """
import sys, time
from contextlib import contextmanager
from reidlab.synth import World, write_dataset, writers
writers._CHUNK = 7
atomic, count = writers.atomic, 0
@contextmanager
def half(path, **options):
    global count
    count += 1
    with atomic(path, **options) as beside:
        yield beside
        if count == 40:
            content = beside.read_bytes()
            beside.write_bytes(content[: len(content) // 2])
            print("mid-write", flush=True)
            time.sleep(600)
writers.atomic = half
write_dataset("market1501", sys.argv[1], World(seed=5, identities=10, cameras=3, infrared_cameras=1,
              resolution=(32, 16)))
"""


def test_a_killed_write_continues(whole, tmp_path):
    """No main guard, no chance to tidy up: half a file lies there."""
    root = tmp_path / "set"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(root)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "mid-write\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert list(root.rglob(".*.part.*"))
    assert not (root / "world.json").exists()
    write_dataset("market1501", root, WORLD)
    assert not list(root.rglob(".*.part.*"))
    assert contents(root) == contents(whole)


def test_two_processes_may_write_the_same_set(whole, tmp_path):
    root = tmp_path / "set"
    code = KILLED.replace("count == 40", "False")
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(root)], stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    errors = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    assert not list(root.rglob(".*.part.*"))
    assert contents(root) == contents(whole)


def test_who_comes_later_waits_and_writes_nothing_again(whole, tmp_path):
    """The second begins while the first is in the middle of it."""
    root, word = tmp_path / "set", tmp_path / "go"
    until_told = f"__import__('os').path.exists({str(word)!r}) or time.sleep(0.05)"
    slow = KILLED.replace("[: len(content) // 2]", "")
    slow = slow.replace("time.sleep(600)", f"while not ({until_told}): pass")

    def start(code):
        command = [sys.executable, "-c", code, str(root)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    first = start(slow)
    assert first.stdout.readline() == "mid-write\n"
    second = start(KILLED)  # which is never in the middle of it
    assert second.stdout.readline().endswith(
        "set: another process works here, waiting for its end\n"
    )
    word.touch()
    assert [process.communicate()[0] for process in (first, second)] == ["", ""]
    assert (first.returncode, second.returncode) == (0, 0)
    assert contents(root) == contents(whole)


def test_litter_in_an_empty_folder_is_nothing(whole, tmp_path):
    (tmp_path / ".DS_Store").write_bytes(b"x")
    write_dataset("market1501", tmp_path, WORLD)
    assert contents(tmp_path) == contents(whole) | {".DS_Store": b"x"}


def test_chunks_of_a_set_that_was_deleted_are_not_believed(whole, tmp_path):
    (tmp_path / ".parts").mkdir()
    (tmp_path / ".parts" / "000000.csv").write_text("of another world")
    write_dataset("market1501", tmp_path, WORLD)
    assert contents(tmp_path) == contents(whole)


def test_a_finished_set_is_left_alone(whole):
    before = {p: p.stat().st_mtime_ns for p in [whole, *whole.rglob("*")]}
    calls = []
    write_dataset("market1501", whole, WORLD, progress=lambda *a: calls.append(a))
    assert {p: p.stat().st_mtime_ns for p in [whole, *whole.rglob("*")]} == before
    assert not calls


@pytest.mark.parametrize("change", [{"world": World(seed=6)}, {"junk": 0.3}])
def test_another_world_in_the_folder_is_refused(whole, change):
    before = contents(whole)
    with pytest.raises(FileExistsError, match=r"holds another world.*choose another folder"):
        write_dataset("market1501", whole, **{"world": WORLD, **change})
    assert contents(whole) == before


def test_another_world_half_written_is_refused(tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dataset("market1501", tmp_path, WORLD, progress=stop)
    with pytest.raises(FileExistsError, match=r"world\.json\.partial differs"):
        write_dataset("market1501", tmp_path, World(seed=99, resolution=(32, 16)))


@pytest.mark.parametrize("name", ["notes.txt", "world.json"])
def test_a_foreign_folder_is_refused(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(FileExistsError, match="choose an"):
        write_dataset("market1501", tmp_path, WORLD)
    assert contents(tmp_path) == {name: b"mine"}


# --- what does not fit --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("world", "options", "message"),
    [
        (World(images_per_camera=1), {}, "images_per_camera=1.*2 or more"),
        (World(cameras=1), {}, "cameras=1.*2 or more"),
        (World(cameras=8, infrared_cameras=2), {}, "10 cameras.*9"),
        (World(identities=10_000), {}, "10000 identities.*9999"),
        (World(), {"train_fraction": 1.0}, "train_fraction=1.0.*both sides"),
        (World(identities=2), {"train_fraction": 0.1}, "train_fraction=0.1"),
        (World(), {"junk": -0.1}, "junk=-0.1"),
        (World(), {"distractors": 11}, "distractors=11"),
    ],
)
def test_a_world_that_does_not_fit_is_an_error_before_anything_is_written(
    tmp_path, world, options, message
):
    with pytest.raises(ValueError, match=message):
        write_dataset("market1501", tmp_path / "set", world, **options)
    assert not (tmp_path / "set").exists()


def test_an_unknown_layout_is_an_error_that_lists_the_known(tmp_path):
    with pytest.raises(ValueError, match=r"'imagenet'.*expected one of market1501"):
        write_dataset("imagenet", tmp_path, WORLD)
