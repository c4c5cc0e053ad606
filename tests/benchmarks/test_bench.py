"""The benchmark's harness and its peers; speeds are measured under the marker `bench` only."""

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from benchmarks import __main__ as program
from benchmarks import gpu, harness, hmm, lds, peers_torch, reservoirs, training
from benchmarks.harness import Case, Peer

from cortseq import timing
from cortseq.networks import problems
from cortseq.networks.training.engines import stepper

ROW = {"name", "ours_seconds", "peer", "peer_seconds", "ratio", "target", "equal_to"}
LAW = {"name", "slope", "low", "high"}
TINY = {"n_units": 5, "hidden": 6, "n_trials": 3, "n_time": 9}


def _difference(ours, theirs):
    return abs(ours - theirs)


def _case(theirs, target=None):
    return Case("work", lambda: 1.0, [Peer("peer", theirs, _difference, 1e-3, target)])


def _is_document(content):
    assert {"rows", "laws", "not_measured", "machine"} == set(content)
    assert all(set(row) == ROW for row in content["rows"])
    assert all(set(law) == LAW for law in content["laws"])
    assert all(isinstance(name, str) for name in content["not_measured"])
    assert {"cpu", "avx512", "versions", "date"} <= set(content["machine"])


def test_a_row_is_written_as_the_schema_says(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(training, "cases", lambda: iter([_case(lambda: 1.0, 1e9)]))
    file = tmp_path / "new" / "bench.json"
    assert (
        program.main(["--only", "training", "gpu", "--output", str(file)]) == 0
    )  # a missed target is no error
    content = json.loads(file.read_text())
    _is_document(content)
    (row,) = content["rows"]
    assert row["equal_to"] == 0 and row["target"] == 1e9
    assert row["ratio"] == pytest.approx(row["peer_seconds"] / row["ours_seconds"])
    assert "MISSED" in capsys.readouterr().out
    if not gpu.available():
        assert "gpu: 64 members of rate H=64 against the plain loop" in content["not_measured"]


@pytest.mark.parametrize("theirs", [1.1, np.nan])
def test_a_disagreement_is_an_error(theirs, monkeypatch, tmp_path, capsys):
    with pytest.raises(harness.Disagreement, match=r"work: ours and peer differ"):
        list(harness.compare(_case(lambda: theirs)))
    monkeypatch.setattr(training, "cases", lambda: iter([_case(lambda: theirs)]))
    file = tmp_path / "bench.json"
    assert program.main(["--only", "training", "--output", str(file)]) == 1
    assert not file.exists() and "differ" in capsys.readouterr().err


def test_peers_that_are_not_installed_are_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    case = training.case("rate", {}, 4, 4, 2, {training.LOOP: 1.0, training.SCAN: 1.0})
    assert [peer.name for peer in case.peers if peer.run is None] == [training.SCAN]
    assert [row.peer for row in harness.compare(case)] == [training.LOOP]
    monkeypatch.setattr(training, "cases", lambda: iter([case]))
    missing = program.measure(["training"])["not_measured"]
    assert missing == [f"{case.name} against JAX, scan (not installed)"]


def test_one_thread_and_no_hidden_instructions():
    made = harness.environment({"OPENBLAS_CORETYPE": "Haswell", "OMP_NUM_THREADS": "8", "HOME": "/x"})
    assert "OPENBLAS_CORETYPE" not in made and made["HOME"] == "/x"
    assert all(made[name] == "1" for name in harness.THREADS)


@pytest.mark.parametrize(("avx512", "wanted"), [(True, 8.0), (False, 4.8)])
def test_targets_follow_the_instructions_of_the_cpu(avx512, wanted, monkeypatch):
    monkeypatch.setattr(harness, "cpu", lambda: ("some", avx512))
    assert harness.target(8.0) == wanted and harness.target(None) is None


def test_slopes_and_their_intervals():
    x = np.array([1, 2, 4, 8, 16])
    found = timing.law("square", x, 3 * x**2 * np.array([1.0, 1.01, 0.99, 1.01, 1.0]))
    assert found.slope == pytest.approx(2, abs=0.01) and found.low < 2 < found.high
    assert found.high - found.low < 0.1


@pytest.mark.parametrize(
    ("family", "settings", "peer"),
    [
        ("rate", {}, "loop"),
        ("rate", {"leak": 1}, "loop"),
        ("rate", {"leak": 1}, "module"),
        ("dale", {}, "loop"),
        ("stp", {}, "loop"),
        ("stp", {"dale": True}, "loop"),
        ("lstm", {}, "loop"),
        ("lstm", {}, "module"),
        ("lstm", {"layers": 2}, "module"),
        ("rate", {"leak": 1, "layers": 2}, "module"),
        ("gru", {}, "loop"),
        ("gru", {}, "module"),
        ("gru", {"layers": 3}, "module"),
        ("lru", {}, "associative"),
    ],
)
@pytest.mark.parametrize("library", ["torch", "jax"])
def test_peers_compute_what_ours_computes(family, settings, peer, library):
    model, params, data = problems.problem(family, settings, **TINY)
    if library == "jax":
        pytest.importorskip("jax")
        if peer == "module":
            pytest.skip("torch only")
        from benchmarks import peers_jax

        run = peers_jax.associative if peer == "associative" else peers_jax.scan
    elif peer == "associative":
        pytest.skip("jax only")
    else:
        run = getattr(peers_torch, peer)
    from scipy.special import gammaln

    constant = gammaln(data.y + 1.0).sum()
    theirs = run(model, params, data.y.astype(np.float32))()
    assert problems.disagreement(stepper(model, params, data, "generic")(), theirs, constant) < 1e-4
    theirs[1]["readout_bias"] = theirs[1]["readout_bias"] * 1.01
    assert problems.disagreement(stepper(model, params, data, "generic")(), theirs, constant) > 5e-3


def test_a_reservoir_equals_reservoirpy(monkeypatch):
    pytest.importorskip("reservoirpy")
    monkeypatch.setattr(reservoirs, "N_TRIALS", 7)
    monkeypatch.setattr(reservoirs, "N_TIME", 12)
    monkeypatch.setattr(timing, "ENOUGH", 0.0)
    (row,) = harness.compare(reservoirs.case(30, None))
    assert row.equal_to < 1e-4


def test_em_equals_its_peers(monkeypatch):
    """Where it is installed; a start that differs is noticed."""
    pytest.importorskip("hmmlearn")
    for name, value in {"N_STATES": 3, "N_TRIALS": 6, "N_TIME": 20, "N_UNITS": 8, "ITERATIONS": 4}.items():
        monkeypatch.setattr(hmm, name, value)
    monkeypatch.setattr(timing, "ENOUGH", 0.0)
    start, data = hmm.problem()
    case = hmm.case(start, data)
    assert all(row.equal_to < hmm.TOLERANCE or row.peer != "hmmlearn" for row in harness.compare(case))
    other = hmm.case({**start, "rate": start["rate"][:, ::-1].copy()}, data)
    assert hmm.disagreement(case.ours(), other.peers[0].run()) > 1e-4


@pytest.mark.bench
def test_the_whole_benchmark(tmp_path):
    """All rows agree and the laws hold; speeds are for the reader."""
    file = tmp_path / "bench.json"
    given = [sys.executable, "-m", "benchmarks", "--output", str(file)]
    subprocess.run(given, env={**os.environ, "OPENBLAS_CORETYPE": "Haswell"}, check=True, timeout=1200)
    content = json.loads(file.read_text())
    _is_document(content)
    slopes = {law["name"]: law["slope"] for law in content["laws"]}
    for name, expected in (
        ("time against bins", 1.0),
        ("full", 1.0),
        ("truncated", 0.0),
        ("checkpointed", 0.5),
    ):
        (slope,) = (value for key, value in slopes.items() if name in key)
        assert slope == pytest.approx(expected, abs=0.1), name


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_e_step_that_differs_from_dynamaxs_is_seen(monkeypatch):
    pytest.importorskip("dynamax")
    for name, value in (("N_TRIALS", 3), ("N_TIME", 12), ("N_CHANNELS", 4), ("N_LATENTS", 2)):
        monkeypatch.setattr(lds, name, value)
    p, data = lds.problem()
    case = lds.case(p, data)
    assert lds.disagreement(case.ours(), case.peers[0].run()) < lds.TOLERANCE
    other = lds.case(p | {"loading": 1.01 * p["loading"]}, data)
    assert lds.disagreement(case.ours(), other.peers[0].run()) > 1e-5
