"""Runs faults: a copy of the project for each worker, one fault at a time in it, the nearest tests on it.

A copy stays at one place from run to run and files keep their times, so that compiled code is found again. A fault in
a file with compiled functions gets a compiler cache of its own: the compiler does not see that a function changed
which another file calls.
"""

from __future__ import annotations

import functools
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.util import cache_from_source
from pathlib import Path

from mutation import faults
from mutation.records import Fault, Place, patched, place

ROOT = Path(__file__).resolve().parents[2]
SCRATCH = Path(tempfile.gettempdir()) / f"cortseq-mutation-{os.getuid()}"
COPIED = ("src", "tests", "benchmarks", "workflow", "config", "docs", "profiles", "data", "results")
COPIED_FILES = ("Snakefile", "pyproject.toml", "README.md", "constraints.txt", "Makefile")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.egg-info", ".snakemake", ".pytest_cache", "*.zarr.zip")
SECONDS, LEAST_SECONDS = 300.0, 90.0  # that a target may take: without a fault, and with one at the least

Say = Callable[[str], None]


@dataclass(frozen=True)
class Result:
    """What became of one fault: `by` is the first test that failed on it, "" where none did; at which commit."""

    area: str
    breaks: str
    inside: str
    caught: bool
    by: str
    seconds: float
    commit: str = "unknown"


class Worker:
    """One copy of the project, and tests run in it.

    passed : of all workers, seconds that a target takes without a fault.
    """

    def __init__(self, number: int, passed: dict[str, float]):
        self.tree, self.passed = SCRATCH / f"tree{number}", passed
        self.count, self.server = 0, None
        _copy(ROOT, self.tree)

    def run(self, area: str, fault: Fault) -> Result:
        """Seed one fault, run its tests until one fails, and take the fault out again."""
        where = place(fault, self.tree)
        start, by, caught_by = time.monotonic(), "", ""
        before, stat = where.path.read_bytes(), where.path.stat()
        try:
            self._write(where, patched(fault, where))
            for target in filter(self._exists, fault.tests):
                limit = max(LEAST_SECONDS, 5 * self.passed[target]) if target in self.passed else SECONDS
                by = self._failing(target, limit, self._compiled(where))
                if by:
                    caught_by = target
                    break
        finally:
            where.path.write_bytes(before)
            os.utime(where.path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
            _forget(where.path)
        if caught_by:
            self._check_passes(caught_by)
        return Result(area, fault.breaks, fault.inside, bool(by), by, time.monotonic() - start, commit())

    def _write(self, where: Place, text: str) -> None:
        self.count += 1
        where.path.write_text(text)
        later = time.time_ns() + self.count * 10**9  # two faults of one file never have one time
        os.utime(where.path, ns=(later, later))
        _forget(where.path)

    def _compiled(self, where: Place) -> dict[str, str]:
        """Where the compiler keeps its results while a fault is in."""
        if where.path.suffix != ".py" or "njit" not in where.path.read_text():
            return {}
        cache = self.tree.parent / f"{self.tree.name}-compiled"
        shutil.rmtree(cache, ignore_errors=True)
        return {"NUMBA_CACHE_DIR": str(cache)}

    def _exists(self, target: str) -> bool:
        return bool(_files(self.tree, target))

    def _check_passes(self, target: str) -> None:
        """Tests that fail without a fault would catch everything."""
        if target not in self.passed:
            start = time.monotonic()
            if by := self._failing(target, SECONDS, {}):
                raise RuntimeError(f"{target} fails without a fault: {by}")
            self.passed[target] = time.monotonic() - start

    def _failing(self, target: str, seconds: float, extra: dict[str, str]) -> str:
        """The first test of a target that fails, "" where all pass."""
        name, _, expression = target.partition(" -k ")
        arguments = ["-x", "-q", "--no-header", "-p", "no:cacheprovider"]
        # libraries that the server has imported bring plug-ins of pytest: they need not be rewritten
        arguments += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
        arguments += [str(f.relative_to(self.tree)) for f in _files(self.tree, target)]
        arguments += ["-k", expression] if expression else []
        if extra:
            seconds += 120  # everything is compiled anew
        status, output = (self._alone if extra else self._forked)(arguments, seconds, extra)
        if status is None:
            return f"{name} (not done in {seconds:.0f} s)"
        if status in (0, 5):  # 5: no test has such a name, which test_mutation.py looks for
            return ""
        failed = re.search(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE)
        if failed is None and status > 0:
            raise RuntimeError(f"{target}: pytest ended with {status}\n{output[-2000:]}")
        return failed[1].removeprefix("tests/") if failed else f"{name} (died)"

    def _environment(self, extra: dict[str, str]) -> dict[str, str]:
        paths = f"{self.tree / 'src'}:{self.tree / 'tests'}"
        given = {k: v for k, v in os.environ.items() if k != "CORTSEQ_MIRRORS"}  # large recordings take long
        return {**given, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", **extra}

    def _forked(self, arguments: list[str], seconds: float, extra: dict[str, str]) -> tuple[int | None, str]:
        """pytest in a fork of a process that has imported the libraries: its status and what it said."""
        if self.server is None or self.server.poll() is not None:
            command = [sys.executable, "-m", "mutation.server"]
            self.server = subprocess.Popen(
                command, cwd=self.tree, env=self._environment(extra), text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )  # fmt: skip
        assert self.server.stdin is not None and self.server.stdout is not None
        output = self.tree.parent / f"{self.tree.name}.log"
        given = {"arguments": arguments, "output": str(output), "seconds": seconds}
        self.server.stdin.write(json.dumps(given) + "\n")
        self.server.stdin.flush()
        return json.loads(self.server.stdout.readline()), output.read_text(errors="replace")

    def _alone(self, arguments: list[str], seconds: float, extra: dict[str, str]) -> tuple[int | None, str]:
        """The same in a process of its own, where the compiler has another cache."""
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", *arguments], cwd=self.tree, env=self._environment(extra), text=True,
            start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return None, ""
        return process.returncode, output

    def close(self) -> None:
        """End the process that forks."""
        if self.server is not None and self.server.stdin is not None:
            self.server.stdin.close()
            self.server.wait()


def run(chosen: Sequence[tuple[str, Fault]], jobs: int, say: Say = print) -> list[Result]:
    """Results of faults (area, fault), in their order; `jobs` copies of the project side by side."""
    waiting: queue.SimpleQueue = queue.SimpleQueue()
    for i, pair in enumerate(chosen):
        waiting.put((i, *pair))
    results: dict[int, Result] = {}
    broken: list[BaseException] = []
    passed: dict[str, float] = {}

    def work(number: int) -> None:
        worker = None
        try:
            worker = Worker(number, passed)
            while not broken:
                try:
                    i, area, fault = waiting.get_nowait()
                except queue.Empty:
                    return
                results[i] = found = worker.run(area, fault)
                keep([found], {found.breaks: fault})
                mark = "caught  " if found.caught else "SURVIVED"
                say(f"{len(results):4d}/{len(chosen)} {mark} {found.seconds:5.0f} s  {area}: {found.breaks}")
        except BaseException as error:
            broken.append(error)
        finally:
            if worker is not None:
                worker.close()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if broken:
        raise broken[0]
    return [results[i] for i in range(len(chosen))]


def everything(areas: Sequence[str] | None = None) -> list[tuple[str, Fault]]:
    """All faults of some areas, or of all."""
    return [(area, fault) for area in areas or faults.areas() for fault in faults.of(area)]


# -- what is known from earlier runs ---------------------------------------------------------------

_LOCK = threading.Lock()
_KNOWN = SCRATCH / "results.json"


def keep(results: Sequence[Result], faults_of: dict[str, Fault]) -> None:
    """Remember results, so that a report of all areas can be made of several runs."""
    with _LOCK:
        content = json.loads(_KNOWN.read_text()) if _KNOWN.exists() else {}
        content |= {faults_of[r.breaks].key(): asdict(r) for r in results}
        _KNOWN.parent.mkdir(parents=True, exist_ok=True)
        _KNOWN.write_text(json.dumps(content, indent=1))


def known() -> dict[str, Result]:
    """Remembered results by the key of their fault."""
    content = json.loads(_KNOWN.read_text()) if _KNOWN.exists() else {}
    return {key: Result(**value) for key, value in content.items()}


@functools.cache
def commit() -> str:
    """The commit of the working copy when the first fault was seeded."""
    command = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip() or "unknown"


# -- files -----------------------------------------------------------------------------------------


def _copy(source: Path, target: Path) -> None:
    """Bring a copy up to date: files that differ are replaced, files that are gone removed, caches kept."""
    wanted = set()
    for name in (*COPIED, *COPIED_FILES):
        top = source / name
        files = [top] if top.is_file() else [f for f in top.rglob("*") if f.is_file()] if top.is_dir() else []
        for file in files:
            inside = file.relative_to(source)
            if any(
                part in ("__pycache__", ".snakemake") or part.endswith(".egg-info") for part in inside.parts
            ):
                continue
            wanted.add(inside)
            copy = target / inside
            if copy.exists() and copy.read_bytes() == file.read_bytes():
                continue
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, copy)
            _forget(copy)
    for name in COPIED:
        for file in (target / name).rglob("*") if (target / name).is_dir() else ():
            if file.is_file() and "__pycache__" not in file.parts and file.relative_to(target) not in wanted:
                file.unlink()


def _forget(path: Path) -> None:
    """Remove the byte code of a file that changes within a second."""
    if path.suffix == ".py":
        Path(cache_from_source(str(path))).unlink(missing_ok=True)


def _files(tree: Path, target: str) -> list[Path]:
    """The test files that a target names."""
    return sorted((tree / "tests").rglob(target.partition(" -k ")[0]))
