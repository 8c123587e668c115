"""Embeddings that another program has left behind, in one .npz file."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

EMBEDDINGS = ("q_emb", "g_emb")
PEOPLE = ("q_pids", "g_pids")
CAMERAS = ("q_camids", "g_camids")


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
        with np.load(Path(path), allow_pickle=False) as file:
            names = list(getattr(file, "files", []))
            missing = [name for name in EMBEDDINGS + PEOPLE if name not in names]
            if missing or len(set(CAMERAS) & set(names)) == 1:
                raise ValueError(
                    f"{path} holds {', '.join(names) or 'no named arrays'}; expected "
                    f"{', '.join(EMBEDDINGS + PEOPLE)} and, both or neither, {', '.join(CAMERAS)}. "
                    "Write them with numpy.savez(path, q_emb=..., g_emb=..., ...)"
                )
            return {n: file[n] for n in EMBEDDINGS + PEOPLE + CAMERAS if n in names}
    except (zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"{path} is no whole .npz file ({error}): write it again") from error
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        raise ValueError(
            f"{path} holds Python objects or is no .npz file, and nothing is unpickled here; "
            "expected plain arrays of numbers, written with numpy.savez"
        ) from error
