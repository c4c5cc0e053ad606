"""Lines of text files: encodings and their marks, comments, separators and the mark of decimals."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from cortseq.errors import CortseqError
from cortseq.memory import affordable

# Marks at the start of a file; that of UTF-32 begins with that of UTF-16.
_MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_BYTES = 20  # of memory per byte of text, once its numbers or labels are split
_COMMA_NUMBER = re.compile(r"[+-]?\d+,\d+")
_ENOUGH = 10  # rows before equal widths say that a comma may be a decimal mark
_LOOKED_AT = 20_000  # rows


def read(file: Path | None, encoding: str | None = None) -> list[str]:
    """Return the lines of a text file without their ends.

    A byte-order mark tells the encoding and is no part of the first line; without one the text is UTF-8.
    """
    assert file is not None
    size = file.stat().st_size
    affordable(
        size * _BYTES, f"a text file of {size / 1e6:.0f} MB", file=file, fix="cut it, or store it as npz"
    )
    content = file.read_bytes()
    known = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding or known)
    except (UnicodeDecodeError, LookupError) as error:
        what = f"cannot be read as {encoding}" if encoding else "is not UTF-8 text"
        fix = "give encoding:, latin-1 or utf-16 say, convert it, or choose another source"
        raise CortseqError(what, file=file, key="encoding" if encoding else None, fix=fix) from error
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def without_comments(lines: list[str]) -> tuple[list[str], int]:
    """Return the lines that do not begin with `#`, and how many do.

    Where `#` also stands inside a line it is a symbol, and nothing is a comment.
    """
    inside = any("#" in line.lstrip()[1:] for line in lines if not line.lstrip().startswith("#"))
    if inside:
        return lines, 0
    kept = [line for line in lines if not line.lstrip().startswith("#")]
    return kept, len(lines) - len(kept)


def marks(
    lines: Iterable[str], separator: str | None, decimal: str | None, file: Path | None, single: bool
) -> tuple[str, str]:
    """Return the separator of numbers, a regular expression, and their decimal mark.

    Parameters
    ----------
    lines : rows of numbers.
    separator, decimal : as the entry gives them; None: to be found.
    single : whether each row may be one number alone: a single comma may then be its decimal mark.

    Raises
    ------
    CortseqError : a comma in every row may be either.
    """
    rows = [row for line in lines if (row := line.partition("#")[0].replace('"', "").strip())][:_LOOKED_AT]
    first = rows[0] if rows else ""
    found = next((mark for mark in (";", "\t") if mark in first), None)
    if separator is not None and separator.strip():
        mark = re.escape(separator)
    else:
        mark = found or r"\s+"
    if decimal or separator == "," or not any("," in row for row in rows):
        return _with_comma(mark, separator, decimal, rows), decimal or "."
    fields = [field.strip() for row in rows for field in re.split(mark, row) if field.strip()]
    commas = [field for field in fields if _COMMA_NUMBER.fullmatch(field)]
    has_points = any("." in field for field in fields)
    if has_points or not all(_is_number(field) or _COMMA_NUMBER.fullmatch(field) for field in fields):
        return (mark if separator and separator.strip() else ","), "."
    if (separator and separator.strip()) or found or len(fields) > len(rows):
        return mark, ","  # another mark separates the numbers
    if not single:
        return ",", "."
    return _one_comma(commas, len(rows), file)


def _with_comma(mark: str, separator: str | None, decimal: str | None, rows: list[str]) -> str:
    """Return the separator where it or the decimal mark is known."""
    if separator == "," or (decimal != "," and separator is None and any("," in row for row in rows)):
        return ","
    return mark


def _one_comma(fields: list[str], n_rows: int, file: Path | None) -> tuple[str, str]:
    """Tell one number with a decimal comma from two numbers, where each row has one comma."""
    fractions = [field.partition(",")[2] for field in fields]
    zeros = any(len(f) > 1 and f.startswith("0") for f in fractions)
    if zeros or any(field.startswith("-0,") for field in fields):
        return r"\s+", ","  # no whole number is written 0037 or -0
    widths = {len(f) for f in fractions}
    if len(fields) == n_rows >= _ENOUGH and len(widths) == 1 and widths != {1}:
        raise CortseqError(
            "every row has one comma, which separates two numbers or marks the decimals of one",
            file=file,
            key="decimal",
            value=fields[0],
            fix="give decimal: ',' or separator: ','",
        )
    return ",", "."


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True
