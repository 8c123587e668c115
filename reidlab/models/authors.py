"""Checkpoints of the papers' authors, their key names mapped to ours.

A file must hold every weight the model has and none it has not: what is missing, unknown or of
another size is an error that names it. How a paper's authors name the weights stands in the
declaration at the end of its file. What a training program wrapped around them (`module.`,
`state_dict`) is taken off first.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from reidlab.models.registry import get_model, list_models
from reidlab.models.weights_file import (
    WeightsError,
    WeightsFile,
    compare_state,
    pick_weights,
    read_weights,
)


def load_authors_checkpoint(
    model: nn.Module, checkpoint: str | Path | Mapping[str, Tensor]
) -> nn.Module:
    """Fill a model with a state dict in its authors' own layout.

    Args:
        model: From `create_model` with preset="code", for the checkpoint's number of identities and
            its image size.
        checkpoint: A `.pth` or `.safetensors` file, loaded without running any code of it, or a
            state dict.

    Returns:
        The same model.

    Raises:
        WeightsError: If the file is missing or damaged, or keys or sizes do not fit; nothing is
            loaded then.
        TypeError: For a model that no authors published.
    """
    known = [get_model(name) for name in list_models()]
    layouts = {each.build: each.authors for each in known if each.authors is not None}
    if type(model) not in layouts:
        names = " or ".join(each.name for each in known if each.authors is not None)
        raise TypeError(
            f"{type(model).__name__} has no authors' checkpoint; expected a model of {names}. "
            "Weights of a backbone load with create_model(..., weights=path)."
        )
    authors, own = layouts[type(model)], model.state_dict()

    def knows(apart: bool, key: str) -> bool:
        try:
            ours = authors.rename(key)
        except KeyError:
            return False
        lies_apart = bool(authors.apart) and (ours or "").startswith(authors.apart)
        return ours in {None, *own} and lies_apart == apart

    def read(apart: bool) -> WeightsFile:
        if isinstance(checkpoint, str | Path):
            path = Path(checkpoint).expanduser()
            return read_weights(path, "Expected the authors' checkpoint.", partial(knows, apart))
        return pick_weights(checkpoint, "the state dict", partial(knows, apart))

    network = read(apart=False)
    state, name = dict(network.state), network.source
    if authors.apart:
        state = read(apart=True).state | state
    renamed: dict[str, Tensor] = {}
    unknown: list[str] = []
    # as torch fills a network, in which one parameter may have two names: a module before its parts
    for key in sorted(state, key=lambda key: key.count(".")):
        try:
            ours = authors.rename(key)
        except KeyError:
            unknown.append(key)
            continue
        if ours is None:
            continue
        if ours in renamed and not torch.equal(renamed[ours], state[key]):
            warnings.warn(
                f"{name} holds two copies of {ours} that differ, and in the authors' network they "
                f"are one parameter. {key} is taken, as it would be there.",
                stacklevel=2,
            )
        renamed[ours] = state[key]
    difference = compare_state(own, renamed)
    difference.unknown.extend(unknown)
    if difference:
        backbone: Any = model.backbone
        height, width = backbone.image_size
        fits_not = (
            f"does not fit this {type(model).__name__}: {difference}. Expected the authors' state "
            f"dict of a {backbone.name} for images of {height}x{width} ({authors.entries} entries "
            "with the paper's backbone and images)."
        )
        reason = _other_people(model, renamed) or authors.explain(model, renamed) or fits_not
        raise WeightsError(f"{name} {reason}")
    model.load_state_dict(renamed)
    return model


def _other_people(model: Any, found: Mapping[str, Tensor]) -> str | None:
    """Whether a checkpoint classifies another number of people."""
    classes = {len(value) for key, value in found.items() if key.endswith("classifier.weight")}
    if len(classes) != 1 or classes == {model.num_classes}:
        return None
    return (
        f"classifies {classes.pop()} identities and the model {model.num_classes}; "
        "build it with create_model(..., num_classes=) of the checkpoint."
    )
