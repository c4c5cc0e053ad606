"""Epochs of an NWB file: time outside of those that are kept is missing."""

from datetime import UTC, datetime

import numpy as np
import pytest
import xarray as xr

import cortseq
from cortseq import recording as rec
from cortseq.errors import CortseqError
from cortseq.sources import epochs

pynwb = pytest.importorskip("pynwb")

AWAKE, ASLEEP, LATE = (0.0, 30.0), (30.0, 50.0), (60.0, 90.0)
RATE = 20.0  # samples per s


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("epochs") / "x.nwb"
    content = pynwb.NWBFile("made up", "x", datetime(2024, 1, 1, tzinfo=UTC))
    for pair, tags in ((AWAKE, ["awake"]), (ASLEEP, ["asleep", "dark"]), (LATE, ["awake", "dark"])):
        content.add_epoch(*pair, tags)
    for start in np.arange(1.0, 99.0, 3.0):
        content.add_trial(start_time=start, stop_time=start + 2.0)
    rng = np.random.default_rng(0)
    for _ in range(3):
        content.add_unit(spike_times=np.sort(rng.uniform(0, 100, 900)))
    values = np.random.default_rng(1).normal(size=(int(100 * RATE), 2))
    content.add_acquisition(
        pynwb.TimeSeries(name="lfp", data=values, unit="V", rate=RATE, starting_time=0.0, conversion=1.0)
    )
    with pynwb.NWBHDF5IO(str(path), "w") as io:
        io.write(content)
    return path


def inside(times, *pairs):
    return np.any([(times >= a) & (times < b) for a, b in pairs], axis=0)


CASES = [
    ({"keep": ["awake"]}, (AWAKE, LATE)),
    ({"keep": ["dark"]}, (ASLEEP, LATE)),
    ({"leave_out": ["asleep"]}, ((0.0, 30.0), (50.0, 100.0))),
    ({"keep": ["awake"], "leave_out": ["dark"]}, (AWAKE,)),
]


@pytest.mark.parametrize(("chosen", "pairs"), CASES)
def test_bins_of_trials_outside_of_the_epochs_are_missing(file, chosen, pairs):
    found = cortseq.read(file, bin_ms=100, epochs=chosen)
    left = found["start"].values[:, None] + 0.1 * np.arange(20)
    expected = inside(left + 0.05, *pairs)
    assert np.array_equal(found["valid"].values, expected)
    every = cortseq.read(file, bin_ms=100)
    alike = every["counts"].sel(trial=np.isin(every["start"], found["start"]))
    assert np.array_equal(found["counts"].values[expected], alike.values[expected])
    assert rec.dirt(found)["trials_not_observed"] == every.sizes["trial"] - found.sizes["trial"]


def test_windows_begin_with_the_epochs(file):
    found = cortseq.read(file, bin_ms=100, window_ms=4000.0, epochs={"keep": ["awake"]})
    assert found["start"].values.tolist() == [*np.arange(0.0, 28.0, 4.0), *np.arange(60.0, 88.0, 4.0)]
    assert found["valid"].values.all()


@pytest.mark.parametrize(("chosen", "pairs"), CASES)
def test_samples_outside_of_the_epochs_are_missing(file, chosen, pairs):
    found = cortseq.read(file, signal="lfp", window_ms=5000.0, bin_ms=100, epochs=chosen)
    middles = found["start"].values[:, None] + 0.1 * np.arange(50) + 0.05
    assert (
        np.array_equal(found["valid"].values, inside(middles, *pairs)) and found["valid"].values.any(1).all()
    )
    dirt = rec.dirt(found)
    assert dirt["trials_outside_epochs"] == 20 - found.sizes["trial"]
    assert dirt.get("bins_outside_epochs", 0) == (~found["valid"].values).sum()


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({}, "epochs: names no epoch"),
        ({"keep": ["sleep"]}, "epochs.keep: no epoch has this label .*'asleep', 'awake', 'dark'"),
        ({"keep": ["awake"], "leave_out": ["awake"]}, "epochs: no time is left"),
        ({"table": "phases", "keep": ["a"]}, r"epochs.table: the file has no such interval table"),
        ({"column": "state", "keep": ["a"]}, "epochs.column: the table has no such column"),
    ],
)
def test_epochs_that_are_not_there(file, chosen, words):
    with pytest.raises(CortseqError, match=words):
        cortseq.read(file, bin_ms=100, epochs=chosen)


def test_spikes_and_intervals_of_units_are_cut_to_the_epochs():
    kept = np.array([[0.0, 10.0], [20.0, 30.0]])
    times = np.array([1.0, 9.99, 15.0, 25.0, 31.0])
    raw = xr.Dataset({"event_time": ("event", times)}, coords={"unit": [0, 1]})
    left, found, counted = epochs.restricted(raw, [np.array([[5.0, 25.0]]), np.empty((0, 2))], kept)
    assert found[0].tolist() == [[5, 10], [20, 25]] and found[1].tolist() == kept.tolist()
    assert left["event_time"].values.tolist() == [1.0, 9.99, 25.0] and counted == {"spikes_outside_epochs": 2}
    with pytest.raises(CortseqError, match=r"unit 0 .* was not observed"):
        epochs.restricted(raw, [np.array([[12.0, 15.0]])] * 2, kept)


def test_sets_of_intervals():
    """Against a fine grid."""
    rng = np.random.default_rng(2)
    grid = np.arange(0, 100, 0.25) + 0.1
    for _ in range(20):
        one, other = (np.sort(rng.choice(100, 8, False)).astype(float).reshape(4, 2) for _ in range(2))
        a, b = inside(grid, *one), inside(grid, *other)
        assert np.array_equal(inside(grid, *epochs.common(one, other)) if (a & b).any() else a & b, a & b)
        assert np.array_equal(inside(grid, *epochs.without(one, other)) if (a & ~b).any() else a & ~b, a & ~b)
