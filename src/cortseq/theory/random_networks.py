"""Mean-field theory of random tanh networks: variance, autocorrelation and largest Lyapunov exponent.

Sompolinsky, Crisanti & Sommers 1988, PRL 61:259; Molgedey, Schuchhardt & Schuster 1992, PRL 69:3717 (the
map). Averages are over Gaussian variables, by the trapezoidal rule: its error falls like exp(-2 pi d / h), d
the distance of the poles of tanh(sqrt(variance) z) from the real axis, where Gauss-Hermite quadrature
converges slowly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import Chebyshev, Legendre, legendre

from cortseq.errors import CortseqError
from cortseq.notebook import Drawn, Shown

_REACH = 8.5  # standard deviations: exp(-8.5^2 / 2) is rounding
_PSI = 18.0  # sech(18)^2 is rounding
_HALF = np.arccosh(2.0)  # sech is 1/2
_NEAR = 1e-4  # gain - 1 below which leading order is more accurate than cancelling quadrature
_STEP, _SHORTEST, _LONGEST = 0.05, 20.0, 2000.0  # of lags, in tau
_TERMS, _PAIR_TERMS = 512, 2048  # of a series, at most


@dataclass(frozen=True, repr=False)
class MeanField(Drawn):
    """Mean-field state of dx/dt = -x + J tanh(x), J_ij ~ N(0, gain^2/N).

    Attributes
    ----------
    gain : standard deviation of J times sqrt(N).
    variance : <x^2> = Delta(0).
    q : <tanh(x)^2>.
    lags : (lag,) tau.
    autocorrelation : (lag,) Delta(lag) = <x(t) x(t + lag)>.
    half_width : lag (tau) at which it is halved.
    lyapunov : largest exponent, nats per tau.
    """

    gain: float
    variance: float
    q: float
    lags: np.ndarray
    autocorrelation: np.ndarray
    half_width: float
    lyapunov: float


@dataclass(frozen=True, repr=False)
class MeanFieldMap(Shown):
    """Mean-field state of the map h' = tanh(J h + noise z).

    Attributes
    ----------
    gain : standard deviation of J times sqrt(N).
    variance : Delta, of the whole input.
    q : <h^2>.
    chi : gain^2 <tanh'^2>, growth of a squared perturbation in a step.
    lyapunov : ln(chi) / 2, nats per step.
    """

    gain: float
    variance: float
    q: float
    chi: float
    lyapunov: float


def mean_field(gain: float) -> MeanField:
    """Return the stationary state of dx/dt = -x + J tanh(x), J_ij ~ N(0, gain^2/N).

    In the limit N -> infinity, time in units of tau.

    The autocorrelation Delta(t) moves like a particle, Delta'' = -dV/dDelta = Delta - gain^2 C(Delta, Delta0)
    with C = <tanh(x) tanh(y)> for x, y of variance Delta0 and covariance Delta. It starts at rest and comes
    to rest at 0: Delta0^2 / 2 = gain^2 Var ln cosh(x). The largest exponent is -1 + sqrt(1 - E0), E0 the
    ground state of -d^2/dt^2 + 1 - gain^2 <tanh'(x) tanh'(y)>. Gain <= 1: the network is silent, exponent
    gain - 1.

    All numbers within 1e-6, relative or absolute, whichever is larger: at gains 1.05, 3 and 6 finer
    quadrature and a longer range change them by less than 1e-8, at gain 2 independent solutions agree to
    2e-7. As gain -> 1 time scales grow like 1/(gain - 1): below gain = 1.0001 leading order is returned
    (variance gain - 1, exponent (gain - 1)^2 / 2), with relative errors of order gain - 1. Lags reach 20 tau,
    or further where the autocorrelation is slower, to 2000 tau at most. Cost grows with
    the gain up to about 50 and is the same beyond.

    Raises
    ------
    CortseqError : a gain that is negative or not finite.
    """
    _check(gain)
    if gain <= 1:
        lags = _lags(_SHORTEST)
        return MeanField(gain, 0.0, 0.0, lags, np.zeros_like(lags), np.nan, gain - 1.0)
    if gain - 1 < _NEAR:
        return _critical(gain)
    variance = _variance(gain)
    orbit = _Orbit(gain, variance)
    q, lags, half_width = float(orbit.covariance(1.0)), _lags(orbit.time(12.0)), float(orbit.time(_HALF))
    return MeanField(gain, variance, q, lags, orbit.autocorrelation(lags), half_width, _exponent(orbit))


def mean_field_map(gain: float, noise: float = 0.0) -> MeanFieldMap:
    """Return the stationary state of h' = tanh(J h + noise z), J_ij ~ N(0, gain^2/N), z white, N -> infinity.

    Delta = gain^2 q + noise^2, q = <tanh(x)^2>, x ~ N(0, Delta); chi = gain^2 <tanh'(x)^2>; lyapunov =
    ln(chi) / 2 per step. Without noise and gain <= 1: 0, 0, gain^2, ln(gain). Input pushes units to where
    tanh' is small, so that noise above some level suppresses chaos at any gain (Molgedey et al. 1992). Errors
    below 1e-10.

    Raises
    ------
    CortseqError : a gain or noise that is negative or not finite.
    """
    from scipy.optimize import brentq

    _check(gain)
    _check(noise, "noise")
    if gain <= 1 and not noise:
        with np.errstate(divide="ignore"):
            return MeanFieldMap(gain, 0.0, 0.0, gain**2, float(np.log(gain)))
    variance = brentq(
        lambda v: (gain**2 * _average(lambda x: np.tanh(x) ** 2, v) + noise**2) / v - 1,
        noise**2 or 1e-2 * (gain - 1),
        gain**2 + noise**2,
        xtol=1e-15,
        rtol=1e-14,
    )
    q = _average(lambda x: np.tanh(x) ** 2, variance)
    chi = gain**2 * _average(lambda x: np.cosh(np.minimum(x, 300)) ** -4.0, variance)
    with np.errstate(divide="ignore"):
        return MeanFieldMap(gain, variance, q, chi, float(np.log(chi) / 2))


def _check(value: float, name: str = "gain") -> None:
    if not (np.isfinite(value) and value >= 0):
        raise CortseqError(f"a {name} is a finite number >= 0", key=name, value=value)


def _lags(reach: float) -> np.ndarray:
    return np.arange(int(np.ceil(min(max(reach, _SHORTEST), _LONGEST) / _STEP)) + 1) * _STEP


def _critical(gain: float) -> MeanField:
    """Return leading order in e = gain - 1.

    Delta'' = (e^2/3) Delta - (2/3) Delta^3, so Delta = e sech(e t / sqrt 3), and the ground state in the well
    e^2/3 - 2 Delta^2 is -e^2.
    """
    e = gain - 1
    lags = _lags(_LONGEST)
    q = _average(lambda x: np.tanh(x) ** 2, e)
    slow = np.sqrt(3) / e
    return MeanField(gain, e, q, lags, e / np.cosh(lags / slow), float(slow * _HALF), e**2 / 2)


# ------------------------------------------------------------------------------------- Gaussian averages


def _half_line(scale: float, finer: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes z >= 0 and weights for averages over N(0, 1) of even functions of tanh(scale z)."""
    h = min(0.5, 0.3 / scale) / finer
    z = np.arange(int(_REACH / h) + 1) * h
    weights = np.exp(-(z**2) / 2)
    weights[0] /= 2
    return z, weights / weights.sum()


def _average(f: Callable[[np.ndarray], np.ndarray], variance: float) -> float:
    """Return <f(x)>, x ~ N(0, variance), f even."""
    z, weights = _half_line(np.sqrt(variance))
    return float(weights @ f(np.sqrt(variance) * z))


def _within(sd: float, finer: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes u >= 0 and weights for averages over u ~ N(0, sd^2) of even functions that end at _PSI."""
    h = min(0.5 * sd, 0.3) / finer
    u = np.arange(int(min(_REACH * sd, _PSI) / h) + 1) * h
    weights = np.exp(-((u / sd) ** 2) / 2) * h * np.sqrt(2 / np.pi) / sd
    weights[0] /= 2
    return u, weights


def _pair_slope(variance: float, correlation: np.ndarray, finer: float = 1.0) -> np.ndarray:
    """Return <tanh'(x) tanh'(y)> at each correlation (n,); x, y = u +- v with independent u and v.

    tanh'(u + v) tanh'(u - v) = (2 / (cosh 2u + cosh 2v))^2 is negligible beyond |u| or |v| = _PSI, so that
    the cost does not grow with the variance.
    """
    out = []
    for rho in correlation:
        u, of_u = _within(np.sqrt(variance * (1 + rho) / 2), finer)
        v, of_v = _within(np.sqrt(variance * (1 - rho) / 2), finer)
        both = 2 / (np.cosh(2 * u)[:, None] + np.cosh(2 * v))
        out.append(of_u @ both**2 @ of_v)
    return np.array(out)


def _ln_cosh(x: np.ndarray) -> np.ndarray:
    x = np.abs(x)
    return np.asarray(
        np.where(
            x < 1, np.log1p(np.sinh(np.minimum(x, 1)) ** 2) / 2, x + np.log1p(np.exp(-2 * x)) - np.log(2)
        )
    )


def _variance(gain: float) -> float:
    """Return Delta0 > 0 with Delta0^2 / 2 = gain^2 Var ln cosh(x)."""
    from scipy.optimize import brentq

    def excess(variance: float) -> float:
        mean = _average(_ln_cosh, variance)
        return 1 - 2 * gain**2 * _average(lambda x: (_ln_cosh(x) - mean) ** 2, variance) / variance**2

    return float(brentq(excess, 1e-2 * (gain - 1), 2 * gain**2, xtol=1e-15, rtol=1e-14))


# ------------------------------------------------------------------------------------- the orbit


def _slope(variance: float) -> Chebyshev:
    """Return <tanh'(x) tanh'(y)> as a Chebyshev series in the correlation, which is even."""
    terms = 32
    while True:
        angles = (np.arange(terms) + 0.5) * np.pi / (2 * terms)
        even = 2 * np.arange(terms)
        series = 2 / terms * np.cos(np.outer(even, angles)) @ _pair_slope(variance, np.cos(angles))
        series[0] /= 2
        if _converged(series, 1e-13) or terms >= _PAIR_TERMS:
            return Chebyshev(np.stack([series, np.zeros(terms)], 1).ravel())
        terms *= 2


def _converged(series: np.ndarray, tolerance: float) -> bool:
    return bool(np.abs(series[-len(series) // 8 :]).max() < tolerance * np.abs(series).max())


class _Orbit:
    """The particle's path as Delta = Delta0 sech(psi): dt/dpsi is smooth, bounded and never 0."""

    def __init__(self, gain: float, variance: float) -> None:
        self.gain, self.variance = gain, variance
        self.slope = _slope(variance)
        self.covariance = variance * self.slope.integ(lbnd=0)  # <tanh(x) tanh(y)>, by Price's theorem
        terms, rounding = 64, 1e-15 / (gain - 1) ** 2  # both sides of the force nearly cancel close to gain 1
        while True:
            psi, weights = legendre.leggauss(2 * terms)
            polynomials = legendre.legvander(psi, terms - 1) * (np.arange(terms) + 0.5)
            series = (weights * self.speed(_PSI / 2 * (psi + 1))) @ polynomials
            if _converged(series, max(1e-11, rounding)) or terms >= _TERMS:
                break
            terms *= 2
        time = Legendre(series, domain=[0, _PSI]).integ()
        self.time = time - time(0)

    def speed(self, psi: np.ndarray) -> np.ndarray:
        """Return dt/dpsi = |dDelta/dpsi| / sqrt(2 U).

        U is the integral of Delta - gain^2 C from 0 to Delta, which is minus that to Delta0.

        U has a double zero at Delta = 0 and a simple one at Delta0; each is divided out where it is near.
        """
        x, weights = legendre.leggauss(64)
        x, weights = (x + 1) / 2, weights / 2
        rho = 1 / np.cosh(psi)[:, None]
        outer = -(self._force(1 - (1 - rho) * x**2) * 2 * x) @ weights  # U / (Delta0 (1 - rho))
        inner = (self._force(rho * x) / rho) @ weights  # U / (Delta0 rho^2)
        with np.errstate(invalid="ignore"):
            start = np.cosh(psi / 2) / np.cosh(psi) ** 1.5 / np.sqrt(outer)
            end = np.tanh(psi) / np.sqrt(2 * inner)
        return np.asarray(np.sqrt(self.variance) * np.where(psi < 1, start, end))

    def _force(self, rho: np.ndarray) -> np.ndarray:
        return self.variance * rho - self.gain**2 * self.covariance(rho)

    def autocorrelation(self, lags: np.ndarray) -> np.ndarray:
        """Return Delta at each lag: Newton's method on time(psi), whose slope is known and hardly varies."""
        grid = np.linspace(0, _PSI, 400)
        psi = np.interp(lags, self.time(grid), grid)
        for _ in range(4):
            psi = np.clip(psi - (self.time(psi) - lags) / self.time.deriv()(psi), 0, _PSI)
        beyond = (lags - self.time(_PSI)) / self.time.deriv()(_PSI)
        return self.variance / np.cosh(np.where(beyond > 0, _PSI + beyond, psi))


def _exponent(orbit: _Orbit) -> float:
    """-1 + sqrt(1 - E0): Ritz values of int v'^2 + Q v^2 dt over int v^2 dt with Legendre polynomials in psi.

    The ground state is even, so that half the line is enough; v' = 0 at t = 0 is the natural boundary
    condition.
    """
    from scipy.linalg import eigh

    terms, last = 64, np.inf
    while True:
        x, weights = legendre.leggauss(4 * terms)
        psi, weights = _PSI / 2 * (x + 1), weights * _PSI / 2
        scale = np.sqrt(np.arange(terms) + 0.5)
        v = legendre.legvander(x, terms - 1) * scale
        dv = legendre.legval(x, legendre.legder(np.diag(scale))).T * 2 / _PSI
        speed = orbit.speed(psi)
        well = 1 - orbit.gain**2 * orbit.slope(1 / np.cosh(psi))
        energy = (dv.T * (weights / speed)) @ dv + (v.T * (weights * speed * well)) @ v
        ground = eigh(energy, (v.T * (weights * speed)) @ v, eigvals_only=True, subset_by_index=[0, 0])[0]
        if abs(last - ground) < 1e-10 * max(1, abs(ground)) or terms >= _TERMS:
            return float(np.sqrt(1 - ground) - 1)
        terms, last = 2 * terms, ground
