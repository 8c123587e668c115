"""What is raised and what is warned of when a data folder is not what it should be."""

from __future__ import annotations

from reidlab.errors import ReidlabError


class DatasetError(ReidlabError):
    """Something is wrong with a data folder; the message says what, where and what to do."""


class DatasetWarning(UserWarning):
    """A data folder can be used, but it is not quite the published set."""
