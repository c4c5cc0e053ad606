"""What a recurrent network says about bins further ahead than the next (docs/likelihood.md#prediction-tasks).

    p(y_t | y_0 .. y_{t-h}) = E p(y_t | s_t)

is the mean over futures y_{t-h+1} .. y_{t-1} drawn from the network, estimated from M of them: log-mean-exp
of M log-probabilities, which is too low by about var / 2M. Every bin of a trial is where futures begin, so
one run of the largest horizon gives all of them. Inputs of the recording count as known, missing bins as
known to be missing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from cortseq.data import Data, Params
from cortseq.errors import CortseqError
from cortseq.models.horizons import farthest
from cortseq.networks import evaluate
from cortseq.networks.network import Network, before

_NUMBERS = 2**20  # largest array of a chunk of trials, in numbers: what a cache holds
Feed = Callable[..., torch.Tensor]  # (p, eta) -> what stands for the next bin


def sampled(
    network: Network, params: Params, data: Data, horizons: Sequence[int], samples: int, seed: int
) -> np.ndarray:
    """Return the mean over futures, nats, (member, trial, time, horizon), see `Model.forecast`.

    h = 1 is the score itself.
    """
    if samples < 2:
        raise CortseqError("a forecast needs at least two futures", key="samples", value=samples)
    observation = network.observation

    def feed(member: int) -> Feed:
        generator = torch.Generator().manual_seed(
            int(np.random.SeedSequence([seed, member]).generate_state(1)[0])
        )
        return lambda p, eta: observation.draw(p, eta, generator)

    return _members(network, params, data, horizons, samples, feed)


def plug_in(network: Network, params: Params, data: Data, horizons: Sequence[int]) -> np.ndarray:
    """Return `sampled` with E[y | state] in place of draws, in one run, (member, trial, time, horizon).

    It is no probability of y_t given its past.
    """
    observation = network.observation
    return _members(network, params, data, horizons, 1, lambda member: observation.mean)


def _members(
    network: Network,
    params: Params,
    data: Data,
    horizons: Sequence[int],
    samples: int,
    feed: Callable[[int], Feed],
) -> np.ndarray:
    farthest(horizons)
    if network.memory is not None:
        raise CortseqError("a network that restarts has no forecast", key="memory", value=network.memory)
    n_trials, n_time = data.y.shape[:2]
    size = n_time * samples * max(data.n_features, network.cell.hidden)
    step = max(1, _NUMBERS // size)
    out = np.full((len(params["readout_bias"]), n_trials, n_time, len(horizons)), np.nan)
    with torch.no_grad():
        for member in range(len(out)):
            p = {name: value[member].float() for name, value in params.items()}
            fed = feed(member)
            for first in range(0, n_trials, step):
                part = data.at(slice(first, first + step))
                stop = n_time - int(np.argmax(part.valid[:, ::-1].any(0)))  # of the longest of these trials
                cut = part.at((slice(None), slice(stop)))
                out[member, first : first + step, :stop] = _run(network, p, cut, horizons, samples, fed)
    exact = data.masked(evaluate.log_prob(network, params, data))
    for i, h in enumerate(horizons):
        out[..., i] = exact if h == 1 else data.masked(out[..., i])
    return out


def _run(
    network: Network, p: Params, data: Data, horizons: Sequence[int], samples: int, feed: Feed
) -> np.ndarray:
    """Return one member's (trial, time, horizon): futures that begin before every bin, run side by side.

    States and what goes with them are (trial, begin, future, size); after j steps they stand before bin
    begin + j.
    """
    cell, observation = network.cell, network.observation
    q = cell.derive(p)
    x, y, valid = network.tensors(p, data, slice(None), torch.float32)
    n_time, n_inputs = y.shape[1], data.n_inputs
    whole = network.scan(p, x, states=True)
    state = tuple(s.unsqueeze(2) for s in whole.split(network.sizes(q), -1))
    smooth, last = _smoothed(network, p, data), before(p, x, valid)
    last = None if last is None else last.unsqueeze(2)
    out = np.full((*y.shape[:2], len(horizons)), np.nan)
    for j in range(min(max(horizons), n_time)):
        eta = network.readout(p, cell.output(q, state), last)
        if j + 1 in horizons:
            came = y[:, j:].unsqueeze(2)
            came = came.expand(eta.shape[:-1]) if data.kind.has_labels else came
            each = observation.log_prob(p, eta, came)
            mean = torch.logsumexp(each, 2) - math.log(each.shape[2])
            out[:, j:, horizons.index(j + 1)] = mean.numpy()
        if j == 0:
            eta = eta.expand(-1, -1, samples, -1)
            state = tuple(s.expand(-1, -1, samples, -1) for s in state)
        if j + 1 == n_time:
            break
        drawn = feed(p, eta[:, :-1])
        seen, smooth = network.look(p, drawn, None if smooth is None else smooth[:, : n_time - j - 1])
        known = valid[:, j:-1, None, None]
        last = None if last is None else torch.where(known, seen, torch.nan)
        seen = seen * known
        if n_inputs:
            ahead = x[:, j:-1, None, x.shape[-1] - n_inputs :]
            seen = torch.cat([seen, ahead.expand(*seen.shape[:-1], -1)], -1)
        state = cell.step(q, tuple(s[:, :-1] for s in state), network.drive(q, seen))
    return out


def _smoothed(network: Network, p: Params, data: Data) -> torch.Tensor | None:
    """Smoothed observations before every bin (trial, time, 1, feature), NaN where there are none yet."""
    if not network.discretised:
        return None
    from cortseq.models.chains.encoder import smoothed

    after = smoothed(replace(data, track="signal"), float(p["decay"][0]))  # as they are, without square roots
    before = np.full(after.shape, np.nan)
    begun = np.maximum.accumulate(data.valid, 1)[:, :-1, None]
    before[:, 1:] = np.where(begun, after[:, :-1], np.nan)
    return torch.from_numpy(before).float().unsqueeze(2)
