"""Which claim may I make? One line for each question a reviewer asks, with its number and test.

Every line comes from a rule on the tables of a study (`cortseq.scoring.evidence`). All lines are about one
network, the one that is best on validation trials, so that none is picked because of what it shows; a line
that needs another one names it. See docs/likelihood.md#which-claim-may-i-make.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, fields, replace
from typing import Any

from cortseq._lazy import pd
from cortseq.scoring.claims import inputs, members, scores
from cortseq.scoring.claims.base import NO, NOT_ASKED, UNDECIDED, YES, Claim
from cortseq.scoring.evidence import Evidence

__all__ = ["COLUMNS", "NO", "NOT_ASKED", "RULES", "UNDECIDED", "YES", "Claim", "claims", "table"]

COLUMNS = ["dataset", *(f.name for f in fields(Claim))]
RULES: tuple[Callable[[Evidence, dict[str, Any]], Claim], ...] = (
    scores.constant,
    scores.chain,
    scores.rival,
    scores.memory,
    inputs.past,
    scores.ahead,
    scores.inhibition,
    members.stable,
    members.chaotic,
    members.line,
    members.free,
)


def claims(found: Evidence) -> list[Claim]:
    """Return a line for every question, in the order of the page; none where the study has no network."""
    if found.row is None:
        return []
    lines = [rule(found, found.row) for rule in RULES]
    return [replace(line, model=line.model or found.row["variant"]) for line in lines]


def table(found: dict[str, Evidence]) -> pd.DataFrame:
    """Return claims.csv: the lines of every recording, by its name, with the columns COLUMNS."""
    rows = [{"dataset": name} | asdict(line) for name, one in found.items() for line in claims(one)]
    return pd.DataFrame(rows, columns=COLUMNS)
