"""Plain text: symbols, tables of a signal or of counts, and spike times."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import xarray as xr
from pydantic import Field, Strict, model_validator

from cortseq.errors import CortseqError
from cortseq.sources import text_guesses
from cortseq.sources.arrays import SECONDS, Axis, Sampled, Unit, clocked, dense, from_trains
from cortseq.sources.base import Proposal, summarise_events, summarise_symbols, symbol_dataset

Content = Literal["symbols", "signal", "counts", "spikes", "spike_times", "spike_lines"]
Column = Literal["trial", "unit", "time"]
_FOR = {
    "alphabet": ("symbols",),
    "axes": ("signal", "counts"),
    "native_bin_ms": ("signal", "counts"),
    "frame_rate_hz": ("signal", "counts"),
    "columns": ("spikes",),
    "time_unit": ("spikes", "spike_times", "spike_lines"),
}


class Text(Sampled):
    """`source: text`: a UTF-8 file, whose `content` says how it is read.

    `symbols`: one sequence per line; empty lines are skipped and counted. `signal`, `counts`: a table of
    numbers whose rows and columns are `axes`. `spikes`: one spike per row, in the order of `columns`.
    `spike_times`: all numbers are the spike times of one unit. `spike_lines`: every line those of one unit.
    In numbers, what follows `#` is a comment, and an empty field of a table is missing.
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
            return self.content  # type: ignore[return-value]
        return "counts"

    @model_validator(mode="after")
    def _fits_content(self):
        for key, kinds in _FOR.items():
            default = type(self).model_fields[key].get_default()
            if self.content not in kinds and getattr(self, key) != default:
                raise ValueError(
                    f"{key}: belongs to content {' or '.join(kinds)} -- remove it or set content"
                )
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
        lines = _lines(file)[self.skip_lines :]
        if self.content == "symbols":
            sequences = [_split(line, self.separator) for line in lines]
            return symbol_dataset(sequences, file=file, alphabet=self.alphabet)
        if self.content in ("signal", "counts"):
            track: Literal["counts", "signal"] = "signal" if self.content == "signal" else "counts"
            values = _table(lines, self.separator, file)
            assert self.native is not None
            return clocked(dense(values, track, self.axes, file=file, key=track), self.native)
        return self._spikes(lines, file)

    def _spikes(self, lines: list[str], file: Path | None) -> xr.Dataset:
        scale = SECONDS[self.time_unit]
        if self.content == "spikes":
            return self._spike_table(_table(lines, self.separator, file), file)
        rows = [_numbers(line, self.separator, file, i + 1) for i, line in enumerate(lines)]
        if self.content == "spike_times":
            rows = [np.concatenate([*rows, np.empty(0)])]
        else:
            rows = [times for times, line in zip(rows, lines, strict=True) if not line.startswith("#")]
        trains = {str(i): times for i, times in enumerate(rows)}
        return from_trains(trains, scale=scale, file=file, key="spike_times")

    def _spike_table(self, table: np.ndarray, file: Path | None) -> xr.Dataset:
        """Return rows of (trial,) unit, time; trials are numbered from the lowest."""
        if table.shape[1] < len(self.columns):
            raise CortseqError(
                f"the table has {table.shape[1]} columns, not {list(self.columns)}", file=file, key="columns"
            )
        column = dict(zip(self.columns, table.T, strict=False))
        for name in {"unit", "trial"} & set(column):
            if not (np.isfinite(column[name]) & (column[name] == np.floor(column[name]))).all():
                raise CortseqError("must be whole numbers", file=file, key=f"columns: {name}")
        unit = column.get("unit", np.zeros(len(table))).astype(int)
        trial = (column["trial"] - column["trial"].min()).astype(int) if "trial" in column else None
        groups = {str(name): unit == name for name in np.unique(unit)}
        raw = from_trains(
            {name: column["time"][rows] for name, rows in groups.items()},
            scale=SECONDS[self.time_unit],
            file=file,
            key="columns: time",
            trials=None if trial is None else [trial[rows] for rows in groups.values()],
        )
        return raw if trial is None else raw.assign_coords(trial=np.arange(trial.max() + 1))

    @classmethod
    def propose(cls, file: Path) -> list[Proposal]:
        """Return entries that may read the file."""
        return text_guesses.propose(file)

    @classmethod
    def inspect(cls, file: Path) -> list[str]:
        """Return what the file holds, one line a fact."""
        lines = [line for line in _lines(file) if line.strip()]
        separator = "," if file.suffix == ".csv" else None
        if _are_numbers(lines, separator):
            return _inspect_numbers(cls, file, lines)
        raw = cls.model_validate({"path": str(file), "separator": separator}).load(file, 0)
        how = "separated by ','" if separator else "one symbol per character"
        return summarise_symbols(raw, f"symbols, one sequence per line, {how} (source: text)")


def _lines(file: Path | None) -> list[str]:
    assert file is not None
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise CortseqError(
            "is not UTF-8 text", file=file, fix="convert it or choose another source"
        ) from error


def _split(line: str, separator: str | None) -> list[str]:
    if separator is None:
        return list("".join(line.split()))
    return [symbol for part in line.strip("\r\n").split(separator) if (symbol := part.strip())]


# -- numbers ---------------------------------------------------------------------------------------


def _separator(lines: list[str], given: str | None) -> str:
    """Return the separator as a regular expression.

    Without one it is the first of comma, semicolon and tab that occurs, else white space.
    """
    if given is not None and given.strip():
        return re.escape(given)
    first = next((line for line in lines if line.strip() and not line.startswith("#")), "")
    return next((mark for mark in (",", ";", "\t") if mark in first), r"\s+")


def _table(lines: list[str], separator: str | None, file: Path | None) -> np.ndarray:
    """Return a rectangular table of numbers, (row, column); empty fields are NaN."""
    import pandas as pd
    from pandas.errors import EmptyDataError, ParserError

    mark = _separator(lines, separator)
    rows = [row for line in lines if (row := line.partition("#")[0].strip(" \r\n"))]
    widths = [len(re.split(mark, row)) for row in rows]
    short = next((i for i, width in enumerate(widths) if width != widths[0]), None)
    if short is not None:
        raise CortseqError(
            f"row {short + 1} has {widths[short]} fields, the first has {widths[0]}",
            file=file,
            key="content",
            fix="complete it, or check `content:` and `separator:`",
        )
    try:
        table = pd.read_csv(io.StringIO("\n".join(rows)), header=None, sep=mark)
    except (EmptyDataError, ParserError) as error:
        raise CortseqError(
            f"is not a table of numbers ({' '.join(str(error).split())})", file=file, fix="check `content:`"
        ) from error
    for column, cells in enumerate(table[c] for c in table):
        if cells.dtype.kind not in "iuf":
            wrong = np.flatnonzero(pd.to_numeric(cells, errors="coerce").isna() & cells.notna())[0]
            raise CortseqError(
                f"row {wrong + 1}, column {column + 1} is not a number",
                file=file,
                key="content",
                value=str(cells[wrong]),
                fix="skip a header with `skip_lines:`",
            )
    return table.to_numpy()


def _numbers(line: str, separator: str | None, file: Path | None, number: int) -> np.ndarray:
    """Return all numbers of a line before its comment."""
    text = line.partition("#")[0]
    mark = _separator([text], separator)
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


def _inspect_numbers(cls: type[Text], file: Path, lines: list[str]) -> list[str]:
    """Lines about a table of numbers, or about times: one number a row, or two of which one are units."""
    from cortseq.sources.summaries import summary

    rows = sum(not line.startswith("#") for line in lines)
    try:
        values = _table(lines, None, file)
    except CortseqError:  # lines of unequal length
        return [f"kind: text, {rows} rows of numbers of unequal length (source: text, content: spike_lines)"]
    lines = [f"kind: text, {rows} rows of numbers, {values.shape[1]} columns (source: text)"]
    if values.shape[1] > 2:
        return [*lines, f"a table, as of content: signal: {summary(values)}"]
    content = "spike_times" if values.shape[1] == 1 else "spikes"
    entry = {"path": str(file), "content": content}
    if content == "spikes" and (values[:, 0] != np.floor(values[:, 0])).any():
        return [*lines, f"table: {summary(values)}"]
    raw = cls.model_validate(entry).load(file, 0)
    return [*lines, *summarise_events(raw, f"spikes if times are in s (content: {content})")]


SOURCE = Text
