"""Echo states, memory capacity, gradients and decoding against answers known in closed form."""

import numpy as np
import pytest
import torch
from scipy.linalg import solve_discrete_lyapunov
from scipy.optimize import brentq
from untrained import every_flowing, untrained

from cortseq import dynamics, models, recording
from cortseq.dynamics import similarity
from cortseq.errors import CortseqError


def scaled(rng, n, radius):
    w = rng.normal(size=(n, n))
    return w * radius / dynamics.spectral_radius(w)


def silent(n_time, n_trials=1):
    """A recording without spikes: networks run freely on it."""
    return recording.from_counts(np.zeros((n_trials, n_time, 1), int), bin_width=0.02)


# -- echo state ---------------------------------------------------------------------------------------


def linear(w):
    w = torch.as_tensor(w)
    return lambda s, x: w @ s + x


def tanh(w):
    w = torch.as_tensor(w)
    return lambda s, x: torch.tanh(w @ s + x)


@pytest.mark.parametrize(("radius", "holds"), [(0.97, True), (1.03, False)])
def test_the_radius_decides_for_a_linear_reservoir(radius, holds):
    rng = np.random.default_rng(0)
    w = scaled(rng, 20, radius)
    found = dynamics.echo_state_test(linear(w), rng.normal(size=(400, 1)), rng.normal(size=(20, 20)))
    assert found.holds is holds
    assert found.slope == pytest.approx(np.log(radius), abs=2e-3)
    assert found.distance == found.distances[-1] and len(found.distances) == 401
    assert dynamics.echo_state_bounds(w).necessary is holds


@pytest.mark.parametrize("factor", [1.0, 0.995, 0.9])
def test_only_a_contraction_within_reach_holds(factor):
    """400 steps reach rates beyond ln(400)/400 = 0.015: an isometry and ln(0.995) = -0.005 stay undecided."""
    angle, drive = 0.7, np.random.default_rng(0).normal(size=(400, 2))
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    starts = np.random.default_rng(1).normal(size=(20, 2))
    for isometry in (rotation, np.eye(2), np.fliplr(np.eye(2))):
        found = dynamics.echo_state_test(linear(factor * isometry), drive, starts)
        assert found.holds is (factor == 0.9)
        assert found.slope == pytest.approx(np.log(factor), abs=1e-12)
    longer = dynamics.echo_state_test(linear(0.995 * rotation), np.tile(drive, (5, 1)), starts)
    assert longer.holds  # ln(2000)/2000 = 0.0038


def test_a_nilpotent_reservoir_forgets_whatever_its_norm():
    w = np.array([[0.0, 7.0], [0.0, 0.0]])
    rng = np.random.default_rng(0)
    found = dynamics.echo_state_test(linear(w), rng.normal(size=(30, 2)), rng.normal(size=(20, 2)))
    assert found.holds and found.slope == -np.inf and found.distance == 0
    bounds = dynamics.echo_state_bounds(w)
    assert bounds.sigma_max == pytest.approx(7) and bounds.radius < 1e-8
    assert bounds.necessary and not bounds.sufficient


def test_a_radius_below_one_does_not_suffice_for_tanh():
    """Input holds the second unit at 1, and the first is left with h = tanh(a h), a > 1."""
    a, b = 1.6, 1.65
    w = np.array([[a, b], [-b, -a]])
    starts = np.random.default_rng(0).uniform(-1, 1, (20, 2))
    held = dynamics.echo_state_test(tanh(w), np.tile([-b, 9.0], (200, 1)), starts)
    assert dynamics.echo_state_bounds(w).radius == pytest.approx(np.sqrt(b * b - a * a))
    assert held.slope < -0.5 and not held.holds
    assert held.distance == pytest.approx(2 * brentq(lambda h: np.tanh(a * h) - h, 0.1, 1), abs=1e-3)
    assert dynamics.echo_state_test(tanh(w), np.zeros((200, 2)), starts).holds


def test_drive_restores_the_echo_state():
    rng = np.random.default_rng(0)
    w, into = rng.normal(0, 1.4 / np.sqrt(120), (120, 120)), rng.normal(size=120)
    starts, u = rng.normal(size=(20, 120)), rng.normal(size=(300, 1))
    quiet = dynamics.echo_state_test(tanh(w), 0 * u * into, starts)
    driven = dynamics.echo_state_test(tanh(w), 6 * u * into, starts)
    assert not quiet.holds and quiet.slope > 0 and quiet.distance > 5
    assert driven.holds and driven.slope < -0.3 and driven.distance < 1e-12


def test_the_sufficient_bound_suffices():
    rng = np.random.default_rng(0)
    w = rng.normal(size=(15, 15))
    w *= 0.9 / np.linalg.norm(w, 2)
    bounds = dynamics.echo_state_bounds(w, leak=0.5)
    assert bounds.sufficient and bounds.necessary
    assert bounds.radius == pytest.approx(np.abs(0.5 + 0.5 * np.linalg.eigvals(w)).max())
    assert not dynamics.echo_state_bounds(w, slope=1.2).sufficient
    for scale in (0, 0.1, 3):
        u = scale * rng.normal(size=(200, 15))
        assert dynamics.echo_state_test(tanh(w), u, rng.normal(size=(20, 15))).holds


def test_echo_state_of_a_fit(any_recording):
    few = dynamics.echo_state_of_fit(
        untrained(models.Esn(hidden=20, radius=0.6), any_recording), any_recording
    )
    assert few.holds and few.slope < np.log(0.75)
    wild = untrained(models.Esn(hidden=60, radius=4.0, leak=1.0), any_recording)
    assert not dynamics.echo_state_of_fit(wild, any_recording).holds


def test_echo_state_faults():
    with pytest.raises(CortseqError, match="at least 20"):
        dynamics.echo_state_test(linear(np.eye(2)), np.zeros((5, 2)), np.eye(2))
    with pytest.raises(CortseqError, match="different"):
        dynamics.echo_state_test(linear(np.eye(2)), np.zeros((50, 2)), np.ones((3, 2)))


# -- memory capacity ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "r"), [(8, 0.8), (12, 0.95)])
def test_capacity_of_a_cyclic_reservoir(n, r):
    found = dynamics.memory_capacity(r * np.roll(np.eye(n), 1, 0), np.eye(n)[0], 6 * n, 40_000)
    assert found.total == pytest.approx(n - 1 + r ** (2 * n), abs=0.08)
    np.testing.assert_allclose(found.per_lag[: n - 1], 1 - r ** (2 * n), atol=0.01)
    assert found.total == found.per_lag.sum() and len(found.per_lag) == 6 * n


def test_capacity_of_a_delay_line():
    found = dynamics.memory_capacity(np.eye(6, k=-1), np.eye(6)[0], 12, 4000)
    np.testing.assert_allclose(found.per_lag, np.arange(1, 13) <= 5, atol=2e-3)
    np.testing.assert_allclose(found.per_lag[:5], 1, atol=1e-12)
    assert 0 < found.null < 2e-3


def theory(a, b, lags):
    """b_k' C^-1 b_k with b_k = A^k b and C the covariance of the state."""
    c = solve_discrete_lyapunov(a, np.outer(b, b))
    return np.array([v @ np.linalg.solve(c, v) for v in (np.linalg.matrix_power(a, k) @ b for k in lags)])


def test_capacity_of_a_leaky_reservoir():
    rng = np.random.default_rng(3)
    w, into = scaled(rng, 5, 0.8), rng.normal(size=5)
    found = dynamics.memory_capacity(w, into, 20, 40_000, leak=0.6)
    expected = theory(0.4 * np.eye(5) + 0.6 * w, 0.6 * into, range(1, 21))
    np.testing.assert_allclose(found.per_lag, expected, atol=0.02)


def test_capacity_of_an_orthogonal_reservoir():
    rng = np.random.default_rng(0)
    w = 0.98 * np.linalg.qr(rng.normal(size=(30, 30)))[0]
    into = rng.normal(size=30)
    found = dynamics.memory_capacity(w, into, 120, 10_000)
    assert 28.1 < found.total < 29.1
    saturated = dynamics.memory_capacity(w, into, 120, 10_000, nonlinearity="tanh")
    assert saturated.total < found.total - 10
    again = dynamics.memory_capacity(w, into, 120, 10_000)
    assert np.array_equal(again.per_lag, found.per_lag)


def test_capacity_of_nothing_is_zero():
    """States that know only the last input: what chance finds is taken off."""
    found = dynamics.memory_capacity(np.zeros((40, 40)), np.ones(40), 200, 2000)
    assert found.total < 0.2


def test_capacity_faults():
    with pytest.raises(CortseqError, match="finite"):
        dynamics.memory_capacity(2 * np.eye(2), np.ones(2), 3, 500)
    with pytest.raises(CortseqError, match="2 values"):
        dynamics.memory_capacity(np.eye(2), np.ones(3), 3, 500)
    with pytest.raises(CortseqError, match="n_steps"):
        dynamics.memory_capacity(np.eye(2), np.ones(2), 100, 300)


# -- gradients ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", every_flowing(), ids=lambda m: m.family)
def test_gradients_equal_autograd(model, any_recording):
    lags, trials = [0, 1, 3, 6], [4, 2]
    fit = untrained(model, any_recording, members=2)
    found = dynamics.gradient_norms(fit, any_recording, lags, trials)
    assert found.shape == (2, 2, 4) and found.dtype == np.float64
    assert (found[..., 0] == 1).all()
    for member in range(2):
        loop = dynamics.driven(fit, any_recording, member, trials)
        for trial, t in enumerate(loop.last):
            for i, k in enumerate(lags):
                if k > t:
                    assert np.isnan(found[member, trial, i])
                    continue

                def run(s, trial=trial, t=t, k=k, loop=loop):
                    for x in loop.inputs[trial, t - k : t]:
                        s = loop.step(s, x)
                    return s

                start = loop.states[trial, t - k]
                np.testing.assert_allclose(run(start), loop.states[trial, t], atol=1e-12)
                whole = torch.autograd.functional.jacobian(run, start)
                assert found[member, trial, i] == pytest.approx(
                    float(torch.linalg.matrix_norm(whole, 2)), rel=1e-10
                )


def vanilla(n, gain, n_time, seed=0, n_trials=1):
    """A random tanh network that runs freely on a silent recording, from a start of its own."""
    rng = np.random.default_rng(seed)
    w = rng.normal(0, gain / np.sqrt(n), (n, n))
    nothing = silent(n_time, n_trials)
    model = models.Rate(hidden=n, leak=1.0)
    given = {"recurrent": w, "input_weight": np.zeros((n, 1)), "start": rng.normal(size=n)}
    return untrained(model, nothing, **given), nothing, w


def test_slope_of_vanishing_gradients():
    """At rest the Jacobian is W: the slope is ln of its radius, and sigma_max^k bounds every norm."""
    fit, nothing, w = vanilla(40, 0.45, 300)
    lags = np.arange(0, 150, 5)
    norms = dynamics.gradient_norms(fit, nothing, lags)
    reach = dynamics.gradient_reach(norms, lags)
    assert reach.slope[0, 0] == pytest.approx(np.log(dynamics.spectral_radius(w)), rel=0.02)
    assert (norms[0, 0] <= np.linalg.norm(w, 2) ** lags * (1 + 1e-9)).all() and np.linalg.norm(w, 2) < 1
    assert reach.vanishing.tolist() == [1] and reach.exploding.tolist() == [0]
    exponent = dynamics.conditional_exponents(fit, nothing)
    assert exponent[0, 0] == pytest.approx(reach.slope[0, 0], rel=0.05)


def test_slope_of_exploding_gradients_is_the_exponent():
    fit, nothing, _ = vanilla(80, 3.0, 700)
    lags = np.arange(0, 600, 50)
    reach = dynamics.gradient_reach(dynamics.gradient_norms(fit, nothing, lags), lags)
    flow = fit.flow(0, "open")
    exponent = dynamics.lyapunov_spectrum(flow, np.ones(80), 1, n_steps=2000, warm_up=200).exponents[0]
    assert exponent > 0.2
    assert reach.slope[0, 0] == pytest.approx(exponent, rel=0.1)
    assert dynamics.conditional_exponents(fit, nothing)[0, 0] == pytest.approx(exponent, rel=0.1)
    assert reach.exploding.tolist() == [1] and reach.horizon[0, 0] == np.inf


def test_frobenius_growth_of_a_random_network():
    """|J|_F^2 / n = chi = g^2 <phi'^2> at the mean-field variance Delta = g^2 <tanh^2>."""
    gain, n = 1.7, 400
    z, weight = np.polynomial.hermite_e.hermegauss(80)
    weight = weight / weight.sum()
    delta = 1.0
    for _ in range(500):
        delta = gain**2 * weight @ np.tanh(np.sqrt(delta) * z) ** 2
    chi = gain**2 * weight @ (1 - np.tanh(np.sqrt(delta) * z) ** 2) ** 2
    fit, nothing, _ = vanilla(n, gain, 60)
    found = dynamics.gradient_norms(fit, nothing, [1, 2], norm="frobenius")[0, 0]
    np.testing.assert_allclose(found[0] ** 2 / n, chi, rtol=0.05)
    np.testing.assert_allclose(found[1] ** 2 / n, chi**2, rtol=0.12)


@pytest.mark.parametrize("bias", [0.0, 2.0, 3.0])
def test_constant_error_carousel(bias):
    """Without recurrent weights and with the input gate shut, c_t = f^t c_0."""
    n = 3
    f, start = 1 / (1 + np.exp(-bias)), np.array([0.3, -1.0, 0.7])
    nothing = silent(120, 2)
    fit = untrained(
        models.Lstm(hidden=n),
        nothing,
        recurrent=np.zeros((4 * n, n)),
        input_weight=np.zeros((4 * n, 1)),
        bias=np.repeat([-60.0, bias, 0.0, 0.4], n),
        start=np.concatenate([np.zeros(n), start]),
    )
    lags = np.arange(0, 100, 7)
    direct = dynamics.forget_path_norms(fit, nothing, lags)
    np.testing.assert_allclose(direct, np.broadcast_to(f**lags, (1, 2, len(lags))), rtol=1e-12)
    horizon = dynamics.gradient_reach(direct, lags).horizon
    np.testing.assert_allclose(horizon, -1 / np.log(f))
    full = dynamics.gradient_norms(fit, nothing, lags[1:])
    slope = 1 / (1 + np.exp(-0.4)) / np.cosh(f**119 * start) ** 2  # dh_t/dc_t, the states before bin 119
    np.testing.assert_allclose(full[0, 0], f ** lags[1:] * np.sqrt(1 + slope**2).max(), rtol=1e-9)


def test_an_open_forget_gate_never_forgets():
    nothing = silent(100)
    fit = untrained(models.Lstm(hidden=2, forget_bias=60.0), nothing)
    fit.params["input_weight"].zero_()
    fit.params["recurrent"].zero_()
    assert (dynamics.forget_path_norms(fit, nothing, [0, 1, 50, 99]) == 1).all()
    with pytest.raises(CortseqError, match="forget gate"):
        dynamics.forget_path_norms(untrained(models.Rate(hidden=2), nothing), nothing, [1])


def test_reach_of_known_norms():
    lags = np.array([1, 2, 4, 8, 16])
    norms = np.stack([np.exp(-lags / 5.0), np.exp(lags / 2.0), np.ones(5), np.zeros(5)])[None]
    found = dynamics.gradient_reach(norms, lags, factor=10)
    np.testing.assert_allclose(found.horizon[0], [5, np.inf, np.inf, 1])
    np.testing.assert_allclose(found.slope[0, :3], [-0.2, 0.5, 0], atol=1e-12)
    assert found.vanishing.tolist() == [0.5] and found.exploding.tolist() == [0.25]
    with pytest.raises(CortseqError, match="whole numbers"):
        dynamics.gradient_reach(norms, [0.5])


# -- Lipschitz bound ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [
        models.Rate(hidden=6),
        models.Rate(hidden=6, leak=0.3, nonlinearity="relu", gain=2.0),
        models.Dale(hidden=6),
        models.LowRank(hidden=6, rank=2),
        models.Esn(hidden=20, leak=0.5, radius=1.3),
    ],
    ids=lambda m: m.family,
)
def test_no_step_exceeds_the_lipschitz_bound(model, any_recording):
    fit = untrained(model, any_recording, members=2)
    found = dynamics.lipschitz_bound(fit, any_recording)
    assert found.violations.tolist() == [0, 0] and (found.steps > 100).all()
    assert ((0.02 < found.ratio) & (found.ratio <= 1)).all()


def test_the_lipschitz_bound_is_reached():
    """One rectified unit with positive weights under rising input; and a wrong weight breaks the bound."""
    rising = recording.from_counts(np.arange(12)[None, :, None], bin_width=0.02)
    positive = {"recurrent": [[0.6]], "input_weight": [[0.8]], "bias": [0.1], "start": [0.0]}
    fit = untrained(models.Rate(hidden=1, leak=0.4, nonlinearity="relu"), rising, **positive)
    found = dynamics.lipschitz_bound(fit, rising)
    assert found.ratio[0] == pytest.approx(1, abs=1e-12) and found.violations[0] == 0
    np.testing.assert_allclose([found.by_state[0], found.by_input[0]], [0.6 + 0.4 * 0.6, 0.4 * 0.8])
    assert found.steps[0] == 10
    with pytest.raises(CortseqError, match="bound"):
        dynamics.lipschitz_bound(untrained(models.Lstm(hidden=2), rising), rising)


# -- decoding -----------------------------------------------------------------------------------------


def test_decoding_a_linear_reservoir_gives_its_capacity():
    rng = np.random.default_rng(0)
    n, trials, bins = 6, 40, 300
    w, into = scaled(rng, n, 0.85), rng.normal(size=n)
    u = rng.normal(size=(trials, bins))
    h = np.zeros((trials, bins, n))
    for t in range(1, bins):
        h[:, t] = h[:, t - 1] @ w.T + u[:, t, None] * into
    lags = [0, 1, 3, 6, 10]
    u[3, 50], h[5, 70] = np.nan, np.nan
    found = dynamics.decode_past(h, u, lags, range(30), range(30, 40))
    assert found.shape == (5, 1)
    np.testing.assert_allclose(found[:, 0], theory(w, into, lags), atol=0.03)
    future = dynamics.decode_past(h, np.stack([u, u**2], -1), [-2], range(30), range(30, 40))
    assert future.shape == (1, 2) and np.abs(future).max() < 0.01
    with pytest.raises(CortseqError, match="both"):
        dynamics.decode_past(h, u, [1], range(30), range(29, 40))
    with pytest.raises(CortseqError, match="300 bins"):
        dynamics.decode_past(h, u, [300], range(30), range(30, 40))


def test_decoding_a_cue():
    rng = np.random.default_rng(0)
    cue = np.array(["a", "b", "c"])[np.arange(240) % 3]
    x = rng.normal(size=(240, 3, 4))
    x[:, 1, 0] += np.arange(240) % 3 * 5.0
    x[:, 2] = 1.0  # says nothing
    found = dynamics.decode_cue(x, cue, range(160), range(160, 240))
    assert 0.35 < found[0] < 0.65 and found[1] > 0.95 and found[2] == 0.5
    assert np.isnan(dynamics.decode_cue(x, cue, range(160), [160])).all()


def test_a_cue_that_only_synapses_remember():
    """A cue raises two of four units for 0.2 s; then all units fire alike, and only u x differs."""
    rng = np.random.default_rng(0)
    trials, cue = 160, np.arange(160) % 2
    rates = np.full((trials, 30, 4), 0.15)
    rates[:, :10] += 2 * (np.arange(4) % 4 // 2 == cue[:, None, None])
    counts = recording.from_counts(rng.poisson(rates), bin_width=0.02)
    given = {"recurrent": np.zeros((4, 4)), "input_weight": np.eye(4), "bias": np.zeros(4)}
    fit = untrained(models.Stp(hidden=4, leak=1.0), counts, **given)
    found = dynamics.silent_memory(fit, counts, cue, range(80), range(80, 160))
    assert found.rates.shape == (1, 30)
    assert found.rates[0, 2:11].min() > 0.9
    assert abs(found.rates[0, 12:].mean() - 0.5) < 0.05
    assert found.efficacy[0, 3:25].min() > 0.9
    with pytest.raises(CortseqError, match="plastic"):
        dynamics.silent_memory(untrained(models.Rate(hidden=4), counts), counts, cue, [0, 1], [2, 3])


def test_facilitation_decays_at_the_rate_of_theory():
    """u returns to its steady state at 1/tau_fac + U r."""
    model, nothing = models.Stp(hidden=2, leak=1.0), silent(2)
    given = {"recurrent": np.zeros((2, 2)), "input_weight": np.zeros((2, 1)), "bias": np.full(2, 0.15)}
    flow = untrained(model, nothing, **given).flow(0, "open")
    state = torch.tensor([0.15, 0.15, 0.9, 0.9, 1.0, 1.0], dtype=torch.float64)
    u = []
    for _ in range(200):
        u.append(state[2:4].numpy())
        state = flow(state)
    use, fac, r = np.array([0.15, 0.45]), np.array([1.5, 0.2]), 20 * 0.15
    steady = use * (1 + fac * r) / (1 + use * fac * r)
    rate = -np.log((u[20] - steady) / (u[0] - steady)) / (20 * 0.02)
    np.testing.assert_allclose(rate, 1 / fac + use * r, rtol=1e-6)


def test_a_decoder_does_not_learn_trials_by_heart():
    """States that drift within each trial and know nothing of the targets: single bins left out between their
    neighbours choose too weak a penalty."""
    from sklearn.linear_model import RidgeCV

    rng = np.random.default_rng(1)
    states, target = (np.cumsum(rng.normal(size=(24, 60, n)), 1) / np.sqrt(60) for n in (100, 8))
    told = dynamics.decode_past(states, target, [0], range(16), range(16, 24))[0]
    x, y = states[:16].reshape(-1, 100), target[:16].reshape(-1, 8)
    by_bins = RidgeCV(alphas=np.asarray(dynamics.decoding.PENALTIES) * len(x)).fit(x, y)
    truth = target[16:].reshape(-1, 8)
    of_bins = similarity.explained(truth, by_bins.predict(states[16:].reshape(-1, 100)))[1]
    assert told.mean() > -0.2 and of_bins.mean() < -0.5


def test_ridge_equals_scikit_learn_at_the_penalty_it_chooses():
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV

    from cortseq.dynamics.ridge import ridge

    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(10), 20)
    x = rng.normal(size=(200, 6)) + rng.normal(size=(10, 6))[groups]
    x = (x - x.mean(0)) / x.std(0)
    y = x @ rng.normal(size=(6, 2)) + 4 * rng.normal(size=(200, 2)) + 3
    penalties = [1e-3, 1e-2, 0.1, 1.0]
    weight, intercept = ridge(x, y, penalties, groups)
    folds = [(np.flatnonzero(groups % 5 != f), np.flatnonzero(groups % 5 == f)) for f in range(5)]
    for k in range(2):
        # its penalty is not per row: rows of all folds are 160
        search = GridSearchCV(
            Ridge(), {"alpha": [160 * p for p in penalties]}, cv=folds, scoring="neg_mean_squared_error"
        ).fit(x, y[:, k])
        best = Ridge(alpha=200 / 160 * search.best_params_["alpha"]).fit(x, y[:, k])
        np.testing.assert_allclose(weight[k], best.coef_, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(intercept[k], best.intercept_, rtol=1e-9)
    alone = ridge(x, y, penalties, np.zeros(200))
    assert np.isfinite(alone[0]).all()


def test_a_unit_silent_in_training_does_not_speak_in_the_test():
    rng = np.random.default_rng(0)
    states = rng.normal(size=(20, 30, 3))
    target = states[..., 0] + 0.5 * rng.normal(size=(20, 30))
    states[..., 2] *= 1e-6
    states[18, 10, 2] = 1.0
    assert dynamics.decode_past(states, target, [0], range(16), range(16, 20)) > 0.6
