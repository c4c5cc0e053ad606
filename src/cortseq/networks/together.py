"""One cell for several recordings: a read-in, a read-out and a start state for each.

With recordings k of one kind, states s and observations y (docs/likelihood.md#sessions):

    s_{t+1} = F(s_t, U_k [encode(y_t), u_{t+1}] + b),    p(y_t | y_<t) = observation_k(C_k output(s_t) + d_k)

F and b, all parameters of the cell but U_k and the start state, are the same in all of them. Every recording
gets a fit of its own, which is scored and analysed as any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import lazy, xr
from cortseq.data import Params
from cortseq.errors import CortseqError
from cortseq.models.base import Fit, Run
from cortseq.models.prepared import Prepared
from cortseq.models.progress import Checkpoint, Progress, chosen
from cortseq.networks import evaluate, parameters
from cortseq.networks.recurrent import Recurrent
from cortseq.observations.tracks import TRACKS

if TYPE_CHECKING:
    from cortseq.networks.training import gradient
    from cortseq.networks.training.roles import Session
else:
    gradient = lazy("cortseq.networks.training.gradient")  # it brings torch

# What recordings that share a cell have in common, and what to do where they have not.
_ALIKE = {
    "track": "share a cell between recordings of the same kind",
    "bin_width": "bin all recordings alike: a cell makes one step a bin",
}


def fit_together(
    model: Recurrent,
    recordings: Mapping[str, xr.Dataset],
    train: Mapping[str, Sequence[int]],
    valid: Mapping[str, Sequence[int]],
    members: int = 1,
    seed: int = 0,
    device: str = "cpu",
    progress: Progress | bool | None = None,
    checkpoint: Checkpoint | None = None,
) -> dict[str, Fit]:
    """Fit a recurrent model to several recordings that share one cell; return a Fit of each.

    To move the cell to a new recording, fit `model.model_copy(update={"cell": "frozen"})` to it with one of
    these fits as its `start`.

    Parameters
    ----------
    model : a specification of a recurrent family whose cell is learned.
    recordings : by name, Recordings of one kind and bin width; units and inputs may differ.
    train, valid : positions of trials of each.
    members, seed, device, progress, checkpoint : as of `Model.fit`.

    Raises
    ------
    CortseqError : fewer than two recordings, of other kinds, bin widths or labels, a cell that is never
    trained, no member with a finite loss.
    """
    if model.reservoir or model.cell == "frozen":
        raise CortseqError(
            f"the cell of this {model.family} is never trained", fix="fit each recording alone"
        )
    ready = {n: Prepared.of(model, recordings[n], train[n], valid[n], members) for n in recordings}
    check_alike({name: one.shape for name, one in ready.items()})
    first = next(iter(ready.values())).shape
    run = Run(first["members"], seed, device, chosen(progress), checkpoint)
    shared = parameters.of_cell(model, first["bin_width"])
    sessions = _sessions(model, list(ready.values()), shared, run)
    learned = gradient.descend_together(sessions, model.training, run, shared)
    found = {}
    for (name, one), session, mine in zip(ready.items(), sessions, learned, strict=True):
        mine.card["dead_units"] = evaluate.dead_units(session.network, mine.params, one.seen[0])
        mine.card["shared"] = {"recordings": list(recordings), "parameters": sorted(shared)}
        found[name] = Fit(model, mine.params, one.card(mine, seed, None), mine.curves)
    return found


def check_alike(shapes: Mapping[str, dict[str, Any]]) -> None:
    """Raise a CortseqError unless recordings, by what their cards say, can share a cell."""
    if len(shapes) < 2:
        raise CortseqError("a cell is shared by two recordings or more", value=list(shapes))
    first = next(iter(shapes))
    for name, shape in shapes.items():
        for key, fix in _ALIKE.items():
            if not parameters.alike(key, shape[key], shapes[first][key]):
                raise CortseqError(
                    f"{name} and {first} have another {key.replace('_', ' ')}: "
                    f"{shape[key]} and {shapes[first][key]}",
                    key="together",
                    fix=fix,
                )
        if TRACKS[shape["track"]].has_labels and shape["features"] != shapes[first]["features"]:
            raise CortseqError(
                f"{name} and {first} have different alphabets, so that no symbol of one is one of the other",
                key="together",
                value=[len(s["features"]) for s in (shape, shapes[first])],
                fix="fit each alone",
            )


def _sessions(model: Recurrent, ready: Sequence[Prepared], shared: frozenset[str], run: Run) -> list[Session]:
    """Return what is learned from each recording; the cell before learning is that of the first."""
    from cortseq.networks.training.roles import Session

    found: list[Session] = []
    for one in ready:
        train, valid = one.seen
        params: Params = model.initial(train, run.members, run.seed, np.float32, valid)
        if found:
            params |= {name: found[0].params[name].clone() for name in shared}
        network = model.network(train)
        found.append(Session(network, params, network.given(params, train), network.given(params, valid)))
    return found
