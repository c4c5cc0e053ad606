"""Free-running simulation against recorded trials (docs/likelihood.md#prediction-tasks).

Each statistic is a vector of numbers made of some trials; a measure says how well two such vectors agree. The
recording is its own ruler: its test trials are split at random in halves. A model is measured between a half
and as many simulated trials of the same lengths, the ruler between the two halves, so that a model as good as
the recording reaches the ruler.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cortseq import recording as rec
from cortseq._lazy import pd, xr
from cortseq.data import few
from cortseq.models.base import Fit
from cortseq.scoring import geometry

SPLITS = 10  # random halvings
MAX_RUN, MAX_TRIALS = 10, 400
Trials = tuple[np.ndarray, np.ndarray]  # y and valid of some trials


def compare(fit: Fit, recording: xr.Dataset, trials: Any, seed: int = 0) -> pd.DataFrame:
    """One row per member, statistic and measure: value of the simulation, ruler of the recording.

    Measures: "correlation" (1 is best), "error" (rms difference over the recording's rms, 0 is best),
    "octaves" (rms difference of logarithms to base 2, 0 is best), "total variation" (0 best, 1 worst),
    "divergence" (nats, 0 is best) and "Hellinger distance" (0 best, 1 worst; `cortseq.scoring.geometry`).
    Recorded inputs are replayed; the table of a family that cannot do that is empty.
    """
    if fit.card["n_inputs"] and not fit.model.replays:
        return pd.DataFrame(columns=["member", "statistic", "measure", "value", "ruler"])
    track, n = rec.track(recording), int(fit.card["n_features"])
    chosen = recording.isel(trial=few(recording, np.asarray(trials)[:MAX_TRIALS]))
    real = rec.observations(chosen), chosen["valid"].values
    inputs = chosen["inputs"].values if fit.card["n_inputs"] else None
    rng = np.random.default_rng([seed, 12])
    orders = [rng.permutation(len(real[0])) for _ in range(SPLITS)]
    rows = []
    for member in range(fit.card["members"]):
        drawn = fit.simulate(len(real[1]), real[1].shape[1], member, seed, inputs)
        simulated = rec.observations(drawn), real[1]
        for name, (statistic, measures) in STATISTICS[track].items():
            cut = slice(_common(real[1])) if statistic in _OF_COMMON_BINS else slice(None)
            made, recorded = ((y[:, cut], valid[:, cut]) for y, valid in (simulated, real))
            values, rulers = _agreement(statistic, measures, recorded, made, orders, n)
            for measure, value, ruler in zip(measures, values, rulers, strict=True):
                rows.append(
                    {"member": member, "statistic": name, "measure": measure, "value": value, "ruler": ruler}
                )
    return pd.DataFrame(rows)


def _agreement(
    statistic: Any, measures: Any, real: Trials, simulated: Trials, orders: Any, n: int
) -> list[list[float]]:
    """Mean measures over halvings: (simulated against a half, the other half against it)."""
    found = np.full((2, len(orders), len(measures)), np.nan)
    for i, order in enumerate(orders):
        half, other = order[: len(order) // 2], order[len(order) // 2 :]
        reference = statistic(*_part(real, half), n)
        for j, against in enumerate((_part(simulated, other), _part(real, other))):
            vector = statistic(*against, n)
            found[j, i] = [MEASURES[measure](vector, reference) for measure in measures]
    seen = np.isfinite(found).all(0).any(0)  # not a statistic of so few or short trials
    return [[np.nanmean(part[:, k]) if seen[k] else np.nan for k in range(len(measures))] for part in found]


def _part(trials: Trials, index: Any) -> Trials:
    return trials[0][index], trials[1][index]


# -- statistics: y (trial, time[, feature]), valid (trial, time), n features -> vector --------------


def mean_over_trials(y: np.ndarray, valid: np.ndarray, n: int) -> np.ndarray:
    """Return the PSTH, (time * feature,); bins that few trials reach are NaN."""
    reached = valid.sum(0)[:, None]
    mean = (y * valid[..., None]).sum(0) / np.maximum(reached, 1)
    return np.where(reached >= 0.5 * len(y), mean, np.nan).ravel()


def means(y: np.ndarray, valid: np.ndarray, n: int) -> np.ndarray:
    """Return the mean of each feature, (feature,)."""
    return np.asarray(y[valid].mean(0))


def correlations(y: np.ndarray, valid: np.ndarray, n: int) -> np.ndarray:
    """Return the correlations of all pairs of features over bins, (pair,)."""
    return _upper(np.corrcoef, y[valid])


def covariances(y: np.ndarray, valid: np.ndarray, n: int) -> np.ndarray:
    """Return the covariances of all pairs of features over bins, variances included, (pair,)."""
    return _upper(np.cov, y[valid], 0)


def _upper(function: Any, rows: np.ndarray, k: int = 1) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        matrix = np.atleast_2d(function(rows, rowvar=False))
    return matrix[np.triu_indices(len(matrix), k)]


def fano(y: np.ndarray, valid: np.ndarray, n: int) -> np.ndarray:
    """Return variance over mean of each unit's spikes in a trial, (unit,), over bins that all trials have."""
    total = y[:, : _common(valid)].sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(total.var(0, ddof=1) / total.mean(0))


def spectrum(y: np.ndarray, valid: np.ndarray, n: int) -> np.ndarray:
    """Return the log2 power of the mean over features, (frequency,), mean over trials."""
    length = _common(valid)
    rate = y[:, :length].mean(2)
    power = np.abs(np.fft.rfft(rate - rate.mean(), axis=1)[:, 1:]) ** 2
    return np.log2(np.maximum(power.mean(0), 1e-12)) if length >= 4 else np.full(1, np.nan)


def states(y: np.ndarray, valid: np.ndarray, n: int) -> np.ndarray:
    """Return the values of all bins, whatever their order, (bin, feature)."""
    return np.asarray(y[valid])


def channel_spectra(y: np.ndarray, valid: np.ndarray, n: int) -> np.ndarray:
    """Return the power of each feature, (frequency, feature), mean over trials; NaN of fewer than 4 bins."""
    length = _common(valid)
    if length < 4:
        return np.full((1, y.shape[2]), np.nan)
    part = y[:, :length]
    return np.asarray((np.abs(np.fft.rfft(part - part.mean((0, 1)), axis=1)[:, 1:]) ** 2).mean(0))


def autocorrelation_time(y: np.ndarray, valid: np.ndarray, n: int) -> np.ndarray:
    """Return log2 of 1/2 + the sum of the mean autocorrelation until it first falls below 0, bins, (1,)."""
    length = _common(valid)
    rate = y[:, :length].mean(2)
    rate = rate - rate.mean()
    lags = [(rate[:, : length - k] * rate[:, k:]).mean() for k in range(max(length // 2, 1))]
    if lags[0] <= 0:
        return np.full(1, np.nan)
    falls = np.flatnonzero(np.array(lags) < 0)
    return np.log2([np.sum(lags[: falls[0] if len(falls) else None]) / lags[0] - 0.5])


def _common(valid: np.ndarray) -> int:
    """Bins at the start that every trial has."""
    return int(valid.all(0).cumprod().sum())


def frequencies(y: np.ndarray, valid: np.ndarray, n: int) -> np.ndarray:
    """Return the share of each label, (label,)."""
    return _shares(y[valid], n)


def transitions(y: np.ndarray, valid: np.ndarray, n: int) -> np.ndarray:
    """Return the share of each pair of successive labels, (label * label,)."""
    return _motifs(y, valid, n, 2)


def motifs(y: np.ndarray, valid: np.ndarray, n: int) -> np.ndarray:
    """Return the share of each three successive labels, (label * label * label,)."""
    return _motifs(y, valid, n, 3)


def _motifs(y: np.ndarray, valid: np.ndarray, n: int, length: int) -> np.ndarray:
    width = max(y.shape[1] - length + 1, 0)
    code = sum(y[:, i : i + width].astype(np.int64) * n ** (length - 1 - i) for i in range(length))
    seen = np.all([valid[:, i : i + width] for i in range(length)], axis=0)
    return _shares(np.asarray(code)[seen], n**length)


def repeats(y: np.ndarray, valid: np.ndarray, n: int) -> np.ndarray:
    """Return the share of each length of runs of one label, (MAX_RUN,); longer ones count as MAX_RUN."""
    lengths = []
    for row, seen in zip(y, valid, strict=True):
        labels = row[seen]
        ends = np.flatnonzero(np.diff(labels, append=-1) != 0)
        lengths.append(np.diff(ends, prepend=-1))
    return _shares(np.minimum(np.concatenate(lengths), MAX_RUN) - 1, MAX_RUN)


def _shares(labels: np.ndarray, n: int) -> np.ndarray:
    return np.bincount(labels.astype(np.int64), minlength=n) / max(len(labels), 1)


# -- measures ---------------------------------------------------------------------------------------


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = _both(a, b)
    return float(np.corrcoef(a, b)[0, 1]) if len(a) > 2 and a.std() > 0 and b.std() > 0 else np.nan


def _error(a: np.ndarray, b: np.ndarray) -> float:
    a, b = _both(a, b)
    return float(np.sqrt(((a - b) ** 2).mean() / (b**2).mean())) if len(a) and b.any() else np.nan


def _both(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    seen = np.isfinite(a) & np.isfinite(b)
    return a[seen], b[seen]


def _octaves(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(((a - b) ** 2).mean()))


MEASURES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "correlation": _correlation,
    "error": _error,
    "octaves": _octaves,
    "total variation": lambda a, b: float(0.5 * np.abs(a - b).sum()),
    "divergence": geometry.state_space_divergence,
    "Hellinger distance": geometry.hellinger,
}
# as long for every half: lengths of trials may differ
_OF_COMMON_BINS = (fano, spectrum, channel_spectra, autocorrelation_time)
_BOTH, _DISTANCE = ("correlation", "error"), ("total variation",)
STATISTICS: dict[str, dict[str, tuple[Callable[..., Any], tuple[str, ...]]]] = {
    "counts": {
        "PSTH": (mean_over_trials, _BOTH),
        "mean counts": (means, _BOTH),
        "pairwise correlations": (correlations, _BOTH),
        "Fano factors": (fano, _BOTH),
        "power spectrum": (spectrum, ("correlation", "octaves")),
        "autocorrelation time": (autocorrelation_time, ("octaves",)),
    },
    "symbols": {
        "label frequencies": (frequencies, _DISTANCE),
        "transitions": (transitions, _DISTANCE),
        "3-label motifs": (motifs, _DISTANCE),
        "repeats": (repeats, _DISTANCE),
    },
    "signal": {
        "mean over trials": (mean_over_trials, _BOTH),
        "means": (means, _BOTH),
        "covariances": (covariances, _BOTH),
        "power spectrum": (spectrum, ("correlation", "octaves")),
        "channel spectra": (channel_spectra, ("Hellinger distance",)),
        "state space": (states, ("divergence",)),
        "autocorrelation time": (autocorrelation_time, ("octaves",)),
    },
}
