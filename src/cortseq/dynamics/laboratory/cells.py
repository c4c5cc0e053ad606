"""Analyses of particular cells: currents under Dale's law, release of plastic synapses."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from cortseq._lazy import xr
from cortseq.dynamics import decoding
from cortseq.dynamics.balance import (
    Balance,
    balance_index,
    balance_of_fit,
    tracking_lag,
    typical_lag,
)
from cortseq.dynamics.laboratory.subject import CONDITIONS, Subject

_MAX_LAG = 10
_RATES = np.geomspace(0.5, 100, 25)  # Hz, of the frequency response of release


def currents(subject: Subject, found: xr.Dataset) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return excitatory and inhibitory currents of a network under Dale's law.

    Mean over trials and units, and balance.
    """
    if "signs" not in found:
        return {}, {}
    balances = [
        balance_of_fit(subject.fit, subject.recording, member, subject.test, _MAX_LAG)
        for member in range(subject.members)
    ]
    over = partial(np.nanmean, axis=(0, 2))
    variables = {
        "excitation": (("member", "time"), np.stack([over(b.excitatory) for b in balances])),
        "inhibition": (("member", "time"), np.stack([over(b.inhibitory) for b in balances])),
        "balance_index": (("member", "hidden"), np.stack([b.index for b in balances])),
        "tracking_lag": (("member", "hidden"), np.stack([b.lag for b in balances])),
    }
    without = [[_summarised(b, trials) for b in balances] for trials in subject.left_out()]
    if without:
        index, lag = np.moveaxis(np.array(without), -1, 0)
        variables["balance_index_left_out"] = (("group", "member"), index)
        variables["tracking_lag_left_out"] = (("group", "member"), lag)
    return variables, {}


def _summarised(balance: Balance, trials: np.ndarray) -> tuple[float, float]:
    """Return mean index and typical lag over units, of some of the trials."""
    e, i = balance.excitatory[trials], balance.inhibitory[trials]
    return float(np.nanmean(balance_index(e, i))), typical_lag(tracking_lag(e, -i, _MAX_LAG))


def release(subject: Subject, found: xr.Dataset) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return u, x and the release u x of plastic synapses through the trial.

    Also a cue read from rates and from u x.
    """
    if not subject.fit.model.plastic:
        return {}, {}
    n = subject.fit.model.hidden  # a skip adds the last bin to (h, u, x)
    u, x = subject.states[..., n : 2 * n], subject.states[..., 2 * n : 3 * n]
    over = partial(np.nanmean, axis=(1, 3))
    spread = np.nanquantile(np.nanmean(u * x, 1), [0.1, 0.5, 0.9], axis=-1)
    variables = {
        "use": (("member", "time"), over(u)),
        "resource": (("member", "time"), over(x)),
        "efficacy": (("quantile", "member", "time"), spread),
        "rate": ("rate", _RATES),
        "efficacy_at_rate": (("member", "hidden", "rate"), _responses(subject)),
    }
    cue = _cue(subject)
    if cue is not None:
        told = decoding.silent_memory(subject.fit, subject.recording, cue, subject.train, subject.test)
        variables["cue_from_rates"] = (("member", "time"), told.rates)
        variables["cue_from_efficacy"] = (("member", "time"), told.efficacy)
    return variables, {}


def _responses(subject: Subject) -> np.ndarray:
    """Return steady-state release u x of every synapse at constant presynaptic rates.

    Facilitating ones pass high rates on, depressing ones low rates.
    """
    from cortseq.theory.plasticity import stp_steady_state

    out = []
    for member in range(subject.members):
        one = subject.fit.member(member)
        use, fac_rate, rec_rate = (constant.numpy() for constant in one.cell.synapses(one.q))
        synapses = zip(use, 1 / fac_rate, 1 / rec_rate, strict=True)
        steady = [stp_steady_state(_RATES, *synapse) for synapse in synapses]
        out.append([s.u * s.x for s in steady])
    return np.array(out)


def _cue(subject: Subject) -> np.ndarray | None:
    """Return a label of the trial with two to four values.

    A number is cut at its median, and is NaN where unknown.
    """
    label = subject.label
    if label is None or label.ndim != 1:
        return None
    if label.dtype.kind == "f" or len(np.unique(label)) > CONDITIONS:
        if label.dtype.kind not in "iuf":
            return None
        high = (label > np.nanmedian(label[subject.train])).astype(float)
        label = np.where(np.isfinite(label), high, np.nan)
    return label if len(_known(label[subject.test])) > 1 else None


def _known(label: np.ndarray) -> np.ndarray:
    values = np.unique(label)
    return values[np.isfinite(values)] if values.dtype.kind == "f" else values
