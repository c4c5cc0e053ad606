"""Folders of Zarr version 2, read chunk by chunk with the codecs of numcodecs.

zarr-python 3 does not open text arrays whose fill value is 0, and hdmf-zarr writes all of them so.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cortseq.errors import CortseqError
from cortseq.memory import affordable

# decoders of numbers and of text; a pickle is none of them
_CODECS = {
    "blosc",
    "bz2",
    "delta",
    "fixedscaleoffset",
    "gzip",
    "lz4",
    "lzma",
    "shuffle",
    "vlen-utf8",
    "zlib",
    "zstd",
}


class Group:
    """A group: `name in group`, `group[name]`, `group.attrs`, `group.groups()`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.attrs = _json(folder / ".zattrs")

    def __contains__(self, path: str) -> bool:
        """Return whether there is a group or array of this path."""
        return any((self.folder / path / name).is_file() for name in (".zarray", ".zgroup"))

    def __getitem__(self, path: str) -> Group | Array:
        """Return the group or array of a path inside."""
        inner = self.folder / path
        return Array(inner) if (inner / ".zarray").is_file() else Group(inner)

    def groups(self) -> Iterator[tuple[str, Group]]:
        """Yield name and group of every group right inside."""
        for inner in sorted(self.folder.iterdir()):
            if (inner / ".zgroup").is_file() and not inner.is_symlink():
                yield inner.name, Group(inner)


class Array:
    """An array: shape, dtype, `attrs`, and rows of it by slices of the first axis."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.attrs = folder, _json(folder / ".zattrs")
        head = _json(folder / ".zarray")
        try:
            self.shape = tuple(int(n) for n in head["shape"])
            self._chunks = tuple(int(n) for n in head["chunks"])
            kind = head["dtype"]
            if not isinstance(kind, str | list):
                raise TypeError("no dtype")
            self.dtype = np.dtype([tuple(f) for f in kind] if isinstance(kind, list) else kind)
            self._order: Literal["C", "F"] = "F" if head.get("order") == "F" else "C"
            self._fill = head.get("fill_value")
            self._mark = str(head.get("dimension_separator", "."))
            self._codecs = [c for c in (head.get("compressor"), *(head.get("filters") or [])[::-1]) if c]
            wrong = head.get("order", "C") not in ("C", "F") or len(self._chunks) != len(self.shape)
            wrong = wrong or min(self._chunks, default=1) < 1
        except (KeyError, TypeError, ValueError) as error:
            raise CortseqError("is a damaged header", file=folder / ".zarray") from error
        if wrong or min(self.shape, default=1) < 0:
            raise CortseqError("is a damaged header", file=folder / ".zarray")

    @property
    def ndim(self) -> int:
        """Return the number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        """Return the length of the first axis."""
        return self.shape[0] if self.shape else 0

    def __getitem__(self, item: Any) -> Any:
        """Return rows: `[:]`, `[...]`, `[first:last]`, or one row by number."""
        if isinstance(item, int | np.integer):
            return self[int(item) : int(item) + 1][0]
        whole = item is Ellipsis or not self.shape
        first, last, _ = (slice(None) if whole else item).indices(len(self))
        shape = ((max(last - first, 0),) if self.shape else ()) + self.shape[1:]
        values = self._filled(shape)
        ranges = [range(math.ceil(n / c)) for n, c in zip(self.shape, self._chunks, strict=True)]
        if ranges:
            ranges[0] = range(
                first // self._chunks[0], math.ceil(last / self._chunks[0]) if last > first else 0
            )
        for place in itertools.product(*ranges):
            chunk = self._chunk(place)
            if chunk is not None:
                self._put(values, chunk, place, first)
        return values

    def _filled(self, shape: tuple[int, ...]) -> np.ndarray:
        affordable(math.prod(shape) * self.dtype.itemsize, f"an array of shape {shape}", file=self.folder)
        if self.dtype.kind == "O":
            return np.full(shape, "", object)
        return np.full(shape, 0 if self._fill is None else self._fill, self.dtype)

    def _put(self, values: np.ndarray, chunk: np.ndarray, place: tuple[int, ...], first: int) -> None:
        """Copy the part of a chunk that lies in the rows asked for."""
        target, origin = [], []
        for axis, (number, size) in enumerate(zip(place, self._chunks, strict=True)):
            start = number * size - (first if axis == 0 else 0)
            a, b = max(start, 0), min(start + size, values.shape[axis])
            target.append(slice(a, b))
            origin.append(slice(a - start, b - start))
        values[tuple(target)] = chunk[tuple(origin)]

    def _chunk(self, place: tuple[int, ...]) -> np.ndarray | None:
        """Return a decoded chunk; None where it was never written."""
        import numcodecs

        file = self.folder / (self._mark.join(map(str, place)) or "0")
        if not file.is_file():
            return None
        content: Any = file.read_bytes()
        for settings in self._codecs:
            if settings.get("id") not in _CODECS:
                raise CortseqError(
                    "is coded in a way that is never read", file=self.folder, value=settings.get("id")
                )
        try:
            for settings in self._codecs:
                content = numcodecs.get_codec(settings).decode(content)
            text = self.dtype.kind == "O"
            flat = np.asarray(content, object) if text else np.frombuffer(content, self.dtype)
            return np.reshape(flat, self._chunks, order=self._order)
        except Exception as error:  # each codec raises kinds of its own
            raise CortseqError("is a damaged chunk", file=file, fix="check the folder") from error


def _json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except (ValueError, RecursionError) as error:
        raise CortseqError("is not JSON", file=file, fix="check the folder") from error
    return found if isinstance(found, dict) else {}
