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

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cortseq._lazy import xr
from cortseq.checks import Check, Part, above, below, close, near, phenomenon
from cortseq.theory import plasticity as theory
from cortseq.theory.networks import runge_kutta

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
    rates: Sequence[float] = (1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0),
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
    rates, spikes : of Poisson trains, in Hz, and their number.
    train_rate, train_spikes : of a regular train, in Hz.
    trials, units : of the memory experiment, half of the units cued in each trial.
    background, cue_rate, delay : its rates, in Hz, and its delay, in s.
    """
    say("steady states")
    parts = [_steady(np.array(rates), spikes, seed), _peak(), _train(train_rate, train_spikes)]
    say("silent memory")
    parts.append(_memory(trials, units, background, cue_rate, delay, seed))
    return phenomenon(CLAIM, parts)


# ------------------------------------------------------------------------------------- steady states


def settle(
    rates: np.ndarray, U: float, tau_fac: float | None, tau_rec: float, span: float = 20.0, dt: float = 2e-3
) -> np.ndarray:
    """Return u and x after `span` seconds of the equations of the mean, from rest, (2, rate)."""

    def speed(state: np.ndarray) -> np.ndarray:
        u, x = state
        du = 0 * u if tau_fac is None else (U - u) / tau_fac + U * (1 - u) * rates
        return np.stack([du, (1 - x) / tau_rec - u * x * rates])

    state = np.stack([np.full(len(rates), U), np.ones(len(rates))])
    for _ in range(int(span / dt)):
        state = runge_kutta(speed, state, dt)
    return state


def poisson_release(
    rate: float, spikes: int, rng: np.random.Generator, **synapse: Any
) -> tuple[float, float]:
    """Return mean release per spike of a Poisson train after 10 s, and its standard error from 20 blocks."""
    times = rng.exponential(1 / rate, spikes).cumsum()
    release = theory.stp_response(times, **synapse)[times > 10]
    blocks = [b.mean() for b in np.array_split(release, 20)]
    return float(release.mean()), float(np.std(blocks, ddof=1) / np.sqrt(20))


def _steady(rates: np.ndarray, spikes: int, seed: int) -> Part:
    """Compare settled u and x, and the release per Poisson spike, with their exact values."""
    rng = np.random.default_rng([seed, 1])
    release = [[poisson_release(r, spikes, rng, **synapse) for r in rates] for synapse in SYNAPSES.values()]
    measured, errors = np.moveaxis(np.array(release), -1, 0)
    settled = np.array([settle(rates, **synapse) for synapse in SYNAPSES.values()])
    predicted = np.array([theory.stp_steady_state(rates, **synapse) for synapse in SYNAPSES.values()])
    exact = np.array([theory.stp_poisson(rates, **synapse) for synapse in SYNAPSES.values()])
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
    gap = np.abs(settled - predicted).max()
    checks = [below("u and x, largest error of the steady state", 0.0, gap, 1e-4, "C36")]
    return Part(part, [*checks, *_release_checks(rates, measured, exact, predicted.prod(1))])


def _release_checks(
    rates: np.ndarray, measured: np.ndarray, exact: np.ndarray, mean: np.ndarray
) -> list[Check]:
    """Return checks of the release per spike, all (synapse, rate); mean: of the equations of the mean."""
    checks = []
    for i, name in enumerate(SYNAPSES):
        for r in sorted({5, 20, 50} & set(rates)):
            at = list(rates).index(r)
            what, note = f"{name}: release per Poisson spike at {r:g} Hz", "the equations of the mean give"
            checks.append(
                close(what, exact[i, at], measured[i, at], 0.02, "C36", f"{note} {mean[i, at]:.4f}")
            )
    limit = 1 / SYNAPSES["depressing"]["tau_rec"]
    what, note = "depressing: transmission at the highest rate (1/s)", "approached as r -> infinity"
    falls = float((np.diff(measured[0]) < 0).all())
    return [
        *checks,
        close(what, limit, rates[-1] * measured[0, -1], 0.05, "C39", note),
        Check("depressing: release falls with the rate (1: always)", 1.0, falls, 1, 1, "C39"),
    ]


def _peak(step: float = 0.02) -> Part:
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
    return Part(part, [near("facilitating: rate of the largest release (Hz)", predicted, found, step, "C39")])


def _train(rate: float, spikes: int) -> Part:
    """Return release at each spike of a regular train from rest, and in theory at the first and the last."""
    times = np.arange(spikes) / rate
    rows = np.array([theory.stp_response(times, **s) for s in SYNAPSES.values()])
    states = [theory.stp_train(rate, **s) for s in SYNAPSES.values()]
    steady = np.array([float(s.u * s.x) for s in states])
    first = np.array([float(theory.stp_train(0.0, **s).u) for s in SYNAPSES.values()])
    part = {
        "train_spike": ("train_spike", np.arange(1, spikes + 1)),
        "train": (("synapse", "train_spike"), rows),
        "train_predicted": (("synapse", "train_end"), np.stack([first, steady], 1)),
        "train_end": ("train_end", ["first", "steady"]),
    }
    return Part(part)


# ------------------------------------------------------------------------------------- silent memory


def simulate_cue(
    trials: int,
    units: int,
    background: float,
    cue_rate: float,
    delay: float,
    rng: np.random.Generator,
    cue_span: float = 0.3,
    dt: float = 5e-3,
    bin: float = 0.1,
) -> tuple[np.ndarray, ...]:
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
    bins = range(-round(cue_span / bin), round(delay / bin))
    rows = []
    for b in bins:
        rate = np.where(cued, cue_rate, background) if b < 0 else background
        total = np.zeros((trials, units))
        for _ in range(per_bin):
            u, x = U + (u - U) * np.exp(-dt / fac), 1 - (1 - x) * np.exp(-dt / rec)
            spike = rng.random((trials, units)) < rate * dt
            u = np.where(spike, u + U * (1 - u), u)
            x = np.where(spike, x - u * x, x)
            total += spike
        rows.append((total, u, x))
    return labels, (np.array(bins) + 1) * bin, *(np.stack(v, 1) for v in zip(*rows, strict=True))


def _memory(trials: int, units: int, background: float, cue_rate: float, delay: float, seed: int) -> Part:
    """Decode the cue from rates and from u x in the delay, and compare the decay of u with theory."""
    from cortseq.dynamics import decode_cue

    rng = np.random.default_rng([seed, 2])
    labels, times, counts, u, x = simulate_cue(trials, units, background, cue_rate, delay, rng)
    order = rng.permutation(trials)
    roles = order[: trials // 2], order[trials // 2 :]
    by_rate, by_efficacy = (decode_cue(v, labels, *roles) for v in (counts, u * x))
    synapse = SYNAPSES["facilitating"]
    fac, rest = synapse["tau_fac"], float(theory.stp_steady_state(background, **synapse).u)
    cued = (np.arange(units) >= units // 2)[None] == (labels[:, None] == 1)
    trace = np.nanmean(np.where(cued[:, None], u, np.nan), (0, 2)) - rest
    late = times > -1e-9
    speed = float(theory.stp_memory_rate(background, synapse["U"], fac))
    predicted = trace[late][0] * np.exp(-speed * (times - times[late][0]))
    # as long as the trace stands out of the noise of its own mean
    fitted = late & (times <= 1.5 / speed)
    found = -np.polyfit(times[fitted], np.log(trace[fitted]), 1)[0]
    silent, lasting = times > 0.05, (times > 0.05) & (times < 0.5 * fac)
    from_rates = "cue from the rates in the delay, mean area under the curve"
    from_synapses = "cue from u x, least area under the curve within tau_fac / 2"
    checks = [
        near(from_rates, 0.5, by_rate[silent].mean(), 0.03, "C38"),
        above(from_synapses, 1.0, by_efficacy[lasting].min(), 0.9, "C38"),
        close("decay of u in the delay (1/s)", speed, found, 0.05, "C38"),
    ]
    part = {
        "delay": ("delay", times, {"units": "s"}),
        "cue_from": ("cue_from", ["rates", "u x"]),
        "auc": (("cue_from", "delay"), np.stack([by_rate, by_efficacy])),
        "trace": ("delay", trace),
        "trace_predicted": ("delay", np.where(late, predicted, np.nan)),
    }
    return Part(part, checks)
