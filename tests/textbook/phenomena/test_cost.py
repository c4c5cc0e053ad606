"""What BPTT costs: counted activations, closed forms of the bias, and the figure's table."""

import numpy as np
import pytest

from cortseq import checks, theory, timing
from cortseq.errors import CortseqError
from cortseq.textbook.figures import cost as figure
from cortseq.textbook.phenomena import cost

SMALL = dict(
    bins=(64, 128),
    hidden=(32, 64, 128),
    memory_bins=(64, 144, 256),
    trials=8,
    depths=(1, 2, 3, 5, 9),
    gains=(0.8,),
    noise=0.6,
    biased_units=64,
    biased_bins=50,
    biased_trials=8,
)


@pytest.fixture(scope="module")
def found():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timing, "ROUNDS", (1, 1))
        return cost.measure(1, say=lambda *_: None, **SMALL)


def test_every_reproducible_check_holds(found):
    """Times of a busy machine are no test."""
    table = checks.table(found)
    assert {"C17", "C18"} <= set(table["row"])
    counted = table[table["note"] != cost.TIMED]
    assert len(counted) < len(table) and counted["holds"].all(), counted.loc[~counted["holds"]].to_string()


def test_counts_reproduce(found):
    assert cost.kept_bytes({}, 64, 8) == cost.kept_bytes({}, 64, 8) == int(found["kept"][0, 0])


def test_meter_counts_a_storage_once():
    import torch

    meter = cost._Meter()
    x = torch.zeros(10)
    one, view = meter.hold(x), meter.hold(x[:5])
    assert meter.now == meter.most == 40
    del one
    assert meter.now == 40
    del view
    assert meter.now == 0 and meter.most == 40


def test_truncation_error_by_summation():
    chi = 0.7
    kept = [chi ** max(0, 6 - 1), *[chi**j for j in range(6)]]
    assert theory.truncation_error(chi, 6, 1) == pytest.approx(np.sqrt(kept[0]))
    assert theory.truncation_error(chi, 6) == pytest.approx(np.sqrt(np.mean(kept[1:])))
    assert theory.truncation_error(chi, 1) == theory.truncation_error(chi, 1, 1) == 1
    assert theory.bptt_multiplications(10, 3, 2, 7) == 3 * 7 * (100 + 50)
    with pytest.raises(CortseqError, match="windows"):
        theory.truncation_error(chi, 6, 3)


def test_figure_draws_its_table(found):
    fig, table = figure.draw(found)
    assert len(fig.axes) == 6
    drawn = table[(table["panel"] == "memory against T") & (table["kind"] == "measured")]
    np.testing.assert_allclose(drawn["y"] * 2**20, found["kept"].values.ravel())
