"""Which runs are at work in a folder, so that the lock of a run that was killed stops nobody.

Snakemake locks the files of a run in `.snakemake/locks`, and a killed run cannot take its lock away. Every
run therefore leaves a note in `.snakemake/runs`, on which it holds a lock of the operating system (`flock`)
as long as it lives. The system drops that lock with the process, however it ends. A note that can be locked
belongs to a dead run; its process number may belong to another program by then, and is never asked.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import json
import os
import platform
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cortseq.errors import CortseqError

NOTES, LOCKS = Path(".snakemake/runs"), Path(".snakemake/locks")
_FORGOTTEN = 3600.0  # s after which the note of another machine is dropped, where nothing is locked
_HELD: list[IO[str]] = []  # open as long as this process lives


@dataclass(frozen=True)
class Run:
    """A run of a study in this folder, as its note says.

    Attributes
    ----------
    process : its number on its machine.
    host : name of the machine.
    study : what it runs.
    begun : s since 1970.
    """

    process: int
    host: str
    study: str
    begun: float

    def __str__(self) -> str:
        """Return the run in words."""
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(self.begun))
        return f"process {self.process} on {self.host}, study {self.study}, begun {since}"


def enter(study: str) -> list[str]:
    """Note that this process runs a study in the current folder, and remove the lock of a run that is dead.

    Where the folder cannot be written to, or its file system has no locks, nothing is done.

    Returns
    -------
    Lines for the user: which lock was removed. Where a run that may be alive holds the lock, lines that say
    so are printed when this process ends, unless `begun` was called: Snakemake has refused to run then.
    """
    with contextlib.suppress(OSError):
        own = _note(Run(os.getpid(), platform.node(), study, time.time()))
        alive, dead = _others(own)
        locked = any(LOCKS.glob("*.lock"))
        if locked and dead and not alive:
            shutil.rmtree(LOCKS)
        for note in dead:
            note.unlink(missing_ok=True)
        if locked and alive:
            atexit.register(_explain, alive)
        elif locked and dead:
            return [f"unlocked: {run} was killed, the study goes on" for run in dead.values()]
    return []


def refuse(study: str) -> None:
    """Raise the error of a study that another process on this machine runs in the current folder.

    Raises
    ------
    CortseqError : it names the process, and says how to end it.
    """
    with contextlib.suppress(OSError):
        for run in _others()[0].values():
            if run.study == study and run.host == platform.node():
                fix = f"wait until it ends, or end it: kill {run.process}"
                raise CortseqError(f"the study is being run here: {run}", file=Path.cwd(), fix=fix)


def begun() -> None:
    """Say that Snakemake lets this process run: whoever else is at work makes other files."""
    atexit.unregister(_explain)


def _note(run: Run) -> Path:
    """Write the note of this process, locked before others can see it; it goes when the process ends.

    Its name has the time, too: in a container a run often has the number of the one that was killed, whose
    note must stay until its lock is removed.
    """
    NOTES.mkdir(parents=True, exist_ok=True)
    note = NOTES / f"{run.host}-{run.process}-{time.time_ns()}.json"
    hidden = note.with_name(f".{note.name}")
    file = hidden.open("w", encoding="utf-8")
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    json.dump(vars(run), file)
    file.flush()
    hidden.replace(note)
    _HELD.append(file)
    atexit.register(note.unlink, missing_ok=True)
    return note


def _others(own: Path | None = None) -> tuple[dict[Path, Run], dict[Path, Run]]:
    """Return the notes of other runs than `own`: of those that may be alive, and of those that are dead."""
    alive: dict[Path, Run] = {}
    dead: dict[Path, Run] = {}
    for note in NOTES.glob("*.json"):
        with contextlib.suppress(FileNotFoundError, ValueError, TypeError):
            run = Run(**json.loads(note.read_text(encoding="utf-8")))
            if run.host != platform.node():
                old = time.time() - run.begun > _FORGOTTEN and not any(LOCKS.glob("*.lock"))
                (dead if old else alive)[note] = run
            elif note != own:
                (alive if _is_held(note) else dead)[note] = run
    return alive, dead


def _is_held(note: Path) -> bool:
    """Return whether a process on this machine holds the lock of a note."""
    with note.open(encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _explain(alive: dict[Path, Run]) -> None:
    for run in alive.values():
        if run.host == platform.node():
            what = f"Wait until it ends, or end it: kill {run.process}"
        else:
            what = f"It cannot be seen from {platform.node()}. If it was killed: snakemake --cores 1 --unlock"
        print(f"The folder {Path.cwd()} is locked by {run}. {what}", file=sys.stderr)
