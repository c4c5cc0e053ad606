"""The Lorenz system and networks fitted to it: the parts that need no long training."""

import json

import numpy as np
import pytest

from cortseq import checks
from cortseq.textbook.figures import chaotic_forcing as figure
from cortseq.textbook.phenomena import chaotic_forcing


@pytest.fixture(scope="module")
def found():
    return chaotic_forcing.measure(
        0, lambda *_: None, epochs=2, hidden=8, trials=12, bins=20, exponent_steps=2000
    )


def test_lorenz_orbits_are_scipys():
    from scipy.integrate import solve_ivp

    start = np.array([1.0, 2.0, 20.0])
    ours = start
    for _ in range(4):
        ours = chaotic_forcing.step(ours, 0.05, lambda v: np.stack(v, -1))
    theirs = solve_ivp(lambda _, s: chaotic_forcing._speed(s), (0, 0.2), start, rtol=1e-11, atol=1e-11).y[
        :, -1
    ]
    assert np.allclose(ours, theirs, atol=5e-3)


def test_exponents_are_reported_for_every_strategy(found):
    table = checks.table(found)
    assert (
        0.6 < table["measured"][0] < 1.2 and np.isfinite(table["measured"]).all()
    )  # few steps: no 3 per cent
    assert len(json.loads(found.attrs["checks"])) == 4 and found.attrs["dt"] == 0.05


def test_draws_what_it_found(found):
    _, table = figure.draw(found)
    rows = table[(table.panel == "exponent") & (table.kind == "measured")]
    assert np.array_equal(rows.y, found["exponent"].values.ravel())
    assert table.panel.nunique() == 5
