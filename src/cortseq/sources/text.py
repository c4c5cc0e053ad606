"""Plain text: symbols, tables of a signal or of counts, and spike times."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, Strict, model_validator

from cortseq._lazy import xr
from cortseq.errors import CortseqError
from cortseq.sources import lines, tables, text_guesses
from cortseq.sources.base import Axis, Proposal, Sampled
from cortseq.sources.raw import clocked, dense, from_trains, with_dirt
from cortseq.sources.sequences import symbol_dataset
from cortseq.sources.summaries import summarise_events, summarise_symbols
from cortseq.sources.trials import SECONDS, Unit

Content = Literal["symbols", "signal", "counts", "spikes", "spike_times", "spike_lines"]
Column = Literal["trial", "unit", "time"]
_FOR = {
    "alphabet": ("symbols",),
    "axes": ("signal", "counts"),
    "native_bin_ms": ("signal", "counts"),
    "frame_rate_hz": ("signal", "counts"),
    "columns": ("spikes",),
    "time_unit": ("spikes", "spike_times", "spike_lines"),
    "sampling_rate_hz": ("spikes", "spike_times", "spike_lines"),
    "decimal": ("signal", "counts", "spikes", "spike_times", "spike_lines"),
    "label": ("symbols",),
    "group_by": ("symbols",),
    "missing": ("symbols",),
}
_ALONE = ("signal",)  # tables whose rows may hold one number each
_MISSING = ("", "nan", "NaN", "NA", "N/A")
_EXACT = 2.0**53  # whole numbers beyond it are not told apart in floating point


class Text(Sampled):
    """`source: text`: a text file (UTF-8, or as its mark says), whose `content` says how it is read.

    `symbols`: one sequence per line; empty lines are skipped and counted, as are lines that begin with `#`.
    With `label` the file is a table of one label per row, and `group_by` names the column of the sequence.
    `signal`, `counts`: a table of numbers whose rows and columns are `axes`. `spikes`: one spike per row, in
    the order of `columns`. `spike_times`: all numbers are the spike times of one unit. `spike_lines`: every
    line those of one unit. In numbers, what follows `#` is a comment, and an empty field of a table is
    missing. A comma is the decimal mark where it cannot be the separator, which is said.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".txt", ".csv", ".tsv")

    source: Literal["text"] = "text"
    content: Content = Field("symbols", description="what the file holds")
    separator: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="what stands between symbols (without it every character but white space is one) or "
        "numbers (without it comma, semicolon, tab or space)",
    )
    alphabet: list[str] | None = Field(
        None, description="the labels that may occur, in order; default: all found"
    )
    label: str | None = Field(
        None, description="column of the labels in a table, by its header or number from 1"
    )
    group_by: str | None = Field(
        None, description="column that tells the sequences of a table apart, by its header or number from 1"
    )
    missing: list[str] = Field(
        list(_MISSING), description="labels that mean that there is none: masked where symbols are separated"
    )
    encoding: str | None = Field(None, description="how the text is written; default: UTF-8, or by its mark")
    decimal: Literal[".", ","] | None = Field(None, description="decimal mark of numbers")
    skip_lines: int = Field(0, ge=0, description="lines at the top that are not read")
    axes: Annotated[tuple[Axis, Axis], Strict(False)] = Field(
        ("time", "channel"), description="what rows and columns of a table are"
    )
    columns: Annotated[tuple[Column, ...], Strict(False)] = Field(
        ("unit", "time"), description="what the columns of a list of spikes are"
    )
    time_unit: Unit = Field("s", description="unit of spike times")

    @property
    def track(self) -> Literal["counts", "symbols", "signal"]:
        """Track of the recording: counts, symbols or signal."""
        if self.content in ("symbols", "signal"):
            return self.content
        return "counts"

    @model_validator(mode="after")
    def _fits_content(self) -> Self:
        for key, kinds in _FOR.items():
            default = type(self).model_fields[key].get_default(call_default_factory=True)
            if self.content not in kinds and getattr(self, key) != default:
                raise ValueError(
                    f"{key}: belongs to content {' or '.join(kinds)} -- remove it or set content"
                )
        if self.group_by and not self.label:
            raise ValueError("group_by: belongs to label, the column of the labels -- name it too")
        if self.content in ("signal", "counts"):
            if self.native is None:
                raise ValueError("frame_rate_hz: is needed for a table of samples -- give samples per second")
            if "time" not in self.axes or self.axes[0] == self.axes[1] or "trial" in self.axes:
                raise ValueError(f"axes: {list(self.axes)} must be time and unit or channel")
        if len(set(self.columns)) != len(self.columns) or "time" not in self.columns:
            raise ValueError(f"columns: {list(self.columns)} must be distinct and hold time")
        if self.content != "symbols" and self.covariates:
            raise ValueError("covariates: a text file has none -- remove the key")
        return self

    def load(self, file: Path | None, seed: int) -> xr.Dataset:
        """Read the file into a raw Dataset; see `Source.load`."""
        rows = lines.read(file, self.encoding)[self.skip_lines :]
        if self.content == "symbols":
            return self._symbols(rows, file)
        if self.content in ("signal", "counts"):
            track: Literal["counts", "signal"] = "signal" if self.content == "signal" else "counts"
            values, commas = self._table(rows, file)
            assert self.native is not None
            raw = dense(values, track, self.axes, file=file, key=track)
            return clocked(raw, self.native, {"decimal_commas": commas})
        return self._spikes(rows, file)

    def _symbols(self, rows: list[str], file: Path | None) -> xr.Dataset:
        rows, comments = lines.without_comments(rows)
        if self.label:
            read = tables.labels(rows, self.label, self.group_by, self.separator, file)
        else:
            read = [_split(row, self.separator) for row in rows]
        missing = bool(self.separator or self.label)
        known = [self._known(sequence) if missing else list(sequence) for sequence in read]
        dirt = {"comment_lines": comments}
        return symbol_dataset(known, file=file, alphabet=self.alphabet, dirt=dirt)

    def _known(self, sequence: list[str]) -> list[str | None]:
        """Return the labels, None where one is missing; empty fields at the end of a row are padding."""
        while sequence and sequence[-1] == "":
            sequence = sequence[:-1]
        return [None if label in self.missing else label for label in sequence]

    def _table(self, rows: list[str], file: Path | None) -> tuple[np.ndarray, int]:
        """Return a table of numbers, (row, column), and how many of them had a decimal comma."""
        mark, decimal = lines.marks(rows, self.separator, self.decimal, file, self.content in _ALONE)
        return tables.numbers(rows, mark, decimal, file)

    def _spikes(self, rows: list[str], file: Path | None) -> xr.Dataset:
        scale = SECONDS[self.time_unit]
        if self.content == "spikes":
            table, commas = self._table(rows, file)
            return with_dirt(self._spike_table(table, file), {"decimal_commas": commas})
        mark, decimal = lines.marks(rows, self.separator, self.decimal, file, single=True)
        values = [_numbers(row, mark, decimal, file, i + 1) for i, row in enumerate(rows)]
        if self.content == "spike_times":
            values = [np.concatenate([*values, np.empty(0)])]
        else:
            values = [times for times, row in zip(values, rows, strict=True) if not row.startswith("#")]
        commas = sum(row.partition("#")[0].count(",") for row in rows) if decimal == "," else 0
        trains = {str(i): times for i, times in enumerate(values)}
        raw = from_trains(trains, scale=scale, file=file, key="spike_times")
        return with_dirt(raw, {"decimal_commas": commas})

    def _spike_table(self, table: np.ndarray, file: Path | None) -> xr.Dataset:
        """Return rows of (trial,) unit, time; a trial is made of each number that occurs."""
        if table.shape[1] < len(self.columns):
            raise CortseqError(
                f"the table has {table.shape[1]} columns, not {list(self.columns)}", file=file, key="columns"
            )
        column = dict(zip(self.columns, table.T, strict=False))
        for name in {"unit", "trial"} & set(column):
            whole = np.isfinite(column[name]) & (column[name] == np.floor(column[name]))
            if not whole.all():
                raise CortseqError("must be whole numbers", file=file, key=f"columns: {name}")
            if (abs(column[name]) > _EXACT).any():
                largest = float(abs(column[name]).max())
                raise CortseqError(
                    "a number is too large to be one", file=file, key=f"columns: {name}", value=largest
                )
        names, unit = np.unique(column.get("unit", np.zeros(len(table))), return_inverse=True)
        rows = np.split(np.argsort(unit, kind="stable"), np.cumsum(np.bincount(unit))[:-1])
        trial, dirt = None, {}
        if "trial" in column:
            numbers, trial = np.unique(column["trial"], return_inverse=True)
            dirt["trial_numbers_unused"] = int(numbers[-1] - numbers[0] + 1 - len(numbers))
        raw = from_trains(
            {str(int(name)): column["time"][own] for name, own in zip(names, rows, strict=True)},
            scale=SECONDS[self.time_unit],
            file=file,
            key="columns: time",
            trials=None if trial is None else [trial[own] for own in rows],
        )
        raw = raw if trial is None else raw.assign_coords(trial=np.arange(len(numbers)))
        return with_dirt(raw, dirt)

    @classmethod
    def propose(cls, file: Path) -> list[Proposal]:
        """Return entries that may read the file."""
        return text_guesses.propose(file)

    @classmethod
    def inspect(cls, file: Path) -> list[str]:
        """Return what the file holds, one line a fact."""
        rows = [row for row in lines.read(file) if row.strip()]
        separator = "," if file.suffix == ".csv" else None
        if _are_numbers(rows, separator):
            return _inspect_numbers(cls, file, rows)
        raw = cls.model_validate({"path": str(file), "separator": separator}).load(file, 0)
        how = "separated by ','" if separator else "one symbol per character"
        return summarise_symbols(raw, f"symbols, one sequence per line, {how} (source: text)")


def _split(line: str, separator: str | None) -> list[str]:
    if separator is None:
        return list("".join(line.split()))
    if not line.strip():
        return []
    return [symbol.strip() for symbol in line.split(separator)]


# -- numbers ---------------------------------------------------------------------------------------


def _numbers(line: str, mark: str, decimal: str, file: Path | None, number: int) -> np.ndarray:
    """Return all numbers of a line before its comment."""
    text = line.partition("#")[0].replace('"', "")
    text = text.replace(",", ".") if decimal == "," else text
    fields = text.split() if mark == r"\s+" else [f for f in re.split(mark, text) if f.strip()]
    try:
        return np.array([float(field) for field in fields])
    except ValueError as error:
        raise CortseqError(f"line {number} is not numbers ({error})", file=file, key="content") from error


def _are_numbers(lines: list[str], separator: str | None) -> bool:
    """Whether a file is a table or list of numbers; digits alone may be symbols, unless they ascend."""
    rows = [line for line in lines if not line.startswith("#")]
    fields = [field.strip() for row in rows for field in row.split(separator)]
    try:
        values = [float(field) for field in fields]
    except ValueError:
        return False
    ascending = len(fields) == len(rows) > 2 and values == sorted(values) and values[-1] > 9
    return bool(fields) and (ascending or any("." in field for field in fields))


def _inspect_numbers(cls: type[Text], file: Path, given: list[str]) -> list[str]:
    """Lines about a table of numbers, or about times: one number a row, or two of which one are units."""
    from cortseq.sources.summaries import summary

    rows = sum(not line.startswith("#") for line in given)
    try:
        values, _ = tables.numbers(given, *lines.marks(given, None, None, file, single=False), file)
    except CortseqError:  # lines of unequal length
        return [f"kind: text, {rows} rows of numbers of unequal length (source: text, content: spike_lines)"]
    found = [f"kind: text, {rows} rows of numbers, {values.shape[1]} columns (source: text)"]
    if values.shape[1] > 2:
        return [*found, f"a table, as of content: signal: {summary(values)}"]
    content = "spike_times" if values.shape[1] == 1 else "spikes"
    entry = {"path": str(file), "content": content}
    if content == "spikes" and (values[:, 0] != np.floor(values[:, 0])).any():
        return [*found, f"table: {summary(values)}"]
    raw = cls.model_validate(entry).load(file, 0)
    return [*found, *summarise_events(raw, f"spikes if times are in s (content: {content})")]


SOURCE = Text
