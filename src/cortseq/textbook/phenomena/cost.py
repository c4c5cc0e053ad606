"""What backpropagation through time costs, and what truncating it costs instead.

Claim: a step over T bins of a network of H units takes time linear in T and, for large H, quadratic in H (3 T
(H^2 + H (n_in + n_out)) multiplications a trial); it keeps activations of all bins, O(P + T H) memory.
Truncated to windows of k bins memory is flat in T; with checkpoints every sqrt(T) bins it grows as sqrt(T),
for one more forward pass and the same gradient. Corrected where the textbook is silent: truncation biases the
gradient. Where a squared gradient grows by chi < 1 a step, the relative error of the recurrent weights'
gradient is chi^((k-1)/2) if every loss goes back k bins, and far larger, (1 - chi^k)/(k (1 - chi)) under the
root, for the usual windows side by side, in which the first losses go back a few bins only.

Werbos 1990, Proc IEEE 78:1550; Williams & Peng 1990, Neural Comput 2:490; Chen et al. 2016, arXiv:1604.06174;
chi: Molgedey, Schuchhardt & Schuster 1992, PRL 69:3717.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq import theory, timing
from cortseq._lazy import lazy, xr
from cortseq.checks import Check, Part, above, near, phenomenon
from cortseq.data import Data

if TYPE_CHECKING:
    import torch

    from cortseq.compiled import threads
    from cortseq.models import base
    from cortseq.networks import problems, untrained
    from cortseq.networks.training import engines
else:
    untrained = lazy("cortseq.networks.untrained")
    torch, base = lazy("torch"), lazy("cortseq.models.base")
    problems = lazy("cortseq.networks.problems")
    engines, threads = lazy("cortseq.networks.training.engines"), lazy("cortseq.compiled.threads")

CLAIM = (
    "BPTT takes time linear in T and towards quadratic in H and keeps activations of all bins; truncation "
    "makes memory flat and "
    "biases the gradient by chi^((k-1)/2), checkpoints make it sqrt(T) and leave the gradient as it is"
)
MODES: dict[str, dict[str, Any]] = {
    "full": {},
    "truncated": {"truncate": 16},
    "checkpointed": {"checkpointed": True},
}
TIMED = "of this machine and run: times are not reproducible, slopes are, within their windows"
N_UNITS = 50  # of the recorded population


def measure(
    seed: int = 0,
    say: Callable[[str], Any] = print,
    bins: Sequence[int] = (128, 256, 512, 1024, 2048),
    hidden: Sequence[int] = (64, 128, 256, 512, 768),
    memory_bins: Sequence[int] = (64, 128, 256, 512, 1024),
    trials: int = 32,
    depths: Sequence[int] = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32),
    gains: Sequence[float] = (0.5, 0.9, 1.5),
    noise: float = 0.5,
    biased_units: int = 128,
    biased_bins: int = 96,
    biased_trials: int = 16,
) -> xr.Dataset:
    """Measure times and kept activations of one training step.

    Gradients truncated at each depth beside the full one.

    Parameters
    ----------
    bins : T at H = 64.
    hidden : H at 64 bins.
    gains, biased_units : of the networks whose gradients are truncated at each of `depths`.
    noise, biased_bins, biased_trials : sd, bins and trials of the white input that they see.
    """
    with threads.single():
        say("cost: times against bins and units")
        parts = [_timed(bins, hidden, trials)]
        say("cost: activations that are kept")
        parts.append(_kept(memory_bins, trials))
        say(f"cost: gradients truncated at {len(depths)} depths")
        parts.append(_truncated(biased_units, gains, noise, (biased_trials, biased_bins), depths, seed))
        return phenomenon(CLAIM, parts, note=TIMED)


# -- time and memory --------------------------------------------------------------------------------------


def _timed(bins: Sequence[int], hidden: Sequence[int], trials: int) -> Part:
    """Measure the time of a step against T at H = 64, and against H at T = 64."""
    by_bins, by_units = _times([(64, n) for n in bins], trials), _times([(h, 64) for h in hidden], trials)
    work = np.array([theory.bptt_multiplications(h, N_UNITS, N_UNITS, 64) for h in hidden], float)
    seconds = {"units": "s"}
    variables = {
        "time_of_bins": ("bins", by_bins, seconds),
        "time_of_bins_predicted": ("bins", by_bins[-1] * np.asarray(bins) / bins[-1], seconds),
        "time_of_hidden": ("hidden", by_units, seconds),
        "time_of_hidden_predicted": ("hidden", by_units[-1] * work / work[-1], seconds),
    }
    local, law = (np.diff(np.log(v)) / np.diff(np.log(hidden)) for v in (by_units, work))
    largest = "slope of time against H, largest two"
    steeper = "by how much that slope exceeds the one of the smallest two"
    checks = [
        near("slope of time against T", 1.0, timing.law("", bins, by_bins).slope, 0.15, "C17", TIMED),
        Check(largest, law[-1], local[-1], 1.5, 2.3, "C17", TIMED),
        above(steeper, law[-1] - law[0], local[-1] - local[0], 0.0, "C17", TIMED),
    ]
    return Part(variables, checks, {"bins": list(bins), "hidden": list(hidden)})


def _times(shapes: list[tuple[int, int]], trials: int) -> np.ndarray:
    """Median CPU seconds of one training step (gradient of one batch) of a rate network at each (H, T)."""
    steps = []
    for units, n_time in shapes:
        model, params, data = problems.problem("rate", {}, N_UNITS, units, trials, n_time)
        steps.append(engines.stepper(model, params, data, "auto"))
        steps[-1]()
    return np.array(timing.in_turns(steps))


class _Meter:
    """Bytes of the storages that automatic differentiation holds on to, now and at most."""

    def __init__(self) -> None:
        self.holders: dict[int, int] = {}
        self.now = self.most = 0

    def hold(self, tensor: torch.Tensor) -> _Held:
        storage = tensor.untyped_storage()
        key = storage.data_ptr()
        if not self.holders.get(key):
            self.now += storage.nbytes()
            self.most = max(self.most, self.now)
        self.holders[key] = self.holders.get(key, 0) + 1
        # detached: a step that no loss reaches would hold itself through its own output
        return _Held(self, tensor.detach(), key, storage.nbytes())

    def drop(self, key: int, size: int) -> None:
        self.holders[key] -= 1
        if not self.holders[key]:
            self.now -= size


class _Held:
    """A tensor kept for the backward pass; its storage counts until this is collected."""

    def __init__(self, meter: _Meter, tensor: torch.Tensor, key: int, size: int) -> None:
        self.meter, self.tensor, self.key, self.size = meter, tensor, key, size

    def __del__(self) -> None:
        self.meter.drop(self.key, self.size)


def kept_bytes(settings: dict[str, Any], n_time: int, trials: int, units: int = 32) -> int:
    """Return most bytes kept for the backward pass in one step of the generic execution.

    A count, the same in every run.
    """
    model, params, data = problems.problem("rate", settings, N_UNITS, units, trials, n_time)
    step = engines.stepper(model, params, data, "generic")
    meter = _Meter()
    with torch.autograd.graph.saved_tensors_hooks(meter.hold, lambda held: held.tensor):
        step()
    return meter.most


def _kept(bins: Sequence[int], trials: int) -> Part:
    """Count kept activations against T, beside laws through the last point of each mode."""
    kept = np.array([[kept_bytes(settings, n, trials) for n in bins] for settings in MODES.values()])
    share = np.asarray(bins) / bins[-1]
    laws = np.stack([share, np.ones(len(bins)), np.sqrt(share)])
    dims, unit = ("mode", "memory_bins"), {"units": "bytes"}
    variables = {"kept": (dims, kept, unit), "kept_predicted": (dims, kept[:, -1:] * laws, unit)}
    expected = ((1.0, 0.05, "C17"), (0.0, 0.05, "C18"), (0.5, 0.07, "C18"))
    checks = []
    for mode, row, (predicted, within, claim) in zip(MODES, kept, expected, strict=True):
        slope = timing.law("", bins, row).slope
        checks.append(near(f"slope of kept activations against T, {mode}", predicted, slope, within, claim))
    return Part(variables, checks, {"memory_bins": list(bins), "mode": list(MODES)})


# -- truncation -------------------------------------------------------------------------------------------


def _truncated(
    n: int, gains: Sequence[float], noise: float, shape: tuple[int, int], depths: Sequence[int], seed: int
) -> Part:
    """Measure gradients truncated at each depth beside the full one, in networks of n units at each gain."""
    chis = [theory.mean_field_map(g, noise).chi for g in gains]
    found = np.array([_biases(n, g, noise, shape, depths, seed) for g in gains])
    laws = np.array([[theory.truncation_error(chi, depths, every) for every in (1, None)] for chi in chis])
    dims = ("gain", "window", "depth")
    variables = {
        "error": (dims, found[..., 0]),
        "cosine": (dims, found[..., 1]),
        "error_predicted": (dims, laws),
    }
    coords = {
        "gain": list(gains),
        "window": ["every loss goes back k", "windows of k"],
        "depth": ("depth", list(depths), {"units": "bins"}),
    }
    note = "10 %, and what trials of finite length add: their first losses go back less"
    checks = []
    for gain, chi, error, law in zip(gains, chis, found[..., 0], laws, strict=True):
        seen = error[0] > 1e-6
        slope = np.polyfit(np.asarray(depths)[seen], np.log(error[0][seen]), 1)[0]
        what = f"ln error per bin of depth, gain {gain:g}"
        checks.append(near(what, np.log(chi) / 2, slope, 0.01 + 0.05 * abs(np.log(chi)), "C18", note))
        ratio = np.exp(np.log(error[1] / law[1]).mean())
        checks.append(near(f"error of windows over its prediction, gain {gain:g}", 1.0, ratio, 0.25, "C18"))
    return Part(variables, checks, coords)


def _gradient(fit: Any, data: Any, settings: dict[str, Any]) -> np.ndarray:
    params = {name: value[0] for name, value in fit.params.items()}
    model = fit.model.model_copy(update=settings)
    return np.asarray(engines.loss_and_gradient(model, params, data)[1]["recurrent"].ravel())


def _biases(
    n: int, gain: float, noise: float, shape: tuple[int, int], depths: Sequence[int], seed: int
) -> np.ndarray:
    """Return relative error and cosine of truncated gradients, (window, depth, 2)."""
    fit, made = untrained.driven_map_fit(n, gain, noise, shape, 1, seed)
    data = Data.of(made)
    full = _gradient(fit, data, {})
    rows = []
    for every in (1, None):
        cut = [_gradient(fit, data, {"truncate": int(k), "truncate_every": every}) for k in depths]
        rows.append([(np.linalg.norm(g - full) / np.linalg.norm(full), _cosine(g, full)) for g in cut])
    return np.array(rows)


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    scale = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / scale) if scale > 0 else 0.0
