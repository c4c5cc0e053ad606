"""What a network is told beside the recording: the input of every bin, bin 0 included, and what is missing."""

import numpy as np
import pytest
import torch
from families import recurrent, small, trained

from cortseq import recording as rec
from cortseq.data import Data
from cortseq.errors import CortseqError
from cortseq.models import registry
from cortseq.networks.families.rate import Rate
from cortseq.networks.training import engines

ALL = recurrent()


@pytest.fixture(scope="module")
def cued():
    """30 trials of 8 bins; a cue in bin 0 says whether two units fire there, and nothing else does."""
    rng = np.random.default_rng(0)
    cue = rng.integers(0, 2, 30)
    rate = np.full((30, 8, 2), 0.5)
    rate[:, 0] = np.where(cue, 6.0, 0.2)[:, None]
    inputs = np.zeros((30, 8, 1))
    inputs[:, 0, 0] = cue
    made = rec.from_counts(rng.poisson(rate), bin_width=0.02)
    return made.assign(inputs=(("trial", "time", "input"), inputs))


@pytest.fixture(scope="module")
def gappy(counts):
    """The recording with a quarter of the bins missing."""
    lost = np.random.default_rng(2).random(counts["valid"].shape) < 0.25
    lost[:, [0, -1]] = False
    changed = counts.copy(deep=True)
    changed["valid"].values[lost] = False
    changed["counts"].values[lost] = 0
    return changed


def fitted(family, recording, **more):
    return small(family, **more).fit(recording, range(20), range(20, 26), members=2, seed=0)


@pytest.mark.parametrize("family", ALL)
def test_the_input_of_bin_0_is_seen_when_bin_0_is_predicted(family, cued):
    fit = fitted(family, cued)
    moved = cued.copy(deep=True)
    moved["inputs"].values[:, 0] += 1
    assert np.abs(fit.predict(cued).values - fit.predict(moved).values)[:, :, 0].min() > 0
    later = cued.copy(deep=True)
    later["inputs"].values[:, 5] += 1
    same = fit.predict(cued).values == fit.predict(later).values
    assert same[:, :, :5].all() and not same[:, :, 5].all()  # and no other one before its own bin


def test_a_cue_in_bin_0_is_learned(cued):
    fit = fitted("rate", cued, epochs=60)
    expected = fit.predict(cued, range(26, 30)).values.mean(0)[:, 0]
    cue = cued["inputs"].values[26:, 0, 0] == 1
    assert cue.any() and not cue.all() and expected[cue].min() > 3.5 > 2.5 > expected[~cue].max()


@pytest.mark.parametrize("family", trained())
def test_what_is_learned_is_what_is_scored(family, cued, gappy):
    """The loss of every engine on inputs and gaps is the score."""
    for recording in (cued, gappy):
        fit, data = fitted(family, recording), Data.of(recording)
        loss = engines.loss_and_gradient(fit.model, {k: v.double() for k, v in fit.params.items()}, data)[0]
        network = fit.model.network(data)
        engine = engines.choose(network, network.given(fit.params, data), fit.params, fit.model.training)
        engine.prepare({k: v[0] for k, v in fit.params.items()})
        constant = getattr(engine, "constant", np.zeros(1)).sum()
        score = -np.nansum(fit.log_prob(recording).values, (1, 2))
        assert np.allclose(loss, score, rtol=1e-9) or np.allclose(loss + constant, score, rtol=1e-5)


@pytest.mark.parametrize("family", ALL)
def test_a_missing_bin_is_no_silent_bin(family, gappy):
    """The same zeros, once missing and once counted, are told apart; without gaps there is no flag."""
    fit = fitted(family, gappy)
    silent = gappy.copy(deep=True)
    trial, time = np.argwhere(~gappy["valid"].values)[0]
    silent["valid"].values[trial, time] = True
    after = np.s_[:, trial, time + 1]
    assert np.abs(fit.predict(gappy).values[after] - fit.predict(silent).values[after]).max() > 0
    assert fit.params["input_weight"].shape[-1] == gappy.sizes["unit"] + 1


@pytest.mark.parametrize("family", ALL)
def test_without_inputs_and_gaps_nothing_is_added(family, counts):
    fit, data = fitted(family, counts), Data.of(counts)
    assert fit.params["input_weight"].shape[-1] == counts.sizes["unit"]
    assert fit.model.network(data).given(fit.params, data) is data


def test_analyses_of_a_network_that_is_told_of_gaps(gappy):
    """States, flows, free runs, forecasts and restarts have the recording's own bins."""
    fit = fitted("rate", gappy)
    states, test = fit.through_gaps(gappy, [26, 27]), Data.of(gappy, [26, 27])
    assert states.shape[:3] == (2, 2, test.y.shape[1])
    y, t = test.y[0, 3], 3
    if test.valid[0, t]:
        after = fit.flow(0, "open", input=y)(torch.from_numpy(states[0, 0, t])).numpy()
        assert np.allclose(after, states[0, 0, t + 1], atol=1e-6)
    assert fit.simulate(2, 5).sizes["time"] == 5 and fit.flow().dim == states.shape[-1]
    ahead = fit.forecast(gappy, [1, 2], [26, 27], samples=8)
    assert np.array_equal(ahead[..., 0], fit.log_prob(gappy, [26, 27]).values, equal_nan=True)


def test_analyses_with_inputs_have_the_recordings_own_bins(cued):
    fit = fitted("rate", cued)
    n_time = cued.sizes["time"]
    states = fit.states(cued, [26]).values
    assert states.shape[:3] == (2, 1, n_time)
    inputs, scanned = fit.member(0).scan(Data.of(cued, [26]))
    assert inputs.shape[:2] == scanned.shape[:2] == (1, n_time)
    assert np.allclose(scanned.numpy(), states[0], atol=1e-10)
    score = fit.log_prob(cued, [26]).values
    assert np.allclose(fit.recall(cued, [n_time - 1, 100], [26]), score, atol=1e-10)
    assert np.array_equal(fit.forecast(cued, [1, 3], [26], samples=8)[..., 0], score)


@pytest.mark.parametrize("earlier_has_gaps", [True, False])
def test_sessions_with_and_without_gaps_are_learned_one_after_another(earlier_has_gaps):
    rng = np.random.default_rng(0)
    counts, valid = rng.poisson(2.0, (8, 6, 2)), np.ones((8, 6), bool)
    valid[1, 2] = False
    gappy, whole = (rec.from_counts(counts, bin_width=0.02, valid=v) for v in (valid, np.ones_like(valid)))
    first, second = (gappy, whole) if earlier_has_gaps else (whole, gappy)
    model = Rate(hidden=3, epochs=1, after="previous")
    start = model.fit(first, range(5), range(5, 8))
    assert np.isfinite(
        model.fit(second, range(5), range(5, 8), start=start).log_prob(second).values[0, 0, 1:]
    ).all()


def test_high_counts_are_shown_as_to_the_earlier_fit():
    rng, model = np.random.default_rng(0), Rate(hidden=3, epochs=1, after="previous")
    low, high = (rec.from_counts(rng.poisson(mean, (8, 6, 2)), bin_width=0.02) for mean in (18.0, 23.0))
    bright = model.fit(high, range(5), range(5, 8))
    assert "count_scale" in bright.params
    after = model.fit(low, range(5), range(5, 8), start=bright)
    assert np.allclose(after.params["count_scale"], bright.params["count_scale"])
    dim = model.fit(low, range(5), range(5, 8))
    assert "count_scale" not in model.fit(high, range(5), range(5, 8), start=dim).params


@pytest.mark.parametrize("family", ["rate", "glm"])
def test_counts_beyond_what_a_rate_is_held_at_are_refused(family):
    counts = rec.from_counts(np.full((8, 6, 1), 20_000), bin_width=0.02)
    with pytest.raises(CortseqError, match="choose narrower bins"):
        registry()[family].small().fit(counts, range(5), range(5, 8))
