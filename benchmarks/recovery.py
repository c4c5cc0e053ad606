"""Teacher to spikes to student: what of a network's dynamics comes back (`python -m benchmarks.recovery`).

A teacher of each family learns a recording of two hidden bits that switch (the chaotic teacher is a random
network). Its own spikes, drawn in free running, are what students of the same family are fitted to. Compared
are the closed loops: fixed points by the counts they expect (a space that both share), spectra of Jacobians at
the point nearest to the data, largest Lyapunov exponents, and whether the intervals that the students' table states hold the teacher's
value. Writes a table, `<output>.md` and `<output>.json`.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from scipy.stats import binomtest

from cortseq import dynamics, models, store
from cortseq import recording as rec
from cortseq.dynamics import calibration, laboratory, quantities, similarity, summary
from cortseq.dynamics.fixed_points import rms_spread
from cortseq.dynamics.laboratory import closed_loop, weights
from cortseq.errors import CortseqError
from cortseq.models.base import Fit

TEACHERS = ("rate", "lstm", "dale", "stp", "low_rank", "chaotic")
WEIGHT_DECAYS = (0.0, 0.1, 0.2, 0.5)  # of students, chosen on validation trials
# What the coverage of calibrated intervals is measured on: no twins, which are slow, and no numbers of weights.
CALIBRATED = tuple(
    analysis
    for analysis in laboratory.NUMBERS
    if analysis is not closed_loop.twins and analysis.__module__ != weights.__name__
)
_CHAOTIC_UNITS, _CHAOTIC_LEAK, _DRAWS = 20, 0.4, 1000


@dataclass(frozen=True)
class Size:
    """Of one recovery; time in bins of 20 ms. teacher_decay : weight decay that the teacher is fitted with."""

    hidden: int = 24
    units: int = 60
    trials: int = 400
    time: int = 100
    epochs: int = 200
    members: int = 5
    gain: float = 3.0
    teacher_decay: float = 0.5


@dataclass(frozen=True)
class Recovered:
    """Means over students. r2 : of the teacher's states from a linear map of the student's, held-out trials.
    shared_recall, shared_precision : of the points that most students share. distance : Wasserstein, of Jacobian spectra, teacher to students; ruler : between students. left : share of a surprise that is left after 10 bins. covered : of `quantities` lines of the students' table, how many hold the teacher's value.
    """

    family: str
    r2: float
    points: int
    recall: float
    precision: float
    shared_recall: float
    shared_precision: float
    same_stability: float
    distance: float
    ruler: float
    exponent: float
    student_exponent: float
    left: float
    student_left: float
    weight_decay: float
    covered: int
    quantities: int
    missed: str


def bits(size: Size, seed: int) -> xr.Dataset:
    """Counts of units that are tuned to two hidden bits, each of which switches in 3 % of the bins."""
    rng = np.random.default_rng([seed, 1])
    state = np.cumsum(rng.random((size.trials, size.time, 2)) < 0.03, 1) + rng.integers(
        0, 2, (size.trials, 1, 2)
    )
    tuning = rng.normal(0, 0.7, (2, size.units))
    return rec.from_counts(rng.poisson(0.4 * np.exp((2.0 * (state % 2) - 1) @ tuning)), bin_width=0.02)


def roles(size: Size) -> tuple[list[int], list[int], list[int]]:
    """Training, validation and test trials: 70, 15 and 15 %."""
    every, first, second = list(range(size.trials)), int(0.7 * size.trials), int(0.85 * size.trials)
    return every[:first], every[first:second], every[second:]


def specification(family: str, size: Size):
    """The model that teacher and students are."""
    name = "rate" if family == "chaotic" else family
    hidden = _CHAOTIC_UNITS if family == "chaotic" else size.hidden
    given: dict[str, Any] = {"hidden": hidden, "epochs": size.epochs}
    return models.registry()[name].model_validate(given | ({"rank": 2} if name == "low_rank" else {}))


def teacher(family: str, size: Size, seed: int) -> Fit:
    """A network whose dynamics are known because it is at hand: fitted to `bits`, or random and chaotic."""
    model, recording = specification(family, size), bits(size, seed)
    train, valid, _ = roles(size)
    if family != "chaotic":
        model = model.model_copy(update={"weight_decay": size.teacher_decay})
        return model.fit(recording, train, valid, members=1, seed=seed, progress=_quiet)
    fit = model.model_copy(update={"epochs": 1}).fit(recording, train, valid, seed=seed, progress=_quiet)
    for draw in range(_DRAWS):
        rng = np.random.default_rng([seed, 2, draw])
        drawn = Fit(model, _chaotic(fit.params, size, rng), fit.card, fit.curves)
        if _is_lesson(drawn, seed):
            return drawn
    raise CortseqError(
        f"none of {_DRAWS} networks is chaotic and told by its spikes", key="gain", value=size.gain
    )


def _is_lesson(fit: Fit, seed: int) -> bool:
    """Whether the closed loop is chaotic from every start, and spikes tell the state: small random networks settle on
    cycles, and where small differences grow under one and the same input no reader of spikes can follow."""
    starts = np.random.default_rng(seed).normal(0, 0.5, (10, fit.model.hidden))  # type: ignore[attr-defined]
    closed = fit.flow(0, "closed")
    # most draws are out after a short look
    for n_steps, least in ((100, 0.0), (600, 0.015)):
        if dynamics.leading_exponents(closed, starts, n_steps, 200).min() < least:
            return False
    return float(dynamics.conditional_exponents(fit, fit.simulate(20, 100, seed=seed)).mean()) < -0.02


def _chaotic(params: dict, size: Size, rng: np.random.Generator) -> dict:
    """Weights N(0, gain^2 / hidden), inputs whose noise moves a unit by about 0.7, a read-out that shows every dimension."""
    import torch

    n = params["bias"].shape[-1]
    given = {
        "recurrent": rng.normal(0, size.gain / np.sqrt(n), (n, n)),
        "input_weight": rng.normal(0, 0.7 / np.sqrt(size.units), params["input_weight"].shape[1:]),
        "bias": np.zeros(n),
        "start": rng.normal(0, 0.5, n),
        "leak_raw": np.full(n, np.log(_CHAOTIC_LEAK / (1 - _CHAOTIC_LEAK))),
        "readout_weight": rng.normal(0, 1 / np.sqrt(n), params["readout_weight"].shape[1:]),
        "readout_bias": np.zeros(params["readout_bias"].shape[1:]),  # a spike a bin
    }
    return {k: torch.as_tensor(given[k], dtype=v.dtype)[None] if k in given else v for k, v in params.items()}


def recover(family: str, size: Size, seed: int = 0, say=print) -> Recovered:
    """One family from teacher to students; chaos takes more units and trials to tell."""
    if family == "chaotic":
        size = replace(size, units=size.units * 5 // 3, trials=2 * size.trials)
    train, valid, test = roles(size)
    true = teacher(family, size, seed)
    spikes = true.simulate(size.trials, size.time, seed=seed)
    say(f"{family}: teacher fitted, {float(spikes['counts'].mean()):.2f} counts per bin")
    students = _students(true.model, spikes, train, valid, size.members, seed + 1)
    say(f"{family}: {size.members} students fitted, weight decay {students.card['model']['weight_decay']:g}")
    found = [laboratory.examine(fit, spikes, train, test, "", seed, _quiet) for fit in (true, students)]
    say(f"{family}: dynamics examined")
    scale = rms_spread(true.predict(spikes, test).values[0].reshape(-1, size.units))
    matches, common = (
        [_match(found, member, scale, least) for member in range(size.members)]
        for least in (0.0, quantities.MOST)
    )
    spectra = [_spectra(one) for one in found]
    apart = [similarity.spectral_distance(spectra[0][0], s) for s in spectra[1]] if spectra[0] else [np.nan]
    between = [similarity.spectral_distance(a, b) for i, a in enumerate(spectra[1]) for b in spectra[1][:i]]
    covered, missed = _coverage(*(summary.summarise(one) for one in found))
    exponents, left = (
        [float(one[name].mean()) if name in one else np.nan for one in found]
        for name in ("leading_exponents", "surprise_left")
    )

    def mean(name: str, of=matches) -> float:
        values = np.array([getattr(m, name) for m in of])
        return float(np.nanmean(values)) if np.isfinite(values).any() else np.nan

    return Recovered(
        family=family,
        r2=_states_r2(true, students, spikes, test),
        points=int(np.isfinite(found[0]["speed"].values[0]).sum()),
        recall=mean("recall"),
        precision=mean("precision"),
        shared_recall=mean("recall", common),
        shared_precision=mean("precision", common),
        same_stability=mean("agree"),
        distance=float(np.mean(apart)),
        ruler=float(np.mean(between)) if between else np.nan,
        exponent=exponents[0],
        student_exponent=exponents[1],
        left=left[0],
        student_left=left[1],
        weight_decay=float(students.card["model"]["weight_decay"]),
        covered=covered,
        quantities=covered + len(missed),
        missed=", ".join(missed),
    )


def _students(model, spikes: xr.Dataset, train, valid, members: int, seed: int) -> Fit:
    """The weight decay that predicts validation trials best: it also ties down what data say little about."""
    fits = [
        model.model_copy(update={"weight_decay": decay}).fit(
            spikes, train, valid, members, seed, progress=_quiet
        )
        for decay in WEIGHT_DECAYS
    ]
    return max(fits, key=lambda fit: float(np.nansum(fit.log_prob(spikes, valid).values)))


def _halves(test: list[int]) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(len(test) // 2), np.arange(len(test) // 2, len(test))


def _states_r2(true: Fit, students: Fit, spikes: xr.Dataset, test: list[int]) -> float:
    """Of the teacher's states from the students', both reading the same spikes."""
    target, own = true.states(spikes, test).values[0], students.states(spikes, test).values
    return float(np.mean([similarity.linear_map(s, target, *_halves(test)).r2 for s in own]))


def _match(found: list, member: int, scale: float, least: float) -> similarity.FixedPointMatch:
    """Fixed points near the data, by the counts they expect; of the student those that a share of `least` of the others has."""
    points, stable = [], []
    for m, one, share in ((0, found[0], 0.0), (member, found[1], least)):
        near = one["distance"].values[m] <= quantities.NEAR
        if "shared" in one:
            near &= one["shared"].values[m] >= share
        points.append(one["expected"].values[m][near])
        stable.append(one["stable"].values[m][near])
    return dynamics.match_fixed_points(points[0], points[1], laboratory.SAME_POINT, scale, stable)


def _spectra(one: xr.Dataset) -> list[np.ndarray]:
    values = one["nearest_eigenvalues_real"].values + 1j * one["nearest_eigenvalues_imag"].values
    return [row for row in values if np.isfinite(row).all()]


def _coverage(truth, stated) -> tuple[int, list[str]]:
    """How many of the stated intervals hold the teacher's value, and the names of those that do not. Of weights by
    themselves nothing is asked: other coordinates of the same dynamics have other weights."""
    truth, stated = truth[truth["map"] != "weights"], stated.set_index("quantity")
    hit, missed = 0, []
    for name, value in truth.set_index("quantity")["value"].items():
        if name in stated.index and np.isfinite(value) and not np.isnan(stated.loc[name, "low"]):
            inside = stated.loc[name, "low"] - 1e-9 <= value <= stated.loc[name, "high"] + 1e-9
            hit += inside
            missed += [] if inside else [str(name)]
    return int(hit), missed


@dataclass(frozen=True)
class Covered:
    """How many lines of students' tables hold the teacher's value, as stated and calibrated by refits.

    Lines are those of all recordings of one teacher; those of one recording are not independent. width : median
    of the calibrated over the stated width.
    """

    family: str
    recordings: int
    refits: int
    lines: int
    stated: int
    calibrated: int
    width: float
    missed: str


def coverage(family: str, size: Size, refits: int, recordings: int, seed: int = 0, say=print) -> Covered:
    """Students of several recordings of one teacher; the refits of the first calibrate the intervals of all."""
    train, valid, test = roles(size)
    given = {"train": train, "valid": valid, "test": test}
    true, model = teacher(family, size, seed), specification(family, size)
    model = model.model_copy(update={"weight_decay": size.teacher_decay})
    truths, stated, again = [], [], []
    for k in range(recordings):
        spikes = true.simulate(size.trials, size.time, seed=seed + k)
        fit = model.fit(spikes, train, valid, size.members, seed + k + 1, progress=_quiet)
        found = [
            laboratory.examine(f, spikes, train, test, "", seed, _quiet, CALIBRATED) for f in (true, fit)
        ]
        for to, one in zip((truths, stated), found, strict=True):
            to.append(summary.summarise(one))
        if k == 0:
            first = fit, spikes
    for draw in range(refits):
        again.append(calibration.refit(*first, given, draw, seed, "cpu", _quiet, CALIBRATED))
        say(f"{family}: refit {draw + 1}")
    widened = [calibration.calibrated(one, again) for one in stated]
    return _covered(family, refits, truths, stated, widened)


def _covered(family: str, refits: int, truths: list, stated: list, widened: list) -> Covered:
    """Count the lines that hold the truth; of lines without a calibrated interval nothing is counted."""
    known = [table["interval"].astype(str).str.startswith("calibrated") for table in widened]
    before, after = (
        [_coverage(truth, table[rows]) for truth, table, rows in zip(truths, tables, known, strict=True)]
        for tables in (stated, widened)
    )
    widths = [
        (w[rows]["high"] - w[rows]["low"]) / (s[rows]["high"] - s[rows]["low"])
        for s, w, rows in zip(stated, widened, known, strict=True)
    ]
    ratio = np.concatenate(widths)
    return Covered(
        family,
        len(stated),
        refits,
        sum(hit + len(missed) for hit, missed in before),
        sum(hit for hit, _ in before),
        sum(hit for hit, _ in after),
        float(np.median(ratio[np.isfinite(ratio)])),
        ", ".join(sorted({name for _, missed in after for name in missed})),
    )


def coverage_table(rows: list[Covered]) -> str:
    """The coverage as a table of Markdown, with Clopper-Pearson intervals as if lines were independent."""
    lines = [
        "| teacher | recordings | refits | lines | stated | calibrated | 95 % | width |",
        "|---|" + "---:|" * 7,
    ]
    for r in rows:
        low, high = binomtest(r.calibrated, r.lines).proportion_ci(0.95)
        lines.append(
            f"| {r.family} | {r.recordings} | {r.refits} | {r.lines} | {r.stated / r.lines:.1%} | "
            f"{r.calibrated / r.lines:.1%} | {low:.1%} to {high:.1%} | {r.width:.2f} |"
        )
    return "\n".join(lines)


def _quiet(*_) -> None:
    pass


def table(rows: list[Recovered]) -> str:
    """The results as a table of Markdown."""
    head = (
        "| teacher | R² of states | fixed points | recall | precision | recall of shared points | precision of shared points | same stability "
        "| spectra: teacher to student | student to student | exponent of teacher | of students | of a surprise left after 10 bins, teacher | students | weight decay | intervals that hold |\n|---|"
        + "---:|"
        * 15
    )
    lines = [
        f"| {r.family} | {r.r2:.3f} | {r.points} | {r.recall:.2f} | {r.precision:.2f} | {r.shared_recall:.2f} | {r.shared_precision:.2f} | {r.same_stability:.2f} | {r.distance:.3f} "
        f"| {r.ruler:.3f} | {r.exponent:.4f} | {r.student_exponent:.4f} | {r.left:.3f} | {r.student_left:.3f} | {r.weight_decay:g} | {r.covered} of {r.quantities} |"
        for r in rows
    ]
    return "\n".join([head, *lines])


def main(arguments: list[str] | None = None) -> int:
    """Run the chosen teachers and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recovery", description=__doc__)
    parser.add_argument("--teachers", nargs="+", default=list(TEACHERS), choices=TEACHERS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--refits", type=int, default=0, help="coverage of intervals calibrated by so many refits"
    )
    parser.add_argument("--recordings", type=int, default=10, help="of each teacher, where there are refits")
    for name, default in asdict(Size()).items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    parser.add_argument("--output", type=Path, default=Path("results/bench/recovery"))
    given = vars(parser.parse_args(arguments))
    size = Size(**{name: given[name] for name in asdict(Size())})
    if given["refits"]:
        return _measure_coverage(given, size)
    rows = []
    for family in given["teachers"]:
        rows.append(recover(family, size, given["seed"]))
        print(table(rows).splitlines()[-1], flush=True)
    store.write_text(table(rows) + "\n", given["output"].with_suffix(".md"))
    store.write_json(
        {"size": asdict(size), "rows": [asdict(r) for r in rows]}, given["output"].with_suffix(".json")
    )
    return 0


def _measure_coverage(given: dict[str, Any], size: Size) -> int:
    rows = []
    for family in given["teachers"]:
        rows.append(coverage(family, size, given["refits"], given["recordings"], given["seed"]))
        print(coverage_table(rows).splitlines()[-1], rows[-1].missed, flush=True)
    store.write_text(coverage_table(rows) + "\n", given["output"].with_suffix(".coverage.md"))
    store.write_json(
        {"size": asdict(size), "rows": [asdict(r) for r in rows]},
        given["output"].with_suffix(".coverage.json"),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
