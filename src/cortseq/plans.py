"""What a study will make, known before anything is computed: facts of each recording, and numbers of jobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cortseq import entries, fetch, figures
from cortseq.observations import TRACKS
from cortseq.products import TASKS, Facts, keys

if TYPE_CHECKING:
    from cortseq.models.base import Model
    from cortseq.study import Study, Variant

# Which models can do a task of the study.
_ABLE: dict[str, Callable[[Study, Model], bool]] = {
    "forecasts": lambda study, model: bool(study.horizons) and model.has_forecast,
    "memory": lambda study, model: model.has_flow,
    "generation": lambda study, model: model.role != "null",
    "ceilings": lambda study, model: model.role == "null",  # once a fold: they do not depend on a model
}


def able(study: Study, task: str, variants: dict[str, Variant]) -> dict[str, list[str]]:
    """Return the variants that can do a task, by model; of those the one best on validation does it."""
    found: dict[str, list[str]] = {}
    for variant in variants.values():
        if _ABLE[task](study, variant.model):
            found.setdefault(variant.model_name, []).append(variant.name)
    return found


def carried(study: Study) -> list[str]:
    """Return the variants that learn the sessions of the sequence one after another."""
    if not study.sequence:
        return []
    variants = study.variants(study.datasets[study.sequence[0]].track)
    return [name for name, variant in variants.items() if getattr(variant.model, "after", None)]


def whole(study: Study) -> Facts:
    """Return what is known of the study as a whole."""
    return Facts(carried=tuple(carried(study)), widths=tuple(entries.widths(study.datasets)))


def facts(study: Study) -> dict[str, Facts]:
    """Return what is known of each recording and its models; figures ask it whether they apply."""
    found = {}
    for dataset, source in study.datasets.items():
        variants = study.variants(source.track)
        flows: list[Any] = [v.model for v in variants.values() if v.model.has_flow]
        found[dataset] = Facts(
            dataset=dataset,
            track=source.track,
            folds=study.folds,
            variants=tuple(variants),
            recurrent=tuple(name for name, v in variants.items() if v.model.role == "recurrent"),
            flowing=tuple(name for name, v in variants.items() if v.model.has_flow),
            roles=frozenset(v.model.role for v in variants.values()),
            tasks={task: tuple(able(study, task, variants)) for task in TASKS},
            signed=any(m.signed for m in flows),
            plastic=any(m.plastic for m in flows),
            saturating=any(m.saturates for m in flows),
        )
    return found


def jobs(study: Study) -> dict[str, int]:
    """Return how many jobs of each rule a study has when nothing is there yet."""
    found: dict[str, int] = {}
    if study.datasets and study.models:
        every = list(facts(study).values())
        of_study = whole(study)
        found |= {rule: len(every) for rule in ("load", "preprocess", "split", "audit")}
        found["fetch"] = len(_fetched(study))
        found["fit"] = found["score"] = study.folds * sum(len(f.variants) for f in every)
        found["dynamics"] = sum(len(f.flowing) for f in every)
        found["control"] = found["dynamics"] * study.controls
        found["refit"] = found["dynamics"] * study.calibrate
        found["task"] = study.folds * sum(len(models) for f in every for models in f.tasks.values())
        found["quality"] = sum(len(keys("quality", f)) for f in every)
        found["forgetting"] = len(of_study.carried)
        counted = [f for f in every if TRACKS[f.track].has_events]
        found["cosmooth"] = len(counted) * study.cosmoothing
        drawn = figures.registry().values()
        found["figure_study"] = sum(f.scope == "study" and f.applies(of_study) for f in drawn)
        found["figure_recording"] = sum(
            f.scope == "recording" and f.applies(one) for f in drawn for one in every
        )
        found |= {"compare": 1, "claims": 1, "report": 1, "conclude": 1}
    if study.theory:
        found |= {"theory": len(study.theory), "figure_theory": len(study.theory), "theory_report": 1}
    return {rule: n for rule, n in found.items() if n}


def _fetched(study: Study) -> set[Any]:
    """Return the files that are copied or downloaded first."""
    files = {fetch.raw_path(source, study.mirrors) for source in study.datasets.values()}
    return {file for file in files if file is not None and fetch.is_cached(file) and not file.exists()}
