"""Processes from start to end: imports, the command `cortseq check`, and kernels that no run has compiled before.

Times are CPU seconds of child processes, compiled Python files in place. What a user waits for beside `import
cortseq` is a library for the same recordings (pynapple) and the one that the networks need (torch). `cortseq
check` of a study is beside `snakemake --version`, the least that the command of a workflow costs. The kernels'
row runs one training step of a rate network twice: from the compiler's cache, and from an empty one.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.harness import Case, Peer, installed, target

IMPORTS = {"pynapple": 5.0, "torch": 5.0}
ENTRY = {"source": "synthetic", "kind": "ring", "trials": 30, "units": 10, "bins": 40}
MODELS = {"markov": {"family": "markov", "states": 8}, "rate": {"family": "rate", "hidden": 16, "epochs": 2}}
STEP = """
from cortseq.networks.problems import problem
from cortseq.networks.training.engines import stepper
print(stepper(*problem("rate", {}, 8, 16, 4, 20), "auto")()[0])
"""
SAME_LOSS = 1e-6  # relative


def clock() -> float:
    """CPU seconds of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def cases() -> Iterator[Case]:
    yield imports()
    with tempfile.TemporaryDirectory() as folder:
        yield check(Path(folder))
        yield first_step(Path(folder))


def imports() -> Case:
    """A library imported in a process of its own."""
    peers = [
        Peer(
            f"import {name}",
            ended("-c", f"import {name}") if installed(name) else None,
            _failed,
            0,
            target(x),
        )
        for name, x in IMPORTS.items()
    ]
    return Case("import cortseq", ended("-c", "import cortseq"), peers)


def check(folder: Path) -> Case:
    """A study of one made-up recording, a chain and a network."""
    file = folder / "study.yaml"
    study = {"study": "made", "datasets": {"ring": ENTRY}, "models": MODELS}
    file.write_text(json.dumps(study))  # JSON is YAML
    peer = Peer("snakemake --version", ended("-m", "snakemake", "--version"), _failed, 0)
    return Case("cortseq check", ended("-m", "cortseq.cli", "check", str(file)), [peer])


def first_step(folder: Path) -> Case:
    """One training step with kernels from the compiler's cache, and with kernels that are compiled for it."""
    warm, cold = folder / "warm", folder / "cold"

    def first() -> str:
        shutil.rmtree(cold, ignore_errors=True)
        return ended("-c", STEP, NUMBA_CACHE_DIR=str(cold))()

    def apart(ours: str, theirs: str) -> float:
        return abs(float(ours) / float(theirs) - 1)

    peer = Peer("nothing compiled before", first, apart, SAME_LOSS)
    return Case("first training step of a process", ended("-c", STEP, NUMBA_CACHE_DIR=str(warm)), [peer])


def ended(*arguments: str, **environment: str) -> Callable[[], str]:
    """Return a function that runs Python with `arguments` and returns what it printed."""
    command = [sys.executable, *arguments]

    def run() -> str:
        environ = {**os.environ, **environment}
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout

    return run


def _failed(ours: str, theirs: str) -> float:
    """0: a command that fails raises before this."""
    return 0.0
