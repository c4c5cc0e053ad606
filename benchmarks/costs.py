"""`python -m benchmarks.costs`: measure what fits and other steps cost, and write src/cortseq/costs.json.

Each family is fitted to made-up recordings of several sizes on every track. Its seconds are a sum of the
amounts of arithmetic that it counts (`Model.work`), each times a constant that is not negative (least squares
of relative errors). Times are CPU seconds of one thread; the first fit of each, which compiles, is not timed.
A short fixed calculation just before and after a fit says how much slower the machine was than at the start of
this program, and times are divided by that. The other steps are those of small studies that the workflow runs (`benchmarks.steps`).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from scipy.optimize import nnls

from benchmarks import harness, steps
from cortseq import costs, models, recording
from cortseq.data import Data
from cortseq.models.base import Model
from cortseq.models.work import Size
from cortseq.observations import TRACKS

# trials, bins, features; then the settings of a family that go with them
SHAPES = [(30, 30, 4), (60, 60, 4), (60, 60, 40), (120, 120, 12), (40, 200, 30), (240, 40, 6), (100, 50, 80)]
SETTINGS: dict[str, dict[str, list[int]]] = {
    "network": {"hidden": [16, 32, 64, 64, 128, 32, 96], "epochs": [4, 4, 3, 2, 2, 3, 2]},
    "esn": {"hidden": [20, 50, 100, 60, 120, 40, 60]},
    "hmm": {"states": [4, 8, 16, 8, 16, 32, 8]},
    "lds": {"latents": [2, 4, 8, 4, 8, 16, 8]},
    "slds": {"states": [2, 2, 3, 4, 2, 3, 4], "latents": [2, 4, 4, 2, 8, 4, 4]},
    "glm": {"history": [1, 20, 5, 50, 5, 50, 1]},
    "markov": {"states": [8, 16, 16, 32, 8, 32, 16], "order": [1, 2, 1, 3, 2, 1, 1]},
    "ctw": {"states": [8, 16, 8, 32, 8, 16, 16], "depth": [4, 6, 4, 4, 3, 2, 4]},
}
STATES, STAY = 6, 0.9
_KEPT = ("theory/", "forgetting")  # kinds of steps that the made-up studies have not


def made(track: str, trials: int, bins: int, features: int) -> xr.Dataset:
    """Return a recording of hidden states that last ten bins on average."""
    rng = np.random.default_rng(0)
    state = np.zeros((trials, bins), int)
    state[:, 0] = rng.integers(STATES, size=trials)
    for t in range(1, bins):
        stays = rng.random(trials) < STAY
        state[:, t] = np.where(stays, state[:, t - 1], rng.integers(STATES, size=trials))
    if track == "counts":
        rates = rng.gamma(1.0, 0.15, (STATES, features))
        return recording.from_counts(rng.poisson(rates[state]), bin_width=0.02)
    if track == "signal":
        noise = rng.normal(size=(trials, bins, features))
        return recording.from_signal(rng.normal(size=(STATES, features))[state] + noise, bin_width=0.1)
    share = rng.dirichlet(np.full(features, 0.5), STATES).cumsum(1)[state]
    labels = np.minimum((rng.random((trials, bins, 1)) > share).sum(-1), features - 1)
    return recording.from_symbols(list(labels), n_symbols=features)


def specification(family: type[Model], number: int) -> Model:
    """Return the specification that a family is fitted with to the shape of that number."""
    name = family.model_fields["family"].default
    kind = "network" if family.role == "recurrent" and name not in SETTINGS else name
    settings: dict[str, Any] = {key: values[number] for key, values in SETTINGS.get(kind, {}).items()}
    return family(**settings)


def measure(model: Model, data: xr.Dataset, track: str, members: int = 1) -> tuple[Size, float]:
    """Return the size of a fit and its CPU seconds; a quarter of the trials is for validation."""
    n = data.sizes["trial"]
    valid = n // 4
    size = Size(track, n - valid, valid, data.sizes["time"], Data.of(data).n_features, members)
    start = time.process_time()
    model.fit(data, train=range(n - valid), valid=range(n - valid, n), members=members, seed=0)
    return size, time.process_time() - start


def constants(amounts: list[dict[str, float]], taken: list[float]) -> dict[str, float]:
    """Return seconds of each kind of arithmetic, not negative, of least relative error.

    Parameters
    ----------
    amounts : of each fit, by kind of arithmetic.
    taken : CPU seconds of each fit.
    """
    kinds = list(amounts[0])
    rows = np.array([[amount[kind] for kind in kinds] for amount in amounts]) / np.array(taken)[:, None]
    scale = np.maximum(rows.max(0), 1e-300)
    found, _ = nnls(rows / scale, np.ones(len(taken)))
    ratios = rows @ (found / scale)  # law / measured: the largest and the least are made equally far from 1
    found /= scale * np.sqrt(ratios.min() * ratios.max())
    return {kind: float(f"{value:.3g}") for kind, value in zip(kinds, found, strict=True)}


def calibrate(name: str, speed: float) -> dict[str, dict[str, float]]:
    """Return the constants of a family by track; print how far the law is from its own fits.

    Parameters
    ----------
    name : of the family.
    speed : seconds of the fixed calculation, on the undisturbed machine.
    """
    found: dict[str, dict[str, float]] = {}
    for track in TRACKS:
        if not models.registry()[name].small().applies(track):
            continue
        amounts, taken = [], []
        for number, shape in enumerate(SHAPES):
            model, data = specification(models.registry()[name], number), made(track, *shape)
            if number == 0:
                measure(model, data, track)
            before = costs.speed_seconds()
            size, cpu = measure(model, data, track)
            amounts.append(model.work(size))
            taken.append(cpu * 2 * speed / (before + costs.speed_seconds()))
        table = found[track] = constants(amounts, taken)
        laws = [sum(amount[kind] * table[kind] for kind in amount) for amount in amounts]
        ratios = np.array(laws) / np.array(taken)
        line = f"{sum(taken):6.1f} s, law / measured {ratios.min():.2f} to {ratios.max():.2f}"
        print(f"{name:<12}{track:<8}{line}", flush=True)
    return found


def main(arguments: list[str] | None = None) -> int:
    """Measure all families or some, and write the file; constants of others stay."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.costs", description=__doc__)
    parser.add_argument("--only", nargs="*", choices=sorted(models.registry()), help="families; default: all")
    parser.add_argument("--steps", action="store_true", help="measure the other steps, too")
    parser.add_argument("--output", type=Path, default=costs.FILE)
    given = parser.parse_args(arguments)
    from threadpoolctl import threadpool_limits

    content = json.loads(given.output.read_text(encoding="utf-8")) if given.output.is_file() else {}
    with threadpool_limits(1):
        speed = costs.speed_seconds()
        content |= {
            "made_by": "python -m benchmarks.costs",
            "machine": harness.machine(),
            "speed_s": float(f"{speed:.3g}"),
            "seconds": content.get("seconds", {}),
        }
        for name in sorted(models.registry()) if given.only is None else given.only:
            content["seconds"][name] = calibrate(name, speed)
            given.output.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if given.steps:
        costs.measured.cache_clear()  # the steps are scaled by the speed that was just written
        known = {kind: table for kind, table in content.get("steps", {}).items() if kind.startswith(_KEPT)}
        found = steps.laws(constants)
        content |= {**found, "steps": {**known, **found["steps"], "fit": {"second": 1.0}}}
        given.output.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
