"""The transformer: its window is exact, all bins at once are one bin after another, and it is what it says."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from untrained import untrained

from cortseq import dynamics, models
from cortseq import recording as rec
from cortseq.data import Data
from cortseq.errors import CortseqError
from cortseq.models.work import Size
from cortseq.networks.network import repeated
from cortseq.scoring.ladder import rung

SIZES = [
    {"context": 7, "layers": 3, "heads": 2},
    {"context": 4, "layers": 1, "heads": 4},
    {"context": 40, "layers": 2, "heads": 3},
    {"context": 3, "layers": 2, "heads": 1},
]


def ready(dtype=torch.float64, members=None, seed=0, hidden=6, **settings):
    """A cell and its parameters, moved from where they start: the bias of the lags is of each head and lag."""
    cell = models.find("transformer")(hidden=hidden, **settings)
    q = []
    for member in range(members or 1):
        rng = np.random.default_rng([seed, member])
        found = cell.start_parameters(5, 0.02, rng)
        found |= {k: v + rng.normal(0, 0.5, v.shape) for k, v in found.items() if k.startswith("lag")}
        q.append({name: torch.from_numpy(value).to(dtype) for name, value in found.items()})
    return cell, (q[0] if members is None else {name: torch.stack([one[name] for one in q]) for name in q[0]})


def driven(cell, q, n_time, *lead, seed=1):
    """Random drives (*lead, time, hidden), and the start state of each trial; of one trial without an axis."""
    shape = (*lead, n_time, cell.hidden)
    drives = torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).to(q["start"].dtype)
    return drives, repeated(cell.start(q), lead) if lead else cell.start(q)


# -- the window ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", SIZES)
def test_bins_before_the_window_have_no_influence(more):
    """Bin by bin: the oldest bin of the window changes the output, those before it leave every bit."""
    cell, q = ready(**more)
    assert sum(cell.bands) == cell.context - 1 and max(cell.bands) - min(cell.bands) <= 1
    drives, state = driven(cell, q, 60, 2)
    out = cell.through_time(q, state, drives)[0]
    for t in (1, 2, 5, 30, 60):
        for bin in range(60):
            other = drives.clone()
            other[:, bin] += 1.0
            moved = (cell.through_time(q, state, other)[0][:, t] - out[:, t]).abs().amax(-1)
            assert ((moved > 0) == (t - cell.context <= bin < t)).all(), (t, bin)


@pytest.mark.parametrize("more", SIZES)
def test_the_start_token_is_seen_while_it_lies_in_the_window(more):
    cell, q = ready(**more)
    drives, state = driven(cell, q, 60)
    out = cell.through_time(q, state, drives)[0]
    other = {**q, "start": q["start"] + 1.0}
    moved = (cell.through_time(other, cell.start(other), drives)[0] - out).abs().amax(-1)
    assert ((moved > 0) == (torch.arange(61) < cell.context)).all()


def test_a_window_means_the_same_anywhere_in_a_trial():
    """A trial of context 9 that repeats itself: its windows say the same, wherever they lie."""
    cell, q = ready(context=9, layers=2)
    drives, state = driven(cell, q, 12)
    out = cell.through_time(q, state, drives.repeat(6, 1))[0]
    for again in range(2, 6):
        assert torch.allclose(out[12 * again : 12 * again + 12], out[12:24], rtol=0, atol=1e-13)


def test_predictions_of_a_fit_see_the_last_bins_only(any_recording):
    """The same through the encoder, the read-out and the skip: what is older than bin t - context is no matter."""
    fit = untrained(models.find("transformer")(hidden=6, context=3, layers=2), any_recording, members=2)
    fit.params["readout_weight"] += 0.3
    data = Data.of(any_recording, range(6))
    t = data.lengths.min() - 1
    found = fit.model.predict(fit.params, data)[:, :, t]
    for first, same in ((t - 3, True), (t - 2, False)):
        y = data.y.copy()
        y[:, :first] = y[::-1, :first]  # those of other trials
        moved = fit.model.predict(fit.params, replace(data, y=y))[:, :, t]
        assert t > 3 and np.array_equal(moved, found) == same


# -- all bins at once, and one after another ----------------------------------------------------------


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 5e-6)])
@pytest.mark.parametrize("more", SIZES)
@pytest.mark.parametrize("members", [None, 2])
def test_all_bins_at_once_are_one_after_another(members, more, dtype, tolerance):
    """Every part of the state, before every bin and after the last, with dropout between the layers."""
    cell, q = ready(dtype, members, **more)
    lead = (3,) if members is None else (members, 3)
    drives, state = driven(cell, q, 50, *lead)
    rng = np.random.default_rng(2)
    kept = [torch.from_numpy(1.25 * (rng.random((*lead, 50, n)) < 0.8)).to(dtype) for n in cell.places]
    for factors in ([], kept):
        whole = cell.through_time(q, state, drives, factors)
        assert [part.shape for part in whole] == [(*lead, 51, part.shape[-1]) for part in state]
        one = state
        for t in range(50):
            one = cell.dropped_step(q, one, drives[..., t, :], [factor[..., t, :] for factor in factors])
            for part, expected in zip(one, whole, strict=True):
                assert torch.allclose(part, expected[..., t + 1, :], rtol=0, atol=tolerance)
    plain = cell.through_time(q, state, drives)
    assert (plain[0] - whole[0]).abs().max() > 0.01  # dropout did something


@pytest.mark.parametrize("more", SIZES)
def test_segments_equal_the_whole(more):
    """Trials that are cut where blocks, bands and the window end, and elsewhere: states and gradients."""
    cell, q = ready(**more)
    q = {name: value.requires_grad_() for name, value in q.items()}
    drives, state = driven(cell, q, 45, 3)
    whole = cell.through_time(q, state, drives)
    (expected,) = torch.autograd.grad(whole[0].sin().sum(), q["attend_1"], retain_graph=True)
    outs, part = [whole[0][:, :1]], state
    for first, stop in ((0, 1), (1, 7), (7, 23), (23, 24), (24, 45)):
        found = cell.through_time(q, part, drives[:, first:stop])
        outs.append(found[0][:, 1:])
        part = tuple(one[:, -1] for one in found)
    out = torch.cat(outs, 1)
    assert torch.allclose(out, whole[0], rtol=0, atol=1e-12)
    for one, other in zip(part, whole, strict=True):
        assert torch.allclose(one, other[:, -1], rtol=0, atol=1e-12)
    (gradient,) = torch.autograd.grad(out.sin().sum(), q["attend_1"])
    assert torch.allclose(gradient, expected, rtol=1e-9, atol=1e-11)


def test_no_bin_is_seen_before_it_came():
    cell, q = ready(context=9)
    drives, state = driven(cell, q, 40, 2)
    out = cell.through_time(q, state, drives)[0]
    for t in (0, 1, 17, 39):
        other = drives.clone()
        other[:, t:] = 100.0
        assert torch.equal(cell.through_time(q, state, other)[0][:, : t + 1], out[:, : t + 1])


def test_states_of_all_bins_are_stored_once():
    """Keys and values of 400 bins are views: what the states show is many times as large as what they hold."""
    cell, q = ready(context=64, hidden=8, heads=2, layers=2)
    drives, state = driven(cell, q, 400, 2)
    parts = cell.through_time(q, state, drives)
    shown = sum(part.numel() for part in parts)
    held = sum(part.untyped_storage().nbytes() for part in parts) / 8
    assert shown > 20 * held


# -- by hand ------------------------------------------------------------------------------------------


def by_hand(q, drives, band):
    """One layer of one head in numpy, (time + 1, hidden): a loop over bins and over what each of them sees."""
    p = {name: value.numpy() for name, value in q.items()}
    tokens = np.concatenate([p["start"][None], drives.numpy()])
    n, out = len(p["start"]), []

    def normed(v):
        return v / np.sqrt(np.mean(v**2) + 1e-6)

    for t, token in enumerate(tokens):
        attend_query, attend_key, attend_value = (
            p["attend_1"][:n],
            p["attend_1"][n : 2 * n],
            p["attend_1"][2 * n :],
        )
        seen = range(max(0, t - band), t + 1)
        scores = [
            (attend_query @ normed(token)) @ (attend_key @ normed(tokens[s])) / np.sqrt(n)
            + p["lag_1"][0, t - s]
            for s in seen
        ]
        weights = np.exp(scores) / np.exp(scores).sum()
        gathered = sum(w * (attend_value @ normed(tokens[s])) for w, s in zip(weights, seen, strict=True))
        v = token + p["gather_1"] @ gathered
        gate, value = np.split(p["widen_1"] @ normed(v), 2)
        v = v + p["narrow_1"] @ (gate / (1 + np.exp(-gate)) * value)
        out.append(normed(v))
    return np.array(out)


@pytest.mark.parametrize("context", [2, 6, 30])
def test_one_head_by_hand(context):
    cell, q = ready(context=context, layers=1, heads=1, hidden=5)
    drives, state = driven(cell, q, 21)
    found = cell.through_time(q, state, drives)[0]
    np.testing.assert_allclose(found.numpy(), by_hand(q, drives, context - 1), rtol=0, atol=1e-12)


def test_heads_are_independent():
    """Two heads whose gathered numbers are added are two networks of one head, with halves of the rows."""
    cell, q = ready(context=6, layers=1, heads=2, hidden=4)
    q["narrow_1"] = torch.zeros_like(q["narrow_1"])
    drives, state = driven(cell, q, 15)
    x = drives / (drives.square().mean(-1, keepdim=True) + 1e-6).sqrt()
    both = cell._attention(q, 1, x, state[1], state[2])[0]
    one, total = models.find("transformer")(hidden=4, context=6, layers=1, heads=1), torch.zeros_like(both)
    for head in range(2):
        rows = torch.cat([torch.arange(2) + 2 * head + 4 * part for part in range(3)])
        part = {
            "attend_1": q["attend_1"][rows],
            "gather_1": q["gather_1"][:, 2 * head : 2 * head + 2],
            "lag_1": q["lag_1"][head : head + 1],
        }
        store = state[1].unflatten(-1, (5, 2, 2, 2))[:, :, head].flatten(-3)
        total += _head(one, part, x, store, state[2])
    assert torch.allclose(total, both, rtol=0, atol=1e-13)


def _head(cell, q, x, store, count):
    """What one head of width 2 gathers."""

    class Narrow(type(cell)):
        @property
        def attended(self):
            return 2

    return Narrow(**cell.model_dump())._attention(q, 1, x, store, count)[0]


# -- what it learns -----------------------------------------------------------------------------------


def test_it_learns_a_lag_inside_its_window_and_none_beyond():
    """A label that repeats the one 6 bins before: 6 bins suffice, 5 tell nothing."""
    rng = np.random.default_rng(0)
    head = rng.integers(0, 2, (160, 6))
    recording = rec.from_symbols(list(np.tile(head, (1, 3))), n_symbols=2)
    loss = {}
    for context in (5, 6):
        model = models.find("transformer")(
            hidden=16, heads=2, context=context, epochs=40, batch=16, input_dropout=0.0, hidden_dropout=0.0
        )
        fit = model.fit(recording, range(100), range(100, 120), seed=1)
        loss[context] = -fit.log_prob(recording, range(120, 160)).values[0][:, 6:].mean() / np.log(2)
    assert loss[5] > 0.9 and loss[6] < 0.1, loss


def test_free_runs_have_the_entropy_of_their_predictions(symbols):
    """What is drawn bin by bin, and what is then scored all at once: trials longer than the window."""
    fit = models.find("transformer").small(context=4, epochs=20).fit(symbols, range(20), range(20, 26))
    own = fit.simulate(300, 12, seed=3)
    nll, p = -fit.log_prob(own).values[0], fit.predict(own).values[0]
    difference = (nll + (p * np.log(p)).sum(-1)).sum(1)
    assert abs(difference.mean()) < 4 * difference.std() / np.sqrt(300)


# -- settings and capabilities ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"memory": 5}, "memory: a transformer sees `context` bins anyway -- set context"),
        ({"context": 3, "layers": 3}, "context 3 with 3 layers.*set a context above"),
        ({"context": 1}, "context"),
        ({"heads": 0}, "heads"),
    ],
)
def test_settings_that_are_refused(settings, words):
    with pytest.raises(CortseqError, match=words):
        models.find("transformer")(**settings)


def test_it_has_no_dynamics_and_says_so(counts):
    fit = untrained(models.find("transformer").small(), counts)
    model = fit.model
    assert not model.has_flow and not model.has_weights and model.has_forecast
    assert rung(model.model_dump(), model.role) == "L6'"
    assert rung({**model.model_dump(), "discretise": 4}, model.role) == "L4"
    with pytest.raises(CortseqError, match="transformer has no flow: its state stores the last bins"):
        fit.flow()
    with pytest.raises(CortseqError, match="no open loop along a trial"):
        dynamics.driven(fit, counts)


def test_multiplications_are_those_of_the_matrices_and_of_all_pairs():
    """Counted in what a step does: (rows x columns) of every matrix, and each key and value by each query."""
    cell, q = ready(context=9, layers=2, heads=3, hidden=6)
    matrices = sum(
        v.numel() for k, v in q.items() if k.split("_")[0] in ("attend", "gather", "widen", "narrow")
    )
    pairs = sum(band + 1 for band in cell.bands)
    assert cell.products == matrices + pairs * 2 * cell.attended
    size = Size("counts", train=64, valid=0, bins=50, features=10, members=1)
    short, long = (cell.model_copy(update={"context": k}).work(size) for k in (9, 90))
    assert long["product"] - short["product"] == cell.epochs * 64 * 50 * 81 * 2 * cell.attended
    assert short["pass"] == long["pass"] == cell.epochs * 2 * cell.layers
