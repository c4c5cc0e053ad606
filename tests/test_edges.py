"""Sources, bins and windows to the bin: edges, clocks, gaps, units of time."""

import numpy as np
import pytest
import xarray as xr

from cortseq import binning
from cortseq import recording as rec
from cortseq.preprocess import preprocess
from cortseq.sources.npz import Npz
from cortseq.sources.series import Clock
from cortseq.sources.suite2p import Suite2p


def samples(**more) -> Npz:
    return Npz(**{"path": "x.npz", "counts": "c", "native_bin_ms": 10, "axes": ("time", "unit"), **more})


def test_whole_bins_in_lengths_that_rounding_makes_shorter():
    """0.3 / 0.1 is 2.9999999999999996 in floating point."""
    assert [binning.n_bins(k * 0.1, 0.1) for k in (3, 6, 7)] == [3, 6, 7]
    assert binning.n_bins(0.3, 0.1) == 3 and binning.n_bins(0.29, 0.1) == 2


@pytest.mark.parametrize("start", [0.0, -0.2, 1.0])
def test_spikes_are_in_the_bin_that_holds_them(start):
    times = start + np.array([0.0, 0.09, 0.1, 0.199, 0.2, 0.3, -0.01])
    r = rec.from_spikes(times, np.zeros(7, int), np.zeros(7, int), window=(start, start + 0.3), bin_width=0.1)
    assert r["counts"].values[0, :, 0].tolist() == [2, 2, 1]
    assert rec.dirt(r) == {"spikes_outside_window": 2}
    assert np.allclose(r["time"], start + np.array([0.0, 0.1, 0.2]))  # left edges


def test_trials_on_one_clock_end_before_their_stop_and_share_what_they_overlap():
    starts, stops = np.array([0.0, 0.2, 1.0]), np.array([0.4, 0.6, 1.2])
    times = np.array([0.1, 0.3, 0.4, 0.6, 1.2])
    counts, outside = binning.by_interval(times, np.zeros(5, int), starts, stops, (3, 4, 1), 0.1)
    assert counts[..., 0].tolist() == [[0, 1, 0, 1], [0, 1, 1, 0], [0, 0, 0, 0]] and outside == 0


def test_a_bin_of_a_signal_needs_all_channels():
    signal = np.arange(12.0).reshape(1, 6, 2)
    signal[0, 2, 1] = np.nan
    assert rec.from_signal(signal, bin_width=0.1)["valid"].values[0].tolist() == [
        True,
        True,
        False,
        True,
        True,
        True,
    ]


def test_counts_beyond_the_largest_are_possible():
    r = rec.from_counts(np.full((2, 3, 1), 7), bin_width=0.1, observation="conway_maxwell")
    assert r.attrs["support"] == 34


def aligned() -> xr.Dataset:
    return xr.Dataset(
        {
            "event_time": ("event", np.array([0.4, 0.5, 1.5, 3.1])),
            "event_unit": ("event", np.array([0, 1, 0, 0])),
            "interval_start": ("trial", np.array([0.0, 2.0])),
            "interval_stop": ("trial", np.array([2.0, 4.0])),
            "interval_align": ("trial", np.array([0.5, 3.0])),
            "series_speed": ("time_speed", np.arange(40.0)),
        },
        coords={"unit": ["u", "v"], "time_speed": np.arange(40) * 0.1},
        attrs={"form": "events"},
    )


def test_windows_in_milliseconds_about_an_event():
    r = preprocess(aligned(), samples(window_ms=(-200, 200), bin_ms=100))
    assert np.allclose(r["time"], [-0.2, -0.1, 0.0, 0.1])
    assert np.allclose(r["start"], [0.3, 2.8]) and np.allclose(r["stop"], [0.7, 3.2])
    assert r["counts"].values[..., 0].tolist() == [[0, 1, 0, 0], [0, 0, 0, 1]]
    assert r["counts"].values[..., 1].tolist() == [[0, 0, 1, 0], [0, 0, 0, 0]]


def test_a_series_is_read_at_the_middle_of_a_bin():
    """Bins of 0.4 s from 0.3 s on: middles at 0.5 and 0.9 s, samples every 0.1 s."""
    r = preprocess(aligned(), samples(window_ms=(-200, 600), bin_ms=400))
    assert r["speed"].values.tolist() == [[5, 9], [30, 34]]


def test_the_nearest_sample_may_be_the_one_before():
    raw = aligned().isel(time_speed=[0, 10, 20, 30])
    r = preprocess(raw, samples(window_ms=(-200, 200), bin_ms=200))
    assert r["speed"].values.tolist() == [[0, 10], [30, 30]]  # 0.4, 0.6, 2.9 and 3.1 s


def continuous(values, time, **more) -> xr.Dataset:
    raw = xr.Dataset(
        {"counts": (("time", "unit"), values)}, {"time": time}, {"form": "samples", "bin_width": 0.01}
    )
    for name, series in more.items():
        raw[f"series_{name}"] = f"time_{name}", series
        raw = raw.assign_coords({f"time_{name}": time})
    return raw


def test_a_window_begins_after_a_gap_and_covers_its_last_sample():
    time = np.concatenate([np.arange(8) * 0.01, 3 + np.arange(8) * 0.01])
    r = preprocess(continuous(np.arange(16)[:, None], time), samples(window_ms=40))
    assert r["counts"].values[..., 0].tolist() == [
        [*range(4)],
        [*range(4, 8)],
        [*range(8, 12)],
        [*range(12, 16)],
    ]
    assert np.allclose(r["start"], [0, 0.04, 3, 3.04]) and np.allclose(r["stop"], [0.04, 0.08, 3.04, 3.08])


def test_wider_bins_sum_counts_average_signals_and_keep_the_middle_label():
    values = np.arange(12.0)[:, None]
    time = np.arange(12) * 0.01
    r = preprocess(continuous(values, time, phase=np.arange(12.0)), samples(window_ms=60, bin_ms=30))
    assert r["counts"].values[..., 0].tolist() == [[3, 12], [21, 30]]
    assert r["phase"].values.tolist() == [[1, 4], [7, 10]]
    raw = continuous(values, time).rename(counts="signal", unit="channel")
    entry = Npz(path="x.npz", signal="s", native_bin_ms=10, axes=("time", "channel"), window_ms=60, bin_ms=30)
    assert preprocess(raw, entry)["signal"].values[..., 0].tolist() == [[1, 4], [7, 10]]


def test_parts_that_meet_share_no_trial():
    raw = continuous(np.arange(40)[:, None], np.arange(40) * 0.01)
    first, second = (preprocess(raw, samples(window_ms=40, part=part)) for part in ((0, 0.5), (0.5, 1)))
    assert first["counts"].values.ravel().tolist() == [*range(20)]
    assert second["counts"].values.ravel().tolist() == [*range(20, 40)]


def test_a_trial_has_as_many_valid_bins_as_fit_into_it():
    raw = aligned()
    raw["interval_stop"] = "trial", np.array([0.95, 4.0])
    r = preprocess(raw, samples(bin_ms=300))
    assert r["valid"].values.sum(1).tolist() == [3, 6]
    assert np.allclose(r["stop"], [0.9, 3.8])


def load(tmp_path, arrays, **entry):
    np.savez(tmp_path / "x.npz", **arrays)
    return Npz(path="x.npz", **entry).load(tmp_path / "x.npz", 0)


@pytest.mark.parametrize(("unit", "scale"), [("s", 1.0), ("ms", 1e-3), ("us", 1e-6)])
def test_times_of_a_file_become_seconds(tmp_path, unit, scale):
    arrays = {"t": np.array([1.0, 4.0]) / scale, "c": np.ones((4, 2), int), "at": np.arange(4) * 0.5 / scale}
    raw = load(tmp_path, arrays, spike_times="t", time_unit=unit)
    assert np.allclose(raw["event_time"], [1.0, 4.0])
    raw = load(tmp_path, arrays, counts="c", axes=("time", "unit"), time="at", time_unit=unit)
    assert np.allclose(raw["time"], [0, 0.5, 1, 1.5]) and raw.attrs["bin_width"] == pytest.approx(0.5)


def test_a_frame_rate_is_one_over_the_width_of_a_sample(tmp_path):
    arrays = {"c": np.ones((6, 2), int)}
    raw = load(tmp_path, arrays, counts="c", axes=("time", "unit"), frame_rate_hz=50.0)
    assert raw.attrs["bin_width"] == pytest.approx(0.02) and np.allclose(raw["time"], 0.02 * np.arange(6))
    raw = load(tmp_path, arrays, counts="c", axes=("time", "unit"), native_bin_ms=40.0)
    assert raw.attrs["bin_width"] == pytest.approx(0.04)


def test_the_width_of_a_clock_with_a_gap_is_its_usual_step(tmp_path):
    time = np.concatenate([np.arange(60) * 0.1, 100 + np.arange(60) * 0.1])
    raw = load(
        tmp_path, {"c": np.ones((120, 1), int), "at": time}, counts="c", axes=("time", "unit"), time="at"
    )
    assert raw.attrs["bin_width"] == pytest.approx(0.1)


def test_trials_counted_from_one_begin_at_the_first(tmp_path):
    arrays = {"t": np.array([0.1, 0.2, 0.3]), "k": np.array([1, 2, 3])}
    raw = load(tmp_path, arrays, spike_times="t", spike_trials="k", first_trial=1)
    assert raw["event_trial"].values.tolist() == [0, 1, 2] and raw.sizes["trial"] == 3


def test_regions_are_cells_where_a_hand_and_the_classifier_say_so(tmp_path):
    np.save(tmp_path / "F.npy", np.full((3, 5), 10.0))
    np.save(tmp_path / "Fneu.npy", np.full((3, 5), 2.0))
    np.save(tmp_path / "iscell.npy", np.array([[1, 0.9], [0, 0.95], [1, 0.2]]))
    entry = {"path": str(tmp_path), "frame_rate_hz": 10.0, "min_probability": 0.5}
    raw = Suite2p(**entry).load(tmp_path, 0)
    assert raw["channel"].values.tolist() == [0]
    assert np.allclose(raw["signal"], 10 - Suite2p(**entry).neuropil * 2)


def test_a_series_without_timestamps_begins_at_its_starting_time():
    class Series:
        timestamps, starting_time, rate, data = None, 5.0, 4.0, np.zeros(4)

    assert Clock(Series(), None, "x").times().tolist() == [5.0, 5.25, 5.5, 5.75]


def test_cells_of_a_matlab_matrix_are_numbered_down_its_columns(tmp_path):
    from scipy.io import savemat

    from cortseq.sources.mat import Mat

    cells = np.empty((2, 2), object)
    for i, j in np.ndindex(2, 2):
        cells[i, j] = np.array([[1.0 + i + 2 * j]])
    savemat(tmp_path / "x.mat", {"cells": cells})
    raw = Mat(path="x.mat", spike_times="cells").load(tmp_path / "x.mat", 0)
    assert raw["unit"].values.tolist() == ["1", "2", "3", "4"]
    assert raw["event_time"].values[raw["event_unit"].values.argsort()].tolist() == [1.0, 2.0, 3.0, 4.0]
