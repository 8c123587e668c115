"""Each fault that is planted into a copy of the project turns a check red, and no fault none."""

from dataclasses import replace

import pytest

from workflow.sabotage import FAULTS, turns_red


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_caught(name):
    assert turns_red(FAULTS[name])


def test_without_a_fault_the_same_check_is_green():
    fault = FAULTS["re-ranking swaps lambda"]
    assert not turns_red(replace(fault, new=fault.old))


def test_a_fault_that_no_longer_fits_is_said():
    with pytest.raises(ValueError, match="has no 'x == y': mend the fault"):
        turns_red(replace(FAULTS["re-ranking swaps lambda"], old="x == y"))
