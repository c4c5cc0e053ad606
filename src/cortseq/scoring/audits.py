"""Audits that run before any figure (docs/likelihood.md#audits): a failed one stops the workflow.

Each returns an `Audit`; those that stop name the model and the trial. Audits that fit models are in `probes`.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cortseq import recording as rec
from cortseq._lazy import xr
from cortseq.errors import CortseqError
from cortseq.models.base import Fit

PROBES = 3  # trials whose future is changed
RUN = 20  # bins that two trials may not share at different offsets


@dataclass(frozen=True)
class Audit:
    """Result of one check: whether it passed, a sentence, and whether a failure stops the workflow."""

    name: str
    passed: bool
    detail: str
    stopping: bool = True


def causality(name: str, fit: Fit, recording: xr.Dataset, trials: Any, seed: int = 0) -> Audit:
    """Check that changing y_t for all t >= s leaves every predicted distribution for bins <= s bit-identical.

    Inputs are changed after s: that of bin s may be seen when bin s is predicted. Compared are expectations
    up to and including bin s, log-probabilities before s, and the log-probability of the unchanged y_s when
    only bins after s change.
    """
    rng = np.random.default_rng(seed)
    for trial in rng.choice(trials, min(PROBES, len(trials)), replace=False):
        length = int(recording["valid"].values[trial].sum())
        if length < 3:
            continue
        s = int(rng.integers(1, length - 1))
        one = recording.isel(trial=[int(trial)]).load()
        now, later = _changed(one, s, rng), _changed(one, s + 1, rng)
        before, past = fit.log_prob(one).values, {"time": slice(s + 1)}
        pairs = (
            (fit.predict(one)[past].values, fit.predict(now)[past].values),
            (before[..., :s], fit.log_prob(now).values[..., :s]),
            (before[..., : s + 1], fit.log_prob(later).values[..., : s + 1]),
        )
        if not all(np.array_equal(a, b, equal_nan=True) for a, b in pairs):
            return Audit(
                "causality",
                False,
                f"{name}: trial {int(trial)}: a prediction up to bin {s} changes with bins from {s} on",
            )
    return Audit("causality", True, f"{name}: predictions do not depend on the present bin or the future")


def _changed(one: xr.Dataset, s: int, rng: np.random.Generator) -> xr.Dataset:
    """Return the recording with other observations from bin s on, and other inputs after it."""
    track = rec.kind(one)
    out = one.copy(deep=True)
    y = out[track.name].values
    y[:, s:] = track.perturbed(y[:, s:], one.attrs.get("n_symbols", 0), rng)
    if "inputs" in out:
        u = out["inputs"].transpose("trial", "time", "input").values
        u[:, s + 1 :] += rng.normal(size=u[:, s + 1 :].shape)
    return out


def overlap(recording: xr.Dataset, roles: dict[str, Any]) -> list[Audit]:
    """No trial and no raw interval in two roles; equal content of long trials is a warning."""
    seen: dict[int, str] = {}
    for role in ("train", "valid", "test"):
        for trial in roles[role]:
            if trial in seen:
                return [Audit("overlap", False, f"trial {trial} is in both {seen[trial]} and {role}")]
            seen[trial] = role
    audits = [Audit("overlap", True, "no trial is in two roles")]
    if "start" in recording.coords:
        audits.append(_interval_overlap(recording, seen))
    elif recording.attrs["continuous"]:
        audits.append(Audit("overlap", False, "windows of a continuous recording without `start` and `stop`"))
    return [*audits, _shifted(recording, seen), _repeats(recording, seen)]


def _interval_overlap(recording: xr.Dataset, role_of: dict[int, str]) -> Audit:
    trials = np.array(sorted(role_of, key=lambda t: float(recording["start"][t])))
    start, stop = recording["start"].values[trials], recording["stop"].values[trials]
    reach = np.maximum.accumulate(stop)
    for i in np.flatnonzero(start[1:] < reach[:-1] - 1e-9) + 1:
        for j in np.flatnonzero(stop[:i] > start[i] + 1e-9):
            a, b = int(trials[j]), int(trials[i])
            if role_of[a] != role_of[b]:
                return Audit(
                    "overlap", False, f"trials {a} ({role_of[a]}) and {b} ({role_of[b]}) share raw time"
                )
    return Audit("overlap", True, "no raw interval is in two roles")


def _shifted(recording: xr.Dataset, role_of: dict[int, str]) -> Audit:
    """No run of RUN bins of counts or samples at another offset in a trial of another role.

    Chance does not repeat so much: such trials are windows that overlap. Runs that come again in their own
    trial (a periodic signal) and runs of few spikes say nothing.
    """
    track = rec.kind(recording)
    fine = Audit("overlap", True, "no stretch of one role is in another at another offset")
    if track.has_labels or recording.sizes["time"] < RUN:
        return fine
    parts = [_runs(recording.isel(trial=part)) for part in rec.blocks(recording)]
    key, telling = (np.concatenate(part) for part in zip(*parts, strict=True))
    trials = np.array(sorted(role_of))
    marks = {key[i, at]: (i, at) for at in range(0, key.shape[1], RUN) for i in trials if telling[i, at]}
    again = np.isin(key, np.array([*marks], key.dtype)) & telling
    for i, at in np.argwhere(again[trials]):
        i = trials[i]
        j, there = marks[key[i, at]]
        if role_of[i] != role_of[j] and at != there and (key[i] == key[i, at]).sum() == 1:
            detail = f"{RUN} bins of trial {j} ({role_of[j]}) are in trial {i} ({role_of[i]}), shifted"
            return Audit("overlap", False, detail)
    return fine


def _runs(recording: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return the keys of all runs of RUN bins, (trial, start), and which of them say something."""
    y, valid = rec.observations(recording), recording["valid"].values
    telling = _windows(valid).all(-1)
    if rec.kind(recording).has_events:
        telling &= _windows(y.sum(-1)).sum(-1) >= RUN
    else:  # values that stand still say nothing either
        telling &= (np.diff(_windows(y[..., 0])) != 0).all(-1)
    return _run_keys(y), telling


def _windows(x: np.ndarray) -> np.ndarray:
    """(trial, start, bin): all runs of RUN bins."""
    return np.lib.stride_tricks.sliding_window_view(x, RUN, axis=1)


def _run_keys(y: np.ndarray) -> np.ndarray:
    """Return a 64-bit key of every run of RUN bins, (trial, start): equal content, equal key."""
    words = np.ascontiguousarray(y, float).view(np.uint64) >> np.uint64(1)
    odd = np.random.default_rng(0).integers(1, 2**63, (2, max(y.shape[2], RUN)), dtype=np.uint64) | np.uint64(
        1
    )
    by_bin = (words * odd[0, : y.shape[2]] % np.uint64(2**61 - 1)).sum(-1)
    by_bin ^= by_bin >> np.uint64(29)
    return np.asarray((_windows(by_bin) * odd[1, :RUN]).sum(-1))


def _repeats(recording: xr.Dataset, role_of: dict[int, str]) -> Audit:
    """Long trials of equal content in two roles."""
    groups: dict[bytes, list[int]] = {}
    for part in rec.blocks(recording, list(role_of)):
        some = recording.isel(trial=part)
        for trial, y, valid in zip(part, rec.observations(some), some["valid"].values, strict=True):
            if valid.sum() >= 20 and np.any(y[valid]):
                content = hashlib.sha256(y[valid].tobytes()).digest()
                groups.setdefault(content, []).append(int(trial))
    twice = [g for g in groups.values() if len({role_of[t] for t in g}) > 1]
    detail = (
        f"{len(twice)} long trials have a twin of equal content in another role"
        if twice
        else "no long trial repeats"
    )
    return Audit("equal content", not twice, detail, stopping=False)


def blocks(recording: xr.Dataset, roles: dict[str, Any]) -> Audit:
    """Windows of a continuous recording that follow one another in time have one role, or one is a guard."""
    if not recording.attrs["continuous"]:
        return Audit("blocks", True, "trials are dealt at random")
    if "start" not in recording.coords:
        return Audit("blocks", False, "windows of a continuous recording without `start` and `stop`")
    role_of = {t: role for role in ("train", "valid", "test", "guard") for t in roles[role]}
    order = np.argsort(recording["start"].values, kind="stable")
    start, stop = recording["start"].values[order], recording["stop"].values[order]
    for i in np.flatnonzero(start[1:] - stop[:-1] < 0.5 * (stop - start)[1:]):
        a, b = (role_of.get(int(order[j]), "guard") for j in (i, i + 1))
        if a != b and "guard" not in (a, b):
            detail = (
                f"window {order[i]} ({a}) and the next one, {order[i + 1]} ({b}), have no guard between them"
            )
            return Audit("blocks", False, detail)
    return Audit("blocks", True, "roles are contiguous blocks with guards between them")


def observed(recording: xr.Dataset) -> list[Audit]:
    """Check that counts are whole numbers; channels standardised over all roles are a warning."""
    track = rec.kind(recording)
    if track.has_events:
        whole = all(_are_whole(recording.isel(trial=part)) for part in rec.blocks(recording))
        detail = "counts are whole numbers" if whole else "counts are no whole numbers: smoothed or scaled?"
        return [Audit("observed", whole, detail)]
    seen = rec.observations(recording)[recording["valid"].values]
    if track.has_scale and len(seen) > 1:
        done = bool((np.abs(seen.mean(0)) < 1e-6).all() and (np.abs(seen.std(0) - 1) < 1e-3).all())
        detail = (
            "channels were standardised over all trials, test trials too" if done else "signals as recorded"
        )
        return [Audit("observed", not done, detail, stopping=False)]
    return [Audit("observed", True, "labels as recorded")]


def _are_whole(recording: xr.Dataset) -> bool:
    """Return whether the counts of the valid bins are whole numbers that are not negative."""
    seen = rec.observations(recording)[recording["valid"].values]
    return bool((seen == np.floor(seen)).all() and (seen >= 0).all())


def provenance(
    name: str, fit: Fit, roles: dict[str, Any], recording: xr.Dataset, trials_sha256: str = ""
) -> Audit:
    """Check that a fit was given the manifest's training and validation trials, unchanged, and no others.

    The card's `learned_sha256` is the digest of what `Model.learn` was handed: that of the trials at hand
    only if nothing (a z-score, a smoothing) came between. `probes.refit` shows that it learned from no other.
    """
    learned = fit.card["learned_from"]
    for role in ("train", "valid"):
        if stray := sorted(set(learned[role]) - set(roles[role])):
            return Audit(
                "provenance", False, f"{name}: learned from trial {stray[0]}, which is not its to learn from"
            )
        if fit.model.given(recording, learned[role]).digest() != fit.card["learned_sha256"][role]:
            detail = f"{name}: what it learned from is not what the trials {learned[role][:1]} .. hold"
            return Audit("provenance", False, detail)
    if trials_sha256 and fit.card["trials_sha256"] != trials_sha256:
        return Audit("provenance", False, f"{name}: was fitted to other trials than those at hand")
    return Audit(
        "provenance",
        True,
        f"{name}: was given {len(learned['train'])} training and {len(learned['valid'])} validation trials "
        "of the manifest",
    )


def selection(recording: xr.Dataset, manifest: dict[str, Any], fold: int) -> Audit:
    """Check that the units of a fold are those that the training trials alone choose.

    They are found again from `recording`, which holds all units.
    """
    roles, rule = manifest["folds"][fold], manifest["selection"]
    if "units" not in roles:
        return Audit("selection", True, "no unit is chosen")
    part = recording.isel(trial=roles["train"])
    spikes = rec.spikes(part)[1].sum(0)
    hz = spikes / (part["valid"].values.sum() * recording.attrs["bin_width"])
    low, high = rule["min_rate_hz"] or 0.0, rule.get("max_rate_hz") or np.inf
    kept = [n for n, rate in enumerate(hz) if rate > low and rate <= high]
    if rule["max_units"]:
        kept = sorted(sorted(kept, key=lambda n: (-hz[n], n))[: rule["max_units"]])
    if wrong := sorted(set(kept) ^ set(roles["units"])):
        detail = f"fold {fold}: unit {wrong[0]} was kept or dropped against its rate in the training trials"
        return Audit("selection", False, detail)
    return Audit("selection", True, f"fold {fold}: {len(kept)} units, by their rate in the training trials")


def same_bins(scores: dict[str, xr.Dataset]) -> Audit:
    """All models are scored on the same bins of the same trials, with one burn-in."""
    first_name, first = next(iter(scores.items()))
    for name, score in scores.items():
        missing = score["log_prob"].isnull().values
        same = np.array_equal(first["trial"], score["trial"]) and np.array_equal(
            first["n_events"], score["n_events"]
        )
        if not same or (missing != first["log_prob"].isnull().values[:1]).any():
            return Audit("same bins", False, f"{name} and {first_name} are not scored on the same bins")
        if score.attrs["burn_in"] != first.attrs["burn_in"]:
            return Audit("same bins", False, f"{name} and {first_name} are scored with different burn-ins")
    return Audit("same bins", True, f"{len(scores)} variants are scored on the same bins")


def choice(
    rows: list[dict[str, Any]], scores: dict[str, tuple[str, list[xr.Dataset]]], burn_in: int
) -> Audit:
    """Every model's variant in comparison.csv is the one that is best on the validation trials of each fold.

    `scores`: of every variant its model and, a fold each, what the score stage wrote. Found again from these.
    """
    for row in rows:
        if row["averaged"]:
            continue
        mine = {v: folds for v, (model, folds) in scores.items() if model == row["model"]}
        best = []
        for fold in range(len(next(iter(mine.values())))):
            nats = {}
            for variant, folds in mine.items():
                of_role = folds[fold]["log_prob"].values[:, folds[fold]["role"].values == "valid", burn_in:]
                nats[variant] = np.nansum(of_role) / len(of_role)
            top = max(nats.values())
            tied = [v for v, n in nats.items() if n >= top - 1e-9 * abs(top)]
            best.append(next((v for v in tied if v in row["variant"].split("/")), tied[0]))
        if "/".join(dict.fromkeys(best)) != row["variant"]:
            detail = (
                f"{row['model']}: {row['variant']} is in the table, {'/'.join(best)} is best on validation"
            )
            return Audit("choice", False, detail)
    return Audit("choice", True, "settings were chosen on validation trials")


def report(audits: list[Audit]) -> dict[str, Any]:
    """Return the content of audits/<dataset>.json; raise CortseqError where one that stops has failed."""
    failed = [a for a in audits if a.stopping and not a.passed]
    if failed:
        raise CortseqError("\n".join(f"audit {a.name} failed: {a.detail}" for a in failed))
    return {"audits": [asdict(a) for a in audits]}
