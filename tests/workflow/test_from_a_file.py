"""From `cortseq new FILE` to a comparison without an editor: the study that it writes runs as it is."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from layouts import LAYOUTS

from cortseq import cli, store, study
from cortseq.stages import estimate

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
SHOWN = ["phy", "csv_trials", "mat_unit_trial", "npy_counts", "nwb_calcium", "nwb_zarr", "nwb_streamed"]
MODELS = {"null", "psth", "markov", "hmm", "glm", "rate", "hmm_averaged", "rate_averaged"}


def _workplace(folder: Path) -> None:
    for name in ("Snakefile", "workflow", "profiles"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)


def _snakemake(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "NO_PROXY": "127.0.0.1"}
    environment.pop("CORTSEQ_MIRRORS", None)
    answer = subprocess.run(
        [sys.executable, "-m", "snakemake", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert answer.returncode == 0, (answer.stdout + answer.stderr)[-3000:]
    return answer.stdout + answer.stderr


def _begun(name: str, folder: Path, monkeypatch):
    """Make a recording and let `cortseq new` have it; return it and the study that was written."""
    if LAYOUTS[name].package:
        pytest.importorskip(LAYOUTS[name].package)
    _workplace(folder)
    made = LAYOUTS[name].make(folder)
    given = made.entry.get("path") or made.entry["url"]
    monkeypatch.chdir(folder)
    assert cli.main(["new", given, "-o", "mine.yaml"]) == 0
    return made, study.read("mine.yaml")


@pytest.mark.slow
@pytest.mark.parametrize("name", SHOWN)
def test_a_raw_file_becomes_a_comparison(name, tmp_path, monkeypatch):
    made, plan = _begun(name, tmp_path, monkeypatch)
    target = f"results/{plan.study}/comparison.csv"
    try:
        assert cli.main(["check", "mine.yaml"]) == 0
        _snakemake(tmp_path, target, "--cores", "2", "--configfile", "mine.yaml")
    finally:
        made.close()
    table = pd.read_csv(tmp_path / target, keep_default_na=False, na_values=[""])
    assert set(table["model"]) == MODELS
    assert set(table["dataset"]) == set(plan.datasets)
    assert table.set_index("model")["value"].drop("null").notna().all()
    (manifest,) = (tmp_path / f"results/{plan.study}/splits").glob("*.json")
    (fold,) = store.read_json(manifest)["folds"]
    assert set(table["trials"]) == {len(fold["test"])}
    assert (table["n_events"] > 0).all()


def test_a_streamed_recording_is_planned_without_a_file(tmp_path, monkeypatch):
    made, plan = _begun("nwb_streamed", tmp_path, monkeypatch)
    made.close()
    (source,) = plan.datasets.values()
    assert source.url == made.entry["url"] and source.stream and source.path is None
    said = _snakemake(tmp_path, "--cores", "1", "--dry-run", "--configfile", "mine.yaml")
    assert "rule load:" in said and "rule fetch:" not in said
    stats: dict[str, int] = {}
    for rule, n in dict(re.findall(r"^(\w+) +(\d+)$", said, re.MULTILINE)).items():  # it is said twice
        kind = re.sub(r"_.*_\d+$|_\d+$", "", rule)  # the jobs of a kind are numbered
        stats[kind] = stats.get(kind, 0) + int(n)
    assert {rule: n for rule, n in stats.items() if rule not in ("all", "total")} == estimate.of_study(
        plan, {}, 1
    )["jobs"]
