"""Interference: known answers, and every check of the phenomenon."""

import numpy as np
import pytest
import torch

from cortseq import checks
from cortseq.errors import CortseqError
from cortseq.textbook.figures import interference as figure
from cortseq.textbook.phenomena import interference
from cortseq.theory.continual import transfer

SMALL = dict(hidden=14, trials=900, bins=8, steps=250, etas=(1e-4, 1e-3, 1e-2))


@pytest.fixture(scope="module")
def found():
    return interference.measure(0, lambda *_: None, **SMALL)


def test_every_check_holds(found):
    table = checks.table(found)
    assert table["holds"].all(), table[~table["holds"]].to_string()
    assert {"C46", "C47", "C48", "C49"} <= set(table["row"])


def test_draws_what_it_found(found):
    _, table = figure.draw(found)
    rows = table[(table.panel == "three cycles: backward transfer") & (table.kind == "measured")]
    assert np.array_equal(rows.y, found["bwt"].values)
    assert table.panel.nunique() == 6


def test_transfer_by_hand():
    found = transfer([[3.0, 0.0, 0.0], [2.0, 4.0, 0.0], [1.0, 5.0, 6.0]])
    assert found.acc == pytest.approx(4.0) and found.bwt == pytest.approx((-2 + 1) / 2)
    assert np.array_equal(found.forgetting[2], [2, 0, 0]) and np.isnan(found.forgetting[0, 1])
    with pytest.raises(CortseqError):
        transfer([[1.0]])


@pytest.fixture(scope="module")
def task():
    return interference.chain_task(0, 2, 5, 9, 6, 0)


def test_curvature_is_gauss_newton(task):
    """d' J' Lambda J d over all bins is twice the Gauss-Newton form of the loss."""
    from cortseq.theory.interference import gauss_newton

    p, one = task
    metric = interference.curvature(one, p, rows=10**6)
    noise = torch.Generator().manual_seed(0)
    d = {k: torch.randn(v.shape, dtype=v.dtype, generator=noise) for k, v in p.items()}
    flat = interference._flat(d)
    assert float(flat @ metric @ flat) / 2 == pytest.approx(
        gauss_newton(one.outputs, one.of_outputs, p, d), rel=1e-9
    )
    assert torch.allclose(metric, metric.T) and torch.linalg.eigvalsh(metric).min() > -1e-10


def test_seeds_reproduce(task):
    p, one = task
    first, second = (interference.descend(one.batches, p, 5) for _ in range(2))
    assert all(torch.equal(first[k], second[k]) for k in p)
    again = interference.chain_task(0, 2, 5, 9, 6, 0)[1]
    assert float(one.test(p)) == float(again.test(p))


def test_null_space_steps_stay_in_it(task):
    p, one = task
    values, vectors = torch.linalg.eigh(interference.curvature(one, p))
    used = vectors[:, values > 1e-4 * values[-1]]
    moved = interference.descend(one.batches, p, 5, lambda d: d - used @ (used.T @ d))
    change = interference._flat(moved) - interference._flat(p)
    assert change.norm() > 1e-3 and (used.T @ change).abs().max() < 1e-12


def test_a_recording_is_two_tasks(counts):
    found = interference.measure(
        0, lambda *_: None, recording=counts, **{**SMALL, "steps": 2, "trials": 60, "hidden": 5}
    )
    assert list(found["recording_task"].values) == ["first half", "second half"]
    assert found["recording_score"].shape == (4, 2, 2)
    _, table = figure.draw(found)
    assert table.panel.nunique() == 9
