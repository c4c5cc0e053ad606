"""Tables of trials given with recordings of spikes: which columns they have, and which unit of time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cortseq import proposing
from cortseq.entries import slug
from cortseq.errors import CortseqError
from cortseq.observations import TRACKS
from cortseq.proposing import Draft
from cortseq.sources.base import Proposal
from cortseq.sources.trials import SECONDS, WithTrials, open_table

_STARTS = ("start", "begin", "onset", "on")  # words in the name of a column, the likeliest first
_STOPS = ("stop", "end", "offset", "off")
_UNITS = {"s": "s", "sec": "s", "seconds": "s", "ms": "ms", "msec": "ms", "us": "us", "usec": "us"}
_NUMBERED = {"frame", "frames", "sample", "samples", "index", "indices", "idx"}  # such columns are no times
_LEAST, _KINDS = 4, 20  # rows of a table of trials; different values of a column that is kept as a covariate
_LARGEST = 64_000_000  # bytes of a table of trials
_WITHIN = 0.8  # share of the times of an event that lie in their trials
_LONGEST = 5.0  # s, of a trial whose end no column says


def table_of(path: Path) -> dict[str, Any] | None:
    """Return the entry `trials:` of a file that looks like a table of trials; None where it does not.

    Such a table has a column of times that rise, named after the start of something, and a row per trial.
    Of columns of one such name, one that ends in a unit of time is taken; numbers of frames or samples are
    none. A stop is in no other unit than the start.

    Parameters
    ----------
    path : any file; a folder or a file of more than 64 MB is no table, and is not read.
    """
    if not path.is_file() or path.stat().st_size > _LARGEST:
        return None
    try:
        with proposing.quiet():
            archive = open_table(path, "trials.path")
            columns = {key: archive.squeezed(key, "trials") for key in archive.keys}
    except CortseqError:
        return None
    if len({len(values) for values in columns.values()}) != 1:
        return None
    start = next((k for k in _named(columns, _STARTS) if _rises(columns[k])), None)
    if start is None or len(columns[start]) < _LEAST:
        return None
    entry: dict[str, Any] = {"path": str(path), "start": start}
    unit = _unit(start)
    ends = [k for k in _named(columns, _STOPS) if _follows(columns[start], columns[k])]
    ends = [k for k in ends if unit is None or _unit(k) in (unit, None)]
    stop = min(ends, key=lambda key: _unit(key) is None, default=None)
    if stop is not None:
        entry["stop"] = stop
    kept = [k for k, v in columns.items() if k not in (start, stop) and _is_covariate(v)]
    return entry | ({"columns": kept} if kept else {})


def spike_times(found: Draft) -> np.ndarray | None:
    """Return the spike times of a recording, (spike,) s; None where no table of trials can cut it.

    Parameters
    ----------
    found : entry that was found for the recording alone.
    """
    source = proposing.typed(found.entry)
    file = proposing.place(found.entry)
    if not isinstance(source, WithTrials) or not TRACKS[source.track].has_events or file is None:
        return None
    with proposing.quiet():
        raw = source.load(file, 0)
    if "event_trial" in raw or "event_time" not in raw or not raw.sizes["event"]:
        return None
    return np.asarray(raw["event_time"].values / (source.sampling_rate_hz or 1.0))


def joined(spikes: Draft, trials: dict[str, Any], times: np.ndarray) -> Draft:
    """Return the entry of spikes cut by a table of trials.

    Parameters
    ----------
    spikes : entry that was found for the recording alone.
    trials : of `table_of`.
    times : (spike,) s, of `spike_times`.

    Raises
    ------
    CortseqError : the table fits the spikes in no unit of time (the likeliest's reason).
    """
    file = proposing.place(spikes.entry)
    assert file is not None
    faults: list[CortseqError] = []
    for proposal in _proposals(spikes, trials, times):
        try:
            with proposing.quiet():
                return proposing.settled(file, proposal)
        except CortseqError as error:
            faults.append(error)
    raise faults[0]


def _proposals(spikes: Draft, trials: dict[str, Any], times: np.ndarray) -> Iterator[Proposal]:
    """Yield entries with the table in each unit of time, those that put most trials among the spikes first.

    Parameters
    ----------
    times : (spike,) s.
    """
    starts = open_table(Path(trials["path"]), "trials.path").squeezed(trials["start"], "trials.start")
    starts = starts[np.isfinite(starts)].astype(float)
    said = _unit(trials["start"]) or _unit(trials.get("stop", ""))
    among = {u: _share(starts * scale, times) for u, scale in SECONDS.items() if said in (None, u)}
    for unit in sorted(among, key=lambda u: -among[u]):
        keys = {k: v for k, v in spikes.entry.items() if k not in ("path", "window_ms")}
        notes = {k: v for k, v in spikes.notes.items() if k != "window_ms"}
        table = {**trials, "time_unit": unit}
        why = "its name says the unit" if said else f"GUESS: in {unit}, {among[unit]:.0%} start among spikes"
        notes["trials"] = f"GUESS: a table of {len(starts)} trials; {why}"
        if "stop" not in trials:
            shortest = float(np.diff(np.sort(starts)).min()) * SECONDS[unit]
            keys["window_ms"] = [0.0, float(f"{1e3 * min(shortest, _LONGEST):.6g}")]
            notes["window_ms"] = "GUESS: from each start to the next, no column says where trials end"
        yield Proposal({**keys, "trials": table}, notes, inputs=_events(trials))


def _events(trials: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Return the columns of a table that hold a time within each trial, as inputs that models might see."""
    if "stop" not in trials:
        return {}
    table = open_table(Path(trials["path"]), "trials.path")
    start, stop = (table.squeezed(trials[end], f"trials.{end}").astype(float) for end in ("start", "stop"))
    found = {}
    for name in table.keys:
        values = table.squeezed(name, "trials")
        if name in (trials["start"], trials["stop"]) or values.dtype.kind not in "iuf":
            continue
        known = np.isfinite(values)
        inside = (values >= start) & (values <= stop) & (values != start)
        if known.any() and inside[known].mean() > _WITHIN:
            found[slug(name)] = {"event": name}
    return found


def _share(starts: np.ndarray, times: np.ndarray) -> float:
    """Return the share of trials that start between the last spike and one trial before the first."""
    spare = float(np.median(np.diff(starts)))
    return float(np.mean((starts >= times.min() - spare) & (starts <= times.max())))


def _words(name: str) -> list[str]:
    """Return the lower-case words in the name of a column: `trialStart_ms` -> trial, start, ms."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    return [word for word in re.split(r"[^a-z]+", apart) if word] or [""]


def _unit(name: str) -> str | None:
    """Return the unit of time that the name of a column ends in; None where it names none."""
    return _UNITS.get(_words(name)[-1])


def _named(columns: dict[str, np.ndarray], words: tuple[str, ...]) -> Iterator[str]:
    """Yield columns of times whose name has one of the words: the likeliest word first, then by unit."""
    times = [k for k, v in columns.items() if v.dtype.kind in "iuf" and not _NUMBERED & set(_words(k))]
    for word in words:
        named = [key for key in times if {word, f"{word}s"} & set(_words(key))]
        yield from sorted(named, key=lambda key: _unit(key) is None)


def _rises(values: np.ndarray) -> bool:
    known = values[np.isfinite(values)]
    return len(known) > len(values) / 2 and bool((np.diff(known.astype(float)) > 0).all())


def _follows(start: np.ndarray, stop: np.ndarray) -> bool:
    known = np.isfinite(start) & np.isfinite(stop)
    return known.sum() > len(start) / 2 and bool((stop[known] > start[known]).mean() > 0.5)


def _is_covariate(values: np.ndarray) -> bool:
    """Return whether a column has a few different values that recur, all of them known."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        return False
    n = len(np.unique(values))
    return values.dtype.kind in "iufbU" and 1 < n <= min(_KINDS, len(values) // 2)
