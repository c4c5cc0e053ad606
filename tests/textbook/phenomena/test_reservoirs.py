"""Echo states and memory of reservoirs: known answers, and every check of the phenomenon."""

import numpy as np
import pytest

from cortseq import checks
from cortseq.errors import CortseqError
from cortseq.textbook import series
from cortseq.textbook.figures import reservoirs as figure
from cortseq.textbook.phenomena import reservoirs
from cortseq.theory import reservoirs as theory

SMALL = dict(
    units=150, steps=200, noises=(0.0, 0.5, 2.0), sizes=(10, 20), radii=(0.8, 0.9), size=20, lengths=3000,
    task_units=150, task_steps=2500,
)  # fmt: skip


@pytest.fixture(scope="module")
def found():
    return reservoirs.measure(0, lambda *_: None, **SMALL)


def test_every_check_holds(found):
    table = checks.table(found)
    assert table["holds"].all(), table[~table["holds"]].to_string()
    assert {"C26", "C27", "C28", "C28b", "C30", "C53"} <= set(table["row"])


def test_draws_what_it_found(found):
    _, table = figure.draw(found)
    rows = table[(table.panel == "memory and size") & (table.kind == "measured")]
    assert np.array_equal(rows.y, found["memory_by_size"].T.values.ravel())
    assert table.panel.nunique() == 8


def test_seeds_reproduce():
    u, y = reservoirs.narma(300, np.random.default_rng(3))
    again = reservoirs.narma(300, np.random.default_rng(3))
    assert np.array_equal(u, again[0]) and np.array_equal(y, again[1])
    first, second, other = (reservoirs._trap(s).variables["trap"][1] for s in (0, 0, 1))
    assert np.array_equal(first, second) and not np.array_equal(first, other)


@pytest.mark.parametrize(("n", "radius"), [(5, 0.9), (12, 0.99), (30, 0.5)])
def test_cyclic_memory_lag_by_lag(n, radius):
    lags = np.arange(40 * n)
    exact = (1 - radius ** (2 * n)) * radius ** (2 * n * (lags // n))
    found = theory.linear_memory(*reservoirs.cyclic(n, radius), len(lags) - 1)
    assert np.allclose(found, exact, atol=1e-12)
    assert found[1:].sum() == pytest.approx(theory.cyclic_memory(n, radius), abs=1e-3)


def test_linear_memory_is_that_of_the_covariance():
    """MC_k = v_k' C^-1 v_k with C from the Lyapunov equation, in a small well-conditioned reservoir."""
    from scipy.linalg import solve_discrete_lyapunov

    rng = np.random.default_rng(0)
    w = 0.3 * rng.normal(size=(3, 3))
    into = rng.normal(size=3)
    inverse = np.linalg.inv(solve_discrete_lyapunov(w, np.outer(into, into)))
    v = [np.linalg.matrix_power(w, k) @ into for k in range(6)]
    assert np.allclose(theory.linear_memory(w, into, 5), [x @ inverse @ x for x in v], atol=1e-8)
    assert theory.linear_memory(w, into, 400).sum() == pytest.approx(3, abs=1e-9)
    with pytest.raises(CortseqError, match="radius"):
        theory.linear_memory(np.eye(3), into, 5)


def test_driven_exponent_has_the_undriven_limit():
    from cortseq.theory import mean_field_map

    def driven(gain, noise):
        return mean_field_map(gain, noise).lyapunov

    assert driven(1.5, 1e-4) == pytest.approx(driven(1.5, 0.0), abs=1e-3)
    assert driven(0.5, 1e-4) == pytest.approx(np.log(0.5), abs=1e-6)
    assert driven(1.3, 2.0) < driven(1.3, 0.1)
    with pytest.raises(CortseqError):
        driven(1.3, -1.0)


def test_held_up():
    h = theory.held_up(1.8)
    assert h == pytest.approx(np.tanh(1.8 * h), abs=1e-12) and 0.93 < h < 0.94
    assert theory.held_up(1.0) == 0 and 0 < theory.held_up(1.001) < 0.1


def test_chain_memory():
    """R^2 of x_{t-2} from X_t by summing over the joint law."""
    p = np.array([[0.9, 0.1], [0.3, 0.7]])
    pi = np.array([0.75, 0.25])
    joint = pi[:, None] * (p @ p)
    covariance = joint[1, 1] - pi[1] ** 2
    assert theory.chain_memory(p, 2) == pytest.approx((covariance / (pi[1] * (1 - pi[1]))) ** 2)


def test_the_mackey_glass_integrator_is_of_order_four():
    """Halving the step divides the error by 16, past the first delay too: the delayed value is cubic."""
    ends = [series.continued([1.2] * (round(17 / dt) + 1), round(60 / dt), dt)[-1] for dt in (0.2, 0.1, 0.05)]
    assert np.log2(abs(ends[1] - ends[0]) / abs(ends[2] - ends[1])) == pytest.approx(4, abs=0.1)
