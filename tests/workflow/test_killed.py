"""A batch that is killed: what it had made before is there in the next run, although Snakemake removed it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cortseq.steps import Step

ROOT = Path(__file__).parents[2]
SNAKEMAKE = Path(sys.executable).parent / "snakemake"
# The rule is marked as those of workflow/rules/steps.smk are.
SNAKEFILE = """
import json
STEPS = json.load(open("steps.json"))

rule batch:
    output:
        [update(file) for step in STEPS for file in step["made"].values()],
    log:
        "batch.log",
    params:
        steps=STEPS,
    script:
        "batch.py"
"""
SCRIPT = """
import os
import signal
from pathlib import Path

with open("made", "a") as file:
    print(snakemake.wildcards[0], file=file)
if Path(f"kill_{snakemake.wildcards[0]}").exists():
    os.kill(os.getpid(), signal.SIGKILL)
Path(snakemake.output[0]).write_text(Path("words").read_text() + snakemake.wildcards[0])
"""


def run(folder: Path) -> int:
    command = [SNAKEMAKE, "--cores", "1", "--rerun-incomplete", "--forcerun", "batch"]
    return subprocess.run(command, cwd=folder, capture_output=True).returncode


@pytest.mark.parametrize("updated", [False, True])
def test_steps_that_were_made_before_a_kill_are_not_made_again(tmp_path, updated):
    """Also where there are products of an earlier run, which Snakemake then brings back."""
    steps = [
        Step("one", "out", name, {"words": "words"}, {"text": f"out/{name}.txt"}, {}, {"name": name}).plain
        for name in ("first", "second", "third")
    ]
    (tmp_path / "steps.json").write_text(json.dumps(steps))
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    (tmp_path / "one.py").write_text(SCRIPT)
    (tmp_path / "words").write_text("the ")
    shutil.copy(ROOT / "workflow/scripts/batch.py", tmp_path)
    made = tmp_path / "made"
    if updated:
        assert run(tmp_path) == 0
        (tmp_path / "words").write_text("a ")
        made.unlink()
    kill = tmp_path / "kill_third"
    kill.touch()
    assert run(tmp_path) != 0
    assert made.read_text().split() == ["first", "second", "third"]
    assert (tmp_path / "out/first.txt").exists() == updated  # removed, or of the earlier run
    os.unlink(kill)
    assert run(tmp_path) == 0
    assert made.read_text().split() == ["first", "second", "third", "third"]
    word = "a " if updated else "the "
    assert [(tmp_path / f"out/{name}.txt").read_text() for name in ("first", "third")] == [
        f"{word}first",
        f"{word}third",
    ]
    assert not list(tmp_path.rglob("*.kept"))
