"""The training step as a user of torch would write it: a loop over time, or torch.nn.RNN / LSTM / GRU.

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
    """torch.nn.RNN (no leak), LSTM or GRU, with one read-out product at the end."""
    kinds: dict[str, Any] = {"rate": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}
    network = kinds[model.family](y.shape[2], model.hidden, model.layers, batch_first=True).to(device)
    free = _weights(network, model, params)
    for name in ("start", "readout_weight", "readout_bias"):
        free[name] = params[name].detach().clone().to(device).requires_grad_()
    seen = torch.from_numpy(y).to(device)

    def loss():
        rows = torch.stack(free["start"].chunk(model.layers)[::-1])  # ours has the top layer first
        h, *c = (part.unsqueeze(1).expand(-1, len(seen), -1) for part in rows.chunk(model.layer_parts, -1))
        h = h.contiguous() if model.family == "rate" else torch.tanh(h)
        after, _ = network(seen[:, :-1], (h, c[0].contiguous()) if c else h)
        eta = torch.cat([h[-1:].transpose(0, 1), after], 1) @ free["readout_weight"].T + free["readout_bias"]
        return poisson_nll_loss(eta, seen, reduction="sum")

    step = _step(loss, free)
    return step if model.family != "gru" else lambda: _last_thirds(*step(), model.hidden)


def _last_thirds(loss, gradients: dict, hidden: int):
    """Return a GRU's loss and gradients, of its second biases those of the candidate alone."""
    return loss, {k: g[-hidden:] if k.startswith("candidate_bias") else g for k, g in gradients.items()}


def _weights(network, model, params: dict) -> dict:
    """Give torch's module our parameters; return its own by our names.

    Of torch's two biases the second is zero and not learned, but that of a GRU, whose last third is the
    candidate's.
    """
    found = {}
    for number in range(1, model.layers + 1):
        end, at = "" if number == 1 else f"_{number}", f"l{number - 1}"
        below = "below" if end else "input_weight"
        given = {"weight_ih": below, "weight_hh": "recurrent", "bias_ih": "bias"}
        with torch.no_grad():
            second = getattr(network, f"bias_hh_{at}").zero_().requires_grad_(model.family == "gru")
            if model.family == "gru":
                second[2 * model.hidden :] = params[f"candidate_bias{end}"]
                found[f"candidate_bias{end}"] = second
            for theirs, ours in given.items():
                found[f"{ours}{end}"] = getattr(network, f"{theirs}_{at}").copy_(params[f"{ours}{end}"])
    return found


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


def _gru(p, model, n):
    def update(state, drive):
        (h,) = state
        r, z, inner = (h @ p["recurrent"].T).chunk(3, -1)
        u_r, u_z, u_n = drive.chunk(3, -1)
        candidate = torch.tanh(u_n + torch.sigmoid(r + u_r) * (inner + p["candidate_bias"]))
        z = torch.sigmoid(z + u_z)
        return ((1 - z) * candidate + z * h,)

    return (torch.tanh(p["start"]).expand(n, -1),), update


CELLS = {"rate": _rate, "dale": _dale, "stp": _stp, "lstm": _lstm, "gru": _gru}
