"""A large NWB file whose bytes are all written, and what `cortseq` needs to read it: seconds and memory.

`python tests/large.py FOLDER [GB]` writes the file there (10 GB unless said), runs the commands and prints the
table of docs/benchmarks.md.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

SECONDS = 7200.0  # length of the session
N_UNITS, RATE_HZ = 120, 8.0
N_TRIALS, EVERY, LENGTH = 400, 17.5, 8.0  # trials, s from one to the next, s of one
N_REGIONS, FRAMES_HZ = 2000, 30.0
RAW_HZ = 30000.0
NAME = "large.nwb"


def write(file: Path, gigabytes: float = 10.0) -> None:
    """Write spikes, trials, fluorescence and, as the rest of the bytes, a raw recording at 30 kHz.

    The fluorescence of region r at frame i is sin(i / 50 + r) + r, in float32; the raw recording is noise
    (int16) that repeats after a piece. Nothing is compressed and every chunk is written.
    """
    import h5py
    from pynwb import NWBHDF5IO

    shrink = min(gigabytes / 10, 1.0)  # a smaller file has fewer regions, not a shorter session
    n_regions = max(int(N_REGIONS * shrink), 2)
    with NWBHDF5IO(str(file), "w") as io:
        io.write(_empty(n_regions))
    with h5py.File(file, "a") as content:
        _fill(content["processing/ophys/Fluorescence/dff/data"], int(SECONDS * FRAMES_HZ), _fluorescence)
        noise = np.random.default_rng(1).integers(-200, 200, (1 << 18, 1), np.int16)
        raw = content["acquisition/raw/data"]
        left = gigabytes * 1e9 - file.stat().st_size
        _fill(
            raw,
            max(int(left / (2 * raw.shape[1])), 1000),
            lambda rows, n: np.broadcast_to(noise[rows - rows[0]], (len(rows), n)),
        )


def _fill(data, n_rows: int, values) -> None:
    """Write rows of a dataset that grows, in pieces."""
    data.resize(n_rows, 0)
    piece = 1 << 18 if data.dtype.itemsize == 2 else 1 << 13
    for first in range(0, n_rows, piece):
        rows = np.arange(first, min(first + piece, n_rows))
        data[first : first + len(rows)] = values(rows, data.shape[1])


def _fluorescence(rows: np.ndarray, n: int) -> np.ndarray:
    """Return the fluorescence of all regions at some frames, (frame, region)."""
    return fluorescence(rows[:, None], np.arange(n)).astype(np.float32)


def fluorescence(frame, region):
    """Return what the file holds of a region at a frame; arrays of any shapes that go together."""
    return np.sin(frame / 50 + region) + region


def _empty(n_regions: int):
    """Return the NWB file with spikes and trials, and series without samples."""
    from hdmf.backends.hdf5 import H5DataIO
    from pynwb import NWBFile
    from pynwb.ecephys import ElectricalSeries
    from pynwb.ophys import Fluorescence, RoiResponseSeries

    nwb = NWBFile("large and made up", "large", datetime(2024, 1, 1, tzinfo=UTC))
    rng = np.random.default_rng(0)
    for start in 10 + EVERY * np.arange(N_TRIALS):
        nwb.add_trial(start_time=start, stop_time=start + LENGTH)
    trains = [np.sort(rng.uniform(0, SECONDS, rng.poisson(RATE_HZ * SECONDS))) for _ in range(N_UNITS)]
    nwb.units = _units(trains)
    device = nwb.create_device(name="probe")
    group = nwb.create_electrode_group("shank", "x", "V1", device)
    for _ in range(20):
        nwb.add_electrode(group=group, location="V1")
    sites = nwb.create_electrode_table_region(list(range(20)), "all")
    data = H5DataIO(np.empty((0, 20), np.int16), maxshape=(None, 20), chunks=(1 << 15, 20))
    nwb.add_acquisition(ElectricalSeries(name="raw", data=data, electrodes=sites, rate=RAW_HZ))
    rows = _regions(nwb, device, n_regions)
    data = H5DataIO(np.empty((0, n_regions), np.float32), maxshape=(None, n_regions), chunks=(256, n_regions))
    series = RoiResponseSeries(name="dff", data=data, rois=rows, unit="a", rate=FRAMES_HZ)
    nwb.create_processing_module("ophys", "x").add(Fluorescence(roi_response_series=series))
    return nwb


def _units(trains: list[np.ndarray]):
    """Return the table of units, made of arrays: adding them one by one takes a minute."""
    from hdmf.common import VectorData, VectorIndex
    from pynwb.misc import Units

    times = VectorData(name="spike_times", description="x", data=np.concatenate(trains))
    ends = VectorIndex(name="spike_times_index", data=np.cumsum([len(t) for t in trains]), target=times)
    area = VectorData(name="area", description="where", data=[*"ABC"] * (len(trains) // 3))
    columns = [times, ends, area]
    return Units(
        name="units",
        description="x",
        columns=columns,
        colnames=["spike_times", "area"],
        id=list(range(len(trains))),
    )


def _regions(nwb, device, n_regions: int):
    """Return a reference to the regions of a plane, which is added to the file."""
    from pynwb.ophys import OpticalChannel, PlaneSegmentation

    optics = OpticalChannel(name="o", description="x", emission_lambda=500.0)
    plane = nwb.create_imaging_plane(
        name="p", optical_channel=optics, description="x", device=device, excitation_lambda=600.0,
        indicator="GCaMP", location="V1", imaging_rate=FRAMES_HZ,
    )  # fmt: skip
    regions = PlaneSegmentation(name="regions", description="x", imaging_plane=plane)
    for i in range(n_regions):
        regions.add_roi(pixel_mask=[(i, i, 1.0)])
    module = nwb.create_processing_module("segmentation", "x")
    module.add(regions)
    return regions.create_roi_table_region("all", region=list(range(n_regions)))


@dataclass
class Run:
    """One command that has run: its exit status, what it printed, seconds, peak memory in MB."""

    status: int
    out: str
    seconds: float
    peak_mb: float


def run(arguments: list[str], folder: Path) -> Run:
    """Run `cortseq` with these arguments in a process of its own."""
    code = (  # not ru_maxrss: that is never less than what the parent held when it forked
        "import pathlib, sys; from cortseq.cli import main; status = main(sys.argv[1:]);"
        "print('PEAK', pathlib.Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0], flush=True);"
        "sys.exit(status)"
    )
    started = time.monotonic()
    found = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, "CORTSEQ_MIRRORS": ""},
    )  # fmt: skip
    seconds = time.monotonic() - started
    out, _, peak = found.stdout.rpartition("PEAK ")
    return Run(found.returncode, out + found.stderr, seconds, float(peak or "nan") / 1e3)


ENTRIES = {
    "spikes, 400 trials of 8 s": "{source: nwb, path: large.nwb}",
    "dF/F, 20 windows of 2 s": "{source: nwb, path: large.nwb, signal: dff, window_ms: [0, 2000], max_trials: 20}",
    "dF/F, the whole session in bins of 1 s": (
        "{source: nwb, path: large.nwb, signal: dff, bin_ms: 1000, window_ms: 20000}"
    ),
    "raw at 30 kHz, 20 windows of 2 s in bins of 10 ms": (
        "{source: nwb, path: large.nwb, signal: raw, bin_ms: 10, window_ms: [0, 2000], max_trials: 20}"
    ),
}
TINY = "models: {flat: {family: flat}}\n"


def check(words: str, folder: Path) -> Run:
    """Run `cortseq check` on a study of one of the entries."""
    file = folder / "study.yaml"
    file.write_text(f"datasets:\n  x: {ENTRIES[words]}\n{TINY}")
    return run(["check", "study.yaml"], folder)


def table(folder: Path) -> str:
    """Return the lines of the table in docs/benchmarks.md."""
    rows = [("`cortseq inspect`", run(["inspect", NAME], folder))]
    (folder / "new.yaml").unlink(missing_ok=True)
    rows.append(("`cortseq new`", run(["new", NAME, "-o", "new.yaml"], folder)))
    rows += [(f"`cortseq check`: {words}", check(words, folder)) for words in ENTRIES]
    lines = ["| command | seconds | peak memory, MB |", "|---|---|---|"]
    for words, found in rows:
        said = "" if found.status == 0 else f" (exit {found.status}: {found.out.splitlines()[-1][:200]})"
        lines.append(f"| {words}{said} | {found.seconds:.1f} | {found.peak_mb:.0f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    home = Path(sys.argv[1])
    if not (home / NAME).exists():
        begun = time.monotonic()
        write(home / NAME, float(sys.argv[2]) if len(sys.argv) > 2 else 10.0)
        sys.stdout.write(f"written in {time.monotonic() - begun:.0f} s\n")
    sys.stdout.write(f"{(home / NAME).stat().st_size / 1e9:.2f} GB\n{table(home)}\n")
