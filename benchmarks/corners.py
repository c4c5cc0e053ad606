"""Whether inputs and history are said to add something where they add nothing (`python -m benchmarks.corners`).

Counts of two kinds are drawn anew in every repetition: a cell driven by a known input alone, and cells that
excite each other and see no input. A model that sees what does not matter beside what does, over its twin
that sees only what does, adds nothing; it may cost a little, for the weights that it learned in vain. Where both see an input that does not matter, each another one, the true difference is 0:
there the level of the test is measured.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from benchmarks.calibration import Measured, markdown
from cortseq import models, store
from cortseq import recording as rec
from cortseq.data import Data
from cortseq.models.base import Model
from cortseq.scoring import blocks
from cortseq.scoring.statistics import LEVEL, PairedDifference, paired

UNITS, BINS, WIDTH = 6, 30, 0.02


def stimulus(rng: np.random.Generator, trials: int) -> np.ndarray:
    """One slow input, (trial, time, 1): u' = .8 u + .6 e, of standard deviation 1."""
    u = np.empty((trials, BINS))
    u[:, 0] = rng.normal(size=trials)
    for t in range(1, BINS):
        u[:, t] = 0.8 * u[:, t - 1] + 0.6 * rng.normal(size=trials)
    return u[..., None]


def driven(seed: int, trials: int) -> xr.Dataset:
    """Counts that follow the input and nothing else: rates exp(-1 + a_n u), a_n ~ N(0, .4^2)."""
    rng = np.random.default_rng([seed, 1])
    u = stimulus(rng, trials)
    counts = rng.poisson(np.exp(-1 + u * rng.normal(0, 0.4, UNITS)))
    return rec.from_counts(counts, bin_width=WIDTH).assign(inputs=(("trial", "time", "input"), u))


def coupled(seed: int, trials: int) -> xr.Dataset:
    """Counts that follow the bin before and nothing else: rates exp(-1 + W (y - 1/2)), W ~ N(0, .2^2)."""
    rng = np.random.default_rng([seed, 2])
    u, weights = stimulus(rng, trials), rng.normal(0, 0.2, (UNITS, UNITS))
    y = np.zeros((trials, BINS, UNITS))
    y[:, 0] = rng.poisson(np.exp(-1), (trials, UNITS))
    for t in range(1, BINS):
        y[:, t] = rng.poisson(np.exp(np.minimum(-1 + (y[:, t - 1] - 0.5) @ weights.T, 2)))
    return rec.from_counts(y.astype(int), bin_width=WIDTH).assign(inputs=(("trial", "time", "input"), u))


def other_input(recording: xr.Dataset, seed: int) -> xr.Dataset:
    """The same counts beside another input that they do not follow."""
    u = stimulus(np.random.default_rng([seed, 3]), recording.sizes["trial"])
    return recording.assign(inputs=(("trial", "time", "input"), u))


@dataclass(frozen=True)
class Case:
    """What is compared: `both` over `one`, fitted with `members`.

    blind : `one` sees the past and another useless input. folds : training sets; 1: half of the trials.
    """

    what: str
    which: str
    draw: Callable[[int, int], xr.Dataset]
    both: Model
    one: Model
    members: int = 1
    blind: bool = False
    folds: int = 1

    def difference(self, trials: int, seed: int) -> PairedDifference:
        """On `trials` test trials of twice as many, or on all of them, a fold each."""
        recording = self.draw(seed, 2 * trials)
        given = (recording, other_input(recording, seed) if self.blind else recording)
        tests = np.array_split(np.random.default_rng(seed).permutation(2 * trials), max(self.folds, 2))
        tests = [np.sort(test) for test in tests][: self.folds]
        scores = [
            np.concatenate([self._scores(model, seen, test, seed) for test in tests], axis=1)
            for model, seen in zip((self.both, self.one), given, strict=True)
        ]
        events = Data.of(recording, np.concatenate(tests)).n_events().sum(1).astype(float)
        place = blocks.place(tests, False)
        return paired(*scores, events, 1000, seed, **place).per(float(np.log(2)))

    def _scores(self, model: Model, seen: xr.Dataset, test: np.ndarray, seed: int) -> np.ndarray:
        """Nats (member, trial); of the other trials a sixth is validation."""
        rest = np.setdiff1d(np.arange(seen.sizes["trial"]), test)
        train, valid = rest[: 5 * len(rest) // 6], rest[5 * len(rest) // 6 :]
        fit = model.fit(seen, train, valid, members=self.members, seed=seed, progress=_quiet)
        return np.nansum(fit.log_prob(seen, test).values, -1)


def _quiet(*_) -> None:
    pass


def _model(family: str, **settings) -> Model:
    return models.registry()[family].model_validate({"family": family, **settings})


def cases(epochs: int) -> list[Case]:
    """Where nothing is to be added."""
    network = _model("rate", hidden=8, epochs=epochs)
    regression, encoding = _model("glm", history=3), _model("glm", history=0)
    unseeing = (model.model_copy(update={"inputs": False}) for model in (regression, network))
    inputs, useless = "inputs given history", "one useless input over another"
    return [
        Case("history given inputs", "regressions", driven, regression, encoding),
        Case(inputs, "regressions", coupled, regression, next(unseeing)),
        Case(useless, "regressions", coupled, regression, regression, blind=True),
        Case(useless, "regressions, five folds", coupled, regression, regression, blind=True, folds=5),
        Case("history given inputs", "networks over a regression", driven, network, encoding, 3),
        Case(inputs, "networks", coupled, network, next(unseeing), 3),
        Case(useless, "networks", coupled, network, network, 3, blind=True),
    ]


def measure(repetitions: int, trials: int, epochs: int) -> list[Measured]:
    """How often something is said to be added, and to be lost, where nothing is to be gained."""
    out = []
    for case in cases(epochs):
        found = [case.difference(trials, seed) for seed in range(repetitions)]
        mean = np.mean([f.estimate for f in found])
        n = trials * (1 + (case.folds > 1))
        setting = f"{case.which}, {n} test trials, mean {mean:+.4f} bits/spike"
        shown, gains = (
            np.array(x) for x in zip(*((f.p_value < LEVEL, f.estimate > 0) for f in found), strict=True)
        )
        said = {"differ": (shown, "3-7 %")}
        if not case.blind:
            said = {"add": (shown & gains, "<= 5 %"), "cost": (shown & ~gains, "")}
        rows = [Measured.of(f"{case.what}: said to {word}", setting, *hits) for word, hits in said.items()]
        out += rows
        print(*markdown(rows).splitlines()[2:], sep="\n", flush=True)
    return out


def main(arguments: list[str] | None = None) -> int:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.corners", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--trials", type=int, default=200, help="test trials; as many to learn from")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--output", type=Path, default=Path("results/bench/corners"))
    given = parser.parse_args(arguments)
    rows = measure(given.repetitions, given.trials, given.epochs)
    store.write_text(markdown(rows), given.output.with_suffix(".md"))
    store.write_json([asdict(r) for r in rows], given.output.with_suffix(".json"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
