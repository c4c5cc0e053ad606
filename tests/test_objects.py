"""Recordings from Python: objects of pynapple and xarray, and raw files by `cortseq.read`."""

import json

import numpy as np
import pytest
import xarray as xr

import cortseq
from cortseq import models
from cortseq import recording as rec
from cortseq.errors import CortseqError

nap = pytest.importorskip("pynapple")

WIDTH = 0.1
EPOCHS = nap.IntervalSet([0.0, 3.0, 6.0], [2.0, 5.0, 7.55], metadata={"side": ["left", "right", "left"]})
LENGTHS = [20, 20, 15]  # bins; the last 50 ms are no whole bin


def labelled_train(name):
    return nap.TsGroup({0: nap.Ts([0.5, 1.0])}, time_support=EPOCHS, metadata={name: [1]})


@pytest.fixture(scope="module")
def trains():
    rng = np.random.default_rng(0)
    spikes = {key: nap.Ts(np.sort(rng.uniform(0, 8, n))) for key, n in ((4, 300), (9, 50), (11, 0))}
    support = nap.IntervalSet(0.0, 8.0)
    return nap.TsGroup(spikes, time_support=support, metadata={"area": ["CA1", "CA3", "CA1"]})


# -- pynapple ----------------------------------------------------------------------------------------


def test_spikes_are_counted_as_pynapple_counts_them(trains):
    found = rec.from_pynapple(trains, EPOCHS, bin_width=WIDTH)
    assert found["unit"].values.tolist() == [4, 9, 11] and found["area"].values.tolist() == [
        "CA1",
        "CA3",
        "CA1",
    ]
    assert found["side"].values.tolist() == ["left", "right", "left"] and found.attrs["covariates"] == [
        "side"
    ]
    assert found["valid"].values.sum(1).tolist() == LENGTHS
    for trial, length in enumerate(LENGTHS):
        expected = trains.count(WIDTH, ep=EPOCHS[trial]).values[:length]
        assert np.array_equal(found["counts"].values[trial, :length], expected)
    n_spikes = sum(len(train) for train in trains.values())
    assert rec.dirt(found)["spikes_outside_trials"] == n_spikes - found["counts"].values.sum()


def test_samples_are_averaged_as_pynapple_averages_them():
    t = np.arange(0, 8, 0.01)
    t = t[(t < 3.3) | (t >= 3.5)]  # two bins without a sample
    values = np.random.default_rng(1).normal(size=(len(t), 2))
    found = rec.from_pynapple(nap.TsdFrame(t, values, columns=["x", "y"]), EPOCHS, bin_width=WIDTH)
    assert found["channel"].values.tolist() == ["x", "y"]
    assert found["valid"].values.sum(1).tolist() == [20, 18, 15] and not found["valid"].values[1, 3:5].any()
    expected = values[:10].mean(0)
    np.testing.assert_allclose(found["signal"].values[0, 0], expected, rtol=1e-12)
    average = nap.Tsd(t, values[:, 0]).bin_average(WIDTH, ep=EPOCHS[2]).values[:15]
    np.testing.assert_allclose(found["signal"].values[2, :15, 0], average, rtol=1e-9)


def test_one_train_and_one_signal_are_a_unit_and_a_channel(trains):
    assert rec.from_pynapple(trains[4], EPOCHS, bin_width=WIDTH).sizes["unit"] == 1
    tsd = nap.Tsd(np.arange(0, 8, 0.01), np.ones(800))
    assert rec.from_pynapple(tsd, EPOCHS, bin_width=WIDTH).sizes["channel"] == 1


def test_time_outside_of_the_support_is_missing(trains):
    awake = nap.IntervalSet([0.0, 3.5], [1.0, 8.0])
    found = rec.from_pynapple(trains.restrict(awake), EPOCHS, bin_width=WIDTH)
    valid = found["valid"].values
    assert valid[0].tolist() == [True] * 10 + [False] * 10 and valid[1].tolist() == [False] * 5 + [True] * 15


@pytest.mark.parametrize(
    ("data", "epochs", "width", "words"),
    [
        ([1.0], EPOCHS, 0.1, "data: is none of TsGroup, Ts, Tsd, TsdFrame"),
        ("trains", [[0, 1]], 0.1, "epochs: is no IntervalSet"),
        ("trains", EPOCHS, 3.0, "bin_width: every epoch is shorter than a bin"),
        ("trains", EPOCHS, 0.0, "bin_width: a bin has a width above 0"),
        (EPOCHS, EPOCHS, 0.1, "data: is none of TsGroup, Ts, Tsd, TsdFrame"),
        (nap.TsGroup({}, time_support=EPOCHS), EPOCHS, 0.1, "no unit is left"),
        (nap.Tsd(np.empty(0), np.empty(0), time_support=EPOCHS), EPOCHS, 0.1, "no valid bin is left"),
        (nap.TsdFrame(np.empty(0), np.empty((0, 2)), time_support=EPOCHS), EPOCHS, 0.1, "no valid bin"),
        (labelled_train("start"), EPOCHS, 0.1, "data: .* has this name .*got 'start'"),
        (labelled_train("trial"), EPOCHS, 0.1, "data: .* has this name .*got 'trial'"),
        (labelled_train("valid"), EPOCHS, 0.1, "coords: .*got 'valid'"),
        ("trains", nap.IntervalSet([0.0], [2.0], metadata={"time": [1]}), 0.1, "covariates: .*got 'time'"),
    ],
)
def test_what_is_no_object_of_pynapple(data, epochs, width, words, trains):
    data = trains if isinstance(data, str) else data
    with pytest.raises(CortseqError, match=words):
        rec.from_pynapple(data, epochs, bin_width=width)


# -- and back ----------------------------------------------------------------------------------------


def held(values, recording):
    """Values of bins that were observed, 0 elsewhere."""
    return np.where(recording["valid"].values[..., None], values, 0)


@pytest.mark.parametrize("adjacent", [False, True])
def test_counts_come_back_from_pynapple(adjacent):
    rng = np.random.default_rng(4)
    start = 5.0 + 0.2 * np.arange(6) * (1 if adjacent else 2)
    recording = rec.from_counts(
        rng.poisson(1.0, (6, 10, 3)),
        bin_width=0.02,
        valid=rng.random((6, 10)) < 0.8,
        unit_names=["a", "b", "c"],
        covariates={"side": np.array(list("lrlrlr"))},
        coords={
            "start": ("trial", start),
            "stop": ("trial", start + 0.2),
            "area": ("unit", ["CA1", "CA3", "CA1"]),
        },
    )
    data, epochs = rec.to_pynapple(recording)
    assert data.columns.tolist() == ["a", "b", "c"] and len(data) == recording["valid"].values.sum()
    np.testing.assert_allclose(epochs.start, start)
    again = rec.from_pynapple(data, epochs, bin_width=0.02, counts=True)
    assert np.array_equal(again["valid"].values, recording["valid"].values)
    assert np.array_equal(again["counts"].values, held(recording["counts"].values, recording))
    assert again.attrs["covariates"] == ["side"]
    for name in ("side", "unit", "area", "start", "trial"):
        assert again[name].values.tolist() == recording[name].values.tolist()
    units = nap.TsGroup({i: nap.Ts(data.t[data.d[:, i] > 0]) for i in range(3)}, time_support=epochs)
    expected = (again["counts"].values > 0).sum((0, 1))
    assert rec.from_pynapple(units, epochs, bin_width=0.02)["counts"].values.sum((0, 1)).tolist() == (
        expected.tolist()
    )


def test_a_signal_without_a_clock_comes_back_with_its_trials_one_after_the_other():
    rng = np.random.default_rng(5)
    y = rng.normal(size=(4, 10, 2))
    y[1, 7:], y[2, 3] = np.nan, np.nan
    recording = rec.from_signal(y, bin_width=0.1, channel_names=["x", "y"])
    data, epochs = rec.to_pynapple(recording)
    np.testing.assert_allclose(epochs.start, 1.1 * np.arange(4))
    assert epochs.end[1] == pytest.approx(1.1 + 0.7)
    again = rec.from_pynapple(data, epochs, bin_width=0.1)
    assert np.array_equal(again["valid"].values, recording["valid"].values)
    assert np.array_equal(held(again["signal"].values, again), held(recording["signal"].values, recording))


def test_counts_of_pynapple_are_counts(trains):
    found = rec.from_pynapple(trains.count(0.05, ep=EPOCHS), EPOCHS, bin_width=WIDTH, counts=True)
    direct = rec.from_pynapple(trains, EPOCHS, bin_width=WIDTH)
    assert np.array_equal(found["counts"].values[:2], direct["counts"].values[:2])
    assert found["unit"].values.tolist() == [4, 9, 11]


def test_symbols_are_a_series_of_labels():
    data, epochs = rec.to_pynapple(rec.from_symbols([[0, 1], [2, 1, 0]]))
    assert isinstance(data, nap.Tsd) and data.d.tolist() == [0, 1, 2, 1, 0]
    assert data.t.tolist() == [0.5, 1.5, 4.5, 5.5, 6.5] and epochs.end.tolist() == [2.0, 7.0]


def test_predictions_and_states_stand_at_the_times_of_the_recording():
    start = np.array([9.0, 1.0, 3.0, 5.0, 7.0, 11.0])
    recording = rec.from_counts(
        np.random.default_rng(6).poisson(1.0, (6, 8, 2)),
        bin_width=0.1,
        unit_names=["a", "b"],
        coords={"start": ("trial", start)},
    )
    fit = models.Rate(hidden=3, epochs=1).fit(recording, range(3), [3], members=2)
    found = fit.to_xarray(recording, [5, 0, 4])
    assert found["trial"].values.tolist() == [5, 0, 4] and found["unit"].values.tolist() == ["a", "b"]
    assert np.array_equal(found["predicted"].values, fit.predict(recording, [5, 0, 4]).values)
    assert np.array_equal(found["log_prob"].values, fit.log_prob(recording, [5, 0, 4]).values)
    data, epochs = rec.to_pynapple(found["predicted"].sel(member=1))
    assert epochs.start.tolist() == [7.0, 9.0, 11.0] and epochs["trial"].tolist() == [4, 0, 5]
    np.testing.assert_allclose(data.get(9.05), fit.predict(recording, [0]).values[1, 0, 0])
    states, _ = rec.to_pynapple(found["states"].sel(member=1))
    assert states.shape == (24, 3)
    np.testing.assert_allclose(states.get(9.15), fit.states(recording, [0]).values[1, 0, 1])
    with pytest.raises(CortseqError, match=r"dims: .*one of features.*choose a member"):
        rec.to_pynapple(found["predicted"])
    late = recording.assign_coords(start=("trial", [0.0, 0.5, 1.0, 2.0, 3.0, 4.0]))
    with pytest.raises(CortseqError, match=r"start: trials overlap in time"):
        rec.to_pynapple(late)


def test_what_a_fit_says_has_the_names_of_labels_and_gaps_as_missing():
    recording = rec.from_symbols([[0, 1, 0], [1, 1], [0, 0, 1]], labels=["song", "call"])
    found = models.Markov(order=1).fit(recording, [0], [1]).to_xarray(recording)
    assert found["symbol"].values.tolist() == ["song", "call"] and "states" not in found
    assert np.isnan(found["log_prob"].values[0, 1, 2]) and np.isnan(found["predicted"].values[0, 1, 2]).all()
    np.testing.assert_allclose(found["predicted"].sum("symbol").values[0, 0], 1)


# -- xarray ------------------------------------------------------------------------------------------


def test_an_array_with_named_dimensions_in_any_order():
    counts = np.random.default_rng(2).poisson(2.0, (3, 4, 5)).astype(float)
    counts[2, 1, 0] = np.nan
    array = xr.DataArray(
        counts,
        dims=("unit", "trial", "time"),
        coords={
            "unit": ["a", "b", "c"],
            "time": 0.5 + 0.02 * np.arange(5),
            "side": ("trial", ["l", "r", "l", "r"]),
            "depth": ("unit", [1.0, 2.0, 3.0]),
        },
    )
    found = rec.from_xarray(array)
    assert found.attrs["bin_width"] == pytest.approx(0.02) and found["time"].values[0] == 0.5
    assert found["unit"].values.tolist() == ["a", "b", "c"] and found["depth"].dims == ("unit",)
    assert found.attrs["covariates"] == ["side"]
    assert not found["valid"].values[1, 0] and found["valid"].values.sum() == 19
    expected = np.where(found["valid"].values[..., None], array.transpose("trial", "time", "unit").values, 0)
    assert np.array_equal(np.where(found["valid"].values[..., None], found["counts"].values, 0), expected)
    signal = rec.from_xarray(array.rename(unit="channel"), bin_width=0.6)
    assert rec.track(signal) == "signal" and signal.attrs["bin_width"] == 0.6
    assert signal["time"].values[0] == 0.5


@pytest.mark.parametrize("feature", ["unit", "channel"])
def test_times_of_trials_are_kept_and_are_no_covariates(feature):
    values = np.random.default_rng(2).poisson(2.0, (4, 5, 3))
    spans = {"start": ("trial", [9.0, 3.0, 5.0, 7.0]), "stop": ("trial", [10.0, 4.0, 6.0, 8.0])}
    times = {"time": 0.2 * np.arange(5)}
    found = rec.from_xarray(xr.DataArray(values, dims=("trial", "time", feature), coords=spans | times))
    assert found.attrs["covariates"] == [] and found["start"].values.tolist() == [9.0, 3.0, 5.0, 7.0]
    assert found["stop"].values.tolist() == [10.0, 4.0, 6.0, 8.0]
    assert rec.to_pynapple(found).data.t[0] == pytest.approx(3.1)


@pytest.mark.parametrize(
    ("dims", "time", "words"),
    [
        (("trial", "time"), None, "dims: the dimensions are trial, time and either unit"),
        (("trial", "time", "cell"), None, "dims: the dimensions are trial, time and either unit"),
        (("trial", "time", "unit"), None, "bin_width: the times of the bins are no regular steps"),
        (("trial", "time", "unit"), [0.0, 1.0, 3.0], "bin_width: the times of the bins are no regular steps"),
    ],
)
def test_arrays_that_say_too_little(dims, time, words):
    array = xr.DataArray(np.ones((2, 3, 2)[: len(dims)]), dims=dims)
    with pytest.raises(CortseqError, match=words):
        rec.from_xarray(array if time is None else array.assign_coords(time=time))


# -- raw files ---------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "session.npz"
    np.savez(path, c=np.random.default_rng(3).poisson(1.0, (30, 10, 4)))
    return path


ENTRY = {"counts": "c", "axes": ["trial", "time", "unit"], "native_bin_ms": 10}


def test_a_raw_file_is_read_as_a_study_reads_it(file):
    found = cortseq.read(file, bin_ms=20, **ENTRY)
    assert np.array_equal(found["counts"].values, np.load(file)["c"].reshape(30, 5, 2, 4).sum(2))
    known = json.loads(found.attrs["provenance"])
    assert known["source"] == "npz" and known["bin_ms"] == 20 and len(known["sha256"]) == 64


def test_signs_that_stop_no_study_are_warnings(file):
    times = np.repeat(np.random.default_rng(4).uniform(0, 2, 300), 2)  # each spike twice
    np.savez(file, t=times, u=np.repeat(np.arange(300) % 3, 2), k=np.repeat(np.arange(300) % 30, 2))
    entry = {"spike_times": "t", "spike_units": "u", "spike_trials": "k", "window_ms": [0, 2000]}
    with pytest.warns(UserWarning, match="session.npz: twice: 300 spikes"):
        found = cortseq.read(file, **entry)
    assert found["counts"].values.sum() == 300


@pytest.mark.parametrize(
    ("name", "more", "words"),
    [
        ("session.npz", {"bim_ms": 20}, "npz.bim_ms: unknown key"),
        ("session.npz", {"bin_ms": -1}, "npz.bin_ms: .*greater than 0"),
        ("session.npz", {"source": "np"}, "source: no such source .*one of alf"),
        (
            "session.csv",
            {},
            "source: several sources read such a file -- give source=, one of annotations, table",
        ),
        ("session.xyz", {}, "source: no source reads this kind of file"),
        ("session", {}, "no such file"),
        ("other.npz", ENTRY, "no such file"),
    ],
)
def test_what_read_refuses(file, name, more, words):
    (file.parent / "session.csv").write_text("1,2")
    with pytest.raises(CortseqError, match=words):
        cortseq.read(file.parent / name, **more)
