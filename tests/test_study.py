"""The study: what is refused, and with which words; sweeps; the schema."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import yaml

from cortseq import entries, study
from cortseq.cli import main
from cortseq.errors import CortseqError

ROOT = Path(__file__).parents[1]
RING = {"source": "synthetic", "kind": "ring"}
FILE = {"source": "npz", "path": "x.npz", "counts": "c", "native_bin_ms": 10}


def test_smallest_study_has_the_standard_models():
    small = study.validate({"datasets": {"mine": {"source": "nwb", "path": "session.nwb"}}})
    families = {v.model.family for v in small.variants("counts").values()}
    assert {"null", "psth", "markov", "lds", "rate", "lstm", "lru", "esn", "dale", "stp"} <= families


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
        (
            {"datasets": {"r": RING}, "models": {"a": {"family": ["rate", "lstm"]}}},
            ["models.a.family", "entry"],
        ),
        (
            {"datasets": {"r": RING}, "models": {"a": {"family": "rate", "epochs": "12"}}},
            ["a.epochs", "'12'"],
        ),
        (
            {"datasets": {"r": RING}, "models": {"a": {"family": "rate", "hidden": True}}},
            ["a.hidden", "True"],
        ),
        ({"datasets": {"r": RING}, "members": 2.5}, ["members", "2.5"]),
        ({"datasets": {"r": RING}, "seed": "7"}, ["seed", "'7'"]),
        ({"datasets": {"r": {**RING, "bin_ms": float("inf")}}}, ["datasets.r.bin_ms", "inf"]),
        ({"datasets": {"r": {**RING, "stratify": "typo"}}}, ["datasets.r", "stratify", "typo"]),
        (
            {"datasets": {"r": {"source": "text", "path": "x.txt", "observation": "conway_maxwell"}}},
            ["datasets.r", "observation", "symbols"],
        ),
        ({"datasets": {"r": {**RING, "observation": "gamma"}}}, ["datasets.r", "observation", "gamma"]),
        ({"datasets": {"r": {**FILE, "window_ms": [9, 3]}}}, ["datasets.r", "window_ms", "[9.0, 3.0]"]),
        ({"datasets": {"r": {"source": "text", "path": "x.txt", "bin_ms": 5}}}, ["datasets.r", "bin_ms"]),
        ({"datasets": {"r": RING}, "test_fraction": 0.8, "valid_fraction": 0.8}, ["valid_fraction", "0.80"]),
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


def test_an_exponent_without_a_dot_is_a_number():
    """YAML 1.1 reads 1e-3 as a text."""
    content = yaml.safe_load(
        "{datasets: {r: {source: synthetic, kind: ring}}, models: {a: {family: rate, clip: 1e-3}}}"
    )
    plan = study.validate(content)
    assert plan.variants("counts")["a"].model.clip == 0.001


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
        assert "shared/" not in file.read_text()


def test_check_exits_2_with_a_line_for_a_missing_file(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("CORTSEQ_MIRRORS", raising=False)
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "s.yaml"
    file.write_text("datasets: {a: {source: npz, path: gone.npz, counts: c, native_bin_ms: 10}}\n")
    assert main(["check", str(file)]) == 2
    error = capsys.readouterr().err
    assert "datasets.a" in error and "gone.npz" in error and len(error.splitlines()) == 1


@pytest.mark.parametrize(
    ("counts", "more", "words"),
    [
        (np.full((8, 5, 2), -1), "", ["bad.npz", "-1"]),
        (np.ones((1, 5, 2)), "", ["1 trial"]),
        (np.ones((8, 5, 2)), ", bin_ms: 1000", ["bin_ms", "wider"]),
        (np.ones((8, 5, 2)), ", min_rate_hz: 1.0e+6", ["min_rate_hz"]),
        (np.ones((8, 5, 2)), ", select: {area: [V1]}", ["select.area"]),
        (np.zeros((8, 5, 2)), "", ["no unit"]),
    ],
)
def test_check_opens_the_raw_files(tmp_path, capsys, monkeypatch, counts, more, words):
    monkeypatch.chdir(tmp_path)
    np.savez("bad.npz", c=counts)
    entry = f"source: npz, path: bad.npz, counts: c, axes: [trial, time, unit], native_bin_ms: 10{more}"
    Path("s.yaml").write_text(f"datasets: {{good: {{source: synthetic, kind: even}}, a: {{{entry}}}}}\n")
    assert main(["check", "s.yaml"]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    for word in ["s.yaml", "datasets.a", *words]:
        assert word in error


def test_check_says_when_no_bin_survives_the_burn_in(tmp_path, capsys):
    file = tmp_path / "s.yaml"
    file.write_text("burn_in: 500\ndatasets: {a: {source: synthetic, kind: even, bins: 50}}\n")
    assert main(["check", str(file)]) == 2
    assert "burn_in" in capsys.readouterr().err


def test_reading_a_study_does_not_import_torch():
    code = "import sys, cortseq; from cortseq import study; study.read('config/config.yaml'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_a_study_of_theory_needs_no_dataset():
    plan = study.validate({"models": {}, "theory": {"euler": {"units": 8}}})
    assert not plan.datasets and plan.theory == {"euler": {"units": 8}}
    with pytest.raises(CortseqError, match="nothing to do"):
        study.validate({"models": {}})


@pytest.mark.parametrize(
    ("theory", "words"),
    [
        ({"phlogiston": {}}, "theory.phlogiston: unknown phenomenon"),
        ({"euler": {"unit": 3}}, "theory.euler.unit: unknown setting"),
        ({"interference": {"dataset": "nowhere"}}, "theory.interference.dataset: no such dataset"),
    ],
)
def test_faults_of_theory_name_the_key(theory, words):
    with pytest.raises(CortseqError) as error:
        study.validate({"theory": theory, "models": {}})
    assert words in str(error.value)


TAPS = {
    "source": "npz",
    "path": "x.npz",
    "spike_times": "t",
    "spike_trials": "r",
    "spike_units": "u",
    "window_ms": [0, 2000],
}


def test_a_list_of_bin_widths_makes_a_dataset_of_each():
    found = study.validate(
        {"datasets": {"taps": {**TAPS, "bin_ms": [10, 20, 2.5]}, "x": {**TAPS, "bin_ms": 5}}}
    )
    widths = {name: source.bin_ms for name, source in found.datasets.items()}
    assert widths == {"taps_bin10": 10, "taps_bin20": 20, "taps_bin2p5": 2.5, "x": 5}
    assert entries.widths(widths) == {"taps": ["taps_bin10", "taps_bin20", "taps_bin2p5"]}


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({**TAPS, "bin_ms": [10]}, "two or more, all different"),
        ({**TAPS, "bin_ms": [10, 20, 10]}, "two or more, all different"),
        ({"source": "synthetic", "kind": "ring", "bin_ms": [10, 20]}, "made in its bins"),
    ],
)
def test_lists_of_bin_widths_that_are_none_are_refused(entry, said):
    with pytest.raises(CortseqError, match=rf"datasets\.a\.bin_ms: .*{said}"):
        study.validate({"datasets": {"a": entry}})
