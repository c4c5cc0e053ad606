"""The comparison in plain words: one decision table, a sentence a model, a headline a recording."""

from __future__ import annotations

from typing import Any

import numpy as np

from cortseq._lazy import pd
from cortseq.metrics import METRICS
from cortseq.scoring import failures
from cortseq.scoring.rows import OPPONENTS, Opponent
from cortseq.scoring.statistics import FEWEST_RESTARTS, LEVEL

BETTER, WORSE, EQUIVALENT, UNDECIDED = "better", "worse", "equivalent", "undecided"
FEW_BLOCKS, FEW_RESTARTS = "too few blocks", "too few restarts"
_FEW = (FEW_BLOCKS, FEW_RESTARTS)
LEARNED, NOTHING, BUDGET = "learned", "learned nothing", "stopped by its budget"
_SOON = 3  # a network whose weights of an epoch so early are kept has learned nothing
_LATE = 0.1  # of the interval: what validation may still gain in the last tenth of the epochs


# -- the decision table ------------------------------------------------------------------------------


def outcome(row: dict[str, Any], columns: Opponent) -> str:
    """Return what is shown of a model against one opponent; "" where it has none.

    No verdict where p cannot fall below 0.05, for want of blocks or of restarts. Else better or worse where
    the interval leaves out 0 and p (after Holm) is below 0.05; equivalent where two one-sided tests put the
    difference inside the margin; undecided otherwise.
    """
    if row["role"] == "null" or row["averaged"] or np.isnan(row[columns.gain]):
        return ""
    if row[columns.smallest_p] >= LEVEL:
        return FEW_BLOCKS
    if row["role"] == "recurrent" and row["members"] < FEWEST_RESTARTS:
        return FEW_RESTARTS
    shown = _p(row, columns) < LEVEL
    if row[columns.low] > 0 and shown:
        return BETTER
    if row[columns.high] < 0 and shown:
        return WORSE
    return EQUIVALENT if row[columns.equivalence_p] < LEVEL else UNDECIDED


def above(row: dict[str, Any]) -> bool:
    """Return whether a model is above the null: shown to be, or by its interval where there is no verdict."""
    return row["against_null"] == BETTER or (row["against_null"] in _FEW and row["low"] > 0)


def _undecidable(row: dict[str, Any]) -> bool:
    """Return whether nothing can be said of a model against the null."""
    return row["against_null"] in _FEW and not above(row)


def learning(row: dict[str, Any]) -> str:
    """Return whether a network learned anything, and whether it had the time to; "" for other models."""
    if row["role"] != "recurrent" or row["averaged"]:
        return ""
    if row["kept_epoch"] <= _SOON or not (above(row) or _undecidable(row)):
        return NOTHING
    if row["late_gain"] > _LATE * (row["high"] - row["low"]):
        return BUDGET
    return "" if _undecidable(row) else LEARNED


def judged(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of comparison.csv with its outcomes and its sentence."""
    row = row | {columns.outcome: outcome(row, columns) for columns in OPPONENTS.values()}
    row["learning"] = learning(row)
    row["equivalent"] = bool(row["equivalence_p"] < LEVEL) and row["against_chain"] not in _FEW
    return row | {"verdict": verdict(row)}


_NULL = {
    BETTER: "{model} predicts better than a constant ({gain} {unit}).",
    WORSE: "{model} predicts worse than a constant ({gain} {unit}).",
    EQUIVALENT: "{model} predicts as well as a constant and no better ({gain} {unit}, within {margin}: "
    "{equivalence}).",
    UNDECIDED: "{model} is not shown to predict better than a constant ({gain} {unit}, {interval}, {p}; "
    "{detectable} could have been detected).",
    FEW_BLOCKS: "{model} scores {gain} {unit} over a constant. There is no verdict: so few independent "
    "blocks of test trials allow no p below 0.05.",
    FEW_RESTARTS: "{model} scores {gain} {unit} over a constant. There is no verdict on a network of "
    "{members}: three are the least, five are better.",
}
_AGAINST = {
    BETTER: "It is better than {other} by {size} {unit} ({interval}, {p}).",
    WORSE: "It is worse than {other} by {size} {unit} ({interval}, {p}).",
    EQUIVALENT: "It is as good as {other} ({gain} {unit}, within {margin}: {equivalence}).",
    UNDECIDED: "A difference from {other} is not shown ({gain} {unit}, {p}; {detectable} could have been "
    "detected).",
    **dict.fromkeys(_FEW, "Its score less that of {other} is {gain} {unit}, without a verdict."),
}
_TITLES = {"chain": "the best chain", "rival": "the best model that is no network"}
_LEARNING = {
    NOTHING: "It is not shown to have learned anything{soon}.",
    BUDGET: "It was stopped by its budget: its best validation score rose by {late:.3f} {unit} in the last "
    "tenth of the epochs.",
}
_REVERSED = (
    "On expected counts alone (mean-rate score, no test) the order is reversed ({ahead:+.3f} {unit}): "
    "{leader} may be ahead in the shape of the distribution, for example in fluctuations that units share."
)
_MIXTURE = " A mixture read-out (`mixture: 8`) can tell."


def verdict(row: dict[str, Any]) -> str:
    """Return the sentences of one model: against the null, the chain and the rival, and how it learned."""
    unit, name = METRICS[row["metric"]].label, row["variant"]
    if row["role"] == "null":
        return f"{name} is the zero of the scale."
    if np.isnan(row["value"]):
        return f"{name} has no score."
    if row["averaged"]:
        return f"{name}: the members' mean prediction, {row['value']:+.3f} {unit}; no model of its own."
    said = [_NULL[row["against_null"]].format(model=name, **_numbers(row, OPPONENTS["null"]))]
    if row["role"] != "recurrent":
        return said[0]
    for key in opponents(row):
        columns = OPPONENTS[key]
        found, numbers = row[columns.outcome], _numbers(row, columns)
        numbers["other"] = f"{_TITLES[key]} {row[columns.name]}"
        said.append(_AGAINST[found].format(**numbers))
        ahead = row[columns.mean_rate]
        reversed_order = ahead * row[columns.gain] < 0 and abs(ahead) > row["equivalence_margin"]
        if found in (BETTER, WORSE) and reversed_order:
            leader, hint = ("it", "") if found == BETTER else (numbers["other"], _MIXTURE)
            said.append(_REVERSED.format(ahead=ahead, leader=leader, unit=unit) + hint)
    early = row["kept_epoch"] <= _SOON
    if early and above(row):
        said.append(f"It learned nothing after epoch {row['kept_epoch']:.0f}.")
    elif row["learning"] in _LEARNING:
        soon = f" (the weights kept are of epoch {row['kept_epoch']:.0f})" if early else ""
        said.append(_LEARNING[row["learning"]].format(soon=soon, late=row["late_gain"], unit=unit))
    return " ".join(said)


def opponents(row: dict[str, Any]) -> list[str]:
    """Return which of "chain" and "rival" a model is set against: not the null again, and none twice."""
    found: list[str] = []
    for key in _TITLES:
        name = row[OPPONENTS[key].name]
        known = [row[OPPONENTS[k].name] for k in found]
        if not np.isnan(row[OPPONENTS[key].gain]) and name != "null" and name not in known:
            found.append(key)
    return found


def _p(row: dict[str, Any], columns: Opponent) -> float:
    """Return the adjusted p of a planned test, else p."""
    return float(row[columns.p] if np.isnan(row[columns.p_holm]) else row[columns.p_holm])


def p_text(p: float, smallest: float = 0.0) -> str:
    """Return "p = 0.012"; "p ≤ 0.0002" where p is the smallest that there can be."""
    if p > smallest * (1 + 1e-9) or p == 0:
        return f"p = {p:.2g}"
    digit = 10.0 ** (np.floor(np.log10(p)) - 1)
    return f"p ≤ {np.ceil(p / digit - 1e-6) * digit:.2g}"  # rounded up, for it to be true


def _numbers(row: dict[str, Any], columns: Opponent) -> dict[str, Any]:
    gain, p = row[columns.gain], p_text(_p(row, columns), row[columns.smallest_p])
    return {
        "unit": METRICS[row["metric"]].label,
        "gain": f"{gain:+.3f}",
        "size": f"{abs(gain):.3f}",
        "interval": f"[{row[columns.low]:+.3f}, {row[columns.high]:+.3f}]",
        "p": p if np.isnan(row[columns.p_holm]) else f"{p}, Holm",
        "margin": f"{row['equivalence_margin']:g}",
        "equivalence": p_text(row[columns.equivalence_p]),
        "detectable": f"{row[columns.detectable]:.3f}",
        "members": f"{row['members']:.0f} random restart{'s' if row['members'] != 1 else ''}",
    }


# -- a headline a recording --------------------------------------------------------------------------


def summary(frame: pd.DataFrame) -> list[str]:
    """Return the headline of every recording: who scores highest, wins, ties and loses, and what failed."""
    frame, failed = failures.split(frame)
    failed = failed[failed["role"].isin(["markov", "baseline"])]
    frame = frame[~frame["averaged"].astype(bool) & (frame["role"] != "null") & frame["value"].notna()]
    lines = []
    for dataset, rows in frame.groupby("dataset", sort=False):
        said = _headline(rows)
        if lost := [str(v) for v in failed.loc[failed["dataset"] == dataset, "variant"]]:
            said.append(f"{listed(lost)} failed and could not be a reference")
        lines.append(f"{dataset}: {'; '.join(said)}.")
    return lines


def _headline(rows: pd.DataFrame) -> list[str]:
    """Return the clauses on one recording's models."""
    records = rows.to_dict("records")
    above_null, few = (rows[[shown(row) for row in records]] for shown in (above, _undecidable))
    networks, beaten = (r[r["role"] == "recurrent"] for r in (rows, above_null))
    unjudged = [str(v) for v in few.loc[few["role"] == "recurrent", "variant"]]
    on_counts = rows["metric"].iloc[0] == "bits_per_spike"
    none = "no network beats the mean rate" if on_counts else "no network is shown to beat the null"
    if above_null.empty and len(few):
        names = [str(v) for v in few["variant"]]
        return [f"there is no verdict on whether {listed(names)} {_beats(names)} the null"]
    if above_null.empty:
        others = "nor is any other model shown to"
        return [f"{none}, {others}" if len(networks) else "no model is shown to beat the null"]
    best = above_null.loc[above_null["value"].idxmax()]
    of = "" if rows["value"].max() <= best["value"] else " of the models whose interval lies above the null"
    unit = METRICS[best["metric"]].label
    said = [f"{best['variant']} scores highest{of}, {best['value']:.3f} {unit} over the null"]
    if not np.isnan(best["ceiling"]):
        said[0] += f" ({100 * best['value'] / best['ceiling']:.0f} % of what the exact filter reaches)"
    if len(networks) and beaten.empty and not unjudged:
        return [*said, none]
    if lost := [str(v) for v in networks["variant"] if v not in {*beaten["variant"], *unjudged}]:
        said.append(f"{listed(lost)} {'is' if len(lost) == 1 else 'are'} not shown to beat the null")
    if unjudged:
        said.append(f"there is no verdict on whether {listed(unjudged)} {_beats(unjudged)} the null")
    for few in _FEW:
        if names := [str(v) for v in beaten.loc[beaten["against_null"] == few, "variant"]]:
            said.append(f"there are {few} for a verdict on {listed(names)}, even against the null")
    for key in _TITLES:
        said += _standing(beaten[~beaten["against_null"].isin(_FEW)], key, len(networks))
    if (beaten["against_null"] == BETTER).sum() > 1:
        said.append("networks are not ranked against each other")
    late = {NOTHING: "learned nothing after the first epochs", BUDGET: "stopped by the budget"}
    for state, what in late.items():
        if names := [str(v) for v in beaten.loc[beaten["learning"] == state, "variant"]]:
            said.append(f"{listed(names)} {what}")
    return said


_MANY = 3  # networks that are all named, also where they share an outcome
_WORDS = {
    BETTER: ("beats", "beat"),
    EQUIVALENT: ("is as good as", "are as good as"),
    WORSE: ("is worse than", "are worse than"),
    UNDECIDED: ("is not told apart from", "are not told apart from"),
}


def _standing(networks: pd.DataFrame, key: str, total: int) -> list[str]:
    """Return who wins, ties and loses against the chain or the rival, a clause an outcome.

    `total` networks are in the study; where all of them share an outcome, and they are many, none is named.
    """
    columns, said = OPPONENTS[key], []
    set_against = [r for r in networks.to_dict("records") if key in opponents(r)]
    for found in (*_WORDS, *_FEW):
        if names := [str(r["variant"]) for r in set_against if r[columns.outcome] == found]:
            opponent = f"{_TITLES[key]} ({set_against[0][columns.name]})"
            who = f"all {total} networks" if _MANY < len(names) == total else listed(names)
            if found in _FEW:
                said.append(f"there are {found} for a verdict on {who} against {opponent}")
            else:
                said.append(f"{who} {_WORDS[found][len(names) > 1]} {opponent}")
    return said


def _beats(names: list[str]) -> str:
    return "beats" if len(names) == 1 else "beat"


def listed(names: list[str]) -> str:
    """Return "a", "a and b", "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
