"""The loop over time in one kernel: equal to automatic differentiation, or refused with a word.

On a machine without a GPU the kernels run in Triton's interpreter, where Triton is installed (extra `gpu`).
"""

import importlib.util
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from families import choices

from cortseq import models
from cortseq import recording as rec
from cortseq.data import Data
from cortseq.errors import CortseqError
from cortseq.models.base import Run
from cortseq.networks.training import bptt, engines, gradient, noise
from cortseq.networks.training.engines import fused
from cortseq.networks.training.engines.fused import Fused
from cortseq.networks.training.engines.generic import Generic
from cortseq.networks.training.engines.graphed import Graphed
from cortseq.networks.training.settings import Training

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    os.environ["TRITON_INTERPRET"] = "1"  # Triton reads it when it is imported
with_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")

CELLS = [
    ("rate", {}),
    ("rate", {"nonlinearity": "relu", "leak": 0.3}),
    ("rate", {"leak": 1.0}),
    ("low_rank", {"rank": 2}),
    ("low_rank", {"rank": 2, "nonlinearity": "relu"}),
    ("dale", {}),
    ("dale", {"self_connections": True, "leak": 0.3}),
    ("stp", {}),
    ("stp", {"dale": True, "rate_scale": 7.3}),
    ("lstm", {}),
]
FAMILIES = sorted({family for family, _ in CELLS})
QUIET = {"input_dropout": 0.0, "hidden_dropout": 0.0}
NOISY = {"input_dropout": 0.3, "hidden_dropout": 0.2, "input_noise": 0.1}


def build(family, hidden=5, **more):
    return models.registry()[family](hidden=hidden, **{**QUIET, **more})


def ragged(track, n_trials=5, n_bins=7):
    """Trials of unequal length; counts and signals miss bins between others too."""
    rng = np.random.default_rng(3)
    lengths = rng.integers(n_bins // 2, n_bins, n_trials, endpoint=True)
    lengths[0] = n_bins
    if track == "symbols":
        return rec.from_symbols([rng.integers(0, 3, n) for n in lengths], n_symbols=3)
    valid = np.arange(n_bins) < lengths[:, None]
    valid[1::2, n_bins // 4] = False
    if track == "counts":
        return rec.from_counts(rng.poisson(0.7, (n_trials, n_bins, 4)), bin_width=0.02, valid=valid)
    return rec.from_signal(rng.normal(size=(n_trials, n_bins, 2)), bin_width=0.02, valid=valid)


def step(kind, model, recording, members, dtype, trials=(0, 1, 2), draws=None):
    """Losses of a step and of a validation, (member,) each, and gradients: away from the start."""
    data, rng = Data.of(recording), np.random.default_rng(1)
    network, stacked = model.network(data), model.initial(data, members, 0, dtype)
    data = network.given(stacked, data)
    p = {}
    for name, value in stacked.items():
        if name not in network.fixed:
            value += torch.from_numpy(rng.normal(0, 0.2, value.shape).astype(dtype))
        p[name] = (value if members > 1 else value[0]).to(DEVICE)
        p[name] = p[name].clone().requires_grad_(name not in network.fixed)
        p[name].grad = torch.zeros_like(p[name]) if p[name].requires_grad else None
    engine = kind(network, data, stacked, model.training, DEVICE)
    index = np.stack([np.roll(trials, member) for member in range(members)])
    loss = bptt.gradient(engine, p, engine.batch(index, draws))
    engine.prepare(p)
    score = engine.loss(engine.batch(index))
    return np.array([loss, score]), {k: v.grad.cpu().numpy() for k, v in p.items() if v.grad is not None}


def apart(one, other):
    """Largest difference of losses and of any gradient, relative to the largest entry."""
    assert one[1].keys() == other[1].keys()
    found = [np.abs(one[0] / other[0] - 1).max()]
    for name, value in other[1].items():
        found.append(np.abs(one[1][name] - value).max() / max(np.abs(value).max(), 1e-2))
    return max(found)


@with_triton
@pytest.mark.parametrize(
    "members, dtype, tolerance", [(1, np.float64, 1e-10), (3, np.float64, 1e-10), (3, np.float32, 1e-5)]
)
@pytest.mark.parametrize("family, more", CELLS)
def test_fused_equals_generic(family, more, members, dtype, tolerance):
    """5 units, 3 trials of 7 bins: less than a tile in every direction."""
    model, recording = build(family, **more), ragged("counts")
    found, expected = (step(kind, model, recording, members, dtype) for kind in (Fused, Generic))
    assert apart(found, expected) < tolerance
    assert all(np.abs(value).max() > 0 for value in expected[1].values())


@with_triton
@pytest.mark.parametrize("track", ["symbols", "signal"])
@pytest.mark.parametrize("family", ["rate", "stp", "lstm"])
def test_other_tracks(family, track):
    both = [step(kind, build(family), ragged(track), 2, np.float64) for kind in (Fused, Generic)]
    assert apart(*both) < 1e-10


@with_triton
@pytest.mark.parametrize("family", ["rate", "stp", "lstm"])
@pytest.mark.parametrize("hidden, n_trials, n_bins", [(16, 16, 4), (17, 33, 3), (5, 17, 1)])
def test_sizes_at_and_beyond_those_of_a_tile(family, hidden, n_trials, n_bins):
    """Several tiles of trials, one bin alone, units that fill a tile and one more."""
    model, recording = build(family, hidden), ragged("counts", n_trials, n_bins)
    both = [step(kind, model, recording, 2, np.float64, range(n_trials)) for kind in (Fused, Generic)]
    assert apart(*both) < 1e-10


@with_triton
@pytest.mark.parametrize("family", FAMILIES)
def test_noise_is_that_of_the_recorded_step(family):
    """Dropout of inputs and of the read-out, and noise: the same numbers, as the loop draws none."""
    draws = [noise.Draws(0, member, 1, 0) for member in range(3)]
    model = build(family, **NOISY)
    fast, recorded = (
        step(kind, model, ragged("signal"), 3, np.float64, draws=draws) for kind in (Fused, Graphed)
    )
    quiet = step(Graphed, build(family), ragged("signal"), 3, np.float64)
    assert apart(fast, recorded) < 1e-10 < apart(fast, quiet)


@with_triton
def test_a_batch_that_is_smaller_than_the_first(counts):
    """It is filled up with trials of weight 0, as in a recorded step."""
    model, data = build("rate"), Data.of(counts)
    stacked = model.initial(data, 1, 0, np.float64)
    found = []
    for kind in (Fused, Generic):
        engine = kind(model.network(data), data, stacked, model.training, DEVICE)
        p = {name: value[0].to(DEVICE).clone().requires_grad_() for name, value in stacked.items()}
        found.append(
            [bptt.gradient(engine, p, engine.batch(np.arange(n)[None]))[0] for n in (8, 3)]
            + [float(p["bias"].grad.norm())]
        )
    assert np.allclose(*found, rtol=1e-10)


@with_triton
@pytest.mark.parametrize("family", FAMILIES)
def test_a_loss_that_is_no_number_stays_none(family):
    """A ReLU does not turn NaN into 0, or a member that went wrong would go on."""
    model, data = build(family), Data.of(ragged("counts"))
    network, stacked = model.network(data), model.initial(data, 1, 0)
    data = network.given(stacked, data)
    stacked["bias"][0, 2] = torch.nan
    stacked["readout_weight"] += 1
    engine = Fused(network, data, stacked, model.training, DEVICE)
    engine.prepare({name: value[0].to(DEVICE) for name, value in stacked.items()})
    assert np.isnan(engine.loss(engine.batch(np.arange(3)[None]))).all()


def learned(family, recording, execution, members=2, epochs=1, **more):
    """A fit of all members together, in double precision, on the trials of one batch an epoch."""
    model = build(family, epochs=epochs, batch=32, execution=execution, **more)
    train, valid = Data.of(recording, range(8)), Data.of(recording, range(8, 11))
    params = model.initial(train, members, 0, np.float64)
    run = Run(device=DEVICE)
    return gradient.descend(model.network(train), model.training, params, train, valid, run, True)


@with_triton
@pytest.mark.parametrize("family", FAMILIES)
def test_a_step_of_training(family, counts):
    """`descend` moves all parameters alike, and the card says what it ran in."""
    found, expected = (learned(family, counts, execution) for execution in ("fused", "generic"))
    assert (found.card["execution"], expected.card["execution"]) == ("fused", "generic")
    for name, value in expected.params.items():
        assert torch.allclose(found.params[name], value, rtol=0, atol=1e-8), name


@with_triton
def test_windows_of_a_limited_memory(counts):
    """Their bins are scored at the end only; several epochs with other windows."""
    found, expected = (
        learned("rate", counts, execution, epochs=2, memory=3) for execution in ("fused", "generic")
    )
    assert found.card["execution"] == "fused"
    for name, value in expected.params.items():
        assert torch.allclose(found.params[name], value, rtol=0, atol=1e-8), name


COMPILED = """
import sys, triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from cortseq import models
from cortseq.networks.training.engines.fused import MOST, SHARED
from cortseq.networks.training.kernels.fused import states

CASES = [(f, n, most) for f in ("rate", "stp", "lstm") for n in ("forward", "backward") for most in (True, False)]
for family, name, most in CASES:
    fusion = models.registry()[family]().fusion
    layout = states.layout(fusion, MOST[fusion.gates] if most else 5)
    options = {key: layout.pop(key) for key in ("num_warps", "num_stages")}
    kernel = getattr(states.KERNELS[fusion.kernel], name)
    constants = {"RULE": fusion.rule, "LEARNING": True, **layout}
    if not most:  # Triton makes a constant of every 1
        constants |= {"n_trials": 1, "n_bins": 1}
    types = {"n_trials": "i32", "n_bins": "i32", **dict.fromkeys(constants, "constexpr")}
    types = {argument: types.get(argument, "*fp32") for argument in kernel.arg_names}
    source = ASTSource(kernel, types, {k: v for k, v in constants.items() if k in types})
    made = triton.compile(source, target=GPUTarget("cuda", int(sys.argv[1]), 32), options=options)
    assert made.asm["cubin"] and made.metadata.shared <= SHARED, (family, name, made.metadata.shared)
"""


@with_triton
@pytest.mark.slow
@pytest.mark.parametrize("capability", [80, 90])
def test_the_largest_kernels_compile_for_a_device_that_is_not_there(capability, tmp_path):
    """Triton brings the assembler. The weights of the largest networks fit the shared memory."""
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", COMPILED, str(capability)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]


# -- what is refused, and what runs otherwise --------------------------------------------------------


def chosen(recording, device="cpu", family="rate", strategy=None, **more):
    data, model = Data.of(recording), build(family, execution="fused", **more)
    params = model.initial(data, 1, 0)
    return engines.choose(model.network(data), data, params, model.training, device, strategy=strategy)


@pytest.mark.parametrize(
    "settings, words, engine",
    [
        ({"family": "gru"}, "family gru", "compiled"),
        ({"family": "lstm", "layers": 2}, "family lstm of 2 layers", "compiled"),
        ({"family": "lru", "layers": 1, "hidden": 6}, "family lru", "generic"),
        ({"hidden": 129}, r"hidden 129 \(rate: at most 128\)", "compiled"),
        ({"hidden": 65, "family": "lstm"}, r"hidden 65 \(lstm: at most 64\)", "compiled"),
        ({"truncate": 4}, "truncate 4", "compiled"),
        ({"checkpointed": True}, "checkpointed", "compiled"),
        ({"strategy": {"kind": "scheduled"}}, "strategy scheduled", "generic"),
    ],
)
def test_what_no_kernel_does_runs_as_under_auto(settings, words, engine, counts, monkeypatch):
    monkeypatch.setattr(fused, "check", lambda device: None)
    if "strategy" in settings:
        made = build("rate", **settings).strategy
        settings = {"strategy": made}
    with pytest.warns(UserWarning, match=f"^execution: no fused kernel for {words}: run as under auto$"):
        found = chosen(counts, **settings)
    assert found.name == engine


def test_the_largest_networks_have_a_kernel(counts, monkeypatch):
    monkeypatch.setattr(fused, "check", lambda device: None)
    assert [chosen(counts, family=f, hidden=h).name for f, h in (("stp", 128), ("lstm", 64))] == ["fused"] * 2


@pytest.mark.parametrize(
    "major, shared, hidden, words",
    [
        (9, 227, 128, None),
        (8, 99, 64, None),
        (8, 99, 65, "hidden 65 (rate: at most 64)"),
        (7, 64, 5, "compute capability 7.5"),
    ],
)
def test_a_device_may_be_too_small(major, shared, hidden, words, counts, monkeypatch):
    found = SimpleNamespace(major=major, minor=5, shared_memory_per_block_optin=shared * 1024)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: found)
    model = build("rate", hidden)
    assert fused.obstacle(model.network(Data.of(counts)), model.training, None, "cuda:0") == words


def test_a_cpu_is_refused(counts, monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(
        CortseqError, match=r"^execution: needs a CUDA device and runs on cpu \(got 'fused'\)"
    ):
        chosen(counts)
    with pytest.raises(CortseqError, match="use execution: auto"):
        build("rate", execution="fused").fit(counts, range(20), range(20, 26), members=1, device="cpu")


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_triton_may_be_missing(device, monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setitem(sys.modules, "triton", None)
    with pytest.raises(
        CortseqError, match=r"^execution: needs the package triton \(got 'fused'\) -- pip inst"
    ):
        fused.check(device)


def test_triton_is_imported_where_it_is_asked_for_only():
    """Neither with training nor with the module of the engine: few machines have it."""
    code = (
        "import sys; import cortseq.networks.training.gradient, cortseq.networks.training.engines.fused\n"
        "assert 'triton' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_setting_is_part_of_training():
    assert choices(Training, "execution") == ("auto", "generic", "fused")
    assert build("stp").execution == "auto"
