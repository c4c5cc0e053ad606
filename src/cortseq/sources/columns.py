"""The columns of a table with a header: separator, encoding and types are found, wrong ones are one line."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from cortseq.errors import CortseqError
from cortseq.sources.archive import Archive
from cortseq.sources.base import Proposal

_SEPARATORS = ",;\t"
_ENCODINGS = ("utf-8-sig", "utf-16", "cp1252")


class Columns(Archive):
    """A csv, tsv or parquet file as named columns.

    Text is UTF-8 with or without a byte-order mark, UTF-16 with one, or Windows-1252. Lines that begin with
    `#` are comments. The separator is the one of comma, semicolon and tab that the header has most of.
    """

    item: ClassVar[str] = "column"

    def __init__(self, file: Path | None, separator: str | None = None, decimal: str = ".") -> None:
        super().__init__(file)
        assert file is not None
        self._decimal = decimal
        parquet = file.suffix.lower() in (".parquet", ".pqt")
        self._columns = _parquet(file) if parquet else _text(file, separator)
        if not self._columns:
            raise CortseqError("has no columns", file=file, fix="check the file")

    @property
    def keys(self) -> list[str]:
        """Return the names of the columns, in order."""
        return list(self._columns)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(next(iter(self._columns.values())))

    def is_number(self, key: str) -> bool:
        """Return whether every filled field of a column is a number."""
        return self.read(key).dtype.kind in "iufb"

    def read(self, key: str) -> np.ndarray:
        """Return a column, (row,): numbers where every filled field is one (empty: NaN), else text."""
        values = self._columns[key]
        if values.dtype.kind != "U":
            return values
        numbers = _as_numbers(values, self._decimal)
        return values if numbers is None else numbers

    def numbers(self, key: str, option: str) -> np.ndarray:
        """Return a column of numbers, (row,) float64, NaN where a field is empty; one fault is one line."""
        values = self.get(key, option)
        if values.dtype.kind in "iufb":
            return values.astype(float)
        row = next(
            (i for i, v in enumerate(values) if _as_numbers(values[i : i + 1], self._decimal) is None), 0
        )
        comma = all(part.lstrip("-").isdigit() for part in str(values[row]).split(","))
        fix = "set decimal: ','" if comma and self._decimal == "." else "choose another column"
        raise CortseqError(
            f"row {row + 2} is not a number", file=self.file, key=option, value=str(values[row]), fix=fix
        )

    def labels(self, key: str, option: str) -> np.ndarray:
        """Return a column of names, (row,): text, or whole numbers; one fault is one line."""
        values = self.get(key, option)
        if values.dtype.kind == "U":
            if (values == "").any():
                row = int(np.flatnonzero(values == "")[0]) + 2
                raise CortseqError(f"row {row} is empty", file=self.file, key=option, value=key)
            return values
        with np.errstate(invalid="ignore"):
            wrong = ~np.isfinite(values) | (values != np.floor(values)) | (abs(values.astype(float)) > 2**53)
        if wrong.any():
            raise CortseqError(
                f"row {int(np.flatnonzero(wrong)[0]) + 2} is no whole number",
                file=self.file,
                key=option,
                value=key,
                fix="choose another column",
            )
        return values.astype(np.int64)


def _parquet(file: Path) -> dict[str, np.ndarray]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(file)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise CortseqError(f"is not a parquet file ({reason})", file=file, fix="check the file") from error
    found = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        values = column.to_pandas().to_numpy()
        if values.dtype.kind == "O" and all(isinstance(v, str) or v is None for v in values):
            values = np.array(["" if v is None else v for v in values], dtype=str)
        if values.dtype.kind in "iufbU":  # nested columns and dates are none of ours
            found[str(name)] = values
    return found


def _text(file: Path, separator: str | None) -> dict[str, np.ndarray]:
    text = decode(file)
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if len(lines) < 2:
        raise CortseqError("has no rows under a header", file=file, fix="check the file")
    mark = separator or max(_SEPARATORS, key=lines[0].count)
    try:
        rows = list(csv.reader(io.StringIO("\n".join(lines)), delimiter=mark))
    except csv.Error as error:
        raise CortseqError(f"is not a table ({error})", file=file, fix="check `separator:`") from error
    header = [name.strip() for name in rows[0]]
    if all(_number(name) for name in header if name) or not all(header):
        problem = "the first row holds numbers or empty fields, not the names of columns"
        raise CortseqError(problem, file=file, fix="add a header, or use source: text")
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise CortseqError("two columns have one name", file=file, value=twice, fix="rename one of them")
    for i, row in enumerate(rows[1:], 2):
        if len(row) != len(header):
            problem = f"row {i} has {len(row)} fields, the header has {len(header)}"
            raise CortseqError(problem, file=file, fix="complete it, or check `separator:`")
    columns = zip(*rows[1:], strict=True)
    return {name: np.array([v.strip() for v in column]) for name, column in zip(header, columns, strict=True)}


def decode(file: Path) -> str:
    """Return the text of a file in one of the encodings that tables come in."""
    content = file.read_bytes()
    if b"\0" in content[:4096] and content[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        raise CortseqError("is not text", file=file, fix="choose another source")
    for encoding in _ENCODINGS:
        if encoding == "utf-16" and content[:2] not in (b"\xff\xfe", b"\xfe\xff"):
            continue
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise CortseqError("is text in no known encoding", file=file, fix="save it as UTF-8")


def _number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True


def _as_numbers(values: np.ndarray, decimal: str) -> np.ndarray | None:
    """Return fields (row,) as float64, NaN where empty; None where one is not a number."""
    fields = np.char.replace(values, decimal, ".") if decimal != "." else values
    fields = np.where((fields == "") | (np.char.upper(fields) == "NA"), "nan", fields)
    try:
        numbers = fields.astype(np.float64)
    except ValueError:
        return None
    return None if np.isnan(numbers).all() else numbers


# -- proposals of `inspect` and `new` --------------------------------------------------------------

_TIMES = ("time", "spike_time", "spiketime", "times", "spike_times", "timestamp", "t")
_UNITS = ("unit", "cluster", "neuron", "cell", "channel", "electrode", "id")
_TRIALS = ("trial", "sweep", "repetition", "rep")
_LABELS = ("label", "syllable", "behavior", "behaviour", "stage", "state", "symbol", "annotation")
_ONSETS = ("onset", "start", "begin", "time")
_SEQUENCES = ("sequence", "song", "file", "audio", "animal", "subject", "session")


def _like(keys: list[str], words: tuple[str, ...]) -> str | None:
    """Return the first column whose name is, or else holds, one of the words."""
    plain = {key: key.lower().replace(" ", "_") for key in keys}
    exact = [key for word in words for key in keys if plain[key] == word]
    begin = [key for word in words for key in keys if plain[key].startswith((f"{word}_", f"{word}s"))]
    inside = [key for word in words for key in keys if len(word) > 3 and word in plain[key]]
    return next(iter([*exact, *begin, *inside]), None)


def propose(table: Columns) -> list[Proposal]:
    """Return entries for a table, from the names and types of its columns."""
    numbers = [key for key in table.keys if table.is_number(key)]
    return [p for p in (_labels(table), _spikes(table, numbers), _traces(table, numbers)) if p]


def _unit_of(name: str) -> tuple[str, str]:
    """Return the unit of time that a column's name tells, and how that is known."""
    tail = name.lower().rstrip(")").replace("(", "_").replace("[", "_").rstrip("]").rpartition("_")[2].strip()
    known = {"ms": "ms", "msec": "ms", "us": "us", "usec": "us", "s": "s", "sec": "s", "seconds": "s"}
    return (known[tail], "its name says so") if tail in known else ("s", "GUESS: nothing says so")


def _spikes(table: Columns, numbers: list[str]) -> Proposal | None:
    time = _like(numbers, _TIMES)
    if time is None:
        return None
    others = [key for key in table.keys if key != time]
    unit = _like(others, _UNITS)
    trial = _like([key for key in others if key != unit], _TRIALS)
    values = table.read(time)
    order = np.diff(values[np.isfinite(values)])
    if unit is None and (len(numbers) > 1 or (order < 0).any()):
        return None
    columns = {"time": time, **({"unit": unit} if unit else {}), **({"trial": trial} if trial else {})}
    time_unit, why = _unit_of(time)
    entry: dict[str, Any] = {
        "source": "table",
        "content": "spikes",
        "columns": columns,
        "time_unit": time_unit,
    }
    return Proposal(
        entry, {"columns": "from the names of the columns", "time_unit": why}, 0.9 if unit else 0.6
    )


def _traces(table: Columns, numbers: list[str]) -> Proposal | None:
    time = _like(numbers, _TIMES)
    rising = time is not None and (np.diff(table.read(time)) > 0).all()
    channels = [key for key in numbers if key != time or not rising]
    if not channels:
        return None
    if time is not None and rising:
        time_unit, why = _unit_of(time)
        columns = {"time": time}
        entry: dict[str, Any] = {
            "source": "table",
            "content": "signal",
            "columns": columns,
            "time_unit": time_unit,
        }
        return Proposal(
            entry, {"columns": "a column that rises steadily is the clock", "time_unit": why}, 0.7
        )
    entry = {"source": "table", "content": "signal", "frame_rate_hz": 1.0}
    return Proposal(entry, {"frame_rate_hz": "GUESS: the file does not say how many rows a second"}, 0.2)


def _labels(table: Columns) -> Proposal | None:
    label = _like(table.keys, _LABELS)
    if label is None or (table.is_number(label) and (table.read(label) % 1 != 0).any()):
        return None
    others = [key for key in table.keys if key != label]
    onset = _like([key for key in others if table.is_number(key)], _ONSETS)
    sequence = _like([key for key in others if key != onset], _SEQUENCES)
    columns = {
        "label": label,
        **({"onset": onset} if onset else {}),
        **({"sequence": sequence} if sequence else {}),
    }
    entry = {"source": "table", "content": "symbols", "columns": columns}
    return Proposal(entry, {"columns": "from the names of the columns"}, 0.95 if sequence else 0.8)
