"""Balance, dimension and similarity of models against planted answers."""

import numpy as np
import pytest
from scipy.stats import wasserstein_distance_nd
from untrained import untrained

from cortseq import dynamics, models
from cortseq.errors import CortseqError

# -- excitation and inhibition ------------------------------------------------------------------------


def test_currents_by_hand():
    w = np.array([[0.0, 2.0, -1.0], [1.0, 0.0, -3.0], [0.5, 0.5, 0.0]])
    r = np.array([[[1.0, 2.0, 4.0]], [[2.0, 1.0, 0.0]]])
    found = dynamics.balance(w, r, external=np.array([1.0, -1.0, 0.0]))
    np.testing.assert_allclose(found.excitatory[:, 0], [[5, 1, 1.5], [3, 2, 1.5]])
    np.testing.assert_allclose(found.inhibitory[:, 0], [[-4, -13, 0], [0, -1, 0]])
    np.testing.assert_allclose(found.index, [(1 / 9 + 1) / 2, (12 / 14 + 1 / 3) / 2, 1])
    assert np.isnan(found.lag).all()  # one bin
    with pytest.raises(CortseqError, match="not negative"):
        dynamics.balance(w, -r)


@pytest.mark.parametrize("late", [-2.0, 0.0, 1.0, 3.4])
def test_tracking_lag_of_a_shifted_trace(late):
    t = np.arange(400)[None, :, None] / 12 + np.array([0.0, 2.0])[:, None, None]
    traces = [np.sin(t - s) + 0.5 * np.sin(0.37 * (t - s)) for s in (0, late / 12)]
    traces[0][0, 5] = np.nan
    np.testing.assert_allclose(dynamics.tracking_lag(*traces, 8), [late], atol=0.05)
    assert np.isnan(dynamics.tracking_lag(traces[0], np.ones_like(t), 8)).all()


def test_balance_index_falls_with_the_root_of_the_inputs():
    """Random excitatory and inhibitory units with K inputs of each kind, strengths ~ 1/sqrt(K)."""
    rng = np.random.default_rng(0)
    half, found = 400, []
    inputs = [20, 60, 180]
    for k in inputs:
        w = rng.poisson(k / half, (2 * half, 2 * half)) / np.sqrt(k)
        w *= np.array([[1.0, -2.0], [1.0, -1.8]]).repeat(half, 0).repeat(half, 1)
        external = np.sqrt(k) * np.array([0.5, 0.4]).repeat(half)
        h, rates = rng.random(2 * half) * 0.2, []
        for t in range(200):
            h = 0.8 * h + 0.2 * np.clip(w @ h + external, 0, 1)
            if t >= 100 and t % 5 == 0:
                rates.append(h)
        found.append(np.nanmean(dynamics.balance(w, np.array(rates), external).index))
    slope = np.polyfit(np.log(inputs), np.log(found), 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.1)


def test_inhibition_tracks_faster_in_larger_networks():
    """Two populations, tau dm/dt = -m + sqrt(K) (J m + e(t)): inhibition is late by ~ tau / sqrt(K)."""
    j, dt, found = np.array([[1.0, -2.0], [1.0, -1.8]]), 1e-3, []
    strengths = [25, 100, 400]
    t = np.arange(0, 8, dt)
    drive = 0.3 * (1 + 0.3 * np.sin(3 * t) + 0.2 * np.sin(1.3 * t))[:, None] * np.array([1.0, 0.8])
    for k in strengths:
        m = np.linalg.solve(np.eye(2) / np.sqrt(k) - j, drive[0])
        rates = []
        for e in drive:
            rates.append(m)
            m = m + dt * (-m + np.sqrt(k) * (j @ m + e))
        coarse = slice(2000, None, 4)
        late = dynamics.balance(np.sqrt(k) * j, np.array(rates)[coarse], np.sqrt(k) * drive[coarse], 100).lag
        found.append(late[0] * 4 * dt)
    slope = np.polyfit(np.log(strengths), np.log(found), 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.1)


@pytest.mark.parametrize("family", ["dale", "stp"])
def test_balance_of_a_fit_is_its_update_rule(family, any_recording):
    """E + I is what the nonlinearity receives: h' = relu(E + I) without a leak."""
    setting = {"dale": True} if family == "stp" else {}
    fit = untrained(models.registry()[family](hidden=6, leak=1.0, **setting), any_recording)
    found = dynamics.balance_of_fit(fit, any_recording)
    loop = dynamics.driven(fit, any_recording)
    net = np.maximum(found.excitatory + found.inhibitory, 0)[:, :-1]
    h = loop.states[:, 1:, :6].numpy()
    within = np.arange(h.shape[1]) < loop.last[:, None]
    np.testing.assert_allclose(net[within], h[within], atol=1e-12)
    assert ((found.index >= 0) & (found.index <= 1)).all()
    with pytest.raises(CortseqError, match="Dale"):
        dynamics.balance_of_fit(untrained(models.Rate(hidden=3), any_recording), any_recording)


# -- dimension ----------------------------------------------------------------------------------------


def test_dimension_under_noise_and_with_few_samples():
    """Four equal directions among 60, under Poisson-like noise, 80 samples: the plain ratio is far off."""
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(60, 4)))[0]
    noise = rng.uniform(0.2, 0.8, 60)
    plain, corrected = [], []
    for _ in range(30):
        x = 3 * rng.normal(size=(80, 4)) @ basis.T + rng.normal(size=(80, 60)) * np.sqrt(noise)
        x[0, 0] = np.nan
        plain.append(dynamics.participation_ratio(np.cov(x[1:].T)))
        corrected.append(dynamics.corrected_participation_ratio(x, noise))
    assert np.mean(plain) > 6
    assert np.mean(corrected) == pytest.approx(4, abs=0.15)


def test_dimension_of_a_ball_from_few_samples():
    rng = np.random.default_rng(0)
    found = [dynamics.corrected_participation_ratio(rng.normal(size=(25, 40))) for _ in range(100)]
    assert np.mean(found) == pytest.approx(40, rel=0.05)  # the plain ratio is below 25
    x = rng.normal(size=(20_000, 3)) * np.array([2.0, 1.0, 1.0])
    assert dynamics.corrected_participation_ratio(x) == pytest.approx(36 / 18, rel=0.03)
    assert np.isnan(dynamics.corrected_participation_ratio(x, np.full(3, 100.0)))
    with pytest.raises(CortseqError, match="three samples"):
        dynamics.corrected_participation_ratio(x[:3])


# -- similarity ---------------------------------------------------------------------------------------


def test_distance_of_spectra():
    rng = np.random.default_rng(0)
    a = rng.normal(size=12) + 1j * rng.normal(size=12)
    assert dynamics.spectral_distance(a, rng.permutation(a)) == 0
    assert dynamics.spectral_distance(a, a + 0.3j) == pytest.approx(0.3)
    assert dynamics.spectral_distance([0, 0], [1]) == pytest.approx(1)
    assert dynamics.spectral_distance([0, 1, 2], [0, 2]) == pytest.approx(1 / 3)
    b = rng.normal(size=12) + 0j
    twice = dynamics.spectral_distance(a, np.concatenate([b, b]))  # by the linear programme
    assert twice == pytest.approx(dynamics.spectral_distance(a, b), rel=1e-6)
    with pytest.raises(CortseqError, match="empty"):
        dynamics.spectral_distance(a, [])


@pytest.mark.parametrize(("n", "m", "mirrored"), [(6, 11, True), (9, 4, True), (7, 12, False), (1, 9, False)])
def test_spectra_of_unequal_size_are_moved_at_the_least_cost(n, m, mirrored):
    """Beside the programme of all values; of real matrices only the upper half is solved."""
    rng = np.random.default_rng(n)
    a, b = (np.linalg.eigvals(rng.normal(size=(k, k))).astype(complex) for k in (n, m))
    if not mirrored:
        a, b = a + 0.3j * np.arange(n), 2.0 * b + 1j
    expected = wasserstein_distance_nd(*(np.stack([v.real, v.imag], 1) for v in (a, b)))
    assert dynamics.spectral_distance(a, b) == pytest.approx(expected, rel=1e-6)
    assert dynamics.spectral_distance(b, a) == pytest.approx(expected, rel=1e-6)


def test_matching_fixed_points():
    reference = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0], [4.0, 4.0]])
    found = np.array([[4.1, 0.0], [0.1, 0.1], [9.0, 9.0], [0.0, 4.0], [0.02, 0.0]])
    stable = ([True, False, True, True], [True, True, True, True, True])
    match = dynamics.match_fixed_points(reference, found, tolerance=0.2, scale=1.0, stable=stable)
    assert match.recall == 3 / 4 and match.precision == 3 / 5
    assert match.pairs.tolist() == [[0, 4], [1, 0], [2, 3]]
    np.testing.assert_allclose(match.distances, [0.02, 0.1, 0])
    assert match.agree == pytest.approx(2 / 3)
    # one found point between two of the reference counts for one of them
    both = dynamics.match_fixed_points([[0.0], [1.0]], [[0.5]], tolerance=0.6, scale=1.0)
    assert both.recall == 0.5 and both.precision == 1
    none = dynamics.match_fixed_points(reference, np.empty((0, 2)))
    assert none.recall == 0 and np.isnan(none.precision)


def test_a_linear_map_between_states():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(20, 30, 5))
    weight, bias = rng.normal(size=(3, 5)), np.array([1.0, -2.0, 0.5])
    b = a @ weight.T + bias
    b[2, 3], a[4, 5, 0] = np.nan, np.nan
    exact = dynamics.linear_map(a, b, range(12), range(12, 20))
    assert exact.r2 == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(exact.weight, weight, atol=1e-4)
    np.testing.assert_allclose(exact(np.zeros(5)), bias, atol=1e-3)
    noisy = b + rng.normal(size=b.shape) * np.nanstd(b, (0, 1))
    assert dynamics.linear_map(a, noisy, range(12), range(12, 20)).r2 == pytest.approx(0.5, abs=0.05)
    other = rng.normal(size=b.shape)
    assert abs(dynamics.linear_map(a, other, range(12), range(12, 20)).r2) < 0.1


def test_fixed_points_match_after_a_change_of_coordinates():
    """One network in two bases: the map learned from states takes its fixed points along."""
    rng = np.random.default_rng(0)
    basis = rng.normal(size=(3, 3))
    points = np.array([[1.0, 0, 0], [-1.0, 0, 0], [0, 2.0, 1.0]])
    states = rng.normal(size=(10, 40, 3))
    across = dynamics.linear_map(states @ basis.T, states, range(7), range(7, 10))
    match = dynamics.match_fixed_points(points, across(points @ basis.T), tolerance=0.01)
    assert match.recall == match.precision == 1


def test_seeds_are_the_ruler():
    rng = np.random.default_rng(0)

    def spectra(scale, n=6):
        return [np.linalg.eigvals(rng.normal(0, scale / np.sqrt(15), (15, 15))) for _ in range(n)]

    p, ratios = [], []
    for _ in range(25):
        same = dynamics.against_seeds(dynamics.spectral_distance, spectra(1), spectra(1), 99)
        p.append(same.p_value)
        ratios.append(same.ratio)
    assert np.mean(ratios) == pytest.approx(1, abs=0.05)
    assert 0.3 < np.mean(p) < 0.7 and np.mean(np.array(p) < 0.05) <= 0.2
    other = dynamics.against_seeds(dynamics.spectral_distance, spectra(1), spectra(2), 999)
    assert other.ratio > 1.5 and other.p_value < 0.02
    assert other.ratio == pytest.approx(other.between / other.within)
    with pytest.raises(CortseqError, match="two members"):
        dynamics.against_seeds(dynamics.spectral_distance, spectra(1, 1), spectra(1))
