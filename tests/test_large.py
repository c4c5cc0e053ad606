"""A file of 10 GB is described in seconds and less than 1 GB of memory; `python tests/large.py` prints the table."""

import shutil

import numpy as np
import pytest
from large import ENTRIES, NAME, check, fluorescence, run, write

from cortseq import preprocess
from cortseq.sources.nwb import Nwb

SECONDS, MEGABYTES, GIGABYTES = 60, 1000, 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pytest.importorskip("pynwb")
    made = tmp_path_factory.mktemp("large")
    if shutil.disk_usage(made).free < 2 * GIGABYTES * 1e9:
        pytest.skip("the disk has too little free space")
    write(made / NAME, GIGABYTES)
    assert (made / NAME).stat().st_blocks * 512 >= GIGABYTES * 1e9  # every byte was written
    yield made
    (made / NAME).unlink()


@pytest.mark.slow
@pytest.mark.parametrize("words", ENTRIES)
def test_check(folder, words):
    found = check(words, folder)
    assert found.status == 0, found.out
    assert found.seconds < SECONDS and found.peak_mb < MEGABYTES, found


@pytest.mark.slow
def test_inspect_and_new(folder):
    for arguments in (["inspect", NAME], ["new", NAME, "-o", "new.yaml"]):
        found = run(arguments, folder)
        assert found.status == 0, found.out
        assert found.seconds < SECONDS and found.peak_mb < MEGABYTES, found
    assert "source: nwb" in (folder / "new.yaml").read_text()


@pytest.mark.slow
def test_windows_hold_what_the_file_holds(folder):
    entry = {"path": NAME, "signal": "dff", "window_ms": [0, 2000], "max_trials": 20}
    source = Nwb.model_validate(entry)
    recording = preprocess.judged(source.load(folder / NAME, 0), source)
    first = np.ceil((10 + 17.5 * np.arange(20)) * 30 - 1e-6).astype(int)
    frames = first[:, None] + np.arange(60)
    region = np.arange(recording.sizes["channel"])
    np.testing.assert_allclose(
        recording.signal, fluorescence(frames[..., None], region), rtol=1e-5, atol=1e-4
    )


def test_a_small_file_of_the_same_layout(tmp_path):
    """The same without the bytes, so that the slow tests do not rot."""
    pytest.importorskip("pynwb")
    write(tmp_path / NAME, 0.03)
    found = check("dF/F, 20 windows of 2 s", tmp_path)
    assert found.status == 0 and "20 trials x 60 bins x 6 channels" in found.out, found.out
