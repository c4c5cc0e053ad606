"""The profile for any scheduler: here one of three shell scripts, which runs a job in the background."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

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


@pytest.mark.skipif(
    importlib.util.find_spec("snakemake_executor_plugin_cluster_generic") is None,
    reason="the extra `generic` is not installed",
)
def test_a_scheduler_that_is_given_by_its_commands(tmp_path):
    (tmp_path / "small.yaml").write_text(STUDY)
    variables = {"PYTHONPATH": f"{ROOT}/src{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    for name, text in (("submit", SUBMIT), ("status", STATUS), ("cancel", CANCEL)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
        variables[f"CORTSEQ_{name.upper()}"] = str(tmp_path / name)
    variables["CORTSEQ_SUBMIT"] += " {resources.mem_mb} {resources.runtime}"
    command = [sys.executable, "-m", "snakemake", "--snakefile", f"{ROOT}/Snakefile"]
    command += ["--configfile", "small.yaml", "--profile", f"{ROOT}/profiles/generic", "--latency-wait", "5"]
    target = "results/small/scores/ring/markov/fold0.zarr.zip"
    answer = subprocess.run(
        [*command, "--", target], cwd=tmp_path, env=os.environ | variables, capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr
    assert (tmp_path / target).is_file() and (tmp_path / "killed").is_dir()
    asked = [line.split()[:2] for line in (tmp_path / "asked").read_text().splitlines()]
    first, second = (tuple(map(int, numbers)) for numbers in asked[-2:])
    assert second[0] == pytest.approx(2 * first[0], abs=100) and second[1] == 2 * first[1]
