"""The verdicts on the models of one recording as a short list: the same is said once."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

_DETAILS = re.compile(r" \((?=[^()]*\d)[^()`]*\)")  # numbers in brackets, which stand in the table above
_NUMBER = re.compile(r"(?<![\w.])[+-]?\d+\.\d+")


def grouped(rows: Iterable[dict[str, Any]]) -> list[str]:
    """Return a sentence for each network, one for all networks whose sentences differ in numbers only.

    Parameters
    ----------
    rows : of comparison.csv of one recording. Models that are no networks, and averaged members, are left
        out.
    """
    groups: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        if row["role"] == "recurrent" and not row["averaged"]:
            name, said = str(row["variant"]), str(row["verdict"])
            short = _DETAILS.sub("", said.removeprefix(f"{name} "))
            groups.setdefault(_NUMBER.sub("#", short), []).append((name, said))
    return [_line(members) for members in groups.values()]


def _line(members: list[tuple[str, str]]) -> str:
    """Return the sentence of one network, or that of several with the range of each number."""
    names = [name for name, _ in members]
    if len(members) == 1:
        return members[0][1]
    shorts = [_DETAILS.sub("", said.removeprefix(f"{name} ")) for name, said in members]
    numbers = iter(zip(*map(_NUMBER.findall, shorts), strict=True))

    def spanned(match: re.Match[str]) -> str:
        ordered = sorted(next(numbers), key=float)
        return ordered[0] if ordered[0] == ordered[-1] else f"{ordered[0]} to {ordered[-1]}"

    said = _NUMBER.sub(spanned, shorts[0])
    return f"{', '.join(names[:-1])} and {names[-1]}: each {said}"
