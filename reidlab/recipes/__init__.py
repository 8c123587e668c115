"""One paper, one file, its profiles as constants; `get` finds them by name."""

from __future__ import annotations

from reidlab.recipes import vit_baseline
from reidlab.training import Recipe

__all__ = ["get", "names"]

_PROFILES: dict[str, dict[str, Recipe]] = {"vit_baseline": vit_baseline.PROFILES}


def names() -> list[str]:
    """Papers that have recipes."""
    return sorted(_PROFILES)


def get(paper: str, profile: str = "laptop") -> Recipe:
    """The recipe of a paper in one of its sizes.

    Args:
        paper: Name of the model, as in `create_model`.
        profile: "smoke" (seconds), "laptop" (minutes) or "paper" (a GPU, hours).

    Raises:
        ValueError: If there is no such paper or profile.
    """
    if paper not in _PROFILES:
        raise ValueError(f"there is no recipe for {paper!r}; there are: {', '.join(names())}.")
    profiles = _PROFILES[paper]
    if profile not in profiles:
        known = ", ".join(profiles)
        raise ValueError(f"{paper} has no profile {profile!r}; it has: {known}.")
    return profiles[profile]
