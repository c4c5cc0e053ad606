"""What every distribution keeps, all of them taken from the registry: a new file is tested by being there."""

import numpy as np
import pytest
import torch
from families import applicable, emission, observations, predictors, readout

from cortseq import models
from cortseq import recording as rec
from cortseq.data import Data
from cortseq.observations import TRACKS, distribution, names
from cortseq.observations.registry import modules

SUPPORT, N = 60, 3
TRAIN, VALID, TEST = range(80), range(80, 100), range(100, 140)
MEANS = {  # of two states, well apart
    "counts": np.array([[0.3, 4.0, 1.0], [3.0, 0.4, 1.5]]),
    "symbols": np.array([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7]]),
    "signal": np.array([[-2.0, 5.0, 0.0], [2.0, 3.0, 0.5]]),
}


@pytest.fixture(params=observations())
def name(request):
    return request.param


def track(name):
    return TRACKS[distribution(name).track]


def around(name, mean):
    """Parameters of bins with means (..., feature), all else as in a bin in the middle of the range."""
    rest = {"sd": np.array([0.8, 1.2, 0.5])}
    if getattr(distribution(name), "bounds", None):
        rest["dispersion"] = np.array([0.2, 0.4, 0.6])
    found = emission(name, N, SUPPORT).around(np.asarray(mean, float), rest)
    return {k: np.broadcast_to(v, np.shape(mean)) for k, v in found.items()}


def made(name, seed=0, trials=140, bins=25):
    """A recording that two states of this distribution emit, and the path of the states (trial, bin)."""
    rng = np.random.default_rng(seed)
    path = np.zeros((trials, bins), int)
    path[:, 0] = rng.integers(0, 2, trials)
    for t in range(1, bins):
        path[:, t] = np.where(rng.random(trials) < 0.9, path[:, t - 1], 1 - path[:, t - 1])
    y = emission(name, N, SUPPORT).draw(around(name, MEANS[track(name).name][path]), rng)
    return rec.from_drawn(track(name).name, y, bin_width=0.02, n_features=N, observation=name)


@pytest.fixture
def recording(name):
    return made(name)


def tensors(found):
    return {k: torch.as_tensor(np.array(v, float)) for k, v in found.items()}


def test_the_registry_finds_files_and_no_helper():
    assert {name for t in TRACKS for name in names(t)} == set(modules())
    assert {"base", "counts", "mixture", "states", "tracks"}.isdisjoint(modules())
    assert all(names(t)[0] == TRACKS[t].default for t in TRACKS)


def test_all_outcomes_of_a_bin_have_probability_one(name):
    """Counts of one unit, labels, and the integral over one channel; the mean is that of the outcomes."""
    one = {k: v[..., :1] for k, v in around(name, MEANS[track(name).name]).items()}
    if track(name).has_labels:
        one = around(name, MEANS["symbols"])
    outcomes = {"counts": np.arange(3000.0), "symbols": np.arange(N), "signal": np.linspace(-20, 20, 20_001)}
    y = outcomes[track(name).name]
    y = y[: SUPPORT + 1] if distribution(name).support_of(np.zeros(1, int)) else y
    weight = y[1] - y[0]
    face = emission(name, N if track(name).has_labels else 1, SUPPORT)
    for state in range(2):
        p = {k: v[state] for k, v in one.items()}
        found = np.exp(face.log_prob(p, y if track(name).has_labels else y[:, None])) * weight
        assert found.sum() == pytest.approx(1, abs=1e-9)
        expected = found if track(name).has_labels else found @ y
        assert np.allclose(expected, face.mean(p), rtol=1e-8)


def test_both_faces_are_one_distribution(name, recording):
    """A read-out at its start says what the null says, and so do its compiled constant and its mean."""
    data = Data.of(recording, TRAIN)
    face, numbers = readout(name, N, data.support), emission(name, N, data.support)
    p = tensors(face.start_parameters(data.y, data.valid, np.random.default_rng(0)))
    eta = p["readout_bias"].expand(*data.valid.shape, -1)
    y = torch.as_tensor(data.y) if track(name).has_labels else torch.as_tensor(data.y).double()
    null = numbers.estimate(data.y, data.valid)
    mean = face.mean(p, eta)[0, 0].numpy()
    assert np.allclose(mean, numbers.mean(null), rtol=2e-3)
    same = numbers.around(mean, null)  # the start adds half a spike
    if "log_dispersion" in p:
        same["dispersion"] = p["log_dispersion"].exp().numpy()
    assert np.allclose(face.log_prob(p, eta, y), numbers.log_prob(same, data.y), rtol=1e-9)
    assert face.constant(p, y).shape == data.valid.shape


def test_states_are_scored_at_once_as_one_by_one(name, recording):
    if track(name).has_labels:
        pytest.skip("labels are states already")
    y = Data.of(recording, range(4)).y
    p = around(name, MEANS[track(name).name])
    p |= {k: v[0] for k, v in p.items() if k == "dispersion"}  # shared by the states
    face = emission(name, N, SUPPORT)
    found = face.log_prob_states(p, y)
    for state in range(2):
        own = {k: v if k == "dispersion" else v[state] for k, v in p.items()}
        assert np.allclose(found[..., state], face.log_prob(own, y))


def test_draws_of_both_faces_have_the_moments(name):
    """Means, variances and covariances of one face against the other's: the same within sampling error."""
    n = 20_000
    mean = MEANS[track(name).name][0]
    p = around(name, np.tile(mean, (n, 1)))
    numbers = emission(name, N, SUPPORT).draw(p, np.random.default_rng(0))
    y = track(name).encoded(numbers, N)
    data = Data(track(name).name, numbers[:, None], np.ones((n, 1), bool), None, 0.02, N, name, SUPPORT)
    face = readout(name, N, SUPPORT)
    q = tensors(face.start_parameters(data.y, data.valid, np.random.default_rng(0)))
    drawn = face.draw(q, q["readout_bias"].expand(n, -1), torch.Generator().manual_seed(0)).numpy()
    x = track(name).encoded(drawn, N)
    assert np.allclose(y.mean(0), mean, atol=5 * y.std(0).max() / n**0.5)
    assert (np.abs(x.mean(0) - y.mean(0)) < 5 * np.sqrt((x.var(0) + y.var(0)) / n)).all()
    assert np.allclose(x.var(0), y.var(0), rtol=0.15)


def test_em_recovers_two_hidden_states(name, recording):
    fit = models.Hmm(states=2).fit(recording, TRAIN, VALID, members=2)
    best = int(np.nanargmax(np.nansum(fit.log_prob(recording, TRAIN).values, (1, 2))))
    p = {k: v[best] for k, v in fit.params.items()}
    found = fit.model._emission(fit.card)
    found.common = {k: p[k] for k in ("centre", "scale") if k in p}
    means, truth = found.mean(p), MEANS[track(name).name]
    order = np.argsort(np.linalg.norm(means - truth[0], axis=1))
    assert np.allclose(means[order], truth, rtol=0.12, atol=0.1)
    assert np.allclose(np.diag(p["transition"]), 0.9, atol=0.04)


@pytest.mark.parametrize("execution", ["auto", "generic"])
def test_a_network_beats_the_null_and_is_read_back(name, execution, recording, tmp_path):
    null = models.Null().fit(recording, TRAIN, VALID).log_prob(recording, TEST).values
    model = models.Rate(hidden=8, epochs=12, batch=8, learning_rate=0.03, execution=execution)
    fit = model.fit(recording, TRAIN, VALID)
    scored = fit.log_prob(recording, TEST).values
    assert (scored - null).sum() > 0.01 * np.abs(null.sum())
    fit.save(tmp_path / "fit")
    again = models.load(tmp_path / "fit.safetensors")
    assert np.array_equal(again.log_prob(recording, TEST).values, scored)
    drawn = again.simulate(3, 4)
    assert rec.observation(drawn) == name and rec.track(drawn) == track(name).name


@pytest.mark.parametrize("family", predictors())
def test_a_baseline_scores_draws_and_is_read_back(name, family, recording, tmp_path):
    fit = applicable(family, recording).fit(recording, TRAIN, VALID)
    scored = fit.log_prob(recording, TEST).values
    assert np.isfinite(scored).all() and fit.predict(recording, TEST).values.shape[-1] == N
    fit.save(tmp_path / "fit")
    again = models.load(tmp_path / "fit.safetensors")
    assert np.array_equal(again.log_prob(recording, TEST).values, scored)
    assert np.array_equal(rec.observations(again.simulate(2, 5)), rec.observations(fit.simulate(2, 5)))


def test_an_engine_without_a_head_of_its_own_runs_the_generic_one(name, recording):
    """The compiled engine runs what it has a head for; its loss and gradients are those of the generic one."""
    from cortseq.networks.training import engines
    from cortseq.networks.training.kernels import heads

    data, model = Data.of(recording, range(10)), models.Rate(hidden=4, input_dropout=0, skip=False)
    params = model.initial(data, 1, 0, np.float64)
    engine = engines.choose(model.network(data), data, params, model.training)
    assert engine.name == ("compiled" if name in heads.OBSERVATIONS else "generic")
    p = {k: v[0] for k, v in params.items()}
    one, other = (engines.loss_and_gradient(model, p, data, execution=e) for e in ("auto", "generic"))
    assert one[0] == pytest.approx(other[0], rel=1e-9)
    assert all(np.allclose(one[1][k], other[1][k], rtol=1e-6, atol=1e-8) for k in other[1])
