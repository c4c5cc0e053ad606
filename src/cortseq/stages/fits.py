"""Steps that fit and score a variant."""

from __future__ import annotations

from typing import Any

from cortseq.stages import work
from cortseq.stages.plan import Plan
from cortseq.steps import Step

LEARNED = {"params": "fits", "card": "cards", "curves": "curves"}  # names in the script of what a fit writes


def fit(plan: Plan, dataset: str, variant: str, fold: int) -> Step:
    """Fit a variant."""
    key: dict[str, Any] = {"dataset": dataset, "variant": variant, "fold": fold}
    # a checkpoint is no output: it outlives a job that is killed, and the next one goes on from it
    params = fitting(plan, dataset, variant) | {"checkpoint": plan.path("checkpoints", **key)}
    return plan.step(
        "fit",
        f"fit/{dataset}/{variant}/fold{fold}",
        plan.recording(dataset) | {"start": earlier(plan, dataset, variant, fold)},
        {
            name: plan.path(of, **key)
            for name, of in (("params", "fits"), ("card", "cards"), ("curves", "curves"))
        },
        key=key,
        params=params,
        modules=[plan.family(dataset, variant)],
        cost=plan.fit_cost(dataset, variant),
        gpu=plan.on_gpu(plan.model(dataset, variant)),
    )


def score(plan: Plan, dataset: str, variant: str, fold: int) -> Step:
    """Score a fit."""
    key: dict[str, Any] = {"dataset": dataset, "variant": variant, "fold": fold}
    return plan.step(
        "score",
        f"score/{dataset}/{variant}/fold{fold}",
        plan.recording(dataset) | {"fit": [plan.path(product, **key) for product in LEARNED.values()]},
        {name: plan.path(name, **key) for name in ("scores", "predictions")},
        key=key,
        params=plan.settings("burn_in"),
        modules=[plan.family(dataset, variant)],
        cost=work.score(plan.model(dataset, variant), plan.size(dataset)),
    )


def earlier(plan: Plan, dataset: str, variant: str, fold: int) -> list[str]:
    """Return the fit that a variant begins with: to the session before, where it asks for that."""
    before = plan.study.before(dataset)
    if before is None or not getattr(plan.model(dataset, variant), "after", None):
        return []
    return [plan.path("fits", dataset=before, variant=variant, fold=fold)]


def fitting(plan: Plan, dataset: str, variant: str) -> dict[str, Any]:
    """Return parameters of whatever fits a variant."""
    spec = plan.model(dataset, variant).model_dump(mode="json")
    return {"spec": spec, **plan.settings("members", "seed", "device")}
