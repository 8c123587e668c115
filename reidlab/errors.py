"""What can be wrong with what a run is asked to do."""

from __future__ import annotations


class RecipeError(ValueError):
    """A setting that does not exist or cannot work."""
