"""Audits of what models see beside the past: inputs that are observations, outcomes, or known too early."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from cortseq import recording as rec
from cortseq._lazy import xr
from cortseq.data import Data
from cortseq.scoring.audits import Audit

LAGS = 10  # bins before and after, from which an input must not be put together
COPY = 0.999  # share of an input's variance from which on it is a copy
MOST_COLUMNS = 300  # of the regression of an input on observations


def inputs(recording: xr.Dataset) -> list[Audit]:
    """Check what models see beside the past: no copy of observations, no outcome, not too early.

    Copies: a linear regression on observations up to LAGS bins before and after, fitted on every other trial,
    explains COPY of an input's variance on the others, which the past alone does not. Outcomes: an input that
    is one value all through each trial and maps one to one onto a covariate of `attrs["outcomes"]` or named
    like an outcome. Too early: before its time `available` (coordinate along `input`, s on the
    trial's clock), an input that has one must not differ between trials.
    """
    if "inputs" not in recording:
        return [Audit("inputs", True, "there are none")]
    data = Data.of(recording)
    assert data.inputs is not None
    u = np.nan_to_num(data.inputs)
    names = recording["input"].values.astype(str) if "input" in recording.coords else range(data.n_inputs)
    copies, found = _copied(data, u), []
    for i, name in enumerate(names):
        faults = (
            _too_early(recording, u[..., i], i),
            _outcome(recording, u[..., i]),
            _named(recording, name),
        )
        found += [Audit("inputs", False, f"input {name} {fault}") for fault in (*faults, copies[i]) if fault]
    return found or [Audit("inputs", True, f"{data.n_inputs} inputs are known at their times")]


def _named(recording: xr.Dataset, name: Any) -> str:
    """Return the fault of what is an outcome by its name, and is seen from the first bin on."""
    made = json.loads(recording.attrs.get("inputs", "{}")).get(str(name), {})
    column = made.get("value") or made.get("label")
    if column is None or "from" in made:
        return ""
    if any(rec.is_outcome(recording, word) for word in (made["of"], column)):
        return f"is the outcome {column}, seen from the first bin on -- give `from:`, the time it is known at"
    return ""


def _too_early(recording: xr.Dataset, u: np.ndarray, i: int) -> str:
    if "available" not in recording.coords:
        return ""
    early = recording["time"].values < recording["available"].values[i] - 1e-9
    seen = u[:, early][recording["valid"].values[:, early]]
    return "differs between trials before the time it is available" if seen.size and np.ptp(seen) > 0 else ""


def _outcome(recording: xr.Dataset, u: np.ndarray) -> str:
    valid = recording["valid"].values
    held = [np.unique(row[mask]) for row, mask in zip(u, valid, strict=True)]
    if any(len(h) != 1 for h in held) or len(np.unique(np.concatenate(held))) < 2:
        return ""
    value = np.unique(np.concatenate(held), return_inverse=True)[1]
    for name in recording.attrs["covariates"]:
        if recording[name].dims == ("trial",) and rec.is_outcome(recording, name):
            label = np.unique(recording[name].values.astype(str), return_inverse=True)[1]
            pairs = len(set(zip(value, label, strict=True)))
            if pairs == value.max() + 1 == label.max() + 1:
                return f"is the outcome {name}, which is known at the end of a trial only"
    return ""


def _copied(data: Data, u: np.ndarray) -> list[str]:
    """Return the fault of each of the inputs (trial, time, input) that is made of observations, else ""."""
    y = data.kind.encoded(data.y, data.n_features)
    y = np.concatenate([y, y.sum(-1, keepdims=True)], -1) * data.valid[..., None]
    lags = np.arange(-LAGS, LAGS + 1)  # negative: the past
    if y.shape[1] <= 3 * LAGS:
        lags = lags[np.abs(lags) <= max(y.shape[1] // 4, 1)]
    reach = int(lags.max())
    inner = data.valid[:, reach : y.shape[1] - reach]
    # (bin, lag, feature)
    columns = np.stack([y[:, reach + k : y.shape[1] - reach + k][inner] for k in lags], 1)
    targets = u[:, reach : y.shape[1] - reach][inner]
    odd = np.broadcast_to(np.arange(len(u))[:, None] % 2 == 1, inner.shape)[inner]
    if not targets.size:
        return [""] * u.shape[-1]
    varies = (np.ptp(targets[odd], 0) > 0) & (np.ptp(targets[~odd], 0) > 0)
    every, past = np.zeros((2, u.shape[-1]))
    for found, kept in ((every, lags >= -reach), (past, lags < 0)):
        found[varies] = _explained(columns[:, kept], targets[:, varies], odd)
    return [
        f"is made of present or future observations (they explain {a:.4f} of it, the past {b:.4f})"
        if a >= COPY > b
        else ""
        for a, b in zip(every, past, strict=True)
    ]


def _explained(columns: np.ndarray, targets: np.ndarray, learn: np.ndarray) -> np.ndarray:
    """Shares of the variance of `targets` (bin, target) outside `learn` that fits inside it explain."""
    x = columns.reshape(len(targets), -1).astype(float)
    most = int(min(MOST_COLUMNS, learn.sum() // 4))
    if x.shape[1] <= most:
        return _fitted(x, targets, learn)
    spread = x[learn].std(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        centred = targets[learn] - targets[learn].mean(0)
        relation = np.abs(centred.T @ (x[learn] - x[learn].mean(0))) / spread
    order = np.argsort(-np.nan_to_num(relation), axis=1, kind="stable")[:, :most]
    return np.concatenate([_fitted(x[:, at], targets[:, [i]], learn) for i, at in enumerate(order)])


def _fitted(x: np.ndarray, targets: np.ndarray, learn: np.ndarray) -> np.ndarray:
    """Return the explained shares (target,) by the columns x (bin, column)."""
    x, rest = x - x[learn].mean(0), targets[~learn]
    mean = targets[learn].mean(0)
    gram = x[learn].T @ x[learn]
    gram[np.diag_indices_from(gram)] += 1e-10 * max(float(np.trace(gram)) / len(gram), 1e-300)
    beta = np.linalg.solve(gram, x[learn].T @ (targets[learn] - mean))
    missed = ((rest - mean - x[~learn] @ beta) ** 2).sum(0)
    return np.asarray(1 - missed / ((rest - rest.mean(0)) ** 2).sum(0))
