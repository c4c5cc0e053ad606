"""What is said to be learned: numbers beside those of the untrained network and of shuffled bins."""

import numpy as np
import pytest
import xarray as xr

from cortseq import models
from cortseq import recording as rec
from cortseq.dynamics import controls, summary
from cortseq.dynamics.intervals import share_interval
from cortseq.networks.untrained import untrained


def product(tmp=None, **variables):
    """A product of `dynamics` with nothing but these numbers of each member."""
    found = {
        name: (("member", "shuffle")[: np.ndim(v)], np.asarray(v, float)) for name, v in variables.items()
    }
    found["sized"] = ("driven_trial", np.zeros(16))
    return xr.Dataset(found, attrs={"track": "counts", "bin_width": 0.02, "not_done": []})


def lines(found, **beside):
    return summary.summarise(found, beside).set_index("quantity")


FITTED = product(
    gain=[2.0, 2.1, 1.9], henrici=[1.0, 1.1, 0.9], kaplan_yorke=[3.0, 3.1, 2.9], echo_holds=[1, 0, 1],
    vanishing=[0.9, 1.0, 1.0], participation_ratio=[2.0, 2.2, 1.8],
)  # fmt: skip
BEFORE = product(
    gain=[1.0, 1.1, 0.95], henrici=[1.0, 1.05, 0.95], kaplan_yorke=[1.0, 1.1, 1.0], echo_holds=[1, 1, 1],
    vanishing=[0.9, 1.0, 1.0], participation_ratio=[1.0, np.nan, 0.9],
)  # fmt: skip
SHUFFLED = product(
    gain=[1.3, 1.2, 1.3], henrici=[2.0, 2.1, 1.9], kaplan_yorke=[3.0, 3.2, 2.85], echo_holds=[1, 1, 1],
    vanishing=[0.9, 1.0, 1.0], participation_ratio=[1.0, 1.0, 0.9],
)  # fmt: skip


def test_only_what_leaves_both_controls_is_learned():
    table = lines(FITTED, untrained=BEFORE, shuffled=SHUFFLED)
    assert table.loc["gain of the weights", "learned"] == "learned"
    assert table.loc["gain of the weights", ["untrained", "shuffled"]].tolist() == pytest.approx(
        [3.05 / 3, 3.8 / 3]
    )
    assert table.loc["departure from normality", "learned"] == "not told from untrained"
    assert table.loc["Kaplan-Yorke dimension (one start)", "learned"] == "not told from shuffled"
    assert (
        table.loc["echo state under the recorded input (share of members)", "learned"]
        == "not told from untrained and shuffled"
    )
    assert table.loc["participation ratio", "learned"] == ""  # undefined in a member before learning


def test_without_the_shuffled_control_nothing_is_learned():
    table = lines(FITTED, untrained=BEFORE)
    assert table.loc["gain of the weights", "learned"] == "unlike untrained"
    assert not table["learned"].eq("learned").any() and table["shuffled"].isna().all()
    assert (lines(FITTED)["learned"] == "").all()


def test_rounding_is_not_learned():
    """Fixed reservoirs: stretches that differ in the eighth digit, by the same amount in all members."""
    name = "stretch of a step (< 1: echo state under any input; else open)"
    before = np.array([1.427, 1.426, 1.343, 1.341, 1.354])
    same, other = product(echo_stretch=before * (1 + 3e-8)), product(echo_stretch=before * 1.01)
    table = [lines(one, untrained=product(echo_stretch=before)) for one in (same, other)]
    assert [t.loc[name, "learned"] for t in table] == ["not told from untrained", "unlike untrained"]
    shifts = product(conditional_exponent=[1e-5, 2e-5, 1.5e-5]), product(conditional_exponent=[0.0, 0, 0])
    assert lines(shifts[0], untrained=shifts[1]).loc["conditional exponent", "learned"] == "unlike untrained"


def test_two_members_learn_nothing_and_counts_must_part():
    two = {name: one.isel(member=slice(2)) for name, one in (("a", FITTED), ("b", BEFORE))}
    assert (lines(two["a"], untrained=two["b"])["learned"] == "").all()
    ours, theirs = product(line_attractor=[1, 1, 1]), product(line_attractor=[0, 0, 1])
    found = lines(ours, untrained=theirs).loc["line attractor (share of members)", "learned"]
    assert found == "not told from untrained"


def test_shares_and_their_intervals_lie_between_0_and_1():
    table = lines(FITTED)
    for name in ("echo state under the recorded input (share of members)", "trials whose gradient vanishes"):
        low, value, high = table.loc[name, ["low", "value", "high"]]
        assert 0 <= low < value <= high <= 1
    assert share_interval(np.array([2 / 3]), 3) == pytest.approx((0.0943, 0.9916), abs=1e-4)  # exact tables
    assert share_interval(np.array([0.0, 0.0]), 16) == pytest.approx((0.0, 0.2059), abs=1e-4)
    members = share_interval(np.array([0.2, 0.5, 0.8]), 16)
    assert members[0] < share_interval(np.array([0.5]), 16)[0]


def test_the_untrained_network_is_that_before_learning():
    rng = np.random.default_rng(0)
    recording = rec.from_counts(rng.poisson(1.0, (16, 12, 3)), bin_width=0.02)
    model = models.Rate(hidden=4, epochs=1)
    fit = model.fit(recording, range(10), range(10, 16), members=3, seed=5)
    before = controls.untrained(fit, recording)
    expected = untrained(model, recording.isel(trial=slice(10)), members=3, seed=5)
    for name, value in expected.params.items():
        np.testing.assert_array_equal(before.params[name], value)
    failed = {"card": fit.card | {"members": 2, "failed_members": {"1": "nan"}}, "model": model}
    lost = controls.untrained(type(fit)(params={}, curves=fit.curves, **failed), recording)
    np.testing.assert_array_equal(lost.params["recurrent"], expected.params["recurrent"][[0, 2]])


def test_shuffled_bins_keep_their_patterns_and_places_of_gaps():
    rng = np.random.default_rng(0)
    valid = np.ones((6, 9), bool)
    valid[2, 3:] = False
    y = rng.poisson(3.0, (6, 9, 2)) * valid[..., None]
    recording = rec.from_counts(y, bin_width=0.02, valid=valid)
    changed = controls.shuffled(recording, seed=1)
    now = changed["counts"].values
    np.testing.assert_array_equal(changed["valid"], valid)
    assert (now != y).any() and not now[~valid].any()
    for trial in range(6):
        assert sorted(map(tuple, now[trial][valid[trial]])) == sorted(map(tuple, y[trial][valid[trial]]))
    assert not np.array_equal(controls.shuffled(recording, seed=2)["counts"], now)
