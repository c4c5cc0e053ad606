"""Bulks, outliers, transients and Lyapunov analyses against theory and brute force."""

import numpy as np
import pytest
import torch
from scipy.linalg import expm
from untrained import untrained

from cortseq import dynamics, models, theory
from cortseq.dynamics import lyapunov
from cortseq.errors import CortseqError


def henon(s):
    return torch.stack([1 - 1.4 * s[0] ** 2 + s[1], 0.3 * s[0]])


def tanh_flow(w, map="closed"):
    w = torch.as_tensor(w)
    return dynamics.Flow(lambda s: torch.tanh(s @ w.mT), len(w), map)


# -- bulk and outliers --------------------------------------------------------------------------------


def test_bulk_of_a_variance_profile():
    """Four blocks of different variance: rows matter as much as columns."""
    rng = np.random.default_rng(0)
    n, half = 500, 250
    blocks = np.array([[0.2, 4.0], [1.0, 0.1]])
    variances = blocks.repeat(half, 0).repeat(half, 1) / n
    radius = dynamics.profile_radius(variances)
    assert radius == pytest.approx(dynamics.profile_radius(blocks / 2))
    assert dynamics.spectral_radius(rng.normal(size=(n, n)) * np.sqrt(variances)) == pytest.approx(
        radius, rel=0.06
    )
    columns = np.tile(np.where(np.arange(n) < 0.7 * n, 0.5, 3.0) / n, (n, 1))
    assert dynamics.profile_radius(columns) == pytest.approx(np.sqrt(0.7 * 0.5 + 0.3 * 3.0))
    with pytest.raises(CortseqError, match="negative"):
        dynamics.profile_radius(-np.eye(3))


def test_outliers_of_a_low_rank_part():
    rng = np.random.default_rng(0)
    n = 600
    j = rng.normal(0, 0.8 / np.sqrt(n), (n, n))
    u = np.linalg.qr(rng.normal(size=(n, 3)))[0]
    m, v = u[:, :2], u[:, :2] @ np.array([[1.7, 0.9], [-0.9, 1.7]])
    predicted = dynamics.low_rank_outliers(m, v, radius=0.8)
    np.testing.assert_allclose(predicted, [1.7 + 0.9j, 1.7 - 0.9j], atol=1e-12)
    values = np.linalg.eigvals(j + m @ v.T)
    out = values[np.abs(values) > 1]
    assert len(out) == 2 and dynamics.spectral_distance(out, predicted) < 0.1
    # of norm 4 but orthogonal: nothing outside
    assert len(dynamics.low_rank_outliers(u[:, 0], 4 * u[:, 1], radius=0.8)) == 0
    assert dynamics.spectral_radius(j + 4 * np.outer(u[:, 0], u[:, 1])) < 1.1


def test_overlap_with_the_random_part_makes_outliers():
    """N'M = 0 but N'JM = c: det = 0 at z^2 = c, which the plain prediction misses."""
    rng = np.random.default_rng(1)
    n, c = 500, 4.0
    j = rng.normal(0, 0.7 / np.sqrt(n), (n, n))
    m = rng.normal(size=n)
    image = j @ m
    image -= m * (m @ image) / (m @ m)
    v = c * image / (image @ image)
    values = np.linalg.eigvals(j + np.outer(m, v))
    out = values[np.abs(values) > 1.2]
    assert len(dynamics.low_rank_outliers(m, v, radius=0.7)) == 0
    few = dynamics.low_rank_outliers(m, v, 1.2, random=j, terms=1)
    np.testing.assert_allclose(np.sort(few.real), [-2, 2], atol=1e-9)
    many = dynamics.low_rank_outliers(m, v, 1.2, random=j, terms=12)
    assert len(out) == len(many) == 2
    assert dynamics.spectral_distance(out, many) < 0.01 < dynamics.spectral_distance(out, few)


def test_growth_if_and_only_if_the_abscissa_exceeds_one_over_the_gain():
    rng = np.random.default_rng(0)
    decided = []
    for _ in range(40):
        w, gain = rng.normal(0, 1 / np.sqrt(12), (12, 12)), rng.uniform(0.5, 2.0)
        grows = np.linalg.norm(expm(200 * (gain * w - np.eye(12))) @ rng.normal(size=12)) > 1
        margin = dynamics.stability_margin(w, gain)
        assert margin == pytest.approx(1 - gain * dynamics.spectral_abscissa(w))
        if abs(margin) > 0.02:
            assert grows == (margin < 0)
            decided.append(grows)
    assert 5 < sum(decided) < len(decided) - 5


def test_the_margin_is_that_of_the_actual_fixed_point():
    """dx/dt = -x + tanh(W x), W of radius 1.6: unstable at 0, stable where it comes to rest."""
    w = 0.8 * np.array([[1.0, 1.0], [1.0, 1.0]])
    x = dynamics.fixed_points(tanh_flow(w), np.array([[0.5, 0.6]])).states[-1]
    slope = 1 - np.tanh(w @ x) ** 2
    assert dynamics.stability_margin(w) == pytest.approx(-0.6)
    assert dynamics.stability_margin(w, slope) == pytest.approx(1 - 1.6 * slope[0]) and slope[0] < 0.5


# -- transients and conversions -----------------------------------------------------------------------


def test_transient_of_a_jordan_block():
    """exp(At) = e^-t [[1, bt], [0, 1]] has norm exp(asinh(bt/2) - t), largest at t^2 = 1 - 4/b^2."""
    b = 9.0
    found = dynamics.transient_growth(np.array([[-1.0, b], [0.0, -1.0]]), "continuous")
    t = np.sqrt(1 - 4 / b**2)
    assert found.time == pytest.approx(t, abs=1e-5)
    assert found.peak == pytest.approx(np.exp(np.arcsinh(b * t / 2) - t), rel=1e-10)
    assert found.norms[0] == 1 and found.norms[-1] <= 0.5


def test_transients_against_brute_force():
    rng = np.random.default_rng(0)
    a = np.triu(rng.normal(size=(6, 6)), 1) * 2 + np.diag(rng.uniform(0.3, 0.9, 6))
    found = dynamics.transient_growth(a)
    powers = [np.linalg.norm(np.linalg.matrix_power(a, t), 2) for t in range(300)]
    assert found.peak == pytest.approx(max(powers)) and found.time == np.argmax(powers)
    assert found.peak > 5
    rate = a - np.eye(6)
    grid = np.arange(0, 60, 0.02)
    curve = [np.linalg.norm(expm(t * rate), 2) for t in grid]
    found = dynamics.transient_growth(rate, "continuous")
    assert found.peak == pytest.approx(max(curve), rel=1e-4) and found.peak >= max(curve) * (1 - 1e-12)


def test_transients_of_normal_and_unstable_matrices():
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(8, 8)))[0]
    assert dynamics.transient_growth(0.95 * turn).peak == 1
    assert dynamics.transient_growth(np.array([[0.0, 5.0], [0.0, 0.0]])).peak == 5
    assert dynamics.transient_growth(1.01 * turn).peak == np.inf
    assert dynamics.transient_growth(np.diag([0.1, -1.0]), "continuous").peak == np.inf
    calm = dynamics.transient_growth(-0.1 * np.eye(3), "continuous")
    assert calm.peak == 1 and calm.time == 0
    with pytest.raises(CortseqError, match="close to instability"):
        dynamics.transient_growth(np.eye(1) * (1 - 1e-15))


@pytest.mark.parametrize("eps", [1e-4, 1e-7, 1e-10])
def test_transients_of_slow_matrices(eps):
    """Jordan blocks, whose growth peaks after 1/eps; |r^t [[1, t/r], [0, 1]]| = r^t exp(asinh(t / 2r))."""
    r, t = 1 - eps, -1 / np.log1p(-eps)
    found = dynamics.transient_growth(np.array([[r, 1.0], [0.0, r]]))
    assert found.peak == pytest.approx(r**t * np.exp(np.arcsinh(t / (2 * r))), rel=1e-6)
    assert found.time == pytest.approx(t, rel=1e-3) and found.norms[-1] <= 0.5 and len(found.norms) < 4000
    t = np.sqrt(1 / eps**2 - 4)
    found = dynamics.transient_growth(np.array([[-eps, 1.0], [0.0, -eps]]), "continuous")
    assert found.peak == pytest.approx(np.exp(np.arcsinh(t / 2) - eps * t), rel=1e-6)
    assert found.time == pytest.approx(t, rel=1e-3)


def test_transients_of_a_line_attractor():
    """The early peak of the fast modes is found beside the plateau of the slow one."""
    rng = np.random.default_rng(0)
    fast = np.triu(rng.normal(size=(6, 6)), 1) * 2 + np.diag(rng.uniform(0.3, 0.9, 6))
    line = np.block([[np.ones((1, 1)) - 1e-9, 0.1 * np.ones((1, 6))], [np.zeros((6, 1)), fast]])
    found = dynamics.transient_growth(line)
    powers = [np.linalg.norm(np.linalg.matrix_power(line, t), 2) for t in range(300)]
    assert found.peak == pytest.approx(max(powers)) and found.time == np.argmax(powers) < 50


def test_conversions():
    values = np.array([-0.15 + 1.8j, -0.15 - 1.8j, -4.0])
    for rule in ("euler", "exact"):
        back = dynamics.to_continuous(dynamics.to_discrete(values, 0.05, rule), 0.05, rule)
        np.testing.assert_allclose(back, values, rtol=1e-12)
    exact = dynamics.to_discrete(values, 0.05, "exact")
    modes = dynamics.time_constants_and_frequencies(exact, 0.05)
    np.testing.assert_allclose(modes.time_constants, -1 / values.real)
    np.testing.assert_allclose(modes.frequencies, values.imag / (2 * np.pi), atol=1e-12)
    limit = dynamics.euler_limit(values)
    assert limit == pytest.approx(0.3 / (0.15**2 + 1.8**2))
    for step, stable in ((0.99 * limit, True), (1.01 * limit, False)):
        assert (np.abs(dynamics.to_discrete(values, step)).max() < 1) == stable
    assert np.abs(dynamics.to_discrete(values, 1.01 * limit, "exact")).max() < 1
    assert dynamics.euler_limit([0.1, -1]) == 0 and dynamics.euler_limit([0]) == np.inf
    with pytest.raises(CortseqError, match="rule"):
        dynamics.to_discrete(values, 0.1, "midpoint")


# -- Lyapunov -----------------------------------------------------------------------------------------


def test_dimension_and_entropy_of_a_spectrum():
    assert dynamics.kaplan_yorke([0.9056, 0.0, -14.5723]) == pytest.approx(2 + 0.9056 / 14.5723)
    assert dynamics.kaplan_yorke([-2.0, 0.1, 0.3, -0.2]) == pytest.approx(3 + 0.2 / 2)
    assert dynamics.kaplan_yorke([-0.1, -1]) == 0 and dynamics.kaplan_yorke([0.2, -0.1]) == 2
    assert dynamics.entropy([0.3, 0.1, -2]) == pytest.approx(0.4)
    found = dynamics.lyapunov_spectrum(henon, np.zeros(2), n_steps=5000)
    assert found.kaplan_yorke_dimension == pytest.approx(1 + 0.4192 / 1.6232, abs=0.01)
    assert found.entropy == found.exponents[0]


def test_the_stopping_rule():
    plain = dynamics.lyapunov_spectrum(henon, np.zeros(2), n_steps=400, seed=1)
    found = dynamics.lyapunov_spectrum(henon, np.zeros(2), n_steps=400, seed=1, tolerance=0.008)
    assert plain.n_steps == 400 and plain.converged and plain.standard_errors.max() > 0.008
    assert found.converged and found.standard_errors.max() <= 0.008 and found.n_steps > 400
    assert found.exponents[0] == pytest.approx(0.4192, abs=0.03)
    short = dynamics.lyapunov_spectrum(henon, np.zeros(2), n_steps=400, tolerance=1e-6, max_steps=1000)
    assert not short.converged and short.n_steps == 1000


def slow_network(n=60, gain=2.5, leak=0.02, seed=11):
    """h' = (1 - a) h + a W tanh(h): correlated over more than 50 steps at a = 0.02."""
    w = leak * torch.from_numpy(np.random.default_rng(seed).normal(0, gain / np.sqrt(n), (n, n)))

    def push(h, vectors):
        rate = torch.tanh(h)
        return (1 - leak) * h + w @ rate, (1 - leak) * vectors + w @ ((1 - rate**2)[:, None] * vectors)

    return dynamics.Flow(lambda h: (1 - leak) * h + w @ torch.tanh(h), n, push=push)


@pytest.mark.parametrize("n_steps", [200, 1000])
def test_standard_errors_are_the_spread_of_runs(n_steps):
    flow, runs = slow_network(), []
    for seed in range(16):
        start = np.random.default_rng(seed).normal(size=flow.dim)
        runs.append(dynamics.lyapunov_spectrum(flow, start, 1, n_steps, warm_up=600, seed=seed))
    spread = np.std([run.exponents[0] for run in runs], ddof=1)
    stated = np.array([run.standard_errors[0] for run in runs])
    assert spread / 2 < np.sqrt((stated**2).mean()) < spread * 2
    assert np.median(stated) > spread / 2 and stated.min() > spread / 10


def test_short_runs_of_slow_networks_do_not_stop_early():
    flow = slow_network()
    for seed in range(4):
        start = np.random.default_rng(seed).normal(size=flow.dim)
        found = dynamics.lyapunov_spectrum(flow, start, 1, 100, 600, seed, tolerance=1e-3, max_steps=3200)
        assert found.n_steps >= 1600


@pytest.mark.parametrize(("rates", "rare"), [([0.99, 0.97, 0.98], True), ([0.9, 1e-9, 0.5], False)])
def test_the_frame_is_renewed_as_often_as_needed(rates, rare, monkeypatch):
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    a = torch.as_tensor(turn @ np.diag(rates) @ turn.T)
    calls, factorise = [], lyapunov._factorise
    monkeypatch.setattr(lyapunov, "_factorise", lambda m: calls.append(1) or factorise(m))
    found = dynamics.lyapunov_spectrum(lambda s: a @ s, np.ones(3), n_steps=200, warm_up=400)
    np.testing.assert_allclose(found.exponents, np.log(np.sort(rates)[::-1]), atol=1e-4)
    assert len(calls) < 100 if rare else len(calls) > 550


@pytest.mark.parametrize("narrowest", [0.3, 1e-3, 1e-9])
def test_frames_by_cholesky_find_what_reflections_find(narrowest):
    """The same orbit with a Householder factorisation at every step; columns that part by up to 1e9 a step."""
    d, steps = 40, 200
    turns = np.linalg.qr(np.random.default_rng(4).normal(size=(2, d, d)))[0]
    w = torch.as_tensor(turns[0] @ np.diag(np.geomspace(1, narrowest, d)) @ turns[1])
    start = np.random.default_rng(5).normal(size=d)
    found = dynamics.lyapunov_spectrum(lambda s: torch.tanh(w @ s), start, n_steps=steps, warm_up=0)
    s, q, logs = start, np.linalg.qr(np.random.default_rng(0).normal(size=(d, d)))[0], []
    for _ in range(steps):
        rate = np.tanh(w.numpy() @ s)
        q, r = np.linalg.qr((1 - rate**2)[:, None] * (w.numpy() @ q))
        s = rate
        logs.append(np.log(np.abs(np.diagonal(r))))
    by_reflections = np.sort(np.mean(logs, 0))[::-1]
    np.testing.assert_allclose(found.exponents, by_reflections, atol=1e-7)


def test_a_direction_that_is_annihilated():
    a = torch.diag(torch.tensor([0.5, 0.0], dtype=torch.float64))
    found = dynamics.lyapunov_spectrum(lambda s: a @ s, np.ones(2), n_steps=40, warm_up=10)
    assert found.exponents[0] == pytest.approx(np.log(0.5)) and found.exponents[1] < -30


def runge_kutta(field, h):
    def step(s):
        a = field(s)
        b = field(s + h / 2 * a)
        c = field(s + h / 2 * b)
        return s + h / 6 * (a + 2 * b + 2 * c + field(s + h * c))

    return step


def lorenz(s):
    x, y, z = s.unbind(-1)
    return torch.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z], -1)


def test_lorenz_in_short():
    """160 units of time in Runge-Kutta steps of 0.02."""
    found = dynamics.lyapunov_spectrum(runge_kutta(lorenz, 0.02), np.ones(3), n_steps=8000, warm_up=1000)
    np.testing.assert_allclose(found.exponents / 0.02, [0.9056, 0, -14.572], atol=0.12)
    assert (np.abs(found.exponents / 0.02 - [0.9056, 0, -14.572]) < 4 * found.standard_errors / 0.02).all()
    assert found.exponents.sum() / 0.02 == pytest.approx(-41 / 3, abs=5e-3)


@pytest.mark.parametrize("gain", [2.0, 2.5])
def test_random_networks_by_mean_field(gain):
    """x' = J tanh(x): 1/2 ln chi, at N = 400 within 6 % over three networks, by either way."""
    n, rng, found = 400, np.random.default_rng(0), []
    for seed in range(3):
        w = torch.from_numpy(rng.normal(0, gain / np.sqrt(n), (n, n)))
        start = rng.normal(size=(1, n))
        flow = dynamics.Flow(lambda x, w=w: w @ torch.tanh(x), n)
        found.append(dynamics.lyapunov_spectrum(flow, start[0], 1, 600, 100).exponents[0])
        assert dynamics.leading_exponents(flow, start, 600, 100, seed) == pytest.approx(found[-1], abs=0.01)
    assert np.mean(found) == pytest.approx(theory.mean_field_map(gain).lyapunov, rel=0.06)


def test_a_rotation_has_no_exponents_but_zero():
    turn = torch.from_numpy(np.linalg.qr(np.random.default_rng(0).normal(size=(20, 20)))[0])
    found = dynamics.lyapunov_spectrum(lambda s: turn @ s, np.ones(20), n_steps=200, warm_up=100)
    np.testing.assert_allclose(found.exponents, 0, atol=1e-12)
    assert found.standard_errors.max() < 1e-12


@pytest.mark.slow
def test_lorenz():
    """Runge-Kutta steps of 0.01: exponents .9056, 0, -14.572 per unit time; their sum is the divergence."""
    found = dynamics.lyapunov_spectrum(runge_kutta(lorenz, 0.01), np.ones(3), n_steps=40_000, warm_up=2000)
    np.testing.assert_allclose(found.exponents / 0.01, [0.9056, 0, -14.572], atol=0.05)
    assert found.exponents.sum() / 0.01 == pytest.approx(-41 / 3, abs=1e-3)
    assert found.kaplan_yorke_dimension == pytest.approx(2.062, abs=0.005)


# -- the verdict of chaos -----------------------------------------------------------------------------


def networks(gain, n, map="closed", size=50):
    rng = np.random.default_rng(0)
    return [tanh_flow(rng.normal(0, gain / np.sqrt(size), (size, size)), map) for _ in range(n)]


def test_many_exponents_at_once():
    flow = networks(2.5, 1)[0]
    starts = np.random.default_rng(0).normal(size=(4, 50))
    found = dynamics.leading_exponents(flow, starts, 1000, 200)
    one = dynamics.lyapunov_spectrum(flow, starts[0], 1, n_steps=1000, warm_up=200)
    assert found.shape == (4,) and abs(found[0] - one.exponents[0]) < 4 * one.standard_errors[0] + 0.01


def test_verdicts_by_the_rule():
    starts = np.random.default_rng(0).normal(size=(10, 50))
    how = {"n_steps": 200, "warm_up": 100}
    wild = dynamics.chaos_verdict(networks(2.5, 5), starts, **how)
    assert wild.chaotic is True and wild.low > 0.05 and wild.exponents.shape == (5, 10)
    assert wild.low < wild.exponents.mean() < wild.high
    calm = dynamics.chaos_verdict(networks(0.7, 5), starts, **how)
    assert calm.chaotic is False and calm.high < 0
    mixed = dynamics.chaos_verdict(networks(2.5, 3) + networks(0.5, 3), starts, **how)
    assert mixed.chaotic is None and "not identifiable" in mixed.reason


def twist(rate):
    """Each circle turns by its own angle: bounded, integrable, and tangent vectors grow in proportion to time."""

    def step(z):
        angle = rate * z.norm()
        c, s = torch.cos(angle), torch.sin(angle)
        return torch.stack([c * z[0] - s * z[1], s * z[0] + c * z[1]])

    return step


def cycle(gain):
    """A limit cycle about the origin."""
    turn = gain * torch.tensor([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    return lambda z: torch.tanh(turn @ z)


def grown(rate):
    return lambda s: rate * s


START = np.random.default_rng(0).uniform(0.5, 1, (10, 2))
RUNS_AWAY = {
    "overflow, finite tangents": [lambda s: torch.relu(3 * s)] * 5,
    "overflow": [lambda s: s**2 + 2] * 5,
    "linear": [grown(rate) for rate in np.linspace(2, 2.4, 5)],
    "slow": [lambda s: torch.relu(1.05 * s)] * 5,
    "drift": [lambda s: torch.stack([s[0] + 1, 3.9 * s[1] * (1 - s[1])])] * 5,
}


@pytest.mark.parametrize("n_steps", [200, 600])
@pytest.mark.parametrize("flows", RUNS_AWAY)
def test_orbits_without_bound_get_no_verdict(flows, n_steps):
    found = dynamics.chaos_verdict(RUNS_AWAY[flows], 0.9 * START, n_steps, 100)
    assert found.chaotic is None and "not bounded" in found.reason and found.map == "own"


@pytest.mark.parametrize("lengths", [(1000, 500), (300, 0), (300, 1000)])
def test_growth_by_a_power_of_time_is_no_chaos(lengths):
    found = dynamics.chaos_verdict([twist(rate) for rate in np.linspace(1, 1.4, 5)], START, *lengths)
    assert found.chaotic is None and found.low > 0


def test_growth_that_fades_is_no_chaos():
    """An exponent of .06 in the first half of the run, none in the second."""

    def step(s):
        clock = s[0] + 1
        rate = torch.where(clock < 101, 0.12, 0.0)
        return torch.stack(
            [torch.minimum(clock, clock * 0 + 102), torch.remainder(s[1] * torch.exp(rate), 1.0)]
        )

    found = dynamics.chaos_verdict([step] * 5, START * [0, 1], 200, 0)
    assert found.chaotic is None and "fades" in found.reason and found.low > 0.05


def test_cycles_are_no_chaos_and_known_chaos_is():
    turning = dynamics.chaos_verdict([cycle(1.2 + 0.1 * i) for i in range(5)], START, 400, 100)
    assert turning.chaotic is None and turning.high < 0.005
    for flow, starts in ((henon, 0.1 * START), (runge_kutta(lorenz, 0.02), np.ones((10, 3)) * START[:, :1])):
        found = dynamics.chaos_verdict([flow] * 5, starts, 1000, 200)
        assert found.chaotic is True, found.reason


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_map_that_annihilates_is_not_chaotic():
    found = dynamics.chaos_verdict([grown(0.5)] * 4 + [grown(0.0)], START, 100, 50)
    assert (
        found.chaotic is False
        and found.high == pytest.approx(np.log(0.5))
        and found.exponents.min() == -np.inf
    )
    assert dynamics.chaos_verdict([grown(0.0)] * 5, START, 100, 50).chaotic is False
    mixed = dynamics.chaos_verdict([henon] * 4 + [grown(0.0)], 0.1 * START, 100, 50)
    assert mixed.chaotic is None and "not identifiable" in mixed.reason


def test_starts_of_another_shape_are_refused():
    for flows, starts in (([henon] * 5, np.ones(2)), ([henon] * 5, np.ones((3, 10, 2))), ([], START)):
        with pytest.raises(CortseqError, match=r"starts are|no flows"):
            dynamics.chaos_verdict(flows, starts)


@pytest.mark.parametrize(
    ("n", "map", "starts", "reason"),
    [(5, "open", 10, "open map"), (4, "closed", 10, "4 seeds"), (5, "closed", 9, "9 starts")],
)
def test_no_verdict_on_too_little(n, map, starts, reason):
    found = dynamics.chaos_verdict(networks(2.5, n, map), np.ones((starts, 50)), 60, 20)
    assert found.chaotic is None and reason in found.reason and found.exponents.min() > 0


def test_a_few_seeds_can_be_calm_but_not_chaotic():
    starts = np.random.default_rng(0).normal(size=(10, 50))
    calm = dynamics.chaos_verdict(networks(0.7, 3), starts, 200, 100)
    assert calm.chaotic is False and "each of 3 seeds" in calm.reason
    for flows in (networks(0.7, 2), networks(0.7, 2) + networks(2.5, 1), networks(2.5, 4)):
        found = dynamics.chaos_verdict(flows, starts, 200, 100)
        assert found.chaotic is None and f"{len(flows)} seeds" in found.reason


def test_twins_of_a_deterministic_map_part_at_its_exponent():
    states = [np.zeros(2)]
    for _ in range(400):
        states.append(henon(torch.from_numpy(states[-1])).numpy())
    found = dynamics.twin_divergence(lambda seed: henon, np.array(states[100::4]), 1e-9, 30)
    assert found.slope == pytest.approx(0.4192, rel=0.1)
    assert found.distances.shape == (76, 31) and (found.distances[:, 0] == 1e-9).all()


def test_twins_share_their_noise():
    """s' = 0.8 s + noise: the noise cancels exactly."""

    def flow_of(seed):
        generator = torch.Generator().manual_seed(seed)
        return lambda s: 0.8 * s + torch.randn(3, generator=generator, dtype=s.dtype)

    found = dynamics.twin_divergence(flow_of, np.zeros((5, 3)), 1e-3, 40)
    assert found.slope == pytest.approx(np.log(0.8), abs=1e-6)
    met = dynamics.twin_divergence(lambda seed: lambda s: 0 * s, np.ones((5, 3)), 1e-3, 10)
    assert met.slope == -np.inf


def test_twins_of_a_fitted_sampled_map(any_recording):
    """A contracting network: common draws bring the twins together."""
    fit = untrained(models.Rate(hidden=6, gain=0.3, leak=1.0), any_recording)
    starts = 0.1 * np.ones((5, fit.flow(0, "sampled").dim))
    found = dynamics.twin_divergence(lambda seed: fit.flow(0, "sampled", seed=seed), starts)
    assert np.median(found.distances[:, -1]) < 1e-8 and (found.slope < -0.3)


def test_the_disc_of_a_matrix_whose_rows_and_columns_differ():
    """Entries r_i g_ij c_j fill a disc of R^2 = sum_i r_i^2 c_i^2 about the mean of the diagonal; signs with a mean shift nothing."""
    rng = np.random.default_rng(0)
    n = 500
    rows, columns = rng.uniform(0.3, 1.7, (2, n)) / n**0.25
    w = rows[:, None] * rng.normal(size=(n, n)) * columns
    np.fill_diagonal(w, 0.7)
    centre, radius = dynamics.predicted_disc(w)
    assert centre == pytest.approx(0.7)
    assert radius == pytest.approx(np.sqrt((rows**2 * columns**2).sum()), rel=0.05)
    assert np.abs(np.linalg.eigvals(w) - 0.7).max() == pytest.approx(radius, rel=0.06)
    signs = np.where(np.arange(n) < 400, 1, -1)
    shifted = dynamics.predicted_disc(w + 0.1 * signs, signs)[1]
    assert shifted == pytest.approx(radius, rel=0.02)


def test_a_wide_spectrum_equals_reflections_at_every_step():
    """Frames are renewed at fewer steps, by Cholesky's factor, and the exponents stay the same."""
    n, steps, warm_up = 40, 300, 50
    rng = np.random.default_rng(3)
    weights = torch.from_numpy(2.0 * rng.normal(size=(n, n)) / np.sqrt(n))
    state = torch.from_numpy(rng.normal(size=n))

    def push(h, vectors):
        rate = torch.tanh(h)
        return weights @ rate, weights @ ((1 - rate**2)[:, None] * vectors)

    flow = dynamics.Flow(lambda h: weights @ torch.tanh(h), n, push=push)
    found = dynamics.lyapunov_spectrum(flow, state, None, steps, warm_up, seed=1).exponents
    frame = torch.linalg.qr(torch.from_numpy(np.random.default_rng(1).normal(size=(n, n))))[0]
    logs = []
    for _ in range(warm_up + steps):
        state, image = push(state, frame)
        frame, r = torch.linalg.qr(image)
        logs.append(r.diagonal().abs().log().numpy())
    expected = np.sort(np.mean(logs[warm_up:], 0))[::-1]
    assert expected[0] - expected[-1] > 4
    np.testing.assert_allclose(found, expected, atol=1e-7)
