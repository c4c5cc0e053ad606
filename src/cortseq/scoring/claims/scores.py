"""Claims on held-out scores: more than a constant, a chain, any other model; memory, horizon, Dale's law."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from cortseq import models
from cortseq.metrics import METRICS
from cortseq.scoring import words
from cortseq.scoring.claims.base import (
    NO,
    NOT_ASKED,
    UNDECIDED,
    YES,
    Claim,
    more_evidence,
    more_trials,
    nothing_learned,
    silent,
)
from cortseq.scoring.evidence import Evidence
from cortseq.scoring.rows import OPPONENTS
from cortseq.scoring.statistics import FEWEST_RESTARTS, LEVEL, holm
from cortseq.scoring.words import BETTER, BUDGET, EQUIVALENT, FEW_BLOCKS, FEW_RESTARTS, WORSE

CHAINS = "`models: {markov: {family: markov, states: [8, 16, 32], order: [1, 2, 3]}}`"
OTHERS = {
    "hmm": ("hidden Markov model", "`models: {hmm: {family: hmm, states: [8, 16]}}`"),
    "glm": ("regression on the past", "`models: {glm: {family: glm, history: 20}}`"),
}
_ANSWERS = {BETTER: YES, WORSE: NO, EQUIVALENT: NO}
_SAID = {
    BETTER: "{model} predicts better than {other}.",
    WORSE: "{model} predicts worse than {other}.",
    EQUIVALENT: "{model} predicts as well as {other} and no better.",
    words.UNDECIDED: "A difference between {model} and {other} is not shown, nor that there is none.",
    FEW_BLOCKS: "No claim: so few independent blocks of test trials allow no p below 0.05.",
    FEW_RESTARTS: "No claim on a network of fewer than three random restarts.",
}


def constant(found: Evidence, row: dict[str, Any]) -> Claim:
    """Say whether the network predicts better than the training mean."""
    question = "Does a network predict more than a constant?"
    return _against(question, row, "null", "a constant (the training mean)")


def chain(found: Evidence, row: dict[str, Any]) -> Claim:
    """Say whether the network predicts better than the best Markov chain; a bad chain is nothing to beat."""
    question = "Does it predict more than a Markov chain?"
    if "markov" not in set(found.rows["role"]):
        return Claim(question, NOT_ASKED, "The study has no Markov chain.", settle=CHAINS)
    if row["reference"] == "null":
        said = "No Markov chain of the study predicts better than a constant: to beat one shows nothing."
        return Claim(question, NOT_ASKED, said, settle="`models`: chains of fewer states or lower order")
    return _above_all(question, row, "chain", f"the best Markov chain, {row['reference']}")


def rival(found: Evidence, row: dict[str, Any]) -> Claim:
    """Say whether the network predicts better than the best model that is no network."""
    question = "Does it predict more than a hidden Markov model or any other model that is no network?"
    others = found.rows[found.rows["role"].isin(["markov", "baseline"])]
    if others.empty:
        keys = "; ".join(key for _, key in OTHERS.values())
        return Claim(question, NOT_ASKED, "The study has no other model.", settle=f"{CHAINS}; {keys}")
    lacking = [OTHERS[family] for family in OTHERS if family not in set(others["family"])]
    without = " and no ".join(name for name, _ in lacking)
    if row["rival"] == "null":
        said = f"None of {len(others)} other models is above a constant: to beat one shows nothing."
        claim = Claim(question, NOT_ASKED, said, settle="`models`: simpler ones, of fewer states")
    else:
        claim = _above_all(question, row, "rival", row["rival"])
        if len(others) > 1:
            best = f" Of {len(others)} models that are no networks {row['rival']} is best on validation."
            claim = replace(claim, claim=claim.claim + best)
    if not lacking:
        return claim
    keys = "; ".join([*filter(None, [claim.settle]), *(key for _, key in lacking)])
    return replace(claim, claim=f"{claim.claim} The study has no {without}.", settle=keys)


def _above_all(question: str, row: dict[str, Any], key: str, other: str) -> Claim:
    """Return the line against an opponent; no claim where the network does not describe the recording."""
    claim = _against(question, row, key, other)
    why = nothing_learned(row)
    if not why or claim.answer != YES:
        return claim
    said = f"No claim: {why}, whatever else it beats."
    return replace(claim, answer=UNDECIDED, claim=said, settle=_settle(row, "null", row["against_null"]))


def _against(question: str, row: dict[str, Any], key: str, other: str) -> Claim:
    columns = OPPONENTS[key]
    found, p_holm = row[columns.outcome], row[columns.p_holm]
    answer = _ANSWERS.get(found, UNDECIDED)
    said = _SAID[found].format(model=row["variant"], other=other)
    if answer != YES and row["learning"] == BUDGET:
        said += " Training was stopped by its budget: more epochs may change this."
    holm = "" if np.isnan(p_holm) else ", Holm over the networks of the study"
    settle = _settle(row, key, found) if answer == UNDECIDED else ""
    if answer != YES and row["learning"] == BUDGET:
        settle = "; ".join(filter(None, [settle, "`epochs`: more of them"]))
    return Claim(
        question,
        answer,
        said,
        row["variant"],
        row[columns.gain],
        row[columns.low],
        row[columns.high],
        METRICS[row["metric"]].label,
        _test(row[columns.blocks], row["members"]) + holm,
        float(row[columns.p] if np.isnan(p_holm) else p_holm),
        row[columns.detectable],
        settle,
        row[columns.smallest_p],
    )


def _settle(row: dict[str, Any], key: str, outcome: str) -> str:
    if outcome == FEW_BLOCKS:
        return more_trials(row)
    columns = OPPONENTS[key]
    return more_evidence(row, row[columns.low], row[columns.high])


def _test(blocks: float, members: float) -> str:
    return f"paired difference, {blocks:.0f} blocks of trials x {members:.0f} restarts"


# -- long memory ------------------------------------------------------------------------------------


def memory(found: Evidence, row: dict[str, Any]) -> Claim:
    """Say whether bins further back than k help, from networks trained on the last k bins.

    Windows are tested from the shortest on, and no further than the first at which nothing is shown: a fixed
    order of tests needs no correction. A window must lose, and lose more in bins that have more behind them
    than it holds: what it loses in the others is the cost of learning from windows.
    """
    question = "Does it need memory, and how far back?"
    if claim := silent(question, row):
        return claim
    twins = found.memory
    if twins.empty:
        said = "No network of the study learned from the last bins only. A network that is re-run from a "
        said += "start state k bins back was not trained for it, and is no evidence."
        return Claim(question, NOT_ASKED, said, settle=_windows_to_add(row))
    mine = twins[twins["model"] == row["model"]]
    mine = (mine if len(mine) else twins[twins["model"] == twins["model"].iloc[0]]).sort_values("memory")
    bins = "symbols" if row["metric"] == "bits_per_symbol" else "bins"
    last, shown = _in_order(mine.to_dict("records"), _helps)
    k, name = last["memory"], last["model"]
    if not shown and _shown(last) > 0:
        answer = UNDECIDED
        said = f"{name} loses when it learns from the last {k} {bins}, but as much, as far as can be told, "
        said += "where these are all there is: it may be what learning from windows costs."
    elif shown:
        answer = YES
        said = f"Yes, further back than {k} {bins}: {last['variant']} loses when it learns from the last {k}."
        if last["variant"] != row["variant"]:
            seen = "sees the last bins only" if _windowed(row) else "was not trained on windows"
            said += f" {row['variant']} itself {seen}."
        if len(beyond := mine.loc[mine["memory"] > k, "memory"]):
            said += f" Further back than {beyond.min()} is not shown."
        if enough := _enough(mine.to_dict("records"), found.margin):
            said += f" From the last {enough} it learns to predict as well, or nearly."
    elif _few(last):
        answer, said = UNDECIDED, _too_few(last)
    elif last["high"] < found.margin:
        answer, said = NO, f"No: from the last {k} {bins} {name} learns to predict as well, or nearly."
    else:
        answer = UNDECIDED
        said = f"A loss of {name} with the last {k} {bins} is not shown, and none excluded."
    return _of_pair(question, answer, said, last, row, f"{last['variant']}, whole past less {k} {bins}")


def _windowed(row: dict[str, Any]) -> bool:
    """Return whether the network sees the last bins only, so that it has no twin of the whole past."""
    return bool(getattr(models.registry().get(row["family"]), "windowed", False))


def _windows_to_add(row: dict[str, Any]) -> str:
    """Return the entries of a study that would tell how far back a network's memory reaches."""
    if _windowed(row):
        return "`models: {rate: {family: rate}, rate_recent: {family: rate, memory: [2, 10]}}`"
    entry = f"{{{row['model']}_recent: {{family: {row['family']}, memory: [2, 10]}}}}"
    return f"`models: {entry}` with the other settings of {row['model']}"


def _enough(rows: list[dict[str, Any]], margin: float) -> int:
    """Return the shortest window from which on all are shown to lose less than the margin; 0: none."""
    enough = 0
    for row in reversed(rows):
        if _few(row) or not row["high"] < margin:
            break
        enough = row["memory"]
    return enough


def _in_order(
    rows: list[dict[str, Any]], holds: Callable[[dict[str, Any]], bool] = lambda row: _shown(row) > 0
) -> tuple[dict[str, Any], bool]:
    """Return the last row of which `holds` is true, going on from the first; else the first."""
    shown = 0
    while shown < len(rows) and holds(rows[shown]):
        shown += 1
    return rows[max(shown - 1, 0)], shown > 0


def _helps(row: dict[str, Any]) -> bool:
    """Return whether a window loses, and more where it lacks something, as far as there are bins to tell."""
    late = np.isnan(row["beyond"]) or (row["beyond_low"] > 0 and row["beyond_p"] < LEVEL)
    return bool(_shown(row) > 0 and late)


def _few(found: dict[str, Any]) -> bool:
    """Return whether so few blocks or restarts allow no verdict."""
    return bool(found["smallest_p"] >= LEVEL) or found.get("members", FEWEST_RESTARTS) < FEWEST_RESTARTS


def _too_few(found: dict[str, Any]) -> str:
    """Return the sentence where `_few` is true: which of blocks and restarts are too few."""
    return _SAID[FEW_BLOCKS] if found["smallest_p"] >= LEVEL else _SAID[FEW_RESTARTS]


def _shown(found: dict[str, Any]) -> int:
    """Return 1 or -1 where a difference is shown to be above or below 0, else 0."""
    if _few(found) or not found["p_value"] < LEVEL:
        return 0
    return int(found["low"] > 0) - int(found["high"] < 0)


def _settle_pair(found: dict[str, Any], row: dict[str, Any]) -> str:
    """Return what would settle a difference that is no row of the comparison."""
    if found["smallest_p"] >= LEVEL:
        return more_trials(row)
    restarts = {"members": found.get("members", row["members"])}
    return more_evidence(row | restarts, found["low"], found["high"])


def _of_pair(
    question: str, answer: str, said: str, found: dict[str, Any], row: dict[str, Any], model: str
) -> Claim:
    """Return the line of a difference that is no row of the comparison."""
    return Claim(
        question,
        answer,
        said,
        model,
        found["value"],
        found["low"],
        found["high"],
        METRICS[row["metric"]].label,
        _test(found["blocks"], found["members"]),
        found["p_value"],
        np.nan if _few(found) else found["detectable"],
        _settle_pair(found, row) if answer == UNDECIDED else "",
        found["smallest_p"],
    )


# -- further ahead ----------------------------------------------------------------------------------


def ahead(found: Evidence, row: dict[str, Any]) -> Claim:
    """Say how far ahead the network predicts better than a constant, horizons in their order."""
    step = "symbol" if row["metric"] == "bits_per_symbol" else "bin"
    question, bins = f"Does it predict further ahead than the next {step}?", f"{step}s"
    if claim := silent(question, row):
        return claim
    table = found.ahead
    if table.empty or not (table["horizon"] > 1).any():
        said = f"The study forecasts no {step} further ahead than the next one."
        return Claim(question, NOT_ASKED, said, settle="`horizons: [1, 2, 5, 10, 20]`")
    rows = table[table["horizon"] > 1].sort_values("horizon").to_dict("records")
    members = {"members": row["members"]}
    last, shown = _in_order([one | members for one in rows])
    h, name = last["horizon"], row["variant"]
    if shown:
        answer, said = YES, f"Yes, up to {h} {bins} ahead {name} predicts better than a constant"
        said += f" ({last['trials']:.0f} test trials).{_beside_rival(found, row, bins)}"
    elif _few(last):
        answer, said = UNDECIDED, _too_few(last)
    elif last["high"] < found.margin and not last["biased"]:
        answer, said = NO, f"No: {h} {bins} ahead {name} is worth no more than a constant."
    else:
        answer, said = UNDECIDED, f"{h} {bins} ahead {name} is not shown to be better than a constant."
    claim = _of_pair(question, answer, said, last, row, f"{name}, {h} {bins} ahead")
    if answer == UNDECIDED:
        more = "`samples_at_most`: more" if last["biased"] else "`forecast_trials`: more"
        return replace(claim, settle=more)
    return claim


def _beside_rival(found: Evidence, row: dict[str, Any], bins: str) -> str:
    """Return how the forecasts stand to those of the best model that is no network, as a sentence.

    Distances are tested together (Holm); where too few futures leave a bias nothing is said to be worse, as
    the network's forecasts may be too low.
    """
    if found.ahead_of_rival.empty or row["rival"] == "null":
        return ""
    rows = found.ahead_of_rival.sort_values("horizon").to_dict("records")
    rows = [one | {"members": row["members"]} for one in rows if one["horizon"] > 1]
    adjusted = holm(np.array([one["p_value"] for one in rows]))
    signs = [_shown(one | {"p_value": p}) for one, p in zip(rows, adjusted, strict=True)]
    named: dict[str, list[str]] = {"better": [], "worse": []}
    for one, sign in zip(rows, signs, strict=True):
        if sign and not one["biased"]:
            named["better" if sign > 0 else "worse"].append(str(one["horizon"]))
    said = [f"{word} at {words.listed(at)}" for word, at in named.items() if at]
    if not said:
        return f" At no distance is it shown to be better or worse than {row['rival']}."
    every = words.listed([str(one["horizon"]) for one in rows])
    of = f", of {every} {bins} ahead," if len(rows) > 1 else f", {every} {bins} ahead,"
    return f" Beside {row['rival']}{of} it is {' and '.join(said)} (Holm)."


# -- Dale's law -------------------------------------------------------------------------------------


def inhibition(found: Evidence, row: dict[str, Any]) -> Claim:
    """Say whether a network of separate excitatory and inhibitory units predicts better than one without."""
    question = "Do separate excitatory and inhibitory units (Dale's law) help?"
    pair = found.dale
    if pair is None:
        said = "The study has no network under Dale's law beside one of the same size without it."
        settle = "`models: {dale: {family: dale, hidden: H}, rate: {family: rate, hidden: H}}`"
        return Claim(question, NOT_ASKED, said, settle=settle)
    sign, names = _shown(pair), (pair["signed"], pair["free"])
    caveat = "Whether the recording needs inhibition is another question: both networks can inhibit."
    if _few(pair):
        answer, said = UNDECIDED, f"{{}} less {{}}: {_too_few(pair)}"
    elif sign > 0:
        answer, said = YES, "{} predicts better than {}, which has no such constraint."
    elif sign < 0:
        answer, said = NO, "{} predicts worse than {}, which has no such constraint."
    elif -found.margin < pair["low"] and pair["high"] < found.margin:
        answer, said = NO, "{} predicts as well as {}, which has no such constraint: the law costs nothing."
    else:
        answer, said = (
            UNDECIDED,
            "A difference between {} and {}, which has no such constraint, is not shown.",
        )
    said = f"{said.format(*names)} {caveat}"
    return _of_pair(question, answer, said, pair, row, f"{names[0]} less {names[1]}")
