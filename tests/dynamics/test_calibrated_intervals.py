"""Intervals calibrated by refits: they hold the truth as often as they say."""

import numpy as np
import pandas as pd
import pytest
from untrained import untrained

from cortseq import models, study
from cortseq import recording as rec
from cortseq.dynamics import calibration, henrici, numerical_abscissa, quantities, transient_growth
from cortseq.dynamics.laboratory import open_loop
from cortseq.matrices import spectral_radius

BOTH = np.resize([1, -1], 39)  # errors to both sides


def table(value, low, high, quantity="participation ratio", verdict="identified"):
    row = {"quantity": quantity, "value": value, "low": low, "high": high, "interval": "members"}
    return pd.DataFrame([row | {"verdict": verdict}])


def refits(misses, quantity="participation ratio"):
    return [pd.DataFrame({"quantity": [quantity], "truth": [3.0], "value": [3.0 + m]}) for m in misses]


def test_the_interval_reaches_as_far_as_95_of_100_refits_missed():
    (row,) = calibration.calibrated(table(5.0, 4.9, 5.1), refits(BOTH[:20] * np.arange(1, 21) / 10)).to_dict(
        "records"
    )
    assert (row["low"], row["high"]) == pytest.approx((3.0, 7.0))  # the 20th of 20: ceil(.95 * 21)
    assert row["interval"] == "calibrated by 20 refits"
    (row,) = calibration.calibrated(table(5.0, 4.9, 5.1), refits(BOTH * np.arange(1, 40) / 10)).to_dict(
        "records"
    )
    assert (row["low"], row["high"]) == pytest.approx((1.2, 8.8))  # the 38th of 39


def test_calibrated_intervals_cover_what_members_do_not():
    """Members agree to 0.1, all shifted by one error of sd 1: their own interval holds little of the truth."""
    rng, hits = np.random.default_rng(0), 0
    for _ in range(300):
        again = refits(rng.normal(0, 1, 19))
        value = 9 + rng.normal()
        (row,) = calibration.calibrated(table(value, value - 0.1, value + 0.1), again).to_dict("records")
        hits += row["low"] <= 9 <= row["high"]
    assert 0.91 < hits / 300 < 0.985  # 95 % within 3 standard errors


def test_no_interval_becomes_narrower():
    (row,) = calibration.calibrated(table(5.0, 2.0, 5.1), refits([0.5, -0.5] * 10)).to_dict("records")
    assert (row["low"], row["high"]) == pytest.approx((2.0, 5.5))


def test_an_interval_has_no_end_where_refits_all_err_to_one_side():
    """Students come out too slow, by an amount that grows with the truth: 19 known misses bound only one side."""
    errors = 1.0 + 0.1 * np.linspace(-1, 1, 19)
    for sign, ends, words in (
        (1, (0.0, 6.1), "too high: no lower end"),
        (-1, (3.9, np.inf), "too low: no upper end"),
    ):
        (row,) = calibration.calibrated(table(5.0, 4.9, 5.1), refits(sign * errors)).to_dict("records")
        assert (row["low"], row["high"]) == pytest.approx(ends)  # no participation ratio is below 0
        assert row["interval"].endswith(words) and row["verdict"].startswith(
            "not identifiable: refits come out"
        )
    name = "largest Lyapunov exponent"
    slow = table(-2.0, -2.1, -1.9, name), refits(errors, name)
    (row,) = calibration.calibrated(*slow).to_dict("records")
    assert (row["low"], row["high"]) == (-np.inf, pytest.approx(-0.9)) and row["verdict"] == "identified"
    (row,) = calibration.calibrated(table(-1.0, -1.1, -0.9, name), refits(errors, name)).to_dict("records")
    assert row["verdict"] == "not identifiable: the interval holds 0"
    small = 0.5 + 0.1 * np.linspace(-1, 1, 19)  # to one side, but a sixth of the truth
    (row,) = calibration.calibrated(table(5.0, 4.9, 5.1), refits(small)).to_dict("records")
    assert (row["low"], row["high"]) == pytest.approx((4.4, 5.6)) and row["verdict"] == "identified"
    (row,) = calibration.calibrated(table(5.0, 4.9, 5.1), refits([-1.0, *errors])).to_dict("records")
    assert row["low"] == 0  # nineteen of twenty
    (row,) = calibration.calibrated(table(5.0, 4.9, 5.1), refits([-1.0] * 5 + [*errors])).to_dict("records")
    assert row["low"] > 0  # nineteen of twenty-four
    scattered = errors * BOTH[:19]
    (row,) = calibration.calibrated(table(5.0, 4.9, 5.1), refits(scattered)).to_dict("records")
    assert (row["low"], row["high"]) == pytest.approx((3.9, 6.1)) and row["verdict"] == "identified"


def test_lines_keep_their_interval_where_refits_are_few():
    few = refits([0.1] * 18 + [np.nan] * 4)
    assert calibration.calibrated(table(5.0, 4.9, 5.1), few).equals(table(5.0, 4.9, 5.1))
    other = refits(np.ones(20), "entropy")
    assert calibration.calibrated(table(5.0, 4.9, 5.1), other).equals(table(5.0, 4.9, 5.1))
    assert calibration.FEWEST == study.FEWEST_REFITS


def test_what_depends_on_the_coordinates_of_the_state_is_not_calibrated():
    name = "departure from normality"
    (row,) = calibration.calibrated(table(5.0, 4.9, 5.1, name), refits(np.ones(20), name)).to_dict("records")
    assert (row["low"], row["high"]) == (4.9, 5.1)
    assert row["interval"] == "members; not calibrated: it depends on the coordinates"


def test_norms_of_jacobians_depend_on_coordinates_and_the_rest_of_the_nearest_point_does_not():
    rng = np.random.default_rng(0)
    jacobian, change = rng.normal(size=(2, 6, 6))
    names = ["spectral radius, nearest point", "departure from normality", "numerical abscissa of (J - 1)/dt"]
    names.append("transient growth")
    by_name = {quantity.name: quantity for quantity in quantities.QUANTITIES}
    jacobian *= 0.8 / np.abs(np.linalg.eigvals(jacobian)).max()
    there = change @ jacobian @ np.linalg.inv(change)
    for name, number in zip(names, (spectral_radius, henrici, numerical_abscissa, peak), strict=True):
        same = number(jacobian) == pytest.approx(number(there))
        assert same is not by_name[name].of_coordinates


def peak(jacobian):
    return transient_growth(jacobian).peak


def test_signs_and_bounds_follow_the_calibrated_interval():
    given = table(-0.1, -0.11, -0.09, "conditional exponent")
    (row,) = calibration.calibrated(given, refits([0.2, -0.2] * 10, "conditional exponent")).to_dict(
        "records"
    )
    assert row["verdict"] == "not identifiable: the interval holds 0" and row["low"] == pytest.approx(-0.3)
    share = table(0.9, 0.8, 1.0, "trials whose gradient vanishes")
    (row,) = calibration.calibrated(share, refits([0.3, -0.3] * 10, share["quantity"][0])).to_dict("records")
    assert (row["low"], row["high"]) == pytest.approx((0.6, 1.0)) and row["verdict"] == "identified"


@pytest.mark.parametrize("track", ["counts", "symbols", "signal"])
def test_a_draw_has_the_size_and_the_gaps_of_the_recording(track, request):
    recording = request.getfixturevalue(track)
    valid = recording["valid"].values.copy()
    valid[3, 4:] = False
    recording = recording.assign(valid=(("trial", "time"), valid))
    made = calibration.drawn(untrained(models.Rate(hidden=4), recording, members=2), recording, 1, seed=2)
    rec.check(made)
    assert made[track].shape == recording[track].shape and made["valid"].equals(recording["valid"])
    np.testing.assert_array_equal(made[track].values[3, 4:], recording[track].values[3, 4:])
    assert not np.array_equal(made[track].values[valid], recording[track].values[valid])


def test_a_refit_tells_the_truth_and_what_is_found_of_it(counts):
    roles = {"train": range(28), "valid": range(28, 34), "test": range(34, 40)}
    fit = models.Rate(hidden=3, epochs=5).fit(counts, roles["train"], roles["valid"], members=2)
    one = calibration.refit(fit, counts, roles, 1, 4, "cpu", lambda *_: None, (open_loop.dimension,))
    row = one.set_index("quantity").loc["participation ratio"]
    spikes = calibration.drawn(fit.only(1), counts, seed=2004)
    states = fit.states(spikes, range(34, 40)).values[1].reshape(-1, 3)
    eigenvalues = np.linalg.eigvalsh(np.cov(states.T))
    assert row["truth"] == pytest.approx(eigenvalues.sum() ** 2 / (eigenvalues**2).sum(), rel=0.05)
    assert np.isfinite(row["value"]) and row["value"] != row["truth"]


def test_the_refit_of_a_moved_cell_has_that_cell(counts):
    """Without the fit that it was learned in, a cell that is not learned would be one of the start parameters."""
    seen = []

    def note(subject, found):
        seen.append(subject.fit.params["recurrent"].numpy())
        return {}, {}

    roles = {"train": range(28), "valid": range(28, 34), "test": range(34, 40)}
    first = models.Rate(hidden=3, epochs=5).fit(counts, roles["train"], roles["valid"], members=2)
    frozen = first.model.model_copy(update={"cell": "frozen"})
    moved = frozen.fit(counts, roles["train"], roles["valid"], 2, seed=1, start=first)
    calibration.refit(moved, counts, roles, 0, 4, "cpu", lambda *_: None, (note,), start=first)
    truth, again = seen
    assert np.array_equal(truth[0], first.params["recurrent"][0])
    assert np.array_equal(again, first.params["recurrent"])


def test_a_network_with_inputs_is_drawn_from_under_them(counts):
    """What is drawn follows the inputs of the recording, which are carried over."""
    rng = np.random.default_rng(0)
    u = np.repeat(rng.integers(0, 2, (40, 1, 1)), 16, axis=1).astype(float)
    rate = np.where(u, 4.0, 0.3) * np.ones(counts["counts"].shape[-1])
    driven = counts.assign(
        counts=(("trial", "time", "unit"), rng.poisson(rate)), inputs=(("trial", "time", "input"), u)
    )
    fit = models.Rate(hidden=4, epochs=60, batch=4).fit(driven, range(20), range(20, 30), members=1)
    run = calibration.drawn(fit, driven, seed=3)
    mean = run["counts"].values.mean((1, 2))
    assert run["inputs"].identical(driven["inputs"])
    assert np.median(mean[u[:, 0, 0] > 0]) > 2 > 1 > np.median(mean[u[:, 0, 0] == 0])


def test_too_few_refits_are_refused():
    with pytest.raises(Exception, match="19 refits or more"):
        study.validate(
            {"study": "a", "calibrate": 5, "datasets": {"d": {"source": "synthetic", "kind": "ring"}}}
        )
