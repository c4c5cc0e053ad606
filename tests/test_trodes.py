"""Binary exports of Trodes: made records come back, damaged files are one line, positions become inputs."""

import numpy as np
import pytest
from scipy.io import savemat

import cortseq
from cortseq.errors import CortseqError
from cortseq.sources.trials import open_table
from cortseq.sources.trodes import Trodes

SETTINGS = "<Start settings>\nthreshold: 199\nclockrate: 30000\ncamera resolution: 640x480\nFields: {}\n"
FIELDS = "<time uint32><xloc uint16><wave 2*int16><gain single>"
RECORD = np.dtype([("time", "<u4"), ("xloc", "<u2"), ("wave", "<i2", 2), ("gain", "<f4")])


def write(file, fields=FIELDS, records=None, settings=SETTINGS):
    records = np.zeros(0, RECORD) if records is None else records
    file.write_bytes((settings.format(fields) + "<End settings>\n").encode() + records.tobytes())
    return file


@pytest.fixture
def records():
    made = np.zeros(7, RECORD)
    made["time"], made["xloc"] = 30_000 + 500 * np.arange(7), 100 + np.arange(7)
    made["wave"], made["gain"] = [[-3, 4]] * 7, 0.5
    return made


def test_fields_and_times_in_seconds(tmp_path, records):
    table = open_table(write(tmp_path / "a.videoPositionTracking", records=records), "path")
    assert table.keys == ["time", "xloc", "wave", "gain"]
    np.testing.assert_allclose(table.squeezed("time", "time"), 1 + np.arange(7) / 60)
    assert table.squeezed("xloc", "series").tolist() == list(range(100, 107))
    assert table.read("wave").shape == (7, 2) and table.read("wave")[0].tolist() == [-3, 4]
    assert table.read("gain").tolist() == [0.5] * 7
    with pytest.raises(CortseqError, match=r"no such field.*\['time', 'xloc', 'wave', 'gain'\]"):
        table.get("speed", "series")


def test_damaged_files_are_one_line(tmp_path, records):
    whole = write(tmp_path / "a.dat", records=records).read_bytes()
    other = SETTINGS.replace("clockrate: 30000\n", "")
    for content, words in (
        (whole[:-3], "it ends within a record"),
        (whole[:60], "its settings do not end"),
        (write(tmp_path / "b.dat", "<time date>").read_bytes(), "its settings name no fields"),
        (write(tmp_path / "b.dat", settings=other).read_bytes(), "its settings name no clockrate"),
    ):
        (tmp_path / "c.dat").write_bytes(content)
        with pytest.raises(CortseqError, match=words):
            Trodes(tmp_path / "c.dat")
    (tmp_path / "d.dat").write_bytes(b"other")
    assert not Trodes.opens(tmp_path / "d.dat") and not Trodes.opens(tmp_path / "none.dat")


def test_positions_beside_spikes_are_inputs_of_windows(tmp_path):
    """A ramp of 3 pixels a second from second 10 on; spikes of a .mat file on the same clock."""
    made = np.zeros(1200, RECORD)
    made["time"] = 300_000 + 500 * np.arange(1200)
    made["xloc"] = 100 + 3 * np.arange(1200) // 60
    write(tmp_path / "track.videoPositionTracking", records=made)
    times = np.sort(np.random.default_rng(0).uniform(10, 30, 400))
    savemat(tmp_path / "spikes.mat", {"times": times, "unit": np.arange(400) % 2})
    beside = {"path": "track.videoPositionTracking", "time": "time"}
    recording = cortseq.read(
        tmp_path / "spikes.mat", spike_times="times", spike_units="unit", bin_ms=500, window_ms=5000,
        inputs={"x": {"series": "xloc", "lag": 0, **beside}},
    )  # fmt: skip
    start = recording["start"].values[:, None] + recording["time"].values
    expected = 100 + 3 * (start + 0.25 - 10)
    inner = slice(1, -1)
    np.testing.assert_allclose(recording["inputs"].values[..., 0][inner], expected[inner], atol=1.6)
