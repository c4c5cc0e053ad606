"""What counts as a check, and what is only reported."""

import numpy as np
import pytest

from cortseq import checks


def test_a_number_without_bounds_is_no_check():
    found = checks.phenomenon(
        {"x": ("t", np.zeros(2))},
        "a claim",
        [
            checks.near("inside", 1.0, 1.05, 0.1),
            checks.near("outside", 1.0, 1.2, 0.1),
            checks.Check("half open", 0.0, 3.0, low=2.0),
            checks.Check("no bound", 0.0, 3.0),
        ],
    )
    table = checks.table(found)
    assert table["holds"].tolist() == [True, False, True, True]
    assert checks.tally(table) == "2 of 3 checks hold, 1 numbers are reported"
    assert checks.tally(table.iloc[:1]) == "1 of 1 checks hold"


@pytest.mark.parametrize(("measured", "holds"), [(np.nan, False), (np.inf, False), (1.0, True)])
def test_a_number_that_was_not_measured_holds_nothing(measured, holds):
    assert checks.Check("what", 1.0, measured).holds is holds
