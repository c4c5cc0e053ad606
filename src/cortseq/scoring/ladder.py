"""The ladder of baselines (docs/likelihood.md#the-ladder-of-baselines): which rung a model stands on."""

from __future__ import annotations

from typing import Any

from cortseq import models

RUNGS = {
    "L0": "null: the training mean",
    "L0'": "floors: PSTH per condition, slow drift over trials, flat causal mean, persistence, inputs alone",
    "L1": "Markov chain of order 1 (or 0)",
    "L2": "Markov chain of chosen order; context-tree weighting",
    "L3": "hidden Markov model",
    "L3'": "linear and switching state-space models",
    "L4": "recurrent net that sees only the discretised states",
    "L5": "coupled Poisson GLM",
    "L6": "recurrent net truncated to the last k bins",
    "L6'": "transformer: everything in the last k bins",
    "L7": "recurrent net, full history",
}


def rung(spec: dict[str, Any], role: str, order_chosen: bool = False) -> str:
    """Return the rung of a fitted specification (`card["model"]`) of a role; "" for what is on none.

    `order_chosen`: several orders were tried, so that even an order of 1 is a choice (L2).
    """
    if role == "null":
        return "L0"
    family = models.registry().get(spec["family"])
    if role == "recurrent":
        whole = getattr(family, "rung", "") or "L7"
        return "L4" if spec.get("discretise") else whole if spec.get("memory") is None else "L6"
    if role == "markov":
        return "L1" if not order_chosen and spec.get("order", 2) <= 1 else "L2"
    if family is not None and not family.model_construct(**spec).has_history:
        return "L0'"  # inputs alone
    return getattr(family, "rung", "")
