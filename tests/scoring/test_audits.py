"""Audits stop what is wrong and let through what is right."""

import numpy as np
import pytest
import xarray as xr
from families import small

from cortseq import models
from cortseq import recording as rec
from cortseq.errors import CortseqError
from cortseq.models import labelled
from cortseq.models.base import Fit
from cortseq.scoring import audits, probes, products

ROLES = {"train": list(range(20)), "valid": list(range(20, 26)), "test": list(range(26, 40))}


@pytest.fixture(scope="module")
def fit(counts):
    return models.Rate(hidden=4, epochs=2).fit(counts, ROLES["train"], ROLES["valid"])


class Leaky(Fit):
    """A fit that predicts bin t from bin t + shift."""

    shift = 0

    def predict(self, recording, trials=None):
        y = rec.observations(recording if trials is None else recording.isel(trial=trials)).astype(float)
        return labelled.predictions(np.roll(y, -self.shift, axis=1)[None] + 0.1, recording, trials)

    def log_prob(self, recording, trials=None):
        y = rec.observations(recording if trials is None else recording.isel(trial=trials))
        rates = self.predict(recording, trials).values
        return labelled.log_probs((y * np.log(rates) - rates).sum(-1), recording, trials)


@pytest.mark.parametrize("shift", [0, 1, 2])
def test_a_model_that_sees_the_present_or_the_future_is_caught(fit, counts, shift):
    leaky = Leaky(fit.model, fit.params, fit.card, fit.curves)
    object.__setattr__(leaky, "shift", shift)
    found = audits.causality("leaky", leaky, counts, ROLES["test"])
    assert not found.passed and "leaky: trial" in found.detail


def test_causal_models_pass(fit, counts, symbols, signal):
    assert audits.causality("rate", fit, counts, ROLES["test"]).passed
    for recording in (symbols, signal):
        chain = models.Markov(states=3).fit(recording, range(20), range(20, 26))
        assert audits.causality("markov", chain, recording, range(26, 30)).passed


def test_a_trial_in_two_roles_is_caught(counts):
    found = audits.overlap(counts, {**ROLES, "test": [19, 30]})
    assert not found[0].passed and "trial 19 is in both train and test" in found[0].detail


def test_shared_raw_time_is_caught(counts):
    start = np.arange(40) * 1.0
    apart = counts.assign_coords(start=("trial", start), stop=("trial", start + 1.0))
    assert all(a.passed for a in audits.overlap(apart, ROLES))
    touching = counts.assign_coords(start=("trial", start), stop=("trial", start + 1.5))
    found = [a for a in audits.overlap(touching, ROLES) if not a.passed]
    assert found and "share raw time" in found[0].detail


def test_long_intervals_are_seen_past_their_neighbours(counts):
    start = np.arange(40) * 1.0
    stop = start + 1.0
    stop[0] = 35.5  # a training trial that reaches into the test trials
    wide = counts.assign_coords(start=("trial", start), stop=("trial", stop))
    assert any("share raw time" in a.detail for a in audits.overlap(wide, ROLES))


def test_repeated_long_trials_are_a_warning():
    songs = [np.arange(25) % 3] * 40
    found = audits.overlap(rec.from_symbols(songs, n_symbols=3), ROLES)
    assert [a for a in found if not a.passed and not a.stopping]
    audits.report(found)


def test_learning_from_a_test_trial_is_caught(counts):
    cheat = models.Null().fit(counts, [*ROLES["train"], 30], ROLES["valid"])
    found = audits.provenance("null", cheat, ROLES, counts)
    assert not found.passed and "learned from trial 30" in found.detail


def test_a_model_that_scores_on_noise_is_caught(counts):
    class Prophet(models.Null):
        def log_prob(self, params, data):
            return super().log_prob(params, data) + 0.05 * data.n_events()

    found = probes.canary("prophet", Prophet(), counts)
    assert not found.passed


@pytest.mark.parametrize("name", ["rate", "glm", "hmm"])
def test_the_canary_sees_the_inputs_that_the_recording_has(name, counts):
    """Of recorded trials, with the noise of other trials: a model of inputs runs as it does on the recording."""
    u = np.random.default_rng(0).normal(size=(*counts["valid"].shape, 2))
    recording = counts.assign(inputs=(("trial", "time", "input"), u))
    noise = probes._noise(recording, np.random.default_rng(1))
    assert noise["inputs"].shape == (probes.CANARY_TRIALS, probes.CANARY_BINS, 2)
    assert set(noise["inputs"].values[:, 0, 0]) <= set(u[:, 0, 0])
    assert probes.canary(name, small(name), recording).passed
    assert "inputs" not in probes._noise(counts, np.random.default_rng(1))


@pytest.mark.parametrize("name", models.registry())
def test_honest_models_pass_the_canary(name, counts):
    assert probes.canary(name, small(name), counts).passed


def test_scores_on_other_bins_are_caught(counts):
    null = models.Null().fit(counts, ROLES["train"], ROLES["valid"])
    one = products.scores(null, counts, ROLES)
    other = one.copy(deep=True)
    other["log_prob"][:, 3, 0] = np.nan
    assert audits.same_bins({"a": one, "b": one}).passed
    assert not audits.same_bins({"a": one, "b": other}).passed
    assert isinstance(one, xr.Dataset)


def test_a_failed_audit_stops():
    with pytest.raises(CortseqError, match="audit overlap failed: trial 3"):
        audits.report([audits.Audit("overlap", False, "trial 3 is in both")])
