"""Short-term plasticity: what a synapse passes on at each rate, and a memory that no spike shows.

1. Facilitation (u) and depression (x) settle at u = U (1 + tau_fac r) / (1 + U tau_fac r), x = 1 / (1 + u
   tau_rec r), in the equations of the mean. Poisson spikes find u and x correlated and release after raising
   u, which moves the release per spike by some per cent: exact values by a recursion over moments (.4196,
   .1954, .0905 at 5, 20, 50 Hz for U = .2, 1.5 s, .2 s; simulated trains of some thousand spikes scatter
   about these by 1 per cent). Tsodyks, Pawelzik & Markram 1998, Neural Comput 10:821.
2. Transmission r u x saturates at 1 / tau_rec: above that the rate is invisible. Release per spike falls with
   the rate if tau_fac (1 - U) < U tau_rec, else it peaks at r = (sqrt(tau_fac (1 - U) / (U tau_rec)) - 1) /
   tau_fac.
3. A cue leaves its units' synapses facilitated. In a delay in which all fire alike the rates say nothing of
   it and u x does, until u has decayed with rate 1/tau_fac + U r0. Mongillo, Barak & Tsodyks 2008, Science
   319:1543.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from cortseq.checks import Check, near, phenomenon
from cortseq.theory import plasticity as theory

CLAIM = (
    "Steady release falls with the rate in depressing synapses and peaks at an intermediate rate in "
    "facilitating ones; "
    "transmission saturates at 1/tau_rec; a facilitated trace holds a cue that the rates do not show."
)
SYNAPSES: dict[str, dict[str, Any]] = {
    "depressing": dict(U=0.5, tau_fac=None, tau_rec=0.8),
    "facilitating": dict(U=0.2, tau_fac=1.5, tau_rec=0.2),
}


def measure(
    seed: int = 0,
    say: Callable[[str], Any] = print,
    rates=(1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0),
    spikes: int = 40_000,
    train_rate: float = 20.0,
    train_spikes: int = 12,
    trials: int = 400,
    units: int = 40,
    background: float = 2.0,
    cue_rate: float = 40.0,
    delay: float = 2.0,
) -> xr.Dataset:
    """Measure what theory predicts of plastic synapses.

    Parameters
    ----------
    rates : (Hz) spikes : of Poisson trains.
    train_rate, train_spikes : of a regular train.
    trials, units, background : (Hz) cue_rate : (Hz) delay : (s) of the memory experiment, half of the units
        cued in each trial.
    """
    say("steady states")
    parts = [_steady(np.array(rates), spikes, seed), _peak(), _train(train_rate, train_spikes)]
    say("silent memory")
    parts.append(_memory(trials, units, background, cue_rate, delay, seed))
    parts.append(_static(seed))
    variables = {name: v for part in parts for name, v in part[0].items()}
    checks = [check for part in parts for check in part[1]]
    return phenomenon(variables, CLAIM, checks)


# ------------------------------------------------------------------------------------- steady states


def settle(
    rates: np.ndarray, U: float, tau_fac: float | None, tau_rec: float, span: float = 20.0, dt: float = 2e-3
):
    """Return u and x after `span` seconds of the equations of the mean, both (rate,).

    From rest, by Runge-Kutta.
    """

    def speed(u, x: Any):
        du = 0 * u if tau_fac is None else (U - u) / tau_fac + U * (1 - u) * rates
        return du, (1 - x) / tau_rec - u * x * rates

    u, x = np.full(len(rates), U), np.ones(len(rates))
    for _ in range(int(span / dt)):
        a = speed(u, x)
        b = speed(u + dt / 2 * a[0], x + dt / 2 * a[1])
        c = speed(u + dt / 2 * b[0], x + dt / 2 * b[1])
        d = speed(u + dt * c[0], x + dt * c[1])
        u, x = (
            v + dt / 6 * (p + 2 * q + 2 * r + s) for v, p, q, r, s in zip((u, x), a, b, c, d, strict=True)
        )
    return u, x


def poisson_release(rate: float, spikes: int, rng: np.random.Generator, **synapse) -> tuple[float, float]:
    """Return mean release per spike of a Poisson train after 10 s, and its standard error from 20 blocks."""
    times = rng.exponential(1 / rate, spikes).cumsum()
    release = theory.stp_response(times, **synapse)[times > 10]
    blocks = [b.mean() for b in np.array_split(release, 20)]
    return float(release.mean()), float(np.std(blocks, ddof=1) / np.sqrt(20))


def _steady(rates: np.ndarray, spikes: int, seed: int):
    rng = np.random.default_rng([seed, 1])
    rows: list[tuple[Any, ...]] = []
    for synapse in SYNAPSES.values():
        release = np.array([poisson_release(r, spikes, rng, **synapse) for r in rates])
        steady = np.stack(theory.stp_steady_state(rates, **synapse))
        exact = theory.stp_poisson(rates, **synapse)
        rows.append((np.stack(settle(rates, **synapse)), steady, *release.T, exact))
    settled, predicted, measured, errors, exact = map(np.array, zip(*rows, strict=True))
    part = {
        "rate": ("rate", rates, {"units": "Hz"}),
        "synapse": ("synapse", list(SYNAPSES)),
        "variable": ("variable", ["u", "x"]),
        "settled": (("synapse", "variable", "rate"), settled),
        "settled_predicted": (("synapse", "variable", "rate"), predicted),
        "release": (("synapse", "rate"), measured),
        "release_error": (("synapse", "rate"), errors),
        "release_predicted": (("synapse", "rate"), exact),
        "release_of_mean": (("synapse", "rate"), predicted.prod(1)),
    }
    checks = [
        Check(
            "u and x, largest error of the steady state",
            0.0,
            np.abs(settled - predicted).max(),
            high=1e-4,
            row="C36",
        )
    ]
    for name, row, truth, rough in zip(SYNAPSES, measured, exact, predicted.prod(1), strict=True):
        for r, m, t, mean in zip(rates, row, truth, rough, strict=True):
            if r in (5, 20, 50):
                checks.append(
                    near(
                        f"{name}: release per Poisson spike at {r:g} Hz",
                        t,
                        m,
                        0.02,
                        "C36",
                        f"the equations of the mean give {mean:.4f}",
                        relative=True,
                    )
                )
    saturated = rates[-1] * measured[0, -1]
    checks.append(
        near(
            "depressing: transmission at the highest rate (1/s)",
            1 / SYNAPSES["depressing"]["tau_rec"],
            saturated,
            0.05,
            "C39",
            "approached as r -> infinity",
            relative=True,
        )
    )
    falls = bool((np.diff(measured[0]) < 0).all())
    checks.append(
        Check("depressing: release falls with the rate (1: always)", 1.0, float(falls), 1, 1, "C39")
    )
    return part, checks


def _peak(step: float = 0.02):
    """Return release of the equations of the mean on a fine grid of rates, for its peak."""
    synapse = SYNAPSES["facilitating"]
    predicted = theory.stp_peak_rate(**synapse)
    rates = np.arange(step, 3 * predicted, step)
    u, x = settle(rates, **synapse)
    found = rates[(u * x).argmax()]
    part = {
        "peak_rate": ((), float(found), {"units": "Hz"}),
        "peak_rate_predicted": ((), predicted, {"units": "Hz"}),
    }
    return part, [near("facilitating: rate of the largest release (Hz)", predicted, found, step, "C39")]


def _train(rate: float, spikes: int):
    """Return release at each spike of a regular train from rest, and long after."""
    times = np.arange(spikes) / rate
    rows = np.array([theory.stp_response(times, **s) for s in SYNAPSES.values()])
    long = np.arange(2000) / rate
    last = np.array([theory.stp_response(long, **s)[-1] for s in SYNAPSES.values()])
    states = [theory.stp_train(rate, **s) for s in SYNAPSES.values()]
    steady = np.array([float(s.u * s.x) for s in states])
    first = np.array([float(theory.stp_train(0.0, **s).u) for s in SYNAPSES.values()])
    part = {
        "train_spike": ("train_spike", np.arange(1, spikes + 1)),
        "train": (("synapse", "train_spike"), rows),
        "train_predicted": (("synapse", "train_end"), np.stack([first, steady], 1)),
        "train_end": ("train_end", ["first", "steady"]),
    }
    checks = [
        Check(
            "first spike of a train, largest error of the release",
            0.0,
            np.abs(rows[:, 0] - first).max(),
            high=1e-12,
            row="C36",
        ),
        Check(
            "late in a train, largest error of the release",
            0.0,
            np.abs(last - steady).max(),
            high=1e-9,
            row="C36",
        ),
    ]
    return part, checks


# ------------------------------------------------------------------------------------- silent memory


def simulate_cue(
    trials: int, units, background, cue_rate, delay, rng: np.random.Generator, cue_span=0.3, dt=5e-3, bin=0.1
):
    """Return Poisson units under a cue, then a delay.

    Labels (trial,), bin ends (s after the cue), counts, u and x (trial, bin, unit). The first half of the
    units is cued where the label is 0, else the second.
    """
    synapse = SYNAPSES["facilitating"]
    U, fac, rec = (synapse[k] for k in ("U", "tau_fac", "tau_rec"))
    labels = np.arange(trials) % 2
    cued = (np.arange(units) >= units // 2)[None] == (labels[:, None] == 1)
    rest = theory.stp_steady_state(background, **synapse)
    u, x = (np.full((trials, units), float(v)) for v in rest)
    per_bin = round(bin / dt)
    times: list = []
    counts: list = []
    us: list = []
    xs: list = []
    for b in range(-round(cue_span / bin), round(delay / bin)):
        rate = np.where(cued, cue_rate, background) if b < 0 else background
        total = np.zeros((trials, units))
        for _ in range(per_bin):
            u, x = U + (u - U) * np.exp(-dt / fac), 1 - (1 - x) * np.exp(-dt / rec)
            spike = rng.random((trials, units)) < rate * dt
            u = np.where(spike, u + U * (1 - u), u)
            x = np.where(spike, x - u * x, x)
            total += spike
        times.append((b + 1) * bin)
        for kept, value in zip((counts, us, xs), (total, u, x), strict=True):
            kept.append(value)
    return labels, np.array(times), *(np.stack(v, 1) for v in (counts, us, xs))


def _memory(trials: int, units, background, cue_rate, delay, seed: int):
    from cortseq.dynamics import decode_cue

    rng = np.random.default_rng([seed, 2])
    labels, times, counts, u, x = simulate_cue(trials, units, background, cue_rate, delay, rng)
    order = rng.permutation(trials)
    roles = order[: trials // 2], order[trials // 2 :]
    by_rate, by_efficacy = (decode_cue(v, labels, *roles) for v in (counts, u * x))
    synapse = SYNAPSES["facilitating"]
    U, fac = synapse["U"], synapse["tau_fac"]
    cued = (np.arange(units) >= units // 2)[None] == (labels[:, None] == 1)
    rest = float(theory.stp_steady_state(background, **synapse).u)
    trace = np.where(cued[:, None], u, np.nan)
    trace = np.nanmean(trace, (0, 2)) - rest
    late = times > -1e-9
    speed = float(theory.stp_memory_rate(background, U, fac))
    start = trace[late][0]
    predicted = start * np.exp(-speed * (times - times[late][0]))
    # as long as the trace stands out of the noise of its own mean
    fitted = late & (times <= 1.5 / speed)
    found = -np.polyfit(times[fitted], np.log(trace[fitted]), 1)[0]
    silent, lasting = times > 0.05, (times > 0.05) & (times < 0.5 * fac)
    checks = [
        near(
            "cue from the rates in the delay, mean area under the curve",
            0.5,
            by_rate[silent].mean(),
            0.03,
            "C38",
        ),
        Check(
            "cue from u x, least area under the curve within tau_fac / 2",
            1.0,
            by_efficacy[lasting].min(),
            0.9,
            row="C38",
        ),
        near("decay of u in the delay (1/s)", speed, found, 0.05, "C38", relative=True),
    ]
    part = {
        "delay": ("delay", times, {"units": "s"}),
        "cue_from": ("cue_from", ["rates", "u x"]),
        "auc": (("cue_from", "delay"), np.stack([by_rate, by_efficacy])),
        "trace": ("delay", trace),
        "trace_predicted": ("delay", np.where(late, predicted, np.nan)),
    }
    return part, checks


def _static(seed: int):
    """Return the plastic cell with its synapses held at rest beside a rate cell without them.

    Held at rest: no use, so that u x / U = 1.
    """
    import torch

    from cortseq import models
    from cortseq import recording as rec
    from cortseq.data import Data

    rng = np.random.default_rng([seed, 3])
    counts = rec.from_counts(rng.poisson(1.0, (3, 12, 4)), bin_width=0.02)
    data = Data.of(counts)
    model = models.Stp(hidden=8, leak=0.5)
    p = {k: v[0] for k, v in model.initial(data, 1, seed, np.float64).items()}
    q = model.derive(p)
    still = models.Rate(hidden=8, leak=0.5, nonlinearity="relu")
    h = frozen = torch.from_numpy(rng.random(8))
    worst = 0.0
    for _ in range(20):
        drive = torch.from_numpy(rng.normal(size=8))
        use = q["use"].squeeze(-2)
        # rest is reached at once; a power of two, so that no rounding is added
        frozen = model.step(
            {**q, "fac_rate": 0 * q["fac_rate"] + 2.0**900, "rec_rate": 0 * q["rec_rate"] + 2.0**900},
            (frozen, use, torch.ones(8, dtype=torch.float64)),
            drive,
        )[0]
        h = still.step(
            {"recurrent": p["recurrent"], "leak": torch.full((1,), 0.5, dtype=torch.float64)}, (h,), drive
        )[0]
        worst = max(worst, float((h - frozen).abs().max()))
    return {}, [
        Check("frozen synapses against a static network, largest difference", 0.0, worst, 0, 1e-14, "C37")
    ]
