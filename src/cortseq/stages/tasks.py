"""Steps of the prediction tasks beside the next bin, and of goodness of fit."""

from __future__ import annotations

from typing import Any

from cortseq import models, plans
from cortseq.costs import Cost
from cortseq.stages import work
from cortseq.stages.plan import Plan
from cortseq.steps import Step

# Settings of the study that a task uses.
SETTINGS = {
    "forecasts": ("seed", "burn_in", "horizons", "samples", "samples_at_most", "forecast_trials"),
    "memory": ("burn_in",),
    "generation": ("seed", "burn_in"),
    "ceilings": ("seed", "burn_in"),
}
STATES = (8, 16, 32)  # of the hidden Markov models that smooth (`scoring.cosmoothing`)


def task(plan: Plan, task: str, dataset: str, model: str, fold: int) -> Step:
    """Do a task with the variant of a model that is best on validation."""
    variants = able(plan, task, dataset)[model]
    at = {"dataset": dataset, "fold": fold}
    given = _fitted(plan, variants, at)
    return plan.step(
        "task",
        f"{task}/{dataset}/{model}/fold{fold}",
        plan.recording(dataset) | given | {"null": plan.path("scores", variant="null", **at)},
        {"product": plan.path(task, model=model, **at)},
        key={"task": task, "model": model, **at},
        params={"variants": variants, "study": plan.settings(*SETTINGS[task])},
        modules=plan.families(dataset, variants),
        cost=_cost(plan, task, dataset, variants[-1]),
    )


def _fitted(plan: Plan, variants: list[str], at: dict[str, Any]) -> dict[str, list[str]]:
    """Return the files of fits and of scores of some variants; `at`: recording and fold."""
    return {
        product: [plan.path(product, variant=variant, **at) for variant in variants]
        for product in ("fits", "scores")
    }


def _cost(plan: Plan, task: str, dataset: str, variant: str) -> Cost:
    """Return the cost of a task with a variant; the last of a sweep is the largest."""
    model, size, study = plan.model(dataset, variant), plan.size(dataset), plan.study
    if task == "forecasts":
        how = study.horizons, study.forecast_trials, study.samples, study.samples_at_most
        return work.forecasts(model, size, *how)
    others = {"memory": work.memory, "generation": work.generation, "ceilings": work.ceilings}
    return others[task](model, size)


def able(plan: Plan, task: str, dataset: str) -> dict[str, list[str]]:
    """Return the variants that can do a task, by model."""
    return plans.able(plan.study, task, plan.variants[dataset])


def quality(plan: Plan, dataset: str, fold: int) -> Step:
    """Measure the goodness of fit of all models."""
    variants = list(plan.variants[dataset])
    by_model: dict[str, list[str]] = {}
    for variant in plan.variants[dataset].values():
        by_model.setdefault(variant.model_name, []).append(variant.name)
    chosen = [plan.model(dataset, names[-1]) for names in by_model.values()]
    at = {"dataset": dataset, "fold": fold}
    given = _fitted(plan, variants, at)
    return plan.step(
        "quality",
        f"quality/{dataset}/fold{fold}",
        plan.recording(dataset) | given,
        {"table": plan.path("quality", **at)},
        key=at,
        params={"variants": by_model, "study": plan.settings("seed", "burn_in") | {"order": variants}},
        modules=plan.families(dataset, variants),
        cost=work.quality(chosen, plan.size(dataset)),
    )


def cosmooth(plan: Plan, dataset: str) -> Step:
    """Predict held-out units; the smoothers are fitted there, since they serve this table only."""
    hidden = models.find("hmm") if "hmm" in models.modules() else None
    fitted = [hidden.model_validate({"family": "hmm", "states": n}) for n in STATES] if hidden else []
    seconds = sum(plan.fit_seconds(model, plan.size(dataset)) for model in fitted)
    smoothers = [models.modules()[f] for f in ("null", "psth", "hmm") if f in models.modules()]
    return plan.step(
        "cosmooth",
        f"cosmooth/{dataset}",
        plan.recording(dataset),
        {"table": plan.path("cosmoothing", dataset=dataset)},
        key={"dataset": dataset},
        params={"study": plan.settings("seed", "members", "folds")},
        modules=smoothers,
        cost=work.smoothing(plan.size(dataset), seconds * plan.study.folds),
    )


def forgetting(plan: Plan, variant: str) -> Step:
    """Say what is left of earlier sessions of the sequence."""
    sequence = plan.study.sequence

    def fits(name: str) -> list[str]:
        folds = range(plan.study.folds)
        return [plan.path("fits", dataset=d, variant=name, fold=fold) for d in sequence for fold in folds]

    return plan.step(
        "forgetting",
        f"forgetting/{variant}",
        {
            "trials": [plan.path("trials", dataset=d) for d in sequence],
            "splits": [plan.path("splits", dataset=d) for d in sequence],
            "fits": fits(variant),
            "nulls": fits("null"),
        },
        {"table": plan.path("forgetting", variant=variant)},
        key={"variant": variant},
        params={"study": plan.settings("sequence", "folds", "seed", "burn_in")},
        modules=[plan.family(sequence[0], variant), models.modules()["null"]],
        cost=work.forgetting(
            plan.model(sequence[0], variant), [plan.size(d) for d in sequence], plan.study.folds
        ),
    )
