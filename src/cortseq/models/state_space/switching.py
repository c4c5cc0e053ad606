"""The law of a switching linear dynamical system, and its parameters.

    z_t = A_k z_{t-1} + b_k + B_k u_t + w_t,  w_t ~ N(0, Q_k),  k = s_t;      z_0 ~ N(m_0 + B_0 u_0, P_0)
    p(s_1 = k) = pi_k,    p(s_t = k | s_{t-1} = j) = T_jk
    recurrent: p(s_t = k | s_{t-1} = j, z_{t-1}) ~ T_jk exp(R_k . z_{t-1})

State s_t says how the latent came from bin t - 1 to bin t; bin 0 has none. Parameters of one member:
"initial" pi (state,), "switch" T (from, to), "pull" R (state, latent) where recurrent, "transition" A
(state, latent, latent), "offset" b (state, latent), "drive" B (state, latent, input), "noise" Q (state,
latent, latent), and of the first bin, as in `latent`, "start_mean", "start_drive" and "start_noise".
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cortseq.data import Data, Params
from cortseq.models.state_space import latent

OF_STATE = ("transition", "offset", "drive", "noise")
CHAIN = ("initial", "switch", "pull")
_TINY = 1e-300
_NUMBERS = 1 << 22  # of one array of some trials


def parts(data: Data, numbers: int) -> list[Data]:
    """Return the trials in parts that are small enough to hold `numbers` numbers of each trial at once.

    Missing bins are 0.
    """
    known = data.valid[..., None]
    clean = replace(data, y=np.where(known, data.y, 0.0))
    size = max(1, _NUMBERS // max(1, numbers))
    return [clean.at(slice(first, first + size)) for first in range(0, len(data.y), size)]


def of_state(p: Params, k: int) -> Params:
    """Return the parameters of a linear dynamical system that is always in state k."""
    return {name: v[k] if name in OF_STATE else v for name, v in p.items() if name not in CHAIN}


def of_linear(p: Params, states: int, recurrent: bool) -> Params:
    """Return a switching system whose states all have the law of a linear one: it predicts the same."""
    same = {name: np.repeat(p[name][None], states, 0) for name in OF_STATE}
    chain = {"initial": np.full(states, 1 / states), "switch": np.full((states, states), 1 / states)}
    if recurrent:
        chain["pull"] = np.zeros((states, len(p["offset"])))
    return p | same | chain


def is_recurrent(p: Params) -> bool:
    """Return whether the latent decides on the next state."""
    return "pull" in p


def log_switch(p: Params) -> np.ndarray:
    """Return ln T (from, to) with one more row, ln pi: that of the start, before any state."""
    return np.asarray(np.log(np.maximum(np.concatenate([p["switch"], p["initial"][None]]), _TINY)))


def offsets(p: Params, data: Data) -> np.ndarray:
    """Return b_k + B_k u_t, (state, trial, time, latent); bin 0 is as of `start_offsets`."""
    return np.stack([latent.offsets(of_state(p, k), data) for k in range(len(p["offset"]))])


def start_offsets(p: Params, data: Data) -> np.ndarray:
    """Return m_0 + B_0 u_0, (trial, latent)."""
    return latent.offsets(of_state(p, 0), data)[:, 0]


def in_basis(p: Params, change: np.ndarray, origin: np.ndarray) -> Params:
    """Return the same model for latents z' = T (z - o).

    Parameters
    ----------
    p : parameters of one member.
    change : T, (latent, latent).
    origin : o, (latent,).
    """
    each = [latent.in_basis(of_state(p, k), change, origin) for k in range(len(p["offset"]))]
    moved = each[0] | {name: np.stack([q[name] for q in each]) for name in OF_STATE}
    chain = {name: p[name] for name in CHAIN if name in p}
    if is_recurrent(p):
        weight = np.exp(p["pull"] @ origin - (p["pull"] @ origin).max())
        chain["pull"] = p["pull"] @ np.linalg.inv(change)
        chain["switch"] = p["switch"] * weight / (p["switch"] * weight).sum(-1, keepdims=True)
    return moved | chain


def odds(p: Params, state: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return p(s_t = k | s_{t-1}, z_{t-1}), (trial, state); states (trial,), latents (trial, latent)."""
    if not is_recurrent(p):
        return np.asarray(p["switch"][state])
    logits = z @ p["pull"].T
    weight = p["switch"][state] * np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(weight / weight.sum(1, keepdims=True))
