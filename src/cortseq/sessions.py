"""Several sessions of a study: those learned one after another, and those that share a cell."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cortseq.errors import CortseqError

if TYPE_CHECKING:
    from cortseq.models.base import Model
    from cortseq.sources.base import Source
    from cortseq.study import Study


class Group(BaseModel):
    """Sessions that share a cell. `[s1, s2]` in a study is short for `{sessions: [s1, s2]}`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    sessions: list[str] = Field(description="datasets from which one cell is learned")
    held_out: list[str] = Field(
        default_factory=list,
        description="datasets to which that cell is moved: their read-in, read-out and start state alone are "
        "learned",
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, content: Any) -> Any:
        return {"sessions": content} if isinstance(content, list) else content

    @property
    def every(self) -> list[str]:
        """Return all datasets."""
        return [*self.sessions, *self.held_out]


def fitted(model: Model, dataset: str, together: Mapping[str, Group]) -> Model | None:
    """Return the specification that is fitted to a dataset, None where the model has nothing to do with it.

    A model whose cell is shared by other sessions is fitted with a frozen cell to one that was held out.
    """
    group = together.get(getattr(model, "across", None) or "")
    if group is None or dataset in group.sessions:
        return model
    return model.model_copy(update={"cell": "frozen"}) if dataset in group.held_out else None


def faults(study: Study, models: Mapping[str, Sequence[Model]], file: Any) -> list[str]:
    """Return faults, one line each, of sessions that cannot follow one another or share a cell.

    Parameters
    ----------
    models : specifications of all variants, by the name of the entry.
    file : the study file.
    """
    return [str(CortseqError(what, file=file, **more)) for what, more in _faults(study, models)]


def unlike(study: Study, found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return faults, one line each, of sessions that cannot share a cell for what they hold.

    Parameters
    ----------
    found : `checking.facts` of recordings.
    """
    from cortseq.networks.together import check_alike

    known = {
        f["dataset"]: {"track": f["track"], "bin_width": f["bin_s"], "features": f["labels"]} for f in found
    }
    said = []
    for name, group in study.together.items():
        shapes = {dataset: known[dataset] for dataset in group.every if dataset in known}
        try:
            if len(shapes) > 1:
                check_alike(shapes)
        except CortseqError as error:
            said.append(f"together.{name}: {error}")
    return said


_Fault = tuple[str, dict[str, Any]]


def _faults(study: Study, models: Mapping[str, Sequence[Model]]) -> Iterator[_Fault]:
    yield from _alike("sequence", study.sequence, study)
    for name, variants in models.items():
        if not study.sequence and any(getattr(model, "after", None) for model in variants):
            fix = "list the datasets in the order they are learned in under `sequence`"
            more = {"key": f"models.{name}.after", "value": "previous", "fix": fix}
            yield "there is no session before the first", more
    for name, group in study.together.items():
        yield from _group(name, group, study)
    for name, variants in models.items():
        asked = {across for model in variants if (across := getattr(model, "across", None))}
        for across in sorted(asked - set(study.together)):
            fix = "list its sessions under `together`"
            yield "names no sessions", {"key": f"models.{name}.across", "value": across, "fix": fix}


def _group(name: str, group: Group, study: Study) -> Iterator[_Fault]:
    key = f"together.{name}"
    if len(group.sessions) < 2:
        fix = "name two datasets or more; the others go to `held_out`"
        yield "a cell is shared by two sessions or more", {"key": key, "value": group.sessions, "fix": fix}
    for dataset in dict.fromkeys(group.every):
        if dataset not in study.datasets:
            yield (
                "is no dataset",
                {"key": key, "value": dataset, "fix": f"choose of {', '.join(study.datasets)}"},
            )
        elif group.every.count(dataset) > 1:
            yield "is there twice", {"key": key, "value": dataset, "fix": "name it once"}
    known = [dataset for dataset in dict.fromkeys(group.every) if dataset in study.datasets]
    yield from _alike(key, known, study)
    widths = {dataset: study.datasets[dataset].bin_ms for dataset in known}
    if len(set(widths.values())) > 1:
        yield "has several bin widths", {"key": key, "value": widths, "fix": "give all the same `bin_ms`"}


def _alike(key: str, names: Sequence[str], study: Study) -> Iterator[_Fault]:
    """Yield faults of sessions of several tracks, and of those that have trials in common."""
    known = {name: study.datasets[name] for name in names}
    if len({source.track for source in known.values()}) > 1:
        yield "is of several tracks", {"key": key, "value": {n: s.track for n, s in known.items()}}
    for (a, one), (b, other) in itertools.combinations(known.items(), 2):
        if _overlap(one, other):
            what = f"{a} and {b} have trials in common, so that one may be tested on what the other learned"
            fix = "let the parts meet, not overlap"
            yield what, {"key": f"datasets.{b}.part", "value": other.part, "fix": fix}


def _overlap(one: Source, other: Source) -> bool:
    """Whether two entries are different parts of a recording that share trials (equal ones share roles)."""
    a, b = one.part or (0.0, 1.0), other.part or (0.0, 1.0)
    same = one.model_copy(update={"part": None}) == other.model_copy(update={"part": None})
    return same and a != b and max(a[0], b[0]) < min(a[1], b[1])
