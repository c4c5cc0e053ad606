"""MATLAB files: matrices, and spikes in cells of cells. Version 7.3 is HDF5 and needs h5py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import xarray as xr
from pydantic import Field

from cortseq.errors import CortseqError
from cortseq.sources.arrays import Archive, ArraySource, from_trains
from cortseq.sources.base import summarise_dirt, summarise_events
from cortseq.sources.hdf5 import open_hdf5

_DENSE = ("counts", "signal")  # keys of an entry that name one array

# A cell is a list (in MATLAB's order), a struct a dict, a struct array a list of dicts, text a str.
Tree = Any


class Mat(ArraySource):
    """`source: mat`: keys are names of variables; a field of a struct is `name.field`.

    `spike_times` may be a cell array, nested to any depth: every vector in it, or with `field` that field of
    every struct in it, is a unit, named by its indices counted from 1 (`9.14`) from the first level that has
    more than one entry. Its first index is the label `group` (of a tetrode, say) for `select`.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".mat",)

    source: Literal["mat"] = "mat"
    field: str | None = Field(None, description="field of the structs in the cells that has the spike times")

    def archive(self, file: Path | None) -> Archive:
        """Open the file."""
        return MatArchive(file, self.field)

    def _load_trains(self, archive: Archive, trains: Mapping[str, np.ndarray]) -> xr.Dataset:
        raw = super()._load_trains(archive, trains)
        return raw.assign_coords(group=("unit", np.array([name.partition(".")[0] for name in trains])))

    @classmethod
    def inspect(cls, file: Path) -> list[str]:
        """Return what the file holds, one line a fact."""
        archive = MatArchive(file, None)
        arrays = [key for key in archive.keys if isinstance(archive.find(key), np.ndarray)]
        lines = [f"kind: MATLAB file, variables {', '.join(archive.keys) or 'none'} (source: mat)"]
        for key in archive.keys:
            if key not in arrays:
                lines += _inspect_cells(file, key, archive.find(key))
        archive.only(arrays)
        return lines + archive.summaries()


class MatArchive(Archive):
    """The variables of a MATLAB file as trees of cells, structs and arrays."""

    item: ClassVar[str] = "variable"

    def __init__(self, file: Path | None, field: str | None) -> None:
        super().__init__(file)
        self._field = field
        self._variables = _read(file)

    @property
    def keys(self) -> list[str]:
        """Return the names of the arrays."""
        return sorted(self._variables)

    def only(self, keys: list[str]) -> None:
        """Drop all variables but those of these keys."""
        self._variables = {key: self._variables[key] for key in keys}

    def find(self, key: str) -> Tree:
        """Return what `name` or `name.field` holds; None where there is no such thing."""
        name, *fields = key.split(".")
        tree = self._variables.get(name)
        for name in fields:
            tree = tree.get(name) if isinstance(tree, dict) else None
        return tree

    def get(self, key: str | None, option: str) -> np.ndarray:
        """Return the array `key`, named in the study under `option`; one fault is one line.

        Of any shape, as it is stored.
        """
        tree = self.find(key or "")
        if tree is None:
            raise self.missing(key, option)
        if isinstance(tree, list) and tree and all(isinstance(v, str) for v in tree):
            return np.array(tree)
        if not isinstance(tree, np.ndarray) or tree.dtype.kind not in "iufbU":
            raise CortseqError(
                f"is {_kind(tree)}, not a matrix of numbers",
                file=self.file,
                key=option,
                value=key,
                fix=_advice(tree, option),
            )
        return tree

    def trains(self, key: str | None, option: str) -> Mapping[str, np.ndarray] | None:
        """Return spike times (spike,) by unit where `key` holds one array per unit, else None."""
        tree = self.find(key or "")
        if not isinstance(tree, list):
            return None
        found = {path: leaf for path, leaf in _leaves(tree, self._field)}
        where: dict = {"file": self.file, "key": option, "value": key}
        if not found:
            raise CortseqError(
                f"the cells hold no struct with the field {self._field!r}"
                if self._field
                else "the cells are empty",
                **where,
                fix=f"fields: {sorted(_fields(tree))}",
            )
        for path, leaf in found.items():
            if not isinstance(leaf, np.ndarray) or leaf.dtype.kind not in "iuf":
                raise CortseqError(
                    f"cell {'.'.join(path)} holds {_kind(leaf)}, not spike times",
                    **where,
                    fix="name the field that has them with `field:`",
                )
        depth = min(map(len, found))
        first = next((i for i in range(depth) if len({path[i] for path in found}) > 1), depth - 1)
        return {".".join(path[first:]): leaf for path, leaf in found.items()}


def _advice(tree: Tree, option: str) -> str:
    """Return what to do about a variable that is no matrix."""
    if option in _DENSE and isinstance(tree, list) and tree and isinstance(tree[0], np.ndarray):
        shapes = sorted({leaf.shape for leaf in tree if isinstance(leaf, np.ndarray)})
        whole = all(
            (leaf == np.floor(leaf)).all() for leaf in tree if isinstance(leaf, np.ndarray) and leaf.size
        )
        what = "" if whole else " of whole numbers (these are rates: multiply by the length of a bin)"
        return f"the cells hold matrices of {shapes[:3]}: join them into one array{what} and name its axes"
    return "a cell array of spike times is named in spike_times, a field of a struct as name.field"


def _leaves(
    tree: Tree, field: str | None, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[Any, ...], Tree]]:
    """Yield indices (from 1) and value of every unit in cells of cells."""
    if isinstance(tree, list):
        for i, value in enumerate(tree):
            yield from _leaves(value, field, (*path, str(i + 1)))
    elif field is None:
        yield path, tree
    elif isinstance(tree, dict) and field in tree:
        yield path, tree[field]


def _fields(tree: Tree) -> set[str]:
    """Return names of the fields of all structs in cells of cells."""
    if isinstance(tree, list):
        return {name for value in tree for name in _fields(value)}
    return set(tree) if isinstance(tree, dict) else set()


def _kind(tree: Tree) -> str:
    if isinstance(tree, dict):
        return f"a struct with the fields {sorted(tree)}"
    if isinstance(tree, list):
        return f"a cell or struct array of {len(tree)}"
    return "text" if isinstance(tree, str) else f"an array of {getattr(tree, 'dtype', type(tree).__name__)}"


# -- reading ---------------------------------------------------------------------------------------


def _read(file: Path | None) -> dict[str, Tree]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        content = loadmat(file)
    except NotImplementedError:  # version 7.3
        return _read_73(file)
    except (MatReadError, ValueError, TypeError, IndexError, OSError, EOFError) as error:
        raise CortseqError(f"is not a MATLAB file ({error})", file=file, fix="check the file") from error
    return {name: _plain(value) for name, value in content.items() if not name.startswith("__")}


def _plain(value: Any) -> Tree:
    """Return what scipy read, as lists, dicts and arrays."""
    if hasattr(value, "toarray"):
        return value.toarray()
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "OVU":
        return value
    if value.dtype.names:
        rows = [{name: _plain(v[name]) for name in value.dtype.names} for v in value.ravel("F")]
        return rows[0] if len(rows) == 1 else rows
    if value.dtype.kind == "U":
        return str(value[0]) if value.size == 1 else value
    return [_plain(v) for v in value.ravel("F")]


def _read_73(file: Path | None) -> dict[str, Tree]:
    with open_hdf5(file) as content:
        return {name: _plain_73(item, content) for name, item in content.items() if not name.startswith("#")}


def _plain_73(item, content) -> Tree:
    """Return what h5py reads, as lists, dicts and arrays: axes are reversed, cells are references."""
    if hasattr(item, "items"):
        fields = {name: _plain_73(child, content) for name, child in item.items()}
        apart = [
            c.dtype.kind == "O" and "MATLAB_class" not in c.attrs
            for c in item.values()
            if hasattr(c, "dtype")
        ]
        if apart and all(apart):  # a struct array: every field is a list of references
            return [dict(zip(fields, row, strict=True)) for row in zip(*fields.values(), strict=True)]
        return fields
    kind = item.attrs.get("MATLAB_class", b"")
    kind = kind.decode() if isinstance(kind, bytes) else str(kind)
    if "MATLAB_empty" in item.attrs:
        return [] if kind in ("cell", "struct") else "" if kind == "char" else np.empty(0)
    if item.dtype.kind == "O":
        return [_plain_73(content[reference], content) for reference in item[()].ravel()]
    values = np.asarray(item[()]).T
    return "".join(map(chr, values.ravel("F"))) if kind == "char" else values


# -- lines of `inspect` ----------------------------------------------------------------------------


def _inspect_cells(file: Path, key: str, tree: Tree) -> list[str]:
    """Return what cells or a struct hold; cells that look like spike times are read as such."""
    if not isinstance(tree, list):
        return [f"{key}: {_kind(tree)}"]
    fields = sorted(_fields(tree))
    likely: list[str | None] = [f for f in fields if "time" in f or "spike" in f]
    for field in likely or [None]:
        try:
            trains = MatArchive(file, field).trains(key, key)
            raw = from_trains(trains or {}, file=file, key=key)
        except CortseqError:
            continue
        how = f"spikes in cells (source: mat, spike_times: {key}{f', field: {field}' if field else ''})"
        return [*summarise_events(raw, how), f"dirt: {summarise_dirt(raw)}"]
    return [f"{key}: {_kind(tree)}" + (f", fields {fields}" if fields else "")]


SOURCE = Mat
