"""The training step in JAX: input products hoisted out of a scan over time, one read-out product after it.

As in `peers_torch`: `scan(model, params, y) -> (() -> (loss, gradients))`, compiled with
jit(value_and_grad), without the constant ln y!. `associative` is the same for a linear recurrent unit, whose
layers pass over time by `jax.lax.associative_scan`.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from cortseq.networks.blocks import EPSILON, LEAST_DECAY
from cortseq.networks.signed import SHARPNESS


def scan(model, params: dict, y: np.ndarray, unroll: int = 1):
    """One compiled step; every call runs it on the device's arrays and waits for the result."""

    def loss(p, y):
        state, update = CELLS[model.family](p, model, y.shape[1])
        drives = y[:-1] @ p["input_weight"].T + p["bias"]

        def body(state, drive):
            state = update(state, drive)
            return state, state[0]

        _, after = jax.lax.scan(body, state, drives, unroll=unroll)
        return _poisson(p, jnp.concatenate([state[0][None], after]), y)

    return _compiled(loss, model, params, y)


def associative(model, params: dict, y: np.ndarray):
    """One compiled step of a linear recurrent unit, its layers one after the other over all bins."""

    def loss(p, y):
        stream = y[:-1] @ p["input_weight"].T + p["bias"]
        first, *starts = jnp.split(p["start"], np.cumsum([model.hidden] + [model.width] * model.layers)[:-1])
        for number, start in enumerate(starts, 1):
            b = {name: p[f"{name}_{number}"] for name in LAYER}
            stream = stream + _linear_unit(b, _normed(b, stream), start)
        first = jnp.broadcast_to(first, (1, *stream.shape[1:]))
        return _poisson(p, jnp.concatenate([first, _normed(p, stream)]), y)

    return _compiled(loss, model, params, y)


def _poisson(p, out, y):
    eta = out @ p["readout_weight"].T + p["readout_bias"]
    return (jnp.exp(eta) - y * eta).sum()


def _compiled(loss, model, params, y):
    """The step of a loss of all parameters and counts (time, trial, unit)."""
    fixed = {name: jnp.asarray(value.numpy()) for name, value in params.items() if name in model.fixed}
    free = {name: jnp.asarray(value.numpy()) for name, value in params.items() if name not in model.fixed}
    seen = jnp.asarray(y.swapaxes(0, 1))  # time first, as scan wants it
    compiled = jax.jit(jax.value_and_grad(lambda free, y: loss({**free, **fixed}, y)))

    def step():
        value, gradients = jax.block_until_ready(compiled(free, seen))
        return float(value), {name: np.asarray(g) for name, g in gradients.items()}

    return step


# -- cells: (parameters, model, trials) -> (start state, update) --------------------------------------


def _leak(p, model):
    return jax.nn.sigmoid(p["leak_raw"]) if model.leak == "learned" else model.leak


def _rows(n, *states):
    return tuple(jnp.broadcast_to(s, (n, s.shape[-1])) for s in states)


def _rate(p, model, n):
    a = _leak(p, model)

    def update(state, drive):
        (h,) = state
        return ((1 - a) * h + a * jnp.tanh(h @ p["recurrent"].T + drive),)

    return _rows(n, p["start"]), update


def _signed(p):
    w = jax.nn.softplus(SHARPNESS * p["raw"]) / SHARPNESS * p["sign"]
    return w * (1 - jnp.eye(len(w), dtype=w.dtype))


def _dale(p, model, n):
    a, w = _leak(p, model), _signed(p)

    def update(state, drive):
        (h,) = state
        return ((1 - a) * h + a * jax.nn.relu(h @ w.T + drive),)

    return _rows(n, jax.nn.relu(p["start"])), update


def _stp(p, model, n):
    a, dt = _leak(p, model), p["bin_width"]
    w = _signed(p) if model.dale else p["recurrent"]
    use, fac, rec = jax.nn.sigmoid(p["use_raw"]), jnp.exp(-p["fac_log"]), jnp.exp(-p["rec_log"])

    def update(state, drive):
        h, u, x = state
        r = model.rate_scale * h
        speed = fac + use * r
        target = use * (fac + r) / speed
        u = target + (u - target) * jnp.exp(-dt * speed)
        speed = rec + u * r
        target = rec / speed
        x = target + (x - target) * jnp.exp(-dt * speed)
        return (1 - a) * h + a * jax.nn.relu((u * x / use * h) @ w.T + drive), u, x

    h = jax.nn.relu(p["start"])
    r = model.rate_scale * h
    u = use * (fac + r) / (fac + use * r)
    return _rows(n, h, u, rec / (rec + u * r)), update


def _lstm(p, model, n):
    def update(state, drive):
        h, c = state
        i, f, g, o = jnp.split(h @ p["recurrent"].T + drive, 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return jax.nn.sigmoid(o) * jnp.tanh(c), c

    h, c = jnp.split(p["start"], 2)
    return _rows(n, jnp.tanh(h), c), update


def _gru(p, model, n):
    def update(state, drive):
        (h,) = state
        r, z, inner = jnp.split(h @ p["recurrent"].T, 3, axis=-1)
        u_r, u_z, u_n = jnp.split(drive, 3, axis=-1)
        candidate = jnp.tanh(u_n + jax.nn.sigmoid(r + u_r) * (inner + p["candidate_bias"]))
        z = jax.nn.sigmoid(z + u_z)
        return ((1 - z) * candidate + z * h,)

    return _rows(n, jnp.tanh(p["start"])), update


# -- a layer of a linear recurrent unit ---------------------------------------------------------------

LAYER = "norm_scale norm_shift nu theta into out through gate_weight gate_bias".split()


def _normed(b, stream):
    unit = (stream - stream.mean(-1, keepdims=True)) / jnp.sqrt(stream.var(-1, keepdims=True) + EPSILON)
    return b["norm_scale"] * unit + b["norm_shift"]


def _linear_unit(b, seen, start):
    """What a layer adds to the stream (time, trial, hidden)."""
    decay = jnp.exp(b["nu"]) + LEAST_DECAY
    a = jnp.exp(-decay + 1j * jnp.exp(b["theta"]))
    into = jnp.sqrt(-jnp.expm1(-2 * decay))[:, None] * (b["into"][::2] + 1j * b["into"][1::2])
    w = seen @ into.T
    w = w.at[0].add(a * (start[::2] + 1j * start[1::2]))
    _, x = jax.lax.associative_scan(
        lambda early, late: (late[0] * early[0], late[0] * early[1] + late[1]),
        (jnp.broadcast_to(a, w.shape), w),
    )
    y = x.real @ b["out"][:, ::2].T + x.imag @ b["out"][:, 1::2].T + b["through"] * seen
    value, gate = jnp.split(jax.nn.gelu(y, approximate=False) @ b["gate_weight"].T + b["gate_bias"], 2, -1)
    return value * jax.nn.sigmoid(gate)


CELLS = {"rate": _rate, "dale": _dale, "stp": _stp, "lstm": _lstm, "gru": _gru}
