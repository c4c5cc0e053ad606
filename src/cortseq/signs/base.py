"""What a sign is: something about a recording that cannot be meant, or that its owner should know."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

from cortseq.errors import CortseqError

Level = Literal["refuse", "warn", "note"]


@dataclass(frozen=True)
class Sign:
    """One thing that was seen in a recording.

    Attributes
    ----------
    name : what `accept:` of an entry takes.
    text : one sentence, what was seen, with its numbers.
    fix : what to do about it, "" where there is nothing to do.
    level : "refuse" stops before anything is fitted, "warn" may change a conclusion, "note" is said only.
    acceptable : whether `accept:` lets a refused sign pass; a leak or a lack of memory is never accepted.
    """

    name: str
    text: str
    fix: str = ""
    level: Level = "refuse"
    acceptable: bool = True

    def sentence(self) -> str:
        """Return the sign as one line without its name."""
        return self.text + (f" -- {self.fix}" if self.fix else "")


def accepted(found: Iterable[Sign], accept: Sequence[str]) -> list[Sign]:
    """Return the signs, those that the entry accepts as notes; CortseqError with a line per refused one."""
    kept, refused = [], []
    for sign in found:
        if sign.level == "refuse" and sign.name in accept and sign.acceptable:
            sign = replace(sign, level="note", fix="accepted")
        if sign.level == "refuse":
            remedy = f"{sign.fix}; if it is meant, add accept: [{sign.name}]" if sign.acceptable else sign.fix
            refused.append(str(CortseqError(sign.text, key=sign.name, fix=remedy)))
        kept.append(sign)
    if refused:
        raise CortseqError("\n".join(refused))
    return kept


def to_json(found: Iterable[Sign]) -> str:
    """Return signs as JSON text, for an attribute of a Recording."""
    return json.dumps([asdict(sign) for sign in found])


def from_json(text: str) -> list[Sign]:
    """Return the signs of such a text."""
    return [Sign(**sign) for sign in json.loads(text)]
