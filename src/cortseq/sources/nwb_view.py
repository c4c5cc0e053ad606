"""What an NWB file holds, wherever it lies: HDF5 on disk, HDF5 on a web server, or a Zarr folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cortseq.errors import CortseqError


@dataclass
class View:
    """The parts of an NWB file that a recording is made of.

    Parameters
    ----------
    identifier : of the file.
    units : table of units with spike times, from the root or a processing module; None without one.
    intervals : name -> table of intervals.
    series : name -> time series of numbers; one whose name is not the only one is there by its path alone.
    """

    identifier: str
    units: Any = None
    intervals: dict[str, Any] = field(default_factory=dict)
    series: dict[str, Any] = field(default_factory=dict)
    rois: set[str] = field(default_factory=set)  # names of series of regions of interest


def by_name(series: dict[str, Any]) -> dict[str, Any]:
    """Return series by name, and those whose name several share by path."""
    names = [path.rpartition("/")[2] for path in series]
    return {
        name if names.count(name) == 1 else path: series[path]
        for name, path in zip(names, series, strict=True)
    }


def choose_units(tables: dict[str, Any], wanted: str | None, place: Path | str) -> Any:
    """Return the table of units: the one asked for, that of the root, or the only one; None without any."""
    found = {path: t for path, t in tables.items() if wanted in (path, path.rpartition("/")[2])}
    if wanted is not None:
        if len(found) != 1:
            raise CortseqError(
                "no such table of units" if not found else "several tables of units have this name",
                file=place,
                key="units",
                value=wanted,
                fix=f"it has {sorted(tables)}",
            )
        return next(iter(found.values()))
    if "units" in tables:
        return tables["units"]
    if len(tables) > 1:
        raise CortseqError(
            "there are several tables of units", file=place, key="units", fix=f"name one of {sorted(tables)}"
        )
    return next(iter(tables.values()), None)


def scalars(column: Any) -> np.ndarray | None:
    """Return a column of one number or text per row.

    None for anything else: ragged columns, references, matrices.

    Parameters
    ----------
    column : column of a table as pynwb or h5py gives it.

    Returns
    -------
    (row,).
    """
    if hasattr(column, "target"):
        return None
    values = np.asarray(column.data[:])
    if values.dtype.kind in "iufb" and values.ndim == 1:
        return values
    if values.ndim == 1 and all(isinstance(v, str | bytes) for v in values):
        return np.array([v.decode() if isinstance(v, bytes) else str(v) for v in values], dtype=str)
    return None
