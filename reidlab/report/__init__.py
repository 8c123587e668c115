"""Figures, tables and checks of the book's pages.

The drawing modules need matplotlib and are imported by name where a page draws::

    from reidlab.report import figures, style
"""

from reidlab.report.claims import Claim, ClaimError, load_claims, verdicts
from reidlab.report.exercises import ExerciseError, check
from reidlab.report.page import Page, RunRecordBox, page_start, run_record_box
from reidlab.report.records import (
    check_schema,
    compare,
    read_record,
    results_table,
)

__all__ = [
    "Claim",
    "ClaimError",
    "ExerciseError",
    "Page",
    "RunRecordBox",
    "check",
    "check_schema",
    "compare",
    "load_claims",
    "page_start",
    "read_record",
    "results_table",
    "run_record_box",
    "verdicts",
]
