"""Sources read files as they are, and say in one line what is wrong with them."""

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from cortseq.errors import CortseqError, MissingExtra
from cortseq.sources import registry
from cortseq.sources.annotations import Annotations
from cortseq.sources.npz import Npz
from cortseq.sources.nwb import Nwb
from cortseq.sources.text import Text


def mirror(name: str) -> Path:
    """A real recording; the test skips where no mirror has it."""
    for folder in filter(None, os.environ.get("CORTSEQ_MIRRORS", "").split(os.pathsep)):
        if found := next(Path(folder).rglob(name), None):
            return found
    pytest.skip(f"{name} is in no folder of CORTSEQ_MIRRORS")


def one_line(error: pytest.ExceptionInfo) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def test_every_module_is_a_source_named_like_its_file():
    for name, source in registry().items():
        assert source.model_fields["source"].default == name


# ------------------------------------------------------------------------------------------- npz

SPIKES = {
    "t": np.array([0.0, 5.0, 10.0, 1.0]),
    "trial": np.array([0, 0, 2, 1]),
    "unit": np.array([3, 7, 3, 3]),
}
LIST = {"spike_times": "t", "spike_trials": "trial", "spike_units": "unit", "time_unit": "ms"}
COUNTS = np.arange(24).reshape(2, 3, 4).astype(np.uint8)


@pytest.fixture
def load(tmp_path):
    def load(arrays, **entry):
        file = tmp_path / "x.npz"
        np.savez(file, **arrays)
        return Npz(path=str(file), **entry).load(file, 0)

    return load


def test_spike_list_becomes_events(load):
    raw = load(SPIKES, **LIST)
    assert raw.attrs["form"] == "events"
    np.testing.assert_allclose(raw.event_time, [0, 0.005, 0.01, 0.001])
    np.testing.assert_array_equal(raw.unit, [3, 7])
    np.testing.assert_array_equal(raw.event_unit, [0, 1, 0, 0])
    assert raw.sizes["trial"] == 3


def test_covariates_fix_the_number_of_trials(load):
    raw = load({**SPIKES, "c": np.arange(5.0)[:, None]}, **LIST, covariates={"side": "c"})
    np.testing.assert_array_equal(raw.covariate_side, np.arange(5.0))
    assert raw.sizes["trial"] == 5


def test_trials_may_be_counted_from_one(load):
    one = {**SPIKES, "trial": SPIKES["trial"] + 1, "c": np.arange(3)}
    assert load(one, **LIST, covariates={"c": "c"}, first_trial=1).event_trial.max() == 2
    with pytest.raises(CortseqError, match=r"spike_trials.*1 to 3.*first_trial") as error:
        load(one, **LIST, covariates={"c": "c"})
    one_line(error)


def test_labelled_units_keep_the_silent_ones(load):
    areas = np.array(list("abcdefgh"))
    raw = load({**SPIKES, "area": areas}, **LIST, units={"area": "area"})
    assert raw.sizes["unit"] == 8 and list(raw.area.values) == list("abcdefgh")
    np.testing.assert_array_equal(raw.event_unit, SPIKES["unit"])
    with pytest.raises(CortseqError, match=r"spike_units.*3 to 7, 4 are labelled"):
        load({**SPIKES, "area": areas[:4]}, **LIST, units={"area": "area"})


def test_spikes_without_trials_keep_absolute_times(load):
    raw = load(SPIKES, spike_times="t", spike_units="unit")
    assert "event_trial" not in raw and raw.event_time.max() == 10


def test_dense_array_with_named_axes(load):
    arrays = {"y": COUNTS, "area": np.array(["a", "b", "a"]), "c": np.array([[1.0], [2.0]])}
    raw = load(arrays, counts="y", native_bin_ms=10, units={"area": "area"}, covariates={"c": "c"})
    assert raw.counts.dims == ("trial", "time", "unit") and raw.attrs["bin_width"] == 0.01
    np.testing.assert_array_equal(raw.counts, COUNTS.transpose(0, 2, 1))
    assert list(raw.area.values) == ["a", "b", "a"] and raw.area.dims == ("unit",)
    np.testing.assert_array_equal(raw.covariate_c, [1, 2])


def test_continuous_signal_with_times(load):
    arrays = {
        "f": np.random.default_rng(0).normal(size=(2, 50)),
        "s": 3 + 0.6 * np.arange(50),
        "v": np.arange(50),
    }
    raw = load(arrays, signal="f", axes=["channel", "time"], time="s", covariates={"v": "v"})
    assert raw.signal.dims == ("time", "channel") and raw.attrs["bin_width"] == pytest.approx(0.6)
    np.testing.assert_array_equal(raw.time_v, arrays["s"])
    assert raw.series_v.dims == ("time_v",)


DENSE = {"counts": "y", "native_bin_ms": 10}


@pytest.mark.parametrize(
    ("arrays", "entry", "message"),
    [
        (
            SPIKES,
            {**LIST, "spike_times": "times"},
            r"x\.npz: spike_times:.*'times'.*\['t', 'trial', 'unit'\]",
        ),
        (
            {**SPIKES, "t": np.array([0, np.nan, 1, 2])},
            LIST,
            "spike_times: t: 1 of 4 times are NaN or infinite",
        ),
        ({**SPIKES, "t": np.array([0, np.inf, 1, 2])}, LIST, "1 of 4 times are NaN or infinite"),
        ({**SPIKES, "t": np.zeros(3)}, LIST, "spike_units: has 4 values, 3 are needed"),
        ({**SPIKES, "unit": np.array([0.5, 1, 1, 1])}, LIST, "spike_units: must be whole numbers"),
        ({k: v[:0] for k, v in SPIKES.items()}, LIST, "spike_times: holds no spikes"),
        ({"y": COUNTS.astype(int) - 1}, DENSE, r"counts: y: counts must be whole numbers >= 0.*got -1\.0"),
        ({"y": COUNTS + 0.5}, DENSE, r"whole numbers >= 0.*got 0\.5"),
        ({"y": np.where(COUNTS == 3, np.nan, COUNTS)}, DENSE, "whole numbers >= 0.*got nan"),
        ({"y": COUNTS[:0]}, DENSE, "the array is empty"),
        ({"y": COUNTS[0]}, DENSE, r"axes: the array has shape \(3, 4\)"),
        ({"y": COUNTS.astype(object)}, DENSE, "y: holds Python objects .pickle."),
        (
            {"y": COUNTS, "c": np.ones(3)},
            {**DENSE, "covariates": {"c": "c"}},
            "covariates.c: has 3 values, 2",
        ),
        (
            {"y": COUNTS, "c": np.ones(())},
            {**DENSE, "covariates": {"c": "c"}},
            "covariates.c: must be one value",
        ),
        ({"y": COUNTS, "a": np.ones(4)}, {**DENSE, "units": {"a": "a"}}, "units: has 4 values, 3 are needed"),
        ({"y": np.full((2, 3, 4), np.inf)}, {"signal": "y", "native_bin_ms": 1}, "signal: y: .*finite"),
        (
            {"y": COUNTS[0], "t": np.array([0, 1, 1.5, 9])},
            {"counts": "y", "axes": ["unit", "time"], "time": "t"},
            "time: times are irregular.*native_bin_ms",
        ),
        (
            {"y": COUNTS[0], "t": np.array([0, 2, 1, 3])},
            {"counts": "y", "axes": ["unit", "time"], "time": "t"},
            "time: time runs backwards",
        ),
    ],
)
def test_bad_arrays_end_with_one_line(load, arrays, entry, message):
    with pytest.raises(CortseqError, match=message) as error:
        load(arrays, **entry)
    assert "x.npz" in one_line(error)


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x93NUMPY"])
def test_what_is_no_archive_is_refused(tmp_path, content):
    file = tmp_path / "x.npz"
    file.write_bytes(content)
    with pytest.raises(CortseqError, match="is not an npz archive") as error:
        Npz(path="x.npz", **DENSE).load(file, 0)
    one_line(error)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"counts": "y"}, "native_bin_ms: is needed"),
        ({"counts": "y", "signal": "y", "native_bin_ms": 1}, "give exactly one"),
        ({"native_bin_ms": 1}, "give exactly one"),
        ({**DENSE, "axes": ["trial", "unit"]}, "hold time"),
        ({**DENSE, "axes": ["trial", "neuron", "time"]}, "axes"),
        ({**DENSE, "time": "t"}, "axis trial"),
        ({**LIST, "time_unit": "min"}, "time_unit"),
    ],
)
def test_contradictory_entries_are_refused(entry, message):
    with pytest.raises(ValidationError, match=message):
        Npz(path="x.npz", **entry)


# ------------------------------------------------------------------------------ text, annotations


def text(tmp_path, content, **entry):
    file = tmp_path / "x.txt"
    file.write_bytes(content)
    return Text(path="x.txt", **entry).load(file, 0)


def test_text_is_one_sequence_per_line(tmp_path):
    raw = text(tmp_path, b"abb\n\nca\n")
    assert raw.attrs["labels"] == ["a", "b", "c"] and raw.attrs["n_symbols"] == 3
    np.testing.assert_array_equal(raw.symbols.values[raw.valid.values], [0, 1, 1, 2, 0])
    np.testing.assert_array_equal(raw.valid.sum("time"), [3, 2])
    assert json.loads(raw.attrs["dirt"]) == {"empty_sequences": 1}


def test_separated_labels_that_are_numbers_sort_as_numbers(tmp_path):
    raw = text(tmp_path, b"10, 9\n9,2", separator=",")
    assert raw.attrs["labels"] == ["2", "9", "10"]
    np.testing.assert_array_equal(raw.symbols, [[2, 1], [1, 0]])


@pytest.mark.parametrize(
    ("content", "entry", "message"),
    [
        (b"", {}, "holds no symbols"),
        (b"\n \n", {}, "holds no symbols"),
        (
            b"abx\n",
            {"alphabet": ["a", "b"]},
            r"alphabet: a label lies outside the alphabet \['a', 'b'\].*'x'",
        ),
        (b"\xff\xfe\x00", {}, "is not UTF-8"),
    ],
)
def test_bad_text_ends_with_one_line(tmp_path, content, entry, message):
    with pytest.raises(CortseqError, match=message) as error:
        text(tmp_path, content, **entry)
    assert "x.txt" in one_line(error)


def test_symbols_have_no_covariates():
    with pytest.raises(ValidationError, match="covariates: a source of symbols has none"):
        Text(path="x.txt", covariates={"a": "b"})


XML = """<Sequences><NumSequence>3</NumSequence>{}</Sequences>"""
STRETCH = """<Sequence><WaveFileName>{}</WaveFileName><Position>{}</Position><Length>90</Length>
<NumNote>2</NumNote><Note><Position>1</Position><Length>9</Length><Label>{}</Label></Note>
<Note><Position>20</Position><Length>9</Length><Label>{}</Label></Note></Sequence>"""


def test_stretches_of_one_sound_file_are_one_song(tmp_path):
    file = tmp_path / "Annotation.xml"
    stretches = [("0.wav", 0, "b", "a"), ("0.wav", 100, "a", "a"), ("1.wav", 0, "c", "b")]
    file.write_text(XML.format("".join(STRETCH.format(*s) for s in stretches)))
    raw = Annotations(path="x.xml", format="birdsong-recognition-dataset").load(file, 0)
    np.testing.assert_array_equal(raw.symbols, [[1, 0, 0, 0], [2, 1, 0, 0]])
    np.testing.assert_array_equal(raw.valid.sum("time"), [4, 2])


@pytest.mark.parametrize("content", ["", "<Sequences></Sequences>", "<a><Sequence/></a>", "no xml"])
def test_bad_annotations_end_with_one_line(tmp_path, content):
    file = tmp_path / "Annotation.xml"
    file.write_text(content)
    with pytest.raises(CortseqError, match=r"Annotation\.xml: is not an annotation") as error:
        Annotations(path="x.xml", format="birdsong-recognition-dataset").load(file, 0)
    one_line(error)


def test_unknown_format_is_refused():
    with pytest.raises(ValidationError, match=r"format\n.*birdsong-recognition-dataset"):
        Annotations(path="x.xml", format="praat")


@pytest.mark.parametrize(
    ("module", "source", "extra"),
    [
        (
            "crowsetta",
            Annotations(path="x", format="generic-seq"),
            "annotations",
        ),
        ("pynwb", Nwb(path="x"), "nwb"),
    ],
)
def test_a_missing_package_names_the_command(tmp_path, monkeypatch, module, source, extra):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=rf"pip install 'cortseq\[{extra}\]'"):
        source.load(tmp_path / "x", 0)


def songs_mat(file, songs, field="segType"):
    from scipy.io import savemat

    elements = np.array([{field: np.array(s, float), "filenum": "0"} for s in songs], dtype=object)
    savemat(file, {"elements": elements, "keys": np.arange(len(songs))})
    return Annotations(path="x.mat", format="bengalese-finch-mat").load(file, 0)


def test_matlab_songs(tmp_path):
    raw = songs_mat(tmp_path / "x.mat", [[0, 2, 10], [2]])
    assert raw.attrs["labels"] == ["0", "2", "10"]
    np.testing.assert_array_equal(raw.symbols, [[0, 1, 2], [1, 0, 0]])
    for bad, field in [([[0.5, 1], [1]], "segType"), ([[np.nan], [1]], "segType"), ([[1], [1]], "other")]:
        with pytest.raises(CortseqError, match=r"x\.mat: is not a MATLAB file of songs") as error:
            songs_mat(tmp_path / "x.mat", bad, field)
        one_line(error)


def test_matlab_file_without_songs(tmp_path):
    from scipy.io import savemat

    savemat(tmp_path / "x.mat", {"spikes": np.ones(3)})
    with pytest.raises(CortseqError, match=r"elements: no such variable.*\['spikes'\]"):
        Annotations(path="x.mat", format="bengalese-finch-mat").load(tmp_path / "x.mat", 0)


# ------------------------------------------------------------------------------------------- nwb


@pytest.fixture
def nwb_file(tmp_path):
    pynwb = pytest.importorskip("pynwb")

    def write(spikes=((0.5, 1.5, 12.0), (), (2.0, 0.1)), long=500.0):
        nwb = pynwb.NWBFile("test", "id", datetime(2024, 1, 1, tzinfo=UTC))
        nwb.add_unit_column("area", "where")
        for times, area in zip(spikes, "aab", strict=True):
            nwb.add_unit(spike_times=np.array(times, float), area=area)
        nwb.add_trial_column("cue", "s")
        nwb.add_trial_column("side", "choice")
        for i, (start, stop) in enumerate([(0, 1), (1, 3), (3, 3 + long), (10, 11), (11, 13)]):
            cue = np.nan if i == 1 else start + 0.2
            nwb.add_trial(start_time=float(start), stop_time=float(stop), cue=cue,
                          side="left" if i % 2 else "right")  # fmt: skip
        nwb.add_acquisition(pynwb.TimeSeries(name="speed", data=np.arange(8.0), unit="m/s", rate=2.0))
        series = pynwb.TimeSeries(name="xy", data=np.ones((4, 2)), unit="m", timestamps=np.arange(4.0))
        nwb.add_acquisition(series)
        with pynwb.NWBHDF5IO(str(tmp_path / "x.nwb"), "w") as io:
            io.write(nwb)
        return tmp_path / "x.nwb"

    return write


def nwb(file, **entry):
    return Nwb(path=str(file), **entry).load(file, 0)


def test_nwb_trials_and_units(nwb_file):
    raw = nwb(nwb_file(), align="cue", covariates={"side": "side", "speed": "speed"})
    np.testing.assert_allclose(raw.event_time, [0.5, 1.5, 12.0, 2.0, 0.1])  # as they are stored
    np.testing.assert_array_equal(raw.event_unit, [0, 0, 0, 2, 2])
    assert raw.sizes["unit"] == 3 and list(raw.area.values) == ["a", "a", "b"]
    np.testing.assert_allclose(raw.interval_start, [0, 10, 11])
    np.testing.assert_allclose(raw.interval_stop, [1, 11, 13])
    np.testing.assert_allclose(raw.interval_align, [0.2, 10.2, 11.2])
    assert list(raw.covariate_side.values) == ["right", "left", "right"]
    np.testing.assert_allclose(raw.time_speed, np.arange(8) / 2)
    assert json.loads(raw.attrs["dirt"]) == {"trials_too_long": 1, "trials_without_align": 1}


def test_nwb_without_alignment_starts_at_the_trial(nwb_file):
    raw = nwb(nwb_file(), max_trial_s=1.5)
    np.testing.assert_allclose(raw.interval_align, [0, 10])
    assert json.loads(raw.attrs["dirt"]) == {"trials_too_long": 3}


def test_nwb_windows_need_no_table(nwb_file):
    raw = nwb(nwb_file(), window_ms=1000, covariates={"x": "xy[1]"})
    assert "interval_start" not in raw and raw.series_x.shape == (4,)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"intervals": "epochs"}, r"intervals:.*no such interval table.*'epochs'.*\['trials'\]"),
        ({"align": "go"}, "align: the table trials has no such column.*'go'"),
        ({"align": "side"}, "align: is not a column of times"),
        ({"max_trial_s": 0.5}, "max_trial_s: no trial is left"),
        ({"covariates": {"v": "pupil"}}, r"covariates\.v: neither a column.*'pupil'.*speed"),
        ({"covariates": {"v": "xy"}}, r"covariates\.v: the series has 2 columns"),
        ({"covariates": {"v": "xy[2]"}}, r"covariates\.v: the series has 2 columns"),
        ({"window_ms": 500, "align": "cue"}, "align: is of no use with window_ms a number"),
    ],
)
def test_bad_nwb_entries_end_with_one_line(nwb_file, entry, message):
    with pytest.raises(CortseqError, match=message) as error:
        nwb(nwb_file(), **entry)
    assert "x.nwb" in one_line(error)


def test_nwb_times_must_be_finite(nwb_file):
    with pytest.raises(CortseqError, match=r"units\.spike_times: 1 of 4 times are NaN or infinite"):
        nwb(nwb_file(spikes=((0.5, np.nan), (), (2.0, 0.1))))


@pytest.mark.parametrize("content", [b"", b"not HDF5"])
def test_what_is_no_nwb_file_is_refused(tmp_path, content):
    pytest.importorskip("pynwb")
    (tmp_path / "x.nwb").write_bytes(content)
    with pytest.raises(CortseqError, match=r"x\.nwb: is not a readable NWB file") as error:
        nwb(tmp_path / "x.nwb")
    one_line(error)


# ------------------------------------------------------------------------------------ real files


def test_rat_motor_cortex():
    file = mirror("motor_ctx_data.npz")
    raw = Npz(
        path="x", spike_times="spiketimes", spike_trials="trial_ids", spike_units="neuron_ids",
        time_unit="ms", covariates={"tap2": "tap2"},
    ).load(file, 0)  # fmt: skip
    assert (raw.sizes["event"], raw.sizes["unit"], raw.sizes["trial"]) == (648889, 30, 1266)
    assert 0 <= raw.event_time.min() and raw.event_time.max() == pytest.approx(1.999)


def test_steinmetz_session():
    file = mirror("session02.npz")
    raw = Npz(
        path="x", counts="spikes", native_bin_ms=10, units={"area": "brain_area"},
        covariates={"left": "contrast_left"},
    ).load(file, 0)  # fmt: skip
    assert raw.counts.shape == (251, 40, 1070) and raw.area.shape == (1070,)
    assert raw.covariate_left.shape == (251,) and raw.counts.sum() == np.load(file)["spikes"].sum()


def test_head_direction_cells():
    file = mirror("wake.npz")
    entry = {"path": "x", "counts": "counts", "axes": ["time", "unit"], "time": "time"}
    raw = Npz(**entry, native_bin_ms=10, covariates={"angle": "head_direction"}).load(file, 0)
    assert raw.counts.shape == (212078, 19) and raw.series_angle.shape == (212078,)
    assert (np.diff(raw.time) == 0).any() and np.diff(raw.time).max() > 1
    with pytest.raises(CortseqError, match="native_bin_ms"):
        Npz(**entry).load(file, 0)


@pytest.mark.parametrize(
    ("name", "form", "expected"),
    [
        ("Annotation.xml", "birdsong-recognition-dataset", (135, 7652, 9)),
        ("converted_Bird0.mat", "bengalese-finch-mat", (135, 7652, 9)),
        ("converted_Bird4.mat", "bengalese-finch-mat", (441, 26891, 5)),
    ],
)
def test_bengalese_finch_songs(name, form, expected):
    raw = Annotations(path="x", format=form).load(mirror(name), 0)
    assert (raw.sizes["trial"], int(raw.valid.sum()), raw.attrs["n_symbols"]) == expected


def test_both_forms_of_bird_0_agree():
    xml = Annotations(path="x", format="birdsong-recognition-dataset").load(mirror("Annotation.xml"), 0)
    mat = Annotations(path="x", format="bengalese-finch-mat").load(mirror("converted_Bird0.mat"), 0)

    def songs(raw):
        return sorted(tuple(s[v]) for s, v in zip(raw.symbols.values, raw.valid.values, strict=True))

    assert songs(xml) == songs(mat)


def test_bird_0_ships_with_crowsetta():
    crowsetta = pytest.importorskip("crowsetta")
    file = Path(crowsetta.__file__).parent / "examples/Annotation.xml"
    raw = Annotations(path="x", format="birdsong-recognition-dataset").load(file, 0)
    assert (raw.sizes["trial"], int(raw.valid.sum()), raw.attrs["n_symbols"]) == (135, 7652, 9)


def test_cooled_songs_as_text():
    raw = Text(path="x").load(mirror("0mA_annot_observed_sequences.txt"), 0)
    assert (raw.sizes["trial"], int(raw.valid.sum()), raw.attrs["n_symbols"]) == (857, 7948, 6)


def test_mouse_alm_file():
    file = mirror("sub_anm00239123_ses_20170627T093549_ecephys_and_ogen.nwb")
    raw = nwb(file, align="cue_start_time", covariates={"type": "type"})
    assert (raw.sizes["event"], raw.sizes["unit"], raw.sizes["trial"]) == (34057, 4, 342)
    assert json.loads(raw.attrs["dirt"]) == {"trials_too_long": 2, "trials_without_align": 68}
    assert (raw.interval_stop - raw.interval_start).max() < 90


def test_nwb_file_without_trials():
    raw = nwb(mirror("A8604-211122.nwb"))
    assert (raw.sizes["event"], raw.sizes["unit"]) == (21354, 3) and "interval_start" not in raw
