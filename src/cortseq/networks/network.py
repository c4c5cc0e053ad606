"""A network: a cell between its inputs and the read-out of an observation.

With states s_t and observations y_t (docs/likelihood.md, docs/dynamics.md):

    s_{t+1} = F(s_t, U [encode(y_t), u_{t+1}] + b),    p(y_t | y_<t) = observation(C output(s_t) + d)

so bin 0 is predicted from the start state alone, and no bin sees itself. With inputs u a missing bin comes
before bin 0 and hands it u_0. Where training trials have missing bins between others, one more input says
whether bin t was missing (`Data.for_networks`). On signals, where the best guess of
a bin is the bin before, the read-out has a direct path from it (`skip`): with z the standardised signal

    E[z_t | z_<t] = C output(s_t) + D z_{t-1} + d

with D diagonal, the least squares of z_t on z_{t-1} in training bins. So the network learns what an
autoregression of order 1 leaves, and starts from it. Where the bin before is missing D z_{t-1} is 0 and the
sd is that of the training bins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq import observations
from cortseq._lazy import lazy
from cortseq.data import Data, Params
from cortseq.networks.cell import Cell, State
from cortseq.observations.arrays import row

if TYPE_CHECKING:
    import torch

    from cortseq.observations.base import Readout
else:
    torch = lazy("torch")

ENCODER = ("decay", "centroids")  # of the population states that a discretised network sees


@dataclass(frozen=True, repr=False)
class Network:
    """A cell and the observation it predicts; parameters are handed in.

    Attributes
    ----------
    cell : the update rule.
    observation : distribution of one bin, see `cortseq.observations`.
    mixture : components of the predicted distribution of counts.
    discretise : number of population states of a Markov chain that the network sees in place of the
        recording; None: it sees the recording.
    memory : bins that a prediction sees, its state restarted before them; None: all since the start.
    """

    cell: Cell
    observation: Readout
    mixture: int = 1
    discretise: int | None = None
    memory: int | None = None

    @property
    def discretised(self) -> bool:
        """Whether inputs are population states, as one-hot."""
        return self.discretise is not None

    @property
    def fixed(self) -> frozenset[str]:
        """Names of parameters that are not learned: the cell's, and those measured on training trials."""
        return self.cell.fixed | observations.FIXED | {*ENCODER}

    # -- the loop over time -----------------------------------------------------------------------

    def drive(self, q: Params, x: torch.Tensor) -> torch.Tensor:
        """Return U x + b for all bins at once (..., trial, time, n_in) or one bin (..., trial, n_in)."""
        return affine(q["input_weight"], q["bias"], x)

    def sizes(self, q: Params) -> list[int]:
        """Return the sizes of the parts of the cell's state."""
        return [part.shape[-1] for part in self.cell.start(q)]

    def scan(self, p: Params, x: torch.Tensor, states: bool = False) -> torch.Tensor:
        """Return outputs (..., trial, time, hidden) or flat states (..., dim) before each bin of input."""
        cell, q = self.cell, self.cell.derive(p)
        ran = cell.compiled_states(p, x)
        if ran is not None:
            return ran if states else cell.output(q, ran.split(self.sizes(q), -1))
        drives = self.drive(q, x)
        state = repeated(cell.start(q), drives.shape[:-2])
        flat: Callable[[State], torch.Tensor] = (
            (lambda s: torch.cat(s, -1)) if states else (lambda s: cell.output(q, s))
        )
        parts = cell.through_time(q, state, drives[..., :-1, :])
        if parts is not None:
            return flat(parts)
        out = [flat(state)]
        for drive in drives.unbind(-2)[:-1]:
            state = cell.step(q, state, drive)
            out.append(flat(state))
        return torch.stack(out, -2)

    def parts(self, p: Params, x: torch.Tensor) -> State:
        """Return the states before each bin, parts (..., trial, time, size).

        Those of a cell that gives all bins at once may be views: what is stored twice takes memory once.
        """
        q = self.cell.derive(p)
        if type(self.cell).through_time is Cell.through_time:
            return self.scan(p, x, states=True).split(self.sizes(q), -1)
        drives = self.drive(q, x)[..., :-1, :]
        found = self.cell.through_time(q, repeated(self.cell.start(q), drives.shape[:-2]), drives)
        assert found is not None
        return found

    def outputs(self, p: Params, x: torch.Tensor) -> torch.Tensor:
        """Return outputs (trial, time, hidden) of a member before each bin, from `memory` bins or all."""
        if self.memory is None or self.memory >= x.shape[-2] - 1:
            return self.scan(p, x)
        return self.recent(p, x, [self.memory])[0]

    def recent(self, p: Params, x: torch.Tensor, memories: Sequence[int]) -> list[torch.Tensor]:
        """Return outputs of one member whose state restarts k bins before each bin, for each k of `memories`.

        Windows that begin at every bin run side by side; after k steps they are the predictions from k bins.

        Returns
        -------
        for each k outputs before bins t (trial, time, hidden), from the start state at bin max(t - k, 0).
        """
        cell, q, n_time = self.cell, self.cell.derive(p), x.shape[-2]
        drives = self.drive(q, x)
        state = tuple(s.expand(*x.shape[:-1], s.shape[-1]) for s in cell.start(q))
        begun, reached = [], {}
        for k in range(min(max(memories), n_time - 1) + 1):
            if k:
                left = n_time - k
                state = cell.step(q, tuple(s[:, :left] for s in state), drives[:, k - 1 : n_time - 1])
            out = cell.output(q, state)
            begun.append(out[:, :1])
            if k in memories:
                reached[k] = out
        whole = torch.cat(begun, 1)
        return [torch.cat([whole[:, :k], reached[k]], 1) if k in reached else whole for k in memories]

    # -- between the recording and the cell -------------------------------------------------------

    def readout(self, p: Params, out: torch.Tensor, last: torch.Tensor | None = None) -> torch.Tensor:
        """Return C out + d, (..., n_readout): one number per feature, more where counts are a mixture.

        With a skip, what `observations.skipped` makes of it and of the bins before, `last` (see `before`).
        """
        eta = affine(p["readout_weight"], p["readout_bias"], out)
        if "skip" not in p:
            return eta
        assert last is not None
        return observations.skipped(p, eta, last)

    def n_seen(self, p: Params) -> int:
        """Return by how many numbers the network reads a bin, recorded inputs apart."""
        return p["centroids"].shape[-2] if self.discretised else self.observation.n_encoded

    def given(self, p: Params, data: Data) -> Data:
        """Return the bins that the network steps through (`Data.for_networks`); `p` of one member or all."""
        return data.for_networks(p["input_weight"].shape[-1] > self.n_seen(p) + data.n_inputs)

    def seen(self, p: Params, data: Data) -> Data:
        """Return what the network reads: `data`, or its population states as symbols; `p` of one member."""
        if not self.discretised:
            return data
        from cortseq.models.chains.encoder import labels

        found = {name: p[name].double().numpy() for name in ENCODER}
        return replace(
            data,
            track="symbols",
            observation="categorical",
            y=labels(found, data),
            n_features=len(found["centroids"]),
        )

    def tensors(
        self, p: Params, data: Data, trials: Any, dtype: torch.dtype
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return inputs, observations and mask of some trials of `data`; `p` of one member.

        Returns
        -------
        x : (trial, time, n_in) encoded observations and, one bin ahead, the recording's inputs.
        y : (trial, time[, feature]).
        valid : (trial, time).
        """
        data = data.at(trials)
        seen = self.seen(p, data)
        y, read = (
            torch.as_tensor(d.y) if d.kind.has_labels else torch.as_tensor(d.y).to(dtype)
            for d in (data, seen)
        )
        valid = torch.as_tensor(data.valid)
        encoded = observations.observation_of(seen, self.mixture) if self.discretised else self.observation
        x = encoded.encode(p, read).to(dtype) * valid.unsqueeze(-1)
        if data.inputs is not None:
            ahead = torch.as_tensor(np.roll(data.inputs, -1, axis=1)).to(dtype)
            x = torch.cat([x, ahead], -1)
        return x, y, valid

    def look(
        self, p: Params, y: torch.Tensor, smooth: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return `(x, smooth)`: the input (..., n_in) for a drawn bin, the new causal average (..., feature).

        `smooth` is the average up to the bin before, NaN where there was none; None for networks that read
        the recording directly.
        """
        if smooth is None:
            return self.observation.encode(p, y), None
        decay = p["decay"]
        smooth = torch.where(smooth.isnan(), y, decay * smooth + (1 - decay) * y)
        rooted = self.observation.rooted(smooth)
        centroids = p["centroids"]
        nearest = ((centroids**2).sum(1) - 2 * rooted @ centroids.mT).argmin(-1)
        return torch.nn.functional.one_hot(nearest, len(centroids)).to(y.dtype), smooth


def affine(weight: torch.Tensor, bias: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor:
    """Return W x + b (..., to) of x (..., from), or W x; W (to, from) and b (to,), or with members first."""
    if weight.ndim > 2 and x.ndim > weight.ndim:  # broadcasting would copy W for every trial
        product = (x.flatten(1, -2) @ weight.mT).reshape(*x.shape[:-1], weight.shape[-2])
    else:
        product = x @ weight.mT
    return product if bias is None else product + row(bias, x)


def dropped(values: torch.Tensor, kept: torch.Tensor | None) -> torch.Tensor:
    """Return values (..., hidden) times dropout's factors (..., hidden), or as they are without any."""
    return values if kept is None else values * kept


def repeated(state: State, shape: Any) -> State:
    """Return a start state, parts (size,) or (member, size), repeated over trials: (..., trial, size)."""
    return tuple(part.unsqueeze(-2).expand(*shape, part.shape[-1]) for part in state)


def before(p: Params, x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor | None:
    """Return the standardised signal of the bin before, (trial, time, feature), from the network input `x`.

    NaN where there is none; None where the read-out has no skip.
    """
    if "skip" not in p:
        return None
    seen = torch.where(valid.unsqueeze(-1), x[..., : p["skip"].shape[-1]], torch.nan)
    return torch.cat([torch.full_like(seen[:, :1], torch.nan), seen[:, :-1]], 1)
