"""GLM, flat mean, persistence and PSTH: known answers, independent libraries, forecasts."""

import itertools

import numpy as np
import pytest
from families import described, predictors
from scipy.stats import norm, poisson

from cortseq import models
from cortseq import recording as rec
from cortseq.data import Data
from cortseq.models import glm, regression, regressors
from cortseq.observations import TRACKS, distribution
from cortseq.scoring import audits, probes

FAMILIES = [f for f in predictors() if models.registry()[f].role in ("baseline", "null")]
SETTINGS = {"glm": {"history": 4}}


def fitted(family, recording, **more):
    model = models.registry()[family](**{**SETTINGS.get(family, {}), **more})
    return described(model, recording).fit(recording, range(20), range(20, 26))


def with_holes(recording, seed=4):
    """The recording with a tenth of its bins missing."""
    out = recording.copy(deep=True)
    lost = np.random.default_rng(seed).random(out["valid"].shape) < 0.1
    out["valid"] = out["valid"] & ~lost
    if rec.track(recording) == "signal":
        out["signal"].values[lost] = np.nan
    return out


LOSSES = {name: distribution(track.default).loss for name, track in TRACKS.items()}


def problem(kind, n=400, seed=0):
    """Correlated features of unlike scales, and targets (output, bin)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 6)) @ rng.normal(size=(6, 6)) + rng.normal(size=6)
    x[:, 0] *= 10
    eta = 0.3 * x @ rng.normal(size=(6, 3)) / x.std(0).max()
    if kind == "counts":
        return x, rng.poisson(np.exp(eta)).T.astype(float)
    if kind == "symbols":
        return x, np.eye(3)[(eta + rng.gumbel(size=eta.shape)).argmax(1)].T
    return x, (eta + rng.normal(size=eta.shape)).T


def solved(kind, x, y, penalties, tolerance=1e-12):
    return list(regression.path(LOSSES[kind], x, y, penalties, tolerance))


@pytest.mark.parametrize("penalty", [1.0, 1e-2, 1e-5])
def test_poisson_regression_equals_sklearn(penalty):
    from sklearn.linear_model import PoissonRegressor

    x, y = problem("counts")
    weight, bias = solved("counts", x, y, [penalty])[0]
    for unit in range(3):
        theirs = PoissonRegressor(alpha=penalty, solver="newton-cholesky", tol=1e-10, max_iter=1000)
        theirs.fit(x, y[unit])
        assert np.allclose(weight[unit], theirs.coef_, atol=1e-5)
        assert np.isclose(bias[unit], theirs.intercept_, atol=1e-5)


@pytest.mark.parametrize("penalty", [1.0, 1e-2, 1e-5])
def test_multinomial_regression_equals_sklearn(penalty):
    from sklearn.linear_model import LogisticRegression

    x, y = problem("symbols")
    weight, bias = solved("symbols", x, y, [penalty])[0]
    theirs = LogisticRegression(C=1 / (penalty * len(x)), solver="newton-cg", tol=1e-10, max_iter=10_000)
    theirs.fit(x, y.argmax(0))
    p = LOSSES["symbols"].mean((x @ weight.T + bias).T).T
    assert np.allclose(weight, theirs.coef_, atol=1e-5)
    assert np.allclose(p, theirs.predict_proba(x), atol=1e-5)


@pytest.mark.parametrize("penalty", [1.0, 1e-2, 1e-5])
def test_squared_loss_is_ridge_after_one_step(penalty, monkeypatch):
    from sklearn.linear_model import Ridge

    monkeypatch.setattr(regression, "_MOST_STEPS", 1)
    x, y = problem("signal")
    weight, bias = solved("signal", x, y, [penalty])[0]
    theirs = Ridge(alpha=penalty * len(x), solver="cholesky").fit(x, y.T)
    assert np.allclose(weight, theirs.coef_, atol=1e-8) and np.allclose(bias, theirs.intercept_, atol=1e-8)


@pytest.mark.parametrize("kind", TRACKS)
def test_gradient_and_curvature_are_those_of_the_objective(kind):
    x, y = problem(kind)
    rng, ridge = np.random.default_rng(1), np.append(0.0, np.full(6, 0.1))
    p = regression._Problem(LOSSES[kind], x, y)
    theta, direction = 0.1 * rng.normal(size=(2, 3, 7))
    p.origin = 0.1 + theta

    def at(step):
        return p.point(theta + step * direction, ridge)

    total = 1 if LOSSES[kind].separable else 3  # a tied loss gives every output the whole value
    slope = (at(1e-5).value - at(-1e-5).value).sum() / 2e-5 / total
    assert np.isclose(slope, (at(0).gradient() * direction).sum(), rtol=1e-6)
    change = direction @ p.z.T
    expected = ((at(1e-5).gradient() - at(-1e-5).gradient()) * direction).sum() / 2e-5
    found = np.sum(p.loss.curvature(at(0).mean, change)) / len(x) + (ridge * direction**2).sum()
    assert np.isclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("kind", TRACKS)
def test_weaker_penalties_never_fit_worse(kind):
    x, y = problem(kind)
    loss, values = LOSSES[kind], []
    for weight, bias in solved(kind, x, y, glm.PENALTIES):
        eta = (x @ weight.T + bias).T
        values.append(np.sum(loss.value(eta, loss.mean(eta), y)))
    assert (np.diff(values) <= 1e-9).all() and values[-1] < values[0]


def test_a_silent_unit_and_a_constant_feature_stay_finite():
    x, y = problem("counts")
    x[:, 2], y[1] = 3.0, 0.0
    for weight, bias in solved("counts", x, y, glm.PENALTIES, 1e-6):
        assert np.isfinite(weight).all() and np.isfinite(bias).all() and np.allclose(weight[:, 2], 0)


def test_the_penalties_reach_from_30_to_1em7_and_below():
    assert glm.PENALTIES[0] > 30 and glm.PENALTIES[-1] < 1e-7 and (np.diff(glm.PENALTIES) < 0).all()


@pytest.mark.parametrize("history", [1, 5, 30, 70, 200])
@pytest.mark.parametrize("filters", ["bins", "exponential", "cosine"])
def test_filtered_past_equals_its_definition(history, filters):
    basis = models.Glm(history=history, filters=filters).basis()
    assert len(basis) == history and np.allclose(np.linalg.norm(basis, axis=0), 1)
    assert np.linalg.matrix_rank(basis) == basis.shape[1]
    y = np.random.default_rng(0).normal(size=(2, 90, 3))
    direct = np.zeros((2, 90, basis.shape[1], 3))
    for t in range(90):
        for lag in range(1, min(history, t) + 1):
            direct[:, t] += basis[lag - 1][:, None] * y[:, t - lag][:, None]
    assert np.allclose(regressors.filtered(y, basis), direct.reshape(2, 90, -1), atol=1e-12)


@pytest.mark.parametrize("past", ["counts", "root"])
def test_couplings_that_made_the_data_are_found(past):
    """Weights (lag, from, to) of a stable network of three units, each within 5 standard errors."""
    rng = np.random.default_rng(3)
    true = np.array(
        [[[-0.8, 0.5, 0.0], [0.0, -0.5, 0.4], [0.3, 0.0, -0.6]], [[0.2, 0, 0], [0, 0.0, 0.3], [0, -0.4, 0]]]
    )
    y = np.zeros((300, 100, 3))
    scale = np.sqrt if past == "root" else np.asarray
    for t in range(100):
        eta = -1.0 + sum(scale(y[:, t - lag - 1]) @ true[lag] for lag in range(min(t, 2)))
        y[:, t] = rng.poisson(np.exp(eta))
    fit = models.Glm(history=2, past=past).fit(
        rec.from_counts(y.astype(int), bin_width=0.02), range(250), range(250, 300)
    )
    p = {k: v[0] for k, v in fit.params.items()}
    assert np.allclose(fit.model.couplings(p), true, atol=0.08) and np.allclose(p["bias"], -1, atol=0.08)


def test_var_equals_least_squares():
    rng = np.random.default_rng(5)
    a = np.array([[0.7, 0.2], [-0.3, 0.5]])
    y = rng.normal(size=(60, 50, 2))
    for t in range(1, 50):
        y[:, t] += y[:, t - 1] @ a
    fit = models.Glm(history=1).fit(rec.from_signal(10 + 3 * y, bin_width=0.1), range(45), range(45, 60))
    coupling = fit.model.couplings({k: v[0] for k, v in fit.params.items()})[0]
    scale = fit.params["signal_scale"][0]
    found = coupling / scale[:, None] * scale
    before, after = (part.reshape(-1, 2) for part in (y[:45, :-1], y[:45, 1:]))
    least = np.linalg.lstsq(np.hstack([before, np.ones((len(before), 1))]), after, rcond=None)[0][:2]
    assert np.allclose(found, least, atol=5e-3) and np.allclose(found, a, atol=0.06)
    assert np.allclose(fit.params["sd"][0] * scale, 3, rtol=0.05)


def test_unrelated_slow_channels_are_shrunk_to_their_own_past():
    """Thirty random walks and few bins: couplings would only over-fit, and plain ridge loses the walks."""
    rng = np.random.default_rng(11)
    walks = rng.normal(size=(20, 30, 30)).cumsum(1)
    recording = rec.from_signal(walks, bin_width=0.1)
    fit = models.Glm(history=2).fit(recording, range(12), range(12, 16))
    assert fit.card["chosen"]["toward"] == "own history"
    last = models.Persistence().fit(recording, range(12), range(12, 16))
    mine, theirs = (f.log_prob(recording, range(16, 20)).values[..., 1:].mean() for f in (fit, last))
    assert mine > theirs - 0.05 * 30


def test_inputs_act_at_their_own_bin(counts):
    rng = np.random.default_rng(6)
    x = rng.normal(size=(40, 16, 1))
    driven = rec.from_counts(rng.poisson(np.exp(0.2 + 0.8 * x * np.ones(3))), bin_width=0.02)
    driven["inputs"] = (("trial", "time", "input"), 5 + 2 * x)
    fit = fitted("glm", driven)
    assert np.allclose(fit.params["weight"][0, :, -1], 0.8, atol=0.2)
    dark = driven.drop_vars("inputs")
    blind = fitted("glm", dark)
    assert (
        fit.log_prob(driven, range(26, 40)).values.sum()
        > blind.log_prob(dark, range(26, 40)).values.sum() + 50
    )


def test_multinomial_history_learns_a_cycle(symbols):
    null, chain = (
        f.log_prob(symbols, range(26, 40)).values
        for f in (fitted("null", symbols), fitted("markov", symbols))
    )
    mine = fitted("glm", symbols, history=1).log_prob(symbols, range(26, 40)).values
    assert abs(np.nanmean(mine) - np.nanmean(chain)) < 0.03 and np.nanmean(mine) > np.nanmean(null) + 0.5


@pytest.mark.parametrize("family", FAMILIES)
def test_causal_with_missing_bins(family, any_recording):
    holes = with_holes(any_recording)
    fit = fitted(family, holes)
    scores = fit.log_prob(holes, range(26, 30)).values
    assert np.array_equal(np.isfinite(scores[0]), holes["valid"].values[26:30])
    for seed in range(3):
        assert audits.causality(family, fit, any_recording, range(26, 30), seed).passed


@pytest.mark.parametrize("family", FAMILIES)
def test_what_a_missing_bin_holds_does_not_matter(family, any_recording):
    holes = with_holes(any_recording)
    fit, other = fitted(family, holes), holes.copy(deep=True)
    kind = rec.track(holes)
    values = other[kind].values
    values[~other["valid"].values] = 1 if kind == "symbols" else 7
    assert np.array_equal(fit.log_prob(holes).values, fit.log_prob(other).values, equal_nan=True)
    assert np.array_equal(
        fitted(family, other).log_prob(holes).values, fit.log_prob(holes).values, equal_nan=True
    )


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("holes", [False, True])
def test_forecast_one_bin_ahead_is_the_score(family, holes, any_recording):
    recording = with_holes(any_recording) if holes else any_recording
    fit = fitted(family, recording)
    data = Data.of(recording, range(26, 30), fit.model.sees)
    found = fit.model.forecast(fit.params, data, [1, 2, 5, 40], 8, 0)
    assert found.shape == (1, *data.valid.shape, 4)
    assert np.allclose(
        found[..., 0], fit.log_prob(recording, range(26, 30)).values, atol=1e-9, equal_nan=True
    )
    t = np.arange(data.valid.shape[1])
    for column, h in enumerate((1, 2, 5, 40)):
        assert np.array_equal(np.isfinite(found[0, ..., column]), data.valid & (t >= h - 1))
    again = fit.model.forecast(fit.params, data, [1, 2, 5, 40], 8, 0)
    assert np.array_equal(found, again, equal_nan=True)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_forecast_sees_nothing_of_the_last_bins(family, any_recording):
    fit, kind = fitted(family, any_recording), rec.track(any_recording)
    other = any_recording.copy(deep=True)
    y = other[kind].values
    y[:, 2:4] = (y[:, 2:4] + 1) % 3 if kind == "symbols" else y[:, 2:4] + 1
    samples, error = (20_000, 0.1) if family == "glm" else (1, 1e-9)
    a, b = (
        fit.model.forecast(fit.params, Data.of(r, range(26, 30), fit.model.sees), [3], samples, 0)[:, :, 4]
        for r in (any_recording, other)
    )
    assert np.allclose(a, b, atol=error)


@pytest.mark.parametrize("family", ["glm", "persistence"])
def test_forecast_of_symbols_equals_the_sum_over_futures(family, symbols):
    """p(y_4 | y_0, y_1) as a sum over the nine (y_2, y_3)."""
    fit = fitted(family, symbols)
    start = [0, 2]
    every = [np.array([*start, *middle, 1]) for middle in itertools.product(range(3), repeat=2)]
    rows = fit.log_prob(rec.from_symbols(every, n_symbols=3)).values[0]
    expected = np.logaddexp.reduce(rows[:, 2:].sum(1))
    data = Data.of(rec.from_symbols(every[:1], n_symbols=3))
    samples = 20_000 if family == "glm" else 1
    found = fit.model.forecast(fit.params, data, [3], samples, 0)[0, 0, 4, 0]
    assert np.isclose(found, expected, atol=0.03 if family == "glm" else 1e-9)


@pytest.mark.parametrize("family", ["glm", "persistence"])
def test_forecast_of_counts_equals_the_sum_over_futures(family):
    """p(y_2 | y_0) of two units as a sum over all y_1 of up to ten spikes."""
    rng = np.random.default_rng(0)
    y = np.zeros((40, 12, 2), int)
    for t in range(12):
        y[:, t] = rng.poisson(0.3 + (0.5 * y[:, t - 1] if t else 0))
    fit = fitted(family, rec.from_counts(y, bin_width=0.02))
    every = np.array([[[2, 0], pair, [1, 1]] for pair in itertools.product(range(11), repeat=2)])
    rows = fit.log_prob(rec.from_counts(every, bin_width=0.02)).values[0]
    expected = np.logaddexp.reduce(rows[:, 1:].sum(1))
    data = Data.of(rec.from_counts(every[:1], bin_width=0.02))
    samples = 20_000 if family == "glm" else 1
    found = fit.model.forecast(fit.params, data, [2], samples, 0)[0, 0, 2, 0]
    assert np.isclose(found, expected, atol=0.03 if family == "glm" else 1e-6)


@pytest.mark.parametrize("family", ["glm", "persistence"])
def test_forecast_of_signals_is_exact(family, signal):
    """Against the integral over the bins between, with 50,000 draws."""
    fit = fitted(family, signal)
    data = Data.of(signal, range(26, 27))
    found = fit.model.forecast(fit.params, data, [3], 1, 0)[0, 0, 6, 0]
    n, rng = 50_000, np.random.default_rng(0)
    y = np.repeat(data.y[:, :7], n, 0)
    for t in (4, 5, 6):
        valid = np.ones(y.shape[:2], bool)
        q = Data("signal", y[:, : t + 1], valid[:, : t + 1], None, 0.6, 2)
        mean = fit.model.predict(fit.params, q)[0, :, t]
        p = {k: v[0] for k, v in fit.params.items()}
        sd = p["step_sd"] if family == "persistence" else p["sd"] * p["signal_scale"]
        if t < 6:
            y[:, t] = rng.normal(mean, sd)
    log_prob = norm(mean, sd).logpdf(data.y[0, 6]).sum(1)
    assert np.isclose(found, np.logaddexp.reduce(log_prob) - np.log(n), atol=0.03)


def test_forecast_of_counts_with_a_support_sums_to_one():
    """Conway-Maxwell counts that vary much more than their mean: no mass goes to counts that cannot be."""
    rng = np.random.default_rng(2)
    y = np.repeat(rng.poisson(rng.gamma(0.5, 30, (30, 1, 1))), 8, 1)
    recording = rec.from_counts(y, bin_width=0.02, observation="conway_maxwell")
    fit = models.Persistence().fit(recording, range(20), range(20, 30))
    every = recording.isel(trial=np.full(recording.attrs["support"] + 1, 26)).copy(deep=True)
    every["counts"].values[:, 5, 0] = np.arange(len(every["trial"]))
    p = np.exp(fit.model.forecast(fit.params, fit._data(every, None), [5])[0, :, 5, 0])
    assert p.sum() == pytest.approx(1, abs=1e-9)


def test_flat_mean_by_hand():
    y = np.array([[[3], [0], [2], [5]]])
    fit = fitted("flat", rec.from_counts(np.random.default_rng(0).poisson(2, (30, 9, 1)), bin_width=0.02))
    m = fit.params["centre"][0, 0]
    params = {**fit.params, "window": np.array([2]), "shrinkage": np.array([0.5])}
    data = Data.of(rec.from_counts(y, bin_width=0.02))
    rates = np.array([m, (3 + m / 2) / 1.5, (3 + m / 2) / 2.5, (2 + m / 2) / 2.5])
    assert np.allclose(fit.model.predict(params, data)[0, 0, :, 0], rates)
    assert np.allclose(fit.model.log_prob(params, data)[0, 0], poisson.logpmf(y[0, :, 0], rates))
    ahead = fit.model.forecast(params, data, [2])[0, 0, 1:, 0]
    assert np.allclose(ahead, poisson.logpmf(y[0, 1:, 0], rates[:-1]))


def test_flat_finds_slow_rates():
    """Trials that differ in rate only: a long window, and nearly the score of knowing the rate."""
    rng = np.random.default_rng(8)
    rates = rng.gamma(2, 1, (60, 1, 2)) * np.ones((1, 100, 1))
    slow = rec.from_counts(rng.poisson(rates), bin_width=0.02)
    fit = models.Flat().fit(slow, range(30), range(30, 40))
    assert fit.card["chosen"]["window_bins"] >= 50
    null = models.Null().fit(slow, range(30), range(30, 40)).log_prob(slow, range(40, 60)).values
    true = poisson.logpmf(slow["counts"].values[40:], rates[40:]).sum(-1)
    gain, most = (
        np.sum(x[..., 20:] - null[..., 20:]) for x in (fit.log_prob(slow, range(40, 60)).values, true[None])
    )
    assert 0.8 * most < gain < most * 1.02


def test_persistence_finds_the_share_of_the_last_bin():
    rng = np.random.default_rng(9)
    y = np.zeros((60, 80, 2), int)
    for t in range(80):
        y[:, t] = rng.poisson(0.6 * y[:, t - 1] + 0.4 if t else 1)
    fit = models.Persistence().fit(rec.from_counts(y, bin_width=0.02), range(40), range(40, 60))
    assert abs(fit.card["chosen"]["share"] - 0.6) < 0.06


def test_psth_of_symbols_and_signals_by_time_in_the_trial():
    rng = np.random.default_rng(10)
    labels = np.where(rng.random((60, 6)) < 0.9, np.arange(6) % 3, rng.integers(0, 3, (60, 6)))
    fit = fitted("psth", rec.from_symbols(list(labels), n_symbols=3))
    p = fit.predict(rec.from_symbols(list(labels[:1]), n_symbols=3)).values[0, 0]
    assert np.array_equal(p.argmax(-1), np.arange(6) % 3) and p.max(-1).min() > 0.75
    wave = np.sin(np.arange(30) / 4)[None, :, None] * 3
    noisy = rec.from_signal(wave + rng.normal(0, 0.5, (40, 30, 1)), bin_width=0.1)
    fit = fitted("psth", noisy)
    assert np.abs(fit.predict(noisy, [0]).values[0, 0] - wave[0]).max() < 0.5
    assert np.allclose(fit.params["sd"], 0.5, atol=0.05)


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_is_gained_on_noise(family, any_recording):
    model = described(models.registry()[family](), any_recording)
    audit = probes.canary(family, model, any_recording, seed=1)
    assert audit.passed, audit.detail


@pytest.mark.parametrize("family", FAMILIES)
def test_a_signal_in_other_units_has_the_same_gain(signal, family):
    scaled = signal.copy(deep=True)
    scaled["signal"] = scaled["signal"] * 1e-6
    a, b = (fitted(family, r).log_prob(r, range(26, 30)).values for r in (signal, scaled))
    assert np.allclose(b - a, 2 * 6 * np.log(10), atol=1e-3)
