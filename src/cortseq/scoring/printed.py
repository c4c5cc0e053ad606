"""Tables of a study as a terminal and the report show them."""

from __future__ import annotations

import numpy as np

from cortseq._lazy import pd
from cortseq.checks import tally
from cortseq.metrics import METRICS
from cortseq.scoring import failures, notes, words


def text(frame: pd.DataFrame, pooled: pd.DataFrame | None = None) -> str:
    """Return the comparison for a terminal; `pooled`: sessions.csv."""
    out, lines = [], words.summary(frame)
    frame, failed = failures.split(frame)
    for dataset, rows in frame.groupby("dataset", sort=False):
        rows = rows.iloc[np.argsort(-rows["value"].to_numpy(), kind="stable")]
        limits = [
            f"{name} {rows[column].iloc[0]:.3f}"
            for name, column in (("exact filter", "ceiling"), ("true rates", "true_rates"))
            if not np.isnan(rows[column].iloc[0])
        ]
        head = f"{dataset}: {rows['trials'].iloc[0]} test trials, {rows['n_events'].iloc[0]} events"
        out.append("; ".join([head, *limits, blocks(rows)]))
        for shown in (_main_columns(rows), _other_columns(rows)):
            out += [shown.to_string(index=False, justify="left"), ""]
    out += notes.under_table(frame)
    if pooled is not None and len(pooled):
        out += [
            "Across recordings, each weighing the same:",
            pooled_columns(pooled).to_string(index=False),
            "",
        ]
    lost = [f"{row.dataset}: {row.variant} {row.verdict}" for row in failed.itertuples()]
    return "\n".join([*out, *lines, *lost])


def _range(values: pd.Series) -> str:
    low, high = int(values.min()), int(values.max())
    return str(low) if low == high else f"{low} to {high}"


def short_p(p: float, smallest: float) -> str:
    """Return "0.012" or "≤0.0002", as `p_text`; "" where there is no p."""
    return "" if np.isnan(p) else words.p_text(p, smallest)[2:].removeprefix("= ").replace("≤ ", "≤")


def blocks(rows: pd.DataFrame) -> str:
    """Return into how many blocks of how many trials the differences of a recording's models were cut."""
    tested = rows[rows["blocks"].notna() & (rows["role"] != "null")]
    if tested.empty:
        return "no model is tested"
    length = _range(tested["block_trials"])
    each = f"{length} trial{'s' * (length != '1')}"
    chain = (tested["reference"].fillna("") != "").any()
    what = "gains over the best chain" if chain else "gains over the null"
    return f"{what} in {_range(tested['blocks'])} independent blocks of {each}"


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
            "p (Holm)": [short_p(*each) for each in zip(rows["p_holm"], rows["smallest_p"], strict=True)],
            # a mean of members stands beside models that are none
            "over best non-network": np.where(
                rows["averaged"].astype(bool),
                "",
                _intervals(rows, "gain_over_rival", "rival_low", "rival_high"),
            ),
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


def pooled_columns(pooled: pd.DataFrame) -> pd.DataFrame:
    """Return sessions.csv as it is shown; p of the gain over the chain is not adjusted."""
    return pd.DataFrame(
        {
            "model": pooled["model"],
            "metric": [METRICS[m].label for m in pooled["metric"]],
            "recordings": pooled["sessions"],
            "gain over the null": _intervals(pooled, "value", "low", "high"),
            "over best chain": _intervals(pooled, "gain_over_markov", "gain_low", "gain_high"),
            "p": [short_p(p, 0.0) for p in pooled["p_value"]],
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
