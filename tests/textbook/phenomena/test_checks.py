"""What counts as a check, and what is only reported."""

import numpy as np
import pytest

from cortseq import checks


def test_a_number_without_bounds_is_no_check():
    found = checks.phenomenon(
        "a claim",
        [
            checks.Part({"x": ("t", np.zeros(2))}, [checks.near("inside", 1.0, 1.05, 0.1)]),
            checks.Part(
                {},
                [
                    checks.near("outside", 1.0, 1.2, 0.1),
                    checks.above("half open", 0.0, 3.0, 2.0),
                    checks.reported("no bound", 0.0, 3.0),
                ],
            ),
        ],
    )
    assert found["x"].shape == (2,) and found.attrs["claim"] == "a claim"
    table = checks.table(found)
    assert table["holds"].tolist() == [True, False, True, True]
    assert checks.tally(table) == "2 of 3 checks hold, 1 numbers are reported"
    assert checks.tally(table.iloc[:1]) == "1 of 1 checks hold"


def test_windows_of_checks():
    window = lambda check: (check.low, check.high)  # noqa: E731
    assert window(checks.near("", 2.0, 0.0, 0.5)) == (1.5, 2.5)
    assert window(checks.close("", -2.0, 0.0, 0.5)) == (-3.0, -1.0)
    assert checks.below("", 0, 1, 1).holds and not checks.below("", 0, 1.1, 1).holds
    assert checks.above("", 0, 1, 1).holds and not checks.above("", 0, 0.9, 1).holds


@pytest.mark.parametrize(("measured", "holds"), [(np.nan, False), (np.inf, False), (1.0, True)])
def test_a_number_that_was_not_measured_holds_nothing(measured, holds):
    assert checks.Check("what", 1.0, measured).holds is holds
