"""Calcium imaging as CaImAn saves it: an HDF5 file with the groups `estimates` and `params`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import model_validator

from cortseq._lazy import xr
from cortseq.errors import CortseqError
from cortseq.sources.base import Proposal, Sampled
from cortseq.sources.hdf5 import Hdf5Archive
from cortseq.sources.raw import clocked, dense
from cortseq.sources.summaries import summary

_SIGNALS = ("F_dff", "C", "S")
_RATE, _KEPT = "params/data/fr", "estimates/idx_components"


class Caiman(Sampled):
    """`source: caiman`: `path` is the .hdf5 file that `CNMF.save` writes.

    `signal` names an array of `estimates`: `F_dff` (dF/F), `C` (denoised traces) or `S` (deconvolved events),
    each (component, frame). Components that the evaluation did not accept (`idx_components`) are left out
    and counted; without an evaluation all are kept. The frame rate is `params/data/fr` of the file, unless
    `frame_rate_hz` is given. `C` and `S` come from a model that looks ahead in time: one-step predictions of
    them are flattered, by whichever model, and `F_dff` is the default. Giovannucci et al. 2019 eLife
    8:e38173.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".hdf5", ".h5")

    source: Literal["caiman"] = "caiman"
    signal: Literal["F_dff", "C", "S"] = "F_dff"

    @property
    def track(self) -> Literal["counts", "symbols", "signal"]:
        """Track of the recording: counts, symbols or signal."""
        return "signal"

    @model_validator(mode="after")
    def _has_no_covariates(self) -> Self:
        if self.covariates:
            raise ValueError("covariates: a file of CaImAn has none -- remove the key")
        return self

    def load(self, file: Path | None, seed: int) -> xr.Dataset:
        """Read the file into a raw Dataset; see `Source.load`."""
        archive = _open(file)
        found = _traces(archive)
        if self.signal not in found:
            raise CortseqError(
                "the file has no such traces",
                file=file,
                key="signal",
                value=self.signal,
                fix=f"it has {found}",
            )
        values = archive.get(f"estimates/{self.signal}", "signal")
        raw = dense(values, "signal", ("channel", "time"), file=file, key=f"signal: {self.signal}")
        kept = _accepted(archive, len(values))
        raw = raw.assign_coords(channel=np.arange(len(values))).isel(channel=kept)
        width = self.native or 1 / _rate(archive)
        return clocked(raw, width, {"components_not_accepted": len(values) - len(kept)})

    @classmethod
    def inspect(cls, file: Path) -> list[str]:
        """Return what the file holds, one line a fact."""
        archive = _open(file)
        traces = {name: archive.read(f"estimates/{name}") for name in _traces(archive)}
        n = len(next(iter(traces.values())))
        rate = f"{_rate(archive):g} frames/s" if _number(archive, _RATE) else "give frame_rate_hz"
        return [
            f"kind: file of CaImAn (source: caiman; {rate})",
            *[f"{name}: {summary(values)}" for name, values in traces.items()],
            f"components: {n}, {len(_accepted(archive, n))} of them accepted",
        ]

    @classmethod
    def propose(cls, file: Path) -> list[Proposal]:
        """Return entries that may read the file."""
        archive = _open(file)
        entry: dict[str, Any] = {"source": "caiman", "signal": _traces(archive)[0]}
        if _number(archive, _RATE):
            return [Proposal(entry)]
        notes = {"frame_rate_hz": "GUESS: the file does not say"}
        return [Proposal(entry | {"frame_rate_hz": 30.0}, notes)]


def _open(file: Path | None) -> Hdf5Archive:
    """Return the arrays of a file of CaImAn; CortseqError where it is none."""
    archive = Hdf5Archive(file)
    if not _traces(archive):
        names = ", ".join(f"estimates/{name}" for name in _SIGNALS)
        raise CortseqError(
            f"is no file of CaImAn: it has none of {names}", file=file, fix="read it with source: hdf5"
        )
    return archive


def _traces(archive: Hdf5Archive) -> list[str]:
    """Return the arrays of traces that the file has; CaImAn saves what was not computed as text."""
    shapes = archive.shapes(f"estimates/{name}" for name in _SIGNALS)
    return [key.rpartition("/")[2] for key, shape in shapes.items() if len(shape) == 2]


def _number(archive: Hdf5Archive, key: str) -> float | None:
    """Return a finite number of the file above 0; None where it has none."""
    values = archive.read(key) if key in archive.keys else np.array("")
    if values.size != 1 or values.dtype.kind not in "iuf":
        return None
    number = float(values.ravel()[0])
    return number if 0 < number < np.inf else None


def _rate(archive: Hdf5Archive) -> float:
    """Return frames per second."""
    found = _number(archive, _RATE)
    if found is None:
        raise CortseqError(
            f"the file has no frame rate ({_RATE})", file=archive.file, key="frame_rate_hz", fix="give it"
        )
    return found


def _accepted(archive: Hdf5Archive, n: int) -> np.ndarray:
    """Return the accepted of n components, (kept,) index; all where none were evaluated."""
    kept = archive.read(_KEPT) if _KEPT in archive.keys else np.array("")
    if kept.dtype.kind not in "iuf":
        return np.arange(n)
    index = kept.ravel().astype(np.int64)
    if (index != kept.ravel()).any() or (index < 0).any() or (index >= n).any():
        raise CortseqError(f"are not numbers of {n} components", file=archive.file, key=_KEPT)
    if not len(index):
        raise CortseqError("no component was accepted", file=archive.file, key=_KEPT)
    return np.unique(index)


SOURCE = Caiman
