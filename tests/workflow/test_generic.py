"""The profile for any scheduler: here one of three shell scripts, which runs a job in the background."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
STUDY = """\
study: small
members: 1
horizons: []
datasets:
  ring: {source: synthetic, kind: ring, trials: 30, units: 4, bins: 12}
models:
  markov: {family: markov, states: 4, order: 1}
"""
# The job's number is that of its process. What it asked for is written beside; the first try of the fits is killed.
SUBMIT = """#!/bin/bash
echo "$@" >> asked
( if grep -q '"rule": "fits_' "$3" && mkdir killed 2>/dev/null; then kill -9 $BASHPID; fi
  bash "$3"; echo $? > ended.$BASHPID ) >/dev/null 2>&1 &
echo $!
"""
STATUS = """#!/bin/bash
if [ -e ended.$1 ]; then [ $(cat ended.$1) = 0 ] && echo success || echo failed
elif kill -0 $1 2>/dev/null; then echo running; else echo failed; fi
"""
CANCEL = """#!/bin/bash
kill "$@"
"""


pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("snakemake_executor_plugin_cluster_generic") is None,
    reason="the extra `generic` is not installed",
)


def run(folder: Path, study: str, target: str) -> subprocess.CompletedProcess[str]:
    """Run a study to a target on the three shell scripts."""
    (folder / "small.yaml").write_text(study)
    variables = {"PYTHONPATH": f"{ROOT}/src{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    for name, text in (("submit", SUBMIT), ("status", STATUS), ("cancel", CANCEL)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
        variables[f"CORTSEQ_{name.upper()}"] = str(folder / name)
    variables["CORTSEQ_SUBMIT"] += " {resources.mem_mb} {resources.runtime}"
    command = [sys.executable, "-m", "snakemake", "--snakefile", f"{ROOT}/Snakefile"]
    command += ["--configfile", "small.yaml", "--profile", f"{ROOT}/profiles/generic", "--latency-wait", "5"]
    return subprocess.run(
        [*command, "--", target], cwd=folder, env=os.environ | variables, capture_output=True, text=True
    )


def test_a_scheduler_that_is_given_by_its_commands(tmp_path):
    target = "results/small/scores/ring/markov/fold0.zarr.zip"
    answer = run(tmp_path, STUDY, target)
    assert answer.returncode == 0, answer.stderr
    assert (tmp_path / target).is_file() and (tmp_path / "killed").is_dir()
    asked = [line.split()[:2] for line in (tmp_path / "asked").read_text().splitlines()]
    first, second = (tuple(map(int, numbers)) for numbers in asked[-2:])
    assert second[0] == pytest.approx(2 * first[0], abs=100) and second[1] == 2 * first[1]


def test_an_error_of_the_data_is_not_tried_again(tmp_path):
    np.savez(tmp_path / "bad.npz", c=np.full((30, 12, 4), -1))
    data = "{source: npz, path: bad.npz, counts: c, axes: [trial, time, unit], native_bin_ms: 10}"
    study = STUDY.replace("{source: synthetic, kind: ring, trials: 30, units: 4, bins: 12}", data)
    answer = run(tmp_path, study, "results/small/trials/ring.zarr.zip")
    assert answer.returncode != 0
    assert "error: " in "".join(log.read_text() for log in tmp_path.glob("results/small/logs/*/ring.log"))
    asked = (tmp_path / "asked").read_text()
    assert asked.count("snakejob.load.") == 1
