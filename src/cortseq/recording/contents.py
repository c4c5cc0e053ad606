"""What a Recording holds: its track, names, observation model and where it comes from."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cortseq import memory, streamed
from cortseq._lazy import xr
from cortseq.errors import CortseqError
from cortseq.observations import registry, tracks

OUTCOMES = frozenset(  # words in names of covariates that are known at the end of a trial only
    "outcome choice response correct error success reward rewarded feedback reaction_time hit".split()
)


def track(recording: xr.Dataset) -> str:
    """Return which of the three tracks a recording is on: "counts", "symbols" or "signal"."""
    found = [name for name in tracks.TRACKS if name in recording]
    if len(found) != 1:
        raise CortseqError(f"a recording holds exactly one of {sorted(tracks.TRACKS)}, this one {found}")
    return found[0]


def kind(recording: xr.Dataset) -> tracks.Track:
    """Return what depends on counts, symbols or signals."""
    return tracks.TRACKS[track(recording)]


def observations(recording: xr.Dataset) -> np.ndarray:
    """Return what was recorded, (trial, time, feature); symbols are (trial, time).

    All of it is in memory then: of a recording that may be large ask for `blocks`.
    """
    known = kind(recording)
    return recording[known.name].transpose(*known.dims).values


def compact(recording: xr.Dataset) -> np.ndarray:
    """Return `observations`, (trial, time, feature); counts of more than a block in the smallest type.

    Such counts are held for learning; before one computes with them they become int32, block by block
    (`Data.blocks`).
    """
    values = recording[kind(recording).name]
    if not (kind(recording).has_events and streamed.is_large(values.shape)):
        return observations(recording)
    found = np.zeros([recording.sizes[dim] for dim in kind(recording).dims], np.uint8)
    for trials in blocks(recording):
        some = observations(recording.isel(trial=trials))
        smallest = np.min_scalar_type(int(some.max(initial=0)))
        if smallest.itemsize > found.itemsize:
            found = found.astype(smallest)
        found[trials] = some
    return found


def positions(recording: xr.Dataset, trials: ArrayLike, key: str = "trials") -> np.ndarray:
    """Return positions along `trial` as integers, (trial,), in the order in which they were given.

    Parameters
    ----------
    recording : a Recording of n trials.
    trials : (trial,) whole numbers from 0 to n - 1; one trial may be named more than once.
    key : how an error names them.

    Raises
    ------
    CortseqError : a mask of booleans, a number that is not whole, or a position outside of the recording.
    """
    given, n = np.asarray(trials), recording.sizes["trial"]
    if given.dtype.kind == "b":
        raise CortseqError(
            "a mask is no list of positions", key=key, value=given.shape, fix="give np.flatnonzero(mask)"
        )
    fix = f"give a list of whole numbers from 0 to {n - 1}"
    if given.ndim != 1 or given.dtype.kind not in "iuf":
        raise CortseqError("trials are a list of positions", key=key, value=trials, fix=fix)
    wrong = (given != np.floor(given)) | (given < 0) | (given >= n)
    if wrong.any():
        raise CortseqError(f"the recording has {n} trials", key=key, value=given[wrong][0].item(), fix=fix)
    return given.astype(int)


def blocks(recording: xr.Dataset, trials: ArrayLike | None = None, breadth: float = 1.0) -> list[Any]:
    """Return some trials (all: None) in blocks that hold no more observations than `memory.blocks` allows.

    Each is what `isel(trial=...)` takes: positions (trial,), or of all trials a slice. Where more than one
    block is needed, blocks are smaller by `breadth`, the numbers that are made of each bin and feature.

    Raises
    ------
    CortseqError : as `positions`.
    """
    n = recording.sizes["trial"]
    chosen = None if trials is None else positions(recording, trials)
    wanted = n if chosen is None else len(chosen)
    per_trial = recording[kind(recording).name].size / max(n, 1)
    parts = memory.blocks(wanted, per_trial)
    parts = memory.blocks(wanted, per_trial * breadth) if len(parts) > 1 else parts
    if chosen is not None:
        return [chosen[part] for part in parts]
    return [slice(None)] if len(parts) == 1 else list(parts)


def spikes(recording: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return the spikes of each bin and those of each unit, in one pass over the trials.

    Returns
    -------
    by_bin : (trial, time) spikes of all units, in bins that are not valid too.
    by_unit : (trial, unit) spikes in the valid bins of each trial, as floating-point numbers.
    """
    by_bin, by_unit = [], []
    for trials in blocks(recording):
        some = recording.isel(trial=trials)
        y = observations(some)
        by_bin.append(y.sum(2))
        by_unit.append(np.einsum("tbu,tb->tu", y, some["valid"].values, dtype=float))
    return np.concatenate(by_bin), np.concatenate(by_unit)


def features(recording: xr.Dataset) -> list[str]:
    """Return names of the units, channels or labels; [] where they have none."""
    dimension = kind(recording).dimension
    if dimension is None:
        return [str(label) for label in recording.attrs.get("labels", [])]
    return recording[dimension].values.astype(str).tolist() if dimension in recording.coords else []


def observation(recording: xr.Dataset) -> str:
    """Return the distribution that models of this recording give to a bin, by its name."""
    return str(recording.attrs.get("observation", kind(recording).default))


def with_observation(recording: xr.Dataset, name: str) -> xr.Dataset:
    """Return the recording under another observation model; CortseqError where its track has no such one."""
    changed = recording.copy()
    changed.attrs = {k: v for k, v in recording.attrs.items() if k != "support"} | {"observation": name}
    if name in registry.names(track(recording)):
        of = registry.distribution(name).support_of
        support = max(of(observations(recording.isel(trial=trials))) for trials in blocks(recording))
        changed.attrs |= {"support": support} if support else {}
    return check(changed)


def is_outcome(recording: xr.Dataset, name: str) -> bool:
    """Whether a covariate is known at the end of a trial only: by `attrs["outcomes"]` or by its name."""
    words = {name, *name.lower().split("_")}
    return name in recording.attrs.get("outcomes", ()) or bool(OUTCOMES & words)


def trial_labels(recording: xr.Dataset) -> dict[str, np.ndarray]:
    """Return the value of each covariate of a trial as text, (trial,) by name; outcomes are left out."""
    names = [name for name in recording.attrs["covariates"] if recording[name].dims == ("trial",)]
    return {name: recording[name].values.astype(str) for name in names if not is_outcome(recording, name)}


def provenance(recording: xr.Dataset) -> dict[str, Any]:
    """Return where a recording comes from (source, file, sha256, settings)."""
    steps: dict[str, Any] = json.loads(recording.attrs.get("provenance", "{}"))
    return steps


def dirt(recording: xr.Dataset) -> dict[str, Any]:
    """Return what was dropped on the way, and how much of it."""
    counted: dict[str, Any] = json.loads(recording.attrs.get("dirt", "{}"))
    return counted


def check(recording: xr.Dataset) -> xr.Dataset:
    """Return the recording itself, or a CortseqError that says what is wrong with it."""
    known = kind(recording)
    values, valid = recording[known.name].transpose(*known.dims), recording["valid"].values
    choices = registry.names(known.name)
    if observation(recording) not in choices:
        raise CortseqError(
            f"{known.name} have no such observation model",
            key="observation",
            value=observation(recording),
            fix=f"choose one of {', '.join(choices)}",
        )
    if recording.sizes["trial"] == 0:
        raise CortseqError("no trial is left", fix="check the window and the trial selection")
    if values.ndim == 3 and values.shape[2] == 0:
        raise CortseqError(f"no {known.feature} is left", fix="relax the selection")
    if not valid.any():
        raise CortseqError("no valid bin is left", fix="check the window and the bin width")
    if known.has_labels:
        n, seen = recording.attrs.get("n_symbols", 1), values.values[valid]
        if seen.min() < 0 or seen.max() >= n:
            bad = int(seen.max() if seen.max() >= n else seen.min())
            raise CortseqError(
                f"a label lies outside the alphabet 0..{n - 1}",
                key="symbols",
                value=bad,
                fix="raise n_symbols",
            )
    elif values.dtype.kind == "f" and not np.isfinite(values.values[valid]).all():
        raise CortseqError(
            f"{known.name} hold NaN or infinity in valid bins", key=known.name, fix="mask those bins"
        )
    return recording
