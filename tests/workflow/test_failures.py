"""A fit that fails costs its own row: the rest of the study is made, and the next run tries it again."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from cortseq import store
from cortseq.errors import CortseqError
from cortseq.jobs import job
from cortseq.products import Products
from cortseq.scoring import failures
from cortseq.scoring.rows import COLUMNS

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent

# A network that cannot be fitted while a file called `fail` is there.
PLUGIN = """
from pathlib import Path
from typing import Literal

from cortseq.networks.families.rate import Rate


class Fragile(Rate):
    family: Literal["fragile"] = "fragile"

    def fit(self, *given, **how):
        if Path("fail").exists():
            raise ValueError("the loss is\\nno number")
        return super().fit(*given, **how)


MODEL = Fragile
"""
STUDY = {
    "study": "partial",
    "members": 2,
    "horizons": [],
    "datasets": {"ring": {"source": "synthetic", "kind": "ring", "units": 4, "bins": 8, "trials": 30}},
    "models": {
        "markov": {"family": "markov", "states": 3, "order": 1},
        "net": {"family": "fragile", "hidden": 3, "epochs": 2},
    },
}
WHY = "ValueError: the loss is no number"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    for name in ("Snakefile", "workflow"):
        path = ROOT / name
        (shutil.copytree if path.is_dir() else shutil.copy)(path, folder / name)
    (folder / "fragile.py").write_text(PLUGIN)
    (folder / "study.yaml").write_text(yaml.safe_dump(STUDY))
    (folder / "fail").touch()
    return folder


def run(folder, *targets):
    environment = {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "CORTSEQ_PLUGINS": str(folder / "fragile.py"),
    }
    command = [BIN / "snakemake", *targets, "--cores", "2", "--configfile", "study.yaml"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)


@pytest.mark.slow
def test_a_failed_fit_is_a_row_a_section_and_an_exit_code(folder):
    answer, out = run(folder), folder / "results/partial"
    assert answer.returncode == 1, answer.stderr[-3000:]
    assert WHY in answer.stderr and "all others are there" in answer.stderr
    table = store.read_table(out / "comparison.csv").set_index("model")
    assert table.loc["net", "verdict"] == f"failed: {WHY}" and pd.isna(table.loc["net", "value"])
    assert (table.loc["net", ["role", "members"]] == ["recurrent", 0]).all()
    assert table.drop(index="net")["value"].notna().all() and "markov" in table.index
    assert f"<li>ring: fits of net: {WHY}</li>" in (out / "report.html").read_text()
    assert (out / "figures/scores.svg").read_text().lstrip().startswith("<?xml")
    failed = store.read_table(out / "failures.csv")
    assert {"fits", "scores"} <= set(failed["product"]) and set(failed["why"]) == {WHY}
    # the next run tries the fit again, whatever else there is; once it is made, nothing is left to do
    (folder / "fail").unlink()
    again = run(folder)
    assert again.returncode == 0, again.stderr[-3000:]
    table = store.read_table(out / "comparison.csv").set_index("model")
    assert table["value"].notna().all() and not table["verdict"].str.startswith("failed").any()
    assert "What failed" not in (out / "report.html").read_text()
    assert "Nothing to be done" in run(folder, "--dry-run").stderr + run(folder, "--dry-run").stdout


class Given:
    """What a script is given."""

    threads = 1

    def __init__(self, folder):
        self.output, self.log = [folder / "a.csv", folder / "b.json"], [folder / "log"]


def raising(folder, error, **how):
    with job(Given(folder), **how):
        raise error


def test_a_job_that_may_fail_says_why_in_place_of_its_outputs(tmp_path):
    raising(tmp_path, ValueError("no\nnumber"), may_fail=True)
    for file in Given(tmp_path).output:
        assert store.failure(file) == "ValueError: no number"
        with pytest.raises(store.Failed, match="no number"):
            (store.read_json if file.suffix == ".json" else store.read_table)(file)
    assert "Traceback" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_full_disk_and_a_key_stop_the_study(error, tmp_path):
    with pytest.raises((SystemExit, KeyboardInterrupt)):
        raising(tmp_path, error, may_fail=True)
    assert not any(file.exists() for file in Given(tmp_path).output)


def test_what_needs_a_failed_product_fails_with_its_words_and_a_fault_of_its_own_stops(tmp_path):
    raising(tmp_path, store.Failed("the loss is no number"), may_fail=True)
    assert store.failure(tmp_path / "a.csv") == "the loss is no number"
    for error in (CortseqError("no file"), store.Failed("the loss is no number")):
        with pytest.raises(SystemExit):  # a comparison or report cannot go without what it needs
            raising(tmp_path, error)
    with pytest.raises(ZeroDivisionError):
        raising(tmp_path, ZeroDivisionError())


def test_figures_are_handed_what_was_made(tmp_path):
    store.write_failure("why", tmp_path / "a.csv")
    store.write_table(pd.DataFrame({"x": [1]}), tmp_path / "b.csv")
    given = {"generation": [(("a", 0), str(tmp_path / "a.csv")), (("b", 0), str(tmp_path / "b.csv"))]}
    assert Products("ring", given).keys("generation") == [("b", 0)]
    lost = {"generation": given["generation"][:1]}
    with pytest.raises(store.Failed, match="why"):
        Products("ring", lost).folds("generation")
    with pytest.raises(store.Failed, match="why"), Products("ring", given).blamed():
        raise IndexError
    with pytest.raises(IndexError), Products("ring", {}).blamed():
        raise IndexError


def test_sentences_name_causes_not_what_follows():
    rows = [
        ("ring", "fits", "net", 0, "why"),
        ("ring", "scores", "net", 0, "why"),
        ("ring", "scores", "net", 1, "other"),
        ("ring", "figures", "units_ring", 0, "why"),
        ("bird", "figures", "units_bird", 0, "why"),
    ]
    failed = pd.DataFrame(rows, columns=list(failures.COLUMNS))
    assert failures.sentences(failed) == [
        "ring: fits of net: why",
        "ring: scores of net, fold 2: other",
        "ring: figures of units_ring: why",
        "bird: figures of units_bird: why",
    ]


def test_a_failed_variant_is_a_row_without_a_score(tmp_path):
    made = pd.DataFrame(
        {name: [0.5] for name in COLUMNS} | {"dataset": "ring", "members": 2, "verdict": "good."}
    )
    made = made.assign(averaged=False, metric="bits_per_spike", model="markov")
    store.write_failure("why", tmp_path / "a")
    failed = failures.of_files({("ring", "scores", "net", fold): str(tmp_path / "a") for fold in (0, 1)})
    model = {"model": "net", "variant": "net", "family": "rate", "role": "recurrent"}
    table = failures.append(made, failed, {("ring", "net"): model})
    store.write_table(table, tmp_path / "comparison.csv")
    finished, lost = failures.split(store.read_table(tmp_path / "comparison.csv"))
    assert finished["model"].tolist() == ["markov"] and finished["members"].dtype.kind == "i"
    assert lost["verdict"].tolist() == ["failed: why"] and lost["value"].isna().all()
    assert failures.append(made, failed[:0], {}) is made
