"""The comparison table: one row per recording and model, bytes depending on the study only."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from cortseq import recording as rec
from cortseq.data import Data
from cortseq.errors import CortseqError
from cortseq.metrics import METRICS
from cortseq.observations import Track, distribution, emission_of
from cortseq.scoring import products
from cortseq.scoring.ladder import rung
from cortseq.scoring.statistics import (
    MARGIN,
    PairedDifference,
    Session,
    across_sessions,
    blocks_of,
    expected_best,
    holm,
    paired,
)
from cortseq.scoring.words import verdict

RESAMPLES = 10_000
_BY_MEMBER, _BY_TRIAL = partial(np.zeros, (1, 0)), partial(np.zeros, 0)  # no trial yet


@dataclass
class Scored:
    """A variant's scores on one fold, or joined over folds: nats per trial, (member, trial), events per trial."""

    variant: str
    model: str
    card: dict[str, Any]
    swept: dict[str, Any] = field(default_factory=dict)
    test: np.ndarray = field(default_factory=_BY_MEMBER)
    valid: np.ndarray = field(default_factory=_BY_MEMBER)
    test_events: np.ndarray = field(default_factory=_BY_TRIAL)
    valid_events: np.ndarray = field(default_factory=_BY_TRIAL)
    best: np.ndarray = field(default_factory=_BY_TRIAL)  # test, of the member best on validation
    best_member: int = 0
    test_seconds: float = 0.0
    cold: np.ndarray = field(default_factory=_BY_MEMBER)  # test, from the first bin on whatever the burn-in
    cold_events: np.ndarray = field(default_factory=_BY_TRIAL)
    mean_rate: np.ndarray = field(
        default_factory=_BY_MEMBER
    )  # test, sum_n log Pois(y_n; E[y_n]); no trial on other tracks
    units: pd.DataFrame = field(default_factory=pd.DataFrame)  # by unit: nats (mean over members) and events
    averaged: Scored | None = None  # of the members' mean prediction, where there are several

    @property
    def role(self) -> str:
        return self.card["role"]


def gather(
    variant: str,
    model: str,
    swept: dict[str, Any],
    cards: list[dict[str, Any]],
    scores: list[xr.Dataset],
    burn_in: int,
) -> list[Scored]:
    """A variant's scores summed over bins t >= burn_in, one Scored a fold.

    Raises CortseqError where a product was scored with another burn-in than the study's.
    """
    folds = []
    for card, score in zip(cards, scores, strict=True):
        if score.attrs["burn_in"] != burn_in:
            raise CortseqError(
                f"{variant} was scored with another burn-in than the study's {burn_in}",
                key="burn_in",
                value=score.attrs["burn_in"],
                fix="run the score stage again",
            )
        scored = _fold(variant, model, swept, card, score, burn_in)
        if len(scored.test) > 1:
            names = f"{variant}_averaged", f"{model}_averaged"
            scored.averaged = _fold(*names, swept, card, products.averaged(score), burn_in)
        folds.append(scored)
    return folds


def _fold(
    variant: str, model: str, swept: dict[str, Any], card: dict[str, Any], score: xr.Dataset, burn_in: int
) -> Scored:
    test, valid = (score.isel(trial=np.flatnonzero(score["role"].values == r)) for r in ("test", "valid"))
    late, late_valid = (part.isel(time=slice(burn_in, None)) for part in (test, valid))
    sums = late_valid["log_prob"].sum("time").values
    best = int(sums.sum(1).argmax())
    scored = Scored(
        variant,
        model,
        card,
        swept,
        test=late["log_prob"].sum("time").values,
        valid=sums,
        test_events=late["n_events"].sum("time").values,
        valid_events=late_valid["n_events"].sum("time").values,
        best=late["log_prob"].isel(member=best).sum("time").values,
        best_member=best,
        test_seconds=float(late["log_prob"].isel(member=0).notnull().sum()) * score.attrs["bin_width"],
        cold=test["log_prob"].sum("time").values,
        cold_events=test["n_events"].sum("time").values,
    )
    if "mean_rate" in score:
        nats, events = test["unit_score"].mean("member").sum("trial"), test["unit_events"].sum("trial")
        scored.mean_rate = late["mean_rate"].sum("time").values
        scored.units = pd.DataFrame({"nats": nats.values, "events": events.values}, score["unit"].values)
    return scored


def choose(variants: list[Scored]) -> Scored:
    """The variant with the best mean validation log-likelihood."""
    return max(variants, key=lambda v: v.valid.mean(0).sum())


def join(folds: list[Scored]) -> Scored:
    """One model's scores of all folds along trials; each fold may have chosen another variant.

    Folds may have lost members; only as many are kept as every fold has.
    """
    members = min(len(s.test) for s in folds)
    units = pd.concat([s.units for s in folds])

    def along(name: str) -> np.ndarray:
        parts = [getattr(s, name) for s in folds]
        return np.concatenate([p[:members] if p.ndim == 2 else p for p in parts], axis=-1)

    each = [s.averaged for s in folds if s.averaged is not None]
    joined: dict[str, Any] = {name: along(name) for name in _PER_TRIAL}
    return replace(
        folds[0],
        variant="/".join(dict.fromkeys(s.variant for s in folds)),
        **joined,
        test_seconds=sum(s.test_seconds for s in folds),
        units=units.groupby(level=0, sort=False).sum() if len(units) else units,
        averaged=join(each) if len(each) == len(folds) else None,
    )


_PER_TRIAL = "test valid test_events valid_events best cold cold_events mean_rate".split()


@dataclass
class Tables:
    """What one recording adds to the tables of the study."""

    rows: list[dict[str, Any]]  # comparison.csv
    variants: list[dict[str, Any]]  # variants.csv
    budget: list[dict[str, Any]]  # budget.csv
    sessions: list[dict[str, Any]]  # a model each: what pooling over recordings needs


def table(
    dataset: str,
    recording: xr.Dataset,
    folds: list[dict[str, Any]],
    scored: list[list[Scored]],
    burn_in: int,
    seed: int,
) -> Tables:
    """The tables of one recording.

    `scored`: per variant, per fold. Everything that is chosen is chosen inside each fold: its validation
    trials are test trials of other folds.
    """
    per_fold = range(len(folds))
    names = list(dict.fromkeys(s[0].model for s in scored))
    entries = {n: [s for s in scored if s[0].model == n] for n in names}
    chosen = {n: [choose([s[f] for s in entries[n]]) for f in per_fold] for n in names}
    whole = {name: join(those) for name, those in chosen.items()}
    chains = [chosen[n] for n in names if chosen[n][0].role == "markov"]
    reference = join([choose([c[f] for c in chains]) for f in per_fold]) if chains else None
    others = [chosen[n] for n in names if chosen[n][0].role in ("markov", "baseline")]
    rival = join([choose([c[f] for c in others]) for f in per_fold]) if others else None
    null = whole["null"]
    if not null.test_events.sum() or not null.valid_events.sum():
        raise CortseqError(
            "no event of the validation and test trials is left to score",
            key=f"burn_in, of datasets.{dataset}",
            value=burn_in,
            fix="lower burn_in",
        )
    kind, evaluation = rec.kind(recording), _evaluation_null(recording, folds, burn_in)
    blocks, width = _blocks(recording, folds), recording.attrs["bin_width"]
    margin = MARGIN * (recording.sizes["channel"] if kind.has_scale else 1)
    given = _Given(null, reference, rival, evaluation, kind, width, seed, blocks, margin)
    common = _limits(recording, folds, null, burn_in) | {"dataset": dataset}
    rows = [row | common for n in names for row in _rows(whole[n], entries[n], given)]
    variants = [
        _variant_row(
            dataset, join(s), null, [c is mine for c, mine in zip(chosen[s[0].model], s, strict=True)], kind
        )
        for s in scored
    ]
    budget = [row for n in names for row in _budget_rows(dataset, entries[n], chosen["null"], kind)]
    return Tables(rows, variants, budget, [_session(dataset, whole[n], given) for n in names])


@dataclass(frozen=True)
class _Given:
    """What every row of a recording is measured against."""

    null: Scored
    reference: Scored | None  # the best chain on validation
    rival: Scored | None  # the best of all models that are no networks: chains, HMMs, regressions, floors
    evaluation_null: dict[str, Any]  # nats of the evaluated trials under their own mean: joint and mean_rate
    kind: Track
    bin_width: float
    seed: int
    blocks: np.ndarray
    margin: float

    @property
    def unit(self) -> float:
        """Nats per unit of the metric: ln 2 for bits, 1 for nats."""
        return self.kind.unit_nats

    def difference(self, a: np.ndarray, b: np.ndarray, events: np.ndarray) -> PairedDifference:
        """The paired difference in units of the metric."""
        return paired(a, b, events, RESAMPLES, self.seed, self.blocks).per(self.unit)


def _blocks(recording: xr.Dataset, folds: list[dict[str, Any]]) -> np.ndarray:
    """Block of every test trial, folds after one another."""
    labels, following = [], 0
    for fold in folds:
        mine = blocks_of(fold["test"], bool(recording.attrs["continuous"]))
        labels.append(following + mine)
        following += int(mine.max()) + 1
    return np.concatenate(labels)


def finish(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """All recordings together: Holm over each planned family (recurrent against chain, against rival), plain verdicts."""
    frame = pd.DataFrame(rows)
    for p, adjusted in (("p_value", "p_holm"), ("rival_p", "rival_p_holm")):
        planned = (frame["role"] == "recurrent") & frame[p].notna() & ~frame["averaged"]
        frame[adjusted] = np.nan
        frame.loc[planned, adjusted] = holm(frame.loc[planned, p].to_numpy())
    frame["verdict"] = [verdict(row) for row in frame.to_dict("records")]
    return frame[list(COLUMNS)]


# Columns of comparison.csv. `metric` names the unit of every score; empty cells: does not apply.
COLUMNS = {
    "dataset": "the recording",
    "model": "entry of the study; <entry>_averaged for its members' mean prediction",
    "variant": "the setting of the sweep that is best on validation (a/b where folds chose differently)",
    "family": "the model's family",
    "role": "recurrent, markov, baseline or null",
    "rung": "of the ladder of baselines, L0 to L7 (scoring/ladder.py)",
    "averaged": "True: an extra row, log (1/M) sum_m p_m per bin; no model of its own, not in the Holm family",
    "metric": "bits_per_spike, bits_per_symbol or nats_per_sample",
    "value": "joint log-likelihood over the null of training means, per event, mean over members; bins t >= burn_in",
    "low": "lower end of its 95 % bootstrap interval over trials (or blocks) and members",
    "high": "upper end",
    "member_sd": "standard deviation of `value` over members",
    "best_member": "the member that is best on validation",
    "best_member_value": "its value",
    "value_evaluation_null": "`value` over a null with the mean of the evaluated trials (benchmark convention)",
    "value_cold": "`value` over all bins, from a cold start; equals it where burn_in is 0",
    "value_per_s": "`value` in bits per second (counts)",
    "mean_rate": "sum_n log Pois(y_n; E[y_n | past]) over the null, bits per spike (counts)",
    "mean_rate_evaluation_null": "the same over the evaluated trials' mean: the Neural Latents Benchmark's number",
    "unit_mean": "mean over units of each unit's mean-rate bits per spike over its own null (counts)",
    "units_scored": "units in that mean",
    "units_silent": "units left out of it: no spike in the scored test bins",
    "gain_over_markov": "`value` minus that of the chain that is best on validation (`reference`)",
    "gain_low": "lower end of its 95 % interval",
    "gain_high": "upper end",
    "p_value": "of the sign-flip test of that difference, two-sided",
    "p_holm": "Holm-adjusted over all recurrent models and recordings of the study",
    "detectable_gain": "the gain that so many trials detect with power 0.8 at level 0.05",
    "equivalence_margin": "0.01 per event (times the channels on signals)",
    "equivalence_p": "of two one-sided tests that the difference from the chain is inside the margin",
    "equivalent": "True where equivalence_p < 0.05",
    "rival": "the model that is no network and best on validation: chain, HMM, regression or floor",
    "gain_over_rival": "`value` minus the rival's",
    "rival_low": "lower end of its 95 % interval",
    "rival_high": "upper end",
    "rival_p": "of the sign-flip test of that difference, two-sided",
    "rival_p_holm": "Holm-adjusted over all recurrent models and recordings of the study",
    "loss": "the model's own bits per symbol, lower is better (symbols)",
    "parameters": "learned, per member",
    "members": "random restarts that the numbers are means over",
    "settings_tried": "settings compared on validation",
    "trials": "test trials",
    "blocks": "independent pieces that are resampled",
    "n_events": "spikes, symbols or samples that are scored",
    "bin_ms": "bin width (not on symbols)",
    "true_rates": "value of the generator's true rates (synthetic)",
    "ceiling": "value of the generator's exact one-step filter (synthetic)",
    "reference": "the chain that gains are measured from",
    "verdict": "one sentence",
}
_GAINS = (
    "gain_over_markov gain_low gain_high p_value detectable_gain equivalence_margin equivalence_p "
    "gain_over_rival rival_low rival_high rival_p".split()
)


def _rows(whole: Scored, variants: list[list[Scored]], given: _Given) -> list[dict[str, Any]]:
    """The row of a model, and that of its members averaged where there are several."""
    spec, orders = whole.card["model"], {s[0].card["model"].get("order") for s in variants}
    extra = {
        "settings_tried": sum(s[0].card.get("settings_tried", 1) for s in variants),
        "rung": rung(spec, whole.role, order_chosen=len(orders) > 1),
    }
    return [
        _row(s, given) | extra | {"averaged": s is not whole}
        for s in (whole, whole.averaged)
        if s is not None
    ]


def _row(s: Scored, given: _Given) -> dict[str, Any]:
    null, kind, events = given.null, given.kind, s.test_events
    total = events.sum() * given.unit
    over_null = given.difference(s.test, null.test, events)
    each = (s.test - null.test).sum(1) / total
    row = {
        "model": s.model,
        "variant": s.variant,
        "family": s.card["model"]["family"],
        "role": s.role,
        "metric": kind.metric,
        "value": over_null.estimate,
        "low": over_null.low,
        "high": over_null.high,
        "member_sd": float(each.std(ddof=1)) if len(each) > 1 else np.nan,
        "best_member": s.best_member,
        "best_member_value": float((s.best - null.best).sum() / total),
        "value_evaluation_null": float((s.test.mean(0).sum() - given.evaluation_null["joint"]) / total),
        "value_cold": float((s.cold.mean(0) - null.cold[0]).sum() / (s.cold_events.sum() * given.unit)),
        "value_per_s": over_null.estimate * events.sum() / s.test_seconds if kind.has_events else np.nan,
        "loss": -float(s.test.mean(0).sum() / total) if kind.has_labels else np.nan,
        "parameters": s.card["parameters"],
        "members": len(s.test),
        "trials": len(events),
        "blocks": len(np.unique(given.blocks)),
        "n_events": int(events.sum()),
        "bin_ms": given.bin_width * 1e3 if kind.timed else np.nan,
        "reference": given.reference.variant if given.reference else "",
        "rival": given.rival.variant if given.rival else "",
        "equivalent": False,
        **dict.fromkeys([*_GAINS, *_RATES], np.nan),
    }
    if kind.has_events:
        row |= _rates(s, given, total)
    chain = given.reference
    if chain is not None and (s.model, s.variant) != (chain.model, chain.variant):
        row |= _gain(given.difference(s.test, chain.test, events), given.margin)
    rival = given.rival
    if rival is not None and (s.model, s.variant) != (rival.model, rival.variant):
        gain = given.difference(s.test, rival.test, events)
        found = (gain.estimate, gain.low, gain.high, gain.p_value)
        row |= dict(zip(("gain_over_rival", "rival_low", "rival_high", "rival_p"), found, strict=True))
    return row


_RATES = "mean_rate mean_rate_evaluation_null unit_mean units_scored units_silent".split()


def _rates(s: Scored, given: _Given, total: float) -> dict[str, Any]:
    """Scores of the expected counts alone: pooled, and the mean over units with test spikes."""
    mine = s.mean_rate.mean(0).sum()
    live = s.units["events"] > 0
    gain = (s.units["nats"] - given.null.units["nats"])[live] / (s.units["events"][live] * given.unit)
    return {
        "mean_rate": float((mine - given.null.mean_rate[0].sum()) / total),
        "mean_rate_evaluation_null": float((mine - given.evaluation_null["mean_rate"]) / total),
        "unit_mean": float(gain.mean()),
        "units_scored": int(live.sum()),
        "units_silent": int((~live).sum()),
    }


def _gain(gain: PairedDifference, margin: float) -> dict[str, Any]:
    p = gain.equivalence(margin)
    return {
        "gain_over_markov": gain.estimate,
        "gain_low": gain.low,
        "gain_high": gain.high,
        "p_value": gain.p_value,
        "detectable_gain": gain.detectable,
        "equivalence_margin": margin,
        "equivalence_p": p,
        "equivalent": bool(p < 0.05),
    }


def _evaluation_null(recording: xr.Dataset, folds: list[dict[str, Any]], burn_in: int) -> dict[str, Any]:
    """Nats of the scored test bins under the null fitted to those very bins, summed over folds."""
    total = {"joint": 0.0, "mean_rate": 0.0}
    for fold in folds:
        part = recording.isel(trial=fold["test"], time=slice(burn_in, None))
        part = part.isel({dim: fold[dim + "s"] for dim in ("unit", "channel") if dim + "s" in fold})
        data = Data.of(part)
        if not data.valid.any():
            continue
        emissions = {"joint": emission_of(data)}
        if data.kind.has_events:
            emissions["mean_rate"] = distribution(data.kind.default)(data.n_features)
        for name, emission in emissions.items():
            nats = emission.log_prob(emission.estimate(data.y, data.valid), data.y)
            total[name] += float(nats[data.valid].sum())
    return total


def _session(dataset: str, s: Scored, given: _Given) -> dict[str, Any]:
    chain = given.reference if given.reference and given.reference.model != s.model else None
    return {
        "dataset": dataset,
        "model": s.model,
        "role": s.role,
        "metric": given.kind.metric,
        "bin_ms": given.bin_width * 1e3 if given.kind.timed else np.nan,
        "over_null": Session(s.test, given.null.test, s.test_events, given.blocks),
        "over_chain": chain and Session(s.test, chain.test, s.test_events, given.blocks),
    }


SESSION_COLUMNS = (
    "metric bin_ms model role sessions value low high gain_over_markov gain_low gain_high p_value"
)


def sessions(parts: list[dict[str, Any]], seed: int) -> pd.DataFrame:
    """sessions.csv: every model pooled over the recordings of one metric and bin width, where there are several.

    `parts`: the `sessions` of all `Tables`. Each recording weighs the same (`across_sessions`). Gains are over
    each recording's own best chain; p_value is that of the gain.
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
        value = across_sessions([s["over_null"] for s in same], seed=seed).per(unit)
        row = {key: first[key] for key in ("metric", "bin_ms", "model", "role")} | {
            "sessions": len(same),
            "value": value.estimate,
            "low": value.low,
            "high": value.high,
        }
        if all(s["over_chain"] is not None for s in same):
            gain = across_sessions([s["over_chain"] for s in same], seed=seed).per(unit)
            row |= {
                "gain_over_markov": gain.estimate,
                "gain_low": gain.low,
                "gain_high": gain.high,
                "p_value": gain.p_value,
            }
        rows.append(row)
    return pd.DataFrame(rows, columns=SESSION_COLUMNS.split())


BUDGET_COLUMNS = "dataset model settings expected_test".split()


def _budget_rows(
    dataset: str, variants: list[list[Scored]], nulls: list[Scored], kind: Track
) -> list[dict[str, Any]]:
    """Expected test score of the variant chosen on validation among n of the sweep, n = 1 .. all; summed over folds."""
    curve = np.zeros(len(variants))
    for f, null in enumerate(nulls):
        valid, test = (
            np.array([getattr(v[f], r).mean(0).sum() for v in variants]) for r in ("valid", "test")
        )
        curve += expected_best(valid, test - null.test[0].sum())
    scale = sum(n.test_events.sum() for n in nulls) * kind.unit_nats
    return [
        dict(zip(BUDGET_COLUMNS, (dataset, variants[0][0].model, n, x / scale), strict=True))
        for n, x in enumerate(curve, 1)
    ]


def _limits(recording: xr.Dataset, folds: list[dict[str, Any]], null: Scored, burn_in: int) -> dict[str, Any]:
    """Scores of the generator's rates and of its exact one-step filter, over the same bins as the null.

    The filter is that of all units: none where a fold dropped some.
    """
    out = {"true_rates": np.nan, "ceiling": np.nan}
    kind = rec.kind(recording)
    every = all("units" not in f or len(f["units"]) == recording.sizes["unit"] for f in folds)
    sums: dict[str, float] = {}
    for fold in folds:
        part = recording.isel(trial=fold["test"], time=slice(burn_in, None))
        mask = part["valid"].values
        if "ceiling" in part and every:
            sums["ceiling"] = sums.get("ceiling", 0.0) + float(part["ceiling"].values[mask].sum())
        if "true_rates" in part and kind.has_events:
            part = part.isel(unit=fold["units"])
            rates = {"rate": part["true_rates"].transpose("trial", "time", "unit").values}
            exact = distribution(kind.default)(part.sizes["unit"]).log_prob(rates, rec.observations(part))
            sums["true_rates"] = sums.get("true_rates", 0.0) + float(exact[mask].sum())
    for name, total in sums.items():
        out[name] = (total - float(null.test.sum())) / (float(null.test_events.sum()) * kind.unit_nats)
    return out


def _variant_row(dataset: str, s: Scored, null: Scored, chosen: list[bool], kind: Track) -> dict[str, Any]:
    def per_event(role: str) -> tuple[float, float]:
        mine, base = getattr(s, role).mean(0).sum(), getattr(null, role).mean(0).sum()
        scale = max(getattr(s, f"{role}_events").sum(), 1) * kind.unit_nats
        return (mine - base) / scale, -mine / scale

    (valid, loss_valid), (test, loss_test) = per_event("valid"), per_event("test")
    return {
        "dataset": dataset,
        "model": s.model,
        "variant": s.variant,
        "family": s.card["model"]["family"],
        "role": s.role,
        "rung": rung(s.card["model"], s.role),
        "valid": valid,
        "test": test,
        "loss_valid": loss_valid,
        "loss_test": loss_test,
        "parameters": s.card["parameters"],
        "chosen": chosen[0],  # in the first fold, whose fits the figures show
        "folds_chosen": sum(chosen),
        **s.swept,
    }


def timing_row(dataset: str, card: dict[str, Any], fold: int) -> dict[str, Any]:
    """A row of timing.csv: what fitting cost, and on what."""
    return {
        "dataset": dataset,
        "variant": card["variant"],
        "fold": fold,
        "seconds": card["seconds"],
        "peak_memory_mb": card["peak_memory_mb"],
        "device": card.get("device", "cpu"),
    }
