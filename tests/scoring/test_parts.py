"""Gains by time, condition and unit: sums of scores made by hand."""

import numpy as np
import pytest
import xarray as xr

from cortseq.observations.tracks import TRACKS
from cortseq.scoring import parts

N, BINS, BURN_IN = 24, 12, 2
UNITS = ["a", "b"]


def product(seed: int, trials, members: int, shift) -> xr.Dataset:
    """Scores of some test trials and one training trial; `shift` (trial, time) nats are added to test bins."""
    rng = np.random.default_rng([seed, len(trials)])
    every = [*trials, 99]
    nats = rng.normal(-1, 0.05, (members, len(every), BINS))
    nats[:, :-1] += shift
    nats[..., :BURN_IN] = -50
    counts = np.random.default_rng(7).integers(1, 4, (N, BINS, len(UNITS)))[np.minimum(every, N - 1)]
    units = rng.normal(-1, 0.05, (members, len(every), len(UNITS)))
    units[:, :-1, 0] += 3
    return xr.Dataset(
        {
            "log_prob": (("member", "trial", "time"), nats),
            "n_events": (("trial", "time"), counts.sum(-1)),
            "unit_score": (("member", "trial", "unit"), units if seed else units * 0 - 1),
            "unit_events": (("trial", "unit"), counts[:, BURN_IN:].sum(1)),
        },
        {
            "trial": every,
            "role": ("trial", ["test"] * len(trials) + ["train"]),
            "unit": UNITS,
            "time": 0.1 * np.arange(BINS),
        },
        attrs={"burn_in": BURN_IN, "bin_width": 0.1},
    )


@pytest.fixture(scope="module")
def found():
    """The network gains in the first half of the trial, in odd trials, and at unit a."""
    label = np.arange(N) % 2
    early = np.where(np.arange(BINS) < 7, 1.2, 0.0)
    folds = [np.arange(0, 12), np.arange(12, 24)]
    ours = [product(1, f, 3, early * label[f][:, None]) for f in folds]
    theirs = [product(0, f, 1, 0.0) for f in folds]
    labels = {"side": np.array(["left", "right"])[label], "speed": np.arange(N).astype(str)}
    return parts.table(ours, theirs, labels, TRACKS["counts"], False), ours, theirs, labels


def test_each_part_is_the_sum_over_its_own_bins_and_events(found):
    table, ours, theirs, _ = found
    right = [f["trial"].values[:-1] % 2 == 1 for f in ours]
    nats = sum(
        (a["log_prob"].values[:, :-1, BURN_IN:].mean(0) - b["log_prob"].values[0, :-1, BURN_IN:])[at].sum()
        for a, b, at in zip(ours, theirs, right, strict=True)
    )
    events = sum(a["n_events"].values[:-1, BURN_IN:][at].sum() for a, at in zip(ours, right, strict=True))
    row = table.set_index("which").loc["side right"]
    assert row["gain"] == pytest.approx(nats / events / np.log(2)) and row["events"] == events
    assert row["trials"] == 12 and "speed" not in " ".join(table["which"])


def test_gains_are_found_where_they_are_and_nowhere_else(found):
    table = found[0].set_index("which")
    sure = set(table.index[table["p_holm"] < 0.05])
    time = table.index[table["part"] == "time"].tolist()
    assert len(time) == 10 and time[0] == "0.2 to 0.3" and time[-1] == "1.1 to 1.2"
    assert {*time[:5], "a"} <= sure and not {*time[5:], "side left"} & sure
    assert table.loc["side right", "low"] > 0.1 > 0.01 > abs(table.loc["b", "gain"])


def test_intervals_hold_what_training_sets_vary_by():
    """Gains far apart in two folds: one split would not show it."""
    folds = [np.arange(0, 12), np.arange(12, 24)]
    ours = [product(1, f, 3, shift) for f, shift in zip(folds, (0.2, 1.0), strict=True)]
    theirs = [product(0, f, 1, 0.0) for f in folds]
    row = parts.table(ours, theirs, {}, TRACKS["counts"], False).set_index("which").loc["0.2 to 0.3"]
    assert row["low"] < 0 < 0.2 < row["gain"] and row["p"] > 0.05


def test_p_is_adjusted_within_a_kind_of_part(found):
    table = found[0]
    for _, rows in table.groupby("part"):
        smallest = rows["p"].idxmin()
        assert rows.loc[smallest, "p_holm"] == pytest.approx(min(1, len(rows) * rows.loc[smallest, "p"]))


def test_few_trials_are_no_part(found):
    _, ours, theirs, labels = found
    few = ([f.isel(trial=slice(-5, None)) for f in folds[:1]] for folds in (ours, theirs))
    assert parts.table(*few, labels, TRACKS["counts"], False).empty
