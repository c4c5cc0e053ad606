"""The training step as a user of torch would write it: a loop over time, or torch.nn.RNN / LSTM.

Each peer is a function `step(model, params, y) -> (() -> (loss, gradients))`, y (trial, time, unit) float32;
loss is the summed Poisson negative log-likelihood in nats, without the constant ln y!.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn.functional import poisson_nll_loss, softplus

from cortseq.networks.signed import SHARPNESS


def loop(model, params: dict, y: np.ndarray, device: str = "cpu"):
    """Automatic differentiation through a loop over bins, input and read-out products inside it."""
    p = {name: value.detach().clone().to(device) for name, value in params.items()}
    free = {name: value.requires_grad_() for name, value in p.items() if name not in model.fixed}
    seen = torch.from_numpy(y).to(device)

    def loss():
        state, update = CELLS[model.family](p, model, len(seen))
        total = torch.zeros((), device=device)
        for t in range(seen.shape[1]):
            eta = state[0] @ p["readout_weight"].T + p["readout_bias"]
            total = total + poisson_nll_loss(eta, seen[:, t], reduction="sum")
            if t + 1 < seen.shape[1]:
                state = update(state, seen[:, t] @ p["input_weight"].T + p["bias"])
        return total

    return _step(loss, free)


def module(model, params: dict, y: np.ndarray, device: str = "cpu"):
    """torch.nn.RNN (no leak) or torch.nn.LSTM, one read-out product at the end."""
    lstm = model.family == "lstm"
    kind: Any = torch.nn.LSTM if lstm else torch.nn.RNN
    network = kind(y.shape[2], model.hidden, batch_first=True).to(device)
    given = {"input_weight": "weight_ih_l0", "recurrent": "weight_hh_l0", "bias": "bias_ih_l0"}
    with torch.no_grad():
        network.bias_hh_l0.zero_().requires_grad_(False)  # torch has two biases, one is enough
        for ours, theirs in given.items():
            getattr(network, theirs).copy_(params[ours])
    free = {ours: getattr(network, theirs) for ours, theirs in given.items()}
    for name in ("start", "readout_weight", "readout_bias"):
        free[name] = params[name].detach().clone().to(device).requires_grad_()
    seen = torch.from_numpy(y).to(device)

    def loss():
        rows = free["start"].expand(1, len(seen), -1)
        h, c = rows.chunk(2, -1) if lstm else (rows, None)
        h = torch.tanh(h) if lstm else h.contiguous()
        after, _ = network(seen[:, :-1], (h, c.contiguous()) if lstm else h)
        eta = torch.cat([h.transpose(0, 1), after], 1) @ free["readout_weight"].T + free["readout_bias"]
        return poisson_nll_loss(eta, seen, reduction="sum")

    return _step(loss, free)


def _step(loss, free: dict):
    def step():
        value = loss()
        gradients = torch.autograd.grad(value, list(free.values()))
        return value.item(), {name: g.cpu().numpy() for name, g in zip(free, gradients, strict=True)}

    return step


# -- cells: (parameters, model, trials) -> (start state, update) --------------------------------------


def _leak(p, model):
    return torch.sigmoid(p["leak_raw"]) if model.leak == "learned" else model.leak


def _rate(p, model, n):
    a = _leak(p, model)

    def update(state, drive):
        (h,) = state
        return ((1 - a) * h + a * torch.tanh(h @ p["recurrent"].T + drive),)

    return (p["start"].expand(n, -1),), update


def _signed(p):
    w = softplus(p["raw"], beta=SHARPNESS) * p["sign"]
    return w - torch.diag(torch.diagonal(w))


def _dale(p, model, n):
    a, w = _leak(p, model), _signed(p)

    def update(state, drive):
        (h,) = state
        return ((1 - a) * h + a * torch.relu(h @ w.T + drive),)

    return (torch.relu(p["start"]).expand(n, -1),), update


def _stp(p, model, n):
    a, dt = _leak(p, model), p["bin_width"]
    w = _signed(p) if model.dale else p["recurrent"]
    use, fac, rec = torch.sigmoid(p["use_raw"]), torch.exp(-p["fac_log"]), torch.exp(-p["rec_log"])

    def update(state, drive):
        h, u, x = state
        r = model.rate_scale * h
        speed = fac + use * r
        target = use * (fac + r) / speed
        u = target + (u - target) * torch.exp(-dt * speed)
        speed = rec + u * r
        target = rec / speed
        x = target + (x - target) * torch.exp(-dt * speed)
        return (1 - a) * h + a * torch.relu((u * x / use * h) @ w.T + drive), u, x

    h = torch.relu(p["start"])
    r = model.rate_scale * h
    u = use * (fac + r) / (fac + use * r)
    x = rec / (rec + u * r)
    return tuple(s.expand(n, -1) for s in (h, u, x)), update


def _lstm(p, model, n):
    def update(state, drive):
        h, c = state
        i, f, g, o = (h @ p["recurrent"].T + drive).chunk(4, -1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c

    h, c = p["start"].chunk(2)
    return (torch.tanh(h).expand(n, -1), c.expand(n, -1)), update


CELLS = {"rate": _rate, "dale": _dale, "stp": _stp, "lstm": _lstm}
