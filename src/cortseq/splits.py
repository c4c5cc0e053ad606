"""Who learns from which trial: the manifest of roles train / valid / test / guard per fold.

Trials of a trial-structured recording are dealt at random within strata of a covariate. Windows of a
continuous recording, and trials of an entry with `guard`, stay in contiguous blocks; where blocks of
different roles meet, one window is set aside as a guard, so that no raw interval (nor its immediate
neighbour) is in two roles. Guards of short recordings are taken from training, so that test and validation
keep their shares. `split: forward` takes roles in the order of time instead: what was learned early is tested
on what came late.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cortseq import recording as rec
from cortseq import streamed
from cortseq._lazy import xr
from cortseq.errors import CortseqError

if TYPE_CHECKING:  # a job that asks for its roles does not need it
    from cortseq.sources.base import Source

ROLES = ("train", "valid", "test", "guard")
_BLOCKS = 20  # contiguous blocks a continuous recording is cut into (at least per fold four)
_LONG = 10  # windows a block from which on a guard takes little of it
_GUARDS = 0.15  # share of the windows of a short recording that may be guards
_RUNS = {"test": 4, "valid": 3}  # most runs of windows of a role in a short recording


@dataclass(frozen=True)
class Deal:
    """How trials are dealt: keys of a study, under the same names and with the same defaults.

    Parameters
    ----------
    seed : of the random deal.
    folds : 1 for one train/valid/test split, k > 1 for k-fold.
    test_fraction : share of the trials that are tested on, where `folds` is 1.
    valid_fraction : share of the trials that are validated on, in each fold.
    split : "random", or "forward": training trials come first, then those of validation, then those of test.
    """

    seed: int = 0
    folds: int = 1
    test_fraction: float = 0.2
    valid_fraction: float = 0.15
    split: Literal["random", "forward"] = "random"

    @classmethod
    def of(cls, settings: Any) -> Deal:
        """Take the same keys from any object that has them, such as a Study."""
        return cls(**{key: getattr(settings, key) for key in cls.__dataclass_fields__})


def split(recording: xr.Dataset, deal: Deal, source: Source, dataset: str) -> dict[str, Any]:
    """Return the manifest: per fold the trial ids of each role and the units kept by their *training* rate.

    Raises
    ------
    CortseqError : too few trials for the folds, or no unit left.
    """
    n = recording.sizes["trial"]
    continuous = bool(recording.attrs["continuous"])
    # a window beside one of another role is a guard, so that a role needs two
    needed = max(3, deal.folds) * (2 if continuous else 1)
    if n < needed:
        raise CortseqError(
            f"{n} {'window' if continuous else 'trial'}(s) cannot be split into train, valid and test in "
            f"{deal.folds} fold(s): {needed} are needed",
            key=f"datasets.{dataset}",
            value=n,
            fix="give more trials or windows, or fewer folds",
        )
    strata, by = _strata(recording, source)
    if deal.split == "forward":
        by, dealt = None, _forward(recording, deal)
    else:
        rng = np.random.default_rng([deal.seed, n])
        dealt = (_deal_blocks if continuous else _deal_trials)(n, strata, deal, rng)
    folds = []
    for roles in dealt:
        roles = _apart(roles, recording) if continuous else roles
        fold = {role: np.flatnonzero(roles == role).tolist() for role in ROLES}
        for role in ROLES[:3]:
            if not fold[role]:
                raise CortseqError(
                    f"no {role} trial is left of {n}", key=f"datasets.{dataset}", fix="give more trials"
                )
        fold |= _units(recording, fold["train"], source, dataset)
        folds.append(fold)
    return {
        "dataset": dataset,
        "seed": deal.seed,
        "split": deal.split,
        "stratified_by": by,
        "continuous": continuous,
        "source": rec.provenance(recording),
        # units are chosen by their rate in the training trials of each fold; the audit does it again
        "selection": {key: getattr(source, key) for key in ("min_rate_hz", "max_rate_hz", "max_units")},
        "folds": folds,
    }


def _strata(recording: xr.Dataset, source: Source) -> tuple[np.ndarray, str | None]:
    """Return a number per trial to sort by, the covariate's value or the code of its label, and its name."""
    if source.stratify and recording[source.stratify].dims != ("trial",):
        raise CortseqError(
            "varies within trials, and cannot stratify them", key="stratify", value=source.stratify
        )
    names = [source.stratify] if source.stratify else list(source.covariates)
    names = [x for x in names if x in recording.coords and recording[x].dims == ("trial",)]
    if not names:
        return np.zeros(recording.sizes["trial"]), None
    values = recording[names[0]].values
    if values.dtype.kind not in "iufb":
        values = np.unique(values.astype(str), return_inverse=True)[1]
    return np.nan_to_num(values.astype(float)), names[0]


def _forward(recording: xr.Dataset, deal: Deal) -> Any:
    """Take roles in the order of time, with a guard between two of them in a continuous recording.

    That is the order of their start times where there are any, else that of the recording.
    """
    n, gap = recording.sizes["trial"], ["guard"] * bool(recording.attrs["continuous"])
    valid, test = (max(1, round(share * n)) for share in (deal.valid_fraction, deal.test_fraction))
    late = [*gap, *["valid"] * valid, *gap, *["test"] * test]
    roles = np.full(n, "train", dtype="<U5")
    order = (
        np.argsort(recording["start"].values, kind="stable") if "start" in recording.coords else np.arange(n)
    )
    roles[order[n - len(late) :] if len(late) < n else order] = late[-n:]
    yield roles


def _deal_trials(n: int, strata: np.ndarray, deal: Deal, rng: np.random.Generator) -> Any:
    """Sort by stratum (ties at random) and deal like cards, so that every role spans all strata."""
    order = np.lexsort((rng.permutation(n), strata))
    if deal.folds > 1:
        test_of = np.empty(n, int)
        for first in range(0, n, deal.folds):
            hand = order[first : first + deal.folds]
            test_of[hand] = rng.permutation(deal.folds)[: len(hand)]
        for fold in range(deal.folds):
            roles = np.where(test_of == fold, "test", "train")
            _choose(roles, order, "valid", deal.valid_fraction, rng)
            yield roles
    else:
        roles = np.full(n, "train", dtype="<U5")
        _choose(roles, order, "test", deal.test_fraction, rng)
        _choose(roles, order, "valid", deal.valid_fraction, rng)
        yield roles


def _choose(
    roles: np.ndarray, order: np.ndarray, role: str, fraction: float, rng: np.random.Generator
) -> None:
    """Give `role` to a fraction of all trials, one at random out of each run of neighbours in `order`."""
    free = order[roles[order] == "train"]
    wanted = min(max(1, round(fraction * len(roles))), len(free) - 1)
    for hand in np.array_split(free, wanted):
        roles[rng.choice(hand)] = role


def _deal_blocks(n: int, strata: np.ndarray, deal: Deal, rng: np.random.Generator) -> Any:
    """Deal contiguous blocks of equal length; runs of windows where blocks would be too short for guards."""
    n_blocks = -(-max(_BLOCKS, 4 * deal.folds) // deal.folds) * deal.folds  # as many for each fold
    if n < _LONG * n_blocks:
        yield from _deal_runs(n, deal, rng)
        return
    block = np.arange(n) * n_blocks // n
    for roles in _deal_trials(n_blocks, np.arange(n_blocks), deal, rng):
        yield _guarded(roles[block])


def _deal_runs(n: int, deal: Deal, rng: np.random.Generator) -> Any:
    """Give each role its share of few windows, in as many runs as leave guards a small share of all.

    A fold is tested on one run, its n-th part of the recording; a single split on up to four runs, each at a
    random place of an equal part.
    """
    valid = max(1, round(deal.valid_fraction * n))
    n_runs = int(np.clip(_GUARDS * n / 4, 1, _RUNS["valid"]))
    for fold in range(deal.folds):
        roles = np.full(n, "train", dtype="<U5")
        if deal.folds > 1:
            roles[np.arange(n) * deal.folds // n == fold] = "test"
        else:
            _place_tests(roles, max(1, round(deal.test_fraction * n)), rng)
        _guard_beside(roles)
        for size in np.diff(np.arange(n_runs + 1) * valid // n_runs):
            _place_valid(roles, int(size), rng)
        yield roles


def _place_tests(roles: np.ndarray, n_test: int, rng: np.random.Generator) -> None:
    """Put test windows into as many equal parts of the recording as runs are allowed.

    One run is put at an end; two windows are put at both ends, as one run of them would be one piece of
    evidence.
    """
    n = len(roles)
    n_runs = int(np.clip(_GUARDS * n / 4, 1, min(_RUNS["test"], n_test)))
    if n_test == 2:
        roles[[0, -1]] = "test"
        return
    if n_runs == 1:
        roles[slice(0, n_test) if rng.random() < 0.5 else slice(n - n_test, n)] = "test"
        return
    edges = np.arange(n_runs + 1) * n // n_runs
    for size, first, last in zip(
        np.diff(np.arange(n_runs + 1) * n_test // n_runs), edges, edges[1:], strict=False
    ):
        at = first + rng.integers(last - first - size + 1)
        roles[at : at + size] = "test"


def _place_valid(roles: np.ndarray, size: int, rng: np.random.Generator) -> None:
    """Put a run of validation windows at an end of the longest stretch of training: one guard is enough."""
    training = np.concatenate([[0], (roles == "train").astype(int), [0]])
    edges = np.flatnonzero(np.diff(training)).reshape(-1, 2)
    first, last = max(edges.tolist(), key=lambda edge: edge[1] - edge[0])
    size = max(1, min(size, last - first - 2))
    at = first if rng.random() < 0.5 else last - size
    roles[at : at + size] = "valid"
    _guard_beside(roles)


def _guard_beside(roles: np.ndarray) -> None:
    """Make guards of the training windows that meet a window of another role."""
    for here, there in ((roles[1:], roles[:-1].copy()), (roles[:-1], roles[1:].copy())):
        here[(here == "train") & np.isin(there, ("test", "valid"))] = "guard"


def _guarded(roles: np.ndarray) -> np.ndarray:
    """Make the first window of a block after one of another role a guard; roles (trial,)."""
    out = roles.copy()
    out[1:][roles[1:] != roles[:-1]] = "guard"
    return out


def _apart(roles: np.ndarray, recording: xr.Dataset) -> np.ndarray:
    """Make guards of trials that share raw time with one of another role; of training ones where one is."""
    if "start" not in recording.coords:
        return roles
    roles, start = roles.copy(), recording["start"].values
    slack = 0.5 * float(recording.attrs["bin_width"])  # clocks of samples jitter
    last = np.searchsorted(start, recording["stop"].values - slack)  # trials are in order of time
    for i in np.flatnonzero(last > np.arange(len(roles)) + 1):
        for j in range(i + 1, last[i]):
            if roles[i] != roles[j] and "guard" not in (roles[i], roles[j]):
                roles[i if roles[i] == "train" else j] = "guard"
    return roles


def _units(recording: xr.Dataset, train: list[int], source: Source, dataset: str) -> dict[str, Any]:
    """Keep units that spike in training trials, with rates within limits, at most the fastest max_units."""
    track = rec.kind(recording)
    if track.has_scale:
        return _channels(recording, train, dataset)
    if not track.has_events:
        return {}
    learned = recording.isel(trial=train)
    spikes = rec.spikes(learned)[1].sum(0).astype(np.int64)
    rate = spikes / (float(learned["valid"].sum()) * recording.attrs["bin_width"])
    fast = (spikes > 0) & (rate > source.min_rate_hz if source.min_rate_hz else True)
    slow = int(len(fast) - fast.sum())
    if source.max_rate_hz:
        fast &= rate <= source.max_rate_hz
    kept = np.flatnonzero(fast)
    if source.max_units:
        kept = np.sort(kept[np.argsort(-rate[kept], kind="stable")][: source.max_units])
    if not len(kept):
        raise CortseqError(
            "no unit is left: none fires above min_rate_hz (and up to max_rate_hz) in the training trials",
            key=f"datasets.{dataset}.min_rate_hz",
            value=source.min_rate_hz,
            fix="lower min_rate_hz or check the window",
        )
    silent = int((spikes == 0).sum())
    dropped = {
        "silent": silent,
        "slow": slow - silent,
        "above_max_rate": int(len(fast) - fast.sum()) - slow,
        "beyond_max_units": int(fast.sum()) - len(kept),
    }
    return {"units": kept.tolist(), "units_dropped": dropped}


def _channels(recording: xr.Dataset, train: list[int], dataset: str) -> dict[str, Any]:
    """Channels kept: those that vary in the training trials (the others have no scale to score on)."""
    learned = recording.isel(trial=train)
    values = learned["signal"].values[learned["valid"].values]
    varies = values.max(0) > values.min(0)
    if not varies.any():
        raise CortseqError(
            "no channel is left: all are constant in the training trials",
            key=f"datasets.{dataset}",
            fix="check the file",
        )
    return {
        "channels": np.flatnonzero(varies).tolist(),
        "channels_dropped": {"constant": int((~varies).sum())},
    }


def _is_whole(recording: xr.Dataset, units: list[int]) -> bool:
    """Return whether these are all units of a large recording: it is read in one piece then."""
    return len(units) == recording.sizes["unit"] and streamed.is_large(recording["counts"].shape)


def fold_of(recording: xr.Dataset, manifest: dict[str, Any], fold: int) -> tuple[xr.Dataset, dict[str, Any]]:
    """Return the recording with the units or channels of a fold, and the fold's roles."""
    roles = manifest["folds"][fold]
    if "channels" in roles:
        recording = recording.isel(channel=roles["channels"])
    if "units" in roles and not _is_whole(recording, roles["units"]):
        recording = recording.isel(unit=roles["units"])
        if not streamed.is_large(recording["counts"].shape):  # few units are left: they are read once
            recording["counts"].load()
    return recording, roles
