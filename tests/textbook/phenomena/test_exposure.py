"""Exposure bias: known answers, and the checks of the phenomenon at small settings."""

import numpy as np
import pytest

from cortseq import checks
from cortseq.textbook.figures import exposure as figure
from cortseq.textbook.phenomena import exposure
from cortseq.theory.exposure import autoregressive_error, moving_average_error

SMALL = dict(
    trials=40, bins=24, hidden=6, epochs=3, horizons=(1, 2, 4, 8), map_epochs=4, map_hidden=8, twins=40,
    probabilities=(1.0, 0.0), chain_epochs=40, units=80,
)  # fmt: skip


@pytest.fixture(scope="module")
def found():
    return exposure.measure(0, lambda *_: None, **SMALL)


def test_every_check_that_needs_no_long_training_holds(found):
    table = checks.table(found)
    late = table["what"].str.contains("free-run") | table["what"].str.contains("fitted network")
    assert table.loc[~late, "holds"].all(), table[~late & ~table["holds"]].to_string()
    assert {f"C{n}" for n in range(41, 46)} <= set(table["row"])


def test_draws_what_it_found(found):
    _, table = figure.draw(found)
    rows = table[(table.panel == "scheduled sampling") & (table.kind == "measured")]
    assert np.array_equal(rows.y, found["bits"].values)
    assert table.panel.nunique() == 6


def test_moving_average_error():
    h = np.arange(1, 9)
    assert moving_average_error(0.9, 2.0, h) == pytest.approx(autoregressive_error(0.9, 2.0, h))
    # y' = y_{t-1}: responses 1, 0, 1, 0, ...
    assert moving_average_error((0.0, 1.0), 1.0, h) == pytest.approx([1, 1, 2, 2, 3, 3, 4, 4])


def test_seeds_reproduce():
    first, second = (exposure.fitted(exposure.henon(20, 15, np.random.default_rng(0)), {"kind": "scheduled"}, 4, 2, 0)
                     for _ in range(2))  # fmt: skip
    assert all((first.params[k] == second.params[k]).all() for k in first.params)


def test_free_run_errors_one_step_ahead_are_those_of_predict():
    from cortseq import recording as rec

    y = exposure.henon(20, 15, np.random.default_rng(0))
    fit = exposure.fitted(y, {"kind": "teacher"}, 4, 2, 0)
    errors = exposure.free_run(fit, y, np.array([1, 3]))
    plain = y - fit.predict(rec.from_signal(y, bin_width=1.0)).values[0]
    assert np.allclose(errors[:, exposure.WARM :, 0], plain[:, exposure.WARM :, 0])
    assert (
        np.isnan(errors[:, : exposure.WARM + 2, 1]).all()
        and np.isfinite(errors[:, exposure.WARM + 2 :, 1]).all()
    )
