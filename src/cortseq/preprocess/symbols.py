"""Sequences of labels: gaps, runs of one label, windows of one long record."""

from __future__ import annotations

import json

import numpy as np

from cortseq import data
from cortseq import recording as rec
from cortseq._lazy import xr
from cortseq.errors import CortseqError
from cortseq.preprocess import labels
from cortseq.sources.base import Source


def symbols(raw: xr.Dataset, source: Source) -> xr.Dataset:
    """Return the Recording of raw symbols.

    A bin inside a sequence that `valid` leaves out is missing: it is masked, and its neighbours do not become
    neighbours. With `collapse` a run of one label becomes one label. With `window_events` all sequences are
    cut into windows of so many labels, and lines of one label each are one record.
    """
    sequences, known = _sequences(raw)
    if source.window_events and max(map(len, sequences)) == 1:  # a label per line
        sequences, known = [np.concatenate(sequences)], [np.concatenate(known)]
    dirt = {}
    if source.collapse:
        kept = [_changes(s, k) for s, k in zip(sequences, known, strict=True)]
        dirt["labels_collapsed"] = int(sum((~keep).sum() for keep in kept))
        sequences = [s[keep] for s, keep in zip(sequences, kept, strict=True)]
        known = [k[keep] for k, keep in zip(known, kept, strict=True)]
    starts = None
    if source.window_events:
        sequences, known, starts = _windows(sequences, known, source.window_events)
    recording = rec.from_symbols(
        sequences,
        n_symbols=int(raw.attrs["n_symbols"]),
        covariates=labels.covariates(raw),
        labels=raw.attrs.get("labels"),
    )
    for row, mask in zip(recording["valid"].values, known, strict=True):
        row[: len(mask)] &= mask
    recording.attrs["dirt"] = json.dumps({key: n for key, n in dirt.items() if n})
    if starts is not None:
        stops = starts + np.array([len(s) for s in sequences])
        recording = recording.assign_coords(start=("trial", starts), stop=("trial", stops))
        recording.attrs["continuous"] = 1
    if "ceiling" in raw and starts is None and not source.collapse:
        recording["ceiling"] = ("trial", "time"), raw["ceiling"].values[:, : recording.sizes["time"]]
    return recording


def _sequences(raw: xr.Dataset) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return labels (label,) of each sequence up to its last known one, and which of them are known."""
    valid = raw["valid"].values
    lengths = data.lengths(valid)
    values = np.where(valid, raw["symbols"].values, 0)
    rows = list(zip(values, valid, lengths, strict=True))
    return [row[:n] for row, _, n in rows], [mask[:n] for _, mask, n in rows]


def _changes(sequence: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return which labels differ from the one before, (label,) bool; missing ones end a run."""
    now = np.where(known, sequence, -1)
    return np.append(True, now[1:] != now[:-1])[: len(now)]


def _windows(
    sequences: list[np.ndarray], known: list[np.ndarray], length: int
) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
    """Return windows of `length` labels, which of them are known, and the place of each window in the record.

    A remainder that is shorter than a window is not used. Sequences longer than one label are cut apart, with
    a window's room between them, so that none counts as the neighbour of another's.
    """
    cut, masks, starts, at = [], [], [], 0
    for sequence, mask in zip(sequences, known, strict=True):
        for first in range(0, len(sequence) - length + 1, length):
            cut.append(sequence[first : first + length])
            masks.append(mask[first : first + length])
            starts.append(at + first)
        at += len(sequence) + length
    if not cut:
        longest = max(map(len, sequences))
        raise CortseqError(
            f"no sequence has so many labels, the longest has {longest}", key="window_events", value=length
        )
    return cut, masks, np.array(starts)
