"""Networks in which strong excitation and strong inhibition cancel: rates, balance and how fast they follow.

Populations of binary units, each with K inputs from every population b, of strength J_ab / sqrt(K), an
external input sqrt(K) E_a, a threshold, and a time constant tau. van Vreeswijk & Sompolinsky 1998, Neural
Comput 10:1321.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cortseq.errors import CortseqError
from cortseq.notebook import Shown

_NODES = 60


@dataclass(frozen=True, repr=False)
class BalancedState(Shown):
    """Stationary state of every population of a balanced network.

    Attributes
    ----------
    strengths : (population, population), from column to row.
    external : (population,) external input.
    rates : (population,) share of active units.
    mean : (population,) mean of the net input.
    sd : (population,) its standard deviation.
    index : (population,) balance index, the mean of |E + I| / (|E| + |I|).
    inputs : K, inputs of a unit from each population.
    """

    strengths: np.ndarray
    external: np.ndarray
    rates: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    index: np.ndarray
    inputs: int


def balanced_rates(strengths: ArrayLike, external: ArrayLike) -> np.ndarray:
    """Return m = -J^-1 E, the rates as K -> infinity.

    Linear in the external input, whatever the units' thresholds.

    Raises
    ------
    CortseqError : rates outside (0, 1): these strengths do not balance.
    """
    m = -np.linalg.solve(np.asarray(strengths, float), np.asarray(external, float))
    if not ((m > 0) & (m < 1)).all():
        raise CortseqError("these strengths do not balance", key="strengths", value=m.tolist())
    return m


def balanced_state(
    strengths: ArrayLike, external: ArrayLike, thresholds: ArrayLike, inputs: int
) -> BalancedState:
    """Return the stationary state at finite K, for inputs that are independent given their rates.

        m = Phi((u - threshold) / sqrt(alpha)),  u = sqrt(K) (J m + E),  alpha = J^2 m (1 - m)

    (exactly K partners each, so that only their states fluctuate).

    Parameters
    ----------
    strengths : (population, population) J, column = presynaptic, one sign each.
    external : (population,) E.
    thresholds : (population,).
    inputs : K.

    Raises
    ------
    CortseqError : strengths that do not balance, or no solution.
    """
    from scipy.optimize import root
    from scipy.special import expit, logit, ndtri

    j, e, threshold = (np.asarray(v, float) for v in (strengths, external, thresholds))

    def moments(m: np.ndarray) -> Any:
        return np.sqrt(inputs) * (j @ m + e), np.sqrt(j**2 @ (m * (1 - m)))

    def excess(logits: ArrayLike) -> Any:
        m = expit(logits)
        u, sd = moments(m)
        return (u - threshold - sd * ndtri(m)) / np.sqrt(inputs)

    found = root(excess, logit(balanced_rates(j, e)), tol=1e-12)
    if not found.success:
        raise CortseqError("no balanced state", key="inputs", value=inputs, fix="raise inputs")
    m = expit(found.x)
    u, sd = moments(m)
    return BalancedState(j, e, m, u, sd, _index(j, e, m, inputs), inputs)


def _index(j: np.ndarray, e: np.ndarray, m: np.ndarray, inputs: int) -> np.ndarray:
    """Return <|E + I| / (E - I)> over independent Gaussian currents E and I."""
    z, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    weights = weights / weights.sum()
    out = []
    for row, outside in zip(j, e, strict=True):
        means, variances = np.sqrt(inputs) * row * m, row**2 * m * (1 - m)
        plus, minus = row > 0, row < 0
        up = np.sqrt(inputs) * outside + means[plus].sum() + np.sqrt(variances[plus].sum()) * z[:, None]
        down = means[minus].sum() + np.sqrt(variances[minus].sum()) * z
        up, down = np.maximum(up, 0), np.minimum(down, 0)
        out.append(weights @ (np.abs(up + down) / np.maximum(up - down, 1e-12)) @ weights)
    return np.array(out)


def _response(state: BalancedState) -> tuple[np.ndarray, np.ndarray]:
    """Return dH/dm and dH/ds, H the stationary rate at an input E (1 + s)."""
    z = (state.mean - _threshold(state)) / state.sd
    slope = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) / state.sd
    by_mean = np.sqrt(state.inputs) * state.strengths
    by_variance = (z / (2 * state.sd))[:, None] * state.strengths**2 * (1 - 2 * state.rates)
    return slope[:, None] * (by_mean - by_variance), slope * np.sqrt(state.inputs) * state.external


def _threshold(state: BalancedState) -> np.ndarray:
    from scipy.special import ndtri

    return np.asarray(state.mean - state.sd * ndtri(state.rates))


def balanced_eigenvalues(state: BalancedState) -> np.ndarray:
    """Of -1 + dH/dm, per tau: units that are updated at random times relax with tau dm/dt = -m + H(m).

    Returns
    -------
    (population,) complex128, 1/tau.
    """
    return np.linalg.eigvals(_response(state)[0] - np.eye(len(state.rates)))


def balanced_lag(state: BalancedState, period: float, tau: float = 1.0) -> float:
    """Return the lag of the population behind a slow sine of its external input, in tau.

    (1 + i w tau - dH/dm) dm = dH/ds ds; lag = -arg(sum dm) / w for populations of one size. It falls as 1 /
    sqrt(K), the strength of the feedback.
    """
    w = 2 * np.pi / period
    jacobian, drive = _response(state)
    moved = np.linalg.solve((1 + 1j * w * tau) * np.eye(len(drive)) - jacobian, drive)
    return float(-np.angle(moved.sum()) / w)


def single_lag(period: float, tau: float = 1.0) -> float:
    """Return the same of a unit without partners, tau dm/dt = -m + s: atan(w tau) / w."""
    w = 2 * np.pi / period
    return float(np.arctan(w * tau) / w)


def coin_variation(rate: ArrayLike) -> np.ndarray:
    """Return sqrt(1 - p).

    Variation (sd / mean) of the intervals of a coin that is thrown once a time constant and comes up with
    probability p; the Fano factor of its counts is 1 - p. As irregular as spikes of that rate can be that
    have no memory; a clock has 0.

    Elementwise in the rate, of any shape, per time constant.
    """
    return np.asarray(np.sqrt(1 - np.asarray(rate, float)))
