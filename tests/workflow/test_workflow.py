"""The whole path on a tiny study: products, a second run, what a change re-runs, and bad input."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from cortseq import models, store

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
STUDY = {
    "study": "tiny",
    "members": 2,
    "datasets": {
        "ring": {"source": "synthetic", "kind": "ring", "trials": 40, "units": 8, "bins": 12},
        "even": {"source": "synthetic", "kind": "even", "trials": 30, "bins": 12},
    },
    "models": {
        "markov": {"family": "markov", "states": 4, "order": [1, 2]},
        "rate": {"family": "rate", "hidden": 4, "epochs": 3},
    },
    "theory": {"euler": {"units": 6, "duration": 2.0}},
}


def snakemake(folder: Path, study: dict, *arguments: str) -> subprocess.CompletedProcess:
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    # --configfile takes all that follows it: targets stand before
    command = [BIN / "snakemake", *arguments, "--cores", "2", "--configfile", "study.yaml"]
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    environment.pop("CORTSEQ_MIRRORS", None)
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)


def nothing_to_do(folder: Path, study: dict) -> bool:
    answer = snakemake(folder, study, "--dry-run")
    assert answer.returncode == 0, answer.stderr
    return "Nothing to be done" in answer.stdout + answer.stderr


def made_again(folder: Path, study: dict, target: str) -> set[str]:
    """Names of the steps that are made again where a finished study changed."""
    notes = folder / "results/tiny/made"
    before = {note: note.stat().st_mtime_ns for note in notes.rglob("*.json")}
    answer = snakemake(folder, study, target)
    assert answer.returncode == 0, answer.stderr[-3000:]
    after = {note: note.stat().st_mtime_ns for note in notes.rglob("*.json")}
    return {str(note.relative_to(notes).with_suffix("")) for note in after if after[note] != before.get(note)}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A copy of the workflow with the tiny study run to the end."""
    folder = tmp_path_factory.mktemp("study")
    for name in ("Snakefile", "workflow", "profiles"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    answer = snakemake(folder, STUDY)
    assert answer.returncode == 0, answer.stderr[-3000:]
    return folder


def test_every_product_is_there_and_readable(finished):
    out = finished / "results/tiny"
    frame = pd.read_csv(out / "comparison.csv", keep_default_na=False, na_values=[""])
    assert list(zip(frame["dataset"], frame["model"], strict=True)) == [
        (d, m) for d in sorted(STUDY["datasets"]) for m in ("null", "markov", "rate", "rate_averaged")
    ]
    assert (frame["role"] == ["null", "markov", "recurrent", "recurrent"] * 2).all()
    assert (frame["rung"] == ["L0", "L2", "L7", "L7"] * 2).all()
    assert list(pd.read_csv(out / "budget.csv")["settings"]) == [1, 1, 2, 1] * 2
    assert pd.read_csv(out / "sessions.csv").empty  # two tracks
    fit = models.load(out / "fits/ring/rate/fold0.safetensors")
    recording = store.read(out / "trials/ring.zarr.zip")
    scores = store.read(out / "scores/ring/rate/fold0.zarr.zip")
    again = fit.log_prob(recording, scores["trial"].values).values
    assert np.allclose(again, scores["log_prob"].values)
    for name in (
        *("ladder", "scores", "order", "trial_ring", "curves_even", "units_ring", "horizon_ring"),
        *("memory_even", "generation_even", "states_ring", "weight_spectra_even", "lyapunov_ring"),
        *("members_ring", "points_even", "mean_field_ring"),
        *("twins_even", "gradients_even", "seeds_ring", "theory_euler"),
        *("ceilings_even", "pit_ring", "units_even"),
    ):
        for suffix in ("svg", "pdf", "csv"):
            assert (out / f"figures/{name}.{suffix}").stat().st_size > 100
    audits = store.read_json(out / "audits/ring.json")["audits"]
    assert all(audit["passed"] or not audit["stopping"] for audit in audits)
    assert {audit["name"] for audit in audits} == set(
        "observed inputs causality provenance overlap blocks selection canary refit normalisation surrogates".split()
    ) | {"same bins", "equal content"}
    ahead = store.read(out / "forecasts/ring/rate/fold0.zarr.zip")
    one = scores["log_prob"].sel(trial=ahead["trial"]).values
    assert np.array_equal(ahead["log_prob"].sel(horizon=1).values, one, equal_nan=True)
    assert ahead.attrs["kind"] == "sampled" and ahead.attrs["samples"] == 128


def test_the_report_is_one_page_without_outside_resources(finished):
    page = (finished / "results/tiny/report.html").read_text()
    assert page.count("<svg") == 3 + 20 + 19 and "null" in page
    assert not re.search(r'(?:src|href)="https?://', page)
    assert not re.search(r"\bnan\b", page)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    used = set(re.findall(r'href="#([^"]+)"', page)) | set(re.findall(r"url\(#([^)]+)\)", page))
    assert used <= set(ids)


def test_the_report_of_snakemake_holds_page_tables_and_figures(finished):
    answer = snakemake(finished, STUDY, "--report", "report.zip")
    assert answer.returncode == 0, answer.stderr[-3000:]
    with zipfile.ZipFile(finished / "report.zip") as archive:
        held = {Path(name).name for name in archive.namelist()}
    drawn = {file.name for file in (finished / "results/tiny/figures").glob("*.svg")}
    assert len(drawn) > 40
    assert drawn | {"report.html", "theory.html", "comparison.csv", "claims.csv"} <= held


def test_the_dynamics_table_and_the_theory_page(finished):
    out = finished / "results/tiny"
    table = pd.read_csv(out / "dynamics/ring/rate/fold0.csv")
    found = store.read(out / "dynamics/ring/rate/fold0.zarr.zip")
    row = table.set_index("quantity").loc["participation ratio"]
    assert row["value"] == pytest.approx(float(found["participation_ratio"].mean()))
    assert (table["members"] == 2).all() and table["verdict"].notna().all()
    checks = pd.read_csv(out / "theory.csv")
    assert (checks["phenomenon"] == "euler").all() and checks["holds"].dtype == bool
    page = (out / "theory.html").read_text()
    assert page.count("<svg") == 1 and f"of {len(checks)} checks hold" in page


def test_a_second_run_has_nothing_to_do(finished):
    assert nothing_to_do(finished, STUDY)


def test_a_run_begins_with_an_estimate_of_what_is_left(finished):
    for name in ("report.html", "complete"):
        (finished / "results/tiny" / name).unlink()
    answer = snakemake(finished, STUDY)
    (said,) = [line for line in answer.stderr.splitlines() if line.startswith("estimate of what is left")]
    assert answer.returncode == 0 and "2 jobs" in said and "fits" not in said and "minutes" not in said


def test_one_models_setting_makes_its_descendants_again_only(finished, tmp_path):
    folder = shutil.copytree(finished, tmp_path / "changed")
    changed = yaml.safe_load(yaml.safe_dump(STUDY))
    changed["models"]["rate"]["epochs"] = 4
    made = made_again(folder, changed, "results/tiny/comparison.csv")
    assert made == {f"{step}/{d}/rate/fold0" for step in ("fit", "score") for d in STUDY["datasets"]}
    assert models.load(folder / "results/tiny/fits/ring/rate/fold0.safetensors").model.training.epochs == 4
    # of the tasks the network's, and what compares all models; forecasts of chains are left as they are
    made = made_again(folder, changed, "results/tiny/quality/ring/fold0.csv")
    assert "quality/ring/fold0" in made and "forecasts/ring/rate/fold0" in made
    assert not any("markov" in step or "null" in step for step in made)
    assert made_again(folder, changed, "results/tiny/quality/ring/fold0.csv") == set()


def test_one_datasets_setting_leaves_the_other_alone(finished, tmp_path):
    folder = shutil.copytree(finished, tmp_path / "changed")
    changed = yaml.safe_load(yaml.safe_dump(STUDY))
    changed["datasets"]["even"]["bins"] = 13
    made = made_again(folder, changed, "results/tiny/comparison.csv")
    assert made and all("/even/" in step for step in made)


def test_a_model_that_is_added_leaves_the_others_as_they_are(finished, tmp_path):
    folder = shutil.copytree(finished, tmp_path / "changed")
    changed = yaml.safe_load(yaml.safe_dump(STUDY))
    changed["models"] = {"psth": {"family": "psth"}, **changed["models"]}
    made = made_again(folder, changed, "results/tiny/comparison.csv")
    assert made == {f"{step}/{d}/psth/fold0" for step in ("fit", "score") for d in STUDY["datasets"]}


def test_what_is_forced_is_made_again(finished, tmp_path):
    folder = shutil.copytree(finished, tmp_path / "forced")
    batch = "fits_even_fold0_plain_1"
    target = "results/tiny/scores/even/null/fold0.zarr.zip"
    answer = snakemake(folder, STUDY, target, "--forcerun", batch)
    assert answer.returncode == 0, answer.stderr[-3000:]
    log = (folder / f"results/tiny/logs/batches/{batch}.log").read_text()
    assert "6 of 6 steps made" in log


@pytest.mark.slow
def test_same_study_same_bytes(finished):
    """Removed and made again, comparison.csv, a fit and a figure are the same bytes."""
    out = finished / "results/tiny"
    names = [
        "comparison.csv",
        "fits/ring/rate/fold0.safetensors",
        "figures/scores.svg",
        "trials/ring.zarr.zip",
    ]
    before = {name: (out / name).read_bytes() for name in names}
    for name in names:
        (out / name).unlink()
    answer = snakemake(finished, STUDY)
    assert answer.returncode == 0, answer.stderr[-3000:]
    assert {name: (out / name).read_bytes() for name in names} == before


def test_a_planted_leak_stops_the_workflow(finished, tmp_path):
    """A training trial among the test trials: the audit fails with its number, and figures have nothing to stand on."""
    folder = shutil.copytree(finished, tmp_path / "leak")
    manifest = store.read_json(folder / "results/tiny/splits/ring.json")
    trial = manifest["folds"][0]["train"][0]
    manifest["folds"][0]["test"].append(trial)
    store.write_json(manifest, folder / "results/tiny/splits/ring.json")
    answer = snakemake(folder, STUDY, "results/tiny/audits/ring.json", "--force", "--allowed-rules", "audit")
    assert answer.returncode != 0
    assert f"audit overlap failed: trial {trial} is in both train and test" in answer.stdout + answer.stderr
    assert not (folder / "results/tiny/audits/ring.json").exists()


def test_predictions_as_csv_on_request(finished):
    target = "results/tiny/predictions/ring/rate/fold0.csv"
    assert snakemake(finished, STUDY, target).returncode == 0
    assert list(pd.read_csv(finished / target).columns) == ["trial", "time", "unit", "predicted"]


GOOD = np.ones((6, 5, 2))
BAD = [
    (GOOD * -1, {}, ["bad0.npz", "-1"]),
    (GOOD * 0.5, {}, ["bad1.npz", "0.5"]),
    (GOOD * np.nan, {}, ["bad2.npz"]),
    (GOOD[:1], {}, ["datasets.d3", "1 trial(s) cannot be split"]),
    (GOOD * 0, {}, ["datasets.d4", "no unit is left"]),
    (GOOD, {"bin_ms": 100}, ["datasets.d5", "bin_ms", "wider than the trial"]),
    (GOOD, {"bin_ms": 15}, ["datasets.d6", "bin_ms", "not a multiple", "15"]),
    (GOOD, {"counts": "absent"}, ["bad7.npz", "absent"]),
]


def bad(folder: Path, numbers: list[int], **more) -> dict:
    """A study of some of the bad recordings."""
    datasets = {}
    (folder / "data/raw").mkdir(parents=True, exist_ok=True)
    for i in numbers:
        np.savez(folder / f"data/raw/bad{i}.npz", c=BAD[i][0])
        entry = {"source": "npz", "path": f"bad{i}.npz", "counts": "c", "axes": ["trial", "time", "unit"]}
        datasets[f"d{i}"] = {**entry, "native_bin_ms": 10, **BAD[i][1], **more}
    return {"study": "bad", "datasets": datasets, "models": {"rate": {"family": "rate", "epochs": 1}}}


def errors(answer) -> list[str]:
    assert answer.returncode != 0
    return [line for line in (answer.stdout + answer.stderr).splitlines() if line.startswith("error: ")]


@pytest.fixture(scope="module")
def refused(finished):
    """Lines of a run in which every recording is bad."""
    study = bad(finished, list(range(len(BAD))))
    splits = [f"results/bad/splits/{name}.json" for name in study["datasets"]]
    return errors(snakemake(finished, study, *splits, "--keep-going"))


@pytest.mark.parametrize("number", range(len(BAD)))
def test_bad_input_ends_with_one_line_and_no_product(finished, refused, number):
    own = [line for line in refused if f"bad{number}.npz" in line or f"datasets.d{number}" in line]
    assert len(own) == 1, refused
    for word in BAD[number][2]:
        assert word in own[0]
    assert not (finished / f"results/bad/splits/d{number}.json").exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"path": "gone.npz"}, ["gone.npz", "no such file"]),
        ({"sha256": "0" * 64}, ["bad7.npz", "sha256"]),
    ],
)
def test_a_missing_or_another_file_ends_with_one_line_and_no_product(finished, more, words):
    found = errors(snakemake(finished, bad(finished, [7], **more), "results/bad/splits/d7.json"))
    assert len(found) == 1 and all(word in found[0] for word in words)
    assert not (finished / "results/bad/splits/d7.json").exists()


def test_a_wrong_study_ends_with_the_key(finished):
    answer = snakemake(finished, {**STUDY, "membres": 3})
    assert answer.returncode != 0
    assert "study.yaml: membres: unknown key" in answer.stdout + answer.stderr


def test_slurm_profile_dry_runs(finished):
    pytest.importorskip("snakemake_executor_plugin_slurm")
    answer = snakemake(finished, STUDY, "--profile", "profiles/slurm", "--dry-run", "--forceall")
    assert answer.returncode == 0, answer.stderr[-2000:]
