"""One paper, one file: what its runs compute, each value with its source; `get` finds them by name.

A file holds `PRESETS`, recipes of the paper's own size ("code" and "paper" where the two differ,
the default first), `SIZES`, what a smaller size changes in any of them, and, where the paper has
vehicles as well as people, `VEHICLES`, what these change in each size.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from reidlab.recipes import (
    agw,
    gltrans,
    la_tf_pp,
    la_transformer,
    pcb,
    qaconv,
    transmatcher,
    transreid,
    tvtr,
    vit_baseline,
)
from reidlab.training import Recipe

__all__ = ["get", "names", "presets", "subjects"]

Subject: TypeAlias = Literal["people", "vehicles"]
_FILES: tuple[Any, ...] = (
    vit_baseline, la_transformer, la_tf_pp, gltrans, transreid, pcb, tvtr, agw, transmatcher, qaconv
)  # fmt: skip
_PAPERS = {file.__name__.rpartition(".")[2]: file for file in _FILES}


def names() -> list[str]:
    """Papers that have recipes."""
    return sorted(_PAPERS)


def presets(paper: str) -> tuple[str | None, ...]:
    """The presets of a paper, the default first; None alone where paper and code agree."""
    return tuple(_paper(paper).PRESETS)


def subjects(paper: str) -> tuple[Subject, ...]:
    """What a paper has recipes for: people, and vehicles too where it was tried on them."""
    return ("people", "vehicles") if hasattr(_paper(paper), "VEHICLES") else ("people",)


def get(
    paper: str,
    profile: str = "laptop",
    preset: str | None = None,
    *,
    of: Subject = "people",
) -> Recipe:
    """The recipe of a paper in one of its sizes.

    Args:
        paper: Name of the model, as in `create_model`.
        profile: "smoke" (seconds), "laptop" (minutes) or "paper" (a GPU, hours).
        preset: "code", what the authors' program does, or "paper", what their text says; None: the
            first of `presets(paper)`.
        of: What is on the images: "people", or "vehicles", of VeRi-776 in the paper's size.

    Raises:
        ValueError: If there is no such paper, profile or preset, or none for vehicles.
    """
    found = _paper(paper)
    sizes = {**found.SIZES, "paper": {}}
    if profile not in sizes:
        hint = " Presets are another argument: preset='code'." if profile == "code" else ""
        raise ValueError(f"{paper} has no profile {profile!r}; it has: {', '.join(sizes)}.{hint}")
    known = presets(paper)
    preset = known[0] if preset is None else preset
    if preset not in known:
        listed = ", ".join(map(str, known)) if known[0] else "none: its paper and code agree"
        raise ValueError(f"{paper} has no preset {preset!r}; it has: {listed}.")
    recipe: Recipe = found.PRESETS[preset].replace(**sizes[profile])
    if of == "people":
        return recipe
    if of not in subjects(paper):
        here = [name for name in _PAPERS if "vehicles" in subjects(name)]
        raise ValueError(
            f"{paper} has no recipe of {of!r}; expected 'people', or 'vehicles' for one of: "
            f"{', '.join(sorted(here))}."
        )
    return recipe.replace(**found.VEHICLES[profile])


def _paper(name: str) -> Any:
    if name not in _PAPERS:
        raise ValueError(f"there is no recipe for {name!r}; there are: {', '.join(names())}.")
    return _PAPERS[name]
