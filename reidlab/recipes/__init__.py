"""One paper, one file: what its runs compute, each value with its source; `get` finds them by name.

A file holds `PRESETS`, recipes of the paper's own size ("code" and "paper" where the two differ,
the default first), and `SIZES`, what a smaller size changes in any of them.
"""

from __future__ import annotations

from typing import Any

from reidlab.recipes import la_tf_pp, la_transformer, vit_baseline
from reidlab.training import Recipe

__all__ = ["get", "names", "presets"]

_PAPERS: dict[str, Any] = {
    "vit_baseline": vit_baseline,
    "la_transformer": la_transformer,
    "la_tf_pp": la_tf_pp,
}


def names() -> list[str]:
    """Papers that have recipes."""
    return sorted(_PAPERS)


def presets(paper: str) -> tuple[str | None, ...]:
    """The presets of a paper, the default first; None alone where paper and code agree."""
    return tuple(_paper(paper).PRESETS)


def get(paper: str, profile: str = "laptop", preset: str | None = None) -> Recipe:
    """The recipe of a paper in one of its sizes.

    Args:
        paper: Name of the model, as in `create_model`.
        profile: "smoke" (seconds), "laptop" (minutes) or "paper" (a GPU, hours).
        preset: "code", what the authors' program does, or "paper", what their text says; None: the
            first of `presets(paper)`.

    Raises:
        ValueError: If there is no such paper, profile or preset.
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
    recipe: Recipe = found.PRESETS[preset]
    return recipe.replace(**sizes[profile])


def _paper(name: str) -> Any:
    if name not in _PAPERS:
        raise ValueError(f"there is no recipe for {name!r}; there are: {', '.join(names())}.")
    return _PAPERS[name]
