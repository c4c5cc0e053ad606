"""The claim on recorded inputs: whether the past explains what they do not."""

from __future__ import annotations

from typing import Any

from cortseq.scoring import corners
from cortseq.scoring.claims.base import NO, NOT_ASKED, UNDECIDED, YES, Claim, more_trials
from cortseq.scoring.evidence import Evidence

_CAVEAT = "That is no memory yet: it may be drift, lost units or behaviour that was not recorded."


def past(found: Evidence, row: dict[str, Any]) -> Claim:
    """Say whether the past adds to what the animal saw and did, from the corners of the recording.

    yes: the model that sees both is shown to be better than the one with inputs alone; no: it is shown to be
    better by less than the margin. Both corners are held by the models that are best on validation.
    """
    question = "Does the past explain what the inputs do not?"
    if found.corners.empty:
        said = "The study has no models with inputs alone, with the past alone and with both."
        settle = "`inputs:` of the dataset, and `models: {encoding: {family: glm, history: 0}}`"
        return Claim(question, NOT_ASKED, said, settle=settle)
    by = {one["what"]: one for one in found.corners.to_dict("records")}
    history, inputs = by["history given inputs"], by["inputs given history"]
    both, alone, margin = history["variant"], history["over"], found.margin
    if few := _few(history):
        answer, said = UNDECIDED, f"No claim: {few}."
    elif corners.shown(history):
        answer, said = (
            YES,
            f"Yes: {both} predicts better than {alone}, which sees the inputs alone. {_CAVEAT}",
        )
    elif history["high"] < margin:
        answer, said = NO, f"No: {both} predicts no better than {alone}, which sees the inputs alone."
    else:
        answer, said = (
            UNDECIDED,
            f"That {both} predicts better than {alone} is not shown, nor is it excluded.",
        )
    if inputs["high"] < margin and not _few(inputs):
        said += f" The inputs add less than {margin:g} {inputs['unit']} to the past."
    settle = more_trials(row) if answer == UNDECIDED else ""
    test = f"paired difference, {history['blocks']:.0f} blocks of trials"
    numbers = history["value"], history["low"], history["high"], history["unit"]
    return Claim(
        question, answer, said, f"{both} less {alone}", *numbers, test, history["p_value"], settle=settle
    )


def _few(row: dict[str, Any]) -> str:
    """Return why nothing can be shown of a difference between corners; "" where it can."""
    return row["few"] if isinstance(row["few"], str) else ""
