"""What sessions that share a cell gain by it, and whether a cell that was learned elsewhere serves a new one.

A variant that is fitted across sessions is held against its twins in each session, which differ from it in
nothing but the cell: one that was learned in that session alone, and on a held-out session one that was
never learned. Two rows pool them: over these very sessions, restarts and trials being what varies, and over
sessions like these, of which they are a sample.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from cortseq import numbers
from cortseq._lazy import pd
from cortseq.metrics import METRICS
from cortseq.scoring.corners import few
from cortseq.scoring.rows import References
from cortseq.scoring.scored import Scored, join
from cortseq.scoring.statistics import LEVEL, PairedDifference, Session, across_sessions, over_sessions
from cortseq.scoring.words import FEW_BLOCKS, FEW_RESTARTS

COLUMNS = "group what dataset value low high p_value sessions blocks few unit variant over".split()
THESE, OTHERS = "these sessions", "sessions like these"  # in the column `dataset`: pooled
# (cell of the variant, cell of its twin) -> what the difference is, and how a sentence says it
WHAT = {
    ("shared", "own"): "one cell for all sessions over one for each",
    ("moved", "own"): "a cell from other sessions over one learned here",
    ("moved", "untrained"): "a cell from other sessions over one never learned",
}
_SAID = {
    WHAT["shared", "own"]: ("a cell of its own", "shares its cell with other sessions"),
    WHAT["moved", "own"]: ("a cell learned on this session", "has a cell learned on other sessions"),
    WHAT["moved", "untrained"]: ("a cell that was never learned", "has a cell learned on other sessions"),
}


def cell(spec: dict[str, Any]) -> str:
    """Return where the cell of a fit comes from: "shared", "moved", "own" or "untrained"."""
    frozen = spec.get("cell") == "frozen"
    if spec.get("across"):
        return "moved" if frozen else "shared"
    return "untrained" if frozen else "own"


def parts(dataset: str, scored: list[list[Scored]], given: References) -> list[dict[str, Any]]:
    """Return what the differences of one session are made of, a variant and one of its twins each.

    Parameters
    ----------
    dataset : name of the recording.
    scored : per variant, per fold, restarts of all folds beside each other.
    given : what tells how two models of the recording are compared.
    """
    specs = [folds[0].card["model"] for folds in scored]
    found = []
    for spec, folds in zip(specs, scored, strict=True):
        if not spec.get("across"):
            continue
        for other, twin in zip(specs, scored, strict=True):
            what = WHAT.get((cell(spec), cell(other)))
            if what is None or _alone(spec) != _alone(other):
                continue
            one, two = join(folds), join(twin)
            gain = given.difference(one.test, two.test, one.test_events)
            found.append(
                {
                    "group": spec["across"],
                    "what": what,
                    "dataset": dataset,
                    "gain": gain,
                    "session": Session(one.test, two.test, one.test_events, **given.place),
                    "few": few((one, two), gain.smallest_p),
                    "metric": given.kind.metric,
                    "variant": one.variant,
                    "over": two.variant,
                }
            )
    return found


def _paired(sessions: list[Session]) -> list[Session]:
    """Return the sessions with as many restarts of each model: one that failed is missing in one of them."""
    scores = [np.asarray(x) for s in sessions for x in (s.log_prob_a, s.log_prob_b)]
    n = min(map(len, scores))
    pairs = zip(sessions, scores[::2], scores[1::2], strict=True)
    return [replace(s, log_prob_a=one[:n], log_prob_b=other[:n]) for s, one, other in pairs]


def _alone(spec: dict[str, Any]) -> dict[str, Any]:
    """Return a specification without what says whose cell it has."""
    return {key: value for key, value in spec.items() if key not in ("across", "cell")}


def table(found: list[dict[str, Any]]) -> pd.DataFrame:
    """Return together.csv: the differences of each session and, where there are several, of all.

    Parameters
    ----------
    found : the `parts` of all recordings.
    """
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for part in found:
        groups.setdefault(tuple(part[k] for k in ("group", "what", "variant", "over")), []).append(part)
    rows = []
    for same in groups.values():
        rows += [_row(part, part["gain"], 1) for part in same]
        if len(same) > 1:
            sessions, unit = [part["session"] for part in same], METRICS[same[0]["metric"]].nats
            pooled = {THESE: over_sessions(_paired(sessions)), OTHERS: across_sessions(sessions)}
            for name, gain in pooled.items():
                why = _few_of_all([part["few"] for part in same], gain.smallest_p)
                rows.append(_row(same[0] | {"dataset": name, "few": why}, gain.per(unit), len(same)))
    return pd.DataFrame(rows, columns=COLUMNS)


def _few_of_all(each: list[str], smallest_p: float) -> str:
    """Return why sessions together show nothing: too few restarts in one, too few blocks in all of them."""
    if smallest_p >= LEVEL:
        return FEW_BLOCKS
    return FEW_RESTARTS if FEW_RESTARTS in each else ""


def _row(part: dict[str, Any], gain: PairedDifference, sessions: int) -> dict[str, Any]:
    return {key: part[key] for key in ("group", "what", "dataset", "few", "variant", "over")} | {
        "value": gain.estimate,
        "low": gain.low,
        "high": gain.high,
        "p_value": gain.p_value,
        "sessions": sessions,
        "blocks": gain.pieces,
        "unit": METRICS[part["metric"]].label,
    }


def sentences(found: pd.DataFrame, dataset: str) -> list[str]:
    """Return what one session gains by a cell that it shares or was handed, in words.

    Parameters
    ----------
    found : together.csv.
    """
    return [_sentence(row) for row in found[found["dataset"] == dataset].to_dict("records")]


def _sentence(row: dict[str, Any]) -> str:
    other, has = _SAID[row["what"]]
    start = f"{row['variant']} {has}. Against {row['over']} with {other} it"
    size = f"{numbers.estimate(row['value'], row['low'], row['high'])} {row['unit']}"
    if isinstance(row["few"], str) and row["few"]:
        return f"{start} gains {size}, without a verdict ({row['few']})."
    if row["p_value"] >= LEVEL:
        return f"{start} is not shown to be better or worse ({size})."
    if row["value"] > 0:
        return f"{start} is better by {size}."
    return f"{start} is worse by {numbers.estimate(-row['value'], -row['high'], -row['low'])} {row['unit']}."
