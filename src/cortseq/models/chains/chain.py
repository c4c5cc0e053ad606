"""Chains over labels with contexts of 0..k labels: counts, prediction and exact multi-step prediction.

Contexts are a trie. Level j holds the contexts of the last j labels that occur in training, as sorted keys
`id of the context of j-1 labels * (m + 1) + label j steps back`, and for each the counts of what followed.
Labels before a trial's first bin are the start symbol m, which is never predicted. Transitions are never
counted across trials. Every smoothing, and the context-tree mixture, is a table of the same form

    P_j(w | h_j) = W_j(h_j, w) + b_j(h_j) + g_j(h_j) P_{j-1}(w | h_{j-1}),      P_{-1} = 1 / m,

W sparse ("weights" beside the cells), b "constant" (absent: 0), g "backoff"; what is predicted is P at the
deepest context that occurred in training.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from cortseq._lazy import sparse

Table = dict[str, np.ndarray]
_SPARSE, _FEW = 2, 1024  # possible keys for each key above which keys are sorted; few are counted in any case


def count(symbols: np.ndarray, valid: np.ndarray, m: int, order: int) -> Table:
    """Count what follows each context of 0..order labels; symbols and valid are (trial, time)."""
    ids = np.zeros(int(valid.sum()), np.int64)
    follower = symbols[valid].astype(np.int64)
    table: Table = {}
    for level in range(order + 1):
        if level:
            keys = ids * (m + 1) + _back(symbols, valid, level, m)[valid]
            found, _, ids = _distinct(keys, n_contexts(table, level - 1) * (m + 1))
            table[f"keys{level}"] = found
        cells, n, _ = _distinct(ids * m + follower, n_contexts(table, level) * m, places=False)
        table[f"cells{level}"], table[f"counts{level}"] = cells, n
    return table


def _distinct(keys: np.ndarray, bound: int, places: bool = True) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the distinct keys (found,), ascending, how often each occurs, and the place of each key there.

    Keys (key,) lie in 0 .. bound - 1. Where the bound is not far above their number they are counted and not
    sorted, which takes a fraction of the time. Without `places` the last array is empty.
    """
    if bound > max(_SPARSE * len(keys), _FEW):
        found, ids, n = np.unique(keys, return_inverse=True, return_counts=True)
        return found, n.astype(np.int64), ids
    n = np.bincount(keys, minlength=bound)
    found = np.flatnonzero(n)
    ids = (np.cumsum(n > 0) - 1)[keys] if places else np.empty(0, np.int64)
    return found, n[found].astype(np.int64), ids


def n_contexts(table: Table, level: int) -> int:
    """Contexts of `level` labels seen in training."""
    return len(table[f"keys{level}"]) if level else 1


def depth(table: Table) -> int:
    """Labels in the longest contexts of a table."""
    return sum(name.startswith("keys") for name in table)


def cells(table: Table, level: int, m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Context, follower and count of every (context, follower) that occurred at a level."""
    return *np.divmod(table[f"cells{level}"], m), table[f"counts{level}"]


def parents(table: Table, level: int, m: int) -> np.ndarray:
    """Return for each context of `level` >= 1 labels, (context,), the context of one label less."""
    return table[f"keys{level}"] // (m + 1)


def paths(table: Table, symbols: np.ndarray, valid: np.ndarray, m: int) -> np.ndarray:
    """Return the contexts before each bin, (level, trial, time): their ids, -1 if not seen in training."""
    out = np.full((depth(table) + 1, *symbols.shape), -1, np.int64)
    out[0] = 0
    for level in range(1, len(out)):
        wanted = out[level - 1] * (m + 1) + _back(symbols, valid, level, m)
        bound = n_contexts(table, level - 1) * (m + 1)
        found, ids = _find(table[f"keys{level}"], wanted, bound)
        found &= out[level - 1] >= 0
        out[level][found] = ids[found]
    return out


def _find(keys: np.ndarray, wanted: np.ndarray, bound: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Whether each wanted key is among the sorted keys, and where.

    With a `bound` of the keys that is not far above the number wanted they are looked up and not searched.
    """
    if bound is not None and bound <= max(_SPARSE * wanted.size, _FEW):
        places = np.full(bound, -1)
        places[keys] = np.arange(len(keys))
        ids = places[np.maximum(wanted, 0)]
        return (ids >= 0) & (wanted >= 0), ids
    ids = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return keys[ids] == wanted, ids


def _back(symbols: np.ndarray, valid: np.ndarray, lag: int, m: int) -> np.ndarray:
    """Return the label `lag` bins before each bin; the start symbol m before the trial and where none is."""
    known = np.where(valid, symbols, m).astype(np.int64)
    out = np.full(symbols.shape, m, np.int64)
    out[:, lag:] = known[:, : max(symbols.shape[1] - lag, 0)]
    return out


class Chain:
    """A smoothed table made ready to predict."""

    def __init__(self, table: Table, m: int):
        self.table, self.m, self.depth = table, m, depth(table)
        sizes = [n_contexts(table, level) for level in range(self.depth + 1)]
        self.offsets = np.concatenate([[0], np.cumsum(sizes)])  # of each level among all contexts
        self.weights, self.constant, self.backoff = [], [], []
        for level, n in enumerate(sizes):
            context, follower, _ = cells(table, level, m)
            self.weights.append(sparse.csr_matrix((table[f"weights{level}"], (context, follower)), (n, m)))
            self.constant.append(table.get(f"constant{level}", np.zeros(n)))
            self.backoff.append(table[f"backoff{level}"])

    def contexts(self, symbols: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Return the deepest known context before each bin, (trial, time), numbered over all levels."""
        ids = paths(self.table, symbols, valid, self.m)
        level = (ids >= 0).sum(0) - 1  # a context that occurred has parents that did
        return np.asarray(self.offsets[level] + np.take_along_axis(ids, level[None], 0)[0])

    def rows(self, contexts: np.ndarray) -> np.ndarray:
        """P(label | context), (..., m)."""
        wanted, back = np.unique(contexts, return_inverse=True)
        level = np.searchsorted(self.offsets, wanted, side="right") - 1
        ids = np.full((self.depth + 1, len(wanted)), -1)
        ids[level, np.arange(len(wanted))] = wanted - self.offsets[level]
        for j in range(self.depth, 0, -1):
            here = ids[j] >= 0
            ids[j - 1][here] = parents(self.table, j, self.m)[ids[j][here]]
        p = np.full((len(wanted), self.m), 1.0 / self.m)
        for j in range(self.depth + 1):
            seen = np.flatnonzero(ids[j] >= 0)
            i = ids[j][seen]
            mixed = self.constant[j][i, None] + self.backoff[j][i, None] * p[seen]
            p[seen] = self.weights[j][i].toarray() + mixed
        return p[back.reshape(contexts.shape)]

    def futures(self, last: int, labels: np.ndarray) -> Iterator[np.ndarray]:
        """P(label h steps ahead | context) for h = 1..last, each (context of any level, label), exactly.

        B_h = T B_{h-1} with T the transitions between contexts. The context after (h, w) is the longest
        suffix of hw that occurred in training, which the deepest context of h decides, so this is a finite
        chain. A row of T B is its parent's plus what the followers seen in this context change:
        with V = T B, U_i = sum_w B[n_iw], n_iw the context after i and w, p the parent of i,

            V_i = g_i V_p + b_i U_i + sum_{w seen after i} (W_iw B[n_iw] + g_i P_p(w) (B[n_iw] - B[n_pw])).

        Columns of B are independent: `labels` chooses them, and so bounds memory. The differences cost
        accuracy where a result is far smaller than its terms: from h = 2 on none is below the rounding of 1.
        """
        b = self._next_label(labels)
        for h in range(last):
            b = self._step(b) if h else b
            yield b

    def _next_label(self, labels: np.ndarray) -> np.ndarray:
        p = np.full((1, len(labels)), 1.0 / self.m)
        levels = []
        for j in range(self.depth + 1):
            before = p[parents(self.table, j, self.m)] if j else p
            mixed = self.constant[j][:, None] + self.backoff[j][:, None] * before
            p = self.weights[j][:, labels].toarray() + mixed
            levels.append(p)
        return np.concatenate(levels)

    def _step(self, b: np.ndarray) -> np.ndarray:
        (row, after), steps = self._transitions
        out = np.empty_like(b)
        out[0], u = row @ b[after], b[after].sum(0)[None]
        for level, (parent, moved, change) in enumerate(steps, 1):
            here = slice(self.offsets[level], self.offsets[level + 1])
            before = out[self.offsets[level - 1] : self.offsets[level]]
            out[here] = self.backoff[level][:, None] * before[parent] + moved @ b
            if f"constant{level}" in self.table:
                u = u[parent] + change @ b
                out[here] += self.constant[level][:, None] * u
        return np.asarray(np.maximum(out, np.finfo(float).eps))

    @functools.cached_property
    def _transitions(self) -> tuple[Any, ...]:
        """(P(. | no label), the contexts after each label), and per level >= 1 the matrices of `_step`."""
        row, after = self.rows(np.zeros(1, int))[0], np.zeros(self.m, np.int64)
        if self.depth:
            seen = self.table["keys1"][self.table["keys1"] < self.m]
            after[seen] = 1 + np.arange(len(seen))
        p, now = row[self.table["cells0"]], after[self.table["cells0"]]  # of each cell
        steps = []
        for level in range(1, self.depth + 1):
            context, follower, _ = cells(self.table, level, self.m)
            parent = parents(self.table, level, self.m)
            _, up = _find(self.table[f"cells{level - 1}"], parent[context] * self.m + follower)
            before, p_before = now[up], p[up]
            now = self._longer(level, before, context)
            backed = self.backoff[level][context] * p_before
            weight = self.table[f"weights{level}"]
            p = weight + self.constant[level][context] + backed
            shape = (len(parent), self.offsets[-1])
            twice = np.concatenate([context, context]), np.concatenate([now, before])
            moved = sparse.csr_matrix((np.concatenate([weight + backed, -backed]), twice), shape)
            change = sparse.csr_matrix((np.repeat([1.0, -1.0], len(context)), twice), shape)
            steps.append((parent, moved, change))
        return (row, after), steps

    def _longer(self, level: int, before: np.ndarray, context: np.ndarray) -> np.ndarray:
        """Return the contexts after (context of `level` labels, w) from those after (its parent, w)."""
        if level == self.depth:
            return before
        oldest = self.table[f"keys{level}"][context] % (self.m + 1)
        whole = (before >= self.offsets[level]) & (before < self.offsets[level + 1])
        wanted = (before - self.offsets[level]) * (self.m + 1) + oldest
        found, ids = _find(self.table[f"keys{level + 1}"], wanted)
        return np.where(whole & found, self.offsets[level + 1] + ids, before)
