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
import xarray as xr

from cortseq._lazy import lazy
from cortseq.checks import Check, near, phenomenon
from cortseq.theory import always_vanishes, forget_horizon, gradient_growth, mean_field_map

if TYPE_CHECKING:
    from cortseq import dynamics, models, recording
    from cortseq.compiled import threads
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
    with threads.single():
        lags = np.arange(longest + 1)
        say(f"gradients: products of {longest} Jacobians of {units} units, {len(gains)} gains")
        norms = np.stack([_norms(units, g, 0.0, lags, n_networks, seed) for g in gains]) / np.sqrt(units)
        predicted = np.stack([gradient_growth(mean_field_map(g).lyapunov, lags) for g in gains])
        say("gradients: slopes beside exponents, and driven networks")
        slopes = np.stack([_slope_and_exponent(orbit_units, g, orbit, n_networks, seed) for g in gains])
        noise_line = np.linspace(0, max(noises), 31)
        driven = np.stack([_exponents(units, noise_gain, noise, n_networks, seed) for noise in noises])
        bounded, ratio = _contracting(units, lags, seed)
        say(f"gradients: forget gates of {len(biases)} LSTMs")
        lstm = np.stack([_carousel(b, hidden, lstm_lags, seed) for b in biases])
        bias_line = np.linspace(min(biases), max(biases), 61)
        variables = {
            "norm": (("gain", "network", "lag"), norms),
            "norm_predicted": (("gain", "lag"), predicted),
            "slope": (("gain", "network"), slopes[:, 0], {"units": "1/step"}),
            "exponent": (("gain", "network"), slopes[:, 1], {"units": "1/step"}),
            "noise_line": ("noise_line", noise_line),
            "driven_predicted": (
                "noise_line",
                [mean_field_map(noise_gain, s).lyapunov for s in noise_line],
                {"units": "1/step"},
            ),
            "driven": (("noise", "network"), driven, {"units": "1/step"}),
            "contracting": (("sigma", "lag"), bounded),
            "contracting_bound": (("sigma", "lag"), [s**lags for s in SIGMAS]),
            "horizon": (("bias", "path"), lstm, {"units": "steps"}),
            "bias_line": ("bias_line", bias_line),
            "horizon_predicted": ("bias_line", forget_horizon(bias_line), {"units": "steps"}),
        }
        coords = {
            "gain": list(gains),
            "lag": ("lag", lags, {"units": "steps"}),
            "noise": list(noises),
            "sigma": list(SIGMAS),
            "bias": list(biases),
            "path": list(PATHS),
        }
        attrs = {
            "units": units,
            "orbit_units": orbit_units,
            "noise_gain": noise_gain,
            "lstm_lags": lstm_lags,
            "orbit": orbit,
        }
        found = xr.Dataset(variables, coords, attrs)
        checks = [*_checks(found), *_contraction_checks(ratio), *_lstm_checks(found, hidden, seed)]
        return phenomenon(variables, CLAIM, checks, coords, **attrs)


# -- tanh maps --------------------------------------------------------------------------------------------

SIGMAS = (0.5, 0.9)  # largest singular values of contracting networks


def _norms(n: int, gain: float, noise: float, lags, n_networks: int, seed: int) -> np.ndarray:
    """Return Frobenius norms of dh_t/dh_{t-k}, (network, lag)."""
    fit, made = untrained.driven_map_fit(n, gain, noise, (1, WARM_UP + len(lags)), n_networks, seed)
    return dynamics.gradient_norms(fit, made, lags, norm="frobenius")[:, 0]


def _exponents(n: int, gain: float, noise: float, n_networks: int, seed: int, steps: int = 400) -> np.ndarray:
    """Return largest exponents per step, (network,)."""
    fit, made = untrained.driven_map_fit(n, gain, noise, (1, steps), n_networks, seed)
    return dynamics.conditional_exponents(fit, made, seed=seed)[:, 0]


def _slope_and_exponent(n: int, gain: float, steps: int, n_networks: int, seed: int) -> np.ndarray:
    """Return slope of ln |dh_t/dh_{t-k}| over an orbit, and the exponent of the same orbit, (2, network)."""
    fit, made = untrained.driven_map_fit(n, gain, 0.0, (1, steps), n_networks, seed)
    lags = range(steps - steps // 4)  # the exponent counts the last three quarters
    norms = dynamics.gradient_norms(fit, made, lags)
    slope = (np.log(norms[:, 0, -1]) - np.log(norms[:, 0, 1])) / (lags[-1] - 1)
    return np.stack([slope, dynamics.conditional_exponents(fit, made, seed=seed)[:, 0]])


def _contracting(n: int, lags, seed: int) -> tuple[np.ndarray, float]:
    """Spectral norms with sigma_max(W) < 1, (sigma, lag), and the largest share of their bound sigma^k."""
    norms = []
    for sigma in SIGMAS:
        weights = np.random.default_rng([seed, n, 2]).normal(size=(n, n))
        weights *= sigma / np.linalg.norm(weights, 2)
        fit, made = untrained.driven_map_fit(
            n, 1.0, 0.3, (1, WARM_UP + len(lags)), 1, seed, recurrent=weights
        )
        norms.append(dynamics.gradient_norms(fit, made, lags)[0, 0])
        assert always_vanishes(sigma, 1.0)
    rows = np.array(norms)
    return rows, float((rows / np.array(SIGMAS)[:, None] ** lags).max())


# -- LSTM -------------------------------------------------------------------------------------------------

PATHS = ("direct, weights 0", "direct", "full")


def _lstm_fit(bias: float, hidden: int, steps: int, seed: int, silent: bool):
    """Return an LSTM with its start parameters on white input.

    `silent`: all weights 0, so that gates are constant.
    """
    rng = np.random.default_rng([seed, hidden, 3])
    made = recording.from_signal(rng.normal(size=(1, steps, 4)), bin_width=1.0)
    model = models.Lstm(hidden=hidden, forget_bias=bias, skip=False)
    zero = (
        {"recurrent": np.zeros((4 * hidden, hidden)), "input_weight": np.zeros((4 * hidden, 4))}
        if silent
        else {}
    )
    return untrained.untrained(model, made, 1, seed, **zero), made


def _carousel(bias: float, hidden: int, longest: int, seed: int) -> np.ndarray:
    """Return lags at which each of PATHS has fallen to 1/e, (path,), inf if it never does."""
    lags, steps, horizons = range(longest + 1), WARM_UP + longest, []
    for silent, path in (
        (True, dynamics.forget_path_norms),
        (False, dynamics.forget_path_norms),
        (False, dynamics.gradient_norms),
    ):
        fit, made = _lstm_fit(bias, hidden, steps, seed, silent)
        horizons.append(dynamics.gradient_reach(path(fit, made, lags), lags).horizon[0, 0])
    return np.array(horizons)


# -- checks -----------------------------------------------------------------------------------------------


def _checks(found: xr.Dataset) -> list[Check]:
    n, checks = found.attrs["units"], []
    steps = float(found["lag"][-1])
    for gain in found["gain"].values:
        chi = mean_field_map(float(gain)).chi
        growth = np.exp(
            2 * np.log(found["norm"].sel(gain=gain).isel(lag=-1)) / steps
        )  # of the square, per step
        note = "finite networks lie below mean-field theory" if gain > 1 else ""
        checks.append(
            near(
                f"growth of the squared norm per step, gain {gain:g}, N = {n}",
                chi,
                growth.mean(),
                0.05 + 3 / n,
                "C13",
                note,
                True,
            )
        )
        slope, exponent = (float(found[name].sel(gain=gain).mean()) for name in ("slope", "exponent"))
        within = 0.05 * abs(exponent) + 2 / found.attrs["orbit"]
        what = f"slope of ln norm beside the exponent of the same orbit, gain {gain:g} (1/step)"
        note = "5 %, and a prefactor that does not grow with the lag"
        checks.append(near(what, exponent, slope, within, "C14", note))
    gain = found.attrs["noise_gain"]
    for noise in found["noise"].values:
        predicted = mean_field_map(gain, float(noise)).lyapunov
        measured = float(found["driven"].sel(noise=noise).mean())
        what = f"exponent at gain {gain:g} (rho = {gain:g}), input sd {noise:g} (1/step)"
        # without input the bias of a finite network is that of its own fluctuations, of order 1/N
        checks.append(Check(what, predicted, measured, predicted - 0.02 - 15 / n, predicted + 0.03, "C14"))
    return checks


def _contraction_checks(ratio: float) -> list[Check]:
    what = "largest norm over its bound (sigma_max)^k, sigma_max < 1"
    return [Check(what, 1.0, ratio, high=1 + 1e-9, row="C14", note="a theorem: at most 1")]


def _lstm_checks(found: xr.Dataset, hidden: int, seed: int) -> list[Check]:
    checks = []
    for bias in found["bias"].values:
        measured = float(found["horizon"].sel(bias=bias, path=PATHS[0]))
        if np.isfinite(measured):
            what = f"horizon of the direct path, forget bias {bias:g} (steps)"
            checks.append(near(what, float(forget_horizon(bias)), measured, 1e-3, "C16", relative=True))
    lags = [0, 10, found.attrs["lstm_lags"]]
    fit, made = _lstm_fit(40.0, hidden, WARM_UP + lags[-1], seed, True)
    open_gate = dynamics.forget_path_norms(fit, made, lags)
    checks.append(near("direct path with f = 1, longest lag", 1.0, open_gate[0, 0, -1], 0.0, "C16"))
    both = found["horizon"].sel(bias=1.0) if 1.0 in found["bias"] else found["horizon"].isel(bias=0)
    ratio = float(both.sel(path="full") / both.sel(path="direct"))
    what = f"horizon of the whole Jacobian over that of the direct path, forget bias {float(both.bias):g}"
    checks.append(
        Check(what, 1.0, ratio, low=1.05, row="C16", note="1 is the textbook's claim: gates are paths, too")
    )
    return checks
