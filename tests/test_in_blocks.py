"""A recording that is larger than a block gives the same numbers, and its products the same bytes."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from cortseq import costs, data, memory, models, preprocess, splits, store, streamed, study
from cortseq import recording as rec
from cortseq.data import Data, few
from cortseq.errors import CortseqError
from cortseq.models.work import Size
from cortseq.observations import arrays
from cortseq.scoring import (
    audits,
    ceilings,
    compare,
    fit_quality,
    generation,
    probes,
    products,
    tasks,
)
from cortseq.sources.npz import Npz
from cortseq.stages import asking, estimate
from cortseq.stages.holding import memory_mb

TINY = "0.02"  # MB: 2,500 numbers, six trials of the recording below
N_TRIALS, N_UNITS, LENGTH = 30, 9, 2.0
FAMILIES = {
    "null": {},
    "markov": {"states": 4, "order": 2},
    "ctw": {"states": 3, "depth": 2},
    "psth": {},
    "drift": {},
    "flat": {},
    "persistence": {},
    "glm": {"history": 4},
    "hmm": {"states": 3, "iterations": 15},
    "rate": {"hidden": 4, "epochs": 2, "batch": 8},
    "rate that sees noise": {
        "hidden": 4,
        "epochs": 2,
        "batch": 8,
        "input_noise": 0.1,
    },  # so that inputs are dense
    "lstm": {"hidden": 3, "epochs": 1, "mixture": 2},
}
# Sums of floating-point numbers over blocks of bins, where the others add whole numbers or keep their blocks.
CLOSE = {"glm": 1e-9}


def test_every_family_without_a_network_that_learns_in_blocks_is_tested_here():
    known = {
        name for name, model in models.registry().items() if model.blockwise and model.role != "recurrent"
    }
    assert known == set(FAMILIES) - {"rate", "lstm", "rate that sees noise"}


@pytest.fixture
def tiny(monkeypatch):
    """Return a function that makes blocks tiny from then on."""
    return lambda: monkeypatch.setenv(memory.BLOCK_VARIABLE, TINY)


@pytest.fixture(scope="module")
def spikes(tmp_path_factory):
    """A file of spikes on one clock, and with the trial of each."""
    rng = np.random.default_rng(3)
    n = 3000
    times = N_TRIALS * LENGTH * np.sort(rng.uniform(0, 1, n)) ** 0.7  # rates rise: a drift is to be learned
    units = rng.integers(0, N_UNITS, n)
    times[[0, -1]], units[:400] = (
        (0.0, N_TRIALS * LENGTH),
        2,
    )  # one unit bursts: a chain has something to learn
    file = tmp_path_factory.mktemp("blocks") / "spikes.npz"
    trials = np.minimum(times // LENGTH, N_TRIALS - 1).astype(int)
    np.savez(file, times=times, units=units, trials=trials, within=times - LENGTH * trials)
    return file


ENTRIES = {
    "windows of one clock": {"spike_times": "times", "window_ms": 1e3 * LENGTH},
    "spikes that know their trial": {
        "spike_times": "within",
        "spike_trials": "trials",
        "window_ms": [0, 1e3 * LENGTH],
        "accept": ["outside"],
    },
}


def read(file, words):
    source = Npz.model_validate({"path": str(file), "spike_units": "units", "bin_ms": 50, **ENTRIES[words]})
    return source, preprocess.judged(source.load(file, 0), source)


@pytest.fixture(params=ENTRIES)
def both(request, spikes, tmp_path, tiny):
    """The recording as it was, and from its product in tiny blocks; from here on blocks are tiny."""
    source, whole = read(spikes, request.param)
    store.write(whole, tmp_path / "whole.zarr.zip")
    tiny()
    cut = read(spikes, request.param)[1]
    assert not cut["counts"].variable._in_memory  # nothing has been made of it so far
    store.write(cut, tmp_path / "cut.zarr.zip")
    assert (tmp_path / "cut.zarr.zip").read_bytes() == (tmp_path / "whole.zarr.zip").read_bytes()
    back = store.read(tmp_path / "cut.zarr.zip")
    assert not back["counts"].variable._in_memory and back["valid"].variable._in_memory
    return source, whole, back


def unblocked(monkeypatch, function):
    """Return what `function` gives where blocks are as large as usual."""
    with monkeypatch.context() as usual:
        usual.delenv(memory.BLOCK_VARIABLE)
        return function()


def same(a, b, close=1e-13):
    """Assert that two Datasets hold the same, but for how the last digit of a sum over units is rounded.

    That depends on whether units or bins lie beside each other in memory.
    """
    assert set(a.variables) == set(b.variables) and a.attrs == b.attrs
    for name in a.variables:
        x, y = a[name].values, b[name].values
        assert x.dtype == y.dtype, name
        if x.dtype.kind == "f":
            np.testing.assert_allclose(y, x, rtol=max(close, 1e-9 * ("correlation" in name)), err_msg=name)
        else:
            np.testing.assert_array_equal(y, x, err_msg=name)


def same_params(a, b, close):
    """Assert that two fits have learned the same, but for a relative difference `close`."""
    for name, value in a.params.items():
        x, y = np.asarray(value), np.asarray(b.params[name])
        np.testing.assert_allclose(y, x, rtol=close, atol=close * np.abs(x).max(initial=0.0), err_msg=name)
    assert b.card.get("chosen") == a.card.get("chosen")


def made_up(observation="poisson", inputs=False):
    """Return a recording with conditions, missing bins and maybe inputs that say something."""
    rng = np.random.default_rng(8)
    n, n_time, n_units = 40, 30, 6
    cue = rng.integers(0, 2, n)
    u = rng.normal(size=(n, n_time, 2))
    drive = np.exp(0.4 * u[..., :1] + cue[:, None, None] * np.sin(np.arange(n_time) / 5)[:, None])
    valid = np.ones((n, n_time), bool)
    valid[3, 10:15] = valid[5, 20:] = valid[8, :3] = False
    counts = rng.poisson(rng.gamma(2.0, 0.3, n_units) * drive * rng.gamma(2.0, 0.5, (n, n_time, n_units)))
    known = {"inputs": u} if inputs else {}
    found = rec.from_counts(
        counts, bin_width=0.05, valid=valid, covariates={"cue": np.array(["a", "b"])[cue]}, **known
    )
    return rec.with_observation(found, observation)


@pytest.mark.parametrize("family", ["psth", "drift", "flat", "persistence", "glm", "hmm"])
@pytest.mark.parametrize("kind", [{"observation": "negative_binomial"}, {"inputs": True}], ids=str)
def test_dispersions_inputs_conditions_and_gaps(tiny, family, kind):
    """Bins are grouped by their rates in each block, which rounds the sums of rates differently."""
    if family == "hmm" and "observation" in kind:
        kind = {}
    recording, model = made_up(**kind), models.find(family)(**FAMILIES[family])

    def fitted():
        return model.fit(recording, range(28), range(28, 34), members=2, seed=1)

    whole = fitted()
    tiny()
    assert Data.of(recording, range(28), compact=True).is_compact
    same_params(whole, fitted(), 0.0 if family == "hmm" else 1e-9)


def test_roles_and_selection(both, monkeypatch):
    source, whole, back = both
    deal = splits.Deal(seed=1)
    before = unblocked(monkeypatch, lambda: splits.split(whole, deal, source, "x"))
    manifest = splits.split(back, deal, source, "x")
    assert manifest == before
    for found in (
        *audits.observed(back),
        *audits.overlap(back, manifest["folds"][0]),
        audits.selection(back, manifest, 0),
    ):
        assert found.passed, found
    np.testing.assert_array_equal(rec.spikes(back)[1].sum(0), whole["counts"].values.sum((0, 1)))


@pytest.mark.parametrize("family", FAMILIES)
def test_fits_scores_and_rows(both, monkeypatch, family):
    source, whole, back = both
    manifest = unblocked(monkeypatch, lambda: splits.split(whole, splits.Deal(seed=1), source, "x"))
    model = models.find(family.split()[0])(**FAMILIES[family])

    def made(recording):
        recording, roles = splits.fold_of(recording, manifest, 0)
        entries = {"null": models.find("null")(), family: model}
        fits = {name: m.fit(recording, roles["train"], roles["valid"], seed=2) for name, m in entries.items()}
        scores = {name: products.scores(fit, recording, roles, 1) for name, fit in fits.items()}
        scored = [compare.gather(n, n, {}, [fits[n].card], [scores[n]], 1) for n in fits]
        rows = compare.table("x", recording, manifest["folds"], scored, 1, 0).rows
        return (
            fits[family],
            scores[family],
            products.predictions(fits[family], recording, roles["test"]),
            rows,
        )

    before = unblocked(monkeypatch, lambda: made(whole))
    after = made(back)
    close = CLOSE.get(family, 0.0)
    same_params(before[0], after[0], close)
    assert after[0].card["learned_sha256"] == before[0].card["learned_sha256"]
    same(before[1], after[1], max(close, 1e-13))
    same(before[2], after[2].load(), max(close, 1e-13))
    text = [pd.DataFrame(rows).to_csv(float_format="%.9g") for rows in (before[3], after[3])]
    assert text[0] == text[1]


def test_audits_of_a_fit(both, monkeypatch):
    source, whole, back = both
    manifest = unblocked(monkeypatch, lambda: splits.split(whole, splits.Deal(seed=1), source, "x"))
    recording, roles = splits.fold_of(back, manifest, 0)
    fit = models.find("markov")(states=3).fit(recording, roles["train"], roles["valid"])
    for found in (
        audits.causality("m", fit, recording, roles["test"]),
        audits.provenance("m", fit, roles, recording),
        probes.refit("m", fit, recording, roles),
        probes.normalisation("m", fit, recording, roles),
        probes.canary("m", fit.model, back),
    ):
        assert found.passed, found


def test_counts_above_255_are_held_in_two_bytes(tiny):
    rng = np.random.default_rng(0)
    counts = rng.poisson(2.0, (40, 12, 15))
    counts[31, 3, 2] = 700
    recording = rec.from_counts(counts, bin_width=0.01)
    whole = Data.of(recording)
    tiny()
    compact = Data.of(recording, compact=True)
    assert compact.y.dtype == np.uint16 and whole.y.dtype == np.int32
    assert compact.digest() == whole.digest()
    np.testing.assert_array_equal(compact.n_events(), whole.n_events())
    parts = [block.y for _, block in compact.blocks()]
    assert len(parts) > 1 and parts[0].dtype == np.int32
    np.testing.assert_array_equal(np.concatenate(parts), counts)


def test_chunks_do_not_depend_on_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "_LARGE", 100)
    monkeypatch.setattr(store, "_CHUNK", 1000)
    counts = np.random.default_rng(0).poisson(0.3, (33, 8, 6))
    recording = rec.from_counts(counts, bin_width=0.01).assign_coords(area=("unit", [*"aabbcc"]))
    store.write(recording, tmp_path / "a.zarr.zip")
    monkeypatch.setenv(memory.BLOCK_VARIABLE, "0.002")
    store.write(recording, tmp_path / "b.zarr.zip")
    assert (tmp_path / "a.zarr.zip").read_bytes() == (tmp_path / "b.zarr.zip").read_bytes()
    back = store.read(tmp_path / "b.zarr.zip")
    assert back["counts"].encoding["chunks"] == (5, 8, 6) and back["area"].dims == ("unit",)
    np.testing.assert_array_equal(
        back["counts"].isel(trial=[30, 2], unit=[4, 1]), counts[[30, 2]][..., [4, 1]]
    )
    assert store.cells(tmp_path / "b.zarr.zip") == counts.size


def test_a_streamed_variable_makes_the_trials_that_are_asked_for(tiny):
    tiny()
    values, asked_for = np.random.default_rng(0).normal(size=(30, 30, 4)), []

    def make(trials):
        asked_for.append(trials.tolist())
        return values[trials]

    found = streamed.variable(("trial", "time", "unit"), values.shape, float, make)
    np.testing.assert_array_equal(found[[5, 3], 2:9, [1, 0]].values, values[[5, 3], 2:9][..., [1, 0]])
    np.testing.assert_array_equal(found[7, -1].values, values[7, -1])
    assert asked_for == [[3, 5], [7]]  # xarray asks in order
    twice = streamed.mapped(found, lambda some, trials: 2 * some + trials[:, None, None])
    np.testing.assert_array_equal(twice[4:6].values, 2 * values[4:6] + np.array([4, 5])[:, None, None])


def test_blocks(monkeypatch):
    assert memory.blocks(5, 10) == [slice(0, 5)]
    monkeypatch.setenv(memory.BLOCK_VARIABLE, "0.0008")  # 100 numbers
    assert memory.blocks(5, 40) == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert memory.blocks(3, 1e9) == [slice(0, 1), slice(1, 2), slice(2, 3)]  # a trial is never divided
    for wrong in ("x", "0", "-1", "inf", "nan"):
        monkeypatch.setenv(memory.BLOCK_VARIABLE, wrong)
        with pytest.raises(CortseqError, match=memory.BLOCK_VARIABLE):
            memory.block_numbers()


def test_factorials_of_many_counts_are_those_of_few():
    counts = np.random.default_rng(0).poisson(3.0, arrays._FEW + 1)
    np.testing.assert_array_equal(
        arrays.log_factorial(counts), np.concatenate([arrays.log_factorial(c) for c in np.split(counts, [9])])
    )


def test_memory_of_a_job_is_that_of_its_blocks():
    known = costs.measured()["memory_mb"]
    small, large = 1e5, 1.4e9
    assert memory_mb("start", ["fit/null"], small) == known["start"] + known["array"] * small * 8 / 1e6
    assert memory_mb("start/network", ["fit/rate", "score/network"], large) < 5000
    assert memory_mb("start", ["fit/hmm", "quality", "forecasts/glm"], large) < 5000
    assert memory_mb("start", ["fit/lds"], large) > 100_000  # holds everything in double precision
    seen = 6 * 1000  # regressors of a GLM: their covariance alone has 0.3 GB
    held = models.find("glm")().held_mb(Size("counts", 1000, 100, 400, 1000))
    assert held > 4 * 8 * seen**2 / 1e6
    plain, more = (memory_mb("start", ["fit/glm"], large, mb) for mb in (0.0, held))
    assert more == plain + held


def test_a_family_that_holds_all_is_refused_where_it_does_not_fit(monkeypatch):
    """The row of the comparison then says why, in place of a process that is killed."""
    recording = rec.from_counts(np.ones((30, 20, 5), int), bin_width=0.05)
    lds = models.find("lds")(latents=2, iterations=1)
    monkeypatch.setattr(memory, "machine_mb", lambda: 0.1)  # 0.144 MB are needed
    lds.fit(recording, range(20), range(20, 30))  # one block is always learned from
    monkeypatch.setenv(memory.BLOCK_VARIABLE, TINY)
    with pytest.raises(CortseqError, match=r"lds holds all training .* leave it out"):
        lds.fit(recording, range(20), range(20, 30))
    models.find("flat")().fit(recording, range(20), range(20, 30))
    monkeypatch.setattr(memory, "machine_mb", lambda: 0.2)
    lds.fit(recording, range(20), range(20, 30))


def test_the_machine_has_some_memory(monkeypatch):
    whole = memory.machine_mb()
    assert 100 < whole < 1e8
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "50")
    assert memory.machine_mb() == 50
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "0")  # SLURM's word for all of it
    assert memory.machine_mb() == whole


def test_families_that_hold_all_are_named_before_a_study():
    made = study.validate(
        {
            "study": "x",
            "datasets": {"d": {"source": "synthetic", "kind": "ring"}},
            "models": {name: {"family": name} for name in ("hmm", "lds", "glm")},
        }
    )
    small, large = Size("counts", 50, 10, 100, 20, test=10), Size("counts", 2000, 300, 400, 1000, test=300)
    assert estimate.of_study(made, {"d": small}, 1)["whole"] == []
    found = estimate.of_study(made, {"d": large}, 1)
    assert found["whole"] == ["lds"]
    assert any(
        "to learn, lds hold all of the recording, about 50 GB" in said for said in estimate.lines(found)
    )


def test_few_trials_are_looked_at_where_they_are_large(monkeypatch):
    recording = rec.from_counts(np.ones((40, 20, 5), int), bin_width=0.05)
    trials = np.arange(2, 40)
    np.testing.assert_array_equal(few(recording, trials), trials)
    monkeypatch.setattr(data, "LOOKED_AT", 1200)
    found = few(recording, trials)
    assert len(found) == 12 and found[0] == 2 and found[-1] == 39 and set(found) <= set(trials)
    monkeypatch.setattr(data, "LOOKED_AT", 10)
    assert len(few(recording, trials)) == data.FEWEST_TRIALS


def test_tasks_of_a_large_recording_look_at_few_trials(both, monkeypatch):
    """They end, and what they say of the trials that they look at is what they say of these alone."""
    source, whole, back = both
    manifest = unblocked(monkeypatch, lambda: splits.split(whole, splits.Deal(seed=1), source, "x"))
    recording, roles = splits.fold_of(back, manifest, 0)
    roles = {name: np.asarray(roles[name]) for name in ("train", "valid", "test")}
    fit = models.find("flat")().fit(recording, roles["train"], roles["valid"])
    monkeypatch.setattr(data, "LOOKED_AT", 1)
    monkeypatch.setattr(data, "FEWEST_TRIALS", 4)
    chosen = few(recording, roles["test"])
    assert len(chosen) < len(roles["test"])
    pd.testing.assert_frame_equal(
        fit_quality.table(fit, recording, roles["test"]), fit_quality.table(fit, recording, chosen)
    )
    found = tasks.forecast(fit, recording, roles["test"], [1, 2], 8, 1)
    np.testing.assert_array_equal(found["trial"], chosen)
    assert len(generation.compare(fit, recording, roles["test"])) > 3


def test_ceilings_are_the_same_in_blocks(tiny):
    recording = made_up()
    roles = {"train": np.arange(24), "valid": np.arange(24, 30), "test": np.arange(30, 40)}
    null = models.find("null")().fit(recording, roles["train"], roles["valid"])
    scores = products.scores(null, recording, roles, 1)
    before = ceilings.table(recording, roles, scores)
    tiny()
    pd.testing.assert_frame_equal(ceilings.table(recording, roles, scores), before, rtol=1e-12)


def test_what_a_scheduler_is_asked_for_grows_with_attempts_and_size(tmp_path, monkeypatch):
    plan = SimpleNamespace(costs={"fit": {"fit/null": {"second": 1.0}}})
    file = tmp_path / "trials" / "d.zarr.zip"
    step = SimpleNamespace(name="fit", out=str(tmp_path), seconds=1.0)
    batch = SimpleNamespace(steps=[step], inputs=[str(file)])
    usual = [asking.memory_mb(plan, batch, attempt) for attempt in (1, 2, 3)]
    assert 0 < usual[0] < usual[1] / 1.9 < usual[2] / 3.7
    store.write(rec.from_counts(np.ones((3, 4, 2), int), bin_width=0.1), file)
    assert asking.memory_mb(plan, batch) == usual[0]
    asking._counted.cache_clear()
    monkeypatch.setattr(store, "cells", lambda path: 2_000_000_000)
    assert asking.memory_mb(plan, batch) > usual[0] + 2000
    asking._counted.cache_clear()
