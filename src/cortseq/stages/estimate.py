"""About how long a study takes on some cores, and how much memory, before anything of it is made."""

from __future__ import annotations

import heapq
import json
import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cortseq import costs, memory
from cortseq.costs import Cost
from cortseq.models.work import Size
from cortseq.stages import holding, work
from cortseq.stages.jobs import fetched, jobs
from cortseq.stages.plan import Plan
from cortseq.stages.results import audit
from cortseq.steps import Step

if TYPE_CHECKING:
    from cortseq.study import Study

# Script, or task of a script -> the word under which its time is said.
_WORDS = {
    **dict.fromkeys(("load", "preprocess", "split"), "reading"),
    **dict.fromkeys(("fit", "fit_together", "score"), "fits"),
    **dict.fromkeys(("dynamics", "control", "refit"), "dynamics"),
    "forecasts": "forecasts",
    **dict.fromkeys(("memory", "generation", "ceilings", "quality", "cosmooth", "forgetting"), "other tasks"),
    "audit": "audits",
    **dict.fromkeys(("figure", "figure_theory", "sheet"), "figures"),
    "theory": "theory",
}
BASIS = "laws of cost, mostly within a factor of 2"


class Part(NamedTuple):
    """A step of a job: its name, the word under which its time is said, and what it costs."""

    name: str
    word: str
    cost: Cost


@dataclass(frozen=True)
class Job:
    """A job of the workflow.

    Attributes
    ----------
    kind : of the job, such as "fits".
    name : path of its log below the folder of logs, without a suffix.
    given, made : files that are read and written.
    parts : its steps.
    priority : over other jobs that could begin.
    """

    kind: str
    name: str
    given: list[str]
    made: list[str]
    parts: list[Part]
    priority: int = 0

    @property
    def start(self) -> str:
        """Return the law of its start: importing torch takes longest."""
        kinds = {kind for part in self.parts for kind in part.cost}
        return "start/network" if any(map(work.uses_torch, kinds)) else "start"

    @property
    def seconds(self) -> dict[str, float]:
        """Return its seconds on this machine, by word."""
        found: dict[str, float] = {}
        for part in [*self.parts, Part("", "starts", {self.start: {"step": 1.0}})]:
            for kind, seconds in costs.of_step(part.cost).items():
                found[part.word] = found.get(part.word, 0.0) + seconds * costs.correction(kind)
        return found


def of_study(
    study: Study,
    sizes: Mapping[str, Size],
    cores: int,
    left: Collection[str] | None = None,
    made: Collection[str] = (),
) -> dict[str, Any]:
    """Return what a study will cost, as plain values.

    Parameters
    ----------
    sizes : of the first fold of each recording, as far as they are known.
    left : files that are still to be made; None: nothing is there yet.
    made : names of steps that stay as they are although their job runs; see `standing`.

    Returns
    -------
    `left`: whether it is of what is left only; `cores`; `jobs` by kind; `seconds` from start to end on these
    cores; `core_seconds` of one core by what is done; `memory_mb` of all jobs that run at one time, at most;
    `whole`: families that hold all of a large recording to learn, and `whole_mb` of one of their fits;
    `usual`: recordings whose sizes are not known and taken for usual ones; `made`: how many steps an earlier
    run has noted, and what they took; `basis`: how far to trust it.
    """
    return of_jobs(*planned(study, sizes, left, made), cores, left is not None)


def planned(
    study: Study,
    sizes: Mapping[str, Size],
    left: Collection[str] | None = None,
    made: Collection[str] = (),
) -> tuple[Plan, list[Job]]:
    """Return the plan of a study with the costs of all steps, and its jobs; arguments as of `of_study`."""
    sized = of_sizes(study, sizes)
    return sized, _left(of_plan(sized), left, made)


def of_jobs(sized: Plan, planned: list[Job], cores: int, left: bool) -> dict[str, Any]:
    """Return what jobs will cost, as `of_study`.

    Parameters
    ----------
    sized, planned : as `planned` returns them.
    left : whether they are what is left only.
    """
    study, sizes, before = sized.study, sized.sizes, noted(sized)
    cells = max((size.cells for size in sizes.values()), default=0.0)
    fitted = {kind.removeprefix("fit/") for kind in _kinds(planned) if kind.startswith("fit/")}
    whole = [family for family in sorted(fitted) if not work.in_blocks(f"fit/{family}")]
    whole = whole if cells > memory.block_numbers() else []
    taken = [job.seconds for job in planned]
    start = {"start/run": {"step": 1.0, "job": float(len(planned))}}
    begun = costs.of_step(start)["start/run"] * costs.correction("start/run")
    spent = Counter({"starts": begun})
    for seconds in taken:
        spent.update(seconds)
    wall = begun + scheduled(planned, [sum(seconds.values()) for seconds in taken], cores)
    return {
        "left": left,
        "cores": cores,
        "jobs": dict(Counter(job.kind for job in planned)),
        "seconds": _rounded(wall),
        "core_seconds": {word: _rounded(seconds) for word, seconds in spent.most_common()},
        "memory_mb": _rounded(_memory(planned, cells, cores, holding.most(sized))),
        "whole": whole,
        "whole_mb": _rounded(memory.WHOLE * cells / 1e6),
        "usual": sorted(set(study.datasets) - set(sizes)) if study.models else [],
        "made": {
            "steps": len(before),
            "of": len(sized.costs),
            "core_seconds": _rounded(sum(before.values())),
        },
        "basis": BASIS,
    }


def agenda(planned: Iterable[Job]) -> list[dict[str, Any]]:
    """Return the jobs of a run that begins, as plain values for those who watch it.

    Each has `kind`, `name`, `given`, `made` and `priority` of a `Job`, in `start` the seconds before its
    first step, and in `parts` the name, the word and the seconds of each step.
    """
    return [
        {
            **{key: getattr(job, key) for key in ("kind", "name", "given", "made", "priority")},
            "start": _seconds({job.start: {"step": 1.0}}),
            "parts": [{"name": p.name, "word": p.word, "seconds": _seconds(p.cost)} for p in job.parts],
        }
        for job in planned
    ]


def _seconds(cost: Cost) -> float:
    """Return the seconds of a cost on this machine."""
    return sum(s * costs.correction(kind) for kind, s in costs.of_step(cost).items())


def _left(planned: list[Job], left: Collection[str] | None, made: Collection[str]) -> list[Job]:
    """Return the jobs that make one of the files `left`, without their steps that are made."""
    if left is None:
        return planned
    needed = [job for job in planned if not set(left).isdisjoint(job.made)]
    return [replace(job, parts=[p for p in job.parts if p.name not in made]) for job in needed]


def standing(plan: Plan, left: Collection[str]) -> set[str]:
    """Return the names of the steps that are made and stay, in the jobs that make one of the files `left`.

    Not made again: what was made from the settings, code and files of now, none of which is still to come.
    """
    needed = [batch for batch in jobs(plan) if not set(left).isdisjoint(batch.outputs)]
    coming = set(left).difference(file for batch in needed for file in batch.outputs)
    found = set()
    for step in (step for batch in needed for step in batch.steps):  # in the order in which they are made
        if coming.isdisjoint(step.inputs) and (step.is_made or step.kept.is_dir()):
            found.add(step.name)
        else:
            coming.update(step.outputs)
    return found


def usable() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")


def of_plan(sized: Plan) -> list[Job]:
    """Return every job of a study: steps share jobs by usual sizes, and take what the plan's sizes say."""
    study = sized.study
    found = [
        Job(
            batch.name.split("_")[0],
            f"batches/{batch.name}",
            batch.inputs,
            batch.outputs,
            _parts(sized, batch.steps),
            batch.priority,
        )
        for batch in jobs(Plan(study, None))
    ]
    if study.theory:
        drawn = [file for job in found if job.kind == "theory" for file in job.made]
        found.append(Job("theory_report", "theory_report", drawn, [f"{sized.out}/theory.html"], []))
    return [*_read(sized), *found, *_compared(sized, found)] if sized.compares else found


def of_sizes(study: Study, sizes: Mapping[str, Size]) -> Plan:
    """Return a plan that has the costs of all steps."""
    plan = Plan(study, None, sizes)
    jobs(plan)
    if plan.compares:
        for name in plan.facts:
            audit(plan, name)
    return plan


def _parts(plan: Plan, steps: list[Step]) -> list[Part]:
    """Return the steps of a job with what they cost by the plan."""
    return [Part(s.name, _WORDS[s.key.get("task", s.script)], plan.costs[s.name]) for s in steps]


def _read(plan: Plan) -> list[Job]:
    """Return the jobs from the raw files to the roles of the trials."""
    found = [Job("fetch", f"fetch/{file.name}", [], [str(file)], []) for file in fetched(plan.study)]
    for name in plan.facts:
        raw, trials, roles = (
            plan.path(product, dataset=name) for product in ("recordings", "trials", "splits")
        )
        cells = {"step": 1.0, "cell": plan.size(name).cells}
        chain: tuple[tuple[str, list[str], str], ...] = (
            ("load", [], raw),
            ("preprocess", [raw], trials),
            ("split", [trials], roles),
        )
        found += [
            Job(kind, f"{kind}/{name}", given, [made], [Part(kind, "reading", {kind: cells})])
            for kind, given, made in chain
        ]
    return found


def _compared(plan: Plan, found: list[Job]) -> list[Job]:
    """Return the audits, the comparison, and what follows it."""
    audits = {name: audit(plan, name) for name in plan.facts}
    variants = {"step": 1.0, "variant": float(sum(len(f.variants) * f.folds for f in plan.facts.values()))}
    comparison, claims = plan.path("comparison"), plan.path("claims")
    report, every = f"{plan.out}/report.html", [file for job in found for file in job.made]

    def rule(kind: str, given: list[str], made: str) -> Job:
        return Job(kind, kind, given, [made], [Part(kind, "tables", {kind: variants})])

    return [
        *(
            Job("audit", f"batches/audit_{name}", step.inputs, step.outputs, _parts(plan, [step]))
            for name, step in audits.items()
        ),
        rule("compare", plan.every("scores"), comparison),
        rule("claims", [comparison, *plan.every("dynamics_tables")], claims),
        rule("report", [claims, *every], report),
        rule("conclude", [report], f"{plan.out}/complete"),
    ]


def scheduled(planned: list[Job], seconds: list[float], cores: int) -> float:
    """Return the seconds after which all jobs are done, `seconds` long each, on so many cores.

    A job begins when what it reads is made and a core is free, those of high priority first, as Snakemake
    does it.
    """
    maker = {file: i for i, job in enumerate(planned) for file in job.made}
    left = [{maker[file] for file in job.given if file in maker} for job in planned]
    readers: dict[int, list[int]] = {}
    for i, makers in enumerate(left):
        for j in makers:
            readers.setdefault(j, []).append(i)
    ready = [(-planned[i].priority, i) for i, makers in enumerate(left) if not makers]
    heapq.heapify(ready)
    running: list[tuple[float, int]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < cores:
            i = heapq.heappop(ready)[1]
            heapq.heappush(running, (now + seconds[i], i))
        now, done = heapq.heappop(running)
        for i in readers.get(done, ()):
            left[i].discard(done)
            if not left[i]:
                heapq.heappush(ready, (-planned[i].priority, i))
    return now


def noted(plan: Plan) -> dict[str, float]:
    """Return the processor time that steps of a study took, by name, as the notes in its results say."""
    folder, found = Path(plan.out) / "made", {}
    for name in plan.costs:
        file = folder / f"{name}.json"
        seconds = json.loads(file.read_text(encoding="utf-8")).get("cpu_seconds") if file.is_file() else None
        if seconds is not None:  # notes of earlier versions have none
            found[name] = float(seconds)
    return found


def learn(study: Study, sizes: Mapping[str, Size]) -> dict[str, float]:
    """Correct later estimates by what the steps of a study took here; see `costs.learn`.

    Steps that follow several laws say nothing of each.
    """
    plan = of_sizes(study, sizes)
    taken = noted(plan)
    single = {name: cost for name, cost in plan.costs.items() if len(cost) == 1 and name in taken}
    said = {name: next(iter(costs.of_step(cost).items())) for name, cost in single.items()}
    return costs.learn((*law, taken[name]) for name, law in said.items())


def _kinds(planned: Iterable[Job]) -> set[str]:
    """Return the laws that the steps of some jobs follow."""
    return {kind for job in planned for part in job.parts for kind in part.cost}


def _memory(planned: list[Job], cells: float, cores: int, held: Mapping[str, float]) -> float:
    """Return MB of the largest jobs that may run at one time; `held` as of `holding.most`."""
    needed = []
    for job in planned:
        kinds = _kinds([job])
        beside = max((held.get(kind, 0.0) for kind in kinds), default=0.0)
        needed.append(holding.memory_mb(job.start, kinds, cells, beside))
    return float(sum(sorted(needed, reverse=True)[:cores]))


def lines(found: dict[str, Any]) -> list[str]:
    """Return an estimate as lines of text."""
    wall, spent = found["seconds"], found["core_seconds"]
    units = ("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0)
    unit, scale = next((known for known in units if wall >= 2 * known[1]), units[-1])
    share = wall / max(sum(spent.values()), 1e-9) / scale  # of the wall time, for each second of a core
    parts = [f"{word} {_short(s * share)}" for word, s in spent.items() if s * share >= 0.5]
    n = sum(found["jobs"].values())
    whole = "; ".join([f"{n} job{'s' * (n != 1)}", *([", ".join(parts)] if parts else [])])
    cores = f"{found['cores']} core{'s' * (found['cores'] > 1)}"
    rest = " of what is left" if found["left"] and found["made"]["steps"] else ""
    said = [
        f"estimate{rest}: about {_short(wall / scale)} {unit} on {cores} ({whole}), "
        f"at most {found['memory_mb'] / 1000:.1f} GB; {found['basis']}"
    ]
    if found["made"]["steps"]:
        made, whole = found["made"], "" if found["left"] else "of the whole study; "
        said.append(
            f"estimate: {whole}{made['steps']} of {made['of']} steps were made before, in "
            f"{costs.duration(made['core_seconds'])} of one core"
        )
    if found.get("whole"):
        said.append(holding.line(found["whole"], found["whole_mb"]))
    if found["usual"]:
        said.append(
            f"estimate: {', '.join(found['usual'])} not read yet, taken for a recording of usual size"
        )
    return said


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 9.5 else f"{float(f'{value:.1g}' if value < 1 else f'{value:.2g}'):g}"
