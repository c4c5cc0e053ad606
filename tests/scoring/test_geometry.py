"""Measures of reconstructed dynamics against closed forms, and what they see and do not see."""

import numpy as np
import pytest

from cortseq.errors import CortseqError
from cortseq.scoring.geometry import hellinger, state_space_divergence

RNG = np.random.default_rng(0)


def test_divergence_of_counted_cells_is_that_of_the_shares():
    recorded = np.array([0.0] * 30 + [1.0] * 70)[:, None]  # the first and the last cell
    made = np.array([0.0] * 60 + [1.0] * 40)[:, None]
    expected = 0.3 * np.log(0.3 / 0.6) + 0.7 * np.log(0.7 / 0.4)
    assert state_space_divergence(made, recorded) == pytest.approx(expected, abs=1e-5)
    assert state_space_divergence(recorded, recorded) == pytest.approx(0, abs=1e-12)
    # the unit of a channel does not matter, nor the order of the states
    assert state_space_divergence(5 - 3 * made[::-1], 5 - 3 * recorded) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("channels", [1, 3, 4, 6])
def test_divergence_grows_with_the_distance_and_outside_of_the_range(channels):
    recorded, again = RNG.normal(size=(2, 20_000, channels))
    moved = [state_space_divergence(again + shift, recorded) for shift in (0, 0.5, 1, 2, 20)]
    assert np.all(np.diff(moved) > 0) and moved[0] < 0.3 * moved[2]
    assert moved[-1] > 5


def test_divergence_of_one_channel_is_that_of_two_normals():
    """KL of N(0, 1) from N(m, s^2) is log s + (1 + m^2) / 2 s^2 - 1/2, up to the width of a cell."""
    recorded = RNG.normal(size=(400_000, 1))
    made = 0.3 + 1.2 * RNG.normal(size=(400_000, 1))
    expected = np.log(1.2) + (1 + 0.3**2) / (2 * 1.2**2) - 0.5
    assert state_space_divergence(made, recorded) == pytest.approx(expected, abs=0.003)


def test_divergence_of_many_channels_is_that_of_two_smoothed_normals():
    """Smoothing by one standard deviation adds 1 to both variances."""
    recorded, made = RNG.normal(size=(2, 2000, 6))
    shift = np.array([1.0, 0, 0, 0, 0, 0])
    # the mean of log p - log q over states of variance 1: with both variances 2, (1 + 1^2 - 1) / (2 * 2)
    found = state_space_divergence(made + shift, recorded) - state_space_divergence(made, recorded)
    assert found == pytest.approx(0.25, abs=0.08)


def test_hellinger_distance_by_hand():
    f, g = np.array([[1.0, 0.0], [1.0, 2.0]]), np.array([[2.0, 3.0], [0.0, 0.0]])
    # channel 0: shares (1/2, 1/2) and (1, 0); channel 1: nothing in common
    assert hellinger(f, g) == pytest.approx((np.sqrt(1 - np.sqrt(0.5)) + 1) / 2)
    assert hellinger(5 * f, f) == pytest.approx(0, abs=1e-7) and hellinger(f, g) == hellinger(g, f)


def test_smoothed_spectra_of_two_runs_of_one_system_are_alike():
    """White noise has power of an exponential distribution: E sqrt(F G) = pi / 4 without smoothing."""
    f, g = RNG.exponential(size=(2, 50_000, 1))
    assert hellinger(f, g) == pytest.approx(np.sqrt(1 - np.pi / 4), abs=0.01)
    # smoothed by s the variance of a power is 1 / (2 s sqrt(pi)), and 1 - E sqrt(F G) a quarter of it
    assert hellinger(f, g, smoothing=20) == pytest.approx(np.sqrt(1 / (8 * 20 * np.sqrt(np.pi))), rel=0.1)
    shifted = np.eye(400)[:, 100:101], np.eye(400)[:, 110:111]
    # of two Gaussians of one width: sum sqrt(F G) = exp(-d^2 / 8 s^2)
    assert hellinger(*shifted, smoothing=5) == pytest.approx(np.sqrt(1 - np.exp(-100 / 200)), abs=1e-3)


def test_states_of_other_channels_are_refused():
    with pytest.raises(CortseqError, match="of equal channels"):
        state_space_divergence(np.zeros((5, 2)), np.zeros((5, 3)))


def test_a_free_run_in_the_wrong_order_keeps_its_states_and_loses_its_rhythm():
    """The two measures see different things: what is visited, and when."""
    time = np.arange(4000) / 40
    wave = np.stack([np.sin(2 * np.pi * time), np.cos(2 * np.pi * time)], 1)
    shuffled = wave[RNG.permutation(len(wave))]

    def power(y):
        return np.abs(np.fft.rfft(y - y.mean(0), axis=0)[1:]) ** 2

    assert state_space_divergence(shuffled, wave) == pytest.approx(0, abs=1e-9)
    assert hellinger(power(shuffled), power(wave)) > 0.8
    assert hellinger(power(np.roll(wave, 7, 0)), power(wave)) < 0.01
