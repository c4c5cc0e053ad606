"""Every analysis on every family and track: which variables there are, what they must agree with, who says what."""

import numpy as np
import pandas as pd
import pytest
from untrained import every_recurrent, untrained

from cortseq import dynamics, models, store
from cortseq.dynamics import laboratory, summary

ALWAYS = {
    "states", "fixed_points", "saturation", "slow_points", "nearest_radius", "line_attractor", "echo_holds",
    "conditional_exponent", "gradient_norm", "gradient_horizon", "decoded", "participation_ratio", "outlier_p",
    "states_r2", "shared", "sampled_twins", "closed_twins",
}  # fmt: skip


def silent(*_):
    pass


def examined(model, recording, label_name="", members=2):
    fit = untrained(model, recording, members=members, seed=3)
    n = recording.sizes["trial"]
    return fit, laboratory.examine(
        fit, recording, np.arange(n - 12), np.arange(n - 12, n), label_name, 1, silent
    )


CASES = [(m, "counts") for m in every_recurrent()]
CASES += [
    (m, track) for m in every_recurrent() if m.family in ("lstm", "stp") for track in ("symbols", "signal")
]


@pytest.fixture(autouse=True)
def short_orbits(monkeypatch):
    """Exponents of few steps: here they are only there or not."""
    monkeypatch.setattr(laboratory, "_STEPS", 60)
    monkeypatch.setattr(laboratory, "_WARM_UP", 20)
    monkeypatch.setattr(laboratory, "_TWIN_STEPS", 12)


@pytest.mark.parametrize(("model", "track"), CASES, ids=lambda v: getattr(v, "family", v))
def test_every_analysis_of_every_family(model, track, request, tmp_path):
    recording = request.getfixturevalue(track)
    _, found = examined(model, recording)
    assert set(found) >= ALWAYS
    assert ("forget_path" in found) == (model.family == "lstm")
    assert ("lipschitz_violations" in found) == (model.family in ("rate", "dale", "low_rank", "esn"))
    assert ("balance_index" in found) == (model.family == "dale")
    assert ("efficacy" in found) == (model.family == "stp")
    assert not found.get("lipschitz_violations", np.zeros(1)).any()
    table = summary.summarise(found)
    assert table["quantity"].is_unique and set(table["map"]) <= {"closed", "open", "sampled", "weights"}
    assert table["verdict"].str.startswith(("identified", "not identifiable")).all()
    store.write(found, tmp_path / "a.zarr.zip")
    assert store.read(tmp_path / "a.zarr.zip")["states"].identical(found["states"])


def test_what_the_analyses_say_is_what_the_functions_say(counts):
    fit, found = examined(models.Dale(hidden=8), counts)
    test = np.arange(28, 40)
    norms = dynamics.gradient_norms(fit, counts, found["lag"].values, test[: found.sizes["driven_trial"]])
    np.testing.assert_allclose(found["gradient_norm"], norms)
    np.testing.assert_allclose(
        found["balance_index"][1], dynamics.balance_of_fit(fit, counts, 1, test).index, equal_nan=True
    )
    points = dynamics.fixed_points(fit.flow(0, "closed"), found["states"].values[:, 2:4].reshape(-1, 8))
    nearest = found["nearest_radius"].values[0]
    assert np.abs(np.abs(points.eigenvalues[:, 0]) - nearest).min() < 1e-6
    # the plane of the vector field: at a grid point the velocity is the flow's, projected
    axes, mean = found["components"].values[:2], found["mean"].values
    at = mean + found["grid"].values[3, 5] @ axes
    import torch

    moved = fit.flow(0, "closed")(torch.from_numpy(at)).numpy() - at
    np.testing.assert_allclose(found["velocity"][3, 5], moved @ axes.T, atol=1e-12)


def test_conditions_hold_the_mean_input_of_a_label(counts):
    side = np.arange(40) % 2
    labelled = counts.assign_coords(side=("trial", side))
    fit, found = examined(models.Rate(hidden=8), labelled, "side")
    assert found.attrs["conditions"] == ["0", "1"]
    test = np.arange(28, 40)
    held = labelled["counts"].values[test][side[test] == 1].mean((0, 1))
    point = found["condition_points"].values[0, 1]
    import torch

    there = fit.flow(0, "open", input=held)(torch.from_numpy(point)).numpy()
    np.testing.assert_allclose(there, point, atol=1e-8)


def test_a_cue_is_read_from_plastic_synapses(counts):
    labelled = counts.assign_coords(side=("trial", np.arange(40) % 2))
    _, found = examined(models.Stp(hidden=6, dale=True), labelled, "side")
    assert found["cue_from_efficacy"].dims == ("member", "time")
    known = found["cue_from_rates"].values
    assert np.nanmin(known) >= 0 and np.nanmax(known) <= 1 and "balance_index" in found


@pytest.mark.parametrize(
    ("values", "kind", "says"),
    [
        ([1.0, 1.1, 0.9], "size", "identified"),
        ([1.0, 3.0, 0.2], "size", "not identifiable: sd"),
        ([-0.1, -0.4], "sign", "identified"),
        ([-0.1, 0.4], "sign", "not identifiable: signs differ"),
        ([2, 2, 2], "count", "identified"),
        ([2, 5, 2], "count", "not identifiable: 2 to 5"),
        ([1.0, np.nan], "size", "not identifiable: undefined in 1 of 2"),
        ([1.0], "size", "one member"),
    ],
)
def test_verdicts(values, kind, says):
    assert summary.verdict(values, kind).startswith(says)


def test_intervals_hold_the_spread_of_members_and_of_trials():
    """With members apart by 1 and trials by 10 the interval must be as wide as both make it."""
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, (4, 1)) + rng.normal(0, 10, (1, 50))
    low, high = summary._interval(values, values.mean(1), 0)
    assert 0.6 < (high - low) / (3.92 * 10 / np.sqrt(50)) < 1.6
    low, high = summary._interval(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0]), 0)
    assert (high - low) / 2 == pytest.approx(4.302653 / np.sqrt(3), rel=1e-5)


def test_a_closed_loop_that_runs_away_gets_no_verdict(signal):
    """A linear read-out fed back through a skip of weight 2 grows without bound."""
    model = models.Rate(hidden=4)
    fit = untrained(model, signal, members=1)
    if "skip" not in fit.params:
        pytest.skip("no skip connection")
    fit.params["skip"][:] = 3.0 * np.eye(2) if fit.params["skip"].ndim == 3 else 3.0
    found = laboratory.examine(fit, signal, np.arange(18), np.arange(18, 30), "", 1, silent)
    assert found.attrs["chaotic"] == "no verdict"
    table = summary.summarise(found)
    assert (table["verdict"] == "one member").all() and isinstance(table, pd.DataFrame)


def test_members_that_are_one_network_share_every_fixed_point(signal):
    model = models.Rate(hidden=5)
    fit = untrained(model, signal, members=2, seed=2)
    for value in fit.params.values():
        value[1] = value[0]
    subject = laboratory.Subject(fit, signal, np.arange(18), np.arange(18, 30))
    found = laboratory.analyse.dissect_fit(fit, signal, np.arange(18, 30), seed=1)
    shared, _ = laboratory.shared(subject, found)
    share = shared["shared"][1]
    known = np.isfinite(found["speed"].values)
    assert known.any() and np.isfinite(share)[known].all() and (share[known] == 1).all()
    fit.params["readout_bias"][1] += 30.0  # the same states, another observation: another point
    assert (laboratory.shared(subject, found)[0]["shared"][1][known] == 0).all()


def test_twins_part_as_the_largest_exponent_says(counts):
    fit = untrained(models.Rate(hidden=8, leak=0.5), counts, members=1, seed=2)
    subject = laboratory.Subject(fit, counts, np.arange(28), np.arange(28, 40))
    found = laboratory.twins(subject, None)[0]
    states = subject.visited(0, 4)
    exponent = dynamics.leading_exponents(fit.flow(0, "closed"), states, n_steps=12, warm_up=0)
    assert found["closed_twin_slope"][1][0] == pytest.approx(exponent.mean(), abs=0.1)
    assert found["sampled_twins"][1].shape == (1, 8, 13)
    assert (found["sampled_twins"][1][..., 0] == 1e-6).all()
