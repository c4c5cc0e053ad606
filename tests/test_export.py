"""Predictions and states in NWB files and in submissions to the Neural Latents Benchmark, read back."""

import builtins
from datetime import UTC, datetime

import numpy as np
import pytest

from cortseq import export, models, scoring
from cortseq import recording as rec
from cortseq.errors import CortseqError
from cortseq.scoring import cosmoothing

TRAIN, VALID = range(16), range(16, 22)


def session(**more):
    """Trials of 0.2 s, recorded in another order, with gaps; two groups of units that fire in turn."""
    rng = np.random.default_rng(0)
    phase = (np.arange(10) // 5 + rng.integers(0, 2, (30, 1))) % 2
    rate = np.where(phase[..., None] == np.array([0, 1, 0, 1, 0]), 2.0, 0.3)
    start = 10 + 0.5 * rng.permutation(30)
    coords = {"start": ("trial", start), "stop": ("trial", start + 0.25)}
    return rec.from_counts(
        rng.poisson(rate),
        bin_width=0.02,
        unit_names=list("abcde"),
        covariates={"side": np.array(["left", "right"])[phase[:, 0]], "id": rng.normal(size=30)},
        **{"coords": coords, **more},
    )


@pytest.fixture(scope="module")
def gappy():
    return session(valid=np.random.default_rng(1).random((30, 10)) < 0.9)


@pytest.fixture(scope="module")
def fitted(gappy):
    return models.Rate(hidden=3, epochs=2).fit(gappy, TRAIN, VALID, members=2)


# -- NWB ---------------------------------------------------------------------------------------------


def read(path):
    pynwb = pytest.importorskip("pynwb")
    assert not pynwb.validate(path=str(path))
    with pynwb.NWBHDF5IO(path, "r") as file:
        nwb = file.read()
        module = nwb.processing["cortseq"]
        series = {name: one for name, one in module.data_interfaces.items() if "member" in name}
        found = {name: (one.timestamps[:], one.data[:], one.unit) for name, one in series.items()}
        tables = {
            name: module[name].to_dataframe()
            for name in ("units", "channels", "symbols")
            if name in module.data_interfaces
        }
        return nwb.trials.to_dataframe(), found, tables, nwb.session_start_time, nwb.session_description


def test_predictions_and_states_are_read_back_from_a_valid_file(fitted, gappy, tmp_path):
    trials, when = [25, 3, 24, 28], datetime(2024, 5, 1, 12, 30, tzinfo=UTC)
    path = tmp_path / "predicted.nwb"
    export.nwb(fitted, gappy, path, trials, session_start=when)
    table, series, names, began, _ = read(path)
    assert began == when and names["units"]["label"].tolist() == list("abcde")
    start = gappy["start"].values[trials]
    order = np.argsort(start)
    np.testing.assert_allclose(table["start_time"], start[order])
    np.testing.assert_allclose(table["stop_time"], start[order] + 0.25)
    assert table["trial"].tolist() == np.array(trials)[order].tolist()
    assert table["side"].tolist() == gappy["side"].values[trials][order].tolist()
    np.testing.assert_allclose(table["covariate_id"], gappy["id"].values[trials][order])
    assert sorted(series) == ["predicted_member0", "predicted_member1", "states_member0", "states_member1"]
    for member in range(2):
        t, hz, unit = series[f"predicted_member{member}"]
        expected = fitted.predict(gappy, trials).values[member] / 0.02
        assert unit == "Hz" and (np.diff(t) > 0).all() and hz.shape == (len(t), 5)
        for place, trial in enumerate(trials):
            seen = gappy["valid"].values[trial]
            mine = (t >= gappy["start"].values[trial]) & (t < gappy["stop"].values[trial])
            np.testing.assert_allclose(
                t[mine], gappy["start"].values[trial] + (np.flatnonzero(seen) + 0.5) * 0.02
            )
            np.testing.assert_allclose(hz[mine], expected[place][seen])
            states = series[f"states_member{member}"][1][mine]
            np.testing.assert_allclose(states, fitted.states(gappy, [trial]).values[member, 0, seen])


def test_without_times_trials_follow_each_other_and_the_file_says_so(tmp_path):
    recording = rec.from_symbols([[0, 1, 0], [1, 1], [0, 0, 1]], labels=["song", "call"])
    fit = models.Markov(order=1).fit(recording, [0], [1])
    export.nwb(fit, recording, tmp_path / "labels.nwb")
    table, series, names, began, said = read(tmp_path / "labels.nwb")
    assert names["symbols"]["label"].tolist() == ["song", "call"] and sorted(series) == ["predicted_member0"]
    assert table["start_time"].tolist() == [0, 4, 8] and table["stop_time"].tolist() == [3, 6, 11]
    assert "times are not known" in said and began.year == 1970
    t, probability, unit = series["predicted_member0"]
    assert t.tolist() == [0.5, 1.5, 2.5, 4.5, 5.5, 8.5, 9.5, 10.5] and unit == "probability"
    np.testing.assert_allclose(probability.sum(1), 1)


def test_a_signal_keeps_its_own_unit(tmp_path):
    y = np.cumsum(np.random.default_rng(3).normal(size=(12, 8, 2)), 1)
    recording = rec.from_signal(y, bin_width=0.5, channel_names=["x", "y"])
    fit = models.Persistence().fit(recording, range(6), range(6, 9))
    export.nwb(fit, recording, tmp_path / "signal.nwb", [10])
    _, series, names, _, _ = read(tmp_path / "signal.nwb")
    assert series["predicted_member0"][2] == "as recorded" and names["channels"]["label"].tolist() == [
        "x",
        "y",
    ]
    np.testing.assert_allclose(series["predicted_member0"][1], fit.predict(recording, [10]).values[0, 0])


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("tags", "covariate_tags"),
        ("start_time", "covariate_start_time"),
        ("deg/s", "deg_s"),
        ("side", "side"),
    ],
)
def test_covariates_keep_clear_of_columns_that_the_format_has(name, column, whole, tmp_path):
    values = np.arange(30.0)
    recording = whole.drop_vars("side").assign_coords({name: ("trial", values)})
    fit = models.Flat().fit(recording, TRAIN, VALID)
    export.nwb(fit, recording, tmp_path / "a.nwb")
    table = read(tmp_path / "a.nwb")[0]
    assert table[column].tolist() == values[np.argsort(whole["start"].values)].tolist()


def test_trials_that_overlap_are_no_series(fitted, gappy, tmp_path):
    late = gappy.assign_coords(start=("trial", 0.1 * np.arange(30)))
    with pytest.raises(CortseqError, match=r"start: trials overlap in time.*\.isel\(trial="):
        export.nwb(fitted, late, tmp_path / "late.nwb")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("package", "extra"), [("pynwb", "nwb"), ("h5py", "hdf5")])
def test_a_missing_package_is_named(package, extra, fitted, gappy, tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *more):
        if name == package:
            raise ImportError(name)
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(
        CortseqError, match=rf"needs the package {package} -- pip install 'cortseq\[{extra}\]'"
    ):
        if package == "pynwb":
            export.nwb(fitted, gappy, tmp_path / "a.nwb")
        else:
            export.nlb({}, tmp_path / "a.h5", "mc_maze")


# -- Neural Latents Benchmark ------------------------------------------------------------------------

OUT = [1, 4]


@pytest.fixture(scope="module")
def whole():
    return session()


@pytest.fixture(scope="module")
def rates(whole):
    fit = models.HMM(states=2).fit(whole, TRAIN, VALID, members=2)
    return export.cosmoothed(fit, whole, range(22), range(22, 30), OUT)


def written(path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path) as file:
        return {name: {key: values[()] for key, values in group.items()} for name, group in file.items()}


def test_a_submission_holds_what_its_evaluation_reads(whole, rates, tmp_path):
    path = tmp_path / "submission.h5"
    export.nlb(rates, path, "mc_maze_20")
    found = written(path)
    assert {name: values.shape for name, values in found["mc_maze_20"].items()} == {
        "train_rates_heldin": (22, 10, 3),
        "train_rates_heldout": (22, 10, 2),
        "eval_rates_heldin": (8, 10, 3),
        "eval_rates_heldout": (8, 10, 2),
    }
    spikes = whole["counts"].values[22:][..., OUT].astype(float)
    value = scoring.benchmark_bits_per_spike(found["mc_maze_20"]["eval_rates_heldout"], spikes)
    assert value > 0.1  # the units held in say which group fires
    forward = {
        name: np.ones((8, 4, rates[name.removesuffix("_forward")].shape[2])) for name in export.FORWARD
    }
    export.nlb(rates | forward, path, "area2_bump")
    export.nlb({name: 2 * values for name, values in rates.items()}, path, "mc_maze_20")
    again = written(path)
    assert sorted(again) == ["area2_bump", "mc_maze_20"] and set(again["area2_bump"]) == {
        *export.RATES,
        *export.FORWARD,
    }
    np.testing.assert_allclose(again["mc_maze_20"]["train_rates_heldin"], 2 * rates["train_rates_heldin"])


def test_rates_of_a_submission_are_those_of_the_table_of_cosmoothing(monkeypatch):
    """The project's own co-smoothing and the exported rates are worth the same bits per spike."""
    monkeypatch.setattr(cosmoothing, "HMM_STATES", (2,))
    recording = session()
    roles = {"train": [*TRAIN], "valid": [*VALID], "test": [*range(22, 30)]}
    smoothers = cosmoothing._smoothers
    monkeypatch.setattr(
        cosmoothing,
        "_smoothers",
        lambda *a: {k: v for k, v in smoothers(*a).items() if k in ("null", "hmm")},
    )
    table = cosmoothing.table(recording, roles, seed=5).set_index("smoother")
    held_out = cosmoothing.held_out_units(5, 5)[1]
    fit = models.HMM(states=2).fit(recording, TRAIN, VALID, seed=5)
    found = export.cosmoothed(fit, recording, TRAIN, range(22, 30), held_out)
    spikes = recording["counts"].values[22:][..., held_out].astype(float)
    value = scoring.benchmark_bits_per_spike(found["eval_rates_heldout"], spikes)
    assert value == pytest.approx(table.loc["hmm", "value"], rel=1e-12)


def test_units_held_out_change_nothing_that_is_evaluated(whole, rates):
    blind = whole.copy(deep=True)
    blind["counts"].values[22:][..., OUT] = 7
    fit = models.HMM(states=2).fit(whole, TRAIN, VALID, members=2)
    again = export.cosmoothed(fit, blind, range(22), range(22, 30), OUT)
    for name, values in rates.items():
        np.testing.assert_array_equal(again[name], values)


def changed_to(rates, changed):
    return {name: values for name, values in (rates | changed).items() if values is not None}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"eval_rates_heldout": None}, r"rates: .*\['eval_rates_heldout'\].*give train_rates_heldin"),
        ({"rates": np.ones((1, 1, 1))}, r"rates: a submission has other arrays"),
        ({"eval_rates_heldin_forward": np.ones((8, 4, 3))}, r"rates: .*eval_rates_heldout_forward"),
        ({"train_rates_heldin": np.ones((22, 9, 3))}, r"train_rates_heldout: trials, bins or units"),
        ({"eval_rates_heldout": np.ones((8, 10, 3))}, r"eval_rates_heldout: trials, bins or units"),
        ({"eval_rates_heldout": -np.ones((8, 10, 2))}, r"eval_rates_heldout: expected counts are finite"),
        ({"train_rates_heldin": np.ones((22, 3))}, r"train_rates_heldin: rates are \(trial, time, unit\)"),
        (
            {"eval_rates_heldin_forward": np.ones((7, 4, 3)), "eval_rates_heldout_forward": np.ones((7, 4, 2))},
            r"eval_rates_heldin_forward: trials are not those that are evaluated",
        ),
    ],
)  # fmt: skip
def test_rates_that_are_no_submission(rates, changed, words, tmp_path):
    with pytest.raises(CortseqError, match=words):
        export.nlb(changed_to(rates, changed), tmp_path / "a.h5", "mc_maze")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_cosmoothed(whole, fitted):
    null = models.Null().fit(whole, TRAIN, VALID)
    with pytest.raises(CortseqError, match=r"family: only a hidden Markov model or a network.*'null'"):
        export.cosmoothed(null, whole, TRAIN, range(22, 30), OUT)
    with pytest.raises(CortseqError, match=r"fit: a network must be fitted to the units held in.*5 units"):
        export.cosmoothed(fitted, whole, TRAIN, range(22, 30), OUT)
    fit = models.HMM(states=2).fit(whole, TRAIN, VALID)
    with pytest.raises(CortseqError, match=r"evaluated: the fit learned from an evaluated trial.*16"):
        export.cosmoothed(fit, whole, TRAIN, range(16, 30), OUT)
    for held_out in ([], range(5), [5]):
        with pytest.raises(CortseqError, match=r"held_out: some of the 5 units are held out, not all"):
            export.cosmoothed(fit, whole, TRAIN, range(22, 30), held_out)
    asked = [
        (whole.isel(unit=[0, 1, 2]), range(22, 30), "the fit is for 5 features"),
        (whole, [-3], "evaluated: the recording has"),
        (whole, [], "train, evaluated: trials of both roles"),
    ]
    for recording, evaluated, words in asked:
        with pytest.raises(CortseqError, match=words):
            export.cosmoothed(fit, recording, TRAIN, evaluated, OUT)


def test_a_file_that_is_no_submission_stays(rates, tmp_path):
    path = tmp_path / "notes.h5"
    path.write_text("hello")
    with pytest.raises(CortseqError, match=r"notes\.h5: is no HDF5 file"):
        export.nlb(rates, path, "mc_maze")
    assert path.read_text() == "hello"


# -- units that a network never saw ------------------------------------------------------------------


@pytest.fixture(scope="module")
def teacher():
    """A slow latent drives nine units; a tenth is independent of it. Also the rates that made the counts."""
    rng = np.random.default_rng(8)
    latent = np.zeros((90, 40))
    for t in range(1, 40):
        latent[:, t] = 0.9 * latent[:, t - 1] + rng.normal(0, 0.45, 90)
    load = np.r_[rng.choice([-1.0, 1.0], 9) * rng.uniform(0.6, 1.0, 9), 0.0]
    rates = np.exp(-0.7 + latent[..., None] * load)
    return rec.from_counts(rng.poisson(rates), bin_width=0.02), rates


def test_a_network_reads_units_that_it_never_saw(teacher):
    """Units of the latent are read nearly as well as the rates allow, one apart from it is not read at all."""
    recording, true = teacher
    out, train, valid, test = [2, 5, 9], range(50), range(50, 65), range(65, 90)
    seen = recording.isel(unit=np.setdiff1d(range(10), out))
    fit = models.Rate(hidden=12, epochs=80).fit(seen, train, valid, members=2)
    found = export.cosmoothed(fit, recording, range(65), test, out)
    assert set(found) == set(export.RATES)
    assert found["eval_rates_heldout"].shape == (25, 40, 3) and found["train_rates_heldin"].shape == (
        65,
        40,
        7,
    )
    spikes = recording["counts"].values[65:].astype(float)

    def score(rates, units):
        return scoring.benchmark_bits_per_spike(rates, spikes[..., units])

    ceiling = score(true[65:][..., [2, 5]], [2, 5])
    read = score(found["eval_rates_heldout"][..., :2], [2, 5])
    assert 0.5 * ceiling < read < ceiling
    assert abs(score(found["eval_rates_heldout"][..., 2:], [9])) < 0.02
    assert score(found["eval_rates_heldin"], np.setdiff1d(range(10), out)) > 0


def test_units_held_out_of_evaluated_trials_change_no_rate_of_a_network(whole):
    seen = whole.isel(unit=[0, 2, 3])
    fit = models.Rate(hidden=3, epochs=2).fit(seen, TRAIN, VALID, members=2)
    blind = whole.copy(deep=True)
    blind["counts"].values[22:][..., OUT] = 7
    first, again = (export.cosmoothed(fit, one, range(22), range(22, 30), OUT) for one in (whole, blind))
    for name, values in first.items():
        np.testing.assert_array_equal(again[name], values)


def test_missing_bins_are_missing_in_what_is_read(gappy):
    fit = models.Rate(hidden=3, epochs=2).fit(gappy.isel(unit=[0, 2, 3]), TRAIN, VALID)
    found = export.cosmoothed(fit, gappy, range(22), range(22, 30), OUT)
    for role, trials in (("train", slice(0, 22)), ("eval", slice(22, 30))):
        missing = ~gappy["valid"].values[trials]
        for units in ("heldin", "heldout"):
            assert np.array_equal(np.isnan(found[f"{role}_rates_{units}"]).all(-1), missing)
