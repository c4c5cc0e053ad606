"""Excitation against inhibition: currents of every unit, how far they cancel, and how late."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from cortseq._lazy import lazy, xr
from cortseq.dynamics.driven import driven
from cortseq.errors import CortseqError
from cortseq.notebook import Shown

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

_FEWEST_BINS = 8  # that two traces must share for a lag to be tried
LAGGING = 0.5  # share of the units that must have a lag, for a network to have one


@dataclass(frozen=True, repr=False)
class Balance(Shown):
    """Excitatory and inhibitory currents, and how far and how late they cancel.

    Attributes
    ----------
    excitatory : (trial, time, unit) currents >= 0, in units of the weights times the rates.
    inhibitory : (trial, time, unit) currents <= 0.
    index : (unit,) mean over bins of |E + I| / (|E| + |I|): 0 balanced, 1 one-sided.
    lag : (unit,) bins by which inhibition follows excitation, at the peak of their correlation; NaN where
        either is constant.
    """

    excitatory: np.ndarray
    inhibitory: np.ndarray
    index: np.ndarray
    lag: np.ndarray


def balance(
    weights: ArrayLike, rates: ArrayLike, external: ArrayLike | None = None, max_lag: int = 10
) -> Balance:
    """Return currents W r by the sign of the weights, with external currents by their own sign.

    van Vreeswijk & Sompolinsky 1998, Neural Comput 10:1321: with K inputs of strength 1/sqrt(K) the index and
    the lag fall as 1/sqrt(K).

    Parameters
    ----------
    weights : (n, n), column = presynaptic unit.
    rates : (trial, time, n) or (time, n), >= 0; NaN: a missing bin.
    external : (..., n), added to E where positive, to I where negative.
    max_lag : in bins.
    """
    w, r = np.asarray(weights, dtype=np.float64), np.asarray(rates, dtype=np.float64)
    r = r[None] if r.ndim == 2 else r
    if r.ndim != 3 or w.shape != (r.shape[2], r.shape[2]):
        raise CortseqError("weights are (n, n), rates (trial, time, n)", value=(w.shape, r.shape))
    if (r < 0).any():
        raise CortseqError("rates are not negative: else a sign means nothing", key="rates")
    outside = np.zeros_like(r) if external is None else np.broadcast_to(external, r.shape)
    e = r @ np.maximum(w, 0).T + np.maximum(outside, 0)
    i = r @ np.minimum(w, 0).T + np.minimum(outside, 0)
    return Balance(e, i, balance_index(e, i), tracking_lag(e, -i, max_lag))


def balance_index(excitatory: Any, inhibitory: Any) -> np.ndarray:
    """Return |E + I| / (|E| + |I|), mean over bins with current, of currents (trial, time, unit); (unit,)."""
    e, i = excitatory, inhibitory
    total = e - i
    index = np.divide(np.abs(e + i), total, out=np.full_like(e, np.nan), where=total > 0)
    counted = np.isfinite(index)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(counted, index, 0).sum((0, 1)) / counted.sum((0, 1)))


def tracking_lag(leader: Any, follower: Any, max_lag: int) -> np.ndarray:
    """Return the bins by which `follower` is late, (unit,).

    At the peak of the pooled correlation of two signals (trial, time, unit).

    Each trace is centred over all bins of a unit; the peak is refined by a parabola through three lags.
    Negative: the follower is ahead. NaN where a trace is constant or the peak lies at the edge.
    """
    leader, follower = np.asarray(leader, dtype=np.float64), np.asarray(follower, dtype=np.float64)
    max_lag = min(max_lag, leader.shape[1] - _FEWEST_BINS)
    if max_lag < 1:
        return np.full(leader.shape[2], np.nan)
    a, b = (v - np.nanmean(v, (0, 1)) for v in (leader, follower))
    lags = np.arange(-max_lag, max_lag + 1)
    curve = np.array([_correlation(a, b, int(lag)) for lag in lags])
    return np.array([_peak(lags, c) for c in curve.T])


def typical_lag(lags: Any) -> float:
    """Return the median over units of lags (unit,) in bins, NaN where fewer than half of them have one."""
    lags = np.asarray(lags, dtype=np.float64)
    known = lags[np.isfinite(lags)]
    return float(np.median(known)) if len(known) and len(known) >= LAGGING * len(lags) else float("nan")


def _correlation(a: np.ndarray, b: np.ndarray, lag: int) -> np.ndarray:
    """Of a_t with b_{t + lag}, per unit."""
    n = a.shape[1]
    a, b = a[:, max(-lag, 0) : n - max(lag, 0)], b[:, max(lag, 0) : n + min(lag, 0)]
    both = np.isfinite(a) & np.isfinite(b)
    a, b = np.where(both, a, 0), np.where(both, b, 0)
    power = (a**2).sum((0, 1)) * (b**2).sum((0, 1))
    tiny = 1e-24 * max(power.max(), 1e-276)
    return np.where(power > tiny, (a * b).sum((0, 1)) / np.sqrt(np.maximum(power, tiny)), np.nan)


def _peak(lags: np.ndarray, curve: np.ndarray) -> float:
    if not np.isfinite(curve).all():
        return float("nan")
    i = int(curve.argmax())
    if i in (0, len(lags) - 1):
        return float("nan")
    left, top, right = curve[i - 1 : i + 2]
    bend = left - 2 * top + right
    return float(lags[i] + (0.5 * (left - right) / bend if bend < 0 else 0.0))


def balance_of_fit(
    fit: Any, recording: xr.Dataset, member: int = 0, trials: ArrayLike | None = None, max_lag: int = 10
) -> Balance:
    """Return currents of one member of a network under Dale's law on the recorded input.

    They are in units of its activity, for the trials at the positions `trials` (trial,), None: all.

    Of plastic synapses the presynaptic rate is h u x / U, u and x
    as relaxed within the bin. The input U x + b counts as external.

    Raises
    ------
    CortseqError : weights without column signs.
    """
    if fit.model.role != "recurrent" or not fit.model.signed:
        raise CortseqError(
            f"this {fit.model.family} model does not keep Dale's law", fix="fit dale, or stp with dale: true"
        )
    loop, one = driven(fit, recording, member, trials), fit.member(member)
    rates = loop.states[..., : loop.sizes[0]].clamp_min(0)
    if fit.model.plastic:  # released is what u and x become within the bin
        with torch.no_grad():
            _, u, x = one.split(loop.step(loop.states.flatten(0, 1), loop.inputs.flatten(0, 1)))[0]
        rates = rates * (u * x / one.cell.synapses(one.q).use).reshape(rates.shape)
    late = np.arange(loop.states.shape[1]) > loop.last[:, None]
    arrays = [np.where(late[..., None], np.nan, v.numpy()) for v in (rates, one.drive(loop.inputs))]
    return balance(one.q["recurrent"].numpy(), arrays[0], arrays[1], max_lag)
