"""Trials of an NWB file, from the closed file to bins, beside pynapple.

The file is made here: 200 units of 10 spikes/s and 100 channels at 1 kHz (float32, in chunks, not compressed)
for 600 s, with 100 trials of 1 s. Both read the spikes of the trials into bins of 10 ms, and both average the
samples of the trials in bins of 10 ms. The file has been read before, so it lies in the system's memory.
Spikes lie between the ticks of a clock of 30 kHz, so never on the edge of a bin.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.harness import Case, Peer, installed

N_UNITS, RATE_HZ, N_CHANNELS, SAMPLES_HZ, DURATION = 200, 10, 100, 1000.0, 600
N_TRIALS, LENGTH, BIN = 100, 1.0, 0.01  # s
CHUNK = 4096  # samples
TOLERANCE = 1e-6  # of means of float32 samples of variance 1


def cases() -> Iterator[Case]:
    if not installed("pynwb"):
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "made.nwb"
        write(file)
        yield spikes(file)
        yield samples(file)


def spikes(file: Path) -> Case:
    """Counts (trial, bin, unit) of the trials in the file's table."""
    from cortseq import preprocess
    from cortseq.sources.nwb import Nwb

    entry = Nwb(path=str(file), window_ms=(0.0, 1e3 * LENGTH), bin_ms=1e3 * BIN)

    def ours():
        return preprocess.preprocess(entry.load(file, 0), entry)["counts"].values

    def differing(ours, theirs) -> float:
        return float((ours != theirs).sum()) if ours.shape == theirs.shape else float("inf")

    peer = Peer("pynapple, trial_count", _pynapple_spikes(file), differing, 0)
    return Case(f"spikes of {N_TRIALS} trials x {N_UNITS} units, NWB", ours, [peer])


def samples(file: Path) -> Case:
    """Means (trial, bin, channel) of a time series in the trials."""
    from cortseq.sources.nwb import Nwb

    window = (0.0, 1e3 * LENGTH)
    entry = Nwb(path=str(file), signal="samples", window_ms=window, bin_ms=1e3 * BIN)

    def ours():
        return entry.load(file, 0)["signal"].values

    def apart(ours, theirs) -> float:
        return float(np.abs(ours - theirs).max()) if ours.shape == theirs.shape else float("inf")

    peer = Peer("pynapple, get", _pynapple_samples(file), apart, TOLERANCE)
    return Case(f"samples of {N_TRIALS} trials x {N_CHANNELS} channels, NWB", ours, [peer])


def write(file: Path) -> None:
    """Write the file; trials start half a sample after one."""
    from hdmf.backends.hdf5 import H5DataIO
    from pynwb import NWBHDF5IO, NWBFile, TimeSeries

    rng = np.random.default_rng(0)
    nwb = NWBFile("made up", "made", datetime(2024, 1, 1, tzinfo=UTC))
    for start in np.linspace(1, DURATION - LENGTH - 1, N_TRIALS).round(2):
        nwb.add_trial(start_time=float(start), stop_time=float(start) + LENGTH)
    for _ in range(N_UNITS):
        ticks = np.unique(rng.integers(0, DURATION * 30_000, DURATION * RATE_HZ))
        nwb.add_unit(spike_times=(ticks + 0.5) / 30_000)
    values = rng.normal(size=(int(DURATION * SAMPLES_HZ), N_CHANNELS)).astype(np.float32)
    data = H5DataIO(values, chunks=(min(CHUNK, len(values)), N_CHANNELS))
    nwb.add_acquisition(TimeSeries(name="samples", data=data, unit="a", rate=SAMPLES_HZ))
    with NWBHDF5IO(str(file), "w") as io:
        io.write(nwb)


def _pynapple_spikes(file: Path):
    if not installed("pynapple"):
        return None
    pynapple = _quiet_pynapple()

    def run():
        content = pynapple.load_file(str(file))
        counts = content["units"].trial_count(content["trials"], BIN)
        content.close()
        return np.moveaxis(counts, 0, 2)  # theirs is (unit, trial, bin)

    return run


def _pynapple_samples(file: Path):
    if not installed("pynapple"):
        return None
    pynapple = _quiet_pynapple()
    per_bin, half = round(BIN * SAMPLES_HZ), 0.5 / SAMPLES_HZ

    def run():
        content = pynapple.load_file(str(file))
        series, trials = content["samples"], content["trials"]
        parts = [series.get(a - half, b - half).values for a, b in zip(trials.start, trials.end, strict=True)]
        content.close()
        return np.stack([p.reshape(-1, per_bin, p.shape[1]).mean(1, dtype=float) for p in parts])

    return run


def _quiet_pynapple():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pynapple
    return pynapple
