"""Files of CaImAn: which traces there are, which components are kept, where the frame rate comes from."""

import numpy as np
import pytest

from cortseq.errors import CortseqError
from cortseq.sources.caiman import Caiman

TRACES = np.arange(3 * 50.0).reshape(3, 50)


@pytest.fixture
def write(tmp_path):
    h5py = pytest.importorskip("h5py")

    def make(**content):
        with h5py.File(tmp_path / "x.hdf5", "w") as file:
            for key, value in {"estimates/C": TRACES, "params/data/fr": 20.0, **content}.items():
                file[key.replace("__", "/")] = value
        return tmp_path / "x.hdf5"

    return make


def load(file, **entry):
    return Caiman.model_validate({"path": "x.hdf5", "signal": "C", **entry}).load(file, 0)


def test_without_an_evaluation_all_components_are_kept(write):
    raw = load(write(estimates__idx_components=b"NoneType"))
    np.testing.assert_array_equal(raw.signal, TRACES.T)
    assert raw.attrs["bin_width"] == 1 / 20


def test_the_rate_of_the_study_goes_before_that_of_the_file(write):
    assert load(write(), frame_rate_hz=5.0).attrs["bin_width"] == 1 / 5


@pytest.mark.parametrize(
    ("content", "entry", "message"),
    [
        ({}, {"signal": "F_dff"}, r"signal: the file has no such traces .*'F_dff'.* it has \['C'\]"),
        ({"estimates__F_dff": b"NoneType"}, {"signal": "F_dff"}, "no such traces"),
        ({"estimates__idx_components": [0, 3]}, {}, "idx_components: are not numbers of 3 components"),
        ({"estimates__idx_components": np.zeros(0, int)}, {}, "no component was accepted"),
        ({"params/data/fr": b"NoneType"}, {}, "frame_rate_hz: the file has no frame rate"),
        ({"params/data/fr": np.inf}, {}, "frame_rate_hz: the file has no frame rate"),
        ({"estimates/C": b"x"}, {}, "is no file of CaImAn"),
    ],
)
def test_what_is_missing_is_said_in_one_line(write, content, entry, message):
    with pytest.raises(CortseqError, match=message) as error:
        load(write(**content), **entry)
    assert len(str(error.value).splitlines()) == 1


def test_inspect_says_what_is_there(write):
    said = "\n".join(Caiman.inspect(write(estimates__idx_components=[0, 2])))
    assert "20 frames/s" in said and "components: 3, 2 of them accepted" in said


def test_an_infinite_frame_rate_is_none(write):
    file = write(**{"params/data/fr": np.inf})
    assert "give frame_rate_hz" in "\n".join(Caiman.inspect(file))
