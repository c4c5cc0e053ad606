"""The prediction tasks beside the next bin (docs/likelihood.md#prediction-tasks): products and their tables.

Products keep log-probabilities bin by bin, like those of the score stage; burn-in is cut here, for all alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cortseq import recording as rec
from cortseq._lazy import pd, xr
from cortseq.data import Data, evenly, few
from cortseq.errors import CortseqError
from cortseq.models.base import Fit
from cortseq.models.horizons import FORECAST_BINS, FORECAST_TRIALS, reached
from cortseq.observations.tracks import TRACKS
from cortseq.scoring import blocks, futures
from cortseq.scoring.statistics import PairedDifference, paired, scored

MEMORIES = (1, 2, 5, 10, 20, 50)
_SMALL = 0.1  # of an interval: what may be left of a bias


def best(scores: dict[str, xr.Dataset], burn_in: int) -> str:
    """Of a model's variants on one fold the one with the best mean validation log-likelihood."""

    def valid(name: str) -> float:
        late = scores[name].isel(time=slice(burn_in, None))
        return float(late["log_prob"].isel(trial=late["role"].values == "valid").mean("member").sum())

    return max(scores, key=valid)


def _dataset(
    fit: Fit, recording: xr.Dataset, trials: Any, arrays: dict[str, Any], coords: dict[str, Any]
) -> xr.Dataset:
    return xr.Dataset(
        {**arrays, "n_events": (("trial", "time"), Data.of(recording, trials).n_events())},
        coords={"trial": np.asarray(trials), "time": recording["time"].values, **coords},
        attrs={
            "track": rec.track(recording),
            "continuous": int(recording.attrs.get("continuous", 0)),
            "role": fit.model.role,
        },
    )


# -- T2: bins further ahead -------------------------------------------------------------------------


def forecast_trials(recording: xr.Dataset, test: ArrayLike, n: int | None = None) -> np.ndarray:
    """Return which test trials are forecast, spread over all of them.

    Parameters
    ----------
    test : (trial,) positions.
    n : how many; None: 8, and of short trials as many as hold 300 bins.
    """
    if n is not None:
        return evenly(test, n)
    length = recording["valid"].values[np.asarray(test, int)].sum(1).mean()
    return evenly(test, max(FORECAST_TRIALS, int(np.ceil(FORECAST_BINS / max(length, 1)))))


def forecast(
    fit: Fit,
    recording: xr.Dataset,
    trials: Any,
    horizons: Sequence[int],
    samples: int,
    seed: int,
    most: int = 0,
    null: xr.Dataset | None = None,
    burn_in: int = 0,
) -> xr.Dataset:
    """Forecast the bins of some trials by every horizon.

    Horizons that leave less than half of the bins of a typical trial are left out. Where a forecast has to be
    drawn, futures are doubled from `samples` up to `most` until what may be left of the bias is below a tenth
    of the interval of the gain over the null, at every horizon (`cortseq.scoring.futures`).

    Parameters
    ----------
    fit, recording, trials : what forecasts, and the positions (trial,) of what is forecast; of many some are
        used (`data.few`).
    null : the null's product of scores on the same recording; None: `samples` futures are drawn.
    burn_in : bins at the start of each trial that are not scored.

    Returns
    -------
    Dataset with `log_prob` (member, trial, time, horizon) in nats, of sampled forecasts `bias` of the same
    shape, whose sum over bins is what may be left of it, and of networks `plug_in`, on signals
    `squared_error` too. `attrs["kind"]`: "exact", "sampled" or "label chain"; `attrs["samples"]`: futures
    drawn of the last bins.
    """
    trials = few(recording, trials)
    data = fit._data(recording, trials)
    kept = [h for h in horizons if h == 1 or h <= np.median(data.valid.sum(1)) // 2]
    kind, dims = fit.model.forecasts_on(data.track), ("member", "trial", "time", "horizon")

    def product(**arrays: np.ndarray) -> xr.Dataset:
        named = {name: (dims, array) for name, array in arrays.items()}
        found = _dataset(fit, recording, trials, named, {"horizon": kept})
        return found.assign_attrs(kind=kind, samples=samples)

    if kind != "sampled":
        return product(log_prob=fit.forecast(recording, kept, trials))
    floor = [] if null is None else [_floor(null, data, trials, kept)]

    def enough(log_prob: np.ndarray, bias: np.ndarray) -> bool:
        rows = _gains("", [product(log_prob=log_prob, bias=bias)], floor, burn_in, seed)
        return not any(row["biased"] for row in rows)

    draw = partial(fit.model.futures, fit.params, data, kept)
    log_prob, bias, samples = futures.settled(draw, data.valid, samples, most if floor else 0, seed, enough)
    if fit.model.role != "recurrent":
        return product(log_prob=log_prob, bias=bias)
    expected = {"plug_in": fit.plug_in(recording, kept, trials)}
    if data.kind.has_scale:
        expected["squared_error"] = fit.squared_error(recording, kept, trials)
    return product(log_prob=log_prob, bias=bias, **expected)


def _floor(null: xr.Dataset, data: Data, trials: Any, horizons: Sequence[int]) -> xr.Dataset:
    """Return the null's forecasts of some trials from its scores: those of every horizon."""
    found = null[["log_prob"]].sel(trial=np.asarray(trials))
    each = found["log_prob"].expand_dims(horizon=list(horizons), axis=-1)
    known = xr.DataArray(reached(data, horizons), dims=("trial", "time", "horizon"))
    return found.assign(log_prob=each.where(known))


def horizon_table(folds: dict[str, list[xr.Dataset]], burn_in: int = 0, seed: int = 0) -> pd.DataFrame:
    """Compare forecasts of all models with those of the null, by horizon.

    Parameters
    ----------
    folds : of each model (the null among them, "null") the products of `forecast`, one a fold.

    Returns
    -------
    Table with the columns model, role, horizon, value, low, high (gain over the null in bits per event, nats
    for signals), bias (what may be left of it, in the same unit; 0 of exact forecasts), biased (whether that
    is a tenth of the interval or more: the value is then too low and ranked with nothing), kind (exact,
    sampled, label chain or plug-in), trials (those with a scored bin) and, in the plug-in rows of signals,
    rms_error (root mean squared error in standard deviations of the channels). All horizons and models are
    scored on the bins that the largest horizon reaches.
    """
    if "null" not in folds:
        raise CortseqError("forecasts are compared with those of the null", key="null")
    rows = [row for model in folds for row in _gains(model, folds[model], folds["null"], burn_in, seed)]
    return pd.DataFrame(rows)


def _gains(
    model: str, found: list[xr.Dataset], nulls: list[xr.Dataset], burn_in: int, seed: int
) -> list[dict[str, Any]]:
    """Return the rows of a model in `horizon_table`."""
    horizons, track, rows = found[0]["horizon"].values, found[0].attrs["track"], []
    start = max(burn_in, int(horizons.max()) - 1)
    events, place = _events(found, start), _place(found)
    for name in ("log_prob", "plug_in"):
        if name not in found[0]:
            continue
        _check_bins(model, found, nulls, name)
        sums, null = _sums(found, name, start), _sums(nulls, "log_prob", start)
        trials = int(scored(sums[..., 0], null[..., 0], events).sum())
        left = _left(found, start) if name == "log_prob" else np.zeros(len(horizons))
        for i, h in enumerate(horizons):
            gain = _difference(sums[..., i], null[..., i], events, place, seed, track)
            biased = _matters(left[i], gain)
            kind = found[0].attrs["kind"] if name == "log_prob" else "plug-in"
            row = {"model": model, "role": found[0].attrs["role"], "horizon": int(h), **gain}
            row |= {"bias": float(left[i]), "biased": biased, "kind": kind, "trials": trials}
            error = _error(found, start, i) if name == "plug_in" and "squared_error" in found[0] else np.nan
            rows.append(row | {"rms_error": error})
    return rows


def _error(found: list[xr.Dataset], start: int, horizon: int) -> float:
    """Return the root mean squared error of one horizon over members, trials and bins of all folds."""
    late = [f["squared_error"].isel(time=slice(start, None), horizon=horizon).values.ravel() for f in found]
    return float(np.sqrt(np.nanmean(np.concatenate(late))))


def _left(found: list[xr.Dataset], start: int) -> np.ndarray:
    """Return what may be left of the bias of few futures (horizon,), per event; 0 of exact forecasts."""
    if "bias" not in found[0]:
        return np.zeros(found[0].sizes["horizon"])
    total = max(_events(found, start).sum(), 1) * TRACKS[found[0].attrs["track"]].unit_nats
    return np.asarray(_sums(found, "bias", start).mean(0).sum(0) / total)


def _matters(left: float, gain: dict[str, float]) -> bool:
    """Return whether what may be left of a bias is not small beside the interval of a gain."""
    return bool(left >= _SMALL * (gain["high"] - gain["low"]) and left > 0)


def horizon_difference(
    first: list[xr.Dataset], second: list[xr.Dataset], burn_in: int = 0, seed: int = 0
) -> pd.DataFrame:
    """Compare the forecasts of two models by horizon; first, second : products of `forecast`, one a fold.

    Returns
    -------
    The columns of `horizon_table`, of the first model over the second; biased: where the forecasts of either
    are. Plug-ins are left out.
    """
    rows = [row for row in _gains("", first, second, burn_in, seed) if row["kind"] != "plug-in"]
    others = _left(second, max(burn_in, int(first[0]["horizon"].max()) - 1))
    each = zip(rows, others, strict=True)
    return pd.DataFrame([row | {"biased": row["biased"] or _matters(left, row)} for row, left in each])


def _check_bins(model: str, folds: list[xr.Dataset], nulls: list[xr.Dataset], name: str) -> None:
    for fold, (mine, null) in enumerate(zip(folds, nulls, strict=True)):
        missing = mine[name].isnull().values
        same = np.array_equal(mine["trial"], null["trial"])
        if not same or (missing != null["log_prob"].isnull().values[:1]).any():
            raise CortseqError(
                f"{model} and the null are not forecast on the same bins",
                key="fold",
                value=fold,
                fix="run the forecast stage again",
            )


# -- L6: the last k bins ----------------------------------------------------------------------------


def recall(fit: Fit, recording: xr.Dataset, trials: Any, memories: Sequence[int] = MEMORIES) -> xr.Dataset:
    """Score a full-history fit that restarts k bins before each bin, k of `memories`, if trials allow.

    Of many trials some are used (`data.few`).

    Returns
    -------
    log_prob (memory, member, trial, time), and `full` (member, trial, time) without a restart.
    """
    trials = few(recording, trials)
    data = fit._data(recording, trials)
    kept = [k for k in memories if k < data.y.shape[1] - 1] or [1]
    log_prob = fit.recall(recording, kept, trials)
    arrays = {
        "log_prob": (("memory", "member", "trial", "time"), log_prob),
        "full": (("member", "trial", "time"), fit.log_prob(recording, trials).values),
    }
    return _dataset(fit, recording, trials, arrays, {"memory": kept})


def memory_rerun(folds: list[xr.Dataset], burn_in: int = 0, seed: int = 0) -> pd.DataFrame:
    """Memory gain G(k) = full history - last k bins, same parameters: memory, value, low, high, p_value, ...

    Differences are taken within members, so that their interval holds the spread of the gain over members.
    """
    full = _sums(folds, "full", burn_in)
    short = _sums([f.transpose("member", "trial", "time", "memory", ...) for f in folds], "log_prob", burn_in)
    events, place, nothing = _events(folds, burn_in), _place(folds), np.zeros(full.shape[1])
    rows = []
    for i, k in enumerate(folds[0]["memory"].values):
        gain = _difference(full - short[..., i], nothing, events, place, seed, folds[0].attrs["track"])
        rows.append({"memory": int(k), **gain, "kind": "re-run"})
    return pd.DataFrame(rows)


def memory_retrained(
    full: list[xr.Dataset],
    short: list[xr.Dataset],
    memory: int,
    track: str,
    continuous: bool,
    burn_in: int = 0,
    seed: int = 0,
) -> dict[str, Any]:
    """Return a row of `memory_rerun` for a network trained on windows of `memory` bins.

    Learning from windows may cost something by itself. In the first `memory` bins of a trial the window holds
    the whole past, and that it begins there: the network loses that cost alone. `beyond` is the gain in later
    bins less the gain in those: what the past beyond the window is worth, with its interval and p; NaN where
    there are no such bins.

    full, short : products of scores, one a fold, of the network with the whole past and of this one.
    """
    gain = contrast(full, short, track, continuous, burn_in, seed)
    weights = _beyond(full, memory, burn_in)
    late = dict.fromkeys(("value", "low", "high", "p_value"), np.nan)
    if weights is not None:
        a, b = ([f.assign(log_prob=f["log_prob"] * weights) for f in folds] for folds in (full, short))
        late = contrast(a, b, track, continuous, burn_in, seed)
    names = {"beyond": "value", "beyond_low": "low", "beyond_high": "high", "beyond_p": "p_value"}
    return {
        "memory": memory,
        **gain,
        **{name: late[key] for name, key in names.items()},
        "kind": "re-trained",
    }


def _beyond(folds: list[xr.Dataset], memory: int, start: int) -> xr.DataArray | None:
    """Return weights (time,) by which a mean per event is that of late bins less that of early ones."""
    tested = [f["n_events"].isel(trial=f["role"].values == "test").sum("trial") for f in folds]
    events = sum(tested[1:], tested[0])
    bin_ = xr.DataArray(np.arange(events.sizes["time"]), dims="time")
    early, late = (bin_ >= start) & (bin_ < memory), bin_ >= max(memory, start)
    n_early, n_late = (float(events.where(part, 0).sum()) for part in (early, late))
    if not n_early or not n_late:
        return None
    return (n_early + n_late) * (late / n_late - early / n_early)


def contrast(
    first: list[xr.Dataset],
    second: list[xr.Dataset],
    track: str,
    continuous: bool,
    burn_in: int = 0,
    seed: int = 0,
) -> dict[str, float]:
    """Return the paired difference of two variants on the test trials of all folds.

    Parameters
    ----------
    first, second : products of scores, one a fold.
    track : of the recording.
    continuous : whether trials are windows that follow each other without a pause.

    Returns
    -------
    value, low, high, p_value, smallest_p, detectable : as of `paired`, in units of the score; blocks : of
        trials, that it is over.
    """
    a, b = ([f.isel(trial=f["role"].values == "test") for f in folds] for folds in (first, second))
    place = _place([f.assign_attrs(continuous=int(continuous)) for f in a])
    mine, theirs = (_sums(f, "log_prob", burn_in) for f in (a, b))
    return _difference(mine, theirs, _events(a, burn_in), place, seed, track)


# -- sums over bins, folds side by side -------------------------------------------------------------


def _sums(folds: list[xr.Dataset], name: str, start: int) -> np.ndarray:
    """(member, trial, ...) sums over the bins from `start`, as many members as every fold has."""
    members = min(f.sizes["member"] for f in folds)
    parts = [f[name].isel(time=slice(start, None), member=slice(members)).sum("time").values for f in folds]
    return np.concatenate(parts, axis=1)


def _events(folds: list[xr.Dataset], start: int) -> np.ndarray:
    return np.concatenate([f["n_events"].values[:, start:].sum(1) for f in folds])


def _place(folds: list[xr.Dataset]) -> dict[str, Any]:
    """Return `blocks.place` of products of all folds."""
    return blocks.place([f["trial"].values for f in folds], bool(folds[0].attrs["continuous"]))


def _difference(
    a: Any, b: Any, events: Any, place: dict[str, Any], seed: int, track: str
) -> dict[str, float]:
    unit = TRACKS[track].unit_nats
    if scored(a, b, events).sum() < 2 or not events.sum():
        return _row(PairedDifference(np.nan, np.nan, np.nan, np.nan, np.nan, smallest_p=1.0))
    return _row(paired(a, b, events, seed=seed, **place).per(unit))


def _row(gain: PairedDifference) -> dict[str, float]:
    tests = ("p_value", "smallest_p", "detectable")
    row = {"value": gain.estimate, "low": gain.low, "high": gain.high, "blocks": gain.pieces}
    return row | {name: getattr(gain, name) for name in tests}
