"""Steps of the prediction tasks beside the next bin, and of goodness of fit."""

from __future__ import annotations

from cortseq import models, plans
from cortseq.stages.plan import Plan
from cortseq.steps import Step

# Settings of the study that a task uses.
SETTINGS = {
    "forecasts": ("seed", "burn_in", "horizons", "samples", "samples_at_most", "forecast_trials"),
    "memory": ("burn_in",),
    "generation": ("seed", "burn_in"),
    "ceilings": ("seed", "burn_in"),
}
# About how many seconds a step takes on a recording of a usual size.
_SECONDS = {"forecasts": 3.0, "memory": 1.0, "generation": 1.0, "ceilings": 1.0, "quality": 5.0}
_DRAWN = 25.0  # of forecasts whose futures are drawn, as networks' are
_SMOOTHED = 30.0


def task(plan: Plan, task: str, dataset: str, model: str, fold: int) -> Step:
    """Do a task with the variant of a model that is best on validation."""
    variants = able(plan, task, dataset)[model]
    drawn = task == "forecasts" and plan.model(dataset, variants[0]).role == "recurrent"
    at = {"dataset": dataset, "fold": fold}
    given = {of: [plan.path(of, variant=v, **at) for v in variants] for of in ("fits", "scores")}
    return plan.step(
        "task",
        f"{task}/{dataset}/{model}/fold{fold}",
        plan.recording(dataset) | given | {"null": plan.path("scores", variant="null", **at)},
        {"product": plan.path(task, model=model, **at)},
        key={"task": task, "model": model, **at},
        params={"variants": variants, "study": plan.settings(*SETTINGS[task])},
        modules=plan.families(dataset, variants),
        seconds=_DRAWN if drawn else _SECONDS[task],
    )


def able(plan: Plan, task: str, dataset: str) -> dict[str, list[str]]:
    """Return the variants that can do a task, by model."""
    return plans.able(plan.study, task, plan.variants[dataset])


def quality(plan: Plan, dataset: str, fold: int) -> Step:
    """Measure the goodness of fit of all models."""
    variants = list(plan.variants[dataset])
    by_model: dict[str, list[str]] = {}
    for variant in plan.variants[dataset].values():
        by_model.setdefault(variant.model_name, []).append(variant.name)
    at = {"dataset": dataset, "fold": fold}
    given = {of: [plan.path(of, variant=v, **at) for v in variants] for of in ("fits", "scores")}
    return plan.step(
        "quality",
        f"quality/{dataset}/fold{fold}",
        plan.recording(dataset) | given,
        {"table": plan.path("quality", **at)},
        key=at,
        params={"variants": by_model, "study": plan.settings("seed", "burn_in") | {"order": variants}},
        modules=plan.families(dataset, variants),
        seconds=_SECONDS["quality"],
    )


def cosmooth(plan: Plan, dataset: str) -> Step:
    """Predict held-out units; the smoothers are fitted there, since they serve this table only."""
    smoothers = [models.modules()[f] for f in ("null", "psth", "hmm") if f in models.modules()]
    return plan.step(
        "cosmooth",
        f"cosmooth/{dataset}",
        plan.recording(dataset),
        {"table": plan.path("cosmoothing", dataset=dataset)},
        key={"dataset": dataset},
        params={"study": plan.settings("seed", "members", "folds")},
        modules=smoothers,
        seconds=_SMOOTHED,
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
    )
