"""Students of a teacher that inputs drive: their closed loop under replayed inputs is the teacher's."""

import numpy as np
import pytest
from benchmarks import recovery_inputs


def test_explained_takes_off_the_noise_of_both_means():
    rng = np.random.default_rng(0)
    rate = np.exp(rng.normal(0, 0.5, (6, 1, 60, 40)))
    one, other = (rng.poisson(rate * np.ones((1, 40, 1, 1))) for _ in range(2))
    assert recovery_inputs.explained(one, other) == pytest.approx(1, abs=0.01)
    flat = rng.poisson(rate.mean() * np.ones((6, 40, 60, 40)))
    assert recovery_inputs.explained(one, flat) == pytest.approx(0, abs=0.03)


@pytest.mark.slow
def test_a_student_recovers_the_closed_loop_under_inputs():
    """As well as states are recovered without inputs (docs/recovery.md: R² .97 to .99); without them nothing is."""
    found = recovery_inputs.recover("rate")
    assert found.r2 > 0.95 and found.blind < 0.3 and found.spread > 0.2
