"""The oracle and the reliability of mean responses, on recordings whose true rates are known."""

import numpy as np
import pytest
from scipy.stats import poisson

from cortseq import models
from cortseq import recording as rec
from cortseq.data import Data
from cortseq.scoring import ceilings, products

N, BINS, UNITS = 90, 12, 4
_order = np.random.default_rng(0).permutation(N)
ROLES = {"train": sorted(_order[:50]), "valid": sorted(_order[50:60]), "test": sorted(_order[60:])}


@pytest.fixture(scope="module")
def case():
    """Three conditions; the last unit has no response. With the table, the true rates and the null's scores."""
    rng = np.random.default_rng(1)
    target, time = rng.integers(0, 3, N), np.arange(BINS)[:, None]
    peak = rng.uniform(2, 10, (3, 1, UNITS))
    rates = 0.3 + 2.5 * np.exp(-(((time - peak) / 2) ** 2))[target]
    rates[..., -1] = 0.6
    covariates = {"target": np.array([*"abc"])[target], "choice": rng.integers(0, 2, N)}
    recording = rec.from_counts(rng.poisson(rates), bin_width=0.02, covariates=covariates)
    null = models.Null().fit(recording, ROLES["train"], ROLES["valid"])
    scores = products.scores(null, recording, ROLES)
    return recording, rates, scores, ceilings.table(recording, ROLES, scores)


def test_the_oracle_is_between_a_psth_and_the_true_rates(case):
    recording, rates, scores, table = case
    test, y = ROLES["test"], recording["counts"].values[ROLES["test"]]
    base = float(scores["log_prob"].sel(trial=test).sum())
    true = (poisson.logpmf(y, rates[test]).sum() - base) / (y.sum() * np.log(2))
    psth = models.Psth().fit(recording, ROLES["train"], ROLES["valid"])
    fitted = (np.nansum(psth.log_prob(recording, test).values) - base) / (y.sum() * np.log(2))
    told = table.set_index("quantity").loc["oracle"]
    assert fitted < told["value"] < true + 0.01 and told["value"] > 0.9 * true
    assert told["low"] < told["value"] < told["high"] and told["conditions"] == "target"


def test_a_trial_is_no_part_of_its_own_mean(case):
    """A spike in one test trial does not change how that trial is predicted, but how others are."""
    recording = case[0]
    data = Data.of(recording, None, ("labels",))
    test = data.at([5])
    zero = np.zeros(N, int)

    def others(data, test):
        return ceilings._others(ceilings._sums(data, zero), test, 1.0, zero[:1])

    before, n = others(data, test)
    changed = recording.copy(deep=True)
    changed["counts"].values[5] += 3
    data = Data.of(changed, None, ("labels",))
    after, _ = others(data, data.at([5]))
    assert np.allclose(before, after) and np.allclose(n, N - 1)
    other, _ = others(data, data.at([6]))
    assert not np.allclose(other, others(Data.of(recording), test)[0])


def test_bins_of_the_burn_in_count_for_nothing(case):
    recording, _, scores, _ = case
    noisy = recording.copy(deep=True)
    noisy["counts"].values[:, :4] = 40
    nats = [ceilings.oracle(r, ROLES, burn_in=4)[0] for r in (recording, noisy)]
    # smoothing spreads a little of them, but 40 spikes that were scored would cost hundreds of nats
    assert np.abs(nats[0] - nats[1]).mean() < 3
    late = ceilings.table(recording, ROLES, scores, burn_in=4)
    assert np.isfinite(late.loc[0, "value"])


def test_reliability_is_that_of_the_mean_over_all_trials(case):
    """Spearman and Brown: share of the variance of the mean response that is not noise of so many trials."""
    recording, rates, _, table = case
    found = table[table["quantity"] == "reliability"]["value"].to_numpy()
    target = recording["target"].values
    signal, noise = np.zeros(UNITS), np.zeros(UNITS)
    response = np.stack([rates[target == c][0] for c in "abc"])
    signal = response.reshape(-1, UNITS).var(0)
    noise = np.mean([response[i].mean(0) / (target == c).sum() for i, c in enumerate("abc")], 0)
    assert np.allclose(found[:-1], (signal / (signal + noise))[:-1], atol=0.02) and found[-1] < 0.35


def test_symbols_and_signals_have_ceilings_too():
    rng = np.random.default_rng(3)
    wave = np.sin(np.arange(BINS) / 2)[None, :, None] * np.ones((N, 1, 2))
    signal = rec.from_signal(wave + rng.normal(0, 0.5, wave.shape), bin_width=0.1)
    labels = np.where(rng.random((N, BINS)) < 0.8, np.arange(BINS) % 3, rng.integers(0, 3, (N, BINS)))
    for recording in (signal, rec.from_symbols(list(labels), n_symbols=3)):
        null = models.Null().fit(recording, ROLES["train"], ROLES["valid"])
        table = ceilings.table(recording, ROLES, products.scores(null, recording, ROLES))
        assert table.loc[0, "low"] > 0.3 and (table["value"][1:] > 0.9).all()


def test_the_sentence_names_conditions_and_numbers(case):
    said = ceilings.sentence([case[3], case[3]], "bits/spike")
    assert "of the same condition (target) would score" in said
    assert f"{case[3].loc[0, 'value']:.3f} bits/spike" in said and "reliability of 0.9" in said
