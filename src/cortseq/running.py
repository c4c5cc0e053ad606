"""Run a study in the current folder with the workflow that comes with the package.

`cortseq run` is `snakemake` with the right arguments: from a wheel the workflow lies inside the package, in a
clone beside it. Results, logs and fetched files go to the current folder.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from cortseq import watching
from cortseq.errors import CortseqError
from cortseq.stages import Plan

SAID = "logs/snakemake.log"  # below the study's results
_SHOWN = 20  # lines of it, where nothing else says why a run failed

DEMO = """\
# Written by `cortseq demo`: a small study of made-up cells whose true likelihood is known.
study: demo
members: 3
horizons: []
datasets:
  ring: {source: synthetic, kind: ring, trials: 120, units: 16, bins: 40, covariates: {angle: angle}}
models:
  psth: {family: psth}
  markov: {family: markov, states: [4, 8], order: 1}
  hmm: {family: hmm, states: 8}
  glm: {family: glm, history: 10}
  rate: {family: rate, hidden: 16, epochs: 60}
"""


def project() -> Path:
    """Return the folder with Snakefile, workflow, profiles and the default study.

    Raises
    ------
    CortseqError : the package was installed without them.
    """
    package = Path(__file__).parent
    for folder in (package / "_project", package.parents[1]):
        if (folder / "workflow" / "Snakefile").is_file():
            return folder
    raise CortseqError(
        "this installation has no workflow", file=package, fix="install cortseq from a wheel or a clone"
    )


def default_study() -> Path:
    """Return the study that runs where none is named."""
    return project() / "config" / "config.yaml"


def command(
    config: Path,
    plan: Plan,
    *,
    cores: int | None,
    until: str = "report",
    profile: str = "",
    dry_run: bool = False,
    quiet: bool = False,
    more: Sequence[str] = (),
) -> list[str]:
    """Return the command that runs a study.

    Parameters
    ----------
    config, plan : the study file, and what it plans.
    cores : processor cores on this machine; None: the profile says.
    until : "comparison", "dynamics" (the tables of every dissected network) or "report" (everything).
    profile : one of the package's, "slurm" say, or a folder with a profile of Snakemake.
    dry_run : only say what would be done.
    quiet : say nothing of the jobs that go well.
    more : arguments for Snakemake as they are.

    Raises
    ------
    CortseqError : the study has no such product.
    """
    home = project()
    own = home / "profiles" / profile
    found = ["--profile", str(own if own.is_dir() else profile)] if profile else []
    return [
        sys.executable,
        "-m",
        "snakemake",
        "--configfile",
        str(config),
        "--quiet",
        *(["all"] if quiet else ["rules"]),
        *found,
        *([] if cores is None else ["--cores", str(cores)]),
        *(["--dry-run"] if dry_run else []),
        "--snakefile",  # takes one value, so that targets may follow
        str(home / "Snakefile"),
        *_targets(config, plan, until),
        *more,
    ]


def _targets(config: Path, plan: Plan, until: str) -> list[str]:
    """Return the files that are asked for; none: everything."""
    if until == "report":
        return []
    files = [plan.path("comparison")] if until == "comparison" else plan.every("dynamics_tables")
    if not files or not plan.compares:
        raise CortseqError(f"this study has no {until}", file=config, key="--until", value=until)
    return files


def run(config: Path, plan: Plan, **how: Any) -> int:
    """Run a study and return Snakemake's exit status; arguments as of `command`.

    How far it is, is shown while it runs; what Snakemake says goes to `SAID` below the study's results. A
    failed run ends with what failed, where its log is, and what to do. A dry run, and what is handed on to
    Snakemake, are answered by Snakemake itself.

    Raises
    ------
    CortseqError : the results cannot be written here, or as of `command`.
    """
    begin, words, out = time.time(), command(config, plan, **how), Path(plan.out)
    if how.get("dry_run") or how.get("more"):
        with _patient():
            return subprocess.Popen(words).wait()
    with _patient(), _written(out / SAID) as said:
        process = subprocess.Popen(
            words, stdout=said, stderr=said, env=os.environ | {"PYTHONUNBUFFERED": "1"}
        )
        if not how.get("quiet"):
            ended = functools.partial(_ended, process)
            watching.follow(watching.Watch(out, begin), ended, plan.study.study)
        status = process.wait()
    if status:
        found = reasons(out, begin) or _end(out / SAID)
        print("\n".join([*found, *_lock(config)]), file=sys.stderr)
    return status


@contextlib.contextmanager
def _patient() -> Iterator[None]:
    """Leave Ctrl-C to the process that runs: it is told, too, and cleans up before it ends."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _written(file: Path) -> IO[bytes]:
    """Return a file that is open to be written."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return file.open("wb")
    except OSError as error:
        fix = "run in a folder that can be written to"
        raise CortseqError(f"cannot be written: {error.strerror}", file=file, fix=fix) from None


def _ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait for a process; return whether it has ended."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    return process.returncode is not None


def _end(file: Path) -> list[str]:
    """Return the last lines of what Snakemake said, and where all of it is."""
    lines = [line for line in file.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return [*lines[-_SHOWN:], f"(all that was said: {file})"]


def reasons(out: Path, begin: float) -> list[str]:
    """Return a line for every log below `out/logs` that has an error since `begin` (s since 1970)."""
    lines = []
    for log in sorted((out / "logs").rglob("*.log")):
        if log.stat().st_mtime < begin:
            continue
        text = log.read_text(encoding="utf-8", errors="replace").splitlines()
        errors = [line.split("error: ", 1)[1] for line in text if "error: " in line]
        lines += [f"failed: {error}  (log: {log})" for error in dict.fromkeys(errors)]
    return lines


def _lock(config: Path) -> list[str]:
    """Return what to do about a lock that a killed run left behind; nothing where there is none."""
    if not any(Path(".snakemake/locks").glob("*.lock")):
        return []
    unlock = f"cortseq run {shlex.quote(str(config))} -- --unlock"
    return [f"The folder is locked. If no other run is at work here (one was killed): {unlock}"]
