"""Paired differences of two models' held-out scores: interval, p, equivalence, in nats per event.

Test trials (or blocks of them), restarts and, where a study has folds, training sets are random: a score
would come out otherwise with others of each. See docs/likelihood.md#statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from cortseq._lazy import special
from cortseq.errors import CortseqError
from cortseq.notebook import Drawn
from cortseq.scoring import blocks as blocking

_ROWS = 500  # sign flips drawn at once: bounds memory
LEVEL = 0.05
FEWEST_RESTARTS = 3  # of a network for a verdict: the spread of two is hardly known (docs/calibration.md)
# Of equivalence, in bits per spike or symbol, nats per sample and channel. A convention: the gain that a
# study of 200 trials is meant to detect (docs/calibration.md).
MARGIN = 0.01


@dataclass(frozen=True, repr=False)
class PairedDifference(Drawn):
    """A minus B in nats per event with its 95 % interval and two-sided p; `per` gives other units.

    Attributes
    ----------
    estimate, low, high, standard_error : nats per event.
    p_value : two-sided.
    pieces : independent blocks of trials (sessions, where these are pooled).
    degrees : of freedom, those of the t distribution of the interval.
    block_trials : trials in a block.
    smallest_p : the smallest p_value that so many blocks and resamples can give.
    split_share : share of the variance that comes from training sets; 0 of one split.
    """

    estimate: float
    low: float
    high: float
    p_value: float
    standard_error: float
    pieces: int = 0
    degrees: float = np.inf
    block_trials: int = 1
    smallest_p: float = 0.0
    split_share: float = 0.0

    def per(self, unit: float) -> PairedDifference:
        """Return the difference in units of so many nats: ln 2 for bits per event."""
        scaled = {name: getattr(self, name) / unit for name in ("estimate", "low", "high", "standard_error")}
        return replace(self, **scaled)

    def equivalence(self, margin: float = MARGIN) -> float:
        """Return the p of two one-sided t tests of |A - B| < margin.

        The larger of P(T >= (margin + d) / se) and P(T >= (margin - d) / se), with the standard error and the
        degrees of freedom of the interval: small where the two are shown to be as good as each other.

        Reference: Schuirmann 1987, J Pharmacokinet Biopharm 15:657.
        """
        inside = margin - abs(self.estimate)
        if self.standard_error == 0:
            return 0.0 if inside > 0 else 1.0
        return float(special.stdtr(self.degrees, -inside / self.standard_error))

    @property
    def detectable(self) -> float:
        """The gain that so many trials and restarts detect with power 0.8 at level 0.05 (two-sided)."""
        return float(
            (special.stdtrit(self.degrees, 0.975) + special.stdtrit(self.degrees, 0.8)) * self.standard_error
        )


@dataclass(frozen=True)
class Session:
    """Two models on one recording.

    Attributes
    ----------
    log_prob_a, log_prob_b : (trial,) or (member, trial), sums in nats.
    n_events : (trial,), spikes, symbols or samples.
    blocks : (trial,), labels of the blocks that are independent; None: they are found.
    order : (trial,), place of each trial in the recording; None: as given.
    shortest : the fewest trials that make a block.
    folds : (trial,), the fold in which each trial was tested; None: one split.
    """

    log_prob_a: ArrayLike
    log_prob_b: ArrayLike
    n_events: ArrayLike
    blocks: ArrayLike | None = None
    order: ArrayLike | None = None
    shortest: int = 1
    folds: ArrayLike | None = None


def paired(
    log_prob_a: ArrayLike,
    log_prob_b: ArrayLike,
    n_events: ArrayLike,
    resamples: int = 10_000,
    seed: int = 0,
    blocks: ArrayLike | None = None,
    order: ArrayLike | None = None,
    shortest: int = 1,
    folds: ArrayLike | None = None,
) -> PairedDifference:
    """Return sum_r (A_r - B_r) / sum_r n_r, means over members, with an interval and a test.

    The score of member m on block k is mean + restart_m + block_k + noise_mk, all random. The variance of the
    difference of the means is estimated without bias,

        V = V_blocks + sum over models of max(0, (MS_members - MS_noise) / (M K)) + V_split,

    with the mean squares of the two-way layout of M members and K blocks; with two members MS_noise is not
    subtracted. Each of F folds learns from a training set of its own: with the differences d_f of the folds

        V_split = (1 / F + 1 / (F - 1)) max(0, Var_f(d_f) - what trials and restarts explain of it),

    1 / (F - 1) being test trials over training trials, for the trials that training sets share. The interval
    is that of a t distribution with degrees of freedom

        1 / ((V_blocks / V)^2 / (K - 1) + (V_members / V) / f + (V_split / V) / (F - 1)),

    f those of V_members. This is Satterthwaite's rule with the shares of members and folds to the first
    power: squared, three members cover too little (docs/calibration.md).

    Trials without a scored bin (`scored`) are left out: they are no blocks and say nothing.

    p is the share of all flips of the signs of the blocks' differences whose sum is as far from 0 as the
    observed one: all 2^K of them where `resamples` are enough, else as many at random, of which p is
    (1 + #{|flipped| >= |observed|}) / (1 + resamples). This is exact where A and B are exchangeable within
    blocks. Flips know neither restarts, nor training sets, nor what correlation is left between blocks: where
    these add to V, p is at least that of the t distribution.

    Parameters
    ----------
    log_prob_a, log_prob_b : (trial,) sums in nats, or (member, trial) of models with restarts.
    n_events : (trial,) spikes, symbols or samples.
    resamples, seed : of the sign flips.
    blocks : (trial,) labels of blocks, ascending in time. None: blocks are found, as long as the
        autocorrelation of the differences along the session asks for (`blocks.cut`). Of 12 given blocks or
        more, neighbours that are correlated are joined likewise.
    order : (trial,) place of each trial in the recording, without `blocks`; None: as given.
    shortest : the fewest trials that make a block.
    folds : (trial,) fold in which each trial was tested; None: one split, and V_split is 0.

    Raises
    ------
    CortseqError : unequal numbers of trials, or fewer than two trials or blocks in which a bin is scored.

    References
    ----------
    Satterthwaite 1946, Biometrics Bulletin 2:110; Searle, Casella & McCulloch 1992, Variance Components; Good
    2005, Permutation, Parametric and Bootstrap Tests of Hypotheses; Nadeau & Bengio 2003, Machine Learning
    52:239.
    """
    one = Session(log_prob_a, log_prob_b, n_events, blocks, order, shortest, folds)
    return _random_effects([_in_blocks(one)], resamples, seed)


def over_sessions(sessions: Sequence[Session], resamples: int = 10_000, seed: int = 0) -> PairedDifference:
    """Return the mean over these very sessions of A minus B, differences taken within members.

    One network learned all sessions: a restart is the same restart in each. B may have one member, a model
    without restarts. Sessions are given, not drawn: the interval says nothing about others (`across_sessions`
    does). Everything else as in `paired`.
    """
    parts = []
    for s in sessions:
        difference = np.atleast_2d(np.asarray(s.log_prob_a, float)) - np.asarray(s.log_prob_b, float)
        parts.append(_in_blocks(replace(s, log_prob_a=difference, log_prob_b=np.zeros(difference.shape[1]))))
    return _random_effects(parts, resamples, seed)


def across_sessions(sessions: Sequence[Session]) -> PairedDifference:
    """Return the mean over sessions of A minus B (nats per event), each session weighing the same.

    Sessions are a sample of those that could have been recorded: interval and p are those of Student's t over
    the sessions' own differences. The spread between sessions holds that of trials and of restarts, which
    are drawn anew in each (Saravanan, Berman & Sober 2020, arXiv:2007.07797, on why sessions are the unit).

    Raises
    ------
    CortseqError : fewer than two sessions.
    """
    n = len(sessions)
    if n < 2:
        raise CortseqError("pooling needs at least two sessions", value=n)
    gains = np.array([_in_blocks(s).estimate for s in sessions])
    return _student(float(gains.mean()), float(gains.var(ddof=1)) / n, n - 1.0, pieces=n)


@dataclass(frozen=True)
class _Blocked:
    """A session in blocks of trials, scaled so that a sum over blocks is in nats per event.

    Attributes
    ----------
    estimate : of A minus B, nats per event.
    models : A and -B, (member, block) each.
    share : (block,), of the events; its sum is 1.
    length : trials in a block.
    missing : share of the variance that blocks of this length miss.
    folds : (2, fold), the difference in each fold, nats per event, and the fold's share of the events.
    """

    estimate: float
    models: tuple[np.ndarray, np.ndarray]
    share: np.ndarray
    length: int
    missing: float
    folds: np.ndarray

    @property
    def difference(self) -> np.ndarray:
        """(block,): what each block adds to the difference of the models, means over members."""
        return np.asarray(self.models[0].mean(0) + self.models[1].mean(0))

    def over_blocks(self, values: np.ndarray) -> np.ndarray:
        """Variance of the sums over blocks of `values` (..., block), as a ratio to the events: (...)."""
        k = len(self.share)
        residual = values - values.sum(-1, keepdims=True) * self.share
        return np.asarray((residual**2).sum(-1) * k / (k - 1))

    def over_folds(self, explained: float) -> float:
        """Variance of the estimate that is due to training sets; `explained`: by trials and restarts."""
        difference, share = self.folds
        n = len(share)
        if n < 2:
            return 0.0
        left = difference.var(ddof=1) - explained * (1 / share).mean()
        return max(0.0, float(left)) * (1 / n + 1 / (n - 1))


def scored(log_prob_a: ArrayLike, log_prob_b: ArrayLike, n_events: ArrayLike) -> np.ndarray:
    """Return which trials have a scored bin, (trial,) of bool.

    A trial that ends before the first scored bin has no event and sums of 0 in every member of both models. A
    trial of silence has no spike either, but its log-probabilities are not 0: it counts.

    Parameters
    ----------
    log_prob_a, log_prob_b : (trial,) or (member, trial), sums in nats.
    n_events : (trial,).
    """
    seen = [np.atleast_2d(np.asarray(x, float)).any(0) for x in (log_prob_a, log_prob_b, n_events)]
    return np.asarray(seen[0] | seen[1] | seen[2])


def _in_blocks(s: Session) -> _Blocked:
    """Sum a session over its blocks; those that were given are the values whose correlation is looked at."""
    a, b = (np.atleast_2d(np.asarray(x, float)) for x in (s.log_prob_a, s.log_prob_b))
    events = np.asarray(s.n_events, float)
    if not a.shape[1] == b.shape[1] == len(events):
        raise CortseqError(f"unequal numbers of trials: {a.shape[1]}, {b.shape[1]}, {len(events)}")
    estimate = float((a.mean(0) - b.mean(0)).sum() / events.sum())
    kept = scored(a, b, events)
    values, n_trials = np.concatenate([a, -b, events[None]])[:, kept], int(kept.sum())
    if s.blocks is not None:
        values = _summed(values, np.asarray(s.blocks)[kept])
    elif s.order is not None:
        values = values[:, np.argsort(np.asarray(s.order)[kept], kind="stable")]
    n = values.shape[1]
    if n < 2:
        raise CortseqError("a comparison needs at least two trials (or blocks of them)", value=n)
    events = values[-1]
    difference = values[: len(a)].mean(0) + values[len(a) : -1].mean(0)
    residual = difference - events * estimate
    labels, missing = blocking.cut(residual, s.shortest)
    values = _summed(values, labels) / events.sum()
    length = round(n_trials / values.shape[1])
    models = values[: len(a)], values[len(a) : -1]
    return _Blocked(estimate, models, values[-1], length, missing, _by_fold(a, b, s))


def _by_fold(a: np.ndarray, b: np.ndarray, s: Session) -> np.ndarray:
    """Return the difference in each fold and the fold's share of the events, (2, fold)."""
    events = np.asarray(s.n_events, float)
    labels = np.zeros(len(events)) if s.folds is None else s.folds
    difference, events = _summed(np.stack([a.mean(0) - b.mean(0), events]), labels)
    scored = events > 0
    return np.stack([difference[scored] / events[scored], events[scored] / events.sum()])


def _random_effects(parts: Sequence[_Blocked], resamples: int, seed: int) -> PairedDifference:
    """Return the mean over sessions of the difference of two models; see `paired`."""
    n = len(parts)
    difference = np.concatenate([p.difference for p in parts]) / n
    each = np.array([p.over_blocks(p.difference) / (1 - p.missing) for p in parts]) / n**2
    of_blocks = float(each.sum())
    of_members, restarts = _restarts(parts)
    split = [p.over_folds(v * n**2 + of_members) / n**2 for v, p in zip(each, parts, strict=True)]
    of_split = float(sum(split))
    variance = of_blocks + of_members + of_split
    if variance > 0:
        inverse = sum(v**2 / (len(p.share) - 1) for v, p in zip(each, parts, strict=True)) / variance**2
        inverse += of_members / variance / restarts
        inverse += sum(v / (p.folds.shape[1] - 1) for v, p in zip(split, parts, strict=True) if v) / variance
    pieces = len(difference)
    degrees = float(1 / inverse) if variance > 0 else pieces - 1.0
    found = _student(float(np.mean([p.estimate for p in parts])), variance, degrees, pieces)
    p = _sign_flips(difference, resamples, np.random.default_rng(seed))
    if of_members + of_split > 0 or any(part.missing > 0 for part in parts):
        p = max(p, found.p_value)
    smallest = smallest_p(pieces, resamples)
    share = of_split / variance if variance > 0 else 0.0
    longest = max(p.length for p in parts)
    return replace(found, p_value=p, block_trials=longest, smallest_p=smallest, split_share=share)


def smallest_p(n_blocks: int, resamples: int = 10_000) -> float:
    """Return the smallest p that sign flips of so many blocks can give."""
    return max(2.0 ** (1 - n_blocks), 1 / (1 + resamples))


def _restarts(parts: Sequence[_Blocked]) -> tuple[float, float]:
    """Variance of the difference that is due to restarts, and its degrees of freedom (1: no restarts)."""
    found = []
    for model in range(2):
        values = [p.models[model] for p in parts]
        m = len(values[0])
        if m == 1:
            continue
        spread = np.mean([v.sum(1) for v in values], axis=0).var(ddof=1) / m
        noise = sum(p.over_blocks(v - v.mean(0)).sum() for p, v in zip(parts, values, strict=True))
        noise = 0.0 if m == 2 else noise / ((m - 1) * m * len(parts) ** 2)
        found.append((max(float(spread - noise), 0.0), m - 1))
    total = sum(v for v, _ in found)
    return total, total**2 / sum(v**2 / f for v, f in found) if total > 0 else 1.0


def _student(estimate: float, variance: float, degrees: float, pieces: int) -> PairedDifference:
    """Return the 95 % interval and the two-sided p of a t distribution."""
    error = float(np.sqrt(variance))
    half = float(special.stdtrit(degrees, 0.975)) * error
    p = 2 * float(special.stdtr(degrees, -abs(estimate) / error)) if error > 0 else float(estimate == 0)
    return PairedDifference(estimate, estimate - half, estimate + half, p, error, pieces, degrees)


def _sign_flips(difference: np.ndarray, resamples: int, rng: np.random.Generator) -> float:
    """P of flipping the signs of (block,) differences: all flips where these are few, else random ones."""
    observed = abs(difference.sum()) * (1 - 1e-12)
    if 2 ** (len(difference) - 1) <= resamples:  # the first sign may stay: the other half mirrors this one
        flips = np.arange(2 ** (len(difference) - 1))[:, None] >> np.arange(len(difference)) & 1
        return float((np.abs((1.0 - 2 * flips) @ difference) >= observed).mean())
    extreme = 0
    for done in range(0, resamples, _ROWS):
        flips = rng.integers(0, 2, (min(_ROWS, resamples - done), len(difference)), dtype=np.int8)
        extreme += int((np.abs((2.0 * flips - 1) @ difference) >= observed).sum())
    return (1 + extreme) / (1 + resamples)


def expected_best(valid: ArrayLike, test: ArrayLike) -> np.ndarray:
    """Return the expected test score, (n,), of the setting that is best on validation among n = 1 .. N tried.

    valid, test : (setting,) scores, higher is better. Settings are drawn with replacement from the N that
    were tried; with test scores t_(1) .. t_(N) in the order of their validation scores

        E[n] = sum_i t_(i) ((i / N)^n - ((i - 1) / N)^n)

    (Dodge et al. 2019, arXiv:1909.03004, with the test score of the chosen setting in place of its
    validation).
    """
    valid, test = np.asarray(valid, float), np.asarray(test, float)
    rank = np.arange(len(test) + 1) / len(test)
    weight = np.diff(rank[None] ** np.arange(1, len(test) + 1)[:, None], axis=1)
    return np.asarray(weight @ test[np.argsort(valid, kind="stable")])


def _summed(values: np.ndarray, blocks: ArrayLike) -> np.ndarray:
    """Return sums (..., block) of values (..., trial), blocks in the order of their labels."""
    _, inverse, counts = np.unique(np.asarray(blocks), return_inverse=True, return_counts=True)
    by_block = values[..., np.argsort(inverse, kind="stable")]
    return np.asarray(np.add.reduceat(by_block, np.cumsum(counts) - counts, axis=-1))


def holm(p_values: np.ndarray) -> np.ndarray:
    """Return Holm's step-down adjustment of p-values (test,), NaN stays NaN; Holm 1979, Scand J Stat 6:65."""
    p = np.asarray(p_values, float)
    out = np.full(p.shape, np.nan)
    order = np.argsort(np.where(np.isnan(p), np.inf, p), kind="stable")
    m, running = int((~np.isnan(p)).sum()), 0.0
    for rank, i in enumerate(order[:m]):
        running = max(running, min(1.0, (m - rank) * p[i]))
        out[i] = running
    return out
