"""Transitions of a hidden Markov model that inputs steer (Bengio & Frasconi 1995, NIPS 7:427).

    A_jk(t) = a_jk exp(W_k . u_t) / sum_l a_jl exp(W_l . u_t)

An input makes states more or less likely to be entered, from wherever: W (state, input) is shared by all
states that are left, K weights an input in place of K^2. Filtering then costs no more than with fixed
transitions: with w_k = exp(W_k . u_t) and z = A w the step is (belief / z) A, times w.
The first bin has the initial distribution, whatever its input. Prior: pseudo-counts as of fixed transitions,
seen at inputs of 0, and a standard normal density of every weight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cortseq.data import Params
from cortseq.models.hmm import tilt
from cortseq.observations.states import Block, Kept

if TYPE_CHECKING:
    from cortseq.models.hmm.em import Expected

_RIDGE = 1.0  # precision of the density of W
_STEPS = 2  # in an M-step


def steers(p: Params) -> bool:
    """Return whether the parameters of a member have transitions that inputs move."""
    return "transition_drive" in p


def tilts(p: Params, block: Block, precision: type = float) -> np.ndarray:
    """Return w_k(t) = exp(W_k . u_t), the largest of a bin being 1, (time, trial, state)."""
    assert block.inputs is not None
    w = tilt.tilts(block.inputs.astype(precision, copy=False), p["transition_drive"])[0]
    return w.reshape(*block.shape, -1)


def statistics(block: Block, gamma: np.ndarray) -> Params:
    """Return what the M-step needs beside expected moves, from p(s_t = k | all y) (time, trial, state).

    Returns
    -------
    total : (input, state), inputs summed over the bins that are entered in each state.
    bins : of each block, inputs of the bins that are entered (bin, input), and what is left (bin, state).
    """
    assert block.inputs is not None
    n = gamma.shape[-1]
    inside = (np.arange(1, len(gamma))[:, None] < block.length)[..., None]
    left, entered = ((g * inside).reshape(-1, n) for g in (gamma[:-1], gamma[1:]))
    u = block.inputs.reshape(*block.shape, -1)[1:].reshape(len(left), -1)
    u, left = u.astype(gamma.dtype, copy=False), left.astype(gamma.dtype, copy=False)
    return {"total": np.asarray(u.T @ entered, float), "bins": Kept([(u, left)])}


def expected(
    p: Params, block: Block, gamma: np.ndarray, belief: np.ndarray, ratio: np.ndarray
) -> tuple[np.ndarray, np.ndarray, Params]:
    """Return what expected moves are products of, and `statistics`.

    Parameters
    ----------
    gamma, belief, ratio : (time, trial, state), as of `em.smoothed`.

    Returns
    -------
    belief : (time, trial, state), divided by z of the next bin.
    ratio : (time, trial, state), times w of its own bin.
    """
    w = tilts(p, block, belief.dtype.type)
    z = w @ p["transition"].T.astype(w.dtype)
    before = belief.copy()
    before[:-1] /= z[1:]
    return before, ratio * w, statistics(block, gamma)


def maximise(chain: Params, moves: np.ndarray, e: Expected) -> Params:
    """Return transitions and W of a higher posterior density than those of `e.at`.

    Parameters
    ----------
    chain : initial distribution, and transitions to begin with where `e.at` has none.
    moves : (from, to), expected moves with their pseudo-counts.
    """
    n = len(moves)
    start = np.zeros((len(e.driven["total"]), n))
    at = {"transition": chain["transition"], "transition_drive": start} | e.at
    pseudo = moves.sum(1) - e.transition.sum(1)
    given = tilt.Weighed(moves, pseudo, e.driven["total"], list(e.driven["bins"]), _RIDGE, start)
    a, drive = tilt.ascend(at["transition"], at["transition_drive"], given, _STEPS)
    return {"transition": a, "transition_drive": drive}


def log_prior(p: Params) -> float:
    """Return the log density of W but for a constant; 0 where transitions are fixed."""
    return float(-0.5 * _RIDGE * (p["transition_drive"] ** 2).sum()) if steers(p) else 0.0


def ahead(p: Params, block: Block, belief: np.ndarray, h: int) -> np.ndarray:
    """Return p(s_t = k | y_0 .. y_{t-h}) and all inputs up to t, (time, trial, state); NaN for t < h - 1.

    Parameters
    ----------
    belief : (time, trial, state), p(s_t = k | y_<=t).
    h : bins ahead.
    """
    w = tilts(p, block)
    now = np.empty_like(belief)
    now[:1], now[1:] = p["initial"], _moved(p, belief[:-1], w[1:])
    for _ in range(h - 1):
        before, now = now, np.full_like(now, np.nan)
        now[1:] = _moved(p, before[:-1], w[1:])
    return now


def _moved(p: Params, belief: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Return the distribution of the next state, (..., state); w: tilts of the bin that is entered."""
    return np.asarray(w * ((belief / (w @ p["transition"].T)) @ p["transition"]))
