"""Every real recording of a mirror: inspect, paste what it proposes, check, and compare with independent sums."""

import os
from pathlib import Path

import numpy as np
import pytest

from cortseq import cli, study

h5py = pytest.importorskip("h5py")
loadmat = pytest.importorskip("scipy.io").loadmat


def _mirror() -> list[Path]:
    folders = [
        Path(f) for f in os.environ.get("CORTSEQ_MIRRORS", "").split(os.pathsep) if f and Path(f).is_dir()
    ]
    return sorted(f for folder in folders for f in folder.rglob("*") if f.is_file() and f.name != "README.md")


# Files beside recordings that are none themselves: what is said of them.
NONE = {".videoPositionTracking": "no source reads this kind of file", "assignments.csv": "labels"}


def _cells(file: Path) -> int:
    """Spikes in cells tetrode -> cluster -> time."""

    def count(node):
        if isinstance(node, np.ndarray) and node.dtype.names:
            return sum(np.isfinite(row["time"]).sum() for row in node.ravel())
        if isinstance(node, np.ndarray) and node.dtype == object:
            return sum(count(child) for child in node.ravel())
        return 0

    return count(loadmat(file)["spikes"])


def _segments(file: Path) -> int:
    songs = loadmat(file, squeeze_me=True)["elements"]
    return sum(np.size(song["segType"].item()) for song in np.atleast_1d(songs))


def _nwb_spikes(file: Path) -> int:
    with h5py.File(file, "r") as content:
        return len(content["units/spike_times"])


def _lines(file: Path) -> list[str]:
    return [line for line in file.read_text().splitlines() if line.strip() and not line.startswith("#")]


# The end of a file's name -> an independent sum: spikes, labels, or the total of a signal.
SUMS = {
    "Annotation.xml": lambda f: f.read_text().count("<Label>"),
    "Bird0.mat": _segments,
    "Bird4.mat": _segments,
    "sequences.txt": lambda f: sum(len(line.strip()) for line in _lines(f)),
    "-data.h5": lambda f: h5py.File(f, "r")["gcamp/trace_array"][()].sum(),
    ".npy": lambda f: np.load(f).astype(float).sum(),
    "spike_times1.txt": lambda f: len(_lines(f)),
    "spike_times2.txt": lambda f: len(_lines(f)),
    "wake.npz": lambda f: np.load(f)["counts"].sum(),
    "_spikes.mat": _cells,
    "MackeviciusData.mat": lambda f: loadmat(f)["NEURAL"].sum(),
    "songbird_spikes.txt": lambda f: len(_lines(f)),
    ".nwb": _nwb_spikes,
    "motor_ctx_data.npz": lambda f: len(np.load(f)["spiketimes"]),
    "session0": lambda f: np.load(f)["spikes"].sum(),
    "matrix.csv": lambda f: np.loadtxt(f, delimiter=",").sum(),
    "coordinates.csv": lambda f: np.loadtxt(f, delimiter=",").sum(),
}


def _total(raw) -> float:
    """What a raw Dataset holds in all, with what it says it left out of repeated spikes."""
    import json

    if "event_time" in raw:
        dirt = json.loads(raw.attrs["dirt"])
        return raw.sizes["event"] + dirt.get("spikes_at_the_same_time", 0) + dirt.get("spike_times_nan", 0)
    if "symbols" in raw:
        return int(raw["valid"].sum())
    return float(raw["counts" if "counts" in raw else "signal"].values.sum(dtype=float))


@pytest.mark.slow
@pytest.mark.parametrize("file", _mirror(), ids=lambda f: f"{f.parent.name}-{f.name}")
def test_inspect_paste_check_and_the_sums_agree(file, tmp_path, capsys):
    if ending := next((end for end in NONE if file.name.endswith(end)), None):
        code = cli.main(["inspect", str(file)])
        said = capsys.readouterr()
        assert NONE[ending] in said.out + said.err and "Traceback" not in said.err and code in (0, 2)
        return
    target = file.parent if file.parent.name == "suite2p-roi" else file
    assert cli.main(["inspect", str(target)]) == 0
    shown = capsys.readouterr().out
    assert "entry to paste" in shown, shown
    pasted = tmp_path / "study.yaml"
    pasted.write_text("datasets:\n" + shown.partition("entry to paste")[2].partition("\n")[2])
    assert cli.main(["check", str(pasted)]) == 0, capsys.readouterr().err
    (source,) = study.read(pasted).datasets.values()
    raw = source.load(target, 0)
    if target is not file:  # suite2p: F - 0.7 Fneu
        names = {name: np.load(target / f"suite2p_{name}.npy").astype(float).sum() for name in ("F", "Fneu")}
        assert _total(raw) == pytest.approx(names["F"] - 0.7 * names["Fneu"])
        return
    independent = next(
        find for end, find in SUMS.items() if file.name.endswith(end) or file.name.startswith(end)
    )
    assert _total(raw) == pytest.approx(float(independent(file)))


def test_files_that_are_known_to_be_no_recordings_are_few():
    assert len(NONE) == 2 and not set(NONE) & set(SUMS)
