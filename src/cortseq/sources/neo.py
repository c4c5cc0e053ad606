"""Every format that Neo reads (Plexon, Blackrock, Spike2, Axon, Neuralynx, Intan, NIX ...).

Garcia et al. 2014 Front Neuroinform 8:10.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from cortseq._lazy import xr
from cortseq.errors import CortseqError, MissingExtra
from cortseq.sources.base import Proposal, Source
from cortseq.sources.raw import clocked, dense, from_trains
from cortseq.sources.summaries import summarise_dirt, summarise_events


class Neo(Source):
    """`source: neo`: spike trains, or with `signal` an analog signal, of the file's first block.

    Its segments are trials, on a clock that starts at 0 in each; one segment alone is a continuous
    recording. Units are matched by their place in the segment. Pickles are never read.
    """

    suffixes: ClassVar[tuple[str, ...]] = (
        ".abf",
        ".axgd",
        ".axgx",
        ".edf",
        ".ncs",
        ".nev",
        ".nex",
        ".nix",
        ".nse",
        ".ntt",
        ".plx",
        ".rhd",
        ".rhs",
        ".smr",
        ".smrx",
        ".tdt",
    )

    source: Literal["neo"] = "neo"
    reader: str | None = Field(None, description="class of neo.io, AxonIO say; default: by the file's suffix")
    signal: str | int | None = Field(None, description="name or number (from 0) of an analog signal to read")

    @property
    def track(self) -> Literal["counts", "symbols", "signal"]:
        """Track of the recording: counts, symbols or signal."""
        return "counts" if self.signal is None else "signal"

    @model_validator(mode="after")
    def _no_pickle(self) -> Self:
        if self.reader and "pickle" in self.reader.lower():
            raise ValueError("reader: pickles are never read -- save the recording in another format")
        if self.covariates:
            raise ValueError("covariates: this source has none -- remove the key")
        return self

    def load(self, file: Path | None, seed: int) -> xr.Dataset:
        """Read the file into a raw Dataset; see `Source.load`."""
        assert file is not None
        segments = _segments(file, self.reader)
        return _spikes(segments, file) if self.signal is None else self._signal(segments, file)

    def _signal(self, segments: list[Any], file: Path) -> xr.Dataset:
        parts = [self._find(segment.analogsignals, file) for segment in segments]
        widths = [float(s.sampling_period.rescale("s").magnitude) for s in parts]
        shapes = {np.shape(s)[1] for s in parts}
        if len(shapes) > 1 or not np.allclose(widths, widths[0]):
            raise CortseqError(
                f"the segments differ in channels {sorted(shapes)} or sample width", file=file, key="signal"
            )
        values = np.full((len(parts), max(map(len, parts)), shapes.pop()), np.nan)
        for trial, signal in enumerate(parts):
            values[trial, : len(signal)] = signal.magnitude
        axes = ("trial", "time", "channel")
        raw = dense(values, "signal", axes, file=file, key=f"signal: {self.signal}")
        if len(parts) > 1:
            return clocked(raw, widths[0])
        raw = clocked(raw.isel(trial=0), widths[0])
        return raw.assign_coords(time=raw["time"] + float(parts[0].t_start.rescale("s").magnitude))

    def _find(self, signals: list[Any], file: Path) -> Any:
        names = [s.name for s in signals]
        if isinstance(self.signal, int) and 0 <= self.signal < len(signals):
            return signals[self.signal]
        if self.signal in names:
            return signals[names.index(self.signal)]
        raise CortseqError(
            "no such analog signal", file=file, key="signal", value=self.signal, fix=f"it has {names}"
        )

    @classmethod
    def propose(cls, file: Path) -> list[Proposal]:
        """Return entries that may read the file."""
        segments = _segments(file, None)
        if any(segment.spiketrains for segment in segments):
            return [Proposal({"source": "neo"})]
        note = "GUESS: the first analog signal"
        return [Proposal({"source": "neo", "signal": 0}, {"signal": note}, 0.5)]

    @classmethod
    def inspect(cls, file: Path) -> list[str]:
        """Return what the file holds, one line a fact."""
        segments = _segments(file, None)
        lines = [f"kind: file that Neo reads, {len(segments)} segment(s) (source: neo)"]
        for i, signal in enumerate(segments[0].analogsignals):
            rate = float(signal.sampling_rate.rescale("Hz").magnitude)
            lines.append(f"signal {i} {signal.name}: {signal.shape} at {rate:g} Hz, {signal.dimensionality}")
        if any(segment.spiketrains for segment in segments):
            raw = _spikes(segments, file)
            lines += [*summarise_events(raw, "spike trains"), f"dirt: {summarise_dirt(raw)}"]
        return lines


def _segments(file: Path, reader: str | None) -> list[Any]:
    """Return the segments of the first block."""
    try:
        import neo
    except ImportError as error:
        raise MissingExtra("neo", "neo", file) from error
    if file.suffix.lower() in (".pkl", ".pickle"):
        raise CortseqError("is a pickle, which is never read", file=file, fix="save it in another format")
    if reader is not None and not hasattr(neo.io, reader):
        raise CortseqError(
            "neo has no such reader",
            file=file,
            key="reader",
            value=reader,
            fix=f"one of {sorted(io.__name__ for io in neo.io.iolist)}",
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            stream = getattr(neo.io, reader)(str(file)) if reader else neo.io.get_io(str(file))
            segments = _first_block(stream)
        except Exception as error:  # each of Neo's readers raises its own kinds
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise CortseqError(
                f"is not read by neo ({reason})", file=file, key="reader", value=reader, fix="name the reader"
            ) from error
    if not segments:
        raise CortseqError("holds no segment", file=file, fix="check the file")
    return segments


def _first_block(stream: Any) -> list[Any]:
    """Return the first block; some readers know blocks, the simplest only a segment."""
    kinds = {kind.__name__ for kind in stream.readable_objects}
    return list(stream.read_block().segments) if "Block" in kinds else [stream.read_segment()]


def _spikes(segments: list[Any], file: Path) -> xr.Dataset:
    counts = {len(segment.spiketrains) for segment in segments}
    if len(counts) > 1 or counts == {0}:
        raise CortseqError(
            f"the segments hold {sorted(counts)} spike trains",
            file=file,
            key="signal",
            fix="read an analog signal by `signal:`" if counts == {0} else "each must have all units",
        )
    trains: dict[str, np.ndarray] = {}
    trials = []
    for i in range(counts.pop()):
        parts = [np.asarray(s.spiketrains[i].rescale("s").magnitude, float) for s in segments]
        if len(segments) > 1:
            parts = [
                t - float(s.spiketrains[i].t_start.rescale("s")) for t, s in zip(parts, segments, strict=True)
            ]
        trains[_name(segments[0].spiketrains[i], i, trains)] = np.concatenate(parts)
        trials.append(np.repeat(np.arange(len(parts)), list(map(len, parts))))
    several = len(segments) > 1
    raw = from_trains(trains, file=file, key="spiketrains", trials=trials if several else None)
    return raw.assign_coords(trial=np.arange(len(segments))) if several else raw


def _name(train: Any, i: int, taken: dict[str, Any]) -> str:
    """Return the unit's name where the file has a good one, else its number."""
    return str(train.name) if train.name and str(train.name) not in taken else str(i)


SOURCE = Neo
