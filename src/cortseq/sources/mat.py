"""MATLAB files: matrices, and spikes or trials in cells of cells. Version 7.3 is HDF5 and needs h5py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from cortseq._lazy import xr
from cortseq.errors import CortseqError
from cortseq.sources import matlab
from cortseq.sources.archive import Archive
from cortseq.sources.arrays import ArraySource
from cortseq.sources.base import Proposal
from cortseq.sources.guesses import from_arrays, time_unit
from cortseq.sources.matlab import Cells, Tree, kind
from cortseq.sources.raw import from_trains
from cortseq.sources.summaries import summarise_dirt, summarise_events


class Mat(ArraySource):
    """`source: mat`: keys are names of variables; a field of a struct or struct array is `name.field`.

    `spike_times` may be a cell array, nested to any depth: every vector in it, or with `field` that field of
    every struct in it, is a unit, named by its indices counted from 1 (`9.14`) from the first level that has
    more than one entry. Its first index is the label `group` (of a tetrode, say) for `select`. With
    `axes: [unit, trial]` (or the reverse) a cell matrix, or cells in cells, holds the spikes of each unit and
    trial. `counts` and `signal` may be cells of one matrix per trial: `axes: [trial, unit, time]`.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".mat",)

    source: Literal["mat"] = "mat"
    field: str | None = Field(None, description="field of the structs in the cells that has the spike times")

    def archive(self, file: Path | None) -> Archive:
        """Open the file."""
        return MatArchive(file, self.field)

    @classmethod
    def open_arrays(cls, file: Path) -> MatArchive:
        """Return the named arrays of the file."""
        return MatArchive(file, None)

    def _load_trains(
        self, archive: Archive, trains: Mapping[str, np.ndarray], trials: list[np.ndarray] | None = None
    ) -> xr.Dataset:
        raw = super()._load_trains(archive, trains, trials)
        return raw.assign_coords(group=("unit", np.array([name.partition(".")[0] for name in trains])))

    @classmethod
    def propose(cls, file: Path) -> list[Proposal]:
        """Return entries that may read the file."""
        archive = MatArchive(file, None)
        cells = [p for key in archive.keys for p in _propose_cells(file, key, archive.find(key))]
        return [*cells, *from_arrays("mat", archive.readable())]

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
        self._variables = matlab.read(file)

    @property
    def keys(self) -> list[str]:
        """Return the names of the arrays."""
        return sorted(self._variables)

    def only(self, keys: list[str]) -> None:
        """Drop all variables but those of these keys."""
        self._variables = {key: self._variables[key] for key in keys}

    def find(self, key: str) -> Tree:
        """Return what `name` or `name.field` holds; None where there is no such thing."""
        return matlab.find(self._variables, key)

    def get(self, key: str | None, option: str) -> np.ndarray:
        """Return the array `key`, named in the study under `option`; one fault is one line.

        Of any shape, as it is stored.
        """
        tree = self.find(key or "")
        if tree is None:
            raise self.missing(key, option)
        values = matlab.as_array(tree)
        if values is None:
            raise CortseqError(
                f"is {kind(tree)}, not a matrix of numbers",
                file=self.file,
                key=option,
                value=key,
                fix=_advice(tree),
            )
        return values

    def cells(
        self, key: str | None, axes: Sequence[str], option: str
    ) -> tuple[dict[str, np.ndarray], list[np.ndarray]] | None:
        """Return spike times by unit, and the trial of each spike, (spike,) each; see `Archive.cells`."""
        tree = self.find(key or "")
        if "time" in axes or not isinstance(tree, Cells):
            return None
        where: dict[str, Any] = {"file": self.file, "key": option, "value": key}
        table = _matrix(tree, len(axes), where)
        table = table.T if axes[0] == "unit" else table
        trains, trials = {}, []
        for i, column in enumerate(table.T):
            times = [
                _times(leaf, self._field, f"trial {k + 1}, unit {i + 1}", where)
                for k, leaf in enumerate(column)
            ]
            trains[str(i + 1)] = np.concatenate([np.empty(0), *times])
            trials.append(np.repeat(np.arange(len(times)), [t.size for t in times]))
        self.n_trials = len(table)
        return trains, trials

    def parts(self, key: str) -> list[np.ndarray] | None:
        """Return one array per trial, of any shape, if `key` holds such cells; None if it is one array."""
        tree = self.find(key)
        if not isinstance(tree, Cells) or not tree or matlab.as_array(tree) is not None:
            return None
        numbers = all(isinstance(leaf, np.ndarray) and leaf.dtype.kind in "iufb" for leaf in tree)
        return list(tree) if numbers else None

    def trains(self, key: str | None, option: str) -> Mapping[str, np.ndarray] | None:
        """Return spike times (spike,) by unit where `key` holds one array per unit, else None."""
        tree = self.find(key or "")
        if not isinstance(tree, list):
            return None
        found = {path: leaf for path, leaf in _leaves(tree, self._field)}
        where: dict[str, Any] = {"file": self.file, "key": option, "value": key}
        if not found:
            raise CortseqError(
                f"the cells hold no struct with the field {self._field!r}"
                if self._field
                else "the cells are empty",
                **where,
                fix=f"fields: {sorted(_fields(tree))}",
            )
        found = {path: _times(leaf, None, f"cell {'.'.join(path)}", where) for path, leaf in found.items()}
        depth = min(map(len, found))
        first = next((i for i in range(depth) if len({path[i] for path in found}) > 1), depth - 1)
        return {".".join(path[first:]): leaf for path, leaf in found.items()}


def _matrix(tree: Cells, n_axes: int, where: dict[str, Any]) -> np.ndarray:
    """Return cells as an array of objects, (first axis, second axis); one axis alone is the trials."""
    if n_axes == 1:
        rows = [[leaf] for leaf in tree]
    elif all(isinstance(leaf, Cells) for leaf in tree) and tree:
        rows = [list(leaf) for leaf in tree]
    else:
        shape = tree.shape if len(tree.shape) == 2 else (len(tree), 1)
        rows = [[tree[i + j * shape[0]] for j in range(shape[1])] for i in range(shape[0])]
    if not rows or not rows[0] or len({len(row) for row in rows}) > 1:
        raise CortseqError(f"the cells have lengths {sorted({len(r) for r in rows})}, not one", **where)
    table = np.empty((len(rows), len(rows[0])), object)
    for i, row in enumerate(rows):
        for j, leaf in enumerate(row):
            table[i, j] = leaf
    return table


def _times(leaf: Tree, field: str | None, place: str, where: dict[str, Any]) -> np.ndarray:
    """Return the spike times of one cell, (spike,); an empty cell or text has none."""
    if field is not None and isinstance(leaf, dict):
        leaf = leaf.get(field)
    if isinstance(leaf, str | list) and not leaf:
        return np.empty(0)
    if not isinstance(leaf, np.ndarray) or leaf.dtype.kind not in "iuf":
        raise CortseqError(f"{place} holds {kind(leaf)}, not spike times", **where, fix="name `field:`")
    if min(leaf.shape, default=0) > 1:
        raise CortseqError(
            f"{place} holds a matrix {leaf.shape}, not spike times", **where, fix="check the key"
        )
    return np.asarray(leaf, float).ravel()


def _advice(tree: Tree) -> str:
    """Return what to do about a variable that is no matrix."""
    if isinstance(tree, list) and tree and isinstance(tree[0], np.ndarray):
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


# -- lines of `inspect` ----------------------------------------------------------------------------


def _inspect_cells(file: Path, key: str, tree: Tree) -> list[str]:
    """Return what cells or a struct hold; cells that look like spike times are read as such."""
    if not isinstance(tree, list):
        return [f"{key}: {kind(tree)}"]
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
    return [f"{key}: {kind(tree)}" + (f", fields {fields}" if fields else "")]


def _propose_cells(file: Path, key: str, tree: Tree) -> list[Proposal]:
    """Return entries for cells: of units, of units and trials, or of one matrix per trial."""
    if not isinstance(tree, Cells) or not tree:
        return []
    leaves = [leaf for leaf in tree if isinstance(leaf, np.ndarray) and leaf.dtype.kind in "iuf"]
    wide = [leaf for leaf in leaves if min(leaf.shape, default=0) > 1]
    if wide and len(leaves) == len(tree):
        counts = all((leaf >= 0).all() and (leaf == np.floor(leaf)).all() for leaf in leaves)
        axes = (
            ["trial", "time", "unit"]
            if np.ptp([leaf.shape[0] for leaf in leaves])
            else ["trial", "unit", "time"]
        )
        form, clock = ("counts", "native_bin_ms") if counts else ("signal", "frame_rate_hz")
        entry = {"source": "mat", form: key, "axes": axes, clock: 10.0}
        return [Proposal(entry, {"axes": "GUESS: one matrix per trial", clock: "GUESS"}, 0.85)]
    likely: list[str | None] = [f for f in sorted(_fields(tree)) if "time" in f or "spike" in f]
    shape = tuple(n for n in tree.shape if n > 1)
    made = []
    for field in likely or [None]:
        archive = MatArchive(file, field)
        extra = {"field": field} if field else {}
        try:
            trains = archive.trains(key, key) or {}
        except CortseqError:
            continue
        joined = np.concatenate([np.empty(0), *trains.values()])
        unit, why = time_unit(joined, len(trains), key)
        entry = {"source": "mat", "spike_times": key, **extra, "time_unit": unit}
        notes = {"time_unit": why}
        if len(shape) == 2 and not field:
            axes = ["unit", "trial"] if shape[0] < shape[1] else ["trial", "unit"]
            unit, why = time_unit(joined, min(shape), key, max(shape))
            entry |= {"axes": axes, "time_unit": unit}
            notes = {"axes": "GUESS: there are more trials than units", "time_unit": why}
        made.append(Proposal(entry, notes, 0.9))
    return made


SOURCE = Mat
