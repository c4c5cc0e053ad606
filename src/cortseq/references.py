"""The literature that a report cites: entries of `references.bib`, each with what it belongs to."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("references.bib")
_ENTRY = re.compile(r"^@\w+\{(?P<key>[^,]+),\n(?P<body>.*?)^\}", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r"^  (\w+) = \{(.*)\},?$", re.MULTILINE)
_SIGNS = (('{\\"e}', "ë"), ("\\&", "&"), ("``", "“"), ("''", "”"), ("--", "-"))


@dataclass(frozen=True)
class Reference:
    """An entry: its key, its BibTeX, its fields by name."""

    key: str
    bibtex: str
    fields: dict[str, str]

    @property
    def of(self) -> set[str]:
        """Return what it belongs to."""
        return set(self.fields["keywords"].split(", "))

    @property
    def text(self) -> str:
        """Return it as a line: authors (year). Title. Where it appeared."""
        f = {name: _plain(value) for name, value in self.fields.items()}
        place = f.get("journal") or f.get("booktitle") or f.get("institution", "")
        if f.get("note", "").startswith(place + ":"):
            place = ""  # a preprint: its number says where it is
        volume = ":".join(part for part in (f.get("volume") or f.get("number"), f.get("pages")) if part)
        where = " ".join(part for part in (place, volume, f.get("note")) if part)
        authors = f["author"].replace(" and others", " et al.").replace(" and ", ", ")
        return f"{authors} ({f['year']}). {f['title']}. {where}."


def _plain(text: str) -> str:
    for sign, letter in _SIGNS:
        text = text.replace(sign, letter)
    return text


@functools.cache
def every() -> tuple[Reference, ...]:
    """Return all entries in the order of the file."""
    return tuple(
        Reference(found["key"], found[0], dict(_FIELD.findall(found["body"])))
        for found in _ENTRY.finditer(FILE.read_text(encoding="utf-8"))
    )


def used(what: Collection[str]) -> list[Reference]:
    """Return the entries that belong to one of the names, such as "lstm" or "dynamics", by author."""
    return sorted((one for one in every() if not one.of.isdisjoint(what)), key=lambda one: one.text)
