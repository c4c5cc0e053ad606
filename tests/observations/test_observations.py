"""Distributions of counts: known answers, one definition in numpy, torch and compiled code, and what they are worth."""

import itertools

import numpy as np
import pytest
import torch
from families import emission as emission_named
from families import readout, small
from scipy import special, stats

from cortseq import models, scoring
from cortseq import recording as rec
from cortseq.compiled import conway_maxwell
from cortseq.data import Data
from cortseq.errors import CortseqError
from cortseq.observations import Mixture, arrays, emission_of, names, normaliser, observation_of
from cortseq.preprocess import preprocess
from cortseq.sources.synthetic import SOURCE as Synthetic

SUPPORT = 80
EXTREME = {"negative_binomial": [1e-3, 10.0], "conway_maxwell": [10.0]}
DISPERSIONS = {
    name: [0.1, 0.5, 2.0, *EXTREME.get(name, [])] if emission_named(name, 1).bounds else [None]
    for name in names("counts")
}
DISPERSED = [name for name, values in DISPERSIONS.items() if values != [None]]
CASES = [(name, d) for name, values in DISPERSIONS.items() for d in values]
RATES = np.array([1e-6, 1e-3, 0.05, 0.5, 1.0, 3.0, 12.0])


def params(rate, dispersion):
    spread = {} if dispersion is None else {"dispersion": np.full(np.shape(rate)[-1], dispersion)}
    return {"rate": np.asarray(rate, float), **spread}


def pmf(name, rate, dispersion, most=SUPPORT):
    """(count, rate)"""
    emission = emission_named(name, 1, SUPPORT)
    y = np.arange(most + 1.0)
    each = [emission.log_prob(params([r], dispersion), y[:, None]) for r in rate]
    return np.exp(np.stack(each, 1))


def highest(name):
    """A count beyond which nothing is left at these rates."""
    return SUPPORT if name == "conway_maxwell" else 40_000


def variance(name, rate, dispersion):
    """In closed form where there is one, else the sum over all counts."""
    closed = {
        "poisson": lambda: rate,
        "negative_binomial": lambda: rate + dispersion * rate**2,
        "generalised_poisson": lambda: rate * (1 + dispersion * rate) ** 2,
    }
    if name in closed:
        return closed[name]()
    p, y = pmf(name, rate, dispersion, highest(name)), np.arange(highest(name) + 1.0)[:, None]
    return (y**2 * p).sum(0) - (y * p).sum(0) ** 2


@pytest.mark.parametrize("name, dispersion", CASES)
def test_probabilities_sum_to_one_and_have_the_mean_and_variance(name, dispersion):
    most = highest(name)
    p, y = pmf(name, RATES, dispersion, most), np.arange(most + 1.0)[:, None]
    assert np.allclose(p.sum(0), 1, atol=1e-11)
    assert np.allclose((y * p).sum(0), RATES, rtol=1e-9)
    assert np.allclose((y**2 * p).sum(0) - RATES**2, variance(name, RATES, dispersion), rtol=1e-7)


@pytest.mark.parametrize("alpha", [1e-3, 0.2, 5.0])
def test_negative_binomial_equals_scipy(alpha):
    y = np.arange(60.0)
    for rate in RATES:
        theirs = stats.nbinom(1 / alpha, 1 / (1 + alpha * rate)).logpmf(y)
        mine = emission_named("negative_binomial", 1).log_prob(params([rate], alpha), y[:, None])
        assert np.allclose(mine, theirs, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("alpha", [1e-3, 0.2, 3.0])
def test_generalised_poisson_is_that_of_consul_and_jain(alpha):
    """theta (theta + y lambda)^(y-1) exp(-theta - y lambda) / y!, and no dispersion is Poisson."""
    y = np.arange(60.0)
    face = emission_named("generalised_poisson", 1)
    for rate in RATES:
        theta, share = rate / (1 + alpha * rate), alpha * rate / (1 + alpha * rate)
        theirs = theta * (theta + y * share) ** (y - 1) * np.exp(-theta - y * share) / special.factorial(y)
        mine = np.exp(face.log_prob(params([rate], alpha), y[:, None]))
        assert np.allclose(mine, theirs, rtol=1e-9, atol=1e-300)
        plain = face.log_prob(params([rate], 1e-9), y[:20, None])
        assert np.allclose(plain, stats.poisson(rate).logpmf(y[:20]), atol=1e-5)


def test_conway_maxwell_between_poisson_and_bernoulli():
    y = np.arange(SUPPORT + 1.0)[:, None]
    assert np.allclose(
        pmf("conway_maxwell", RATES, 1.0)[:30], stats.poisson(RATES).pmf(y[:30]), rtol=1e-9, atol=1e-300
    )
    rate = np.array([0.01, 0.3, 0.7])
    eta, log_z = conway_maxwell.natural(rate, np.full(3, 60.0), SUPPORT)
    assert np.allclose(eta, np.log(rate / (1 - rate)), atol=1e-9)  # a logit
    assert np.allclose(log_z, -np.log(1 - rate), atol=1e-9)


def test_conway_maxwell_moments_by_brute_force():
    """Sums over the whole support, at both ends of the range and in between."""
    k = np.arange(SUPPORT + 1.0)
    for nu, share in itertools.product([0.05, 0.7, 3.0, 10.0], [-16.0, -2.0, 0.1, 0.5, 1.0]):
        eta = share if share < 0 else share * nu * np.log(SUPPORT)
        power, log_factorial = conway_maxwell.tables(np.array([nu]), SUPPORT)
        log_terms = k * eta - nu * log_factorial
        p = np.exp(log_terms - log_terms.max())
        log_z, p = np.log(p.sum()) + log_terms.max(), p / p.sum()
        found = conway_maxwell.moments(eta, nu, power[0], log_factorial, 1e-17)
        mean = k @ p
        expected = log_z, mean, k**2 @ p - mean**2, log_factorial @ p
        assert np.allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_two_ways_to_the_normaliser():
    """Compiled, and term after term as on a GPU: values and gradients, a member axis and a component axis too."""
    observation = readout("conway_maxwell", 3, 40)
    for shape, nu_shape in (((5, 3), (3,)), ((2, 4, 5, 3), (2, 1, 1, 3))):
        found = []
        for way in (observation._log_z, lambda eta, nu: observation._sums(eta, nu)[0]):
            eta = torch.from_numpy(np.random.default_rng(1).normal(0, 2, shape)).requires_grad_()
            nu = torch.from_numpy(np.random.default_rng(2).uniform(1, 4, nu_shape)).requires_grad_()
            value = way(eta, nu)
            value.mul(torch.from_numpy(np.random.default_rng(3).normal(size=shape))).sum().backward()
            found.append((value.detach(), eta.grad, nu.grad))
        assert all(torch.allclose(a, b, rtol=1e-11, atol=1e-11) for a, b in zip(*found, strict=True))


def test_a_mean_out_of_reach_is_given_the_end():
    nu = np.array([0.5, 2.0])
    eta, _ = conway_maxwell.natural(np.array([[500.0, 500.0]]), nu, SUPPORT)
    assert np.allclose(eta, nu * np.log(SUPPORT))


# -- the same in torch ------------------------------------------------------------------------------


def in_torch(name, n_features=3, dispersion=None):
    log = (
        {}
        if dispersion is None
        else {"log_dispersion": torch.from_numpy(np.full(n_features, np.log(dispersion)))}
    )
    return readout(name, n_features, SUPPORT), {"readout_bias": torch.zeros(n_features).double(), **log}


def eta_of(name, rate, dispersion):
    """The read-out (..., unit) with these means, by bisection."""
    observation, p = in_torch(name, rate.shape[-1], dispersion)
    mean = torch.from_numpy(rate)
    low, high = torch.full_like(mean, -15.9), torch.full_like(mean, 50.0)
    for _ in range(70):
        middle = (low + high) / 2
        small = observation.mean(p, middle) < mean
        low, high = torch.where(small, middle, low), torch.where(small, high, middle)
    return ((low + high) / 2).numpy()


@pytest.mark.parametrize("name, dispersion", CASES)
def test_torch_equals_numpy(name, dispersion):
    rng = np.random.default_rng(0)
    rate, y = rng.uniform(0.01, 8, (5, 7, 3)), rng.poisson(2.0, (5, 7, 3))
    emission = emission_named(name, 3, SUPPORT)
    observation, p = in_torch(name, dispersion=dispersion)
    eta = torch.from_numpy(eta_of(name, rate, dispersion))
    mine = observation.log_prob(p, eta, torch.from_numpy(y).double())
    assert np.allclose(mine.numpy(), emission.log_prob(params(rate, dispersion), y), rtol=1e-9)
    assert np.allclose(observation.mean(p, eta).numpy(), rate, rtol=1e-9)


@pytest.mark.parametrize("name, dispersion", [c for c in CASES if c[1] != 1e-3])
def test_draws_have_the_mean_and_variance(name, dispersion):
    rate, n = np.array([0.05, 1.0, 6.0]), 8_000
    observation, p = in_torch(name, dispersion=dispersion)
    eta = torch.from_numpy(np.tile(eta_of(name, rate, dispersion), (n, 1)))
    torch_drawn = observation.draw(p, eta, torch.Generator().manual_seed(0)).numpy()
    repeated = {k: np.broadcast_to(v, (n, 3)) for k, v in params(rate, dispersion).items()}
    numpy_drawn = emission_named(name, 3, SUPPORT).draw(repeated, np.random.default_rng(0))
    v = variance(name, rate, dispersion)
    for drawn in (torch_drawn, numpy_drawn):
        assert (np.abs(drawn.mean(0) - rate) < 4.5 * np.sqrt(v / n)).all()
        spread = np.sqrt(((drawn - rate) ** 2).var(0) / n)
        assert (np.abs(drawn.var(0) - v) < 4.5 * spread).all()


@pytest.mark.parametrize("components", [1, 3])
@pytest.mark.parametrize("name", list(DISPERSIONS))
def test_gradients_by_finite_differences(name, components):
    rng = np.random.default_rng(1)
    observation, _ = in_torch(name, 2)
    observation = Mixture(observation, components) if components > 1 else observation
    eta = torch.from_numpy(rng.normal(-0.3, 1, (4, observation.n_readout))).requires_grad_()
    log_dispersion = torch.tensor([-0.4, 0.6], dtype=torch.float64, requires_grad=True)
    y = torch.from_numpy(rng.poisson(1.5, (4, 2))).double()

    def both(eta, log_dispersion):
        p = {"log_dispersion": log_dispersion}
        return observation.log_prob(p, eta, y), observation.mean(p, eta)

    assert torch.autograd.gradcheck(both, (eta, log_dispersion), eps=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", list(DISPERSIONS))
def test_a_mixture_by_brute_force(name):
    """log p and the mean as sums over components; probabilities of all pairs of counts sum to 1."""
    rng = np.random.default_rng(2)
    one, p = in_torch(name, 2, 0.5 if name in DISPERSED else None)
    both = Mixture(one, 3)
    eta = torch.from_numpy(rng.normal(-1, 0.7, both.n_readout))
    w, etas = torch.softmax(eta[:3], 0), eta[3:].reshape(3, 2)
    pairs = torch.from_numpy(np.array(list(itertools.product(range(60), repeat=2)))).double()
    p_joint = both.log_prob(p, eta.expand(len(pairs), -1), pairs).exp()
    expected = sum(w[m] * one.log_prob(p, etas[m].expand(len(pairs), 2), pairs).exp() for m in range(3))
    assert torch.allclose(p_joint, expected, rtol=1e-10) and abs(p_joint.sum().item() - 1) < 1e-8
    assert torch.allclose(both.mean(p, eta), p_joint @ pairs, atol=1e-7)
    drawn = both.draw(p, eta.expand(20_000, -1), torch.Generator().manual_seed(0))
    covariance = (p_joint * pairs[:, 0] * pairs[:, 1]).sum() - both.mean(p, eta).prod()
    products = (drawn[:, 0] - drawn[:, 0].mean()) * (drawn[:, 1] - drawn[:, 1].mean())
    assert abs(products.mean() - covariance) < 4.5 * products.std() / 20_000**0.5
    assert abs(drawn.mean(0) - both.mean(p, eta)).max() < 0.05


@pytest.mark.parametrize("name", list(DISPERSIONS))
def test_learning_starts_at_the_null(name, counts):
    recording = rec.with_observation(counts, name)
    data = Data.of(recording, range(20))
    null = models.Null().fit(recording, range(20), range(20, 26)).log_prob(recording, range(20)).values
    observation = observation_of(data)
    start = observation.start_parameters(data.y, data.valid, np.random.default_rng(0))
    p = {k: torch.from_numpy(v) for k, v in start.items()}
    y = torch.from_numpy(data.y).double()
    mine = observation.log_prob(p, p["readout_bias"].expand(y.shape), y).sum().item()
    assert mine == pytest.approx(null.sum(), rel=3e-3)


# -- dispersions --------------------------------------------------------------------------------------


def simulated(name, dispersion, rate, seed=0):
    """Counts with means `rate` (bin, unit)."""
    emission = emission_named(name, rate.shape[1], SUPPORT)
    spread = np.broadcast_to(dispersion, rate.shape)
    return emission, emission.draw({"rate": rate, "dispersion": spread}, np.random.default_rng(seed))


CHOSEN = {"negative_binomial": [0.3, 1.0, 3.0], "conway_maxwell": [0.5, 1.5, 4.0]}
TRUE = {name: np.array(CHOSEN.get(name, [0.2, 0.5, 1.0])) for name in DISPERSED}


@pytest.mark.parametrize("name", list(TRUE))
def test_dispersion_is_recovered_given_the_means(name):
    """Every bin its own rate, and bins grouped by rate: the same answer, near the truth and at the maximum."""
    t = np.arange(20_000)[:, None]
    rate = np.round(np.exp(0.8 * np.sin(t / np.array([7.0, 11.0, 13.0]))), 1)
    emission, y = simulated(name, TRUE[name], rate)
    found = emission.fit_dispersion([rate], y)["dispersion"]
    assert np.allclose(found, TRUE[name], rtol=0.12)
    values = np.unique(rate)
    n = np.stack([(rate[:, 0] == v).sum() for v in values])
    total = np.stack([y[rate[:, 0] == v, 0].sum() for v in values])[:, None]
    grouped = emission.dispersion(values[:, None], n, total, y[:, :1])["dispersion"]
    assert np.allclose(grouped, found[:1], rtol=1e-3)

    def score(factor):
        return emission.log_prob({"rate": rate, "dispersion": found * factor}, y).sum()

    assert score(1.0) > max(score(0.97), score(1.03))


@pytest.mark.parametrize("name", list(TRUE))
def test_a_silent_unit_is_poisson(name):
    emission, y = simulated(name, TRUE[name], np.full((500, 3), 0.5))
    y[:, 1] = 0
    p = emission.estimate(y[None], np.ones((1, 500), bool))
    assert np.log(p["dispersion"][1]) == emission.like_poisson
    assert np.isfinite(emission.log_prob(p, y + 1)).all()


def two_states(name, seed=0, trials=120, bins=25):
    """A recording of two alternating states, its units' rates and the states' path (trial, bin)."""
    rng = np.random.default_rng(seed)
    path = np.zeros((trials, bins), int)
    path[:, 0] = rng.integers(0, 2, trials)
    for t in range(1, bins):
        path[:, t] = np.where(rng.random(trials) < 0.9, path[:, t - 1], 1 - path[:, t - 1])
    rates = np.array([[0.3, 3.0, 1.0], [2.5, 0.4, 1.0]])[path]
    _, y = simulated(name, TRUE[name], rates.reshape(-1, 3), seed)
    return rec.from_counts(y.reshape(rates.shape), bin_width=0.02, observation=name)


@pytest.mark.parametrize("name", list(TRUE))
@pytest.mark.parametrize(
    "model",
    [
        models.Markov(states=2, restarts=1),
        models.Rate(hidden=8, epochs=25, batch=8, learning_rate=0.03),
        models.Esn(hidden=40),
    ],
    ids=["markov", "rate", "esn"],
)
def test_models_learn_the_dispersion(model, name):
    """Counts whose means the model has to find too: nearer to the truth than the null, for which all is dispersion."""
    recording = two_states(name)
    fit = model.fit(recording, range(80), range(80, 100))
    p = fit.params
    found = p["dispersion"][0] if "dispersion" in p else np.exp(p["log_dispersion"][0].numpy())
    null = models.Null().fit(recording, range(80), range(80, 100))
    outer = null.params["dispersion"][0]
    error, before = np.abs(np.log(found / TRUE[name])), np.abs(np.log(outer / TRUE[name]))
    assert error[2] < 0.5  # the unit that has one rate
    assert (error[:2] < 0.8 * before[:2]).all()
    gain = (
        fit.log_prob(recording, range(100, 120)).values.sum()
        - null.log_prob(recording, range(100, 120)).values.sum()
    )
    assert gain > 0


def test_em_of_the_chain_raises_the_likelihood():
    """Rounds of EM on the predictive mixture: the training score never falls."""
    from cortseq.models.chains import encoder, state_chain

    recording = two_states("conway_maxwell")
    scores = []
    for rounds in (0, 1, 2, 5):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(state_chain, "_DISPERSION_ROUNDS", rounds)
            patch.setattr(encoder, "DECAYS", (0.6,))
            fit = models.Markov(states=4, restarts=1).fit(recording, range(80), range(80, 100))
        scores.append(fit.log_prob(recording, range(80)).values.sum())
    assert (np.diff(scores) > 0).all() and np.diff(scores)[-1] < np.diff(scores)[0]


# -- what it is worth -------------------------------------------------------------------------------


def test_bits_per_spike_of_the_true_rate_in_closed_form():
    """r = r0 (1 + m cos): ln((1 + s) / 2) + 1 - s nats per spike over the constant rate, s = sqrt(1 - m^2)."""
    r0, m, n = 0.5, 0.8, 400
    phase = 2 * np.pi * np.arange(100) / 100
    rate = np.broadcast_to(r0 * (1 + m * np.cos(phase))[:, None], (n, 100, 1))
    s = np.sqrt(1 - m**2)
    closed = (np.log((1 + s) / 2) + 1 - s) / np.log(2)
    y = np.random.default_rng(0).poisson(rate)
    recording = rec.from_counts(y, bin_width=0.02)
    emission = emission_of(Data.of(recording))
    true, null = (emission.log_prob({"rate": r}, y) for r in (rate, np.full((1, 1, 1), r0)))
    each = (true - null).sum(1) / (y.sum() / n * np.log(2))
    found = scoring.bits_per_spike(true, null, y.sum(-1))
    assert found == pytest.approx(each.mean(), rel=1e-12)
    assert abs(found - closed) < 4 * each.std() / np.sqrt(n)
    counts = np.arange(40.0)[:, None]  # and without sampling noise, by summing over all counts
    gains = [
        (np.exp(a) * (a - emission.log_prob({"rate": np.array([r0])}, counts))).sum()
        for a in (emission.log_prob({"rate": np.array([r])}, counts) for r in rate[0, :, 0])
    ]
    assert np.mean(gains) / (r0 * np.log(2)) == pytest.approx(closed, abs=1e-12)


def test_a_mixture_network_beats_a_plain_one_on_counts_that_vary_together():
    """A coin per bin says which half of the units is active: only a mixture can say so. The truth is the ceiling."""
    rng = np.random.default_rng(0)
    rates = np.array([[1.5] * 4 + [0.1] * 4, [0.1] * 4 + [1.5] * 4])
    coin = rng.integers(0, 2, (160, 20))
    recording = rec.from_counts(rng.poisson(rates[coin]), bin_width=0.02)
    y = recording["counts"].values[130:]
    each = stats.poisson(rates).logpmf(y[..., None, :]).sum(-1)
    ceiling = np.logaddexp(*np.moveaxis(each - np.log(2), -1, 0)).sum()
    scores = {}
    for components in (1, 2):
        model = models.Rate(hidden=6, epochs=40, mixture=components)
        fit = model.fit(recording, range(100), range(100, 130))
        scores[components] = fit.log_prob(recording, range(130, 160)).values.sum()
        assert np.allclose(fit.predict(recording, range(130, 160)).values.mean((0, 1, 2)), 0.8, atol=0.1)
        assert fit.card["execution"] == "compiled"
    spikes = y.sum() * np.log(2)
    assert (scores[2] - scores[1]) / spikes > 0.3 and (ceiling - scores[2]) / spikes < 0.05


# -- what is chosen where ---------------------------------------------------------------------------


def test_the_study_chooses_and_the_recording_says_so():
    entry = Synthetic(source="synthetic", kind="poisson", trials=4, observation="conway_maxwell")
    recording = preprocess(entry.load(None, 0), entry)
    assert rec.observation(recording) == "conway_maxwell"
    assert recording.attrs["support"] == 2 * recording["counts"].values.max() + 20
    assert Data.of(recording, [1]).support == recording.attrs["support"]
    plain = entry.model_copy(update={"observation": None})
    assert rec.observation(preprocess(plain.load(None, 0), plain)) == "poisson"
    spikes = rec.from_spikes([0.1], [0], [0], window=(0, 1), bin_width=0.1, observation="negative_binomial")
    assert Data.of(spikes).observation == "negative_binomial"


def test_only_counts_have_a_choice(counts, symbols, signal):
    for recording, name in ((counts, "gaussian"), (symbols, "poisson"), (signal, "conway_maxwell")):
        with pytest.raises(CortseqError, match=f"observation.*got '?{name}"):
            rec.with_observation(recording, name)
    with pytest.raises(ValueError, match="observation: is for counts"):
        Synthetic(source="synthetic", kind="even", observation="poisson")


def test_a_fit_refuses_another_observation_model(counts):
    fit = models.Null().fit(counts, range(20), range(20, 26))
    assert fit.card["observation"] == "poisson"
    with pytest.raises(CortseqError, match=r"observation.*negative_binomial"):
        fit.log_prob(rec.with_observation(counts, "negative_binomial"))


def test_the_support_is_the_fits_own(counts):
    """Other trials with larger counts do not move the probabilities of these."""
    recording = rec.with_observation(counts, "conway_maxwell")
    fit = models.Null().fit(recording, range(20), range(20, 26))
    other = counts.copy(deep=True)
    other["counts"][39] = 18
    again = fit.log_prob(rec.with_observation(other, "conway_maxwell")).values
    assert np.array_equal(fit.log_prob(recording).values[:, :39], again[:, :39])


def test_the_support_follows_from_training_trials(counts):
    """Not from those it is scored on, whose counts beyond it have no probability: that is said."""
    other = counts.copy(deep=True)
    most = int(counts["counts"].values[:20].max())
    other["counts"].values[39, 0, 0] = 2 * most + 21
    recording = rec.with_observation(other, "conway_maxwell")
    for family in ("null", "rate"):
        fit = small(family).fit(recording, range(20), range(20, 26))
        assert fit.card["support"] == 2 * most + 20
        assert np.isfinite(fit.log_prob(recording, range(39)).values).all()
        with pytest.raises(CortseqError, match=rf"beyond the support.*got {2 * most + 21}"):
            fit.log_prob(recording, [39])
        with pytest.raises(CortseqError, match="beyond the support"):
            small(family).fit(recording, range(20), [25, 39])


def test_a_mixture_is_for_counts(symbols, signal):
    for recording in (symbols, signal):
        with pytest.raises(CortseqError, match=r"mixture.*got 2"):
            models.Rate(mixture=2).fit(recording, range(20), range(20, 26))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(7,), (5, 3), (4, 2, 9), (300, 41)])
def test_a_chosen_index_is_that_of_multinomial(shape, dtype):
    """The same numbers from the same generator, which then stands where multinomial leaves it."""
    weights = torch.rand(shape, generator=torch.Generator().manual_seed(1), dtype=dtype)
    ours, theirs = (torch.Generator().manual_seed(2) for _ in range(2))
    for _ in range(3):
        expected = torch.multinomial(weights.reshape(-1, shape[-1]), 1, generator=theirs)
        assert torch.equal(arrays.chosen(weights, ours), expected.reshape(shape[:-1]))


@pytest.mark.parametrize("members", [(), (3,)])
def test_sums_of_conway_maxwell_on_a_gpu_are_the_compiled_ones(members):
    """Run on a CPU: ln Z and both gradients (1e-10); two numbers are kept for each eta."""
    face = readout("conway_maxwell", 4, 40)
    random = torch.Generator().manual_seed(0)
    eta = torch.randn(*members, 5, 6, 4, generator=random, dtype=torch.float64)
    nu = (0.5 + torch.rand(*members, *(1, 1) * len(members), 4, generator=random)).double()
    found, kept = [], []
    for sums in (face._sums, lambda *given: normaliser.compiled_sums(*given, support=40)):
        leaves = [value.clone().requires_grad_() for value in (eta, nu)]
        with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
            log_z = normaliser.LogNormaliser.apply(*leaves, sums)
        log_z.square().sum().backward()
        found.append([log_z.detach(), *(value.grad for value in leaves)])
    assert kept == [eta.numel()] * 4
    for ours, theirs in zip(*found, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-10, atol=1e-10)
