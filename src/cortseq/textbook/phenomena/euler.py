"""The Euler step between the rate equation and the network that is trained.

Order, low-pass filter, false instability.

Claim: h' = (1 - a) h + a phi(W h + U x + b), a = dt/tau, is Euler's step of tau dh/dt = -h + phi(W h + U x +
b): its error at a fixed time is of first order in dt, a = 1 is the vanilla network bit for bit, fixed points
do not depend on a, and the leak is a low-pass filter with half power at 1/(2 pi tau). Corrected where the
textbook is silent: stability is not kept. A mode lambda of the equation becomes 1 + dt lambda, so that a
damped oscillation turns unstable at dt > -2 Re(lambda)/|lambda|^2, where the network oscillates and the
equation rests. Exponential Euler, a = 1 - exp(-dt/tau), has the same order; it is exact for the leak alone.

Euler 1768; Hairer, Norsett & Wanner 1993, Solving ODEs I; Dormand & Prince 1980 (the reference); Certaine
1960 (exponential).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from cortseq import theory
from cortseq._lazy import lazy, xr
from cortseq.checks import Part, above, below, close, near, phenomenon, worst
from cortseq.theory import networks

if TYPE_CHECKING:
    import torch

    from cortseq import models
    from cortseq.compiled import threads
else:
    torch, models, threads = lazy("torch"), lazy("cortseq.models"), lazy("cortseq.compiled.threads")

CLAIM = (
    "the leaky network is Euler's step of the rate equation, of first order in dt, a low-pass filter with "
    "half power at "
    "1/(2 pi tau), vanilla at dt = tau; modes lambda turn unstable at dt > -2 Re(lambda)/|lambda|^2, the "
    "equation does not"
)
RULES = ("Euler", "exponential")


def measure(
    seed: int = 0,
    say: Callable[[str], Any] = print,
    units: int = 30,
    gain: float = 1.5,
    duration: float = 3.0,
    steps: Sequence[float] = (0.2, 0.1, 0.05, 0.025, 0.0125),
    tau: float = 0.1,
    filter_step: float = 0.1,
    frequencies: Sequence[float] = (0.1, 0.2, 0.5, 1.0, 1.6, 2.5, 5.0, 10.0, 20.0),
    mode: tuple[float, float] = (-0.1, 2.0),
    mode_steps: Sequence[float] = (0.01, 0.02, 0.04, 0.06, 0.08, 0.1),
) -> xr.Dataset:
    """Measure leaky networks (the project's `Rate`) beside the equation that they discretise.

    Parameters
    ----------
    units, gain, duration : (tau) steps : (dt/tau) of the random network whose error is measured.
    tau : (s) filter_step : (dt/tau) frequencies : (Hz) of the low-pass filter.
    mode, mode_steps : (dt/tau) real and imaginary part of lambda, in 1/tau.
    """
    with threads.single():
        parts = [
            _convergence(seed, units, gain, duration, steps),
            _fixed_point(seed, units, gain),
            _filter(tau, filter_step, np.asarray(frequencies)),
            _instability(mode, mode_steps),
        ]
        return phenomenon(CLAIM, [Part({}, coords={"rule": list(RULES)}), *parts], tau=tau)


# -- the network under test -------------------------------------------------------------------------------


def leaky_states(
    leak: float,
    weights: ArrayLike,
    drive: ArrayLike,
    start: ArrayLike,
    steps: int,
    nonlinearity: Literal["tanh", "relu"] = "tanh",
) -> np.ndarray:
    """Return states of the project's `Rate` cell, (step + 1, n), float64.

    Drive (n,) or (step, n) is U x + b of each step.
    """
    weights, start = np.asarray(weights, float), np.asarray(start, float)
    n = len(start)
    model = models.Rate(hidden=n, leak=float(leak), nonlinearity=nonlinearity)
    card = {"track": "signal", "observation": "gaussian", "n_features": n, "support": 0}
    network = model.network(card)  # what it would predict plays no part
    p = {
        "recurrent": torch.as_tensor(weights),
        "input_weight": torch.eye(n, dtype=torch.float64),
        "bias": torch.zeros(n, dtype=torch.float64),
        "start": torch.as_tensor(start),
    }
    x = torch.as_tensor(np.broadcast_to(np.asarray(drive, float), (steps, n)).copy())
    with torch.no_grad():  # the last bin's input moves no state that is returned
        return network.scan(p, torch.cat([x, x[:1]])[None], states=True)[0].numpy()


def _leak(step: float, rule: str) -> float:
    return step if rule == "Euler" else theory.exponential_leak(step, 1.0)


# -- order of convergence ---------------------------------------------------------------------------------


def _convergence(seed: int, n: int, gain: float, duration: float, steps: Sequence[float]) -> Part:
    rng = np.random.default_rng(seed)
    weights, drive, start = _network(seed, n, gain, rng)
    exact = theory.rate_equation(weights, drive, start, [0, duration])[-1]
    measured, predicted, slopes, checks = [], [], [], []
    for rule in RULES:
        errors = []
        for step in steps:
            states = leaky_states(_leak(step, rule), weights, drive, start, round(duration / step))
            errors.append(np.linalg.norm(states[-1] - exact))
        lead = theory.euler_error(weights, drive, start, [0, duration], exponential=rule != "Euler")[-1]
        measured.append(errors)
        predicted.append(np.linalg.norm(lead) * np.asarray(steps))
        slopes.append(np.polyfit(np.log(steps), np.log(errors), 1)[0])
        ratio = errors[-1] / predicted[-1][-1]
        checks.append(near(f"order of the error, {rule}", 1.0, slopes[-1], 0.1, "C10"))
        checks.append(near(f"error over its prediction at the smallest step, {rule}", 1.0, ratio, 0.1, "C10"))
    variables = {
        "error": (("rule", "step"), measured),
        "error_predicted": (("rule", "step"), predicted),
        "order": ("rule", slopes),
    }
    return Part(variables, checks, {"step": ("step", list(steps), {"units": "tau"})})


def _network(
    seed: int, n: int, gain: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return random weights (n, n), a constant drive (n,) and a start (n,)."""
    return networks.random_coupling(n, gain, seed), rng.normal(size=n) / 2, rng.normal(size=n)


def _fixed_point(seed: int, n: int, gain: float) -> Part:
    """Check that a fixed point of one leak is a fixed point of every leak."""
    weights, drive, start = _network(seed, n, gain, np.random.default_rng([seed, 1]))
    small = weights / (2 * gain)
    rest = leaky_states(0.3, small, drive, start, 400)[-1]
    moved = max(np.abs(leaky_states(a, small, drive, rest, 1)[-1] - rest).max() for a in (0.05, 0.5, 1.0))
    what = "how far a = .05, .5, 1 move the fixed point of a = .3"
    return Part({}, [below(what, 0, moved, 1e-12, "C10")])


# -- low-pass ---------------------------------------------------------------------------------------------


def _filter(tau: float, step: float, frequencies: np.ndarray) -> Part:
    """Measure one unit without recurrent weights; its rectifier is the identity on a positive drive."""
    dt = step * tau
    line = np.geomspace(frequencies[0], min(frequencies[-1], 0.5 / dt), 200)
    leaks = {rule: _leak(step, rule) for rule in RULES}
    response = np.array([[_response(a, dt, f) for f in frequencies] for a in leaks.values()])
    time = np.arange(0, 5 * tau + dt / 2, dt)
    pulse = np.zeros((len(time), 1))
    pulse[0] = 1 / step  # one bin of area tau
    decay = np.array(
        [leaky_states(a, [[0.0]], pulse, [0.0], len(time), "relu")[1:, 0] for a in leaks.values()]
    )
    of_map = [theory.leak_low_pass(line, a, dt) for a in leaks.values()]
    variables = {
        "response": (("rule", "frequency"), response),
        "response_predicted": ("frequency_line", theory.low_pass(line, tau)),
        "response_of_map": (("rule", "frequency_line"), of_map),
        "impulse": (("rule", "time"), decay),
        "impulse_predicted": ("time", np.exp(-time / tau)),
    }
    coords = {
        "frequency": ("frequency", frequencies, {"units": "Hz"}),
        "frequency_line": ("frequency_line", line, {"units": "Hz"}),
        "time": ("time", time, {"units": "s"}),
    }
    exact = np.array([theory.leak_low_pass(frequencies, a, dt) for a in leaks.values()])
    checks = [near("response over that of the map, worst", 1.0, worst(response / exact), 1e-6, "C11")]
    for (rule, a), ends in zip(leaks.items(), decay, strict=True):
        power = _response(a, dt, 1 / (2 * np.pi * tau)) ** 2
        what = f"power at 1/(2 pi tau), {rule}, dt = {step:g} tau"
        checks.append(near(what, 0.5, power, 0.5 * step, "C11"))
        gap = np.abs(ends / ends[0] - np.exp(-time / tau)).max()
        checks.append(below(f"impulse response against exp(-t/tau), {rule}", 0, gap, 0.5 * step, "C11"))
    return Part(variables, checks, coords)


def _response(leak: float, dt: float, frequency: float) -> float:
    """Amplitude that a leaky unit passes of a sine, by projection on whole periods after the transient."""
    settle = int(np.ceil(30 / leak))
    steps = round(max(1.0, np.ceil(200 * dt * frequency)) / (dt * frequency))  # near whole periods
    t = np.arange(settle + steps) * dt
    drive = 2 + np.sin(2 * np.pi * frequency * t)
    h = leaky_states(leak, [[0.0]], drive[:, None], [2.0], len(t), "relu")[1:, 0]
    basis = np.stack(
        [np.sin(2 * np.pi * frequency * t), np.cos(2 * np.pi * frequency * t), np.ones(len(t))], 1
    )
    fitted = np.linalg.lstsq(basis[settle:], h[settle:], rcond=None)[0]
    return float(np.hypot(*fitted[:2]))


# -- false instability ------------------------------------------------------------------------------------


def _instability(mode: tuple[float, float], steps: Sequence[float]) -> Part:
    """Measure two units with -1 + lambda(W) = the mode and its conjugate: their equation comes to rest."""
    real, imag = mode
    value, zero, start = complex(real, imag), np.zeros(2), [0.5, 0.0]
    weights = np.array([[1 + real, -imag], [imag, 1 + real]])
    threshold = theory.euler_largest_step([value])
    line = np.linspace(0, max(*steps, 2 * threshold), 101)
    growth = np.array([[_growth(_leak(a, rule), weights) for a in steps] for rule in RULES])
    # exponential: a leak 1 - exp(-dt/tau) in place of dt/tau
    predicted = [np.abs(theory.euler_eigenvalue(value, leaks)) for leaks in (line, -np.expm1(-line))]
    time = np.linspace(0, 60, 601)
    shown = {"exact": theory.rate_equation(weights, zero, start, time)[:, 0]}
    for factor in (0.8, 2.0):
        a = factor * threshold
        states = leaky_states(a, weights, zero, start, int(60 / a))[:, 0]
        shown[f"{factor:g} x threshold"] = np.interp(time, a * np.arange(len(states)), states)
    variables = {
        "growth": (("rule", "mode_step"), growth),
        "growth_predicted": (("rule", "step_line"), predicted),
        "threshold_predicted": ((), threshold, {"units": "tau"}),
        "orbit": (("run", "orbit_time"), list(shown.values())),
    }
    coords = {
        "mode_step": ("mode_step", list(steps), {"units": "tau"}),
        "step_line": ("step_line", line, {"units": "tau"}),
        "run": list(shown),
        "orbit_time": ("orbit_time", time, {"units": "tau"}),
    }
    gap = np.abs(growth[0] - np.abs(theory.euler_eigenvalue(value, np.asarray(steps)))).max()
    exact, under, over = (np.abs(x[-100:]).max() for x in shown.values())
    what = "late |h| at twice the threshold: an oscillation that the equation does not have"
    checks = [
        below("growth per step against |1 + dt lambda|, worst", 0, gap, 1e-6, "C22"),
        close("step at which the network turns unstable (tau)", threshold, _threshold(weights), 1e-3, "C22"),
        below("late |h| below the threshold", 0, under, 0.5, "C22"),
        below("late |h| of the equation", 0, exact, 0.01, "C22"),
        above(what, 0, over, 0.1, "C22", "predicted by the equation: 0; the network oscillates"),
    ]
    return Part(variables, checks, coords)


def _growth(leak: float, weights: np.ndarray, steps: int = 200) -> float:
    """Return growth per step of a small state."""
    states = leaky_states(leak, weights, np.zeros(len(weights)), [1e-9, 0.0], steps)
    return float((np.linalg.norm(states[-1]) / np.linalg.norm(states[0])) ** (1 / steps))


def _threshold(weights: np.ndarray) -> float:
    from scipy.optimize import brentq

    return float(brentq(lambda a: _growth(a, weights) - 1, 1e-4, 1.0, xtol=1e-9))
