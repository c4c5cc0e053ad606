"""NumPy archives and arrays: a list of spikes, or a dense array of counts or real values with named axes."""

from __future__ import annotations

import struct
import tokenize
import weakref
import zipfile
import zlib
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from cortseq.errors import CortseqError
from cortseq.memory import affordable
from cortseq.sources.archive import Archive
from cortseq.sources.arrays import ArraySource
from cortseq.sources.base import Proposal
from cortseq.sources.guesses import from_arrays

ARRAY = "array"  # the name of the only array of a .npy file
# what numpy and zipfile raise on damaged files
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    tokenize.TokenError,
    EOFError,
    KeyError,
    MemoryError,
    NotImplementedError,
    OSError,
    OverflowError,
    RecursionError,
    RuntimeError,  # an encrypted archive
    SyntaxError,
    TypeError,
    ValueError,
)

_COPIES = 3  # of an array, while it is read and ordered


class Npz(ArraySource):
    """`source: npz`: an archive of `np.savez`, keyed by names of arrays; a `.npy` has one, `array`."""

    suffixes: ClassVar[tuple[str, ...]] = (".npz",)

    source: Literal["npz"] = "npz"

    def archive(self, file: Path | None) -> Archive:
        """Open the file."""
        return NpzArchive(file)

    @classmethod
    def open_arrays(cls, file: Path) -> NpzArchive:
        """Return the named arrays of the file."""
        return NpzArchive(file)

    @classmethod
    def propose(cls, file: Path) -> list[Proposal]:
        """Return entries that may read the file."""
        return from_arrays(cls.model_fields["source"].default, NpzArchive(file).readable())

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
            handle = open(file, "rb")  # type: ignore[arg-type]
            weakref.finalize(self, handle.close)
            content = np.load(handle, allow_pickle=False)
        except _BROKEN as error:
            raise CortseqError(f"is not an npz archive ({error})", file=file, fix="check the file") from error
        self._content: Any = {ARRAY: content} if isinstance(content, np.ndarray) else content

    @property
    def keys(self) -> list[str]:
        """Return the names of the arrays."""
        return sorted(self._content)

    def read(self, key: str) -> np.ndarray:
        """Read the array of a key.

        Of any shape, as it is stored.
        """
        self._affordable(key)
        try:
            values = self._content[key]
            if isinstance(values, np.ndarray):
                return values
            raise ValueError("it is no .npy file")
        except _BROKEN as error:
            if "pickle" not in str(error):
                raise CortseqError(
                    f"is damaged ({error})", file=self.file, key=key, fix="save it again"
                ) from error
            raise CortseqError(
                "holds Python objects (pickle), which are never read",
                file=self.file,
                key=key,
                fix="save it again as a plain array of numbers or text",
            ) from error

    def _affordable(self, key: str) -> None:
        """Raise a CortseqError where an array does not fit a job; in the file it may take no room."""
        if key == ARRAY and isinstance(self._content, dict):  # a .npy, which is in memory already
            return
        archive = self._content.zip
        name = key if key in archive.namelist() else f"{key}.npy"
        affordable(archive.getinfo(name).file_size * _COPIES, f"the array {key}", file=self.file, key=key)


SOURCE = Npz
