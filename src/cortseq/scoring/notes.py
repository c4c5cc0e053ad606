"""Notes under the comparison: what its numbers are conditional on, and which models know more than others."""

from __future__ import annotations

from typing import Any

from cortseq._lazy import pd

ONE_SPLIT = "One split: intervals are conditional on it, other training trials are not in them."
INPUTS = "inputs"  # what a model knows that sees those of the recording


def known(card: dict[str, Any]) -> str:
    """Return what a fit is given of each trial beside its past bins, as words; "" for nothing."""
    covariates = card.get("chosen", {}).get("conditions", [])
    place = ["number of the trial"] if "place" in card.get("sees", ()) else []
    return ", ".join([*covariates, *place, *([INPUTS] if card.get("n_inputs") else [])])


def unequal(frame: pd.DataFrame) -> list[str]:
    """Return one sentence per model that knows more of a trial than the networks; none of averages.

    Parameters
    ----------
    frame : rows of comparison.csv of one recording.
    """
    said = []
    for row in frame[~frame["averaged"].astype(bool)].to_dict("records"):
        more = [name for name in _known(row) if name != INPUTS]
        if more:
            said.append(
                f"{row['variant']} knows more of each trial than the networks: {', '.join(more)}. A network "
                "has to infer it from the activity."
            )
    return said


def unseeing(frame: pd.DataFrame) -> list[str]:
    """Return a sentence on the models that do not see the recording's inputs; none where no model sees any.

    Parameters
    ----------
    frame : rows of comparison.csv of one recording.
    """
    rows = [r for r in frame[~frame["averaged"].astype(bool)].to_dict("records") if r["role"] != "null"]
    blind = [str(r["variant"]) for r in rows if INPUTS not in _known(r)]
    if not blind or len(blind) == len(rows):
        return []
    return [
        f"Not all models see the inputs of the recording. These do not: {', '.join(blind)}. A model that "
        "sees them may be ahead of one that does not because of them, without any memory."
    ]


def _known(row: dict[str, Any]) -> list[str]:
    return row["knows"].split(", ") if isinstance(row["knows"], str) and row["knows"] else []


def references(row: dict[str, Any]) -> str:
    """Return what models are set against, one or two sentences; "" where there is nothing but the null."""
    said = []
    chain, rival = ("" if not isinstance(row[key], str) else row[key] for key in ("reference", "rival"))
    if chain:
        said.append(
            "No Markov chain beats the null on validation trials."
            if chain == "null"
            else f"The best Markov chain on validation trials is {chain}."
        )
    if rival == "null":
        return "No chain, hidden Markov model, regression or floor beats the null on validation trials."
    if rival:
        said.append(f"The best model that is no network (chain, HMM, regression or floor) is {rival}.")
    return " ".join(said)


def stability(frame: pd.DataFrame) -> list[str]:
    """Return one sentence on how sure the choices of variants are; none where nothing was chosen.

    Parameters
    ----------
    frame : rows of comparison.csv of one recording.
    """
    rows = frame[frame["choice_stability"].notna()]
    if rows.empty:
        return []
    each = [f"{r['variant']} {100 * r['choice_stability']:.0f} %" for r in rows.to_dict("records")]
    return [f"Another sample of the validation trials would have chosen the same variant: {', '.join(each)}."]


def under_table(frame: pd.DataFrame) -> list[str]:
    """Return the notes on a whole comparison.csv for a terminal, each followed by an empty line."""
    said = []
    if (frame["folds"] == 1).any():
        said.append(ONE_SPLIT)
    if frame["averaged"].any():
        said.append("(averaged): the members' mean prediction, an extra row that no test uses.")
    for dataset, rows in frame.groupby("dataset", sort=False):
        said += [f"{dataset}: {sentence}" for sentence in [*unequal(rows), *unseeing(rows)]]
    return [line for sentence in said for line in (sentence, "")]
