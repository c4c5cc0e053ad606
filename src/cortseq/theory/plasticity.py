"""Short-term plasticity of Tsodyks and Markram in closed form: steady states, filtering, trains of spikes.

Between spikes u returns to U with tau_fac and x to 1 with tau_rec. At a spike u is raised first, u <- u + U
(1 - u), then u x is released, x <- x (1 - u): a synapse at rest (u = U, x = 1) releases U + U (1 - U).
Averaged over a rate r, du/dt = (U - u)/tau_fac + U (1 - u) r and dx/dt = (1 - x)/tau_rec - u x r.
tau_fac=None: no facilitation, u = U always. Rates in Hz, times in s. Tsodyks, Pawelzik & Markram 1998, Neural
Comput 10:821 (whose u is 0 at rest, so that the first spike releases U); this form: Mongillo, Barak & Tsodyks
2008, Science 319:1543.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from cortseq.errors import CortseqError

_MOMENTS = 300  # at most: (1 - U)^300 is below 1e-9 for U > 0.07


class SteadyState(NamedTuple):
    """Steady state of a plastic synapse; release per spike is u x.

    Attributes
    ----------
    u : (rate,) fraction used.
    x : (rate,) fraction available.
    """

    u: np.ndarray
    x: np.ndarray


def stp_steady_state(rate_hz: ArrayLike, U: float, tau_fac: float | None, tau_rec: float) -> SteadyState:
    """Return u = U (1 + tau_fac r) / (1 + U tau_fac r) and x = 1 / (1 + u tau_rec r).

    Elementwise in the rate (Hz), of any shape; time constants in s.

    The rate equations at rest. Poisson spikes find u at exactly this mean, but release after raising it, from
    an x that is correlated with it: `stp_poisson` is exact.

    Raises
    ------
    CortseqError : U outside (0, 1], a negative time constant or rate.
    """
    r = _checked(rate_hz, U, tau_fac, tau_rec)
    fac = 0.0 if tau_fac is None else tau_fac
    u = U * (1 + fac * r) / (1 + U * fac * r)
    return SteadyState(u, 1 / (1 + u * tau_rec * r))


def stp_response(spike_times: ArrayLike, U: float, tau_fac: float | None, tau_rec: float) -> np.ndarray:
    """Return release u x at each spike of a synapse that starts at rest; (spike,).

    Raises
    ------
    CortseqError : times that are not ascending, U outside (0, 1], a negative time constant.
    """
    _checked(0.0, U, tau_fac, tau_rec)
    times = np.asarray(spike_times, float)
    if times.ndim != 1 or not np.isfinite(times).all() or (np.diff(times) < 0).any():
        raise CortseqError("spike times are one ascending row of finite numbers", key="spike_times")
    raised, x, release = 0.0 if tau_fac is None else U * (1 - U), 1.0, np.empty(len(times))
    kept, unfilled = (_decay(np.diff(times, prepend=-np.inf), tau) for tau in (tau_fac, tau_rec))
    for i in range(len(times)):
        if i:
            x = 1 - (1 - x * (1 - U - raised)) * unfilled[i]
            if tau_fac is not None:
                raised = (1 - U) * (U + raised * kept[i])
        release[i] = (U + raised) * x
    return release


def stp_train(rate_hz: ArrayLike, U: float, tau_fac: float | None, tau_rec: float) -> SteadyState:
    """Return u, raised, and x at a spike late in a regular train.

    u = U + (1 - U) U / (1 - (1 - U) f) and x = (1 - e) / (1 - (1 - u) e), f and e the decays of facilitation
    and depression within an interval. Elementwise in the rate (Hz), of any shape; time constants in s.
    """
    r = _checked(rate_hz, U, tau_fac, tau_rec)
    with np.errstate(divide="ignore"):
        interval = 1 / np.asarray(r)
    raised = np.zeros_like(r) if tau_fac is None else (1 - U) * U / (1 - (1 - U) * _decay(interval, tau_fac))
    u, e = U + raised, _decay(interval, tau_rec)
    return SteadyState(u, (1 - e) / (1 - (1 - u) * e))


def stp_poisson(rate_hz: ArrayLike, U: float, tau_fac: float | None, tau_rec: float) -> np.ndarray:
    """Mean release <u x> per spike of a stationary Poisson train: exact, with the correlation of u and x.

    With y = u - U of the raised u, y' = (1 - U) (U + f y) and x' = 1 - e + (1 - U - y) x e from spike to
    spike, so b_k = <y^k x> obeys a linear recursion in b_0 .. b_{k+1}; <f^j> = r / (r + j/tau_fac) and so on
    over exponential intervals. Row k carries (1 - U)^k, so the chain is cut where that is below rounding.

    Elementwise in the rate (Hz), of any shape; time constants in s.
    """
    rates = _checked(rate_hz, U, tau_fac, tau_rec)
    return np.asarray(
        np.vectorize(lambda r: _poisson(float(r), U, tau_fac, tau_rec), otypes=[float])(rates)[()]
    )


def _poisson(r: float, U: float, tau_fac: float | None, tau_rec: float) -> float:
    from scipy.special import comb

    if r == 0:
        return float(stp_train(r, U, tau_fac, tau_rec).u)
    if tau_fac is None or U == 1:
        return U / (1 + U * tau_rec * r)
    size = int(min(_MOMENTS, max(4, np.ceil(np.log(1e-16) / np.log1p(-U)))))
    j = np.arange(size)
    f = _laplace(r, j / tau_fac)
    e = np.zeros(size) if tau_rec == 0 else _laplace(r, j / tau_fac + 1 / tau_rec)
    powers = (1 - U) ** j[:, None] * comb(j[:, None], j) * U ** np.maximum(j[:, None] - j, 0)
    moments = np.ones(size)  # <y^k>
    for k in range(1, size):
        moments[k] = powers[k, :k] @ (f[:k] * moments[:k]) / (1 - powers[k, k] * f[k])
    used = (1 - U) * np.eye(size) - np.eye(size, k=1)  # (1 - U) b_j - b_{j+1}
    b = np.linalg.solve(np.eye(size) - (powers * e) @ used, powers @ ((f - e) * moments))
    return float(U * b[0] + b[1])


def stp_frequency_response(rate_hz: ArrayLike, U: float, tau_fac: float | None, tau_rec: float) -> np.ndarray:
    """Return transmission r u x (1/s) against the rate: it saturates at 1 / tau_rec.

    Elementwise in the rate (Hz), of any shape; time constants in s.
    """
    u, x = stp_steady_state(rate_hz, U, tau_fac, tau_rec)
    return np.asarray(np.asarray(rate_hz, float) * u * x)


def stp_peak_rate(U: float, tau_fac: float | None, tau_rec: float) -> float:
    """Return the rate (Hz) at which the release u x is largest.

    r = (sqrt(tau_fac (1 - U) / (U tau_rec)) - 1) / tau_fac.

    1/(u x) = 1/u + tau_rec r and d(1/u)/dr = -tau_fac (1 - U) / (U (1 + tau_fac r)^2). 0 where
    tau_fac (1 - U) <= U tau_rec: release only falls with the rate. Infinite without depression.
    """
    _checked(0.0, U, tau_fac, tau_rec)
    if tau_fac is None or U == 1:
        return 0.0
    if tau_rec == 0:
        return float("inf")
    return max(0.0, float((np.sqrt(tau_fac * (1 - U) / (U * tau_rec)) - 1) / tau_fac))


def stp_memory_rate(rate_hz: ArrayLike, U: float, tau_fac: float) -> np.ndarray:
    """Return the rate (1/s) at which u returns to its steady state, 1/tau_fac + U r.

    Its inverse is the span of a silent memory.

    Elementwise in the rate (Hz), of any shape.
    """
    return 1 / tau_fac + U * _checked(rate_hz, U, tau_fac, 0.0)


def _decay(interval: ArrayLike, tau: float | None) -> np.ndarray:
    return np.exp(-np.asarray(interval) / tau) if tau else np.zeros(np.shape(interval))


def _laplace(r: float, s: np.ndarray) -> np.ndarray:
    """Return <exp(-s interval)> of a Poisson process."""
    return r / (r + s)


def _checked(rate_hz: ArrayLike, U: float, tau_fac: float | None, tau_rec: float) -> np.ndarray:
    if not 0 < U <= 1:
        raise CortseqError("U lies in (0, 1]", key="U", value=U)
    if tau_fac is not None and not 0 < tau_fac < np.inf:
        raise CortseqError(
            "a time constant is > 0 s", key="tau_fac", value=tau_fac, fix="None: no facilitation"
        )
    if not 0 <= tau_rec < np.inf:
        raise CortseqError("a time constant is >= 0 s", key="tau_rec", value=tau_rec)
    rate = np.asarray(rate_hz, float)[()]
    if not (np.asarray(rate) >= 0).all():
        raise CortseqError("rates are >= 0 Hz", key="rate_hz")
    return rate
