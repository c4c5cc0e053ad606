"""The state as a summary of the past: small sources, closed forms, and the figure's table."""

import numpy as np
import pytest

from cortseq import checks, models, processes, recording
from cortseq.errors import CortseqError
from cortseq.textbook.figures import memory as figure
from cortseq.textbook.phenomena import memory

SMALL = dict(
    orders=(0, 1, 2, 3, 4, 5, 6),
    trials=60,
    length=150,
    hidden=8,
    epochs=60,
    symbols=3,
    lag=2,
    few=(100, 3000),
    clusters=(3, 12),
    signal_trials=20,
    signal_length=200,
)


@pytest.fixture(scope="module")
def song():
    """Cycles of three labels, of any length."""
    rng = np.random.default_rng(0)
    rows = [(rng.integers(3) + np.arange(rng.integers(8, 20))) % 3 for _ in range(24)]
    return recording.from_symbols(rows, n_symbols=3)


@pytest.fixture(scope="module")
def found(song):
    return memory.measure(1, say=lambda *_: None, recording=song, **SMALL)


def test_every_check_holds(found):
    table = checks.table(found)
    assert {"C05", "C06", "C07", "C08"} <= set(table["row"])
    assert table["holds"].all(), table.loc[~table["holds"]].to_string()


def test_predictions_are_exact(found):
    np.testing.assert_array_equal(found["even_exact"], processes.order_entropies(processes.even(), 6))
    assert float(found["even_rate"]) == pytest.approx(2 / 3)
    assert found["copy_parameters"].values.tolist() == [2, 6, 18, 54, 162, 486]


def test_recording_is_scored_on_trials_held_out(found):
    """A cycle is certain from order 1 on, but for the first symbol of a trial."""
    first = np.log2(3) / 13
    assert float(found["recorded_markov"][1]) == pytest.approx(first, abs=0.12)
    assert float(found["recorded_markov"][0]) == pytest.approx(np.log2(3), abs=0.1)
    with pytest.raises(CortseqError, match="symbols"):
        memory._of_recording(lambda *_: None, recording.from_signal(np.zeros((4, 5, 1)), bin_width=1.0), [0])


def test_held_out_bits_cancel_the_draw():
    """Order 0 scores H(x) = H(1/3) whatever the symbols that were drawn."""
    made = memory._drawn("even", 7, 60, 200)
    fit = models.Markov(order=0).fit(made, range(40), [40])
    bits = memory.held_out_bits(fit, made, 2 / 3, range(41, 60))
    assert bits == pytest.approx(processes.order_entropies(processes.even(), 0)[0], abs=0.02)


def test_signal_has_unit_variance():
    x = memory.smooth_signal(300, 100, np.random.default_rng(0))
    assert x.var((0, 1)).sum() == pytest.approx(1, rel=0.1)


def test_seeds_reproduce():
    few = {
        **SMALL,
        "trials": 16,
        "length": 40,
        "epochs": 2,
        "clusters": (3,),
        "signal_trials": 6,
        "signal_length": 30,
    }
    one, again, other = (memory.measure(seed, say=lambda *_: None, **few) for seed in (1, 1, 2))
    assert one.identical(again) and not one["even_markov"].equals(other["even_markov"])


def test_figure_draws_its_table(found):
    fig, table = figure.draw(found)
    assert len(fig.axes) == 6
    drawn = table[(table["panel"] == "even process") & (table["series"] == "Markov")]
    np.testing.assert_allclose(drawn["y"], found["even_markov"])
    without = found.drop_vars([name for name in found if str(name).startswith("recorded")])
    fig, table = figure.draw(without)
    assert len(fig.axes) == 5 and "recording" not in set(table["panel"])
