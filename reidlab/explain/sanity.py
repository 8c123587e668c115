"""Does a map depend on what the network has learned?"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn

from reidlab.explain.prepared import token_backbone, unwrapped
from reidlab.explain.scores import check_heat, check_some_heat


class Randomized(NamedTuple):
    """Maps of a network that forgets, S steps after each other.

    Attributes:
        steps: What was randomised last: "nothing", "head", "block 12", ..., "block 1", "embedding".
        correlation: Spearman's rank correlation of each map with the map of step 0, over the
            pixels, (S, B, L); NaN where one of the two is the same everywhere.
        score: What the network still knows, (S, B).
    """

    steps: tuple[str, ...]
    correlation: Tensor
    score: Tensor


def randomized(
    model: nn.Module,
    explain: Callable[[nn.Module], Tensor],
    score: Callable[[nn.Module], Tensor],
    *,
    steps: Collection[str] = (),
    seed: int = 0,
) -> Randomized:
    """Sanity check of a map: randomise the weights from the last block down, and draw it again.

    Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018 (arXiv 1810.03292), section 3,
    cascading randomisation. A map that stays the same (correlation near 1) does not depend on what
    was learned: it shows edges or positions. First everything behind the blocks goes ("head", the
    final norm and a copied block too), then block after block, then patch embedding, positions and
    class token. The entries of each weight are shuffled (ours; the paper draws new ones), so that
    their sizes stay. Buffers stay.

    The check presumes that there is something to forget: `score` must be clearly higher in the
    first step than in the last. A network of random weights fails that, and whatever its
    correlations are, they say nothing on the map: other random weights give another map.

    Args:
        model: With a `TokenBackbone`; it is left exactly as it was, a copy in evaluation mode is
            randomised.
        explain: Network -> heat (B, L, H, W), such as
            `lambda network: gradcam(network, images, IdentityTarget(labels))`. Where the target is
            a similarity, embed the reference by the network handed in.
        score: Network -> what it knows of each image, (B,), such as the logit of the right person
            less the mean of the others.
        steps: After which a map is drawn, beside the first; empty: after each.
        seed: Of the shuffling.

    Raises:
        ValueError: If the model has no blocks, a step does not exist, the first maps are 0
            everywhere, or shapes do not fit.
    """
    generator = torch.Generator().manual_seed(seed)
    correlations, scores, first = [], [], None
    with torch.inference_mode(False), torch.no_grad():
        network: Any = copy.deepcopy(unwrapped(model)).eval()
        stages = _stages(network)
        if unknown := [step for step in steps if step not in stages]:
            raise ValueError(f"there is no step {unknown[0]!r}; expected of {', '.join(stages)}")
        drawn = [step for step in stages if not steps or step in ("nothing", *steps)]
        for step, weights in stages.items():
            for weight in weights:
                lot = torch.randperm(weight.numel(), generator=generator).to(weight.device)
                weight.copy_(weight.flatten()[lot].view_as(weight))
            if step not in drawn:
                continue
            heat = explain(network)
            (check_some_heat if first is None else check_heat)(heat)
            known = score(network).float().cpu()
            if known.shape != heat.shape[:1]:
                raise ValueError(
                    f"score gives {tuple(known.shape)} for {len(heat)} maps; expected "
                    f"({len(heat)},), one number for each image."
                )
            if not known.isfinite().all():
                raise ValueError(
                    f"the scores are {known.tolist()}, which are not all numbers: do the weights "
                    "hold NaN, as after a run that diverged?"
                )
            first = heat if first is None else first
            correlations.append(_rank_correlation(first, heat))
            scores.append(known)
    return Randomized(tuple(drawn), torch.stack(correlations), torch.stack(scores))


def _stages(network: nn.Module) -> dict[str, list[nn.Parameter]]:
    """Step -> the weights it randomises; each weight once, the last ones first."""
    backbone = token_backbone(network)
    blocks = {f"block {n}": block for n, block in enumerate(backbone.blocks, start=1)}
    inside = {id(weight) for weight in backbone.blocks.parameters()}
    behind = {id(weight) for weight in backbone.norm.parameters()}
    before = [w for w in backbone.parameters() if id(w) not in inside | behind]
    known = inside.union(map(id, before))
    return {
        "nothing": [],
        "head": [weight for weight in network.parameters() if id(weight) not in known],
        **{name: [*blocks[name].parameters()] for name in reversed(blocks)},
        "embedding": before,
    }


def _rank_correlation(first: Tensor, second: Tensor) -> Tensor:
    """Spearman's correlation of maps (B, L, H, W), ties with their mean rank, (B, L)."""
    columns = [each.flatten(2).flatten(0, 1).T.cpu().numpy() for each in (first, second)]
    ranks = [pd.DataFrame(each).rank() for each in columns]  # (H W, B L)
    found = ranks[0].corrwith(ranks[1])
    return torch.tensor(found.to_numpy(), dtype=torch.float32).view(first.shape[:2])
