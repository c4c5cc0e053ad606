"""The recorded step of a GPU with its loop over time in one kernel, forwards and backwards, in Triton.

A recorded step launches some twenty to a hundred small kernels a bin (`Graphed`). Here a bin launches none:
one kernel goes through all bins of the batch, and keeps weights and states where it computes
(`cortseq.networks.training.kernels.fused`). Inputs, read-out, likelihood and noise are those of `Graphed`,
and the step is recorded like there. It was compared with the others in Triton's interpreter on a CPU; what it
takes on a GPU is not measured, so that `execution: auto` does not choose it.
"""

from __future__ import annotations

import importlib.util
import os
from typing import Any

import torch

from cortseq.errors import CortseqError
from cortseq.networks.network import Network
from cortseq.networks.training import noise
from cortseq.networks.training.engines.base import Batch, State
from cortseq.networks.training.engines.graphed import Graphed
from cortseq.networks.training.settings import Training

MOST = {1: 128, 4: 64}  # number of matrices -> most units whose weights fit ..
SHARED = 163 * 1024  # .. so many bytes of shared memory; a quarter of the weights fits every device
_ASKED = {"key": "execution", "value": "fused"}


def check(device: str) -> None:
    """Raise a CortseqError where no fused kernel runs on `device`."""
    interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    if torch.device(device).type != "cuda" and not interpreted:
        fix = "use execution: auto (or, to try it slowly, set TRITON_INTERPRET=1 in the environment)"
        raise CortseqError(f"needs a CUDA device and runs on {device}", **_ASKED, fix=fix)
    if importlib.util.find_spec("triton") is None:
        raise CortseqError("needs the package triton", **_ASKED, fix="pip install 'cortseq[gpu]'")


def obstacle(network: Network, training: Training, strategy: Any, device: str) -> str | None:
    """Return what no fused kernel does of these settings, in words; None: there is one for all of them."""
    cell = network.cell
    if cell.fusion is None:
        return f"family {cell.family}" + (f" of {cell.depth} layers" if cell.depth > 1 else "")
    most = MOST[cell.fusion.gates]
    if torch.device(device).type == "cuda":
        found = torch.cuda.get_device_properties(device)
        if found.major < 8:  # it cannot multiply numbers of 32 bits as `tiles.product` does
            return f"compute capability {found.major}.{found.minor}"
        shared = getattr(found, "shared_memory_per_block_optin", SHARED)  # older releases of torch do not say
        most = most if shared >= SHARED else most // 2
    if cell.hidden > most:
        return f"hidden {cell.hidden} ({cell.family}: at most {most})"
    if strategy is not None:
        return f"strategy {strategy.kind}"
    if training.truncate is not None:
        return f"truncate {training.truncate}"
    return "checkpointed" if training.checkpointed else None


class Fused(Graphed):
    """See `cortseq.networks.training.engines`."""

    name = "fused"

    def _run(
        self, batch: Batch, state: State, first: int, stop: int, keep: set[int]
    ) -> tuple[torch.Tensor, State, dict[int, State]]:
        """Read-outs eta of whole trials; no states are kept on the way, as gradients are never cut."""
        from cortseq.networks.training.kernels.fused.states import states

        cell, q = self.network.cell, self.q
        assert cell.fusion is not None
        x, _, _ = self._window(batch, first, stop)
        factors = self._kept(batch, noise.HIDDEN, cell.hidden, self.training.hidden_dropout, first, stop)
        out = states(cell.fusion, q, state, self.network.drive(q, x))
        seen = out if factors is None else out * factors
        return self.network.readout(q, seen, self._before(batch, first, stop)), state, {}
