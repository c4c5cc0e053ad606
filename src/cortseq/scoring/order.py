"""How many labels back do transitions look? A likelihood-ratio test of Markov order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from cortseq.errors import CortseqError

_MOST_CELLS = 2**24  # of the table of words of k + 2 labels


@dataclass(frozen=True)
class OrderTest:
    """G of order k against k+1, its degrees of freedom m^k (m-1)^2, and two p-values.

    `p_chi2` is asymptotic and wrong where words are rare; `p_value` is of the parametric bootstrap.
    """

    order: int
    statistic: float
    degrees_of_freedom: int
    p_chi2: float
    p_value: float


def markov_order_test(
    sequences: Sequence[np.ndarray], n_symbols: int, order: int, resamples: int = 999, seed: int = 0
) -> OrderTest:
    """Test that the chain has order k against order k + 1, on sequences of labels, each (time,).

    G = 2 sum_{ahw} c(ahw) log[ c(ahw) c(h) / (c(ah) c(hw)) ] over words of k + 2 labels (a before h, h of k
    labels, w after it), c(ah) = sum_w c(ahw) and so on, so that every count is over the same bins. Under
    order k it is chi-squared with m^k (m-1)^2 degrees of freedom as counts grow (Anderson & Goodman 1957, Ann
    Math Stat 28:89). The bootstrap draws the sequences anew from the fitted chain of order k, each from its
    own first k + 1 labels: p = (1 + #{G* >= G}) / (1 + resamples).

    Raises CortseqError where no sequence has k + 2 labels, or the words are too many to tabulate.
    """
    m, k = n_symbols, order
    if m ** (k + 2) > _MOST_CELLS:
        raise CortseqError(f"{m}^{k + 2} words are too many", key="order", value=k, fix="test a lower order")
    long = [np.asarray(s, np.int64) for s in sequences if len(s) >= k + 2]
    if not long:
        raise CortseqError(f"no sequence has {k + 2} labels", key="order", value=k)
    if min(s.min() for s in long) < 0 or max(s.max() for s in long) >= m:
        raise CortseqError(f"a label lies outside the alphabet 0..{m - 1}", key="n_symbols", value=m)
    labels, ends = np.concatenate(long), np.cumsum([len(s) for s in long])
    counts = _words(labels, ends, m, k + 2)
    observed = _g(counts, m)
    cumulative = _transitions(counts, m).cumsum(1)
    rng = np.random.default_rng(seed)
    extreme = 0
    for _ in range(resamples):
        drawn = _redraw(labels, ends, cumulative, k, rng.random(len(labels)))
        extreme += _g(_words(drawn, ends, m, k + 2), m) >= observed * (1 - 1e-12)
    from scipy.stats import chi2

    df = m**k * (m - 1) ** 2
    p = (1 + extreme) / (1 + resamples)
    return OrderTest(k, observed, df, float(chi2.sf(observed, df)), p)


def _g(counts: np.ndarray, m: int) -> float:
    """G from the counts of words (a h w) in order of the number that their labels spell."""
    c = counts.reshape(m, -1, m).astype(float)

    def total(x: np.ndarray) -> float:
        return float((x * np.log(np.maximum(x, 1))).sum())

    return 2 * max(total(c) - total(c.sum(2)) - total(c.sum(0)) + total(c.sum((0, 2))), 0.0)


def _transitions(counts: np.ndarray, m: int) -> np.ndarray:
    """Frequencies (h, w) of what follows each h; where h was never followed, of all labels."""
    c = counts.reshape(m, -1, m).sum(0).astype(float)
    c[c.sum(1) == 0] = c.sum(0)
    return np.asarray(c / c.sum(1, keepdims=True))


@njit(cache=True, nogil=True)
def _words(labels: np.ndarray, ends: np.ndarray, m: int, length: int) -> np.ndarray:
    """Count words of `length` labels within sequences; a word is the number that its labels spell."""
    size = m**length
    counts = np.zeros(size, np.int64)
    begin = 0
    for end in ends:
        word = 0
        for t in range(begin, end):
            word = (word * m + labels[t]) % size
            if t - begin >= length - 1:
                counts[word] += 1
        begin = end
    return counts


@njit(cache=True, nogil=True)
def _redraw(
    labels: np.ndarray, ends: np.ndarray, cumulative: np.ndarray, k: int, uniform: np.ndarray
) -> np.ndarray:
    """Sequences of the same lengths and first k + 1 labels drawn from a chain of order k."""
    n_contexts, m = cumulative.shape
    out = labels.copy()
    begin = 0
    for end in ends:
        context = 0
        for t in range(begin, end):
            if t - begin > k:
                w = 0
                while w < m - 1 and uniform[t] >= cumulative[context, w]:
                    w += 1
                out[t] = w
            context = (context * m + out[t]) % n_contexts
        begin = end
    return out
