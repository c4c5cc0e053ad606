"""HDF5 files of any layout: the study names the datasets by their paths."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from cortseq.errors import CortseqError, MissingExtra
from cortseq.memory import affordable
from cortseq.sources.archive import Archive
from cortseq.sources.arrays import ArraySource
from cortseq.sources.base import Proposal
from cortseq.sources.guesses import from_arrays, time_unit
from cortseq.sources.sequences import sorted_labels

# what h5py raises on damaged files
BROKEN = (AttributeError, KeyError, MemoryError, OSError, OverflowError, RuntimeError, TypeError, ValueError)
_UNIT = r"(unit|neuron|cell|cluster)?_?\d+"  # a dataset's name that is a unit's


class Hdf5(ArraySource):
    """`source: hdf5`: keys are paths of datasets, `group/name`.

    `spike_times` may also be a group with one dataset of spike times per unit. Where `time` has more
    entries than the signal, as of a camera that ran on, the first ones are the signal's.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".h5", ".hdf5")

    source: Literal["hdf5"] = "hdf5"

    def archive(self, file: Path | None) -> Archive:
        """Open the file."""
        return Hdf5Archive(file)

    @classmethod
    def open_arrays(cls, file: Path) -> Hdf5Archive:
        """Return the named arrays of the file."""
        return Hdf5Archive(file)

    @classmethod
    def propose(cls, file: Path) -> list[Proposal]:
        """Return entries that may read the file."""
        archive = Hdf5Archive(file)
        arrays = archive.readable()
        return [*_unit_groups(archive.groups, arrays), *from_arrays("hdf5", arrays)]

    @classmethod
    def inspect(cls, file: Path) -> list[str]:
        """Return what the file holds, one line a fact."""
        archive = Hdf5Archive(file)
        return [f"kind: HDF5 file of {len(archive.keys)} datasets (source: hdf5)", *archive.summaries()]


class Hdf5Archive(Archive):
    """An HDF5 file; opened again for each array, so that nothing stays open."""

    item: ClassVar[str] = "dataset"

    def __init__(self, file: Path | None) -> None:
        super().__init__(file)
        with open_hdf5(file) as content:
            try:
                self.groups = _groups(content)
            except BROKEN as error:
                raise CortseqError(f"is damaged ({error})", file=file, fix="check the file") from error
            self._keys = sorted(path for paths in self.groups.values() for path in paths)

    @property
    def keys(self) -> list[str]:
        """Return the names of the arrays."""
        return self._keys

    def read(self, key: str) -> np.ndarray:
        """Read the array of a key.

        Of any shape, as it is stored.
        """
        with open_hdf5(self.file) as content:
            try:
                dataset = content[key]
                n_bytes = dataset.size * max(dataset.dtype.itemsize, 8)
                affordable(3 * n_bytes, f"the array {dataset.shape}", file=self.file, key=key)
                values = np.asarray(dataset.asstr()[()] if dataset.dtype.kind == "O" else dataset[()])
            except BROKEN as error:
                raise CortseqError(
                    f"cannot be read as numbers or text ({error})", file=self.file, key=key
                ) from error
        return values.astype(str) if values.dtype.kind in "OS" else values

    def shapes(self, keys: Iterable[str]) -> dict[str, tuple[int, ...]]:
        """Return the shape of each dataset of numbers among `keys`; others are left out."""
        with open_hdf5(self.file) as content:
            known = [key for key in keys if key in self._keys]
            return {k: content[k].shape for k in known if content[k].dtype.kind in "iufb"}

    def get(self, key: str | None, option: str) -> np.ndarray:
        """Return the array `key`, named in the study under `option`; one fault is one line.

        Of any shape, as it is stored.
        """
        return super().get(key and key.strip("/"), option)

    def trains(self, key: str | None, option: str) -> Mapping[str, np.ndarray] | None:
        """Return spike times (spike,) by unit where `key` holds one array per unit, else None."""
        group = (key or "").strip("/")
        if group not in self.groups:
            return None
        names = {path.rpartition("/")[2]: path for path in self.groups[group]}
        if not names:
            raise CortseqError("the group holds no datasets", file=self.file, key=option, value=key)
        return {name: self.read(names[name]) for name in sorted_labels(names)}


def _unit_groups(groups: Mapping[str, list[str]], arrays: Mapping[str, np.ndarray]) -> list[Proposal]:
    """Return entries for groups that hold one list of rising times per unit."""
    made = []
    for group, keys in groups.items():
        trains = [arrays[key] for key in keys if key in arrays]
        rising = [t.ndim == 1 and t.dtype.kind in "iuf" and (np.diff(t) >= 0).all() for t in trains]
        if not group or len(trains) < 2 or not all(rising) or len({len(t) for t in trains}) < 2:
            continue
        unit, why = time_unit(np.concatenate(trains), len(trains), group)
        entry = {"source": "hdf5", "spike_times": group, "time_unit": unit}
        names = [key.rpartition("/")[2] for key in keys]
        said = re.search("spike|unit", group.lower()) or all(
            re.fullmatch(_UNIT, name.lower()) for name in names
        )
        made.append(Proposal(entry, {"time_unit": why}, 0.9 if said else 0.3))
    return made


def open_hdf5(file: Path | None) -> Any:
    """Return the file as h5py opens it."""
    try:
        import h5py
    except ImportError as error:
        raise MissingExtra("h5py", "hdf5", file) from error
    try:
        return h5py.File(file, "r")
    except OSError as error:
        raise CortseqError("is not a readable HDF5 file", file=file, fix="check the file") from error


def _groups(content: Any) -> dict[str, list[str]]:
    """Return path of every group -> paths of the datasets right inside it."""
    import h5py

    found: dict[str, list[str]] = {"": []}

    def visit(path: str, item: Any) -> None:
        if isinstance(item, h5py.Group):
            found.setdefault(path, [])
        elif isinstance(item, h5py.Dataset):
            found.setdefault(path.rpartition("/")[0], []).append(path)

    content.visititems(visit)
    return found


SOURCE = Hdf5
