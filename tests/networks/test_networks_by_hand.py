"""What networks read, and how they run freely."""

import numpy as np
import pytest
import torch
from untrained import every_recurrent, untrained

from cortseq import models
from cortseq import recording as rec


@pytest.mark.parametrize("model", every_recurrent(), ids=lambda model: model.family)
def test_what_missing_bins_hold_is_never_read(model):
    rng = np.random.default_rng(0)
    y, valid = rng.poisson(1.0, (6, 12, 3)), rng.random((6, 12)) > 0.3
    clean, dirty = (
        rec.from_counts(np.where(valid[..., None], y, hidden), bin_width=0.02, valid=valid)
        for hidden in (0, 9)
    )
    fit = untrained(model, clean)
    assert np.array_equal(fit.log_prob(clean).values, fit.log_prob(dirty).values, equal_nan=True)


def test_a_reservoir_scales_its_input_by_valid_training_bins(counts):
    """Bins that are missing read as 0, and would make the input look smaller than it is."""
    masked = counts.copy(deep=True)
    masked["valid"].values[:, 8:] = False
    fits = [
        models.Esn(hidden=20).fit(r, range(20), range(20, 26)) for r in (masked, masked.isel(time=slice(8)))
    ]
    assert torch.allclose(fits[0].params["input_weight"], fits[1].params["input_weight"])


def test_a_discretised_network_smooths_as_its_chain_does():
    """look: e_t = d e_{t-1} + (1 - d) y_t, from the first bin on."""
    model = models.Rate(hidden=4, discretise=2)
    p = {"decay": torch.tensor([0.9]), "centroids": torch.tensor([[0.0], [3.0]])}
    from families import readout

    from cortseq.networks.network import Network

    network = Network(model, readout("poisson", 1), discretise=2)
    smooth = torch.full((1, 1), torch.nan)
    seen = []
    for y in (4.0, 0.0, 0.0):
        _, smooth = network.look(p, torch.tensor([[y]]), smooth)
        seen.append(float(smooth))
    assert seen == pytest.approx([4.0, 3.6, 3.24])


def test_a_free_run_draws(counts):
    """Counts of a network without recurrence vary as Poisson counts do, not less."""
    fit = untrained(
        models.Rate(hidden=4), counts, readout_weight=np.zeros((3, 4)), readout_bias=np.log([2.0, 0.4, 1.0])
    )
    drawn = fit.simulate(400, 10)["counts"].values
    assert np.allclose(drawn.mean((0, 1)), [2.0, 0.4, 1.0], rtol=0.1)
    assert np.allclose(drawn.var((0, 1)), [2.0, 0.4, 1.0], rtol=0.15)


@pytest.fixture
def plastic(counts):
    """One member of a plastic network away from its start, and what is derived from it."""
    model = models.Stp(hidden=4)
    fit = untrained(model, counts)
    p = {name: value[0].double() for name, value in fit.params.items()}
    return model, model.derive(p)


def test_plastic_synapses_start_at_their_steady_state(plastic):
    """du/dt = (U - u)/tau_fac + U (1 - u) r = 0 and dx/dt = (1 - x)/tau_rec - u x r = 0 at the rate of the start."""
    model, q = plastic
    h, u, x = model.start(q)
    use, fac, rec = (q[name].squeeze(-2) for name in ("use", "fac_rate", "rec_rate"))
    r = model.rate_scale * h
    assert (r > 0).all()
    assert torch.allclose(
        (use - u) * fac + use * (1 - u) * r, torch.zeros(4, dtype=torch.float64), atol=1e-12
    )
    assert torch.allclose((1 - x) * rec - u * x * r, torch.zeros(4, dtype=torch.float64), atol=1e-12)


def test_plastic_synapses_relax_with_time_in_seconds(plastic):
    """A bin of 20 ms from u = U, x = 1: u against its differential equation, then x with u as it has become."""
    from scipy.integrate import solve_ivp

    model, q = plastic
    h = torch.full((4,), 0.3, dtype=torch.float64)
    use, fac, rec = (q[name].squeeze(-2).numpy() for name in ("use", "fac_rate", "rec_rate"))
    r = model.rate_scale * 0.3
    start = h, torch.from_numpy(use), torch.ones(4, dtype=torch.float64)
    _, u, x = model.step(q, start, torch.zeros(4, dtype=torch.float64))
    exact = {"rtol": 1e-10, "atol": 1e-12}
    expected = solve_ivp(lambda _, v: (use - v) * fac + use * (1 - v) * r, (0, 0.02), use, **exact).y[:, -1]
    assert np.allclose(u, expected, atol=1e-8)
    expected = solve_ivp(lambda _, v: (1 - v) * rec - u.numpy() * v * r, (0, 0.02), np.ones(4), **exact).y[
        :, -1
    ]
    assert np.allclose(x, expected, atol=1e-8)
