"""Free runs and agreement of `benchmarks.dsr` against what is known of them."""

import numpy as np
import pandas as pd
import pytest
from benchmarks import dsr

from cortseq import models
from cortseq import recording as rec
from cortseq.data import Data


@pytest.fixture(scope="module")
def fitted():
    """A small network on 12 trials of a noisy rotation, and the recording."""
    rng = np.random.default_rng(0)
    angle = 0.3 * np.arange(40) + rng.uniform(0, 6.28, 12)[:, None]
    wave = np.stack([np.cos(angle), np.sin(angle)], -1) + 0.05 * rng.normal(size=(12, 40, 2))
    recording = rec.from_signal(wave, bin_width=0.01)
    return models.Rate(hidden=8, epochs=20, batch=4).fit(
        recording, range(8), range(8, 10), members=2
    ), recording


def test_a_free_run_is_the_forecast_of_the_model(fitted):
    """Bin h of a run is as far from the recording as `squared_error` says h + 1 bins ahead."""
    fit, recording = fitted
    at, member = 20, 1
    starts = fit.states(recording).values[member][:, at]
    run = dsr.free_runs(fit, member, starts, 5, before=0)
    data = Data.of(recording)
    away = (run - data.y[:, at : at + 5]) / fit.params["signal_scale"][member].numpy()
    expected = fit.model.squared_error(fit.params, data, [1, 2, 3, 4, 5])[member]
    for h in range(5):
        assert (away[:, h] ** 2).mean(-1) == pytest.approx(expected[:, at + h, h], rel=1e-3)
    assert dsr.free_runs(fit, member, starts, 3, before=2) == pytest.approx(run[:, 2:], rel=1e-12)


def test_distances_of_a_run_from_itself_and_from_rest(fitted):
    recorded = fitted[1]["signal"].values
    same = dsr.distances(recorded, recorded)
    assert same["divergence"] == pytest.approx(0, abs=1e-9) and same["hellinger"] == pytest.approx(
        0, abs=1e-6
    )
    resting = dsr.distances(np.zeros_like(recorded), recorded)
    assert resting["divergence"] > 3 and resting["spread"] == 0 < same["spread"]


def test_agreement_is_one_where_the_likelier_is_the_nearer(fitted):
    rng = np.random.default_rng(1)
    level = np.repeat(np.arange(8.0), 3)
    table = pd.DataFrame({
        "model": np.repeat(list("abcdefgh"), 3),
        "nats": level + 0.01 * rng.normal(size=24),
        "near": -level,
        "far": level,
        "any": rng.normal(size=24),
    })  # fmt: skip
    near, far, chance = (
        dsr.agreement(table, name, np.random.default_rng(0)) for name in ("near", "far", "any")
    )
    assert near["correlation"] == pytest.approx(1) and near["low"] > 0.9
    assert far["correlation"] == pytest.approx(-1) and far["high"] < -0.9
    assert chance["low"] < chance["correlation"] < chance["high"] and chance["high"] - chance["low"] > 0.5
