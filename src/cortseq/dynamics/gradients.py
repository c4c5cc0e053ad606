"""How far back a gradient reaches: norms of dh_t/dh_{t-k} on the recorded input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from cortseq._lazy import lazy, xr
from cortseq.dynamics.driven import Driven, driven
from cortseq.dynamics.jacobians import chunk_size
from cortseq.errors import CortseqError
from cortseq.notebook import Shown

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

Norm = Literal["spectral", "frobenius"]
_ORDERS: dict[str, int | str] = {"spectral": 2, "frobenius": "fro"}


def gradient_norms(
    fit: Any,
    recording: xr.Dataset,
    lags: Sequence[int],
    trials: ArrayLike | None = None,
    norm: Norm = "spectral",
) -> np.ndarray:
    """Return |dh_t/dh_{t-k}| of the whole state at the last valid bin t of each trial, (member, trial, lag).

    dh_t/dh_{t-k} = J_{t-1} J_{t-2} ... J_{t-k}, the newest factor on the left, with the exact Jacobians of
    the cell on the recorded input (open loop). Bengio, Simard & Frasconi 1994, IEEE Trans Neural Netw 5:157.

    Parameters
    ----------
    fit : of a recurrent model.
    lags : k >= 0, in bins.
    norm : "spectral" (largest singular value), which bounds every gradient, or "frobenius".

    Returns
    -------
    float64; NaN where a trial is shorter than the lag.
    """
    at = _checked(lags)
    members = range(fit.card["members"])
    return np.stack([_member_norms(driven(fit, recording, m, trials), at, norm) for m in members])


def _member_norms(loop: Driven, lags: np.ndarray, norm: str) -> np.ndarray:
    out = np.full((len(loop.states), len(lags)), np.nan)
    for row, states, inputs, last in zip(out, loop.states, loop.inputs, loop.last, strict=True):
        for k, product in enumerate(_products(loop.jacobians, states[:last], inputs[:last], lags.max())):
            at = lags == k
            if at.any():
                row[at] = float(torch.linalg.matrix_norm(product, _ORDERS[norm]))
    return out


def _products(jacobians: Any, states: Any, inputs: Any, longest: int) -> Any:
    """Yield the product of the last k Jacobians for k = 0, 1, 2 and so on, each (d, d).

    `jacobians` of rows of `states` and `inputs`, which are the steps; the newest factor is on the left.
    """
    product = torch.eye(states.shape[1], dtype=torch.float64)
    yield product
    states, inputs = states.flip(0)[:longest], inputs.flip(0)[:longest]
    size = chunk_size(states.shape[1])
    for some, given in zip(states.split(size), inputs.split(size), strict=True):
        if not len(some):
            return
        with torch.no_grad():
            for jacobian in jacobians(some, given):
                product = product @ jacobian
                yield product


def forget_path_norms(
    fit: Any, recording: xr.Dataset, lags: Sequence[int], trials: ArrayLike | None = None
) -> np.ndarray:
    """Return the direct path of the memory of a network with forget gates, (member, trial, lag).

    max over units of f_{t-1} f_{t-2} .. f_{t-k}, f the forget gates.

    The part of dc_t/dc_{t-k} that no gate mediates, the constant error carousel (Hochreiter & Schmidhuber
    1997). `gradient_norms` is the full path, through (h, c) and all gates.

    Raises
    ------
    CortseqError : a family without forget gates.
    """
    if fit.model.role != "recurrent" or "forget" not in fit.model.gate_names:
        raise CortseqError(
            f"a {fit.model.family} model has no forget gate",
            fix="give the fit of a network with one, such as lstm",
        )
    at = _checked(lags)
    members = []
    for member in range(fit.card["members"]):
        loop = driven(fit, recording, member, trials)
        forget = _forget_gates(fit, member, loop)
        out = np.full((len(forget), len(at)), np.nan)
        for row, gates, last in zip(out, forget, loop.last, strict=True):
            paths = np.cumprod(np.concatenate([np.ones((1, gates.shape[1])), gates[:last][::-1]]), 0).max(1)
            row[at < len(paths)] = paths[at[at < len(paths)]]
        members.append(out)
    return np.stack(members)


def _forget_gates(fit: Any, member: int, loop: Driven) -> np.ndarray:
    """Return f at every step, (trial, time, depth * hidden)."""
    one = fit.member(member)
    with torch.no_grad():
        gates = one.cell.gates(one.q, one.split(loop.states)[0], one.drive(loop.inputs))
        return np.asarray(gates["forget"].numpy())


def conditional_exponents(
    fit: Any, recording: xr.Dataset, trials: ArrayLike | None = None, seed: int = 0
) -> np.ndarray:
    """Return growth of small differences along each trial, nats per bin, (member, trial).

    The largest Lyapunov exponent of the driven network; the first quarter of a trial aligns the tangent
    vector and does not count. Slopes of `gradient_norms` approach it over long lags.
    """
    found = []
    for member in range(fit.card["members"]):
        loop = driven(fit, recording, member, trials)
        vectors = torch.from_numpy(np.random.default_rng([seed, member]).normal(size=loop.states[:, 0].shape))
        growth = np.full(loop.inputs.shape[:2], np.nan)
        for t in range(loop.inputs.shape[1] - 1):
            vectors = loop.push(loop.states[:, t], loop.inputs[:, t], vectors)[1]
            size = vectors.norm(dim=1, keepdim=True)
            growth[:, t] = size.squeeze(1).log().numpy()
            vectors = torch.where(size > 0, vectors / size, 0.0)
        bins = np.arange(growth.shape[1])
        counted = (bins >= loop.last[:, None] // 4) & (bins < loop.last[:, None])
        with np.errstate(invalid="ignore"):
            found.append(np.where(counted, growth, 0).sum(1) / counted.sum(1))
    return np.stack(found)


@dataclass(frozen=True, repr=False)
class GradientReach(Shown):
    """How far back gradients reach, by trial, and how many vanish or explode.

    Attributes
    ----------
    slope : of ln norm against lag, nats per bin.
    horizon : lag at which the norm is 1/e (inf: never within the lags); both (member, trial).
    vanishing, exploding : (member,) shares of the trials.
    """

    slope: np.ndarray
    horizon: np.ndarray
    vanishing: np.ndarray
    exploding: np.ndarray


def gradient_reach(norms: ArrayLike, lags: Sequence[int], factor: float = 100.0) -> GradientReach:
    """Summarise how far back gradients reach from their norms (member, trial, lag).

    What the norms (member, trial, lag) say: a trial's gradient vanishes (explodes) when at its longest lag
    the norm is below 1 / factor (above factor). Slopes are over the longer half of the lags.
    """
    at, norms = _checked(lags), np.asarray(norms, dtype=np.float64)
    order = np.argsort(at, kind="stable")
    at, norms = at[order], norms[..., order]
    with np.errstate(divide="ignore"):
        logs = np.log(norms)
    flat = logs.reshape(-1, len(at))
    ends = np.array([row[~np.isnan(row)][-1] if (~np.isnan(row)).any() else np.nan for row in flat])
    ends = ends.reshape(norms.shape[:-1])
    known = np.maximum((~np.isnan(ends)).sum(-1), 1)
    return GradientReach(
        np.array([_slope(at, row) for row in flat]).reshape(ends.shape),
        np.array([_horizon(at, row) for row in flat]).reshape(ends.shape),
        (ends < -np.log(factor)).sum(-1) / known,
        (ends > np.log(factor)).sum(-1) / known,
    )


def _slope(lags: np.ndarray, logs: np.ndarray) -> float:
    known = np.isfinite(logs)
    lags, logs = lags[known], logs[known]
    late = lags >= lags[-1] / 2 if len(lags) else known[known]
    return float(np.polyfit(lags[late], logs[late], 1)[0]) if late.sum() > 1 else float("nan")


def _horizon(lags: np.ndarray, logs: np.ndarray) -> float:
    """Return first crossing of -1, linear in ln norm between lags; at lag 0 it is 0."""
    known = ~np.isnan(logs)
    lags, logs = np.append(0, lags[known]), np.append(0.0, logs[known])
    below = np.flatnonzero(logs <= -1)
    if not len(below):
        return float("inf")
    i = below[0]
    share = (logs[i - 1] + 1) / (logs[i - 1] - logs[i]) if np.isfinite(logs[i]) else 1.0
    return float(lags[i - 1] + share * (lags[i] - lags[i - 1]))


def _checked(lags: Sequence[int]) -> np.ndarray:
    at = np.asarray(lags)
    if at.ndim != 1 or not len(at) or at.dtype.kind not in "iu" or at.min() < 0:
        raise CortseqError("lags are whole numbers of bins, 0 or more", key="lags", value=at.tolist())
    return at
