"""The comparison table: one row per recording and model, bytes depending on the study only."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import xarray as xr

from cortseq import recording as rec
from cortseq.errors import CortseqError
from cortseq.scoring.statistics import PairedDifference, blocks_of, holm, paired_difference

RESAMPLES = 10_000


@dataclass
class Scored:
    """A variant's scores on one fold, or joined over folds: nats per trial, (member, trial), events per trial."""

    variant: str
    model: str
    card: dict
    swept: dict = field(default_factory=dict)
    test: np.ndarray = field(default_factory=lambda: np.zeros((1, 0)))
    valid: np.ndarray = field(default_factory=lambda: np.zeros((1, 0)))
    test_events: np.ndarray = field(default_factory=lambda: np.zeros(0))
    valid_events: np.ndarray = field(default_factory=lambda: np.zeros(0))
    best: np.ndarray = field(default_factory=lambda: np.zeros(0))  # test, of the member best on validation
    best_member: int = 0
    test_seconds: float = 0.0

    @property
    def role(self) -> str:
        return self.card["role"]


def gather(
    variant: str, model: str, swept: dict, cards: list[dict], scores: list[xr.Dataset], burn_in: int
) -> list[Scored]:
    """A variant's scores summed over bins t >= burn_in, one Scored a fold."""
    return [_fold(variant, model, swept, c, s, burn_in) for c, s in zip(cards, scores, strict=True)]


def _fold(variant: str, model: str, swept: dict, card: dict, score: xr.Dataset, burn_in: int) -> Scored:
    late = score.isel(time=slice(burn_in, None))
    test, valid = (
        late.isel(trial=np.flatnonzero(score["role"].values == role)) for role in ("test", "valid")
    )
    sums = valid["log_prob"].sum("time").values
    best = int(sums.sum(1).argmax())
    return Scored(
        variant,
        model,
        card,
        swept,
        test=test["log_prob"].sum("time").values,
        valid=sums,
        test_events=test["n_events"].sum("time").values,
        valid_events=valid["n_events"].sum("time").values,
        best=test["log_prob"].isel(member=best).sum("time").values,
        best_member=best,
        test_seconds=float(test["log_prob"].isel(member=0).notnull().sum()) * score.attrs["bin_width"],
    )


def choose(variants: list[Scored]) -> Scored:
    """The variant with the best mean validation log-likelihood."""
    return max(variants, key=lambda v: v.valid.mean(0).sum())


def join(folds: list[Scored]) -> Scored:
    """One model's scores of all folds along trials; each fold may have chosen another variant.

    Folds may have lost members; only as many are kept as every fold has.
    """
    members = min(len(s.test) for s in folds)
    first = folds[0]
    return Scored(
        "/".join(dict.fromkeys(s.variant for s in folds)),
        first.model,
        first.card,
        first.swept,
        test=np.concatenate([s.test[:members] for s in folds], axis=1),
        valid=np.concatenate([s.valid[:members] for s in folds], axis=1),
        test_events=np.concatenate([s.test_events for s in folds]),
        valid_events=np.concatenate([s.valid_events for s in folds]),
        best=np.concatenate([s.best for s in folds]),
        best_member=first.best_member,
        test_seconds=sum(s.test_seconds for s in folds),
    )


def table(
    dataset: str,
    recording: xr.Dataset,
    folds: list[dict],
    scored: list[list[Scored]],
    burn_in: int,
    seed: int,
):
    """(rows of comparison.csv, rows of variants.csv) of one recording.

    `scored`: per variant, per fold. Everything that is chosen is chosen inside each fold: its validation
    trials are test trials of other folds.
    """
    per_fold = range(len(folds))
    names = list(dict.fromkeys(s[0].model for s in scored))
    chosen = {n: [choose([s[f] for s in scored if s[0].model == n]) for f in per_fold] for n in names}
    whole = {name: join(those) for name, those in chosen.items()}
    chains = [chosen[n] for n in names if chosen[n][0].role == "markov"]
    reference = join([choose([c[f] for c in chains]) for f in per_fold]) if chains else None
    null = whole["null"]
    if not null.test_events.sum() or not null.valid_events.sum():
        raise CortseqError(
            "no event of the validation and test trials is left to score",
            key=f"burn_in, of datasets.{dataset}",
            value=burn_in,
            fix="lower burn_in",
        )
    kind = rec.track(recording)
    limits = _limits(recording, folds, null, burn_in)
    tried = {n: sum(s[0].card.get("settings_tried", 1) for s in scored if s[0].model == n) for n in names}
    blocks = _blocks(recording, folds)
    rows = [
        _row(whole[n], null, reference, kind, recording, seed, blocks)
        | limits
        | {"dataset": dataset, "settings_tried": tried[n]}
        for n in names
    ]
    variants = [
        _variant_row(
            dataset, join(s), null, [c is mine for c, mine in zip(chosen[s[0].model], s, strict=True)], kind
        )
        for s in scored
    ]
    return rows, variants


def _blocks(recording: xr.Dataset, folds: list[dict]) -> np.ndarray:
    """Block of every test trial, folds after one another."""
    labels, following = [], 0
    for fold in folds:
        mine = blocks_of(fold["test"], bool(recording.attrs["continuous"]))
        labels.append(following + mine)
        following += int(mine.max()) + 1
    return np.concatenate(labels)


def finish(rows: list[dict]) -> pd.DataFrame:
    """All recordings together: Holm over the planned family (recurrent against chain), plain verdicts."""
    frame = pd.DataFrame(rows)
    planned = (frame["role"] == "recurrent") & frame["p_value"].notna()
    frame["p_holm"] = np.nan
    frame.loc[planned, "p_holm"] = holm(frame.loc[planned, "p_value"].to_numpy())
    frame["verdict"] = [_verdict(row) for row in frame.to_dict("records")]
    return frame[COLUMNS]


COLUMNS = (
    "dataset model variant family role metric value low high member_sd best_member best_member_value "
    "gain_over_markov gain_low gain_high p_value p_holm detectable_gain value_per_s loss parameters members "
    "settings_tried trials blocks n_events bin_ms true_rates ceiling reference verdict"
).split()


def _unit(kind: str) -> float:
    """Nats per unit of the metric: ln 2 for bits, 1 for nats."""
    return 1.0 if kind == "signal" else float(np.log(2))


def _row(s: Scored, null: Scored, reference, kind, recording, seed, blocks) -> dict:
    to_unit = float(np.log(2)) / _unit(kind)  # paired_difference speaks bits
    events = s.test_events
    over_null = paired_difference(s.test, null.test, events, RESAMPLES, seed, blocks)
    each = (s.test - null.test).sum(1) / (events.sum() * _unit(kind))
    row = {
        "model": s.model,
        "variant": s.variant,
        "family": s.card["model"]["family"],
        "role": s.role,
        "metric": rec.METRICS[kind],
        "value": over_null.estimate * to_unit,
        "low": over_null.low * to_unit,
        "high": over_null.high * to_unit,
        "member_sd": float(each.std(ddof=1)) if len(each) > 1 else np.nan,
        "best_member": s.best_member,
        "best_member_value": float((s.best - null.best).sum() / (events.sum() * _unit(kind))),
        "value_per_s": over_null.estimate * to_unit * events.sum() / s.test_seconds
        if kind == "counts"
        else np.nan,
        "loss": -float(s.test.mean(0).sum() / (events.sum() * _unit(kind))) if kind == "symbols" else np.nan,
        "parameters": s.card["parameters"],
        "members": len(s.test),
        "trials": len(events),
        "blocks": len(np.unique(blocks)),
        "n_events": int(events.sum()),
        "bin_ms": recording.attrs["bin_width"] * 1e3 if kind != "symbols" else np.nan,
        "reference": reference.variant if reference else "",
        **dict.fromkeys(("gain_over_markov", "gain_low", "gain_high", "p_value", "detectable_gain"), np.nan),
    }
    if reference is not None and (s.model, s.variant) != (reference.model, reference.variant):
        gain = paired_difference(s.test, reference.test, events, RESAMPLES, seed, blocks)
        row |= _gain(gain, to_unit)
    return row


def _gain(gain: PairedDifference, to_unit: float) -> dict:
    return {
        "gain_over_markov": gain.estimate * to_unit,
        "gain_low": gain.low * to_unit,
        "gain_high": gain.high * to_unit,
        "p_value": gain.p_value,
        "detectable_gain": gain.detectable * to_unit,
    }


def _limits(recording: xr.Dataset, folds: list[dict], null: Scored, burn_in: int) -> dict:
    """Scores of the generator's rates and of its exact one-step filter, over the same bins as the null."""
    out = {"true_rates": np.nan, "ceiling": np.nan}
    kind = rec.track(recording)
    sums: dict[str, float] = {}
    for fold in folds:
        part = recording.isel(trial=fold["test"], time=slice(burn_in, None))
        mask = part["valid"].values
        every = "units" not in fold or len(fold["units"]) == recording.sizes["unit"]
        if "ceiling" in part and every:
            sums["ceiling"] = sums.get("ceiling", 0.0) + float(part["ceiling"].values[mask].sum())
        if "true_rates" in part and kind == "counts":
            from cortseq.models.emissions import PoissonEmission

            part = part.isel(unit=fold["units"])
            rates = {"rate": part["true_rates"].transpose("trial", "time", "unit").values}
            exact = PoissonEmission(part.sizes["unit"]).log_prob(rates, rec.observations(part))
            sums["true_rates"] = sums.get("true_rates", 0.0) + float(exact[mask].sum())
    for name, total in sums.items():
        out[name] = (total - float(null.test.sum())) / (float(null.test_events.sum()) * _unit(kind))
    return out


def _variant_row(dataset: str, s: Scored, null: Scored, chosen: list[bool], kind: str) -> dict:
    def per_event(role: str) -> tuple[float, float]:
        mine, base = getattr(s, role).mean(0).sum(), getattr(null, role).mean(0).sum()
        scale = max(getattr(s, f"{role}_events").sum(), 1) * _unit(kind)
        return (mine - base) / scale, -mine / scale

    (valid, loss_valid), (test, loss_test) = per_event("valid"), per_event("test")
    return {
        "dataset": dataset,
        "model": s.model,
        "variant": s.variant,
        "family": s.card["model"]["family"],
        "role": s.role,
        "valid": valid,
        "test": test,
        "loss_valid": loss_valid,
        "loss_test": loss_test,
        "parameters": s.card["parameters"],
        "chosen": chosen[0],  # in the first fold, whose fits the figures show
        "folds_chosen": sum(chosen),
        **s.swept,
    }


UNITS = {"bits_per_spike": "bits/spike", "bits_per_symbol": "bits/symbol", "nats_per_sample": "nats/sample"}


def _verdict(row: dict) -> str:
    """One plain sentence."""
    unit = UNITS[row["metric"]]
    name = row["variant"]
    if row["role"] == "null":
        return f"{name} is the zero of the scale."
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
    return (
        f"{text}; a difference from the best chain {chain} is not shown ({gain:+.3f} {unit}, p = {p:.2g}, Holm; "
        f"{row['detectable_gain']:.3f} could have been detected)."
    )


def summary(frame: pd.DataFrame) -> list[str]:
    """One sentence per recording."""
    out = []
    for dataset, rows in frame.groupby("dataset", sort=False):
        unit = UNITS[rows["metric"].iloc[0]]
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
                f"; {len(winners)} of {int((live['role'] == 'recurrent').sum())} recurrent models beat the best "
                f"Markov chain ({best['reference']})"
            )
        out.append(text + ".")
    return out


def timing_row(dataset: str, card: dict, fold: int) -> dict:
    """A row of timing.csv: what fitting cost, and on what."""
    return {
        "dataset": dataset,
        "variant": card["variant"],
        "fold": fold,
        "seconds": card["seconds"],
        "peak_memory_mb": card["peak_memory_mb"],
        "device": card.get("device", "cpu"),
    }


def text(frame: pd.DataFrame) -> str:
    """The comparison table for a terminal."""
    out = []
    for dataset, rows in frame.groupby("dataset", sort=False):
        unit = UNITS[rows["metric"].iloc[0]]
        shown = pd.DataFrame(
            {
                "model": rows["variant"],
                unit: [_interval(r.value, r.low, r.high) for r in rows.itertuples()],
                "over best chain": [
                    _interval(r.gain_over_markov, r.gain_low, r.gain_high) for r in rows.itertuples()
                ],
                "p (Holm)": ["" if np.isnan(p) else f"{p:.2g}" for p in rows["p_holm"]],
                "parameters": rows["parameters"],
                "members": rows["members"],
            }
        ).iloc[np.argsort(-rows["value"].to_numpy(), kind="stable")]
        limits = [
            f"{name} {rows[column].iloc[0]:.3f}"
            for name, column in (("exact filter", "ceiling"), ("true rates", "true_rates"))
            if not np.isnan(rows[column].iloc[0])
        ]
        n, blocks = rows["trials"].iloc[0], rows["blocks"].iloc[0]
        trials = f"{n} test trials" if blocks == n else f"{n} test windows in {blocks} blocks"
        head = f"{dataset}: {trials}, {rows['n_events'].iloc[0]} events"
        out += ["; ".join([head, *limits]), shown.to_string(index=False, justify="left"), ""]
    return "\n".join([*out, *summary(frame)])


def _interval(value: float, low: float, high: float) -> str:
    return "" if np.isnan(value) else f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"
