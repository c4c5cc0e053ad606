"""How the steps of a study are put together into jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cortseq import fetch, plans, products
from cortseq.products import TASKS, Facts
from cortseq.stages.dynamics import control, dynamics, refit
from cortseq.stages.fits import fit, fit_together, score, shares
from cortseq.stages.plan import Plan
from cortseq.stages.results import figure, figure_theory, sheet, theory
from cortseq.stages.tasks import cosmooth, forgetting, quality, task
from cortseq.steps import Batch, Step, batches

if TYPE_CHECKING:
    from cortseq.study import Study


def jobs(plan: Plan) -> list[Batch]:
    """Return all steps but the audits, put together into jobs of about `batch_minutes`."""
    found: list[Batch] = []
    for facts in plan.facts.values() if plan.compares else ():
        found += [*_fits(plan, facts), *_dissections(plan, facts), *_tasks(plan, facts)]
        found += _figures(plan, f"figures_{facts.dataset}", facts)
    phenomena = [[theory(plan, name), figure_theory(plan, name)] for name in plan.study.theory]
    found += _batches(plan, "theory", phenomena)
    for group in plan.study.together:
        found += _together(plan, group)
    found += _batches(plan, "forgetting", [[forgetting(plan, variant)] for variant in plan.whole.carried])
    if plan.compares:
        found += _figures(plan, "figures", plan.whole)
        found += _batches(plan, "sheets", [[sheet(plan, name)] for name in plan.study.figures])
    return found


def _batches(plan: Plan, name: str, groups: list[list[Step]], priority: int = 0) -> list[Batch]:
    return batches(name, [group for group in groups if group], 60 * plan.study.batch_minutes, priority)


def _fits(plan: Plan, facts: Facts) -> list[Batch]:
    """Fits with their scores: of each fold those without networks in one job, networks by their cost."""
    found, dataset = [], facts.dataset
    for fold in range(plan.study.folds):
        pairs = {v: [score(plan, dataset, v, fold)] for v in facts.variants}
        for variant in facts.variants:
            if not shares(plan, dataset, variant):
                pairs[variant].insert(0, fit(plan, dataset, variant, fold))
        networks = [pairs[variant] for variant in facts.recurrent]
        plain = [step for v, pair in pairs.items() if v not in facts.recurrent for step in pair]
        # before tasks and figures, which are short: they fill the other cores while the last fits run
        found += _batches(plan, f"fits_{dataset}_fold{fold}_plain", [plain], priority=1)
        found += _batches(plan, f"fits_{dataset}_fold{fold}_networks", networks, priority=1)
    return found


def _together(plan: Plan, group: str) -> list[Batch]:
    """Fits of sessions that share a cell: apart from those of each, which may be scored in any order."""
    variants = [variant for variant, name in plans.shared(plan.study).items() if name == group]
    found: list[Batch] = []
    for fold in range(plan.study.folds):
        fits = [[fit_together(plan, group, variant, fold)] for variant in variants]
        found += _batches(plan, f"together_{group}_fold{fold}", fits, priority=1)
    return found


def _dissections(plan: Plan, facts: Facts) -> list[Batch]:
    dataset, study = facts.dataset, plan.study
    controls = [[control(plan, dataset, variant)] for variant in facts.flowing if study.controls]
    draws = range(study.calibrate)
    refits = [[refit(plan, dataset, variant, draw)] for variant in facts.flowing for draw in draws]
    return [
        *_batches(plan, f"controls_{dataset}", controls),
        *_batches(plan, f"refits_{dataset}", refits),
        *_batches(plan, f"dynamics_{dataset}", [[dynamics(plan, dataset, v)] for v in facts.flowing]),
    ]


def _tasks(plan: Plan, facts: Facts) -> list[Batch]:
    dataset, folds = facts.dataset, range(plan.study.folds)
    steps = [
        task(plan, name, dataset, model, fold)
        for name in TASKS
        for model in facts.tasks.get(name, ())
        for fold in folds
    ]
    steps += [quality(plan, dataset, key["fold"]) for key in products.keys("quality", facts)]
    steps += [cosmooth(plan, name) for name in plan.smoothed if name == dataset]
    return _batches(plan, f"tasks_{dataset}", [[step] for step in steps])


def _figures(plan: Plan, name: str, facts: Facts) -> list[Batch]:
    """Return one job: the products that its figures read are the same."""
    return _batches(plan, name, [[figure(plan, drawn, facts) for drawn in plan.drawn(facts)]])


def fetched(study: Study) -> set[Any]:
    """Return the files that are copied or downloaded first."""
    files = {fetch.raw_path(source, study.mirrors) for source in study.datasets.values()}
    return {file for file in files if file is not None and fetch.is_cached(file) and not file.exists()}
