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
import xarray as xr

from cortseq import theory, timing
from cortseq._lazy import lazy
from cortseq.checks import Check, near, phenomenon
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
    noise : sd of the white input to each unit of the networks of `gains`, whose gradients are truncated
        biased_units
    biased_bins, biased_trials : their size and what they see.
    """
    with threads.single():
        say("cost: times against bins and units")
        by_bins, by_units = _times([(64, n) for n in bins], trials), _times([(h, 64) for h in hidden], trials)
        say("cost: activations that are kept")
        kept = np.array(
            [[kept_bytes(settings, n, trials) for n in memory_bins] for settings in MODES.values()]
        )
        say(f"cost: gradients truncated at {len(depths)} depths")
        chis = [theory.mean_field_map(g, noise).chi for g in gains]
        shape = (biased_trials, biased_bins)
        bias = np.array([_biases(biased_units, g, noise, shape, depths, seed) for g in gains])
        work = np.array([theory.bptt_multiplications(h, N_UNITS, N_UNITS, 64) for h in hidden], float)
        both = ("gain", "window", "depth")
        variables = {
            "time_of_bins": ("bins", by_bins, {"units": "s"}),
            "time_of_bins_predicted": ("bins", by_bins[-1] * np.asarray(bins) / bins[-1], {"units": "s"}),
            "time_of_hidden": ("hidden", by_units, {"units": "s"}),
            "time_of_hidden_predicted": ("hidden", by_units[-1] * work / work[-1], {"units": "s"}),
            "kept": (("mode", "memory_bins"), kept, {"units": "bytes"}),
            "kept_predicted": (
                ("mode", "memory_bins"),
                _kept_predicted(kept, np.asarray(memory_bins)),
                {"units": "bytes"},
            ),
            "error": (both, bias[..., 0]),
            "cosine": (both, bias[..., 1]),
            "error_predicted": (
                both,
                [[theory.truncation_error(chi, depths, every) for every in (1, None)] for chi in chis],
            ),
        }
        coords = {
            "bins": list(bins),
            "hidden": list(hidden),
            "memory_bins": list(memory_bins),
            "mode": list(MODES),
            "gain": list(gains),
            "window": ["every loss goes back k", "windows of k"],
            "depth": ("depth", list(depths), {"units": "bins"}),
        }
        found = xr.Dataset(variables, coords)
        checks = [*_cost_checks(found), *_bias_checks(found, chis), *_exact(seed)]
        return phenomenon(variables, CLAIM, checks, coords, note=TIMED)


# -- time and memory --------------------------------------------------------------------------------------


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

    def hold(self, tensor):
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

    def __init__(self, meter: _Meter, tensor, key: int, size: int) -> None:
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


def _kept_predicted(kept: np.ndarray, bins: np.ndarray) -> np.ndarray:
    """Draw the laws T, 1 and sqrt(T) through the last point of each mode."""
    laws = np.stack([bins / bins[-1], np.ones(len(bins)), np.sqrt(bins / bins[-1])])
    return kept[:, -1:] * laws


# -- truncation -------------------------------------------------------------------------------------------


def _gradient(fit: Any, data: Any, settings: dict[str, Any]) -> np.ndarray:
    params = {name: value[0] for name, value in fit.params.items()}
    model = fit.model.model_copy(update=settings)
    return engines.loss_and_gradient(model, params, data)[1]["recurrent"].ravel()


def _biases(n: int, gain: float, noise: float, shape, depths, seed: int) -> np.ndarray:
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


# -- checks -----------------------------------------------------------------------------------------------


def _cost_checks(found: xr.Dataset) -> list[Check]:
    slope = timing.law("", found["bins"].values, found["time_of_bins"].values).slope
    hidden, time = (np.log(found[name].values) for name in ("hidden", "time_of_hidden"))
    local = np.diff(time) / np.diff(hidden)
    work = np.diff(np.log(found["time_of_hidden_predicted"].values)) / np.diff(hidden)
    checks = [
        Check("slope of time against T", 1.0, slope, 0.85, 1.15, "C17", TIMED),
        Check(
            "slope of time against H, largest two", float(work[-1]), float(local[-1]), 1.5, 2.3, "C17", TIMED
        ),
        Check(
            "by how much that slope exceeds the one of the smallest two",
            float(work[-1] - work[0]),
            float(local[-1] - local[0]),
            low=0.0,
            row="C17",
            note=TIMED,
        ),
    ]
    expected = {
        "full": (1.0, 0.05, "C17"),
        "truncated": (0.0, 0.05, "C18"),
        "checkpointed": (0.5, 0.07, "C18"),
    }
    for mode, (predicted, within, row) in expected.items():
        slope = timing.law("", found["memory_bins"].values, found["kept"].sel(mode=mode).values).slope
        checks.append(near(f"slope of kept activations against T, {mode}", predicted, slope, within, row))
    return checks


def _bias_checks(found: xr.Dataset, chis) -> list[Check]:
    """Compare the slope of ln error per bin, and its level, where the error can be seen."""
    checks = []
    note = "10 %, and what trials of finite length add: their first losses go back less"
    depth = found["depth"].values
    for gain, chi in zip(found["gain"].values, chis, strict=True):
        error = found["error"].sel(gain=gain).isel(window=0).values
        seen = error > 1e-6
        slope = np.polyfit(depth[seen], np.log(error[seen]), 1)[0]
        what = f"ln error per bin of depth, gain {gain:g}"
        checks.append(near(what, np.log(chi) / 2, slope, 0.01 + 0.05 * abs(np.log(chi)), "C18", note))
        rows = found.sel(gain=gain).isel(window=1)
        ratio = np.exp(np.log(rows["error"] / rows["error_predicted"]).mean())
        checks.append(near(f"error of windows over its prediction, gain {gain:g}", 1.0, ratio, 0.25, "C18"))
    return checks


def _exact(seed: int) -> list[Check]:
    """Check the hand-written backward pass against automatic differentiation and differences.

    Also what must equal the full gradient.
    """
    fit, made = untrained.driven_map_fit(12, 0.9, 0.5, (4, 20), 1, seed)
    data = Data.of(made)
    params = {name: value[0] for name, value in fit.params.items()}
    loss = {how: engines.loss_and_gradient(fit.model, params, data, how) for how in ("compiled", "generic")}
    gap = problems.disagreement(loss["compiled"], loss["generic"])
    move = torch.as_tensor(np.random.default_rng(seed).normal(size=(12, 12)))
    ends = [
        engines.loss_and_gradient(fit.model, {**params, "recurrent": params["recurrent"] + s * move}, data)[0]
        for s in (1e-5, -1e-5)
    ]
    slope = float((loss["generic"][1]["recurrent"] * move.numpy()).sum())
    full = _gradient(fit, data, {})
    same = {
        name: np.abs(_gradient(fit, data, settings) - full).max() / np.abs(full).max()
        for name, settings in (
            ("checkpointed", {"checkpointed": True}),
            ("truncated at k >= T", {"truncate": 20}),
        )
    }
    return [
        Check("hand-written BPTT against automatic differentiation, relative", 0, gap, high=1e-10, row="C12"),
        near(
            "directional derivative over its finite difference",
            1.0,
            slope / ((ends[0] - ends[1]) / 2e-5),
            1e-6,
            "C12",
        ),
        *(
            Check(f"{name} against full, relative", 0, value, high=1e-10, row="C18")
            for name, value in same.items()
        ),
    ]
