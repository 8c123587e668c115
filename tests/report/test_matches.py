"""Lines of correspondences: where they begin and end."""

import numpy as np
import pytest

from reidlab.report import figures, style

PICTURE = np.zeros((12, 8, 3), np.uint8)


def lines(figure):
    return [line for axes in figure.axes for line in axes.lines]


def test_a_line_goes_from_the_middle_of_a_place_to_that_of_its_match():
    best = [[5, 0, 1, 2, 3, 4]]
    shown, right = [[True] + [False] * 4 + [True]], [[True] * 5 + [False]]
    figure = figures.correspondences([(PICTURE, PICTURE)], best, (3, 2), shown=shown, right=right)
    first, last = lines(figure)
    np.testing.assert_allclose(first.get_xydata(), [[2, 2], [6 + 12, 10]])
    np.testing.assert_allclose(last.get_xydata(), [[6, 10], [2 + 12, 10]])
    assert (first.get_color(), last.get_color()) == (style.MATCH, style.WRONG)
    assert (first.get_linestyle(), last.get_linestyle()) == ("-", "--")
    everything = figures.correspondences([(PICTURE, PICTURE)] * 2, best * 2, (3, 2))
    assert len(lines(everything)) == 12


def test_pairs_and_rows_of_places_go_together():
    with pytest.raises(ValueError, match=r"lines of \[6\] places; expected one row of 4"):
        figures.correspondences([(PICTURE, PICTURE)], [[0] * 6], (2, 2))
