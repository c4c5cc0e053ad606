"""Goodness of fit: distributions of every family, the right ones and the wrong ones, on made-up recordings."""

import numpy as np
import pandas as pd
import pytest
from families import applicable, predictors, small
from scipy import stats

from cortseq import models
from cortseq import recording as rec
from cortseq.errors import CortseqError
from cortseq.observations import distribution, names
from cortseq.scoring import fit_quality

N, BINS = 60, 20
ROLES = (range(20), range(20, 28))
TEST = list(range(28, N))
FAMILIES = [*predictors(), "rate", "lstm"]
MEAN = np.array([0.3, 0.8, 1.5, 0.6])


def recording(kind: str, units: int = 4, observation: str = "poisson", seed: int = 0):
    rng = np.random.default_rng(seed)
    shape = (N, BINS, units)
    rates = np.broadcast_to(MEAN[:units], shape)
    y = rng.poisson(rates if kind == "poisson" else rng.gamma(1.0, rates))
    return rec.from_counts(y, bin_width=0.02, observation=observation)


@pytest.mark.parametrize("observation", names("counts"))
@pytest.mark.parametrize("family", FAMILIES)
def test_the_distribution_of_one_unit_is_the_one_that_is_scored(family, observation):
    """F(y) - F(y - 1) = p(y) in every bin."""
    one = recording("overdispersed", 1, observation)
    fit = applicable(family, one).fit(one, *ROLES)
    data = fit._data(one, TEST)
    for member, predicted in enumerate(fit.model.predictive(fit.params, data)):
        lower, upper, _ = fit_quality._probabilities(predicted, emission_of(data), data)
        assert np.allclose((upper - lower)[..., 0], np.exp(fit.log_prob(one, TEST).values[member]), atol=2e-6)
        mean, variance = predicted.moments(emission_of(data))
        assert np.allclose(mean, fit.predict(one, TEST).values[member], rtol=1e-5)
        assert (variance > 0).all()


def emission_of(data):
    return distribution(data.observation)(data.n_features, data.support)


def test_a_mixture_read_out_is_scored_as_it_is():
    one = recording("overdispersed", 1)
    fit = small("rate", mixture=3).fit(one, *ROLES)
    data = fit._data(one, TEST)
    (predicted,) = fit.model.predictive(fit.params, data)
    lower, upper, _ = fit_quality._probabilities(predicted, emission_of(data), data)
    assert predicted.weight.shape[-1] == 3
    assert np.allclose((upper - lower)[..., 0], np.exp(fit.log_prob(one, TEST).values[0]), atol=1e-9)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_distribution_of_a_channel_is_the_integral_of_its_density(family, signal):
    one = signal.isel(channel=[0])
    fit = applicable(family, one).fit(one, range(15), range(15, 20))
    data = fit._data(one, [20, 21])
    (predicted,) = fit.model.predictive(fit.params, data)
    step = 1e-5
    up, down = (predicted.cdf(emission_of(data), data.y + s) for s in (step, -step))
    density = (up - down)[..., 0] / (2 * step)
    assert np.allclose(density, np.exp(fit.log_prob(one, [20, 21]).values[0]), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("observation", names("counts"))
def test_moments_and_the_distribution_of_counts_agree(observation):
    emission = distribution(observation)(2, 300)
    p = {"rate": np.array([0.4, 2.5]), "dispersion": np.array([0.7, 0.9])}
    k = np.arange(300.0)[:, None]
    mass = np.diff(emission.cdf(p, k), axis=0, prepend=0)
    assert np.allclose(mass, np.exp(emission.log_prob_units(p, k)), atol=1e-9)
    assert np.allclose((k**2 * mass).sum(0) - (k * mass).sum(0) ** 2, emission.variance(p), rtol=2e-3)


def test_poisson_models_of_counts_that_vary_more_are_seen():
    found = {}
    for observation in ("poisson", "negative_binomial"):
        given = recording("overdispersed", observation=observation)
        fit = models.Null().fit(given, *ROLES)
        found[observation] = fit_quality.table(fit, given, TEST)
    wrong = {name: int(fit_quality.misfit(table).sum()) for name, table in found.items()}
    assert wrong["poisson"] >= 3 and wrong["negative_binomial"] == 0
    assert fit_quality.misfit(found["poisson"], "rescaling").sum() >= 2
    spread = {name: t[t["quantity"] == "dispersion"]["value"].mean() for name, t in found.items()}
    assert spread["poisson"] > 1.4 and abs(spread["negative_binomial"] - 1) < 0.15
    said = {name: fit_quality.sentence("null", table, name) for name, table in found.items()}
    assert (
        "try `observation: negative_binomial`" in said["poisson"] and "try" not in said["negative_binomial"]
    )
    late = fit_quality.misfit(found["poisson"], "rescaling")
    assert f"its intervals between spikes for {late.sum()} of {len(late)} (time rescaling" in said["poisson"]


def test_the_right_model_is_off_as_often_as_chance_says():
    """The null of homogeneous Poisson counts: u and rescaled intervals are uniform, 5 % of units have p < .05."""
    p = []
    for seed in range(15):
        given = recording("poisson", seed=seed)
        null = models.Null().fit(given, *ROLES)
        null.params["rate"][:] = MEAN
        table = fit_quality.table(null, given, TEST, seed=seed)
        p += [table[table["quantity"] == q]["p"] for q in ("ks", "rescaling")]
        shares = table[table["quantity"] == "pit"]["value"]
        assert shares.sum() == pytest.approx(1) and len(shares) == fit_quality.BINS
    assert 0.01 <= (pd.concat(p) < 0.05).mean() <= 0.11


def test_intervals_of_a_wrong_clock_are_not_exponential():
    rng = np.random.default_rng(2)
    probability = rng.uniform(0.02, 0.6, 4000)
    spikes = rng.random(4000) < probability
    right = fit_quality.rescaled(probability, spikes, rng)
    wrong = fit_quality.rescaled(np.full(4000, probability.mean()), spikes, rng)
    assert stats.kstest(right, "uniform").pvalue > 0.01 and len(right) == spikes.sum()
    regular = np.arange(4000) % 3 == 0
    assert stats.kstest(fit_quality.rescaled(np.full(4000, 1 / 3), regular, rng), "uniform").pvalue < 1e-6
    assert np.all((wrong > 0) & (wrong < 1))


def test_burn_in_and_missing_bins_are_left_out():
    given = recording("poisson")
    given["valid"].values[30] = False
    given["counts"].values[30] = 50
    given["counts"].values[:, :3] = 50
    fit = models.Null().fit(recording("poisson"), *ROLES)
    table = fit_quality.table(fit, given, TEST, burn_in=3)
    assert (table[table["quantity"] == "ks"]["n"] == (len(TEST) - 1) * (BINS - 3)).all()
    assert table[table["quantity"] == "dispersion"]["value"].max() < 1.5


def test_labels_have_no_distribution_function(symbols):
    fit = models.Null().fit(symbols, range(20), range(20, 26))
    with pytest.raises(CortseqError, match="counts and signals"):
        fit_quality.table(fit, symbols, range(26, 30))
