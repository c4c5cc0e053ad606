"""A recording as plain arrays: what models learn from and are scored on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from cortseq import memory
from cortseq import recording as rec
from cortseq._lazy import xr
from cortseq.errors import CortseqError
from cortseq.observations import MAX_LOG_RATE, registry
from cortseq.observations.tracks import TRACKS, Track

Trials = Sequence[int] | np.ndarray | None  # positions of trials; None: all
Params = dict[str, Any]
Made = TypeVar("Made")
LOOKED_AT, FEWEST_TRIALS = 8_000_000, 8  # observations, and trials, of `few`
_JITTER = 1e-4  # of a bin: what two clocks of the same frame rate may differ by


@dataclass(frozen=True)
class Data:
    """A recording as plain arrays.

    Attributes
    ----------
    track : "counts", "symbols" or "signal".
    y : (trial, time, feature) counts or samples, or (trial, time) symbols; counts that are held for learning
        may be compact, of the smallest unsigned type (`blocks`).
    valid : (trial, time) bool, bins that were observed.
    inputs : (trial, time, input), None without any.
    bin_width : s (1 on symbols without a clock).
    n_features : units, channels or symbols.
    observation : what a bin is drawn from (`cortseq.observations`).
    support : largest count that has a probability, 0 where there is no largest one.
    scored : (trial, time) bool, the valid bins whose log-probability counts; None: all.
    labels : values of each covariate of a trial as text, each (trial,); None unless a model asked for them.
    place : (trial,) number of each trial in the recorded order; None unless a model asked for it.
    """

    track: str
    y: np.ndarray
    valid: np.ndarray
    inputs: np.ndarray | None
    bin_width: float
    n_features: int
    observation: str = ""  # that of the track where nothing is said
    support: int = 0
    scored: np.ndarray | None = None
    labels: dict[str, np.ndarray] | None = None
    place: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Fill in the track's default observation."""
        object.__setattr__(self, "observation", self.observation or self.kind.default)

    @classmethod
    def of(
        cls,
        recording: xr.Dataset,
        trials: Trials | slice = None,
        sees: Sequence[str] = (),
        driven: bool = True,
        compact: bool = False,
    ) -> Data:
        """Take some trials (all: None) of a Recording as arrays.

        Parameters
        ----------
        recording : a Recording.
        trials : (trial,) positions along `trial`, or a slice.
        sees : what a model is given beside observations and inputs, of "labels" and "place" (`Model.sees`).
        driven : whether the model is given inputs.
        compact : whether counts that are more than a block are of the smallest type; see `blocks`.

        Raises
        ------
        CortseqError : trials that are no positions in the recording (`cortseq.recording.positions`).
        """
        if trials is not None:
            chosen = trials if isinstance(trials, slice) else rec.positions(recording, trials)
            recording = recording.isel(trial=chosen)
        kind = rec.track(recording)
        y = rec.compact(recording) if compact else rec.observations(recording)
        n = TRACKS[kind].n_features(y, recording.attrs.get("n_symbols", 0))
        inputs = None
        if driven and "inputs" in recording:
            inputs = recording["inputs"].transpose("trial", "time", "input").values
        return cls(
            kind,
            y,
            recording["valid"].values,
            inputs,
            recording.attrs["bin_width"],
            n,
            rec.observation(recording),
            int(recording.attrs.get("support", 0)),
            labels=rec.trial_labels(recording) if "labels" in sees else None,
            place=recording["trial"].values.astype(int) if "place" in sees else None,
        )

    def at(self, index: Any) -> Data:
        """Return some trials, or with an index (trial, time) some bins of them."""
        inputs = None if self.inputs is None else self.inputs[index]
        scored = None if self.scored is None else self.scored[index]
        found = replace(self, y=self.y[index], valid=self.valid[index], inputs=inputs, scored=scored)
        trial = index[0] if isinstance(index, tuple) else index
        labels = None if self.labels is None else {k: v[trial] for k, v in self.labels.items()}
        return replace(found, labels=labels, place=None if self.place is None else self.place[trial])

    @property
    def is_compact(self) -> bool:
        """Whether these are counts of the smallest type, which are computed with block by block."""
        return self.y.dtype.kind == "u"

    def blocks(self, breadth: float = 1.0) -> Iterator[tuple[slice, Data]]:
        """Yield blocks of trials and where they are, compact counts as int32: they are safe to compute with.

        Data that are not compact are one block, and yielded as they are.

        Parameters
        ----------
        breadth : numbers that are made of each bin and feature; blocks are so much smaller (`Model.breadth`).
        """
        if not self.is_compact:
            yield slice(None), self
            return
        for trials in memory.blocks(len(self.y), self.y[:1].size * breadth):
            block = self.at(trials)
            yield trials, replace(block, y=block.y.astype(np.int32))

    @property
    def has_gaps(self) -> bool:
        """Whether a missing bin is followed by one that was observed."""
        return bool((~self.valid & (np.arange(self.valid.shape[1]) < self.lengths[:, None])).any())

    @property
    def lengths(self) -> np.ndarray:
        """Bins of each trial up to its last valid one, (trial,); 0 for a trial without a valid bin."""
        return lengths(self.valid)

    def for_networks(self, tell_missing: bool) -> Data:
        """Return what a network steps through: nothing is changed without inputs and gaps.

        With inputs a missing bin comes before each trial, which hands the input of bin 0 to the first
        prediction. `tell_missing`: one more input says in each bin whether the bin before was missing.
        """
        found = self
        if tell_missing:
            missed = np.zeros((*self.valid.shape, 1))
            missed[:, 1:, 0] = ~self.valid[:, :-1]
            found = replace(
                found, inputs=missed if self.inputs is None else np.concatenate([self.inputs, missed], -1)
            )
        if self.inputs is None:
            return found
        scored = None if found.scored is None else _led(found.scored)
        assert found.inputs is not None
        return replace(
            found, y=_led(found.y), valid=_led(found.valid), inputs=_led(found.inputs), scored=scored
        )

    def learnable(self) -> Data:
        """Return the data with the support that follows from these trials alone, as training trials."""
        of = registry.distribution(self.observation).support_of
        return replace(self, support=max(of(block.y[block.valid]) for _, block in self.blocks()))

    def within(self, support: int) -> Data:
        """Return the data under the support that a fit learned.

        Raises
        ------
        CortseqError : a count beyond it, which has probability 0.
        """
        if support and self.kind.has_events and (beyond := self.y * self.valid[..., None] > support).any():
            raise CortseqError(
                f"a count lies beyond the support 0 to {support} of {self.observation}, twice the largest "
                "training count + 20: its probability is 0",
                key="observation",
                value=int(self.y[beyond].max()),
                fix="use negative_binomial or generalised_poisson, or leave the trial out",
            )
        return replace(self, support=support)

    @property
    def kind(self) -> Track:
        """What depends on counts, symbols or signals."""
        return TRACKS[self.track]

    @property
    def counted(self) -> np.ndarray:
        """Bins whose log-probability counts, (trial, time)."""
        return self.valid if self.scored is None else self.scored

    @property
    def n_inputs(self) -> int:
        """Number of recorded inputs."""
        return 0 if self.inputs is None else self.inputs.shape[2]

    def input_mean(self) -> list[float]:
        """Return mean of the recorded inputs over valid bins, (n_inputs,)."""
        return [] if self.inputs is None else self.inputs[self.valid].mean(0).tolist()

    def n_events(self) -> np.ndarray:
        """Return events that scores are divided by, (trial, time): spikes, or 1 for a symbol or sample."""
        return self.kind.n_events(self.y, self.counted)

    def digest(self) -> str:
        """Return sha256 of everything a model can learn from; that of compact counts is as of int32."""
        h = hashlib.sha256(f"{self.track} {self.bin_width!r} {self.n_features}".encode())
        kind = np.dtype(np.int32) if self.is_compact else self.y.dtype
        h.update(f"{self.y.shape} {kind.str}".encode())
        for _, block in self.blocks():
            h.update(np.ascontiguousarray(block.y).tobytes())
        for array in (self.valid, self.inputs):
            if array is not None:
                h.update(f"{array.shape} {array.dtype.str}".encode())
                h.update(np.ascontiguousarray(array).tobytes())
        if self.place is not None:
            h.update(self.place.tobytes())
        for name, values in (self.labels or {}).items():
            h.update("\x1f".join([name, *values]).encode())
        return h.hexdigest()

    def masked(self, log_prob: np.ndarray) -> np.ndarray:
        """Return `log_prob` (..., trial, time) with NaN where a bin is missing."""
        return np.where(self.valid, log_prob, np.nan)


def same_width(a: float, b: float) -> bool:
    """Return whether bins are equally wide but for the jitter of clocks: to one part in 10,000."""
    return abs(a - b) <= _JITTER * max(abs(a), abs(b))


class Passes(Generic[Made]):
    """What is computed from blocks of trials, anew in each pass over them; that of one block is kept.

    Parameters
    ----------
    data : the trials.
    make : computes it from a block.
    breadth : as of `Data.blocks`.
    """

    def __init__(self, data: Data, make: Callable[[Data], Made], breadth: float = 1.0):
        self.data, self.make, self.breadth = data, make, breadth
        self.kept = None if data.is_compact else make(data)

    def __iter__(self) -> Iterator[Made]:
        """Yield what is computed from each block."""
        if self.kept is not None:
            yield self.kept
            return
        for _, block in self.data.blocks(self.breadth):
            yield self.make(block)


def points_of(
    parts: Passes[tuple[np.ndarray, np.ndarray]], most: int, rng: np.random.Generator
) -> np.ndarray:
    """Return all valid bins, or `most` of them at random, (point, feature).

    Parameters
    ----------
    parts : values (trial, time, feature) and which of them are valid (trial, time), of each block.
    """
    n = int(parts.data.valid.sum())
    chosen = rng.choice(n, most, replace=False) if n > most else np.arange(n)
    points, first = np.empty((len(chosen), parts.data.n_features)), 0
    for values, valid in parts:
        last = first + int(valid.sum())
        within = np.flatnonzero((chosen >= first) & (chosen < last))
        points[within] = values[valid][chosen[within] - first]
        first = last
    return points


def lengths(valid: np.ndarray) -> np.ndarray:
    """Return the bins up to the last one of `valid` (trial, time), (trial,); 0 where there is none."""
    return np.where(valid.any(1), valid.shape[1] - np.argmax(valid[:, ::-1], axis=1), 0)


def _led(array: np.ndarray) -> np.ndarray:
    """Return (trial, time, ...) with a bin of zeros before the first."""
    return np.concatenate([np.zeros_like(array[:, :1]), array], 1)


def evenly(trials: ArrayLike, n: int) -> np.ndarray:
    """Return up to n of the trials, evenly over all: they may be sorted by a covariate.

    Parameters
    ----------
    trials : (trial,) positions.
    n : how many at most.
    """
    trials = np.asarray(trials, int)
    return np.asarray(trials[np.linspace(0, len(trials) - 1, min(n, len(trials))).round().astype(int)])


def few(recording: xr.Dataset, trials: ArrayLike) -> np.ndarray:
    """Return those of the trials that an analysis looks at which holds all of them at once.

    They are all trials, unless the observations in them are more than LOOKED_AT. Then so many trials are
    taken, evenly over all, but no fewer than FEWEST_TRIALS. The choice does not depend on the machine.

    Parameters
    ----------
    recording : a Recording.
    trials : (trial,) positions.
    """
    per_trial = recording[rec.kind(recording).name].size / recording.sizes["trial"]
    return evenly(trials, max(FEWEST_TRIALS, int(LOOKED_AT // max(per_trial, 1))))


def check_rates(data: Data) -> None:
    """Raise a CortseqError for counts so high that a rate exp(eta) with bounded eta cannot be their mean."""
    if not data.kind.has_events or not data.valid.any():
        return
    total = sum(block.y[block.valid].sum(0) for _, block in data.blocks())
    mean = (total / data.valid.sum()).max(initial=0.0)
    if mean >= np.exp(MAX_LOG_RATE):
        raise CortseqError(
            f"a rate is held at {np.exp(MAX_LOG_RATE):.0f} counts a bin, and the mean of a unit is higher",
            key="bin_ms",
            value=float(mean),
            fix="choose narrower bins",
        )


def check_card(data: Data, card: dict[str, Any]) -> None:
    """Raise a CortseqError unless the fit that `card` describes can score `data`."""
    if (data.track, data.n_features) != (card["track"], card["n_features"]):
        raise CortseqError(
            f"the fit is for {card['n_features']} features of {card['track']}, "
            f"the recording has {data.n_features} of {data.track}",
            fix="select the fold's units or channels",
        )
    if data.observation != card["observation"]:
        raise CortseqError(
            f"the fit is for {card['observation']} counts: "
            "likelihoods of two observation models are not compared",
            key="observation",
            value=data.observation,
            fix="fit and score under one observation model",
        )
