"""Exposure bias: what teacher forcing leaves for the free run, and what other strategies do about it.

1. Teacher forcing is maximum likelihood: the sum of one-step log-probabilities is the log-probability of the
   whole. What is not trained is the free run, whose error grows with the horizon even of the best forecast:
   sigma^2 (1 - phi^2h) / (1 - phi^2) for y' = phi y + noise. That growth is no fault of training; only what
   lies above it is.
2. On a chaotic map it is an avalanche: the log of a small error rises with the largest Lyapunov exponent.
3. Scheduled sampling mixes the network's own draws in. It is not consistent: the minimiser of its loss is not
   the true conditional distribution unless the teacher's probability ends at 1. Bengio et al. 2015,
   arXiv:1506.03099; Huszar 2015, arXiv:1511.05101.
4. Generalised forcing multiplies the tangent by 1 - alpha at every step, so that gradients stay bounded for
   (1 - alpha) sigma_max <= 1 and grow with exponent lambda + ln(1 - alpha) else. Hess et al. 2023,
   arXiv:2306.04406.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq import recording as rec
from cortseq._lazy import lazy, xr
from cortseq.checks import Check, Part, above, close, near, phenomenon, reported, worst
from cortseq.processes import entropy_rate, markov, stationary
from cortseq.textbook.series import autoregression, henon
from cortseq.theory.exposure import autoregressive_error, moving_average_error, scheduled_sampling
from cortseq.theory.random_networks import mean_field_map

if TYPE_CHECKING:
    import torch

    from cortseq import models
    from cortseq.flow import Step
    from cortseq.models.base import Fit
else:
    torch, models = lazy("torch"), lazy("cortseq.models")

CLAIM = (
    "Teacher forcing is maximum likelihood; the free run's error grows even for the best forecast, on "
    "chaotic maps with the largest exponent; scheduled sampling is not consistent; generalised forcing "
    "bounds the gradients."
)
STRATEGIES: dict[str, dict[str, Any]] = {
    "teacher": {"kind": "teacher"},
    "scheduled, linear": {"kind": "scheduled", "decay": "linear"},
    "scheduled, exponential": {"kind": "scheduled", "decay": "exponential"},
    "scheduled, inverse sigmoid": {"kind": "scheduled", "decay": "sigmoid"},
    "sparse": {"kind": "sparse", "every": 2},  # ln 2 over the exponent of the Henon map
    "generalised": {"kind": "generalised", "alpha": 0.3},
}
AUTOREGRESSIONS = {"AR(1)": (0.9,), "AR(2)": (1.5, -0.7)}
CHAIN = np.array([[0.9, 0.1], [0.2, 0.8]])
WARM = 10  # bins before states count


def measure(
    seed: int = 0,
    say: Callable[[str], Any] = print,
    trials: int = 120,
    bins: int = 40,
    hidden: int = 16,
    epochs: int = 40,
    horizons: Sequence[int] = (1, 2, 3, 4, 6, 8, 12, 16, 20),
    map_epochs: int = 60,
    map_hidden: int = 32,
    twins: int = 50,
    probabilities: Sequence[float] = (1.0, 0.5, 0.25, 0.0),
    chain_epochs: int = 60,
    units: int = 200,
) -> xr.Dataset:
    """Measure what theory predicts of exposure bias.

    Parameters
    ----------
    trials, bins, hidden, epochs : of the networks fitted to signals by each strategy (map_epochs and
        map_hidden to the Henon map), judged at `horizons`.
    twins : pairs of runs.
    probabilities : of the teacher, on a chain of two symbols.
    units : of the random network whose gradients are forced.
    """
    ahead = np.array(horizons)
    parts = [_signals(trials, bins, hidden, epochs, ahead, seed, say)]
    parts.append(_map(trials, bins, map_hidden, map_epochs, ahead, twins, seed, say))
    say("scheduled sampling on a chain")
    parts += [_chain(probabilities, chain_epochs, seed), _bounded(units, seed)]
    return phenomenon(CLAIM, parts)


# ------------------------------------------------------------------------------------- signals


def fitted(y: np.ndarray, strategy: dict[str, Any], hidden: int, epochs: int, seed: int) -> Fit:
    """Return a rate network without a skip, fitted to four fifths of the trials by one strategy.

    Parameters
    ----------
    y : (trial, time, channel).
    strategy : settings of the training strategy.
    """
    settings = {"hidden": hidden, "epochs": epochs, "strategy": strategy, "leak": 1.0, "skip": False}
    settings |= {"input_dropout": 0.0, "patience": epochs, "batch": 16}
    n = len(y)
    recording = rec.from_signal(y, bin_width=1.0)
    return models.Rate.model_validate(settings).fit(recording, range(n // 5, n), range(n // 5), seed=seed)


def free_run(fit: Fit, y: np.ndarray, horizons: np.ndarray) -> np.ndarray:
    """Return errors y_t - E[y_t | y_<= t-h] of a free run, (trial, time, horizon).

    Of a fit without skip that is fed its own expectation; NaN in the first bins.
    """
    recording = rec.from_signal(y, bin_width=1.0)
    flow = fit.flow(0, "closed")
    states = torch.from_numpy(fit.states(recording).values[0])
    n_time = y.shape[1]
    out = np.full((*y.shape[:2], len(horizons)), np.nan)
    with torch.no_grad():
        for h in range(1, horizons.max() + 1):
            if h in horizons:
                error = y[:, h - 1 :] - fit.expected(states)[:, : n_time - h + 1]
                out[:, WARM + h - 1 :, list(horizons).index(h)] = error[:, WARM:, 0]
            states = flow(states)
    return out


def _signals(
    trials: int,
    bins: int,
    hidden: int,
    epochs: int,
    horizons: np.ndarray,
    seed: int,
    say: Callable[[str], Any],
) -> Part:
    """Compare free runs of networks fitted by each strategy with the best forecast of two autoregressions."""
    rng = np.random.default_rng([seed, 1])
    rows, oracle = [], []
    for name, coefficients in AUTOREGRESSIONS.items():
        y, test = (autoregression(coefficients, n, bins, rng) for n in (trials, 1000))
        many = autoregression(coefficients, 20_000, 2 * bins, rng)[..., 0]
        oracle.append([_best_forecast(many, coefficients, h) for h in horizons])
        for label, strategy in STRATEGIES.items():
            say(f"{name}: {label}")
            squares = free_run(fitted(y, strategy, hidden, epochs, seed), test, horizons) ** 2
            each = np.nanmean(squares, 1)
            mean, half = each.mean(0), 1.96 * each.std(0, ddof=1) / np.sqrt(len(each))
            rows.append((mean, mean - half, mean + half))
    shape = (len(AUTOREGRESSIONS), len(STRATEGIES), 3, len(horizons))
    errors, lows, highs = np.moveaxis(np.array(rows).reshape(shape), 2, 0)
    floors = np.array([moving_average_error(c, 1.0, horizons) for c in AUTOREGRESSIONS.values()])
    dims, unit = ("signal", "strategy", "horizon"), {"units": "noise variance"}
    variables = {
        "horizon": ("horizon", horizons),
        "signal": ("signal", list(AUTOREGRESSIONS)),
        "strategy": ("strategy", list(STRATEGIES)),
        "error": (dims, errors, unit),
        "error_low": (dims, lows, unit),
        "error_high": (dims, highs, unit),
        "error_predicted": (("signal", "horizon"), floors, unit),
    }
    closed = autoregressive_error(AUTOREGRESSIONS["AR(1)"][0], 1.0, horizons)
    what = "AR(1): error of the best forecast over the closed form, worst horizon"
    checks = [
        near(what, 1.0, worst(oracle[0] / closed), 0.02, "C42"),
        near("AR(2): the same", 1.0, worst(oracle[1] / floors[1]), 0.03, "C42"),
        *_excess(errors / floors[:, None]),
    ]
    return Part(variables, checks)


def _excess(ratios: np.ndarray) -> list[Check]:
    """Return checks of free-run errors over the best, (signal, strategy, horizon)."""
    checks = []
    for name, by_strategy in zip(AUTOREGRESSIONS, ratios.max(-1), strict=True):
        for label, ratio in zip(STRATEGIES, by_strategy, strict=True):
            what = f"{name}, {label}: free-run error over the best, worst horizon"
            if label == "teacher":
                checks.append(Check(what, 1.0, ratio, 0.95, 1.15, "C42"))
            else:
                checks.append(above(what, 1.0, ratio, 0.95, "C42", "how far above is what is reported"))
    return checks


def _best_forecast(y: np.ndarray, coefficients: Sequence[float], horizon: int) -> float:
    """Mean squared error of the true autoregression h steps ahead, from the last values of every bin."""
    order = len(coefficients)
    past: list[Any] = [y[:, order - 1 - i : y.shape[1] - i - horizon] for i in range(order)]
    for _ in range(horizon):
        past = [sum(c * v for c, v in zip(coefficients, past, strict=True)), *past[:-1]]
    return float(((y[:, order - 1 + horizon :] - past[0]) ** 2).mean())


# ------------------------------------------------------------------------------------- chaotic maps


def _map(
    trials: int,
    bins: int,
    hidden: int,
    epochs: int,
    horizons: np.ndarray,
    twins: int,
    seed: int,
    say: Callable[[str], Any],
) -> Part:
    """Return log error of the free run of networks fitted to the Henon map, and of twin runs of maps."""
    rng = np.random.default_rng([seed, 2])
    y, test = henon(trials, bins, rng), henon(500, bins, rng)
    logs, fits = [], {}
    for label, strategy in STRATEGIES.items():
        say(f"Henon map: {label}")
        fits[label] = fitted(y, strategy, hidden, epochs, seed)
        errors = np.abs(free_run(fits[label], test, horizons)) / test.std()
        logs.append(np.nanmean(np.log(errors), (0, 1)))
    say("twin runs")
    runs, henons = _twins(fits["teacher"], test, twins, seed)
    unit = {"units": "sd of the signal, geometric mean"}
    variables = {
        "map_error": (("strategy", "horizon"), np.exp(np.array(logs)), unit),
        "map_error_predicted": ("horizon", np.exp(logs[0][0] + henons * (horizons - 1))),
    }
    checks = []
    small = np.exp(logs[0]) < 0.3  # before saturation
    if small.sum() > 2:
        slope = np.polyfit(horizons[small], logs[0][small], 1)[0]
        what = "teacher, Henon: slope of the log free-run error before saturation"
        note = "of a fitted network; the error of each step adds"
        checks.append(close(what, henons, slope, 0.1, "C43", note))
    return Part(variables | runs.variables, [*runs.checks, *checks])


def _always(flow: Step) -> Callable[[int], Step]:
    """Return a map without noise, as `twin_divergence` asks for it: seed -> flow."""
    return lambda seed: flow


def _twins(fit: Fit, test: np.ndarray, twins: int, seed: int) -> tuple[Part, float]:
    """Compare slopes of twin runs with largest exponents; return the exponent of the Henon map, too.

    The logistic map at 4 (ln 2), Henon's, and a fitted network.
    """
    from cortseq.dynamics import leading_exponents, twin_divergence

    exponents, slopes, distances = {}, {}, []
    for name, (flow, starts, apart) in _maps(fit, test[:twins], np.random.default_rng([seed, 3])).items():
        exponents[name] = float(leading_exponents(flow, starts, 400, 100, seed).mean())
        found = twin_divergence(_always(flow), starts, apart, n_steps=45, saturation=1e-3, seed=seed)
        slopes[name] = found.slope
        with np.errstate(divide="ignore"):
            logs = np.log(found.distances)
        distances.append(np.exp(np.where(np.isfinite(logs), logs, np.nan)[np.isfinite(logs).all(1)].mean(0)))
    what = "{}: slope of the log distance of twins (nats/step)"
    checks = [close(what.format(name), exponents[name], slopes[name], 0.1, "C43") for name in exponents]
    per_step = {"units": "nats/step"}
    variables = {
        "map": ("map", list(exponents)),
        "twin_step": ("twin_step", np.arange(len(distances[0]))),
        "twin_distance": (("map", "twin_step"), np.array(distances)),
        "twin_slope": ("map", np.array(list(slopes.values())), per_step),
        "largest_exponent": ("map", np.array(list(exponents.values())), per_step),
    }
    return Part(variables, checks), exponents["Henon"]


def _maps(fit: Fit, test: np.ndarray, rng: np.random.Generator) -> dict[str, tuple[Step, np.ndarray, float]]:
    """Return each map, states to start from (start, n), and how far apart twins start."""
    henon_starts = np.stack([test[:, -1, 0], 0.3 * test[:, -2, 0]], 1)
    states = fit.states(rec.from_signal(test, bin_width=1.0)).values[0][:, -1]
    return {
        "logistic": (lambda s: 4 * s * (1 - s), rng.beta(0.5, 0.5, (len(test), 1)), 2e-9),
        "Henon": (
            lambda s: torch.stack([1 - 1.4 * s[..., 0] ** 2 + s[..., 1], 0.3 * s[..., 0]], -1),
            henon_starts,
            1e-9,
        ),
        "fitted network": (fit.flow(0, "closed"), states, 1e-9),
    }


# ------------------------------------------------------------------------------------- symbols


def _pairs(frequencies: np.ndarray, number: int = 3000) -> list[np.ndarray]:
    """Return pairs of symbols in their exact frequencies."""
    counts = np.rint(number * frequencies).astype(int)
    return [np.array([a, b]) for a in range(2) for b in range(2) for _ in range(counts[a, b])]


def _fit_pairs(
    pairs: list[np.ndarray],
    valid: list[np.ndarray],
    teacher_probability: float | None,
    epochs: int,
    seed: int,
) -> Fit:
    """Return a small network; None: teacher forcing."""
    scheduled = {"kind": "scheduled", "decay": "constant", "final": teacher_probability}
    strategy = {"kind": "teacher"} if teacher_probability is None else scheduled
    settings = {"hidden": 6, "epochs": epochs, "batch": 1000, "input_dropout": 0.0, "patience": epochs}
    model = models.Rate.model_validate({**settings, "strategy": strategy})
    return model.fit_sequences(pairs, 2, valid, seed=seed)


def _chain(probabilities: Sequence[float], epochs: int, seed: int) -> Part:
    """Return the cross-entropy of networks trained with a constant teacher's probability e.

    In bits of the second symbol.

    The weights kept are those of the best validation loss, which is teacher-forced. For the minimiser of the
    loss that is trained, validation pairs have the law of its inputs: with probability 1 - e the first symbol
    is independent.
    """
    pi = stationary(CHAIN)
    truth, independent = pi[:, None] * CHAIN, np.outer(pi, pi)
    pairs = _pairs(truth)
    valid = [_pairs(e * truth + (1 - e) * independent) for e in probabilities]
    measured = [
        _bits(_fit_pairs(pairs, v, e, epochs, seed), pi) for v, e in zip(valid, probabilities, strict=True)
    ]
    predicted = [scheduled_sampling(CHAIN, e).bits for e in probabilities]
    checks = [
        near(f"chain, teacher's probability {e:g}: bits of the second symbol", p, m, 0.01, "C44")
        for e, p, m in zip(probabilities, predicted, measured, strict=True)
    ]
    least = min(probabilities)
    chosen = _bits(_fit_pairs(pairs, pairs, least, epochs, seed), pi)
    above_rate = _bits(_fit_pairs(pairs, pairs, None, epochs, seed), pi) - entropy_rate(markov(CHAIN))
    what = f"teacher's probability {least:g}, weights chosen by teacher-forced validation: bits"
    note = "reported: such a choice prefers the epoch that is least inconsistent"
    checks += [
        reported(what, scheduled_sampling(CHAIN, least).bits, chosen, "C44", note),
        Check(
            "cross-entropy less the entropy rate, teacher forcing (bits)",
            0.0,
            above_rate,
            -1e-9,
            0.005,
            "C41",
        ),
    ]
    unit = {"units": "bits"}
    part = {
        "probability": ("probability", np.array(probabilities)),
        "bits": ("probability", np.array(measured), unit),
        "bits_predicted": ("probability", np.array(predicted), unit),
    }
    return Part(part, checks)


def _bits(fit: Fit, pi: np.ndarray) -> float:
    """Return expected bits of the second symbol of a pair of the chain under a fit."""
    words = [np.array([a, b]) for a in range(2) for b in range(2)]
    second = np.array([s[1] for s in fit.log_prob_sequences(words)]).reshape(2, 2)
    return float(-(pi[:, None] * CHAIN * second).sum() / np.log(2))


# ------------------------------------------------------------------------------------- gradients


def _bounded(units: int, seed: int, gain: float = 1.5, longest: int = 200, apart: float = 1e-7) -> Part:
    """Measure how small differences grow under h <- (1 - alpha) tanh(W h) + alpha teacher.

    The teacher is an orbit of the same chaotic network. At the last alpha (1 - alpha) sigma_max = 1, which
    bounds gradients for certain; sigma_max of a large random network is 2 g.
    """
    rng = np.random.default_rng([seed, 4])
    w = rng.normal(size=(units, units)) * gain / np.sqrt(units)
    bound = 1 - 1 / float(np.linalg.norm(w, 2))
    alphas = np.array([0.0, 0.05, 0.1, 0.2, 0.4, bound])
    h = rng.normal(size=units)
    for _ in range(500):
        h = np.tanh(w @ h)
    moved = np.tile(rng.normal(size=units), (len(alphas), 1))
    moved *= apart / np.linalg.norm(moved, axis=1, keepdims=True)
    logs = []
    for _ in range(longest):
        teacher = np.tanh(w @ h)
        pulled = (1 - alphas[:, None]) * np.tanh((h + moved) @ w.T) + alphas[:, None] * teacher
        moved = pulled - teacher
        size = np.linalg.norm(moved, axis=1, keepdims=True)
        logs.append(np.log(size[:, 0] / apart))
        moved *= apart / size
        h = teacher
    measured = np.mean(logs[20:], 0)
    free = mean_field_map(gain).lyapunov
    what = "growth where (1 - alpha) sigma_max = 1 (nats/step)"
    note = "one finite network"
    checks = [
        near("growth without forcing (nats/step)", free, measured[0], 0.06, "C45", note),
        near(what, free - np.log(2 * gain), measured[-1], 0.06, "C45", note),
    ]
    part = {
        "alpha": ("alpha", alphas),
        "gradient_growth": ("alpha", measured, {"units": "nats/step"}),
        "gradient_growth_predicted": ("alpha", free + np.log1p(-alphas), {"units": "nats/step"}),
    }
    return Part(part, checks)
