"""Symbols as text: one sequence per line, one symbol per character or between separators."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

import xarray as xr
from pydantic import Field

from cortseq.errors import CortseqError
from cortseq.sources.base import SymbolSource, summarise_symbols, symbol_dataset


class Text(SymbolSource):
    """`source: text`: a plain text file, UTF-8; empty lines are skipped and counted."""

    suffixes: ClassVar[tuple[str, ...]] = (".txt", ".csv")

    source: Literal["text"] = "text"
    separator: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="what stands between symbols; without it every character but white space is one"
    )
    alphabet: list[str] | None = Field(
        None, description="the labels that may occur, in order; default: all found"
    )

    def load(self, file: Path | None, seed: int) -> xr.Dataset:
        sequences = [_split(line, self.separator) for line in _lines(file)]
        return symbol_dataset(sequences, file=file, alphabet=self.alphabet)

    @classmethod
    def inspect(cls, file: Path) -> list[str]:
        lines = [line for line in _lines(file) if line.strip()]
        separator = "," if file.suffix == ".csv" else None
        if _are_numbers(lines, separator):
            rows = sum(not line.startswith("#") for line in lines)
            return [f"kind: text, {rows} rows of numbers", "not symbols: the text source reads labels"]
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


SOURCE = Text
