"""What a source is: a typed entry of the study that turns one raw file into a raw Dataset.

A raw Dataset is a recording as it was recorded, before binning and cutting. Two forms:

* ``attrs["form"] == "events"``: variables ``event_time`` (s), ``event_unit`` (index into the
  coordinate ``unit``), both along ``event``. Trial-structured files also have ``event_trial`` (index
  along ``trial``; times are then relative to the trial's start). Files with absolute times may have a
  trial table instead: ``interval_start``, ``interval_stop`` and optionally ``interval_align`` (s, along
  ``trial``). Covariates: variables named ``covariate_<name>`` along ``trial``, or, for a time series
  with absolute times, ``series_<name>`` along ``time_<name>`` with that coordinate in s. What inputs are
  made of is read like covariates, under the names ``inputs.<input>.<role>``.
* ``attrs["form"] == "samples"``: one of ``counts`` / ``signal`` with dims (trial, time, unit|channel)
  or, continuous, (time, unit|channel) with coordinate ``time`` (s); or ``symbols`` already padded, with
  ``valid``. ``attrs["bin_width"]`` is the native width (s).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, Strict, model_validator

from cortseq._lazy import xr
from cortseq.download import allowed
from cortseq.observations import registry
from cortseq.observations.tracks import TRACKS
from cortseq.sources.inputs import Input

if TYPE_CHECKING:
    CountObservation = str
else:
    CountObservation = Literal[registry.names("counts")]  # the files of `cortseq.observations` for counts
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Part = Annotated[tuple[Share, Share], Strict(False)]  # YAML has lists only
Axis = Literal["trial", "unit", "channel", "time"]
Window = Annotated[tuple[float, float], Strict(False)]

Stage = Literal["load", "preprocess", "split"]
# Keys of an entry by what is done with them, so that a change runs no more stages again than it must.
WORDS = ("what", "cite", "licence")  # for people only
CUT = (  # of `preprocess`; `Source.early` says which of them `load` looks at as well
    *("bin_ms", "select", "part", "max_trials", "accept", "observation", "guard", "valid_from"),
    *("window_events", "collapse"),
)
DEALT = ("covariates", "stratify", "min_rate_hz", "max_rate_hz", "max_units")  # of `split`


@dataclass(frozen=True)
class Proposal:
    """An entry that may read a file: its keys, and for each guessed one a note for the user to check.

    Parameters
    ----------
    entry : keys of a dataset without `path`.
    notes : key -> what was guessed and from what.
    sure : how well the file fits; proposals are tried from the highest down.
    inputs : what models might see, by name; `new` writes it as a comment.
    """

    entry: dict[str, Any]
    notes: dict[str, str] = field(default_factory=dict)
    sure: float = 1.0
    inputs: dict[str, dict[str, str]] = field(default_factory=dict)


class Source(BaseModel):
    """One entry under `datasets:` of a study."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    # Which file suffixes `cortseq inspect` hands to this source.
    suffixes: ClassVar[tuple[str, ...]] = ()
    # Files that make up the recording where `path` is a folder, as patterns; empty: `path` is a file.
    parts: ClassVar[tuple[str, ...]] = ()

    source: str
    path: str | None = Field(
        None, description="raw file: as given, or under data/raw/, or in a mirror by name"
    )
    url: str | None = Field(None, description="where the file can be fetched from")
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    package: str | None = Field(
        None,
        pattern="^[A-Za-z0-9_]+$",
        description="installed Python package that ships the file at `path`; a plain name",
    )
    what: str | None = Field(None, description="what was recorded, in words; for the list of recordings")
    cite: str | None = Field(None, description="whom to cite, and where the recording comes from")
    licence: str | None = Field(None, description="licence of the recording")
    bin_ms: Positive | None = Field(
        None, description="bin width in ms; default: 20 for spikes, native for samples"
    )
    window_ms: Window | Positive | None = Field(
        None,
        description="[start, stop] of a trial in ms, or the length of windows cut from a continuous file",
    )
    covariates: dict[str, str] = Field(
        default_factory=dict,
        description="label: name in the file; labels and stratifies trials; of the models only psth sees it",
    )
    inputs: dict[str, Input] = Field(
        default_factory=dict,
        description="what models see of what the animal saw and did, by name: see `inputs`",
    )
    observation: CountObservation | None = Field(
        None, description="what every model takes counts to be drawn from; default: poisson"
    )
    stratify: str | None = Field(None, description="the covariate to stratify splits by; default: the first")
    min_rate_hz: float = Field(0.0, ge=0, description="units at or below this training rate are dropped")
    max_rate_hz: Positive | None = Field(
        None,
        description="units above this training rate are dropped: no single neuron, and most of all spikes",
    )
    select: dict[str, list[Any]] = Field(
        default_factory=dict, description="keep the units whose label (key) is one of the values"
    )
    max_units: int | None = Field(None, ge=1, description="keep the units with the highest training rate")
    part: Part | None = Field(
        None,
        description=(
            "[from, to], shares of the recording's trials in their recorded order: [0, 0.5] is the first half"
        ),
    )
    max_trials: int | None = Field(None, ge=2, description="keep the first trials only")
    accept: list[str] = Field(
        default_factory=list, description="names of signs that `cortseq check` refuses and that are meant"
    )
    guard: bool = Field(
        False,
        description="deal neighbouring trials in blocks, guards where roles meet: for windows that overlap",
    )
    valid_from: float | None = Field(
        None, description="s on the recording's clock; what lies before is left out"
    )
    sampling_rate_hz: Positive | None = Field(
        None, description="spike times are sample numbers at this rate (time_unit stays s)"
    )
    window_events: int | None = Field(
        None, ge=2, description="symbols: labels per window that a long record is cut into"
    )
    collapse: bool = Field(False, description="symbols: a run of one label becomes one label")

    @property
    def track(self) -> Literal["counts", "symbols", "signal"]:
        """The track of the recording this entry gives, known without opening the file."""
        raise NotImplementedError

    def load(self, file: Path | None, seed: int) -> xr.Dataset:
        """Read `file` (None for sources without one) into a raw Dataset."""
        raise NotImplementedError

    @classmethod
    def inspect(cls, file: Path) -> list[str]:
        """Return what the file holds, one line a fact.

        Kind, units, trials or duration, rates, what is dirty.
        """
        raise NotImplementedError

    @classmethod
    def propose(cls, file: Path) -> list[Proposal]:
        """Return entries that may read the file, the likeliest first; only `inspect` and `new` ask."""
        return []

    @classmethod
    def open_arrays(cls, file: Path) -> Any:
        """Return the named arrays of a file (`cortseq.sources.archive.Archive`); None where it has none."""
        return None

    @property
    def needs_file(self) -> bool:
        """Whether the entry names a file."""
        return True

    @property
    def patterns(self) -> tuple[str, ...]:
        """Names of the files that make up this entry's recording; empty where `path` is one file."""
        return self.parts

    @property
    def early(self) -> tuple[str, ...]:
        """Names of keys in `CUT` that `load` looks at: none, but of a class from outside the package all."""
        return () if type(self).__module__.startswith("cortseq.sources.") else CUT

    @property
    def companions(self) -> tuple[str, ...]:
        """Files read beside the recording itself."""
        return tuple(dict.fromkeys(one.path for one in self.inputs.values() if one.path))

    @model_validator(mode="after")
    def _has_file(self) -> Self:
        if self.url is not None and not allowed(self.url):
            raise ValueError(
                f"url: only http and https are fetched, not {self.url!r} -- give path: for a file"
            )
        if self.needs_file and self.path is None and self.url is None:
            raise ValueError("needs `path:` or `url:` -- name the raw file")
        if self.patterns and (self.path is None or self.url or self.package):
            raise ValueError(
                "path: names a folder, which is not fetched -- give path: and no url: or package:"
            )
        return self

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if isinstance(self.window_ms, tuple) and self.window_ms[1] <= self.window_ms[0]:
            raise ValueError(
                f"window_ms: [start, stop] must end after it starts (got {list(self.window_ms)})"
            )
        if self.part and self.part[1] <= self.part[0]:
            raise ValueError(f"part: [from, to] must end after it starts (got {list(self.part)})")
        if self.stratify and self.stratify not in self.covariates:
            raise ValueError(
                f"stratify: {self.stratify!r} is none of the covariates {sorted(self.covariates)} -- add "
                f"it there"
            )
        if self.sampling_rate_hz and getattr(self, "time_unit", "s") != "s":
            raise ValueError(
                "sampling_rate_hz: times are sample numbers, and have no time_unit -- give one of them"
            )
        if self.observation and not TRACKS[self.track].has_events:
            raise ValueError(f"observation: is for counts, this source gives {self.track} -- remove the key")
        for key in _NOT_FOR.get(self.track, ()):
            if getattr(self, key) != type(self).model_fields[key].get_default(call_default_factory=True):
                what = {
                    "symbols": "a source of symbols has none",
                    "signal": "a signal has no rate of spikes" if key in _RATES else "is for symbols",
                    "counts": "is for symbols",
                }
                raise ValueError(f"{key}: {what[self.track]} -- remove the key")
        return self


def given(source: Source, stage: Stage) -> dict[str, Any]:
    """Return the keys of an entry that a stage computes from, as plain values.

    The stage runs again when one of them changes.
    """
    whole = source.model_dump(mode="json", exclude_none=True)
    if stage == "split":
        return {key: whole.get(key) for key in DEALT}
    later = set(WORDS) | set(DEALT) - {"covariates"}
    later |= set(CUT) - set(source.early) if stage == "load" else set()
    return {key: value for key, value in whole.items() if key not in later}


_RATES = ("min_rate_hz", "max_rate_hz", "max_units", "sampling_rate_hz")
_LABELS = ("window_events", "collapse")
_NOT_FOR = {
    "symbols": (
        "covariates",
        "inputs",
        "select",
        "stratify",
        "bin_ms",
        "window_ms",
        "guard",
        "valid_from",
        *_RATES,
    ),
    "signal": (*_RATES, *_LABELS),
    "counts": _LABELS,
}


class SymbolSource(Source):
    """A source of label sequences: no units to select, no covariates, no clock."""

    @property
    def track(self) -> Literal["counts", "symbols", "signal"]:
        """Track of the recording: counts, symbols or signal."""
        return "symbols"


class Sampled(Source):
    """A source of samples whose clock the study gives."""

    native_bin_ms: Positive | None = Field(None, description="bin width of the samples in ms")
    frame_rate_hz: Positive | None = Field(None, description="samples per second, instead of native_bin_ms")

    @property
    def native(self) -> float | None:
        """The width of a sample, s, where the study gives it."""
        if self.frame_rate_hz:
            return 1 / self.frame_rate_hz
        return self.native_bin_ms and self.native_bin_ms / 1e3

    @model_validator(mode="after")
    def _one_clock(self) -> Self:
        if self.native_bin_ms and self.frame_rate_hz:
            raise ValueError("frame_rate_hz: says the same as native_bin_ms -- give one of them")
        return self
