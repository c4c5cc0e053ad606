"""Parameters before learning: random, checked, or those of an earlier session."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq import observations
from cortseq._lazy import lazy
from cortseq.data import Data, Params, check_rates, same_width
from cortseq.errors import CortseqError
from cortseq.models.base import Fit, Run
from cortseq.networks.cell import Cell
from cortseq.networks.network import ENCODER
from cortseq.observations.counts import HIGH_COUNTS

if TYPE_CHECKING:
    import torch

    from cortseq.networks.recurrent import Recurrent
else:
    torch = lazy("torch")

# What a fit that begins with an earlier one has in common with it, and what to do where it has not.
_CARRIED = {
    "family": "fit both sessions with the same model",
    "track": "sessions that are learned one after another need the same kind of recording",
    "observation": "give both sessions the same `observation`",
    "n_features": "sessions that are learned one after another need the same units: `select` those of both",
    "n_inputs": "give both sessions the same inputs",
    "members": "fit both with as many members (one that failed is missing from the earlier fit)",
}


# What a recording to which a learned cell is moved has in common with those where it was learned.
_MOVED = {
    "family": "fit both recordings with the same model",
    "track": "recordings that share a cell need to be of the same kind",
    "bin_width": "bin both recordings alike: a cell makes one step a bin",
    "members": "fit both with as many members (one that failed is missing from the earlier fit)",
}


def start_parameters(
    model: Recurrent, train: Data, valid: Data, members: int, seed: int, dtype: Any
) -> Params:
    """Return parameters of all members before learning, tensors with a leading member axis.

    Member m depends on (seed, m) only. `valid`: trials on which the decay of a discretised network's encoder
    is chosen.
    """
    observation = model.network(train).observation
    encoder = _encoder(model, train, valid, seed)
    skip = model.skip and model.discretise is None and train.kind.has_scale
    n_in = (len(encoder["centroids"]) if encoder else observation.n_encoded) + train.n_inputs + train.has_gaps
    found: list[Params] = []
    for member in range(members):
        rng = np.random.default_rng([seed, member, 1])
        cell = model.start_parameters(n_in, train.bin_width, rng)
        # with a skip learning starts at the autoregression itself
        spread = 0.0 if skip and not model.strategy.inverts else 0.1 / np.sqrt(model.hidden)
        weight = rng.normal(0, spread, (observation.n_readout, model.hidden))
        start = observation.start_parameters(train.y, train.valid, rng)
        if skip:
            start |= observations.autoregression(train.y, train.valid, start)
        rest = {"readout_weight": weight, **start, **encoder}
        if not found:
            _check_names(model, cell, n_in, rest)
        found.append({**cell, **rest})
    return {k: torch.from_numpy(np.stack([one[k] for one in found]).astype(dtype)) for k in found[0]}


def _encoder(model: Recurrent, train: Data, valid: Data, seed: int) -> Params:
    """Return the encoder of the order-1 chain with `discretise` states; {} if nothing is discretised."""
    if not model.discretises(train.track):
        return {}
    from cortseq.models.chains.markov import Markov

    spec = {"states": model.discretise, "order": 1}
    chain = Markov.model_validate(spec).learn(train, valid, Run(seed=seed))
    return {name: chain.params[name][0] for name in ENCODER}


def _check_names(model: Recurrent, cell: dict[str, Any], n_in: int, rest: Params) -> None:
    """Raise a CortseqError unless a cell's start parameters have the names and shapes of `Cell`."""
    family, fix = model.family, "see the table of names in cortseq.networks.cell.Cell"
    for name, shape in {"input_weight": f"(n_drive, {n_in})", "bias": "(n_drive,)"}.items():
        if name not in cell:
            raise CortseqError(f"start_parameters of {family} gives no `{name}` {shape}", key=name, fix=fix)
    n_drive, found = np.shape(cell["bias"]), np.shape(cell["input_weight"])
    if len(n_drive) != 1 or found != (*n_drive, n_in):
        raise CortseqError(
            f"start_parameters of {family} gives `input_weight` {found} and `bias` {n_drive}",
            key="input_weight",
            value=found,
            fix=f"give the shapes (n_drive, {n_in}) and (n_drive,)",
        )
    taken = sorted(set(cell) & set(rest))
    if taken:
        raise CortseqError(
            f"start_parameters of {family} gives `{taken[0]}`, which belongs to the read-out",
            key=taken[0],
            fix="give it another name",
        )
    derived = model.derive({name: torch.as_tensor(np.asarray(value)) for name, value in cell.items()})
    missing = model.has_kernel or (model.has_weights and not _own_weights(model))
    if "recurrent" not in derived and missing:
        raise CortseqError(
            f"neither start_parameters nor derive of {family} gives `recurrent` (n_drive, hidden)",
            key="recurrent",
            fix="give it, or write recurrent_weights",
        )


def _own_weights(model: Recurrent) -> bool:
    return type(model).recurrent_weights is not Cell.recurrent_weights


def check_data(model: Recurrent, data: Data) -> None:
    """Raise a CortseqError for a recording that `model` cannot be fitted to."""
    check_rates(data)
    if data.n_features < 1 or data.y.shape[1] < 2:
        raise CortseqError(f"{model.family} needs trials of at least two bins", value=data.y.shape[1])
    if model.mixture > 1 and not data.kind.has_events:
        raise CortseqError(
            f"a mixture is for counts, the recording has {data.track}",
            key="mixture",
            value=model.mixture,
            fix="leave it out",
        )
    if model.strategy.inverts and not model.forceable:
        raise CortseqError(
            f"this strategy pulls what the read-out sees, on which no later state of {model.family} depends",
            key="strategy.kind",
            value=model.strategy.kind,
            fix="use teacher or scheduled, or a family such as rate, lstm or gru",
        )
    if data.track not in model.strategy.tracks:
        raise CortseqError(
            f"this strategy is for {' and '.join(model.strategy.tracks)}, the recording has {data.track}",
            key="strategy.kind",
            value=model.strategy.kind,
            fix="use teacher or scheduled",
        )


def check_earlier(model: Recurrent, start: Fit, shape: dict[str, Any]) -> None:
    """Raise a CortseqError if learning on a recording of `shape` cannot begin with the fit `start`."""
    _check_features(start.card, shape)
    _check_alike(model, start, shape, _CARRIED, "in the earlier fit")


def check_moved(model: Recurrent, start: Fit, shape: dict[str, Any]) -> None:
    """Raise a CortseqError if the cell of `start` cannot run on a recording of `shape`."""
    _check_alike(model, start, shape, _MOVED, "where the cell was learned")


def _check_alike(
    model: Recurrent, start: Fit, shape: dict[str, Any], required: dict[str, str], where: str
) -> None:
    mine, theirs = ({**s, "family": m.family} for s, m in ((shape, model), (start.card, start.model)))
    for key, fix in required.items():
        if not alike(key, mine[key], theirs[key]):
            what = re.sub("^n_", "number of ", key).replace("_", " ")
            raise CortseqError(f"{what}: {theirs[key]} {where}", key="start", value=mine[key], fix=fix)


def alike(key: str, one: Any, other: Any) -> bool:
    """Return whether two recordings, or models, have the same of what a cell needs in common."""
    return same_width(one, other) if key == "bin_width" else bool(one == other)


def of_cell(model: Recurrent, bin_width: float) -> frozenset[str]:
    """Return the names of the parameters that recordings which share a cell have in common."""
    names = model.start_parameters(1, bin_width, np.random.default_rng(0))
    return frozenset(names) - model.interface


def moved(fresh: Params, start: Fit, names: frozenset[str]) -> Params:
    """Return the random parameters `fresh` with those of the cell, `names`, taken from `start`."""
    learned = {name: torch.as_tensor(start.params[name]).to(torch.float32) for name in names}
    for name, value in learned.items():
        if value.shape != fresh[name].shape:
            raise CortseqError(
                f"`{name}` has the shape {tuple(value.shape[1:])} where the cell was learned",
                key="start",
                value=tuple(fresh[name].shape[1:]),
                fix="fit both recordings with the same settings",
            )
    return fresh | {name: value.clone() for name, value in learned.items()}


def _check_features(theirs: dict[str, Any], mine: dict[str, Any]) -> None:
    """Raise a CortseqError if cards of one track differ in units, channels or labels, or in their order."""
    there, here = theirs.get("features"), mine["features"]
    if theirs["track"] != mine["track"] or not there or not here or there == here:
        return
    what = observations.TRACKS[mine["track"]].feature
    odd = sorted(set(there) ^ set(here))
    raise CortseqError(
        f"{what} {odd[0]} is in one of the two sessions only" if odd else f"the {what}s are in another order",
        key="start",
        fix=f"sessions that are learned one after another need the same {what}s: `select` those of both",
    )


def carried(fresh: Params, start: Fit) -> Params:
    """Return the parameters of `start` in place of `fresh`, the random ones of the same specification.

    What says that a bin was missing enters with weights of 0 where only the new session has such bins, and
    leaves where only the earlier one had; high counts are shown as they were to the earlier fit.
    """
    learned = {name: torch.as_tensor(value).to(torch.float32) for name, value in start.params.items()}
    known, n_in = learned["input_weight"], fresh["input_weight"].shape[-1]
    if abs(known.shape[-1] - n_in) == 1:
        learned["input_weight"] = torch.nn.functional.pad(known, (0, n_in - known.shape[-1]))
    fresh = {name: value for name, value in fresh.items() if name not in HIGH_COUNTS or name in learned}
    fresh |= {name: learned[name] for name in HIGH_COUNTS if name in learned}
    for name in sorted(set(fresh) | set(learned)):
        there, here = (tuple(p[name].shape[1:]) if name in p else None for p in (learned, fresh))
        if there != here:
            raise CortseqError(
                f"`{name}` has the shape {there} in the earlier fit",
                key="start",
                value=here,
                fix="fit both sessions with the same settings",
            )
    return {name: learned[name].clone() for name in fresh}
