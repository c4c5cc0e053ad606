"""What a recording file holds: `cortseq inspect FILE`."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from cortseq import proposing, store
from cortseq._lazy import xr
from cortseq.errors import CortseqError
from cortseq.sources import registry
from cortseq.sources.base import Source
from cortseq.sources.summaries import (
    dominant,
    summarise_dirt,
    summarise_events,
    summarise_rates,
    summarise_symbols,
)

OWN = ".zarr.zip"


def inspect(path: Path) -> list[str]:
    """Return one line a fact: kind, units, trials or duration, rates, what is dirty.

    Raises CortseqError for a missing file and for a suffix that no source reads.
    """
    path = Path(path)
    if not path.exists():
        raise CortseqError("no such file", file=path, fix="check the path")
    if path.is_file() and path.stat().st_size == 0:
        raise CortseqError("is empty", file=path, fix="check the file")
    if path.name.endswith(OWN) and path.is_file():
        return inspect_dataset(store.read(path))
    sources = proposing.candidates(path)
    if not sources:
        raise _unknown(path)
    try:
        draft = proposing.draft(path)
    except CortseqError as error:
        return [*_first_that_reads(sources, path), f"no entry fits: {str(error).splitlines()[0]}"]
    lines = registry()[draft.entry["source"]].inspect(path)
    return [*lines, "entry to paste under datasets: (GUESS: the file does not say)", *draft.lines()]


def _unknown(path: Path) -> CortseqError:
    if path.is_dir():
        known = sorted({pattern for s in registry().values() for pattern in s.parts})
        return CortseqError("no source reads this folder", file=path, fix=f"it would hold {known}")
    known = sorted({suffix for s in registry().values() for suffix in s.suffixes})
    return CortseqError(
        "no source reads this kind of file", file=path, value=path.suffix, fix=f"one of {[*known, OWN]}"
    )


def _first_that_reads(sources: list[type[Source]], path: Path) -> list[str]:
    """Several kinds of file share a suffix (.mat): the first source that understands this one answers."""
    for source in sources[:-1]:
        try:
            return source.inspect(path)
        except CortseqError:
            continue
    return sources[-1].inspect(path)


def inspect_dataset(dataset: xr.Dataset) -> list[str]:
    """Lines for the project's own files: a raw recording, a Recording, or scores and other products."""
    if "event_time" in dataset:
        return _events(dataset)
    if "symbols" in dataset and "valid" in dataset:
        return [*summarise_symbols(dataset, _kind("symbols", dataset)), *_extras(dataset)]
    for track, feature in (("counts", "unit"), ("signal", "channel")):
        if track in dataset:
            return _samples(dataset, track, feature)
    if "log_prob" in dataset:
        return _scores(dataset)
    sizes = [f"{name}{variable.dims}: {variable.shape}" for name, variable in dataset.data_vars.items()]
    return ["kind: product of cortseq", *sizes]


def _kind(track: str, dataset: xr.Dataset) -> str:
    """Describe a raw recording, which carries its form, or a Recording, which does not."""
    return f"raw {track}" if "form" in dataset.attrs else f"Recording of {track}"


def _events(dataset: xr.Dataset) -> list[str]:
    lines = summarise_events(dataset, "raw spikes")
    return [*lines, *_extras(dataset), f"dirt: {summarise_dirt(dataset)}"]


def _samples(dataset: xr.Dataset, track: str, feature: str) -> list[str]:
    width = float(dataset.attrs["bin_width"])
    order = [d for d in ("trial", "time", feature) if d in dataset[track].dims]
    values = dataset[track].transpose(*order).values.astype(float)
    if "valid" in dataset:
        values = values[dataset["valid"].values]
    values = values.reshape(-1, values.shape[-1])
    lines = [
        f"kind: {_kind(track, dataset)}",
        f"{feature}s: {values.shape[1]}",
        f"bins: {dataset.sizes['time']} of {1e3 * width:g} ms"
        + (f" in each of {dataset.sizes['trial']} trials" if "trial" in order else " (continuous)"),
        f"duration: {len(values) * width:.1f} s of valid bins",
    ]
    if track == "counts":
        counts, rates = np.nansum(values, 0), np.nanmean(values, 0) / width
        lines.append(f"{int(counts.sum())} spikes, {summarise_rates(rates)}")
        lines += [f"dirty: {(counts == 0).sum()} silent units"] if (counts == 0).any() else []
        lines += dominant(counts, rates, dataset[feature].values)
    else:
        lines += _signal(values)
    if "time" in dataset.coords and "trial" not in order:
        lines += _clock(dataset["time"].values, width)
    return [*lines, *_extras(dataset), f"dirt: {summarise_dirt(dataset)}"]


def _signal(values: np.ndarray) -> list[str]:
    """Lines about real values (bin, channel) in the order of time: spread, drift, what is missing or dead."""
    lines = [f"values: mean {np.nanmean(values):.4g}, standard deviation {np.nanstd(values):.4g}"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a channel without any value
        thirds = [np.nanmean(np.nanvar(part, 0)) for part in np.array_split(values, 3)]
        dead = int((np.nanvar(values, 0) == 0).sum())
    lines.append(f"variance of channels by thirds of the time: {', '.join(f'{v:.3g}' for v in thirds)}")
    found = {
        "bins with missing values": int(np.isnan(values).any(1).sum()),
        "channels without any value": int(np.isnan(values).all(0).sum()),
        "channels that never vary": dead,
    }
    return lines + [f"dirty: {n} {what}" for what, n in found.items() if n]


def _clock(time: np.ndarray, width: float) -> list[str]:
    """Return a line about the times of a continuous recording."""
    steps = np.diff(time)
    gaps = steps > 2.5 * width
    longest = f" (longest {steps.max():.3g} s)" if gaps.any() else ""
    return [
        f"times: {time[0]:.3f} to {time[-1]:.3f} s, {gaps.sum()} gaps{longest}, {(steps == 0).sum()} repeated"
    ]


def _scores(dataset: xr.Dataset) -> list[str]:
    sizes = dataset["log_prob"].sizes
    lines = ["kind: scores, log_prob in nats", f"members: {sizes.get('member', 1)}, trials: {sizes['trial']}"]
    if "role" in dataset.coords:
        per_trial = dataset["log_prob"].sum(["time"], min_count=1).values
        roles = dataset["role"].values.astype(str)
        for role in dict.fromkeys(roles):
            mean = np.nanmean(per_trial[..., roles == role])
            lines.append(f"{role}: {(roles == role).sum()} trials, {mean:.4g} nats per trial")
    return lines


def _extras(dataset: xr.Dataset) -> list[str]:
    """Return covariates and what a generator knows."""
    names = [str(v) for v in dataset.data_vars]
    found = [n.partition("_")[2] for n in names if n.startswith(("covariate_", "series_"))]
    found += list(dataset.attrs.get("covariates", []))
    lines = [f"covariates: {', '.join(found)}"] if found else []
    known = [n for n in ("inputs", "true_rates", "ceiling") if n in names]
    return lines + ([f"also: {', '.join(known)}"] if known else [])
