"""Predictions against closed forms, independent numerics and small simulations."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from cortseq import processes, theory
from cortseq.errors import CortseqError
from cortseq.theory import random_networks


def test_import_is_light():
    code = "import sys, cortseq.theory; assert not {'torch', 'scipy.optimize'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# -- random networks ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gain_two():
    return theory.mean_field(2.0)


def gauss_hermite_pair(f, variance, covariance, n=150):
    """<f(x) f(y)> by another rule and other coordinates: y given x."""
    z, w = np.polynomial.hermite_e.hermegauss(n)
    w = w / w.sum()
    slope, rest = covariance / np.sqrt(variance), np.sqrt(variance - covariance**2 / variance)
    x, y = np.sqrt(variance) * z, slope * z[:, None] + rest * z
    return (w * f(x)) @ (f(y) @ w)


def test_silent_below_the_transition():
    for gain in (0.0, 0.5, 1.0):
        found = theory.mean_field(gain)
        assert (found.variance, found.q, found.lyapunov) == (0, 0, gain - 1)
        assert found.lags[-1] >= 20 and not found.autocorrelation.any()
    found = theory.mean_field_map(0.5)
    assert (found.variance, found.q, found.chi, found.lyapunov) == (0, 0, 0.25, np.log(0.5))
    with pytest.raises(CortseqError, match="gain"):
        theory.mean_field(-1.0)


def test_autocorrelation_obeys_newtons_equation(gain_two):
    """Delta'' by finite differences of 6th order against Gauss-Hermite averages."""
    m, h = gain_two, gain_two.lags[1]
    assert m.lags[0] == 0 and m.lags[-1] >= 20 and h <= 0.1
    d = np.concatenate([m.autocorrelation[4:0:-1], m.autocorrelation])
    for i in (0, 10, 40, 100, 200):
        at = i + 4
        second = (np.array([2, -27, 270, -490, 270, -27, 2]) @ d[at - 3 : at + 4]) / (180 * h**2)
        force = d[at] - 4 * gauss_hermite_pair(np.tanh, m.variance, min(d[at], m.variance))
        assert abs(second - force) < 2e-7, m.lags[i]
    assert abs(m.autocorrelation[0] - m.variance) < 1e-12 and m.autocorrelation[-1] < 1e-4
    assert abs(m.q - gauss_hermite_pair(np.tanh, m.variance, m.variance)) < 1e-8
    assert abs(np.interp(m.half_width, m.lags, m.autocorrelation) - m.variance / 2) < 1e-4


def test_exponent_by_finite_differences(gain_two):
    """Ground state on a grid of lags, second order, extrapolated to step 0."""
    from scipy.linalg import eigvalsh_tridiagonal

    m, ground = gain_two, []
    for every in (2, 1):
        h, delta = m.lags[every], m.autocorrelation[::every]

        def sech2(x):
            return 1 / np.cosh(x) ** 2

        well = 1 - 4 * np.array([gauss_hermite_pair(sech2, m.variance, d, 120) for d in delta * (1 - 1e-15)])
        off = np.full(len(well) - 1, -1 / h**2)
        off[0] *= np.sqrt(2)  # v' = 0 at lag 0, made symmetric
        ground.append(eigvalsh_tridiagonal(2 / h**2 + well, off, select="i", select_range=(0, 0))[0])
    extrapolated = (4 * ground[1] - ground[0]) / 3
    assert abs(np.sqrt(1 - extrapolated) - 1 - m.lyapunov) < 1e-7


@pytest.mark.parametrize("gain", [1.05, 3.0, 6.0])
def test_resolutions_do_not_matter(gain, monkeypatch):
    coarse, lags = theory.mean_field(gain), slice(0, 400, 20)
    half_line = random_networks._half_line
    within = random_networks._within
    monkeypatch.setattr(random_networks, "_half_line", lambda scale, finer=1.0: half_line(scale, 1.7))
    monkeypatch.setattr(random_networks, "_within", lambda sd, finer=1.0: within(sd, 1.7))
    monkeypatch.setattr(random_networks, "_PSI", 22.0)
    fine = theory.mean_field(gain)
    for name in ("variance", "q", "lyapunov", "half_width"):
        assert abs(getattr(coarse, name) - getattr(fine, name)) < 1e-8 * max(1, getattr(fine, name)), name
    np.testing.assert_allclose(coarse.autocorrelation[lags], fine.autocorrelation[lags], atol=1e-7)


@pytest.mark.parametrize("variance", [0.01, 3.0, 7000.0])
def test_pair_averages(variance):
    """By a rule of its own (Gauss-Legendre on the square where it is not negligible), at gains up to 100."""
    correlation = np.array([0.0, 0.4, -0.9, 0.99])
    x, weights = np.polynomial.legendre.leggauss(1500)
    reach = min(25.0, 9 * np.sqrt(variance))
    x, weights = reach * x, reach * weights
    for rho, found in zip(correlation, random_networks._pair_slope(variance, correlation), strict=True):
        square = (x[:, None] ** 2 + x**2 - 2 * rho * x[:, None] * x) / (2 * variance * (1 - rho**2))
        density = np.exp(-square) / (2 * np.pi * variance * np.sqrt(1 - rho**2))
        slopes = weights / np.cosh(x) ** 2
        assert found == pytest.approx(slopes @ density @ slopes, rel=1e-9)


def test_the_cost_of_a_pair_average_does_not_grow_with_the_gain():
    sizes = [len(random_networks._within(sd)[0]) for sd in (1.0, 10.0, 100.0)]
    assert sizes[2] <= sizes[1] < 80


def test_near_the_transition():
    """Exponent (gain - 1)^2 / 2 and variance gain - 1 to leading order; both branches agree where they meet."""
    for gap in (1e-3, 2e-4):
        m = theory.mean_field(1 + gap)
        assert abs(m.lyapunov / (gap**2 / 2) - 1) < 6 * gap and abs(m.variance / gap - 1) < 2 * gap
        assert abs(m.half_width * gap / (np.sqrt(3) * np.arccosh(2)) - 1) < 3 * gap
    below, above = theory.mean_field(1.0000999), theory.mean_field(1.0001001)
    for name in ("variance", "q", "lyapunov"):
        assert abs(getattr(below, name) - getattr(above, name)) < 1e-6


def test_far_above_the_transition_tanh_is_a_sign():
    """C(Delta) = (2/pi) arcsin(Delta/Delta0): Delta0 -> 2 gain^2 (1 - 2/pi)."""
    m = theory.mean_field(20.0)
    assert abs(m.variance / 20**2 / (2 * (1 - 2 / np.pi)) - 1) < 0.01
    assert abs(m.q - 1) < 0.05


def test_map_in_equations_and_in_a_network():
    found = theory.mean_field_map(1.5)
    assert abs(found.variance - 2.25 * found.q) < 1e-12
    z, w = np.polynomial.hermite_e.hermegauss(200)
    x, w = np.sqrt(found.variance) * z, w / w.sum()
    assert abs(w @ np.tanh(x) ** 2 - found.q) < 1e-9
    assert abs(2.25 * (w @ np.cosh(x) ** -4.0) - found.chi) < 1e-9
    assert found.lyapunov == np.log(found.chi) / 2
    rng = np.random.default_rng(0)
    weights = rng.normal(0, 1.5 / np.sqrt(1000), (1000, 1000))
    h, v = np.tanh(rng.normal(size=1000)), rng.normal(size=1000)
    q, growth = [], []
    for t in range(300):
        h = np.tanh(weights @ h)
        v = (1 - h**2) * (weights @ v)
        if t >= 50:
            q.append((h**2).mean())
            growth.append(np.log(np.linalg.norm(v)))
        v = v / np.linalg.norm(v)
    assert abs(np.mean(q) / found.q - 1) < 0.03
    assert 0.035 < np.mean(growth) < 0.075  # theory .0652; one network of 1000 units, bias downward


@pytest.mark.slow
def test_rate_network_fluctuates_as_predicted():
    """Gain 2, N = 1500, Euler step 0.05: variance, q and autocorrelation within 10 %, exponent in its window."""
    m, n, dt = theory.mean_field(2.0), 1500, 0.05
    rng = np.random.default_rng(1)
    weights = rng.normal(0, 2 / np.sqrt(n), (n, n))
    x, v, kept, growth = rng.normal(size=n), rng.normal(size=n), [], []
    for t in range(6000):
        r = np.tanh(x)
        a = weights @ np.stack([r, (1 - r**2) * v], 1)
        x, v = x + dt * (a[:, 0] - x), v + dt * (a[:, 1] - v)
        if t >= 1000:
            kept.append(x)
            growth.append(np.log(np.linalg.norm(v)))
        v = v / np.linalg.norm(v)
    x = np.array(kept)
    assert abs((x**2).mean() / m.variance - 1) < 0.1
    assert abs((np.tanh(x) ** 2).mean() / m.q - 1) < 0.1
    for lag in (1.0, 2.0, 5.0):
        i = round(lag / dt)
        found = (x[i:] * x[:-i]).mean()
        assert abs(found - m.autocorrelation[round(lag / m.lags[1])]) < 0.1 * m.variance
    assert 0.07 < np.mean(growth) / dt < 0.13


# -- spectra ------------------------------------------------------------------------------------------


def test_dale_radius_on_a_balanced_matrix():
    n, f, se, si = 800, 0.8, 0.02, 0.06
    rng = np.random.default_rng(0)
    sigma = np.where(np.arange(n) < f * n, se, si)
    w = rng.normal(0, 1, (n, n)) * sigma
    predicted = theory.dale_bulk_radius(n, f, se, si)
    assert predicted == pytest.approx(np.sqrt(800 * (0.8 * 0.0004 + 0.2 * 0.0036)))
    assert abs(np.abs(np.linalg.eigvals(w)).max() / predicted - 1) < 0.05
    columns = theory.block_bulk_radius([[se**2, si**2]] * 2, [f * n, (1 - f) * n])
    assert columns == pytest.approx(predicted)


def test_radius_of_a_block_profile():
    sizes, sd = [150, 250], np.array([[0.02, 0.06], [0.05, 0.01]])
    rng = np.random.default_rng(0)
    w = rng.normal(size=(400, 400)) * np.repeat(np.repeat(sd, sizes, 0), sizes, 1)
    predicted = theory.block_bulk_radius(sd**2, sizes)
    assert abs(np.abs(np.linalg.eigvals(w)).max() / predicted - 1) < 0.05
    assert theory.block_bulk_radius(np.full((50, 50), 0.02), np.ones(50)) == pytest.approx(1.0)


def test_outlier_of_rank_one_and_its_overlaps():
    n = 600
    rng = np.random.default_rng(0)
    bulk = rng.normal(0, 1 / np.sqrt(n), (n, n))
    u = rng.normal(size=n) / np.sqrt(n)
    v = 2 * u / (u @ u)
    measured = max(np.linalg.eigvals(bulk + np.outer(u, v)), key=abs)
    plain = theory.low_rank_outliers(u, v, 1.0)
    assert len(plain) == 1 and abs(plain[0] - 2) < 1e-12
    errors = [
        abs(theory.low_rank_outliers(u, v, 1.05, bulk, order)[0] - measured) for order in (0, 2, 10, 30)
    ]
    assert errors[0] > 1e-3 and errors[2] < 0.2 * errors[0] and errors[3] < 1e-5
    orthogonal = 4 * (np.roll(u, 1) - u * (u @ np.roll(u, 1)) / (u @ u))
    assert len(theory.low_rank_outliers(u, orthogonal, 1.05)) == 0
    assert np.abs(np.linalg.eigvals(bulk + np.outer(u, orthogonal))).max() < 1.2


def test_large_balanced_structure_makes_outliers():
    """Dale columns with means that cancel: right' left = 0, yet eigenvalues far out, where overlaps put them."""
    n, rng = 500, np.random.default_rng(3)
    bulk = rng.normal(0, 1 / np.sqrt(n), (n, n))
    left, right = np.ones(n), np.where(np.arange(n) < 400, 1.0, -4.0) * 2 / np.sqrt(n)
    assert abs(right @ left) < 1e-12
    values = np.linalg.eigvals(bulk + np.outer(left, right))
    found = theory.low_rank_outliers(left, right, 1.1, bulk, 40)
    outside = values[np.abs(values) > 1.5]
    assert len(outside) and all(np.abs(found - value).min() < 1e-2 for value in outside)


# -- plasticity ---------------------------------------------------------------------------------------

FACILITATING, DEPRESSING, STATIC_USE = (0.2, 1.5, 0.2), (0.5, 0.02, 0.8), (0.5, None, 0.8)


@pytest.mark.parametrize("synapse", [FACILITATING, DEPRESSING, STATIC_USE])
def test_plasticity_is_the_rest_point_of_its_equations(synapse):
    U, fac, rec = synapse
    r = np.array([0.0, 1.0, 5.0, 50.0])
    u, x = theory.stp_steady_state(r, *synapse)
    if fac:
        np.testing.assert_allclose((U - u) / fac + U * (1 - u) * r, 0, atol=1e-12)
    else:
        assert (u == U).all()
    np.testing.assert_allclose((1 - x) / rec - u * x * r, 0, atol=1e-12)
    assert u[0] == U and x[0] == 1
    assert abs(theory.stp_frequency_response(1e7, *synapse) - 1 / rec) < 1e-4


def test_first_spikes_by_hand():
    """u rests at U and is raised before release."""
    U, fac, rec = FACILITATING
    release = theory.stp_response([0.3, 0.4], U, fac, rec)
    u = U + U * (1 - U)
    x = 1 - u * np.exp(-0.1 / rec)
    second = U + (u - U) * np.exp(-0.1 / fac)
    np.testing.assert_allclose(release, [u, (second + U * (1 - second)) * x], rtol=1e-14)
    np.testing.assert_allclose(
        theory.stp_response([0, 0.1], *STATIC_USE), [0.5, 0.5 * (1 - 0.5 * np.exp(-0.1 / 0.8))]
    )
    assert len(theory.stp_response([], *FACILITATING)) == 0
    with pytest.raises(CortseqError, match="ascending"):
        theory.stp_response([1.0, 0.5], *FACILITATING)
    with pytest.raises(CortseqError, match="U"):
        theory.stp_steady_state(1.0, 1.5, None, 0.2)


@pytest.mark.parametrize("synapse", [FACILITATING, DEPRESSING, STATIC_USE])
@pytest.mark.parametrize("rate", [5.0, 50.0])
def test_trains_settle_and_poisson_averages(synapse, rate):
    regular = theory.stp_response(np.arange(1500) / rate, *synapse)
    assert abs(np.prod(theory.stp_train(rate, *synapse)) - regular[-1]) < 1e-12
    times = np.random.default_rng(0).exponential(1 / rate, 30_000).cumsum()
    release = theory.stp_response(times, *synapse)[500:]
    error = release.reshape(50, -1).mean(1).std() / np.sqrt(50)
    assert abs(release.mean() - theory.stp_poisson(rate, *synapse)) < 4 * error


def test_poisson_limits():
    assert theory.stp_poisson(0.0, *FACILITATING) == pytest.approx(0.36)
    assert theory.stp_poisson(1e-7, *FACILITATING) == pytest.approx(0.36, abs=1e-5)
    u, x = theory.stp_steady_state(20.0, *STATIC_USE)
    assert theory.stp_poisson(20.0, *STATIC_USE) == pytest.approx(u * x, rel=1e-12)
    assert theory.stp_poisson([1.0, 2.0], *FACILITATING).shape == (2,)


def test_peak_of_the_frequency_filter():
    r = np.linspace(0, 10, 100_001)
    u, x = theory.stp_steady_state(r, *FACILITATING)
    assert abs(r[(u * x).argmax()] - theory.stp_peak_rate(*FACILITATING)) < 2e-4
    assert theory.stp_peak_rate(*DEPRESSING) == theory.stp_peak_rate(*STATIC_USE) == 0
    assert (np.diff(np.prod(theory.stp_steady_state(r, *DEPRESSING), axis=0)) < 0).all()


# -- Euler steps, horizons ----------------------------------------------------------------------------


def test_euler_steps():
    mode = -0.1 + 2j
    step = theory.euler_largest_step([mode, np.conj(mode), -1.0])
    assert abs(abs(theory.euler_eigenvalue(mode, step)) - 1) < 1e-14
    assert step == pytest.approx(0.2 / 4.01)
    assert theory.euler_largest_step([0.1]) == 0
    assert abs(theory.continuous_eigenvalue(theory.euler_eigenvalue(mode, 0.1), 0.1) - mode) < 1e-12
    assert abs(theory.continuous_eigenvalue(np.exp(0.1 * mode), 0.1, exact=True) - mode) < 1e-12
    weights = np.array([[0, 2.0], [-2, 0.8]])  # -1 + lambda(W): oscillating, stable
    values = np.linalg.eigvals(weights)
    for leak in (0.1, 0.3, 0.9):
        grows = np.linalg.norm(np.linalg.matrix_power((1 - leak) * np.eye(2) + leak * weights, 400)) > 1
        assert theory.euler_is_stable(1.0, values, leak) != grows
        assert grows == (leak > theory.euler_largest_step(values - 1))


def test_low_pass():
    assert theory.low_pass(1 / (2 * np.pi * 0.1), 0.1) ** 2 == pytest.approx(0.5)
    dt, tau, f = 1e-4, 0.1, np.array([0.5, 2.0, 10.0])
    np.testing.assert_allclose(theory.leak_low_pass(f, dt / tau, dt), theory.low_pass(f, tau), rtol=2e-3)
    a, t = theory.exponential_leak(0.02, 0.1), np.arange(20_000) * 0.02
    assert 1 - a == pytest.approx(np.exp(-0.2))
    h, out = 0.0, []
    for drive in np.cos(2 * np.pi * 2.0 * t):
        h = (1 - a) * h + a * drive
        out.append(h)
    assert np.max(out[1000:]) == pytest.approx(theory.leak_low_pass(2.0, a, 0.02), rel=1e-3)


def test_horizons():
    for bias, steps in ((0, 1.44), (1, 3.19), (2, 7.88), (3, 20.6), (5, 148.9)):
        gate = 1 / (1 + np.exp(-bias))
        assert gate ** theory.forget_horizon(bias) == pytest.approx(np.exp(-1))
        assert theory.forget_horizon(bias) == pytest.approx(steps, rel=4e-3)
    assert theory.chain_parameters(8, 3) == 3584
    np.testing.assert_allclose(theory.gradient_growth(-0.1, [0, 10]), [1, np.exp(-1)])
    assert theory.always_vanishes(0.9, 1.0) and not theory.always_vanishes(1.1, 1.0)


# -- exposure -----------------------------------------------------------------------------------------


def test_error_of_a_free_running_autoregression():
    phi, noise = 0.9, np.random.default_rng(0).normal(size=(200_000, 6))
    error = np.zeros(len(noise))
    for h in range(1, 7):
        error = phi * error + noise[:, h - 1]
        assert abs((error**2).mean() / theory.autoregressive_error(phi, 1.0, h) - 1) < 0.02
    assert theory.autoregressive_error(1.0, 2.0, 3) == 6


@pytest.mark.parametrize("probability, bits", [(1.0, 0.5533), (0.5, 0.6574), (0.25, 0.7672), (0.0, 0.9183)])
def test_scheduled_sampling_minimises_its_loss(probability, bits):
    """The expected loss written out over all pairs and model samples, minimised numerically."""
    from scipy.optimize import minimize

    p = np.array([[0.9, 0.1], [0.2, 0.8]])
    pi = processes.stationary(p)
    found = theory.scheduled_sampling(p, probability)
    assert abs(found.bits - bits) < 5e-5

    def loss(logits):
        q = np.stack([1 / (1 + np.exp(logits)), 1 / (1 + np.exp(-logits))], 1)
        total = 0.0
        for first in range(2):
            for second in range(2):
                joint = pi[first] * p[first, second]
                total -= probability * joint * np.log(q[first, second])
                for sample in range(2):
                    total -= (1 - probability) * joint * pi[sample] * np.log(q[sample, second])
        return total

    best = minimize(loss, np.zeros(2), tol=1e-12).x
    np.testing.assert_allclose(found.transition[:, 1], 1 / (1 + np.exp(-best)), atol=1e-5)
    with pytest.raises(CortseqError, match="rows"):
        theory.scheduled_sampling([[0.5, 0.4], [0.2, 0.8]], 0.5)


# -- interference -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def regression():
    rng = torch.Generator().manual_seed(0)
    x, y = (torch.randn(40, k, generator=rng, dtype=torch.float64) for k in (5, 3))
    w, d = (torch.randn(3, 5, generator=rng, dtype=torch.float64) for _ in range(2))
    return x, y, w, 1e-2 * d


def test_change_is_exact_for_linear_least_squares(regression):
    x, y, w, d = regression

    def half_squares(out):
        return ((out - y) ** 2).sum() / 2

    def loss(w):
        return half_squares(x @ w.T)

    found = theory.loss_change(loss, w, d)
    assert found.predicted == pytest.approx(theory.measured_loss_change(loss, w, d), rel=1e-12)
    assert found.second == pytest.approx(float(((x @ d.T) ** 2).sum() / 2), rel=1e-12)
    assert theory.gauss_newton(lambda w: x @ w.T, half_squares, w, d) == pytest.approx(
        found.second, rel=1e-12
    )
    mean = theory.gauss_newton(lambda w: x @ w.T, lambda out: ((out - y) ** 2).mean(), w, d)
    assert mean == pytest.approx(found.second * 2 / y.numel(), rel=1e-12)


def test_gauss_newton_of_cross_entropy(regression):
    """Linear outputs: equal to the Hessian; and to J' (diag p - p p') J by hand."""
    x, y, w, d = regression
    label = y.argmax(1)

    def entropy(out):
        return torch.nn.functional.cross_entropy(out, label)

    found = theory.loss_change(lambda w: entropy(x @ w.T), w, d)
    gn = theory.gauss_newton(lambda w: x @ w.T, entropy, w, d)
    p, change = torch.softmax(x @ w.T, 1), x @ d.T
    by_hand = ((p * change**2).sum(1) - (p * change).sum(1) ** 2).mean() / 2
    assert gn == pytest.approx(found.second, rel=1e-10) == pytest.approx(float(by_hand), rel=1e-10)


def test_network_error_of_the_prediction_is_third_order(regression):
    x, y, w, _ = regression
    params = {"in": w, "out": (w.T[:2] / 2,)}

    def loss(q):
        return ((torch.tanh(x @ q["in"].T) @ q["out"][0].T - y[:, :2]) ** 2).sum() / 2

    gradient = torch.func.grad(loss)(params)
    errors = []
    for eta in (1e-3, 1e-4):
        d = {"in": -eta * gradient["in"], "out": (-eta * gradient["out"][0],)}
        change = theory.loss_change(loss, params, d)
        assert change.first < 0
        errors.append(abs(theory.measured_loss_change(loss, params, d) - change.predicted))
    assert 500 < errors[0] / errors[1] < 2000


def test_zero_residual_makes_gauss_newton_exact_and_null_space_forgets_nothing(regression):
    x, _, w, d = regression

    def outputs(w):
        return torch.tanh(x @ w.T)

    target = outputs(w)

    def half_squares(out):
        return ((out - target) ** 2).sum() / 2

    found = theory.loss_change(lambda w: half_squares(outputs(w)), w, d)
    assert abs(found.first) < 1e-14
    assert theory.gauss_newton(outputs, half_squares, w, d) == pytest.approx(found.second, rel=1e-10)
    few = x[:3]  # 3 inputs of 5 dimensions leave 2 free
    free = d @ (torch.eye(5, dtype=torch.float64) - torch.linalg.pinv(few) @ few)

    def still(w):
        return ((torch.tanh(few @ w.T) - target[:3]) ** 2).sum() / 2

    assert free.norm() > 0.1 * d.norm() and theory.measured_loss_change(still, w, free) < 1e-28
