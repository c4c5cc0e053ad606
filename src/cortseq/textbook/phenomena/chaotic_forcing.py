"""Learning a chaotic system from noisy observations: which forcing finds its largest exponent.

Teacher forcing on one step learns the next value and not the attractor; in a free run through a chaotic orbit
gradients explode. Sparse forcing puts the state back on the data once per ln 2 / lambda, generalised forcing
pulls it a little at every step, so that gradients reach as far as the orbit can be known. The measure is the
invariant one: the largest Lyapunov exponent of the fitted closed loop, .906 per unit of time for the Lorenz
system. Lorenz 1963, J Atmos Sci 20:130; Mikhaeil, Monfared & Durstewitz 2022, arXiv:2110.07238; Hess et al.
2023, arXiv:2306.04406.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import lazy, xr
from cortseq.checks import Check, Part, close, near, phenomenon, reported
from cortseq.theory.networks import runge_kutta

if TYPE_CHECKING:
    import torch

    from cortseq.models.base import Fit
else:
    torch = lazy("torch")

_RATE = 5e-3  # of learning, at first
KNOWN_EXPONENT = 0.9056  # nats per unit of time: Sprott 2003, Chaos and Time-Series Analysis, Oxford
_STARTS = 50  # orbits over which an exponent is averaged
CLAIM = (
    "Fitted to noisy data of the Lorenz system, sparse and generalised teacher forcing recover its largest "
    "exponent; "
    "one-step teacher forcing need not."
)


def measure(
    seed: int = 0,
    say: Callable[[str], Any] = print,
    epochs: int = 500,
    members: int = 1,
    hidden: int = 50,
    trials: int = 100,
    bins: int = 60,
    dt: float = 0.05,
    noise: float = 0.05,
    alpha: float = 0.2,
    exponent_steps: int = 20_000,
) -> xr.Dataset:
    """Measure what theory predicts of training on a chaotic system.

    Parameters
    ----------
    epochs, members, hidden : of each fit. trials of `bins` samples, dt apart (units of the Lorenz system's
        time), with white noise of a share `noise` of each channel's sd.
    alpha : of generalised forcing; sparse forcing comes every ln 2 / (lambda dt) samples.
    exponent_steps : over which exponents are averaged.
    """
    truth = lorenz_exponent(dt, exponent_steps, seed)
    every = max(1, round(np.log(2) / (truth * dt)))
    strategies = {
        "teacher": {"kind": "teacher"},
        "sparse": {"kind": "sparse", "every": every},
        "generalised": {"kind": "generalised", "alpha": alpha},
    }
    noisy, spread = _noisy(trials + trials // 4, bins, dt, noise, seed)
    fits: dict[str, list[Fit]] = {name: [] for name in strategies}
    for name, strategy in strategies.items():
        for member in range(members):
            say(f"Lorenz system: {name}, member {member}")
            fits[name].append(fitted(noisy, trials, strategy, hidden, epochs, member, seed))
    say("exponents")
    exponents = np.array(
        [[closed_exponent(f, noisy, exponent_steps, seed) / dt for f in some] for some in fits.values()]
    )
    runs = np.stack([free_run(some[0], noisy, 1500) for some in fits.values()])
    unit = {"units": "nats per unit of time"}
    variables = {
        "strategy": ("strategy", list(strategies)),
        "exponent": (("strategy", "member"), exponents, unit),
        "exponent_predicted": ((), truth, unit),
        "free_run": (("strategy", "step", "channel"), runs),
        "orbit": (("step", "channel"), lorenz(1, 1500, dt, seed + 1)[0]),
        "spread": ("strategy", (runs.std(1) / spread).mean(1)),
    }
    reached = f"{epochs} epochs, {members} members, dt {dt:g}, noise {noise:g} sd"
    checks = _checks(dict(zip(strategies, np.median(exponents, 1), strict=True)), truth, dt, reached)
    return phenomenon(CLAIM, [Part(variables, checks)], dt=dt, noise=noise)


def _noisy(trials: int, bins: int, dt: float, noise: float, seed: int) -> tuple[xr.Dataset, np.ndarray]:
    """Return a recording of noisy orbits, and the sd of each channel without noise, (3,)."""
    from cortseq import recording as rec

    clean = lorenz(trials, bins, dt, seed)
    spread = clean.std((0, 1))
    error = np.random.default_rng([seed, 2]).normal(size=clean.shape)
    return rec.from_signal(clean + noise * spread * error, bin_width=dt), spread


def _checks(medians: dict[str, float], truth: float, dt: float, reached: str) -> list[Check]:
    what = "largest exponent of the Lorenz system itself"
    checks = [near(what, KNOWN_EXPONENT, truth, 0.03, "C25", f"Runge-Kutta, sampled at {dt:g}")]
    for name, median in medians.items():
        what = f"{name}: largest exponent (median of members)"
        if name == "teacher":
            checks.append(reported(what, truth, median, "C45", f"reported; {reached}"))
        else:
            checks.append(close(what, truth, median, 0.1, "C45", reached))
    return checks


def _speed(s: Any) -> tuple[Any, Any, Any]:
    """Return dx/dt of the Lorenz system at sigma 10, rho 28, beta 8/3 of states (..., 3), numpy or torch."""
    x, y, z = s[..., 0], s[..., 1], s[..., 2]
    return 10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z


def step(s: Any, dt: float, stack: Callable[[tuple[Any, ...]], Any], parts: int = 3) -> Any:
    """Return s(t + dt) by `parts` steps of Runge-Kutta of order 4.

    `stack`: of three arrays along the last axis.
    """
    for _ in range(parts):
        s = runge_kutta(lambda x: stack(_speed(x)), s, dt / parts)
    return s


def lorenz(trials: int, bins: int, dt: float, seed: int) -> np.ndarray:
    """Return orbits on the attractor, (trial, time, 3)."""
    rng = np.random.default_rng([seed, 1])
    s = np.array([1.0, 1.0, 25.0]) + rng.normal(size=(trials, 3))
    out = []
    for _ in range(round(20 / dt) + bins):
        s = step(s, dt, lambda v: np.stack(v, -1))
        out.append(s)
    return np.stack(out[-bins:], 1)


def lorenz_exponent(dt: float, n_steps: int, seed: int) -> float:
    """Return largest exponent per unit of time of the map over dt."""
    from cortseq.dynamics import leading_exponents

    starts = lorenz(10, 1, dt, seed)[:, 0]

    def flow(s: torch.Tensor) -> torch.Tensor:
        return step(s, dt, lambda v: torch.stack(v, -1))

    found = leading_exponents(flow, starts, n_steps // _STARTS, 60, seed)
    return float(found.mean() / dt)


def fitted(
    recording: xr.Dataset,
    trials: int,
    strategy: dict[str, Any],
    hidden: int,
    epochs: int,
    member: int,
    seed: int,
) -> Fit:
    """Return a rate network without a skip after `epochs` of Adam under one strategy.

    The last weights, where a `Model.fit` keeps those of the best validation: that is one step ahead with the
    recording as input, which is not what forcing trains, and picks some early epoch.
    """
    from cortseq import models
    from cortseq.data import Data
    from cortseq.networks.training import bptt, engines, noise
    from cortseq.networks.training.flat import Flat

    model = models.Rate.model_validate(
        {
            "hidden": hidden,
            "epochs": 1,
            "strategy": strategy,
            "skip": False,
            "input_dropout": 0.0,
            "batch": 25,
        }
    )
    fit = model.fit(recording, range(trials), range(trials, recording.sizes["trial"]), seed=seed)
    data = Data.of(recording, range(trials))
    start = {k: v[[member]] for k, v in model.initial(data, member + 1, seed).items()}
    network, training = model.network(data), model.training
    flat = Flat([start], network.fixed, "cpu")
    flat.values.grad = flat.gradient
    forcing = None if strategy["kind"] == "teacher" else training.strategy
    engine = engines.choose(network, data, start, training, strategy=forcing)
    optimiser = torch.optim.Adam([flat.values], lr=_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs, 0.02 * _RATE)
    for epoch in range(1, epochs + 1):
        order = noise.order(seed, member, epoch, trials)
        for step, index in enumerate(np.array_split(order, max(1, trials // training.batch))):
            flat.gradient.zero_()
            batch = engine.batch(index[None], [noise.Draws(seed, member, epoch, step)], epoch / epochs)
            bptt.gradient(engine, flat.p[0], batch)
            flat.gradient /= index.size * data.y.shape[1]
            torch.nn.utils.clip_grad_norm_([flat.values], training.clip)
            optimiser.step()
        schedule.step()
    return replace(fit, params=flat.unpacked(flat.values.detach(), 0))


def closed_exponent(fit: Fit, recording: xr.Dataset, n_steps: int, seed: int) -> float:
    """Largest exponent of the closed loop, nats per step, mean over starts on the recording's trials."""
    from cortseq.dynamics import leading_exponents

    states = fit.states(recording, range(min(_STARTS, recording.sizes["trial"]))).values[0, :, -1]
    return float(leading_exponents(fit.flow(0, "closed"), states, n_steps // len(states), 200, seed).mean())


def free_run(fit: Fit, recording: xr.Dataset, n_steps: int) -> np.ndarray:
    """Return the closed loop's own signal from the end of a trial, (step, channel)."""
    flow = fit.flow(0, "closed")
    state = torch.from_numpy(fit.states(recording, [0]).values[0, 0, -1])
    orbit = []
    with torch.no_grad():
        for _ in range(n_steps):
            orbit.append(state)
            state = flow(state)
    return fit.expected(torch.stack(orbit))
