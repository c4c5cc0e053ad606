"""Calcium imaging as suite2p leaves it: a folder of arrays, one row per region of interest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from cortseq._lazy import xr
from cortseq.errors import CortseqError
from cortseq.sources.base import Proposal, Sampled
from cortseq.sources.raw import clocked, dense

NEUROPIL = 0.7  # Chen et al. 2013 Nature 499:295, and suite2p's own default


class Suite2p(Sampled):
    """`source: suite2p`: `path` is the folder (`plane0`) with `F.npy`, `Fneu.npy`, `spks.npy`, `iscell.npy`.

    `signal: fluorescence` is F - neuropil * Fneu, `signal: deconvolved` is spks. Where there is an
    `iscell.npy`, regions below `min_probability` of being a cell, or that a person marked as none, are left
    out. Suite2p's baseline and deconvolution look ahead in time: one-step predictions of `deconvolved` are
    flattered, by whichever model, and fluorescence is the default. Names may have a common prefix
    (`mouse1_F.npy`). `ops.npy` is a pickle and never read: the frame rate stands in the study. A folder
    of several planes (`plane0`, `plane1`, ...) is read whole: `plane` is a label of each region, and frames
    that the shortest plane lacks are left out and counted. Pachitariu et al. 2016 bioRxiv 061507.
    """

    parts: ClassVar[tuple[str, ...]] = (
        *("*F.npy", "*Fneu.npy", "*spks.npy", "*iscell.npy"),
        *(f"plane[0-9]*/{name}.npy" for name in ("F", "Fneu", "spks", "iscell")),
    )

    source: Literal["suite2p"] = "suite2p"
    signal: Literal["fluorescence", "deconvolved"] = "fluorescence"
    neuropil: Annotated[float, Field(ge=0, le=1)] = Field(NEUROPIL, description="share of Fneu taken off F")
    min_probability: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="least probability that a region is a cell, in iscell.npy"
    )

    @property
    def track(self) -> Literal["counts", "symbols", "signal"]:
        """Track of the recording: counts, symbols or signal."""
        return "signal"

    @model_validator(mode="after")
    def _has_rate(self) -> Self:
        if self.native is None:
            raise ValueError("frame_rate_hz: is needed, it stands in ops.npy only, which is a pickle")
        if self.covariates:
            raise ValueError("covariates: a suite2p folder has none -- remove the key")
        return self

    def load(self, file: Path | None, seed: int) -> xr.Dataset:
        """Read the file into a raw Dataset; see `Source.load`."""
        assert file is not None and self.native is not None
        planes = _planes(file)
        found = [self._plane(plane) for plane in planes]
        frames = [values.shape[1] for values, _ in found]
        values = np.concatenate([values[cells, : min(frames)] for values, cells in found])
        raw = dense(values, "signal", ("channel", "time"), file=file, key=f"signal: {self.signal}")
        raw = raw.assign_coords(channel=np.concatenate([np.flatnonzero(cells) for _, cells in found]))
        if planes != [file]:
            plane = np.repeat([p.name for p in planes], [int(cells.sum()) for _, cells in found])
            names = [f"{p}_{c}" for p, c in zip(plane, raw["channel"].values, strict=True)]
            raw = raw.assign_coords(channel=names, plane=("channel", plane))
        dirt = {
            "regions_that_are_no_cells": sum(int((~cells).sum()) for _, cells in found),
            "frames_beyond_the_shortest_plane": max(frames) - min(frames),
        }
        return clocked(raw, self.native, dirt)

    def _plane(self, folder: Path) -> tuple[np.ndarray, np.ndarray]:
        """Return one plane's values (region, frame) and which of its regions are cells, (region,) bool."""
        if self.signal == "deconvolved":
            values = _array(folder, "spks")
        else:
            values = _array(folder, "F")
            if self.neuropil:
                neuropil = _array(folder, "Fneu")
                if neuropil.shape != values.shape:
                    raise CortseqError(
                        f"F has shape {values.shape}, Fneu {neuropil.shape}",
                        file=folder,
                        key="signal",
                        fix="use a folder of one run of suite2p",
                    )
                values = values - self.neuropil * neuropil
        return values, self._cells(folder, len(values))

    def _cells(self, folder: Path, n: int) -> np.ndarray:
        """Return which regions are cells, (region,) bool; all where the folder does not say."""
        if _find(folder, "iscell") is None:
            return np.ones(n, bool)
        table = _array(folder, "iscell")
        if table.shape != (n, 2):
            raise CortseqError(f"has shape {table.shape}, not {(n, 2)}", file=folder, key="iscell.npy")
        cells = (table[:, 0] > 0) & (table[:, 1] >= self.min_probability)
        if not cells.any():
            raise CortseqError(
                "no region is a cell",
                file=folder,
                key="min_probability",
                value=self.min_probability,
                fix="lower it",
            )
        return cells

    @classmethod
    def inspect(cls, file: Path) -> list[str]:
        """Return what the file holds, one line a fact."""
        from cortseq.sources.summaries import summary

        planes = _planes(file)
        if planes != [file]:
            names = ", ".join(plane.name for plane in planes)
            inside = [line for plane in planes for line in cls.inspect(plane)[1:]]
            return [f"kind: suite2p folder of {len(planes)} planes (source: suite2p): {names}", *inside]
        lines = ["kind: suite2p folder (source: suite2p; give frame_rate_hz)"]
        for name in ("F", "Fneu", "spks", "iscell"):
            if _find(file, name) is None:
                lines.append(f"{name}.npy: none")
            else:
                lines.append(f"{name}.npy: {summary(_array(file, name))}")
        if _find(file, "iscell") is not None:
            cells = _array(file, "iscell")[:, 0] > 0
            lines.append(f"regions: {len(cells)}, {cells.sum()} of them cells")
        return lines

    @classmethod
    def propose(cls, file: Path) -> list[Proposal]:
        """Return entries that may read the folder."""
        plane = _planes(file)[0]
        entry: dict[str, Any] = {"source": "suite2p", "frame_rate_hz": 30.0}
        notes = {"frame_rate_hz": "GUESS: it stands in ops.npy only, a pickle that is never read"}
        if _find(plane, "Fneu") is None:
            entry["neuropil"] = 0.0
            notes["neuropil"] = "there is no Fneu.npy to take off"
        return [Proposal(entry, notes)]


def _planes(folder: Path) -> list[Path]:
    """Return the folders of the planes: the folder itself, or those named plane0, plane1, ... in it."""
    if not folder.is_dir() or _find(folder, "F") or _find(folder, "spks"):
        return [folder]
    found = [f for f in folder.glob("plane[0-9]*") if f.is_dir() and f.name[5:].isdigit()]
    return sorted(found, key=lambda f: int(f.name[5:])) or [folder]


def _find(folder: Path, name: str) -> Path | None:
    """Return `name.npy`, or the one file that ends in `_name.npy`."""
    if (folder / f"{name}.npy").is_file():
        return folder / f"{name}.npy"
    found = sorted(folder.glob(f"*_{name}.npy"))
    if len(found) > 1:
        raise CortseqError(
            f"{len(found)} files end in _{name}.npy", file=folder, fix="one recording per folder"
        )
    return found[0] if found else None


def _array(folder: Path, name: str) -> np.ndarray:
    if not folder.is_dir():
        raise CortseqError("is not a folder", file=folder, key="path", fix="name the folder that has F.npy")
    file = _find(folder, name)
    if file is None:
        raise CortseqError(
            "the folder has no such file",
            file=folder,
            key=f"{name}.npy",
            fix=f"it has {sorted(f.name for f in folder.glob('*.npy'))}",
        )
    try:
        values = np.load(file, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise CortseqError(
            f"is not an array of numbers ({error})", file=file, fix="pickles are never read"
        ) from error
    if not isinstance(values, np.ndarray) or values.ndim != 2 or values.dtype.kind not in "iuf":
        raise CortseqError("must be a matrix of numbers, one row per region", file=file)
    return values.astype(float)


SOURCE = Suite2p
