"""Steps that examine the dynamics of a network, and what they are held against."""

from __future__ import annotations

from typing import Any

from cortseq.models.base import Model
from cortseq.models.work import Size
from cortseq.stages import work
from cortseq.stages.fits import earlier, fitting
from cortseq.stages.plan import Plan
from cortseq.steps import Step


def dynamics(plan: Plan, dataset: str, variant: str) -> Step:
    """Examine a network, beside its controls."""
    key: dict[str, Any] = {"dataset": dataset, "variant": variant, "fold": 0}
    controls = [plan.path("controls", **key)] if plan.study.controls else []
    return plan.step(
        "dynamics",
        f"dynamics/{dataset}/{variant}/fold0",
        plan.recording(dataset)
        | {
            "fit": [plan.path("fits", **key)],
            "shuffled": controls,
            "refits": refits(plan, dataset, variant),
        },
        {"product": plan.path("dynamics", **key), "table": plan.path("dynamics_tables", **key)},
        key=key,
        params=plan.settings("seed") | {"label": plan.label(dataset)},
        modules=[plan.family(dataset, variant)],
        cost=work.examined(*_network(plan, dataset, variant), plan.study.members),
    )


def control(plan: Plan, dataset: str, variant: str) -> Step:
    """Fit a network to shuffled bins and examine its dynamics."""
    return plan.step(
        "control",
        f"controls/{dataset}/{variant}",
        plan.recording(dataset) | {"start": earlier(plan, dataset, variant, 0)},
        {"product": plan.path("controls", dataset=dataset, variant=variant)},
        key={"dataset": dataset, "variant": variant},
        params=fitting(plan, dataset, variant) | {"label": plan.label(dataset)},
        modules=[plan.family(dataset, variant)],
        cost=plan.fit_cost(dataset, variant)
        | work.examined(*_network(plan, dataset, variant), plan.study.members, "numbers"),
        gpu=plan.on_gpu(plan.model(dataset, variant)),
    )


def _network(plan: Plan, dataset: str, variant: str) -> tuple[Model, Size]:
    return plan.model(dataset, variant), plan.size(dataset)


def refits(plan: Plan, dataset: str, variant: str) -> list[str]:
    """Return the files of the refits that calibrate the intervals of a variant's dynamics, in order."""
    draws = range(plan.study.calibrate)
    return [plan.path("refits", dataset=dataset, variant=variant, draw=draw) for draw in draws]


def refit(plan: Plan, dataset: str, variant: str, draw: int) -> Step:
    """Measure by how much quantities are missed where the truth is a fitted network."""
    key = {"dataset": dataset, "variant": variant, "draw": draw}
    return plan.step(
        "refit",
        f"refits/{dataset}/{variant}/{draw}",
        plan.recording(dataset)
        | {"fit": [plan.path("fits", dataset=dataset, variant=variant, fold=0)]}
        | {"start": earlier(plan, dataset, variant, 0)},
        {"table": plan.path("refits", **key)},
        key=key,
        params=plan.settings("seed", "device"),
        modules=[plan.family(dataset, variant)],
        cost=plan.fit_cost(dataset, variant)  # the network that drew the recording is examined, too
        | work.examined(*_network(plan, dataset, variant), plan.study.members + 1, "numbers"),
        gpu=plan.on_gpu(plan.model(dataset, variant)),
    )
