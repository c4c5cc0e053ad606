"""How a stretch of bins is run and differentiated: one contract, several executions.

An engine knows the trials of one role and gives, for one batch of them,

    prepare(p)          what is computed once a step from the parameters (signed weights, start state)
    start(batch)        the states before bin 0
    segment(...)        loss of bins first..stop, and by backpropagation through those bins the gradient
    advance(...)        the states at `stop`, without a gradient
    finish(d_start)     the gradients into p[name].grad

Full, truncated and checkpointed backpropagation are written once on top of that
(`cortseq.networks.training.bptt`). `Generic` differentiates any family's `step`, or `through_time` where it
has one; `Compiled` runs hand-written kernels on a CPU where a family has them; `Graphed` batches all members
on a GPU and replays the whole step as one graph; `Fused`, where it is asked for, has the loop over time of
that graph in one kernel. They agree to rounding (tests/networks/test_engines.py, test_fused.py).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from cortseq.compiled import threads
from cortseq.data import Data, Params
from cortseq.errors import CortseqError
from cortseq.networks.network import Network
from cortseq.networks.training import bptt
from cortseq.networks.training.engines.base import Batch, Engine
from cortseq.networks.training.settings import Training

if TYPE_CHECKING:
    from cortseq.networks.recurrent import Recurrent

# Nats, (member,) or of one member, and its derivatives by name.
LossAndGradients = tuple[float | np.ndarray, dict[str, np.ndarray]]


def choose(
    network: Network,
    data: Data,
    params: Params,
    training: Training,
    device: str = "cpu",
    together: bool = False,
    strategy: Any = None,
) -> Engine:
    """Return the fastest engine for `network` on `data`; `params` with a member axis, before learning.

    `strategy`: None where inputs are known beforehand (teacher forcing), else what makes them. Where
    `execution: fused` is asked for and no fused kernel does what is set, a warning says so and the engine is
    that of `execution: auto`.

    Raises
    ------
    CortseqError : `execution: fused` without a CUDA device or without Triton.
    """
    from cortseq.networks.training.engines.generic import Generic

    on_cpu = params["readout_weight"].device.type == "cpu"
    plain = strategy is None and training.execution != "generic" and on_cpu
    if training.execution == "fused":
        from cortseq.networks.training.engines import fused

        fused.check(device)
        obstacle = fused.obstacle(network, training, strategy, device)
        if obstacle is None:
            return fused.Fused(network, data, params, training, device)
        warnings.warn(f"execution: no fused kernel for {obstacle}: run as under auto", stacklevel=2)
    if plain and device == "cpu" and not together and network.cell.has_kernel:
        from cortseq.networks.training.engines.compiled import Compiled
        from cortseq.networks.training.kernels import heads

        if data.observation in heads.OBSERVATIONS:
            return Compiled(network, data, params, training)
    if plain and device != "cpu" and training.truncate is None and not training.checkpointed:
        from cortseq.networks.training.engines.graphed import Graphed

        return Graphed(network, data, params, training, device)
    return Generic(network, data, params, training, device, strategy)


def stepper(
    model: Recurrent, params: Params, data: Data, execution: str = "auto", device: str = "cpu"
) -> Callable[[], LossAndGradients]:
    """Return a function that does one step's work on all trials of `data`: () -> (loss, gradients).

    `params`: one member's tensors, or all members' with a leading axis (then loss is (member,)). The loss
    is the summed negative log-likelihood in nats of the valid bins, dropout off; gradients are numpy
    arrays by name. `execution`: "auto", "fused", "compiled" (an error where there is none) or "generic".
    """
    solo = params["readout_bias"].ndim == 1
    stacked = {name: value[None] if solo else value for name, value in params.items()}
    n_members = len(stacked["readout_bias"])
    network, training = model.network(data), model.training
    data = network.given(stacked, data)
    if execution in ("generic", "fused"):
        training = training.model_copy(update={"execution": execution})
    engine = choose(network, data, stacked, training, device, together=n_members > 1)
    if execution == "compiled" and engine.name != "compiled":
        raise CortseqError("no compiled execution here", key="family", value=model.family)
    p = {
        name: value.detach().clone().to(device).requires_grad_(name not in network.fixed)
        for name, value in ({k: v[0] for k, v in stacked.items()} if n_members == 1 else stacked).items()
    }
    batch = Batch(np.tile(np.arange(len(data.y)), (n_members, 1)), data.y.shape[1])

    def step() -> LossAndGradients:
        for value in p.values():
            if value.requires_grad:  # in place: a recorded step writes where the gradients were
                value.grad = torch.zeros_like(value) if value.grad is None else value.grad.zero_()
        with threads.single():
            loss = bptt.gradient(engine, p, batch)
        grads = {name: value.grad.cpu().numpy() for name, value in p.items() if value.grad is not None}
        if solo:
            return float(loss[0]), grads
        return loss, ({name: grad[None] for name, grad in grads.items()} if n_members == 1 else grads)

    return step


def loss_and_gradient(
    model: Recurrent, params: Params, data: Data, execution: str = "auto", device: str = "cpu"
) -> LossAndGradients:
    """One call of `stepper`: (loss in nats, gradients by name)."""
    return stepper(model, params, data, execution, device)()
