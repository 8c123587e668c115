"""All scores of a matcher, block by block, and kept on disk so that an interruption costs a block.

A Market-1501 has 54 million pairs, hours on a CPU. The file is a matrix of NumPy, NaN where nothing
was computed yet; whatever block holds a NaN is computed. A file of other maps or another matcher is
not gone on with: beside it, under its name and .json, lies a digest of the maps, and its first
block is computed again and compared.
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

from reidlab.evaluation.checks import Matrix, distance_matrix, whole_number
from reidlab.files import check_room, check_writable, write_json
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
        kept: File of the scores (4 Q G bytes); None: they are not kept.

    A bar, or a line each minute, tells pairs a second and the time left.

    Raises:
        ValueError: No queries or no images; a file of that name holds something else; or scores
            that are no numbers.
        WriteError: The file cannot be written or has no room: before anything is scored.
    """
    shape = len(q_emb), len(g_emb)
    _check_some(*shape)
    scores: Any = None if kept is None else _opened(kept, shape, _digest(q_emb, g_emb))
    with _Watched(shape[0] * shape[1]) as watched:
        for top in range(0, shape[0], QUERIES):
            rows = slice(top, top + QUERIES)
            parts = []
            for left in range(0, shape[1], IMAGES):
                block = rows, slice(left, left + IMAGES)
                first = top == left == 0
                if scores is None or first or np.isnan(scores[block]).any():
                    with torch.inference_mode():  # not across a yield: it would stay on
                        found = match(q_emb[rows], g_emb[block[1]]).float().cpu()
                    _check_numbers(found, top)
                    if scores is not None:
                        if first and not np.allclose(scores[block], found, 1e-3, 1e-3):
                            scores[:] = np.nan  # of another matcher, or a new file
                        scores[block] = found.numpy()
                    parts.append(found)
                    watched.add(found.numel())
                else:
                    parts.append(torch.from_numpy(scores[block].copy()))
                    watched.add(parts[-1].numel(), known=True)
            yield torch.cat(parts, dim=1)


def check_kept(kept: Path | None, matcher: bool) -> None:
    """Check before the work that scores may be kept in a file, if one is asked for.

    Raises:
        ValueError: The model embeds, or the file holds something else than scores.
        WriteError: It cannot be written.
    """
    if kept is None:
        return
    if not matcher:
        raise ValueError(
            f"scores is {kept} and the model embeds images; expected None, as only a matcher has "
            "scores to keep. Leave it out"
        )
    if kept.exists() and not _note(kept).is_file():
        raise ValueError(
            f"{kept} exists and was not written by an evaluation (there is no {_note(kept).name}); "
            "expected a new file, or one of scores. Name another, or delete it"
        )
    check_writable(kept)


def forget_scores(kept: Path) -> None:
    """Delete a file of scores, and what lies beside it."""
    for path in (kept, _note(kept)):
        path.unlink(missing_ok=True)


def rescore(match: Match, q_emb: Tensor, g_emb: Tensor, distances: Matrix, top: int) -> Tensor:
    """Let a matcher order anew the images that an embedding found nearest.

    Args:
        match: Asked once for each query.
        q_emb: (Q, ...) maps.
        g_emb: (G, ...) maps.
        distances: (Q, G) of the embedding, the smaller the more alike.
        top: k, images of each query that are scored, at most all; all others stay where they were,
            behind. The camera rule comes after, so images that it drops count among them.

    Returns:
        (Q, G) float32 or float64 on the CPU to rank by: in each row k whole steps below the
        smallest distance, by the score; all others as they were. Equal distances among the k do not
        make them equal.

    Raises:
        TypeError: k is no whole number, or distances are in half precision.
        ValueError: k below 1, distances of another shape, no queries or no images; or scores that
            are no numbers.
    """
    top = whole_number("top", top, 1, " image for each query")
    _check_some(len(q_emb), len(g_emb))
    found = torch.as_tensor(distance_matrix(distances)).cpu().clone()
    if found.shape != (len(q_emb), len(g_emb)):
        raise ValueError(
            f"distances have shape {tuple(found.shape)}; expected {(len(q_emb), len(g_emb))}, a "
            "row for each query"
        )
    count = min(top, found.shape[1])
    steps = torch.arange(count) - count
    with torch.inference_mode(), _Watched(len(found) * count) as watched:
        for row, near in enumerate(found):
            nearest, chosen = near.min(), near.argsort(stable=True)[:count]
            scores = match(q_emb[row : row + 1], g_emb[chosen])[0].float().cpu()
            _check_numbers(scores[None], row)
            order = scores.argsort(descending=True, stable=True)
            found[row, chosen[order]] = nearest + steps
            watched.add(len(chosen))
    return found


class _Watched:
    """Says how far a scoring of so many pairs is: pairs a second and time left."""

    def __init__(self, pairs: int) -> None:
        self.pairs, self.done, self.style = pairs, 0, progress_style()
        self.known = 0
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

    def add(self, pairs: int, *, known: bool = False) -> None:
        """So many more are done, or were before."""
        self.done += pairs
        self.known += pairs * known
        now = time.monotonic()
        if self.bar is not None:
            self.bar.update(pairs)
        elif self.style == "plain" and now - self.told >= EVERY:
            self.told, rate = now, max(1, self.done - self.known) / (now - self.begun)
            left = (self.pairs - self.done) / rate / 60
            print(
                f"matching: {self.done:,} of {self.pairs:,} pairs, {rate:,.0f} pairs/s, "
                f"{left:,.0f} minutes left",
                flush=True,
            )


def _check_some(queries: int, images: int) -> None:
    if not queries or not images:
        raise ValueError(
            f"there are {queries} queries and {images} gallery images; expected at least one of "
            "each. Is the split empty, or all of it junk?"
        )


def _check_numbers(scores: Tensor, first: int) -> None:
    """Refuse NaN, which would be sorted before the best. `first`: the query of the first row."""
    if (wrong := scores.isnan()).any():
        query = first + int(wrong.any(1).nonzero()[0])
        raise ValueError(
            f"{int(wrong.sum())} of {wrong.numel()} scores are no numbers, such as one of query "
            f"{query}; expected numbers. Look for NaN in its map and in the model's weights, "
            "as after a training that diverged; in half precision, match in float32"
        )


def _note(kept: Path) -> Path:
    """Beside a file of scores: what tells that it is one, and of which maps."""
    return kept.with_name(f"{kept.name}.json")


def _digest(*maps: Tensor) -> str:
    """Of all maps, by one number each image."""
    found = hashlib.sha256()
    for part in (part for each in maps for part in each.split(IMAGES)):
        found.update(part.flatten(1).double().mean(1).float().cpu().numpy().tobytes())
    return found.hexdigest()


def _opened(path: Path, shape: tuple[int, int], digest: str) -> Any:
    """The file as an array in memory that is written through; NaN all over if it is new."""
    check_kept(path, matcher=True)
    note = _note(path)
    if path.is_file() and note.is_file() and digest in note.read_text(encoding="utf-8"):
        try:
            found = np.lib.format.open_memmap(path, mode="r+")
            if found.shape == shape and found.dtype == np.float32:
                return found
        except (ValueError, OSError):
            pass  # cut off while it was made
    path.unlink(missing_ok=True)
    check_room(path, 4 * shape[0] * shape[1] + 1024)
    write_json(note, {"maps": None})  # first: it is a file of scores, and not yet a whole one
    made = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    made[:] = np.nan
    made.flush()
    write_json(note, {"maps": digest})  # last: with it the file is whole
    return made
