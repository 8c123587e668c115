"""Half a file never has the name of a whole one, and two that write one thing do it in turn."""

import errno
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from reidlab import files
from reidlab.files import WriteError, alone, atomic, check_writable, sweep, write_json, write_text

# ---------------------------------------------------------------------- what cannot be written


def with_torch(path):
    torch.save({"w": torch.zeros(10**6)}, path)


def with_safetensors(path):
    save_file({"w": torch.zeros(10**6)}, path)


def with_pillow(path):
    noise = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, "PNG")


def with_python(path):
    path.write_bytes(bytes(4 * 10**6))


WRITERS = [with_torch, with_safetensors, with_pillow, with_python]


@pytest.fixture
def small_disk():
    """No file may grow beyond a megabyte: the kernel refuses it as it does on a full disk."""
    resource, signal = pytest.importorskip("resource"), pytest.importorskip("signal")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("write", WRITERS)
def test_a_full_disk_is_a_sentence_and_leaves_nothing(tmp_path, small_disk, write):
    (tmp_path / "a.bin").write_text("older")
    with (
        pytest.raises(WriteError, match=r"a\.bin cannot be written: File too large\. Make room"),
        atomic(tmp_path / "a.bin") as beside,
    ):
        write(beside)
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]
    assert (tmp_path / "a.bin").read_text() == "older"


@pytest.mark.parametrize("folder", [".", "..", "/"])
def test_a_path_without_a_name_is_a_folder(folder):
    with pytest.raises(WriteError, match=r"cannot be written: it is a folder"):
        check_writable(Path(folder))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_what_the_kernel_says_of_it_is_quoted(tmp_path, number):
    with pytest.raises(WriteError, match=os.strerror(number)) as caught, atomic(tmp_path / "a"):
        raise OSError(number, os.strerror(number))
    assert caught.value.errno == number
    assert "\n" not in str(caught.value)
    assert ".part" not in str(caught.value)


@pytest.mark.parametrize("place", ["file/a.json", "file/deep/a.json", "folder"])
@pytest.mark.parametrize("write", [check_writable, lambda path: write_json(path, {})])
def test_a_file_where_a_folder_is_expected_and_the_reverse(tmp_path, place, write):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    with pytest.raises(WriteError) as caught:
        write(tmp_path / place)
    said = "it is a folder" if place == "folder" else f"{tmp_path / 'file'} is a file, expected a"
    assert str(caught.value).startswith(f"{tmp_path / place} cannot be written: {said}")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]


@pytest.mark.parametrize("work", [Path.read_text, lambda _: 1 / 0])
def test_an_error_about_something_else_stays_what_it_is(tmp_path, work):
    with pytest.raises((FileNotFoundError, ZeroDivisionError)), atomic(tmp_path / "a"):
        work(tmp_path / "another")
    assert not list(tmp_path.iterdir())


def test_a_place_that_can_be_written_is_left_as_it_was(tmp_path):
    check_writable(tmp_path / "new" / "a.json")
    assert [path.name for path in tmp_path.rglob("*")] == ["new"]


# ------------------------------------------------------------------------------ names of one's own


def test_threads_of_one_process_do_not_share_a_name(tmp_path):
    with atomic(tmp_path / "a.txt") as one, atomic(tmp_path / "a.txt") as other:
        one.write_text("1")
        other.write_text("2")
        assert one != other
        assert one.suffix == other.suffix == ".txt"
    assert (tmp_path / "a.txt").read_text() == "1"


def test_long_names(tmp_path):
    write_text(tmp_path / f"{'x' * 250}.txt", "whole")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["whole"]


def killed_in_the_middle(folder):
    """The name of what a process left that was killed while it wrote."""
    code = (
        "import os, sys, pathlib\nfrom reidlab.files import atomic\n"
        "with atomic(pathlib.Path(sys.argv[1])) as beside:\n"
        "    beside.write_text('ha')\n    os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(folder / "a.txt")])
    (left,) = folder.iterdir()
    return left


def test_what_a_killed_process_left_goes_with_the_next_write(tmp_path):
    killed_in_the_middle(tmp_path)
    write_text(tmp_path / "b.txt", "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["b.txt"]


def test_elsewhere_nobody_knows_who_lives(tmp_path, monkeypatch):
    left = killed_in_the_middle(tmp_path)
    monkeypatch.setattr(files.socket, "gethostname", lambda: "another host")
    files._place.cache_clear()
    sweep(tmp_path)
    assert left.exists()
    os.utime(left, (0, time.time() - 25 * 3600))
    sweep(tmp_path)
    assert not left.exists()
    files._place.cache_clear()


# --------------------------------------------------------------------------------- one at a time

WORKER = """
import sys, time
from pathlib import Path
from reidlab.files import alone
folder, name = Path(sys.argv[1]), sys.argv[2]
with alone(folder, name), alone(folder, name):  # who is in may come in again
    log = folder.parent / "log"
    for word in ("in", "out"):
        with log.open("a") as file:
            file.write(word + "\\n")
        time.sleep(0.2)
"""


def start(folder, name=""):
    command = [sys.executable, "-c", WORKER, str(folder), name]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("name", ["", "03.ipynb"])
def test_processes_take_turns_and_say_so(tmp_path, name):
    processes = [start(tmp_path / "run", name) for _ in range(4)]
    said = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    assert (tmp_path / "log").read_text().split() == ["in", "out"] * 4
    assert not list((tmp_path / "run").iterdir())
    told = f"{tmp_path / 'run' / name}: another process works here, waiting for its end\n"
    assert set(said) <= {"", told}
    assert told in said


def test_threads_take_turns_too(tmp_path):
    inside, most = [], []

    def work():
        with alone(tmp_path):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.01)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 5


def test_a_killed_process_leaves_no_lock(tmp_path):
    code = "import os, sys; from pathlib import Path; from reidlab.files import alone\n"
    code += "with alone(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)])
    with alone(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_said_and_works(tmp_path, monkeypatch, capsys, number):
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with alone(tmp_path):
        write_text(tmp_path / "a", "whole")
    assert (tmp_path / "a").read_text() == "whole"
    said = capsys.readouterr().out
    assert f"{tmp_path}: no locks here" in said
    assert os.strerror(number) in said


def test_a_folder_that_was_made_for_nothing_goes_again(tmp_path):
    for work in (lambda _: None, lambda folder: write_text(folder / "a", "kept")):
        with alone(tmp_path / "new"):
            work(tmp_path / "new")
    assert [path.name for path in tmp_path.rglob("*")] == ["new", "a"]
    with alone(tmp_path / "another"):
        pass
    assert not (tmp_path / "another").exists()


def test_where_nothing_can_be_written_the_work_itself_says_so(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(WriteError, match=r"file is a file, expected a folder"),
        alone(tmp_path / "file"),
    ):
        write_text(tmp_path / "file" / "a", "")


# ---------------------------------------------------------------------------------------- litter

LITTER = (
    "._a.json", ".DS_Store", ".a.json.swp", "Thumbs.db", "desktop.ini", "__MACOSX/a.json",
    ".hidden/a.json", "@eaDir/a.json", "a.json~", "#a.json#", "~$a.json",
)  # fmt: skip


def test_every_listing_passes_over_litter(tmp_path):
    for name in (*LITTER, "b.json", "deep/a.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = files.find(tmp_path, "**/*")
    assert [str(path.relative_to(tmp_path)) for path in found] == ["b.json", "deep", "deep/a.json"]
    assert files.find(tmp_path, "*.json") == [tmp_path / "b.json"]
    assert files.find(tmp_path / "nowhere", "*") == []


@pytest.mark.parametrize("name", ["0001_c1s1_000151_01.jpg", "#1.jpg", "a#", "-1", "record.json"])
def test_what_is_no_litter(name):
    assert not files.is_litter(name)
