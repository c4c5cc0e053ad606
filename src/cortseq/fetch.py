"""Raw files: where an entry of the study finds its file, and bringing it there.

What a user placed (a path as given, `data/raw/`, a mirror) is read where it lies or copied, and never
written, moved or deleted. Copies and downloads go to `data/cache/`, to a folder named by content or address.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from cortseq import download, store
from cortseq.errors import CortseqError
from cortseq.sources.base import Source

RAW, CACHE = Path("data/raw"), Path("data/cache")
_KEY = 16  # letters of a digest that name a folder of the cache
_WHOLE = 1 << 26  # bytes; of larger files a stamp hashes ...
_BLOCKS, _BLOCK = 64, 1 << 20  # ... so many blocks of so many bytes, spread over the file


def file_name(source: Source) -> str:
    """Return the file's path under data/raw/."""
    if source.package:
        return f"{source.package}/{source.path}"
    return source.path or PurePosixPath((source.url or "").split("?")[0]).name


def raw_path(source: Source, mirrors: Sequence[str] = ()) -> Path | None:
    """Return the file a `load` job reads: as given, or under data/raw/, or its place in the cache.

    A folder (`source.patterns`) is read where it lies, also in a mirror of CORTSEQ_MIRRORS, never copied.
    """
    if not source.needs_file:
        return None
    if source.path and not source.package and _there(source, Path(source.path)):
        return Path(source.path)
    name = PurePosixPath(file_name(source))
    outside = name.is_absolute() or ".." in name.parts
    placed = RAW / (name.name if outside else name)
    if _there(source, placed):
        return placed
    if source.patterns:
        return next(_folders(source, mirror_folders([])), RAW / str(source.path))
    return _cached(source, mirrors)


def is_cached(path: Path) -> bool:
    """Whether a raw file is a copy or download of ours, which the workflow may make again."""
    return path.is_relative_to(CACHE)


def _cached(source: Source, mirrors: Sequence[str]) -> Path:
    """Return the file's place in the cache: by its sha256, by what a mirror holds, or by its address."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", PurePosixPath(file_name(source)).name) or "file"
    if source.sha256:
        return CACHE / source.sha256[:_KEY] / name
    if not source.package and not source.url:
        found = find(source, list(mirrors))
        if found is not None:
            return CACHE / f"copy-{stamp(source, found)[:_KEY]}" / name
        known = sorted(CACHE.glob(f"copy-*/{name}"))
        if len(known) > 1:
            raise CortseqError(
                f"the mirror is away, and {len(known)} copies of different content have this name: "
                f"{', '.join(map(str, known))}",
                key="path",
                value=source.path,
                fix="give sha256, or delete the copies that are not meant",
            )
        if known:  # the mirror is away
            return known[0]
    address = f"{source.package} {source.path} {source.url}"
    return CACHE / hashlib.sha256(address.encode()).hexdigest()[:_KEY] / name


def stamp(source: Source, path: Path) -> str:
    """Return a digest that changes when the file does, whatever its date; "" where it is not there.

    It is of the size and the content; of files above 64 MB of blocks spread over the content. The sha256 of
    the whole file is checked and written down when it is loaded.
    """
    if not _there(source, path):
        return ""
    if source.patterns or path.stat().st_size <= _WHOLE:
        return _digest(source, path)
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for block in range(_BLOCKS):
            file.seek((size - _BLOCK) * block // (_BLOCKS - 1))
            digest.update(file.read(_BLOCK))
    return digest.hexdigest()


def digest(source: Source, path: Path) -> dict[str, str]:
    """Return what to say of the content of a file that `available` found, in seconds for any size.

    Returns
    -------
    {"sha256": ...}; for a file above 64 MB whose entry gives no sha256 {"stamp": ...} (see `stamp`).
    """
    if source.sha256:
        return {"sha256": source.sha256}
    if source.patterns or path.stat().st_size <= _WHOLE:
        return {"sha256": _digest(source, path)}
    return {"stamp": stamp(source, path)}


def _there(source: Source, path: Path) -> bool:
    return path.is_dir() if source.patterns else path.is_file()


def _folders(source: Source, mirrors: list[Path]) -> Any:
    """Yield folders of the name asked for in the mirrors, also a mirror itself."""
    name = PurePosixPath(str(source.path)).name
    for mirror in mirrors:
        yield from (
            f for f in [mirror, *sorted(mirror.rglob(glob.escape(name)))] if f.name == name and f.is_dir()
        )


def mirror_folders(mirrors: list[str]) -> list[Path]:
    """Return the study's mirrors, then those of CORTSEQ_MIRRORS (':'-separated)."""
    more = os.environ.get("CORTSEQ_MIRRORS", "").split(":")
    return [Path(folder) for folder in [*mirrors, *more] if folder]


def find(source: Source, mirrors: list[str]) -> Path | None:
    """Return the raw file in an installed package or a mirror folder, or None where it must come by URL.

    Raises CortseqError where a package lacks it, every candidate has another sha256, or several
    different files carry the name and no sha256 tells which.
    """
    if source.package:
        return _in_package(source)
    name = PurePosixPath(file_name(source)).name
    folders = [m for m in mirror_folders(mirrors) if m.is_dir()]
    found = [f for m in folders for f in sorted(m.rglob(glob.escape(name))) if f.is_file()]
    if not found:
        return None
    if len(found) == 1 and not source.sha256:
        return found[0]
    digests = {store.sha256(f): f for f in reversed(found)}
    if source.sha256:
        if source.sha256 not in digests:
            raise CortseqError(
                f"sha256 is {next(iter(digests))}, the study asks for another",
                file=found[0],
                key="sha256",
                value=source.sha256,
                fix="get the right file or correct sha256",
            )
        return digests[source.sha256]
    if len(digests) > 1:
        raise CortseqError(
            f"{len(digests)} different files of this name lie in the mirrors",
            key="path",
            value=name,
            fix="give sha256: to say which one",
        )
    return found[0]


def _in_package(source: Source) -> Path:
    """Return the file inside an installed package, none of whose code is run."""
    name = str(source.package)
    spec = importlib.util.find_spec(name) if _installed(name) else None
    if spec is None or not spec.submodule_search_locations:
        raise CortseqError(
            "the package that ships the file is not installed",
            key="package",
            value=source.package,
            fix=f"pip install {source.package}",
        )
    root = Path(spec.submodule_search_locations[0]).resolve()
    file = root / str(source.path)
    if not file.resolve().is_relative_to(root):
        raise CortseqError(f"lies outside of package {source.package}", key="path", value=source.path)
    if not file.is_file():
        raise CortseqError(f"package {source.package} ships no such file", key="path", value=source.path)
    return file


def _installed(name: str) -> bool:
    """Whether some installed distribution has a package; that of the same name is looked at first."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        if Path(str(importlib.metadata.distribution(name).locate_file(name))).is_dir():
            return True
    return name in importlib.metadata.packages_distributions()  # reads the lists of files of all


def verify(source: Source, file: Path) -> str:
    """Return the file's sha256, which must be the study's where that names one.

    Of a folder: of all its parts.
    """
    digest = _digest(source, file)
    if source.sha256 and digest != source.sha256:
        raise CortseqError(
            f"sha256 is {digest}, the study asks for another",
            file=file,
            key="sha256",
            value=source.sha256,
            fix="get the right file, or correct sha256",
        )
    return digest


def _digest(source: Source, path: Path) -> str:
    """Return sha256 of a file.

    Of a folder the sha256 of the lines `digest  name` of its parts, as sha256sum prints.
    """
    if not source.patterns:
        return store.sha256(path)
    parts = sorted({part for pattern in source.patterns for part in path.glob(pattern) if part.is_file()})
    lines = "".join(f"{store.sha256(part)}  {part.name}\n" for part in parts)
    return hashlib.sha256(lines.encode()).hexdigest()


def available(source: Source, mirrors: list[str]) -> Path | None:
    """Return the raw file where it lies now.

    None where none is needed, or where it must be fetched from its URL.

    Raises CortseqError where it is nowhere and has no URL, or has another sha256.
    """
    path = raw_path(source, mirrors)
    if path is None:
        return None
    if _there(source, path):
        if source.sha256:
            verify(source, path)
        return path
    found = None if source.patterns else find(source, mirrors)
    if found is None and not source.url:
        raise _missing(source, mirrors)
    return found


def fetch(source: Source, target: Path, mirrors: list[str]) -> None:
    """Bring the raw file to `target`: from its package, a mirror, the cache or the URL; sha256 checked."""
    found = find(source, mirrors) or _known(source)
    if found is None and not source.url:
        raise _missing(source, mirrors)
    with store.atomic(target) as temporary:
        if found is not None:
            shutil.copyfile(found, temporary)
        else:
            download.download(str(source.url), temporary, target)
        verify(source, temporary)


def _known(source: Source) -> Path | None:
    """Return a file of the cache with the sha256 asked for, or None."""
    if not source.sha256 or not CACHE.is_dir():
        return None
    name = _cached(source, ()).name
    return next((f for f in sorted(CACHE.glob(f"*/{name}")) if store.sha256(f) == source.sha256), None)


def _missing(source: Source, mirrors: list[str]) -> CortseqError:
    folders = ", ".join(map(str, mirror_folders(mirrors))) or "none"
    return CortseqError(
        f"no such file, nor in {RAW}/ or a mirror (searched: {folders})",
        file=source.path,
        key="path",
        fix="put it there, name its folder in CORTSEQ_MIRRORS or mirrors:, or give url:",
    )
