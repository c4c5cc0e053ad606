"""Stacks of diagonal recurrences: all bins at once and bin by bin, what a block computes, what it can learn."""

import numpy as np
import pytest
import torch
from families import recurrent, small
from untrained import untrained

from cortseq import models
from cortseq import recording as rec
from cortseq.networks.network import repeated
from cortseq.networks.stack import Stack

STACKS = [name for name in recurrent() if issubclass(models.registry()[name], Stack)]


def moved(fit, seed=0, spread=0.3):
    """The fit with all its parameters away from their start values."""
    rng = np.random.default_rng(seed)
    for name, value in fit.params.items():
        if name not in fit.model.fixed:
            fit.params[name] = value + torch.from_numpy(rng.normal(0, spread, value.shape))
    return fit


def begun(fit, members, n_time=9, seed=1):
    """The cell, what it derives, a start state repeated over trials, and drives: of one member or of all."""
    cell = fit.model
    p = {name: value if members else value[0] for name, value in fit.params.items()}
    q = cell.derive(p)
    outer = (len(fit.params["bias"]),) if members else ()
    random = torch.Generator().manual_seed(seed)
    drives = torch.randn((*outer, 4, n_time, cell.hidden), dtype=torch.float64, generator=random)
    return cell, q, repeated(cell.start(q), (*outer, 4)), drives


@pytest.mark.parametrize("dropped", [False, True])
@pytest.mark.parametrize("members", [False, True])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("family", STACKS)
def test_all_bins_at_once_are_the_bins_one_by_one(family, layers, members, dropped, counts):
    cell, q, state, drives = begun(moved(untrained(small(family, layers=layers), counts, members=2)), members)
    random = torch.Generator().manual_seed(2)
    kept = [
        torch.randint(0, 3, (*drives.shape[:-1], size), generator=random).double() * dropped
        for size in cell.places
    ]
    kept = kept if dropped else []
    expected = [state]
    for t in range(drives.shape[-2]):
        now = [factor[..., t, :] for factor in kept]
        expected.append(cell.dropped_step(q, expected[-1], drives[..., t, :], now))
    found = cell.through_time(q, state, drives, kept)
    for part, each in zip(found, zip(*expected, strict=True), strict=True):
        assert torch.allclose(part, torch.stack(each, -2), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("family", STACKS)
def test_members_together_are_members_alone(family, counts):
    fit = moved(untrained(small(family), counts, members=2))
    cell, q, state, drives = begun(fit, members=True)
    together = cell.through_time(q, state, drives)
    for m in range(2):
        alone = cell.derive({name: value[m] for name, value in fit.params.items()})
        found = cell.through_time(alone, repeated(cell.start(alone), (4,)), drives[m])
        for part, expected in zip(together, found, strict=True):
            assert torch.allclose(part[m], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("family", STACKS)
def test_no_bin_sees_what_comes_after(family, counts):
    """Drives from bin 5 on are others: the states before them stay, bit for bit, and the next one moves."""
    cell, q, state, drives = begun(moved(untrained(small(family), counts)), members=False)
    before = cell.through_time(q, state, drives)
    changed = drives.clone()
    changed[..., 5:, :] = drives[..., :-5, :]
    for part, other in zip(before, cell.through_time(q, state, changed), strict=True):
        assert torch.equal(part[..., :6, :], other[..., :6, :])
        assert not torch.allclose(part[..., 6, :], other[..., 6, :])


@pytest.mark.parametrize("spread", [1.0, 30.0])
@pytest.mark.parametrize("family", STACKS)
def test_every_number_of_the_state_decays_whatever_was_learned(family, spread, counts):
    """Without input into the recurrences no state grows, for parameters as large as one likes, in float32."""
    fit = moved(untrained(small(family), counts), spread=spread)
    cell = fit.model
    q = cell.derive({name: value[0].float() for name, value in fit.params.items()})
    rng = torch.Generator().manual_seed(0)
    for number in range(1, cell.layers + 1):
        factors = []
        seen = 10 * torch.randn(50, cell.hidden, generator=rng)
        cell.block(cell._block(q, number), seen, lambda a, w: (factors.append(a), torch.zeros_like(w))[1])
        assert (factors[0].abs() < 1).all()
