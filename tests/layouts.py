"""Made-up recordings in every layout that is read, with what they must give; the table of docs/formats.md.

`python tests/layouts.py` writes that table from what is read here.
"""

from __future__ import annotations

import contextlib
import functools
import http.server
import json
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

N_UNITS, N_TRIALS, LENGTH, WIDTH = 3, 40, 2.0, 0.02
STARTS = 1.0 + LENGTH * np.arange(N_TRIALS)
NAMES = ["a1", "b2", "c3"]
KINDS = np.array(["left", "right"])[np.arange(N_TRIALS) % 2]
DOCUMENT = Path(__file__).parents[1] / "docs/formats.md"


@dataclass
class Made:
    """An entry of a study and the recording it must give: an array, or sequences of labels."""

    entry: dict[str, Any]
    expected: Any
    close: Callable[[], None] = lambda: None


@dataclass
class Layout:
    """One layout: its words, what is read of it, how it is made, whether `cortseq new` finds the entry."""

    words: str
    reads: str
    make: Callable[[Path], Made]
    drafted: bool
    package: str | None


LAYOUTS: dict[str, Layout] = {}


def layout(words: str, reads: str, drafted: bool = True, package: str | None = None):
    """Register the function below as the maker of a layout."""

    def add(make):
        LAYOUTS[make.__name__] = Layout(words, reads, make, drafted, package)
        return make

    return add


@functools.cache
def trains() -> list[np.ndarray]:
    """Spike times (spike,) s of each unit over all trials; homogeneous Poisson."""
    rng = np.random.default_rng(3)
    rate = 30000  # samples/s, for layouts that store samples; no spike lies on the edge of a bin of 600
    found = []
    for hz in (6.0, 15.0, 9.0):
        span = round(STARTS[0] * rate), round((STARTS[-1] + LENGTH) * rate)
        samples = np.unique(rng.integers(*span, rng.poisson(hz * N_TRIALS * LENGTH)))
        found.append(samples[(samples % 600 > 6) & (samples % 600 < 594)])
    found[0][0] = round(STARTS[0] * rate) + 3
    return [samples / rate for samples in found]


def joined() -> tuple[np.ndarray, np.ndarray]:
    """Times and units of all spikes, (spike,) each, in order of time."""
    times = np.concatenate(trains())
    units = np.repeat(np.arange(N_UNITS), [len(t) for t in trains()])
    order = np.argsort(times, kind="stable")
    return times[order], units[order]


def by_trial() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times from the start of the trial, units and trials of all spikes, (spike,) each."""
    times, units = joined()
    trials = np.searchsorted(STARTS, times, side="right") - 1
    return times - STARTS[trials], units, trials


def cut(starts=STARTS, length: float = LENGTH, width: float = WIDTH) -> np.ndarray:
    """Counts (trial, time, unit) of the spikes, by plain arithmetic."""
    n = round(length / width)
    counts = np.zeros((len(starts), n, N_UNITS), int)
    for k, start in enumerate(starts):
        for u, times in enumerate(trains()):
            inside = times[(times >= start) & (times < start + length)]
            np.add.at(counts, (k, np.floor((inside - start) / width + 1e-9).astype(int), u), 1)
    return counts


def windows(length: float = 1.0) -> np.ndarray:
    """Counts of consecutive windows from the first spike on."""
    first, last = joined()[0][[0, -1]]
    return cut(first + length * np.arange(int((last - first) / length)), length)


@functools.cache
def signal() -> np.ndarray:
    """White noise, (time, channel)."""
    return np.random.default_rng(4).normal(size=(1200, 4)).round(4)


def windowed(values: np.ndarray, n: int = 20) -> np.ndarray:
    """A signal (time, channel) in windows of n samples, (trial, time, channel)."""
    whole = len(values) // n * n
    return values[:whole].reshape(-1, n, values.shape[1])


@functools.cache
def songs() -> list[list[str]]:
    """Sequences of labels."""
    rng = np.random.default_rng(5)
    return [list(rng.choice(list("abcd"), rng.integers(8, 20))) for _ in range(40)]


# -- arrays ------------------------------------------------------------------------------------------


@layout("npz: list of spikes with trials", "spikes, trials, a covariate")
def npz_list(folder):
    times, units, trials = by_trial()
    np.savez(folder / "x.npz", spike_times=times, unit=units, trial=trials, side=KINDS)
    entry = {"source": "npz", "path": "x.npz", "spike_times": "spike_times", "spike_units": "unit",
             "spike_trials": "trial", "window_ms": [0, 2000], "covariates": {"side": "side"}}  # fmt: skip
    return Made(entry, cut())


@layout("npz: list of spikes with names of units", "spikes, units under their names")
def npz_names(folder):
    times, units = joined()
    np.savez(folder / "x.npz", times=times, unit=np.array(NAMES)[units])
    entry = {
        "source": "npz",
        "path": "x.npz",
        "spike_times": "times",
        "spike_units": "unit",
        "window_ms": 1000,
    }
    return Made(entry, windows())


@layout("npz: spikes of all units in a row + number per unit", "spikes of each unit")
def npz_ragged(folder):
    np.savez(folder / "x.npz", spikes=np.concatenate(trains()), n=[len(t) for t in trains()], name=NAMES)
    entry = {"source": "npz", "path": "x.npz", "spike_times": "spikes", "spike_numbers": "n",
             "unit_names": "name", "window_ms": 1000}  # fmt: skip
    return Made(entry, windows())


@layout("npz: spikes on one clock + table of trials (csv) beside it", "spikes, trials, a covariate")
def npz_and_table(folder):
    times, units = joined()
    np.savez(folder / "x.npz", t=times, u=units)
    pd.DataFrame({"on": STARTS, "off": STARTS + LENGTH, "side": KINDS}).to_csv(
        folder / "trials.csv", index=False
    )
    trials = {"path": "trials.csv", "start": "on", "stop": "off", "columns": ["side"]}
    return Made(
        {"source": "npz", "path": "x.npz", "spike_times": "t", "spike_units": "u", "trials": trials}, cut()
    )


@layout("npz: counts (trial, unit, time)", "counts")
def npz_counts(folder):
    np.savez(folder / "x.npz", y=np.moveaxis(cut(), 1, 2), area=np.array(NAMES), bin_s=WIDTH)
    entry = {
        "source": "npz",
        "path": "x.npz",
        "counts": "y",
        "axes": ["trial", "unit", "time"],
        "native_bin_ms": 20,
    }
    return Made(entry, cut())


@layout("npy: one array of counts (time, unit)", "counts")
def npy_counts(folder):
    flat = cut().reshape(-1, N_UNITS)
    np.save(folder / "x.npy", flat)
    entry = {"source": "npy", "path": "x.npy", "counts": "array", "axes": ["time", "unit"],
             "native_bin_ms": 20, "window_ms": 1000}  # fmt: skip
    return Made(entry, windowed(flat, 50))


@layout("npy: one signal (time, channel), by `source: npz` too", "signal")
def npy_signal(folder):
    np.save(folder / "x.npy", signal())
    entry = {"source": "npz", "path": "x.npy", "signal": "array", "axes": ["time", "channel"],
             "frame_rate_hz": 10, "window_ms": 2000}  # fmt: skip
    return Made(entry, windowed(signal()))


# -- HDF5 --------------------------------------------------------------------------------------------


def _h5(folder, content: dict[str, Any]) -> None:
    import h5py

    with h5py.File(folder / "x.h5", "w") as file:
        for key, value in content.items():
            array = np.asarray(value)
            file[key] = array.astype(object) if array.dtype.kind == "U" else array


@layout(
    "hdf5: `spikes`, `sCount`, `names` of an electrode array",
    "spikes of each electrode, their names",
    package="h5py",
)
def hdf5_numbers(folder):
    _h5(folder, {"spikes": np.concatenate(trains()), "sCount": [len(t) for t in trains()], "names": NAMES})
    entry = {"source": "hdf5", "path": "x.h5", "spike_times": "spikes", "spike_numbers": "sCount",
             "unit_names": "names", "window_ms": 1000}  # fmt: skip
    return Made(entry, windows())


@layout("hdf5: values + index, as in ragged columns", "spikes of each unit", package="h5py")
def hdf5_index(folder):
    ends = np.cumsum([len(t) for t in trains()])
    _h5(folder, {"units/spike_times": np.concatenate(trains()), "units/spike_times_index": ends})
    entry = {"source": "hdf5", "path": "x.h5", "spike_times": "units/spike_times",
             "spike_index": "units/spike_times_index", "window_ms": 1000}  # fmt: skip
    return Made(entry, windows())


@layout("hdf5: a group with a list per unit", "spikes of each unit", package="h5py")
def hdf5_groups(folder):
    _h5(folder, {f"units/{i}": t for i, t in enumerate(trains())})
    return Made({"source": "hdf5", "path": "x.h5", "spike_times": "units", "window_ms": 1000}, windows())


@layout("hdf5: syllables of several sessions", "labels, a sequence per group", package="h5py")
def hdf5_syllables(folder):
    _h5(
        folder,
        {f"s{i:02}/syllable": np.array(["abcd".index(x) for x in song]) for i, song in enumerate(songs())},
    )
    expected = [[str("abcd".index(x)) for x in song] for song in songs()]
    return Made({"source": "hdf5", "path": "x.h5", "symbols": "*/syllable"}, expected)


@layout("hdf5: labels in a row + sequence of each", "labels", package="h5py")
def hdf5_labels(folder):
    number = np.repeat(np.arange(len(songs())), [len(s) for s in songs()])
    _h5(folder, {"label": [x for song in songs() for x in song], "song": number})
    return Made({"source": "hdf5", "path": "x.h5", "symbols": "label", "symbol_sequences": "song"}, songs())


# -- MATLAB ------------------------------------------------------------------------------------------


def _cells(table: list[list[Any]]) -> np.ndarray:
    cells = np.empty((len(table), len(table[0])), object)
    for i, row in enumerate(table):
        for j, value in enumerate(row):
            cells[i, j] = value
    return cells


def _unit_trial() -> list[list[np.ndarray]]:
    times, units, trials = by_trial()
    return [[times[(units == u) & (trials == k)] for k in range(N_TRIALS)] for u in range(N_UNITS)]


def _savemat(folder, content) -> None:
    from scipy.io import savemat

    savemat(folder / "x.mat", content, do_compression=True)


@layout("mat: cells, one list per unit", "spikes of each unit")
def mat_cells(folder):
    _savemat(folder, {"spk": _cells([list(trains())])})
    return Made({"source": "mat", "path": "x.mat", "spike_times": "spk", "window_ms": 1000}, windows())


@layout("mat: cells unit x trial", "spikes, trials")
def mat_unit_trial(folder):
    _savemat(folder, {"raster": _cells(_unit_trial())})
    entry = {
        "source": "mat",
        "path": "x.mat",
        "spike_times": "raster",
        "axes": ["unit", "trial"],
        "window_ms": [0, 2000],
    }
    return Made(entry, cut())


@layout("mat: struct array of trials, each with cells of units", "spikes, trials, a covariate", drafted=False)
def mat_structs(folder):
    trials = np.zeros((1, N_TRIALS), [("spikes", object), ("side", object)])
    for k, row in enumerate(zip(*_unit_trial(), strict=True)):
        trials[0, k] = _cells([list(row)]), KINDS[k]
    _savemat(folder, {"trial": trials})
    entry = {"source": "mat", "path": "x.mat", "spike_times": "trial.spikes", "axes": ["trial", "unit"],
             "window_ms": [0, 2000], "covariates": {"side": "trial.side"}}  # fmt: skip
    return Made(entry, cut())


@layout("mat: cells of one matrix per trial, of unequal length", "counts, shorter trials masked")
def mat_binned(folder):
    lengths = 60 + np.arange(N_TRIALS) % 40
    _savemat(folder, {"y": _cells([[cut()[k, :n].astype(float) for k, n in enumerate(lengths)]])})
    entry = {
        "source": "mat",
        "path": "x.mat",
        "counts": "y",
        "axes": ["trial", "time", "unit"],
        "native_bin_ms": 20,
    }
    return Made(
        entry, cut()[:, : lengths.max()] * (np.arange(lengths.max())[None] < lengths[:, None])[..., None]
    )


@layout("mat: spikes and a table of trials in one file", "spikes, trials, a covariate", drafted=False)
def mat_trials(folder):
    times, units = joined()
    events = {"on": STARTS, "off": STARTS + LENGTH, "side": np.array(KINDS, object)}
    _savemat(folder, {"t": times, "clu": units, "events": events})
    trials = {"start": "events.on", "stop": "events.off"}
    entry = {"source": "mat", "path": "x.mat", "spike_times": "t", "spike_units": "clu", "trials": trials,
             "covariates": {"side": "events.side"}}  # fmt: skip
    return Made(entry, cut())


# -- tables ------------------------------------------------------------------------------------------


@layout("csv with a header: unit, time, trial", "spikes, trials")
def csv_trials(folder):
    times, units, trials = by_trial()
    table = pd.DataFrame({"unit": np.array(NAMES)[units], "time_s": times, "trial": trials + 1})
    table.to_csv(folder / "x.csv", index=False)
    columns = {"unit": "unit", "time": "time_s", "trial": "trial"}
    entry = {
        "source": "table",
        "path": "x.csv",
        "content": "spikes",
        "columns": columns,
        "window_ms": [0, 2000],
    }
    return Made(entry, cut())


@layout("csv with a header: unit, time; trials in a table beside it", "spikes, trials, a covariate")
def csv_and_trials(folder):
    times, units = joined()
    pd.DataFrame({"cluster": units, "time_ms": times * 1e3}).to_csv(folder / "x.csv", index=False)
    pd.DataFrame({"on": STARTS, "side": KINDS}).to_parquet(folder / "t.parquet")
    entry = {"source": "table", "path": "x.csv", "content": "spikes",
             "columns": {"unit": "cluster", "time": "time_ms"}, "time_unit": "ms", "window_ms": [0, 2000],
             "trials": {"path": "t.parquet", "start": "on"}, "covariates": {"side": "side"}}  # fmt: skip
    return Made(entry, cut())


@layout("csv with `;` and decimal commas, UTF-16", "spikes", drafted=False)
def csv_german(folder):
    times, units = joined()
    text = "Einheit;Zeit\n" + "".join(
        f"{u};{t}\n".replace(".", ",") for u, t in zip(units, times, strict=True)
    )
    (folder / "x.csv").write_text(text, encoding="utf-16")
    entry = {"source": "table", "path": "x.csv", "content": "spikes",
             "columns": {"unit": "Einheit", "time": "Zeit"}, "decimal": ",", "window_ms": 1000}  # fmt: skip
    return Made(entry, windows())


@layout("parquet: unit, time", "spikes")
def parquet(folder):
    times, units = joined()
    pd.DataFrame({"unit": units, "time": times}).to_parquet(folder / "x.parquet")
    entry = {"source": "table", "path": "x.parquet", "content": "spikes",
             "columns": {"unit": "unit", "time": "time"}, "window_ms": 1000}  # fmt: skip
    return Made(entry, windows())


@layout("csv of traces with a clock", "signal; the clock is no channel")
def csv_traces(folder):
    table = pd.DataFrame(signal(), columns=["n1", "n2", "n3", "n4"])
    table.insert(0, "time", (np.arange(len(table)) / 10).round(1))
    table.to_csv(folder / "x.csv", index=False)
    entry = {
        "source": "table",
        "path": "x.csv",
        "content": "signal",
        "columns": {"time": "time"},
        "window_ms": 2000,
    }
    return Made(entry, windowed(signal()))


@layout("csv of labels: label, onset, file", "labels, a sequence per file")
def csv_labels(folder):
    rows = [(x, 0.2 * i, f"{k}.wav") for k, song in enumerate(songs()) for i, x in enumerate(song)]
    pd.DataFrame(rows[::-1], columns=["label", "onset_s", "file"])[::-1].to_csv(folder / "x.csv", index=False)
    columns = {"label": "label", "onset": "onset_s", "sequence": "file"}
    return Made({"source": "table", "path": "x.csv", "content": "symbols", "columns": columns}, songs())


# -- folders -----------------------------------------------------------------------------------------


def _kilosort(folder: Path, clusters: str) -> None:
    folder.mkdir()
    times, units = joined()
    np.save(folder / "spike_times.npy", np.round(times * 30000).astype(np.uint64)[:, None])
    np.save(folder / clusters, units.astype(np.int32) + 4)
    (folder / "params.py").write_text("dat_path = '../x.dat'\nsample_rate = 30000.0\noffset = 0\n")


@layout(
    "phy folder after manual sorting", "spikes, labels of clusters (`group`); `select` keeps the good ones"
)
def phy(folder):
    _kilosort(folder / "sorted", "spike_clusters.npy")
    (folder / "sorted/cluster_group.tsv").write_text("cluster_id\tgroup\n4\tgood\n5\tmua\n6\tgood\n")
    entry = {"source": "phy", "path": "sorted", "select": {"group": ["good", "mua"]}, "window_ms": 1000}
    return Made(entry, windows())


@layout("Kilosort folder", "spikes of every template")
def kilosort(folder):
    _kilosort(folder / "ks", "spike_templates.npy")
    return Made({"source": "phy", "path": "ks", "window_ms": 1000}, windows())


@layout("sorting saved by SpikeInterface", "spikes under the names of the units")
def spikeinterface(folder):
    (folder / "sorting").mkdir()
    times, units = joined()
    spikes = np.zeros(len(times), [("sample_index", "i8"), ("unit_index", "i8"), ("segment_index", "i8")])
    spikes["sample_index"], spikes["unit_index"] = np.round(times * 30000), units
    np.save(folder / "sorting/spikes.npy", spikes)
    info = {"unit_ids": NAMES, "sampling_frequency": 30000.0, "num_segments": 1}
    (folder / "sorting/numpysorting_info.json").write_text(json.dumps(info))
    return Made({"source": "phy", "path": "sorting", "window_ms": 1000}, windows())


@layout("ALF folder (IBL)", "spikes, labels of clusters, trials, a covariate")
def alf(folder):
    home = folder / "alf"
    home.mkdir()
    times, units = joined()
    np.save(home / "spikes.times.npy", times)
    np.save(home / "spikes.clusters.npy", units)
    np.save(home / "clusters.depths.npy", np.arange(N_UNITS) * 20.0)
    pd.DataFrame(
        {"stimOn_times": STARTS + 0.5, "intervals_0": STARTS, "intervals_1": STARTS + 2, "choice": KINDS}
    ).to_parquet(home / "_ibl_trials.table.pqt")
    entry = {"source": "alf", "path": "alf", "align": "stimOn_times", "window_ms": [-500, 1500],
             "covariates": {"choice": "choice"}}  # fmt: skip
    return Made(entry, cut())


@layout("suite2p folder of two planes", "fluorescence of the cells of every plane")
def suite2p_planes(folder):
    for plane in (0, 1):
        home = folder / f"suite2p/plane{plane}"
        home.mkdir(parents=True)
        f = signal()[: 1200 - plane, 2 * plane : 2 * plane + 2].T
        np.save(home / "F.npy", np.concatenate([f, f[:1]]))
        np.save(home / "Fneu.npy", np.zeros_like(np.concatenate([f, f[:1]])))
        np.save(home / "iscell.npy", np.array([[1, 0.9], [1, 0.8], [0, 0.1]]))
    entry = {"source": "suite2p", "path": "suite2p", "frame_rate_hz": 10, "window_ms": 2000}
    return Made(entry, windowed(signal()[:1199]))


@layout(
    "CaImAn file (`CNMF.save`)",
    "dF/F, denoised or deconvolved traces of the accepted components, frame rate",
    package="h5py",
)
def caiman(folder):
    f = signal().T
    content = {"estimates/F_dff": np.concatenate([f[:2], -f[:1], f[2:]]), "estimates/C": np.ones((5, 1200)),
               "estimates/S": b"NoneType", "estimates/idx_components": [0, 1, 3, 4], "estimates/dims": [64, 64],
               "estimates/A/data": np.ones(7), "params/data/fr": 10, "params/init/K": 5}  # fmt: skip
    _h5(folder, content)
    return Made(
        {"source": "caiman", "path": "x.h5", "signal": "F_dff", "window_ms": 2000}, windowed(signal())
    )


# -- NWB ---------------------------------------------------------------------------------------------


def _nwb(module: str | None = None, calcium: bool = False):
    from pynwb import NWBFile
    from pynwb.misc import Units

    nwb = NWBFile("made up", "made", datetime(2024, 1, 1, tzinfo=UTC))
    if calcium:
        return _with_calcium(nwb)
    for start in STARTS:
        nwb.add_trial(start_time=start, stop_time=start + LENGTH)
    if module is None:
        nwb.add_unit_column("area", "where")
        for times, name in zip(trains(), NAMES, strict=True):
            nwb.add_unit(spike_times=times, area=name)
    else:
        units = Units(name="sorted", description="x")
        for times in trains():
            units.add_unit(spike_times=times)
        nwb.create_processing_module(module, "x").add(units)
    return nwb


def _with_calcium(nwb):
    from pynwb.ophys import Fluorescence, ImageSegmentation, OpticalChannel, RoiResponseSeries

    optics = OpticalChannel(name="o", description="x", emission_lambda=500.0)
    plane = nwb.create_imaging_plane(
        name="p", optical_channel=optics, description="x", device=nwb.create_device(name="m"),
        excitation_lambda=600.0, indicator="GCaMP", location="V1", imaging_rate=10.0,
    )  # fmt: skip
    segmentation = ImageSegmentation()
    regions = segmentation.create_plane_segmentation("x", plane, "regions")
    for i in range(4):
        regions.add_roi(pixel_mask=[(i, i, 1.0)])
    rows = regions.create_roi_table_region("all", region=list(range(4)))
    module = nwb.create_processing_module("ophys", "x")
    module.add(segmentation)
    series = RoiResponseSeries(name="dff", data=signal(), rois=rows, unit="a", rate=10.0)
    module.add(Fluorescence(roi_response_series=series))
    return nwb


def _save(nwb, file: Path) -> None:
    from pynwb import NWBHDF5IO

    with NWBHDF5IO(str(file), "w") as io:
        io.write(nwb)


@layout("NWB with units and trials", "spikes, labels of units, trials", package="pynwb")
def nwb(folder):
    _save(_nwb(), folder / "x.nwb")
    return Made({"source": "nwb", "path": "x.nwb"}, cut())


@layout("NWB with units in a processing module", "spikes, trials", package="pynwb")
def nwb_module(folder):
    _save(_nwb("ecephys"), folder / "x.nwb")
    return Made({"source": "nwb", "path": "x.nwb"}, cut())


@layout("NWB with calcium imaging only", "fluorescence, dF/F or any other series", package="pynwb")
def nwb_calcium(folder):
    _save(_nwb(calcium=True), folder / "x.nwb")
    return Made({"source": "nwb", "path": "x.nwb", "signal": "dff", "window_ms": 2000}, windowed(signal()))


class Ranges(http.server.BaseHTTPRequestHandler):
    """A server of one folder that answers range requests and counts the bytes it sends."""

    folder: Path
    sent = 0

    def log_message(self, *arguments):
        """Say nothing."""

    def do_GET(self):
        """Send the bytes asked for."""
        content = (self.folder / self.path.strip("/")).read_bytes()
        first, last = self.headers["Range"].removeprefix("bytes=").split("-")
        part = content[int(first) : int(last) + 1]
        type(self).sent += len(part)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)


@contextlib.contextmanager
def running(handler):
    """Run a web server of this machine; yields its address."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = False  # closing waits for its threads, so that their sockets are closed
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def ranges(folder: Path):
    """Return a handler that serves a folder and counts the bytes it sends."""
    return type("Handler", (Ranges,), {"folder": folder, "sent": 0})


@layout("NWB on a web server, read in pieces", "spikes, trials", package="pynwb")
def nwb_streamed(folder):
    _save(_nwb(), folder / "x.nwb")
    stack = contextlib.ExitStack()
    home = stack.enter_context(running(ranges(folder)))
    return Made({"source": "nwb", "url": f"{home}/x.nwb", "stream": True}, cut(), stack.close)


def zarr_array(folder: Path, values, **attrs) -> None:
    """Write an array as Zarr version 2, in chunks of at most 500 rows, as hdmf-zarr does."""
    import numcodecs

    values = np.asarray(values)
    text = values.dtype.kind in "UO"
    folder.mkdir(parents=True)
    chunks = [min(max(len(values), 1), 500), *values.shape[1:]]
    blosc = numcodecs.Blosc(cname="lz4", clevel=5, shuffle=1)
    filters = [{"id": "vlen-utf8"}] if text else None
    head = {"zarr_format": 2, "shape": list(values.shape), "chunks": chunks, "order": "C", "filters": filters,
            "dtype": "|O" if text else values.dtype.str, "fill_value": 0,
            "compressor": blosc.get_config()}  # fmt: skip
    (folder / ".zarray").write_text(json.dumps(head))
    (folder / ".zattrs").write_text(json.dumps({"zarr_dtype": "str" if text else str(values.dtype), **attrs}))
    for number in range(-(-len(values) // chunks[0])):
        part = values[number * chunks[0] : (number + 1) * chunks[0]]
        whole = np.zeros(chunks, values.dtype) if not text else np.full(chunks, "", object)
        whole[: len(part)] = part
        content = numcodecs.VLenUTF8().encode(whole.astype(object)) if text else whole.tobytes()
        (folder / ".".join([str(number), *["0"] * (values.ndim - 1)])).write_bytes(blosc.encode(content))


def zarr_group(folder: Path, **attrs) -> None:
    """Write a group of Zarr version 2."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".zgroup").write_text('{"zarr_format": 2}')
    (folder / ".zattrs").write_text(json.dumps(attrs))


@layout("NWB-Zarr folder", "spikes, labels of units, trials")
def nwb_zarr(folder):
    root = folder / "x.nwb.zarr"
    zarr_group(root, neurodata_type="NWBFile", nwb_version="2.7.0")
    zarr_array(root / "identifier", np.array(["made"]))
    zarr_group(root / "units", neurodata_type="Units", colnames=["area", "spike_times"])
    zarr_array(root / "units/id", np.arange(N_UNITS))
    zarr_array(root / "units/area", np.array(NAMES))
    zarr_array(root / "units/spike_times", np.concatenate(trains()))
    zarr_array(root / "units/spike_times_index", np.cumsum([len(t) for t in trains()]).astype(np.uint16))
    zarr_group(root / "intervals")
    zarr_group(
        root / "intervals/trials", neurodata_type="TimeIntervals", colnames=["start_time", "stop_time"]
    )
    zarr_array(root / "intervals/trials/id", np.arange(N_TRIALS))
    zarr_array(root / "intervals/trials/start_time", STARTS)
    zarr_array(root / "intervals/trials/stop_time", STARTS + LENGTH)
    return Made({"source": "nwb", "path": "x.nwb.zarr"}, cut())


# -- annotations -------------------------------------------------------------------------------------


def _song_files(folder: Path, ending: str, write: Callable[[list[str]], str]) -> None:
    (folder / "songs").mkdir()
    for k, song in enumerate(songs()):
        (folder / f"songs/{k:03}{ending}").write_text(write(song))


@layout("Audacity label tracks, one file per song", "labels", drafted=False, package="crowsetta")
def audacity(folder):
    _song_files(
        folder,
        ".txt",
        lambda song: "".join(f"{i / 5:.3f}\t{i / 5 + 0.1:.3f}\t{x}\n" for i, x in enumerate(song)),
    )
    return Made({"source": "annotations", "format": "aud-seq", "path": "songs", "files": "*.txt"}, songs())


@layout("simple-seq csv, one file per song", "labels", drafted=False, package="crowsetta")
def simple_seq(folder):
    def rows(song):
        return "".join(f"{i / 5:.3f},{i / 5 + 0.1:.3f},{x}\n" for i, x in enumerate(song))

    _song_files(folder, ".csv", lambda song: "onset_s,offset_s,label\n" + rows(song))
    return Made({"source": "annotations", "format": "simple-seq", "path": "songs", "files": "*.csv"}, songs())


@layout("Praat TextGrids, one file per song", "labels of one tier", drafted=False, package="crowsetta")
def textgrid(folder):
    def grid(song):
        spans = "".join(
            f'intervals [{i + 1}]:\nxmin = {i / 5}\nxmax = {(i + 1) / 5}\ntext = "{x}"\n'
            for i, x in enumerate(song)
        )
        end = len(song) / 5
        extent = f"xmin = 0\nxmax = {end}\n"
        kind = 'File type = "ooTextFile"\nObject class = "TextGrid"\n\n'
        head = f"{kind}{extent}tiers? <exists>\nsize = 1\nitem []:\n"
        tier = (
            f'item [1]:\nclass = "IntervalTier"\nname = "syllables"\n{extent}intervals: size = {len(song)}\n'
        )
        return head + tier + spans

    _song_files(folder, ".TextGrid", grid)
    return Made(
        {"source": "annotations", "format": "textgrid", "path": "songs", "files": "*.TextGrid"}, songs()
    )


@layout("evsonganaly (.not.mat), one file per song", "labels", drafted=False)
def notmat(folder):
    from scipy.io import savemat

    (folder / "songs").mkdir()
    for k, song in enumerate(songs()):
        times = np.arange(len(song)) * 200.0
        content = {"labels": "".join(song), "onsets": times, "offsets": times + 100, "Fs": 32000.0}
        savemat(folder / f"songs/{k:03}.cbin.not.mat", content, appendmat=False)
    return Made({"source": "annotations", "format": "notmat", "path": "songs", "files": "*.not.mat"}, songs())


@layout("generic-seq csv", "labels of every song", package="crowsetta")
def generic_seq(folder):
    rows = [
        (x, i / 5, i / 5 + 0.1, f"{k}.wav", "x.csv", 0, k)
        for k, song in enumerate(songs())
        for i, x in enumerate(song)
    ]
    names = ["label", "onset_s", "offset_s", "notated_path", "annot_path", "sequence", "annotation"]
    pd.DataFrame(rows, columns=names).to_csv(folder / "x.csv", index=False)
    return Made({"source": "annotations", "format": "generic-seq", "path": "x.csv"}, songs())


@layout("Raven selection table", "labels, one sequence", drafted=False, package="crowsetta")
def raven(folder):
    song = [x for s in songs() for x in s]
    head = (
        "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tAnnotation\n"
    )
    rows = "".join(
        f"{i + 1}\tS 1\t1\t{i / 5}\t{i / 5 + 0.1}\t1000.0\t3000.0\t{x}\n" for i, x in enumerate(song)
    )
    (folder / "x.txt").write_text(head + rows)
    entry = {"source": "annotations", "format": "raven", "path": "x.txt", "window_events": 10}
    whole = len(song) // 10
    return Made(entry, [song[10 * k : 10 * k + 10] for k in range(whole)])


@layout("text: one line per song, one letter per label", "labels")
def text_letters(folder):
    (folder / "x.txt").write_text("".join("".join(song) + "\n" for song in songs()))
    return Made({"source": "text", "path": "x.txt"}, songs())


@layout("text: one line of spike times per unit", "spikes of each unit")
def text_lines(folder):
    (folder / "x.txt").write_text("".join(" ".join(map(str, t)) + "\n" for t in trains()))
    return Made({"source": "text", "path": "x.txt", "content": "spike_lines", "window_ms": 1000}, windows())


# -- the table ---------------------------------------------------------------------------------------


@functools.cache
def read(name: str):
    """Make a layout in a folder that is removed; return its Recording and what is expected of it."""
    from cortseq import preprocess, study

    with tempfile.TemporaryDirectory() as folder:
        made = LAYOUTS[name].make(Path(folder))
        try:
            plan = study.validate({"datasets": {"x": made.entry}}, folder=Path(folder))
            source = plan.datasets["x"]
            raw = source.load(Path(source.path) if source.path else None, 0)
            return preprocess.judged(raw, source), made.expected
        finally:
            made.close()


def summary(recording) -> str:
    """Return what was read, in words with numbers."""
    if "symbols" in recording:
        return f"{recording.sizes['trial']} sequences, {int(recording['valid'].sum())} labels"
    feature = "unit" if "counts" in recording else "channel"
    n = f"{recording.sizes['trial']} trials x {recording.sizes[feature]} {feature}s"
    return n + (f", {int(recording['counts'].sum())} spikes" if "counts" in recording else "")


def table() -> str:
    """Return the text of docs/formats.md: every layout read once, here."""
    rows = []
    for name, kind in LAYOUTS.items():
        recording, _ = read(name)
        found = "yes" if kind.drafted else "no"
        rows.append(f"| {kind.words} | {kind.reads} | {summary(recording)} | {found} |")
    head = [
        "# Formats",
        "",
        "Every row is a made-up recording in that layout (tests/layouts.py), read by its entry of a study; a test",
        "compares every bin with plain arithmetic and keeps this table current. The last column says whether",
        "`cortseq new FILE...` finds such an entry by itself, given the table of trials or the address where there is",
        "one. Neo reads further formats (`source: neo`). From Python: `cortseq.read(FILE, ...)` with the keys of an",
        "entry, `cortseq.recording.from_pynapple`, `from_xarray`, and `from_spikes` and others of plain arrays.",
        "",
        "| layout | what is read | in the test | `cortseq new` |",
        "|---|---|---|---|",
    ]
    return "\n".join([*head, *rows]) + "\n"


if __name__ == "__main__":
    DOCUMENT.write_text(table(), encoding="utf-8")
    sys.stdout.write(f"{DOCUMENT}: {len(LAYOUTS)} layouts\n")
