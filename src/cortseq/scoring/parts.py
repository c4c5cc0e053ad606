"""Where a gain comes from: by time in the trial, by condition and by unit, with multiplicity control."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from cortseq._lazy import pd, xr
from cortseq.models import conditions
from cortseq.observations.tracks import Track
from cortseq.scoring import blocks
from cortseq.scoring.statistics import holm, paired, scored

SEGMENTS = 10  # of the time in a trial, at most
FEWEST = 5  # test trials of a part that is compared
RESAMPLES = 10_000
COLUMNS = "part which gain low high p p_holm trials events".split()


def table(
    ours: list[xr.Dataset],
    theirs: list[xr.Dataset],
    labels: dict[str, np.ndarray],
    track: Track,
    continuous: bool,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare two models on parts of the test trials.

    Parameters
    ----------
    ours, theirs : products of scores, one a fold.
    labels : values of each covariate of all trials of the recording, each (trial,).
    track : kind of the recording.
    continuous : whether trials are windows that follow each other without a pause.
    seed : of the sign flips.

    Returns
    -------
    Table with the columns part ("time", "condition" or "unit"), which (the segment in s or bins, the value of
    a covariate, the unit), gain, low, high (in units of the metric, of the part's own events), p, p_holm
    (adjusted over all rows of the same part), trials (those with a scored bin) and events. Time and
    condition: the joint score; unit: the mean-rate score. Parts of fewer than FEWEST trials or without an
    event are left out.
    """
    rows = []
    for part, which, a, b, events, folds in _every(ours, theirs, labels, track):
        trials = int(scored(a, b, events).sum())
        if trials < FEWEST or not events.sum():
            continue
        place = blocks.place([fold for fold in folds if len(fold)], continuous)
        gain = paired(a, b, events, RESAMPLES, seed, **place).per(track.unit_nats)
        row = {"part": part, "which": which, "gain": gain.estimate, "low": gain.low, "high": gain.high}
        rows.append(row | {"p": gain.p_value, "trials": trials, "events": int(events.sum())})
    found = pd.DataFrame(rows, columns=[c for c in COLUMNS if c != "p_holm"])
    found["p_holm"] = np.nan
    for _, same in found.groupby("part"):
        found.loc[same.index, "p_holm"] = holm(same["p"].to_numpy(float))
    return found[COLUMNS]


_Part = tuple[str, str, np.ndarray, np.ndarray, np.ndarray, list[np.ndarray]]


def _every(
    ours: list[xr.Dataset], theirs: list[xr.Dataset], labels: dict[str, np.ndarray], track: Track
) -> Iterator[_Part]:
    """Yield part, name, scores (member, trial) of both models, events (trial,), and places by fold."""
    mine, other = ([_late(fold) for fold in folds] for folds in (ours, theirs))
    a, b = (_joined(folds, "log_prob") for folds in (mine, other))
    events, places = np.concatenate([f["n_events"].values for f in mine]), [f["trial"].values for f in mine]
    for bins, name in _segments(mine[0], track):
        yield "time", name, a[..., bins].sum(-1), b[..., bins].sum(-1), events[:, bins].sum(1), places
    for name in (names[0] for names in conditions.candidates(labels) if len(names) == 1):
        of_trials = labels[name][np.concatenate(places)]
        for value in np.unique(of_trials):
            at = of_trials == value
            sums = a[:, at].sum(-1), b[:, at].sum(-1), events[at].sum(1)
            yield "condition", f"{name} {value}", *sums, [t[labels[name][t] == value] for t in places]
    if "unit_score" not in ours[0]:
        return
    for unit in dict.fromkeys(np.concatenate([f["unit"].values for f in mine]).tolist()):
        kept = [i for i, f in enumerate(mine) if unit in f["unit"].values]
        x, y = (_joined([f[i].sel(unit=unit) for i in kept], "unit_score") for f in (mine, other))
        chosen = [mine[i] for i in kept]
        spikes = np.concatenate([f.sel(unit=unit)["unit_events"].values for f in chosen])
        yield "unit", str(unit), x, y, spikes, [f["trial"].values for f in chosen]


def _late(fold: xr.Dataset) -> xr.Dataset:
    """Return the test trials, bins after the burn-in."""
    test = fold.isel(trial=np.flatnonzero(fold["role"].values == "test"))
    return test.isel(time=slice(int(fold.attrs["burn_in"]), None)).fillna(0.0)


def _joined(folds: list[xr.Dataset], name: str) -> np.ndarray:
    """Return a score (member, trial, ...) of all folds, as many members as each has."""
    members = min(f.sizes["member"] for f in folds)
    return np.concatenate([f[name].values[:members] for f in folds], axis=1)


def _segments(fold: xr.Dataset, track: Track) -> Iterator[tuple[slice, str]]:
    """Yield bins of equal parts of the trial, and their time from and to in s (bins, of labels)."""
    n, time = fold.sizes["time"], fold["time"].values
    width = float(fold.attrs["bin_width"]) if track.timed else 1.0
    start = time if track.timed else np.arange(n)
    edges = np.linspace(0, n, min(SEGMENTS, n) + 1).round().astype(int)
    for first, last in pairwise(edges):
        yield slice(first, last), f"{start[first]:g} to {start[last - 1] + width:g}"


def labels_of(recording: xr.Dataset, names: Any) -> dict[str, np.ndarray]:
    """Return the values of the named covariates that label trials as text, each (trial,)."""
    kept = [name for name in names if recording[name].dims == ("trial",)]
    return {name: recording[name].values.astype(str) for name in kept}
