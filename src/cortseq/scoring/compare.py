"""The comparison table: one row per recording and model, bytes depending on the study only.

`scored` reads the scores, `rows` makes the rows of comparison.csv, `sessions` pools recordings. This module
puts the tables of one recording together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cortseq import recording as rec
from cortseq._lazy import pd, xr
from cortseq.data import Data
from cortseq.errors import CortseqError
from cortseq.observations import Track, distribution, emission_of
from cortseq.scoring import blocks, corners, together
from cortseq.scoring.ladder import rung
from cortseq.scoring.rows import COLUMNS, OPPONENTS, References, model_rows
from cortseq.scoring.scored import Scored, best, choose, gather, join, shares
from cortseq.scoring.sessions import session, sessions
from cortseq.scoring.statistics import LEVEL, MARGIN, expected_best, holm
from cortseq.scoring.words import judged

__all__ = [
    "COLUMNS",
    "Scored",
    "Tables",
    "choose",
    "finish",
    "gather",
    "join",
    "sessions",
    "table",
    "timing_row",
]

RESAMPLES = 10_000


@dataclass
class Tables:
    """What one recording adds to the tables of the study."""

    rows: list[dict[str, Any]]  # comparison.csv
    variants: list[dict[str, Any]]  # variants.csv
    budget: list[dict[str, Any]]  # budget.csv
    sessions: list[dict[str, Any]]  # a model each: what pooling over recordings needs
    corners: list[dict[str, Any]]  # corners.csv
    together: list[dict[str, Any]]  # together.csv: what the differences of a session are made of


def table(
    dataset: str,
    recording: xr.Dataset,
    folds: list[dict[str, Any]],
    scored: list[list[Scored]],
    burn_in: int,
    seed: int,
) -> Tables:
    """Return the tables of one recording.

    Every choice is made inside a fold, because its validation trials are test trials of other folds.

    Parameters
    ----------
    dataset : name of the recording.
    folds : roles of each fold, positions of trials.
    scored : per variant, per fold.
    burn_in : bins at the start of a trial that are not scored.
    seed : of the sign flips.

    Raises
    ------
    CortseqError : no event of the validation and test trials is left to score.
    """
    per_fold = range(len(folds))
    names = list(dict.fromkeys(s[0].model for s in scored))
    entries = {n: [s for s in scored if s[0].model == n] for n in names}
    chosen = {n: [choose([s[f] for s in entries[n]]) for f in per_fold] for n in names}
    whole = {name: join(those) for name, those in chosen.items()}
    chains, others = ([n for n in names if chosen[n][0].role in roles] for roles in (_CHAINS, _OTHERS))
    # the null is among them: a chain that loses to a constant is nothing to beat
    reference, rival = (
        best([chosen[n] for n in [*some, "null"]]) if some else None for some in (chains, others)
    )
    null = whole["null"]
    if not null.test_events.sum() or not null.valid_events.sum():
        raise CortseqError(
            "no event of the validation and test trials is left to score",
            key=f"burn_in, of datasets.{dataset}",
            value=burn_in,
            fix="lower burn_in",
        )
    kind, evaluation = rec.kind(recording), _evaluation_null(recording, folds, burn_in)
    place = blocks.place([fold["test"] for fold in folds], bool(recording.attrs["continuous"]))
    width = recording.attrs["bin_width"]
    margin = MARGIN * (recording.sizes["channel"] if kind.has_scale else 1)
    given = References(null, reference, rival, evaluation, kind, width, seed, place, margin, RESAMPLES)
    common = _limits(recording, folds, null, burn_in) | {"dataset": dataset, "folds": len(folds)}
    again = {n: np.array([shares([s[f] for s in entries[n]], seed) for f in per_fold]) for n in names}
    rows, variants = [], []
    for n in names:
        picked = np.array([[s[f] is chosen[n][f] for s in entries[n]] for f in per_fold])
        stability = float(again[n][picked].mean()) if len(entries[n]) > 1 else np.nan
        rows += [row | common for row in model_rows(whole[n], entries[n], given, stability)]
        for i, s in enumerate(entries[n]):
            row = _variant_row(dataset, join(s), null, picked[:, i].tolist(), kind)
            variants.append(row | {"share_chosen": float(again[n][:, i].mean())})
    budget = [row for n in names for row in _budget_rows(dataset, entries[n], chosen["null"], kind)]
    four = [row | {"dataset": dataset} for row in corners.rows(scored, given)]
    pooled = [session(dataset, whole[n], given) for n in names]
    return Tables(rows, variants, budget, pooled, four, together.parts(dataset, scored, given))


_CHAINS = ("markov",)
_OTHERS = ("markov", "baseline")


def finish(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return comparison.csv of all recordings: adds p-values by Holm over each planned family, and verdicts.

    The families are recurrent models against the null, against the chain, and against the rival.
    """
    frame = pd.DataFrame(rows)
    recurrent = (frame["role"] == "recurrent") & ~frame["averaged"].astype(bool)
    for columns in OPPONENTS.values():
        planned = recurrent & frame[columns.p].notna()
        frame[columns.p_holm] = np.nan
        for raw, adjusted in ((columns.p, columns.p_holm), (columns.smallest_p, columns.smallest_p)):
            frame.loc[planned, adjusted] = holm(frame.loc[planned, raw].to_numpy(float))
        frame.loc[~(frame[columns.smallest_p] < LEVEL), columns.detectable] = np.nan
    return pd.DataFrame([judged(row) for row in frame.to_dict("records")])[list(COLUMNS)]


def _evaluation_null(recording: xr.Dataset, folds: list[dict[str, Any]], burn_in: int) -> dict[str, Any]:
    """Nats of the scored test bins under the null fitted to those very bins, summed over folds."""
    total = {"joint": 0.0, "mean_rate": 0.0}
    for fold in folds:
        part = recording.isel(trial=fold["test"], time=slice(burn_in, None))
        part = part.isel({dim: fold[dim + "s"] for dim in ("unit", "channel") if dim + "s" in fold})
        data = Data.of(part, driven=False, compact=True)
        if not data.valid.any():
            continue
        emissions = {"joint": emission_of(data)}
        if data.kind.has_events:
            emissions["mean_rate"] = distribution(data.kind.default)(data.n_features)
        for name, emission in emissions.items():
            found = emission.estimate(data.y, data.valid)
            nats = np.concatenate([emission.log_prob(found, block.y) for _, block in data.blocks()])
            total[name] += float(nats[data.valid].sum())
    return total


BUDGET_COLUMNS = "dataset model settings expected_test".split()


def _budget_rows(
    dataset: str, variants: list[list[Scored]], nulls: list[Scored], kind: Track
) -> list[dict[str, Any]]:
    """Return the expected test score of the best on validation of n variants, n = 1 .. all, all folds."""
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
    spec = s.card["model"]
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
        "context": spec.get("order", spec.get("depth")),  # labels that a chain looks back
        "chosen": chosen[0],  # in the first fold, whose fits the figures show
        "folds_chosen": sum(chosen),
        **s.swept,
    }


def timing_row(dataset: str, card: dict[str, Any], fold: int) -> dict[str, Any]:
    """Return a row of timing.csv: seconds, memory and device of one fit."""
    return {
        "dataset": dataset,
        "variant": card["variant"],
        "fold": fold,
        "seconds": card["seconds"],
        "peak_memory_mb": card["peak_memory_mb"],
        "device": card.get("device", "cpu"),
    }
