"""Gradients against lag: small networks, closed forms, and the figure's table."""

import numpy as np
import pytest

from cortseq import checks, dynamics, theory
from cortseq.errors import CortseqError
from cortseq.networks import untrained
from cortseq.textbook.figures import gradients as figure
from cortseq.textbook.phenomena import gradients
from cortseq.theory import networks

SMALL = dict(
    gains=(0.6, 2.5),
    units=80,
    n_networks=2,
    longest=6,
    noises=(0.7, 2.5),
    noise_gain=1.8,
    orbit=160,
    orbit_units=40,
    biases=(0.5, 2.5),
    hidden=6,
    lstm_lags=60,
)


@pytest.fixture(scope="module")
def found():
    return gradients.measure(1, say=lambda *_: None, **SMALL)


def test_every_check_holds(found):
    table = checks.table(found)
    assert {"C13", "C14", "C16"} <= set(table["row"])
    assert table["holds"].all(), table.loc[~table["holds"]].to_string()


def test_seeds_reproduce():
    few = {**SMALL, "gains": (1.5,), "units": 20, "orbit": 40, "noises": (0.7,), "biases": (0.5,)}
    one, again, other = (gradients.measure(seed, say=lambda *_: None, **few) for seed in (1, 1, 2))
    assert one.identical(again) and not one["norm"].equals(other["norm"])


def test_figure_draws_its_table(found):
    fig, table = figure.draw(found)
    assert len(fig.axes) == 4
    drawn = table[(table["panel"] == "driven, radius 1.8") & (table["kind"] == "measured")]
    np.testing.assert_allclose(drawn["y"], found["driven"].mean("network"))
    assert set(table.loc[table["panel"] == "LSTM", "series"]) >= set(gradients.PATHS)


def test_products_of_a_silent_network_are_powers():
    """At rest tanh' = 1: dh_t/dh_{t-k} = J^k."""
    fit, made = untrained.driven_map_fit(8, 0.5, 0.0, (1, 80), 1, 0)
    found = dynamics.gradient_norms(fit, made, [1, 2, 5], norm="frobenius")[0, 0]
    coupling = fit.params["recurrent"][0].numpy()
    expected = [np.linalg.norm(np.linalg.matrix_power(coupling, k)) for k in (1, 2, 5)]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_driven_map_of_mean_field_theory():
    """Fixed point of its equations by another quadrature; no coupling; a network of 800 units."""
    found = theory.mean_field_map(1.8, 0.7)
    z, w = np.polynomial.hermite_e.hermegauss(200)
    x, w = np.sqrt(found.variance) * z, w / w.sum()
    assert found.variance == pytest.approx(1.8**2 * found.q + 0.49, abs=1e-12)
    assert found.q == pytest.approx(w @ np.tanh(x) ** 2, abs=1e-9)
    assert found.chi == pytest.approx(1.8**2 * (w @ np.cosh(x) ** -4.0), abs=1e-7)
    assert theory.mean_field_map(0.0, 0.7).variance == pytest.approx(0.49)
    assert theory.mean_field_map(1.8, 1e-4).chi == pytest.approx(theory.mean_field_map(1.8).chi, abs=1e-6)
    with pytest.raises(CortseqError, match="noise"):
        theory.mean_field_map(1.0, -1.0)
    rng = np.random.default_rng(0)
    weights, h, q = networks.random_coupling(800, 1.8, 0), rng.normal(size=800), []
    for _ in range(120):
        h = np.tanh(weights @ h + 0.7 * rng.normal(size=800))
        q.append((h**2).mean())
    assert np.mean(q[20:]) == pytest.approx(found.q, rel=0.02)
