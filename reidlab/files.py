"""Files that are either whole or not there, and one process at a time where several may write."""

from __future__ import annotations

import contextlib
import errno
import functools
import glob
import hashlib
import json
import os
import re
import shutil
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reidlab.errors import ReidlabError

LITTER = {
    "__macosx", "icon\r", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin",
    "system volume information", "lost+found", "@eadir", "#recycle",
}  # fmt: skip  # of macOS, Windows, Linux, Synology; in lower case
BUSY = ".busy"  # the lock of `alone`
PART = re.compile(r"\.(?:([0-9a-f]{8})-)?(\d+)(?:-[0-9a-f]{8})?\.part(?:\.[^.]*)?$")
DAY = 24 * 3600  # seconds: nobody writes that long at one file
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class WriteError(ReidlabError, OSError):
    """A file that cannot be written: the disk is full, a folder is a file, or it is not allowed.

    Attributes:
        errno: What the system calls it.
        strerror: The same in words, without path and advice.
    """

    def __init__(self, path: Path, cause: OSError) -> None:
        folders = [path, *path.parents] if isinstance(cause, FileExistsError) else path.parents
        in_the_way = next((p for p in folders if os.path.exists(p) and not os.path.isdir(p)), None)
        why = cause.strerror or str(cause)
        hint = "Allow yourself to write there, or name another place"
        if in_the_way:
            why, hint = f"{in_the_way} is a file, expected a folder", "Name another place"
        elif cause.errno in FULL:
            hint = "Make room there, or name another place"
        elif cause.errno == errno.EISDIR:
            hint = "Name a file in it, or another place"
        super().__init__(f"{path} cannot be written: {why}. {hint}")
        self.errno, self.strerror = cause.errno, why

    def __str__(self) -> str:
        return str(self.args[0])  # not number and words alone


def check_room(path: Path, size: int) -> None:
    """Check that the disk of a file has room for so many bytes.

    Raises:
        WriteError: It has not; what is needed and what is free.
    """
    free = shutil.disk_usage(path.parent).free
    if size > free:
        why = f"it takes {size / 2**20:,.0f} MiB and {free / 2**20:,.0f} MiB are free"
        raise WriteError(path, OSError(errno.ENOSPC, why))


@contextmanager
def atomic(path: Path, *, sync: bool = True) -> Iterator[Path]:
    """Write to the path given inside the block; it takes its real name when the block succeeds.

    The name inside has the suffix of the real one and is nobody else's. If the block fails, nothing
    is left behind; a killed process leaves the file under the name inside, see `sweep`. The bytes
    are on the disk before the name is, so that a power cut cannot leave the name without them;
    sync=False saves that time, and the look for what others left, for the 100,000 images of an
    archive, which can be unpacked again.

    Raises:
        WriteError: It cannot be written, whatever the block made of that.
    """
    with _beside(path) as beside:
        yield beside
        if sync:
            with beside.open("rb+") as file:
                os.fsync(file.fileno())
        os.replace(beside, path)
        if sync:
            sweep(path.parent)


def check_writable(path: Path) -> None:
    """Find out before the work whether its result can be written; the folder is made.

    Raises:
        WriteError: As `atomic` would after the work.
    """
    with _beside(path) as beside:
        _append(beside)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A name of our own beside a file; what keeps us from writing there becomes a sentence."""
    if os.path.isdir(path):  # Path.is_dir raises where a folder may not be entered
        raise WriteError(path, IsADirectoryError(errno.EISDIR, "it is a folder"))
    own = f"{_place()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    beside = path.with_name(f".{path.stem[:60]}.{own}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield beside
    except Exception as error:
        if (cause := _cause(error, beside)) is None:
            raise
        raise WriteError(path, cause) from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def _cause(error: Exception, beside: Path) -> OSError | None:
    """Why a file cannot be written; None: it can, the error is about something else.

    torch, Pillow and safetensors each tell a full disk in another way, so it is tried out.
    """
    try:
        _append(beside)
    except OSError as cause:
        return cause
    if isinstance(error, WriteError):
        return None
    for number in (*FULL, errno.EROFS):  # safetensors makes room again before it says so
        if os.strerror(number) in str(error):
            return OSError(number, os.strerror(number))
    if not isinstance(error, OSError):
        return None
    ours = isinstance(error.filename, str) and Path(error.filename) in (beside, *beside.parents)
    return error if ours or error.errno == errno.EISDIR else None


def _append(file: Path) -> None:
    with file.open("ab") as stream:
        stream.write(bytes(2**20))
        stream.flush()
        os.fsync(stream.fileno())


def sweep(folder: Path) -> None:
    """Delete what killed processes left half written in a folder by `atomic`.

    Of a process elsewhere, on another host or in another container, nobody can tell here whether it
    lives: what it left is deleted after a day.
    """
    for path in folder.glob(".*.part*"):
        if part := PART.search(path.name):
            ours = part[1] in (None, _place()) and not _running(int(part[2]))
            with contextlib.suppress(OSError):  # another one was quicker
                if ours or time.time() - path.stat().st_mtime > DAY:
                    path.unlink()


@functools.cache
def _place() -> str:
    """Where process numbers are ours: this host, and the part of it that a container sees."""
    place = socket.gethostname()
    with contextlib.suppress(OSError):
        place += os.readlink("/proc/self/ns/pid")
    return hashlib.sha256(place.encode()).hexdigest()[:8]


def _running(pid: int) -> bool:
    """Whether a process of that number runs; where nobody can ask, it does."""
    if os.name != "posix":
        return True
    try:
        os.kill(pid, 0)  # sends nothing
    except OSError as error:
        return isinstance(error, PermissionError)  # it runs, and is somebody else's
    return True


def is_litter(name: str) -> bool:
    """Whether a system or an editor left a file or folder there: hidden ones and backups, too."""
    backup = name.endswith("~") or name.startswith("~$") or (name[0] + name[-1] == "##")
    return name.startswith(".") or backup or name.lower() in LITTER


def find(folder: Path, pattern: str) -> list[Path]:
    """What matches below a folder, in name order, without litter and what lies in such folders.

    Args:
        folder: where to look; links to folders are followed.
        pattern: relative to it; "**/" stands for folders of any depth.
    """
    names = glob.glob(pattern, root_dir=folder, recursive=True)
    return sorted(folder / x for x in names if not any(map(is_litter, Path(x).parts)))


def write_text(path: str | Path, text: str, *, sync: bool = True) -> Path:
    """Write UTF-8 text, whole or not at all; returns the path. See `atomic` for `sync`.

    Lines end as the text says, on Windows too.
    """
    with atomic(Path(path), sync=sync) as beside:
        beside.write_text(text, encoding="utf-8", newline="")
    return Path(path)


def write_bytes(path: str | Path, content: bytes) -> Path:
    """Write a file, whole or not at all; returns the path.

    For libraries that would write by a name of their own, which stays there when they are killed.
    """
    with atomic(Path(path)) as beside:
        beside.write_bytes(content)
    return Path(path)


def write_json(path: str | Path, value: Any) -> Path:
    """Write a value as JSON, whole or not at all; NaN is an error. Returns the path."""
    return write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def same_place(one: str | Path, other: str | Path) -> bool:
    """Whether two paths lead to one file or folder, by whatever links and spellings."""
    try:
        return os.path.samefile(one, other)
    except OSError:  # one of them is not there yet
        return Path(one).resolve() == Path(other).resolve()


def project_root(start: Path | None = None) -> Path:
    """Return the nearest folder above `start` (the working directory) that holds `_toc.yml`.

    Outside a checkout it is `start` itself.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "_toc.yml").is_file():
            return folder
    return here


_THREADS: dict[Path, threading.RLock] = {}  # of this process, by lock
_HELD: set[Path] = set()


@contextmanager
def alone(folder: Path, name: str = "") -> Iterator[None]:
    """Inside, nobody else is at work here by this function; waits until the other one has left.

    Who is inside may come in again. The lock ends with its process, see `hold`.

    Args:
        folder: that is worked in; it is made, and goes again if nothing is left in it.
        name: of the file or folder in it that is worked on; "": all of it.
    """
    lock, made = _lock(folder, name), not folder.exists()
    with _THREADS.setdefault(lock, threading.RLock()):
        if lock in _HELD:
            yield
            return
        held = hold(folder, name)
        _HELD.add(lock)
        try:
            yield
        finally:
            _HELD.discard(lock)
            if held is not None:
                with contextlib.suppress(OSError):
                    lock.unlink()  # before others can have it, see `hold`
                    if made:
                        folder.rmdir()
                os.close(held)


def hold(folder: Path, name: str = "") -> int | None:
    """Wait for the lock of `alone`.

    The kernel keeps it until the descriptor is closed, so that a killed process leaves none.

    Returns:
        The descriptor, which a command may inherit. None where nothing is held: the file system has
        no locks, which is said; or nothing can be written there anyway.
    """
    lock, shown, waiting = _lock(folder, name), folder / name, False
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            try:
                held = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
            except PermissionError:  # of another user, who may be at work
                held = os.open(lock, os.O_RDONLY)
        except OSError:
            return None
        try:
            waiting = _flock(held, shown, waiting)
        except (OSError, ModuleNotFoundError) as error:  # there is no fcntl on Windows
            print(f"{shown}: no locks here ({error}); do not start a run twice", flush=True)
            os.close(held)
            return None
        except BaseException:
            os.close(held)
            raise
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(held), os.stat(lock)):
                return held
        os.close(held)  # who had it before us deleted it on leaving


def _flock(held: int, shown: Path, waiting: bool) -> bool:
    """Lock an open file; whether somebody had to be waited for, then or before."""
    import fcntl

    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if not waiting:
            print(f"{shown}: another process works here, waiting for its end", flush=True)
        fcntl.flock(held, fcntl.LOCK_EX)
        return True
    return waiting


def _lock(folder: Path, name: str) -> Path:
    return folder.resolve() / (f".{name}{BUSY}" if name else BUSY)
