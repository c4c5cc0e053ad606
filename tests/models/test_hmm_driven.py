"""Hidden Markov models with inputs: sums over all paths, ascents, independent libraries, recovery."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp, softmax

from cortseq import models
from cortseq import recording as rec
from cortseq.data import Data
from cortseq.errors import CortseqError
from cortseq.models.hmm import em, hmm, tilt, weighted

KINDS = ["counts", "symbols", "signal"]
STATES, FEATURES, INPUTS = 3, 2, 2


def random_params(kind, rng, steered=True, n=STATES, d=FEATURES):
    """One member."""
    p = {"initial": rng.dirichlet(np.ones(n)), "transition": rng.dirichlet(np.ones(n), n)}
    p["drive"] = rng.normal(0, 0.5, (n, INPUTS, d))
    if steered:
        p["transition_drive"] = rng.normal(size=(INPUTS, n))
    if kind == "counts":
        p["rate"] = rng.gamma(1, 1, (n, d))
    elif kind == "symbols":
        p["probability"] = rng.dirichlet(np.ones(d), n)
    else:
        p |= {"centre": rng.normal(size=d), "scale": rng.uniform(0.5, 2, d)}
        p |= {"mean": rng.normal(size=(n, d)), "sd": rng.uniform(0.5, 1, (n, d))}
    return {k: v[None] for k, v in p.items()}


def random_data(kind, rng, trials=3, bins=5, d=FEATURES, missing=True):
    valid = np.ones((trials, bins), bool)
    if missing:
        valid[0, 2] = valid[1, 3:] = valid[2, 0] = False
    if kind == "symbols":
        y = rng.integers(d, size=(trials, bins))
    elif kind == "counts":
        y = rng.poisson(1.0, (trials, bins, d))
    else:
        y = rng.normal(size=(trials, bins, d))
    y = np.where(valid if y.ndim == 2 else valid[..., None], y, 0)
    return Data(kind, y, valid, rng.normal(size=(trials, bins, INPUTS)), 0.02, d)


def model_of(steered=True, **more):
    return models.Hmm(states=STATES, transitions="input" if steered else "fixed", **more)


def log_emission(kind, params, data, r):
    """(time, state) of one trial, by scipy, one number after another."""
    p = {k: v[0] for k, v in params.items()}
    out = np.zeros((data.y.shape[1], STATES))
    for t, k in itertools.product(*map(range, out.shape)):
        if not data.valid[r, t]:
            continue
        y, moved = data.y[r, t], data.inputs[r, t] @ p["drive"][k]
        if kind == "counts":
            out[t, k] = stats.poisson.logpmf(y, p["rate"][k] * np.exp(moved)).sum()
        elif kind == "symbols":
            out[t, k] = np.log(softmax(np.log(p["probability"][k]) + moved)[y])
        else:
            mean = p["centre"] + p["scale"] * (p["mean"][k] + moved)
            out[t, k] = stats.norm.logpdf(y, mean, p["scale"] * p["sd"][k]).sum()
    return out


def transitions(params, u):
    """(from, to) into a bin with inputs u."""
    p = {k: v[0] for k, v in params.items()}
    return softmax(np.log(p["transition"]) + u @ p.get("transition_drive", np.zeros((INPUTS, STATES))), 1)


def over_paths(params, log_b, u, seen):
    """log of the sum over all paths of p(path | inputs) prod p(y_t | s_t), t in `seen`."""
    last = max(seen, default=-1)
    moves = [np.log(transitions(params, u[t])) for t in range(last + 1)]
    total = []
    for path in itertools.product(range(STATES), repeat=last + 1):
        log_p = sum(log_b[t, path[t]] for t in seen)
        if path:
            log_p += np.log(params["initial"][0, path[0]])
        total.append(log_p + sum(moves[t][path[t - 1], path[t]] for t in range(1, last + 1)))
    return logsumexp(total)


@pytest.mark.parametrize("steered", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_scores_and_forecasts_equal_sums_over_all_paths(kind, steered):
    rng = np.random.default_rng(0)
    params, data = random_params(kind, rng, steered), random_data(kind, rng)
    model = model_of(steered)
    score = model.log_prob(params, data)[0]
    ahead = model.forecast(params, data, [1, 2, 4])[0]
    for r, t in zip(*np.nonzero(data.valid), strict=True):
        log_b, u = log_emission(kind, params, data, r), data.inputs[r]
        for i, h in enumerate([1, 2, 4]):
            if t < h - 1:
                assert np.isnan(ahead[r, t, i])
                continue
            past = range(t - h + 1)
            exact = over_paths(params, log_b, u, [*past, t]) - over_paths(params, log_b, u, past)
            assert ahead[r, t, i] == pytest.approx(exact, abs=1e-10)
            if h == 1:
                assert score[r, t] == pytest.approx(exact, abs=1e-10)


@pytest.mark.parametrize("steered", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_expected_states_and_moves_equal_sums_over_all_paths(kind, steered):
    rng = np.random.default_rng(1)
    params, data = random_params(kind, rng, steered), random_data(kind, rng)
    emission, p, blocks = prepared(model_of(steered), params, data)
    found = em.expected(emission, p, blocks)
    initial, moves = np.zeros(STATES), np.zeros((STATES, STATES))
    for r in range(len(data.y)):
        n = data.lengths[r]
        log_b, inside = (
            log_emission(kind, params, data, r),
            [np.log(transitions(params, u)) for u in data.inputs[r]],
        )
        paths = list(itertools.product(range(STATES), repeat=int(n)))
        log_p = np.array(
            [
                np.log(params["initial"][0, path[0]])
                + sum(log_b[t, path[t]] for t in range(n))
                + sum(inside[t][path[t - 1], path[t]] for t in range(1, n))
                for path in paths
            ]
        )
        for path, weight in zip(paths, softmax(log_p), strict=True):
            initial[path[0]] += weight
            for i, j in itertools.pairwise(path):
                moves[i, j] += weight
    assert np.allclose(found.initial, initial, atol=1e-10) and np.allclose(
        found.transition, moves, atol=1e-10
    )


@pytest.mark.parametrize("kind", ["counts", "signal"])
def test_predictions_follow_from_the_predicted_states(kind):
    """Their mean, variance and cdf, in the order of trials and bins, whatever the blocks are."""
    rng = np.random.default_rng(2)
    params, data = random_params(kind, rng), random_data(kind, rng)
    model = model_of()
    (predicted,) = model.predictive(params, data)
    p = {k: v[0] for k, v in params.items()}
    means = np.einsum("rti,kid->rtkd", data.inputs, p["drive"])
    if kind == "counts":
        means = p["rate"] * np.exp(means)
        distributions = stats.poisson(means)
    else:
        means = p["centre"] + p["scale"] * (p["mean"] + means)
        distributions = stats.norm(means, p["scale"] * p["sd"])
    weight = predicted.weight[..., None]
    assert np.allclose(weight.sum(2)[data.valid], 1)
    emission = model._emission(data).distribution
    mean, variance = predicted.moments(emission)
    assert np.allclose(mean, (weight * means).sum(2))
    second = distributions.var() + means**2
    assert np.allclose(variance, (weight * second).sum(2) - mean**2)
    cdf = predicted.at(slice(1, 3)).cdf(emission, data.y[1:3])
    assert np.allclose(cdf, (weight * distributions.cdf(data.y[:, :, None]))[1:3].sum(2))
    assert np.allclose(model.predict(params, data)[0][data.valid], mean[data.valid])


def test_cosmoothing_uses_the_inputs():
    rng = np.random.default_rng(3)
    params, data = random_params("counts", rng, d=3), random_data("counts", rng, d=3)
    found = model_of().cosmooth(params, data, np.array([2, 0]), np.array([1]))[0]
    seen = replace(data, y=data.y[..., [2, 0]], n_features=2)
    held_in = {k: v if k in hmm.CHAIN else v[..., [2, 0]] for k, v in params.items()}
    for r, t in zip(*np.nonzero(data.valid), strict=True):
        log_b, u, every = log_emission("counts", held_in, seen, r), data.inputs[r], range(5)
        rates = params["rate"][0, :, 1] * np.exp(u[t] @ params["drive"][0, :, :, 1].T)
        gamma = np.empty(STATES)
        for k in range(STATES):
            only = log_b.copy()
            only[t, np.arange(STATES) != k] = -np.inf
            gamma[k] = np.exp(over_paths(params, only, u, every) - over_paths(params, log_b, u, every))
        assert found[r, t, 0] == pytest.approx(gamma @ rates, abs=1e-10)


# -------------------------------------------------------------------------------------- learning


def prepared(model, params, data, precision=float):
    """Emission, parameters of the one member, and blocks, as learning has them."""
    emission = model._emission(data)
    emission.common = {k: params[k][0] for k in hmm.COMMON if k in params}
    blocks = emission.blocks(data, model.states, precision)
    emission.pool(em.add(emission.statistics(b, np.ones((b.constant.size, 1))) for b in blocks))
    return emission, {k: v[0] for k, v in params.items() if k not in hmm.COMMON}, blocks


@pytest.mark.parametrize("steered", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_em_never_descends(kind, steered):
    rng = np.random.default_rng(4)
    params = random_params(kind, rng, steered)
    data = random_data(kind, rng, trials=12, bins=15)
    model = model_of(steered, sticky=2.0, prior=0.5)
    emission, p, blocks = prepared(model, params, data)
    objective = []
    for _ in range(40):
        e = em.expected(emission, p, blocks)
        objective.append(e.log_prob + model.log_prior(emission, p))
        p = model.maximise(emission, e)
    assert np.diff(objective).min() > -1e-9 * abs(objective[0])
    assert objective[-1] > objective[0] + 1


@pytest.mark.parametrize("kind", KINDS)
def test_leaps_in_single_precision_never_descend(kind):
    rng = np.random.default_rng(5)
    params, data = random_params(kind, rng), random_data(kind, rng, trials=12, bins=15)
    model = model_of(sticky=2.0, prior=0.5)
    emission, p, blocks = prepared(model, params, data, np.float32)
    exact = prepared(model, params, data)[2]
    objective = []
    for _ in range(15):
        objective.append(em.log_likelihood(emission, p, exact) + model.log_prior(emission, p))
        p = em.ascend(model, emission, p, em.expected(emission, p, blocks, np.float32), blocks)
    assert np.diff(objective).min() > -1e-6 * abs(objective[0]) and objective[-1] > objective[0] + 1


@pytest.mark.parametrize("kind", KINDS)
def test_em_ends_where_the_objective_has_no_slope(kind, monkeypatch):
    """Finite differences of log-likelihood and prior by the weights of inputs and what is emitted without."""
    monkeypatch.setattr(em, "PRECISION", float)
    rng = np.random.default_rng(15)
    params, data = random_params(kind, rng), random_data(kind, rng, trials=25, bins=15)
    model = model_of(prior=3.0)
    emission, p, blocks = prepared(model, params, data)
    for _ in range(150):
        p = em.ascend(model, emission, p, em.expected(emission, p, blocks), blocks)

    def slope(name, at, size=1e-4):
        ends = []
        for sign in (1, -1):
            moved = {**p, name: p[name].copy()}
            moved[name][at] += sign * size
            ends.append(em.log_likelihood(emission, moved, blocks) + model.log_prior(emission, moved))
        return (ends[0] - ends[1]) / (2 * size)

    for name in {"drive", "transition_drive", "rate", "mean", "sd"} & set(p):
        slopes = [slope(name, at) for at in np.ndindex(p[name].shape)]
        assert np.abs(slopes).max() < 0.01, name


def test_the_m_step_of_counts_equals_sklearn():
    """Weighted bins, the ridge and the pseudo-bins of the prior as a penalty and as bins of their own."""
    from sklearn.linear_model import PoissonRegressor

    rng = np.random.default_rng(6)
    u, weight = rng.normal(size=(400, 2)), rng.random((400, 3))
    y = rng.poisson(np.exp(0.3 + u @ [[0.5, -0.2], [0.0, 0.4]])).astype(float)
    prior = weighted.Prior(5.0, np.array([0.8, 1.1]), np.zeros((2, 2)))
    x = np.c_[u, np.ones(400)]
    theta = weighted.ascend(
        np.zeros((3, 3, 2)), [(x[:150], y[:150], weight[:150]), (x[150:], y[150:], weight[150:])], prior, 40
    )
    for k, n in itertools.product(range(3), range(2)):
        w = np.r_[weight[:, k], 5.0]
        theirs = PoissonRegressor(
            alpha=5.0 * prior.rate[n] / w.sum(), tol=1e-12, max_iter=1000, solver="newton-cholesky"
        )
        theirs.fit(np.r_[u, np.zeros((1, 2))], np.r_[y[:, n], prior.rate[n]], sample_weight=w)
        assert np.allclose(theta[k, :, n], [*theirs.coef_, theirs.intercept_], atol=1e-6)


def test_tilted_rows_equal_sklearns_softmax_regression():
    """One row: a multinomial regression with ridge; the pseudo-counts stand at inputs of 0."""
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(7)
    u, n = rng.normal(size=(500, 2)), rng.random(500)
    label = (u @ rng.normal(size=(2, 3)) + rng.gumbel(size=(500, 3))).argmax(1)
    hot = np.eye(3)[label]
    given = tilt.Weighed(
        (n[:, None] * hot).sum(0)[None],
        np.zeros(1),
        u.T @ (n[:, None] * hot),
        [(u, n[:, None])],
        0.7,
        np.zeros((2, 3)),
    )
    a, drive = tilt.ascend(np.full((1, 3), 1 / 3), np.zeros((2, 3)), given, 300)
    theirs = LogisticRegression(C=1 / 0.7, tol=1e-12, max_iter=10_000).fit(u, label, sample_weight=n)
    probe = rng.normal(size=(20, 2))
    assert np.allclose(softmax(np.log(a) + probe @ drive, 1), theirs.predict_proba(probe), atol=1e-5)


def test_steps_of_shared_transitions_climb_to_a_point_without_gradient():
    """Three rows that share W: the gradient by finite differences vanishes where the steps end."""
    rng = np.random.default_rng(8)
    u, n = rng.normal(size=(300, 2)), rng.dirichlet(np.ones(3), 300)
    moves = rng.gamma(1, 30, (3, 3))
    moves *= n.sum(0)[:, None] / moves.sum(1, keepdims=True)
    counts = moves + 1 / 3
    given = tilt.Weighed(counts, np.ones(3), rng.normal(0, 20, (2, 3)), [(u, n)], 1.0, np.zeros((2, 3)))
    a, drive = np.full((3, 3), 1 / 3), np.zeros((2, 3))
    values = [tilt.value(a, drive, given)]
    for _ in range(300):
        a, drive = tilt.ascend(a, drive, given, 1)
        values.append(tilt.value(a, drive, given))
    assert np.diff(values).min() > -1e-9 and values[-1] > values[0] + 1
    for i, k in itertools.product(range(2), range(3)):
        step = np.zeros((2, 3))
        step[i, k] = 1e-4
        slope = (tilt.value(a, drive + step, given) - tilt.value(a, drive - step, given)) / 2e-4
        assert abs(slope) < 1e-3
    for j, k in itertools.product(range(3), range(3)):
        moved = [a.copy(), a.copy()]
        for sign, b in zip((1, -1), moved, strict=True):
            b[j, k] *= np.exp(sign * 1e-4)
            b[j] /= b[j].sum()
        slope = (tilt.value(moved[0], drive, given) - tilt.value(moved[1], drive, given)) / 2e-4
        assert abs(slope) < 1e-3


def driven_recording(rng, trials, bins, drive, rate, transition, steer=None):
    """Recording of a Poisson HMM whose rates and transitions follow two inputs, and its parameters."""
    n = len(rate)
    u = rng.normal(size=(trials, bins, INPUTS))
    params = {"initial": np.full(n, 1 / n), "transition": transition, "rate": rate, "drive": drive}
    if steer is not None:
        params["transition_drive"] = steer
    logits = u @ (np.zeros((INPUTS, n)) if steer is None else steer)
    moves = softmax(np.log(transition) + logits[..., None, :], -1)
    states = np.empty((trials, bins), int)
    for r in range(trials):
        for t in range(bins):
            states[r, t] = rng.choice(n, p=moves[r, t, states[r, t - 1]] if t else params["initial"])
    rates = rate[states] * np.exp(np.einsum("rti,rtid->rtd", u, drive[states]))
    recording = rec.from_counts(rng.poisson(rates), bin_width=0.02)
    recording = recording.assign(inputs=(("trial", "time", "input"), u))
    return recording, {k: v[None] for k, v in params.items()}, rates


@pytest.mark.parametrize("steered", [False, True])
def test_parameters_of_a_driven_chain_are_recovered(steered):
    rng = np.random.default_rng(9)
    rate = np.array([[0.2, 1.5, 0.6, 0.3], [1.2, 0.3, 0.5, 1.0]])
    drive = rng.choice([-0.6, 0.6], (2, INPUTS, 4))
    steer = np.array([[1.0, -1.0], [0.0, 0.0]]) if steered else None
    transition = np.array([[0.9, 0.1], [0.2, 0.8]])
    recording, params, _ = driven_recording(rng, 120, 60, drive, rate, transition, steer)
    model = models.Hmm(states=2, transitions="input" if steered else "fixed", prior=1.0)
    fit = model.fit(recording, range(90), range(90, 105), members=1)
    found = {k: v[0] for k, v in fit.params.items()}
    order = np.abs(found["rate"][:, None] - rate).sum(-1).argmin(0)
    assert sorted(order) == [0, 1]
    assert np.abs(found["rate"][order] - rate).max() < 0.1
    assert np.abs(found["drive"][order] - drive).max() < 0.15
    assert np.abs(found["transition"][order][:, order] - transition).max() < 0.05
    if steered:
        weights = found["transition_drive"][:, order]
        assert np.allclose(weights[:, 0] - weights[:, 1], steer[:, 0] - steer[:, 1], atol=0.3)
    test = range(105, 120)
    data = Data.of(recording, test)
    truth = models.Hmm(states=2).log_prob(params, data).sum()
    spikes = data.y.sum()
    assert abs(fit.log_prob(recording, test).values.sum() - truth) / spikes / np.log(2) < 0.01


def test_where_inputs_alone_drive_the_rate_one_state_is_enough():
    """One state reaches the true rates, two add nothing: bits per spike."""
    rng = np.random.default_rng(10)
    drive = np.array([[[0.7, -0.4], [0.0, 0.5]]])
    recording, _, rates = driven_recording(rng, 200, 50, drive, np.array([[0.5, 0.8]]), np.ones((1, 1)))
    learns, chooses, test = range(140), range(140, 170), range(170, 200)
    y = recording["counts"].values[170:]
    bits = y.sum() * np.log(2)
    truth = stats.poisson.logpmf(y, rates[170:]).sum() / bits
    one, two = (
        models.Hmm(states=k).fit(recording, learns, chooses).log_prob(recording, test).values.sum() / bits
        for k in (1, 2)
    )
    blind = models.Null().fit(recording, learns, chooses).log_prob(recording, test).values.sum() / bits
    assert truth - blind > 0.1
    assert abs(one - truth) < 0.002 and abs(two - one) < 0.002


def test_one_state_equals_sklearns_poisson_regression():
    from sklearn.linear_model import PoissonRegressor

    rng = np.random.default_rng(11)
    drive = np.array([[[0.7, -0.4], [0.0, 0.5]]])
    recording, _, _ = driven_recording(rng, 40, 30, drive, np.array([[0.5, 0.8]]), np.ones((1, 1)))
    fit = models.Hmm(states=1, prior=1e-6, patience=50).fit(recording, range(30), range(30, 40))
    u, y = recording["inputs"].values, recording["counts"].values
    for n in range(2):
        theirs = PoissonRegressor(alpha=0, tol=1e-10, max_iter=1000)
        theirs.fit(u[:30].reshape(-1, 2), y[:30, :, n].ravel())
        expected = theirs.predict(u[30:].reshape(-1, 2)).reshape(10, 30)
        assert np.allclose(fit.predict(recording, range(30, 40)).values[0, ..., n], expected, rtol=1e-3)


def test_a_signal_of_one_state_is_least_squares():
    rng = np.random.default_rng(12)
    u = rng.normal(size=(30, 20, 1))
    y = 3 + 2 * u * [1.0, -0.5] + rng.normal(0, [0.5, 2.0], (30, 20, 2))
    recording = rec.from_signal(y, bin_width=0.1).assign(inputs=(("trial", "time", "input"), u))
    fit = models.Hmm(states=1, prior=1e-9).fit(recording, range(20), range(20, 25))
    x = np.c_[u[:20].reshape(-1, 1), np.ones(400)]
    theta = np.linalg.lstsq(x, y[:20].reshape(-1, 2))[0]
    expected = np.c_[u[25:].reshape(-1, 1), np.ones(100)] @ theta
    assert np.allclose(fit.predict(recording, range(25, 30)).values[0].reshape(-1, 2), expected, atol=1e-6)


def test_inputs_of_labels_are_learned():
    rng = np.random.default_rng(13)
    u = rng.normal(size=(60, 20, 1))
    label = (u * [2.0, 0.0, -2.0] + rng.gumbel(size=(60, 20, 3))).argmax(-1)
    recording = rec.from_symbols(list(label), n_symbols=3)
    dark = (
        models.Hmm(states=1)
        .fit(recording, range(40), range(40, 50))
        .log_prob(recording, range(50, 60))
        .values.mean()
    )
    recording = recording.assign(inputs=(("trial", "time", "input"), u))
    fit = models.Hmm(states=1).fit(recording, range(40), range(40, 50))
    truth = np.take_along_axis(np.log(softmax(u * [2.0, 0.0, -2.0], -1)), label[..., None], -1)[50:].mean()
    assert (
        fit.log_prob(recording, range(50, 60)).values.mean() == pytest.approx(truth, abs=0.02)
        and truth > dark + 0.2
    )


def test_a_state_with_few_bins_responds_as_all_do():
    """The prior is about the weights that all bins share."""
    rng = np.random.default_rng(14)
    drive = np.array([[[0.7, -0.4], [0.0, 0.5]]])
    recording, _, _ = driven_recording(rng, 40, 30, drive, np.array([[0.5, 0.8]]), np.ones((1, 1)))
    data = Data.of(recording)
    model = models.Hmm(states=2)
    emission = model._emission(data)
    (block,) = emission.blocks(data, 2)
    emission.pool(emission.statistics(block, np.ones((block.constant.size, 1))))
    gamma = np.zeros((block.constant.size, 2))
    gamma[:, 0] = 1
    found = emission.maximise(emission.statistics(block, gamma))
    assert np.allclose(found["drive"][1], emission.overall["drive"][0], atol=1e-6)
    assert np.allclose(found["drive"][0], drive[0], atol=0.15)


# -------------------------------------------------------------------------------------- what is refused


def with_inputs(recording):
    shape = (recording.sizes["trial"], recording.sizes["time"], 1)
    return recording.assign(inputs=(("trial", "time", "input"), np.random.default_rng(0).normal(size=shape)))


def test_emissions_that_take_no_inputs_are_refused(signal, negative_binomial):
    for recording, more in ((signal, {"autoregressive": True}), (negative_binomial, {})):
        with pytest.raises(CortseqError, match=r"inputs: .*takes no inputs where a bin is"):
            models.Hmm(states=2, **more).fit(with_inputs(recording), range(20), range(20, 26))


def test_transitions_by_inputs_need_inputs(counts):
    with pytest.raises(CortseqError, match="transitions: there are no inputs"):
        models.Hmm(states=2, transitions="input").fit(counts, range(20), range(20, 26))
