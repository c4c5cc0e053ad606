"""What a text file may be: proposals of `inspect` and `new`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from cortseq.errors import CortseqError
from cortseq.sources.base import Proposal
from cortseq.sources.columns import decode
from cortseq.sources.guesses import time_unit

_HEAD = 2000  # lines that are looked at
_MARKS = (",", ";", "\t", " ")


def propose(file: Path) -> list[Proposal]:
    """Return entries that may read a text file, the likeliest first."""
    lines = [line for line in decode(file).splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        raise CortseqError("holds no lines", file=file, fix="check the file")
    rows = [_numbers(line) for line in lines[:_HEAD]]
    if all(row is not None for row in rows):
        widths = {len(row) for row in rows if row is not None}
        if widths == {1}:
            return _one_column(np.array([row[0] for row in rows if row]), lines)
        if len(widths) == 1:
            return _table(np.array(rows, float))
        rising = all((np.diff(row) >= 0).all() for row in rows if row)
        fractions = any(value % 1 for row in rows for value in row or ())
        if rising and fractions:
            unit, why = time_unit(np.concatenate([np.array(row, float) for row in rows if row]), len(rows))
            entry = {"source": "text", "content": "spike_lines", "time_unit": unit}
            return [
                Proposal(entry, {"content": "GUESS: the numbers of each line rise", "time_unit": why}, 0.8)
            ]
    return _symbols(lines)


def _numbers(line: str) -> list[float] | None:
    fields = [field for field in re.split(r"[,;\t ]+", line.partition("#")[0].strip()) if field]
    try:
        return [float(field) for field in fields]
    except ValueError:
        return None


def _one_column(values: np.ndarray, lines: list[str]) -> list[Proposal]:
    """Return entries for one number a line: spike times where they rise, else a signal or labels."""
    if (np.diff(values) >= 0).all() and len(np.unique(values)) > len(values) / 2:
        unit, why = time_unit(values, 1)
        entry: dict[str, Any] = {"source": "text", "content": "spike_times", "time_unit": unit}
        return [Proposal(entry, {"content": "GUESS: the numbers rise", "time_unit": why}, 0.8)]
    if (values % 1 == 0).all() and len(np.unique(values)) <= 50:
        return _symbols(lines)
    entry = {"source": "text", "content": "signal", "axes": ["time", "channel"], "frame_rate_hz": 10.0}
    return [Proposal(entry, {"frame_rate_hz": "GUESS: the file does not say"}, 0.3)]


def _table(values: np.ndarray) -> list[Proposal]:
    """Return entries for a table of numbers: a list of spikes, or samples along its longer side."""
    made = []
    if values.shape[1] in (2, 3):
        whole = [i for i in range(values.shape[1]) if (values[:, i] % 1 == 0).all()]
        fine = [i for i in range(values.shape[1]) if i not in whole]
        if len(fine) == 1 or len(whole) == values.shape[1]:
            time = fine[0] if fine else int(np.argmax([len(np.unique(column)) for column in values.T]))
            unit = next(i for i in whole if i != time)
            columns = [{time: "time", unit: "unit"}.get(i, "trial") for i in range(values.shape[1])]
            scale, why = time_unit(values[:, time], len(np.unique(values[:, unit])))
            entry: dict[str, Any] = {
                "source": "text",
                "content": "spikes",
                "columns": columns,
                "time_unit": scale,
            }
            notes = {"columns": "GUESS: whole numbers are units", "time_unit": why}
            if len(np.unique(values[:, unit])) < len(values) / 4:
                made.append(Proposal(entry, notes, 0.7))
    axes = ["time", "channel"] if values.shape[0] >= values.shape[1] else ["channel", "time"]
    entry = {"source": "text", "content": "signal", "axes": axes, "frame_rate_hz": 10.0}
    notes = {"axes": "GUESS: the longer side is time", "frame_rate_hz": "GUESS: the file does not say"}
    return [*made, Proposal(entry, notes, 0.3)]


def _symbols(lines: list[str]) -> list[Proposal]:
    """Return entries for sequences of labels: separated by a mark that most lines have, or single letters."""
    share = {mark: np.mean([mark in line.strip() for line in lines]) for mark in _MARKS}
    mark = next((m for m in _MARKS if share[m] > 0.5), None)
    entry: dict[str, Any] = {"source": "text"}
    if mark is not None:
        return [Proposal({**entry, "separator": mark}, {"separator": "between the labels of a line"}, 0.5)]
    if len({line.strip() for line in lines}) <= 50 and len(lines) > 200 and max(map(len, lines)) < 30:
        entry["separator"] = ","
        return [Proposal(entry, {"separator": "GUESS: every line is one label"}, 0.4)]
    return [Proposal(entry, {"source": "every letter is a label, every line a sequence"}, 0.5)]
