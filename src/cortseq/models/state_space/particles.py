"""The particle filter of a switching linear dynamical system (Doucet et al. 2000, UAI 16:176).

A particle is a sequence of states; the latent given a sequence and the recording is a Gaussian. In each bin
every particle moves on in every state, so that the prediction is a mixture of Gaussians

    p(z_t | y_<t) = sum_i sum_k w_i p(s_t = k | s_i) N(z_t; A_k m_i + b_k + B_k u_t, A_k P_i A_k' + Q_k).

Bin t then updates each of them. Where there are more than `n` sequences, n are kept so that the weights stay
unbiased (Fearnhead & Clifford 2003, J R Stat Soc B 65:887). With at most n sequences nothing is left out.

Where the latent decides on the next state (`recurrent`), the latent after a bin is drawn from the Gaussian of
its particle, and n particles of equal weight go on from points. That is exact as n grows, for signals.

Random numbers are the same for every trial and every recording, bin by bin. What is predicted of bin t
therefore depends on the bins before alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cortseq._lazy import lazy, special
from cortseq.data import Data, Params
from cortseq.models.horizons import farthest
from cortseq.models.state_space import draws, switching
from cortseq.models.state_space.readout import Readout
from cortseq.models.state_space.seen import FEWEST, Mixture, Seen

branches = lazy("cortseq.models.state_space.branches")  # it brings the compiler
_ERROR = 1e-3  # bits per event that particles, and draws, may be away from many more
_PARTICLES = {False: (8, 128), True: (64, 1024)}  # of a trial, at least and at most; recurrent: points
_DRAWS = (128, 4096)  # of a bin, at least, and so many that they stand for infinitely many


@dataclass(frozen=True)
class Bin:
    """What the filter knows of one bin.

    Attributes
    ----------
    time : which bin.
    predicted : the latent given the bins before.
    evidence : (trial, component) log p(y_t | the component) in nats, 0 where the bin is missing; of counts
        Laplace's approximation.
    """

    time: int
    predicted: Mixture
    evidence: np.ndarray

    @property
    def log_prob(self) -> np.ndarray:
        """Log-probability of the bin given those before, (trial,) nats; of counts Laplace's approximation."""
        return np.asarray(special.logsumexp(self.predicted.log_weight + self.evidence, axis=1))


class Filter:
    """The filter of some trials.

    Parameters
    ----------
    p : parameters of one member.
    data : the trials.
    seen : the bins of these trials.
    n : particles that are kept of each trial.
    """

    def __init__(self, p: Params, data: Data, seen: Seen, n: int):
        self.p, self.seen, self.n = p, seen, n
        self.offset = switching.offsets(p, data)
        self.log_switch = switching.log_switch(p)
        self.is_recurrent = switching.is_recurrent(p)
        self.pull = p["pull"] if self.is_recurrent else np.zeros(p["offset"].shape)
        n_time, n_latents = self.offset.shape[2:]
        self.uniform = np.asarray(np.random.default_rng(0).random(n_time))
        self.points = draws.points(n, n_latents) if self.is_recurrent else None

    def __iter__(self) -> Iterator[Bin]:
        """Yield the bins one after another."""
        mixture = after = self._start()
        for t in range(self.offset.shape[2]):
            mixture = self.moved(after, t) if t else mixture
            mean, covariance, evidence = self.seen.updated(t, mixture.mean, mixture.covariance)
            yield Bin(t, mixture, evidence)
            after = self.reduced(Mixture(mixture.log_weight + evidence, mean, covariance, mixture.state), t)

    def _start(self) -> Mixture:
        """Return the latent of bin 0, which is in no state yet."""
        mean = switching.start_offsets(self.p, self.seen.data)[:, None]
        n_trials = len(mean)
        covariance = np.tile(self.p["start_noise"], (n_trials, 1, 1, 1))
        state = np.full((n_trials, 1), len(self.p["offset"]))
        return Mixture(np.zeros((n_trials, 1)), np.ascontiguousarray(mean), covariance, state)

    def moved(self, mixture: Mixture, t: int) -> Mixture:
        """Return every particle moved on to bin t in every state."""
        given = mixture.log_weight, mixture.mean, mixture.covariance, mixture.state
        law = self.p["transition"], np.ascontiguousarray(self.offset[:, :, t]), self.p["noise"]
        return Mixture(*branches.moved(*given, self.log_switch, self.pull, *law))

    def reduced(self, mixture: Mixture, t: int) -> Mixture:
        """Return at most n particles that stand for the mixture of bin t, their weights summing to 1."""
        weight = mixture.log_weight - special.logsumexp(mixture.log_weight, axis=1, keepdims=True)
        if self.is_recurrent:
            return self._drawn(mixture, weight, t)
        if weight.shape[1] <= self.n:
            return replace(mixture, log_weight=weight)
        kept, left = branches.selected(weight, self.n, self.uniform[t])
        return mixture.at(kept, left)

    def _drawn(self, mixture: Mixture, weight: np.ndarray, t: int) -> Mixture:
        """Return n points drawn from the mixture, of equal weight."""
        assert self.points is not None
        rng = np.random.default_rng([0, t])
        kept = branches.resampled(weight, self.n, rng.random(self.n))
        found = mixture.at(kept, np.full(kept.shape, -np.log(self.n)))
        x = rng.permutation(self.points)
        low = np.linalg.cholesky(found.covariance)
        mean = found.mean + np.einsum("rnij,nj->rni", low, x)
        fixed = self.seen.pinned(found.seen, low, x)
        return replace(found, mean=mean, covariance=np.zeros(low.shape), seen=fixed)

    def ahead(self, mixture: Mixture, t: int) -> Mixture:
        """Return p(z_t | y_0 .. y_{t-h-1}) where `mixture` is p(z_{t-1} | y_0 .. y_{t-h-1})."""
        before = self.reduced(mixture, t - 1)
        after = self.moved(before, t)
        return replace(after, seen=self.seen.ahead(t, before, after))


def passed(readout: Readout, p: Params, data: Data, more: int = 0) -> Iterator[tuple[slice, Filter, Bin]]:
    """Yield every bin with its filter, trials in parts.

    Parameters
    ----------
    p : parameters of one member, among them "particles", how many are kept of a trial.
    more : numbers beside means and covariances that a component holds.
    """
    n, first = int(p["particles"]), 0
    states, latents = p["offset"].shape
    for part in switching.parts(data, n * states * (latents**2 + more)):
        found = Filter(p, part, readout.seen(p, part), n)
        rows = slice(first, first + len(part.y))
        first = rows.stop
        for now in found:
            yield rows, found, now


def forecast(readout: Readout, p: Params, data: Data, horizons: Sequence[int], out: np.ndarray) -> None:
    """Write log p(y_t | y_0 .. y_{t-h}) for each horizon h to `out` (trial, time, horizon), nats."""
    deepest = farthest(horizons)
    more = data.n_features**2 * (deepest > 1 and readout.is_gaussian)
    for rows, found, now in passed(readout, p, data, more):
        last = min(now.time + deepest, out.shape[1]) - 1
        mixture = now.predicted
        for t in range(now.time, last + 1):
            if t > now.time:
                mixture = found.ahead(mixture, t)
            for i in (i for i, h in enumerate(horizons) if h == t - now.time + 1):
                out[rows, t, i] = found.seen.log_prob(t, mixture)
            if t == now.time < last:
                mixture = replace(mixture, seen=found.seen.begun(t, mixture))


# -- how many particles and draws ----------------------------------------------------------------------


@dataclass(frozen=True)
class Accurate:
    """Parameters with as many particles and draws as they need.

    Attributes
    ----------
    p : parameters of one member with "particles" and, of counts, "points".
    score : log p(y) of the validation trials, nats.
    card : how many there are, and the error that is left in bits per event.
    """

    p: Params
    score: float
    card: dict[str, float]


def enough(readout: Readout, p: Params, valid: Data) -> Accurate:
    """Double particles, then draws, until what is left is an error below _ERROR bits per event.

    The error of n particles is the distance to n / 2, which leave out more. Of counts it is taken from
    Laplace's approximation, which needs no draws. That of draws is the distance to the most draws there are.
    """
    events = max(1, int(valid.n_events().sum())) * np.log(2)
    p, n_latents = p | readout.common, p["offset"].shape[1]

    def of_particles(n: int) -> float:
        return log_prob(readout, p | {"particles": np.array(float(n))}, valid)

    def of_draws(n: int) -> float:
        return log_prob(readout, p | {"points": draws.nested(n, n_latents, FEWEST)}, valid, drawn=True)

    n, most = _PARTICLES[switching.is_recurrent(p)]
    score, error = of_particles(n), np.inf
    while error >= _ERROR and n < most:
        n, before = 2 * n, score
        score = of_particles(n)
        error = abs(score - before) / events
    p, card = p | {"particles": np.array(float(n))}, {"particles": n, "particle_error": float(error)}
    if readout.is_gaussian:
        return Accurate(p, score, card)
    n, most = _DRAWS
    limit, score = of_draws(most), of_draws(n)
    while abs(score - limit) / events >= _ERROR and n < most // 2:
        n *= 2
        score = of_draws(n)
    p = p | {"points": draws.nested(n, n_latents, FEWEST)}
    return Accurate(p, score, card | {"draws": n, "draw_error": float(abs(score - limit) / events)})


def alike(members: list[Params]) -> Params:
    """Return the parameters of all members, (member, ..), each with as many particles and draws as any."""
    most = {k: max((p[k] for p in members if k in p), key=np.size) for k in ("points",) if k in members[0]}
    most["particles"] = np.array(max(float(p["particles"]) for p in members))
    return {k: np.stack([(p | most)[k] for p in members]) for k in members[0]}


def log_prob(readout: Readout, p: Params, data: Data, drawn: bool = False) -> float:
    """Return log p(y) of all trials in nats; of counts by Laplace's approximation, or by their draws."""
    total = 0.0
    for rows, found, now in passed(readout, p, data):
        each = found.seen.log_prob(now.time, now.predicted) if drawn else now.log_prob
        total += float(each[data.valid[rows, now.time]].sum())
    return total
