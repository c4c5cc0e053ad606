"""What a model chooses, it chooses on validation trials: recordings whose training trials would choose otherwise."""

import numpy as np
import pytest

from cortseq import models
from cortseq import recording as rec
from cortseq.data import Data
from cortseq.models import glm
from cortseq.networks.families.esn import PENALTIES
from cortseq.scoring import cosmoothing

TRAIN, VALID = range(12), range(12, 24)


def two_kinds(train, valid):
    return rec.from_counts(np.concatenate([train, valid]), bin_width=0.02)


@pytest.fixture(scope="module")
def contradictory():
    """Training trials alternate with period 2, validation trials the other way round: what is learned is wrong there."""
    rng = np.random.default_rng(0)
    phase = (np.arange(16)[None] + rng.integers(0, 2, (12, 1))) % 2
    # in training a high bin follows a low one; in validation high bins come in pairs
    pairs = ((np.arange(16)[None] + 2 * rng.integers(0, 2, (12, 1))) // 2) % 2
    train, valid = (rng.poisson(np.where(p[..., None] == 1, [5.0, 4.0], [0.3, 0.2])) for p in (phase, pairs))
    return two_kinds(train, valid)


@pytest.fixture(scope="module")
def held_and_free():
    """In training every bin repeats the one before; validation trials are independent draws of the same mean."""
    rng = np.random.default_rng(1)
    train = np.repeat(rng.poisson(2.0, (12, 1, 3)), 20, 1)
    return two_kinds(train, rng.poisson(2.0, (12, 20, 3)))


def test_psth_smooths_as_much_as_validation_asks_for():
    """Training trials share a pattern over time that validation trials do not have."""
    rng = np.random.default_rng(2)
    pattern = rng.gamma(1.0, 2.0, (20, 3))
    recording = two_kinds(
        rng.poisson(np.broadcast_to(pattern, (12, 20, 3))), rng.poisson(pattern.mean(0), (12, 20, 3))
    )
    chosen = models.Psth().fit(recording, TRAIN, VALID).card["chosen"]
    assert chosen["shrinkage_trials"] >= 100
    chosen = models.Psth().fit(recording, range(6), range(6, 12)).card["chosen"]
    assert chosen["width_bins"] == 0 and chosen["shrinkage_trials"] == 1


def test_the_flat_mean_is_shrunk_where_validation_has_no_memory(held_and_free):
    chosen = models.registry()["flat"]().fit(held_and_free, TRAIN, VALID).card["chosen"]
    assert chosen["shrinkage_bins"] >= 10
    chosen = models.registry()["flat"]().fit(held_and_free, range(6), range(6, 12)).card["chosen"]
    assert chosen["shrinkage_bins"] <= 1


def test_persistence_takes_the_share_of_validation(held_and_free):
    persistence = models.registry()["persistence"]()
    assert persistence.fit(held_and_free, TRAIN, VALID).card["chosen"]["share"] < 0.2
    assert persistence.fit(held_and_free, range(6), range(6, 12)).card["chosen"]["share"] > 0.9


def test_a_chain_smooths_as_much_as_validation_asks_for():
    rng = np.random.default_rng(3)
    cyclic = (rng.integers(0, 3, (12, 1)) + np.arange(20)) % 3
    symbols = rec.from_symbols([*cyclic, *rng.integers(0, 3, (12, 20))], n_symbols=3)
    chain = models.Markov(smoothing="additive")
    assert chain.fit(symbols, TRAIN, VALID).card["chosen"]["alpha"] == 10.0
    assert chain.fit(symbols, range(6), range(6, 12)).card["chosen"]["alpha"] < 10.0


def test_a_hidden_markov_model_keeps_the_iterate_that_is_best_on_validation(contradictory):
    fit = models.Hmm(states=4, prior=0.1, patience=8).fit(contradictory, TRAIN, VALID)
    curve = fit.curves
    at = int(curve["valid_loss"].idxmin())
    assert curve["epoch"][at] == fit.card["best_iteration"][0] < fit.card["iterations"][0]
    assert curve["train_loss"].iloc[-1] < curve["train_loss"][at]
    events = contradictory["counts"].values[12:].sum()
    loss = -np.nansum(fit.log_prob(contradictory, VALID).values) / events
    assert loss == pytest.approx(curve["valid_loss"][at], rel=1e-5)


def test_a_regression_learns_nothing_where_validation_contradicts(contradictory):
    fit = models.Glm(history=4).fit(contradictory, TRAIN, VALID)
    assert fit.card["chosen"]["penalty"] == pytest.approx(glm.PENALTIES[0])
    agrees = models.Glm(history=4).fit(contradictory, range(6), range(6, 12))
    assert agrees.card["chosen"]["penalty"] < 1


@pytest.mark.parametrize("track", ["counts", "signal"])
def test_a_read_out_learns_nothing_where_validation_contradicts(track, contradictory):
    recording = contradictory
    if track == "signal":
        rng = np.random.default_rng(4)
        noisy = contradictory["counts"].values + rng.normal(0, 0.1, contradictory["counts"].shape)
        recording = rec.from_signal(noisy, bin_width=0.02)
    model = models.Esn(hidden=30, skip=False, input_scale=1.0)
    assert model.fit(recording, TRAIN, VALID).card["penalties"][0] == pytest.approx(PENALTIES[0])
    assert model.fit(recording, range(6), range(6, 12)).card["penalties"][0] < 0.1


def test_a_smoother_has_the_states_that_validation_chooses(monkeypatch):
    """Validation trials switch like training trials; test trials do not, and one state would predict them best."""
    monkeypatch.setattr(cosmoothing, "HMM_STATES", (1, 2))
    rng = np.random.default_rng(5)

    def data(switching: bool) -> Data:
        state = (np.arange(20)[None] // 5 + rng.integers(0, 2, (10, 1))) % 2
        rates = np.where(state[..., None] == 1, [4.0, 4.0, 4.0, 0.2], [0.3, 0.3, 0.3, 3.0])
        rates = (
            rates
            if switching
            else np.where(state[..., None] == 1, [4.0, 4.0, 4.0, 1.6], [0.3, 0.3, 0.3, 1.6])
        )
        return Data.of(rec.from_counts(rng.poisson(rates), bin_width=0.02))

    train, valid, test = data(True), data(True), data(False)
    rates = cosmoothing._hmm(train, valid, test, np.arange(3), np.array([3]), 1, 0)
    assert rates.shape == (1, 10, 20, 1) and np.ptp(rates) > 1
