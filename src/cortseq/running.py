"""Run a study in the current folder with the workflow that comes with the package.

`cortseq run` is `snakemake` with the right arguments: from a wheel the workflow lies inside the package, in a
clone beside it. Results, logs and fetched files go to the current folder.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cortseq.errors import CortseqError
from cortseq.stages import Plan

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

    A failed run ends with what failed, where its log is, and what to do.
    """
    begin = time.time()
    words = command(config, plan, **how)
    process = subprocess.Popen(words, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    status = _ended(process)
    if status:
        print("\n".join(["", *reasons(Path(plan.out), begin), *_lock(config)]), file=sys.stderr)
    return status


def _ended(process: subprocess.Popen[bytes]) -> int:
    """Return the exit status; Ctrl-C reaches the process too, which cleans up before it ends."""
    while True:
        with contextlib.suppress(KeyboardInterrupt):
            return process.wait()


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
