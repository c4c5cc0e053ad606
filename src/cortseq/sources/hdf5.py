"""HDF5 files of any layout: the study names the datasets by their paths."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from cortseq.errors import CortseqError, MissingExtra
from cortseq.memory import affordable
from cortseq.sources.arrays import Archive, ArraySource
from cortseq.sources.base import sorted_labels


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
            self._groups = _groups(content)
            self._keys = sorted(path for paths in self._groups.values() for path in paths)

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
            except (OSError, TypeError, ValueError) as error:
                raise CortseqError(
                    f"cannot be read as numbers or text ({error})", file=self.file, key=key
                ) from error
        return values.astype(str) if values.dtype.kind in "OS" else values

    def get(self, key: str | None, option: str) -> np.ndarray:
        """Return the array `key`, named in the study under `option`; one fault is one line.

        Of any shape, as it is stored.
        """
        return super().get(key and key.strip("/"), option)

    def trains(self, key: str | None, option: str) -> Mapping[str, np.ndarray] | None:
        """Return spike times (spike,) by unit where `key` holds one array per unit, else None."""
        group = (key or "").strip("/")
        if group not in self._groups:
            return None
        names = {path.rpartition("/")[2]: path for path in self._groups[group]}
        if not names:
            raise CortseqError("the group holds no datasets", file=self.file, key=option, value=key)
        return {name: self.read(names[name]) for name in sorted_labels(names)}


def open_hdf5(file: Path | None):
    """Return the file as h5py opens it."""
    try:
        import h5py
    except ImportError as error:
        raise MissingExtra("h5py", "hdf5", file) from error
    try:
        return h5py.File(file, "r")
    except OSError as error:
        raise CortseqError("is not a readable HDF5 file", file=file, fix="check the file") from error


def _groups(content) -> dict[str, list[str]]:
    """Return path of every group -> paths of the datasets right inside it."""
    import h5py

    found: dict[str, list[str]] = {"": []}

    def visit(path: str, item) -> None:
        if isinstance(item, h5py.Group):
            found.setdefault(path, [])
        elif isinstance(item, h5py.Dataset):
            found.setdefault(path.rpartition("/")[0], []).append(path)

    content.visititems(visit)
    return found


SOURCE = Hdf5
