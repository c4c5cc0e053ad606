"""Euler's step: closed forms of the reference and of the error, and the figure's table."""

import numpy as np
import pytest
from scipy.linalg import expm

from cortseq import checks, theory
from cortseq.textbook.figures import euler as figure
from cortseq.textbook.phenomena import euler

SMALL = dict(
    units=8,
    gain=1.2,
    duration=2.0,
    steps=(0.1, 0.05, 0.025),
    tau=0.05,
    filter_step=0.2,
    frequencies=(0.5, 3.0, 8.0),
    mode=(-0.2, 1.5),
    mode_steps=(0.05, 0.3),
)


@pytest.fixture(scope="module")
def found():
    return euler.measure(2, say=lambda *_: None, **SMALL)


def test_every_check_holds(found):
    table = checks.table(found)
    assert {"C10", "C11", "C22"} <= set(table["row"])
    assert table["holds"].all(), table.loc[~table["holds"]].to_string()


def test_threshold_by_hand(found):
    assert float(found["threshold_predicted"]) == pytest.approx(0.4 / (0.04 + 2.25))


def test_seeds_reproduce(found):
    again, other = (euler.measure(seed, say=lambda *_: None, **SMALL) for seed in (2, 3))
    assert found.identical(again) and not found["error"].equals(other["error"])


def test_figure_draws_its_table(found):
    fig, table = figure.draw(found)
    assert len(fig.axes) == 5
    drawn = table[(table["panel"] == "error at a fixed time") & (table["kind"] == "measured")]
    np.testing.assert_allclose(drawn["y"], found["error"].values.ravel())


def test_linear_equation_is_an_exponential():
    """tau dh/dt = (W - 1) h + d has the solution h* + exp((W - 1) t/tau) (h0 - h*)."""
    rng = np.random.default_rng(0)
    w, drive, start = rng.normal(size=(4, 4)) / 3, rng.normal(size=4), rng.normal(size=4)
    rest = np.linalg.solve(np.eye(4) - w, drive)
    for t in (0.3, 1.0):
        exact = rest + expm((w - np.eye(4)) * t / 0.5) @ (start - rest)
        np.testing.assert_allclose(
            theory.rate_equation(w, drive, start, [0, t], 0.5, True)[-1], exact, atol=1e-10
        )


def test_leading_error_of_a_leak():
    """W = 0, drive 0: (1 - dt)^(t/dt) - exp(-t) = -dt t exp(-t) / 2; the exponential step is exact."""
    zero = np.zeros((1, 1))
    lead = theory.euler_error(zero, [0.0], [1.0], [0, 0.7, 1.4])[:, 0]
    t = np.array([0, 0.7, 1.4])
    np.testing.assert_allclose(lead, -t * np.exp(-t) / 2, atol=1e-9)
    np.testing.assert_allclose(
        theory.euler_error(zero, [0.3], [1.0], [0, 1.0], exponential=True), 0, atol=1e-12
    )


def test_leading_error_scales_with_tau():
    rng = np.random.default_rng(1)
    w, drive, start = rng.normal(size=(3, 3)), rng.normal(size=3), rng.normal(size=3)
    one = theory.euler_error(w, drive, start, [0, 2.0])[-1]
    np.testing.assert_allclose(theory.euler_error(w, drive, start, [0, 1.0], tau=0.5)[-1], 2 * one, rtol=1e-6)
