"""Tables of a study as a terminal and the report show them."""

from __future__ import annotations

import textwrap

import numpy as np

from cortseq import numbers
from cortseq._lazy import pd
from cortseq.checks import tally
from cortseq.metrics import METRICS
from cortseq.scoring import failures, notes, words

WIDTH = 100  # letters of a line of `short`
_BRACKETS = "Brackets hold 95 % intervals; p is adjusted for all networks of the study (Holm)."


def short(frame: pd.DataFrame, pooled: pd.DataFrame | None = None) -> str:
    """Return the comparison in lines of at most 100 letters: scores and tests, without rows of averages.

    Parameters
    ----------
    frame : comparison.csv.
    pooled : sessions.csv; None: of one recording there is none.
    """
    out: list[str] = []
    summary = words.summary(frame)
    known, failed = failures.split(frame)
    for _, rows in known[~known["averaged"].astype(bool)].groupby("dataset", sort=False):
        rows = _best_first(rows)
        out += [_head(rows), notes.references(rows.iloc[0].to_dict()), "", *_table(_narrow(rows)), ""]
    out += [_BRACKETS, *([notes.ONE_SPLIT] * bool((known["folds"] == 1).any())), ""]
    if pooled is not None and len(pooled):
        out += ["Across recordings, each weighing the same:", "", *_table(_narrow_pooled(pooled)), ""]
    lines = [*out, *summary, *_lost(failed)]
    return "\n".join(part for line in lines for part in _wrapped(line))


def _wrapped(line: str) -> list[str]:
    """Return a sentence in lines of at most WIDTH letters; a line of a table is short enough."""
    if len(line) <= WIDTH:
        return [line]
    return textwrap.wrap(line, WIDTH, break_long_words=False, break_on_hyphens=False)


def _narrow(rows: pd.DataFrame) -> dict[str, list[str]]:
    """Return scores, and differences with their intervals and adjusted p, by the heads of their columns."""
    chain = "over the null" if (rows["reference"] == "null").all() else "over the best chain"
    tests = (("p_holm", "smallest_p"), ("rival_p_holm", "rival_smallest_p"))
    chain_p, rival_p = (
        [short_p(p, least) for p, least in zip(rows[p], rows[smallest], strict=True)] for p, smallest in tests
    )
    return {
        "model": [_cut(name) for name in _names(rows)],
        METRICS[rows["metric"].iloc[0]].label: [numbers.written(value) for value in rows["value"]],
        chain: _plain_intervals(rows, "gain_over_markov", "gain_low", "gain_high"),
        "p": chain_p,
        "over best non-network": _plain_intervals(rows, "gain_over_rival", "rival_low", "rival_high"),
        "p ": rival_p,
    }


def _narrow_pooled(pooled: pd.DataFrame) -> dict[str, list[str]]:
    """Return sessions.csv by the heads of its columns."""
    return {
        "model": [_cut(str(name)) for name in pooled["model"]],
        "recordings": [str(n) for n in pooled["sessions"]],
        "over the null": _plain_intervals(pooled, "value", "low", "high"),
        "over the best chain": _plain_intervals(pooled, "gain_over_markov", "gain_low", "gain_high"),
        "p": [short_p(p, 0.0) for p in pooled["p_value"]],
    }


_NAME = 24  # letters of a name; a longer one keeps its start and its end


def _cut(name: str) -> str:
    return name if len(name) <= _NAME else f"{name[: _NAME // 2]}…{name[1 - _NAME // 2 :]}"


def _plain_intervals(rows: pd.DataFrame, value: str, low: str, high: str) -> list[str]:
    each = zip(rows[value], rows[low], rows[high], strict=True)
    written = numbers.written
    return ["" if np.isnan(v) else f"{written(v)} [{written(a)}, {written(b)}]" for v, a, b in each]


def _table(columns: dict[str, list[str]]) -> list[str]:
    """Return lines of columns, two blanks apart; names to the left, numbers to the right."""
    shown = {head: cells for head, cells in columns.items() if any(cells)}
    widths = [max(map(len, [head.rstrip(), *cells])) for head, cells in shown.items()]
    lines = [[head.rstrip() for head in shown], *zip(*shown.values(), strict=True)]
    apart = [zip(line[1:], widths[1:], strict=True) for line in lines]
    return [
        "  ".join([line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in cells)]).rstrip()
        for line, cells in zip(lines, apart, strict=True)
    ]


def _best_first(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.iloc[np.argsort(-rows["value"].to_numpy(), kind="stable")]


def _head(rows: pd.DataFrame) -> str:
    """Return the line above a table: what was tested, and what is attainable where that is known."""
    first = rows.iloc[0]
    limits = [
        f"{name} {first[column]:.3f}"
        for name, column in (("exact filter", "ceiling"), ("true rates", "true_rates"))
        if not np.isnan(first[column])
    ]
    head = f"{first['dataset']}: {first['trials']} test trials, {first['n_events']} events"
    return "; ".join([head, *limits, blocks(rows)])


def _lost(failed: pd.DataFrame) -> list[str]:
    return [f"{row.dataset}: {row.variant} {row.verdict}" for row in failed.itertuples()]


def text(frame: pd.DataFrame, pooled: pd.DataFrame | None = None) -> str:
    """Return the whole comparison for a wide terminal, in every convention; `pooled`: sessions.csv."""
    out, lines = [], words.summary(frame)
    frame, failed = failures.split(frame)
    for _, rows in frame.groupby("dataset", sort=False):
        rows = _best_first(rows)
        out.append(_head(rows))
        for shown in (_main_columns(rows), _other_columns(rows)):
            out += [shown.to_string(index=False, justify="left"), ""]
    out += notes.under_table(frame)
    if pooled is not None and len(pooled):
        out += [
            "Across recordings, each weighing the same:",
            pooled_columns(pooled).to_string(index=False),
            "",
        ]
    return "\n".join([*out, *lines, *_lost(failed)])


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
    chain = (~tested["reference"].fillna("").isin(["", "null"])).any()
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
