"""The laws of cost: their arithmetic, that more work is never cheaper, and that fits take what they say."""

import json

import numpy as np
import pytest
from benchmarks import costs as calibration
from families import applicable

from cortseq import cli, costs, models
from cortseq.models.work import Size
from cortseq.observations import TRACKS

SIZE = Size("counts", train=60, valid=20, bins=50, features=10, members=2)


def larger(size: Size, **more: float) -> Size:
    return Size(**{**vars(size), **{key: int(getattr(size, key) * factor) for key, factor in more.items()}})


@pytest.mark.parametrize("track", TRACKS)
@pytest.mark.parametrize("family", sorted(models.registry()))
def test_more_work_is_never_cheaper(family, track):
    model = applicable(family, track)
    size = Size(**{**vars(SIZE), "track": track})
    least = costs.seconds(model, size)
    assert 0 < least < 600
    for key in ("train", "bins", "features", "members"):
        assert costs.seconds(model, larger(size, **{key: 4})) >= least
    assert costs.seconds(model, larger(size, train=8, bins=8, features=8)) > least


def test_the_law_of_a_network_is_its_sum(monkeypatch):
    table = {"fit": 1.0, "step": 0.1, "unit": 0.01, "product": 0.001}
    monkeypatch.setattr(costs, "measured", lambda: {"seconds": {"rate": {"counts": table}}})
    model = models.Rate(hidden=8, epochs=3, batch=32)
    bins = 2 * 3 * (60 + 20 / 3) * 50  # members, epochs, trials with a third of those for validation, bins
    expected = 2 + 0.1 * 2 * 3 * 2 * 50 + 0.01 * bins * 8 + 0.001 * bins * 8 * (8 + 2 * 10)
    assert costs.seconds(model, SIZE) == pytest.approx(expected)


def test_a_family_without_restarts_is_fitted_once():
    model = models.Markov(states=8)
    assert costs.seconds(model, SIZE) == costs.seconds(model, larger(SIZE, members=5))


def test_an_unknown_family_is_taken_for_the_dearest_alike(monkeypatch):
    base = costs.seconds(models.Rate(), SIZE)
    known = costs.measured()
    tables = {name: table for name, table in known["seconds"].items() if name != "rate"}
    monkeypatch.setattr(costs, "measured", lambda: {**known, "seconds": tables})
    assert costs.seconds(models.Rate(), SIZE) >= base


def test_a_network_of_ones_own_costs_what_networks_do():
    """Families that pass over all bins at once are calibrated by other kinds of work, and are not its measure."""
    size = larger(SIZE, train=4)
    own = models.Rate(hidden=64).model_copy(update={"family": "mine"})
    known = [models.find(name)(hidden=64) for name in ("rate", "low_rank", "lstm", "gru", "dale", "stp")]
    dearest = max(costs.seconds(model.model_copy(update={"epochs": own.epochs}), size) for model in known)
    assert costs.seconds(models.Rate(hidden=64), size) <= costs.seconds(own, size) <= 3 * dearest


def test_constants_are_found_again():
    true = {"fit": 0.2, "bin": 3e-6, "product": 1e-9}
    rng = np.random.default_rng(0)
    amounts = [{"fit": 1.0, "bin": float(rng.uniform(1e3, 1e6)), "product": float(rng.uniform(1e6, 1e9))} for _ in range(9)]  # fmt: skip
    taken = [sum(amount[kind] * true[kind] for kind in true) for amount in amounts]
    assert calibration.constants(amounts, taken) == pytest.approx(true, rel=1e-2)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.034, "0.034 s"), (41.4, "41 s"), (100, "1.7 min"), (5400, "1.5 h"), (9e5, "250 h")],
)
def test_durations_are_words(seconds, words):
    assert costs.duration(seconds) == words


def test_check_estimates_and_says_so(tmp_path, capsys):
    entry = "{source: synthetic, kind: ring, trials: 40, units: 8, bins: 12}"
    head = f"study: x\nmembers: 2\ndatasets: {{d: {entry}}}\n"
    found = {}
    for epochs in (100, 400):
        rows = f"models: {{rate: {{family: rate, epochs: {epochs}}}, psth: {{family: psth}}}}\n"
        (tmp_path / "x.yaml").write_text(head + rows)
        assert cli.main(["check", "--json", "--cores", "2", str(tmp_path / "x.yaml")]) == 0
        found[epochs] = json.loads(capsys.readouterr().out)
    few, many = found[100]["estimate"], found[400]["estimate"]
    assert few["jobs"]["fits"] == 2 and found[100]["fits"] == 3  # a network, and the rest in one job
    assert 1 < many["core_seconds"]["fits"] / few["core_seconds"]["fits"] < 4.1
    assert many["core_seconds"]["dynamics"] == few["core_seconds"]["dynamics"] and few["cores"] == 2
    (facts,) = found[100]["datasets"]
    assert set(facts["fit_seconds"]) == {"rate", "psth", "null"}
    assert max(facts["fit_seconds"], key=facts["fit_seconds"].get) == "rate"
    assert cli.main(["check", "--cores", "1", str(tmp_path / "x.yaml")]) == 0
    said = capsys.readouterr().out
    assert "estimate: about" in said and "on 1 core (" in said and "of one core (rate" in said
    assert f"({sum(many['jobs'].values())} jobs; " in said


@pytest.mark.bench
@pytest.mark.parametrize("track", TRACKS)
@pytest.mark.parametrize(
    ("family", "settings"),
    [("rate", {"hidden": 48, "epochs": 5}), ("lstm", {"hidden": 24, "epochs": 4}), ("stp", {"hidden": 40, "epochs": 4}),
     ("gru", {"hidden": 20, "epochs": 2}), ("hmm", {"states": 12}), ("glm", {"history": 30}),
     ("markov", {"states": 24, "order": 2}), ("esn", {"hidden": 150})],
)  # fmt: skip
def test_a_fit_takes_what_the_law_says(family, settings, track):
    """Sizes that the calibration did not have; the law is scaled by this machine's speed in the same run."""
    from threadpoolctl import threadpool_limits

    model = models.registry()[family](**settings)
    data = calibration.made(track, 80, 90, 20)
    with threadpool_limits(1):
        calibration.measure(model, calibration.made(track, 20, 20, 4), track)  # compiles
        before = costs.speed_seconds()
        size, taken = calibration.measure(model, data, track, members=2)
        speed = (before + costs.speed_seconds()) / 2 / costs.measured()["speed_s"]
    assert 0.5 < costs.seconds(model, size) * speed / taken < 2
