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
    assert np.array_equal(fit.log_prob(clean), fit.log_prob(dirty), equal_nan=True)


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
    from cortseq.observations import OBSERVATIONS

    observation, smooth = OBSERVATIONS["poisson"](1), torch.full((1, 1), torch.nan)
    seen = []
    for y in (4.0, 0.0, 0.0):
        _, smooth = model.look(p, observation, torch.tensor([[y]]), smooth)
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
