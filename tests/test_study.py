"""The study: what is refused, and with which words; sweeps; the schema."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from cortseq import study
from cortseq.cli import main
from cortseq.errors import CortseqError

ROOT = Path(__file__).parents[1]
RING = {"source": "synthetic", "kind": "ring"}


def test_smallest_study_has_the_standard_models():
    small = study.validate({"datasets": {"mine": {"source": "nwb", "path": "session.nwb"}}})
    families = {v.model.family for v in small.variants("counts").values()}
    assert {"null", "psth", "markov", "rate", "lstm", "esn", "dale", "stp"} <= families


def test_lists_are_sweeps_with_names():
    plan = study.validate(
        {"datasets": {"r": RING}, "models": {"rnn": {"family": "rate", "hidden": [32, 64]}}}
    )
    assert set(plan.variants("counts")) == {"null", "rnn_hidden32", "rnn_hidden64"}
    assert plan.variants("counts")["rnn_hidden64"].model.hidden == 64


def test_values_with_points_make_valid_names():
    plan = study.validate({"datasets": {"r": RING}, "models": {"e": {"family": "esn", "radius": [0.9, 1.1]}}})
    assert set(plan.variants("counts")) == {"null", "e_radius0p9", "e_radius1p1"}


def test_settings_idle_on_a_track_make_no_variants():
    plan = study.validate(
        {"datasets": {"r": RING}, "models": {"m": {"family": "markov", "states": [8, 16], "order": [1, 2]}}}
    )
    assert set(plan.variants("symbols")) == {"null", "m_order1", "m_order2"}
    assert len(plan.variants("counts")) == 5


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"datasets": {"r": RING}, "membres": 3}, ["membres: unknown key"]),
        ({"datasets": {"r": RING}, "members": 0}, ["members:", "greater than or equal to 1", "got 0"]),
        ({"datasets": {"r": RING}, "seed": "x"}, ["seed:", "integer"]),
        ({"datasets": {"Ring": RING}}, ["datasets", "lower-case"]),
        ({"datasets": {"r": {**RING, "bin_ms": -5}}}, ["datasets.r", "bin_ms", "greater than 0", "-5"]),
        ({"datasets": {"r": {**RING, "bin_s": 1}}}, ["datasets.r", "bin_s", "unknown"]),
        ({"datasets": {"r": {"source": "tape"}}}, ["datasets.r", "tape"]),
        ({"datasets": {"r": {"source": "npz", "spike_times": "t"}}}, ["datasets.r", "path"]),
        (
            {"datasets": {"r": RING}, "models": {"a": {"family": "rate", "hiden": 3}}},
            ["models.a.hiden: unknown key"],
        ),
        (
            {"datasets": {"r": RING}, "models": {"a": {"family": "rate", "hidden": [3, 0]}}},
            ["models.a.hidden", "got 0"],
        ),
        (
            {"datasets": {"r": RING}, "models": {"a": {"family": "rate", "hidden": []}}},
            ["models.a.hidden", "at least one"],
        ),
        ({"datasets": {"r": RING}, "models": {"a": {"family": "perceptron"}}}, ["models.a", "perceptron"]),
        ({"datasets": {"r": RING}, "models": {"a-b": {"family": "rate"}}}, ["models", "lower-case"]),
        ({"datasets": {"r": RING}, "models": {"null": {"family": "null"}}}, ["models.null", "always there"]),
        ({}, ["datasets"]),
        ([], ["mapping"]),
    ],
)
def test_faults_name_the_key(content, words):
    with pytest.raises(CortseqError) as caught:
        study.validate(content, "mine.yaml")
    assert len(str(caught.value).splitlines()) == 1, str(caught.value)
    for word in ["mine.yaml", *words]:
        assert word in str(caught.value)


def test_every_fault_has_its_line():
    with pytest.raises(CortseqError) as caught:
        study.validate(
            {"datasets": {"r": {**RING, "bin_ms": -5}}, "folds": 0, "models": {"a": {"family": "x"}}}
        )
    assert len(str(caught.value).splitlines()) == 3


def test_committed_studies_are_valid_and_follow_the_schema():
    schema = json.loads((ROOT / "config/schema.json").read_text())
    assert schema == study.schema(), "run: cortseq schema > config/schema.json"
    for file in [ROOT / "config/config.yaml", *sorted((ROOT / "config/studies").glob("*.yaml"))]:
        study.read(file)
        jsonschema.validate(yaml.safe_load(file.read_text()), schema)


def test_committed_studies_name_no_folder_of_this_machine():
    for file in (ROOT / "config").rglob("*.yaml"):
        assert "shared" not in file.read_text()


def test_check_exits_2_with_a_line_for_a_missing_file(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("CORTSEQ_MIRRORS", raising=False)
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "s.yaml"
    file.write_text("datasets: {a: {source: npz, path: gone.npz, counts: c, native_bin_ms: 10}}\n")
    assert main(["check", str(file)]) == 2
    error = capsys.readouterr().err
    assert "datasets.a" in error and "gone.npz" in error and len(error.splitlines()) == 1


def test_reading_a_study_does_not_import_torch():
    code = "import sys, cortseq; from cortseq import study; study.read('config/config.yaml'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
