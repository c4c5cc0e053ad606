"""The statistics keep their promises on a small scale; `python -m benchmarks.calibration` measures more."""

import numpy as np
import pytest
from benchmarks import calibration

from cortseq import models, store
from cortseq.scoring import products


@pytest.fixture(scope="module")
def pair():
    """Skewed differences that grow with a trial's spikes."""
    rng = np.random.default_rng(0)
    events = rng.poisson(60, 500) + 1.0
    base = -2.0 * events
    return calibration.Pair(base + 0.02 * events + rng.gamma(2.0, 1.0, 500) - 2, base, events)


def test_coverage_and_level_of_a_given_pair(pair):
    """300 repetitions: inside the wanted ranges but for Monte Carlo error."""
    found = calibration.coverage(pair, 100, 300, 300)
    assert found.low <= 0.97 and found.high >= 0.93
    for exchangeable in (True, False):
        found = calibration.level(pair, 100, 300, 300, exchangeable=exchangeable)
        assert found.low <= 0.05 <= found.high + 0.02


def test_power_grows_with_gain_and_trials(pair):
    share = {
        (gain, n): calibration.power(pair, gain, n, 60, 300).share
        for gain in (0.0, 0.005, 0.02)
        for n in (50, 200)
    }
    assert share[0.0, 200] < 0.15 and share[0.02, 200] > 0.9
    assert share[0.005, 200] > share[0.005, 50] > share[0.0, 50] - 0.1


def test_a_shifted_pair_has_the_asked_gain(pair):
    assert pair.shifted(0.01).gain == pytest.approx(0.01)


def test_contests_on_data_of_a_chain_and_of_a_network():
    """Small: a hasty network does not beat the right chain; with memory in the data it does."""
    network = models.Rate(hidden=6, epochs=15)
    on_chain = [
        calibration.contest(calibration.chain_data, network, models.Markov(), seed, 60, 200)
        for seed in range(2)
    ]
    assert sum(map(calibration.better, on_chain)) <= 1
    on_memory = calibration.contest(calibration.network_data, network, models.Markov(order=1), 0, 150, 200)
    assert calibration.better(on_memory)


def test_hmm_data_stay_in_their_states():
    y = calibration.hmm_data(0, 400)["counts"].values
    centred = y - y.mean((0, 1))
    near, far = ((centred[:, k:] * centred[:, : 30 - k]).mean() for k in (1, 12))
    assert near > 2 * abs(far)


def test_the_table_of_a_study(counts, tmp_path):
    roles = {"train": [*range(20)], "valid": [*range(20, 26)], "test": [*range(26, 40)]}
    for name, model in (("psth", models.Psth()), ("null", models.Null())):
        score = products.scores(model.fit(counts, roles["train"], roles["valid"]), counts, roles)
        store.write(score, tmp_path / f"scores/d/{name}/fold0.zarr.zip")
    output = tmp_path / "calibration"
    arguments = [
        "--study",
        str(tmp_path),
        "--pair",
        "d",
        "psth",
        "null",
        "--repetitions",
        "10",
        "--resamples",
        "50",
    ]
    assert calibration.main([*arguments, "--output", str(output)]) == 0
    content = store.read_json(output.with_suffix(".json"))
    assert content["population"] == 14 and len(content["rows"]) == 6 + 20
    assert output.with_suffix(".md").read_text().count("\n") == 2 + 26


def test_every_contest_is_a_row():
    rows = calibration.contests(2, trials=20, epochs=2, resamples=100)
    assert {r.wanted for r in rows} == {"<= 5 %", ">= 90 %"} and all(r.repetitions == 2 for r in rows)
    assert calibration.markdown(rows).count("declared better") == len(rows)
