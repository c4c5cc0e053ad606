"""A study of three sessions, two with one cell and one to which it is moved: its products through the workflow."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from cortseq import models, store

ROOT, BIN = Path(__file__).parents[2], Path(sys.executable).parent
RING, RATE = {"source": "synthetic", "kind": "ring", "bins": 12}, {"family": "rate", "hidden": 4, "epochs": 4}
STUDY = {
    "study": "three",
    "members": 3,
    "horizons": [],
    "datasets": {f"s{i}": {**RING, "trials": 24, "units": 4 + i} for i in (1, 2, 3)},
    "together": {"animals": {"sessions": ["s1", "s2"], "held_out": ["s3"]}},
    "models": {
        "own": RATE,
        "across": {**RATE, "across": "animals"},
        "untrained": {**RATE, "cell": "frozen"},
    },
}


@pytest.mark.slow
def test_sessions_that_share_a_cell(tmp_path):
    """The fits hold one cell, the held-out session has it unchanged, the table has every twin."""
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(STUDY))
    command = [
        BIN / "snakemake",
        "--cores",
        "2",
        "results/three/together.csv",
        "--snakefile",
        ROOT / "Snakefile",
    ]
    environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    ran = subprocess.run(
        [*map(str, command), "--configfile", "study.yaml"],
        cwd=tmp_path, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-3000:]
    out = tmp_path / "results/three"
    fits = {d: models.load(out / f"fits/{d}/across/fold0.safetensors") for d in ("s1", "s2", "s3")}
    for name in fits["s1"].card["shared"]["parameters"]:
        for other in ("s2", "s3"):
            assert np.array_equal(fits["s1"].params[name], fits[other].params[name]), (name, other)
    assert [fit.model.cell for fit in fits.values()] == ["learned", "learned", "frozen"]
    assert fits["s3"].card["started_from"] == fits["s1"].digest()
    assert fits["s1"].card["trials_sha256"] != fits["s2"].card["trials_sha256"]
    table = store.read_table(out / "together.csv")
    found = {(row.dataset, row.variant, row.over) for row in table.itertuples()}
    pooled = {(where, "across", "own") for where in ("these sessions", "sessions like these")}
    moved = {("s3", "across", "own"), ("s3", "across", "untrained")}
    assert found == {("s1", "across", "own"), ("s2", "across", "own")} | pooled | moved
    assert not list((out / "checkpoints").rglob("*.safetensors"))
