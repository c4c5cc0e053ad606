"""What arrays of a file may be: proposals of `inspect` and `new`, from names, shapes and values.

Nothing here is used when a study runs: a source reads what its entry says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cortseq.recording.shapes import OWN_NAMES
from cortseq.sources.base import Proposal

_MANY = 50  # counts per bin are fewer on average; larger whole numbers are indices
_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
_FINE = 2e-3  # s; times of spikes are known this well
_TIME = r"time|stamp|spk|^t$|^ts$"
_UNIT = r"unit|neuron|cluster|clu|cell|electrode|channel|^u$|^id"
_TRIAL = r"trial|sweep|^tr$|^rep"
_NUMBERS = r"count|number|n_?sp|num"
_NEURAL = r"trace|dff|df_f|gcamp|fluo|calcium|neural|activ|spks|signal|raster|rates?$|^f$|^c$|deconv|roi"
_LABEL = r"syll|label|symbol|state|behaviou?r|motif|stage"
_RATE = r"fps|fs$|rate|hz"
_SOUND = r"song|audio|sound|mic"
_WIDTH = r"^bin|_bin|bin_|^dt$|width|^step$"
_WINDOWS = 60  # that a continuous recording is cut into, where it is long enough
_LONGEST = 5.0  # s, of such a window
_LEAST = 10  # bins of one
_NICE = tuple(k * 10**e for e in range(12) for k in (1, 2, 5))  # in rising order
_AS_COVARIATE = 200  # different values that a covariate has at most, where it is text


@dataclass
class _Found:
    """Arrays of a file by their use."""

    arrays: Mapping[str, np.ndarray]
    scalars: dict[str, float] = field(default_factory=dict)
    lists: dict[str, np.ndarray] = field(default_factory=dict)  # vectors of numbers
    texts: dict[str, np.ndarray] = field(default_factory=dict)  # vectors of text
    tables: dict[str, np.ndarray] = field(default_factory=dict)  # two or three axes

    def __post_init__(self) -> None:
        for key, values in self.arrays.items():
            flat = values.ravel() if values.ndim == 2 and 1 in values.shape else values
            if values.size == 1 and values.dtype.kind in "iuf":
                self.scalars[key] = float(values.ravel()[0])
            elif flat.ndim == 1 and flat.size > 1:
                {"U": self.texts}.get(values.dtype.kind, self.lists)[key] = flat
            elif values.ndim in (2, 3) and values.size:
                self.tables[key] = values


def from_arrays(source: str, arrays: Mapping[str, np.ndarray]) -> list[Proposal]:
    """Return entries that may read named arrays, the likeliest first.

    Parameters
    ----------
    source : name of the source that reads the file.
    arrays : key -> array of any shape; numbers or text.
    """
    found = _Found({k: v for k, v in arrays.items() if v.dtype.kind in "iufbU"})
    made = [*_spike_lists(found), *_ragged(found), *_dense(found), *_labels(found), *_vectors(found)]
    return [Proposal({"source": source, **p.entry}, p.notes, p.sure) for p in made]


def _named(words: str, keys: Iterable[str]) -> list[str]:
    """Return the keys whose last part fits the pattern."""
    return [k for k in keys if re.search(words, k.rpartition("/")[2].rpartition(".")[2], re.IGNORECASE)]


def time_unit(times: np.ndarray, n_units: int, name: str = "", trials: int = 1) -> tuple[str, str]:
    """Return the likeliest unit of spike times, and the reason.

    Parameters
    ----------
    times : (spike,) in the unknown unit.
    n_units, trials : how many units and trials they are of.
    name : of the array; it may say the unit.
    """
    said = re.search(r"(?:_|\(|\[)(ms|us|s|sec|seconds)[)\]]?$", name.lower())
    if said:
        return {"sec": "s", "seconds": "s"}.get(said[1], said[1]), "its name says so"
    good = np.unique(times[np.isfinite(times)])
    if len(good) < 2:
        return "s", "GUESS"
    step, span = float(np.diff(good).min()), float(np.ptp(good))
    for low, high, fine in ((0.2, 100.0, _FINE), (0.01, 300.0, _FINE), (0.2, 100.0, np.inf)):
        for unit, scale in _UNITS.items():
            rate = len(times) / (span * scale * n_units * trials)
            if low <= rate <= high and step * scale <= fine:
                return unit, f"GUESS: it makes {rate:.3g} spikes/s per unit"
    return "s", "GUESS: no unit of time makes plausible rates"


def window_for(span: float, width: float) -> tuple[float, str]:
    """Return the length in ms of windows that cut a continuous recording into about 60, and the remark.

    Parameters
    ----------
    span, width : of the recording and of a bin, s.
    """
    length = max(min(_LONGEST if width < 0.1 else 20 * width, span / _WINDOWS), _LEAST * width)
    bins = max(int(nice_below(length / width)), _LEAST)
    remark = f"GUESS: windows of {bins} bins, about {int(span / (bins * width))} of them"
    return float(f"{bins * width * 1e3:.6g}"), remark


def nice_below(number: float) -> int:
    """Return the largest of 1, 2, 5, 10, 20, 50, ... that is not above `number`."""
    return max((n for n in _NICE if n <= number * (1 + 1e-9)), default=1)


def nice_above(number: float) -> int:
    """Return the smallest of 1, 2, 5, 10, 20, 50, ... that is not below `number`."""
    return int(next(n for n in _NICE if n >= number * (1 - 1e-9)))


# -- spikes ----------------------------------------------------------------------------------------


def _spike_lists(found: _Found) -> list[Proposal]:
    """Return lists of equal length of times, units and perhaps trials."""
    made = []
    for key in _named(_TIME, found.lists):
        times = found.lists[key]
        same = {k: v for k, v in found.lists.items() if len(v) == len(times) and k != key and _whole(v)}
        same |= {k: v for k, v in found.texts.items() if len(v) == len(times)}
        trial = next(iter(_named(_TRIAL, same)), None)
        unit = next((k for k in _named(_UNIT, same) if k != trial), None)
        if unit is None or times.dtype.kind not in "iuf":
            continue
        entry: dict[str, Any] = {"spike_times": key, "spike_units": unit}
        notes: dict[str, str] = {}
        n_trials = 1
        if trial is not None:
            entry["spike_trials"] = trial
            first = int(same[trial].min())
            n_trials = int(same[trial].max()) - first + 1
            if first:
                entry["first_trial"] = first
        scale = _set_unit(entry, notes, times, len(np.unique(same[unit])), key, n_trials)
        if trial is not None:
            stop = float(np.ceil(times.max() * scale * 1e3 / 100) * 100)
            entry["window_ms"] = [min(0.0, float(np.floor(times.min() * scale * 1e3 / 100) * 100)), stop]
            notes["window_ms"] = "GUESS: from the earliest to the latest spike"
            entry |= _covariates(found, n_trials)
        made.append(Proposal(entry, notes, 0.95))
    return made


def _set_unit(
    entry: dict[str, Any], notes: dict[str, str], times: np.ndarray, n_units: int, key: str, n_trials: int = 1
) -> float:
    """Put the likeliest unit of times into the entry; return it in s."""
    unit, why = time_unit(times, n_units, key, n_trials)
    entry["time_unit"], notes["time_unit"] = unit, why
    return _UNITS[unit]


def _ragged(found: _Found) -> list[Proposal]:
    """Return spikes of all units in a row, with how many each unit has or where its spikes end."""
    made = []
    for key, times in found.lists.items():
        if times.dtype.kind not in "iuf" or not np.isfinite(times).all() or (times < 0).any():
            continue
        said = bool(_named("spk|spike", [key]))
        for other, sizes in found.lists.items():
            if other == key or not _whole(sizes) or len(sizes) >= len(times) or (sizes < 0).any():
                continue
            kind = "spike_numbers" if sizes.sum() == len(times) else None
            if kind is None and sizes[-1] == len(times) and (np.diff(sizes) >= 0).all():
                kind = "spike_index"
            if kind is None or not _rising_parts(times, sizes, kind):
                continue
            entry: dict[str, Any] = {"spike_times": key, kind: other}
            notes: dict[str, str] = {}
            names = [k for k, v in found.texts.items() if len(v) == len(sizes) == len(set(v.tolist()))]
            entry |= {"unit_names": names[0]} if names else {}
            _set_unit(entry, notes, times, len(sizes), key)
            made.append(Proposal(entry, notes, 0.9 if said else 0.5))
    return made


def _rising_parts(times: np.ndarray, sizes: np.ndarray, kind: str) -> bool:
    """Return whether times rise within each part that `sizes` cuts them into."""
    ends = np.cumsum(sizes) if kind == "spike_numbers" else sizes
    back = np.flatnonzero(np.diff(times) < 0) + 1
    return bool(np.isin(back, ends).all())


# -- samples ---------------------------------------------------------------------------------------


def _dense(found: _Found) -> list[Proposal]:
    """Return arrays of counts or of a signal with two or three axes."""
    made = []
    for key, values in found.tables.items():
        if values.dtype.kind not in "iufb":
            continue
        counts = _are_counts(values)
        axes, known = _axes(found, values, "unit" if counts else "channel")
        entry: dict[str, Any] = {"counts" if counts else "signal": key, "axes": axes}
        notes = {"axes": "from arrays of the same lengths" if known else "GUESS: the longest axis is time"}
        n_time = values.shape[axes.index("time")]
        _set_clock(found, entry, notes, n_time, "trial" in axes, key)
        if "trial" in axes:
            entry |= _covariates(found, values.shape[axes.index("trial")])
        labels = _labels_of_units(found, values.shape, axes)
        entry |= {"units": labels} if labels else {}
        named = bool(_named(_NEURAL, [key])) or counts
        size = np.log10(values.size) / 100
        made.append(Proposal(entry, notes, (0.7 if named else 0.4) + size + (0.1 if values.ndim == 3 else 0)))
    return made


def _are_counts(values: np.ndarray) -> bool:
    if values.dtype.kind == "f" or values.ndim < 2:
        whole = bool(np.isfinite(values).all() and (values == np.floor(values)).all() and np.ptp(values) > 0)
        return whole and values.min() >= 0 and values.mean() < _MANY
    return bool(values.dtype.kind in "iub" and values.min() >= 0 and values.mean() < _MANY)


def _axes(found: _Found, values: np.ndarray, feature: str) -> tuple[list[str], bool]:
    """Return what the axes are, and whether arrays of the same length say so."""
    times = {len(found.lists[k]) for k in _named(_TIME, found.lists)}
    labels = {len(v) for v in found.texts.values()}
    shape = values.shape
    time = next((i for i, n in enumerate(shape) if n in times), None)
    unit = next((i for i, n in enumerate(shape) if n in labels and i != time), None)
    if len(shape) == 2:
        known = time is not None or unit is not None
        time = time if time is not None else (1 - unit if unit is not None else int(np.argmax(shape)))
        return (["time", feature] if time == 0 else [feature, "time"]), known
    unit = unit if unit not in (None, 0) else None
    known = unit is not None
    order = ["trial", feature, "time"] if unit in (None, 1) else ["trial", "time", feature]
    return order, known


def _set_clock(
    found: _Found, entry: dict[str, Any], notes: dict[str, str], n_time: int, has_trials: bool, key: str
) -> None:
    """Put the width of a sample into the entry: from a clock, from a number of the file, or a guess."""
    home = key.rpartition("/")[0]
    clocks = [k for k in _named(_TIME, found.lists) if 0 <= len(found.lists[k]) - n_time <= max(n_time, 10)]
    clocks = [k for k in clocks if (np.diff(found.lists[k][:n_time]) >= 0).all()]
    clocks.sort(key=lambda k: (len(found.lists[k]) != n_time, k.rpartition("/")[0] != home, "stim" in k))
    if clocks and not has_trials:
        entry["time"] = clocks[0]
        steps = np.diff(found.lists[clocks[0]][:n_time])
        width = float(np.median(steps))
        if width <= 0 or (abs(steps / width - 1) > 0.25).mean() > 0.05:
            near = steps[steps < 20 * max(steps.mean(), 1e-12)]
            entry["native_bin_ms"] = float(f"{1e3 * near.mean():.1g}")
            notes["native_bin_ms"] = "GUESS: the clock is irregular, this is its mean step"
        return
    for words, name, factor in ((_RATE, "frame_rate_hz", 1.0), (_WIDTH, "native_bin_ms", 1e3)):
        for scalar in sorted(_named(words, found.scalars), key=lambda k: bool(re.search(_SOUND, k.lower()))):
            value = found.scalars[scalar]
            if value > 0:
                milli = name == "native_bin_ms" and (scalar.endswith("ms") or value >= 1)
                entry[name] = value if milli else value * factor
                notes[name] = f"{scalar} of the file"
                return
    key = "frame_rate_hz" if entry.get("signal") else "native_bin_ms"
    entry[key], notes[key] = 10.0, "GUESS: the file does not say"


def _labels_of_units(found: _Found, shape: tuple[int, ...], axes: list[str]) -> dict[str, str]:
    n = next((shape[i] for i, axis in enumerate(axes) if axis in ("unit", "channel")), -1)
    keys = [k for k, v in found.texts.items() if len(v) == n and 1 < len(set(v.tolist()))]
    return {_label(k): k for k in keys[:4]}


def _covariates(found: _Found, n_trials: int) -> dict[str, Any]:
    """Return `covariates` of arrays with one value per trial that vary."""
    kept = {}
    for key, values in {**found.lists, **found.texts}.items():
        different = len(np.unique(values)) if len(values) == n_trials else 0
        clock = re.search(r"^t0$|start|stop|time", key, re.IGNORECASE)
        known = values.dtype.kind != "U" or different <= _AS_COVARIATE
        if 1 < different and known and not clock and _label(key) not in OWN_NAMES:
            kept[_label(key)] = key
    return {"covariates": dict(list(kept.items())[:4])} if kept else {}


def _label(key: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", key.lower()).strip("_")
    return name if name[:1].isalpha() else f"x_{name}"


# -- labels and single vectors -----------------------------------------------------------------------


def _labels(found: _Found) -> list[Proposal]:
    """Return sequences of labels: one array, or one of the same name in each of several groups."""
    keys = _named(_LABEL, [*found.texts, *(k for k, v in found.lists.items() if _whole(v))])
    names: dict[str, list[str]] = {}
    for key in keys:
        names.setdefault(key.rpartition("/")[2], []).append(key)
    made = []
    for name, group in names.items():
        if len(group) > 1:
            made.append(Proposal({"symbols": f"*/{name}"}, {"symbols": "one sequence per group"}, 0.9))
        else:
            values = found.arrays[group[0]].ravel()
            size = {
                k: v for k, v in found.lists.items() if len(v) == len(values) and k not in group and _whole(v)
            }
            owner = next(iter(_named(r"seq|song|file|session|trial|animal", size)), None)
            entry = {"symbols": group[0], **({"symbol_sequences": owner} if owner else {})}
            made.append(Proposal(entry, {}, 0.6))
    return made


def _vectors(found: _Found) -> list[Proposal]:
    """Return single vectors: times that rise are spikes of one unit, others a signal of one channel."""
    made = []
    for key, values in found.lists.items():
        if values.dtype.kind not in "iuf" or len(values) < 20 or not np.isfinite(values).all():
            continue
        if (np.diff(values) >= 0).all():
            entry: dict[str, Any] = {"spike_times": key}
            notes: dict[str, str] = {}
            _set_unit(entry, notes, values, 1, key)
            made.append(Proposal(entry, notes, 0.35))
        else:
            entry, notes = {"signal": key, "axes": ["time"]}, {"signal": "GUESS: one channel"}
            _set_clock(found, entry, notes, len(values), False, key)
            made.append(Proposal(entry, notes, 0.2 + 0.1 * bool(_named(_NEURAL, [key]))))
    return made


def _whole(values: np.ndarray) -> bool:
    return values.dtype.kind in "iub" or (
        values.dtype.kind == "f" and bool(np.isfinite(values).all() and (values == np.floor(values)).all())
    )
