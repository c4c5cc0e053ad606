"""Raw files are found by name and sha256, and never half there."""

import pytest

from cortseq import fetch, store
from cortseq.errors import CortseqError
from cortseq.sources.text import SOURCE as Text


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CORTSEQ_MIRRORS", str(tmp_path / "mirror"))
    for folder in ("mirror/a", "mirror/b"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "mirror/a/song.txt").write_text("abc\n")
    return tmp_path


def _source(**more):
    return Text(source="text", path="song.txt", **more)


def test_found_in_a_subfolder_of_a_mirror(here):
    source = _source()
    target = fetch.raw_path(source)
    fetch.fetch(source, target, [])
    assert target.parent.parent == fetch.CACHE and target.read_text() == "abc\n"
    assert not (here / "data/raw").exists() and fetch.raw_path(source) == target


def test_two_different_files_of_one_name_need_a_sha256(here):
    (here / "mirror/b/song.txt").write_text("xyz\n")
    with pytest.raises(CortseqError, match="2 different files"):
        fetch.find(_source(), [])
    wanted = store.sha256(here / "mirror/b/song.txt")
    assert fetch.find(_source(sha256=wanted), []).read_text() == "xyz\n"


def test_wrong_sha256_is_one_line_and_leaves_nothing(here):
    source = _source(sha256="0" * 64)
    with pytest.raises(CortseqError, match=r"song\.txt: sha256"):
        fetch.fetch(source, fetch.raw_path(source), [])
    assert not (here / "data").exists()


def test_a_file_in_data_raw_comes_first(here):
    (here / "data/raw").mkdir(parents=True)
    (here / "data/raw/song.txt").write_text("mine\n")
    assert fetch.raw_path(_source()).read_text() == "mine\n"
    fetch.available(_source(), [])


def test_missing_file_says_where_it_was_looked_for(here):
    with pytest.raises(CortseqError, match=r"gone\.txt.*mirror"):
        fetch.available(Text(source="text", path="gone.txt"), [])


def test_missing_package_names_the_pip_command(here):
    with pytest.raises(CortseqError, match="pip install no_such_package"):
        fetch.available(Text(source="text", path="x.txt", package="no_such_package"), [])
