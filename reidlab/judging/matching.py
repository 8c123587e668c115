"""All scores of a matcher, block by block, and kept on disk so that an interruption costs a block.

A Market-1501 has 54 million pairs, hours on a CPU. The file is a matrix of NumPy, NaN where nothing
was computed yet; whatever block holds a NaN is computed. A file of other maps or another matcher is
not gone on with: beside it lies a digest of the maps, and its first block is computed again and
compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from reidlab.files import write_json

Match: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""A matcher's `match(q_emb, g_emb)`: scores (q, g), the higher the more alike."""
QUERIES, IMAGES = 256, 256  # pairs that a matcher is asked for at once


def score_rows(
    match: Match, q_emb: Tensor, g_emb: Tensor, kept: Path | None = None
) -> Iterator[Tensor]:
    """Scores (q, G) float32 on the CPU, some queries after the other.

    Args:
        match: Asked for blocks.
        q_emb: (Q, ...).
        g_emb: (G, ...).
        kept: File of the scores (4 Q G bytes); None: they are not kept. A score of NaN, which no
            sound matcher gives, is asked for again each time.
    """
    shape = len(q_emb), len(g_emb)
    scores: Any = None if kept is None else _opened(kept, shape, _digest(q_emb, g_emb))
    with torch.inference_mode():
        for top in range(0, shape[0], QUERIES):
            rows = slice(top, top + QUERIES)
            parts = []
            for left in range(0, shape[1], IMAGES):
                block = rows, slice(left, left + IMAGES)
                first = top == left == 0
                if scores is None or first or np.isnan(scores[block]).any():
                    found = match(q_emb[rows], g_emb[block[1]]).float().cpu()
                    if scores is not None:
                        if first and not np.allclose(scores[block], found, 1e-3, 1e-3):
                            scores[:] = np.nan  # of another matcher, or a new file
                        scores[block] = found.numpy()
                    parts.append(found)
                else:
                    parts.append(torch.from_numpy(scores[block].copy()))
            yield torch.cat(parts, dim=1)


def _digest(*maps: Tensor) -> str:
    """Of all maps, by one number each image."""
    found = hashlib.sha256()
    for each in maps:
        found.update(each.flatten(1).double().mean(1).float().cpu().numpy().tobytes())
    return found.hexdigest()


def _opened(path: Path, shape: tuple[int, int], digest: str) -> Any:
    """The file as an array in memory that is written through; NaN all over if it is new."""
    note = path.with_suffix(".json")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file() and note.is_file() and digest in note.read_text(encoding="utf-8"):
        try:
            found = np.lib.format.open_memmap(path, mode="r+")
            if found.shape == shape and found.dtype == np.float32:
                return found
        except (ValueError, OSError):
            pass  # cut off while it was made
    note.unlink(missing_ok=True)
    made = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    made[:] = np.nan
    made.flush()
    write_json(note, {"maps": digest})  # last: with it the file is whole
    return made
