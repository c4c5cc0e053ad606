"""Processes from start to end: an import, spikes into bins, `cortseq check`, the first step of a fit.

Times are CPU seconds of child processes, compiled Python files in place. `import cortseq` loads little, as
names load what they need when they are used; so the same is also done with spikes that are binned, kernels of
both libraries in their caches. `cortseq check` of a study is beside `snakemake --version`, the least that the
command of a workflow costs. The kernels' row runs one training step of a rate network twice: from the
compiler's cache, and from an empty one, as the first run after an installation does.
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

IMPORT = 3.0  # asked: times faster than pynapple
ENTRY = {"source": "synthetic", "kind": "ring", "trials": 30, "units": 10, "bins": 40}
MODELS = {"markov": {"family": "markov", "states": 8}, "rate": {"family": "rate", "hidden": 16, "epochs": 2}}
STEP = """
from cortseq.networks.problems import problem
from cortseq.networks.training.engines import stepper
print(stepper(*problem("rate", {}, 8, 16, 4, 20), "auto")()[0])
"""
OURS = """
import numpy as np
from cortseq import recording
times = (np.arange(10_000) + 0.5) / 1000
trial = np.zeros(10_000, int)
made = recording.from_spikes(times, trial, trial, window=(0.0, 10.0), bin_width=0.02, unit_names=["a"])
print(int(made["counts"].sum()))
"""
PYNAPPLE = """
import numpy as np, pynapple
times = (np.arange(10_000) + 0.5) / 1000
group = pynapple.TsGroup({0: pynapple.Ts(times)}, time_support=pynapple.IntervalSet(0, 10))
print(int(group.count(0.02).values.sum()))
"""
SAME_LOSS = 1e-6  # relative


def clock() -> float:
    """CPU seconds of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def cases() -> Iterator[Case]:
    yield imports()
    yield spikes()
    with tempfile.TemporaryDirectory() as folder:
        yield check(Path(folder))
        yield first_step(Path(folder))


def imports() -> Case:
    """The library, imported in a process of its own."""
    theirs = ended("-c", "import pynapple") if installed("pynapple") else None
    peer = Peer("import pynapple", theirs, _differing, 0, target(IMPORT))
    return Case("import cortseq", ended("-c", "import cortseq"), [peer])


def spikes() -> Case:
    """Ten thousand spikes of one unit, binned in a process of its own."""
    theirs = ended("-c", PYNAPPLE) if installed("pynapple") else None
    return Case(
        "spikes binned in a new process", ended("-c", OURS), [Peer("pynapple", theirs, _differing, 0)]
    )


def check(folder: Path) -> Case:
    """A study of one made-up recording, a chain and a network."""
    file = folder / "study.yaml"
    study = {"study": "made", "datasets": {"ring": ENTRY}, "models": MODELS}
    file.write_text(json.dumps(study))  # JSON is YAML
    peer = Peer("snakemake --version", ended("-m", "snakemake", "--version"), lambda *_: 0.0, 0)
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


def _differing(ours: str, theirs: str) -> float:
    """Return whether they printed different numbers (an import prints none); one that fails raises before."""
    return float(ours != theirs)
