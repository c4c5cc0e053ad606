"""Contexts and context trees of ten million symbols and Markov chains of one, beside the textbook in Python.

No library that is at hand counts contexts of eight symbols, so the peers are written here: dictionaries for
counts and for Witten-Bell smoothing, and context-tree weighting symbol by symbol as Willems, Shtarkov &
Tjalkens (1995, IEEE Trans Inf Theory 41:653) define it. They read the first part of the symbols, and their
time counts as many times as that part is contained in what ours reads: a part has fewer contexts, which
favours them. What is compared is the result on their part.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

import numpy as np

from benchmarks.harness import Case, Peer

N_SYMBOLS, ORDER, N_TIME, N_TRIALS = 8, 8, 10_000, 1000  # ten million symbols
COUNTED, SMOOTHED, WEIGHTED = 100, 10, 2  # trials that the peers read
SHARES, NOISE = np.array([0.6, 0.9, 1.0]), 0.05  # of the three likeliest symbols; of any symbol
EVIDENCE = 1e-9  # relative


def cases() -> Iterator[Case]:
    labels = problem()
    yield counting(labels)
    yield tree(labels)
    yield chain_of_order(labels[: len(labels) // 10])


def problem() -> np.ndarray:
    """Labels (trial, time): three likely followers of every pair of the labels one and three bins before."""
    rng = np.random.default_rng(0)
    likely = rng.integers(0, N_SYMBOLS, (N_SYMBOLS, N_SYMBOLS, len(SHARES)))
    out = rng.integers(0, N_SYMBOLS, (N_TIME, N_TRIALS))
    for t in range(3, N_TIME):
        rank = np.searchsorted(SHARES, rng.random(N_TRIALS))
        follows = rng.random(N_TRIALS) >= NOISE
        out[t, follows] = likely[out[t - 1], out[t - 3], rank][follows]
    return np.ascontiguousarray(out.T)


def counting(labels: np.ndarray) -> Case:
    """What follows every context of 0 to 8 symbols."""

    def ours():
        return _table(labels)

    def differing(_, theirs: list[Counter]) -> float:
        found = as_counters(_table(labels[:COUNTED]), ORDER)
        return float(sum((a - b).total() + (b - a).total() for a, b in zip(found, theirs, strict=True)))

    texts = padded(labels[:COUNTED])
    peer = Peer("Python, Counter", lambda: counters(texts), differing, 0, times=_times(labels, COUNTED))
    return Case(f"contexts of 0..{ORDER} of {_millions(labels)} symbols", ours, [peer])


def tree(labels: np.ndarray) -> Case:
    """The mixture over all context trees, with the evidence of the labels."""
    from cortseq.models.chains import smoothing

    def evidence(some: np.ndarray) -> float:
        return smoothing.context_tree(_table(some), N_SYMBOLS)[1]

    def apart(_, theirs: float) -> float:
        return abs(evidence(labels[:WEIGHTED]) / theirs - 1)

    texts = padded(labels[:WEIGHTED])
    theirs = "Python, symbol by symbol"
    peer = Peer(theirs, lambda: weighted(texts), apart, EVIDENCE, times=_times(labels, WEIGHTED))
    return Case(f"CTW of depth {ORDER}, {_millions(labels)} symbols", lambda: evidence(labels), [peer])


def chain_of_order(labels: np.ndarray) -> Case:
    """A fit with Witten-Bell smoothing, and the log-probability of every label."""
    from cortseq import models

    def log_prob(some: np.ndarray) -> np.ndarray:
        fit = models.Markov(order=ORDER).fit_sequences(list(some), n_symbols=N_SYMBOLS)
        return np.concatenate(fit.log_prob_sequences(list(some)))

    def apart(_, theirs: np.ndarray) -> float:
        return float(np.abs(log_prob(labels[:SMOOTHED]) - theirs).max())

    texts = padded(labels[:SMOOTHED])
    theirs = "Python, dictionaries"
    peer = Peer(theirs, lambda: witten_bell(texts), apart, EVIDENCE, times=_times(labels, SMOOTHED))
    name = f"Markov chain of order {ORDER}, {_millions(labels)} symbols"
    return Case(name, lambda: log_prob(labels), [peer])


def _table(labels: np.ndarray) -> dict[str, np.ndarray]:
    from cortseq.models.chains import chain

    return chain.count(labels, np.ones(labels.shape, bool), N_SYMBOLS, ORDER)


def _times(labels: np.ndarray, n_trials: int) -> int:
    return max(1, len(labels) // n_trials)


def _millions(labels: np.ndarray) -> str:
    return f"{labels.size / 1e6:g}M"


# -- the textbook ----------------------------------------------------------------------------------


def padded(labels: np.ndarray) -> list[bytes]:
    """Return each trial as bytes after as many start symbols as a context is long."""
    start = np.full((len(labels), ORDER), N_SYMBOLS)
    return [row.tobytes() for row in np.hstack([start, labels]).astype(np.uint8)]


def counters(texts: list[bytes]) -> list[Counter]:
    """Return for each length of contexts how often each context and follower occur."""
    found: list[Counter] = []
    for level in range(ORDER + 1):
        found.append(Counter())
        for text in texts:
            found[-1].update([text[i - level : i + 1] for i in range(ORDER, len(text))])
    return found


def as_counters(table: dict[str, np.ndarray], order: int) -> list[Counter]:
    """Return a table of `chain.count` as `counters` returns it."""
    from cortseq.models.chains import chain

    found, contexts = [], np.zeros((1, 0), np.uint8)
    for level in range(order + 1):
        if level:
            oldest = (table[f"keys{level}"] % (N_SYMBOLS + 1)).astype(np.uint8)
            contexts = np.column_stack([oldest, contexts[chain.parents(table, level, N_SYMBOLS)]])
        context, follower, counts = chain.cells(table, level, N_SYMBOLS)
        words = np.column_stack([contexts[context], follower.astype(np.uint8)])
        found.append(Counter(dict(zip(map(bytes, words), counts.tolist(), strict=True))))
    return found


def witten_bell(texts: list[bytes]) -> np.ndarray:
    """Return the log-probability of every label, P(w|h) = (c(hw) + T(h) P(w|h')) / (c(h) + T(h))."""
    rows: dict[bytes, dict[int, int]] = {}
    for text in texts:
        for i in range(ORDER, len(text)):
            for level in range(ORDER + 1):
                row = rows.setdefault(text[i - level : i], {})
                row[text[i]] = row.get(text[i], 0) + 1
    total = {context: sum(row.values()) for context, row in rows.items()}
    out = []
    for text in texts:
        for i in range(ORDER, len(text)):
            p = 1 / N_SYMBOLS
            for level in range(ORDER + 1):
                context = text[i - level : i]
                row = rows[context]
                p = (row[text[i]] + len(row) * p) / (total[context] + len(row))
            out.append(math.log(p))
    return np.array(out)


def weighted(texts: list[bytes]) -> float:
    """Return ln of the probability that context-tree weighting gives the labels, one after the other."""
    nodes: dict[bytes, _Node] = {}
    for text in texts:
        for i in range(ORDER, len(text)):
            change = 0.0
            for level in range(ORDER, -1, -1):
                context = text[i - level : i]
                node = nodes.get(context)
                if node is None:
                    node = nodes[context] = _Node()
                change = node.see(text[i], change, level == ORDER)
    return nodes[b""].mixture


class _Node:
    """Counts of one context, ln of its estimator, of the mixture below it and of both mixed."""

    def __init__(self) -> None:
        self.counts, self.total = [0] * N_SYMBOLS, 0
        self.leaf = self.below = self.mixture = 0.0

    def see(self, label: int, change: float, deepest: bool) -> float:
        """Count a label that changes the child's mixture by `change`; return the change of this one's."""
        self.leaf += math.log((self.counts[label] + 0.5) / (self.total + 0.5 * N_SYMBOLS))
        self.counts[label] += 1
        self.total += 1
        self.below += change
        before, self.mixture = self.mixture, self.leaf
        if not deepest:
            high, low = max(self.leaf, self.below), min(self.leaf, self.below)
            self.mixture = high + math.log1p(math.exp(low - high)) - math.log(2)
        return self.mixture - before
