"""Tables in text: rectangles of numbers, and one label per row."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import numpy as np

from cortseq.errors import CortseqError


def numbers(lines: list[str], mark: str, decimal: str, file: Path | None) -> tuple[np.ndarray, int]:
    """Return a rectangular table of numbers, (row, column), and how many of them had a decimal comma.

    Empty fields are NaN; what follows `#` is a comment.

    Parameters
    ----------
    lines : rows as text.
    mark : regular expression of the separator.
    decimal : "." or ",".
    """
    import pandas as pd
    from pandas.errors import EmptyDataError, ParserError

    rows = [row for line in lines if (row := line.partition("#")[0].replace('"', "").strip(" \r\n"))]
    commas = sum(row.count(",") for row in rows) if decimal == "," else 0
    rows = [row.replace(",", ".") for row in rows] if decimal == "," else rows
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
    columns = [_column(table[name], number, file) for number, name in enumerate(table)]
    return np.stack(columns, 1), commas


def _column(cells: Any, number: int, file: Path | None) -> np.ndarray:
    """Return a column as float64, (row,); whole numbers beyond 2^53 lose digits."""
    import pandas as pd

    if cells.dtype.kind in "iuf":
        return np.asarray(cells, float)
    values = pd.to_numeric(cells, errors="coerce").astype(float)
    wrong = np.flatnonzero(values.isna() & cells.notna())
    if cells.dtype.kind == "b" or (not len(wrong) and cells.isin([True, False]).any()):
        raise CortseqError(
            f"column {number + 1} holds True and False, not numbers",
            file=file,
            key="content",
            fix="write 1 and 0, or remove the column",
        )
    if len(wrong):
        raise CortseqError(
            f"row {wrong[0] + 1}, column {number + 1} is not a number",
            file=file,
            key="content",
            value=str(cells[wrong[0]]),
            fix="skip a header with `skip_lines:`",
        )
    return np.asarray(values, float)


def labels(
    lines: list[str], label: str, group_by: str | None, separator: str | None, file: Path | None
) -> list[list[str]]:
    """Return the labels of a table, one sequence for each value of the column `group_by`.

    Sequences are in the order in which they begin, labels in the order of the rows. Columns are named by the
    header, the first row; where all are numbers (from 1) there is no header.
    """
    mark = separator or next((m for m in ("\t", ";", ",") if lines and m in lines[0]), ",")
    if len(mark) > 1:
        raise CortseqError("must be one character in a table", file=file, key="separator", value=mark)
    rows = [[field.strip() for field in row] for row in csv.reader(lines, delimiter=mark) if row]
    if not rows:
        raise CortseqError("holds no rows", file=file, key="label", value=label)
    wanted = [name for name in (label, group_by) if name is not None]
    numbered = all(name.isdigit() for name in wanted)
    places = [_place(rows[0], name, numbered, file) for name in wanted]
    sequences: dict[str, list[str]] = {}
    for number, row in enumerate(rows[0 if numbered else 1 :], 1 if numbered else 2):
        if len(row) <= max(places):
            raise CortseqError(
                f"row {number} has {len(row)} fields, {max(places) + 1} are needed", file=file, key="label"
            )
        sequences.setdefault(row[places[-1]] if group_by else "", []).append(row[places[0]])
    return list(sequences.values())


def _place(header: list[str], name: str, numbered: bool, file: Path | None) -> int:
    """Return the place of a column, from 0."""
    if numbered and 1 <= int(name) <= len(header):
        return int(name) - 1
    if not numbered and header.count(name) == 1:
        return header.index(name)
    raise CortseqError(
        "two columns have this name" if header.count(name) > 1 else "there is no such column",
        file=file,
        key="label",
        value=name,
        fix=f"the first row is {header}",
    )
