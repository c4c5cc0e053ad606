"""The linear equations behind a network of rectified units: what its fixed points obey."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq.errors import CortseqError
from cortseq.networks import loop
from cortseq.networks.member import Member

if TYPE_CHECKING:
    from cortseq.flow import Map

_KEPT = 1e-9  # of 1 - D: a signal that loses less of itself in a bin has no expectation to settle at


def equation(
    member: Member, shape: dict[str, Any], map: Map, input: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return W' (hidden, hidden) and c (hidden,) with h = relu(W' h + c) at all fixed points of a map.

    In the open loop, where the bin z is held, W' = W and c = U z + b. In the closed loop of a signal the
    network reads what it expects, which at a fixed point is z = (1 - D)^-1 (C h + d) with the read-out C, d
    and the skip D (0 without one):

        W' = W + U (1 - D)^-1 C,    c = U (1 - D)^-1 d + b.

    Recorded inputs are held at their mean over the training trials, within b.

    Parameters
    ----------
    shape : the card of the fit.
    map, input : as of `Recurrent.flow`.

    Raises
    ------
    CortseqError : units that are not rectified, a sampled map, a closed loop whose expectation is no linear
    function of the state (counts, symbols), a signal that its skip keeps for ever.
    """
    check(member, map)
    loop.check(member.network, map, input)
    q, p = loop.holding(member, shape, None), member.p
    w, u, b = (q[name].numpy() for name in ("recurrent", "input_weight", "bias"))
    if map == "open":
        return w, u @ loop.held_input(member, shape, input).numpy() + b
    lost = 1 - p["skip"].numpy() if member.skip else np.ones(u.shape[1])
    if (np.abs(lost) < _KEPT).any():
        raise CortseqError("the skip keeps a signal for ever: it has no fixed expectation", key="skip")
    u = u / lost
    return w + u @ p["readout_weight"].numpy(), u @ p["readout_bias"].numpy() + b


def check(member: Member, map: Map) -> None:
    """Raise a CortseqError for a map that is not piecewise linear."""
    if not member.cell.rectified:
        raise CortseqError(
            "all fixed points are known of one layer of rectified units alone",
            key="model",
            value=member.cell.family,
            fix="take nonlinearity: relu and layers: 1, or search with fixed_points",
        )
    if map == "sampled" or (map == "closed" and not member.network.observation.linear):
        raise CortseqError(
            f"the {map} map of this network is not piecewise linear, so that its points are not enumerated",
            key="map",
            value=map,
            fix='take map="open", or search with fixed_points',
        )
