"""Judge a backbone without any training on the data set: three descriptions of each image."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from reidlab.data import ReIDDataset
from reidlab.evaluation import RankResult, bootstrap
from reidlab.judging.embedding import embed
from reidlab.judging.protocol import check_judged, judge
from reidlab.judging.settings import Judging
from reidlab.judging.validation import check_people
from reidlab.models import TokenBackbone
from reidlab.models.vit import token_views
from reidlab.record import RunRecord, describe_data, now, peak_memory_mb, reset_peak_memory


class _Views(nn.Module):
    """A backbone whose embedding is its three views side by side, so that images run once."""

    def __init__(self, backbone: TokenBackbone) -> None:
        super().__init__()
        self.backbone = backbone

    def embed(self, images: Tensor, camids: Tensor | None = None) -> Tensor:
        """Class token, pooled patches and row means, (B, D + D + h*D)."""
        tokens = self.backbone(images, camids)
        views = token_views((tokens.cls, tokens.patches), self.backbone.grid)
        return torch.cat(list(views.values()), dim=1)


def zero_shot(backbone: TokenBackbone, ds: ReIDDataset, recipe: Judging) -> dict[str, RankResult]:
    """Rank query and gallery by each view of the tokens, by cosine, with the mean precision as AP.

    Args:
        backbone: With its weights; it is not changed.
        ds: Judged by its protocol, junk left out.
        recipe: Gives normalisation, batch size, precision and workers.

    Returns:
        "class", "pooled" and "rows" -> result.

    Raises:
        RecipeError: If the set cannot be judged, see `check_judged`.
    """
    return _timed(backbone, ds, _as_judged(backbone, recipe))[0]


def _as_judged(backbone: TokenBackbone, recipe: Judging) -> Judging:
    return recipe.replace(image_size=backbone.image_size, metric="cosine", ap="mean_precision")


def _timed(
    backbone: TokenBackbone, ds: ReIDDataset, recipe: Judging
) -> tuple[dict[str, RankResult], dict[str, float]]:
    """The results, and the seconds of their two parts."""
    check_judged(ds)
    model, dim = _Views(backbone).train(backbone.training), backbone.embed_dim
    query, gallery = (frame[~frame["junk"]] for frame in (ds.query, ds.gallery))
    clock = time.perf_counter()
    q_emb, g_emb = embed(model, query, recipe), embed(model, gallery, recipe)
    embedded = time.perf_counter()
    parts = {"class": slice(0, dim), "pooled": slice(dim, 2 * dim), "rows": slice(2 * dim, None)}
    rule = {"metric": recipe.metric, "ap": recipe.ap}
    found = {name: judge(ds, q_emb[:, x], g_emb[:, x], **rule) for name, x in parts.items()}
    return found, {"embed": embedded - clock, "rank": time.perf_counter() - embedded}


def of_training_people(ds: ReIDDataset) -> ReIDDataset:
    """The same set with its training people in query and gallery: for choices, which tests forbid.

    Every image asks for those of the other cameras. Where there is infrared, it asks, and visible
    images answer. Judged by the standard rule.

    Raises:
        RecipeError: If the set has no training people.
    """
    check_people(ds)
    dark = ds.train["modality"] == "infrared"
    query, gallery = (ds.train[dark], ds.train[~dark]) if dark.any() else (ds.train, ds.train)
    name = f"{ds.name}, training people"
    return replace(ds, name=name, query=query, gallery=gallery, protocol="standard")


def zero_shot_record(backbone: TokenBackbone, ds: ReIDDataset, recipe: Judging) -> RunRecord:
    """`zero_shot` as a run record: the class token's numbers, and those of all three views.

    Of each view's mAP with the 95 % interval over people, see `bootstrap`.

    Args:
        backbone: With the weights that `recipe.weights` names.
        ds: Judged by its protocol.
        recipe: As in `zero_shot`.
    """
    started, device = now(), next(backbone.parameters()).device
    reset_peak_memory(device)
    recipe = _as_judged(backbone, recipe)
    results, seconds = _timed(backbone, ds, recipe)
    metrics: dict[str, Any] = results["class"].as_dict()
    for view, result in results.items():
        metrics |= {f"{view}_rank1": result.rank1, f"{view}_mAP": result.mAP}
        people = ds.query.loc[~ds.query["junk"], "pid"].to_numpy()
        if len(set(people[result.valid])) > 1:  # one person has no spread
            interval = bootstrap(result, people)
            metrics |= {f"{view}_mAP_low": interval.low, f"{view}_mAP_high": interval.high}
    return RunRecord(
        experiment={"paper": "vit_baseline", "variant": "zero shot", **recipe.to_dict()},
        seed=0,
        data=describe_data(ds),
        metrics=metrics,
        seconds={"train": 0.0, **seconds},
        images_per_second=0.0,
        peak_memory_mb=peak_memory_mb(device),
        started=started,
        finished=now(),
    )
