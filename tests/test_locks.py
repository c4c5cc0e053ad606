"""Notes of runs: whose lock is removed, and which run is named."""

import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from cortseq import locks
from cortseq.errors import CortseqError

ENTER = "from cortseq import locks; print(locks.enter('s'), flush=True); "


def entered(folder, code: str = "") -> tuple[str, str]:
    """What a process says when it enters a run, and on its last lines when it ends."""
    ran = subprocess.run([sys.executable, "-c", ENTER + code], cwd=folder, capture_output=True, text=True)
    return ran.stdout.strip(), ran.stderr.strip()


@contextlib.contextmanager
def at_work(folder) -> Iterator[int]:
    """Number of a process that has entered a run; it is killed in the end."""
    command = [sys.executable, "-c", ENTER + "import time; time.sleep(60)"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "[]\n"
        try:
            yield process.pid
        finally:
            process.send_signal(signal.SIGKILL)


def lock(folder) -> None:
    (folder / locks.LOCKS).mkdir(parents=True)
    (folder / locks.LOCKS / "0.output.lock").write_text("a.csv")


def note(process: int, host: str = platform.node(), begun: float = 0.0) -> str:
    return json.dumps({"process": process, "host": host, "study": "s", "begun": begun or time.time()})


@pytest.fixture
def killed(tmp_path):
    """A folder that a run locked before it was killed, and the number of its process."""
    with at_work(tmp_path) as number:
        lock(tmp_path)
    return tmp_path, number


def test_the_lock_of_a_killed_run_is_removed_and_said(killed):
    folder, number = killed
    said, last = entered(folder)
    assert f"unlocked: process {number} on" in said and "was killed" in said and last == ""
    assert not (folder / locks.LOCKS).exists() and not list((folder / locks.NOTES).glob("*"))
    assert entered(folder) == ("[]", "")


def test_a_number_that_another_program_has_by_now_is_no_run(killed):
    """The lock of the system counts, not the number: this very process is alive, and holds none."""
    folder, _ = killed
    for file in (folder / locks.NOTES).glob("*"):
        file.write_text(note(os.getpid()))
    assert "unlocked" in entered(folder)[0]
    assert not (folder / locks.LOCKS).exists()


def test_a_run_with_the_number_of_the_killed_one_removes_its_lock(killed):
    """Numbers begin again in every container."""
    folder, number = killed
    same = f"import os; os.getpid = lambda: {number}; " + ENTER
    ran = subprocess.run([sys.executable, "-c", same], cwd=folder, capture_output=True, text=True)
    assert "unlocked" in ran.stdout and not (folder / locks.LOCKS).exists()
    assert not list((folder / locks.NOTES).glob("*"))


def test_the_lock_of_a_run_that_lives_stays_and_names_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with at_work(tmp_path) as number:
        lock(tmp_path)
        said, last = entered(tmp_path)
        assert said == "[]" and (tmp_path / locks.LOCKS).exists()
        assert f"is locked by process {number} on" in last and f"kill {number}" in last
        assert entered(tmp_path, "locks.begun()") == ("[]", "")  # Snakemake let it run
        with pytest.raises(CortseqError, match=f"is being run here: process {number} on"):
            locks.refuse("s")
        locks.refuse("another study")
    locks.refuse("s")


@pytest.mark.parametrize(("hours", "locked", "stays"), [(0, True, True), (5, True, True), (5, False, False)])
def test_a_run_on_another_machine_is_never_taken_for_dead_where_it_has_a_lock(tmp_path, hours, locked, stays):
    (tmp_path / locks.NOTES).mkdir(parents=True)
    file = tmp_path / locks.NOTES / "elsewhere-1.json"
    file.write_text(note(1, "elsewhere", time.time() - 3600 * hours))
    if locked:
        lock(tmp_path)
    _, last = entered(tmp_path)
    assert file.exists() == stays and (tmp_path / locks.LOCKS).exists() == locked
    assert ("--unlock" in last) == locked


def test_a_lock_without_a_note_is_left_to_snakemake(tmp_path):
    """Of a program that writes no notes; it may be alive."""
    lock(tmp_path)
    assert entered(tmp_path) == ("[]", "")
    assert (tmp_path / locks.LOCKS / "0.output.lock").exists()
