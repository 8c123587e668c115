"""The figures of the book: data in, a matplotlib figure out. Drawn networks are in `networks`."""

from reidlab.report.figures import networks
from reidlab.report.figures.curves import cmc_and_ap, line_chart, training_curve, two_curves
from reidlab.report.figures.evidence import row_evidences
from reidlab.report.figures.intervals import forest, heat_table, row_accuracy, two_measures
from reidlab.report.figures.matches import correspondences
from reidlab.report.figures.pictures import (
    contact_sheet,
    heat_overlay,
    part_overlay,
    patch_grid,
    ranked_queries,
    read_picture,
)
from reidlab.report.figures.planes import feature_planes

__all__ = [
    "cmc_and_ap",
    "contact_sheet",
    "correspondences",
    "feature_planes",
    "forest",
    "heat_overlay",
    "heat_table",
    "line_chart",
    "networks",
    "part_overlay",
    "patch_grid",
    "ranked_queries",
    "read_picture",
    "row_accuracy",
    "row_evidences",
    "training_curve",
    "two_curves",
    "two_measures",
]
