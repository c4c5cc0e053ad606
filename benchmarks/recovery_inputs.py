"""A teacher that is driven by known inputs, and what its students do under inputs that they never saw.

`python -m benchmarks.recovery_inputs`: a random network of each family draws spikes under two slow inputs; students of
the same family are fitted to these. Teacher and students then run freely under new inputs, replayed many times, and
the mean counts of bins and units are compared: the loop is closed, nothing recorded is read. Writes a table.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from cortseq import models, store
from cortseq import recording as rec
from cortseq.models.base import Fit
from cortseq.networks.untrained import untrained

BINS, UNITS, INPUTS, HIDDEN = 60, 40, 2, 8
SEQUENCES, REPEATS = 6, 400  # of inputs that are new to the students


@dataclass(frozen=True)
class Recovered:
    """R² of the teacher's mean counts, mean over students, of students that see the inputs and of one that does not."""

    family: str
    trials: int
    spread: float
    r2: float
    blind: float


def slow(rng: np.random.Generator, trials: int) -> np.ndarray:
    """Inputs (trial, time, input): u' = .8 u + .6 e, of standard deviation 1."""
    u = np.zeros((trials, BINS, INPUTS))
    u[:, 0] = rng.normal(size=u[:, 0].shape)
    for t in range(1, BINS):
        u[:, t] = 0.8 * u[:, t - 1] + 0.6 * rng.normal(size=u[:, t].shape)
    return u


def teacher(family: str, trials: int, seed: int) -> tuple[Fit, xr.Dataset]:
    """A random network whose units the inputs move by about their range, and spikes that it drew."""
    rng = np.random.default_rng([seed, 0])
    u = slow(rng, trials)
    counts = rng.poisson(0.5, (trials, BINS, UNITS))  # what it is not fitted to, but made for
    given = rec.from_counts(counts, bin_width=0.02, inputs=u)
    model = models.registry()[family].model_validate({"hidden": HIDDEN})
    fit = untrained(model, given, 1, seed)
    for name, size in (("readout_weight", 0.5), ("input_weight", 1.5)):
        last = fit.params[name][..., -INPUTS:] if name == "input_weight" else fit.params[name]
        last[:] = last.new_tensor(rng.normal(0, size, last.shape))
    fit.params["readout_bias"][:] = -0.9
    return fit, fit.simulate(trials, BINS, seed=seed, inputs=u).assign(inputs=given["inputs"])


def explained(true: np.ndarray, found: np.ndarray) -> float:
    """R² of means over repeats, (sequence, repeat, time, unit) each, the noise of both means taken off."""
    target, own = true.mean(1), found.mean(1)
    noise = [one.var(1, ddof=1).mean() / one.shape[1] for one in (true, found)]
    left = ((target - own) ** 2).mean() - sum(noise)
    return float(1 - left / (target.var((0, 1)).mean() - noise[0]))


def recover(family: str, trials: int = 1000, epochs: int = 200, members: int = 2, seed: int = 1) -> Recovered:
    """Fit students to what a teacher drew, and run all of them under the same new inputs."""
    true, spikes = teacher(family, trials, seed)
    roles = range(int(0.85 * trials)), range(int(0.85 * trials), trials)
    model = true.model.model_copy(update={"epochs": epochs})
    students = model.fit(spikes, *roles, members=members, seed=seed + 1, progress=_quiet)
    blind = model.model_copy(update={"inputs": False}).fit(spikes, *roles, seed=seed + 1, progress=_quiet)
    replayed = np.repeat(slow(np.random.default_rng([seed, 9]), SEQUENCES), REPEATS, 0)

    def run(fit: Fit, seed: int, **inputs: np.ndarray) -> np.ndarray:
        drawn = fit.simulate(len(replayed), BINS, seed=seed, **inputs)["counts"].values
        return drawn.reshape(SEQUENCES, REPEATS, BINS, UNITS)

    truth = run(true, 7, inputs=replayed)
    r2 = [explained(truth, run(students.only(m), 8 + m, inputs=replayed)) for m in range(members)]
    spread = float(truth.mean(1).std((0, 1)).mean())
    return Recovered(family, trials, spread, float(np.mean(r2)), explained(truth, run(blind, 7)))


def _quiet(*_) -> None:
    pass


def table(rows: list[Recovered]) -> str:
    """The results as a table of Markdown."""
    head = (
        "| teacher | trials | spread of its mean counts | R² of students | of one without inputs |\n|---|"
        + "---:|" * 4
    )
    lines = [f"| {r.family} | {r.trials} | {r.spread:.2f} | {r.r2:.3f} | {r.blind:.2f} |" for r in rows]
    return "\n".join([head, *lines])


def main(arguments: list[str] | None = None) -> int:
    """Run the chosen teachers and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recovery_inputs", description=__doc__)
    parser.add_argument("--teachers", nargs="+", default=["rate", "lstm"])
    parser.add_argument("--trials", nargs="+", type=int, default=[1000, 4000])
    parser.add_argument("--output", type=Path, default=Path("results/bench/recovery_inputs"))
    given = parser.parse_args(arguments)
    rows = []
    for family in given.teachers:
        for trials in given.trials:
            rows.append(recover(family, trials))
            print(table(rows).splitlines()[-1], flush=True)
    store.write_text(table(rows) + "\n", given.output.with_suffix(".md"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
