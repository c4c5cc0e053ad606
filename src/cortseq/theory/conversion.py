"""Eigenvalues of a map with step dt, and of the differential equation behind it."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from cortseq.errors import CortseqError

Rule = Literal["euler", "exact"]


def to_continuous(eigenvalues: ArrayLike, bin_width: float, rule: Rule = "euler") -> np.ndarray:
    """Return (lambda_d - 1) / dt for a map that is an Euler step, ln(lambda_d) / dt for an exact flow; 1/s.

    The logarithm gives frequencies up to 1 / (2 dt): faster ones are aliased.

    Parameters
    ----------
    eigenvalues : of the map, of any shape; the result has the same.
    bin_width : dt, s.
    rule : whether the map is an Euler step or the exact flow.
    """
    values = np.asarray(eigenvalues, dtype=np.complex128)
    if _rule(rule) == "euler":
        return (values - 1) / bin_width
    with np.errstate(divide="ignore"):
        return np.log(values) / bin_width


def to_discrete(eigenvalues: ArrayLike, bin_width: float, rule: Rule = "euler") -> np.ndarray:
    """1 + dt lambda for an Euler step, exp(dt lambda) for the exact flow; the inverse of `to_continuous`.

    Parameters
    ----------
    eigenvalues : 1/s, of any shape; the result has the same.
    bin_width : dt, s.
    rule : whether the map is an Euler step or the exact flow.
    """
    values = np.asarray(eigenvalues, dtype=np.complex128)
    return 1 + bin_width * values if _rule(rule) == "euler" else np.exp(bin_width * values)


def euler_limit(eigenvalues: ArrayLike) -> float:
    """Return the step (s) below which Euler's map of a stable dx/dt = A x is stable.

    min -2 Re lambda / |lambda|^2 over the eigenvalues of A, an array of any shape.

    0 where an eigenvalue does not decay, inf where all are 0 or there is none.
    """
    values = np.asarray(eigenvalues, dtype=np.complex128).ravel()
    values = values[values != 0]
    limits = -2 * values.real / np.abs(values) ** 2
    return float(max(limits.min(initial=np.inf), 0.0))


def _rule(rule: str) -> str:
    if rule not in ("euler", "exact"):
        raise CortseqError("unknown rule", key="rule", value=rule, fix='choose "euler" or "exact"')
    return rule
