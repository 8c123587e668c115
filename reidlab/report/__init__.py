"""Figures, tables and checks of the book's pages.

The drawing modules need matplotlib and are imported by name where a page draws::

    from reidlab.report import figures, style
"""

from reidlab.record import read_record
from reidlab.report.claims import Claim, ClaimError, load_claims, published_intervals, verdicts
from reidlab.report.differences import trials
from reidlab.report.discrepancies import discrepancies
from reidlab.report.editions import write_edition
from reidlab.report.exercises import ExerciseError, check
from reidlab.report.findings import (
    Finding,
    between,
    decided,
    decisions,
    finding,
    metrics_table,
    outcomes,
    planned,
    summary,
    tally,
)
from reidlab.report.matrix import Matrix, claims_matrix
from reidlab.report.page import Page, RunRecordBox, page_start, read_page
from reidlab.report.quizzes import Quiz, quiz
from reidlab.report.records import check_contribution, records_at
from reidlab.report.reproduction import Reproduction, published_runs, reproduction
from reidlab.report.sides import SideBySide, side_by_side

__all__ = [
    "Claim",
    "ClaimError",
    "ExerciseError",
    "Finding",
    "Matrix",
    "Page",
    "Quiz",
    "Reproduction",
    "RunRecordBox",
    "SideBySide",
    "between",
    "check",
    "check_contribution",
    "claims_matrix",
    "decided",
    "decisions",
    "discrepancies",
    "finding",
    "load_claims",
    "metrics_table",
    "outcomes",
    "page_start",
    "planned",
    "published_intervals",
    "published_runs",
    "quiz",
    "read_page",
    "read_record",
    "records_at",
    "reproduction",
    "side_by_side",
    "summary",
    "tally",
    "trials",
    "verdicts",
    "write_edition",
]
