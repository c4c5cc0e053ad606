"""Facts from the user's cache: what is found again, and what a check does not remember."""

import json

import pytest

from cortseq import checking, cli, remembering, store
from cortseq.errors import CortseqError
from cortseq.remembering import remembered


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_facts_are_found_once_and_keep_their_order():
    found = [{"b": 1.5, "a": [1, 2]}, {"b": 2}]
    assert [remembered("x", facts.copy) for facts in found] == [found[0]] * 2
    assert list(remembered("x", dict)) == ["b", "a"]
    assert remembered("y", lambda: found[1]) == found[1]


def test_without_a_key_and_after_an_error_they_are_found_again():
    assert [remembered("", {"n": n}.copy)["n"] for n in (1, 2)] == [1, 2]

    def fails():
        raise CortseqError("no file")

    with pytest.raises(CortseqError):
        remembered("x", fails)
    assert remembered("x", lambda: {"n": 3}) == {"n": 3}


def test_a_cache_that_is_not_whole_or_cannot_be_written_changes_nothing(home):
    file = store.user_cache(remembering.FILE)
    file.parent.mkdir(parents=True)
    file.write_text("{")
    assert remembered("x", lambda: {"n": 1}) == {"n": 1}
    file.unlink()
    file.mkdir()
    assert remembered("x", lambda: {"n": 2}) == {"n": 2}


def test_the_oldest_facts_go_first(monkeypatch):
    monkeypatch.setattr(remembering, "_MOST", 3)
    for name in "abcd":
        remembered(name, lambda: {"n": 1})
    assert list(json.loads(store.user_cache(remembering.FILE).read_text())) == ["b", "c", "d"]


def check(home, rows: str, capsys) -> str:
    """What a check prints of a table of spikes, without its estimates."""
    entry = "{source: text, path: spikes.txt, content: spikes, columns: [unit, time], window_ms: 1000, bin_ms: 50}"
    (home / "x.yaml").write_text(f"study: x\ndatasets: {{d: {entry}}}\n{rows}")
    assert cli.main(["check", "x.yaml"]) == 0
    said = capsys.readouterr().out.splitlines()
    return "\n".join(line for line in said if "estimate" not in line)


def spikes(home, last: float) -> None:
    lines = [f"{i % 3} {i * last / 300:.3f}" for i in range(300)]
    (home / "spikes.txt").write_text("\n".join(lines))


def test_a_check_reads_again_what_changed_and_nothing_else(home, monkeypatch, capsys):
    read = []
    found = checking._found
    monkeypatch.setattr(checking, "_found", lambda *given: read.append(given[1]) or found(*given))
    spikes(home, 40.0)
    first = check(home, "", capsys)
    assert check(home, "", capsys) == first and len(read) == 1
    check(
        home, "models: {flat: {family: flat}}\n", capsys
    )  # other networks are compared: the signs may differ
    assert len(read) == 2
    check(home, "models: {psth: {family: psth}}\n", capsys)
    assert len(read) == 2
    spikes(home, 60.0)
    assert check(home, "", capsys) != first and len(read) == 3
    check(home, "seed: 5\n", capsys)
    assert len(read) == 4
