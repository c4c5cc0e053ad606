"""Executions of one update agree; truncated and checkpointed backpropagation; strategies of training."""

import numpy as np
import pytest
import torch
from families import choices, compiled, emission, trained

from cortseq import models
from cortseq import recording as rec
from cortseq.compiled.functions import exp, tanh
from cortseq.data import Data
from cortseq.errors import CortseqError
from cortseq.networks.cell import Cell
from cortseq.networks.training import bptt, engines, noise
from cortseq.networks.training.kernels import heads
from cortseq.networks.training.strategies import Scheduled
from cortseq.observations import names

GRADIENT = trained()
# Settings that change the compiled update rule, beside the defaults of every family that has a kernel.
VARIANTS = {
    "rate": [{"nonlinearity": "relu", "leak": 1.0}, {"leak": 0.3}, {"layers": 2, "leak": 0.3}],
    "gru": [{"layers": 2}],
    "lstm": [{"layers": 3}],
    "low_rank": [{"rank": 2}, {"rank": 2, "nonlinearity": "relu"}],
    "dale": [{"self_connections": True}],
    "stp": [{"dale": True, "leak": 0.3}],
}
COMPILED = [(family, more) for family in compiled() for more in [{}, *VARIANTS.get(family, [])]]
HEADED = [name for name in names("counts") if name in heads.OBSERVATIONS]
NOISY = {"input_dropout": 0.3, "hidden_dropout": 0.2, "input_noise": 0.1}
QUIET = {"input_dropout": 0.0, "hidden_dropout": 0.0}


def build(family, **more):
    return models.registry()[family](hidden=6, **{**QUIET, **more})


def with_inputs(recording):
    rng = np.random.default_rng(5)
    shape = recording["valid"].shape
    return recording.assign(inputs=(("trial", "time", "input"), rng.normal(size=(*shape, 2))))


def run(
    model, data, dtype=np.float64, trials=(3, 1, 4, 0, 5, 9, 2, 8), execution="auto", strategy=None, **batch
):
    """Loss and gradients of one step of one member away from its start."""
    model = model.model_copy(update={"execution": execution})
    stacked = {k: v for k, v in model.initial(data, 1, 0, dtype).items()}
    rng = np.random.default_rng(1)
    for name in stacked:
        if name not in model.network(data).fixed:
            moved = stacked[name].numpy() + rng.normal(0, 0.05, stacked[name].shape)
            stacked[name] = torch.from_numpy(moved.astype(dtype))
    engine = engines.choose(model.network(data), data, stacked, model.training, strategy=strategy)
    p = {k: v[0].clone().requires_grad_(k not in model.network(data).fixed) for k, v in stacked.items()}
    step = engine.batch(np.array([trials]), [noise.Draws(0, 0, 1, 0)], **batch)
    loss = bptt.gradient(engine, p, step)[0]
    return engine.name, loss, {k: v.grad.numpy() for k, v in p.items() if v.grad is not None}


def same(a, b, tolerance):
    assert a[1] == pytest.approx(b[1], rel=tolerance)
    assert a[2].keys() == b[2].keys()
    for name, value in b[2].items():
        assert np.abs(a[2][name] - value).max() <= tolerance * max(np.abs(value).max(), 1e-2), name


@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-10), (np.float32, 1e-4)])
@pytest.mark.parametrize("extra", [{}, NOISY, {"truncate": 8, "truncate_every": 4}, {"checkpointed": True}])
@pytest.mark.parametrize("family, more", COMPILED)
def test_compiled_equals_generic(family, more, extra, dtype, tolerance, headed_recording):
    """Every family with a kernel, every track, dropout and noise, cut gradients: 1e-10 and 1e-4."""
    data, model = Data.of(headed_recording), build(family, **more, **extra)
    fast = run(model, data, dtype)
    slow = run(model, data, dtype, execution="generic")
    assert (fast[0], slow[0]) == ("compiled", "generic")
    same(fast, slow, tolerance)


@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-10), (np.float32, 1e-4)])
@pytest.mark.parametrize("components", [2, 3])
@pytest.mark.parametrize("name", HEADED)
def test_compiled_mixtures_equal_generic(name, components, dtype, tolerance, counts_under):
    data = Data.of(counts_under(name))
    for extra in (NOISY, {"truncate": 8, "truncate_every": 4}):
        model = build("rate", mixture=components, **extra)
        fast, slow = run(model, data, dtype), run(model, data, dtype, execution="generic")
        assert (fast[0], slow[0]) == ("compiled", "generic")
        same(fast, slow, tolerance)


@pytest.mark.parametrize("execution", ["compiled", "generic", "graphed"])
@pytest.mark.parametrize("components", [1, 2])
@pytest.mark.parametrize("name", names("counts"))
def test_gradients_of_counts_against_finite_differences(name, components, execution, counts_under):
    """Read-out, dispersion and recurrent weights in each engine, double precision."""
    from cortseq.networks.training.engines.generic import Generic
    from cortseq.networks.training.engines.graphed import Graphed

    if execution == "compiled" and name not in HEADED:
        pytest.skip("no compiled head")
    data, model = Data.of(counts_under(name), range(6)), build("rate", mixture=components)
    stacked = model.initial(data, 1, 0, np.float64)
    engine = {
        "compiled": lambda: engines.choose(model.network(data), data, stacked, model.training),
        "generic": lambda: Generic(model.network(data), data, stacked, model.training),
        "graphed": lambda: Graphed(model.network(data), data, stacked, model.training, "cpu"),
    }[execution]()
    assert engine.name == execution
    p = {k: v[0].clone().requires_grad_(k not in model.network(data).fixed) for k, v in stacked.items()}
    batch = engine.batch(np.arange(6)[None])
    bptt.gradient(engine, p, batch)
    checked = ["readout_weight", "readout_bias", "recurrent"]
    for key in checked + ["log_dispersion"] * ("log_dispersion" in p):
        flat, gradient = p[key].detach().view(-1), p[key].grad.view(-1).clone()
        for at in (0, len(flat) - 1):
            losses = []
            for sign in (1, -1):
                flat[at] += sign * 1e-5
                engine.prepare(p)
                losses.append(engine.loss(batch)[0])
                flat[at] -= sign * 1e-5
            slope = (losses[0] - losses[1]) / 2e-5
            assert gradient[at].item() == pytest.approx(slope, rel=1e-5, abs=1e-6), key


@pytest.mark.parametrize("raw, eta", [(12.0, 1.0), (-12.0, -0.5), (0.5, 30.0), (0.5, -30.0)])
@pytest.mark.parametrize("name", [name for name in HEADED if emission(name, 1).bounds])
def test_what_is_held_is_held_in_every_engine(name, raw, eta, counts_under):
    """Dispersions and read-outs beyond their ends: the same loss and gradients, none for what is held."""
    data, model = Data.of(counts_under(name), range(4)), build("rate")
    results = []
    for execution in ("auto", "generic"):
        spec = model.model_copy(update={"execution": execution})
        stacked = model.initial(data, 1, 0, np.float64)
        stacked["log_dispersion"][:] = raw
        stacked["readout_bias"][:] = eta
        engine = engines.choose(spec.network(data), data, stacked, spec.training)
        p = {k: v[0].clone().requires_grad_() for k, v in stacked.items()}
        loss = bptt.gradient(engine, p, engine.batch(np.arange(4)[None]))
        results.append((None, loss[0], {k: v.grad.numpy() for k, v in p.items()}))
        assert (p["log_dispersion"].grad == 0).all() == (abs(raw) > 10)
        assert (p["readout_bias"].grad == 0).all() == (abs(eta) > 20)
    same(*results, 1e-10)


@pytest.mark.parametrize("family, more", COMPILED)
@pytest.mark.parametrize("extra", [{}, NOISY])
def test_compiled_equals_generic_with_inputs_and_dense_counts(family, more, extra, counts):
    sparse = with_inputs(counts)
    rng = np.random.default_rng(0)
    dense = rec.from_counts(rng.poisson(2.0, (10, 9, 4)), bin_width=0.02)
    for recording in (sparse, dense):
        data, model = Data.of(recording), build(family, **more, **extra)
        same(run(model, data), run(model, data, execution="generic"), 1e-10)


@pytest.mark.parametrize("family", GRADIENT)
def test_gradient_against_finite_differences(family, symbols):
    """The loss itself, one parameter at a time, in double precision."""
    model, data = build(family), Data.of(symbols, range(6))
    stacked = model.initial(data, 1, 0, np.float64)
    engine = engines.choose(model.network(data), data, stacked, model.training)
    p = {k: v[0].clone().requires_grad_(k not in model.network(data).fixed) for k, v in stacked.items()}
    batch = engine.batch(np.arange(6)[None])
    bptt.gradient(engine, p, batch)
    rng = np.random.default_rng(0)
    for name, value in p.items():
        if value.grad is None:
            continue
        flat, at, h = value.detach().view(-1), int(rng.integers(value.numel())), 1e-5
        losses = []
        for sign in (1, -1):
            flat[at] += sign * h
            engine.prepare(p)
            losses.append(engine.loss(batch)[0])
            flat[at] -= sign * h
        slope = (losses[0] - losses[1]) / (2 * h)
        assert value.grad.view(-1)[at].item() == pytest.approx(slope, rel=1e-5, abs=1e-6), name


@pytest.mark.parametrize("execution", ["auto", "generic"])
@pytest.mark.parametrize("family", GRADIENT)
def test_cut_gradients(family, execution, counts):
    """k >= T is full backpropagation; checkpointed always is; a short k is not, and k1, k2 are counted so."""
    data = Data.of(counts)
    n = data.y.shape[1]
    full = run(build(family), data, execution=execution)
    same(run(build(family, truncate=n), data, execution=execution), full, 1e-10)
    same(run(build(family, truncate=10 * n, truncate_every=3 * n), data, execution=execution), full, 1e-10)
    same(run(build(family, checkpointed=True), data, execution=execution), full, 1e-10)
    short = run(build(family, truncate=2), data, execution=execution)
    assert short[1] == pytest.approx(full[1], rel=1e-12)
    assert max(np.abs(short[2][name] - full[2][name]).max() for name in full[2]) > 1e-3


def test_truncation_reaches_back_k2_bins():
    """A kick at bin 0 that only the start state carries: its gradient is there iff k2 reaches the last bin."""
    counts = np.zeros((4, 12, 1), int)
    counts[:, 11] = 1
    data = Data.of(rec.from_counts(counts, bin_width=0.02), range(4))
    for every, depth in ((3, 6), (4, 8), (12, 12)):
        model = build("rate", leak=1.0, truncate=depth, truncate_every=every)
        whole = run(build("rate", leak=1.0), data, trials=range(4))[2]["start"]
        cut = run(model, data, trials=range(4))[2]["start"]
        assert np.allclose(cut, whole, atol=1e-12) == (depth >= 12)


def test_memory_of_the_three_ways():
    """Bytes autograd holds at once, by the tensors it saves: T, k and 2 sqrt(T)."""

    def peak(n_time, **more):
        data = Data.of(rec.from_counts(np.zeros((2, n_time, 1), int), bin_width=0.02))
        model = build("rate", execution="generic", **more)
        stacked = model.initial(data, 1, 0, np.float32)
        engine = engines.choose(model.network(data), data, stacked, model.training)
        p = {k: v[0].clone().requires_grad_(k not in model.network(data).fixed) for k, v in stacked.items()}
        held, most = 0, 0

        class Held:
            def __init__(self, tensor):
                nonlocal held, most
                self.tensor = tensor.detach()  # an output that held its own graph would never be freed
                held += tensor.numel()
                most = max(most, held)

            def __del__(self):
                nonlocal held
                held -= self.tensor.numel()

        with torch.autograd.graph.saved_tensors_hooks(Held, lambda box: box.tensor):
            bptt.gradient(engine, p, engine.batch(np.arange(2)[None]))
        return most

    assert 3.5 < peak(400) / peak(100) < 4.5
    assert 1.5 < peak(400, checkpointed=True) / peak(100, checkpointed=True) < 2.5
    assert peak(400, truncate=10) < 1.2 * peak(100, truncate=10)


@pytest.mark.parametrize("rate", [0.1, 2.0])
@pytest.mark.parametrize("bins", [7, 9])
def test_blocks_of_bins(bins, rate):
    """300 trials make blocks of 6 bins: 9 bins are two, of 7 the second has no step, sparse and dense inputs."""
    rng = np.random.default_rng(0)
    data = Data.of(rec.from_counts(rng.poisson(rate, (300, bins, 5)), bin_width=0.02))
    model = build("stp", input_dropout=0.3, hidden_dropout=0.2)
    same(run(model, data, trials=range(300)), run(model, data, trials=range(300), execution="generic"), 1e-10)


def test_a_held_log_rate_passes_no_gradient():
    data = Data.of(rec.from_counts(np.ones((4, 5, 2), int), bin_width=0.02))
    model = build("rate")
    results = []
    for execution in ("auto", "generic"):
        spec = model.model_copy(update={"execution": execution})
        stacked = model.initial(data, 1, 0, np.float64)
        stacked["readout_bias"][:] = torch.tensor([10.0, -20.0], dtype=torch.float64)
        engine = engines.choose(spec.network(data), data, stacked, spec.training)
        p = {k: v[0].clone().requires_grad_() for k, v in stacked.items()}
        loss = bptt.gradient(engine, p, engine.batch(np.arange(4)[None]))
        results.append((None, loss[0], {k: v.grad.numpy() for k, v in p.items()}))
        assert (p["readout_bias"].grad == 0).all()
    same(*results, 1e-12)


def test_functions_of_the_kernels():
    """exp and tanh in single precision: 2e-7 relative; NaN stays NaN."""
    from numba import njit

    @njit
    def both(x, e, t):
        for i in range(x.size):
            e[i], t[i] = exp(x[i]), tanh(x[i])

    x = np.concatenate([np.linspace(-85, 88, 4001), np.logspace(-8, 0, 100), [np.nan]]).astype(np.float32)
    e, t = np.empty_like(x), np.empty_like(x)
    both(x, e, t)
    wide = x.astype(float)
    assert np.allclose(e[:-1], np.exp(wide[:-1]), rtol=2e-7, atol=0)
    assert np.allclose(t[:-1], np.tanh(wide[:-1]), rtol=3e-7, atol=0)
    assert np.isnan(e[-1]) and np.isnan(t[-1])


def test_stepper_and_no_kernel(counts):
    data, model = Data.of(counts), build("rate")
    params = {k: v[0] for k, v in model.initial(data, 1, 0).items()}
    fast = engines.loss_and_gradient(model, params, data, "compiled")
    slow = engines.loss_and_gradient(model, params, data, "generic")
    assert fast[0] == pytest.approx(slow[0], rel=1e-6)
    one = engines.loss_and_gradient(
        model, {k: v[None] for k, v in params.items()}, data
    )  # a member axis of one
    assert one[0][0] == fast[0] and np.array_equal(one[1]["recurrent"][0], fast[1]["recurrent"])


def test_a_cell_without_a_kernel_has_no_compiled_execution(counts):
    class Plain(models.Rate):
        kernel = Cell.kernel

    data, model = Data.of(counts), Plain(hidden=6)
    params = {k: v[0] for k, v in model.initial(data, 1, 0).items()}
    assert not model.has_kernel
    with pytest.raises(CortseqError, match="no compiled execution"):
        engines.loss_and_gradient(model, params, data, "compiled")


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("family", GRADIENT)
def test_a_step_with_fixed_shapes_equals_generic(family, members, any_recording):
    """What a GPU replays, run here as it is: small batches are filled with trials of weight 0."""
    from cortseq.networks.training.engines.generic import Generic
    from cortseq.networks.training.engines.graphed import Graphed

    data, model = Data.of(any_recording), build(family)
    stacked = model.initial(data, members, 0, np.float64)
    found = []
    for engine in (
        Generic(model.network(data), data, stacked, model.training),
        Graphed(model.network(data), data, stacked, model.training, "cpu"),
    ):
        p = {k: (v if members > 1 else v[0]).clone() for k, v in stacked.items()}
        p = {k: v.requires_grad_(k not in model.network(data).fixed) for k, v in p.items()}
        losses = []
        for n in (8, 5, 8):
            losses.append(bptt.gradient(engine, p, engine.batch(np.tile(np.arange(n), (members, 1)))))
        engine.prepare(p)
        losses.append(engine.loss(engine.batch(np.tile(np.arange(7), (members, 1)))))
        found.append(
            (None, np.concatenate(losses), {k: v.grad.numpy() for k, v in p.items() if v.grad is not None})
        )
    assert np.allclose(found[0][1], found[1][1], rtol=1e-12)
    same((None, 1.0, found[0][2]), (None, 1.0, found[1][2]), 1e-10)


def test_noise_of_a_step_with_fixed_shapes_repeats(counts):
    from cortseq.networks.training.engines.graphed import Graphed

    data, model = Data.of(counts), build("rate", **NOISY)
    stacked = model.initial(data, 2, 0, np.float32)
    engine = Graphed(model.network(data), data, stacked, model.training, "cpu")
    p = {k: v.clone().requires_grad_() for k, v in stacked.items()}
    index = np.tile(np.arange(8), (2, 1))
    losses = [
        bptt.gradient(engine, p, engine.batch(index, [noise.Draws(0, m, 1, step) for m in (0, 1)]))
        for step in (0, 0, 1)
    ]
    assert np.array_equal(losses[0], losses[1]) and not np.array_equal(losses[0], losses[2])
    assert losses[0][0] != losses[0][1]


# -- strategies -------------------------------------------------------------------------------------


def fitted(recording, strategy, family="rate", **more):
    model = models.registry()[family](hidden=6, epochs=4, batch=8, strategy=strategy, **more)
    return model.fit(recording, range(20), range(20, 26), members=2, seed=3)


def same_bits(fit, other):
    return all(torch.equal(fit.params[k], other.params[k]) for k in fit.params)


@pytest.mark.parametrize("family", GRADIENT)
def test_teacher_probability_one_is_teacher_forcing_bit_for_bit(family, counts):
    forced = fitted(counts, {"kind": "teacher"}, family)
    assert same_bits(forced, fitted(counts, {"kind": "scheduled", "final": 1.0}, family))


def test_teacher_probability_one_is_teacher_forcing_under_every_decay(any_recording):
    forced = fitted(any_recording, {"kind": "teacher"})
    for decay in choices(Scheduled, "decay"):
        assert same_bits(forced, fitted(any_recording, {"kind": "scheduled", "decay": decay, "final": 1.0}))


def test_the_card_names_the_executions_that_learned(counts, signal):
    assert fitted(counts, {"kind": "teacher"}).card["execution"] == "compiled"
    assert fitted(counts, {"kind": "scheduled"}).card["execution"] == "compiled, generic"
    assert fitted(signal, {"kind": "generalised"}).card["execution"] == "generic"


@pytest.mark.parametrize("coin", choices(Scheduled, "coin"))
def test_scheduled_sampling_is_another_gradient(coin, any_recording):
    data, model = Data.of(any_recording), build("rate")
    plain = run(model, data)
    strategy = Scheduled(decay="constant", final=0.0, coin=coin)
    free, again = (run(model, data, strategy=strategy, progress=0.5) for _ in range(2))
    assert free[0] == "generic" and np.array_equal(free[2]["recurrent"], again[2]["recurrent"])
    assert not np.allclose(plain[2]["input_weight"], free[2]["input_weight"])
    # the teacher at every coin, through the path that makes inputs as it goes: teacher forcing again
    same(run(model, data, strategy=Scheduled(decay="constant", final=1.0), progress=0.5), plain, 1e-10)


def test_coin_per_sequence_is_one_coin(counts):
    """Some trials are wholly their teacher's: their loss is the teacher-forced one exactly."""
    data, model = Data.of(counts), build("rate")
    strategy = Scheduled(decay="constant", final=0.5, coin="sequence")
    coins = noise.Draws(0, 0, 1, 0).words(noise.COIN, (40, 1))[:, 0] < 32768
    assert 5 < coins.sum() < 35
    teacher = [
        run(model, data, trials=coins.nonzero()[0])[1],
        run(model, data, trials=(~coins).nonzero()[0])[1],
    ]
    mixed = run(model, data, trials=range(40), strategy=strategy, progress=0.5)[1]
    everyone = run(model, data, trials=range(40))[1]
    assert everyone == pytest.approx(sum(teacher)) and mixed != pytest.approx(everyone)
    per_step = run(
        model, data, trials=range(40), strategy=Scheduled(decay="constant", final=0.5), progress=0.5
    )[1]
    assert per_step != pytest.approx(mixed)
    mostly, seldom = (
        run(model, data, trials=range(40), strategy=Scheduled(decay="constant", final=p), progress=0.5)[1]
        for p in (0.97, 0.03)
    )  # how often the teacher's value is used
    assert abs(mostly - everyone) < abs(seldom - everyone) / 3


@pytest.mark.parametrize("decay", [d for d in choices(Scheduled, "decay") if d != "constant"])
def test_schedules_fall_from_one_to_final(decay):
    strategy = Scheduled(decay=decay, final=0.25)
    e = [strategy.probability(s) for s in np.linspace(0, 1, 21)]
    assert e[0] == 1 and e[-1] == pytest.approx(0.25, abs=1e-9) and (np.diff(e) < 0).all()
    halfway = {"linear": 0.625, "exponential": 0.5}
    if decay in halfway:
        assert strategy.probability(0.5) == pytest.approx(halfway[decay])


def test_forcing_of_a_latent(signal):
    """alpha = 1 feeds the recording and makes the read-out's own state; alpha = 0 is a free run."""
    data = Data.of(signal)
    from cortseq.networks.training.strategies import Generalised, Sparse

    model = build("rate")
    plain = run(model, data)
    full = run(model, data, strategy=Generalised(alpha=1.0))
    free = run(model, data, strategy=Generalised(alpha=0.0))
    assert np.abs(free[2]["input_weight"] - plain[2]["input_weight"]).max() > 1e-6
    assert np.abs(full[2]["input_weight"] - free[2]["input_weight"]).max() > 1e-6
    falling = Generalised(alpha=0.04, begin=1.0)  # halfway it is the root of 0.04
    same(run(model, data, strategy=falling, progress=0.0), full, 1e-12)
    halfway = run(model, data, strategy=Generalised(alpha=0.2))
    same(run(model, data, strategy=falling, progress=0.5), halfway, 1e-12)
    same(run(model, data, strategy=Sparse(every=1)), full, 1e-12)
    same(run(model, data, strategy=Sparse(every=10**6)), free, 1e-12)


def test_a_forced_state_reads_out_what_was_seen(signal):
    from cortseq.networks.training.engines.generic import Generic
    from cortseq.networks.training.strategies import Generalised, Rollout

    data, model = Data.of(signal), build("rate", strategy=Generalised(alpha=1.0))
    stacked = model.initial(data, 1, 0, np.float64)
    engine = Generic(model.network(data), data, stacked, model.training, strategy=model.strategy)
    engine.prepare({k: v[0] for k, v in stacked.items()})
    batch = engine.batch(np.arange(3)[None], [noise.Draws(0, 0, 1, 0)])
    x, y, mask = engine._window(batch, 0, 4)
    *state, first = engine.start(batch)
    rollout = Rollout(engine, batch, 0, 4, x, y, mask, first)
    for t in (0, 1):  # the second reads out from the first by the skip, too
        last = rollout.last[-1]
        state, _ = rollout.step(t, state, state[0])
        seen = engine.observation.encode(engine.q, y[:, t])
        assert torch.allclose(engine.network.readout(engine.q, state[0], last)[:, :2], seen, atol=1e-10)
        assert torch.allclose(rollout.last[-1], seen, atol=1e-10)


@pytest.mark.parametrize("kind", ["generalised", "sparse"])
def test_forcing_is_for_signals(kind, counts, signal):
    assert np.isfinite(fitted(signal, {"kind": kind}).curves.valid_loss).all()
    with pytest.raises(CortseqError, match="strategy is for signal"):
        fitted(counts, {"kind": kind})


@pytest.mark.parametrize(
    "strategy", [{"kind": "generalised", "alpha": 0.2, "begin": 1.0}, {"kind": "sparse", "every": 5}]
)
def test_a_forced_network_is_validated_as_it_learns(strategy, signal):
    """The validation loss of the kept weights is that of forced trials, and no one-step likelihood."""
    fit = fitted(signal, strategy, input_dropout=0.0)
    data = Data.of(signal, range(20, 26))
    for member in range(2):
        params = {name: value[member : member + 1] for name, value in fit.params.items()}
        forcing = fit.model.strategy
        engine = engines.choose(fit.model.network(data), data, params, fit.model.training, strategy=forcing)
        engine.prepare({name: value[0] for name, value in params.items()})
        batch = engine.batch(np.arange(6)[None], progress=1.0)
        expected = engine.loss(batch)[0] / engine.events.sum()
        curve = fit.curves[fit.curves.member == member].valid_loss
        assert curve.min() == pytest.approx(expected, rel=1e-4)
        one_step = (
            -fit.log_prob(signal, range(20, 26)).values.reshape(2, -1)[member].sum() / engine.events.sum()
        )
        assert curve.min() != pytest.approx(one_step, rel=1e-3)


def test_forced_members_learn_together_what_each_learns_alone(signal):
    """They are one batch of members on every device; alone each ends with the same weights."""
    strategy = {"kind": "generalised", "alpha": 0.2}
    together = fitted(signal, strategy).params
    model = models.Rate(hidden=6, epochs=4, batch=8, strategy=strategy)
    alone = model.fit(signal, range(20), range(20, 26), members=1, seed=3).params
    for name, value in alone.items():
        assert torch.allclose(value[0], together[name][0], rtol=1e-3, atol=1e-4), name


def test_settings_that_exclude_each_other():
    for wrong in (
        {"truncate_every": 3},
        {"truncate": 3, "truncate_every": 5},
        {"truncate": 3, "checkpointed": True},
    ):
        with pytest.raises(CortseqError, match="truncate"):
            models.Rate(**wrong)
