"""What a recording file holds: `cortseq inspect FILE`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from cortseq import store
from cortseq.errors import CortseqError
from cortseq.sources import registry
from cortseq.sources.base import Source, summarise_dirt, summarise_symbols

OWN = ".zarr.zip"


def inspect(path: Path) -> list[str]:
    """One line a fact: kind, units, trials or duration, rates, what is dirty.

    Raises CortseqError for a missing file and for a suffix that no source reads.
    """
    path = Path(path)
    if not path.is_file():
        raise CortseqError("no such file", file=path, fix="check the path")
    if path.stat().st_size == 0:
        raise CortseqError("is empty", file=path, fix="check the file")
    if path.name.endswith(OWN):
        return inspect_dataset(store.read(path))
    sources = [s for s in registry().values() if path.suffix.lower() in s.suffixes]
    if not sources:
        known = sorted({suffix for s in registry().values() for suffix in s.suffixes})
        raise CortseqError(
            "no source reads this kind of file", file=path, value=path.suffix, fix=f"one of {[*known, OWN]}"
        )
    return _first_that_reads(sources, path)


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
    """Raw recordings carry their form, Recordings do not."""
    return f"raw {track}" if "form" in dataset.attrs else f"Recording of {track}"


def _events(dataset: xr.Dataset) -> list[str]:
    times, n_units = dataset["event_time"].values, dataset.sizes["unit"]
    counts = np.bincount(dataset["event_unit"].values, minlength=n_units)
    lines = ["kind: raw spikes", f"units: {n_units} ({(counts == 0).sum()} silent), {len(times)} spikes"]
    if "trial" in dataset.sizes:
        lines.append(f"trials: {dataset.sizes['trial']}")
    span = times.max(initial=0.0) - times.min(initial=0.0)
    n_trials = dataset.sizes["trial"] if "event_trial" in dataset else 1
    if span > 0:
        rates = counts / (span * n_trials)
        lines.append(f"times: {times.min():.3f} to {times.max():.3f} s; {_rates(rates)}")
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
        lines.append(f"{int(np.nansum(values))} spikes, {_rates(np.nanmean(values, 0) / width)}")
        silent = int((np.nansum(values, 0) == 0).sum())
        lines += [f"dirty: {silent} silent units"] if silent else []
    else:
        lines.append(f"values: mean {np.nanmean(values):.4g}, standard deviation {np.nanstd(values):.4g}")
        missing = int(np.isnan(values).any(1).sum())
        lines += [f"dirty: {missing} bins with missing values"] if missing else []
    return [*lines, *_extras(dataset), f"dirt: {summarise_dirt(dataset)}"]


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
    """Covariates and what a generator knows."""
    names = [str(v) for v in dataset.data_vars]
    found = [n.partition("_")[2] for n in names if n.startswith(("covariate_", "series_"))]
    found += list(dataset.attrs.get("covariates", []))
    lines = [f"covariates: {', '.join(found)}"] if found else []
    known = [n for n in ("inputs", "true_rates", "ceiling") if n in names]
    return lines + ([f"also: {', '.join(known)}"] if known else [])


def _rates(rates: np.ndarray) -> str:
    return f"rates {rates.min():.2f} to {rates.max():.2f} Hz (mean {rates.mean():.2f})"
