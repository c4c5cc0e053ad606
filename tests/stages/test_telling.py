"""What follows from the end of a job: an error of its own ends its attempts, a kill is said and does not."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from cortseq import leases
from cortseq.stages import telling
from cortseq.steps import Step

ERROR = "     0.1 s  error: counts must be whole numbers\n"
SYSTEM = "     0.1 s  error: [Errno 116] Stale file handle: 'x'\n"


class Rule(SimpleNamespace):
    """What is asked of a rule of Snakemake."""

    def expand_resources(self, *given):
        return SimpleNamespace(mem_mb=800, runtime=66)


class Job(SimpleNamespace):
    """What is asked of a job of Snakemake."""

    @property
    def restart_times(self):
        return self.rule.restart_times


@pytest.fixture
def step(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    step = Step("fit", "results/a", "fit/ring/rate/fold0", {}, {}, {}, {})
    for file in (Path(step.log), step.note):
        file.parent.mkdir(parents=True)
    return step


def failed(step: Step, text: str) -> Job:
    """Let the job of a step fail, whose log says this; return the job."""
    rule = Rule(name="fits", restart_times=2)
    job = Job(
        rule=rule, params={"steps": [step.plain]}, log=["x.log"], attempt=1, wildcards_dict={}, input=[]
    )
    listening = telling.Telling(SimpleNamespace(jobs=[job], jobid=lambda job: 7))
    listening._begin -= 1  # some disks know whole seconds
    Path(step.log).write_text(text)
    listening.emit(SimpleNamespace(event=SimpleNamespace(name="JOB_ERROR"), jobid=7))
    assert rule.restart_times == 2  # other jobs of the rule have their attempts
    return job


def test_an_error_of_its_own_ends_the_attempts_of_a_job(step):
    assert failed(step, ERROR).restart_times == 0


@pytest.mark.parametrize("text", ["", SYSTEM, ERROR + "     0.2 s  epoch 3\n"])
def test_without_one_it_is_tried_again(step, text):
    assert failed(step, text).restart_times == 2


def test_an_error_that_was_written_in_place_of_a_product_is_none(step):
    step.note.write_text("{}")
    assert failed(step, ERROR).restart_times == 2


def test_a_step_that_was_killed_is_said_and_tried_again(step, capsys):
    gone = dataclasses.replace(leases._own({}), process=2**22 + 1)
    Path(f"{step.lease}.lease1").write_text(json.dumps(dataclasses.asdict(gone)))
    assert failed(step, "").restart_times == 2
    said = capsys.readouterr().err
    assert said.startswith("killed: fit/ring/rate/fold0: process 4194305 on ")
    assert said.endswith("it is tried again with 800 MB and 66 min\n")
