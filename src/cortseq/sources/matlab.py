"""The variables of a MATLAB file, read by a child process, as trees of cells, structs and arrays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from cortseq.errors import CortseqError, MissingExtra

# A cell is a Cells (a list, in MATLAB's order), a struct a dict, a struct array a Cells of dicts, text a str.
Tree = Any
_FLOOR = 4 << 30  # bytes of address space that any file may take
_RATIO = 64  # and so many for each byte of the file: numbers rarely compress better
_SECONDS = 120  # and one more for each MB


class Cells(list[Any]):
    """A cell or struct array with its shape in MATLAB; entries run down the first axis first."""

    shape: tuple[int, ...] = ()


class Other(str):
    """Something of MATLAB that is no data: its kind (a function handle, an object)."""


def read(file: Path | None) -> dict[str, Tree]:
    """Return name -> tree of every variable.

    Raises
    ------
    CortseqError : the file is damaged, crashes the reader, needs too much memory or time.
    """
    assert file is not None
    try:
        size = file.stat().st_size
    except OSError as error:
        raise CortseqError(f"cannot be read ({error.strerror})", file=file, fix="check the path") from error
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.npz"
        _run(file, out, size)
        with np.load(out, allow_pickle=False) as content:
            tree = json.loads(bytes(content["tree"]))
            return {name: _plain(node, content) for name, node in tree.items()}


def _run(file: Path, out: Path, size: int) -> None:
    child = Path(__file__).with_name("matlab_child.py")
    command = [sys.executable, "-P", str(child), str(file.absolute()), str(out), str(_FLOOR + _RATIO * size)]
    calm = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=_SECONDS + size / 1e6, env=calm, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise CortseqError("takes too long to read", file=file, fix="check the file") from None
    reason = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no reason given"]
    if done.returncode == 4:
        raise MissingExtra("h5py", "hdf5", file)
    if done.returncode == 5 or "MemoryError" in reason[0]:
        raise CortseqError("needs more memory than a file of its size may", file=file, fix="check the file")
    if done.returncode == 3:
        raise CortseqError(f"is not a MATLAB file ({reason[0]})", file=file, fix="check the file")
    if done.returncode:
        raise CortseqError("is damaged: the MATLAB reader crashed on it", file=file, fix="check the file")


def _plain(node: dict[str, Any], arrays: Any) -> Tree:
    """Turn a node of the child into lists, dicts and arrays."""
    if "array" in node:
        return arrays[node["array"]]
    if "text" in node:
        return node["text"]
    if "dict" in node:
        return {name: _plain(child, arrays) for name, child in node["dict"].items()}
    if "list" in node:
        cells = Cells(_plain(child, arrays) for child in node["list"])
        cells.shape = tuple(node["shape"])
        return cells
    return Other(node["other"])


def find(variables: dict[str, Tree], key: str) -> Tree:
    """Return what `name` or `name.field` holds; None where there is no such thing.

    A field of a struct array is a Cells of that field's values.
    """
    name, *fields = key.split(".")
    tree = variables.get(name)
    for field in fields:
        if isinstance(tree, Cells) and tree and all(isinstance(v, dict) and field in v for v in tree):
            column = Cells(v[field] for v in tree)
            column.shape = tree.shape
            tree = column
        else:
            tree = tree.get(field) if isinstance(tree, dict) else None
    return tree


def as_array(tree: Tree) -> np.ndarray | None:
    """Return numbers or texts as an array; None for what is neither.

    A struct array's field of one number or one text each is an array, of any shape else as stored.
    """
    if isinstance(tree, np.ndarray):
        return tree if tree.dtype.kind in "iufbU" else None
    if isinstance(tree, str) and not isinstance(tree, Other):
        return np.array([tree])
    if isinstance(tree, list) and tree and all(isinstance(v, str) for v in tree):
        return np.array(tree)
    if isinstance(tree, list) and tree and all(isinstance(v, np.ndarray) and v.size <= 1 for v in tree):
        if {v.dtype.kind for v in tree} <= set("iufb"):
            return np.array([v.item() if v.size else np.nan for v in tree])
    return None


def kind(tree: Tree) -> str:
    """Return in words what a variable holds."""
    if isinstance(tree, dict):
        return f"a struct with the fields {sorted(tree)}"
    if isinstance(tree, list):
        return f"a cell or struct array of {len(tree)}"
    if isinstance(tree, Other):
        return f"no data but {tree}"
    return "text" if isinstance(tree, str) else f"an array of {getattr(tree, 'dtype', type(tree).__name__)}"
