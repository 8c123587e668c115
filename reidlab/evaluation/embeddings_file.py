"""Embeddings that another program has left behind, in one .npz file."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

EMBEDDINGS = ("q_emb", "g_emb")
PEOPLE = ("q_pids", "g_pids")
CAMERAS = ("q_camids", "g_camids")
WANTED = (
    f"expected {', '.join(EMBEDDINGS + PEOPLE)} and, both or neither, {', '.join(CAMERAS)}. Write "
    "them with numpy.savez(path, q_emb=..., g_emb=..., ...)"
)


def read_embeddings(path: str | Path) -> dict[str, Any]:
    """Read embeddings and labels that were written by `numpy.savez`.

    Args:
        path: an .npz file with q_emb (Q, D) and g_emb (G, D), q_pids (Q,) and g_pids (G,), and, for
            protocols that look at cameras, q_camids (Q,) and g_camids (G,), from 0.

    Returns:
        Name -> array, ready for `evaluate(**arrays)`; nothing is unpickled.

    Raises:
        ValueError: no .npz file, arrays that are missing or misnamed, or Python objects inside.
        OSError: the file cannot be read.
    """
    try:
        loaded = np.load(Path(path), allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            raise ValueError(f"{path} holds one array without a name; {WANTED}")
        with loaded as file:
            names = list(file.files)
            missing = [name for name in EMBEDDINGS + PEOPLE if name not in names]
            cameras = [name for name in names if "cam" in name.lower()]
            if missing or (cameras and {*CAMERAS} - {*cameras}):
                raise ValueError(f"{path} holds {', '.join(names) or 'no named arrays'}; {WANTED}")
            arrays = {n: file[n] for n in EMBEDDINGS + PEOPLE + CAMERAS if n in names}
        strange = [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]
        if strange:
            raise ValueError(f"{path}: {strange[0]} is no array; {WANTED}")
        return arrays
    except (zipfile.BadZipFile, EOFError, zlib.error, RuntimeError) as error:
        raise ValueError(f"{path} is no whole .npz file ({error}): write it again") from error
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        raise ValueError(
            f"{path} holds Python objects or is no .npz file, and nothing is unpickled here; "
            "expected plain arrays of numbers, written with numpy.savez"
        ) from error
