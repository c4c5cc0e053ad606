"""Scripts of data/ that make or fetch recordings: on made-up originals, and on a real one where both ends are at hand."""

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.io import loadmat, savemat
from scipy.sparse import csc_array

from cortseq.errors import CortseqError

DATA = Path(__file__).parents[1] / "data"


def script(name):
    spec = importlib.util.spec_from_file_location(name, DATA / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_songs_of_an_annotation(tmp_path):
    from cortseq.sources.annotations import Annotations

    note = "<Note><Position>{}</Position><Length>3200</Length><Label>{}</Label></Note>"
    part = (
        "<Sequence><WaveFileName>{}.wav</WaveFileName><Position>{}</Position><Length>9</Length>{}</Sequence>"
    )
    text = [part.format(0, 32000, note.format(0, 4) + note.format(6400, 7)), part.format(0, 96000, note.format(0, 4)),
            part.format(1, 0, note.format(0, 5))]  # fmt: skip
    (tmp_path / "Annotation.xml").write_text(f"<Sequences>{''.join(text)}</Sequences>")
    out = tmp_path / "x.mat"
    assert script("convert_song").convert(tmp_path / "Annotation.xml", out) == 2
    raw = Annotations(path="x.mat", format="bengalese-finch-mat").load(out, 0)
    assert raw.attrs["labels"] == ["4", "5", "7"]
    np.testing.assert_array_equal(raw.symbols.where(raw.valid, -1), [[0, 2, 0], [1, -1, -1]])
    first = loadmat(out)["elements"][0, 0][0, 0]
    np.testing.assert_allclose(first["segFileStartTimes"].ravel(), [1.0, 1.2, 3.0])


def test_the_converted_songs_of_bird_0_are_those_of_its_annotation(mirror, tmp_path):
    """Both are in the mirror: the conversion of Bird 4, whose original is not, was made in the same way."""
    home = mirror / "birdsong-koumura"
    if not (home / "converted_Bird0.mat").is_file():
        pytest.skip("the mirror has no converted_Bird0.mat")
    found = list(script("convert_song").songs(home / "Annotation.xml").values())
    known = [cell[0, 0] for cell in loadmat(home / "converted_Bird0.mat")["elements"][0]]
    assert len(found) == len(known) == 135
    for ours, theirs in zip(found, known, strict=True):
        np.testing.assert_array_equal(ours[:, 2], theirs["segType"].ravel())
        np.testing.assert_allclose(ours[:, 0], theirs["segFileStartTimes"].ravel(), atol=1e-9)
        np.testing.assert_allclose(ours[:, 1], theirs["segFileEndTimes"].ravel(), atol=1e-9)


@pytest.mark.parametrize("form", [np.asarray, csc_array])
def test_head_direction(tmp_path, form):
    counts = np.random.default_rng(0).poisson(0.3, (50, 4))
    angle = np.column_stack([np.arange(50) / 100, np.linspace(0, 6, 50)])
    savemat(tmp_path / "dataHD.mat", {"Qrun": form(counts.astype(float)), "angRun": angle, "prefHD": 1})
    assert script("convert_head_direction").convert(tmp_path / "dataHD.mat", tmp_path / "wake.npz") == (50, 4)
    made = np.load(tmp_path / "wake.npz")
    np.testing.assert_array_equal(made["counts"], counts)
    np.testing.assert_allclose(made["time"], angle[:, 0])
    np.testing.assert_allclose(made["head_direction"], angle[:, 1], rtol=1e-6)


def test_head_direction_refuses_what_is_no_count(tmp_path):
    savemat(tmp_path / "x.mat", {"Qrun": np.full((5, 2), 0.5), "angRun": np.zeros((5, 2))})
    with pytest.raises(SystemExit, match="are not counts"):
        script("convert_head_direction").convert(tmp_path / "x.mat", tmp_path / "wake.npz")


def test_a_session_of_the_decision_task(tmp_path):
    """Unit 1 is noise, trial 1 not included; the spike 0.4 s after a stimulus is the first that is left out."""
    folder = tmp_path / "Cori_2016-12-14"
    folder.mkdir()
    content = {
        "spikes.times": [1.001, 1.005, 1.015, 1.02, 1.3999, 1.4, 5.001, 9.0],
        "spikes.clusters": [0, 0, 2, 1, 2, 2, 0, 0],
        "clusters._phy_annotation": [2, 1, 3], "clusters.peakChannel": [1, 2, 3],
        "trials.included": [True, False, True], "trials.visualStim_times": [1.0, 5.0, 9.0],
        "trials.visualStim_contrastLeft": [0.5, 0.0, 1.0], "trials.visualStim_contrastRight": [0.0, 0.0, 0.25],
        "trials.feedbackType": [1, -1, -1],
    }  # fmt: skip
    for name, values in content.items():
        np.save(folder / f"{name}.npy", np.array(values)[:, None])
    (folder / "channels.brainLocation.tsv").write_text("allen_ontology\tx\nMOs\t1\nACA\t2\nVISp\t3\n")
    assert script("convert_decision").convert(folder, tmp_path / "x.npz") == (2, 2, 40)
    made = np.load(tmp_path / "x.npz")
    assert made["brain_area"].tolist() == ["MOs", "VISp"]
    assert [made[key].item() for key in ("mouse", "date")] == ["Cori", "2016-12-14"]
    where = np.argwhere(made["spikes"]).tolist()
    assert where == [[0, 0, 0], [0, 1, 1], [0, 1, 39], [1, 0, 0]] and made["spikes"][0, 0, 0] == 2
    assert made["contrast_right"].tolist() == [0.0, 0.25] and made["feedback"].tolist() == [1, -1]


def test_a_file_of_figshare_is_found_by_name():
    get = script("get")
    listed = {"files": [{"name": "a.csv", "download_url": "https://example.org/1"}]}
    assert get.figshare("1", "a.csv", listed) == "https://example.org/1"
    with pytest.raises(CortseqError, match=r"no such file.*it has \['a.csv'\]"):
        get.figshare("1", "b.csv", listed)


def test_an_asset_of_dandi_is_found_by_its_digest():
    get = script("get")
    assets = [
        SimpleNamespace(
            get_raw_metadata=lambda k=k: {"digest": {"dandi:sha2-256": k}}, download_url=f"https://x/{k}"
        )
        for k in ("aa", "bb")
    ]
    client = SimpleNamespace(get_dandiset=lambda name: SimpleNamespace(get_assets=lambda: assets))
    assert get.dandi("000009", "bb", client) == "https://x/bb"
    with pytest.raises(CortseqError, match="no asset"):
        get.dandi("000009", "cc", client)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("figshare 1", r"^usage: python data/get\.py figshare\|dandi NUMBER FILE SHA256$"),
        ("zenodo 1 a.csv 00", r"is no archive known here.*choose one of figshare, dandi$"),
        ("figshare 1 a.csv 00", r"^1: figshare does not answer as expected \(URLError: .*\)$"),
        ("dandi 1 a.nwb 00", r"needs the package dandi \(.*\) -- pip install dandi$"),
    ],
)
def test_what_cannot_be_fetched_is_one_line(given, said, tmp_path, monkeypatch):
    get = script("get")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(get, "FIGSHARE", "http://127.0.0.1:9/{}")  # nobody answers
    monkeypatch.setitem(sys.modules, "dandi.dandiapi", None)  # not installed
    with pytest.raises(SystemExit, match=said) as ended:
        get.main(given.split())
    assert "\n" not in str(ended.value) and not (tmp_path / "data").exists()


def test_another_content_is_not_kept(tmp_path, monkeypatch):
    get = script("get")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(get.download, "download", lambda url, temporary, target: temporary.write_bytes(b"x"))
    with pytest.raises(CortseqError, match="not that of the study"):
        get.place("https://example.org/x", "x.csv", "0" * 64)
    assert not list((tmp_path / "data/raw").glob("x.csv*"))
    made = get.place("https://example.org/x", "x.csv", hashlib.sha256(b"x").hexdigest())
    assert made.read_bytes() == b"x"
