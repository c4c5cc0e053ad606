"""Four corners: what inputs explain, what history explains, and what they share.

Of a recording with inputs u_t there are models without history and inputs (the null), with inputs alone
(encoding models), with history alone, and with both; each corner is held by its variant that is best on
validation. With their held-out gains over the null, G(u), G(h) and G(u, h):

    inputs given history   G(u, h) - G(h)
    history given inputs   G(u, h) - G(u)
    shared                 G(u) + G(h) - G(u, h)

A share below 0 says that the two explain more together than the sum of each alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cortseq import models, numbers
from cortseq._lazy import pd
from cortseq.metrics import METRICS
from cortseq.scoring.rows import References
from cortseq.scoring.scored import Scored, best
from cortseq.scoring.statistics import FEWEST_RESTARTS, LEVEL
from cortseq.scoring.words import FEW_BLOCKS, FEW_RESTARTS

COLUMNS = "dataset what value low high p_value blocks few unit variant over".split()
WHAT = {
    "inputs": "inputs alone",
    "history": "history alone",
    "both": "inputs and history",
    "inputs given history": "inputs, given history",
    "history given inputs": "history, given inputs",
    "shared": "shared by inputs and history",
}
Corner = tuple[bool, bool]  # with history, with inputs
NONE, INPUTS, HISTORY, BOTH = (False, False), (False, True), (True, False), (True, True)


def corner(scored: Scored) -> Corner:
    """Return in which corner a fit stands."""
    spec = scored.card["model"]
    family = models.registry().get(spec["family"])
    remembers = family is None or family.model_construct(**spec).has_history
    return remembers, scored.card.get("n_inputs", 0) > 0


def rows(scored: list[list[Scored]], given: References) -> list[dict[str, Any]]:
    """Return the differences between the corners, none where a corner is empty.

    Parameters
    ----------
    scored : per variant, per fold.
    given : what tells how two models of the recording are compared; its null is the first corner.
    """
    held: dict[Corner, list[list[Scored]]] = {}
    for folds in scored:
        held.setdefault(corner(folds[0]), []).append(folds)
    if not {INPUTS, HISTORY, BOTH} <= held.keys():
        return []
    inputs, history, both = (best(held[where]) for where in (INPUTS, HISTORY, BOTH))
    null = given.null
    pairs = {
        "inputs": (inputs, null),
        "history": (history, null),
        "both": (both, null),
        "inputs given history": (both, history),
        "history given inputs": (both, inputs),
        "shared": (_sum(inputs, history), _sum(both, null)),
    }
    found = []
    for what, (one, other) in pairs.items():
        gain = given.difference(one.test, other.test, one.test_events)
        found.append(
            {
                "what": what,
                "value": gain.estimate,
                "low": gain.low,
                "high": gain.high,
                "p_value": gain.p_value,
                "blocks": gain.pieces,
                "few": few((one, other), gain.smallest_p),
                "unit": METRICS[given.kind.metric].label,
                "variant": one.variant,
                "over": other.variant,
            }
        )
    return found


def few(models: tuple[Scored, Scored], smallest_p: float) -> str:
    """Return why nothing can be shown, "" where it can: as `words.outcome` says it of the comparison."""
    if smallest_p >= LEVEL:
        return FEW_BLOCKS
    restarted = any(s.role == "recurrent" and len(s.test) < FEWEST_RESTARTS for s in models)
    return FEW_RESTARTS if restarted else ""


def _sum(one: Scored, other: Scored) -> Scored:
    """Return a made-up model with the log-likelihoods of two; restarts are paired in their order."""
    restarts = min((len(s.test) for s in (one, other) if len(s.test) > 1), default=1)
    test = one.test[:restarts] + other.test[:restarts]  # a model without restarts is the same beside each
    return replace(one, variant=f"{one.variant} + {other.variant}", test=test)


def table(found: list[dict[str, Any]]) -> pd.DataFrame:
    """Return corners.csv: the differences of all recordings, without a row where none has inputs."""
    return pd.DataFrame(found, columns=COLUMNS)


def sentence(found: pd.DataFrame) -> str:
    """Return what inputs and history of one recording explain, in words; "" where it has no corners."""
    if found.empty:
        return ""
    by = {row["what"]: row for row in found.to_dict("records")}
    unit = by["both"]["unit"]
    alone = [
        f"{name} ({by[what]['variant']}) {_explains(by[what], verb, unit * (what == 'inputs'))}"
        for what, name, verb in (
            ("inputs", "Inputs alone", ""),
            ("history", "the past alone", "s"),
            ("both", "both together", ""),
        )
    ]
    shared = _size(by["shared"])
    what = f"{shared} are shared" if shown(by["shared"]) else f"how much they share is not shown ({shared})"
    added = " ".join(_added(by[what], words) for what, words in _ADDED.items())
    return f"{', '.join(alone)}; {what}. {added}"


def shown(row: dict[str, Any]) -> bool:
    """Return whether a difference between corners, a row of corners.csv, is shown to be above 0."""
    few = isinstance(row["few"], str) and bool(row["few"])
    return not few and row["low"] > 0 and row["p_value"] < LEVEL


def _explains(row: dict[str, Any], verb: str, unit: str) -> str:
    """Return how much a corner explains over a constant, or that it is not shown to; `verb`: its ending."""
    size = " ".join(filter(None, [_size(row), unit]))
    if shown(row):
        return f"explain{verb} {size}"
    return f"{'is' if verb else 'are'} not shown to explain anything ({size})"


def _size(row: dict[str, Any]) -> str:
    return numbers.estimate(row["value"], row["low"], row["high"])


_ADDED = {
    "inputs given history": ("Given the past, inputs", "inputs"),
    "history given inputs": ("Given the inputs, the past", "the past"),
}


def _added(row: dict[str, Any], words: tuple[str, str]) -> str:
    """Return whether one adds to the other; nothing is said to add whose interval holds 0."""
    size, plural = f"{_size(row)}, {row['variant']} less {row['over']}", words[1] == "inputs"
    if isinstance(row["few"], str) and row["few"]:
        return f"{words[0]}: {size}, without a verdict ({row['few']})."
    if shown(row):
        return f"{words[0]} add{'' if plural else 's'} {_size(row)} ({row['variant']} less {row['over']})."
    if row["high"] < 0 and row["p_value"] < LEVEL:
        lost = f"{_size(row)} ({row['variant']} less {row['over']})"
        return (
            f"{words[0]} cost{'' if plural else 's'} {lost}: the model that sees both has learned too little."
        )
    return f"{words[0]} {'are' if plural else 'is'} not shown to add anything ({size})."
