"""One paper, one file, its profiles as constants; `get` finds them by name."""

from __future__ import annotations

from reidlab.recipes import la_tf_pp, la_transformer, vit_baseline
from reidlab.training import Recipe

__all__ = ["get", "names"]

_PROFILES: dict[str, dict[str, Recipe]] = {
    "vit_baseline": vit_baseline.PROFILES,
    "la_transformer": la_transformer.PROFILES,
    "la_tf_pp": la_tf_pp.PROFILES,
}


def names() -> list[str]:
    """Papers that have recipes."""
    return sorted(_PROFILES)


def get(paper: str, profile: str = "laptop") -> Recipe:
    """The recipe of a paper in one of its sizes.

    Args:
        paper: Name of the model, as in `create_model`.
        profile: "smoke" (seconds), "laptop" (minutes) or "paper" (a GPU, hours); "code" is of the
            size of "paper", with what the authors' program does where their paper differs.

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
