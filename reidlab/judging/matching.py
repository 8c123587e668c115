"""All scores of a matcher, block by block, and kept on disk so that an interruption costs a block.

A Market-1501 has 54 million pairs, hours on a CPU. The file is a matrix of NumPy, NaN where nothing
was computed yet; whatever block holds a NaN is computed. A file of other maps or another matcher is
not gone on with: beside it lies a digest of the maps, and its first block is computed again and
compared.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from reidlab.files import check_room, write_json
from reidlab.processes import progress_style

Match: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""A matcher's `match(q_emb, g_emb)`: scores (q, g), the higher the more alike."""
QUERIES, IMAGES = 256, 256  # pairs that a matcher is asked for at once
EVERY = 60.0  # seconds between two lines of progress, where no bar is shown


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

    A bar, or a line each minute, tells pairs a second and the time left.

    Raises:
        WriteError: The disk has no room for the file: before anything is scored.
    """
    shape = len(q_emb), len(g_emb)
    scores: Any = None if kept is None else _opened(kept, shape, _digest(q_emb, g_emb))
    with torch.inference_mode(), _Watched(shape[0] * shape[1]) as watched:
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
                watched.add(parts[-1].numel())
            yield torch.cat(parts, dim=1)


def rescore(match: Match, q_emb: Tensor, g_emb: Tensor, distances: Tensor, top: int) -> Tensor:
    """Let a matcher order anew the images that an embedding found nearest.

    Args:
        match: Asked once for each query.
        q_emb: (Q, ...) maps.
        g_emb: (G, ...) maps.
        distances: (Q, G) of the embedding, the smaller the more alike.
        top: k, images of each query that are scored; all others stay where they were, behind. The
            camera rule comes after, so images that it drops count among them.

    Returns:
        (Q, G) to rank by: in each row k whole steps below the smallest distance, by the score; all
        others as they were. Equal distances among the k do not make them equal.

    Raises:
        ValueError: k below 1, or distances of another shape.
    """
    if top < 1 or distances.shape != (len(q_emb), len(g_emb)):
        raise ValueError(
            f"top is {top} and distances have shape {tuple(distances.shape)}; expected 1 or more "
            f"and {(len(q_emb), len(g_emb))}, a row for each query"
        )
    found = distances.clone()
    near = distances.sort(dim=1, stable=True)
    images = near.indices[:, :top]
    steps = torch.arange(images.shape[1]) - images.shape[1]
    with torch.inference_mode(), _Watched(images.numel()) as watched:
        for row, chosen in enumerate(images):
            scores = match(q_emb[row : row + 1], g_emb[chosen])[0].float().cpu()
            order = scores.argsort(descending=True, stable=True)
            found[row, chosen[order]] = near.values[row, 0] + steps
            watched.add(len(chosen))
    return found


class _Watched:
    """Says how far a scoring is: pairs a second and time left.

    Args:
        pairs: To be scored in all.
    """

    def __init__(self, pairs: int) -> None:
        self.pairs, self.done, self.style = pairs, 0, progress_style()
        self.begun = self.told = time.monotonic()
        self.bar: Any = None

    def __enter__(self) -> _Watched:
        if self.style == "bar":
            from tqdm.auto import tqdm

            self.bar = tqdm(total=self.pairs, desc="matching", unit="pairs", unit_scale=True)
            self.bar.leave = False
        return self

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def add(self, pairs: int) -> None:
        """So many more are done."""
        self.done += pairs
        now = time.monotonic()
        if self.bar is not None:
            self.bar.update(pairs)
        elif self.style == "plain" and now - self.told >= EVERY:
            self.told, rate = now, self.done / (now - self.begun)
            left = (self.pairs - self.done) / rate / 60
            print(
                f"matching: {self.done:,} of {self.pairs:,} pairs, {rate:,.0f} pairs/s, "
                f"{left:,.0f} minutes left",
                flush=True,
            )


def _digest(*maps: Tensor) -> str:
    """Of all maps, by one number each image."""
    found = hashlib.sha256()
    for part in (part for each in maps for part in each.split(IMAGES)):
        found.update(part.flatten(1).double().mean(1).float().cpu().numpy().tobytes())
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
    path.unlink(missing_ok=True)
    check_room(path, 4 * shape[0] * shape[1] + 1024)
    made = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    made[:] = np.nan
    made.flush()
    write_json(note, {"maps": digest})  # last: with it the file is whole
    return made
