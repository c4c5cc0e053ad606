"""The benchmark of corners: its data are what it says, and its rows come from all its cases."""

import numpy as np
from benchmarks import corners


def test_data_follow_the_input_or_the_past_and_nothing_else():
    driven, coupled = corners.driven(0, 3000), corners.coupled(0, 3000)
    for recording, follows in ((driven, True), (coupled, False)):
        y, u = recording["counts"].values.astype(float), recording["inputs"].values
        r = [np.corrcoef(u[..., 0].ravel(), y[..., n].ravel())[0, 1] for n in range(corners.UNITS)]
        assert (np.abs(r).max() > 0.1) == follows
        assert abs(u.std() - 1) < 0.02
    other = corners.other_input(coupled, 0)
    assert other["counts"].identical(coupled["counts"])
    assert abs(np.corrcoef(other["inputs"].values.ravel(), coupled["inputs"].values.ravel())[0, 1]) < 0.02


def test_every_case_has_its_rows():
    rows = corners.measure(1, 15, 1)
    assert [row.what.split(": said to ")[1] for row in rows] == [
        *("add", "cost", "add", "cost", "differ", "differ"),
        *("add", "cost", "add", "cost", "differ"),
    ]
    assert all(row.repetitions == 1 for row in rows)
