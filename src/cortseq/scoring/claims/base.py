"""One line of the page "Which claim may I make?"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cortseq.scoring.statistics import FEWEST_RESTARTS
from cortseq.scoring.words import BETTER, FEW_BLOCKS, FEW_RESTARTS, NOTHING

YES, NO, UNDECIDED, NOT_ASKED = "yes", "no", "undecided", "not asked"
ENOUGH_MEMBERS = 5
NORMAL = 1.96  # standard errors from the middle of a 95 % interval to its end


@dataclass(frozen=True)
class Claim:
    """The answer to one question.

    Attributes
    ----------
    question : of a reviewer.
    answer : YES, NO, UNDECIDED, or NOT_ASKED where the study has nothing to answer it with.
    claim : what may be said.
    model : the network that it is about.
    value, low, high : the number it rests on with its 95 % interval.
    unit : of these.
    test : its name, and over how many of what.
    p : of the test.
    detectable : the effect that would have been found with power 0.8 at level 0.05 before Holm's adjustment,
        in the same unit.
    settle : what to add to the study where the answer is neither yes nor no; "" elsewhere.
    smallest_p : the smallest p that such a test can give, where it has one.
    """

    question: str
    answer: str
    claim: str
    model: str = ""
    value: float = np.nan
    low: float = np.nan
    high: float = np.nan
    unit: str = ""
    test: str = ""
    p: float = np.nan
    detectable: float = np.nan
    settle: str = ""
    smallest_p: float = 0.0


def more_trials(row: dict[str, Any]) -> str:
    """Return what would test more trials: folds where there is one split, else a longer recording."""
    if row["folds"] == 1:
        return "`folds: 5`: every trial is tested once"
    return "more trials: a longer recording, or several"


def more_evidence(row: dict[str, Any], low: float = np.nan, high: float = np.nan) -> str:
    """Return what would make the interval of a difference of scores shorter: members or trials.

    Members where there are too few for a verdict, or where they make most of the variance of the mean: their
    standard deviation over the square root of their number is then most of the interval. Trials elsewhere.
    """
    members = row["members"]
    if members < FEWEST_RESTARTS:
        return f"`members: {ENOUGH_MEMBERS}`"
    of_members = float(row["member_sd"]) / np.sqrt(members)
    of_all = (high - low) / 2 / NORMAL
    if of_members**2 > 0.5 * of_all**2:
        return f"`members: {ENOUGH_MEMBERS if members < ENOUGH_MEMBERS else 2 * members:.0f}`"
    return more_trials(row)


def nothing_learned(row: dict[str, Any]) -> str:
    """Return why nothing but a score may be claimed of a network; "" where it describes the recording."""
    if row["against_null"] in (FEW_BLOCKS, FEW_RESTARTS):
        few = row["against_null"]
        return f"there are {few} for a verdict on whether the network predicts better than a constant"
    if row["against_null"] != BETTER:
        return "the network is not shown to predict better than a constant"
    if row["learning"] == NOTHING:
        return "the weights that were kept are of its first three epochs, so that it learned next to nothing"
    return ""


def silent(question: str, row: dict[str, Any]) -> Claim | None:
    """Return the line of a question on what a network is, where it does not describe the recording."""
    why = nothing_learned(row)
    if not why:
        return None
    said = f"Nothing may be claimed: {why}, and what it is says nothing about the recording."
    return Claim(question, UNDECIDED, said, settle="see the first line")
