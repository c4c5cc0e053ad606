"""What `cortseq check` says of one dataset: what was read, how it is split, and what looks wrong."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq import costs, fetch, numbers, preprocess, products, remembering, signs, sources, splits, store
from cortseq import recording as rec
from cortseq._lazy import xr
from cortseq.errors import CortseqError, about
from cortseq.fingerprint import fingerprint, version
from cortseq.models.work import Size
from cortseq.scoring import blocks
from cortseq.scoring.compare import RESAMPLES
from cortseq.scoring.statistics import FEWEST_RESTARTS, smallest_p
from cortseq.sources import asked
from cortseq.sources.base import Source
from cortseq.sources.trials import companion

if TYPE_CHECKING:
    from cortseq.study import Study

_FEATURES = {"counts": "units", "symbols": "labels", "signal": "channels"}
_MOST = 10  # labels that are named
_READERS = ("xarray", "pandas", "h5py", "pynwb", "crowsetta", "neo")  # beside those of every fingerprint
_LARGE = 1 << 26  # bytes of a raw file that is not read for an estimate alone


def dataset(plan: Study, name: str, source: Source) -> dict[str, Any] | None:
    """Return what there is to say of one dataset of a study, without writing anything.

    Returns
    -------
    facts by name, for `lines`; None where the file is not fetched yet.

    Raises
    ------
    CortseqError : one line for each fault that would stop the study.
    """
    file = fetch.available(source, plan.mirrors)
    if file is None and source.needs_file:
        return None
    digest = {} if file is None else fetch.digest(source, file)
    key = _key(plan, name, source, file, digest)
    found = remembering.remembered(key, lambda: _found(plan, name, source, file))
    found["dataset"], found["source"] = name, source.source
    if file is not None:
        found |= {"file": str(file), **digest}
    found["fits"] = len(plan.variants(source.track, name)) * plan.folds * bool(plan.models)
    found["members"] = plan.members
    found["fit_seconds"] = fit_seconds(plan, found)
    return found


def _key(plan: Study, name: str, source: Source, file: Path | None, digest: dict[str, str]) -> str:
    """Return a digest of all that the facts of a dataset depend on, "" of a file on a server."""
    if file is None and (source.path or source.url):
        return ""
    beside: list[Any] = [store.sha256(companion(path, file)) for path in source.companions]
    if "stamp" in digest:  # which is of a part of the file
        known = os.stat(str(file))
        beside += [known.st_size, known.st_mtime_ns]
    settings = {"seed": plan.seed, "burn_in": plan.burn_in, "networks": _compared(plan)}
    entry, deal = source.model_dump(mode="json"), dataclasses.asdict(splits.Deal.of(plan))
    code = fingerprint("cortseq.checking", sources.modules()[source.source])
    readers = [version(name) for name in _READERS]
    parts = [name, entry, str(file), digest, beside, settings, deal, code, readers]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _found(plan: Study, name: str, source: Source, file: Path | None) -> dict[str, Any]:
    """Read, cut and split a recording; return its facts."""
    raw = asked.read(source, file, plan.seed)
    with about(file):
        recording = preprocess.judged(raw, source)
        manifest = splits.split(recording, splits.Deal.of(plan), source, name)
        if plan.burn_in >= recording.sizes["time"]:
            raise CortseqError(
                f"no bin is left of {recording.sizes['time']}", key="burn_in", value=plan.burn_in
            )
        return facts(recording, manifest, source, _compared(plan))


def _compared(plan: Study) -> int:
    """Return how many recurrent models are compared, over all datasets."""
    tracks = Counter(other.track for other in plan.datasets.values())
    return sum(n * _networks(plan, track) for track, n in tracks.items())


def recording(plan: Study, name: str) -> tuple[xr.Dataset, dict[str, Any]]:
    """Return the Recording of one dataset of a study, and the roles of its trials, without writing anything.

    Raises
    ------
    CortseqError : the file is not fetched yet; all that would stop the study.
    """
    source = plan.datasets[name]
    file = fetch.available(source, plan.mirrors)
    if file is None and source.needs_file:
        raise CortseqError(
            "is not fetched yet", key="url", value=source.url, fix="run the study, or give path:"
        )
    with about(file):
        found = preprocess.judged(asked.read(source, file, plan.seed), source)
        return found, splits.split(found, splits.Deal.of(plan), source, name)


def _networks(plan: Study, track: str) -> int:
    """Return how many recurrent models a dataset has: their p are adjusted together, over all datasets."""
    variants = plan.variants(track).values()
    return len({v.model_name for v in variants if v.model.role == "recurrent"})


def size(found: dict[str, Any], fold: int = 0) -> Size:
    """Return the sizes that costs grow with, of a fold of a recording.

    Parameters
    ----------
    found : `shape` of the recording, or all its `facts`.
    """
    roles = found["folds"][fold]
    shape = found["bins"][2], found["kept"][fold]
    return Size(found["track"], roles["train"], roles["valid"], *shape, test=roles["test"])


def fit_seconds(plan: Study, found: dict[str, Any]) -> dict[str, float]:
    """Return about how many CPU seconds the fits of a dataset take on this machine, by model, longest first.

    Parameters
    ----------
    found : facts of the dataset.
    """
    taken: dict[str, float] = {}
    variants = plan.variants(found["track"], found["dataset"]).values() if plan.models else ()
    for fold in range(len(found["folds"])):
        fitted = dataclasses.replace(size(found, fold), members=plan.members)
        for variant in variants:
            model = variant.model
            seconds = costs.seconds(model, fitted)
            if seconds is not None:  # a plug-in whose arithmetic no law knows
                # one to shuffled bins, and those to draws of itself
                fits = 1 + (plan.controls + plan.calibrate) * model.has_flow
                before = taken.get(variant.model_name, 0.0)
                taken[variant.model_name] = before + costs.correction(f"fit/{model.family}") * seconds * fits
    return {name: float(f"{s:.2g}") for name, s in sorted(taken.items(), key=lambda item: -item[1])}


def sizes(plan: Study) -> dict[str, Size]:
    """Return the sizes of the recordings that lie here already, as far as reading them takes no time.

    Those are recordings that an earlier run has cut into trials, and raw files that are not large.
    """
    found = {}
    for name, source in plan.datasets.items():
        with contextlib.suppress(Exception):  # the job that reads it says what is wrong
            known = _cut(plan, name) or (dataset(plan, name, source) if _is_small(plan, source) else None)
            if known is not None:
                found[name] = size(known)
    return found


def _cut(plan: Study, name: str) -> dict[str, Any] | None:
    """Return the shape of what an earlier run has made of a recording."""
    out = f"results/{plan.study}"
    trials, split = (Path(products.path(out, of, dataset=name)) for of in ("trials", "splits"))
    if not (trials.is_file() and split.is_file()):
        return None
    return shape(store.read(trials), store.read_json(split))


def _is_small(plan: Study, source: Source) -> bool:
    """Return whether a raw file lies here and is not large, or none is needed; a server is not asked."""
    placed = fetch.raw_path(source, plan.mirrors)
    if placed is not None and placed.is_file() and placed.stat().st_size > _LARGE:
        return False  # before its digest is asked for
    file = fetch.available(source, plan.mirrors)
    if file is None:
        return not (source.path or source.url)
    return file.is_file() and file.stat().st_size <= _LARGE


def _kept(fold: dict[str, Any], every: int) -> int:
    """Return how many of the units or channels a fold keeps."""
    return len(fold.get("units", fold.get("channels", range(every))))


def shape(recording: xr.Dataset, manifest: dict[str, Any]) -> dict[str, Any]:
    """Return the sizes of a Recording and of its split, for which no observation is read."""
    valid = recording["valid"].values
    lengths = valid.shape[1] - valid[:, ::-1].argmax(1)
    n_symbols = int(recording.attrs.get("n_symbols", 0))
    return {
        "track": rec.track(recording),
        "trials": recording.sizes["trial"],
        "bins": [int(lengths.min()), float(np.median(lengths)), int(lengths.max())],
        "features": len(rec.features(recording)) or n_symbols,
        "valid_bins": int(valid.sum()),
        "missing_bins": int(lengths.sum() - valid.sum()),
        "folds": [{role: len(fold[role]) for role in splits.ROLES} for fold in manifest["folds"]],
        "kept": [_kept(fold, len(rec.features(recording)) or n_symbols) for fold in manifest["folds"]],
    }


def facts(
    recording: xr.Dataset, manifest: dict[str, Any], source: Source, networks: int = 1
) -> dict[str, Any]:
    """Return what a Recording and its split hold, as plain numbers and texts.

    Parameters
    ----------
    networks : recurrent models of the study, whose tests are adjusted together.

    Raises
    ------
    CortseqError : a refused sign of the split.
    """
    kind, width = rec.track(recording), float(recording.attrs["bin_width"])
    valid, first = recording["valid"].values, manifest["folds"][0]
    n_pieces = [blocks.most(sum(len(f["test"]) for f in manifest["folds"]), manifest["continuous"])]
    n_symbols = int(recording.attrs.get("n_symbols", 0))
    found: dict[str, Any] = {
        **shape(recording, manifest),
        "bin_s": width,
        "memory_mb": round(sum(v.nbytes for v in recording.variables.values()) / 1e6, 3),
        "read": json.loads(recording.attrs.get("read", "{}")),
        "covariates": _ranges(recording, recording.attrs.get("covariates", [])),
        "inputs": _inputs(recording),
        "labels": rec.features(recording) if n_symbols else [],
        "dropped": first.get("units_dropped", first.get("channels_dropped", {})),
        "split": manifest.get("split", "random"),
        "test_pieces": n_pieces,
        "smallest_p": smallest_p(sum(n_pieces), RESAMPLES),
        "networks": networks,
        "dirt": rec.dirt(recording),
    }
    found |= _OF_TRACK[kind](recording, valid)
    of_roles = signs.accepted(signs.of_roles(recording, manifest, n_pieces, networks), source.accept)
    every = [*signs.of(recording), *of_roles]
    found["signs"] = [{"name": s.name, "level": s.level, "text": s.sentence()} for s in every]
    return found


def _counts(recording: xr.Dataset, valid: np.ndarray) -> dict[str, Any]:
    by_bin, by_unit = rec.spikes(recording)
    per_unit, parts = by_unit.sum(0), rec.blocks(recording)
    rates = per_unit / (valid.sum() * recording.attrs["bin_width"])
    return {
        "spikes": int(per_unit.sum()),
        "rates_hz": [float(f(rates)) for f in (np.min, np.median, np.max)],
        "silent_units": int((per_unit == 0).sum()),
        "empty_trials": int((by_bin.sum(1) == 0).sum()),
        "largest_count": max(int(recording["counts"].isel(trial=part).values.max()) for part in parts),
    }


def _symbols(recording: xr.Dataset, valid: np.ndarray) -> dict[str, Any]:
    counts = np.bincount(recording["symbols"].values[valid], minlength=recording.attrs["n_symbols"])
    names = rec.features(recording)
    order = np.argsort(-counts, kind="stable")[:_MOST]
    return {"symbols": int(counts.sum()), "commonest": {names[i]: int(counts[i]) for i in order}}


def _signal(recording: xr.Dataset, valid: np.ndarray) -> dict[str, Any]:
    values, where = recording["signal"].values, valid[..., None]
    low, high = values.min(where=where, initial=np.inf), values.max(where=where, initial=-np.inf)
    return {"values": [float(low), float(values.mean(where=where)), float(high)]}


_OF_TRACK = {"counts": _counts, "symbols": _symbols, "signal": _signal}


def _ranges(recording: xr.Dataset, names: list[str]) -> dict[str, str]:
    """Return the range of each covariate that is a number, and how many values it has otherwise."""
    found = {}
    for name in names:
        values = recording[name].values
        if values.dtype.kind in "iuf":
            known = values[np.isfinite(values)]
            found[str(name)] = f"{known.min():.4g} to {known.max():.4g}" if known.size else "none known"
        else:
            found[str(name)] = f"{len(np.unique(values.astype(str)))} values"
    return found


def _inputs(recording: xr.Dataset) -> dict[str, str]:
    """Return the range of each input, its lag in bins, its columns, and which share of it is missing."""
    if "inputs" not in recording:
        return {}
    made = json.loads(recording.attrs.get("inputs", "{}"))
    seen = recording["inputs"].values[recording["valid"].values]
    columns: dict[str, list[int]] = {}
    for i, name in enumerate(recording["input"].values.astype(str)):
        columns.setdefault(made.get(name, {}).get("of", name), []).append(i)
    found = {}
    for name, own in columns.items():
        values = seen[:, own]
        known = values[np.isfinite(values)]
        lag = made.get(str(recording["input"].values[own[0]]), {}).get("lag", 0)
        said = [f"{known.min():.4g} to {known.max():.4g}" if known.size else "never known"]
        said += [f"{len(own)} columns"] * (len(own) > 1) + [f"lag {lag}"] * bool(lag)
        said += [f"{1 - known.size / values.size:.1%} missing"] * (known.size < values.size)
        found[name] = ", ".join(said)
    return found


def lines(found: dict[str, Any]) -> list[str]:
    """Return the facts of one dataset as lines of text."""
    name, kind = found["dataset"], found["track"]
    where = f"{found['file']}, {_digest(found)}, " if "file" in found else ""
    said = [f"{name}: {where}source {found['source']}"]
    said.append(f"  {_size(found)}")
    if found["read"]:
        said.append(f"  read: {numbers.counted(found['read'])}")
    if kind in _SAID:
        said.append(f"  {_SAID[kind].format(**found, **_plain(found))}")
    if found["missing_bins"]:
        said.append(f"  missing: {found['missing_bins']} bins are masked")
    for key in ("covariates", "inputs"):
        if found[key]:
            said.append(f"  {key}: {'; '.join(f'{label} {value}' for label, value in found[key].items())}")
    said.append(f"  {_split(found)}")
    said.append(
        f"  fits: {found['fits']} of up to {found['members']} members{_longest(found)}; "
        f"{found['memory_mb']:g} MB of arrays"
    )
    if found["networks"] and found["members"] < FEWEST_RESTARTS:
        few = f"{found['members']} random restart(s) are too few for a verdict on a network"
        said.append(f"  {few} -- set members: 5 ({FEWEST_RESTARTS} are the least)")
    if found["dirt"]:
        said.append(f"  dropped or odd: {numbers.counted(found['dirt'])}")
    words = {"warn": "warning", "note": "note"}
    return said + [f"  {words[s['level']]}: {s['name']}: {s['text']}" for s in found["signs"]]


def _digest(found: dict[str, Any]) -> str:
    """Return the digest of the raw file in words."""
    if "sha256" in found:
        return f"sha256 {found['sha256'][:12]}..."
    return f"digest of 64 blocks {found['stamp'][:12]}... (the run computes the sha256 of all of it)"


def _longest(found: dict[str, Any]) -> str:
    """Return the estimate of all fits of a dataset and of the three models that take longest, as words."""
    taken = found["fit_seconds"]
    longest = ", ".join(f"{name} {costs.duration(s)}" for name, s in list(taken.items())[:3])
    return f", estimated {costs.duration(sum(taken.values()))} of one core ({longest})" if taken else ""


_SAID = {
    "counts": "spikes: {spikes} in trials; rates {low:.3g} to {high:.3g} Hz (median {median:.3g}); "
    "silent units: {silent_units}, empty trials: {empty_trials}, at most {largest_count} in a bin",
    "symbols": "labels: {symbols} in all; the commonest: {common}",
    "signal": "values: {low:.4g} to {high:.4g}, mean {median:.4g}",
}


def _plain(found: dict[str, Any]) -> dict[str, Any]:
    """Return the numbers of `_SAID` that are lists among the facts."""
    low, median, high = found.get("rates_hz") or found.get("values") or (0.0, 0.0, 0.0)
    common = ", ".join(f"{label} {n}" for label, n in found.get("commonest", {}).items())
    return {"low": low, "median": median, "high": high, "common": common}


def _size(found: dict[str, Any]) -> str:
    low, median, high = found["bins"]
    width = found["bin_s"]
    what = f"{found['trials']} trials x {high} bins x {found['features']} {_FEATURES[found['track']]}"
    if "symbols" in found:
        spread = f"{low} to {high} labels (median {median:g})" if low < high else f"{low} labels"
        return f"{what}; sequences of {spread}"
    spread = f"{low * width:.4g} to {high * width:.4g} s (median {median * width:.4g} s)"
    spread = spread if low < high else f"{low * width:.4g} s"
    whole = f"{found['valid_bins'] * width:.4g} s in all"
    return f"{what}; bins of {width * 1e3:.6g} ms, trials of {spread}, {whole}"


def _split(found: dict[str, Any]) -> str:
    roles = [", ".join(f"{n} {role}" for role, n in fold.items() if n) for fold in found["folds"]]
    n = sum(found["test_pieces"])
    which = f"{len(roles)} folds, the first " if len(roles) > 1 else ""
    order = " in the order of time" if found["split"] == "forward" else ""
    return (
        f"roles: {which}{roles[0]}{order}; at most {n} independent blocks of test data: "
        f"smallest p {found['smallest_p']:.2g}"
    )
