"""The figures of the book: data in, a matplotlib figure out."""

from reidlab.report.figures.curves import knob_curves, training_curve, two_curves
from reidlab.report.figures.intervals import ablation_grid
from reidlab.report.figures.pictures import (
    contact_sheet,
    heat_overlay,
    part_overlay,
    ranked_list,
    read_picture,
    row_evidence,
)

__all__ = [
    "ablation_grid",
    "contact_sheet",
    "heat_overlay",
    "knob_curves",
    "part_overlay",
    "ranked_list",
    "read_picture",
    "row_evidence",
    "training_curve",
    "two_curves",
]
