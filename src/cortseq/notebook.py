"""How objects are shown in a notebook: small tables that take the colours of the page, light or dark."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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


class Shown:
    """Base of results: what a dataclass with `repr=False` holds, in a line and as a table of a notebook."""

    def __repr__(self) -> str:
        """Return the names and values of all fields in a line."""
        return f"{type(self).__name__}({', '.join(f'{name} {text}' for name, text in _held(self).items())})"

    def _repr_html_(self) -> str:
        """Return a table with a row for every field: its name, its value, and what it means."""
        first, *_ = (inspect.getdoc(type(self)) or "").splitlines()
        means = meanings(type(self))
        lines = [(name, text, means.get(name, "")) for name, text in _held(self).items()]
        title = f"<strong>{escape(type(self).__name__)}</strong><div>{escape(first)}</div>"
        return f'<div style="margin-bottom:.6em">{title}{rows(("", "value", "meaning"), lines)}</div>'


class Drawn(Shown):
    """Base of results that have a picture, too."""

    def plot(self) -> Figure:
        """Draw it in the style of the project; see `cortseq.plot`."""
        import cortseq

        return cortseq.plot(self)


def meanings(kind: type) -> dict[str, str]:
    """Return what each attribute of a class means, from the section Attributes of its docstring."""
    _, _, section = (inspect.getdoc(kind) or "").partition("Attributes\n----------\n")
    section = re.sub(r"\n +", " ", section.partition("\n\n")[0])
    found: dict[str, str] = {}
    for line in section.splitlines():
        names, _, meaning = line.partition(" : ")
        found |= dict.fromkeys(names.split(", "), meaning)
    return found


def _held(result: Any) -> dict[str, str]:
    """Return the fields of a dataclass as words."""
    return {field.name: brief(getattr(result, field.name)) for field in fields(result)}


_ALL = 4  # numbers of a vector that are all written


def brief(value: Any) -> str:
    """Return a value in few words: a number, all of a short vector, shape and range of a larger array."""
    if value is None:
        return "unknown"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if np.ndim(value) == 0:
        number = isinstance(value, int | float | np.number)
        return f"{value:.4g}" if number else str(getattr(value, "__name__", type(value).__name__))
    array = np.asarray(value)
    if array.dtype == bool:
        return f"{array.sum()} of {array.size}"
    if array.dtype.kind not in "iufc":
        return f"{array.size} values"
    if array.ndim == 1 and array.size <= _ALL:
        return f"[{', '.join(f'{number:.4g}' for number in array)}]"
    return f"{'x'.join(map(str, array.shape))} {_range(array)}"


def _range(array: np.ndarray) -> str:
    """Return the lowest and the highest finite number of an array, of complex ones the modulus."""
    sizes = np.abs(array) if np.iscomplexobj(array) else array
    known = sizes[np.isfinite(sizes)]
    if not known.size:
        return "numbers, none finite" if array.size else "numbers"
    what = "moduli" if np.iscomplexobj(array) else "numbers"
    lost = f", {array.size - known.size} not finite" if known.size < array.size else ""
    return f"{what} from {known.min():.4g} to {known.max():.4g}{lost}"
