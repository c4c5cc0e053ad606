"""Every analysis on every family and track: which variables there are, what they must agree with, who says what."""

from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from untrained import every_flowing, untrained

from cortseq import dynamics, models, store, theory
from cortseq.dynamics import analyse, laboratory, quantities, summary
from cortseq.dynamics.laboratory import cells, closed_loop, weights

ALWAYS = {
    "states", "fixed_points", "saturation", "slow_points", "nearest_radius", "line_attractor", "echo_holds",
    "conditional_exponent", "gradient_norm", "gradient_horizon", "decoded", "participation_ratio",
    "states_r2", "shared", "sampled_twins", "closed_twins", "surprise", "expected", "plane_points",
    "vanishing", "participation_ratio_left_out", "states_r2_left_out", "operator_to_recording",
    "operator_to_members",
}  # fmt: skip
OF_WEIGHTS = {"weights", "outlier_p", "weight_disc"}


def silent(*_):
    pass


def examined(model, recording, label_name="", members=2):
    fit = untrained(model, recording, members=members, seed=3)
    n = recording.sizes["trial"]
    return fit, laboratory.examine(
        fit, recording, np.arange(n - 12), np.arange(n - 12, n), label_name, 1, silent
    )


CASES = [(m, "counts") for m in every_flowing()]
CASES += [
    (m, track)
    for m in every_flowing()
    if "forget" in m.gate_names or m.plastic
    for track in ("symbols", "signal")
]


@pytest.fixture(autouse=True)
def short_orbits(monkeypatch):
    """Exponents of few steps: here they are only there or not."""
    monkeypatch.setattr(closed_loop, "_STEPS", 60)
    monkeypatch.setattr(closed_loop, "_WARM_UP", 20)
    monkeypatch.setattr(closed_loop, "_TWIN_STEPS", 12)


@pytest.mark.parametrize(("model", "track"), CASES, ids=lambda v: getattr(v, "family", v))
def test_every_analysis_of_every_family(model, track, request, tmp_path):
    recording = request.getfixturevalue(track)
    fit, found = examined(model, recording)
    assert set(found) >= ALWAYS
    assert set(found) & OF_WEIGHTS == (OF_WEIGHTS if model.has_weights else set())
    assert ("forget_path" in found) == ("forget" in model.gate_names)
    assert ("lipschitz_violations" in found) == (model.lipschitz is not None)
    assert ("held_points" in found) == model.rectified  # so few units have few regions
    assert ("balance_index" in found) == model.signed == ("sign" in fit.params) == ("sign_agreement" in found)
    assert ("efficacy" in found) == ("efficacy_at_rate" in found) == model.plastic
    assert ("memory_capacity" in found) == model.reservoir
    assert ("gain" in found) == model.saturates
    assert ("jacobian_disc" in found) == (model.has_weights and model.hidden == found.sizes["dim"])
    assert not found.get("lipschitz_violations", np.zeros(1)).any()
    table = summary.summarise(found)
    lacks_ripser = table["verdict"].str.startswith("not done: needs the package ripser")
    assert lacks_ripser.any() == ("visited_loops" not in found) == (find_spec("ripser") is None)
    table = table[~lacks_ripser]
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
    # a synapse releases at a constant rate what theory says of its U and time constants
    fit, plain = examined(models.Stp(hidden=6), labelled)
    use = 1 / (1 + np.exp(-float(fit.params["use_raw"][1, 2])))
    times = (np.exp(float(fit.params[name][1, 2])) for name in ("fac_log", "rec_log"))
    steady = theory.stp_steady_state(plain["rate"].values, use, *times)
    np.testing.assert_allclose(plain["efficacy_at_rate"][1, 2], steady.u * steady.x, rtol=1e-6)
    known = found["cue_from_rates"].values
    assert np.nanmin(known) >= 0 and np.nanmax(known) <= 1 and "balance_index" in found


@pytest.mark.parametrize(
    ("values", "kind", "says"),
    [
        ([1.0, 1.1, 0.9], "size", "identified"),
        ([1.0, 1.1], "size", "not identifiable: 2 members, of at least 3"),
        ([1.0, 3.0, 0.2], "size", "not identifiable: sd"),
        ([-0.1, -0.12, -0.11], "sign", "identified"),
        ([-0.1, -0.4], "sign", "not identifiable: the interval holds 0"),
        ([-0.1, -0.9, -0.01], "sign", "not identifiable: the interval holds 0"),
        ([-0.1, -0.1, -np.inf], "sign", "identified"),
        ([-np.inf, 3.0], "size", "not identifiable: infinite in 1 of 2"),
        ([np.inf, np.inf, np.inf], "size", "not identifiable: infinite in every member"),
        ([-np.inf, -np.inf, -np.inf], "sign", "identified: infinite in every member"),
        ([-np.inf, np.inf, -np.inf], "sign", "not identifiable: signs differ"),
        ([-0.1, 0.4], "sign", "not identifiable: signs differ"),
        ([2, 2, 2], "count", "identified"),
        ([2, 5, 2], "count", "not identifiable: 2 to 5"),
        ([2, 2], "count", "not identifiable: 2 members"),
        ([1.0, np.nan], "size", "not identifiable: undefined in 1 of 2"),
        ([1.0], "size", "one member"),
    ],
)
def test_verdicts(values, kind, says):
    assert summary.verdict(values, kind).startswith(says)


def _sized(name: str, values: list[float]) -> pd.Series:
    (quantity,) = [q for q in quantities.QUANTITIES if q.name.startswith(name)]
    found = xr.Dataset({quantity.needs: ("member", values)}, attrs={"track": "counts", "bin_width": 0.02})
    spectra = dict.fromkeys(
        ("nearest_eigenvalues_real", "nearest_eigenvalues_imag"), (("member", "dim"), np.ones((3, 1)))
    )
    table = summary.summarise(found.assign(spectra)).set_index("quantity")
    return table.loc[quantity.name]


def test_a_radius_on_both_sides_of_1_is_not_agreed_on():
    assert (
        _sized("spectral radius", [0.99, 1.2, 0.95])["verdict"]
        == "not identifiable: below 1 in 2 of 3 members"
    )
    assert _sized("spectral radius", [0.99, 0.97, 0.95])["verdict"] == "identified"


def test_members_that_reach_the_end_of_the_search_have_no_size():
    line = _sized("a surprise lasts", [30.0, 30.0, 29.0])
    assert line["verdict"] == "not identifiable: 30, where the search ends, in 2 of 3 members"
    assert line["high"] <= 30
    assert _sized("a surprise lasts", [12.0, 13.0, 12.5])["verdict"] == "identified"


def test_the_mean_over_members_of_which_one_is_infinite_is_infinite():
    line = _sized("transient growth", [7.4, np.inf, np.inf])
    assert line["value"] == np.inf and line["verdict"] == "not identifiable: infinite in 2 of 3 members"


def test_intervals_hold_the_spread_of_members_and_of_trials():
    """With members apart by 1 and trials by 10 the interval must be as wide as both make it."""
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, (4, 1)) + rng.normal(0, 10, (1, 50))
    low, high = summary._interval(values)
    members = 3.182446 * values.mean(1).std(ddof=1) / 2
    trials = 1.96 * values.mean(0).std(ddof=1) / np.sqrt(50)
    assert (high - low) / 2 == pytest.approx(np.hypot(members, trials), rel=1e-5)
    assert trials == pytest.approx(1.96 * 10 / np.sqrt(50), rel=0.3)
    low, high = summary._interval(np.array([1.0, 2.0, 3.0]))
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
    judged = table[table["each"] != ""]
    assert len(judged) > 5 and (judged["verdict"] == "one member").all()


def test_members_that_are_one_network_share_every_fixed_point(signal):
    model = models.Rate(hidden=5)
    fit = untrained(model, signal, members=2, seed=2)
    for value in fit.params.values():
        value[1] = value[0]
    subject = laboratory.Subject(fit, signal, np.arange(18), np.arange(18, 30))
    found = analyse.dissect_fit(fit, signal, np.arange(18, 30), seed=1)
    found = found.assign(closed_loop.expected(subject, found)[0])
    share = closed_loop.shared(subject, found)[0]["shared"][1]
    known = np.isfinite(found["speed"].values)
    assert known.any() and np.isfinite(share)[known].all() and (share[known] == 1).all()
    fit.params["readout_bias"][1] += 30.0  # the same states, another observation: another point
    found = found.assign(closed_loop.expected(subject, found)[0])
    assert (closed_loop.shared(subject, found)[0]["shared"][1][known] == 0).all()


def test_twins_part_as_the_largest_exponent_says(counts):
    fit = untrained(models.Rate(hidden=8, leak=0.5), counts, members=1, seed=2)
    subject = laboratory.Subject(fit, counts, np.arange(28), np.arange(28, 40))
    found = closed_loop.twins(subject, None)[0]
    states = subject.visited(0, 4)
    exponent = dynamics.leading_exponents(fit.flow(0, "closed"), states, n_steps=12, warm_up=0)
    assert found["closed_twin_slope"][1][0] == pytest.approx(exponent.mean(), abs=0.1)
    assert found["sampled_twins"][1].shape == (1, 8, 13)
    assert (found["sampled_twins"][1][..., 0] == 1e-6).all()


def test_what_cannot_be_done_says_why_and_the_rest_is_done(counts):
    """One short test trial, a unit that alone makes the state, a label of many names."""
    short = counts.isel(time=slice(0, 12)).assign_coords(side=("trial", [f"way {i % 10}" for i in range(40)]))
    fit = untrained(models.Rate(hidden=1), short, members=2)
    found = laboratory.examine(fit, short, np.arange(30), [35], "side", 1, silent)
    assert any(line.startswith("echo: ") and "at least 20" in line for line in found.attrs["not_done"])
    assert found.attrs["conditions"] == ["way 5"] and np.isfinite(found["participation_ratio"]).all()
    table = summary.summarise(found).set_index("quantity")
    assert table.loc["echo", "verdict"].startswith("not done: ")
    assert table.loc["fixed points", "verdict"].startswith(("identified", "not identifiable"))


def test_a_recording_without_spikes_is_examined(counts):
    silence = counts.assign(counts=0 * counts["counts"])
    _, found = examined(models.Rate(hidden=4), silence)
    assert found.attrs["not_done"] and "fixed_points" in found and len(summary.summarise(found)) > 5


def test_the_dimension_of_chaos_takes_as_many_exponents_as_it_needs(counts):
    fit = untrained(models.Rate(hidden=60, leak=1.0, gain=4.0), counts, members=1, seed=1)
    fit.params["readout_weight"][:] = 0
    subject = laboratory.Subject(fit, counts, np.arange(28), np.arange(28, 40))
    found = closed_loop.exponents(subject, None)[0]
    start = subject.visited(0, 10)[0]
    whole = dynamics.lyapunov_spectrum(fit.flow(0, "closed"), start, None, 60, 20, 0)
    assert whole.kaplan_yorke_dimension > 8
    # not equal: frames of another width are straightened at other steps
    assert found["kaplan_yorke"][1][0] == pytest.approx(whole.kaplan_yorke_dimension, rel=0.1)
    assert found["entropy"][1][0] == pytest.approx(whole.entropy, rel=0.1)


def test_dimension_and_entropy_do_not_contradict_the_exponent_over_starts(counts, monkeypatch):
    """From one start .02, .01, -.3; over ten -.005: no dimension, no entropy. Over ten .04: .05 in all."""
    fit = untrained(models.Rate(hidden=4), counts, members=2)
    subject = laboratory.Subject(fit, counts, np.arange(28), np.arange(28, 40))
    spectrum = dynamics.LyapunovSpectrum(np.array([0.02, 0.01, -0.3]), np.full(3, 0.001), 100, True)
    every = np.repeat([[-0.005], [0.04]], 10, 1)
    verdict = dynamics.ChaosVerdict(None, "signs differ", every, -0.3, 0.3)
    monkeypatch.setattr(closed_loop, "_spectrum", lambda *given: spectrum)
    monkeypatch.setattr(closed_loop, "chaos_verdict", lambda *given: verdict)
    found = closed_loop.exponents(subject, None)[0]
    assert found["entropy"][1].tolist() == [0, pytest.approx(0.05)]
    assert found["kaplan_yorke"][1].tolist() == [0, pytest.approx(2 + 0.05 / 0.3)]
    assert found["lyapunov"][1].tolist() == [[0.02, 0.01, -0.3]] * 2


def test_a_member_that_runs_away_does_not_take_the_others_along(signal):
    fit = untrained(models.Rate(hidden=4), signal, members=2)
    fit.params["skip"][0] = 1e6
    fit.params["skip"][1] = 0
    found = laboratory.examine(fit, signal, np.arange(18), np.arange(18, 30), "", 1, silent)
    assert found.attrs["chaotic"] == "no verdict" and "member 0" in found.attrs["chaotic_reason"]
    assert np.isnan(found["lyapunov"][0]).all() and np.isfinite(found["lyapunov"][1, :2]).all()


def test_random_weights_are_their_own_shuffled_controls_and_obey_mean_field_theory(counts):
    fit = untrained(models.Rate(hidden=300, leak=1.0, gain=2.5), counts, members=2, seed=4)
    subject = laboratory.Subject(fit, counts, np.arange(28), np.arange(28, 40))
    given = fit.params["recurrent"].double().numpy()
    found = weights.mean_field(subject, {"weights": xr.DataArray(given)})[0]
    own, shuffled, theory = (
        found[name][1] for name in ("weights_exponent", "shuffled_exponent", "mean_field_exponent")
    )
    assert found["gain"][1] == pytest.approx([2.5, 2.5], rel=0.02)
    assert np.abs(own - theory).max() < 0.12 * theory.max() and np.abs(shuffled.mean(1) - own).max() < 0.05
    # structure parts them: a strong symmetric part settles what its shuffled entries leave chaotic
    symmetric = (given + given.swapaxes(1, 2)) / np.sqrt(2)
    found = weights.mean_field(subject, {"weights": xr.DataArray(symmetric)})[0]
    assert (found["weights_exponent"][1] < 0.02).all() and (found["shuffled_exponent"][1] > 0.2).all()


def test_members_in_another_basis_lie_in_one_plane(signal):
    """Member 1 is member 0 with its units permuted: the common plane must put states and points in one place."""
    fit = untrained(models.Rate(hidden=5, leak=0.5), signal, members=2, seed=2)
    order = np.array([3, 0, 4, 1, 2])
    for name, value in fit.params.items():
        other = value[0].clone()
        if name in ("bias", "start", "input_weight", "leak_raw"):
            other = other[order]
        elif name == "recurrent":
            other = other[order][:, order]
        elif name == "readout_weight":
            other = other[:, order]
        value[1] = other
    _, found = fit, laboratory.examine(fit, signal, np.arange(18), np.arange(18, 30), "", 1, silent)
    plane = found["plane_states"].values
    assert np.nanmax(np.abs(plane[1] - plane[0])) < 1e-3 * np.nanstd(plane[0])
    ours, theirs = (found["plane_points"].values[m] for m in range(2))
    ours, theirs = (p[np.isfinite(p).all(1)] for p in (ours, theirs))
    apart = np.abs(ours[:, None] - theirs).max(2).min(1)
    assert len(ours) and apart.max() < 1e-2 * np.nanstd(plane[0])


def test_errors_by_the_jackknife_are_those_of_the_mean():
    rng = np.random.default_rng(0)
    trials = rng.normal(size=(3, 40))
    left_out = np.stack([trials[:, np.arange(40) != i].mean(1) for i in range(40)])
    expected = trials.mean(0).std(ddof=1) / np.sqrt(40)
    assert summary._error_over_trials(trials.mean(1), left_out) == pytest.approx(expected, rel=1e-9)
    assert summary._error_over_trials(trials, None) == pytest.approx(expected, rel=1e-9)


def test_unknown_labels_are_no_class():
    """A trial whose label is NaN is in neither half."""
    label = np.array([1.0, 2.0, np.nan, np.nan, 2.0, 1.0, 2.0, 1.0])
    subject = laboratory.Subject(None, None, np.arange(4), np.arange(4, 8), label)
    cue = cells._cue(subject)
    np.testing.assert_array_equal(np.isnan(cue), np.isnan(label))
    np.testing.assert_array_equal(cue[[0, 1, 4, 5]], [0, 1, 1, 0])
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3, 2))
    marked = np.repeat([0.0, 1.0, np.nan], 20)
    x[marked == 1] += 3
    train = np.r_[0:10, 20:30, 40:50]
    found = dynamics.decode_cue(x, marked, train, np.setdiff1d(np.arange(60), train))
    assert (found > 0.95).all()


def test_conditions_hold_the_recorded_inputs_of_each_label(counts):
    """A stimulus that differs between the two sides: the open loop of each side holds its own."""
    side = np.arange(40) % 2
    stimulus = np.where(side, 5.0, -5.0)[:, None, None] + np.zeros((40, counts.sizes["time"], 1))
    labelled = counts.assign(inputs=(("trial", "time", "input"), stimulus))
    labelled = labelled.assign_coords(side=("trial", side))
    fit, found = examined(models.Rate(hidden=6), labelled, "side")
    import torch

    test = np.arange(28, 40)
    for c in range(2):
        y = labelled["counts"].values[test][side[test] == c].mean((0, 1))
        held = fit.flow(0, "open", input=y, inputs=[5.0 if c else -5.0])
        point = found["condition_points"].values[0, c]
        np.testing.assert_allclose(held(torch.from_numpy(point)).numpy(), point, atol=1e-8)
    assert np.abs(found["condition_points"][0, 0] - found["condition_points"][0, 1]).max() > 0.1


def test_a_surprise_lasts_as_long_as_the_modes_that_are_seen(signal):
    """A leaky linear-range network of one visible slow mode: the span is that of the mode, -1 / ln(a)."""
    fit = untrained(models.Rate(hidden=2, leak=1.0), signal, members=1, seed=0)
    for name in ("recurrent", "input_weight", "bias", "start", "readout_weight", "skip"):
        fit.params[name][:] = 0
    small = 1e-3  # the linear range of tanh
    fit.params["recurrent"][0] = fit.params["recurrent"][0].new_tensor([[0.9, 0.0], [0.0, 0.999]])
    fit.params["input_weight"][0, 0, 0] = small
    fit.params["readout_weight"][0, :, 0] = 1e-6  # seen, but fed back by next to nothing
    subject = laboratory.Subject(fit, signal, np.arange(18), np.arange(18, 30))
    found = closed_loop.surprise(subject, {"expected_spread": xr.DataArray([1.0])})[0]
    curve = found["surprise"][1][0]
    assert curve[10] / curve[0] == pytest.approx(0.9**10, rel=0.01)
    # the other mode is slower, yet neither moved by what is seen nor seen itself
    assert found["surprise_span"][1][0] == pytest.approx(-1 / np.log(0.9), rel=0.02)


def test_the_capacity_and_bounds_of_a_reservoir_are_those_of_its_weights(counts):
    fit, found = examined(
        models.Esn(hidden=30, leak=1.0, radius=0.8, input_scale=1e-3, bias_scale=0.0), counts
    )
    p = {name: value[1].double().numpy() for name, value in fit.params.items()}
    alone = dynamics.memory_capacity(p["recurrent"], p["input_weight"][:, 0], 30, 1150, 1.0, "tanh", 2)
    assert found["memory_capacity"][1] == pytest.approx(alone.total) and 3 < alone.total < 30
    assert found["echo_radius"][1] == pytest.approx(0.8, rel=1e-6)
    assert found["echo_stretch"][1] == pytest.approx(dynamics.echo_state_bounds(p["recurrent"]).sigma_max)


def test_shares_of_trials_whose_gradients_vanish_are_those_of_the_function(counts):
    _, found = examined(models.Rate(hidden=8, leak=1.0, gain=0.1), counts)
    reach = dynamics.gradient_reach(found["gradient_norm"].values, found["lag"].values.tolist())
    assert (found["vanishing"] == 1).all() and (found["exploding"] == 0).all()
    np.testing.assert_array_equal(found["vanishing"], reach.vanishing)


@pytest.mark.parametrize(
    ("attrs", "exponents", "words"),
    [
        ({"chaotic": "chaotic"}, [0.1, 0.12, 0.09, 0.11, 0.1], "identified: chaotic"),
        ({"chaotic": "not chaotic"}, [-0.1, -0.12, -0.09, -0.11, -0.1], "identified: not chaotic"),
        ({"chaotic": "not chaotic"}, [-0.1, -0.11, -0.1], "identified: not chaotic in these 3 members"),
        # the table's interval, which holds the error over starts as well, decides with the verdict
        ({"chaotic": "not chaotic"}, [-0.1, -0.9, -0.01], "not identifiable: the interval holds 0"),
        (
            {"chaotic": "no verdict", "chaotic_reason": "not identifiable: growth fades"},
            [0.1, 0.12, 0.09, 0.11, 0.1],
            "not identifiable: growth fades",
        ),
    ],
)
def test_table_and_figure_give_one_verdict_on_chaos(attrs, exponents, words):
    data = xr.Dataset({"leading_exponents": (("member", "chaos_start"), np.repeat([exponents], 10, 0).T)})
    data = data.assign(lyapunov=(("member", "rank"), np.array(exponents)[:, None]))
    data = data.assign_attrs(attrs, track="counts", bin_width=0.02)
    table = summary.summarise(data)
    assert summary.chaos(data) == words
    assert table.set_index("quantity").loc["largest Lyapunov exponent", "verdict"] == words
