"""Sorted spikes as Kilosort and phy leave them, or as SpikeInterface saves a sorting: a folder of arrays.

Pachitariu et al. 2024, Nature Methods 21:914; Buccino et al. 2020, eLife 9:e61834.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import model_validator

from cortseq._lazy import xr
from cortseq.errors import CortseqError
from cortseq.sources import folders
from cortseq.sources.base import Proposal
from cortseq.sources.raw import from_trains
from cortseq.sources.summaries import summarise_dirt, summarise_events
from cortseq.sources.trials import WithTrials

_SORTING = "numpysorting_info.json"


class Phy(WithTrials):
    """`source: phy`: `path` is the folder with `spike_times.npy` (in samples) and `spike_clusters.npy`.

    The sampling rate stands in `params.py`, which is read as text and never run, or in `sampling_rate_hz`.
    Columns of `cluster_info.tsv`, `cluster_group.tsv`, `cluster_KSLabel.tsv` and other `cluster_*` tables are
    labels of units: `select: {group: [good]}` keeps what a person called good. Every cluster is read without
    it. A folder of SpikeInterface (`spikes.npy` with `numpysorting_info.json`) is read as well.
    """

    parts: ClassVar[tuple[str, ...]] = (
        "spike_times.npy",
        "spike_clusters.npy",
        "params.py",
        "cluster_*.tsv",
        "cluster_*.csv",
        _SORTING,
        "spikes.npy",
    )

    source: Literal["phy"] = "phy"

    @property
    def track(self) -> Literal["counts", "symbols", "signal"]:
        """Track of the recording: counts, symbols or signal."""
        return "counts"

    @model_validator(mode="after")
    def _covariates_need_trials(self) -> Self:
        if self.covariates and self.trials is None:
            raise ValueError("covariates: name columns of a table of trials -- give `trials:`")
        return self

    def load(self, file: Path | None, seed: int) -> xr.Dataset:
        """Read the folder into a raw Dataset; see `Source.load`."""
        assert file is not None
        if not file.is_dir():
            raise CortseqError(
                "is not a folder", file=file, key="path", fix="name the folder of spike_times.npy"
            )
        raw = _sorting(file, self) if (file / _SORTING).is_file() else _kilosort(file, self)
        return self.with_trials(raw, file)

    @classmethod
    def inspect(cls, file: Path) -> list[str]:
        """Return what the folder holds, one line a fact."""
        raw = cls.model_validate({"path": str(file)}).load(file, 0)
        lines = summarise_events(raw, "sorted spikes (source: phy)")
        for name, values in raw.coords.items():
            if values.dims == ("unit",) and values.dtype.kind == "U" and name != "unit":
                kinds, counts = np.unique(values, return_counts=True)
                shown = ", ".join(f"{k or 'none'}: {n}" for k, n in list(zip(kinds, counts, strict=True))[:8])
                lines.append(f"label {name}: {shown}")
        return [*lines, f"dirt: {summarise_dirt(raw)}"]

    @classmethod
    def propose(cls, file: Path) -> list[Proposal]:
        """Return entries that may read the folder."""
        raw = cls.model_validate({"path": str(file)}).load(file, 0)
        for name in ("group", "KSLabel", "quality"):
            if name in raw.coords and (raw[name] == "good").any():
                note = "units that were called good; remove it to keep all"
                return [Proposal({"source": "phy", "select": {name: ["good"]}}, {"select": note})]
        return [Proposal({"source": "phy"})]


def _kilosort(folder: Path, source: Phy) -> xr.Dataset:
    rate = 1.0 if source.sampling_rate_hz else _rate_of(folder / "params.py")  # preprocess divides by the key
    samples = folders.whole(folders.array(folder / "spike_times.npy"), folder / "spike_times.npy")
    home = folder / "spike_clusters.npy"
    if not home.is_file() and (folder / "spike_templates.npy").is_file():
        home = folder / "spike_templates.npy"  # Kilosort before anybody opened it in phy
    clusters = folders.whole(folders.array(home, len(samples)), home)
    return _events(samples / rate, clusters, np.unique(clusters), folder)


def _events(times: np.ndarray, clusters: np.ndarray, units: np.ndarray, folder: Path) -> xr.Dataset:
    """Return raw events with every label of the units that the folder's tables have."""
    order = np.argsort(clusters, kind="stable")
    ends = np.searchsorted(clusters[order], units, side="right")
    starts = np.searchsorted(clusters[order], units, side="left")
    trains = {str(unit): times[order[a:b]] for unit, a, b in zip(units, starts, ends, strict=True)}
    raw = from_trains(trains, file=folder, key="spike_times.npy")
    tables = [f for f in sorted(folder.glob("cluster_*")) if f.suffix in (".tsv", ".csv")]
    found = folders.labels(tables, "cluster_id", units)
    return raw.assign_coords({name: ("unit", values) for name, values in found.items()})


def _rate_of(file: Path) -> float:
    """Return `sample_rate` of a params.py, which is parsed and never run."""
    fix = "give sampling_rate_hz"
    if not file.is_file():
        raise CortseqError("the folder has no params.py with the sampling rate", file=file.parent, fix=fix)
    try:
        tree = ast.parse(file.read_text(encoding="utf-8", errors="replace"))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise CortseqError("is not a list of settings", file=file, fix=fix) from error
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and getattr(statement.targets[0], "id", "") == "sample_rate":
            value = getattr(statement.value, "value", None)
            if isinstance(value, int | float) and 0 < value < 1e9:
                return float(value)
            raise CortseqError("is no rate", file=file, key="sample_rate", value=value, fix=fix)
    raise CortseqError("does not give sample_rate", file=file, fix=fix)


def _sorting(folder: Path, source: Phy) -> xr.Dataset:
    """Return a sorting that SpikeInterface saved: one structured array of spikes, one JSON of its units."""
    try:
        info = json.loads((folder / _SORTING).read_text(encoding="utf-8"))
        ids = np.array(info["unit_ids"])
        rate = 1.0 if source.sampling_rate_hz else float(info["sampling_frequency"])
    except (ValueError, KeyError, TypeError, OSError, RecursionError) as error:
        reason = f"does not give unit_ids and sampling_frequency ({type(error).__name__})"
        raise CortseqError(reason, file=folder / _SORTING, fix="check the folder") from error
    spikes = folders.array(folder / "spikes.npy")
    if not {"sample_index", "unit_index", "segment_index"} <= set(spikes.dtype.names or ()):
        raise CortseqError("is no array of spikes of SpikeInterface", file=folder / "spikes.npy")
    if len(spikes) and (spikes["segment_index"].max() > 0 or spikes["unit_index"].max() >= len(ids)):
        problem = "holds several segments or units without a name"
        raise CortseqError(problem, file=folder / "spikes.npy", fix="save one segment")
    raw = _events(spikes["sample_index"] / rate, spikes["unit_index"], np.arange(len(ids)), folder)
    return raw.assign_coords(unit=ids.astype(str))


SOURCE = Phy
