"""Each row of the benchmark in a small size: ours and its peers agree, and a difference is noticed."""

import json
import subprocess
from collections import Counter

import numpy as np
import pytest
from benchmarks import chains, files, glm, harness, hmm, startup, study
from benchmarks.harness import Disagreement

from cortseq import timing

pytestmark = pytest.mark.filterwarnings("ignore")  # of the peers


@pytest.fixture(autouse=True)
def _one_round(monkeypatch):
    monkeypatch.setattr(timing, "ENOUGH", 0.0)
    monkeypatch.setattr(timing, "ROUNDS", (1, 1))


def _small(monkeypatch, module, **sizes):
    for name, value in sizes.items():
        monkeypatch.setattr(module, name, value)


# -- hidden Markov models --------------------------------------------------------------------------


def test_em_with_priors_equals_dynamax(monkeypatch):
    pytest.importorskip("dynamax")
    _small(monkeypatch, hmm, N_STATES=3, N_TRIALS=6, N_TIME=20, N_UNITS=8, ITERATIONS=4)
    rows = list(harness.compare(hmm.case_with_priors(*hmm.problem())))
    assert [row.peer for row in rows] == ["dynamax, compiled before", "dynamax"]
    assert max(row.equal_to for row in rows) < hmm.SINGLE


def test_dynamax_has_no_likelihood_without_priors(monkeypatch):
    """An expected count of 0 is enough, and the first label of a trial has few."""
    pytest.importorskip("dynamax")
    _small(monkeypatch, hmm, N_STATES=4, N_TRIALS=2, N_TIME=200, N_UNITS=20, ITERATIONS=10)
    start, data = hmm.problem()
    assert np.isnan(hmm._dynamax(start, data.y, 0.0)())
    assert np.isfinite(hmm.ours(start, data, 0.0))


# -- regression ------------------------------------------------------------------------------------


def _regression(monkeypatch):
    _small(monkeypatch, glm, N_UNITS=6, N_FILTERS=2, HISTORY=5, N_TRIALS=4, N_TIME=150, THEIRS=2)
    return glm.problem()


def test_regression_reaches_the_optimum_of_its_peers(monkeypatch):
    x, y = _regression(monkeypatch)
    case = glm.case(x, y)
    rows = list(harness.compare(case))
    assert rows and max(row.equal_to for row in rows) < glm.TOLERANCE
    assert [peer.times for peer in case.peers] == [3, 3]
    weight, bias = case.ours()
    moved = glm.objective(x, y, (1.01 * weight, bias)) - glm.objective(x, y, (weight, bias))
    assert weight.shape == (6, 12) and (moved > 0).all()


def test_another_penalty_is_another_optimum(monkeypatch):
    x, y = _regression(monkeypatch)
    found = glm.ours(x, y)
    monkeypatch.setattr(glm, "PENALTY", 2 * glm.PENALTY)
    with pytest.raises(Disagreement, match="scikit-learn"):
        list(harness.compare(harness.Case("stale", lambda: found, glm.case(x, y).peers)))


def test_nemos_comes_near_the_optimum(monkeypatch):
    pytest.importorskip("nemos")
    x, y = _regression(monkeypatch)
    (row,) = harness.compare(glm.case_at_once(x, y))
    assert row.equal_to < glm.UNFINISHED


# -- chains ----------------------------------------------------------------------------------------


def _labels(monkeypatch):
    _small(
        monkeypatch, chains, N_SYMBOLS=3, ORDER=3, N_TIME=80, N_TRIALS=6, COUNTED=3, SMOOTHED=2, WEIGHTED=2
    )
    return chains.problem()


@pytest.mark.parametrize("name", ["counting", "tree", "chain_of_order"])
def test_chains_equal_the_textbook(name, monkeypatch):
    case = getattr(chains, name)(_labels(monkeypatch))
    (row,) = harness.compare(case)
    (peer,) = case.peers
    assert row.equal_to <= peer.tolerance and peer.times == {"counting": 2}.get(name, 3)


def test_contexts_by_hand(monkeypatch):
    """a b a: after the start a; b after a; a after b."""
    _small(monkeypatch, chains, N_SYMBOLS=2, ORDER=1)
    texts = chains.padded(np.array([[0, 1, 0]]))
    assert texts == [bytes([2, 0, 1, 0])]
    wanted = [Counter({b"\0": 2, b"\1": 1}), Counter({b"\2\0": 1, b"\0\1": 1, b"\1\0": 1})]
    assert chains.counters(texts) == wanted
    assert chains.as_counters(chains._table(np.array([[0, 1, 0]])), 1) == wanted


# -- files -----------------------------------------------------------------------------------------


def test_trials_of_a_file_equal_those_of_pynapple(monkeypatch):
    pytest.importorskip("pynapple")
    _small(monkeypatch, files, N_UNITS=3, N_CHANNELS=2, DURATION=12, N_TRIALS=4, SAMPLES_HZ=200.0)
    spikes, samples = [row for case in files.cases() for row in harness.compare(case)]
    assert spikes.equal_to == 0 and samples.equal_to <= files.TOLERANCE


# -- processes -------------------------------------------------------------------------------------


def test_a_command_is_timed_by_its_own_process():
    before = startup.clock()
    assert startup.ended("-c", "print(sum(range(10**6)))")().strip() == "499999500000"
    assert startup.clock() > before
    with pytest.raises(subprocess.CalledProcessError):
        startup.ended("-c", "raise SystemExit(3)")()


def test_the_same_spikes_are_binned(capsys):
    pytest.importorskip("pynapple")
    exec(startup.OURS, {})
    ours = capsys.readouterr().out
    exec(startup.PYNAPPLE, {})
    assert ours == capsys.readouterr().out == "10000\n"


def test_the_study_that_is_checked_is_fine(tmp_path):
    assert ": fine; next:" in startup.check(tmp_path).ours()


def test_the_first_step_prints_its_loss(tmp_path, capsys):
    exec(startup.STEP, {})
    loss = capsys.readouterr().out
    (peer,) = startup.first_step(tmp_path).peers
    assert float(loss) > 0 and peer.disagreement(loss, loss) == 0
    assert peer.disagreement(loss, str(1.1 * float(loss))) > peer.tolerance


@pytest.mark.slow
@pytest.mark.skipif(not (study.ROOT / ".git").exists(), reason="no repository")
def test_a_revision_runs_with_its_own_package(tmp_path):
    file = tmp_path / "tiny.yaml"
    floors = {"flat": {"family": "flat"}}
    file.write_text(json.dumps({"study": "tiny", "datasets": {"ring": startup.ENTRY}, "models": floors}))
    done = study.run("HEAD", tmp_path / "clone", file, 1)
    assert done.jobs > 2 and done.digest and done.cpu_seconds > 0
    assert (tmp_path / "clone/results/tiny/comparison.csv").is_file()


@pytest.mark.parametrize(("digest", "said"), [("a", "the same bytes"), ("b", "not the same bytes")])
def test_two_revisions_are_compared(digest, said, tmp_path, monkeypatch, capsys):
    made = {"HEAD~1": "a", "HEAD": digest}
    monkeypatch.setattr(
        study, "run", lambda revision, *_: study.Run(revision, "0" * 40, 5, 2.0, 1.5, made[revision])
    )
    file = tmp_path / "study.json"
    assert study.main(["HEAD~1", "--output", str(file)]) == 0
    written = json.loads(file.read_text())
    assert written["same_comparison"] == (digest == "a") and written["runs"][0]["jobs"] == 5
    assert capsys.readouterr().out.endswith(f"comparison.csv: {said}\n")
