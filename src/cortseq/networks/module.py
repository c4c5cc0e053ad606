"""One member of a fit as a `torch.nn.Module`: `Fit.to_torch`."""

from __future__ import annotations

from dataclasses import replace

import torch

from cortseq.data import Params
from cortseq.errors import CortseqError
from cortseq.networks.network import Network, before
from cortseq.scaling import Scale


class Module(torch.nn.Module):
    """A network with one member's parameters; those that are learned can be trained further.

    Parameters keep the names they have in `Fit.params`. What was measured on the training trials, or belongs
    to a reservoir, is a buffer. Everything between the recording and the network happens inside: high counts
    and signals are standardised, inputs are given in their own units.

    Parameters
    ----------
    network : the cell and its observation.
    p : parameters of the member by name; they are copied.
    scale : of the recorded inputs.
    dtype : of parameters and results; float32, in which networks are trained, or float64.

    Raises
    ------
    CortseqError : a network that sees population states in place of the recording.
    """

    input_centre: torch.Tensor
    input_spread: torch.Tensor

    def __init__(self, network: Network, p: Params, scale: Scale, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        if network.discretised:
            raise CortseqError(
                "the population states that the network sees have no derivative",
                key="discretise",
                value=network.discretise,
                fix="take a network that sees the recording",
            )
        plain = network.cell.model_copy(update={"execution": "generic"})  # nothing but torch operations
        self.network = replace(network, cell=plain)
        self.names = tuple(p)
        for name, value in p.items():
            tensor = value.detach().to(dtype).clone()
            if name in network.fixed:
                self.register_buffer(name, tensor)
            else:
                self.register_parameter(name, torch.nn.Parameter(tensor))
        self.register_buffer("input_centre", torch.tensor(scale.mean, dtype=dtype))
        self.register_buffer("input_spread", torch.tensor(scale.sd, dtype=dtype))
        self.told = [i for i, missing in enumerate(scale.missing) if missing]

    def forward(
        self, y: torch.Tensor, inputs: torch.Tensor | None = None, valid: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """Return what is predicted for every bin from the bins before it.

        Parameters
        ----------
        y : (batch, time, feature) counts or samples, (batch, time) labels.
        inputs : (batch, time, input) in their own units, NaN where one is not known; needed where the network
            was fitted with inputs.
        valid : (batch, time) bool, bins that were observed; None: all.

        Returns
        -------
        "mean" : (batch, time, feature) expected counts per bin, probabilities of labels, or means.
        "eta" : (batch, time, n_readout) what the distribution is made of: log rates, logits, or standardised
            means (with a direct path from the bin before also log sds).
        "states" : (batch, time, dim) flat states before each bin.

        Raises
        ------
        CortseqError : inputs that are missing, or another number of them.
        """
        p = self._params()
        x, valid, led = self._read(p, y, inputs, valid)
        last = before(p, x, valid)
        states = self.network.scan(p, x, states=True)
        if self.network.memory is None:
            q = self.network.cell.derive(p)
            out = self.network.cell.output(q, states.split(self.network.sizes(q), -1))
        else:
            out = self.network.outputs(p, x)
        eta = self.network.readout(p, out, last)
        if last is not None:
            states = torch.cat([states, last.nan_to_num(0.0)], -1)
        found = {"mean": self.network.observation.mean(p, eta), "eta": eta, "states": states}
        return {name: value[:, led:] for name, value in found.items()}

    def log_prob(
        self, y: torch.Tensor, inputs: torch.Tensor | None = None, valid: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return log p(y_t | y_<t) in nats, (batch, time); 0 where a bin is missing. Arguments as `forward`.

        Minus its mean is a loss for a training loop.
        """
        observed = _observed(y, valid)
        eta = self(y, inputs, valid)["eta"]
        kept = _without_missing(y, observed)
        kept = kept if kept.ndim == 2 else kept.to(eta.dtype)  # labels are whole numbers
        nats = self.network.observation.log_prob(self._params(), eta, kept)
        return torch.where(observed, nats, torch.zeros_like(nats))

    def parameters_of(self, params: Params) -> Params:
        """Return what the module holds now, under the names of `params` and with a member axis of one.

        Parameters
        ----------
        params : of the fit by name, shape (member, ...).

        Raises
        ------
        CortseqError : names or shapes that are not those of the module.
        """
        state = {name: tensor.detach().cpu() for name, tensor in self.state_dict().items()}
        for name, value in params.items():
            if name not in state or state[name].shape != value.shape[1:]:
                raise CortseqError(
                    f"the module has no parameter {name} of shape {tuple(value.shape[1:])}",
                    key="module",
                    fix="give a module that `to_torch` of this fit made",
                )
        return {name: state[name][None].clone() for name in params}

    def _params(self) -> Params:
        return {name: getattr(self, name) for name in self.names}

    def _read(
        self, p: Params, y: torch.Tensor, inputs: torch.Tensor | None, valid: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, int]:
        """Return network inputs and mask, as `Network.tensors` gives them, and the bins before the first."""
        dtype = p["readout_bias"].dtype
        valid = _observed(y, valid)
        extra = self._inputs(inputs, dtype)
        led = len(extra)
        if self.network.n_seen(p) + sum(part.shape[-1] for part in extra) < p["input_weight"].shape[-1]:
            missed = torch.cat([torch.zeros_like(valid[:, :1]), ~valid[:, :-1]], 1)
            extra = [*extra, missed.unsqueeze(-1).to(dtype)]
        y = _without_missing(y, valid)
        x = self.network.observation.encode(p, y if y.ndim == 2 else y.to(dtype)).to(dtype)
        x = x * valid.unsqueeze(-1)
        if led:  # a missing bin hands the first input over
            x, valid, *extra = (torch.cat([torch.zeros_like(a[:, :1]), a], 1) for a in (x, valid, *extra))
        ahead = [torch.roll(part, -1, 1) for part in extra]
        return torch.cat([x, *ahead], -1), valid, led

    def _inputs(self, inputs: torch.Tensor | None, dtype: torch.dtype) -> list[torch.Tensor]:
        """Return recorded inputs (batch, time, seen) as the network sees them in a list; [] without any."""
        n = len(self.input_centre)
        given = 0 if inputs is None else inputs.shape[-1]
        if given != n:
            raise CortseqError(f"the network was fitted with {n} inputs", key="inputs", value=given)
        if inputs is None or not n:
            return []
        unknown = inputs.isnan()
        scaled = (inputs.to(dtype) - self.input_centre) / self.input_spread
        scaled = torch.where(unknown, torch.zeros_like(scaled), scaled)
        return [torch.cat([scaled, unknown[..., self.told].to(dtype)], -1)]


def _observed(y: torch.Tensor, valid: torch.Tensor | None) -> torch.Tensor:
    """Return the mask (batch, time); without one every bin was observed."""
    return torch.ones(y.shape[:2], dtype=torch.bool, device=y.device) if valid is None else valid


def _without_missing(y: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Return y (batch, time, ...) with 0 in missing bins, which may hold NaN."""
    return torch.where(valid if y.ndim == 2 else valid.unsqueeze(-1), y, torch.zeros_like(y))
