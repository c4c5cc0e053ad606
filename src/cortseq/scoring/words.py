"""The comparison in plain words: a sentence a model, a sentence a recording, tables for a terminal."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cortseq.checks import tally
from cortseq.metrics import METRICS
from cortseq.scoring import failures


def verdict(row: dict[str, Any]) -> str:
    """One plain sentence."""
    unit = METRICS[row["metric"]].label
    name = row["variant"]
    if row["role"] == "null":
        return f"{name} is the zero of the scale."
    if row["averaged"]:
        return f"{name}: the members' mean prediction, {row['value']:+.3f} {unit}; no model of its own."
    if row["low"] <= 0:
        text = (
            f"{name} does not predict better than a constant ({row['value']:+.3f} {unit}, interval reaches 0)"
        )
    else:
        text = f"{name} predicts better than a constant ({row['value']:+.3f} {unit})"
    if row["role"] != "recurrent" or np.isnan(row["gain_over_markov"]):
        return text + "."
    gain, p = row["gain_over_markov"], row["p_holm"]
    chain = row["reference"]
    if row["gain_low"] > 0 and p < 0.05:
        return f"{text}, and better than the best chain {chain} by {gain:.3f} {unit} (p = {p:.2g}, Holm)."
    if row["gain_high"] < 0 and p < 0.05:
        return f"{text}, but worse than the best chain {chain} by {-gain:.3f} {unit} (p = {p:.2g}, Holm)."
    if row["equivalent"]:
        return (
            f"{text}, and as well as the best chain {chain} ({gain:+.3f} {unit}, within "
            f"{row['equivalence_margin']:g}: p = {row['equivalence_p']:.2g})."
        )
    return (
        f"{text}; a difference from the best chain {chain} is not shown ({gain:+.3f} {unit}, p = {p:.2g}, "
        f"Holm; {row['detectable_gain']:.3f} could have been detected)."
    )


def summary(frame: pd.DataFrame) -> list[str]:
    """One sentence per recording."""
    out = []
    frame = frame[~frame["averaged"].astype(bool)]
    for dataset, rows in frame.groupby("dataset", sort=False):
        unit = METRICS[rows["metric"].iloc[0]].label
        live = rows[rows["role"] != "null"]
        beat = live[live["low"] > 0]
        if beat.empty:
            out.append(f"{dataset}: no model beats the mean rate.")
            continue
        best = live.loc[live["value"].idxmax()]
        winners = live[(live["role"] == "recurrent") & (live["gain_low"] > 0) & (live["p_holm"] < 0.05)]
        text = f"{dataset}: {best['variant']} scores highest, {best['value']:.3f} {unit} over the null"
        if not np.isnan(best["ceiling"]):
            text += f", {100 * best['value'] / best['ceiling']:.0f} % of what the exact filter reaches"
        if live["gain_over_markov"].notna().any():
            text += (
                f"; {len(winners)} of {int((live['role'] == 'recurrent').sum())} recurrent models beat the "
                f"best Markov chain ({best['reference']})"
            )
        if best["rival"] and best["rival"] != best["reference"]:
            ahead = live[
                (live["role"] == "recurrent") & (live["rival_low"] > 0) & (live["rival_p_holm"] < 0.05)
            ]
            text += f", {len(ahead)} the best model that is no network ({best['rival']})"
        out.append(text + ".")
    return out


def text(frame: pd.DataFrame, pooled: pd.DataFrame | None = None) -> str:
    """Return the comparison for a terminal; `pooled`: sessions.csv."""
    out = []
    frame, failed = failures.split(frame)
    for dataset, rows in frame.groupby("dataset", sort=False):
        rows = rows.iloc[np.argsort(-rows["value"].to_numpy(), kind="stable")]
        limits = [
            f"{name} {rows[column].iloc[0]:.3f}"
            for name, column in (("exact filter", "ceiling"), ("true rates", "true_rates"))
            if not np.isnan(rows[column].iloc[0])
        ]
        n, blocks = rows["trials"].iloc[0], rows["blocks"].iloc[0]
        trials = f"{n} test trials" if blocks == n else f"{n} test windows in {blocks} blocks"
        head = f"{dataset}: {trials}, {rows['n_events'].iloc[0]} events"
        out.append("; ".join([head, *limits]))
        for shown in (_main_columns(rows), _other_columns(rows)):
            out += [shown.to_string(index=False, justify="left"), ""]
    if frame["averaged"].any():
        out += ["(averaged): the members' mean prediction, an extra row that no test uses.", ""]
    if pooled is not None and len(pooled):
        out += [
            "Across recordings, each weighing the same:",
            _pooled_columns(pooled).to_string(index=False),
            "",
        ]
    lost = [f"{row.dataset}: {row.variant} {row.verdict}" for row in failed.itertuples()]
    return "\n".join([*out, *summary(frame), *lost])


def _names(rows: pd.DataFrame) -> list[str]:
    return [
        f"{r.variant.replace('_averaged', '')} (averaged)" if r.averaged else r.variant
        for r in rows.itertuples()
    ]


def _main_columns(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "model": _names(rows),
            "rung": rows["rung"].fillna("").to_numpy(),
            METRICS[rows["metric"].iloc[0]].label: _intervals(rows, "value", "low", "high"),
            "over best chain": _intervals(rows, "gain_over_markov", "gain_low", "gain_high"),
            "p (Holm)": ["" if np.isnan(p) else f"{p:.2g}" for p in rows["p_holm"]],
            "over best non-network": _intervals(rows, "gain_over_rival", "rival_low", "rival_high"),
            "equivalent": ["yes" if e else "" for e in rows["equivalent"]],
            "parameters": rows["parameters"].to_numpy(),
            "members": rows["members"].to_numpy(),
        }
    )


_OTHER = {
    "joint": "value",
    "mean-rate": "mean_rate",
    "mean over units": "unit_mean",
    "evaluation null": "value_evaluation_null",
    "mean-rate, evaluation null": "mean_rate_evaluation_null",
    "cold start": "value_cold",
    "bits/s": "value_per_s",
    "loss": "loss",
}


def _other_columns(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the same scores in other conventions; a column that says nothing is left out."""
    shown = {"model": _names(rows)}
    for head, column in _OTHER.items():
        values = rows[column]
        if values.notna().any() and not (column == "value_cold" and np.allclose(values, rows["value"])):
            shown[head] = ["" if np.isnan(v) else f"{v:+.3f}" for v in values]
    silent = rows["units_silent"].iloc[0]
    if silent > 0:
        shown[f"({int(silent)} units without test spikes)"] = [""] * len(rows)
    return pd.DataFrame(shown)


def _pooled_columns(pooled: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "model": pooled["model"],
            "metric": [METRICS[m].label for m in pooled["metric"]],
            "recordings": pooled["sessions"],
            "gain over the null": _intervals(pooled, "value", "low", "high"),
            "over best chain": _intervals(pooled, "gain_over_markov", "gain_low", "gain_high"),
        }
    )


def _intervals(rows: pd.DataFrame, value: str, low: str, high: str) -> list[str]:
    return [_interval(*each) for each in zip(rows[value], rows[low], rows[high], strict=True)]


def _interval(value: float, low: float, high: float) -> str:
    return "" if np.isnan(value) else f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"


def checks(frame: pd.DataFrame) -> str:
    """Return the checks of a study of theory for a terminal."""
    out = [f"theory: {tally(frame)}", ""]
    columns = ["what", "predicted", "measured", "low", "high", "holds"]
    for phenomenon, rows in frame.groupby("phenomenon", sort=False):
        out += [str(phenomenon), rows[columns].to_string(index=False, float_format="{:.4g}".format), ""]
    return "\n".join(out)
