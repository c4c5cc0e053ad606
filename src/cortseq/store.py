"""The only module that touches disk with products. Every file appears whole or not at all.

Arrays are zarr v3 in one zip whose bytes depend on the content only (fixed dates, sorted names).
Xarray is pointed at a folder first: writing straight into a ZipStore leaves duplicate entries.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import platform
import re
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cortseq import memory, streamed
from cortseq._lazy import pd, xr
from cortseq.errors import CortseqError

_EPOCH = (1980, 1, 1, 0, 0, 0)
_FORMULA = re.compile(r"'*[=@+\-\t\r]")  # how a text begins that a spreadsheet may run, guarded or not
_SCRATCH = "cortseq"  # how the names of folders begin in which a product is collected
_LARGE = 1 << 27  # bytes of a variable above which it is written in chunks of trials
_CHUNK = 1 << 22  # bytes of a chunk before it is compressed
_FAILED = '{"failed": '  # how a file begins that stands for a product which could not be made


class Failed(CortseqError):
    """A product could not be made; the file in its place says why (`write_failure`)."""


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`.

    Renamed onto it when the block ends well, removed otherwise. What was written is on the disk before the
    file has its name, so that a machine that loses its power leaves no empty file.

    Raises
    ------
    OSError : the disk is full (`is_full`), whatever the block raised then.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}{_mark()}")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode  # the user's, by their umask: safetensors writes for the owner alone
        yield temporary
        temporary.chmod(mode)
        _to_disk(temporary)
        os.replace(temporary, path)
        _to_disk(path.parent)
    except Exception as error:
        if is_full(error):  # in the words of a library, which need not name the file
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def is_full(error: Exception) -> bool:
    """Return whether an error says that a disk or a quota is full: of the system, or of a library in Rust."""
    known = (errno.ENOSPC, errno.EDQUOT)
    return getattr(error, "errno", None) in known or any(f"(os error {n})" in str(error) for n in known)


def full(where: str | Path) -> CortseqError:
    """Return the line for a user whose disk is full at `where`."""
    fix = "make room and give the same command again: it goes on with what is left"
    return CortseqError("the disk is full", file=where, fix=fix)


def _mark() -> str:
    """Return how the names of this process's temporary files end: with its machine and its number."""
    return f".{platform.node()}.{os.getpid()}"


def _to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep(folder: str | Path) -> None:
    """Remove the temporary files that processes of this machine which are gone have left below `folder`.

    So are the folders in which `write` collects a product, beside the system's other temporary files.
    """
    scratch = Path(tempfile.gettempdir()).glob(f"{_SCRATCH}*.{platform.node()}.*")
    for left in [*Path(folder).rglob(f".*.{platform.node()}.*"), *scratch]:
        number = left.name.rpartition(".")[2].partition("-")[0]
        if number.isdigit() and int(number) != os.getpid() and not _runs(int(number)):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    """Whether a process of this number runs on this machine."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def write_failure(why: str, path: str | Path) -> None:
    """Write in place of a product why it could not be made; whatever reads it raises `Failed`."""
    write_text(_FAILED + json.dumps(why) + "}\n", path)


def failure(path: str | Path) -> str | None:
    """Return why a product could not be made, None where it was."""
    with open(path, "rb") as file:
        if file.read(len(_FAILED)) != _FAILED.encode():
            return None
    why: str = json.loads(Path(path).read_text(encoding="utf-8"))["failed"]
    return why


def _made(path: str | Path) -> None:
    why = failure(path)
    if why is not None:
        raise Failed(why)


def write(dataset: xr.Dataset, path: str | Path) -> None:
    """Write a Dataset as deterministic `.zarr.zip`.

    Variables of more than 128 MB are written in chunks of trials, of which few are in memory at one time.
    """
    from zarr.codecs import BloscCodec

    codec = BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle")
    large = {name: v for name, v in dataset.data_vars.items() if v.nbytes > _LARGE and v.dtype.kind in "iuf"}
    rest = dataset.drop_vars(large).copy()
    encoding = {
        name: {"compressors": (codec,)}
        for name, variable in rest.variables.items()
        if variable.dtype.kind in "iufb" and variable.size
    }
    for variable in rest.variables.values():
        variable.encoding = {}  # what an earlier file was chunked by does not bind this one
    with tempfile.TemporaryDirectory(prefix=f"{_SCRATCH}{_mark()}-") as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr v3 has no final specification for strings
        folder = Path(scratch) / "store"
        rest.to_zarr(folder, zarr_format=3, consolidated=False, encoding=encoding)
        for name, array in large.items():
            _write_chunks(folder, str(name), array.variable, codec)
        with atomic(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            for file in sorted(p for p in folder.rglob("*") if p.is_file()):
                info = zipfile.ZipInfo(file.relative_to(folder).as_posix(), _EPOCH)
                archive.writestr(info, file.read_bytes())


def _write_chunks(folder: Path, name: str, variable: xr.Variable, codec: Any) -> None:
    """Write a variable (trial, ...) in chunks of about 4 MB, whose size follows from its shape alone."""
    import zarr

    n, *others = variable.shape
    per_trial = math.prod(others)
    rows = max(1, _CHUNK // (per_trial * variable.dtype.itemsize))
    array = zarr.open_group(folder, mode="a", zarr_format=3).create_array(
        name,
        shape=variable.shape,
        dtype=variable.dtype,
        chunks=(rows, *others),
        compressors=(codec,),
        dimension_names=list(map(str, variable.dims)),
        attributes=variable.attrs,
    )
    for chunks in memory.blocks(-(-n // rows), rows * per_trial):
        trials = slice(chunks.start * rows, chunks.stop * rows)
        array[trials] = variable[trials].values


def read(path: str | Path) -> xr.Dataset:
    """Read a `.zarr.zip` into memory, but for variables that are larger than a block of trials.

    Those stay on disk: their values are read where they are asked for, and not kept (`cortseq.streamed`).
    """
    from zarr.storage import ZipStore

    path = Path(path)
    if not path.is_file():
        raise CortseqError("no such file", file=path)
    _made(path)
    if not zipfile.is_zipfile(path):
        raise CortseqError("is no zip, so no product of this project", file=path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            archive = ZipStore(path, mode="r")
            found = xr.open_dataset(archive, engine="zarr", consolidated=False, cache=False)  # type: ignore
            small = [v for v in found.variables.values() if not streamed.is_large(v.shape)]
            for variable in small:
                variable.load()
            if len(small) == len(found.variables):
                archive.close()
            return found
    except (KeyError, FileNotFoundError, ValueError) as error:
        raise CortseqError(
            f"is not a recording of this project ({error})", file=path, fix="run the stage again"
        ) from error


def cells(path: str | Path) -> int:
    """Return how many values the largest array of a `.zarr.zip` has, as its headers say."""
    with zipfile.ZipFile(path) as archive:
        headers = [json.loads(archive.read(n)) for n in archive.namelist() if n.endswith("zarr.json")]
    return max(math.prod(header.get("shape", [0])) for header in headers)


def write_json(content: Any, path: str | Path) -> None:
    """Write JSON with sorted keys; numpy scalars and arrays become plain numbers and lists."""

    def plain(value: Any) -> Any:
        if isinstance(value, np.ndarray | np.generic):
            return value.tolist()
        raise TypeError(type(value))

    with atomic(path) as temporary:
        text = json.dumps(content, indent=1, sort_keys=True, default=plain)
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Read a JSON file."""
    _made(path)
    return json.loads(Path(path).read_text(encoding="utf-8"))


def write_table(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table as .csv (nine significant digits) or .parquet by the suffix.

    Texts that a spreadsheet would run as a formula get a `'` in front in a .csv; `read_table` takes it away.
    """
    with atomic(path) as temporary:
        if str(path).endswith(".parquet"):
            table.to_parquet(temporary, index=False)
        else:
            texts = [c for c in table.columns if not pd.api.types.is_numeric_dtype(table[c])]
            plain = table.assign(**{c: table[c].map(_no_formula) for c in texts}).rename(columns=_no_formula)
            plain.to_csv(temporary, index=False, float_format="%.9g", lineterminator="\n")


def _no_formula(value: Any) -> Any:
    """Return a text that no spreadsheet takes for a formula: labels come from data. Numbers stay."""
    if not isinstance(value, str) or len(value) < 2 or not _FORMULA.match(value):
        return value
    with contextlib.suppress(ValueError):
        float(value)
        return value
    return f"'{value}"


def _as_written(value: Any) -> Any:
    """Return the text that `_no_formula` was given."""
    guarded = isinstance(value, str) and value.startswith("'") and _FORMULA.match(value)
    return value[1:] if guarded else value


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a table; only an empty cell is missing (pandas would take the model `null` for one)."""
    _made(path)
    if str(path).endswith(".parquet"):
        return pd.read_parquet(path)
    table = pd.read_csv(path, keep_default_na=False, na_values=[""])
    texts = [c for c in table.columns if not pd.api.types.is_numeric_dtype(table[c])]
    return table.assign(**{c: table[c].map(_as_written) for c in texts}).rename(columns=_as_written)


def write_text(text: str, path: str | Path) -> None:
    """Write a text file in one move: readers see the old file or the new one."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def user_cache(name: str) -> Path:
    """Return the path of a file that any process of this user may read, and that may be deleted at any time.

    Raises
    ------
    RuntimeError : the user has no home.
    """
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return folder / "cortseq" / name


def sha256(path: str | Path) -> str:
    """Return digest of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def safetensors_path(path: str | Path) -> Path:
    """Return `path` with the suffix .safetensors, added where absent: `m_0.1` and `m_0.9` stay apart."""
    return Path(path) if str(path).endswith(".safetensors") else Path(f"{path}.safetensors")
