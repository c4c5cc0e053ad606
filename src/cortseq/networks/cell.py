"""A cell: the update rule of a recurrent network, which is what a family writes.

    s_{t+1} = F(s_t, U x + b)

A family is one file in `cortseq.networks.families`, or a plug-in, with one class. It subclasses
`cortseq.networks.recurrent.Recurrent` and overrides methods of `Cell`; inputs, the loop over time, the
read-out, the likelihood, training, forecasts and flows follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

import numpy as np
from pydantic import Field

from cortseq.data import Params
from cortseq.models.base import Specification

if TYPE_CHECKING:
    import torch

Count = Annotated[int, Field(ge=1)]
State = tuple["torch.Tensor", ...]  # parts (..., size), concatenated in this order in a flat state


class Synapses(NamedTuple):
    """Constants of plastic synapses, one per presynaptic unit, tensors (hidden,) of one member.

    Attributes
    ----------
    use : share U of the resources that a spike releases at rest.
    fac_rate : 1 / tau_fac in Hz, recovery of u to U.
    rec_rate : 1 / tau_rec in Hz, recovery of the resources x to 1.
    """

    use: torch.Tensor
    fac_rate: torch.Tensor
    rec_rate: torch.Tensor


class Fusion(NamedTuple):
    """Which fused kernel of a GPU runs a cell's update rule, and what it is given.

    Attributes
    ----------
    kernel : "rate", "stp" or "lstm", see `cortseq.networks.training.kernels.fused`.
    rule : what the kernel knows the rule by: "tanh" or "relu" of "rate", `rate_scale` in Hz of "stp", 0 of
        "lstm".
    constants : names of the constants of each unit that the kernel reads, in its order; `derive` gives them,
        (..., 1, hidden) or one number (1,).
    gates : matrices (hidden, hidden) in W, 4 of an LSTM.
    """

    kernel: str
    rule: str | float
    constants: tuple[str, ...] = ()
    gates: int = 1


class Cell(Specification):
    """Abstract: an update rule, its parameters before learning, and its capabilities.

    Methods are written with matrix products over the last two axes: the same code runs one member, or with a
    leading member axis all of them. `p` are the parameters as they are learned, `q` is what `derive` makes of
    them. `start_parameters` and `derive` together give these names:

    ================  ====================  ==================================================================
    `input_weight`    (n_drive, n_in)       U, required of `start_parameters`. n_drive is `hidden`, or a
                                            multiple of it in a gated cell. Columns: observations, inputs,
                                            and whether a bin was missing, where training trials had gaps.
    `bias`            (n_drive,)            b, required of `start_parameters`.
    `recurrent`       (n_drive, hidden)     W, row = to, column = from. Not needed by a cell that has its own
                                            `recurrent_weights` or `has_weights` False, and no `kernel`.
    `sign`            (hidden,)             +1 or -1, sign of each unit's outgoing weights, if `signed`.
    ================  ====================  ==================================================================

    All other names are free, except those of the read-out: `readout_weight`, `readout_bias`, and the
    parameters of the observation (`log_dispersion`, `log_sd`, `signal_mean`, `signal_scale`, `skip`, `decay`,
    `centroids`, `count_centre`, `count_scale`).
    """

    # Names of parameters that belong to the cell but are not learned.
    fixed: ClassVar[frozenset[str]] = frozenset()
    # Names of parameters of one recording: how it is read in, and the start. Sessions share all others.
    interface: ClassVar[frozenset[str]] = frozenset({"input_weight", "start"})
    # Whether the read-out alone is learned, of a leaky tanh network with one number `leak`.
    reservoir: ClassVar[bool] = False
    # Whether the first part of the state decides the next one: strategies that force it need that.
    forceable: ClassVar[bool] = True
    # Whether the state stores what was seen of the last bins: such a network is no dynamical system.
    windowed: ClassVar[bool] = False
    # Names of the gates that `gates` returns.
    gate_names: ClassVar[tuple[str, ...]] = ()

    family: str
    hidden: Count = Field(64, description="number of hidden units")

    @property
    def products(self) -> int:
        """Multiplications of one step of one trial, drive and read-out apart. Only estimates rest on it."""
        # each further layer multiplies its own state, and what the layer below hands on
        return (1 + len(self.gate_names)) * (2 * self.depth - 1) * self.hidden**2

    # -- the update rule --------------------------------------------------------------------------

    def start_parameters(
        self, n_in: int, bin_width: float, rng: np.random.Generator
    ) -> dict[str, np.ndarray[Any, Any]]:
        """Return one member's parameters before learning: input_weight (n_drive, n_in), bias (n_drive,), ..

        Parameters
        ----------
        n_in : number of inputs x.
        bin_width : in seconds.
        rng : of every random number; the same one gives the same parameters.
        """
        raise NotImplementedError

    def derive(self, p: Params) -> Params:
        """Return `p` with what is computed once per sequence from it (signed weights, leaks)."""
        return p

    def start(self, q: Params) -> State:
        """Return the state before the first bin, tensors (..., size)."""
        raise NotImplementedError

    def step(self, q: Params, state: State, drive: torch.Tensor) -> State:
        """Return the state one bin later; parts (..., trial, size), drive U x + b (..., trial, n_drive)."""
        raise NotImplementedError

    def output(self, q: Params, state: State) -> torch.Tensor:
        """Return what the read-out sees, (..., hidden)."""
        part: torch.Tensor = state[0]
        return part

    def tangent(
        self, q: Params, state: State, drive: torch.Tensor, vectors: State, moved: torch.Tensor
    ) -> State:
        """Return the derivative of one member's `step` in closed form, applied to k tangent vectors.

        A family that writes none, or an `output` of its own, is differentiated automatically.

        Parameters
        ----------
        state, drive : as of `step`, parts (..., size) and (..., n_drive).
        vectors : the parts of the vectors, (..., size, k).
        moved : the derivative of the drive, (..., n_drive, k).

        Returns
        -------
        parts of the images, (..., size, k).
        """
        raise NotImplementedError

    @property
    def has_tangent(self) -> bool:
        """Whether the family writes `tangent`."""
        return type(self).tangent is not Cell.tangent

    @property
    def state_parts(self) -> int:
        """Size of the state in units of `hidden`: 2 where it is (h, c). Only estimates of time use it."""
        return 1

    # -- layers, optional -------------------------------------------------------------------------

    @property
    def depth(self) -> int:
        """Number of layers."""
        return 1

    @property
    def places(self) -> tuple[int, ...]:
        """Widths of what `hidden_dropout` acts on beside what the read-out sees; (): nothing else."""
        return ()

    def dropped_step(
        self, q: Params, state: State, drive: torch.Tensor, kept: Sequence[torch.Tensor]
    ) -> State:
        """Return `step` with what stands at `places` times dropout's factors, (..., trial, size) each.

        A cell with `places` writes this, and its `step` is this without factors.
        """
        return self.step(q, state, drive)

    # -- faster executions, optional --------------------------------------------------------------

    def through_time(
        self, q: Params, state: State, drives: torch.Tensor, kept: Sequence[torch.Tensor] = ()
    ) -> State | None:
        """Return the states before every bin and after the last, from all bins at once; None: step through.

        It equals `dropped_step` bin by bin. Cells override it of which each layer computes all bins at once.

        Parameters
        ----------
        state : before the first bin, parts (..., trial, size).
        drives : U x + b of all bins, (..., trial, time, n_drive).
        kept : dropout's factors (..., trial, time, size) of `places`, or nothing.

        Returns
        -------
        parts (..., trial, time + 1, size).
        """
        return None

    def kernel(self, q: dict[str, np.ndarray[Any, Any]]) -> Any:
        """Return the compiled execution of one layer of one member; W is (n_drive, hidden).

        A family that writes none runs by automatic differentiation. `cortseq.networks.training.kernels.rate`
        shows the methods of a kernel.
        """
        raise NotImplementedError

    @property
    def has_kernel(self) -> bool:
        """Whether the family writes `kernel`, a CPU execution of the same update by hand."""
        return type(self).kernel is not Cell.kernel

    @property
    def fusion(self) -> Fusion | None:
        """The fused kernel of a GPU for this update rule; None: there is none."""
        return None

    def compiled_states(self, p: Params, x: torch.Tensor) -> torch.Tensor | None:
        """Return flat states (trial, time, dim) before each bin from a compiled loop; None: step through."""
        return None

    # -- capabilities: what an analysis may ask ---------------------------------------------------

    @property
    def has_weights(self) -> bool:
        """Whether one matrix (hidden, hidden) carries the units from bin to bin (`recurrent_weights`)."""
        return True

    def recurrent_weights(self, p: Params) -> torch.Tensor:
        """Return the recurrent matrix (..., hidden, hidden): row = to, column = from."""
        weights: torch.Tensor = self.derive(p)["recurrent"]
        return weights

    @property
    def signed(self) -> bool:
        """Whether units obey Dale's law; their signs are the parameter `sign`."""
        return False

    def signs(self, p: Params) -> torch.Tensor | None:
        """Return the sign of each unit's outgoing weights (..., hidden), or None without Dale's law."""
        return p["sign"] if self.signed else None

    @property
    def plastic(self) -> bool:
        """Whether synapses are plastic: the family writes `synapses`, and its state is (h, u, x)."""
        return type(self).synapses is not Cell.synapses

    def synapses(self, q: Params) -> Synapses:
        """Return the constants of one member's plastic synapses, where `plastic`."""
        raise NotImplementedError

    def gates(self, q: Params, state: State, drive: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return what each of `gate_names` lets through, 0 to 1, (..., depth * hidden), top layer first."""
        return {}

    @property
    def saturates(self) -> bool:
        """Whether units are tanh of one recurrent matrix, which mean-field theory is about."""
        return False

    @property
    def rectified(self) -> bool:
        """Whether phi of `lipschitz` is a ReLU, so that all fixed points can be counted."""
        return False

    @property
    def lipschitz(self) -> float | None:
        """Largest slope L of phi where the step is h' = (1 - a) h + a phi(W h + drive), else None.

        Such a cell derives `recurrent` (hidden, hidden) and `leak` a, one number or one per unit.
        """
        return None
