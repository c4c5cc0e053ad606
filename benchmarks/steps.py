"""What the steps of a study cost beside its fits: the constants of their laws, from made-up studies.

Each study is run by the workflow on one core, in a folder of its own. Notes of the steps say what each took,
logs what each job took; the rest of a job is its start, and the rest of the run is Snakemake's own.
`cortseq.stages.work` says the amounts.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

from cortseq import checking, costs, study
from cortseq.stages import estimate

ROOT = Path(__file__).parents[1]
Taken = tuple[str, dict[str, float], float]  # kind of law, amounts, seconds
Fitted = Callable[[list[dict[str, float]], list[float]], dict[str, float]]  # (amounts, seconds) -> constants
_QUICK = {"epochs": 4}


def _networks(hidden: int, *families: str) -> dict[str, Any]:
    return {f: {"family": f, "hidden": hidden, **(_QUICK if f != "esn" else {})} for f in families}


def _study(members: int, entry: dict[str, Any], models: dict[str, Any], **more: Any) -> dict[str, Any]:
    # one job of all steps that may share one: starts are measured on those that may not
    return {
        "study": "costs",
        "members": members,
        "batch_minutes": 1000,
        "datasets": {"made": entry},
        "models": models,
        **more,
    }


RING = {"source": "synthetic", "kind": "ring", "covariates": {"angle": "angle"}}
CHAIN = {"source": "synthetic", "kind": "chain"}
SIGNAL = {"source": "npz", "path": "signal.npz", "signal": "signal", "axes": ["trial", "time", "channel"]}
SIGNAL |= {"native_bin_ms": 100}
STUDIES = [
    _study(
        1,
        {**RING, "trials": 40, "units": 6, "bins": 20},
        {"flat": {"family": "flat"}, "hmm": {"family": "hmm", "states": 4}, **_networks(8, "rate", "esn")},
    ),
    _study(
        2,
        {**RING, "trials": 80, "units": 10, "bins": 40},
        {
            "psth": {"family": "psth"},
            "markov": {"family": "markov", "states": 8},
            "glm": {"family": "glm", "history": 5},
            **_networks(16, "rate", "lstm", "stp"),
        },
        controls=True,
    ),
    _study(
        1,
        {**RING, "trials": 240, "units": 50, "bins": 60},
        {
            "markov": {"family": "markov", "states": 32},
            "hmm": {"family": "hmm", "states": 16},
            "glm": {"family": "glm", "history": 20},
            **_networks(64, "rate"),
            **_networks(100, "esn"),
        },
        cosmoothing=True,
        controls=True,
    ),
    _study(
        2,
        {**CHAIN, "trials": 120, "symbols": 8, "bins": 60},
        {
            "markov": {"family": "markov", "order": [1, 3]},
            "ctw": {"family": "ctw"},
            "hmm": {"family": "hmm", "states": 8},
            **_networks(32, "rate", "stp"),
            **_networks(24, "lstm"),
        },
    ),
    _study(
        2,
        {**SIGNAL},
        {
            "glm": {"family": "glm", "history": 1},
            "hmm": {"family": "hmm", "states": 4, "autoregressive": True},
            **_networks(24, "rate", "lstm"),
        },
    ),
]


def measure(number: int) -> tuple[list[Taken], list[tuple[str, float, float]]]:
    """Run one of the studies; return what its steps took, and the memory of its jobs."""
    content, here = STUDIES[number], Path.cwd()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name in ("Snakefile", "workflow", "profiles"):
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
        rng = np.random.default_rng(0)
        np.savez(folder / "signal.npz", signal=rng.normal(size=(80, 50, 12)).cumsum(1))
        (folder / "study.json").write_text(json.dumps(content))
        command = [Path(sys.executable).parent / "snakemake", "--cores", "1", "--configfile", "study.json"]
        paths = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT / "src"),
        }
        paths["PYTHONDONTWRITEBYTECODE"] = ""  # jobs find bytecode, as they do where the package is installed
        before, speed = _children(), costs.speed_seconds()
        subprocess.run(command, cwd=folder, env={**os.environ, **paths}, check=True, capture_output=True)
        spent, pace = _children() - before, (speed + costs.speed_seconds()) / 2 / costs.measured()["speed_s"]
        before = _children()  # of a run that finds nothing to do
        subprocess.run(command, cwd=folder, env={**os.environ, **paths}, check=True, capture_output=True)
        idle = _children() - before
        os.chdir(folder)
        try:
            plan = study.validate(content)
            ran = [*taken(plan, spent), ("start/run", {"step": 1.0, "job": 0.0}, idle)]
            found = [(kind, work, seconds / pace) for kind, work, seconds in ran]
            return found, memory(plan)
        finally:
            os.chdir(here)


def _children() -> float:
    """Return the processor time of all processes that were started here and have ended, with theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def taken(plan: Any, spent: float | None = None) -> list[Taken]:
    """Return the processor time of the steps of a study that was run in this folder.

    Parameters
    ----------
    spent : of the whole run; None: nothing is returned of Snakemake.
    """
    planned, notes = planned_jobs(plan)[0], noted(plan)
    ran = {job.name: processor_time(f"results/{plan.study}/logs/{job.name}.log") for job in planned}
    found: list[Taken] = []
    starts: dict[str, list[float]] = {}
    for job in (job for job in planned if job.parts and all(part.name in notes for part in job.parts)):
        for part in job.parts:
            cost, seconds = part.cost, notes[part.name]["cpu_seconds"]
            if part.name.startswith("controls/"):  # a fit, and the numbers of its dynamics
                seconds -= notes[f"fit/{part.name.removeprefix('controls/')}/fold0"]["cpu_seconds"]
                cost = {"numbers": cost["numbers"]}
            found += [(kind, work, seconds) for kind, work in cost.items() if len(cost) == 1]
        start = ran[job.name] - sum(notes[part.name]["cpu_seconds"] for part in job.parts)
        starts.setdefault(job.start, []).append(start)
        found.append((job.start, {"step": 1.0}, start))
    for job in (job for job in planned if job.parts and job.parts[0].name not in notes):
        ((kind, work),) = job.parts[0].cost.items()  # a rule of one step: its job without the start
        found.append((kind, work, max(ran[job.name] - min(starts["start"]), 0.02)))
    if spent is not None:
        found.append(("start/run", {"step": 1.0, "job": float(len(planned))}, spent - sum(ran.values())))
    return found


def processor_time(log: str) -> float:
    """Return the processor time of the job that wrote a log, 0 where there is none."""
    said = re.findall(r"([0-9.]+) s of processor time", Path(log).read_text()) if Path(log).is_file() else []
    return float(said[-1]) if said else 0.0


def memory(plan: Any) -> list[tuple[str, float, float]]:
    """Return the law of the start of each job, MB of arrays, and the most MB that its steps took."""
    (planned, sizes), notes = planned_jobs(plan), noted(plan)
    arrays = max((size.cells * 8 / 1e6 for size in sizes.values()), default=0.0)
    found = []
    for job in planned:
        peaks = [notes[part.name]["peak_memory_mb"] for part in job.parts if part.name in notes]
        if peaks:
            found.append((job.start, arrays, float(max(peaks))))
    return found


def planned_jobs(plan: Any) -> tuple[list[estimate.Job], dict[str, Any]]:
    """Return the jobs of a study that was run in this folder, and the sizes of its recordings."""
    sizes = checking.sizes(plan)
    return estimate.of_plan(estimate.of_sizes(plan, sizes)), sizes


def noted(plan: Any) -> dict[str, dict[str, Any]]:
    """Return the notes of all steps by name."""
    folder = Path(f"results/{plan.study}/made")
    files = {str(file.relative_to(folder).with_suffix("")): file for file in folder.rglob("*.json")}
    return {name: json.loads(file.read_text()) for name, file in files.items()}


def laws(fitted: Fitted) -> dict[str, Any]:
    """Run all studies; return the constants of every kind of step, and MB of jobs and of arrays.

    Parameters
    ----------
    fitted : (amounts, seconds) -> seconds of one of each amount.
    """
    by_kind: dict[str, list[tuple[dict[str, float], float]]] = {}
    peaks = []
    for number in range(len(STUDIES)):
        steps, used = measure(number)
        peaks += used
        for kind, work, seconds in steps:
            name = kind if not kind.startswith("fit/") else ""  # fits have laws of their own
            by_kind.setdefault(name, []).append((work, max(seconds, 1e-3)))
        print(f"study {number}: {sum(s for _, _, s in steps):.0f} s of steps", flush=True)
    by_kind.pop("", None)
    constants = {kind: law(kind, pairs, fitted) for kind, pairs in sorted(by_kind.items())}
    return {"steps": constants, "memory_mb": _peaks(peaks)}


def law(kind: str, pairs: list[tuple[dict[str, float], float]], fitted: Fitted) -> dict[str, float]:
    """Return the constants of a kind of step; seconds of fits, which have laws of their own, are taken off.

    Parameters
    ----------
    pairs : amounts and seconds of each step of this kind.
    """
    fits = [work.get("second", 0.0) for work, _ in pairs]
    amounts = [{name: n for name, n in work.items() if name != "second"} for work, _ in pairs]
    seconds = [max(took - fit, 0.1 * took) for (_, took), fit in zip(pairs, fits, strict=True)]
    table = fitted(amounts, seconds)
    said = sum(work[name] * table[name] for work in amounts for name in work)
    scale = sum(seconds) / max(said, 1e-12)  # the whole is right, whatever imports add to first steps
    table = {name: float(f"{scale * value:.3g}") for name, value in table.items()}
    table |= {"second": 1.0} if any(fits) else {}
    ratios = np.array([sum(work[name] * table[name] for name in work) / took for work, took in pairs])
    whole = sum(took for _, took in pairs)
    print(f"{kind:<20}{whole:7.1f} s, law / measured {ratios.min():.2f} to {ratios.max():.2f}")
    return table


def _peaks(found: list[tuple[str, float, float]]) -> dict[str, float]:
    """Return MB of a job by the law of its start, and how many times its arrays are held."""
    kinds = sorted({kind for kind, _, _ in found})
    rows = [[*(float(kind == other) for other in kinds), arrays] for kind, arrays, _ in found]
    values, _ = nnls(np.array(rows), np.array([peak for _, _, peak in found]))
    return {name: float(f"{value:.3g}") for name, value in zip([*kinds, "array"], values, strict=True)}
