"""Members trained at once on a CUDA device, beside one member after another.

A peer is timed with one member and its time is multiplied. Everything is float32 without TF32, so that results
can be compared. Times are wall seconds up to `torch.cuda.synchronize`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from benchmarks.harness import Case, Peer
from benchmarks.training import N_TIME, TOLERANCE, disagreement, problem

FAMILIES, HIDDEN, MEMBERS = ("rate", "dale", "stp", "lstm"), (64, 128), 64
SCALING = (1, 4, 16, 64, 256)
N_UNITS, N_TRIALS = 50, 32
LOOP, CUDNN = 30.0, 5.0  # ratios asked for
CUDNN_OF = {"rate": "cuDNN nn.RNN", "lstm": "cuDNN nn.LSTM"}


def available() -> bool:
    import torch

    return torch.cuda.is_available()


def unmeasured() -> list[str]:
    """What `cases` would measure, by name."""
    each = [(family, hidden) for family in FAMILIES for hidden in HIDDEN]
    return [
        *(f"gpu: {MEMBERS} members of {family} H={hidden} against the plain loop" for family, hidden in each),
        *(f"gpu: {MEMBERS} members of {f} H={h} against {CUDNN_OF[f]}" for f, h in each if f in CUDNN_OF),
        *(f"gpu: scaling in members 1..256, {family} H={hidden}" for family, hidden in each),
    ]


def clock() -> float:
    import torch

    torch.cuda.synchronize()
    return time.perf_counter()


def cases() -> Iterator[Case]:
    import torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    for family in FAMILIES:
        for hidden in HIDDEN:
            yield _against_peers(family, hidden, {})
            if family == "rate":  # nn.RNN has no leak
                yield _against_peers(family, hidden, {"leak": 1})
            for members in SCALING:
                yield _scaling(family, hidden, members)


def _members(family: str, hidden: int, settings: dict, members: int):
    """Ours on all members, and the problem of the first."""
    from cortseq.networks.training.engines import stepper

    model, first, data = problem(family, settings, N_UNITS, hidden, N_TRIALS, N_TIME)
    params = model.initial(data, members, 0)
    params["start"][0] = first["start"]
    return stepper(model, params, data, "auto", "cuda"), model, first, data


def _against_peers(family: str, hidden: int, settings: dict) -> Case:
    import torch

    from benchmarks import peers_torch

    ours, model, first, data = _members(family, hidden, settings, MEMBERS)
    y = data.y.astype(np.float32)
    constant = float(torch.lgamma(torch.as_tensor(data.y, dtype=torch.float64) + 1).sum())

    def apart(a, b) -> float:
        return disagreement(_first(a), b, constant)

    plain, cudnn = peers_torch.loop(model, first, y, "cuda"), CUDNN_OF.get(family)
    peers = [Peer(f"plain loop x {MEMBERS}", plain, apart, TOLERANCE, LOOP, MEMBERS)]
    if cudnn and (settings or family == "lstm"):
        module = peers_torch.module(model, first, y, "cuda")
        peers.append(Peer(f"{cudnn} x {MEMBERS}", module, apart, TOLERANCE, CUDNN, MEMBERS))
    without = " (leak 1)" if settings else ""
    return Case(f"gpu: {MEMBERS} members of {family}{without} H={hidden}", ours, peers)


def _scaling(family: str, hidden: int, members: int) -> Case:
    ours, *_ = _members(family, hidden, {}, members)
    one, *_ = _members(family, hidden, {}, 1)

    def apart(a, b) -> float:
        return disagreement(_first(a), _first(b))

    alone = Peer(f"one member x {members}", one, apart, TOLERANCE, None, members)
    return Case(f"gpu: {members} members of {family} H={hidden}", ours, [alone])


def _first(result):
    """Loss and gradients of member 0."""
    loss, gradients = result
    return float(loss[0]), {name: value[0] for name, value in gradients.items()}
