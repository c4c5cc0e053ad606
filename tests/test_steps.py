"""Steps of a study: when one is made again, what a script is handed, how steps share a job."""

import json
from pathlib import Path

import pytest

from cortseq import store
from cortseq.steps import AGAIN, Batch, Named, Step, batches, make

SCRIPT = """
from pathlib import Path

from cortseq.jobs import job

with job(snakemake, may_fail=bool(snakemake.params.may_fail)) as say:
    words = [Path(file).read_text() for file in snakemake.input.words]
    if "bad" in words:
        raise ValueError("a bad word")
    Path(snakemake.output.text).write_text(snakemake.params.between.join(words))
    say("joined")
"""


def step(out: Path, name: str = "join/a", words=("one", "two"), **changes) -> Step:
    """A step that joins files of words."""
    known = {
        "script": "join",
        "out": str(out),
        "name": name,
        "given": {"words": [str(out / word) for word in words]},
        "made": {"text": str(out / f"{name.replace('/', '_')}.txt")},
        "params": {"between": " ", "may_fail": True, "code": "c0de"},
        "key": {"variant": "a"},
    }
    return Step(**{**known, **changes})


@pytest.fixture
def out(tmp_path):
    (tmp_path / "join.py").write_text(SCRIPT)
    for word in ("one", "two", "bad"):
        (tmp_path / word).write_text(word)
    return tmp_path


def run(out: Path, *steps: Step) -> int:
    """How many of the steps were made."""
    return make(steps, out, 1, {})[0]


def test_a_step_is_made_once(out):
    assert run(out, step(out)) == 1 and (out / "join_a.txt").read_text() == "one two"
    assert run(out, step(out)) == 0
    assert "joined" in Path(step(out).log).read_text()


def test_dates_do_not_count(out):
    run(out, step(out))
    for file in (out / "one", out / "join_a.txt"):
        file.touch()
    assert run(out, step(out)) == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"params": {"between": "-", "may_fail": True, "code": "c0de"}},
        {"params": {"between": " ", "may_fail": True, "code": "0ther"}},
        {"key": {"variant": "b"}},
        {"words": ("two", "one")},
    ],
)
def test_another_setting_code_or_order_makes_it_again(out, changes):
    run(out, step(out))
    assert run(out, step(out, **changes)) == 1
    assert run(out, step(out, **changes)) == 0


@pytest.mark.parametrize("file", ["one", "join_a.txt"])
def test_another_content_makes_it_again(out, file):
    run(out, step(out))
    (out / file).write_text("three")
    assert run(out, step(out)) == 1
    assert (out / "join_a.txt").read_text() == ("three two" if file == "one" else "one two")


def test_a_lost_output_or_note_makes_it_again(out):
    run(out, step(out))
    (out / "join_a.txt").unlink()
    assert run(out, step(out)) == 1
    step(out).note.unlink()
    assert run(out, step(out)) == 1


def test_what_is_asked_for_again_is_made_again(out, monkeypatch):
    run(out, step(out))
    monkeypatch.setenv(AGAIN, "1")
    assert run(out, step(out)) == 1


def test_one_changed_step_of_a_batch_is_made_again_with_what_reads_it(out):
    def chain(between: str) -> list[Step]:
        first = step(out, "join/first", params={"between": between, "may_fail": True, "code": ""})
        other = step(out, "join/other")
        last = step(out, "join/last", given={"words": [first.made["text"], str(out / "two")]})
        return [first, other, last]

    assert run(out, *chain(" ")) == 3
    assert run(out, *chain("-")) == 2
    assert (out / "join_last.txt").read_text() == "one-two two"


def test_a_step_that_fails_leaves_the_others(out):
    bad = step(out, "join/bad", words=("bad",))
    assert run(out, bad, step(out)) == 2
    assert store.failure(bad.made["text"]) == "ValueError: a bad word"
    assert (out / "join_a.txt").read_text() == "one two"
    (out / "bad").write_text("good")
    assert run(out, bad, step(out)) == 1 and store.failure(bad.made["text"]) is None


def test_a_step_that_may_not_fail_ends_the_job_and_is_not_taken_for_made(out):
    params = {"between": " ", "may_fail": False, "code": ""}
    run(out, step(out, params=params))
    before = (out / "join_a.txt").read_text()
    (out / "one").write_text("bad")
    with pytest.raises(ValueError, match="a bad word"):
        run(out, step(out, params=params))
    assert not (out / "join_a.txt").exists()
    (out / "join_a.txt").write_text(before)  # as Snakemake does where a job fails
    (out / "one").write_text("one")
    assert run(out, step(out, params=params)) == 1


def failing(out: Path, *names: str) -> tuple[list[Step], Step]:
    """Steps that were made before another one of their batch failed, and that one."""
    made = [step(out, f"join/{name}") for name in names]
    return made, step(out, "join/bad", words=("bad",), params={"between": " ", "may_fail": False, "code": ""})


def test_what_a_batch_made_before_it_failed_is_not_made_again(out):
    made, bad = failing(out, "a", "b")
    with pytest.raises(ValueError, match="a bad word"):
        run(out, *made, bad)
    noted = [one.note.read_bytes() for one in made]
    for one in made:
        Path(one.made["text"]).unlink()  # as Snakemake does where a job fails
    Path(made[1].made["text"]).write_text("older")  # or brings an earlier file back
    (out / "bad").write_text("good")
    assert run(out, *made, bad) == 1
    assert [Path(one.made["text"]).read_text() for one in made] == ["one two"] * 2
    assert [one.note.read_bytes() for one in made] == noted
    assert not list(out.rglob("*.kept"))


def test_what_was_kept_is_made_again_where_something_changed(out):
    made, bad = failing(out, "a")
    with pytest.raises(ValueError, match="a bad word"):
        run(out, *made, bad)
    Path(made[0].made["text"]).unlink()
    (out / "one").write_text("three")
    (out / "bad").write_text("good")
    assert run(out, *made, bad) == 2
    assert (out / "join_a.txt").read_text() == "three two"


def test_a_file_system_without_hard_links_keeps_nothing(out, monkeypatch):
    def refuse(*_):
        raise OSError("no hard links here")

    monkeypatch.setattr("os.link", refuse)
    assert run(out, step(out)) == 1 and run(out, step(out)) == 0


def test_a_note_says_how_long_a_step_took(out):
    one = step(out)
    run(out, one)
    noted = one.noted()
    assert 0 <= noted["seconds"] < 60 and 0 <= noted["cpu_seconds"] < 60 and noted["peak_memory_mb"] > 1
    one.note.write_text(json.dumps({key: noted[key] for key in ("recipe", "files")}))  # of an earlier version
    assert run(out, one) == 0


def test_a_script_is_handed_files_in_order_and_by_name():
    given = Named({"trials": ["t"], "fits": ["a", "b"], "null": "n"})
    assert list(given) == ["t", "a", "b", "n"] and given[0] == "t"
    assert given.fits == ["a", "b"] and given.null == "n"
    assert given.get("fits") == ["a", "b"] and given.get("absent", []) == []
    with pytest.raises(AttributeError, match="absent"):
        _ = given.absent


def test_a_step_survives_being_a_parameter(out):
    one = step(out)
    assert Step(**json.loads(json.dumps(one.plain))) == one


def test_a_batch_reads_what_it_does_not_write(out):
    first = step(out, "join/first")
    last = step(out, "join/last", given={"words": [first.made["text"], str(out / "one")]})
    batch = Batch("b", [first, last])
    assert batch.inputs == [str(out / "one"), str(out / "two")]
    assert batch.outputs == [first.made["text"], last.made["text"]] and batch.gpu == 0
    assert Batch("b", [first, step(out, gpu=True)]).gpu == 1


@pytest.mark.parametrize(
    ("seconds", "sizes"), [(0.0, [1, 1, 2, 1]), (2.0, [2, 2, 1]), (3.0, [4, 1]), (100.0, [5])]
)
def test_groups_share_a_job_until_it_is_long_enough(out, seconds, sizes):
    one = step(out)
    made = batches("fits_ring", [[one], [one], [one, one], [one]], seconds, priority=5)
    assert [len(batch.steps) for batch in made] == sizes
    assert [batch.name for batch in made] == [f"fits_ring_{i}" for i in range(1, len(sizes) + 1)]
    assert all(batch.priority == 5 for batch in made)
