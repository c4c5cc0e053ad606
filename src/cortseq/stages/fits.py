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
        {name: plan.path(product, **key) for name, product in LEARNED.items()},
        key=key,
        params=params,
        modules=[plan.family(dataset, variant)],
        cost=plan.fit_cost(dataset, variant),
        gpu=plan.on_gpu(plan.model(dataset, variant)),
    )


def fit_together(plan: Plan, group: str, variant: str, fold: int) -> Step:
    """Fit a variant to sessions that share a cell; each gets a fit of its own."""
    sessions = plan.study.together[group].sessions
    at: dict[str, Any] = {"variant": variant, "fold": fold}
    checkpoint = plan.path("checkpoints", dataset=sessions[0], **at)
    seconds = sum(plan.fit_seconds(plan.model(d, variant), plan.size(d)) for d in sessions)
    return plan.step(
        "fit_together",
        f"together/{group}/{variant}/fold{fold}",
        {product: [plan.path(product, dataset=d) for d in sessions] for product in ("trials", "splits")},
        {f"params_{d}": plan.path("fits", dataset=d, **at) for d in sessions}
        | {f"card_{d}": plan.path("cards", dataset=d, **at) for d in sessions}
        | {f"curves_{d}": plan.path("curves", dataset=d, **at) for d in sessions},
        key={"group": group, **at},
        params=fitting(plan, sessions[0], variant) | {"checkpoint": checkpoint, "sessions": sessions},
        modules=[plan.family(sessions[0], variant)],
        cost=work.fit(plan.model(sessions[0], variant), seconds),
        gpu=plan.on_gpu(plan.model(sessions[0], variant)),
    )


def shares(plan: Plan, dataset: str, variant: str) -> bool:
    """Return whether a variant is fitted to a recording together with others."""
    model = plan.model(dataset, variant)
    return getattr(model, "across", None) is not None and getattr(model, "cell", "") == "learned"


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
    """Return the fit that a variant begins with, if any.

    That is the one to the session before, or to a session whose cell is moved to this one.
    """
    model, before = plan.model(dataset, variant), plan.study.before(dataset)
    across = getattr(model, "across", None)
    if across is not None and not shares(plan, dataset, variant):
        before = plan.study.together[across].sessions[0]
    elif before is None or not getattr(model, "after", None):
        return []
    return [plan.path("fits", dataset=before, variant=variant, fold=fold)]


def fitting(plan: Plan, dataset: str, variant: str) -> dict[str, Any]:
    """Return parameters of whatever fits a variant."""
    model, study = plan.model(dataset, variant), plan.study
    members = study.members if model.has_members else 1
    device = study.device if model.uses_gpu else "cpu"
    spec = model.model_dump(mode="json")
    return {"spec": spec, "members": members, "seed": study.seed, "device": device}
