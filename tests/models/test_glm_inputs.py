"""Generalised linear models with inputs: designs written out, scikit-learn, cells with a known drive."""

import numpy as np
import pytest
from scipy import stats

from cortseq import models
from cortseq import recording as rec
from cortseq.data import Data
from cortseq.models import regression
from cortseq.models.filters import bank
from cortseq.observations import distribution


def recorded(y, u):
    return rec.from_counts(y, bin_width=0.02).assign(inputs=(("trial", "time", "input"), u))


def slow(rng, trials, bins):
    """Two inputs of variance 1 that change over several bins."""
    u = rng.normal(size=(trials, bins, 2))
    for t in range(1, bins):
        u[:, t] = 0.8 * u[:, t - 1] + 0.6 * u[:, t]
    return u


def bits(fit, recording, test):
    return fit.log_prob(recording, test).values.sum() / Data.of(recording, test).n_events().sum() / np.log(2)


@pytest.mark.parametrize("filters", ["bins", "exponential", "cosine"])
def test_designs_with_inputs_are_as_written(filters):
    """Past, its missing part, past inputs, their missing part, inputs: one sum after another."""
    rng = np.random.default_rng(0)
    y, u = rng.poisson(1.0, (3, 12, 2)), rng.normal(2, 3, (3, 12, 2))
    model = models.Glm(history=4, input_history=6, filters=filters, past="counts", n_filters=3)
    data = Data.of(recorded(y, u))
    p = {"input_mean": np.array([2.0, 1.0]), "input_scale": np.array([3.0, 2.0])}
    z = (u - p["input_mean"]) / p["input_scale"]
    rows = []
    for r in range(3):
        for t in range(12):
            row = []
            for series, basis in ((y, bank(filters, 4, 3)), (z, bank(filters, 6, 3))):
                lags, n_filters = basis.shape
                for f in range(n_filters):
                    for m in range(2):
                        row.append(
                            sum(basis[lag, f] * series[r, t - 1 - lag, m] for lag in range(min(lags, t)))
                        )
                row += [sum(basis[lag, f] for lag in range(t, lags)) for f in range(n_filters)]
            rows.append([*row, *z[r, t]])
    assert np.allclose(model.design(p, data).reshape(36, -1), rows, atol=1e-12)


@pytest.mark.parametrize("history", [0, 3])
def test_a_regression_with_inputs_equals_sklearn(history):
    """The same weights from the same design at the penalty that was chosen."""
    from sklearn.linear_model import PoissonRegressor

    rng = np.random.default_rng(1)
    u = slow(rng, 40, 30)
    y = rng.poisson(np.exp(-0.5 + u @ [[0.5, 0.0], [-0.3, 0.4]]))
    recording = recorded(y, u)
    model = models.Glm(history=history, input_history=5)
    fit = model.fit(recording, range(30), range(30, 35))
    p = {k: v[0] for k, v in fit.params.items()}
    x = model.design(p, Data.of(recording, range(30))).reshape(900, -1)
    filters = len(model.basis().T), len(model.input_basis().T)
    assert x.shape[1] == 3 * sum(filters) + 2  # two units or inputs and the missing part each
    penalty, loss = fit.card["chosen"]["penalty"], distribution("poisson").loss
    ((weight, bias),) = regression.path(loss, x, y[:30].reshape(900, 2).T.astype(float), [penalty], 1e-10)
    for n in range(2):
        theirs = PoissonRegressor(alpha=penalty, tol=1e-10, max_iter=10_000).fit(x, y[:30, :, n].ravel())
        assert np.allclose(weight[n] @ x.T + bias[n], np.log(theirs.predict(x)), atol=1e-4)
        found = np.exp(x @ p["weight"][n] + p["bias"][n])  # stops within a twentieth of a nat
        assert np.allclose(found, theirs.predict(x), rtol=0.1)


def test_history_adds_nothing_to_a_cell_that_inputs_drive():
    """The encoding model reaches the true rates, which depend on inputs of the bin and of the last two."""
    rng = np.random.default_rng(2)
    u = slow(rng, 300, 100)
    eta = -0.7 + 0.5 * u[..., 0]
    eta[:, 1:] += 0.4 * u[:, :-1, 1]
    eta[:, 2:] -= 0.3 * u[:, :-2, 0]
    recording, test = recorded(rng.poisson(np.exp(eta))[..., None], u), range(250, 300)
    y = recording["counts"].values[250:, :, 0]
    truth = stats.poisson.logpmf(y, np.exp(eta[250:])).sum() / y.sum() / np.log(2)
    settings = {"input_history": 4, "filters": "bins"}
    encoding, both = (
        bits(models.Glm(history=h, **settings).fit(recording, range(200), range(200, 250)), recording, test)
        for h in (0, 4)
    )
    null = bits(models.Null().fit(recording, range(200), range(200, 250)), recording, test)
    assert truth - null > 0.1 and abs(encoding - truth) < 0.002 and abs(both - encoding) < 0.002


def test_inputs_add_nothing_to_a_cell_that_its_history_drives():
    rng = np.random.default_rng(3)
    u, y = slow(rng, 300, 100), np.zeros((300, 100))
    for t in range(100):
        past = -np.sqrt(y[:, t - 1]) - 0.7 * np.sqrt(y[:, t - 2]) if t else 0.0
        y[:, t] = rng.poisson(np.exp(0.5 + past))
    recording, test = recorded(y.astype(int)[..., None], u), range(250, 300)
    dark = recording.drop_vars("inputs")
    model = models.Glm(history=8, input_history=8)
    fits = [(model.fit(r, range(200), range(200, 250)), r) for r in (recording, dark)]
    with_inputs, without = (bits(fit, r, test) for fit, r in fits)
    null = bits(models.Null().fit(dark, range(200), range(200, 250)), dark, test)
    assert without - null > 0.05 and abs(with_inputs - without) < 0.002


def test_without_history_and_inputs_nothing_but_the_mean_is_left(any_recording):
    test = range(26, 30)
    fit = models.Glm(history=0).fit(any_recording, range(20), range(20, 26))
    null = models.Null().fit(any_recording, range(20), range(20, 26))
    assert np.allclose(
        fit.log_prob(any_recording, test).values,
        null.log_prob(any_recording, test).values,
        atol=0.02,
        equal_nan=True,
    )
    assert rec.observations(fit.simulate(3, 5)).shape[:2] == (3, 5)
    ahead = fit.forecast(any_recording, [1, 3], test)
    assert np.allclose(
        ahead[..., 1], np.where(np.isnan(ahead[..., 1]), np.nan, ahead[..., 0]), equal_nan=True
    )


def test_forecasts_know_the_inputs(counts):
    """Without history any horizon has the distribution of the bin itself."""
    rng = np.random.default_rng(4)
    driven = counts.assign(inputs=(("trial", "time", "input"), rng.normal(size=(40, 16, 1))))
    fit = models.Glm(history=0, input_history=3).fit(driven, range(20), range(20, 26))
    ahead = fit.forecast(driven, [1, 4], range(26, 30), samples=8)
    assert np.allclose(ahead[:, :, 3:, 1], ahead[:, :, 3:, 0], atol=1e-9)
