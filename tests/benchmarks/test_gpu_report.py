"""The report of a device, rehearsed on a CPU; what it says of a device is not measured here."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks import gpu

ROOT = Path(__file__).parents[2]
# What the device's machine may lack stands for what is not installed.
BLOCKED = """
import sys
sys.modules.update(dict.fromkeys(["zarr", "snakemake", "matplotlib", "sklearn", "safetensors"]))
from benchmarks.gpu import main
sys.exit(main(["--rehearse", "--output", sys.argv[1]]))
"""


def test_a_rehearsal_measures_every_part(tmp_path):
    """Without zarr, Snakemake and others; every family is in both tables, recorded and scored.

    Fused kernels are interpreted, or named as not measured where Triton is not installed.
    """
    command = [sys.executable, "-c", BLOCKED, str(tmp_path / "gpu")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    found = json.loads((tmp_path / "gpu.json").read_text())
    without = [] if importlib.util.find_spec("triton") else gpu.with_fused()
    assert [line.split(" (")[0] for line in found["not_measured"]] == [f"fused: {name}" for name in without]
    assert done.returncode == bool(without), done.stderr[-2000:]
    assert [row["family"] for row in found["fused"]] == ([] if without else gpu.with_fused())
    assert all(row["execution"] == "fused, graphed" and row["within"] for row in found["fused"])
    assert found["device"]["rehearsal"]
    assert {row["family"] for row in found["steps"]} == set(gpu.trained())
    assert {row["execution"] for row in found["steps"]} == {"graphed"}
    assert [row["members"] for row in found["scaling"]] == list(gpu.TINY.scaling)
    assert {row["family"] for row in found["scores"]} == set(gpu.trained())
    assert gpu.REHEARSAL in (tmp_path / "gpu.md").read_text()


def test_what_fails_or_is_not_reached_is_named(monkeypatch):
    """The other rows are measured."""

    def broken():
        raise RuntimeError("no such kernel")

    rows = [("scores", "rate", broken), ("steps", "lstm", lambda: {"family": "lstm"})]
    monkeypatch.setattr(gpu, "parts", lambda sizes, device: iter(rows))
    kept = []
    found = gpu.report(gpu.TINY, "cpu", 60.0, lambda now: kept.append(json.dumps(now)))
    assert found["not_measured"] == ["scores: rate (RuntimeError: no such kernel)"]
    assert found["steps"] == [{"family": "lstm", "warnings": []}] and len(kept) == 3
    assert "- not measured: scores: rate" in gpu.markdown(found)
    late = gpu.report(gpu.TINY, "cpu", -1.0, lambda now: None)
    assert late["not_measured"] == ["scores: rate (no time left)", "steps: lstm (no time left)"]


def test_without_a_device_nothing_is_written(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(gpu, "available", lambda: False)
    assert gpu.main(["--output", str(tmp_path / "gpu")]) == 1
    assert "no CUDA device" in capsys.readouterr().err and not list(tmp_path.iterdir())


@pytest.mark.parametrize("bits, within", [(2e-4, True), (2e-3, False)])
def test_scores_that_differ_are_told(bits, within, monkeypatch, tmp_path):
    """The exit status says it."""
    row = {"family": "rate", "bits_per_event": bits, "within": bits <= gpu.MOST_BITS}
    monkeypatch.setattr(gpu, "parts", lambda sizes, device: iter([("scores", "rate", lambda: row)]))
    assert gpu.main(["--rehearse", "--output", str(tmp_path / "gpu")]) == int(not within)
