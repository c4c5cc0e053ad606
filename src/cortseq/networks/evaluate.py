"""What fitted networks say of data: likelihoods, expectations, states and free runs of all members.

Parameters have a leading member axis. Everything is computed in float64, one member after another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import lazy
from cortseq.data import Data, Params
from cortseq.errors import CortseqError
from cortseq.memory import block_numbers
from cortseq.models.predictive import Predictive
from cortseq.networks.network import Network, before, repeated

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

_CHUNK = 128  # trials scored at once: bounds memory
_NUMBERS = 2**25  # of the states of all bins that are held at once, where every bin begins a run of its own


def over_members(
    network: Network, params: Params, data: Data, function: Callable[..., torch.Tensor], chunk: int = _CHUNK
) -> np.ndarray:
    """Return `function(p, x, y, last)` (trial, ...) of each member and all trials, (member, trial, ...).

    `p` are one member's parameters; `x` and `y` are those of `Network.tensors`, `last` that of `before`;
    at most `chunk` trials are handed over at once, and no more than a block.
    """
    members, whole = [], data
    data = network.given(params, data)
    chunk = min(chunk, max(1, block_numbers() // max(data.y[:1].size, 1)))
    led = data.y.shape[1] - whole.y.shape[1]
    with torch.no_grad():
        for member in range(len(params["readout_bias"])):
            p = {name: value[member].double() for name, value in params.items()}
            chunks = []
            for first in range(0, len(data.y), chunk):
                x, y, valid = network.tensors(p, data, slice(first, first + chunk), torch.float64)
                chunks.append(function(p, x, y, before(p, x, valid)).numpy())
            members.append(np.concatenate(chunks)[:, led:])
    return np.stack(members)


def log_prob(network: Network, params: Params, data: Data) -> np.ndarray:
    """Return log p(y_t | y_<t) in nats, (member, trial, time)."""

    def one(p: Params, x: torch.Tensor, y: torch.Tensor, last: torch.Tensor | None) -> torch.Tensor:
        return network.observation.log_prob(p, network.readout(p, network.outputs(p, x), last), y)

    return over_members(network, params, data, one)


def recall(network: Network, params: Params, data: Data, memories: Sequence[int]) -> np.ndarray:
    """Return log p(y_t | the last k bins) in nats for each k of `memories`, (memory, member, trial, time)."""
    n_time = data.y.shape[1]

    def one(p: Params, x: torch.Tensor, y: torch.Tensor, last: torch.Tensor | None) -> torch.Tensor:
        whole = [k + x.shape[-2] - n_time if k >= n_time - 1 else k for k in memories]  # nothing is cut off
        outs = network.recent(p, x, whole)
        scores = [network.observation.log_prob(p, network.readout(p, out, last), y) for out in outs]
        return torch.stack(scores, -1)

    dim = sum(network.sizes(network.cell.derive({name: value[0] for name, value in params.items()})))
    chunk = max(1, min(_CHUNK, _NUMBERS // (n_time * dim)))
    return np.moveaxis(over_members(network, params, data, one, chunk), -1, 0)


def predict(network: Network, params: Params, data: Data) -> np.ndarray:
    """Return E[y_t | y_<t], (member, trial, time, feature)."""

    def one(p: Params, x: torch.Tensor, y: torch.Tensor, last: torch.Tensor | None) -> torch.Tensor:
        return network.observation.mean(p, network.readout(p, network.outputs(p, x), last))

    return over_members(network, params, data, one)


def predictive(network: Network, params: Params, data: Data) -> Iterator[Predictive]:
    """Yield each member's distribution of every bin: one component, or those of a mixture."""

    def eta(p: Params, x: torch.Tensor, y: torch.Tensor, last: torch.Tensor | None) -> torch.Tensor:
        return network.readout(p, network.outputs(p, x), last)

    for member, found in enumerate(over_members(network, params, data, eta)):
        p = {name: value[member].double() for name, value in params.items()}
        weight, bins = network.observation.predicted(p, torch.as_tensor(found))
        arrays = {name: value.numpy() for name, value in bins.items()}
        yield Predictive(arrays, None if weight is None else weight.numpy())


def states(network: Network, params: Params, data: Data) -> np.ndarray:
    """Return flat states before each bin, (member, trial, time, dim), a skip's bin before at their end."""

    def one(p: Params, x: torch.Tensor, y: torch.Tensor, last: torch.Tensor | None) -> torch.Tensor:
        found = network.scan(p, x, states=True)
        return found if last is None else torch.cat([found, last.nan_to_num(0.0)], -1)

    return over_members(network, params, data, one)


def dead_units(network: Network, params: Params, data: Data, trials: int = 64) -> list[int]:
    """Return how many hidden units of each member have a constant output over the first `trials`."""
    few = data.at(slice(trials))
    out = over_members(network, params, few, lambda p, x, y, last: network.scan(p, x))
    spread = np.ptp(out[:, few.valid], axis=1)
    return [int((member < 1e-6).sum()) for member in spread]


def simulate(
    network: Network,
    params: Params,
    shape: dict[str, Any],
    n_trials: int,
    n_time: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw trials of one member, running freely: (trial, time, feature), labels (trial, time).

    `shape["drive"]` (trial, time, input) are the inputs that it sees meanwhile, None without any.
    """
    replayed = shape.get("drive")
    if shape["n_inputs"] and (replayed is None or network.memory is not None):
        raise CortseqError("a model with inputs cannot run freely without them", key="inputs")
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    p = {name: value.double() for name, value in params.items()}
    cell, observation = network.cell, network.observation
    drawn: list[torch.Tensor] = []
    read: list[torch.Tensor] = []
    smooth = None
    if network.discretised:
        smooth = torch.full((n_trials, shape["n_features"]), torch.nan, dtype=torch.float64)
    with torch.no_grad():
        n_seen = network.n_seen(p)
        seen = p["input_weight"][..., : n_seen + shape["n_inputs"]]  # no bin is missing
        q = cell.derive({**p, "input_weight": seen})
        state = begin = repeated(cell.start(q), (n_trials,))
        if replayed is not None:  # a missing bin hands over the first input
            u = torch.as_tensor(np.concatenate([replayed, np.zeros_like(replayed[:, :1])], 1)).double()
            nothing = torch.zeros(n_trials, n_seen, dtype=torch.float64)
            state = cell.step(q, state, network.drive(q, torch.cat([nothing, u[:, 0]], -1)))
        last = torch.full((n_trials, len(p["skip"])), torch.nan) if "skip" in p else None
        for t in range(n_time):
            drawn.append(observation.draw(p, network.readout(p, cell.output(q, state), last), generator))
            x, smooth = network.look(p, drawn[-1], smooth)
            last = None if last is None else x
            x = x if replayed is None else torch.cat([x, u[:, t + 1]], -1)
            read.append(network.drive(q, x))
            if network.memory is not None:
                state = begin
            for drive in read[-(network.memory or 1) :]:
                state = cell.step(q, state, drive)
    found: np.ndarray = torch.stack(drawn, 1).numpy()
    return found
