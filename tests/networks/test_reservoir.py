"""Reservoirs: compiled states against the update rule, ridge against scikit-learn."""

import numpy as np
import pytest
import torch

from cortseq import models, recording
from cortseq.data import Data
from cortseq.errors import CortseqError
from cortseq.networks.families import esn
from cortseq.networks.training import convex


@pytest.mark.parametrize("density", [0.1, 1.0])
@pytest.mark.parametrize(("kind", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-12)])
def test_compiled_states_equal_the_update_rule(density, kind, tolerance, any_recording):
    data = Data.of(any_recording)
    model = models.Esn(hidden=37, density=density, radius=1.1)
    p = {k: v[0] for k, v in model.initial(data, 1, 0, kind).items()}
    p["start"] += 0.3
    network = model.network(data)
    x = network.tensors(p, data, slice(0, 9), p["bias"].dtype)[0]
    with torch.no_grad():
        fast = network.scan(p, x)
        slow = models.Esn(hidden=37, execution="generic").network(data).scan(p, x)
    assert fast.dtype == slow.dtype and fast.shape == slow.shape
    assert (fast - slow).abs().max() < tolerance


def test_sparse_reservoirs_have_their_density_and_radius(counts):
    data = Data.of(counts)
    weights = models.Esn(hidden=200, density=0.1, radius=0.8, leak=0.5).initial(data, 1, 0)["recurrent"][0]
    assert abs((weights != 0).double().mean() - 0.1) < 0.01
    assert abs(np.abs(0.5 + 0.5 * np.linalg.eigvals(weights.double().numpy())).max() - 0.8) < 1e-6


@pytest.mark.parametrize("leak", [1.0, 0.4, 0.1])
def test_the_leaky_map_has_the_radius(leak):
    values = np.linalg.eigvals(
        esn.scaled_reservoir(np.random.default_rng(4).normal(size=(60, 60)), 0.95, leak)
    )
    assert np.abs(1 - leak + leak * values).max() == pytest.approx(0.95, abs=1e-6)


def test_a_reservoir_follows_rates_that_change():
    """Poisson counts of a sine: the read-out predicts better than the training mean."""
    rng = np.random.default_rng(8)
    slow = np.exp(0.8 * np.sin(0.3 * np.arange(50) + rng.uniform(0, 6, (40, 1))))
    counts = recording.from_counts(rng.poisson(np.stack([slow, 2 - slow.clip(0, 1.9)], -1)), bin_width=0.02)
    learn, choose, test = range(28), range(28, 34), range(34, 40)
    score = [
        m.fit(counts, learn, choose).log_prob(counts, test).values.sum()
        for m in (models.Esn(hidden=50), models.Null())
    ]
    assert score[0] - score[1] > 0.005 * np.log(2) * float(counts["counts"][list(test)].sum())


def test_a_reservoir_without_a_loop_is_refused(counts):
    with pytest.raises(CortseqError, match=r"density.*no loop"):
        models.Esn(hidden=2, density=1e-6).initial(Data.of(counts), 1, 0)


def test_ridge_equals_sklearn():
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(0)
    features = (3 + rng.normal(size=(9000, 20))).astype(np.float32)
    targets = features[:, :3] + rng.normal(size=(9000, 3)) - 2
    for penalty, (weight, bias) in zip([1e-6, 0.1], convex.ridge(features, targets, [1e-6, 0.1])):
        theirs = Ridge(alpha=penalty * 9000).fit(features.astype(float), targets)
        assert np.allclose(weight, theirs.coef_, rtol=1e-8, atol=1e-10)
        assert np.allclose(bias, theirs.intercept_, rtol=1e-8)
