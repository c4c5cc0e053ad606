"""What the Snakemake workflow catalogue asks of a repository, and the packages that are published."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
# Why it stays is said in CONTRIBUTING.md, under "Workflow catalogue".
JUSTIFIED = {"Specify a conda environment or container for each rule."}


def test_the_catalogue_finds_what_it_asks_for():
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage["report"] is True and usage["mandatory-flags"]["flags"] == []
    assert set(usage["software-stack-deployment"]) == {"conda", "apptainer", "apptainer+conda"}
    for file in ("workflow/Snakefile", "config/README.md", "workflow/rules/data.smk"):
        assert (ROOT / file).is_file()
    readme = (ROOT / "README.md").read_text(encoding="utf-8").lower()
    assert "snakemake" in readme and "workflow" in readme  # its search finds repositories by both words


def test_the_lint_of_snakemake_has_nothing_but_what_is_justified():
    linted = subprocess.run(
        [sys.executable, "-m", "snakemake", "--lint"], cwd=ROOT, capture_output=True, text=True
    )
    found = set(re.findall(r"^ +\* (.+?):?$", linted.stderr, re.MULTILINE))
    assert found == JUSTIFIED, linted.stderr


def test_the_container_holds_what_its_definition_copies_and_installs():
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    extras = re.search(r"/opt/cortseq\[([\w,]+)\]", text)[1].split(",")
    known = re.search(
        r"\[project.optional-dependencies\]\n(.*?)\n\n", (ROOT / "pyproject.toml").read_text(), re.S
    )
    assert set(extras) <= set(re.findall(r"^(\w+) = ", known[1], re.MULTILINE))
    left_out = set((ROOT / ".dockerignore").read_text().split())
    assert not left_out & {
        "src",
        "workflow",
        "profiles",
        "config",
        "Snakefile",
        "constraints.txt",
        "README.md",
    }


@pytest.mark.slow
def test_source_and_wheel_are_built_and_accepted(tmp_path):
    """The wheel is built from the source distribution, so that this holds all that the wheel needs."""
    pytest.importorskip("build")
    pytest.importorskip("twine")
    clone = tmp_path / "clone"
    shutil.copytree(ROOT, clone, ignore=shutil.ignore_patterns(".*", "build", "results", "site", "data"))
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path / "dist", clone]
    built = subprocess.run(build, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]
    files = sorted((tmp_path / "dist").iterdir())
    assert [file.suffix for file in files] == [".whl", ".gz"]
    check = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *files], capture_output=True, text=True
    )
    assert check.returncode == 0, check.stdout
