"""Sessions of a study that share a cell: what an entry may say, which models each session has, who is fitted where."""

import pytest
import yaml

from cortseq import cli, sessions, stages, study
from cortseq.errors import CortseqError
from cortseq.stages.fits import earlier

RING = {"source": "synthetic", "kind": "ring", "trials": 12, "bins": 9}
RATE = {"family": "rate", "hidden": 4, "epochs": 2}


def content(**more):
    return {
        "study": "three",
        "datasets": {name: {**RING, "units": 4 + i} for i, name in enumerate(("s1", "s2", "s3"))},
        "together": {"animals": {"sessions": ["s1", "s2"], "held_out": ["s3"]}},
        "models": {"own": RATE, "shared": {**RATE, "across": "animals"}},
        **more,
    }


def test_a_list_is_short_for_its_sessions():
    read = study.validate(content(together={"animals": ["s1", "s2"]}))
    assert read.together["animals"] == sessions.Group(sessions=["s1", "s2"])
    assert read.together["animals"].held_out == []


def test_which_models_a_session_has():
    read = study.validate(content(together={"animals": {"sessions": ["s1", "s2"]}}))
    assert set(read.variants("counts", "s1")) == {"null", "own", "shared"}
    assert set(read.variants("counts", "s3")) == {"null", "own"}
    moved = study.validate(content()).variants("counts", "s3")["shared"].model
    assert moved.cell == "frozen" and moved.across == "animals"
    assert study.validate(content()).variants("counts", "s1")["shared"].model.cell == "learned"


@pytest.mark.parametrize(
    "more, words",
    [
        ({"together": {"animals": ["s1"]}}, ["together.animals", "two sessions or more"]),
        ({"together": {"animals": ["s1", "s9"]}}, ["together.animals", "s9", "is no dataset"]),
        ({"together": {"animals": ["s1", "s2", "s1"]}}, ["together.animals", "twice"]),
        ({"together": {"animals": {"sessions": ["s1", "s2"], "held_out": ["s2"]}}}, ["twice"]),
        ({"together": {"others": ["s1", "s2"]}}, ["models.shared.across", "animals", "under `together`"]),
        ({"together": {"animals": {"session": ["s1"]}}}, ["together.animals"]),
        (
            {"models": {"shared": {**RATE, "across": "animals", "after": "previous"}}},
            ["across or after, not both"],
        ),
        ({"models": {"shared": {"family": "esn", "hidden": 9, "across": "animals"}}}, ["never trained"]),
        ({"models": {"shared": {"family": "glm", "across": "animals"}}}, ["models.shared.across"]),
    ],
)
def test_what_is_refused(more, words):
    with pytest.raises(CortseqError) as caught:
        study.validate(content(**more))
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"bin_ms": 50}, ["together.animals", "several bin widths"]),
        ({"source": "synthetic", "kind": "reber"}, ["together.animals", "several tracks"]),
    ],
)
def test_sessions_of_several_kinds_share_no_cell(change, words):
    made = content()
    made["datasets"]["s2"] = (made["datasets"]["s2"] if "bin_ms" in change else {}) | change
    with pytest.raises(CortseqError) as caught:
        study.validate(made)
    for word in words:
        assert word in str(caught.value)


def test_parts_that_overlap_share_no_cell():
    made = content(together={"animals": ["s1", "s2"]})
    made["datasets"]["s1"] = {**RING, "units": 4, "part": [0.0, 0.6]}
    made["datasets"]["s2"] = {**RING, "units": 4, "part": [0.5, 1.0]}
    with pytest.raises(CortseqError, match="have trials in common"):
        study.validate(made)


def test_one_step_fits_the_sessions_and_another_moves_the_cell(tmp_path):
    read = study.validate(content(members=2, folds=2))
    plan = stages.Plan(read, None)
    made = {step.name: step for batch in stages.jobs(plan) for step in batch.steps}
    for fold in range(2):
        joint = made[f"together/animals/shared/fold{fold}"]
        assert sorted(joint.given["trials"]) == [plan.path("trials", dataset=d) for d in ("s1", "s2")]
        at = {"variant": "shared", "fold": fold}
        assert joint.made["params_s2"] == plan.path("fits", dataset="s2", **at)
        assert not any(f"fit/{d}/shared/fold{fold}" in made for d in ("s1", "s2"))
        moved = made[f"fit/s3/shared/fold{fold}"]
        assert moved.given["start"] == [plan.path("fits", dataset="s1", **at)]
        assert moved.params["spec"]["cell"] == "frozen" and joint.params["spec"]["cell"] == "learned"
    assert earlier(plan, "s1", "shared", 0) == [] == earlier(plan, "s3", "own", 0)
    written = [file for step in made.values() for file in step.outputs]
    assert len(written) == len(set(written))
    wanted = {
        plan.path("fits", dataset=d, variant=v, fold=0) for d in plan.variants for v in plan.variants[d]
    }
    assert wanted <= set(written)


def test_no_job_waits_for_itself():
    """Two groups of the same sessions in other orders, each the other's held-out session."""
    read = study.validate(
        content(
            together={
                "here": {"sessions": ["s1", "s2"], "held_out": ["s3"]},
                "there": {"sessions": ["s3", "s2"], "held_out": ["s1"]},
            },
            models={"a": {**RATE, "across": "here"}, "b": {**RATE, "across": "there"}},
        )
    )
    batches = stages.jobs(stages.Plan(read, None))
    maker = {file: i for i, batch in enumerate(batches) for step in batch.steps for file in step.outputs}
    waits = {
        i: {maker[f] for step in batch.steps for f in step.inputs if f in maker} - {i}
        for i, batch in enumerate(batches)
    }
    done: set[int] = set()
    while ready := [i for i in waits if i not in done and waits[i] <= done]:
        done.update(ready)
    assert len(done) == len(batches)


def test_songs_of_two_birds_are_refused_by_check(tmp_path, capsys):
    """No syllable of one bird is one of the other: their sessions share no cell."""
    for bird, letters in (("one", "abca"), ("two", "xyxz")):
        (tmp_path / f"{bird}.txt").write_text(f"{letters * 3}\n" * 30)
    entry = {"source": "text", "content": "symbols"}
    made = {
        "datasets": {bird: {**entry, "path": f"{bird}.txt"} for bird in ("one", "two")},
        "together": {"birds": ["one", "two"]},
        "models": {"net": {**RATE, "across": "birds"}},
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(made))
    assert cli.main(["check", str(tmp_path / "study.yaml")]) != 0
    said = capsys.readouterr().err
    assert "together.birds" in said and "different alphabets" in said
