"""Markov chains against hand-computed values, closed forms and brute force."""

import numpy as np
import pytest
from scipy.stats import poisson

from cortseq import models
from cortseq import recording as rec
from cortseq.data import Data
from cortseq.models.chains import encoder


def test_witten_bell_by_hand():
    """a b a b b (m = 2): order 0: (c + 2/2) / (5 + 2); after a: (c + 1 * p0) / (2 + 1); after b: T = 2."""
    fit = models.Markov(order=1).fit_sequences([np.array([0, 1, 0, 1, 1])], n_symbols=2)
    p = np.exp(fit.log_prob_sequences([np.array([0, 1, 0, 1, 1])])[0])
    p0 = np.array([2 + 2 * 0.5, 3 + 2 * 0.5]) / 7
    after_start = (np.array([1, 0]) + 1 * p0) / 2
    after_a = (np.array([0, 2]) + 1 * p0) / 3
    after_b = (np.array([1, 1]) + 2 * p0) / 4
    assert np.allclose(p, [after_start[0], after_a[1], after_b[0], after_a[1], after_b[1]])


def test_additive_by_hand():
    fit = models.Markov(order=1, smoothing="additive").fit_sequences([np.array([0, 1, 0, 1, 1])], n_symbols=2)
    alpha = fit.card["chosen"]["alpha"]
    p = np.exp(fit.log_prob_sequences([np.array([0, 1, 0])])[0])
    expected = [(1 + alpha) / (1 + 2 * alpha), (2 + alpha) / (2 + 2 * alpha), (1 + alpha) / (2 + 2 * alpha)]
    assert np.allclose(p, expected)


def test_transitions_are_not_counted_across_trials():
    fit = models.Markov(order=1).fit_sequences([np.array([0, 0]), np.array([1, 1])], n_symbols=2)
    p = fit.predict(rec.from_symbols([np.array([0, 0])], n_symbols=2)).values[0, 0, 1]
    assert p[0] == pytest.approx((1 + 1 * 0.5) / 2)  # after 0 only 0 was seen, once; order 0 is 1/2


def test_free_parameters_of_a_full_chain():
    rng = np.random.default_rng(0)
    sequences = [rng.integers(0, 8, 4000) for _ in range(10)]
    fit = models.Markov(order=3).fit_sequences(sequences, n_symbols=8)
    started = 1 + 8 + 64  # contexts that begin with the start symbol are contexts too
    assert 3584 <= fit.card["parameters"] <= 3584 + started * 7


def test_cross_entropy_reaches_the_entropy_rate():
    """C03: a known first-order chain, error ~ 1/sqrt(n)."""
    rng = np.random.default_rng(1)
    P = np.array([[0.9, 0.1], [0.2, 0.8]])
    x = np.zeros((60, 1000), int)
    for t in range(1, 1000):
        x[:, t] = rng.random(60) > P[x[:, t - 1], 0]
    fit = models.Markov(order=1).fit_sequences(list(x[:40]), n_symbols=2)
    nll = -np.concatenate([r[1:] for r in fit.log_prob_sequences(list(x[40:]))])
    pi = np.array([2 / 3, 1 / 3])
    rate = -(pi[:, None] * P * np.log(P)).sum()
    assert abs(nll.mean() - rate) < 4 * nll.std() / np.sqrt(len(nll))


def test_order_k_entropies_of_the_even_process():
    """C06: no chain of order k comes under h_k, and large data reach it."""
    from cortseq.sources.synthetic import SOURCE

    expected = [0.91830, 0.87419, 0.79248, 0.77043]
    raw = SOURCE(source="synthetic", kind="even", trials=400, bins=400).load(None, 3)
    x = list(raw["symbols"].values)
    for order, h in enumerate(expected):
        fit = models.Markov(order=order).fit_sequences(x[:200], n_symbols=2)
        nll = -np.concatenate([r[20:] for r in fit.log_prob_sequences(x[200:])]) / np.log(2)
        assert abs(nll.mean() - h) < 0.006, order


def test_mixture_prediction_against_brute_force(counts):
    """p(y_t | past) = sum_j A[s_{t-1} -> j] prod_n Pois(y_nt; lambda_jn), from the tables by hand."""
    fit = models.Markov(states=3, order=1, restarts=1).fit(counts, range(20), range(20, 26))
    p = {k: v[0] for k, v in fit.params.items()}
    y = counts["counts"].values[30]
    decay, smooth, state, total = p["decay"][0], None, 3, []
    table = {}
    for cell, n in zip(p["cells1"], p["counts1"], strict=True):
        table[divmod(int(cell), 3)] = n
    order0 = np.zeros(3)
    for cell, n in zip(p["cells0"], p["counts0"], strict=True):
        order0[cell] = n
    seen = (order0 > 0).sum()
    base = (order0 + seen / 3) / (order0.sum() + seen)
    for now in y:
        context = int(np.flatnonzero(p["keys1"] == state)[0])
        c = np.array([table.get((context, j), 0) for j in range(3)])
        row = (c + (c > 0).sum() * base) / (c.sum() + (c > 0).sum())
        total.append(np.log(sum(row[j] * poisson.pmf(now, p["rate"][j]).prod() for j in range(3))))
        smooth = now if smooth is None else decay * smooth + (1 - decay) * now
        state = int(((np.sqrt(smooth) - p["centroids"]) ** 2).sum(1).argmin())
    assert np.allclose(fit.log_prob(counts, [30]).values[0, 0], total)


def test_chain_explains_alternating_states(counts):
    fit = models.Markov(states=4, order=2).fit(counts, range(20), range(20, 26))
    null = models.Null().fit(counts, range(20), range(20, 26))
    assert (
        fit.log_prob(counts, range(26, 40)).values.sum()
        > null.log_prob(counts, range(26, 40)).values.sum() + 50
    )


def test_more_states_than_distinct_points():
    few = rec.from_counts(np.tile([[[0], [1]]], (10, 3, 1)), bin_width=0.1)
    fit = models.Markov(states=50, order=1).fit(few, range(6), range(6, 8))
    assert np.isfinite(fit.log_prob(few).values).all()


def test_longer_than_training_contexts_back_off():
    fit = models.Markov(order=8).fit_sequences([np.array([0, 1, 2])], n_symbols=3)
    assert np.isfinite(fit.log_prob_sequences([np.array([2, 2, 2, 2, 1, 0, 1, 2, 0, 1])])[0]).all()


def test_additive_without_validation_does_not_choose_on_what_it_learned():
    rng = np.random.default_rng(0)
    sequences = [rng.integers(0, 5, 12) for _ in range(4)]
    model = models.Markov(order=2, smoothing="additive")
    assert model.fit_sequences(sequences, n_symbols=5).card["chosen"]["alpha"] == 0.5
    given = models.Markov(order=2, smoothing="additive", alpha=3.0).fit_sequences(sequences, n_symbols=5)
    assert given.card["chosen"]["alpha"] == 3.0


def test_a_chain_over_many_channels_of_noise_is_not_far_below_the_null():
    """k-means of 60 channels fits its own bins; the sd is about the means of the other trials."""
    rng = np.random.default_rng(0)
    noise = rec.from_signal(rng.normal(size=(30, 20, 60)), bin_width=0.5)
    null = models.Null().fit(noise, range(20), range(20, 25)).log_prob(noise, range(25, 30)).values.mean()
    fit = models.Markov(states=16, restarts=1).fit(noise, range(20), range(20, 25))
    assert fit.log_prob(noise, range(25, 30)).values.mean() - null > -2.0
    data, p = Data.of(noise, range(20)), {k: v[0] for k, v in fit.params.items()}
    state, left = encoder.labels(p, data), np.empty((20, 20, 60))
    for trial in range(20):
        others = np.arange(20) != trial
        for s in range(16):
            y = data.y[others][state[others] == s]
            mean = (y.sum(0) + data.y.mean((0, 1))) / (len(y) + 1)
            left[trial, state[trial] == s] = mean
    assert np.allclose(p["sd"], np.sqrt(((data.y - left) ** 2).mean((0, 1))), rtol=1e-10)
