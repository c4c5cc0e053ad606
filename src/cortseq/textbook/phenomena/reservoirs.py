"""Reservoirs: when a network forgets its start, and what it remembers of its input.

1. The spectral radius decides the echo-state property of *linear* reservoirs only: W^t -> 0 if and only if
   rho < 1, whatever the norm. Of tanh units rho < 1 is not sufficient (a network of rho = .5 that has two
   attractors under constant input), and under drive not necessary: noise at every unit makes a network of
   gain > 1 forget. The number that decides is the largest exponent under the input. Jaeger 2001, GMD report
   148; Yildiz, Jaeger & Kiebel 2012, Neural Netw 35:1; Molgedey, Schuchhardt & Schuster 1992, PRL 69:3717.
2. A linear reservoir of N units remembers N inputs in all, a cyclic one N - 1 + r^(2N) beyond the present; in
   finite precision a random one loses what falls below rounding. Jaeger 2001, GMD report 152; Rodan & Tino
   2011, IEEE Trans Neural Netw 22:131.
3. With a ridge read-out such a fixed network solves tasks that a linear filter of the input does not.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import lazy, xr
from cortseq.checks import Check, Part, above, below, close, near, phenomenon, worst
from cortseq.textbook.series import mackey_glass, narma
from cortseq.theory import random_networks, reservoirs

if TYPE_CHECKING:
    import torch

    from cortseq import dynamics
    from cortseq.networks.families import esn
    from cortseq.networks.training.kernels import reservoir
else:
    torch, dynamics = lazy("torch"), lazy("cortseq.dynamics")
    esn = lazy("cortseq.networks.families.esn")
    reservoir = lazy("cortseq.networks.training.kernels.reservoir")

CLAIM = (
    "The spectral radius decides the echo-state property of linear reservoirs only; for tanh units it is "
    "neither sufficient nor, under drive, necessary. A linear reservoir of N units remembers at most N "
    "inputs."
)
# rho = .499, and yet two attractors under this constant input (W, input)
TRAP, PUSH = ((1.8, 1.868), (-1.868, -1.8)), (-1.868, 8.0)
PENALTIES = tuple(10.0 ** np.arange(-9, 1))


def measure(
    seed: int = 0,
    say: Callable[[str], Any] = print,
    units: int = 200,
    steps: int = 300,
    gain: float = 1.3,
    noises: Sequence[float] = (0.0, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0),
    sizes: Sequence[int] = (10, 20, 30, 50),
    radii: Sequence[float] = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98),
    radius: float = 0.9,
    size: int = 30,
    lengths: int = 6000,
    task_units: int = 300,
    task_steps: int = 4000,
) -> xr.Dataset:
    """Measure what theory predicts of reservoirs.

    Parameters
    ----------
    units, steps, gain, noises : of the tanh network and the sd of its drive. sizes at `radius`, radii at
        `size`: reservoirs whose memory is measured over `lengths` inputs.
    task_units, task_steps : of the two tasks.
    """
    say("echo states")
    parts = [_linear(seed), _trap(seed), _driven(gain, noises, units, steps, seed)]
    say("memory capacity")
    parts.append(_memory(sizes, radii, radius, size, lengths, seed))
    parts.append(_summary(size, radius, lengths, seed))
    say("tasks")
    parts.append(_tasks(task_units, task_steps, seed))
    return phenomenon(CLAIM, parts)


# ------------------------------------------------------------------------------------- echo states


def _random(n: int, radius: float, rng: np.random.Generator) -> np.ndarray:
    return esn.scaled_reservoir(rng.normal(size=(n, n)), radius)


def _linear(seed: int, n: int = 50, radii: Sequence[float] = (0.9, 0.99, 1.01), longest: int = 400) -> Part:
    """Return |W^t| of linear reservoirs, and of a nilpotent one whose norm is 10."""
    rng = np.random.default_rng([seed, 1])
    times = np.arange(longest + 1)
    norms, slopes, holds = [], [], []
    unit = _random(n, 1.0, rng)
    late = times >= longest // 2
    for radius in radii:
        norms.append(_power_norms(radius * unit, longest))
        slopes.append(np.polyfit(times[late], np.log(norms[-1][late]), 1)[0])
        holds.append(_forgets(radius * unit, rng))
    right = (np.array(holds) == (np.array(radii) < 1)).sum()
    nilpotent = np.array([[0.0, 10.0], [0.0, 0.0]])
    necessary, forgets = dynamics.echo_state_bounds(nilpotent).necessary, _forgets(nilpotent, rng)
    ratio = worst(np.array(slopes) / np.log(radii))
    square = _power_norms(nilpotent, 2)[2]
    checks = [
        near("radii at which starts meet if and only if rho < 1", len(radii), right, 0, "C27"),
        near("slope of ln|W^t| over ln rho, worst", 1.0, ratio, 0.05, "C27"),
        near("|W^2| of the nilpotent reservoir of norm 10", 0.0, square, 1e-12, "C27"),
        Check("its echo states, of radius 0 (1: it has them)", float(necessary), float(forgets), 1, 1, "C27"),
    ]
    part = {
        "power": ("power", times),
        "linear_radius": ("linear_radius", np.array(radii)),
        "power_norm": (("linear_radius", "power"), np.array(norms)),
        "power_norm_predicted": (("linear_radius", "power"), np.array(radii)[:, None] ** times),
    }
    return Part(part, checks)


def _power_norms(w: np.ndarray, longest: int) -> np.ndarray:
    product, out = np.eye(len(w)), []
    for _ in range(longest + 1):
        out.append(np.linalg.norm(product, 2))
        product = w @ product
    return np.array(out)


def _forgets(w: np.ndarray, rng: np.random.Generator, steps: int = 1000) -> bool:
    matrix = torch.from_numpy(w)
    starts = rng.normal(size=(20, len(w)))
    drive = rng.normal(size=(steps, len(w)))
    return dynamics.echo_state_test(lambda h, x: matrix @ h + x, drive, starts).holds


def _trap(seed: int, steps: int = 40, starts: int = 20) -> Part:
    """Return h' = tanh(W h + c).

    The radius is .5 and there are two attractors, h_1 = +- the solution of h = tanh(1.8 h).
    """
    w, push = np.array(TRAP), np.array(PUSH)
    rng = np.random.default_rng([seed, 2])
    h = rng.uniform(-1, 1, (starts, 2))
    path = [h]
    for _ in range(steps):
        path.append(np.tanh(path[-1] @ w.T + push))
    ends = np.sort(np.unique(path[-1][:, 0].round(6)))
    matrix = torch.from_numpy(w)
    found = dynamics.echo_state_test(lambda s, x: torch.tanh(matrix @ s + x), np.tile(push, (100, 1)), h)
    # the second unit is held at 1, so that the first sees tanh(1.8 h + 1.868 - 1.868)
    up = reservoirs.held_up(TRAP[0][0])
    radius, note = dynamics.echo_state_bounds(w).radius, "below 1: the textbook's condition is fulfilled"
    checks = [
        below("spectral radius of the counter-example", 1.0, radius, 0.999, "C28", note),
        near("upper attractor, first unit", up, ends[-1], 1e-3, "C28"),
        near("lower attractor, first unit", -up, ends[0], 1e-3, "C28"),
        near("its echo states (0: it has none)", 0.0, float(found.holds), 0, "C28"),
    ]
    part = {
        "trap_step": ("trap_step", np.arange(steps + 1)),
        "trap": (("start", "trap_step"), np.array(path)[:, :, 0].T),
        "trap_predicted": ("sign", np.array([-up, up])),
    }
    return Part(part, checks)


def _driven(gain: float, noises: Sequence[float], units: int, steps: int, seed: int) -> Part:
    """Measure h' = tanh(J h + s xi) of gain > 1: exponent along the drive, and the distance of 20 copies."""
    rng = np.random.default_rng([seed, 3])
    j = torch.from_numpy(rng.normal(size=(units, units)) * gain / np.sqrt(units))
    starts = rng.uniform(-1, 1, (20, units))
    drive = rng.normal(size=(steps, units))

    def copies(s: float) -> Any:
        return dynamics.echo_state_test(lambda h, x: torch.tanh(j @ h + x), s * drive, starts, seed)

    found = [copies(s) for s in noises]
    slopes = np.array([f.slope for f in found])
    predicted = np.array([random_networks.mean_field_map(gain, s).lyapunov for s in noises])
    gap = np.abs(slopes - predicted)[np.array(noises) > 0].max()
    least, most = int(np.argmin(noises)), int(np.argmax(noises))
    typical = np.sqrt(units * random_networks.mean_field_map(gain).q)
    what = "largest error of the exponent over drives (nats/step)"
    apart = "predicted: the distance sqrt(N q) of a typical state from 0; the copies stay apart"
    undriven, driven = found[least].distance, found[most].distance
    checks = [
        close("exponent at the strongest drive (nats/step)", predicted[most], slopes[most], 0.08, "C28b"),
        below(what, 0.0, gap, 0.06, "C28b", "one network of finite size"),
        above("distance of copies without drive", typical, undriven, 0.1 * typical, "C28b", apart),
        below("distance of copies under the strongest drive", 0.0, driven, 1e-12, "C28b"),
    ]
    unit = {"units": "nats/step"}
    part = {
        "noise": ("noise", np.array(noises)),
        "exponent": ("noise", slopes, unit),
        "exponent_predicted": ("noise", predicted, unit),
        "driven_step": ("driven_step", np.arange(steps + 1)),
        "distance": (("noise", "driven_step"), np.array([f.distances for f in found])),
        "echo_states": ("noise", np.array([f.holds for f in found])),
    }
    return Part(part, checks)


# ------------------------------------------------------------------------------------- memory


def cyclic(n: int, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Return radius times a cyclic shift (n, n), and input into one unit (n,)."""
    return radius * np.roll(np.eye(n), 1, 0), np.eye(n)[0]


def _memory(
    sizes: Sequence[int], radii: Sequence[float], radius: float, size: int, lengths: int, seed: int
) -> Part:
    """Compare the memory capacity of cyclic and random linear reservoirs with theory."""
    rng = np.random.default_rng([seed, 5])
    # least squares sees directions down to this share of the largest, in one half of the inputs
    floor = np.finfo(float).eps * lengths / 2

    def measured(w: np.ndarray, into: np.ndarray) -> float:
        return dynamics.memory_capacity(w, into, 10 * len(w), max(lengths, 60 * len(w)), seed=seed).total

    def pairs(n: int, r: float) -> list[tuple[float, float]]:
        w, into = _random(n, r, rng), rng.normal(size=n)
        seen = reservoirs.linear_memory(w, into, 10 * n, floor)[1:].sum()
        return [(reservoirs.cyclic_memory(n, r), measured(*cyclic(n, r))), (seen, measured(w, into))]

    by_size = np.array([pairs(n, radius) for n in sizes])
    by_radius = np.array([pairs(size, r) for r in radii])
    both, units = np.concatenate([by_size, by_radius]), np.array([*sizes, *[size] * len(radii)])
    ratios, share = both[..., 1] / both[..., 0], (both[..., 1] / units[:, None]).max()
    of_cyclic = "memory of cyclic reservoirs over N - 1 + r^2N, worst"
    of_random = "memory of random reservoirs over prediction, worst"
    note = "what least squares can see in double precision"
    checks = [
        Check(of_cyclic, 1.0, worst(ratios[:, 0]), 0.96, 1.02, "C30"),
        Check(of_random, 1.0, worst(ratios[:, 1]), 0.9, 1.05, "C30", note),
        below("memory over N, largest of all reservoirs", 1.0, share, 1.0, "C30"),
    ]
    unit = {"units": "inputs"}
    part = {
        "size": ("size", np.array(sizes)),
        "radius": ("radius", np.array(radii)),
        "kind": ("kind", ["cyclic", "random"]),
        "memory_by_size": (("size", "kind"), by_size[..., 1], unit),
        "memory_by_size_predicted": (("size", "kind"), by_size[..., 0], unit),
        "memory_by_radius": (("radius", "kind"), by_radius[..., 1], unit),
        "memory_by_radius_predicted": (("radius", "kind"), by_radius[..., 0], unit),
    }
    return Part(part, checks)


def _summary(size: int, radius: float, lengths: int, seed: int, stay: float = 0.85) -> Part:
    """Measure R^2 of past inputs read from a state.

    Of a reservoir under white input, and of a chain, whose state is X_t alone.
    """
    rng = np.random.default_rng([seed, 6])
    lags = np.arange(0, 2 * size)
    trials, time = 20, max(10 * size, lengths // 10)
    w, into = cyclic(size, radius)
    u = rng.uniform(-1, 1, (trials, time))
    h, states = np.zeros((trials, size)), []
    for t in range(time):
        h = h @ w.T + u[:, t, None] * into
        states.append(h)
    warm = int(np.log(1e-9) / np.log(radius))
    how = lags.tolist(), np.arange(trials // 2), np.arange(trials // 2, trials)
    from_state = dynamics.decode_past(np.stack(states, 1)[:, warm:], u[:, warm:], *how)[:, 0]
    transition = np.array([[stay, 1 - stay], [1 - stay, stay]])
    flips = rng.random((trials, time)) > stay
    chain = ((rng.integers(0, 2, (trials, 1)) + flips.cumsum(1)) % 2).astype(float)
    from_chain = dynamics.decode_past(chain[..., None], chain, *how)[:, 0]
    # a chain's own state carries lambda^2k; of white symbols (lambda = 0) only the present
    predicted = reservoirs.chain_memory(transition, lags)
    exact = reservoirs.linear_memory(w, into, int(lags[-1]))
    summed, gap = from_state[1:].clip(0).sum(), np.abs(from_chain - predicted).max()
    what = "R^2 over lags of a linear reservoir, summed"
    checks = [
        close(what, exact[1:].sum(), summed, 0.03, "C53", "the memory capacity"),
        below("largest error of R^2 of a chain's state over lambda^2k", 0.0, gap, 0.05, "C53"),
    ]
    part = {
        "lag": ("lag", lags),
        "decoded": (("state", "lag"), np.stack([from_state, from_chain])),
        "decoded_predicted": (("state", "lag"), np.stack([exact, predicted])),
        "state": ("state", ["linear reservoir", "chain of order 1"]),
    }
    return Part(part, checks)


# ------------------------------------------------------------------------------------- tasks


def nrmse(truth: np.ndarray, guess: np.ndarray) -> float:
    """Return sqrt(mean (y - guess)^2 / variance of y).

    Parameters
    ----------
    truth, guess : (time,).
    """
    return float(np.sqrt(((truth - guess) ** 2).mean() / truth.var()))


def reservoir_states(
    u: np.ndarray, units: int, radius: float, scale: float, leak: float, seed: int
) -> tuple[np.ndarray, dict[str, Any]]:
    """Return states (time, units) of a leaky reservoir after each input, and its weights.

    h' = (1 - a) h + a tanh(W h + scale u w + b).
    """
    rng = np.random.default_rng([seed, 10])
    q = {
        "recurrent": esn.scaled_reservoir(rng.normal(size=(units, units)), radius, leak),
        "input_weight": scale * rng.uniform(-1, 1, (units, 1)),
        "bias": rng.uniform(-0.2, 0.2, units),
        "start": np.zeros(units),
        "leak": np.array([leak]),
    }
    padded = np.append(u, 0.0)[None, :, None]  # the kernel gives states before each input
    return reservoir.states(q, padded)[1:, 0], q


def _read_out(features: np.ndarray, target: np.ndarray, warm: int = 200) -> float:
    """Return NRMSE on the second half of a ridge read-out fitted to the first."""
    from cortseq.dynamics.ridge import ridge

    half = len(target) // 2
    one_run = np.zeros(half - warm)
    weight, bias = ridge(features[warm:half], target[warm:half, None], PENALTIES, one_run)
    return nrmse(target[half:], (features[half:] @ weight.T + bias)[:, 0])


def _filter(u: np.ndarray, taps: int) -> np.ndarray:
    """Return the last `taps` inputs, (time, taps): all that a linear filter sees."""
    return np.lib.stride_tricks.sliding_window_view(np.append(np.zeros(taps - 1), u), taps)


def _tasks(units: int, steps: int, seed: int) -> Part:
    """Compare a reservoir with a linear filter of the input on two tasks, and with reservoirpy's states."""
    rng = np.random.default_rng([seed, 7])
    u, y = narma(steps, rng)
    wave = mackey_glass(steps, rng)
    wave = (wave - wave.mean()) / wave.std()
    ahead = 6
    tasks = {
        "NARMA-10": (u - 0.25, y, dict(radius=0.95, scale=0.5, leak=1.0)),
        "Mackey-Glass, 6 ahead": (wave[:-ahead], wave[ahead:], dict(radius=0.95, scale=0.5, leak=0.8)),
    }
    found, theirs, checks = [], [], []
    for name, (given, wanted, how) in tasks.items():
        # of NARMA-10 the input at t - 1 is the last that y_t depends on, and the state sees it
        states, q = reservoir_states(given, units, seed=seed, **how)
        ours, linear = _read_out(states, wanted), _read_out(_filter(given, 50), wanted)
        peer = _reservoirpy(q, given, wanted) if importlib.util.find_spec("reservoirpy") else np.nan
        what = f"NRMSE of {name} over that of a linear filter"
        note = "predicted: no better than 50 taps of the input"
        checks.append(below(what, 1.0, ours / linear, 0.9, "C26", note))
        if np.isfinite(peer):
            checks.append(close(f"NRMSE of {name} beside reservoirpy's states", peer, ours, 0.02, "C26"))
        found.append([ours, linear])
        theirs.append(peer)
    part = {
        "task": ("task", list(tasks)),
        "reader": ("reader", ["reservoir", "linear filter"]),
        "nrmse": (("task", "reader"), np.array(found)),
        "nrmse_reservoirpy": ("task", np.array(theirs), {"note": "NaN where reservoirpy is not installed"}),
    }
    return Part(part, checks)


def _reservoirpy(q: dict[str, Any], given: np.ndarray, wanted: np.ndarray) -> float:
    """Return NRMSE of the same read-out on the states of reservoirpy's reservoir with the same weights."""
    from reservoirpy.nodes import Reservoir

    node = Reservoir(lr=float(q["leak"][0]), W=q["recurrent"], Win=q["input_weight"], bias=q["bias"])
    return _read_out(np.asarray(node.run(given[:, None])), wanted)
