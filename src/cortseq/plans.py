"""What a study will make, known before anything is computed: facts of each recording."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cortseq import entries, figures
from cortseq.errors import CortseqError
from cortseq.products import TASKS, Facts

if TYPE_CHECKING:
    from cortseq.figures.sheets import Sheet
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
    variants = study.variants(study.datasets[study.sequence[0]].track, study.sequence[0])
    return [name for name, variant in variants.items() if getattr(variant.model, "after", None)]


def shared(study: Study) -> dict[str, str]:
    """Return the variants that are fitted across sessions -> the name of those sessions."""
    found = {}
    for name, group in study.together.items():
        first = group.sessions[0]
        for variant in study.variants(study.datasets[first].track, first).values():
            if getattr(variant.model, "across", None) == name:
                found[variant.name] = name
    return found


def _joined(study: Study) -> list[tuple[str, str]]:
    """Return every variant with a cell that sessions share and that is dissected, with each session."""
    pairs = []
    for variant, name in shared(study).items():
        for dataset in study.together[name].every:
            found = study.variants(study.datasets[dataset].track, dataset)
            pairs += [(variant, dataset)] if found[variant].model.has_flow else []
    return pairs


def whole(study: Study) -> Facts:
    """Return what is known of the study as a whole."""
    return Facts(
        carried=tuple(carried(study)),
        widths=tuple(entries.widths(study.datasets)),
        shared=tuple(shared(study)),
        joined=tuple(_joined(study)),
    )


def panels(study: Study, sheet: Sheet) -> dict[str, Facts]:
    """Return the figures of a sheet, each with what is known of its recording, or of the study."""
    dataset = sheet.dataset or next(iter(study.datasets))
    known, scopes = facts(study)[dataset], figures.registry()
    return {name: known if scopes[name].scope == "recording" else whole(study) for name in sheet.panels}


def sheet_faults(study: Study, file: Any) -> list[str]:
    """Return a line for every sheet of figures that cannot be drawn."""
    found, known = [], figures.registry() if study.figures else {}

    def fault(name: str, problem: str, value: Any, fix: str) -> None:
        found.append(str(CortseqError(problem, file=file, key=f"figures.{name}", value=value, fix=fix)))

    for name, sheet in study.figures.items():
        if name in known or any(
            f"{figure}_{dataset}" == name for figure in known for dataset in study.datasets
        ):
            fault(name, "is the name of a figure", None, "name the sheet otherwise")
        if sheet.dataset and sheet.dataset not in study.datasets:
            fault(name, "no such dataset", sheet.dataset, f"choose of {', '.join(study.datasets)}")
        elif not sheet.dataset and len(study.datasets) != 1:
            fault(name, "the study has several datasets", None, "say whose figures by `dataset`")
        elif unknown := [panel for panel in sheet.panels if panel not in known]:
            fault(name, "no such figure", unknown[0], f"choose of {', '.join(known)}")
        elif twice := [panel for panel, n in Counter(sheet.panels).items() if n > 1]:
            fault(name, "a figure stands twice on a sheet", twice[0], "name it once")
        else:
            for panel, of in panels(study, sheet).items():
                if not known[panel].applies(of):
                    fault(
                        name, "this study makes no such figure", panel, "leave it out, or add what it needs"
                    )
    return found


def facts(study: Study) -> dict[str, Facts]:
    """Return what is known of each recording and its models; figures ask it whether they apply."""
    found = {}
    for dataset, source in study.datasets.items():
        variants = study.variants(source.track, dataset)
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
            driven=bool(source.inputs),
            signed=any(m.signed for m in flows),
            plastic=any(m.plastic for m in flows),
            saturating=any(m.saturates for m in flows),
        )
    return found
