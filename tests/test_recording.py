"""The schema of a Recording and its checks."""

import numpy as np
import pytest

from cortseq import recording as rec
from cortseq import signs
from cortseq.data import Data
from cortseq.errors import CortseqError


def test_left_edge_belongs_to_the_bin_and_right_edge_to_the_next():
    r = rec.from_spikes(
        [0.0, 0.0199, 0.02, 0.06, 0.0799, 0.08], [0] * 6, [0] * 6, window=(0, 0.08), bin_width=0.02
    )
    assert r["counts"].values[0, :, 0].tolist() == [2, 1, 0, 2]
    assert rec.dirt(r) == {"spikes_outside_window": 1}


def test_all_integer_milliseconds_fall_into_their_bin():
    ms = np.arange(2000)
    r = rec.from_spikes(ms / 1000, np.zeros(2000, int), np.zeros(2000, int), window=(0, 2), bin_width=0.02)
    assert (r["counts"].values == 20).all()


def test_binning_equals_histogram():
    rng = np.random.default_rng(0)
    t, u, k = rng.uniform(0, 1, 5000), rng.integers(0, 4, 5000), rng.integers(0, 6, 5000)
    r = rec.from_spikes(t, u, k, window=(0.0, 1.0), bin_width=0.1, n_trials=6)
    expected = np.histogramdd(
        np.stack([k, t, u], 1), [np.arange(7) - 0.5, np.linspace(0, 1, 11), np.arange(5) - 0.5]
    )
    assert np.array_equal(r["counts"].values, expected[0])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_spike_times_are_refused(bad):
    with pytest.raises(CortseqError, match="NaN or infinity"):
        rec.from_spikes([0.1, bad], [0, 0], [0, 0], window=(0, 1), bin_width=0.1)


@pytest.mark.parametrize("bad", [-1, 0.5, np.nan])
def test_counts_are_whole_and_not_negative(bad):
    with pytest.raises(CortseqError, match="whole numbers"):
        rec.from_counts(np.array([[[1.0], [bad]]]), bin_width=0.1)


def test_bin_wider_than_trial_is_refused():
    with pytest.raises(CortseqError, match=r"bin_ms.*wider than the trial"):
        rec.from_spikes([0.1], [0], [0], window=(0, 0.5), bin_width=1.0)


def test_label_outside_alphabet_is_refused():
    with pytest.raises(CortseqError, match=r"alphabet 0\.\.2.*got 5"):
        rec.from_symbols([np.array([0, 5])], n_symbols=3)


def test_unequal_lengths_are_masked():
    r = rec.from_symbols([[0, 1, 2], [1]], n_symbols=3)
    assert r["valid"].values.tolist() == [[True] * 3, [True, False, False]]


def test_missing_samples_are_masked():
    y = np.ones((2, 3, 2))
    y[1, 2, 0] = np.nan
    r = rec.from_signal(y, bin_width=0.1)
    assert not r["valid"].values[1, 2] and r["valid"].values.sum() == 5


def test_nothing_left_is_refused():
    with pytest.raises(CortseqError, match="no trial"):
        rec.from_counts(np.zeros((0, 3, 2)), bin_width=0.1)
    with pytest.raises(CortseqError, match="no unit"):
        rec.from_counts(np.zeros((2, 3, 0)), bin_width=0.1)


@pytest.mark.parametrize(
    ("units", "trials", "more", "words"),
    [
        ([7], [0], {"unit_names": ["a", "b"]}, "units.*0 to 1.*got 7"),
        ([0], [-1], {}, "trials.*got -1"),
        ([0], [5], {"n_trials": 3}, "trials.*0 to 2.*got 5"),
        ([0], [0], {"bin_width": 0.0}, "bin_width"),
    ],
)
def test_labels_out_of_range_are_refused(units, trials, more, words):
    with pytest.raises(CortseqError, match=words):
        rec.from_spikes([0.1], units, trials, **{"window": (0.0, 1.0), "bin_width": 0.1, **more})


def test_fractional_labels_are_refused():
    with pytest.raises(CortseqError, match=r"whole numbers.*0\.7"):
        rec.from_symbols([np.array([0.7, 1.9])])


COUNTS = np.ones((6, 4, 3), int)


@pytest.mark.parametrize(
    ("build", "values", "more", "words"),
    [
        (rec.from_counts, COUNTS[0], {}, "counts: the dimensions are trial, time, unit"),
        (rec.from_signal, COUNTS[0], {}, "signal: the dimensions are trial, time, channel"),
        (rec.from_counts, COUNTS, {"bin_width": 0.0}, "bin_width: a bin has a width above 0"),
        (rec.from_signal, COUNTS, {"bin_width": np.nan}, "bin_width: a bin has a width above 0"),
        (rec.from_counts, COUNTS, {"valid": np.ones((6, 3), bool)}, "valid: a mask is"),
        (rec.from_signal, COUNTS, {"valid": np.ones((4, 6), bool)}, "valid: a mask is"),
        (rec.from_counts, COUNTS, {"unit_names": ["a", "b"]}, "unit_names: there is one name for each of 3"),
        (rec.from_counts, COUNTS, {"covariates": {"side": [0, 1]}}, "side: a covariate is"),
        *[
            (rec.from_counts, COUNTS, {"covariates": {name: np.arange(6)}}, f"covariates: .*got '{name}'")
            for name in ("trial", "time", "unit", "counts", "valid")
        ],
        (rec.from_counts, COUNTS, {"coords": {"time": ("unit", [1, 2, 3])}}, "coords: .*got 'time'"),
    ],
)
def test_arrays_and_labels_that_do_not_fit_a_recording_are_refused(build, values, more, words):
    with pytest.raises(CortseqError, match=words):
        build(values, **{"bin_width": 0.1, **more})


@pytest.mark.parametrize(
    ("trials", "words"),
    [
        (np.arange(6) > 2, "a mask is no list of positions .*flatnonzero"),
        ([True, False], "a mask"),
        ([0.5], "the recording has 6 trials .got 0.5."),
        ([np.nan], "the recording has 6 trials"),
        ([6], "the recording has 6 trials .got 6. -- .* 0 to 5"),
        ([-1], "the recording has 6 trials .got -1."),
        (3, "trials are a list of positions"),
        (["a"], "trials are a list of positions"),
    ],
)
def test_what_is_no_position_of_a_trial_is_refused(trials, words):
    recording = rec.from_counts(COUNTS, bin_width=0.1)
    with pytest.raises(CortseqError, match=words):
        rec.positions(recording, trials)
    with pytest.raises(CortseqError, match=words):
        rec.blocks(recording, trials)
    with pytest.raises(CortseqError, match=words):
        Data.of(recording, trials)


@pytest.mark.parametrize("trials", [[4, 0, 4], np.array([4.0, 0.0, 4.0]), np.array([4, 0, 4], np.uint8)])
def test_positions_keep_their_order_and_may_repeat(trials):
    found = rec.positions(rec.from_counts(COUNTS, bin_width=0.1), trials)
    assert found.tolist() == [4, 0, 4] and found.dtype == int


# -- what was not recorded is no silence ----------------------------------------------------------------


def _signs(counts: np.ndarray, **attrs) -> dict[str, str]:
    recording = rec.from_counts(counts, bin_width=0.02).assign_attrs(**attrs)
    return {sign.name: sign.sentence() for sign in signs.of_trials(recording)}


def test_bins_after_the_last_spike_of_all_trials_are_told():
    counts = np.random.default_rng(0).poisson(0.3, (60, 50, 4))
    assert _signs(counts) == {}
    counts[:, 40:] = 0
    said = _signs(counts)["silent_ends"]
    assert "no unit spikes later than 0.8 s into any of 60 trials: 20 % of all bins" in said
    assert "window_ms [0, 800]" in said
    counts[:, :40], counts[:, 40:] = 0, 1
    assert "in the first 0.8 s of any of 60 trials: 80 %" in _signs(counts)["silent_ends"]
    assert "silent_ends" not in _signs(counts, continuous=True)  # windows have no common end


def test_few_spikes_do_not_tell_that_nothing_was_recorded():
    counts = np.zeros((60, 50, 1), int)
    counts[::20, 10] = 1
    assert "silent_ends" not in _signs(counts) and "lost_units" not in _signs(counts)


def test_units_that_are_missing_in_a_stretch_of_trials_are_told():
    counts = np.random.default_rng(0).poisson(0.3, (60, 50, 4))
    counts[40:, :, 2] = 0
    counts[::2, :, 1] = 0  # every other trial: a condition, not a loss
    said = _signs(counts)["lost_units"]
    assert "1 of 4 units have no spike in a long stretch of trials: 2 (trials 40 to 59)" in said
    assert "`part` or `select`" in said
