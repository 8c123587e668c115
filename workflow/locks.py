"""A lock that a killed process cannot leave behind: the kernel holds it as long as it lives.

Snakemake keeps its lock as a file, and a Snakemake that was killed leaves it: the next one refuses
to start until somebody calls `--unlock`. `forget_dead_snakemake` does that where it is certain that
nobody runs any more. A training that outlives its Snakemake (an orphan here, a job in a cluster's
queue) goes on; the next one's training of the same folder waits for it, see `reidlab.files.alone`.
"""

from __future__ import annotations

import fcntl
import shutil
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO

BUSY = ".running"


def forget_dead_snakemake(folder: Path = Path(".snakemake")) -> IO[str] | None:
    """Remove Snakemake's lock if no Snakemake lives that could hold it, and count as one from now.

    Every Snakemake of this project shares one file lock for its lifetime; who can have it alone
    knows that the others are gone. Not every shared file system passes such locks between hosts,
    so a lock left by another host stays, and Snakemake says how to remove it.

    Args:
        folder: where Snakemake keeps its state.

    Returns:
        What holds our share: keep it as long as the process runs. None where the file system knows
        no locks; nothing is removed then.
    """
    folder.mkdir(exist_ok=True)
    file = (folder / BUSY).open("a+")
    host = socket.gethostname()
    left = folder / "locks"
    try:
        with suppress(BlockingIOError):  # one lives, which said where when it came
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.seek(0)
            locked, ours = left.is_dir() and any(left.iterdir()), file.read().strip() == host
            if locked and ours:
                shutil.rmtree(left)
                said = "An earlier run was killed and left its lock, which is removed."
                print(said, file=sys.stderr)
            if ours or not locked:
                file.truncate(0)
                file.write(host)
                file.flush()
        fcntl.flock(file, fcntl.LOCK_SH)
        return file
    except OSError:
        file.close()
        return None
