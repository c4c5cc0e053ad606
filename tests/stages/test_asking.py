"""Memory and time that a job asks for: more for larger recordings, twice as much with each attempt."""

import numpy as np
import pytest

from cortseq import recording, stages, store, study
from cortseq.stages import asking


@pytest.fixture
def plan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ring = {"source": "synthetic", "kind": "ring", "trials": 30, "units": 4, "bins": 12}
    models = {"markov": {"family": "markov"}, "rate": {"family": "rate", "hidden": 4, "epochs": 2}}
    return stages.Plan(study.validate({"study": "s", "datasets": {"ring": ring}, "models": models}), None)


@pytest.fixture
def network(plan):
    return next(batch for batch in stages.jobs(plan) if "networks" in batch.name)


def test_each_attempt_asks_for_twice_as_much(plan, network):
    for asked in (lambda n: asking.memory_mb(plan, network, n), lambda n: asking.minutes(network, n)):
        first, second, third = (asked(attempt) for attempt in (1, 2, 3))
        assert second == pytest.approx(2 * first, abs=100) and third == pytest.approx(4 * first, abs=200)


def test_a_small_fit_asks_for_little(plan, network):
    assert asking.memory_mb(plan, network) <= 2000 and asking.minutes(network) <= 60


def test_a_large_recording_asks_for_more(plan, network):
    counts = np.zeros((400, 500, 50), np.uint8)
    store.write(recording.from_counts(counts, bin_width=0.01), plan.path("trials", dataset="ring"))
    before = asking.minutes(network)
    arrays = counts.size * 8 / 1e6
    assert asking.memory_mb(plan, network) > 12 * arrays
    asking._counted.cache_clear()
    assert asking.minutes(network) >= before
    assert store.cells(plan.path("trials", dataset="ring")) == counts.size


def test_reading_asks_for_the_limit_that_the_user_set(monkeypatch):
    before = asking.reading_mb()
    monkeypatch.setenv("CORTSEQ_MEMORY_MB", "9000")
    assert asking.reading_mb() == before + 5000 and asking.reading_mb(2) == 2 * (before + 5000)
