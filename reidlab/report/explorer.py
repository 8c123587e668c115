"""A page to play with: ranked lists of several models side by side, in a world with a knob.

`explore` renders the same people in five settings, lets each `Searcher` rank one gallery for every
query, and takes each score apart by places. Its `Explorer` shows itself as one piece of HTML with
all pictures and numbers inside, so that it needs no network and no other file.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from reidlab import recipes
from reidlab.evaluation import rank
from reidlab.explain import matched_places, row_similarity
from reidlab.judging import test_transform
from reidlab.models import create_model
from reidlab.record import RunRecord
from reidlab.report.style import HEAT
from reidlab.synth import World
from reidlab.training import Recipe, load_run

SETTINGS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "as-it-is": ("as it is", "the plaza of chapter 01", {}),
    "few-colours": ("few colours", "everybody dresses in three colours: palette=3", {"palette": 3}),
    "empty": ("empty plaza", "nothing stands about: clutter=0", {"clutter": 0}),
    "obstacles": ("obstacles", "something stands in front: occlusion=0.9", {"occlusion": 0.9}),
    "night": (
        "night",
        'lamps, other cameras, other clothes: style="night-street"',
        {"style": "night-street"},
    ),
}
"""Of the knob: id -> its name, what it does, the knobs of `World` that differ from "as it is"."""
SIZES = {"smoke": (4, 3), "laptop": (40, 24)}  # people, and how many of them are asked for
TOP = 8  # of a ranked list are shown
SEED = 4101  # of the world: nobody learned from these people
GRID, BINS = (8, 4), 4  # of the colours: places, shades of each channel
QUALITY = 60  # of the pictures, WebP
COLUMNS = 16  # of the sheet of pictures
Pictures = NDArray[np.uint8]
Ways = tuple[Callable[[Tensor], Tensor], Callable[..., Tensor], Callable[..., Tensor]]


@dataclass(frozen=True)
class Searcher:
    """Something that ranks a gallery, and says what each score rests on.

    Attributes:
        name: as the page shows it.
        about: one sentence: what it compares, and who trained it.
        heat_is: what `parts` tell of a found picture.
        embed: images (N, H, W, 3) of bytes -> their descriptions, N rows.
        score: descriptions of Q queries and of G gallery images -> how alike they are, (Q, G).
        parts: descriptions of one query and of k gallery images -> what each place of these adds to
            the score, (k, h, w).
        record: of the run that trained it, if the book did.
    """

    name: str
    about: str
    heat_is: str
    embed: Callable[[Pictures], Tensor]
    score: Callable[[Tensor, Tensor], Tensor]
    parts: Callable[[Tensor, Tensor], Tensor]
    record: RunRecord | None = None


def _colours(images: Pictures) -> Tensor:
    """Share of each colour in each place, (N, h, w, colours); all of an image sum to 1."""
    shade = torch.from_numpy(images.astype(np.int64) * BINS // 256)  # (N, H, W, 3)
    colour = (shade[..., 0] * BINS + shade[..., 1]) * BINS + shade[..., 2]
    row, column = (
        torch.arange(side) * cells // side
        for side, cells in zip(images.shape[1:3], GRID, strict=True)
    )
    cell = ((row[:, None] * GRID[1] + column) * BINS**3 + colour).flatten(1)  # place x colour
    counts = torch.zeros(len(images), GRID[0] * GRID[1] * BINS**3, dtype=torch.float64)
    counts.scatter_add_(1, cell, torch.ones(cell.shape, dtype=torch.float64))
    places = counts.unflatten(1, (*GRID, BINS**3))
    places[:, :, [0, -1]] = 0  # the sides show the scene, mostly
    return places / places.sum((1, 2, 3), keepdim=True)


def _histogram(places: Tensor) -> Tensor:
    """Roots of the shares, a vector of length 1: its products are Hellinger's similarity."""
    return places.sum((1, 2)).sqrt()


def _colour_parts(query: Tensor, gallery: Tensor) -> Tensor:
    ratio = _histogram(query[None]) / _histogram(gallery).clamp_min(1e-9)  # (k, colours)
    return torch.einsum("khwc,kc->khw", gallery, ratio)


def _cosines(q: Tensor, g: Tensor) -> Tensor:
    return F.normalize(q, dim=1) @ F.normalize(g, dim=1).T


def _by_patches(model: Any) -> Ways:
    """The mean of the patches: it is linear, so each has its share of the product."""
    grid = model.backbone.grid

    def parts(query: Tensor, gallery: Tensor) -> Tensor:
        direction = F.normalize(query.mean((0, 1)), dim=0)
        length = gallery.mean((1, 2)).norm(dim=1)[:, None, None]
        return gallery @ direction / length / (grid[0] * grid[1])

    return (
        lambda images: model.backbone(images).patches.unflatten(1, grid),
        lambda q, g: _cosines(q.mean((1, 2)), g.mean((1, 2))),
        parts,
    )


def _by_rows(model: Any) -> Ways:
    def parts(query: Tensor, gallery: Tensor) -> Tensor:
        return row_similarity(query.expand_as(gallery), gallery, model.stripes)[..., None]

    return partial(model.embed, retrieval="rows"), _cosines, parts


def _by_places(model: Any) -> Ways:
    """The products that reach the score, each at the place of the gallery image that won it."""

    def parts(query: Tensor, gallery: Tensor) -> Tensor:
        found = torch.zeros(len(gallery), model.places)
        for row, image in zip(found, gallery, strict=True):
            best, value = matched_places(model, query, image)
            row.index_add_(0, best.flatten(), value.flatten())
        return found.unflatten(1, model.grid)

    return model.embed, torch.inference_mode()(model.match), parts


TRAINED = {
    "LA-Transformer": (
        "04_la_transformer", _by_rows, "what its rows add to the score",
    ),
    "TransMatcher": (
        "08_transmatcher/TransMatcher", _by_places, "where the query's places find their match",
    ),
}  # fmt: skip
"""Name -> folder of the run, below that of its chapter; how it compares; what its heat is."""


def searchers(runs: str | Path) -> tuple[list[Searcher], list[str]]:
    """What the page compares: colours, the shipped network, and what chapters have trained.

    Args:
        runs: folder with the runs of the chapters, `runs/book/<profile>`.

    Returns:
        The searchers, and the names of those whose chapter has not run.
    """
    found = [
        Searcher(
            "Colours",
            "How often each of 64 colours occurs in the middle of the picture. Nobody trained it.",
            "what its pixels add to the score",
            _colours,
            lambda q, g: _histogram(q) @ _histogram(g).T,
            _colour_parts,
        )
    ]
    shipped = create_model("vit_baseline", num_classes=1, image_size=(128, 64), weights="synth")
    about = "The network that the book ships, as it is: the mean of its patch tokens."
    recipe = recipes.get("vit_baseline", "laptop")
    heat_is = "what its patch tokens add to the score"
    found.append(_network("ViT", about, heat_is, shipped.eval(), _by_patches, recipe))
    missing = []
    for name, (folder, ways, heat_is) in TRAINED.items():
        if not (Path(runs) / folder / "record.json").is_file():
            missing.append(name)
            continue
        model, record = load_run(Path(runs) / folder)
        recipe = Recipe.from_record(record.experiment)
        epochs = f"{recipe.epochs} epoch{'s' * (recipe.epochs != 1)}"
        about = f"Trained by chapter {folder[:2]} in this build, {epochs}, on other people."
        found.append(_network(name, about, heat_is, model, ways, recipe, record))
    return found, missing


def _network(
    name: str,
    about: str,
    heat_is: str,
    model: Any,
    ways: Callable[[Any], Ways],
    recipe: Recipe,
    record: RunRecord | None = None,
) -> Searcher:
    describe, score, parts = ways(model)
    transform = test_transform(recipe.replace(image_size=model.backbone.image_size))

    def embed(images: Pictures) -> Tensor:
        batch = torch.stack([transform(Image.fromarray(image)) for image in images])
        with torch.inference_mode():
            return torch.cat([describe(part) for part in batch.split(64)])

    return Searcher(name, about, heat_is, embed, score, parts, record)


@dataclass(frozen=True)
class Explorer:
    """All that the page shows; a notebook shows it as the page itself.

    Attributes:
        data: what the script of the page reads.
        world: of the setting "as it is".
    """

    data: dict[str, Any]
    world: World
    name = "people of the explorer"

    def fingerprint(self) -> str:
        """Of the world and the settings of its knob: SHA-256."""
        knobs = json.dumps({name: knobs for name, (*_, knobs) in SETTINGS.items()})
        return hashlib.sha256((self.world.fingerprint() + knobs).encode()).hexdigest()

    def table(self, metric: Literal["rank1", "mAP", "own_camera"]) -> pd.DataFrame:
        """A metric in percent: a row for each model, a column for each setting.

        "own_camera": how often the first picture is of somebody before the query's own camera.
        """
        columns = {
            setting["name"]: [100 * one[metric] for one in setting["results"]]
            for setting in self.data["settings"]
        }
        return pd.DataFrame(columns, index=[one["name"] for one in self.data["searchers"]])

    def __repr__(self) -> str:
        counts = {name: len(self.data[name]) for name in ("queries", "gallery", "settings")}
        return f"Explorer({', '.join(f'{name}={count}' for name, count in counts.items())})"

    def _repr_html_(self) -> str:
        style, script = (
            (files("reidlab.report") / f"explorer.{kind}").read_text(encoding="utf-8")
            for kind in ("css", "js")
        )
        data = json.dumps(self.data, separators=(",", ":")).replace("</", "<\\/")
        return (
            f'<div class="explorer"><script type="application/json">{data}</script>'
            "<noscript>This page needs JavaScript; the table below has its numbers.</noscript>"
            f"</div><style>{style}</style><script>{script}</script>"
        )


def explore(searching: Sequence[Searcher], profile: str = "laptop", seed: int = 0) -> Explorer:
    """Let everyone rank one gallery for each query, in each setting of the world's knob.

    Each person has a picture in each camera that saw them, and those who are asked for have one
    more, in one of these cameras: the query. Same person, same camera is left out of its list.

    Args:
        searching: who ranks.
        profile: "smoke" is small, all others have the same people.
        seed: of the world.
    """
    people, asked = SIZES.get(profile, SIZES["laptop"])
    world = World(seed=SEED + seed, identities=people, cameras=4, resolution=(128, 64))
    seen = world.visits([*range(1, people + 1)])
    queries = [(pid, seen[pid][pid % len(seen[pid])], 1) for pid in range(1, asked + 1)]
    gallery = [(pid, camid, 0) for pid, cameras in seen.items() for camid in cameras]
    settings = []
    for key, (name, about, knobs) in SETTINGS.items():
        pictures = replace(world, **knobs).render([*queries, *gallery])
        settings.append(
            {
                "id": key,
                "name": name,
                "about": about,
                "sheet": _sheet(pictures.images),
                "clothes": _clothes(pictures.truth),
                "results": [
                    _search(searcher, pictures.images, queries, gallery) for searcher in searching
                ],
            }
        )
    data = {
        "queries": [key[:2] for key in queries],
        "gallery": [key[:2] for key in gallery],
        "size": list(reversed(world.resolution)),
        "columns": COLUMNS,
        "heat": [mpl.colors.to_hex(mpl.colormaps[HEAT](level / 15)) for level in range(16)],
        "searchers": [
            {"name": s.name, "about": s.about, "heat": s.heat_is} for s in searching
        ],
        "settings": settings,
    }  # fmt: skip
    return Explorer(data, world)


def _search(
    searcher: Searcher, images: Pictures, queries: Sequence[Any], gallery: Sequence[Any]
) -> dict[str, Any]:
    """Ranked lists of all queries: what the page shows of them, and what they are worth."""
    (q_pids, q_camids, _), (g_pids, g_camids, _) = np.array(queries).T, np.array(gallery).T
    described = searcher.embed(images)
    q, g = described[: len(queries)], described[len(queries) :]
    distances = -searcher.score(q, g).double().numpy()
    result = rank(distances, q_pids, g_pids, q_camids, g_camids)
    own = (q_pids[:, None] == g_pids) & (q_camids[:, None] == g_camids)
    lists = np.where(own, np.inf, distances).argsort(axis=1, kind="stable")[:, :TOP]
    heat = [searcher.parts(one, g[found]) for one, found in zip(q, lists, strict=True)]
    return {
        "rank1": round(result.rank1, 4),
        "mAP": round(result.mAP, 4),
        "own_camera": round(float((g_camids[lists[:, 0]] == q_camids).mean()), 4),
        "first": result.first_match.tolist(),
        "lists": lists.tolist(),
        "grid": list(heat[0].shape[1:]),
        "heat": [_levels(parts) for parts in heat],
    }


def _levels(parts: Tensor) -> str:
    """Parts (k, h, w) as hexadecimal digits, row by row: 0 adds least of a map, f most."""
    heat = parts.double().clamp_min(0).flatten(1)
    heat = heat - heat.amin(1, keepdim=True)
    levels = (15 * heat / heat.amax(1, keepdim=True).clamp_min(1e-12)).round().int()
    return "".join(f"{level:x}" for level in levels.flatten().tolist())


def _sheet(images: Pictures) -> str:
    """All pictures on one sheet of `COLUMNS` columns, as a data URI."""
    count, height, width, _ = images.shape
    rows = -(-count // COLUMNS)
    sheet = np.zeros((rows * COLUMNS, height, width, 3), np.uint8)
    sheet[:count] = images
    sheet = sheet.reshape(rows, COLUMNS, height, width, 3).swapaxes(1, 2)
    packed = io.BytesIO()
    picture = Image.fromarray(sheet.reshape(rows * height, COLUMNS * width, 3))
    picture.save(packed, "WEBP", quality=QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(packed.getvalue()).decode()


def _clothes(truth: pd.DataFrame) -> dict[int, str]:
    """What each person wears, for those who do not see the pictures: pid -> words."""
    words = {}
    for person in truth.drop_duplicates("pid").itertuples():
        worn: Any = person
        below = "" if worn.top == "dress" else f", {worn.bottom_colour} {worn.bottom}"
        carried = [thing for thing in ("backpack", "bag", "scarf") if getattr(worn, thing)]
        words[int(worn.pid)] = ", ".join([f"{worn.top_colour} {worn.top}{below}", *carried])
    return words
