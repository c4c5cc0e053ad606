"""What a source is: a typed entry of the study that turns one raw file into a raw Dataset.

A raw Dataset is a recording as it was recorded, before binning and cutting. Two forms:

* ``attrs["form"] == "events"``: variables ``event_time`` (s), ``event_unit`` (index into the
  coordinate ``unit``), both along ``event``. Trial-structured files also have ``event_trial`` (index
  along ``trial``; times are then relative to the trial's start). Files with absolute times may have a
  trial table instead: ``interval_start``, ``interval_stop`` and optionally ``interval_align`` (s, along
  ``trial``). Covariates: variables named ``covariate_<name>`` along ``trial``, or, for a time series
  with absolute times, ``series_<name>`` along ``time_<name>`` with that coordinate in s.
* ``attrs["form"] == "samples"``: one of ``counts`` / ``signal`` with dims (trial, time, unit|channel)
  or, continuous, (time, unit|channel) with coordinate ``time`` (s); or ``symbols`` already padded, with
  ``valid``. ``attrs["bin_width"]`` is the native width (s).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import xarray as xr
from pydantic import BaseModel, ConfigDict, Field, Strict, model_validator

from cortseq.download import allowed
from cortseq.errors import CortseqError

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Part = Annotated[tuple[Share, Share], Strict(False)]  # YAML has lists only
Window = Annotated[tuple[float, float], Strict(False)]


@dataclass(frozen=True)
class Proposal:
    """An entry that may read a file: its keys, and for each guessed one a note for the user to check.

    Parameters
    ----------
    entry : keys of a dataset without `path`.
    notes : key -> what was guessed and from what.
    sure : how well the file fits; proposals are tried from the highest down.
    """

    entry: dict[str, Any]
    notes: dict[str, str] = field(default_factory=dict)
    sure: float = 1.0


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
        description="label: name in the file; labels and stratifies trials, never seen by models",
    )
    observation: Literal["poisson", "negative_binomial", "conway_maxwell"] | None = Field(
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
        """Return the named arrays of a file (`cortseq.sources.arrays.Archive`); None where it has none."""
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
    def companions(self) -> tuple[str, ...]:
        """Files read beside the recording itself."""
        return ()

    @model_validator(mode="after")
    def _has_file(self):
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
    def _fits_together(self):
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
        if self.observation and self.track != "counts":
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


_RATES = ("min_rate_hz", "max_rate_hz", "max_units", "sampling_rate_hz")
_LABELS = ("window_events", "collapse")
_NOT_FOR = {
    "symbols": ("covariates", "select", "stratify", "bin_ms", "window_ms", "guard", "valid_from", *_RATES),
    "signal": (*_RATES, *_LABELS),
    "counts": _LABELS,
}


class SymbolSource(Source):
    """A source of label sequences: no units to select, no covariates, no clock."""

    @property
    def track(self) -> Literal["counts", "symbols", "signal"]:
        """Track of the recording: counts, symbols or signal."""
        return "symbols"


def describe(
    raw: xr.Dataset, form: Literal["events", "samples"], dirt: dict[str, Any] | None = None, **attrs: Any
) -> xr.Dataset:
    """Return the raw Dataset with its attributes; entries of `dirt` that counted nothing are left out."""
    return with_dirt(raw, dirt or {}).assign_attrs(form=form, **attrs)


def with_dirt(raw: xr.Dataset, more: dict[str, Any]) -> xr.Dataset:
    """Return the raw Dataset with more entries of `dirt`; those that counted nothing are left out."""
    found = json.loads(raw.attrs.get("dirt", "{}")) | {key: int(n) for key, n in more.items() if n}
    return raw.assign_attrs(dirt=json.dumps(found))


def symbol_dataset(
    sequences: Sequence[Sequence[str | None]],
    *,
    file: Path | None = None,
    alphabet: Sequence[str] | None = None,
    dirt: dict[str, Any] | None = None,
) -> xr.Dataset:
    """Sequences of labels as padded integers: labels sorted (or in the order of `alphabet`) are 0, 1, ...

    A label None is missing: `valid` leaves it out, and its neighbours do not become neighbours.

    Raises CortseqError where no sequence holds a symbol or a label lies outside the alphabet.
    """
    kept = [[label if label is None else str(label) for label in s] for s in sequences if _any(s)]
    if not kept:
        raise CortseqError("holds no symbols", file=file, fix="check the file and its format")
    found = {label for sequence in kept for label in sequence if label is not None}
    labels = sorted_labels(found) if alphabet is None else list(alphabet)
    if outside := sorted_labels(found - set(labels)):
        raise CortseqError(
            f"a label lies outside the alphabet {labels}",
            file=file,
            key="alphabet",
            value=outside[0],
            fix="add it to the alphabet or correct the file",
        )
    if len(labels) > np.iinfo(np.int16).max:
        raise CortseqError(
            f"{len(labels)} different labels are too many",
            file=file,
            key="labels",
            fix="choose another column",
        )
    index = {label: i for i, label in enumerate(labels)}
    valid = np.arange(max(map(len, kept)))[None] < np.array([[len(s)] for s in kept])
    symbols = np.zeros(valid.shape, np.int16)
    symbols[valid] = [0 if label is None else index[label] for sequence in kept for label in sequence]
    known = np.array([label is not None for sequence in kept for label in sequence])
    valid[valid] = known
    raw = xr.Dataset({"symbols": (("trial", "time"), symbols), "valid": (("trial", "time"), valid)})
    found_dirt = {"empty_sequences": len(sequences) - len(kept), "labels_missing": int((~known).sum())}
    dirt = found_dirt | (dirt or {})
    return describe(raw, "samples", dirt, bin_width=1.0, n_symbols=len(labels), labels=labels)


def _any(sequence: Sequence[str | None]) -> bool:
    return any(label is not None for label in sequence)


def sequences_dataset(sequences: Sequence[np.ndarray], *, file: Path | None, key: str) -> xr.Dataset:
    """Return raw symbols of arrays of labels, (label,) each: text, or whole numbers of any type."""
    texts = []
    for labels in sequences:
        values = np.asarray(labels)
        with np.errstate(invalid="ignore"):
            wrong = values.dtype.kind == "f" and (values != np.floor(values)).any()
        if values.dtype.kind not in "iufbU" or wrong:
            raise CortseqError(
                f"labels are text or whole numbers, not {values.dtype}",
                file=file,
                key=key,
                fix="check the key",
            )
        texts.append((values.astype(np.int64) if values.dtype.kind == "f" else values).astype(str).tolist())
    return symbol_dataset(texts, file=file)


def sorted_labels(labels) -> list[str]:
    """Return labels in order: as numbers where all are whole numbers, else as text."""
    numbers = all(label.lstrip("-").isdigit() for label in labels)
    return sorted(labels, key=int if numbers else None)


def summarise_symbols(raw: xr.Dataset, kind: str) -> list[str]:
    """Return lines of `inspect` for a raw Dataset of symbols."""
    lengths = raw["valid"].values.sum(1)
    counts = np.bincount(raw["symbols"].values[raw["valid"].values], minlength=raw.attrs["n_symbols"])
    share = counts / counts.sum()
    entropy = -(share[share > 0] * np.log2(share[share > 0])).sum()
    pairs = [f"{label}: {n}" for label, n in zip(raw.attrs["labels"], counts, strict=True)]
    labels = ", ".join(pairs[:20] + ["..."] * (len(pairs) > 20))
    return [
        f"kind: {kind}",
        f"sequences: {len(lengths)}, {counts.sum()} symbols, "
        f"lengths {lengths.min()} to {lengths.max()} (median {np.median(lengths):g})",
        f"labels: {len(counts)} ({labels})",
        f"entropy of single labels: {entropy:.2f} bits",
        f"dirt: {summarise_dirt(raw)}",
    ]


def summarise_events(raw: xr.Dataset, kind: str) -> list[str]:
    """Return lines of `inspect` for a raw Dataset of spikes."""
    times, n_units = raw["event_time"].values, raw.sizes["unit"]
    counts = np.bincount(raw["event_unit"].values, minlength=n_units)
    lines = [f"kind: {kind}", f"units: {n_units} ({(counts == 0).sum()} silent), {len(times)} spikes"]
    if "trial" in raw.sizes:
        lines.append(f"trials: {raw.sizes['trial']}")
    span = float(np.ptp(times)) if len(times) else 0.0
    if span > 0:
        rates = counts / (span * (raw.sizes["trial"] if "event_trial" in raw else 1))
        lines.append(f"times: {times.min():.3f} to {times.max():.3f} s; {summarise_rates(rates)}")
        lines += dominant(counts, rates, raw["unit"].values)
        if "event_trial" not in raw and "interval_start" not in raw:
            lines.append(f"longest time without any spike: {np.diff(np.sort(times)).max(initial=0):.2f} s")
    return lines


def summarise_rates(rates: np.ndarray) -> str:
    """Return one line on the firing rates (unit,), Hz."""
    return f"rates {rates.min():.2f} to {rates.max():.2f} Hz (mean {rates.mean():.2f})"


def dominant(counts: np.ndarray, rates: np.ndarray, names: np.ndarray) -> list[str]:
    """Return a line where one unit of several has most of all spikes: a pooled score would be that unit's.

    Parameters
    ----------
    counts : (unit,) spikes.
    rates : (unit,) Hz.
    names : (unit,).
    """
    most = int(np.argmax(counts))
    if (counts > 0).sum() < 3 or counts[most] <= counts.sum() / 2:
        return []
    share = 100 * counts[most] / counts.sum()
    return [
        f"dirty: unit {names[most]} fires at {rates[most]:.1f} Hz and has {share:.0f} % of all spikes "
        f"(max_rate_hz)"
    ]


def summarise_dirt(raw: xr.Dataset) -> str:
    """Return what a Dataset dropped, in words."""
    found = json.loads(raw.attrs.get("dirt", "{}"))
    return ", ".join(f"{n} {key.replace('_', ' ')}" for key, n in found.items()) or "none"


def finite(values, *, file: Path | None, key: str) -> np.ndarray:
    """Return `values` as float64; CortseqError where one is NaN or infinite.

    Parameters
    ----------
    values : of any shape; the result has the same.
    """
    values = np.asarray(values)
    if values.dtype.kind not in "iufb" and values.size:
        raise CortseqError(
            f"times must be numbers, not {values.dtype}", file=file, key=key, fix="check the key"
        )
    values = values.astype(float)
    bad = ~np.isfinite(values)
    if bad.any():
        raise CortseqError(
            f"{bad.sum()} of {bad.size} times are NaN or infinite",
            file=file,
            key=key,
            fix="remove them from the file",
        )
    return values


def whole_counts(values: np.ndarray, *, file: Path | None, key: str) -> np.ndarray:
    """Return `values` as integers >= 0; CortseqError where one is negative, fractional or not a number.

    Parameters
    ----------
    values : of any shape; the result has the same.
    """
    if values.dtype.kind in "ub":
        return values.astype(np.uint8) if values.dtype.kind == "b" else values
    if values.dtype.kind not in "if":
        raise CortseqError(
            f"counts must be numbers, not {values.dtype}", file=file, key=key, fix="check the key"
        )
    with np.errstate(invalid="ignore"):
        bad = ~np.isfinite(values) | (values < 0) | (values != np.floor(values))
    if bad.any():
        raise CortseqError(
            f"counts must be whole numbers >= 0, {bad.sum()} are not",
            file=file,
            key=key,
            value=float(values[bad][0]),
            fix="real values are read with `signal:`",
        )
    return values if values.dtype.kind == "i" else values.astype(np.int32)
