"""`python -m benchmarks.study REVISION [REVISION]`: one study run by two revisions, one after the other.

Each revision (the second: HEAD) is cloned into a folder of its own, and its Snakefile is run there from
nothing, by this Python, with the package of the clone. Printed and written are the jobs, wall and CPU seconds
of each, and whether both made the same bytes of comparison.csv. Compilation of kernels is included: a clone
has none.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import harness

ROOT = Path(__file__).parents[1]
CONFIG = "config/config.yaml"  # of the default study
_DONE = re.compile(r"^(\d+) of (\d+) steps \(100%\) done", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """What one revision took.

    `jobs` are those of Snakemake; `digest` is that of comparison.csv, None where the study has none.
    """

    revision: str
    commit: str
    jobs: int
    wall_seconds: float
    cpu_seconds: float
    digest: str | None


def main(arguments: list[str] | None = None) -> int:
    """0 when both runs ended; whether they agree is printed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.study", description=__doc__)
    parser.add_argument("before", metavar="REVISION")
    parser.add_argument("after", metavar="REVISION", nargs="?", default="HEAD")
    parser.add_argument("--study", type=Path, help="study file of both; default: each one's default study")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--output", type=Path, default=Path("results/bench/study.json"))
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        runs = [
            run(revision, Path(folder) / place, given.study and given.study.resolve(), given.cores)
            for place, revision in (("before", given.before), ("after", given.after))
        ]
    same = runs[0].digest == runs[1].digest
    print("\n".join(table(runs, same)))
    from cortseq import store

    content = {"runs": [asdict(one) for one in runs], "same_comparison": same, "cores": given.cores}
    store.write_json(content | {"machine": harness.machine()}, given.output)
    return 0


def run(revision: str, clone: Path, study: Path | None, cores: int) -> Run:
    """Clone `revision` into the folder `clone`, and run the study there.

    Raises
    ------
    subprocess.CalledProcessError : git or the study failed; its log has been printed.
    RuntimeError : Python finds another package than the clone's.
    """
    _git("clone", "--quiet", "--no-checkout", str(ROOT), str(clone))
    _git("checkout", "--quiet", _git("rev-parse", revision, folder=ROOT), folder=clone)
    environment = {**os.environ, "PYTHONPATH": str(clone / "src")}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    if "CORTSEQ_MIRRORS" in environment:  # folders beside this one
        mirrors = environment["CORTSEQ_MIRRORS"].split(os.pathsep)
        environment["CORTSEQ_MIRRORS"] = os.pathsep.join(str((ROOT / folder).resolve()) for folder in mirrors)
    where = "import cortseq; print(cortseq.__file__)"
    found = _said([sys.executable, "-c", where], clone, environment)
    if not Path(found).is_relative_to(clone):
        raise RuntimeError(f"{revision} would be run with the package at {found}")
    command = [sys.executable, "-m", "snakemake", "--cores", str(cores)]
    command += [] if study is None else ["--configfile", str(study)]
    start, used = time.perf_counter(), _children()
    log = _said(command, clone, environment)
    wall, cpu = time.perf_counter() - start, _children() - used
    jobs = _DONE.findall(log)
    return Run(
        revision, _git("rev-parse", "HEAD", folder=clone), int(jobs[-1][1]) if jobs else 0, wall, cpu,
        _digest(clone, study),
    )  # fmt: skip


def table(runs: list[Run], same: bool) -> list[str]:
    """Return the lines that are printed."""
    lines = [f"{'revision':<24}{'commit':<10}{'jobs':>6}{'wall s':>10}{'CPU s':>10}"]
    for one in runs:
        seconds = f"{one.wall_seconds:>10.1f}{one.cpu_seconds:>10.1f}"
        lines.append(f"{one.revision:<24}{one.commit[:8]:<10}{one.jobs:>6}{seconds}")
    return [*lines, f"comparison.csv: {'the same bytes' if same else 'not the same bytes'}"]


def _digest(clone: Path, study: Path | None) -> str | None:
    import yaml

    from cortseq import store

    name = yaml.safe_load((study or clone / CONFIG).read_text(encoding="utf-8"))["study"]
    file = clone / "results" / name / "comparison.csv"
    return store.sha256(file) if file.is_file() else None


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _git(*arguments: str, folder: Path | None = None) -> str:
    return _said(["git", *arguments], folder, dict(os.environ))


def _said(command: list[str], folder: Path | None, environment: dict[str, str]) -> str:
    """Return what a command prints; what it said before it failed is printed."""
    both = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    done = subprocess.run(command, cwd=folder, env=environment, check=False, **both)
    if done.returncode:
        print(done.stdout, file=sys.stderr)
        done.check_returncode()
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
