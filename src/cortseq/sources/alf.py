"""Folders of the International Brain Laboratory's ALF layout: `object.attribute.npy`.

International Brain Laboratory et al. 2023, Nature Methods 20:403.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from cortseq._lazy import xr
from cortseq.errors import CortseqError
from cortseq.sources import folders
from cortseq.sources.base import Proposal, Source
from cortseq.sources.columns import Columns
from cortseq.sources.raw import from_trains, with_dirt
from cortseq.sources.summaries import summarise_dirt, summarise_events


class Alf(Source):
    """`source: alf`: `path` is the folder with `spikes.times.npy` (s) and `spikes.clusters.npy`.

    Attributes of clusters with one value each (`clusters.depths.npy`, columns of `clusters.metrics.csv` or
    `.pqt`) are labels of units. With `align` (or `intervals: true`) the trials are those of `trials.*`, in
    the same folder or the folder above; covariates name their attributes. File names may have a namespace
    (`_ibl_trials.table.pqt`) and further parts (`spikes.times.<id>.npy`).
    """

    parts: ClassVar[tuple[str, ...]] = (
        "*spikes.times*.npy",
        "*spikes.clusters*.npy",
        "*clusters.*",
        "*trials.*",
    )

    source: Literal["alf"] = "alf"
    intervals: bool = Field(False, description="cut by the intervals of trials; implied by `align`")
    align: str | None = Field(None, description="attribute of trials that is time zero: stimOn_times, say")

    @property
    def track(self) -> Literal["counts", "symbols", "signal"]:
        """Track of the recording: counts, symbols or signal."""
        return "counts"

    @model_validator(mode="after")
    def _trials_or_none(self) -> Self:
        if self.covariates and not (self.intervals or self.align):
            raise ValueError("covariates: name attributes of trials -- give `align:` or `intervals: true`")
        if self.align and not isinstance(self.window_ms, tuple):
            raise ValueError("window_ms: is needed as [start, stop] with `align:`")
        return self

    def load(self, file: Path | None, seed: int) -> xr.Dataset:
        """Read the folder into a raw Dataset; see `Source.load`."""
        assert file is not None
        if not file.is_dir():
            raise CortseqError(
                "is not a folder", file=file, key="path", fix="name the folder of spikes.times.npy"
            )
        raw = _spikes(file)
        return self._with_trials(raw, file) if self.intervals or self.align else raw

    def _with_trials(self, raw: xr.Dataset, folder: Path) -> xr.Dataset:
        trials = _trials(folder)
        start, stop = (self._attribute(trials, name, "intervals", folder) for name in ("start", "stop"))
        align = self._attribute(trials, self.align, "align", folder) if self.align else start
        known = np.isfinite(align) & (np.isfinite(start) & (stop > start) | bool(self.window_ms))
        if not known.any():
            raise CortseqError("no trial has its times", file=folder, key="align", value=self.align)
        variables = {"interval_start": start, "interval_stop": stop, "interval_align": align}
        for label, name in self.covariates.items():
            variables[f"covariate_{label}"] = self._attribute(trials, name, f"covariates.{label}", folder)
        raw = raw.assign_coords(trial=np.arange(int(known.sum())))
        raw = raw.assign({key: ("trial", values[known]) for key, values in variables.items()})
        return with_dirt(raw, {"trials_without_align": int((~known).sum())})

    def _attribute(self, trials: dict[str, np.ndarray], name: str, key: str, folder: Path) -> np.ndarray:
        if name not in trials:
            raise CortseqError(
                "the trials have no such attribute",
                file=folder,
                key=key,
                value=name,
                fix=f"they have {sorted(trials)}",
            )
        return trials[name]

    @classmethod
    def inspect(cls, file: Path) -> list[str]:
        """Return what the folder holds, one line a fact."""
        raw = _spikes(file)
        lines = summarise_events(raw, "sorted spikes in the ALF layout (source: alf)")
        labels = [str(k) for k, v in raw.coords.items() if v.dims == ("unit",) and k != "unit"]
        lines += [f"labels of units: {', '.join(labels)}"] if labels else []
        trials = _trials(file)
        if trials:
            n = len(next(iter(trials.values())))
            lines.append(f"trials: {n} with {', '.join(sorted(trials))} (align: or intervals: true)")
        return [*lines, f"dirt: {summarise_dirt(raw)}"]

    @classmethod
    def propose(cls, file: Path) -> list[Proposal]:
        """Return entries that may read the folder."""
        trials = _trials(file)
        times = [name for name in ("stimOn_times", "goCue_times") if name in trials]
        if times:
            entry = {"source": "alf", "align": times[0], "window_ms": [-500.0, 1000.0]}
            note = "GUESS: trials around the stimulus or cue"
            return [Proposal(entry, {"align": note, "window_ms": "GUESS: half a second before, one after"})]
        return [Proposal({"source": "alf", **({"intervals": True} if "start" in trials else {})})]


def _files(folder: Path, thing: str) -> dict[str, Path]:
    """Return attribute -> file of one object, `clusters` say."""
    found: dict[str, Path] = {}
    for file in sorted(folder.glob(f"*{thing}.*")):
        first, *rest = file.name.split(".")
        if rest and first.rpartition("_")[2] == thing and file.suffix in (".npy", ".csv", ".pqt", ".tsv"):
            found.setdefault(rest[0], file)
    return found


def _spikes(folder: Path) -> xr.Dataset:
    spikes = _files(folder, "spikes")
    for name in ("times", "clusters"):
        if name not in spikes:
            raise CortseqError("the folder has no such file", file=folder, key=f"spikes.{name}.npy")
    times = folders.array(spikes["times"])
    clusters = folders.whole(folders.array(spikes["clusters"], len(times)), spikes["clusters"])
    attributes = _files(folder, "clusters")
    labels = _labels(attributes)
    n = max([int(clusters.max(initial=-1)) + 1, *(len(v) for v in labels.values())])
    if n > 10 * len(times) + 1000 or clusters.min(initial=0) < 0:
        raise CortseqError("numbers of clusters do not start at 0", file=spikes["clusters"], value=n - 1)
    order = np.argsort(clusters, kind="stable")
    parts = np.split(times[order], np.searchsorted(clusters[order], np.arange(1, n)))
    raw = from_trains(
        {str(i): part for i, part in enumerate(parts)}, file=spikes["times"], key="spikes.times"
    )
    whole = {name: ("unit", values) for name, values in labels.items() if len(values) == n}
    return raw.assign_coords(whole)


def _labels(attributes: dict[str, Path]) -> dict[str, np.ndarray]:
    """Return label -> one value per cluster, (cluster,), of attributes that are one number or text each."""
    found = {}
    for name, file in attributes.items():
        if file.suffix == ".npy":
            values = folders.array(file)
            if values.ndim == 1 and values.dtype.kind in "iufbU":
                found[name] = values
        else:
            table = Columns(file)
            found |= {key: table.read(key) for key in table.keys}
    return {key: values for key, values in found.items() if key not in ("unit", "trial", "event")}


def _trials(folder: Path) -> dict[str, np.ndarray]:
    """Return attribute -> one value per trial, (trial,); intervals are `start` and `stop`."""
    files = _files(folder, "trials") or _files(folder.parent, "trials")
    found: dict[str, np.ndarray] = {}
    for name, file in files.items():
        if file.suffix != ".npy":
            table = Columns(file)
            found |= {key: table.read(key) for key in table.keys}
            continue
        values = folders.array(file)
        if values.ndim == 1:
            found[name] = values
        elif values.ndim == 2 and values.shape[1] == 2:
            found |= {f"{name}_0": values[:, 0], f"{name}_1": values[:, 1]}
    for name, key in (("start", "intervals_0"), ("stop", "intervals_1")):
        if key in found:
            found[name] = found[key]
    if len({len(v) for v in found.values()}) > 1:
        raise CortseqError("attributes of trials differ in length", file=folder, key="trials")
    return found


SOURCE = Alf
