"""Signs of trials and roles: empty, overlapping or too few of them, pauses, rates that no unit has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from cortseq import recording as rec
from cortseq._lazy import xr
from cortseq.signs.base import Sign
from cortseq.signs.times import FAST, SLOW

EMPTY = 0.5  # share of the trials without a spike
FEW_TRIALS = 20  # training trials
SILENT = 0.05  # share of the bins, at one end of all trials, without a spike
LOST = 0.2  # share of the trials, in one stretch, without a spike of a unit
_CERTAIN = 30.0  # nats: how unlikely chance must be to have put none of the spikes there
LEAST_P = 0.05
_WINDOWS = 100  # of a continuous recording, which leave enough blocks of test data
_SHORTEST = 5  # bins of a window that is worth a try


def of_trials(recording: xr.Dataset) -> Iterator[Sign]:
    """Yield the signs of a Recording's trials."""
    yield from _SHORT[rec.track(recording)](recording)
    if rec.kind(recording).has_events:
        by_bin, by_unit = rec.spikes(recording)
        yield from _rates(recording, by_unit)
        yield from _empty(recording, by_bin)
        yield from _silent_ends(recording, by_bin)
        yield from _lost_units(recording, by_unit)
    yield from _overlap(recording)


def of_roles(
    recording: xr.Dataset, manifest: Mapping[str, Any], pieces: list[int], networks: int = 1
) -> Iterator[Sign]:
    """Yield the signs of a split.

    Parameters
    ----------
    recording : the Recording that was split.
    manifest : of roles (`cortseq.splits.split`).
    pieces : independent blocks of test trials over all folds, at most; of K blocks p is at least 2^(1 - K).
    networks : models whose p are adjusted together (Holm): the smallest of their p is multiplied by so many.
    """
    n, total = min(len(fold["train"]) for fold in manifest["folds"]), sum(pieces)
    remedy = _shorter(recording) if manifest["continuous"] else "more trials"
    more = remedy if len(manifest["folds"]) > 1 else f"folds: 5, or {remedy}"
    if n < FEW_TRIALS:
        what = "windows" if manifest["continuous"] else "trials"
        yield Sign(
            "few_trials", f"only {n} training {what}, fewer than {FEW_TRIALS}", f"try {remedy}", "warn"
        )
    if total < 2:
        text = f"there is {total} independent block of test data, and a comparison needs at least two"
        yield Sign("few_blocks", text, f"try {more}", acceptable=False)
    elif few_blocks(total, networks):
        smallest = max(networks, 1) * 2.0 ** (1 - total)
        text = f"{total} independent blocks of test data allow no p below {2.0 ** (1 - total):.2g}"
        if networks > 1:
            text += f", after Holm's adjustment for {networks} networks none below {min(smallest, 1.0):.2g}"
        text += ": there will be no verdict"
        yield Sign("few_blocks", text, f"try {more}", "warn")
    names = _UNSEEN[rec.track(recording)](recording, manifest["folds"][0])
    if names:
        text = f"{len(names)} labels or units occur in test and in no training trial: {', '.join(names[:10])}"
        yield Sign("unseen", text, "units that never spike in training are left out", "note")


def _shorter(recording: xr.Dataset) -> str:
    """Return windows of which a continuous recording has 100, or a longer recording where these are short."""
    width = float(recording.attrs["bin_width"])
    bins = recording.sizes["time"] * recording.sizes["trial"] // _WINDOWS
    if bins < _SHORTEST:
        return "a longer recording"
    return f"windows of {1e3 * bins * width:g} ms (window_ms)"


def few_blocks(total: int, networks: int = 1) -> bool:
    """Return whether so many blocks of test data allow no verdict on any of so many networks."""
    return max(networks, 1) * 2.0 ** (1 - total) >= LEAST_P


def _short(recording: xr.Dataset) -> Iterator[Sign]:
    if np.median(recording["valid"].values.sum(1)) < 2:
        text = f"half of the trials have fewer than 2 bins of {recording.attrs['bin_width'] * 1e3:g} ms"
        yield Sign("short_trials", text, "check time_unit and the trials, or choose a smaller bin_ms")


def _rates(recording: xr.Dataset, by_unit: np.ndarray) -> Iterator[Sign]:
    """`by_unit`: spikes of the valid bins, (trial, unit)."""
    valid, counts = recording["valid"].values, by_unit.sum(0)
    if not counts.any():
        return
    median = float(np.median(counts[counts > 0])) / (float(valid.sum()) * recording.attrs["bin_width"])
    if median > FAST or (median < SLOW and counts.sum() >= FEW_TRIALS):
        text = f"the median rate of the units is {median:.3g} Hz"
        yield Sign("rates", text, "no neuron does that: check the bin width, time_unit and what is counted")


def _empty(recording: xr.Dataset, by_bin: np.ndarray) -> Iterator[Sign]:
    """`by_bin`: spikes of all units, (trial, time)."""
    spikes = by_bin.sum(1)
    empty = int((spikes == 0).sum())
    if empty > EMPTY * len(spikes) and spikes.any():
        text = f"{empty} of {len(spikes)} trials have no spike"
        yield Sign(
            "empty_trials", text, "check the clock of the trials, the window, and that times are not silence"
        )
    if recording.attrs["continuous"] and 1 < empty <= EMPTY * len(spikes):
        longest = _longest_run(spikes == 0)
        expected = np.exp(-float(spikes.mean()))  # of an empty window, at a constant rate
        if longest > 1 and len(spikes) * expected**longest < 1e-6:
            length = longest * recording.sizes["time"] * recording.attrs["bin_width"]
            text = f"no unit spikes for {length:.4g} s in one stretch of {longest} windows"
            yield Sign(
                "pause", text, "a pause that is not silence: cut it out (valid_from, part, a table)", "warn"
            )


def _silent_ends(recording: xr.Dataset, counts: np.ndarray) -> Iterator[Sign]:
    """Bins before the first spike of all trials, or after the last, where chance would have put some.

    `counts`: spikes of all units, (trial, time).
    """
    if recording.attrs["continuous"]:
        return
    valid = recording["valid"].values
    active = np.flatnonzero((counts * valid).any(0))
    if not len(active):
        return
    first, last = int(active[0]), int(active[-1]) + 1
    spikes = float((counts * valid).sum())
    begin, end = (edge * float(recording.attrs["bin_width"]) for edge in (first, last))
    ends = (
        (valid[:, last:], f"later than {end:.4g} s into", f"end it there: window_ms [0, {end * 1e3:.0f}]"),
        (valid[:, :first], f"in the first {begin:.4g} s of", f"begin {begin * 1e3:.0f} ms later"),
    )
    for part, where, remedy in ends:
        share = part.sum() / valid.sum()
        if share > SILENT and spikes * -np.log1p(-share) > _CERTAIN:
            text = f"no unit spikes {where} any of {len(valid)} trials: {100 * share:.0f} % of all bins are "
            text += "scored as silence"
            yield Sign("silent_ends", text, f"if nothing was recorded then, {remedy}", "warn")


def _lost_units(recording: xr.Dataset, spikes: np.ndarray) -> Iterator[Sign]:
    """Units without a spike in a long stretch of trials, which their rate in the others makes impossible.

    `spikes`: of the valid bins, (trial, unit).
    """
    names, lost = recording["unit"].values, []
    for unit, mine in enumerate(spikes.T):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], (mine == 0).astype(int), [0]])))
        runs = edges.reshape(-1, 2)
        if not len(runs) or not mine.any():
            continue
        first, last = runs[np.argmax(runs[:, 1] - runs[:, 0])]
        silent = last - first
        if silent > LOST * len(mine) and mine.sum() * -np.log1p(-silent / len(mine)) > _CERTAIN:
            lost.append(f"{names[unit]} (trials {first} to {last - 1})")
    if lost:
        more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
        text = f"{len(lost)} of {len(names)} units have no spike in a long stretch of trials: "
        text += f"{', '.join(lost[:5])}{more}"
        yield Sign(
            "lost_units",
            text,
            "cells that were not recorded then are scored as silence: `part` or `select` leave them out",
            "warn",
        )


def _longest_run(empty: np.ndarray) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], empty.astype(int), [0]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def _overlap(recording: xr.Dataset) -> Iterator[Sign]:
    """Trials that share raw time with another one."""
    if recording.attrs["continuous"] or "start" not in recording.coords:
        return  # windows of one stretch are guarded, and share no sample
    order = np.argsort(recording["start"].values, kind="stable")
    start, stop = recording["start"].values[order], recording["stop"].values[order]
    shared = np.maximum.accumulate(stop)[:-1] - start[1:]
    overlapping = shared > 1e-6 * recording.attrs["bin_width"]
    if overlapping.any():
        yield Sign(
            "overlap",
            f"{int(overlapping.sum())} of {len(start)} trials overlap with an earlier one, by up to "
            f"{shared.max():.4g} s: a test trial would share raw time with a training trial",
            "shorten window_ms, or set guard: true, which keeps neighbours in one role",
            acceptable=False,
        )


def _unseen_labels(recording: xr.Dataset, fold: Mapping[str, Any]) -> list[str]:
    values, valid = rec.observations(recording), recording["valid"].values
    seen, tested = (set(values[fold[r]][valid[fold[r]]].tolist()) for r in ("train", "test"))
    return [str(recording.attrs["labels"][i]) for i in sorted(tested - seen)]


def _unseen_units(recording: xr.Dataset, fold: Mapping[str, Any]) -> list[str]:
    by_unit = rec.spikes(recording)[1]
    trained, tested = (by_unit[fold[r]].sum(0) for r in ("train", "test"))
    return [str(unit) for unit in recording["unit"].values[(trained == 0) & (tested > 0)]]


def _any_length(recording: xr.Dataset) -> Iterator[Sign]:
    """Yield nothing: a sequence may be short."""
    yield from ()


_SHORT = {"counts": _short, "signal": _short, "symbols": _any_length}
_UNSEEN = {"counts": _unseen_units, "symbols": _unseen_labels, "signal": lambda *_: []}
