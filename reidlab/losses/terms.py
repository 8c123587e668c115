"""Losses as settings: a frozen dataclass in a recipe, which builds a term of what is trained.

A term is a function `(outputs, batch) -> scalar`. A loss of one's own is a dataclass that inherits
`Loss`, has a `name` and a `build`, and stands in `LOSSES` (one line in `reidlab.losses`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor

from reidlab.errors import RecipeError
from reidlab.settings import Range, check_fields, check_names

Batch = Mapping[str, Tensor]
"""Of B images: image (B, 3, H, W); label, camid, modality (0 visible, 1 infrared), view, (B,)."""
Term = Callable[[Any, Batch], Tensor]
Whole = Callable[[Tensor], Tensor]
"""The rows of a tensor on all processes, for losses that compare the images of a batch."""
OverHeads = Literal["mean", "sum", "halves"]
Weight = Annotated[float, Range(0, 1e4)]
LOSSES: dict[str, type[Loss]] = {}
"""By name; filled by the subclasses of `Loss`."""


def check_fit(features: Tensor, labels: Tensor) -> None:
    """Check that there is a label for each feature.

    Raises:
        ValueError: Shapes that do not fit.
    """
    if features.ndim != 2 or labels.shape != features.shape[:1]:
        raise ValueError(
            f"features {tuple(features.shape)} and labels {tuple(labels.shape)} do not fit: "
            "expected (B, D) and (B,)"
        )


def class_labels(labels: Tensor) -> Tensor:
    """Labels (B,) as the int64 that PyTorch wants of classes.

    Raises:
        TypeError: they are no whole numbers.
    """
    if labels.is_floating_point() or labels.dtype == torch.bool:
        raise TypeError(f"labels are {labels.dtype}, expected whole numbers, such as torch.int64")
    return labels.long()


def same_rows(rows: Tensor) -> Tensor:
    """The rows as they are: the `Whole` of a training in one process."""
    return rows


@dataclass(frozen=True, kw_only=True)
class Loss(ABC):
    """One loss of a recipe.

    Attributes:
        name: What a record and the log call it; a recipe has one loss of a name.
        of_cosines: Whether the logits it reads must be cosines, see `Outputs`; None: any will do.
        across_modalities: Whether it compares visible with infrared images of each batch.
        younger: Settings that came later than records: these do not name them at their defaults.
        weight: Factor in the sum.
    """

    name: ClassVar[str]
    of_cosines: ClassVar[bool | None] = None
    across_modalities: ClassVar[bool] = False
    younger: ClassVar[tuple[str, ...]] = ()
    weight: Weight = 1.0

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "name" in cls.__dict__:
            if cls.name in ("accuracy", "skipped"):
                raise TypeError(f"a loss can't be called {cls.name}: the log has that name already")
            LOSSES[cls.name] = cls

    def __post_init__(self) -> None:
        check_fields(self, f"loss {self.name}", RecipeError)

    @property
    def reads(self) -> Literal["features", "logits", "scores"]:
        """What of the outputs it reads; `fit` refuses a model that gives none of it."""
        return "features"

    @property
    def needs_pairs(self) -> bool:
        """Whether it is 0 where nobody has two images in a batch."""
        return False

    @abstractmethod
    def build(self, whole: Whole = same_rows) -> Term:
        """The term, without its weight.

        Args:
            whole: Gathers rows from all processes; a loss that looks at each image by itself has
                no use for it.
        """

    def watch(self, outputs: Any, batch: Batch) -> dict[str, Tensor]:
        """What the log says beside the loss: "accuracy", "skipped" (anchors), or nothing."""
        return {}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a record."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        usual = {field.name: field.default for field in fields(self) if field.name in self.younger}
        return {name: value for name, value in values.items() if (name, value) not in usual.items()}


def precise(values: Tensor) -> Tensor:
    """Values in float32 at least."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def over_heads(kind: OverHeads, values: Sequence[Tensor]) -> Tensor:
    """The losses of several classifiers or features as one: their mean or their sum, or "halves".

    Halves are TransReID's: of the first, which is global, and of the mean of the others.
    """
    stacked = torch.stack(tuple(values))
    if kind == "halves" and len(stacked) > 1:
        return (stacked[0] + stacked[1:].mean()) / 2
    return stacked.sum() if kind == "sum" else stacked.mean()


def losses_from(values: Mapping[str, Mapping[str, Any]] | Iterable[Loss]) -> tuple[Loss, ...]:
    """Losses, or those of a record, name -> settings, as the tuple that a recipe has.

    Raises:
        RecipeError: If a loss or a setting does not exist, or one name stands twice.
    """
    if not isinstance(values, Mapping):
        several = isinstance(values, Iterable) and not isinstance(values, str)
        losses: tuple[Any, ...] = tuple(values) if several else (values,)
        for loss in losses:
            if not isinstance(loss, Loss):
                raise RecipeError(
                    f"losses have {loss!r}; expected losses such as (Identity(), Triplet())."
                )
        names = [loss.name for loss in losses]
        if len(set(names)) < len(names):
            raise RecipeError(f"losses are {', '.join(names)}; expected one of each name.")
        return losses
    for name, settings in values.items():
        if name not in LOSSES:
            raise RecipeError(f"there is no loss {name!r}; there are: {', '.join(LOSSES)}.")
        if not isinstance(settings, Mapping):
            raise RecipeError(f"the loss {name} is {settings!r}; expected its settings by name.")
        known = [field.name for field in fields(LOSSES[name])]
        check_names(settings, known, f"the loss {name}", RecipeError)
    return tuple(LOSSES[name](**settings) for name, settings in values.items())


def change_losses(losses: Iterable[Loss], changes: Mapping[str, Any]) -> tuple[Loss, ...]:
    """Losses with other settings.

    Args:
        losses: Those of a recipe.
        changes: "NAME.SETTING" -> value changes one setting of a loss, which joins the others with
            its defaults if it was not among them; "NAME" -> None drops it.

    Raises:
        RecipeError: If a loss or a setting does not exist, or a value cannot work.
    """
    changed = {loss.name: loss for loss in losses}
    for key, value in changes.items():
        name, _, setting = key.partition(".")
        if not setting and value is None:
            check_names([name], changed, "losses", RecipeError)
            del changed[name]
            continue
        if not setting:
            raise RecipeError(
                f"losses.{key}={value!r} changes no setting; expected losses.{key}=None, which "
                f"drops it, or losses.{key}.SETTING={value!r}."
            )
        loss = changed.get(name) or losses_from({name: {}})[0]
        known = [field.name for field in fields(loss)]
        check_names([setting], known, f"the loss {name}", RecipeError)
        changed[name] = replace(loss, **{setting: value})
    return tuple(changed.values())
