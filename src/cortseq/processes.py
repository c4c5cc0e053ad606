"""Stationary sources of symbols with known laws: exact entropy rates, order-k entropies and excess entropies.

A source is an array moves[symbol, from, to]: the probability that the hidden state `from` emits `symbol` and
goes to `to`. It is unifilar where state and symbol fix the next state. All entropies are in bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cortseq.errors import CortseqError

_SAME = 12  # decimals: beliefs that agree to these are one


def even() -> np.ndarray:
    """Return the even process, in which ones come in runs of even length.

    State A emits 0 and stays or 1 and goes to B, each with probability 1/2; B emits 1 and goes to A.

    Ones come in runs of even length; no finite order. Weiss 1973, Monatsh Math 77:462.

    Returns moves (2, 2, 2): (symbol, from, to).
    """
    moves = np.zeros((2, 2, 2))
    moves[0, 0, 0] = moves[1, 0, 1] = 0.5
    moves[1, 1, 0] = 1.0
    return moves


def golden_mean() -> np.ndarray:
    """Return the golden-mean process: no two zeros in a row, else fair coins; order 1.

    Returns moves (2, 2, 2): (symbol, from, to).
    """
    moves = np.zeros((2, 2, 2))
    moves[1, 0, 0] = moves[0, 0, 1] = 0.5
    moves[1, 1, 0] = 1.0
    return moves


def markov(transition: np.ndarray) -> np.ndarray:
    """Return a chain of order 1 with transition (from, to): the state is the last symbol."""
    m = len(transition)
    moves = np.zeros((m, m, m))
    states = np.arange(m)
    moves[states, :, states] = np.asarray(transition).T
    return moves


def lag_copy(symbols: int, lag: int, noise: float) -> np.ndarray:
    """Return a source that copies the symbol `lag` before, or draws uniformly with `noise`.

    x_t = x_{t-lag} with probability 1 - noise; states are the last `lag` symbols.

    Returns moves (symbols, symbols**lag, symbols**lag): (symbol, from, to).
    """
    p = np.full((symbols, symbols), noise / symbols) + (1 - noise) * np.eye(symbols)
    return _shift_register(symbols, lag, lambda state: p[state // symbols ** (lag - 1)])


def parity(order: int, noise: float) -> np.ndarray:
    """Return a source of parities of the last `order` bits, flipped with probability `noise`.

    States are those bits.

    Returns moves (2, 2**order, 2**order): (symbol, from, to).
    """

    def row(state: int) -> np.ndarray:
        odd = bin(state).count("1") % 2
        return np.array([noise, 1 - noise] if odd else [1 - noise, noise])

    return _shift_register(2, order, row)


def _shift_register(m: int, length: int, row: Any) -> np.ndarray:
    moves = np.zeros((m, m**length, m**length))
    for state in range(m**length):
        for symbol, p in enumerate(row(state)):
            moves[symbol, state, state * m % m**length + symbol] = p
    return moves


REBER = "BTPSXVE"
_REBER_EDGES = (  # (from, symbol, to); edges of one state are equally likely
    (0, "B", 1), (1, "T", 2), (1, "P", 3), (2, "S", 2), (2, "X", 4), (3, "T", 3), (3, "V", 5),
    (4, "X", 3), (4, "S", 6), (5, "P", 4), (5, "V", 6),
)  # fmt: skip


def reber() -> np.ndarray:
    """Return strings of Reber's grammar, one after the other; symbols are the letters of REBER.

    6 fair choices in 8 symbols per string on average: entropy rate 3/4 bit. Reber 1967, J Verb Learn Verb
    Behav 6:855.

    Returns moves (7, 7, 7): (symbol, from, to).
    """
    return _graph([*_REBER_EDGES, (6, "E", 0)], 7)


def embedded_reber() -> np.ndarray:
    """Return strings B (T|P) reber (the same T|P) E, one after the other.

    The second symbol is needed many symbols later.

    7 fair choices in 12 symbols per string on average: entropy rate 7/12 bit. Hochreiter & Schmidhuber 1997,
    Neural Comput 9:1735.

    Returns moves (7, 19, 19): (symbol, from, to).
    """
    edges = [(0, "B", 1), (18, "E", 0)]
    for letter, first in (("T", 2), ("P", 10)):
        edges.append((1, letter, first))
        edges += [(first + a, symbol, first + b) for a, symbol, b in (*_REBER_EDGES, (6, "E", 7))]
        edges.append((first + 7, letter, 18))
    return _graph(edges, 19)


def _graph(edges: Any, n_states: int) -> np.ndarray:
    moves = np.zeros((len(REBER), n_states, n_states))
    for a, symbol, b in edges:
        moves[REBER.index(symbol), a, b] = 1.0
    return np.asarray(moves / moves.sum((0, 2))[:, None])


# ------------------------------------------------------------------------------------- entropies


def stationary(transition: np.ndarray) -> np.ndarray:
    """Return the distribution p = p @ transition of an irreducible chain, by least squares with sum p = 1.

    Parameters
    ----------
    transition : (from, to) probabilities.

    Returns
    -------
    (state,) probabilities.
    """
    n = len(transition)
    equations = np.vstack([transition.T - np.eye(n), np.ones(n)])
    p = np.linalg.lstsq(equations, np.append(np.zeros(n), 1.0), rcond=None)[0].clip(0)
    return np.asarray(p / p.sum())


def entropy_rate(moves: np.ndarray) -> float:
    """Return the entropy rate of a unifilar source in bits per symbol.

    h = -sum_s pi_s sum_x p(x|s) log2 p(x|s), exact (Crutchfield & Young 1989, PRL 63:105).

    Raises CortseqError if the source is not unifilar: its entropy rate has no closed form.

    Parameters
    ----------
    moves : (symbol, from, to) probabilities.
    """
    if (np.count_nonzero(moves, axis=2) > 1).any():
        raise CortseqError(
            "the source is not unifilar", key="moves", fix="state and symbol must fix the next state"
        )
    return float(stationary(moves.sum(0)) @ _entropy(moves.sum(2).T))


def order_entropies(moves: np.ndarray, orders: int) -> np.ndarray:
    """Return the order-k entropies h_k = H(x_{k+1} | x_1 .. x_k), k = 0 .. orders, (order,).

    What the best chain of order k scores, bits per symbol.

    Words that leave the same belief about the hidden state have the same future, so the sum over words of k
    symbols is one over distinct beliefs (the mixed states of Crutchfield & Young 1989). Exact for any hidden
    Markov source.
    """
    belief, weight = stationary(moves.sum(0))[None], np.ones(1)
    emits = moves.sum(2).T  # (state, symbol)
    out = []
    for _ in range(orders + 1):
        out.append(weight @ _entropy(belief @ emits))
        joint = np.concatenate([belief @ moves[x] for x in range(len(moves))])
        p = joint.sum(1)
        kept = p > 0
        weight = (np.tile(weight, len(moves)) * p)[kept]
        belief, same = _distinct(joint[kept] / p[kept, None])
        weight = np.bincount(same, weight).astype(float)
    return np.array(out)


def block_entropies(moves: np.ndarray, length: int) -> np.ndarray:
    """Return H(x_1 .. x_L) for L = 0..length: sums of h_k.

    Parameters
    ----------
    moves : (symbol, from, to) probabilities.

    Returns
    -------
    (length + 1,), bits.
    """
    return np.concatenate([[0.0], np.cumsum(order_entropies(moves, length - 1))]) if length else np.zeros(1)


def excess_entropy(moves: np.ndarray, orders: int = 200, tolerance: float = 1e-9) -> float:
    """Return E = sum_k (h_k - h), the information that the past holds about the future; unifilar sources.

    Raises CortseqError where h_k has not come within `tolerance` of h at k = orders.

    Parameters
    ----------
    moves : (symbol, from, to) probabilities.
    orders : longest contexts in the sum.
    tolerance : of h_k - h at the end, bits per symbol.
    """
    gaps = order_entropies(moves, orders) - entropy_rate(moves)
    if gaps[-1] > tolerance:
        raise CortseqError(
            "the sum has not converged", key="orders", value=orders, fix="raise orders or tolerance"
        )
    return float(gaps.sum())


def _entropy(p: np.ndarray) -> np.ndarray:
    return np.asarray(-(p * np.log2(np.maximum(p, np.finfo(float).tiny))).sum(-1))


def _distinct(belief: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    _, first, same = np.unique(belief.round(_SAME), axis=0, return_index=True, return_inverse=True)
    return belief[first], same.ravel()
