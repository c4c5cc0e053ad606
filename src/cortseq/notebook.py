"""How objects are shown in a notebook: small tables that take the colours of the page, light or dark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

# Nothing but `inherit` and opacity: the page decides what is dark and what is light.
_TABLE = "border-collapse:collapse;color:inherit;background:transparent;font-size:90%;margin:.3em 0"
_NAME = "text-align:left;font-weight:normal;opacity:.75;padding:.1em 1.2em .1em 0;vertical-align:top"
_VALUE = "text-align:left;padding:.1em 1.2em .1em 0;max-width:50em"


def facts(title: str, known: Mapping[str, Any], rest: Mapping[str, Any] | None = None, note: str = "") -> str:
    """Return a title and a table of two columns, as HTML.

    Parameters
    ----------
    title : of the table.
    known : what is shown at once, by name.
    rest : what unfolds below it; nothing where it is empty.
    note : a sentence below the title.
    """
    said = f"<div>{escape(note)}</div>" if note else ""
    shown = f'<div style="margin-bottom:.6em"><strong>{escape(title)}</strong>{said}{_pairs(known)}'
    if rest:
        shown += f"<details><summary>{len(rest)} settings at their defaults</summary>{_pairs(rest)}</details>"
    return shown + "</div>"


def rows(columns: Sequence[str], values: Iterable[Sequence[Any]]) -> str:
    """Return a table with a row for every item of `values`, as HTML."""
    head = "".join(f'<th style="{_NAME}">{escape(name)}</th>' for name in columns)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_VALUE}">{escape(str(value))}</td>' for value in row) + "</tr>"
        for row in values
    )
    return f'<table style="{_TABLE}"><tr>{head}</tr>{body}</table>'


def _pairs(known: Mapping[str, Any]) -> str:
    lines = "".join(
        f'<tr><th style="{_NAME}">{escape(name)}</th><td style="{_VALUE}">{escape(str(value))}</td></tr>'
        for name, value in known.items()
    )
    return f'<table style="{_TABLE}">{lines}</table>' if lines else ""
