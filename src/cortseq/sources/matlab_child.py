"""Read one MATLAB file in a process of its own: `python matlab_child.py FILE OUT.npz BYTES`.

scipy's reader can end the process by a segmentation fault on a damaged file, and a small compressed file can
claim more memory than there is. Here either ends this child, and the parent says so in one line
(`cortseq.sources.mat`). Nothing of cortseq is imported, so that the start costs little.

OUT holds the arrays as `a0`, `a1`, ... and the JSON text `tree`, whose nodes are `{"array": number}`,
`{"text": text}`, `{"list": [...], "shape": [...]}` (cells and struct arrays, in MATLAB's order),
`{"dict": {...}}` (structs) or `{"other": kind}`. Exit codes: 0 read, 3 not a MATLAB file, 4 needs h5py,
5 out of memory; the reason stands on stderr.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np


class _Writer:
    """Collects arrays while a tree is turned into JSON."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}

    def array(self, values: np.ndarray) -> dict[str, Any]:
        name = f"a{len(self.arrays)}"
        self.arrays[name] = values
        return {"array": name}

    def plain(self, value: Any) -> dict[str, Any]:
        """Turn what scipy read into a node."""
        if hasattr(value, "toarray"):
            return self.array(value.toarray())
        if isinstance(value, str):
            return {"text": value}
        if not isinstance(value, np.ndarray):
            return {"other": type(value).__name__}
        if value.dtype.names:
            rows = [{name: self.plain(v[name]) for name in value.dtype.names} for v in value.ravel("F")]
            if len(rows) == 1:
                return {"dict": rows[0]}
            return {"list": [{"dict": row} for row in rows], "shape": list(value.shape)}
        if value.dtype.kind == "O":
            return {"list": [self.plain(v) for v in value.ravel("F")], "shape": list(value.shape)}
        if value.dtype.kind == "U":
            return (
                {"text": str(value.ravel()[0]) if value.size else ""} if value.size < 2 else self.array(value)
            )
        return self.array(value) if value.dtype.kind in "iufbc" else {"other": str(value.dtype)}

    def plain_73(self, item: Any, content: Any, depth: int = 0) -> dict[str, Any]:
        """Turn what h5py reads of version 7.3 into a node: axes are reversed, cells are references."""
        if depth > 64:
            raise ValueError("cells are nested deeper than 64 levels")
        if hasattr(item, "items"):
            return self._struct_73(item, content, depth)
        kind = item.attrs.get("MATLAB_class", b"")
        kind = kind.decode() if isinstance(kind, bytes) else str(kind)
        if "MATLAB_empty" in item.attrs:
            empty = {"list": [], "shape": [0, 0]} if kind in ("cell", "struct") else None
            return empty or ({"text": ""} if kind == "char" else self.array(np.empty(0)))
        if item.dtype.kind == "O":
            found = [self.plain_73(content[r], content, depth + 1) for r in item[()].ravel()]
            return {"list": found, "shape": list(item.shape[::-1])}
        values = np.asarray(item[()]).T
        if kind != "char":
            return self.array(values)
        rows = ["".join(map(chr, row)).rstrip() for row in np.atleast_2d(values)]
        return {"text": rows[0] if rows else ""} if len(rows) < 2 else self.array(np.array(rows))

    def _struct_73(self, item: Any, content: Any, depth: int) -> dict[str, Any]:
        fields = {name: self.plain_73(child, content, depth + 1) for name, child in item.items()}
        apart = [
            child.dtype.kind == "O" and "MATLAB_class" not in child.attrs
            for child in item.values()
            if hasattr(child, "dtype")
        ]
        if apart and all(apart):  # a struct array: every field is a list of references
            rows = zip(*(field["list"] for field in fields.values()), strict=True)
            found = [{"dict": dict(zip(fields, row, strict=True))} for row in rows]
            return {"list": found, "shape": [1, len(found)]}
        return {"dict": fields}


def read(file: str, writer: _Writer) -> dict[str, Any]:
    """Return name of each variable -> its node."""
    from scipy.io import loadmat

    try:
        content = loadmat(file)
    except NotImplementedError:  # version 7.3
        import h5py

        with h5py.File(file, "r") as hdf5:
            return {n: writer.plain_73(v, hdf5) for n, v in hdf5.items() if not n.startswith("#")}
    return {name: writer.plain(value) for name, value in content.items() if not name.startswith("__")}


def main(file: str, out: str, limit: int) -> int:
    """Read `file` into `out` within `limit` bytes of memory; return the exit code."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, ValueError, OSError):
        pass  # no such limits on this system
    writer = _Writer()
    try:
        tree = read(file, writer)
        text = np.frombuffer(json.dumps(tree).encode(), np.uint8)
        np.savez(out, allow_pickle=False, tree=text, **writer.arrays)
    except MemoryError:
        return 5
    except ImportError:
        return 4
    except Exception as error:  # a damaged file makes scipy and h5py raise whatever
        print(" ".join(f"{error or type(error).__name__}".split())[:200], file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
