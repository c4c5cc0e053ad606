"""Bad input ends with one line that names file and field, exit 2, no product; damaged files never with a traceback."""

import os
import resource
import signal as signals
import time
from pathlib import Path

import numpy as np
import pytest
from bad_input import CASES, COUNTS, TIMES, TRIALS, UNITS, cells, text_of

from cortseq import checking, cli, proposing, study
from cortseq.errors import CortseqError

SECONDS, MEGABYTES = 30, 1500
SLOW_PACKAGES = {"neo": "neo", "nwb": "pynwb", "hdf5": "h5py", "annotations": "crowsetta"}


def test_there_are_many_kinds():
    assert len(CASES) >= 120
    assert {name.partition(":")[0] for name in CASES} >= {
        "study", "npz", "npy", "mat", "hdf5", "nwb", "table", "text", "phy", "alf", "suite2p", "annotations", "neo",
    }  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def sources_are_loaded():
    """What imports of libraries cost is not counted as the memory of a case."""
    for package in SLOW_PACKAGES.values():
        pytest.importorskip(package)


@pytest.mark.parametrize("name", CASES)
def test_one_line_exit_2_and_nothing_left(name, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CORTSEQ_MIRRORS", raising=False)
    case = CASES[name]
    (tmp_path / "study.yaml").write_bytes(text_of(case.study(tmp_path)))
    before = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*"))
    start, peak = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    code = cli.main(["check", "study.yaml"])
    said = capsys.readouterr().err.strip()
    assert code == 2, said
    assert len(said.splitlines()) == 1 and "study.yaml" in said, said
    for word in case.words:
        assert word in said, said
    assert "Traceback" not in said and len(said) < 1500
    assert sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*")) == before
    assert time.monotonic() - start < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < MEGABYTES * 1024


# -- damaged bytes -----------------------------------------------------------------------------------


def _npz(file):
    np.savez_compressed(file, t=TIMES, u=UNITS, y=COUNTS)


def _plain_npz(file):
    np.savez(file, t=TIMES, u=UNITS, y=COUNTS)


def _npy(file):
    np.save(file, COUNTS.reshape(-1, 3).astype(float))


def _mat(compressed):
    def write(file):
        from scipy.io import savemat

        savemat(file, {"c": cells([TIMES, TIMES + 1]), "t": TIMES, "y": COUNTS}, do_compression=compressed)

    return write


def _h5(file):
    import h5py

    with h5py.File(file, "w") as content:
        content.create_dataset("a/t", data=TIMES, compression="gzip")
        content["a/u"] = UNITS
        content["names"] = np.array(["x", "y"], object)


def _nwb(file):
    from layouts import _nwb as made
    from layouts import _save

    _save(made(), file)


def _csv(file):
    rows = zip(TIMES, UNITS, TRIALS, strict=True)
    file.write_text("time,unit,trial\n" + "".join(f"{t},{u},{k}\n" for t, u, k in rows))


def _txt(file):
    file.write_text("".join("".join(np.array(list("abc"))[UNITS[TRIALS == k]]) + "\n" for k in range(40)))


def _parquet(file):
    import pandas as pd

    pd.DataFrame({"time": TIMES, "unit": UNITS}).to_parquet(file)


def _xml(file):
    songs = "".join(f"<Sequence><NumNote>1</NumNote><Note><Position>0</Position><Length>1</Length><Label>{u}</Label></Note>"
                    f"<WaveFileName>{k}.wav</WaveFileName><Position>1</Position><Length>2</Length></Sequence>" for k, u in enumerate(UNITS[:50]))  # fmt: skip
    file.write_text(f"<Sequences><NumSequence>50</NumSequence>{songs}</Sequences>")


SPIKES = {"spike_times": "t", "window_ms": 1000}
FILES = {
    "x.npz": (_npz, {"source": "npz", **SPIKES, "spike_units": "u"}),
    "plain.npz": (_plain_npz, {"source": "npz", "counts": "y", "axes": ["trial", "time", "unit"], "native_bin_ms": 20}),
    "x.npy": (_npy, {"source": "npy", "signal": "array", "axes": ["time", "channel"], "frame_rate_hz": 10}),
    "x.mat": (_mat(True), {"source": "mat", "spike_times": "c", "window_ms": 1000}),
    "plain.mat": (_mat(False), {"source": "mat", "spike_times": "c", "window_ms": 1000}),
    "x.h5": (_h5, {"source": "hdf5", "spike_times": "a/t", "spike_units": "a/u", "window_ms": 1000}),
    "x.nwb": (_nwb, {"source": "nwb"}),
    "x.csv": (_csv, {"source": "table", "content": "spikes", "columns": {"time": "time", "unit": "unit"}, "window_ms": 1000}),
    "x.parquet": (_parquet, {"source": "table", "content": "spikes", "columns": {"time": "time", "unit": "unit"}, "window_ms": 1000}),
    "x.txt": (_txt, {"source": "text"}),
    "x.xml": (_xml, {"source": "annotations", "format": "birdsong-recognition-dataset"}),
}  # fmt: skip


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Return the bytes with a few changed, a stretch cut out or doubled, or the end missing."""
    spoiled = bytearray(content)
    kind = rng.integers(5)
    at = int(rng.integers(len(spoiled)))
    if kind <= 1:  # single bytes, of the header more often than of the rest
        reach = len(spoiled) if rng.random() < 0.5 else min(len(spoiled), 600)
        for place in rng.integers(0, reach, rng.integers(1, 9)):
            spoiled[place] = int(rng.integers(256))
    elif kind == 2:
        del spoiled[at:]
    elif kind == 3:
        del spoiled[at : at + int(rng.integers(1, 64))]
    else:
        spoiled[at:at] = spoiled[max(at - 40, 0) : at] or b"\xff"
    return bytes(spoiled)


def survives(call, seconds: float = 60.0) -> None:
    """The call ends in time, well or with a CortseqError of single lines."""

    def late(*arguments):
        raise AssertionError("takes too long")

    signals.signal(signals.SIGALRM, late)
    signals.setitimer(signals.ITIMER_REAL, seconds)
    try:
        call()
    except CortseqError as error:
        assert str(error) and all(len(line) < 1500 for line in str(error).splitlines())
    finally:
        signals.setitimer(signals.ITIMER_REAL, 0)


def load(folder: Path, name: str, entry: dict) -> None:
    plan = study.validate({"datasets": {"d": {**entry, "path": name}}}, folder=folder)
    checking.dataset(plan, "d", plan.datasets["d"])


def _spoil(name: str, n: int, folder: Path, seed: int) -> None:
    write, entry = FILES[name]
    write(folder / name)
    content = (folder / name).read_bytes()
    survives(lambda: load(folder, name, entry))
    for k in range(n):
        (folder / name).write_bytes(damaged(content, np.random.default_rng((seed, k))))
        try:
            survives(lambda: load(folder, name, entry))
        except Exception as error:
            raise AssertionError(f"{name}, damage {(seed, k)}: {type(error).__name__}: {error}") from error


@pytest.mark.parametrize("name", FILES)
def test_damaged_files_end_in_words(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _spoil(name, {"x.mat": 12, "plain.mat": 12, "x.nwb": 20}.get(name, 40), tmp_path, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_files_damaged_in_many_ways(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _spoil(name, 200, tmp_path, seed=2)


@pytest.mark.parametrize("name", [n for n in FILES if n != "plain.mat"])
def test_proposals_for_damaged_files_end_in_words(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write, _ = FILES[name]
    write(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    for k in range(6):
        (tmp_path / name).write_bytes(damaged(content, np.random.default_rng((3, k))))
        survives(lambda: proposing.draft(tmp_path / name))


def _spoil_study(name: str, n: int, folder: Path, seed: int) -> None:
    content = (Path(__file__).parents[1] / "config/studies" / name).read_bytes()
    for k in range(n):
        (folder / "x.yaml").write_bytes(damaged(content, np.random.default_rng((seed, k))))
        survives(lambda: study.read(folder / "x.yaml"))


def test_damaged_studies_end_in_words(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _spoil_study("decision.yaml", 150, tmp_path, seed=4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["decision.yaml", "song.yaml"])
def test_studies_damaged_in_many_ways(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _spoil_study(name, 200, tmp_path, seed=5)


def test_a_crash_of_the_matlab_reader_is_one_line(tmp_path, monkeypatch):
    """The child process is ended by a signal, as by a segmentation fault."""
    from cortseq.sources import matlab

    child = tmp_path / "matlab_child.py"
    child.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    monkeypatch.setattr(matlab, "__file__", str(tmp_path / "matlab.py"))
    _mat(True)(tmp_path / "x.mat")
    with pytest.raises(CortseqError, match=r"x\.mat: is damaged: the MATLAB reader crashed"):
        matlab.read(tmp_path / "x.mat")
    assert os.path.exists(child)


def test_a_matlab_file_that_claims_much_memory_is_one_line(tmp_path, monkeypatch):
    from scipy.io import savemat

    from cortseq.sources import matlab

    savemat(tmp_path / "x.mat", {"y": np.zeros((3000, 4000))}, do_compression=True)
    monkeypatch.setattr(matlab, "_FLOOR", 300 << 20)
    with pytest.raises(CortseqError, match=r"x\.mat: (needs more memory|is not a MATLAB file)"):
        matlab.read(tmp_path / "x.mat")
