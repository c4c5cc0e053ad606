"""Compiled binning against the plain definition."""

import numpy as np
import pytest

from cortseq import binning
from cortseq import recording as rec
from cortseq.errors import CortseqError


def _plain(times, units, trials, shape, start, width):
    """The definition, by numpy: counts and the number of spikes outside."""
    bins = np.floor((times - start) / width + 1e-9).astype(int)
    inside = (bins >= 0) & (bins < shape[1])
    counts = np.zeros(shape, int)
    np.add.at(counts, (trials[inside], bins[inside], units[inside]), 1)
    return counts, int((~inside).sum())


def _spikes(n=20_000, seed=0):
    """Spikes on and beside the edges of 20 ms bins, some outside [-1, 1)."""
    rng = np.random.default_rng(seed)
    times = np.where(rng.random(n) < 0.5, rng.integers(-60, 60, n) * 0.02, rng.uniform(-1.2, 1.2, n))
    return times, rng.integers(0, 7, n), rng.integers(0, 5, n)


@pytest.mark.parametrize("order", ["time", "unit", "none"])
@pytest.mark.parametrize("kind", [np.int64, np.int16, np.uint8])
def test_counts_equal_the_definition_in_any_order(order, kind):
    times, units, trials = _spikes()
    by = {"time": np.argsort(times), "unit": np.lexsort((times, units)), "none": np.arange(len(times))}[order]
    times, units, trials = times[by], units[by].astype(kind), trials[by].astype(kind)
    counts, outside = binning.by_trial(times, units, trials, (5, 100, 7), -1.0, 0.02)
    expected = _plain(times, units, trials, (5, 100, 7), -1.0, 0.02)
    assert np.array_equal(counts, expected[0]) and outside == expected[1] > 0
    assert counts.dtype == np.uint8


@pytest.mark.parametrize(("most", "kind"), [(255, np.uint8), (256, np.uint16), (65_536, np.uint32)])
def test_counts_never_wrap(most, kind):
    times = np.full(most, 0.5)
    zeros = np.zeros(most, int)
    for counts, _ in (
        binning.by_trial(times, zeros, None, (1, 1, 1), 0.0, 1.0),
        binning.by_interval(times, zeros, [0.0], [1.0], (1, 1, 1), 1.0),
    ):
        assert counts.item() == most and counts.dtype == kind
    r = rec.from_spikes(times, zeros, zeros, window=(0.0, 1.0), bin_width=1.0)
    assert r["counts"].values.item() == most and r["counts"].dtype == np.int32


def test_trials_on_one_clock_may_overlap_and_come_in_any_order():
    rng = np.random.default_rng(1)
    times, units = rng.integers(-10, 1000, 5000) * 0.01, rng.integers(0, 4, 5000)
    starts = np.array([5.0, 0.0, 0.5, 2.0, 2.2, 8.0, 3.0])
    stops = starts + np.array([1.0, 6.0, 0.25, 0.5, 1.03, 1.0, 0.0])
    shape = len(starts), binning.n_bins(6.0, 0.05), 4
    expected, outside = np.zeros(shape, int), 0
    for k in range(len(starts)):
        mine = (times >= starts[k]) & (times < stops[k])
        trial = np.zeros(mine.sum(), int)
        one = _plain(times[mine] - starts[k], units[mine], trial, (1, *shape[1:]), 0.0, 0.05)
        expected[k], outside = one[0][0], outside + one[1]
    for by in (np.arange(5000), np.argsort(times), np.lexsort((times, units))):
        counts, left_out = binning.by_interval(times[by], units[by], starts, stops, shape, 0.05)
        assert np.array_equal(counts, expected) and left_out == outside


def test_spikes_that_are_not_finite_are_in_no_interval():
    times = np.array([np.nan, 0.1, np.inf, -np.inf, 0.2])
    counts, outside = binning.by_interval(times, np.zeros(5, int), [0.0], [1.0], (1, 10, 1), 0.1)
    assert counts.sum() == 2 and outside == 0


def test_no_spike_at_all():
    none = np.zeros(0, int)
    counts, outside = binning.by_trial(none, none, none, (2, 3, 4), 0.0, 1.0)
    assert counts.shape == (2, 3, 4) and counts.sum() == 0 and outside == 0


@pytest.mark.parametrize(
    "bad", [{"units": -1}, {"units": 2}, {"trials": -1}, {"trials": 3}, {"times": np.nan}]
)
def test_what_cannot_be_binned_is_told(bad):
    spikes = {"times": 0.5, "units": 1, "trials": 2} | bad
    one = {k: np.array([v]) for k, v in spikes.items()}
    assert binning.by_trial(*one.values(), (3, 1, 2), 0.0, 1.0) is None
    with pytest.raises(CortseqError, match=next(iter(bad))):
        rec.from_spikes(*one.values(), window=(0.0, 1.0), bin_width=1.0, n_trials=3, unit_names=["a", "b"])


def test_labels_that_are_whole_floats_pass():
    r = rec.from_spikes(
        [0.1, 0.2], [1.0, 1.0], [0.0, 1.0], window=(0.0, 1.0), bin_width=0.5, unit_names=[0, 1]
    )
    assert r["counts"].values[:, 0, 1].tolist() == [1, 1]
    with pytest.raises(CortseqError, match=r"trials.*0\.5"):
        rec.from_spikes([0.1], [0], [0.5], window=(0.0, 1.0), bin_width=0.5)
