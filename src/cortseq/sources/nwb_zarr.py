"""An NWB file written as a Zarr folder (by hdmf-zarr), with the attributes by which pynwb's objects are read.

hdmf-zarr itself needs zarr below 3. The layout is that of NWB's HDF5 files (Rübel et al. 2022, eLife
11:e78362) with references as JSON: a group's `neurodata_type` says what it is, `{column}_index` cuts a ragged
column, and `table` holds the path of the table that rows belong to. Only folders are read, never pickles.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cortseq.errors import CortseqError
from cortseq.sources import zarr_folder
from cortseq.sources.nwb_view import View, by_name, choose_units

_DEEPEST = 12  # levels of groups


class Column:
    """A column of one value per row; `data` is read when it is sliced."""

    def __init__(self, array: Any) -> None:
        self.data = array

    def __getitem__(self, item: Any) -> Any:
        """Return rows."""
        return self.data[item]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.data)


class Ragged:
    """A column of a list per row: `target.data` holds all in a row, `data` where each list ends."""

    def __init__(self, values: Any, ends: Any) -> None:
        self.target, self.data = values, ends

    def __getitem__(self, row: int) -> np.ndarray:
        """Return the list of one row, (value, ...)."""
        ends = np.asarray(self.data[:]).astype(np.int64)
        first = int(ends[row - 1]) if row else 0
        return np.asarray(self.target.data[first : int(ends[row])])

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.data)


class Table:
    """A table of columns, as pynwb's DynamicTable is read."""

    def __init__(self, group: Any, name: str) -> None:
        self._group, self.name = group, name
        named = [*map(str, group.attrs.get("colnames", ())), "start_time", "stop_time"]
        self.colnames = tuple(c for c in dict.fromkeys(named) if c in group and _readable(group[c]))
        self.id = Column(group["id"])

    def __getitem__(self, name: str) -> Column | Ragged:
        """Return a column."""
        column: Column | Ragged = Column(self._group[name])
        while f"{name}_index" in self._group:
            name = f"{name}_index"
            column = Ragged(column, self._group[name])
        return column

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.id)

    def get_unit_spike_times(self, row: int) -> np.ndarray:
        """Return the spike times of a unit, (spike,) s."""
        return np.asarray(self["spike_times"][row])

    def get_unit_obs_intervals(self, row: int) -> np.ndarray:
        """Return the intervals in which a unit was observed, (interval, 2) s."""
        return np.asarray(self["obs_intervals"][row])


class Series:
    """A time series, as pynwb's TimeSeries is read."""

    def __init__(self, group: Any, root: Any, name: str) -> None:
        self.name, self.data = name, group["data"]
        self.timestamps = group["timestamps"] if "timestamps" in group else None
        start = group["starting_time"] if "starting_time" in group else None
        self.starting_time = None if start is None else float(np.asarray(start[...]).ravel()[0])
        self.rate = None if start is None else float(start.attrs.get("rate", 0.0)) or None
        self.rois = _region(group, root)


class _Region(Column):
    """Rows of a table, by number."""

    def __init__(self, array: Any, table: Table) -> None:
        super().__init__(array)
        self.table = table


def view(folder: Path, units: str | None) -> View:
    """Return the parts of an NWB-Zarr folder that a recording is made of.

    Parameters
    ----------
    folder : path of the folder.
    units : path or name of the table of units, where there are several.
    """
    try:
        root = _root(folder)
        if root.attrs.get("neurodata_type") != "NWBFile":
            raise CortseqError("is a Zarr folder, but no NWB file", file=folder, fix="check the path")
        tables: dict[str, Any] = {}
        intervals: dict[str, Any] = {}
        series: dict[str, Any] = {}
        rois: set[str] = set()
        for path, group in _groups(root):
            kind = str(group.attrs.get("neurodata_type", ""))
            name = path.rpartition("/")[2]
            if "spike_times" in group and "id" in group:
                tables[path] = Table(group, name)
            elif kind == "TimeIntervals":
                intervals.setdefault(name, Table(group, name))
            elif "data" in group and _is_series(group):
                series[path] = Series(group, root, name)
                rois |= {path} if series[path].rois is not None else set()
        found = root["identifier"][...] if "identifier" in root else folder.name
    except CortseqError:
        raise
    except Exception as error:  # zarr raises kinds of its own
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise CortseqError(f"is not a readable NWB-Zarr folder ({reason})", file=folder) from error
    named = by_name(series)
    short = {name for name, item in named.items() if any(item is series[path] for path in rois)}
    chosen = choose_units(tables, units, folder)
    return View(str(np.asarray(found).ravel()[0]), chosen, intervals, named, short)


def _root(folder: Path) -> Any:
    """Return the group of the folder: of version 2 by our own reader, of version 3 by zarr."""
    if (folder / ".zgroup").is_file():
        return zarr_folder.Group(folder)
    import zarr

    return zarr.open_group(str(folder), mode="r")


def _groups(group: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Yield path and group of every group, links left aside."""
    if depth > _DEEPEST:
        return
    for name, child in group.groups():
        if name in ("specifications", "general") and not path:
            continue
        inner = f"{path}/{name}" if path else str(name)
        yield inner, child
        yield from _groups(child, inner, depth + 1)


def _is_series(group: Any) -> bool:
    data = group["data"]
    return data.ndim in (1, 2) and data.shape[0] > 0 and data.dtype.kind in "iufb"


def _readable(array: Any) -> bool:
    """Return whether an array holds numbers or text: references and other objects may be pickles."""
    if not hasattr(array, "dtype"):
        return False
    kind = str(array.attrs.get("zarr_dtype", ""))
    return array.dtype.kind in "iufbUST" or (array.dtype.kind == "O" and kind in ("str", "utf8", "utf"))


def _region(group: Any, root: Any) -> _Region | None:
    """Return the rows of the table of regions that a series belongs to; None for other series."""
    if "rois" not in group:
        return None
    path = str(group["rois"].attrs.get("table", {}).get("value", {}).get("path", "")).strip("/")
    if not path or path not in root:
        return None
    return _Region(group["rois"], Table(root[path], path.rpartition("/")[2]))
