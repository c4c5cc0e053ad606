"""A step is made by one job at a time; a lease that is over says why its process was killed."""

import dataclasses
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from cortseq import leases

HOLD = """
import sys, time
from pathlib import Path
from cortseq import leases
with leases.held(Path("step"), {"mem_mb": 500, "runtime": 7}, print, Path("log")):
    Path("begun").touch()
    time.sleep(float(sys.argv[1]))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for variable in leases._SCHEDULERS:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(leases, "_PAUSE", 0.02)
    return tmp_path


@pytest.fixture
def holder(folder):
    """A process that holds the lease; killed in the end."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, "60"], env=os.environ)
    for _ in range(500):
        if Path("begun").exists():
            break
        time.sleep(0.02)
    yield process
    process.kill()
    process.wait()


def held(said=None, log="log"):
    return leases.held(
        Path("step"), {"mem_mb": 900, "runtime": 14}, (said if said is not None else []).append, Path(log)
    )


def lease(**changes):
    """Write a lease of this process with changes."""
    own = dataclasses.replace(leases._own({"mem_mb": 500, "runtime": 7}), **changes)
    Path("step.lease1").write_text(json.dumps(dataclasses.asdict(own)))
    return own


def test_a_lease_lies_there_while_it_is_held(folder):
    with held() as before:
        assert before == [] and os.listdir() == ["step.lease1"]
        assert leases.over(Path("step")) is None
    assert os.listdir() == []


def test_a_lease_is_let_go_where_the_step_fails(folder):
    with pytest.raises(ValueError, match="no"), held():
        raise ValueError("no")
    assert os.listdir() == []


@pytest.mark.parametrize(
    ("error", "left"), [(SystemExit(1), 0), (SystemExit(143), 1), (KeyboardInterrupt(), 1)]
)
def test_a_process_that_is_told_to_end_leaves_its_lease(folder, error, left):
    with pytest.raises(type(error)), held():
        raise error
    assert len(os.listdir()) == left


def test_another_process_is_waited_for_until_it_is_killed(holder):
    said, made = [], []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_JOB_ID", "18")
        patch.setattr(leases.shutil, "which", lambda name: None)
        patch.setattr(leases, "SILENT", 0.1)  # compiled code may keep the thread of the beats waiting

        def wait():
            with held(said) as before:
                made.extend(before)

        waiting = threading.Thread(target=wait)
        waiting.start()
        time.sleep(0.5)
        assert waiting.is_alive() and not made
        assert said == [f"waits: process {holder.pid} on {os.uname().nodename} is making step"]
        holder.kill()
        holder.wait()
        waiting.join(10)
    assert made[0].startswith(f"killed: process {holder.pid} on ") and "killed from outside" in made[0]
    assert made[1] == "made again with 900 MB and 14 min" and len(said) == 1
    assert not list(Path().glob("*.lease*"))


def test_of_many_that_take_over_one_holds_the_lease_at_a_time(folder):
    lease(process=2**22 + 1)
    inside, most, done = [], [], []

    def take():
        with held():
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.01)
            inside.pop()
        done.append(1)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(done) == 8 and max(most) == 1 and not list(Path().glob("*.lease*"))


def test_a_process_of_the_same_number_that_began_at_another_time_is_another(folder):
    lease()
    assert leases.over(Path("step")) is None
    lease(began=leases._own({}).began - 100)
    assert leases.over(Path("step")).process == os.getpid()


def test_on_another_machine_slurm_is_asked(folder, monkeypatch):
    monkeypatch.setattr(leases.shutil, "which", lambda name: f"/usr/bin/{name}")
    known = {"JobState": "RUNNING", "Restarts": "0"}
    monkeypatch.setattr(leases, "_slurm", lambda job: known if job == "17" else {"JobState": ""})
    lease(machine="another", scheduler="SLURM", job="17")
    assert leases.over(Path("step")) is None
    known["Restarts"] = "1"
    assert leases.over(Path("step")) is not None
    lease(machine="another", scheduler="SLURM", job="16")
    assert leases.over(Path("step")) is not None


def test_where_nobody_can_be_asked_a_lease_without_a_sign_of_life_is_over(folder, monkeypatch):
    lease(machine="another")
    monkeypatch.setattr(leases, "SILENT", 0.3)
    assert leases.over(Path("step")) is None
    begin = time.monotonic()
    with held():
        assert 0.3 < time.monotonic() - begin < 5


def test_signs_of_life_are_written(folder, monkeypatch):
    monkeypatch.setattr(leases, "BEAT", 0.05)
    with held():
        first = json.loads(Path("step.lease1").read_text())
        time.sleep(1.3)
        last = json.loads(Path("step.lease1").read_text())
    assert last["seen"] > first["seen"] + 0.9 and last["peak_mb"] > 10 and last["since"] == first["since"]


@pytest.mark.parametrize(
    ("changes", "slurm", "expected"),
    [
        ({"kills": -1}, ("", ""), "the memory of"),
        ({}, ("OUT_OF_MEMORY", ""), "needed more memory than it had asked for"),
        ({}, ("FAILED", "Exceeded job memory limit"), 'than it had asked for ("Exceeded job memory limit")'),
        ({}, ("TIMEOUT", ""), "it took longer than it had asked for"),
        ({}, ("NODE_FAIL", ""), "its node was lost"),
        ({"job": "17", "peak_mb": 490}, ("", ""), "most likely needed more memory"),
        (
            {"job": "17", "peak_mb": 9, "seen": 7 * 60 - 1.0, "since": 0.0},
            ("", ""),
            "most likely took longer",
        ),
        ({"job": "17", "peak_mb": 9}, ("CANCELLED", ""), "from outside (SLURM says CANCELLED)"),
    ],
)
def test_why_a_job_was_killed(folder, monkeypatch, changes, slurm, expected):
    monkeypatch.setattr(leases, "_slurm_end", lambda holder: slurm)
    holder = lease(**({"scheduler": "SLURM"} | changes))
    assert expected in leases.why(holder)


def test_a_log_is_told_once(folder):
    holder = lease(seen=time.time() + 3)
    line = leases.tell(holder, Path("logs/fit.log"))
    text = Path("logs/fit.log").read_text()
    assert leases.tell(holder, Path("logs/fit.log")) == line and Path("logs/fit.log").read_text() == text
    assert text.count("killed: ") == 1 and line in text


def test_a_job_without_steps_holds_a_lease_and_says_that_it_was_killed(folder):
    log = Path("results/tiny/logs/load/ring.log")
    place = leases.place(log)
    assert place == Path("results/tiny/made/load/ring")
    place.parent.mkdir(parents=True)
    lease(process=2**22 + 1)
    Path("step.lease1").rename(f"{place}.lease1")
    script, said = SimpleNamespace(log=[str(log)], resources={"mem_mb": 900, "runtime": 14}), []
    with leases.alone(script, said.append):
        assert Path(f"{place}.lease2").is_file()
    assert said == ["made again"] and not list(place.parent.glob("*.lease*"))
    assert log.read_text().count("killed: process 4194305 on ") == 1
