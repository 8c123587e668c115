"""What a table must hold before it is drawn."""

import pandas as pd


def check_table(table: pd.DataFrame, keys: list[str], values: list[str]) -> None:
    """Refuse a table that is empty, lacks a column, or has two rows for one place."""
    missing = [column for column in keys + values if column not in table]
    if missing or not len(table):
        raise ValueError(
            f"the table has {len(table)} rows and lacks {', '.join(missing) or 'no column'}: "
            f"expected one row at least, and the columns {', '.join(keys + values)}"
        )
    twice = table[table.duplicated(keys)]
    if len(twice):
        place = ", ".join(f"{key} {twice.iloc[0][key]}" for key in keys)
        raise ValueError(f"{place} has two rows: give one, the mean over the seeds")
