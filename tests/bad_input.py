"""Bad studies and bad files, each with the words its one line must hold."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

RNG = np.random.default_rng(0)
TIMES = np.sort(RNG.uniform(0, 80, 900)).round(4)
UNITS = RNG.integers(0, 3, 900)
TRIALS = np.sort(RNG.integers(0, 40, 900))
COUNTS = RNG.poisson(0.4, (40, 50, 3))


@dataclass
class Bad:
    """A study (text, bytes or content) and what its error must say."""

    study: Callable[[Path], Any]
    words: tuple[str, ...]


CASES: dict[str, Bad] = {}


def add(name: str, study: Callable[[Path], Any], *words: str) -> None:
    """Add a case; `study` writes what it needs into a folder and returns text, bytes or content."""
    assert name not in CASES, name
    CASES[name] = Bad(study, words)


def entry(source: str, write: Callable[[Path], Any], name: str, *words: str, path: str = "x", **keys) -> None:
    """Add a case of one dataset `d`, whose file or folder `write` makes."""

    def study(folder: Path):
        write(folder / path)
        return {"datasets": {"d": {"source": source, "path": path, **keys}}}

    add(f"{source}: {name}", study, *words)


# -- the study file ----------------------------------------------------------------------------------

RING = "datasets: {r: {source: synthetic, kind: ring}}\n"
THOUSAND = ",".join(map(str, range(1, 1001)))


def tenfold(i: int) -> str:
    """Return a line of YAML whose anchor holds the one before ten times: `b` holds `a`, `c` holds `b`, ..."""
    return f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 10)}]\n"


for name, text, words in [
    ("empty", "", ("mapping",)),
    ("a list", "- 1\n- 2\n", ("mapping",)),
    ("a word", "hello\n", ("mapping",)),
    ("broken brackets", "datasets: {a: [1\n", ("not YAML",)),
    ("a tab", "datasets:\n\ta: 1\n", ("not YAML",)),
    ("not UTF-8", b"study: \xff\xfe\x00\n", ("not UTF-8",)),
    ("binary", bytes(range(256)), ("study.yaml",)),
    ("a dataset twice",
     "datasets:\n  a: {source: synthetic, kind: ring}\n  a: {source: synthetic, kind: even}\n",
     ("a: is there twice (line 3)",)),
    ("a key twice", RING + "seed: 1\nseed: 2\n", ("seed: is there twice",)),
    ("exploding anchors", "a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(map(tenfold, range(9))), ("entries",)),
    ("an anchor that holds itself", "a: &a [*a]\n" + RING, ("study.yaml",)),
    ("nested a thousand times", "a: " + "[" * 1000 + "]" * 1000, ("nested",)),
    ("a python object", "study: !!python/object/apply:os.system ['true']\n" + RING, ("not YAML",)),
    ("a date as a key", "2020-01-01: 1\n" + RING, ("study.yaml",)),
    ("two megabytes", RING + "#" + "x" * 2_000_000, ("larger",)),
    ("an unknown key", RING + "modles: {}\n", ("modles", "unknown key")),
    ("a name with a slash", "study: ../x\n" + RING, ("study:", "lower-case")),
    ("a dataset with a space", "datasets: {a b: {source: synthetic, kind: ring}}\n", ("lower-case",)),
    ("datasets as a list", "datasets: [a]\n", ("datasets",)),
    ("a dataset as a word", "datasets: {a: npz}\n", ("datasets.a",)),
    ("a dataset without source", "datasets: {a: {path: x.npz}}\n", ("datasets.a",)),
    ("an unknown source", "datasets: {a: {source: exel, path: x}}\n", ("datasets.a", "exel")),
    ("no file named", "datasets: {a: {source: npz, signal: x, native_bin_ms: 1}}\n", ("datasets.a", "path")),
    ("defaults as a list", RING + "defaults: [1]\n", ("defaults",)),
    ("a default nobody knows", RING + "defaults: {binn_ms: 1}\n",
     ("datasets.r", "binn_ms", "unknown option")),
    ("a pattern without files", "datasets: {a: {source: nwb, path: 'none/*.nwb'}}\n",
     ("datasets.a.path", "pattern")),
    ("folds 0", RING + "folds: 0\n", ("folds", "0")),
    ("folds as a text", RING + "folds: five\n", ("folds", "five")),
    ("members -1", RING + "members: -1\n", ("members", "-1")),
    ("seed nan", RING + "seed: .nan\n", ("seed",)),
    ("test_fraction 2", RING + "test_fraction: 2\n", ("test_fraction", "2")),
    ("device tpu", RING + "device: tpu\n", ("device", "tpu")),
    ("burn_in longer than a trial", RING + "burn_in: 100000\n", ("burn_in", "100000")),
    ("horizons 0", RING + "horizons: [0]\n", ("horizons", "0")),
    ("a sequence of one", RING + "sequence: [r]\n", ("sequence",)),
    ("a sequence of strangers", RING + "sequence: [r, q]\n", ("sequence", "'q'")),
    ("models as a list", RING + "models: [rate]\n", ("models",)),
    ("a model as a word", RING + "models: {m: rate}\n", ("models.m", "rate")),
    ("an unknown family", RING + "models: {m: {family: rnn3}}\n", ("models.m", "rnn3")),
    ("a setting of another family", RING + "models: {m: {family: markov, hidden: 3}}\n",
     ("models.m.hidden", "unknown key")),
    ("hidden as a text", RING + "models: {m: {family: rate, hidden: many}}\n", ("models.m.hidden", "many")),
    ("hidden infinite", RING + "models: {m: {family: rate, learning_rate: .inf}}\n",
     ("models.m.learning_rate", "inf")),
    ("a sweep of a million",
     RING + f"models: {{m: {{family: rate, hidden: [{THOUSAND}], epochs: [{THOUSAND}]}}}}\n",
     ("models.m", "1000000 points")),
    ("a theory nobody knows", "theory: {magic: {}}\n", ("theory.magic",)),
    ("nothing to do", "study: x\n", ("datasets",)),
    ("bin_ms negative", "datasets: {r: {source: synthetic, kind: ring, bin_ms: -1}}\n",
     ("datasets.r", "bin_ms")),
    ("bin_ms true", "datasets: {r: {source: synthetic, kind: ring, bin_ms: true}}\n",
     ("datasets.r", "bin_ms")),
    ("an unknown generator", "datasets: {r: {source: synthetic, kind: rong}}\n", ("datasets.r", "rong")),
    ("stratify by a stranger",
     "datasets: {r: {source: npz, path: x, signal: y, native_bin_ms: 1, stratify: z}}\n",
     ("stratify", "'z'")),
    ("part backwards", "datasets: {r: {source: npz, path: x, signal: y, native_bin_ms: 1, part: [1, 0]}}\n",
     ("part",)),
    ("sha256 too short", "datasets: {r: {source: npz, path: x, signal: y, native_bin_ms: 1, sha256: abc}}\n",
     ("sha256",)),
    ("a trial table without start",
     "datasets: {r: {source: npz, path: x, spike_times: y, trials: {stop: z}}}\n", ("trials.start",)),
    ("streaming a path", "datasets: {r: {source: nwb, path: x.nwb, stream: true}}\n", ("stream",)),
    ("streaming a local file", "datasets: {r: {source: nwb, url: 'file:///etc/passwd', stream: true}}\n",
     ("url",)),
    ("streaming from nowhere",
     "datasets: {r: {source: nwb, url: 'http://127.0.0.1:9/x.nwb', stream: true}}\n",
     ("url", "cannot be read")),
]:  # fmt: skip
    add(f"study: {name}", lambda folder, text=text: text, *words)
add(
    "study: a folder",
    lambda folder: {"datasets": {"d": {"source": "npz", "path": ".", "signal": "x", "native_bin_ms": 1}}},
    "datasets.d",
)
add(
    "study: a file that is not there",
    lambda folder: {"datasets": {"d": {"source": "nwb", "path": "gone.nwb"}}},
    "gone.nwb",
    "no such file",
)
add(
    "study: a name with a null byte",
    lambda folder: {"datasets": {"d": {"source": "nwb", "path": "a\0b.nwb"}}},
    "datasets.d",
)

# -- npz and npy -------------------------------------------------------------------------------------

LIST = {"spike_times": "t", "spike_units": "u", "window_ms": 1000}
DENSE = {"counts": "y", "axes": ["trial", "time", "unit"], "native_bin_ms": 20}


def npz(name: str, words: tuple[str, ...], keys: dict[str, Any], **arrays: Any) -> None:
    """Add a case of an npz file."""

    def write(file: Path) -> None:
        np.savez(file, **arrays)

    entry("npz", write, name, *words, path="x.npz", **keys)


npz("no such array", ("x.npz", "spike_times", "'q'"), {**LIST, "spike_times": "q"}, t=TIMES, u=UNITS)
npz("pickled objects", ("x.npz", "pickle"), LIST, t=np.array([{}], object), u=UNITS)
npz("NaN times", ("x.npz", "NaN"), LIST, t=np.append(TIMES[1:], np.nan), u=UNITS)
npz("text as times", ("x.npz",), LIST, t=np.array(["a"] * 900), u=UNITS)
npz("complex times", ("x.npz",), LIST, t=TIMES + 1j, u=UNITS)
npz("units too few", ("x.npz", "spike_units"), LIST, t=TIMES, u=UNITS[1:])
npz("fractional units", ("x.npz", "spike_units"), LIST, t=TIMES, u=UNITS + 0.5)
npz("no spikes", ("x.npz", "no spikes"), LIST, t=TIMES[:0], u=UNITS[:0])
npz("times in samples", ("x.npz", "time_unit"), LIST, t=(TIMES * 30000).astype(int), u=UNITS)
npz("a spike at 1e9 s", ("x.npz",), LIST, t=np.append(TIMES[1:], 1e9), u=UNITS)
npz(
    "numbers per unit that do not add up",
    ("x.npz", "spike_numbers"),
    {"spike_times": "t", "spike_numbers": "u", "window_ms": 1000},
    t=TIMES,
    u=UNITS,
)
npz(
    "an index that falls",
    ("x.npz", "spike_index"),
    {"spike_times": "t", "spike_index": "u", "window_ms": 1000},
    t=TIMES,
    u=np.array([900, 3, 900]),
)
npz(
    "two units of one name",
    ("x.npz", "unit_names"),
    {"spike_times": "t", "spike_numbers": "n", "unit_names": "m", "window_ms": 1000},
    t=TIMES,
    n=[400, 500],
    m=["a", "a"],
)
npz("both ways to name units", ("spike_numbers",), {**LIST, "spike_numbers": "n"}, t=TIMES, u=UNITS, n=[900])
npz(
    "trials and a table of trials",
    ("trials",),
    {"spike_times": "t", "spike_trials": "k", "trials": {"start": "a"}, "window_ms": [0, 100]},
    t=TIMES,
    k=TRIALS,
    a=[1.0],
)
npz(
    "a table of trials without stop",
    ("trials.stop",),
    {"spike_times": "t", "trials": {"start": "a"}},
    t=TIMES,
    a=np.arange(40.0),
)
npz(
    "a table of trials that is not there",
    ("trials.path", "gone.csv"),
    {"spike_times": "t", "trials": {"path": "gone.csv", "start": "a"}, "window_ms": [0, 100]},
    t=TIMES,
)
npz(
    "trials that start as text",
    ("trials.start",),
    {"spike_times": "t", "trials": {"start": "a"}, "window_ms": [0, 100]},
    t=TIMES,
    a=np.array(["x", "y"]),
)
npz(
    "trials without a start",
    ("trials", "no trial is left"),
    {"spike_times": "t", "trials": {"start": "a"}, "window_ms": [0, 100]},
    t=TIMES,
    a=np.full(9, np.nan),
)
npz(
    "columns of unequal length",
    ("trials.stop",),
    {"spike_times": "t", "trials": {"start": "a", "stop": "b"}},
    t=TIMES,
    a=np.arange(40.0),
    b=np.arange(30.0),
)
npz(
    "a trial number of 1e9",
    ("x.npz",),
    {**LIST, "spike_trials": "k", "window_ms": [0, 1000], "covariates": {"c": "c"}},
    t=TIMES,
    u=UNITS,
    k=np.append(TRIALS[1:], 10**9),
    c=np.arange(40),
)
npz(
    "a covariate of wrong length",
    ("x.npz", "there are [3]"),
    {**LIST, "spike_trials": "k", "window_ms": [0, 1000], "covariates": {"c": "c"}},
    t=TIMES % 1,
    u=UNITS,
    k=TRIALS,
    c=np.arange(3),
)
npz("negative counts", ("x.npz", "-1"), DENSE, y=COUNTS - 1)
npz("fractional counts", ("x.npz", "0.5"), DENSE, y=COUNTS * 0.5)
npz("infinite counts", ("x.npz", "counts"), DENSE, y=np.where(COUNTS > 1, np.inf, COUNTS))
npz("counts of 2^40", ("x.npz",), DENSE, y=COUNTS.astype(np.int64) + 2**40)
npz("counts as text", ("x.npz", "numbers"), DENSE, y=COUNTS.astype(str))
npz("axes too few", ("x.npz", "axes"), {**DENSE, "axes": ["trial", "time"]}, y=COUNTS)
npz("axes twice", ("axes",), {**DENSE, "axes": ["time", "time", "unit"]}, y=COUNTS)
npz("an empty array", ("x.npz", "empty"), DENSE, y=COUNTS[:0])
npz("one trial", ("datasets.d", "trial"), DENSE, y=COUNTS[:1])
npz("silence", ("datasets.d",), DENSE, y=COUNTS * 0)
npz("bins that are no multiple", ("bin_ms", "15"), {**DENSE, "bin_ms": 15}, y=COUNTS)
npz("bins wider than a trial", ("bin_ms", "wider"), {**DENSE, "bin_ms": 2000}, y=COUNTS)
npz(
    "an infinite signal",
    ("x.npz", "signal"),
    {"signal": "y", "axes": ["time", "channel"], "frame_rate_hz": 10},
    y=np.full((400, 2), np.inf),
)
npz(
    "a signal of NaN",
    ("datasets.d", "signal"),
    {"signal": "y", "axes": ["time", "channel"], "frame_rate_hz": 10},
    y=np.full((400, 2), np.nan),
)
npz(
    "a clock that runs back",
    ("x.npz", "time"),
    {"signal": "y", "axes": ["time", "channel"], "time": "c"},
    y=RNG.normal(size=(400, 2)),
    c=np.arange(400)[::-1],
)
npz(
    "a clock too short",
    ("x.npz", "time"),
    {"signal": "y", "axes": ["time", "channel"], "time": "c"},
    y=RNG.normal(size=(400, 2)),
    c=np.arange(3.0),
)
npz(
    "two clocks",
    ("native_bin_ms",),
    {"signal": "y", "axes": ["time", "channel"], "frame_rate_hz": 1, "native_bin_ms": 1},
    y=RNG.normal(size=(400, 2)),
)
npz("labels with decimals", ("x.npz", "symbols"), {"symbols": "y"}, y=RNG.normal(size=300))
npz("labels without groups", ("x.npz", "symbols"), {"symbols": "*/y"}, y=UNITS)
npz("labels selected by unit", ("select",), {"symbols": "y", "select": {"a": [1]}}, y=UNITS)
npz("a unit that is not selected", ("select.area",), {**DENSE, "select": {"area": ["x"]}}, y=COUNTS)


def raw_bytes(content: bytes) -> Callable[[Path], Any]:
    """Return a writer of these bytes."""
    return lambda file: file.write_bytes(content)


def npy_of(shape: tuple[int, ...], kind: str = "<f8") -> bytes:
    """Return the header of an array that claims a shape, without its content."""
    head = str({"descr": kind, "fortran_order": False, "shape": shape}).encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head


def zipped(name: str, content: bytes) -> bytes:
    """Return a zip archive of one file."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return out.getvalue()


SIGNAL = {"signal": "array", "axes": ["time", "channel"], "frame_rate_hz": 10}
for name, content in [
    ("a text file", b"hello\n"),
    ("nothing", b""),
    ("half a header", b"\x93NUMPY\x01\x00v"),
    ("a wrong version", b"\x93NUMPY\x09\x09" + b"0" * 99),
    ("a claim of a terabyte", npy_of((10**9, 200))),
    ("a negative size", npy_of((-3, 2))),
    ("a pickle", npy_of((3,), "|O") + b"\x80\x04N."),
    ("a header that runs code",
     b"\x93NUMPY\x01\x00" + struct.pack("<H", 40) + b"__import__('os').system('true')".ljust(40)),
]:  # fmt: skip
    entry("npy", raw_bytes(content), name, "x.npy", path="x.npy", **SIGNAL)
for name, content in [
    ("a text file", b"hello\n"),
    ("half an archive", zipped("y.npy", b"x" * 999)[:60]),
    ("an archive of text", zipped("y.npy", b"hello")),
    ("a bomb", zipped("y.npy", npy_of((20_000, 20_000)) + bytes(50_000_000))),
    ("a claim of a terabyte", zipped("y.npy", npy_of((10**9, 200)))),
]:  # fmt: skip
    entry(
        "npz",
        raw_bytes(content),
        name,
        "x.npz",
        path="x.npz",
        signal="y",
        axes=["time", "channel"],
        frame_rate_hz=10,
    )

# -- MATLAB, HDF5, NWB -------------------------------------------------------------------------------


def mat(name: str, words: tuple[str, ...], keys: dict[str, Any], **variables: Any) -> None:
    """Add a case of a MATLAB file."""

    def write(file: Path) -> None:
        from scipy.io import savemat

        savemat(file, variables)

    entry("mat", write, name, *words, path="x.mat", **keys)


def cells(*rows: list[Any]) -> np.ndarray:
    """Return a cell matrix."""
    found = np.empty((len(rows), len(rows[0])), object)
    for i, row in enumerate(rows):
        for j, value in enumerate(row):
            found[i, j] = value
    return found


mat("no such variable", ("x.mat", "'q'"), {"spike_times": "q", "window_ms": 1000}, t=TIMES)
mat("cells of text", ("x.mat", "cell"), {"spike_times": "c", "window_ms": 1000}, c=cells(["a", "b"]))
mat(
    "cells of nothing",
    ("x.mat", "spike_times"),
    {"spike_times": "c", "window_ms": 1000},
    c=cells([np.empty(0), np.empty(0)]),
)
mat(
    "cells of matrices as spikes",
    ("x.mat", "matrix"),
    {"spike_times": "c", "axes": ["unit", "trial"], "window_ms": [0, 1000]},
    c=cells([np.ones((2, 3)), np.ones((2, 3))]),
)
mat(
    "a field that is not there",
    ("x.mat", "'when'"),
    {"spike_times": "c", "field": "when", "window_ms": 1000},
    c=cells([{"time": TIMES}]),
)
mat(
    "trials that differ in units",
    ("x.mat", "shapes"),
    {"counts": "c", "axes": ["trial", "time", "unit"], "native_bin_ms": 10},
    c=cells([np.ones((3, 2)), np.ones((3, 4))]),
)
mat(
    "cells as a signal",
    ("x.mat", "signal"),
    {"signal": "c", "axes": ["time"], "frame_rate_hz": 1},
    c=cells([{"a": 1.0}, {"a": 2.0}]),
)
for name, content in [
    ("text", b"x" * 600),
    ("nothing at all", b""),
    ("half a header", b"MATLAB 5.0 MAT-file" + b" " * 100),
    ("a pickle", b"\x80\x04N."),
]:
    entry("mat", raw_bytes(content), name, "x.mat", path="x.mat", spike_times="t", window_ms=1000)
    entry("hdf5", raw_bytes(content), name, "x.h5", path="x.h5", spike_times="t", window_ms=1000)
    entry("nwb", raw_bytes(content), name, "x.nwb", path="x.nwb")


def hdf5(name: str, words: tuple[str, ...], keys: dict[str, Any], fill: Callable[[Any], Any]) -> None:
    """Add a case of an HDF5 file."""

    def write(file: Path) -> None:
        import h5py

        with h5py.File(file, "w") as content:
            fill(content)

    entry("hdf5", write, name, *words, path="x.h5", **keys)


def _put(key: str, value: Any) -> Callable[[Any], Any]:
    return lambda content: content.create_dataset(key, data=value)


hdf5("no such dataset", ("x.h5", "'q'"), {"spike_times": "q", "window_ms": 1000}, _put("t", TIMES))
hdf5(
    "an empty group",
    ("x.h5", "group"),
    {"spike_times": "g", "window_ms": 1000},
    lambda c: c.create_group("g"),
)
hdf5(
    "compound values",
    ("x.h5",),
    {"spike_times": "t", "window_ms": 1000},
    _put("t", np.zeros(9, [("a", "f8")])),
)
hdf5(
    "a claim of a terabyte",
    ("x.h5",),
    {"signal": "y", "axes": ["time", "channel"], "frame_rate_hz": 10},
    lambda c: c.create_dataset("y", (10**9, 200), "f4", chunks=(1000, 200)),
)
hdf5("syllables that are numbers with decimals", ("x.h5", "symbols"), {"symbols": "*/s"}, _put("a/s", TIMES))

# -- tables and text ---------------------------------------------------------------------------------

SPIKES = {"content": "spikes", "columns": {"time": "t", "unit": "u"}, "window_ms": 1000}
for name, text, words, keys in [
    ("without a header", "1,2\n3,4\n", ("header",), SPIKES),
    ("a header alone", "t,u\n", ("no rows",), SPIKES),
    ("no such column", "a,b\n1,2\n", ("columns.time", "'t'"), SPIKES),
    ("a field too few", "t,u\n1,2\n3\n", ("row 3",), SPIKES),
    ("a column twice", "t,t\n1,2\n", ("'t'", "one name"), SPIKES),
    ("text among times", "t,u\n1,2\nx,2\n", ("row 3", "'x'"), SPIKES),
    ("a decimal comma", "t;u\n1,5;2\n2,5;2\n", ("decimal",), SPIKES),
    ("a fractional unit name", "t,u\n1,2.5\n", ("columns.unit",), SPIKES),
    ("an unnamed unit", "t,u\n1,a\n2,\n", ("columns.unit", "row 3"), SPIKES),
    ("labels without label", "t,u\n1,2\n", ("columns.label",), {"content": "symbols"}),
    ("a signal without a clock", "t,u\n1,2\n", ("frame_rate_hz",), {"content": "signal"}),
    ("a role of another content", "t,u\n1,2\n", ("columns.label",),
     {"content": "spikes", "columns": {"time": "t", "label": "u"}}),
    ("a clock that runs back", "t,u\n" + "".join(f"{9 - i},1\n" for i in range(9)), ("columns.time",),
     {"content": "signal", "columns": {"time": "t"}}),
    ("no channel left", "t,u\n1,a\n2,b\n3,c\n", ("channels",),
     {"content": "signal", "columns": {"time": "t"}}),
    ("binary", "\0\0\0\0", ("not text",), SPIKES),
]:  # fmt: skip
    of_the_file = name not in {
        "labels without label", "a signal without a clock", "a role of another content",
    }  # fmt: skip
    place = ["d" if "needed" in words else "x.csv"] if of_the_file else []
    entry("table", lambda f, text=text: f.write_text(text), name, *place, *words, path="x.csv", **keys)
entry(
    "table", raw_bytes(b"PAR1 no parquet PAR1"), "a broken parquet", "x.parquet", path="x.parquet", **SPIKES
)
entry("text", raw_bytes(b"\xff\xfe\xfa\x00abc"), "no text", "x.txt", path="x.txt")
entry("text", raw_bytes(b"\n\n"), "empty lines", "x.txt", "no symbols", path="x.txt")
entry("text", raw_bytes(b"a b\n"), "words as numbers", "x.txt", path="x.txt", content="spike_times")
entry(
    "text",
    raw_bytes(b"1,2\n3\n"),
    "rows of unequal length",
    "x.txt",
    path="x.txt",
    content="signal",
    frame_rate_hz=1,
)
entry(
    "text",
    raw_bytes(b"ab\nac\n" * 30),
    "labels outside the alphabet",
    "x.txt",
    "alphabet",
    "'c'",
    path="x.txt",
    alphabet=["a", "b"],
)

# -- folders and annotations -------------------------------------------------------------------------


def phy_folder(**files: Any) -> Callable[[Path], Any]:
    """Return a writer of a folder: arrays as .npy, text as it is."""

    def write(folder: Path) -> None:
        folder.mkdir()
        for name, content in files.items():
            stem = folder / name.replace("__", ".")
            if isinstance(content, str):
                stem.write_text(content)
            else:
                np.save(stem, content)

    return write


SAMPLES = np.round(TIMES * 30000).astype(np.int64)
RATE = "sample_rate = 30000\n"
entry("phy", phy_folder(spike_times__npy=SAMPLES), "no rate", "params.py", "sampling_rate_hz")
entry("phy", phy_folder(params__py=RATE), "no spikes", "spike_times.npy")
entry(
    "phy",
    phy_folder(spike_times__npy=SAMPLES, spike_clusters__npy=UNITS[:5], params__py=RATE),
    "clusters too few",
    "spike_clusters.npy",
)
entry(
    "phy",
    phy_folder(
        spike_times__npy=SAMPLES, spike_clusters__npy=UNITS, params__py="import os; os.system('true')\n"
    ),
    "settings without a rate",
    "params.py",
    "sample_rate",
)
entry(
    "phy",
    phy_folder(spike_times__npy=SAMPLES, spike_clusters__npy=UNITS, params__py="sample_rate = (("),
    "settings that are no Python",
    "params.py",
)
entry(
    "phy",
    phy_folder(spike_times__npy=SAMPLES, spike_clusters__npy=UNITS, params__py="sample_rate = 'fast'\n"),
    "a rate that is text",
    "sample_rate",
)
entry(
    "phy",
    phy_folder(spike_times__npy=SAMPLES + 0.5, spike_clusters__npy=UNITS, params__py=RATE),
    "samples with decimals",
    "spike_times.npy",
)
entry(
    "phy",
    phy_folder(
        spike_times__npy=SAMPLES, spike_clusters__npy=UNITS, params__py=RATE, numpysorting_info__json="{"
    ),
    "a broken sorting",
    "numpysorting_info.json",
)
entry(
    "phy",
    phy_folder(
        spike_times__npy=SAMPLES,
        spike_clusters__npy=UNITS,
        params__py=RATE,
        cluster_group__tsv="cluster_id\tgroup\n0\tgood\textra\n",
    ),
    "a broken table",
    "cluster_group.tsv",
    "row 2",
)
entry("alf", phy_folder(spikes__times__npy=TIMES), "no clusters", "spikes.clusters")
entry(
    "alf",
    phy_folder(spikes__times__npy=TIMES, spikes__clusters__npy=UNITS - 5),
    "negative clusters",
    "clusters",
)
entry(
    "alf",
    phy_folder(spikes__times__npy=TIMES, spikes__clusters__npy=UNITS),
    "no such alignment",
    "no such attribute",
    "intervals",
    align="go",
    window_ms=[0, 100],
)
entry("suite2p", phy_folder(F__npy=RNG.normal(size=(3, 400))), "no neuropil", "Fneu.npy", frame_rate_hz=10)
entry("suite2p", phy_folder(F__npy=RNG.normal(size=(3, 400))), "no rate", "frame_rate_hz")
for form, content in [
    ("birdsong-recognition-dataset", "<a><b></a>"),
    ("bengalese-finch-mat", "x"),
    ("notmat", "x"),
    ("yarden", "x"),
    ("generic-seq", "a,b\n1,2\n"),
    ("raven", "a\tb\n1\t2\n"),
    ("simple-seq", "a,b\n1,2\n"),
    ("textgrid", "no grid"),
    ("timit", "a b c\n"),
    ("aud-seq", "a\tb\n"),
]:
    ending = {
        "birdsong-recognition-dataset": "xml",
        "bengalese-finch-mat": "mat",
        "notmat": "not.mat",
        "yarden": "mat",
        "generic-seq": "csv",
        "raven": "txt",
        "simple-seq": "csv",
        "textgrid": "TextGrid",
        "timit": "phn",
        "aud-seq": "txt",
    }[form]
    entry(
        "annotations",
        lambda f, content=content: f.write_text(content),
        form,
        f"x.{ending}",
        path=f"x.{ending}",
        format=form,
    )
entry(
    "annotations",
    lambda f: f.mkdir(),
    "an empty folder",
    "files",
    path="songs",
    format="notmat",
    files="*.mat",
)
entry(
    "annotations",
    lambda f: f.write_text("x"),
    "a tier of no TextGrid",
    "tier",
    path="x.txt",
    format="raven",
    tier="a",
)
entry("neo", raw_bytes(b"nothing that neo knows"), "no recording", "x.plx", path="x.plx")


def zarr(**more: Any) -> Callable[[Path], Any]:
    """Return a writer of an NWB-Zarr folder whose table of units is spoiled."""

    def write(folder: Path) -> None:
        from layouts import zarr_array, zarr_group

        zarr_group(folder, neurodata_type=more.get("kind", "NWBFile"))
        zarr_group(folder / "units", neurodata_type="Units", colnames=["spike_times"])
        zarr_array(folder / "units/id", np.arange(2))
        zarr_array(folder / "units/spike_times", TIMES)
        zarr_array(folder / "units/spike_times_index", np.array([300, 900]))
        if "head" in more:
            head = json.loads((folder / "units/spike_times/.zarray").read_text())
            (folder / "units/spike_times/.zarray").write_text(json.dumps(head | more["head"]))
        if "chunk" in more:
            (folder / "units/spike_times/0").write_bytes(more["chunk"])

    return write


for name, more in [
    ("no NWB file", {"kind": "Other"}),
    ("a damaged chunk", {"chunk": b"xx"}),
    ("a pickled chunk", {"head": {"compressor": {"id": "pickle"}}}),
    ("a claim of a terabyte", {"head": {"shape": [10**12], "chunks": [10**12]}}),
    ("a header without a type", {"head": {"dtype": None}}),
    ("chunks of nothing", {"head": {"chunks": [0]}}),
]:  # fmt: skip
    entry("nwb", zarr(**more), f"zarr, {name}", "x.zarr", path="x.zarr", window_ms=1000)


def text_of(content: Any) -> bytes:
    """Return the bytes of a study."""
    if isinstance(content, bytes):
        return content
    return (content if isinstance(content, str) else yaml.safe_dump(content)).encode()
