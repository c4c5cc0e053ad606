"""What is said on the terminal of jobs that were killed: which step, why, and what is done about it."""

from __future__ import annotations

import copy
import logging
import sys
import time
from pathlib import Path
from typing import Any

from cortseq import leases
from cortseq.steps import Step


class Telling(logging.Handler):
    """Listens to what Snakemake logs of its jobs, and prints a line for every step whose job was killed.

    Where a job fails, a step that it had begun and not ended holds a lease that is over. Where the scheduler
    of a cluster started a job again by itself, the log of the step says so when the job has finished.

    A job that ended with an error of its own is not tried again: the error would come again.
    """

    def __init__(self, dag: Any) -> None:
        """`dag`: Snakemake's, which knows the jobs and their attempts."""
        super().__init__()
        self._jobs = {dag.jobid(job): job for job in dag.jobs}
        self._begin, self._told = time.time(), set[str]()

    def emit(self, record: logging.LogRecord) -> None:
        """Say why the job of a record was killed, if it was."""
        event = getattr(getattr(record, "event", None), "name", "")
        if event == "JOB_ERROR":
            job = self._jobs.get(record.jobid)  # type: ignore[attr-defined]
            if job:
                self._failed(job)
        elif event == "JOB_FINISHED":
            job = self._jobs.get(record.job_id)  # type: ignore[attr-defined]
            for log in _logs(job) if job else ():
                self._lasted(log)

    def _failed(self, job: Any) -> None:
        """Say which steps of a job that failed were killed; of other jobs, that they said nothing."""
        logs = _logs(job)
        killed = {log: holder for log in logs if (holder := leases.over(leases.place(log)))}
        errors = [error for log in logs if (error := self._error(log))]
        if not killed and any("[Errno" not in error for error in errors):  # an error of the system may pass
            job.rule = copy.copy(job.rule)  # of this job alone
            job.rule.restart_times = 0
        again = self._again(job) if job.attempt <= job.restart_times else "it is not tried again in this run"
        for log, holder in killed.items():
            self._say(_name(log), f"{leases.tell(holder, log)}; {again}")
        if not killed and not errors and not job.params.get("steps"):
            self._say(job.rule.name, f"its job ended without a word (log: {logs[0]}); {again}")

    def _error(self, log: Path) -> str:
        """Return the error with which a step ended in this run; "" where it did not end with one."""
        is_made = Path(f"{leases.place(log)}.json").is_file()  # one that may fail says its error, and is made
        if is_made or not log.is_file() or log.stat().st_mtime < self._begin:
            return ""
        last = log.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
        return last.partition(" s  error: ")[2]

    def _again(self, job: Any) -> str:
        """Return with how much a job is tried again."""
        asked = job.rule.expand_resources(job.wildcards_dict, job.input, job.attempt + 1, {"tmpdir"})
        return f"it is tried again with {asked.mem_mb} MB and {asked.runtime} min"

    def _lasted(self, log: Path) -> None:
        """Say what the log of a step that is made says of a job before."""
        if log.is_file() and log.stat().st_mtime >= self._begin:
            with log.open(encoding="utf-8", errors="replace") as file:
                first = file.readline().strip()
            if leases.KILLED in first:
                self._say(_name(log), f"{first.partition(leases.KILLED)[2]}; it was made again")

    def _say(self, name: str, line: str) -> None:
        known = f"{name} {line.rpartition('; ')[0]}"
        if known not in self._told:
            self._told.add(known)
            print(f"{leases.KILLED}{name}: {line}", file=sys.stderr, flush=True)


def _logs(job: Any) -> list[Path]:
    """Return the log of every step of a job; of a job without steps, its own."""
    steps = [Step(**given) for given in job.params.get("steps") or ()]
    return [Path(step.log) for step in steps] or [Path(log) for log in job.log]


def _name(log: Path) -> str:
    """Return the name of a step, such as "fit/ring/rate/fold0"."""
    return str(log).rpartition("/logs/")[2].removesuffix(".log")
