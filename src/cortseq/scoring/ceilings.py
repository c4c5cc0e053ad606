"""Scales for a score on real data: what the mean response over trials could tell, and how reliable it is.

On a recording the best possible score is not known. Two numbers give it a scale
(docs/likelihood.md#ceilings-on-real-data). The *oracle* predicts each test trial by the mean response of all
other trials of its condition. The *reliability* of a unit says how well the mean responses of two halves of
the trials agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from cortseq import recording as rec
from cortseq._lazy import ndimage, pd, xr
from cortseq.data import Data, Params, Passes, few
from cortseq.models import conditions
from cortseq.models.floor import best, with_sd
from cortseq.models.psth import SHRINKAGE, TO_POOLED, WIDTHS
from cortseq.observations import Distribution, emission_of
from cortseq.scoring import blocks
from cortseq.scoring.statistics import paired

HALVINGS = 50
COLUMNS = "quantity feature value low high trials conditions".split()


def table(
    recording: xr.Dataset, roles: dict[str, Any], null: xr.Dataset, burn_in: int = 0, seed: int = 0
) -> pd.DataFrame:
    """Return the ceilings of a recording: one row for the oracle, one per unit for its reliability.

    Parameters
    ----------
    recording, roles : the trials, and those of each role.
    null : product of scores of the null on the same trials.
    burn_in : bins at the start of each trial that are not scored.
    seed : of the halvings and sign flips.

    Returns
    -------
    Table with the columns quantity ("oracle" in units of the metric over the null, with its 95 % interval, or
    "reliability" between 0 and 1), feature (the unit), value, low, high, trials and conditions (names of the
    covariates).
    """
    track, test = rec.kind(recording), few(recording, roles["test"])
    nats, names = oracle(recording, roles, burn_in)
    rows = null.sel(trial=test).isel(time=slice(burn_in, None))
    base, events = rows["log_prob"].sum("time").values, rows["n_events"].sum("time").values
    place = blocks.place([test], bool(recording.attrs.get("continuous", 0)))
    gain = paired(nats[None], base, events, seed=seed, **place).per(track.unit_nats)
    common = {"conditions": ", ".join(names)}
    found: list[dict[str, Any]] = [
        {"quantity": "oracle", "feature": "", "value": gain.estimate, "low": gain.low, "high": gain.high}
        | {"trials": len(nats), **common}
    ]
    data = Data.of(recording, _every(roles), ("labels",), compact=True)
    features = rec.features(recording) or [str(i) for i in range(data.n_features)]
    for feature, value in zip(features, reliability(data, names, seed), strict=True):
        row = {"quantity": "reliability", "feature": feature, "value": value, "low": np.nan, "high": np.nan}
        found.append(row | {"trials": len(data.y), **common})
    return pd.DataFrame(found, columns=COLUMNS)


def _every(roles: dict[str, Any]) -> np.ndarray:
    return np.sort(np.concatenate([roles[role] for role in ("train", "valid", "test")])).astype(int)


def oracle(recording: xr.Dataset, roles: dict[str, Any], burn_in: int = 0) -> tuple[np.ndarray, list[str]]:
    """Return the nats (trial,) of test trials under the mean response of all other trials, and conditions.

    Of many test trials some are predicted (`data.few`), from all others.

    The mean of trial r in condition c leaves r out,

        m_ct = (sum_{s in c, s != r} y_st + q m_t) / (n_ct - 1 + q),

    with m_t the mean over the other trials of all conditions. Conditions, smoothing over time and q are those
    of `models.psth.Psth`, but the ones that are best on the test trials themselves: no PSTH that is fitted
    without them can be expected to score higher.

    Parameters
    ----------
    recording, roles : the trials, and those of each role.
    burn_in : bins at the start of each trial that are not scored.
    """
    data = Data.of(recording, _every(roles), ("labels",), compact=True).learnable()
    test = Data.of(recording, few(recording, roles["test"]), ("labels",)).within(data.support)
    late = replace(test, valid=test.valid.copy())
    late.valid[:, :burn_in] = False
    emission = emission_of(data)
    labels = data.labels or {}
    found = best(emission, late, _pooled(emission, data, test), _themselves)
    prior, names = emission.mean(found[1]), []
    for covariates in conditions.candidates(labels):
        other = best(emission, late, _conditioned(emission, data, test, prior, covariates), _themselves)
        if other[0].sum() > found[0].sum():
            found, names = other, covariates
    spread = emission.refined(found[1], [emission.mean(found[1])[test.valid]], test.y[test.valid])
    nats = emission.log_prob(found[1] | spread, late.y)
    return np.where(late.valid, nats, 0.0).sum(1), names


def _themselves(bins: Params, test: Data) -> Params:
    """Return the parameters of the test bins, which is what a setting of the oracle is."""
    return bins


def _pooled(emission: Distribution, data: Data, test: Data) -> Iterator[tuple[Params, dict[str, Any]]]:
    """Yield the parameters of the test bins for each smoothing and shrinkage, all conditions alike."""
    centre = emission.mean(emission.estimate(data.y, data.valid))
    sums, mine = _sums(data, np.zeros(len(data.y), int)), np.zeros(len(test.y), int)
    for width in WIDTHS:
        total, n = _others(sums, test, width, mine)
        for shrinkage in SHRINKAGE:
            yield _around(emission, data, test, (total + shrinkage * centre) / (n + shrinkage)), {}


def _conditioned(
    emission: Distribution, data: Data, test: Data, prior: np.ndarray, names: list[str]
) -> Iterator[tuple[Params, dict[str, Any]]]:
    assert data.labels is not None and test.labels is not None
    key, row = np.unique(conditions.keys(data.labels, names), return_inverse=True)
    sums, mine = _sums(data, row), np.searchsorted(key, conditions.keys(test.labels, names))
    for width in WIDTHS:
        total, n = _others(sums, test, width, mine)
        for shrinkage in TO_POOLED:
            yield _around(emission, data, test, (total + shrinkage * prior) / (n + shrinkage)), {}


def _sums(data: Data, row: np.ndarray) -> list[np.ndarray]:
    """Return sums (condition, time, feature) and numbers (condition, time, 1); row (trial,): conditions."""
    n_time = data.valid.shape[1]
    found = [np.zeros((row.max() + 1, n_time, n)) for n in (data.n_features, 1)]
    for trials, block in data.blocks():
        for sums, part in zip(found, _parts(block), strict=True):
            np.add.at(sums, row[trials], part)
    return found


def _others(
    every: list[np.ndarray], test: Data, width: float, mine: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return sums (trial, time, feature) and numbers (trial, time, 1) of the other trials of a condition.

    `every` are those of all trials; `mine` (trial,) are the conditions of the test trials.
    """
    found = []
    for sums, own in zip(every, _parts(test), strict=True):
        if width:
            sums, own = (ndimage.gaussian_filter1d(a, width, axis=1, mode="nearest") for a in (sums, own))
        found.append(np.maximum(sums[mine] - own, 0.0) if not test.kind.has_scale else sums[mine] - own)
    return found[0], np.maximum(found[1], 0.0)


def _parts(data: Data) -> tuple[np.ndarray, np.ndarray]:
    """Return what is summed, (trial, time, feature), and which bins are counted, (trial, time, 1)."""
    seen = data.valid[..., None]
    return np.where(seen, data.kind.encoded(data.y, data.n_features), 0.0), seen.astype(float)


def _around(emission: Distribution, data: Data, test: Data, mean: np.ndarray) -> Params:
    overall = emission.estimate(data.y, data.valid)
    fixed: Params = {k: overall[k] for k in ("sd", "dispersion") if k in overall}
    return emission.around(mean, with_sd(fixed, overall, lambda _: mean, test))


def reliability(data: Data, names: list[str], seed: int = 0) -> np.ndarray:
    """Return the reliability of the mean response of each unit, (feature,).

    Trials are halved at random within each condition; r is the correlation, over time and conditions, of the
    mean responses of both halves, averaged over HALVINGS halvings. The mean response to all trials then has
    the reliability 2 r / (1 + r) (Spearman 1910, Br J Psychol 3:271; Brown 1910, Br J Psychol 3:296). It is 0
    where r is negative, and NaN for a unit whose mean response does not vary.

    Parameters
    ----------
    data : trials with their labels.
    names : covariates that make the conditions; none: all trials are alike.
    seed : of the halvings.
    """
    rng, row = np.random.default_rng([seed, 21]), np.zeros(len(data.y), int)
    if names:
        assert data.labels is not None
        row = np.unique(conditions.keys(data.labels, names), return_inverse=True)[1]
    flat = Passes(data, lambda block: np.concatenate(_parts(block), -1).reshape(len(block.y), -1))
    correlations = [_correlation(*_halves(flat, row, rng)) for _ in range(HALVINGS)]
    r = np.maximum(np.mean(correlations, 0), 0.0)
    return np.asarray(2 * r / (1 + r))


def _halves(flat: Passes[np.ndarray], row: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Return the mean responses (condition and bin, feature) of two random halves, NaN without a trial.

    `flat` are sums and numbers of bins (trial, time * (feature + 1)), `row` (trial,) the conditions.
    """
    rank = np.empty(len(row), int)
    order = np.lexsort((rng.random(len(row)), row))
    rank[order] = np.arange(len(row))
    condition = row == np.arange(row.max() + 1)[:, None]
    members = [(condition & (rank % 2 == half)).astype(float) for half in (0, 1)]
    totals, first = [np.zeros(()), np.zeros(())], 0
    for block in flat:
        some = slice(first, first + len(block))
        totals = [total + member[:, some] @ block for total, member in zip(totals, members, strict=True)]
        first = some.stop
    found = []
    for total in totals:
        sums = total.reshape(-1, flat.data.n_features + 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            found.append(sums[:, :-1] / sums[:, -1:])
    return found


def _correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the correlation of each column over the rows that both have, (feature,)."""
    both = np.isfinite(a).all(1) & np.isfinite(b).all(1)
    a, b = (x[both] - x[both].mean(0) for x in (a, b))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((a * b).sum(0) / np.sqrt((a**2).sum(0) * (b**2).sum(0)))


def sentence(folds: list[pd.DataFrame], unit: str) -> str:
    """Return what the tables of all folds say, in words.

    Parameters
    ----------
    folds : `table` of each fold.
    unit : of the score.
    """
    every = pd.concat(folds)
    told, steady = (every[every["quantity"] == q] for q in ("oracle", "reliability"))
    names = sorted({str(n) for n in told["conditions"].dropna() if n})
    among = f"of the same condition ({'; '.join(names)}) " if names else ""
    symbols = unit.endswith("symbol")
    single = "the sequence itself" if symbols else "the activity of the single trial"
    said = (
        f"A mean response made of all other trials {among}would score {told['value'].mean():.3f} {unit} on "
        "the same test trials; a model clearly above that has read from "
        f"{single}, unless it sees inputs or knows the trial's number."
    )
    middle = steady.groupby("feature")["value"].mean().median()
    if np.isnan(middle):
        return said
    means = "frequencies of the symbols at each place" if symbols else "mean responses of the units"
    return f"{said} The {means} have a median split-half reliability of {middle:.2f}."
