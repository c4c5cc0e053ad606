"""Learning a long lag: the task, its chance level, one short lag, and the figure's table."""

import numpy as np
import pytest

from cortseq import checks, recording
from cortseq.networks import untrained
from cortseq.textbook.figures import learning_lags as figure
from cortseq.textbook.phenomena import learning_lags

SMALL = dict(lags=(3, 6), members=1, hidden=8, epochs=8, trials=128, batch=32, learning_rate=2e-2, gain=0.8)


@pytest.fixture(scope="module")
def found():
    return learning_lags.measure(1, say=lambda *_: None, **SMALL)


def test_short_lags_are_learned(found):
    """At these lags every horizon is long enough; the checks about long lags are for longer ones."""
    assert float(found["error"].isel(network=0, lag=0).mean()) < 0.1
    assert {"C14", "C16"} <= set(checks.table(found)["row"])


def test_sequences():
    rows = np.array(learning_lags.recall(7, 500, np.random.default_rng(0)))
    assert rows.shape == (500, 8) and (rows[:, 0] == rows[:, -1]).all() and (rows[:, -2] == 4).all()
    assert set(rows[:, 0]) == {0, 1} and set(rows[:, 1:-2].ravel()) == {2, 3}
    assert abs(np.corrcoef(rows[:, 0], rows[:, 3])[0, 1]) < 0.15


def test_untrained_networks_are_at_chance():
    model = next(iter(learning_lags._networks(0.9, 4.0, {"hidden": 8})[0].values()))
    made = recording.from_symbols(learning_lags.recall(20, 400, np.random.default_rng(0)), n_symbols=5)
    assert learning_lags.wrong(untrained.untrained(model, made), made)[0] == pytest.approx(0.5, abs=0.1)


def test_seeds_reproduce():
    few = {**SMALL, "lags": (3,), "epochs": 2, "trials": 32}
    one, again, other = (learning_lags.measure(seed, say=lambda *_: None, **few) for seed in (1, 1, 2))
    assert one.identical(again) and not one["norm_after"].equals(other["norm_after"])


def test_figure_draws_its_table(found):
    fig, table = figure.draw(found)
    assert len(fig.axes) == 3
    drawn = table[(table["panel"] == "learning") & table["series"].isin(found["network"].values)]
    np.testing.assert_allclose(drawn["y"], found["error"].mean("member").values.ravel())
