"""Short-term plasticity: known answers, and every check of the phenomenon."""

import numpy as np
import pytest

from cortseq import checks
from cortseq.textbook.figures import plasticity as figure
from cortseq.textbook.phenomena import plasticity
from cortseq.theory import plasticity as theory

SMALL = dict(rates=(1.0, 5.0, 20.0, 100.0), spikes=20_000, trials=200, units=24, delay=1.5)


@pytest.fixture(scope="module")
def found():
    return plasticity.measure(0, lambda *_: None, **SMALL)


def test_every_check_holds(found):
    table = checks.table(found)
    assert table["holds"].all(), table[~table["holds"]].to_string()
    assert {"C36", "C38", "C39"} <= set(table["row"])


def test_draws_what_it_found(found):
    _, table = figure.draw(found)
    rows = table[(table.panel == "release per spike") & (table.kind == "measured")]
    assert np.array_equal(rows.y, found["release"].values.ravel())
    assert table.panel.nunique() == 6


def test_seeds_reproduce():
    how = dict(trials=4, units=4, background=2.0, cue_rate=40.0, delay=0.2)
    first, second, other = (plasticity.simulate_cue(**how, rng=np.random.default_rng(s)) for s in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first[2], other[2])


def test_the_equations_settle_where_they_should():
    rates = np.array([0.0, 3.0, 50.0])
    for synapse in plasticity.SYNAPSES.values():
        u, x = plasticity.settle(rates, **synapse)
        assert np.allclose([u, x], theory.stp_steady_state(rates, **synapse), atol=1e-5)
        assert ((u >= synapse["U"] - 1e-12) & (u <= 1) & (x >= 0) & (x <= 1)).all()


def test_poisson_release_of_a_synapse_without_memory():
    """Both time constants next to 0: every spike releases U + U (1 - U) or, without facilitation, U."""
    rng = np.random.default_rng(0)
    mean, error = plasticity.poisson_release(5.0, 2000, rng, U=0.3, tau_fac=None, tau_rec=0.0)
    assert mean == pytest.approx(0.3, abs=1e-12) and error < 1e-12


def test_the_trace_decays_as_predicted_in_the_mean():
    """Cued units alone: the mean of u obeys a linear equation exactly, up to the size of the time step."""
    labels, times, _, u, x = plasticity.simulate_cue(400, 20, 3.0, 40.0, 1.0, np.random.default_rng(1))
    cued = (np.arange(20) >= 10)[None] == (labels[:, None] == 1)
    trace = np.where(cued[:, None], u, np.nan)
    trace = np.nanmean(trace, (0, 2)) - float(
        theory.stp_steady_state(3.0, **plasticity.SYNAPSES["facilitating"]).u
    )
    speed = float(theory.stp_memory_rate(3.0, 0.2, 1.5))
    late = times > -1e-9
    assert trace[late] == pytest.approx(trace[late][0] * np.exp(-speed * times[late]), rel=0.08)
    assert ((u >= 0.2 - 1e-12) & (u <= 1) & (x >= 0) & (x <= 1)).all()


def test_a_network_with_frozen_synapses_is_a_rate_network():
    """Synapses that rest at once and are not used: u x / U = 1."""
    import torch

    from cortseq import models, recording
    from cortseq.data import Data

    rng = np.random.default_rng(3)
    data = Data.of(recording.from_counts(rng.poisson(1.0, (3, 12, 4)), bin_width=0.02))
    plastic, static = models.Stp(hidden=8, leak=0.5), models.Rate(hidden=8, leak=0.5, nonlinearity="relu")
    p = {k: v[0] for k, v in plastic.initial(data, 1, 0, np.float64).items()}
    q = plastic.derive(p)
    # a rate of 2^900: a power of two, so that no rounding is added
    q |= {name: torch.full_like(q[name], 2.0**900) for name in ("fac_rate", "rec_rate")}
    still = {"recurrent": p["recurrent"], "leak": torch.full((1,), 0.5, dtype=torch.float64)}
    h = frozen = torch.from_numpy(rng.random(8))
    rest = q["use"].squeeze(-2), torch.ones(8, dtype=torch.float64)
    for _ in range(20):
        drive = torch.from_numpy(rng.normal(size=8))
        frozen = plastic.step(q, (frozen, *rest), drive)[0]
        h = static.step(still, (h,), drive)[0]
        assert (h - frozen).abs().max() < 1e-14
