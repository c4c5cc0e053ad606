"""A study on a throw-away SLURM: the same bytes as here, and what happens to jobs that are killed there.

`make test-cluster` runs them, in about 40 minutes on two cores that others use.
"""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cluster import slurm

pytestmark = pytest.mark.cluster
ROOT = Path(__file__).parents[2]
STUDY = """\
study: {name}
members: 1
horizons: []
checkpoint_seconds: 1
datasets:
  ring: {{source: synthetic, kind: ring, trials: 60, units: 4, bins: 12, covariates: {{angle: angle}}}}
models:
  psth: {{family: psth}}
  markov: {{family: markov, states: 4, order: 1}}
  rate: {{family: rate, hidden: 32, epochs: {epochs}, patience: {epochs}}}
"""
JOB = "fits_ring_fold0_networks_1"
SCORE = "results/long/scores/ring/rate/fold0.zarr.zip"
FIT = "results/long/fits/ring/rate/fold0.safetensors"
LEASE = "results/long/made/fit/ring/rate/fold0.lease1"
LOG = "results/long/logs/fit/ring/rate/fold0.log"


@pytest.fixture(scope="module", autouse=True)
def cluster():
    why = slurm.missing()
    if why:
        pytest.skip(why)
    slurm.up()
    yield
    slurm.down()


def command(folder: Path, *more: str) -> list[str]:
    study = next(folder.glob("*.yaml"))
    return [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        f"{ROOT}/Snakefile",
        "--configfile",
        study.name,
        *more,
    ]


def snakemake(folder: Path, *more: str) -> subprocess.Popen:
    """Snakemake in a folder with a study; what it says goes to the file `said` there."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}/src"}
    with (folder / "said").open("a") as said:
        return subprocess.Popen(
            command(folder, "--quiet", "rules", *more), cwd=folder, env=environment, stdout=said, stderr=said
        )


def on_cluster(folder: Path, *more: str) -> subprocess.Popen:
    return snakemake(folder, "--profile", f"{ROOT}/profiles/slurm", *more)


def said(folder: Path) -> str:
    return (folder / "said").read_text()


def digests(folder: Path, pattern: str) -> dict[str, str]:
    """Digest of every product that matches: those whose bytes depend on the study only."""
    files = sorted(folder.glob(pattern))
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


@pytest.fixture(scope="module")
def split(tmp_path_factory) -> Path:
    """A study whose network takes about a minute, with its trials and their roles."""
    folder = tmp_path_factory.mktemp("split")
    (folder / "long.yaml").write_text(STUDY.format(name="long", epochs=4000))
    assert snakemake(folder, "--cores", "1", "results/long/splits/ring.json").wait() == 0, said(folder)
    return folder


@pytest.fixture(scope="module")
def fitted(split, tmp_path_factory) -> Path:
    """The same, with the network fitted on this machine without an interruption."""
    folder = shutil.copytree(split, tmp_path_factory.mktemp("fitted") / "study")
    assert snakemake(folder, "--cores", "1", SCORE).wait() == 0, said(folder)
    return folder


@pytest.fixture
def folder(split, tmp_path) -> Path:
    return shutil.copytree(split, tmp_path / "study")


def begun(folder: Path) -> dict:
    """The lease of the fit, once it has written a checkpoint."""
    checkpoint = folder / "results/long/checkpoints/ring/rate/fold0.safetensors"
    slurm.wait(
        lambda: checkpoint.exists() and (folder / LEASE).exists(), 180, f"no fit began: {said(folder)}"
    )
    return json.loads((folder / LEASE).read_text())


def same(folder: Path, fitted: Path) -> bool:
    return all((folder / file).read_bytes() == (fitted / file).read_bytes() for file in (SCORE, FIT))


def products(folder: Path) -> dict[str, dict[str, str]]:
    """Digests of all products whose bytes depend on the study only, by kind; of each kind there is one."""
    kinds = ("**/*.zarr.zip", "**/*.safetensors", "**/*.parquet", "*/comparison.csv")
    found = {kind: digests(folder, f"results/{kind}") for kind in kinds}
    assert all(found.values())
    return found


def test_a_study_has_the_same_bytes_as_on_this_machine(tmp_path):
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "short.yaml").write_text(STUDY.format(name="short", epochs=2))
    target = "results/short/comparison.csv"
    assert snakemake(tmp_path / "here", "--cores", "2", target).wait() == 0, said(tmp_path / "here")
    assert on_cluster(tmp_path / "there", target).wait() == 0, said(tmp_path / "there")
    assert products(tmp_path / "here") == products(tmp_path / "there")


def test_partition_and_account_come_from_the_environment(folder, monkeypatch):
    monkeypatch.setenv("CORTSEQ_SLURM_PARTITION", "second")
    process = on_cluster(folder, SCORE)
    slurm.wait(lambda: bool(slurm.jobs("running,pending")), 60, said(folder))
    partition = subprocess.run(["squeue", "-h", "-o", "%P"], capture_output=True, text=True).stdout.split()
    process.send_signal(signal.SIGINT)
    process.wait()
    assert partition == ["second"]


def test_a_job_over_memory_is_told_and_tried_again_with_more(folder, fitted):
    given = f"{JOB}:mem_mb=400*2**(attempt-1)"
    assert on_cluster(folder, "--set-resources", given, "--", SCORE).wait() == 0, said(folder)
    told = re.search(r"killed: fit/ring/rate/fold0: .*", said(folder))
    assert told and "more memory than it had asked for" in told[0] and "400 MB" in told[0], said(folder)
    assert "tried again with 800 MB" in told[0]
    assert "more memory" in (folder / LOG).read_text() and same(folder, fitted)


def test_a_job_over_time_goes_on_where_it_was(folder, fitted):
    given = f"{JOB}:runtime=attempt"
    process = on_cluster(folder, "--set-resources", given, "--", SCORE)
    os.kill(begun(folder)["process"], signal.SIGSTOP)  # it does not end within its minute
    assert process.wait() == 0, said(folder)
    told = re.search(r"killed: fit/ring/rate/fold0: .*", said(folder))
    assert told and "longer than it had asked for" in told[0] and "and 2 min" in told[0], said(folder)
    assert "goes on at epoch" in (folder / LOG).read_text() and same(folder, fitted)


def test_a_node_that_is_lost_is_told_and_its_fit_goes_on_elsewhere(folder, fitted):
    process = on_cluster(folder, SCORE)
    job = begun(folder)["job"]
    node = subprocess.run(
        ["squeue", "-h", "-j", job, "-o", "%N"], capture_output=True, text=True
    ).stdout.strip()
    slurm.lose(node)
    try:
        assert process.wait() == 0, said(folder)
    finally:
        slurm.start(node)
    assert "its node was lost" in said(folder), said(folder)
    log = (folder / LOG).read_text()
    assert "its node was lost" in log and "goes on at epoch" in log and same(folder, fitted)


def test_no_fit_runs_twice_after_the_scheduler_process_was_killed(folder, fitted):
    first = on_cluster(folder, SCORE)
    holder = begun(folder)
    os.kill(holder["process"], signal.SIGSTOP)  # it still runs when the second job begins
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert snakemake(folder, "--unlock").wait() == 0
    second = on_cluster(folder, SCORE)
    batch = folder / f"results/long/logs/batches/{JOB}.log"
    slurm.wait(lambda: batch.exists() and "waits: " in batch.read_text(), 120, said(folder))
    assert json.loads((folder / LEASE).read_text())["process"] == holder["process"]
    os.kill(holder["process"], signal.SIGCONT)
    assert second.wait() == 0, said(folder)
    assert (folder / LOG).read_text().count("fitted in") == 1 and "goes on" not in (folder / LOG).read_text()
    assert "0 of 2 steps made" in batch.read_text() or "1 of 2 steps made" in batch.read_text()
    assert same(folder, fitted)


@pytest.mark.slow
def test_a_thousand_fits(tmp_path):
    """Two recordings x five folds x 100 models that take less than a second, which share jobs."""
    data = "".join(
        f"  ring{i}: {{source: synthetic, kind: ring, trials: 60, units: 4, bins: 12}}\n" for i in (1, 2)
    )
    models = f"  markov: {{family: markov, states: {list(range(2, 101))}, order: 1}}\n"
    text = f"study: many\nmembers: 1\nfolds: 5\nhorizons: []\nbatch_minutes: 2\ndatasets:\n{data}models:\n{models}"
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "many.yaml").write_text(text)
    here, there, target = tmp_path / "here", tmp_path / "there", "results/many/comparison.csv"
    begin = time.monotonic()
    assert on_cluster(there, target).wait() == 0, said(there)
    print(f"1,000 fits on SLURM in {time.monotonic() - begin:.0f} s")
    assert len(list(there.glob("results/many/fits/*/*/fold*.safetensors"))) == 1000
    assert "killed: " not in said(there)
    assert snakemake(here, "--cores", "2", target).wait() == 0, said(here)
    assert products(here) == products(there)
