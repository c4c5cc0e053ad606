"""Arrays and tables in a folder, as spike sorters leave them: read by name, never as a pickle."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cortseq.errors import CortseqError
from cortseq.sources.columns import Columns
from cortseq.sources.npz import ARRAY, NpzArchive


def array(file: Path, n: int | None = None) -> np.ndarray:
    """Return the array of a .npy file, of any shape; a vector stored as (n, 1) is (n,).

    Parameters
    ----------
    n : rows there must be, where that is known.
    """
    if not file.is_file():
        beside = sorted(f.name for f in file.parent.glob("*.npy"))[:12] if file.parent.is_dir() else []
        raise CortseqError(
            "the folder has no such file",
            file=file.parent,
            key=file.name,
            fix=f"it has {beside or 'no .npy files'}",
        )
    values = NpzArchive(file).get(ARRAY, file.name)
    if values.ndim == 2 and 1 in values.shape:
        values = values.ravel()
    if n is not None and (values.ndim == 0 or len(values) != n):
        raise CortseqError(f"has shape {values.shape}, {n} rows are needed", file=file)
    return values


def whole(values: np.ndarray, file: Path) -> np.ndarray:
    """Return numbers (spike,) as integers; CortseqError where one is none."""
    with np.errstate(invalid="ignore"):
        wrong = values.dtype.kind not in "iuf" or values.ndim != 1
        wrong = wrong or bool((values != np.floor(values)).any() or (abs(values.astype(float)) > 2**53).any())
    if wrong:
        raise CortseqError("must be one whole number per spike", file=file, fix="check the file")
    return values.astype(np.int64)


def labels(files: list[Path], index: str, units: np.ndarray) -> dict[str, np.ndarray]:
    """Return label -> value per unit of tables beside each other, for the rows that `units` names.

    Parameters
    ----------
    files : tables with a header, tab or comma separated; later ones win.
    index : column that names the unit of a row.
    units : (unit,) numbers; a unit without a row has an empty text or NaN.
    """
    found: dict[str, np.ndarray] = {}
    for file in files:
        if file.stat().st_size == 0:
            continue
        table = Columns(file)
        if index not in table.keys:
            continue
        ids = table.labels(index, index)
        place = {int(unit): row for row, unit in enumerate(ids)}
        rows = np.array([place.get(int(unit), -1) for unit in units], int)
        for name in table.keys:
            if name not in (index, "unit", "trial", "event"):
                values = table.read(name)
                empty = "" if values.dtype.kind == "U" else np.nan
                values = values.astype(float) if values.dtype.kind in "iub" and (rows < 0).any() else values
                found[name] = np.where(rows >= 0, values[rows], empty) if (rows < 0).any() else values[rows]
    return found
