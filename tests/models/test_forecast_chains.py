"""Forecasts of chains against sums over all label sequences."""

import itertools

import numpy as np
import pytest
from scipy.stats import poisson

from cortseq import models
from cortseq import recording as rec
from cortseq.data import Data
from cortseq.models.chains import chain

SPECS = {
    "order0": models.Markov(order=0, states=3, restarts=1),
    "order1": models.Markov(order=1, states=3, restarts=1),
    "order3": models.Markov(order=3, states=3, restarts=1),
    "order2_kneser_ney": models.Markov(order=2, states=3, restarts=1, smoothing="kneser_ney"),
    "order2_jelinek_mercer": models.Markov(order=2, states=3, restarts=1, smoothing="jelinek_mercer"),
    "order2_additive": models.Markov(order=2, states=3, restarts=1, smoothing="additive"),
    "ctw4": models.ContextTree(depth=4, states=3, restarts=1),
}
HORIZONS = (1, 2, 3, 5)


def row(model, history):
    labels = np.array([[*history, 0]])
    return model.rows(model.contexts(labels, np.ones(labels.shape, bool)))[0, -1]


def ahead(model, history, h):
    """P(label h steps after history): the sum over all labels between."""
    total = np.zeros(model.m)
    for between in itertools.product(range(model.m), repeat=h - 1):
        p = np.prod([row(model, [*history, *between[:i]])[w] for i, w in enumerate(between)])
        total += p * row(model, [*history, *between])
    return total


@pytest.mark.parametrize("name", SPECS)
def test_labels_ahead_equal_the_sum_over_labels_between(name):
    rng = np.random.default_rng(1)
    train = [rng.choice(3, size=n, p=[0.6, 0.3, 0.1]) for n in (40, 3, 25)]
    fit = SPECS[name].fit_sequences(train, n_symbols=3, valid=[rng.integers(0, 3, 30)])
    x = rng.integers(0, 3, 7)
    data = Data.of(rec.from_symbols([x], n_symbols=3))
    found = fit.model.forecast(fit.params, data, HORIZONS)[0, 0]
    model = chain.Chain({k: v[0] for k, v in fit.params.items()}, 3)
    for i, h in enumerate(HORIZONS):
        expected = [np.log(ahead(model, x[: t - h + 1], h)[x[t]]) for t in range(h - 1, len(x))]
        np.testing.assert_allclose(found[h - 1 :, i], expected, atol=1e-10)
        assert np.isnan(found[: h - 1, i]).all()


def test_order_one_is_a_power_of_the_matrix():
    rng = np.random.default_rng(2)
    fit = models.Markov(order=1).fit_sequences([rng.choice(4, size=200, p=[0.4, 0.3, 0.2, 0.1])], n_symbols=4)
    model = chain.Chain({k: v[0] for k, v in fit.params.items()}, 4)
    matrix = np.stack([row(model, [s]) for s in range(4)])
    x = rng.integers(0, 4, 30)
    found = fit.model.forecast(fit.params, Data.of(rec.from_symbols([x], n_symbols=4)), (10,))[0, 0, :, 0]
    power = np.linalg.matrix_power(matrix, 10)
    np.testing.assert_allclose(found[10:], np.log(power[x[:20], x[10:]]), atol=1e-12)


@pytest.mark.parametrize("name", ["order1", "order3", "ctw4"])
def test_counts_ahead_equal_the_sum_over_states(counts, name):
    fit = SPECS[name].fit(counts, range(20), range(20, 26))
    p = {k: v[0] for k, v in fit.params.items()}
    data = Data.of(counts, [30])
    found = fit.model.forecast(fit.params, data, (1, 3))[0, 0]
    np.testing.assert_allclose(found[:, 0], fit.log_prob(counts, [30]).values[0, 0], atol=1e-10)
    from cortseq.models.chains import encoder

    labels, model = encoder.labels(p, data)[0], chain.Chain(p, 3)
    for t in (2, 3, 9):
        by_state = [poisson.pmf(data.y[0, t], p["rate"][j]).prod() for j in range(3)]
        expected = np.log(ahead(model, labels[: t - 2], 3) @ by_state)
        assert found[t, 1] == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("name", ["order3", "ctw4"])
def test_first_horizon_is_the_score_and_missing_bins_are_nan(any_recording, name):
    holes = any_recording.copy(deep=True)
    holes["valid"][:, 3] = False
    fit = SPECS[name].fit(holes, range(15), range(15, 20))
    data = Data.of(holes, range(20, 28))
    found = fit.model.forecast(fit.params, data, (1, 2, 40))
    np.testing.assert_allclose(found[..., 0], fit.log_prob(holes, range(20, 28)).values, atol=1e-9)
    assert np.isnan(found[:, ~data.valid]).all() and np.isnan(found[..., 2]).all()
    later = found[:, :, 1:, 1]
    assert np.array_equal(np.isfinite(later), np.broadcast_to(data.valid[:, 1:], later.shape))


def test_columns_in_parts_are_the_same(monkeypatch, counts):
    from cortseq.models.chains import state_chain

    fit = SPECS["order3"].fit(counts, range(20), range(20, 26))
    whole = fit.model.forecast(fit.params, Data.of(counts), HORIZONS)
    monkeypatch.setattr(state_chain, "_AT_ONCE", 1)
    np.testing.assert_allclose(fit.model.forecast(fit.params, Data.of(counts), HORIZONS), whole, atol=1e-12)


def test_far_ahead_only_the_stationary_distribution_is_left():
    rng = np.random.default_rng(4)
    x = rng.choice(3, size=3000, p=[0.5, 0.3, 0.2])
    fit = models.ContextTree(depth=3).fit_sequences([x], n_symbols=3)
    every = rec.from_symbols([np.array([a, *[0] * 199, b]) for a in range(3) for b in range(3)], n_symbols=3)
    far = np.exp(fit.model.forecast(fit.params, Data.of(every), (150,))[0, :, -1, 0]).reshape(3, 3)
    np.testing.assert_allclose(far.sum(1), 1, atol=1e-12)
    np.testing.assert_allclose(far, far[:1].repeat(3, 0), atol=1e-9)
    np.testing.assert_allclose(far[0], np.bincount(x) / 3000, atol=0.01)
