"""Inputs of a dataset: what the animal saw and did, in the bins that models predict."""

import json

import numpy as np
import pytest

import cortseq
from cortseq import checking, models
from cortseq import recording as rec
from cortseq.errors import CortseqError
from cortseq.preprocess.inputs import binned, raised_cosines
from cortseq.scaling import Scale
from cortseq.sources.inputs import Basis, Input

N, BINS = 20, 50
TAP = np.random.default_rng(1).uniform(0, 1000, N)  # ms within the trial
SIDE = np.array(["left", "right"])[np.arange(N) % 2]
HEIGHT = np.random.default_rng(2).normal(3, 2, N)


@pytest.fixture(scope="module")
def taps(tmp_path_factory):
    """Spikes that know their trial, in ms, with times, labels and numbers of each trial."""
    rng = np.random.default_rng(0)
    file = tmp_path_factory.mktemp("inputs") / "taps.npz"
    np.savez(
        file, t=rng.uniform(0, 1000, N * 60), trial=np.repeat(np.arange(N), 60),
        unit=rng.integers(0, 3, N * 60),
        tap=TAP, on=np.full(N, 210.0), off=np.r_[np.nan, np.full(N - 1, 400.0)], side=SIDE, height=HEIGHT,
        choice=SIDE,
    )  # fmt: skip
    return file


def read(file, **inputs):
    keys = {"spike_times": "t", "spike_trials": "trial", "spike_units": "unit", "time_unit": "ms"}
    return cortseq.read(file, bin_ms=20, window_ms=[0, 1000], inputs=inputs, **keys)


def of(recording, name):
    return recording["inputs"].sel(input=name).values


def test_an_event_is_one_in_the_bin_of_its_time(taps):
    u = of(read(taps, tap={"event": "tap"}), "tap")
    assert u.shape == (N, BINS) and (u.sum(1) == 1).all()
    assert u.argmax(1).tolist() == (TAP // 20).astype(int).tolist()


def test_a_lag_moves_an_event_to_later_bins(taps):
    both = read(taps, now={"event": "tap"}, late={"event": "tap", "lag": 3})
    now, late = of(both, "now"), of(both, "late")
    assert (late[:, 3:] == now[:, :-3]).all() and not late[:, :3].any()


def test_a_value_holds_from_one_event_to_another(taps):
    u = of(read(taps, height={"value": "height", "from": "on", "to": "off"}), "height")
    assert not u[:, :10].any()
    assert (u[:, 10:20] == HEIGHT[:, None]).all()  # 210 ms lies in bin 10, 400 ms begins bin 20
    assert not u[1:, 20:].any() and (u[0, 20:] == HEIGHT[0]).all()  # a trial in which it never ended


def test_a_label_becomes_one_input_each(taps):
    r = read(taps, side={"label": "side", "from": "on"})
    assert r["input"].values.tolist() == ["side=left", "side=right"]
    assert (of(r, "side=left")[:, 10:] == (SIDE == "left")[:, None]).all()
    assert not r["inputs"].values[:, :10].any()
    assert r.attrs["covariates"] == [] and not [k for k in r.coords if "inputs" in str(k)]


def test_filters_reach_into_the_past_and_into_the_time_before_the_trial(taps, tmp_path):
    basis = {"raised_cosine": 4, "span_ms": 200.0}
    r = read(taps, tap={"event": "tap"}, ago={"event": "tap", "basis": basis})
    filters = raised_cosines(Basis(**basis), 0.02)
    assert filters.shape == (10, 4) and filters.sum(0) == pytest.approx(1)
    for k in range(4):
        made = np.stack([np.convolve(row, filters[:, k])[:BINS] for row in of(r, "tap")])
        assert of(r, f"ago~{k + 1}") == pytest.approx(made)
    files = dict(np.load(taps)) | {"tap": np.full(N, -50.0)}
    np.savez(tmp_path / "early.npz", **files)
    early = read(tmp_path / "early.npz", ago={"event": "tap", "basis": basis})
    assert of(early, "ago~4")[:, :3] == pytest.approx(np.tile(filters[3:6, 3], (N, 1)))


def test_a_series_is_the_mean_of_its_samples_one_bin_late(tmp_path):
    """On the recording's clock, beside spikes that a table cuts into trials."""
    rng = np.random.default_rng(0)
    start = 8.0 * np.arange(12) + rng.uniform(0, 4, 12)
    np.savez(tmp_path / "spikes.npz", t=np.sort(rng.uniform(0, 100, 3000)), unit=rng.integers(0, 3, 3000))
    (tmp_path / "trials.csv").write_text("start\n" + "\n".join(map(str, start)))
    time = np.arange(0, 100, 0.005)
    speed = np.cumsum(rng.normal(size=len(time)))
    speed[(time > 30) & (time < 31)] = np.nan
    np.savez(tmp_path / "track.npz", seconds=time, speed=speed, angle=time % (2 * np.pi))
    beside = {"path": "track.npz", "time": "seconds"}
    r = cortseq.read(
        tmp_path / "spikes.npz", spike_times="t", spike_units="unit", bin_ms=100, window_ms=[0, 2000],
        trials={"path": "trials.csv", "start": "start"},
        inputs={
            "speed": {"series": "speed", **beside}, "now": {"series": "speed", "lag": 0, **beside},
            "angle": {"series": "angle", "period": 2 * np.pi, **beside},
            "place": {"series": "angle", "bumps": 3, **beside},
        },
    )  # fmt: skip
    for name, late in (("now", 0.0), ("speed", 0.1)):
        for trial, bin in ((0, 0), (3, 7), (11, 19)):
            first = start[trial] + 0.1 * bin - late
            expected = speed[(time >= first) & (time < first + 0.1)].mean()
            assert of(r, name)[trial, bin] == pytest.approx(expected, nan_ok=True)
    assert r["input"].values[2:].tolist() == [
        "angle_cos",
        "angle_sin",
        "place@0",
        "place@3.142",
        "place@6.283",
    ]
    assert np.hypot(of(r, "angle_cos"), of(r, "angle_sin"))[:, 1:] == pytest.approx(1, abs=0.01)


def test_a_slow_series_is_held_and_no_longer_than_its_own_steps():
    time = np.array([0.0, 0.1, 0.2, 0.3, 1.0, 1.1])
    found = binned(time, np.arange(6.0), np.array([0.0]), 120, 0.01)[0]
    assert found[:10].tolist() == [0.0] * 10 and found[10] == 1.0
    assert np.isnan(found[70:99]).all()  # half a second after the last sample nothing is known
    assert found[100] == 4.0


def test_a_series_in_the_bins_of_an_array(tmp_path):
    rng = np.random.default_rng(0)
    speed = rng.normal(size=(10, 40))
    np.savez(tmp_path / "a.npz", counts=rng.poisson(1, (10, 40, 2)), speed=speed)
    keys = {"counts": "counts", "axes": ["trial", "time", "unit"], "native_bin_ms": 10.0}
    r = cortseq.read(tmp_path / "a.npz", inputs={"speed": {"series": "speed"}}, bin_ms=20, **keys)
    wide = speed.reshape(10, 20, 2).mean(2)
    assert of(r, "speed")[:, 1:] == pytest.approx(wide[:, :-1]) and np.isnan(of(r, "speed")[:, 0]).all()


@pytest.mark.parametrize(
    "entry, said",
    [
        ({"event": "nothing"}, r"inputs\.x\.event: .*nothing"),
        ({"event": "side"}, r"inputs\.x\.event: is no column of times"),
        ({"event": "tap", "time_unit": "s"}, r"inputs\.x\.event: none of its times lies in a trial"),
        ({"value": "side"}, r"inputs\.x\.value: is no column of numbers.* -- give labels as `label:`"),
        ({"series": "height"}, r"inputs\.x\.series: is no series, it has one value of each trial"),
        ({"event": "tap", "value": "height"}, "give exactly one of event, value, label, series"),
        ({"event": "tap", "from": "on"}, "from, to: are for value and label"),
        ({"event": "tap", "lag": -1}, r"inputs\.x\.lag"),
        ({"series": "s", "path": "a.csv"}, "time: names the column of times"),
    ],
)
def test_what_cannot_be_an_input_is_refused_in_one_line(taps, entry, said):
    with pytest.raises(CortseqError, match=said) as error:
        read(taps, x=entry)
    assert "\n" not in str(error.value)


def test_check_says_range_lag_and_what_is_missing(taps):
    ago = {"event": "tap", "basis": {"raised_cosine": 3, "span_ms": 100.0}}
    r = read(taps, tap={"event": "tap"}, height={"value": "height", "lag": 2}, ago=ago)
    r["inputs"].values[:, :25, 1] = np.nan
    said = checking._inputs(r)
    assert said["tap"] == "0 to 1"
    assert said["height"] == f"{HEIGHT.min():.4g} to {HEIGHT.max():.4g}, lag 2, 50.0% missing"
    assert said["ago"].endswith(", 3 columns")
    assert json.loads(r.attrs["inputs"])["tap"] == {"of": "tap", "event": "tap", "lag": 0}


# -- what models see -----------------------------------------------------------------------------------


def test_inputs_are_standardised_on_training_trials_and_missing_ones_told():
    rng = np.random.default_rng(0)
    u = np.stack([rng.normal(5, 3, (10, 8)), rng.integers(0, 2, (10, 8)), np.full((10, 8), 2.0)], -1)
    u[2, 3, 0] = np.nan
    recording = rec.from_counts(rng.poisson(1, (10, 8, 2)), bin_width=0.02, inputs=u, input_names="abc")
    data = models.Rate().given(recording, range(6))
    scale = Scale.of(data)
    seen = scale.applied(data).inputs
    assert scale.missing == (True, False, False) and seen.shape == (6, 8, 4)
    known = np.isfinite(u[:6, :, 0])
    assert seen[..., 0][known].mean() == pytest.approx(0, abs=1e-12)
    assert seen[..., 0][known].std() == pytest.approx(1)
    assert seen[2, 3, 0] == 0 and seen[..., 3].sum() == 1 == seen[2, 3, 3]
    assert (seen[..., 1] == u[:6, :, 1]).all() and not seen[
        ..., 2
    ].any()  # 0 and 1 stay, a constant says nothing
    assert scale.mean[0] == pytest.approx(np.nanmean(u[:6, :, 0]))


@pytest.mark.parametrize("family", [models.Rate(hidden=4, epochs=40, batch=4), models.Glm(history=3)])
def test_a_model_that_is_told_not_to_look_is_the_model_of_the_recording_without_inputs(family):
    rng = np.random.default_rng(0)
    u = rng.normal(size=(20, 8, 1))
    recording = rec.from_counts(rng.poisson(np.exp(u) * np.ones(2)), bin_width=0.02, inputs=u)
    roles = range(12), range(12, 16)
    blind = family.model_copy(update={"inputs": False}).fit(recording, *roles)
    bare = family.fit(recording.drop_vars(["inputs", "input"]), *roles)
    seeing = family.fit(recording, *roles)
    assert (
        blind.log_prob(recording).values == bare.log_prob(recording.drop_vars(["inputs", "input"])).values
    ).all()
    assert np.nansum(seeing.log_prob(recording).values) > np.nansum(blind.log_prob(recording).values) + 10
    assert blind.card["n_inputs"] == 0 and seeing.card["input_scale"]["mean"] == [
        pytest.approx(u[:12].mean())
    ]


def test_recordings_of_arrays_take_inputs():
    counts = np.ones((4, 5, 2), int)
    r = rec.from_counts(counts, bin_width=0.02, inputs=np.zeros((4, 5, 2)), input_names=["a", "b"])
    assert r["input"].values.tolist() == ["a", "b"]
    assert rec.from_symbols([np.zeros(5, int)] * 4, inputs=np.zeros((4, 5, 1)))["input"].values.tolist() == [
        "input0"
    ]
    with pytest.raises(CortseqError, match=r"inputs: are one series per trial"):
        rec.from_counts(counts, bin_width=0.02, inputs=np.zeros((4, 4, 2)))
    with pytest.raises(CortseqError, match="hold infinity"):
        rec.from_signal(np.ones((4, 5, 1)), bin_width=0.02, inputs=np.full((4, 5, 1), np.inf))


@pytest.mark.parametrize(
    "model", [models.Rate(hidden=8, epochs=60, batch=5), models.Glm(history=2), models.Glm(history=0)]
)
def test_free_runs_replay_inputs(model):
    """The closed loop under given inputs: what an input drives is there in what is drawn."""
    rng = np.random.default_rng(0)
    u = rng.integers(0, 2, (40, 10, 1)).astype(float)
    recording = rec.from_counts(rng.poisson(np.where(u, 5.0, 0.2) * np.ones(3)), bin_width=0.02, inputs=u)
    fit = model.fit(recording, range(30), range(30, 40))
    drawn = fit.simulate(40, 10, inputs=u)["counts"].values.mean(-1)
    assert drawn[u[..., 0] > 0].mean() > 3.5 and drawn[u[..., 0] == 0].mean() < 1
    with pytest.raises(CortseqError, match="inputs: a free run replays inputs"):
        fit.simulate(40, 9, inputs=u)


def test_entries_of_inputs_say_their_kind_and_delay():
    assert (
        Input(series="a").delay == 1 and Input(event="a").delay == 0 and Input(series="a", lag=0).delay == 0
    )
    assert Input(value="a", begin="b").names == {"value": "a", "begin": "b"}
