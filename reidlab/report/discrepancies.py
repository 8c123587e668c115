"""Where a paper's text, its authors' program and the data disagree, as data.

`book/claims/<paper>_discrepancies.yml` lists what was found, with how it is known. Nothing is
computed here: a page shows the list as a table.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import yaml

from reidlab.report.claims import ClaimError, claims_file

COLUMNS = {"topic": "topic", "paper": "the paper", "found": "program or data", "how": "how we know"}


def discrepancies(paper: str | Path) -> pd.DataFrame:
    """Return what disagrees, one row each, in the order of the file.

    Args:
        paper: its stem, such as "la_transformer", found in `book/claims` of the project, or a path.

    Returns:
        Columns topic, the paper, program or data, how we know; all of them words.

    Raises:
        ClaimError: the file is missing, an entry lacks a field or has another one, or a topic
            stands twice.
    """
    path = claims_file(paper, "_discrepancies")
    if not path.is_file():
        raise ClaimError(f"{path} does not exist: expected book/claims/<paper>_discrepancies.yml")
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(entries, list) or not entries:
        raise ClaimError(f"{path.name}: expected a list of mappings with {', '.join(COLUMNS)}")
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, Mapping) or set(entry) != {*COLUMNS}:
            raise ClaimError(f"{path.name}, entry {number}: expected {', '.join(COLUMNS)}, no more")
        if wrong := [name for name, text in entry.items() if not isinstance(text, str)]:
            raise ClaimError(
                f"{path.name}, entry {number}: {wrong[0]} is no text; put it in quotes"
            )
    table = pd.DataFrame(entries)[[*COLUMNS]]
    if table.topic.duplicated().any():
        raise ClaimError(f"{path.name}: {table.topic[table.topic.duplicated()].iloc[0]!r} twice")
    return table.rename(columns=COLUMNS)
