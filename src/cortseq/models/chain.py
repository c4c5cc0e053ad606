"""Markov chains of order k over labels, as a trie of contexts with back-off.

Level j holds the contexts of the last j labels that occur in training, as sorted keys
`id of the context of j-1 labels * (m + 1) + label j steps back`, and for each the counts of what
followed. Labels before a trial's first bin are the start symbol m, which is never predicted.
Transitions are never counted across trials.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

Table = dict[str, np.ndarray]


def count(symbols: np.ndarray, valid: np.ndarray, m: int, order: int) -> Table:
    """Count what follows each context of 0..order labels; symbols and valid are (trial, time)."""
    ids = np.zeros(int(valid.sum()), np.int64)
    follower = symbols[valid].astype(np.int64)
    table: Table = {}
    for level in range(order + 1):
        if level:
            table[f"keys{level}"], ids = np.unique(
                ids * (m + 1) + _back(symbols, valid, level, m)[valid], return_inverse=True
            )
        cells, n = np.unique(ids * m + follower, return_counts=True)
        table[f"cells{level}"], table[f"counts{level}"] = cells, n.astype(np.int64)
    return table


def n_contexts(table: Table, order: int) -> int:
    """Contexts of `order` labels seen in training."""
    return len(table[f"keys{order}"]) if order else 1


def transition_rows(
    table: Table, symbols: np.ndarray, valid: np.ndarray, m: int, order: int, smoothing: str, alpha: float
) -> np.ndarray:
    """P(next label | context) before each bin, (trial, time, m).

    Witten-Bell: P(w|h) = (c(hw) + T(h) P(w|h')) / (c(h) + T(h)), T the number of distinct followers,
    down to the uniform distribution (Witten & Bell 1991). Additive: (c(hw) + alpha) / (c(h) + alpha m).
    """
    shape = symbols.shape
    ids = np.zeros(symbols.size, np.int64)
    p = np.full((symbols.size, m), 1.0 / m)
    for level in range(order + 1):
        if level:
            keys = table[f"keys{level}"]
            wanted = ids * (m + 1) + _back(symbols, valid, level, m).ravel()
            ids_found = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
            ids = np.where((ids >= 0) & (keys[ids_found] == wanted), ids_found, -1)
        if smoothing == "additive" and level < order:
            continue
        seen = np.flatnonzero(ids >= 0)
        c = _dense(table, level, n_contexts(table, level), m, ids[seen])
        if smoothing == "additive":
            p[seen] = (c + alpha) / (c.sum(1, keepdims=True) + alpha * m)
        else:
            distinct = (c > 0).sum(1, keepdims=True)
            p[seen] = (c + distinct * p[seen]) / (c.sum(1, keepdims=True) + distinct)
    return p.reshape(*shape, m)


def _dense(table: Table, level: int, n: int, m: int, rows: np.ndarray) -> np.ndarray:
    cells = table[f"cells{level}"]
    counts = csr_matrix((table[f"counts{level}"].astype(float), (cells // m, cells % m)), (n, m))
    return counts[rows].toarray()


def _back(symbols: np.ndarray, valid: np.ndarray, lag: int, m: int) -> np.ndarray:
    """The label `lag` bins before each bin; the start symbol m before the trial and where data miss."""
    known = np.where(valid, symbols, m).astype(np.int64)
    out = np.full(symbols.shape, m, np.int64)
    out[:, lag:] = known[:, : max(symbols.shape[1] - lag, 0)]
    return out
