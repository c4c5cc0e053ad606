"""Entries of a study before they are typed: defaults, a dataset per file of a pattern, relative paths."""

from __future__ import annotations

import difflib
import glob
import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cortseq.errors import CortseqError

RAW = Path("data/raw")
_MOST = 1000  # files of one pattern
BIN_MARK = "_bin"  # between the name of an entry and a bin width


def expand(content: dict[str, Any], folder: Path | None, file: Any = None) -> dict[str, Any]:
    """Return the content of a study with every dataset spelled out.

    Keys of `defaults:` are added to each dataset that lacks them. A dataset whose `path` has `*` or `?`
    becomes one dataset per file, named after it; one whose `bin_ms` is a list one dataset per bin width, with
    the width at the end of its name. A path that leads to a file from the study's folder is
    rewritten from the working directory; any other path is left to be looked up (data/raw/, mirrors).

    Parameters
    ----------
    content : parsed YAML of the study.
    folder : folder of the study file; None for a study that has none.
    file : the study file, for errors.
    """
    datasets = content.get("datasets")
    if not isinstance(datasets, dict):
        return content
    defaults = content.get("defaults") or {}
    if not isinstance(defaults, dict):
        raise CortseqError("is a mapping of keys", file=file, key="defaults", value=defaults)
    found: dict[Any, Any] = {}
    for name, entry in datasets.items():
        entry = {**defaults, **entry} if isinstance(entry, dict) else entry
        files = _per_file(name, entry, _places(content, folder), file)
        each = [pair for own, one in files.items() for pair in _per_width(own, one, file)]
        for inner, one in each:
            if inner in found:
                raise CortseqError(
                    "two datasets have this name",
                    file=file,
                    key=f"datasets.{inner}",
                    fix="rename a file or entry",
                )
            found[inner] = _from_here(one, folder)
    return {**content, "datasets": found}


def fault(
    error: ValidationError, where: str = "", drop: int = 0, file: Any = None, known: Collection[str] = ()
) -> CortseqError:
    """Return all faults of a validation, one line each: the key's path, what is wrong, the value.

    Parameters
    ----------
    error : of pydantic.
    where : path of keys that leads to what was validated.
    drop : parts of pydantic's path that are no keys.
    file : the study file.
    known : keys that there are, of which one that is nearly right is proposed.
    """
    lines = []
    for found in error.errors():
        path = ".".join(str(p) for p in found["loc"][drop:] if p != "[key]")
        key = ".".join(filter(None, [where, path]))
        message = found["msg"].removeprefix("Value error, ")
        if found["type"] == "extra_forbidden":
            near = difflib.get_close_matches(path, known, 1)
            message = "unknown key" + (f": did you mean {near[0]}?" if near else "")
        value = found.get("input")
        shown = "" if isinstance(value, dict) or found["type"] == "missing" else f" (got {value!r})"
        lines.append(f"{f'{file}: ' if file else ''}{key or 'study'}: {message}{shown}")
    return CortseqError("\n".join(lines))


def _per_width(name: Any, entry: Any, file: Any) -> list[tuple[Any, Any]]:
    """Return the datasets of one entry, each with its name: itself, or one for each width of its bins."""
    widths = entry.get("bin_ms") if isinstance(entry, dict) else None
    if not isinstance(widths, list):
        return [(name, entry)]
    key = f"datasets.{name}.bin_ms"
    if len(set(map(str, widths))) < max(2, len(widths)):
        raise CortseqError(
            "a list of bin widths holds two or more, all different", file=file, key=key, value=widths
        )
    if entry.get("source") == "synthetic":
        raise CortseqError(
            "a synthetic recording is made in its bins, and cannot be cut into others",
            file=file,
            key=key,
            value=widths,
            fix="give one width",
        )
    return [(f"{name}{BIN_MARK}{_number(width)}", {**entry, "bin_ms": width}) for width in widths]


def _number(width: Any) -> str:
    """Write a width as part of a name: 2.5 -> 2p5."""
    return (format(width, "g") if isinstance(width, float) else str(width)).replace(".", "p")


def widths(datasets: Iterable[str]) -> dict[str, list[str]]:
    """Return the datasets that are one recording at several bin widths, by the name of its entry."""
    found: dict[str, list[str]] = {}
    for name in datasets:
        base, mark, width = name.rpartition(BIN_MARK)
        if mark and re.fullmatch(r"\d+(p\d+)?", width):
            found.setdefault(base, []).append(name)
    return {base: names for base, names in found.items() if len(names) > 1}


def slug(name: str) -> str:
    """Return a name that a study can have, made of a file's name: lower case, `_` for all else."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def stem(name: str) -> str:
    """Return the name of a file up to the first dot before a letter: other dots are of numbers."""
    return re.split(r"\.(?=[A-Za-z])", name)[0]


def _places(content: dict[str, Any], folder: Path | None) -> list[Path]:
    """Return the folders in which a pattern is looked up, in order."""
    listed = content.get("mirrors") or []
    named = [m for m in listed if isinstance(m, str)] if isinstance(listed, list) else []
    more = os.environ.get("CORTSEQ_MIRRORS", "").split(os.pathsep)
    return [*([folder] if folder else []), Path(), RAW, *(Path(m) for m in [*named, *more] if m)]


def _per_file(name: Any, entry: Any, places: list[Path], file: Any) -> dict[Any, Any]:
    """Return the datasets of one entry: itself, or one for each file that its pattern fits."""
    path = entry.get("path") if isinstance(entry, dict) else None
    if not isinstance(path, str) or not set("*?") & set(path) or any((p / path).exists() for p in places):
        return {name: entry}
    files = next((f for p in places if (f := sorted(_fitting(p, path)))), [])
    key = f"datasets.{name}.path"
    if not files:
        raise CortseqError("no file fits the pattern", file=file, key=key, value=path)
    if len(files) > _MOST:
        raise CortseqError(
            f"{len(files)} files fit the pattern, {_MOST} are allowed", file=file, key=key, value=path
        )
    found: dict[Any, Any] = {}
    for each in files:
        own = slug(stem(each.name))
        own = own if own[:1].isalpha() else f"{name}_{own}"
        if own in found:
            raise CortseqError(
                f"two files make the name {own}", file=file, key=key, value=path, fix="rename one"
            )
        found[own] = {**entry, "path": os.path.relpath(each)}
    return found


def _fitting(place: Path, pattern: str) -> list[Path]:
    """Return what a pattern fits in a folder."""
    if not place.is_dir():
        return []
    found = glob.glob(pattern, root_dir=place)
    return [place / name for name in found if not Path(name).name.startswith(".")]


def _from_here(entry: Any, folder: Path | None) -> Any:
    """Return an entry whose paths into the study's folder lead from the working directory."""
    if not isinstance(entry, dict) or folder is None or entry.get("package"):
        return entry
    entry = dict(entry)
    if isinstance(entry.get("path"), str):
        entry["path"] = _relative(entry["path"], folder)
    trials = entry.get("trials")
    if isinstance(trials, dict) and isinstance(trials.get("path"), str):
        entry["trials"] = {**trials, "path": _relative(trials["path"], folder)}
    return entry


def _relative(path: str, folder: Path) -> str:
    try:
        there = bool(path) and (folder / path).exists()
    except (OSError, ValueError):  # a name that no file can have
        return path
    return os.path.relpath(folder / path) if there and not Path(path).is_absolute() else path
