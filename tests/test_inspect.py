"""`cortseq inspect` says what a file holds, whichever kind it is."""

import numpy as np
import pytest
import xarray as xr

from cortseq import recording, store
from cortseq.errors import CortseqError
from cortseq.inspecting import inspect
from cortseq.sources.synthetic import Synthetic


def lines(file) -> str:
    found = inspect(file)
    assert all(isinstance(line, str) and "\n" not in line for line in found)
    return "\n".join(found)


def test_unknown_suffix_lists_what_is_read(tmp_path):
    file = tmp_path / "x.docx"
    file.write_text("x")
    with pytest.raises(CortseqError, match=r"x\.docx.*\.npz.*\.nwb.*\.zarr\.zip"):
        inspect(file)


def test_missing_and_empty_files(tmp_path):
    with pytest.raises(CortseqError, match=r"x\.npz: no such file"):
        inspect(tmp_path / "x.npz")
    (tmp_path / "x.npz").touch()
    with pytest.raises(CortseqError, match=r"x\.npz: is empty"):
        inspect(tmp_path / "x.npz")


def test_npz_shows_arrays_and_their_dirt(tmp_path):
    times = np.array([0.1, np.nan, 0.3, np.inf])
    np.savez(tmp_path / "x.npz", t=times, unit=np.array([0, 1, 1, 2]), trial=np.array([0, 0, 1, 1]),
             y=np.ones((3, 4, 5), np.uint8), o=np.array([{}], object))  # fmt: skip
    text = lines(tmp_path / "x.npz")
    assert "t: float64 (4,), 0.1 to 0.3, mean 0.2, DIRTY: 2 NaN or infinite" in text
    assert "list of 4 spikes: t, trial, unit (2 different trial, 3 different unit)" in text
    assert "looks like counts: y (3, 4, 5)" in text and "60 spikes" in text
    assert "dirty:" in text and "pickle" in text


def test_npz_shows_gaps_in_time(tmp_path):
    time = np.concatenate([np.arange(50), [49], 80 + np.arange(50)]) * 0.01
    np.savez(tmp_path / "x.npz", time=time)
    assert "1 repeated values, 1 gaps" in lines(tmp_path / "x.npz")


def test_text_of_symbols_and_of_numbers(tmp_path):
    (tmp_path / "song.txt").write_text("aab\n\nba\n")
    text = lines(tmp_path / "song.txt")
    assert "sequences: 2, 5 symbols, lengths 2 to 3" in text
    assert "2 (a: 3, b: 2)" in text and "1 empty sequences" in text and "0.97 bits" in text
    (tmp_path / "times.txt").write_text("# times\n12\n57\n190\n")
    assert "3 rows of numbers" in lines(tmp_path / "times.txt")
    (tmp_path / "table.csv").write_text("1.5,2\n3,4\n")
    assert "2 rows of numbers" in lines(tmp_path / "table.csv")


@pytest.mark.parametrize("kind", ["ring", "even"])
def test_raw_recording(tmp_path, kind):
    raw = Synthetic(kind=kind, trials=5, bins=10).load(None, 0)
    store.write(raw, tmp_path / "x.zarr.zip")
    text = lines(tmp_path / "x.zarr.zip")
    if kind == "even":
        assert "kind: raw symbols" in text and "sequences: 5, 50 symbols" in text
    else:
        assert "kind: raw counts" in text and "units: 60" in text
        assert "10 of 20 ms in each of 5 trials" in text and "true_rates, ceiling" in text


def test_raw_events(tmp_path):
    raw = xr.Dataset(
        {"event_time": ("event", [0.0, 1.0, 2.0]), "event_unit": ("event", [0, 0, 2])},
        coords={"unit": [4, 5, 6]},
        attrs={"form": "events", "dirt": '{"trials_too_long": 2}'},
    )
    store.write(raw, tmp_path / "x.zarr.zip")
    text = lines(tmp_path / "x.zarr.zip")
    assert "units: 3 (1 silent), 3 spikes" in text and "0.000 to 2.000 s; rates 0.00 to 1.00 Hz" in text
    assert "dirt: 2 trials too long" in text


def test_recordings_of_every_track(tmp_path):
    file = tmp_path / "x.zarr.zip"
    counts = np.zeros((2, 10, 3), int)
    counts[:, :5, 0] = 1
    store.write(recording.from_counts(counts, bin_width=0.1, covariates={"side": ["l", "r"]}), file)
    text = lines(file)
    assert "kind: Recording of counts" in text and "10 spikes, rates 0.00 to 5.00 Hz (mean 1.67)" in text
    assert "2 silent units" in text and "covariates: side" in text and "duration: 2.0 s" in text
    store.write(recording.from_symbols([np.array([0, 1, 1]), np.array([2])]), file)
    assert "kind: Recording of symbols" in lines(file) and "lengths 1 to 3" in lines(file)
    store.write(recording.from_signal(np.ones((2, 5, 3)), bin_width=0.6), file)
    assert "kind: Recording of signal" in lines(file) and "channels: 3" in lines(file)


def test_scores(tmp_path):
    log_prob = np.full((2, 3, 4), -1.0)
    log_prob[:, 2, 3] = np.nan
    scores = xr.Dataset(
        {"log_prob": (("member", "trial", "time"), log_prob)},
        coords={"role": ("trial", ["train", "train", "test"])},
    )
    store.write(scores, tmp_path / "x.zarr.zip")
    text = lines(tmp_path / "x.zarr.zip")
    assert "members: 2, trials: 3" in text
    assert "train: 2 trials, -4 nats per trial" in text and "test: 1 trials, -3 nats per trial" in text


def test_nwb(tmp_path):
    pynwb = pytest.importorskip("pynwb")
    from datetime import UTC, datetime

    nwb = pynwb.NWBFile("test", "id", datetime(2024, 1, 1, tzinfo=UTC))
    nwb.add_unit(spike_times=np.array([1.0, 5.0, 11.0, np.nan]))
    nwb.add_unit(spike_times=np.empty(0))
    for start, stop in [(0.0, 1.0), (1.0, 2.0), (2.0, 30.0)]:
        nwb.add_trial(start_time=start, stop_time=stop)
    with pynwb.NWBHDF5IO(str(tmp_path / "x.nwb"), "w") as io:
        io.write(nwb)
    text = lines(tmp_path / "x.nwb")
    assert "units: 2, 4 spikes over 10.0 s" in text and "dirty: 1 units without spikes" in text
    assert "dirty: 1 spike times NaN or infinite" in text
    assert "intervals trials: 3" in text and "1 of trials are longer than ten times the median (28 s)" in text


def test_songs(tmp_path):
    from scipy.io import savemat

    elements = np.array([{"segType": np.array([0.0, 1.0]), "fs": 1.0}] * 3, dtype=object)
    savemat(tmp_path / "x.mat", {"elements": elements})
    assert "sequences: 3, 6 symbols" in lines(tmp_path / "x.mat")
