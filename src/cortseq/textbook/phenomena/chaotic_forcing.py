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
from typing import Any

import numpy as np
import xarray as xr

from cortseq.checks import Check, near, phenomenon

_RATE = 5e-3  # of learning, at first
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
    from cortseq import recording as rec

    truth = lorenz_exponent(dt, exponent_steps, seed)
    every = max(1, round(np.log(2) / (truth * dt)))
    strategies = {
        "teacher": {"kind": "teacher"},
        "sparse": {"kind": "sparse", "every": every},
        "generalised": {"kind": "generalised", "alpha": alpha},
    }
    clean = lorenz(trials + trials // 4, bins, dt, seed)
    rng = np.random.default_rng([seed, 2])
    spread = clean.std((0, 1))
    noisy = rec.from_signal(clean + noise * spread * rng.normal(size=clean.shape), bin_width=dt)
    fits: dict[str, list[Any]] = {}
    for name, strategy in strategies.items():
        fits[name] = []
        for member in range(members):
            say(f"Lorenz system: {name}, member {member}")
            fits[name].append(fitted(noisy, trials, strategy, hidden, epochs, member, seed))
    say("exponents")
    exponents = np.array(
        [
            [closed_exponent(f, noisy, exponent_steps, seed) / dt for f in members_fits]
            for members_fits in fits.values()
        ]
    )
    runs = np.stack([free_run(members_fits[0], noisy, 1500) for members_fits in fits.values()])
    part = {
        "strategy": ("strategy", list(strategies)),
        "exponent": (("strategy", "member"), exponents, {"units": "nats per unit of time"}),
        "exponent_predicted": ((), truth, {"units": "nats per unit of time"}),
        "free_run": (("strategy", "step", "channel"), runs),
        "orbit": (("step", "channel"), lorenz(1, 1500, dt, seed + 1)[0]),
        "spread": ("strategy", (runs.std(1) / spread).mean(1)),
    }
    checks = [
        near(
            "largest exponent of the Lorenz system itself",
            0.9056,
            truth,
            0.03,
            "C25",
            f"Runge-Kutta, sampled at {dt:g}",
        )
    ]
    reached = f"{epochs} epochs, {members} members, dt {dt:g}, noise {noise:g} sd"
    for name, values in zip(strategies, exponents, strict=True):
        if name == "teacher":
            checks.append(
                Check(
                    f"{name}: largest exponent (median of members)",
                    truth,
                    np.median(values),
                    row="C45",
                    note=f"reported; {reached}",
                )
            )
        else:
            checks.append(
                near(
                    f"{name}: largest exponent (median of members)",
                    truth,
                    np.median(values),
                    0.1,
                    "C45",
                    reached,
                    relative=True,
                )
            )
    return phenomenon(part, CLAIM, checks, dt=dt, noise=noise)


def _speed(s):
    """Return dx/dt of the Lorenz system at sigma 10, rho 28, beta 8/3 of states (..., 3), numpy or torch."""
    x, y, z = s[..., 0], s[..., 1], s[..., 2]
    return 10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z


def step(s, dt: float, stack, parts: int = 3):
    """Return s(t + dt) by `parts` steps of Runge-Kutta of order 4.

    `stack`: of three arrays along the last axis.
    """
    h = dt / parts
    for _ in range(parts):
        a = stack(_speed(s))
        b = stack(_speed(s + h / 2 * a))
        c = stack(_speed(s + h / 2 * b))
        d = stack(_speed(s + h * c))
        s = s + h / 6 * (a + 2 * b + 2 * c + d)
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
    import torch

    from cortseq.dynamics import leading_exponents

    starts = lorenz(10, 1, dt, seed)[:, 0]

    def flow(s):
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
):
    """Return a rate network without a skip after `epochs` of Adam under one strategy.

    The last weights, where a `Model.fit` keeps those of the best validation: that is one step ahead with the
    recording as input, which is not what forcing trains, and picks some early epoch.
    """
    import torch

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
    flat = Flat(start, network.fixed, "cpu")
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
            bptt.gradient(engine, flat.p, batch)
            flat.gradient /= index.size * data.y.shape[1]
            torch.nn.utils.clip_grad_norm_([flat.values], training.clip)
            optimiser.step()
        schedule.step()
    return replace(fit, params=flat.unpacked(flat.values.detach()))


def closed_exponent(fit: Any, recording: xr.Dataset, n_steps: int, seed: int) -> float:
    """Largest exponent of the closed loop, nats per step, mean over starts on the recording's trials."""
    from cortseq.dynamics import leading_exponents

    states = fit.states(recording, range(min(_STARTS, recording.sizes["trial"])))[0, :, -1]
    return float(leading_exponents(fit.flow(0, "closed"), states, n_steps // len(states), 200, seed).mean())


def free_run(fit: Any, recording: xr.Dataset, n_steps: int) -> np.ndarray:
    """Return the closed loop's own signal from the end of a trial, (step, channel)."""
    import torch

    flow = fit.flow(0, "closed")
    state = torch.from_numpy(fit.states(recording, [0])[0, 0, -1])
    orbit = []
    with torch.no_grad():
        for _ in range(n_steps):
            orbit.append(state)
            state = flow(state)
    return fit.expected(torch.stack(orbit))
