"""What can be wrong with what a user gives or asks for."""

from __future__ import annotations


class ReidlabError(Exception):
    """The base of the library's own errors: the message is for the user, without a traceback."""


class RecipeError(ReidlabError, ValueError):
    """A setting that does not exist or cannot work."""
