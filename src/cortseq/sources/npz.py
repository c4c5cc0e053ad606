"""NumPy archives: a list of spikes, or a dense array of counts or real values with named axes."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from cortseq.errors import CortseqError
from cortseq.memory import affordable
from cortseq.sources.arrays import Archive, ArraySource

_COPIES = 3  # of an array, while it is read and ordered


class Npz(ArraySource):
    """`source: npz`: an archive written by `np.savez`; keys are the names of its arrays."""

    suffixes: ClassVar[tuple[str, ...]] = (".npz",)

    source: Literal["npz"] = "npz"

    def archive(self, file: Path | None) -> Archive:
        """Open the file."""
        return NpzArchive(file)

    @classmethod
    def inspect(cls, file: Path) -> list[str]:
        """Return what the file holds, one line a fact."""
        archive = NpzArchive(file)
        return [f"kind: NumPy archive of {len(archive.keys)} arrays (source: npz)", *archive.summaries()]


class NpzArchive(Archive):
    """An npz file; pickled objects are never read."""

    def __init__(self, file: Path | None) -> None:
        super().__init__(file)
        try:
            self._content = np.load(file, allow_pickle=False)  # type: ignore[arg-type]
        except (zipfile.BadZipFile, ValueError, EOFError) as error:
            raise CortseqError(f"is not an npz archive ({error})", file=file, fix="check the file") from error
        if isinstance(self._content, np.ndarray):
            raise CortseqError(
                "is a single array, not an npz archive", file=file, fix="save it with np.savez"
            )

    @property
    def keys(self) -> list[str]:
        """Return the names of the arrays."""
        return sorted(self._content.files)

    def read(self, key: str) -> np.ndarray:
        """Read the array of a key.

        Of any shape, as it is stored.
        """
        self._affordable(key)
        try:
            return self._content[key]
        except ValueError as error:
            raise CortseqError(
                "holds Python objects (pickle), which are never read",
                file=self.file,
                key=key,
                fix="save it again as a plain array of numbers or text",
            ) from error

    def _affordable(self, key: str) -> None:
        """Raise a CortseqError where an array does not fit a job; in the file it may take no room."""
        archive = self._content.zip
        name = key if key in archive.namelist() else f"{key}.npy"
        affordable(archive.getinfo(name).file_size * _COPIES, f"the array {key}", file=self.file, key=key)


SOURCE = Npz
