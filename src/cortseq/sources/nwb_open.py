"""Opening an NWB file: HDF5 on disk, HDF5 on a web server, or a Zarr folder."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cortseq.errors import CortseqError, MissingExtra
from cortseq.sources import nwb_zarr
from cortseq.sources.nwb_view import View, by_name, choose_units
from cortseq.sources.remote import RemoteFile


@contextlib.contextmanager
def open_nwb(place: Path | str, units: str | None = None) -> Iterator[View]:
    """Yield a view of an NWB file; what pynwb warns about old files is of no use to a user.

    Parameters
    ----------
    place : path of a file or Zarr folder, or an http(s) URL that is read in pieces.
    units : path or name of the table of units, where there are several.
    """
    if isinstance(place, Path) and place.is_dir():
        yield nwb_zarr.view(place, units)
        return
    try:
        import pynwb
    except ImportError as error:
        raise MissingExtra("pynwb", "nwb", place) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            io = _open(pynwb, place)
            content = io.read()
        except CortseqError:
            raise
        except Exception as error:  # h5py, hdmf and pynwb each raise their own kinds
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise CortseqError(
                f"is not a readable NWB file ({reason})", file=place, fix="check the file"
            ) from error
        with io:
            yield _view(pynwb, content, units, place)


def _open(pynwb: Any, place: Path | str) -> Any:
    if isinstance(place, Path):
        return pynwb.NWBHDF5IO(str(place), mode="r", load_namespaces=True)
    import h5py

    return pynwb.NWBHDF5IO(file=h5py.File(RemoteFile(place), "r"), load_namespaces=True)


def _view(pynwb: Any, nwb: Any, units: str | None, place: Path | str) -> View:
    tables, intervals, series, rois = {}, dict(nwb.intervals or {}), {}, set()
    for item in nwb.objects.values():
        path = _path(item)
        if isinstance(item, pynwb.TimeSeries) and getattr(item.data, "ndim", 0) in (1, 2) and len(item.data):
            series[path] = item
            if isinstance(item, pynwb.ophys.RoiResponseSeries):
                rois.add(path)
        elif isinstance(item, pynwb.epoch.TimeIntervals):
            intervals.setdefault(item.name, item)
        elif "spike_times" in getattr(item, "colnames", ()):
            tables[path] = item
    named = by_name(series)
    short = {name for name, item in named.items() if any(item is series[path] for path in rois)}
    return View(str(nwb.identifier), choose_units(tables, units, place), intervals, named, short)


def _path(item: Any) -> str:
    """Return the names of an object and of what it lies in, joined by slashes, without the file's own."""
    names = [item.name]
    while (item := item.parent) is not None and item.parent is not None:
        names.append(item.name)
    return "/".join(reversed(names))
