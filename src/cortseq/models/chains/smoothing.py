"""Smoothed tables of a chain from its counts: see `chain` for their form.

Each function returns the table with "weights" and "backoff" (and "constant") of every level.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cortseq._lazy import sparse
from cortseq.models.chains import chain
from cortseq.models.chains.chain import Table
from cortseq.observations.categorical import krichevsky_trofimov

_EM_STEPS = 200
_EM_TOLERANCE = 1e-7  # nats per label


def additive(table: Table, m: int, alpha: float) -> Table:
    """P(w|h) = (c(hw) + alpha) / (c(h) + alpha m) at the longest contexts; 1/m where h never occurred."""
    order = chain.depth(table)
    out = dict(table)
    for level in range(order + 1):
        context, _, c = chain.cells(table, level, m)
        total = np.bincount(context, c) + alpha * m
        last = level == order
        out[f"weights{level}"] = c / total[context] if last else np.zeros(len(c))
        out[f"backoff{level}"] = alpha * m / total if last else np.ones(len(total))
    return out


def witten_bell(table: Table, m: int) -> Table:
    """P(w|h) = (c(hw) + T(h) P(w|h')) / (c(h) + T(h)), T(h) the number of distinct followers.

    Down to the uniform distribution. Witten & Bell 1991, IEEE Trans Inf Theory 37:1085.
    """
    out = dict(table)
    for level in range(chain.depth(table) + 1):
        out |= _witten_bell(table, level, m)
    return out


def _witten_bell(table: Table, level: int, m: int) -> Table:
    context, _, c = chain.cells(table, level, m)
    distinct = np.bincount(context)
    total = np.bincount(context, c) + distinct
    return {f"weights{level}": c / total[context], f"backoff{level}": distinct / total}


# ---------------------------------------------------------------------------------- Kneser-Ney


def kneser_ney(table: Table, m: int) -> tuple[Table, dict[str, Any]]:
    """Interpolated modified Kneser-Ney: P(w|h) = (c(hw) - D(c(hw))) / c(h) + g(h) P(w|h').

    g(h) = (D1 N1(h) + D2 N2(h) + D3 N3+(h)) / c(h), N_i(h) the followers seen i times. Below the longest
    contexts c(hw) is the number of distinct labels that came before hw, or how often hw occurred where h
    begins with the start symbol (nothing comes before that). With n_i the cells of count i at a level,

        Y = n_1 / (n_1 + 2 n_2), D_i = i - (i + 1) Y n_{i+1} / n_i.

    Where an n_i is 0 or a D_i negative the level is smoothed by Witten-Bell on its plain counts. Returns also
    the discounts and the levels that fell back. Chen & Goodman 1999, Comput Speech Lang 13:359.
    """
    order = chain.depth(table)
    out, discounts, fallen = dict(table), {}, []
    for level in range(order + 1):
        context, _, c = chain.cells(table, level, m)
        c = c if level == order else _continuations(table, level, m)
        d = _discounts(c)
        if d is None:
            out |= _witten_bell(table, level, m)
            fallen.append(level)
            continue
        taken = d[np.minimum(c, 3) - 1]
        total = np.bincount(context, c)
        out[f"weights{level}"] = (c - taken) / total[context]
        out[f"backoff{level}"] = np.bincount(context, taken) / total
        discounts[str(level)] = d.tolist()
    return out, {"discounts": discounts, "witten_bell_levels": fallen}


def _continuations(table: Table, level: int, m: int) -> np.ndarray:
    """Distinct labels before each cell of a level; plain counts if contexts begin with the start symbol."""
    context, _, plain = chain.cells(table, level, m)
    longer, follower, _ = chain.cells(table, level + 1, m)
    parent = chain.parents(table, level + 1, m)[longer]
    cell = np.searchsorted(table[f"cells{level}"], parent * m + follower)
    distinct = np.bincount(cell, minlength=len(plain))
    if not level:
        return distinct
    return np.where(table[f"keys{level}"][context] % (m + 1) == m, plain, distinct)


def _discounts(c: np.ndarray) -> np.ndarray | None:
    n = np.bincount(c, minlength=5)[1:5].astype(float)
    if (n == 0).any():
        return None
    y = n[0] / (n[0] + 2 * n[1])
    i = np.arange(1, 4)
    d = i - (i + 1) * y * n[1:] / n[:-1]
    return d if (d >= 0).all() else None


# ------------------------------------------------------------------------------- Jelinek-Mercer


def jelinek_mercer(table: Table, m: int, weights: np.ndarray) -> Table:
    """P(w|h) = l_j c(hw) / c(h) + (1 - l_j) P(w|h') at level j, weights l (level,).

    Jelinek & Mercer 1980, Pattern Recognition in Practice 381.
    """
    out = dict(table)
    for level, weight in enumerate(weights):
        context, _, c = chain.cells(table, level, m)
        total = np.bincount(context, c)
        out[f"weights{level}"] = weight * c / total[context]
        out[f"backoff{level}"] = np.full(len(total), 1 - weight)
    return out


def held_out_weights(table: Table, m: int, paths: np.ndarray, likelihood: np.ndarray) -> np.ndarray:
    """Weights l of `jelinek_mercer` by EM on other bins.

    paths : (level, bin) contexts before each bin. likelihood : (bin, label) of the bin's observation under
    each label: one-hot for labels. Any factor per bin cancels.
    """
    p = np.zeros(paths.shape)
    for level, ids in enumerate(paths):
        context, follower, c = chain.cells(table, level, m)
        total = np.bincount(context, c)
        frequency = sparse.csr_matrix((c / total[context], (context, follower)), (len(total), m))
        seen = np.flatnonzero(ids >= 0)
        p[level, seen] = np.asarray(frequency[ids[seen]].multiply(likelihood[seen]).sum(1)).ravel()
    return _em(p, paths >= 0, likelihood.mean(1))


def deleted_weights(table: Table, m: int, paths: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return weights l (level,) by EM on the training labels, each left out of the counts that predict it.

    P = (c(hw) - 1) / (c(h) - 1), and a context that occurred only here counts as unseen: "deleted
    interpolation". `paths` (level, bin) are the contexts before the training bins, `labels` (bin,) theirs.
    """
    p, seen = np.zeros(paths.shape), np.zeros(paths.shape, bool)
    for level, ids in enumerate(paths):
        context, _, c = chain.cells(table, level, m)
        total = np.bincount(context, c)[ids]
        seen[level] = total > 1
        own = c[np.searchsorted(table[f"cells{level}"], ids * m + labels)]
        p[level] = (own - 1) / np.maximum(total - 1, 1)
    return _em(p, seen, np.full(paths.shape[1], 1.0 / m))


def _em(p: np.ndarray, seen: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """EM for l: a bin walks from the deepest level up and stops at level j with probability l_j.

    p (level, bin): likelihood at each level, passed by where it is not `seen`; uniform: at the end of the
    walk. One pseudo-bin per level never stops, so that l < 1 and nothing has probability 0.
    """
    weights, before = np.full(len(p), 0.5), -np.inf
    for _ in range(_EM_STEPS):
        mixed = [uniform]
        for level, weight in enumerate(weights):
            mixed.append(np.where(seen[level], weight * p[level] + (1 - weight) * mixed[-1], mixed[-1]))
        score = (np.log(mixed[-1]).sum() + np.log(1 - weights).sum()) / p.shape[1]
        if score - before < _EM_TOLERANCE:
            break
        before, reach = score, np.ones(p.shape[1])
        for level in range(len(p) - 1, -1, -1):
            stop = np.where(seen[level], reach * weights[level] * p[level] / mixed[level + 1], 0.0)
            weights[level] = stop.sum() / (reach[seen[level]].sum() + 1)
            reach = reach - stop
    return weights


# ------------------------------------------------------------------------- context-tree weighting


def context_tree(table: Table, m: int) -> tuple[Table, float]:
    """Return the mixture over all prunings of the context tree, and ln p of the training labels in nats.

    At a node with counts c (total n) the estimator of Krichevsky & Trofimov gives its labels in sequence
    K = prod_w [(1/2)(3/2)..] / [(m/2)(m/2 + 1)..]; a node is a leaf with probability 1/2 (at full depth 1):

        P_w(node) = (K(node) + prod_children P_w(child)) / 2.

    Given the training labels the node, once reached, is a leaf with probability B = K / (2 P_w), and predicts
    (c + 1/2) / (n + m/2); below a context that never occurred every leaf predicts 1/m. Along the path of a
    context the leaf is at level j with probability q_j = B_j prod_{i<j} (1 - B_i), hence
    P_j = P_{j-1} + q_j ((c + 1/2) / (n + m/2) - 1/m). Willems, Shtarkov & Tjalkens 1995, IEEE Trans Inf
    Theory 41:653.
    """
    depth = chain.depth(table)
    leaf: list[np.ndarray] = []  # log K
    whole: list[np.ndarray] = []  # log P_w
    below: list[np.ndarray] = []  # log of the product of the children's P_w
    for level in range(depth, -1, -1):
        context, _, c = chain.cells(table, level, m)
        n = np.bincount(context, c)
        k = krichevsky_trofimov(context, c, n, m)
        children = k
        if level < depth:
            children = np.bincount(chain.parents(table, level + 1, m), whole[0])
        leaf, below = [k, *leaf], [children, *below]
        whole = [np.logaddexp(k, children) - np.log(2), *whole]
    out, reach = dict(table), np.ones(1)
    for level in range(depth + 1):
        context, _, c = chain.cells(table, level, m)
        n = np.bincount(context, c)
        reach = reach[chain.parents(table, level, m)] if level else reach
        q = reach * np.exp(leaf[level] - np.log(2) - whole[level]) if level < depth else reach
        reach = reach * np.exp(below[level] - np.log(2) - whole[level])
        scale = q / (n + m / 2)
        out[f"weights{level}"] = scale[context] * c
        out[f"constant{level}"] = -scale * n / m
        out[f"backoff{level}"] = np.ones(len(n))
    return out, float(whole[0][0])
