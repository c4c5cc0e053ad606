"""Switching linear dynamical systems against enumeration, brute-force integration, linear systems and known truths."""

import itertools

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from cortseq import models
from cortseq import recording as rec
from cortseq.data import Data
from cortseq.errors import CortseqError
from cortseq.models.state_space import draws, particles, switching

Lds, Slds = models.find("lds"), models.find("slds")


def covariance(rng, n):
    root = rng.normal(size=(n, n + 2))
    return 0.2 * root @ root.T / n


def random_params(rng, states=2, n=2, features=3, inputs=0, recurrent=False, n_particles=64):
    """Parameters of one member without a read-out's own."""
    chain = rng.dirichlet(np.ones(states), states + 1)
    p = {
        "initial": chain[0],
        "switch": chain[1:],
        "transition": np.stack([0.9 * np.linalg.qr(rng.normal(size=(n, n)))[0] for _ in range(states)]),
        "offset": 0.5 * rng.normal(size=(states, n)),
        "drive": 0.5 * rng.normal(size=(states, n, inputs)),
        "noise": np.stack([covariance(rng, n) for _ in range(states)]),
        "start_mean": rng.normal(size=n),
        "start_drive": 0.5 * rng.normal(size=(n, inputs)),
        "start_noise": covariance(rng, n),
        "loading": rng.normal(size=(features, n)),
        "level": 0.3 * rng.normal(size=features),
        "particles": np.array(float(n_particles)),
    }
    return p | ({"pull": rng.normal(size=(states, n))} if recurrent else {})


def signals(rng, skip, time=6, trials=4, **more):
    """A model of signals, its parameters with the member axis, and made-up trials with gaps and ragged ends."""
    p = random_params(rng, **more)
    n = len(p["level"])
    p |= {"sd": rng.uniform(0.3, 0.8, n), "centre": rng.normal(size=n), "scale": rng.uniform(0.5, 2, n)}
    if skip:
        p["skip"] = rng.uniform(0.2, 0.7, n)
    valid = np.ones((trials, time), bool)
    valid[1, time - 2 :], valid[2, 2], valid[3, [0, 3]] = False, False, False
    inputs = p["drive"].shape[2]
    u = rng.normal(size=(trials, time, inputs)) if inputs else None
    data = Data("signal", rng.normal(size=(trials, time, n)), valid, u, 0.1, n)
    model = Slds(latents=len(p["offset"][0]), states=len(p["offset"]), skip=skip, recurrent="pull" in p)
    return model, {k: v[None] for k, v in p.items()}, data


def given_sequence(p, data, trial, sequence):
    """Mean (time * channel,) and covariance of a trial's standardised signal, given its states, built step by step.

    Everything is written as a linear map of independent standard normals.
    """
    time, n, channels = data.y.shape[1], len(p["start_mean"]), data.n_features
    skip, seen, width = p.get("skip"), data.valid[trial], data.y.shape[1] * (n + data.n_features)
    z_mean, z_map = np.zeros((time, n)), np.zeros((time, n, width))
    y_mean, y_map = np.zeros((time, channels)), np.zeros((time, channels, width))
    for t in range(time):
        k = sequence[t - 1] if t else None
        u = data.inputs[trial, t] if data.inputs is not None else np.zeros(0)
        noise = p["start_noise"] if k is None else p["noise"][k]
        if k is None:
            z_mean[t] = p["start_mean"] + p["start_drive"] @ u
        else:
            z_mean[t] = p["transition"][k] @ z_mean[t - 1] + p["offset"][k] + p["drive"][k] @ u
            z_map[t] = p["transition"][k] @ z_map[t - 1]
        z_map[t][:, t * n : (t + 1) * n] += np.linalg.cholesky(noise)
        at, follows = time * n + t * channels, bool(t and seen[t - 1])
        y_mean[t], y_map[t] = p["level"] + p["loading"] @ z_mean[t], p["loading"] @ z_map[t]
        if skip is not None and follows:
            y_mean[t] += skip * y_mean[t - 1]
            y_map[t] += skip[:, None] * y_map[t - 1]
        y_map[t][:, at : at + channels] += np.diag(p["sd"] if follows or skip is None else np.ones(channels))
    flat = y_map.reshape(-1, width)
    return y_mean.ravel(), flat @ flat.T


def by_enumeration(p, data, trial, known):
    """log p(y of the bins `known`), summed over all sequences of states."""
    total, n = [], data.n_features
    y = ((data.y[trial] - p["centre"]) / p["scale"]).ravel()
    bins = np.concatenate([np.arange(t * n, (t + 1) * n) for t in known]) if known else np.zeros(0, int)
    for sequence in itertools.product(range(len(p["initial"])), repeat=data.y.shape[1] - 1):
        prior = np.log(p["initial"][sequence[0]])
        prior += sum(np.log(p["switch"][a, b]) for a, b in itertools.pairwise(sequence))
        mean, spread = given_sequence(p, data, trial, sequence)
        seen = stats.multivariate_normal(mean[bins], spread[np.ix_(bins, bins)]).logpdf(y[bins]) if known else 0
        total.append(prior + seen)
    return logsumexp(total) - len(known) * np.log(p["scale"]).sum()


@pytest.mark.parametrize("inputs", [0, 2])
@pytest.mark.parametrize("skip", [False, True])
def test_every_bin_and_horizon_of_a_signal_equals_the_sum_over_all_sequences(skip, inputs):
    model, params, data = signals(np.random.default_rng(0), skip, inputs=inputs)
    p = {k: v[0] for k, v in params.items()}
    horizons = [1, 2, 4]
    found = model.forecast(params, data, horizons)[0]
    for trial, t in np.argwhere(data.valid):
        for i, h in enumerate(horizons):
            if t < h - 1:
                assert np.isnan(found[trial, t, i])
                continue
            past = [s for s in range(t - h + 1) if data.valid[trial, s]]
            both, before = (by_enumeration(p, data, trial, bins) for bins in ([*past, t], past))
            assert found[trial, t, i] == pytest.approx(both - before, abs=1e-9)
    assert np.array_equal(model.log_prob(params, data)[0][data.valid], found[..., 0][data.valid])
