"""What a recurrent network says about bins further ahead than the next (docs/likelihood.md#prediction-tasks).

    p(y_t | y_0 .. y_{t-h}) = E p(y_t | s_t)

is the mean over futures y_{t-h+1} .. y_{t-1} drawn from the network, estimated from M of them: log-mean-exp
of M log-probabilities, which is too low by about var / 2M (`cortseq.models.horizons` corrects it). Futures
begin before every bin, or before chosen ones; one run of the largest horizon gives all horizons. Inputs of
the recording count as known, missing bins as known to be missing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from cortseq.data import Data, Params
from cortseq.errors import CortseqError
from cortseq.models.horizons import farthest
from cortseq.networks import evaluate
from cortseq.networks.network import Network, before

_NUMBERS = 2**20  # largest array of runs at once, in numbers: what a cache holds
_TRIALS = 128  # whose states are held at once: bounds memory
Feed = Callable[..., torch.Tensor]  # (p, eta) -> what stands for the next bin
# (p, eta, y) -> (run,), a score of bins y (run, feature) or labels (run,); eta is (run, future, n_readout)
Score = Callable[..., torch.Tensor]


def sampled(
    network: Network,
    params: Params,
    data: Data,
    horizons: Sequence[int],
    samples: int,
    seed: int,
    begins: np.ndarray | None = None,
) -> np.ndarray:
    """Return log-mean-exp over futures, see `Model.futures`; h = 1 is the score itself.

    Returns
    -------
    (member, trial, time, horizon) nats.
    """
    if samples < 2:
        raise CortseqError("a forecast needs at least two futures", key="samples", value=samples)
    observation = network.observation

    def feed(member: int) -> Feed:
        generator = torch.Generator().manual_seed(
            int(np.random.SeedSequence([seed, member]).generate_state(1)[0])
        )
        return lambda p, eta: observation.draw(p, eta, generator)

    found = _members(network, params, data, horizons, samples, feed, _log_mean(network), begins)
    return _next_bin(network, params, data, horizons, found)


def plug_in(network: Network, params: Params, data: Data, horizons: Sequence[int]) -> np.ndarray:
    """Return `sampled` with E[y | state] in place of draws: no probability of y_t given its past.

    Returns
    -------
    (member, trial, time, horizon) nats.
    """
    feed = _expected(network)
    found = _members(network, params, data, horizons, 1, feed, _log_mean(network))
    return _next_bin(network, params, data, horizons, found)


def squared_error(network: Network, params: Params, data: Data, horizons: Sequence[int]) -> np.ndarray:
    """Return the squared error of `plug_in`'s expectations, mean over channels in units of their variance.

    Of signals: the distance h bins after the network was last shown the recording, its expectations fed back
    meanwhile; the prediction error of the literature on reconstructed dynamics (Hess et al. 2023,
    arXiv:2306.04406). The unit of each channel is its variance in the training bins.

    Returns
    -------
    (member, trial, time, horizon).
    """

    def score(p: Params, eta: torch.Tensor, came: torch.Tensor) -> torch.Tensor:
        away = (network.observation.mean(p, eta)[:, 0] - came) / p["signal_scale"]
        return (away**2).mean(-1)

    found = _members(network, params, data, horizons, 1, _expected(network), score)
    return np.where(data.valid[None, ..., None], found, np.nan)


def _expected(network: Network) -> Callable[[int], Feed]:
    return lambda member: network.observation.mean


def _log_mean(network: Network) -> Score:
    """Return log-mean-exp over futures of the probability of what came."""

    def score(p: Params, eta: torch.Tensor, came: torch.Tensor) -> torch.Tensor:
        came = came.unsqueeze(1)
        came = came.expand(eta.shape[:-1]) if came.ndim == 2 else came
        each = network.observation.log_prob(p, eta, came)
        return torch.logsumexp(each, 1) - math.log(each.shape[1])

    return score


def _next_bin(
    network: Network, params: Params, data: Data, horizons: Sequence[int], found: np.ndarray
) -> np.ndarray:
    """Return forecasts of which those of the next bin are the scores themselves, NaN where nothing came."""
    exact = data.masked(evaluate.log_prob(network, params, data))
    for i, h in enumerate(horizons):
        found[..., i] = exact if h == 1 else data.masked(found[..., i])
    return found


def _members(
    network: Network,
    params: Params,
    data: Data,
    horizons: Sequence[int],
    samples: int,
    feed: Callable[..., Any],
    score: Score,
    begins: np.ndarray | None = None,
) -> np.ndarray:
    farthest(horizons)
    if network.memory is not None:
        raise CortseqError("a network that restarts has no forecast", key="memory", value=network.memory)
    begins = np.ones(data.y.shape[:2], bool) if begins is None else begins
    stepped = network.given(params, data)
    led = stepped.y.shape[1] - data.y.shape[1]
    begins = np.pad(begins, ((0, 0), (led, 0)))
    out = np.full((len(params["readout_bias"]), *begins.shape, len(horizons)), np.nan)
    with torch.no_grad():
        for member in range(len(out)):
            p = {name: value[member].float() for name, value in params.items()}
            fed = feed(member)
            for first in range(0, len(begins), _TRIALS):
                part = slice(first, first + _TRIALS)
                futures = _Futures(network, p, stepped.at(part), horizons, samples, fed, score)
                out[member, part] = futures.scored(begins[part])
    return out[:, :, led:]


class _Futures:
    """Futures of one member that begin before chosen bins of some trials, run side by side.

    A run is a pair (trial, begin); states and what goes with them are (run, future, size). After j steps they
    stand before bin begin + j.
    """

    def __init__(
        self,
        network: Network,
        p: Params,
        data: Data,
        horizons: Sequence[int],
        samples: int,
        feed: Feed,
        score: Score,
    ):
        self.network, self.p, self.horizons, self.samples = network, p, horizons, samples
        self.feed, self.score = feed, score
        self.q = network.cell.derive(p)
        self.x, self.y, self.valid = network.tensors(p, data, slice(None), torch.float32)
        self.states = network.parts(p, self.x)
        self.smooth, self.last = _smoothed(network, p, data), before(p, self.x, self.valid)
        self.ends = data.lengths
        self.n_inputs = data.n_inputs

    def scored(self, begins: np.ndarray) -> np.ndarray:
        """Return the score of what was recorded (trial, time, horizon), NaN where no future reaches."""
        out = np.full((*begins.shape, len(self.horizons)), np.nan)
        trial, begin = np.nonzero(begins)
        left = self.ends[trial] - begin
        order = np.argsort(-left, kind="stable")[: (left > 0).sum()]  # those that end first are dropped last
        dim = sum(part.shape[-1] for part in self.states)
        width = max(self.y.shape[-1] if self.y.ndim == 3 else 1, dim)
        size = max(1, _NUMBERS // (self.samples * width))
        for first in range(0, len(order), size):
            runs = order[first : first + size]
            self._run(trial[runs], begin[runs], left[runs], out)
        return out

    def _run(self, trial: np.ndarray, begin: np.ndarray, left: np.ndarray, out: np.ndarray) -> None:
        """Fill `out` with the forecasts of some runs, sorted by how many bins are `left` of their trials."""
        network, cell, p = self.network, self.network.cell, self.p
        state = tuple(part[trial, begin].unsqueeze(1) for part in self.states)
        smooth, last = (None if v is None else v[trial, begin].unsqueeze(1) for v in (self.smooth, self.last))
        for j in range(max(self.horizons)):
            n = int((left > j).sum())
            if not n:
                return
            trial, begin, state = trial[:n], begin[:n], tuple(s[:n] for s in state)
            smooth, last = (None if v is None else v[:n] for v in (smooth, last))
            eta = network.readout(p, cell.output(self.q, state), last)
            if j + 1 in self.horizons:
                came = self.y[trial, begin + j]
                out[trial, begin + j, self.horizons.index(j + 1)] = self.score(p, eta, came).numpy()
            if j + 1 == max(self.horizons):
                return
            if j == 0:
                eta = eta.expand(-1, self.samples, -1)
                state = tuple(s.expand(-1, self.samples, -1) for s in state)
            seen, smooth = network.look(p, self.feed(p, eta), smooth)
            known = self.valid[trial, begin + j][:, None, None]
            last = None if last is None else torch.where(known, seen, torch.nan)
            state = cell.step(
                self.q, state, network.drive(self.q, self._input(seen * known, trial, begin + j))
            )

    def _input(self, seen: torch.Tensor, trial: np.ndarray, time: np.ndarray) -> torch.Tensor:
        """Return network inputs (run, future, n_in): what was fed, and the recording's inputs."""
        if not self.n_inputs:
            return seen
        ahead = self.x[trial, time, self.x.shape[-1] - self.n_inputs :].unsqueeze(1)
        return torch.cat([seen, ahead.expand(*seen.shape[:-1], -1)], -1)


def _smoothed(network: Network, p: Params, data: Data) -> torch.Tensor | None:
    """Return smoothed observations before every bin (trial, time, feature), NaN where there are none yet."""
    if not network.discretised:
        return None
    from cortseq.models.chains.encoder import smoothed

    after = smoothed(replace(data, track="signal"), float(p["decay"][0]))  # as they are, without square roots
    before = np.full(after.shape, np.nan)
    begun = np.maximum.accumulate(data.valid, 1)[:, :-1, None]
    before[:, 1:] = np.where(begun, after[:, :-1], np.nan)
    return torch.from_numpy(before).float()
