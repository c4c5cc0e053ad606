"""Time series of an NWB file: trials and windows are those of plain arithmetic, and only their samples are read."""

import json
from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import pytest

from cortseq import preprocess
from cortseq.errors import CortseqError
from cortseq.sources import series
from cortseq.sources.nwb import Nwb
from cortseq.sources.nwb_signal import guess
from cortseq.sources.series import Clock, Cut, binned

RATE, N, CHANNELS = 50.0, 3000, 3


class Counted:
    """An array that counts the rows that are read of it."""

    def __init__(self, values, chunks=None):
        self.values, self.shape, self.dtype, self.rows, self.chunks = (
            values,
            values.shape,
            values.dtype,
            0,
            chunks,
        )

    def __len__(self):
        return len(self.values)

    def __getitem__(self, item):
        found = self.values[item]
        self.rows += len(found)
        return found


def values():
    return np.random.default_rng(2).normal(size=(N, CHANNELS)).round(3)


def stamps(gap_at=1000, gap=5.0):
    """Times of the samples with one gap, s."""
    time = 2.0 + np.arange(N) / RATE
    time[gap_at:] += gap
    return time


@pytest.fixture
def file(tmp_path):
    """Write an NWB file with one series, on a rate or on times with a gap, and a table of trials."""
    pynwb = pytest.importorskip("pynwb")

    def write(timestamps=None, trials=(), stops=None, data=None):
        nwb = pynwb.NWBFile("made up", "x", datetime(2024, 1, 1, tzinfo=UTC))
        clock = {"starting_time": 2.0, "rate": RATE} if timestamps is None else {"timestamps": timestamps}
        nwb.add_acquisition(
            pynwb.TimeSeries(name="lfp", data=values() if data is None else data, unit="V", **clock)
        )
        nwb.add_acquisition(
            pynwb.TimeSeries(name="speed", data=np.arange(700.0), unit="m/s", starting_time=0.0, rate=10.0)
        )
        for name in ("side", "go") if len(trials) else ():
            nwb.add_trial_column(name, "x")
        for k, start in enumerate(trials):
            stop = start + 1.0 + 0.1 * k if stops is None else stops[k]
            nwb.add_trial(start_time=start, stop_time=stop, side="lr"[k % 2], go=start + 0.5)
        with pynwb.NWBHDF5IO(str(tmp_path / "x.nwb"), "w") as io:
            io.write(nwb)
        return tmp_path / "x.nwb"

    return write


def load(file, **entry):
    source = Nwb.model_validate({"path": str(file), "signal": "lfp", **entry})
    return preprocess.judged(source.load(file, 0), source)


@pytest.mark.parametrize("factor", [1, 5])
def test_windows_of_a_series_on_a_rate(file, factor):
    r = load(file(), window_ms=1000, bin_ms=20 * factor)
    expected = values().reshape(60, 50 // factor, factor, CHANNELS).mean(2)
    np.testing.assert_allclose(r.signal, expected, atol=1e-12)
    np.testing.assert_allclose(r.start, 2 + np.arange(60))
    assert r.attrs["continuous"] == 1 and r.attrs["bin_width"] == pytest.approx(0.02 * factor)


def test_windows_span_no_gap_of_the_clock(file, monkeypatch):
    monkeypatch.setattr(series, "_TIMES", 300)  # the gap is found although times are read in pieces
    r = load(file(stamps(gap_at=1010)), window_ms=1000)
    first = [*range(0, 1010 - 49, 50), *range(1010, N - 49, 50)]
    np.testing.assert_allclose(r.signal, [values()[k : k + 50] for k in first])
    np.testing.assert_allclose(r.start, stamps(1010)[first])


@pytest.mark.parametrize("timestamps", [None, stamps()])
def test_trials_of_a_series(file, timestamps):
    """Trials before the series, across its gap (22 to 27 s) and beyond its end are left out."""
    starts = [0.0, 3.0, 5.013, 21.5, 61.0, 70.0]
    time = 2 + np.arange(N) / RATE if timestamps is None else timestamps
    r = load(file(timestamps, starts), align="go", window_ms=[-500, 1000], covariates={"side": "side"})
    kept = [3.0, 5.013, 61.0] if timestamps is not None else [3.0, 5.013, 21.5]
    first = [int(np.flatnonzero(time >= start - 1e-9)[0]) for start in kept]
    np.testing.assert_allclose(r.signal, [values()[k : k + 75] for k in first])
    np.testing.assert_allclose(r.time, -0.5 + np.arange(75) / RATE, atol=1e-12)
    assert list(r.side.values) == ["lr"[starts.index(start) % 2] for start in kept]
    assert r.attrs["continuous"] == 0
    assert '"trials_across_a_gap": 1' in r.attrs["dirt"] or timestamps is None
    assert '"trials_outside_the_series": ' in r.attrs["dirt"]


def test_a_trial_that_starts_inside_a_gap_is_left_out(file):
    """Samples from 2 to 21.98 s and from 27 s: a trial at 25 s is not read from 27 s on, one at 26.99 s is."""
    starts = np.array([5.0, 25.0, 26.99, 30.0])
    r = load(file(stamps(), starts, starts + 2), intervals="trials")
    assert json.loads(r.attrs["dirt"])["trials_across_a_gap"] == 1
    np.testing.assert_allclose(r.start, [5.0, 27.0, 30.0])


def test_trials_of_unequal_length_are_masked(file):
    r = load(file(None, [3.0, 6.0, 9.0]), intervals="trials")
    np.testing.assert_array_equal(r.valid.sum("time"), [50, 55, 60])
    np.testing.assert_allclose(r.signal[1, :55], values()[200:255])


@pytest.mark.parametrize("n_short", [3, 59])
def test_what_pads_short_trials_is_neither_missing_nor_a_step(file, n_short):
    """Short trials and one of 2 s: the channel that is a clock is left out, no other one is."""
    data = values()
    data[:, 1], data[100:105, 2] = np.arange(N) / RATE, np.nan
    starts = 2 + 0.96 * np.arange(n_short + 1)
    stops = starts + np.where(np.arange(n_short + 1) < n_short, 0.96, 2.0)
    r = load(file(None, starts, stops, data), intervals="trials")
    assert list(r.channel.values) == [0, 2] and r.valid.values.sum() == 48 * n_short + 100 - 5
    assert json.loads(r.attrs["dirt"]) == {
        "channels_that_are_clocks": 1,
        "samples_masked_for_missing_values": 5,
    }
    np.testing.assert_array_equal(r.signal[-1], data[48 * n_short :][:100, [0, 2]])


def test_a_behaviour_series_is_that_of_the_middle_of_each_bin(file):
    r = load(file(), window_ms=1000, bin_ms=100, covariates={"speed": "speed"})
    middle = 2 + (np.arange(N) / RATE).reshape(60, 10, 5)[:, :, 2]
    np.testing.assert_allclose(r.speed, np.ceil(10 * middle - 0.5))


def test_part_and_max_trials_choose_what_is_read(file):
    path = file()
    whole = load(path, window_ms=1000)
    few = load(path, window_ms=1000, part=[0.5, 1.0], max_trials=7)
    np.testing.assert_array_equal(few.signal, whole.signal[30:37])
    late = load(path, window_ms=1000, valid_from=12.0)
    np.testing.assert_array_equal(late.signal, whole.signal[10:])
    assert json.loads(late.attrs["dirt"]) == {"samples_before_valid_from": 500}


def test_bins_are_means_of_what_is_not_missing():
    data = values()
    data[3, 0], data[10:15, 1] = np.nan, np.nan
    found = binned(data, Cut(np.array([0]), np.array([4]), 5), None, "x")
    expected = data[:20].reshape(4, 5, CHANNELS).copy()
    np.testing.assert_allclose(found[0, 0, 0], np.nanmean(expected[0, :, 0]))
    assert np.isnan(found[0, 2, 1]) and np.isfinite(found).sum() == 11
    data[1, 1] = np.inf
    with pytest.raises(CortseqError, match="finite"):
        binned(data, Cut(np.array([0]), np.array([4]), 5), None, "x")


@pytest.mark.parametrize("piece", [1 << 25, 240, 24])  # bytes: all at once, parts of trials, single bins
@pytest.mark.parametrize("chunks", [None, (64, CHANNELS)])
def test_pieces_make_no_difference(monkeypatch, piece, chunks):
    monkeypatch.setattr(series, "PIECE", piece)
    monkeypatch.setattr(series, "_CHUNKS", piece)
    cut = Cut(np.array([900, 0, 40, 2900]), np.array([30, 30, 10, 25]), 4)  # out of order, overlapping
    found = binned(Counted(values(), chunks), cut, None, "x")
    for row, first, n in zip(found, cut.first, cut.bins, strict=True):
        expected = values()[first : first + 4 * n].reshape(n, 4, CHANNELS).mean(1)
        np.testing.assert_allclose(row[:n], expected, atol=1e-12)
        assert (row[n:] == 0).all()


def test_only_the_samples_of_the_trials_are_read():
    data = Counted(values())
    binned(data, Cut(np.array([100, 2000]), np.array([50, 50]), 1), None, "x")
    assert data.rows == 100


def test_a_long_behaviour_series_is_read_around_the_trials_only(monkeypatch):
    monkeypatch.setattr(series, "_TIMES", 100)
    for clock in ({"timestamps": None, "starting_time": 2.0}, {"timestamps": 2 + np.arange(N) / RATE}):
        data = Counted(values())
        made = SimpleNamespace(data=data, rate=RATE, **clock)
        time, found = series.column_around(made, 1, np.array([[12.0, 13.0], [12.5, 14.0]]), None, "x")
        assert data.rows == len(found) == 102 and time[0] == pytest.approx(11.98)
        np.testing.assert_array_equal(found, values()[499:601, 1])


def test_too_many_bins_are_refused_before_they_are_read(file, monkeypatch):
    monkeypatch.setenv("CORTSEQ_MEMORY_MB", "1")
    monkeypatch.setattr(series, "BYTES", 1000)
    with pytest.raises(CortseqError, match=r"60 trials x 50 bins x 3 channels needs .* GB"):
        load(file(), window_ms=1000)


@pytest.mark.parametrize(
    ("rate", "n", "limit", "entry"),
    [
        (10.0, 1000, "4000", {"window_ms": 1000.0}),
        (30000.0, 900_000, "4000", {"bin_ms": 1e3 / 30000 * 500, "window_ms": 500 * 1e3 / 30000 * 20}),
        (10.0, 1000, "1", {"bin_ms": 200.0, "window_ms": 2000.0}),
    ],
)
def test_bins_are_proposed_that_fit_a_job(monkeypatch, rate, n, limit, entry):
    """24 bytes a value: 1000 x 20 values are .48 MB, twice the quarter of a job of 1 MB."""
    monkeypatch.setenv("CORTSEQ_MEMORY_MB", limit)
    made = SimpleNamespace(data=np.broadcast_to(0.0, (n, 20)), timestamps=None, starting_time=0.0, rate=rate)
    found, notes = guess(made, None, "x")
    assert found == pytest.approx(entry, rel=1e-5) and set(notes) == set(entry)


@pytest.mark.parametrize("rate", [np.nan, -5.0, np.inf])
def test_a_rate_that_is_none(rate):
    made = SimpleNamespace(data=values(), timestamps=None, starting_time=0.0, rate=rate)
    with pytest.raises(CortseqError, match=r"x\.rate: is no number of samples per second"):
        _ = Clock(made, None, "x").width


def test_damaged_samples_are_one_line():
    class Damaged(Counted):
        def __getitem__(self, item):
            raise OSError("Can't synchronously read data\n(filter returned failure)")

    with pytest.raises(CortseqError, match=r"samples 0 and following cannot be read \(Can't") as error:
        binned(Damaged(values()), Cut(np.array([0]), np.array([4]), 5), None, "x")
    assert len(str(error.value).splitlines()) == 1


def test_times_that_do_not_fit_the_samples():
    made = SimpleNamespace(data=values(), timestamps=np.arange(5.0), rate=None)
    with pytest.raises(CortseqError, match="do not fit together"):
        Clock(made, None, "x")
    back = SimpleNamespace(data=values(), timestamps=stamps(gap=-5.0), rate=None)
    with pytest.raises(CortseqError, match="do not fit together"):
        Clock(back, None, "x").times()


def test_a_short_clock_is_read_once_and_a_long_one_in_pieces(monkeypatch):
    time = stamps()
    for whole, rows_read in ((N, N), (N - 1, 2 * 100)):
        monkeypatch.setattr(series, "_WHOLE", whole)
        made = SimpleNamespace(data=values(), timestamps=Counted(time), rate=None)
        clock = Clock(made, None, "x")
        for _ in range(2):
            np.testing.assert_array_equal(clock.times(950, 1050), time[950:1050])
        assert made.timestamps.rows == rows_read


@pytest.mark.parametrize("whole", [N, N - 1])
def test_first_samples_are_those_of_the_stored_times(monkeypatch, whole):
    monkeypatch.setattr(series, "_WHOLE", whole)
    time = stamps()
    clock = Clock(SimpleNamespace(data=values(), timestamps=time, rate=None), None, "x")
    for wanted in (0.0, time[0], time[7], time[7] + 1e-9, time[999] + 1, time[-1], time[-1] + 1):
        assert clock.first_from(wanted) == np.searchsorted(time, wanted)
    np.testing.assert_array_equal(clock.times(), time)
