"""Generators against known answers: exact likelihoods by enumeration, entropy rates, frequencies."""

import itertools

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.special import logsumexp

from cortseq.errors import CortseqError
from cortseq.sources.synthetic import (
    GENERATORS,
    Synthetic,
    forward_filter,
    poisson_log_prob,
    ring_transition,
    sample_chain,
    stationary,
    symbol_filter,
)

SYMBOLS = [kind for kind, entry in GENERATORS.items() if entry.track == "symbols"]
COUNTS = [kind for kind, entry in GENERATORS.items() if entry.track == "counts"]


def load(kind, seed=0, **options):
    return Synthetic(kind=kind, **options).load(None, seed)


def brute_force(initial, transition, expected, counts):
    """log p(y_1..y_t) for every t, by summing over all paths."""
    total = []
    for length in range(1, len(counts) + 1):
        paths = []
        for path in itertools.product(range(len(initial)), repeat=length):
            log_p = np.log(initial[path[0]])
            log_p += sum(np.log(transition[a, b]) for a, b in itertools.pairwise(path))
            log_p += poisson_log_prob(counts[:length], expected[list(path)]).sum()
            paths.append(log_p)
        total.append(logsumexp(paths))
    return np.array(total)


def emission(counts, expected):
    return poisson_log_prob(counts[:, :, None, :], expected)


def test_hmm_filter_equals_sum_over_paths():
    rng = np.random.default_rng(1)
    initial, transition = rng.dirichlet(np.ones(3)), rng.dirichlet(np.ones(3), 3)
    expected = rng.gamma(2.0, 1.0, (3, 4))
    counts = rng.poisson(2.0, (2, 5, 4))
    ours = forward_filter(initial, transition, emission(counts, expected))
    for trial in range(2):
        np.testing.assert_allclose(
            ours[trial].cumsum(), brute_force(initial, transition, expected, counts[trial]), rtol=1e-12
        )


def test_ring_filter_equals_sum_over_paths_on_a_tiny_grid():
    grid, bins = 4, 4
    raw = load("ring", trials=3, units=3, bins=bins, grid=grid, diffusion_deg=40.0, reversal=0.2, bin_ms=50)
    angle, preferred = 2 * np.pi * np.arange(grid) / grid, 2 * np.pi * np.arange(3) / 3
    tuning = 0.05 * (1 + 50 * np.exp(4 * (np.cos(angle[:, None] - preferred) - 1)))
    transition = ring_transition(grid, 2 * np.pi * 0.8 * 0.05, np.deg2rad(40.0), 0.2)
    initial = np.full(2 * grid, 0.5 / grid)
    for trial in range(3):
        expected = brute_force(initial, transition, np.tile(tuning, (2, 1)), raw.counts.values[trial])
        np.testing.assert_allclose(raw.ceiling.values[trial].cumsum(), expected, rtol=1e-10)


def test_ring_transition_is_circulant_with_the_stated_step():
    grid, step, sd, reversal = 60, 0.3, 0.15, 0.1
    p = ring_transition(grid, step, sd, reversal)
    np.testing.assert_allclose(p.sum(1), 1.0)
    forwards = p[:grid, :grid] / (1 - reversal)
    np.testing.assert_allclose(forwards[7], np.roll(forwards[0], 7))
    mean = (forwards[0] * np.exp(2j * np.pi * np.arange(grid) / grid)).sum()
    assert np.angle(mean) == pytest.approx(step, abs=1e-6)
    assert np.sqrt(-2 * np.log(abs(mean))) == pytest.approx(sd, rel=1e-3)
    np.testing.assert_allclose(p[:grid, grid:].sum(1), reversal)


def test_ring_ceiling_is_worth_reaching_and_below_the_true_rates():
    raw = load("ring", trials=100)
    counts, rates = raw.counts.values, raw.true_rates.values
    null = poisson_log_prob(counts, np.broadcast_to(counts.mean((0, 1)), counts.shape)).sum()
    bits = np.array([raw.ceiling.values.sum(), poisson_log_prob(counts, rates).sum()]) - null
    ceiling, truth = bits / counts.sum() / np.log(2)
    assert 0.5 < ceiling < 1.2 and ceiling < truth
    assert 5 < counts.mean() / 0.02 < 20


def test_ring_covariate_is_the_angle_that_sets_the_rates():
    raw = load("ring", trials=5, covariates={"heading": "angle"})
    best = raw.true_rates.values.argmax(-1) * 2 * np.pi / raw.sizes["unit"]
    assert np.cos(best - raw.covariate_heading.values).min() > np.cos(2 * np.pi / 60)
    with pytest.raises(CortseqError, match=r"covariates\.heading.*'speed'.*angle"):
        load("ring", trials=5, covariates={"heading": "speed"})


def test_hmm_dwells_and_fires_as_stated():
    raw = load("hmm", trials=200, bins=200, dwell_ms=100.0, rate_hz=20.0, covariates={"state": "state"})
    state = raw.covariate_state.values
    leaves = (state[:, 1:] != state[:, :-1]).mean()
    assert leaves == pytest.approx(0.2, abs=4 * np.sqrt(0.16 / state[:, 1:].size))
    residual = raw.counts.values - raw.true_rates.values
    assert (residual**2 / raw.true_rates.values).mean() == pytest.approx(1.0, abs=0.02)


def test_poisson_ceiling_is_the_likelihood_of_the_rates():
    raw = load("poisson", trials=50)
    assert np.ptp(raw.true_rates.values, axis=(0, 1)).max() == 0
    np.testing.assert_allclose(raw.ceiling, poisson_log_prob(raw.counts.values, raw.true_rates.values))


@pytest.mark.parametrize(("gain", "alive"), [(0.5, False), (2.0, True)])
def test_chaotic_network_lives_above_gain_one_only(gain, alive):
    """Below gain 1 the origin is stable: rates are flat at rate_hz (Sompolinsky et al. 1988)."""
    rates = load("chaotic", trials=20, gain=gain, neurons=200, rate_hz=10.0).true_rates.values / 0.02
    assert (np.abs(rates - 10).max() > 1.0) == alive


@pytest.mark.parametrize("kind", SYMBOLS)
def test_ceiling_of_symbols_reaches_the_entropy_rate(kind):
    """After the transient, -log2 p(x_t | x_<t) averages to the entropy rate, within 3 standard errors."""
    raw = load(kind, seed=3, trials=400, bins=100)
    per_trial = -raw.ceiling.values[:, 40:].mean(1) / np.log(2)
    error = per_trial.std(ddof=1) / np.sqrt(len(per_trial))
    assert abs(per_trial.mean() - raw.attrs["entropy_rate_bits"]) < 3 * error + 1e-9


@pytest.mark.parametrize("kind", ["even", "golden_mean"])
def test_entropy_rate_is_two_thirds_of_a_bit(kind):
    assert load(kind, trials=2).attrs["entropy_rate_bits"] == pytest.approx(2 / 3)


def block_entropy(symbols, length):
    """Entropy in bits of blocks of `length` binary symbols."""
    windows = np.lib.stride_tricks.sliding_window_view(symbols.astype(int), length, axis=1)
    counts = np.bincount((windows @ 2 ** np.arange(length)).ravel())
    counts = counts[counts > 0]
    p = counts / counts.sum()
    return -(p * np.log2(p)).sum()


def test_no_finite_order_reaches_the_even_process():
    """h_0 and h_1 of the even process by hand; all orders stay above 2/3 bit."""
    x = load("even", seed=5, trials=2000, bins=200).symbols.values
    h = [block_entropy(x, k + 1) - (block_entropy(x, k) if k else 0) for k in range(5)]

    def binary(p):
        return -p * np.log2(p) - (1 - p) * np.log2(1 - p)

    # p(1) = 2/3; p(1|1) = 3/4, p(1|0) = 1/2
    known = [binary(2 / 3), 2 / 3 * binary(3 / 4) + 1 / 3]
    np.testing.assert_allclose(h[:2], known, atol=0.003)
    assert all(a > b for a, b in itertools.pairwise(h)) and h[-1] > 2 / 3 + 0.01
    ones = np.array([len(run) for row in x for run in "".join(map(str, row)).split("0")[1:-1]])
    assert (ones % 2 == 0).all()


def test_orders_below_the_memory_see_coins():
    parity = load("parity", seed=2, trials=2000, order=4, noise=0.05).symbols.values
    copies = load("lag_copy", seed=2, trials=2000, symbols=2, lag=4, noise=0.1).symbols.values
    for x in (parity, copies):
        assert block_entropy(x, 4) - block_entropy(x, 3) > 0.999
        assert block_entropy(x, 5) - block_entropy(x, 4) < 0.5


@pytest.mark.parametrize("kind", ["parity", "lag_copy"])
def test_closed_form_ceiling_equals_the_belief_filter(kind):
    """The same law as a hidden chain over the last three bits, filtered from an unknown start."""
    noise, order = 0.2, 3
    option = {"parity": "order", "lag_copy": "lag"}[kind]
    size = {} if kind == "parity" else {"symbols": 2}
    raw = load(kind, trials=20, bins=12, noise=noise, **{option: order}, **size)
    moves = np.zeros((2, 8, 8))
    for state in range(8):
        bits = [state >> 2 & 1, state >> 1 & 1, state & 1]
        likely = sum(bits) % 2 if kind == "parity" else bits[0]
        wrong = noise if kind == "parity" else noise / 2
        for x in (0, 1):
            moves[x, state, (state << 1 & 7) | x] = 1 - wrong if x == likely else wrong
    expected = symbol_filter(np.full(8, 1 / 8), moves, raw.symbols.values)
    np.testing.assert_allclose(raw.ceiling.values, expected, atol=1e-12)


def test_symbol_filter_equals_sum_over_paths():
    rng = np.random.default_rng(4)
    moves = rng.dirichlet(np.ones(6), 3).reshape(3, 2, 3).transpose(1, 0, 2)
    initial, x = rng.dirichlet(np.ones(3)), rng.integers(2, size=(1, 5))
    ours = symbol_filter(initial, moves, x)[0].sum()
    paths = itertools.product(range(3), repeat=6)
    p = sum(initial[s[0]] * np.prod([moves[x[0, t], s[t], s[t + 1]] for t in range(5)]) for s in paths)
    assert ours == pytest.approx(np.log(p), rel=1e-12)


def test_chain_transitions_occur_as_often_as_its_matrix_says():
    raw = load("chain", seed=9, symbols=4, trials=500, bins=200)
    x, p = raw.symbols.values, raw.transition.values
    counts = np.zeros((4, 4))
    np.add.at(counts, (x[:, :-1].ravel(), x[:, 1:].ravel()), 1)
    n = counts.sum(1, keepdims=True)
    error = np.sqrt(p * (1 - p) / n)
    assert (abs(counts / n - p) <= 5 * error + 1e-12).all()
    first = np.log(stationary(p))[x[:, 0]]
    np.testing.assert_allclose(raw.ceiling.values[:, 0], first, rtol=1e-9)
    np.testing.assert_allclose(raw.ceiling.values[:, 1:], np.log(p)[x[:, :-1], x[:, 1:]], rtol=1e-9)


def test_sample_chain_visits_the_stationary_distribution():
    p = np.array([[0.9, 0.1], [0.3, 0.7]])
    np.testing.assert_allclose(stationary(p), [0.75, 0.25])
    path = sample_chain(np.random.default_rng(0), np.array([0.75, 0.25]), p, 2000, 50)
    assert (path == 0).mean() == pytest.approx(0.75, abs=0.01)


@pytest.mark.parametrize("kind", GENERATORS)
def test_the_seed_alone_decides(kind):
    size = {"trials": 4, "bins": 10}
    first, again, other = load(kind, 1, **size), load(kind, 1, **size), load(kind, 2, **size)
    assert first.identical(again)
    track = GENERATORS[kind].track
    assert not np.array_equal(first[track].values, other[track].values)


@pytest.mark.parametrize("kind", COUNTS)
def test_counts_have_the_size_asked_for(kind):
    raw = load(kind, trials=3, units=5, bins=7, bin_ms=10)
    assert raw.counts.shape == raw.true_rates.shape == (3, 7, 5)
    assert raw.attrs["bin_width"] == 0.01 and raw.attrs["form"] == "samples"
    assert Synthetic(kind=kind).track == "counts" and not Synthetic(kind=kind).needs_file


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"kind": "rinng"}, "kind: unknown.*'rinng'.*ring"),
        ({"kind": "ring", "lag": 3}, "lag: unknown option"),
        ({"kind": "ring", "trials": 0}, "trials:.*got 0"),
        ({"kind": "lag_copy", "noise": 1.5}, "noise:.*got 1.5"),
        ({"kind": "chain", "symbols": "many"}, "symbols:.*got 'many'"),
        ({"kind": "even", "bin_ms": -1}, "bin_ms"),
    ],
)
def test_bad_options_are_refused(entry, message):
    with pytest.raises(ValidationError, match=message):
        Synthetic(**entry)


def test_schema_lists_the_options_of_every_generator():
    schema = Synthetic.model_json_schema()
    assert schema["properties"]["kind"]["enum"] == sorted(GENERATORS)
    for entry in GENERATORS.values():
        assert set(entry.options) <= set(schema["properties"])
