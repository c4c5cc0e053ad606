"""Linear dynamical systems against brute force: joint Gaussians, sums over counts, generic optimisers, known truths."""

import itertools

import numpy as np
import pytest
from scipy import optimize, stats

from cortseq import models
from cortseq import recording as rec
from cortseq.data import Data
from cortseq.errors import CortseqError
from cortseq.models.horizons import doubled
from cortseq.models.state_space import draws, em, kalman, latent
from cortseq.models.state_space.counts import Counts
from cortseq.models.state_space.signals import Signals
from cortseq.observations import distribution

Lds = models.find("lds")


def random_params(rng, n=2, features=3, inputs=0, decay=0.9):
    """Parameters of one member without a read-out's own."""

    def covariance():
        root = rng.normal(size=(n, n + 2))
        return 0.2 * root @ root.T / n

    turn = np.linalg.qr(rng.normal(size=(n, n)))[0]
    return {
        "transition": decay * turn,
        "offset": 0.1 * rng.normal(size=n),
        "drive": 0.5 * rng.normal(size=(n, inputs)),
        "noise": covariance(),
        "start_mean": rng.normal(size=n),
        "start_drive": 0.5 * rng.normal(size=(n, inputs)),
        "start_noise": covariance(),
        "loading": rng.normal(size=(features, n)),
        "level": 0.3 * rng.normal(size=features),
    }


def signal_fit(rng, skip, **more):
    """A model of signals, its parameters with the member axis, and made-up trials with gaps and ragged ends."""
    p = random_params(rng, **more)
    n = len(p["level"])
    p |= {"sd": rng.uniform(0.3, 0.8, n), "centre": rng.normal(size=n), "scale": rng.uniform(0.5, 2, n)}
    if skip:
        p["skip"] = rng.uniform(0.2, 0.7, n)
    valid = np.ones((4, 7), bool)
    valid[1, 5:], valid[2, 2], valid[3, [0, 3]] = False, False, False
    inputs = p["drive"].shape[1]
    u = rng.normal(size=(4, 7, inputs)) if inputs else None
    data = Data("signal", rng.normal(size=(4, 7, n)), valid, u, 0.1, n)
    return Lds(latents=len(p["offset"]), skip=skip), {k: v[None] for k, v in p.items()}, data


def joint(p, data, trial):
    """Mean (time * channel,) and covariance of the whole trial's standardised signal, built step by step.

    Everything is written as a linear map of independent standard normals: latents first, then channels.
    """
    time, n, channels = data.y.shape[1], len(p["offset"]), data.n_features
    skip = p.get("skip")
    seen = data.valid[trial]
    width = time * (n + channels)
    z_mean, z_map = np.zeros((time, n)), np.zeros((time, n, width))
    y_mean, y_map = np.zeros((time, channels)), np.zeros((time, channels, width))
    for t in range(time):
        noise = p["noise"] if t else p["start_noise"]
        move = p["transition"] if t else np.zeros((n, n))
        u = data.inputs[trial, t] if data.inputs is not None else np.zeros(0)
        own = p["offset"] + p["drive"] @ u if t else p["start_mean"] + p["start_drive"] @ u
        z_mean[t] = move @ z_mean[t - 1] + own
        z_map[t] = move @ z_map[t - 1]
        z_map[t][:, t * n : (t + 1) * n] += np.linalg.cholesky(noise)
        at = time * n + t * channels
        y_mean[t], y_map[t] = p["level"] + p["loading"] @ z_mean[t], p["loading"] @ z_map[t]
        follows = bool(t and seen[t - 1])
        if skip is not None and follows:
            y_mean[t] += skip * y_mean[t - 1]
            y_map[t] += skip[:, None] * y_map[t - 1]
        y_map[t][:, at : at + channels] += np.diag(p["sd"] if follows or skip is None else np.ones(channels))
    flat = y_map.reshape(-1, width)
    return y_mean.ravel(), flat @ flat.T


def conditional(p, data, trial, t, known):
    """log p(y_t | bins `known`) by conditioning the joint Gaussian."""
    mean, covariance = joint(p, data, trial)
    n = data.n_features
    y = (data.y[trial] - p["centre"]) / p["scale"]
    past = (
        np.concatenate([np.arange(s * n, (s + 1) * n) for s in known]).astype(int)
        if known
        else np.zeros(0, int)
    )
    now = np.arange(t * n, (t + 1) * n)
    gain = covariance[np.ix_(now, past)] @ np.linalg.inv(covariance[np.ix_(past, past)])
    m = mean[now] + gain @ (y.ravel()[past] - mean[past])
    s = covariance[np.ix_(now, now)] - gain @ covariance[np.ix_(past, now)]
    return stats.multivariate_normal(m, s).logpdf(y[t]) - np.log(p["scale"]).sum()


@pytest.mark.parametrize("inputs", [0, 2])
@pytest.mark.parametrize("skip", [False, True])
def test_every_bin_and_horizon_of_a_signal_equals_the_conditioned_joint_gaussian(skip, inputs):
    model, params, data = signal_fit(np.random.default_rng(0), skip, inputs=inputs)
    p = {k: v[0] for k, v in params.items()}
    horizons = [1, 2, 4]
    found = model.forecast(params, data, horizons)[0]
    for trial, t in np.argwhere(data.valid):
        for i, h in enumerate(horizons):
            if t < h - 1:
                assert np.isnan(found[trial, t, i])
                continue
            ahead = conditional(p, data, trial, t, [s for s in range(t - h + 1) if data.valid[trial, s]])
            assert found[trial, t, i] == pytest.approx(ahead, abs=1e-9)
    assert np.array_equal(model.log_prob(params, data)[0][data.valid], found[..., 0][data.valid])


def test_latents_given_a_whole_trial_equal_the_conditioned_joint_gaussian():
    """Means, covariances, and covariances of neighbours, the latent being taken as one more channel."""
    model, params, data = signal_fit(np.random.default_rng(1), False)
    p = {k: v[0] for k, v in params.items()}
    readout, _ = model._member(params, data)
    posterior = readout.posterior(p, data)
    n, time = len(p["offset"]), data.y.shape[1]
    wide = {
        **p,
        "loading": np.concatenate([p["loading"], np.eye(n)]),
        "level": np.append(p["level"], np.zeros(n)),
        "sd": np.append(p["sd"], np.full(n, 1e-9)),
    }
    more = Data("signal", np.zeros((4, time, 3 + n)), data.valid, None, 0.1, 3 + n)
    y = (data.y - p["centre"]) / p["scale"]
    for trial in range(4):
        mean, covariance = joint(wide, more, trial)
        index = np.arange(time * (3 + n)).reshape(time, -1)
        seen, hidden = index[data.valid[trial], :3].ravel(), index[:, 3:].ravel()
        gain = covariance[np.ix_(hidden, seen)] @ np.linalg.inv(covariance[np.ix_(seen, seen)])
        expected = mean[hidden] + gain @ (y[trial][data.valid[trial]].ravel() - mean[seen])
        spread = covariance[np.ix_(hidden, hidden)] - gain @ covariance[np.ix_(seen, hidden)]
        row = posterior.belief.row[trial]
        assert np.allclose(posterior.belief.mean[trial].ravel(), expected, atol=1e-8)
        for t in range(time):
            now, later = slice(t * n, (t + 1) * n), slice((t + 1) * n, (t + 2) * n)
            assert np.allclose(posterior.belief.covariance[row, t], spread[now, now], atol=1e-8)
            if t + 1 < time:
                between = posterior.gain[row, t] @ posterior.belief.covariance[row, t + 1]
                assert np.allclose(between, spread[now, later], atol=1e-8)


def test_the_likelihood_equals_dynamax():
    dynamax = pytest.importorskip("dynamax.linear_gaussian_ssm")
    import jax

    model, params, data = signal_fit(np.random.default_rng(2), False)
    p = {k: v[0] for k, v in params.items()}
    with jax.enable_x64(True):
        theirs = dynamax.LinearGaussianSSM(len(p["offset"]), data.n_features)
        made, _ = theirs.initialize(
            jax.random.PRNGKey(0),
            initial_mean=jax.numpy.array(p["start_mean"]),
            initial_covariance=jax.numpy.array(p["start_noise"]),
            dynamics_weights=jax.numpy.array(p["transition"]),
            dynamics_bias=jax.numpy.array(p["offset"]),
            dynamics_covariance=jax.numpy.array(p["noise"]),
            emission_weights=jax.numpy.array(p["loading"]),
            emission_bias=jax.numpy.array(p["level"]),
            emission_covariance=jax.numpy.diag(p["sd"] ** 2),
        )
        y = (data.y[0] - p["centre"]) / p["scale"]
        expected = (
            float(theirs.marginal_log_prob(made, jax.numpy.array(y)))
            - data.y.shape[1] * np.log(p["scale"]).sum()
        )
    assert model.log_prob(params, data)[0, 0].sum() == pytest.approx(expected, abs=1e-6)


# -- learning ----------------------------------------------------------------------------------------


def driven_latents(rng, p, trials, bins, u=None):
    z = np.zeros((trials, bins, len(p["offset"])))
    for t in range(bins):
        spread = np.linalg.cholesky(p["noise"] if t else p["start_noise"])
        drive, offset = (p["drive"], p["offset"]) if t else (p["start_drive"], p["start_mean"])
        z[:, t] = offset + rng.normal(size=z[:, t].shape) @ spread.T
        if t:
            z[:, t] += z[:, t - 1] @ p["transition"].T
        if u is not None:
            z[:, t] += u[:, t] @ drive.T
    return z


@pytest.mark.parametrize("skip", [False, True])
def test_em_of_signals_never_descends(skip):
    rng = np.random.default_rng(3)
    data = Data("signal", rng.normal(size=(6, 12, 3)).cumsum(1), rng.random((6, 12)) < 0.9, None, 0.1, 3)
    readout = Signals(1e-9, skip)  # the priors would change with the basis
    readout.measure(data)
    p, path, found = em.start(readout, data, 2), em.Path(readout, data, 2), []
    for _ in range(40):
        e = path.expected(p)
        found.append(e.log_prob)
        p = em.step(readout, p, e, path)
    assert np.diff(found).min() > -1e-6 and found[-1] > found[0] + 1
    readout.prior, found = 2.0, []
    for _ in range(40):  # in a basis that stays
        e = path.expected(p)
        found.append(e.objective)
        p = em.maximise(readout, p, e.parts)
    assert np.diff(found).min() > -1e-7 * abs(found[0]) and found[-1] > found[0]


def test_another_basis_is_the_same_model():
    rng = np.random.default_rng(4)
    model, params, data = signal_fit(rng, True, inputs=1)
    p = {k: v[0] for k, v in params.items()}
    moved = latent.in_basis(p, rng.normal(size=(2, 2)) + 2 * np.eye(2), rng.normal(size=2))
    other = {k: v[None] for k, v in moved.items()}
    assert np.allclose(
        model.log_prob(params, data)[0][data.valid], model.log_prob(other, data)[0][data.valid], atol=1e-9
    )


def test_a_system_of_signals_is_recovered_up_to_a_change_of_basis():
    rng = np.random.default_rng(5)
    truth = random_params(rng, n=2, features=8, inputs=1, decay=0.95)
    truth["transition"] = 0.95 * np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    truth["drive"] *= 2
    u = rng.normal(size=(200, 60, 1))
    z = driven_latents(rng, truth, 200, 60, u)
    y = z @ truth["loading"].T + truth["level"] + rng.normal(size=(200, 60, 8)) * 0.5
    recording = rec.from_signal(y, bin_width=0.1).assign(inputs=(("trial", "time", "input"), u))
    fit = Lds(latents=2, skip=False).fit(recording, range(140), range(140, 170))
    found = {k: v[0] for k, v in fit.params.items()}
    dynamics = fit.model.dynamics(fit.params, 0.1)
    expected = np.linalg.eigvals(truth["transition"])
    assert np.allclose(sorted(dynamics.eigenvalues, key=np.angle), sorted(expected, key=np.angle), atol=0.01)
    assert np.allclose(dynamics.time_constants, -0.1 / np.log(0.95), rtol=0.15)
    assert np.allclose(dynamics.frequencies, np.abs(np.angle(expected)) / (2 * np.pi * 0.1), atol=0.02)
    response = found["scale"][:, None] * found["loading"] @ found["drive"]
    assert np.allclose(response, truth["loading"] @ truth["drive"], atol=0.05)
    assert np.allclose(found["scale"] * found["sd"], 0.5, atol=0.03)
    assert np.allclose(
        found["loading"].T @ found["loading"],
        np.diag(np.diag(found["loading"].T @ found["loading"])),
        atol=1e-6,
    )


def test_missing_bins_and_ragged_ends_are_as_if_they_were_not_there():
    """What stands in a missing bin changes nothing, nor do bins after the end of a trial."""
    rng = np.random.default_rng(6)
    y = rng.normal(size=(12, 10, 3)).cumsum(1)
    valid = np.ones((12, 10), bool)
    valid[::3, 6:], valid[1::3, 4] = False, False
    found = []
    for fill, extra in ((0.0, 0), (1e3, 0), (0.0, 3)):
        filled = np.where(valid[..., None], y, fill)
        filled = np.concatenate([filled, np.full((12, extra, 3), fill)], 1)
        there = np.concatenate([valid, np.zeros((12, extra), bool)], 1)
        for track, skip in (("signal", False), ("signal", True), ("counts", False)):
            values = filled if track == "signal" else np.abs(filled).round()
            data = Data(track, values, there, None, 0.1, 3)
            fit = Lds(latents=2, skip=skip, iterations=4)
            learned = fit.learn(data.at(slice(0, 8)), data.at(slice(8, 12)), models.base.Run())
            scores = fit.log_prob(learned.params, data)[0][:, :10][valid]
            found.append((track, skip, scores))
    for (track, skip, scores), (_, _, other), (_, _, longer) in zip(
        found[:3], found[3:6], found[6:], strict=True
    ):
        assert np.allclose(scores, other, atol=1e-9), (track, skip)
        assert np.allclose(scores, longer, atol=1e-7), (track, skip)


# -- counts ------------------------------------------------------------------------------------------


def counts_fit(rng, observation="poisson", features=3, n_points=64, **more):
    p = random_params(rng, features=features, **more)
    p["loading"] = 0.6 * p["loading"]
    emission = distribution(observation)(features, 60)
    if emission.bounds is not None:
        p["dispersion"] = np.full(features, 0.4)
    p["points"] = draws.points(n_points, len(p["offset"]))
    valid = np.ones((3, 8), bool)
    valid[1, 6:], valid[2, [0, 3]] = False, False
    y = rng.poisson(1.0, (3, 8, features)).astype(float)
    data = Data("counts", y, valid, None, 0.02, features, observation, 60)
    return Lds(latents=2), {k: v[None] for k, v in p.items()}, data


@pytest.mark.parametrize("observation", ["poisson", "negative_binomial"])
def test_the_likeliest_path_equals_a_generic_optimisers(observation):
    rng = np.random.default_rng(7)
    model, params, data = counts_fit(rng, observation)
    readout, p = model._member(params, data)
    posterior = readout.posterior(p, data, enough=1e-10)
    offset = latent.offsets(p, data)

    def minus_log_joint(z, trial):
        z = z.reshape(offset[0].shape)
        bins = readout.distribution.from_eta(z @ p["loading"].T + p["level"], p)
        seen = readout.distribution.log_prob(bins, data.y[trial])[data.valid[trial]].sum()
        prior = stats.multivariate_normal(offset[trial, 0], p["start_noise"]).logpdf(z[0])
        steps = z[1:] - z[:-1] @ p["transition"].T - offset[trial, 1:]
        ends = data.lengths[trial] - 1  # bins after the end have no latent: their steps are free
        return -(
            seen + prior + np.sum(stats.multivariate_normal(np.zeros(2), p["noise"]).logpdf(steps[:ends]))
        )

    for trial in range(3):
        start = np.zeros(offset[0].size)
        theirs = optimize.minimize(minus_log_joint, start, (trial,), "BFGS", options={"gtol": 1e-7})
        length = data.lengths[trial]
        best = theirs.x.reshape(offset[0].shape)[:length]
        assert np.allclose(posterior.belief.mean[trial, :length], best, atol=1e-4)
        mode = posterior.belief.mean[trial]
        assert minus_log_joint(mode.ravel(), trial) <= theirs.fun + 1e-6


def test_laplaces_covariance_is_the_inverse_hessian():
    """Of all latents of a trial at once, by finite differences of the log joint density's gradient."""
    rng = np.random.default_rng(8)
    model, params, data = counts_fit(rng)
    readout, p = model._member(params, data)
    posterior = readout.posterior(p, data, enough=1e-12)
    offset, size = latent.offsets(p, data)[:1], 16
    first = data.at(slice(0, 1))
    y = first.y

    def joint_density(z):
        return readout._joint(p, first, y, z.reshape(1, 8, 2), offset)[0]

    z, step = posterior.belief.mean[0].ravel(), 1e-3
    hessian = np.zeros((size, size))
    for i, j in itertools.product(range(size), repeat=2):
        a, b = step * np.eye(size)[i], step * np.eye(size)[j]
        corners = joint_density(z + a + b) - joint_density(z + a - b) - joint_density(z - a + b)
        hessian[i, j] = (corners + joint_density(z - a - b)) / (4 * step**2)
    covariance = np.linalg.inv(-hessian)
    for t in range(8):
        block = covariance[2 * t : 2 * t + 2, 2 * t : 2 * t + 2]
        assert np.allclose(posterior.belief.covariance[0, t], block, atol=1e-3)


@pytest.mark.parametrize("observation", ["poisson", "negative_binomial", "generalised_poisson"])
def test_probabilities_of_all_counts_of_two_units_sum_to_one(observation):
    """One bin and three bins ahead, after a past."""
    rng = np.random.default_rng(9)
    model, params, _ = counts_fit(rng, observation, features=2)
    params = params | {"level": params["level"] - 2.5}
    if "dispersion" in params:
        params["dispersion"] = np.full((1, 2), 0.02)
    grid = np.array(list(itertools.product(range(80), repeat=2)), float)
    y = np.zeros((len(grid), 5, 2))
    y[:, :4] = [[1, 0], [0, 2], [3, 1], [0, 0]]
    y[:, 4] = grid
    data = Data("counts", y, np.ones(y.shape[:2], bool), None, 0.02, 2, observation)
    for total in np.exp(model.forecast(params, data, [1, 3])[0, :, 4]).sum(0):
        assert total == pytest.approx(1, abs=1e-9)
    p = np.exp(model.log_prob(params, data)[0, :, 4])
    assert np.allclose(p @ grid, model.predict(params, data)[0, 0, 4], atol=1e-7)


def test_the_draws_stand_for_the_integral():
    """Two latents: against Gauss-Hermite quadrature; the halves say how far off the draws are."""
    rng = np.random.default_rng(10)
    model, params, data = counts_fit(rng)
    readout, p = model._member(params, data)
    belief = readout.filtered(p, data).predicted
    nodes, weight = np.polynomial.hermite_e.hermegauss(40)
    both = np.array(list(itertools.product(nodes, repeat=2)))
    weights = np.outer(weight, weight).ravel() / weight.sum() ** 2
    exact = np.full(data.valid.shape, np.nan)
    for r, t in np.argwhere(data.valid):
        z = belief.mean[r, t] + both @ np.linalg.cholesky(belief.covariance[r, t]).T
        rate = np.exp(z @ p["loading"].T + p["level"])
        exact[r, t] = np.log(weights @ np.exp(stats.poisson.logpmf(data.y[r, t], rate).sum(1)))
    errors = {}
    for n in (64, 1024):
        points = p | {"points": draws.points(n, 2)}
        errors[n] = np.abs(readout.log_prob(points, data, belief) - exact)[data.valid]
        said = doubled(*readout.log_prob(points, data, belief, halves=True))[1][data.valid]
        assert said.mean() < 0.05
    assert errors[1024].max() < 0.05 and errors[1024].mean() < errors[64].mean() / 3


def test_the_filter_of_one_bin_is_the_mode_and_curvature_there():
    rng = np.random.default_rng(11)
    model, params, data = counts_fit(rng)
    readout, p = model._member(params, data)
    passed = readout.filtered(p, data)
    mean, covariance = passed.predicted.mean[0, 2], passed.predicted.covariance[0, 2]

    def minus(z):
        rate = np.exp(p["loading"] @ z + p["level"])
        away = z - mean
        return (rate - data.y[0, 2] * np.log(rate)).sum() + 0.5 * away @ np.linalg.solve(covariance, away)

    best = optimize.minimize(minus, mean, method="BFGS", options={"gtol": 1e-8}).x
    rate = np.exp(p["loading"] @ best + p["level"])
    precision = np.linalg.inv(covariance) + p["loading"].T @ (rate[:, None] * p["loading"])
    assert np.allclose(passed.updated.mean[0, 2], best, atol=1e-5)
    assert np.allclose(passed.updated.covariance[0, 2], np.linalg.inv(precision), atol=1e-5)


def test_where_counts_are_many_the_filter_is_kalmans():
    """Poisson counts of a high rate under a small latent are Gaussian in it: information adds up."""
    rng = np.random.default_rng(12)
    p = random_params(rng, n=1, features=4, decay=0.8)
    p |= {"level": np.full(4, 8.0), "loading": 0.02 * rng.normal(size=(4, 1)), "points": draws.points(64, 1)}
    z = driven_latents(rng, p, 5, 20)
    y = rng.poisson(np.exp(z @ p["loading"].T + 8)).astype(float)
    data = Data("counts", y, np.ones((5, 20), bool), None, 0.02, 4)
    counts = Counts(distribution("poisson")(4), 1.0).filtered(p, data)
    rate = np.exp(8.0)
    info = (rate * p["loading"].T @ p["loading"])[None]
    given = (y - rate) @ p["loading"]
    which, row = np.zeros((1, 20), int), np.zeros(5, int)
    exact = latent.filtered(p, latent.Evidence(info, which, given, row), latent.offsets(p, data))
    assert np.abs(counts.updated.mean - exact.updated.mean).max() < 0.1
    assert np.corrcoef(counts.updated.mean.ravel(), exact.updated.mean.ravel())[0, 1] > 0.999


@pytest.fixture(scope="module")
def teacher():
    """A Poisson system, a recording of it, and the system as a fit's parameters."""
    rng = np.random.default_rng(13)
    p = random_params(rng, n=2, features=10, decay=0.97)
    p |= {"noise": 0.05 * np.eye(2), "start_noise": 0.8 * np.eye(2), "offset": np.zeros(2)}
    p |= {"start_mean": np.zeros(2), "level": np.full(10, -0.7), "points": draws.points(256, 2)}
    p["loading"] = 0.8 * p["loading"]
    z = driven_latents(rng, p, 160, 60)
    y = rng.poisson(np.exp(z @ p["loading"].T + p["level"]))
    return rec.from_counts(y, bin_width=0.02), {k: v[None] for k, v in p.items()}


def bits(recording, trials, log_prob):
    return log_prob.sum() / recording["counts"].values[list(trials)].sum() / np.log(2)


def test_a_fitted_system_scores_as_its_teacher(teacher):
    recording, params = teacher
    roles = range(100), range(100, 120)
    test = range(120, 160)
    fit = Lds(latents=2).fit(recording, *roles)
    null = models.Null().fit(recording, *roles)
    data = Data.of(recording, test)
    truth = bits(recording, test, Lds(latents=2).log_prob(params, data))
    found = bits(recording, test, fit.log_prob(recording, test).values)
    blind = bits(recording, test, null.log_prob(recording, test).values)
    assert truth - blind > 0.15
    assert abs(found - truth) < 0.01
    assert np.allclose(np.abs(fit.model.dynamics(fit.params, 0.02).eigenvalues), 0.97, atol=0.03)
    assert fit.card["draw_error"] < 1e-3 and fit.card["draws"] == fit.params["points"].shape[1]


def test_independent_counts_give_no_gain():
    y = np.random.default_rng(14).poisson(0.5, (60, 40, 5))
    recording = rec.from_counts(y, bin_width=0.02)
    roles, test = (range(40), range(40, 50)), range(50, 60)
    gain = bits(recording, test, Lds(latents=2).fit(recording, *roles).log_prob(recording, test).values)
    gain -= bits(recording, test, models.Null().fit(recording, *roles).log_prob(recording, test).values)
    assert -0.02 < gain < 0.004


def test_samples_have_the_moments_that_are_predicted(teacher):
    """Mean counts of many draws of bin 0."""
    recording, _ = teacher
    fit = Lds(latents=2, iterations=3).fit(recording, range(100), range(100, 120))
    own = fit.simulate(3000, 4, seed=1)
    y = own["counts"].values
    expected = fit.predict(own).values[0, 0, 0]
    assert np.allclose(y[:, 0].mean(0), expected, atol=5 * y[:, 0].std(0) / np.sqrt(3000) + 0.01)


@pytest.mark.parametrize("skip", [False, True])
def test_free_runs_have_the_joint_moments(skip):
    """Means and covariances of all bins and channels of a trial, across bins too."""
    model, params, data = signal_fit(np.random.default_rng(4), skip)
    p = {k: v[0] for k, v in params.items()}
    whole = Data(
        "signal", np.zeros((1, 4, data.n_features)), np.ones((1, 4), bool), None, 0.1, data.n_features
    )
    mean, covariance = joint(p, whole, 0)
    shape = {"track": "signal", "n_inputs": 0, "n_features": data.n_features, "bin_width": 0.1}
    y = model.simulate(p, shape, 20_000, 4, np.random.default_rng(5))
    z = ((y - p["centre"]) / p["scale"]).reshape(len(y), -1)
    spread = np.sqrt(np.diag(covariance))
    assert np.allclose(z.mean(0), mean, atol=5 * spread.max() / np.sqrt(len(z)))
    assert np.allclose(np.cov(z.T), covariance, atol=8 * spread.max() ** 2 / np.sqrt(len(z)))


def test_inputs_drive_the_counts(teacher):
    rng = np.random.default_rng(15)
    p = {k: v[0] for k, v in teacher[1].items()}
    u = np.repeat(rng.normal(size=(160, 12, 1)), 5, 1)
    p |= {"drive": np.array([[0.4], [0.0]]), "start_drive": np.array([[0.4], [0.0]])}
    z = driven_latents(rng, p, 160, 60, u)
    y = rng.poisson(np.exp(z @ p["loading"].T + p["level"] - 1))
    recording = rec.from_counts(y, bin_width=0.02).assign(inputs=(("trial", "time", "input"), u))
    test = range(120, 160)
    seen, blind = (
        Lds(latents=2, inputs=inputs)
        .fit(recording, range(100), range(100, 120))
        .log_prob(recording, test)
        .values
        for inputs in (True, False)
    )
    assert bits(recording, test, seen) - bits(recording, test, blind) > 0.01


def test_fixed_points_are_standard_normal():
    for n, d in ((64, 3), (256, 16)):
        x = draws.points(n, d)
        assert np.allclose(x.mean(0), 0, atol=1e-12) and np.allclose(x.T @ x / n, np.eye(d), atol=1e-12)
    assert stats.kstest(draws.points(1024, 2)[:, 0], "norm").pvalue > 0.5


def test_labels_are_refused(symbols):
    assert not Lds().applies("symbols")
    with pytest.raises(CortseqError, match=r"counts and signals, not labels.*use hmm"):
        Lds().fit(symbols, range(20), range(20, 26))


def test_passes_without_evidence_are_the_prior():
    rng = np.random.default_rng(16)
    p = random_params(rng)
    which = np.full((1, 5), -1)
    law = p["transition"], p["noise"], p["start_noise"], np.zeros((1, 2, 2)), which
    predicted, updated, log_det = kalman.covariances(*law)
    assert np.allclose(predicted, updated) and not log_det.any()
    assert np.allclose(
        predicted[0, 1], p["transition"] @ p["start_noise"] @ p["transition"].T + p["noise"], atol=1e-12
    )


def test_counts_without_a_formula_are_refused(conway_maxwell):
    with pytest.raises(CortseqError, match=r"observation: conway_maxwell has no formula.*negative_binomial"):
        Lds().fit(conway_maxwell, range(20), range(20, 26))
