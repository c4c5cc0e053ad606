"""Steps of training against AdamW written out, its random numbers, and when it stops."""

import numpy as np
import pytest
import torch

from cortseq import models
from cortseq import recording as rec
from cortseq.data import Data
from cortseq.models.base import Run
from cortseq.networks.training import gradient, noise, windows

RATE, DECAY, BETAS, EPSILON = 1e-3, 0.3, (0.9, 0.999), 1e-8


def unequal_trials():
    """Counts whose trials differ much in their number of spikes: a mean over trials is none over spikes."""
    rng = np.random.default_rng(0)
    gain = np.repeat([0.2, 3.0], [10, 16])[:, None, None]
    return rec.from_counts(rng.poisson(gain * rng.gamma(2, 0.5, (26, 12, 3))), bin_width=0.02)


def data():
    recording = unequal_trials()
    return Data.of(recording, [*range(5), *range(10, 25)]), Data.of(recording, [5, 6, 7, 8, 9, 25])


def loss_gradient(model, p, train, index):
    """Gradients of the summed loss of trials `index`, by automatic differentiation of scan and read-out."""
    network = model.network(train)
    leaves = {k: v.clone().requires_grad_(k not in network.fixed) for k, v in p.items()}
    x, y, mask = network.tensors(leaves, train, index, torch.float64)
    eta = network.readout(leaves, network.scan(leaves, x))
    loss = -(network.observation.log_prob(leaves, eta, y) * mask).sum()
    free = [k for k in leaves if k not in network.fixed]
    return dict(zip(free, torch.autograd.grad(loss, [leaves[k] for k in free]), strict=True))


def adamw(model, p, train, member, seed, batch):
    """Parameters of one member after all epochs: AdamW with the norm of the gradient per event clipped."""
    n, t = len(train.y), 0
    p = {k: v.clone() for k, v in p.items()}
    first, second = ({k: 0.0 for k in p} for _ in range(2))
    clipped = []
    for epoch in range(1, model.epochs + 1):
        order = noise.order(seed, member, epoch, n)
        for start in range(0, n, batch):
            index = order[start : start + batch]
            g = loss_gradient(model, p, train, index)
            events = train.y[index].sum()
            norm = np.sqrt(sum(float((v**2).sum()) for v in g.values())) / events
            scale = min(1.0, model.clip / norm) / events
            clipped.append(model.clip < norm)
            t += 1
            for k, v in g.items():
                v = scale * v
                first[k] = BETAS[0] * first[k] + (1 - BETAS[0]) * v
                second[k] = BETAS[1] * second[k] + (1 - BETAS[1]) * v**2
                m, s = first[k] / (1 - BETAS[0] ** t), second[k] / (1 - BETAS[1] ** t)
                p[k] = p[k] * (1 - RATE * DECAY) - RATE * m / (s.sqrt() + EPSILON)
    return p, np.array(clipped)


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("clip", [1e-7, 0.12, 1e6])
def test_steps_are_those_of_adamw_with_each_members_gradient_clipped(clip, batched):
    """A tiny clip shows the size of a gradient beside the epsilon of Adam; 20 trials are batches of 12 and 8."""
    model = models.Rate(
        hidden=4, epochs=2, batch=12, learning_rate=RATE, weight_decay=DECAY, clip=clip, warm_up=0.0,
        schedule="constant", input_dropout=0.0,
    )  # fmt: skip
    train, valid = data()
    params = model.initial(train, 3, 5, np.float64)
    params["recurrent"][1] *= 3.0  # gradients of members differ in norm
    learned = gradient.descend(
        model.network(train), model.training, params, train, valid, Run(seed=5), batched
    )
    assert learned.curves.query("epoch == 2")["best"].all()  # else other weights are kept
    every = []
    for member in range(3):
        alone = {k: v[member] for k, v in params.items()}
        expected, clipped = adamw(model, alone, train, member, 5, 12)
        every += clipped.tolist()
        for name, value in expected.items():
            assert torch.allclose(learned.params[name][member], value, rtol=0, atol=1e-9), name
    assert {1e-7: all(every), 0.12: 0 < sum(every) < len(every), 1e6: not any(every)}[clip]


@pytest.mark.parametrize("probability", [0.1, 0.3, 0.5])
def test_dropout_keeps_the_mean(probability):
    cut, scale = noise.threshold(probability)
    words = noise.Draws(0, 0, 1, 0).words(noise.INPUT, (200, 50, 20))
    factors = (words >= cut) * scale
    assert (factors == 0).mean() == pytest.approx(probability, abs=0.005)
    assert factors.mean() == pytest.approx(1, abs=0.01)


def test_members_epochs_steps_and_purposes_have_noise_of_their_own():
    shape = (50, 20, 4)
    each = [noise.Draws(0, m, e, s) for m, e, s in ((0, 1, 0), (1, 1, 0), (0, 2, 0), (0, 1, 1))]
    drawn = [d.words(noise.INPUT, shape) for d in each] + [each[0].words(noise.HIDDEN, shape)]
    normal = [d.normal(noise.NOISE, shape) for d in each]
    for kind in (drawn, normal):
        flat = np.stack([d.ravel().astype(float) for d in kind])
        apart = np.corrcoef(flat) - np.eye(len(flat))
        assert np.abs(apart).max() < 5 / np.sqrt(flat.shape[1])
    orders = [noise.order(0, m, e, 40) for m, e in ((0, 1), (1, 1), (0, 2))]
    assert not any(np.array_equal(a, b) for a, b in zip(orders, [*orders[1:], orders[0]], strict=True))
    assert all(np.array_equal(np.sort(o), np.arange(40)) for o in orders)


def test_members_start_apart_and_each_as_it_would_alone():
    train, _ = data()
    model = models.Rate(hidden=4)
    two, one = (model.initial(train, n, 3)["recurrent"] for n in (2, 1))
    assert torch.equal(two[0], one[0]) and (two[0] - two[1]).abs().max() > 0.1


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("settings", [{"hidden_dropout": 0.4}, {"input_noise": 0.5}, {"batch": 4}])
def test_members_that_start_alike_part(settings, batched):
    """What differs between members is their noise or the order of their trials, each alone."""
    settings = {"batch": 40, "input_dropout": 0.0, "warm_up": 0.0, "learning_rate": 1e-3, **settings}
    model = models.Rate(hidden=4, epochs=2, **settings)
    train, valid = data()
    params = {k: v[[0, 0]] for k, v in model.initial(train, 1, 0, np.float64).items()}
    found = gradient.descend(
        model.network(train), model.training, params, train, valid, Run(), batched
    ).params["recurrent"]
    assert (found[0] - found[1]).abs().max() > 1e-9


def test_a_step_scales_what_dropout_keeps():
    """The expected read-out with half of the states dropped is that without: so is the mean of a linear gradient.

    d loss / d readout_weight of a Poisson network is linear in the kept states but for exp(eta), which a read-out of
    weight 0 does not see.
    """
    from cortseq.networks.training import bptt, engines

    train, _ = data()
    for execution in ("auto", "generic"):
        found = []
        for dropout, repeats in ((0.0, 1), (0.5, 200)):
            model = models.Rate(hidden=6, input_dropout=0.0, hidden_dropout=dropout, execution=execution)
            params = {k: v.clone() for k, v in model.initial(train, 1, 0, np.float64).items()}
            params["readout_weight"].zero_()
            params["start"] += 0.5
            engine = engines.choose(model.network(train), train, params, model.training)
            total = 0.0
            for step in range(repeats):
                p = {
                    k: v[0].clone().requires_grad_(k not in model.network(train).fixed)
                    for k, v in params.items()
                }
                batch = engine.batch(np.arange(20)[None], [noise.Draws(0, 0, 1, step)])
                bptt.gradient(engine, p, batch)
                total = total + p["readout_weight"].grad.numpy() / repeats
            found.append(total)
        assert np.abs(found[1] - found[0]).max() < 0.2 * np.abs(found[0]).max(), execution


def test_validation_is_without_noise_and_per_event():
    recording = unequal_trials()
    model = models.Rate(hidden=6, epochs=3, input_dropout=0.4, hidden_dropout=0.4, input_noise=0.5)
    fit = model.fit(recording, range(20), range(20, 26))
    loss = -np.nansum(fit.log_prob(recording, range(20, 26)).values) / recording["counts"].values[20:].sum()
    assert loss == pytest.approx(fit.curves["valid_loss"].min(), rel=1e-5)


@pytest.mark.parametrize("patience", [1, 3])
def test_patience_counts_the_epochs_after_the_best(patience):
    """What is learned from bins that alternate is wrong where they alternate the other way."""
    pattern = np.tile([[4], [0]], (6, 1))[None]
    y = np.concatenate([np.tile(pattern, (20, 1, 1)), np.tile(4 - pattern, (6, 1, 1))])
    model = models.Rate(hidden=4, epochs=50, batch=5, patience=patience, learning_rate=0.02)
    fit = model.fit(rec.from_counts(y, bin_width=0.02), range(20), range(20, 26))
    best = int(fit.curves["valid_loss"].idxmin())
    assert fit.curves["epoch"].max() == fit.curves["epoch"][best] + patience < 50


def test_windows_of_a_limited_memory_change_from_epoch_to_epoch():
    train, _ = data()
    first, second = (windows.draw(train, 9, 0, epoch) for epoch in (1, 2))
    assert first.y.shape == second.y.shape and not np.array_equal(first.y, second.y)


def test_a_checkpoint_belongs_to_one_seed():
    """Fits that begin with an earlier one have the same parameters at the start whatever their seed."""
    from cortseq.networks.training import checkpoints
    from cortseq.networks.training.roles import Session

    train, valid = data()
    model = models.Rate(hidden=4)
    session = Session(model.network(train), model.initial(train, 1, 0), train, valid)
    first, again, other = (checkpoints.identity([session], seed, "cpu", [[0]]) for seed in (0, 0, 1))
    assert first == again != other
