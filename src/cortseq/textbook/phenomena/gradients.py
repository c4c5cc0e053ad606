"""Vanishing and exploding gradients without learning.

Jacobian products against lag, and the constant error carousel.

Claim, corrected: dh_t/dh_{t-k} grows or shrinks as exp(lambda k), lambda the largest Lyapunov exponent along
the orbit. For h' = tanh(J h + x) with J_ij ~ N(0, g^2/N) mean-field theory gives |dh_t/dh_{t-k}|_F = sqrt(N)
chi^(k/2), lambda = ln(chi)/2. sigma_max(W) max phi' < 1 suffices for vanishing; above 1, and at a spectral
radius above 1, nothing follows: input that pushes units to where tanh' is small makes gradients of a network
with rho(W) = 2 vanish. The textbook says "explodes". In an LSTM only the direct path from c to c is the
product of forget gates, with horizon -1/ln sigmoid(b); the whole Jacobian also has paths through the gates
and through h, and may be far larger.

Bengio, Simard & Frasconi 1994, IEEE Trans Neural Netw 5:157; Pascanu, Mikolov & Bengio 2013; Molgedey,
Schuchhardt & Schuster 1992, PRL 69:3717; Hochreiter & Schmidhuber 1997, Neural Comput 9:1735; Gers,
Schmidhuber & Cummins 2000.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import lazy, xr
from cortseq.checks import Check, Part, above, below, close, near, phenomenon
from cortseq.theory import forget_horizon, gradient_growth, mean_field_map

if TYPE_CHECKING:
    from cortseq import dynamics, models, recording
    from cortseq.compiled import threads
    from cortseq.models import base
    from cortseq.networks import untrained
else:
    untrained = lazy("cortseq.networks.untrained")
    dynamics, models, recording = (lazy(f"cortseq.{name}") for name in ("dynamics", "models", "recording"))
    threads = lazy("cortseq.compiled.threads")

CLAIM = (
    "|dh_t/dh_{t-k}| changes as exp(lambda k), lambda the largest Lyapunov exponent along the orbit: it "
    "vanishes where "
    "sigma_max(W) max phi' < 1, and may vanish or explode above; an LSTM's forget gates set the direct "
    "path only"
)
WARM_UP = 100  # steps before the first that counts


def measure(
    seed: int = 0,
    say: Callable[[str], Any] = print,
    gains: Sequence[float] = (0.7, 0.9, 1.5, 2.0),
    units: int = 300,
    n_networks: int = 4,
    longest: int = 20,
    noises: Sequence[float] = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0),
    noise_gain: float = 2.0,
    orbit: int = 800,
    orbit_units: int = 60,
    biases: Sequence[float] = (-1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0),
    hidden: int = 16,
    lstm_lags: int = 400,
) -> xr.Dataset:
    """Measure products of Jacobians of random tanh maps and of LSTMs.

    Free, driven and contracting maps.

    units, longest : of the products against lag. noise : standard deviation of white input to every unit, at
    `noise_gain`.
    orbit, orbit_units : steps and units of the orbits whose slope is compared with the exponent. biases : of
    forget gates.
    hidden, lstm_lags : units of the LSTM, and the longest lag.
    """
    lags = np.arange(longest + 1)
    with threads.single():
        say(f"gradients: products of {longest} Jacobians of {units} units, {len(gains)} gains")
        parts = [_products(gains, units, lags, n_networks, seed)]
        say("gradients: slopes beside exponents, and driven networks")
        parts.append(_orbits(gains, orbit_units, orbit, n_networks, seed))
        parts.append(_driven(noises, noise_gain, units, n_networks, seed))
        parts.append(_contracting(units, lags, seed))
        say(f"gradients: forget gates of {len(biases)} LSTMs")
        parts.append(_horizons(biases, hidden, lstm_lags, seed))
        attrs = {"units": units, "orbit_units": orbit_units, "orbit": orbit}
        return phenomenon(CLAIM, parts, noise_gain=noise_gain, lstm_lags=lstm_lags, **attrs)


# -- tanh maps --------------------------------------------------------------------------------------------

SIGMAS = (0.5, 0.9)  # largest singular values of contracting networks


def _products(gains: Sequence[float], n: int, lags: np.ndarray, n_networks: int, seed: int) -> Part:
    """Compare the growth of Jacobian products with mean-field theory."""
    norms = np.stack([_norms(n, g, 0.0, lags, n_networks, seed) for g in gains]) / np.sqrt(n)
    theory = [mean_field_map(float(g)) for g in gains]
    predicted = np.stack([gradient_growth(m.lyapunov, lags) for m in theory])
    checks = []
    for gain, expected, norm in zip(gains, theory, norms[..., -1], strict=True):
        growth = np.exp(2 * np.log(norm) / lags[-1]).mean()
        note = "finite networks lie below mean-field theory" if gain > 1 else ""
        what = f"growth of the squared norm per step, gain {gain:g}, N = {n}"
        checks.append(close(what, expected.chi, growth, 0.05 + 3 / n, "C13", note))
    variables = {"norm": (("gain", "network", "lag"), norms), "norm_predicted": (("gain", "lag"), predicted)}
    return Part(variables, checks, {"gain": list(gains), "lag": ("lag", lags, {"units": "steps"})})


def _norms(n: int, gain: float, noise: float, lags: np.ndarray, n_networks: int, seed: int) -> np.ndarray:
    """Return Frobenius norms of dh_t/dh_{t-k}, (network, lag)."""
    fit, made = untrained.driven_map_fit(n, gain, noise, (1, WARM_UP + len(lags)), n_networks, seed)
    return dynamics.gradient_norms(fit, made, list(lags), norm="frobenius")[:, 0]


def _exponents(n: int, gain: float, noise: float, n_networks: int, seed: int, steps: int = 400) -> np.ndarray:
    """Return largest exponents per step, (network,)."""
    fit, made = untrained.driven_map_fit(n, gain, noise, (1, steps), n_networks, seed)
    return dynamics.conditional_exponents(fit, made, seed=seed)[:, 0]


def _orbits(gains: Sequence[float], n: int, steps: int, n_networks: int, seed: int) -> Part:
    """Compare the slope of ln |dh_t/dh_{t-k}| with the exponent of the same orbit."""
    slopes = np.stack([_slope_and_exponent(n, g, steps, n_networks, seed) for g in gains])
    note = "5 %, and a prefactor that does not grow with the lag"
    checks = []
    for gain, (slope, exponent) in zip(gains, slopes.mean(-1), strict=True):
        what = f"slope of ln norm beside the exponent of the same orbit, gain {gain:g} (1/step)"
        checks.append(near(what, exponent, slope, 0.05 * abs(exponent) + 2 / steps, "C14", note))
    dims, unit = ("gain", "network"), {"units": "1/step"}
    return Part({"slope": (dims, slopes[:, 0], unit), "exponent": (dims, slopes[:, 1], unit)}, checks)


def _slope_and_exponent(n: int, gain: float, steps: int, n_networks: int, seed: int) -> np.ndarray:
    """Return slope of ln |dh_t/dh_{t-k}| over an orbit, and the exponent of the same orbit, (2, network)."""
    fit, made = untrained.driven_map_fit(n, gain, 0.0, (1, steps), n_networks, seed)
    lags = range(steps - steps // 4)  # the exponent counts the last three quarters
    norms = dynamics.gradient_norms(fit, made, lags)
    slope = (np.log(norms[:, 0, -1]) - np.log(norms[:, 0, 1])) / (lags[-1] - 1)
    return np.stack([slope, dynamics.conditional_exponents(fit, made, seed=seed)[:, 0]])


def _driven(noises: Sequence[float], gain: float, n: int, n_networks: int, seed: int) -> Part:
    """Compare exponents of networks under white input of each sd with mean-field theory."""
    line = np.linspace(0, max(noises), 31)
    found = np.stack([_exponents(n, gain, noise, n_networks, seed) for noise in noises])
    unit = {"units": "1/step"}
    variables = {
        "noise_line": ("noise_line", line),
        "driven_predicted": ("noise_line", [mean_field_map(gain, s).lyapunov for s in line], unit),
        "driven": (("noise", "network"), found, unit),
    }
    checks = []
    for noise, measured in zip(noises, found.mean(-1), strict=True):
        predicted = mean_field_map(gain, float(noise)).lyapunov
        what = f"exponent at gain {gain:g} (rho = {gain:g}), input sd {noise:g} (1/step)"
        # without input the bias of a finite network is that of its own fluctuations, of order 1/N
        checks.append(Check(what, predicted, measured, predicted - 0.02 - 15 / n, predicted + 0.03, "C14"))
    return Part(variables, checks, {"noise": list(noises)})


def _contracting(n: int, lags: np.ndarray, seed: int) -> Part:
    """Measure spectral norms of dh_t/dh_{t-k} with sigma_max(W) < 1."""
    norms = []
    for sigma in SIGMAS:
        weights = np.random.default_rng([seed, n, 2]).normal(size=(n, n))
        weights *= sigma / np.linalg.norm(weights, 2)
        shape = (1, WARM_UP + len(lags))
        fit, made = untrained.driven_map_fit(n, 1.0, 0.3, shape, 1, seed, recurrent=weights)
        norms.append(dynamics.gradient_norms(fit, made, list(lags))[0, 0])
    bounds = [s**lags for s in SIGMAS]
    what = "largest norm over its bound (sigma_max)^k, sigma_max < 1"
    ratio = (np.array(norms) / bounds).max()
    variables = {"contracting": (("sigma", "lag"), norms), "contracting_bound": (("sigma", "lag"), bounds)}
    checks = [below(what, 1.0, ratio, 1 + 1e-9, "C14", "a theorem: at most 1")]
    return Part(variables, checks, {"sigma": list(SIGMAS)})


# -- LSTM -------------------------------------------------------------------------------------------------

PATHS = ("direct, weights 0", "direct", "full")


def _horizons(biases: Sequence[float], hidden: int, longest: int, seed: int) -> Part:
    """Compare horizons of LSTMs with theory at each bias of the forget gates."""
    found = np.stack([_carousel(b, hidden, longest, seed) for b in biases])
    line = np.linspace(min(biases), max(biases), 61)
    unit = {"units": "steps"}
    variables = {
        "horizon": (("bias", "path"), found, unit),
        "bias_line": ("bias_line", line),
        "horizon_predicted": ("bias_line", forget_horizon(line), unit),
    }
    checks = []
    for bias, measured in zip(biases, found[:, 0], strict=True):
        if np.isfinite(measured):
            what = f"horizon of the direct path, forget bias {bias:g} (steps)"
            checks.append(close(what, float(forget_horizon(bias)), measured, 1e-3, "C16"))
    at = list(biases).index(1.0) if 1.0 in biases else 0
    _, direct, full = found[at]
    what = f"horizon of the whole Jacobian over that of the direct path, forget bias {biases[at]:g}"
    note = "1 is the textbook's claim: gates are paths, too"
    checks.append(above(what, 1.0, full / direct, 1.05, "C16", note))
    return Part(variables, checks, {"bias": list(biases), "path": list(PATHS)})


def _lstm_fit(bias: float, hidden: int, steps: int, seed: int, silent: bool) -> tuple[base.Fit, xr.Dataset]:
    """Return an LSTM with its start parameters on white input.

    `silent`: all weights 0, so that gates are constant.
    """
    rng = np.random.default_rng([seed, hidden, 3])
    made = recording.from_signal(rng.normal(size=(1, steps, 4)), bin_width=1.0)
    model = models.Lstm(hidden=hidden, forget_bias=bias, skip=False)
    zero = {"recurrent": np.zeros((4 * hidden, hidden)), "input_weight": np.zeros((4 * hidden, 4))}
    return untrained.untrained(model, made, 1, seed, **(zero if silent else {})), made


def _carousel(bias: float, hidden: int, longest: int, seed: int) -> np.ndarray:
    """Return lags at which each of PATHS has fallen to 1/e, (path,), inf if it never does."""
    lags, steps, horizons = range(longest + 1), WARM_UP + longest, []
    direct, full = dynamics.forget_path_norms, dynamics.gradient_norms
    for silent, path in ((True, direct), (False, direct), (False, full)):
        fit, made = _lstm_fit(bias, hidden, steps, seed, silent)
        horizons.append(dynamics.gradient_reach(path(fit, made, lags), lags).horizon[0, 0])
    return np.array(horizons)
