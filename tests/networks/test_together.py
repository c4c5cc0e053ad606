"""One cell for several recordings: what is shared, what each keeps, and what a cell is worth elsewhere."""

import numpy as np
import pytest
import torch
from families import small, trained

import cortseq
from cortseq import models
from cortseq import recording as rec
from cortseq.data import Data
from cortseq.errors import CortseqError
from cortseq.models.base import Checkpoint, Run
from cortseq.models.progress import silent
from cortseq.networks import parameters
from cortseq.networks.together import check_alike
from cortseq.networks.training import gradient
from cortseq.networks.training.flat import Flat
from cortseq.networks.training.roles import Roles, Session

TRAIN, VALID = {"a": range(20), "b": range(9)}, {"a": range(20, 30), "b": range(9, 14)}


@pytest.fixture(scope="module")
def two(counts):
    """Two recordings with other numbers of units, trials and bins."""
    rng = np.random.default_rng(4)
    return {"a": counts, "b": rec.from_counts(rng.poisson(0.7, (20, 11, 5)), bin_width=0.02)}


def together(two, model=None, **how):
    model = model or models.Rate(hidden=4, epochs=3, batch=4)
    return cortseq.fit_together(model, two, TRAIN, VALID, progress=silent, **how)


@pytest.mark.parametrize("family", trained())
def test_every_family_shares_its_cell_and_nothing_else(family, two):
    fits = together(two, small(family), members=2)
    shared = set(fits["a"].card["shared"]["parameters"])
    assert shared == parameters.of_cell(small(family), 0.02) and "input_weight" not in shared
    for name in shared:
        assert np.array_equal(fits["a"].params[name], fits["b"].params[name]), name
    assert fits["a"].params["input_weight"].shape[-1] == 3 and fits["b"].params["input_weight"].shape[-1] == 5
    assert not np.array_equal(fits["a"].params["start"], fits["b"].params["start"])
    for name, fit in fits.items():
        assert np.isfinite(fit.log_prob(two[name], VALID[name]).values).any()
        assert fit.card["learned_from"]["train"] == [*TRAIN[name]]
        alone = small(family).fit(two[name], TRAIN[name], VALID[name], progress=silent)
        assert fit.card["parameters"] == alone.card["parameters"]


def test_a_member_equals_its_solo_fit(two):
    both, second = together(two, members=2, seed=5), together(two, members=2, seed=6)
    one = together(two, members=1, seed=5)
    for name in two:
        assert both[name].only(0).digest() == one[name].digest() != second[name].only(0).digest()


def test_the_loss_is_that_of_all_events():
    """The first step of Adam moves each parameter against the sign of its gradient: that of the sum, for the cell.

    One recording has many more spikes: were its mean averaged with the other's, signs would come out otherwise.
    """
    rng = np.random.default_rng(0)
    data = {
        "a": Data.of(rec.from_counts(rng.poisson(4.0, (12, 8, 3)), bin_width=0.02)),
        "b": Data.of(rec.from_counts(rng.poisson(0.3, (12, 8, 4)), bin_width=0.02)),
    }
    model = models.Rate(hidden=5, epochs=1, batch=12, warm_up=0, weight_decay=0.0, input_dropout=0.0)
    shared = parameters.of_cell(model, 0.02)
    sessions = []
    for one in data.values():
        params = model.initial(one, 1, 0)
        if sessions:
            params |= {name: sessions[0].params[name].clone() for name in shared}
        sessions.append(Session(model.network(one), params, one, one))
    before = [{k: v[0].clone() for k, v in s.params.items()} for s in sessions]
    learned = gradient.descend_together(sessions, model.training, Run(), shared)
    summed, means, own, nats = {}, {}, [], 0.0
    for session, p in zip(sessions, before, strict=True):
        leaves = {k: v.clone().requires_grad_(k not in session.network.fixed) for k, v in p.items()}
        x, y, mask = session.network.tensors(leaves, session.train, slice(None), torch.float32)
        eta = session.network.readout(leaves, session.network.scan(leaves, x))
        loss = -(session.network.observation.log_prob(leaves, eta, y) * mask).sum()
        nats += float(loss.detach())
        free = [k for k in leaves if leaves[k].requires_grad]
        found = dict(zip(free, torch.autograd.grad(loss, [leaves[k] for k in free]), strict=True))
        own.append({k: g for k, g in found.items() if k not in shared})
        for k in shared & set(free):
            summed[k] = summed.get(k, 0) + found[k]
            means[k] = means.get(k, 0) + found[k] / session.train.n_events().sum()
    events = sum(s.train.n_events().sum() for s in sessions)
    assert learned[1].curves["train_loss"].tolist() == pytest.approx([nats / events], rel=1e-5)
    assert any((torch.sign(summed[k]) != torch.sign(means[k])).any() for k in summed)  # the test can fail
    for k, g in summed.items():
        moved = torch.as_tensor(learned[0].params[k][0]) - before[0][k]
        assert torch.equal(torch.sign(moved), -torch.sign(g)), k
        assert torch.equal(torch.as_tensor(learned[1].params[k]), torch.as_tensor(learned[0].params[k]))
    for k, g in own[1].items():
        moved = torch.as_tensor(learned[1].params[k][0]) - before[1][k]
        sure = g.abs() > 1e-4 * g.abs().max()
        assert torch.equal(torch.sign(moved)[sure], -torch.sign(g)[sure]), k


@pytest.mark.parametrize("n_trials", [1, 3, 12, 13, 37])
def test_every_trial_is_seen_once_an_epoch(n_trials):
    """Whatever the number of steps is that the largest recording needs."""
    rng = np.random.default_rng(1)
    data = Data.of(rec.from_counts(rng.poisson(1.0, (n_trials, 4, 2)), bin_width=0.02))
    model = models.Rate(hidden=2, batch=4)
    roles = Roles(
        Session(model.network(data), model.initial(data, 1, 0), data, data), model.training, "cpu", False, 0
    )
    for n_steps in (roles.steps(), roles.steps() + 1, 10, 25):
        if n_steps >= roles.steps():
            order = roles.order(0)
            seen = np.concatenate([order[roles.part(step, n_steps)] for step in range(n_steps)])
            assert sorted(seen) == [*range(n_trials)]
            assert max(len(order[roles.part(step, n_steps)]) for step in range(n_steps)) <= 4


def test_shared_parameters_are_one_place_of_the_flat_tensor(two):
    model = models.Dale(hidden=4)
    each = [model.initial(Data.of(recording), 2, 0) for recording in two.values()]
    shared = parameters.of_cell(model, 0.02)
    flat = Flat(each, model.network(Data.of(two["a"])).fixed, "cpu", shared)
    assert flat.p[0]["raw"] is flat.p[1]["raw"] and flat.p[0]["input_weight"] is not flat.p[1]["input_weight"]
    assert "sign" not in flat.places[0] and not flat.p[0]["sign"].requires_grad
    total = flat.learned(0) + flat.learned(1) - sum(each[0][k][0].numel() for k in shared - {"sign"})
    assert flat.values.shape == (2, total)
    for i, params in enumerate(each):
        back = flat.unpacked(flat.values.detach(), i)
        for name, value in params.items():
            same = each[0][name] if name in shared else value
            assert torch.equal(back[name], same if name in flat.places[i] else value), name


def test_a_checkpoint_changes_nothing(two, tmp_path):
    whole, step, left = together(two, members=2), gradient._Descent._step, iter(range(6))

    def stopping(self, *arguments):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return step(self, *arguments)

    how = {"members": 2, "checkpoint": Checkpoint(tmp_path / "c.safetensors", 0.0)}
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(gradient._Descent, "_step", stopping)
        together(two, **how)
    resumed = together(two, **how)
    assert all(resumed[name].digest() == whole[name].digest() for name in two)


def test_a_moved_cell_stays_as_it_was_learned(two, counts):
    first = together(two, members=2)["a"]
    frozen = first.model.model_copy(update={"cell": "frozen"})
    new = rec.from_counts(np.random.default_rng(2).poisson(1.0, (16, 12, 7)), bin_width=0.02)
    moved = frozen.fit(new, range(10), range(10, 16), 2, progress=silent, start=first)
    untrained = frozen.fit(new, range(10), range(10, 16), 2, progress=silent)
    shared = first.card["shared"]["parameters"]
    for name in shared:
        assert np.array_equal(moved.params[name], first.params[name]), name
    assert not all(np.array_equal(untrained.params[name], first.params[name]) for name in shared)
    assert moved.card["started_from"] == first.digest()
    hidden, units = 4, 7
    assert moved.card["parameters"] == untrained.card["parameters"] == 2 * hidden * units + hidden + units
    assert not np.array_equal(moved.params["input_weight"], untrained.params["input_weight"])


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda m, r: (m.model_copy(update={"hidden": 5}), r, 2), ["where the cell was learned"]),
        (lambda m, r: (m, r.assign_attrs(bin_width=0.05), 2), ["bin width", "bin both recordings alike"]),
        (lambda m, r: (m, r, 3), ["members", "as many members"]),
    ],
)
def test_a_cell_that_cannot_be_moved(change, words, two):
    first = together(two, members=2)["a"]
    model, recording, members = change(first.model.model_copy(update={"cell": "frozen"}), two["b"])
    with pytest.raises(CortseqError) as caught:
        model.fit(recording, TRAIN["b"], VALID["b"], members, progress=silent, start=first)
    for word in words:
        assert word in str(caught.value)


def test_what_cannot_share_a_cell(two, symbols, signal):
    songs = rec.from_symbols([[0, 1, 2, 3, 1, 0]] * 20, n_symbols=4)
    for other, words in (
        (two["b"].assign_attrs(bin_width=0.05), "another bin width"),
        (rec.from_signal(np.random.default_rng(0).normal(size=(20, 9, 2)), bin_width=0.02), "another track"),
    ):
        with pytest.raises(CortseqError, match=words):
            together({"a": two["a"], "b": other})
    shape = {"track": "signal", "features": []}
    check_alike({"a": shape | {"bin_width": 0.6000188714}, "b": shape | {"bin_width": 0.6000188690}})
    with pytest.raises(CortseqError, match="another bin width"):
        check_alike({"a": shape | {"bin_width": 0.6}, "b": shape | {"bin_width": 0.6002}})
    with pytest.raises(CortseqError, match="different alphabets"):
        together({"a": symbols, "b": songs})
    with pytest.raises(CortseqError, match="two recordings or more"):
        check_alike({"a": {}})
    with pytest.raises(CortseqError, match="never trained"):
        together(two, models.Esn(hidden=20))
    with pytest.raises(CortseqError, match="never trained"):
        together(two, models.Rate(hidden=4, cell="frozen"))
    with pytest.raises(CortseqError, match="across or after, not both"):
        models.Rate(across="x", after="previous")
    with pytest.raises(CortseqError, match="never trained"):
        models.Esn(across="x")


def test_symbols_and_signals_share_a_cell(symbols, signal):
    for recording in (symbols, signal):
        halves = {"a": recording.isel(trial=slice(0, 15)), "b": recording.isel(trial=slice(15, 30))}
        roles = {"a": range(9), "b": range(9)}, {"a": range(9, 15), "b": range(9, 15)}
        fits = cortseq.fit_together(models.Rate(hidden=3, epochs=2), halves, *roles, progress=silent)
        assert np.array_equal(fits["a"].params["recurrent"], fits["b"].params["recurrent"])


# -- known answer: recordings drawn from one cell, or from several ------------------------------------


def drawn(weight, seed, n_trials, n_units=4, n_time=60):
    """Spikes of a network of weights (hidden, hidden) with a read-in and a read-out of its own."""
    rng, hidden = np.random.default_rng(seed), len(weight)
    read_in = rng.normal(0, 0.5 / np.sqrt(n_units), (hidden, n_units))
    read_out = rng.normal(0, 2.0 / np.sqrt(hidden), (n_units, hidden))
    h, bins = np.zeros((n_trials, hidden)), []
    for _ in range(n_time):
        rates = 0.3 * np.exp(np.minimum(h @ read_out.T, 3.0))
        y = rng.poisson(rates)
        bins.append(y)
        h = np.tanh(h @ weight.T + (y - 0.3) @ read_in.T)
    return rec.from_counts(np.stack(bins, 1), bin_width=0.02)


@pytest.mark.slow
def test_a_cell_that_is_shared_pays_where_there_is_one_and_not_where_there_are_several():
    """Four sessions of 50 trials of one cell, and of four cells; then a fifth session with few trials."""
    hidden, train, valid, test = 12, range(37), range(37, 50), range(50, 450)
    model = models.Rate(hidden=hidden, epochs=800, patience=120, batch=8, learning_rate=0.01)
    gains = {}
    for cells in ("one", "several"):
        rng = np.random.default_rng(1)
        weights = [1.3 * rng.normal(size=(hidden, hidden)) / np.sqrt(hidden) for _ in range(4)]
        every = {f"s{k}": drawn(weights[k if cells == "several" else 0], 10 + k, 450) for k in range(4)}
        how = {name: train for name in every}, {name: valid for name in every}
        shared = cortseq.fit_together(model, every, *how, progress=silent)
        own = {name: model.fit(r, train, valid, progress=silent) for name, r in every.items()}
        gains[cells] = [
            float(
                (shared[n].log_prob(r, test).values - own[n].log_prob(r, test).values).sum()
                / r["counts"][test.start :].sum()
            )
            for n, r in every.items()
        ]
        if cells == "one":
            fits, weight = shared, weights[0]
    assert np.mean(gains["one"]) > max(0, np.mean(gains["several"]) + 0.005), gains
    new = drawn(weight, 14, 450)
    few, frozen = range(8), model.model_copy(update={"cell": "frozen"})
    scores = {
        "moved": frozen.fit(new, few, valid, progress=silent, start=fits["s0"]),
        "own": model.fit(new, few, valid, progress=silent),
        "untrained": frozen.fit(new, few, valid, progress=silent),
    }
    spikes = float(new["counts"][test.start :].sum())
    found = {name: float(fit.log_prob(new, test).values.sum() / spikes) for name, fit in scores.items()}
    assert found["moved"] > max(found["own"], found["untrained"] + 0.05), found
