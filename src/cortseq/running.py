"""Run a study in the current folder with the workflow that comes with the package.

`cortseq run` is `snakemake` with the right arguments: from a wheel the workflow lies inside the package, in a
clone beside it. Results, logs and fetched files go to the current folder.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from cortseq import leases, locks, store, watching, yamlfile
from cortseq.errors import CortseqError
from cortseq.stages import Plan

SAID = "logs/snakemake.log"  # below the study's results
_SHOWN = 20  # lines of it, where nothing else says why a run failed
_KEPT = 2000  # lines of it that are held in memory

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
    CortseqError : the study has no such product, or a plugin that the profile needs is not installed.
    """
    home = project()
    own = home / "profiles" / profile
    folder = own if own.is_dir() else Path(profile)
    found = ["--profile", str(folder)] if profile else []
    _check_executor(folder / "profile.yaml")
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


def _check_executor(profile: Path) -> None:
    """Raise a CortseqError where a profile submits jobs by a plugin of Snakemake that is not installed."""
    kind = yamlfile.load(profile).get("executor", "local") if profile.is_file() else "local"
    plugin = f"snakemake-executor-plugin-{kind}"
    if kind != "local" and importlib.util.find_spec(plugin.replace("-", "_")) is None:
        fix = f"pip install {plugin}" + " (or cortseq with the extra `slurm`)" * (kind == "slurm")
        raise CortseqError(
            "a plugin of Snakemake is not installed", file=profile, key="executor", value=kind, fix=fix
        )


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
    failed run ends with what failed, where its log is, and what to do. Where the terminal is gone, the run
    goes on unseen. A dry run, and what is handed on to Snakemake, are answered by Snakemake itself.

    Raises
    ------
    CortseqError : the results cannot be written here, the study is being run here, or as of `command`.
    """
    begin, words, out = time.time(), command(config, plan, **how), Path(plan.out)
    if how.get("dry_run") or how.get("more"):
        asked = subprocess.Popen(words, env=_environment())
        with _patient(asked):
            return asked.wait()
    locks.refuse(plan.study.study)
    with _written(out / SAID) as log:
        process = _started(words)
        said = deque[str](maxlen=_KEPT)
        reader = threading.Thread(target=_read, args=(process, log, said))
        reader.start()
        with _patient(process) as signals:
            if not how.get("quiet"):
                ended = functools.partial(_ended, process)
                with contextlib.suppress(OSError):  # nobody listens any longer
                    watching.follow(watching.Watch(out, begin), ended, plan.study.study)
            status = process.wait()
            reader.join()
    if status and signals:
        print("ended: what was made stays, and the same command goes on with the rest", file=sys.stderr)
    elif status:
        found = reasons(out, begin) or _errors(said) or _end(said, out / SAID)
        print("\n".join(found), file=sys.stderr)
    return status


def _started(words: Sequence[str]) -> subprocess.Popen[str]:
    """Start a command whose words are read from a pipe."""
    return subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=_environment(),
        encoding="utf-8",
        errors="replace",
    )


def _environment() -> dict[str, str]:
    """Return the environment of a run: text and names of files are UTF-8 whatever the locale.

    Where the user's cache cannot be written, libraries keep what they compile in the project.
    """
    found = os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}
    try:
        cache = store.user_cache("").parent
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache):
            return found
    except (OSError, RuntimeError):  # a home that cannot be written, or none
        folder = str(Path(".snakemake/cache").absolute())
        return found | {"XDG_CACHE_HOME": folder, "MPLCONFIGDIR": f"{folder}/matplotlib"}


def _read(process: subprocess.Popen[str], log: IO[bytes], said: deque[str]) -> None:
    """Write what a process says to a log, and keep the last lines: the log may be on a full disk."""
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            said.append(line.rstrip("\n"))
            if line.startswith("unlocked: "):
                print(line, end="", file=sys.stderr)
            with contextlib.suppress(OSError):
                log.write(line.encode())


@contextlib.contextmanager
def _patient(process: subprocess.Popen[Any]) -> Iterator[list[int]]:
    """Yield the signals that ask to end, as they come; the process that runs cleans up before it ends.

    Ctrl-C goes to all processes of a terminal. SIGTERM is handed on: steps that run are finished first.
    """
    signals: list[int] = []

    def note(number: int, _: Any) -> None:
        signals.append(number)
        if number == signal.SIGTERM:
            process.terminate()

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _written(file: Path) -> IO[bytes]:
    """Return a file that is open to be written, and holds nothing back: it can be closed on a full disk."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return file.open("wb", buffering=0)
    except OSError as error:
        fix = "run in a folder that can be written to"
        raise CortseqError(f"cannot be written: {error.strerror}", file=file, fix=fix) from None


def _ended(process: subprocess.Popen[Any], seconds: float) -> bool:
    """Wait for a process; return whether it has ended."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    return process.returncode is not None


def _errors(said: Iterable[str]) -> list[str]:
    """Return the errors among the lines that were said, each once, and whether Snakemake met a full disk."""
    lines = list(said)
    errors = [line.split("error: ", 1)[1] for line in lines if line.startswith("error: ")]
    found = [f"failed: {error}" for error in dict.fromkeys(errors)]
    if not found and any(f"[Errno {errno.ENOSPC}]" in line for line in lines):
        found = [f"failed: {store.full(Path.cwd())}"]
    return found


def _end(said: Iterable[str], file: Path) -> list[str]:
    """Return the last lines of what Snakemake said, and where all of it is."""
    lines = [line for line in said if line.strip()]
    return [*lines[-_SHOWN:], f"(all that was said: {file})"]


def reasons(out: Path, begin: float) -> list[str]:
    """Return a line for every log below `out/logs` that has an error since `begin` (s since 1970).

    So has the log of a step that was killed and not made again since.
    """
    lines = []
    for log in sorted((out / "logs").rglob("*.log")):
        if log.stat().st_mtime < begin:
            continue
        text = log.read_text(encoding="utf-8", errors="replace").splitlines()
        errors = [
            line.split("error: ", 1)[1] for line in text if "error: " in line and leases.KILLED not in line
        ]
        errors += [line.split(leases.KILLED, 1)[1] for line in text[-1:] if leases.KILLED in line]
        lines += [f"failed: {error}  (log: {log})" for error in dict.fromkeys(errors)]
    return lines
