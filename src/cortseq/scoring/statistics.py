"""Paired statistics in nats; trials are resampled, and members where there are several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri, stdtr  # scipy.stats would take most jobs longer to import than to score

from cortseq.errors import CortseqError

_ROWS = 500  # resamples drawn at once: bounds memory
# Of equivalence, in bits per spike or symbol, nats per sample and channel. A convention: the gain that a
# study of 200 trials is meant to detect (docs/calibration.md).
MARGIN = 0.01


@dataclass(frozen=True)
class PairedDifference:
    """A minus B in nats per event, its 95 % bootstrap interval and two-sided p; `per` gives other units."""

    estimate: float
    low: float
    high: float
    p_value: float
    standard_error: float
    pieces: int = 0  # independent trials, or blocks of them

    def per(self, unit: float) -> PairedDifference:
        """Return the difference in units of so many nats: ln 2 for bits per event."""
        scaled = {name: getattr(self, name) / unit for name in ("estimate", "low", "high", "standard_error")}
        return replace(self, **scaled)

    def equivalence(self, margin: float = MARGIN) -> float:
        """Return p of two one-sided t tests of |A - B| < margin.

        The larger of P(T >= (margin + d) / se) and P(T >= (margin - d) / se), T with pieces - 1 degrees of
        freedom and se of the bootstrap: small where the two are shown to be as good as each other. Schuirmann
        1987 J Pharmacokinet Biopharm 15:657.
        """
        inside = margin - abs(self.estimate)
        if self.standard_error == 0:
            return 0.0 if inside > 0 else 1.0
        return float(stdtr(max(self.pieces - 1, 1), -inside / self.standard_error))

    @property
    def detectable(self) -> float:
        """The gain that this many trials detect with power 0.8 at level 0.05 (two-sided, normal)."""
        return float((ndtri(0.975) + ndtri(0.8)) * self.standard_error)


def paired(
    log_prob_a: ArrayLike,
    log_prob_b: ArrayLike,
    n_events: ArrayLike,
    resamples: int = 10_000,
    seed: int = 0,
    blocks: ArrayLike | None = None,
) -> PairedDifference:
    """Return sum_r (A_r - B_r) / sum_r n_r with a bootstrap over trials and a sign-flip permutation test.

    Parameters
    ----------
    log_prob_a, log_prob_b : (trial,) sums in nats, or (member, trial) of models with restarts; members
        are averaged, and resampled together with the trials, so that the interval holds their spread.
    n_events : (trial,) spikes, symbols or samples.
    resamples : of the bootstrap and of the permutation test.
    blocks : (trial,) label of the block that a trial belongs to, where neighbours are not independent
        (windows of a continuous recording): blocks are then resampled and flipped as one. None: every trial
        is its own.

    The p-value is (1 + #{|permuted| >= |observed|}) / (1 + resamples): flipping the sign of a trial's
    difference is exact under the null that A and B are exchangeable within trials (Good 2005).
    """
    a, b = np.atleast_2d(np.asarray(log_prob_a, float)), np.atleast_2d(np.asarray(log_prob_b, float))
    events = np.asarray(n_events, float)
    if a.shape[1] != b.shape[1] or a.shape[1] != len(events):
        raise CortseqError(f"unequal numbers of trials: {a.shape[1]}, {b.shape[1]}, {len(events)}")
    if blocks is not None:
        a, b, events = (_summed(x, blocks) for x in (a, b, events))
    if len(events) < 2:
        raise CortseqError("a comparison needs at least two trials (or blocks of them)", value=len(events))
    rng = np.random.default_rng(seed)
    difference = a.mean(0) - b.mean(0)
    scale = events.sum()
    boot = np.concatenate([_resample(a, b, events, n, rng) for n in _parts(resamples)])
    observed = abs(difference.sum())
    extreme = 0
    for n in _parts(resamples):
        flipped = rng.choice(np.array([-1.0, 1.0]), (n, len(events))) @ difference
        extreme += int((np.abs(flipped) >= observed * (1 - 1e-12)).sum())
    low, high = np.quantile(boot, [0.025, 0.975])
    return PairedDifference(
        float(difference.sum() / scale),
        float(low),
        float(high),
        (1 + extreme) / (1 + resamples),
        float(boot.std(ddof=1)),
        len(events),
    )


@dataclass(frozen=True)
class Session:
    """Two models on one recording: nats (member, trial) each, events (trial,), blocks (trial,) or None."""

    log_prob_a: np.ndarray
    log_prob_b: np.ndarray
    n_events: np.ndarray
    blocks: np.ndarray | None = None


def across_sessions(sessions: Sequence[Session], resamples: int = 2000, seed: int = 0) -> PairedDifference:
    """Mean over sessions of A minus B (nats per event) by a hierarchical bootstrap.

    Every replicate draws sessions with replacement, within each draw trials (or blocks) and members
    (Saravanan, Berman & Sober 2020, arXiv:2007.07797). Each session weighs the same, whatever its length.
    p_value is the bootstrap's: twice the smaller share of replicates on either side of 0. With fewer than
    about five sessions the interval says little about sessions that were not recorded.
    """
    if len(sessions) < 2:
        raise CortseqError("pooling needs at least two sessions", value=len(sessions))
    rng, n = np.random.default_rng(seed), len(sessions)
    each, drawn = [], []
    for s in sessions:
        a, b = np.atleast_2d(np.asarray(s.log_prob_a, float)), np.atleast_2d(np.asarray(s.log_prob_b, float))
        events = np.asarray(s.n_events, float)
        if s.blocks is not None:
            a, b, events = (_summed(x, s.blocks) for x in (a, b, events))
        each.append((a.mean(0) - b.mean(0)).sum() / events.sum())
        # n replicates a draw: a session that is drawn twice is resampled twice
        drawn.append(np.concatenate([_resample(a, b, events, k, rng) for k in _parts(n * resamples)]))
    choice = rng.integers(n, size=(resamples, n))
    boot = (
        np.stack(drawn).reshape(n, n, resamples)[choice, np.arange(n), np.arange(resamples)[:, None]].mean(1)
    )
    return _of_bootstrap(float(np.mean(each)), boot, n)


def over_sessions(sessions: Sequence[Session], resamples: int = 2000, seed: int = 0) -> PairedDifference:
    """Mean over these very sessions of A minus B (nats per event), differences taken within members.

    A replicate draws trials (or blocks) within each session, and members once for all sessions: one network
    learned them all. B may have one member, a model without restarts. Sessions are not resampled: the
    interval says nothing about others (`across_sessions` does). p_value as there.
    """
    rng, each, boots = np.random.default_rng(seed), [], []
    members = rng.integers(len(sessions[0].log_prob_a), size=(resamples, len(sessions[0].log_prob_a)))
    for s in sessions:
        difference, events = np.asarray(s.log_prob_a - s.log_prob_b), np.asarray(s.n_events, float)
        if s.blocks is not None:
            difference, events = (_summed(x, s.blocks) for x in (difference, events))
        n = len(events)
        if n < 2:
            raise CortseqError("an interval needs at least two trials (or blocks of them)", value=n)
        weights = rng.multinomial(n, np.full(n, 1 / n), resamples).astype(float)
        gain = (weights @ difference.T)[np.arange(resamples)[:, None], members].mean(1)
        boots.append(gain / np.maximum(weights @ events, 1e-12))
        each.append(difference.mean(0).sum() / events.sum())
    return _of_bootstrap(float(np.mean(each)), np.mean(boots, axis=0), len(sessions))


def _of_bootstrap(estimate: float, boot: np.ndarray, pieces: int) -> PairedDifference:
    """Return the estimate with the interval and the two-sided p of its bootstrap replicates (resample,)."""
    beyond = min(int((boot <= 0).sum()), int((boot >= 0).sum()))
    low, high = np.quantile(boot, [0.025, 0.975])
    p_value = min(1.0, 2 * (1 + beyond) / (1 + len(boot)))
    return PairedDifference(estimate, float(low), float(high), p_value, float(boot.std(ddof=1)), pieces)


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
    """Return sums (..., block) of values (..., trial)."""
    return values @ np.eye(len(np.unique(blocks)))[np.unique(blocks, return_inverse=True)[1]]


def blocks_of(trials: ArrayLike, is_continuous: bool) -> np.ndarray:
    """Block labels (trial,) for resampling: each trial its own, or pieces of runs of consecutive windows.

    Pieces have about n^(1/3) of the n windows (Hall, Horowitz & Jing 1995, Biometrika 82:561), so that
    what lasts for a few windows does not pass for independent evidence.
    """
    trials = np.asarray(trials)
    if not is_continuous:
        return np.arange(len(trials))
    length = max(1, int(np.ceil(len(trials) ** (1 / 3))))
    starts = np.flatnonzero(np.diff(trials, prepend=trials[:1] - 2) != 1)
    labels = np.zeros(len(trials), int)
    for a, b in zip(starts, [*starts[1:], len(trials)], strict=True):
        labels[a:b] = labels[a - 1] + 1 + np.arange(b - a) * max(1, round((b - a) / length)) // (b - a)
    return labels


def _resample(
    a: np.ndarray, b: np.ndarray, events: np.ndarray, n: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw n bootstrap replicates of the ratio, nats per event, (n,)."""
    trials = rng.integers(len(events), size=(n, len(events)))
    weights = np.stack([np.bincount(row, minlength=len(events)) for row in trials]).astype(float)
    total = weights @ events
    gain = np.zeros(n)
    for values, sign in ((a, 1.0), (b, -1.0)):
        if len(values) == 1:
            gain += sign * weights @ values[0]
        else:
            members = rng.integers(len(values), size=(n, len(values)))
            gain += sign * (weights @ values.T)[np.arange(n)[:, None], members].mean(1)
    return np.asarray(gain / np.maximum(total, 1e-12))


def _parts(n: int) -> list[int]:
    return [min(_ROWS, n - i) for i in range(0, n, _ROWS)]


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
