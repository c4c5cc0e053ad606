"""The recovery benchmark at a small size: a teacher whose dynamics are known comes back from its own spikes."""

import numpy as np
import pytest
from benchmarks import recovery

from cortseq.dynamics.laboratory import closed_loop

SMALL = recovery.Size(hidden=12, units=40, trials=120, time=60, epochs=60, members=2)


@pytest.fixture(autouse=True)
def short_orbits(monkeypatch):
    monkeypatch.setattr(closed_loop, "_STEPS", 100)
    monkeypatch.setattr(closed_loop, "_WARM_UP", 50)


def test_a_rate_network_comes_back_from_its_spikes():
    found = recovery.recover("rate", SMALL, seed=1, say=lambda *_: None)
    assert found.r2 > 0.8 and found.points > 0
    assert found.recall > 0 and found.distance < 0.3
    assert 0 < found.covered <= found.quantities
    assert "rate" in recovery.table([found])


def test_expected_counts_at_visited_states_are_the_predictions():
    fit = recovery.teacher("chaotic", SMALL, 0)
    spikes = fit.simulate(3, 20, seed=1)
    states = fit.states(spikes).values[0]
    np.testing.assert_allclose(
        fit.expected(states),
        fit.predict(spikes).values[0],
        rtol=1e-4,
    )


def test_coverage_counts_the_intervals_that_hold():
    from pandas import DataFrame

    maps = ["closed", "open", "closed", "weights"]
    truth = DataFrame({"quantity": list("abcd"), "value": [1.0, 2.0, np.nan, 9.0], "map": maps})
    stated = DataFrame({"quantity": list("abcd"), "low": [0.5, 3.0, 0.0, 0], "high": [1.5, 4.0, 1.0, 1]})
    assert recovery._coverage(truth, stated) == (1, ["b"])


def test_coverage_counts_calibrated_lines_only():
    from pandas import DataFrame

    truth = DataFrame({"quantity": list("abc"), "value": [1.0, 2.0, 3.0], "map": "open"})
    stated = DataFrame(
        {"quantity": list("abc"), "low": [0.5, 3.0, 9], "high": [1.5, 4.0, 9.5], "interval": ""}
    )
    widened = stated.assign(
        low=[0.0, 1.0, 9], high=[2.0, 5.0, 9.5], interval=["calibrated", "calibrated", ""]
    )
    found = recovery._covered("rate", 20, [truth] * 2, [stated] * 2, [widened] * 2)
    assert (found.recordings, found.lines, found.stated, found.calibrated) == (2, 4, 2, 4)
    assert found.width == 3.0 and found.missed == ""
    assert (
        recovery.coverage_table([found]).splitlines()[-1].startswith("| rate | 2 | 20 | 4 | 50.0% | 100.0% |")
    )
