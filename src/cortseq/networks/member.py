"""One member of a fit: its network with its parameters, in float64, for analyses of the cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cortseq._lazy import lazy
from cortseq.data import Data, Params
from cortseq.networks.cell import Cell, State
from cortseq.networks.network import Network

if TYPE_CHECKING:
    import torch

    from cortseq.networks.module import Module
    from cortseq.scaling import Scale
else:
    torch = lazy("torch")


@dataclass(frozen=True, repr=False)  # torch names a function by its repr at every call: no tensors in it
class Member:
    """A network and one member's parameters; see `Fit.member`.

    Attributes
    ----------
    network : the cell and its observation.
    p : parameters as they were learned, float64, without a member axis.
    q : what the cell derives from them.
    sizes : of the parts of the cell's state.
    """

    network: Network
    p: Params
    q: Params
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, network: Network, params: Params, member: int) -> Member:
        """Take one member of `params`, which have a leading member axis."""
        p = {name: value[member].double() for name, value in params.items()}
        with torch.no_grad():
            q = {name: value.detach() for name, value in network.cell.derive(p).items()}
            return cls(network, p, q, tuple(network.sizes(q)))

    @property
    def cell(self) -> Cell:
        """The update rule."""
        return self.network.cell

    @property
    def skip(self) -> bool:
        """Whether the read-out sees the bin before, which is then the last part of the flat state."""
        return "skip" in self.p

    @property
    def dim(self) -> int:
        """Size of the flat state."""
        return sum(self.sizes) + self.network.observation.n_features * self.skip

    def split(self, flat: torch.Tensor, axis: int = -1) -> tuple[State, torch.Tensor | None]:
        """Split flat states (..., dim) into the cell's parts (..., size) and a skip's bin before (else None).

        `axis`: along which they are flat, -2 of tangent vectors (..., dim, k).
        """
        cell = sum(self.sizes)
        found = flat.split([*self.sizes, *[flat.shape[axis] - cell] * self.skip], axis)
        return (found[:-1], found[-1]) if self.skip else (found, None)

    def expected(self, states: np.ndarray) -> np.ndarray:
        """Return E[y | s] (..., feature) of flat states (..., dim)."""
        with torch.no_grad():
            state, last = self.split(torch.as_tensor(np.asarray(states)).double())
            eta = self.network.readout(self.p, self.cell.output(self.q, state), last)
            return np.asarray(self.network.observation.mean(self.p, eta))

    def drive(self, x: torch.Tensor) -> torch.Tensor:
        """Return U x + b (..., n_drive) of inputs (..., n_in)."""
        return self.network.drive(self.q, x)

    def step(self, state: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return the flat state (..., dim) one bin after `state` (..., dim), with the input x (..., n_in)."""
        return torch.cat(self.cell.step(self.q, state.split(self.sizes, -1), self.drive(x)), -1)

    def push(
        self, state: torch.Tensor, x: torch.Tensor, frames: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the states one bin later (n, dim) and DF V by the state in closed form, (n, dim, k).

        Of states (n, dim), inputs (n, n_in) and frames V (n, dim, k).
        """
        parts, drive = state.split(self.sizes, -1), self.drive(x)
        held = torch.zeros_like(drive).unsqueeze(-1)  # the input does not move
        images = self.cell.tangent(self.q, parts, drive, frames.split(self.sizes, -2), held)
        return torch.cat(self.cell.step(self.q, parts, drive), -1), torch.cat(images, -2)

    def scan(self, data: Data) -> tuple[torch.Tensor, torch.Tensor]:
        """Return inputs (trial, time, n_in) and flat states (trial, time, dim) before each bin of `data`."""
        with torch.no_grad():
            stepped = self.network.given(self.p, data)
            led = stepped.y.shape[1] - data.y.shape[1]
            x, _, _ = self.network.tensors(self.p, stepped, slice(None), torch.float64)
            return x[:, led:], self.network.scan(self.p, x, states=True)[:, led:]

    def to_torch(self, scale: Scale, dtype: torch.dtype | None = None) -> Module:
        """Return a `torch.nn.Module` with a copy of the parameters; see `Fit.to_torch`."""
        from cortseq.networks import module

        return module.Module(self.network, self.p, scale, dtype or torch.float32)

    def weights(self) -> np.ndarray:
        """Return the recurrent matrix (hidden, hidden): row = to, column = from."""
        with torch.no_grad():
            return np.asarray(self.cell.recurrent_weights(self.p))

    def signs(self) -> np.ndarray | None:
        """Return the sign of each unit's outgoing weights (hidden,), or None without Dale's law."""
        found = self.cell.signs(self.p)
        return None if found is None else np.asarray(found)
