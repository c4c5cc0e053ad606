"""The floors that know of a trial more than its bins: the PSTH its condition, drift its place in the session."""

import numpy as np
import pytest
from scipy.stats import poisson

from cortseq import models
from cortseq import recording as rec
from cortseq.data import Data
from cortseq.errors import CortseqError
from cortseq.models import drift, psth
from cortseq.models.conditions import hashed, keys
from cortseq.scoring import audits, notes, probes

N, BINS, UNITS = 120, 20, 6
_order = np.random.default_rng(0).permutation(N)
ROLES = {"train": sorted(_order[:80]), "valid": sorted(_order[80:100]), "test": sorted(_order[100:])}


def fitted(model, recording):
    return model.fit(recording, ROLES["train"], ROLES["valid"])


def gain(fit, recording, rates=None):
    """Bits/spike over the null on test trials; of the true rates, where they are given in place of a fit."""
    test, null = ROLES["test"], fitted(models.Null(), recording)
    y = recording["counts"].values[test]
    nats = (
        poisson.logpmf(y, rates[test]).sum()
        if fit is None
        else np.nansum(fit.log_prob(recording, test).values)
    )
    return (nats - np.nansum(null.log_prob(recording, test).values)) / (y.sum() * np.log(2))


@pytest.fixture(scope="module")
def conditions():
    """Four targets with a response of their own each, and a speed that is different in every trial."""
    rng = np.random.default_rng(1)
    target, time = rng.integers(0, 4, N), np.arange(BINS)[:, None]
    peak = rng.uniform(3, 17, (4, 1, UNITS))
    rates = 0.3 + 2.0 * np.exp(-(((time - peak) / 3) ** 2))[target]
    covariates = {"target": np.array([*"abcd"])[target], "speed": rng.random(N)}
    return rec.from_counts(rng.poisson(rates), bin_width=0.02, covariates=covariates), rates, target


@pytest.fixture(scope="module")
def drifting():
    """Rates that wander slowly over the trials of a session."""
    rng = np.random.default_rng(2)
    wander = np.cumsum(rng.normal(0, 0.15, (N, 1, UNITS)), 0)
    rates = np.broadcast_to(0.5 * np.exp(wander - wander.mean(0)), (N, BINS, UNITS))
    return rec.from_counts(rng.poisson(rates), bin_width=0.02), rates


@pytest.fixture(scope="module")
def stationary():
    return rec.from_counts(np.random.default_rng(3).poisson(0.5, (N, BINS, UNITS)), bin_width=0.02)


# -- the PSTH per condition ---------------------------------------------------------------------------


def test_the_psth_of_each_condition_comes_near_the_true_rates(conditions):
    recording, rates, _ = conditions
    fit, pooled = (fitted(models.Psth(**more), recording) for more in ({}, {"conditions": "none"}))
    assert fit.card["chosen"]["conditions"] == ["target"] and pooled.card["chosen"]["conditions"] == []
    best = gain(None, recording, rates)
    assert gain(pooled, recording) < 0.5 * best < 0.85 * best < gain(fit, recording)


def test_the_mean_of_a_condition_is_shrunk_to_that_of_all(conditions, monkeypatch):
    monkeypatch.setattr(psth, "WIDTHS", (0.0,))
    recording, _, target = conditions
    fit = fitted(models.Psth(conditions="target"), recording)
    pooled = fitted(models.Psth(conditions="none"), recording).predict(recording, [0]).values[0, 0]
    chosen, train = fit.card["chosen"], np.array(ROLES["train"])
    mine = recording["counts"].values[train[target[train] == 2]]
    expected = (mine.sum(0) + chosen["pooled_trials"] * pooled) / (len(mine) + chosen["pooled_trials"])
    trial = next(t for t in ROLES["test"] if target[t] == 2)
    assert np.allclose(fit.predict(recording, [trial]).values[0, 0], expected)


def test_a_condition_that_training_never_saw_is_given_the_mean_over_all(conditions):
    recording = conditions[0]
    some = recording.isel(trial=[*ROLES["train"], *ROLES["valid"], *ROLES["test"]])
    fit = fitted(models.Psth(), recording)
    new = some.assign_coords(target=("trial", np.full(N, "z")))
    pooled = fitted(models.Psth(conditions="none"), recording)
    assert np.allclose(fit.predict(new, [0, 99]).values[0], pooled.predict(new, [0, 99]).values[0])
    assert not np.allclose(fit.predict(some, [0]).values[0], pooled.predict(some, [0]).values[0])


def test_shuffled_labels_are_no_conditions(conditions):
    recording, _, target = conditions
    chosen = []
    for seed in range(4):
        other = np.random.default_rng(seed).permutation(target)
        fit = fitted(models.Psth(), recording.assign_coords(target=("trial", other)))
        chosen.append(fit.card["chosen"]["conditions"])
    assert chosen.count([]) >= 3


def test_two_covariates_may_be_conditions_together(conditions):
    """The response depends on whether two labels agree: neither says anything alone."""
    _, rates, target = conditions
    rng = np.random.default_rng(5)
    one = rng.integers(0, 2, N)
    other = one ^ (target > 1)
    y = rng.poisson(rates[np.where(target > 1, np.argmax(target > 1), np.argmin(target > 1))])
    both = rec.from_counts(y, bin_width=0.02, covariates={"one": one, "other": other.astype(int)})
    assert sorted(fitted(models.Psth(), both).card["chosen"]["conditions"]) == ["one", "other"]


@pytest.mark.parametrize("name", ["choice", "trial_outcome"])
def test_what_is_known_at_the_end_of_a_trial_is_no_condition(conditions, name):
    recording, _, target = conditions
    late = rec.from_counts(recording["counts"].values, bin_width=0.02, covariates={name: target})
    assert fitted(models.Psth(), late).card["chosen"]["conditions"] == []
    with pytest.raises(CortseqError, match=r"conditions: is no covariate .* choose of auto, none"):
        fitted(models.Psth(conditions=name), late)


def test_signals_and_symbols_have_conditions_too():
    rng = np.random.default_rng(6)
    kind = rng.integers(0, 2, N)
    level = np.where(kind, 1.0, -1.0)[:, None, None] * np.ones((1, 8, 2))
    signal = rec.from_signal(
        level + rng.normal(0, 0.3, level.shape), bin_width=0.1, covariates={"kind": kind}
    )
    fit = fitted(models.Psth(), signal)
    assert np.abs(fit.predict(signal).values[0] - level).max() < 0.3 and np.allclose(
        fit.params["sd"], 0.3, atol=0.03
    )
    labels = np.where(rng.random((N, 8)) < 0.9, kind[:, None], 2)
    symbols = rec.from_symbols(list(labels), n_symbols=3, covariates={"kind": kind})
    fit = fitted(models.Psth(), symbols)
    assert np.array_equal(fit.predict(symbols).values[0].argmax(-1), np.repeat(kind[:, None], 8, 1))
    drawn = fit.simulate(400, 8, seed=1)["symbols"].values
    assert abs((drawn[:, 0] == 1).mean() - 0.9 * kind[ROLES["train"]].mean()) < 0.08


def test_words_become_the_same_number_everywhere():
    labels = {"b": np.array(["1", "2", "1"]), "a": np.array(["x", "x", "y"])}
    key = keys(labels, ["b", "a"])
    assert np.array_equal(key, keys(labels, ["a", "b"])) and len(set(key.tolist())) == 3
    assert key[0] == hashed("a=x\x1fb=1")


# -- drift ----------------------------------------------------------------------------------------------


def test_drift_recovers_most_of_what_slow_rates_are_worth(drifting):
    recording, rates = drifting
    best = gain(None, recording, rates)
    found = {
        name: gain(fitted(models.registry()[name](), recording), recording) for name in ("drift", "psth")
    }
    assert best > 0.1 and found["drift"] > 0.85 * best and found["psth"] < 0.05 * best


def test_without_drift_nothing_is_lost(stationary):
    assert abs(gain(fitted(models.Drift(), stationary), stationary)) < 0.002


def test_drift_is_a_weighted_mean_of_the_training_trials(drifting):
    recording, _ = drifting
    fit = fitted(models.Drift(), recording)
    chosen, train, y = fit.card["chosen"], np.array(ROLES["train"]), recording["counts"].values
    centre, k = y[train].mean((0, 1)), chosen["shrinkage_trials"]
    for trial in (ROLES["test"][3], ROLES["train"][5]):
        weight = np.exp(-np.abs(train - trial) / chosen["reach_trials"])
        expected = ((weight[:, None] * y[train].mean(1)).sum(0) + k * centre) / (weight.sum() + k)
        assert np.allclose(fit.predict(recording, [trial]).values[0, 0], expected, rtol=1e-3)


def test_drift_far_after_the_session_is_the_training_mean(drifting):
    recording, _ = drifting
    later = recording.isel(trial=[0]).assign_coords(trial=[100_000])
    fit, null = fitted(models.Drift(), recording), fitted(models.Null(), recording)
    assert np.allclose(fit.predict(later).values[0], null.predict(later).values[0], rtol=0.02)


def test_the_spread_about_a_drift_is_that_of_trials_left_out():
    """White noise between trials: around the mean of all others a trial varies more than around one with itself."""
    rng = np.random.default_rng(7)
    y = rng.normal(size=(N, 1, 1)) + 0.1 * rng.normal(size=(N, BINS, 1))
    recording = rec.from_signal(y, bin_width=0.1)
    train = Data.of(recording, ROLES["train"], ("place",))
    params, chosen = next(drift._settings(models.null.emission_of(train), train))
    assert chosen["reach_trials"] == 1 and params["sd"][0] > 0.9 * y[ROLES["train"]].std()


# -- what they may see ------------------------------------------------------------------------------------


def test_no_other_model_is_given_labels_or_places(conditions):
    sees = {name: model.sees for name, model in models.registry().items() if model.sees}
    assert sees == {"psth": ("labels",), "drift": ("place",)}
    plain = Data.of(conditions[0])
    assert plain.labels is None and plain.place is None


@pytest.mark.parametrize("family", ["psth", "drift"])
def test_audits_let_them_pass(family, conditions):
    recording = conditions[0]
    fit = fitted(models.registry()[family](), recording)
    assert audits.causality(family, fit, recording, ROLES["test"]).passed
    assert audits.provenance(family, fit, ROLES, recording).passed
    assert probes.refit(family, fit, recording, ROLES).passed
    assert probes.normalisation(family, fit, recording, ROLES).passed


def test_other_labels_or_places_than_those_learned_from_are_caught(conditions):
    recording, _, target = conditions
    changed = {
        "psth": recording.assign_coords(target=("trial", target[::-1].astype(str))),
        "drift": recording.assign_coords(trial=np.arange(N)[::-1]),
    }
    for family, other in changed.items():
        fit = fitted(models.registry()[family](), recording)
        assert not audits.provenance(family, fit, ROLES, other).passed


def test_what_a_fit_knows_of_a_trial_in_words(conditions):
    found = {f: fitted(models.registry()[f](), conditions[0]).card for f in ("psth", "drift", "null")}
    assert {name: notes.known(card) for name, card in found.items()} == {
        "psth": "target",
        "drift": "number of the trial",
        "null": "",
    }
