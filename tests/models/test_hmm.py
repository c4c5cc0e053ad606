"""Hidden Markov models against sums over all paths, closed forms and hmmlearn."""

import itertools

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from cortseq import models
from cortseq import recording as rec
from cortseq.data import Data
from cortseq.errors import CortseqError
from cortseq.models.hmm import em, forward_backward, hmm, squarem
from cortseq.sources import synthetic

KINDS = ["counts", "symbols", "signal", "autoregressive"]
STATES, FEATURES = 3, 2


def random_params(kind, rng, n=STATES, d=FEATURES):
    """One member."""
    p = {"initial": rng.dirichlet(np.ones(n)), "transition": rng.dirichlet(np.ones(n), n)}
    if kind == "counts":
        p["rate"] = rng.gamma(1, 1, (n, d))
    elif kind == "symbols":
        p["probability"] = rng.dirichlet(np.ones(d), n)
    else:
        common = {"centre": rng.normal(size=d), "scale": rng.uniform(0.5, 2, d)}
        prefix = "start_" if kind == "autoregressive" else ""
        p |= common | {f"{prefix}mean": rng.normal(size=(n, d)), f"{prefix}sd": rng.uniform(0.5, 1, (n, d))}
    if kind == "autoregressive":
        p |= {"dynamics": rng.normal(0, 0.5, (n, d, d)), "offset": rng.normal(size=(n, d))}
        p["sd"] = rng.uniform(0.3, 1, (n, d))
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
    track = "signal" if kind == "autoregressive" else kind
    return Data(track, np.where(valid if y.ndim == 2 else valid[..., None], y, 0), valid, None, 0.02, d)


def model_of(kind, **more):
    return models.Hmm(states=STATES, autoregressive=kind == "autoregressive", **more)


def log_emission(kind, params, data, r):
    """(time, state) of one trial, by scipy, one number after another."""
    p = {k: v[0] for k, v in params.items()}
    out = np.zeros((data.y.shape[1], len(p["initial"])))
    for t, k in itertools.product(*map(range, out.shape)):
        if not data.valid[r, t]:
            continue
        y = data.y[r, t]
        if kind == "counts":
            out[t, k] = stats.poisson.logpmf(y, p["rate"][k]).sum()
        elif kind == "symbols":
            out[t, k] = np.log(p["probability"][k, y])
        else:
            scale, centre = p["scale"], p["centre"]
            if kind == "signal":
                mean, sd = p["mean"][k], p["sd"][k]
            elif t == 0 or not data.valid[r, t - 1]:
                mean, sd = p["start_mean"][k], p["start_sd"][k]
            else:
                before = (data.y[r, t - 1] - centre) / scale
                mean, sd = p["dynamics"][k] @ before + p["offset"][k], p["sd"][k]
            out[t, k] = stats.norm.logpdf(y, centre + scale * mean, scale * sd).sum()
    return out


def over_paths(params, log_b, seen):
    """log of the sum over all paths of p(path) prod p(y_t | s_t), t in `seen`."""
    p = {k: v[0] for k, v in params.items()}
    last = max(seen, default=-1)
    total = []
    for path in itertools.product(range(len(p["initial"])), repeat=last + 1):
        log_p = sum(log_b[t, path[t]] for t in seen)
        if path:
            log_p += np.log(p["initial"][path[0]])
        total.append(log_p + sum(np.log(p["transition"][i, j]) for i, j in itertools.pairwise(path)))
    return logsumexp(total)


def generate(kind, trials, bins):
    """Parameters (one member), Recording and exact log p(y_t | y_<t)."""
    rng = np.random.default_rng(11)
    if kind == "ring":
        transition = synthetic.ring_transition(20, 0.3, 0.2, 0.05)
        expected = np.tile(rng.gamma(1, 0.5, (20, 8)), (2, 1))
    else:
        transition = 0.88 * np.eye(4) + 0.03
        expected = rng.gamma(1, 0.5, (4, 20))
    initial = synthetic.stationary(transition)
    states = synthetic.sample_chain(rng, initial, transition, trials, bins)
    raw = synthetic.poisson_hmm(rng, states, initial, transition, expected, 0.02)
    params = {"initial": initial[None], "transition": transition[None], "rate": expected[None]}
    return params, rec.from_counts(raw["counts"].values, bin_width=0.02), raw["ceiling"].values


@pytest.mark.parametrize("kind", KINDS)
def test_scores_equal_sums_over_all_paths(kind):
    rng = np.random.default_rng(0)
    params, data = random_params(kind, rng), random_data(kind, rng)
    score = model_of(kind).log_prob(params, data)[0]
    for r, t in zip(*np.nonzero(data.valid), strict=True):
        log_b = log_emission(kind, params, data, r)
        expected = over_paths(params, log_b, range(t + 1)) - over_paths(params, log_b, range(t))
        assert score[r, t] == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("kind", KINDS[:3])
@pytest.mark.parametrize("h", [1, 2, 4])
def test_forecasts_equal_sums_over_all_paths(kind, h):
    rng = np.random.default_rng(1)
    params, data = random_params(kind, rng), random_data(kind, rng)
    found = model_of(kind).forecast(params, data, [7, h])[0]
    assert np.isnan(found[..., 0]).all() and not np.isnan(found[:, h - 1 :, 1][data.valid[:, h - 1 :]]).any()
    for r, t in zip(*np.nonzero(data.valid), strict=True):
        if t < h - 1:
            assert np.isnan(found[r, t, 1])
            continue
        log_b, past = log_emission(kind, params, data, r), range(t - h + 1)
        expected = over_paths(params, log_b, [*past, t]) - over_paths(params, log_b, past)
        assert found[r, t, 1] == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_one_step_forecasts_are_the_scores(kind):
    rng = np.random.default_rng(2)
    params, data = random_params(kind, rng), random_data(kind, rng)
    found = model_of(kind).forecast(params, data, [1])[..., 0]
    assert np.allclose(found, data.masked(model_of(kind).log_prob(params, data)), atol=1e-12, equal_nan=True)


def test_autoregressive_forecasts_equal_the_closed_form():
    """One state, one channel: p(y_t | y_{t-h}) = N(a^h y + b (1 - a^h) / (1 - a), sd^2 (1 - a^2h) / (1 - a^2))."""
    rng = np.random.default_rng(3)
    params = random_params("autoregressive", rng, n=1, d=1)
    params["dynamics"][:] = 0.8
    params |= {"centre": np.zeros((1, 1)), "scale": np.ones((1, 1))}
    data = random_data("autoregressive", rng, trials=4, bins=8, d=1, missing=False)
    model = models.Hmm(states=1, autoregressive=True)
    found = model.forecast(params, data, [3], samples=20_000, seed=1)[0, ..., 0]
    again = model.forecast(params, data, [3], samples=20_000, seed=1)[0, ..., 0]
    assert np.array_equal(found, again, equal_nan=True) and np.isnan(found[:, :2]).all()
    b, sd = params["offset"][0, 0, 0], params["sd"][0, 0, 0]
    variance = sd**2 * (1 - 0.8**6) / (1 - 0.8**2)
    mean = 0.8**3 * data.y[:, :-3, 0] + b * (1 - 0.8**3) / (1 - 0.8)
    exact = stats.norm.logpdf(data.y[:, 3:, 0], mean, np.sqrt(variance))
    assert np.abs(np.exp(found[:, 3:]) - np.exp(exact)).max() < 0.01


def test_autoregressive_forecasts_are_densities():
    """Integrated over the value of the last bin, two steps ahead, with a missing bin before: 1."""
    rng = np.random.default_rng(4)
    params = random_params("autoregressive", rng, d=1)
    grid = np.linspace(-15, 15, 301)
    y = np.stack([np.full(301, 0.3), np.full(301, 0.1), grid], 1)[..., None]
    valid = np.ones(y.shape[:2], bool)
    valid[:, 0] = False
    data = Data("signal", y, valid, None, 0.02, 1)
    density = np.exp(model_of("autoregressive").forecast(params, data, [2], samples=256)[0, :, 2, 0])
    assert density.sum() * 0.1 == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("kind", ["counts", "signal"])
def test_cosmoothing_equals_sums_over_all_paths(kind):
    rng = np.random.default_rng(5)
    params, data = random_params(kind, rng, d=4), random_data(kind, rng, d=4)
    found = model_of(kind).cosmooth(params, data, np.array([3, 0]), np.array([2, 1]))
    assert found.shape == (1, 3, 5, 2)
    assert np.array_equal(np.isnan(found[0, ..., 0]), ~data.valid)
    held_in = {k: v if k in hmm.CHAIN else v[..., [3, 0]] for k, v in params.items()}
    seen = Data(data.track, data.y[..., [3, 0]], data.valid, None, 0.02, 2)
    mean = (
        params["rate"][0]
        if kind == "counts"
        else params["centre"][0] + params["scale"][0] * params["mean"][0]
    )
    for r, t in zip(*np.nonzero(data.valid), strict=True):
        log_b = log_emission(kind, held_in, seen, r)
        every = range(data.y.shape[1])
        gamma = np.empty(STATES)
        for k in range(STATES):
            only = log_b.copy()
            only[t, np.arange(STATES) != k] = -np.inf
            gamma[k] = np.exp(over_paths(params, only, every) - over_paths(params, log_b, every))
        assert np.allclose(found[0, r, t], gamma @ mean[:, [2, 1]], atol=1e-10)


def test_cosmoothing_of_labels_is_refused(symbols):
    fit = models.Hmm(states=2).fit(symbols, range(20), range(20, 30))
    with pytest.raises(CortseqError, match="units that can be held out"):
        fit.model.cosmooth(fit.params, Data.of(symbols), [0], [1])


# -------------------------------------------------------------------------------------- numerics


def test_nothing_underflows_where_past_and_present_contradict():
    """States that cannot be left, and a long run that only the other one explains."""
    initial, transition = np.array([1.0, 0.0]), np.array([[1.0, 0.0], [1e-300, 1.0]])
    rates = np.array([[1e-5] * 300, [50.0] * 300])
    counts = np.random.default_rng(0).poisson(50.0, (40, 300))
    found = models.Hmm.log_prob_counts(initial, transition, rates, counts)
    expected = stats.poisson.logpmf(counts, rates[0]).sum(1)
    assert np.allclose(found, expected, rtol=1e-12)
    initial, transition = np.array([0.5, 0.5]), np.array([[1 - 1e-250, 1e-250], [1e-250, 1 - 1e-250]])
    counts[:10] = counts[20:30] = 0
    found = models.Hmm.log_prob_counts(initial, transition, rates, counts)
    log_b = stats.poisson.logpmf(counts[:, None], rates).sum(-1)
    assert np.allclose(found, synthetic.forward_filter(initial, transition, log_b[None])[0], rtol=1e-12)


def test_impossible_counts():
    initial, transition = [0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]]
    found = models.Hmm.log_prob_counts(
        initial, transition, [[0.0, 1.0], [0.0, 2.0]], [[0, 1], [1, 0], [0, 2]]
    )
    assert np.array_equal(np.isfinite(found), [True, False, True])
    only = models.Hmm.log_prob_counts(initial, transition, [[0.0, 1.0], [3.0, 2.0]], [[1, 1]])
    assert only[0] == pytest.approx(np.log(0.5) + stats.poisson.logpmf([1, 1], [3, 2]).sum())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"initial": [0.5, 0.6]}, "initial: a distribution does not sum to 1"),
        ({"rates": [[1.0], [-1.0]]}, "rates: a value is negative"),
        ({"counts": [1, 2]}, "shapes are not"),
    ],
)
def test_faulty_chains_are_refused(change, message):
    good = {"initial": [0.5, 0.5], "transition": np.eye(2), "rates": [[1.0], [2.0]], "counts": [[1], [2]]}
    with pytest.raises(CortseqError, match=message):
        models.Hmm.log_prob_counts(**{**good, **change})


@pytest.mark.parametrize("kind", ["sticky", "ring"])
def test_the_generators_own_likelihood_is_reproduced(kind):
    """Against the exact Bayes filter of the synthetic sources, in logarithms throughout."""
    params, recording, ceiling = generate(kind, trials=4, bins=50)
    model = models.Hmm(states=params["initial"].shape[1])
    assert np.allclose(model.log_prob(params, Data.of(recording))[0], ceiling, atol=1e-9)


def test_blocks_and_lengths_do_not_matter():
    """Many trials of unequal length in several blocks = each trial alone."""
    rng = np.random.default_rng(6)
    n = 90
    data = random_data("counts", rng, trials=n, bins=120, missing=False)
    data.valid[np.arange(120) >= rng.integers(0, 121, (n, 1))] = False
    params = random_params("counts", rng, n=40)
    model = models.Hmm(states=40)
    emission = model._emission(data)
    assert len(emission.blocks(data, 40)) > 1
    together = data.masked(model.log_prob(params, data)[0])
    for r in range(0, n, 7):
        alone = Data("counts", data.y[r : r + 1], data.valid[r : r + 1], None, 0.02, 2)
        assert np.allclose(
            together[r], alone.masked(model.log_prob(params, alone)[0])[0], atol=1e-10, equal_nan=True
        )


# -------------------------------------------------------------------------------------- learning


def prepared(model, params, data, precision=float):
    """Emission, parameters of the one member, and blocks, as learning has them."""
    emission = model._emission(data)
    emission.common = {k: params[k][0] for k in hmm.COMMON if k in params}
    blocks = emission.blocks(data, model.states, precision)
    pooled = [emission.statistics(b, np.ones((b.constant.size, 1))) for b in blocks]
    emission.pool(em.add(pooled))
    return emission, {k: v[0] for k, v in params.items() if k not in hmm.COMMON}, blocks


def climb(model, params, data, iterations):
    """Parameters and penalised log-likelihoods of plain EM from `params`."""
    emission, p, blocks = prepared(model, params, data)
    objective = []
    for _ in range(iterations):
        e = em.expected(emission, p, blocks)
        objective.append(e.log_prob + (model.log_prior(emission, p) if emission.prior else 0.0))
        p = model.maximise(emission, e)
    return p, np.array(objective), em.log_likelihood(emission, p, blocks)


@pytest.mark.parametrize("kind", KINDS)
def test_em_never_descends(kind):
    rng = np.random.default_rng(7)
    params, data = random_params(kind, rng), random_data(kind, rng, trials=12, bins=15)
    _, objective, _ = climb(model_of(kind, sticky=2.0, prior=0.5), params, data, 60)
    assert np.diff(objective).min() > -1e-9 * abs(objective[0])
    assert objective[-1] > objective[0] + 1


@pytest.mark.parametrize("kind", KINDS)
def test_leaps_never_descend(kind):
    """Iterations as they learn, in single precision, seen in double; they get at least as far as plain EM."""
    rng = np.random.default_rng(7)
    params, data = random_params(kind, rng), random_data(kind, rng, trials=12, bins=15)
    model = model_of(kind, sticky=2.0, prior=0.5)
    plain = climb(model, params, data, 61)[1]
    emission, p, blocks = prepared(model, params, data, np.float32)
    exact = prepared(model, params, data)[2]
    objective = []
    for _ in range(20):
        objective.append(em.log_likelihood(emission, p, exact) + model.log_prior(emission, p))
        p = em.ascend(model, emission, p, em.expected(emission, p, blocks, np.float32), blocks)
    assert np.diff(objective).min() > -1e-6 * abs(objective[0])
    assert objective[0] == pytest.approx(plain[0], rel=1e-12) and objective[-1] > plain[-1] - 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_single_precision_says_the_same(kind):
    rng = np.random.default_rng(8)
    params, data = random_params(kind, rng), random_data(kind, rng, trials=40, bins=25)
    emission, p, blocks = prepared(model_of(kind), params, data, np.float32)
    single = em.expected(emission, p, blocks, np.float32)
    double = em.expected(emission, p, prepared(model_of(kind), params, data)[2])
    assert single.log_prob == pytest.approx(double.log_prob, rel=1e-6)
    for a, b in zip(_arrays(single), _arrays(double), strict=True):
        assert a.dtype == float and np.allclose(a, b, rtol=1e-4, atol=1e-4)


def _arrays(e):
    return [e.initial, e.transition, *e.emission.values()]


def test_single_precision_does_not_underflow():
    """A long run that only a state with a belief of 0 explains, and log-likelihoods far from 0."""
    rng = np.random.default_rng(9)
    log_b = rng.normal(-1e5, 30, (60, 1, 2)) + np.repeat([[0, -1000], [-1000, 0], [0, -1000]], 20, 0)[:, None]
    initial, transition = np.array([1.0, 0.0]), np.array([[1 - 1e-30, 1e-30], [1e-30, 1 - 1e-30]])
    single, double = (
        forward_backward.forward(log_b, np.array([60]), initial, transition.astype(t))
        for t in (np.float32, float)
    )
    assert single[1].dtype == np.float32 and np.allclose(single[1], double[1], atol=1e-5)
    assert np.allclose(single[2], double[2], rtol=0, atol=1e-4)


def test_a_leap_arrives_where_steps_shrink_to():
    """Steps that shrink by one factor are a geometric series; in logarithms where parameters are positive."""
    start, limit = np.array([1.0, -2.0]), np.array([3.0, 0.5])
    p = [{"mean": limit + 0.9**i * (start - limit), "rate": np.exp(0.9**i * np.ones(3))} for i in range(3)]
    far = squarem.leap(*p)
    assert np.allclose(far["mean"], limit) and np.allclose(far["rate"], 1)
    back = [{"mean": np.array([x])} for x in (0.0, 1.0, 0.5)]
    assert squarem.leap(*back) is back[2]
    level = [{"rate": np.exp([x])} for x in (0.0, 1.0, 2 - 1e-6)]
    assert squarem.leap(*level) is level[2]
    rows = [{"transition": np.array([[q, 1 - q]])} for q in (0.5, 0.7, 0.8)]
    far = squarem.leap(*rows)["transition"]
    assert far.sum() == pytest.approx(1) and 0.8 < far[0, 0] < 1


def _hmmlearn(kind, params):
    """The same model in hmmlearn."""
    theirs = pytest.importorskip("hmmlearn.hmm")
    p = {k: v[0] for k, v in params.items()}
    settings = {"n_iter": 7, "tol": -np.inf, "init_params": ""}
    if kind == "counts":
        model = theirs.PoissonHMM(STATES, lambdas_prior=0, lambdas_weight=0, **settings)
        model.lambdas_, model.n_features = p["rate"].copy(), FEATURES
    elif kind == "symbols":
        model = theirs.CategoricalHMM(STATES, **settings)
        model.emissionprob_, model.n_features = p["probability"].copy(), FEATURES
    else:
        model = theirs.GaussianHMM(
            STATES, means_weight=0, covars_prior=0, covars_weight=0, min_covar=0, **settings
        )
        model.means_ = p["centre"] + p["scale"] * p["mean"]
        model.covars_, model.n_features = (p["scale"] * p["sd"]) ** 2, FEATURES
    model.startprob_, model.transmat_ = p["initial"].copy(), p["transition"].copy()
    return model


@pytest.mark.parametrize("kind", KINDS[:3])
def test_likelihood_and_em_equal_hmmlearn(kind):
    rng = np.random.default_rng(8)
    params, data = random_params(kind, rng), random_data(kind, rng, trials=20, bins=25, missing=False)
    theirs = _hmmlearn(kind, params)
    y = data.y.reshape(500, -1)
    assert model_of(kind).log_prob(params, data).sum() == pytest.approx(theirs.score(y, [25] * 20), abs=1e-8)
    ours = models.Hmm.model_construct(states=STATES, prior=0.0)
    p, _, log_prob = climb(ours, params, data, 7)
    theirs.fit(y, [25] * 20)
    assert log_prob == pytest.approx(theirs.score(y, [25] * 20), abs=1e-7)
    assert np.allclose(p["transition"], theirs.transmat_, atol=1e-8)
    assert np.allclose(p["initial"], theirs.startprob_, atol=1e-8)
    if kind == "counts":
        assert np.allclose(p["rate"], theirs.lambdas_, atol=1e-8)


def test_one_autoregressive_state_is_least_squares(signal):
    fit = models.Hmm(states=1, autoregressive=True, prior=1e-9).fit(signal, range(20), range(20, 26))
    y = signal["signal"].values[:20]
    x = np.concatenate([y[:, :-1].reshape(-1, 2), np.ones((20 * 19, 1))], 1)
    target = y[:, 1:].reshape(-1, 2)
    theta, *_ = np.linalg.lstsq(x, target)
    assert np.allclose(
        fit.predict(signal, [0]).values[0, 0, 1:], np.c_[y[0, :-1], np.ones(19)] @ theta, atol=1e-6
    )
    sd = (target - x @ theta).std(0)
    assert np.allclose(fit.params["sd"][0, 0] * fit.params["scale"][0], sd, rtol=1e-6)


@pytest.fixture(scope="module")
def generated():
    return generate("sticky", trials=120, bins=60)


def test_parameters_are_recovered(generated):
    params, recording, ceiling = generated
    fit = models.Hmm(states=4, prior=1.0).fit(recording, range(80), range(80, 100), members=2)
    best = fit.log_prob(recording, range(80, 100)).values.sum((1, 2)).argmax()
    found = {k: v[best] for k, v in fit.params.items()}
    distance = np.abs(found["rate"][:, None] - params["rate"]).sum(-1)
    match = distance.argmin(0)
    assert sorted(match) == [0, 1, 2, 3]
    assert np.abs(found["rate"][match] - params["rate"][0]).max() < 0.1
    assert np.abs(found["transition"][match][:, match] - params["transition"][0]).max() < 0.05
    test = range(100, 120)
    null = models.Null().fit(recording, range(80), range(80, 100)).log_prob(recording, test).values.sum()
    gain = fit.log_prob(recording, test).values[best].sum() - null
    assert gain == pytest.approx(ceiling[100:].sum() - null, rel=0.03)


def test_members_equal_solo_fits_and_differ(generated):
    recording = generated[1]
    model = models.Hmm(states=6, iterations=5)
    two, one = (model.fit(recording, range(30), range(30, 40), members=m, seed=3) for m in (2, 1))
    for name, value in two.params.items():
        assert np.array_equal(value[0], one.params[name][0])
    assert not np.allclose(two.params["rate"][0], two.params["rate"][1])
    assert two.card["iterations"] == [5, 5] and two.card["ended_by"] == ["iterations"] * 2
    assert two.card["converged"] == [False, False] and two.card["settings_tried"] == 1
    kept = two.curves[two.curves["best"]]
    assert list(kept["epoch"]) == two.card["best_iteration"]
    n = Data.of(recording, range(30, 40)).n_events().sum()
    assert np.allclose(kept["valid_loss"] * n, -two.log_prob(recording, range(30, 40)).values.sum((1, 2)))


def test_own_samples_of_an_autoregressive_model_score_their_entropy(signal):
    fit = models.Hmm(states=2, autoregressive=True).fit(signal, range(20), range(20, 26))
    own = fit.simulate(300, 10, seed=1)
    twin = fit.simulate(300, 10, seed=2)
    a, b = (fit.log_prob(r).values[0].sum(1) for r in (own, twin))
    assert abs(a.mean() - b.mean()) < 4 * np.hypot(a.std(), b.std()) / np.sqrt(300)
    assert np.allclose(own["signal"].values.mean((0, 1)), signal["signal"].values.mean((0, 1)), atol=0.6)


def test_signals_in_other_units_have_the_same_gain(signal):
    scaled = rec.from_signal(signal["signal"].values * 1e-3, bin_width=0.6)
    for autoregressive in (False, True):
        model = models.Hmm(states=3, autoregressive=autoregressive, iterations=20)
        a, b = (model.fit(r, range(15), range(15, 20)).log_prob(r).values for r in (signal, scaled))
        assert np.allclose(b - a, 2 * np.log(1e3), atol=1e-6)


def test_sequences_of_labels():
    rng = np.random.default_rng(9)
    sequences = [np.arange(n) % 3 for n in rng.integers(4, 12, 60)]
    fit = models.Hmm(states=3).fit_sequences(sequences, n_symbols=4, members=2)
    found = fit.log_prob_sequences(sequences[:5])
    assert [len(f) for f in found] == [len(s) for s in sequences[:5]]
    assert np.mean(np.concatenate(found)) > -0.2
    never = fit.log_prob_sequences([np.array([0, 3, 1])])[0]
    assert np.isfinite(never).all()


def test_more_states_than_distinct_bins(symbols):
    fit = models.Hmm(states=200, iterations=3).fit(symbols, range(20), range(20, 30))
    assert np.isfinite(fit.log_prob(symbols).values[:, symbols["valid"].values]).all()


def test_fitting_and_scoring_do_without_torch():
    import subprocess
    import sys

    code = (
        "import sys, numpy as np; from cortseq import models, recording as rec;"
        "r = rec.from_counts(np.random.default_rng(0).poisson(1.0, (9, 8, 2)), bin_width=0.02);"
        "models.Hmm(states=2).fit(r, range(6), range(6, 9)).log_prob(r); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_autoregressive_state_of_many_channels_falls_back_on_each_channels_own_past():
    """Forty independent slow channels, 120 bins to learn from: a regression of each channel on itself is the truth."""
    rng = np.random.default_rng(0)
    y = np.zeros((9, 30, 40))
    for t in range(1, 30):
        y[:, t] = 0.95 * y[:, t - 1] + rng.normal(0, 0.3, y[:, t].shape)
    recording = rec.from_signal(y, bin_width=0.1)
    fit = models.Hmm(states=1, autoregressive=True).fit(
        recording, range(4), range(4, 6), progress=lambda *_: None
    )
    found = np.nanmean(fit.log_prob(recording, range(6, 9)).values[:, :, 1:])
    past, present = y[:4, :-1].reshape(-1, 40), y[:4, 1:].reshape(-1, 40)
    slope = (past * present).sum(0) / (past**2).sum(0)
    sd = (present - slope * past).std(0)
    left = (y[6:, 1:] - slope * y[6:, :-1]) / sd
    by_channel = (-0.5 * left**2 - np.log(sd * np.sqrt(2 * np.pi))).sum(-1).mean()
    assert found > by_channel - 2  # a full matrix from 116 bins is 50 nats below
