"""Gradient descent: members, failures, determinism, learning."""

import numpy as np
import pytest
import torch
from families import small, trained

from cortseq import models
from cortseq import recording as rec
from cortseq.data import Data
from cortseq.errors import CortseqError
from cortseq.models.base import Run
from cortseq.networks.training import gradient


def _learn(model, recording, members, batched=None, dtype=np.float64, which=slice(None)):
    train, valid = Data.of(recording, range(20)), Data.of(recording, range(20, 26))
    params = {k: v[which] for k, v in model.initial(train, members, 0, dtype).items()}
    return gradient.descend(model.network(train), model.training, params, train, valid, Run(), batched)


@pytest.mark.parametrize("family", trained())
def test_a_member_equals_its_solo_fit(family, any_recording):
    """One after another, all in one batch, and alone: the same parameters (float64, 1e-10)."""
    model = small(family, hidden=6, epochs=6, hidden_dropout=0.1)
    one_by_one = _learn(model, any_recording, 3).params
    together = _learn(model, any_recording, 3, batched=True).params
    alone = _learn(model, any_recording, 3, which=slice(0, 1)).params
    for name, value in one_by_one.items():
        assert torch.allclose(value, together[name], atol=1e-10), name
        assert torch.equal(value[:1], alone[name]), name


def test_members_of_a_batch_stop_when_they_would_stop_alone(counts):
    model = models.Rate(hidden=5, epochs=20, batch=8, patience=1, learning_rate=0.05)
    alone, together = _learn(model, counts, 4), _learn(model, counts, 4, batched=True)
    assert len(set(alone.curves.groupby("member").epoch.max())) > 1  # else nothing is tested
    for name, value in alone.params.items():
        assert torch.allclose(value, together.params[name], atol=1e-10), name


def test_the_same_seed_gives_the_same_bytes(counts):
    model = models.Rate(hidden=5, epochs=3)
    a, b = (model.fit(counts, range(20), range(20, 26), members=2, seed=4) for _ in range(2))
    assert all(torch.equal(a.params[k], b.params[k]) for k in a.params)
    assert not torch.equal(a.params["recurrent"][0], a.params["recurrent"][1])


def test_best_validation_weights_are_kept(counts):
    fit = models.Rate(hidden=16, epochs=60, batch=8, input_dropout=0).fit(counts, range(20), range(20, 26))
    log_prob = np.nansum(fit.log_prob(counts, range(20, 26)).values)
    events = counts["counts"].values[20:26].sum()
    assert -log_prob / events == pytest.approx(fit.curves["valid_loss"].min(), rel=1e-4)


def test_a_network_learns_what_the_null_cannot(counts):
    fit = models.Rate(hidden=16, epochs=60, batch=8).fit(counts, range(20), range(20, 26))
    null = models.Null().fit(counts, range(20), range(20, 26))
    assert (
        fit.log_prob(counts, range(26, 40)).values.sum()
        > null.log_prob(counts, range(26, 40)).values.sum() + 50
    )


def test_a_diverging_fit_says_when(counts):
    model = models.Rate(hidden=5, epochs=3, batch=8, learning_rate=1e30, nonlinearity="relu")
    with pytest.raises(CortseqError, match=r"no member has a finite loss.*epoch \d+, step \d+"):
        model.fit(counts, range(20), range(20, 26), members=2)


def test_one_failed_member_does_not_take_the_others(counts):
    """A member that starts at NaN fails with its step; the other ends where it does alone."""
    model = models.Rate(hidden=5, epochs=3, batch=8)
    train, valid = Data.of(counts, range(20)), Data.of(counts, range(20, 26))
    for batched in (False, True):
        params = model.initial(train, 2, 0, np.float64)
        expected = _learn(model, counts, 2).params["recurrent"][1]
        params["recurrent"][0] = torch.nan
        learned = gradient.descend(model.network(train), model.training, params, train, valid, Run(), batched)
        assert list(learned.card["failed_members"]) == ["0"]
        assert "epoch 1, step 0" in learned.card["failed_members"]["0"]
        assert torch.allclose(learned.params["recurrent"][0], expected, atol=1e-10)


def test_the_learning_rate_rises_and_falls(counts):
    """Last step of each epoch: up to the full rate over the warm-up, a cosine down to 2 % of it after that."""
    model = models.Rate(hidden=4, epochs=20, batch=20, warm_up=0.25)
    curves = model.fit(counts, range(20), range(20, 26)).curves
    s = (curves["epoch"] - 1) / 20
    cosine = 0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * s))
    assert np.allclose(curves["learning_rate"], 1e-2 * cosine * np.minimum(1, s / 0.25))


def test_gradient_norm_is_clipped(counts):
    fit = models.Rate(hidden=5, epochs=2, clip=1e-6).fit(counts, range(20), range(20, 26))
    assert (fit.curves["clipped"] == 1).all()


def test_gradients_against_finite_differences(symbols):
    model = models.Stp(hidden=3, dale=True)
    data = Data.of(symbols, range(5))
    params = {k: v[0] for k, v in model.initial(data, 1, 0, np.float64).items()}
    from families import readout

    network = model.network(data)
    x, y, mask = network.tensors(params, data, slice(None), torch.float64)

    def loss(raw):
        p = {**params, "raw": raw}
        return (readout("categorical", 3).log_prob(p, network.readout(p, network.scan(p, x)), y) * mask).sum()

    assert torch.autograd.gradcheck(loss, params["raw"].clone().requires_grad_(), eps=1e-6, atol=1e-6)


def test_inputs_are_seen_at_their_own_time():
    """p(y_t) may depend on u_t but not on u_{t+1}."""
    rng = np.random.default_rng(0)
    r = rec.from_counts(rng.poisson(1.0, (30, 8, 2)), bin_width=0.02)
    r["inputs"] = ("trial", "time", "input"), rng.normal(size=(30, 8, 1))
    fit = models.Rate(hidden=4, epochs=2).fit(r, range(20), range(20, 26))
    other = r.copy(deep=True)
    other["inputs"][:, 4:] = 9.0
    a, b = fit.predict(r).values, fit.predict(other).values
    assert np.array_equal(a[:, :, :4], b[:, :, :4]) and not np.allclose(a[:, :, 4], b[:, :, 4])


def test_no_cuda_is_one_line(counts):
    if torch.cuda.is_available():
        pytest.skip("there is a device")
    with pytest.raises(CortseqError, match="no CUDA device"):
        models.Rate().fit(counts, range(20), range(20, 26), device="cuda")


@pytest.mark.slow
def test_lstm_reaches_the_entropy_rate_where_short_chains_cannot():
    """Even process: within 0.02 bits of 2/3 bit; chains of order <= 3 stay above 0.77."""
    from cortseq.sources.synthetic import SOURCE

    raw = SOURCE(source="synthetic", kind="even", trials=500, bins=100).load(None, 0)
    r = rec.from_symbols(list(raw["symbols"].values), n_symbols=2)
    ceiling = -raw["ceiling"].values[400:].mean() / np.log(2)
    fit = models.Lstm(hidden=32, epochs=100).fit(r, range(330), range(330, 400))
    loss = -fit.log_prob(r, range(400, 500)).values.mean() / np.log(2)
    chains = [models.Markov(order=k).fit(r, range(330), range(330, 400)) for k in range(4)]
    best = min(-c.log_prob(r, range(400, 500)).values.mean() / np.log(2) for c in chains)
    assert loss < ceiling + 0.02 and best > loss + 0.05
