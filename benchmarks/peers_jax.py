"""The training step in JAX: input products hoisted out of a scan over time, one read-out product after it.

As in `peers_torch`: `scan(model, params, y) -> (() -> (loss, gradients))`, compiled with
jit(value_and_grad), without the constant ln y!.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from cortseq.networks.signed import SHARPNESS


def scan(model, params: dict, y: np.ndarray, unroll: int = 1):
    """One compiled step; every call runs it on the device's arrays and waits for the result."""
    fixed = {name: jnp.asarray(value.numpy()) for name, value in params.items() if name in model.fixed}
    free = {name: jnp.asarray(value.numpy()) for name, value in params.items() if name not in model.fixed}
    seen = jnp.asarray(y.swapaxes(0, 1))  # time first, as scan wants it

    def loss(free, y):
        p = {**free, **fixed}
        state, update = CELLS[model.family](p, model, y.shape[1])
        drives = y[:-1] @ p["input_weight"].T + p["bias"]

        def body(state, drive):
            state = update(state, drive)
            return state, state[0]

        _, after = jax.lax.scan(body, state, drives, unroll=unroll)
        eta = jnp.concatenate([state[0][None], after]) @ p["readout_weight"].T + p["readout_bias"]
        return (jnp.exp(eta) - y * eta).sum()

    compiled = jax.jit(jax.value_and_grad(loss))

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


CELLS = {"rate": _rate, "dale": _dale, "stp": _stp, "lstm": _lstm, "gru": _gru}
