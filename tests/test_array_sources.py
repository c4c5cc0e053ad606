"""Matrices, tables and cells of spikes: mat, hdf5, suite2p, neo and text with numbers."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from cortseq import fetch, preprocess, splits, study
from cortseq.errors import CortseqError, MissingExtra
from cortseq.inspecting import inspect
from cortseq.sources.hdf5 import Hdf5
from cortseq.sources.mat import Mat
from cortseq.sources.neo import Neo
from cortseq.sources.raw import from_trains, step
from cortseq.sources.suite2p import Suite2p
from cortseq.sources.text import Text

SIGNAL = np.random.default_rng(0).normal(size=(5, 40))


def mirror(name: str) -> Path:
    """A real file or folder; the test skips where no mirror has it."""
    for folder in filter(None, os.environ.get("CORTSEQ_MIRRORS", "").split(os.pathsep)):
        if found := next(Path(folder).rglob(name), None):
            return found
    pytest.skip(f"{name} is in no folder of CORTSEQ_MIRRORS")


def fails(match: str, call, *arguments, **more) -> None:
    """The call ends with a one-line error that names file and key."""
    with pytest.raises(CortseqError, match=match) as error:
        call(*arguments, **more)
    assert "\n" not in str(error.value)


def dirt(raw) -> dict:
    return json.loads(raw.attrs["dirt"])


def spikes_of(raw, unit) -> list[float]:
    names = list(raw.unit.values)
    return raw.event_time.values[raw.event_unit.values == names.index(unit)].tolist()


# -------------------------------------------------------------------------------------- what is shared


def test_dirty_trains_are_put_in_order_and_counted():
    trains = {"a": np.array([3.0, 1.0, 1.0, np.nan]), "b": np.array([]), "c": np.array([1.0])}
    raw = from_trains(trains, scale=1e-3, file=None, key="k")
    assert (
        spikes_of(raw, "a") == [0.001, 0.003] and spikes_of(raw, "b") == [] and spikes_of(raw, "c") == [0.001]
    )
    assert dirt(raw) == {"spike_times_nan": 1, "spikes_out_of_order": 1, "spikes_at_the_same_time": 1}
    fails("k: 1 of 1 times are NaN or infinite", from_trains, {"a": [np.inf]}, file=None, key="k")
    fails("k: holds no spikes", from_trains, {"a": []}, file=None, key="k")


def test_the_same_time_in_two_trials_is_two_spikes():
    raw = from_trains({"a": [1.0, 1.0, 0.5]}, file=None, key="k", trials=[[0, 1, 1]])
    assert raw.event_trial.values.tolist() == [0, 1, 1] and raw.event_time.values.tolist() == [1.0, 0.5, 1.0]
    assert dirt(raw) == {"spikes_out_of_order": 1}


def test_the_step_of_a_clock_that_jitters():
    time = 0.6 * np.arange(100) + np.random.default_rng(0).uniform(-0.05, 0.05, 100)
    time[50:] += 30  # a gap
    assert step(time, None) == pytest.approx(0.6, rel=0.02)
    fails("time: times are irregular", step, np.array([0.0, 1.0, 1.5, 9.0]), None)


# --------------------------------------------------------------------------------------------- mat


@pytest.fixture
def mat(tmp_path):
    from scipy.io import savemat

    def load(variables, **entry):
        savemat(tmp_path / "x.mat", variables)
        return Mat(path="x.mat", **entry).load(tmp_path / "x.mat", 0)

    return load


def cell(*values):
    out = np.empty((1, len(values)), object)
    out[0, :] = values
    return out


def cluster(*times):
    return {"time": np.array(times, float)[:, None], "meanrate": 1.0}


def test_spikes_in_cells_of_cells(mat):
    tetrodes = cell(
        cell(cluster(1, 2), cluster(), np.empty((0, 0))), np.empty((0, 0)), cell(cluster(5, 4, 4))
    )
    raw = mat({"spikes": cell(cell(tetrodes))}, spike_times="spikes", field="time")
    assert list(raw.unit.values) == ["1.1", "1.2", "3.1"] and list(raw.group.values) == ["1", "1", "3"]
    assert [spikes_of(raw, u) for u in raw.unit.values] == [[1, 2], [], [4, 5]]
    assert dirt(raw) == {"spikes_out_of_order": 1, "spikes_at_the_same_time": 1}
    selected = Mat(path="x.mat", spike_times="spikes", field="time", select={"group": ["3"]}, window_ms=200,
                   bin_ms=100)  # fmt: skip
    assert preprocess.preprocess(raw, selected).sizes["unit"] == 1


def test_plain_cells_of_vectors_keep_silent_units(mat):
    raw = mat(
        {"s": cell(np.array([10.0, 20.0]), np.empty((0, 0)), np.array([[7.0]]))},
        spike_times="s",
        time_unit="ms",
    )
    assert list(raw.unit.values) == ["1", "2", "3"] and spikes_of(raw, "2") == []
    np.testing.assert_allclose(spikes_of(raw, "1"), [0.01, 0.02])


def test_a_matrix_in_a_struct_and_labels_of_units(mat):
    data = {"neural": SIGNAL, "area": cell("a", "b", "a", "b", "b")}
    raw = mat({"data": data}, signal="data.neural", axes=["channel", "time"], frame_rate_hz=30)
    np.testing.assert_array_equal(raw.signal.values, SIGNAL.T)
    assert raw.attrs["bin_width"] == pytest.approx(1 / 30) and raw.time.values[-1] == pytest.approx(39 / 30)
    counts = {"n": np.arange(6.0).reshape(2, 3), "area": cell("a", "b", "a")}
    raw = mat(counts, counts="n", axes=["time", "unit"], native_bin_ms=20, units={"area": "area"})
    assert list(raw.area.values) == ["a", "b", "a"] and raw.counts.dtype == np.int32


def test_flat_lists_of_spikes_with_trials(mat):
    raw = mat({"t": [5.0, 1.0], "u": [2, 1], "k": [1, 2]}, spike_times="t", spike_units="u", spike_trials="k",
              first_trial=1)  # fmt: skip
    assert raw.sizes["trial"] == 2 and raw.event_trial.values.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"spike_times": "spike"},
            r"x\.mat: spike_times: the file has no such variable \(got 'spike'\).*'cells'",
        ),
        ({"spike_times": "cells"}, r"x\.mat: spike_times: cell 1 holds a struct .*'time'.*field:"),
        ({"spike_times": "cells", "field": "t"}, r"no struct with the field 't'.*\['meanrate', 'time'\]"),
        ({"spike_times": "text"}, "cell 1 holds text, not spike times"),
        ({"spike_times": "cells", "field": "time", "spike_units": "m"}, "spike_units: is of no use"),
        ({"signal": "cells", "native_bin_ms": 1, "axes": ["time"]}, "signal: is a cell or struct array of 2"),
        ({"signal": "one.two", "native_bin_ms": 1}, r"no such variable \(got 'one.two'\)"),
        ({"signal": "m", "native_bin_ms": 1}, r"axes: the array has shape \(5, 40\)"),
        (
            {"signal": "inf", "native_bin_ms": 1, "axes": ["time", "channel"]},
            "signal: inf: a signal must be finite",
        ),
    ],
)
def test_bad_matlab_entries_end_with_one_line(mat, entry, message):
    variables = {
        "cells": cell(cluster(1), cluster(2)),
        "m": SIGNAL,
        "text": cell("a", "b"),
        "inf": SIGNAL + np.inf,
    }
    fails(message, mat, variables, **entry)


@pytest.mark.parametrize("content", [b"", b"not MATLAB, but long enough to be looked at" * 9])
def test_what_is_no_matlab_file_is_refused(tmp_path, content):
    (tmp_path / "x.mat").write_bytes(content)
    fails(r"x\.mat: is not a MATLAB file", Mat(path="x", spike_times="s").load, tmp_path / "x.mat", 0)


def version_73(file):
    """A version 7.3 file as MATLAB lays it out: reversed axes, cells and struct arrays of references."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(file, "w", userblock_size=512) as f:

        def put(value, place, matlab_class="double", empty=False):
            data = f.create_dataset(place, data=np.array([0, 0], np.uint64) if empty else value)
            data.attrs["MATLAB_class"] = np.bytes_(matlab_class)
            if empty:
                data.attrs["MATLAB_empty"] = np.uint8(1)
            return data.ref

        times = [put(np.array([[3.0, 1.0]]), "#refs#/a"), put(None, "#refs#/b", empty=True)]
        put(np.array(times, h5py.ref_dtype)[:, None], "cells", "cell")
        clusters = f.create_group("#refs#/c")
        clusters.attrs["MATLAB_class"] = np.bytes_("struct")
        put(np.array([[0.5, 0.25]]), "#refs#/c/time")
        nested = put(np.array([[clusters.ref]], h5py.ref_dtype), "#refs#/d", "cell")
        put(np.array([[nested], [times[1]]], h5py.ref_dtype), "nested", "cell")
        put(SIGNAL.T, "m")
        array = f.create_group("array")
        array.attrs["MATLAB_class"] = np.bytes_("struct")
        array.create_dataset("time", data=np.array(times[:1] * 2, h5py.ref_dtype)[:, None])
    with open(file, "r+b") as f:
        f.write(b"MATLAB 7.3 MAT-file, Platform: test".ljust(124) + b"\x00\x02IM")


def test_version_73(tmp_path):
    version_73(tmp_path / "x.mat")

    def load(**entry):
        return Mat(path="x.mat", **entry).load(tmp_path / "x.mat", 0)

    raw = load(spike_times="cells")
    assert list(raw.unit.values) == ["1", "2"] and spikes_of(raw, "1") == [1, 3] and spikes_of(raw, "2") == []
    assert spikes_of(load(spike_times="nested", field="time"), "1") == [0.25, 0.5]
    assert load(spike_times="array", field="time").sizes["unit"] == 2
    raw = load(signal="m", axes=["channel", "time"], native_bin_ms=10)
    np.testing.assert_array_equal(raw.signal.values, SIGNAL.T)
    assert "kind: spikes in cells (source: mat, spike_times: array, field: time)" in inspect(
        tmp_path / "x.mat"
    )


def test_inspect_shows_cells_and_dead_rows(mat, tmp_path):
    dead = SIGNAL.copy()
    dead[2] = 0
    cells = cell(*(cluster(*np.arange(n) * 0.1) for n in (3, 900, 5, 0)))
    mat({"s": cells, "m": dead}, signal="m", native_bin_ms=1, axes=["channel", "time"])
    text = "\n".join(inspect(tmp_path / "x.mat"))
    assert "spikes in cells (source: mat, spike_times: s, field: time)" in text
    assert (
        "units: 4 (1 silent), 908 spikes" in text
        and "unit 2 fires at 10.0 Hz and has 99 % of all spikes" in text
    )
    assert "m: float64 (5, 40)" in text and "DIRTY: 1 rows never vary" in text


def test_hippocampus_w_maze():
    source = Mat(path="x", spike_times="spikes", field="time", max_rate_hz=50, bin_ms=50, window_ms=5000)
    raw = source.load(mirror("w-maze_spikes.mat"), 0)
    assert (raw.sizes["event"], raw.sizes["unit"]) == (518352, 35)
    assert len(spikes_of(raw, "10.15")) == 461464  # the file's own meanrate: 107.147 Hz over 4306.8 s
    recording = preprocess.preprocess(raw, source)
    plan = study.validate({"datasets": {"x": source.model_dump(exclude_none=True)}})
    fold = splits.split(recording, splits.Deal.of(plan), source, "x")["folds"][0]
    assert len(fold["units"]) == 24 and fold["units_dropped"]["above_max_rate"] == 1


def test_hippocampus_linear_track():
    raw = Mat(path="x", spike_times="spikes", field="time").load(mirror("linear-track_spikes.mat"), 0)
    assert (raw.sizes["event"], raw.sizes["unit"]) == (28829, 37)
    assert len(set(raw.event_unit.values)) == 31


def test_hvc_calcium():
    raw = Mat(path="x", signal="NEURAL", axes=["channel", "time"], frame_rate_hz=30).load(
        mirror("MackeviciusData.mat"), 0
    )
    assert raw.signal.shape == (666, 75)


# -------------------------------------------------------------------------------------------- hdf5


@pytest.fixture
def hdf5(tmp_path):
    h5py = pytest.importorskip("h5py")

    def load(arrays, **entry):
        with h5py.File(tmp_path / "x.h5", "w") as f:
            for path, values in arrays.items():
                f[path] = values
        return Hdf5(path="x.h5", **entry).load(tmp_path / "x.h5", 0)

    return load


CLOCK = 100 + 0.6 * np.arange(50)
WORM = {"signal": "gcamp/trace", "axes": ["time", "channel"], "time": "timing/t"}


def test_signal_with_a_clock_that_runs_on(hdf5):
    arrays = {"gcamp/trace": SIGNAL.T, "timing/t": CLOCK, "v": np.arange(40)}
    raw = hdf5(arrays, **WORM, covariates={"velocity": "v"})
    assert raw.attrs["bin_width"] == pytest.approx(0.6) and dirt(raw) == {"times_beyond_the_samples": 10}
    np.testing.assert_array_equal(raw.signal.values, SIGNAL.T)
    np.testing.assert_allclose(raw.time_velocity, CLOCK[:40])


def test_spikes_of_a_group_with_a_dataset_per_unit(hdf5):
    raw = hdf5({"units/10": [3.0, 1.0], "units/9": [2.0], "area": [b"a", b"b"]}, spike_times="/units/",
               units={"area": "area"})  # fmt: skip
    assert list(raw.unit.values) == ["9", "10"] and spikes_of(raw, "10") == [1, 3]
    assert list(raw.area.values) == ["a", "b"]


def test_flat_spikes_by_path(hdf5):
    raw = hdf5({"s/t": [1.0, 2.0], "s/u": [4, 7]}, spike_times="s/t", spike_units="s/u")
    assert raw.unit.values.tolist() == [4, 7] and "event_trial" not in raw


@pytest.mark.parametrize(
    ("change", "entry", "message"),
    [
        (
            {},
            {"signal": "gcamp/other"},
            r"x\.h5: signal: the file has no such dataset \(got 'gcamp/other'\).*timing/t",
        ),
        ({"timing/t": CLOCK[:30]}, {}, r"x\.h5: time: has 30 values, 40 are needed \(got 'timing/t'\)"),
        ({"timing/t": CLOCK[::-1].copy()}, {}, r"x\.h5: time: time runs backwards.*native_bin_ms"),
        ({"timing/t": np.where(CLOCK > 110, np.nan, CLOCK)}, {}, "time: timing/t: 33 of 50 times are NaN"),
        ({"timing/t": CLOCK**4}, {}, "times are irregular"),
        ({"gcamp/trace": np.empty((0, 3))}, {}, "signal: the array is empty"),
        (
            {},
            {"signal": None, "spike_times": "gcamp", "time": None, "covariates": {"v": "v"}},
            "covariates: is of no",
        ),
    ],
)
def test_bad_hdf5_ends_with_one_line(hdf5, change, entry, message):
    arrays = {"gcamp/trace": SIGNAL.T, "timing/t": CLOCK, "v": np.arange(40.0), **change}
    entry = {k: v for k, v in {**WORM, **entry}.items() if v is not None}
    fails(message, hdf5, arrays, **entry)


def test_what_is_no_hdf5_is_refused(tmp_path):
    pytest.importorskip("h5py")
    (tmp_path / "x.h5").write_bytes(b"text")
    fails(r"x\.h5: is not a readable HDF5 file", Hdf5(path="x", spike_times="a").load, tmp_path / "x.h5", 0)
    fails(r"x\.h5: is not a readable HDF5 file", inspect, tmp_path / "x.h5")


def test_missing_values_mask_bins_and_drop_channels(hdf5, tmp_path):
    values = SIGNAL.T.copy()
    values[:, 1] = np.nan
    values[::2, 3] = np.nan  # half of it
    values[[4, 7], 0] = np.nan
    values[:, 4] = 2.0
    raw = hdf5({"gcamp/trace": values, "timing/t": CLOCK}, **WORM)
    source = Hdf5(path="x.h5", window_ms=2400, **WORM)
    recording = preprocess.preprocess(raw, source)
    assert recording.channel.values.tolist() == [0, 2, 4] and int((~recording.valid).sum()) == 2
    found = json.loads(recording.attrs["dirt"])
    assert found["channels_mostly_missing"] == 2 and found["samples_masked_for_missing_values"] == 2
    plan = study.validate({"datasets": {"x": source.model_dump(exclude_none=True)}})
    fold = splits.split(recording, splits.Deal.of(plan), source, "x")["folds"][0]
    assert fold["channels"] == [0, 1] and fold["channels_dropped"] == {"constant": 1}
    from cortseq import store

    store.write(raw, tmp_path / "x.zarr.zip")
    text = "\n".join(inspect(tmp_path / "x.zarr.zip"))
    assert "dirty: 1 channels without any value" in text and "dirty: 1 channels that never vary" in text
    assert "40 bins with missing values" in text and "variance of channels by thirds" in text


def test_channels_are_selected_by_label(hdf5):
    more = {**WORM, "units": {"side": "side"}, "window_ms": 2400, "select": {"side": ["l"]}}
    raw = hdf5({"gcamp/trace": SIGNAL.T, "timing/t": CLOCK, "side": [b"l", b"r", b"r", b"l", b"r"]}, **more)
    recording = preprocess.preprocess(raw, Hdf5(path="x.h5", **more))
    assert recording.channel.values.tolist() == [0, 3] and list(recording.side.values) == ["l", "l"]
    fails(r"select\.side: no channel is left.*\['l', 'r'\]", preprocess.preprocess, raw,
          Hdf5(path="x.h5", **{**more, "select": {"side": ["m"]}}))  # fmt: skip
    with pytest.raises(ValidationError, match="max_rate_hz: a signal has no rate"):
        Hdf5(path="x.h5", max_rate_hz=5.0, **WORM)


def test_no_window_spans_a_gap_of_a_slow_clock(hdf5):
    clock = CLOCK[:40] + np.where(np.arange(40) >= 17, 30.0, 0.0)
    source = Hdf5(path="x.h5", window_ms=2400, **WORM)
    recording = preprocess.preprocess(hdf5({"gcamp/trace": SIGNAL.T, "timing/t": clock}, **WORM), source)
    assert recording.sizes == {"trial": 9, "time": 4, "channel": 5}  # 17 samples give 4 windows, 23 give 5
    np.testing.assert_allclose(recording.stop - recording.start, 2.4)


def test_a_missing_h5py_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingExtra, match=r"pip install 'cortseq\[hdf5\]'"):
        Hdf5(path="x", spike_times="a").load(tmp_path / "x", 0)


def test_worms():
    pytest.importorskip("h5py")
    entry = {"signal": "gcamp/trace_array", "axes": ["time", "channel"], "time": "timing/timestamp_confocal"}
    for name, shape, beyond in (
        ("2022-05-02-01-data.h5", (1137, 136), 463),
        ("2022-07-27-31-data.h5", (800, 145), 0),
    ):
        raw = Hdf5(path="x", **entry, covariates={"velocity": "behavior/velocity"}).load(mirror(name), 0)
        assert raw.signal.shape == shape and raw.attrs["bin_width"] == pytest.approx(0.6, abs=1e-4)
        assert (
            dirt(raw).get("times_beyond_the_samples", 0) == beyond and raw.series_velocity.shape == shape[:1]
        )


# ----------------------------------------------------------------------------------------- suite2p


@pytest.fixture
def plane(tmp_path):
    folder = tmp_path / "plane0"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for name in ("F", "Fneu", "spks"):
        np.save(folder / f"{name}.npy", rng.gamma(2, size=(4, 60)).astype(np.float32))
    np.save(folder / "iscell.npy", np.array([[1, 0.9], [0, 0.2], [1, 0.4], [1, 0.8]]))
    np.save(folder / "ops.npy", np.array({"fs": 30.0}, object), allow_pickle=True)
    return folder


def roi(folder, **entry):
    return Suite2p(path=str(folder), frame_rate_hz=10, **entry).load(folder, 0)


def test_suite2p_takes_off_the_neuropil_and_what_is_no_cell(plane):
    raw = roi(plane)
    f, neuropil = (np.load(plane / f"{n}.npy").astype(float) for n in ("F", "Fneu"))
    np.testing.assert_allclose(raw.signal.values, (f - 0.7 * neuropil)[[0, 2, 3]].T)
    assert raw.channel.values.tolist() == [0, 2, 3] and raw.attrs["bin_width"] == 0.1
    assert dirt(raw) == {"regions_that_are_no_cells": 1}
    assert roi(plane, min_probability=0.5).sizes["channel"] == 2
    np.testing.assert_allclose(
        roi(plane, signal="deconvolved").signal.values[:, 0], np.load(plane / "spks.npy")[0]
    )
    (plane / "Fneu.npy").unlink()
    assert roi(plane, neuropil=0.0).sizes == {"time": 60, "channel": 3}


@pytest.mark.parametrize(
    ("spoil", "entry", "message"),
    [
        (
            lambda p: (p / "spks.npy").unlink(),
            {"signal": "deconvolved"},
            r"plane0: spks\.npy: the folder has no such",
        ),
        (
            lambda p: np.save(p / "Fneu.npy", np.ones((3, 60))),
            {},
            r"plane0: signal: F has shape \(4, 60\), Fneu",
        ),
        (
            lambda p: np.save(p / "iscell.npy", np.ones((4, 1))),
            {},
            r"plane0: iscell\.npy: has shape \(4, 1\)",
        ),
        (lambda p: None, {"min_probability": 0.95}, "plane0: min_probability: no region is a cell"),
        (lambda p: np.save(p / "F.npy", np.array([{}], object), allow_pickle=True), {}, r"F\.npy: .*pickle"),
        (lambda p: (p / "F.npy").write_bytes(b"x"), {}, r"F\.npy: is not an array"),
        (lambda p: np.save(p / "F.npy", np.ones(4)), {}, r"F\.npy: must be a matrix"),
    ],
)
def test_bad_suite2p_folders_end_with_one_line(plane, spoil, entry, message):
    spoil(plane)
    fails(message, roi, plane, **entry)


def test_suite2p_entries():
    with pytest.raises(ValidationError, match=r"frame_rate_hz: is needed.*pickle"):
        Suite2p(path="plane0")
    with pytest.raises(ValidationError, match="path: names a folder"):
        Suite2p(path="plane0", url="https://example.org/x", frame_rate_hz=10)


def test_a_folder_is_read_where_it_lies(plane, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = Suite2p(path=str(plane), frame_rate_hz=10)
    assert fetch.raw_path(source) == plane and fetch.available(source, []) == plane
    digest = fetch.verify(source, plane)
    np.save(plane / "ops.npy", np.zeros(3))
    assert fetch.verify(source, plane) == digest  # never read, so no part of it
    np.save(plane / "F.npy", np.zeros((4, 60)))
    fails("plane0: sha256: sha256 is", fetch.verify, Suite2p(path="x", frame_rate_hz=1, sha256=digest), plane)
    monkeypatch.setenv("CORTSEQ_MIRRORS", str(tmp_path))
    assert fetch.raw_path(Suite2p(path="far/plane0", frame_rate_hz=1)) == plane
    fails("plane1.*no such file", fetch.available, Suite2p(path="plane1", frame_rate_hz=1), [])


def test_inspect_a_folder(plane, tmp_path):
    text = "\n".join(inspect(plane))
    assert (
        "kind: suite2p folder" in text and "F.npy: float64 (4, 60)" in text and "4, 3 of them cells" in text
    )
    (tmp_path / "empty").mkdir()
    fails("no source reads this folder", inspect, tmp_path / "empty")


def test_suite2p_regions_of_a_mirror():
    folder = mirror("suite2p_F.npy").parent
    raw = roi(folder)
    assert raw.signal.shape == (2000, 219) and dirt(raw) == {}
    f, neuropil = (np.load(folder / f"suite2p_{n}.npy").astype(float) for n in ("F", "Fneu"))
    np.testing.assert_allclose(raw.signal.values[:, 3], f[3] - 0.7 * neuropil[3])
    assert any("DIRTY: 47 rows never vary" in line for line in inspect(folder))


# --------------------------------------------------------------------------------------------- neo


@pytest.fixture
def neo_io(tmp_path):
    neo = pytest.importorskip("neo")
    import quantities as pq

    segment = neo.Segment()
    for times in ([0.5, 0.25, 1.5], [1.0]):
        segment.spiketrains.append(neo.SpikeTrain(np.array(times) * pq.s, t_start=0 * pq.s, t_stop=2 * pq.s))
    values = np.arange(12.0).reshape(6, 2)
    segment.analogsignals.append(
        neo.AnalogSignal(values, units="mV", sampling_rate=100 * pq.Hz, t_start=1 * pq.s)
    )
    block = neo.Block()
    block.segments.append(segment)
    return neo, block, tmp_path


def test_neo_spike_trains_as_text(tmp_path):
    pytest.importorskip("neo")
    # as its reader wants it; what its writer gives has units in it, which the reader refuses (neo 0.14.6)
    (tmp_path / "x.txt").write_text("0.5\t0.25\t1.5\n1.0\n")
    raw = Neo(path="x.txt", reader="AsciiSpikeTrainIO").load(tmp_path / "x.txt", 0)
    assert raw.sizes["unit"] == 2 and spikes_of(raw, raw.unit.values[0]) == [0.25, 0.5, 1.5]
    assert dirt(raw) == {"spikes_out_of_order": 1} and "event_trial" not in raw


def test_neo_signal_as_text(neo_io):
    neo, block, folder = neo_io
    neo.io.AsciiSignalIO(str(folder / "x.txt"), sampling_rate=block.segments[0].analogsignals[0].sampling_rate).write_segment(block.segments[0])  # fmt: skip
    entry = {"path": "x.txt", "reader": "AsciiSignalIO"}
    raw = Neo(**entry, signal=0).load(folder / "x.txt", 0)
    assert raw.sizes["time"] == 6 and raw.signal.dims == ("time", "channel")
    fails(
        r"x\.txt: signal: no such analog signal \(got 'LFP'\)",
        Neo(**entry, signal="LFP").load,
        folder / "x.txt",
        0,
    )
    fails(r"x\.txt: signal: the segments hold \[0\] spike trains", Neo(**entry).load, folder / "x.txt", 0)


def test_neo_segments_are_trials(neo_io):
    neo, block, folder = neo_io
    import quantities as pq

    later = neo.Segment()
    for times in ([10.5], [10.0, 11.0]):
        later.spiketrains.append(neo.SpikeTrain(np.array(times) * pq.s, t_start=10 * pq.s, t_stop=12 * pq.s))
    later.analogsignals.append(
        neo.AnalogSignal(np.ones((4, 2)), units="mV", sampling_rate=100 * pq.Hz, t_start=10 * pq.s)
    )
    block.segments.append(later)
    neo.io.NeoMatlabIO(str(folder / "x.mat")).write_block(block)
    entry = {"path": "x.mat", "reader": "NeoMatlabIO"}
    raw = Neo(**entry).load(folder / "x.mat", 0)
    assert raw.sizes["trial"] == 2 and raw.sizes["unit"] == 2
    assert sorted(zip(raw.event_trial.values, raw.event_unit.values, raw.event_time.values, strict=True)) == [
        (0, 0, 0.25), (0, 0, 0.5), (0, 0, 1.5), (0, 1, 1.0), (1, 0, 0.5), (1, 1, 0.0), (1, 1, 1.0)
    ]  # fmt: skip
    raw = Neo(**entry, signal=0).load(folder / "x.mat", 0)
    assert raw.signal.shape == (2, 6, 2) and raw.attrs["bin_width"] == pytest.approx(0.01)
    assert int(np.isnan(raw.signal.values).any(-1).sum()) == 2  # the second segment is shorter
    assert preprocess.preprocess(raw, Neo(**entry, signal=0)).valid.values.sum() == 10


def test_neo_never_reads_pickles(tmp_path):
    pytest.importorskip("neo")
    (tmp_path / "x.pkl").write_bytes(b"x")
    fails(r"x\.pkl: is a pickle, which is never read", Neo(path="x.pkl").load, tmp_path / "x.pkl", 0)
    with pytest.raises(ValidationError, match="reader: pickles are never read"):
        Neo(path="x", reader="PickleIO")


def test_bad_neo_files_end_with_one_line(tmp_path):
    pytest.importorskip("neo")
    (tmp_path / "x.abf").write_bytes(b"x")
    fails(
        r"x\.abf: reader: neo has no such reader.*AxonIO",
        Neo(path="x", reader="No").load,
        tmp_path / "x.abf",
        0,
    )
    fails(r"x\.abf: reader: is not read by neo", Neo(path="x").load, tmp_path / "x.abf", 0)
    fails(r"x\.abf: reader: is not read by neo", inspect, tmp_path / "x.abf")


def test_a_missing_neo_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "neo", None)
    with pytest.raises(MissingExtra, match=r"pip install 'cortseq\[neo\]'"):
        Neo(path="x").load(tmp_path / "x", 0)


# ------------------------------------------------------------------------------------ text of numbers


def table(tmp_path, written, **entry):
    (tmp_path / "x.csv").write_text(written)
    return Text(path="x.csv", **entry).load(tmp_path / "x.csv", 0)


SAMPLES = {"content": "signal", "axes": ["channel", "time"], "frame_rate_hz": 2}


def test_a_table_of_a_signal(tmp_path):
    raw = table(tmp_path, "# rows are neurons\n1,2,,4\n5,6,7,8\n", **SAMPLES)
    np.testing.assert_array_equal(raw.signal.values, [[1, 5], [2, 6], [np.nan, 7], [4, 8]])
    assert raw.attrs["bin_width"] == 0.5 and raw.time.values.tolist() == [0, 0.5, 1, 1.5]
    raw = table(tmp_path, "t a b\n0.5  1e-3\n2 3\n", content="signal", native_bin_ms=10, skip_lines=1)
    np.testing.assert_array_equal(raw.signal.values, [[0.5, 1e-3], [2, 3]])


def test_a_table_of_counts(tmp_path):
    raw = table(tmp_path, "1;0\n2;5\n", content="counts", native_bin_ms=10, axes=["time", "unit"])
    np.testing.assert_array_equal(raw.counts.values, [[1, 0], [2, 5]])


def test_a_list_of_spikes(tmp_path):
    raw = table(tmp_path, "2.0\t30\n1.0\t10\n2.0\t20\n2.0\t20\n", content="spikes", time_unit="ms")
    assert raw.unit.values.tolist() == ["1", "2"] and spikes_of(raw, "2") == [0.02, 0.03]
    assert dirt(raw) == {"spikes_out_of_order": 1, "spikes_at_the_same_time": 1}
    rows = "1,4,0.5\n3,4,0.25\n3,9,0.5\n"
    raw = table(tmp_path, rows, content="spikes", columns=["trial", "unit", "time"])
    assert raw.sizes["trial"] == 2 and raw.event_trial.values.tolist() == [0, 1, 1]  # 2 is no trial
    assert dirt(raw) == {"trial_numbers_unused": 1}
    assert raw.event_unit.values.tolist() == [0, 0, 1]


def test_spike_times_and_lines_of_them(tmp_path):
    content = "# stimulus: noise\n\n100 # first\n300\n200\n"
    raw = table(tmp_path, content, content="spike_times", time_unit="us")
    np.testing.assert_allclose(raw.event_time, [1e-4, 2e-4, 3e-4])
    raw = table(tmp_path, "# units\n1, 2\n\n3\n", content="spike_lines")
    assert raw.sizes["unit"] == 3 and [spikes_of(raw, u) for u in raw.unit.values] == [[1, 2], [], [3]]


@pytest.mark.parametrize(
    ("content", "entry", "message"),
    [
        ("a,b\n1,2\n", SAMPLES, r"x\.csv: content: row 1, column 1 is not a number \(got 'a'\).*skip_lines"),
        ("1,2\n3,x\n", SAMPLES, r"row 2, column 2 is not a number \(got 'x'\)"),
        ("1,2\n3,4,5\n", SAMPLES, "content: row 2 has 3 fields, the first has 2"),
        ("# only\n", SAMPLES, "is not a table of numbers"),
        ("1,inf\n", SAMPLES, "signal: a signal must be finite"),
        ("1,2.5\n", {**SAMPLES, "content": "counts"}, r"counts: counts must be whole numbers >= 0.*got 2\.5"),
        ("1\n2\n", {"content": "spikes"}, r"columns: the table has 1 columns, not \['unit', 'time'\]"),
        ("1.5,2\n", {"content": "spikes"}, "columns: unit: must be whole numbers"),
        ("1,inf\n", {"content": "spikes"}, "columns: time: 1 of 1 times are NaN or infinite"),
        ("1\nx\n", {"content": "spike_times"}, "content: line 2 is not numbers"),
        ("# nothing\n", {"content": "spike_times"}, "spike_times: holds no spikes"),
    ],
)
def test_bad_tables_end_with_one_line(tmp_path, content, entry, message):
    fails(message, table, tmp_path, content, **entry)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"content": "signal"}, "frame_rate_hz: is needed"),
        ({**SAMPLES, "native_bin_ms": 5}, "frame_rate_hz: says the same"),
        ({**SAMPLES, "axes": ["trial", "time"]}, "must be time and unit or channel"),
        ({**SAMPLES, "alphabet": ["a"]}, "alphabet: belongs to content symbols"),
        ({"time_unit": "ms"}, "time_unit: belongs to content spikes"),
        ({"content": "spikes", "columns": ["unit"]}, "columns: .*hold time"),
        ({"content": "spikes", "covariates": {"a": "b"}}, "covariates: a text file has none"),
    ],
)
def test_contradictory_text_entries_are_refused(entry, message):
    with pytest.raises(ValidationError, match=message):
        Text(path="x.csv", **entry)


def test_inspect_tables(tmp_path):
    table(tmp_path, "1.5,2,3\n1,2,5\n", **SAMPLES)
    assert any("content: signal: float64 (2, 3)" in line and "1 columns never vary" in line for line in inspect(tmp_path / "x.csv"))  # fmt: skip
    table(tmp_path, "1,0.5\n2,0.75\n2,9.5\n", content="spikes")
    text = "\n".join(inspect(tmp_path / "x.csv"))
    assert "(content: spikes)" in text and "units: 2 (0 silent), 3 spikes" in text
    table(tmp_path, "0.5,1,2\n3.5\n", content="spike_lines")
    assert any("spike_lines" in line for line in inspect(tmp_path / "x.csv"))


def test_zebrafish_and_grasshopper_and_hvc_events():
    raw = Text(path="x", **SAMPLES).load(mirror("zf_20151104-f1_activity_matrix.csv"), 0)
    assert raw.signal.shape == (4245, 114)
    raw = Text(path="x", content="spike_times", time_unit="us").load(
        mirror("grasshopper_spike_times1.txt"), 0
    )
    assert raw.sizes == {"event": 929, "unit": 1} and raw.event_time.max() == pytest.approx(9.9993)
    raw = Text(path="x", content="spikes").load(mirror("ppseq_songbird_spikes.txt"), 0)
    assert raw.sizes["event"] == 3336 and raw.sizes["unit"] == 74


def test_grasshopper_ships_with_nitime():
    pytest.importorskip("nitime")
    source = Text(
        path="data/grasshopper_spike_times1.txt", package="nitime", content="spike_times", time_unit="us"
    )
    assert source.load(fetch.available(source, []), 0).sizes["event"] == 929
