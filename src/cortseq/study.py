"""The whole configuration as one typed object; its JSON schema is exported from the same classes."""

from __future__ import annotations

import functools
import itertools
import json
import math
import operator
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from cortseq import entries, models, plans, sessions, sources, yamlfile
from cortseq.errors import CortseqError
from cortseq.figures import sheets
from cortseq.models import standard
from cortseq.models.base import Model
from cortseq.models.progress import Checkpoint
from cortseq.plugins import NAME
from cortseq.sources.base import Source
from cortseq.splits import Deal
from cortseq.textbook import phenomena

FEWEST_REFITS = 19  # the largest miss of so many is exceeded by the next in 5 % of the cases
MOST_VARIANTS = 10_000  # points of one sweep


def _name(value: Any) -> str:
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise ValueError("names are lower-case letters, digits and _, and begin with a letter")
    return value


def _enough(refits: int) -> int:
    if 0 < refits < FEWEST_REFITS:
        raise ValueError(f"{FEWEST_REFITS} refits or more bound 95 % of what is missed -- ask for 0 or those")
    return refits


Name = Annotated[str, BeforeValidator(_name)]


def _typed(entry: Any, kind: Any, where: str, file: Any = None) -> Any:
    """Return a dataset or a model as an object of the class that it names, which alone is imported.

    Parameters
    ----------
    entry : keys and values of the study.
    kind : `sources` or `models`.
    where : path of keys that leads to the entry.
    file : the study file, for errors.
    """
    name = entry.get(_KEYS[kind]) if isinstance(entry, dict) else None
    known = isinstance(name, str) and name in kind.modules()
    try:
        return kind.find(name).model_validate(entry) if known else _one_of(kind).validate_python(entry)
    except ValidationError as error:
        keys = tuple(kind.find(name).model_fields) if known else ()
        raise entries.fault(error, where, drop=0 if known else 1, file=file, known=keys) from None


_KEYS = {sources: "source", models: "family"}  # what names the class of an entry


def _one_of(kind: Any) -> TypeAdapter[Any]:
    """Return all sources or all models as one type."""
    union: Any = functools.reduce(operator.or_, kind.registry().values())
    return TypeAdapter(Annotated[union, Field(discriminator=_KEYS[kind])])


class Study(BaseModel):
    """A study: recordings, models, and how they are compared."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    study: Name = Field("default", description="results go to results/<study>/")
    seed: int = Field(0, ge=0)
    folds: int = Field(1, ge=1, description="1: one train/valid/test split; k > 1: k-fold")
    members: int = Field(3, ge=1, description="random restarts of every model that has any")
    burn_in: int = Field(0, ge=0, description="bins at the start of each trial that are not scored")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    checkpoint_seconds: float = Field(
        Checkpoint.seconds, ge=0, description="between checkpoints of an unfinished fit"
    )
    batch_minutes: float = Field(
        1, ge=0, description="steps share a job until they take about so long; 0: every step its own job"
    )
    test_fraction: float = Field(
        Deal.test_fraction, gt=0, lt=0.9, description="of the trials, where folds is 1"
    )
    valid_fraction: float = Field(
        Deal.valid_fraction, gt=0, lt=0.9, description="of the trials, inside each fold"
    )
    split: Literal["random", "forward"] = Field(
        Deal.split, description="forward: train on early trials, validate on later ones, test on the last"
    )
    horizons: list[Annotated[int, Field(ge=1)]] = Field(
        [1, 2, 5, 10, 20], description="bins ahead at which models are asked for forecasts; []: not at all"
    )
    samples: int = Field(128, ge=4, description="futures drawn for a forecast that has no closed form")
    samples_at_most: int = Field(
        16384, ge=4, description="futures of some bins, doubled until their bias is small beside the interval"
    )
    forecast_trials: Annotated[int, Field(ge=2)] | None = Field(
        None,
        description="test trials that are forecast, spread over all of them; null: 8, and of short trials as "
        "many as hold 300 bins",
    )
    cosmoothing: bool = Field(False, description="whether smoothers predict held-out units (counts only)")
    controls: bool = Field(
        False,
        description="whether each dissected network is also fitted to its recording with shuffled bins; the "
        "untrained network is always a control",
    )
    calibrate: Annotated[int, Field(ge=0), AfterValidator(_enough)] = Field(
        0, description="refits (0, or 19 and more) that calibrate the intervals of each network's dynamics"
    )
    sequence: list[Name] = Field(
        default_factory=list,
        description="datasets in the order in which models with `after: previous` learn them",
    )
    together: dict[Name, sessions.Group] = Field(
        default_factory=dict,
        description="sessions that models with `across` fit with one cell: a name -> datasets, or -> "
        "{sessions, held_out}",
    )
    defaults: dict[str, Any] = Field(
        default_factory=dict, description="keys that every dataset has unless it says otherwise"
    )
    datasets: dict[Name, Any] = Field(default_factory=dict)
    models: dict[Name, Any] = Field(
        default_factory=lambda: dict(standard.MODELS), description="{}: no comparison, of a study of `theory`"
    )
    theory: dict[Name, dict[str, Any]] = Field(
        default_factory=dict, description="phenomena to predict and measure, each with its settings"
    )
    figures: dict[Name, sheets.Sheet] = Field(
        default_factory=dict,
        description="figures on one sheet: a name -> [[figure, figure], [figure]], a list for each row",
    )
    mirrors: list[str] = Field(default_factory=list, description="folders searched for raw files by name")

    @model_validator(mode="after")
    def _something(self) -> Any:
        if not (self.datasets and self.models) and not self.theory:
            raise ValueError("nothing to do: a study has `datasets` with `models`, or `theory`")
        return self

    @model_validator(mode="after")
    def _some_train(self) -> Any:
        if self.split == "forward" and self.folds > 1:
            raise ValueError(f"split: forward has one split, not folds: {self.folds} -- set folds: 1")
        test = self.test_fraction if self.folds == 1 else 1 / self.folds
        if test + self.valid_fraction >= 0.95:
            raise ValueError(
                f"valid_fraction: test trials ({test:.2f}) and validation trials ({self.valid_fraction:.2f}) "
                "leave too few to train on -- lower test_fraction or valid_fraction"
            )
        return self

    @model_validator(mode="after")
    def _in_order(self) -> Any:
        if len(self.sequence) == 1:
            raise ValueError("sequence: needs at least two datasets, or none")
        for i, name in enumerate(self.sequence):
            if name not in self.datasets:
                raise ValueError(f"sequence: {name!r} is none of the datasets {sorted(self.datasets)}")
            if name in self.sequence[:i]:
                raise ValueError(f"sequence: {name!r} is there twice")
        return self

    def before(self, dataset: str) -> str | None:
        """Return the dataset that is learned before this one, if any."""
        place = self.sequence.index(dataset) if dataset in self.sequence else 0
        return self.sequence[place - 1] if place else None

    def variants(self, track: str, dataset: str = "") -> dict[str, Variant]:
        """All models of a recording on `track`, sweeps expanded, by variant name; always with `null`.

        `dataset`: name of the recording, which models that are fitted `across` others are left out for.
        """
        found = {}
        for name, entry in {"null": {"family": "null"}, **self.models}.items():
            for variant in _expand(name, entry, track):
                if variant.name in found:
                    raise CortseqError("two models have this name", key=f"models.{name}", value=variant.name)
                model = sessions.fitted(variant.model, dataset, self.together if dataset else {})
                if model is not None and model.applies(track):
                    found[variant.name] = variant.model_copy(update={"model": model})
        return found


class Variant(BaseModel):
    """One point of a model's sweep."""

    name: str
    model_name: str
    model: Model
    swept: dict[str, Any]


def _expand(name: str, entry: Any, track: str | None) -> list[Variant]:
    """Return the variants of one entry: the product of its lists, without settings idle on `track`."""
    if not isinstance(entry, dict):
        raise CortseqError("a model is a mapping with a `family`", key=f"models.{name}", value=entry)
    idle: tuple[str, ...] = ()
    named = str(entry.get("family", ""))
    family = models.find(named) if named in models.modules() else None
    if isinstance(entry.get("family"), list):
        raise CortseqError(
            "a list is a sweep, and families are not swept",
            key=f"models.{name}.family",
            value=entry["family"],
            fix="make an entry for each",
        )
    if family is not None and track is not None:
        idle = family.idle.get(track, ())
    lists = {k: v for k, v in entry.items() if isinstance(v, list) and k not in idle}
    plain = {k: v for k, v in entry.items() if k not in lists and not (isinstance(v, list) and k in idle)}
    for key, values in lists.items():
        if not values:
            raise CortseqError("a sweep needs at least one value", key=f"models.{name}.{key}", value=values)
    points = math.prod(map(len, lists.values()))
    if points > MOST_VARIANTS:
        raise CortseqError(
            f"the sweep has {points} points, {MOST_VARIANTS} are allowed",
            key=f"models.{name}",
            fix="shorten its lists",
        )
    variants = []
    for point in itertools.product(*lists.values()):
        swept = dict(zip(lists, point, strict=True))
        model = _typed({**plain, **swept}, models, f"models.{name}")
        suffix = "".join(f"_{k}{_text(v)}" for k, v in swept.items() if len(lists[k]) > 1)
        variants.append(Variant(name=name + suffix, model_name=name, model=model, swept=swept))
    return variants


def _text(value: Any) -> str:
    """Write a value as part of a name: 0.9 -> 0p9, 1e-05 -> 1em05."""
    text = format(value, "g") if isinstance(value, float) else str(value).lower()
    return text.replace(".", "p").replace("-", "m").replace("+", "")


_EXPONENT = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")


def _numbers(value: Any) -> Any:
    """`1e-3` as a number wherever it stands: YAML 1.1 asks for `1.0e-3` and would give a text."""
    if isinstance(value, dict):
        return {key: _numbers(v) for key, v in value.items()}
    if isinstance(value, list):
        return [_numbers(v) for v in value]
    return float(value) if isinstance(value, str) and _EXPONENT.fullmatch(value) else value


def validate(content: Any, file: Any = None, folder: Path | None = None) -> Study:
    """Return a Study from parsed YAML, its paths relative to `folder`.

    Raises
    ------
    CortseqError : one line per fault.
    """
    if not isinstance(content, dict):
        raise CortseqError("a study is a mapping of keys", file=file, fix="see config/README.md")
    content, faults = entries.expand(_numbers(dict(content)), folder, file), []
    if isinstance(content.get("datasets"), dict):
        parsed = {}
        for name, entry in content["datasets"].items():
            try:
                parsed[name] = _typed(entry, sources, f"datasets.{name}", file)
            except CortseqError as error:
                faults.append(str(error))
                parsed[name] = None  # the rest is still checked
        content["datasets"] = parsed
        if "models" not in content and any(source and source.inputs for source in parsed.values()):
            content["models"] = standard.MODELS | standard.OF_INPUTS
    try:
        study = Study.model_validate(content)
    except ValidationError as error:
        faults.append(str(entries.fault(error, file=file, known=tuple(Study.model_fields))))
    entered = content.get("models")
    for name, entry in (entered if isinstance(entered, dict) else {}).items():
        try:
            if name == "null":
                raise CortseqError("is always there", key="models.null", fix="leave it out")
            _expand(name, entry, None)
        except CortseqError as error:
            faults += [f"{file}: {line}" if file else line for line in str(error).splitlines()]
    if not faults:
        every = {name: [v.model for v in _expand(name, e, None)] for name, e in study.models.items()}
        faults = _theory_faults(study, file) + sessions.faults(study, every, file)
        faults += plans.sheet_faults(study, file)
    if faults:
        raise CortseqError("\n".join(faults))
    for name, source in study.datasets.items():
        study.variants(source.track, name)
    return study


def _theory_faults(study: Study, file: Any) -> list[str]:
    """Phenomena and settings that do not exist, one line each."""
    faults = []
    for name, settings in study.theory.items():
        if name not in phenomena.names():
            fault = CortseqError(
                "unknown phenomenon",
                file=file,
                key=f"theory.{name}",
                fix=f"choose of {', '.join(phenomena.names())}",
            )
            faults.append(str(fault))
            continue
        known = phenomena.settings(name)
        for key, value in settings.items():
            if key not in known:
                fix = f"choose of {', '.join(known)}"
                fault = CortseqError(
                    "unknown setting", file=file, key=f"theory.{name}.{key}", value=value, fix=fix
                )
                faults.append(str(fault))
            elif key == "dataset" and value not in study.datasets:
                fix = "add it to `datasets`"
                fault = CortseqError(
                    "no such dataset", file=file, key=f"theory.{name}.dataset", value=value, fix=fix
                )
                faults.append(str(fault))
    return faults


def read(path: str | Path) -> Study:
    """Read and validate a study file."""
    path = Path(path)
    if not path.is_file():
        raise CortseqError("no such study file", file=path)
    return validate(yamlfile.load(path), path, path.parent)


def dump(study: Study) -> dict[str, Any]:
    """Return the study as plain JSON, sources and models in full."""
    content = study.model_dump(mode="json")
    content["datasets"] = {k: v.model_dump(mode="json", exclude_none=True) for k, v in study.datasets.items()}
    return content


def schema() -> dict[str, Any]:
    """JSON schema of a study file, for editors; model settings and `bin_ms` may be lists (sweeps)."""
    top = Study.model_json_schema()
    parts = {"datasets": _one_of(sources).json_schema(), "models": _one_of(models).json_schema()}
    definitions: dict[str, Any] = {}
    for key, part in parts.items():
        definitions |= part.pop("$defs", {})
        top["properties"][key]["additionalProperties"] = part
        top["properties"][key]["propertyNames"] = {"pattern": f"^{NAME.pattern}$"}
    for source in sources.registry().values():
        properties = definitions[source.__name__]["properties"]
        several = {"type": "array", "items": {"type": "number", "exclusiveMinimum": 0}, "minItems": 2}
        properties["bin_ms"] = {"anyOf": [properties["bin_ms"], several]}
    for model in models.registry().values():
        properties = definitions[model.__name__]["properties"]
        for name, field in properties.items():
            if name != "family":
                properties[name] = {"anyOf": [field, {"type": "array", "items": dict(field), "minItems": 1}]}
    names = {"type": "array", "items": {"type": "string"}, "minItems": 2}
    short = {
        "together": names,
        "figures": {"type": "array", "items": {**names, "minItems": 1}, "minItems": 1},
    }
    for key, form in short.items():
        whole = top["properties"][key]["additionalProperties"]
        top["properties"][key]["additionalProperties"] = {"anyOf": [whole, form]}
    top["$defs"] = definitions | top.get("$defs", {})
    plain: dict[str, Any] = json.loads(json.dumps(top))
    return plain


__all__ = ["Source", "Study", "Variant", "dump", "read", "schema", "validate"]
