"""A results folder that held another study before: nothing of it gets into tables and figures."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cortseq import figures
from cortseq.observations import TRACKS
from cortseq.products import PATHS, Facts, Products, files, path

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
TASKS = {"forecasts": ("null", "rate"), "memory": ("rate",), "generation": ("rate",)}


def _facts(**changes) -> Facts:
    variants = ("null", "markov", "rate")
    known = {"dataset": "ring", "track": "counts", "folds": 3, "variants": variants, "tasks": TASKS}
    return Facts(**(known | {"recurrent": ("rate",), "flowing": ("rate",)} | changes))


def test_what_a_figure_is_handed_follows_the_study_and_not_the_folder(tmp_path):
    before, out = _facts(), str(tmp_path)
    for product in PATHS:
        for file in files(out, product, before):
            Path(file).parent.mkdir(parents=True, exist_ok=True)
            Path(file).write_text("old")
    after = _facts(folds=1, variants=("null", "rate"), tasks={**TASKS, "forecasts": ("null",)})
    needs = {need for figure in figures.registry().values() for need in figure.needs}
    given = Products.below(out, needs, after)
    assert given.keys("scores") == [("null", 0), ("rate", 0)]
    assert given.keys("forecasts") == [("null", 0)] and given.keys("memory") == [("rate", 0)]
    for need in needs:
        assert all(0 in key or not key for key in given.keys(need))
        assert all("markov" not in key for key in given.keys(need))
    renamed = _facts(dataset="circle")
    assert not any(
        "ring" in Path(file).relative_to(out).parts for need in needs for file in files(out, need, renamed)
    )


@pytest.mark.parametrize("name", sorted(figures.registry()))
def test_every_figure_declares_products_that_exist(name):
    figure = figures.registry()[name]
    assert set(figure.needs) <= set(PATHS) and figure.scope in ("study", "recording")
    for track in TRACKS:
        caption = figure.text(_facts(track=track))
        assert figure.title and caption.endswith((".", "trials.")) and len(caption) > 100


def test_a_path_keeps_what_is_not_given():
    assert path("out", "scores", dataset="ring") == "out/scores/ring/{variant}/fold{fold}.zarr.zip"


RING = {"source": "synthetic", "kind": "ring", "trials": 24, "units": 4, "bins": 8}
BEFORE = {
    "study": "s",
    "folds": 3,
    "members": 1,
    "valid_fraction": 0.2,
    "horizons": [1, 2],
    "samples": 4,
    "forecast_trials": 2,
    "datasets": {"ring": RING, "other": RING},
    "models": {
        "psth": {"family": "psth"},
        "markov": {"family": "markov", "states": 2},
        "rate": {"family": "rate", "hidden": 2, "epochs": 1},
    },
}
AFTER = BEFORE | {
    "folds": 1,
    "datasets": {"ring": RING, "renamed": RING},
    "models": {name: entry for name, entry in BEFORE["models"].items() if name != "psth"},
}


def _run(folder: Path, study: dict) -> Path:
    """The results of a study that is run in a folder, up to its report."""
    for name in ("Snakefile", "workflow", "profiles"):
        source = ROOT / name
        if not (folder / name).exists():
            (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    environment.pop("CORTSEQ_MIRRORS", None)
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "study.yaml"]
    answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    assert answer.returncode == 0, answer.stderr[-3000:]
    return folder / "results" / study["study"]


@pytest.mark.slow
def test_a_folder_with_a_past_gives_the_bytes_of_a_new_one(tmp_path):
    """Folds are lowered, a model is removed, a recording is renamed."""
    (tmp_path / "used").mkdir()
    (tmp_path / "new").mkdir()
    _run(tmp_path / "used", BEFORE)
    used, new = _run(tmp_path / "used", AFTER), _run(tmp_path / "new", AFTER)
    names = ["comparison.csv", "variants.csv", "budget.csv", "sessions.csv"]
    names += sorted(f"figures/{file.name}" for file in (new / "figures").glob("*.csv"))
    assert len(names) > 20
    different = [name for name in names if (used / name).read_bytes() != (new / name).read_bytes()]
    assert not different
