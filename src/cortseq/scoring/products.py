"""What scoring writes: log-probabilities per member, trial and bin, and predictions."""

from __future__ import annotations

from typing import Any

import numpy as np

from cortseq import recording as rec
from cortseq import streamed
from cortseq._lazy import special, xr
from cortseq.data import Data
from cortseq.memory import block_numbers
from cortseq.models.base import Fit
from cortseq.observations import MIN_RATE
from cortseq.observations.poisson import log_pmf
from cortseq.scoring import correlations

SCORED = ("train", "valid", "test")
_CHUNK = 32  # trials whose expectations are held at once: bounds memory


def scores(fit: Fit, recording: xr.Dataset, roles: dict[str, Any], burn_in: int = 0) -> xr.Dataset:
    """log_prob (member, trial, time) in nats and n_events (trial, time), with the role of each trial.

    Every valid bin is scored; burn-in is cut later, the same for all models. On counts also, for test trials
    (NaN elsewhere), what depends on the expectations only:

    mean_rate (member, trial, time)   sum_n log Pois(y_nt; E[y_nt | past]), nats, every valid bin
    unit_score (member, trial, unit)  the same of each unit, summed over bins t >= burn_in
    unit_events (trial, unit)         spikes in those bins
    correlation (member, of)          those of `correlations.NAMES`, over bins t >= burn_in
    averaged_mean_rate, ..            without `member`: all these of the members' mean expectation
    """
    trials = np.concatenate([roles[role] for role in SCORED]).astype(int)
    events = [Data.of(recording, part, driven=False).n_events() for part in rec.blocks(recording, trials)]
    role = np.repeat(SCORED, [len(roles[r]) for r in SCORED])
    variables = {
        "log_prob": (("member", "trial", "time"), fit.log_prob(recording, trials).values),
        "n_events": (("trial", "time"), np.concatenate(events)),
    }
    coords = {"trial": trials, "role": ("trial", role.astype("<U5")), "time": recording["time"].values}
    if rec.kind(recording).has_events:
        variables |= _rates(fit, recording, trials, np.flatnonzero(role == "test"), burn_in)
        coords["unit"] = recording["unit"].values
    attrs = {
        "bin_width": recording.attrs["bin_width"],
        "parameters": fit.card["parameters"],
        "burn_in": burn_in,
    }
    return xr.Dataset(variables, coords=coords, attrs=attrs)


def _rates(
    fit: Fit, recording: xr.Dataset, trials: np.ndarray, test: np.ndarray, burn_in: int
) -> dict[str, Any]:
    """Return the variables of `scores` that follow from expected counts; `test`: positions along `trials`."""
    n_trials, n_time, n_units = len(trials), recording.sizes["time"], recording.sizes["unit"]
    members = fit.card["members"]
    by_bin = np.full((members + 1, n_trials, n_time), np.nan)  # the last: of the mean expectation
    by_unit = np.full((members + 1, n_trials, n_units), np.nan)
    pairs = [correlations.Correlations(n_units) for _ in range(members + 1)]
    size = min(_CHUNK, max(1, block_numbers() // (n_time * n_units)))
    for first in range(0, len(test), size):
        some = test[first : first + size]
        expected = fit.predict(recording, trials[some]).values
        data = Data.of(recording, trials[some], driven=False)
        y, seen = data.y, data.valid
        for i, rate in enumerate([*expected, expected.mean(0)]):
            rate = np.maximum(rate, MIN_RATE)
            nats = np.where(seen[..., None], log_pmf(y, rate), 0.0)
            by_bin[i, some] = np.where(seen, nats.sum(-1), np.nan)
            by_unit[i, some] = nats[:, burn_in:].sum(1)
            pairs[i].add(rate[:, burn_in:][seen[:, burn_in:]], y[:, burn_in:][seen[:, burn_in:]])
    scored = recording.isel(trial=trials, time=slice(burn_in, None))
    late = rec.spikes(scored)[1].astype(int)
    correlated = np.array([[one.found()[name] for name in correlations.NAMES] for one in pairs])
    return {
        "correlation": (("member", "of"), correlated[:-1]),
        "mean_rate": (("member", "trial", "time"), by_bin[:-1]),
        "unit_score": (("member", "trial", "unit"), by_unit[:-1]),
        "unit_events": (("trial", "unit"), late),
        "averaged_mean_rate": (("trial", "time"), by_bin[-1]),
        "averaged_unit_score": (("trial", "unit"), by_unit[-1]),
        "averaged_correlation": ("of", correlated[-1]),
    }


def averaged(score: xr.Dataset) -> xr.Dataset:
    """Scores of the members' mean prediction as one member: log (1/M) sum_m p_m(y_t | y_<t)."""
    out = score[["log_prob", "n_events"]].isel(member=[0])
    log_prob = score["log_prob"].values
    out["log_prob"] = (
        out["log_prob"].dims,
        special.logsumexp(log_prob, axis=0, keepdims=True) - np.log(len(log_prob)),
    )
    if "mean_rate" in score:
        for name in ("mean_rate", "unit_score", "correlation"):
            out[name] = score[f"averaged_{name}"].expand_dims(member=1)
        out["unit_events"] = score["unit_events"]
    return out.assign_attrs(score.attrs)


def predictions(fit: Fit, recording: xr.Dataset, trials: Any) -> xr.Dataset:
    """Return expected counts per bin, label probabilities or means on test trials, mean over members."""
    feature = rec.kind(recording).dimension or "symbol"
    names = recording[feature].values if feature in recording.coords else np.arange(fit.card["n_features"])
    trials = np.asarray(trials, int)
    shape = len(trials), recording.sizes["time"], len(names)
    predicted = streamed.variable(
        ("trial", "time", feature),
        shape,
        np.float32,
        lambda some: fit.predict(recording, trials[some]).values.mean(0).astype(np.float32),
    )
    return xr.Dataset(
        {"predicted": predicted},
        coords={"trial": trials, "time": recording["time"].values, feature: names},
        attrs={"bin_width": recording.attrs["bin_width"], "unit": "expected per bin"},
    )
