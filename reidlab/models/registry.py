"""Which models there are: each paper's file ends with `register(Model(...))`, and that is all.

Who has a model of their own does the same from outside the library:

    register(Model(name="mine", build=MyNetwork))
    create_model("mine", num_classes=60)
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from reidlab.models.resnet import ConvBackbone
from reidlab.models.vit import TokenBackbone
from reidlab.settings import check_names

Kind = type[TokenBackbone | ConvBackbone]


@dataclass(frozen=True)
class Authors:
    """How the checkpoints that a paper's authors publish name the weights.

    Attributes:
        rename: Their key -> ours, None where their network never uses the weight; KeyError for a
            key that is not theirs.
        entries: Of a whole file, for the paper's own backbone and image size.
        apart: Beginning of our names that lie in a mapping of their own in a file, beside that of
            all others, as a matcher lies beside its network; "": there is one mapping.
        explain: (model, renamed state dict that does not fit) -> what is wrong in the paper's own
            terms, such as another number of people; None if it can't tell.
    """

    rename: Callable[[str], str | None]
    entries: int
    apart: str = ""
    explain: Callable[[Any, Mapping[str, Tensor]], str | None] = lambda model, found: None


def renaming(patterns: Mapping[str, str | None]) -> Callable[[str], str | None]:
    """A `rename` of `Authors` from regular expressions of their whole keys, the first that matches.

    Args:
        patterns: Expression of a key of theirs -> template of ours (`\\1` is its first group), or
            None where their network never uses the weight.
    """

    def rename(key: str) -> str | None:
        for pattern, ours in patterns.items():
            if found := re.fullmatch(pattern, key):
                return None if ours is None else found.expand(ours)
        raise KeyError(key)

    return rename


@dataclass(frozen=True)
class Model:
    """A model as its file declares it.

    Attributes:
        name: For `create_model`.
        build: Its class, called with (backbone, num_classes), and with switches if it has presets.
        reads: The kind of backbone: `TokenBackbone` or `ConvBackbone`, or both.
        presets: Where a paper and its code differ: preset -> switches, a dataclass; the default
            first. Empty: they agree.
        authors: None where no authors published their weights.
    """

    name: str
    build: type[nn.Module]
    reads: Kind | tuple[Kind, ...] = TokenBackbone
    presets: Mapping[str, Any] = field(default_factory=dict)
    authors: Authors | None = None

    def switches(self, preset: str | None, changes: Mapping[str, Any]) -> tuple[Any, ...]:
        """The switches of a preset with some changed, as one; () for a model that has none.

        Raises:
            ValueError: If there is no such preset or switch.
        """
        if preset is not None and preset not in self.presets:
            known = ", ".join(self.presets) or "none: its paper and its code agree"
            raise ValueError(
                f"{self.name} has no preset {preset!r}; it has {known}. Pass preset=None."
            )
        if not self.presets:
            if changes:
                raise ValueError(
                    f"{self.name} has no switches; got {', '.join(changes)}. Pass none."
                )
            return ()
        start = self.presets[preset or next(iter(self.presets))]
        check_names(changes, (switch.name for switch in dataclasses.fields(start)), self.name)
        return (dataclasses.replace(start, **changes),)


_REGISTRY: dict[str, Model] = {}


def register(model: Model) -> None:
    """Make a model known to `create_model` and to everything that takes a model's name.

    Raises:
        ValueError: If its name is taken.
    """
    if model.name in _REGISTRY:
        raise ValueError(
            f"the name {model.name!r} is taken by {_REGISTRY[model.name].build.__qualname__}; "
            f"choose another, or call unregister({model.name!r}) first."
        )
    _REGISTRY[model.name] = model


def unregister(name: str) -> None:
    """Forget a model.

    Raises:
        ValueError: If there is none of that name.
    """
    get_model(name)
    del _REGISTRY[name]


def list_models() -> list[str]:
    """Names that `create_model` knows today."""
    return sorted(_REGISTRY)


def get_model(name: str) -> Model:
    """What was registered under a name.

    Raises:
        ValueError: If nothing was; it names what there is.
    """
    if name not in _REGISTRY:
        raise ValueError(f"there is no model {name!r}. Known: {', '.join(list_models())}.")
    return _REGISTRY[name]
