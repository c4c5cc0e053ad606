"""Raw files: where an entry of the study finds its file, and bringing it there."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import urllib.error
import urllib.request
from pathlib import Path, PurePosixPath
from typing import Any

from cortseq import store
from cortseq.errors import CortseqError
from cortseq.sources.base import Source

RAW = Path("data/raw")


def file_name(source: Source) -> str:
    """Return the file's path under data/raw/."""
    if source.package:
        return f"{source.package}/{source.path}"
    return source.path or PurePosixPath((source.url or "").split("?")[0]).name


def raw_path(source: Source) -> Path | None:
    """Return the file a `load` job reads: the path as given where that exists, else its place in data/raw/.

    A folder (`source.patterns`) is read where it lies, also in a mirror of CORTSEQ_MIRRORS, never copied.
    """
    if not source.needs_file:
        return None
    if source.path and not source.package and _there(source, Path(source.path)):
        return Path(source.path)
    if source.patterns and not _there(source, RAW / str(source.path)):
        return next(_folders(source, mirror_folders([])), RAW / str(source.path))
    name = PurePosixPath(file_name(source))
    outside = name.is_absolute() or ".." in name.parts
    return RAW / (name.name if outside else name)


def _there(source: Source, path: Path) -> bool:
    return path.is_dir() if source.patterns else path.is_file()


def _folders(source: Source, mirrors: list[Path]) -> Any:
    """Yield folders of the name asked for in the mirrors, also a mirror itself."""
    name = PurePosixPath(str(source.path)).name
    for mirror in mirrors:
        yield from (f for f in [mirror, *sorted(mirror.rglob(name))] if f.name == name and f.is_dir())


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
    found = [f for m in mirror_folders(mirrors) if m.is_dir() for f in sorted(m.rglob(name)) if f.is_file()]
    if not found:
        return None
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
    spec = importlib.util.find_spec(str(source.package))
    if spec is None or not spec.submodule_search_locations:
        raise CortseqError(
            "the package that ships the file is not installed",
            key="package",
            value=source.package,
            fix=f"pip install {source.package}",
        )
    file = Path(spec.submodule_search_locations[0]) / str(source.path)
    if not file.is_file():
        raise CortseqError(f"package {source.package} ships no such file", key="path", value=source.path)
    return file


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
            fix="delete the file to fetch it again, or correct sha256",
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
    path = raw_path(source)
    if path is None:
        return None
    if _there(source, path):
        verify(source, path)
        return path
    found = None if source.patterns else find(source, mirrors)
    if found is None and not source.url:
        raise _missing(source, mirrors)
    return found


def fetch(source: Source, target: Path, mirrors: list[str]) -> None:
    """Bring the raw file to `target`: from its package, a mirror folder, or the URL; sha256 checked."""
    found = find(source, mirrors)
    if found is None and not source.url:
        raise _missing(source, mirrors)
    with store.atomic(target) as temporary:
        if found is not None:
            shutil.copyfile(found, temporary)
        else:
            try:
                with (
                    urllib.request.urlopen(str(source.url), timeout=60) as answer,
                    open(temporary, "wb") as file,
                ):
                    shutil.copyfileobj(answer, file)
            except (urllib.error.URLError, OSError) as error:
                raise CortseqError(
                    f"cannot be fetched ({error})",
                    key="url",
                    value=source.url,
                    fix=f"put the file at {target}, or name a folder that has it in CORTSEQ_MIRRORS",
                ) from error
        verify(source, temporary)


def _missing(source: Source, mirrors: list[str]) -> CortseqError:
    folders = ", ".join(map(str, mirror_folders(mirrors))) or "none"
    return CortseqError(
        f"no such file, nor in {RAW}/ or a mirror (searched: {folders})",
        file=source.path,
        key="path",
        fix="put it there, name its folder in CORTSEQ_MIRRORS or mirrors:, or give url:",
    )
