"""Order to chaos: small networks, closed forms, and the figure's table."""

import numpy as np
import pytest

from cortseq import checks, dynamics, theory
from cortseq.textbook.figures import chaos as figure
from cortseq.textbook.phenomena import chaos
from cortseq.theory import networks

SMALL = dict(
    gains=(0.6, 2.5),
    units=200,
    n_networks=2,
    starts=1,
    sizes=(60, 120, 200),
    of_size=(2, 2, 6),
    size_gain=2.5,
    warm_up=60.0,
    duration=80.0,
    map_gains=(0.5, 2.5),
    spectrum_units=300,
)


@pytest.fixture(scope="module")
def found():
    return chaos.measure(3, say=lambda *_: None, **SMALL)


def test_every_check_holds(found):
    table = checks.table(found)
    assert {"C20", "C21", "C22", "C23", "C24", "C25"} <= set(table["row"])
    assert table["holds"].all(), table.loc[~table["holds"]].to_string()


def test_predictions_are_those_of_the_theory(found):
    top = found["line"].values[-1]
    assert float(found["lyapunov_predicted"][-1]) == theory.mean_field(top).lyapunov
    assert float(found["map_lyapunov_predicted"][0]) == pytest.approx(np.log(0.5))
    assert float(found["autocorrelation_predicted"][0]) == pytest.approx(theory.mean_field(2.5).variance)


def test_seeds_reproduce(found):
    assert found.identical(chaos.measure(3, say=lambda *_: None, **SMALL))
    how = dict(starts=1, warm_up=5.0, duration=10.0, step=0.5, lags=np.arange(3) * 0.5)
    assert chaos._run(30, 2.0, (3, 0), **how).variance != chaos._run(30, 2.0, (4, 0), **how).variance


def test_figure_draws_its_table(found):
    fig, table = figure.draw(found)
    assert len(fig.axes) == 8
    drawn = table[(table["panel"] == "chaos") & (table["kind"] == "measured")]
    np.testing.assert_allclose(drawn["x"], found["gain"])
    np.testing.assert_allclose(drawn["y"], found["lyapunov"].mean("network"))


def test_half_width_of_a_sech():
    """sech is a half at arccosh 2."""
    lags = np.arange(0, 20, 0.5)
    assert chaos.half_width(lags, 1.7 / np.cosh(lags / 3)) == pytest.approx(3 * np.arccosh(2), rel=1e-3)
    assert np.isnan(chaos.half_width(lags, np.ones(40)))


def test_extrapolation_of_an_exact_law():
    sizes = np.array([50, 100, 400])
    exponents = np.column_stack([0.1 - 13 / sizes, 0.1 - 13 / sizes])
    exponents[2, 1] = np.nan
    assert chaos.extrapolated(sizes, exponents) == pytest.approx((0.1, -13))


def test_runge_kutta_step_of_a_linear_decay():
    """No coupling: exp(-step) to fourth order, states and tangent vectors alike."""
    advance = networks.rate_step(np.zeros((2, 2)), 0.1)
    np.testing.assert_allclose(advance(np.ones((4, 2))), np.exp(-0.1), atol=1e-7)
    coupling = networks.random_coupling(300, 1.5, 0)
    assert coupling.var() * 300 == pytest.approx(1.5**2, rel=0.02)


@pytest.mark.parametrize("kind", ["rate", "map"])
def test_orbits_have_the_exponents_of_dynamics(kind):
    """The same vectors pushed by automatic differentiation."""
    import torch

    coupling, start = networks.random_coupling(20, 2.0, 1), np.random.default_rng(0).normal(size=(3, 20))
    advance = networks.rate_step(coupling, 0.2) if kind == "rate" else networks.map_step(coupling)
    weights = torch.from_numpy(coupling.T.copy())

    def velocity(x):
        return torch.tanh(x) @ weights - x

    def flow(x):
        if kind == "map":
            return torch.tanh(x @ weights)
        a = velocity(x)
        b = velocity(x + 0.1 * a)
        c = velocity(x + 0.1 * b)
        return x + 0.2 / 6 * (a + 2 * b + 2 * c + velocity(x + 0.2 * c))

    states, exponents = networks.orbit(advance, start, 40, 10, seed=4)
    np.testing.assert_allclose(states[1], flow(torch.from_numpy(states[0])).numpy(), atol=1e-12)
    expected = dynamics.leading_exponents(flow, start, 40, 10, seed=4)
    np.testing.assert_allclose(exponents, expected, atol=1e-8)
