"""sessions.csv: every model pooled over the recordings of one metric and bin width."""

from __future__ import annotations

from typing import Any

import numpy as np

from cortseq._lazy import pd
from cortseq.metrics import METRICS
from cortseq.scoring import together
from cortseq.scoring.rows import References
from cortseq.scoring.scored import Scored
from cortseq.scoring.statistics import Session, across_sessions


def session(dataset: str, s: Scored, given: References) -> dict[str, Any]:
    """Return what pooling over recordings needs of a model: its scores beside the null's and the chain's."""
    chain = given.reference if given.reference and given.reference.model != s.model else None
    return {
        "dataset": dataset,
        "model": f"{s.model} (moved)" if together.cell(s.card["model"]) == "moved" else s.model,
        "role": s.role,
        "metric": given.kind.metric,
        "bin_ms": given.bin_width * 1e3 if given.kind.timed else np.nan,
        "over_null": Session(s.test, given.null.test, s.test_events, **given.place),
        "over_chain": chain and Session(s.test, chain.test, s.test_events, **given.place),
    }


SESSION_COLUMNS = (
    "metric bin_ms model role sessions value low high gain_over_markov gain_low gain_high p_value"
)


def sessions(parts: list[dict[str, Any]]) -> pd.DataFrame:
    """Return sessions.csv: each model pooled over recordings of one metric and bin width.

    A model on one recording has no row. A cell that was moved to a session is another model than on those
    that it was learned on. Each recording weighs the same (`across_sessions`). Gains are over
    each recording's own best chain; p_value belongs to the gain.

    Parameters
    ----------
    parts : the `sessions` of all `Tables`.
    """
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for part in parts:
        groups.setdefault((part["metric"], str(part["bin_ms"]), part["model"]), []).append(part)
    rows = []
    for same in groups.values():
        first = same[0]
        if len(same) < 2 or first["role"] == "null":
            continue
        unit = METRICS[first["metric"]].nats
        value = across_sessions([s["over_null"] for s in same]).per(unit)
        row = {key: first[key] for key in ("metric", "bin_ms", "model", "role")} | {
            "sessions": len(same),
            "value": value.estimate,
            "low": value.low,
            "high": value.high,
        }
        if all(s["over_chain"] is not None for s in same):
            gain = across_sessions([s["over_chain"] for s in same]).per(unit)
            row |= {
                "gain_over_markov": gain.estimate,
                "gain_low": gain.low,
                "gain_high": gain.high,
                "p_value": gain.p_value,
            }
        rows.append(row)
    return pd.DataFrame(rows, columns=SESSION_COLUMNS.split())
