"""A raw file as a Recording, from Python: `cortseq.read`."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from cortseq import fetch, preprocess, proposing, signs
from cortseq._lazy import xr
from cortseq.download import allowed
from cortseq.errors import CortseqError, about
from cortseq.sources import asked, registry


def read(path: str | Path, source: str | None = None, *, seed: int = 0, **keys: Any) -> xr.Dataset:
    """Return the Recording of one raw file, binned and cut as a study would do it.

    Parameters
    ----------
    path : file or folder (as given, under data/raw/, or in a mirror), or the address of a file to stream.
    source : kind of file; needed where several can read such a file with these keys.
    seed : of a source that draws.
    **keys : of a dataset entry (config/README.md), such as bin_ms=20, window_ms=[0, 2000], units="units".

    Returns
    -------
    recording : as `cortseq.open` returns it; `attrs["dirt"]` counts what was dropped.

    Raises
    ------
    CortseqError : no such file, no source or several, a key that is wrong, or a sign that the file is misread
        (`cortseq check` lists them); accept=["name"] lets a sign pass.

    Warns
    -----
    UserWarning : one for each sign that does not stop a study.
    """
    streamed = allowed(str(path))
    entry: dict[str, Any] = ({"url": path, "stream": True} if streamed else {"path": str(path)}) | keys
    one = proposing.typed({"source": source or _only(path if not streamed else str(path), keys), **entry})
    file = fetch.available(one, [])
    with about(file):
        raw = asked.read(one, file, seed)
        recording = preprocess.judged(raw, one)
    for sign in signs.of(recording):
        if sign.level == "warn":
            warnings.warn(f"{path}: {sign.name}: {sign.sentence()}", stacklevel=2)
    said = {"source": one.source, **entry, **(fetch.digest(one, file) if file else {}), "seed": seed}
    return recording.assign_attrs(provenance=json.dumps(said, default=str))


def _only(path: str | Path, keys: dict[str, Any]) -> str:
    """Return the one source that reads such a file and knows all keys."""
    place = path if isinstance(path, str) and allowed(path) else Path(path)
    if isinstance(place, Path) and not place.exists() and place.suffix == "":
        raise CortseqError("no such file", file=path, fix="check the path")
    able = proposing.candidates(place)
    found = [cls for cls in able if set(keys) <= set(cls.model_fields)] or able
    if len(found) != 1:
        names = sorted(name for name, cls in registry().items() if not able or cls in found)
        what = "several sources read such a file" if found else "no source reads this kind of file"
        raise CortseqError(what, file=path, key="source", fix=f"give source=, one of {', '.join(names)}")
    return str(found[0].model_fields["source"].default)
