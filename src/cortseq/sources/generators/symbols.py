"""Generators of symbols: processes of known entropy, a Markov chain, copies at a lag, parity."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cortseq import processes
from cortseq._lazy import xr
from cortseq.processes import stationary
from cortseq.sources.base import Positive
from cortseq.sources.generators.base import Alphabet, Probability, Whole, generator
from cortseq.sources.generators.exact import draw_rows, safe_log, symbol_filter
from cortseq.sources.raw import describe


@generator("symbols")
def even(rng: np.random.Generator, *, trials: Whole = 200, bins: Whole = 100) -> xr.Dataset:
    """Return the even process: ones come in runs of even length; entropy rate 2/3 bit, no finite order.

    State A emits 0 and stays or 1 and goes to B, each with probability 1/2; B emits 1 and goes to A.
    """
    return _hidden_symbols(rng, processes.even(), trials, bins)


@generator("symbols")
def golden_mean(rng: np.random.Generator, *, trials: Whole = 200, bins: Whole = 100) -> xr.Dataset:
    """Return the golden-mean process: no two zeros in a row; order 1, entropy rate 2/3 bit."""
    return _hidden_symbols(rng, processes.golden_mean(), trials, bins)


@generator("symbols")
def reber(rng: np.random.Generator, *, trials: Whole = 200, bins: Whole = 100) -> xr.Dataset:
    """Return strings of Reber's grammar, one after the other, cut anywhere; order 2, entropy rate 3/4 bit."""
    return _hidden_symbols(rng, processes.reber(), trials, bins, processes.REBER)


@generator("symbols")
def embedded_reber(rng: np.random.Generator, *, trials: Whole = 200, bins: Whole = 100) -> xr.Dataset:
    """Strings B (T|P) reber (the same T|P) E, one after the other; entropy rate 7/12 bit, no finite order.

    The second symbol of a string decides its last but one, six and more symbols later.
    """
    return _hidden_symbols(rng, processes.embedded_reber(), trials, bins, processes.REBER)


@generator("symbols")
def chain(
    rng: np.random.Generator,
    *,
    trials: Whole = 200,
    bins: Whole = 100,
    symbols: Alphabet = 5,
    concentration: Positive = 0.5,
) -> xr.Dataset:
    """Return a Markov chain of order 1, rows of its transition matrix drawn from a Dirichlet.

    Stationary start.

    The matrix is kept as variable `transition` (from, to).
    """
    transition = rng.dirichlet(np.full(symbols, concentration), symbols)
    raw = _hidden_symbols(rng, processes.markov(transition), trials, bins)
    return raw.assign(transition=(("from", "to"), transition))


@generator("symbols")
def lag_copy(
    rng: np.random.Generator,
    *,
    trials: Whole = 200,
    bins: Whole = 100,
    symbols: Alphabet = 4,
    lag: Whole = 6,
    noise: Probability = 0.1,
) -> xr.Dataset:
    """Draw symbols that copy the one `lag` before, or are uniform with probability `noise`.

    The first `lag` are uniform.

    Chains of order < lag see independent uniform symbols.
    """
    x = rng.integers(symbols, size=(trials, bins))
    copied = rng.random((trials, bins)) >= noise
    for t in range(lag, bins):
        x[:, t] = np.where(copied[:, t], x[:, t - lag], x[:, t])
    fresh = noise / symbols
    ceiling = np.full(x.shape, -np.log(symbols))
    ceiling[:, lag:] = safe_log(np.where(x[:, lag:] == x[:, : max(bins - lag, 0)], 1 - noise + fresh, fresh))
    p = np.array([1 - noise + fresh] + [fresh] * (symbols - 1))
    return _symbols(x, ceiling, symbols, -(p * safe_log(p)).sum())


@generator("symbols")
def parity(
    rng: np.random.Generator,
    *,
    trials: Whole = 200,
    bins: Whole = 100,
    order: Whole = 4,
    noise: Probability = 0.05,
) -> xr.Dataset:
    """Draw bits that are the parity of the last `order` bits, flipped with probability `noise`.

    Uniform start.

    Chains of order < `order` see independent fair coins.
    """
    x = rng.integers(2, size=(trials, bins))
    flipped = rng.random((trials, bins)) < noise
    ceiling = np.full(x.shape, -np.log(2))
    for t in range(order, bins):
        x[:, t] = x[:, t - order : t].sum(1) % 2 ^ flipped[:, t]
        ceiling[:, t] = safe_log(np.where(flipped[:, t], noise, 1 - noise))
    p = np.array([noise, 1 - noise])
    return _symbols(x, ceiling, 2, -(p * safe_log(p)).sum())


def _hidden_symbols(
    rng: np.random.Generator, moves: np.ndarray, trials: int, bins: int, labels: Sequence[str] | None = None
) -> xr.Dataset:
    """Return symbols of a unifilar hidden chain that emits on its transitions, moves[symbol, from, to].

    Stationary start.
    """
    n_symbols, n_states, _ = moves.shape
    initial = stationary(moves.sum(0))
    states = draw_rows(rng, np.tile(initial, (trials, 1)))
    x = np.empty((trials, bins), int)
    for t in range(bins):
        joint = draw_rows(rng, moves[:, states].transpose(1, 0, 2).reshape(trials, -1))
        x[:, t], states = np.divmod(joint, n_states)
    rate = processes.entropy_rate(moves) * np.log(2)
    return _symbols(x, symbol_filter(initial, moves, x), n_symbols, rate, labels)


def _symbols(
    x: np.ndarray,
    ceiling: np.ndarray,
    n_symbols: int,
    entropy_rate: float,
    labels: Sequence[str] | None = None,
) -> xr.Dataset:
    """Return raw symbols with their ceiling (nats) and entropy rate (nats per symbol)."""
    dims = ("trial", "time")
    raw = xr.Dataset(
        {
            "symbols": (dims, x.astype(np.int16)),
            "valid": (dims, np.ones(x.shape, bool)),
            "ceiling": (dims, ceiling),
        }
    )
    names = list(labels or map(str, range(n_symbols)))
    rate = float(entropy_rate / np.log(2))
    return describe(raw, "samples", bin_width=1.0, n_symbols=n_symbols, labels=names, entropy_rate_bits=rate)
