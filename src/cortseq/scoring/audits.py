"""Audits that run before any figure (LIKELIHOOD.md, section 7): a failed one stops the workflow.

Each returns an `Audit`; those that stop name the model and the trial.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import xarray as xr

from cortseq import recording as rec
from cortseq.errors import CortseqError
from cortseq.models.base import Data, Fit, Model
from cortseq.scoring.statistics import paired_difference

CANARY_GAIN = 0.002  # bits (nats for signals) per event that a model may seem to gain on noise, plus 3 SE
CANARY_TRIALS, CANARY_BINS, CANARY_UNITS, CANARY_EPOCHS = 150, 40, 12, 20
PROBES = 3  # trials whose future is changed


@dataclass(frozen=True)
class Audit:
    name: str
    passed: bool
    detail: str
    stopping: bool = True


def causality(name: str, fit: Fit, recording: xr.Dataset, trials, seed: int = 0) -> Audit:
    """Changing y_t for all t >= s must leave every predicted distribution for bins <= s bit-identical.

    Compared: expectations up to and including bin s, log-probabilities before s, and the log-probability
    of the unchanged y_s when only bins after s change.
    """
    rng = np.random.default_rng(seed)
    for trial in rng.choice(trials, min(PROBES, len(trials)), replace=False):
        length = int(recording["valid"].values[trial].sum())
        if length < 3:
            continue
        s = int(rng.integers(1, length - 1))
        one = recording.isel(trial=[int(trial)])
        now, later = _changed(one, s, rng), _changed(one, s + 1, rng)
        before, after = fit.log_prob(one), fit.log_prob(now)
        same = (
            np.array_equal(fit.predict(one)[:, :, : s + 1], fit.predict(now)[:, :, : s + 1], equal_nan=True)
            and np.array_equal(before[..., :s], after[..., :s], equal_nan=True)
            and np.array_equal(before[..., : s + 1], fit.log_prob(later)[..., : s + 1], equal_nan=True)
        )
        if not same:
            return Audit(
                "causality",
                False,
                f"{name}: trial {int(trial)}: a prediction up to bin {s} changes with bins from {s} on",
            )
    return Audit("causality", True, f"{name}: predictions do not depend on the present bin or the future")


def _changed(one: xr.Dataset, s: int, rng) -> xr.Dataset:
    """The recording with other observations from bin s on."""
    kind = rec.track(one)
    out = one.copy(deep=True)
    y = out[kind].values
    if kind == "counts":
        y[:, s:] = y[:, s:] + rng.integers(1, 4, y[:, s:].shape)
    elif kind == "symbols":
        n = one.attrs["n_symbols"]
        y[:, s:] = (y[:, s:] + rng.integers(1, n, y[:, s:].shape)) % n if n > 1 else y[:, s:]
    else:
        y[:, s:] = y[:, s:] + rng.normal(0, 1 + np.abs(y).mean(), y[:, s:].shape)
    return out


def overlap(recording: xr.Dataset, roles: dict) -> list[Audit]:
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
    return [*audits, _repeats(recording, seen)]


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


def _repeats(recording: xr.Dataset, role_of: dict[int, str]) -> Audit:
    """Long trials of equal content in two roles."""
    y, valid = rec.observations(recording), recording["valid"].values
    groups: dict[bytes, list[int]] = {}
    for trial in role_of:
        if valid[trial].sum() >= 20 and np.any(y[trial][valid[trial]]):
            groups.setdefault(y[trial][valid[trial]].tobytes(), []).append(trial)
    twice = [g for g in groups.values() if len({role_of[t] for t in g}) > 1]
    detail = (
        f"{len(twice)} long trials have a twin of equal content in another role"
        if twice
        else "no long trial repeats"
    )
    return Audit("equal content", not twice, detail, stopping=False)


def provenance(name: str, fit: Fit, roles: dict, recording: xr.Dataset, trials_sha256: str = "") -> Audit:
    """The fit was given the manifest's training and validation trials, of these very trials, and no more.

    That families keep the two apart is a test of the code (tests/test_models.py), not of a product.
    """
    learned = fit.card["learned_from"]
    stray = sorted(set(learned["train"]) - set(roles["train"]))
    stray += sorted(set(learned["valid"]) - set(roles["valid"]))
    if stray:
        return Audit(
            "provenance", False, f"{name}: learned from trial {stray[0]}, which is not its to learn from"
        )
    if trials_sha256 and fit.card["trials_sha256"] != trials_sha256:
        return Audit("provenance", False, f"{name}: was fitted to other trials than those at hand")
    if "units" in roles:
        counts = recording["counts"].isel(trial=roles["train"])
        if int((counts.sum(("trial", "time")) == 0).sum()):
            return Audit("provenance", False, f"{name}: a unit without training spikes was kept")
    return Audit(
        "provenance",
        True,
        f"{name}: was given {len(learned['train'])} training and {len(learned['valid'])} validation trials of the manifest",
    )


def same_bins(scores: dict[str, xr.Dataset]) -> Audit:
    """All models are scored on the same bins of the same trials."""
    first_name, first = next(iter(scores.items()))
    for name, score in scores.items():
        missing = score["log_prob"].isnull().values
        same = np.array_equal(first["trial"], score["trial"]) and np.array_equal(
            first["n_events"], score["n_events"]
        )
        if not same or (missing != first["log_prob"].isnull().values[:1]).any():
            return Audit("same bins", False, f"{name} and {first_name} are not scored on the same bins")
    return Audit("same bins", True, f"{len(scores)} variants are scored on the same bins")


def canary(name: str, model: Model, recording: xr.Dataset, seed: int = 0) -> Audit:
    """On noise with the recording's rates no model may score above CANARY_GAIN + 3 standard errors."""
    noise = _noise(recording, np.random.default_rng([seed, 77]))
    n = noise.sizes["trial"]
    train, valid, test = range(n // 2), range(n // 2, 2 * n // 3), range(2 * n // 3, n)
    quick = {k: min(CANARY_EPOCHS, getattr(model, k)) for k in ("epochs",) if hasattr(model, k)}
    model = model.model_copy(update=quick)
    from cortseq.models.null import Null

    null = Null().fit(noise, train, valid)
    fit = model.fit(noise, train, valid, members=1, seed=seed)
    mine, base = (np.nansum(f.log_prob(noise, test), -1)[0] for f in (fit, null))
    events = Data.of(noise, test).n_events().sum(1)
    gain = paired_difference(mine, base, events, resamples=1000, seed=seed)
    limit = CANARY_GAIN + 3 * gain.standard_error
    detail = f"{name}: {gain.estimate:+.4f} bits/event on noise (at most {limit:.4f} allowed)"
    if gain.estimate < -3 * gain.standard_error:
        detail += "; over-fits, which is honest"
    return Audit("canary", bool(gain.estimate <= limit), detail)


def _noise(recording: xr.Dataset, rng) -> xr.Dataset:
    """Independent Poisson counts, labels or Gaussian samples with the recording's marginals."""
    kind, y = rec.track(recording), rec.observations(recording)
    valid = recording["valid"].values
    shape = (CANARY_TRIALS, CANARY_BINS)
    if kind == "symbols":
        p = np.bincount(y[valid], minlength=recording.attrs["n_symbols"]) / valid.sum()
        return rec.from_symbols(list(rng.choice(len(p), shape, p=p)), n_symbols=len(p))
    mean = y[valid].mean(0)
    few = np.argsort(-mean)[:CANARY_UNITS]
    if kind == "counts":
        drawn = rng.poisson(np.maximum(mean[few], 0.05), (*shape, len(few)))
        return rec.from_counts(
            drawn, bin_width=recording.attrs["bin_width"], observation=rec.observation(recording)
        )
    noise = rng.normal(mean[few], y[valid].std(0)[few], (*shape, len(few)))
    return rec.from_signal(noise, bin_width=recording.attrs["bin_width"])


def report(audits: list[Audit]) -> dict:
    """The content of audits/<dataset>.json; raises CortseqError where one that stops has failed."""
    failed = [a for a in audits if a.stopping and not a.passed]
    if failed:
        raise CortseqError("\n".join(f"audit {a.name} failed: {a.detail}" for a in failed))
    return {"audits": [asdict(a) for a in audits]}
