"""The hidden state as a summary of the past, against chains of order one and of order k.

Claim: h_t carries what matters of the whole past, where a chain of order k sees k symbols and needs m^k (m -
1) probabilities to do so. On the even process (two hidden states, no finite order) the best chain of order k
scores h_k = H(x_{k+1} | x_1 .. x_k), exact by `theory.processes`, and comes down to the entropy rate of 2/3
bit only as k grows; a network of a few units reaches it. With a finite number of symbols to learn from,
held-out loss has its optimum at a finite order. Hidden states move continuously: a rate network obeys
|dh_{t+1}| <= ((1 - a) + a L |W|) |dh_t| + a L |U| |dx_t|, while a chain over K clusters jumps by at least the
distance of two centroids. Corrected: higher order is not more expensive by itself (contexts that do not occur
cost nothing, and smoothed chains and context trees degrade slowly); what it costs is data.

Weiss 1973; Crutchfield & Young 1989, PRL 63:105; Willems, Shtarkov & Tjalkens 1995, IEEE Trans Inf Theory
41:653.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq import processes
from cortseq._lazy import lazy, xr
from cortseq.checks import Check, Part, above, below, near, phenomenon
from cortseq.errors import CortseqError
from cortseq.theory import chain_parameters

if TYPE_CHECKING:
    from cortseq import dynamics, models
    from cortseq.compiled import threads
    from cortseq.models.base import Fit, Model
    from cortseq.sources import synthetic
else:
    dynamics, models = lazy("cortseq.dynamics"), lazy("cortseq.models")
    synthetic, threads = lazy("cortseq.sources.synthetic"), lazy("cortseq.compiled.threads")
rec = lazy("cortseq.recording")

CLAIM = (
    "a network reaches the entropy rate of the even process, which no chain of finite order does; held-out "
    "loss of chains "
    "has its optimum at a finite order; hidden states obey a Lipschitz bound, states of a chain jump "
    "between centroids"
)
SKIPPED = 20  # first symbols of a sequence, in which nothing is known of the past yet


def measure(
    seed: int = 0,
    say: Callable[[str], Any] = print,
    recording: xr.Dataset | None = None,
    orders: Sequence[int] = (0, 1, 2, 3, 4, 5, 6, 7, 8),
    trials: int = 200,
    length: int = 200,
    hidden: int = 16,
    epochs: int = 60,
    symbols: int = 4,
    lag: int = 3,
    few: Sequence[int] = (300, 1000, 3000, 10000),
    clusters: Sequence[int] = (4, 8, 16, 32),
    signal_trials: int = 210,
    signal_length: int = 500,
) -> xr.Dataset:
    """Measure held-out bits per symbol against order, and step lengths of states.

    Parameters
    ----------
    trials, length : sequences to learn from and as many to test on.
    hidden, epochs : of the LSTM.
    symbols, lag : of the lag-copy source.
    few : numbers of symbols that additive chains of the even process learn from.
    clusters : K.
    signal_trials, signal_length : of the signal on which the bound is checked, more than 1e5 steps.
    recording : symbols of a study (setting `dataset`), on whose last quarter of trials chains are scored.
    """
    with threads.single():
        parts = [
            _even(seed, say, orders, trials, length, hidden, epochs),
            _lag_copy(seed, say, orders, symbols, lag, trials, length),
            _finite_data(seed, say, orders, few, trials, length),
            _continuity(seed, say, clusters, signal_trials, signal_length),
        ]
        if recording is not None:
            parts.append(_of_recording(say, recording, orders))
        attrs = {"symbols": symbols, "lag": lag, "n_learned": trials * length}
        return phenomenon(CLAIM, [Part({}, coords={"order": list(orders)}), *parts], **attrs)


# -- symbols ----------------------------------------------------------------------------------------------


def _drawn(kind: str, seed: Any, trials: int, length: int, **options: Any) -> xr.Dataset:
    """Return a recording of a synthetic source, with its exact log-probabilities (`ceiling`)."""
    raw = synthetic.Synthetic.model_validate(dict(kind=kind, trials=trials, bins=length, **options)).load(
        None, seed
    )
    made = rec.from_symbols(list(raw["symbols"].values), n_symbols=raw.attrs["n_symbols"])
    return made.assign(ceiling=raw["ceiling"])


def held_out_bits(fit: Fit, made: xr.Dataset, rate: float, trials: Sequence[int]) -> float:
    """Return bits per symbol on test trials, relative to the source: h + mean of log2 p_source - log2 p_fit.

    Both are read on the same symbols, so that the luck of the draw cancels. The first SKIPPED symbols do not
    count.
    """
    score = fit.log_prob(made, trials).values.mean(0)[:, SKIPPED:]
    ceiling = made["ceiling"].values[list(trials), SKIPPED:]
    return rate + float((ceiling - score).mean() / np.log(2))


def _even(
    seed: int,
    say: Callable[[str], Any],
    orders: Sequence[int],
    trials: int,
    length: int,
    hidden: int,
    epochs: int,
) -> Part:
    """Compare chains of each order, context trees and an LSTM on the even process with exact entropies."""
    moves = processes.even()
    exact, rate = processes.order_entropies(moves, max(orders)), processes.entropy_rate(moves)
    made = _drawn("even", seed, 2 * trials + trials // 4, length)
    learns, chooses = range(trials), range(trials, trials + trials // 4)
    test = range(trials + trials // 4, len(made["trial"]))

    def bits_of(model: Model) -> float:
        return held_out_bits(model.fit(made, learns, chooses), made, rate, test)

    say(f"memory: chains of the even process, order 0 to {max(orders)}")
    markov = [bits_of(models.Markov(order=k)) for k in orders]
    tree = [bits_of(models.ContextTree(depth=k)) for k in orders]
    say(f"memory: an LSTM of {hidden} units, {epochs} epochs")
    model = models.Lstm(hidden=hidden, epochs=epochs, patience=epochs, input_dropout=0.0, hidden_dropout=0.0)
    fit = model.fit(made, learns, chooses, seed=seed)
    network = held_out_bits(fit, made, rate, test)
    seen = [k for k in orders if k > 0]
    recalled = fit.recall(made, seen, test)[:, 0, :, SKIPPED:]
    ceiling = made["ceiling"].values[list(test), SKIPPED:]
    truncated = [rate + float((ceiling - r).mean() / np.log(2)) for r in recalled]
    bits = {"units": "bits/symbol"}
    variables = {
        "even_exact": ("order", exact[list(orders)], bits),
        "even_rate": ((), rate, bits),
        "even_markov": ("order", markov, bits),
        "even_tree": ("order", tree, bits),
        "even_network": ((), network, bits),
        "even_recalled": ("remembered", truncated, bits),
    }
    checks = _even_checks(xr.Dataset(variables, {"order": list(orders), "remembered": seen}), exact)
    return Part(variables, checks, {"remembered": ("remembered", seen, {"units": "symbols"})})


def _even_checks(found: xr.Dataset, exact: np.ndarray) -> list[Check]:
    """Return checks against the exact entropies of each order, (order,)."""
    rate, network = float(found["even_rate"]), float(found["even_network"])
    checks = [
        near(f"bits of a chain of order {k}, even process", exact[k], b, 0.01, "C05")
        for k, b in zip(found["order"].values, found["even_markov"].values, strict=True)
    ]
    largest = int(found["order"].max())
    lowest = (found["even_recalled"].values - exact[found["remembered"].values]).min()
    best = min(found["even_markov"].min(), found["even_tree"].min())
    restarted = "bits of the LSTM restarted k symbols before, lowest above the exact h_k"
    chains = f"best chain up to order {largest} over what order {largest} can reach"
    return [
        *checks,
        Check("bits of the LSTM, even process", rate, network, rate - 0.002, rate + 0.005, "C06"),
        above(restarted, 0, lowest, -0.003, "C06"),
        above(
            chains,
            exact[largest],
            best,
            exact[largest] - 0.002,
            "C06",
            "exact h_k are a floor of every chain",
        ),
    ]


def _lag_copy(
    seed: int,
    say: Callable[[str], Any],
    orders: Sequence[int],
    symbols: int,
    lag: int,
    trials: int,
    length: int,
    noise: float = 0.1,
) -> Part:
    """Measure chains on a source whose past matters at one lag only.

    Chains gain nothing below that order.
    """
    moves = processes.lag_copy(symbols, lag, noise)
    orders = [k for k in orders if k <= lag + 3]
    exact, rate = processes.order_entropies(moves, max(orders))[orders], processes.entropy_rate(moves)
    made = _drawn("lag_copy", seed, 2 * trials, length, symbols=symbols, lag=lag, noise=noise)
    say(f"memory: chains of a source that copies from lag {lag}")
    rows, contexts = [], []
    for k in orders:
        fit = models.Markov(order=k).fit(made, range(trials), range(trials, trials + 1))
        rows.append(held_out_bits(fit, made, rate, range(trials + 1, 2 * trials)))
        contexts.append(len(fit.params[f"keys{k}"][0]) if k else 1)
    full = [chain_parameters(symbols, k) for k in orders]
    best = orders[int(np.argmin(rows))]
    variables = {
        "copy_exact": ("copy_order", exact, {"units": "bits/symbol"}),
        "copy_markov": ("copy_order", rows, {"units": "bits/symbol"}),
        "copy_parameters": ("copy_order", full),
        "copy_contexts": ("copy_order", contexts),
    }
    checks = [
        near(f"order of the best chain, source that copies from lag {lag}", lag, best, 0, "C05"),
        near("its bits", exact[orders.index(lag)], rows[orders.index(lag)], 0.02, "C05"),
    ]
    return Part(variables, checks, {"copy_order": orders})


def _finite_data(
    seed: int, say: Callable[[str], Any], orders: Sequence[int], few: Sequence[int], trials: int, length: int
) -> Part:
    """Fit additive chains to the even process from few symbols.

    They do not fall back on shorter contexts.
    """
    exact = processes.order_entropies(processes.even(), max(orders))
    rate = processes.entropy_rate(processes.even())
    test = _drawn("even", [seed, 1], trials, length)
    say("memory: chains from few symbols")
    rows = []
    for n in few:
        short = _drawn("even", [seed, 2, n], max(2, n // 50), 50)
        models_of = (models.Markov(order=k, smoothing="additive", alpha=0.5) for k in orders)
        fits = (_all(model, short) for model in models_of)
        rows.append([held_out_bits(fit, test, rate, range(trials)) for fit in fits])
    bits = np.array(rows)
    best = np.asarray(orders)[bits.argmin(1)]
    variables = {
        "few_markov": (("n_symbols", "order"), bits, {"units": "bits/symbol"}),
        "few_best": ("n_symbols", best),
    }
    lowest = (bits - exact[list(orders)]).min()
    note = "exact h_k fall for ever: the optimum is set by the data"
    checks = [
        below(f"best order from {few[0]} symbols", max(orders), float(best[0]), max(orders) - 1, "C05", note),
        above("growth of the best order with the data", 1, float(best[-1] - best[0]), 1, "C05"),
        above("lowest held-out bits above the exact h_k", 0, lowest, -0.003, "C05"),
    ]
    return Part(variables, checks, {"n_symbols": list(few)})


def _all(model: Model, made: xr.Dataset) -> Fit:
    """Fit to every sequence of a recording."""
    return model.fit_sequences(list(made["symbols"].values), int(made.attrs["n_symbols"]))


# -- continuity -------------------------------------------------------------------------------------------


def smooth_signal(
    trials: int, length: int, rng: np.random.Generator, memory: float = 0.98, turn: float = 0.1
) -> np.ndarray:
    """Return a noisy rotation in the plane of variance 1.

    z' = r e^(i turn) z + sqrt(1 - r^2) noise, (trial, time, 2).
    """
    noise = rng.normal(size=(trials, length, 2)) @ np.array([1, 1j]) / np.sqrt(2)
    z = np.empty((trials, length), complex)
    z[:, 0] = noise[:, 0]
    for t in range(1, length):
        z[:, t] = memory * np.exp(1j * turn) * z[:, t - 1] + np.sqrt(1 - memory**2) * noise[:, t]
    return np.stack([z.real, z.imag], -1)


def _continuity(
    seed: int, say: Callable[[str], Any], clusters: Sequence[int], trials: int, length: int
) -> Part:
    signal = smooth_signal(trials, length, np.random.default_rng([seed, 3]))
    made = rec.from_signal(signal, bin_width=1.0)
    say(f"memory: {trials * length} steps of a rate network and of chains over {clusters} clusters")
    few = range(min(40, trials - 2))
    network = models.Rate(hidden=16, epochs=10, skip=False).fit(made, few, [trials - 1], seed=seed)
    bound = dynamics.lipschitz_bound(network, made)
    steps = _lengths(signal)
    predicted = _lengths(network.predict(made).values[0][:, 1:])
    jumps, spacing = [], []
    for k in clusters:
        chain = models.Markov(states=k, order=1).fit(made, few, [trials - 1], seed=seed)
        moved, nearest = _jumps(chain, made)
        jumps.append(moved)
        spacing.append(nearest)
    mean = {"units": "sd of the signal"}
    variables = {
        "jump": ("clusters", jumps, mean),
        "spacing": ("clusters", spacing, mean),
        "signal_step": ((), float(steps.mean()), mean),
        "network_step": ((), float(predicted.mean()), mean),
        "bound_ratio": ((), float(bound.ratio[0])),
    }
    steps_beyond = f"steps of {int(bound.steps[0])} beyond the Lipschitz bound"
    what = "mean step of the network's prediction over the mean jump of the finest chain"
    checks = [
        below(steps_beyond, 0, bound.violations[0], 0, "C07"),
        below(what, 0, predicted.mean() / jumps[-1], 1, "C08"),
    ]
    return Part(variables, checks, {"clusters": list(clusters)})


def _lengths(path: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.norm(np.diff(path, axis=1), axis=-1).ravel())


def _jumps(chain: Fit, made: xr.Dataset) -> tuple[float, float]:
    """Mean length of the moves of a chain's state that are moves, and the least distance of two centroids."""
    from cortseq.data import Data
    from cortseq.models.chains.encoder import labels

    encoder = {name: chain.params[name][0] for name in ("decay", "centroids")}
    centroids = encoder["centroids"]
    path = centroids[labels(encoder, Data.of(made))]
    lengths = _lengths(path)
    between = np.linalg.norm(centroids[:, None] - centroids, axis=-1)
    return float(lengths[lengths > 0].mean()), float(between[between > 0].min())


# -- a recording ------------------------------------------------------------------------------------------


def _of_recording(say: Callable[[str], Any], recording: xr.Dataset, orders: Sequence[int]) -> Part:
    """Held-out bits of chains and context trees; the last quarter of the trials tests, an eighth chooses."""
    if rec.track(recording) != "symbols":
        raise CortseqError("orders are counted in symbols", key="dataset", fix="name a recording of symbols")
    n = len(recording["trial"])
    if n < 4:
        raise CortseqError("too few trials to hold some out", key="dataset", value=n)
    first, second = n - n // 4 - max(1, n // 8), n - n // 4
    say(f"memory: chains of the recording, {n} trials")
    rows = []
    for kind in (lambda k: models.Markov(order=k), lambda k: models.ContextTree(depth=k)):
        fits = (kind(k).fit(recording, range(first), range(first, second)) for k in orders)
        rows.append(
            [float(-np.nanmean(fit.log_prob(recording, range(second, n)).values) / np.log(2)) for fit in fits]
        )
    m = int(recording.attrs["n_symbols"])
    variables = {
        "recorded_markov": ("order", rows[0], {"units": "bits/symbol"}),
        "recorded_tree": ("order", rows[1], {"units": "bits/symbol"}),
        "recorded_parameters": ("order", [chain_parameters(m, k) for k in orders]),
    }
    best = float(np.asarray(orders)[int(np.argmin(rows[0]))])
    note = f"of {m} labels; free parameters m^k (m - 1) at that order: {chain_parameters(m, int(best))}"
    return Part(variables, [above("best order on the recording", float("nan"), best, 1, "C05", note)])
