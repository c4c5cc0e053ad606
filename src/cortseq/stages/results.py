"""Steps of audits, figures and phenomena."""

from __future__ import annotations

from pathlib import Path

from cortseq import plans, products
from cortseq.fingerprint import canonical
from cortseq.products import Facts
from cortseq.stages import work
from cortseq.stages.fits import earlier
from cortseq.stages.plan import Plan
from cortseq.steps import Step


def audit(plan: Plan, dataset: str) -> Step:
    """Audit all variants of a recording."""
    variants, facts = plan.variants[dataset], plan.facts[dataset]
    first = {v.model_name: v for v in reversed(variants.values())}
    canaries = {v.name: v.model for v in first.values() if v.model.role != "null"}
    began = {v: files[0] for v in variants if (files := earlier(plan, dataset, v, 0))}
    return plan.step(
        "audit",
        f"audit/{dataset}",
        plan.recording(dataset)
        | {product: plan.files(product, facts) for product in ("fits", "scores")}
        | {"starts": list(began.values())},
        {"report": plan.path("audits", dataset=dataset)},
        key={"dataset": dataset},
        params={
            "table": [list(column) for column in zip(*products.labels("fits", facts), strict=True)],
            "canaries": {name: model.model_dump(mode="json") for name, model in canaries.items()},
            "started": list(began),
        },
        modules=plan.families(dataset, variants),
        cost=work.audit(
            len(variants) * plan.study.folds, canaries.values(), plan.size(dataset), plan.fit_seconds
        ),
    )


def figure(plan: Plan, name: str, facts: Facts) -> Step:
    """Draw a figure; it stands on the comparison, and on audits that passed."""
    figure, dataset = plan.figures[name], facts.dataset
    stem = f"{plan.out}/figures/{name}_{dataset}" if dataset else f"{plan.out}/figures/{name}"
    needs = {need: plan.files(need, facts) for need in figure.needs}
    stands_on = {
        "comparison": [plan.path("comparison")],
        "audits": [plan.path("audits", dataset=d) for d in plan.variants],
    }
    labels = {need: [list(key) for key in products.labels(need, facts)] for need in figure.needs}
    return plan.step(
        "figure",
        f"figures/{Path(stem).name}",
        needs | stands_on,
        {suffix: f"{stem}.{suffix}" for suffix in ("svg", "pdf", "csv")},
        key={"figure": name, **({"dataset": dataset} if dataset else {})},
        params={"labels": labels},
        modules=[f"cortseq.figures.{name}"],
        cost=work.figure(sum(map(len, needs.values()))),
    )


def sheet(plan: Plan, name: str) -> Step:
    """Draw some figures of a recording on one sheet."""
    asked, stem = plan.study.figures[name], f"{plan.out}/figures/{name}"
    parts = [figure(plan, panel, facts) for panel, facts in plans.panels(plan.study, asked).items()]
    given = {f"{part.key['figure']}/{need}": files for part in parts for need, files in part.given.items()}
    return plan.step(
        "sheet",
        f"figures/{name}",
        given,
        {suffix: f"{stem}.{suffix}" for suffix in ("svg", "pdf", "csv")},
        params={
            "sheet": asked.model_dump(mode="json"),
            "panels": [[part.key, part.params["labels"]] for part in parts],
        },
        modules=[f"cortseq.figures.{panel}" for panel in asked.panels],
        cost=work.figure(sum(len(part.inputs) for part in parts)),
    )


def theory(plan: Plan, phenomenon: str) -> Step:
    """Predict and measure a phenomenon."""
    settings = plan.study.theory[phenomenon]
    dataset = settings.get("dataset")
    return plan.step(
        "theory",
        f"theory/{phenomenon}",
        {"trials": [plan.path("trials", dataset=dataset)] if dataset else []},
        {"product": plan.path("theory", phenomenon=phenomenon)},
        key={"phenomenon": phenomenon},
        params={"settings": canonical(settings)} | plan.settings("seed"),
        modules=[f"cortseq.textbook.phenomena.{phenomenon}"],
        cost=work.phenomenon(phenomenon),
    )


def figure_theory(plan: Plan, phenomenon: str) -> Step:
    """Draw a phenomenon."""
    stem = f"{plan.out}/figures/theory_{phenomenon}"
    return plan.step(
        "figure_theory",
        f"figures/theory_{phenomenon}",
        {"found": plan.path("theory", phenomenon=phenomenon)},
        {suffix: f"{stem}.{suffix}" for suffix in ("svg", "pdf", "csv")},
        key={"phenomenon": phenomenon},
        modules=[f"cortseq.textbook.figures.{phenomenon}"],
        cost=work.figure(1),
    )
