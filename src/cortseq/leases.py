"""Leases: a step is made by one job at a time, also where an earlier run was killed and its jobs go on.

A lease is a small file beside the note of a step, `made/fit/ring/rate/fold0.lease1`. It is created before the
step begins and removed when it ends. It says which process makes the step: host and number, the job of
the scheduler, what the job asked for, and at every beat how much memory it has held. No file is locked, so
that any shared disk will do. A job that is no batch of steps holds one as well, `made/load/ring.lease1`.

A lease whose process has ended is over. Another job takes it over by creating the next number: of two that
try, one succeeds. A lease that is over also tells why a job ended that could not say so itself.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cortseq import jobs

KILLED = "killed: "  # how a line of a log begins that says why a job ended without a word
BEAT = 15.0  # s between two signs of life; the first ones are closer together
SILENT = 300.0  # s without a sign of life, after which a lease is over where nothing else tells
_PAUSE = 1.0  # s between two looks at the lease of another job
_SAME = 2.0  # s by which two statements of when a process began may differ
_SCHEDULERS = {"SLURM_JOB_ID": "SLURM", "PBS_JOBID": "PBS", "LSB_JOBID": "LSF", "JOB_ID": "Grid Engine"}
_WAITING = {
    "PENDING",
    "CONFIGURING",
    "RUNNING",
    "SUSPENDED",
    "COMPLETING",
    "REQUEUED",
    "RESIZING",
    "SIGNALING",
}


@dataclasses.dataclass(frozen=True)
class Holder:
    """The process that holds a lease.

    Attributes
    ----------
    host : name of its machine.
    machine : tells machines, boots and containers apart.
    process, began : its number, and when it began, s since 1970.
    scheduler, job, restart : such as "SLURM", "17" and "1"; "" on a machine of one's own.
    memory_mb, minutes : what the job asked the scheduler for; 0: nothing.
    since, seen : when it took the lease, and its last sign of life, s since 1970 by its own clock.
    peak_mb : memory it had held until then.
    kills : how often the kernel of the machine had killed a process for want of memory before.
    """

    host: str
    machine: str
    process: int
    began: float
    scheduler: str = ""
    job: str = ""
    restart: str = "0"
    memory_mb: int = 0
    minutes: int = 0
    since: float = 0.0
    seen: float = 0.0
    peak_mb: int = 0
    kills: int = 0

    @property
    def words(self) -> str:
        """Return who it is, in words."""
        job = f"{self.scheduler} job {self.job}" if self.job else ""
        asked = f"{self.memory_mb} MB and {self.minutes} min" if self.job and self.memory_mb else ""
        more = ", ".join([*([job] if job else []), *([f"which asked for {asked}"] if asked else [])])
        return f"process {self.process} on {self.host}{f' ({more})' if more else ''}"


@contextlib.contextmanager
def held(path: Path, asked: Mapping[str, Any], say: Callable[[str], None], log: Path) -> Iterator[list[str]]:
    """Hold the lease of a step while the block runs; wait before it while another job holds it.

    Yields lines for the log that say why the job before was killed, and with how much this one goes on. A
    process that is told to end leaves its lease, which says that it did not end by itself.

    Parameters
    ----------
    path : of the step's lease, without its number.
    asked : `mem_mb` and `runtime` that the job asked a scheduler for.
    say : is given a line where another job is waited for.
    log : of the step.
    """
    own = _own(asked)
    number, before = _take(path, own, say)
    lines = [f"{KILLED}{tell(before, log)}", f"made again{_given(own)}"] if before else []
    end = threading.Event()
    beats = threading.Thread(target=_beat, args=(_file(path, number), own, end), daemon=True)
    beats.start()
    stopped = False
    try:
        yield lines
    except (KeyboardInterrupt, SystemExit) as error:
        stopped = getattr(error, "code", None) != 1  # 1: the step has said what is wrong
        raise
    finally:
        end.set()
        beats.join()
        for i in range(1, number + (not stopped)):
            _file(path, i).unlink(missing_ok=True)


@contextlib.contextmanager
def alone(snakemake: Any, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lease of a job that is no batch of steps, such as one that cuts trials, while the block runs.

    Parameters
    ----------
    snakemake : the object of the script.
    say : is given a line where another job is waited for, and one where the job before was killed.
    """
    asked = getattr(snakemake, "resources", None)
    if asked is None:  # a step of a batch, whose lease the batch holds
        yield
        return
    log = Path(str(snakemake.log[0]))
    with held(place(log), dict(asked.items()), say, log) as lines:
        for line in lines[1:]:  # the first, why it was killed, is in the log already
            say(line)
        yield


def place(log: Path) -> Path:
    """Return the path of the lease, without its number, of the job that writes this log."""
    out, _, name = str(log).rpartition("/logs/")
    return Path(f"{out}/made/{name.removesuffix('.log')}")


def over(path: Path) -> Holder | None:
    """Return the process that held the lease of a step until it was killed; None where there is none."""
    number = _newest(path)
    holder = _read(_file(path, number)) if number else None
    return holder if holder and _ended(holder) else None


def tell(holder: Holder, log: Path) -> str:
    """Write into the log of a step why the process that made it was killed; return the line.

    A log that says so already stays as it is.
    """
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    last = text.splitlines()[-1] if text else ""
    if KILLED in last:
        return last.split(KILLED, 1)[1]
    line = f"{holder.words} ended without a word after {holder.seen - holder.since:.0f} s, {why(holder)}"
    _append(log, holder.seen - holder.since, KILLED + line)
    return line


def why(holder: Holder) -> str:
    """Return why a process was killed, as far as that can be known."""
    share = holder.peak_mb / holder.memory_mb if holder.memory_mb and holder.job else 0.0
    size = f"when it held {holder.peak_mb} MB"
    state, words = _slurm_end(holder)
    quoted = f' ("{words}")' if words else ""
    if state == "OUT_OF_MEMORY" or re.search("memory|oom", words, re.IGNORECASE):
        return f"{size}: it needed more memory than it had asked for{quoted}"
    if state == "TIMEOUT":
        return f"{size}: it took longer than it had asked for{quoted}"
    if state in ("NODE_FAIL", "RESTARTED"):
        return f"{size}: its node was lost, or taken by a job of higher priority{quoted}"
    if holder.machine == _machine() and _kills() > holder.kills:
        return f"{size}: the memory of {holder.host} ran out, and the system killed the process"
    if share > 0.8:
        return f"{size}: it most likely needed more memory than it had asked for{quoted}"
    if holder.job and holder.minutes and holder.seen - holder.since > 54 * holder.minutes:
        return f"{size}: it most likely took longer than it had asked for{quoted}"
    return (
        f"{size}: it was killed from outside{f' ({holder.scheduler} says {state})' if state else ''}{quoted}"
    )


# -- the file --------------------------------------------------------------------------------------------


def _file(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.lease{number}")


def _newest(path: Path) -> int:
    """Return the highest number of a lease; 0 where there is none."""
    found = [name.removeprefix(f"{path.name}.lease") for name in _names(path.parent)]
    return max((int(number) for number in found if number.isdigit()), default=0)


def _names(folder: Path) -> list[str]:
    with contextlib.suppress(FileNotFoundError):
        return os.listdir(folder)
    return []


def _take(path: Path, own: Holder, say: Callable[[str], None]) -> tuple[int, Holder | None]:
    """Create a lease; return its number, and the process that was killed while it held the one before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    known, since, told = "", time.monotonic(), False
    while True:
        newest = _newest(path)
        text = _text(_file(path, newest)) if newest else ""
        holder = _parsed(text)
        if text != known:
            known, since = text, time.monotonic()
        state = _ended(holder) if holder else None
        ended = newest and (state or (state is None and time.monotonic() - since > SILENT))
        if (not newest or ended) and _create(_file(path, newest + 1), own):
            if not newest or _file(path, newest).exists():
                return newest + 1, holder
            _file(path, newest + 1).unlink(missing_ok=True)  # another job has made the step in between
        elif newest and not ended and not told:
            told = True
            say(f"waits: {holder.words if holder else 'another process'} is making {path.name}")
        time.sleep(_PAUSE if newest else 0.0)


def _create(file: Path, own: Holder) -> bool:
    """Write a lease that is not there; return whether it was not."""
    try:
        number = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except FileExistsError:
        return False
    with os.fdopen(number, "w", encoding="utf-8") as lease:
        json.dump(dataclasses.asdict(own), lease)
    return True


def _beat(file: Path, own: Holder, end: threading.Event) -> None:
    """Write a sign of life into a lease until its step ends; a lease that was taken over is left alone."""
    pause = 1.0
    while not end.wait(pause):
        pause = min(2 * pause, BEAT)
        own = dataclasses.replace(own, seen=time.time(), peak_mb=round(jobs.peak_memory_mb()))
        with contextlib.suppress(OSError), file.open("r+", encoding="utf-8") as lease:
            lease.write(json.dumps(dataclasses.asdict(own)))
            lease.truncate()


def _text(file: Path) -> str:
    with contextlib.suppress(OSError):
        return file.read_text(encoding="utf-8")
    return ""


def _parsed(text: str) -> Holder | None:
    """Return the holder that a lease names; None of one that is just being written."""
    with contextlib.suppress(ValueError, TypeError):
        return Holder(**json.loads(text))
    return None


def _read(file: Path) -> Holder | None:
    return _parsed(_text(file))


def _append(log: Path, seconds: float, line: str) -> None:
    """Add a line to a log; a disk that is full is no reason to stop."""
    with contextlib.suppress(OSError):
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as file:
            file.write(f"{seconds:8.1f} s  {line}\n")


def _given(own: Holder) -> str:
    return f" with {own.memory_mb} MB and {own.minutes} min" if own.job and own.memory_mb else ""


# -- processes, and jobs of a scheduler ------------------------------------------------------------------


def _own(asked: Mapping[str, Any]) -> Holder:
    """Return this process as a holder."""
    import psutil

    variable = next((name for name in _SCHEDULERS if os.environ.get(name)), "")
    return Holder(
        host=socket.gethostname(),
        machine=_machine(),
        process=os.getpid(),
        began=psutil.Process().create_time(),
        scheduler=_SCHEDULERS.get(variable, ""),
        job=os.environ.get(variable, ""),
        restart=os.environ.get("SLURM_RESTART_COUNT", "0"),
        memory_mb=int(asked.get("mem_mb", 0)),
        minutes=int(asked.get("runtime", 0)),
        since=time.time(),
        seen=time.time(),
        peak_mb=round(jobs.peak_memory_mb()),
        kills=_kills(),
    )


def _machine() -> str:
    """Return what is the same for processes that can see each other."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _kills() -> int:
    """Return how often the kernel has killed a process because memory ran out; 0 where it does not say."""
    with contextlib.suppress(OSError):
        found = re.search(r"^oom_kill (\d+)", Path("/proc/vmstat").read_text(), re.MULTILINE)
        return int(found[1]) if found else 0
    return 0


def _ended(holder: Holder) -> bool | None:
    """Return whether a process has ended: asked on its own machine, elsewhere its scheduler; None: unknown.

    One that lives and gives no sign for long holds its lease: compiled code may keep the thread of its beats
    waiting.
    """
    if holder.machine == _machine():
        import psutil

        try:
            process = psutil.Process(holder.process)
            alive = process.status() != psutil.STATUS_ZOMBIE
            return not alive or abs(process.create_time() - holder.began) > _SAME
        except psutil.NoSuchProcess:
            return True
    known = _slurm(holder.job) if holder.scheduler == "SLURM" and shutil.which("scontrol") else {}
    if not known:
        return None
    return known.get("JobState", "RUNNING") not in _WAITING or known.get("Restarts", "0") != holder.restart


def _slurm(job: str) -> dict[str, str]:
    """Return what SLURM says of a job; {} where it does not answer, no state of a job it has forgotten."""
    answer = subprocess.run(["scontrol", "show", "job", job], capture_output=True, text=True)
    if "Invalid job id" in answer.stderr:
        return {"JobState": ""}
    return dict(re.findall(r"(\w+)=(\S*)", answer.stdout)) if answer.returncode == 0 else {}


def _slurm_end(holder: Holder) -> tuple[str, str]:
    """Return how SLURM says that a job ended, and the words that it wrote into the job's log."""
    if holder.scheduler != "SLURM" or shutil.which("scontrol") is None:
        return "", ""
    known = _slurm(holder.job)
    text = _text(Path(known.get("StdErr", "")))
    said = re.findall(
        r"(?:slurmstepd|srun)\S*: error: (.*(?:memory|oom|TIME LIMIT|NODE FAIL).*)", text, re.IGNORECASE
    )
    state = "RESTARTED" if known.get("Restarts", "0") != holder.restart else known.get("JobState", "")
    words = said[0].strip("* ") if said else ""
    return ("TIMEOUT" if "TIME LIMIT" in words else state), words
