"""Switching linear dynamical systems against enumeration, brute-force integration, linear systems and known truths."""

import itertools

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from cortseq import models
from cortseq import recording as rec
from cortseq.data import Data
from cortseq.errors import CortseqError
from cortseq.models.state_space import draws, em, particles, regimes, switching, variational
from cortseq.models.state_space.seen import FEWEST
from cortseq.observations import emission_of

Lds, Slds = models.find("lds"), models.find("slds")


def covariance(rng, n):
    root = rng.normal(size=(n, n + 2))
    return 0.2 * root @ root.T / n


def random_params(rng, states=2, n=2, features=3, inputs=0, recurrent=False, n_particles=64):
    """Parameters of one member without a read-out's own."""
    chain = rng.dirichlet(np.ones(states), states + 1)
    p = {
        "initial": chain[0],
        "switch": chain[1:],
        "transition": np.stack([0.9 * np.linalg.qr(rng.normal(size=(n, n)))[0] for _ in range(states)]),
        "offset": 0.5 * rng.normal(size=(states, n)),
        "drive": 0.5 * rng.normal(size=(states, n, inputs)),
        "noise": np.stack([covariance(rng, n) for _ in range(states)]),
        "start_mean": rng.normal(size=n),
        "start_drive": 0.5 * rng.normal(size=(n, inputs)),
        "start_noise": covariance(rng, n),
        "loading": rng.normal(size=(features, n)),
        "level": 0.3 * rng.normal(size=features),
        "particles": np.array(float(n_particles)),
    }
    return p | ({"pull": rng.normal(size=(states, n))} if recurrent else {})


def signals(rng, skip, time=6, trials=4, **more):
    """A model of signals, its parameters with the member axis, and made-up trials with gaps and ragged ends."""
    p = random_params(rng, **more)
    n = len(p["level"])
    p |= {"sd": rng.uniform(0.3, 0.8, n), "centre": rng.normal(size=n), "scale": rng.uniform(0.5, 2, n)}
    if skip:
        p["skip"] = rng.uniform(0.2, 0.7, n)
    valid = np.ones((trials, time), bool)
    valid[1, time - 2 :], valid[2, 2], valid[3, [0, 3]] = False, False, False
    inputs = p["drive"].shape[2]
    u = rng.normal(size=(trials, time, inputs)) if inputs else None
    data = Data("signal", rng.normal(size=(trials, time, n)), valid, u, 0.1, n)
    model = Slds(latents=len(p["offset"][0]), states=len(p["offset"]), skip=skip, recurrent="pull" in p)
    return model, {k: v[None] for k, v in p.items()}, data


def given_sequence(p, data, trial, sequence):
    """Mean (time * channel,) and covariance of a trial's standardised signal, given its states, built step by step.

    Everything is written as a linear map of independent standard normals.
    """
    time, n, channels = data.y.shape[1], len(p["start_mean"]), data.n_features
    skip, seen, width = p.get("skip"), data.valid[trial], data.y.shape[1] * (n + data.n_features)
    z_mean, z_map = np.zeros((time, n)), np.zeros((time, n, width))
    y_mean, y_map = np.zeros((time, channels)), np.zeros((time, channels, width))
    for t in range(time):
        k = sequence[t - 1] if t else None
        u = data.inputs[trial, t] if data.inputs is not None else np.zeros(0)
        noise = p["start_noise"] if k is None else p["noise"][k]
        if k is None:
            z_mean[t] = p["start_mean"] + p["start_drive"] @ u
        else:
            z_mean[t] = p["transition"][k] @ z_mean[t - 1] + p["offset"][k] + p["drive"][k] @ u
            z_map[t] = p["transition"][k] @ z_map[t - 1]
        z_map[t][:, t * n : (t + 1) * n] += np.linalg.cholesky(noise)
        at, follows = time * n + t * channels, bool(t and seen[t - 1])
        y_mean[t], y_map[t] = p["level"] + p["loading"] @ z_mean[t], p["loading"] @ z_map[t]
        if skip is not None and follows:
            y_mean[t] += skip * y_mean[t - 1]
            y_map[t] += skip[:, None] * y_map[t - 1]
        y_map[t][:, at : at + channels] += np.diag(p["sd"] if follows or skip is None else np.ones(channels))
    flat = y_map.reshape(-1, width)
    return y_mean.ravel(), flat @ flat.T


def by_enumeration(p, data, trial, known):
    """log p(y of the bins `known`), summed over all sequences of states."""
    total, n = [], data.n_features
    y = ((data.y[trial] - p["centre"]) / p["scale"]).ravel()
    bins = np.concatenate([np.arange(t * n, (t + 1) * n) for t in known]) if known else np.zeros(0, int)
    for sequence in itertools.product(range(len(p["initial"])), repeat=data.y.shape[1] - 1):
        prior = np.log(p["initial"][sequence[0]])
        prior += sum(np.log(p["switch"][a, b]) for a, b in itertools.pairwise(sequence))
        mean, spread = given_sequence(p, data, trial, sequence)
        seen = (
            stats.multivariate_normal(mean[bins], spread[np.ix_(bins, bins)]).logpdf(y[bins]) if known else 0
        )
        total.append(prior + seen)
    return logsumexp(total) - len(known) * np.log(p["scale"]).sum()


@pytest.mark.parametrize("inputs", [0, 2])
@pytest.mark.parametrize("skip", [False, True])
def test_every_bin_and_horizon_of_a_signal_equals_the_sum_over_all_sequences(skip, inputs):
    model, params, data = signals(np.random.default_rng(0), skip, inputs=inputs)
    p = {k: v[0] for k, v in params.items()}
    horizons = [1, 2, 4]
    found = model.forecast(params, data, horizons)[0]
    for trial, t in np.argwhere(data.valid):
        for i, h in enumerate(horizons):
            if t < h - 1:
                assert np.isnan(found[trial, t, i])
                continue
            past = [s for s in range(t - h + 1) if data.valid[trial, s]]
            both, before = (by_enumeration(p, data, trial, bins) for bins in ([*past, t], past))
            assert found[trial, t, i] == pytest.approx(both - before, abs=1e-9)
    assert np.array_equal(model.log_prob(params, data)[0][data.valid], found[..., 0][data.valid])


def linear(params):
    """The parameters of the linear system that a switching one of a single state is."""
    own = {k: v[:, 0] if k in switching.OF_STATE else v for k, v in params.items()}
    return {k: v for k, v in own.items() if k not in (*switching.CHAIN, "particles")}


@pytest.mark.parametrize("skip", [False, True])
def test_one_state_is_a_linear_system(skip):
    model, params, data = signals(np.random.default_rng(1), skip, states=1, inputs=1, n_particles=4)
    alone, own = Lds(latents=2, skip=skip), linear(params)
    known = data.valid
    one, other = (m.forecast(p, data, [1, 2, 5])[0][known] for m, p in ((model, params), (alone, own)))
    assert np.allclose(one, other, atol=1e-9, equal_nan=True)
    one, other = (m.predict(p, data)[0][known] for m, p in ((model, params), (alone, own)))
    assert np.allclose(one, other, atol=1e-9)


@pytest.mark.parametrize("states", [2, 3])
def test_states_that_are_alike_are_a_linear_system(states):
    rng = np.random.default_rng(2)
    _, params, data = signals(rng, True, states=1, n_particles=4)
    own = linear(params)
    for recurrent, error in ((False, 1e-9), (True, 0.2)):
        p = switching.of_linear({k: v[0] for k, v in own.items()}, states, recurrent)
        same = {k: np.asarray(v)[None] for k, v in (p | {"particles": np.array(512.0)}).items()}
        model = Slds(latents=2, states=states, recurrent=recurrent)
        found = model.log_prob(same, data)[0][data.valid]
        assert np.allclose(found, Lds(latents=2).log_prob(own, data)[0][data.valid], atol=error)


# -- particles ---------------------------------------------------------------------------------------


def test_selection_keeps_large_weights_and_is_unbiased():
    rng = np.random.default_rng(3)
    weight = np.log(rng.dirichlet(np.full(12, 0.3), 5)) + 2.0
    total = np.zeros(weight.shape)
    grid = (np.arange(2000) + 0.5) / 2000
    for uniform in grid:
        kept, left = particles.branches.selected(weight, 5, uniform)
        assert all(len(set(row)) == 5 for row in kept)
        assert np.allclose(np.exp(left).sum(1), np.exp(weight).sum(1))
        np.add.at(total, (np.arange(5)[:, None], kept), np.exp(left))
    assert np.allclose(total / len(grid), np.exp(weight), atol=3e-3 * np.exp(2))


def test_more_particles_come_closer_to_all_sequences():
    """Nine bins have 256 sequences; with fewer particles some are left out."""
    rng = np.random.default_rng(4)
    model, params, data = signals(rng, False, time=9, trials=12)
    exact = model.log_prob(params | {"particles": np.array([256.0])}, data)[0][data.valid]
    p = {k: v[0] for k, v in params.items()}
    assert exact[:9].sum() == pytest.approx(by_enumeration(p, data, 0, list(range(9))), abs=1e-8)
    errors = [
        np.abs(
            model.log_prob(params | {"particles": np.array([float(n)])}, data)[0][data.valid] - exact
        ).mean()
        for n in (2, 8, 32)
    ]
    assert errors[0] > errors[1] > errors[2] and errors[2] < 0.02


def test_a_latent_that_decides_equals_integration_on_a_grid():
    """One latent, two states: the filter on a grid of the latent against points drawn from it."""
    rng = np.random.default_rng(5)
    model, params, data = signals(rng, False, n=1, features=1, recurrent=True, time=5, n_particles=1024)
    p = {k: v[0] for k, v in params.items()}
    p["pull"], p["offset"] = np.array([[-2.0], [2.0]]), np.array([[-0.5], [0.7]])
    grid, width = np.linspace(-8, 8, 1601, retstep=True)
    y = (data.y - p["centre"]) / p["scale"]

    def seen(trial, t):
        if not data.valid[trial, t]:
            return np.ones(len(grid))
        return stats.norm.pdf(y[trial, t, 0], p["level"][0] + p["loading"][0, 0] * grid, p["sd"][0])

    def step(k):
        mean = p["transition"][k, 0, 0] * grid + p["offset"][k, 0]
        return stats.norm.pdf(grid[None], mean[:, None], np.sqrt(p["noise"][k, 0, 0]))

    odds = p["switch"][:, None] * np.exp(grid[:, None] * p["pull"][:, 0])
    odds /= odds.sum(-1, keepdims=True)  # (from, latent, to)
    exact = np.full(data.valid.shape, np.nan)
    for trial in range(4):
        start = stats.norm.pdf(grid, p["start_mean"][0], np.sqrt(p["start_noise"][0, 0]))
        for t in range(5):
            if t == 0:
                density = start[None]
            elif t == 1:
                density = np.stack([(density[0] * p["initial"][k]) @ step(k) * width for k in (0, 1)])
            else:
                left = np.einsum("jz,jzk->kz", density, odds)
                density = np.stack([left[k] @ step(k) * width for k in (0, 1)])
            joint = density * seen(trial, t)
            exact[trial, t] = np.log(joint.sum() * width) - np.log(p["scale"][0])
            density = joint / (joint.sum() * width)
    errors = {}
    for n in (64, 1024):
        many = {k: np.asarray(v)[None] for k, v in (p | {"particles": np.array(float(n))}).items()}
        errors[n] = np.abs(model.log_prob(many, data)[0] - exact)[data.valid]
    assert errors[1024].max() < 0.02 and errors[1024].mean() < 0.5 * errors[64].mean()


# -- counts ------------------------------------------------------------------------------------------


def counts(rng, observation="poisson", n_points=256, **more):
    p = random_params(rng, **more)
    p["loading"] = 0.6 * p["loading"]
    features = len(p["level"])
    if observation != "poisson":
        p["dispersion"] = np.full(features, 0.02)
    p["points"] = draws.nested(n_points, p["loading"].shape[1], FEWEST)
    valid = np.ones((3, 8), bool)
    valid[1, 6:], valid[2, [0, 3]] = False, False
    y = rng.poisson(1.0, (3, 8, features)).astype(float)
    data = Data("counts", y, valid, None, 0.02, features, observation, 60)
    model = Slds(latents=p["loading"].shape[1], states=len(p["initial"]), recurrent="pull" in p)
    return model, {k: v[None] for k, v in p.items()}, data


def test_one_state_of_counts_is_a_linear_system():
    model, params, data = counts(np.random.default_rng(6), states=1)
    one = model.forecast(params, data, [1, 3])[0][data.valid]
    own = linear(params) | {"points": draws.points(256, 2)[None]}
    other = Lds(latents=2).forecast(own, data, [1, 3])[0][data.valid]
    assert np.allclose(one, other, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("observation", ["poisson", "negative_binomial", "generalised_poisson"])
def test_probabilities_of_all_counts_of_two_units_sum_to_one(observation, recurrent):
    """One bin and three bins ahead, with particles that are too few."""
    rng = np.random.default_rng(7)
    model, params, _ = counts(rng, observation, features=2, recurrent=recurrent, n_particles=4)
    params = params | {"level": params["level"] - 3, "loading": 0.5 * params["loading"]}
    grid = np.array(list(itertools.product(range(60), repeat=2)), float)
    y = np.zeros((len(grid), 5, 2))
    y[:, :4] = [[1, 0], [0, 2], [3, 1], [0, 0]]
    y[:, 4] = grid
    data = Data("counts", y, np.ones(y.shape[:2], bool), None, 0.02, 2, observation)
    for total in np.exp(model.forecast(params, data, [1, 3])[0, :, 4]).sum(0):
        assert total == pytest.approx(1, abs=1e-9)
    p = np.exp(model.log_prob(params, data)[0, :, 4])
    one = data.at(slice(0, 1))
    assert np.allclose(p @ grid, model.predict(params, one)[0, 0, 4], atol=1e-7)
    mean, variance = next(model.predictive(params, one)).moments(emission_of(one))
    assert np.allclose(p @ grid, mean[0, 4], atol=1e-7)
    assert np.allclose(p @ grid**2 - (p @ grid) ** 2, variance[0, 4], atol=1e-6)


def test_the_compiled_search_of_poisson_counts_equals_the_general_one():
    from cortseq.models.state_space import assumed
    from cortseq.observations import MAX_LOG_RATE, MIN_LOG_RATE

    rng = np.random.default_rng(8)
    model, params, data = counts(rng)
    readout, p = model._read_by(data, params, 0)
    mean = rng.normal(size=(3, 4, 2))
    spread = np.stack([covariance(rng, 2) for _ in range(12)]).reshape(3, 4, 2, 2)
    given = p["loading"], p["level"], data.y[:, 1], MIN_LOG_RATE, MAX_LOG_RATE
    one = particles.branches.updated_poisson(mean, spread, *given)
    y = np.repeat(data.y[:, 1], 4, 0)
    other = assumed.updated(readout, p, y, mean.reshape(-1, 2), spread.reshape(-1, 2, 2))
    for ours, theirs in zip(one, other, strict=True):
        assert np.allclose(ours.reshape(theirs.shape), theirs, atol=1e-5)


@pytest.mark.parametrize("track", ["counts", "signal"])
def test_free_runs_have_the_moments_that_are_predicted(track):
    """Bins 0 to 3 of many draws, and the products of neighbouring bins, against long sums over sequences."""
    rng = np.random.default_rng(9)
    make = counts if track == "counts" else lambda rng, **more: signals(rng, True, **more)
    model, params, _ = make(rng, n_particles=64)
    p = {k: v[0] for k, v in params.items()}
    p["level"] = p["level"] - (track == "counts")
    params = {k: np.asarray(v)[None] for k, v in p.items()}
    shape = {"track": track, "n_inputs": 0, "n_features": 3, "bin_width": 0.1, "observation": "poisson"}
    y = model.simulate(p, shape | {"support": 0}, 20_000, 4, rng)
    data = Data(track, y, np.ones(y.shape[:2], bool), None, 0.1, 3)
    expected = model.predict(params, data)[0]
    residual = y - expected  # what is predicted from the bins before is left by no function of them
    for t in range(4):
        error = 5 * residual[:, t].std(0) / np.sqrt(len(y))
        bias = 0.02 * y[:, t].std(0) if track == "counts" and t else 0.0
        assert (np.abs(residual[:, t].mean(0)) < error + bias).all()
        if t:
            products = residual[:, t] * (y[:, t - 1] - y[:, t - 1].mean(0)) / y[:, t - 1].std(0)
            assert (np.abs(products.mean(0)) < 6 * products.std(0) / np.sqrt(len(y)) + bias).all()
    emission = emission_of(data)
    few = data.at(slice(0, 400))
    mixture = next(model.predictive(params, few))
    mean, _ = mixture.moments(emission)
    assert np.allclose(mean, expected[:400], atol=1e-9)
    if track == "signal":
        u = mixture.cdf(emission, few.y)
        assert stats.kstest(u[:, 3, 0], "uniform").pvalue > 0.001


# -- learning ----------------------------------------------------------------------------------------


def begun(rng, **more):
    """A read-out, parameters of one member, trials and an E-step of them from states that are all as likely."""
    model, params, data = signals(rng, False, time=6, **more)
    readout, p = model._read_by(data, params, 0)
    readout.prior = 1e-9
    inside = (np.arange(1, 6)[:, None] < data.lengths)[..., None]
    gamma = inside * np.full(len(p["initial"]), 1 / len(p["initial"]))
    z = np.zeros((*data.valid.shape, len(p["start_mean"])))
    return readout, p, data, variational.expected(readout, p, data, gamma, z)


def test_paths_of_block_tridiagonal_precision_equal_a_dense_inverse():
    rng = np.random.default_rng(10)
    n, time, trials = 2, 5, 3
    root = rng.normal(size=(trials, time * n, time * n))
    dense = np.zeros_like(root)
    for r, square in enumerate(root @ root.swapaxes(1, 2) + 3 * time * np.eye(time * n)):
        for t in range(time):
            rows = slice(t * n, (t + 1) * n)
            near = slice(max(0, t - 1) * n, (t + 2) * n)
            dense[r, rows, near] = square[rows, near]
    linear = rng.normal(size=(trials, time, n))
    blocks = dense.reshape(trials, time, n, time, n).swapaxes(2, 3)
    diagonal = np.stack([blocks[:, t, t] for t in range(time)], 1)
    beside = np.stack([blocks[:, t, t + 1] for t in range(time - 1)], 1)
    mean, spread, gain, log_det = variational.tridiagonal.solved(diagonal, beside, linear)
    inverse = np.linalg.inv(dense)
    assert np.allclose(mean.reshape(trials, -1), (inverse @ linear.reshape(trials, -1, 1))[..., 0])
    assert np.allclose(log_det, np.linalg.slogdet(dense)[1])
    whole = inverse.reshape(trials, time, n, time, n).swapaxes(2, 3)
    for t in range(time):
        assert np.allclose(spread[:, t], whole[:, t, t])
        if t + 1 < time:
            assert np.allclose(gain[:, t] @ spread[:, t + 1], whole[:, t, t + 1])


def test_the_bound_of_one_state_is_the_likelihood_of_the_linear_system_and_its_m_step_that_of_em():
    rng = np.random.default_rng(11)
    readout, p, data, found = begun(rng, states=1, inputs=1)
    alone = switching.of_state(p, 0)
    posterior = readout.posterior(alone, data)
    assert found.bound == pytest.approx(posterior.log_prob, abs=1e-8)
    row = posterior.belief.row
    live = np.arange(6) < data.lengths[:, None]
    assert np.allclose(found.posterior.belief.mean[live], posterior.belief.mean[live])
    assert np.allclose(found.posterior.belief.covariance[live], posterior.belief.covariance[row][live])
    one = regimes.maximise(readout, p, [found])
    other = em.maximise(readout, alone, [(data, posterior)])
    for name, value in other.items():
        ours = one[name][0] if name in switching.OF_STATE else one[name]
        assert np.allclose(ours, value, atol=1e-7), name


def test_states_given_latents_equal_the_sum_over_sequences():
    """And the expected log-density of a step equals the mean over draws of both of its latents."""
    rng = np.random.default_rng(12)
    _, p, data, found = begun(rng, states=3)
    log_b = variational.step_density(p, data, found.posterior)
    chain = variational.states(p, data, found.posterior)
    for trial, length in enumerate(data.lengths):
        weight, total = np.zeros((length - 1, 3)), []
        for sequence in itertools.product(range(3), repeat=length - 1):
            odds = p["initial"][sequence[0]] * np.prod(
                [p["switch"][a, b] for a, b in itertools.pairwise(sequence)]
            )
            total.append(odds * np.exp(sum(log_b[t, trial, k] for t, k in enumerate(sequence))))
            weight[np.arange(length - 1), sequence] += total[-1]
        assert np.allclose(chain.gamma[: length - 1, trial], weight / sum(total))
        assert not chain.gamma[length - 1 :, trial].any()
    belief, gain = found.posterior.belief, found.posterior.gain
    between = gain[0, 2] @ belief.covariance[0, 3]
    spread = np.block([[belief.covariance[0, 2], between], [between.T, belief.covariance[0, 3]]])
    z = rng.multivariate_normal(belief.mean[0, 2:4].ravel(), spread, 200_000)
    for k in range(3):
        step = z[:, 2:] - z[:, :2] @ p["transition"][k].T - p["offset"][k]
        density = stats.multivariate_normal(np.zeros(2), p["noise"][k]).logpdf(step)
        assert log_b[2, 0, k] == pytest.approx(density.mean(), abs=5 * density.std() / np.sqrt(len(z)))


def test_the_bound_never_descends_and_stays_below_the_likelihood():
    rng = np.random.default_rng(13)
    readout, p, data, found = begun(rng, trials=6)
    bounds = []
    for _ in range(25):
        bounds.append(found.bound)
        exact = sum(
            by_enumeration(p | readout.common, data, r, list(np.flatnonzero(data.valid[r]))) for r in range(6)
        )
        assert bounds[-1] <= exact + 1e-8
        if len(bounds) % 5 == 0:
            p = regimes.maximise(readout, p, [found])
        found = regimes.expected(readout, p, found)
    same = [b for i, b in enumerate(np.diff(bounds)) if (i + 1) % 5]  # parameters that stay
    assert min(same) > -1e-9 and bounds[-1] > bounds[0] + 1


def test_em_climbs_its_objective():
    rng = np.random.default_rng(14)
    readout, p, _, found = begun(rng, trials=12)
    readout.prior, objectives = 0.5, []
    for _ in range(20):
        found = regimes.expected(readout, p, found)
        objectives.append(found.bound + regimes.log_prior(readout, p))
        p = regimes.maximise(readout, p, [found])
    assert np.diff(objectives).min() > -1e-8 and objectives[-1] > objectives[0] + 5


def test_another_basis_is_the_same_model():
    rng = np.random.default_rng(15)
    for recurrent, error in ((False, 1e-9), (True, 0.3)):
        model, params, data = signals(rng, True, inputs=1, recurrent=recurrent, n_particles=256)
        p = {k: v[0] for k, v in params.items()}
        moved = switching.in_basis(p, rng.normal(size=(2, 2)) + 2 * np.eye(2), rng.normal(size=2))
        z = rng.normal(size=(5, 2))
        other = {k: np.asarray(v)[None] for k, v in moved.items()}
        one, two = (model.log_prob(q, data)[0][data.valid] for q in (params, other))
        assert np.allclose(one, two, atol=error)
    back = switching.in_basis(moved, np.eye(2), np.zeros(2))
    state = np.array([0, 1, 0, 1, 1])
    assert np.allclose(switching.odds(back, state, z), switching.odds(moved, state, z))


def two_turns(rng, trials, bins, features, decay=0.98, angle=0.5, stay=0.95):
    """States and latents of a system that turns one way in one state and the other way in the other."""
    turns = [decay * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) for a in (angle, -angle)]
    z, s = rng.normal(size=(trials, bins, 2)), rng.integers(2, size=(trials, bins))
    for t in range(1, bins):
        s[:, t] = np.where(rng.random(trials) < stay, s[:, t - 1], s[:, t])
        moved = (np.stack(turns)[s[:, t]] @ z[:, t - 1, :, None])[..., 0]
        z[:, t] = moved + 0.14 * z[:, t]  # the standard normal that was drawn there
    return s, z, rng.normal(size=(features, 2))


@pytest.mark.parametrize("track", ["signal", "counts"])
def test_two_ways_to_turn_are_found_and_predict_better_than_one_law(track):
    rng = np.random.default_rng(16)
    s, z, loading = two_turns(rng, 120, 60, 8 if track == "signal" else 20)
    if track == "signal":
        recording = rec.from_signal(z @ loading.T + 0.5 * rng.normal(size=(120, 60, 8)), bin_width=0.1)
        more = {"skip": False}
    else:
        recording = rec.from_counts(rng.poisson(np.exp(0.8 * z @ loading.T - 0.3)), bin_width=0.02)
        more = {}
    roles, test = (range(80), range(80, 100)), range(100, 120)
    fit = Slds(latents=2, states=2, **more).fit(recording, *roles)
    one = Lds(latents=2, **more).fit(recording, *roles)
    gain = (fit.log_prob(recording, test).values - one.log_prob(recording, test).values).sum((0, 2))
    assert (gain > 0).mean() > 0.9 and gain.sum() > (1000 if track == "signal" else 700)
    angles = sorted(abs(np.angle(d.eigenvalues)).max() for d in fit.model.dynamics(fit.params, 0.1))
    assert np.allclose(angles, 0.5, atol=0.03)
    found = fit.model.regimes(fit.params, Data.of(recording, test))[0]
    assert np.isnan(found[:, 0]).all() and np.allclose(found[:, 1:].sum(-1), 1)
    right = (found[:, 1:].argmax(-1) == s[100:, 1:]).mean()
    assert max(right, 1 - right) > 0.93
    assert fit.card["particle_error"][0] < 1e-3 and fit.card.get("draw_error", [0.0])[0] < 1e-3


@pytest.mark.parametrize("recurrent", [False, True])
def test_data_of_one_law_give_no_gain_and_never_a_loss_on_validation(recurrent):
    rng = np.random.default_rng(17)
    turn = 0.95 * np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    z = 0.3 * rng.normal(size=(100, 30, 2))
    for t in range(1, 30):
        z[:, t] += z[:, t - 1] @ turn.T
    y = z @ rng.normal(size=(2, 6)) + 0.5 * rng.normal(size=(100, 30, 6))
    recording = rec.from_signal(y, bin_width=0.1)
    roles, test = (range(50), range(50, 70)), range(70, 100)
    more = {"latents": 2, "skip": False, "iterations": 30}
    fit = Slds(states=2, recurrent=recurrent, **more).fit(recording, *roles)
    one = Lds(**more).fit(recording, *roles)
    valid, held_out = (
        (fit.log_prob(recording, trials).values - one.log_prob(recording, trials).values)[0].sum(1)
        for trials in (roles[1], test)
    )
    error = fit.card["particle_error"][0] * np.log(2) * 20 * 30 if recurrent else 0.0
    assert valid.sum() > -5 * error - 1e-6
    spread = held_out.std() * np.sqrt(len(test))
    small = 0.002 * len(test) * 30  # nats a sample: it learns for a few iterations more than the linear one
    assert -3 * spread - 5 * small < held_out.sum() < 2.5 * spread + small


def test_labels_and_counts_without_a_formula_are_refused(symbols, conway_maxwell):
    assert not Slds().applies("symbols")
    with pytest.raises(CortseqError, match=r"switching .* describes counts and signals, not labels"):
        Slds().fit(symbols, range(20), range(20, 26))
    with pytest.raises(CortseqError, match=r"observation: conway_maxwell has no formula"):
        Slds().fit(conway_maxwell, range(20), range(20, 26))
