"""What is said on the terminal of jobs that were killed: which step, why, and what is done about it."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path
from typing import Any

from cortseq import leases
from cortseq.steps import Batch, Step


class Telling(logging.Handler):
    """Listens to what Snakemake logs of its jobs, and prints a line for every step whose job was killed.

    Where a job fails, a step that it had begun and not ended holds a lease that is over. Where the scheduler
    of a cluster started a job again by itself, the log of the step says so when the job has finished.
    """

    def __init__(self, batches: list[Batch], dag: Any) -> None:
        """`batches`: jobs of steps, named as their rules; `dag`: Snakemake's, which knows the attempts."""
        super().__init__()
        self._batches = {batch.name: batch for batch in batches}
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
            for step in self._steps(job):
                self._lasted(step)

    def _steps(self, job: Any) -> list[Step]:
        batch = self._batches.get(job.rule.name) if job else None
        return batch.steps if batch else []

    def _failed(self, job: Any) -> None:
        """Say which steps of a job that failed were killed; of other jobs, that they said nothing."""
        again = self._again(job) if job.attempt <= job.restart_times else "it is not tried again in this run"
        for step in self._steps(job):
            holder = leases.over(step.lease)
            if holder:
                self._say(step.name, f"{leases.tell(holder, Path(step.log))}; {again}")
        if not self._steps(job) and (log := next(iter(job.log), None)):
            text = Path(log).read_text(encoding="utf-8", errors="replace") if Path(log).is_file() else ""
            if "error: " not in text:
                self._say(job.rule.name, f"its job ended without a word (log: {log}); {again}")

    def _again(self, job: Any) -> str:
        """Return with how much a job is tried again."""
        asked = job.rule.expand_resources(job.wildcards_dict, job.input, job.attempt + 1, {"tmpdir"})
        return f"it is tried again with {asked.mem_mb} MB and {asked.runtime} min"

    def _lasted(self, step: Step) -> None:
        """Say what the log of a step that is made says of a job before."""
        log = Path(step.log)
        if log.is_file() and log.stat().st_mtime >= self._begin:
            with log.open(encoding="utf-8", errors="replace") as file:
                first = file.readline().strip()
            if first.startswith(leases.KILLED):
                self._say(step.name, f"{first.removeprefix(leases.KILLED)}; it was made again")

    def _say(self, name: str, line: str) -> None:
        known = f"{name} {line.rpartition('; ')[0]}"
        if known not in self._told:
            self._told.add(known)
            print(f"{leases.KILLED}{name}: {line}", file=sys.stderr, flush=True)
