"""What a table must hold before it is drawn."""

from collections.abc import Sequence

import pandas as pd

from reidlab.report import style

INTERVAL = ("low", "high")


def named(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with a column `name`: its own, or else its index as words."""
    if "name" in table:
        return table
    names = [", ".join(map(str, k)) if isinstance(k, tuple) else str(k) for k in table.index]
    return table.assign(name=names)


def check_table(table: pd.DataFrame, keys: Sequence[str], values: Sequence[str]) -> None:
    """Refuse a table that is empty, lacks a column, or has two rows for one place."""
    missing = [column for column in (*keys, *values) if column not in table]
    if missing or not len(table):
        raise ValueError(
            f"the table has {len(table)} rows and lacks {', '.join(missing) or 'no column'}: "
            f"expected one row at least, and the columns {', '.join((*keys, *values))}"
        )
    twice = table[table.duplicated(list(keys))]
    if len(twice):
        place = ", ".join(f"{key} {twice.iloc[0][key]}" for key in keys)
        raise ValueError(f"{place} has two rows: give one, the mean over the seeds")


def check_intervals(table: pd.DataFrame, keys: Sequence[str], value: str) -> pd.DataFrame:
    """Return the table with numbers in `value`, `low` and `high`, NaN where one is missing.

    Raises:
        ValueError: a value lies outside its interval.
    """
    table = table.assign(**{end: table.get(end) for end in INTERVAL})
    table = table.astype(dict.fromkeys((value, *INTERVAL), float))  # None is NaN from here on
    outside = table[(table[value] < table.low) | (table[value] > table.high)]
    for row in outside.to_dict("records"):
        place = " = ".join(str(row[key]) for key in keys)
        raise ValueError(
            f"{place}: {row[value]} is not inside its interval [{row['low']}, {row['high']}]"
        )
    return table


def check_colours(count: int, what: str) -> None:
    """Refuse more things than there are colours, dashes and marks to know them by."""
    if not 0 < count <= len(style.SERIES):
        raise ValueError(
            f"there are {count} {what}: expected 1 to {len(style.SERIES)}, so that each has a "
            "colour and a dash or mark of its own"
        )
