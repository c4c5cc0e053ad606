"""Hidden Markov models of counts, labels and signals: exact filter, smoother and forecasts; learned by EM."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field
from scipy.special import logsumexp

from cortseq._lazy import lazy
from cortseq.data import Data, Params
from cortseq.errors import CortseqError
from cortseq.models.base import CURVES, Learned, Model, Run
from cortseq.models.hmm import squarem
from cortseq.models.hmm.autoregressive import AutoregressiveStates
from cortseq.models.horizons import reached
from cortseq.observations import TRACKS, StateEmission, emission_of, states_of
from cortseq.observations.poisson import Poisson
from cortseq.observations.states import Block

forward_backward = lazy("cortseq.models.hmm.forward_backward")  # it brings the compiler

CHAIN, COMMON = ("initial", "transition"), ("centre", "scale")
_TOLERANCE = 1e-7  # nats per event: EM has converged when an iteration gains less
_WORTH = 1e-4  # nats per event: validation that gains less in `patience` iterations is as good as it gets
# Of products and passes over time while learning: twice as fast, and the log-likelihood is exact to far less than `_WORTH`.
_PRECISION = np.float32
_MOST_POINTS = 20_000  # bins that k-means sees
_SMOOTH = 1.5  # bins, sd of the Gaussian before k-means
_IMAGINED = 2_000_000  # rows times states that sampled forecasts hold at once


class Hmm(Model):
    """s_t ~ A[s_{t-1}], y_t ~ p(y | s_t): learned by expectation maximisation from `members` random starts.

        p(y_t | y_<t) = sum_k p(s_t = k | y_<t) p(y_t | k)    by exact filtering (Rabiner 1989, Proc IEEE 77:257)

    Counts are Poisson (or as the study says), labels categorical, signals Gaussian with a diagonal covariance, or with `autoregressive`
    y_t = A_k y_{t-1} + b_k + noise. Estimates are maxima a posteriori: each state has `prior` bins' worth of what
    all bins have in common; the initial distribution and every row of A have one pseudo-count (or `prior`, where
    that is less) spread evenly, and the diagonal of A `sticky` more. A start is k-means of smoothed observations
    from random seeds. An iteration is three steps of EM and a leap (`squarem`), which is not taken where it is no
    ascent; of each climb the iterate with the best validation likelihood is kept.
    """

    role: ClassVar = "baseline"
    has_members: ClassVar = True
    idle: ClassVar = {"symbols": ("autoregressive",), "counts": ("autoregressive",)}

    rung: ClassVar = "L3"
    family: Literal["hmm"] = "hmm"
    states: Annotated[int, Field(ge=1, le=512)] = 16
    sticky: Annotated[float, Field(ge=0)] = Field(0.0, description="pseudo-counts on the diagonal")
    autoregressive: bool = Field(False, description="signals only: y_t = A_k y_{t-1} + b_k + noise")
    prior: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="bins' worth of the overall emission in a state; default 10, labels 1, autoregressive 500",
    )
    iterations: Annotated[int, Field(ge=1)] = Field(500, description="at most")
    patience: Annotated[int, Field(ge=1)] = Field(
        5, description="iterations in which validation gains less than 1e-4 nats per event"
    )

    # ------------------------------------------------------------------------------------ learning

    def learn(self, train: Data, valid: Data, run: Run) -> Learned:
        from cortseq.compiled import threads

        with threads.single():
            emission = self._emission(train)
            emission.standardise(train)
            sets = [emission.blocks(data, self.states, _PRECISION) for data in (train, valid)]
            emission.pool(_add(emission.statistics(b, np.ones((b.constant.size, 1))) for b in sets[0]))
            n_events = [max(1, int(data.n_events().sum())) for data in (train, valid)]
            found = []
            for member in range(run.members):
                start = self._start(emission, train, sets[0], np.random.default_rng([run.seed, member]))
                found.append(self._climb(emission, start, sets, n_events))
                run.progress(f"hmm member {member}: {found[-1][2]}", (member + 1) / run.members)
        params = {k: np.stack([p[k] for p, _, _ in found]) for k in found[0][0]}
        common = {k: np.repeat(v[None], run.members, 0) for k, v in emission.common.items()}
        curves = pd.concat([c.assign(member=m) for m, (_, c, _) in enumerate(found)], ignore_index=True)
        n_free = self.states**2 - 1 + self.states * emission.n_free() + emission.n_shared
        card = {k: [end[k] for _, _, end in found] for k in found[0][2]}
        return Learned(params | common, n_free, curves, {**card, "settings_tried": 1})

    def _emission(self, shape: Data | dict) -> StateEmission:
        track = TRACKS[shape["track"] if isinstance(shape, dict) else shape.track]
        if self.autoregressive and track.has_scale:
            return AutoregressiveStates(emission_of(shape), self.prior)
        return states_of(shape, self.prior)

    def _start(self, emission: StateEmission, train: Data, blocks: list[Block], rng) -> Params:
        """One M-step from hard states."""
        labels = _clusters(train, self.states, rng)
        parts = []
        for block in blocks:
            s = labels[block.trials, : block.shape[0]].T
            inside = np.arange(1, len(s))[:, None] < block.length
            moves = np.zeros((self.states, self.states))
            np.add.at(moves, (s[:-1][inside], s[1:][inside]), 1.0)
            first = np.bincount(s[0, block.length > 0], minlength=self.states).astype(float)
            gamma = np.eye(self.states)[s.ravel()]
            parts.append(Expected(first, moves, emission.statistics(block, gamma), 0.0))
        return self.maximise(emission, _together(parts))

    def _climb(self, emission, p: Params, sets, n_events) -> tuple[Params, pd.DataFrame, dict]:
        """EM from `p`: the iterate that is best on validation, the curve, and how it ended."""
        rows, best, before, gain = [], (-np.inf, 0, p), -np.inf, np.inf
        passed = (-np.inf, 0)  # the last score that was worth its iterations
        for epoch in range(1, self.iterations + 1):
            e = expected(emission, p, sets[0], _PRECISION)
            score = log_likelihood(emission, p, sets[1], _PRECISION)
            rows.append((0, epoch, -e.log_prob / n_events[0], -score / n_events[1], np.nan, 0.0, False))
            if score > best[0]:
                best = score, epoch, p
            if score > passed[0] + _WORTH * n_events[1]:
                passed = score, epoch
            objective = e.log_prob + self.log_prior(emission, p)
            gain, before = (objective - before) / n_events[0], objective
            if gain < _TOLERANCE or epoch - passed[1] >= self.patience:
                break
            p = self._ascend(emission, p, e, sets[0])
        curve = pd.DataFrame(rows, columns=CURVES)
        curve["best"] = curve["epoch"] == best[1]
        ending = (
            "converged" if gain < _TOLERANCE else "validation" if epoch < self.iterations else "iterations"
        )
        end = {"iterations": epoch, "best_iteration": best[1], "ended_by": ending}
        return best[2], curve, {**end, "converged": ending != "iterations"}

    def _ascend(self, emission, p: Params, e: Expected, blocks) -> Params:
        """Two steps of EM, a leap along them and a step from there; without the leap where it is no ascent."""
        once = self.maximise(emission, e)
        middle = expected(emission, once, blocks, _PRECISION)
        twice = self.maximise(emission, middle)
        far = squarem.leap(p, once, twice)
        there = expected(emission, far, blocks, _PRECISION)
        reached = there.log_prob + self.log_prior(emission, far)
        if reached >= middle.log_prob + self.log_prior(emission, once):
            return self.maximise(emission, there)
        return twice

    def maximise(self, emission: StateEmission, e: Expected) -> Params:
        """The M-step."""
        even = self._pseudo_count(emission)
        initial = e.initial + even
        moves = e.transition + even + self.sticky * np.eye(self.states)
        chain = {"initial": initial / initial.sum(), "transition": moves / moves.sum(1, keepdims=True)}
        return chain | emission.maximise(e.emission)

    def log_prior(self, emission: StateEmission, p: Params) -> float:
        """What EM climbs beside the log-likelihood, but for a constant."""
        even = self._pseudo_count(emission) * (np.log(p["initial"]).sum() + np.log(p["transition"]).sum())
        return float(even + self.sticky * np.log(np.diag(p["transition"])).sum() + emission.log_prior(p))

    def _pseudo_count(self, emission: StateEmission) -> float:
        return min(1.0, emission.prior) / self.states

    # ------------------------------------------------------------------------------------ predicting

    def _members(self, params: Params, data: Data) -> Iterator[tuple[int, StateEmission, Params, Block]]:
        """Each member with each block of trials."""
        from cortseq.compiled import threads

        emission = self._emission(data)
        emission.common = {k: params[k][0] for k in COMMON if k in params}
        blocks = emission.blocks(data, params["initial"].shape[1])
        with threads.single():
            for m in range(len(params["initial"])):
                p = {k: v[m] for k, v in params.items() if k not in COMMON}
                for block in blocks:
                    yield m, emission, p, block

    def log_prob(self, params: Params, data: Data) -> np.ndarray:
        out = np.zeros((len(params["initial"]), *data.valid.shape))
        for m, emission, p, block in self._members(params, data):
            log_prob = _forward(emission, p, block)[2] + block.constant
            out[m, block.trials, : len(log_prob)] = log_prob.T
        return out

    def predict(self, params: Params, data: Data) -> np.ndarray:
        out = np.zeros((len(params["initial"]), *data.valid.shape, data.n_features))
        for m, emission, p, block in self._members(params, data):
            mean = emission.expect(p, block, _forward(emission, p, block)[0])
            out[m, block.trials, : len(mean)] = mean.swapaxes(0, 1)
        return out

    def cosmooth(self, params: Params, data: Data, held_in: np.ndarray, held_out: np.ndarray) -> np.ndarray:
        """E[y_n,t | all bins of the units held in] for the units held out, (member, trial, time, unit held out).

        sum_k p(s_t = k | y_held_in, all times) E[y_n | k], by forward and backward passes over the units held in
        alone. held_in, held_out : positions of units. NaN where a bin is missing.

        Raises
        ------
        CortseqError : labels, or an autoregressive model.
        """
        if data.kind.has_labels or "dynamics" in params:
            raise CortseqError(
                "only counts and Gaussian signals have units that can be held out",
                key="autoregressive" if "dynamics" in params else "track",
                value="dynamics" in params or data.track,
            )
        held_in, held_out = np.asarray(held_in, int), np.asarray(held_out, int)
        seen = replace(data, y=data.y[..., held_in], n_features=len(held_in))
        out = np.full((len(params["initial"]), *data.valid.shape, len(held_out)), np.nan)
        hidden = self._emission(replace(data, n_features=len(held_out)))
        hidden.common = {k: params[k][0][held_out] for k in COMMON if k in params}
        for m, emission, p, block in self._members(_of_units(params, held_in), seen):
            gamma = _smoothed(emission, p, block)[0]
            theirs = _of_units({k: v[m] for k, v in params.items()}, held_out)
            out[m, block.trials, : len(gamma)] = (gamma @ hidden.mean(theirs)).swapaxes(0, 1)
        return np.where(data.valid[..., None], out, np.nan)

    def simulate(self, params: Params, shape: dict, n_trials: int, n_time: int, rng) -> np.ndarray:
        emission = self._emission(shape)
        emission.common = {k: params[k] for k in COMMON if k in params}
        drawn: list[np.ndarray] = []
        rows = np.tile(params["initial"], (n_trials, 1))
        for _ in range(n_time):
            state = _draw(rows, rng)
            drawn.append(emission.draw(params, state, drawn[-1] if drawn else None, rng))
            rows = params["transition"][state]
        return np.stack(drawn, 1)

    # ------------------------------------------------------------------------------------ forecasting

    def forecasts_on(self, track: str) -> Literal["exact", "sampled"]:
        return "sampled" if self.autoregressive and TRACKS[track].has_scale else "exact"

    def forecast(
        self, params: Params, data: Data, horizons: Sequence[int], samples: int = 128, seed: int = 0
    ) -> np.ndarray:
        """log p(y_t | y_0 .. y_{t-h}) in nats, (member, trial, time, horizon); NaN for t < h - 1 and missing bins.

        p(s_t | y_0 .. y_{t-h}) = p(s_{t-h} | y_0 .. y_{t-h}) A^h, exact. An autoregressive model needs the bins in
        between: the mean over `samples` futures of p(y_t | future, its last state), exact for h = 1.
        """
        known = reached(data, horizons)
        out = np.full((len(params["initial"]), *known.shape), np.nan)
        for m, emission, p, block in self._members(params, data):
            log_b = emission.log_prob(p, block)
            _, belief, one = forward_backward.forward(log_b, block.length, p["initial"], p["transition"])
            for i, h in enumerate(horizons):
                if h == 1:
                    log_prob = one
                elif "dynamics" in p:
                    rng = np.random.default_rng([seed, m, h, int(block.trials[0])])
                    log_prob = _imagined(emission, p, block, belief, h, samples, rng)
                else:
                    log_prob = _ahead(p, belief, log_b, h)
                out[m, block.trials, : len(log_prob), i] = (log_prob + block.constant).T
        return np.where(known, out, np.nan)

    @staticmethod
    def log_prob_counts(initial, transition, rates, counts) -> np.ndarray:
        """log p(y_t | y_<t) of a Poisson HMM, (time,) nats per bin, exact.

        initial : (state,). transition : (from, to). rates : expected counts per bin (state, unit); 0 is exactly 0.
        counts : (time, unit). A bin that no state can emit is -inf, and says nothing about the state.

        Raises
        ------
        CortseqError : shapes that do not fit, negative values, or a distribution that does not sum to 1.
        """
        initial, transition, rates, y = (np.array(a, float) for a in (initial, transition, rates, counts))
        _check_chain(initial, transition, rates, y)
        log_rate = np.log(np.where(rates > 0, rates, 1.0))
        log_b = y @ log_rate.T - rates.sum(1)
        log_b[(y > 0).astype(float) @ (rates == 0).T.astype(float) > 0] = -np.inf
        one = forward_backward.forward(log_b[:, None], np.array([len(y)]), initial, transition)[2]
        return one[:, 0] + Poisson(y.shape[1]).base(y, None).sum(1)


# ------------------------------------------------------------------------------- expectations


@dataclass(frozen=True)
class Expected:
    """What the E-step hands to the M-step: expected counts, and the log-likelihood in nats."""

    initial: np.ndarray
    transition: np.ndarray
    emission: Params
    log_prob: float


def expected(emission: StateEmission, p: Params, blocks: list[Block], precision: type = float) -> Expected:
    """The E-step; `precision`: of the passes over time."""
    return _together(_expected(emission, p, block, precision) for block in blocks)


def log_likelihood(emission: StateEmission, p: Params, blocks: list[Block], precision: type = float) -> float:
    """log p(y) of all trials, nats."""
    return float(sum(_forward(emission, p, b, precision)[2].sum() + b.constant.sum() for b in blocks))


def _expected(emission: StateEmission, p: Params, block: Block, precision: type) -> Expected:
    n = len(p["initial"])
    gamma, belief, ratio, log_prob = _smoothed(emission, p, block, precision)
    moves = p["transition"] * (belief[:-1].reshape(-1, n).T @ ratio[1:].reshape(-1, n))
    sums = emission.statistics(block, gamma.reshape(-1, n))
    return Expected(gamma[0].sum(0, float), moves, sums, float(log_prob.sum() + block.constant.sum()))


def _forward(emission: StateEmission, p: Params, block: Block, precision: type = float):
    log_b, transition = emission.log_prob(p, block), p["transition"].astype(precision)
    return forward_backward.forward(log_b, block.length, p["initial"], transition)


def _smoothed(emission: StateEmission, p: Params, block: Block, precision: type = float):
    """p(s_t | all y), and what it was made of: belief, ratio and log p(y_t | y_<t) without the constant."""
    ratio, belief, log_prob = _forward(emission, p, block, precision)
    transposed = p["transition"].T.astype(precision, order="C")
    return forward_backward.backward(belief, ratio, block.length, transposed), belief, ratio, log_prob


def _together(parts: Iterable[Expected]) -> Expected:
    """The sum over blocks."""
    parts = list(parts)
    initial, transition = sum(e.initial for e in parts), sum(e.transition for e in parts)
    return Expected(initial, transition, _add(e.emission for e in parts), sum(e.log_prob for e in parts))  # type: ignore[arg-type]


def _add(parts: Iterable[Params]) -> Params:
    parts = list(parts)
    return {k: sum(p[k] for p in parts) for k in parts[0]}


def _clusters(train: Data, n_states: int, rng) -> np.ndarray:
    """Labels (trial, time) from k-means of square roots of counts, of signals or of one-hot labels, smoothed over time."""
    from scipy.ndimage import gaussian_filter1d
    from sklearn.cluster import KMeans

    y = np.where(train.valid[..., None], train.kind.encoded(train.y, train.n_features), 0.0)
    if train.kind.has_scale:
        y = y / train.y[train.valid].std(0)
    smooth = gaussian_filter1d(train.kind.rooted(y), _SMOOTH, axis=1, mode="nearest")
    points = smooth[train.valid]
    if len(points) > _MOST_POINTS:
        points = points[rng.choice(len(points), _MOST_POINTS, replace=False)]
    k = min(n_states, len(np.unique(points, axis=0)))  # surplus states begin as the overall emission
    means = KMeans(k, n_init=1, max_iter=20, random_state=int(rng.integers(2**31))).fit(points)
    return means.predict(smooth.reshape(-1, smooth.shape[2])).reshape(train.valid.shape)


# ------------------------------------------------------------------------------- forecasts


def _ahead(p: Params, belief: np.ndarray, log_b: np.ndarray, h: int) -> np.ndarray:
    """log p(y_t | y_0 .. y_{t-h}) without the constant, (time, trial); NaN for t < h - 1."""
    weight = np.full(belief.shape, np.nan)
    if h <= len(belief):
        weight[h - 1] = p["initial"] @ np.linalg.matrix_power(p["transition"], h - 1)
        weight[h:] = belief[:-h] @ np.linalg.matrix_power(p["transition"], h)
    with np.errstate(divide="ignore"):
        return logsumexp(np.log(weight) + log_b, axis=-1)


def _imagined(emission, p: Params, block: Block, belief, h: int, samples: int, rng) -> np.ndarray:
    """The same for an autoregressive emission: the mean over sampled futures of h - 1 bins."""
    z, seen = emission.observed(block)
    out = np.full(block.shape, np.nan)
    size = max(1, _IMAGINED // (samples * len(p["initial"])))
    for t in range(h - 1, len(out)):
        for part in np.array_split(np.arange(out.shape[1]), -(-out.shape[1] // size)):
            now = np.repeat(part, samples)
            before, rows = None, np.tile(p["initial"], (len(now), 1))
            if t >= h:
                before = np.where(seen[t - h, now, None], z[t - h, now], np.nan)
                rows = p["transition"][_draw(belief[t - h, now], rng)]
            for _ in range(h - 1):
                state = _draw(rows, rng)
                before, rows = emission.step(p, state, before, rng), p["transition"][state]
            with np.errstate(divide="ignore"):
                joint = logsumexp(np.log(rows) + emission.log_density(p, before, z[t, now]), axis=1)
            out[t, part] = logsumexp(joint.reshape(-1, samples), axis=1) - np.log(samples)
    return out


def _draw(p: np.ndarray, rng) -> np.ndarray:
    """One index per row of the distributions p (row, index)."""
    edges = p.cumsum(1)
    return (rng.random((len(p), 1)) * edges[:, -1:] >= edges[:, :-1]).sum(1)


def _of_units(params: Params, units: np.ndarray) -> Params:
    """The parameters of some units."""
    return {k: v if k in CHAIN else v[..., units] for k, v in params.items()}


def _check_chain(initial, transition, rates, counts) -> None:
    n = initial.size
    fits = initial.shape == (n,) and transition.shape == (n, n) and rates.ndim == counts.ndim == 2
    if not fits or len(rates) != n or rates.shape[1] != counts.shape[1]:
        shapes = [a.shape for a in (initial, transition, rates, counts)]
        raise CortseqError(
            "shapes are not (state,), (state, state), (state, unit), (time, unit)",
            key="initial, transition, rates, counts",
            value=shapes,
        )
    for key, a in {"initial": initial, "transition": transition, "rates": rates, "counts": counts}.items():
        if not (np.isfinite(a) & (a >= 0)).all():
            raise CortseqError("a value is negative or not finite", key=key)
    for key, p in {"initial": initial, "transition": transition}.items():
        if np.abs(p.sum(-1) - 1).max() > 1e-6:
            raise CortseqError("a distribution does not sum to 1", key=key)


MODEL = Hmm
